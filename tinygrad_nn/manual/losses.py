r"""The five losses: value, gradient with respect to the prediction, and the delta of the output layer.

`LOSSES` contains each loss as a function of the prediction `yhat`. `FUSED` contains the four combinations of a
cross-entropy with sigmoid or softmax as functions of `z`: `yhat` may round to 0 or 1, and then its logarithm is lost,
while `z` keeps all digits. All arrays are `(batch, n_out)`; N is the number of rows. Equations are numbered as in
`docs/backprop.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .activations import activation, sigmoid

Array = NDArray[np.floating[Any]]


class Loss(NamedTuple):
    """A loss, and its gradient with respect to its first argument: `yhat` in `LOSSES`, `z` in `FUSED`."""

    value: Callable[[Array, Array], Any]
    gradient: Callable[[Array, Array], Array]


def mae(yhat: Array, y: Array) -> Any:
    """Mean over the rows of the absolute errors."""
    return np.abs(y - yhat).sum() / len(y)  # (B17)


def mae_gradient(yhat: Array, y: Array) -> Array:
    """Return the gradient of ŷ: the sign of each error, 0 where there is none."""
    return np.sign(yhat - y) / len(y)  # (B18)


def mse(yhat: Array, y: Array) -> Any:
    """Mean over the rows of the squared errors."""
    return ((y - yhat) ** 2).sum() / len(y)  # (B19)


def mse_gradient(yhat: Array, y: Array) -> Array:
    """Return the gradient of ŷ: twice each error over N."""
    return 2 * (yhat - y) / len(y)  # (B20)


def rmse(yhat: Array, y: Array) -> Any:
    """Return the root of the mean squared error."""
    return np.sqrt(((y - yhat) ** 2).sum() / len(y))  # (B21)


def rmse_gradient(yhat: Array, y: Array) -> Array:
    """Return the gradient of ŷ: each error over N times the loss; 0 where the fit is perfect."""
    root = rmse(yhat, y)
    if root == 0:
        return np.zeros_like(yhat)
    gradient: Array = (yhat - y) / (len(y) * root)  # (B22)
    return gradient


def _xlogy(w: Array, x: Array) -> Array:
    """Return w ln x, with 0 ln 0 = 0; outside the domain an infinity or NaN, without NumPy's warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return w * np.log(np.where((w == 0) & (x == 0), 1, x))


def _ratio(w: Array, x: Array) -> Array:
    """Return w / x, the derivative of w ln x, with 0 / 0 = 0."""
    with np.errstate(divide="ignore"):
        return w / np.where((w == 0) & (x == 0), 1, x)


def binarycrossentropy(yhat: Array, y: Array) -> Any:
    """Return the binary cross-entropy: each unit predicts a yes or no of its own."""
    return -(_xlogy(y, yhat) + _xlogy(1 - y, 1 - yhat)).sum() / len(y)  # (B23)


def binarycrossentropy_gradient(yhat: Array, y: Array) -> Array:
    """Return the gradient of ŷ."""
    return (_ratio(1 - y, 1 - yhat) - _ratio(y, yhat)) / len(y)  # (B24)


def crossentropy(yhat: Array, y: Array) -> Any:
    """Return the cross-entropy of the rows, each of which has one class."""
    return -_xlogy(y, yhat).sum() / len(y)  # (B25)


def crossentropy_gradient(yhat: Array, y: Array) -> Array:
    """Return the gradient of ŷ, which is -y/ŷ over N."""
    return -_ratio(y, yhat) / len(y)  # (B26)


LOSSES: dict[str, Loss] = {
    "mae":                Loss(mae,                mae_gradient),
    "mse":                Loss(mse,                mse_gradient),
    "rmse":               Loss(rmse,               rmse_gradient),
    "binarycrossentropy": Loss(binarycrossentropy, binarycrossentropy_gradient),
    "crossentropy":       Loss(crossentropy,       crossentropy_gradient),
}  # fmt: skip


