"""Methods of a Tensor with PyTorch's names, made of NumPy functions: ``t.unsqueeze(0)``, ``t.clamp(min=0)``, ...

A name that also exists in NumPy keeps NumPy's meaning: ``t.repeat``, ``t.std()``, ``t.transpose(0, 1)`` of two axes.
But max, min, std, var, squeeze, argmax, argmin and argsort follow PyTorch if they are called with one of PyTorch's
keywords, such as ``dim=`` or ``keepdim=``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..common.printable import counted
from ..primitive import METHODS, REGISTRY, numpy_options
from . import plain, selection, shape  # noqa: F401 - these define NumPy's methods, which are looked up below
from . import reduce as _  # noqa: F401

Function = Callable[..., Any]
_PYTORCH = frozenset({"dim", "keepdim", "unbiased"})  # the keywords by which a method of both tells whose it is


class Found(NamedTuple):
    """Values, and their indices along an axis."""

    values: Any
    indices: Any


def _constant(found: Any, like: Any) -> Any:
    """Return an array as a constant Tensor; in a trace it is a Tensor already."""
    return type(like.detach())(found) if isinstance(found, (np.ndarray, np.generic)) else found


def places(index: Any) -> Any:
    """Return an index or a mask as a plain array."""
    return index.data if hasattr(index, "node") else np.asarray(index)


def extreme(reduction: Function, find_index: Function, x: Any, dim: int, keepdim: bool = False) -> Found:
    """Return the largest (or smallest) values along an axis and their indices; of equal values the first counts."""
    at = find_index(x.data, axis=dim, keepdims=True)
    values = np.take_along_axis(x, at, dim)
    return Found(*(part if keepdim else np.squeeze(part, dim) for part in (values, _constant(at, x))))


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


def _at(x: Any, dim: int, index: Any) -> tuple[Any, ...]:
    """Return the index that applies to one axis: ``x[:, :, index]`` for dim 2."""
    return (*(slice(None),) * (dim % max(x.ndim, 1)), index)


def _entries(dim: int, index: Any) -> tuple[Any, ...]:
    """Return the index of the entries that ``scatter`` writes to: `index` along the axis, all others in order."""
    rows: Any = np.ogrid[tuple(map(slice, index.shape))]
    return tuple(index if axis == dim % index.ndim else row for axis, row in enumerate(rows))


def flip(x: Any, dims: Any) -> Any:
    """Return x with axes in reverse order; the array of a constant is copied, so that it can be written into."""
    return np.flip(x, axes(dims)) if x.node is not None else np.flip(x, axes(dims)).copy()


def scatter(x: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
    """Return x with values written to the given indices along an axis; reduce="add" adds them."""
    if reduce not in (None, "add"):
        raise ValueError(f"scatter: reduce={reduce!r}; known are None and 'add'. Write t.at[index].multiply(values).")
    new, index = value if src is None else src, places(index)
    near = new if np.ndim(new) == 0 else new[tuple(map(slice, index.shape))]
    at = x.at[_entries(dim, index)]
    return at.add(near) if reduce else at.set(near)


_REDUCTIONS = {  # PyTorch's word -> the update of t.at, and the number that it does not change anything by
    "sum": ("add", 0), "mean": ("add", 0), "prod": ("multiply", 1), "amax": ("max", -np.inf), "amin": ("min", np.inf),
}  # fmt: skip


def scatter_reduce(x: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """Return x with values combined with those at the given indices along an axis, or instead of those.

    Raises:
        ValueError: `reduce` is not sum, mean, prod, amax or amin.
    """
    if reduce not in _REDUCTIONS:
        raise ValueError(f"scatter_reduce: reduce={reduce!r}; known are {', '.join(map(repr, _REDUCTIONS))}.")
    index = places(index)
    entries, values = _entries(dim, index), src[tuple(map(slice, index.shape))]
    update, start = _REDUCTIONS[reduce]
    if not include_self:
        if x.dtype.kind in "iu" and not np.isfinite(start):
            start = getattr(np.iinfo(x.dtype), "min" if start < 0 else "max")
        x = x.at[entries].set(start)
    found = getattr(x.at[entries], update)(values)
    if reduce != "mean":
        return found
    counts = np.full(x.shape, int(include_self))
    np.add.at(counts, entries, 1)
    counts = np.maximum(counts, 1)
    return found / counts if x.dtype.kind == "f" else found // counts


def index_add(x: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """Return x with slices added to the given indices along an axis; equal indices add up."""
    return x.at[_at(x, dim, places(index))].add(source if isinstance(alpha, int) and alpha == 1 else alpha * source)


def unfold(x: Any, dim: int, size: int, step: int = 1) -> Any:
    """Return windows of an axis: the axis counts them, and a new last axis has the entries of each."""
    starts = np.arange(0, x.shape[dim] - size + 1, step)
    return np.moveaxis(np.take(x, starts[:, None] + np.arange(size), axis=dim), dim % x.ndim + 1, -1)


def add_multiple(function: Function) -> Function:
    """Return NumPy's add or subtract with PyTorch's alpha, a factor of the second argument."""
    return lambda x, other, alpha=1: function(x, other if isinstance(alpha, int) and alpha == 1 else other * alpha)


def norm(x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the p-norm of all entries, or of those along one or more axes; "nuc" is the nuclear norm of matrices."""
    if p == "nuc":
        return np.linalg.norm(x, p, axis=axes(dim), keepdims=keepdim)
    return np.linalg.vector_norm(x, axis=axes(dim), keepdims=keepdim, ord=2 if p in (None, "fro") else p)


