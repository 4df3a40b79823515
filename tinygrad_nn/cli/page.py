"""The report of a run: a single HTML page with all results, which needs no network access."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..common.printable import counted, html_text
from ..solver.history import cell_text
from .pictures import draw_run, row_loss
from .report import difference_table, score_table, training_facts
from .run import Options, Outcome, Scores, short_list

SHOWN = 30  # epochs in the table; the curves and history.json have all
STYLE = """body { max-width: 76rem; }
section { margin: 2.4rem 0 0; }
h2 { font-size: 1.2rem; margin: 0 0 .3rem; } h3 { font-size: .95rem; margin: 1.4rem 0 .3rem; }
p { margin: .3rem 0 .7rem; max-width: 48rem; } a { color: var(--first); }
.soft { color: var(--muted); } .tight { font-size: .9rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .9rem; margin: 1rem 0 0; }
nav a { padding: .25rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin: 0; }
.cards div { background: var(--soft); border-radius: 8px; padding: .6rem .9rem; }
.cards dt { color: var(--muted); font-size: .85rem; }
.cards dd { margin: 0; font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.bad { color: var(--second); }
.facts th { font-weight: 400; white-space: nowrap; } .facts td { max-width: 44rem; }
.share { text-align: right; background: color-mix(in srgb, var(--first) calc(var(--s) * 45%), transparent); }
.picture { border: 1px solid var(--line); border-radius: 8px; padding: .5rem; }
.picture .dark { display: none; }
@media (prefers-color-scheme: dark) { .picture .light { display: none; } .picture .dark { display: block; } }
#network td { white-space: nowrap; } .wide td, .wide th { overflow-wrap: break-word; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
iframe { width: 100%; height: min(85vh, 52rem); border: 1px solid var(--line); border-radius: 8px; }
details > summary { padding: .3rem 0; }
@media (max-width: 48rem) {
  th, td { padding: .28rem .45rem; }
  iframe { width: 100vw; margin: 0 -1.2rem; height: 88vh; border-width: 1px 0; border-radius: 0; }
}
"""


def page(outcome: Outcome) -> str:
    """Return the report of a run as HTML. All text from the user is escaped; the only script is the explorer's."""
    from ..files import POLICY
    from ..viz.graph.page import AT_SIZE, html_page
    from ..viz.training.live import STYLE as CHARTS

    run = outcome.run
    walk = _explorer(outcome)
    script = re.search(r"script-src ('sha256-[^']+')", walk)  # a srcdoc frame inherits the policy of this page
    policy = POLICY + (f"; script-src {script[1]}" if script else "")
    parts: list[tuple[str, str, str]] = [
        ("scores", "Scores", _scores(outcome)),
        ("curves", "The training", _curves(outcome)),
        ("gradients", "Gradients by three roads", _roads(outcome)),
        ("graph", "The computation graph", _graph(outcome)),
        ("network", "The network", _network(outcome)),
        ("explorer", "One step, forward and back", _frame(walk)),
        ("made", "How it was made", _reproduction(outcome)),
    ]
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, name, _ in parts)
    body = [_cards(outcome), f'<nav aria-label="Contents">{links}</nav>']
    body.append("<main>")
    body += [f'<section id="{key}">\n<h2>{escape(name)}</h2>\n{html}\n</section>' for key, name, html in parts]
    body.append("</main>")
    title = f"{Path(run.problem.name).name}: a network trained to predict {run.problem.target}"
    return html_page(title, "\n".join(body), style=CHARTS + AT_SIZE + STYLE, policy=policy)


def _cards(outcome: Outcome) -> str:
    """Return the four most important numbers as HTML cards."""
    history, scored = outcome.history, outcome.scored
    number = outcome.scores.accuracy.overall if outcome.scores else outcome.errors.r2 if outcome.errors else 0.0
    cards = [(f"{'accuracy' if outcome.scores else 'R²'}, {scored} part", cell_text(number), ""),
             ("training loss", cell_text(history.loss[-1]), "")]  # fmt: skip
    if history.val_loss:
        cards.append(("validation loss", cell_text(history.val_loss[-1]), ""))
    agree = outcome.roads.agree
    cards.append(("gradients", "agree" if agree else "do NOT agree", "" if agree else ' class="bad"'))
    return '<dl class="cards">' + "".join(
        f"<div><dt>{escape(name)}</dt><dd{mark}>{escape(value)}</dd></div>" for name, value, mark in cards
    ) + "</dl>"


