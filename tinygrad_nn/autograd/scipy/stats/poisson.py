"""The Poisson distribution, differentiable in its mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import special
from ....ops.special import gammaln
from ...tracer import getval
from .distribution import scipy_fallback, with_tensor_formula


def _logpmf(k: Any, mu: Any, loc: Any = 0) -> Any:
    k = np.asarray(getval(k)) - loc
    counted = (k >= 0) & (np.floor(k) == k)
    n = np.where(counted, k, 0)
    return np.where(counted, special.xlogy(n, mu) - gammaln(n + 1) - mu, -np.inf)


def _cdf(k: Any, mu: Any, loc: Any = 0) -> Any:
    k = np.floor(np.asarray(getval(k)) - loc)
    return np.where(k < 0, 0.0, special.gammaincc(np.maximum(k, 0) + 1, mu))


def _sf(k: Any, mu: Any, loc: Any = 0) -> Any:
    k = np.floor(np.asarray(getval(k)) - loc)
    return np.where(k < 0, 1.0, special.gammainc(np.maximum(k, 0) + 1, mu))


logpmf = with_tensor_formula("poisson", "logpmf", _logpmf)
pmf = with_tensor_formula("poisson", "pmf", lambda k, mu, loc=0: np.exp(_logpmf(k, mu, loc)))
cdf = with_tensor_formula("poisson", "cdf", _cdf)
logcdf = with_tensor_formula("poisson", "logcdf", lambda k, mu, loc=0: np.log(_cdf(k, mu, loc)))
sf = with_tensor_formula("poisson", "sf", _sf)
logsf = with_tensor_formula("poisson", "logsf", lambda k, mu, loc=0: np.log(_sf(k, mu, loc)))
__getattr__ = scipy_fallback("poisson")
