"""The classic mistakes of a handwritten backward of layers, each as the equation that it would compute.

A suspect is a right equation with one change. From the delta that the user's code must have had in the layer above, it
computes what delta, dW or db would be with that mistake. What the user's code returned is compared elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ... import manual as by_hand
from ..experiment import Experiment
from ..mistakes.softmax import softmax

Array = np.ndarray[Any, Any]

DIAGONAL = (
    "Softmax was differentiated as if each output depended only on its own z: p(1 - p) is the diagonal of its "
    "Jacobian, and the other entries, -p_i p_k, are missing."
)


class Suspect(NamedTuple):
    """A mistake: its kind, a sentence, and a function for what it computes (None if it cannot be made there).

    `compute` is given an experiment and a delta: that of the layer above for a hidden delta, of the layer for dW or db.
    """

    kind: str
    text: str
    compute: Callable[[Experiment, Array], Array | None]
    cost: float = 1.0


RIGHT = "right"
_OTHERS = ("sigmoid", "tanh", "relu", "leaky_relu", "softmax")


def _vjp(name: str, g: Array, z: Array, a: Array) -> Array:
    return by_hand.activation(name).vjp(g, z, a)


def _slope_from(name: str, g: Array, value: Array) -> Any:
    """Return g times the derivative in its form for the output, such as a(1 - a), with `value` in place of a."""
    if name == "sigmoid":
        return g * value * (1 - value)
    if name == "tanh":
        return g * (1 - value**2)
    if name == "softmax":
        return value * (g - (g * value).sum(axis=-1, keepdims=True))
    return None


def _slope_at(name: str, g: Array, z: Array) -> Array:
    """Return g times the derivative of an activation at `z`."""
    return _vjp(name, g, z, by_hand.activation(name).f(z))


def output_suspects(case: Experiment) -> Iterator[Suspect]:
    """Yield the suspects for the delta of the output layer; the second argument of `compute` is not used."""
    loss, name = case.solver.loss, case.names[-1]
    k = len(case.W) - 1

    def slope(c: Experiment) -> Array:
        return by_hand.LOSSES[loss].gradient(c.a[k], c.y)

    yield Suspect(RIGHT, "", lambda c, _: c.right.delta[k], 0.0)
    if name != "linear":
        yield Suspect(
            "missing_activation_derivative", f"The output delta is dL/da; the derivative of {name} is missing.",
            lambda c, _: slope(c),
        )  # fmt: skip
    if name == "softmax":
        yield Suspect("softmax_diagonal_only", DIAGONAL, lambda c, _: slope(c) * c.a[k] * (1 - c.a[k]))
    yield from _softmax_over_batch(case, k, lambda c, _: slope(c))
    if (loss, name) == ("crossentropy", "softmax"):
        yield Suspect(
            "wrong_axis_sum", "The softmax in the backward pass is taken over the batch; it should be taken over the "
            "classes.",
            lambda c, _: (softmax(c.z[k], 0) - c.y) / c.rows, 1.1,
        )  # fmt: skip
    yield from _slope_alone(case, k)
    for other in by_hand.LOSSES:
        if other != loss:
            yield Suspect(
                "wrong_loss_gradient", f"The output delta is that of {other}, but the loss is {loss}.",
                lambda c, _, other=other: by_hand.output_delta(other, name, c.z[k], c.a[k], c.y),  # type: ignore[misc]
            )
    yield Suspect(
        "wrong_loss_gradient",
        "The output delta is (a - y)/N: that is right for crossentropy with softmax and for binarycrossentropy with "
        f"sigmoid, but here the loss is {loss} and the activation {name}.",
        lambda c, _: (c.a[k] - c.y) / c.rows, 0.95 if (loss, name) == ("binarycrossentropy", "softmax") else 1.1,
    )  # fmt: skip
    for other in ("mse", "mae"):
        if name == "softmax":
            yield Suspect(
                "wrong_loss_gradient", f"The output delta is f'(z) times the slope of {other}, with the diagonal of "
                "the Jacobian of softmax only.",
                lambda c, _, other=other: by_hand.LOSSES[other].gradient(c.a[k], c.y) * c.a[k] * (1 - c.a[k]),  # type: ignore[misc]
                1.3,
            )  # fmt: skip
    yield from _at_wrong_value(case, k, lambda c, _: slope(c))
    yield from _kinks(case, k, lambda c, _: slope(c))
    if loss == "mae" and case.is_user_batch and (case.a[k] == case.y).any():
        for sign in (1.0, -1.0):
            yield Suspect(
                "kink", f"Where the fit is perfect |a - y| has a kink; this code takes the slope {sign:g} there, and "
                "the graph 0. Both are conventions.",
                lambda c, _, sign=sign: _vjp(name, np.where(c.a[k] == c.y, sign, np.sign(c.a[k] - c.y)) / c.rows,  # type: ignore[misc]
                                             c.z[k], c.f[k]) if (c.a[k] == c.y).any() else c.right.delta[k],
                0.3,
            )  # fmt: skip


def hidden_suspects(case: Experiment, k: int) -> Iterator[Suspect]:
    """Yield the suspects for the delta of a hidden layer, computed from the delta of the layer above."""
    name = case.names[k]

    def arriving(c: Experiment, above: Array) -> Array:
        return _mask(c, k, above @ c.W[k + 1])

    yield Suspect(RIGHT, "", lambda c, d: _vjp(name, arriving(c, d), c.z[k], c.f[k]), 0.0)
    if name != "linear":
        yield Suspect(
            "missing_activation_derivative",
            f"The upstream gradient is passed on without the derivative of {name}.", arriving,
        )  # fmt: skip
    if name == "softmax":
        yield Suspect("softmax_diagonal_only", DIAGONAL, lambda c, d: arriving(c, d) * c.f[k] * (1 - c.f[k]))
    if case.masks[k] is not None:
        yield Suspect(
            "dropout_mask_missing", "Units that were dropped still receive a gradient.",
            lambda c, d: _vjp(name, d @ c.W[k + 1], c.z[k], c.f[k]),
        )  # fmt: skip
        yield Suspect(
            "dropout_scale_missing", "The mask is used as zeros and ones, without its scale 1/(1 - p).",
            lambda c, d: _vjp(name, d @ c.W[k + 1] * (c.masks[k] != 0), c.z[k], c.f[k]),
        )  # fmt: skip
        yield Suspect(
            "dropout_mask_missing", f"Units that were dropped receive a gradient, and the derivative of {name} is "
            "taken at the output after the mask; it should be taken before the mask.",
            lambda c, d: _slope_from(name, d @ c.W[k + 1], c.a[k]), 1.4,
        )  # fmt: skip
    yield from _softmax_over_batch(case, k, arriving)
    yield from _slope_alone(case, k)
    yield from _at_wrong_value(case, k, arriving)
    yield from _kinks(case, k, arriving)
    yield Suspect(
        "transpose", "The delta above is multiplied by the transposed weights.",
        lambda c, d: _vjp(name, _mask(c, k, d @ c.W[k + 1].T), c.z[k], c.f[k]) if _square(c.W[k + 1]) else None,
    )  # fmt: skip
    for j in range(len(case.W)):
        if j != k + 1:
            yield Suspect(
                "unknown", f"The delta above is multiplied by the weights of layer {j + 1} instead of layer {k + 2}.",
                lambda c, d, j=j: _vjp(name, _mask(c, k, d @ c.W[j]), c.z[k], c.f[k])  # type: ignore[misc]
                if c.W[j].shape == c.W[k + 1].shape else None, 1.4,
            )  # fmt: skip
    for other in _OTHERS:
        if other != name:
            yield Suspect(
                "unknown", f"The derivative of {other} is used, but the activation is {name}.",
                lambda c, d, other=other: _slope_at(other, arriving(c, d), c.z[k]), 1.5,  # type: ignore[misc]
            )


def _softmax_over_batch(case: Experiment, k: int, g: Callable[[Experiment, Array], Array]) -> Iterator[Suspect]:
    """Yield the suspects in which a softmax, or the sum in its gradient, runs over the batch."""
    if case.names[k] != "softmax":
        return
    for text, p in (("The sum in the gradient of softmax runs over the batch; it should run over the units.",
                     lambda c: c.f[k]),
                    ("The softmax in the backward pass is taken over the batch; it should be taken over the units.",
                     lambda c: softmax(c.z[k], 0))):  # fmt: skip
        yield Suspect("wrong_axis_sum", text, lambda c, d, p=p: p(c) * (  # type: ignore[misc]
            g(c, d) - (g(c, d) * p(c)).sum(axis=0, keepdims=True)), 1.1)  # fmt: skip


def _slope_alone(case: Experiment, k: int) -> Iterator[Suspect]:
    """Yield the suspect in which delta is the derivative of the activation alone, without the gradient that arrives."""
    name = case.names[k]
    if name == "linear":
        return
    text = f"delta is the derivative of {name} alone: the upstream gradient is missing."
    yield Suspect("cotangent_ignored", text, lambda c, _: c.f[k] * (1 - c.f[k]) if name == "softmax" else
                  _vjp(name, np.ones_like(c.z[k]), c.z[k], c.f[k]), 1.1)  # fmt: skip


HALVES: tuple[tuple[str, Callable[[int], slice]], ...] = (
    ("the first half of the batch, rounded down", lambda n: slice(n // 2)),
    ("the first half of the batch, rounded up", lambda n: slice(n - n // 2)),
    ("the last half of the batch, rounded down", lambda n: slice(n - n // 2, None)),
    ("the last half of the batch, rounded up", lambda n: slice(n // 2, None)),
    ("all samples but the last", lambda n: slice(n - 1)), ("all samples but the first", lambda n: slice(1, None)),
    ("every second sample", lambda n: slice(None, None, 2)),
)  # fmt: skip


def _partial_sum(text: str, part: Callable[[int], slice], array_name: str, compute: Callable[..., Array]) -> Suspect:
    return Suspect(
        "overwritten_not_accumulated",
        f"{array_name} holds only the contribution of {text}; all samples should be added.",
        lambda c, d: compute(c, d, part(c.rows)) if c.rows > 2 else None,
        1.1,
    )


def _mask(c: Experiment, k: int, g: Array) -> Array:
    m = c.masks[k]
    return g if m is None else m * g


def _square(W: Array) -> bool:
    return bool(W.shape[0] == W.shape[1])


def _at_wrong_value(case: Experiment, k: int, g: Callable[[Experiment, Array], Array]) -> Iterator[Suspect]:
    name, kind = case.names[k], "activation_derivative_at_wrong_value"
    if name == "linear":
        return
    yield Suspect(
        kind, f"The derivative of {name} is taken at a = f(z); it should be taken at z.",
        lambda c, d: _slope_at(name, g(c, d), c.f[k]),
    )  # fmt: skip
    yield Suspect(
        kind, f"The derivative of {name} is written for a = f(z), but z was put into it.",
        lambda c, d: _slope_from(name, g(c, d), c.z[k]),
    )  # fmt: skip
    if case.masks[k] is not None:
        yield Suspect(
            kind, f"The derivative of {name} is taken at the output after the dropout mask; it should be taken before "
            "the mask.",
            lambda c, d: _slope_from(name, g(c, d), c.a[k]),
        )  # fmt: skip
        yield Suspect(
            kind, f"The derivative of {name} is taken at the output after the dropout mask, as if it were z.",
            lambda c, d: _slope_at(name, g(c, d), c.a[k]), 1.2,
        )  # fmt: skip
    for j in range(len(case.W)):
        if j != k:
            yield Suspect(
                kind, f"The derivative of {name} is taken at the z of layer {j + 1}, not at that of layer {k + 1}.",
                lambda c, d, j=j: _slope_at(name, g(c, d), c.z[j]) if c.z[j].shape == c.z[k].shape else None, 1.2,  # type: ignore[misc]
            )


def _kinks(case: Experiment, k: int, g: Callable[[Experiment, Array], Array]) -> Iterator[Suspect]:
    """Yield other conventions for the slope at z = 0; they differ from the graph's only in entries with z = 0."""
    name = case.names[k]
    if "relu" not in name or not case.is_user_batch or not (case.z[k] == 0).any():
        return
    alpha = 0.0 if name == "relu" else float(_vjp(name, np.ones(1), -np.ones(1), np.zeros(1))[0])
    for slope in dict.fromkeys((1.0, 0.5, (1 + alpha) / 2, 0.0)):
        if slope != alpha:
            yield Suspect(
                "kink",
                f"At z = 0 exactly {name} has a kink and no derivative. This code takes the slope {slope:g} there, the "
                f"graph {alpha:g}. Neither is wrong: any number from {alpha:g} to 1 is a valid convention.",
                lambda c, d, slope=slope: np.where(c.z[k] == 0, slope * g(c, d), _vjp(name, g(c, d), c.z[k], c.f[k])),  # type: ignore[misc]
                0.3,
            )


