"""Run code on Tensors that was written for arrays: it writes into them, and calls ``X.dot(W)`` of a constant array X.

Such a graph may miss something, as where a view of an array is written into. So it is only used if what it computes,
and its derivatives, are those of a run on arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from ...node import Node, switched, thread
from ...ops.joining import array
from ...tensor import Tensor, make_tensor, raw
from ...tree import flatten
from ..conventions.code import Code
from .calling import Inputs

MAKERS = ("zeros", "ones", "empty", "full", "zeros_like", "ones_like", "empty_like", "full_like")
JOIN = ("array", "asarray")
IN_PLACE = ("add", "sub", "mul", "truediv", "pow", "matmul")


class ArrayTensor(Tensor):
    """A Tensor that can be written into as an array, and that becomes an array without a graph where one is needed.

    After a write it stands for a new value; what was computed before has the old one.
    """

    __slots__ = ()

    def _become(self, new: Any) -> ArrayTensor:
        self._array, self.node = new._array, new.node
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        self._become(self.at[index].set(value))

    def _number(self, call: str) -> Any:
        return self._array.item()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.array(self._array, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "at":
            target, index, value = inputs
            if ufunc is np.add and isinstance(target, ArrayTensor):
                target._become(target.at[index].add(value))
            else:
                ufunc.at(target, raw(index), raw(value))
            return None
        (out,) = kwargs.pop("out", (None,))
        result = super().__array_ufunc__(ufunc, method, *inputs, **kwargs)
        if out is not None:
            out[...] = result if isinstance(out, Tensor) else raw(result)
        return result if out is None else out


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


class _NumPy:
    """NumPy, but functions that make an array to write into, or join Tensors in one, return Tensors."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        return _making_tensors(function) if name in MAKERS else _joining(function) if name in JOIN else function


class _Math:
    """Python's `math`, but its functions take Tensors, as those of the same name in NumPy do."""

    def __getattr__(self, name: str) -> Any:
        function, of_numpy = getattr(math, name), getattr(np, name, None)
        if not callable(function) or of_numpy is None:
            return function
        return lambda *args: (of_numpy if any(isinstance(x, Tensor) for x in args) else function)(*args)


def _making_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def make(*args: Any, **kwargs: Any) -> Any:
        made = raw(function(*args, **kwargs))
        return make_tensor(made, None, ArrayTensor) if made.dtype.kind in "fc" else made

    return make


def _joining(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def join(value: Any, *args: Any, **kwargs: Any) -> Any:
        has_tensors = any(isinstance(x, Tensor) for x in flatten(value)[0])
        return array(value, *args, **kwargs) if has_tensors else function(value, *args, **kwargs)

    return join


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
def constants_with_dot(f: Any, has_writes: bool = False) -> Iterator[None]:
    """Let the arrays of a function's module and of the functions around it take Tensors in `dot` for a while.

    With `has_writes`, the arrays that the code makes by ``np.zeros(...)`` and the like can be written into as well.
    """
    f = getattr(f, "__func__", f)
    space: dict[str, Any] = getattr(f, "__globals__", {})
    views = {name: _with_dot(part) for name, part in space.items() if type(part) is np.ndarray}
    if has_writes:
        views |= {name: _NumPy() for name, part in space.items() if part is np}
        views |= {name: _Math() for name, part in space.items() if part is math}
    cells = [cell for cell in getattr(f, "__closure__", None) or () if type(_content(cell)) is np.ndarray]
    arrays = [cell.cell_contents for cell in cells]
    for cell, part in zip(cells, arrays, strict=True):
        cell.cell_contents = _with_dot(part)
    try:
        with in_place_of(space, views):
            yield
    finally:
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
        with constants_with_dot(code.source, has_writes=True), switched("inspect", as_array_tensor):
            return run(inputs_with_dot(inputs), tensors)

    return replace(code, run=run_on_tensors)
