"""Mistakes in values that a backward computes again, but not as the forward pass did: no mask, or another epsilon.

Such a value differs from that of the forward pass, and so do all values and gradients that are computed from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...node import Node
from ...transforms import alias
from ..mistakes import FAR, RARE, Mistake, differentiated_arguments, value_name
from ..paths import Array, Traced, args_of, copy_node, parents_of
from ..pattern import fraction
from .mutants import Mutant, Remake

SECANTS = 8  # the most steps of the search for a constant that the backward may have used
FACTOR = 1.65  # the cost of leaving out a product with a number, which is better reported as a factor
MASKS = frozenset({"where", "maximum", "minimum", "clip"})


def recomputed_mutants(graph: Traced, user_gradients: Sequence[Array]) -> Iterator[Mutant]:
    """Yield each value of a graph computed in another way, where constants are fitted to the user's gradients."""
    for place, node in enumerate(graph.operations):
        yield from _skipped_operations(place, node)
        yield from _constants(graph, place, node, user_gradients)


def _entry(kind: str, text: str, place: int, remake: Remake, key: Any, cost: float = FAR) -> Mutant:
    return Mutant(kind, text, ((place, Mistake(kind, text, None, key=key)),), cost, remake=remake)


def _skipped_operations(place: int, node: Node) -> Iterator[Mutant]:
    """Yield the mistakes that an operation is left out, so that its argument stands in place of its result."""
    name = node.primitive.name if node.primitive else ""
    args = args_of(node)
    for slot in differentiated_arguments(node):
        arg = np.asarray(args[slot])
        if name == "alias" or arg.shape != np.shape(node.out) or np.array_equal(arg, node.out):
            continue
        others = [np.asarray(a) for i, a in enumerate(args) if i != slot]
        dropped = name == "multiply" and len(np.unique(others[0])) == 2 and not others[0].all()
        kind = "mask_missing" if name in MASKS else "dropout_mask_missing" if dropped else "wrong_value"
        parent: Any = parents_of(node)[slot]
        text = f"The gradients are as if {name} were left out: {value_name(parent)} stands in place of its result."
        unlike = (f"The gradients are as if {value_name(parent)} stood in place of the result of {name} in all that "
                  "follows from it.")  # fmt: skip

        def skipped(graph: Traced, place: int, slot: int = slot) -> Node:
            node = graph.operations[place]
            arg = np.asarray(args_of(node)[slot])
            return copy_node(node, out=arg, primitive=alias, args=(arg,), parents=(parents_of(node)[slot],), meta={})

        def replaced(graph: Traced, place: int, slot: int = slot) -> Node:
            node = graph.operations[place]
            return copy_node(node, out=np.asarray(args_of(node)[slot]))

        factor = name in ("multiply", "divide") and others[0].size == 1  # in a linear graph, better called a factor
        yield _entry(kind, text, place, skipped, (slot, "skipped"), FACTOR if factor else FAR)
        yield _entry(kind, unlike, place, replaced, (slot, "replaced"), FACTOR if factor else RARE + FAR - 1)


def _constants(graph: Traced, place: int, node: Node, user_gradients: Sequence[Array]) -> Iterator[Mutant]:
    """Yield the mistakes that epsilon is forgotten, has another value, or is added after the square root."""
    added = _added_epsilon(node)
    root = node.primitive is not None and node.primitive.name == "sqrt" and _added_epsilon((node.parents or (None,))[0])
    for inner, c, behind in ((node, added, False), ((node.parents or (node,))[0], root, True)):
        if not c or inner is None:
            continue

        def make(graph: Traced, place: int, value: float, behind: bool = behind) -> Node:
            node = graph.operations[place]
            inner = parents_of(node)[0] if behind else node
            x = _moving_part(inner)
            return copy_node(node, out=np.sqrt(x) + value if behind else x + value)

        variants = {0.0: "is forgotten", float(c): "is added outside the root; it should be inside"} if behind else {
            0.0: "is forgotten"}  # fmt: skip
        fitted = _fit_constant(graph, place, user_gradients, make, float(c))
        if fitted is not None:
            where = "added outside the root" if behind else "added"
            variants[fitted] = f"is wrong: {fraction(fitted, 1e-4)} is {where}; it should be {fraction(float(c))}"
        for value, clause in variants.items():
            if behind or value != float(c):
                other_sum = partial(make, value=value)
                text = (f"Epsilon {clause}. So this value, recomputed in the backward pass, and all values that follow "
                        "from it differ from those of the forward pass.")  # fmt: skip
                yield _entry("wrong_epsilon", text, place, other_sum, (behind, value), RARE)


def _added_epsilon(node: Any) -> float:
    """Return the small number that an operation adds to a value, or 0."""
    if node is None or node.primitive is None or node.primitive.name != "add":
        return 0.0
    free = [np.asarray(a) for a, p in zip(args_of(node), parents_of(node), strict=True) if p is None]
    return float(free[0].reshape(())) if len(free) == 1 and free[0].size == 1 and 0 < float(
        free[0].reshape(())) <= 0.1 else 0.0  # fmt: skip


def _moving_part(node: Any) -> Array:
    return next(np.asarray(a) for a, p in zip(args_of(node), parents_of(node), strict=True) if p is not None)


def _fit_constant(graph: Traced, place: int, user_gradients: Sequence[Array], make: Any, c: float) -> float | None:
    """Return the constant with which the gradients equal the user's along a random direction, by the secant method.

    Return None if there is none, or none that differs from the right constant `c` and has few digits.
    """
    rng = np.random.default_rng(0)
    u = [rng.normal(size=np.shape(m)) for m in user_gradients]

    def misfit(value: float) -> float:
        mutant_gradients = _entry("", "", place, partial(make, value=value), None).walk(graph)
        if mutant_gradients is None or any(
            a.shape != b.shape for a, b in zip(mutant_gradients, user_gradients, strict=True)
        ):
            return np.nan
        return sum(
            float(np.real(np.vdot(v, a - b))) for v, a, b in zip(u, mutant_gradients, user_gradients, strict=True)
        )

    previous, current = c, 2 * c + 1e-3
    low, high = misfit(previous), misfit(current)
    for _ in range(SECANTS):
        if not np.isfinite([low, high]).all() or low == high:
            return None
        previous, current, low = current, current - high * (current - previous) / (high - low), high
        if not 0 <= current < 10:
            return None
        high = misfit(current)
        if abs(current - previous) <= 1e-12 * (abs(current) + 1e-12):
            break
    rounded = float(f"{current:.6g}")
    return rounded if abs(rounded - c) > 1e-4 * c and abs(rounded - current) <= 1e-7 * abs(current) + 1e-12 else None
