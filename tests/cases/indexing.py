"""Rows for gathering and scattering, and for the updates ``t.at[index]``."""

import numpy as np

from tinygrad_nn import Tensor
from tinygrad_nn.ops.indexing import At
from tinygrad_nn.primitive import REGISTRY

from .case import Case

LINEAR = {"analytic": True, "complex": True}
X = (3, 4)
MASK = np.array([[True, False, True, False], [False, False, True, True], [True, True, False, True]])
TWICE = np.array([2, 0, 2])
INDICES = {
    "basic": np.s_[1:, ::2],
    "one entry": np.s_[1, 2],
    "negative step": np.s_[::-2, None],
    "Ellipsis": np.s_[..., -1],
    "rows": np.array([2, 0]),
    "rows twice": TWICE,
    "negative rows": np.array([-1, -3, -1]),
    "small integers": np.array([2, 1], dtype=np.int8),
    "unsigned": np.array([2, 1, 2], dtype=np.uint8),
    "0-d array": np.array(1),
    "matrix of rows": np.array([[0, 1], [1, 2]]),
    "list": [0, 0, 2],
    "columns": np.s_[:, np.array([0, 3, 3])],
    "two": (TWICE, np.array([1, 1, 1])),
    "outer": np.ix_([0, 2], [1, 1, 3]),
    "mixed": np.s_[np.array([0, 1]), None, 1:3],
    "apart": np.s_[np.array([0, 1]), None, np.array([2, 2])],
    "boolean": MASK,
    "boolean row": np.s_[1:, MASK[0]],
    "boolean and integer": (np.array([True, False, True]), 2),
    "boolean and integers": (np.array([True, False, False]), np.array([1, 1])),
    "True": True,
    "nothing": np.s_[3:],
    "no rows": np.array([], dtype=int),
}
BROADCAST = {  # shape of the array, index -> shapes of values, some with leading axes of length 1 as in an assignment
    "one row": (X, 0, ((1, 4), (1, 1, 4), (1,), (1, 1))),
    "one entry": (X, (1, 2), ((1,), (1, 1))),
    "rows twice": (X, TWICE, ((1, 3, 4), (1, 1, 3, 1), (3, 1))),
    "0-d": ((), ..., ((), (1,), (1, 1))),
    "0-d ()": ((), (), ((), (1,))),
    "0-d None": ((), None, ((), (1,), (1, 1))),
    "0-d True": ((), True, ((), (1,))),
    "0-d Ellipsis None": ((), (..., None), ((), (1,))),
}
PICKS = np.array([[0, 3, 3], [1, 1, 0], [2, 0, 1]])


def _update(name):
    """The update entry by entry, in the order of the index."""
    step = {
        "set": lambda old, new: new, "add": lambda old, new: old + new, "multiply": lambda old, new: old * new,
        "min": min, "max": max,
    }[name]  # fmt: skip

    def update(x, y, index):
        out = x.copy().reshape(-1)
        slots = np.arange(x.size).reshape(x.shape)[index]
        spread = np.broadcast_to(y, np.broadcast_shapes(np.shape(y), slots.shape))
        for slot, value in zip(slots.ravel(), spread.ravel(), strict=True):
            out[slot] = step(out[slot], value)
        return out.reshape(x.shape)

    return update


def _winning_or_not(shape, name):
    """Values of which every second one changes the entries, which lie between -2 and 2."""
    flat = np.arange(int(np.prod(shape)))
    return np.reshape(np.where((flat % 2 == 0) == (name == "max"), 3, -3) + 0.01 * flat, shape)


def _index():
    for note, index in INDICES.items():
        yield Case("getitem", lambda x, i=index: x[i], (X,), note=note, **LINEAR)
    yield Case("getitem", lambda x: x[Tensor(TWICE)] if isinstance(x, Tensor) else x[TWICE], (X,), note="a Tensor")
    yield Case(
        "getitem", lambda x: x[1:, Tensor(MASK[0])] if isinstance(x, Tensor) else x[1:, MASK[0]], (X,),
        note="a boolean Tensor",
    )  # fmt: skip
    yield Case("getitem", lambda x: x[x > 0], (X,), distinct=True, note="a comparison")
    yield Case("getitem", lambda x: x[:, :, np.array([0, 0, 1])], ((4, 5, 6),), note="columns, many")


