"""`draw`: draw a graph in a notebook or into a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...common.printable import counted, printable
from ...common.spelling import named_options
from ...files import write_whole
from ...graph import GraphView
from ..model.variables import view_with_names
from ..notebook.iframe import WrittenFile
from .dot import box_numbers, to_dot
from .mermaid import to_mermaid
from .model_explorer import SUFFIX, to_model_explorer
from .page import to_fragment, to_page
from .picture import Picture, Style, compose, full_picture, title_of
from .render import render, tidy_svg


class _LastError:
    """The default of `result`, for which the last error is drawn."""

    def __repr__(self) -> str:
        return "<the last error>"


LAST_ERROR: Any = _LastError()
LONGEST = 100  # characters of an error message in the title
SUFFIXES = (".svg", ".png", ".pdf", ".html", ".dot", ".json", ".mmd", SUFFIX)


@dataclass(frozen=True)
class Drawing:
    """A drawn graph. A notebook displays it (as a table if Graphviz is missing); `save` writes it to a file.

    Attributes:
        view: the graph.
        picture: the drawn items and their style; a graph that is too large is folded, and ``picture.note`` says how.
        full_picture: a function that returns the picture of the whole graph.
    """

    view: GraphView
    picture: Picture
    full_picture: Callable[[], Picture] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def dot(self) -> str:
        """The DOT text of the whole graph, never folded, because other programs read it."""
        return to_dot(self.full_picture() if self.picture.note and self.full_picture else self.picture)

    @cached_property
    def mermaid(self) -> str:
        """The Mermaid text."""
        return to_mermaid(self.picture)

    @cached_property
    def svg(self) -> str:
        """The SVG text, which can be embedded in an HTML page."""
        return self._drawn(to_dot(self.picture))

    def _drawn(self, dot: str) -> str:
        about = {item.key: item.about for item in self.picture.items}
        about |= {f"e{number}": printable(arrow.about) for number, arrow in enumerate(self.picture.arrows)}
        labels = self.picture.labels
        about |= {f"b{n}": printable(labels.get(path, path)) for path, n in box_numbers(self.picture).items()}
        title = self.picture.style.title or title_of(self.view)
        return tidy_svg(render(dot, "svg").decode(), about, printable(title))

    @cached_property
    def html(self) -> str:
        """An HTML page with the picture and a table of all nodes; without Graphviz, with Mermaid text."""
        if self._missing:
            return to_page(self.view, self.picture, None, self._missing, self.mermaid)
        picture = self.picture
        bare = replace(picture, note="", style=replace(picture.style, title=None))  # the page shows both itself
        svg = self.svg if picture.style.title is None and not picture.note else self._drawn(to_dot(bare))
        return to_page(self.view, self.picture, svg)

    @property
    def source(self) -> Any:
        """The drawing as a ``graphviz.Source``, for other engines, formats and viewers of the graphviz package."""
        import graphviz

        return graphviz.Source(self.dot)

    def _repr_svg_(self) -> str | None:
        return None if self._missing else self.svg

    def _repr_html_(self) -> str | None:
        return to_fragment(self.view, self._missing, self.mermaid, self.picture.roles) if self._missing else None

    @cached_property
    def _missing(self) -> str:
        """The reason why no picture can be drawn, or an empty text."""
        try:
            self.svg  # noqa: B018
        except RuntimeError as error:
            return str(error)
        return ""

    def __repr__(self) -> str:
        folded = f", folded to {len(self.picture.items)}" if self.picture.note else ""
        nodes = counted(len(self.view), "node")
        return f"<drawing of {nodes}{folded}; a notebook shows it, .save('graph.svg') writes it>"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing to a file, completely or not at all, and return the path.

        Args:
            path: a file that ends in .svg, .png, .pdf (needs Graphviz itself), .html (a page without scripts and
                network), .dot, .json (the whole graph), .model-explorer.json (for Model Explorer) or .mmd.

        Raises:
            ValueError: the suffix is not one of these.
            RuntimeError: no program of Graphviz is installed; .html, .dot, .json and .mmd do not need one.
            FileNotFoundError: the folder does not exist.
        """
        suffix = _suffix(path)
        if suffix in (".png", ".pdf"):
            return write_whole(path, render(to_dot(self.picture), suffix[1:]))
        if suffix == SUFFIX:
            return write_whole(path, to_model_explorer(self.view, self.picture.style.title).encode())
        if suffix == ".json":
            return write_whole(path, (self.view.to_json(indent=1) + "\n").encode())
        text: str = getattr(self, {".svg": "svg", ".html": "html", ".dot": "dot", ".mmd": "mermaid"}[suffix])
        return WrittenFile(write_whole(path, text.encode()))


