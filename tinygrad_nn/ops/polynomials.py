"""Polynomials given by coefficients, highest power first: products, quotients, derivatives, roots, fits.

All functions but `roots` are composed of sums, products and least squares. Evaluation is `polyval` in sequence.py. The
series of numpy.polynomial, which cannot be overridden, are in tinygrad_nn/polynomial.py.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..primitive import Array, declare
from .plain import as_arrays, is_tensor, override
from .reduce import conj


# fmt: off
def _roots(p: Array) -> Array:
    if np.ndim(p) != 1:
        raise ValueError(f"np.roots of a Tensor needs coefficients of one axis; they have shape {np.shape(p)}.")
    return np.roots(p)


def _roots_vjp(g: Array, out: Array, p: Array) -> Array:
    slope = np.polyval(p[:-1] * np.arange(len(p) - 1, 0, -1, dtype=p.dtype), out)
    return -(g / slope) @ np.vander(out, len(p))

roots = declare(_roots, r"z : \sum_k x_k z^{n - k} = 0",
    (_roots_vjp,        r"-\sum_z \frac{g \, z^{n - k}}{\sum_k (n - k) \, x_k z^{n - k - 1}}"),
    numpy=np.roots, kinks="a multiple root has no slope: it is inf or NaN")


# fmt: on


def _as_vector(p: Any) -> Array:
    """Return coefficients, also those of a poly1d, as an array with at least one axis."""
    p = p.coeffs if isinstance(p, np.poly1d) else p
    return np.atleast_1d(p if is_tensor(p) else np.asarray(p))


def _vector(p: Any, name: str) -> Array:
    """Return coefficients as an array; raise ValueError if it has more than one axis."""
    line = _as_vector(p)
    if line.ndim != 1:
        raise ValueError(f"{name} of a Tensor needs coefficients of one axis; they have shape {line.shape}.")
    return line


def _result_converter(*given: Any) -> Any:
    """Return np.poly1d if one of the arguments is a poly1d, else the identity function, to convert a result."""
    return np.poly1d if any(isinstance(p, np.poly1d) for p in given) else lambda p: p


def _pad_to_length(p: Array, n: int) -> Array:
    """Return p with leading zeros added up to n coefficients."""
    return np.concatenate([np.zeros(n - len(p), p.dtype), p]) if n > len(p) else p


@override("polyadd")
def _polyadd(a1: Any, a2: Any) -> Any:
    """Return np.polyadd of Tensors."""
    a, b = _as_vector(a1), _as_vector(a2)
    n = max(len(a), len(b))
    return _result_converter(a1, a2)(_pad_to_length(a, n) + _pad_to_length(b, n))


@override("polysub")
def _polysub(a1: Any, a2: Any) -> Any:
    """Return np.polysub of Tensors."""
    a, b = _as_vector(a1), _as_vector(a2)
    n = max(len(a), len(b))
    return _result_converter(a1, a2)(_pad_to_length(a, n) - _pad_to_length(b, n))


def _without_leading_zeros(p: Array) -> Array:
    return np.trim_zeros(p, "f") if np.any(as_arrays(p)) else p[:1]


@override("polymul")
def _polymul(a1: Any, a2: Any) -> Any:
    """Return np.polymul of Tensors; like NumPy, it first removes leading zeros."""
    return _result_converter(a1, a2)(np.convolve(*(_without_leading_zeros(_as_vector(p)) for p in (a1, a2))))


@override("polydiv")
def _polydiv(u: Any, v: Any) -> Any:
    """Return np.polydiv of Tensors: quotient and remainder by long division, the latter without leading zeros."""
    rest, by = (_vector(p, "np.polydiv") + 0.0 for p in (u, v))
    m, n = len(rest), len(by)
    zero = np.where(False, rest[0] + by[0], 0.0)  # 0 in the common dtype
    quotient, done = [], []
    for _ in range(m - n + 1):
        d = rest[0] / by[0]
        quotient.append(d)
        done.append(rest[0] - d * by[0])
        rest = np.concatenate([rest[1:n] - d * by[1:], rest[n:]])
    q = np.stack(quotient or [zero])
    r = np.concatenate([np.stack(done), rest]) if done else rest + zero
    large = np.flatnonzero(~np.isclose(as_arrays(r), 0, rtol=1e-14))
    r = r[large[0] if len(large) else -1 :]
    made = _result_converter(u, v)
    return made(q), made(r)


@override("polyder")
def _polyder(p: Any, m: int = 1) -> Any:
    """Return np.polyder of a Tensor."""
    if (m := int(m)) < 0:
        raise ValueError(f"np.polyder needs an order of 0 or more; it got {m}. np.polyint integrates.")
    out = _vector(p, "np.polyder") if m else _as_vector(p)
    for _ in range(m):
        out = out[:-1] * np.arange(len(out) - 1, 0, -1)
    return _result_converter(p)(out)


@override("polyint")
def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """Return np.polyint of a Tensor; its constants of integration may be a Tensor too."""
    if (m := int(m)) < 0:
        raise ValueError(f"np.polyint needs an order of 0 or more; it got {m}. np.polyder differentiates.")
    constants = np.zeros(m) if k is None else _as_vector(k)
    if len(constants) == 1 and m > 1:
        constants = np.repeat(constants, m)
    if len(constants) < m:
        raise ValueError(f"np.polyint of order {m} needs one constant k, or {m}; it got {len(constants)}.")
    out = _vector(p, "np.polyint") if m else _as_vector(p)
    for i in range(m):
        out = np.concatenate([out / np.arange(len(out), 0, -1), constants[i : i + 1]])
    return _result_converter(p)(out)


def _characteristic(A: Array) -> Array:
    """Return the characteristic polynomial by the Faddeev-LeVerrier method, which is smooth at equal eigenvalues.

    It loses a digit for every few rows of the matrix, unlike NumPy's method, which multiplies eigenvalues.
    """
    eye = np.eye(len(A), dtype=A.dtype)
    M, coefficients = eye, [np.ones((), A.dtype)]
    for k in range(1, len(A) + 1):
        product = A @ M
        coefficients.append(-np.trace(product) / k)
        M = product + coefficients[-1] * eye
    return np.stack(coefficients)


@override("poly")
def _poly(seq_of_zeros: Array) -> Any:
    """Return np.poly of a Tensor: the polynomial with these roots, or a square matrix's characteristic polynomial."""
    zeros = np.atleast_1d(seq_of_zeros)
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1] != 0:
        return _characteristic(zeros.astype(np.mintypecode(zeros.dtype.char)))
    if zeros.ndim != 1:
        raise ValueError(f"np.poly needs roots of one axis, or a square matrix; it got shape {zeros.shape}.")
    if len(zeros) == 0:
        return 1.0
    zeros = zeros.astype(np.mintypecode(zeros.dtype.char))
    out = np.ones(1, zeros.dtype)
    for i in range(len(zeros)):
        out = np.convolve(out, np.stack([np.ones((), zeros.dtype), -zeros[i]]))
    if zeros.dtype.kind == "c":
        values = as_arrays(zeros)
        if np.all(np.sort(values) == np.sort(np.conjugate(values))):  # roots in conjugate pairs: a real polynomial
            return np.real(out)
    return out


