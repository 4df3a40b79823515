"""Rows for elementwise functions: every smooth one to order 4, every form of the others.

Broadcasting, numbers in place of arrays and the method of each are tried on every elementwise primitive without a row.
"""

import numpy as np

from .case import Case

ANY, POSITIVE, BELOW_ONE, ABOVE_ONE, UNIT = (-1.5, 1.5), (0.4, 2.0), (-0.7, 0.7), (1.3, 3.0), (0.1, 0.9)
MASK = np.array([[True, False, True], [False, False, True]])
SMOOTH = {  # of one argument, whether NumPy takes complex ones too
    "exp": (ANY, True), "exp2": (ANY, True), "expm1": (ANY, True),
    "log": (POSITIVE, True), "log2": (POSITIVE, True), "log10": (POSITIVE, True), "log1p": (POSITIVE, True),
    "sqrt": (POSITIVE, True), "cbrt": (POSITIVE, False), "square": (ANY, True), "reciprocal": (POSITIVE, True),
    "negative": (ANY, True), "positive": (ANY, True),
    "sin": (ANY, True), "cos": (ANY, True), "tan": ((-1.0, 1.0), True),
    "arcsin": (BELOW_ONE, True), "arccos": (BELOW_ONE, True), "arctan": (ANY, True),
    "sinh": (ANY, True), "cosh": (ANY, True), "tanh": (ANY, True),
    "arcsinh": (ANY, True), "arccosh": (ABOVE_ONE, True), "arctanh": (BELOW_ONE, True),
    "deg2rad": (ANY, False), "radians": (ANY, False), "rad2deg": (ANY, False), "degrees": (ANY, False),
}  # fmt: skip
LINEAR = {"negative", "positive", "deg2rad", "radians", "rad2deg", "degrees"}
SMOOTH_OF_TWO = {"hypot": (0.5, 2.0), "arctan2": (0.5, 2.0), "logaddexp": (-3.0, 3.0), "logaddexp2": (-3.0, 3.0)}
PAIRS = [((2, 3), (2, 3)), ((2, 1), (3,)), ((), (2, 2))]
KINKED_OF_TWO = ("maximum", "minimum", "fmax", "fmin")
STEPS = ("floor", "ceil", "trunc", "rint", "round", "around", "fix", "sign")
KNOTS, VALUES = np.array([-1.5, -0.7, 0.1, 0.9, 1.8]), np.array([0.3, -1.0, 2.0, 1.1, 0.4])


def _smooth():
    for name, (domain, takes_complex) in SMOOTH.items():
        yield Case(
            name, getattr(np, name), ((2, 2),), domain, order=1 if name in LINEAR else 2 if name == "square" else 4,
            complex=takes_complex, analytic=takes_complex,
        )  # fmt: skip
        yield Case(name, getattr(np, name), ((),), domain, note="0-d")
        yield Case(name, getattr(np, name), ((0, 2),), domain, note="empty")
    for name, domain in SMOOTH_OF_TWO.items():
        for shapes in PAIRS:
            yield Case(name, getattr(np, name), shapes, domain, order=4 if shapes == PAIRS[0] else 2)
    yield Case("power", lambda x, y: np.power(x, y), ((2, 2), (2,)), POSITIVE, order=4, complex=True, note="order 4")
    yield Case("power", lambda x: x**4, ((3,),), ANY, order=4, complex=True, note="polynomial")
    yield Case("power", lambda x: np.power(x, 3), ((3,),), ANY, order=3, note="of np.power")
    yield Case("power", lambda x: x ** np.array([0, 1, 2, -3]), ((4,),), POSITIVE, note="to integers")
    yield Case("float_power", np.float_power, ((2, 2), (2,)), POSITIVE, order=4, complex=True)
    yield Case("float_power", lambda x: np.float_power(x, 3), ((3,),), ANY, note="to a number")
    yield Case("divide", lambda x, y: np.divide(x, y), ((2, 2), (2, 2)), POSITIVE, order=4, complex=True)
    yield Case("multiply", lambda x, y: np.multiply(x, y) * x, ((2, 2), (2,)), ANY, order=3, complex=True)
    exponents = np.array([[1], [-2]])
    yield Case("ldexp", lambda x: np.ldexp(x * x, exponents), ((2, 3),), ANY)
    yield Case("exp", lambda x: np.exp(x, dtype=np.float64), ((3,),), ANY, note="dtype=")
    yield Case("add", lambda x, y: np.add(x, y, dtype="f4", casting="same_kind"), ((3,), (2, 1)), order=0,
               differentiable=(False, False), note="dtype= of single precision")  # fmt: skip


