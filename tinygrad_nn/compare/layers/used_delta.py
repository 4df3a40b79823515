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
        user_delta = case.answer.delta[k]
        return user_delta if user_delta.shape == case.z[k].shape and bool(np.isfinite(user_delta).all()) else None
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
    witnesses: Sequence[Witness], k: int, above: Sequence[Array | None], recovered: Sequence[Array | None]
) -> list[Array | None] | None:
    """Return the deltas if they were computed with dropout masks other than those of the forward pass, else None.

    `above` holds the deltas of the layer above in each experiment, `recovered` the recovered ones of layer k.
    """
    if above[0] is None or witnesses[0].case.masks[k] is None or witnesses[0].case.names[k] == "softmax":
        return None
    deltas: list[Array | None] = []
    is_other = False
    for w, d, delta in zip(witnesses, above, recovered, strict=True):
        deltas.append(None)
        m = w.case.masks[k]
        if delta is None or d is None or m is None:
            continue
        unmasked = by_hand.activation(w.case.names[k]).vjp(d @ w.case.W[k + 1], w.case.z[k], w.case.f[k])
        is_live = np.abs(unmasked) > 1e-6 * max(float(np.abs(unmasked).max()), 1e-300)
        used_mask = np.where(is_live, delta / np.where(is_live, unmasked, 1), 0)
        scale = 1 / (1 - w.case.solver.regularization.dropout)
        kept = used_mask[used_mask > 0.01]
        levels = [level for level in (scale, 1.0) if np.isclose(kept, level, rtol=1e-4).all()]
        if not levels or not np.isclose(used_mask, np.where(used_mask > 0.01, levels[0], 0), atol=1e-4).all():
            return None
        mask = np.where(used_mask > 0.01, levels[0], 0.0)
        is_other |= bool(((mask != 0) != (m != 0))[is_live].any())
        deltas[-1] = mask * unmasked
    return deltas if is_other else None
