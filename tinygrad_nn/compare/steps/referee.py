"""The numerical check of a step: the graph is run again from one value on, with perturbed numbers in that value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...gradcheck.numerical import Estimate, Line, inner_product
from ...node import Node
from ..budget import Budget
from ..numerical.precision import measured_rounding
from ..rows import CheckedEntry
from .tape import Tape

Array = np.ndarray[Any, Any]

SECONDS = 1.5  # rough time limit for the referee


def ignore_message(index: Any) -> CheckedEntry:
    """Return an answer for an entry that was not differentiated numerically: NaN."""
    return CheckedEntry(math.nan, 0.0, True)


class Referee:
    """Differentiates numerically by running the graph again from a value on, until its time is used up."""

    def __init__(self, tape: Tape, steps: int) -> None:
        self.tape, self.budget, self.steps, self.checked = tape, Budget(SECONDS), steps, 0

    def of(self, node: Node, right_gradient: Array, bound: Array, rng: np.random.Generator) -> tuple[Any, list[Any]]:
        """Return a function that gives the numerical derivative in one entry of a value, and a check along a direction.

        The check is a list of at most one (right slope, numerical slope, allowed difference).
        """
        x = np.asarray(node.out)
        if self.budget.is_over or x.dtype.kind == "c" or not x.size:
            return ignore_message, []
        cotangents = self.tape.cotangents(node)
        line = Line(self.tape.results_of(node), [x])

        def slope_along(v: Array) -> Estimate:
            """Differentiate; if the slope is not the right one, once more with a measured error of the values."""
            with self.budget:
                slope = line.along({0: v}, cotangents, None)
                is_off = abs(slope.value - inner_product(right_gradient, v)) > 10 * slope.error
                if is_off and not any(map(np.any, line.doubts)):  # longdouble is slow
                    outs = line.outs
                    line.doubts = measured_rounding(lambda cast: [np.asarray(out) for out in line.f(cast(x))], outs)
                    slope = line.along({0: v}, cotangents, None)
            return slope

        def check_entry(index: Any) -> CheckedEntry:
            if self.budget.is_over:
                return ignore_message(index)
            v = np.zeros_like(x)
            size = max(1.0, abs(float(x[index])))
            v[index] = size
            slope = slope_along(v)
            self.checked += 1
            allowed = 10 * slope.error / size + float(bound[index]) + 1e-10 * float(np.abs(right_gradient[index]))
            return CheckedEntry(slope.value / size, allowed, slope.kink == "a kink at the point")

        v = np.asarray(rng.normal(size=x.shape) * np.maximum(1e-3, np.abs(x)))
        slope = slope_along(v)
        directional = []
        if slope.kink != "a kink at the point" and math.isfinite(slope.value):
            size = float(np.abs(right_gradient * v).sum())
            allowed = 10 * slope.error + float((bound * np.abs(v)).sum()) + 1e-10 * size
            directional.append((inner_product(right_gradient, v), slope.value, allowed))
        return check_entry, directional
