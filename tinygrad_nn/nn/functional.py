"""The functions of the layers, with PyTorch's names, order of arguments and options.

Each is a thin wrapper around what the layer calls; parameters such as weights are arguments here. ``input`` and
``target`` are in PyTorch's order, classes are on axis 1, and ``dim`` is NumPy's axis.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from ..common.arguments import as_generator
from ..common.printable import counted
from ..common.spelling import no_attribute
from ..ops import pooling
from ..ops.activations import celu, elu, gelu, glu, hard_sigmoid, hard_swish, hard_tanh, mish, selu, silu, softsign
from ..ops.activations import prelu as rectified_by
from ..ops.attention import weights as attention_weights
from ..ops.convolution import conv, conv_transpose, per_axis
from ..ops.elementwise import tanh as tanh_
from ..ops.embedding import embedding as rows_of
from ..ops.neural import affine, sigmoid
from ..ops.neural import leaky_relu as leaky
from ..ops.neural import log_softmax as log_softmax_
from ..ops.neural import relu as rectified
from ..ops.neural import softmax as softmax_
from ..ops.normalisation import rms_norm as scaled
from ..ops.normalisation import standardize
from ..ops.special import log_sigmoid
from ..ops.special import softplus as softplus_
from ..tensor import Tensor, raw
from . import losses
from .activation_layers import hardshrink, relu6, softshrink, tanhshrink, threshold
from .activation_layers import softmin as softmin_
from .conv import check_axes
from .dropout import check_share
from .embedding import checked_indices, padding_row
from .function_arguments import checked_function
from .linear import as_input
from .loss_layers import cross_entropy, hinge_embedding_loss, margin_ranking_loss, nll_loss, soft_margin_loss
from .norm import standardize_batch, standardize_groups
from .resampling import channel_shuffle, fold, interpolate, pixel_shuffle, pixel_unshuffle, unfold

Size = int | tuple[int, ...]
Rng = np.random.Generator | int | None

# -- activations


def relu(input: Any, inplace: bool = False) -> Any:
    """Return max(x, 0); inplace has no effect in any function of this module."""
    return rectified(input)


def tanh(input: Any) -> Any:
    """Return tanh(x)."""
    return tanh_(input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """Return x, scaled by negative_slope below 0."""
    return leaky(input, alpha=negative_slope)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Return x clipped to min_val and max_val."""
    return hard_tanh(input, low=min_val, high=max_val)


def prelu(input: Any, weight: Any) -> Any:
    """Return x with negative entries scaled by the weight: one number, or one for each entry of the second axis."""
    return rectified_by(input, np.reshape(weight, () if weight.size == 1 else (-1, *(1,) * (input.ndim - 2))))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """Return ln(1 + exp(beta x)) / beta; it is exact for all x, so the threshold has no effect."""
    return softplus_(input, beta=beta)


def _cast(x: Any, dtype: Any) -> Any:
    return x if dtype is None else x.astype(dtype)


