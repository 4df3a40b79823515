"""The arrays that a page shows: small ones as tables of numbers, large ones as heat maps, equal ones stored once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import short_number, summarize
from ...graph.summary import shape_text
from .story import Array, brief_array

MOST_NUMBERS, MOST_COLUMNS = 36, 8  # a larger array is shown as a heat map
HEAT_ROWS, HEAT_COLUMNS = 24, 32  # limits of a heat map; larger arrays are averaged in blocks
MOST_IN_ALL, FEWEST, MOST = 400_000, 1_024, 20_000  # numbers in all heat maps together; limits of one


class Arrays:
    """The arrays of a page in their displayed form; equal arrays are stored once."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.known: dict[tuple[Any, ...], int] = {}
        self.large: list[tuple[int, Array]] = []

    def add(self, array: Array) -> int:
        """Return the index of an array in `shown`; an array that is not there yet is added."""
        key = (array.shape, array.dtype.str, array.tobytes())
        if key not in self.known:
            self.known[key] = len(self.shown)
            entry = describe_array(array)
            if "rows" not in entry:
                self.large.append((len(self.shown), array))
            self.shown.append(entry)
        return self.known[key]

    def brief(self, array: Array) -> str:
        """Return the short text of an array, which is added to the page."""
        return str(self.shown[self.add(array)]["brief"])

    def finished(self) -> list[dict[str, Any]]:
        """Return all arrays, the large ones with heat maps whose resolution depends on how many there are."""
        room = min(max(MOST_IN_ALL // max(1, len(self.large)), FEWEST), MOST)
        for place, array in self.large:
            _with_heat_map(self.shown[place], array, room)
        self.large.clear()
        return self.shown


def displayed_array(array: Array) -> dict[str, Any]:
    """Return an array in its displayed form: a summary, and a table of numbers if it is small, else a heat map.

    Example:
        >>> displayed_array(np.array([[1.0, 2.5]]))["rows"], "heat" in displayed_array(np.zeros((20, 20)))
        ([['1', '2.5']], True)
    """
    entry = describe_array(array)
    return entry if "rows" in entry else _with_heat_map(entry, array, MOST)


def _with_heat_map(entry: dict[str, Any], array: Array, room: int) -> dict[str, Any]:
    entry["heat"] = heat = heat_map(array, room)
    if max(heat["block"]) > 1:
        entry["summary"] += f" · a cell is the mean of {' × '.join(map(str, heat['block']))}"
    return entry


def describe_array(array: Array) -> dict[str, Any]:
    """Return the summary of an array, and its table of numbers if it is small.

    Example:
        >>> describe_array(np.zeros((20, 20)))["summary"]
        'min 0 · mean 0 · max 0 · norm 0'
    """
    summary = summarize(array)
    words = [brief_array(array, longest, digits, summary) for longest, digits in ((24, 3), (11, 2))]
    entry: dict[str, Any] = {"brief": words[0], "tiny": words[1], "shape": shape_text(array.shape)}
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
    return entry | {"summary": " · ".join(words)}


def heat_map(array: Array, max_size: int = MOST) -> dict[str, Any]:
    """Return an array for a heat map: its numbers, or the means of blocks of its rows if it is larger than `max_size`.

    Example:
        >>> heat_map(np.eye(2)), heat_map(np.ones((48, 64)), 1000)["size"]
        ({'size': [2, 2], 'block': [1, 1], 'numbers': '1 0 0 1'}, [24, 32])
    """
    block = [1, 1]
    if array.size > max_size:
        array, block = _means(array.reshape(-1, array.shape[-1]))
    listed = array.ravel().tolist()
    if array.dtype.kind == "f":  # as `short_number` writes them, in one go
        numbers = " ".join(["%.4g"] * len(listed)) % tuple(n + 0.0 for n in listed)
    else:
        numbers = " ".join(map(short_number, listed))
    return {"size": list(array.shape), "block": block, "numbers": numbers}


def _means(table: Array) -> tuple[Array, list[int]]:
    """Return the means of blocks of a table, and the size of a block."""
    with np.errstate(all="ignore"):
        values = np.asarray(np.abs(table) if table.dtype.kind == "c" else table, dtype=np.float64)
        if values.shape[0] == 1:  # a long row goes on in the next line, with NaN at its end
            wide = -(-values.shape[1] // HEAT_ROWS)
            padded = np.full(-(-values.shape[1] // wide) * wide, np.nan)
            padded[: values.shape[1]] = values[0]
            values = padded.reshape(-1, wide)
        block = []
        for axis, most in ((0, HEAT_ROWS), (1, HEAT_COLUMNS)):
            size = values.shape[axis]
            block.append(-(-size // most))
            if size > most:
                starts = (np.arange(most) * size) // most
                counts = np.diff([*starts, size])
                values = np.add.reduceat(values, starts, axis) / np.expand_dims(counts, 1 - axis)
    return values, block