def _softplus(z: Array) -> Array:
    """Return ln(1 + e^z), which is -ln sigmoid(-z)."""
    return np.logaddexp(0, z)


def _row_sums(z: Array) -> Array:
    """Sum each row, and keep it a column."""
    total: Array = z.sum(axis=-1, keepdims=True)  # (batch, 1)
    return total


def _log_softmax(z: Array) -> tuple[Array, Array, Array]:
    """Return ln p and ln(1 - p) for p = softmax(z), and a mask with one True per row, at the likeliest class.

    Only for that class can 1 - p be small; there it is computed from s, the sum of the other exponentials, without a
    difference of numbers near 1.
    """
    top = np.arange(z.shape[-1]) == z.argmax(axis=-1, keepdims=True)  # (batch, classes)
    d = z - z.max(axis=-1, keepdims=True)
    ln_s = np.logaddexp.reduce(np.where(top, -np.inf, d), axis=-1, keepdims=True)  # (batch, 1)
    ln_p = d - _softplus(ln_s)  # (B28)
    ln_q = np.where(top, ln_s - _softplus(ln_s), np.log1p(-np.where(top, 0, np.exp(ln_p))))  # (B29)
    return ln_p, ln_q, top


def crossentropy_softmax(z: Array, y: Array) -> Any:
    """Crossentropy of softmax(z)."""
    ln_p, _, _ = _log_softmax(z)
    return -(y * ln_p).sum() / len(y)  # (B30)


def crossentropy_softmax_delta(z: Array, y: Array) -> Array:
    """Return the gradient of z, which is (p - y)/N where y sums to 1; no p near 1 is subtracted from 1."""
    ln_p, ln_q, _ = _log_softmax(z)
    return (np.exp(ln_p) * (_row_sums(y) - y) - np.exp(ln_q) * y) / len(y)  # (B31)


def binarycrossentropy_sigmoid(z: Array, y: Array) -> Any:
    """Binarycrossentropy of sigmoid(z)."""
    return (y * _softplus(-z) + (1 - y) * _softplus(z)).sum() / len(y)  # (B32)


def binarycrossentropy_sigmoid_delta(z: Array, y: Array) -> Array:
    """Return the gradient of z, which is (p - y)/N, without a difference of two numbers near 1."""
    return ((1 - y) * sigmoid(z) - y * sigmoid(-z)) / len(y)  # (B33)


def crossentropy_sigmoid(z: Array, y: Array) -> Any:
    """Crossentropy of sigmoid(z)."""
    return (y * _softplus(-z)).sum() / len(y)  # (B34)


def crossentropy_sigmoid_delta(z: Array, y: Array) -> Array:
    """Return the gradient of z, which is -y(1 - p)/N: the units do not depend on each other."""
    return -y * sigmoid(-z) / len(y)  # (B35)


def binarycrossentropy_softmax(z: Array, y: Array) -> Any:
    """Binarycrossentropy of softmax(z): a yes or no for each of at least two exclusive classes."""
    ln_p, ln_q, _ = _log_softmax(z)
    return -(y * ln_p + (1 - y) * np.where(y == 1, 0, ln_q)).sum() / len(y)  # (B36)


def binarycrossentropy_softmax_delta(z: Array, y: Array) -> Array:
    """Return the gradient of z: that of (B31), and a term of each 1 - y; p/(1 - p) is formed only for p <= 1/2."""
    ln_p, ln_q, top = _log_softmax(z)
    p, w, ln_q_top = np.exp(ln_p), 1 - y, _row_sums(np.where(top, ln_q, 0))
    o = w * p / np.where(top, 1, np.exp(ln_q))  # (B37)
    ρ = np.exp(np.where(top, -np.inf, ln_p - ln_q_top))  # (B38)
    push = o - p * _row_sums(np.where(top, 0, o)) - ρ * _row_sums(np.where(top, o, 0))  # (B39)
    return crossentropy_softmax_delta(z, y) + push / len(y)  # (B40)


