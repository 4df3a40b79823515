r"""Gradients through the answer of any solver (root, minimum, fixed point) by the implicit function theorem.

A solver is a function of plain arrays, from SciPy or your own. Its steps are not recorded. The derivatives, of any
order and in reverse and forward mode, follow from the equation that the answer satisfies:

.. math:: F(x(\theta), \theta) = 0 \quad \Rightarrow \quad
    \frac{\partial x}{\partial \theta} = -\left(\frac{\partial F}{\partial x}\right)^{-1}
    \frac{\partial F}{\partial \theta}

Source:
    B. Christianson, Reverse accumulation and attractive fixed points (1994); M. Blondel et al., Efficient and modular
    implicit differentiation (2022), equation 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from .common.printable import printable
from .custom import custom_vjp
from .node import recording, thread
from .tensor import Tensor, raw
from .transforms import grad, jacobian, vjp
from .tree import Tree, flatten

DENSE = 200  # up to so many unknowns the Jacobian is formed as a matrix; beyond, only its products are computed
ROUNDINGS = 64  # GMRES solves the linear system to a relative residual of so many machine epsilons

TRACED = (
    "this takes the gradient of implicit.{name} with the solver {solver}, which cannot be traced: its linear system is "
    "solved for the numbers of each call. Compile the functions around it, and call it uncompiled between them."
)
SINGULAR = (
    "{name}: the Jacobian of the equation in its unknowns is singular at the answer ({why}), so the answer is not a "
    "differentiable function of the arguments there: it is a multiple root, not the only answer nearby, or the solver "
    "stopped elsewhere. Add what makes it unique, such as a small penalty, or look at the answer."
)


def root(f: Callable[..., Any], solver: Callable[..., Any]) -> Callable[..., Any]:
    r"""Return a function that solves an equation with the given solver and can be differentiated.

    .. math:: x(\theta): \; f(x, \theta) = 0, \qquad \bar\theta = -\left(\frac{\partial f}{\partial \theta}\right)^T u,
        \quad \left(\frac{\partial f}{\partial x}\right)^T u = \bar x

    Args:
        f: ``f(x, *arguments)``, whose value has the shape of x; it must accept Tensors.
        solver: ``solver(*arguments)`` returns the x at which f is zero: an array, containers of arrays, or a result
            object of a SciPy solver. It is called with plain arrays.

    Returns:
        A function of the arguments (Tensors, arrays, containers of them, and anything else) that returns x.

    Raises:
        TypeError: f closes over a Tensor that is not among its arguments, whose gradient would be lost.
        ValueError: the value of f has another shape than x; the solver reports failure; or, when a gradient is taken,
            the Jacobian is singular.

    Example:
        >>> from scipy.optimize import brentq
        >>> from tinygrad_nn import grad
        >>> log = root(lambda x, a: np.exp(x) - a, lambda a: brentq(lambda x: np.exp(x) - a, -9, 9, xtol=1e-14))
        >>> round(float(grad(log)(2.0)), 12), round(float(grad(grad(log))(2.0)), 12)
        (0.5, -0.25)
    """
    return _implicit(f, solver, "root")


def minimum(f: Callable[..., Any], solver: Callable[..., Any]) -> Callable[..., Any]:
    r"""Return a function that minimizes f over x with the given solver, and can be differentiated.

    .. math:: x(\theta) = \arg\min_x f(x, \theta), \qquad \nabla_x f(x, \theta) = 0

    Args:
        f: ``f(x, *arguments)`` returns a number.
        solver: ``solver(*arguments)`` returns the x that minimizes f; see `root`.

    Returns:
        A function of the arguments that returns x; it raises the same errors as that of `root`.

    Example:
        >>> from tinygrad_nn import grad
        >>> nearest = minimum(lambda x, a: ((x - a) ** 2).sum() + (x * x).sum(), lambda a: a / 2)
        >>> print(grad(lambda a: nearest(a).sum())(np.array([1.0, 3.0])))
        [0.5 0.5]
    """
    return _implicit(grad(f), solver, "minimum")


def fixed_point(f: Callable[..., Any], solver: Callable[..., Any]) -> Callable[..., Any]:
    r"""Return a function that finds a fixed point of f in x with the given solver, and can be differentiated.

    .. math:: x(\theta) = f(x, \theta)

    Args:
        f: ``f(x, *arguments)`` returns the next x.
        solver: ``solver(*arguments)`` returns the x with f(x) = x; see `root`.

    Returns:
        A function of the arguments that returns x; it raises the same errors as that of `root`.

    Example:
        >>> from tinygrad_nn import grad
        >>> babylonian = lambda x, a: (x + a / x) / 2
        >>> def iterate(a):
        ...     x = a
        ...     for _ in range(40):
        ...         x = babylonian(x, a)
        ...     return x
        >>> round(float(grad(fixed_point(babylonian, iterate))(4.0)), 12)  # of the square root
        0.25
    """
    return _implicit(lambda x, *args: _subtract(f(x, *args), x), solver, "fixed_point")


def _subtract(new: Tree, x: Tree) -> Tree:
    leaves, rebuild = flatten(new)
    return rebuild([a - b for a, b in zip(leaves, flatten(x)[0], strict=True)])


def _implicit(f: Callable[..., Any], solver: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the solver of f = 0 as one operation, whose VJP rule solves the transposed linear system."""

    @wraps(solver)
    def solve(*args: Any) -> Any:
        leaves, rebuild = flatten(list(args))

        def forward(*given: Any) -> Any:
            x = _answer(solver(*rebuild(given)), name)
            _check(f, x, rebuild(given), name)
            return x

        def rule(g: Any, out: Any, *given: Any) -> tuple[Any, ...]:
            if thread.mode.traces and any(isinstance(raw(x), Tensor) for x in (g, out, *given)):
                solved = printable(getattr(solver, "__name__", type(solver).__name__))
                thread.mode.refuse(TRACED.format(name=name, solver=solved))  # type: ignore[attr-defined]
            pack, unpack = _packing(out)

            def residual(v: Any, *args: Any) -> Any:
                return pack(f(unpack(v), *args))

            v, wanted = pack(out), pack(g)
            moving = [k for k, x in enumerate(given) if _is_float(x)]

            def of_moving(*moved: Any) -> Any:
                full = list(given)
                for k, x in zip(moving, moved, strict=True):
                    full[k] = x
                return residual(v, *rebuild(full))

            solver_of = _by_matrix if math.prod(np.shape(raw(v))) <= DENSE else _by_products
            u = solver_of(residual, wanted, v, rebuild(given), name)
            found: list[Any] = [None] * len(given)
            for k, moved in zip(moving, vjp(of_moving, *(given[k] for k in moving))[1](-u), strict=True):
                found[k] = moved
            return tuple(found)

        return custom_vjp(wraps(solver)(forward), rule)(*leaves)

    return solve


