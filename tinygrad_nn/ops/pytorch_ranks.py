"""Methods of a Tensor with PyTorch's names: entries by their rank, and NumPy's functions under PyTorch's other names.

``t.median(dim=1)`` is an entry of t, the lower one of the two in the middle, with its index; ``np.median`` is the mean
of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..common.printable import counted
from ..primitive import METHODS, numpy_options
from . import pytorch, special
from .indices import Found, as_constant, order, places

# PyTorch's names of NumPy's functions; acos=arccos is PyTorch's name and NumPy's
RENAMED = """
acos=arccos acosh=arccosh asin=arcsin asinh=arcsinh atan=arctan atan2=arctan2 atanh=arctanh bitwise_and
bitwise_left_shift=left_shift bitwise_not=invert bitwise_or bitwise_right_shift=right_shift bitwise_xor
conj_physical=conj copysign corrcoef fix fliplr flipud float_power fmod greater greater_equal isneginf
isposinf isreal less less_equal moveaxis not_equal sgn=sign signbit true_divide
"""


def _of_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args, **options: function(x, *args, **numpy_options(options))


def _at_rank(x: Any, rank: Any, dim: int, keepdim: bool) -> Found:
    """Return the entries of these ranks along an axis, and their indices; of equal entries the first counts first."""
    rank = np.broadcast_to(rank, tuple(1 if k == dim % x.ndim else n for k, n in enumerate(x.shape)))
    found = np.take_along_axis(order(x.data, dim), rank, axis=dim)
    values = np.take_along_axis(x, found, axis=dim)
    if not keepdim:
        values, found = np.squeeze(values, dim), np.squeeze(found, dim)
    return Found(values, as_constant(found, x))


def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Found:
    """Return the k-th smallest entry along an axis, counted from 1, and its index."""
    if not 1 <= k <= x.shape[dim]:
        raise ValueError(
            f"kthvalue: k={k}; axis {dim} of shape {x.shape} has {counted(x.shape[dim], 'entry')}. Write a k from 1 to "
            f"{x.shape[dim]}."
        )
    return _at_rank(x, k - 1, dim, keepdim)


def _median(x: Any, dim: int | None, keepdim: bool, ignore_nan: bool) -> Any:
    if dim is None:
        return _median(x.reshape(-1), 0, False, ignore_nan).values
    known = np.sum(~np.isnan(x.data), axis=dim, keepdims=True)  # NaN comes last in order
    middle = (np.maximum(known, 1) - 1) // 2
    return _at_rank(x, middle if ignore_nan else np.where(known < x.shape[dim], known, middle), dim, keepdim)


def median(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the lower median of all entries, or along an axis with its index; it is NaN if there is one."""
    return _median(x, dim, keepdim, False)


