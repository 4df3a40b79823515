"""Mistakes at softmax, log softmax and cross-entropy: only the diagonal, a wrong axis, or the targets forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...ops.reduce import expand
from ..paths import Array, Traced, args_of, name_of
from .mistake import Mistake, Site, differentiated_arguments, finds

LOSS = "wrong_loss_gradient"


def softmax(x: Array, axis: Any) -> Array:
    """Return exp(x) over its sum along an axis."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)  # type: ignore[no-any-return]


def _axes(x: Array, axis: Any) -> list[int]:
    """Return the other axes, along which a softmax may be computed by mistake."""
    return [i for i in range(x.ndim) if x.ndim > 1 and i != (axis % x.ndim if isinstance(axis, int) else None)]


def _labels(label_term: Any, other_term: Any) -> Iterator[Mistake]:
    """Yield gradients in which labels change other entries than one entry of each sample.

    `label_term` returns for a Site the term that is not 0 only at the label of each sample, `other_term` the other.
    """

    def one_each(s: Site) -> Any:
        d = np.asarray(label_term(s))
        if d.ndim != 2 or not ((d != 0).sum(axis=1) == 1).all():
            raise ValueError("no labels")
        return d

    def columns(s: Site) -> Any:
        d = one_each(s)
        return other_term(s) + d.sum(axis=1, keepdims=True) * (d != 0).any(axis=0)

    def rows(s: Site) -> Any:
        d = one_each(s)
        return (
            other_term(s)
            + d.sum(axis=1, keepdims=True) * np.isin(np.arange(len(d)), np.argmax(d != 0, axis=1))[:, None]
        )

    belongs = "change one entry of each sample: p[np.arange(n), y] -= 1"
    yield Mistake("wrong_index", "The columns of all labels are changed in every sample, as p[:, y] -= 1 does; "
                  f"{belongs}.", columns, 0)  # fmt: skip
    yield Mistake("wrong_index", f"The labels are used as row numbers, as p[y] -= 1 does; {belongs}.", rows, 0)


