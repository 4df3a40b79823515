"""PyTorch's functions of Tensors: NumPy's functions with ``dim`` for ``axis``, or an entry of their own if they differ.

`FUNCTIONS`, `linalg` and `fft` at the end hold them by PyTorch's names.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np

from ..nn import functional as neural_functions
from ..ops import indices, neural, special
from ..ops import pytorch as words
from ..ops.norms import distances
from ..primitive import METHODS
from ..tensor import Tensor, raw
from .autograd import Names
from .constructors import constant
from .signatures import FFT, LINALG, NUMPYS, Function, as_tensors, in_torch_form, table, without_out

LARGE = 10_000  # from so many entries on, searching for the order of an einsum takes less time than it saves


def _method_as_function(function: Function) -> Function:
    """Return a method of Tensors as a function, which also takes arrays and returns Tensors."""

    @wraps(function)
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        return as_tensors(function(constant(input), *args, **kwargs))

    return call


def _max_or_min(reduction: Function, find_index: Function, elementwise: Function) -> Function:
    """Return max or min: of all entries, along an axis together with the indices, or elementwise of two Tensors."""

    def call(input: Any, dim: Any = None, keepdim: bool = False, other: Any = None, axis: Any = None) -> Any:
        dim = axis if dim is None else dim
        if other is not None or not isinstance(dim, (int, type(None))):
            return constant(elementwise(input, dim if other is None else other))
        if dim is None:
            return constant(reduction(input))
        return as_tensors(indices.extreme(reduction, find_index, constant(input), dim, keepdim))

    return call


def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool | None = True) -> indices.Found:
    """Return the sorted values and their indices; NaN counts as the largest number, and equal entries keep their order.

    They keep it with stable=False too.
    """
    x = constant(input)
    order = indices.order(x.data, dim, descending)
    return indices.Found(constant(np.take_along_axis(x, order, dim)), indices.as_constant(order, x))


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Return the indices that sort; equal entries keep their order."""
    return sort(input, dim, descending).indices


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """Return entries of input or other; without them, the indices where the condition is true."""
    return nonzero(condition, as_tuple=True) if input is None else constant(np.where(condition, input, other))


def nonzero(input: Any, as_tuple: bool = False) -> Any:
    """Return the indices of the entries that are not zero, a row for each, or a tuple of one Tensor for each axis."""
    return as_tensors(np.nonzero(raw(input)) if as_tuple else np.argwhere(raw(input)))


def _joining(name: str, inner: Function) -> Function:
    """Return a function that joins a list of arrays; refuse Tensors that are given one by one."""

    @wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], Tensor):
            raise TypeError(f"torch.{name} takes the Tensors in a list, not one by one. Write torch.{name}([x, y]).")
        return inner(*args, **kwargs)

    return call


def tril_indices(row: int, col: int, offset: int = 0, *, upper: bool = False, **place: Any) -> Any:
    """Return the row and the column of each entry on and below a diagonal (above, if `upper`), as two rows."""
    return constant(np.stack((np.triu_indices if upper else np.tril_indices)(row, offset, col)))


def block_diag(*tensors: Any) -> Any:
    """Return a matrix with the given matrices along its diagonal, and zeros elsewhere."""
    parts = [np.atleast_2d(constant(t)) for t in tensors]
    widths, left = [part.shape[1] for part in parts], 0
    rows = []
    for part, width in zip(parts, widths, strict=True):
        rows.append(np.pad(part, ((0, 0), (left, sum(widths) - left - width))))
        left += width
    return constant(np.concatenate(rows))


