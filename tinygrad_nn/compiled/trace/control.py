"""`scan`, `while_loop` and `cond` in a trace: each becomes one operation, whose bodies are programs of their own.

A body is run once, on arrays of the right shapes and dtypes, and its operations go into a separate list. Every value
from outside that it reads (closes over) becomes an extra input of its program. The derivatives of a loop are loops too:

- The gradient is a loop over the steps in reverse order. Its body computes the gradient of one step (`Looping._back`).
- That loop is linear in the cotangents. It is the transpose of the loop of tangents, which carries values and their
  tangents forward side by side. So its own gradient needs the loop of tangents, and the gradient of that
  (`Looping._again`), which works to any order.

The forward loop passes all its carries to the backward loop as one list, the tape. So no array in the program has a
shape that depends on the number of steps of a `while_loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backward import ancestors
from ...node import Node, leaf_node, recording, switched
from ...ops.linalg import conj
from ...primitive import Primitive
from ...tensor import Tensor, apply, stored_array, wrap
from ...transforms import new_input, pullback, pushforward
from ...transforms.control_flow import (
    CONDITION,
    NUMBERS,
    as_scalars,
    checked_leaf,
    flatten_or_none,
    nest_text,
    next_carry,
    one_value,
    pair,
)
from ...tree import containers
from ..program.control import BackwardLoop, Body, Choice, Loop, shape_and_dtype
from ..program.values import Op, Program, Value
from .closures import FrozenFunction
from .nodes import LiveNode, StillNode, Untraceable
from .tensors import record_number

if TYPE_CHECKING:
    from .recorder import Recorder

Leaves = Sequence[Any]


class TracedBody:
    """A traced body of a loop or branch.

    Attributes:
        body: its program; the first inputs are the values that it closes over.
        closed: the outer values that it closes over.
        live: the outer Tensors that it closes over and through which gradients flow.
        outs: its results, as values of its own program.
    """

    def __init__(self, record: Recorder, f: Callable[[Leaves], Leaves], likes: Leaves) -> None:
        oldest = leaf_node(None).index
        with _recording_apart(record) as ops, recording(True):
            data = [np.array(x) for x in likes]
            given = [record.name(record.value("input", x), x) for x in data]
            entries = [
                record.tensor(v, x, LiveNode if _is_float(x) else StillNode) for v, x in zip(given, data, strict=True)
            ]
            found = [_array(record, x) for x in f(entries)]
            outs = [record.find(x) for x in found]
        self.live = [wrap(node.out, node) for node in _closed_over([x.node for x in found], oldest)]
        made = {*given, *(out for op in ops for out in op.outs)}
        read = [*(value for op in ops for value in op.values), *outs]
        self.closed = [v for v in dict.fromkeys(read) if v not in made and v.kind != "constant"]
        mine = {
            v: Value(v.number, "input", v.shape, v.dtype, slot=slot) for slot, v in enumerate([*self.closed, *given])
        }
        for op in ops:
            op.args = [mine.get(arg, arg) if isinstance(arg, Value) else arg for arg in op.args]
        self.outs = [mine.get(v, v) for v in outs]
        self.body = Body(Program(ops, list(mine.values()), list(self.outs)), len(self.closed))

    def data(self, record: Recorder) -> list[Any]:
        """Return the arrays that the closed-over values are in this trace."""
        return [record.data[v] for v in self.closed]


@contextmanager
def _recording_apart(record: Recorder) -> Iterator[list[Op]]:
    """Record the operations of the block into a separate list, and forget its arrays afterwards."""
    outer, record.ops = record.ops, []
    names = record.by_array.copy(), record.by_memory.copy()
    record.depth += 1
    try:
        yield record.ops
    finally:
        record.ops = outer
        record.by_array, record.by_memory = names  # an outer array's view made inside must not be found outside
        record.depth -= 1


def _array(record: Recorder, x: Any) -> Tensor:
    """Return a leaf (Tensor, array or number) as a traced Tensor over an array."""
    x = checked_leaf(x)
    if isinstance(x, StillNode.weak):
        return np.multiply(x, np.ones((), np.asarray(stored_array(x)).dtype))  # type: ignore[no-any-return]
    if isinstance(x, Tensor):
        return x
    data = np.asarray(x)
    return record.still(record.find(data), data)


def _has_grad(x: Any) -> bool:
    """Tell whether gradients flow through a value."""
    return isinstance(x, Tensor) and x.node is not None and not isinstance(x.node, StillNode)


def _is_float(x: Any) -> bool:
    return bool(x.dtype.kind in "fc")


def _closed_over(roots: Sequence[Node | None], oldest: int) -> list[Node]:
    """Return the Nodes, older than the body, from which its results were computed."""
    alive = [node for node in roots if node is not None and not isinstance(node, StillNode)]
    younger = ancestors([node for node in alive if node.index >= oldest], oldest)
    found = [*alive, *(parent for node in younger for parent in node.parents)]  # type: ignore[union-attr]
    return list(dict.fromkeys(node for node in found if node is not None and node.index < oldest))


# -- Results and their gradients


def as_tensors(
    record: Recorder, name: str, results: Sequence[tuple[Value, Any]], args: Sequence[Tensor],
    rule: Callable[[list[Any], Leaves], Sequence[Any]],
) -> list[Tensor]:  # fmt: skip
    """Return the results of an operation as Tensors, with one joint rule for all floating-point results.

    A Node has only one result. So one Node gets all floating-point results concatenated to a vector, and each result is
    a part of that. The vector itself is dropped from the plan unless something reads it.

    Args:
        record: the recorder of the trace.
        name: of the operation.
        results: pairs of a value and its array in this trace.
        args: the Tensors that gradients flow to.
        rule: ``rule(cotangents, args)`` takes the cotangents of the floating-point results, and returns the gradients
            of `args`.
    """
    stills = [record.still(*pair) for pair in results]
    floats = [x for x in stills if _is_float(x)]
    if not floats or not any(map(_has_grad, args)):
        return stills
    sizes = [prod(x.shape) for x in floats]
    dtype = np.result_type(*(x.dtype for x in floats))

    def cut(g: Any) -> list[Any]:
        if len(floats) == 1:
            return [g]
        ends = np.cumsum(sizes).tolist()
        parts = [g[end - size : end].reshape(x.shape) for x, size, end in zip(floats, sizes, ends, strict=True)]
        parts = [np.real(p) if _is_complex(p) and not _is_complex(x) else p for p, x in zip(parts, floats, strict=True)]
        return [p.astype(x.dtype) for p, x in zip(parts, floats, strict=True)]

    def joint(g: Any, out: Any, *args: Any) -> list[Any]:
        return _sample_by_sample(lambda g, *args: [conj(r) for r in rule([conj(p) for p in cut(g)], args)], g, *args)

    def part(k: int, x: Tensor) -> Tensor:
        before, after = np.zeros(sum(sizes[:k]), dtype), np.zeros(sum(sizes[k + 1 :]), dtype)
        place = lambda g, out, whole: [np.concatenate([before, np.reshape(g, (-1,)).astype(dtype), after])]  # noqa: E731
        return _with_rule(x, "part", place, (whole,))

    if len(floats) == 1:
        return [_with_rule(x, name, joint, args) if _is_float(x) else x for x in stills]
    end_to_end: Any = np.concatenate([np.reshape(x, (-1,)).astype(dtype) for x in floats])
    whole = _with_rule(end_to_end, name, joint, args)
    parts = iter([part(k, x) for k, x in enumerate(floats)])
    return [next(parts) if _is_float(x) else x for x in stills]


def _sample_by_sample(rule: Callable[..., list[Any]], *args: Any) -> list[Any]:
    """Run a rule outside of every vmap: once for each sample if an argument is mapped, and stack the gradients."""
    levels = [x.level for x in args if hasattr(x, "level")]
    if not levels:
        with switched("level", None):
            return rule(*args)
    level = max(levels, key=lambda level: level.depth)
    with level.outside_level():
        rows = [_sample_by_sample(rule, *(x.full[k] if level.has(x) else x for x in args)) for k in range(level.n)]
        full = [np.stack(parts) for parts in zip(*rows, strict=True)]
    return [level.wrap(x) for x in full]


def _is_complex(x: Any) -> bool:
    return bool(x.dtype.kind == "c")


def _with_rule(x: Tensor, name: str, rule: Callable[..., Any], args: Sequence[Tensor]) -> Tensor:
    """Return a Tensor with the same array and a Node with this joint rule."""
    data = stored_array(x)
    return apply(Primitive(name, lambda *arrays: data, (), "f(x)", jointly=(rule, "J^T g")), tuple(args))


def emit(record: Recorder, name: str, function: Any, args: Sequence[Value], results: Sequence[Any]) -> list[Any]:
    """Record an operation, and return pairs of each result's value and array."""
    op = Op("call", name, function, list(args), ("call", len(record.values)))
    record.emit(op, *results)
    return list(zip(op.outs, results, strict=True))


