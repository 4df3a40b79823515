"""Products of vectors, matrices and tensors; since they are bilinear, each VJP rule is again such a product."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..primitive import OVERRIDES, Array, declare
from .plain import as_arrays, checked_dtype, refuse_out


def as_array(x: Any) -> Array:
    """Return lists and numbers as arrays; arrays and array-like objects such as Tensors are returned unchanged."""
    return x if hasattr(type(x), "__array_function__") else np.asarray(x)


def T(x: Array) -> Array:
    """Return the transposed matrices."""
    return x.swapaxes(-1, -2)


def H(x: Array) -> Array:
    """Return the conjugate transpose of matrices."""
    return conj(x.swapaxes(-1, -2))


def real(x: Array) -> Array:
    """Return the real part; real arrays are returned unchanged."""
    return np.real(x) if x.dtype.kind == "c" else x


@cache
def result_class(function: Any) -> Any:
    """Return the named tuple class of an np.linalg function's results; it is only found by calling the function."""
    return type(function(np.eye(1)))


# fmt: off
def _matmul_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    if y.ndim == 1:
        return g[..., None] * y  # (..., n)
    if x.ndim == 1:
        return (y @ g[..., None])[..., 0]  # (..., n)
    return g @ y.swapaxes(-1, -2)


def _matmul_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    if x.ndim == 1:
        return g * x if y.ndim == 1 else x[:, None] * g[..., None, :]  # (..., n, m)
    if y.ndim == 1:
        return (x.swapaxes(-1, -2) @ g[..., None])[..., 0]  # (..., n)
    return x.swapaxes(-1, -2) @ g

matmul = declare(np.matmul, r"X \, Y",
    (_matmul_vjp_x, r"g \, Y^T"),
    (_matmul_vjp_y, r"X^T g"), linear="each")


def _dot(a: Array, b: Array) -> Array:
    return np.dot(a, b)


def _dot_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    if np.ndim(x) == 0 or np.ndim(y) == 0:  # either may be a Python number
        return g * y
    if y.ndim == 1:
        return g[..., None] * y  # (..., n)
    if y.ndim == 2:
        return g.dot(y.T)  # (..., n)
    rest = _length_product((*y.shape[:-2], y.shape[-1]))
    columns = y.swapaxes(-1, -2).reshape(rest, y.shape[-2])  # (rest, n)
    return g.reshape(*x.shape[:-1], rest).dot(columns)  # (..., n)


def _length_product(lengths: Sequence[int]) -> int:
    """Return a product of lengths, for use in a reshape instead of -1, which fails if a length is 0."""
    n = 1
    for length in lengths:
        n *= length
    return n


def _dot_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return g * x
    if x.ndim == y.ndim == 2:
        return x.T.dot(g)  # (n, m)
    count = _length_product(x.shape[:-1])
    rows = x.reshape(count, x.shape[-1])  # (batch, n)
    if y.ndim <= 2:
        return rows.T.dot(g.reshape(count, *y.shape[1:]))  # (n,) or (n, m)
    through = rows.T.dot(g.reshape(count, _length_product(g.shape[x.ndim - 1 :])))  # (n, rest)
    return through.reshape(y.shape[-2], *y.shape[:-2], y.shape[-1]).transpose(*range(1, y.ndim - 1), 0, -1)

dot = declare(_dot, r"X \, Y",
    (_dot_vjp_x, r"g \, Y^T"),
    (_dot_vjp_y, r"X^T g"),
    numpy=np.dot, linear="each")


def conj(x: Array) -> Array:
    """Return the complex conjugate; real arrays are returned unchanged."""
    return np.conj(x) if x.dtype.kind == "c" else x


def _vdot(a: Array, b: Array) -> Array:
    return np.vdot(a, b)

vdot = declare(_vdot, r"\textstyle\sum_i \bar x_i \, y_i",
    (lambda g, out, x, y: conj(g * y).reshape(np.shape(x)), r"\overline{g \, y}"),
    (lambda g, out, x, y: (g * np.conjugate(x)).reshape(np.shape(y)), r"g \, \bar x"),
    numpy=np.vdot, linear="each")

vecdot = declare(np.vecdot, r"\textstyle\sum_i \bar x_i \, y_i",
    (lambda g, out, x, y: conj(g[..., None] * y),           r"\overline{g \, y}"),
    (lambda g, out, x, y: g[..., None] * conj(x),           r"g \, \bar x"), linear="each")

cross = declare(lambda x, y: np.cross(x, y), r"x \times y",
    (lambda g, out, x, y: np.cross(y, g),                   r"y \times g"),
    (lambda g, out, x, y: np.cross(g, x),                   r"g \times x"),
    name="cross", linear="each")


