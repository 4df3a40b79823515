"""Operators on functions: gradients, Jacobians, Hessians and their products, with autograd's names and arguments.

Each takes a function, and the number of the argument to differentiate or a tuple of several, and returns a function of
the same arguments. An argument may be a number, an array, or nested lists, tuples and dicts of them.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..custom import checkpoint as recomputed
from ..transforms.jacobians import matrix_of
from ..tree import flatten
from . import core
from .tracer import getval, is_live, vspace
from .wrap_util import unary_to_nary

make_vjp = unary_to_nary(core.make_vjp)
make_jvp = unary_to_nary(core.make_jvp)


def _scalar_cotangent(ans: Any, operator: str) -> Any:
    """Return the cotangent 1 for a result that must be one real number."""
    space = vspace(ans)
    if space.size != 1 or space.iscomplex:
        raise TypeError(
            f"{operator} only applies to real scalar-output functions; this one gave {_space_text(space)}. Take its "
            "sum or mean, or try jacobian, elementwise_grad or holomorphic_grad."
        )
    return space.ones()


def _space_text(space: Any) -> str:
    return f"{'complex' if space.iscomplex else 'real'} numbers of shape {getattr(space, 'shape', '()')}"


@unary_to_nary
def grad(fun: Any, x: Any) -> Any:
    """Return the gradient of a function whose result is one real number."""
    back, ans = core.make_vjp(fun, x)
    return back(_scalar_cotangent(ans, "Grad"))


@unary_to_nary
def value_and_grad(fun: Any, x: Any) -> Any:
    """Return the value and the gradient of a function whose result is one real number."""
    back, ans = core.make_vjp(fun, x)
    return ans, back(_scalar_cotangent(ans, "value_and_grad"))


@unary_to_nary
def elementwise_grad(fun: Any, x: Any) -> Any:
    """Return the sum of the rows of the Jacobian: its diagonal, if each result depends only on its own argument."""
    back, ans = core.make_vjp(fun, x)
    if vspace(ans).iscomplex:
        raise TypeError("Elementwise_grad only applies to real-output functions. Try holomorphic_grad or jacobian.")
    return back(vspace(ans).ones())


@unary_to_nary
def deriv(fun: Any, x: Any) -> Any:
    """Return the derivative along a direction of ones, by forward mode."""
    return core.make_jvp(fun, x)(vspace(x).ones())[1]


@unary_to_nary
def jacobian(fun: Any, x: Any) -> Any:
    """Return the derivatives of each entry of the result, of shape ``(*out, *in)``.

    Raises:
        ValueError: the result is complex and not a holomorphic function of complex arguments.
    """
    return core.plain_result(matrix_of(core.marking_ended(fun), real_rows=True)(_floats(x)))


def _floats(x: Any) -> Any:
    leaves, rebuild = flatten(x)
    return rebuild([leaf if is_live(leaf) or np.asarray(leaf).dtype.kind in "fc" else np.asarray(leaf, float)
                    for leaf in leaves])  # fmt: skip


@unary_to_nary
def holomorphic_grad(fun: Any, x: Any) -> Any:
    """Return the complex derivative of a holomorphic function."""
    return grad(lambda z: np.real(fun(z)))(x)


def grad_named(fun: Callable[..., Any], argname: str) -> Any:
    """Return the gradient function of fun with respect to the argument called `argname`.

    Raises:
        ValueError: fun has no argument of that name.
    """
    names = list(inspect.signature(fun).parameters)
    if argname not in names:
        raise ValueError(f"there is no argument {argname!r}; the arguments are {', '.join(names)}.")
    return grad(fun, names.index(argname))


@unary_to_nary
def hessian(fun: Any, x: Any) -> Any:
    """Return the second derivatives, of shape ``(*in, *in)``."""
    return jacobian(jacobian(fun))(x)


@unary_to_nary
def make_hvp(fun: Any, x: Any) -> Any:
    """Return the function that multiplies a vector with the Hessian at x, and the gradient there."""
    return core.make_vjp(grad(fun), x)


def hessian_tensor_product(fun: Callable[..., Any], argnum: int = 0) -> Any:
    """Return the function of ``(*args, vector)`` that multiplies the vector with the Hessian."""
    gradient = grad(fun, argnum)

    def slope(*args: Any, **kwargs: Any) -> Any:
        return np.tensordot(gradient(*args[:-1], **kwargs), args[-1], np.ndim(args[-1]))

    return grad(slope, argnum)


def tensor_jacobian_product(fun: Callable[..., Any], argnum: int = 0) -> Any:
    """Return the function of ``(*args, vector)`` that multiplies the Jacobian with the vector from the left."""

    def product(*args: Any, **kwargs: Any) -> Any:
        return np.tensordot(args[-1], fun(*args[:-1], **kwargs), np.ndim(args[-1]))

    return jacobian(product, argnum)


hessian_vector_product, vector_jacobian_product = hessian_tensor_product, tensor_jacobian_product


@unary_to_nary
def make_jvp_reversemode(fun: Any, x: Any) -> Any:
    """Return the function that multiplies the Jacobian at x with a direction, by two backward walks."""
    back, y = core.make_vjp(fun, x)
    return core.make_vjp(back, vspace(y).zeros())[0]


def make_ggnvp(
    f: Callable[..., Any], g: Callable[..., Any] = lambda x: 0.5 * np.sum(x**2, axis=-1), f_argnum: int = 0
) -> Callable[..., Any]:
    """Return the function that multiplies a vector with the generalized Gauss-Newton matrix of ``g(f(x))``."""

    @unary_to_nary
    def at(f: Any, x: Any) -> Any:
        back, y = core.make_vjp(f, x)
        curvature, slope = core.make_vjp(grad(g), y)
        forth, _ = core.make_vjp(back, vspace(slope).zeros())
        return lambda v: back(curvature(forth(v)))

    return at(f, f_argnum)  # type: ignore[no-any-return]


@unary_to_nary
def grad_and_aux(fun: Any, x: Any) -> Any:
    """Return the gradient of the first of fun's two results, and the second result unchanged."""
    kept = []

    def first(z: Any) -> Any:
        value, aux = fun(z)
        kept.append(aux)
        return value

    back, ans = core.make_vjp(first, x)
    return back(_scalar_cotangent(ans, "grad_and_aux")), getval(kept[0])


