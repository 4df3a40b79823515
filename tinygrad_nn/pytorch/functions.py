"""Functions of Tensors by the names of PyTorch, over those of NumPy: ``dim`` is ``axis``, what differs has a row."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ..ops import neural, special
from ..tensor import raw
from .making import constant

Function = Callable[..., Any]
_WORDS = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "diagonal": "k"}


class Found(NamedTuple):
    """Values, and where along the axis they were found."""

    values: Any
    indices: Any


def _kept(out: Any) -> Any:
    """Return arrays as Tensors, in lists and tuples too; True and False stay what they are."""
    if isinstance(out, (list, tuple)):
        return tuple(_kept(x) for x in out)
    return out if isinstance(out, bool) else constant(out)


def adapted(function: Function) -> Function:
    """Return a function of NumPy's that takes PyTorch's keywords and gives Tensors."""

    @wraps(function, assigned=("__name__", "__qualname__", "__doc__"), updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        first = [kwargs.pop(word) for word in ("input", "tensors", "other") if word in kwargs]
        named = {_WORDS.get(name, name): value for name, value in kwargs.items()}
        if isinstance(named.get("axis"), list):
            named["axis"] = tuple(named["axis"])
        return _kept(function(*first, *args, **named))

    return call


def _reducing(function: Function) -> Function:
    """Return a reduction whose second and third arguments are the axis and whether it is kept."""
    inner = adapted(function)

    @wraps(inner)
    def call(input: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
        return inner(input, dim=dim, keepdim=keepdim, **kwargs)

    return call


def _spread(function: Function) -> Function:
    """Return std or var, which here divide by n - 1 unless another correction is given."""

    def call(
        input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
    ) -> Any:
        ddof = int(unbiased) if correction is None else correction
        return adapted(function)(input, dim=dim, keepdim=keepdim, ddof=ddof)

    return call


def _extreme(whole: Function, where: Function, pair: Function) -> Function:
    """Return max or min: of all entries, along an axis with the places, or of two Tensors."""

    def call(input: Any, dim: Any = None, keepdim: bool = False, other: Any = None) -> Any:
        if other is not None or isinstance(dim, (np.ndarray, type(constant(0)))):
            return constant(pair(input, dim if other is None else other))
        if dim is None:
            return constant(whole(input))
        places = where(raw(input), axis=dim, keepdims=True)
        values = np.take_along_axis(constant(input), places, dim)
        return Found(*(constant(x if keepdim else np.squeeze(x, dim)) for x in (values, places)))

    return call


def sort(input: Any, dim: int = -1, descending: bool = False) -> Found:
    """Return the sorted values and their places."""
    order = np.argsort(-raw(input) if descending else raw(input), axis=dim, kind="stable")
    return Found(constant(np.take_along_axis(constant(input), order, dim)), constant(order))


def topk(input: Any, k: int, dim: int = -1, largest: bool = True) -> Found:
    """Return the k largest, or smallest, values along an axis and their places."""
    values, order = sort(input, dim, largest)
    first = tuple(slice(k) if axis == dim % values.ndim else slice(None) for axis in range(values.ndim))
    return Found(values[first], order[first])


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
    """Return parts of one size, or of the sizes given; NumPy's ``np.split`` takes the number of parts instead."""
    n, size = np.shape(raw(tensor))[dim], split_size_or_sections
    cuts = range(size, n, size) if isinstance(size, int) else np.cumsum(size)[:-1]
    return _kept(np.split(constant(tensor), list(cuts), axis=dim))


def chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """Return that many parts of one size, the last of which may be smaller."""
    return split(input, -(-np.shape(raw(input))[dim] // chunks), dim)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Return the axes from start to end, both included, as one."""
    shape = np.shape(raw(input))
    first, last = start_dim % len(shape), end_dim % len(shape)
    return constant(input).reshape((*shape[:first], -1, *shape[last + 1 :]))


def gather(input: Any, dim: int, index: Any) -> Any:
    """Return the entries at the places along an axis, ``np.take_along_axis``."""
    index = raw(index)
    near = tuple(slice(None if axis == dim % index.ndim else n) for axis, n in enumerate(index.shape))
    return np.take_along_axis(constant(input)[near], index, dim)


def norm(input: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the p-norm of all entries, or along an axis."""
    flat = constant(input).ravel() if dim is None else constant(input)
    return np.linalg.norm(flat, 2 if p == "fro" else p, axis=dim if dim is not None else 0, keepdims=keepdim)


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """Return the entries with a value in the places of the mask."""
    return constant(np.where(raw(mask), value, constant(input)))


# -- The tables: PyTorch's name, and NumPy's where it is another

_SAME = """
abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh argsort argwhere broadcast_to ceil clip concat
concatenate conj cos cosh cross cumprod cumsum deg2rad diag diagonal diff divide dot dstack einsum exp exp2 expm1 fix
flip fliplr flipud floor floor_divide fmax fmin greater greater_equal heaviside hstack hypot imag inner isclose
isfinite isinf isnan kron less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or
logical_xor matmul maximum minimum moveaxis multiply nan_to_num negative not_equal outer positive rad2deg ravel real
remainder reshape roll rot90 round sign signbit sin sinc sinh sqrt square squeeze stack subtract swapaxes tan tanh
tensordot tile trace tril triu true_divide trunc vander vdot vstack where
"""
_ALIAS = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atan2": "arctan2",
    "atanh": "arctanh", "bmm": "matmul", "cat": "concatenate", "clamp": "clip", "div": "divide", "eq": "equal",
    "ge": "greater_equal", "ger": "outer", "gt": "greater", "index_select": "take", "le": "less_equal", "lt": "less",
    "mm": "matmul", "movedim": "moveaxis", "mul": "multiply", "mv": "matmul", "ne": "not_equal", "neg": "negative",
    "nonzero": "argwhere", "permute": "transpose", "pow": "power", "repeat_interleave": "repeat", "sub": "subtract",
    "swapdims": "swapaxes", "take_along_dim": "take_along_axis", "transpose": "swapaxes", "unsqueeze": "expand_dims",
}  # fmt: skip
_REDUCE = "all any argmax argmin count_nonzero mean nanmean nansum prod sum"
_NEURAL, _SPECIAL = "log_softmax logsumexp relu sigmoid softmax", "digamma erf erfc logit"
_LINALG = "cholesky det eigh eigvalsh inv matrix_power norm pinv qr slogdet solve svd"
_FFT = "fft fft2 fftn fftshift ifft ifft2 ifftn irfft rfft"

FUNCTIONS: dict[str, Function] = {
    **{name: adapted(getattr(np, name)) for name in _SAME.split()},
    **{name: adapted(getattr(np, other)) for name, other in _ALIAS.items()},
    **{name: _reducing(getattr(np, name)) for name in _REDUCE.split()},
    **{name: adapted(getattr(neural, name)) for name in _NEURAL.split()},
    **{name: adapted(getattr(special, name)) for name in _SPECIAL.split()},
    "amax": _reducing(np.max),
    "amin": _reducing(np.min),
    "lgamma": adapted(special.gammaln),
    "std": _spread(np.std),
    "var": _spread(np.var),
    "max": _extreme(np.max, np.argmax, np.maximum),
    "min": _extreme(np.min, np.argmin, np.minimum),
    "clamp": lambda input, min=None, max=None: constant(np.clip(constant(input), min, max)),
    "index_select": lambda input, dim, index: np.take(constant(input), raw(index), axis=dim),
    "masked_select": lambda input, mask: constant(input)[raw(mask)],
    "meshgrid": lambda *tensors, indexing="ij": _kept(np.meshgrid(*tensors, indexing=indexing)),
    "rsqrt": lambda input: 1 / np.sqrt(constant(input)),
    "reciprocal": lambda input: 1 / constant(input),
    "t": lambda input: constant(input).T,
    "unique": lambda input: constant(np.unique(raw(input))),
    "numel": np.size,
    "allclose": lambda input, other, rtol=1e-5, atol=1e-8: bool(np.allclose(raw(input), raw(other), rtol, atol)),
    "equal": lambda input, other: bool(np.array_equal(raw(input), raw(other))),
    **{f.__name__: f for f in (chunk, flatten, gather, masked_fill, norm, sort, split, topk)},
}  # fmt: skip

linalg = SimpleNamespace(**{name: adapted(getattr(np.linalg, name)) for name in _LINALG.split()})
fft = SimpleNamespace(**{name: adapted(getattr(np.fft, name)) for name in _FFT.split()})
