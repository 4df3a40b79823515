"""Inverses, determinants, linear equations and factorisations of matrices, also in stacks.

Vectors of a factorisation are fixed up to a sign, or a phase, that NumPy chooses: the rows for complex matrices look at
what does not depend on it.
"""

import numpy as np

import tinygrad_nn as tg
from tinygrad_nn.primitive import REGISTRY

from .case import Case

L = np.linalg
REGULAR = np.array(
    [[[3.0, 0.4, -0.7], [0.2, 2.0, 0.5], [-0.3, 0.9, 2.5]], [[2.0, 1, 0.6], [-0.4, 1, 0.3], [0.1, 0.5, 4]]]
)
REAL_SPECTRUM = np.array([[1.0, 0.3, 0.2], [0.1, 3.0, 0.4], [0.2, -0.1, 5.0]])
ROTATION = np.array([[1.0, 2.0, 0.1], [-2.0, 1.2, 0.3], [0.2, 0.1, 3.0]])  # has a pair of complex eigenvalues
TALL = np.array([[2.0, 0.3, -0.5], [0.4, 1.5, 0.2], [-0.7, 0.1, 1.0], [0.6, -0.8, 0.9], [0.1, 0.5, -0.4]])
RANK_1 = np.outer([1.0, 2.0, -1.0], [0.5, 1.0])
SPD = REGULAR @ REGULAR.swapaxes(-1, -2)


def row(name, call, shapes, domain=(-2.0, 2.0), **what):
    return Case(f"linalg.{name}", call, shapes, domain, **what)


def eye(n, x):
    """Return an identity in the dtype of x, so that float32 stays float32."""
    return np.eye(n, dtype=x.dtype)


def H(x):
    return np.conj(np.swapaxes(x, -1, -2))


def symmetric(x):
    """Return a function's symmetric argument made of any matrix, since it reads one triangle only."""
    return x + H(x)


def _square():
    for array in (REGULAR, REGULAR[0], np.array([[2.0]])):
        for name in ("inv", "det", "slogdet"):
            f = getattr(L, name)
            yield row(name, lambda x, f=f: f(x), (array,), complex=True, analytic=name != "slogdet")
    for n in (2, 4, 5):
        yield row("det", lambda x: L.det(x), ((n, n),), complex=True)
        yield row("slogdet", lambda x: L.slogdet(x), ((2, n, n),), complex=True)
    yield row("det", lambda x: L.det(x), ((3, 3),), order=3, note="third order")
    for array in (REGULAR, (5, 5)):
        yield Case(
            "cofactor", lambda x: REGISTRY["cofactor"](x), (array,), complex=True,
            reference=lambda x: L.det(x)[..., None, None] * L.inv(x).swapaxes(-1, -2),
        )  # fmt: skip
    yield row("det", lambda x: L.det(x), (np.zeros((0, 0)),), note="no rows")
    yield row("det", lambda x: L.det(x), (np.zeros((0, 3, 3)),), note="no matrices")
    yield row("inv", lambda x: L.inv(x), (np.zeros((0, 3, 3)),), note="no matrices")
    singular = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9.5]])
    singular[2] = singular[0] - 2 * singular[1]
    yield row("det", lambda x: L.det(x), (singular,), note="rank 2")
    big = np.diag([2.0, 1, 3, 0, 1]) + 0.0
    big[0, 3] = big[4, 1] = 0.7
    yield row("det", lambda x: L.det(x), (big,), order=1, note="rank 4 of 5")
    for a, b in [
        ((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 4)),
        ((2, 3, 3), (2, 3, 1)),
    ]:  # fmt: skip
        yield row(
            "solve", lambda x, y: L.solve(x + 5 * eye(3, x), y), (a, b),
            complex=True, analytic=True,
        )  # fmt: skip
    yield row("solve", lambda x, y: L.solve(x, y), (REGULAR, (2, 3, 2)), note="alone")
    yield row("tensorinv", lambda x: L.tensorinv(x, ind=1), (TALL[:4].reshape(12)[:9].reshape(3, 3),))
    yield row("tensorinv", lambda x: L.tensorinv(x + eye(4, x).reshape(2, 2, 4) * 4, ind=2), ((2, 2, 4),), complex=True)
    yield row("tensorinv", lambda x: L.tensorinv(x + eye(4, x).reshape(4, 2, 2) * 4, ind=1), ((4, 2, 2),))
    yield row(
        "tensorsolve", lambda x, y: L.tensorsolve(x + 6 * eye(6, x).reshape(2, 3, 6), y), ((2, 3, 6), (2, 3)),
        complex=True,
    )  # fmt: skip
    yield row(
        "tensorsolve", lambda x, y: L.tensorsolve(np.moveaxis(x + 6 * eye(6, x).reshape(2, 3, 6), 2, 0), y, axes=(0,)),
        ((2, 3, 6), (2, 3)), note="axes",
    )  # fmt: skip


