"""`draw_network`: draw a network as neurons and weighted edges, optionally with the values for one sample."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...common.printable import counted
from ...common.spelling import named_options
from ...files import write_whole
from ...graph.view import short_number
from ..graph.page import AT_SIZE, at_readable_size, html_page
from ..graph.picture import shorten
from ..model.values import array_of, in_eval_mode, sequential_parts, weights
from ..notebook.iframe import WrittenFile
from ..theme import THEMES
from .marks import SIDE, Dot, Link, to_raster, to_svg

Array = np.ndarray[Any, Any]
SUFFIXES = (".svg", ".png", ".pdf", ".html")
HEAD, FOOT = 86, 74  # space above and below the neurons


@dataclass(frozen=True)
class NetworkDrawing:
    """A drawn network. A notebook displays it; `save` writes it to a file.

    Attributes:
        columns: the neurons of each layer, the input first; `heads` has the two lines of text above each.
        links: the weights between neurons that are shown.
        radius: the radius of a neuron; `size` is the width and height of the drawing.
        largest: the largest absolute weight.
    """

    columns: tuple[tuple[Dot, ...], ...]
    heads: tuple[tuple[str, str], ...]
    links: tuple[Link, ...]
    radius: float
    size: tuple[float, float]
    largest: float
    theme: str
    title: str | None

    @cached_property
    def svg(self) -> str:
        """The SVG text, which can be embedded in an HTML page."""
        return to_svg(self)

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        layers = counted(len(self.columns) - 1, "layer")
        return f"<drawing of {layers}; a notebook shows it, .save('network.svg') writes it>"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing as .svg, .png, .pdf or .html, completely or not at all, and return the path.

        Raises:
            ValueError: the suffix is not one of these.
            FileNotFoundError: the folder does not exist.
        """
        suffix = _suffix(path)
        if suffix in (".png", ".pdf"):
            return write_whole(path, to_raster(self, suffix[1:]))
        title = self.title or "Neural network"
        if suffix == ".svg":
            return WrittenFile(write_whole(path, self.svg.encode()))
        body = f"<main>{at_readable_size(to_svg(self, titled=False), title)}</main>"  # the page has the title above
        return WrittenFile(write_whole(path, html_page(title, body, theme=self.theme, style=AT_SIZE).encode()))


