"""The loss of a sequence of labels whose places in time are not known."""

from __future__ import annotations

from typing import Any

import numpy as np

from .reduction import Array, as_floats, plain_values, reduce_values, refuse_where


def ctc(
    log_prediction: Array, target: Any, input_lengths: Any, target_lengths: Any, *, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Array:  # fmt: skip
    r"""Return the negative log-probability that labels are read off in order, over all places where each may stand.

    .. math:: \ell = -\ln \sum_{\pi: B(\pi) = y} \prod_t p_t(\pi_t)

    B joins equal neighbours and then drops blanks. The sum is computed from time to time: with blanks between the
    labels, y', the paths that end in its entry s have

    .. math:: \alpha_t(s) = p_t(y'_s) \, (\alpha_{t-1}(s) + \alpha_{t-1}(s - 1)
              + [y'_s \ne y'_{s-2}] \, \alpha_{t-1}(s - 2))

    Args:
        log_prediction: log-probabilities, (times, batch, classes), or (times, classes) for one sequence.
        target: class numbers without blanks, (batch, labels), or those of all sequences one after the other.
        input_lengths: how many times of each sequence count, (batch,).
        target_lengths: how many labels each sequence has, (batch,).
        blank: the class number of no label.
        reduction: ``'mean'`` of the losses over their numbers of labels, ``'sum'`` or ``'none'``, (batch,).
        zero_infinity: whether a sequence that is too short for its labels counts 0, not infinity.

    Raises:
        ValueError: lengths or class numbers do not fit.

    Source: Graves, Fernández, Gomez & Schmidhuber, Connectionist temporal classification (2006), equations 3, 6 and 8.

    Example:
        >>> p = np.log(np.array([[0.5, 0.5], [0.25, 0.75]]))  # the paths that read as 1: (1, 1), (blank, 1), (1, blank)
        >>> print(np.exp(-ctc(p, [1], 2, 1)))
        0.875
    """
    x = as_floats("ctc", "log_prediction", log_prediction)
    alone = x.ndim == 2
    x = x[:, None] if alone else x
    if x.ndim != 3:
        raise ValueError(f"ctc: log_prediction has shape {x.shape}; it needs (times, batch, classes).")
    times, batch, classes = x.shape
    ends, counts = (_lengths(name, n, batch) for name, n in (("input_lengths", input_lengths),
                                                            ("target_lengths", target_lengths)))  # fmt: skip
    refuse_where("ctc", "input_lengths", ends, (ends < 0) | (ends > times), f"the sequences have {times} times.")
    labels = _labels(target, counts, batch)
    known = np.arange(labels.shape[1]) < counts[:, None]
    wrong = known & ((labels < 0) | (labels >= classes) | (labels == blank))
    refuse_where("ctc", "target", labels, wrong, f"it must be a class number below {classes}, and not the blank.")
    spelled = np.full((batch, 2 * labels.shape[1] + 1), blank)  # blanks before, between and after the labels
    spelled[:, 1::2] = np.where(known, labels, blank)
    jumps = np.zeros(spelled.shape, bool)
    jumps[:, 2:] = (spelled[:, 2:] != blank) & (spelled[:, 2:] != spelled[:, :-2])
    rows = np.arange(batch)
    read = x[:, rows[:, None], spelled]  # (times, batch, entries)
    nothing = np.full((batch, 2), -np.inf, x.dtype)
    start = np.where(np.arange(spelled.shape[1]) == 0, 0.0, -np.inf).astype(x.dtype)
    paths: Any = np.broadcast_to(start, spelled.shape)  # before the first time, at the first blank
    for t in range(int(ends.max(initial=0))):
        padded = np.concatenate([nothing, paths], axis=1)
        reached = np.logaddexp(np.logaddexp(paths, padded[:, 1:-1]), np.where(jumps, padded[:, :-2], -np.inf))
        paths = np.where((t < ends)[:, None], reached + read[t], paths)
    last = paths[rows, 2 * counts]
    ended = np.where(counts > 0, paths[rows, np.maximum(2 * counts - 1, 0)], -np.inf)
    losses = -np.logaddexp(last, ended)
    if zero_infinity:
        losses = np.where(np.isinf(plain_values(losses)), 0.0, losses)
    if reduction == "mean":
        return (losses / np.maximum(counts, 1).astype(x.dtype)).mean()
    return reduce_values("ctc", losses[0] if alone and reduction == "none" else losses, reduction)


def _lengths(name: str, given: Any, batch: int) -> Any:
    found = np.asarray(plain_values(given)).reshape(-1)
    if found.dtype.kind not in "iu" or found.size != batch:
        raise ValueError(
            f"ctc: {name} has shape {found.shape} and dtype {found.dtype}; it needs whole numbers, one for each of the "
            f"{batch} sequences."
        )
    return found


def _labels(target: Any, counts: Any, batch: int) -> Any:
    """Return the labels as (batch, most labels); those of all sequences may be one after the other."""
    labels, most = np.asarray(plain_values(target)), int(counts.max(initial=0))
    if labels.dtype.kind not in "iu" and labels.size:
        raise ValueError(f"ctc: target has dtype {labels.dtype}; class numbers are integers. Write target.astype(int).")
    if labels.ndim == 2 and labels.shape[0] == batch and labels.shape[1] >= most:
        return labels[:, :most].astype(int)
    if labels.ndim == 1 and labels.size == counts.sum():
        found = np.zeros((batch, most), int)
        found[np.arange(most) < counts[:, None]] = labels
        return found
    raise ValueError(
        f"ctc: target has shape {labels.shape}; it needs ({batch}, {most}) labels or more, or the {counts.sum()} "
        "labels of all sequences one after the other."
    )
