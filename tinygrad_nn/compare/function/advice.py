"""The data from which a wrong gradient is explained, and the test whether a mistake explains the user's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...graph.walk import conjugate
from ..factors import Factor, name_factor
from ..paths import Array, Traced, gradients, parents_of
from .calling import Inputs

Probe = tuple[list[Array], Traced, list[Array]]

CLOSE = 1e-7


class GradientData(NamedTuple):
    """The data from which a wrong gradient is explained.

    `mine` and `right` are the user's gradients and the right ones, `bads` masks their wrong entries, `leaves` holds the
    inputs in float64, `probes` the same at other inputs; `again` traces the function at given inputs.
    """

    inputs: Inputs
    mine: list[Array]
    right: list[Array]
    rounding: list[Array]
    bads: list[Array]
    trace: Traced
    leaves: list[Array]
    probes: list[Probe]
    close: float = CLOSE  # relative error up to which two gradients are taken to be equal
    again: Callable[[list[Array]], Traced] | None = None

    def label(self, i: int) -> str:
        """Return the name of an input."""
        return self.inputs.labels[self.inputs.moving[i]]

    @property
    def single(self) -> bool:
        """Whether some of the user's gradients are float32 (or float16)."""
        return any(m.dtype.itemsize < 8 for m in self.mine)


def equal_to_rounding(data: GradientData, m: Array, p: Array) -> bool:
    """Tell whether two gradients are equal up to rounding."""
    if m.shape != p.shape or not np.isfinite(p).all():
        return False
    size = max(float(np.abs(m).max(initial=0)), float(np.abs(p).max(initial=0)))
    return bool((np.abs(m - p) <= (3e-4 if data.single else data.close) * size).all())


def fit_factor(data: GradientData, over: Sequence[int], base: Any, beside: bool = False) -> Factor | None:
    """Name the factor s with ``mine = s base``, or if `beside` ``mine = right + (s - 1) base``, at all points.

    `over` selects the inputs; `base` computes the gradients `base` for a graph. Return None if no such factor exists.
    """
    values, facts = [], []
    for mine, trace, right in ((data.mine, data.trace, data.right), *data.probes):
        if trace.signature != data.trace.signature:
            continue
        b = base(trace, right)
        if b is None:
            return None
        dot = square = 0.0
        for i in over:
            if mine[i].shape != b[i].shape or not np.isfinite(b[i]).all():
                return None
            target = mine[i] - right[i] if beside else mine[i]
            size = float(np.abs(b[i]).max(initial=0)) or 1.0  # so that arrays count equally and no square overflows
            dot += float(np.real(np.vdot(b[i] / size, target / size)))
            square += float(np.real(np.vdot(b[i] / size, b[i] / size)))
        if not square:
            return None
        s = dot / square
        for i in over:
            if not equal_to_rounding(data, mine[i], right[i] + s * b[i] if beside else s * b[i]):
                return None
        values.append(s + 1 if beside else s)
        shapes = [np.shape(x) for x in data.leaves if np.ndim(x)]
        batch = next((shape[0] for shape in shapes if len(shape) > 1), shapes[0][0] if shapes else np.nan)
        facts.append({"N": float(batch), "n_out": np.nan, "p": 0.0, "lambda": 0.0})
    loose = 3e-3 if data.single else 1e-6
    if all(abs(v) < loose for v in values):
        return Factor("0", 0.0)
    return name_factor(values, facts, loose)


def before_summing(data: GradientData, i: int) -> Iterator[Array]:
    """Yield the gradients that arrive at an input before they are summed back to its shape."""
    kept: list[Array] = []
    node = data.trace.inputs[i]

    def note(slot: int) -> Any:
        def change(n: Any, g: Array, slots: list[Any]) -> list[Any]:
            if slots[slot] is not None:
                kept.append(np.asarray(slots[slot]))
            return slots

        return change

    changes = {}
    for place, n in enumerate(data.trace.operations):
        for slot, parent in enumerate(parents_of(n)):
            if parent is node:
                changes[place] = note(slot)
    gradients(data.trace, changes)
    yield from (conjugate(r) for r in kept if r.shape != np.shape(node.out))
