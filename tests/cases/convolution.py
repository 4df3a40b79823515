"""Rows for convolution and pooling, with references that take each window by itself, straight from the definitions."""

import functools
import itertools
import math

import numpy as np

from tinygrad_nn.ops.convolution import conv, conv_transpose
from tinygrad_nn.ops.pooling import adaptive_avg_pool, adaptive_max_pool, avg_pool, max_pool
from tinygrad_nn.primitive import REGISTRY

from .case import Case


def _each(value, axes):
    return value if isinstance(value, tuple) else (value,) * axes


def conv_reference(x, w, stride=1, padding=0, dilation=1, groups=1):
    """One sum of products for each group of channels and each position."""
    kernel, axes = w.shape[2:], w.ndim - 2
    s, p, d = (_each(option, axes) for option in (stride, padding, dilation))
    x = np.pad(x, ((0, 0), (0, 0), *((q, q) for q in p)))
    at = [(n - e * (k - 1) - 1) // t + 1 for n, k, t, e in zip(x.shape[2:], kernel, s, d, strict=True)]
    out = np.zeros((len(x), len(w), *at), np.result_type(x, w))
    c, o, summed = w.shape[1], len(w) // groups, range(1, w.ndim)
    for k, *i in np.ndindex(groups, *at):
        part = tuple(slice(a * t, a * t + e * (m - 1) + 1, e) for a, t, e, m in zip(i, s, d, kernel, strict=True))
        pixels, kernels = x[(slice(None), slice(k * c, k * c + c), *part)], w[k * o : k * o + o]
        out[(slice(None), slice(k * o, k * o + o), *i)] = np.tensordot(pixels, kernels, (summed, summed))
    return out


def conv_transpose_reference(x, w, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """One kernel laid down for each sample, channel and pixel."""
    kernel, axes = w.shape[2:], w.ndim - 2
    s, p, d, more = (_each(option, axes) for option in (stride, padding, dilation, output_padding))
    size = [(n - 1) * t + e * (k - 1) + 1 + m for n, t, k, e, m in zip(x.shape[2:], s, kernel, d, more, strict=True)]
    c = w.shape[1]
    out = np.zeros((len(x), c * groups, *size), np.result_type(x, w))
    for n, o, *i in np.ndindex(x.shape):
        part = tuple(slice(a * t, a * t + e * (k - 1) + 1, e) for a, t, e, k in zip(i, s, d, kernel, strict=True))
        first = o // (x.shape[1] // groups) * c
        out[(n, slice(first, first + c), *part)] += x[(n, o, *i)] * w[o]
    return out[(..., *(slice(q, n - q) for q, n in zip(p, size, strict=True)))]


def pool_reference(x, kernel, reduce, stride=None, padding=0):
    """One window after the other, cut to the image; `reduce` takes the window's pixels and the size of the kernel."""
    axes = len(kernel) if isinstance(kernel, tuple) else x.ndim - 2
    k, p = _each(kernel, axes), _each(padding, axes)
    s = k if stride is None else _each(stride, axes)
    spans = [
        [(max(0, i * t - q), i * t - q + m) for i in range((n + 2 * q - m) // t + 1)]
        for n, m, t, q in zip(x.shape[-axes:], k, s, p, strict=True)
    ]
    return _pooled(x, spans, lambda pixels: reduce(pixels, math.prod(k)))


def adaptive_reference(x, size, reduce):
    axes = len(size) if isinstance(size, tuple) else x.ndim - 2
    spans = [
        [(math.floor(i * n / m), math.ceil((i + 1) * n / m)) for i in range(m)]
        for n, m in zip(x.shape[-axes:], _each(size, axes), strict=True)
    ]
    return _pooled(x, spans, reduce)


def _pooled(x, spans, reduce):
    before, values = x.shape[: x.ndim - len(spans)], []
    for one in itertools.product(*spans):
        pixels = x[(..., *(slice(*span) for span in one))]
        values.append(reduce(pixels.reshape(*before, math.prod(pixels.shape[len(before) :]))))
    return np.stack(values, axis=-1).reshape(*before, *map(len, spans))


def largest(pixels, size=None):
    return pixels.max(axis=-1)


def mean_with_padding(pixels, size):
    return pixels.sum(axis=-1) / size


def mean(pixels, size=None):
    return pixels.sum(axis=-1) / pixels.shape[-1]


def _convolutions():
    for x, w, how in (
        ((2, 3, 6), (4, 3, 3), {}),
        ((2, 2, 7), (4, 1, 2), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
        ((1, 1, 5), (1, 1, 5), {}),
        ((2, 2, 5, 4), (3, 2, 3, 2), {}),
        ((2, 2, 5, 4), (3, 2, 3, 3), {"padding": 1}),
        ((1, 2, 6, 5), (2, 2, 3, 2), {"stride": (2, 1), "padding": (0, 2)}),
        ((2, 2, 6, 6), (2, 2, 2, 2), {"stride": 3}),
        ((1, 2, 7, 6), (2, 2, 3, 2), {"dilation": (2, 3), "padding": (1, 0)}),
        ((2, 4, 4, 3), (6, 2, 2, 2), {"groups": 2, "stride": (1, 2)}),
        ((2, 3, 4, 4), (3, 1, 3, 3), {"groups": 3, "padding": 1}),
        ((2, 3, 4, 3), (2, 3, 1, 1), {}),
        ((2, 3, 4, 3), (2, 3, 1, 1), {"stride": 2, "padding": 1}),
        ((1, 2, 2, 2), (2, 2, 3, 3), {"padding": 3, "stride": 2}),
        ((1, 2, 4, 3, 4), (2, 1, 2, 2, 3), {"groups": 2, "padding": (0, 1, 1), "stride": (2, 1, 1)}),
        ((0, 2, 4, 4), (3, 2, 3, 3), {"padding": 1}),
    ):  # fmt: skip
        yield Case("conv", lambda x, w, how=how: conv(x, w, **how), (x, w), analytic=True, complex=x[0] != 0,
                   reference=lambda x, w, how=how: conv_reference(x, w, **how), note=_words(how))  # fmt: skip
    yield Case("conv", lambda x, w: x.conv(w, padding=1) if hasattr(x, "conv") else conv(x, w, padding=1),
               ((2, 2, 4), (2, 2, 3)), reference=lambda x, w: conv_reference(x, w, padding=1),
               note="method")  # fmt: skip
    yield Case("conv", lambda x, w: conv(np.tanh(x), np.exp(w), padding=1), ((1, 2, 3, 3), (2, 2, 2, 2)), (-1, 1),
               order=3, reference=lambda x, w: conv_reference(np.tanh(x), np.exp(w), padding=1), note="between others")
    yield Case("conv", lambda x: conv(x, x[:, :, :2, :2]), ((2, 2, 4, 3),), analytic=True,
               reference=lambda x: conv_reference(x, x[:, :, :2, :2]), note="with its own pixels")  # fmt: skip


def _transposes():
    for x, w, how in (
        ((2, 3, 4), (3, 2, 3), {}),
        ((2, 4, 3), (4, 1, 2), {"stride": 2, "padding": 1, "output_padding": 1, "dilation": 2, "groups": 2}),
        ((2, 2, 3, 4), (2, 3, 3, 2), {}),
        ((2, 2, 3, 4), (2, 3, 3, 3), {"padding": 1}),
        ((1, 2, 3, 2), (2, 2, 3, 2), {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2)}),
        ((1, 2, 3, 2), (2, 2, 2, 2), {"stride": 3, "dilation": 2}),
        ((1, 2, 2, 3), (2, 1, 2, 2), {"stride": (1, 2), "dilation": (3, 1), "output_padding": (2, 1)}),
        ((2, 4, 3, 2), (4, 3, 2, 2), {"groups": 2, "stride": (1, 2)}),
        ((2, 3, 3, 3), (3, 1, 3, 3), {"groups": 3, "padding": 1}),
        ((2, 3, 4, 3), (3, 2, 1, 1), {}),
        ((1, 2, 2, 3, 2), (2, 2, 2, 1, 3), {"stride": (2, 1, 1), "padding": (1, 0, 1)}),
        ((0, 2, 3, 3), (2, 3, 2, 2), {"stride": 2}),
    ):  # fmt: skip
        yield Case("conv_transpose", lambda x, w, how=how: conv_transpose(x, w, **how), (x, w), analytic=True,
                   complex=x[0] != 0, reference=lambda x, w, how=how: conv_transpose_reference(x, w, **how),
                   note=_words(how))  # fmt: skip
    yield Case("conv_transpose",
               lambda x, w: x.conv_transpose(w, stride=2) if hasattr(x, "conv") else conv_transpose(x, w, stride=2),
               ((1, 2, 3), (2, 2, 3)), reference=lambda x, w: conv_transpose_reference(x, w, stride=2), note="method")


def _kernel_gradients():
    """The third of the trio, which only the rules call: its positions may be fewer than the image has room for."""
    for x, y, kernel, stride, padding, dilation, groups in (
        ((2, 3, 4), (2, 2, 6), (3,), (1,), (0,), (1,), 1),
        ((2, 4, 2), (2, 2, 7), (2,), (2,), (1,), (2,), 2),
        ((2, 3, 3, 2), (2, 2, 5, 5), (3, 2), (1, 2), (0, 1), (1, 1), 1),
        ((1, 2, 2, 2), (1, 4, 6, 5), (2, 2), (2, 1), (1, 0), (2, 1), 2),
        ((2, 3, 4, 3), (2, 2, 4, 3), (1, 1), (1, 1), (0, 0), (1, 1), 1),
        ((0, 3, 2, 2), (0, 2, 3, 3), (2, 2), (1, 1), (0, 0), (1, 1), 1),
    ):  # fmt: skip
        how = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        yield Case("conv_weight", lambda x, y, how=how: REGISTRY["conv_weight"](x, y, **how), (x, y), analytic=True,
                   complex=x[0] != 0, reference=lambda x, y, how=how: _weight_reference(x, y, **how),
                   note=f"{kernel}, {groups} groups")  # fmt: skip


def _weight_reference(x, y, kernel, stride, padding, dilation, groups):
    """For each entry of a kernel: the sum of x times the pixels that this entry meets."""
    y = np.pad(y, ((0, 0), (0, 0), *((q, q) for q in padding)))
    c, o = y.shape[1] // groups, x.shape[1] // groups
    out = np.zeros((x.shape[1], c, *kernel), np.result_type(x, y))
    for k, *i in np.ndindex(out.shape[1:]):
        ends = zip(i, dilation, stride, x.shape[2:], strict=True)
        part = tuple(slice(a * e, a * e + t * (n - 1) + 1, t) for a, e, t, n in ends)
        pixels = np.repeat(y[(slice(None), slice(k, None, c), *part)], o, axis=1)  # of channel k of each group
        out[:, k, *i] = np.sum(x * pixels, axis=(0, *range(2, x.ndim)))
    return out


def _words(how):
    return ", ".join(f"{key} {value}" for key, value in how.items())


POOLS = (
    ((2, 2, 6), 2, {}),
    ((1, 2, 7), 3, {"stride": 2, "padding": 1}),
    ((2, 2, 4, 6), 2, {}),
    ((2, 2, 5, 5), 2, {}),
    ((1, 2, 5, 6), 3, {"stride": 1, "padding": 1}),
    ((1, 2, 6, 5), (3, 2), {"stride": (2, 3), "padding": (2, 1)}),
    ((1, 2, 7, 3), (2, 1), {"stride": (4, 2)}),
    ((1, 1, 3, 4), (3, 4), {}),
    ((2, 3, 2, 4), (2,), {"stride": 1}),
    ((5,), (3,), {"stride": 1, "padding": 1}),
    ((1, 2, 3, 4, 3), 2, {"stride": 1}),
    ((0, 2, 4, 4), 2, {}),
)


def _pools():
    for x, kernel, how in POOLS:
        note = f"kernel {kernel}" + (f", {_words(how)}" if how else "")
        yield Case("max_pool", lambda x, k=kernel, how=how: max_pool(x, k, **how), (x,), distinct=True,
                   reference=lambda x, k=kernel, how=how: pool_reference(x, k, largest, **how), note=note)  # fmt: skip
        yield Case("avg_pool", lambda x, k=kernel, how=how: avg_pool(x, k, **how), (x,), analytic=True,
                   complex=x[0] > 0, note=note,
                   reference=lambda x, k=kernel, how=how: pool_reference(x, k, mean_with_padding, **how))  # fmt: skip
        if how.get("padding"):
            yield Case("avg_pool", lambda x, k=kernel, how=how: avg_pool(x, k, **how, count_include_pad=False), (x,),
                       analytic=True, reference=lambda x, k=kernel, how=how: pool_reference(x, k, mean, **how),
                       note=f"{note}, without padding")  # fmt: skip
    yield Case("max_pool", lambda x: max_pool(x * x, 2, stride=1), ((1, 2, 3, 4),), (0.2, 2), distinct=True, order=3,
               reference=lambda x: pool_reference(x * x, 2, largest, stride=1), note="of squares")  # fmt: skip


def _places():
    """Given where the largest pixels are: the gradient of the image, and the change of those pixels."""
    for shape, kernel, stride, padding in (
        ((2, 2, 6), (2,), (2,), (0,)), ((1, 2, 5, 4), (3, 2), (1, 2), (1, 0)), ((0, 2, 4, 4), (2, 2), (2, 2), (0, 0)),
    ):  # fmt: skip
        how = {"kernel": kernel, "stride": stride, "padding": padding}
        image = np.random.default_rng(0).integers(0, 3, shape) / 1  # ties
        best = pool_reference(image, kernel, largest, stride, padding)
        shares = functools.cache(functools.partial(_shares, image, best, **how))
        for name, given in (("max_spread", best.shape), ("max_collect", shape)):
            yield Case(
                name, lambda g, name=name, x=image, m=best, how=how: REGISTRY[name](g, x, m, **how), (given,),
                reference=lambda g, name=name, shares=shares, x=image, m=best: (
                    (shares().astype(g.dtype) @ g.ravel()).reshape(x.shape) if name == "max_spread" else
                    (g.ravel() @ shares().astype(g.dtype)).reshape(m.shape)),
                note=f"kernel {kernel}, padding {padding}",
            )  # fmt: skip


def _shares(x, m, kernel, stride, padding):
    """The matrix of what share each pixel has in each largest one."""
    share = np.zeros((x.size, m.size))
    for j in range(x.size):
        unit = np.zeros(x.shape)
        unit.flat[j] = 1
        share[j] = pool_reference(unit, kernel, largest, stride, padding).ravel() * (x.flat[j] == m.ravel())
    return share / np.maximum(share.sum(axis=0), 1)


def _spread_means():
    for size, kernel, stride, padding, whole in (
        ((6,), (2,), (2,), (0,), True), ((5, 4), (3, 2), (1, 2), (1, 0), False), ((7, 5), (2, 3), (3, 1), (1, 2), True),
    ):  # fmt: skip
        how = {"kernel": kernel, "stride": stride, "padding": padding}
        at = pool_reference(np.zeros((2, *size)), reduce=mean, **how).shape
        yield Case("avg_spread", lambda g, n=size, how=how, w=whole: REGISTRY["avg_spread"](
                       g, size=n, **how, count_include_pad=w), (at,), analytic=True, complex=True,
                   reference=lambda g, n=size, how=how, w=whole: _means_reference(
                       g, n, mean_with_padding if w else mean, how),
                   note=f"kernel {kernel}, padding {padding}" + ", counted" * whole)  # fmt: skip


def _means_reference(g, size, reduce, how):
    """What a unit image gives each mean is what the mean's gradient gives that pixel."""
    units = np.eye(math.prod(size), dtype=g.dtype).reshape(-1, *size)
    means = pool_reference(units, reduce=reduce, **how)
    return (g.reshape(len(g), -1) @ means.reshape(len(means), -1).T).reshape(len(g), *size)


def _adaptive():
    for x, size in (
        ((2, 2, 6), 3), ((2, 2, 7), 3), ((1, 2, 3), 5), ((2, 2, 4, 6), 2), ((1, 2, 5, 4), (3, 2)), ((2, 3, 4, 5), 1),
        ((1, 2, 5, 7), (2, 3)), ((2, 5), (2,)), ((0, 2, 4, 4), 2),
    ):  # fmt: skip
        yield Case("adaptive_avg_pool", lambda x, n=size: adaptive_avg_pool(x, n), (x,), analytic=True,
                   reference=lambda x, n=size: adaptive_reference(x, n, mean), note=f"size {size}")  # fmt: skip
        yield Case("adaptive_max_pool", lambda x, n=size: adaptive_max_pool(x, n), (x,), distinct=True,
                   reference=lambda x, n=size: adaptive_reference(x, n, largest), note=f"size {size}")  # fmt: skip


CASES = [*_convolutions(), *_transposes(), *_kernel_gradients(), *_pools(), *_places(), *_spread_means(), *_adaptive()]
