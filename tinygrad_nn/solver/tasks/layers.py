"""The task of a list of layers: its loss and gradients by the graph or by hand, without checks in each step."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ... import manual
from ...backward import walk
from ...distributed import in_all_ranks
from ...nn.containers import Sequential
from ...nn.layer import Layer, affine
from ...nn.losses import FROM_Z, LOSSES, PENALTIES
from ...node import thread
from ...tensor import Tensor, apply
from ..settings import Solver
from .task import Gradients, Task, updater

Array = np.ndarray[Any, Any]
Masks = Sequence[Array | None] | None
LossAndGradients = tuple[float, list[Array], list[Array]]  # loss before the update, and for each layer dW and db
NORMALIZED = {"normalized": True}


class LayerLoss:
    """The quantities of a training of layers that are the same for every batch, computed once."""

    __slots__ = (
        "acts", "from_z", "gather", "layers", "loss", "meta", "model", "names", "one_node", "penalty", "seed", "solver",
    )  # fmt: skip

    def __init__(self, model: Sequence[Layer], solver: Solver, y: Array | None = None) -> None:
        """Prepare the training of checked layers; `y`, if given, are all targets of the training."""
        self.model = model
        self.solver = solver
        self.seed = np.ones((), model[0].dtype)  # the cotangent of the loss
        self.acts = [layer.act for layer in model]
        self.names = [act.name for act in self.acts]
        self.layers: list[tuple[Layer, Any, dict[str, Any], str]] = [
            (layer, layer.act.primitive, layer.act.meta, f"layer {k}") for k, layer in enumerate(model, start=1)
        ]
        ends = solver.loss, self.names[-1]
        self.from_z: Callable[..., Any] | None = FROM_Z.get(ends)
        self.loss: Any = self.from_z or LOSSES[solver.loss]
        if self.from_z is not None:  # the loss applies the output activation itself
            layer, _, _, scope = self.layers[-1]
            self.layers[-1] = (layer, None, {}, scope)
        self.one_node = hasattr(self.loss, "vjps")  # the loss is a primitive, not a composition
        self.meta: dict[str, Any] = {}
        if y is not None and sums_to_one(model, solver, y):
            self.meta = NORMALIZED
        regularization = solver.regularization
        self.penalty = PENALTIES[regularization.method] if regularization.lam else None
        self.gather = False


def sums_to_one(model: Sequence[Layer], solver: Solver, y: Array) -> bool:
    """Return whether softmax and crossentropy have targets whose rows sum to one: the gradient is simpler then."""
    return solver.loss == "crossentropy" and model[-1].act.name == "softmax" and bool((y.sum(axis=-1) == 1).all())


def draw_masks(net: LayerLoss, batch: int, rng: np.random.Generator) -> list[Array | None]:
    """Draw the dropout masks of a batch; ``None`` for a layer without dropout."""
    p = net.solver.regularization.dropout
    return manual.draw_masks(rng, [layer.n_out for layer in net.model], batch, p, net.model[0].dtype)


def objective(net: LayerLoss, x: Any, y: Array, masks: Masks = None) -> Tensor:
    """Return the loss of a batch, with penalties, and its graph; operations are recorded under the names of layers."""
    mode = thread.mode
    before, recorded = mode.scope, mode.grad
    mode.grad = True
    a = x
    try:
        for k, (layer, primitive, meta, scope) in enumerate(net.layers):
            mode.scope = scope
            a = apply(affine, (a, layer._W, layer._b))  # (batch, n_out)
            if primitive is not None:
                a = apply(primitive, (a,), meta)
            if masks is not None and masks[k] is not None:
                a = masks[k] * a
        mode.scope = "loss"
        if net.gather:
            a, y = in_all_ranks(a), in_all_ranks(y)
        loss = apply(net.loss, (a, y), net.meta) if net.one_node else net.loss(a, y)
        if net.penalty is not None:
            mode.scope = "penalty"
            lam, r = net.solver.regularization.lam, net.solver.regularization.r
            for layer in net.model:
                loss = loss + net.penalty(layer.W, lam, r)
        result: Tensor = loss
        return result
    finally:
        mode.scope, mode.grad = before, recorded


def graph_step(net: LayerLoss, x: Array, y: Array, masks: Masks = None) -> LossAndGradients:
    """Return loss and gradients of a batch, by the graph."""
    loss = objective(net, x, y, masks)
    value = float(loss.data)
    if not math.isfinite(value):
        raise not_finite_error(net, value)
    gradients: dict[Any, Array] = walk(loss.node, net.seed, free=True)  # type: ignore[arg-type]
    dW, db = [], []
    for layer in net.model:
        dW.append(gradients[layer._W.node])
        db.append(gradients[layer._b.node])
    return value, dW, db


def manual_step(net: LayerLoss, x: Array, y: Array, masks: Masks = None) -> LossAndGradients:
    """Return loss and gradients of a batch, by the equations written by hand."""
    W, b = [layer._W.data for layer in net.model], [layer._b.data for layer in net.model]
    z, a = manual.forward(W, b, net.names, x, masks)
    return manual_gradients(net, W, x, z, a, y, masks)


def manual_gradients(
    net: LayerLoss, W: Sequence[Array], x: Array, z: Sequence[Array], a: Sequence[Array], y: Array, masks: Masks
) -> LossAndGradients:
    """Return loss and gradients from the results of the forward pass, by the equations written by hand."""
    reg = net.solver.regularization
    found = manual.backward(
        W, net.names, x, z, a, y, loss=net.solver.loss, penalty=reg.method, lam=reg.lam, r=reg.r, masks=masks
    )
    value = float(found.loss)
    if not math.isfinite(value):
        raise not_finite_error(net, value)
    return value, found.dW, found.db


ROADS: dict[str, Callable[..., LossAndGradients]] = {"graph": graph_step, "manual": manual_step}


def predict(model: Sequence[Layer], x: Array) -> tuple[Array, Array]:
    """Return z of the output layer and the prediction as plain arrays, without dropout."""
    a = x
    for layer in model:
        z, a = layer.plain(a)  # (batch, n_out)
    return z, a


def data_loss(net: LayerLoss, x: Array, y: Array) -> tuple[float, Array]:
    """Return the loss of the prediction, without penalties and dropout, and the prediction."""
    z, a = predict(net.model, x)
    return float(net.loss(z if net.from_z else a, y)), a


def not_finite_error(net: LayerLoss, loss: float) -> FloatingPointError:
    """Return the error for an infinite or NaN loss, which is raised before backward, so that the weights stay."""
    if net.solver.loss.endswith("crossentropy") and net.from_z is None:
        return FloatingPointError(
            f"the loss became {loss}: {net.solver.loss} takes the logarithm of the prediction, and "
            f"{net.names[-1]} gives values that are not strictly between 0 and 1. End the model with 'softmax' or "
            "'sigmoid', or use the loss 'mse'. The weights are as they were before this step."
        )
    return FloatingPointError(
        f"the loss became {loss}: the training diverged. Lower learning_rate={net.solver.learning_rate:g}, "
        "or scale the data with tinygrad_nn.data.Scaler. The weights are as they were before this step."
    )


class LayerTask(Task):
    """The task of a list of layers that fit together, trained as in the Julia project, on either road."""

    def __init__(self, net: LayerLoss, road: str) -> None:
        self.net, self.road, self.solver = net, ROADS[road], net.solver
        self.layers = net.model
        self.names = [f"layer {k} {part}" for k in range(1, len(self.layers) + 1) for part in "Wb"]
        self.parameters = [p for layer in self.layers for p in (layer.W, layer.b)]
        self.draws = net.solver.regularization.dropout > 0
        self.rules = [(net.solver.rule, net.solver.learning_rate)] * len(self.parameters)
        self.updater = updater(self.parameters, self.rules)

    def training(self, rng: np.random.Generator) -> AbstractContextManager[Any]:
        """Return a context manager without effect: layers have no training mode."""
        return nullcontext()

    def gradients(self, x: Array, y: Array, rng: np.random.Generator) -> tuple[float, Gradients]:
        """Return the loss and the gradients of a batch, by the graph or by hand."""
        masks = draw_masks(self.net, len(x), rng) if self.draws else None
        loss, dW, db = self.road(self.net, x, y, masks)
        found: Gradients = [None] * len(self.parameters)
        found[::2], found[1::2] = dW, db
        return loss, found

    def batch(self, x: Array, y: Array, rng: np.random.Generator) -> tuple[Any, ...]:
        """Return the arguments of `recorded`: the batch and its dropout masks."""
        return x, y, draw_masks(self.net, len(x), rng) if self.draws else None

    def recorded(self, *batch: Any) -> Any:
        """Return the loss of a batch with its graph."""
        return objective(self.net, *batch)

    def owners(self) -> list[Any]:
        """Return the layers."""
        return list(self.layers)

    def named(self, gradients: Sequence[Any]) -> tuple[Any, Any]:
        """Return two lists with one gradient per layer: of W and of b."""
        return list(gradients[::2]), list(gradients[1::2])

    def finite(self, loss: float) -> float:
        """Return the loss; raise a FloatingPointError if it is infinite or NaN."""
        if not math.isfinite(loss):
            raise not_finite_error(self.net, loss)
        return loss

    def evaluate(self, x: Array, y: Array) -> tuple[float, Array]:
        """Return the loss and the prediction."""
        return data_loss(self.net, x, y)

    def outputs(self, x: Array) -> tuple[Array, Array]:
        """Return the input of the loss, and the prediction."""
        z, a = predict(self.net.model, x)
        return (z if self.net.from_z else a), a

    def loss_of(self, output: Array, y: Array) -> float:
        """Return the loss for a result of `outputs`."""
        return float(self.net.loss(output, y))

    def shares(self, gather: bool) -> None:
        """Set whether the loss is computed from the outputs of all ranks."""
        if gather and self.road is manual_step:
            raise ValueError(
                f"fit: {self.solver.loss} is not a mean over rows, so with comm= it is computed from the outputs of "
                "all ranks, which the equations written by hand do not know; use gradients='graph'."
            )
        self.net.gather = gather

    def arrays(self) -> dict[str, Array]:
        """Return W and b of each layer."""
        return {name: p.data.copy() for name, p in zip(self.names, self.parameters, strict=True)}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Restore W and b of each layer."""
        Sequential(*self.layers).load_state_dict(
            {f"{k // 2}.{'Wb'[k % 2]}": arrays[name] for k, name in enumerate(self.names) if name in arrays}
        )


_RECENT: OrderedDict[Any, LayerTask] = OrderedDict()  # for `TrainNN`, which is called anew for each batch
_MOST = 8


def layer_task(layers: list[Layer], solver: Solver, y: Array, road: str) -> LayerTask:
    """Return the task of an earlier call with the same parameters and an equal solver, or a new one."""
    parts = [id(part) for layer in layers for part in (layer._W, layer._b, layer.act)]
    key = (road, sums_to_one(layers, solver, y), *parts)
    task = _RECENT.get(key)  # the task keeps the objects alive, so their ids are not reused
    if task is None or (task.solver is not solver and task.solver != solver):
        _RECENT[key] = task = LayerTask(LayerLoss(layers, solver, y), road)
        if len(_RECENT) > _MOST:
            _RECENT.popitem(last=False)
    return task
