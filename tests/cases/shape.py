"""Rows for the functions that change the shape, the order of the axes or along them, or the number of entries."""

import numpy as np

from .case import Case

A = (2, 3, 4)
REPEATS = np.array([1, 0, 3])


def _rows(name, forms, shapes, **options):
    """One row a form of call, its note being how it is written."""
    for note, call in forms.items():
        yield Case(name, call, shapes, note=note, **options)


LINEAR = {"analytic": True, "complex": True}


def _same_entries():
    yield from _rows("reshape", {
        "shape by name": lambda x: np.reshape(x, shape=(6, 4)), "A": lambda x: np.copy(x, "C").reshape(-1, order="A"),
        "A of F": lambda x: np.copy(x, "F").reshape((4, 6), order="A"), "copy": lambda x: x.reshape(6, 4, copy=True),
    }, (A,), **LINEAR)  # fmt: skip
    yield from _rows("ravel", {
        "": lambda x: np.ravel(x), "F": lambda x: np.ravel(x, order="F"), "method": lambda x: x.ravel("F"),
        "flatten": lambda x: x.flatten(), "flatten F": lambda x: x.flatten(order="F"), "named": lambda x: np.ravel(a=x),
    }, (A,), **LINEAR)  # fmt: skip
    yield Case("ravel", lambda x: np.ravel(x), ((),))
    yield from _rows("expand_dims", {
        "0": lambda x: np.expand_dims(x, 0), "-1": lambda x: np.expand_dims(x, axis=-1),
        "two": lambda x: np.expand_dims(x, (0, -2)), "named": lambda x: np.expand_dims(a=x, axis=1),
    }, ((2, 3),), **LINEAR)  # fmt: skip
    yield from _rows("squeeze", {
        "all": lambda x: np.squeeze(x), "one": lambda x: np.squeeze(x, axis=1), "two": lambda x: x.squeeze((1, -1)),
        "method": lambda x: x.squeeze(),
    }, ((2, 1, 3, 1),), **LINEAR)  # fmt: skip
    for shape in ((), (3,), (2, 3), (2, 3, 2)):
        for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
            yield Case(name, lambda x, name=name: getattr(np, name)(x), (shape,), **LINEAR)
    yield Case("atleast_2d", lambda x, y: np.atleast_2d(x, np.ones(2), y)[::2], ((3,), ()), note="several")
    yield from _rows("copy", {
        "": lambda x: np.copy(x), "method": lambda x: x.copy(), "order": lambda x: np.copy(x, order="F"),
        "method order": lambda x: x.copy("F"),
    }, ((2, 3),), **LINEAR)  # fmt: skip
    yield Case("astype", lambda x: np.astype(x, np.complex128), ((2, 3),), note="to complex")
    yield Case("astype", lambda x: x.astype(np.float64), ((2, 3),), note="method")
    yield Case("astype", lambda x: x.astype("f8", copy=False), ((2, 3),), note="method, no copy")
    yield Case("astype", lambda x: x.astype(int), ((2, 3),), order=0, note="to integers")
    yield Case("astype", lambda x: np.astype(x, bool), ((2, 3),), order=0, note="to booleans")