def _kinked():
    for name in KINKED_OF_TWO:
        for shapes in [((2, 3), (2, 3)), (np.array([[-1.95], [1.95]]), (3,)), (np.array(0.3), (2, 3))]:
            yield Case(name, getattr(np, name), shapes, distinct=True)
    for name in ("absolute", "fabs"):
        yield Case(name, getattr(np, name), ((2, 3),), distinct=True)
    signs = np.array([[1.0], [-1.0]])
    yield Case("copysign", lambda x: np.copysign(x, signs.astype(x.dtype)), ((2, 3),), distinct=True)
    for name in STEPS:
        yield Case(name, getattr(np, name), ((2, 3),), order=0, distinct=True)
    yield Case("round", lambda x: np.round(x, 1), ((2, 3),), order=0, note="decimals")
    yield Case("round", lambda x: x.round(decimals=1), ((2, 3),), order=0, note="method")
    yield Case("floor_divide", lambda x, y: x // y, ((2, 3), (3,)), (0.5, 2.0), order=0)
    for name in ("remainder", "fmod"):
        function = getattr(np, name)
        for note, of_x, of_y in [("", (6.2, 6.8), (2.3, 3.0)), ("below 0", (-6.8, -6.2), (2.3, 3.0))]:
            yield Case(name, function, ((2, 3), (3,)), (of_x, of_y), note=note)
        yield Case(name, function, ((2, 3), (3,)), ((6.2, 6.8), (-3.0, -2.3)), note="other signs")
    yield Case("remainder", lambda x: 7.3 % x, ((3,),), (2.6, 3.4), note="reflected")
    yield Case("divmod", lambda x, y: divmod(x, y), ((2, 3), (3,)), ((6.2, 6.8), (2.3, 3.0)))
    yield Case("divmod", lambda x: np.divmod(7.3, x), ((3,),), (2.6, 3.4), note="of a number")
    yield Case("modf", lambda x: np.modf(x), ((2, 3),), (1.1, 1.9))
    yield Case("modf", lambda x: np.modf(x), ((2, 3),), (-1.9, -1.1), note="below 0")
    yield Case("frexp", lambda x: np.frexp(x), ((2, 3),), (1.1, 1.9))
    yield Case("frexp", lambda x: np.frexp(x)[0], ((3,),), (-7.9, -4.1), note="below -4")
    yield Case("mantissa", lambda x: np.frexp(x)[0], ((3,),), (0.26, 0.49))
    yield Case("exponent", lambda x: np.frexp(x)[1], ((3,),), order=0)
    yield Case("nextafter", lambda x, y: np.nextafter(x, y), ((2, 3), (3,)), differentiable=(True, False))
    yield Case("nextafter", lambda x: np.nextafter(x, np.inf), ((3,),), note="up")
    at_jump = np.array([[-1.0, 0.0, 2.0]] * 2)
    yield Case("heaviside", lambda y: np.heaviside(at_jump.astype(y.dtype), y), ((2, 3),))
    yield Case("heaviside", lambda x: np.heaviside(x, 0.5), ((2, 3),), order=0, distinct=True, note="slope in x")
    bad = np.array([[np.nan, 1.0, np.inf], [2.0, -np.inf, -3.0]])
    spoilt = lambda x: np.where(bad > -9, x, bad.astype(x.dtype))
    yield Case("nan_to_num", lambda x: np.nan_to_num(spoilt(x), nan=1.5, posinf=3.0, neginf=-2.0), ((2, 3),))
    yield Case("nan_to_num", np.nan_to_num, ((2, 3),), complex=True, note="nothing to replace")
    yield Case("unwrap", lambda x: np.unwrap(x, axis=0), ((5, 2),), (-9.0, 9.0))
    yield Case("unwrap", lambda x: np.unwrap(x, 3.0, period=5.0), ((2, 5),), (-9.0, 9.0), note="period")


def _choices():
    yield Case("where", lambda x: np.where(x > 0), ((2, 3),), order=0, distinct=True, note="of a condition alone")
    yield Case("where", lambda x, y: np.where(MASK, x, y), ((), (3,)), note="broadcast")
    for note, call in {
        "min= and max=": lambda x, a, b: np.clip(x, min=a, max=b), "arrays": lambda x, a, b: np.clip(x, a, b),
        "method": lambda x, a, b: x.clip(a, b),
    }.items():  # fmt: skip
        yield Case("clip", call, ((2, 3), (3,), (2, 1)), ((-2, 2), (-0.9, -0.3), (0.3, 0.9)), distinct=True, note=note)
    yield Case("clip", lambda x, a, b: np.clip(x, a, b), ((3,), (), ()), ((-2, 2), (0.5, 0.9), (-0.9, -0.5)),
               distinct=True, note="crossed bounds", differentiable=(False, False, True))  # fmt: skip
    yield Case("clip", lambda x, a: np.clip(x, a, None), ((2, 3), (3,)), distinct=True, note="one array")
    yield Case("clip", lambda x, b: x.clip(max=b), ((2, 3), ()), distinct=True, note="max= alone")
    yield Case(
        "select", lambda x, y, z: np.select([x > 1, MASK & (x > 0), x < -1], [x * y, y, 2.0 * x], default=z),
        ((2, 3), (3,), ()), distinct=True,
    )  # fmt: skip
    yield Case("select", lambda x: np.select([x > 0], [x]), ((2, 3),), distinct=True, note="default 0")
    yield Case(
        "piecewise", lambda x: np.piecewise(x, [x < -0.5, x >= 0.5], [lambda t: -t, np.sqrt, 0.25]), ((2, 3),),
        distinct=True,
    )  # fmt: skip
    yield Case(
        "piecewise", lambda x, c: np.piecewise(x, x > 0, [lambda t, k: t**k, lambda t, k: c * t], 3), ((5,), ()),
        distinct=True, note="rest and extra arguments",
    )  # fmt: skip
    yield Case("piecewise", lambda x: np.piecewise(x, [x > 0, x > 5], [np.exp, 2.0]), ((),), POSITIVE, note="0-d")
    knots = ((-2.5, 2.5), (-1.0, 1.0))
    yield Case("interp", lambda x, fp: np.interp(x, KNOTS, fp), ((2, 4), (5,)), knots, distinct=True)
    yield Case("interp", lambda x, xp, fp: np.interp(x, xp + np.arange(4), fp), ((7,), (4,), (4,)),
               ((-0.7, 3.7), (-0.3, 0.3), (-1.0, 1.0)), distinct=True, note="knots")  # fmt: skip
    yield Case("interp", lambda x, fp: np.interp(x, KNOTS, fp, period=3.7), ((2, 4), (5,)), knots,
               distinct=True, note="period")  # fmt: skip
    yield Case("interp", lambda fp: np.interp(0.4, KNOTS, fp), ((5,),), note="at a number")
    yield Case("interp", lambda x: np.interp(x, KNOTS, VALUES + 1j), ((4,),), (-1.2, 0.8), distinct=True,
               note="complex")  # fmt: skip


CASES = [*_smooth(), *_kinked(), *_choices()]
