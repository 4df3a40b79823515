"""Tell whether samples are rows or columns: ``x @ W + b`` with b ``(n,)``, or ``W @ x + b`` with b ``(n, 1)``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..diagnosis import Diagnosis

WEIGHTS = ("w", "weight", "weights", "theta", "kernel")
SUMMED = ("wrong_axis_sum", "broadcast_not_summed", "wrong_shape")


class Samples(NamedTuple):
    """The layout of the samples: their axis, their number, the arrays that show it as text, and the biases."""

    axis: int
    number: int
    shapes_text: str
    biases: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The layout, as a sentence without a full stop."""
        return f"samples are {'columns' if self.axis else 'rows'} here ({self.shapes_text})"


def layout(labels: Sequence[str], leaves: Sequence[Any]) -> Samples | None:
    """Return the layout of the samples, from the shapes of weights, data and bias, or None if it is not clear.

    Weights and biases are known by their names. Without a fitting bias, weights and
    data must fit in one order only, and the data be no integers, which may be indices.

    Example:
        >>> layout(["A", "W", "b"], [np.ones((4, 6)), np.ones((3, 4)), np.ones((3, 1))]).sentence
        'samples are columns here (W (3, 4), A (4, 6), b (3, 1))'
        >>> layout(["x", "w", "b"], [np.ones((6, 4)), np.ones((4, 3)), np.ones(3)]).axis
        0
    """
    shapes = {label: np.shape(x) for label, x in zip(labels, leaves, strict=True)}
    weight_names = [
        n for n in shapes if len(shapes[n]) == 2 and _last_key(n).lower().rstrip("0123456789").strip("_") in WEIGHTS
    ]
    bias_names = [n for n in shapes if _last_key(n).lower().startswith("b")]
    matrices = [
        n for n in shapes if len(shapes[n]) == 2 and n not in weight_names and not (n in bias_names and 1 in shapes[n])
    ]
    pairs = [(w, x) for w in weight_names for x in matrices]
    for axis in (1, 0):
        for w, x in pairs:
            n, k = shapes[w] if axis else shapes[w][::-1]
            inner, count = shapes[x] if axis else shapes[x][::-1]
            bias_shape = (n, 1) if axis else (1, n)
            biases = [b for b in bias_names if shapes[b] == bias_shape or (not axis and shapes[b] == (n,))]
            if inner == k and count > 1 and biases and (n > 1 or axis or shapes[biases[0]] != (1, 1)):
                all_biases = tuple(b for b in bias_names if b != x and len(shapes[b]) in (1, 2))
                shapes_text = ", ".join(f"{name} {shapes[name]}" for name in (w, x, biases[0]))
                return Samples(axis, count, shapes_text, all_biases)
    for w, x in pairs:
        fits_columns, fits_rows = shapes[w][1] == shapes[x][0], shapes[x][1] == shapes[w][0]
        if fits_columns != fits_rows and np.asarray(leaves[labels.index(x)]).dtype.kind not in "biu":  # no indices
            axis = int(fits_columns)
            return Samples(axis, shapes[x][axis], f"{w} {shapes[w]}, {x} {shapes[x]}", ())
    return None


def with_samples(diagnoses: Sequence[Diagnosis], samples: Samples | None) -> list[Diagnosis]:
    """Add the layout of the samples to the diagnoses of wrong sums, and of factors that are the number of samples."""
    return [d if samples is None else _with_layout(d, samples) for d in diagnoses]


def _with_layout(d: Diagnosis, samples: Samples) -> Diagnosis:
    if d.kind in SUMMED:
        keeps = ", keepdims=True" if samples.axis else ""
        gradient_text = f"d{_last_key(d.where)}" if d.where in samples.biases else "the gradient of a bias"
        sentence = (
            f"{samples.sentence}: {gradient_text} is summed over axis {samples.axis}, .sum(axis={samples.axis}{keeps})"
        )
        return replace(d, evidence=(*d.evidence, sentence))
    if d.kind != "scale":
        return d
    try:
        value = Fraction(d.factor)
    except ValueError:
        return replace(d, evidence=(*d.evidence, samples.sentence)) if "N" in d.factor else d
    if value in (samples.number, Fraction(1, samples.number)) and samples.number > 2:
        prefix = "" if value == samples.number else "1 over "
        return replace(d, evidence=(*d.evidence, f"{samples.sentence}, and {d.factor} is {prefix}their number"))
    return d


def _last_key(label: str) -> str:
    return label.rpartition("[")[2].strip("]'\"") if label.endswith("]") else label.rpartition(".")[2]