def _scores(outcome: Outcome) -> str:
    from ..viz.graph.page import html_table

    rows = len(outcome.run.parts[outcome.scored][0])
    note = "" if outcome.scored == "test" else " There is no test part."
    head = f"<p>On the {counted(rows, 'row')} of the {outcome.scored} part.{note}</p>"
    if outcome.scores is None:
        off = outcome.errors
        return head if off is None else head + (
            f"<p>RMSE = {off.rmse:.4g} and MAE = {off.mae:.4g}, in the unit of the target; R² = {off.r2:.4f}: the "
            "share of its variance that is explained.</p>")  # fmt: skip
    scores, classes = outcome.scores, outcome.run.problem.classes
    each = html_table(*score_table(scores, classes), frozenset({1, 2, 3, 4}))
    return f"{head}<h3>Confusion matrix</h3>\n{_confusion(scores, classes)}\n<h3>Each class</h3>\n{each}"


def _confusion(scores: Scores, classes: Iterable[str]) -> str:
    """Return the confusion matrix as an HTML table; darker cells have a larger share of their true class."""
    names = [html_text(name) for name in classes]
    totals = scores.matrix.sum(axis=1)
    heads = "".join(f'<th scope="col" class="number">{name}</th>' for name in names)
    lines = []
    for name, counts, total in zip(names, scores.matrix.tolist(), totals.tolist(), strict=True):
        cells = "".join(f'<td class="share" style="--s:{n / max(total, 1):.2f}">{n:,}</td>' for n in counts)
        lines.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    head = f'<thead><tr><th scope="col">true \\ predicted</th>{heads}</tr></thead>'
    table = "<table>\n" + "\n".join([head, "<tbody>", *lines, "</tbody></table>"])
    return f'<div class="wide" tabindex="0" role="region" aria-label="Confusion matrix">{table}</div>'


