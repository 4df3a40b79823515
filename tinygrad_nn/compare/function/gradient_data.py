"""The data from which a wrong gradient is explained, and the test whether a mistake explains the user's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ...graph.walk import conjugate, rule_results
from ..diagnosis import Diagnosis
from ..factors import Factor, name_factor
from ..mistakes import uses_of
from ..paths import Array, Traced
from .calling import Inputs
from .mutants import right_cotangents

Probe = tuple[list[Array], Traced, list[Array]]

CLOSE = 1e-7


class GradientData(NamedTuple):
    """The data from which a wrong gradient is explained.

    `wrong_masks` masks the wrong entries of the user's gradients, `float64_inputs` holds the inputs in float64,
    `probes` the same at other inputs; `trace_at` traces the function at given inputs; `tiny` is the largest constant
    such as 1e-8 in the source, and `tiny_is_cause` says that all gradients are right with smaller ones;
    `right_in` is the wider dtype in which they would be right, "" if there is none; `excused` has the diagnoses
    of gradients that are right without constants such as 1e-8. `values` has the names of the inputs if their labels are
    those of their gradients.
    """

    inputs: Inputs
    user_gradients: list[Array]
    right_gradients: list[Array]
    rounding: list[Array]
    wrong_masks: list[Array]
    trace: Traced
    float64_inputs: list[Array]
    probes: list[Probe]
    tolerance: float = CLOSE  # relative error up to which two gradients are taken to be equal
    trace_at: Callable[[list[Array]], Traced] | None = None
    tiny: float = 0.0
    tiny_is_cause: bool = False
    right_in: str = ""
    excused: Mapping[int, Diagnosis] = MappingProxyType({})
    values: Sequence[str] = ()

    def label(self, i: int) -> str:
        """Return the name of an input."""
        return self.inputs.labels[self.inputs.float_indices[i]]

    @property
    def samples(self) -> tuple[str, float]:
        """The name and the length of the first matrix whose rows may be samples, also a constant one.

        Rather no weights, else the first array; no part of another.
        """
        shapes = {name: np.shape(x) for name, x in zip(self.inputs.labels, self.inputs.leaves, strict=True)}
        arrays = [name for name, shape in shapes.items() if shape and not {*"[."} & {*name}]
        matrices = [name for name in arrays if len(shapes[name]) > 1]
        data = [name for name in matrices if not name.lower().startswith(("w", "b"))]
        return next(((name, float(shapes[name][0])) for name in (*data, *matrices, *arrays)), ("", np.nan))

    @property
    def has_float32(self) -> bool:
        """Whether some of the user's gradients are float32 (or float16)."""
        return any(m.dtype.itemsize < 8 for m in self.user_gradients)


def equal_to_rounding(data: GradientData, m: Array, p: Array) -> bool:
    """Tell whether two gradients are equal up to rounding."""
    if m.shape != p.shape or not np.isfinite(p).all():
        return False
    size = max(float(np.abs(m).max(initial=0)), float(np.abs(p).max(initial=0)))
    return bool((np.abs(m - p) <= (3e-4 if data.has_float32 else data.tolerance) * size).all())


def fit_factor(
    data: GradientData, input_numbers: Sequence[int], base: Any, is_correction: bool = False
) -> Factor | None:
    """Name the factor s with ``user = s base``, or if `is_correction` ``user = right + (s - 1) base``, at all points.

    `input_numbers` selects the inputs; `base` computes the gradients `base` for a graph. Return None if no such factor
    exists.
    """
    values, facts = [], []
    for user_gradients, trace, right_gradients in (
        (data.user_gradients, data.trace, data.right_gradients),
        *data.probes,
    ):
        if trace.signature != data.trace.signature:
            continue
        b = base(trace, right_gradients)
        if b is None:
            return None
        dot = square = 0.0
        for i in input_numbers:
            if user_gradients[i].shape != b[i].shape or not np.isfinite(b[i]).all():
                return None
            target = user_gradients[i] - right_gradients[i] if is_correction else user_gradients[i]
            size = float(np.abs(b[i]).max(initial=0)) or 1.0  # so that arrays count equally and no square overflows
            dot += float(np.real(np.vdot(b[i] / size, target / size)))
            square += float(np.real(np.vdot(b[i] / size, b[i] / size)))
        if not square:
            return None
        s = dot / square
        for i in input_numbers:
            if not equal_to_rounding(
                data, user_gradients[i], right_gradients[i] + s * b[i] if is_correction else s * b[i]
            ):
                return None
        values.append(s + 1 if is_correction else s)
        facts.append({"N": data.samples[1], "n_out": np.nan, "p": 0.0, "lambda": 0.0})
    tolerance = 3e-3 if data.has_float32 else 1e-6
    if all(abs(v) < tolerance for v in values):
        return Factor("0", 0.0)
    return name_factor(values, facts, tolerance)


def unsummed_gradients(data: GradientData, i: int) -> Iterator[Array]:
    """Yield the gradients that arrive at an input before they are summed back to its shape."""
    node, cotangents = data.trace.inputs[i], right_cotangents(data.trace)
    for place, slot in uses_of(data.trace).get(node, ()):
        if place in cotangents:
            r = rule_results(data.trace.operations[place], cotangents[place])[slot]
            if np.shape(r) != np.shape(node.out):
                yield conjugate(np.asarray(r))
