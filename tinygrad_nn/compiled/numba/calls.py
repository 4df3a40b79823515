"""Turns ``call`` operations into operations of kernels: indexing by arrays, joining, cross products, small products.

Kernels have three kinds of operations for these. ``gather`` reads entries of its argument at given indices (fancy
indexing). ``scatter`` adds its argument to an array of zeros at given indices, the gradient of a gather. ``join``
writes its arguments into boxes (slices) of an array, and zeros into the rest. Indices that are constants were checked
when they were traced; others are checked against the bounds in each call, before a kernel uses them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...tree import flatten
from ..program.values import Op, Program, Value, last_number
from ..trace.operations import frozen, full_index, thawed
from .expressions import NAMES, code_of, kernel_can_do

Index = tuple[Any, ...]
AXES = 10  # the most axes of an array that a kernel takes
PRODUCT = 16_384  # a matrix product of at most so many multiplications is faster in a kernel than in BLAS


def replace_calls(program: Program) -> Program:
    """Return the program with those calls replaced that kernels can do."""
    opening = CallReplacer(program)
    ops = [new for op in program.ops for new in (opening.sum(op) or opening.of(op))]
    return Program([op for op in ops if op not in opening.gone], program.inputs, program.outputs)


class CallReplacer:
    """The replacement of calls by operations of kernels.

    Attributes:
        count: the largest number of a value so far.
        places: (index array, length of the axis) -> the same indices, non-negative and checked.
        new_ops: the operations that the current replacement needs first.
        users: how often each value is read or returned.
        gone: operations whose results nothing reads any more.
        summed: arguments of joins that had 0.0 added, so that they contain no -0.0.
    """

    def __init__(self, program: Program) -> None:
        self.count = last_number(program.ops)
        self.places: dict[tuple[Value, int], Value] = {}
        self.new_ops: list[Op] = []
        read = [*(x for op in program.ops for x in op.values), *program.outputs]
        self.users = Counter(x for x in read if isinstance(x, Value))
        self.gone: set[Op] = set()
        self.summed: set[Value] = set()

    def sum(self, op: Op) -> list[Op]:
        """Return the operations for the sum of two arrays that are zero outside some boxes: one join of both.

        Each argument x becomes x + 0.0, as in the sum, so that the signs of zeros stay the same. For any other
        operation return an empty list.
        """
        if op.function is not np.add or op.out.dtype.kind != "f":
            return []
        pair = [x.op for x in op.args if isinstance(x, Value) and x.op and x.op.kind == "join" and self.users[x] == 1]
        if len(pair) < 2 or any(one.out.shape != op.out.shape for one in pair):
            return []
        left, right = pair
        if any(x.dtype != op.out.dtype for x in [*left.args, *right.args]):
            return []
        self.new_ops = []
        if left.attrs == right.attrs and len(left.args) == 1:
            args, attrs = [self._plus(left.args[0], right.args[0])], left.attrs
        elif all(_disjoint(a, b, op.out.shape) for a in left.attrs[0] for b in right.attrs[0]):
            args = [x if x in self.summed else self._plus(x, 0.0) for x in [*left.args, *right.args]]
            full = sum(x.size for x in args) == op.out.size
            attrs = (*left.attrs[0], *right.attrs[0]), () if full else (tuple((0, n) for n in op.out.shape),)
            self.summed.update(args)
        else:
            return []
        self.gone.update(pair)
        op.out.op = Op("join", pair[0].name, None, args, attrs, op.outs, scope=op.scope)
        return [*self.new_ops, op.out.op]

    def _plus(self, x: Value, y: Any) -> Value:
        return self.add("ufunc", np.add, [x, y], (), x.shape, x.dtype)

    def of(self, op: Op) -> list[Op]:
        """Return the operations that replace an operation; the operation itself if there is no replacement."""
        way = WAYS.get(op.name) if op.kind == "call" else None
        if way is None or not all(map(_has_usual_dtype, [*op.values, op.out])):
            return [op]
        leaves, rebuild = flatten(op.nest)
        values = iter(op.args)
        (args, given) = rebuild([next(values) if isinstance(x, Value) else x for x in leaves])
        self.new_ops, before = [], dict(self.places)
        last = way(self, op, args, given)
        if last is not None:
            last.name, last.outs, last.scope = op.name, op.outs, op.scope
        if last is None or (last.kind in ("gather", "scatter", "join") and not _is_possible(last)):
            self.places = before
            return [op]
        op.out.op = last
        return [*self.new_ops, last]

    def add(self, kind: str, function: Any, args: list[Any], attrs: Index, shape: tuple[int, ...], dtype: Any) -> Value:
        """Append an operation to `new_ops`, and return its result, a new value."""
        self.count += 1
        out = Value(self.count, "made", shape, np.dtype(dtype))
        out.op = Op(kind, getattr(function, "__name__", "getitem"), function, args, attrs, [out])
        self.new_ops.append(out.op)
        return out

    def placed(self, index: Value, n: int, axis: int) -> Value:
        """Return an index array for an axis of length n as non-negative indices."""
        key = index, n
        if key not in self.places and index.kind == "constant":
            data = index.data.astype(np.int64) % n
            self.places[key] = Value(index.number, "constant", index.shape, data.dtype, data=data)
        if key not in self.places:
            self.places[key] = self.add("call", partial(from_start, n, axis), [index], (), index.shape, np.int64)
            self.places[key].op.name = "places"  # type: ignore[union-attr]
        return self.places[key]

    def parsed(self, index: Any, shape: tuple[int, ...]) -> tuple[Index, list[Any]] | None:
        """Return an index as attributes of a gather or scatter, and its index arrays; None if a kernel cannot do it.

        Returns:
            ``(parts, at, axes), arrays``: for each axis a part (a slice, a number, ``("array", place among the
            arguments)``, or None for a new axis), the place of the arrays' broadcast axes in the result, their number,
            and the arrays.
        """
        parts: list[Any] = []
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, Value) and part.dtype == bool and part.kind == "constant" and part.shape:
                parts += [_constant(rows) for rows in part.data.nonzero()]
            elif isinstance(part, list):
                array = np.array(part)
                parts.append(_constant(array) if array.dtype.kind in "iu" else part)
            else:
                parts.append(int(part) if isinstance(part, (np.integer, int)) and type(part) is not bool else part)
        parts = full_index(parts, len(shape))
        axis, arrays = 0, []
        found: list[Any] = []
        for part in parts:
            if part is None:
                found.append(None)
                continue
            if isinstance(part, Value) and part.dtype.kind in "iu":
                arrays.append(self.placed(part, shape[axis], axis))
                found.append(("array", len(arrays)))
            elif type(part) in (int, slice):
                found.append(part)
            else:  # such as True, which indexes no axis
                return None
            axis += 1
        advanced = [k for k, part in enumerate(found) if part is not None and not isinstance(part, slice)]
        apart = not advanced or advanced[-1] - advanced[0] >= len(advanced)
        at = 0 if apart else advanced[0]
        axes = len(np.broadcast_shapes(*(x.shape for x in arrays)))
        return (frozen(tuple(found)), at, axes), arrays


def from_start(n: int, axis: int, index: Any) -> Any:
    """Return indices into an axis of n entries with negative ones counted from the start.

    Raises:
        IndexError: an index is out of bounds.
    """
    index = np.asarray(index, np.int64)
    if index.size and (index.min() < -n or index.max() >= n):
        wrong = index[(index < -n) | (index >= n)].flat[0]
        raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {n}")
    return np.where(index < 0, index + n, index)


def _is_possible(op: Op) -> bool:
    """Tell whether kernels can do a gather, scatter or join; there is no other code for these."""
    return kernel_can_do(op) and all(len(x.shape) <= AXES for x in op.values)


def _has_usual_dtype(x: Value) -> bool:
    return isinstance(x.dtype, np.dtype) and code_of(x.dtype) in (*NAMES, "u8", "u4", "i2", "u2", "i1") and x.size > 0


def _constant(data: Any) -> Value:
    return Value(0, "constant", data.shape, data.dtype, data=data)


def _selected_shape(attrs: Index, arrays: Sequence[Value], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the array that an index selects."""
    like = iter(arrays)
    index = [np.zeros(next(like).shape, int) if isinstance(part, tuple) and part[0] == "array" else part
             for part in attrs[0]]  # fmt: skip
    return np.shape(np.broadcast_to(np.False_, shape)[thawed(tuple(index))])