def logdet(x: Any) -> Any:
    """Return the logarithm of determinants: -inf of 0; as in PyTorch NaN, with a gradient of 0, of negative ones."""
    sign, size = np.linalg.slogdet(x)
    return size if x.dtype.kind == "c" else np.where(sign < 0, np.nan, size)


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
        raise ValueError(
            f"topk: k={k}; axis {dim} of shape {x.shape} has {counted(x.shape[dim], 'entry')}. Take a smaller k."
        )
    first = np.take(order(x.data, dim, largest), range(k), axis=dim)
    return Found(np.take_along_axis(x, first, dim), _constant(first, x))


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
        if args and name in ("max", "min") and getattr(args[0], "shape", ()):
            raise TypeError(f"t.{name} takes an axis, as in NumPy. Entry by entry it is np.{name}imum(t, other).")
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
        return found if _PYTORCH.isdisjoint(kwargs) else _constant(found, x)

    return method


def _argsort(x: Any, *args: Any, descending: bool = False, **options: Any) -> Any:
    """Return the indices that sort; with descending=True as in PyTorch, a Tensor."""
    if not descending:
        return _index_method(np.argsort)(x, *args, **options)
    (dim,) = args or (options.get("dim", -1),)
    return _constant(order(np.asarray(x.data), dim, True), x)


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