def _rectangular():
    for array in (TALL, TALL.T, REGULAR):
        yield row("pinv", lambda x: L.pinv(x), (array,), complex=True)
    yield row("pinv", lambda x: L.pinv(x, 1e-10), (TALL,), note="rcond")
    yield row("pinv", lambda x: L.pinv(x, rtol=1e-10), (TALL,), note="rtol")
    yield row("pinv", lambda x: L.pinv(x, rtol=None), (TALL,), note="rtol default")
    yield row("pinv", lambda x: L.pinv(symmetric(x), hermitian=True), (REGULAR,), complex=True, note="hermitian")
    # Scaled, a matrix keeps its rank.
    yield row(
        "pinv", lambda x: L.pinv(x * RANK_1.astype(x.dtype), rtol=1e-5), ((),), (0.5, 2), complex=True,
        note="rank 1 of 2",
    )  # fmt: skip
    yield row(
        "pinv", lambda x, y: L.pinv(np.outer(x, y), rtol=1e-5), ((3,), (2,)), (0.5, 2), complex=True, note="rank 1"
    )
    for array, b in [
        (TALL, (5,)), (TALL, (5, 2)), (TALL.T, (3,)), (TALL.T, (3, 2)), (REGULAR[0], (3,)), (TALL, (5, 1)),
    ]:  # fmt: skip
        yield row("lstsq", lambda x, y: _solution(L.lstsq(x, y)), (array, b), complex=True)
    yield row("lstsq", lambda x, y: L.lstsq(x, y, rcond=1e-4)[0], (TALL, (5,)), note="rcond")
    yield row(
        "lstsq", lambda x, y, b: L.lstsq(np.outer(x, y), b, rcond=1e-5)[0], ((3,), (2,), (3,)), (0.5, 2),
        complex=True, note="rank 1",
    )  # fmt: skip


def _solution(found):
    """Return the differentiable parts of what lstsq returns, scaled with the rank."""
    x, residuals, rank, s = found
    return (x * int(rank), residuals, s) if residuals.size else (x * int(rank), s)


def _symmetric():
    for array in (SPD, SPD[0]):
        yield row("cholesky", lambda x: L.cholesky(symmetric(x)), (array,), complex=True)
        yield row("cholesky", lambda x: L.cholesky(symmetric(x), upper=True), (array,), complex=True, note="upper")
    for array in (REGULAR, REGULAR[0], np.array([[1.5]])):
        for UPLO in "LU":
            yield row("eigh", lambda x, u=UPLO: L.eigh(symmetric(x), u), (array,), note=UPLO)
            yield row("eigvalsh", lambda x, u=UPLO: L.eigvalsh(symmetric(x), u), (array,), complex=True, note=UPLO)
        yield row("eigh", lambda x: _projectors(*L.eigh(symmetric(x))), (array,), complex=True, note="projectors")
    yield row("eigh", lambda x: L.eigh(symmetric(x)).eigenvalues, ((2, 4, 4),), complex=True, order=3, note="values")
    # The two lower eigenvalues are equal: the projector on their plane, and symmetric functions of them, are smooth.
    pair = np.diag([1.0, 1, 3])
    yield row("eigh", lambda x: _plane(L.eigh(symmetric(x)).eigenvectors), (pair,), order=1, note="equal pair")
    yield row("eigvalsh", lambda x: np.exp(L.eigvalsh(symmetric(x))).sum(), (np.eye(3),), note="all equal")
    for array in (np.eye(2), pair, np.zeros((2, 2))):
        yield row("eigh", lambda x: _exp(*L.eigh(symmetric(x))), (array,), order=1, note="exp at equal values")
    yield row(
        "eig", lambda x: (lambda w, V: (V * np.exp(w)) @ L.inv(V))(*L.eig(x)), (pair,), order=1,
        note="exp at equal values",
    )  # fmt: skip


def _exp(w, V):
    return (V * np.exp(w)) @ H(V)


def _functions():
    """Functions of symmetric matrices, at distinct, equal and nearly equal eigenvalues."""
    close = np.diag([1.0, 1 + 1e-9, 1 + 1e-3, 2])
    for array in (REGULAR @ REGULAR.swapaxes(-1, -2), np.eye(3), np.diag([1.0, 1, 3]), close, np.array([[0.7]])):
        for name, reference in (("exp", np.exp), ("log", np.log), ("sqrt", np.sqrt)):
            function = getattr(tg, f"symmetric_{name}")
            yield Case(
                "symmetric_function", lambda x, f=function: f(symmetric(x)), (array,), complex=True,
                reference=lambda x, f=reference: _of(f, symmetric(x)), note=name,
            )  # fmt: skip
    yield Case(
        "symmetric_function", lambda x: tg.symmetric_function(symmetric(x), np.tanh), (np.eye(3),), order=3,
        reference=lambda x: _of(np.tanh, symmetric(x)), note="tanh, third order",
    )  # fmt: skip
    yield Case(
        "symmetric_function", lambda x: tg.symmetric_function(symmetric(x), np.sin, np.cos), (pair_of(2),),
        reference=lambda x: _of(np.sin, symmetric(x)), note="sin with its slope",
    )  # fmt: skip


