"""Mistakes at products, quotients and powers: a factor is missing, transposed, or replaced by another value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..paths import Traced, args_of, parents_of
from .elementwise import Value, values_like
from .mistake import (
    FAR,
    FURTHER,
    LIKELY_CUT,
    PLAIN,
    RARE,
    Mistake,
    Site,
    Wrong,
    begin_sentence,
    differentiated_arguments,
    finds,
    value_name,
)


@finds("multiply")
def factors(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a product in which the other factor is missing or replaced."""
    node = graph.operations[place]
    args, slots = args_of(node), differentiated_arguments(node)
    for slot in slots:
        other = 1 - slot
        fixed = parents_of(node)[other] is None
        mask = fixed and _is_mask(args[other])
        kind = "dropout_mask_missing" if mask else "missing_factor"
        text = ("The mask of the product is missing in the backward pass." if mask else
                "The other factor of a product is missing in the backward pass.")  # fmt: skip
        if np.size(args[other]) == 1 and fixed:
            yield from _without_number(args[other], "multiplied", slot)
            continue
        yield Mistake(kind, text, lambda s: s.g, slot)
        yield Mistake("wrong_value", "The gradient is divided by the other factor of a product; it should be "
                      "multiplied by it.",
                      lambda s, o=other: s.g / s.args[o], slot, cost=RARE)  # fmt: skip
        yield Mistake("wrong_value", "The other factor of a product is squared in the backward pass.",
                      lambda s, o=other: s.g * s.args[o] ** 2, slot, cost=RARE)  # fmt: skip
        if np.shape(args[slot]) == np.shape(args[other]) or np.ndim(args[slot]):
            yield Mistake("wrong_value", "The gradient of a factor of a product is multiplied by that factor; it "
                          "should be multiplied by the other one.",
                          lambda s, i=slot: s.g * s.args[i], slot)  # fmt: skip
        yield Mistake("wrong_value", "The product itself is used instead of its other factor in the backward pass.",
                      lambda s: s.g * s.out, slot, cost=RARE)  # fmt: skip
        if mask:
            yield Mistake("dropout_scale_missing", "The mask is applied without its scale in the backward pass.",
                          lambda s, o=other: s.g * (np.asarray(s.args[o]) != 0), slot)  # fmt: skip
        for what, value, key in values_like(graph, place, np.shape(args[other]), 16):
            text = begin_sentence(f"{what} is used instead of the other factor of a product.")
            yield Mistake("wrong_value", text, lambda s, v=value: s.g * v(s), slot, cost=FAR, key=key)


def _without_number(number: Any, verb: str, slot: int) -> Iterator[Mistake]:
    """Yield the mistake that a constant factor or divisor is missing."""
    c = np.asarray(number).item()
    if isinstance(c, (int, float)) and abs(c) != 1:
        yield Mistake("scale", f"The gradient is not {verb} by {c:g} here, as the value is.", lambda s: s.g, slot,
                      cost=PLAIN)  # fmt: skip


def _is_mask(x: Any) -> bool:
    """Tell whether a constant array consists of zeros and one other number."""
    values = np.unique(np.asarray(x)) if np.size(x) > 1 else np.empty(0)
    return len(values) == 2 and values[0] == 0


# For divide: argument -> wrong gradients, each a phrase and a function of the Site.
QUOTIENTS: dict[int, list[tuple[str, Wrong]]] = {
    0: [
        ("the gradient of the numerator is divided by the square of the denominator", lambda s: s.g / s.args[1] ** 2),
        ("the gradient of the numerator is multiplied by the denominator; it should be divided by it",
         lambda s: s.g * s.args[1]),
        ("the gradient of the numerator is divided by the root of the denominator", lambda s: s.g / s.args[1] ** 0.5),
        ("the gradient of the numerator is not divided by the denominator", lambda s: s.g),
    ],
    1: [
        ("the square in the denominator is missing", lambda s: -s.g * s.out),
        ("the numerator is missing in the gradient of the denominator", lambda s: -s.g / s.args[1] ** 2),
        ("the denominator is cubed; it should be squared", lambda s: -s.g * s.args[0] / s.args[1] ** 3),
        ("the gradient of the denominator is not divided by anything", lambda s: -s.g * s.args[0]),
        ("the numerator is squared in the gradient of the denominator", lambda s: -s.g * s.out**2),
        ("the denominator is treated as a factor", lambda s: s.g * s.args[0]),
    ],
}  # fmt: skip


