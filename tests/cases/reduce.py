"""Rows for reductions: their masks, initial values and dtypes, order statistics, NaN left out, ufunc methods."""

import itertools

import numpy as np

from tinygrad_nn import Tensor
from tinygrad_nn.primitive import OVERRIDES, REGISTRY

from .case import Case

MASK = np.array([[[True, False, True, True], [False, True, True, True]]] * 3)
ROW = np.array([True, False, True, True])
ZEROS = np.array([[1.5, 0.0, -0.7, 2.0], [0.0, 0.6, 0.0, -1.2], [0.3, -0.8, 1.1, 0.9]])
HOLES = np.array([[1.5, np.nan, -0.7, 2.0], [np.nan, 0.6, np.nan, -1.2], [0.3, -0.8, 1.1, 0.9]])
TIES = np.array([[1.0, 2.0, 2.0], [0.5, 0.5, 0.5]])
WEIGHTS = np.array([0.5, 1.5, 0.0, 2.0])
STEPS = (np.heaviside, np.floor_divide)  # their slopes are 0
QS = np.array([0.16, 0.47, 0.81])
AXES = {
    "": {}, "axis 0": {"axis": 0}, "axis -1 kept": {"axis": -1, "keepdims": True}, "two axes": {"axis": (2, 0)},
    "all kept": {"keepdims": True},
}  # fmt: skip
METHODS = (
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
)  # fmt: skip


def _options(name, *shapes, **more):
    """One row per form of a call with options; `more` are those of a Case."""

    def rows(forms):
        f = getattr(np, name)
        for note, options in forms.items():
            yield Case(name, lambda x, o=options: f(x, **o), shapes, note=note, **more)

    return rows


def _masked():
    where = {"mask": {"where": MASK}, "mask of rows": {"where": ROW, "axis": -1}, "mask kept": {
        "where": MASK, "axis": (0, -1), "keepdims": True}, "all of it": {"where": True}}  # fmt: skip
    for name in ("sum", "prod", "mean"):
        yield from _options(name, (3, 2, 4), analytic=True, complex=True)(where)
    yield from _options("var", (3, 2, 4), complex=True)(where)
    yield from _options("std", (3, 2, 4), complex=True)(where)
    for name in ("sum", "prod"):
        yield from _options(name, (3, 4), analytic=True)({
            "initial": {"initial": 2.5}, "initial, mask": {"initial": -1.5, "where": ROW, "axis": 1},
        })  # fmt: skip
    for name, at in (("max", -9.0), ("min", 9.0)):
        yield from _options(name, (3, 4), distinct=True)({
            "initial": {"initial": at}, "initial, mask": {"initial": at, "where": ROW, "axis": 1},
            "initial wins somewhere": {"initial": 0.0, "axis": 1},
        })  # fmt: skip
    for name in ("sum", "prod", "max", "min", "nansum", "nanprod", "nanmax", "nanmin"):
        f, more = getattr(np, name), {"distinct": True, "analytic": name[-3:] not in ("max", "min")}
        yield Case(name, lambda x, i, f=f: f(x, axis=1, initial=i), ((3, 4), ()), note="Tensor as initial", **more)
        yield Case(
            name, lambda x, i, f=f: f(x, axis=2, initial=i, keepdims=True, where=MASK), ((3, 2, 4), ()),
            note="Tensor as initial, mask", **more,
        )  # fmt: skip
    for name in ("sum", "prod", "mean", "max", "min", "var", "std"):
        at = {"max": {"initial": -9.0}, "min": {"initial": 9.0}}.get(name, {})
        for f in (getattr(np, name), getattr(np, f"nan{name}")):
            yield Case(
                f.__name__,
                lambda x, f=f, at=at: f(x, axis=1, where=Tensor(ROW) if isinstance(x, Tensor) else ROW, **at),
                ((3, 4),), distinct=True, note="Tensor as mask",
            )  # fmt: skip
    for ufunc in (np.add, np.multiply, np.maximum, np.minimum, np.logaddexp, np.hypot):
        yield Case(
            f"{ufunc.__name__}.reduce",
            lambda x, u=ufunc: u.reduce(x, 1, initial=0.3, where=Tensor(ROW) if isinstance(x, Tensor) else ROW),
            ((3, 4),), distinct=True, note="Tensor as mask",
        )  # fmt: skip
        yield Case(
            f"{ufunc.__name__}.reduce", lambda x, i, u=ufunc: u.reduce(x, 1, initial=i), ((3, 4), ()), distinct=True,
            note="Tensor as initial",
        )  # fmt: skip
    for name in ("sum", "prod", "mean", "var", "std"):
        yield from _options(name, (3, 4))({"dtype": {"dtype": np.float64, "axis": 0}})
    yield Case("sum", lambda x: np.sum(x, 0, np.float64), ((3, 4),), note="dtype by position")


