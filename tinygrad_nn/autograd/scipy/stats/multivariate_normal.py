"""The multivariate normal distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tracer import getval, is_live
from .distribution import scipy_fallback, with_tensor_formula


def _logpdf(x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False) -> Any:
    n = _size(mean, cov)
    matrix, center = _covariance_matrix(cov, n), 0.0 if mean is None else mean
    x = np.reshape(x, (-1, 1)) if n == 1 and np.ndim(x) == 1 else x
    d = np.reshape(x - center, (-1, n))
    if allow_singular:
        if is_live(cov):
            raise NotImplementedError("the density of a singular covariance is not differentiable in the covariance.")
        w, U = np.linalg.eigh(getval(matrix))
        kept = w > 1e6 * np.finfo(float).eps * np.abs(w).max()  # eigenvalues below SciPy's threshold count as 0
        half = d @ (U[:, kept] / np.sqrt(w[kept]))
        rank, logdet, square = int(kept.sum()), np.log(w[kept]).sum(), np.sum(half**2, axis=-1)
    else:
        sign, logdet = np.linalg.slogdet(matrix)
        if getval(sign) <= 0:
            raise np.linalg.LinAlgError("the covariance is not positive definite; allow_singular=True accepts it.")
        rank, square = n, np.sum(d * np.linalg.solve(matrix, d.T).T, axis=-1)
    return np.reshape(-0.5 * (rank * np.log(2 * np.pi) + logdet + square), np.shape(x)[:-1])


def _size(mean: Any, cov: Any) -> int:
    """Return the number of entries of a vector: 1 if the mean and the covariance are numbers."""
    return next((int(np.shape(given)[-1]) for given in (mean, cov) if given is not None and np.ndim(given)), 1)


def _covariance_matrix(cov: Any, n: int) -> Any:
    """Return a covariance as a matrix; it may be given as one number, as a diagonal, or as a matrix."""
    return cov if np.ndim(cov) == 2 else cov * np.eye(n)


def _entropy(mean: Any = None, cov: Any = 1) -> Any:
    n = _size(mean, cov)
    return 0.5 * (n * np.log(2 * np.pi * np.e) + np.linalg.slogdet(_covariance_matrix(cov, n))[1])


logpdf = with_tensor_formula("multivariate_normal", "logpdf", _logpdf)
pdf = with_tensor_formula("multivariate_normal", "pdf", lambda *args, **kwargs: np.exp(_logpdf(*args, **kwargs)))
entropy = with_tensor_formula("multivariate_normal", "entropy", _entropy)
__getattr__ = scipy_fallback("multivariate_normal")
