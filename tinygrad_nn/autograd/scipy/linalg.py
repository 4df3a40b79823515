"""scipy.linalg, also for Tensors: they go to numpy.linalg where NumPy has the function, else to the rules here."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import scipy.linalg as _linalg

from ..core import defvjp, defvjp_argnums, primitive
from ..numpy.numpy_wrapper import as_one_tensor, tensors_in, wrap_namespace

wrap_namespace(vars(_linalg), globals())


def _T(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _columns(x: Any) -> Any:
    return x if np.ndim(x) > 1 else x[:, None]


# -- Triangular systems


@primitive
def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, **options: Any) -> Any:
    """Return the x with ``a @ x = b`` (``trans`` 0), ``a.T @ x = b`` (1) or ``a.T.conj() @ x = b`` (2)."""
    return _linalg.solve_triangular(a, b, trans=trans, lower=lower, **options)


def _right_side_vjp(ans: Any, a: Any, b: Any, trans: Any = 0, lower: bool = False, **options: Any) -> Any:
    def rule(g: Any) -> Any:
        if trans in (2, "C"):
            return solve_triangular(np.conj(a), g, trans=0, lower=lower, **options)
        return solve_triangular(a, g, trans=1 if trans in (0, "N") else 0, lower=lower, **options)

    return rule


def _triangle_vjp(ans: Any, a: Any, b: Any, trans: Any = 0, lower: bool = False, **options: Any) -> Any:
    solve = _right_side_vjp(ans, a, b, trans, lower, **options)

    def rule(g: Any) -> Any:
        outer = -_columns(solve(g)) @ _T(_columns(ans))  # gradient of the matrix in the solve: a, a.T or a.T.conj()
        if trans in (1, "T"):
            outer = _T(outer)
        elif trans in (2, "C"):
            outer = np.conj(_T(outer))
        part = (np.tril if lower else np.triu)(outer, (-1 if lower else 1) if options.get("unit_diagonal") else 0)
        return part if np.iscomplexobj(a) else np.real(part)

    return rule


defvjp(solve_triangular, _triangle_vjp, _right_side_vjp)


# -- Equations with matrices on both sides


@primitive
def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """Return the X with ``a @ X + X @ b = q``."""
    return _linalg.solve_sylvester(a, b, q)


def _sylvester_vjp(argnums: tuple[int, ...], ans: Any, args: Any, kwargs: Any) -> Callable[[Any], Any]:
    def rules(g: Any) -> list[Any]:
        q = solve_sylvester(_T(args[0]), _T(args[1]), g)
        by_number = {0: lambda: -q @ _T(ans), 1: lambda: -_T(ans) @ q, 2: lambda: q}
        return [by_number[n]() for n in argnums]

    return rules


defvjp_argnums(solve_sylvester, _sylvester_vjp)


@primitive
def sqrtm(A: Any, **options: Any) -> Any:
    """Return the principal square root of a matrix."""
    return _linalg.sqrtm(A, **options)


def _sqrtm_vjp(ans: Any, A: Any, **options: Any) -> Callable[[Any], Any]:
    def rule(g: Any) -> Any:
        found = solve_sylvester(_T(ans), _T(ans), g)
        return found if np.iscomplexobj(A) else np.real(found)

    return rule


defvjp(sqrtm, _sqrtm_vjp)


@primitive
def expm(A: Any) -> Any:
    """Return the exponential of a matrix."""
    return _linalg.expm(A)


def _expm_vjp(ans: Any, A: Any) -> Callable[[Any], Any]:
    """The upper right block of the exponential of [[Aᵀ, g], [0, Aᵀ]] is the derivative along g (Mathias 1996)."""
    n = np.shape(A)[-1]
    return lambda g: expm(np.block([[_T(A), g], [0 * g, _T(A)]]))[..., :n, n:]


defvjp(expm, _expm_vjp)


# -- Banded systems


def _band(l_and_u: tuple[int, int], n: int) -> tuple[Any, Any]:
    """Return the indices of the band's entries in SciPy's banded form, and their indices in the n × n matrix."""
    lower, upper = l_and_u
    rows, columns = np.mgrid[: lower + upper + 1, :n]
    i = rows + columns - upper
    held = (i >= 0) & (i < n)
    return (rows[held], columns[held]), (i[held], columns[held])


@primitive
def _solve_banded(l_and_u: Any, ab: Any, b: Any) -> Any:
    return _linalg.solve_banded(l_and_u, ab, b)


def _band_vjp(ans: Any, l_and_u: Any, ab: Any, b: Any) -> Callable[[Any], Any]:
    held, at = _band(l_and_u, np.shape(ab)[1])
    solve = _banded_rhs_vjp(ans, l_and_u, ab, b)

    def rule(g: Any) -> Any:
        outer = -np.sum(_columns(solve(g))[at[0]] * _columns(ans)[at[1]], axis=-1)
        place = np.zeros((len(at[0]), *np.shape(ab)))
        place[(np.arange(len(at[0])), *held)] = 1
        return np.tensordot(outer, place, 1)

    return rule


def _banded_rhs_vjp(ans: Any, l_and_u: Any, ab: Any, b: Any) -> Callable[[Any], Any]:
    n = np.shape(ab)[1]
    held, (i, j) = _band(l_and_u, n)
    lower, upper = l_and_u
    place = np.zeros((len(i), lower + upper + 1, n))
    place[np.arange(len(i)), lower + j - i, i] = 1  # their indices in the banded form of Aᵀ
    turned = np.tensordot(ab[held], place, 1)
    return lambda g: _solve_banded((upper, lower), turned, g)


defvjp(_solve_banded, None, _band_vjp, _banded_rhs_vjp)


def solve_banded(l_and_u: tuple[int, int], ab: Any, b: Any, **options: Any) -> Any:
    """Return the x with ``A @ x = b`` for a banded A, held as SciPy does: ``ab[u + i - j, j] = A[i, j]``."""
    if tensors_in((ab, b)):
        return _solve_banded(l_and_u, ab, b)
    return _linalg.solve_banded(l_and_u, ab, b, **options)


# -- Functions that NumPy also has


def _numpy_for_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls SciPy's for arrays, NumPy's for Tensors (without the options in `speed`)."""
    of_arrays = getattr(_linalg, function.__name__)

    @wraps(of_arrays)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not tensors_in([*args, *kwargs.values()]):
            return of_arrays(*args, **kwargs)
        speed = ("overwrite_a", "overwrite_b", "check_finite")
        return function(*map(as_one_tensor, args), **{key: x for key, x in kwargs.items() if key not in speed})

    return call


