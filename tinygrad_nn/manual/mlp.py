r"""The multilayer perceptron by hand: forward and backward through all layers, for the whole batch at once.

Layer k holds `W[k]` of shape `(n_out, n_in)` and `b[k]` of shape `(n_out,)`, and rows are samples, so the sums over the
samples are matrix products and there is no loop over them. Equations are numbered as in `docs/backprop.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .activations import activation
from .losses import loss_value, output_delta
from .penalties import penalty_pair

Array = NDArray[np.floating[Any]]
Masks = Sequence[Array | None]


class Forward(NamedTuple):
    """The result of the forward pass: for each layer the weighted input `z` and the output `a`, `(batch, n_out)`."""

    z: list[Array]
    a: list[Array]


class Backward(NamedTuple):
    """The result of the backward pass: the loss with its penalties, and the gradients of each layer.

    `dW` is `(n_out, n_in)`, `db` is `(n_out,)`, and `delta`, the gradient with respect to `z`, is `(batch, n_out)`.
    """

    loss: Any
    dW: list[Array]
    db: list[Array]
    delta: list[Array]


def draw_masks(
    rng: np.random.Generator, sizes: Sequence[int], batch: int, p: float, dtype: DTypeLike = np.float64
) -> list[Array | None]:
    r"""Draw the masks of inverted dropout for the hidden layers, independently for each unit and sample.

    .. math:: m = \frac{\text{Bernoulli}(1 - p)}{1 - p}

    Args:
        rng: source of the random numbers; it gives the same masks for any dtype.
        sizes: number of units of each layer, the output layer last.
        batch: number of rows.
        p: probability of dropping a unit, in [0, 1).
        dtype: of the masks.

    Returns:
        A list with an array `(batch, size)` of 0 and 1/(1-p) for each hidden layer and `None` for the output layer;
        with p = 0 every entry is `None`, and nothing is drawn from `rng`.

    Raises:
        ValueError: if p is outside [0, 1).

    Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, Dropout (2014), section 10.

    Example:
        >>> hidden, output = draw_masks(np.random.default_rng(0), sizes=[4, 3], batch=2, p=0.5)
        >>> hidden.tolist(), output
        ([[2.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]], None)
    """
    if not 0 <= p < 1:
        raise ValueError(f"draw_masks got p={p}: the probability of dropping a unit must be at least 0 and below 1")
    if p == 0:
        return [None] * len(sizes)
    hidden = [(rng.random((batch, n)) >= p) / (1 - p) for n in sizes[:-1]]  # (B3)
    return [*(m.astype(dtype) for m in hidden), None]


def forward(
    W: Sequence[Array], b: Sequence[Array], activations: Sequence[str], x: Array, masks: Masks | None = None
) -> Forward:
    r"""Compute the forward pass of a batch.

    .. math:: z^k = a^{k-1} (W^k)^T + b^k, \qquad a^k = m^k \odot f^k(z^k)

    Args:
        W: weights, `(n_out, n_in)` each.
        b: biases, `(n_out,)` each.
        activations: a name for each layer.
        x: inputs, `(batch, n_in)`.
        masks: from `draw_masks`, `(batch, n_out)` or `None` for each layer; by default no dropout.

    Returns:
        Lists `z` and `a` with an array `(batch, n_out)` for each layer; `a` is what the next layer sees, after the
        mask, and `a[-1]` is the prediction.

    Raises:
        ValueError: if there is no such activation, or the lists are not of one length.

    Source: Rumelhart, Hinton & Williams, Learning representations by back-propagating errors (1986), equations 1-2.

    Example:
        >>> cache = forward([np.array([[1.0, 1.0]])], [np.array([-1.0])], ["relu"], np.array([[3.0, 4.0]]))
        >>> cache.z[0].tolist(), cache.a[-1].tolist()
        ([[6.0]], [[6.0]])
    """
    cache = Forward([], [])
    a = x
    for W_k, b_k, name, m in zip(W, b, activations, masks or [None] * len(W), strict=True):
        z = a @ W_k.T + b_k  # (B1)
        a = activation(name).f(z)  # (B2)
        if m is not None:
            a = m * a  # (B4)
        cache.z.append(z)
        cache.a.append(a)
    return cache


def objective(
    W: Sequence[Array], activations: Sequence[str], z: Sequence[Array], a: Sequence[Array], y: ArrayLike, *,
    loss: str, penalty: str = "none", lam: float = 0.0, r: float = 0.5,
) -> Any:  # fmt: skip
    r"""Return the objective: the loss of the batch plus the penalties, each added once.

    .. math:: E = L(\hat y, y) + \sum_k \Omega(W^k)

    Args:
        W, activations, z, a, y, loss, penalty, lam, r: as for `backward`.

    Returns:
        A scalar of the dtype of the network.

    Raises:
        ValueError: if a name is unknown, or `y` has another shape than `a[-1]`.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), equation 5.112.

    Example:
        >>> W, x = [np.array([[2.0]])], np.array([[1.0]])
        >>> float(objective(W, ["linear"], [2 * x], [2 * x], [[3.0]], loss="mse", penalty="l2", lam=0.5))
        2.0
    """
    Ω = penalty_pair(penalty).value
    L = loss_value(loss, activations[-1], z[-1], a[-1], y)
    return L + sum(Ω(W_k, float(lam), float(r)) for W_k in W)  # (B52)


def backward(
    W: Sequence[Array], activations: Sequence[str], x: Array, z: Sequence[Array], a: Sequence[Array], y: ArrayLike, *,
    loss: str, penalty: str = "none", lam: float = 0.0, r: float = 0.5, masks: Masks | None = None,
    cotangent: float = 1.0,
) -> Backward:  # fmt: skip
    r"""Return the gradients of the objective with respect to each weight and bias.

    .. math:: \delta^k = J_{f^k}^T [m^k \odot \delta^{k+1} W^{k+1}], \quad
              \partial_{W^k} = (\delta^k)^T a^{k-1} + \Omega'(W^k), \quad \partial_{b^k} = \sum_n \delta^k_n

    Args:
        W, activations, x, masks: as given to `forward`.
        z, a: as returned by it.
        y: targets, `(batch, n_out)`.
        loss: a name in `LOSSES`; penalty: a name in `PENALTIES`, with strength `lam` >= 0 and l1 share `r` in [0, 1).
        cotangent: scales the gradients, though not the loss: the v of a vector-Jacobian product.

    Returns:
        The objective and, for each layer, `dW`, `db` and `delta`; the gradient of `x` is `delta[0] @ W[0]`.

    Raises:
        ValueError: if a name is unknown, `y` has another shape than `a[-1]`, or the lists are not of one length.

    Source: Rumelhart, Hinton & Williams (1986); Nielsen, Neural Networks and Deep Learning (2015), BP1-BP4.

    Example:
        >>> W, b, x, y = [np.array([[2.0]])], [np.zeros(1)], np.array([[1.0]]), np.array([[3.0]])
        >>> backward(W, ["linear"], x, *forward(W, b, ["linear"], x), y, loss="mse").dW[0].tolist()
        [[-2.0]]
    """
    v, λ, r = float(cotangent), float(lam), float(r)
    masks = masks or [None] * len(W)
    δ = v * output_delta(loss, activations[-1], z[-1], a[-1], y)
    delta = [δ]
    for k in reversed(range(len(W) - 1)):
        f, vjp = activation(activations[k])
        g, out, m = δ @ W[k + 1], a[k], masks[k]  # (B41)
        if m is not None:  # `a` is after the mask, but `vjp` needs f(z) itself
            g, out = m * g, f(z[k])  # (B42)
        δ = vjp(g, z[k], out)  # (B43)
        delta.insert(0, δ)
    Ω_grad = penalty_pair(penalty).gradient
    inputs = [x, *a[:-1]]
    dW = [δ.T @ a_in + v * Ω_grad(W_k, λ, r) for W_k, δ, a_in in zip(W, delta, inputs, strict=True)]  # (B44)
    db = [δ.sum(axis=0) for δ in delta]  # (B45)
    total = objective(W, activations, z, a, y, loss=loss, penalty=penalty, lam=λ, r=r)
    return Backward(total, dW, db, delta)
