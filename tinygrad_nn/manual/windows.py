r"""The windows of an image, as convolution and pooling read them, and their gradient.

Images are `(batch, channels, height, width)`; kernel, stride and padding are pairs for height and width, such as
`(k_h, k_w)`. Equations are numbered as in `docs/backprop_layers.md`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Size = int | tuple[int, int]

_PAIR = "{name}={value!r}: give a whole number of at least {least}, or two of them, for height and width"
_IMAGE = "x has shape {shape}: an image needs the four axes (batch, channels, height, width)"
_SMALL = (
    "a kernel of {kernel} does not fit into an image of {size} with padding {padding}: padding={need} is the least "
    "that makes room for it"
)
_COTANGENT = "g has shape {got}, the result of the forward pass has {need}: give one number for each of its entries"


def size_pair(name: str, value: Size, minimum: int) -> tuple[int, int]:
    """Return a size as the two whole numbers of height and width.

    Raises:
        ValueError: it is neither one nor two whole numbers of at least `minimum`.

    Example:
        >>> size_pair("stride", 2, minimum=1), size_pair("stride", (2, 3), minimum=1)
        ((2, 2), (2, 3))
    """
    both: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(isinstance(n, (int, np.integer)) and n >= minimum for n in both):
        raise ValueError(_PAIR.format(name=name, value=value, least=minimum))
    return int(both[0]), int(both[1])


def windows(
    x: Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], fill: float = 0.0
) -> Array:
    r"""Return every window of a padded image, as a view: only the padding copies pixels.

    .. math:: X_{ncijuv} = \tilde x_{n,\, c,\, i s_h + u,\, j s_w + v}

    Args:
        x: `(batch, channels, height, width)`.
        kernel, stride, padding: pairs for height and width.
        fill: the value of the padding.

    Returns:
        `(batch, channels, h_out, w_out, k_h, k_w)` with `h_out = (height + 2 p_h - k_h) // s_h + 1`.

    Raises:
        ValueError: x does not have four axes, or the kernel is larger than the padded image.

    Source: LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition (1998), section 2.

    Example:
        >>> x = np.arange(4.0).reshape(1, 1, 1, 4)
        >>> windows(x, kernel=(1, 2), stride=(1, 2), padding=(0, 0)).tolist()
        [[[[[[0.0, 1.0]], [[2.0, 3.0]]]]]]
    """
    if x.ndim != 4:
        raise ValueError(_IMAGE.format(shape=x.shape))
    (p_h, p_w), (s_h, s_w) = padding, stride
    need = tuple(max(p, (k - n + 1) // 2) for k, n, p in zip(kernel, x.shape[2:], padding, strict=True))
    if need != padding:
        raise ValueError(_SMALL.format(kernel=kernel, size=x.shape[2:], padding=padding, need=need))
    x = np.pad(x, ((0, 0), (0, 0), (p_h, p_h), (p_w, p_w)), constant_values=fill)  # (C1)
    X: Array = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))[:, :, ::s_h, ::s_w]  # (C2)
    return X


def add_windows(dX: Array, size: tuple[int, ...], stride: tuple[int, int], padding: tuple[int, int]) -> Array:
    r"""Return the gradient of the image: each pixel sums over all windows that contain it.

    .. math:: \frac{\partial E}{\partial \tilde x_{ncrs}} = \sum_{u,v} \sum_{i s_h + u = r} \sum_{j s_w + v = s}
              \frac{\partial E}{\partial X_{ncijuv}}

    Args:
        dX: `(batch, channels, h_out, w_out, k_h, k_w)`.
        size: height and width of the image.
        stride, padding: pairs, as given to `windows`.

    Returns:
        `(batch, channels, height, width)`.

    Source: the transpose of `windows`.

    Example:
        >>> dX = np.ones((1, 1, 1, 3, 1, 2))
        >>> add_windows(dX, size=(1, 4), stride=(1, 1), padding=(0, 0)).tolist()
        [[[[1.0, 2.0, 2.0, 1.0]]]]
    """
    (p_h, p_w), (s_h, s_w), (height, width) = padding, stride, size
    batch, channels, h_out, w_out, k_h, k_w = dX.shape
    dx = np.zeros((batch, channels, height + 2 * p_h, width + 2 * p_w), dX.dtype)
    for u, v in np.ndindex(k_h, k_w):  # one position in the kernel, all windows of all images at once
        dx[:, :, u::s_h, v::s_w][:, :, :h_out, :w_out] += dX[..., u, v]  # (C5)
    return dx[:, :, p_h : p_h + height, p_w : p_w + width]  # (C6)


def check_cotangent(g: Array, shape: tuple[int, ...]) -> None:
    """Refuse a cotangent of another shape than the result: broadcasting would pair its entries with wrong ones.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> check_cotangent(np.ones((2, 3)), (2, 3))
    """
    if g.shape != shape:
        raise ValueError(_COTANGENT.format(got=g.shape, need=shape))
