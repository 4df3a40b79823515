"""Writing the output files of a training run: all of them or none."""

from __future__ import annotations

from pathlib import Path

from ..files import write_folder, write_whole
from ..io import save_network
from .pictures import draw_graph
from .run import Outcome


def write_run(folder: Path, outcome: Outcome, report: bool = False) -> tuple[list[str], str]:
    """Write plots, graph, history and weights into a folder.

    If the graph cannot be drawn, it is written as DOT text, so that a long training is not lost.

    Args:
        folder: the target folder, created if necessary; existing files are replaced once all new ones are complete.
        outcome: the outcome of the run.
        report: whether to write a page with all results as well.

    Returns:
        The names of the files, and a note if the graph could not be drawn (else an empty string).

    Raises:
        OSError: the folder cannot be written to.
    """
    from ..viz import plot_confusion, plot_history, save_figure

    names, note = ["loss.png", "graph.svg", "history.json", "model.safetensors"], ""
    with write_folder(folder) as staging:
        save_figure(plot_history(outcome.history), staging / "loss.png")
        if outcome.scores:
            names.insert(1, "confusion.png")
            classes = outcome.run.problem.classes
            save_figure(plot_confusion(outcome.scores.matrix, classes), staging / "confusion.png")
        try:
            draw_graph(outcome.run, staging / "graph.svg")
        except RuntimeError as error:
            note = f"graph.svg could not be drawn: {error}"
            names[names.index("graph.svg")] = "graph.dot"
            draw_graph(outcome.run, staging / "graph.dot")
        write_whole(staging / "history.json", outcome.history.to_json().encode() + b"\n")
        if report:
            from .page import page

            names.insert(0, "report.html")
            write_whole(staging / "report.html", page(outcome).encode())
        save_network(staging / "model.safetensors", outcome.run.network)
    return names, note
