"""Rows for covariances and correlations."""

import numpy as np

from .case import Case

OFTEN = np.array([1, 2, 1, 3])
WEIGHTS = np.array([0.5, 1.0, 2.0, 0.3])
LINE = np.array([[0.1, 0.4, 1.0, -0.2], [0.2, 0.8, 2.0, -0.4]])  # the second twice the first


def _cov():
    for shape in ((2, 4), (1, 4), (4,)):
        yield Case("cov", lambda x: np.cov(x), (shape,), complex=True, analytic=False)
    for note, options in {
        "columns": {"rowvar": False}, "bias": {"bias": True}, "ddof": {"ddof": 0}, "ddof 2": {"ddof": 2},
        "frequencies": {"fweights": OFTEN}, "weights": {"aweights": WEIGHTS},
        "both": {"fweights": OFTEN, "aweights": WEIGHTS}, "biased weights": {"aweights": WEIGHTS, "bias": True},
        "columns, ddof 0": {"rowvar": False, "ddof": 0}, "dtype": {"dtype": np.float64},
    }.items():  # fmt: skip
        shape = (4, 3) if "columns" in note else (3, 4)
        yield Case("cov", lambda x, o=options: np.cov(x, **o), (shape,), note=note)
    yield Case("cov", lambda x, y: np.cov(x, y), ((2, 4), (4,)), complex=True, note="with y")
    yield Case("cov", lambda x, y: np.cov(x, y, rowvar=False), ((4, 2), (4, 1)), note="columns of y")
    yield Case("cov", lambda y: np.cov(LINE, y), ((4,),), note="y alone")
    yield Case("cov", lambda x, w: np.cov(x, aweights=w), ((2, 4), WEIGHTS), note="in the weights")
    yield Case("cov", lambda x, w: np.cov(x, aweights=w, fweights=OFTEN, ddof=0), ((2, 4), WEIGHTS),
               note="in the weights, ddof 0")  # fmt: skip


def _corrcoef():
    yield Case("corrcoef", lambda x: np.corrcoef(x), ((3, 5),), complex=True)
    yield Case("corrcoef", lambda x: np.corrcoef(x, rowvar=False), ((5, 2),), note="columns")
    yield Case("corrcoef", lambda x, y: np.corrcoef(x, y), ((2, 5), (5,)), note="with y")
    yield Case("corrcoef", lambda x, y: np.corrcoef(x, y, dtype=np.float64)[0, 1], ((5,), (5,)), note="of two")
    yield Case("corrcoef", lambda y: np.corrcoef(LINE, y), ((4,),), note="beside exactly 1")
    yield Case("within_one", lambda x: np.corrcoef(x), ((2, 4),))


CASES = [*_cov(), *_corrcoef()]
