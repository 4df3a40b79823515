"""Checks of a model and its data before anything is computed; errors say what was given, what is needed, and a fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..common.masked import check_unmasked
from ..common.printable import counted
from ..common.spelling import did_you_mean
from ..nn.layer import Layer
from ..tensor import Tensor
from .settings import Solver

Array = np.ndarray[Any, Any]
ROADS = "graph", "manual"
_SUM = 1e-5  # float32 probabilities of a thousand classes sum to one within this tolerance


def layer_name(model: Sequence[Layer], k: int) -> str:
    """Return the name of a layer for error messages."""
    return f"layer {k + 1} of {len(model)} ({model[k]!r})"


def check_model(call: str, model: Any) -> list[Layer]:
    """Return the layers of a model; raise if one does not fit the one before it."""
    if isinstance(model, Layer):
        model = [model]
    if not isinstance(model, (list, tuple)) or not all(isinstance(layer, Layer) for layer in model):
        odd = next((part for part in model if not isinstance(part, Layer)), model) if isinstance(model, list) else model
        raise TypeError(
            f"{call}: a model is a list of layers; this has {odd!r:.60} of type {type(odd).__name__}. "
            "Write [Layer(4, 40, 'relu'), Layer(40, 3, 'softmax')]."
        )
    if not model:
        raise ValueError(f"{call}: the model has no layers. Write [Layer(4, 40, 'relu'), Layer(40, 3, 'softmax')].")
    for k in range(1, len(model)):
        before, layer = model[k - 1], model[k]
        if layer.n_in != before.n_out:
            raise ValueError(
                f"{call}: {layer_name(model, k)} takes {counted(layer.n_in, 'column')}, but "
                f"{layer_name(model, k - 1)} gives {before.n_out}. "
                f"Write Layer({before.n_out}, {layer.n_out}, {layer.activation!r})."
            )
        if layer.dtype != before.dtype:
            raise ValueError(
                f"{call}: {layer_name(model, k)} has dtype {layer.dtype} and {layer_name(model, k - 1)} "
                f"{before.dtype}. "
                "Make all layers with the same dtype=."
            )
        if any(layer is other for other in model[:k]):
            raise ValueError(
                f"{call}: {layer_name(model, k)} appears twice in the model, so it would be updated twice. Create "
                "another "
                "Layer."
            )
    return list(model)


def check_solver(call: str, solver: Any) -> Solver:
    """Return the solver; raise a TypeError if it is not a `Solver`."""
    if not isinstance(solver, Solver):
        came = "none was given" if solver is None else f"{solver!r:.60} is of type {type(solver).__name__}"
        raise TypeError(f"{call} needs a Solver; {came}. Write solver=Solver('crossentropy', 'sgd', 0.03).")
    return solver


def check_manual_loss(call: str, solver: Any) -> Solver:
    """Return the solver; raise if its loss has no equations written by hand."""
    if not isinstance(check_solver(call, solver).loss, str):
        raise ValueError(
            f"{call}: the loss {solver.loss!r:.60} has no equations written by hand; those with a name have, such as "
            "Solver('crossentropy'). For others call compare_gradients(your_backward, function=your_loss, ...)."
        )
    return solver  # type: ignore[no-any-return]


def check_road(call: str, gradients: Any) -> str:
    """Return the road, 'graph' or 'manual', by which gradients are computed; raise for another value."""
    key = gradients.strip().lower() if isinstance(gradients, str) else gradients
    if key not in ROADS:
        near = did_you_mean(key, ROADS)
        raise ValueError(f"{call}: gradients={gradients!r}; known are {', '.join(map(repr, ROADS))}.{near}")
    return str(key)


def check_inputs(call: str, model: Sequence[Layer], x: Any, name: str = "data_in") -> Array:
    """Return the inputs ``(batch, n_in)`` in the model's dtype, checked."""
    array = _check_numbers(call, x, name)
    first = model[0]
    if array.ndim != 2 or array.shape[1] != first.n_in:
        if array.ndim == 1 and array.size == first.n_in:
            hint = f"A single sample is {name}[None, :]."
        elif array.ndim == 1 and first.n_in == 1:
            hint = f"One column is {name}[:, None]."
        elif array.ndim == 2 and array.shape[0] == first.n_in:
            hint = f"It looks transposed: pass {name}.T, one row per sample."
        else:
            hint = f"Make the layer with n_in={array.shape[1]}." if array.ndim == 2 else "Pass one row per sample."
        raise ValueError(
            f"{call}: {layer_name(model, 0)} takes {counted(first.n_in, 'column')}; {name} has shape {array.shape}. "
            f"{hint}"
        )
    return _check_finite(call, array, name).astype(first.dtype, copy=False)


