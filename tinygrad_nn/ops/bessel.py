r"""Bessel, Hankel, Airy, spherical Bessel, Struve and Kelvin functions, by SciPy.

The order is metadata: the derivatives with respect to it have no closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..primitive import Array, Primitive, declare
from .elementwise import POSITIVE
from .library import STAND_INS, call_scipy, forward, library, with_parameters

J_ARG = np.exp(0.75j * np.pi).item()  # a in the definition of the Kelvin functions


# fmt: off
def _jv(x: Array, order: Array) -> Array:
    """Return the Bessel function of the first kind, of real order."""
    return call_scipy("jv", order, x)

jv: Primitive = declare(_jv, r"J_n(x)",
    (lambda g, out, x, order: 0.5 * g * (jv(x, order=order - 1) - jv(x, order=order + 1)),
                                                              r"\tfrac{g}{2} (J_{n-1}(x) - J_{n+1}(x))"),
    domain=POSITIVE)


def _yv(x: Array, order: Array) -> Array:
    """Return the Bessel function of the second kind, of real order."""
    return call_scipy("yv", order, x)

yv: Primitive = declare(_yv, r"Y_n(x)",
    (lambda g, out, x, order: 0.5 * g * (yv(x, order=order - 1) - yv(x, order=order + 1)),
                                                              r"\tfrac{g}{2} (Y_{n-1}(x) - Y_{n+1}(x))"),
    domain=POSITIVE)


def _iv(x: Array, order: Array) -> Array:
    """Return the modified Bessel function of the first kind, of real order."""
    return call_scipy("iv", order, x)

iv: Primitive = declare(_iv, r"I_n(x)",
    (lambda g, out, x, order: 0.5 * g * (iv(x, order=order - 1) + iv(x, order=order + 1)),
                                                              r"\tfrac{g}{2} (I_{n-1}(x) + I_{n+1}(x))"),
    domain=POSITIVE)


def _kv(x: Array, order: Array) -> Array:
    """Return the modified Bessel function of the second kind, of real order."""
    return call_scipy("kv", order, x)

kv: Primitive = declare(_kv, r"K_n(x)",
    (lambda g, out, x, order: -0.5 * g * (kv(x, order=order - 1) + kv(x, order=order + 1)),
                                                              r"-\tfrac{g}{2} (K_{n-1}(x) + K_{n+1}(x))"),
    domain=POSITIVE)


def _ive(x: Array, order: Array) -> Array:
    """Return the modified Bessel function of the first kind, times exp(-|x|), for real x."""
    return call_scipy("ive", order, x)

ive: Primitive = declare(_ive, r"e^{-|x|} I_n(x)",
    (lambda g, out, x, order:
        g * (0.5 * (ive(x, order=order - 1) + ive(x, order=order + 1)) - np.sign(x) * out),
     r"g \, e^{-|x|} (\tfrac{1}{2} I_{n-1}(x) + \tfrac{1}{2} I_{n+1}(x) - \operatorname{sign}(x) I_n(x))"),
    domain=POSITIVE, kinks="at 0 the slope is that of I")


def _kve(x: Array, order: Array) -> Array:
    """Return the modified Bessel function of the second kind, of real order, times exp(x)."""
    return call_scipy("kve", order, x)

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


# -- Hankel functions, which are complex

def _hankel1(x: Array, order: Array) -> Array:
    """Return the Hankel function of the first kind."""
    return call_scipy("hankel1", order, x)

hankel1: Primitive = declare(_hankel1, r"H^{(1)}_n(x) = J_n(x) + i \, Y_n(x)",
    (lambda g, out, x, order: 0.5 * g * (hankel1(x, order=order - 1) - hankel1(x, order=order + 1)),
                                                              r"\tfrac{g}{2} (H_{n-1}(x) - H_{n+1}(x))"),
    domain=POSITIVE)


def _hankel2(x: Array, order: Array) -> Array:
    """Return the Hankel function of the second kind."""
    return call_scipy("hankel2", order, x)

hankel2: Primitive = declare(_hankel2, r"H^{(2)}_n(x) = J_n(x) - i \, Y_n(x)",
    (lambda g, out, x, order: 0.5 * g * (hankel2(x, order=order - 1) - hankel2(x, order=order + 1)),
                                                              r"\tfrac{g}{2} (H_{n-1}(x) - H_{n+1}(x))"),
    domain=POSITIVE)


# -- The four Airy functions Ai, Ai', Bi, Bi', selected by a number

def _airy(x: Array, which: int = 0) -> Array:
    """Return Ai, Ai', Bi or Bi' (`which` is 0 to 3); the second derivatives of Ai and Bi are x times themselves."""
    return library().airy(x)[which]

airy: Primitive = declare(_airy, r"\operatorname{Ai} x",
    (lambda g, out, x, which=0: g * airy(x, which=which + 1) if which % 2 == 0 else g * x * airy(x, which=which - 1),
                                                              r"g \operatorname{Ai}' x"))


# -- The eight Kelvin functions, selected by SciPy's name: ber x + i bei x = J_0(a x) with a = exp(3πi/4)

def _kelvin(x: Array, name: str = "ber") -> Array:
    """Return ber, bei, ker or kei, or its derivative berp, beip, kerp or keip."""
    return call_scipy(name, x)


def _kelvin_slope(x: Array, name: str) -> Array:
    """Return the derivative of a Kelvin function: the second ones by f'' + f' / x = -bei, ber, -kei or ker."""
    if not name.endswith("p"):
        return kelvin(x, name=name + "p")
    if name in ("kerp", "keip"):
        other = -kelvin(x, name="kei") if name == "kerp" else kelvin(x, name="ker")
        return other - kelvin(x, name=name) / x
    both = jv(J_ARG * x, order=0.0) - jv(J_ARG * x, order=2.0)  # without a quotient by x, which may be 0
    return -0.5 * np.imag(both) if name == "berp" else 0.5 * np.real(both)