def searchsorted(sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False,
                 side: str | None = None, sorter: Any = None) -> Any:  # fmt: skip
    """Return the place of each value in a sorted vector: the first one, or the last one with right=True.

    Several vectors, along the last axis of an array, have the values of the same rows. `sorter` is their order.
    """
    vectors, values = np.asarray(raw(sorted_sequence)), np.asarray(raw(input))
    if sorter is not None:
        vectors = np.take_along_axis(vectors, np.asarray(raw(sorter)), -1)
    if right and side == "left":
        raise ValueError("searchsorted: right=True and side='left' are opposites. Leave one out.")
    end: Any = "right" if right or side == "right" else "left"
    if vectors.ndim == 1:
        found: Any = np.searchsorted(vectors, values, end)
    elif vectors.shape[:-1] != values.shape[:-1]:
        raise ValueError(
            f"searchsorted: sorted vectors of shape {vectors.shape} need values of shape "
            f"({', '.join(map(str, vectors.shape[:-1]))}, n); they have {values.shape}. Write values.expand(...)."
        )
    else:
        rows = zip(vectors.reshape(-1, vectors.shape[-1]), values.reshape(-1, values.shape[-1]), strict=True)
        found = np.reshape([np.searchsorted(*row, end) for row in rows], values.shape)
    return constant(np.asarray(found, np.int32 if out_int32 else np.int64))


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """Return the number of the interval between boundaries that each value is in."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Return matrices, along two axes of the result, with the last axis of x as their diagonals."""
    x = constant(input)
    before, after = max(-offset, 0), max(offset, 0)  # rows above the diagonal of x, and columns left of it
    matrices = x[..., None] * np.eye(x.shape[-1], dtype=x.dtype)
    edges = [(0, 0)] * (x.ndim - 1) + [(before, after), (after, before)]
    return np.moveaxis(np.pad(matrices, edges) if offset else matrices, (-2, -1), (dim1, dim2))


def meshgrid(*tensors: Any, indexing: str = "ij") -> Any:
    """Return the coordinates of the points of a grid; the vectors may also be in one list."""
    return as_tensors(np.meshgrid(*words.lengths(tensors), indexing=indexing))  # type: ignore[call-overload]


def logit(input: Any, eps: float | None = None) -> Any:
    """Return ln(x / (1 - x)), with eps of x limited to eps and 1 - eps."""
    x = constant(input)
    return special.logit(x if eps is None else np.clip(x, eps, 1 - eps))


def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: None = None, dtype: Any = None
) -> Any:
    """Return the p-norm of all entries, or of those along one or more axes; "nuc" is the nuclear norm of matrices."""
    return as_tensors(words.norm(constant(input), p, dim, keepdim, dtype=dtype))


def _softmax(function: Function) -> Function:
    def call(input: Any, dim: int | None = -1, dtype: Any = None) -> Any:
        return function(words.cast(constant(input), dtype), axis=-1 if dim is None else dim)

    return call


def _each(function: Function) -> Function:
    return lambda *tensors: as_tensors(function(*words.lengths(tensors)))


def _with_mean(reduction: Function) -> Function:
    """Return the variance or standard deviation together with the mean."""

    def call(input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, correction: Any = None) -> Any:
        x = constant(input)
        spread = words.variance_or_std(reduction, x, dim, unbiased, keepdim, correction)
        axis = None if isinstance(dim, bool) else words.axes(dim)
        return constant(spread), constant(np.mean(x, axis=axis, keepdims=keepdim))

    return call


class Extremes(NamedTuple):
    """The least and the largest value."""

    min: Any
    max: Any


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Extremes:
    """Return the least and the largest entry, or those along an axis; equal extremes share the gradient."""
    x = constant(input)
    return Extremes(*(constant(reduce(x, axis=dim, keepdims=keepdim)) for reduce in (np.min, np.max)))


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "") -> Any:
    """Return the distances of all rows of x1 from all rows of x2; equal rows have slope 0.

    They are exact whatever compute_mode is. For p = 2 it takes memory for the result only, for other p for all
    differences.
    """
    if p == 2 and all(np.result_type(raw(x)).kind == "f" and np.ndim(raw(x)) > 1 for x in (x1, x2)):
        return constant(distances(constant(x1), constant(x2)))
    return constant(np.linalg.norm(constant(x1)[..., :, None, :] - constant(x2)[..., None, :, :], p, axis=-1))


def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """Return X of A X = B, or of X A = B, where only one triangle of A is read."""
    if unitriangular:
        raise ValueError("solve_triangular: unitriangular=True; write ones on the diagonal of A instead.")
    A = (np.triu if upper else np.tril)(constant(A))
    return constant(np.linalg.solve(A, B)) if left else np.linalg.solve(A.mT, constant(B).mT).mT


def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """Return X of A X = B, or of X A = B if not `left`; B of the shape of A without its last axis holds vectors."""
    A, B = constant(A), constant(B)
    if B.ndim != 1 and B.shape != A.shape[:-1]:
        return np.linalg.solve(A, B) if left else np.linalg.solve(A.mT, B.mT).mT
    if not left:
        raise ValueError(
            f"solve: left=False needs matrices; B has shape {B.shape}, which means vectors. Pass B[..., None, :]."
        )
    return np.linalg.solve(A, B[..., None])[..., 0]


