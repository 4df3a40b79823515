r"""Functions of symmetric matrices: exp, log, sqrt, and any f of one variable, applied to the eigenvalues.

The derivatives do not divide by gaps between eigenvalues, so they are right for equal eigenvalues and to any order:

.. math:: D^n F(X)[G_1, \ldots, G_n] = V \left( \sum_{\text{orders}} f[\lambda_{i_0}, \ldots, \lambda_{i_n}] \,
    (\hat G_1)_{i_0 i_1} \cdots (\hat G_n)_{i_{n-1} i_n} \right) V^H, \quad \hat G = V^H G V

with divided differences f[...], which are averages of the n-th derivative where eigenvalues are close or equal.

Source: Yu. Daleckii and S. Krein, Integration and differentiation of functions of Hermitian operators (1965);
N. Higham, Functions of Matrices (2008), theorem 3.11; Ch. Hermite and A. Genocchi for the averages.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product
from math import factorial
from typing import Any

import numpy as np

from .node import alone
from .ops.linalg import H, conj
from .primitive import Array, declare
from .tensor import Tensor
from .transforms import elementwise_grad

Family = Callable[[int], Callable[[Array], Array]]  # k -> the k-th derivative of a function of one variable


def _averaged(f: Callable[[Array], Array], points: Array, count: int) -> Array:
    """Return the integral of f over the simplex of the points, by Gauss quadrature with `count` nodes per dimension."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    nodes, weights, n = (nodes + 1) / 2, weights / 2, len(points) - 1
    total = np.zeros(points.shape[1:])
    for chosen in product(range(count), repeat=n - 1):
        at, share, weight = points[0], 1.0, 1.0
        for k, c in enumerate(chosen):
            share = share * nodes[c]
            at = at + share * (points[k + 1] - points[k])
            weight *= weights[c] * nodes[c] ** (n - 1 - k)
        line = at + np.multiply.outer(share * nodes, points[n] - points[n - 1])  # all nodes of the last dimension
        for w, values in zip(weights, f(line.ravel()).reshape(line.shape), strict=True):
            total = total + weight * w * values
    return total


def _divided(family: Family, points: Any) -> tuple[Array, Array]:
    """Return divided differences, by quotient or average, whichever is more accurate, and estimates of their errors."""
    eps, n = np.finfo(np.float64).eps, len(points) - 1
    if n == 0:
        value = family(0)(points[0])
        return value, eps * np.abs(value)
    ordered = np.sort(np.stack(np.broadcast_arrays(*points)), axis=0)
    (upper, upper_off), (lower, lower_off) = _divided(family, ordered[1:]), _divided(family, ordered[:-1])
    spread = ordered[-1] - ordered[0]
    equal = spread == 0
    value = (upper - lower) / np.where(equal, 1, spread)
    off = np.where(equal, np.inf, (upper_off + lower_off) / np.where(equal, 1, spread))
    near = ~(off <= 16 * eps * np.abs(value))
    if near.any():
        average, rough = (_averaged(family(n), ordered[:, near], count) for count in (6, 5))
        average_off = np.abs(average - rough) + eps * np.abs(average)
        better = equal[near] | (average_off <= off[near])
        value[near], off[near] = np.where(better, [average, average_off], [value[near], off[near]])
    return value, off


def _function(x: Array, *along: Array, family: Family) -> Array:
    """Return the function of the matrices x, or its n-th derivative along n matrices `along`."""
    w, V = np.linalg.eigh(x)
    w, n, k = w.astype(np.float64), len(along), x.shape[-1]
    shapes = [[k if i == axis else 1 for i in range(n + 1)] for axis in range(n + 1)]
    slopes, _ = _divided(family, [w.reshape(*w.shape[:-1], *shape) for shape in shapes])
    inner = [H(V) @ g @ V for g in along]
    if n == 0:
        out = (V * slopes[..., None, :]) @ H(V)
    else:
        letters = "abcdefgh"[: n + 1]
        terms = ",".join(f"...{letters[i : i + 2]}" for i in range(n)) + f",...{letters}->...{letters[0]}{letters[-1]}"
        out = V @ sum(np.einsum(terms, *order, slopes, optimize=True) for order in permutations(inner)) @ H(V)
    return ((out + H(out)) / 2).astype(x.dtype, copy=False)


def _slopes(g: Array, out: Array, x: Array, *along: Array, family: Family) -> list[Array]:
    g = conj(g)
    g = (g + H(g)) / 2
    given = [(g, *along)] + [(*along[:k], g, *along[k + 1 :]) for k in range(len(along))]
    return [conj(primitive(x, *directions, family=family)) for directions in given]


primitive = declare(_function, r"V f(\Lambda) V^H : V \Lambda V^H = X", name="symmetric_function",
    jointly=(_slopes, r"V \left( f[\lambda_i, \lambda_j] \, (V^H g V)_{ij} \right) V^H"),
    kinks="the gradient is symmetric, though the lower triangle is read")  # fmt: skip