@finds("softmax")
def softmaxes(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield wrong gradients of softmax."""
    node = graph.operations[place]
    x, axis = np.asarray(args_of(node)[0]), node.meta.get("axis", -1)
    text = "Softmax was differentiated as if each output depended only on its own input: the diagonal p(1 - p)."
    yield Mistake("softmax_diagonal_only", text, lambda s: s.g * s.out * (1 - s.out), 0)
    yield Mistake("softmax_diagonal_only", "The gradient of softmax is only p g; the sum of p g over the classes, "
                  "times p, should be subtracted.", lambda s: s.g * s.out, 0)  # fmt: skip

    def through(s: Site, sum_axis: Any, p: Any = None) -> Any:
        p = s.out if p is None else p
        return p * (s.g - (s.g * p).sum(axis=sum_axis, keepdims=True))

    for other in _axes(x, axis):
        what = "the batch" if other == 0 else f"axis {other}"
        text = (
            f"The sum in the gradient of softmax runs over {what}; it should run over axis {_positive_axis(axis, x)}."
        )
        yield Mistake("wrong_axis", text, lambda s, a=other: through(s, a), 0)
        text = (
            f"The softmax in the backward pass is taken over {what}; it should be taken over axis "
            f"{_positive_axis(axis, x)}."
        )
        yield Mistake("wrong_axis", text, lambda s, a=other: through(s, a, softmax(s.args[0], a)), 0)
    if x.ndim > 1:
        yield Mistake("wrong_axis", "The sum in the gradient of softmax runs over all entries.",
                      lambda s: through(s, None), 0)  # fmt: skip
    yield Mistake("wrong_derivative", "The sum in the gradient of softmax adds up g; it should add up p g.",
                  lambda s: s.out * (s.g - s.g.sum(axis=axis, keepdims=True)), 0)  # fmt: skip
    yield Mistake("wrong_derivative", "The sum in the gradient of softmax is added; it should be subtracted.",
                  lambda s: s.out * (s.g + (s.g * s.out).sum(axis=axis, keepdims=True)), 0)  # fmt: skip
    yield Mistake("wrong_derivative", "The sum in the gradient of softmax is not multiplied by p.",
                  lambda s: s.out * s.g - (s.g * s.out).sum(axis=axis, keepdims=True), 0)  # fmt: skip
    yield Mistake("wrong_derivative", "The factor p in front of the gradient of softmax is missing.",
                  lambda s: s.g - (s.g * s.out).sum(axis=axis, keepdims=True), 0)  # fmt: skip
    yield Mistake("wrong_derivative", "In the gradient of softmax, the mean over the classes is used instead of the "
                  "sum.",
                  lambda s: s.out * (s.g - (s.g * s.out).mean(axis=axis, keepdims=True)), 0)  # fmt: skip
    yield Mistake(LOSS, "The gradient of softmax is only -p times the sum of p g; p g is missing: in a cross-entropy, "
                  "the targets are not subtracted.", lambda s: through(s, axis) - s.out * s.g, 0)  # fmt: skip
    yield Mistake(LOSS, "In the gradient of softmax, the term p g has the wrong sign: in a cross-entropy, the targets "
                  "are added.", lambda s: through(s, axis) - 2 * s.out * s.g, 0)  # fmt: skip
    yield Mistake("softmax_diagonal_only", "The gradient of softmax is also multiplied by p (1 - p): in a "
                  "cross-entropy, (p - y) p (1 - p).", lambda s: through(s, axis) * s.out * (1 - s.out), 0)  # fmt: skip
    yield from _labels(lambda s: s.out * s.g, lambda s: -s.out * (s.g * s.out).sum(axis=axis, keepdims=True))


def _positive_axis(axis: Any, x: Array) -> Any:
    return axis % x.ndim if isinstance(axis, int) else axis


@finds("log_softmax")
def log_softmaxes(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield wrong gradients of log softmax."""
    node = graph.operations[place]
    x, axis = np.asarray(args_of(node)[0]), node.meta.get("axis", -1)

    def total(s: Site, a: Any) -> Any:
        return s.g.sum(axis=a, keepdims=True)

    yield from _labels(lambda s: s.g, lambda s: -np.exp(s.out) * total(s, axis))
    for other in _axes(x, axis):
        what = "the batch" if other == 0 else f"axis {other}"
        yield Mistake("wrong_axis", f"The sum in the gradient of log softmax runs over {what}.",
                      lambda s, a=other: s.g - np.exp(s.out) * total(s, a), 0)  # fmt: skip
        yield Mistake("wrong_axis", f"The softmax in the backward pass is taken over {what}.",
                      lambda s, a=other: s.g - softmax(s.args[0], a) * total(s, axis), 0)  # fmt: skip
    yield Mistake("statistic_as_constant", "The gradient passes log softmax as if the logarithm of the sum were a "
                  "constant; softmax times the sum of g should be subtracted.", lambda s: s.g, 0)  # fmt: skip
    yield Mistake("wrong_derivative", "In the gradient of log softmax, g is used instead of its sum over the classes.",
                  lambda s: s.g - np.exp(s.out) * s.g, 0)  # fmt: skip
    yield Mistake("wrong_derivative", "In the gradient of log softmax, the sum of g over the classes is missing.",
                  lambda s: s.g - np.exp(s.out), 0)  # fmt: skip
    yield Mistake("wrong_derivative", "In the gradient of log softmax, softmax is added; it should be subtracted.",
                  lambda s: s.g + np.exp(s.out) * total(s, axis), 0)  # fmt: skip
    yield Mistake(LOSS, "The gradient of log softmax is only softmax times the sum of g; g itself is missing: in a "
                  "cross-entropy, the targets are not subtracted.",
                  lambda s: -np.exp(s.out) * total(s, axis), 0)  # fmt: skip
    yield Mistake(LOSS, "In the gradient of log softmax, g has the wrong sign: in a cross-entropy, the targets are "
                  "added.",
                  lambda s: -s.g - np.exp(s.out) * total(s, axis), 0)  # fmt: skip
    yield Mistake("wrong_value", "In the gradient of log softmax, the logarithm of softmax is used instead of softmax.",
                  lambda s: s.g - s.out * total(s, axis), 0)  # fmt: skip
    yield Mistake("wrong_value", "The gradient of softmax is used instead of that of log softmax.",
                  lambda s: np.exp(s.out) * (s.g - (s.g * np.exp(s.out)).sum(axis=axis, keepdims=True)), 0)  # fmt: skip


@finds("logsumexp")
def logsumexps(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield wrong gradients of the logarithm of a sum of exponentials."""
    node = graph.operations[place]
    x, axis = np.asarray(args_of(node)[0]), node.meta.get("axis")
    for other in _axes(x, axis):
        yield Mistake("wrong_axis", f"The softmax in the backward pass is taken over axis {other}, the wrong one.",
                      lambda s, a=other: expand(s.g, s.args[0], axis) * softmax(s.args[0], a), 0)  # fmt: skip
    yield Mistake("wrong_value", "The exponentials are not divided by their sum in the backward pass.",
                  lambda s: expand(s.g, s.args[0], axis) * np.exp(s.args[0]), 0)  # fmt: skip
    yield Mistake("wrong_value", "The exponentials, shifted by their largest, are not divided by their sum.",
                  lambda s: expand(s.g, s.args[0], axis) * np.exp(s.args[0] - s.args[0].max(axis=axis, keepdims=True)),
                  0)  # fmt: skip


@finds("softmax_crossentropy", "sigmoid_crossentropy")
def crossentropies(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield wrong gradients of a cross-entropy of logits."""
    node = graph.operations[place]
    args, soft = args_of(node), name_of(node).startswith("softmax")
    z = np.asarray(args[0])
    n = z.size / z.shape[-1] if z.ndim > 1 else 1.0

    def p(s: Site) -> Any:
        return s.meta["p"] if soft else 1 / (1 + np.exp(-s.args[0]))

    if 0 not in differentiated_arguments(node):
        return
    rows: list[tuple[str, str, Any]] = [
        (LOSS, "The targets are not subtracted from the probabilities.", lambda s: p(s) * s.g / n),
        (LOSS, "The targets are added to the probabilities; they should be subtracted.",
         lambda s: (p(s) + s.args[1]) * s.g / n),
        (LOSS, "The gradient is -y / p, which is that of the probabilities and not of the logits.",
         lambda s: -s.args[1] / p(s) * s.g / n),
        (LOSS, "The logits themselves are used instead of the probabilities.",
         lambda s: (s.args[0] - s.args[1]) * s.g / n),
        ("softmax_diagonal_only", "The derivative of the probabilities is applied once more: (p - y) p (1 - p).",
         lambda s: (p(s) - s.args[1]) * p(s) * (1 - p(s)) * s.g / n),
        (LOSS, "Only the entries of the targets have a gradient: (p - y) y.",
         lambda s: (p(s) - s.args[1]) * s.args[1] * s.g / n),
        (LOSS, "The gradient of the squared error, times the Jacobian, is used instead of that of the cross-entropy.",
         lambda s: _squared(p(s), s.args[1], soft) * s.g / n),
    ]  # fmt: skip
    for kind, text, wrong in rows:
        yield Mistake(kind, text, wrong, 0)
    yield from _labels(lambda s: -s.args[1] * s.g / n, lambda s: p(s) * s.g / n)
    if soft and z.ndim > 1:
        yield Mistake("wrong_axis", "The softmax in the backward pass is taken over the batch; it should be taken over "
                      "the classes.",
                      lambda s: (softmax(s.args[0], 0) - s.args[1]) * s.g / n, 0)  # fmt: skip


def _squared(p: Array, y: Array, soft: bool) -> Array:
    g = 2 * (p - y)
    return p * (g - (g * p).sum(axis=-1, keepdims=True)) if soft else g * p * (1 - p)  # type: ignore[no-any-return]
