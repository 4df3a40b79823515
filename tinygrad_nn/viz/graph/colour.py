"""Coloring the nodes of a drawing by the gradient's norm, the origin of NaN, time, bytes or the gradient's error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from ...graph.summary import bytes_text
from ...graph.view import GraphNode, GraphView, Summary, short_number
from .repeats import scope_name

# Blue to orange for diverging scales, light to dark brown for rising ones: readable with color blindness as well.
DIVERGING = ("#084a91", "#2f7dba", "#7fb8dd", "#c0dcef", "#e9f2f9", "#fdeede", "#fdc58f", "#f08c3c", "#b04a00")
RISING = ("#fffbe8", "#fee9a8", "#fec44f", "#f5922a", "#c9560c", "#7a2804")
SIGNED = ("#7a3300", "#c9560c", "#f6b98a", "#f7f7f7", "#8fc1e3", "#0072b2", "#003c66")  # of weights, as in draw_network
NEUTRAL, ZERO, BROKEN = "#f0f1f3", "#2b2f36", "#8c2d6b"
REPEATS = 3  # runs of each operation that is timed; the fastest counts


@dataclass(frozen=True, slots=True)
class Shade:
    """A fill color, a readable text color on it, and its text in a node or in the legend.

    `lines` are further lines of text in a node.
    """

    fill: str
    ink: str
    text: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Legend:
    """The meaning of the colors."""

    title: str
    entries: tuple[Shade, ...]


@dataclass(frozen=True)
class Scale:
    """A stepwise color scale: a value has color i if it is below ``limits[i]``, and the last color above all limits.

    Attributes:
        title: the measured quantity.
        limits, fills, words: limits, colors and legend texts; there is one more color and text than limits.
        show: formats a value as text in a node.
        join: combines the values of the nodes in a folded node.
        zero: whether exact zeros and non-finite values have their own entries in the legend.
    """

    title: str
    limits: tuple[float, ...]
    fills: tuple[str, ...]
    words: tuple[str, ...]
    show: Callable[[float], str]
    join: Callable[[Sequence[float]], float]
    zero: bool = False

    def shade(self, value: float) -> Shade:
        """Return the color of a value."""
        if not math.isfinite(value):
            return shade(BROKEN, self.show(value))
        if self.zero and value == 0:
            return shade(ZERO, self.show(value))
        return shade(self.fills[sum(value >= limit for limit in self.limits)], self.show(value))

    @property
    def legend(self) -> Legend:
        """The legend with all steps of the scale."""
        zero = [shade(ZERO, "exactly 0")] if self.zero else []
        steps = [shade(fill, word) for fill, word in zip(self.fills, self.words, strict=True)]
        broken = [shade(BROKEN, "NaN, infinite")] if self.zero else []
        return Legend(self.title, (*zero, *steps, *broken))


def shade(fill: str, text: str) -> Shade:
    """Return a fill with black or white text, whichever has more contrast (relative luminance of WCAG)."""
    parts = [int(fill[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
    return Shade(fill, "#000000" if luminance > 0.179 else "#ffffff", text)  # equal contrast at 0.179


def _seconds_text(value: float) -> str:
    return f"{value * 1e6:.3g} µs" if value < 1e-3 else f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def _farthest_from_one(values: Sequence[float]) -> float:
    """Return the norm that is farthest from 1 on a log scale."""
    return max(values, key=lambda v: math.inf if not math.isfinite(v) or v == 0 else abs(math.log(v)))


SCALES = {
    "gradient": Scale(
        "norm of the gradient: vanishing in blue, exploding in orange",
        (1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6), DIVERGING,
        ("below 1e-8", "1e-8 to 1e-6", "1e-6 to 1e-4", "1e-4 to 0.01", "0.01 to 1", "1 to 100", "100 to 1e4",
         "1e4 to 1e6", "above 1e6"),
        lambda v: f"norm of grad {short_number(v)}", _farthest_from_one, zero=True,
    ),
    "bytes": Scale(
        "bytes of the value", (1e3, 1e4, 1e5, 1e6, 1e7), RISING,
        ("below 1 kB", "1 to 10 kB", "10 to 100 kB", "100 kB to 1 MB", "1 to 10 MB", "above 10 MB"), bytes_text, sum,
    ),
    "time": Scale(
        "time of the forward operation, as a share of the whole", (0.01, 0.03, 0.1, 0.3, 0.6), RISING,
        ("below 1 %", "1 to 3 %", "3 to 10 %", "10 to 30 %", "30 to 60 %", "above 60 %"), _seconds_text, sum,
    ),
    "error": Scale(
        "relative error of the gradient", (1e-12, 1e-9, 1e-6, 1e-3, 1.0), RISING,
        ("below 1e-12", "to 1e-9", "to 1e-6", "to 1e-3", "to 1", "above 1"),
        lambda v: f"error {v:.1e}", max,
    ),
}  # fmt: skip
BIRTH = (
    (NEUTRAL, "finite"),
    ("#fdc58f", "gradient: carried on"),
    ("#b04a00", "gradient: NaN or infinity born here"),
    ("#dfa6cb", "value: carried on"),
    (BROKEN, "value: NaN or infinity born here"),
)
SHARE = "time, as a share of the whole"
COLOURS = (*SCALES, "nan")


def colour(
    view: GraphView, groups: Mapping[str, Sequence[int]], by: str, measured: Any = None, homes: Sequence[str] = ()
) -> tuple[dict[str, Shade], Legend]:
    """Return the color of each drawn item, and the legend.

    Args:
        view: the graph.
        groups: the numbers of the nodes that each drawn item stands for, by its key.
        by: one of `COLOURS`.
        measured: a mapping from names or numbers of nodes to seconds, bytes or relative errors, or a report with
            ``rows`` that have a ``name`` and ``max_rel``; times are measured if none are given. A mapping may have a
            ``title`` for the legend, and a method ``describe`` that returns lines of text for node numbers.
        homes: the scope that each node is drawn in; a node is also found as ``"scope name"``.

    Raises:
        ValueError: there is no value for any node.
    """
    if by == "nan":
        births = _births(view)
        worst = {key: max(births[n] for n in numbers) for key, numbers in groups.items()}
        shades = {key: shade(BIRTH[k][0], BIRTH[k][1] if k else "") for key, k in worst.items()}
        return shades, Legend("where NaN and infinity come from", tuple(shade(*entry) for entry in BIRTH))
    scale = SCALES[by]
    values = _values(view, by, measured, homes)
    joined = {key: scale.join(found) for key, numbers in groups.items()
              if (found := [values[n] for n in numbers if n in values])}  # fmt: skip
    own = measured if isinstance(measured, Mapping) else None  # a report also has a title, but not for a legend
    legend = replace(scale.legend, title=getattr(own, "title", SHARE if by == "time" and own else scale.title))
    describe = getattr(own, "describe", lambda numbers: ())
    total = (sum(values.values()) or 1.0) if by == "time" else 1.0
    shades = {key: replace(shade(scale.shade(value / total).fill, scale.show(value)), lines=describe(groups[key]))
              for key, value in joined.items()}  # fmt: skip
    return shades, legend


def _values(view: GraphView, by: str, numbers: Any, homes: Sequence[str]) -> dict[int, float]:
    if by == "gradient":
        values = {node.number: _norm(node.grad) for node in view if node.grad is not None}
        missing = "no gradients are left in this graph; call loss.backward(retain_graph=True, retain_grads=True) first."
    elif by == "bytes" and numbers is None:
        return {node.number: float(node.array.nbytes) for node in view}
    else:
        rows = getattr(numbers, "rows", None)
        wanted = {row.name: row.max_rel for row in rows} if rows is not None else dict(numbers or {})
        values = {}
        for node in view:
            for key in _keys(node, homes):
                if key in wanted:
                    values[node.number] = float(wanted[key])
                    break
        unit = {"time": "seconds", "bytes": "bytes"}.get(by, "its relative error")
        missing = f"pass measures=, a dict of {unit} by the name or number of a node, {{'W': 1e-9}}; none of it fits."
        if by == "time" and numbers is None:
            values = measure_times(view)
            missing = "this graph has no operations."
    if not values:
        raise ValueError(f"color={by!r}: {missing}")
    return values


def measure_times(view: GraphView) -> dict[int, float]:
    """Run the forward of each operation of a graph `REPEATS` times, and return the shortest time of each in seconds.

    The operations are measured only here, so that recording a graph has no overhead for timing.
    """
    seconds = {}
    with np.errstate(all="ignore"):
        for part in view:
            node = part.node
            if node is None or node.primitive is None or node.args is None:
                continue
            given = node.primitive.call_meta(node.meta)
            best = math.inf
            for _ in range(REPEATS):
                start = perf_counter()
                node.primitive.forward(*node.args, **given)
                best = min(best, perf_counter() - start)
            seconds[part.number] = best
    return seconds


def _keys(node: GraphNode, homes: Sequence[str]) -> list[Any]:
    """Return the keys by which the user can refer to a node: its number, and its names with or without the scope."""
    keys: list[Any] = [node.number]
    home = scope_name(homes[node.number]) if homes else ""
    own = (node.node.notes or {}).get("name") if node.node else None
    for name in dict.fromkeys((node.name, own)):
        if name:
            keys += [f"{home} {name}", name] if home else [name]
    return keys


def _norm(grad: Summary) -> float:
    return math.nan if grad.nan or grad.infinite else grad.norm


def _births(view: GraphView) -> list[int]:
    """Return the index in `BIRTH` of each node; "born" means that all arguments (or later gradients) are finite."""
    bad = [bool(node.value.nan or node.value.infinite) for node in view]
    ill = [node.grad is not None and bool(node.grad.nan or node.grad.infinite) for node in view]
    had, met = [False] * len(view), [False] * len(view)  # bad arguments; ill gradients of its users
    for edge in view.edges:
        had[edge.target] |= bad[edge.source]
        met[edge.source] |= ill[edge.target]
    return [
        (3 if had[n] else 4) if bad[n] else (1 if met[n] else 2) if ill[n] else 0 for n in range(len(view))
    ]  # fmt: skip
