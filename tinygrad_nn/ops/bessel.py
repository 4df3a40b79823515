r"""Bessel functions, hypergeometric functions and Lambert's W, by SciPy.

Orders and parameters are metadata: there is no closed form of the derivatives with respect to them.
"""

from __future__ import annotations

import numpy as np

from ..primitive import Array, Primitive, declare
from .elementwise import INSIDE_ONE, POSITIVE
from .library import STAND_INS, forward, library, of_arrays, with_parameters
from .special import digamma


# fmt: off
def _jv(x: Array, order: Array) -> Array:
    """Return the Bessel function of the first kind of a real order."""
    return of_arrays("jv", order, x)

jv: Primitive = declare(_jv, r"J_n(x)",
    (lambda g, out, x, order: 0.5 * g * (jv(x, order=order - 1) - jv(x, order=order + 1)),
                                                              r"\tfrac{g}{2} (J_{n-1}(x) - J_{n+1}(x))"),
    domain=POSITIVE)


def _yv(x: Array, order: Array) -> Array:
    """Return the Bessel function of the second kind of a real order."""
    return of_arrays("yv", order, x)

yv: Primitive = declare(_yv, r"Y_n(x)",
    (lambda g, out, x, order: 0.5 * g * (yv(x, order=order - 1) - yv(x, order=order + 1)),
                                                              r"\tfrac{g}{2} (Y_{n-1}(x) - Y_{n+1}(x))"),
    domain=POSITIVE)


def _iv(x: Array, order: Array) -> Array:
    """Return the modified Bessel function of the first kind of a real order."""
    return of_arrays("iv", order, x)

iv: Primitive = declare(_iv, r"I_n(x)",
    (lambda g, out, x, order: 0.5 * g * (iv(x, order=order - 1) + iv(x, order=order + 1)),
                                                              r"\tfrac{g}{2} (I_{n-1}(x) + I_{n+1}(x))"),
    domain=POSITIVE)


def _kv(x: Array, order: Array) -> Array:
    """Return the modified Bessel function of the second kind of a real order."""
    return of_arrays("kv", order, x)

kv: Primitive = declare(_kv, r"K_n(x)",
    (lambda g, out, x, order: -0.5 * g * (kv(x, order=order - 1) + kv(x, order=order + 1)),
                                                              r"-\tfrac{g}{2} (K_{n-1}(x) + K_{n+1}(x))"),
    domain=POSITIVE)


def _ive(x: Array, order: Array) -> Array:
    """Return the modified Bessel function of the first kind, times exp(-|x|), of real numbers."""
    return of_arrays("ive", order, x)

ive: Primitive = declare(_ive, r"e^{-|x|} I_n(x)",
    (lambda g, out, x, order:
        g * (0.5 * (ive(x, order=order - 1) + ive(x, order=order + 1)) - np.sign(x) * out),
     r"g \, e^{-|x|} (\tfrac{1}{2} I_{n-1}(x) + \tfrac{1}{2} I_{n+1}(x) - \operatorname{sign}(x) I_n(x))"),
    domain=POSITIVE, kinks="at 0 the slope is that of I")


def _kve(x: Array, order: Array) -> Array:
    """Return the modified Bessel function of the second kind of a real order, times exp(x)."""
    return of_arrays("kve", order, x)

kve: Primitive = declare(_kve, r"e^x K_n(x)",
    (lambda g, out, x, order: g * (out - 0.5 * (kve(x, order=order - 1) + kve(x, order=order + 1))),
                                       r"g \, e^x (K_n(x) - \tfrac{1}{2} K_{n-1}(x) - \tfrac{1}{2} K_{n+1}(x))"),
    domain=POSITIVE)

j0: Primitive = declare(forward("j0"), r"J_0(x)",
    (lambda g, out, x: -g * j1(x),                            r"-g \, J_1(x)"))

j1: Primitive = declare(forward("j1"), r"J_1(x)",
    (lambda g, out, x: 0.5 * g * (j0(x) - jv(x, order=2)),    r"\tfrac{g}{2} (J_0(x) - J_2(x))"))

y0: Primitive = declare(forward("y0"), r"Y_0(x)",
    (lambda g, out, x: -g * y1(x),                            r"-g \, Y_1(x)"),
    domain=POSITIVE)

y1: Primitive = declare(forward("y1"), r"Y_1(x)",
    (lambda g, out, x: 0.5 * g * (y0(x) - yv(x, order=2)),    r"\tfrac{g}{2} (Y_0(x) - Y_2(x))"),
    domain=POSITIVE)

k0: Primitive = declare(forward("k0"), r"K_0(x)",
    (lambda g, out, x: -g * k1(x),                            r"-g \, K_1(x)"),
    domain=POSITIVE)

