"""Run code on Tensors that was written for arrays: it calls ``X.dot(W)`` of a constant array X, or writes into arrays.

A function that returns gradients with its loss writes in the lines that compute the gradients, which the graph of the
loss does not need. Since a graph may miss something, it is used only if what it computes, and its derivatives, are
those of a run on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from ...node import Node, switched, thread
from ...tensor import Tensor, make_tensor, raw
from ..conventions.code import Code
from .calling import Inputs

IN_PLACE = ("add", "sub", "mul", "truediv", "pow", "matmul")


class ArrayTensor(Tensor):
    """A Tensor that takes writes, and becomes a plain array or number where one is needed; both lose the graph.

    ``z += 1`` changes it under all its names. What was computed before a change has the old value.
    """

    __slots__ = ()

    def _become(self, new: Tensor) -> ArrayTensor:
        self._array, self.node = new._array, new.node
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        array = self._array.copy()
        array[index] = raw(value)
        self._become(Tensor(array, requires_grad=False))

    def _number(self, call: str) -> Any:
        return self._array.item()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.array(self._array, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        (out,) = kwargs.pop("out", (None,))
        if out is None and method != "at":
            return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)
        target = inputs[0] if out is None else out
        array = raw(target).copy()
        if method == "at":
            ufunc.at(array, *map(raw, inputs[1:]), **kwargs)
        else:
            getattr(ufunc, method)(*map(raw, inputs), out=array, **kwargs)
        target[...] = array
        return out


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    operator = getattr(Tensor, f"__{name}__")
    return lambda self, other: self._become(operator(self, other))


for _name in IN_PLACE:
    setattr(ArrayTensor, f"__i{_name}__", _in_place(_name))


class ArrayWithDot(np.ndarray[Any, Any]):
    """An array whose method `dot` takes Tensors: NumPy's own turns its argument into an array."""

    def dot(self, other: Any, out: Any = None) -> Any:
        """Return the product by the function `np.dot`, which Tensors replace."""
        return np.dot(np.asarray(self), other) if isinstance(other, Tensor) else super().dot(other, out)


def _with_dot(value: Any) -> Any:
    return value.view(ArrayWithDot) if type(value) is np.ndarray else value


@contextmanager
def in_place_of(space: dict[str, Any], values: Mapping[str, Any]) -> Iterator[None]:
    """Put other values into a module's names for a while."""
    before = {name: space[name] for name in values}
    space.update(values)
    try:
        yield
    finally:
        space.update({name: value for name, value in before.items() if space.get(name) is values[name]})


@contextmanager
def constants_with_dot(f: Any) -> Iterator[None]:
    """Let the constant arrays of a function take Tensors in `dot` for a while: of its module, closure and defaults."""
    f = getattr(f, "__func__", f)
    defaults = getattr(f, "__defaults__", None)
    space: dict[str, Any] = getattr(f, "__globals__", {})
    views = {name: _with_dot(part) for name, part in space.items() if type(part) is np.ndarray}
    cells = [cell for cell in getattr(f, "__closure__", None) or () if type(_content(cell)) is np.ndarray]
    arrays = [cell.cell_contents for cell in cells]
    for cell, part in zip(cells, arrays, strict=True):
        cell.cell_contents = _with_dot(part)
    if defaults:
        f.__defaults__ = tuple(map(_with_dot, defaults))
    try:
        with in_place_of(space, views):
            yield
    finally:
        if defaults:
            f.__defaults__ = defaults
        for cell, part in zip(cells, arrays, strict=True):
            cell.cell_contents = part if isinstance(_content(cell), ArrayWithDot) else _content(cell)


def _content(cell: Any) -> Any:
    """Return what a variable of an outer function holds; None before it is assigned."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def inputs_with_dot(inputs: Inputs) -> Inputs:
    """Return inputs whose constant arrays take Tensors in `dot`."""
    moving = {*inputs.float_indices}
    return inputs._replace(leaves=[x if i in moving else _with_dot(x) for i, x in enumerate(inputs.leaves)])


def for_arrays(code: Code) -> Code:
    """Return code whose forward takes Tensors although it was written for arrays."""
    run: Callable[[Inputs, Sequence[Any]], Any] = code.run

    def run_on_tensors(inputs: Inputs, leaves: Sequence[Any]) -> Any:
        if not any(isinstance(x, Tensor) for x in leaves):
            return run(inputs, leaves)
        inspect = thread.mode.inspect

        def as_array_tensor(node: Node, tensor: Tensor) -> Tensor:
            return make_tensor((tensor if inspect is None else inspect(node, tensor))._array, node, ArrayTensor)

        tensors = [make_tensor(x._array, x.node, ArrayTensor) if isinstance(x, Tensor) else x for x in leaves]
        with constants_with_dot(code.source), switched("inspect", as_array_tensor):
            return run(inputs_with_dot(inputs), tensors)

    return replace(code, run=run_on_tensors)
