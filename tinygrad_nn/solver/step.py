"""One training step, without a check: the loss as a graph or by hand, its gradients, the update."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import manual
from ..backward import walk
from ..nn.layer import Layer, affine
from ..nn.losses import FROM_Z, LOSSES, PENALTIES
from ..node import thread
from ..optim import LBFGS, Optimizer, State
from ..optim.rule import alone
from ..tensor import Tensor, apply
from .settings import Solver

Array = np.ndarray[Any, Any]
Masks = Sequence[Array | None] | None
Gradients = tuple[float, list[Array], list[Array]]  # loss before the update; for each layer dW and db
NORMALIZED = {"normalized": True}
SMALL = 2**14  # bytes up to which a new array costs less than to find out whether an old one may be used


class Plan:
    """What is the same for every batch of a training: looked up once, so that a step does nothing but compute."""

    __slots__ = (
        "asked", "eta", "from_z", "layers", "loss", "meta", "model", "move", "names", "one_node", "penalty", "rate",
        "rule", "seed", "solver",
    )  # fmt: skip

    def __init__(self, model: Sequence[Layer], solver: Solver, y: Array | None = None) -> None:
        """Plan the training of checked layers; `y`, if given, holds all targets that will come."""
        self.model = model
        self.solver = solver
        self.rule: Any = solver.rule
        # W and b have axes, and gradients their dtype; L-BFGS does not move one parameter after the other
        self.move: Any = None if isinstance(self.rule, LBFGS) else self.rule.into or self.rule.move
        self.eta = solver.learning_rate
        self.asked: Any = None  # the last eta,
        self.rate: Any = None  # and what was made of it
        self.seed = np.ones((), model[0].dtype)  # the cotangent of the loss
        self.names = [layer.activation for layer in model]
        self.layers: list[tuple[Layer, Any, dict[str, Any], str]] = [
            (layer, layer.act.primitive, layer.act.meta, f"layer {k}") for k, layer in enumerate(model, start=1)
        ]
        ends = solver.loss, self.names[-1]
        self.from_z: Callable[..., Any] | None = FROM_Z.get(ends)
        self.loss: Any = self.from_z or LOSSES[solver.loss]
        if self.from_z is not None:  # the loss applies the output activation itself
            layer, _, _, scope = self.layers[-1]
            self.layers[-1] = (layer, None, {}, scope)
        self.one_node = hasattr(self.loss, "vjps")  # declared itself, rather than composed
        self.meta: dict[str, Any] = {}
        if ends == ("crossentropy", "softmax") and y is not None and (y.sum(axis=-1) == 1).all():
            self.meta = NORMALIZED
        regularization = solver.regularization
        self.penalty = PENALTIES[regularization.method] if regularization.lam else None


def draw_masks(plan: Plan, batch: int, rng: np.random.Generator | None) -> list[Array | None] | None:
    """Draw the dropout masks of a batch, or return ``None`` where nothing is dropped."""
    p = plan.solver.regularization.dropout
    if not p or rng is None:
        return None
    return manual.draw_masks(rng, [layer.n_out for layer in plan.model], batch, p, plan.model[0].dtype)


def objective(plan: Plan, x: Any, y: Array, masks: Masks = None) -> Tensor:
    """Record the loss of a batch with its penalties, each operation under the name of its layer."""
    mode = thread.mode
    before, recorded = mode.scope, mode.grad
    mode.grad = True
    a = x
    try:
        for k, (layer, primitive, meta, scope) in enumerate(plan.layers):
            mode.scope = scope
            a = apply(affine, (a, layer._W, layer._b))  # (batch, n_out)
            if primitive is not None:
                a = apply(primitive, (a,), meta)
            if masks is not None and masks[k] is not None:
                a = masks[k] * a
        mode.scope = "loss"
        loss = apply(plan.loss, (a, y), plan.meta) if plan.one_node else plan.loss(a, y)
        if plan.penalty is not None:
            mode.scope = "penalty"
            lam, r = plan.solver.regularization.lam, plan.solver.regularization.r
            for layer in plan.model:
                loss = loss + plan.penalty(layer.W, lam, r)
        result: Tensor = loss
        return result
    finally:
        mode.scope, mode.grad = before, recorded


def graph_step(plan: Plan, x: Array, y: Array, masks: Masks = None) -> Gradients:
    """Return loss and gradients of a batch by the graph."""
    loss = objective(plan, x, y, masks)
    value = float(loss.data)
    if not math.isfinite(value):
        raise not_finite(plan, value)
    arrived: dict[Any, Array] = walk(loss.node, plan.seed, free=True)  # type: ignore[arg-type]
    dW, db = [], []
    for layer in plan.model:
        dW.append(arrived[layer._W.node])
        db.append(arrived[layer._b.node])
    return value, dW, db


def manual_step(plan: Plan, x: Array, y: Array, masks: Masks = None) -> Gradients:
    """Return loss and gradients of a batch by the equations written by hand."""
    W, b = [layer._W.data for layer in plan.model], [layer._b.data for layer in plan.model]
    z, a = manual.forward(W, b, plan.names, x, masks)
    return manual_gradients(plan, W, x, z, a, y, masks)


def manual_gradients(
    plan: Plan, W: Sequence[Array], x: Array, z: Sequence[Array], a: Sequence[Array], y: Array, masks: Masks
) -> Gradients:
    """Return loss and gradients from what the forward pass left."""
    reg = plan.solver.regularization
    found = manual.backward(
        W, plan.names, x, z, a, y, loss=plan.solver.loss, penalty=reg.method, lam=reg.lam, r=reg.r, masks=masks
    )
    value = float(found.loss)
    if not math.isfinite(value):
        raise not_finite(plan, value)
    return value, found.dW, found.db


ROADS: dict[str, Callable[..., Gradients]] = {"graph": graph_step, "manual": manual_step}


def descend(plan: Plan, dW: list[Array], db: list[Array], spend: bool = False) -> None:
    """Update the parameters: new arrays take the place of the old, which an older graph may still hold.

    With `spend` the gradients are given up: the lists are emptied, and where nobody else holds a large gradient its
    memory becomes that of the new parameter.
    """
    rule, move = plan.rule, plan.move
    eta = plan.rate if plan.eta is plan.asked else _taken(plan)
    for k, layer in enumerate(plan.model):
        kept = layer.optimizer_state
        if kept is None or kept[0] is not rule:
            kept = _states(layer, rule)
        states = [kept[2], kept[1]]
        layer.optimizer_state = kept = None  # the rule's in-place form frees what it replaces, if nobody else holds it
        W, b, g_W, g_b = layer._W, layer._b, dW[k], db[k]
        spare = None
        if spend and g_W.nbytes > SMALL:
            dW[k] = None  # type: ignore[call-overload]
            spare = g_W if alone(g_W, W.data) else None
        w, state_W = move(g_W, states.pop(), eta, W.data, spare)
        W.data = W.node.out = w  # type: ignore[union-attr]
        w, state_b = move(g_b, states.pop(), eta, b.data, None)
        b.data = b.node.out = w  # type: ignore[union-attr]
        layer.optimizer_state = (rule, state_W, state_b)


def _taken(plan: Plan) -> Any:
    """Return the learning rate in the form that the optimizer multiplies with the least effort, and note it."""
    plan.asked = plan.rate = plan.eta
    if getattr(plan.move, "scales", False):
        plan.rate = np.asarray(plan.eta, plan.model[0].dtype)
    return plan.rate


def _states(layer: Layer, rule: Optimizer) -> tuple[Optimizer, State, State]:
    """Return the states that an equal optimizer left, or fresh ones."""
    kept = layer.optimizer_state
    if kept is not None and kept[0] == rule:
        return rule, kept[1], kept[2]
    return rule, rule.init(layer._W.data), rule.init(layer._b.data)


def predict(model: Sequence[Layer], x: Array) -> tuple[Array, Array]:
    """Return the weighted input of the output layer and the prediction, plain arrays, without dropout."""
    a = x
    for layer in model:
        z, a = layer.plain(a)  # (batch, n_out)
    return z, a


def data_loss(plan: Plan, x: Array, y: Array) -> tuple[float, Array]:
    """Return the loss of the prediction, without penalties and dropout, and the prediction."""
    z, a = predict(plan.model, x)
    return float(plan.loss(z if plan.from_z else a, y)), a


def not_finite(plan: Plan, loss: float) -> FloatingPointError:
    """Return the error of a loss that is infinite or NaN: it is not walked back from, and the weights stay."""
    if plan.solver.loss.endswith("crossentropy") and plan.from_z is None:
        return FloatingPointError(
            f"the loss became {loss}: {plan.solver.loss} takes the logarithm of the prediction, and "
            f"{plan.names[-1]} gives values that are not strictly between 0 and 1. End the model with 'softmax' or "
            "'sigmoid', or use the loss 'mse'. The weights are as they were before this step."
        )
    return FloatingPointError(
        f"the loss became {loss}: the training diverged. Lower learning_rate={plan.eta:g}, or scale the data with "
        "tinygrad_nn.data.Scaler. The weights are as they were before this step."
    )