def running_extreme(name: str, x: Any, dim: int | None = None, **options: Any) -> Any:
    """Return the largest (or smallest) entry so far along an axis and its index; of equal entries the last counts.

    With NumPy's options, such as axis=, it returns the entries only.
    """
    if dim is None:
        return REGISTRY[name](x, **options)
    values = REGISTRY[name](x, axis=dim)
    numbers = np.expand_dims(np.arange(x.shape[dim]), [k for k in range(x.ndim) if k != dim % x.ndim])
    is_extreme = (x.data == values.data) | np.isnan(x.data)
    found = np.maximum.accumulate(np.where(is_extreme, numbers, 0), axis=dim)
    return Found(values, _constant(found, x))


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
    **{name: getattr(np, name) for name in ("count_nonzero", "diag", "isfinite", "logical_and", "logical_not",
                                            "logical_or", "logical_xor", "outer")},
    "abs":         np.absolute,
    "add":         add_multiple(np.add),
    "addcdiv":     lambda x, a, b, value=1: x + value * a / b,
    "addcmul":     lambda x, a, b, value=1: x + value * a * b,
    "addmm":       lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b),
    "all":         _numpy_method(np.all),
    "amax":        _numpy_method(np.max),
    "amin":        _numpy_method(np.min),
    "allclose":    lambda x, other, rtol=1e-5, atol=1e-8: bool(np.allclose(x.data, places(other), rtol, atol)),
    "any":         _numpy_method(np.any),
    "argmax":      _index_method(np.argmax),
    "argmin":      _index_method(np.argmin),
    "argsort":     _argsort,
    "baddbmm":     lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b),
    "bool":        lambda x: x.detach().astype(bool),
    "byte":        lambda x: x.detach().astype(np.uint8),
    "chunk":       chunk,
    "clamp":       clamp,
    "clamp_max":   lambda x, max: np.clip(x, None, max),
    "clamp_min":   lambda x, min: np.clip(x, min, None),
    "clone":       lambda x: x.copy(),
    "cummax":      partial(running_extreme, "cummax"),
    "cummin":      partial(running_extreme, "cummin"),
    "contiguous":  lambda x: x if x.node or x.data.flags.c_contiguous else x.copy(),
    "cpu":         lambda x: x,
    "cuda":        _refuse_device("cuda"),
    "diagonal":    lambda x, offset=0, axis1=0, axis2=1, dim1=None, dim2=None: np.diagonal(
        x, offset, axis1 if dim1 is None else dim1, axis2 if dim2 is None else dim2),
    "dim":         lambda x: x.ndim,
    "dist":        lambda x, other, p=2: norm(x - other, p),
    "div":         np.divide,
    "double":      _cast_method(np.float64),
    "eq":          np.equal,
    "equal":       lambda x, other: bool(np.array_equal(x.data, places(other))),
    "expand":      expand,
    "expand_as":   lambda x, other: np.broadcast_to(x, other.shape),
    "flatten":     _flatten,
    "flip":        lambda x, *axes, dims=(): flip(x, lengths(axes) or dims),
    "float":       _cast_method(np.float32),
    "gather":      gather,
    "ge":          np.greater_equal,
    "gt":          np.greater,
    "frac":        lambda x: x - np.trunc(x),
    "index_add":   index_add,
    "index_copy":  lambda x, dim, index, source: x.at[_at(x, dim, places(index))].set(source),
    "index_fill":  lambda x, dim, index, value: x.at[_at(x, dim, places(index))].set(value),
    "index_select": lambda x, dim, index: np.take(x, places(index), axis=dim),
    "int":         lambda x: x.detach().astype(np.int32),
    "inverse":     np.linalg.inv,
    "isinf":       np.isinf,
    "isnan":       np.isnan,
    "is_contiguous": lambda x: x.data.flags.c_contiguous,
    "le":          np.less_equal,
    "lerp":        lambda x, end, weight: x + weight * (end - x),
    "logdet":      logdet,
    "long":        lambda x: x.detach().astype(np.int64),
    "lt":          np.less,
    "masked_fill": lambda x, mask, value: np.where(places(mask), value, x),
    "masked_select": lambda x, mask: x[places(mask)],
    "max":         _pytorch_or_numpy("max", partial(extreme, np.max, np.argmax)),
    "min":         _pytorch_or_numpy("min", partial(extreme, np.min, np.argmin)),
    "mm":          np.matmul,
    "movedim":     np.moveaxis,
    "narrow":      lambda x, dim, start, length: x[_at(x, dim, slice(start, start + length))],
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
    "pin_memory":  lambda x: x,
    "pow":         np.power,
    "repeat":      _repeat,
    "repeat_interleave": lambda x, repeats, dim=None: np.repeat(x, repeats, axis=dim),
    "requires_grad_": requires_grad_,
    "retain_grad": retain_grad,
    "reshape_as":  lambda x, other: x.reshape(other.shape),
    "rsqrt":       lambda x: 1 / np.sqrt(x),
    "scatter":     scatter,
    "scatter_reduce": scatter_reduce,
    "scatter_add": lambda x, dim, index, src: scatter(x, dim, index, src, reduce="add"),
    "select":      lambda x, dim, index: x[_at(x, dim, index)],
    "split":       split,
    "std":         _pytorch_or_numpy("std", partial(variance_or_std, np.std)),
    "sub":         add_multiple(np.subtract),
    "squeeze":     _squeeze,
    "t":           lambda x: x.T,
    "tile":        lambda x, *dims: np.tile(x, lengths(dims)),
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
