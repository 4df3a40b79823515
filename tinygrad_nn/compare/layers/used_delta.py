"""Recover the delta that the user's code must have computed from the dW and db it returned, and its dropout mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import manual as by_hand
from .fit import Witness, misfit

Array = np.ndarray[Any, Any]

ILL = 1e6  # with a larger condition number, the recovered delta would not be accurate


def recover(witness: Witness, k: int) -> Array | None:
    """Solve ``[dW - penalty, db] = deltaᵀ [a, 1]`` for delta; None if it has no unique solution, or none fits.

    If the code returned delta, that is returned, or None if it is not usable.
    """
    case = witness.case
    if case.answer.delta is not None:
        told = case.answer.delta[k]
        return told if told.shape == case.z[k].shape and bool(np.isfinite(told).all()) else None
    dW, db = case.answer.dW[k], case.answer.db[k]
    if dW.shape != case.W[k].shape or db.shape != case.b[k].shape or not np.isfinite(dW).all():
        return None
    matrix = np.hstack([case.into(k), np.ones((case.rows, 1))])  # (batch, n_in + 1)
    if case.rows > matrix.shape[1] or np.linalg.cond(matrix) > ILL:
        return None
    values = np.hstack([dW - case.penalty(k), db[:, None]])  # (n_out, n_in + 1)
    delta: Array = np.linalg.lstsq(matrix.T, values.T, rcond=None)[0]  # (batch, n_out)
    if misfit(witness, dW, delta.T @ case.into(k) + case.penalty(k)) > 1:
        return None
    return delta


def stale_mask(
    seen: Sequence[Witness], k: int, above: Sequence[Array | None], read: Sequence[Array | None]
) -> list[Array | None] | None:
    """Return the deltas if they were computed with dropout masks other than those of the forward pass, else None.

    `above` holds the deltas of the layer above in each experiment, `read` the recovered ones of layer k.
    """
    if above[0] is None or seen[0].case.masks[k] is None or seen[0].case.names[k] == "softmax":
        return None
    deltas: list[Array | None] = []
    other = False
    for w, d, found in zip(seen, above, read, strict=True):
        deltas.append(None)
        m = w.case.masks[k]
        if found is None or d is None or m is None:
            continue
        open_ = by_hand.activation(w.case.names[k]).vjp(d @ w.case.W[k + 1], w.case.z[k], w.case.f[k])
        live = np.abs(open_) > 1e-6 * max(float(np.abs(open_).max()), 1e-300)
        used = np.where(live, found / np.where(live, open_, 1), 0)
        scale = 1 / (1 - w.case.solver.regularization.dropout)
        levels = [level for level in (scale, 1.0) if np.isclose(used[live][used[live] > 0.01], level, rtol=1e-4).all()]
        if not levels or not np.isclose(used, np.where(used > 0.01, levels[0], 0), atol=1e-4).all():
            return None
        mask = np.where(used > 0.01, levels[0], 0.0)
        other |= bool(((mask != 0) != (m != 0))[live].any())
        deltas[-1] = mask * open_
    return deltas if other else None
