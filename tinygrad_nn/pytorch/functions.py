"""PyTorch's functions of Tensors: NumPy's functions with ``dim`` for ``axis``, or an entry of their own if they differ.

`FUNCTIONS`, `linalg` and `fft` at the end hold them by PyTorch's names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np

from ..nn import functional as neural_functions
from ..ops import neural, special
from ..ops import pytorch as words
from ..ops.norms import distances
from ..primitive import METHODS
from ..tensor import Tensor, raw
from .autograd import Names
from .constructors import constant

Function = Callable[..., Any]
_WORDS = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "diagonal": "k", "dim1": "axis1", "dim2": "axis2"}
_TWO_AXES = {"dim0": "axis1", "dim1": "axis2", "axis0": "axis1", "axis1": "axis2"}
_OWN_WORDS = {  # where a word means something else, or exists for one function only
    "permute": {"dims": "axes"}, "roll": {"shifts": "shift"}, "rot90": {"dims": "axes"}, "tile": {"dims": "reps"},
    **dict.fromkeys(["swapaxes", "swapdims", "transpose"], _TWO_AXES),
}  # fmt: skip

LARGE = 10_000  # from so many entries on, searching for the order of an einsum takes less time than it saves


def _as_tensors(out: Any) -> Any:
    """Return arrays as Tensors, also in lists and tuples; True and False are unchanged."""
    if isinstance(out, words.Found):
        return words.Found(*map(constant, out))
    if isinstance(out, (list, tuple)):
        return tuple(map(_as_tensors, out))
    return out if isinstance(out, bool) else constant(out)


def adapt_function(function: Function, name: str = "") -> Function:
    """Wrap a NumPy function so that it takes PyTorch's keywords, also those of this name only, and returns Tensors."""
    words_here = {**_WORDS, **_OWN_WORDS.get(name, {})}

    @wraps(function, assigned=("__name__", "__qualname__", "__doc__"), updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        first = [kwargs.pop(word) for word in ("input", "tensors") if word in kwargs]
        last = [kwargs.pop(word) for word in ("other", "exponent", "mat2", "vec", "vec2") if word in kwargs]
        named = {words_here.get(word, word): value for word, value in kwargs.items()}
        if isinstance(named.get("axis"), list):
            named["axis"] = tuple(named["axis"])
        return _as_tensors(function(*first, *args, *last, **named))

    return call


def _adapt_reduction(function: Function) -> Function:
    """Wrap a NumPy reduction so that its second and third arguments are ``dim`` and ``keepdim``."""
    inner = adapt_function(function)

    @wraps(inner)
    def call(input: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
        return inner(input, dim=dim, keepdim=keepdim, **kwargs)

    return call


def _method_as_function(function: Function) -> Function:
    """Return a method of Tensors as a function, which also takes arrays and returns Tensors."""

    @wraps(function)
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        return _as_tensors(function(constant(input), *args, **kwargs))

    return call


def _max_or_min(reduction: Function, find_index: Function, elementwise: Function) -> Function:
    """Return max or min: of all entries, along an axis together with the indices, or elementwise of two Tensors."""

    def call(input: Any, dim: Any = None, keepdim: bool = False, other: Any = None, axis: Any = None) -> Any:
        dim = axis if dim is None else dim
        if other is not None or not isinstance(dim, (int, type(None))):
            return constant(elementwise(input, dim if other is None else other))
        if dim is None:
            return constant(reduction(input))
        return _as_tensors(words.extreme(reduction, find_index, constant(input), dim, keepdim))

    return call


def sort(input: Any, dim: int = -1, descending: bool = False) -> words.Found:
    """Return the sorted values and their indices; NaN counts as the largest number."""
    order = words.order(np.asarray(raw(input)), dim, descending)
    return words.Found(constant(np.take_along_axis(constant(input), order, dim)), constant(order))


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Return the indices that sort; equal entries keep their order."""
    return sort(input, dim, descending).indices


def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """Return the cross product along an axis, by default the first one of length 3."""
    if dim is None:
        dim = next((k for k, n in enumerate(np.shape(raw(input))) if n == 3), -1)
    return constant(np.cross(input, other, axis=dim))


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """Return entries of input or other; without them, the indices where the condition is true."""
    return nonzero(condition, as_tuple=True) if input is None else constant(np.where(condition, input, other))


def nonzero(input: Any, as_tuple: bool = False) -> Any:
    """Return the indices of the entries that are not zero, a row for each, or a tuple of one Tensor for each axis."""
    return _as_tensors(np.nonzero(raw(input)) if as_tuple else np.argwhere(raw(input)))


def div(input: Any, other: Any, rounding_mode: str | None = None) -> Any:
    """Return the quotient, with rounding_mode="floor" or "trunc" rounded down or towards zero."""
    if rounding_mode == "floor":
        return _as_tensors(np.floor_divide(input, other))
    if rounding_mode not in (None, "trunc"):
        raise ValueError(f"div: rounding_mode={rounding_mode!r}; known are None, 'floor' and 'trunc'.")
    if rounding_mode and np.result_type(raw(input), raw(other)).kind in "iu":  # a quotient of floats has 53 bits
        down, left = np.divmod(raw(input), raw(other))
        return constant(down + ((left != 0) & (down < 0)))
    found = np.divide(input, other)
    return _as_tensors(np.trunc(found) if rounding_mode else found)


def _joining(name: str) -> Function:
    """Return NumPy's function that joins a list of arrays; refuse Tensors that are given one by one."""
    inner = adapt_function(getattr(np, {"cat": "concatenate"}.get(name, name)))

    def call(*args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], Tensor):
            raise TypeError(f"torch.{name} takes the Tensors in a list, not one by one. Write torch.{name}([x, y]).")
        return inner(*args, **kwargs)

    call.__name__, call.__doc__ = name, f"Join the Tensors of a list as ``torch.{name}`` does."
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


def searchsorted(sorted_sequence: Any, input: Any, *, right: bool = False, side: str | None = None) -> Any:
    """Return the place of each value in a sorted vector: the first one, or the last one with right=True."""
    found: Any = np.searchsorted(raw(sorted_sequence), raw(input), "right" if right or side == "right" else "left")
    return constant(found)


def cdist(x1: Any, x2: Any, p: float = 2.0) -> Any:
    """Return the distances of all rows of x1 from all rows of x2; equal rows have slope 0.

    For p = 2 it takes memory for the result only, for other p for all differences.
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


def linalg_norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Any:
    """Return a vector norm along one axis, or a matrix norm along two; without `ord`, the root of the sum of squares.

    Without `ord` there may be any number of axes.
    """
    if ord is None:
        return vector_norm(A, 2, dim, keepdim)
    return _as_tensors(np.linalg.norm(constant(A), ord, axis=words.axes(dim), keepdims=keepdim))


def vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the norm of all entries, or of those along one or more axes, as of one vector."""
    return _as_tensors(np.linalg.vector_norm(constant(x), axis=words.axes(dim), keepdims=keepdim, ord=ord))


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False) -> Any:
    """Return the norm of the matrices along two axes."""
    return _as_tensors(np.linalg.norm(constant(A), ord, axis=words.axes(dim), keepdims=keepdim))


