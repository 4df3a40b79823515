"""The notes of a report: what the batch cannot show, and what follows from a convention."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..diagnosis import Row
from .fit import Witness


def batch_notes(given: Witness, others: int, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the notes on a batch; `others` is the number of other experiments on which the code did not fail."""
    return (*_at_kinks(given), *_without_effect(given, others, rows), *_about_the_code(given, others))


def layer_and_part(row: Row) -> tuple[int, str]:
    """Return the layer of a parameter, counted from 0, and which one it is: ``(1, "W")`` for ``layer 2 W``."""
    layer, part = row.name.split()[1:3]
    return int(layer) - 1, part


def _at_kinks(given: Witness) -> list[str]:
    case, notes = given.case, []
    for k, name in enumerate(case.names):
        zeros = int((case.z[k] == 0).sum())
        if "relu" in name and zeros:
            notes.append(
                f"In layer {k + 1} z is exactly 0 at {zeros:,} of {case.z[k].size:,} places, where {name} has a kink. "
                f"A derivative does not exist there; the graph takes {'0' if name == 'relu' else 'alpha'}, by "
                "convention, and the numerical road is not asked."
            )
    return notes


def _without_effect(given: Witness, others: int, rows: Sequence[Row]) -> list[str]:
    right, notes = given.case.right, []
    for row in rows:
        k, part = layer_and_part(row)
        parts = {"W": right.dW, "b": right.db}
        if row.role == "parameter" and not parts[part][k].any():
            also = f" {others} random batches were checked as well." if others else ""
            notes.append(
                f"The loss does not depend on {row.name} in this batch: its gradient is 0 in every entry (units that "
                f"are cut off or saturated, or inputs of 0). An error that multiplies 0 cannot be seen here.{also}"
            )
    return notes


def _about_the_code(given: Witness, others: int) -> list[str]:
    """Return notes on masks, on the loss that the code returned, and on the batches on which it did not fail."""
    case, notes = given.case, []
    if case.solver.regularization.dropout:
        notes.append(
            "Dropout is random. One mask was drawn, and all three roads use it: with another mask for each call the "
            "numerical derivative would be noise. Pass rng= to draw another."
        )
    right, told = float(case.right.loss), case.answer.loss
    if not math.isclose(right, told, rel_tol=1e-4 if case.dtype.itemsize < 8 else 1e-8, abs_tol=1e-12):
        plain = right - given.penalty
        what = " That is the loss without its penalty." if given.penalty and math.isclose(
            told, plain, rel_tol=1e-6) else ""
        notes.append(f"The loss that the code returned, {told:.7g}, is not the loss of this batch, {right:.7g}.{what}")
    if others < 2:
        count = "no batch" if not others else "only one batch"
        notes.append(f"The code could run on {count} of another size, so what is said of factors is less certain.")
    return notes