k1: Primitive = declare(forward("k1"), r"K_1(x)",
    (lambda g, out, x: -0.5 * g * (k0(x) + kv(x, order=2)),   r"-\tfrac{g}{2} (K_0(x) + K_2(x))"),
    domain=POSITIVE)

i0e: Primitive = declare(forward("i0e"), r"e^{-|x|} I_0(x)",
    (lambda g, out, x: g * (i1e(x) - np.sign(x) * out), r"g \, e^{-|x|} (I_1(x) - \operatorname{sign}(x) I_0(x))"),
    kinks="at 0 the slope is 0")

i1e: Primitive = declare(forward("i1e"), r"e^{-|x|} I_1(x)",
    (lambda g, out, x: g * (0.5 * (i0e(x) + ive(x, order=2)) - np.sign(x) * out),
     r"g \, e^{-|x|} (\tfrac{1}{2} I_0(x) + \tfrac{1}{2} I_2(x) - \operatorname{sign}(x) I_1(x))"))

k0e: Primitive = declare(forward("k0e"), r"e^x K_0(x)",
    (lambda g, out, x: g * (out - k1e(x)),                    r"g \, e^x (K_0(x) - K_1(x))"),
    domain=POSITIVE)

k1e: Primitive = declare(forward("k1e"), r"e^x K_1(x)",
    (lambda g, out, x: g * (out - 0.5 * (k0e(x) + kve(x, order=2))),
                                        r"g \, e^x (K_1(x) - \tfrac{1}{2} K_0(x) - \tfrac{1}{2} K_2(x))"),
    domain=POSITIVE)


# -- Hypergeometric functions: a derivative raises all parameters by one

def _hyp0f1(x: Array, b: Array) -> Array:
    """Return the confluent hypergeometric limit function."""
    return of_arrays("hyp0f1", b, x)

hyp0f1: Primitive = declare(_hyp0f1, r"{}_0F_1(b; x)",
    (lambda g, out, x, b: g * hyp0f1(x, b=b + 1.0) / b,       r"\frac{g}{b} {}_0F_1(b + 1; x)"))


def _hyp1f1(x: Array, a: Array, b: Array) -> Array:
    """Return Kummer's confluent hypergeometric function."""
    return of_arrays("hyp1f1", a, b, x)

hyp1f1: Primitive = declare(_hyp1f1, r"{}_1F_1(a; b; x)",
    (lambda g, out, x, a, b: g * (a / b) * hyp1f1(x, a=a + 1.0, b=b + 1.0),
                                                              r"g \frac{a}{b} {}_1F_1(a + 1; b + 1; x)"))


def _hyp2f1(x: Array, a: Array, b: Array, c: Array) -> Array:
    """Return Gauss's hypergeometric function."""
    return of_arrays("hyp2f1", a, b, c, x)

hyp2f1: Primitive = declare(_hyp2f1, r"{}_2F_1(a, b; c; x)",
    (lambda g, out, x, a, b, c: g * (a * b / c) * hyp2f1(x, a=a + 1.0, b=b + 1.0, c=c + 1.0),
                                                              r"g \frac{ab}{c} {}_2F_1(a + 1, b + 1; c + 1; x)"))


def _hyperu(x: Array, a: Array, b: Array) -> Array:
    """Return Tricomi's confluent hypergeometric function."""
    return of_arrays("hyperu", a, b, x)

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
    r"""Return a branch of the solution of out exp(out) = x, a complex number."""
    return library().lambertw(x, k, tol)

lambertw = declare(_lambertw, r"W_k(x)",
    (lambda g, out, x, k=0, tol=1e-8: g * np.exp(-out) / (1 + out), r"\frac{g}{e^{out} (1 + out)}"),
    kinks="at the branch point -1/e infinite")

wrightomega = declare(forward("wrightomega"), r"\omega(x) = W(e^x)",
    (lambda g, out, x: g * out / (1 + out),                   r"g \frac{out}{1 + out}"))
# fmt: on

STAND_INS.update({
    "psi": digamma,
    **{name: with_parameters(name, f, "order") for name, f in {
        "jv": jv, "jn": jv, "yv": yv, "yn": yv, "iv": iv, "kv": kv, "kn": kv, "ive": ive, "kve": kve}.items()},
    "exprel": lambda x: hyp1f1(x, a=1.0, b=2.0),
    "hyp0f1": with_parameters("hyp0f1", hyp0f1, "b"),
    "hyp1f1": with_parameters("hyp1f1", hyp1f1, "a", "b"),
    "hyp2f1": with_parameters("hyp2f1", hyp2f1, "a", "b", "c"),
    "hyperu": with_parameters("hyperu", hyperu, "a", "b"),
    "_lambertw": lambda x, k, tol: lambertw(x, k=k, tol=tol),
})  # fmt: skip