def softmax(input: Any, dim: int = -1, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Return exp(x) over its sum along dim, by default the last axis."""
    return softmax_(_cast(input, dtype), axis=dim)


def softmin(input: Any, dim: int = -1, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Return softmax(-x) along dim, by default the last axis."""
    return softmin_(_cast(input, dtype), axis=dim)


def log_softmax(input: Any, dim: int = -1, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Return ln(softmax(x)) along dim, by default the last axis."""
    return log_softmax_(_cast(input, dtype), axis=dim)


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """Return x divided by its p-norm along dim, one axis or a tuple of axes, or by eps if the norm is smaller."""
    axis = tuple(dim) if isinstance(dim, list) else dim
    length = np.linalg.vector_norm(input, axis=axis, keepdims=True, ord=p)
    return input / np.where(raw(length) > eps, length, eps)


# -- layers


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Return x Wᵀ + b: ``(..., n_in)`` becomes ``(..., n_out)``; W is ``(n_out, n_in)``."""
    return affine(as_input(input, weight.dtype), weight, 0.0 if bias is None else bias)


def _convolve(
    axes: int, input: Any, weight: Any, bias: Any, stride: Size, padding: Any, dilation: Size, groups: int
) -> Any:
    check_axes(f"conv{axes}d", input, axes)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"conv{axes}d: padding={padding!r}; known are 'same', 'valid' and numbers.")
        d = dilation if isinstance(dilation, (tuple, list)) else (dilation,) * axes
        total = [s * (k - 1) * (padding == "same") for s, k in zip(d, weight.shape[2:], strict=True)]
        input, padding = np.pad(input, [(0, 0), (0, 0), *((n // 2, n - n // 2) for n in total)]), 0
    return _add_bias(conv(input, weight, stride=stride, padding=padding, dilation=dilation, groups=groups), bias)


def _add_bias(y: Any, bias: Any) -> Any:
    return y if bias is None else y + np.reshape(bias, (-1, *(1,) * (y.ndim - 2)))


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Size = 1, padding: Any = 0, dilation: Size = 1, groups: int = 1
) -> Any:
    """Convolve ``(batch, c_in, n)`` with ``(c_out, c_in / groups, k)``; see `nn.Conv1d`."""
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Size = 1, padding: Any = 0, dilation: Size = 1, groups: int = 1
) -> Any:
    """Convolve ``(batch, c_in, h, w)`` with ``(c_out, c_in / groups, kh, kw)``; see `nn.Conv2d`.

    Example:
        >>> conv2d(np.ones((1, 1, 4, 4)), np.ones((2, 1, 3, 3)), np.zeros(2), padding=1).shape
        (1, 2, 4, 4)
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(axes: int) -> Any:
    def call(
        input: Any, weight: Any, bias: Any = None, stride: Size = 1, padding: Size = 0, output_padding: Size = 0,
        groups: int = 1, dilation: Size = 1,
    ) -> Any:  # fmt: skip
        check_axes(f"conv_transpose{axes}d", input, axes)
        return _add_bias(conv_transpose(input, weight, stride=stride, padding=padding, output_padding=output_padding,
                                    dilation=dilation, groups=groups), bias)  # fmt: skip

    return _named(call, f"conv_transpose{axes}d", f"Transposed convolution; see `nn.ConvTranspose{axes}d`.")


def _named(call: Any, name: str, text: str) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = text
    return call


def _max_pool(axes: int) -> Any:
    def call(input: Any, kernel_size: Size, stride: Size | None = None, padding: Size = 0, *, ceil_mode: bool = False
             ) -> Any:  # fmt: skip
        check_axes(f"max_pool{axes}d", input, axes)
        return pooling.max_pool(input, kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode)

    return _named(call, f"max_pool{axes}d", f"Return the largest entry of each window; see `nn.MaxPool{axes}d`.")


def _avg_pool(axes: int) -> Any:
    def call(input: Any, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
             count_include_pad: bool = True, divisor_override: float | None = None) -> Any:  # fmt: skip
        check_axes(f"avg_pool{axes}d", input, axes)
        return pooling.avg_pool(input, kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode,
                                count_include_pad=count_include_pad, divisor_override=divisor_override)  # fmt: skip

    return _named(call, f"avg_pool{axes}d", f"Return the mean of each window; see `nn.AvgPool{axes}d`.")


def _adaptive_pool(kind: str, axes: int) -> Any:
    def call(input: Any, output_size: Size) -> Any:
        check_axes(call.__name__, input, axes)
        return getattr(pooling, f"adaptive_{kind}_pool")(input, output_size)

    value = {"avg": "mean", "max": "largest value"}[kind]
    text = f"Divide each spatial axis into output_size cells, and return the {value} of each cell."
    return _named(call, f"adaptive_{kind}_pool{axes}d", text)


conv_transpose1d, conv_transpose2d = map(_conv_transpose, (1, 2))
max_pool1d, max_pool2d = map(_max_pool, (1, 2))
avg_pool1d, avg_pool2d = map(_avg_pool, (1, 2))
adaptive_avg_pool1d, adaptive_avg_pool2d = (_adaptive_pool("avg", axes) for axes in (1, 2))
adaptive_max_pool1d, adaptive_max_pool2d = (_adaptive_pool("max", axes) for axes in (1, 2))


def dropout(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Rng = None
) -> Any:
    """If training, set each entry to zero with probability p, drawn from rng, and scale the others by 1 / (1 - p)."""
    check_share("dropout", p)
    if not training or p == 0:
        return input
    x = as_input(input, float)
    return x * ((as_generator(rng).random(x.shape) >= p) / (1 - p)).astype(x.dtype)


def layer_norm(input: Any, normalized_shape: Size, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalise over the last axes, whose lengths are normalized_shape; see `nn.LayerNorm`."""
    shape = _check_last_axes("layer_norm", input, normalized_shape)
    axis = tuple(range(-len(shape), 0))
    return standardize(input, 1.0 if weight is None else weight, 0.0 if bias is None else bias, axis=axis, eps=eps)


def rms_norm(input: Any, normalized_shape: Size, weight: Any = None, eps: float | None = None) -> Any:
    """Scale to root mean square 1 over the last axes; see `nn.RMSNorm`."""
    shape = _check_last_axes("rms_norm", input, normalized_shape)
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    return scaled(input, 1.0 if weight is None else weight, axis=tuple(range(-len(shape), 0)), eps=eps)


def _check_last_axes(call: str, x: Any, shape: Size) -> tuple[int, ...]:
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else (int(shape),)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"{call}: the input has shape {x.shape}, which does not end in normalized_shape={shape}.")
    return shape


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Normalise each feature of ``(batch, features, *spatial)``; see `nn.BatchNorm`.

    With training=True by the statistics of the batch; the running statistics, if given, are then updated in place:
    (1 - momentum) times the old plus momentum times the new. Otherwise by the running statistics.
    """
    column = (-1, *(1,) * (input.ndim - 2))
    w, b = (fill if p is None else np.reshape(p, column) for p, fill in ((weight, 1.0), (bias, 0.0)))
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: with training=False it needs running_mean and running_var, which are None. "
                             "Write training=True to normalise by the statistics of the batch.")  # fmt: skip
        scale = w / np.sqrt(np.reshape(raw(running_var), column) + eps)
        return input * scale + (b - np.reshape(raw(running_mean), column) * scale)
    axis = (0, *range(2, input.ndim))
    out, mean, var, n = standardize_batch(input, w, b, axis, eps)
    for running, new in ((running_mean, mean), (running_var, var * (n / np.maximum(n - 1, 1)))):
        if running is not None:
            raw(running)[...] = (1 - momentum) * raw(running) + momentum * new.reshape(-1)
    return out


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalise each sample over groups of its channels and over its spatial axes; see `nn.GroupNorm`."""
    channels = input.shape[1]
    if channels % num_groups:
        raise ValueError(f"group_norm: {channels} channels cannot be divided into {num_groups} groups of equal size.")
    return standardize_groups(input, num_groups, weight, bias, eps)


def instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Normalise each channel of each sample over its spatial axes; see `nn.InstanceNorm`.

    There are no running statistics: running_mean and running_var are ``None``, and use_input_stats is True.
    """
    if running_mean is not None or running_var is not None or not use_input_stats:
        raise NotImplementedError(
            "instance_norm: each sample has its own statistics, none are running. Write instance_norm(x, weight=w)."
        )
    return group_norm(input, input.shape[1], weight, bias, eps)


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    r"""Divide each entry by the squares of `size` neighbouring channels at the same place.

    .. math:: y_c = x_c \Big(k + \frac{\alpha}{n} \sum_{c - n / 2 \le d < c + n / 2} x_d^2\Big)^{-\beta}

    Source: Krizhevsky, Sutskever & Hinton, ImageNet classification with deep convolutional networks (2012), section
    3.3; as in PyTorch, alpha is divided by n.

    Example:
        >>> local_response_norm(np.ones((1, 2, 1)), 2, alpha=2.0, beta=1.0).tolist()
        [[[0.5], [0.3333333333333333]]]
    """
    (n,) = per_axis("local_response_norm", "size", size, 1, 1)
    squares = np.pad(input * input, [(0, 0), (n // 2, (n - 1) // 2), *[(0, 0)] * (input.ndim - 2)])
    windows = [squares[:, start : start + input.shape[1]] for start in range(n)]
    return input * (k + alpha / n * sum(windows)) ** -beta


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """Return x₁ᵀ W x₂ + b: ``(..., n_1)`` and ``(..., n_2)`` become ``(..., n_out)``; W is ``(n_out, n_1, n_2)``."""
    y = np.einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Return the rows of a table ``(words, n)`` at the indices in input; the row padding_idx gets no gradient."""
    rows = checked_indices("embedding: the table", "input", input, weight.shape[0])
    return rows_of(weight, rows, padding_idx=padding_row("embedding", padding_idx, weight.shape[0]))


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Return integers ``(..., num_classes)``, 1 at each class number and 0 elsewhere; -1 stands for the largest + 1.

    They are a Tensor if the class numbers are one, and an ndarray otherwise.

    Example:
        >>> one_hot([0, 2]).tolist()
        [[1, 0, 0], [0, 0, 1]]
    """
    labels = np.asarray(raw(tensor))
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: class numbers are integers; these are of dtype {labels.dtype}. Write x.astype(int).")
    classes = int(labels.max(initial=-1)) + 1 if num_classes == -1 else num_classes
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"one_hot: class numbers from {labels.min()} to {labels.max()} do not fit {counted(classes, 'class')}."
        )
    found = (labels[..., None] == np.arange(classes)).astype(np.int64)
    return Tensor(found) if isinstance(tensor, Tensor) else found


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """Pad the last axes; `pad` is (before, after) of the last axis, then of the one before; negative ones crop.

    Example:
        >>> pad(np.ones((2, 2)), (1, 0)).tolist()
        [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    widths = [(int(a), int(b)) for a, b in zip(pad[::2], pad[1::2], strict=False)][::-1]
    if len(pad) % 2 or len(widths) > input.ndim or mode not in modes:
        raise ValueError(f"pad: pad={pad!r}, mode={mode!r} of shape {input.shape}; modes are {', '.join(modes)}, and "
                         "pad needs two numbers per axis, the last axis first.")  # fmt: skip
    if min(pad, default=0) < 0:
        ends = zip(widths, input.shape[input.ndim - len(widths) :], strict=True)
        input = input[(..., *(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in ends))]
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    fill = {"constant_values": value or 0} if mode == "constant" else {}
    return np.pad(input, [(0, 0)] * (input.ndim - len(widths)) + widths, mode=modes[mode], **fill)  # type: ignore[call-overload]


def _check_shapes(query: Any, key: Any, value: Any, mask: Any) -> None:
    """Raise a ValueError if the shapes of query, key, value and mask do not fit together."""
    shapes = {"query": query.shape, "key": key.shape, "value": value.shape}
    fronts = [shape[:-2] for shape in shapes.values()]
    if mask is not None:
        shapes["attn_mask"] = np.shape(mask)
    (q, k, v, *_), wrong = shapes.values(), ""
    if min(map(len, (q, k, v))) < 2:
        wrong = "query, key and value need two axes or more, (..., rows, columns). Write x[None] for one row"
    elif q[-1] != k[-1]:
        columns = counted(q[-1], "column")
        wrong = f"key needs {columns}, as many as query. Write key.swapaxes(-1, -2) if keys are columns"
    elif v[-2] != k[-2]:
        rows = counted(k[-2], "row")
        wrong = f"value needs {rows}, one for each key. Write value.swapaxes(-1, -2) if values are columns"
    elif not _can_broadcast(*fronts):
        wrong = (
            "the axes in front of the last two need to broadcast: equal lengths, or 1, counted from behind. Write "
            "x[:, None] to add an axis of length 1 behind the first one"
        )
    elif mask is not None and not _can_broadcast(shapes["attn_mask"], (*np.broadcast_shapes(*fronts), q[-2], k[-2])):
        wrong = (
            f"attn_mask needs to broadcast to (..., queries, keys), here (..., {q[-2]}, {k[-2]}). Write mask[:, None, "
            "None, :] for a mask of the keys of each sample"
        )
    if wrong:
        got = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"scaled_dot_product_attention got {got}; {wrong}.")


def _can_broadcast(*shapes: tuple[int, ...]) -> bool:
    """Return whether the shapes broadcast."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, *, rng: Rng = None,
) -> Any:  # fmt: skip
    """Return softmax(q kᵀ scale + mask) v for q ``(..., queries, d)``, k ``(..., keys, d)``, v ``(..., keys, n)``.

    Args:
        query, key, value: q, k and v; heads are an axis before the last two. The leading axes broadcast.
        attn_mask: booleans, True where a query may attend to a key (in `MultiheadAttention` True forbids it, as in
            PyTorch), or floats that are added to the scores.
        dropout_p: the share of the weights that is set to zero; it is applied even in eval mode, unless it is 0.
        is_causal: whether each query attends only to keys at its own position and before.
        scale: by default 1 / sqrt(d).
        rng: a Generator or a seed for the dropout.

    Returns:
        ``(..., queries, n)``. A query that may attend to no key gets 0; in PyTorch it gets NaN.

    Raises:
        ValueError: the shapes do not fit together.
    """
    _check_shapes(query, key, value, attn_mask)
    d = query.shape[-1]
    if scale is not None:
        query = query * (scale * sqrt(d))
    mask: Any = 0.0
    if is_causal:
        mask = np.where(np.tri(query.shape[-2], key.shape[-2], dtype=bool), 0.0, -np.inf)
    if attn_mask is not None:
        given = attn_mask if isinstance(attn_mask, Tensor) else np.asarray(attn_mask)
        mask = mask + (np.where(raw(given), 0.0, -np.inf) if given.dtype.kind == "b" else given)
    looks = attention_weights(query, key, mask.astype(query.dtype) if np.ndim(mask) else mask)
    return dropout(looks, dropout_p, rng=rng) @ value


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Return the cosine of the angle between vectors along dim; lengths below eps are replaced by eps."""
    shape = np.broadcast_shapes(np.shape(x1), np.shape(x2))
    x1, x2 = (x if np.shape(x) == shape else np.broadcast_to(x, shape) for x in (x1, x2))
    lengths = (np.linalg.norm(x, axis=dim) for x in (x1, x2))
    a, b = (np.where(raw(n) > eps, n, eps) for n in lengths)
    return (x1 * x2).sum(axis=dim) / (a * b)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """Return the p-norm of x1 - x2 + eps along the last axis."""
    return np.linalg.norm(x1 - x2 + eps, p, axis=-1, keepdims=keepdim)


def gumbel_softmax(
    logits: Any, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1, *, rng: Rng = None
) -> Any:
    r"""Return samples of classes that can be differentiated.

    .. math:: y = softmax((x - \ln E) / \tau), \quad E \text{ exponentially distributed}

    With hard=True the values are 0 and 1, and the gradients those of y. PyTorch has the option eps too, without effect.

    Example:
        >>> gumbel_softmax(np.array([[0.0, 9.0]]), hard=True, rng=0).tolist()
        [[0.0, 1.0]]
    """
    x = as_input(logits, float)
    soft = softmax_((x - np.log(as_generator(rng).exponential(size=x.shape)).astype(x.dtype)) / tau, axis=dim)
    if not hard:
        return soft
    largest = np.expand_dims(np.argmax(raw(soft), axis=dim), dim)
    np.put_along_axis(ones := np.zeros_like(raw(soft)), largest, 1, dim)
    return ones + (soft - raw(soft))  # soft - raw(soft) is 0, and has the gradient


# -- functions that need only another name

hardsigmoid, hardswish, logsigmoid = hard_sigmoid, hard_swish, log_sigmoid
binary_cross_entropy = losses.binary_cross_entropy
binary_cross_entropy_with_logits = losses.binary_cross_entropy_with_logits
l1_loss, mse_loss = losses.l1_loss, losses.mse_loss
smooth_l1_loss, huber_loss = losses.smooth_l1, losses.huber
kl_div, gaussian_nll_loss, poisson_nll_loss = losses.kl_divergence, losses.gaussian_nll, losses.poisson_nll
cosine_embedding_loss, triplet_margin_loss = losses.cosine_embedding, losses.triplet_margin
multi_margin_loss, ctc_loss = losses.multi_margin, losses.ctc

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "avg_pool1d",
    "avg_pool2d", "batch_norm", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu",
    "channel_shuffle", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "cosine_embedding_loss",
    "cosine_similarity", "cross_entropy", "ctc_loss", "dropout", "elu", "embedding", "fold", "gaussian_nll_loss",
    "gelu", "glu", "group_norm", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "hinge_embedding_loss", "huber_loss", "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "local_response_norm", "log_softmax", "logsigmoid", "margin_ranking_loss", "max_pool1d",
    "max_pool2d", "mish", "mse_loss", "multi_margin_loss", "nll_loss", "normalize", "one_hot", "pad",
    "pairwise_distance", "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss", "prelu", "relu", "relu6",
    "rms_norm", "scaled_dot_product_attention", "selu", "sigmoid", "silu", "smooth_l1_loss", "soft_margin_loss",
    "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
    "triplet_margin_loss", "unfold",
]  # fmt: skip

for _name in __all__:
    globals()[_name] = checked_function(_name, globals()[_name])
del _name


def __getattr__(name: str) -> object:
    raise no_attribute(f"module {__name__!r}", name, __all__)
