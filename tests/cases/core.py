"""Rows for the operations of the engine itself. Elementwise primitives without metadata get theirs automatically."""

import numpy as np

import tinygrad_nn as tg
from tinygrad_nn.primitive import REGISTRY

from .case import Case

INF = np.inf
MASK = np.array([[True, False, True, False], [False, False, True, True], [True, True, False, True]])
ROWS = np.array([2, 0, 2])  # one row twice
INDICES = {
    "basic": np.s_[1:, ::2],
    "an integer": np.s_[1],
    "a negative step": np.s_[::-1, -1],
    "None and Ellipsis": np.s_[..., None, 1],
    "integer array": ROWS,
    "list": ([0, 1], [3, 3]),
    "two arrays": (ROWS, np.array([[1], [3]])),
    "mixed": np.s_[1:, np.array([0, 0, 3])],
    "boolean": MASK,
    "boolean of rows": np.array([True, False, True]),
    "NumPy integer": np.int64(2),
}
ONE_HOT = np.eye(3)[[0, 2, 1, 1]]
PROBABILITY = (0.05, 0.95)


def _logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def _softmax(x, axis=-1):
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


def _softmax_crossentropy(z, y):
    return -np.sum(y * np.log(_softmax(z))) / (len(z) if z.ndim > 1 else 1)


def _sigmoid_crossentropy(z, y):
    p = 1 / (1 + np.exp(-z))
    return -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) / (len(z) if z.ndim > 1 else 1)


def _put(x, index, shape):
    out = np.zeros(shape, x.dtype)
    np.add.at(out, index, x)
    return out


def _updated(x, y, index, add):
    out = x.copy()
    for where, value in zip(np.arange(x.size).reshape(x.shape)[index].ravel(), np.ravel(y), strict=True):
        out.ravel()[where] = value + (out.ravel()[where] if add else 0)
    return out


def _reductions():
    for name in ("sum", "mean", "max", "min", "var"):
        f = getattr(np, name)
        smooth = name in ("sum", "mean", "var")
        for note, options in {
            "": {}, "axis 0": {"axis": 0}, "axis -1 kept": {"axis": -1, "keepdims": True},
            "two axes": {"axis": (0, -1)}, "all kept": {"keepdims": True}, "no axis at all": {"axis": ()},
        }.items():  # fmt: skip
            if name == "var" and options.get("axis") == ():
                continue  # the variance of one number: of no use, and a blind test
            yield Case(
                name, lambda x, f=f, o=options: f(x, **o), ((3, 2, 4),),
                distinct=not smooth, analytic=smooth and name != "var", complex=name in ("sum", "mean"), note=note,
            )  # fmt: skip
        yield Case(name, lambda x, f=f: f(x), ((5,),), distinct=not smooth)
        yield Case(name, lambda x, f=f: f(x, axis=0), ((2, 0),), distinct=not smooth, note="empty")
        if name != "var":
            yield Case(name, lambda x, f=f: f(x), ((),), distinct=not smooth)
    yield Case("sum", lambda x: np.sum(x), ((0,),), note="of nothing")
    yield Case("var", lambda x: np.var(x, axis=1, ddof=1), ((3, 4),), note="ddof 1")
    yield Case("add.reduce", lambda x: np.add.reduce(x, axis=1, keepdims=True), ((3, 4),), analytic=True)
    yield Case("add.reduce", lambda x: np.add.reduce(x), ((3, 4),), analytic=True, note="axis 0")


