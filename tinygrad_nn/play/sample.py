"""Forward and backward pass of one sample: outputs and gradients of each layer, from the graph of its loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..common.printable import printable
from ..graph import GraphView, root_mean_square
from ..graph.walk import walk_back
from ..solver import Solver
from ..solver.tasks.layers import LayerLoss, objective
from ..tensor import Tensor
from .training import Training

Array = np.ndarray[Any, Any]
MOST = 64  # numbers of a layer that are sent to the page


def row_loss(training: Training, row: Any) -> tuple[Tensor, Tensor, Array]:
    """Return the loss of one row (a Tensor with its graph), its input and its target, without dropout and penalty.

    Raises:
        ValueError: there is no row of this number.
    """
    if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < len(training.inputs):
        raise ValueError(f"There is no row {row!r:.20}; the rows are 0 to {len(training.inputs) - 1}.")
    x, y = Tensor(training.inputs[row : row + 1], name="x"), training.outputs[row : row + 1]
    return objective(LayerLoss(training.layers, Solver(training.loss), y), x, y), x, y


def forward_and_back(training: Training, row: Any) -> dict[str, Any]:
    """Return the numbers of the forward and backward pass of one sample as a dict that JSON can hold.

    Returns:
        A dict with the loss, the target, the prediction (`said`), the inputs `x`, ∂L/∂x as `dx`, and for each layer
        `z`, `a`, the gradients `dz` and `da`, and the root mean squares of ∂L/∂W and ∂L/∂b. Of a wide layer, only the
        first 64 numbers are included.

    Raises:
        ValueError: there is no such row.
    """
    loss, x, _ = row_loss(training, row)
    with np.errstate(all="ignore"):
        view = GraphView(loss)
        gradients = walk_back(view).gradients
        a = training.inputs[row : row + 1]
        values = []
        for layer in training.layers:
            z, a = layer.plain(a)
            values.append((z[0], np.asarray(a)[0]))
    arrived = {part.node: gradients[part.number] for part in view if part.number in gradients}
    at_z = [part.number for part in view if part.operation == "affine"]
    before = {edge.target: edge.source for edge in view.edges if edge.slot == 0}  # z -> the input of its layer
    layers: list[dict[str, Any]] = []
    for k, (layer, (z, a)) in enumerate(zip(training.layers, values, strict=True)):
        last = k + 1 == len(training.layers)
        layers.append({
            "name": f"layer {k + 1}", "activation": layer.activation, "width": layer.n_out,
            "z": _first_numbers(z), "a": _first_numbers(a), "dz": _first_numbers(gradients[at_z[k]][0]),
            "da": None if last else _first_numbers(gradients[before[at_z[k + 1]]][0]),
            "dW": _json_number(root_mean_square(arrived[layer.W.node])),
            "db": _json_number(root_mean_square(arrived[layer.b.node])),
        })  # fmt: skip
    data = training.data
    output = values[-1][1]
    if data.kind == "classification":
        target = printable(data.classes[int(training.outputs[row].argmax())])
        said = f"{printable(data.classes[int(output.argmax())])} ({100 * float(output.max()):.1f} %)"
    else:
        unit = training.network.target_scaler
        target = f"{float(data.targets[row, 0]):.4g}"
        said = f"{float(output[0] if unit is None else unit.inverse(output[None])[0, 0]):.4g}"
    return {
        "row": row, "rows": len(training.inputs), "loss": _json_number(loss.item()), "target": target, "said": said,
        "test": bool(row in training.numbers[1]), "updates": training.updates,
        "features": [printable(name) for name in data.features[:MOST]], "given": _first_numbers(training.x[row]),
        "x": _first_numbers(training.inputs[row]), "dx": _first_numbers(arrived[x.node][0]), "layers": layers,
        "classes": [printable(name) for name in data.classes],
    }  # fmt: skip


def explorer_page(training: Training, row: Any) -> str:
    """Return the explorer's page for the loss of one sample.

    Raises:
        ValueError: there is no such row.
    """
    from ..viz.explorer.explore import page
    from ..viz.explorer.story import tell_story

    loss, _, y = row_loss(training, row)
    title = f"Row {row + 1} of {training.data.name}, after {training.updates:,} updates"
    return page(tell_story(GraphView(loss, names={"y": y})), title)


def _first_numbers(values: Array) -> list[float | None]:
    return [_json_number(value) for value in values[:MOST].tolist()]


def _json_number(value: float) -> float | None:
    """Return a number rounded to seven digits, or None if it is not finite, as JSON has no NaN and infinity."""
    return float(f"{value:.7g}") if np.isfinite(value) else None
