"""A backward pass that records every step: one operation at a time, with the gradient that each edge contributes.

`backward` is made for speed and keeps only the summed gradients. `walk_back` is made for display: it runs each rule
once, in the same order, and records every contribution. It does not change the graph or any `grad`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..node import FREED, Node
from ..primitive import REGISTRY, sum_to
from .view import GraphNode, GraphView

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Contribution:
    """The gradient that one edge contributes to its source.

    Attributes:
        edge: the index of the edge in ``view.edges``.
        array: the gradient that this use of the argument adds, in the shape and dtype of the argument.
        total: the sum of the contributions to the argument so far, including this one.
        count: the number of contributions in that sum.
        summed: whether the argument was broadcast, so that the result of the rule was summed to its shape.
    """

    edge: int
    array: Array
    total: Array
    count: int
    summed: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of the backward pass.

    Attributes:
        number: the number of the node in the view.
        gradient: the gradient of the output in the node's value; complete, because all uses of it came before.
        contributions: one to each argument that takes a gradient, in the order of the slots.
    """

    number: int
    gradient: Array
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True, slots=True)
class WalkBack:
    """The whole backward pass: the cotangents it began with, its steps, and the gradient of every node it reached."""

    seeds: dict[int, Array]
    steps: tuple[Step, ...]
    gradients: dict[int, Array]


def walk_back(view: GraphView, gradient: Any = None) -> WalkBack:
    """Run the backward pass from the outputs of a view and return every step.

    Hooks are not called, since they belong to the user's own call of `backward`.

    Args:
        view: a view of a graph that still exists, that is, some variable still holds its result.
        gradient: the cotangent of each output, in the shape of the output. By default, the gradient that an earlier
            `backward` stored at a single output, else ones (the gradient of the sum of all entries of the outputs).

    Returns:
        A `WalkBack`.

    Raises:
        RuntimeError: the graph was freed, or its result was deleted, after the view was made.
        ValueError: the gradient has another shape.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> x = Tensor(3.0, name="x")
        >>> y = x * x
        >>> step = walk_back(GraphView(y)).steps[0]
        >>> [(c.edge, c.array.item(), c.total.item()) for c in step.contributions]
        [(0, 3.0, 3.0), (1, 3.0, 6.0)]
    """
    seeds = _seeds(view, gradient)
    pending: dict[int, Any] = {number: conjugate(seed) for number, seed in seeds.items()}
    counts: dict[int, int] = {}
    steps: list[Step] = []
    into: dict[int, list[int]] = {}
    for place, edge in enumerate(view.edges):
        into.setdefault(edge.target, []).append(place)
    for part in reversed(view.nodes):  # nodes are numbered in order of creation, the order that `backward` follows
        if part.operation is None or part.number not in pending:
            continue
        g = pending[part.number]
        contributions = []
        with np.errstate(all="ignore"):
            node = part.node  # a view keeps no graph alive
            if node is None:
                raise RuntimeError(FREED)
            for slot, given in enumerate(rule_results(node, g)):
                if given is None:
                    continue
                arg: Any = node.args[slot]  # type: ignore[index]
                r, summed = as_argument(given, arg), given.shape != arg.shape
                place = into[part.number][slot]
                source = view.edges[place].source
                before = pending.get(source)
                pending[source] = r if before is None else before + r
                counts[source] = counts.get(source, 0) + 1
                total = np.asarray(conjugate(pending[source]))
                contributions.append(Contribution(place, np.asarray(conjugate(r)), total, counts[source], summed))
        steps.append(Step(part.number, np.asarray(conjugate(g)), tuple(contributions)))
    return WalkBack(seeds, tuple(steps), {number: np.asarray(conjugate(g)) for number, g in pending.items()})


def symbols(part: GraphNode) -> tuple[str, ...]:
    """Return the letter of each argument in the equations of a node; empty if the number of arguments is not fixed.

    Example:
        >>> from tinygrad_nn import Tensor, affine
        >>> z = affine(Tensor([[1.0]]), Tensor([[2.0]]), Tensor([3.0]))
        >>> symbols(GraphView(z)[3])
        ('x', 'W', 'b')
    """
    primitive = part.node.primitive if part.node else REGISTRY.get(part.operation or "")  # graph released
    if primitive is None or primitive.jointly is not None:
        return ()
    text = " ".join([part.tex or "", *(rule or "" for rule in part.rules)])
    words = re.sub(r"\\(?:text|operatorname|mathrm)\{[^}]*\}|\\[A-Za-z]+", " ", text)
    letters = {word for run in re.findall(r"[A-Za-z]+", words) for word in (run, *(run if run != "out" else ()))}
    names = [p.name for p in primitive.parameters[: primitive.arity]] or list("xyzw"[: primitive.arity])
    found = [n if n in letters else n[0] if n[0] in letters and n[0] not in names else "" for n in names]
    if all(found):
        return tuple(found)
    return tuple(
        next((letter for letter in ("xyzw"[i : i + 1], "XYZW"[i : i + 1]) if letter in letters), name)
        for i, name in enumerate(names)
    )


def _seeds(view: GraphView, gradient: Any) -> dict[int, Array]:
    """Return the cotangent of each output that requires gradients."""
    seeds: dict[int, Array] = {}
    for number in view.outputs:
        part = view[number]
        if part.origin is None or number in seeds:
            continue
        if gradient is not None:
            seed = np.array(gradient, dtype=part.array.dtype)
            if seed.shape != part.shape:
                raise ValueError(f"the gradient has shape {seed.shape}; the output has shape {part.shape}.")
        elif part.grad_array is not None and part.operation and len(view.outputs) == 1:
            seed = np.array(part.grad_array)
        else:
            seed = np.ones_like(part.array)
        seeds[number] = seed
    return seeds


def rule_results(node: Node, g: Any) -> list[Any]:
    """Return the results of an operation's rules for a cotangent, one for each argument, before any summing or casting.

    The result is ``None`` for an argument that takes no gradient, and zeros for one whose rule is ``None``. For complex
    numbers, g and the results are the conjugates of gradients, as in `backward`.

    Raises:
        RuntimeError: the graph was freed.
    """
    args, parents, primitive = node.args, node.parents, node.primitive
    if args is None or parents is None or primitive is None:
        raise RuntimeError(FREED)
    joint = None if primitive.jointly is None else primitive.jointly(g, node.out, *args, **node.meta)
    rules: Any = primitive.vjps if joint is None else joint
    results: list[Any] = []
    for parent, arg, rule in zip(parents, args, rules, strict=True):
        if parent is None:
            results.append(None)
        elif rule is None:
            results.append(np.zeros_like(arg))
        else:
            results.append(rule if joint is not None else rule(g, node.out, *args, **node.meta))
    return results


def as_argument(r: Any, arg: Any) -> Any:
    """Return a rule's result in the argument's shape and dtype: summed over broadcast axes, real if the argument is."""
    r = sum_to(r, arg.shape)
    if r.dtype.kind == "c" and arg.dtype.kind != "c":
        r = r.real
    return r.astype(arg.dtype, copy=False)


def conjugate(g: Any) -> Any:
    """Return the complex conjugate of a complex array, and a real array unchanged."""
    return g.conj() if g.dtype.kind == "c" else g