def joint_gradients(outs: Sequence[Any], inputs: Sequence[Tensor], cotangents: Sequence[Any]) -> list[Any]:
    """Return the gradients of `inputs` from the cotangents of several results, by one walk."""
    pairs = [(x, g) for x, g in zip(outs, cotangents, strict=True) if isinstance(x, Tensor) and x.node is not None]
    end = np.zeros(())
    seeds = lambda g, out, *parts: [conj(g) for _, g in pairs]  # noqa: E731
    root = apply(Primitive("seeds", lambda *parts: end, (), "x", jointly=(seeds, "g")), tuple(x for x, _ in pairs))
    return pullback(root, inputs, wrap(np.ones(()), None))


# -- Loops


class Looping:
    """A `scan` or `while_loop` that is being traced, and its gradient.

    Args:
        record: the recorder of the trace.
        name: of the operation.
        step: maps the leaves of carry and row to the leaves of the next carry and of y.
        test: maps the leaves of the carry to the condition of a `while_loop`; None for a scan.
        length: the number of steps of a scan.
        reverse: whether a scan takes the last row first.
    """

    def __init__(
        self, record: Recorder, name: str, step: Callable[[Leaves, Leaves], tuple[Leaves, Leaves]],
        test: Callable[[Leaves], Any] | None, length: int, reverse: bool,
    ) -> None:  # fmt: skip
        self.record, self.name, self.step, self.test = record, name, step, test
        self.length, self.reverse = length, reverse

    def run(self, init: Sequence[Tensor], xs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Record the loop, and return the last carry and the stacked y of all steps."""
        record, width = self.record, len(init)

        def all_of_step(leaves: Leaves) -> Leaves:
            carry, y = self.step(leaves[:width], leaves[width:])
            return [*carry, *y]

        likes = [*map(stored_array, init), *self._rows(xs)]
        step = TracedBody(record, all_of_step, likes)
        test = None if self.test is None else TracedBody(record, lambda given: [self.test(given)], likes)  # type: ignore[misc]
        parts = [step] if test is None else [step, test]
        counts = len(step.closed), len(test.closed) if test else 0, width
        kinds = [shape_and_dtype(v) for v in step.outs[width:]]
        self.loop = Loop(step.body, None if test is None else test.body, counts, self.length, self.reverse, kinds)
        closed = [v for part in parts for v in part.closed]
        results = self.loop.results(*(record.data[v] for v in closed), *map(stored_array, [*init, *xs]))
        found = emit(record, self.name, self.loop, [*closed, *map(record.find, [*init, *xs])], results)
        self.tape, self.live = found[-1], step.live
        self.of_init, self.of_xs = [_is_float(x) for x in init], [_is_float(x) for x in xs]
        self.of_ys = [_is_float(x) for x in results[width:-1]]
        self.others = [x for x in init if not _is_float(x)], [x for x in xs if not _is_float(x)]
        moving = [*self.live, *_pick(self.of_init, init), *_pick(self.of_xs, xs)]
        made = as_tensors(record, self.name, found[:-1], moving, self._back)
        return made[:width], made[width:]

    def _rows(self, xs: Sequence[Any]) -> list[Any]:
        """Return the row of each array that the first step reads; zeros if there is no step."""
        first = -1 if self.reverse else 0
        return [x[first] if self.length else np.zeros(x.shape[1:], x.dtype) for x in map(stored_array, xs)]

    def _split(self, leaves: Leaves) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """Return leaves in four parts: those of closed-over Tensors, of the carry, of the rows, and the rest."""
        ends = np.cumsum([len(self.live), sum(self.of_init), sum(self.of_xs)]).tolist()
        a, b, c = ends
        return list(leaves[:a]), list(leaves[a:b]), list(leaves[b:c]), list(leaves[c:])

    def _back(self, cotangents: list[Any], args: Leaves) -> list[Tensor]:
        """Record the backward loop; return the gradients of closed-over Tensors, of the first carry and of the rows."""
        record, live, width, rows, ends = self.record, self.live, len(self.of_init), len(self.of_xs), sum(self.of_init)
        _, init, xs, _ = self._split(args)
        init, xs = _merge(self.of_init, init, self.others[0]), _merge(self.of_xs, xs, self.others[1])

        def back(leaves: Leaves) -> Leaves:
            carry, x, gs = leaves[:width], leaves[width : width + rows], leaves[width + rows : len(leaves) - len(live)]
            new, y = self.step(carry, x)
            outs = [*_pick(self.of_init, new), *_pick(self.of_ys, y)]
            found = joint_gradients(outs, [*_pick(self.of_init, carry), *_pick(self.of_xs, x), *live], gs)
            sums = leaves[len(leaves) - len(live) :]
            moved = len(found) - len(live)
            return [*found[:moved], *(total + g for total, g in zip(sums, found[moved:], strict=True))]

        totals = [np.zeros(t.shape, t.dtype) for t in live]
        gs = [*map(stored_array, cotangents[:ends]), *self._rows(cotangents[ends:])]
        part = TracedBody(record, back, [*map(stored_array, init), *self._rows(xs), *gs, *totals])
        of_rows = [shape_and_dtype(v) for v in part.outs[ends : len(part.outs) - len(live)]]
        counts = len(part.closed), rows, ends, len(cotangents) - ends
        pull = BackwardLoop(part.body, self.loop, counts, of_rows, [(t.shape, t.dtype) for t in totals])
        value, tape = self.tape
        results = pull.results(*part.data(record), *map(stored_array, [*xs, *cotangents]), tape)
        values = [*part.closed, *map(record.find, [*xs, *cotangents]), value]
        found = emit(record, f"{self.name}_back", pull, values, results)
        return as_tensors(record, f"{self.name}_back", found, [*args, *cotangents], self._differentiable_back)

    def _differentiable_back(self, cotangents: list[Any], args: Leaves) -> list[Any]:
        """Return the gradients of `_back`, by the loop of tangents and its gradient; see the module's docstring."""
        cotangents = [new_input(g) if _has_grad(g) else g for g in cotangents]
        of_live, of_init, of_xs, _ = self._split(cotangents)
        _, init, xs, gs = self._split(args)
        init, xs = [new_input(x) for x in init], [new_input(x) for x in xs]
        width, rows = len(self.of_init), len(self.of_xs)

        def tangent_step(carry: Leaves, x: Leaves) -> tuple[Leaves, Leaves]:
            new, y = self.step(carry[:width], x[:rows])
            new = [_array(self.record, part) for part in new]
            outs = [*_pick(self.of_init, new), *(_array(self.record, part) for part in _pick(self.of_ys, y))]
            inputs = [*_pick(self.of_init, carry[:width]), *_pick(self.of_xs, x[:rows]), *self.live]
            moved = pushforward(outs, inputs)([*carry[width:], *x[rows:], *of_live])
            return [*new, *moved[: len(of_init)]], moved[len(of_init) :]

        test = self.test and (lambda carry: self.test(carry[:width]))  # type: ignore[misc]
        loop = Looping(self.record, f"{self.name}_along", tangent_step, test, self.length, self.reverse)
        carry, ys = loop.run(
            [*_merge(self.of_init, init, self.others[0]), *of_init], [*_merge(self.of_xs, xs, self.others[1]), *of_xs]
        )
        tangents = [*carry[width:], *ys]
        inputs = [*self.live, *init, *xs]
        ends = [g for g in cotangents if _has_grad(g)]  # may themselves depend on the inputs; the walk must end there
        return [*joint_gradients(tangents, [*inputs, *ends], gs)[: len(inputs)], *tangents]


def _pick(mask: Sequence[bool], leaves: Leaves) -> list[Any]:
    return [x for x, wanted in zip(leaves, mask, strict=True) if wanted]


def _merge(mask: Sequence[bool], wanted: Leaves, others: Leaves) -> list[Any]:
    """Return two lists merged to one, in the order of the mask: True takes from `wanted`, False from `others`."""
    left, right = iter(wanted), iter(others)
    return [next(left) if is_wanted else next(right) for is_wanted in mask]


def _leaves(record: Recorder, tree: Any) -> list[Tensor]:
    return [_array(record, x) for x in flatten_or_none(tree)[0]]


def _typed_carry(record: Recorder, step: Callable[[Any], Any], init: Any) -> list[Tensor]:
    """Return the leaves of the first carry, with Python numbers in the dtypes that they have after one step."""
    leaves, rebuild = flatten_or_none(init)
    as_scalars(init)  # raises if a leaf is neither array nor number
    numbers = [type(x) in NUMBERS or isinstance(x, StillNode.weak) for x in leaves]
    if not any(numbers):
        return _leaves(record, init)
    with _recording_apart(record):
        new = [stored_array(x) for x in _leaves(record, step(rebuild(leaves)))]
    trio = zip(_leaves(record, init), new, numbers, strict=True)
    return [x.astype(y.dtype) if mine and x.dtype != y.dtype else x for x, y, mine in trio]


def scan(
    record: Recorder, f: Any, init: Any, xs: Leaves, row: Callable[[Leaves], Any], length: int, reverse: bool
) -> tuple[Any, Any]:  # fmt: skip
    """Record a `scan`, of which `xs` are the leaves of the rows, and return the last carry and the stacked y."""
    f = FrozenFunction(f)
    again = flatten_or_none(init)[1]
    rebuild: Any = None

    def step(carry: Leaves, x: Leaves) -> tuple[Leaves, Leaves]:
        nonlocal rebuild
        new, y = pair(f(again(carry), row(x)))
        new = next_carry(again(carry), new, "scan: f")
        ys, rebuild = flatten_or_none(y)
        return flatten_or_none(new)[0], ys

    tensors = [_array(record, x) for x in xs]
    first = 0 if not reverse else -1
    one = [
        record.still(record.find(a), a)
        for a in (np.array(stored_array(x)[first]) if length else np.zeros(x.shape[1:], x.dtype) for x in tensors)
    ]
    start = _typed_carry(record, lambda carry: pair(f(carry, row(one)))[0], init)
    carry, ys = Looping(record, "scan", step, None, length, reverse).run(start, tensors)
    return again(carry), rebuild(ys)


def while_loop(record: Recorder, test: Any, step: Any, init: Any) -> Any:
    """Record a `while_loop`, and return the last carry."""
    test, step = FrozenFunction(test), FrozenFunction(step)
    again = flatten_or_none(init)[1]

    def next_of(carry: Leaves, _: Leaves) -> tuple[Leaves, Leaves]:
        new = next_carry(again(carry), step(again(carry)), "while_loop: body_fun")
        return flatten_or_none(new)[0], []

    def goes_on(carry: Leaves) -> Any:
        return one_value(test(again(carry)), CONDITION)

    start = _typed_carry(record, step, init)
    return again(Looping(record, "while_loop", next_of, goes_on, 0, False).run(start, [])[0])


# -- Branches


def cond(record: Recorder, pred: Any, true_fn: Any, false_fn: Any, operands: tuple[Any, ...]) -> Any:
    """Record a `cond`; Python numbers among operands and results stay Python numbers, with their weak dtypes."""
    leaves, again = flatten_or_none(operands)
    moving = [_number_type(x) is None for x in leaves]
    numbers = [x for x, moves in zip(leaves, moving, strict=True) if not moves]
    kinds: list[tuple[Any, Any, Callable[[Leaves], Any], list[Any]]] = []

    def flat(f: Any) -> Callable[[Leaves], Leaves]:
        def branch(leaves: Leaves) -> Leaves:
            tree = f(*again(_merge(moving, leaves, numbers)))
            found, rebuild = flatten_or_none(tree)
            kinds.append((containers(tree), nest_text(as_scalars(tree)), rebuild, [_number_type(x) for x in found]))
            return found

        return branch

    branches = [flat(FrozenFunction(f)) for f in (true_fn, false_fn)]
    given = [_array(record, x) for x in _pick(moving, leaves)]
    results = record_choice(record, "cond", pred, branches, given, kinds)
    both = zip(results, kinds[0][3], kinds[1][3], strict=True)
    return kinds[0][2]([x if one is None or one is not other else record_number(one, x) for x, one, other in both])


def _number_type(x: Any) -> Any:
    """Return the type of a Python number, traced or not; None for anything else."""
    kind = type(stored_array(x) if isinstance(x, StillNode.weak) else x)
    return kind if kind in (int, float, complex) else None


def record_choice(
    record: Recorder, name: str, pred: Any, branches: Sequence[Callable[[Leaves], Leaves]], operands: Sequence[Tensor],
    kinds: Sequence[Any] = (),
) -> list[Tensor]:  # fmt: skip
    """Record a choice between two functions of leaves, and return the results with their gradient rule."""
    likes = [stored_array(x) for x in operands]
    one, two = (TracedBody(record, f, likes) for f in branches)
    if kinds and (
        kinds[0][0] != kinds[1][0] or [shape_and_dtype(v) for v in one.outs] != [shape_and_dtype(v) for v in two.outs]
    ):
        raise Untraceable(
            f"cond: true_fn returns {kinds[0][1]} and false_fn {kinds[1][1]}; both must return the same containers, "
            "shapes and dtypes if pred is a traced value."
        )
    live = [wrap(node.out, node) for node in dict.fromkeys(t.node for t in (*one.live, *two.live)) if node is not None]
    choice = Choice([one.body, two.body], (len(one.closed), len(two.closed)))
    if not one.outs:
        return []
    results = choice.results(stored_array(pred), *one.data(record), *two.data(record), *likes)
    values = [record.find(pred), *one.closed, *two.closed, *map(record.find, operands)]
    mask = [_is_float(x) for x in operands]
    others = [x for x in operands if not _is_float(x)]

    def back(cotangents: list[Any], args: Leaves) -> list[Tensor]:
        def of(f: Callable[[Leaves], Leaves]) -> Callable[[Leaves], Leaves]:
            def pull(leaves: Leaves) -> Leaves:
                inputs, gs = leaves[: len(mask)], leaves[len(mask) :]
                outs = [x for x in (_array(record, x) for x in f(inputs)) if _is_float(x)]
                return joint_gradients(outs, [*live, *_pick(mask, inputs)], gs)

            return pull

        given = [*_merge(mask, args[len(live) :], others), *cotangents]
        return record_choice(record, f"{name}_back", pred, [of(f) for f in branches], given)

    return as_tensors(record, name, emit(record, name, choice, values, results), [*live, *_pick(mask, operands)], back)
