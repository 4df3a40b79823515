"""The mistakes that a search finds in the backward of a model, and the suspects that it tries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..factors import Factor
from .fit import Witness
from .suspects import RIGHT, Suspect

Array = np.ndarray[Any, Any]
UNKNOWN = 4.0  # the cost of an array that nothing explains


@dataclass(frozen=True)
class Finding:
    """One mistake: its layer, counted from 0, its part (``delta``, ``W`` or ``b``), its kind, and the evidence.

    If nothing explains the array, `user_array` is what the code returned for the given batch, and `right_array` what it
    should be, computed from the delta that the code has.
    """

    layer: int
    part: str
    kind: str
    text: str
    factor: Factor | None = None
    evidence: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    user_array: Array | None = field(default=None, repr=False, compare=False)
    right_array: Array | None = field(default=None, repr=False, compare=False)

    @property
    def times(self) -> str:
        """The name of the factor, "" if there is none; equal factors have one name, while their values are rounded."""
        return "" if self.factor is None else self.factor.name


class Option(NamedTuple):
    """One explanation of dW or db, or of both."""

    cost: float
    findings: tuple[Finding, ...]


def unexplained(k: int, part: str, pairs: Sequence[tuple[Array, Array]]) -> Finding:
    """Return the finding that no known mistake explains an array, with what the code has and what is right."""
    user_array, right_array = pairs[0] if pairs else (None, None)
    text = f"{'' if part == 'delta' else 'd'}{part} is wrong, and no known mistake explains it."
    return Finding(k, part, "unknown", text, user_array=user_array, right_array=right_array)


def by_factor(k: int, part: str, factor: Factor, is_penalty_right: bool = False) -> Finding:
    """Return the finding that an array is a factor times the right one, apart from a penalty if `is_penalty_right`."""
    array_text = part if part == "delta" else f"d{part}"
    if is_penalty_right and factor.name == "0":
        text = (f"{array_text} is the gradient of the penalty alone: the gradient of the loss is missing; the two "
                "should be added.")  # fmt: skip
        return Finding(k, part, "overwritten_not_accumulated", text, factor)
    if is_penalty_right:
        array_text = f"The gradient of the loss in {array_text}"
    penalty_text = " The penalty is added correctly." if is_penalty_right else ""
    if factor.is_sign:
        text = f"{array_text} has the wrong sign: it is minus the right one.{penalty_text}"
        return Finding(k, part, "sign", text, factor)
    if factor.name == "0":
        return Finding(k, part, "scale", f"{array_text} is zero, and should not be.", factor)
    if part == "delta" and factor.name != "1/2" and "1-p" in (factor.name, *factor.others):
        return Finding(k, part, "dropout_scale_missing", "The mask is used without its scale 1/(1 - p).", factor)
    return Finding(k, part, "scale", f"{array_text} is {factor.words} times the right one.{penalty_text}", factor)


def allowed_suspects(suspects: Iterator[Suspect], k: int, only: Sequence[Finding] | None) -> Iterator[Suspect]:
    """Return an iterator over the suspects that the findings `only` name in this layer, or over all if it is None."""
    allowed_texts = None if only is None else [f.text for f in only if f.layer == k]
    return (
        s for s in suspects if allowed_texts is None or s.kind == RIGHT or any(s.text in text for text in allowed_texts)
    )


def computed(suspect: Suspect, witnesses: Sequence[Witness], above: Sequence[Array | None]) -> list[Array] | None:
    """Return what a suspect computes in each experiment, or None if it cannot be computed in one."""
    values = []
    for w, d in zip(witnesses, above, strict=True):
        try:
            with np.errstate(all="ignore"):
                value = suspect.compute(w.case, d)  # type: ignore[arg-type]
        except (ValueError, IndexError):
            return None
        if value is None or np.count_nonzero(np.isfinite(value)) < np.size(value):  # ndarray.all takes longer
            return None
        values.append(value)
    return values
