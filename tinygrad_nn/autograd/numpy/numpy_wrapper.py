"""NumPy's functions as programs for autograd call them: with Tensors inside lists and in array constructors.

A NumPy function dispatches on a Tensor among its arguments, but not on one inside a list, and array constructors
(np.array, np.full, np.r_) do not dispatch at all. The wrappers here turn such a list into one Tensor first; the
constructors are written here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from types import ModuleType
from typing import Any

import numpy as np

from ...tensor import Tensor
from ..tracer import getval

# Functions whose argument is a list of arrays: each list inside it becomes one Tensor, not the whole list.
_OF_ARRAYS = frozenset({
    np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack, np.block, np.linalg.multi_dot,
    np.select, np.choose, np.broadcast_arrays, np.meshgrid, np.piecewise, np.lexsort, np.ix_,
})  # fmt: skip


def tensors_in(value: Any) -> list[Tensor]:
    """Return all Tensors in a value: the value itself, or those in nested lists and tuples."""
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in tensors_in(part)]
    return [value] if isinstance(value, Tensor) else []


def array(A: Any, *args: Any, **kwargs: Any) -> Any:
    """Return an array made of a number, an array or nested lists; a Tensor if they contain a Tensor."""
    found = tensors_in(A)
    return np.array(A, *args, **kwargs, like=found[0]) if found else np.array(A, *args, **kwargs)


def asarray(a: Any, dtype: Any = None, **layout: Any) -> Any:
    """Return a value as an array or Tensor, without a copy if it is one already."""
    if isinstance(a, Tensor) and dtype is None:
        return a
    return array(a, dtype) if tensors_in(a) else np.asarray(a, dtype, **layout)


def full(shape: Any, fill_value: Any, dtype: Any = None, **layout: Any) -> Any:
    """Return an array of a shape, filled with a number or with values that broadcast to the shape."""
    fill_value, shape = as_one_tensor(fill_value), getval(shape)
    if isinstance(fill_value, Tensor):
        layout["like"] = fill_value
    return np.full(shape, fill_value, dtype, **layout)


def full_like(a: Any, fill_value: Any, dtype: Any = None, **layout: Any) -> Any:
    """Return an array of the shape and dtype of a, filled with a number or values that broadcast to the shape."""
    shape = layout.get("shape")
    return full(np.shape(a) if shape is None else shape, fill_value, dtype or np.result_type(a))


def where(condition: Any, *choices: Any, **named: Any) -> Any:
    """Return the entries of x where the condition holds, else of y; without x and y, the indices where it holds."""
    choices = (*choices, *(named[name] for name in ("x", "y") if name in named))
    out = np.where(getval(condition), *map(as_one_tensor, choices))
    plain = choices and not any(isinstance(x, (Tensor, np.ndarray, np.generic)) for x in (condition, *choices))
    return out.tolist() if plain and not tensors_in(choices) else out  # Python numbers and lists stay so


def make_diagonal(D: Any, offset: int = 0, axis1: int = -1, axis2: int = -2) -> Any:
    """Return matrices whose diagonals are the last axis of D."""
    if offset != 0 or {axis1, axis2} != {-1, -2}:
        raise NotImplementedError("make_diagonal supports only offset=0 and the last two axes; see np.diag.")
    return D[..., None] * np.eye(np.shape(D)[-1])


def isscalar(element: Any) -> bool:
    """Tell whether a value is a number or a 0-d Tensor."""
    return element.ndim == 0 if isinstance(element, Tensor) else np.isscalar(element)


def as_one_tensor(value: Any) -> Any:
    """Return nested lists that contain Tensors as one Tensor, and any other value unchanged."""
    return array(value) if isinstance(value, (list, tuple)) and tensors_in(value) else value


def wrap_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a NumPy function so that it also finds Tensors inside lists."""
    of_arrays = function in _OF_ARRAYS

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if of_arrays and args:
            args = (_as_sequence(args[0]), *args[1:])
        convert = _each_as_tensor if of_arrays else as_one_tensor
        if any(isinstance(x, (list, tuple)) for x in (*args, *kwargs.values())):
            args = tuple(convert(x) for x in args)
            kwargs = {name: convert(x) for name, x in kwargs.items()}
        return function(*args, **kwargs)

    return call


def _each_as_tensor(arrays: Any) -> Any:
    return [as_one_tensor(x) for x in arrays] if isinstance(arrays, (list, tuple)) else arrays


def _as_sequence(arrays: Any) -> Any:
    """Return a generator, a map or the values of a dict as a list; lists, tuples and arrays unchanged."""
    return arrays if isinstance(arrays, (list, tuple, np.ndarray, Tensor)) else list(arrays)


class _Joined:
    """np.r_ and np.c_ for Tensors: join the arrays in brackets along an axis."""

    def __init__(self, plain: Any, columns: bool) -> None:
        self.plain, self.columns = plain, columns

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if not tensors_in(parts):
            return self.plain[key]
        if isinstance(parts[0], str):
            raise NotImplementedError(f"{parts[0]!r} in brackets with a Tensor; write np.concatenate with an axis.")
        arrays = [np.r_[part] if isinstance(part, slice) else np.atleast_1d(as_one_tensor(part)) for part in parts]
        if self.columns:
            arrays = [x[:, None] if x.ndim == 1 else x for x in arrays]
        return np.concatenate(arrays, axis=-1 if self.columns else 0)


def _integers(kind: type) -> type:
    """Return an integer type that also converts Tensors, to plain NumPy numbers."""
    return type(kind.__name__, (kind,), {"__new__": lambda cls, *args: kind(*map(getval, args))})


r_, c_ = _Joined(np.r_, False), _Joined(np.c_, True)
OWN: dict[str, Any] = {
    "array": array, "asarray": asarray, "asanyarray": asarray, "ascontiguousarray": asarray, "full": full,
    "full_like": full_like, "where": where, "isscalar": isscalar, "r_": r_, "c_": c_,
    "make_diagonal": make_diagonal, "row_stack": wrap_function(np.vstack),
    **{kind.__name__: _integers(kind) for kind in (np.int8, np.int16, np.int32, np.int64)},
}  # fmt: skip


def wrap_namespace(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Put the functions of a module into another namespace, wrapped so that they also find Tensors inside lists.

    Args:
        old: the namespace of a module of NumPy or SciPy.
        new: the namespace to fill; names that begin with ``_`` are left out.
    """
    for name, value in old.items():
        if name[0] != "_" and not isinstance(value, ModuleType):
            new[name] = wrap_function(value) if callable(value) and not isinstance(value, type) else value


def names(module: Any) -> Iterable[str]:
    """Return the public names of a module."""
    return getattr(module, "__all__", None) or [name for name in dir(module) if name[0] != "_"]
