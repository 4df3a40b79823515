"""Methods of a Tensor with PyTorch's names, made of NumPy functions: ``t.unsqueeze(0)``, ``t.clamp(min=0)``, ...

A name that also exists in NumPy keeps NumPy's meaning: ``t.repeat``, ``t.std()``, ``t.transpose(0, 1)`` of two axes.
But max, min, std, var, squeeze, argmax, argmin and argsort follow PyTorch if they are called with one of PyTorch's
keywords, such as ``dim=`` or ``keepdim=``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..primitive import METHODS, REGISTRY, numpy_options
from . import plain, selection, shape  # noqa: F401 - these define NumPy's methods, which are looked up below
from . import reduce as _  # noqa: F401
from .indices import (
    as_constant,
    at_axis,
    extreme,
    gather,
    index_add,
    order,
    places,
    running_extreme,
    scatter,
    scatter_reduce,
    take_along_dim,
    topk,
)

Function = Callable[..., Any]
# The keywords by which a method of both tells whose it is.
_PYTORCH = frozenset({"correction", "dim", "keepdim", "unbiased"})


def variance_or_std(function: Function, x: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False,
           correction: Any = None) -> Any:  # fmt: skip
    """Return the variance or standard deviation; it divides by n - 1 by default, and a first True is unbiased."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
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


def expand(x: Any, *each: Any, size: Any = ()) -> Any:
    """Return x broadcast to new lengths along axes of length 1, and along new leading axes; -1 keeps a length."""
    new = lengths(each) or tuple(size)
    old = (1,) * (len(new) - x.ndim) + x.shape
    return np.broadcast_to(x, tuple(o if n == -1 else n for n, o in zip(new, old, strict=True)))


def flip(x: Any, dims: Any) -> Any:
    """Return x with axes in reverse order; the array of a constant is copied, so that it can be written into."""
    return np.flip(x, axes(dims)) if x.node is not None else np.flip(x, axes(dims)).copy()


def unfold(x: Any, dimension: int, size: int, step: int = 1) -> Any:
    """Return windows of an axis: the axis counts them, and a new last axis has the entries of each."""
    starts = np.arange(0, x.shape[dimension] - size + 1, step)
    windows = np.take(x, starts[:, None] + np.arange(size), axis=dimension)
    return np.moveaxis(windows, dimension % x.ndim + 1, -1)


def add_multiple(function: Function) -> Function:
    """Return NumPy's add or subtract with PyTorch's alpha, a factor of the second argument."""
    return lambda x, other, alpha=1: function(x, other if isinstance(alpha, int) and alpha == 1 else other * alpha)


