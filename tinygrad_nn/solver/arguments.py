"""Interprets the arguments of `fit` and `TrainNN`: the kind of model, the source of batches, the default metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..common.printable import printable
from ..metrics import r2_score
from ..nn.containers import Sequential, as_module
from ..nn.layer import Layer, is_plain_layer
from ..nn.module import Module
from ..optim import LBFGSRule
from .batches import Batches, Rows, as_nested_arrays, batch_source
from .checks import check_inputs, check_model, check_road, check_solver, check_targets
from .settings import Solver
from .tasks.class_weight import class_weights, takes_weight, weighted_loss
from .tasks.function import FunctionTask
from .tasks.layers import LayerLoss, LayerTask, layer_task
from .tasks.module import ModuleTask
from .tasks.task import Task

Array = np.ndarray[Any, Any]
Metric = Callable[[Any, Any], float]
_MODEL = "Write [Layer(4, 40, 'relu'), Layer(40, 3, 'softmax')], a Module, or a function f(params, x, y) with params=."


def prepare_training(
    call: str, model: Any, x: Any, y: Any, x_val: Any, y_val: Any, solver: Any, size: int, params: Any = None,
    gradients: str = "graph", class_weight: Any = None, *, single: bool = False,
) -> tuple[Task, Rows | Batches, Rows | Batches | None]:  # fmt: skip
    """Return the task, the training data and the validation data; with `single`, x and y are one batch.

    A `Task` is the model as the training sees it.
    """
    check_solver(call, solver)
    names = ("data_in", "data_out") if single else ("x", "y")
    road = check_road(call, gradients)
    if params is not None or is_function(model):
        return _prepare_function(call, model, x, y, x_val, y_val, solver, size, params, road, class_weight)
    stored = single or (isinstance(x, np.ndarray | list | tuple) and y is not None and not isinstance(x, np.memmap))
    if is_layer_list(model) and can_train_layers(solver) and stored:
        layers = check_model(call, model)
        x = check_inputs(call, layers, x, names[0])
        y = check_targets(call, layers, y, len(x), solver.loss, names)
        val = check_validation(call, layers, x_val, y_val, solver)
        if single:
            return layer_task(layers, solver, y, road), Rows(x, y, size), None if val is None else Rows(*val, size)
        weights = class_weights(call, class_weight, y, solver)
        net = LayerLoss(layers, solver, y if weights is None else None)
        return LayerTask(net, road), Rows(x, y, size, weights), None if val is None else Rows(*val, size)
    module = as_one_module(call, model, road)
    task = ModuleTask(call, module, solver)
    if single:
        x, y = as_nested_arrays(call, x, names[0]), as_nested_arrays(call, y, names[1])
    rows = batch_source(call, x, y, size, names, solver.loss)
    if class_weight is not None:
        if not isinstance(rows, Rows):
            raise ValueError(f"{call}: class_weight needs arrays x and y; with batches, weight the rows in the loss.")
        labels = rows.data[1]
        if takes_weight(solver.loss) and isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
            task.weighed = weighted_loss(call, class_weight, labels, solver.loss)
        else:
            rows.weights = class_weights(call, class_weight, labels, solver)
    return task, rows, _validation(call, x_val, y_val, size, solver.loss)


def _prepare_function(
    call: str, model: Any, x: Any, y: Any, x_val: Any, y_val: Any, solver: Solver, size: int, params: Any, road: str,
    class_weight: Any,
) -> tuple[Task, Rows | Batches, Rows | Batches | None]:  # fmt: skip
    if not is_function(model):
        kind = type(model).__name__
        raise TypeError(f"{call}: params= belongs to a function f(params, x, y); the model is a {kind}.")
    name = printable(getattr(model, "__name__", "the function"))
    if params is None:
        raise TypeError(f"{call}: {name} is a function; pass its parameters, params={{'W': W, 'b': b}}.")
    if road == "manual":
        raise ValueError(f"{call}: {name} has no equations written by hand; leave gradients='manual' out.")
    if class_weight is not None:
        raise ValueError(f"{call}: {name} computes its loss itself; weight the classes there, without class_weight.")
    task = FunctionTask(call, model, params, solver)
    return task, batch_source(call, x, y, size), _validation(call, x_val, y_val, size)


def _validation(call: str, x: Any, y: Any, size: int, loss: Any = None) -> Rows | Batches | None:
    if x is None and y is None:
        return None
    if x is None or (y is None and isinstance(x, np.ndarray)):
        missing = "x_val" if x is None else "y_val"
        raise ValueError(f"{call}: {missing} is missing; pass both x_val and y_val, or neither.")
    return batch_source(call, x, y, size, ("x_val", "y_val"), loss)


def check_validation(call: str, layers: list[Layer], x: Any, y: Any, solver: Solver) -> tuple[Array, Array] | None:
    """Return checked validation data for a list of layers, or ``None`` if there is none."""
    if x is None and y is None:
        return None
    if x is None or y is None:
        missing = "x_val" if x is None else "y_val"
        raise ValueError(f"{call}: {missing} is missing; pass both x_val and y_val, or neither.")
    x = check_inputs(call, layers, x, "x_val")
    return x, check_targets(call, layers, y, len(x), solver.loss, ("x_val", "y_val"))


def is_function(model: Any) -> bool:
    """Return whether a model is a plain function."""
    return callable(model) and not isinstance(model, (Module, type))


def is_layer_list(model: Any) -> bool:
    """Return whether a model is a list of trainable layers; True also for anything invalid, which then raises later."""
    if isinstance(model, Module):
        return isinstance(model, Layer)
    if not isinstance(model, (list, tuple)):
        return True
    others = [part for part in model if not is_plain_layer(part)]
    if others:
        return not any(isinstance(part, Module) or is_function(part) for part in others)
    return all(p.node is not None for layer in model for p in (layer.W, layer.b))


def can_train_layers(solver: Solver) -> bool:
    """Return whether the Julia project's training supports the solver: a named loss, no groups, no L-BFGS."""
    return isinstance(solver.loss, str) and not solver.groups and not isinstance(solver.rule, LBFGSRule)


