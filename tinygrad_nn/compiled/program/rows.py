"""Rows of arrays that an unrolled loop reads or makes one by one, turned into operations on whole arrays.

`Rows` recognizes values that differ only in which row of one array they are. `stack_row_gradients` replaces a sum of
arrays that are zero except for one row each (the gradient of reading rows) by a stack of these rows. `stack_rows`
replaces a stack of many rows of one array by a part of that array.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from ..trace.operations import frozen, full_index
from .memory import view_of
from .values import VIEWS, Op, Value

MANY = 8  # the fewest rows that are worth being taken together
ALL = ("slice", None, None, None)
Array = np.ndarray[Any, Any]
Index = tuple[Any, ...]


def append_operation(
    ops: list[Op], kind: str, function: Any, args: list[Any], attrs: Index, like: Array, name: str, nest: Any = None
) -> Value:  # fmt: skip
    """Append an operation, and return its result, a new value with the shape and dtype of `like`."""
    call_meta = None if nest is None else {**nest[1], "numbers": {}}
    op = Op(kind, name, function, args, attrs, nest=nest, call_meta=call_meta)
    op.outs.append(Value(0, "made", like.shape, like.dtype, op))
    ops.append(op)
    return op.out


def append_view(ops: list[Op], kind: str, x: Value, attr: Index, out: Value | None = None) -> Value:
    """Append a view operation on `x`, and return its result: `out` if given, else a new value."""
    op = Op(kind, "getitem" if kind == "slice" else kind, None, [x], (attr,))
    like = view_of(op, like_of(x))
    op.outs.append(out or Value(0, "made", like.shape, like.dtype))
    op.out.op = op
    ops.append(op)
    return op.out


class Rows:
    """Values, one for each step, that are all rows of one array, or all constants.

    Attributes:
        wrong: the steps whose values do not fit.
        base: the array; None for constants.
        data: the number of each step's row, or for constants their arrays.
        index: the index that takes a step's row of the base.
        at: the place in `index` that differs by step.
        order: 1 if rows follow each other in order, -1 if in reverse order; else 0.
    """

    def __init__(self, wrong: list[int], base: Value | None, data: Sequence[Any], index: Index, at: int) -> None:
        self.wrong, self.base, self.data, self.index, self.at = wrong, base, data, index, at
        steps = set(np.diff(self.data).tolist()) if base is not None and not wrong else set()
        self.order = steps.pop() if steps in ({1}, {-1}) else 0

    @property
    def key(self) -> Any:
        """A key that is equal for equal rows of the same array."""
        if self.base is None:
            return id(self)
        part = self.index[self.at]
        wide = None if isinstance(part, int) else part[2] - part[1]
        return self.base, self.index[: self.at], wide, self.index[self.at + 1 :], *self.data

    @staticmethod
    def numbers(data: Sequence[Any], dtype: Any) -> Rows:
        """Return Python numbers as rows of this dtype."""
        return Rows([], None, [np.array(x, dtype) for x in data], (), 0)

    @staticmethod
    def over(values: Sequence[Any], m: int) -> Rows | None:
        """Return values as rows of one array or as constants; None unless those at and next to step `m` are."""
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
        """Return the rows that indices of one array take, if they differ in one number only at and next to step `m`."""
        base = bases[m]
        full = [_full_index(i, base.shape) if b is base else () for b, i in zip(bases, indices, strict=True)]
        index, others = full[m], (full[m - 1], full[m + 1])
        if {len(other) for other in others} != {len(index)}:
            return None
        places = {k for other in others for k, (a, b) in enumerate(zip(index, other, strict=True)) if a != b}
        if len(places) != 1:
            return None
        at = places.pop()
        data = [_row_number(x, index, at) if x else None for x in full]
        if data[m] is None:
            return None
        return Rows([r for r, x in enumerate(data) if x is None], base, data, index, at)

    def array(self, ops: list[Op], back: bool) -> Value:
        """Append operations that put all rows along the first axis of one array, and return that array.

        With `back` the row of the last step comes first.
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
            found = (
                append_view(ops, "slice", base, (*before, taken))
                if taken != ("slice", 0, base.shape[axis], 1)
                else base
            )
        else:
            places = np.array(data)
            if wide:
                places = places[:, None] + np.arange(part[2] - part[1])
            shape = (*base.shape[:axis], *places.shape, *base.shape[axis + 1 :])
            take = partial(np.take, indices=places, axis=axis)
            like = np.broadcast_to(np.empty((), base.dtype), shape)
            found = append_operation(ops, "call", take, [base], ("call", ("rows", id(take))), like, "rows")
        rest = (*self.index[: self.at], ALL, *((ALL,) if wide else ()), *self.index[self.at + 1 :])
        if any(x != ALL for x in rest):
            found = append_view(ops, "slice", found, rest)
        first = sum(x is None or not isinstance(x, int) for x in self.index[: self.at])
        if first:
            axes = [k for k in range(len(found.shape)) if k != first]
            found = append_view(ops, "transpose", found, (first, *axes))
        return found


