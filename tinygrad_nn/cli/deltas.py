"""The deltas of one row of data, for the drawing of a network."""

from __future__ import annotations

from typing import Any


def deltas_of(model: Any, x: Any, y: Any, solver: Any) -> Any:
    """Return the delta of each layer for one row (the gradients of the biases), or ``None`` if the loss is infinite."""
    from ..nn import Layer
    from ..solver import BackProp, FeedForward
    from ..viz.model.values import sequential_parts

    layers = sequential_parts(model)
    if not all(isinstance(layer, Layer) for layer in layers):
        return _deltas_by_graph(model, x, y, solver)
    try:
        return BackProp(layers, FeedForward(layers, x), y, solver=solver).db
    except FloatingPointError:
        return None


def _deltas_by_graph(model: Any, x: Any, y: Any, solver: Any) -> Any:
    """Return the gradient of the operation that uses each layer's weights, or ``None`` if one of these is not z."""
    from ..graph.view import GraphView
    from ..graph.walk import walk_back
    from ..solver import graph_loss
    from ..viz.model.values import in_eval_mode
    from ..viz.network.drawing import stages_of

    with in_eval_mode(model):
        loss = graph_loss(model, x, y, solver=solver)
    view = GraphView(loss)
    gradients = walk_back(view).gradients
    made = {view[edge.source].node: edge.target for edge in view.edges}
    found = []
    for stage in stages_of(model)[1]:
        W = stage.layer.W if hasattr(stage.layer, "W") else stage.layer.weight
        found.append(gradients.get(made.get(W.node, -1)))
    return found if all(g is not None and g.size == g.shape[-1] for g in found) else None
