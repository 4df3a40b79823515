"""Decides which convolutions and poolings the functions of `images` and `pools` do, and with which arguments."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...program.values import Op
from .row import LEAST, Native

BLOCK = 2**17  # entries of the columns that are made at a time: these fit a core's cache with image and kernels
LITTLE = 2**16  # with at most so many multiplications, or pixels times taps, one core is faster

Ints = tuple[int, ...]


def _two(lengths: Ints, fill: int) -> Ints:
    """Return one or two numbers as two, with `fill` for the first if there is only one axis."""
    return (fill,) * (2 - len(lengths)) + lengths


def _part_count(work: int) -> int:
    from .build import THREADS

    return THREADS if work > LITTLE else 1


# -- Convolution


def _shapes(op: Op) -> tuple[Ints, Ints, Ints]:
    """Return the shapes of the images, of the kernels, and of the result of the convolution."""
    a, b, c = op.args[0].shape, op.args[1].shape, op.out.shape
    return {"conv": (a, b, c), "conv_transpose": (c, b, a), "conv_weight": (b, c, a)}[op.name]


def _of_images(op: Op) -> bool:
    return all(len(x.shape) in (3, 4) for x in (*op.values, op.out))


def _conv_sizes(op: Op) -> tuple[Ints, Ints]:
    """Return the numbers of `layout`, and the depth and number of the columns that are made at a time."""
    call_meta: dict[str, Any] = op.call_meta or {}
    x, w, y = _shapes(op)
    groups, kernel, at = call_meta["groups"], _two(w[2:], 1), _two(y[2:], 1)
    depth = w[1] * prod(kernel)
    rows = min(at[0], max(1, BLOCK // (depth * at[1])))
    layout = x[0], groups, w[1], *_two(x[2:], 1), w[0] // groups, *kernel, *at
    more = *_two(call_meta["stride"], 1), *_two(call_meta["padding"], 0), *_two(call_meta["dilation"], 1), rows
    return (*layout, *more), (depth, rows * at[1])


def _conv_parts(op: Op) -> int:
    x, w, y = _shapes(op)
    return _part_count(x[0] * prod(w) * prod(y[2:]))


def _conv_numbers(op: Op) -> tuple[Any, ...]:
    return np.array(_conv_sizes(op)[0]), _conv_parts(op)


def _work(op: Op) -> int:
    layout, columns = _conv_sizes(op)
    return int(layout[5] * prod(columns)) if layout[5] >= LEAST else 0


def _column_memory(op: Op) -> tuple[Ints, ...]:
    return ((_conv_parts(op), prod(_conv_sizes(op)[1])),)


def _columns_and_totals(op: Op) -> tuple[Ints, ...]:
    return (*_column_memory(op), (_conv_parts(op), op.out.size))


def _convolution(function: str, memory: Any) -> Native:
    return Native("images", function, _of_images, memory=memory, numbers=_conv_numbers, work=_work)


# -- Pooling


def _sizes(op: Op) -> tuple[Ints, Ints]:
    """Return the shapes of the images and of the windows."""
    large, small = (op.out, op.args[0]) if op.name.endswith("spread") else (op.args[0], op.out)
    return large.shape, small.shape


def _supports_pool(op: Op) -> bool:
    return len((op.call_meta or {})["kernel"]) <= 2


def _pool_sizes(op: Op) -> Ints:
    """Return the numbers of `layout`: those of a convolution of single channels."""
    call_meta: dict[str, Any] = op.call_meta or {}
    axes = len(call_meta["kernel"])
    x, y = _sizes(op)
    size, at = _two(x[-axes:], 1), _two(y[-axes:], 1)
    kernel, stride, padding = _two(call_meta["kernel"], 1), _two(call_meta["stride"], 1), _two(call_meta["padding"], 0)
    return prod(x[: len(x) - axes]), 1, 1, *size, 1, *kernel, *at, *stride, *padding, 1, 1, at[0]


def _pool_parts(op: Op) -> int:
    return _part_count(prod(_sizes(op)[1]) * prod((op.call_meta or {})["kernel"]))


def _pool_numbers(op: Op) -> tuple[Any, ...]:
    return np.array(_pool_sizes(op)), _pool_parts(op)


def _spread_numbers(op: Op) -> tuple[Any, ...]:
    layout = _pool_sizes(op)
    return np.array(layout), layout[6:8] == layout[10:12] == (2, 2) and layout[12:14] == (0, 0), _pool_parts(op)


def _mean_numbers(op: Op) -> tuple[Any, ...]:
    return np.array(_pool_sizes(op)), bool((op.call_meta or {})["count_include_pad"]), _pool_parts(op)


def _line_memory(op: Op) -> tuple[Ints, ...]:
    layout = _pool_sizes(op)
    return ((_pool_parts(op), layout[8] * max(layout[4] + 2 * layout[13], layout[9] * layout[11])),)


def _window_memory(op: Op) -> tuple[Ints, ...]:
    _, _, _, _, _, _, down, across, rows, at, *_ = _pool_sizes(op)
    many = 3 if op.name == "max_collect" else 2
    return ((_pool_parts(op), (many * down * across + 1) * rows * at),)


ROWS = {
    "conv": _convolution("conv", _column_memory),
    "conv_transpose": _convolution("conv_transpose", _column_memory),
    "conv_weight": _convolution("conv_weight", _columns_and_totals),
    "max_pool": Native("pools", "max_pool", _supports_pool, memory=_line_memory, numbers=_pool_numbers),
    "max_spread": Native("pools", "max_spread", _supports_pool, memory=_window_memory, numbers=_spread_numbers),
    "max_collect": Native("pools", "max_collect", _supports_pool, memory=_window_memory, numbers=_pool_numbers),
    "avg_pool": Native("pools", "avg_pool", _supports_pool, memory=_window_memory, numbers=_mean_numbers),
    "avg_spread": Native("pools", "avg_spread", _supports_pool, memory=_window_memory, numbers=_mean_numbers),
}