@named_options()
def draw_network(
    model: Any,
    x: Any = None,
    path: str | os.PathLike[str] | None = None,
    *,
    deltas: Sequence[Any] | None = None,
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[Any] | None = None,
    limit: int = 12,
    theme: str = "light",
    title: str | None = None,
) -> NetworkDrawing:
    r"""Draw a network: a circle for each neuron, a line for each weight, thicker for larger ones, orange if negative.

    .. math:: z = a W^T + b, \qquad a = f(z), \qquad \delta = \partial L / \partial z

    Args:
        model: a layer, or a list or `Sequential` of layers, with ``W`` (n_out, n_in) and ``b`` (n_out,), or ``weight``
            and ``bias``; a part without weights, such as ``np.tanh`` or a dropout, belongs to the layer before it. If x
            is given, all parts must be callable with an array.
        x: one sample, ``(n_in,)`` or ``(1, n_in)``; its z and a are written into the neurons.
        path: a file to save the drawing to: .svg, .png, .pdf or .html.
        deltas: the delta of each layer for this sample, ``(n_out,)``, written below the neurons. For one sample it is
            the gradient of the bias: ``BackProp(model, FeedForward(model, x), y, solver=solver).db``.
        inputs, outputs: names of the columns of the data and of the classes.
        limit: the largest number of neurons drawn per layer, at least 3; the number of the others is written.
        theme: ``"light"`` or ``"dark"``.
        title: text above the drawing.

    Returns:
        A `NetworkDrawing`.

    Raises:
        TypeError: the model is not a layer or a list of layers.
        ValueError: shapes do not fit together, or an option is unknown.

    Example:
        >>> class Pair:
        ...     W, b, activation = np.array([[1.0, -2.0]]), np.array([0.5]), "linear"
        >>> drawing = draw_network([Pair()])
        >>> drawing.heads, drawing.links[1].about
        ((('input', '2'), ('layer 1', '1 linear')), 'weight of layer 1 from neuron 2 to neuron 1: -2')
    """
    if theme not in THEMES:
        raise ValueError(f"theme={theme!r}; it must be one of {', '.join(map(repr, THEMES))}.")
    if limit < 3:
        raise ValueError(f"limit={limit!r}; it must be at least 3, the fewest neurons drawn per layer.")
    if path is not None:
        _suffix(path)
    before, stages = stages_of(model)
    W, b, kinds = _read_weights(stages)
    with in_eval_mode(model), np.errstate(all="ignore"):  # the drawing shows numbers that are not finite
        z, a = _forward(before, stages, x)
    back = _check_deltas(deltas, W)
    widths = [W[0].shape[1], *(w.shape[0] for w in W)]
    names = [_names("inputs", inputs, widths[0]), _names("outputs", outputs, widths[-1])]
    shown = [_drawn_neurons(width, limit) for width in widths]
    tall = max(len(rows) for rows in shown)
    radius = _radius([*z, *a], tall)
    pitch = 2 * radius + (28 if back else 16 if tall <= 16 else 7)
    left = SIDE + radius + max((7.0 * len(name) for name in names[0]), default=0)
    step = max(150.0, 2 * radius + 26 * math.sqrt(tall) + 70, *(7.0 * len(kind) + 50 for kind in kinds))
    height = HEAD + tall * pitch + FOOT + (34 if title else 0)
    columns, places = [], []
    for k, rows in enumerate(shown):
        top = HEAD + (34 if title else 0) + (tall - len(rows)) * pitch / 2 + pitch / 2
        dots = tuple(
            _dot(k, index, left + k * step, top + row * pitch, widths[k], b, z, a, back, names, len(W))
            for row, index in enumerate(rows)
        )
        columns.append(dots)
        places.append({dot.index: (dot.x, dot.y) for dot in dots if dot.index is not None})
    finite = [float(np.abs(w[np.isfinite(w)]).max(initial=0.0)) for w in W]
    largest = max(finite)
    links = tuple(
        Link(start, end, float(w[i, j]) / (largest or 1.0),
             f"weight of layer {k} from neuron {j + 1} to neuron {i + 1}: {short_number(float(w[i, j]))}")
        for k, w in enumerate(W, start=1) for i, end in places[k].items() for j, start in places[k - 1].items()
    )  # fmt: skip
    right = SIDE + radius + max((7.0 * len(name) for name in names[1]), default=0)
    legend = 500.0 if all(np.isfinite(w).all() for w in W) else 620.0
    width = max(left + step * len(W) + right, legend, 9.5 * len(shorten(title or "")) + 2 * SIDE)
    heads = tuple(
        ("input" if k == 0 else f"layer {k}", f"{widths[k]:,} {kinds[k - 1] if k else ''}".strip())
        for k in range(len(widths))
    )
    drawing = NetworkDrawing(tuple(columns), heads, links, radius, (width, height), largest, theme, title)
    if path is not None:
        drawing.save(path)
    return drawing


class Stage(NamedTuple):
    """A drawn layer, with the parts without weights that follow it."""

    layer: Any
    W: Array
    b: Array | None
    after: list[Any]


def stages_of(model: Any) -> tuple[list[Any], list[Stage]]:
    """Return the parts before the first layer with weights, and the layers with weights as stages."""
    before: list[Any] = []
    stages: list[Stage] = []
    for part in sequential_parts(model):
        if hasattr(part, "W") and hasattr(part, "b"):
            stages.append(Stage(part, array_of(part.W), array_of(part.b), []))
        elif hasattr(part, "bias") and array_of(getattr(part, "weight", 0)).ndim == 2:
            stages.append(Stage(part, array_of(part.weight), None if part.bias is None else array_of(part.bias), []))
        elif callable(part) and not weights(part):
            (stages[-1].after if stages else before).append(part)
        else:
            raise TypeError(
                "a network is drawn from a list of layers that have W and b, or weight and bias, and functions; "
                f"this has a {type(part).__name__}. Pass the layers that run one after the other: "
                "[model.hidden, np.tanh, model.out]."
            )
    if not stages:
        raise TypeError("a network is drawn from a list of layers that have W and b, such as [Layer(4, 6, 'relu')].")
    return before, stages


def _read_weights(stages: list[Stage]) -> tuple[list[Array], list[Array | None], list[str]]:
    """Return weights, biases and names of activations, after checking the shapes."""
    W, b = [stage.W for stage in stages], [stage.b for stage in stages]
    for k, (w, bias) in enumerate(zip(W, b, strict=True), start=1):
        if w.ndim != 2 or (bias is not None and bias.shape != w.shape[:1]):
            shapes = " and ".join(str(array.shape) for array in (w, bias) if array is not None)
            raise ValueError(f"layer {k}: W is (n_out, n_in) and b (n_out,); these are {shapes}.")
        if k > 1 and w.shape[1] != W[k - 2].shape[0]:
            raise ValueError(
                f"layer {k} takes {counted(w.shape[1], 'column')}, but layer {k - 1} gives {W[k - 2].shape[0]}."
            )
    kinds = [[getattr(stage.layer, "activation", ""), *stage.after] for stage in stages]
    return W, b, [shorten(", ".join(filter(None, map(_name_of, kind)))) for kind in kinds]


