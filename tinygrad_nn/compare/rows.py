"""Compute one row of a report: compare an array by two roads entry by entry, and some entries with the referee.

The referee is the numerical road: it decides which of manual and graph is right where the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..gradcheck.numerical import inner_product
from .diagnosis import NO_GRAPH, Difference, Distances, Row
from .numerical.full_gradients import NumericalGradient

Array = np.ndarray[Any, Any]

MANY, STANDS_OUT, VISIBLE = 64, 30.0, 3e-4  # number of entries, factor over the usual error, relative error: _outliers
ROUNDINGS = 4.0  # an error of fewer epsilons of the largest entry is rounding
HEAT = 128  # the largest number of rows and columns of a heat map


class CheckedEntry(NamedTuple):
    """The numerical derivative of one entry: its value, a bound of its error, and whether it stands at a kink."""

    value: float
    bound: float
    kink: bool


class ArrayPair(NamedTuple):
    """An array by two roads, and a bound of the rounding error of each entry."""

    name: str
    role: str
    manual: Array | None
    graph: Array
    rounding: Array
    graph_in_model_dtype: Array | None = None  # the graph's gradient in the dtype of the model, if that is not float64


def compare_row(
    pair: ArrayPair, check_entry: Callable[[tuple[int, ...]], CheckedEntry], rng: np.random.Generator,
    entries: int | Array, directions: Sequence[tuple[float, float, float]] = (), unknown: str = "",
) -> tuple[Row, Array]:  # fmt: skip
    """Return the row of an array, and a boolean mask of the entries in which manual and graph disagree.

    Args:
        pair: the array by both roads.
        check_entry: returns the numerical derivative of the entry at an index.
        rng: chooses the entries to ask for, besides the one that differs most.
        entries: how many entries to ask for; or which ones, as flat indices.
        directions: derivatives along random directions, each (by the graph, numerical, error bound).
        unknown: the note of the row if the user's array is not known.
    """
    graph, manual = pair.graph, pair.manual
    shape, known = graph.shape, manual is not None and manual.shape == graph.shape
    error = _errors(pair)
    with np.errstate(all="ignore"):
        excess = np.where(error > 0, error / np.maximum(pair.rounding, 1e-300), 0.0)
    wrong_mask = excess > 1
    if pair.role != "intermediate":  # in a delta, errors have many sizes: some of its units are saturated
        wrong_mask |= _outliers(excess, error, graph) & (error > _rounding_of_largest(pair))
    worst = _largest(np.where(wrong_mask, error, 0.0) if wrong_mask.any() else excess)
    answers = {index: check_entry(index) for index in _chosen(shape, entries, rng, worst)}
    smooth = {index: answer for index, answer in answers.items() if not answer.kink and math.isfinite(answer.value)}
    wrong = bool(wrong_mask.any()) and manual is not None
    disputed = _disputed(graph, smooth, directions)
    odd = _odd_road(pair, worst, smooth.get(worst)) if wrong else "numerical" if disputed else ""
    row = Row(
        name=pair.name, shape=shape, role=pair.role, ok=not wrong and not disputed,
        **_numbers(manual if known else None, graph, error, wrong_mask),
        wrong=float(wrong_mask.mean()) if wrong else 0.0,
        worst=worst, manual=_entry(manual, worst) if known else math.nan, graph=_entry(graph, worst),
        numerical=_slope(answers.get(worst)), odd=odd, checked=len(smooth),
        bound=max((answer.bound for answer in smooth.values()), default=0.0), note=_note(manual, shape, unknown),
        error=_heat(error, graph) if manual is not None else None, apart=_distances(pair, answers) if known else None,
    )  # fmt: skip
    return row, wrong_mask


def checked_entries(rows: Sequence[Row]) -> tuple[int, int]:
    """Return how many entries of all arrays were also differentiated numerically, and how many there are."""
    return sum(row.checked for row in rows), sum(math.prod(row.shape) for row in rows)


def _distances(pair: ArrayPair, answers: dict[tuple[int, ...], CheckedEntry]) -> Distances:
    """Measure the difference of each pair of roads, with the graph's gradient in the dtype of the model."""
    manual = np.asarray(pair.manual)
    graph = pair.graph if pair.graph_in_model_dtype is None else pair.graph_in_model_dtype
    smooth = [index for index, answer in answers.items() if not answer.kink]
    by_hand, by_graph = (np.array([array[index] for index in smooth]) for array in (manual, graph))
    numerical = np.array([answers[index].value for index in smooth])
    with np.errstate(all="ignore"):
        return Distances(
            Difference.of(manual, graph), Difference.of(by_graph, numerical), Difference.of(by_hand, numerical),
            float(np.abs(graph).max(initial=0.0)), float(np.max(pair.rounding, initial=0.0)),
            len(answers) - len(smooth),
        )  # fmt: skip