def _products_and_deviations():
    yield from _options("prod", (3, 2, 4), analytic=True, complex=True)(AXES)
    yield from _options("prod", (3, 4), analytic=True)({"no axis at all": {"axis": ()}})
    yield Case("prod", lambda x: np.prod(x), ((),), order=1, note="of one number")
    yield Case("prod", lambda x: x.prod(), ((0,),), note="of nothing")
    yield Case("prod", lambda x: x.prod(axis=-1), (ZEROS,), note="one zero, two zeros")
    yield Case("prod", lambda x: np.prod(x) + np.sum(x * x), (np.array([0.0, 0.0, 1.5]),), note="two zeros")
    yield Case("prod", lambda x: np.sum(np.prod(x, axis=(0, 2), keepdims=True) * x), (ZEROS.reshape(2, 3, 2),),
               note="zeros, axes")  # fmt: skip
    yield from _options("std", (3, 2, 4), complex=True)(AXES)
    yield Case("std", lambda x: x.std(0, ddof=1), ((4, 2),), note="method")
    for name in ("var", "std"):
        f = getattr(np, name)
        yield Case(name, lambda x, f=f: f(x, axis=1, correction=1), ((3, 4),), note="correction")
        yield Case(name, lambda x, m, f=f: f(x, axis=1, ddof=1, mean=m), ((3, 4), (3, 1)), complex=True, note="mean")
        yield Case(
            name, lambda x, f=f: f(x, axis=1, where=ROW, mean=np.mean(x, axis=1, keepdims=True)), ((3, 4),),
            note="mean of itself, mask",
        )  # fmt: skip
        yield Case(name, lambda x, name=name: getattr(x, name)(axis=0, keepdims=True), ((3, 4),), note="method")
        yield Case(name, lambda x, f=f: f(x, axis=0, ddof=1), ((2, 3),), note="one degree of freedom")
        yield Case(name, lambda x, f=f: f(x, axis=0, ddof=1.5), ((2, 3),), note="half a degree of freedom")
    yield from _options("var", (3, 4), complex=True)({"complex": {"axis": 1, "ddof": 1}})
    yield from _options("ptp", (3, 2, 4), distinct=True)(AXES)
    yield Case("max", lambda x: x.max(axis=-1), ((2, 3),), distinct=True, note="method")


def _averages():
    yield from _options("average", (3, 2, 4), analytic=True)(AXES)
    positive = (0.5, 2.0)
    for shape, axis in (((4,), 1), ((3, 4), None), ((3, 4), 0), ((3, 4), (1, 0)), ((4, 3), (1, 0))):
        yield Case(
            "average", lambda x, w, a=axis: np.average(x, axis=a, weights=w), ((3, 4), shape), positive,
            analytic=True, complex=True, note=f"weights, axis {axis}",
        )  # fmt: skip
    yield Case("average", lambda x: np.average(x, axis=1, weights=WEIGHTS), ((3, 4),), note="constant weights")
    yield Case("average", lambda w: np.average(ZEROS, axis=1, weights=w), ((4,),), positive, note="constant data")
    yield Case(
        "average", lambda x, w: np.average(x, axis=1, weights=w, returned=True, keepdims=True), ((3, 4), (4,)),
        positive, note="returned",
    )  # fmt: skip


def _quantiles():
    for method in METHODS:
        continuous = method in ("interpolated_inverted_cdf", "hazen", "weibull", "linear", "median_unbiased",
                                "normal_unbiased")  # fmt: skip
        yield Case(
            "quantile", lambda x, m=method: np.quantile(x, QS.astype(x.dtype), axis=0, method=m), ((7, 2),),
            distinct=True, note=method,
        )  # fmt: skip
        yield Case(
            "quantile", lambda x, q, m=method: np.quantile(x, q, axis=0, method=m), ((7, 2), QS), distinct=True,
            differentiable=(True, continuous), note=f"{method}, in q",
        )  # fmt: skip
        yield Case("quantile", lambda x, m=method: np.quantile(x, (0, 1), method=m), ((5,),), distinct=True,
                   note=f"{method}, ends")  # fmt: skip
    for name, scale in (("quantile", 1), ("percentile", 100), ("nanquantile", 1), ("nanpercentile", 100)):
        f = getattr(np, name)
        for note, options in AXES.items():
            yield Case(
                name, lambda x, f=f, s=scale, o=options: f(x, 0.3 * s, **o), ((3, 2, 4),), distinct=True, note=note
            )
        yield Case(
            name, lambda x, f=f, s=scale: f(x, np.array([[0.2, 0.9]], x.dtype) * s, axis=-1, keepdims=True),
            ((3, 4),), distinct=True, note="q of two axes",
        )  # fmt: skip
        yield Case(
            name, lambda x, f=f, s=scale: f(
                x, [0.4 * s, 0], axis=1, method="inverted_cdf", weights=np.tile(WEIGHTS, (3, 1))),
            ((3, 4),), distinct=True, note="weights",
        )  # fmt: skip
    yield Case("quantile", lambda x: np.quantile(x, 0.4, axis=(1, 0), method="inverted_cdf", weights=np.ones((4, 3))),
               ((3, 4),), distinct=True, note="weights of axes")  # fmt: skip
    for name in ("median", "nanmedian"):
        yield from _options(name, (3, 2, 4), distinct=True)(AXES)
        yield from _options(name, (5, 2), distinct=True)({"odd": {"axis": 0}})
        yield from _options(name, (), distinct=True)({"of one number": {}})
    for call in (lambda x: np.median(x, axis=1), lambda x: np.quantile(x, [0.3, 0.6], axis=1)):
        yield Case("median", call, (HOLES[2:],), note="no holes")


