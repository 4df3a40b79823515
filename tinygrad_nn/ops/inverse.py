"""Inverses, pseudoinverses, determinants and linear equations, for matrices and stacks of matrices.

The rules of the pseudoinverse and of least squares conjugate their cotangent first and work with the convention of
the literature; for real matrices that has no effect.

Source: M. Giles, Collected matrix derivative results for forward and reverse mode AD (2008); G. Golub and V. Pereyra,
The differentiation of pseudo-inverses (1973), equation 4.12.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..primitive import OVERRIDES, Array, declare
from .linalg import H, T, as_array, conj, real, result_class, with_diagonal
from .plain import as_arrays

NOT_GIVEN: Any = object()

# fmt: off
inv = declare(lambda a: np.linalg.inv(a), r"X^{-1}",
    (lambda g, out, x: -T(out) @ g @ T(out),       r"-X^{-T} g \, X^{-T}"),
    name="inv", numpy=np.linalg.inv)


# -- Linear equations and pseudoinverses

def _solve_vjp_a(g: Array, out: Array, a: Array, b: Array) -> Array:
    if b.ndim == 1:
        return -np.linalg.solve(T(a), g[..., None]) * out[..., None, :]
    return -np.linalg.solve(T(a), g) @ T(out)


def _solve_vjp_b(g: Array, out: Array, a: Array, b: Array) -> Array:
    return np.linalg.solve(T(a), g[..., None])[..., 0] if b.ndim == 1 else np.linalg.solve(T(a), g)

solve = declare(lambda a, b: np.linalg.solve(a, b), r"X^{-1} Y",
    (_solve_vjp_a,                                 r"-X^{-T} g \, out^T"),
    (_solve_vjp_b,                                 r"X^{-T} g"),
    name="solve", numpy=np.linalg.solve)


def _pinv(a: Array, rcond: Any = 1e-15, hermitian: bool = False) -> Array:
    return np.linalg.pinv(a, rcond, hermitian)


def _pinv_vjp(g: Array, out: Array, a: Array, rcond: Any = 1e-15, hermitian: bool = False) -> Array:
    g, G, P = conj(g), H(conj(g)), out
    r = (G - a @ (P @ G)) @ P @ H(P) + H(P) @ P @ (G - (G @ P) @ a) - H(P) @ g @ H(P)
    return conj((r + H(r)) / 2 if hermitian else r)

pinv = declare(_pinv, r"X^{+}",
    (_pinv_vjp, r"-X^{+T} g X^{+T} + (I - X X^{+}) g^T X^{+} X^{+T} + X^{+T} X^{+} g^T (I - X^{+} X)"),
    kinks="for a rank-deficient matrix, the derivative along matrices of the same rank")


def _lstsq(a: Array, b: Array, rcond: Any = None) -> Array:
    return np.linalg.lstsq(a, b, rcond)[0]


def _pseudoinverse(a: Array, rcond: Any, dtype: Any) -> Array:
    return np.linalg.pinv(a, max(a.shape) * np.finfo(dtype).eps if rcond is None else rcond)


def _lstsq_vjp_a(g: Array, out: Array, a: Array, b: Array, rcond: Any = None) -> Array:
    g, x, b = (m[:, None] if b.ndim == 1 else m for m in (conj(g), out, b))
    P = _pseudoinverse(a, rcond, out.dtype)
    y = H(P) @ g
    return conj((b - a @ x) @ H(P @ y) + H(P) @ x @ H(g - H(a) @ y) - y @ H(x))


def _lstsq_vjp_b(g: Array, out: Array, a: Array, b: Array, rcond: Any = None) -> Array:
    return T(_pseudoinverse(a, rcond, out.dtype)) @ g

lstsq = declare(_lstsq, r"X^{+} Y",
    (_lstsq_vjp_a, r"(Y - X out) (X^{+} X^{+T} g)^T + X^{+T} out \, (g - X^T X^{+T} g)^T - X^{+T} g \, out^T"),
    (_lstsq_vjp_b,                                 r"X^{+T} g"),
    kinks="if X is rank-deficient, the derivative along matrices of the same rank")


def _run_pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = NOT_GIVEN) -> Any:
    if rcond is not None and rtol is not NOT_GIVEN:
        raise ValueError("pinv takes rtol= or rcond=, not both.")
    if rcond is None:
        rcond = 1e-15 if rtol is NOT_GIVEN else rtol
    if rcond is None:
        rcond = max(a.shape[-2:]) * np.finfo(a.dtype).eps
    if _cutoff_matters(a, as_arrays(rcond)):
        return _truncated((a + H(a)) / 2 if hermitian else a, as_arrays(rcond))
    return pinv(a, rcond=as_arrays(rcond), hermitian=hermitian)


def _cutoff_matters(a: Array, rcond: Any) -> bool:
    """Tell whether a cutoff drops singular values that are not 0 up to rounding; the rules of `pinv` assume not."""
    least = max(1e-15, max(a.shape[-2:]) * np.finfo(a.dtype if a.dtype.kind in "fc" else np.float64).eps)
    if np.all(np.asarray(rcond) <= least) or 0 in a.shape:
        return False
    s = np.linalg.svd(as_arrays(a), compute_uv=False)
    top = s.max(axis=-1, keepdims=True)
    return bool(np.any((s <= np.asarray(rcond)[..., None] * top) & (s > least * top)))


def _truncated(a: Array, rcond: Any) -> Array:
    """Return the pseudoinverse of a matrix without its singular values below a relative cutoff."""
    U, s, Vh = np.linalg.svd(a, full_matrices=False)
    left = as_arrays(s) > np.asarray(rcond)[..., None] * as_arrays(s).max(axis=-1, keepdims=True)
    return H(Vh) * np.where(left, 1 / np.where(left, s, 1), 0)[..., None, :] @ H(U)


def _run_lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Any, Any, int, Any]:
    a, b = as_array(a), as_array(b)
    x = lstsq(a, b, rcond=rcond) if rcond is None or not _cutoff_matters(a, rcond) else _truncated(a, rcond) @ b
    s = np.linalg.svdvals(a)
    m, n = a.shape
    cutoff = max(m, n) * np.finfo(s.dtype).eps if rcond is None else rcond
    rank = int((as_arrays(s) > cutoff * as_arrays(s).max(initial=0)).sum())
    if rank < n or m <= n:
        return x, np.array([], dtype=s.dtype), rank, s
    left = b - a @ x
    squares = np.real(left * conj(left))  # not np.abs(left) ** 2, since np.abs has a kink at 0
    return x, np.atleast_1d(np.sum(squares, axis=0)), rank, s


def _tensorinv(a: Any, ind: int = 2) -> Any:
    if ind <= 0:
        raise ValueError(f"tensorinv needs ind > 0, the number of axes that the inverse sums over; it got {ind}.")
    rows = int(np.prod(a.shape[ind:]))
    return inv(a.reshape(rows, a.size // rows if rows else 0)).reshape(a.shape[ind:] + a.shape[:ind])


def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    a, b = as_array(a), as_array(b)
    if axes is not None:
        last = normalize_axis_tuple(axes, a.ndim)
        a = a.transpose([axis for axis in range(a.ndim) if axis not in last] + [*last])
    shape = a.shape[b.ndim :]
    n = int(np.prod(shape))
    if a.size != n * n:
        raise np.linalg.LinAlgError(f"tensorsolve needs as many equations as unknowns; a has shape {a.shape}.")
    return solve(a.reshape(n, n), b.reshape(n)).reshape(shape)


# -- Determinants

def _cofactors(x: Array) -> Array:
    """Return det X times the transposed inverse of X; it is also defined for singular X."""
    n = x.shape[-1]
    if not 0 < n <= 4:
        return cofactor(x)
    others = np.array([[j for j in range(n) if j != i] for i in range(n)], dtype=int).reshape(n, n - 1)
    minors = x[..., others[:, None, :, None], others[None, :, None, :]]  # (..., n, n, n - 1, n - 1)
    signs = np.where(np.add.outer(range(n), range(n)) % 2, -1, 1).astype(x.dtype)
    return np.linalg.det(minors) * signs

det = declare(lambda a: np.linalg.det(a), r"\det X",
    (lambda g, out, x: g[..., None, None] * _cofactors(x),    r"g \det(X) \, X^{-T}"),
    name="det", numpy=np.linalg.det,
    kinks="for a singular matrix the first derivative is right, and higher ones up to 4 rows; beyond, they raise")


def _cofactor(x: Array) -> Array:
    U, s, Vh = np.linalg.svd(x)
    others = with_diagonal(np.ones_like(s), s[..., :, None]).prod(axis=-2)  # (..., n), products of all but one
    unit = np.linalg.det(U) * np.linalg.det(Vh)
    return unit[..., None, None] * ((U * others[..., None, :]) @ Vh).conj()


def _cofactor_vjp(g: Array, out: Array, x: Array) -> Array:
    Y = T(np.linalg.inv(x))
    return np.sum(g * out, axis=(-2, -1), keepdims=True) * Y - Y @ T(g) @ out

cofactor = declare(_cofactor, r"C = \det(X) \, X^{-T}",
    (_cofactor_vjp,                                           r"\langle g, C \rangle X^{-T} - X^{-T} g^T C"))


def _slogdet(x: Array) -> Array:
    return np.stack(np.linalg.slogdet(x), axis=-1)


def _slogdet_vjp(g: Array, out: Array, x: Array) -> Array:
    slope = g[..., 1]
    if x.dtype.kind == "c":
        slope = np.real(slope) + 1j * np.imag(g[..., 0] * out[..., 0])
    return slope[..., None, None] * T(np.linalg.inv(x))

slogdet_rows = declare(_slogdet, r"[\operatorname{sign} \det X, \; \ln |\det X|]",
    (_slogdet_vjp,                                            r"g_2 \, X^{-T}"),
    name="slogdet_rows", kinks="a singular matrix has no derivative, and asking for it raises")


# fmt: on


def _run_slogdet(a: Any) -> Any:
    both = slogdet_rows(a)
    return result_class(np.linalg.slogdet)(both[..., 0], real(both[..., 1]))


OVERRIDES.update({
    np.linalg.pinv: _run_pinv,
    np.linalg.lstsq: _run_lstsq,
    np.linalg.tensorinv: _tensorinv,
    np.linalg.tensorsolve: _tensorsolve,
    np.linalg.slogdet: _run_slogdet,
})  # fmt: skip