def _shapes():
    yield Case("reshape", lambda x: np.reshape(x, (2, -1)), ((3, 4),), analytic=True, complex=True)
    yield Case("reshape", lambda x: np.reshape(x, 12), ((3, 4),), note="to one axis")
    yield Case("reshape", lambda x: np.reshape(x, (4, 3), order="F"), ((3, 4),), note="order F")
    yield Case("reshape", lambda x: np.reshape(x, ()), ((1, 1),), note="to none")
    yield Case("reshape", lambda x: x.reshape(4, -1), ((3, 4),), note="method")
    yield Case("transpose", lambda x: np.transpose(x), ((2, 3, 4),), analytic=True, complex=True)
    yield Case("transpose", lambda x: np.transpose(x, (2, 0, -2)), ((2, 3, 4),), note="given")
    yield Case("transpose", lambda x: x.transpose(1, 0, 2), ((2, 3, 4),), note="method")
    yield Case("transpose", lambda x: x.T, ((2, 3),), note="T")
    yield Case("transpose", lambda x: x.T, ((),))
    yield Case("permute_dims", lambda x: np.permute_dims(x, (1, 0)), ((2, 3),))
    yield Case("swapaxes", lambda x: np.swapaxes(x, 0, -1), ((2, 3, 4),), complex=True)
    yield Case("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 4)), ((3, 1),), analytic=True, complex=True)
    yield Case("broadcast_to", lambda x: np.broadcast_to(x, (2, 3)), ((),))
    yield Case("broadcast_to", lambda x: np.broadcast_to(x, (0, 3)), ((3,),), note="to nothing")
    for note, index in INDICES.items():
        yield Case("getitem", lambda x, i=index: x[i], ((3, 4),), analytic=True, complex=True, note=note)
        shape = np.zeros((3, 4))[index].shape
        yield Case(
            "put", lambda x, i=index: REGISTRY["put"](x, index=i, shape=(3, 4)), (shape,),
            reference=lambda x, i=index: _put(x, i, (3, 4)), note=note,
        )  # fmt: skip
        yield Case(
            "at_add", lambda x, y, i=index: REGISTRY["at_add"](x, y, index=i), ((3, 4), shape),
            reference=lambda x, y, i=index: _updated(x, y, i, add=True), complex=note == "basic", note=note,
        )  # fmt: skip
        yield Case(
            "at_set", lambda x, y, i=index: REGISTRY["at_set"](x, y, index=i), ((3, 4), shape),
            reference=lambda x, y, i=index: _updated(x, y, i, add=False), complex=note == "basic", note=note,
        )  # fmt: skip
    yield Case("getitem", lambda x: x[()], ((),), note="()")
    yield Case("getitem", lambda x: x[None], ((),), note="None")
    yield Case("getitem", lambda x: x[2:1], ((3, 4),), note="nothing")
    yield Case("getitem", lambda x: x[np.zeros(3, bool)], ((3, 4),), note="nothing, boolean")
    broadcast = np.s_[1:]
    yield Case("at_add", lambda x, y: REGISTRY["at_add"](x, y, index=broadcast), ((3, 4), (4,)), note="broadcast")
    yield Case("at_set", lambda x, y: REGISTRY["at_set"](x, y, index=broadcast), ((3, 4), ()), note="broadcast")
    yield Case("at_set", lambda x, y: REGISTRY["at_set"](x, y, index=ROWS), ((3, 4), (4,)), note="broadcast, twice")
    for axis in (0, 1, -1, None):
        yield Case(
            "concatenate", lambda x, y, a=axis: np.concatenate([x, y], axis=a), ((2, 3), (2, 3)),
            analytic=True, complex=True, note=f"axis {axis}",
        )  # fmt: skip
        if axis is not None:
            yield Case("stack", lambda x, y, a=axis: np.stack((x, y), axis=a), ((2, 3), (2, 3)), note=f"axis {axis}")
    yield Case("concatenate", lambda x, y, z: np.concatenate((x, y, z)), ((2,), (0,), (3,)), order=1)
    yield Case("concatenate", lambda x, y: np.concatenate((x, y), axis=None), ((2, 2), (3,)), note="flat")
    yield Case("concatenate", lambda x: np.concatenate([x, x, np.ones(2)]), ((2,),), note="one twice")
    yield Case("stack", lambda x, y: np.stack([x, y]), ((), ()))


def _products():
    for a, b in [
        ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)), ((3,), (4, 3, 2)), ((4, 2, 3), (3,)), ((2, 0), (0, 3)), ((0, 3), (3, 2)),
    ]:  # fmt: skip
        yield Case("matmul", lambda x, y: x @ y, (a, b), analytic=True, complex=True)
    for a, b in [
        ((), ()), ((), (2, 3)), ((2, 3), ()), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)),
        ((5, 2, 3), (3,)), ((5, 2, 3), (3, 4)), ((3,), (4, 3, 2)), ((2, 3), (4, 3, 5)), ((2, 4, 3), (2, 3, 4)),
        ((2, 2, 4, 3), (2, 5, 3, 4)), ((2, 0), (0, 3)),
    ]:  # fmt: skip
        yield Case("dot", lambda x, y: np.dot(x, y), (a, b), analytic=True, complex=True)