def weight_suspects(case: Experiment, k: int) -> Iterator[Suspect]:
    """Yield the suspects for dW of a layer, without its penalty, computed from the delta of that layer."""
    yield Suspect(RIGHT, "", lambda c, d: d.T @ c.into(k), 0.0)
    yield Suspect(
        "transpose", "dW is transposed: it is (batch)ᵀ delta instead of deltaᵀ (batch).",
        lambda c, d: c.into(k).T @ d,
    )  # fmt: skip
    yield Suspect(
        "transpose", "dW was computed transposed and reshaped, which puts the entries in the wrong order.",
        lambda c, d: (c.into(k).T @ d).reshape(c.W[k].shape) if not _square(c.W[k]) else None, 1.2,
    )  # fmt: skip
    if k and case.masks[k - 1] is not None:
        yield Suspect(
            "dropout_mask_missing", f"dW uses the output of layer {k} before its dropout mask.",
            lambda c, d: d.T @ c.f[k - 1],
        )  # fmt: skip
        yield Suspect(
            "dropout_scale_missing", f"dW uses the output of layer {k} with zeros and ones as its dropout mask.",
            lambda c, d: d.T @ (c.f[k - 1] * (c.masks[k - 1] != 0)),
        )  # fmt: skip
    for text, source in _sources(case, k):
        yield Suspect(
            "wrong_layer_input", f"dW multiplies delta by {text}; it should be "
            + (f"the output a of layer {k}." if k else "the input x."),
            lambda c, d, source=source: d.T @ source(c),  # type: ignore[misc]
        )
    for text, row in (("last", -1), ("first", 0)):
        yield Suspect(
            "overwritten_not_accumulated",
            f"dW holds only the contribution of the {text} sample: the others were overwritten; all should be added.",
            lambda c, d, row=row: np.outer(d[row], c.into(k)[row]),  # type: ignore[misc]
        )
    yield from (_partial_sum(text, part, "dW", lambda c, d, rows: d[rows].T @ c.into(k)[rows]) for text, part in HALVES)
    yield Suspect(
        "wrong_axis_sum", "delta and the input were each summed over the batch before they were multiplied; the "
        "product comes first.",
        lambda c, d: np.outer(d.sum(axis=0), c.into(k).sum(axis=0)),
    )  # fmt: skip
    yield Suspect(
        "broadcast_not_summed", "dW has an axis for the samples that was not summed.",
        lambda c, d: d[:, :, None] * c.into(k)[:, None, :],
    )  # fmt: skip


