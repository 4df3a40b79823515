"""scipy.integrate.odeint, differentiated by solving the adjoint equation backward in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.integrate as _integrate

from ..core import defvjp_argnums, make_vjp, primitive
from ..misc.flatten import flatten


@primitive
def odeint(func: Callable[..., Any], y0: Any, t: Any, args: Any = (), **kwargs: Any) -> Any:
    r"""Return the solution of an ordinary differential equation at the times t.

    .. math:: \dot y = func(y, t, \ldots), \qquad y(t_0) = y_0

    Args:
        func: ``func(y, t, *args)`` returns dy/dt.
        y0: the values at ``t[0]``, a vector.
        t: the times.
        args: a tuple of further arguments of func; gradients flow to these, not to variables that func closes over.
        **kwargs: options of scipy.integrate.odeint, such as ``rtol``.

    Returns:
        An array of shape ``(len(t), len(y0))``.

    Source:
        F. Fröhlich et al., Scalable inference of ordinary differential equation models of biochemical processes
        (2017), section 2.4.2.
    """
    return _integrate.odeint(func, y0, t, tuple(args), **kwargs)


def _vjps(
    argnums: tuple[int, ...], ans: Any, arguments: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Any], Any]:
    func, _, t, args = (*arguments, ())[:4]
    count, size = np.shape(ans)
    flat, unflatten = flatten(tuple(args))

    def slope(y: Any, time: Any, flat: Any) -> Any:
        return func(y, time, *unflatten(flat))

    def backward(state: Any, time: Any, flat: Any) -> Any:  # state: y, gradients of y, time and args
        pull, dy = make_vjp(lambda all: slope(*all), (state[:size], time, flat))
        return np.hstack([np.atleast_1d(x) for x in (dy, *pull(-state[size : 2 * size]))])

    def rule(g: Any) -> list[Any]:
        gy, gt0, gargs = g[-1], 0.0, np.zeros(np.size(flat))
        times = []
        for i in range(count - 1, 0, -1):
            moved = np.dot(func(ans[i], t[i], *args), g[i])  # gradient with respect to the time t[i]
            times.append(moved)
            state = np.hstack([ans[i], gy, np.atleast_1d(gt0 - moved), gargs])
            state = odeint(backward, state, np.stack([t[i], t[i - 1]]), (flat,), **kwargs)[1]
            gy, gt0, gargs = state[size : 2 * size] + g[i - 1], state[2 * size], state[2 * size + 1 :]
        times.append(gt0)
        by_number = {1: gy, 2: np.stack(times[::-1]), 3: unflatten(gargs) if 3 in argnums else None}
        return [by_number[n] for n in argnums]

    return rule


defvjp_argnums(odeint, _vjps)