def fitted(columns: Array, y: Array, w: Any, rcond: Any, name: str) -> tuple[Any, ...]:
    """Return least squares coefficients, residuals, rank, singular values, cutoff, the scaled columns and their scale.

    Args:
        columns: the functions that are fitted, (points, functions); each is scaled to length 1 for the computation.
        y: the values, (points,) or (points, curves).
        w: a weight per point, or None.
        rcond: singular values below rcond times the largest count as 0; None for machine epsilon times the points.
        name: the name of the calling function, for errors.
    """
    n = len(columns)
    if n == 0:
        raise TypeError(f"{name} needs a vector x that is not empty.")
    if y.ndim not in (1, 2) or len(y) != n:
        raise TypeError(f"{name} needs {n} values y for each curve, (n,) or (n, curves); it got {y.shape}.")
    if w is not None:
        w = (w if is_tensor(w) else np.asarray(w)) + 0.0
        if w.shape != (n,):
            raise TypeError(f"{name} needs one weight per entry of x, {(n,)}; it got shape {w.shape}.")
        columns, y = columns * w[:, None], y * (w[:, None] if y.ndim == 2 else w)
    scale = np.sqrt((columns * conj(columns)).sum(axis=0))
    scale = np.real(np.where(scale == 0, 1, scale))
    rcond = n * np.finfo(columns.dtype).eps if rcond is None else rcond
    c, residuals, rank, s = np.linalg.lstsq(columns / scale, y, rcond)
    return (c.T / scale).T, residuals, rank, s, rcond, columns / scale, scale


@override("polyfit")
def _polyfit(
    x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """Return np.polyfit of Tensors: the least squares solution."""
    x, y = ((a if is_tensor(a) else np.asarray(a)) + 0.0 for a in (x, y))
    if deg < 0:
        raise ValueError(f"np.polyfit needs a degree of 0 or more; it got {deg}.")
    if x.ndim != 1:
        raise TypeError(f"np.polyfit needs a vector x; it has shape {x.shape}.")
    order = int(deg) + 1
    c, residuals, rank, s, rcond, columns, scale = fitted(np.vander(x, order), y, w, rcond, "np.polyfit")
    if full:
        return c, residuals, rank, s, rcond
    if rank != order:
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=4)
    if not cov:
        return c
    base = np.linalg.inv(columns.T @ columns) / np.outer(scale, scale)
    factor: Any = 1
    if not (isinstance(cov, str) and cov == "unscaled"):
        if len(x) <= order:
            raise ValueError("the number of data points must exceed order to scale the covariance matrix")
        factor = residuals / (len(x) - order)
    return c, (base if y.ndim == 1 else base[:, :, None]) * factor
