"""The command `graph`: the graph of a computation, with values and gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from .drawing import (
    PANEL,
    Function,
    Inputs,
    Model,
    NoNames,
    Quiet,
    Row,
    Rows,
    Source,
    Theme,
    Title,
    Untrained,
    check_place,
    drawing_command,
    drawing_on_failure,
    print_line,
    row_numbers,
    rows_of,
    source_result,
)  # fmt: skip
from .errors import reporting_errors
from .options import flag, option, word

if TYPE_CHECKING:
    from .run import PreparedRun


@drawing_command("graph")
def graph(
    function: Function = None,
    inputs: Inputs = None,
    out: Annotated[
        str, option(PANEL, "Output file: .svg .png .pdf .html .dot .json .mmd (Mermaid) or .model-explorer.json.",
                    metavar="FILE")
    ] = "graph.svg",
    color: Annotated[
        str | None, word(PANEL, "Colour by gradient (its norm), nan, time, bytes, or error (against the equations "
                          "written by hand).", show_default=False),
    ] = None,
    depth: Annotated[
        int | None, option(PANEL, "Fold layers nested deeper than this; 0 folds all.", metavar="N",
                            show_default=False),
    ] = None,
    direction: Annotated[str, word(PANEL, "LR, left to right, or TB, top to bottom.")] = "LR",
    theme: Theme = "light",
    title: Title = None,
    rows: Rows = None,
    row: Row = None,
    model: Model = None,
    untrained: Untrained = False,
    no_values: Annotated[bool, flag("--no-values", PANEL, "Leave out the numbers.")] = False,
    no_gradients: Annotated[bool, flag("--no-gradients", PANEL, "Leave out the gradients.")] = False,
    no_constants: Annotated[bool, flag("--no-constants", PANEL, "Leave out constants.")] = False,
    no_shapes: Annotated[bool, flag("--no-shapes", PANEL, "Leave out shapes and dtypes.")] = False,
    no_repeats: Annotated[
        bool, flag("--no-repeats", PANEL, "Draw the first of several equal blocks, with a count.")
    ] = False,
    no_names: NoNames = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Draw the graph of a computation, with values and gradients.

    Without FILE.py:FUNCTION: the loss of two flowers, by a network trained on iris. The options from Data on choose
    another network.
    """
    hidden = {"values": no_values, "gradients": no_gradients, "constants": no_constants, "shapes": no_shapes,
              "repeats": no_repeats}  # fmt: skip
    style: dict[str, Any] = {name: not hide for name, hide in hidden.items()}
    style |= {"color": color, "depth": depth, "direction": direction.upper(), "theme": theme, "title": title}

    def work() -> None:
        source = Source(function, inputs, options, quiet, untrained, rows_of(rows, row), not no_names, model)
        _graph(source, out, style)

    reporting_errors(work)


def _graph(source: Source, out: str, style: dict[str, Any]) -> None:
    from ..viz.graph.drawing import SUFFIXES, draw
    from ..viz.graph.picture import Style

    check_place(out, SUFFIXES)
    Style(**style)  # checked before a long training
    with drawing_on_failure(source, out, theme=style["theme"], direction=style["direction"]):
        result, names, title, run = source_result(source)
    measures = _gradient_errors(run, source) if style["color"] == "error" and run is not None else None
    if style["gradients"] or style["color"] in ("gradient", "nan"):
        ensure_gradients(result)
    style["title"] = title if style["title"] is None else style["title"]
    drawing = draw(result, out, names=names, measures=measures, **style)
    print_line(source.quiet, f"The graph of {len(drawing.view):,} nodes is in {out}.")
    if drawing.picture.note and not out.endswith(".json"):
        print_line(source.quiet, f"It is folded to what can be read: {drawing.picture.note}")


def ensure_gradients(result: Any) -> None:
    """Run a backward pass from ones, so that gradients can be drawn, unless the graph already has gradients."""
    import numpy as np

    from ..graph.view import GraphView, tensors_of

    if any(part.grad is not None for part in GraphView(result)):
        return
    with np.errstate(all="ignore"):  # the drawing shows gradients that are not finite
        live = [part.sum() for part in tensors_of(result) if part.node is not None]
        if live:
            sum(live[1:], live[0]).backward(retain_graph=True, retain_grads=True)


def _gradient_errors(run: PreparedRun, source: Source) -> Any:
    from ..compare import compare_gradients

    x, y = run.rows(row_numbers(source.rows))
    return compare_gradients(run.network.layers, x, y, solver=run.solver, rng=run.options.seed)