def _largest(array: Array) -> tuple[int, ...]:
    """Return the index of the largest entry, or () for an empty array."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(array)), array.shape)) if array.size else ()


def _note(manual: Array | None, shape: tuple[int, ...], unknown: str) -> str:
    """Return the note of a row: that the user's array is not known, has another shape, or is not finite; else ""."""
    if manual is None:
        return unknown
    if manual.shape != shape:
        return f"has shape {manual.shape}, and the graph's has {shape}"
    finite = np.isfinite(manual)
    return "" if finite.all() else f"{int((~finite).sum())} of {manual.size} not finite"


def _errors(pair: ArrayPair) -> Array:
    """Return |manual - graph|, infinite if manual is not known or has another shape, and where it is NaN."""
    graph, manual = pair.graph, pair.manual
    if manual is None or manual.shape != graph.shape:
        return np.full(graph.shape, math.inf)
    with np.errstate(invalid="ignore"):
        error = np.abs(manual - graph)
    if pair.graph_in_model_dtype is not None:
        error = np.minimum(error, np.abs(manual - pair.graph_in_model_dtype))
    # NaN is never right; an infinite entry is right if the graph's entry is equal
    return np.where(manual == graph, 0.0, np.where(np.isnan(error), math.inf, error))


def _disputed(
    graph: Array, smooth: dict[tuple[int, ...], CheckedEntry], directions: Sequence[tuple[float, float, float]]
) -> bool:
    """Tell whether a numerical derivative contradicts the graph, at an entry or along a direction."""
    # each bound is the larger of two: the referee's own, and that of the rounding of the graph in float64
    at_entry = any(abs(answer.value - graph[index]) > answer.bound for index, answer in smooth.items())
    return at_entry or any(abs(by_graph - numerical) > bound for by_graph, numerical, bound in directions)


def _odd_road(pair: ArrayPair, worst: tuple[int, ...], judge: CheckedEntry | None) -> str:
    """Return which of manual and graph the referee contradicts at the entry that differs most; "" if both.

    Without an answer of the referee it is "manual".
    """
    manual, known = pair.manual, pair.manual is not None and pair.manual.shape == pair.graph.shape
    if judge is None or manual is None or not known or not abs(judge.value - pair.graph[worst]) > judge.bound:
        return "manual"
    is_manual_right = abs(judge.value - manual[worst]) <= judge.bound + pair.rounding[worst]
    return "graph" if is_manual_right else ""


def _slope(answer: CheckedEntry | None) -> float:
    """Return the numerical derivative of an entry, NaN if it was not computed or the entry stands at a kink."""
    return math.nan if answer is None or answer.kink else answer.value


def _entry(array: Any, index: tuple[int, ...]) -> float:
    """Return one entry, or its real part if it is complex; NaN for an empty array."""
    return float(np.real(array[index])) if array.size else math.nan


def _outliers(excess: Array, error: Array, graph: Array) -> Array:
    """Return a mask of errors that are far larger than the usual error, although they are within their bounds.

    Rounding errors are all of about one size, while a bound allows for the worst case.
    """
    if excess.size < MANY:
        return np.zeros(excess.shape, dtype=bool)
    usual = float(np.quantile(excess, 0.9))
    alone: Array = (excess > STANDS_OUT * usual) & (error > VISIBLE * np.abs(graph)) & (excess > 1e-4) & (usual > 0)
    return alone


def _rounding_of_largest(pair: ArrayPair) -> float:
    """Return the rounding error of terms as large as the largest entry, which an entry has in which they cancel."""
    arrays = [a for a in (pair.graph, pair.manual, pair.graph_in_model_dtype) if a is not None and a.dtype.kind in "fc"]
    eps = max(float(np.finfo(a.dtype).eps) for a in arrays)
    return ROUNDINGS * eps * float(np.abs(pair.graph[np.isfinite(pair.graph)]).max(initial=0.0))