def check_targets(
    call: str, model: Sequence[Layer], y: Any, rows: int, loss: str, names: tuple[str, str] = ("data_in", "data_out")
) -> Array:
    """Return the targets ``(batch, n_out)`` in the model's dtype, checked against model, inputs and loss."""
    name = names[1]
    array = _check_numbers(call, y, name)
    last = model[-1]
    if len(array) != rows:
        hint = f" It looks transposed: pass {name}.T." if array.ndim == 2 and array.shape[1] == rows else ""
        raise ValueError(
            f"{call}: {names[0]} has {counted(rows, 'row')} and {name} {len(array)} (shape {array.shape}); each row of "
            f"inputs needs its row of targets.{hint or ' Drop the rows that have no partner.'}"
        )
    if array.ndim == 1 and last.n_out == 1:
        array = array[:, None]
    if array.shape[1:] != (last.n_out,):
        labels = (array.ndim == 1 or array.shape[1:] == (1,)) and (array.dtype.kind != "f" or "entropy" in loss)
        hint = (
            f"Encode labels with tinygrad_nn.data.one_hot({name}, {last.n_out})."
            if labels
            else f"Pass {counted(last.n_out, 'column')}, or make the last layer with n_out=1."
            if array.size == len(array)
            else f"Make the last layer with n_out={array.shape[1]}." if array.ndim == 2 else "Pass one row per sample."
        )
        raise ValueError(
            f"{call}: {layer_name(model, len(model) - 1)} gives {counted(last.n_out, 'column')}; {name} has shape "
            f"{array.shape}. {hint}"
        )
    array = _check_finite(call, array, name)
    if loss.endswith("crossentropy"):
        check_probabilities(call, array, name, loss)
    return array.astype(last.dtype, copy=False)


def check_probabilities(call: str, y: Array, name: str, loss: str) -> None:
    """Raise a ValueError if targets of a cross-entropy are not in [0, 1], or if rows of classes do not sum to 1."""
    if isinstance(y, np.memmap):  # it is read row by row
        return
    outside = (y < 0) | (y > 1)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ValueError(
            f"{call}: {loss} needs targets that are probabilities, and {name}[{', '.join(map(str, place))}] is "
            f"{y[place]:g}, which is outside [0, 1]. Encode labels with tinygrad_nn.data.one_hot(labels); for a "
            "regression use 'mse'."
        )
    if loss == "crossentropy" and y.ndim == 2:  # with more axes, the classes may be on any of them
        sums = y.sum(axis=1, dtype=float)
        wrong = abs(sums - 1) > _SUM
        if wrong.any():
            row = int(wrong.argmax())
            one = " With a single output column use 'binarycrossentropy'." if y.shape[1] == 1 else ""
            raise ValueError(
                f"{call}: crossentropy needs one-hot targets, or rows of probabilities that sum to 1; row {row} of "
                f"{name} is {y[row].tolist()!r:.60}, which sums to {sums[row]:g}.{one} Encode labels with "
                "tinygrad_nn.data.one_hot(labels); for several labels a row use 'binarycrossentropy'."
            )


def _check_numbers(call: str, values: Any, name: str) -> Array:
    if isinstance(values, Tensor):
        raise TypeError(f"{call}: {name} is a Tensor; training takes plain arrays. Pass its numbers, {name}.data.")
    check_unmasked(call, values, name)
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{call}: the rows of {name} have different lengths; give each the same columns.") from None
    if array.dtype.kind not in "fiub":
        hint = (
            f"Class names become numbers with tinygrad_nn.data.one_hot({name}); a table of texts with "
            f"np.asarray({name}, dtype=float)."
            if array.dtype.kind in "US"
            else f"Pass an array of numbers, one row per sample; this is {values!r:.60}."
        )
        raise TypeError(f"{call}: {name} is of type {array.dtype}; a network needs real numbers. {hint}")
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{call}: {name} has shape {array.shape}; it needs one row per sample, and at least one row.")
    return array


def _check_finite(call: str, array: Array, name: str) -> Array:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{call}: {name}[{', '.join(map(str, place))}] is {array[place]}; a network needs finite numbers. Drop the "
            f"row from inputs and targets, array[keep] with keep = np.isfinite({name}).reshape(len({name}), -1)"
            ".all(axis=1), or fill the value in."
        )
    return array