def _answer(result: Any, name: str) -> Any:
    """Return the solution as floating-point arrays, taken out of a SciPy result object if the solver returned one.

    Raises:
        ValueError: the solver reports failure.
        TypeError: the solver returned a Tensor.
    """
    kept = result.get if isinstance(result, dict) else lambda key, default=None: getattr(result, key, default)
    success = kept("success", kept("converged", True))
    if success is False or (isinstance(success, np.bool_) and not success):
        told = str(kept("message", kept("flag", ""))).strip()
        raise ValueError(f"{name}: the solver did not succeed, so there is no answer to differentiate: {told}")
    if hasattr(result, "success") or hasattr(result, "converged"):
        result = result.x if hasattr(result, "x") else result.root
    leaves, rebuild = flatten(result)
    if any(isinstance(x, Tensor) for x in leaves):
        raise TypeError(
            f"{name}: the solver is called with plain arrays and returned a Tensor, so it closes over one. Make that "
            "Tensor an argument of f and solver, or close over its array, t.data."
        )
    arrays = [np.asarray(x) for x in leaves]
    if not arrays or any(x.dtype.kind not in "fciub" for x in arrays):
        raise TypeError(f"{name}: the solver returned {result!r:.60}; it must return the solution, numbers or arrays.")
    return rebuild([x if x.dtype.kind in "fc" else x.astype(float) for x in arrays])


