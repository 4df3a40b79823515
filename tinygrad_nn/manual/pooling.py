r"""Pooling by hand: each window of an image becomes its largest pixel, or the mean of its pixels.

Channels do not mix, and there is nothing to learn. Equations are numbered as in `docs/backprop_layers.md`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .windows import Size, add_windows, check_cotangent, size_pair, windows

Array = NDArray[np.floating[Any]]
Sizes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

_PADDING = "padding {padding} is not smaller than the kernel {kernel}: some windows would see no pixel at all"


def _sizes(kernel: Size, stride: Size | None, padding: Size) -> Sizes:
    """Return kernel, stride and padding as pairs."""
    k, p = size_pair("kernel", kernel, 1), size_pair("padding", padding, 0)
    if p[0] >= k[0] or p[1] >= k[1]:
        raise ValueError(_PADDING.format(padding=p, kernel=k))
    return k, k if stride is None else size_pair("stride", stride, 1), p


def _window_maxima(x: Array, sizes: Sizes) -> tuple[Array, Array]:
    """Return the windows, padded with minus infinity so that padding is never the largest, and their maxima."""
    X = windows(x, *sizes, fill=-np.inf)
    m: Array = X.max(axis=(4, 5))  # (P1)
    return X, m


def max_pool2d(x: Array, kernel: Size, *, stride: Size | None = None, padding: Size = 0) -> Array:
    r"""Keep the largest pixel of each window.

    .. math:: m_{ncij} = \max_{u,v} X_{ncijuv}

    Args:
        x: images, `(batch, channels, height, width)`.
        kernel: size of a window, one number or `(k_h, k_w)`.
        stride: pixels from one window to the next, one number or `(s_h, s_w)`; by default the kernel, so that windows
            tile the image.
        padding: pixels of minus infinity around the image, less than the kernel.

    Returns:
        `(batch, channels, h_out, w_out)` with `h_out = (height + 2 p_h - k_h) // s_h + 1`, and `w_out` alike.

    Raises:
        ValueError: the kernel does not fit into the image, or a size is not a whole number.

    Source: Ranzato, Huang, Boureau & LeCun, Unsupervised learning of invariant feature hierarchies (2007).

    Example:
        >>> max_pool2d(np.array([[[[1.0, 3.0, 2.0, 0.0]]]]), (1, 2)).tolist()
        [[[[3.0, 2.0]]]]
    """
    return _window_maxima(x, _sizes(kernel, stride, padding))[1]


def max_pool2d_backward(
    g: Array, x: Array, kernel: Size, *, stride: Size | None = None, padding: Size = 0
) -> Array:
    r"""Return the gradient of the image: each window's gradient goes to its largest pixel, ties share it evenly.

    .. math:: \partial_{X_{ncijuv}} = g_{ncij} \frac{[X_{ncijuv} = m_{ncij}]}{\sum_{u',v'} [X_{nciju'v'} = m_{ncij}]}

    Args:
        g: gradient of the result, `(batch, channels, h_out, w_out)`.
        x, kernel, stride, padding: as given to `max_pool2d`.

    Returns:
        The gradient of `x`, `(batch, channels, height, width)`; if a window contains NaN, all its pixels share.

    Raises:
        ValueError: as `max_pool2d`; `g` does not have the shape of its result.

    Source: Ranzato, Huang, Boureau & LeCun (2007); derived in `docs/backprop_layers.md`.

    Example:
        >>> x = np.array([[[[1.0, 3.0, 2.0, 2.0]]]])
        >>> max_pool2d_backward(np.ones((1, 1, 1, 2)), x, (1, 2)).tolist()
        [[[[0.0, 1.0, 0.5, 0.5]]]]
    """
    sizes = _sizes(kernel, stride, padding)
    X, m = _window_maxima(x, sizes)
    check_cotangent(g, m.shape)
    first = ~np.less(X, m[..., None, None])  # no number is less than NaN, so there all pixels share
    share = g / first.sum(axis=(4, 5), dtype=g.dtype)  # (P2)
    dX = np.where(first, share[..., None, None], 0)  # (P3)
    return add_windows(dX, x.shape[2:], *sizes[1:])


def avg_pool2d(x: Array, kernel: Size, *, stride: Size | None = None, padding: Size = 0) -> Array:
    r"""Take the mean of each window; padding counts as zeros.

    .. math:: m_{ncij} = \frac{1}{k_h k_w} \sum_{u,v} X_{ncijuv}

    Args:
        x, kernel, stride: as for `max_pool2d`.
        padding: zeros around the image, less than the kernel; they count, as in PyTorch's default.

    Returns:
        `(batch, channels, h_out, w_out)`, as `max_pool2d`.

    Raises:
        ValueError: as `max_pool2d`.

    Source: LeCun, Bottou, Bengio & Haffner (1998), section 2 (there the sum, with a weight to learn).

    Example:
        >>> avg_pool2d(np.array([[[[1.0, 3.0, 2.0, 0.0]]]]), (1, 2)).tolist()
        [[[[2.0, 1.0]]]]
    """
    X = windows(x, *_sizes(kernel, stride, padding))
    m: Array = X.mean(axis=(4, 5))  # (P4)
    return m


def avg_pool2d_backward(
    g: Array, x: Array, kernel: Size, *, stride: Size | None = None, padding: Size = 0
) -> Array:
    r"""Return the gradient of the image: each window's gradient goes to its pixels in equal parts.

    .. math:: \partial_{X_{ncijuv}} = \frac{g_{ncij}}{k_h k_w}

    Args:
        g: gradient of the result, `(batch, channels, h_out, w_out)`.
        x, kernel, stride, padding: as given to `avg_pool2d`; of `x` only the shape counts.

    Returns:
        The gradient of `x`, `(batch, channels, height, width)`.

    Raises:
        ValueError: as `avg_pool2d`; `g` does not have the shape of its result.

    Source: LeCun, Bottou, Bengio & Haffner (1998); derived in `docs/backprop_layers.md`.

    Example:
        >>> avg_pool2d_backward(np.ones((1, 1, 1, 2)), np.zeros((1, 1, 1, 3)), (1, 2), stride=1).tolist()
        [[[[0.5, 1.0, 0.5]]]]
    """
    sizes = (k_h, k_w), stride_, padding_ = _sizes(kernel, stride, padding)
    X = windows(x, *sizes)
    check_cotangent(g, X.shape[:4])
    dX = np.broadcast_to((g / (k_h * k_w))[..., None, None], X.shape)  # (P5)
    return add_windows(dX, x.shape[2:], stride_, padding_)
