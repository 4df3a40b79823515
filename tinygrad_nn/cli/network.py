"""The command `network`: draw neurons and weights, optionally with the values that a row of data gives them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from .deltas import deltas_of
from .drawing import (
    PANEL,
    Function,
    Inputs,
    Model,
    Quiet,
    Source,
    Theme,
    Title,
    Untrained,
    check_place,
    check_theme,
    drawing_command,
    print_line,
    refuse_unused,
    source_run,
)  # fmt: skip
from .errors import reporting_errors
from .options import integer, option

if TYPE_CHECKING:
    from ..viz import NetworkDrawing


@drawing_command("network")
def network(
    function: Function = None,
    inputs: Inputs = None,
    out: Annotated[str, option(PANEL, "Output file: .svg .png .pdf or .html.", metavar="FILE")] = "network.svg",
    row: Annotated[
        int | None, option(PANEL, "Write into the neurons their values for this row of the table, counted from 1: "
                            "z, a, and the delta of the backward pass.", metavar="N", show_default=False),
    ] = None,
    limit: Annotated[int, integer(PANEL, "Largest number of neurons drawn per layer.")] = 12,
    theme: Theme = "light",
    title: Title = None,
    model: Model = None,
    untrained: Untrained = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Draw a network: its neurons and weights, and the values that a row of data gives them.

    Without FILE.py:FUNCTION: a network trained on iris. The options from Data on choose another network.

    A function of your own returns a list of layers, or (model, x), or (model, x, y).
    """
    style = {"limit": limit, "theme": theme, "title": title}
    reporting_errors(
        lambda: _network(Source(function, inputs, options, quiet, untrained, model=model), out, row, style)
    )


def _network(source: Source, out: str, row: int | None, style: dict[str, Any]) -> None:
    from ..viz.network.drawing import SUFFIXES
    from .pictures import draw_run

    check_place(out, SUFFIXES)
    check_theme(style["theme"])
    if style["limit"] < 3:
        raise ValueError(f"limit={style['limit']}; it must be at least 3, the fewest neurons drawn per layer.")
    if source.function is not None:
        _own_network(source, source.function, row, style).save(out)
    else:
        run = source_run(source, [] if row is None else [row])
        if row is not None and style["title"] is None:
            classes = run.problem.classes
            name = f": {classes[run.problem.targets[row - 1].argmax()]}" if classes else ""
            style["title"] = f"Row {row} of {Path(run.problem.name).name}{name}"
        draw_run(run, None if row is None else run.rows([row]), **style).save(out)
    print_line(source.quiet, f"The network is in {out}.")


def _own_network(source: Source, function: str, row: int | None, style: dict[str, Any]) -> NetworkDrawing:
    from ..viz import draw_network
    from .user_code import call_object, network_of, solver_for

    refuse_unused(source)
    found = network_of(call_object(function, source.inputs))
    model = found.model
    if found.x is None:
        if row is not None:
            raise ValueError(f"row={row} is a row of data, but {function} returns no data; return (model, x).")
        return draw_network(model, **style)
    x = _pick(found.x, row or 1, "x")
    plain = draw_network(model, x, **style)  # raises the error for what cannot be drawn
    if found.y is None:
        return plain
    solver = solver_for(model, source.options["loss"])
    return draw_network(model, x, deltas=deltas_of(model, x, _pick(found.y, row or 1, "y"), solver), **style)


def _pick(data: Any, row: int, name: str) -> Any:
    """Return one row of the user's data as an array of shape (1, columns)."""
    import numpy as np

    from ..tensor import Tensor

    table = np.asarray(data.data if isinstance(data, Tensor) else data)
    table = table.reshape(1, -1) if table.ndim < 2 and name == "x" else table
    if not 1 <= row <= len(table):
        raise ValueError(f"row={row}: {name} has the rows 1 to {len(table)}.")
    return table[row - 1 : row]