def _full_index(index: Index, shape: tuple[int, ...]) -> Index:
    """Return an index with a part for each axis, no Ellipsis, and no negative numbers."""
    parts, axis = full_index(index, len(shape), ALL), 0
    for k, part in enumerate(parts):
        if isinstance(part, int):
            parts[k] = part % shape[axis]
        axis += part is not None
    return tuple(parts)


def _row_number(index: Index, like: Index, at: int) -> int | None:
    """Return the number (or start of a slice) in place `at` of an index, if it equals `like` elsewhere, or None."""
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


# -- Sums of arrays that are zero except for one row each


def stack_row_gradients(ops: Sequence[Op], outputs: Sequence[Any]) -> list[Op]:
    """Return the operations with each long sum of arrays that are zero except for one row replaced by a stack of rows.

    Such sums are the gradients of arrays whose rows were read one by one. Since each row had zeros added to it, 0.0 is
    added to the stack, so that the signs of zeros stay the same.
    """
    users = Counter([*(x for op in ops for x in op.values), *(x for x in outputs if isinstance(x, Value))])
    rank = {op: i for i, op in enumerate(ops)}
    seen: set[Op] = set()
    instead: dict[Op, list[Op]] = {}
    for op in reversed(ops):
        if op in seen or not _is_sum(op):
            continue
        chain, puts = _chain(op, users)
        seen.update(chain)
        axes = {axis for _, (axis, _) in puts}
        if len(puts) < MANY or len(axes) > 1:
            continue
        rows: dict[int, tuple[Value, Op]] = {}
        again: dict[Op, list[Op]] = {put: [] for put, _ in puts}  # gradients of the same row are added after the second
        for put, (_, number) in reversed(puts):
            row, at = put.args[0], put
            if number in rows:
                other, before = rows[number]
                at = max(put, before, key=rank.__getitem__)
                row = append_operation(again[at], "ufunc", np.add, [other, row], (), like_of(row), "add")
            rows[number] = row, at
        if max(rows) + 1 - min(rows) == len(rows):
            new = _stack_operations([rows[number][0] for number in sorted(rows)], min(rows), op.out.shape, axes.pop())
            new[-1].outs = op.outs
            op.out.op = new[-1]
            instead.update({**again, **{one: [] for one in chain}, op: new})
    return [new for op in ops for new in instead.get(op, (op,))]


def _chain(op: Op, users: Counter[Value]) -> tuple[list[Op], list[tuple[Op, tuple[int, int]]]]:
    """Return the additions of a long sum of arrays with one row each, and for each row its operation and place."""
    chain, puts = [op], []
    while True:
        x = chain[-1]
        left = [y.op for y in x.values if y.op is not None and users[y] == 1 and _written_row(y) is not None]
        puts += [(put, place) for put in left if (place := _written_row(put.out)) is not None]
        rest = [y.op for y in x.values if y.op not in left]
        if not left or not rest:
            return chain, puts if len(left) == 2 else []
        if rest[0] is None or not _is_sum(rest[0]) or users[rest[0].out] > 1:
            return chain, []
        chain.append(rest[0])


def _stack_operations(rows: list[Value], low: int, shape: tuple[int, ...], axis: int) -> list[Op]:
    """Return the operations that stack rows along an axis, from place `low` on, with zeros before and after them."""
    new: list[Op] = []
    one = like_of(rows[0])
    like, n = np.broadcast_to(one, (len(rows), *one.shape)), shape[axis]
    whole = append_operation(new, "call", _stacked, rows, ("call", ("stacked",)), like, "stack", [rows, {"axis": 0}])
    whole = append_operation(new, "ufunc", np.add, [whole, 0.0], (), like, "add")
    if len(rows) < n:
        fill, like = partial(_filled, n=n, low=low), np.broadcast_to(one, (n, *one.shape))
        whole = append_operation(new, "call", fill, [whole], ("call", ("filled", n, low)), like, "fill")
    if axis:
        _move_first_axis(new, whole, axis)
    return new


def like_of(x: Value) -> Array:
    """Return an array with the shape and dtype of a value, which takes no memory (all strides are 0)."""
    return np.broadcast_to(np.empty((), x.dtype), x.shape)


def _stacked(*parts: Any) -> Any:
    return np.stack(parts)


def _filled(x: Any, n: int, low: int) -> Any:
    """Return an array of `n` rows: `x` from row `low` on, zeros elsewhere."""
    whole = np.zeros((n, *x.shape[1:]), x.dtype)
    whole[low : low + len(x)] = x
    return whole


