"""The five losses of the Julia project and its penalties, composed of declared operations.

With N rows, mae is Σ|y−ŷ|/N, and so on; the definitions are listed in `docs/backprop.md`. After softmax or sigmoid, a
cross-entropy is computed from their input ``z``, so that it stays finite even if a predicted probability rounds to 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops.neural import log_softmax, logsumexp, sigmoid_crossentropy, softmax_crossentropy
from ...tensor import Tensor, raw
from .reduction import check_pair

Array = Any


def _rows(call: str, yhat: Any, y: Any) -> tuple[Array, Array]:
    """Return prediction and target as arrays; raise a ValueError if their shapes differ, or if there are no rows."""
    if isinstance(yhat, (np.ndarray, Tensor)) and isinstance(y, (np.ndarray, Tensor)):
        if yhat.shape == y.shape != () and y.dtype.kind == "f":
            return yhat, y
        if y.ndim == 1 and yhat.ndim == 2 and yhat.shape[1] > 1 and y.dtype.kind in "iu":
            raise ValueError(
                f"{call} takes targets of the shape of the prediction, {yhat.shape}; target has {y.shape}. Class "
                f"numbers become such targets with tinygrad_nn.one_hot(target, {yhat.shape[1]})."
            )
    yhat, y = check_pair(call, yhat, y)
    if not yhat.shape:
        raise ValueError(f"{call} divides by the number of rows, and a number has none. Pass arrays: [x] and [y].")
    return yhat, y


def mae(yhat: Array, y: Array) -> Array:
    """Return Σ|y − ŷ|/N; the gradient of a zero error is 0."""
    yhat, y = _rows("mae", yhat, y)
    return np.abs(yhat - y).sum() / len(y)


def mse(yhat: Array, y: Array) -> Array:
    """Return Σ(y − ŷ)²/N."""
    yhat, y = _rows("mse", yhat, y)
    error = yhat - y
    return (error * error).sum() / len(y)


def rmse(yhat: Array, y: Array) -> Array:
    """Return √(Σ(y − ŷ)²/N); the gradient is 0 if all errors are 0."""
    mean = mse(*_rows("rmse", yhat, y))
    return np.where(mean == 0, 0, np.sqrt(mean))


def _xlogy(w: Array, x: Array) -> Array:
    """Return w ln x with 0 ln 0 = 0; outside the domain inf or NaN without a warning, which the caller handles."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return w * np.log(np.where((w == 0) & (x == 0), 1, x))


def binarycrossentropy(yhat: Array, y: Array) -> Array:
    """Return −Σ(y ln ŷ + (1 − y) ln(1 − ŷ))/N, with 0 ln 0 = 0."""
    yhat, y = _rows("binarycrossentropy", yhat, y)
    return (_xlogy(y, yhat) + _xlogy(1 - y, 1 - yhat)).sum() / -len(y)


def crossentropy(yhat: Array, y: Array) -> Array:
    """Return −Σ y ln ŷ/N, with 0 ln 0 = 0."""
    yhat, y = _rows("crossentropy", yhat, y)
    return _xlogy(y, yhat).sum() / -len(y)


def crossentropy_sigmoid(z: Array, y: Array) -> Array:
    """Return the crossentropy of sigmoid(z): Σ y ln(1 + e⁻ᶻ)/N."""
    pairs = np.stack([z * 0, -z])  # (2, batch, n_out)
    return (y * logsumexp(pairs, axis=0)).sum() / len(y)


def binarycrossentropy_softmax(z: Array, y: Array) -> Array:
    """Return the binarycrossentropy of p = softmax(z), with 1 − pⱼ computed as the sum of the other classes' p.

    In each sum of exponentials the largest exponent is subtracted first and its value added to the logarithm, so that
    the sum neither underflows nor loses digits when z is large.
    """
    d = z - raw(z).max(axis=-1, keepdims=True)  # (batch, classes)
    others = np.where(np.eye(z.shape[-1], dtype=bool), -np.inf, d[:, None, :])  # (batch, classes, classes)
    shift = raw(others).max(axis=-1)  # (batch, classes)
    shift = np.where(np.isfinite(shift), shift, 0)  # a single class has no others
    with np.errstate(divide="ignore"):
        ln_q = np.log(np.exp(others - shift[..., None]).sum(axis=-1)) + shift - np.log(np.exp(d).sum(axis=-1))[:, None]
    return (y * log_softmax(z) + (1 - y) * np.where((y == 1) & np.isneginf(ln_q), 0, ln_q)).sum() / -len(y)


LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "mae": mae,
    "mse": mse,
    "rmse": rmse,
    "binarycrossentropy": binarycrossentropy,
    "crossentropy": crossentropy,
}
FROM_Z: dict[tuple[str, str], Callable[[Array, Array], Array]] = {
    ("crossentropy",       "softmax"): softmax_crossentropy,
    ("crossentropy",       "sigmoid"): crossentropy_sigmoid,
    ("binarycrossentropy", "softmax"): binarycrossentropy_softmax,
    ("binarycrossentropy", "sigmoid"): sigmoid_crossentropy,
}  # fmt: skip


def l1(W: Array, lam: float, r: float) -> Array:
    """Return λ Σ|W|."""
    return lam * np.abs(W).sum()


def l2(W: Array, lam: float, r: float) -> Array:
    """Return λ/2 ΣW²."""
    return lam / 2 * (W * W).sum()


def elasticnet(W: Array, lam: float, r: float) -> Array:
    """Return r λ Σ|W| + (1 − r) λ/2 ΣW²."""
    return l1(W, r * lam, r) + l2(W, (1 - r) * lam, r)


PENALTIES: dict[str, Callable[[Array, float, float], Array] | None] = {
    "none": None, "l1": l1, "l2": l2, "elasticnet": elasticnet,
}  # fmt: skip