def _trace(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Array:
    return a.trace(offset, axis1, axis2, checked_dtype(dtype, a))


def with_diagonal(d: Array, off_diagonal: Any = 0) -> Array:
    """Return matrices with the diagonals d and, off the diagonal, the entries of `off_diagonal`."""
    return np.where(np.eye(d.shape[-1], dtype=bool), d[..., None, :], off_diagonal)


def _trace_vjp(g: Array, out: Array, x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1, **_: Any) -> Array:
    diagonal = np.eye(x.shape[axis1], x.shape[axis2], offset, dtype=x.dtype)
    return np.moveaxis(g[..., None, None] * diagonal, (-2, -1), (axis1, axis2))

trace = declare(_trace, r"\operatorname{tr} X",
    (_trace_vjp,                                            r"g \, I"),
    numpy=np.trace, linear=(0,))


# fmt: on


# -- Compositions of these, with all of NumPy's arguments

def _gufunc(product: Callable[[Any, Any], Any], to_numbers: bool = False) -> Callable[..., Any]:
    """Return a product over the last axes with the keywords of a generalized ufunc: axes=, axis= and keepdims=."""

    def run(
        x1: Any, x2: Any, /, *,
        axes: Any = None, axis: Any = None, keepdims: bool = False,
    ) -> Any:  # fmt: skip
        if axis is not None:
            axes = [axis, axis, ()]
        if not to_numbers and (axis is not None or keepdims):
            raise TypeError(f"np.{run.__name__} takes neither axis= nor keepdims=; it takes axes=.")
        if axes is None:
            out = product(x1, x2)
            return out[..., None] if keepdims else out
        first, second, last = (a if isinstance(a, (tuple, list)) else (a,) for a in [*axes, ()][:3])
        out = product(_to_the_end(as_array(x1), first), _to_the_end(as_array(x2), second))
        if keepdims:
            return np.expand_dims(out, first[0])
        return np.moveaxis(out, range(-len(last), 0), last) if last else out

    run.__name__ = getattr(product, "__name__", "").lstrip("_")
    return run


def _to_the_end(x: Array, axes: Any) -> Array:
    return np.moveaxis(x, axes, range(-len(axes), 0))


def _matvec(x1: Any, x2: Any) -> Any:
    if np.ndim(x1) < 2:
        raise ValueError(f"np.matvec needs matrices as its first argument; it has shape {np.shape(x1)}.")
    return matmul(x1, as_array(x2)[..., None])[..., 0]


def _vecmat(x1: Any, x2: Any) -> Any:
    if np.ndim(x2) < 2:
        raise ValueError(f"np.vecmat needs matrices as its second argument; it has shape {np.shape(x2)}.")
    return matmul(conj(as_array(x1))[..., None, :], x2)[..., 0, :]


def _inner(a: Any, b: Any, /) -> Any:
    a, b = as_array(a), as_array(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else _tensordot(a, b, axes=(-1, -1))


def _outer(a: Any, b: Any, out: Any = None) -> Any:
    refuse_out("outer", out)
    a, b = as_array(a), as_array(b)
    return a.reshape(a.size, 1) * b.reshape(b.size)


def _outer_of_vectors(x1: Any, x2: Any, /) -> Any:
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ValueError(f"np.linalg.outer needs two vectors; they have {np.ndim(x1)} and {np.ndim(x2)} axes.")
    return _outer(x1, x2)


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = as_array(a), as_array(b)
    pair = axes if hasattr(axes, "__iter__") else (range(-operator.index(axes), 0), range(operator.index(axes)))
    over_a, over_b = (normalize_axis_tuple(over, x.ndim) for over, x in zip(pair, (a, b), strict=True))
    if [a.shape[i] for i in over_a] != [b.shape[i] for i in over_b]:
        raise ValueError(
            f"tensordot sums axes {over_a} of shape {a.shape} against axes {over_b} of shape {b.shape}; "
            "their lengths differ."
        )
    free_a = [i for i in range(a.ndim) if i not in over_a]
    free_b = [i for i in range(b.ndim) if i not in over_b]
    shape_a, shape_b = [a.shape[i] for i in free_a], [b.shape[i] for i in free_b]
    n = _length_product([a.shape[i] for i in over_a])
    rows = a.transpose([*free_a, *over_a]).reshape(_length_product(shape_a), n)
    columns = b.transpose([*over_b, *free_b]).reshape(n, _length_product(shape_b))
    return dot(rows, columns).reshape((*shape_a, *shape_b))


def _kron(a: Any, b: Any) -> Any:
    a, b = as_array(a), as_array(b)
    n = max(a.ndim, b.ndim)
    rows, columns = (1,) * (n - a.ndim) + a.shape, (1,) * (n - b.ndim) + b.shape
    blocks = a.reshape([k for i in rows for k in (i, 1)]) * b.reshape([k for j in columns for k in (1, j)])
    return blocks.reshape([i * j for i, j in zip(rows, columns, strict=True)])


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """Return np.cross of Tensors: vectors of length 3, or of length 2, which NumPy accepts up to version 2.4."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(as_array(a), axisa, -1), np.moveaxis(as_array(b), axisb, -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(f"cross needs vectors of length 2 or 3; these have {a.shape[-1]} and {b.shape[-1]}.")
    if a.shape[-1] == b.shape[-1] == 2:
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return np.moveaxis(cross(_to_three_dimensions(a), _to_three_dimensions(b)), -1, axisc)


def _to_three_dimensions(x: Array) -> Array:
    """Return vectors of length 2 extended by a zero to length 3."""
    if x.shape[-1] == 3:
        return x
    return np.concatenate([x, np.zeros((*x.shape[:-1], 1), dtype=x.dtype)], axis=-1)


def _cross_in_space(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    x1, x2 = as_array(x1), as_array(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(f"np.linalg.cross needs vectors of length 3; these have {x1.shape[axis]}, {x2.shape[axis]}.")
    return _cross(x1, x2, axis=axis)


def _matrix_power(a: Any, n: int) -> Any:
    n = operator.index(n)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"matrix_power needs square matrices; this array has shape {a.shape}.")
    if n == 0:  # a constant, but in the graph: its gradient is zero, not missing
        return np.where(True, np.eye(a.shape[-1], dtype=a.dtype), a)
    square, n = (np.linalg.inv(a), -n) if n < 0 else (a, n)
    if n == 3:  # in the order in which NumPy multiplies
        return matmul(matmul(square, square), square)
    out = None
    while n:
        n, odd = divmod(n, 2)
        if odd:
            out = square if out is None else matmul(out, square)
        square = matmul(square, square) if n else square
    return out


def _multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Any:
    refuse_out("linalg.multi_dot", out)
    chain = [as_array(a) for a in arrays]
    if len(chain) < 2:
        raise ValueError(f"multi_dot needs at least two arrays; it got {len(chain)}.")
    first, last = chain[0].ndim == 1, chain[-1].ndim == 1
    if first:
        chain[0] = chain[0].reshape(1, -1)
    if last:
        chain[-1] = chain[-1].reshape(-1, 1)
    wrong = [a.shape for a in chain if a.ndim != 2]
    if wrong:
        raise np.linalg.LinAlgError(f"multi_dot needs matrices, and vectors only at its ends; it got {wrong[0]}.")
    product = _multiply_chain(chain, _splits([a.shape[0] for a in chain] + [chain[-1].shape[1]]), 0, len(chain) - 1)
    return product.reshape(product.shape[first : 2 - last])


def _splits(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Return where to split each part (i, j) of a matrix chain so that the number of multiplications is smallest.

    Source: T. H. Cormen et al., Introduction to Algorithms (2009), section 15.2.
    """
    count = len(sizes) - 1
    cost, split = {(i, i): 0 for i in range(count)}, {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            choices = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            ]
            cost[i, j], split[i, j] = min(choices)
    return split


def _multiply_chain(chain: list[Any], split: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = split[i, j]
    return dot(_multiply_chain(chain, split, i, k), _multiply_chain(chain, split, k + 1, j))


_run_matmul = _gufunc(matmul)
_run_vecdot = _gufunc(vecdot, to_numbers=True)

OVERRIDES.update({
    np.matmul: _run_matmul,
    np.vecdot: _run_vecdot,
    np.inner: _inner,
    np.outer: _outer,
    np.tensordot: _tensordot,
    np.kron: _kron,
    np.cross: _cross,
    np.linalg.matmul: lambda x1, x2, /: matmul(x1, x2),
    np.linalg.vecdot: lambda x1, x2, /, *, axis=-1: _run_vecdot(x1, x2, axis=axis),
    np.linalg.outer: _outer_of_vectors,
    np.linalg.tensordot: lambda x1, x2, /, *, axes=2: _tensordot(x1, x2, axes),
    np.linalg.cross: _cross_in_space,
    np.linalg.trace: lambda x, /, *, offset=0, dtype=None: trace(x, offset=offset, axis1=-2, axis2=-1, dtype=dtype),
    np.linalg.diagonal: lambda x, /, *, offset=0: np.diagonal(x, offset, -2, -1),
    np.linalg.matrix_transpose: lambda x, /: T(x),
    np.linalg.matrix_power: _matrix_power,
    np.linalg.multi_dot: _multi_dot,
    np.linalg.matrix_rank: lambda A, tol=None, hermitian=False, *, rtol=None: np.linalg.matrix_rank(
        as_arrays(A), tol, hermitian, rtol=rtol),
})  # fmt: skip
if hasattr(np, "matvec"):  # NumPy 2.2
    OVERRIDES[np.matvec] = _gufunc(_matvec)
    OVERRIDES[np.vecmat] = _gufunc(_vecmat)