def _axes():
    yield from _rows("transpose", {
        "None": lambda x: np.transpose(x, None), "method None": lambda x: x.transpose(None),
        "method tuple": lambda x: x.transpose((1, 2, 0)), "method list": lambda x: x.transpose([1, -1, 0]),
        "named": lambda x: np.transpose(a=x, axes=(2, 0, 1)), "array": lambda x: np.transpose(x, np.array([1, 2, 0])),
        "method array": lambda x: x.transpose(np.array([1, 2, 0])), "number": lambda x: np.transpose(x[0, 0], 0),
        "negative number": lambda x: np.transpose(x[0, 0], -1), "method number": lambda x: x[0, 0].transpose(0),
        "NumPy number": lambda x: np.permute_dims(x[0, 0], np.int64(0)), "0-d": lambda x: x[0, 0, 0].transpose(()),
    }, (A,), **LINEAR)  # fmt: skip
    yield from _rows("swapaxes", {
        "method": lambda x: x.swapaxes(-1, 0), "named": lambda x: np.swapaxes(x, axis1=0, axis2=1),
    }, (A,), **LINEAR)  # fmt: skip
    yield from _rows("moveaxis", {
        "one": lambda x: np.moveaxis(x, 0, -1), "two": lambda x: np.moveaxis(x, (0, -1), (1, 0)),
        "named": lambda x: np.moveaxis(x, source=[2], destination=[0]),
    }, (A,), **LINEAR)  # fmt: skip
    yield from _rows("rollaxis", {
        "": lambda x: np.rollaxis(x, 2), "start": lambda x: np.rollaxis(x, 0, start=2),
        "negative": lambda x: np.rollaxis(x, -1, 1),
    }, (A,), **LINEAR)  # fmt: skip
    yield from _rows("matrix_transpose", {
        "": lambda x: np.matrix_transpose(x), "mT": lambda x: x.mT,
    }, (A,), **LINEAR)  # fmt: skip
    for name in ("flip", "fliplr", "flipud"):
        yield Case(name, lambda x, name=name: getattr(np, name)(x), (A,), **LINEAR)
    yield from _rows("flip", {
        "axis": lambda x: np.flip(x, 1), "negative": lambda x: np.flip(x, axis=-1),
        "two": lambda x: np.flip(x, (0, -1)),
    }, (A,), **LINEAR)  # fmt: skip
    yield Case("flip", lambda x: np.flip(x), ((),), note="0-d")
    for k in (-1, 0, 1, 2, 3, 6):
        yield Case("rot90", lambda x, k=k: np.rot90(x, k), (A,), note=f"{k}", **LINEAR)
    yield Case("rot90", lambda x: np.rot90(x, axes=(-1, 0)), (A,), note="axes", **LINEAR)
    yield from _rows("roll", {
        "flat": lambda x: np.roll(x, 2), "axis": lambda x: np.roll(x, -1, axis=1), "far": lambda x: np.roll(x, 17, -1),
        "two": lambda x: np.roll(x, (1, -2), axis=(0, 2)), "one for two": lambda x: np.roll(x, 1, axis=(1, 2)),
        "axis twice": lambda x: np.roll(x, (1, 1), axis=(2, 2)),
        "array": lambda x: np.roll(x, np.array([1, 2]), axis=(0, 1)),
    }, (A,), **LINEAR)  # fmt: skip