def nanmedian(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the lower median of the entries that are not NaN, or those along an axis with their indices."""
    return _median(x, dim, keepdim, True)


def mode(x: Any, dim: int = -1, keepdim: bool = False) -> Found:
    """Return the most frequent entry along an axis, the least if there are several, and the index of its last one."""
    ordered = np.moveaxis(np.take_along_axis(x.data, order(x.data, dim), axis=dim), dim, -1)
    number = np.arange(ordered.shape[-1])
    begins = np.concatenate([np.ones_like(ordered[..., :1], bool), ordered[..., 1:] != ordered[..., :-1]], axis=-1)
    since = number - np.maximum.accumulate(np.where(begins, number, 0), axis=-1)  # how often it came before
    return _at_rank(x, np.expand_dims(np.argmax(since, axis=-1), dim), dim, keepdim)


def quantile(x: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear") -> Any:
    """Return quantiles, q from 0 to 1, of all entries or along an axis; several are along a new first axis."""
    return np.quantile(x, np.asarray(places(q)), axis=dim, keepdims=keepdim, method=interpolation)  # type: ignore[call-overload]


def nanquantile(x: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear") -> Any:
    """Return quantiles of the entries that are not NaN; see `quantile`."""
    return np.nanquantile(x, np.asarray(places(q)), axis=dim, keepdims=keepdim, method=interpolation)  # type: ignore[call-overload]


def histc(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """Return how many entries are in each of the equal intervals from min to max; by default from the least entry."""
    ends = (x.data.min(), x.data.max()) if min == max else (min, max)
    return as_constant(np.histogram(x.data, bins, ends)[0].astype(x.dtype), x)


def _cuts(name: str, given: tuple[Any, ...], *named: Any) -> Any:
    """Return the number of parts or the indices where they begin, which PyTorch takes by place or by several names."""
    cuts = [*([given[0] if len(given) == 1 else given] if given else []), *(cut for cut in named if cut is not None)]
    if len(cuts) != 1:
        raise TypeError(
            f"{name} takes a number of parts or the indices where they begin, one of the two; got {len(cuts)}. "
            f"Write t.{name}(2) or t.{name}([1, 3])."
        )
    return places(cuts[0])


def tensor_split(
    x: Any, indices_or_sections: Any = None, dim: int = 0, *, sections: Any = None, indices: Any = None,
    tensor_indices_or_sections: Any = None,
) -> tuple[Any, ...]:  # fmt: skip
    """Return parts of an axis: a number of them, as equal as possible, or cut at indices."""
    given = () if indices_or_sections is None else (indices_or_sections,)
    cuts = _cuts("tensor_split", given, sections, indices, tensor_indices_or_sections)
    return tuple(np.array_split(x, cuts, axis=dim))


def _splits(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    return lambda x, *cuts, sections=None, indices=None: tuple(function(x, _cuts(name, cuts, sections, indices)))


def svd(x: Any, some: bool = True, compute_uv: bool = True) -> Any:
    """Return U, S and V of ``U diag(S) Vᴴ``; `torch.linalg.svd` returns Vᴴ instead."""
    if not compute_uv:
        raise ValueError("svd: compute_uv=False. Write torch.linalg.svdvals(A).")
    u, s, vh = np.linalg.svd(x, full_matrices=not some)
    return u, s, np.conj(vh).mT


METHODS.update({
    **{name: _of_numpy(getattr(np, numpys or name))
       for name, _, numpys in (word.partition("=") for word in RENAMED.split())},
    "addbmm":      lambda x, batch1, batch2, beta=1, alpha=1: beta * x + alpha * (batch1 @ batch2).sum(axis=0),
    "addmv":       lambda x, mat, vec, beta=1, alpha=1: beta * x + alpha * (mat @ vec),
    "addr":        lambda x, vec1, vec2, beta=1, alpha=1: beta * x + alpha * np.outer(vec1, vec2),
    "adjoint":     lambda x: np.conj(x).mT,
    "angle":       np.angle,
    "argwhere":    lambda x: as_constant(np.argwhere(x.data), x),
    "element_size": lambda x: x.data.itemsize,
    "ger":         lambda x, vec2: np.outer(x, vec2),
    "half":        lambda x: x.astype(np.float16),
    "histc":       histc,
    "inner":       lambda x, other: np.inner(x, other),
    "is_complex":  lambda x: x.dtype.kind == "c",
    "is_floating_point": lambda x: x.dtype.kind == "f",
    "isclose":     lambda x, other, rtol=1e-5, atol=1e-8, equal_nan=False: np.isclose(x, other, rtol, atol, equal_nan),
    "kron":        lambda x, other: np.kron(x, other),
    "kthvalue":    kthvalue,
    "lgamma":      special.gammaln,
    "matrix_power": np.linalg.matrix_power,
    "median":      median,
    "mode":        mode,
    "msort":       lambda x: np.sort(x, axis=0),
    "nanmedian":   nanmedian,
    "nanquantile": nanquantile,
    "pinverse":    lambda x, rcond=1e-15: np.linalg.pinv(x, rcond),
    "qr":          lambda x, some=True: tuple(np.linalg.qr(x, "reduced" if some else "complete")),
    "quantile":    quantile,
    "rot90":       lambda x, k=1, dims=(0, 1): np.rot90(x, k, dims),
    "short":       lambda x: x.detach().astype(np.int16),
    "slogdet":     np.linalg.slogdet,
    "split_with_sizes": lambda x, split_sizes, dim=0: pytorch.split(x, split_sizes, dim),
    "stride":      lambda x, dim=None: (
        tuple(n // x.data.itemsize for n in x.data.strides) if dim is None else x.data.strides[dim] // x.data.itemsize),
    "svd":         svd,
    "swapdims":    lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
    "tensor_split": tensor_split,
    **{name: _splits(getattr(np, name), name) for name in ("hsplit", "vsplit", "dsplit")},
})  # fmt: skip
