"""scipy.signal.convolve with autograd's options: which axes to convolve along, and which to sum over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...custom import custom_vjp

Axes = Sequence[Sequence[int]]


def convolve(A: Any, B: Any, axes: Axes | None = None, dot_axes: Axes = ((), ()), mode: str = "full") -> Any:
    r"""Return the convolution of two arrays along some axes, summed over others, for each pair of remaining indices.

    .. math:: out_{k} = \sum_i A_{i} \, B_{k - i}

    Args:
        A, B: the arrays.
        axes: the axes of A and those of B to convolve along, in pairs; all by default.
        dot_axes: the axes of A and those of B to sum over, in pairs.
        mode: ``full``, ``valid`` (only where the arrays overlap completely) or ``same`` (of the size of A, centred).

    Returns:
        An array with the remaining axes of A, then the remaining axes of B, then the axes convolved along.

    Raises:
        ValueError: the mode is unknown; the arrays have different numbers of axes and `axes` is not given; or the
            mode is ``valid`` and neither array is the larger one along all axes convolved along.

    Example:
        >>> convolve(np.array([1.0, 2.0]), np.array([1.0, 0.0, 3.0])).tolist()
        [1.0, 2.0, 3.0, 6.0]
    """
    if mode not in ("full", "valid", "same"):
        raise ValueError(f"mode={mode!r}; it must be 'full', 'valid' or 'same'.")
    if axes is None and np.ndim(A) != np.ndim(B):
        raise ValueError(f"arrays of {np.ndim(A)} and {np.ndim(B)} axes; pass the pairs of axes, e.g. axes=([0], [1]).")
    along_a, along_b = axes if axes is not None else (range(np.ndim(A)), range(np.ndim(B)))
    along_a, along_b = [i % np.ndim(A) for i in along_a], [i % np.ndim(B) for i in along_b]
    sizes = [(np.shape(A)[i], np.shape(B)[j]) for i, j in zip(along_a, along_b, strict=True)]
    if mode == "valid" and sizes and all(m >= n for m, n in sizes) and any(m > n for m, n in sizes):
        out = convolve(B, A, (along_b, along_a), (dot_axes[1], dot_axes[0]), mode)  # windows lie in the second array
        rest = out.ndim - len(sizes)
        first = np.ndim(B) - len(along_b) - len(dot_axes[1])
        return np.transpose(out, [*range(first, rest), *range(first), *range(rest, out.ndim)])
    if mode == "valid" and any(m > n for m, n in sizes):
        raise ValueError(
            "mode='valid' needs one array to be at least as large as the other along every convolved axis."
        )
    flipped = A[tuple(slice(None, None, -1) if i in along_a else slice(None) for i in range(np.ndim(A)))]
    pads = [(0, 0)] * np.ndim(B)
    for j, (m, n) in zip(along_b, sizes, strict=True):
        start = {"full": 0, "valid": m - 1, "same": (n - 1) // 2}[mode]  # first entry of the full result that is kept
        length = {"full": m + n - 1, "valid": n - m + 1, "same": m}[mode]
        pads[j] = (m - 1 - start, length + start - n)
    cut = tuple(slice(max(-lo, 0), n - max(-hi, 0)) for (lo, hi), n in zip(pads, np.shape(B), strict=True))
    padded = np.pad(B[cut], [(max(lo, 0), max(hi, 0)) for lo, hi in pads])
    windows = padded
    if sizes:
        windows = windows_of(padded, lengths=tuple(m for m, _ in sizes), axes=tuple(along_b))
    inner = range(np.ndim(B), np.ndim(B) + len(sizes))
    out = np.tensordot(flipped, windows, ([*along_a, *dot_axes[0]], [*inner, *dot_axes[1]]))
    kept_a = np.ndim(A) - len(along_a) - len(dot_axes[0])
    kept_b = [j for j in range(np.ndim(B)) if j not in dot_axes[1] and j - np.ndim(B) not in dot_axes[1]]
    places = [kept_a + kept_b.index(j) for j in along_b]
    return np.moveaxis(out, places, range(out.ndim - len(places), out.ndim))


def _windows(x: Any, lengths: tuple[int, ...] = (), axes: tuple[int, ...] = ()) -> Any:
    return np.lib.stride_tricks.sliding_window_view(x, lengths, axes)


def _windows_vjp(g: Any, out: Any, x: Any, lengths: tuple[int, ...] = (), axes: tuple[int, ...] = ()) -> Any:
    """Return the gradient of x: each entry of a window's gradient is added to the entry of x that it shows."""
    total: Any = 0
    for offsets in np.ndindex(*lengths):
        part = g[(..., *offsets)]
        pads = [(0, 0)] * part.ndim
        for axis, offset, length in zip(axes, offsets, lengths, strict=True):
            pads[axis] = (offset, length - 1 - offset)
        total = total + np.pad(part, pads)
    return total


windows_of = custom_vjp(_windows, _windows_vjp)
