"""Rows for sets of values, for sums of weights in bins, and for the bits of whole numbers."""

import numpy as np

from .case import Case

BINS = np.array([0, 2, 2, 1, 0, 4])
PLACES = np.array([0.0, 0.4, 0.9, 1.0, 0.1, 1.7])
ACROSS = np.array([0.5, 0.5, 0.1, 0.9, 0.0, 0.3])
EDGES = np.array([0.0, 0.2, 0.5, 1.0])
TWICE = np.array([0.3, -1.0, 0.3, 2.0, 0.0, -1.0])
OTHERS = np.array([2.0, 0.3, 5.0])


def _sets():
    for note, call in {
        "": np.unique, "places": lambda x: np.unique(x, return_index=True)[:1],
        "all": lambda x: np.unique(x, True, True, True)[:1], "rows": lambda x: np.unique(x.reshape(3, 2), axis=0),
        "not sorted": lambda x: np.unique(x, sorted=True), "NaN": lambda x: np.unique(x, equal_nan=False),
    }.items():  # fmt: skip
        yield Case("unique", call, ((6,),), distinct=True, note=note)
    for name in ("unique_values", "unique_counts", "unique_inverse", "unique_all"):
        f = getattr(np, name)
        yield Case(name, lambda x, f=f: f(x)[:1] if isinstance(f(x), tuple) else np.sort(f(x)), ((2, 3),),
                   distinct=True)  # fmt: skip
    for name in ("union1d", "intersect1d", "setdiff1d", "setxor1d"):
        f = getattr(np, name)
        yield Case(name, lambda x, f=f: f(np.concatenate([x, OTHERS]), OTHERS[1:]), ((3,),), distinct=True,
                   order=0 if name == "intersect1d" else 2, note="with constants")  # fmt: skip
        yield Case(name, lambda x, y, f=f: f(np.concatenate([x, y[:1]]), y), ((3,), (2,)), distinct=True,
                   differentiable=(name != "intersect1d", name != "setdiff1d"))  # fmt: skip
    for name in ("intersect1d", "setdiff1d", "setxor1d"):
        f = getattr(np, name)
        yield Case(name, lambda x, y, f=f: f(x, np.concatenate([y, x[:2]]), assume_unique=True), ((4,), (2,)),
                   distinct=True, differentiable=(True, name == "setxor1d"), note="known to differ")  # fmt: skip
    yield Case("intersect1d", lambda x: np.intersect1d(x, x[1:], return_indices=True)[:1], ((4,),), distinct=True,
               note="places")  # fmt: skip
    inner = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0]])
    for trim in ("fb", "f", "b", "BF"):
        for note, mask in (("", inner[2]), (" of a matrix", inner)):
            yield Case("trim_zeros", lambda x, t=trim, m=mask: np.trim_zeros(x * m, t), (mask.shape,), (0.4, 2.0),
                       note=f"{trim}{note}")  # fmt: skip
    for axis in (0, -1, (0, 1), ()):
        yield Case("trim_zeros", lambda x, a=axis: np.trim_zeros(x * inner, axis=a), ((3, 4),), (0.4, 2.0),
                   note=f"axis {axis}")  # fmt: skip
    yield Case("trim_zeros", lambda x: np.trim_zeros(x), (np.zeros(3),), order=0, note="of zeros alone")


def _bins():
    for least in (0, 3, 8):
        yield Case("bincount", lambda w, m=least: np.bincount(BINS, w, m), ((6,),), note=f"least {least}")
    yield Case("bincount", lambda w: np.bincount(BINS[:0], w), ((0,),), order=0, note="of nothing")
    for note, options in {
        "": {}, "four": {"bins": 4}, "a range": {"bins": 3, "range": (0.2, 1.0)}, "edges": {"bins": EDGES},
        "density": {"bins": 3, "density": True}, "density of edges": {"bins": EDGES, "density": True},
    }.items():  # fmt: skip
        domain = (0.3, 2.0) if "density" in note else (-2.0, 2.0)
        yield Case("histogram", lambda w, o=options: np.histogram(PLACES, weights=w, **o)[0], ((6,),), domain,
                   note=note)  # fmt: skip
    yield Case("histogram", lambda w: np.histogram(PLACES.reshape(2, 3), 3, weights=w), ((2, 3),), note="and edges")
    for note, options in {
        "": {"bins": 3}, "two numbers": {"bins": (2, 3)}, "edges": {"bins": [EDGES, 2]},
        "edges of both": {"bins": EDGES}, "a range": {"bins": 2, "range": [(0, 1), (0, 0.5)]},
        "density": {"bins": 2, "density": True},
    }.items():  # fmt: skip
        domain = (0.3, 2.0) if "density" in note else (-2.0, 2.0)
        yield Case("histogram2d", lambda w, o=options: np.histogram2d(PLACES, ACROSS, weights=w, **o)[0], ((6,),),
                   domain, note=note)  # fmt: skip
        if note != "edges of both":
            yield Case("histogramdd", lambda w, o=options: np.histogramdd([PLACES, ACROSS], weights=w, **o)[0], ((6,),),
                       domain, note=note)  # fmt: skip
    sample = np.stack([PLACES, ACROSS, PLACES], axis=1)
    yield Case("histogramdd", lambda w: np.histogramdd(sample, 2, weights=w)[0], ((6,),), note="samples are rows")


def _bits():
    small, shifts = np.array([[3, 6, 250], [7, 0, 1]], dtype=np.uint8), np.array([1, 0, 2], dtype=np.uint8)
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "gcd", "lcm"):
        f = getattr(np, name)
        yield Case(name, f, (small, shifts), order=0)
        yield Case(name, lambda k, f=f: f(k, 2), (small,), order=0, note="with a number")
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        yield Case(name, getattr(np, name), (small > 3, shifts > 0), order=0, note="of truth values")
    for name in ("invert", "bitwise_count"):
        yield Case(name, getattr(np, name), (small,), order=0)
    yield Case("invert", np.invert, (small > 3,), order=0, note="of truth values")


CASES = [*_sets(), *_bins(), *_bits()]
