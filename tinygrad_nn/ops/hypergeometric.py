r"""Hypergeometric functions, elliptic integrals and Lambert's W, by SciPy.

Parameters are metadata: the derivatives with respect to them have no closed form.
"""

from __future__ import annotations

import numpy as np

from ..primitive import Array, Primitive, declare
from .elementwise import INSIDE_ONE, POSITIVE
from .library import STAND_INS, call_scipy, forward, library, with_parameters
from .plain import as_arrays


# fmt: off
def _hyp0f1(x: Array, b: Array) -> Array:
    """Return the confluent hypergeometric limit function."""
    return call_scipy("hyp0f1", b, x)

hyp0f1: Primitive = declare(_hyp0f1, r"{}_0F_1(b; x)",
    (lambda g, out, x, b: g * hyp0f1(x, b=b + 1.0) / b,       r"\frac{g}{b} {}_0F_1(b + 1; x)"))


def _hyp1f1(x: Array, a: Array, b: Array) -> Array:
    """Return Kummer's confluent hypergeometric function."""
    return call_scipy("hyp1f1", a, b, x)

hyp1f1: Primitive = declare(_hyp1f1, r"{}_1F_1(a; b; x)",
    (lambda g, out, x, a, b: g * (a / b) * hyp1f1(x, a=a + 1.0, b=b + 1.0),
                                                              r"g \frac{a}{b} {}_1F_1(a + 1; b + 1; x)"))


def _hyp2f1(x: Array, a: Array, b: Array, c: Array) -> Array:
    """Return Gauss's hypergeometric function."""
    return call_scipy("hyp2f1", a, b, c, x)

hyp2f1: Primitive = declare(_hyp2f1, r"{}_2F_1(a, b; c; x)",
    (lambda g, out, x, a, b, c: g * (a * b / c) * hyp2f1(x, a=a + 1.0, b=b + 1.0, c=c + 1.0),
                                                              r"g \frac{ab}{c} {}_2F_1(a + 1, b + 1; c + 1; x)"))


def _hyperu(x: Array, a: Array, b: Array) -> Array:
    """Return Tricomi's confluent hypergeometric function."""
    return call_scipy("hyperu", a, b, x)

hyperu: Primitive = declare(_hyperu, r"U(a, b, x)",
    (lambda g, out, x, a, b: g * -a * hyperu(x, a=a + 1.0, b=b + 1.0),  r"-g \, a \, U(a + 1, b + 1, x)"),
    domain=POSITIVE)


ellipk = declare(forward("ellipk"), r"K(x) = \frac{\pi}{2} {}_2F_1(\tfrac{1}{2}, \tfrac{1}{2}; 1; x)",
    (lambda g, out, x: g * (np.pi / 8) * hyp2f1(x, a=1.5, b=1.5, c=2.0),
                                         r"\tfrac{\pi}{8} g \, {}_2F_1(\tfrac{3}{2}, \tfrac{3}{2}; 2; x)"),
    domain=INSIDE_ONE)

ellipe = declare(forward("ellipe"), r"E(x) = \frac{\pi}{2} {}_2F_1(-\tfrac{1}{2}, \tfrac{1}{2}; 1; x)",
    (lambda g, out, x: g * (-np.pi / 8) * hyp2f1(x, a=0.5, b=1.5, c=2.0),
                                         r"-\tfrac{\pi}{8} g \, {}_2F_1(\tfrac{1}{2}, \tfrac{3}{2}; 2; x)"),
    domain=INSIDE_ONE)


# -- Lambert's W

def _lambertw(x: Array, k: Array = 0, tol: float = 1e-8) -> Array:
    r"""Return the k-th branch of Lambert's W, the complex solution of out exp(out) = x."""
    return library().lambertw(x, k, tol)

lambertw = declare(_lambertw, r"W_k(x)",
    (lambda g, out, x, k=0, tol=1e-8: g * np.exp(-out) / (1 + out), r"\frac{g}{e^{out} (1 + out)}"),
    kinks="at the branch point -1/e infinite")

wrightomega = declare(forward("wrightomega"), r"\omega(x) = W(e^x)",
    (lambda g, out, x: g * out / (1 + out),                   r"g \frac{out}{1 + out}"))

ellipkm1 = declare(forward("ellipkm1"), r"K(1 - x)",
    (lambda g, out, x: g * (-np.pi / 8) * hyp2f1(1 - x, a=1.5, b=1.5, c=2.0),
                                        r"-\tfrac{\pi}{8} g \, {}_2F_1(\tfrac{3}{2}, \tfrac{3}{2}; 2; 1 - x)"),
    domain=[(0.1, 1.9)])
# fmt: on


def _log1p_over(x: Array) -> Array:
    """Return ln(1 + x) / x, which is 1 at 0."""
    return hyp2f1(-x, a=1.0, b=1.0, c=2.0)


def _exprel(x: Array) -> Array:
    """Return (e^x - 1) / x, which is 1 at 0."""
    return hyp1f1(x, a=1.0, b=2.0)


def _boxcox(ln: Array, power: Array) -> Array:
    """Return (e^(power ln) - 1) / power, which is ln for the power 0 and finite at ln = -inf for a positive one."""
    far = np.abs(as_arrays(power) * as_arrays(ln)) > 1
    near_ln, near_power = np.where(np.isinf(as_arrays(ln)), 0, ln), np.where(far, 0, power)
    far_power = np.where(far, power, 1)
    return np.where(far, np.expm1(far_power * ln) / far_power, ln * _exprel(near_power * near_ln))


def _powm1(x: Array, y: Array) -> Array:
    """Return x**y - 1 without cancellation; of a negative x it needs a whole y."""
    above = x > 0
    return np.where(above, np.expm1(y * np.log(np.where(above, x, 1))), np.where(above, 1, x) ** y - 1)


STAND_INS.update({
    "exprel": _exprel,
    "hyp0f1": with_parameters("hyp0f1", hyp0f1, "b"),
    "hyp1f1": with_parameters("hyp1f1", hyp1f1, "a", "b"),
    "hyp2f1": with_parameters("hyp2f1", hyp2f1, "a", "b", "c"),
    "hyperu": with_parameters("hyperu", hyperu, "a", "b"),
    "_lambertw": lambda x, k, tol: lambertw(x, k=k, tol=tol),
    "boxcox": lambda x, power: _boxcox(np.log(x), power),
    "boxcox1p": lambda x, power: _boxcox(np.log1p(x), power),
    "inv_boxcox": lambda y, power: np.exp(y * _log1p_over(power * y)),
    "inv_boxcox1p": lambda y, power: np.expm1(y * _log1p_over(power * y)),
    "powm1": _powm1,
})  # fmt: skip
