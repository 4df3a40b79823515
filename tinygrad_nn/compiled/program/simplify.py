"""Simplifies a program: each rewrite keeps all results the same to the last bit.

So x - 0.0 is replaced by x, but x + 0.0 stays, since it turns -0.0 into 0.0. The product of a complex number and 1
stays too, since infinity times the 0 in 1 + 0i is NaN. One forward pass replaces operations by values that exist
already (equal operations, identities). One backward pass drops operations that nothing uses. Then operations are
reordered, so that values are read soon after they are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from .values import Arg, Op, Program, Value, append_cast, number_results, users_of

MANY = 100_000  # a program of more operations is not reordered
# The second argument with which each ufunc returns the first unchanged; in products and sums it may come first too.
_KEEPING = {np.multiply: 1.0, np.divide: 1.0, np.power: 1.0, np.subtract: 0.0, np.add: -0.0}


def simplify(program: Program) -> Program:
    """Return the program without unused operations, repetitions and operations that change nothing."""
    new: dict[Value, Arg] = {}
    computed: dict[Any, Value] = {}
    ops: list[Op] = []
    for op in program.ops:
        op = op.copied([_resolve(new, arg) for arg in op.args])
        same = _identity(op)
        if same is None:
            op = _rewritten(op)
            same = _identity(op)
        key = _key(op)
        if same is None and op.pure:
            same = computed.get(key)
        if same is not None:
            new[op.out] = same
            if len(op.outs) > 1:
                new.update(zip(op.outs, same.op.outs, strict=True))  # type: ignore[union-attr]
            continue
        for out in op.outs:
            out.op = op
        ops.append(op)
        if op.pure:
            computed[key] = op.out
    outputs = [_resolve(new, x) if isinstance(x, Value) else x for x in program.outputs]
    ops = live_operations(ops, outputs)
    ops = updates_early(ops) if len(ops) <= MANY else ops
    number_results(ops)
    return Program(ops, program.inputs, outputs, program.whose, program.augmented)


def copy_shared_results(program: Program) -> Program:
    """Return the program with copies of results that became the same value as an argument or another result.

    Simplifying merges values that are equal. But if the function returned two arrays, a caller who writes into one of
    them does not expect the other to change.
    """
    ops, outputs = list(program.ops), list(program.outputs)
    holder: dict[Value, Any] = {}
    copies: dict[Any, Value] = {}
    for place, (x, whose) in enumerate(zip(outputs, program.whose, strict=True)):
        if not isinstance(x, Value) or not x.shape or x.kind == "constant":
            continue  # not an array, or one that is copied anyway
        if holder.setdefault(x, x if x.kind == "input" else whose) == whose:
            continue
        if (x, whose) not in copies:
            copies[x, whose] = append_cast(ops, "copy", x, x.dtype)
        outputs[place] = copies[x, whose]
    return Program(ops, program.inputs, outputs, program.whose, program.augmented)


def _resolve(new: dict[Value, Arg], arg: Arg) -> Arg:
    while isinstance(arg, Value) and arg in new:
        arg = new[arg]
    return arg


def live_operations(ops: Sequence[Op], outputs: Iterable[Any]) -> list[Op]:
    """Return the operations that an output depends on, and all impure ones such as draws, which advance a generator."""
    needed = {x for x in outputs if isinstance(x, Value)}
    kept = []
    for op in reversed(ops):
        if not op.pure or any(out in needed for out in op.outs):
            needed.update(op.values)
            kept.append(op)
    return kept[::-1]


def updates_early(ops: list[Op]) -> list[Op]:
    """Return the operations reordered: elementwise ones that only outputs depend on move to the first possible place.

    A parameter update then follows its gradient directly, while that is still in the cache, and the gradient's buffer
    is free afterwards. Such an operation waits until all others have read its arguments, so these may be overwritten.
    """
    users = users_of(ops)
    last: set[Op] = set()
    for op in reversed(ops):
        if op.kind in ("ufunc", "where", "cast", "number") and all(user in last for user in users.get(op.out, ())):
            last.add(op)
    sums: dict[Value, list[Op]] = {}  # reductions move right behind their argument, so that its buffer is free earlier
    for op in ops:
        if op.kind == "reduce" and op not in last and op.args[0].kind == "made":
            sums.setdefault(op.args[0], []).append(op)
    waiting = [op for op in ops if op in last]
    left: list[int] = []  # for each of `waiting`: how many arguments are still to be made, or to be read by others
    wakes: dict[Op, list[int]] = {}
    readers = {arg: sum(user not in last for user in set(some)) for arg, some in users.items()}
    read: dict[Value, list[int]] = {}
    for place, late in enumerate(waiting):
        args = set(late.values)
        makers = {arg.op for arg in args if arg.op is not None}
        for op in makers:
            wakes.setdefault(op, []).append(place)
        for arg in args:
            if readers[arg]:
                read.setdefault(arg, []).append(place)
        left.append(len(makers) + sum(readers[arg] > 0 for arg in args))
    ready = [place for place, count in enumerate(left) if not count]
    order: list[Op] = []
    done: set[Op] = set()

    def finish(op: Op, position: int, now: list[int], then: list[int]) -> None:
        """Append an operation; waiting operations that are ready now go into `now` if they come later, else `then`."""
        order.append(op)
        done.add(op)
        woken = list(wakes.get(op, ()))
        for arg in set(op.values) if op not in last else ():
            readers[arg] -= 1
            if not readers[arg]:
                woken += read.get(arg, ())
        for place in woken:
            left[place] -= 1
            if not left[place]:
                heappush(now if place > position else then, place)

    for op in ops:
        if op in last or op in done:
            continue
        batch = [op]
        for one in batch:
            batch += [user for out in one.outs for user in sums.get(out, ())]
        for one in batch:
            finish(one, -1, ready, ready)
        later: list[int] = []
        while ready:
            place = heappop(ready)
            finish(waiting[place], place, ready, later)
        ready = later
    return _late([*order, *(op for op in waiting if op not in done)], last, users)


def _late(ops: list[Op], movable: set[Op], users: dict[Value, list[Op]]) -> list[Op]:
    """Return the operations, with those that read only inputs and constants moved to just before their first use."""
    rank = {op: number for number, op in enumerate(ops)}
    before: dict[Op, list[Op]] = {}
    for op in ops:
        wait = op in movable and op.kind != "number" and all(arg.kind != "made" or arg.weak for arg in op.values)
        if wait and op.out in users:
            before.setdefault(min(users[op.out], key=rank.__getitem__), []).append(op)
    moved = {op for some in before.values() for op in some}
    return [one for op in ops if op not in moved for one in (*before.get(op, ()), op)]


def _key(op: Op) -> Any:
    args = tuple(_argument_key(arg) for arg in op.args)
    return op.kind, op.function if op.kind in ("ufunc", "reduce", "matmul", "number") else None, args, op.attrs


def _argument_key(arg: Arg) -> Any:
    """Return a key for an argument of an operation; constants of one entry with equal bits have equal keys."""
    if not isinstance(arg, Value):
        return type(arg), repr(arg)
    if arg.kind == "constant" and arg.size == 1:
        return arg.shape, arg.dtype.str, arg.data.tobytes()
    return id(arg)


def is_constant(arg: Arg, number: float) -> bool:
    """Tell whether an argument is a constant whose entries are all this number."""
    if isinstance(arg, Value):
        return arg.kind == "constant" and arg.data.size > 0 and _everywhere(arg.data, number)
    return type(arg) in (int, float) and _everywhere(np.asarray(arg), number)


def _everywhere(array: Any, number: Any) -> bool:
    """Tell whether all entries equal a real number, including the sign of zeros."""
    return bool((array == number).all() and (np.signbit(array) == np.signbit(number)).all())


def _neutral_result(op: Op) -> Value | None:
    """Return the argument that arithmetic with 0 or 1 returns unchanged, or None."""
    number, (x, y), kind = _KEEPING[op.function], op.args, np.dtype(op.out.dtype).kind
    if kind == "c":  # real and imaginary part each depend on all parts of both arguments
        return None
    if kind != "f":
        number = abs(number)  # integers have no -0
    if isinstance(x, Value) and _same_shape_and_dtype(x, op.out) and is_constant(y, number):
        return x
    swaps = op.function in (np.multiply, np.add)
    return y if swaps and isinstance(y, Value) and _same_shape_and_dtype(y, op.out) and is_constant(x, number) else None


def _identity(op: Op) -> Arg | None:
    """Return the argument that an operation returns unchanged, or None."""
    if op.kind == "ufunc" and op.function in _KEEPING:
        return _neutral_result(op)
    x, out = op.args[0] if op.args else None, op.out
    if not isinstance(x, Value):
        return None
    if op.kind == "ufunc" and op.function is np.positive and x.dtype == out.dtype:
        return x
    if op.kind == "ufunc" and op.function is np.negative and x.op is not None and x.op.function is np.negative:
        return x.op.args[0]
    if op.kind in ("reshape", "broadcast") and x.shape == out.shape:
        return x
    if op.kind == "transpose" and op.attrs[0] == tuple(range(len(x.shape))):
        return x
    if op.kind == "cast" and x.dtype == out.dtype and not x.weak:
        return x
    if op.kind == "slice" and all(p is Ellipsis or p == ("slice", None, None, None) for p in op.attrs[0]):
        return x
    return None


def _same_shape_and_dtype(x: Value, out: Value) -> bool:
    return bool(x.shape == out.shape and x.dtype == out.dtype and not x.weak)


def _rewritten(op: Op) -> Op:
    """Return a simpler operation with the same result."""
    x = op.args[0] if op.args else None
    if op.kind in ("ufunc", "where"):
        op.args = _unbroadcast(op)
    if not isinstance(x, Value):
        return op
    before = x.op if x.op is not None and x.op.kind == op.kind else None
    if op.kind == "transpose" and before:
        op.args, op.attrs = before.args, (tuple(before.attrs[0][a] for a in op.attrs[0]),)
    if op.kind in ("reshape", "broadcast") and before:
        op.args = before.args
    # A sum over one entry is a reshape, except that sums start from 0, which turns -0.0 into 0.0. An argument that is
    # itself a sum is never -0.0. Products of complex numbers start from 1 + 0i, which can turn an infinity into NaN.
    summed = x.op is not None and x.op.kind == "reduce" and x.op.function is np.add
    kinds = "fc" if op.function is np.add and not summed else "c"
    if op.kind == "reduce" and op.out.dtype.kind not in kinds:
        axes = op.attrs[0]
        if all(x.shape[a] == 1 for a in axes) and x.dtype == op.out.dtype:  # each sum has one term
            return Op("reshape", "reshape", None, [x], (op.out.shape,), op.outs, True, op.scope)
    return op


def _unbroadcast(op: Op) -> list[Arg]:
    """Return the arguments of an elementwise operation without needless broadcasts, since it broadcasts by itself."""
    args = list(op.args)
    for place, arg in enumerate(args):
        if isinstance(arg, Value) and arg.kind == "constant" and arg.size > 1 and _uniform(arg.data):
            shapes = [a.shape for i, a in enumerate(args) if isinstance(a, Value) and i != place]
            if np.broadcast_shapes(*shapes) == op.out.shape:  # a constant of equal entries becomes one number
                args[place] = Value(arg.number, "constant", (), arg.dtype, data=np.array(arg.data.flat[0], arg.dtype))
        if isinstance(arg, Value) and arg.op is not None and arg.op.kind == "broadcast":
            source = arg.op.args[0]
            shapes = [a.shape for i, a in enumerate(args) if isinstance(a, Value) and i != place]
            if np.broadcast_shapes(source.shape, *shapes) == op.out.shape:
                args[place] = source
    return args


def _uniform(array: Any) -> bool:
    """Tell whether all entries are the same to the last bit."""
    first = array.flat[0]
    parts = [array] if array.dtype.kind != "c" else [array.real, array.imag]
    return bool((array == first).all()) and all(_everywhere(part, part.flat[0]) for part in parts)
