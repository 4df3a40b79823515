"""What the node of a file says, and which attributes of each ONNX operator are known."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..common.printable import printable
from ..tensor import raw

Function = Callable[..., Any]

# operator -> the attributes that its function uses, or that change nothing here. Other attributes are refused.
_AXES = "axes keepdims noop_with_empty_axes"
_POOL = "auto_pad ceil_mode dilations kernel_shape pads strides"
_CONV = "auto_pad dilations group kernel_shape pads strides"
_LOOP = "activation_alpha activation_beta activations clip direction hidden_size layout"
ATTRIBUTES = {
    "ArgMax": "axis keepdims select_last_index", "ArgMin": "axis keepdims select_last_index",
    "AveragePool": f"{_POOL} count_include_pad", "BatchNormalization": "epsilon momentum spatial training_mode",
    "Cast": "to saturate round_mode", "Celu": "alpha", "Clip": "min max", "Concat": "axis",
    "Constant": "value value_float value_floats value_int value_ints", "ConstantOfShape": "value", "Conv": _CONV,
    "ConvTranspose": f"{_CONV} output_padding output_shape", "CumSum": "exclusive reverse", "Dropout": "ratio seed",
    "Einsum": "equation", "Elu": "alpha", "Flatten": "axis", "GRU": f"{_LOOP} linear_before_reset", "Gather": "axis",
    "GatherElements": "axis", "GatherND": "batch_dims", "Gelu": "approximate", "Gemm": "alpha beta transA transB",
    "GroupNormalization": "epsilon num_groups stash_type", "HardSigmoid": "alpha beta", "Hardmax": "axis",
    "InstanceNormalization": "epsilon", "IsInf": "detect_negative detect_positive", "LSTM": f"{_LOOP} input_forget",
    "LayerNormalization": "axis epsilon stash_type", "LeakyRelu": "alpha", "LogSoftmax": "axis",
    "MaxPool": f"{_POOL} storage_order", "Mod": "fmod", "Pad": "mode pads value",
    "RMSNormalization": "axis epsilon stash_type", "RNN": _LOOP, "Range": "stash_type", "ReduceL1": _AXES,
    "ReduceL2": _AXES, "ReduceLogSum": _AXES, "ReduceLogSumExp": _AXES, "ReduceMax": _AXES, "ReduceMean": _AXES,
    "ReduceMin": _AXES, "ReduceProd": _AXES, "ReduceSum": _AXES, "ReduceSumSquare": _AXES, "Reshape": "allowzero",
    "Scan": "body num_scan_inputs scan_input_axes scan_input_directions scan_output_axes scan_output_directions",
    "ScatterND": "reduction",
    "Selu": "alpha gamma", "Shape": "start end", "Slice": "axes ends starts", "Softmax": "axis",
    "Split": "axis num_outputs split", "Squeeze": "axes", "Swish": "alpha", "Transpose": "perm", "Trilu": "upper",
    "Unsqueeze": "axes",
}  # fmt: skip


class Node(SimpleNamespace):
    """The attributes of a node in the file, which has `outputs` outputs; its `opset` is the version of the operators.

    `dtype_of` returns the NumPy dtype for a number of ONNX.
    """

    opset: int
    outputs: int
    dtype_of: Callable[[int], Any]


def named(kind: str, name: str, outputs: tuple[str, ...]) -> str:
    """Return what messages call a node: its operator and its name, or what it computes if it has no name."""
    return f"{kind} {printable(name)!r}" if name else f"{kind} (computes {', '.join(map(printable, outputs))})"


def refused(kind: str, attribute: str) -> str | None:
    """Return why an attribute of an operator is refused, or ``None`` if it is known."""
    known = ATTRIBUTES.get(kind, "").split()
    if attribute in known:
        return None
    return f"the attribute {printable(attribute)} is not supported; supported: {', '.join(sorted(known)) or 'none'}"


def ints(x: Any) -> list[int]:
    """Return the entries of an array of integers, such as a shape, as numbers of Python."""
    return [int(i) for i in np.atleast_1d(raw(x))]


def in_dtype_of(out: Any, x: Any) -> Any:
    """Return a result in the dtype of x if x has integers: NumPy widens sums of integers, ONNX does not."""
    dtype = np.asarray(raw(x)).dtype
    return out.astype(dtype) if dtype.kind in "iu" and out.dtype != dtype else out


ORDINARY = "bool, integers of 8 to 64 bits and floats of 16 to 64 bits"


def ordinary(dtype: Any) -> bool:
    """Return whether NumPy itself has a dtype, and it is one of numbers or truth values."""
    return np.dtype(dtype).isbuiltin == 1 and np.dtype(dtype).kind in "fiub"
