"""Display of a Tensor in a notebook: its text and, on a click, heat maps of its value and gradient.

It uses ``<details>`` instead of scripts, so that every notebook and every page exported from one displays it.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from ...common.printable import html_text
from ...graph.summary import shape_text, short_number, summarize
from ..graph.colour import SIGNED, shade

Array = np.ndarray[Any, Any]

# SIGNED as numbers; NaN and infinity have the color BROKEN.
COLOURS = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in SIGNED], float)
BROKEN = (140, 45, 107)
NUMBERS, COLUMNS = 192, 12  # arrays of at most so many entries and columns show numbers in the cells
ROWS, ACROSS = 96, 128  # cells of a map at most; larger arrays are averaged in blocks
GROUP, MOST = 12, 96  # maps in one group, and maps in total
WIDE = 320  # approximate width of a map in pixels
TEXT = 100  # the text shows all entries of arrays of at most this size
CELL = "padding:2px 6px;text-align:right;min-width:2.2em;border:0"


def tensor_html(tensor: Any) -> str | None:
    """Return a Tensor as HTML: its text and folded heat maps; ``None`` if its values are not known (while tracing)."""
    if not isinstance(tensor.data, np.ndarray):
        return None
    value, grad = tensor.data, tensor.grad if tensor.node is not None else None
    with np.printoptions(threshold=TEXT, edgeitems=3 if value.ndim < 3 else 1):
        text = html_text(repr(tensor), "\n")
    out = f'<pre style="margin:0;white-space:pre-wrap;font-family:monospace">{text}</pre>'
    if value.size < 2 or value.dtype.kind not in "fiubc":
        return out
    words = f"{shape_text(value.shape)} {value.dtype}"
    about = f"Heat map of {words}" + (" and its gradient" if grad is not None else "")
    arrays = {"value": value} | ({"gradient": np.asarray(grad)} if grad is not None else {})
    return f'{out}<details><summary style="cursor:pointer">{about}</summary>{heat_maps(arrays)}</details>'


def heat_maps(arrays: dict[str, Array]) -> str:
    """Return arrays of the same shape as heat maps side by side, one for each index of all but the last two axes."""
    first = next(iter(arrays.values()))
    lead = first.shape[:-2]
    count = int(np.prod(lead))
    scales = {name: largest_value(array) for name, array in arrays.items()}
    words = "".join(f"<p style='margin:.3em 0'>{_scale_text(name, arrays[name], scales[name])}</p>" for name in arrays)
    places = [tuple(map(int, np.unravel_index(k, lead))) for k in range(min(count, MOST))]
    groups = []
    for start in range(0, len(places), GROUP):
        some = places[start : start + GROUP]
        maps = "".join(_figure(place, arrays, scales) for place in some)
        row = f'<div style="display:flex;flex-wrap:wrap;gap:.6em 1.4em;align-items:flex-start">{maps}</div>'
        if start:
            title = f"{_index_text(some[0])} to {_index_text(some[-1])}"
            row = f'<details><summary style="cursor:pointer">{title}</summary>{row}</details>'
        groups.append(row)
    if count > MOST:
        groups.append(f"<p>{count - MOST:,} more are not shown; look at parts of it, t[0].</p>")
    return words + "".join(groups)


def _index_text(place: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, place))}]"


def _scale_text(name: str, array: Array, limit: float) -> str:
    summary = summarize(array)
    parts = [f"{word} {short_number(n)}" for word, n in
             (("min", summary.minimum), ("mean", summary.mean), ("max", summary.maximum)) if n is not None]  # fmt: skip
    parts += [f"{n:,} {word}" for n, word in ((summary.nan, "NaN"), (summary.infinite, "infinite")) if n]
    what = f"{name} in absolute values" if array.dtype.kind == "c" else name
    low = "" if array.dtype.kind in "bc" or (summary.minimum or 0) >= 0 else f", orange down to -{short_number(limit)}"
    broken = ", violet is not finite" if summary.nan or summary.infinite else ""
    return f"{what}: {', '.join(parts)}. White is 0, blue up to {short_number(limit)}{low}{broken}."


def as_real(array: Array) -> Array:
    """Return an array as float64; complex numbers become their absolute values."""
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(array) if array.dtype.kind == "c" else array, dtype=np.float64)


def largest_value(array: Array) -> float:
    """Return the largest finite absolute value, or 1 if all are 0."""
    values = np.abs(as_real(array))
    return float(values[np.isfinite(values)].max(initial=0.0)) or 1.0


def colours(values: Array, limit: float) -> Array:
    """Return the RGB colors of values between -most and most, as uint8 ``(..., 3)``."""
    with np.errstate(all="ignore"):
        t = (np.clip(np.nan_to_num(values / limit), -1, 1) + 1) / 2 * (len(COLOURS) - 1)
    k = np.minimum(t.astype(int), len(COLOURS) - 2)
    part = (t - k)[..., None]
    rgb = COLOURS[k] * (1 - part) + COLOURS[k + 1] * part
    rgb[~np.isfinite(values)] = BROKEN
    return np.asarray(rgb.round(), dtype=np.uint8)


def _figure(place: tuple[int, ...], arrays: dict[str, Array], scales: dict[str, float]) -> str:
    """Return the maps of value and gradient at one index of the leading axes."""
    parts = []
    for name, array in arrays.items():
        table = array[place] if array.ndim >= 2 else array.reshape(1, -1)
        title = f"{name} {_index_text(place)}" if place else name
        note, body = _heat_map(table, scales[name], title, place if array.ndim >= 2 else None,
                          array.size <= NUMBERS)  # fmt: skip
        caption = f'<figcaption style="font-size:.85em">{title}{note}</figcaption>'
        focus = ' tabindex="0"' if body.startswith("<table") else ""  # a picture never needs scrolling
        parts.append(f'<figure style="margin:0;max-width:100%;overflow-x:auto"{focus}>{caption}{body}</figure>')
    return f'<div style="display:flex;flex-wrap:wrap;gap:.4em .8em;max-width:100%">{"".join(parts)}</div>'


def _heat_map(
    table: Array, limit: float, title: str, place: tuple[int, ...] | None, numbers: bool
) -> tuple[str, str]:
    """Return a remark for the caption of a map, and the map: a table of numbers if it is small, else a picture."""
    values = as_real(table)
    height, width = values.shape
    if numbers and width <= COLUMNS:
        rgb = colours(values, limit)
        rows = []
        for i in range(height):
            cells = []
            for j in range(width):
                paint = shade("#{:02x}{:02x}{:02x}".format(*rgb[i, j]), "")
                where = _index_text((j,) if place is None else (*place, i, j))
                look = f"background:{paint.fill};color:{paint.ink};{CELL}"
                cells.append(f'<td style="{look}" title="{where}">{short_number(table[i, j].item())}</td>')
            rows.append(f"<tr>{''.join(cells)}</tr>")
        style = "border-collapse:collapse;font-size:.85em;font-variant-numeric:tabular-nums;margin:0"
        return "", f'<table style="{style}" aria-label="{title}"><tbody>{"".join(rows)}</tbody></table>'
    block = (-(-height // ROWS), -(-width // ACROSS))
    values = block_means(values, block)
    note = f", a cell is the mean of {block[0]} × {block[1]}" if max(block) > 1 else ""
    size = max(1, min(16, WIDE // max(values.shape)))  # pixels per cell
    look = f"width:{size * values.shape[1]}px;height:{max(size * values.shape[0], 12)}px;image-rendering:pixelated"
    picture = _png(colours(values, limit))
    return note, f'<img style="{look};max-width:100%" alt="heat map of {title}" src="data:image/png;base64,{picture}">'


def block_means(values: Array, block: tuple[int, int]) -> Array:
    """Return the means over blocks of rows and columns; a non-finite entry makes the mean of its block non-finite."""
    with np.errstate(all="ignore"):
        for axis, size in enumerate(block):
            if size > 1:
                starts = np.arange(0, values.shape[axis], size)
                counts = np.diff([*starts, values.shape[axis]])
                values = np.add.reduceat(values, starts, axis) / np.expand_dims(counts, 1 - axis)
    return values


def _png(rgb: Array) -> str:
    """Return RGB values as a PNG in base64."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