def _check(f: Callable[..., Any], x: Any, args: list[Any], name: str) -> None:
    """Raise if f(x) has another shape than x, or if f uses Tensors that are not among its arguments."""
    with recording(True):
        values = flatten(f(x, *args))[0]
    shapes = [np.shape(raw(value)) for value in values], [leaf.shape for leaf in flatten(x)[0]]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{name}: the equation has values of shape {_shape_text(shapes[0])}, and the answer of the solver has "
            "shape "
            f"{_shape_text(shapes[1])}; there must be one equation for each unknown."
        )
    if any(isinstance(value, Tensor) and value.requires_grad for value in values):
        raise TypeError(
            f"{name}: f uses a Tensor that is not among its arguments, whose gradient would be lost. Pass it: "
            "f(x, t), solver(t), and solve(t)."
        )


def _shape_text(shapes: list[tuple[int, ...]]) -> str:
    return printable(" and ".join(map(str, shapes)) or "nothing")


def _packing(tree: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return two functions: one concatenates a nest's arrays into a vector, the other rebuilds the nest from it."""
    leaves, rebuild = flatten(tree)
    shapes = [np.shape(raw(x)) for x in leaves]
    ends = np.cumsum([0, *(math.prod(shape) for shape in shapes)])

    def pack(tree: Any) -> Any:
        parts = [np.reshape(x if isinstance(x, Tensor) else np.asarray(x), (-1,)) for x in flatten(tree)[0]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def unpack(v: Any) -> Any:
        return rebuild([
            v[start:end].reshape(shape) for start, end, shape in zip(ends, ends[1:], shapes, strict=False)
        ])  # fmt: skip

    return pack, unpack


def _is_float(x: Any) -> bool:
    return isinstance(x, (Tensor, np.ndarray, np.generic, float, complex)) and np.asarray(raw(x)).dtype.kind in "fc"


def _by_matrix(residual: Callable[..., Any], g: Any, v: Any, args: list[Any], name: str) -> Any:
    """Solve the transposed system with the Jacobian as a dense matrix; raise ValueError if it is singular."""
    J = jacobian(residual)(v, *args)
    plain = np.asarray(raw(J))
    if not np.isfinite(plain).all():
        raise ValueError(SINGULAR.format(name=name, why="it has entries that are not finite"))
    condition = np.linalg.cond(plain) if plain.size else 1.0
    if not condition < 1 / np.finfo(plain.dtype).eps:
        raise ValueError(SINGULAR.format(name=name, why=f"its condition number is {condition:.1e}"))
    return np.linalg.solve(np.conj(J).T, g)


def _by_products(residual: Callable[..., Any], g: Any, v: Any, args: list[Any], name: str) -> Any:
    """Solve the transposed system with GMRES, from products with the Jacobian alone.

    The linear system is itself an equation of `_implicit`, so that its solution can be differentiated again.
    """

    def transposed(u: Any, g: Any, v: Any, *args: Any) -> Any:
        return vjp(lambda w: residual(w, *args), v)[1](u)[0] - g

    def solver(g: Any, v: Any, *args: Any) -> Any:
        from scipy.sparse.linalg import LinearOperator, gmres

        pull = vjp(lambda w: residual(w, *args), v)[1]
        g, eps = np.asarray(g), np.finfo(np.asarray(v).dtype).eps
        A = LinearOperator((g.size, g.size), matvec=lambda u: raw(pull(u.astype(g.dtype))[0]), dtype=g.dtype)
        u, _ = gmres(A, g, rtol=ROUNDINGS * eps, restart=min(g.size, 100), maxiter=20)
        left = np.linalg.norm(A @ u - g)
        if not left <= 1e4 * ROUNDINGS * eps * np.linalg.norm(g):
            raise ValueError(SINGULAR.format(name=name, why=f"GMRES leaves a residual of {left:.1e}"))
        return u

    u = _implicit(transposed, solver, name)(g, v, *args)
    return u if isinstance(u, Tensor) and u.requires_grad else raw(u)
