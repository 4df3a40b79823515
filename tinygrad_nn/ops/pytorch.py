"""Methods of a Tensor with PyTorch's names, made of NumPy functions: ``t.unsqueeze(0)``, ``t.clamp(min=0)``, ...

A name that also exists in NumPy keeps NumPy's meaning: ``t.repeat``, ``t.std()``, ``t.transpose(0, 1)`` of two axes.
But max, min, std, var, argmax, argmin and argsort follow PyTorch if they are called with one of PyTorch's keywords,
such as ``dim=`` or ``keepdim=``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..primitive import METHODS, REGISTRY, numpy_options
from . import plain, reduce, selection, shape  # noqa: F401 - these define NumPy's methods, which _worded looks up

Function = Callable[..., Any]
_PYTORCH = frozenset({"dim", "keepdim", "unbiased"})  # the keywords by which a method of both tells whose it is


class Found(NamedTuple):
    """Values, and their indices along an axis."""

    values: Any
    indices: Any


def places(index: Any) -> Any:
    """Return an index or a mask as a plain array."""
    return index.data if hasattr(index, "node") else np.asarray(index)


def extreme(reduction: Function, find_index: Function, x: Any, dim: int, keepdim: bool = False) -> Found:
    """Return the largest (or smallest) values along an axis and their indices; of equal values the first counts."""
    at = find_index(x.data, axis=dim, keepdims=True)
    values = np.take_along_axis(x, at, dim)
    return Found(values, at) if keepdim else Found(np.squeeze(values, dim), np.squeeze(at, dim))


def variance_or_std(function: Function, x: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False,
           correction: Any = None) -> Any:  # fmt: skip
    """Return the variance or standard deviation; as in PyTorch it divides by n - 1 by default."""
    ddof = int(unbiased) if correction is None else correction
    return function(x, axis=dim if dim is None else axes(dim), ddof=ddof, keepdims=keepdim)


def axes(dim: Any) -> Any:
    """Return the number of one axis, or several as a tuple."""
    return tuple(dim) if isinstance(dim, (tuple, list)) else dim


def lengths(size: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return lengths as a tuple, whether they were given as separate arguments or as one tuple."""
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size


