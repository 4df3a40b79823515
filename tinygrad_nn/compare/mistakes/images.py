"""Mistakes at convolution and pooling, such as a flipped kernel, a forgotten stride or padding, or a wrong pixel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...ops.convolution import inner_index
from ...primitive import REGISTRY
from ..paths import Array, Traced, args_of, name_of
from .mistake import RARE, Mistake, Site, differentiated_arguments, finds


def _flipped(w: Any) -> Array:
    index: Any = (..., *(slice(None, None, -1),) * (np.ndim(w) - 2))
    return np.asarray(w)[index]  # type: ignore[no-any-return]


def _with_options(s: Site, slot: int, **how: Any) -> Any:
    """Return the gradient of a convolution with other options, cut or padded with zeros to the right shape."""
    options = {**s.meta, **how}
    if slot == 1:
        return REGISTRY["conv_weight"].forward(s.g, s.args[0], kernel=s.args[1].shape[2:], **options)
    none, padding = (0,) * (s.g.ndim - 2), options.pop("padding")
    made = REGISTRY["conv_transpose"].forward(s.g, s.args[1], output_padding=none, padding=none, **options)
    return _crop_or_pad(made[(..., *(slice(p, None) for p in padding))], s.args[0].shape)


def _crop_or_pad(x: Array, shape: tuple[int, ...]) -> Array:
    made = np.zeros(shape, x.dtype)
    part = tuple(slice(min(n, m)) for n, m in zip(shape, x.shape, strict=True))
    made[part] = x[part]
    return made


@finds("conv")
def convolutions(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a convolution with a wrong kernel, stride, padding, or set of windows."""
    node = graph.operations[place]
    args, slots, meta = args_of(node), differentiated_arguments(node), node.meta
    axes = np.ndim(args[0]) - 2
    for slot in slots:
        what = "the image" if slot == 0 else "the kernel"
        if any(p for p in meta["padding"]):
            yield Mistake("wrong_padding", f"The padding is forgotten in the gradient of {what}.",
                          lambda s, i=slot, a=axes: _with_options(s, i, padding=(0,) * a), slot)  # fmt: skip
        if any(d != 1 for d in meta["stride"]):
            yield Mistake("wrong_stride", f"The stride is forgotten in the gradient of {what}.",
                          lambda s, i=slot, a=axes: _with_options(s, i, stride=(1,) * a), slot)  # fmt: skip
        if len(args[0]) > 1 and slot == 1:
            for which, n in (("last", -1), ("first", 0)):
                yield Mistake("overwritten_not_accumulated", f"Only the {which} sample contributes to the gradient of "
                              "the kernel.",
                              lambda s, n=n: s.rule(1, s.g * _axis_mask(s.g, 0, n)), 1)  # fmt: skip
        if slot == 1:
            for which, at in (("last", -1), ("first", 0)):
                yield Mistake("overwritten_not_accumulated", f"Only the {which} position contributes to the gradient "
                              "of the kernel.",
                              lambda s, at=at: s.rule(1, s.g * _corner(s.g, at)), 1)  # fmt: skip
        else:
            yield from _overwritten()
        for which, n in (("last", -1), ("first", 0)) if np.shape(node.out)[1] > 1 else ():
            yield Mistake("overwritten_not_accumulated", f"Only the {which} kernel contributes to the gradient of "
                          f"{what}.", lambda s, k=slot, n=n: s.rule(k, s.g * _axis_mask(s.g, 1, n)), slot,
                          cost=RARE)  # fmt: skip
    if 0 in slots:
        yield Mistake("flipped_kernel", "In the gradient of the image, the kernel is flipped where it should not be, "
                      "or not flipped where it should be.",
                      lambda s: s.rule(0, args=(s.args[0], _flipped(s.args[1]))), 0)  # fmt: skip
        if np.shape(args[1])[0] == np.shape(args[1])[1]:
            yield Mistake("transpose", "The channels of the kernel are exchanged in the gradient of the image.",
                          lambda s: s.rule(0, args=(s.args[0], np.swapaxes(s.args[1], 0, 1))), 0)  # fmt: skip
        if axes == 2 and len(set(np.shape(args[1])[2:])) == 1:
            yield Mistake("transpose", "The kernel is transposed in the gradient of the image.",
                          lambda s: s.rule(0, args=(s.args[0], np.swapaxes(s.args[1], 2, 3))), 0)  # fmt: skip
    if 1 in slots:
        yield Mistake("flipped_kernel", "The gradient of the kernel is flipped.",
                      lambda s: _flipped(s.slots[1]), 1)  # fmt: skip
        yield Mistake("scale", "The gradient of the kernel is averaged over the positions; it should be summed.",
                      lambda s: s.slots[1] / np.prod(s.g.shape[2:]), 1, cost=RARE)  # fmt: skip
        if axes == 2 and len(set(np.shape(args[1])[2:])) == 1:
            yield Mistake("transpose", "The gradient of the kernel is transposed.",
                          lambda s: np.swapaxes(s.slots[1], 2, 3), 1)  # fmt: skip


def _axis_mask(g: Array, axis: int, i: int) -> Array:
    mask = np.zeros(g.shape[axis])
    mask[i] = 1
    return mask.reshape([-1 if a == axis else 1 for a in range(g.ndim)])


def _corner(g: Array, at: int) -> Array:
    mask = np.zeros(g.shape[2:])
    mask[(at,) * (g.ndim - 2)] = 1
    return mask


