"""Losses of regression and of distributions: the distance of a prediction from its target, entry by entry."""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np

from .reduction import REDUCTIONS, Array, as_floats, check_pair, plain_values, reduce_values, refuse_where


def l1_loss(prediction: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Return the absolute errors.

    .. math:: \ell = |\hat y - y|

    Args:
        prediction: any shape.
        target: the same shape.
        reduction: ``'mean'`` over all entries (`mae` divides by the number of rows), ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ.

    Source: PyTorch, ``torch.nn.functional.l1_loss``.

    Example:
        >>> float(l1_loss([1.0, 4.0], [0.0, 2.0]))
        1.5
    """
    x, y = check_pair("l1_loss", prediction, target)
    return reduce_values("l1_loss", np.abs(x - y), reduction)


def mse_loss(prediction: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Return the squared errors.

    .. math:: \ell = (\hat y - y)^2

    Args:
        prediction: any shape.
        target: the same shape.
        reduction: ``'mean'`` over all entries (`mse` divides by the number of rows), ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ.

    Source: PyTorch, ``torch.nn.functional.mse_loss``.

    Example:
        >>> float(mse_loss([1.0, 4.0], [0.0, 2.0]))
        2.5
    """
    x, y = check_pair("mse_loss", prediction, target)
    return reduce_values("mse_loss", np.square(x - y), reduction)


def huber(prediction: Array, target: Array, *, delta: float = 1.0, reduction: str = "mean") -> Array:
    r"""Return the Huber loss: half the squared error up to delta, and linear beyond.

    .. math:: \ell = q \, (e - \tfrac12 q), \qquad e = \hat y - y, \; q = \min(\max(e, -\delta), \delta)

    Args:
        prediction: any shape.
        target: the same shape.
        delta: the error from which the loss is linear, positive.
        reduction: ``'mean'`` over all entries, ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ, or delta is not positive.

    Source: Huber (1964), Robust Estimation of a Location Parameter; PyTorch, ``torch.nn.functional.huber_loss``.

    Example:
        >>> huber([0.5, 3.0], [0.0, 0.0], reduction="none").tolist()
        [0.125, 2.5]
    """
    if not delta > 0:
        raise ValueError(f"huber: delta={delta}; it must be positive, e.g. 1.0.")
    x, y = check_pair("huber", prediction, target)
    e = x - y
    q = np.clip(e, -delta, delta)
    return reduce_values("huber", q * (e - 0.5 * q), reduction)


def smooth_l1(prediction: Array, target: Array, *, beta: float = 1.0, reduction: str = "mean") -> Array:
    r"""Return the smooth L1 loss: `huber` divided by its delta.

    .. math:: \ell = \tfrac{q}{\beta} \, (e - \tfrac12 q), \qquad e = \hat y - y, \; q = \min(\max(e, -\beta), \beta)

    Args:
        prediction: any shape.
        target: the same shape.
        beta: the error from which the loss is linear, at least 0; with 0 it is `l1_loss`.
        reduction: ``'mean'`` over all entries, ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ, or beta is below 0.

    Source: Girshick (2015), Fast R-CNN, equation 3; PyTorch, ``torch.nn.functional.smooth_l1_loss``.

    Example:
        >>> smooth_l1([0.5, 3.0], [0.0, 0.0], beta=2.0, reduction="none").tolist()
        [0.0625, 2.0]
    """
    if not beta >= 0:
        raise ValueError(f"smooth_l1: beta={beta}; it must be at least 0, e.g. 1.0.")
    if beta == 0:
        return l1_loss(prediction, target, reduction=reduction)
    x, y = check_pair("smooth_l1", prediction, target)
    e = x - y
    q = np.clip(e, -beta, beta)
    return reduce_values("smooth_l1", q / beta * (e - 0.5 * q), reduction)


def kl_divergence(
    log_prediction: Array, target: Array, *, log_target: bool = False, reduction: str = "mean"
) -> Array:
    r"""Return the terms of the Kullback-Leibler divergence of a prediction from its target.

    .. math:: \ell = y (\ln y - x), \qquad 0 \ln 0 = 0

    Args:
        log_prediction: log-probabilities x, any shape.
        target: probabilities y, the same shape; if it is a Tensor, it may require gradients.
        log_target: whether the target contains log-probabilities.
        reduction: ``'batchmean'`` (the divergence) divides the sum by the number of rows; ``'mean'`` over all entries,
            ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ.

    Source: Kullback & Leibler (1951), On Information and Sufficiency; PyTorch, ``torch.nn.functional.kl_div``.

    Example:
        >>> float(kl_divergence(np.log([[0.5, 0.5]]), [[1.0, 0.0]], reduction="batchmean").round(6))
        0.693147
    """
    x, y = check_pair("kl_divergence", log_prediction, target, ("log_prediction", "target"))
    if log_target:
        values = np.exp(y) * (y - x)
    else:
        nothing = plain_values(y) == 0  # 0 (ln 0 - x) is 0 also if x is infinite
        values = y * (np.log(np.where(nothing, 1, y)) - np.where(nothing & ~np.isfinite(plain_values(x)), 0, x))
    return reduce_values("kl_divergence", values, reduction, (*REDUCTIONS, "batchmean"))


def gaussian_nll(
    mean: Array, target: Array, var: Array, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Array:
    r"""Return the negative log-likelihood of targets under normal distributions, each with its mean and variance.

    .. math:: \ell = \tfrac12 \left( \ln v + \frac{(y - \mu)^2}{v} \right) + \tfrac12 \ln 2 \pi, \qquad
              v = \max(var, \varepsilon)

    Args:
        mean: μ, any shape.
        target: the same shape.
        var: variances, at least 0; the same shape, or one that broadcasts to it.
        full: whether to add the constant last term.
        eps: the smallest variance; for a smaller one the gradient is that at eps.
        reduction: ``'mean'`` over all entries, ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ, or a variance is below 0.

    Source: Nix & Weigend (1994); PyTorch, ``torch.nn.functional.gaussian_nll_loss``, which appends an axis to a
    var that lacks the last one.

    Example:
        >>> float(gaussian_nll([1.0], [0.0], [1.0]))
        0.5
    """
    call = "gaussian_nll"
    m, y = check_pair(call, mean, target, ("mean", "target"))
    v = as_floats(call, "var", var, m)
    try:
        fits = np.broadcast_shapes(v.shape, m.shape) == m.shape
    except ValueError:
        fits = False
    if not fits:
        hint = " Write var[..., None]." if v.shape == m.shape[:-1] else ""
        raise ValueError(f"{call}: var of shape {v.shape} does not broadcast to the mean, {m.shape}.{hint}")
    known = plain_values(v)
    refuse_where(
        call, "var", known, known < 0, "a variance is at least 0. Let the network give its logarithm: np.exp(s)."
    )
    v = v + np.maximum(eps - known, 0)  # adds a constant, so that a variance below eps still gets a gradient
    constant = 0.5 * log(2 * pi) if full else 0.0
    return reduce_values(call, 0.5 * (np.log(v) + np.square(m - y) / v) + constant, reduction)


def poisson_nll(
    prediction: Array, target: Array, *, log_input: bool = True, full: bool = False, eps: float = 1e-8,
    reduction: str = "mean",
) -> Array:  # fmt: skip
    r"""Return the negative log-likelihood of counts under Poisson distributions, each with its rate λ.

    .. math:: \ell = \lambda - y \ln \lambda + [y > 1] \left( y \ln y - y + \tfrac12 \ln 2 \pi y \right)

    Args:
        prediction: the logarithms of the rates, any shape; or the rates, if log_input is false.
        target: counts, the same shape.
        log_input: whether the prediction is ln λ.
        full: whether to add the last term, Stirling's approximation of ln(y!).
        eps: added to a rate before its logarithm is taken.
        reduction: ``'mean'`` over all entries, ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ.

    Source: PyTorch, ``torch.nn.functional.poisson_nll_loss``.

    Example:
        >>> float(poisson_nll([0.0], [3.0])), float(poisson_nll([2.0], [0.0], log_input=False))
        (1.0, 2.0)
    """
    x, y = check_pair("poisson_nll", prediction, target)
    values = np.exp(x) - y * x if log_input else x - y * np.log(x + eps)
    if full:
        many = plain_values(y) > 1
        count = np.where(many, y, 1)
        values = values + np.where(many, count * np.log(count) - count + 0.5 * np.log(2 * pi * count), 0)
    return reduce_values("poisson_nll", values, reduction)


def cosine_embedding(
    x1: Array, x2: Array, target: Any, *, margin: float = 0.0, reduction: str = "mean"
) -> Array:
    r"""Return the cosine embedding loss: 1 - cos for pairs with target 1, max(0, cos - margin) for target -1.

    .. math:: \ell = 1 - \cos(x_1, x_2) \text{ if } y = 1, \quad \max(0, \cos(x_1, x_2) - m) \text{ if } y = -1

    Args:
        x1, x2: vectors, (..., n), of the same shape.
        target: 1 or -1 for each pair, (...,).
        margin: the m above.
        reduction: ``'mean'`` over the pairs, ``'sum'`` or ``'none'``. The slope at the kink is 0.

    Raises:
        ValueError: shapes do not fit, or a target is neither 1 nor -1.

    Source: PyTorch, ``torch.nn.functional.cosine_embedding_loss``; like it, this adds 1e-12 to each squared length.

    Example:
        >>> float(cosine_embedding([[1.0, 0.0], [1.0, 0.0]], [[2.0, 0.0], [3.0, 0.0]], [1, -1]).round(6))
        0.5
    """
    call = "cosine_embedding"
    a, b = check_pair(call, x1, x2, ("x1", "x2"))
    y = plain_values(target)
    if np.shape(y) != a.shape[:-1]:
        raise ValueError(f"{call}: pairs of shape {a.shape} need one target each, {a.shape[:-1]}; target has "
                         f"{np.shape(y)}. Write target.reshape{a.shape[:-1]}.")  # fmt: skip
    refuse_where(
        call, "target", y, np.abs(y) != 1, "it must be 1 (alike) or -1 (not). For 0 and 1 write 2 * target - 1."
    )
    lengths = ((a * a).sum(axis=-1) + 1e-12) * ((b * b).sum(axis=-1) + 1e-12)
    cosine = (a * b).sum(axis=-1) / np.sqrt(lengths)
    over = cosine - margin
    return reduce_values(call, np.where(y == 1, 1 - cosine, np.where(plain_values(over) > 0, over, 0)), reduction)


def triplet_margin(
    anchor: Array, positive: Array, negative: Array, *, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: str = "mean",
) -> Array:  # fmt: skip
    r"""Return the triplet margin loss max(0, d(anchor, positive) - d(anchor, negative) + margin).

    .. math:: \ell = \max(0, m + d(a, p) - d(a, n)), \qquad d(u, v) = \lVert u - v + \varepsilon \rVert_p

    Args:
        anchor, positive, negative: vectors, (..., n), of the same shape.
        margin: the m above.
        p: the order of the norm, positive.
        eps: the ε above, which keeps the norm differentiable where two vectors are equal.
        swap: whether to use d(p, n) in place of d(a, n) where it is smaller.
        reduction: ``'mean'`` over the triplets, ``'sum'`` or ``'none'``. The slope at the kink is 0.

    Raises:
        ValueError: the shapes differ, or p is not positive.

    Source: Balntas, Riba, Ponsa & Mikolajczyk (2016); PyTorch, ``torch.nn.functional.triplet_margin_loss``.

    Example:
        >>> float(triplet_margin([[0.0]], [[3.0]], [[1.0]]).round(5)), float(triplet_margin([[0.0]], [[0.0]], [[3.0]]))
        (3.0, 0.0)
    """
    call = "triplet_margin"
    if not p > 0:
        raise ValueError(f"{call}: p={p}; a norm needs a positive p, e.g. 2.")
    a, b = check_pair(call, anchor, positive, ("anchor", "positive"))
    a, c = check_pair(call, a, negative, ("anchor", "negative"))

    def distance(u: Array, v: Array) -> Array:
        return np.linalg.norm(u - v + eps, ord=p, axis=-1)

    far = distance(a, c)
    if swap:
        far = np.minimum(far, distance(b, c))
    miss = margin + distance(a, b) - far
    return reduce_values(call, np.where(plain_values(miss) > 0, miss, 0), reduction)
