"""The drawings of a run: its network, and the graph of a loss before and after training."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..solver import graph_loss
from .deltas import deltas_of
from .run import PreparedRun, prepare

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..viz import NetworkDrawing


def draw_plan(plan: PreparedRun, sample: tuple[Any, Any] | None, **style: Any) -> NetworkDrawing:
    """Draw the network of a plan, with the values for a sample x (1, n_in) and y (1, n_out) if it is given."""
    from ..viz import draw_network

    problem, layers = plan.problem, plan.network.layers
    style |= {"inputs": problem.features, "outputs": problem.classes or (problem.target,)}
    if sample is None:
        return draw_network(layers, **style)
    return draw_network(layers, sample[0], deltas=deltas_of(layers, *sample, plan.solver), **style)


def draw_graph(plan: PreparedRun, path: Path) -> None:
    """Draw the graph of the first rows' loss, with the weights and gradients from before the training."""
    from ..viz import draw

    loss, names, title = first_loss(plan)
    draw(loss, path, names=names, title=title, direction="TB")  # fits the width of a page


def row_loss(plan: PreparedRun, part: str) -> tuple[Tensor, dict[str, Any], str]:
    """Return the loss of the first row of a part after training, with gradients, names of values and a title."""
    x, y = (rows[:1] for rows in plan.parts[part])
    loss = graph_loss(deepcopy(plan.network.layers), x, y, solver=plan.solver)  # a copy: the network gets no gradients
    loss.backward(retain_graph=True, retain_grads=True)
    names = {"x": x, "y": y, "loss": loss}
    return loss, names, f"{plan.solver.loss} of the first row of the {part} part, after the training"


def first_loss(plan: PreparedRun) -> tuple[Tensor, dict[str, Any], str]:
    """Return the loss of the first rows before training, with gradients, names of values and a title."""
    fresh = prepare(plan.options)  # untrained weights, as gradients are tiny after training
    x, y = fresh.rows()
    loss = graph_loss(fresh.network.layers, x, y, solver=plan.solver)
    loss.backward(retain_graph=True, retain_grads=True)
    rows = f"{len(x)} rows" if len(x) > 1 else "1 row"
    return loss, {"x": x, "y": y, "loss": loss}, f"{plan.solver.loss} of {rows}, before training"