def nan_to_num(input: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Any:
    """Return x with NaN replaced, by default by 0, and infinities, by default by the largest and the least number."""
    return constant(np.nan_to_num(constant(input), nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf))


def unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           dim: int | None = None) -> Any:  # fmt: skip
    """Return the distinct entries, or slices of an axis, in order; also the place of each among them, and counts."""
    find: Any = np.unique  # NumPy's types know no flags that are variables
    return _as_tensors(find(constant(input), return_inverse=return_inverse, return_counts=return_counts, axis=dim))


def cholesky_solve(input: Any, L: Any, upper: bool = False) -> Any:
    """Return X of A X = input, where A = L Lᵀ."""
    lower = constant(L).mT if upper else constant(L)
    return solve_triangular(lower.mT, solve_triangular(lower, input, upper=False), upper=True)


def _einsum(equation: Any, *operands: Any) -> Any:
    """Return ``np.einsum``; the operands may also be in one list. Large ones are contracted in pairs."""
    several = len(operands) == 1 and isinstance(operands[0], (list, tuple))
    arrays = operands[0] if several else operands
    large = len(arrays) > 1 and sum(np.size(raw(a)) for a in arrays) > LARGE
    return constant(np.einsum(equation, *arrays, optimize=large))


# -- The tables: PyTorch's names, with NumPy's name if it differs

