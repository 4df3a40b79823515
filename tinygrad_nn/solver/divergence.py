"""Divergence: if the loss has grown by a factor of a million since the start, the training ends with an error."""

from __future__ import annotations

import math
from typing import Any

from ..optim.update import Memory
from .settings import Solver

GROWTH = 1e6  # relative to the loss at the start, or to 1 if that is less: a loss that starts near 0 may grow a lot
FIRST = 10  # number of `TrainNN` calls that form the start; a single batch may be much easier than the others


def check_growth(loss: float, start: float | None, solver: Solver, when: str) -> None:
    """Raise a FloatingPointError if a loss over all the data is not finite, or has grown too much since the start."""
    if not math.isfinite(loss):
        raise FloatingPointError(
            _divergence_text(f"the loss became {loss} {when}", solver, "Then create the model again.")
        )
    if start is not None and math.isfinite(start) and abs(loss) > GROWTH * max(1.0, abs(start)):
        grew = f"the loss grew from {start:.3g} to {loss:.3g} {when}"
        raise FloatingPointError(_divergence_text(grew, solver, "Then create the model again."))


def watch_growth(memory: Memory, loss: float, solver: Solver) -> None:
    """Compare the loss of a batch with the first losses of the training, which are stored with a parameter.

    Raises:
        FloatingPointError: the loss has grown too much; the next call starts anew.
    """
    name = solver.loss if isinstance(solver.loss, str) else "function"
    start = memory.start
    _, calls, worst = start if start is not None and start[0] == name else (name, 0, 0.0)
    if calls >= FIRST and abs(loss) > GROWTH * max(1.0, worst):
        memory.start = None
        grew = f"the loss grew from {worst:.3g} to {loss:.3g}"
        raise FloatingPointError(_divergence_text(grew, solver, "The weights are as they were before this step."))
    memory.start = name, calls + 1, max(worst, abs(loss)) if calls < FIRST else worst


def _divergence_text(call: str, solver: Any, end: str) -> str:
    return (
        f"{call}: the training diverged. Lower learning_rate={solver.learning_rate:g}, or scale the data with "
        f"tinygrad_nn.data.Scaler. {end}"
    )
