"""Rows for sequences: running sums and products, differences, order, convolution, polynomials, windows."""

import numpy as np

from tinygrad_nn.primitive import REGISTRY

from .case import Case

ZEROS = np.array([[1.5, 0.0, -0.7, 2.0], [0.0, 0.6, 0.0, -1.2], [0.3, -0.8, 1.1, 0.9]])
COORDINATES = np.array([0.0, 0.5, 1.7, 2.0, 3.5])
windows = np.lib.stride_tricks.sliding_window_view


def _running():
    for name in ("cumsum", "cumprod"):
        f = getattr(np, name)
        for axis in (None, 0, -1, 1):
            yield Case(name, lambda x, f=f, a=axis: f(x, axis=a), ((3, 2, 4),), analytic=True, complex=True,
                       note=f"axis {axis}")  # fmt: skip
        yield Case(name, lambda x, f=f: f(x, 0, np.float64), ((3, 4),), note="dtype")
        yield Case(name, lambda x, f=f: f(x), ((),), order=1, note="of one number")
        yield Case(name, lambda x, f=f: f(x, axis=1), ((3, 0),), note="of nothing")
        yield Case(name, lambda x, n=name: getattr(x, n)(axis=0), ((9, 2),), note="method")
    yield Case("cumprod", lambda x: np.cumprod(x, axis=1), (ZEROS,), note="one zero, two zeros")
    yield Case("cumprod", lambda x: np.cumprod(x), (np.array([0.0, 0.0, 1.5, 0.0, 2.0]),), note="three zeros")
    holes = np.where(ZEROS == 0, np.nan, 0)
    for name in ("nancumsum", "nancumprod"):
        f = getattr(np, name)
        for axis in (None, 0, -1):
            yield Case(name, lambda x, f=f, a=axis: f(x + holes.astype(x.dtype), axis=a), ((3, 4),),
                       note=f"axis {axis}")  # fmt: skip
        yield Case(name, lambda x, f=f: f(x, dtype=np.float64), ((3,),), note="dtype")
        yield Case(name, lambda x, f=f: f(x), ((),), order=1, note="of one number")
    for name in ("cumulative_sum", "cumulative_prod"):
        f = getattr(np, name)
        for first in (False, True):
            yield Case(name, lambda x, f=f, i=first: f(x, axis=-1, include_initial=i), ((2, 4),), analytic=True,
                       note="with the first" * first)  # fmt: skip
        yield Case(name, lambda x, f=f: f(x, include_initial=True, dtype=np.float64), ((4,),), note="dtype")
    for name, f in (("cummax", np.maximum), ("cummin", np.minimum), ("logcumsumexp", np.logaddexp)):
        for axis in (0, 1, -1):
            yield Case(name, lambda x, n=name, a=axis: REGISTRY[n](x, axis=a), ((3, 6, 2),), distinct=True,
                       reference=lambda x, f=f, a=axis: f.accumulate(x, a), note=f"axis {axis}")  # fmt: skip


def _differences():
    for n in (0, 1, 2, 3, 5):
        yield Case("diff", lambda x, n=n: np.diff(x, n), ((2, 4),), analytic=True, complex=True, note=f"n {n}")
        yield Case("diff", lambda x, n=n: np.diff(x, n=n, axis=0), ((6, 2),), note=f"n {n}, axis 0")
    yield Case("diff", lambda x, y: np.diff(x, 2, prepend=y, append=1.0), ((2, 4), (2, 1)), complex=True, note="ends")
    yield Case("diff", lambda x, y: np.diff(x, axis=0, prepend=0.5, append=y), ((3, 2), (2, 2)), note="ends, axis 0")
    yield Case("diff", lambda y: np.diff(ZEROS, append=y), ((),), note="of a constant")
    yield Case("ediff1d", lambda x: np.ediff1d(x), ((2, 3),), analytic=True, complex=True)
    yield Case("ediff1d", lambda x, y: np.ediff1d(x, to_end=y, to_begin=0.5), ((4,), (2,)), analytic=True)
    for order in (1, 2):
        more = {"edge_order": order}
        for note, call in {
            "": lambda x, m=more: np.gradient(x, **m), "a number": lambda x, m=more: np.gradient(x, 0.3, axis=0, **m),
            "two numbers": lambda x, m=more: np.gradient(x, 0.3, 2.0, axis=(1, 0), **m),
            "coordinates": lambda x, m=more: np.gradient(x, COORDINATES.astype(x.dtype), axis=-1, **m),
            "both": lambda x, m=more: np.gradient(x, 2.0, COORDINATES.astype(x.dtype), **m),
        }.items():  # fmt: skip
            yield Case("gradient", call, ((3, 5),), complex=True, note=f"{note}, edges {order}")
        yield Case("gradient", lambda x, t, m=more: np.gradient(x, np.cumsum(t), axis=0, **m), ((4, 2), (4,)),
                   (0.4, 2.0), note=f"in the coordinates, edges {order}")  # fmt: skip
        yield Case("gradient", lambda x, h, m=more: np.gradient(x, h, **m), ((4,), ()), (0.4, 2.0),
                   note=f"in the step, edges {order}")  # fmt: skip
    yield Case("gradient", lambda x: np.gradient(x), ((2,),), note="of two")
    yield Case("gradient", lambda t: np.gradient(ZEROS, np.cumsum(t), axis=1), ((4,),), (0.4, 2.0), note="constant f")
    for axis in (-1, 0):
        yield Case("trapezoid", lambda y, a=axis: np.trapezoid(y, dx=0.5, axis=a), ((4, 3),), analytic=True,
                   complex=True, note=f"axis {axis}")  # fmt: skip
    yield Case("trapezoid", lambda y, x: np.trapezoid(y, x, axis=0), ((4, 3), (4,)), analytic=True, note="x")
    yield Case("trapezoid", lambda y, x: np.trapezoid(y, x=x, axis=1), ((2, 3), (2, 3)), analytic=True, note="x alike")
    yield Case("trapezoid", lambda x: np.trapezoid(ZEROS, x), ((4,),), note="constant y")


