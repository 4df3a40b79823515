"""Fourier transforms. The matrix of a transform is symmetric, so its VJP rule is the same transform, applied to g.

Transforms along several axes, and of Hermitian input, are composed of the four primitives along one axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..primitive import OVERRIDES, Array, declare
from .linalg import as_array, conj
from .plain import refuse_out


def _fit(x: Array, length: int, axis: int) -> Array:
    """Return x cut off or padded with zeros to a given length along an axis."""
    axis = axis % x.ndim
    missing = length - x.shape[axis]
    if missing > 0:
        zeros = np.zeros((*x.shape[:axis], missing, *x.shape[axis + 1 :]), dtype=x.dtype)
        return np.concatenate([x, zeros], axis=axis)
    return x[(slice(None),) * axis + (slice(0, length),)] if missing else x


# fmt: off
def _fft(a: Array, n: int | None = None, axis: int = -1, norm: Any = None) -> Array:
    return np.fft.fft(a, n, axis, norm)


def _fft_vjp(g: Array, out: Array, x: Array, n: Any = None, axis: int = -1, norm: Any = None) -> Array:
    return _fit(np.fft.fft(g, None, axis, norm), x.shape[axis], axis)

fft = declare(_fft, r"\textstyle\sum_j x_j \, e^{-2 \pi i j k / n}",
    (_fft_vjp,                                     r"\textstyle\sum_k g_k \, e^{-2 \pi i j k / n}"),
    numpy=np.fft.fft, linear=(0,))


def _ifft(a: Array, n: int | None = None, axis: int = -1, norm: Any = None) -> Array:
    return np.fft.ifft(a, n, axis, norm)


def _ifft_vjp(g: Array, out: Array, x: Array, n: Any = None, axis: int = -1, norm: Any = None) -> Array:
    return _fit(np.fft.ifft(g, None, axis, norm), x.shape[axis], axis)

ifft = declare(_ifft, r"\tfrac{1}{n} \textstyle\sum_k x_k \, e^{2 \pi i j k / n}",
    (_ifft_vjp,                                    r"\tfrac{1}{n} \textstyle\sum_j g_j \, e^{2 \pi i j k / n}"),
    numpy=np.fft.ifft, linear=(0,))


def _rfft(a: Array, n: int | None = None, axis: int = -1, norm: Any = None) -> Array:
    return np.fft.rfft(a, n, axis, norm)


def _rfft_vjp(g: Array, out: Array, x: Array, n: Any = None, axis: int = -1, norm: Any = None) -> Array:
    length = x.shape[axis] if n is None else n
    return _fit(np.fft.fft(_fit(g, length, axis), None, axis, norm), x.shape[axis], axis)

rfft = declare(_rfft, r"\textstyle\sum_j x_j \, e^{-2 \pi i j k / n}, \; k \le n / 2",
    (_rfft_vjp,                                    r"\operatorname{Re} \textstyle\sum_k g_k \, e^{-2 \pi i j k / n}"),
    numpy=np.fft.rfft, linear=(0,))


def _irfft(a: Array, n: int | None = None, axis: int = -1, norm: Any = None) -> Array:
    return np.fft.irfft(a, n, axis, norm)


# `norm` says which transform has the scale 1/n, the forward or the inverse one. The transpose of irfft is computed by
# rfft with the scale of irfft, so it needs the opposite norm.
OPPOSITE: dict[Any, Any] = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


def _multiplicity(spectrum: Array, n: int, axis: int) -> Array:
    """Return how often each frequency of a real signal of length n occurs in its full spectrum: once or twice."""
    k = np.arange(spectrum.shape[axis])
    twice = np.where((k == 0) | (2 * k == n), 1, 2).astype(spectrum.dtype)
    return twice.reshape([-1 if i == axis % spectrum.ndim else 1 for i in range(spectrum.ndim)])


def _irfft_vjp(g: Array, out: Array, x: Array, n: Any = None, axis: int = -1, norm: Any = None) -> Array:
    spectrum = conj(np.fft.rfft(g, None, axis, OPPOSITE.get(norm, norm)))
    return _fit(spectrum * _multiplicity(spectrum, g.shape[axis], axis), x.shape[axis], axis)

irfft = declare(_irfft, r"\tfrac{1}{n} \operatorname{Re} \textstyle\sum_k m_k \, x_k \, e^{2 \pi i j k / n}",
    (_irfft_vjp,                                   r"\tfrac{m_k}{n} \textstyle\sum_j g_j \, e^{2 \pi i j k / n}"),
    numpy=np.fft.irfft, linear=(0,))


# fmt: on


def _hfft(a: Any, n: int | None = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    refuse_out("fft.hfft", out)
    a = as_array(a)
    return irfft(conj(a), n=(a.shape[axis] - 1) * 2 if n is None else n, axis=axis, norm=OPPOSITE.get(norm, norm))


def _ihfft(a: Any, n: int | None = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    refuse_out("fft.ihfft", out)
    return np.conj(rfft(a, n=n, axis=axis, norm=OPPOSITE.get(norm, norm)))


def _lengths(a: Any, s: Any, axes: Any, real_out: bool = False) -> list[tuple[Any, int]]:
    """Return (length, axis) for each axis of a transform along several axes."""
    if axes is None:
        axes = range(-(a.ndim if s is None else len(s)), 0)
    if s is None:
        s = [a.shape[axis] for axis in axes]
        if real_out and s:
            s[-1] = (s[-1] - 1) * 2
    if len(s) != len(axes):
        raise ValueError(f"s and axes need the same length; they are {tuple(s)} and {tuple(axes)}.")
    return [(a.shape[axis] if n == -1 else n, axis) for n, axis in zip(s, axes, strict=True)]


def _along_axes(transform_1d: Callable[..., Any]) -> Callable[..., Any]:
    """Return the transform along several axes, applied to the last axis first."""

    def transform(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
        refuse_out("fft.fftn", out)
        for n, axis in reversed(_lengths(a, s, axes)):
            a = transform_1d(a, n=n, axis=axis, norm=norm)
        return a

    return transform


def _rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    refuse_out("fft.rfftn", out)
    lengths = _lengths(a, s, axes)
    n, axis = lengths[-1]
    a = rfft(a, n=n, axis=axis, norm=norm)
    for n, axis in reversed(lengths[:-1]):
        a = fft(a, n=n, axis=axis, norm=norm)
    return a


def _irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    refuse_out("fft.irfftn", out)
    *rest, (last, end) = _lengths(a, s, axes, real_out=True)
    for n, axis in rest:
        a = ifft(a, n=n, axis=axis, norm=norm)
    return irfft(a, n=last, axis=end, norm=norm)


def _along_two_axes(transform: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same transform with the last two axes as its default."""
    return lambda a, s=None, axes=(-2, -1), norm=None, out=None: transform(a, s, axes, norm, out)


def _shift(direction: int) -> Callable[..., Any]:
    def shift(x: Any, axes: Any = None) -> Any:
        axes = range(x.ndim) if axes is None else (axes,) if np.ndim(axes) == 0 else axes
        return np.roll(x, tuple(direction * (x.shape[a] // 2) for a in axes), tuple(axes))

    return shift


_fftn, _ifftn = _along_axes(fft), _along_axes(ifft)

OVERRIDES.update({
    np.fft.hfft: _hfft,
    np.fft.ihfft: _ihfft,
    np.fft.fftn: _fftn,
    np.fft.ifftn: _ifftn,
    np.fft.rfftn: _rfftn,
    np.fft.irfftn: _irfftn,
    np.fft.fft2: _along_two_axes(_fftn),
    np.fft.ifft2: _along_two_axes(_ifftn),
    np.fft.rfft2: _along_two_axes(_rfftn),
    np.fft.irfft2: _along_two_axes(_irfftn),
    np.fft.fftshift: _shift(1),
    np.fft.ifftshift: _shift(-1),
})  # fmt: skip
