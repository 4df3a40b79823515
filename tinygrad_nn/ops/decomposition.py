"""Factorisations of matrices and stacks of matrices: Cholesky, QR, eigenvalues, singular values.

A factorisation with several results is one primitive, whose result holds them as rows of one array. So the forward
runs once, and the rule sees all cotangents together. The functions at the end split that array into NumPy's tuples.

Rules conjugate their cotangent first and work with the convention of the literature; for real matrices that has no
effect.

Conventions. The gradient of a function of a symmetric matrix (eigh, cholesky) is symmetric, though one triangle is
read. Eigenvectors and singular vectors are unique only up to a phase, and a loss must not depend on it. For equal
values only the space spanned by their vectors is unique: degenerate.py tests whether the loss depends on the choice
within it. A rule by itself returns NaN if the cotangent of such vectors is not zero, or if the cotangents of the equal
values differ, since the gradient could then depend on the choice.

Source: M. Giles, Collected matrix derivative results for forward and reverse mode AD (2008); M. Seeger et al.,
Auto-differentiating linear algebra (2017); J. Townsend, Differentiating the singular value decomposition (2016);
Z.-Q. Wan and S.-X. Zhang, Automatic differentiation for complex valued SVD (2019); I. Murray, Differentiation of the
Cholesky decomposition (2016); S. Walter and L. Lehmann, Algorithmic differentiation of linear algebra functions (2010).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import NOT_KNOWN, OVERRIDES, Array, AtEqualValues, Primitive, Ties, declare, undetermined
from .linalg import H, T, conj, real, result_class, with_diagonal
from .plain import as_arrays, is_tensor


def _completion(Q: Array, columns: Array) -> Array:
    """Return columns that complete Q to a unitary matrix, as a smooth function of Q near its present value.

    Many choices are valid; this one stays closest to the columns `columns` that NumPy found. Two Newton-Schulz steps
    restore orthonormality with an error of the eighth power of the change in Q, so that derivatives up to the seventh
    are right.
    """
    C = columns - Q @ (H(Q) @ columns)
    for _ in range(2):
        C = 1.5 * C - 0.5 * C @ (H(C) @ C)
    return C


def _below(x: Array) -> Array:
    """Return square matrices with only the entries below the diagonal kept."""
    return np.where(np.tri(x.shape[-1], k=-1, dtype=bool), x, 0)


def _diagonals(x: Array) -> Array:
    """Return the diagonals of square matrices."""
    return np.diagonal(x, 0, -2, -1)


def _symmetric(x: Array) -> Array:
    return (x + H(x)) / 2


# fmt: off
# -- Each factorisation: forward, rule and row

def _cholesky_vjp(g: Array, out: Array, x: Array) -> Array:
    P = H(out) @ conj(g)
    P = with_diagonal(0.5 * _diagonals(P), _below(P))
    return conj(_symmetric(H(np.linalg.solve(H(out), H(np.linalg.solve(H(out), P))))))

cholesky = declare(lambda a: np.linalg.cholesky(a), r"L : L L^H = X",
    (_cholesky_vjp, r"\operatorname{sym}(L^{-H} \Phi(L^H g) L^{-1}), \; \Phi: \text{lower part, half the diagonal}"),
    name="cholesky", kinks="the gradient is symmetric, though the lower triangle is read")

def _detach(x: Array) -> Array:
    """Return the same numbers as a constant, without a graph."""
    return x.detach() if is_tensor(x) else x


def _qr(x: Array) -> Array:
    Q, R = np.linalg.qr(x)
    return np.concatenate([Q, T(R)], axis=-2)


def _qr_vjp(g: Array, out: Array, x: Array) -> Array:
    m, g = x.shape[-2], conj(g)
    Q, R, gQ, gR = out[..., :m, :], T(out[..., m:, :]), g[..., :m, :], T(g[..., m:, :])
    M = gR @ H(R) - H(Q) @ gQ
    upper = T(_below(T(M)))
    M = with_diagonal(real(_diagonals(M)), upper + H(upper))
    # A column that depends linearly on those before it has an arbitrary vector in Q, and so have all columns after it.
    size = np.abs(_diagonals(_detach(R)))
    free = size <= size.max(axis=-1, keepdims=True, initial=0) * (8 * max(x.shape[-2:]) * np.finfo(x.dtype).eps)
    after = np.cumsum(free, axis=-1) > 0
    of_Q = undetermined(np.where(after[..., None, :], gQ, 0)).sum(axis=(-2, -1), keepdims=True)
    of_R = undetermined(np.where(after[..., :, None] | free[..., None, :], gR, 0)).sum(axis=(-2, -1), keepdims=True)
    r = np.linalg.solve(with_diagonal(np.where(free, 1, _diagonals(R)), R), H(gQ + Q @ M))
    return conj(H(np.where(free[..., :, None], 0, r)) + of_Q + of_R)

qr_rows = declare(_qr, r"[Q; R^T] : Q R = X",
    (_qr_vjp, r"(g_Q + Q M) R^{-H}, \; M = \text{Hermitian, with the upper part of } g_R R^H - Q^H g_Q"),
    name="qr_rows", kinks="NaN where the loss uses a column that depends on those before it")

PHASE = "the loss must not depend on the phases of the vectors; at equal values NaN where it depends on their choice"
WHY = (
    "Two {values} are equal to rounding, and the result depends on which of the possible vectors NumPy chose for them. "
    "For a function of a symmetric matrix use tinygrad_nn.symmetric_function, which needs no vectors."
)


def _tolerance(w: Array) -> Array:
    """Return the distance below which eigenvalues or singular values count as equal, with the last axis kept."""
    return np.sum(np.abs(w), axis=-1, keepdims=True) * (8 * np.finfo(w.dtype).eps)


def _equal_pairs(w: Array) -> Array:
    """Return a boolean matrix that marks the pairs of equal values; its diagonal is False."""
    near = np.abs(w[..., None, :] - w[..., :, None]) <= _tolerance(w)[..., None]
    return (near if is_tensor(near) else _linked(near, w)) & ~np.eye(w.shape[-1], dtype=bool)


def _linked(near: Array, w: Array) -> Array:
    """Return which values are linked by a chain of near ones, so that being equal is transitive.

    The ends of a chain share vectors with all between them, and their difference has few digits left to divide by.
    A trace does not know who is near, and needs no chains: with any of them the function runs uncompiled.
    """
    if w.dtype.kind == "c":  # complex numbers have no order: paths of 1, 2, 4, ... steps
        for _ in range(max(w.shape[-1] - 1, 0).bit_length()):
            links = near.astype(np.float32)  # their product is far faster than that of booleans
            near = links @ links > 0
        return near
    order = np.argsort(w, axis=-1)
    jumps = np.diff(np.take_along_axis(_detach(w), order, -1), axis=-1) > _tolerance(_detach(w))
    groups = np.cumsum(np.concatenate([np.zeros((*w.shape[:-1], 1), bool), jumps], -1), axis=-1)[..., : w.shape[-1]]
    groups = np.take_along_axis(groups, np.argsort(order, axis=-1), -1)
    return groups[..., None, :] == groups[..., :, None]


def _gaps(w: Array, equal: Array) -> Array:
    """Return w_j - w_i; for equal pairs the difference of their `_separating_direction`, and 1 on the diagonal."""
    e = _separating_direction(w)
    gaps = np.where(np.eye(w.shape[-1], dtype=bool), 1, w[..., None, :] - w[..., :, None])
    return np.where(equal, e - e[:, None], gaps)


def _separating_direction(w: Array) -> Array:
    """Return a direction along which all values become different: 1, 2, 3, ..."""
    return np.arange(1, w.shape[-1] + 1, dtype=np.finfo(w.dtype).dtype)


def _largest_or_one(w: Array) -> Array:
    size = np.abs(w).max(axis=-1, initial=0)
    return np.where(size == 0, 1, size)


def _is_zero(x: Array, of: Array) -> Array:
    """Return which entries x of a cotangent are 0 to half of the digits, relative to the largest entry of `of`."""
    whole = np.abs(of).max(axis=(-2, -1), keepdims=True, initial=0)
    return np.abs(x) <= whole * np.sqrt(np.finfo(x.dtype).eps)


def _random_rotation(equal: Array, dtype: Any, seed: int = 0) -> Array:
    """Return random unitary matrices that mix the vectors of equal values and leave the other vectors unchanged."""
    rng, n = np.random.default_rng(seed), equal.shape[-1]
    A = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if np.dtype(dtype).kind == "c" else 0)
    A = np.where(equal, A - A.conj().T, 0)
    return np.linalg.solve(np.eye(n) + A, np.eye(n) - A).astype(dtype)


def _refuse(x: Array) -> Array:
    if np.any(x != 0):
        raise AtEqualValues(
            "values of a factorisation are equal, so that for its gradient what follows must be run again, uncompiled."
        )
    return x * 1


# Used in place of `undetermined` in a compiled gradient, which cannot run the operations after a factorisation again.
# It raises AtEqualValues, and the function then runs uncompiled.
refused = Primitive("refused", _refuse, [NOT_KNOWN], "x")


def _skew(x: Array) -> Array:
    return x - H(x)


def _note_ties(equal: Array) -> None:
    if equal.any():
        Ties.met = True


def _equal_contribution(M: Array, gw: Array, equal: Array, unknown: Any) -> Array:
    """Return the contribution of pairs of equal values: 0 if the loss cannot depend on them, else `unknown(cotangent)`.

    M is the cotangent of the vectors in terms of each other, gw that of the values. A pair also counts if only the
    diagonal entry of one of its vectors is nonzero: the loss may be stationary just at the vectors that NumPy chose.
    """
    size = np.abs(M)
    alone = np.where(np.eye(M.shape[-1], dtype=bool), size, 0)
    used = size + alone.sum(axis=-1, keepdims=True) + alone.sum(axis=-2, keepdims=True)
    unequal = equal & ~_is_zero(gw[..., None, :] - gw[..., :, None], gw[..., None, :])
    return unknown(np.where(equal, used, 0)) + unknown(np.where(unequal, gw[..., None, :], 0))


def _slope_where_zero(M: Array, slope: Array, of: Array) -> Array:
    """Return the derivative `slope` of a cotangent that must be 0 at equal values, and NaN where it is not 0."""
    return np.where(_is_zero(M, of), slope, np.nan)


def _turned_eig(out: Array, x: Array) -> Array:
    V = out[..., 1:, :] @ _random_rotation(_equal_pairs(out[..., 0, :]), out.dtype)
    return np.concatenate([out[..., :1, :], V / np.linalg.norm(V, axis=-2, keepdims=True)], axis=-2)


def _ties(row: Any, vectors: Any, equal: Any, rotated: Any, values: str) -> Ties:
    """Return the `Ties` of a factorisation; `row(x)` is the row of the result that holds the values."""

    def parted(out: Array, x: Array) -> Array:
        direction = np.zeros_like(out)
        direction[..., row(x), :] = _separating_direction(out)
        return direction

    return Ties(
        have_equal=lambda out, x: equal(out[..., row(x), :]).any(axis=(-2, -1)),
        uses_vectors=vectors,
        parted=parted,
        rotated=rotated,
        size=lambda out, x: _largest_or_one(out[..., row(x), :]),
        refused=refused,
        reason=WHY.format(values=values),
    )


OF_EIGEN = _ties(lambda x: 0, lambda g, x: bool(np.any(g[..., 1:, :])), _equal_pairs, _turned_eig, "eigenvalues")


def _eigh(x: Array, UPLO: Any = "L") -> Array:
    w, V = np.linalg.eigh(x, UPLO)
    _note_ties(_equal_pairs(w))
    return np.concatenate([w[..., None, :].astype(V.dtype), V], axis=-2)


def _eigh_vjp(
    g: Array, out: Array, x: Array, UPLO: Any = "L", g_tangent: Any = None, unknown: Any = undetermined
) -> Array:
    w, V, g = real(out[..., 0, :]), out[..., 1:, :], conj(g)
    same = _equal_pairs(_detach(w))
    M = H(V) @ g[..., 1:, :]
    if g_tangent is None:
        ties = _equal_contribution(H(_detach(V)) @ g[..., 1:, :], _detach(g)[..., 0, :], same, unknown)
    else:
        ties = _slope_where_zero(_skew(M), _skew(H(V) @ conj(g_tangent)[..., 1:, :]), g) / 2
    M = np.where(same, ties, M) / _gaps(w, same)
    return conj(_symmetric(V @ with_diagonal(g[..., 0, :], M) @ H(V)))

eigh_rows = declare(_eigh, r"[\lambda; V] : V \Lambda V^H = X",
    (_eigh_vjp, (r"\operatorname{sym} V (\operatorname{diag} g_\lambda + F \circ V^H g_V) V^H, "
                 r"\; F_{ij} = \tfrac{1}{\lambda_j - \lambda_i}")),
    name="eigh_rows", kinks="the gradient is symmetric, though one triangle is read; " + PHASE, ties=OF_EIGEN)


def _eig(x: Array) -> Array:
    w, V = np.linalg.eig(x)
    _note_ties(_equal_pairs(w))
    return np.concatenate([w[..., None, :], V], axis=-2)


def _turning(V: Array, g: Array) -> Array:
    M = H(V) @ g[..., 1:, :]
    return M - H(V) @ V * real(_diagonals(M))[..., None, :]


def _eig_vjp(g: Array, out: Array, x: Array, g_tangent: Any = None, unknown: Any = undetermined) -> Array:
    w, V, g = out[..., 0, :], out[..., 1:, :], conj(g)
    same = _equal_pairs(_detach(w))
    M = _turning(V, g)
    if g_tangent is None:
        ties = _equal_contribution(H(_detach(V)) @ g[..., 1:, :], _detach(g)[..., 0, :], same, unknown)
    else:
        ties = _slope_where_zero(M, _turning(V, conj(g_tangent)), g)
    M = np.where(same, ties, M) / conj(_gaps(w, same))
    lost = _defective(_detach(V), same)
    basis = np.where(lost, np.eye(x.shape[-1], dtype=V.dtype), V)
    return conj(np.linalg.solve(H(basis), with_diagonal(g[..., 0, :], M) @ H(basis)) * np.where(lost, np.nan, 1))


def _defective(V: Array, equal: Array) -> Array:
    """Return which matrices are defective: equal eigenvalues share an eigenvector, so that these form no basis."""
    s = np.linalg.svd(V, compute_uv=False)
    flat = s[..., -1:] <= s[..., :1] * np.sqrt(np.finfo(s.dtype).eps) if V.shape[-1] else s[..., :1] > 0
    return np.any(equal, axis=(-2, -1), keepdims=True) & flat[..., None]

eig_rows = declare(_eig, r"[\lambda; V] : V \Lambda V^{-1} = X",
    (_eig_vjp, (r"V^{-H} (\operatorname{diag} g_\lambda + \bar F \circ (M - V^H V \operatorname{Re} "
                r"\operatorname{diag} M)) V^H, \; M = V^H g_V, \; F_{ij} = \tfrac{1}{\lambda_j - \lambda_i}")),
    name="eig_rows", kinks=PHASE, ties=OF_EIGEN)


def _equal_or_zero_pairs(s: Array) -> Array:
    zero = s <= _tolerance(s)
    return _equal_pairs(s) | (zero[..., None, :] & zero[..., :, None])


def _svd(x: Array) -> Array:
    U, s, Vh = np.linalg.svd(x, full_matrices=False)
    _note_ties(_equal_or_zero_pairs(s))
    return np.concatenate([U, s[..., None, :].astype(U.dtype), T(Vh)], axis=-2)


def _svd_parts(x: Array, rows: Array) -> tuple[Array, Array, Array]:
    m = x.shape[-2]
    return rows[..., :m, :], rows[..., m, :], T(rows[..., m + 1 :, :])


def _turns(U: Array, Vh: Array, gU: Array, gVh: Array) -> tuple[Array, Array]:
    """Return the cotangents of rotating left and right singular vectors together, and in opposite directions."""
    left, right = _skew(H(U) @ gU), _skew(Vh @ H(gVh))
    return left + right, left - right


def _outside_columns(U: Array, g: Array, g_tangent: Any, zero: Array, unknown: Any, full_cotangent: Array) -> Array:
    """Return the part of a cotangent outside the columns of U; for singular values of 0, its derivative `g_tangent`."""
    rest, at_zero = g - U @ (H(U) @ g), zero[..., None, :]
    if g_tangent is None:
        fixed = _detach(U)
        return np.where(at_zero, unknown(np.where(at_zero, g - fixed @ (H(fixed) @ g), 0)), rest)
    return np.where(at_zero, _slope_where_zero(rest, g_tangent - U @ (H(U) @ g_tangent), full_cotangent), rest)


def _svd_vjp(g: Array, out: Array, x: Array, g_tangent: Any = None, unknown: Any = undetermined) -> Array:
    (m, n), (U, s, Vh), (gU, gs, gVh) = x.shape[-2:], _svd_parts(x, out), _svd_parts(x, conj(g))
    s, e = real(s), _separating_direction(s)
    zero, same = _detach(s) <= _tolerance(_detach(s)), _equal_pairs(_detach(s))
    zeros = zero[..., None, :] & zero[..., :, None]
    # Left and right vectors of equal values can only be rotated together; for values of 0 they rotate independently.
    together, against = _turns(U, Vh, gU, gVh)
    if g_tangent is None:
        loose = np.abs(H(_detach(U)) @ gU) + np.abs(conj(_detach(Vh)) @ T(gVh))
        together = np.where(same, _equal_contribution(loose, _detach(gs), same, unknown), together)
        against = np.where(zeros, unknown(np.where(zeros, loose, 0)), against)
        plain = _detach(gs)[..., None, :]
        gs = np.where(zero & ~_is_zero(plain, plain)[..., 0, :], 0, gs)  # as |x|
        along_U = along_V = None
    else:
        along_U, _, along_V = _svd_parts(x, conj(g_tangent))
        slopes = _turns(U, Vh, along_U, along_V)
        together = np.where(same, _slope_where_zero(together, slopes[0], g), together)
        against = np.where(zeros, _slope_where_zero(against, slopes[1], g), against)
    sums = s[..., None, :] + s[..., :, None]
    together, against = together / _gaps(s, same), against / np.where(zeros, e + e[:, None], sums)
    phase = 0.5 * _diagonals(against) if x.dtype.kind == "c" else 0
    r = U @ with_diagonal(gs + phase, (together + against) / 2) @ Vh
    grown: Array = np.where(zero, e, s)
    if m > n:
        r = r + _outside_columns(U, gU, along_U, zero, unknown, g) / grown[..., None, :] @ Vh
    if n > m:
        along_V = None if along_V is None else H(along_V)
        r = r + U / grown[..., None, :] @ H(_outside_columns(H(Vh), H(gVh), along_V, zero, unknown, g))
    return conj(r)


def _turned_svd(out: Array, x: Array) -> Array:
    """Return another valid singular value decomposition, with other vectors for equal values and for values of 0."""
    m = x.shape[-2]
    s = real(out[..., m, :])
    zero = s <= _tolerance(s)
    zeros, same = zero[..., None, :] & zero[..., :, None], _equal_pairs(s)
    left = _random_rotation(same & ~zeros, out.dtype) @ _random_rotation(same & zeros, out.dtype, 1)
    right = _random_rotation(same & ~zeros, out.dtype) @ _random_rotation(same & zeros, out.dtype, 2)
    U, Vt = out[..., :m, :] @ left * np.where(zero, -1, 1)[..., None, :], out[..., m + 1 :, :] @ conj(right)
    return np.concatenate([U, out[..., m : m + 1, :], Vt], axis=-2)


OF_SVD = _ties(
    lambda x: x.shape[-2], lambda g, x: bool(np.any(np.delete(g, x.shape[-2], axis=-2))),
    lambda s: _equal_or_zero_pairs(real(s)), _turned_svd, "singular values",
)  # fmt: skip

svd_rows = declare(_svd, r"[U; s; V^*] : U S V^H = X",
    (_svd_vjp, (r"U (\operatorname{diag} g_s + F \circ (\operatorname{skew}(U^H g_U) S + S \operatorname{skew}("
                r"V^H g_V))) V^H + (I - U U^H) g_U S^{-1} V^H + U S^{-1} g_V^H (I - V V^H), "
                r"\; F_{ij} = \tfrac{1}{s_j^2 - s_i^2}")),
    name="svd_rows", ties=OF_SVD,
    kinks=PHASE + "; the slope of a singular value at 0 is 0")


# fmt: on


# -- The replacements of NumPy's functions

def _run_cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return T(cholesky(T(a))) if upper else cholesky(a)


def _run_qr(a: Any, mode: str = "reduced") -> Any:
    m, n = a.shape[-2:]
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(
            f"np.linalg.qr of a Tensor has the modes reduced, complete and r, not {mode!r}; for plain values of "
            "another mode write np.linalg.qr(t.data, mode=...)."
        )
    rows = qr_rows(a[..., :m])
    Q, R = rows[..., :m, :], T(rows[..., m:, :])
    if n > m:
        R = np.concatenate([R, H(Q) @ a[..., m:]], axis=-1)
    if mode == "r":
        return R
    if mode == "complete" and m > n:
        Q = np.concatenate([Q, _completion(Q, np.linalg.qr(as_arrays(a), mode="complete")[0][..., n:])], axis=-1)
        R = np.concatenate([R, np.zeros((*R.shape[:-2], m - n, n), dtype=R.dtype)], axis=-2)
    return result_class(np.linalg.qr)(Q, R)


def _run_eigh(a: Any, UPLO: Any = "L") -> Any:
    rows = eigh_rows(a, UPLO=UPLO)
    return result_class(np.linalg.eigh)(real(rows[..., 0, :]), rows[..., 1:, :])


def _run_eig(a: Any) -> Any:
    rows = eig_rows(a)
    return result_class(np.linalg.eig)(rows[..., 0, :], rows[..., 1:, :])


def _run_svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if hermitian:
        return _svd_of_hermitian(a, compute_uv)
    if not compute_uv:
        return _run_svdvals(a)
    m, n = a.shape[-2:]
    rows = svd_rows(a)
    U, s, V = rows[..., :m, :], real(rows[..., m, :]), conj(rows[..., m + 1 :, :])
    if full_matrices and m != n:
        rest = np.linalg.svd(as_arrays(a))
        if m > n:
            U = np.concatenate([U, _completion(U, rest[0][..., n:])], axis=-1)
        else:
            V = np.concatenate([V, _completion(V, H(rest[2])[..., m:])], axis=-1)
    return result_class(np.linalg.svd)(U, s, H(V))


def _run_svdvals(x: Any, /) -> Any:
    return real(svd_rows(x)[..., x.shape[-2], :])


def _svd_of_hermitian(a: Any, compute_uv: bool) -> Any:
    if not compute_uv:
        return np.sort(np.abs(_run_eigh(a)[0]), axis=-1)[..., ::-1]
    w, V = _run_eigh(a)
    order = np.argsort(np.abs(w))[..., ::-1]
    w, V = np.take_along_axis(w, order, axis=-1), np.take_along_axis(V, order[..., None, :], axis=-1)
    return result_class(np.linalg.svd)(V, np.abs(w), H(V * np.copysign(1, as_arrays(w))[..., None, :]))


OVERRIDES.update({
    np.linalg.cholesky: _run_cholesky,
    np.linalg.qr: _run_qr,
    np.linalg.eigh: _run_eigh,
    np.linalg.eig: _run_eig,
    np.linalg.eigvals: lambda a: _run_eig(a)[0],
    np.linalg.eigvalsh: lambda a, UPLO="L": _run_eigh(a, UPLO)[0],
    np.linalg.svd: _run_svd,
    np.linalg.svdvals: _run_svdvals,
})  # fmt: skip
