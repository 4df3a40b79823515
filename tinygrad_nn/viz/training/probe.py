"""Evaluation of a model on a few samples and on a plane during training, without changing the model's state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.calls import CallRecorder
from ..model.values import array_of, in_eval_mode, modules
from .steps import parameters_of

Array = np.ndarray[Any, Any]
GRID = 48  # points along each side of the plane
MOST_POINTS = 400  # data points that are drawn on it at most
MOST_CALLS = 64  # calls of parts of the model whose results are kept at most


@dataclass(frozen=True)
class Probe:
    """The inputs on which the model is evaluated at each recorded step.

    Attributes:
        rows: the row numbers of the samples; x: their inputs, an array or nested arrays; y: their targets or ``None``.
        columns: the two columns of the plane, or ``None``; low, high: its corners; middle: the row with the values of
            all other columns.
        points, truth: data points, ``(n, 2)``, and their targets, drawn on the plane.
    """

    rows: tuple[int, ...]
    x: Any
    y: Array | None
    columns: tuple[int, int] | None = None
    low: Array | None = None
    high: Array | None = None
    middle: Array | None = None
    points: Array | None = None
    truth: Array | None = None

    def plane(self) -> Array:
        """Return the points of the plane as rows of inputs, starting at the lower left corner, row by row."""
        if self.columns is None or self.low is None or self.high is None or self.middle is None:
            raise ValueError("there is no plane.")
        return plane_rows(self.low, self.high, self.middle, self.columns, GRID)


def corners(points: Array) -> tuple[Array, Array]:
    """Return the lower left and the upper right corner of a plane with some points, ``(n, 2)``, and a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * np.where(high > low, high - low, 1.0)
    return low - margin, high + margin


def plane_rows(low: Array, high: Array, middle: Array, columns: tuple[int, int], side: int) -> Array:
    """Return ``side * side`` points of a plane as rows of inputs, starting at the lower left corner, row by row."""
    across, up = (np.linspace(a, b, side) for a, b in zip(low, high, strict=True))
    rows = np.tile(middle, (side * side, 1))
    rows[:, columns[0]], rows[:, columns[1]] = (grid.ravel() for grid in np.meshgrid(across, up))
    return rows


def make_probe(x: Any, y: Any, samples: Any, columns: tuple[int, int] | None) -> Probe:
    """Return the probe for some data: the samples, and the plane if there are two inputs or `columns` is given.

    Raises:
        ValueError: there is no such row or column.
    """
    first = _first_array(x)
    count = len(first)
    if isinstance(samples, int):
        rows = np.unique(np.linspace(0, count - 1, min(samples, count)).astype(int)).tolist()
    else:
        rows = [int(row) for row in samples]
    wrong = [row for row in rows if not 0 <= row < count]
    if wrong:
        raise ValueError(f"Record: samples={wrong[0]}: x has the rows 0 to {count - 1}.")
    picked = _pick_rows(x, rows)
    targets = None if y is None or not isinstance(y, np.ndarray) or len(y) != count else np.array(y[rows])
    table = x if isinstance(x, np.ndarray) and x.ndim == 2 and x.dtype.kind in "fiub" else None
    if columns is not None and (table is None or not 0 <= min(columns) <= max(columns) < table.shape[1]
                                or columns[0] == columns[1]):  # fmt: skip
        raise ValueError(f"Record: columns={columns} are two columns of x, which has shape {np.shape(first)}.")
    if columns is None and table is not None and table.shape[1] == 2:
        columns = (0, 1)
    if columns is None or table is None or not rows:
        return Probe(tuple(rows), picked, targets)
    shown = np.unique(np.linspace(0, count - 1, min(MOST_POINTS, count)).astype(int))
    known = np.asarray(table if len(table) <= 20_000 else table[shown], dtype=float)
    low, high = corners(known[:, list(columns)])
    truth = None if targets is None else np.array(y[shown])
    return Probe(tuple(rows), picked, targets, columns, low, high, np.median(known, axis=0),
                 np.asarray(table[shown][:, list(columns)], dtype=float), truth)  # fmt: skip