FUSED: dict[tuple[str, str], Loss] = {
    ("crossentropy",       "softmax"): Loss(crossentropy_softmax,       crossentropy_softmax_delta),
    ("crossentropy",       "sigmoid"): Loss(crossentropy_sigmoid,       crossentropy_sigmoid_delta),
    ("binarycrossentropy", "softmax"): Loss(binarycrossentropy_softmax, binarycrossentropy_softmax_delta),
    ("binarycrossentropy", "sigmoid"): Loss(binarycrossentropy_sigmoid, binarycrossentropy_sigmoid_delta),
}  # fmt: skip

_UNKNOWN = "unknown loss {name!r}: use one of {known}"
_SHAPES = "y has shape {got}, the prediction has {need}: give one row of targets a sample, y.reshape{need}"


def _look_up(loss: str, output: str) -> tuple[Loss, Loss | None]:
    """Return the entry of `LOSSES` and the entry of `FUSED` for this output activation, or None if there is none."""
    key = loss.strip().lower()
    if key not in LOSSES:
        raise ValueError(_UNKNOWN.format(name=loss, known=", ".join(LOSSES)))
    return LOSSES[key], FUSED.get((key, output.strip().lower()))


def _check_targets(y: ArrayLike, a: Array) -> Array:
    """Return targets in the prediction's dtype; another shape raises, as broadcasting would pair rows wrongly."""
    y = np.asarray(y, dtype=a.dtype)
    if y.shape != a.shape:
        raise ValueError(_SHAPES.format(got=y.shape, need=a.shape))
    return y


def loss_value(loss: str, output: str, z: Array, a: Array, y: ArrayLike) -> Any:
    r"""Return the loss of a batch, without penalties.

    .. math:: L = \frac1N \sum_{n} \ell(\hat y_n, y_n)

    or, for rmse, the root of such a mean. A cross-entropy after sigmoid or softmax is computed from `z` and is finite
    for any `z`. After another activation it is never clipped: 0 ln 0 = 0, it is infinite at the edge of its domain and
    NaN outside, without a warning.

    Args:
        loss: `'mae'`, `'mse'`, `'rmse'`, `'binarycrossentropy'` or `'crossentropy'`, in any letter case.
        output: name of the output activation.
        z, a, y: weighted input of the output layer, prediction f(z), and targets, all `(batch, n_out)`.

    Returns:
        A scalar of the dtype of `a`.

    Raises:
        ValueError: if there is no such loss, or `y` has another shape than `a`.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), sections 4.3 and 5.2.

    Example:
        >>> z = a = np.array([[1.0], [4.0]])
        >>> float(loss_value("mse", "linear", z, a, [[0.0], [4.0]]))
        0.5
    """
    plain, fused = _look_up(loss, output)
    y = _check_targets(y, a)
    return fused.value(z, y) if fused else plain.value(a, y)


def output_delta(loss: str, output: str, z: Array, a: Array, y: ArrayLike) -> Array:
    r"""Return the delta of the output layer, the gradient of the loss with respect to its `z`.

    .. math:: \delta^L = \frac{\partial L}{\partial z^L} = J_f(z^L)^T \frac{\partial L}{\partial \hat y}

    For a cross-entropy after sigmoid or softmax this product is simplified by hand, to be finite and exact for any `z`.

    Args:
        loss, output, z, a, y: as for `loss_value`.

    Returns:
        An array `(batch, n_out)`.

    Raises:
        ValueError: if there is no such loss or activation, or `y` has another shape than `a`.

    Source: Nielsen, Neural Networks and Deep Learning (2015), equation BP1.

    Example:
        >>> z, a = np.array([[0.0, 0.0]]), np.array([[0.5, 0.5]])
        >>> output_delta("crossentropy", "softmax", z, a, [[1.0, 0.0]]).tolist()
        [[-0.5, 0.5]]
    """
    plain, fused = _look_up(loss, output)
    y = _check_targets(y, a)
    if fused:
        return fused.gradient(z, y)
    return activation(output).vjp(plain.gradient(a, y), z, a)  # (B27)
