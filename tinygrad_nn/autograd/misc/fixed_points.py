"""Fixed points, differentiated implicitly at the solution and not through the iterations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import defvjp, make_vjp, primitive, vspace


@primitive
def fixed_point(f: Callable[..., Any], a: Any, x0: Any, distance: Callable[[Any, Any], Any], tol: float) -> Any:
    r"""Return the x with ``f(a)(x) = x`` to which iteration from x0 converges.

    .. math:: \bar a = (\partial_a f)^T w, \quad w = \bar x + (\partial_x f)^T w

    Args:
        f: ``f(a)`` returns the function that is iterated.
        a: the parameters, with respect to which the fixed point is differentiated.
        x0: the start of the iteration.
        distance: a function of two successive iterates that returns a number.
        tol: iteration stops when the distance is at most this.
    """
    step = f(a)
    x, before = step(x0), x0
    while distance(x, before) > tol:
        x, before = step(x), x
    return x


def _vjp(ans: Any, f: Any, a: Any, x0: Any, distance: Any, tol: Any) -> Callable[[Any], Any]:
    def adjoint(parameters: Any) -> Callable[[Any], Any]:
        a, x, g = parameters
        back, _ = make_vjp(f(a), x)
        return lambda w: vspace(x).add(back(w), g)

    def rule(g: Any) -> Any:
        back, _ = make_vjp(lambda b: f(b)(ans), a)
        return back(fixed_point(adjoint, (a, ans, g), vspace(x0).zeros(), distance, tol))

    return rule


defvjp(fixed_point, None, _vjp, None)
