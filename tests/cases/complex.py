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


CASES = [*_parts()]
