"""Classification losses: from logits, log-probabilities or scores, and class numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...common.printable import counted
from ...ops.neural import log_softmax, logsumexp, relu
from ...ops.special import log_sigmoid, softplus
from .reduction import Array, as_floats, check_pair, plain_values, reduce_values, refuse_where, without_reduction


def cross_entropy(
    logits: Array, target: Array, *, weight: Any = None, ignore_index: int = -100, label_smoothing: float = 0.0,
    axis: int = -1, reduction: str = "mean",
) -> Array:  # fmt: skip
    r"""Return the cross-entropy of softmax(logits) and the true classes; it is finite for all finite logits.

    .. math:: \ell_n = -\sum_c w_c \, y_{nc} \ln \operatorname{softmax}(z_n)_c, \qquad
              y \leftarrow (1 - \varepsilon) y + \varepsilon / C

    Args:
        logits: (..., classes).
        target: class numbers (...,), integers from 0; or one-hot rows or probabilities (..., classes).
        weight: one weight per class, (classes,). For class numbers, the mean is then the weighted mean.
        ignore_index: rows with this class number do not count.
        label_smoothing: the ε above.
        axis: the axis of the classes; in PyTorch it is 1.
        reduction: ``'mean'``, ``'sum'`` or ``'none'`` (one value per row). The mean over no rows is 0; PyTorch: NaN.

    Raises:
        TypeError, ValueError: shapes or class numbers do not fit.

    Source: PyTorch, ``torch.nn.functional.cross_entropy``; Szegedy et al. (2015), section 7, for the smoothing.

    Example:
        >>> z = np.array([[1000.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> float(cross_entropy(z, [1, 0], reduction="sum"))
        1001.0986122886682
    """
    call = "cross_entropy"
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{call}: label_smoothing={label_smoothing}; it must be a share from 0 to 1, e.g. 0.1.")
    z = as_floats(call, "logits", logits)
    ln_p = log_softmax(z, axis=axis)
    if np.shape(target) == z.shape:
        return _soft_target_loss(call, ln_p, target, weight, label_smoothing, axis, reduction)
    return _label_loss(call, ln_p, target, weight, ignore_index, label_smoothing, axis, reduction)


def nll(
    log_probabilities: Array, target: Array, *, weight: Any = None, ignore_index: int = -100, axis: int = -1,
    reduction: str = "mean",
) -> Array:  # fmt: skip
    r"""Return the negative log-likelihood, which is `cross_entropy` without its log_softmax.

    .. math:: \ell_n = -w_{y_n} \, x_{n y_n}

    Args:
        log_probabilities: (..., classes), the result of log_softmax.
        target: class numbers (...,), integers from 0.
        weight, ignore_index, axis, reduction: as in `cross_entropy`.

    Raises:
        TypeError, ValueError: shapes or class numbers do not fit.

    Source: PyTorch, ``torch.nn.functional.nll_loss``.

    Example:
        >>> float(nll(np.log([[0.5, 0.5], [0.25, 0.75]]), [0, 0], reduction="sum").round(6))
        2.079442
    """
    x = as_floats("nll", "log_probabilities", log_probabilities)
    return _label_loss("nll", x, target, weight, ignore_index, 0.0, axis, reduction)


def _soft_target_loss(
    call: str, ln_p: Array, target: Any, weight: Any, smoothing: float, axis: int, reduction: str
) -> Array:
    ln_p, y = _classes_last(ln_p, axis), _classes_last(as_floats(call, "target", target, ln_p), axis)
    classes = ln_p.shape[-1]
    if smoothing:
        y = y * (1 - smoothing) + smoothing / classes
    if weight is not None:
        y = y * _class_weights(call, weight, ln_p)
    # A class with target 0 or weight 0 may have probability 0: 0 ln 0 is 0 here.
    ln_p = np.where((plain_values(y) == 0) & ~np.isfinite(plain_values(ln_p)), 0, ln_p)
    return reduce_values(call, -(y * ln_p).sum(axis=-1), reduction)


def _label_loss(
    call: str, ln_p: Array, target: Any, weight: Any, ignore_index: int, smoothing: float, axis: int, reduction: str
) -> Array:
    labels, keep = _labels(call, ln_p, target, ignore_index, axis)
    ln_p = _classes_last(ln_p, axis)
    classes, count = ln_p.shape[-1], keep.astype(ln_p.dtype)
    w = None if weight is None else _class_weights(call, weight, ln_p)
    if w is not None:
        count = count * w[labels]
    picked = np.where(keep, _pick_labels(ln_p, labels), 0)
    values = -picked if w is None else picked * -w[labels]
    if smoothing:
        all_classes = (ln_p if w is None else ln_p * w).sum(axis=-1)
        values = (1 - smoothing) * values - smoothing / classes * all_classes * keep
    if reduction == "mean":
        total = count.sum()
        return values.sum() / np.where(total == 0, 1, total)
    return values.sum() if reduction == "sum" else without_reduction(call, values, reduction)


def binary_cross_entropy(
    probabilities: Array, target: Array, *, weight: Any = None, reduction: str = "mean"
) -> Array:
    r"""Return the binary cross-entropy of probabilities, entry by entry; logarithms are clipped at -100 from below.

    .. math:: \ell = -w \, (y \ln p + (1 - y) \ln(1 - p)), \qquad \ln \leftarrow \max(\ln, -100)

    Args:
        probabilities: any shape, from 0 to 1, such as the result of sigmoid.
        target: the same shape, from 0 (no) to 1 (yes).
        weight: w; it broadcasts to the shape of the probabilities.
        reduction: ``'mean'`` over all entries (`binarycrossentropy` divides by the rows), ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ, or a probability is below 0 or above 1.

    Source: PyTorch, ``torch.nn.functional.binary_cross_entropy``; as there, the slope at p = 0 is that at 1e-12.

    Example:
        >>> binary_cross_entropy([0.5, 0.0], [1.0, 1.0], reduction="none").round(6).tolist()
        [0.693147, 100.0]
    """
    call = "binary_cross_entropy"
    p, y = check_pair(call, probabilities, target, ("probabilities", "target"))
    known = plain_values(p)
    fix = "it must be from 0 to 1. Apply sigmoid, or give the logits to binary_cross_entropy_with_logits."
    refuse_where(call, "probabilities", known, (known < 0) | (known > 1), fix)
    values = -(y * _ln(p) + (1 - y) * _ln(1 - p))
    if weight is not None:
        values = values * _check_broadcast(call, "weight", weight, p)
    return reduce_values(call, values, reduction)


def _ln(p: Array) -> Array:
    """Return ln p, at least -100; for p below 1e-12 the slope is that at 1e-12."""
    known = plain_values(p)
    lifted = np.maximum(known, 1e-12)
    value = np.where(known > 0, np.maximum(np.log(np.where(known > 0, known, 1)), -100), -100)
    return np.log(p + (lifted - known)) + np.where(known < lifted, value - np.log(lifted), 0)  # only p has a gradient


def binary_cross_entropy_with_logits(
    logits: Array, target: Array, *, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> Array:
    r"""Return the binary cross-entropy of sigmoid(logits) and targets from 0 to 1; it is finite for all finite logits.

    .. math:: \ell = -w \, (p \, y \ln \sigma(z) + (1 - y) \ln(1 - \sigma(z)))

    Args:
        logits: any shape.
        target: the same shape, from 0 (no) to 1 (yes).
        weight, pos_weight: w, and p, the weight of the positive class; both broadcast to the shape of the logits.
        reduction: ``'mean'`` over all entries, ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ.

    Source: PyTorch, ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Example:
        >>> binary_cross_entropy_with_logits([-1000.0, 0.0], [1.0, 0.0], reduction="none").round(6).tolist()
        [1000.0, 0.693147]
    """
    call = "binary_cross_entropy_with_logits"
    z, y = check_pair(call, logits, target, ("logits", "target"))
    yes = y if pos_weight is None else y * _check_broadcast(call, "pos_weight", pos_weight, z)
    values = yes * softplus(-z) + (1 - y) * softplus(z)
    if weight is not None:
        values = values * _check_broadcast(call, "weight", weight, z)
    return reduce_values(call, values, reduction)


def focal(
    logits: Array, target: Array, *, gamma: float = 2.0, weight: Any = None, ignore_index: int = -100, axis: int = -1,
    reduction: str = "mean",
) -> Array:  # fmt: skip
    r"""Return the focal loss: the cross-entropy with a smaller weight on rows that are predicted well.

    .. math:: \ell_n = -\alpha_{y} (1 - p_y)^\gamma \ln p_y, \qquad p = \operatorname{softmax}(z_n), \; y = y_n

    Args:
        logits: (..., classes).
        target: class numbers (...,), integers from 0.
        gamma: at least 0; with 0 all rows have the same weight.
        weight: α, one per class, (classes,). The mean divides by the number of rows, not by the sum of their weights.
        ignore_index, axis, reduction: as in `cross_entropy`.

    Raises:
        TypeError, ValueError: shapes or class numbers do not fit, or gamma is below 0.

    Source: Lin, Goyal, Girshick, He & Dollár (2017), Focal Loss for Dense Object Detection, equation 5.

    Example:
        >>> float(focal([[0.0, 0.0]], [0], gamma=1.0).round(6))
        0.346574
    """
    call = "focal"
    _check_gamma(call, gamma)
    z = as_floats(call, "logits", logits)
    labels, keep = _labels(call, z, target, ignore_index, axis)
    z = _classes_last(z, axis)
    values = -np.where(keep, _pick_labels(log_softmax(z), labels), 0)
    if gamma:
        true = np.arange(z.shape[-1]) == labels[..., None]  # (..., classes)
        ln_q = logsumexp(np.where(true, -np.inf, z), axis=-1) - logsumexp(z, axis=-1)  # exact even if p rounds to 1
        values = np.exp(gamma * ln_q) * values
    if weight is not None:
        values = values * _class_weights(call, weight, z)[labels]
    if reduction == "mean":
        return values.sum() / np.maximum(keep.sum(dtype=z.dtype), 1)
    return reduce_values(call, values, reduction)


def binary_focal(
    logits: Array, target: Array, *, gamma: float = 2.0, alpha: float | None = 0.25, reduction: str = "mean"
) -> Array:
    r"""Return the binary focal loss: the binary cross-entropy with a smaller weight on entries that are predicted well.

    .. math:: \ell = -\alpha \, y \, (1 - p)^\gamma \ln p - (1 - \alpha) (1 - y) \, p^\gamma \ln(1 - p), \qquad
              p = \sigma(z)

    Args:
        logits: any shape.
        target: the same shape, 0 or 1; values between them contribute to both terms.
        gamma: at least 0; with 0 all entries have the same weight.
        alpha: the weight of target 1; that of target 0 is 1 - alpha. ``None`` for no weights.
        reduction: ``'mean'`` over all entries, ``'sum'`` or ``'none'``.

    Raises:
        ValueError: the shapes differ, or gamma is below 0.

    Source: Lin, Goyal, Girshick, He & Dollár (2017), Focal Loss for Dense Object Detection, equation 5.

    Example:
        >>> float(binary_focal([0.0], [1.0], gamma=1.0, alpha=None).round(6))
        0.346574
    """
    call = "binary_focal"
    _check_gamma(call, gamma)
    z, y = check_pair(call, logits, target, ("logits", "target"))
    yes, no = -log_sigmoid(z), -log_sigmoid(-z)
    a, b = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    return reduce_values(call, a * y * np.exp(-gamma * no) * yes + b * (1 - y) * np.exp(-gamma * yes) * no, reduction)


def hinge(prediction: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Return the hinge loss max(0, 1 - y ŷ) for targets y of -1 and 1.

    .. math:: \ell = \max(0, 1 - y \hat y)

    Args:
        prediction: any shape.
        target: the same shape, -1 or 1.
        reduction: ``'mean'`` over all entries, ``'sum'`` or ``'none'``. The slope at the kink is 0.

    Raises:
        ValueError: the shapes differ, or a target is neither -1 nor 1.

    Source: Cortes & Vapnik (1995), Support-Vector Networks, section 3. PyTorch has no such function.

    Example:
        >>> hinge([2.0, 0.5, 0.5], [1, 1, -1], reduction="none").tolist()
        [0.0, 0.5, 1.5]
    """
    return reduce_values("hinge", _hinge_values("hinge", prediction, target), reduction)


def squared_hinge(prediction: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Return the squared hinge loss max(0, 1 - y ŷ)², which has no kink.

    .. math:: \ell = \max(0, 1 - y \hat y)^2

    Args:
        prediction, target, reduction: as in `hinge`.

    Raises:
        ValueError: the shapes differ, or a target is neither -1 nor 1.

    Source: Tang (2013), Deep Learning using Linear Support Vector Machines, equation 10. PyTorch has no such function.

    Example:
        >>> squared_hinge([2.0, 0.5, 0.5], [1, 1, -1], reduction="none").tolist()
        [0.0, 0.25, 2.25]
    """
    miss = _hinge_values("squared_hinge", prediction, target)
    return reduce_values("squared_hinge", miss * miss, reduction)


def multi_margin(
    scores: Array, target: Array, *, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Array:
    r"""Return the multi-class margin loss: by how much other scores exceed the true class's score minus the margin.

    .. math:: \ell_n = \frac1C \sum_{c \ne y_n} w_{y_n} \max(0, m - x_{n y_n} + x_{nc})^p

    Args:
        scores: (..., classes).
        target: class numbers (...,), integers from 0.
        p: 1 or 2.
        margin: the m above.
        weight: one weight per class, (classes,).
        reduction: ``'mean'`` over the rows, ``'sum'`` or ``'none'``. The slope at the kink is 0.

    Raises:
        TypeError, ValueError: shapes or class numbers do not fit, or p is neither 1 nor 2.

    Source: PyTorch, ``torch.nn.functional.multi_margin_loss``; Crammer & Singer (2001).

    Example:
        >>> multi_margin([[3.0, 2.5, 0.0]], [0], reduction="none").round(6).tolist()
        [0.166667]
    """
    call = "multi_margin"
    if p not in (1, 2):
        raise ValueError(f"{call}: p={p!r}; it must be 1 or 2.")
    x = as_floats(call, "scores", scores)
    labels, _ = _labels(call, x, target, None, -1)
    miss = relu(margin - _pick_labels(x, labels)[..., None] + x)  # (..., classes)
    miss = np.where(np.arange(x.shape[-1]) == labels[..., None], 0, miss if p == 1 else miss * miss)
    values = miss.sum(axis=-1) / x.shape[-1]
    return reduce_values(
        call, values if weight is None else values * _class_weights(call, weight, x)[labels], reduction
    )


def _hinge_values(call: str, prediction: Array, target: Array) -> Array:
    x, y = check_pair(call, prediction, target)
    signs = plain_values(y)
    refuse_where(call, "target", signs, abs(signs) != 1, "it must be -1 or 1. For 0 and 1 write 2 * target - 1.")
    return relu(1 - y * x)


def _labels(call: str, x: Array, target: Any, ignore_index: int | None, axis: int) -> tuple[Any, Any]:
    """Return the class number of each row, with 0 for ignored rows, and a boolean array that is False for these."""
    if target is None:
        raise TypeError(f"{call}: target is None; it needs a class number for each row.")
    labels, classes = plain_values(target), x.shape[axis]
    axis %= len(x.shape)
    rows = (*x.shape[:axis], *x.shape[axis + 1 :])
    got = np.shape(labels)
    if got != rows:
        hint = "Give one class number for each row."
        if got == x.shape:
            hint = "One-hot rows become class numbers with target.argmax(-1)."
        elif labels.size == np.prod(rows, dtype=int):
            hint = f"Write target.reshape{rows or '(())'}."
        elif len(got) > len(x.shape):
            hint = "The prediction comes first: loss(prediction, target)."
        raise ValueError(f"{call}: with {counted(classes, 'class')} on axis {axis} of shape {x.shape}, class numbers "
                         f"need the shape {rows}; target has {got}. {hint}")  # fmt: skip
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{call}: class numbers are integers; target is of dtype {labels.dtype}. Write "
                        f"target.astype(int); probabilities need the shape {x.shape}.")  # fmt: skip
    keep = np.ones(rows, bool) if ignore_index is None else labels != ignore_index
    outside = keep & ((labels < 0) | (labels >= classes))
    but = "" if ignore_index is None else f", or ignore_index={ignore_index}"
    count = counted(classes, "class")
    fix = f"with {count} it must be from 0 to {classes - 1}{but}. Widen the last layer, or count from 0."
    refuse_where(call, "target", labels, outside, fix)
    return np.where(keep, labels, 0), keep


def _pick_labels(x: Array, labels: Any) -> Array:
    """Return the entry of each row at its class number: (..., classes) -> (...,)."""
    if labels.ndim == 1:
        return x[np.arange(labels.size), labels]
    return x.reshape(-1, x.shape[-1])[np.arange(labels.size), labels.reshape(-1)].reshape(labels.shape)


def _classes_last(x: Array, axis: int) -> Array:
    return x if axis % len(x.shape) == len(x.shape) - 1 else np.moveaxis(x, axis, -1)


def _class_weights(call: str, weight: Any, x: Array) -> Any:
    w = as_floats(call, "weight", plain_values(weight), x)
    if w.shape != x.shape[-1:]:
        raise ValueError(
            f"{call}: weight has shape {w.shape}; for {counted(x.shape[-1], 'class')} it needs {x.shape[-1:]}."
        )
    return w


def _check_broadcast(call: str, name: str, value: Any, z: Array) -> Any:
    """Return the weight as an array; raise a ValueError if it does not broadcast to the shape of the logits."""
    w = as_floats(call, name, plain_values(value), z)
    try:
        fits = np.broadcast_shapes(w.shape, z.shape) == z.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{call}: {name} of shape {w.shape} does not broadcast to the logits, {z.shape}.")
    return w


def _check_gamma(call: str, gamma: float) -> None:
    if not gamma >= 0:
        raise ValueError(f"{call}: gamma={gamma}; it must be at least 0, e.g. 2.")
