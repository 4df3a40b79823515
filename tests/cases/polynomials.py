"""Rows for polynomials by their coefficients."""

import numpy as np

from .case import Case

POSITIVE = (0.4, 2.0)
SIMPLE = np.poly([-1.5, 0.4, 2.0])  # coefficients of a polynomial with these roots
PAIRS = np.poly([1 + 2j, 1 - 2j, -0.5]).real
TIMES = np.array([-1.0, -0.4, 0.1, 0.7, 1.2])
WEIGHTS = np.array([1.0, 2.0, 0.5, 1.5, 1.0])


def _sums():
    for name in ("polyadd", "polysub"):
        f = getattr(np, name)
        for shapes in (((3,), (3,)), ((2,), (4,)), ((4,), (1,)), ((), (3,))):
            yield Case(name, lambda x, y, f=f: f(x, y), shapes, analytic=True, complex=True)
        yield Case(name, lambda x, f=f: f([1.0, 2.0], x), ((3,),), note="of a list")
        yield Case("poly1d", lambda x, f=f: f(x, np.poly1d([1.0, 2.0])).coeffs, ((3,),), note=name)
    for shapes in (((3,), (2,)), ((1,), (3,)), ((), (3,))):
        yield Case("polymul", lambda x, y: np.polymul(x, y), shapes, analytic=True, complex=True)
    yield Case("polymul", lambda x: np.polymul([0.0, 1.0, 2.0], x), ((3,),), note="a leading zero")
    yield Case("polymul", lambda x: np.polymul([0.0, 0.0], x), ((2,),), order=0, note="with nothing")
    yield Case("poly1d", lambda x, y: (np.poly1d(x) * np.poly1d(x) + np.poly1d(x))(y), ((3,), (2,)), note="object")


def _quotients():
    for shapes in (((5,), (3,)), ((3,), (3,)), ((4,), (1,))):
        yield Case("polydiv", lambda x, y: np.polydiv(x, y)[0], shapes, POSITIVE, analytic=True, complex=True)
    for shapes in (((5,), (3,)), ((3,), (2,))):
        yield Case("polydiv", lambda x, y: np.polydiv(x, y), shapes, POSITIVE, note="with the remainder")
    yield Case("polydiv", lambda x: np.polydiv(x, [1.0, 2.0, 0.5, 3.0])[1], ((2,),), note="of a lower degree")
    yield Case("polydiv", lambda y: np.polydiv([2.0, 1.0, -1.0], y)[0], ((2,),), POSITIVE, note="by it")


def _slopes():
    for m in (0, 1, 2, 3):
        yield Case("polyder", lambda x, m=m: np.polyder(x, m), ((4,),), analytic=True, complex=True, note=f"order {m}")
        yield Case("polyint", lambda x, m=m: np.polyint(x, m), ((3,),), analytic=True, complex=True, note=f"order {m}")
    yield Case("polyint", lambda x, k: np.polyint(x, 2, k), ((3,), (2,)), analytic=True, note="constants")
    yield Case("polyint", lambda x, k: np.polyint(x, 3, k), ((3,), ()), analytic=True, note="one constant for all")
    yield Case("polyint", lambda x: np.polyint(x, k=1.5), ((3,),), note="a number")
    yield Case("polyder", lambda x: np.polyder(x, 2), ((2,),), order=0, note="of a line, twice")


def _zeros():
    yield Case("roots", lambda p: np.roots(p), (SIMPLE,))
    yield Case("roots", lambda p: np.roots(p), (PAIRS,), note="in pairs")
    yield Case("roots", lambda p: np.sort(np.roots(p)), (np.append(SIMPLE, 0.0)[1:],), order=1, note="as they sort")
    yield Case("roots", lambda p: np.roots(p), (np.array([2.0, -3.0]),), note="of a line")
    yield Case("poly", lambda x: np.poly(x), ((3,),), analytic=True)
    yield Case("poly", lambda x: np.poly(x), ((1,),), note="of one root")
    yield Case("poly", lambda x: np.poly(x), ((3, 3),), note="of a matrix")
    yield Case("poly", lambda x: np.poly(x), (np.array([[0.5, 2.0], [-1.5, 0.1]]),), note="of a matrix that turns")


def _fits():
    yield Case("polyfit", lambda x, y: np.polyfit(x, y, 2), (TIMES, (5,)))
    yield Case("polyfit", lambda x, y: np.polyfit(x, y, 0), (TIMES, (5,)), note="a constant",
               differentiable=(False, True))  # fmt: skip
    yield Case("polyfit", lambda x, y: np.polyfit(x, y, 1), (TIMES, (5, 2)), note="two curves")
    yield Case("polyfit", lambda x, y, w: np.polyfit(x, y, 1, w=w), (TIMES, (5,), WEIGHTS), note="weights")
    yield Case("polyfit", lambda x, y, w: np.polyfit(x, y, 1, w=w), (TIMES, (5, 2), WEIGHTS), note="weights of two")
    yield Case("polyfit", lambda y: np.polyfit(TIMES.astype(y.dtype), y, 2, rcond=1e-6), ((5,),), note="rcond")
    for cov in (True, "unscaled"):
        yield Case("polyfit", lambda x, y, c=cov: np.polyfit(x, y, 1, cov=c), (TIMES, (5,)), note=f"cov {cov}")
    yield Case("polyfit", lambda y: np.polyfit(TIMES.astype(y.dtype), y, 1, cov=True), ((5, 2),), note="cov, two")
    yield Case("polyfit", lambda x, y: np.polyfit(x, y, 2, full=True)[:2], (TIMES, (5,)), note="full")


CASES = [*_sums(), *_quotients(), *_slopes(), *_zeros(), *_fits()]