kelvin: Primitive = declare(_kelvin, r"\operatorname{ber} x",
    (lambda g, out, x, name="ber": g * _kelvin_slope(x, name),  r"g \operatorname{ber}' x"),
    domain=POSITIVE)


# -- Spherical Bessel functions of integer order

def _neighbours(f: Callable[..., Array], x: Array, n: Array, sign: int) -> Array:
    """Return (n f_{n-1} + sign (n + 1) f_{n+1}) / (2n + 1)."""
    below = np.where(np.asarray(n) == 0, 0, n * f(x, n=np.maximum(n, 1) - 1))
    return (below + sign * (n + 1) * f(x, n=n + 1)) / (2 * n + 1)


def _spherical_jn(x: Array, n: Array) -> Array:
    """Return the spherical Bessel function of the first kind."""
    return library().spherical_jn(n, x)

spherical_jn: Primitive = declare(_spherical_jn, r"j_n(x) = \sqrt{\tfrac{\pi}{2x}} J_{n+1/2}(x)",
    (lambda g, out, x, n: g * _neighbours(spherical_jn, x, n, -1), r"\tfrac{g}{2n+1} (n j_{n-1} - (n+1) j_{n+1})"),
    domain=POSITIVE)


def _spherical_yn(x: Array, n: Array) -> Array:
    """Return the spherical Bessel function of the second kind."""
    return library().spherical_yn(n, x)

spherical_yn: Primitive = declare(_spherical_yn, r"y_n(x) = \sqrt{\tfrac{\pi}{2x}} Y_{n+1/2}(x)",
    (lambda g, out, x, n: g * _neighbours(spherical_yn, x, n, -1), r"\tfrac{g}{2n+1} (n y_{n-1} - (n+1) y_{n+1})"),
    domain=POSITIVE)


def _spherical_in(x: Array, n: Array) -> Array:
    """Return the modified spherical Bessel function of the first kind."""
    return library().spherical_in(n, x)

