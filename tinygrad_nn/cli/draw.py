"""The commands that show: `graph`, `explore` and `network`, of the trained network or of a person's own function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..printable import printable
from .app import app
from .compare import with_options_of
from .deltas import deltas_of
from .errors import teach
from .options import flag, named, option, real, whole
from .train import train

if TYPE_CHECKING:
    from ..viz import NetworkDrawing
    from .run import PreparedRun

_PANEL = "Drawing"
_LEFT_OUT = ("out", "report", "progress", "quiet")
SECONDS, WIDTH = 1.2, 1200  # of a step of a GIF, and in pixels

Function = Annotated[
    str | None,
    typer.Argument(help="Draw what this function of your own returns, instead.", metavar="FILE.py:FUNCTION",
                   show_default=False),
]  # fmt: skip
Inputs = Annotated[
    str | None,
    option(_PANEL, "Arguments for it, a tuple or a dict; by default `inputs` in its file.", metavar="FILE.py:NAME"),
]
Rows = Annotated[
    str | None,
    option(_PANEL, "The loss of these rows of the table, counted from 1; by default the first two to train on.",
            metavar="N,N,...", show_default=False),
]  # fmt: skip
Untrained = Annotated[bool, flag("--untrained", _PANEL, "With the weights that the training begins with.")]
Title = Annotated[str | None, option(_PANEL, "Text above it.", metavar="TEXT", show_default=False)]
Theme = Annotated[str, named(_PANEL, "light or dark.")]
NoNames = Annotated[bool, flag("--no-names", _PANEL, "Not to name values by the variables of your function.")]
Quiet = Annotated[bool, flag("--quiet", _PANEL, "Print nothing but errors.")]


class Source(NamedTuple):
    """Where what is drawn comes from: a person's function, or else a network that the options say how to train."""

    function: str | None
    inputs: str | None
    options: dict[str, Any]
    quiet: bool
    untrained: bool
    rows: str | None = None
    named: bool = False


def _command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a command that takes the options of `train` as well, which say what network to draw."""
    return lambda own: app.command(name)(with_options_of(own, train, _LEFT_OUT))


@_command("graph")
def graph(
    function: Function = None,
    inputs: Inputs = None,
    out: Annotated[
        str, option(_PANEL, "Where to: .svg .png .pdf .html .dot .json or .mmd (Mermaid).", metavar="FILE")
    ] = "graph.svg",
    color: Annotated[
        str | None, named(_PANEL, "Colour by gradient (its norm), nan, time, bytes, or error (against the equations "
                          "written by hand).", show_default=False),
    ] = None,
    depth: Annotated[
        int | None, option(_PANEL, "Fold layers nested deeper than this; 0 folds all.", metavar="N",
                            show_default=False),
    ] = None,
    direction: Annotated[str, named(_PANEL, "LR, left to right, or TB, top to bottom.")] = "LR",
    theme: Theme = "light",
    title: Title = None,
    rows: Rows = None,
    untrained: Untrained = False,
    no_values: Annotated[bool, flag("--no-values", _PANEL, "Leave out the numbers.")] = False,
    no_gradients: Annotated[bool, flag("--no-gradients", _PANEL, "Leave out the gradients.")] = False,
    no_constants: Annotated[bool, flag("--no-constants", _PANEL, "Leave out constants.")] = False,
    no_shapes: Annotated[bool, flag("--no-shapes", _PANEL, "Leave out shapes and dtypes.")] = False,
    no_repeats: Annotated[
        bool, flag("--no-repeats", _PANEL, "Draw the first of several equal blocks, with a count.")
    ] = False,
    no_names: NoNames = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Draw the graph of a computation, with values and gradients.

    Without FILE.py:FUNCTION: the loss of two flowers, by a network trained on iris. The options from Data on say what
    network that is.
    """
    hidden = {"values": no_values, "gradients": no_gradients, "constants": no_constants, "shapes": no_shapes,
              "repeats": no_repeats}  # fmt: skip
    style: dict[str, Any] = {name: not hide for name, hide in hidden.items()}
    style |= {"color": color, "depth": depth, "direction": direction.upper(), "theme": theme, "title": title}
    source = Source(function, inputs, options, quiet, untrained, rows, not no_names)
    teach(lambda: _graph(source, out, style))


def _graph(source: Source, out: str, style: dict[str, Any]) -> None:
    from ..viz.graph.drawing import SUFFIXES, draw
    from ..viz.graph.picture import Style

    _place(out, SUFFIXES)
    Style(**style)  # what is wrong with it is said before a long training
    result, names, title, plan = _result(source)
    measures = _errors(plan, source) if style["color"] == "error" and plan is not None else None
    if style["gradients"] or style["color"] in ("gradient", "nan"):
        backward(result)
    style["title"] = title if style["title"] is None else style["title"]
    drawing = draw(result, out, names=names, measures=measures, **style)
    _told(source.quiet, f"The graph of {len(drawing.view):,} nodes is in {out}.")