def _neural():
    for shapes in [((7, 4), (3, 4), (3,)), ((1, 4), (3, 4), (3,)), ((4,), (3, 4), (3,)), ((2, 5, 4), (3, 4), (3,))]:
        yield Case("affine", lambda x, W, b: tg.affine(x, W, b), shapes, reference=lambda x, W, b: x @ W.T + b)
    yield Case("affine", lambda x, W, b: tg.affine(x, W, b), ((0, 4), (3, 4), (3,)), note="no rows")
    for axis in (-1, 0, (0, 1)):
        yield Case(
            "softmax", lambda x, a=axis: tg.softmax(x, axis=a), ((3, 4),),
            reference=lambda x, a=axis: _softmax(x, a), note=f"axis {axis}",
        )  # fmt: skip
        yield Case(
            "log_softmax", lambda x, a=axis: tg.log_softmax(x, axis=a), ((3, 4),),
            reference=lambda x, a=axis: np.log(_softmax(x, a)), note=f"axis {axis}",
        )  # fmt: skip
        for kept in (False, True):
            yield Case(
                "logsumexp", lambda x, a=axis, k=kept: tg.logsumexp(x, axis=a, keepdims=k), ((3, 4),),
                reference=lambda x, a=axis, k=kept: _logsumexp(x, a, k), note=f"axis {axis}" + " kept" * kept,
            )  # fmt: skip
    yield Case("logsumexp", lambda x: tg.logsumexp(x), ((3, 4),), reference=_logsumexp)
    yield Case("relu", lambda x: tg.relu(x), ((3, 4),), reference=lambda x: np.maximum(x, 0), distinct=True)
    for alpha in (0.01, 0.3):
        yield Case(
            "leaky_relu", lambda x, a=alpha: tg.leaky_relu(x, alpha=a), ((3, 4),), distinct=True,
            reference=lambda x, a=alpha: np.maximum(x, 0) + x.dtype.type(a) * np.minimum(x, 0), note=f"alpha {alpha}",
        )  # fmt: skip
    yield Case("sigmoid", lambda x: tg.sigmoid(x), ((3, 4),), domain=(-8, 8), reference=lambda x: 1 / (1 + np.exp(-x)))
    both = ((-3.0, 3.0), PROBABILITY)
    for shape in ((4, 3), (1, 3), (3,)):
        yield Case(
            "softmax_crossentropy", lambda z, y: tg.softmax_crossentropy(z, y), (shape, shape), both,
            reference=_softmax_crossentropy,
        )  # fmt: skip
        yield Case(
            "sigmoid_crossentropy", lambda z, y: tg.sigmoid_crossentropy(z, y), (shape, shape), both,
            reference=_sigmoid_crossentropy, analytic=False,
        )  # fmt: skip
    yield Case(
        "softmax_crossentropy", lambda z: tg.softmax_crossentropy(z, ONE_HOT.astype(z.dtype), normalized=True),
        ((4, 3),), reference=lambda z: _softmax_crossentropy(z, ONE_HOT.astype(z.dtype)), note="normalized",
    )  # fmt: skip


def _elementwise():
    yield Case("where", lambda x, y: np.where(MASK, x, y), ((3, 4), (3, 4)), analytic=True, complex=True)
    yield Case("where", lambda x, y: np.where(x > y, x, y), ((3, 1), (4,)), distinct=True, note="of a comparison")
    yield Case("where", lambda x: np.where(MASK, x, 0.0), ((3, 4),), note="a number")
    yield Case("clip", lambda x: np.clip(x, -0.5, 0.8), ((3, 4),), distinct=True)
    yield Case("clip", lambda x: np.clip(x, None, 0.3), ((3, 4),), distinct=True, note="from above")
    yield Case("clip", lambda x: np.clip(x, 0.1, INF), ((3, 4),), distinct=True, note="from below")
    yield Case("clip", lambda x: x.clip(-1.0, 1.0), ((3, 4),), distinct=True, note="method")
    positive = (0.3, 2.0)
    yield Case("power", lambda x, y: x**y, ((3, 4), (4,)), positive, analytic=True)
    yield Case("power", lambda x: x**2, ((3, 4),), analytic=True, complex=True, note="squared")
    yield Case("power", lambda x: x**3, ((3, 4),), analytic=True, note="cubed")
    yield Case("power", lambda x: x**-2, ((3, 4),), positive, analytic=True, note="to a negative number")
    yield Case("power", lambda x: x**0.5, ((3, 4),), positive, analytic=True, note="to a half")
    yield Case("power", lambda x: 2.0**x, ((3, 4),), analytic=True, note="of a number")
    for name, call in {
        "add": lambda x, y: x + y, "subtract": lambda x, y: x - y, "multiply": lambda x, y: x * y,
        "divide": lambda x, y: x / y,
    }.items():  # fmt: skip
        yield Case(name, call, ((3, 4), (3, 1)), (0.4, 2.0), analytic=True, complex=True)
    for name in ("exp", "sin", "cos", "tanh", "negative"):
        yield Case(name, getattr(np, name), ((3, 4),), (-1.0, 1.0), analytic=True, complex=True)
    for name in ("log", "sqrt", "log1p"):
        yield Case(name, getattr(np, name), ((3, 4),), positive, analytic=True, complex=True)
    yield Case("absolute", lambda x: abs(x), ((3, 4),), distinct=True, complex=True)
    yield Case("alias", lambda x: REGISTRY["alias"](x), ((3, 4),), analytic=True, complex=True)


CASES = [*_elementwise(), *_reductions(), *_shapes(), *_products(), *_neural()]