def div(x: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """Return the quotient, with rounding_mode="floor" or "trunc" rounded down or towards zero."""
    if rounding_mode == "floor":
        return np.floor_divide(x, other)
    if rounding_mode not in (None, "trunc"):
        raise ValueError(f"div: rounding_mode={rounding_mode!r}; known are None, 'floor' and 'trunc'.")
    a, b = places(x), places(other)
    if rounding_mode and np.result_type(a, b).kind in "iu":  # a quotient of floats has 53 bits
        down, left = np.divmod(a, b)
        return as_constant(down + ((left != 0) & (down < 0)), x)
    found = np.divide(x, other)
    return np.trunc(found) if rounding_mode else found


def cross(x: Any, other: Any, dim: int | None = None) -> Any:
    """Return the cross product along an axis, by default the first one of length 3."""
    if dim is None:
        dim = next((k for k, n in enumerate(x.shape) if n == 3), -1)
    return np.cross(x, other, axis=dim)


def cast(x: Any, dtype: Any) -> Any:
    """Return x with another dtype, or unchanged if that is None."""
    return x if dtype is None else x.astype(dtype)


def norm(x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Return the p-norm of all entries, or of those along one or more axes; "nuc" is the nuclear norm of matrices."""
    x = cast(x, dtype)
    if p == "nuc":
        return np.linalg.norm(x, p, axis=axes(dim), keepdims=keepdim)
    return np.linalg.vector_norm(x, axis=axes(dim), keepdims=keepdim, ord=2 if p in (None, "fro") else p)


def logdet(x: Any) -> Any:
    """Return the logarithm of determinants: -inf of 0; as in PyTorch NaN, with a gradient of 0, of negative ones."""
    sign, size = np.linalg.slogdet(x)
    return size + np.log(sign) if x.dtype.kind == "c" else np.where(sign < 0, np.nan, size)


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


def _new_of(make: Function) -> Function:
    def method(x: Any, *each: Any, size: Any = (), **options: Any) -> Any:
        return _new(make(lengths(each) or tuple(size)), x, **options)

    return method


def _nonzero(x: Any, as_tuple: bool | None = None) -> Any:
    """Return the indices of the entries that are not zero as in NumPy, or if as_tuple is given as in PyTorch."""
    found = np.argwhere(x.data) if as_tuple is False else np.nonzero(x.data)
    kind = type(x.detach())
    return found if as_tuple is None else tuple(map(kind, found)) if as_tuple else kind(found)


def _of_two(function: Function) -> Function:
    return lambda x, other: function(x, other)


def _softmax(name: str, x: Any, *args: Any, dtype: Any = None, **options: Any) -> Any:
    return REGISTRY[name](cast(x, dtype), *args, **options)


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
        if args and name in ("max", "min") and getattr(args[0], "shape", ()):
            raise TypeError(f"t.{name} takes an axis, as in NumPy. Entry by entry it is np.{name}imum(t, other).")
        if _PYTORCH.isdisjoint(kwargs) and not (args and isinstance(args[0], bool)):
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
        return found if _PYTORCH.isdisjoint(kwargs) else as_constant(found, x)

    return method


def _argsort(x: Any, *args: Any, descending: bool = False, **options: Any) -> Any:
    """Return the indices that sort; with descending=True as in PyTorch, a Tensor."""
    if not descending:
        return _index_method(np.argsort)(x, *args, **options)
    (dim,) = args or (options.get("dim", -1),)
    return as_constant(order(np.asarray(x.data), dim, True), x)


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


def _squeeze(x: Any, *axis: Any, **options: Any) -> Any:
    """Remove axes as NumPy does, or with ``dim=`` as PyTorch does."""
    if "dim" in options:
        return squeeze(x, **options)
    if len(axis) == 1 and isinstance(axis[0], int) and -x.ndim <= axis[0] < x.ndim and x.shape[axis[0]] != 1:
        raise ValueError(
            f"t.squeeze({axis[0]}) is np.squeeze: axis {axis[0]} of shape {x.shape} is not of length 1. To leave such "
            f"an axis, as PyTorch does, write t.squeeze(dim={axis[0]})."
        )
    return np.squeeze(x, *axis, **options)


def squeeze(x: Any, dim: Any = None) -> Any:
    """Remove axes of length 1, all or those that are named; longer ones stay."""
    named = range(x.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    return np.squeeze(x, tuple(k for k in named if x.shape[k] == 1))


def _refused_view(x: Any, size: Any) -> str:
    """Return the text for ``t.view(dtype)``, with the edit if pairs of floats become complex numbers, or back."""
    try:
        wanted = np.dtype(size[0])
    except TypeError:
        return _VIEW
    if wanted.kind + x.dtype.kind == "cf" and wanted.itemsize == 2 * x.dtype.itemsize:
        edit = "t[..., 0::2] + 1j * t[..., 1::2]"
    elif wanted.kind + x.dtype.kind == "fc" and x.dtype.itemsize == 2 * wanted.itemsize:
        edit = "np.stack([t.real, t.imag], -1).reshape(*t.shape[:-1], -1)"
    else:
        return _VIEW
    return f"t.view takes lengths. For the numbers of t.view({wanted}) write `{edit}`."


def _view(x: Any, *size: Any) -> Any:
    if not all(isinstance(n, (int, np.integer)) for n in lengths(size)):
        raise TypeError(_refused_view(x, size))
    return x.reshape(*size)


METHODS.update({
    **{name: getattr(np, name) for name in ("isfinite", "logical_not")},
    **{name: _of_two(getattr(np, numpys)) for name, numpys in {
        "eq": "equal", "ge": "greater_equal", "gt": "greater", "le": "less_equal", "logical_and": "logical_and",
        "logical_or": "logical_or", "logical_xor": "logical_xor", "lt": "less", "mul": "multiply", "ne": "not_equal",
    }.items()},
    **{name: partial(_softmax, name) for name in ("softmax", "log_softmax")},
    "abs":         np.absolute,
    "add":         add_multiple(np.add),
    "addcdiv":     lambda x, tensor1, tensor2, value=1: x + value * tensor1 / tensor2,
    "addcmul":     lambda x, tensor1, tensor2, value=1: x + value * tensor1 * tensor2,
    "addmm":       lambda x, mat1, mat2, beta=1, alpha=1: beta * x + alpha * (mat1 @ mat2),
    "all":         _numpy_method(np.all),
    "amax":        _numpy_method(np.max),
    "amin":        _numpy_method(np.min),
    "allclose":    lambda x, other, rtol=1e-5, atol=1e-8, equal_nan=False: bool(
        np.allclose(x.data, places(other), rtol, atol, equal_nan)),
    "any":         _numpy_method(np.any),
    "argmax":      _index_method(np.argmax),
    "argmin":      _index_method(np.argmin),
    "argsort":     _argsort,
    "baddbmm":     lambda x, batch1, batch2, beta=1, alpha=1: beta * x + alpha * (batch1 @ batch2),
    "bool":        lambda x: x.detach().astype(bool),
    "byte":        lambda x: x.detach().astype(np.uint8),
    "chunk":       chunk,
    "clamp":       clamp,
    "clamp_max":   lambda x, max: np.clip(x, None, max),
    "clamp_min":   lambda x, min: np.clip(x, min, None),
    "clone":       lambda x: x.copy(),
    "cummax":      partial(running_extreme, "cummax"),
    "cummin":      partial(running_extreme, "cummin"),
    "count_nonzero": _numpy_method(np.count_nonzero),
    "cross":       cross,
    "contiguous":  lambda x: x if x.node or x.data.flags.c_contiguous else x.copy(),
    "cpu":         lambda x: x,
    "cuda":        _refuse_device("cuda"),
    "diagonal":    lambda x, offset=0, axis1=0, axis2=1, dim1=None, dim2=None: np.diagonal(
        x, offset, axis1 if dim1 is None else dim1, axis2 if dim2 is None else dim2),
    "dim":         lambda x: x.ndim,
    "dist":        lambda x, other, p=2: norm(x - other, p),
    "diag":        lambda x, diagonal=0: np.diag(x, diagonal),
    "div":         div,
    "double":      _cast_method(np.float64),
    "equal":       lambda x, other: bool(np.array_equal(x.data, places(other))),
    "expand":      expand,
    "expand_as":   lambda x, other: np.broadcast_to(x, other.shape),
    "flatten":     _flatten,
    "flip":        lambda x, *axes, dims=(): flip(x, lengths(axes) or dims),
    "float":       _cast_method(np.float32),
    "gather":      gather,
    "frac":        lambda x: x - np.trunc(x),
    "index_add":   index_add,
    "index_copy":  lambda x, dim, index, source: x.at[at_axis(x, dim, places(index))].set(source),
    "index_fill":  lambda x, dim, index, value: x.at[at_axis(x, dim, places(index))].set(value),
    "index_select": lambda x, dim, index: np.take(x, places(index), axis=dim),
    "int":         lambda x: x.detach().astype(np.int32),
    "inverse":     np.linalg.inv,
    "isinf":       np.isinf,
    "isnan":       np.isnan,
    "is_contiguous": lambda x: x.data.flags.c_contiguous,
    "lerp":        lambda x, end, weight: x + weight * (end - x),
    "logdet":      logdet,
    "long":        lambda x: x.detach().astype(np.int64),
    "masked_fill": lambda x, mask, value: np.where(places(mask), value, x),
    "masked_select": lambda x, mask: x[places(mask)],
    "max":         _pytorch_or_numpy("max", partial(extreme, np.max, np.argmax)),
    "min":         _pytorch_or_numpy("min", partial(extreme, np.min, np.argmin)),
    "mm":          lambda x, mat2: np.matmul(x, mat2),
    "movedim":     np.moveaxis,
    "narrow":      lambda x, dim, start, length: x[at_axis(x, dim, slice(start, start + length))],
    "bmm":         lambda x, mat2: np.matmul(x, mat2),
    "mv":          lambda x, vec: np.matmul(x, vec),
    "ndimension":  lambda x: x.ndim,
    "neg":         np.negative,
    "nelement":    lambda x: x.data.size,
    "new_empty":   _new_of(np.zeros),
    "new_full":    lambda x, size, fill_value, **options: _new(np.full(size, fill_value), x, **options),
    "new_ones":    _new_of(np.ones),
    "new_tensor":  lambda x, data, **options: _new(np.asarray(places(data)), x, **options),
    "new_zeros":   _new_of(np.zeros),
    "nonzero":     _nonzero,
    "norm":        norm,
    "numel":       lambda x: x.data.size,
    "numpy":       numpy,
    "outer":       lambda x, vec2: np.outer(x, vec2),
    "permute":     lambda x, *axes, dims=(): np.transpose(x, lengths(axes) or dims),
    "pin_memory":  lambda x: x,
    "pow":         lambda x, exponent: np.power(x, exponent),
    "repeat":      _repeat,
    "repeat_interleave": lambda x, repeats, dim=None, output_size=None: np.repeat(x, places(repeats), axis=dim),
    "requires_grad_": requires_grad_,
    "retain_grad": retain_grad,
    "reshape_as":  lambda x, other: x.reshape(other.shape),
    "rsqrt":       lambda x: 1 / np.sqrt(x),
    "scatter":     scatter,
    "scatter_reduce": scatter_reduce,
    "scatter_add": lambda x, dim, index, src: scatter(x, dim, index, src, reduce="add"),
    "select":      lambda x, dim, index: x[at_axis(x, dim, index)],
    "split":       split,
    "std":         _pytorch_or_numpy("std", partial(variance_or_std, np.std)),
    "sub":         add_multiple(np.subtract),
    "squeeze":     _squeeze,
    "t":           lambda x: x.T,
    "take_along_dim": take_along_dim,
    "tile":        lambda x, *times, dims=(): np.tile(x, lengths(times) or dims),
    "to":          to,
    "topk":        topk,
    "tril":        lambda x, diagonal=0: np.tril(x, diagonal),
    "triu":        lambda x, diagonal=0: np.triu(x, diagonal),
    "type":        to,
    "type_as":     to,
    "unbind":      lambda x, dim=0: tuple(np.moveaxis(x, dim, 0)),
    "unflatten":   lambda x, dim, sizes: x.reshape((*x.shape[:dim], *sizes, *x.shape[dim:][1:])),
    "unfold":      unfold,
    "unique":      np.unique,
    "unsqueeze":   lambda x, dim: np.expand_dims(x, dim),
    "var":         _pytorch_or_numpy("var", partial(variance_or_std, np.var)),
    "view":        _view,
    "view_as":     lambda x, other: x.reshape(other.shape),
    "where":       lambda x, condition, other: np.where(condition, x, other),
})  # fmt: skip