# -- The replacement for each kind of call: each function returns the last operation, or None


def _getitem(opening: CallReplacer, op: Op, args: list[Any], call_meta: dict[str, Any]) -> Op | None:
    x, found = args[0], opening.parsed(call_meta["index"], args[0].shape)
    if found is None or code_of(x.dtype) not in NAMES:
        return None
    return Op("gather", "", None, [x, *found[1]], found[0])


def _put(opening: CallReplacer, op: Op, args: list[Any], call_meta: dict[str, Any]) -> Op | None:
    # ``put`` is the gradient of an index: a scatter if the index has arrays, else a join with zeros around it.
    x, index, shape = args[0], call_meta["index"], op.out.shape
    found = opening.parsed(index, shape)
    if found is None or code_of(x.dtype) not in NAMES or _selected_shape(*found, shape) != x.shape:
        return None
    if found[1]:
        return Op("scatter", "", None, [x, *found[1]], found[0]) if x.dtype.kind in "fi" else None
    if x.size == op.out.size and all(part is None or part == ("slice", None, None, None) for part in found[0][0]):
        return Op("reshape", "", None, [x], (shape,))
    return Op("join", "", None, [x], ((found[0][0],), _boxes_outside(found[0][0], shape)))


def _boxes_outside(parts: Index, shape: tuple[int, ...]) -> tuple[Index, ...]:
    """Return boxes that cover all entries outside an index; the whole array if the index cuts more than one axis."""
    axes = [slice(part, part + 1) if isinstance(part, int) else part for part in thawed(parts) if part is not None]
    axes = [slice(n - 1, n) if s == slice(-1, 0) else slice(*s.indices(n)) for s, n in zip(axes, shape, strict=True)]
    cut = [k for k, (s, n) in enumerate(zip(axes, shape, strict=True)) if s != slice(0, n, 1)]
    if len(cut) != 1 or axes[cut[0]].step not in (1, None):
        return (tuple((0, n) for n in shape),)
    (axis,) = cut
    start, stop = axes[axis].start, axes[axis].stop
    ends = [(0, start), (stop, shape[axis])]
    whole = [(0, n) for n in shape]
    return tuple((*whole[:axis], end, *whole[axis + 1 :]) for end in ends if end[1] > end[0])


