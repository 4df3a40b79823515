"""The notes of a report: what the batch cannot show, and what follows from a convention."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..diagnosis import Row
from ..pattern import distinct_text
from .fit import Witness


def batch_notes(user_batch: Witness, varied_count: int, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the notes on a batch; `varied_count` is the number of other experiments on which the code did not fail."""
    return (
        *_at_kinks(user_batch),
        *_without_effect(user_batch, varied_count, rows),
        *_about_the_code(user_batch, varied_count),
    )


def layer_and_part(row: Row) -> tuple[int, str]:
    """Return the layer of a parameter, counted from 0, and which one it is: ``(1, "W")`` for ``layer 2 W``."""
    layer, part = row.name.split()[1:3]
    return int(layer) - 1, part


def _at_kinks(user_batch: Witness) -> list[str]:
    case, notes = user_batch.case, []
    for k, name in enumerate(case.names):
        zeros = int((case.z[k] == 0).sum())
        if "relu" in name and zeros:
            notes.append(
                f"In layer {k + 1} z is exactly 0 at {zeros:,} of {case.z[k].size:,} places, where {name} has a kink. "
                f"A derivative does not exist there; the graph takes {'0' if name == 'relu' else 'alpha'}, by "
                "convention, and the numerical road is not asked."
            )
    return notes


def _without_effect(user_batch: Witness, varied_count: int, rows: Sequence[Row]) -> list[str]:
    right, notes = user_batch.case.right, []
    for row in rows:
        k, part = layer_and_part(row)
        parts = {"W": right.dW, "b": right.db}
        if row.role == "parameter" and not parts[part][k].any():
            suffix = f" {varied_count} random batches were checked as well." if varied_count else ""
            notes.append(
                f"The loss does not depend on {row.name} in this batch: its gradient is 0 in every entry (units that "
                f"are cut off or saturated, or inputs of 0). An error that multiplies 0 cannot be seen here.{suffix}"
            )
    return notes


def _about_the_code(user_batch: Witness, varied_count: int) -> list[str]:
    """Return notes on masks, on the loss that the code returned, and on the batches on which it did not fail."""
    case, notes = user_batch.case, []
    if case.solver.regularization.dropout:
        notes.append(
            "Dropout is random. One mask was drawn, and all three roads use it: with another mask for each call the "
            "numerical derivative would be noise. Pass rng= to draw another."
        )
    right_loss, user_loss = float(case.right.loss), case.answer.loss
    if not math.isclose(right_loss, user_loss, rel_tol=1e-4 if case.dtype.itemsize < 8 else 1e-8, abs_tol=1e-12):
        plain_loss = right_loss - user_batch.penalty
        suffix = " That is the loss without its penalty." if user_batch.penalty and math.isclose(
            user_loss, plain_loss, rel_tol=1e-6) else ""
        told, right = distinct_text(user_loss, right_loss), distinct_text(right_loss, user_loss)
        notes.append(f"The loss that the code returned, {told}, is not the loss of this batch, {right}.{suffix}")
    if varied_count < 2:
        count = "no batch" if not varied_count else "only one batch"
        notes.append(f"The code could run on {count} of another size, so what is said of factors is less certain.")
    return notes