def symmetric_function(
    X: Any, f: Callable[[Array], Array], slope: Callable[[Array], Array] | None = None
) -> Any:
    r"""Return f of symmetric (or Hermitian) matrices, with derivatives that are right at equal eigenvalues too.

    .. math:: F(X) = V f(\Lambda) V^H, \quad X = V \Lambda V^H

    Args:
        X: matrices of shape (..., n, n), of which the lower triangle is read; the gradient is symmetric.
        f: a function that acts entry by entry on a float64 array of eigenvalues.
        slope: the derivative of f; by default computed by `elementwise_grad`, as all higher derivatives are. It is also
            evaluated at points between eigenvalues.

    Returns:
        Matrices of the shape and dtype of X.

    Raises:
        TypeError: f closes over a Tensor, whose gradient would be lost.

    Source:
        N. Higham, Functions of Matrices (2008), chapter 3.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import grad
        >>> slope = grad(lambda X: symmetric_function(X, np.cos, lambda x: -np.sin(x))[0, 1])(np.eye(2))
        >>> print(slope[0, 1].round(4))
        -0.4207
    """
    return primitive(X, family=_family(f, slope))


def symmetric_exp(X: Any) -> Any:
    r"""Return the exponential of symmetric (or Hermitian) matrices; see `symmetric_function`.

    .. math:: e^X = V e^\Lambda V^H

    Args:
        X: matrices of shape (..., n, n).

    Returns:
        Matrices of the shape and dtype of X.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import grad
        >>> print(grad(lambda X: symmetric_exp(X)[0, 1])(np.zeros((2, 2))))
        [[0.  0.5]
         [0.5 0. ]]
    """
    return primitive(X, family=_exp)


def symmetric_log(X: Any) -> Any:
    r"""Return the logarithm of symmetric (or Hermitian) positive definite matrices; see `symmetric_function`.

    .. math:: \ln X = V \ln \Lambda \, V^H

    Args:
        X: matrices of shape (..., n, n).

    Returns:
        Matrices of the shape and dtype of X.

    Raises:
        numpy.linalg.LinAlgError: an eigenvalue is not positive.

    Example:
        >>> import numpy as np
        >>> bool(np.allclose(symmetric_log(symmetric_exp(np.eye(2))), np.eye(2)))
        True
    """
    return primitive(X, family=_log)


def symmetric_sqrt(X: Any) -> Any:
    r"""Return the square root of symmetric (or Hermitian) positive semidefinite matrices; see `symmetric_function`.

    .. math:: X^{1/2} = V \Lambda^{1/2} V^H

    Args:
        X: matrices of shape (..., n, n). At an eigenvalue of 0 the derivative is infinite.

    Returns:
        Matrices of the shape and dtype of X.

    Raises:
        numpy.linalg.LinAlgError: an eigenvalue is negative beyond rounding.

    Example:
        >>> import numpy as np
        >>> print(symmetric_sqrt(4 * np.eye(2)))
        [[2. 0.]
         [0. 2.]]
    """
    return primitive(X, family=_sqrt)


def _family(f: Callable[[Array], Array], slope: Callable[[Array], Array] | None) -> Family:
    """Return the function k -> k-th derivative of f, each a function of plain arrays."""
    made = [f] if slope is None else [f, slope]

    def derivative(k: int) -> Callable[[Array], Array]:
        while len(made) <= k:
            made.append(elementwise_grad(made[-1]))
        return alone()(lambda w: _plain(made[k](w), w))

    return derivative


def _plain(value: Any, w: Array) -> Array:
    if isinstance(value, Tensor):
        if value.node is not None:
            raise TypeError(
                "f of a symmetric_function uses a Tensor, whose gradient would be lost. Put it into the matrix, as in "
                "symmetric_exp(t * X), or compute with t.detach()."
            )
        value = value.data
    value = np.asarray(value)
    if value.shape not in (w.shape, ()):
        raise ValueError(
            f"f of a symmetric_function must act entry by entry; from shape {w.shape} it made {value.shape}."
        )
    return value if value.shape else np.full(w.shape, value)


def _exp(k: int) -> Callable[[Array], Array]:
    return np.exp


def _log(k: int) -> Callable[[Array], Array]:
    return (lambda w: np.log(_at_least(w, 0, "log"))) if k == 0 else lambda w: (-1) ** (k - 1) * factorial(k - 1) / w**k


def _sqrt(k: int) -> Callable[[Array], Array]:
    scale = np.prod([0.5 - i for i in range(k)])
    if k == 0:
        return lambda w: np.sqrt(np.maximum(_at_least(w, np.abs(w).max(initial=0) * -1e-6, "sqrt"), 0))
    return lambda w: scale * np.maximum(w, 0) ** (0.5 - k)


def _at_least(w: Array, bound: Any, name: str) -> Array:
    """Return the eigenvalues w; raise LinAlgError if the smallest is below what the function `name` allows."""
    if w.size and (w.min() <= bound if name == "log" else w.min() < bound):
        needs = "definite" if name == "log" else "semidefinite"
        raise np.linalg.LinAlgError(
            f"symmetric_{name} needs positive {needs} matrices; the smallest eigenvalue is {w.min():.3g}. Add a "
            "multiple of the identity, or clip eigenvalues with symmetric_function."
        )
    return w
