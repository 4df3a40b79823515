"""Mistakes at elementwise functions: the derivative is missing, at a wrong value, or of another function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..paths import Traced, args_of
from .mistake import FAR, RARE, USUAL, Mistake, Site, Wrong, differentiated_arguments, finds, value_name

LINEAR = frozenset({
    "alias", "reshape", "transpose", "swapaxes", "identity", "negative", "positive", "sorted", "partitioned", "ranked",
    "cast", "copy", "broadcast_to", "rearrange", "roll", "conjugate", "real",
})  # fmt: skip
NOT_SLOPES = frozenset({"clip", "softmax", "log_softmax", "getitem", "put", "cumsum", "standardize", "window", "where"})
VALUE = "activation_derivative_at_wrong_value"
NEAR = 10  # how many values of nearby operations are tried in the place of the right one


class Value(NamedTuple):
    """Another value of the graph: its name, a function that finds it from a Site, and its offset as a key."""

    name: str
    of: Any
    key: Any


def values_like(graph: Traced, place: int, shape: tuple[int, ...], max_nearby: int = NEAR) -> Iterator[Value]:
    """Yield other values of the graph with a shape: those of at most `max_nearby` operations, and those of inputs."""
    count = len(graph.operations)
    for offset in range(1, min(count, 4 * NEAR)):
        for step in (offset, -offset):
            i = place + step
            if max_nearby > 0 and 0 <= i < count and np.shape(graph.operations[i].out) == shape:
                max_nearby -= 1
                yield Value(
                    value_name(graph.operations[i]), lambda s, k=step: s.graph.operations[s.place + k].out, step
                )
    for j, leaf in enumerate(graph.inputs[:24]):
        if np.shape(leaf.out) == shape:
            yield Value(value_name(leaf), lambda s, j=j: s.graph.inputs[j].out, f"input {j}")


@finds()
def slopes(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield wrong gradients of an elementwise function: without its derivative, or with it at a wrong value."""
    node = graph.operations[place]
    primitive, args = node.primitive, args_of(node)
    if primitive is None or primitive.jointly or len(primitive.vjps) != 1 or primitive.name in LINEAR:
        return
    x, out = np.asarray(args[0]), np.asarray(node.out)
    if x.shape != out.shape:
        return
    name, saves = primitive.name, primitive.saves
    meta = {key: value for key, value in node.meta.items() if key not in saves}
    kind = "mask_missing" if name == "clip" else "missing_activation_derivative"
    text = f"The gradient is passed through {name} without its derivative."
    if name == "clip":
        text = "The gradient also passes where the value was clipped; it should be 0 there."
    yield Mistake(kind, text, lambda s: s.g, 0)
    if name in NOT_SLOPES - {"softmax"}:
        return

    def value(a: Any, b: Any) -> Wrong:
        def moved(s: Site) -> Any:
            saved = {key: save(b(s), **meta) for key, save in saves.items()}
            return s.rule(0, args=(a(s),), out=b(s), **saved)

        return moved

    def again(s: Site) -> Any:
        made = primitive.forward(s.out, **meta)
        return made[0] if saves else made

    own, result = (lambda s: s.args[0]), (lambda s: s.out)
    text = f"The derivative of {name} is taken at its output; it should be taken at its input."
    yield Mistake(VALUE, text, value(result, again), 0)
    yield Mistake(VALUE, text, value(result, result), 0)
    text = f"The derivative of {name} is written for its output, but its input was put into it."
    yield Mistake(VALUE, text, value(own, own), 0)
    if name == "softmax":
        return
    text = f"The derivative of {name} is taken at the upstream gradient; it should be taken at its input."
    yield Mistake(VALUE, text, value(lambda s: s.g, lambda s: primitive.forward(s.g, **meta)), 0)
    for what, other, key in values_like(graph, place, x.shape, 6):
        text = f"The derivative of {name} is taken at {what}; it should be taken at its own input."
        there = lambda s, o=other: primitive.forward(o(s), **meta)  # noqa: E731
        yield Mistake(VALUE, text, value(other, there), 0, cost=FAR, key=key)
        if name in BY_OUTPUT:
            yield Mistake(VALUE, text, value(other, other), 0, cost=FAR, key=(key, "out"))


