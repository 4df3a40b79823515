"""Rows for special functions, with references in terms of Python's math module or of their definitions.

Recorded numbers of high precision over the whole range are in tests/test_special.py.
"""

import math

import numpy as np
from scipy import special

import tinygrad_nn as tg
from tinygrad_nn.ops.special import bessel_i
from tinygrad_nn.primitive import REGISTRY

from .case import Case


def _of_numbers(f):
    """A function of numbers as one of arrays that keeps float32."""
    return lambda x: np.vectorize(f, otypes=[x.dtype])(x)


def _polygamma(n):
    """(-1)^(n+1) n! Σ 1/(x+k)^(n+1), the tail by Euler and Maclaurin."""

    def value(x):
        terms = sum((x + k) ** -(n + 1.0) for k in range(60))
        y = x + 60
        tail = y**-n / n + y ** -(n + 1) / 2 + (n + 1) * y ** -(n + 2) / 12
        tail -= (n + 1) * (n + 2) * (n + 3) * y ** -(n + 4) / 720
        return (-1) ** (n + 1) * math.factorial(n) * (terms + tail)

    return _of_numbers(value)


def _digamma(x):
    y = x + 60
    series = math.log(y) - 1 / (2 * y) - 1 / (12 * y**2) + 1 / (120 * y**4) - 1 / (252 * y**6)
    return series - sum(1 / (x + k) for k in range(60))


def _bessel(n):
    """The integral of exp(x cos t) cos(nt) over a period by the trapezoidal rule, which is exact but for rounding."""
    t = 2 * np.pi * np.arange(64) / 64
    return _of_numbers(lambda x: np.mean(np.exp(x * np.cos(t)) * np.cos(n * t)))


def _special():
    yield Case("erf", tg.erf, ((2, 3),), reference=_of_numbers(math.erf), order=4)
    yield Case("erfc", tg.erfc, ((2, 3),), (-3.0, 5.0), reference=_of_numbers(math.erfc), order=4)
    for note, domain in {"": (0.2, 6.0), "large": (9.0, 30.0), "below 0": (-2.8, -2.2)}.items():
        yield Case("gammaln", tg.gammaln, ((2, 3),), domain, reference=_of_numbers(math.lgamma), order=4, note=note)
        yield Case("digamma", tg.digamma, ((2, 3),), domain, order=3, note=note,
                   reference=_of_numbers(_digamma) if domain[0] > 0 else None)  # fmt: skip
        for n in (1, 2, 3):
            yield Case(
                "polygamma", lambda x, n=n: tg.polygamma(x, order=n), ((2, 3),), domain, note=f"{n} {note}",
                reference=_polygamma(n) if domain[0] > 0 else None,
            )  # fmt: skip
    yield Case("i0", np.i0, ((2, 3),), order=4)
    for n in range(4):
        yield Case("bessel_i", lambda x, n=n: bessel_i(x, order=n), ((2, 3),), reference=_bessel(n), note=f"order {n}")
    yield Case("sinc", np.sinc, ((2, 3),), order=4, complex=True, analytic=True)
    yield Case("sinc", np.sinc, (np.array([0.0, 1e-5, 0.6, 0.64, -0.65, 5.2]),), order=4, note="at and near 0")
    yield Case("logit", tg.logit, ((2, 3),), (0.1, 0.9), reference=lambda x: np.log(x / (1 - x)), order=4)
    yield Case("expit", tg.expit, ((2, 3),), reference=lambda x: 1 / (1 + np.exp(-x)), order=4)
    yield Case("softplus", tg.softplus, ((2, 3),), reference=lambda x: np.log1p(np.exp(x)), order=4)
    yield Case("log_sigmoid", tg.log_sigmoid, ((2, 3),), reference=lambda x: -np.log1p(np.exp(-x)), order=4)