@finds("divide")
def quotients(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield wrong gradients of a quotient."""
    node = graph.operations[place]
    if np.size(args_of(node)[1]) == 1 and parents_of(node)[1] is None:
        yield from _without_number(args_of(node)[1], "divided", 0)
        return
    for slot in differentiated_arguments(node):
        for text, wrong in QUOTIENTS[slot]:
            missing = slot == 0 and "not divided" in text
            yield Mistake("missing_factor" if missing else "wrong_derivative",
                          f"In the gradient of a quotient, {text}.",
                          wrong, slot)
        shape = np.shape(args_of(node)[1])
        for what, value, key in values_like(graph, place, shape, 6):
            text = begin_sentence(f"{what} is used instead of the denominator.")
            yield Mistake("wrong_value", text, lambda s, v=value, i=slot: (s.g / v(s) if i == 0 else
                          -s.g * s.args[0] / v(s) ** 2), slot, cost=FAR, key=key)  # fmt: skip


POWERS: list[tuple[str, Wrong]] = [
    ("the exponent is not lowered by one", lambda s: s.g * s.args[1] * s.out),
    ("the exponent is raised by one; it should be lowered by one",
     lambda s: s.g * s.args[1] * s.args[0] ** (s.args[1] + 1)),
    ("the base itself is used instead of its power", lambda s: s.g * s.args[1] * s.args[0]),
    ("the base is not taken to any power", lambda s: s.g * s.args[1]),
    ("the gradient is passed through without the derivative", lambda s: s.g),
    ("the exponent is lowered by two", lambda s: s.g * s.args[1] * s.args[0] ** (s.args[1] - 2.0)),
    ("the exponent is half of what it should be",
     lambda s: s.g * s.args[1] * np.abs(s.args[0]) ** ((s.args[1] - 1) / 2)),
    ("the exponent is twice what it should be",
     lambda s: s.g * s.args[1] * np.abs(s.args[0]) ** ((s.args[1] - 1.0) * 2)),
]  # fmt: skip


@finds("power")
def powers(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield wrong derivatives of a power with one exponent."""
    node = graph.operations[place]
    if 0 in differentiated_arguments(node) and np.size(args_of(node)[1]) == 1:
        root = float(np.asarray(args_of(node)[1]).reshape(-1)[0])
        for text, wrong in POWERS:
            yield Mistake("wrong_derivative", f"The derivative of a power with exponent {root:g} is wrong: {text}.",
                          wrong, 0, cost=LIKELY_CUT)  # fmt: skip


@finds("matmul", "dot", "affine")
def matrices(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a matrix product with a transposed or replaced factor, or from a single row."""
    node = graph.operations[place]
    args, name = args_of(node), node.primitive.name  # type: ignore[union-attr]
    for slot in [i for i in differentiated_arguments(node) if i < 2]:
        other = 1 - slot
        if np.ndim(args[other]) < 2:
            continue
        shape = np.shape(args[other])

        def with_other(value: Any, slot: int = slot, other: int = other) -> Wrong:
            def wrong(s: Site) -> Any:
                new = list(s.args)
                new[other] = value(s)
                return s.rule(slot, args=new)

            return wrong

        if slot == 1 and np.ndim(args[0]) == 2 and shape[0] > 1 and name != "affine":
            for which, row in (("last", -1), ("first", 0)):
                text = f"Only the {which} row of the product contributes to the gradient; all rows should be added."
                yield Mistake("overwritten_not_accumulated", text,
                              lambda s, row=row: _of_row(s, row), 1)  # fmt: skip
        if np.shape(node.out) == np.shape(args[slot]):
            yield Mistake("missing_factor", "The other factor of the product is missing in the backward pass.",
                          lambda s: s.g, slot)  # fmt: skip
        if shape[-1] == shape[-2]:
            yield Mistake("transpose", "One factor of the product is transposed in the backward pass.",
                          with_other(lambda s, o=other: np.swapaxes(s.args[o], -1, -2)), slot)  # fmt: skip
        for what, value, key in values_like(graph, place, shape, 12):
            text = begin_sentence(f"{what} is used instead of the right factor.")
            yield Mistake("wrong_value", text, with_other(value), slot, cost=RARE, key=key)
        own = np.shape(args[slot])
        if len(own) >= 2 and own[-1] == own[-2] and slot == 1:
            yield Mistake("transpose", "The gradient of a factor is transposed.",
                          lambda s, i=slot: np.swapaxes(s.slots[i], -1, -2), slot)  # fmt: skip


def _of_row(s: Site, row: int) -> Any:
    """Return the gradient of the second factor from one row; raise ValueError if it is 0, as if all were lost."""
    if not np.any(s.g[row]):
        raise ValueError("the gradient of this row is 0")
    return np.outer(s.args[0][row], s.g[row])


@finds()
def repeated_factors(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients that are multiplied or divided by a value of the graph once too often."""
    node = graph.operations[place]
    args = args_of(node)
    for slot in differentiated_arguments(node):
        own = np.shape(args[slot])
        for what, value, key in _nearby(graph, place, own):
            for text, power in (("multiplied", 1), ("divided", -1)):
                yield Mistake("wrong_derivative", f"The gradient is {text} by {what} once too often here.",
                              lambda s, v=value, p=power, i=slot: s.slots[i] * v(s) ** float(p), slot, cost=FURTHER,
                              key=(key, power))  # fmt: skip


def _nearby(graph: Traced, place: int, shape: tuple[int, ...]) -> Iterator[Value]:
    """Yield values of nearby operations and of inputs that an array of a shape can be multiplied by."""
    for step in range(-6, 7):
        i = place + step
        if 0 <= i < len(graph.operations):
            node = graph.operations[i]
            if np.size(node.out) > 0 and _can_broadcast(np.shape(node.out), shape):
                yield Value(value_name(node), lambda s, k=step: s.graph.operations[s.place + k].out, step)
    for j, leaf in enumerate(graph.inputs[:24]):
        if _can_broadcast(np.shape(leaf.out), shape):
            yield Value(value_name(leaf), lambda s, j=j: s.graph.inputs[j].out, f"input {j}")


def _can_broadcast(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    """Tell whether an array of `shape` broadcasts to the shape `into`."""
    return len(shape) <= len(into) and all(n in (1, m) for n, m in zip(shape[::-1], into[::-1], strict=False))
