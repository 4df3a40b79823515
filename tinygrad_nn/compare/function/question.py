"""What is asked about one call of a person's code, and what a road beside the person's answers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...gradcheck.numerical import Line
from ...tree import flatten
from ..conventions.code import Code
from ..diagnosis import Diagnosis, Row

Array = np.ndarray[Any, Any]


class Question(NamedTuple):
    """A person's code at some inputs: their arrays, in float64 too, results, cotangents, and what the backward says."""

    code: Code
    own: list[Array]
    leaves: list[Array]
    outs: list[Array]
    cotangents: list[Array]
    g: Any
    mine: list[Array]
    line: Line
    rng: np.random.Generator

    def label(self, i: int) -> str:
        """Return the name of an input that moves."""
        return self.code.inputs.labels[self.code.inputs.moving[i]]

    @property
    def labels(self) -> list[str]:
        """The names of all inputs that move."""
        return [self.label(i) for i in range(len(self.own))]


class Found(NamedTuple):
    """What a road says: rows, diagnoses, right gradients, notes, its method, and which inputs have no effect.

    `error` is how far the right gradients may be off, `ignored` where they say nothing: at kinks, or where not asked.
    """

    rows: list[Row]
    diagnoses: list[Diagnosis]
    right: list[Array]
    notes: list[str]
    method: str
    blind: list[bool]
    error: list[Array]
    ignored: list[Array]


def draw_cotangents(
    code: Code, leaves: list[Array], outs: list[Array], rng: np.random.Generator
) -> tuple[list[Array], Any, str]:
    """Return the cotangents, as the backward takes them, and what is to be said of them."""
    scalar = len(outs) == 1 and outs[0].size == 1
    if code.takes:
        cotangents = [rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape) for out in outs]
    else:
        cotangents = [np.ones(out.shape) for out in outs]
    parts, rebuild = flatten(code.forward(leaves))
    g = rebuild(cotangents) if len(cotangents) == len(parts) else cotangents[0]
    note = "" if code.takes or scalar else (
        "The function returns an array, and the backward has no parameter g for a cotangent, so the gradient of the "
        "sum of all its entries was compared. Errors that cancel in that sum cannot be seen: give the backward a "
        "parameter g."
    )  # fmt: skip
    return cotangents, g, note


def without_effect(size: float, leaves: list[Array], grads: list[list[Array]]) -> list[bool]:
    """Return of each input whether all its gradients are no more than rounding, for results of this size."""
    eps = float(np.finfo(np.float64).eps)
    found = []
    for x, *gs in zip(leaves, *grads, strict=True):
        scale = size / max(float(np.abs(x).max(initial=0)), 1e-3)
        found.append(not any(np.any(np.abs(np.nan_to_num(g)) > 64 * eps * scale) for g in gs))
    return found
