"""Fixed points, differentiated at the answer rather than through the steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import defvjp, make_vjp, primitive, vspace


@primitive
def fixed_point(f: Callable[..., Any], a: Any, x0: Any, distance: Callable[[Any, Any], Any], tol: float) -> Any:
    r"""Return the x with ``f(a)(x) = x`` that iteration from x0 arrives at.

    .. math:: \\bar a = (\\partial_a f)^T w, \\quad w = \\bar x + (\\partial_x f)^T w

    Args:
        f: takes a to the function that is iterated.
        a: what is differentiated.
        x0: where to begin.
        distance: of two iterates.
        tol: the distance at which to stop.
    """
    step = f(a)
    x, before = step(x0), x0
    while distance(x, before) > tol:
        x, before = step(x), x
    return x


def _vjp(ans: Any, f: Any, a: Any, x0: Any, distance: Any, tol: Any) -> Callable[[Any], Any]:
    def adjoint(given: Any) -> Callable[[Any], Any]:
        a, x, g = given
        back, _ = make_vjp(f(a), x)
        return lambda w: vspace(x).add(back(w), g)

    def rule(g: Any) -> Any:
        back, _ = make_vjp(lambda b: f(b)(ans), a)
        return back(fixed_point(adjoint, (a, ans, g), vspace(x0).zeros(), distance, tol))

    return rule


defvjp(fixed_point, None, _vjp, None)