def _sources(case: Experiment, k: int) -> Iterator[tuple[str, Callable[[Experiment], Array]]]:
    """Yield the arrays that may stand in place of the input of a layer, each as a name and a function."""
    if k:
        yield "the z of the layer before instead of its a", lambda c: c.z[k - 1]
        yield "the input x", lambda c: c.x
    for j in range(len(case.W)):
        if j != k - 1:
            text = "its own output" if j == k else f"the output of layer {j + 1}"
            yield text, lambda c, j=j: c.a[j]  # type: ignore[misc]
            yield f"the z of layer {j + 1}", lambda c, j=j: c.z[j]  # type: ignore[misc]


def bias_suspects(case: Experiment, k: int) -> Iterator[Suspect]:
    """Yield the suspects for db of a layer, computed from the delta of that layer."""
    yield Suspect(RIGHT, "", lambda c, d: d.sum(axis=0), 0.0)
    yield Suspect(
        "broadcast_not_summed", "db still has a row for each sample: the bias was added to every row, so its gradient "
        "is the sum over the rows.",
        lambda c, d: d if c.rows > 1 else d[0],
    )  # fmt: skip
    yield Suspect(
        "wrong_axis_sum", "db is summed over the units; it should be summed over the samples.",
        lambda c, d: d.sum(axis=1),
    )  # fmt: skip
    yield Suspect(
        "wrong_axis_sum", "db is the sum of all of delta; it should be summed over the samples only.",
        lambda c, d: np.full(c.b[k].shape, d.sum()),
    )  # fmt: skip
    for text, row in (("last", -1), ("first", 0)):
        yield Suspect(
            "overwritten_not_accumulated",
            f"db holds only the delta of the {text} sample: the others were overwritten; all should be added.",
            lambda c, d, row=row: d[row],  # type: ignore[misc]
        )
    yield from (_partial_sum(text, part, "db", lambda c, d, rows: d[rows].sum(axis=0)) for text, part in HALVES)
