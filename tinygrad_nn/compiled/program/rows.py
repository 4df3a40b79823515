"""Rows of arrays that steps of a loop take or make one by one: found, taken together, and put together again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from ..trace.operations import frozen
from .memory import view_of
from .values import VIEWS, Op, Value

MANY = 8  # rows that are worth being taken together
ALL = ("slice", None, None, None)
Array = np.ndarray[Any, Any]
Index = tuple[Any, ...]


def make(
    ops: list[Op], kind: str, function: Any, args: list[Any], attrs: Index, like: Array, name: str, nest: Any = None
) -> Value:  # fmt: skip
    """Append an operation, and return its result, of the shape and dtype of an array."""
    op = Op(kind, name, function, args, attrs, nest=nest, given=None if nest is None else {**nest[1], "numbers": {}})
    op.outs.append(Value(0, "made", like.shape, like.dtype, op))
    ops.append(op)
    return op.out


def view(ops: list[Op], kind: str, x: Value, attr: Index, out: Value | None = None) -> Value:
    """Append an operation that looks at an array in another way, and return its result, or let `out` be that."""
    op = Op(kind, "getitem" if kind == "slice" else kind, None, [x], (attr,))
    like = view_of(op, like_of(x))
    op.outs.append(out or Value(0, "made", like.shape, like.dtype))
    op.out.op = op
    ops.append(op)
    return op.out


class Rows:
    """What differs from step to step and can be taken from one array.

    Attributes:
        wrong: the steps of which it does not hold.
        order: 1 or -1 where rows follow each other, or go back, one by one; else 0.
    """

    def __init__(self, wrong: list[int], base: Value | None, data: Sequence[Any], index: Index, at: int) -> None:
        self.wrong, self.base, self.data, self.index, self.at = wrong, base, data, index, at
        steps = set(np.diff(self.data).tolist()) if base is not None and not wrong else set()
        self.order = steps.pop() if steps in ({1}, {-1}) else 0

    @property
    def key(self) -> Any:
        """What tells which rows these are."""
        if self.base is None:
            return id(self)
        part = self.index[self.at]
        wide = None if isinstance(part, int) else part[2] - part[1]
        return self.base, self.index[: self.at], wide, self.index[self.at + 1 :], *self.data

    @staticmethod
    def numbers(data: Sequence[Any], dtype: Any) -> Rows:
        """Return Python numbers that an operation takes in a dtype."""
        return Rows([], None, [np.array(x, dtype) for x in data], (), 0)

    @staticmethod
    def over(values: Sequence[Any], m: int) -> Rows | None:
        """Return values that are rows of one array, or constants; at least those around step `m`."""
        near = [values[m - 1], values[m], values[m + 1]]
        if all(x.kind == "constant" for x in near):
            data = [x.data if x.kind == "constant" else None for x in values]
            return Rows([r for r, x in enumerate(data) if x is None], None, data, (), 0)
        if any(x.op is None or x.op.kind != "slice" for x in near):
            return None
        sliced = [x.op if x.op is not None and x.op.kind == "slice" else None for x in values]
        return Rows.of([x and x.args[0] for x in sliced], [x and x.attrs[0] for x in sliced], m)

    @staticmethod
    def of(bases: Sequence[Any], indices: Sequence[Any], m: int) -> Rows | None:
        """Return what indices that differ in one number take of one array; at least those around step `m`."""
        base = bases[m]
        full = [_full(i, base.shape) if b is base else () for b, i in zip(bases, indices, strict=True)]
        index, others = full[m], (full[m - 1], full[m + 1])
        if {len(other) for other in others} != {len(index)}:
            return None
        places = {k for other in others for k, (a, b) in enumerate(zip(index, other, strict=True)) if a != b}
        if len(places) != 1:
            return None
        at = places.pop()
        data = [_number(x, index, at) if x else None for x in full]
        if data[m] is None:
            return None
        return Rows([r for r, x in enumerate(data) if x is None], base, data, index, at)

    def array(self, ops: list[Op], back: bool) -> Value:
        """Append what takes all rows, along the first axis, and return the array of them.

        With `back` that of the last step comes first.
        """
        data = self.data[::-1] if back else self.data
        base = self.base
        if base is None:
            every = np.stack(data)
            return Value(0, "constant", every.shape, every.dtype, data=every)
        axis = sum(part is not None for part in self.index[: self.at])
        part, before = self.index[self.at], (ALL,) * axis
        steps = set(np.diff(data).tolist())
        wide = not isinstance(part, int)
        if len(steps) == 1 and 0 not in steps and not wide:
            step = steps.pop()
            stop = data[-1] + (1 if step > 0 else -1)
            taken = ("slice", data[0], None if stop < 0 else stop, step)
            found = view(ops, "slice", base, (*before, taken)) if taken != ("slice", 0, base.shape[axis], 1) else base
        else:
            places = np.array(data)
            if wide:
                places = places[:, None] + np.arange(part[2] - part[1])
            shape = (*base.shape[:axis], *places.shape, *base.shape[axis + 1 :])
            take = partial(np.take, indices=places, axis=axis)
            like = np.broadcast_to(np.empty((), base.dtype), shape)
            found = make(ops, "call", take, [base], ("call", ("rows", id(take))), like, "rows")
        rest = (*self.index[: self.at], ALL, *((ALL,) if wide else ()), *self.index[self.at + 1 :])
        if any(x != ALL for x in rest):
            found = view(ops, "slice", found, rest)
        first = sum(x is None or not isinstance(x, int) for x in self.index[: self.at])
        if first:
            axes = [k for k in range(len(found.shape)) if k != first]
            found = view(ops, "transpose", found, (first, *axes))
        return found


def _full(index: Index, shape: tuple[int, ...]) -> Index:
    """Return an index with a part for each axis, and numbers that count from the start."""
    used = sum(part is not None and part is not Ellipsis for part in index)
    filled = (ALL,) * (len(shape) - used)
    parts: list[Any] = []
    for part in index if Ellipsis in index else (*index, Ellipsis):
        parts += filled if part is Ellipsis else [part]
    axis = 0
    for k, part in enumerate(parts):
        if isinstance(part, int):
            parts[k] = part % shape[axis]
        axis += part is not None
    return tuple(parts)


def _number(index: Index, like: Index, at: int) -> int | None:
    """Return what an index has in one place, if it is as another elsewhere."""
    if (*index[:at], *index[at + 1 :]) != (*like[:at], *like[at + 1 :]):
        return None
    mine, other = index[at], like[at]
    if isinstance(mine, int) and isinstance(other, int):
        return mine
    if not (isinstance(mine, tuple) and isinstance(other, tuple)):
        return None
    ends = all(type(end) is int and end >= 0 for end in (*mine[1:3], *other[1:3])) and mine[3] in (None, 1)
    same = ends and mine[2] - mine[1] == other[2] - other[1] and mine[3] == other[3]
    return mine[1] if same else None


# -- Sums of rows that each lie in an array of zeros


def spread(ops: Sequence[Op], outputs: Sequence[Any]) -> list[Op]:
    """Return operations in which the gradient of an array whose rows were taken one by one is a stack of these.

    The sum of many arrays that are zero but for one row each has these rows, and 0.0 is added to each.
    """
    users = Counter([*(x for op in ops for x in op.values), *(x for x in outputs if isinstance(x, Value))])
    rank = {op: i for i, op in enumerate(ops)}
    seen: set[Op] = set()
    instead: dict[Op, list[Op]] = {}
    for op in reversed(ops):
        if op in seen or not _sum(op):
            continue
        chain, puts = _chain(op, users)
        seen.update(chain)
        axes = {axis for _, (axis, _) in puts}
        if len(puts) < MANY or len(axes) > 1:
            continue
        rows: dict[int, tuple[Value, Op]] = {}
        again: dict[Op, list[Op]] = {put: [] for put, _ in puts}  # where a row is taken twice, a sum after the second
        for put, (_, number) in reversed(puts):
            row, at = put.args[0], put
            if number in rows:
                other, before = rows[number]
                at = max(put, before, key=rank.__getitem__)
                row = make(again[at], "ufunc", np.add, [other, row], (), like_of(row), "add")
            rows[number] = row, at
        if max(rows) + 1 - min(rows) == len(rows):
            new = _whole([rows[number][0] for number in sorted(rows)], min(rows), op.out.shape, axes.pop())
            new[-1].outs = op.outs
            op.out.op = new[-1]
            instead.update({**again, **{one: [] for one in chain}, op: new})
    return [new for op in ops for new in instead.get(op, (op,))]


def _chain(op: Op, users: Counter[Value]) -> tuple[list[Op], list[tuple[Op, tuple[int, int]]]]:
    """Return the additions that a sum of arrays of zeros with a row each consists of, and where each row lies."""
    chain, puts = [op], []
    while True:
        x = chain[-1]
        left = [y.op for y in x.values if y.op is not None and users[y] == 1 and _put(y) is not None]
        puts += [(put, place) for put in left if (place := _put(put.out)) is not None]
        rest = [y.op for y in x.values if y.op not in left]
        if not left or not rest:
            return chain, puts if len(left) == 2 else []
        if rest[0] is None or not _sum(rest[0]) or users[rest[0].out] > 1:
            return chain, []
        chain.append(rest[0])


def _whole(rows: list[Value], low: int, shape: tuple[int, ...], axis: int) -> list[Op]:
    """Return the operations that put rows next to each other on an axis, zeros before and after them."""
    new: list[Op] = []
    one = like_of(rows[0])
    like, n = np.broadcast_to(one, (len(rows), *one.shape)), shape[axis]
    whole = make(new, "call", _stacked, rows, ("call", ("stacked",)), like, "stack", [rows, {"axis": 0}])
    whole = make(new, "ufunc", np.add, [whole, 0.0], (), like, "add")
    if len(rows) < n:
        fill, like = partial(_filled, n=n, low=low), np.broadcast_to(one, (n, *one.shape))
        whole = make(new, "call", fill, [whole], ("call", ("filled", n, low)), like, "fill")
    if axis:
        _in_order(new, whole, axis)
    return new


def like_of(x: Value) -> Array:
    """Return an array of the same shape and dtype that has no memory of its own."""
    return np.broadcast_to(np.empty((), x.dtype), x.shape)


def _stacked(*parts: Any) -> Any:
    return np.stack(parts)


def _filled(x: Any, n: int, low: int) -> Any:
    """Return rows with zeros before and after them."""
    whole = np.zeros((n, *x.shape[1:]), x.dtype)
    whole[low : low + len(x)] = x
    return whole


def _sum(op: Op | None) -> bool:
    """Tell whether an operation adds two arrays of floats of its shape."""
    if op is None or op.kind != "ufunc" or op.function is not np.add or op.out.dtype.kind != "f":
        return False
    return all(isinstance(x, Value) and (x.shape, x.dtype) == (op.out.shape, op.out.dtype) for x in op.args)


def _put(x: Value) -> tuple[int, int] | None:
    """Return the axis and the place on it of the zeros into which an array was put; None for what is made otherwise."""
    op = x.op
    if op is None or op.name != "put" or op.kind != "call" or not op.given or len(op.args) != 1:
        return None
    index, y = op.given.get("index"), op.args[0]
    parts = index if isinstance(index, tuple) else (index,)
    if not all(type(part) in (int, slice) or part is Ellipsis for part in parts) or y.dtype != x.dtype:
        return None
    full = _full(frozen(parts), x.shape)
    axes = [axis for axis, part in enumerate(full) if part != ALL]
    return (axes[0], full[axes[0]]) if len(axes) == 1 and isinstance(full[axes[0]], int) else None


def _in_order(ops: list[Op], x: Value, axis: int) -> None:
    """Append what moves the first axis there; the entries lie in order then, so that sums run over them as ever."""
    axes = list(range(1, len(x.shape)))
    axes.insert(axis, 0)
    cut = x.op is not None and x.op.kind == "slice"
    source = x.op.args[0] if cut and x.op is not None else x
    steps = [part[3] for part in x.op.attrs[0] if part != ALL] if cut and x.op is not None else []
    if axis == 0 and set(steps) <= {None, 1} and (source.op is None or source.op.kind not in VIEWS):
        view(ops, "slice", x, (ALL,))
    else:
        like = like_of(x).transpose(axes)
        make(ops, "call", partial(_turned, axes=axes), [x], ("call", ("turned", *axes)), like, "in_order")


def _turned(x: Any, axes: list[int]) -> Any:
    return np.array(x.transpose(axes), order="C")


# -- Stacks of rows that lie in one array already


def stacks(ops: Sequence[Op]) -> list[Op]:
    """Return operations in which a stack of many rows of one array is made of parts of that array."""
    made: list[Op] = []
    for op in ops:
        axis = (op.given or {}).get("axis", 0) if op.kind == "call" and op.name == "stack" else None
        if type(axis) is not int or len(parts := _parts(op.args)) * 2 > len(op.args):
            made.append(op)
            continue
        taken = [_taken(made, *x) if isinstance(x, tuple) else view(made, "slice", x, (None,)) for x in parts]
        if len(taken) == 1 and axis % len(op.out.shape) == 0:
            _in_order(made, taken[0], 0)
        else:
            like = np.broadcast_to(like_of(taken[0])[:1], (len(op.args), *taken[0].shape[1:]))
            nest = [taken, {"axis": 0}]
            whole = make(made, "call", _joined, taken, ("call", ("joined",)), like, "concatenate", nest)
            if axis % len(whole.shape):
                _in_order(made, whole, axis % len(whole.shape))
        made[-1].outs = op.outs
        op.out.op = made[-1]
    return made


def _taken(ops: list[Op], base: Value, numbers: list[int]) -> Value:
    """Append what takes rows of an array."""
    rest = (ALL,) * (len(base.shape) - 1)
    return Rows([], base, numbers, (0, *rest), 0).array(ops, False)


def _joined(*parts: Any) -> Any:
    return np.concatenate(parts)


def _parts(args: Sequence[Any]) -> list[Any]:
    """Return values with long runs of rows of one array as this array and the numbers of the rows."""
    parts: list[Any] = []
    for base, some in groupby(args, key=lambda x: _row(x)[0]):
        run = list(some)
        parts += [(base, [_row(x)[1] for x in run])] if base is not None and len(run) >= MANY else run
    return parts


def _row(x: Any) -> tuple[Any, int]:
    """Return the array of which a value is one row, and which; of others None."""
    op = x.op if isinstance(x, Value) else None
    if op is None or op.kind != "slice":
        return None, 0
    index = _full(op.attrs[0], op.args[0].shape)
    alone = bool(index) and isinstance(index[0], int) and all(part == ALL for part in index[1:])
    return (op.args[0], index[0]) if alone else (None, 0)