def activations(model: Any, x: Any) -> dict[str, Array]:
    """Return the output of each part of a model for some rows, by the names that `summary` uses."""
    watch = CallRecorder(results=True)
    listed = isinstance(model, (list, tuple))
    value = cast(model, x)
    for k, part in enumerate(model if listed else [model], start=1):
        value = watch.run(part, [value], str(k) if listed else "", 99 if hasattr(part, "named_modules") else 0)
    found: dict[str, Array] = {}
    for k, call in enumerate(watch.calls):
        later = watch.calls[k + 1 :]
        result = call.result
        holds = any(inner.result is result for inner in later if inner.start < call.end)
        array = None if holds or not hasattr(result, "shape") else array_of(result)
        if array is None or array.ndim == 0 or array.dtype.kind not in "fiub" or len(found) == MOST_CALLS:
            continue  # a result passed on unchanged from an inner part is kept once
        name = call.name or "model"
        again = sum(other == name or other.startswith(f"{name} (call ") for other in found)
        found[f"{name} (call {again + 1})" if again else name] = np.array(array)
    return found


def plane_scores(model: Any, rows: Array) -> Array | None:
    """Return the outputs of a model for the points of a plane, ``(points, outputs)``, or ``None`` for other shapes."""
    value = cast(model, rows)
    for part in model if isinstance(model, (list, tuple)) else [model]:
        value = part(value)
    array = array_of(value)
    if array.dtype.kind not in "fiub" or array.shape[:1] != rows.shape[:1] or array.size > 10 * len(rows):
        return None
    return array.reshape(len(rows), -1).astype(np.float32)


def can_probe(model: Any) -> bool:
    """Whether a model can be called with rows: a module or a list of layers."""
    parts = list(model) if isinstance(model, (list, tuple)) else [model]
    return bool(parts) and all(callable(part) for part in parts) and any(hasattr(p, "named_parameters") for p in parts)


@contextmanager
def keeping_state(model: Any) -> Iterator[None]:
    """Put modules in evaluation mode inside a block; after it, random generators and buffers are restored."""
    parts = list(modules(model))
    generators = {id(value): value for part in parts for value in vars(part).values()
                  if isinstance(value, np.random.Generator)}  # fmt: skip
    states = [(generator, generator.bit_generator.state) for generator in generators.values()]
    everyone = np.random.get_state()  # noqa: NPY002  (a user's model may draw from it)
    kept = [(part, name, getattr(part, name)) for part in parts for name in getattr(part, "buffer_names", ())]
    copies = [np.array(value) if isinstance(value, np.ndarray) else None for _, _, value in kept]
    try:
        with in_eval_mode(model), np.errstate(all="ignore"):
            yield
    finally:
        for generator, state in states:
            generator.bit_generator.state = state
        np.random.set_state(everyone)  # noqa: NPY002
        for (part, name, value), copy in zip(kept, copies, strict=True):
            if copy is not None and not np.array_equal(value, copy, equal_nan=True):
                value = copy
            if getattr(part, name) is not value:
                setattr(part, name, value)


def cast(model: Any, x: Any) -> Any:
    """Return floats in the dtype of the model's first parameter, as in training; integers are returned unchanged."""
    first = next((array_of(value) for value in parameters_of(model, False).values()), None)
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or first is None or first.dtype.kind != "f":
        return x
    return x.astype(first.dtype)


def _first_array(x: Any) -> Array:
    while isinstance(x, (dict, tuple, list)) and len(x) and not isinstance(x, np.ndarray):
        x = next(iter(x.values())) if isinstance(x, dict) else x[0]
    return np.asarray(x)


def _pick_rows(x: Any, rows: list[int]) -> Any:
    if isinstance(x, dict):
        return {name: _pick_rows(part, rows) for name, part in x.items()}
    if isinstance(x, tuple):
        return tuple(_pick_rows(part, rows) for part in x)
    return np.array(np.asarray(x)[rows])
