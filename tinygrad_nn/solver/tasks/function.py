"""The task of a plain function of parameters, inputs and targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...common.printable import printable
from ...nn.module import Module
from ...nn.state import assign
from ...node import no_grad
from ...tensor import Tensor, raw
from ...tree import flatten
from ..settings import Solver
from .loss import check_single_number
from .module import ModuleTask

Array = np.ndarray[Any, Any]
_SHAPE = "params is a dict or list, nested as you like, of arrays of floats: {'W': np.zeros((3, 4)), 'b': np.zeros(3)}."


class FunctionTask(ModuleTask):
    """The task of a function ``f(params, x, y)`` that returns the loss, or a tuple of loss and prediction."""

    more = "put arrays of floats into params"

    def __init__(self, call: str, function: Callable[..., Any], params: Any, solver: Solver) -> None:
        if solver.loss is not None:
            raise ValueError(
                f"{call}: the function of (params, x, y) returns its loss itself, and the solver names {solver.loss!r} "
                "too. Write Solver(optimizer='adam', learning_rate=0.01)."
            )
        self.nest = _Nest(call, function, params)
        super().__init__(call, self.nest, replace(solver, loss="mse"))

    def batch_loss(self, x: Any, y: Any) -> Any:
        """Return the loss that the function returns."""
        return check_single_number(_loss_and_prediction(self.nest(x, y))[0])

    def publish(self) -> None:
        """Put the trained arrays into the user's own params."""
        self.nest.publish()

    def restore(self, arrays: dict[str, Array]) -> None:
        """Restore the parameters."""
        super().restore(arrays)
        self.nest.publish()

    def evaluate(self, x: Any, y: Any) -> tuple[float, Any]:
        """Return the loss and the prediction, or None if the function does not return one."""
        with no_grad():
            loss, prediction = _loss_and_prediction(self.nest(self.cast(x), self.cast(y)))
        leaves, rebuild = flatten(prediction)
        return float(raw(loss)), None if prediction is None else rebuild([raw(leaf) for leaf in leaves])


class _Nest(Module):
    """A function and its nested params as a module: each array of params becomes a Tensor."""

    def __init__(self, call: str, function: Callable[..., Any], params: Any) -> None:
        self.function, self._params = function, params
        self._places = list(_array_places(call, "", params))
        self._tensors: dict[str, Tensor] = {}
        seen: set[str] = set()
        for path, holder, key in self._places:
            if path in seen:
                raise ValueError(f"{call}: params has two arrays at {printable(path)}; give one of them another key.")
            seen.add(path)
            value = holder[key]
            if not isinstance(value, Tensor):
                value = Tensor(np.array(value), name=path)
            if value.node is not None:
                self._tensors[path] = value

    def attributes(self) -> Mapping[str, Any]:
        """Return the Tensors by their paths."""
        return self._tensors

    def constants(self) -> dict[str, Any]:
        """Return the constants of params, such as integer arrays, by path."""
        return {path: raw(holder[key]) for path, holder, key in self._places if path not in self._tensors}

    def title(self) -> str:
        """Return the name of the function."""
        return str(getattr(self.function, "__name__", "function"))

    def forward(self, x: Any, y: Any) -> Any:
        """Call the function with params in which Tensors replace the arrays."""
        leaves, rebuild = flatten(self._params)
        found = iter(self._places)
        return self.function(
            rebuild([self._tensors.get(next(found)[0], leaf) for leaf in leaves]), x, y
        )

    def publish(self) -> None:
        """Put the current arrays of the Tensors into the user's own params."""
        for path, holder, key in self._places:
            tensor = self._tensors.get(path)
            if tensor is None:
                continue
            if isinstance(holder[key], Tensor):
                if holder[key] is not tensor:
                    assign(holder[key], tensor.data)
            else:
                holder[key] = tensor.data


def _array_places(call: str, path: str, nest: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, container and key of every array of nested params, in the order of `flatten`."""
    if not isinstance(nest, (dict, list)):
        where = printable(path or "params")
        raise TypeError(f"{call}: {where} is {nest!r:.60} of type {type(nest).__name__}; {_SHAPE}")
    for key, value in nest.items() if isinstance(nest, dict) else enumerate(nest):
        inner = f"{path}.{key}" if path else str(key)
        if value is None:
            continue
        if isinstance(value, (Tensor, np.ndarray, float, int, np.generic)):
            yield inner, nest, key
        else:
            yield from _array_places(call, inner, value)


def _loss_and_prediction(result: Any) -> tuple[Any, Any]:
    """Return loss and prediction from a function's result; the prediction is None if there is none."""
    return result if isinstance(result, tuple) and len(result) == 2 else (result, None)