def _with_holes():
    forms = {"": {}, "axis 0": {"axis": 0}, "axis 1 kept": {"axis": 1, "keepdims": True}}
    for name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "nanmedian"):
        f = getattr(np, name)
        for note, options in forms.items():
            yield Case(name, lambda x, f=f, o=options: f(_holed(x), **o), ((3, 4),), distinct=True,
                       note=f"holes {note}")  # fmt: skip
        if name != "nanmedian":
            more = {"initial": 0.1} if name in ("nanmax", "nanmin") else {}
            yield Case(
                name, lambda x, f=f, m=more: f(_holed(x), axis=1, where=ROW, **m), ((3, 4),), distinct=True,
                note="holes, mask",
            )  # fmt: skip
    for name in ("nansum", "nanprod"):
        yield from _options(name, (3, 4), analytic=True, complex=True)({"initial": {"initial": 2.0, "axis": 1}})
    for name in ("nanvar", "nanstd"):
        f = getattr(np, name)
        yield Case(
            name, lambda x, f=f: f(_holed(x), axis=1, ddof=0.5, mean=np.nanmean(_holed(x), axis=1, keepdims=True)),
            ((3, 4),), note="mean",
        )  # fmt: skip
    for method in METHODS:
        yield Case(
            "nanquantile", lambda x, m=method: np.nanquantile(_holed(x), QS.astype(x.dtype), axis=1, method=m),
            ((3, 4),), distinct=True, note=f"holes {method}",
        )  # fmt: skip
        yield Case(
            "nanpercentile", lambda x, m=method: np.nanpercentile(_holed(x), 40, axis=(0, 1), method=m), ((3, 4),),
            distinct=True, note=f"holes {method}",
        )  # fmt: skip


def _holed(x):
    return np.where(np.isnan(HOLES), np.nan, x)


