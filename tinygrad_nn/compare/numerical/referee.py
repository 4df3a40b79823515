"""The numerical road for a list of layers: a third implementation of the forward pass, which accepts complex numbers.

A change of one weight changes one column of z, so each derivative is computed as a derivative in z along a direction,
and the layers below are not computed again. The derivative is a complex step: with a step of 1e-20 along the imaginary
axis, no two numbers are subtracted, so no digits cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...gradcheck import derivative
from ..experiment import Experiment
from .activations import ACTIVATIONS, kinks, parse_parameters, sigmoid, softplus

Array = np.ndarray[Any, Any]

STEP = 1e-20
TINY = 64 * float(np.finfo(np.float64).eps)  # a z this near to a kink, relative to its terms, is at it


class Slope(NamedTuple):
    """A derivative, and whether the point is at a kink, where the value is the slope on one side."""

    value: float
    kink: bool


def log_softmax(z: Array) -> Any:
    """Return ln softmax(z)."""
    shifted = z - z.real.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _leaky_relu(z: Array, slope: float) -> Any:
    return np.where(z.real > 0, z, slope * z)


def activate(name: str, z: Array) -> Any:
    """Apply an activation by name to an array that may be complex."""
    activations: dict[str, Callable[[Array], Array]] = {
        "sigmoid": sigmoid, "tanh": np.tanh, "softmax": lambda z: np.exp(log_softmax(z)), "linear": lambda z: z,
        "relu": lambda z: _leaky_relu(z, 0.0), "leaky_relu": lambda z: _leaky_relu(z, 0.01),
    }  # fmt: skip
    if name in activations:
        return activations[name](z)
    if name.startswith("leaky_relu"):
        return _leaky_relu(z, *parse_parameters(name))
    return ACTIVATIONS[name if name in ACTIVATIONS else name.partition("(")[0]](z, *parse_parameters(name))


def _log(w: Array, x: Array) -> Any:
    """Return w ln x with 0 ln 0 = 0."""
    return w * np.log(np.where(w == 0, 1, x))


def _log_rest(z: Array) -> Any:
    """Return ln(1 - softmax(z)): for each class the logarithm of the summed probabilities of the others."""
    ln_p = log_softmax(z)
    others = np.where(np.eye(z.shape[-1], dtype=bool), -np.inf, ln_p[:, None, :].real)
    top = others.max(axis=-1, keepdims=True)
    e = np.exp(np.where(np.eye(z.shape[-1], dtype=bool), -np.inf, ln_p[:, None, :] - top))
    return np.log(e.sum(axis=-1)) + top[..., 0]


def loss_of(loss: str, output: str, z: Array, y: Array) -> Any:
    """Return the loss of a batch from the weighted input of the output layer, real or complex."""
    ends, rows = (loss, output), len(y)
    if ends == ("crossentropy", "softmax"):
        return -(y * log_softmax(z)).sum() / rows
    if ends == ("crossentropy", "sigmoid"):
        return (y * softplus(-z)).sum() / rows
    if ends == ("binarycrossentropy", "sigmoid"):
        return (y * softplus(-z) + (1 - y) * softplus(z)).sum() / rows
    if ends == ("binarycrossentropy", "softmax"):
        rest = (1 - y) * np.where(y == 1, 0, _log_rest(z)) if z.shape[-1] > 1 else 0 * z
        return -(y * log_softmax(z) + rest).sum() / rows
    yhat = activate(output, z)
    error = yhat - y
    if loss == "mae":
        return np.where(error.real < 0, -error, error).sum() / rows
    if loss == "mse":
        return (error * error).sum() / rows
    if loss == "rmse":
        return np.sqrt((error * error).sum() / rows)
    if loss == "crossentropy":
        return -_log(y, yhat).sum() / rows
    return -(_log(y, yhat) + _log(1 - y, 1 - yhat)).sum() / rows


class Referee:
    """Derivatives of the loss of one experiment along any direction of a weighted input."""

    def __init__(self, case: Experiment) -> None:
        self.case = case
        self.z: list[Array] = []
        self.terms: list[Array] = []  # for each z the sum of the absolute values of its terms
        a = case.x
        for k, name in enumerate(case.names):
            self.terms.append(np.abs(a) @ np.abs(case.W[k]).T + np.abs(case.b[k]))
            self.z.append(a @ case.W[k].T + case.b[k])
            a = self._masked(k, activate(name, self.z[-1]))

    def _masked(self, k: int, a: Array) -> Array:
        m = self.case.masks[k]
        return a if m is None else m * a

    def loss(self) -> float:
        """Return the loss with its penalties."""
        reg = self.case.solver.regularization
        value = float(self._loss_from(len(self.z) - 1, self.z[-1])[0].real)
        return value + sum(float(penalty(reg.method, W, reg.lam, reg.r).sum()) for W in self.case.W)

    def _loss_from(self, k: int, z: Array) -> tuple[Any, bool]:
        """Return the loss without penalties if layer k has this `z`, and whether the change of z meets a kink."""
        case, kink = self.case, False
        last = len(self.z) - 1
        while True:
            name = case.names[k]
            for at in kinks(name):
                kink |= bool(((np.abs(z.real - at) <= TINY * (self.terms[k] + abs(at))) & (z.imag != 0)).any())
            if k == last:
                break
            z = self._masked(k, activate(name, z)) @ case.W[k + 1].T + case.b[k + 1]
            k += 1
        if case.solver.loss == "mae":
            yhat = activate(name, z)
            kink |= bool(((np.abs((yhat - case.y).real) <= TINY * np.abs(case.y)) & (yhat.imag != 0)).any())
        value = loss_of(case.solver.loss, name, z, case.y)
        if case.solver.loss == "rmse":  # the square root has no derivative at 0
            kink |= bool(value.real <= TINY * math.sqrt(float((case.y * case.y).sum()) / len(case.y)))
        return value, kink

    def derivative_along(self, k: int, dz: Array) -> Slope:
        """Return the derivative of the loss, without penalties, along a direction `dz` of the z of layer k."""
        with np.errstate(all="ignore"):
            value, kink = self._loss_from(k, self.z[k] + 1j * STEP * dz)
        return Slope(float(np.imag(value)) / STEP, kink)

    def differences(self, k: int, dz: Array) -> tuple[float, float, str]:
        """Return the derivative of `along` by extrapolated differences, its error, and the kink found or ""."""
        size = float(np.abs(dz).max()) or 1.0
        noise = 8 * float(np.finfo(float).eps) * max(1.0, abs(self.loss()))
        with np.errstate(all="ignore"):
            result = derivative(lambda t: float(np.real(self._loss_from(k, self.z[k] + t / size * dz)[0])), noise)
        return result.value * size, result.error * size, result.kink

    def entry(self, k: int, part: str, index: tuple[int, ...]) -> Slope:
        """Return the derivative of the objective in one weight, or one bias, of layer k."""
        v = np.zeros_like((self.case.W if part == "W" else self.case.b)[k])
        v[index] = 1
        return self.direction(k, part, v)

    def delta(self, k: int, index: tuple[int, ...]) -> Slope:
        """Return the derivative of the loss in one entry of z of layer k."""
        dz = np.zeros_like(self.z[k])
        dz[index] = 1
        return self.derivative_along(k, dz)

    def direction(self, k: int, part: str, v: Array) -> Slope:
        """Return the derivative of the objective along a direction `v` of the weights, or of the biases, of layer k."""
        if part == "b":
            return self.derivative_along(k, np.broadcast_to(v, self.z[k].shape))
        reg = self.case.solver.regularization
        slope = self.derivative_along(k, self.case.into(k) @ v.T)
        extra = np.imag(penalty(reg.method, self.case.W[k] + 1j * STEP * v, reg.lam, reg.r).sum()) / STEP
        moves_zero = bool(((self.case.W[k] == 0) & (v != 0)).any())
        kink = moves_zero and reg.lam > 0 and reg.method in ("l1", "elasticnet")
        return Slope(slope.value + float(extra), slope.kink or kink)

    def verify(self, rng: np.random.Generator) -> tuple[int, float]:
        """Compare the complex step with differences along one random direction of each layer's z.

        Return how many directions were compared, and the largest ratio of the difference to its tolerance. A ratio
        above 1 says that the forward pass is not analytic there, so that the complex step is wrong.
        """
        worst, count = 0.0, 0
        for k, z in enumerate(self.z):
            v: Array = np.asarray(rng.normal(size=z.shape))
            slope = self.derivative_along(k, v)
            value, error, kink = self.differences(k, v)
            if slope.kink or kink or not math.isfinite(value):
                continue
            count += 1
            worst = max(worst, abs(slope.value - value) / (10 * error + 1e-6 * abs(value) + 1e-300))
        return count, worst


def penalty(method: str, W: Any, lam: float, r: float) -> Any:
    """Return the penalty of each weight, real or complex."""
    W = np.asarray(W)
    absolute = np.where(W.real < 0, -W, W)
    if method == "l1":
        return lam * absolute
    if method == "l2":
        return lam / 2 * W * W
    if method == "elasticnet":
        return r * lam * absolute + (1 - r) * lam / 2 * W * W
    return 0 * W