def linalg_norm(input: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return a vector norm along one axis, or a matrix norm along two; without `ord`, the root of the sum of squares.

    Without `ord` there may be any number of axes.
    """
    if ord is None:
        return vector_norm(input, 2, dim, keepdim, dtype=dtype)
    return as_tensors(np.linalg.norm(words.cast(constant(input), dtype), ord, axis=words.axes(dim), keepdims=keepdim))


def vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the norm of all entries, or of those along one or more axes, as of one vector."""
    x = words.cast(constant(x), dtype)
    return as_tensors(np.linalg.vector_norm(x, axis=words.axes(dim), keepdims=keepdim, ord=ord))


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the norm of the matrices along two axes."""
    return as_tensors(np.linalg.norm(words.cast(constant(A), dtype), ord, axis=words.axes(dim), keepdims=keepdim))


def gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> Any:
    """Return differences of neighbours over their distance, one Tensor for each axis.

    `spacing` is a distance, one for each axis, or the places along each axis. `edge_order` is the order at both ends.
    """
    steps = tuple(map(raw, spacing)) if isinstance(spacing, (tuple, list)) else (raw(spacing),)
    differences: Any = np.gradient  # NumPy's types know no number of axes that is a variable
    found = differences(constant(input), *steps, axis=words.axes(dim), edge_order=edge_order)
    return as_tensors(found if isinstance(found, (tuple, list)) else (found,))


def take(input: Any, index: Any) -> Any:
    """Return entries by their place in the flattened Tensor."""
    return constant(np.take(constant(input), raw(index)))


def lstsq(A: Any, B: Any, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """Return ``solution``, ``residuals``, ``rank`` and ``singular_values`` of A X = B in least squares."""
    return LeastSquares(*map(constant, np.linalg.lstsq(constant(A), B, rcond)))


class LeastSquares(NamedTuple):
    """The result of `lstsq`."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


def matrix_rank(A: Any, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    """Return the number of singular values above the tolerance, by default that of ``np.linalg.matrix_rank``."""
    return constant(np.linalg.matrix_rank(np.asarray(raw(A)), atol, hermitian, rtol=rtol))


def matrix_diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Return the diagonals of matrices along two axes, by default the last two."""
    return constant(np.diagonal(constant(A), offset, dim1, dim2))


def nan_to_num(input: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Any:
    """Return x with NaN replaced, by default by 0, and infinities, by default by the largest and the least number."""
    return constant(np.nan_to_num(constant(input), nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf))


def unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           dim: int | None = None) -> Any:  # fmt: skip
    """Return the distinct entries, or slices of an axis, in order; also the place of each among them, and counts."""
    find: Any = np.unique  # NumPy's types know no flags that are variables
    return as_tensors(find(constant(input), return_inverse=return_inverse, return_counts=return_counts, axis=dim))


def cholesky_solve(input: Any, input2: Any, upper: bool = False) -> Any:
    """Return X of A X = input, where A = L Lᵀ, and L is the second matrix, or its transpose if `upper`."""
    lower = constant(input2).mT if upper else constant(input2)
    return solve_triangular(lower.mT, solve_triangular(lower, input, upper=False), upper=True)


def _einsum(equation: Any, *operands: Any) -> Any:
    """Return ``np.einsum``; the operands may also be in one list. Large ones are contracted in pairs."""
    several = len(operands) == 1 and isinstance(operands[0], (list, tuple))
    arrays = operands[0] if several else operands
    large = len(arrays) > 1 and sum(np.size(raw(a)) for a in arrays) > LARGE
    return constant(np.einsum(equation, *arrays, optimize=large))


# -- The tables: PyTorch's names

_METHODS = """
addbmm addcdiv addcmul addmm addmv addr adjoint allclose baddbmm chunk clamp clamp_max clamp_min clone cross cummax
cummin dist dsplit equal flatten flip frac gather histc hsplit index_add index_copy index_fill index_select inverse
is_complex is_floating_point kthvalue lerp logdet masked_fill masked_select median mode msort nanmedian
nanquantile narrow pinverse qr quantile repeat_interleave rsqrt scatter scatter_add scatter_reduce select split
split_with_sizes svd t take_along_dim tensor_split topk unbind unflatten vsplit
"""
# These take lists too, and are functions of layers as well as of torch, with the same arguments.
OF_LAYERS = """
adaptive_avg_pool1d avg_pool1d celu conv1d conv2d conv_transpose1d conv_transpose2d group_norm hardshrink layer_norm
max_pool1d pixel_shuffle prelu rms_norm selu threshold
"""
_IN_NUMPY = table(NUMPYS, np)
_OWN: dict[str, Function] = {
    "std": _method_as_function(partial(words.variance_or_std, np.std)),
    "var": _method_as_function(partial(words.variance_or_std, np.var)),
    "std_mean": _with_mean(np.std), "var_mean": _with_mean(np.var), "aminmax": aminmax,
    "max": _max_or_min(np.max, np.argmax, np.maximum),
    "min": _max_or_min(np.min, np.argmin, np.minimum),
    "detach": lambda input: constant(input).detach(),
    "reciprocal": lambda input: 1 / constant(input),
    "numel": lambda input: np.size(raw(input)),
    **{name: _method_as_function(METHODS[name]) for name in _METHODS.split()},
    **{name: _joining(name, _IN_NUMPY[name]) for name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack",
                                                          "dstack", "column_stack")},
    "softmax": _softmax(neural.softmax), "log_softmax": _softmax(neural.log_softmax),
    "sort": sort, "argsort": argsort, "nonzero": nonzero, "where": where, "norm": norm,
    "squeeze": _method_as_function(words.squeeze),
    "logcumsumexp": in_torch_form(np.logaddexp.accumulate, "input, dim", "logcumsumexp"),
    **dict.fromkeys(["div", "divide", "true_divide"], _method_as_function(words.div)),
    "add": in_torch_form(words.add_multiple(np.add), "input, other, *, alpha=", "add"),
    **{name: in_torch_form(words.add_multiple(np.subtract), "input, other, alpha=", name)
       for name in ("sub", "subtract")},
    **{name: getattr(neural_functions, name) for name in OF_LAYERS.split()},
    "cosine_similarity": _method_as_function(neural_functions.cosine_similarity),
    "pairwise_distance": _method_as_function(neural_functions.pairwise_distance),
    "einsum": _einsum, "cdist": cdist, "block_diag": block_diag, "cholesky_solve": cholesky_solve,
    "searchsorted": searchsorted, "nan_to_num": nan_to_num, "unique": unique, "meshgrid": meshgrid,
    "gradient": gradient, "take": take, "bucketize": bucketize, "diag_embed": diag_embed, "logit": logit,
    "tril_indices": tril_indices, "triu_indices": partial(tril_indices, upper=True),
    "atleast_1d": _each(np.atleast_1d), "atleast_2d": _each(np.atleast_2d), "atleast_3d": _each(np.atleast_3d),
    "broadcast_tensors": lambda *tensors: as_tensors(np.broadcast_arrays(*tensors)),
    "cartesian_prod": lambda *tensors: np.stack(np.meshgrid(*map(constant, tensors), indexing="ij"), -1).reshape(
        -1, len(tensors)),
    "complex": lambda real, imag: constant(real) + 1j * constant(imag),
    "polar": lambda abs, angle: constant(abs) * (np.cos(angle) + 1j * np.sin(angle)),
    "tensordot": lambda a, b, dims=2: as_tensors(np.tensordot(a, b, dims)),
}  # fmt: skip
FUNCTIONS: dict[str, Function] = {
    **_IN_NUMPY,
    **table({"input": "relu sigmoid", "input, dim, keepdim=": "logsumexp"}, neural),
    **table({"input": "digamma erf erfc lgamma=gammaln"}, special),
    **table({"input": "det slogdet", "input, n": "matrix_power", "input, upper=": "cholesky"}, np.linalg),
    **{name: without_out(function, name) for name, function in _OWN.items()},
}

linalg = Names("torch.linalg", **table(LINALG, np.linalg), solve_triangular=solve_triangular, solve=solve,
               norm=linalg_norm, vector_norm=vector_norm, matrix_norm=matrix_norm, lstsq=lstsq,
               matrix_rank=matrix_rank, diagonal=matrix_diagonal,
               vander=lambda x, N=None: constant(np.vander(raw(x), N, increasing=True)))  # fmt: skip
fft = Names("torch.fft", **table(FFT, np.fft))