def _ufunc_methods():
    for f in (np.add, np.multiply):
        yield Case(f"{f.__name__}.reduce", lambda x, f=f: f.reduce(x, axis=(0, 2)), ((3, 2, 4),), analytic=True)
        yield Case(
            f"{f.__name__}.reduce", lambda x, f=f: f.reduce(x, axis=1, keepdims=True, initial=2.0, where=ROW),
            ((3, 4),), analytic=True, note="all options",
        )  # fmt: skip
        yield Case(f"{f.__name__}.reduce", lambda x, f=f: f.reduce(x, dtype=np.float64), ((3, 4),), note="dtype")
    for f in (np.maximum, np.minimum, np.logaddexp):
        for note, options in {
            "": {}, "axis None kept": {"axis": None, "keepdims": True},
            "all options": {"axis": 1, "initial": 0.3, "where": ROW},
        }.items():  # fmt: skip
            yield Case(f"{f.__name__}.reduce", lambda x, f=f, o=options: f.reduce(x, **o), ((3, 4),), distinct=True,
                       note=note)  # fmt: skip
    for f in (np.add, np.multiply, np.maximum, np.minimum, np.logaddexp):
        yield Case(f"{f.__name__}.accumulate", lambda x, f=f: f.accumulate(x), ((4, 3),), distinct=True)
        yield Case(f"{f.__name__}.accumulate", lambda x, f=f: f.accumulate(x, axis=-1), ((2, 5),), distinct=True)
    for f in (np.subtract, np.divide, np.power, np.hypot, np.arctan2, np.logaddexp2, np.fmax):
        name, positive = f.__name__, (0.5, 2.0)
        for axis in (0,) if f in (np.power, np.arctan2) else (0, -1):  # along the last NumPy folds some wrongly
            yield Case(f"{name}.reduce", lambda x, f=f, a=axis: f.reduce(x, axis=a), ((4, 3),), positive,
                       distinct=True)  # fmt: skip
            yield Case(f"{name}.accumulate", lambda x, f=f, a=axis: f.accumulate(x, axis=a), ((4, 3),), positive,
                       distinct=True)  # fmt: skip
    for f in (np.add, np.multiply, np.maximum, np.logaddexp, np.subtract, np.fmin):
        name, smooth = f"{f.__name__}.reduceat", f not in (np.maximum, np.fmin)
        for note, call in {
            "": lambda x, f=f: f.reduceat(x, [0, 2, 3]), "back": lambda x, f=f: f.reduceat(x, (3, 1, 1, 4, 0)),
            "axis": lambda x, f=f: f.reduceat(x, np.array([1, 3]), axis=-1),
            "dtype": lambda x, f=f: f.reduceat(x, [0, 4], dtype=np.float64),
        }.items():  # fmt: skip
            yield Case(name, call, ((5, 4),), distinct=not smooth, note=note)
    yield Case("add.reduceat", lambda x: np.add.reduceat(x, np.zeros(0, int)), ((3,),), order=0, note="of no part")
    yield Case("hypot.reduceat", lambda x: np.hypot.reduceat(x, [0, 1, 2]), ((4,),), (-2.0, -0.5), note="negative")
    yield Case("segment_sums", lambda x: np.add.reduceat(x, [1, 0]), ((3,),), complex=True)
    yield Case("subtract.reduce", lambda x: np.subtract.reduce(x, axis=1, keepdims=True, initial=3.0), ((3, 4),))
    yield Case("hypot.reduce", lambda x: np.hypot.reduce(x, axis=1), ((3, 0),), note="of nothing")
    for f in (np.add, np.multiply, np.subtract, np.divide, np.maximum, np.logaddexp):
        for shapes in (((3,), (2, 4)), ((), (3,)), ((2,), ())):
            yield Case(f"{f.__name__}.outer", lambda x, y, f=f: f.outer(x, y), shapes, (0.5, 2.0), distinct=True)
    yield Case("multiply.outer", lambda x: np.multiply.outer(x, [1.0, 2.0]), ((3,),), note="with a list")


def _every_ufunc_method():
    """What has no row above: every method of every ufunc of two arguments that has one on Tensors."""
    for f, method in [key for key in OVERRIDES if isinstance(key, tuple)]:
        name = f.__name__
        if method == "outer":
            call = (lambda x: np.ldexp.outer(x, [1, 2, -1])) if f is np.ldexp else (lambda x, y, f=f: f.outer(x, y))
            shapes = ((3,),) if f is np.ldexp else ((3,), (2, 4))
            seen = (True, f not in (np.copysign, np.nextafter))[: len(shapes)]
            yield Case(f"{name}.outer", call, shapes, (0.5, 2.0), distinct=True, differentiable=seen, note="every",
                       order=0 if f in STEPS else 2)  # fmt: skip
            continue
        call = {"reduce": lambda x, f=f: f.reduce(x, axis=0), "accumulate": lambda x, f=f: f.accumulate(x, axis=0),
                "reduceat": lambda x, f=f: f.reduceat(x, [0, 1])}  # fmt: skip
        yield Case(f"{name}.{method}", call[method], ((3, 2),), (0.5, 2.0), distinct=True, note="every",
                   order=0 if f in STEPS and method == "reduce" else 2)  # fmt: skip
    for f in (np.fmax, np.fmin, np.hypot, np.logaddexp2):
        yield Case(f"{f.__name__}.reduce", lambda x, f=f: f.reduce(x, axis=(0, 2), keepdims=True), ((3, 2, 4),),
                   (0.5, 2.0), distinct=True, note="two axes")  # fmt: skip
    for f in (np.subtract, np.hypot, np.fmax):
        yield Case(f"{f.__name__}.reduce", lambda x, f=f: f.reduce(x, axis=1, initial=0.7, where=ROW), ((3, 4),),
                   (0.5, 2.0), distinct=True, note="where")  # fmt: skip
    yield Case("hypot.reduce", lambda x: np.hypot.reduce(x, axis=1), (np.array([[-1.5]]),), note="negative")
    yield Case("logaddexp.reduce", lambda x: np.logaddexp.reduce(x, axis=1), ((3, 0),), note="of nothing")
    yield Case("maximum.reduce", lambda x: np.maximum.reduce(x, dtype=np.float64), ((3, 4),), distinct=True,
               note="dtype")  # fmt: skip


CASES = list(itertools.chain(
    _masked(), _products_and_deviations(), _averages(), _quantiles(), _with_holes(), _ufunc_methods(),
    _every_ufunc_method(),
    [
        Case("var_about", lambda x, m: REGISTRY["var_about"](x, m, axis=0), ((3, 4), (1, 4)),
             reference=lambda x, m: np.mean((x - m) ** 2, axis=0)),
    ],
))  # fmt: skip
