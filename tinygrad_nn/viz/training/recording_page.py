"""The page of one recording, or of two side by side, with a slider over the recorded training steps."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.pages import fill_template, script_json
from ...common.printable import printable
from ...files import POLICY
from ...graph.summary import root_mean_square, shape_text, short_number
from ...server import policy_hash
from ..elements import elements
from ..graph.page import html_page
from ..notebook.heat_map import as_real, block_means
from .probe import GRID, Probe

if TYPE_CHECKING:
    from .record import Moment, Record

Array = np.ndarray[Any, Any]
SCRIPTS = ("numbers.js", "heat.js", "chart.js", "plane.js", "recording.js")
MOST_MOMENTS = 160  # steps of a run on a page, at most
MOST_NUMBERS = 2_500_000  # numbers of a run on a page; each takes 5.3 bytes
MOST_ROWS, MOST_COLUMNS = 64, 96  # cells of a map; larger arrays are averaged in blocks
MOST_ARRAYS = 120  # arrays of weights, and of gradients
WIDE = 32  # a vector longer than this is wrapped into several rows


def page(records: Sequence[Record], title: str | None) -> str:
    """Return the HTML of the page. All user data is in one block of JSON and is displayed as text only."""
    names = [printable(record.name or "recording") for record in records]
    if len(names) == 2 and names[0] == names[1]:
        names = [f"{name} {letter}" for name, letter in zip(names, "AB", strict=True)]
    notes: list[str] = []
    runs = [_run(record, name, notes) for record, name in zip(records, names, strict=True)]
    if title is None:
        title = " and ".join(names) if any(record.name for record in records) else "A training, step by step"
    folder = resources.files(__package__) / "page"
    read = {name: (folder / name).read_text(encoding="utf-8") for name in ("recording.html", "recording.css", *SCRIPTS)}
    script = "\n".join([elements(), *(read[name] for name in SCRIPTS)])
    parts = {
        "notes": "\n".join(f'<p class="says">{escape(note)}</p>' for note in notes),
        "data": script_json({"runs": runs}),
        "script": script,
        "mode": "single" if len(runs) == 1 and runs[0]["plane"] and any(m[2] for m in runs[0]["moments"]) else "",
    }
    policy = f"{POLICY}; script-src {policy_hash(script)}"
    body = fill_template(read["recording.html"], parts)
    return html_page(title, body, style=read["recording.css"], policy=policy)


def _run(record: Record, name: str, notes: list[str]) -> dict[str, Any]:
    """Return the data of a recording for the page as JSON can hold it, and add notes on what is left out."""
    moments = list(record)
    notes += [f"{name}: {printable(note)}." for note in record.notes]
    size = max(sum(_shown_size(array) for kind in (m.weights, m.gradients, m.activations) for array in kind.values())
               + (0 if m.scores is None else m.scores.size) for m in moments)  # fmt: skip
    most = max(2, min(MOST_MOMENTS, MOST_NUMBERS // max(size, 1)))
    if len(moments) > most:
        picked = np.unique(np.linspace(0, len(moments) - 1, most).round().astype(int))
        notes.append(f"{name}: this page shows {len(picked)} of the {len(moments):,} steps that were kept.")
        moments = [moments[k] for k in picked]
    probe = record.probe
    samples = [] if probe is None or not any(m.activations for m in moments) else _samples(record, probe)
    found: dict[str, Any] = {"name": name, "moments": [[m.step, m.epoch, _or_none(m.loss)] for m in moments]}
    for kind in ("weights", "gradients"):
        found[kind] = {_name: _map(arrays, kept) for _name, arrays, kept in _series(moments, kind, MOST_ARRAYS)}
        left = len({n for m in moments for n in getattr(m, kind)}) - len(found[kind])
        if left:
            notes.append(f"{name}: of {left} more arrays no {kind} are shown.")
    found["activations"] = {
        part: _neurons(arrays, kept, len(samples)) for part, arrays, kept in _series(moments, "activations", 64)
        if samples and all(len(a) == len(samples) for a in arrays)
    }  # fmt: skip
    found["flow"] = _gradient_sizes(moments)
    found["epochs"] = [{printable(k): _or_none(v) for k, v in row.items()} for row in record.epochs]
    found["samples"] = samples
    found["plane"] = None if probe is None else _plane(moments, probe, record)
    return found


def _series(moments: Sequence[Moment], kind: str, max_arrays: int) -> list[tuple[str, list[Array], list[int]]]:
    """Return name, arrays and indices of their moments, for each array of a kind; only the final shape is kept."""
    names = list(dict.fromkeys(name for moment in moments for name in getattr(moment, kind)))
    series = []
    for name in names[:max_arrays]:
        there = [(k, getattr(m, kind)[name]) for k, m in enumerate(moments) if name in getattr(m, kind)]
        kept = [(k, array) for k, array in there if array.shape == there[-1][1].shape and array.size]
        if kept:
            series.append((printable(name), [array for _, array in kept], [k for k, _ in kept]))
    return series


def _map(arrays: Sequence[Array], moments: list[int]) -> dict[str, Any]:
    """Return the maps of an array over time, as rows by columns; large arrays are averaged in blocks."""
    shape = arrays[0].shape
    if len(shape) < 2:
        blocks = 1, -(-arrays[0].size // (MOST_ROWS * WIDE))
        tables = [block_means(as_real(array).reshape(1, -1), blocks) for array in arrays]
        columns = min(tables[0].size, WIDE)
        found = _packed_tables(tables, moments, -(-tables[0].size // columns), columns)
        where = ["entry"]
    else:
        rows, columns = len(arrays[0]), arrays[0].size // len(arrays[0])
        blocks = -(-rows // MOST_ROWS), -(-columns // MOST_COLUMNS)
        tables = [block_means(as_real(array).reshape(rows, columns), blocks) for array in arrays]
        found = _packed_tables(tables, moments, *tables[0].shape)
        where = ["row", "column"] if len(shape) == 2 else ["first axis", "the others joined"]
    note = "" if max(blocks) == 1 else f"a cell is the mean of {blocks[0]} × {blocks[1]} entries"
    if arrays[0].dtype.kind == "c":
        note = "absolute values"
    return found | {"shape": shape_text(shape), "where": where, "block": blocks, "note": note}


def _neurons(arrays: Sequence[Array], moments: list[int], samples: int) -> dict[str, Any]:
    """Return the outputs of a part for each sample over time."""
    inner = arrays[0].shape[1:]
    each = math.prod(inner)
    note = "absolute values" if arrays[0].dtype.kind == "c" else ""
    tables = [as_real(array).reshape(samples, each) for array in arrays]
    most = MOST_ROWS * WIDE
    if each > most:
        tables = [table[:, :most] for table in tables]
        note = f"the first {most:,} of {each:,}" + (f", {note}" if note else "")
        each = most
    columns = inner[-1] if len(inner) > 1 and 1 < inner[-1] <= MOST_COLUMNS and each < most else min(each, WIDE)
    word = "neuron" if len(inner) < 2 else "entry"
    found = _packed_tables(tables, moments, -(-each // columns), columns)
    return found | {"shape": shape_text(inner), "samples": samples, "word": word, "note": note}


def _packed_tables(tables: Sequence[Array], moments: list[int], rows: int, columns: int) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        whole = np.stack(tables).astype("<f4")
    finite = np.abs(whole[np.isfinite(whole)])
    return {"rows": rows, "columns": columns, "size": int(whole[0].size), "kept": moments,
            "largest": float(finite.max(initial=0.0)), "data": base64.b64encode(whole.tobytes()).decode()}  # fmt: skip


def _gradient_sizes(moments: Sequence[Moment]) -> dict[str, list[float | None]]:
    """Return the root mean square of each weight's gradient at each moment (of all arrays if none has two axes)."""
    names = list(dict.fromkeys(name for m in moments for name, g in m.gradients.items() if g.ndim > 1))
    names = names or list(dict.fromkeys(name for m in moments for name in m.gradients))

    def size(array: Array | None) -> float | None:
        if array is None or not array.size:
            return None
        value = root_mean_square(array)
        return value if math.isfinite(value) else None

    return {printable(name): [size(m.gradients.get(name)) for m in moments] for name in names[:40]}


