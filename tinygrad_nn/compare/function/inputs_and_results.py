"""The input and the result of a comparison of the user's backward with another road, as data passed between modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...gradcheck.numerical import Line, to_double
from ...tree import flatten
from ..conventions.code import Code
from ..diagnosis import Diagnosis, Row
from ..experiment import nearby

Array = np.ndarray[Any, Any]


class ComparisonInput(NamedTuple):
    """The user's code at some inputs: what it is called with, its results, and the gradients that its backward returns.

    `input_arrays` holds the input arrays that get a gradient, `float64_inputs` the same in float64; `g` is the
    cotangent in the form that the backward takes; `line` differentiates the function numerically.
    """

    code: Code
    input_arrays: list[Array]
    float64_inputs: list[Array]
    outs: list[Array]
    cotangents: list[Array]
    g: Any
    user_gradients: list[Array]
    line: Line
    rng: np.random.Generator

    def label(self, i: int) -> str:
        """Return the name of the input with this number, among those that get a gradient."""
        return self.code.inputs.labels[self.code.inputs.float_indices[i]]

    def nearby(self) -> list[Array]:
        """Return other random inputs near the given ones, in float64."""
        return [nearby(x, self.rng) for x in self.float64_inputs]

    def moved(self, arrays: list[Array]) -> ComparisonInput:
        """Return the same for other inputs; `line`, which differentiates numerically, stays where it is."""
        leaves = [*self.code.inputs.leaves]
        for i, x in zip(self.code.inputs.float_indices, arrays, strict=True):
            leaves[i] = x
        code = replace(self.code, inputs=self.code.inputs._replace(leaves=leaves))
        float64_inputs = [*map(to_double, arrays)]
        return self._replace(
            code=code, input_arrays=arrays, float64_inputs=float64_inputs, outs=code.arrays(float64_inputs),
            user_gradients=code.gradients(arrays, self.g),
        )  # fmt: skip

    def cotangents_at(self, leaves: list[Array]) -> tuple[list[Array], Any]:
        """Return random cotangents at other inputs, and the same as the backward takes them."""
        outs = self.code.arrays([x.copy() for x in leaves])
        return draw_cotangents(self.code, leaves, outs, self.rng)[:2]

    @property
    def labels(self) -> list[str]:
        """The names of all inputs that get a gradient."""
        return [self.label(i) for i in range(len(self.input_arrays))]


class ComparisonResult(NamedTuple):
    """The result by another road: rows, diagnoses, right gradients, notes, its method, and which inputs have no effect.

    `error` bounds the errors of the right gradients; `ignored` masks the entries that are not compared, because they
    stand at kinks or were not computed. `with_guards` is False if the right gradients are those of the function
    without constants such as 1e-8. `rounding` bounds the rounding of the user's gradients, as far as they are right.
    """

    rows: list[Row]
    diagnoses: list[Diagnosis]
    right_gradients: list[Array]
    notes: list[str]
    method: str
    no_effect: list[bool]
    error: list[Array]
    ignored: list[Array]
    with_guards: bool = True
    rounding: Sequence[Array] = ()


def draw_cotangents(
    code: Code, leaves: list[Array], outs: list[Array], rng: np.random.Generator
) -> tuple[list[Array], Any, str]:
    """Return random cotangents (ones if the backward takes none), the same as the backward takes them, a note or ""."""
    scalar = len(outs) == 1 and outs[0].size == 1
    if code.takes_cotangents:
        cotangents = [rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape) for out in outs]
    else:
        cotangents = [np.ones(out.shape) for out in outs]
    parts, rebuild = flatten(code.forward(leaves))
    g = rebuild(cotangents) if len(cotangents) == len(parts) else cotangents[0]
    note = "" if code.takes_cotangents or scalar else (
        "The function returns an array, and the backward has no parameter g for a cotangent, so the gradient of the "
        "sum of all its entries was compared. Errors that cancel in that sum cannot be seen: give the backward a "
        "parameter g."
    )  # fmt: skip
    return cotangents, g, note


def has_no_effect(outs: list[Array], leaves: list[Array], grads: list[list[Array]]) -> list[bool]:
    """Return for each input whether all its gradients are 0, up to rounding, for these results."""
    size = max((float(np.abs(out).max(initial=0)) for out in outs), default=0.0)
    eps = float(np.finfo(np.float64).eps)
    no_effect = []
    for x, *gs in zip(leaves, *grads, strict=True):
        scale = size / max(float(np.abs(x).max(initial=0)), 1e-3)
        no_effect.append(not any(np.any(np.abs(np.nan_to_num(g)) > 64 * eps * scale) for g in gs))
    return no_effect