inv, det, pinv, solve, eigh, eigvalsh, eig, norm, svd = (_numpy_for_tensors(getattr(np.linalg, name)) for name in (
    "inv", "det", "pinv", "solve", "eigh", "eigvalsh", "eig", "norm", "svd"))  # fmt: skip


def cholesky(a: Any, lower: bool = False, **options: Any) -> Any:
    """Return the triangular factor of a positive definite matrix: upper as in SciPy, unless lower is asked for."""
    if not tensors_in(a):
        return _linalg.cholesky(a, lower=lower, **options)
    factor = np.linalg.cholesky(as_one_tensor(a))
    return factor if lower else np.conj(_T(factor))


def cho_factor(a: Any, lower: bool = False, **options: Any) -> tuple[Any, bool]:
    """Return the triangular factor for `cho_solve`, and whether it is the lower one."""
    return (cholesky(a, lower), lower) if tensors_in(a) else _linalg.cho_factor(a, lower=lower, **options)


def cho_solve(c_and_lower: tuple[Any, bool], b: Any, **options: Any) -> Any:
    """Return the x with ``a @ x = b``, given the factor of a."""
    factor, lower = c_and_lower
    if not tensors_in((factor, b)):
        return _linalg.cho_solve(c_and_lower, b, **options)
    first, second = (0, 2) if lower else (2, 0)
    half = solve_triangular(factor, b, trans=first, lower=lower)
    return solve_triangular(factor, half, trans=second, lower=lower)


def block_diag(*arrays: Any) -> Any:
    """Return the matrix with these along its diagonal."""
    if not tensors_in(arrays):
        return _linalg.block_diag(*arrays)
    blocks = [np.atleast_2d(as_one_tensor(x)) for x in arrays]
    zeros = [[np.zeros((x.shape[0], y.shape[1])) for y in blocks] for x in blocks]
    return np.block([[x if i == j else zeros[i][j] for j in range(len(blocks))] for i, x in enumerate(blocks)])