# name in scipy.special -> intervals of the arguments that have a derivative, and parameters that stand before them
SCIPY = {
    "erf": [(-2, 2)], "erfc": [(-2, 2)], "gammaln": [(0.3, 4)], "psi": [(0.3, 4)], "expit": [(-2, 2)],
    "logit": [(0.1, 0.9)], "log_expit": [(-2, 2)], "i0": [(-2, 2)], "i1": [(-2, 2)], "expm1": [(-2, 2)],
    "log1p": [(-0.9, 2)], "exp2": [(-2, 2)], "exp10": [(-2, 1)], "cbrt": [(0.1, 3)], "cosm1": [(-2, 2)],
    "sindg": [(-90, 90)], "cosdg": [(-90, 90)], "tandg": [(-40, 40)], "ndtr": [(-3, 3)],
    "huber": [(0.5, 1), (2, 4)], "pseudo_huber": [(0.5, 2), (-2, 2)],
    "gamma": [(0.3, 4)], "loggamma": [(0.3, 4)], "rgamma": [(-2.5, 4)], "beta": [(0.3, 3)] * 2,
    "betaln": [(0.3, 3)] * 2, "binom": [(3.2, 6), (0.3, 3)], "poch": [(0.3, 3)] * 2,
    "xlogy": [(-2, 2), (0.1, 3)], "xlog1py": [(-2, 2), (-0.9, 3)], "entr": [(0.1, 3)], "rel_entr": [(0.1, 3)] * 2,
    "kl_div": [(0.1, 3)] * 2, "log_ndtr": [(-8, 4)], "ndtri": [(0.05, 0.95)], "ndtri_exp": [(-3, -0.1)],
    "erfinv": [(-0.9, 0.9)], "erfcinv": [(0.1, 1.9)], "erfcx": [(-1, 6)], "erfi": [(-1.5, 1.5)], "dawsn": [(-2, 2)],
    "exp1": [(0.1, 3)], "expi": [(0.1, 3)], "j0": [(-4, 4)], "j1": [(-4, 4)], "y0": [(0.3, 4)], "y1": [(0.3, 4)],
    "k0": [(0.3, 4)], "k1": [(0.3, 4)], "i0e": [(0.2, 4)], "i1e": [(0.2, 4)], "k0e": [(0.3, 4)], "k1e": [(0.3, 4)],
    "exprel": [(-2, 2)], "ellipk": [(-0.9, 0.9)], "ellipe": [(-0.9, 0.9)],
    "wrightomega": [(-2, 2)], "cotdg": [(10, 80)], "ellipkm1": [(0.1, 1.9)], "spence": [(0.1, 3)],
    "boxcox": [(0.2, 3), (-1, 1)], "boxcox1p": [(-0.5, 2), (-1, 1)], "inv_boxcox": [(-0.8, 0.8), (-1, 1)],
    "inv_boxcox1p": [(-0.8, 0.8), (-1, 1)], "powm1": [(0.2, 3), (-2, 2)], "owens_t": [(-2, 2), (-2, 2)],
    "ber": [(0.2, 3)], "bei": [(0.2, 3)], "ker": [(0.2, 3)], "kei": [(0.2, 3)], "berp": [(0.2, 3)],
    "beip": [(0.2, 3)], "kerp": [(0.2, 3)], "keip": [(0.2, 3)], "stdtrit": [(1, 6), (0.1, 0.9)],
    "chdtri": [(1, 6), (0.1, 0.9)], "gdtrix": [(0.5, 2), (0.5, 3), (0.1, 0.9)],
    "fdtri": [(1, 6), (1, 6), (0.1, 0.9)],
    "gammainc": [(0.4, 4), (0.2, 5)], "gammaincc": [(0.4, 4), (0.2, 5)],
    "gammaincinv": [(0.4, 4), (0.1, 0.9)], "gammainccinv": [(0.4, 4), (0.1, 0.9)],
    "betainc": [(0.4, 4), (0.4, 4), (0.1, 0.9)], "betaincc": [(0.4, 4), (0.4, 4), (0.1, 0.9)],
    "betaincinv": [(0.4, 4), (0.4, 4), (0.1, 0.9)], "betainccinv": [(0.4, 4), (0.4, 4), (0.1, 0.9)],
    "chdtr": [(1, 6), (0.3, 5)], "chdtrc": [(1, 6), (0.3, 5)], "gdtr": [(0.5, 2), (0.5, 3), (0.3, 3)],
    "gdtrc": [(0.5, 2), (0.5, 3), (0.3, 3)], "stdtr": [(1, 6), (-3, 3)], "fdtr": [(1, 6), (1, 6), (0.3, 3)],
    "fdtrc": [(1, 6), (1, 6), (0.3, 3)],
}  # fmt: skip
WITH_PARAMETERS = {
    "jv": [(0,), (1.5,), (-2,)], "yv": [(0,), (1.5,)], "iv": [(0,), (1.5,)], "kv": [(0,), (1.5,)],
    "ive": [(0,), (1.5,)], "kve": [(0,), (1.5,)], "jn": [(3,)], "yn": [(2,)], "kn": [(2,)],
    "hyp0f1": [(0.7,)], "hyp1f1": [(0.7, 1.3)], "hyp2f1": [(0.7, 1.3, 2.1)], "hyperu": [(0.7, 1.3)],
    "jve": [(1.5,)], "yve": [(1.5,)], "struve": [(0.5,), (2,)], "modstruve": [(0.5,)], "expn": [(1,), (3,)],
    "pdtri": [(2,)],
    "pdtr": [(2,)], "pdtrc": [(2,)], "bdtr": [(2, 6)], "bdtrc": [(2, 6)], "nbdtr": [(2, 6)], "nbdtrc": [(2, 6)],
}  # fmt: skip
UNIT = {"hyp2f1": (-0.9, 0.9), **dict.fromkeys(("bdtr", "bdtrc", "nbdtr", "nbdtrc", "pdtri"), (0.1, 0.9))}


