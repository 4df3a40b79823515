"""scipy.special, of Tensors too: its ufuncs find the rules of `tinygrad_nn.ops` by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as _special

from ...ops import special as _rows
from ...ops.neural import logsumexp as _logsumexp
from ..numpy.numpy_wrapper import gathered, tensors_in, wrap_namespace

wrap_namespace(vars(_special), globals())


def polygamma(n: Any, x: Any) -> Any:
    """Return the n-th derivative of the digamma function; n is a whole number."""
    return _rows.polygamma(x, order=int(n)) if tensors_in(x) else _special.polygamma(n, x)


def multigammaln(a: Any, d: int) -> Any:
    r"""Return the logarithm of the multivariate gamma function of dimension d."""
    if not tensors_in(a):
        return _special.multigammaln(a, d)
    steps = a[..., None] - np.arange(d) / 2
    return d * (d - 1) / 4 * np.log(np.pi) + np.sum(_rows.gammaln(steps), axis=-1)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    r"""Return the logarithm of a sum of exponentials, without overflow.

    .. math:: \ln \sum_j b_j e^{a_j}

    Args:
        a: the exponents.
        axis: the axis or axes of the sum; all by default.
        b: the weights; 1 by default.
        keepdims: whether summed axes stay, of length 1.
        return_sign: whether to return ``(logarithm of the magnitude, sign)``, for a sum below 0.
    """
    a, b = gathered(a), gathered(b)
    if not tensors_in((a, b)):
        return _special.logsumexp(a, axis=axis, b=b, keepdims=keepdims, return_sign=return_sign)
    if b is None and not return_sign:
        return _logsumexp(a, axis=axis, keepdims=keepdims)
    weights = 1.0 if b is None else b
    plain = np.where(np.asarray(_plain(weights)) == 0, -np.inf, _plain(a))
    largest = np.max(plain, axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)  # any constant gives the same sum
    total = np.sum(weights * np.exp(np.where(plain == -np.inf, 0, a) - largest) * (plain > -np.inf), axis, keepdims=True)
    out = np.log(np.abs(total) if return_sign else total) + largest
    sign = np.sign(_plain(total))
    if not keepdims:
        out, sign = np.squeeze(out, axis), np.squeeze(sign, axis)
    return (out, sign) if return_sign else out


def _plain(x: Any) -> Any:
    return x.data if tensors_in(x) else x


def softmax(x: Any, axis: Any = None) -> Any:
    """Return exponentials over their sum."""
    return np.exp(log_softmax(x, axis)) if tensors_in(x) else _special.softmax(x, axis)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """Return the logarithms of exponentials over their sum."""
    x = gathered(x)
    return x - logsumexp(x, axis=axis, keepdims=True) if tensors_in(x) else _special.log_softmax(x, axis)
