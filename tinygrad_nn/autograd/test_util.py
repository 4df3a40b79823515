"""Checks of derivatives against finite differences, with random directions and random cotangents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from .core import make_jvp, make_vjp, vspace
from .wrap_util import get_name, unary_to_nary

TOL = RTOL = EPS = 1e-6  # a step of 1e-6 gives a truncation error near 1e-9, a rounding error near 1e-10


def scalar_close(a: Any, b: Any) -> bool:
    """Tell whether two numbers agree to 1e-6, absolute or relative."""
    return bool(abs(a - b) < TOL or abs(a - b) / abs(a + b) < RTOL)


def _finite_difference(f: Callable[[Any], Any], x: Any, v: Any) -> Any:
    """Return the central finite difference of f at x along the direction v."""
    here, there = vspace(x), vspace(f(x))
    ahead, behind = (f(here.add(x, here.scalar_mul(v, side * EPS / 2))) for side in (1, -1))
    return there.scalar_mul(there.add(ahead, there.scalar_mul(behind, -1.0)), 1 / EPS)


def check_vjp(f: Callable[[Any], Any], x: Any) -> None:
    """Raise AssertionError unless the gradient of f at x agrees with finite differences."""
    back, y = make_vjp(f, x)
    here, there = vspace(x), vspace(y)
    v, c = here.randn(), there.randn()
    gradient = here.covector(back(there.covector(c)))
    if vspace(gradient) != here:
        raise AssertionError(f"the gradient of {get_name(f)} lies in {vspace(gradient)}; the argument in {here}.")
    exact, numeric = here.inner_prod(v, gradient), there.inner_prod(c, _finite_difference(f, x, v))
    if not scalar_close(numeric, exact):
        raise AssertionError(
            f"Derivative (VJP) check of {get_name(f)} failed with arg {x}:\nanalytic: {exact}\nnumeric:  {numeric}"
        )


def check_jvp(f: Callable[[Any], Any], x: Any) -> None:
    """Raise AssertionError unless the derivative of f at x along a random direction agrees with finite differences."""
    v = vspace(x).randn()
    check_equivalent(make_jvp(f, x)(v)[1], _finite_difference(f, x, v))


def check_equivalent(x: Any, y: Any) -> None:
    """Raise AssertionError unless two values lie in the same space and agree along a random direction."""
    here, there = vspace(x), vspace(y)
    if here != there:
        raise AssertionError(f"VSpace mismatch:\nx: {here}\ny: {there}")
    v = here.randn()
    if not scalar_close(here.inner_prod(x, v), here.inner_prod(y, v)):
        raise AssertionError(f"Value mismatch:\nx: {x}\ny: {y}")


@unary_to_nary
def check_grads(f: Any, x: Any, modes: Sequence[str] = ("fwd", "rev"), order: int = 2) -> None:
    """Raise AssertionError unless the derivatives of all orders up to `order` agree with finite differences.

    Args:
        f: the function.
        x: the argument at which to check.
        modes: which modes to check, forward ``"fwd"`` and reverse ``"rev"``.
        order: the highest order of derivative to check.

    Example:
        >>> import tinygrad_nn.autograd.numpy as np
        >>> check_grads(lambda x: np.sum(np.sin(x) ** 2))(np.array([0.3, 1.2]))
    """
    if set(modes or ()) - {"fwd", "rev"}:
        raise ValueError(f"modes are 'fwd' and 'rev'; it got {modes}.")
    ways: dict[str, Any] = {"fwd": (check_jvp, lambda x, v: make_jvp(f, x)(v)[1], lambda: vspace(x)),
                 "rev": (check_vjp, lambda x, v: make_vjp(f, x)[0](v), lambda: vspace(f(x)))}  # fmt: skip
    for mode in modes or ways:
        check, derivative, space = ways[mode]
        check(f, x)
        if order > 1:
            derivative.__name__ = f"{'jvp' if mode == 'fwd' else 'vjp'}_{get_name(f)}"
            check_grads(derivative, (0, 1), modes, order=order - 1)(x, space().randn())


def combo_check(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., None]:
    """Return a function that takes a list of values per argument and runs `check_grads` on every combination."""

    def run(*lists: Any, **named: Any) -> None:
        pairs = [[(key, x) for x in values] for key, values in named.items()]
        for given in product(*lists):
            for options in product(*pairs):
                check_grads(fun, *args, **kwargs)(*given, **dict(options))

    return run


__all__ = ["check_equivalent", "check_grads", "check_jvp", "check_vjp", "combo_check", "scalar_close"]