spherical_in: Primitive = declare(_spherical_in, r"i_n(x) = \sqrt{\tfrac{\pi}{2x}} I_{n+1/2}(x)",
    (lambda g, out, x, n: g * _neighbours(spherical_in, x, n, 1), r"\tfrac{g}{2n+1} (n i_{n-1} + (n+1) i_{n+1})"),
    domain=POSITIVE)


def _spherical_kn(x: Array, n: Array) -> Array:
    """Return the modified spherical Bessel function of the second kind."""
    return library().spherical_kn(n, x)

spherical_kn: Primitive = declare(_spherical_kn, r"k_n(x) = \sqrt{\tfrac{\pi}{2x}} K_{n+1/2}(x)",
    (lambda g, out, x, n: -g * _neighbours(spherical_kn, x, n, 1), r"-\tfrac{g}{2n+1} (n k_{n-1} + (n+1) k_{n+1})"),
    domain=POSITIVE)


# -- Struve functions

def _struve_term(x: Array, order: Array) -> Array:
    """Return (x/2)^n / (√π Γ(n + 3/2))."""
    return (0.5 * x) ** order * (library().rgamma(order + 1.5) / np.sqrt(np.pi))


def _struve(x: Array, order: Array) -> Array:
    """Return the Struve function of the given order."""
    return call_scipy("struve", order, x)

struve: Primitive = declare(_struve, r"\mathbf{H}_n(x)",
    (lambda g, out, x, order:
        0.5 * g * (struve(x, order=order - 1) - struve(x, order=order + 1) + _struve_term(x, order)),
     r"\tfrac{g}{2} (\mathbf{H}_{n-1} - \mathbf{H}_{n+1} + \tfrac{(x/2)^n}{\sqrt\pi \Gamma(n + 3/2)})"),
    domain=POSITIVE)


def _modstruve(x: Array, order: Array) -> Array:
    """Return the modified Struve function of the given order."""
    return call_scipy("modstruve", order, x)

modstruve: Primitive = declare(_modstruve, r"\mathbf{L}_n(x)",
    (lambda g, out, x, order:
        0.5 * g * (modstruve(x, order=order - 1) + modstruve(x, order=order + 1) + _struve_term(x, order)),
     r"\tfrac{g}{2} (\mathbf{L}_{n-1} + \mathbf{L}_{n+1} + \tfrac{(x/2)^n}{\sqrt\pi \Gamma(n + 3/2)})"),
    domain=POSITIVE)
# fmt: on


def _of_real(name: str, f: Primitive) -> Callable[..., Array]:
    """Return jve or yve, which equal jv and yv for real x; for complex x they raise, having no derivative there."""
    plain = with_parameters(name, f, "order")

    def call(v: Array, x: Array) -> Array:
        if np.result_type(x).kind == "c":
            raise TypeError(
                f"scipy.special.{name} of complex numbers has no complex derivative, since it divides by exp(|Im x|). "
                f"Write scipy.special.{name[:-1]}(v, x)."
            )
        return plain(v, x)

    return call


STAND_INS.update({
    **{name: with_parameters(name, f, "order") for name, f in {
        "jv": jv, "jn": jv, "yv": yv, "yn": yv, "iv": iv, "kv": kv, "kn": kv, "ive": ive, "kve": kve,
        "hankel1": hankel1, "hankel2": hankel2, "struve": struve, "modstruve": modstruve}.items()},
    "jve": _of_real("jve", jv),
    "yve": _of_real("yve", yv),
    "hankel1e": lambda v, x: hankel1(x, order=v) * np.exp(-1j * x),
    "hankel2e": lambda v, x: hankel2(x, order=v) * np.exp(1j * x),
    "airy": lambda x: tuple(airy(x, which=which) for which in range(4)),
    **{name: partial(kelvin, name=name) for name in ("ber", "bei", "ker", "kei", "berp", "beip", "kerp", "keip")},
})  # fmt: skip