def _more_entries():
    yield Case("broadcast_to", lambda x: np.broadcast_to(array=x, shape=(2, 3), subok=True), ((3,),), note="named")
    yield Case("broadcast_to", lambda x: np.broadcast_to(x, 3), ((1,),), note="a length")
    yield Case("broadcast_arrays", lambda x, y: np.broadcast_arrays(x, y), ((3, 1), (2,)), **LINEAR)
    yield Case("broadcast_arrays", lambda x: np.broadcast_arrays(x, np.ones((2, 1)))[0], ((3,),), note="with an array")
    yield from _rows("meshgrid", {
        "": lambda x, y: np.meshgrid(x, y), "ij": lambda x, y: np.meshgrid(x, y, indexing="ij"),
        "sparse": lambda x, y: np.meshgrid(x, y, sparse=True), "copy": lambda x, y: np.meshgrid(y, x, copy=False),
        "with an array": lambda x, y: np.meshgrid(x, y, np.arange(2.0).astype(x.dtype), indexing="ij")[:2],
    }, ((3,), (2,)), analytic=True)  # fmt: skip
    yield Case("meshgrid", lambda x: np.meshgrid(x, 1.0)[0], ((3,),), note="one")
    for reps in (2, 1, (2,), (2, 1), (1, 2, 3), (2, 1, 1, 2), (0, 1), [2, 2]):
        yield Case("tile", lambda x, r=reps: np.tile(x, r), ((2, 3),), note=f"{reps}", **LINEAR)
    yield Case("tile", lambda x: np.tile(x, 3), ((),))
    yield from _rows("repeat", {
        "flat": lambda x: np.repeat(x, 3), "axis": lambda x: np.repeat(x, 2, axis=0),
        "last": lambda x: np.repeat(x, [2], axis=-1), "zero": lambda x: np.repeat(x, 0, axis=1),
        "array": lambda x: np.repeat(x, REPEATS, axis=1), "list": lambda x: np.repeat(x, [1, 0, 2, 1, 1, 3]),
        "method": lambda x: x.repeat(2, 1), "named": lambda x: x.repeat(repeats=REPEATS, axis=1),
    }, ((2, 3),), **LINEAR)  # fmt: skip
    yield Case("repeat", lambda x: np.repeat(x, 3), ((),), note="0-d")
    yield Case("full_like", lambda x: np.full_like(x, x[0]), ((3,),))
    yield Case("full_like", lambda x: np.full_like(x, 2.0)[0] * x, ((3,),), note="a number")
    yield Case("full_like", lambda x: np.full_like(x, x[:, :1]), ((2, 3),), note="broadcast")
    yield Case("full_like", lambda x: np.full_like(x, x[1], shape=(2, 2)), ((3,),), note="shape")
    yield Case("full_like", lambda x: np.full_like(x, x[1], dtype=complex), ((3,),), note="dtype")
    yield Case("full", lambda x: np.full((2, 3), x, like=x), ((3,),))
    yield Case("full", lambda x: np.full(2, x, dtype=x.dtype, like=x), ((),), note="dtype")
    yield from _rows("linspace", {
        "": lambda x, y: np.linspace(x, y, 5), "50": lambda x, y: np.linspace(x, y)[::7],
        "open": lambda x, y: np.linspace(x, y, num=4, endpoint=False), "one": lambda x, y: np.linspace(x, y, 1) + y,
        "step": lambda x, y: np.linspace(x, y, 4, retstep=True)[1],
        "open step": lambda x, y: np.linspace(x, y, 4, endpoint=False, retstep=True)[1],
        "of arrays": lambda x, y: np.linspace(x + np.ones((2, 1), x.dtype), y, 3),
        "axis": lambda x, y: np.linspace(x + np.ones((2, 1), x.dtype), y, 3, axis=-1),
        "complex": lambda x, y: np.linspace(x, y, 4, dtype=complex),
    }, ((), ()), analytic=True)  # fmt: skip
    yield Case("linspace", lambda x: np.linspace(0.0, x, 3), ((),), note="from a number")
    yield Case("linspace", lambda x: np.linspace(x, 9, 4, dtype=int), ((),), order=0, note="integers")
    for note, call in {
        "": lambda x, y: np.logspace(x, y, 4), "open": lambda x, y: np.logspace(x, y, num=3, endpoint=False),
        "base": lambda x, y: np.logspace(x, y, 3, base=2.5),
        "type": lambda x, y: np.logspace(x, y, 3, dtype=np.float64),
        "of arrays": lambda x, y: np.logspace(x + np.ones((2, 1), x.dtype), y, 3, axis=-1),
    }.items():  # fmt: skip
        yield Case("logspace", call, ((), ()), (-1.0, 1.0), analytic=note != "type", note=note)
    yield Case("logspace", lambda x, b: np.logspace(0.0, x, 4, base=b), ((), ()), (0.4, 2.0), note="in the base")
    yield Case("logspace", lambda b: np.logspace(-1.0, 1.0, 3, base=b), ((2,),), (0.4, 2.0), note="of bases")
    for note, call in {
        "": lambda x, y: np.geomspace(x, y, 5), "open": lambda x, y: np.geomspace(x, y, num=4, endpoint=False),
        "one": lambda x, y: np.geomspace(x, y, 1) + y, "none": lambda x, y: np.geomspace(x, y, 0),
        "type": lambda x, y: np.geomspace(x, y, 3, dtype=np.float64), "below 0": lambda x, y: np.geomspace(-x, -y, 4),
        "of arrays": lambda x, y: np.geomspace(x + np.ones((2, 1), x.dtype), y, 3, axis=-1),
        "complex": lambda x, y: np.geomspace(x + 0.5j, 1j * y, 4),
    }.items():  # fmt: skip
        yield Case("geomspace", call, ((), ()), (0.4, 2.0), note=note)
    yield Case("geomspace", lambda x: np.geomspace(2.0, x, 3), ((),), (0.4, 2.0), note="from a number")


def _triangles():
    for k in (-1, 0, 1):
        for name in ("tril", "triu"):
            yield Case(name, lambda x, name=name, k=k: getattr(np, name)(x, k), ((3, 4),), note=f"{k}", **LINEAR)
    yield Case("tril", lambda x: np.tril(x), (A,))
    yield Case("triu", lambda x: np.triu(x, k=9), ((3, 4),), order=0, note="all zeros")
    yield Case("triu", lambda x: np.triu(x, k=1), ((3,),), note="of a vector")
    for k in (-1, 0, 2):
        yield Case("diag", lambda x, k=k: np.diag(x, k), ((3,),), note=f"{k}", **LINEAR)
        yield Case("diag", lambda x, k=k: np.diag(x, k=k), ((3, 4),), note=f"{k}", **LINEAR)
        yield Case("diagflat", lambda x, k=k: np.diagflat(x, k), ((2, 2),), note=f"{k}", **LINEAR)
        yield Case("diagonal", lambda x, k=k: np.diagonal(x, k), ((3, 4),), note=f"{k}", **LINEAR)
    yield Case("diagonal", lambda x: np.diagonal(x, axis1=-1, axis2=0), (A,), note="axes", **LINEAR)
    yield Case("diagonal", lambda x: x.diagonal(1, 1, 2), (A,), note="method", **LINEAR)
    yield Case("diagonal", lambda x: x.diagonal(7), ((2, 3),), note="outside")


CASES = [*_same_entries(), *_axes(), *_more_entries(), *_triangles()]