def _plane(moments: Sequence[Moment], probe: Probe, record: Record) -> dict[str, Any] | None:
    """Return the outputs of the model on the plane over time, and whether they are classes or a surface."""
    there = [(k, m.scores) for k, m in enumerate(moments) if m.scores is not None]
    if not there or probe.columns is None or probe.low is None or probe.high is None:
        return None
    outputs = there[-1][1].shape[1]
    there = [(k, scores) for k, scores in there if scores.shape[1] == outputs]
    tables = _packed_tables([scores for _, scores in there], [k for k, _ in there], GRID, GRID)
    known = probe.truth
    truth = None if known is None or known.ndim > 2 else known.reshape(len(known), -1)
    labels = None if truth is None else _class_indices(truth, outputs)
    has_classes = labels is not None or (truth is None and outputs > 1)
    kind = "classes" if has_classes and _are_scores([scores for _, scores in there]) else "surface"
    level, shown = None, labels
    if kind == "surface":
        shown = None if truth is None else [_or_none(float(v)) for v in truth[:, 0]]
        if truth is not None:
            level = 0.0 if set(np.unique(truth)) <= {-1.0, 0.0, 1.0} else None
            values = truth[:, 0].astype(float)
            tables["largest"] = max(tables["largest"], float(np.abs(values[np.isfinite(values)]).max(initial=0.0)))
    count = max(outputs, 2)
    words = [printable(word) for word in record.classes or ()]
    words += [f"class {k}" for k in range(len(words), count)]
    names = record.features or []
    return tables | {
        "grid": GRID, "outputs": outputs, "kind": kind, "level": level, "words": words[:count], "truth": shown,
        "low": probe.low.tolist(), "high": probe.high.tolist(),
        "features": [printable(names[c]) if c < len(names) else f"column {c}" for c in probe.columns],
        "points": None if probe.points is None else probe.points.round(6).tolist(),
    }  # fmt: skip