def _is_sum(op: Op | None) -> bool:
    """Tell whether an operation adds two floating-point arrays without broadcasting."""
    if op is None or op.kind != "ufunc" or op.function is not np.add or op.out.dtype.kind != "f":
        return False
    return all(isinstance(x, Value) and (x.shape, x.dtype) == (op.out.shape, op.out.dtype) for x in op.args)


def _written_row(x: Value) -> tuple[int, int] | None:
    """Return the axis and the number of the row if a value is zeros with one row written into them, else None."""
    op = x.op
    if op is None or op.name != "put" or op.kind != "call" or not op.call_meta or len(op.args) != 1:
        return None
    index, y = op.call_meta.get("index"), op.args[0]
    parts = index if isinstance(index, tuple) else (index,)
    if not all(type(part) in (int, slice) or part is Ellipsis for part in parts) or y.dtype != x.dtype:
        return None
    full = _full_index(frozen(parts), x.shape)
    axes = [axis for axis, part in enumerate(full) if part != ALL]
    return (axes[0], full[axes[0]]) if len(axes) == 1 and isinstance(full[axes[0]], int) else None


def _move_first_axis(ops: list[Op], x: Value, axis: int) -> None:
    """Append operations that move the first axis to `axis`; the result is C-contiguous, so sums keep their order."""
    axes = list(range(1, len(x.shape)))
    axes.insert(axis, 0)
    cut = x.op is not None and x.op.kind == "slice"
    source = x.op.args[0] if cut and x.op is not None else x
    steps = [part[3] for part in x.op.attrs[0] if part != ALL] if cut and x.op is not None else []
    if axis == 0 and set(steps) <= {None, 1} and (source.op is None or source.op.kind not in VIEWS):
        append_view(ops, "slice", x, (ALL,))
    else:
        like = like_of(x).transpose(axes)
        copied = partial(_transposed_copy, axes=axes)
        append_operation(ops, "call", copied, [x], ("call", ("turned", *axes)), like, "in_order")


def _transposed_copy(x: Any, axes: list[int]) -> Any:
    return np.array(x.transpose(axes), order="C")


# -- Stacks of rows that are all taken from one array


def stack_rows(ops: Sequence[Op]) -> list[Op]:
    """Return the operations with each stack of many rows of one array replaced by parts of that array."""
    new_ops: list[Op] = []
    for op in ops:
        axis = (op.call_meta or {}).get("axis", 0) if op.kind == "call" and op.name == "stack" else None
        if type(axis) is not int or len(parts := _find_row_runs(op.args)) * 2 > len(op.args):
            new_ops.append(op)
            continue
        taken = [
            _take_rows(new_ops, *x) if isinstance(x, tuple) else append_view(new_ops, "slice", x, (None,))
            for x in parts
        ]
        if len(taken) == 1 and axis % len(op.out.shape) == 0:
            _move_first_axis(new_ops, taken[0], 0)
        else:
            like = np.broadcast_to(like_of(taken[0])[:1], (len(op.args), *taken[0].shape[1:]))
            nest = [taken, {"axis": 0}]
            whole = append_operation(new_ops, "call", _joined, taken, ("call", ("joined",)), like, "concatenate", nest)
            if axis % len(whole.shape):
                _move_first_axis(new_ops, whole, axis % len(whole.shape))
        new_ops[-1].outs = op.outs
        op.out.op = new_ops[-1]
    return new_ops


def _take_rows(ops: list[Op], base: Value, numbers: list[int]) -> Value:
    """Append operations that take rows of an array, and return their result."""
    rest = (ALL,) * (len(base.shape) - 1)
    return Rows([], base, numbers, (0, *rest), 0).array(ops, False)


def _joined(*parts: Any) -> Any:
    return np.concatenate(parts)


def _find_row_runs(args: Sequence[Any]) -> list[Any]:
    """Return values, with long runs of rows of one array replaced by pairs of this array and the rows' numbers."""
    parts: list[Any] = []
    for base, some in groupby(args, key=lambda x: _base_and_number(x)[0]):
        run = list(some)
        parts += [(base, [_base_and_number(x)[1] for x in run])] if base is not None and len(run) >= MANY else run
    return parts


def _base_and_number(x: Any) -> tuple[Any, int]:
    """Return the array that a value is a row of, and the row's number; for any other value None and 0."""
    op = x.op if isinstance(x, Value) else None
    if op is None or op.kind != "slice":
        return None, 0
    index = _full_index(op.attrs[0], op.args[0].shape)
    alone = bool(index) and isinstance(index[0], int) and all(part == ALL for part in index[1:])
    return (op.args[0], index[0]) if alone else (None, 0)