def pair_of(n):
    """Return a stack of a matrix with n equal eigenvalues and one whose are apart."""
    return np.stack([np.diag([1.0] * n + [2.5]), np.diag(np.arange(n + 1.0))])


def _of(f, x):
    w, V = L.eigh(x)
    return ((V * f(w)[..., None, :]) @ H(V)).astype(x.dtype)


def _projectors(w, V):
    """Return eigenvalues, and of each eigenvector that which has no phase: v vᴴ, summed with weights."""
    weights = np.arange(1, w.shape[-1] + 1).astype(w.dtype)
    return w, (V * weights) @ H(V)


def _plane(V):
    return V[:, :2] @ H(V[:, :2])


def _general():
    yield row("eig", lambda x: L.eig(x), (REAL_SPECTRUM,))
    yield row("eigvals", lambda x: L.eigvals(x), (REAL_SPECTRUM,), complex=True)
    yield row("eigvals", lambda x: L.eigvals(x), (np.stack([ROTATION, ROTATION.T]),), note="complex values")
    for array in (REAL_SPECTRUM, ROTATION, np.stack([ROTATION, REAL_SPECTRUM])):
        yield row("eig", lambda x: _without_phase(*L.eig(x)), (array,), complex=True, note="without phases")


def _without_phase(w, V):
    return w, np.abs(V) ** 2, (V * np.exp(w)[..., None, :]) @ L.inv(V)


def _qr():
    for array in (TALL, TALL.T, REGULAR):
        for mode in ("reduced", "complete"):
            # columns that complete Q may be chosen at will
            yield row(
                "qr", lambda x, m=mode: _without_choice(*L.qr(x, m), min(x.shape[-2:])), (array,),
                complex=True, note=mode,
            )  # fmt: skip
        yield row("qr", lambda x: L.qr(x), (array,), note="default")
        yield row("qr", lambda x: L.qr(x, "r"), (array,), complex=True, note="r")


def _without_choice(Q, R, k):
    rest = Q[..., k:]
    return Q[..., :k], R, rest @ H(rest) if rest.size else R


def _svd():
    for array in (TALL, TALL.T, REGULAR):
        yield row("svd", lambda x: L.svd(x, full_matrices=False), (array,), note="thin")
        yield row("svd", lambda x: L.svd(x, compute_uv=False), (array,), complex=True, note="values")
        yield row("svdvals", lambda x: L.svdvals(x), (array,), complex=True)
        for full in (True, False):
            yield row(
                "svd", lambda x, f=full: _without_signs(*L.svd(x, full_matrices=f)), (array,),
                complex=True, note=f"full {full}",
            )  # fmt: skip
    yield row("svd", lambda x: L.svd(x), (REGULAR,), note="square")
    yield row("svd", lambda x: L.svd(symmetric(x), hermitian=True), (REGULAR,), note="hermitian")
    yield row(
        "svd", lambda x: _without_signs(*L.svd(symmetric(x) - 5 * eye(3, x), hermitian=True)),
        (REGULAR,), complex=True, note="hermitian, without signs",
    )  # fmt: skip
    yield row(
        "svd", lambda x: L.svd(symmetric(x), hermitian=True, compute_uv=False), (REGULAR,), complex=True,
        note="hermitian values",
    )  # fmt: skip
    yield row("svdvals", lambda x: (L.svdvals(x) ** 2).sum(), (np.eye(3),), note="all equal")
    flat = np.array([[1.0, 0, 0], [0, 1, 0]])
    for array in (np.eye(3), flat, flat.T, np.diag([2.0, 0, 0])):
        yield row("svd", lambda x: _again(*L.svd(x, full_matrices=False)), (array,), order=1, note="equal values")
    yield row("svd", lambda x: _polar(*L.svd(x)), (np.eye(3),), order=1, note="polar factor, equal values")
    pair = np.diag([3.0, 3, 1])
    yield row("svd", lambda x: _best(*L.svd(x, full_matrices=False)), (pair,), order=1, note="equal pair")


def _again(U, s, Vh):
    return (U * s) @ Vh


def _polar(U, s, Vh):
    return U @ Vh


def _without_signs(U, s, Vh):
    """Return what the signs, or phases, of pairs of singular vectors do not change."""
    k = s.shape[-1]
    weights = np.arange(1, k + 1).astype(s.dtype)
    rest, rest_h = U[..., k:], Vh[..., k:, :]
    U, Vh = U[..., :k], Vh[..., :k, :]
    return s, (U * weights) @ Vh, (U * weights) @ H(U), rest @ H(rest), H(rest_h) @ rest_h


def _best(U, s, Vh):
    """Return the projector on the two leading left singular vectors."""
    return U[:, :2] @ H(U[:, :2]) + (s[2] * U[:, 2:]) @ Vh[2:]


CASES = [*_square(), *_rectangular(), *_symmetric(), *_functions(), *_general(), *_qr(), *_svd()]