def _name_of(part: Any) -> str:
    if isinstance(part, str):
        return part
    title = part.title() if callable(getattr(part, "title", None)) else type(part).__name__  # title of a module
    return str(getattr(part, "__name__", None) or getattr(part, "name", None) or title)


def _forward(before: list[Any], stages: list[Stage], x: Any) -> tuple[list[Array], list[Array]]:
    """Return z of each layer, and a of the input and of each layer; both lists are empty if there is no sample."""
    if x is None:
        return [], []
    width = stages[0].W.shape[1]
    sample = np.asarray(array_of(x), dtype=stages[0].W.dtype)
    if sample.shape == (width,):
        sample = sample[None]
    for part in before:
        sample = array_of(part(sample))
    if sample.shape != (1, width):
        raise ValueError(f"x is one sample of {width} numbers; this has shape {np.shape(array_of(x))}. Pass x[0].")
    a, z = [sample], []  # (1, n)
    for stage in stages:
        z.append(a[-1] @ stage.W.T + (0.0 if stage.b is None else stage.b))
        out = array_of(stage.layer(a[-1]))
        for part in stage.after:
            out = array_of(part(out))
        a.append(out)
    return [part[0] for part in z], [part[0] for part in a]


def _check_deltas(deltas: Sequence[Any] | None, W: list[Array]) -> list[Array]:
    if deltas is None:
        return []
    back = [array_of(delta).reshape(-1) for delta in deltas]
    if [delta.size for delta in back] != [w.shape[0] for w in W]:
        raise ValueError(
            f"deltas has one array for each layer, of {[w.shape[0] for w in W]} numbers for one sample; these have "
            f"{[delta.size for delta in back]}."
        )
    return back


def _names(option: str, names: Sequence[Any] | None, width: int) -> list[str]:
    if names is None:
        return []
    if len(names) != width:
        raise ValueError(f"{option} needs {width} names; it got {len(names)}.")
    return [shorten(str(name)) for name in names]


def _radius(numbers: list[Array], tall: int) -> float:
    """Return a radius at which the numbers fit into the circles, or a default for empty circles."""
    if not numbers:
        return 15.0 if tall <= 16 else 9.0
    longest = 2 + max(len(_two_digits(number)) for array in numbers for number in array)
    return max(26.0, math.hypot(3.2 * longest + 3, 11.5))  # half the width of a line, and half the height of two


def _two_digits(number: Any) -> str:
    """Return a number with two significant digits as short text: ``-1.2e9``."""
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{float(number) + 0.0:.2g}")


def _drawn_neurons(width: int, limit: int) -> list[int | None]:
    """Return the indices of the neurons to draw, with ``None`` for the gap."""
    if width <= limit:
        return list(range(width))
    head = limit // 2
    return [*range(head), None, *range(width - (limit - 1 - head), width)]


def _dot(
    k: int, index: int | None, x: float, y: float, width: int, b: list[Array | None], z: list[Array], a: list[Array],
    back: list[Array], names: list[list[str]], last: int,
) -> Dot:  # fmt: skip
    where = f"layer {k}" if k else "input"
    if index is None:
        return Dot(None, x, y, (), "", "", f"more neurons of {where} that are not drawn")
    about = [f"neuron {index + 1} of {where}"]
    lines: list[str] = []
    below = ""
    bias = b[k - 1] if k else None
    if bias is not None:
        about.append(f"bias {short_number(float(bias[index]))}")
    if a:
        if k:
            lines.append(f"z {_two_digits(z[k - 1][index])}")
            about.append(f"z {short_number(float(z[k - 1][index]))}")
        lines.append(f"{'a' if k else 'x'} {_two_digits(a[k][index])}")
        about.append(f"{'a' if k else 'x'} {short_number(float(a[k][index]))}")
    if back and k:
        below = f"δ {_two_digits(back[k - 1][index])}"
        about.append(f"δ {short_number(float(back[k - 1][index]))}")
    named = names[0] if k == 0 else names[1] if k == last else []
    beside = named[index] if named else ""
    return Dot(index, x, y, tuple(lines), below, beside, " · ".join([*about, *([beside] if beside else [])]))


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"a network is saved as {', '.join(SUFFIXES)}; {str(path)!r} ends in none of these.")
    return suffix
