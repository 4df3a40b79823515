"""The arrays of a page: a few numbers as a table, more as a heat map, each only once."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ...graph import short_number, summarize
from .story import Array, brief

MOST_NUMBERS, MOST_COLUMNS = 36, 8  # a larger array is shown as a heat map
HEAT_ROWS, HEAT_COLUMNS = 24, 32  # of a heat map; a larger array is averaged in blocks


class Arrays:
    """The arrays of a page, each as it is shown and only once."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.known: dict[tuple[Any, ...], int] = {}

    def add(self, array: Array) -> int:
        """Return the number of an array."""
        key = (array.shape, array.dtype.str, array.tobytes())
        if key not in self.known:
            self.known[key] = len(self.shown)
            self.shown.append(show(array))
        return self.known[key]

    def brief(self, array: Array) -> str:
        """Return an array of the page in a few letters."""
        return str(self.shown[self.add(array)]["brief"])


def show(array: Array) -> dict[str, Any]:
    """Return an array as the page shows it: its numbers if they are few, else a heat map; always a summary.

    Example:
        >>> show(np.array([[1.0, 2.5]]))["rows"], "heat" in show(np.zeros((20, 20)))
        ([['1', '2.5']], True)
    """
    summary = summarize(array)
    shape = " × ".join(map(str, array.shape)) if array.shape else "scalar"
    entry: dict[str, Any] = {"brief": brief(array), "tiny": brief(array, 11, 2), "shape": shape}
    if array.size == 0:
        return entry | {"rows": [], "summary": "empty"}
    table = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    if array.size <= MOST_NUMBERS and table.shape[1] <= MOST_COLUMNS:
        return entry | {"rows": [[short_number(n) for n in row] for row in table.tolist()]}
    words = [f"{word} {short_number(n)}" for word, n in
             (("min", summary.minimum), ("mean", summary.mean), ("max", summary.maximum)) if n is not None]  # fmt: skip
    if array.dtype.kind == "c":
        words.insert(0, "absolute values")
    words += [f"{n} {word}" for word, n in (("NaN", summary.nan), ("infinite", summary.infinite)) if n]
    words += [f"norm {short_number(summary.norm)}"]
    heat = _heat(table)
    if max(heat["block"]) > 1:
        words.append(f"a cell is the mean of {' × '.join(map(str, heat['block']))}")
    return entry | {"summary": " · ".join(words), "heat": heat}


def _heat(table: Array) -> dict[str, Any]:
    """Return a table of numbers as bytes: 128 is zero, 1 and 255 are the largest absolute value, 0 is NaN."""
    with np.errstate(all="ignore"):
        values = np.asarray(np.abs(table) if table.dtype.kind == "c" else table, dtype=np.float64)
        finite = np.where(np.isfinite(values), values, 0.0)
        if values.shape[0] == 1 and values.shape[1] > HEAT_COLUMNS:  # a long row is wrapped, with NaN at its end
            wide = -(-values.shape[1] // -(-values.shape[1] // HEAT_COLUMNS))
            padded = np.full(-(-values.shape[1] // wide) * wide, np.nan)
            padded[: values.shape[1]] = values[0]
            values = padded.reshape(-1, wide)
            finite = np.where(np.isfinite(values), values, 0.0)
        block = []
        for axis, most in ((0, HEAT_ROWS), (1, HEAT_COLUMNS)):
            size = values.shape[axis]
            block.append(-(-size // most))
            if size > most:
                starts = (np.arange(most) * size) // most
                values, finite = (
                    np.add.reduceat(x, starts, axis) / np.expand_dims(np.diff([*starts, size]), 1 - axis)
                    for x in (values, finite)
                )
        largest = float(np.abs(finite).max()) or 1.0
        scaled = np.where(np.isnan(values), -128, np.rint(np.clip(values / largest, -1, 1) * 127)).astype(np.int64)
    return {
        "rows": values.shape[0],
        "columns": values.shape[1],
        "largest": short_number(largest),
        "block": block,
        "bytes": base64.b64encode((scaled + 128).astype(np.uint8).tobytes()).decode(),
    }