def split(x: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Return parts of the given size or sizes along an axis; ``np.split`` takes the number of parts instead."""
    size = split_size_or_sections
    cuts = range(size, x.shape[dim], size) if isinstance(size, (int, np.integer)) else np.cumsum(size)[:-1]
    return tuple(np.split(x, list(cuts), axis=dim))


def chunk(x: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """Return at most `chunks` parts of equal size, except that the last may be smaller."""
    return split(x, -(-x.shape[dim] // chunks), dim)


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Return x with the axes from start to end, both included, merged into one."""
    if x.ndim == 0:
        return x.reshape(1)
    first, last = start_dim % x.ndim, end_dim % x.ndim
    return x.reshape((*x.shape[:first], -1, *x.shape[last + 1 :]))


def expand(x: Any, *size: Any) -> Any:
    """Return x broadcast to new lengths along axes of length 1, and along new leading axes; -1 keeps a length."""
    new = lengths(size)
    old = (1,) * (len(new) - x.ndim) + x.shape
    return np.broadcast_to(x, tuple(o if n == -1 else n for n, o in zip(new, old, strict=True)))


def gather(x: Any, dim: int, index: Any) -> Any:
    """Return the entries at the given indices along an axis, as ``np.take_along_axis`` does."""
    index = places(index)
    near = tuple(slice(None if axis == dim % index.ndim else n) for axis, n in enumerate(index.shape))
    return np.take_along_axis(x[near], index, dim)


def norm(x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the p-norm of all entries, or along an axis."""
    p = 2 if p == "fro" else p
    return np.linalg.norm(x.ravel(), p) if dim is None else np.linalg.norm(x, p, axis=axes(dim), keepdims=keepdim)


def order(x: Any, dim: int = -1, descending: bool = False) -> Any:
    """Return the indices that sort an array; equal entries keep their order, and NaN counts as the largest number."""
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    # Sorting -x is no way: unsigned integers and booleans have no sign, and the least integer has no negative.
    backwards = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.flip(x.shape[dim] - 1 - backwards, dim)


def topk(x: Any, k: int, dim: int = -1, largest: bool = True) -> Found:
    """Return the k largest (or smallest) values along an axis and their indices."""
    if not 0 <= k <= x.shape[dim]:
        raise ValueError(f"topk: k={k}; axis {dim} of shape {x.shape} has {x.shape[dim]} entries. Take a smaller k.")
    first = np.take(order(x.data, dim, largest), range(k), axis=dim)
    return Found(np.take_along_axis(x, first, dim), first)


def clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    """Return x with its entries limited to [min, max], as ``np.clip`` does."""
    return np.clip(x, min, max)


# -- dtypes, devices, and the graph

DEVICE = "there is no device {name!r}: arrays are NumPy's and stay in main memory. Leave it out, or write 'cpu'."
_VIEW = (
    "t.view takes lengths. For another shape write `t.reshape(3, 2)`, for another dtype `t.astype(np.float32)`. "
    "Reinterpreting the bits of floats has no derivative."
)
_NUMPY = "t.numpy() would drop the graph of this Tensor. Write t.data, or t.detach().numpy()."


def to(x: Any, *how: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, copy: bool = False) -> Any:
    """Return x converted to a dtype, or to that of another Tensor; the only device is ``"cpu"``."""
    for one in (*how, dtype, device):
        if isinstance(one, str):
            if one.split(":")[0] != "cpu":
                raise ValueError(DEVICE.format(name=one))
        elif one is not None and not isinstance(one, bool):
            x = x.astype(getattr(one, "dtype", one))
    return x.copy() if copy else x


def numpy(x: Any, *, force: bool = False) -> Any:
    """Return the ndarray of a constant, or of any Tensor if `force` is true; raise TypeError otherwise."""
    if x.node is not None and not force:
        raise TypeError(_NUMPY)
    return x.data


def requires_grad_(x: Any, requires_grad: bool = True) -> Any:
    """Set whether gradients are wanted with respect to a leaf, and return the leaf."""
    x.requires_grad = requires_grad
    return x


def retain_grad(x: Any) -> None:
    """Let `backward` store the gradient of a Tensor that is not a leaf in its ``grad``."""
    if not x.is_leaf:
        node = x.node

        def keep(g: Any) -> None:
            node.grad = np.array(g) if node.grad is None else node.grad + g

        x.register_hook(keep)


def _new(array: Any, like: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return an array as a Tensor of the dtype of another one, a constant unless gradients are wanted."""
    made = type(like)(array.astype(like.dtype if dtype is None else dtype), requires_grad=requires_grad)
    return to(made, device=device)


def _nonzero(x: Any, as_tuple: bool | None = None) -> Any:
    """Return the indices of the entries that are not zero as in NumPy, or if as_tuple is given as in PyTorch."""
    found = np.argwhere(x.data) if as_tuple is False else np.nonzero(x.data)
    kind = type(x.detach())
    return found if as_tuple is None else tuple(map(kind, found)) if as_tuple else kind(found)


def _refuse_device(word: str) -> Function:
    def refuse(x: Any, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(DEVICE.format(name=word))

    return refuse


def _cast_method(dtype: Any) -> Function:
    return lambda x: x.astype(dtype)


def _pytorch_or_numpy(name: str, meant: Function) -> Function:
    """Return a method that calls PyTorch's version `meant` if a keyword of PyTorch is given, and NumPy's otherwise."""
    numpys = METHODS.get(name) or REGISTRY[name]

    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        if _PYTORCH.isdisjoint(kwargs):
            return numpys(x, *args, **kwargs)
        return meant(x, *args, **{"dim" if word == "axis" else word: value for word, value in kwargs.items()})

    return method


def _numpy_method(function: Function) -> Function:
    """Return a method that calls a NumPy function and also accepts dim= for axis= and keepdim= for keepdims=."""
    return lambda x, *args, **kwargs: function(x, *args, **numpy_options(kwargs))


def _index_method(function: Function) -> Function:
    """Return a method for indices: an array as in NumPy, but a constant Tensor if a keyword of PyTorch is given."""
    numpys = _numpy_method(function)

    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        found = numpys(x, *args, **kwargs)
        is_plain = isinstance(found, (np.ndarray, np.generic))  # in a trace it is a Tensor already
        return type(x.detach())(found) if is_plain and not _PYTORCH.isdisjoint(kwargs) else found

    return method


def _flatten(x: Any, *args: Any, **kwargs: Any) -> Any:
    order = "order" in kwargs or any(isinstance(arg, str) for arg in args)
    return np.ravel(x, *args, **kwargs) if order or not (args or kwargs) else flatten(x, *args, **kwargs)


def _repeat(x: Any, *how: Any, **options: Any) -> Any:
    times = how[0] if len(how) == 1 and isinstance(how[0], tuple) and len(how[0]) not in (1, x.size) else how
    if len(how) > 2 or times is not how or (len(how) == 2 and isinstance(how[1], int) and how[1] >= x.ndim):
        raise TypeError(
            f"t.repeat is np.repeat(t, repeats, axis). What PyTorch means by t.repeat{how} is np.tile(t, {times})."
        )
    return np.repeat(x, *how, **numpy_options(options))


def _view(x: Any, *size: Any) -> Any:
    if not all(isinstance(n, (int, np.integer)) for n in lengths(size)):
        raise TypeError(_VIEW)
    return x.reshape(*size)


METHODS.update({
    "abs":         np.absolute,
    "add":         np.add,
    "all":         _numpy_method(np.all),
    "any":         _numpy_method(np.any),
    "argmax":      _index_method(np.argmax),
    "argmin":      _index_method(np.argmin),
    "argsort":     _index_method(np.argsort),
    "bool":        lambda x: x.detach().astype(bool),
    "chunk":       chunk,
    "clamp":       clamp,
    "clone":       lambda x: x.copy(),
    "contiguous":  lambda x: x,
    "cpu":         lambda x: x,
    "cuda":        _refuse_device("cuda"),
    "dim":         lambda x: x.ndim,
    "div":         np.divide,
    "double":      _cast_method(np.float64),
    "eq":          np.equal,
    "expand":      expand,
    "expand_as":   lambda x, other: np.broadcast_to(x, other.shape),
    "flatten":     _flatten,
    "flip":        lambda x, *axes, dims=(): np.flip(x, lengths(axes) or dims),
    "float":       _cast_method(np.float32),
    "gather":      gather,
    "ge":          np.greater_equal,
    "gt":          np.greater,
    "index_select": lambda x, dim, index: np.take(x, places(index), axis=dim),
    "int":         lambda x: x.detach().astype(np.int32),
    "isinf":       np.isinf,
    "isnan":       np.isnan,
    "le":          np.less_equal,
    "long":        lambda x: x.detach().astype(np.int64),
    "lt":          np.less,
    "masked_fill": lambda x, mask, value: np.where(places(mask), value, x),
    "masked_select": lambda x, mask: x[places(mask)],
    "max":         _pytorch_or_numpy("max", partial(extreme, np.max, np.argmax)),
    "min":         _pytorch_or_numpy("min", partial(extreme, np.min, np.argmin)),
    "mm":          np.matmul,
    "bmm":         np.matmul,
    "mul":         np.multiply,
    "mv":          np.matmul,
    "ne":          np.not_equal,
    "ndimension":  lambda x: x.ndim,
    "neg":         np.negative,
    "nelement":    lambda x: x.data.size,
    "new_empty":   lambda x, *size, **options: _new(np.zeros(lengths(size)), x, **options),
    "new_full":    lambda x, size, fill_value, **options: _new(np.full(size, fill_value), x, **options),
    "new_ones":    lambda x, *size, **options: _new(np.ones(lengths(size)), x, **options),
    "new_tensor":  lambda x, data, **options: _new(np.asarray(places(data)), x, **options),
    "new_zeros":   lambda x, *size, **options: _new(np.zeros(lengths(size)), x, **options),
    "nonzero":     _nonzero,
    "norm":        norm,
    "numel":       lambda x: x.data.size,
    "numpy":       numpy,
    "permute":     lambda x, *dims: np.transpose(x, lengths(dims)),
    "pow":         np.power,
    "repeat":      _repeat,
    "repeat_interleave": lambda x, repeats, dim=None: np.repeat(x, repeats, axis=dim),
    "requires_grad_": requires_grad_,
    "retain_grad": retain_grad,
    "reshape_as":  lambda x, other: x.reshape(other.shape),
    "rsqrt":       lambda x: 1 / np.sqrt(x),
    "split":       split,
    "std":         _pytorch_or_numpy("std", partial(variance_or_std, np.std)),
    "sub":         np.subtract,
    "t":           lambda x: x.T,
    "to":          to,
    "topk":        topk,
    "tril":        lambda x, diagonal=0: np.tril(x, diagonal),
    "triu":        lambda x, diagonal=0: np.triu(x, diagonal),
    "type":        to,
    "type_as":     to,
    "unique":      np.unique,
    "unsqueeze":   lambda x, dim: np.expand_dims(x, dim),
    "var":         _pytorch_or_numpy("var", partial(variance_or_std, np.var)),
    "view":        _view,
    "view_as":     lambda x, other: x.reshape(other.shape),
})  # fmt: skip
