"""Mistakes in how a backward uses its cotangent: parts of it overwritten or forgotten, or summed over a wrong axis.

They need no graph. The derivatives of all results in one entry of an input are computed once, numerically; with them
the gradient of this entry follows for any other cotangent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...common.printable import counted
from ...gradcheck.numerical import Line
from ..diagnosis import Diagnosis
from ..pattern import list_text
from .inputs_and_results import ComparisonInput

Array = np.ndarray[Any, Any]

ENTRIES = 6  # the most entries of an input at which a mistake is tested, here and at another point
STEP = 2.0**-9  # step of the coarsest difference; each of the other two has half the step of the one before
CLOSE = 1e-7
Variant = tuple[str, str, list[Array]]  # kind, sentence, other cotangents


def columns(line: Line, i: int, places: Sequence[tuple[int, ...]]) -> list[list[Array]]:
    """Return, for some entries of an input, the derivatives of all results in it, by differences of sixth order."""
    derivatives = []
    for index in places:
        v = np.zeros_like(line.leaves[i])
        v[index] = size = max(1.0, float(np.abs(line.leaves[i][index])))

        def at(t: float, v: Array = v) -> list[Array]:
            return list(line.f(*(x + t * v if j == i else x + 0.0 for j, x in enumerate(line.leaves))))

        coarse, medium, fine = ([(np.asarray(p) - q) / (2 * h * size) for p, q in zip(at(h), at(-h), strict=True)]
                                for h in (STEP, STEP / 2, STEP / 4))  # fmt: skip
        first = [(4 * b - a) / 3 for a, b in zip(coarse, medium, strict=True)]
        second = [(4 * b - a) / 3 for a, b in zip(medium, fine, strict=True)]
        derivatives.append([(16 * b - a) / 15 for a, b in zip(first, second, strict=True)])
    return derivatives


def diagnose_cotangent(comparison: ComparisonInput, i: int, right_gradient: Array, is_known: Array) -> Diagnosis | None:
    """Return the diagnosis that a wrong cotangent gives the user's gradient, here and at another point, or None."""
    m, label = comparison.user_gradients[i], comparison.label(i)
    summed = _wrong_axes_diagnosis(comparison, m, right_gradient, is_known, label)
    if summed is not None:
        return summed
    if (
        m.shape != right_gradient.shape
        or not comparison.code.takes_cotangents
        or m.dtype.kind == "c"
        or not np.isfinite(m).all()
    ):
        return None
    places = [tuple(map(int, place)) for place in np.argwhere(is_known & ((m != 0) | (right_gradient != 0)))]
    places = [places[k] for k in comparison.rng.permutation(len(places))[:ENTRIES]]
    if len(places) < min(2, m.size):
        return None
    derivatives = columns(comparison.line, i, places)
    fitting = [
        k for k, (_, _, gs) in enumerate(_variants(comparison.cotangents)) if _explains(gs, derivatives, m, places)
    ]
    if not fitting:
        return None
    at_other_point = _compute_other_point(comparison, i, places)
    if at_other_point is None:
        return None
    cotangents, derivatives, user_gradient = at_other_point
    variants = list(_variants(cotangents))
    variant = next(
        (variants[k] for k in fitting if _explains(variants[k][2], derivatives, user_gradient, places)), None
    )
    if variant is None:
        return None
    kind, text, _ = variant
    evidence = (f"with this mistake, the numerical gradients become those of the backward at "
                f"{counted(len(places), 'entry')}, here and at another point")  # fmt: skip
    return Diagnosis(kind, label, text, (evidence,), r"\bar x = J^T g")


def _explains(
    gs: Sequence[Array], derivatives: Sequence[Sequence[Array]], user_gradient: Array, places: Sequence[Any]
) -> bool:
    """Tell whether cotangents give the user's numbers, up to the rounding of terms that cancel."""
    for derivative, index in zip(derivatives, places, strict=True):
        terms = [g * j for g, j in zip(gs, derivative, strict=True)]
        value = sum(float(t.sum()) for t in terms)
        size = abs(value) + 1e-3 * sum(float(np.abs(t).sum()) for t in terms)
        if not abs(value - user_gradient[index]) <= CLOSE * max(size, float(np.abs(user_gradient).max())):
            return False
    return True