def _are_scores(outputs: Sequence[Array]) -> bool:
    """Tell whether outputs are scores of classes: several columns, or one with values about 0 to 1."""
    values = np.concatenate([array.ravel() for array in outputs])
    values = values[np.isfinite(values)]
    return outputs[0].shape[1] > 1 or bool(values.size and values.min() >= -0.5 and values.max() <= 1.5)


def _class_indices(truth: Array, outputs: int) -> list[int] | None:
    """Return targets as class indices, or ``None`` if they are not classes."""
    if truth.shape[1] > 1:
        hot = truth.shape[1] == outputs and bool(np.isin(truth, (0, 1)).all()) and bool((truth.sum(axis=1) == 1).all())
        return [int(k) for k in truth.argmax(axis=1)] if hot else None
    flat = truth[:, 0]
    whole = bool(np.isfinite(flat).all()) and bool((flat == np.rint(flat)).all())
    return [int(k) for k in flat] if whole and flat.min() >= 0 and flat.max() < max(outputs, 2) else None


def _samples(record: Record, probe: Probe) -> list[dict[str, Any]]:
    """Return the samples as texts: row number, inputs and target."""
    found = []
    for k, row in enumerate(probe.rows):
        y = None if probe.y is None else np.asarray(probe.y[k]).ravel()
        words = None
        if y is not None:
            words = ", ".join(_number_text(v) for v in y[:12].tolist()) + (" …" if y.size > 12 else "")
            if record.classes and y.size == len(record.classes) and set(y.tolist()) <= {0, 1}:
                words = printable(record.classes[int(y.argmax())])
            elif record.classes and y.size == 1 and y[0] == int(y[0]) and 0 <= y[0] < len(record.classes):
                words = printable(record.classes[int(y[0])])
        found.append({"row": row, "x": _inputs(record, probe.x, k), "y": words})
    return found


def _inputs(record: Record, x: Any, k: int) -> str:
    if not isinstance(x, np.ndarray):
        return "several arrays"
    row = x[k]
    if row.ndim > 1:
        return f"{shape_text(row.shape)} numbers"
    values = [_number_text(v) for v in row.ravel()[:8].tolist()]
    if record.features:
        values = [f"{printable(name)} {value}" for name, value in zip(record.features, values, strict=False)]
    return ", ".join(values) + (" …" if row.size > 8 else "")


def _number_text(value: float) -> str:
    return short_number(value).replace("-", "−")


def _shown_size(array: Array) -> int:
    return min(array.size, MOST_ROWS * MOST_COLUMNS)


def _or_none(value: Any) -> Any:
    """Return a number that JSON can hold, or ``None`` if it is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else json.loads(json.dumps(value))