BY_OUTPUT = frozenset({"tanh", "sigmoid", "exp", "sqrt", "tan"})  # functions whose rules use the result

# name -> wrong gradients, each a phrase and a function of the Site
WRONG_SLOPES: dict[str, list[tuple[str, Wrong]]] = {
    "sqrt": [
        ("the gradient is divided by the square of the root; it should be divided by the root",
         lambda s: s.g / s.out**2),
        ("the gradient is multiplied by the root; it should be divided by it", lambda s: s.g * s.out),
        ("the exponent is -3/2; it should be -1/2", lambda s: s.g * s.out**-3.0),
    ],
    "exp": [
        ("x is used instead of exp(x)", lambda s: s.g * s.args[0]),
        ("the gradient is divided by exp(x); it should be multiplied by it", lambda s: s.g / s.out),
        ("it is x exp(x - 1), as for a power", lambda s: s.g * s.args[0] * np.exp(s.args[0] - 1)),
        ("it is exp(exp(x))", lambda s: s.g * np.exp(s.out)),
    ],
    "log": [
        ("the gradient is multiplied by x; it should be divided by it", lambda s: s.g * s.args[0]),
        ("the gradient is divided by log(x); it should be divided by x", lambda s: s.g / s.out),
        ("the gradient is divided by x squared; it should be divided by x", lambda s: s.g / s.args[0] ** 2),
    ],
    "square": [("the square is used instead of x", lambda s: s.g * s.out)],
    "reciprocal": [
        ("the square of x in the denominator is missing", lambda s: s.g / s.args[0]),
        ("the square is in the numerator", lambda s: s.g * s.args[0] ** 2),
    ],
    "tanh": [
        ("it is 1 - x² of the input; it should be 1 - tanh(x)²", lambda s: s.g * (1 - s.args[0] ** 2)),
        ("it is 1 - tanh(x); the square is missing", lambda s: s.g * (1 - s.out)),
        ("it is tanh(x) (1 - tanh(x)), which is that of a sigmoid", lambda s: s.g * s.out * (1 - s.out)),
        ("it is (1 - tanh(x))²; it should be 1 - tanh(x)²", lambda s: s.g * (1 - s.out) ** 2),
        ("it is 1 + tanh(x)²; the sign inside is wrong", lambda s: s.g * (1 + s.out**2)),
        ("it is tanh(x)²; it should be 1 - tanh(x)²", lambda s: s.g * s.out**2),
    ],
    "sigmoid": [
        ("it is x (1 - x) of the input; it should be s (1 - s) of the output",
         lambda s: s.g * s.args[0] * (1 - s.args[0])),
        ("it is 1 - s; the factor s is missing", lambda s: s.g * (1 - s.out)),
        ("it is s; the factor 1 - s is missing", lambda s: s.g * s.out),
        ("it is 1 - s², which is that of tanh", lambda s: s.g * (1 - s.out**2)),
        ("it is s (1 + s); the sign inside is wrong", lambda s: s.g * s.out * (1 + s.out)),
    ],
    "sin": [("it is sin(x); it should be cos(x)", lambda s: s.g * s.out)],
    "cos": [("it is cos(x); it should be -sin(x)", lambda s: s.g * s.out)],
    "absolute": [
        ("|x| is used instead of the sign of x", lambda s: s.g * s.out),
        ("x is used instead of its sign", lambda s: s.g * s.args[0]),
    ],
    "relu": [("it is relu(x); it should be 1 where x > 0", lambda s: s.g * s.out)],
    "softplus": [("it is that of relu", lambda s: s.g * (s.args[0] > 0))],
    "log1p": [("the 1 in the denominator is missing", lambda s: s.g / s.args[0])],
    "silu": [("the product rule's second half is missing", lambda s: s.g / (1 + np.exp(-s.args[0])))],
    "gelu": [("the second half of the product rule is missing", lambda s: s.g * s.out / s.args[0])],
}  # fmt: skip


