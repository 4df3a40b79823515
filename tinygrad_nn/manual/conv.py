r"""Convolution in two dimensions by hand: each output pixel is the product of a kernel with one window of the image.

The sums over samples, pixels and channels are matrix products. Equations are numbered as in
`docs/backprop_layers.md`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .windows import Size, add_windows, check_cotangent, size_pair, windows

Array = NDArray[np.floating[Any]]

_KERNELS = "W has shape {W}: with x of shape {x} it needs (c_out, c_in, k_h, k_w), c_in the channels of x"
_BIASES = "b has shape {b}: with W of shape {W} it needs ({n},), a number for each kernel"


class Conv2dGradients(NamedTuple):
    """Gradients of images `(batch, c_in, height, width)`, kernels `(c_out, c_in, k_h, k_w)` and biases `(c_out,)`."""

    dx: Array
    dW: Array
    db: Array


def _windows(x: Array, W: Array, stride: Size, padding: Size) -> Array:
    if W.ndim != 4 or (x.ndim == 4 and x.shape[1] != W.shape[1]):
        raise ValueError(_KERNELS.format(x=x.shape, W=W.shape))
    return windows(x, W.shape[2:], size_pair("stride", stride, 1), size_pair("padding", padding, 0))


def conv2d(x: Array, W: Array, b: Array, *, stride: Size = 1, padding: Size = 0) -> Array:
    r"""Convolve a batch of images with kernels (unflipped, as everywhere in neural networks).

    .. math:: z_{noij} = \sum_{c,u,v} W_{ocuv}\, \tilde x_{n,\, c,\, i s_h + u,\, j s_w + v} + b_o

    Args:
        x: images, `(batch, c_in, height, width)`.
        W: kernels, `(c_out, c_in, k_h, k_w)`.
        b: biases, `(c_out,)`.
        stride: pixels from one window to the next, one number or `(s_h, s_w)`.
        padding: zeros around the image, one number or `(p_h, p_w)`.

    Returns:
        `(batch, c_out, h_out, w_out)` with `h_out = (height + 2 p_h - k_h) // s_h + 1`, and `w_out` alike.

    Raises:
        ValueError: shapes do not fit, or a stride or padding is not a whole number.

    Source: LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition (1998), section 2.

    Example:
        >>> x, W = np.arange(4.0).reshape(1, 1, 1, 4), np.array([[[[1.0, 10.0]]]])
        >>> conv2d(x, W, np.zeros(1)).tolist()
        [[[[10.0, 21.0, 32.0]]]]
    """
    X = _windows(x, W, stride, padding)
    if b.shape != W.shape[:1]:
        raise ValueError(_BIASES.format(b=b.shape, W=W.shape, n=len(W)))
    z = np.tensordot(X, W, axes=((1, 4, 5), (1, 2, 3))) + b  # (C3)
    return z.transpose(0, 3, 1, 2)  # (batch, c_out, h_out, w_out)


def conv2d_backward(g: Array, x: Array, W: Array, *, stride: Size = 1, padding: Size = 0) -> Conv2dGradients:
    r"""Return the gradients of images, kernels and biases.

    .. math:: \partial_{X_{ncijuv}} = \sum_o g_{noij} W_{ocuv}, \quad
              \partial_{W_{ocuv}} = \sum_{n,i,j} g_{noij} X_{ncijuv}, \quad \partial_{b_o} = \sum_{n,i,j} g_{noij}

    Args:
        g: gradient of the result, `(batch, c_out, h_out, w_out)`.
        x, W, stride, padding: as given to `conv2d`.

    Returns:
        `dx`, `dW` and `db`, with the shapes of `x`, `W` and `b`.

    Raises:
        ValueError: as `conv2d`; `g` does not have the shape of its result.

    Source: LeCun, Bottou, Bengio & Haffner (1998); derived in `docs/backprop_layers.md`.

    Example:
        >>> x, W = np.arange(4.0).reshape(1, 1, 1, 4), np.array([[[[1.0, 10.0]]]])
        >>> dx, dW, db = conv2d_backward(np.ones((1, 1, 1, 3)), x, W)
        >>> dx.tolist(), dW.tolist(), db.tolist()
        ([[[[1.0, 11.0, 11.0, 10.0]]]], [[[[3.0, 6.0]]]], [3.0])
    """
    X = _windows(x, W, stride, padding)
    check_cotangent(g, (len(x), len(W), *X.shape[2:4]))
    dX = np.tensordot(g, W, axes=(1, 0)).transpose(0, 3, 1, 2, 4, 5)  # (C4)
    dx = add_windows(dX, x.shape[2:], size_pair("stride", stride, 1), size_pair("padding", padding, 0))
    dW = np.tensordot(g, X, axes=((0, 2, 3), (0, 2, 3)))  # (C7)
    db = g.sum(axis=(0, 2, 3))  # (C8)
    return Conv2dGradients(dx, dW, db)
