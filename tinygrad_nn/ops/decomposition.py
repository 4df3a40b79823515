"""Factorisations of matrices, also in stacks: Cholesky, QR, eigenvalues, singular values.

A factorisation with several results is one primitive, whose result holds them as rows of one array: so the forward
runs once and the rule sees all cotangents together. NumPy's functions cut it into named tuples.

Rules are written for cotangents conjugated at their door, as in the literature; for real matrices that is nothing.

Conventions. The gradient of a function of a symmetric matrix (eigh, cholesky) is symmetric, though one triangle is
read. Eigenvectors and singular vectors are fixed up to a phase only, and a loss must not depend on it. Pairs of equal
eigenvalues or singular values contribute nothing: right, in first order, for what does not depend on the choice of
vectors among the equal ones and uses them together, such as a projector on their whole space, or a symmetric function
of the values.

Source: M. Giles, Collected matrix derivative results for forward and reverse mode AD (2008); M. Seeger et al.,
Auto-differentiating linear algebra (2017); J. Townsend, Differentiating the singular value decomposition (2016);
Z.-Q. Wan and S.-X. Zhang, Automatic differentiation for complex valued SVD (2019); I. Murray, Differentiation of the
Cholesky decomposition (2016); S. Walter and L. Lehmann, Algorithmic differentiation of linear algebra functions (2010).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import OVERRIDES, Array, declare
from .linalg import H, T, conj, diagonal, real
from .plain import bare

EighResult = type(np.linalg.eigh(np.eye(1)))
EigResult = type(np.linalg.eig(np.eye(1)))
QRResult = type(np.linalg.qr(np.eye(1)))
SVDResult = type(np.linalg.svd(np.eye(1)))
PHASE = "the loss must not depend on the phases of the vectors; pairs of equal values contribute nothing"


def _tolerance(w: Array) -> Array:
    """Return the distance below which rounding cannot tell eigenvalues or singular values apart, with an axis kept."""
    return np.sum(np.abs(w), axis=-1, keepdims=True) * (8 * np.finfo(w.dtype).eps)


def _inverse_gaps(w: Array) -> Array:
    """Return 1 / (w_j - w_i), and 0 where they are equal."""
    gaps = w[..., None, :] - w[..., :, None]
    same = np.abs(gaps) <= _tolerance(w)[..., None]
    return np.where(same, 0, 1 / np.where(same, 1, gaps))


def _inverse(s: Array) -> Array:
    """Return 1 / s, and 0 where s is 0."""
    zero = s <= _tolerance(s)
    return np.where(zero, 0, 1 / np.where(zero, 1, s))


def _below(x: Array) -> Array:
    """Return the part of matrices below the diagonal."""
    return np.where(np.tri(x.shape[-2], x.shape[-1], -1, dtype=bool), x, 0)


def _main(x: Array) -> Array:
    """Return the diagonals of square matrices."""
    return np.diagonal(x, 0, -2, -1)


def _symmetric(x: Array) -> Array:
    return (x + H(x)) / 2


def _skew(x: Array) -> Array:
    return x - H(x)


def _completion(Q: Array, rest: Array) -> Array:
    """Return the columns that complete Q to a unitary matrix as a function of Q near its present value.

    Any choice of them is as good as another; this one, closest to `rest`, is smooth. Two steps of Newton and Schulz
    restore orthonormality to the eighth power of a change, so that derivatives up to the seventh are right.
    """
    C = rest - Q @ (H(Q) @ rest)
    for _ in range(2):
        C = 1.5 * C - 0.5 * C @ (H(C) @ C)
    return C


# -- The rows of each factorisation, and the rule


def _cholesky_vjp(g: Array, out: Array, x: Array) -> Array:
    P = H(out) @ conj(g)
    P = diagonal(0.5 * _main(P), _below(P))
    return conj(_symmetric(H(np.linalg.solve(H(out), H(np.linalg.solve(H(out), P))))))


def _qr(x: Array) -> Array:
    Q, R = np.linalg.qr(x)
    return np.concatenate([Q, T(R)], axis=-2)


def _qr_vjp(g: Array, out: Array, x: Array) -> Array:
    m, g = x.shape[-2], conj(g)
    Q, R, gQ, gR = out[..., :m, :], T(out[..., m:, :]), g[..., :m, :], T(g[..., m:, :])
    M = gR @ H(R) - H(Q) @ gQ
    upper = T(_below(T(M)))
    M = diagonal(real(_main(M)), upper + H(upper))
    return conj(H(np.linalg.solve(R, H(gQ + Q @ M))))


def _eigh(x: Array, UPLO: Any = "L") -> Array:
    w, V = np.linalg.eigh(x, UPLO)
    return np.concatenate([w[..., None, :].astype(V.dtype), V], axis=-2)


def _eigh_vjp(g: Array, out: Array, x: Array, UPLO: Any = "L") -> Array:
    w, V, g = real(out[..., 0, :]), out[..., 1:, :], conj(g)
    M = diagonal(g[..., 0, :], (H(V) @ g[..., 1:, :]) * _inverse_gaps(w))
    return conj(_symmetric(V @ M @ H(V)))


def _eigvalsh(a: Array, UPLO: Any = "L") -> Array:
    return np.linalg.eigvalsh(a, UPLO)


def _eigvalsh_vjp(g: Array, out: Array, x: Array, UPLO: Any = "L") -> Array:
    V = np.linalg.eigh(x, UPLO)[1]
    return conj(V * g[..., None, :] @ H(V))


def _eig(x: Array) -> Array:
    w, V = np.linalg.eig(x)
    return np.concatenate([w[..., None, :], V], axis=-2)


def _eig_vjp(g: Array, out: Array, x: Array) -> Array:
    w, V, g = out[..., 0, :], out[..., 1:, :], conj(g)
    M = H(V) @ g[..., 1:, :]
    M = (M - H(V) @ V * real(_main(M))[..., None, :]) * conj(_inverse_gaps(w))
    return conj(np.linalg.solve(H(V), diagonal(g[..., 0, :], M) @ H(V)))


def _svd(x: Array) -> Array:
    U, s, Vh = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([U, s[..., None, :].astype(U.dtype), T(Vh)], axis=-2)


def _svd_vjp(g: Array, out: Array, x: Array) -> Array:
    (m, n), g = x.shape[-2:], conj(g)
    U, s, Vh = out[..., :m, :], real(out[..., m, :]), T(out[..., m + 1 :, :])
    gU, gs, gVh = g[..., :m, :], g[..., m, :], T(g[..., m + 1 :, :])
    right, down = s[..., None, :], s[..., :, None]
    twist, turn = _skew(H(U) @ gU), _skew(Vh @ H(gVh))
    gaps = _inverse_gaps(s) * np.where(right + down == 0, 0, 1 / np.where(right + down == 0, 1, right + down))
    M = (twist * right + down * turn) * gaps
    phase = 0.25 * _main(twist - turn) * _inverse(s) if x.dtype.kind == "c" else 0
    r = U @ diagonal(gs + phase, M) @ Vh
    if m > n:
        r = r + (gU - U @ (H(U) @ gU)) * _inverse(s)[..., None, :] @ Vh
    if n > m:
        r = r + U * _inverse(s)[..., None, :] @ (gVh - (gVh @ H(Vh)) @ Vh)
    return conj(r)


def _svdvals_vjp(g: Array, out: Array, x: Array) -> Array:
    U, s, Vh = np.linalg.svd(x, full_matrices=False)
    return conj(U * np.where(s <= _tolerance(s), 0, g)[..., None, :] @ Vh)


# fmt: off
cholesky = declare(lambda a: np.linalg.cholesky(a), r"L : L L^H = X",
    (_cholesky_vjp, r"\operatorname{sym}(L^{-H} \Phi(L^H g) L^{-1}), \; \Phi: \text{lower part, half the diagonal}"),
    name="cholesky", kinks="the gradient is symmetric, though the lower triangle is read")

qr_rows = declare(_qr, r"[Q; R^T] : Q R = X",
    (_qr_vjp, r"(g_Q + Q M) R^{-H}, \; M = \text{Hermitian, with the upper part of } g_R R^H - Q^H g_Q"),
    name="qr_rows")

eigh_rows = declare(_eigh, r"[\lambda; V] : V \Lambda V^H = X",
    (_eigh_vjp, (r"\operatorname{sym} V (\operatorname{diag} g_\lambda + F \circ V^H g_V) V^H, "
                 r"\; F_{ij} = \tfrac{1}{\lambda_j - \lambda_i}")),
    name="eigh_rows", kinks="the gradient is symmetric, though one triangle is read; " + PHASE)

eigvalsh = declare(_eigvalsh, r"\lambda : V \Lambda V^H = X",
    (_eigvalsh_vjp, r"V \operatorname{diag}(g) V^H"),
    numpy=np.linalg.eigvalsh, kinks="the gradient is symmetric, though one triangle is read")

eig_rows = declare(_eig, r"[\lambda; V] : V \Lambda V^{-1} = X",
    (_eig_vjp, (r"V^{-H} (\operatorname{diag} g_\lambda + \bar F \circ (M - V^H V \operatorname{Re} "
                r"\operatorname{diag} M)) V^H, \; M = V^H g_V, \; F_{ij} = \tfrac{1}{\lambda_j - \lambda_i}")),
    name="eig_rows", kinks=PHASE)

svd_rows = declare(_svd, r"[U; s; V^*] : U S V^H = X",
    (_svd_vjp, (r"U (\operatorname{diag} g_s + F \circ (\operatorname{skew}(U^H g_U) S + S \operatorname{skew}("
                r"V^H g_V))) V^H + (I - U U^H) g_U S^{-1} V^H + U S^{-1} g_V^H (I - V V^H), "
                r"\; F_{ij} = \tfrac{1}{s_j^2 - s_i^2}")),
    name="svd_rows", kinks=PHASE + "; so do the vectors of a value that is 0")

svdvals = declare(lambda x: np.linalg.svdvals(x), r"s : U S V^H = X",
    (_svdvals_vjp, r"U \operatorname{diag}(g) V^H"),
    name="svdvals", numpy=np.linalg.svdvals, kinks="at 0 the slope is 0")
# fmt: on


# -- NumPy's functions


def _run_cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return H(cholesky(H(a))) if upper else cholesky(a)


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
        Q = np.concatenate([Q, _completion(Q, np.linalg.qr(bare(a), mode="complete")[0][..., n:])], axis=-1)
        R = np.concatenate([R, np.zeros((*R.shape[:-2], m - n, n), dtype=R.dtype)], axis=-2)
    return QRResult(Q, R)


def _run_eigh(a: Any, UPLO: Any = "L") -> Any:
    rows = eigh_rows(a, UPLO=UPLO)
    return EighResult(real(rows[..., 0, :]), rows[..., 1:, :])


def _run_eig(a: Any) -> Any:
    rows = eig_rows(a)
    return EigResult(rows[..., 0, :], rows[..., 1:, :])


def _run_svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if hermitian:
        return _svd_of_hermitian(a, compute_uv)
    if not compute_uv:
        return svdvals(a)
    m, n = a.shape[-2:]
    rows = svd_rows(a)
    U, s, V = rows[..., :m, :], real(rows[..., m, :]), conj(rows[..., m + 1 :, :])
    if full_matrices and m != n:
        rest = np.linalg.svd(bare(a))
        if m > n:
            U = np.concatenate([U, _completion(U, rest[0][..., n:])], axis=-1)
        else:
            V = np.concatenate([V, _completion(V, H(rest[2])[..., m:])], axis=-1)
    return SVDResult(U, s, H(V))


def _svd_of_hermitian(a: Any, compute_uv: bool) -> Any:
    if not compute_uv:
        return np.sort(np.abs(eigvalsh(a)), axis=-1)[..., ::-1]
    w, V = _run_eigh(a)
    order = np.argsort(np.abs(w))[..., ::-1]
    w, V = np.take_along_axis(w, order, axis=-1), np.take_along_axis(V, order[..., None, :], axis=-1)
    return SVDResult(V, np.abs(w), H(V * np.copysign(1, bare(w)).astype(w.dtype)[..., None, :]))


OVERRIDES.update({
    np.linalg.cholesky: _run_cholesky,
    np.linalg.qr: _run_qr,
    np.linalg.eigh: _run_eigh,
    np.linalg.eig: _run_eig,
    np.linalg.eigvals: lambda a: _run_eig(a)[0],
    np.linalg.svd: _run_svd,
})  # fmt: skip