def _disjoint(a: Index, b: Index, shape: tuple[int, ...]) -> bool:
    """Tell whether two indices of slices and numbers select no entry in common."""

    def ends(index: Index) -> list[tuple[int, int]]:
        found = []
        for part, n in zip([part for part in thawed(index) if part is not None], shape, strict=True):
            first, last, step = (part % n, part % n + 1, 1) if isinstance(part, int) else part.indices(n)
            found.append((first, last) if step == 1 else (0, n))
        return found

    return any(p[1] <= q[0] or q[1] <= p[0] for p, q in zip(ends(a), ends(b), strict=True))


def _concatenate(opening: CallReplacer, op: Op, args: list[Any], call_meta: dict[str, Any]) -> Op | None:
    axis = call_meta.get("axis", 0)
    if axis is None or not set(call_meta) <= {"axis"}:
        return None
    axis, ends = axis % len(op.out.shape), np.cumsum([x.shape[axis] for x in args]).tolist()
    before = (slice(None),) * axis
    boxes = [(*before, slice(end - x.shape[axis], end)) for x, end in zip(args, ends, strict=True)]
    return _joined(args, boxes, op.out)


def _stack(opening: CallReplacer, op: Op, args: list[Any], call_meta: dict[str, Any]) -> Op | None:
    if not set(call_meta) <= {"axis"}:
        return None
    before = (slice(None),) * (call_meta.get("axis", 0) % len(op.out.shape))
    return _joined(args, [(*before, k) for k in range(len(args))], op.out)


def _joined(args: Sequence[Any], boxes: Sequence[Any], out: Value) -> Op | None:
    if not all(isinstance(x, Value) for x in args):
        return None
    return Op(
        "join", "", None, list(args), (tuple(frozen(tuple(full_index(b, len(out.shape)))) for b in boxes), ())
    )


def _cross(opening: CallReplacer, op: Op, args: list[Any], call_meta: dict[str, Any]) -> Op | None:
    a, b = args
    shape, dtype = op.out.shape[:-1], op.out.dtype
    if call_meta or dtype.kind != "f" or any(not isinstance(x, Value) or x.shape[-1:] != (3,) for x in args):
        return None
    if a.dtype != dtype or b.dtype != dtype:
        return None
    part = [
        [opening.add("slice", None, [x], (frozen((..., k)),), x.shape[:-1], dtype) for k in range(3)] for x in (a, b)
    ]

    def times(j: int, k: int) -> Value:
        return opening.add("ufunc", np.multiply, [part[0][j], part[1][k]], (), shape, dtype)

    three = [
        opening.add("ufunc", np.subtract, [times((k + 1) % 3, (k + 2) % 3), times((k + 2) % 3, (k + 1) % 3)], (), shape,
                    dtype)
        for k in range(3)
    ]  # fmt: skip
    return _joined(three, [(*(slice(None),) * len(shape), k) for k in range(3)], op.out)


def _matmul(opening: CallReplacer, op: Op, args: list[Any], call_meta: dict[str, Any]) -> Op | None:
    """Return a product of vectors as a ``vdot``, and a small product with one vector as a product of matrices."""
    if call_meta or not all(isinstance(x, Value) and x.dtype == op.out.dtype and x.dtype.kind == "f" for x in args):
        return None
    a, b = args
    if len(a.shape) == len(b.shape) == 1:
        return Op("vdot", "", np.vdot, [a, b])
    if sorted((len(a.shape), len(b.shape))) != [1, 2] or op.out.size * a.shape[-1] > PRODUCT:
        return None
    left = a if len(a.shape) == 2 else opening.add("reshape", None, [a], ((1, a.size),), (1, a.size), a.dtype)
    right = b if len(b.shape) == 2 else opening.add("reshape", None, [b], ((b.size, 1),), (b.size, 1), b.dtype)
    shape = left.shape[0], right.shape[1]
    made = opening.add("matmul", np.matmul, [left, right], (), shape, op.out.dtype)
    return Op("reshape", "", None, [made], (op.out.shape,))


WAYS: dict[str, Callable[[CallReplacer, Op, list[Any], dict[str, Any]], Op | None]] = {
    "getitem": _getitem, "put": _put, "concatenate": _concatenate, "stack": _stack, "cross": _cross,
    "matmul": _matmul, "dot": _matmul,
}  # fmt: skip