def _overwritten() -> Iterator[Mistake]:
    """Yield the gradient of an image in which overlapping windows overwrite each other instead of being added."""

    def last(s: Site) -> Array:
        x, w, g = s.args[0], s.args[1], s.g
        stride, padding, dilation = s.meta["stride"], s.meta["padding"], s.meta["dilation"]
        if s.meta.get("groups", 1) != 1:
            return np.full(x.shape, np.nan)
        wide = np.zeros((*x.shape[:2], *(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True))), x.dtype)
        for at in np.ndindex(*g.shape[2:]):
            span = tuple(slice(i * d, i * d + e * (k - 1) + 1, e)
                         for i, d, e, k in zip(at, stride, dilation, w.shape[2:], strict=True))  # fmt: skip
            wide[(slice(None), slice(None), *span)] = np.tensordot(g[(slice(None), slice(None), *at)], w, 1)
        return wide[inner_index(x.shape[2:], padding)]  # type: ignore[no-any-return]

    yield Mistake("overwritten_not_accumulated", "Where windows overlap the last one overwrites the others in the "
                  "gradient of the image; they should be added.", last, 0)  # fmt: skip


@finds("max_pool", "avg_pool")
def pools(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of pooling that go to wrong pixels, or are divided by a wrong number."""
    node = graph.operations[place]
    if 0 not in differentiated_arguments(node):
        return
    if name_of(node) == "max_pool":
        rows: list[tuple[str, str, Any]] = [
            ("mask_missing", "The gradient goes to all pixels of a window; it should go to the largest.",
             lambda x, best, i: np.ones(x.shape)),
            ("mask_missing", "The gradient is divided among all pixels of a window, as that of a mean.",
             lambda x, best, i: np.full(x.shape, 1 / x.shape[-1])),
            ("ties", "Each of several equal pixels gets the whole gradient; they should share it.",
             lambda x, best, i: x == best),
            ("ties", "The whole gradient goes to the first of several equal pixels; it should be shared.",
             lambda x, best, i: np.arange(x.shape[-1]) == x.argmax(-1)[..., None]),
            ("ties", "The whole gradient goes to the last of several equal pixels; it should be shared.",
             lambda x, best, i: np.arange(x.shape[-1]) == x.shape[-1] - 1 - x[..., ::-1].argmax(-1)[..., None]),
            ("wrong_index", "The gradient goes to the first pixel of each window; it should go to the largest.",
             lambda x, best, i: np.arange(x.shape[-1]) == 0),
            ("wrong_index", "The gradient goes to the last pixel of each window; it should go to the largest.",
             lambda x, best, i: np.arange(x.shape[-1]) == x.shape[-1] - 1),
            ("wrong_index", "The gradient goes to the smallest pixel of each window; it should go to the largest.",
             lambda x, best, i: np.arange(x.shape[-1]) == np.where(np.isfinite(x), x, np.inf).argmin(-1)[..., None]),
            ("wrong_value", "The gradient is multiplied by the largest pixel.", lambda x, best, i: (x == best) * best),
            ("mask_missing", "The gradient goes to all pixels but the largest.", lambda x, best, i: x != best),
        ]  # fmt: skip
        for kind, text, share in rows:
            yield Mistake(kind, text, lambda s, share=share: _pool_gradient(s, share), 0)
            if kind in ("mask_missing", "ties"):
                yield Mistake("overwritten_not_accumulated", "Where windows overlap the last one overwrites the "
                              "others; they should be added.",
                              lambda s, share=share: _pool_gradient(s, share, over=True), 0, cost=RARE)  # fmt: skip
    else:
        size = int(np.prod(node.meta["kernel"]))
        yield Mistake("scale", "The gradient of the mean of a window is not divided by the number of its pixels.",
                      lambda s: s.slots[0] * size, 0)  # fmt: skip
        yield Mistake("overwritten_not_accumulated", "Where windows overlap the last one overwrites the others; they "
                      "should be added.",
                      lambda s: _pool_gradient(s, lambda x, best, i: np.full(x.shape, 1 / x.shape[-1]), True),
                      0)  # fmt: skip
        yield Mistake("wrong_index", "The gradient goes to the largest pixel of each window, as of a maximum.",
                      lambda s: _pool_gradient(s, lambda x, best, i: x == x.max(-1, keepdims=True)), 0)  # fmt: skip


def _pool_gradient(s: Site, share: Any, over: bool = False) -> Any:
    """Return the gradient of an image if `share` computes from the pixels of a window the share that each of them gets.

    The shares of overlapping windows are added, or overwrite each other if `over`.
    """
    x, kernel, stride, padding = s.args[0], s.meta["kernel"], s.meta["stride"], s.meta["padding"]
    axes = len(kernel)
    shape = (*x.shape[:-axes], *(n + 2 * p for n, p in zip(x.shape[-axes:], padding, strict=True)))
    wide = np.full(shape, -np.inf, x.dtype)
    inside = inner_index(x.shape[-axes:], padding)
    wide[inside] = x
    made = np.zeros(shape, x.dtype)
    for at in np.ndindex(*s.g.shape[-axes:]):
        span: Any = (..., *(slice(i * d, i * d + k) for i, d, k in zip(at, stride, kernel, strict=True)))
        window = wide[span]
        flat = window.reshape(*window.shape[:-axes], -1)
        part = (share(flat, flat.max(-1, keepdims=True), at) * s.g[(..., *at)][..., None]).reshape(window.shape)
        made[span] = part if over else made[span] + part
    return made[inside]