@finds(*WRONG_SLOPES)
def other_slopes(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield wrong derivatives of one function that are known from `WRONG_SLOPES`."""
    name = graph.operations[place].primitive.name  # type: ignore[union-attr]
    for text, wrong in WRONG_SLOPES[name]:
        value = " of the input;" in text
        kind = VALUE if value else "wrong_derivative"
        yield Mistake(kind, f"The derivative of {name} is wrong: {text}.", wrong, 0, cost=USUAL if value else RARE)


@finds("relu", "leaky_relu")
def masked_by_the_gradient(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a rectifier whose mask is computed from the gradient that arrives, or inverted."""
    name = graph.operations[place].primitive.name  # type: ignore[union-attr]
    text = (f"The mask of {name} is taken where the upstream gradient is positive; it should be taken where its input "
            "is.")  # fmt: skip
    low = 0.0 if name == "relu" else float(graph.operations[place].meta.get("alpha", 0.01))
    yield Mistake(VALUE, text, lambda s: s.g * np.where(s.g > 0, 1, low), 0)
    text = f"The mask of {name} is inverted: the gradient passes where the input is negative."
    yield Mistake(VALUE, text, lambda s: s.g * np.where(s.args[0] > 0, low, 1), 0)


@finds("maximum", "minimum", "fmax", "fmin")
def chosen(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a maximum or minimum of two arrays whose mask is missing, inverted, or of a wrong value."""
    node = graph.operations[place]
    name: str = node.primitive.name  # type: ignore[union-attr]
    slots = differentiated_arguments(node)
    for slot in slots:
        other = 1 - slot
        relu = len(slots) == 1 and not np.any(np.asarray(args_of(node)[other]))
        kind = "missing_activation_derivative" if relu else "mask_missing"
        text = f"The gradient passes {name} everywhere; it should pass only where this argument was chosen."
        yield Mistake(kind, text, lambda s: s.g, slot)
        text = (f"The mask of {name} is taken where the upstream gradient is positive; it should be taken where its "
                "input is.")  # fmt: skip
        yield Mistake(VALUE, text, lambda s: s.g * (s.g > 0), slot)
        text = f"The mask of {name} is inverted: the gradient passes where the other argument was chosen."
        yield Mistake(VALUE, text, lambda s, o=other: s.g * (s.out == s.args[o]), slot)
        text = f"The result of {name} is used instead of its mask."
        yield Mistake("wrong_derivative", text, lambda s: s.g * s.out, slot, cost=RARE)
        for what, value, key in values_like(graph, place, np.shape(node.out), 8):
            text = f"The mask of {name} is taken from {what}; it should be taken from its own input."
            yield Mistake(VALUE, text, lambda s, v=value: s.g * (v(s) > 0), slot, cost=FAR, key=key)


@finds("where")
def branches(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of np.where whose mask is missing or inverted."""
    node = graph.operations[place]
    for slot in differentiated_arguments(node):
        yield Mistake("mask_missing", "The gradient passes np.where everywhere; it should pass only where this branch "
                      "was taken.", lambda s: s.g, slot)  # fmt: skip
        yield Mistake("wrong_index", "The branches of np.where are exchanged in the backward pass.",
                      lambda s, i=slot: s.g - s.slots[i], slot)  # fmt: skip


@finds("clip")
def clipped(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of np.clip whose mask is missing, incomplete, or inverted, and the gradient itself clipped."""
    node = graph.operations[place]
    if 0 not in differentiated_arguments(node):
        return
    yield Mistake("mask_missing", "The gradient also passes where the value was clipped; it should be 0 there.",
                  lambda s: s.g, 0)  # fmt: skip
    yield Mistake("mask_missing", "The gradient also passes where the value was clipped from below; it should be 0 "
                  "there.",
                  lambda s: s.g * (s.args[0] <= s.out), 0)  # fmt: skip
    yield Mistake("mask_missing", "The gradient also passes where the value was clipped from above; it should be 0 "
                  "there.",
                  lambda s: s.g * (s.args[0] >= s.out), 0)  # fmt: skip
    yield Mistake("mask_missing", "The gradient passes only where the value was clipped; it should pass where it was "
                  "not.",
                  lambda s: s.g * (s.args[0] != s.out), 0)  # fmt: skip
    yield Mistake(VALUE, "The gradient itself is clipped; it should be masked where the value was clipped.",
                  lambda s: np.clip(s.g, *s.args[1:3]), 0)  # fmt: skip
