"""The Dirichlet distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import special
from ....ops.special import gammaln
from .distribution import scipy_fallback, with_tensor_formula


def _logpdf(x: Any, alpha: Any) -> Any:
    if np.shape(x)[0] == np.shape(alpha)[0] - 1:
        x = np.concatenate([x, 1 - np.sum(x, axis=0, keepdims=True)])
    weights = np.reshape(alpha - 1, (-1,) + (1,) * (np.ndim(x) - 1))
    constant = np.sum(gammaln(alpha)) - gammaln(np.sum(alpha))
    return np.sum(special.xlogy(weights, x), axis=0) - constant


logpdf = with_tensor_formula("dirichlet", "logpdf", _logpdf)
pdf = with_tensor_formula("dirichlet", "pdf", lambda x, alpha: np.exp(_logpdf(x, alpha)))
__getattr__ = scipy_fallback("dirichlet")