_SAME = """
abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh argsort argwhere atleast_1d atleast_2d atleast_3d
bincount broadcast_to ceil clip column_stack concat concatenate conj corrcoef cos cosh cov cross cumprod cumsum deg2rad
diag diagonal diff divide dot dstack einsum exp exp2 expm1 fix flip fliplr flipud floor floor_divide fmax fmin greater
greater_equal heaviside hstack hypot imag inner isclose isfinite isin isinf isnan kron less less_equal log log10 log1p
log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor matmul maximum minimum moveaxis multiply
negative not_equal outer positive rad2deg ravel real remainder reshape roll rot90 round sign signbit sin
sinc sinh sqrt square squeeze stack subtract swapaxes tan tanh tensordot tile trace trapezoid tril triu true_divide
trunc vander vdot vstack
"""
_ALIAS = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atan2": "arctan2",
    "atanh": "arctanh", "bmm": "matmul", "cat": "concatenate", "div": "divide", "eq": "equal",
    "ge": "greater_equal", "ger": "outer", "gt": "greater", "le": "less_equal", "lt": "less",
    "mm": "matmul", "movedim": "moveaxis", "mul": "multiply", "mv": "matmul", "ne": "not_equal", "neg": "negative",
    "nonzero": "argwhere", "permute": "transpose", "pow": "power", "repeat_interleave": "repeat", "sub": "subtract",
    "swapdims": "swapaxes", "take_along_dim": "take_along_axis", "transpose": "swapaxes", "trapz": "trapezoid",
    "unsqueeze": "expand_dims",
}  # fmt: skip
_REDUCE = "all any argmax argmin count_nonzero mean nanmean nansum prod sum"
_NEURAL, _SPECIAL = "log_softmax logsumexp relu sigmoid softmax", "digamma erf erfc logit"
_LINALG = "cholesky det eigh eigvalsh inv matrix_power multi_dot pinv qr slogdet svd"
_METHODS = """
addcdiv addcmul addmm allclose baddbmm chunk clamp clamp_max clamp_min clone cummax cummin dist equal flatten flip frac
gather index_add index_copy index_fill index_select inverse lerp logdet masked_fill masked_select narrow norm rsqrt
scatter scatter_add scatter_reduce select split t topk unbind unflatten
"""
_FFT = "fft fft2 fftn fftshift ifft ifft2 ifftn irfft rfft"

FUNCTIONS: dict[str, Function] = {
    **{name: adapt_function(getattr(np, name), name) for name in _SAME.split()},
    **{name: adapt_function(getattr(np, other), name) for name, other in _ALIAS.items()},
    **{name: _adapt_reduction(getattr(np, name)) for name in _REDUCE.split()},
    **{name: adapt_function(getattr(neural, name)) for name in _NEURAL.split()},
    **{name: adapt_function(getattr(special, name)) for name in _SPECIAL.split()},
    **{name: adapt_function(getattr(np.linalg, name)) for name in ("cholesky", "det", "matrix_power", "slogdet")},
    "amax": _adapt_reduction(np.max),
    "amin": _adapt_reduction(np.min),
    "lgamma": adapt_function(special.gammaln),
    "std": _method_as_function(partial(words.variance_or_std, np.std)),
    "var": _method_as_function(partial(words.variance_or_std, np.var)),
    "max": _max_or_min(np.max, np.argmax, np.maximum),
    "min": _max_or_min(np.min, np.argmin, np.minimum),
    "meshgrid": lambda *tensors, indexing="ij": _as_tensors(np.meshgrid(*tensors, indexing=indexing)),
    "detach": lambda input: constant(input).detach(),
    "reciprocal": lambda input: 1 / constant(input),
    "numel": np.size,
    **{name: _method_as_function(METHODS[name]) for name in _METHODS.split()},
    "sort": sort, "argsort": argsort, "cross": cross, "nonzero": nonzero, "where": where,
    "squeeze": _method_as_function(words.squeeze),
    "div": div, "divide": div, "true_divide": div,
    "add": adapt_function(words.add_multiple(np.add)),
    **dict.fromkeys(["sub", "subtract"], adapt_function(words.add_multiple(np.subtract))),
    "cosine_similarity": _method_as_function(neural_functions.cosine_similarity),
    "pairwise_distance": _method_as_function(neural_functions.pairwise_distance),
    **{name: _joining(name) for name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack")},
    "einsum": _einsum, "cdist": cdist, "block_diag": block_diag, "cholesky_solve": cholesky_solve,
    "searchsorted": searchsorted, "nan_to_num": nan_to_num, "unique": unique,
    "bucketize": lambda input, boundaries, *, right=False: searchsorted(boundaries, input, right=right),
    "tril_indices": tril_indices, "triu_indices": partial(tril_indices, upper=True),
    "broadcast_tensors": lambda *tensors: _as_tensors(np.broadcast_arrays(*tensors)),
    "diag_embed": lambda input: constant(input)[..., None] * np.eye(np.shape(raw(input))[-1]),
    "cartesian_prod": lambda *tensors: np.stack(np.meshgrid(*map(constant, tensors), indexing="ij"), -1).reshape(
        -1, len(tensors)),
    "complex": lambda real, imag: constant(real) + 1j * constant(imag),
    "polar": lambda abs, angle: constant(abs) * (np.cos(angle) + 1j * np.sin(angle)),
    "tensordot": lambda a, b, dims=2: _as_tensors(np.tensordot(a, b, dims)),
}  # fmt: skip

linalg = Names("torch.linalg", **{name: adapt_function(getattr(np.linalg, name)) for name in _LINALG.split()},
               solve_triangular=solve_triangular, solve=solve, norm=linalg_norm, vector_norm=vector_norm,
               matrix_norm=matrix_norm)  # fmt: skip
fft = Names("torch.fft", **{name: adapt_function(getattr(np.fft, name)) for name in _FFT.split()})