def as_one_module(call: str, model: Any, road: str = "graph") -> Module:
    """Return a list of layers and modules as one module, and a module unchanged."""
    if isinstance(model, (list, tuple)):
        if not model:
            raise ValueError(f"{call}: the model has no layers. {_MODEL}")
        parts = list(model)
    elif isinstance(model, Module):
        parts = [model]
    else:
        raise TypeError(f"{call}: {model!r:.60} of type {type(model).__name__} is not a model. {_MODEL}")
    if road == "manual":
        raise_no_equations(call, parts)
    if isinstance(model, Module):
        return model
    return Sequential([as_module(call, part) for part in parts])


def raise_no_equations(call: str, parts: list[Any]) -> None:
    """Raise an error that names the first part of the model without equations written by hand."""
    for k, part in enumerate(parts, 1):
        text = printable(repr(part))
        if "\n" in repr(part):  # the repr of a container has several lines
            text = type(part).__name__
        if not is_plain_layer(part):
            raise ValueError(
                f"{call}: part {k} of {len(parts)}, {text}, has no equations written by hand; only Layer has. Use "
                "gradients='graph', or compare equations of your own with tinygrad_nn.compare_gradients."
            )
        if part.W.node is None or part.b.node is None:
            raise ValueError(f"{call}: part {k} of {len(parts)}, {text}, is frozen; use gradients='graph'.")
    raise ValueError(
        f"{call}: the equations written by hand know the losses by name, batches as arrays, and no groups; use "
        "gradients='graph'."
    )


def default_metric(task: Any, y: Any, prediction: Any) -> dict[str, Metric]:
    """Return the default metric for the targets: a dict with accuracy or r2, or an empty dict."""
    if not isinstance(y, np.ndarray) or not isinstance(prediction, np.ndarray):
        return {}
    loss = task.solver.loss
    if isinstance(task, FunctionTask) or not isinstance(loss, str):
        classes = y.dtype.kind in "iu" and prediction.ndim == y.ndim + 1
        return {"accuracy": label_accuracy} if classes else {}
    if loss.endswith("crossentropy"):
        return {"accuracy": accuracy} if y.ndim == 2 else {}
    return {"r2": r2_score} if y.ndim == 2 and y.shape == prediction.shape else {}


def label_accuracy(y: Array, prediction: Array) -> float:
    """Return the share of labels that equal the index of the largest entry along axis 1."""
    return float((prediction.argmax(axis=1) == y).mean())


def accuracy(y: Array, yhat: Array) -> float:
    """Return the share of rows with the right class; for independent labels, the share of right labels.

    If all rows of y sum to one, the class is the column of the largest entry; otherwise each entry is rounded at 1/2.
    """
    if y.shape[1] > 1 and (abs(y.sum(axis=1) - 1) < 1e-5).all():
        return float((y.argmax(axis=1) == yhat.argmax(axis=1)).mean())
    return float(((y >= 0.5) == (yhat >= 0.5)).mean())
