"""Diagnose side effects of a backward: it keeps state between calls, draws random numbers, or writes into inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .diagnosis import Diagnosis

Array = np.ndarray[Any, Any]
WHOLE_BACKWARD = "the whole backward pass"
UNSTEADY = ("nondeterministic", "accumulated_over_calls")


def same_results(first: Sequence[Array], second: Sequence[Array]) -> bool:
    """Tell whether two calls gave the same arrays, bit for bit."""
    return all(np.array_equal(p, q, equal_nan=True) for p, q in zip(first, second, strict=True))


def unsteady_diagnosis(
    calls: Sequence[Sequence[Array]], names: Sequence[str], advice: str, rounding: Sequence[Array] = ()
) -> Diagnosis | None:
    """Return the diagnosis of a backward whose equal calls gave different arrays, or None if they gave the same.

    Args:
        calls: the arrays that each of three calls with equal arguments returned.
        names: the names of the arrays.
        advice: a sentence that is added to the diagnosis if the calls seem to draw random numbers.
        rounding: bounds of the rounding of each array; sums in another order differ by twice as much at most.
    """
    bounds = rounding or [np.zeros(())] * len(names)
    calls = [[p if _is_close(p, q) or (p.shape == q.shape and (np.abs(q - p) <= 2 * bound).all()) else q
              for p, q, bound in zip(calls[0], call, bounds, strict=True)] for call in calls]  # fmt: skip
    first, second, third = calls
    if same_results(first, second) and same_results(second, third):
        return None
    different = [n for n, p, q, r in zip(names, first, second, third, strict=True) if not same_results([p, p], [q, r])]
    where = WHOLE_BACKWARD if len(different) == len(names) else ", ".join(different)
    if all(_grows(p, q, r) for p, q, r in zip(first, second, third, strict=True)):
        doubled = all(_is_close(q, 2 * p) or same_results([p], [q]) for p, q in zip(first, second, strict=True))
        growth_text = (
            "twice what the first returned"
            if doubled
            else ("more than the first, by the amount that the third added again")
        )
        return Diagnosis(
            "accumulated_over_calls", where, "Each call adds its gradient to those of earlier calls. Start each call "
            "from zeros: call zero_grad(), or make the arrays inside the backward.",
            (f"of three calls with equal arguments, the second returned {growth_text}",),
        )  # fmt: skip
    return Diagnosis(
        "nondeterministic", where, "Two equal calls gave different results: the code draws random numbers, or keeps "
        "something from one call to the next, or goes through a set of objects, whose order may differ from call to "
        f"call; a list has one order. {advice}",
        (f"two calls with equal arguments differ in {', '.join(different)}",),
    )  # fmt: skip


def _grows(first: Array, second: Array, third: Array) -> bool:
    """Tell whether the third call added the same amount to the array as the second call did."""
    if not first.shape == second.shape == third.shape:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        return _is_close(third - second, second - first, float(np.abs(third).max(initial=0)))


def _is_close(p: Array, q: Array, size: float = 0.0) -> bool:
    if p.shape != q.shape or not (np.isfinite(p).all() and np.isfinite(q).all()):
        return False
    eps = float(np.finfo(p.dtype if p.dtype.kind in "fc" else np.float64).eps)
    return bool((np.abs(p - q) <= 64 * eps * max(size, float(np.abs(p).max(initial=0)))).all())


def overwrite_diagnosis(names: Sequence[str]) -> Diagnosis:
    """Return the diagnosis of a backward that changed arrays it was given; `where` is the first of these names."""
    return Diagnosis(
        "inplace_overwrite", names[0], f"The code overwrote what it was given: {', '.join(names)}. Code that reads it "
        "later no longer gets the numbers of the forward pass. Make a new array: `a = a * m` instead of `a *= m`.",
        tuple(f"the call changed {name}" for name in names[:4]),
    )  # fmt: skip


def blind_diagnosis(names: Sequence[str], largest: float) -> Diagnosis:
    """Return the diagnosis that the right gradients of all inputs are 0, up to `largest`, so that no mistake shows."""
    return Diagnosis(
        "blind_test", ", ".join(names),
        "The right gradient is 0 in every entry, so an error that multiplies it cannot be seen: this test would "
        "pass almost any backward. The sum of a softmax is always 1, for instance. Compare another function of the "
        "result, such as its sum with random weights, or let the backward take a cotangent g.",
        (f"the largest entry of the right gradient is {largest:.1e}",),
    )  # fmt: skip


def no_value_diagnosis(where: str, problem: str, advice: str) -> Diagnosis:
    """Return the diagnosis that there is no gradient: of a problem, such as "The result is not finite", and advice."""
    return Diagnosis("blind_test", where, f"{problem}, so there is no gradient and nothing to compare. NaN comes from "
                     f"0/0, log of a negative number, or infinity minus infinity; {advice}")  # fmt: skip
