"""Decides which operations become one kernel: all between two that are better left to a call of NumPy or BLAS."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from math import prod

from ..program.simplify import live_operations
from ..program.values import VIEWS, Op, Program, Value
from .calls import AXES, PRODUCT, replace_calls
from .expressions import COSTLY, ELEMENTWISE, kernel_can_do
from .kernels import Kernel
from .lengths import NONE, Batch, Lengths
from .machine import Machine
from .native import choose
from .native.row import available
from .scalars import Straight, scalar_stages

VECTOR = 16_384  # from this size on, NumPy's vectorized exp and similar functions beat a kernel
KINDS = frozenset({"ufunc", "where", "cast", "reduce", "matmul", "vdot", "gather", "scatter", "join"})
LONG = 512  # the most operations that are collected for one kernel
LINES = 250  # the most lines of a kernel: longer ones compile disproportionately slowly, or raise a RecursionError


def fuse(program: Program, fuse_single: bool = False, batch: Batch = NONE) -> Program:
    """Return the program with its operations grouped into kernels, reordered so that the groups are large.

    With `fuse_single` even a single operation becomes a kernel. `batch` is the length of the batch, with the slots of
    the inputs that have a batch axis.
    """
    program = replace_calls(program)
    lengths = Lengths(program, batch)
    if available():
        program = choose(program)
    waiting = list(program.ops)
    able = frozenset(op for op in waiting if op.kind in VIEWS or fusable(op))  # operations that a kernel can have
    straight = scalar_stages(waiting, able)
    done: set[Value] = set()
    runs: list[list[Op]] = []  # groups in order; an operation that is no part of a kernel is a list of one
    while waiting:
        unfused: list[Op] = []
        waiting = _move_unfused(waiting, able, done, unfused)
        runs += [[op] for op in unfused]
        first = next((straight[op] for op in waiting if op in straight and _ready(op, done)), None)
        group: list[Op] = []
        remaining: list[Op] = []
        for op in waiting:
            if first is None:
                taken = len(group) < LONG and op not in straight and op in able
            else:
                taken = straight.get(op) == first
            if taken and _ready(op, done):
                group.append(op)
                done.update(op.outs)
            else:
                remaining.append(op)
        if not group:
            break
        runs.append(group)
        waiting = remaining
    _sink(runs, program, able - straight.keys())
    order: list[Op] = []
    later = {x for x in program.outputs if isinstance(x, Value)}
    after: list[set[Value]] = []  # the values that are read after each run
    for group in reversed(runs):
        after.append(set(later))
        later.update(arg for op in group for arg in op.values)
    for group, later in zip(runs, reversed(after), strict=True):
        if group[0] in able:
            make = Straight if group[0] in straight else partial(Kernel, lengths=lengths)
            _append(group, later, order, make, fuse_single)
        else:
            order += group
    _number_values([out for op in order + waiting if op.kind != "kernel" for out in op.outs])
    return Program(order + waiting, program.inputs, program.outputs)


def _number_values(values: list[Value]) -> None:
    """Give a number to each value that has none yet."""
    last = max((value.number for value in values), default=0)
    for value in values:
        if value.number < 0:
            last += 1
            value.number = last


def _sink(runs: list[list[Op]], program: Program, fused: Container[Op]) -> None:
    """Move operations to the kernel in which their results are first used, so that these need not be stored."""
    kernel = [run[0] in fused for run in runs]
    returned = {x for x in program.outputs if isinstance(x, Value)}
    rank = {op: k for k, op in enumerate(program.ops)}
    first: dict[Value, int] = {}
    for place in range(len(runs) - 1, -1, -1):
        for op in list(reversed(runs[place])):
            new = first.get(op.out, place)
            while new > place and not kernel[new]:
                new -= 1
            made = [arg.size for arg in op.values if arg.kind == "made"]
            if kernel[place] and new > place and op.out not in returned and sum(made) <= op.out.size:
                runs[place].remove(op)
                runs[new].append(op)
                runs[new].sort(key=rank.__getitem__)
            else:
                new = place
            for arg in op.values:
                first[arg] = min(first.get(arg, new), new)
    runs[:] = [run for run in runs if run]


def _ready(op: Op, done: set[Value]) -> bool:
    return all(arg in done or arg.kind != "made" for arg in op.values)


def _move_unfused(waiting: list[Op], able: Container[Op], done: set[Value], order: list[Op]) -> list[Op]:
    """Move operations that are no part of a kernel and whose arguments are ready to `order`; return the others."""
    left = waiting
    while True:
        waiting, left = left, []
        for op in waiting:
            if op not in able and _ready(op, done):
                order.append(op)
                done.update(op.outs)
            else:
                left.append(op)
        if len(left) == len(waiting):
            return left


def _append(
    group: list[Op], later: set[Value], order: list[Op], make: Callable[..., Kernel | Straight], fuse_single: bool
) -> None:  # fmt: skip
    """Append a group to `order`: its kernel, then its views that later operations need to read values in `later`."""
    work = [op for op in group if op.kind not in VIEWS]
    views = live_operations([op for op in group if op.kind in VIEWS], later)
    needed = later.union(*(view.values for view in views))
    outs = [op.out for op in work if op.out in needed]
    if len(work) == 1 and not fuse_single and work[0].kind in (*ELEMENTWISE, "matmul", "vdot"):
        made = set(work[0].outs)
        before = live_operations([op for op in group if op.kind in VIEWS and not made & set(op.values)], work[0].values)
        order += [*before, *work, *[view for view in views if view not in before]]
    elif work:
        kernel = make(group, outs)
        if len(work) > 1 and isinstance(kernel, Kernel) and kernel.length(Machine.threads()) > LINES:
            middle = len(group) // 2
            _append(group[:middle], later.union(*(op.values for op in group[middle:])), order, make, fuse_single)
            _append(group[middle:], later, order, make, fuse_single)
            return
        order.append(Op("kernel", "kernel", kernel, kernel.args, (), kernel.outs))
        if isinstance(kernel, Straight):
            order[-1:] = [*kernel.before, order[-1], *kernel.after]
        order += views
    else:
        order += views


def fusable(op: Op) -> bool:
    """Tell whether a kernel can do this operation, and is likely to be faster than NumPy."""
    if op.kind not in KINDS or not kernel_can_do(op):
        return False
    shapes = [arg.shape for arg in op.values]
    if op.kind == "matmul":
        a, b = shapes
        return len(a) == len(b) == 2 and 0 < a[0] * a[1] * b[1] <= PRODUCT
    if op.kind == "ufunc" and op.function in COSTLY:
        return 0 < op.out.size <= VECTOR
    return all(len(s) <= AXES for s in shapes) and all(prod(s) > 0 for s in shapes) and op.out.size > 0


