"""Rows for the parts of complex numbers, and for functions of them that are not holomorphic."""

import numpy as np

from .case import Case


def _parts():
    for name in ("real", "imag", "conjugate", "angle", "absolute", "sign", "real_if_close"):
        call = getattr(np, name)
        moving = name not in ("imag", "angle", "sign")  # of real numbers these are constant
        yield Case(name, call, ((2, 3),), (0.4, 2.0), order=2 if moving else 0, complex=moving)
    for name in ("imag", "angle", "sign"):
        call = getattr(np, name)
        yield Case(name, lambda x, y, f=call: f((x + 1j * y) ** 2), ((2, 3), (3,)), (0.4, 2.0), order=3, note="of z²")
    yield Case("absolute", lambda x, y: np.abs(x + 1j * y), ((2, 3), (3,)), (0.4, 2.0), order=4, note="of x + iy")
    yield Case("angle", lambda x, y: np.angle(x + 1j * y, deg=True), ((2, 3), (3,)), (0.4, 2.0), note="in degrees")
    yield Case("real", lambda x, y: ((x + 1j * y) ** 2).real, ((2,), (2,)), note="property")
    yield Case("imag", lambda x, y: ((x + 1j * y) ** 2).imag, ((2,), (2,)), note="property")
    yield Case("conjugate", lambda x: (x * 1j).conj() * x, ((2, 3),), complex=True, note="method")
    yield Case("real_if_close", lambda x: np.real_if_close(x * (1 + 1e-17j)), ((3,),), note="which is")
    yield Case("real_if_close", lambda x: np.real_if_close(x * (1 + 1e-9j), tol=1e9), ((3,),), note="tol")


def _both(z):
    return z.real + z.imag


def _wider_domains():
    """np.emath: real where all entries are in the domain of the real function, else complex."""
    for name in ("sqrt", "log", "log2", "log10"):
        f = getattr(np.emath, name)
        yield Case(f"emath.{name}", f, ((2, 3),), (0.4, 2.0), complex=True)
        yield Case(f"emath.{name}", f, ((2, 3),), (-2.0, -0.4), note="below 0")
        yield Case(f"emath.{name}", f, (np.array([-1.5, 0.7, -0.3]),), note="on both sides")
    for name in ("arccos", "arcsin", "arctanh"):
        f = getattr(np.emath, name)
        yield Case(f"emath.{name}", f, ((2, 3),), (-0.8, 0.8), complex=True)
        yield Case(f"emath.{name}", f, (np.array([-1.5, 0.7, 2.3]),), note="outside too")
    for name, along in (("arcsin", 1), ("arccos", 1), ("arccosh", 1), ("arcsinh", 1j)):
        f = getattr(np, name)
        for cut in (2.3, -2.3):  # on either side of a branch cut, which signs of zero tell apart
            for side in (0.0, -0.0):
                yield Case(name, lambda x, f=f, a=along, s=side: _both(f(a * (x + 1j * s))),
                           (np.array([cut]),), note=f"on a cut, {side}")  # fmt: skip
    yield Case("emath.logn", lambda x: np.emath.logn(3, x), ((3,),), (-2.0, -0.4))
    yield Case("emath.logn", lambda n, x: np.emath.logn(n, x), ((), (3,)), (0.4, 0.9), note="in the base")
    yield Case("emath.power", lambda x: np.emath.power(x, 0.5), ((3,),), (-2.0, -0.4))
    yield Case("emath.power", lambda x, p: np.emath.power(x, p), ((3,), (3,)), (0.4, 2.0), note="in the power")
    yield Case("emath.power", lambda x: np.emath.power(x, -2), ((3,),), (0.4, 2.0), note="a negative number")
    yield Case("emath.power", lambda p: np.emath.power([-2.0, 3.0], p), ((2,),), note="of constants")


CASES = [*_parts(), *_wider_domains()]