def _updates():
    for name in ("set", "add", "multiply", "min", "max"):
        reference = _update(name)
        smooth = name in ("set", "add", "multiply")
        for note, index in INDICES.items():
            shape = np.zeros(X)[index].shape
            for s in [shape, (), shape[-1:]] if note in ("basic", "rows twice", "boolean") else [shape]:
                y = s if smooth else _winning_or_not(s, name)
                yield Case(
                    f"at_{name}", lambda x, y, i=index, n=name: getattr(At(x)[i], n)(y), (X, y), distinct=not smooth,
                    reference=lambda x, y, i=index, f=reference: f(x, y, i), complex=smooth and note == "rows twice",
                    differentiable=(name != "set" or note not in ("True", "matrix of rows"), True), note=note,
                )  # fmt: skip
        for note, (shape, index, values) in BROADCAST.items():
            for s in values:
                yield Case(
                    f"at_{name}", lambda x, y, i=index, n=name: getattr(At(x)[i], n)(y),
                    (shape, s if smooth else _winning_or_not(s, name)), distinct=not smooth,
                    reference=lambda x, y, i=index, f=reference: f(x, y, i),
                    differentiable=(shape == X or name in ("add", "multiply"), True), note=f"{note}, spread",
                )  # fmt: skip
        number = 0.3 if name == "max" else 3.0
        yield Case(
            f"at_{name}", lambda x, n=name, v=number: getattr(x.at[...], n)(v), ((),), (1.0, 2.0), note="0-d, a number",
            reference=lambda x, f=reference, v=number: f(x, v, ...), order=0 if name == "set" else 2,
        )  # fmt: skip
        yield Case(
            f"at_{name}", lambda x, n=name: getattr(x.at[TWICE], n)(0.5), (X,), distinct=not smooth,
            reference=lambda x, f=reference: f(x, 0.5, TWICE), note="a number",
        )  # fmt: skip
    yield Case(
        "at_multiply", lambda x, y: x.at[TWICE, 1].multiply(y), (X, np.array([0.0, 0.0, 3.0])), note="zeros", order=1,
        reference=lambda x, y: _update("multiply")(x, y, (TWICE, 1)),
    )  # fmt: skip
    yield Case(
        "at_multiply", lambda x, y: x.at[[0, 0, 0, 1]].multiply(y), ((2,), (4,)), order=3, note="three times",
        reference=lambda x, y: _update("multiply")(x, y, [0, 0, 0, 1]),
    )  # fmt: skip
    yield Case(
        "put", lambda x: REGISTRY["put"](x, index=np.s_[:, np.array([0, 0, 1])], shape=(5, 4, 6)), ((5, 3, 6),),
        reference=lambda x: np.stack([x[:, 0] + x[:, 1], x[:, 2], 0 * x[:, 0], 0 * x[:, 0]], axis=1),
        note="columns, many",
    )  # fmt: skip


def _take():
    for note, indices in {"number": 1, "list": [2, 0, 2], "matrix": np.array([[0, 1], [2, -1]])}.items():
        yield Case("take", lambda x, i=indices: np.take(x, i), (X,), note=f"{note}, flat", **LINEAR)
        yield Case("take", lambda x, i=indices: np.take(x, i, axis=1), (X,), note=f"{note}, axis 1", **LINEAR)
        yield Case("take", lambda x, i=indices: x.take(i, -2), (X,), note=f"{note}, method", **LINEAR)
    for mode in ("wrap", "clip"):
        yield Case("take", lambda x, m=mode: np.take(x, [7, -6, 1], axis=0, mode=m), (X,), note=mode)
        yield Case("take", lambda x, m=mode: np.take(x, [30, -9, 1], mode=m), (X,), note=f"{mode}, flat")
    for axis in (0, 1, -1):
        yield Case(
            "take_along_axis", lambda x, a=axis: np.take_along_axis(x, PICKS % 3, axis=a), ((3, 3),), note=f"{axis}",
            **LINEAR,
        )  # fmt: skip
    yield Case("take_along_axis", lambda x: np.take_along_axis(x, PICKS[:, :2], 1), (X,), note="fewer")
    yield Case("take_along_axis", lambda x: np.take_along_axis(
        x, np.array([[2, 0, 1, 1]]), 0), (X,), note="one row")  # fmt: skip
    yield Case("take_along_axis", lambda x: np.take_along_axis(x, np.array([3, 3, 0]), None), ((2, 2),), note="flat")
    yield Case("take_along_axis", lambda x: np.take_along_axis(x, np.array([1, 1]), -1), ((3,),))
    yield Case(
        "take_along_axis", lambda x: np.take_along_axis(x, np.argsort(x, axis=-1), axis=-1), ((3, 4),), distinct=True,
        note="sorts",
    )  # fmt: skip
    picks = np.array([[0, 2, 1], [1, 1, 0]])
    for note, call in {
        "": lambda x, y: np.choose(picks, [x, y, 2 * x]), "broadcast": lambda x, y: np.choose(picks, (x[0], y, 0.0)),
        "wrap": lambda x, y: np.choose(picks + 4, [x, y], mode="wrap"),
        "clip": lambda x, y: np.choose(picks - 1, [x, y], mode="clip"),
        "one Tensor": lambda x, y: np.choose(picks, np.stack([x, y, x])),
        "number": lambda x, y: np.choose(1, [x, y]) + x,
        "Tensor of picks": lambda x, y: np.choose(Tensor(picks) if isinstance(x, Tensor) else picks, [x, y, x]),
        "method": lambda x, y: (Tensor(picks) if isinstance(x, Tensor) else picks).choose([x, y, x]),
    }.items():  # fmt: skip
        yield Case("choose", call, ((2, 3), (2, 3)), note=note, analytic=True)
    keep = [True, False, True]
    for note, call in {
        "axis": lambda x: np.compress(keep, x, axis=0), "flat": lambda x: np.compress(keep, x),
        "short": lambda x: np.compress([False, True], x, axis=1), "method": lambda x: x.compress(keep, axis=0),
    }.items():  # fmt: skip
        yield Case("compress", call, (X,), note=note, **LINEAR)
    yield Case("extract", lambda x: np.extract(MASK, x), (X,), **LINEAR)
    yield Case("extract", lambda x: np.extract(x > 0, x), (X,), distinct=True, note="a comparison")
    for note, (obj, axis) in {
        "flat": (1, None), "axis": (1, 1), "list": ([0, 2], -1), "slice": (slice(1, None, 2), 1), "negative": (-1, 0),
        "mask": (np.array([True, False, True]), 0), "nothing": ([], 1),
    }.items():  # fmt: skip
        yield Case("delete", lambda x, o=obj, a=axis: np.delete(x, o, axis=a), (X,), note=note, **LINEAR)
    for shape in (5, (2, 3), (4, 6), (0,), ()):
        yield Case("resize", lambda x, s=shape: np.resize(x, s), (X,), note=f"{shape}", **LINEAR)


CASES = [*_index(), *_updates(), *_take()]
