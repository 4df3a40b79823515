"""The ONNX operators that `load_onnx` knows, each as a function ``f(node, *inputs)`` of arrays and Tensors.

`node` has the operator's attributes. An optional input that is missing is ``None``. Integer inputs, such as shapes and
axes, are plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from ..ops.activations import SELU_ALPHA, SELU_SCALE, celu, elu, gelu, hard_swish, mish, prelu, selu, silu, softsign
from ..ops.neural import leaky_relu, log_softmax, logsumexp, relu, sigmoid, softmax
from ..ops.normalisation import rms_norm, standardize
from ..ops.special import erf, softplus
from ..tensor import raw
from .attributes import Function, Node, in_dtype_of, ints, ordinary
from .recurrent import RECURRENT
from .shapes import SHAPES
from .windows import WINDOWS


def _of(function: Callable[..., Any]) -> Function:
    return lambda node, *inputs: function(*inputs)


def _left_fold(function: Callable[[Any, Any], Any]) -> Function:
    """Return an operator of any number of arguments that applies a function of two arguments from left to right."""

    def run(node: Node, first: Any, *others: Any) -> Any:
        for other in others:
            first = function(first, other)
        return first

    return run


def _divide(node: Node, a: Any, b: Any) -> Any:
    if np.asarray(raw(a)).dtype.kind not in "iu":
        return a / b
    a, b = np.asarray(raw(a)), np.asarray(raw(b))
    whole, rest = np.divmod(a, b)
    return (whole + ((rest != 0) & ((a < 0) != (b < 0)))).astype(a.dtype)  # towards 0


def _mod(node: Node, a: Any, b: Any) -> Any:
    return np.fmod(a, b) if getattr(node, "fmod", 0) else np.mod(a, b)


def _power(node: Node, x: Any, y: Any) -> Any:
    base, exponent = np.asarray(raw(x)), np.asarray(raw(y))
    if base.dtype.kind == "f":
        return np.power(x, exponent.astype(base.dtype) if exponent.dtype.kind in "iu" else y)
    if exponent.dtype.kind == "f" or (exponent < 0).any():
        base = base.astype(np.float64)
    return np.power(base, exponent).astype(np.asarray(raw(x)).dtype)


def _reduce(function: Callable[..., Any], empty: float | None = None) -> Function:
    """Return a reduction; `empty` is the result for no entries, if the function does not know it."""

    def run(node: Node, x: Any, axes: Any = None) -> Any:
        keepdims = getattr(node, "keepdims", 1) != 0
        given = getattr(node, "axes", ()) if axes is None else ints(axes)
        over = tuple(given) if len(given) or getattr(node, "noop_with_empty_axes", 0) else None
        if empty is not None and not np.size(x):
            return _no_entries(np.asarray(raw(x)), over, keepdims, empty)
        return in_dtype_of(function(x, axis=over, keepdims=keepdims), x)

    return run


def _no_entries(x: Any, axes: tuple[int, ...] | None, keepdims: bool, value: float) -> Any:
    shape = np.sum(x, axis=axes, keepdims=keepdims).shape
    if x.dtype.kind in "iu":
        value = np.iinfo(x.dtype).max if value > 0 else np.iinfo(x.dtype).min
    return np.full(shape, value > 0 if x.dtype == np.bool_ else value, x.dtype)


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
        x, axis, keepdims = np.asarray(raw(x)), getattr(node, "axis", 0), bool(getattr(node, "keepdims", 1))
        if not getattr(node, "select_last_index", 0):
            return function(x, axis=axis, keepdims=keepdims)
        return x.shape[axis] - 1 - function(np.flip(x, axis), axis=axis, keepdims=keepdims)

    return run


def _gemm(node: Node, a: Any, b: Any, c: Any = None) -> Any:
    a = np.transpose(a) if getattr(node, "transA", 0) else a
    b = np.transpose(b) if getattr(node, "transB", 0) else b
    alpha, beta = getattr(node, "alpha", 1.0), getattr(node, "beta", 1.0)
    out = np.matmul(a, b) if alpha == 1 else alpha * np.matmul(a, b)
    return in_dtype_of(out if c is None else out + (c if beta == 1 else beta * c), a)


def _cumsum(node: Node, x: Any, axis: Any) -> Any:
    axis = int(np.asarray(raw(axis)).item()) % np.ndim(x)
    ahead = (slice(None),) * axis
    x = x[(*ahead, slice(None, None, -1))] if getattr(node, "reverse", 0) else x
    out = in_dtype_of(np.cumsum(x, axis=axis), x)
    if getattr(node, "exclusive", 0):
        one = out[(*ahead, slice(1))]
        out = np.concatenate([np.zeros(np.shape(one), raw(one).dtype), out[(*ahead, slice(-1))]], axis=axis)
    return out[(*ahead, slice(None, None, -1))] if getattr(node, "reverse", 0) else out


def _einsum(node: Node, *arrays: Any) -> Any:
    return np.einsum(node.equation, *arrays)


def _clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    most = 3.4028234663852886e38 if node.opset < 11 else np.inf  # the largest float32
    low = getattr(node, "min", -most) if low is None else raw(low)
    high = getattr(node, "max", most) if high is None else raw(high)
    low, high = None if low == -np.inf else low, None if high == np.inf else high
    return x if low is None and high is None else np.clip(x, low, high)


def _is_inf(node: Node, x: Any) -> Any:
    x = np.asarray(raw(x))
    below, above = getattr(node, "detect_negative", 1), getattr(node, "detect_positive", 1)
    return np.isinf(x) & (((x < 0) & bool(below)) | ((x > 0) & bool(above)))


# -- norms


def _along_channels(x: Any, ndim: int) -> Any:
    return np.reshape(x, (-1, *[1] * (ndim - 2)))


def _batch_norm(node: Node, x: Any, weight: Any, bias: Any, mean: Any, var: Any) -> Any:
    if getattr(node, "spatial", 1) != 1:
        raise NotImplementedError(f"the attribute spatial={node.spatial} is not supported; 1 is")
    weight, bias = (_along_channels(p, np.ndim(x)) for p in (weight, bias))
    eps = getattr(node, "epsilon", 1e-5)
    if getattr(node, "training_mode", 0):
        axes, momentum = (0, *range(2, np.ndim(x))), getattr(node, "momentum", 0.9)
        now = [f(np.asarray(raw(x)), axis=axes) for f in (np.mean, np.var)]
        running = [momentum * raw(old) + (1 - momentum) * new for old, new in zip((mean, var), now, strict=True)]
        return standardize(x, weight, bias, axis=axes, eps=eps), *running
    mean, var = (_along_channels(p, np.ndim(x)) for p in (mean, var))
    return (x - mean) * (weight / np.sqrt(var + eps)) + bias


def _stash_type(node: Node) -> Any:
    """Return the dtype in which a norm computes mean and variance, unless its input has more digits."""
    dtype = np.dtype(node.dtype_of(getattr(node, "stash_type", 1)))
    if not ordinary(dtype) or dtype.kind != "f":
        raise NotImplementedError(
            f"the attribute stash_type={node.stash_type}, {dtype}, is not supported; floats of 16 to 64 bits are"
        )
    return dtype


def _in_digits_of(stash: Any, x: Any, norm: Callable[..., Any], weight: Any, bias: Any) -> Any:
    """Return a norm of x; if x has fewer digits than the dtype `stash`, all but weight and bias is computed in that."""
    mine = np.asarray(raw(x)).dtype
    if np.result_type(mine, stash) == mine:
        return norm(x, weight, bias)
    out = norm(x.astype(stash), 1.0, 0.0).astype(mine) * weight
    return out if isinstance(bias, float) else out + bias


def _layer_norm(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    first, stash = getattr(node, "axis", -1) % np.ndim(x), _stash_type(node)
    axes, eps = tuple(range(first, np.ndim(x))), getattr(node, "epsilon", 1e-5)
    norm = partial(standardize, axis=axes, eps=eps)
    out = _in_digits_of(stash, x, norm, weight, 0.0 if bias is None else bias)
    if node.outputs == 1:
        return out
    wide = x.astype(np.result_type(raw(x).dtype, stash))
    mean, var = (f(wide, axis=axes, keepdims=True) for f in (np.mean, np.var))
    return out, mean, 1 / np.sqrt(var + eps)


def _rms(node: Node, x: Any, weight: Any) -> Any:
    first, eps = getattr(node, "axis", -1) % np.ndim(x), getattr(node, "epsilon", 1e-5)
    norm = lambda x, weight, _: rms_norm(x, weight, axis=tuple(range(first, np.ndim(x))), eps=eps)  # noqa: E731
    return _in_digits_of(_stash_type(node), x, norm, weight, 0.0)


def _instance_norm(node: Node, x: Any, weight: Any, bias: Any) -> Any:
    weight, bias = (_along_channels(p, np.ndim(x)) for p in (weight, bias))
    return standardize(x, weight, bias, axis=tuple(range(2, np.ndim(x))), eps=getattr(node, "epsilon", 1e-5))


def _group_norm(node: Node, x: Any, weight: Any, bias: Any) -> Any:
    shape, groups = np.shape(x), node.num_groups
    parts = np.reshape(x, (shape[0], groups, -1))
    norm = partial(standardize, axis=(2,), eps=getattr(node, "epsilon", 1e-5))
    out = np.reshape(_in_digits_of(_stash_type(node), parts, norm, 1.0, 0.0), shape)
    if np.size(weight) == groups != shape[1]:  # before opset 21, weight and bias have one entry per group
        weight, bias = (np.repeat(p, shape[1] // groups) for p in (weight, bias))
    weight, bias = (_along_channels(p, len(shape)) for p in (weight, bias))
    return out * weight + bias


def _softmax(function: Callable[..., Any]) -> Function:
    def run(node: Node, x: Any) -> Any:
        if node.opset >= 13:
            return function(x, axis=getattr(node, "axis", -1))
        shape = np.shape(x)  # before, the axes from this one on were a single one
        axis = getattr(node, "axis", 1)
        axis = axis + len(shape) if axis < 0 else axis
        if axis == len(shape) - 1:
            return function(x, axis=-1)
        return np.reshape(function(np.reshape(x, (prod(shape[:axis]), prod(shape[axis:]))), axis=-1), shape)

    return run


def _hardmax(x: Any, axis: int) -> Any:
    x = np.asarray(raw(x))
    out = np.zeros_like(x)
    np.put_along_axis(out, np.argmax(x, axis=axis, keepdims=True), 1, axis)
    return out


# -- activations


def _dropout(node: Node, x: Any, ratio: Any = None, training: Any = None) -> Any:
    if training is not None and np.asarray(raw(training)).item() and (ratio is None or np.asarray(raw(ratio)).item()):
        raise NotImplementedError("the input training_mode=True, which would draw numbers, is not supported; False is")
    kind = np.bool_ if node.opset >= 10 else raw(x).dtype
    return x if node.outputs == 1 else (x, np.ones(np.shape(x), kind))


def _hard_sigmoid(node: Node, x: Any) -> Any:
    return np.clip(getattr(node, "alpha", 0.2) * x + getattr(node, "beta", 0.5), 0.0, 1.0)


def _elu(node: Node, x: Any) -> Any:
    return elu(x, alpha=getattr(node, "alpha", 1.0))


def _selu(node: Node, x: Any) -> Any:
    if not hasattr(node, "alpha") and not hasattr(node, "gamma"):
        return selu(x)
    return getattr(node, "gamma", SELU_SCALE) * elu(x, alpha=getattr(node, "alpha", SELU_ALPHA))


def _swish(node: Node, x: Any) -> Any:
    alpha = getattr(node, "alpha", 1.0)
    return silu(x) if alpha == 1 else x * sigmoid(alpha * x)


def _gelu(node: Node, x: Any) -> Any:
    return gelu(x, approximate=getattr(node, "approximate", "none"))


FUNCTIONS: dict[str, Function] = {
    # elementwise
    "Add": _of(np.add), "Sub": _of(np.subtract), "Mul": _of(np.multiply), "Div": _divide, "Neg": _of(np.negative),
    "Abs": _of(np.abs), "Exp": _of(np.exp), "Log": _of(np.log), "Sqrt": _of(np.sqrt), "Pow": _power,
    "Reciprocal": _of(lambda x: 1 / x), "Sign": _of(np.sign), "Floor": _of(np.floor), "Ceil": _of(np.ceil),
    "Round": _of(np.rint), "Sin": _of(np.sin), "Cos": _of(np.cos), "Tan": _of(np.tan), "Asin": _of(np.arcsin),
    "Acos": _of(np.arccos), "Atan": _of(np.arctan), "Sinh": _of(np.sinh), "Cosh": _of(np.cosh), "Tanh": _of(np.tanh),
    "Asinh": _of(np.arcsinh), "Acosh": _of(np.arccosh), "Atanh": _of(np.arctanh), "Erf": _of(erf), "Mod": _mod,
    "Max": _left_fold(np.maximum), "Min": _left_fold(np.minimum), "Sum": _left_fold(np.add),
    "Mean": lambda node, *x: _left_fold(np.add)(node, *x) / len(x),
    "Clip": _clip, "Identity": _of(lambda x: x),
    # comparisons and logic
    "Greater": _of(np.greater), "GreaterOrEqual": _of(np.greater_equal), "Less": _of(np.less),
    "LessOrEqual": _of(np.less_equal), "Equal": _of(np.equal), "And": _of(np.logical_and), "Or": _of(np.logical_or),
    "Xor": _of(np.logical_xor), "Not": _of(np.logical_not), "Where": _of(lambda c, x, y: np.where(raw(c), x, y)),
    "IsNaN": _of(np.isnan), "IsInf": _is_inf,
    # activations
    "Relu": _of(relu), "LeakyRelu": lambda node, x: leaky_relu(x, alpha=getattr(node, "alpha", 0.01)), "Elu": _elu,
    "Selu": _selu, "Celu": lambda node, x: celu(x, alpha=getattr(node, "alpha", 1.0)), "Gelu": _gelu,
    "Sigmoid": _of(sigmoid), "HardSigmoid": _hard_sigmoid, "HardSwish": _of(hard_swish), "Mish": _of(mish),
    "Swish": _swish, "Softplus": _of(softplus), "Softsign": _of(softsign), "PRelu": _of(prelu),
    "Softmax": _softmax(softmax), "LogSoftmax": _softmax(log_softmax), "Hardmax": _softmax(_hardmax),
    "Dropout": _dropout,
    # reductions and products
    "ReduceSum": _reduce(np.sum), "ReduceMean": _reduce(np.mean), "ReduceMax": _reduce(np.max, -np.inf),
    "ReduceMin": _reduce(np.min, np.inf), "ReduceProd": _reduce(np.prod), "ReduceL1": _reduce(_norm1),
    "ReduceL2": _reduce(_norm2), "ReduceLogSumExp": _reduce(logsumexp, -np.inf), "ReduceLogSum": _reduce(_log_of_sum),
    "ReduceSumSquare": _reduce(_sum_of_squares), "ArgMax": _arg(np.argmax), "ArgMin": _arg(np.argmin),
    "CumSum": _cumsum, "MatMul": _of(np.matmul), "Gemm": _gemm, "Einsum": _einsum,
    # norms; the rest stands in modules of its own
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm, "RMSNormalization": _rms, **SHAPES, **WINDOWS, **RECURRENT,
}  # fmt: skip
CONSTANT_INPUTS = {"BatchNormalization": (3, 4)}  # running statistics, which are not trained

