r"""The functions of numpy.polynomial for Tensors: power series and Chebyshev, Legendre, Laguerre, Hermite series.

The functions of numpy.polynomial convert their arguments to plain arrays, and NumPy lets nobody override them. The
functions here have the same names and arguments, all in one module: ``polyval``, ``chebval``, ``legval``, ``lagval``,
``hermval``, ``hermeval``, and likewise for ``val2d val3d grid2d grid3d vander vander2d vander3d fit der int add sub mul
pow roots companion fromroots``. Coefficients begin with the lowest degree.

Evaluation uses the recurrence of each family, :math:`P_{n+1}(x) = (a_n x + b_n) P_n(x) - c_n P_{n-1}(x)`. Derivatives,
integrals and products are linear in each series, so they use the matrix that NumPy's function gives for unit vectors.

    >>> from tinygrad_nn import grad, polynomial
    >>> grad(lambda c: polynomial.chebval(0.5, c))(np.array([1.0, 2.0, 3.0]))
    array([ 1. ,  0.5, -0.5])
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.polynomial

from .ops.joining import array
from .ops.plain import as_arrays, is_tensor
from .ops.polynomials import fitted
from .primitive import Array

OPERATIONS = """
    val val2d val3d grid2d grid3d vander vander2d vander3d fit der int add sub mul pow roots companion fromroots