def multigrad_dict(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that computes the gradients with respect to all arguments, as a dict by argument name.

    Example:
        >>> print(dict(multigrad_dict(lambda x, y=2.0: x * y)(3.0)))
        {'x': np.float64(2.0), 'y': np.float64(3.0)}
    """
    signature = inspect.signature(fun)

    def gradients(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()

        def of_dict(arguments: dict[str, Any]) -> Any:
            again = inspect.BoundArguments(signature, OrderedDict(arguments))
            return fun(*again.args, **again.kwargs)

        return OrderedDict(grad(of_dict)(dict(bound.arguments)))

    return gradients


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Return fun so that its intermediate results are not kept but computed again during the backward walk."""
    again = recomputed(fun)

    @wraps(fun)
    def call(*args: Any, **kwargs: Any) -> Any:
        return again(*args, **kwargs) if is_live([list(args), kwargs]) else fun(*args, **kwargs)

    return call


__all__ = [
    "checkpoint",
    "deriv",
    "elementwise_grad",
    "grad",
    "grad_and_aux",
    "grad_named",
    "hessian",
    "hessian_tensor_product",
    "hessian_vector_product",
    "holomorphic_grad",
    "jacobian",
    "make_ggnvp",
    "make_hvp",
    "make_jvp",
    "make_jvp_reversemode",
    "make_vjp",
    "multigrad_dict",
    "tensor_jacobian_product",
    "value_and_grad",
    "vector_jacobian_product",
]