@named_options()
def draw(
    result: Any = LAST_ERROR,
    path: str | os.PathLike[str] | None = None,
    *,
    direction: str = "LR",
    values: bool = True,
    gradients: bool = True,
    constants: bool = True,
    shapes: bool = True,
    theme: str = "light",
    depth: int | None = None,
    title: str | None = None,
    names: Any = None,
    repeats: bool = True,
    color: str | None = None,
    measures: Any = None,
) -> Drawing:
    """Draw the graph behind a result: data with corners, operations rounded, operands as arrows, scopes as boxes.

    Gradients are shown if ``backward(retain_graph=True, retain_grads=True)`` was called before. A graph of more than
    300 parts is folded to a readable size (a loop to one step), with a note; `.dot` and `.json` contain all of it.

    Args:
        result: a Tensor, several in a list, tuple or dict, or a `GraphView`; or an exception, by default the last one:
            then the graph computed before it is drawn, with the failed operation in red.
        path: a file to save the drawing to; see `Drawing.save` for the suffixes.
        direction: ``"LR"`` from left to right, or ``"TB"`` from top to bottom.
        values, gradients, constants, shapes: whether to show them.
        theme: ``"light"`` or ``"dark"``.
        depth: fold scopes nested deeper than this, 0 for all of them, into one node each.
        title: text above the graph.
        names: a dict of names for Tensors and arrays without a name of their own, by default the variables of the
            caller and their contents; ``{}`` for none. Or a model, whose parameters are named by their attribute
            paths, such as ``[0].W`` in a list of layers; other leaves are then drawn outside of its layers.
        repeats: whether to show each of several equal blocks; ``False`` draws the first, as ``block0 … block11 × 12``.
        color: color the nodes by ``"gradient"`` (its norm), ``"nan"`` (where NaN and infinity arise and spread),
            ``"bytes"``, ``"time"`` (measured by running each operation again) or ``"error"`` (given as `measures`).
        measures: a dict of seconds, bytes or relative errors by the name or number of a node, or a `ComparisonReport`.

    Returns:
        A `Drawing`.

    Raises:
        TypeError: the result has no graph.
        ValueError: an option or suffix is unknown.
        RuntimeError: the graph was freed, or no program of Graphviz is installed.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> x = Tensor(3.0, name="x")
        >>> drawing = draw(x * x, values=False)
        >>> print(drawing.mermaid.split("  classDef")[0])
        flowchart LR
          n0["x<br/>scalar float64"]:::leaf
          n1(["#215;<br/>scalar float64"]):::output
          n0 -->|0| n1
          n0 -->|1| n1
        <BLANKLINE>
    """
    style = Style(direction, values, gradients, constants, shapes, theme, depth, title, repeats, color)
    if path is not None:
        _suffix(path)
    if result is LAST_ERROR or isinstance(result, BaseException):
        from ..failure import failed_view, failure_of, last_error

        failure = failure_of(last_error() if result is LAST_ERROR else result)
        result = failed_view(failure)
        what = f"{type(failure.error).__name__}: {failure.error}"
        style = replace(style, title=title or (what if len(what) <= LONGEST else f"{what[:LONGEST]}…"))
    named = view_with_names(result, names)
    view, told = named.view, (style, measures, named.inputs, named.roles)
    drawing = Drawing(view, compose(view, *told), lambda: full_picture(view, *told))
    if path is not None:
        drawing.save(path)
    return drawing


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = SUFFIX if Path(path).name.lower().endswith(SUFFIX) else Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"a drawing is saved as {', '.join(SUFFIXES)}; {str(path)!r} ends in none of these.")
    return suffix