@_command("explore")
def explore(
    function: Function = None,
    inputs: Inputs = None,
    out: Annotated[
        str | None, option(_PANEL, "Where to; by default explore.html.", metavar="FILE.html", show_default=False)
    ] = None,
    gif: Annotated[
        str | None, option(_PANEL, "The same walk as an animated GIF.", metavar="FILE.gif", show_default=False)
    ] = None,
    seconds: Annotated[float, real(_PANEL, "That a step of the GIF is shown.")] = SECONDS,
    width: Annotated[int, whole(_PANEL, "Of the GIF, in pixels.")] = WIDTH,
    theme: Annotated[str, named(_PANEL, "Of the GIF: light or dark; the page follows its reader's system.")] = "light",
    title: Title = None,
    rows: Rows = None,
    untrained: Untrained = False,
    no_names: NoNames = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Write a page that steps through a computation, forward and back.

    Without FILE.py:FUNCTION: the loss of two flowers, by a network trained on iris. The options from Data on say what
    network that is.
    """
    film = {"seconds": seconds, "width": width, "theme": theme}
    source = Source(function, inputs, options, quiet, untrained, rows, not no_names)
    teach(lambda: _explore(source, out, gif, film, title))


def _explore(source: Source, out: str | None, gif: str | None, film: dict[str, Any], title: str | None) -> None:
    from .. import viz

    plain = {"seconds": SECONDS, "width": WIDTH, "theme": "light"}
    odd = [f"{name}={film[name]}" for name in film if film[name] != plain[name]]
    if gif is None and odd:
        raise ValueError(f"{odd[0]} is for a GIF; add gif=FILE.gif.")
    _known(film["theme"])
    if gif is None and out is None:
        out = "explore.html"
    if gif is not None:
        _place(gif, (".gif",))
    if out is not None:
        _place(out, (".html", ".htm"))
    result, names, found, _ = _result(source)
    if gif is not None:  # first, as it is what can be too long
        viz.animate(result, gif, names=names, **film)
        _told(source.quiet, f"The animation is in {gif}.")
    if out is not None:
        viz.explore(result, out, title=title or found, names=names)
        _told(source.quiet, f"The page is in {out}; open it in a browser.")


@_command("network")
def network(
    function: Function = None,
    inputs: Inputs = None,
    out: Annotated[str, option(_PANEL, "Where to: .svg .png .pdf or .html.", metavar="FILE")] = "network.svg",
    row: Annotated[
        int | None, option(_PANEL, "Write into the neurons what this row of the table, counted from 1, makes of them: "
                            "z, a, and delta on the way back.", metavar="N", show_default=False),
    ] = None,
    limit: Annotated[int, whole(_PANEL, "Draw at most so many neurons of a layer.")] = 12,
    theme: Theme = "light",
    title: Title = None,
    untrained: Untrained = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Draw a network: its neurons and weights, and what a row of data makes of them.

    Without FILE.py:FUNCTION: a network trained on iris. The options from Data on say what network that is.

    A function of your own returns a list of layers, or (model, x), or (model, x, y).
    """
    style = {"limit": limit, "theme": theme, "title": title}
    teach(lambda: _network(Source(function, inputs, options, quiet, untrained), out, row, style))


def _network(source: Source, out: str, row: int | None, style: dict[str, Any]) -> None:
    from ..viz.network.drawing import SUFFIXES
    from .pictures import draw_plan

    _place(out, SUFFIXES)
    _known(style["theme"])
    if style["limit"] < 3:
        raise ValueError(f"limit={style['limit']}; of a layer at least 3 neurons are drawn.")
    if source.function is not None:
        _own_network(source, source.function, row, style).save(out)
    else:
        plan = _trained(source, [] if row is None else [row])
        if row is not None and style["title"] is None:
            classes = plan.problem.classes
            name = f": {classes[plan.problem.targets[row - 1].argmax()]}" if classes else ""
            style["title"] = f"Row {row} of {Path(plan.problem.name).name}{name}"
        draw_plan(plan, None if row is None else plan.rows([row]), **style).save(out)
    _told(source.quiet, f"The network is in {out}.")


def _own_network(source: Source, function: str, row: int | None, style: dict[str, Any]) -> NetworkDrawing:
    from ..viz import draw_network
    from .own import call, network_of, solver_for

    _unused(source)
    found = network_of(call(function, source.inputs))
    model = found.model
    if found.x is None:
        if row is not None:
            raise ValueError(f"row={row} is a row of data, and {function} returns none; return (model, x).")
        return draw_network(model, **style)
    x = _pick(found.x, row or 1, "x")
    plain = draw_network(model, x, **style)  # says what cannot be drawn
    if found.y is None:
        return plain
    solver = solver_for(model, source.options["loss"])
    return draw_network(model, x, deltas=deltas_of(model, x, _pick(found.y, row or 1, "y"), solver), **style)


def backward(result: Any) -> None:
    """Leave gradients in a graph for it to be drawn with, from ones; those that are there already stay."""
    import numpy as np

    from ..graph.view import GraphView, tensors_of

    if any(part.grad is not None for part in GraphView(result)):
        return
    with np.errstate(all="ignore"):  # a gradient that is not finite is shown
        live = [part.sum() for part in tensors_of(result) if part.node is not None]
        if live:
            sum(live[1:], live[0]).backward(retain_graph=True, retain_grads=True)


def _result(source: Source) -> tuple[Any, dict[str, Any] | None, str | None, PreparedRun | None]:
    """Return what to draw, names for its parts, a title, and the plan if it is the trained network's loss."""
    if source.function is not None:
        from .own import call, names_of, result_of

        _unused(source)
        own = call(source.function, source.inputs)
        return result_of(own, source.options["loss"]), names_of(own) if source.named else None, None, None
    from ..solver import graph_loss

    rows = _numbers(source.rows)
    plan = _trained(source, rows)
    x, y = plan.rows(rows)
    loss = graph_loss(plan.network.layers, x, y, solver=plan.solver)
    many = f"{len(x)} rows" if len(x) > 1 else "1 row"
    title = f"{plan.solver.loss} of {many} of {Path(plan.problem.name).name}"
    when = "before" if source.untrained else "after"
    return loss, {"x": x, "y": y, "loss": loss}, f"{title}, {when} training", plan


def _errors(plan: PreparedRun, source: Source) -> Any:
    from ..compare import compare_gradients

    x, y = plan.rows(_numbers(source.rows))
    return compare_gradients(plan.network.layers, x, y, solver=plan.solver, rng=plan.options.seed)


def _trained(source: Source, rows: list[int]) -> PreparedRun:
    """Return the plan of a network that has been trained, unless it is not to be."""
    from .run import Options, learn, prepare

    if source.inputs is not None:
        raise ValueError(f"inputs={source.inputs} are for a function of your own; add FILE.py:FUNCTION.")
    plan = prepare(Options(**source.options))
    plan.rows(rows)  # raises if there is no such row
    if not source.untrained:
        history = learn(plan, progress=not source.quiet and sys.stderr.isatty())
        how = f"{history.epochs:,} {'epoch' if history.epochs == 1 else 'epochs'}"
        _told(source.quiet, f"Trained on {plan.problem.name} for {how}: loss {history.loss[-1]:.4f}.")
    return plan


def _numbers(text: str | None) -> list[int]:
    if text is None:
        return []
    found = text.split(",")
    if not all(part.strip().isdecimal() for part in found):
        raise ValueError(f"rows={text}: write whole numbers with commas between them, e.g. rows=1,51.")
    return [int(part) for part in found]


def _pick(data: Any, row: int, what: str) -> Any:
    """Return one row of a person's data as a table, (1, columns)."""
    import numpy as np

    from ..tensor import Tensor

    table = np.asarray(data.data if isinstance(data, Tensor) else data)
    table = table.reshape(1, -1) if table.ndim < 2 and what == "x" else table
    if not 1 <= row <= len(table):
        raise ValueError(f"row={row}: {what} has the rows 1 to {len(table)}.")
    return table[row - 1 : row]


def _unused(source: Source) -> None:
    """Refuse options that say how the trained network is made, where a person's own function is drawn."""
    from .run import Options

    plain = Options()
    names = [part.name for part in fields(Options) if part.name != "loss"]  # the loss is asked for in both cases
    odd = [name.replace("_", "-") for name in names if source.options[name] != getattr(plain, name)]
    odd += ["untrained"] * source.untrained + ["rows"] * (source.rows is not None)
    if odd:
        raise ValueError(f"--{odd[0]} is for the network that is trained here; it has no effect on your own function.")


def _place(path: str, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    from ..files import check_folder

    target = Path(path)
    if target.suffix.lower() not in suffixes:
        raise ValueError(f"{path} is no name for it; it can be written as {', '.join(suffixes)}.")
    if target.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it.")
    if not target.parent.is_dir():
        raise ValueError(f"the folder {target.parent} does not exist; make it before writing {target.name}.")
    check_folder(target.parent)


def _known(theme: str) -> None:
    from ..viz.theme import THEMES

    if theme not in THEMES:
        raise ValueError(f"theme={theme}; it is one of {', '.join(THEMES)}.")


def _told(quiet: bool, text: str) -> None:
    if not quiet:
        typer.echo(printable(text, "\n"))