def _order():
    for axis in (-1, 0, None):
        yield Case("sort", lambda x, a=axis: np.sort(x, axis=a), ((3, 4),), distinct=True, complex=True,
                   note=f"axis {axis}")  # fmt: skip
        yield Case("partition", lambda x, a=axis: np.partition(x, 2, axis=a), ((3, 7),), distinct=True,
                   note=f"axis {axis}")  # fmt: skip
    yield Case("sort", lambda x: np.sort(x, kind="mergesort"), ((5,),), distinct=True, note="kind")
    yield Case("sort", lambda x: np.sort(x, axis=0, stable=True), ((5, 2),), distinct=True, note="stable")
    yield Case("partition", lambda x: np.partition(x, (1, -2)), ((6,),), distinct=True, note="two")
    yield Case("sorted", lambda x: REGISTRY["sorted"](x, axis=0), ((4, 2),), distinct=True,
               reference=lambda x: np.sort(x, axis=0))  # fmt: skip
    yield Case("partitioned", lambda x: REGISTRY["partitioned"](x, kth=1, axis=0), ((4, 2),), distinct=True,
               reference=lambda x: np.partition(x, 1, axis=0))  # fmt: skip
    yield Case("ranked", lambda x: REGISTRY["ranked"](x, ranks=(2, 0, 2)), ((2, 4),), distinct=True,
               reference=lambda x: np.sort(x)[..., [2, 0, 2]])  # fmt: skip
    places = np.array([[2, 0, 1], [1, 2, 0]])
    yield Case("rearrange", lambda x: REGISTRY["rearrange"](x, places=places, axis=1), ((2, 3),), complex=True,
               reference=lambda x: np.take_along_axis(x, places, 1))  # fmt: skip


def _convolution():
    for name in ("convolve", "correlate"):
        f = getattr(np, name)
        for mode in ("full", "same", "valid"):
            for n, m in ((5, 3), (3, 5), (6, 4), (4, 6), (5, 2), (2, 5), (4, 4), (1, 3), (3, 1)):
                yield Case(name, lambda x, y, f=f, mode=mode: f(x, y, mode), ((n,), (m,)), complex=True,
                           analytic=name == "convolve", note=mode)  # fmt: skip
        yield Case(name, lambda x, f=f: f(x, [1.0, -2.0, 0.5]), ((5,),), note="with a list")
        yield Case(name, lambda x, f=f: f(COORDINATES, x), ((3,),), note="of a constant")
    yield Case("convolve", lambda x, y: np.convolve(x, y), ((), (3,)), note="0-d")
    yield Case("convolve", lambda x: np.convolve(x, 2.0), ((3,),), note="with a number")


def _polynomials():
    yield Case("polyval", lambda p, x: np.polyval(p, x), ((1,), (3,)), differentiable=(True, False), note="constant")
    for p, x in (((4,), (3,)), ((3,), ()), ((2,), (2, 3))):
        yield Case("polyval", lambda p, x: np.polyval(p, x), (p, x), analytic=True, complex=True)
    yield Case("polyval", lambda x: np.polyval([1.0, -2.0, 3.0], x), ((3,),), note="constant coefficients")
    yield Case("polyval", lambda p: np.polyval(p, 1.5), ((3,),), note="at a number")
    for increasing in (False, True):
        for columns in (None, 0, 1, 2, 5):
            yield Case("vander", lambda x, n=columns, i=increasing: np.vander(x, n, i), ((3,),), analytic=True,
                       complex=True, order=0 if columns in (0, 1) else 2,
                       note=f"{columns} columns" + ", increasing" * increasing)  # fmt: skip


def _windows():
    yield Case("sliding_window_view", lambda x: windows(x, 3), ((5,),), analytic=True, complex=True)
    for note, call in {
        "along an axis": lambda x: windows(x, 3, axis=0), "long": lambda x: windows(x, 6, axis=-1),
        "of two axes": lambda x: windows(x, (2, 3)), "of one axis twice": lambda x: windows(x, (2, 3), axis=(1, 1)),
        "of one entry": lambda x: windows(x, (1,), (1,)), "whole": lambda x: windows(x, x.shape),
    }.items():  # fmt: skip
        yield Case("sliding_window_view", call, ((5, 7),), note=note)
    yield Case("window", lambda x: REGISTRY["window"](x, n=2, axis=1), ((2, 4, 3),),
               reference=lambda x: windows(x, 2, axis=1))  # fmt: skip
    for starts, n in ((3, 4), (4, 2), (1, 3), (3, 1)):
        yield Case(
            "overlap_add", lambda x: REGISTRY["overlap_add"](x, axis=1), ((2, starts, 3, n),), complex=True,
            reference=lambda x: sum(
                np.pad(x[..., j], ((0, 0), (j, x.shape[-1] - 1 - j), (0, 0))) for j in range(x.shape[-1])),
        )  # fmt: skip


CASES = [*_running(), *_differences(), *_order(), *_convolution(), *_polynomials(), *_windows()]