def _curves(outcome: Outcome) -> str:
    from ..viz.graph.page import html_table
    from ..viz.training.live import chart

    history = outcome.history
    columns = {"loss": history.loss, "val_loss": history.val_loss, **history.metrics}
    columns = {name: values for name, values in columns.items() if values}
    charts = []
    for name in columns:
        if not name.startswith("val_"):
            found = {"training": columns[name], "validation": columns.get(f"val_{name}", [])}
            charts.append(chart(name, {key: values for key, values in found.items() if values}))
    if outcome.flow is not None:  # a training that was resumed has no gradients of the epochs before
        norms = {name: [math.nan] * (len(history) - len(v)) + v for name, v in outcome.flow.norms.items()}
        charts.append(chart("gradient of W, root mean square", norms, log=True))
    count = len(history)
    shown = range(count) if count <= SHOWN else [*range(SHOWN // 2), *range(count - SHOWN // 2, count)]
    rows = [[f"{k + 1:,}", *(cell_text(values[k]) for values in columns.values())] for k in shown]
    left = "" if count <= SHOWN else f"<p>The first and the last {SHOWN // 2}; history.json has all {count:,}.</p>"
    table = html_table(("epoch", *columns), rows, frozenset(range(len(columns) + 1)))
    return (
        f'<div class="charts">{"".join(charts)}</div>\n'
        f"<details><summary>The epochs as a table</summary>{left}{table}</details>"
    )


def _roads(outcome: Outcome) -> str:
    from ..viz.graph.page import html_table

    roads = outcome.roads
    table = html_table(*difference_table(roads), frozenset({1, 2, 3, 4}))
    mark = "" if roads.agree else ' class="bad"'
    return (
        "<p>The gradient of the first batch before training: by the equations written by hand, by the graph, and "
        "numerically. The numbers are the largest difference over the largest entry of each gradient.</p>\n"
        f"<p{mark}><strong>{escape(roads.verdict)}</strong></p>\n{table}"
    )


def _graph(outcome: Outcome) -> str:
    from ..viz import draw

    loss, names, title = row_loss(outcome.run, outcome.scored)
    words = f"<p>The {html_text(title)}. Each box holds a value and the gradient that arrived at it.</p>"
    light, dark = (draw(loss, names=names, theme=theme) for theme in ("light", "dark"))
    try:
        return words + _picture(lambda theme: (light if theme == "light" else dark).svg, "Computation graph")
    except RuntimeError as error:  # Graphviz is not installed
        return f'{words}<p class="note">{html_text(error)}</p><pre>{escape(light.mermaid)}</pre>'


def _network(outcome: Outcome) -> str:
    from ..viz import summary

    run, part = outcome.run, outcome.scored
    x, y = (rows[:1] for rows in run.parts[part])
    name = "" if not run.problem.classes else f", {run.problem.classes[int(y[0].argmax())]},"
    words = (
        f"The same moment, after the training, with the first row of the {part} part{name} in it: z and a in the "
        "neurons, δ below them. Blue weights are positive, orange ones negative, thick ones large."
    )
    drawn = _picture(lambda theme: draw_run(run, (x, y), theme=theme, title="").svg, "Network")
    return f"<p>{html_text(words)}</p>{drawn}\n<h3>Layers</h3>\n{summary(run.network.layers, x)._repr_html_()}"


def _picture(svg: Callable[[str], str], name: str) -> str:
    """Return a drawing in both themes; the color scheme of the reader's system selects one."""
    from ..viz.graph.page import at_readable_size

    parts = []
    for theme in ("light", "dark"):
        text = svg(theme)
        if theme == "dark":
            text = re.sub(r'\bid="', 'id="dark-', text)
        parts.append(f'<div class="{theme}">{at_readable_size(text, name)}</div>')
    return f'<div class="picture">{"".join(parts)}</div>'


def _explorer(outcome: Outcome) -> str:
    from ..graph.view import GraphView
    from ..viz.explorer.explore import page as explorer
    from ..viz.explorer.story import tell_story

    loss, names, title = row_loss(outcome.run, outcome.scored)
    return explorer(tell_story(GraphView(loss, names=names)), title[:1].upper() + title[1:])


def _frame(walk: str) -> str:
    return (
        "<p>The same computation operation by operation, with the rule and the numbers of each: play it, or step with "
        "the arrow keys.</p>\n<details><summary>Open the explorer</summary>\n"
        f'<iframe title="Explorer" sandbox="allow-scripts" loading="lazy" srcdoc="{escape(walk, quote=True)}"></iframe>'
        "\n</details>"
    )


def _reproduction(outcome: Outcome) -> str:
    run = outcome.run
    rows = [(name, text) for name, text in training_facts(run)]
    rows += [("features", short_list(run.problem.features, "columns")), ("versions", _versions())]
    lines = "".join(f'<tr><th scope="row">{html_text(name)}</th><td>{html_text(text)}</td></tr>' for name, text in rows)
    return (
        f"<p>This command makes the same network again, bit for bit:</p>\n"
        f"<pre>{html_text(command(run.options))}</pre>\n"
        f'<table class="facts"><tbody>{lines}</tbody></table>'
    )


def command(options: Options) -> str:
    """Return the command line of a run, quoted for a shell.

    Example:
        >>> command(Options(data="my table.csv", target="y", scale=False, epochs=5))
        "tinygrad-nn train --data 'my table.csv' --target y --no-scale --epochs 5 --report"
    """
    words = ["tinygrad-nn", "train"]
    for option in options.changed():
        value, name = getattr(options, option), option.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", str(value)]
    return shlex.join([*words, "--report"])


def _versions() -> str:
    found = [f"Python {sys.version.split()[0]}"]
    for name in ("tinygrad-nn", "numpy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} of a checkout")
    return ", ".join(found)
