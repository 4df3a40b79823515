"""NumPy functions without a gradient, such as shapes and comparisons, and those that would write into a Tensor.

Functions that only ask something (where is the largest entry?) return a plain array. Some of them accept only
constants: for a Tensor that requires gradients they would lose the graph, so they raise. Functions that write always
raise. The module also has the helpers that read plain values from Tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..common.bool_array import as_bools
from ..primitive import METHODS, OVERRIDES, no_rule

ANSWERED: tuple[Any, ...] = (
    np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.may_share_memory, np.shares_memory,
    np.can_cast, np.common_type, np.min_scalar_type,
    np.argmax, np.argmin, np.argsort, np.argpartition, np.nanargmax, np.nanargmin, np.lexsort, np.searchsorted,
    np.digitize, np.nonzero, np.flatnonzero, np.argwhere, np.count_nonzero, np.all, np.any, np.isin,
    np.ix_, np.ravel_multi_index, np.unravel_index, np.diag_indices_from, np.tril_indices_from, np.triu_indices_from,
    np.isnan, np.isinf, np.isfinite, np.signbit, np.isreal, np.iscomplex, np.isposinf, np.isneginf,
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.logical_and, np.logical_or, np.logical_not, np.logical_xor,
    np.allclose, np.isclose, np.array_equal, np.array_equiv, np.array2string, np.array_repr, np.array_str,
    np.zeros_like, np.ones_like, np.empty_like,
)  # fmt: skip

OF_CONSTANTS: tuple[Any, ...] = (
    np.packbits, np.unpackbits, np.histogram_bin_edges,
    np.arange, np.zeros, np.ones, np.empty, np.eye, np.identity, np.tri, np.fromfunction,  # reached through like=
)  # fmt: skip

WRITERS: tuple[Any, ...] = (np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal)
QUESTIONS = (*ANSWERED, *OF_CONSTANTS, *WRITERS)  # all functions here: they take a Tensor and have no gradient

# The methods of an ndarray that read its values.
NUMBERS = (
    "__bool__", "__float__", "__int__", "__index__", "__complex__", "__iter__", "__contains__", "__array__", "item",
    "tolist", "argmax", "argmin", "argsort", "searchsorted", "take", "compress", "dot", "astype", "trace", "cumsum",
    "cumprod", "round", "copy", "diagonal", "repeat", "choose", "nonzero", "argpartition",
)  # fmt: skip

OUT = "{name} of a Tensor cannot write into out=, which would lose the graph. Remove out= and use what it returns."


def delegate_methods(kind: type, source: Callable[[Any], Any]) -> None:
    """Let an array class that stands only for shape and dtype pass methods that read values on to its Tensor.

    `source` returns the Tensor that an array of the class `kind` stands for.
    """

    def of(name: str) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: getattr(source(self).detach(), name)(*args, **kwargs)

    for name in NUMBERS:
        setattr(kind, name, of(name))


def require_everywhere(x: Any, holds: Any, error: Exception) -> Any:
    """Return x; raise the error unless the condition `holds` is true everywhere.

    While a function is traced the condition is not known. The compiled function then indexes x out of bounds if it is
    false; that fails, so the function runs uncompiled and raises the error itself.
    """
    if not is_tensor(holds):
        if not np.all(holds):
            raise error
        return x
    n = x.size
    return x.reshape(-1)[np.where(np.all(holds), np.arange(n), n)].reshape(x.shape)


def as_arrays(value: Any) -> Any:
    """Return a value with every Tensor in it, also inside lists and tuples, replaced by its array."""
    if isinstance(value, (list, tuple)):
        return type(value)([as_arrays(part) for part in value])
    return value._array_for_query() if is_tensor(value) else value


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a Tensor."""
    return hasattr(type(value), "_funnel")


def as_operand(x: Any) -> Any:
    """Return a Tensor unchanged, and anything else as an array."""
    return x if is_tensor(x) else np.asarray(x)


def whole_as_float64(x: Any) -> Any:
    """Return an array; integers and booleans as float64, in which NumPy's functions that divide or subtract compute."""
    return x.astype(np.float64) if x.dtype.kind in "iub" else x


def tensors(value: Any) -> list[Any]:
    """Return a list of the Tensors in a value, which may be a Tensor or nested lists and tuples."""
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in tensors(part)]
    return [value] if is_tensor(value) else []


def override(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator: the function replaces these NumPy functions for Tensors, if this NumPy version has them."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        OVERRIDES.update({getattr(np, name): function for name in names if hasattr(np, name)})
        return function

    return register


def refuse_out(name: str, out: Any) -> None:
    """Raise TypeError if ``out=`` was given."""
    if out is not None:
        raise TypeError(OUT.format(name=f"np.{name}"))


def checked_dtype(dtype: Any, *arrays: Any) -> Any:
    """Return the given dtype after checking that it is not an integer dtype for floating-point arrays.

    Raises:
        TypeError: it would cut off fractions, so that every derivative would be 0.
    """
    if isinstance(dtype, bool):
        raise TypeError(f"dtype={dtype}; it needs a dtype. If this is meant as keepdims, name it: keepdims={dtype}.")
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        for kind in (np.result_type(x) for x in arrays):
            if kind.kind in "fc":
                raise TypeError(
                    f"dtype={np.dtype(dtype).name} cuts off the fractions of {kind.name}, and with them the gradient. "
                    "For a plain value compute with t.data."
                )
    return dtype


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        return as_bools(function(*as_arrays(args), **{key: as_arrays(value) for key, value in kwargs.items()}))

    answer.__name__ = function.__name__
    return answer


def _of_constants(function: Callable[..., Any]) -> Callable[..., Any]:
    plain = _plain(function)

    def answer(*args: Any, **kwargs: Any) -> Any:
        if any(t.node is not None for t in tensors([*args, *kwargs.values()])):
            raise no_rule(function)
        return plain(*args, **kwargs)

    answer.__name__ = function.__name__
    return answer


def returns_plain(handler: Any) -> bool:
    """Tell whether our replacement of a NumPy function returns plain arrays, without gradients."""
    return getattr(handler, "__qualname__", "").startswith(("_plain.", "_of_constants."))


def _writes(name: str, way: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{name} writes into an array, and a Tensor's graph would not record it. {way}")

    refuse.__name__ = name.split(".")[-1]
    return refuse


_AT = "Make a new Tensor instead: t = t.at[index].set(value); the old one may be a plain array, Tensor(array)."
for question in ANSWERED:
    OVERRIDES[question] = _plain(question)
for question in OF_CONSTANTS:
    OVERRIDES[question] = _of_constants(question)
_AT_OR_FULL = f"{_AT} Instead of np.full_like(a, t) write np.full(a.shape, t, like=t)."
for writer in WRITERS:
    OVERRIDES[writer] = _writes(f"np.{writer.__name__}", _AT_OR_FULL if writer is np.copyto else _AT)
for method in ("fill", "put", "setfield", "byteswap"):
    METHODS[method] = _writes(f"t.{method}", _AT)
for method in ("resize", "sort", "partition"):
    METHODS[method] = _writes(f"t.{method}", f"np.{method}(t, ...) makes a new one.")
