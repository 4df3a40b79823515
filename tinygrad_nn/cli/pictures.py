"""The drawings of a run: its network, and the graph of a loss before and after training."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.printable import counted
from ..solver import graph_loss
from .deltas import deltas_of
from .run import PreparedRun, prepare

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..viz import NetworkDrawing


def draw_run(run: PreparedRun, sample: tuple[Any, Any] | None, **style: Any) -> NetworkDrawing:
    """Draw the network of a run, with the values for a sample x (1, n_in) and y (1, n_out) if it is given."""
    from ..viz import draw_network

    problem, layers = run.problem, run.network.layers
    style |= {"inputs": problem.features, "outputs": problem.classes or (problem.target,)}
    if sample is None:
        return draw_network(layers, **style)
    return draw_network(layers, sample[0], deltas=deltas_of(layers, *sample, run.solver), **style)


def draw_graph(run: PreparedRun, path: Path) -> None:
    """Draw the graph of the first rows' loss, with the weights and gradients from before the training."""
    from ..viz import draw

    fresh = prepare(run.options)  # untrained weights, as gradients are tiny after training
    loss, names, title = loss_of(fresh, *fresh.rows())
    loss.backward(retain_graph=True, retain_grads=True)
    draw(loss, path, names=names, title=f"{title}, before training", direction="TB")  # fits the width of a page


def row_loss(run: PreparedRun, part: str) -> tuple[Tensor, dict[str, Any], str]:
    """Return the loss of the first row of a part after training, with gradients, names of values and a title."""
    x, y = (rows[:1] for rows in run.parts[part])
    loss = graph_loss(deepcopy(run.network.layers), x, y, solver=run.solver)  # a copy: the network gets no gradients
    loss.backward(retain_graph=True, retain_grads=True)
    names = {"x": x, "y": y, "loss": loss}
    return loss, names, f"{run.solver.loss} of the first row of the {part} part, after the training"


def loss_of(run: PreparedRun, x: Any, y: Any) -> tuple[Tensor, dict[str, Any], str]:
    """Return the loss of some rows, names of its values, and a title."""
    loss = graph_loss(run.network.layers, x, y, solver=run.solver)
    return loss, {"x": x, "y": y, "loss": loss}, f"{run.solver.loss} of {counted(len(x), 'row')}"