def _scipy():
    for name, intervals in SCIPY.items():
        f = getattr(special, name)
        yield Case(name, f, ((2, 3),) * len(intervals), tuple(intervals), note="of SciPy")
    for name, rows in WITH_PARAMETERS.items():
        f = getattr(special, name)
        for given in rows:
            yield Case(
                name, lambda x, f=f, p=given: f(*p, x), ((2, 3),), UNIT.get(name, (0.3, 4)), note=str(given),
                reference=lambda x, f=f, p=given: f(*p, x.astype(float)).astype(x.dtype),  # whose float32 is not sure
            )  # fmt: skip
    for name, count in {"airy": 4, "sici": 2, "shichi": 2, "fresnel": 2}.items():
        f = getattr(special, name)
        for k in range(count):
            yield Case(name, lambda x, f=f, k=k: f(x)[k], ((2, 3),), (0.2, 3), note=f"result {k}")
    for name in ("hankel1", "hankel2", "hankel1e", "hankel2e"):
        f = getattr(special, name)
        yield Case(name, lambda x, f=f: np.real(f(1.5, x)), ((2, 3),), (0.3, 4), note="real part")
        yield Case(name, lambda x, f=f: np.imag(f(0, x)), ((2, 3),), (0.3, 4), note="imaginary part")
    for name in ("spherical_jn", "spherical_yn", "spherical_in", "spherical_kn"):
        ours, f = getattr(tg.special, name), getattr(special, name)
        for n in (0, 2):
            yield Case(name, lambda x, n=n, f=ours: f(n, x), ((2, 3),), (0.3, 4), note=f"order {n}",
                       reference=lambda x, n=n, f=f: f(n, x))  # fmt: skip
    yield Case("zeta", special.zeta, ((2, 3), (2, 3)), ((1.5, 5), (0.5, 3)), note="of SciPy")
    for n in (1, 2):
        yield Case("zeta", lambda x, y, n=n: REGISTRY["zeta"](x, y, order=n), ((2, 3), (2, 3)),
                   ((1.5, 5), (0.5, 3)), note=f"order {n}")  # fmt: skip
    for interval in ((1.5, 5), (0.1, 0.8), (-3.5, -0.5)):
        yield Case("zeta", special.zeta, ((2, 3),), interval, note=f"of Riemann, {interval}")
    for interval in ((1.5, 5), (-3.5, 0.8)):
        yield Case("zetac", special.zetac, ((2, 3),), interval, note=str(interval))
    yield Case("powm1", lambda x: special.powm1(x, 3), ((2, 3),), (-2, -0.5), note="below 0")
    orders = np.array([[0.0], [1.5]])
    yield Case("jv", lambda x: special.jv(orders, x), ((3,),), (0.3, 4), note="an order a row")
    yield Case("lambertw", lambda x: np.real(special.lambertw(x)), ((2, 3),), (0.1, 3))
    yield Case("lambertw", lambda x: np.imag(special.lambertw(x, -1)), ((2, 3),), (0.1, 3), note="another branch")
    yield Case("xlogy.outer", special.xlogy.outer, ((2,), (3,)), ((-2, 2), (0.1, 3)))
    yield Case("gamma_slope", lambda a, x: REGISTRY["gamma_slope"](a, x, order=2), ((2, 3), (2, 3)),
               ((0.4, 4), (0.2, 5)), note="order 2")  # fmt: skip
    yield Case("beta_slope", lambda a, b, x: REGISTRY["beta_slope"](a, b, x, n=1, m=1), ((2,), (2,), (2,)),
               ((0.4, 4), (0.4, 4), (0.1, 0.9)), note="orders 1 and 1")  # fmt: skip


CASES = [*_special(), *_scipy()]
