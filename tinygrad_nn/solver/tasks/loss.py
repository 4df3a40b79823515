"""The loss of a module: the loss that the solver names, and the output to which it is applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...nn.containers import Sequential, is_plain_sequential
from ...nn.layer import Layer, is_plain_layer
from ...nn.losses import FROM_Z, LOSSES
from ...nn.module import Module
from ..settings import Solver


def check_single_number(loss: Any) -> Any:
    """Return the loss; raise a TypeError or ValueError if it is not a single number."""
    if loss is None:
        raise TypeError("the function that computes the loss returned None; write return loss at its end.")
    if isinstance(loss, (tuple, list, dict, str)):
        raise TypeError(
            f"the loss is of type {type(loss).__name__}. A loss is a single number; a function f(params, x, y) returns "
            "it, or the pair (loss, prediction)."
        )
    if np.shape(loss) != ():
        raise ValueError(
            f"the loss has shape {np.shape(loss)}; it must be a single number. Use reduction='mean', or .mean()."
        )
    return loss


class _Weighted(Module):
    """A layer without its activation, for a loss that applies the activation itself."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def attributes(self) -> Any:
        return self._layer.attributes()

    def forward(self, x: Any) -> Any:
        return self._layer.weighted(x)

    def title(self) -> str:
        return repr(self._layer)


def model_and_loss(call: str, model: Module, solver: Solver) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    """Return two functions: the model up to the input of the loss, and the loss.

    After softmax or sigmoid a cross-entropy is computed from the weighted input z of the last layer.
    """
    name = solver.loss
    if name is None:
        raise ValueError(f"{call}: the solver has no loss; write Solver('mse', ...), or Solver(your_function, ...).")
    if not isinstance(name, str):
        return model, name
    parts = dict(model._parts) if is_plain_sequential(model) else {"": model}
    key, last = list(parts.items())[-1]
    if is_plain_layer(last) and (name, last.activation) in FROM_Z:
        return Sequential({**parts, key: _Weighted(last)}), _with_shape_check(call, name, FROM_Z[name, last.activation])
    return model, _with_shape_check(call, name, LOSSES[name])


def _with_shape_check(call: str, name: str, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return the loss with a check of shapes: if prediction and target were broadcast, the loss would be wrong."""

    def checked(yhat: Any, y: Any) -> Any:
        if not hasattr(yhat, "shape"):
            if yhat is None:
                raise TypeError(f"{call}: the model returned None; write return at the end of its forward.")
            what = type(yhat).__name__
            raise TypeError(f"{call}: {name} compares arrays; the model returned a {what}. Write a loss f(output, y).")
        if np.shape(yhat) != np.shape(y):
            hint = (
                "Pass a column of targets, y[:, None]." if np.shape(yhat) == (*np.shape(y), 1)
                else "Use Solver(nn.losses.cross_entropy), which takes labels and logits, or encode them with one_hot."
                if y.dtype.kind in "iu" else "Pass targets of the shape of the prediction."
            )  # fmt: skip
            came = f"a prediction of shape {np.shape(yhat)} with targets of shape {np.shape(y)}"
            raise ValueError(f"{call}: {name} compares {came}. {hint}")
        return loss(yhat, y if y.dtype.kind == "f" else y.astype(yhat.dtype))  # int64 would turn float32 into float64

    return checked
