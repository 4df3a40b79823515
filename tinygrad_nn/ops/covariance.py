"""Covariance and correlation of variables: np.cov and np.corrcoef of Tensors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..primitive import Array, declare
from .plain import as_arrays, is_tensor, override, require_everywhere
from .reduce import conj


def _within_one(x: Array) -> Array:
    """Return correlations clipped to [-1, 1], which only rounding can exceed."""
    if x.dtype.kind == "c":
        return np.clip(x.real, -1, 1) + 1j * np.clip(x.imag, -1, 1)
    return np.clip(x, -1, 1)

# fmt: off
within_one = declare(_within_one, r"x \text{ within } [-1, 1]",
    (lambda g, out, x: g,  r"g"),
    domain=[(-1, 1)], kinks="only rounding takes a correlation beyond 1, so the slope is 1 there too")


# fmt: on


def _samples_as_rows(m: Any, name: str, dtype: Any = None) -> Array:
    """Return the samples as an array; raise ValueError if it has more than two axes."""
    m = m if is_tensor(m) else np.asarray(m)
    if m.ndim > 2:
        raise ValueError(f"np.cov takes samples of one or two axes; {name} has shape {m.shape}.")
    return m if dtype is None else m.astype(dtype)


def _weights(w: Any, name: str, n: int) -> Any:
    w = (w if is_tensor(w) else np.asarray(w)).astype(float)
    if w.ndim > 1 or w.shape[0] != n:
        raise RuntimeError(f"np.cov takes one weight per sample, {n} in all; {name} has shape {w.shape}.")
    few = as_arrays(w) < 0
    told = "" if is_tensor(few) else f"; {name} has {as_arrays(w).min(initial=0)}"
    return require_everywhere(w, np.logical_not(few), ValueError(f"np.cov takes weights that are not negative{told}."))


@override("cov")
def _cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None,
    aweights: Any = None, *, dtype: Any = None,
) -> Array:  # fmt: skip
    """Return np.cov of Tensors."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError(f"np.cov takes a whole number as ddof; it got {ddof}.")
    m, y = _samples_as_rows(m, "m"), None if y is None else _samples_as_rows(y, "y")
    if dtype is None:
        dtype = np.result_type(m.dtype, np.float64, *([] if y is None else [y.dtype]))
    X = np.atleast_2d(m.astype(dtype))
    X = X.T if not rowvar and m.ndim != 1 else X
    if X.shape[0] == 0:
        return np.zeros_like(X, shape=(0, 0))
    if y is not None:
        Y = np.atleast_2d(y.astype(dtype))
        X = np.concatenate([X, Y.T if not rowvar and Y.shape[0] != 1 else Y])  # (variables, samples)
    n = X.shape[1]
    w: Any = None
    if fweights is not None:
        counts = _weights(fweights, "fweights", n)
        whole = TypeError("np.cov takes whole numbers as fweights; aweights= takes others.")
        w = as_arrays(require_everywhere(counts, as_arrays(counts) == np.around(as_arrays(counts)), whole))
    if aweights is not None:
        aweights = _weights(aweights, "aweights", n)
        w = aweights if w is None else w * aweights
    ddof = (0 if bias else 1) if ddof is None else ddof
    if w is None:
        mean, freedom = X.mean(axis=1), n - ddof
    else:
        total = w.sum()
        mean = (X * w).sum(axis=1) / total
        freedom = total if ddof == 0 else total - ddof * (1 if aweights is None else (w * aweights).sum() / total)
    none_left = freedom <= 0
    if not is_tensor(none_left) and none_left:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=4)
    d = X - mean[:, None]
    c = d @ conj(d if w is None else d * w).T * np.true_divide(1, np.maximum(freedom, 0.0))
    return np.squeeze(c if c.dtype == dtype else c.astype(dtype))


@override("corrcoef")
def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Array:
    """Return np.corrcoef of Tensors."""
    c = _cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    deviation = np.sqrt(np.real(np.diag(c)))
    return within_one(c / deviation[:, None] / deviation)