def _numbers(manual: Array | None, graph: Array, error: Array, wrong_mask: Array) -> dict[str, float]:
    if manual is None:
        return dict.fromkeys(("max_abs", "max_rel", "cosine", "ratio"), math.nan)
    if not graph.size:
        return {"max_abs": 0.0, "max_rel": 0.0, "cosine": 1.0, "ratio": 1.0}
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(manual), np.abs(graph))
        largest = float(np.max(size))
        if wrong_mask.any():
            relative = float(np.max(np.where(wrong_mask, error / size, 0)))
        else:
            relative = float(np.max(error)) / largest if largest else 0.0
        m, g = manual / (largest or 1.0), graph / (largest or 1.0)  # so that no square overflows or underflows
        square, product = inner_product(g, g), inner_product(m, g)
        length = math.sqrt(square) * math.sqrt(inner_product(m, m))
        is_zero = largest == 0
    return {
        "max_abs": float(np.max(error)), "max_rel": relative,
        "cosine": product / length if length else 1.0 if is_zero else 0.0,
        "ratio": product / square if square else 1.0 if is_zero else math.nan,
    }  # fmt: skip


def _chosen(
    shape: tuple[int, ...], entries: int | Array, rng: np.random.Generator, worst: tuple[int, ...]
) -> list[Any]:
    size = math.prod(shape)
    if not isinstance(entries, int):
        flat, worst_too = entries, False
    else:
        flat = np.arange(size) if size <= entries else np.sort(rng.choice(size, entries, replace=False))
        worst_too = size > 0
    indices = [tuple(int(i) for i in np.unravel_index(int(j), shape)) for j in flat]
    return [worst, *indices] if worst_too and worst not in indices else indices


def _heat(error: Array, graph: Array) -> Array | None:
    """Return the errors relative to the graph's largest entry, as a matrix of at most HEAT rows and columns to draw."""
    if error.ndim == 0 or not error.size:
        return None
    largest = float(np.nan_to_num(np.abs(graph), posinf=0).max()) or 1.0
    matrix = np.where(np.isfinite(error), error / largest, np.nan)
    matrix = matrix.reshape(-1, matrix.shape[-1]) if matrix.ndim > 1 else matrix[None, :]
    for axis in (0, 1):
        step = -(-matrix.shape[axis] // HEAT)
        if step > 1:  # each block of the matrix is replaced by its largest error
            matrix = np.fmax.reduceat(matrix, np.arange(0, matrix.shape[axis], step), axis=axis)
    return matrix


def judged_row(name: str, manual: Array, numerical: NumericalGradient, rounding: Any) -> tuple[Row, Array, Array]:
    """Return the row of an array that has no graph, a mask of its wrong entries, and the array it was compared with.

    Args:
        name: the name of the input.
        manual: the user's gradient.
        numerical: the numerical gradient, as far as it is known; at a kink any slope from `low` to `high` is right.
        rounding: a bound of the rounding error of each entry of the user's gradient.
    """
    is_known, shape = numerical.is_known, numerical.value.shape
    has_right_shape = manual.shape == shape
    with np.errstate(all="ignore"):
        kinked = has_right_shape and manual.dtype.kind != "c" and numerical.low.dtype.kind != "c"
        reference = np.clip(manual, numerical.low, numerical.high) if kinked else numerical.value
        reference = np.where(is_known, np.where(numerical.low == numerical.high, numerical.value, reference), 0.0)
        error = np.where(is_known, np.abs(manual - reference), 0.0) if has_right_shape else np.full(shape, math.inf)
        error = np.where(np.isnan(error), math.inf, error)
        excess = error / np.maximum(np.where(is_known, numerical.error, 0.0) + rounding, 1e-300)
    finite = bool(np.isfinite(manual).all())
    wrong_mask = excess > 1 if finite or not has_right_shape else (excess > 1) | ~np.isfinite(manual)
    worst = _largest(np.where(wrong_mask, np.maximum(excess, 1.0), excess))
    wrong = bool(wrong_mask.any()) or not has_right_shape
    known_manual = np.where(is_known, manual, 0.0) if has_right_shape else None
    numbers: dict[str, Any] = _numbers(known_manual, reference, error, wrong_mask)
    row = Row(
        name=name,
        shape=shape,
        role="input",
        ok=not wrong,
        **numbers,
        wrong=float(wrong_mask.sum() / max(1, is_known.sum())) if wrong else 0.0,
        worst=worst,
        manual=_entry(manual, worst) if has_right_shape else math.nan,
        graph=math.nan,
        numerical=_entry(numerical.value, worst),
        odd="manual" if wrong else "",
        checked=int(is_known.sum()),
        bound=float(np.nanmax(numerical.error, initial=0.0)),
        note=_note(manual, shape, "").replace("and the graph's has", "but should have") or NO_GRAPH,
        error=_heat(error, reference),
    )
    return row, wrong_mask, reference
