"""The ONNX operators that `load_onnx` knows, each as a function ``f(node, *inputs)`` of arrays and Tensors.

`node` has the operator's attributes. An optional input that is missing is ``None``. Integer inputs, such as shapes and
axes, are plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..ops.activations import celu, elu, gelu, hard_swish, mish, prelu, selu, silu, softsign
from ..ops.convolution import conv, conv_transpose
from ..ops.neural import leaky_relu, log_softmax, logsumexp, relu, sigmoid, softmax
from ..ops.normalisation import rms_norm, standardize
from ..ops.pooling import avg_pool, max_pool
from ..ops.special import erf, softplus
from ..tensor import Tensor, raw

Node = SimpleNamespace
Function = Callable[..., Any]


def _of(function: Callable[..., Any]) -> Function:
    return lambda node, *inputs: function(*inputs)


def _ints(x: Any) -> list[int]:
    return [int(i) for i in np.atleast_1d(raw(x))]


def _many(function: Callable[[Any, Any], Any]) -> Function:
    """Return an operator of any number of arguments that applies a function of two arguments from left to right."""

    def run(node: Node, first: Any, *others: Any) -> Any:
        for other in others:
            first = function(first, other)
        return first

    return run


def _divide(node: Node, a: Any, b: Any) -> Any:
    if np.asarray(raw(a)).dtype.kind in "iu":
        return np.trunc(np.asarray(raw(a)) / np.asarray(raw(b))).astype(np.asarray(raw(a)).dtype)
    return a / b


def _mod(node: Node, a: Any, b: Any) -> Any:
    return np.fmod(a, b) if getattr(node, "fmod", 0) else np.mod(a, b)


def _reduce(function: Callable[..., Any]) -> Function:
    def run(node: Node, x: Any, axes: Any = None) -> Any:
        keepdims = getattr(node, "keepdims", 1) != 0
        found = getattr(node, "axes", None) if axes is None else _ints(axes)
        if not found and getattr(node, "noop_with_empty_axes", False):
            return x
        return function(x, axis=tuple(found) if found else None, keepdims=keepdims)

    return run


def _norm1(x: Any, **how: Any) -> Any:
    return np.sum(np.abs(x), **how)


def _norm2(x: Any, **how: Any) -> Any:
    return np.sqrt(np.sum(x * x, **how))


def _log_of_sum(x: Any, **how: Any) -> Any:
    return np.log(np.sum(x, **how))


def _sum_of_squares(x: Any, **how: Any) -> Any:
    return np.sum(x * x, **how)


def _arg(function: Callable[..., Any]) -> Function:
    def run(node: Node, x: Any) -> Any:
        axis, keepdims = getattr(node, "axis", 0), bool(getattr(node, "keepdims", 1))
        return function(np.asarray(raw(x)), axis=axis, keepdims=keepdims)

    return run


def _gemm(node: Node, a: Any, b: Any, c: Any = None) -> Any:
    a = np.transpose(a) if getattr(node, "transA", 0) else a
    b = np.transpose(b) if getattr(node, "transB", 0) else b
    alpha, beta = getattr(node, "alpha", 1.0), getattr(node, "beta", 1.0)
    out = np.matmul(a, b) if alpha == 1 else alpha * np.matmul(a, b)
    return out if c is None else out + (c if beta == 1 else beta * c)


# -- shapes


def _reshape(node: Node, x: Any, shape: Any) -> Any:
    wanted = _ints(shape) if np.size(raw(shape)) else []
    if not getattr(node, "allowzero", 0):
        wanted = [np.shape(x)[k] if n == 0 else n for k, n in enumerate(wanted)]
    return np.reshape(x, tuple(wanted))


def _flatten(node: Node, x: Any) -> Any:
    axis, shape = getattr(node, "axis", 1), np.shape(x)
    axis = axis + len(shape) if axis < 0 else axis
    return np.reshape(x, (prod(shape[:axis]), prod(shape[axis:])))


def _axes(node: Node, axes: Any) -> tuple[int, ...] | None:
    found = getattr(node, "axes", None) if axes is None else _ints(axes)
    return None if found is None else tuple(found)


def _squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    return np.squeeze(x, _axes(node, axes))


def _unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    return np.expand_dims(x, _axes(node, axes) or ())


def _transpose(node: Node, x: Any) -> Any:
    return np.transpose(x, getattr(node, "perm", None))


def _expand(node: Node, x: Any, shape: Any) -> Any:
    return np.broadcast_to(x, np.broadcast_shapes(np.shape(x), tuple(_ints(shape))))


def _split(node: Node, x: Any, sizes: Any = None) -> Any:
    axis = getattr(node, "axis", 0)
    length = np.shape(x)[axis]
    parts = getattr(node, "split", None) if sizes is None else _ints(sizes)
    if parts is None:
        count = getattr(node, "num_outputs", node.outputs)
        each = -(-length // count)
        parts = [min(each, length - k * each) for k in range(count)]
    ends = np.cumsum(parts)[:-1].tolist()
    return tuple(np.split(x, ends, axis))


def _slice(node: Node, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    starts, ends = (node.starts, node.ends) if starts is None else (_ints(starts), _ints(ends))
    given = getattr(node, "axes", None) if axes is None else _ints(axes)
    strides = [1] * len(starts) if steps is None else _ints(steps)
    index = [slice(None)] * np.ndim(x)
    for axis, start, end, step in zip(given or range(len(starts)), starts, ends, strides, strict=True):
        # with a negative step, an end below -length means: include the first entry
        index[axis] = slice(start, None if step < 0 and end < -np.shape(x)[axis] else end, step)
    return x[tuple(index)]


def _gather(node: Node, x: Any, index: Any) -> Any:
    return np.take(x, np.asarray(raw(index)), axis=getattr(node, "axis", 0))


def _gather_elements(node: Node, x: Any, index: Any) -> Any:
    return np.take_along_axis(x, np.asarray(raw(index)), axis=getattr(node, "axis", 0))


def _gather_nd(node: Node, x: Any, index: Any) -> Any:
    if getattr(node, "batch_dims", 0):
        raise NotImplementedError("GatherND with batch_dims")
    return x[tuple(np.moveaxis(np.asarray(raw(index)), -1, 0))]


def _concat(node: Node, *arrays: Any) -> Any:
    return np.concatenate(arrays, axis=node.axis)


def _pad(node: Node, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    widths = node.pads if pads is None else _ints(pads)
    value = getattr(node, "value", 0.0) if value is None else raw(value).item()
    n = len(widths) // 2
    every = [(0, 0)] * np.ndim(x)
    for axis, before, after in zip(range(n) if axes is None else _ints(axes), widths[:n], widths[n:], strict=True):
        every[axis] = before, after
    mode: Any = getattr(node, "mode", "constant")
    return np.pad(x, every, mode, **({"constant_values": value} if mode == "constant" else {}))


def _tile(node: Node, x: Any, repeats: Any) -> Any:
    return np.tile(x, _ints(repeats))


def _cast(node: Node, x: Any) -> Any:
    dtype = node.dtype_of(node.to)
    if isinstance(x, Tensor) and np.dtype(dtype).kind != "f":
        x = x.data
    return x.astype(dtype) if hasattr(x, "astype") else np.asarray(x, dtype)


def _shape(node: Node, x: Any) -> Any:
    return np.array(np.shape(x)[getattr(node, "start", 0) : getattr(node, "end", None)], np.int64)


def _constant(node: Node) -> Any:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if hasattr(node, name):
            value = getattr(node, name)
            kind = np.float32 if "float" in name else np.int64
            return value if name == "value" else np.array(value, kind)
    raise NotImplementedError("a Constant of this kind")


def _constant_of_shape(node: Node, shape: Any) -> Any:
    value = np.asarray(getattr(node, "value", np.zeros(1, np.float32)))
    return np.full(tuple(_ints(shape)) if np.size(shape) else (), value.reshape(-1)[0], value.dtype)


def _range(node: Node, start: Any, limit: Any, delta: Any) -> Any:
    return np.arange(*(np.asarray(raw(x)).item() for x in (start, limit, delta)), dtype=np.asarray(raw(start)).dtype)


def _clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    low = getattr(node, "min", None) if low is None else raw(low)
    high = getattr(node, "max", None) if high is None else raw(high)
    return x if low is None and high is None else np.clip(x, low, high)


def _trilu(node: Node, x: Any, k: Any = None) -> Any:
    return (np.triu if getattr(node, "upper", 1) else np.tril)(x, 0 if k is None else int(np.asarray(k).item()))


def _cumsum(node: Node, x: Any, axis: Any) -> Any:
    if getattr(node, "exclusive", 0) or getattr(node, "reverse", 0):
        raise NotImplementedError("CumSum that is exclusive or reversed")
    return np.cumsum(x, axis=int(np.asarray(raw(axis)).item()))


def _einsum(node: Node, *arrays: Any) -> Any:
    return np.einsum(node.equation, *arrays)


# -- networks


def _padding(node: Node, axes: int, lengths: Sequence[int], kernel: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the padding before and the padding after, one number per spatial axis each."""
    how = getattr(node, "auto_pad", "NOTSET")
    if how in ("NOTSET", ""):
        pads = getattr(node, "pads", [0] * (2 * axes))
        return pads[:axes], pads[axes:]
    if how == "VALID":
        return [0] * axes, [0] * axes
    strides, dilations = getattr(node, "strides", [1] * axes), getattr(node, "dilations", [1] * axes)
    both = []
    for n, k, s, d in zip(lengths, kernel, strides, dilations, strict=True):
        both.append(max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n))
    small, large = [b // 2 for b in both], [b - b // 2 for b in both]
    return (small, large) if how == "SAME_UPPER" else (large, small)


def _even(x: Any, node: Node, kernel: Sequence[int], fill: float) -> tuple[Any, list[int]]:
    """Return an input and its padding if that is the same on both sides; else the input already padded, and zeros."""
    axes = np.ndim(x) - 2
    before, after = _padding(node, axes, np.shape(x)[2:], kernel)
    if before == after:
        return x, before
    widths = [(0, 0), (0, 0), *zip(before, after, strict=True)]
    return np.pad(x, widths, constant_values=fill), [0] * axes


def _biased(out: Any, bias: Any) -> Any:
    return out if bias is None else out + np.reshape(bias, (-1, *[1] * (np.ndim(out) - 2)))


def _conv(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    axes = np.ndim(x) - 2
    x, padding = _even(x, node, np.shape(kernel)[2:], 0.0)
    out = conv(x, kernel, stride=tuple(getattr(node, "strides", [1] * axes)), padding=tuple(padding),
               dilation=tuple(getattr(node, "dilations", [1] * axes)), groups=getattr(node, "group", 1))  # fmt: skip
    return _biased(out, bias)


def _conv_transpose(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    axes = np.ndim(x) - 2
    before, after = _padding(node, axes, np.shape(x)[2:], np.shape(kernel)[2:])
    if before != after or hasattr(node, "output_shape") or getattr(node, "auto_pad", "NOTSET") not in ("NOTSET", ""):
        raise NotImplementedError("ConvTranspose with uneven padding or an output_shape")
    out = conv_transpose(
        x, kernel, stride=tuple(getattr(node, "strides", [1] * axes)), padding=tuple(before),
        dilation=tuple(getattr(node, "dilations", [1] * axes)), groups=getattr(node, "group", 1),
        output_padding=tuple(getattr(node, "output_padding", [0] * axes)),
    )  # fmt: skip
    return _biased(out, bias)


def _pool_checked(node: Node) -> None:
    if getattr(node, "ceil_mode", 0) or any(d != 1 for d in getattr(node, "dilations", [1])):
        raise NotImplementedError("pooling with ceil_mode or dilations")


def _max_pool(node: Node, x: Any) -> Any:
    _pool_checked(node)
    kernel = node.kernel_shape
    x, padding = _even(x, node, kernel, -np.inf)
    return max_pool(x, tuple(kernel), stride=tuple(getattr(node, "strides", [1] * len(kernel))), padding=tuple(padding))


def _average_pool(node: Node, x: Any) -> Any:
    _pool_checked(node)
    kernel, axes = node.kernel_shape, len(node.kernel_shape)
    before, after = _padding(node, axes, np.shape(x)[2:], kernel)
    if before != after:
        raise NotImplementedError("AveragePool with uneven padding")
    return avg_pool(x, tuple(kernel), stride=tuple(getattr(node, "strides", [1] * axes)), padding=tuple(before),
                    count_include_pad=bool(getattr(node, "count_include_pad", 0)))  # fmt: skip


def _over_pixels(function: Callable[..., Any]) -> Function:
    return lambda node, x: function(x, axis=tuple(range(2, np.ndim(x))), keepdims=True)


def _channels(x: Any, ndim: int) -> Any:
    return np.reshape(x, (-1, *[1] * (ndim - 2)))


def _batch_norm(node: Node, x: Any, weight: Any, bias: Any, mean: Any, var: Any) -> Any:
    weight, bias, mean, var = (_channels(p, np.ndim(x)) for p in (weight, bias, mean, var))
    return (x - mean) * (weight / np.sqrt(var + getattr(node, "epsilon", 1e-5))) + bias


def _layer_norm(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    first = getattr(node, "axis", -1) % np.ndim(x)
    axes = tuple(range(first, np.ndim(x)))
    return standardize(x, weight, 0.0 if bias is None else bias, axis=axes, eps=getattr(node, "epsilon", 1e-5))


def _rms(node: Node, x: Any, weight: Any) -> Any:
    first = getattr(node, "axis", -1) % np.ndim(x)
    return rms_norm(x, weight, axis=tuple(range(first, np.ndim(x))), eps=getattr(node, "epsilon", 1e-5))


def _instance_norm(node: Node, x: Any, weight: Any, bias: Any) -> Any:
    weight, bias = (_channels(p, np.ndim(x)) for p in (weight, bias))
    return standardize(x, weight, bias, axis=tuple(range(2, np.ndim(x))), eps=getattr(node, "epsilon", 1e-5))


def _group_norm(node: Node, x: Any, weight: Any, bias: Any) -> Any:
    shape, groups = np.shape(x), node.num_groups
    parts = np.reshape(x, (shape[0], groups, -1))
    out = np.reshape(standardize(parts, 1.0, 0.0, axis=(2,), eps=getattr(node, "epsilon", 1e-5)), shape)
    if np.size(weight) == groups != shape[1]:  # before opset 21, weight and bias have one entry per group
        weight, bias = (np.repeat(p, shape[1] // groups) for p in (weight, bias))
    weight, bias = (_channels(p, len(shape)) for p in (weight, bias))
    return out * weight + bias


def _softmax(function: Callable[..., Any]) -> Function:
    return lambda node, x: function(x, axis=getattr(node, "axis", -1))


def _dropout(node: Node, x: Any, *unused: Any) -> Any:
    return x


def _hard_sigmoid(node: Node, x: Any) -> Any:
    return np.clip(getattr(node, "alpha", 0.2) * x + getattr(node, "beta", 0.5), 0.0, 1.0)


def _elu(node: Node, x: Any) -> Any:
    return elu(x, alpha=getattr(node, "alpha", 1.0))


def _gelu(node: Node, x: Any) -> Any:
    return gelu(x, approximate=getattr(node, "approximate", "none"))


def _lstm(node: Node, x: Any, W: Any, R: Any, B: Any = None, lens: Any = None, h: Any = None, c: Any = None,
          peepholes: Any = None) -> Any:  # fmt: skip
    n = node.hidden_size
    if peepholes is not None:
        raise NotImplementedError("LSTM with peepholes")

    def step(z: Any, states: list[Any], R: Any, _: Any) -> list[Any]:
        a = z + np.matmul(states[0], R.T)
        i, o, f, u = (a[:, k * n : (k + 1) * n] for k in range(4))
        c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(u)
        return [sigmoid(o) * np.tanh(c), c]

    return _recurrent(node, step, x, W, R, B, lens, [h, c], ["Sigmoid", "Tanh", "Tanh"])


def _gru(node: Node, x: Any, W: Any, R: Any, B: Any = None, lens: Any = None, h: Any = None) -> Any:
    n = node.hidden_size
    after = bool(getattr(node, "linear_before_reset", 0))

    def step(z: Any, states: list[Any], R: Any, b: Any) -> list[Any]:
        h = states[0]
        of_h = np.matmul(h, R[: 2 * n].T) + b[: 2 * n]
        u, r = sigmoid(z[:, :n] + of_h[:, :n]), sigmoid(z[:, n : 2 * n] + of_h[:, n:])
        kept = r * (np.matmul(h, R[2 * n :].T) + b[2 * n :]) if after else np.matmul(r * h, R[2 * n :].T) + b[2 * n :]
        new = np.tanh(z[:, 2 * n :] + kept)
        return [(1 - u) * new + u * h]

    return _recurrent(node, step, x, W, R, B, lens, [h], ["Sigmoid", "Tanh"], apart=True)


def _rnn(node: Node, x: Any, W: Any, R: Any, B: Any = None, lens: Any = None, h: Any = None) -> Any:
    kinds = getattr(node, "activations", ["Tanh"])
    if set(kinds) - {"Tanh", "Relu"}:
        raise NotImplementedError(f"RNN with {kinds}")
    function = np.tanh if kinds[0] == "Tanh" else relu

    def step(z: Any, states: list[Any], R: Any, _: Any) -> list[Any]:
        return [function(z + np.matmul(states[0], R.T))]

    return _recurrent(node, step, x, W, R, B, lens, [h], kinds[:1])


def _recurrent(
    node: Node, step: Callable[..., list[Any]], x: Any, W: Any, R: Any, B: Any, lens: Any, first: list[Any],
    usual: list[str], apart: bool = False,
) -> Any:  # fmt: skip
    """Run a recurrent operator in each direction; `apart` does not add the recurrent bias to the input's (GRU)."""
    kinds, count = getattr(node, "activations", usual), np.shape(W)[0]
    if lens is not None or kinds[: len(usual)] != usual or getattr(node, "layout", 0) or hasattr(node, "clip"):
        raise NotImplementedError("a recurrent operator with sequence_lens, clip, layout or other activations")
    time, rows, n = np.shape(x)[0], np.shape(x)[1], node.hidden_size
    every, last = [], []
    for d in range(count):
        back = getattr(node, "direction", "forward") == "reverse" or d == 1
        width = np.shape(W)[1]
        zero = np.zeros(width, raw(W).dtype)
        of_x, of_h = (zero, zero) if B is None else (B[d][:width], B[d][width:])
        z = np.matmul(x, W[d].T) + (of_x if apart else of_x + of_h)
        states = [np.zeros((rows, n), raw(W).dtype) if s is None else s[d] for s in first]
        seen = []
        for t in reversed(range(time)) if back else range(time):
            states = step(z[t], states, R[d], of_h)
            seen.append(states[0])
        every.append(np.stack(seen[::-1] if back else seen))
        last.append(states)
    return (np.stack(every, axis=1), *(np.stack(list(s)) for s in zip(*last, strict=True)))


FUNCTIONS: dict[str, Function] = {
    # elementwise
    "Add": _of(np.add), "Sub": _of(np.subtract), "Mul": _of(np.multiply), "Div": _divide, "Neg": _of(np.negative),
    "Abs": _of(np.abs), "Exp": _of(np.exp), "Log": _of(np.log), "Sqrt": _of(np.sqrt), "Pow": _of(np.power),
    "Reciprocal": _of(lambda x: 1 / x), "Sign": _of(np.sign), "Floor": _of(np.floor), "Ceil": _of(np.ceil),
    "Round": _of(np.rint), "Sin": _of(np.sin), "Cos": _of(np.cos), "Tan": _of(np.tan), "Asin": _of(np.arcsin),
    "Acos": _of(np.arccos), "Atan": _of(np.arctan), "Sinh": _of(np.sinh), "Cosh": _of(np.cosh), "Tanh": _of(np.tanh),
    "Asinh": _of(np.arcsinh), "Acosh": _of(np.arccosh), "Atanh": _of(np.arctanh), "Erf": _of(erf), "Mod": _mod,
    "Max": _many(np.maximum), "Min": _many(np.minimum), "Sum": _many(np.add),
    "Mean": lambda node, *x: _many(np.add)(node, *x) / len(x),
    "Clip": _clip, "Identity": _of(lambda x: x),
    # comparisons and logic
    "Greater": _of(np.greater), "GreaterOrEqual": _of(np.greater_equal), "Less": _of(np.less),
    "LessOrEqual": _of(np.less_equal), "Equal": _of(np.equal), "And": _of(np.logical_and), "Or": _of(np.logical_or),
    "Xor": _of(np.logical_xor), "Not": _of(np.logical_not), "Where": _of(lambda c, x, y: np.where(raw(c), x, y)),
    "IsNaN": _of(np.isnan), "IsInf": _of(np.isinf),
    # activations
    "Relu": _of(relu), "LeakyRelu": lambda node, x: leaky_relu(x, alpha=getattr(node, "alpha", 0.01)), "Elu": _elu,
    "Selu": _of(selu), "Celu": lambda node, x: celu(x, alpha=getattr(node, "alpha", 1.0)), "Gelu": _gelu,
    "Sigmoid": _of(sigmoid), "HardSigmoid": _hard_sigmoid, "HardSwish": _of(hard_swish), "Mish": _of(mish),
    "Swish": _of(silu), "Softplus": _of(softplus), "Softsign": _of(softsign), "PRelu": _of(prelu),
    "Softmax": _softmax(softmax), "LogSoftmax": _softmax(log_softmax), "Dropout": _dropout,
    # reductions and products
    "ReduceSum": _reduce(np.sum), "ReduceMean": _reduce(np.mean), "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min), "ReduceProd": _reduce(np.prod), "ReduceL1": _reduce(_norm1),
    "ReduceL2": _reduce(_norm2), "ReduceLogSumExp": _reduce(logsumexp), "ReduceLogSum": _reduce(_log_of_sum),
    "ReduceSumSquare": _reduce(_sum_of_squares), "ArgMax": _arg(np.argmax), "ArgMin": _arg(np.argmin),
    "CumSum": _cumsum, "MatMul": _of(np.matmul), "Gemm": _gemm, "Einsum": _einsum,
    # shapes and indexing
    "Reshape": _reshape, "Flatten": _flatten, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Transpose": _transpose,
    "Expand": _expand, "Split": _split, "Slice": _slice, "Gather": _gather, "GatherElements": _gather_elements,
    "GatherND": _gather_nd, "Concat": _concat, "Pad": _pad, "Tile": _tile, "Cast": _cast, "Shape": _shape,
    "Size": _of(lambda x: np.array(np.size(x), np.int64)), "Constant": _constant,
    "ConstantOfShape": _constant_of_shape, "Range": _range, "Trilu": _trilu,
    # layers
    "Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _max_pool, "AveragePool": _average_pool,
    "GlobalAveragePool": _over_pixels(np.mean), "GlobalMaxPool": _over_pixels(np.max),
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm, "RMSNormalization": _rms, "LSTM": _lstm, "GRU": _gru, "RNN": _rnn,
}  # fmt: skip
CONSTANT_INPUTS = {"BatchNormalization": (3, 4)}  # running statistics, which are not trained