""".split()  # noqa: SIM905


def _numbers(x: Any) -> Array:
    """Return lists and numbers as arrays and Tensors unchanged, with integers converted to floats."""
    x = x if is_tensor(x) else array(x)
    return x if x.dtype.kind in "fc" else x.astype(float)


def _apply_along(matrix: Any, c: Array, axis: int) -> Array:
    """Return the product of a matrix with coefficients along an axis."""
    return np.moveaxis(np.tensordot(matrix.astype(c.dtype), c, (1, axis)), 0, axis)


@dataclass(frozen=True)
class Series:
    """A family of polynomials: the prefix of its functions, its module in numpy.polynomial, and its recurrence."""

    prefix: str
    module: str
    recurrence: Callable[[int], tuple[float, float, float]]

    def _numpy(self, operation: str) -> Any:
        return getattr(getattr(numpy.polynomial, self.module), f"{self.prefix}{operation}")

    def vander(self, x: Any, deg: int) -> Array:
        """Return the values at x of the polynomials of degree 0 to `deg`, along a new last axis."""
        if deg < 0:
            raise ValueError(f"{self.prefix}vander needs a degree of 0 or more; it got {deg}.")
        return self._basis(np.atleast_1d(_numbers(x)), deg)

    def _basis(self, x: Array, deg: int) -> Array:
        """Return what `vander` does; of a number, a vector."""
        columns = [x * 0 + 1]
        for n in range(deg):
            a, b, c = self.recurrence(n)
            new = (a * x + b) * columns[-1] if b else a * x * columns[-1]
            columns.append(new - c * columns[-2] if c and n else new)
        return np.stack(columns, axis=-1)

    def val(self, x: Any, c: Any, tensor: bool = True) -> Array:
        """Return the series at x; each of several series at all of x, or broadcast with x if ``tensor=False``."""
        x, c = _numbers(x), np.atleast_1d(_numbers(c))
        V = self._basis(x, len(c) - 1)  # (*x.shape, n)
        if tensor:
            return np.tensordot(c, V, (0, V.ndim - 1))  # (*c.shape[1:], *x.shape)
        rows, n = np.moveaxis(V, -1, 0), max(c.ndim, V.ndim)
        c, rows = (a.reshape(len(c), *(1,) * (n - a.ndim), *a.shape[1:]) for a in (c, rows))
        return (c * rows).sum(axis=0)

    def val2d(self, x: Any, y: Any, c: Any) -> Array:
        """Return a series in two variables at the points (x, y)."""
        return self._at_points(c, x, y)

    def val3d(self, x: Any, y: Any, z: Any, c: Any) -> Array:
        """Return a series in three variables at the points (x, y, z)."""
        return self._at_points(c, x, y, z)

    def _at_points(self, c: Any, *points: Any) -> Array:
        shapes = {np.shape(p) for p in points}
        if len(shapes) > 1:
            raise ValueError(f"{self.prefix}val{len(points)}d needs points of one shape; it got {sorted(shapes)}.")
        c = self.val(points[0], c)
        for p in points[1:]:
            c = self.val(p, c, tensor=False)
        return c

    def grid2d(self, x: Any, y: Any, c: Any) -> Array:
        """Return a series in two variables at every pair of an x and a y."""
        return self.val(y, self.val(x, c))

    def grid3d(self, x: Any, y: Any, z: Any, c: Any) -> Array:
        """Return a series in three variables at every triple of an x, a y and a z."""
        return self.val(z, self.grid2d(x, y, c))

    def vander2d(self, x: Any, y: Any, deg: Sequence[int]) -> Array:
        """Return all products P_i(x) P_j(y) at the points (x, y), along a new last axis."""
        return self._products((x, y), deg)

    def vander3d(self, x: Any, y: Any, z: Any, deg: Sequence[int]) -> Array:
        """Return all products P_i(x) P_j(y) P_k(z) at the points (x, y, z), along a new last axis."""
        return self._products((x, y, z), deg)

    def _products(self, points: Sequence[Any], degrees: Sequence[int]) -> Array:
        V = self.vander(points[0], degrees[0])
        for p, deg in zip(points[1:], degrees[1:], strict=True):
            V = V[..., None] * self.vander(p, deg)[..., None, :]
            V = V.reshape(*V.shape[:-2], -1)
        return V

    def fit(self, x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None) -> Any:
        """Return the coefficients of the least squares fit to y at x, up to one degree or of a list of degrees."""
        x, y = _numbers(x), _numbers(y)
        degrees = np.arange(deg + 1) if np.ndim(deg) == 0 else np.sort(deg)
        if x.ndim != 1 or degrees[0] < 0:
            raise TypeError(f"{self.prefix}fit needs a vector x and degrees of 0 or more; it got {x.shape} and {deg}.")
        c, *found = fitted(self.vander(x, int(degrees[-1]))[:, degrees], y, w, rcond, f"{self.prefix}fit")[:5]
        if np.ndim(deg):
            places = np.eye(degrees[-1] + 1)[:, degrees]  # zeros for the degrees that were left out
            c = _apply_along(places, c, 0)
        if not full and found[1] != len(degrees):
            warnings.warn("The fit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=2)
        return (c, found) if full else c

    def der(self, c: Any, m: int = 1, scl: float = 1, axis: int = 0) -> Array:
        """Return the coefficients of the m-th derivative; each differentiation multiplies by `scl`."""
        c = np.atleast_1d(_numbers(c))
        return _apply_along(self._numpy("der")(np.eye(c.shape[axis]), m, scl), c, axis)

    def int(self, c: Any, m: int = 1, k: Any = (), lbnd: Any = 0, scl: float = 1, axis: int = 0) -> Array:
        """Return the coefficients of the m-th integral; the successive integrals have the values `k` at `lbnd`."""
        c, k = np.moveaxis(np.atleast_1d(_numbers(c)), axis, 0), np.atleast_1d(_numbers(k))
        if len(k) > m:
            raise ValueError(f"{self.prefix}int of order {m} takes at most {m} constants k; it got {len(k)}.")
        for i in range(m):
            c = _apply_along(self._numpy("int")(np.eye(len(c)), scl=scl), c, 0)
            at_bound = self.val(lbnd, c) if is_tensor(lbnd) or lbnd != 0 else 0
            first = c[:1] - at_bound + (k[i] if i < len(k) else 0)
            c = np.concatenate([first.astype(c.dtype), c[1:]])
        return np.moveaxis(c, 0, axis)

    def add(self, c1: Any, c2: Any) -> Array:
        """Return the coefficients of the sum; unlike NumPy's, trailing zeros are kept."""
        c1, c2 = _numbers(c1), _numbers(c2)
        n = max(len(c1), len(c2))
        return _to_length(c1, n) + _to_length(c2, n)

    def sub(self, c1: Any, c2: Any) -> Array:
        """Return the coefficients of the difference; unlike NumPy's, trailing zeros are kept."""
        return self.add(c1, -_numbers(c2))

    def mul(self, c1: Any, c2: Any) -> Array:
        """Return the coefficients of the product; unlike NumPy's, trailing zeros are kept."""
        c1, c2 = _numbers(c1), _numbers(c2)
        products = _products_of_units(self, len(c1), len(c2)).astype(np.result_type(c1.dtype, c2.dtype))
        return np.einsum("i,j,ijk->k", c1, c2, products)

    def pow(self, c: Any, pow: Any) -> Array:
        """Return the coefficients of a power."""
        if pow != int(pow) or pow < 0:
            raise ValueError(f"{self.prefix}pow takes a power that is a whole number of 0 or more; it got {pow}.")
        c = _numbers(c)
        out = c[:1] * 0 + 1
        for _ in range(int(pow)):
            out = self.mul(out, c)
        return out

    def companion(self, c: Any) -> Array:
        """Return the matrix whose eigenvalues are the roots; it is affine in the coefficients over the last one."""
        c = _numbers(c)
        if len(c) < 2:
            raise ValueError(f"{self.prefix}companion needs two coefficients or more; it got {len(c)}.")
        last, *others = _companions_of_units(self, len(c))
        return last.astype(c.dtype) + np.tensordot(c[:-1] / c[-1], np.stack(others).astype(c.dtype), 1)

    def roots(self, c: Any) -> Array:
        """Return the roots in increasing order; only simple roots are differentiable."""
        c = _numbers(c)
        if len(c) < 2:
            return c[:0]
        found = np.linalg.eigvals(self.companion(c))
        if c.dtype.kind != "c" and found.dtype.kind == "c" and not np.any(as_arrays(found).imag):
            found = np.real(found)  # NumPy 2.5 returns real eigenvalues as complex numbers
        return found[np.argsort(as_arrays(found))]

    def fromroots(self, roots: Any) -> Array:
        """Return the coefficients of the product of (x - r) over all roots r."""
        roots = _numbers(roots)
        out = np.ones(1, roots.dtype)
        for i in range(len(roots)):
            line = self._numpy("line")(0, 1).astype(roots.dtype)  # x
            out = self.mul(out, line - roots[i] * np.eye(1, len(line), dtype=roots.dtype)[0])
        return out