def _compute_other_point(
    comparison: ComparisonInput, i: int, places: Sequence[Any]
) -> tuple[list[Array], list[list[Array]], Array] | None:
    code, moved = comparison.code, comparison.nearby()
    try:
        cotangents, g = comparison.cotangents_at(moved)
        user_gradient = code.gradients(moved, g)[i]
        return cotangents, columns(Line(lambda *xs: code.arrays(xs), moved, may_round=True), i, places), user_gradient
    except Exception:  # user code may raise anything for inputs that it was not made for
        return None


def _variants(gs: Sequence[Array]) -> Iterator[Variant]:
    """Yield wrong cotangents, the likeliest first."""
    for k, g in enumerate(gs):
        if len(gs) > 1:
            text = f"The upstream gradient of result {k} is not used; the contributions of all results should be added."
            yield "overwritten_not_accumulated", text, [0 * c if j == k else c for j, c in enumerate(gs)]
        for kind, text, other in _variants_of_one(g):
            yield kind, text, [other if j == k else c for j, c in enumerate(gs)]


def _variants_of_one(g: Array) -> Iterator[tuple[str, str, Array]]:
    axes = [a for a in range(g.ndim) if g.shape[a] > 1]
    for count in range(1, len(axes) + 1):
        for kept_axes in itertools.combinations(axes, count):
            for position_word, at in (("last", -1), ("first", 0)):
                masked = np.zeros_like(g)
                index = tuple(at if a in kept_axes else slice(None) for a in range(g.ndim))
                masked[index] = g[index]
                axes_text = f"axis {kept_axes[0]}" if count == 1 else f"axes {list_text(kept_axes)}"
                yield "overwritten_not_accumulated", (
                    f"Only the {position_word} position along {axes_text} of the result contributes to the gradient: "
                    "the others were overwritten, or the loop ended early. All should be added: use `+=` instead of "
                    "`=`, with an array of zeros that is made before the loop."), masked  # fmt: skip
    for a in axes:
        yield "wrong_order", f"The upstream gradient is read in reverse order along axis {a}.", np.flip(g, a)
        half = g.copy()
        half[(slice(None),) * a + (slice(g.shape[a] // 2, None),)] = 0
        yield "overwritten_not_accumulated", (
            f"Only the first half of the positions along axis {a} of the result contributes to the "
            "gradient."), half  # fmt: skip
        for step in (1, -1):
            moved = np.roll(g, step, a)
            moved[(slice(None),) * a + (0 if step == 1 else -1,)] = 0
            text = (f"An index is off by one along axis {a} of the result: the gradient of each position was put where "
                    f"that of the {'one before' if step == -1 else 'next one'} belongs.")  # fmt: skip
            yield "wrong_index", text, moved
        mean = np.broadcast_to(g.mean(axis=a, keepdims=True), g.shape)
        yield "wrong_axis_sum", f"The upstream gradient was averaged over axis {a} before it was used.", mean
    for a, b in itertools.combinations(axes, 2):
        if g.shape[a] == g.shape[b]:
            yield "transpose", f"The upstream gradient is transposed: axes {a} and {b}.", np.swapaxes(g, a, b)
    yield "unknown", "The sign of the upstream gradient is used instead of the gradient.", np.sign(g)
    yield "unknown", "The absolute value of the upstream gradient is used.", np.abs(g)
    yield "unknown", "The upstream gradient is squared.", g * g


def _wrong_axes_diagnosis(
    comparison: ComparisonInput, m: Array, right_gradient: Array, is_known: Array, label: str
) -> Diagnosis | None:
    """Return the diagnosis that a gradient is the cotangent summed over wrong axes, or None."""
    for g in comparison.cotangents if comparison.code.takes_cotangents else []:
        sums = {axes: g.sum(axis=axes) for count in range(1, g.ndim + 1)
                for axes in itertools.combinations(range(g.ndim), count)}  # fmt: skip
        got = [a for a, s in sums.items() if s.size == m.size and np.allclose(s, m.reshape(s.shape), CLOSE, 0)]
        want = [a for a, s in sums.items() if s.size == right_gradient.size and np.allclose(
            s[is_known.reshape(s.shape)], right_gradient[is_known], CLOSE, CLOSE * float(np.abs(s).max()))]  # fmt: skip
        if got and want and got[0] != want[0]:
            axes = [f"axis {a[0]}" if len(a) == 1 else f"axes {list_text(a)}" for a in (got[0], want[0])]
            evidence = (f"it has shape {m.shape}, the input {right_gradient.shape}",)
            text = f"The upstream gradient was summed over {axes[0]}; it should be summed over {axes[1]}."
            return Diagnosis("wrong_axis_sum", label, text, evidence, r"\bar b = \sum_n g_n")
    return None