def _to_length(c: Array, n: int) -> Array:
    return np.concatenate([c, np.zeros(n - len(c), c.dtype)]) if n > len(c) else c


@cache
def _products_of_units(series: Series, n: int, m: int) -> Any:
    """Return the coefficients of the product of every pair of basis polynomials: (n, m, n + m - 1)."""
    out = np.zeros((n, m, n + m - 1))
    for i in range(n):
        for j in range(m):
            c = series._numpy("mul")(np.eye(i + 1)[i], np.eye(j + 1)[j])
            out[i, j, : len(c)] = c
    return out


@cache
def _companions_of_units(series: Series, n: int) -> list[Any]:
    """Return the companion matrix of the last basis polynomial, and the matrix that each of the others adds to it."""
    units = np.eye(n)
    last = np.atleast_2d(series._numpy("companion")(units[-1]))
    return [last, *(np.atleast_2d(series._numpy("companion")(units[-1] + unit)) - last for unit in units[:-1])]


FAMILIES = (
    Series("poly", "polynomial", lambda n: (1, 0, 0)),
    Series("cheb", "chebyshev", lambda n: (2 if n else 1, 0, 1)),
    Series("leg", "legendre", lambda n: ((2 * n + 1) / (n + 1), 0, n / (n + 1))),
    Series("lag", "laguerre", lambda n: (-1 / (n + 1), (2 * n + 1) / (n + 1), n / (n + 1))),
    Series("herm", "hermite", lambda n: (2, 0, 2 * n)),
    Series("herme", "hermite_e", lambda n: (1, 0, n)),
)

globals().update({f"{s.prefix}{name}": getattr(s, name) for s in FAMILIES for name in OPERATIONS})
