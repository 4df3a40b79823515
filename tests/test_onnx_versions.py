"""Each ONNX operator at each version from opset 7 on, with each attribute: the values are those of ONNX's reference.

A row of the table is a node: arrays, and attributes that are not the defaults. It runs at each version whose schema it
fits. Every attribute of every version must stand in a row, or in the table of what is refused.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, checker, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from tinygrad_nn import Tensor, io
from tinygrad_nn.onnx.functions import FUNCTIONS
from tinygrad_nn.tensor import raw

NEWEST = min(28, onnx.defs.onnx_opset_version())  # of the operators as they are known here
onnxruntime.set_default_logger_severity(3)
EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(0)


class Row(NamedTuple):
    """The inputs of a node, its attributes and outputs; the opsets it is for, and whether onnxruntime judges."""

    inputs: tuple[Any, ...]
    attrs: dict[str, Any] = {}  # noqa: RUF012
    outs: int = 1
    first: int = 7
    last: int = 99
    runtime: bool = False


def f32(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


X, P, T, LINE = f32(2, 3, 4), np.abs(f32(2, 3)) + np.float32(0.5), f32(2, 4, 7, 6), f32(2, 4, 9)
HALF = f32(4).astype(np.float16)
TIES = np.array([[2, 1, 2], [1, 3, 3]], np.float32)
EDGES = np.array([1, np.inf, -np.inf, np.nan, -2], np.float32)
BITS = X > 0
SEVEN, TWO = i32(7, -7, 6, -6), i32(2, 2, -4, -4)
BN = (T, f32(4), f32(4), f32(4), np.abs(f32(4)) + np.float32(0.5))
SERIES = f32(5, 2, 3)
NONE = np.array([], np.int64)


def weights(gates: int, directions: int = 1) -> tuple[np.ndarray, ...]:
    return (f32(directions, gates * 4, 3), f32(directions, gates * 4, 4), f32(directions, 2 * gates * 4))


def loops(kind: str, gates: int, more: list[dict[str, Any]], usual: list[str], other: list[str]) -> list[Row]:
    """What the recurrent operators have in common. The reference has neither clip nor lengths nor activations."""
    outs, n = 2 + (kind == "LSTM"), {"hidden_size": 4}
    first = [f32(1, 2, 4) for _ in range(outs - 1)]
    both = [f32(2, 2, 4) for _ in range(outs - 1)]
    lengths = i32(5, 3)
    turned = [np.swapaxes(x, 0, 1).copy() for x in first]
    rows = [
        Row((SERIES, *weights(gates)), n, outs), Row((SERIES, *weights(gates)[:2]), n, outs),
        Row((SERIES, *weights(gates), None, *first), n, outs),
        *[Row((SERIES, *weights(gates, 1 + (d == "bidirectional")), lengths, *(both if d[0] == "b" else first)),
              {**n, "direction": d}, outs, runtime=True) for d in ("forward", "reverse", "bidirectional")],
        Row((SERIES, *weights(gates)), {**n, "clip": 0.3}, outs, runtime=True),
        Row((SERIES, *weights(gates)), {**n, "activations": other}, outs, runtime=True),
        Row((SERIES, *weights(gates, 2)), {**n, "direction": "bidirectional", "activations": [*usual, *other]}, outs,
            runtime=True),
        Row((SERIES, *weights(gates)), {**n, "activations": ["LeakyRelu", *other[1:]], "activation_alpha": [0.3]}, outs,
            runtime=True),
        Row((SERIES, *weights(gates)), {**n, "activations": ["HardSigmoid", *other[1:]], "activation_alpha": [0.3],
                                        "activation_beta": [0.4]}, outs, runtime=True),
        *[Row((SERIES, *weights(gates)), {**n, **extra}, outs, runtime=True) for extra in more],
    ]  # fmt: skip
    # of a longer sequence with the batch first, the reference of RNN turns the wrong axes
    return [*rows, Row((f32(2, 1, 3), *weights(gates), None, *turned), {**n, "layout": 1}, outs)]


POOLS = [
    {"kernel_shape": [3, 2]}, {"kernel_shape": [3, 2], "strides": [2, 3]},
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, {"kernel_shape": [3, 2], "pads": [0, 1, 2, 0], "strides": [2, 1]},
    {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 3], "auto_pad": "SAME_LOWER"}, {"kernel_shape": [2, 3], "auto_pad": "VALID"},
    {"kernel_shape": [2, 2], "strides": [2, 4], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [1, 1, 0, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 3], "dilations": [3, 2], "pads": [1, 0, 0, 1]},
]  # fmt: skip
UNARY = [
    "Neg", "Abs", "Exp", "Sign", "Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Tanh", "Asinh",
    "Erf", "Identity", "Relu", "Sigmoid", "HardSwish", "Mish", "Softplus", "Softsign", "IsNaN", "Size",
]  # fmt: skip
BINARY = ["Add", "Sub", "Mul", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"]
REDUCES = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
           "ReduceLogSumExp", "ReduceSumSquare"]  # fmt: skip
WHOLE = {"ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"}
ROWS: dict[str, list[Row]] = {
    **{kind: [Row((X,))] for kind in UNARY},
    **{kind: [Row((P,))] for kind in ("Log", "Sqrt", "Reciprocal")},
    **{kind: [Row((P / 9,))] for kind in ("Asin", "Acos", "Atanh")}, "Acosh": [Row((P + 1,))],
    **{kind: [Row((X, f32(3, 1))), Row((SEVEN, TWO))] for kind in BINARY},
    **{kind: [Row((X,)), Row((X, f32(3, 1))), Row((X, f32(2, 3, 4), f32(4)))]
       for kind in ("Max", "Min", "Sum", "Mean")},
    **{kind: [Row((BITS, BITS[::-1].copy()))] for kind in ("And", "Or", "Xor")}, "Not": [Row((BITS,))],
    "Div": [Row((X, f32(3, 1))), Row((SEVEN, TWO), runtime=True),
            Row((i64(2**60 + 1, -(2**60) - 1), i64(1, 3)), runtime=True)],
    "Pow": [Row((P, P)), Row((P, i64(2, 3, -1))), Row((i32(1, 2, 3), np.float32([2, 1.5, 3]))),
            Row((i32(1, 2, 3), i32(2, 3, 3)))],
    "Mod": [Row((SEVEN, TWO)), Row((SEVEN, TWO), {"fmod": 1}), Row((X, f32(3, 1)), {"fmod": 1})],
    "Clip": [Row((X,)), Row((X,), {"min": -0.5}), Row((X,), {"max": 0.25}), Row((X, np.float32(-0.5))),
             Row((X, None, np.float32(0.25))), Row((X, np.float32(-0.5), np.float32(0.25))),
             Row((EDGES,), {"min": 0.0}, last=10)],
    "IsInf": [Row((EDGES,)), Row((EDGES,), {"detect_negative": 0}), Row((EDGES,), {"detect_positive": 0}),
              Row((EDGES,), {"detect_positive": 0, "detect_negative": 0})],
    "Where": [Row((BITS, X, f32(4)))],
    **{kind: [Row((X,)), Row((X,), {"alpha": 0.3})] for kind in ("LeakyRelu", "Elu", "Celu", "Swish")},
    "Selu": [Row((X,)), Row((X,), {"alpha": 0.3}), Row((X,), {"gamma": 3.0})],
    "HardSigmoid": [Row((X,)), Row((X,), {"alpha": 0.3}), Row((X,), {"beta": 0.1})],
    "Gelu": [Row((X,)), Row((X,), {"approximate": "tanh"})], "PRelu": [Row((X, f32(3, 1))), Row((X, f32(1)))],
    **{kind: [*(Row((X,), attrs, runtime=True, last=12) for attrs in ({}, {"axis": 0}, {"axis": 2})),
              Row((X,), {"axis": -2}, first=11, last=12, runtime=True),
              *(Row((X,), attrs, first=13) for attrs in ({}, {"axis": 0}, {"axis": 1}, {"axis": -2}))]
       for kind in ("Softmax", "LogSoftmax", "Hardmax")},
    "Dropout": [Row((X,)), Row((X,), {"ratio": 0.9}), Row((X,), {"seed": 3}), Row((X, np.float32(0.3))),
                Row((X,), outs=2, first=10),
                Row((X, np.float32(0.3), np.array(False)), outs=2), Row((X, np.float32(0), np.array(True)), outs=2)],
    **{kind: [
        *(Row((np.abs(X) + np.float32(0.1),), attrs) for attrs in ({}, {"keepdims": 0}, {"axes": [1]},
                                                                  {"axes": [0, 2], "keepdims": 0})),
        Row((np.abs(X) + np.float32(0.1),), {"axes": [-1]}, first=11),
        Row((np.abs(X) + np.float32(0.1), i64(0, -1))), Row((np.abs(X) + np.float32(0.1), NONE)),
        Row((np.abs(X) + np.float32(0.1),), {"noop_with_empty_axes": 1}),
        Row((np.abs(X) + np.float32(0.1), NONE), {"noop_with_empty_axes": 1}),
        *([Row((np.array([[1, 2, 3], [4, 5, 6]], np.int32),), {"keepdims": 0})] if kind in WHOLE else []),
        *([Row((np.zeros((2, 0, 4), np.float32), i64(1)), first=20)] if kind in ("ReduceMax", "ReduceMin") else []),
       ] for kind in REDUCES},
    **{kind: [Row((x,), attrs) for x in (X, TIES) for attrs in (
        {}, {"axis": 1}, {"keepdims": 0}, {"axis": 1, "select_last_index": 1}, {"select_last_index": 1, "keepdims": 0})]
       for kind in ("ArgMax", "ArgMin")},
    "CumSum": [Row((x, np.array(axis)), attrs) for x, axis in ((X, 1), (X, -1), (SEVEN, 0)) for attrs in (
        {}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1})],
    "MatMul": [Row((X, f32(4, 5))), Row((i32(1, 2), i32(3, 4)), first=9)],
    "Gemm": [Row((f32(2, 3), f32(3, 4), f32(4))), Row((f32(2, 3), f32(3, 4))),
             Row((f32(3, 2), f32(3, 4), f32(2, 1)), {"transA": 1, "alpha": 0.5}),
             Row((f32(2, 3), f32(4, 3), f32(4)), {"transB": 1, "beta": 2.0})],
    "Einsum": [Row((X, f32(4, 5)), {"equation": "bij,jk->bik"}), Row((X,), {"equation": "...i -> ..."})],
    # shapes
    "Reshape": [Row((X, i64(0, -1))), Row((np.zeros((0, 3), np.float32), i64(3, 0)), {"allowzero": 1})],
    "Flatten": [Row((X,)), Row((X,), {"axis": 0}), Row((X,), {"axis": 3}), Row((X,), {"axis": -1}, first=11)],
    "Squeeze": [Row((f32(2, 1, 3, 1),)), Row((f32(2, 1, 3, 1),), {"axes": [1]}), Row((f32(2, 1, 3, 1), i64(-1)))],
    "Unsqueeze": [Row((X,), {"axes": [0, 4]}), Row((X, i64(0, -1)))],
    "Transpose": [Row((X,)), Row((X,), {"perm": [1, 2, 0]})], "Expand": [Row((f32(3, 1), i64(2, 1, 4)))],
    "Split": [Row((X,), outs=2), Row((X,), {"axis": 2, "split": [1, 3]}, 2), Row((X, i64(1, 3)), {"axis": -1}, 2),
              Row((f32(7, 2),), {"num_outputs": 3}, 3)],
    "Slice": [Row((X,), {"starts": [1, -3], "ends": [2, 9]}),
              Row((X,), {"axes": [2, 1], "starts": [1, 0], "ends": [-1, 2]}),
              Row((X, i64(-2), i64(99))), Row((X, i64(0, 3), i64(2, -100), i64(1, -1), i64(1, -1))),
              Row((X, i64(2), i64(0), i64(1), i64(-1))),
              Row((X, i64(-100), i64(-200), i64(2), i64(-1)), runtime=True)],
    "Gather": [Row((X, i64(0, 1, 0))), Row((X, np.array([[0, 2], [1, 1]])), {"axis": 1}),
               Row((X, np.array(-1)), {"axis": -1}, first=11)],
    "GatherElements": [Row((X, np.zeros((2, 3, 4), np.int64))), Row((X, np.array([[[0, 2], [-1, 1]]])),
                       {"axis": 1}, runtime=True)],
    "ScatterND": [Row((X, np.array([[0, 1], [1, -1]]), X[0, :2] + 1), first=11),
                  *(Row((X, np.array([[0, 1], [1, 2]]), X[0, :2] + 1), {"reduction": kind}, first=16)
                    for kind in ("none", "add", "mul")),
                  *(Row((X, np.array([[0, 1, 2], [1, 2, 0]]), X[0, 0, :2]), {"reduction": kind}, first=18)
                    for kind in ("min", "max"))],
    "GatherND": [Row((X, np.array([[0, 1], [1, -1]]))), Row((X, np.array([[2], [0]])), {"batch_dims": 1}),
                 Row((f32(2, 3, 4, 5), RNG.integers(4, size=(2, 3, 2, 1))), {"batch_dims": 2})],
    "Concat": [Row((X, f32(2, 1, 4)), {"axis": 1}), Row((X, f32(2, 3, 1)), {"axis": -1}, first=11)],
    "Pad": [Row((X,), {"pads": [0, 1, 0, 0, 0, 2]}),
            Row((X,), {"pads": [0, 1, 0, 0, 0, 2], "value": 3.0}, runtime=True),
            *(Row((X,), {"pads": [0, 1, 0, 0, 0, 2], "mode": mode}) for mode in ("reflect", "edge")),
            Row((X, i64(0, 1, 0, 0, 0, 2))), Row((X, i64(0, 1, 0, 0, 0, 2), np.float32(3))),
            *(Row((X, i64(0, 1, 0, 0, 0, 2)), {"mode": mode}) for mode in ("reflect", "edge")),
            Row((X, i64(0, 1, 0, 0, 0, 2)), {"mode": "wrap"}, first=19),
            Row((X, i64(1, 2, 0, 2), np.float32(1), i64(0, -1))),
            Row((X, i64(0, -1, 1, -1, 0, -2), np.float32(2)), runtime=True)],
    "Tile": [Row((X, i64(1, 2, 1)))],
    "Cast": [Row((X,), {"to": TensorProto.INT64}), Row((BITS,), {"to": TensorProto.FLOAT}),
             Row((X,), {"to": TensorProto.DOUBLE, "saturate": 0}),
             Row((X,), {"to": TensorProto.BOOL, "round_mode": "down"})],
    "Shape": [Row((X,)), Row((X,), {"start": 1}), Row((X,), {"end": -1})],
    "Constant": [Row((), {"value": numpy_helper.from_array(f32(2, 3))}), Row((), {"value_float": 0.5}),
                 Row((), {"value_int": 3}),
                 Row((), {"value_floats": [1.0, 2.0]}), Row((), {"value_ints": [3, 4]})],
    "ConstantOfShape": [Row((i64(2, 3),)), Row((i64(2, 3),), {"value": numpy_helper.from_array(i64(7))})],
    "Range": [Row((np.array(1), np.array(9), np.array(3))), Row((np.float32(5), np.float32(1), np.float32(-1.5))),
              Row((np.array(1), np.array(9), np.array(3)), {"stash_type": 11})],
    "Trilu": [Row((X,)), Row((X,), {"upper": 0}), Row((X, np.array(1))), Row((X, np.array(-1)), {"upper": 0})],
    # windows
    "Conv": [Row((T, f32(5, 4, 3, 2))), Row((T, f32(6, 2, 3, 3), f32(6)), {"group": 2, "kernel_shape": [3, 3]}),
             Row((T, f32(5, 4, 3, 2)), {"strides": [2, 3], "pads": [1, 0, 2, 1]}),
             Row((LINE, f32(5, 4, 3)), {"dilations": [2]}),
             *(Row((T, f32(5, 4, 3, 2)), {"auto_pad": how}) for how in ("SAME_UPPER", "SAME_LOWER", "VALID"))],
    "ConvTranspose": [
        Row((T, f32(4, 3, 3, 3), f32(3)), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        Row((T, f32(4, 3, 3, 2), f32(6)), {"group": 2, "kernel_shape": [3, 2]}, runtime=True),
        *(Row((T, f32(4, 3, 3, 2), f32(3)), attrs, runtime=True) for attrs in (
            {}, {"dilations": [2, 1]}, {"strides": [2, 3], "pads": [1, 0, 2, 1]},
            {"strides": [2, 3], "pads": [0, 1, 1, 0], "output_padding": [1, 2]}, {"auto_pad": "VALID"},
            {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
            {"strides": [3, 2], "output_shape": [20, 12]}, {"strides": [3, 2], "output_shape": [22, 13]},
            {"strides": [3, 2], "output_shape": [20, 11], "auto_pad": "SAME_UPPER"}))],
    "MaxPool": [
        *(Row((T,), attrs, runtime=True) for attrs in POOLS),
        *(Row((T,), {**attrs, "storage_order": order}, 2, runtime=True) for attrs in POOLS for order in (0, 1)),
        Row((np.arange(18, dtype=np.int8).reshape(1, 2, 9),), {"kernel_shape": [2], "pads": [1, 0]}, first=12,
            runtime=True),
        Row((T,), POOLS[1]), Row((LINE,), {"kernel_shape": [2]})],
    # before opset 19, onnxruntime counts what lies beyond the padding
    "AveragePool": [*(Row((T,), {**attrs, **more}, first=19 if "ceil_mode" in attrs and more else 7, runtime=True)
                      for attrs in POOLS for more in ({}, {"count_include_pad": 1})), Row((T,), POOLS[1])],
    "GlobalAveragePool": [Row((T,)), Row((LINE,))], "GlobalMaxPool": [Row((T,)), Row((LINE,), runtime=True)],
    # norms
    "BatchNormalization": [*(Row(BN, attrs, first=first, last=last, runtime=last < 14)
                             for first, last in ((7, 13), (14, 99))
                             for attrs in ({}, {"epsilon": 0.1}, {"momentum": 0.3}, {"spatial": 1})),
                           Row(BN, {"training_mode": 1}, 3), Row(BN, {"training_mode": 1, "momentum": 0.3}, 3)],
    "LayerNormalization": [Row((X, f32(4))), Row((X, f32(4), f32(4)), {"epsilon": 0.1}),
                           Row((X, f32(3, 4), f32(3, 4)), {"axis": 1}),
                           Row((X, f32(4)), outs=3), Row((X, f32(4), f32(4)), {"stash_type": 1}),
                           Row((X.astype("f8"), f32(4).astype(float)), {"stash_type": 11}, outs=3),
                           Row((X, f32(4)), {"stash_type": 11}, outs=3)],
    "RMSNormalization": [Row((X, f32(4))), Row((X, f32(4)), {"epsilon": 0.1}), Row((X, f32(3, 4)), {"axis": 1}),
                         Row((X, f32(4)), {"stash_type": 1})],
    "InstanceNormalization": [Row((T, f32(4), f32(4))), Row((LINE, f32(4), f32(4)), {"epsilon": 0.1})],
    "GroupNormalization": [Row((T, f32(2), f32(2)), {"num_groups": 2}, last=20), Row((T, f32(4), f32(4)),
                           {"num_groups": 2}, first=21),
                           Row((T, f32(4), f32(4)), {"num_groups": 4, "epsilon": 0.1}),
                           Row((T, f32(4), f32(4)), {"num_groups": 2, "stash_type": 1}, first=21)],
    "RNN": loops("RNN", 1, [{"activations": [kind]} for kind in ("Relu", "Sigmoid", "Softsign", "Softplus", "Elu")]
                 + [{"activations": ["ThresholdedRelu"], "activation_alpha": [0.7]}]
                 + [{"activations": [kind], "activation_alpha": [0.7], "activation_beta": [0.4]}
                    for kind in ("Affine", "ScaledTanh")], ["Tanh"], ["Relu"]),
    "GRU": loops("GRU", 3, [{"linear_before_reset": 1}], ["Sigmoid", "Tanh"], ["HardSigmoid", "Softsign"]),
    "LSTM": [*loops("LSTM", 4, [{"input_forget": 1}], ["Sigmoid", "Tanh", "Tanh"], ["HardSigmoid", "Softsign", "Relu"]),
             Row((SERIES, *weights(4), None, f32(1, 2, 4), f32(1, 2, 4), f32(1, 12)), {"hidden_size": 4}, 3)],
}  # fmt: skip
REFUSED = {("Constant", "sparse_value"), ("Constant", "value_string"), ("Constant", "value_strings")}
WITHOUT_GRADIENT = {
    "And", "ArgMax", "ArgMin", "Ceil", "Constant", "ConstantOfShape", "Equal", "Floor", "Greater", "GreaterOrEqual",
    "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Range", "Round", "Shape", "Sign", "Size", "Xor",
}  # fmt: skip


@cache
def versions(kind: str) -> dict[int, Any]:
    """The schemas of an operator by the first and the last opset at which each holds, 7 and newer."""
    found = sorted((s for s in onnx.defs.get_all_schemas_with_history() if s.name == kind and s.domain == ""),
                   key=lambda s: s.since_version)  # fmt: skip
    ends = [s.since_version for s in found[1:]] + [NEWEST + 1]
    held = [(s, end) for s, end in zip(found, ends, strict=True) if end > 7 and not s.deprecated]
    return {opset: s for s, end in held for opset in (max(7, s.since_version), end - 1)}


def model(kind: str, row: Row, opset: int) -> Any:
    """A file with a single node, or None if the node is not valid at this opset."""
    schema = versions(kind)[opset]
    if not set(row.attrs) <= set(schema.attributes) or not schema.min_input <= len(row.inputs) <= schema.max_input:
        return None
    if not row.first <= opset <= row.last or row.outs > schema.max_output:
        return None
    names = ["" if x is None else f"x{k}" for k, x in enumerate(row.inputs)]
    results = [f"y{k}" for k in range(row.outs)]
    node = helper.make_node(kind, names, results, name="it", **row.attrs)
    typed = [helper.make_tensor_value_info(names[k], helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
             for k, x in given(row)]  # fmt: skip
    fixed = [numpy_helper.from_array(x, names[k]) for k, x in enumerate(row.inputs) if is_fixed(x)]
    graph = helper.make_graph([node], "one", typed, [helper.make_empty_tensor_value_info(n) for n in results], fixed)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    try:
        made = shape_inference.infer_shapes(made, check_type=True, strict_mode=True)
    except shape_inference.InferenceError:
        return None
    for out in made.graph.output:
        if not out.type.tensor_type.HasField("shape"):  # for some operators nothing is inferred
            element = out.type.tensor_type.elem_type or TensorProto.FLOAT
            out.CopyFrom(helper.make_tensor_value_info(out.name, element, [None] * row.inputs[0].ndim))
    try:
        checker.check_model(made)
    except checker.ValidationError:
        return None
    return made


def is_fixed(x: Any) -> bool:
    """Shapes and axes stand in a file as constants."""
    return x is not None and x.dtype == np.int64


def given(row: Row) -> list[tuple[int, np.ndarray]]:
    return [(k, np.asarray(x)) for k, x in enumerate(row.inputs) if x is not None and not is_fixed(x)]


def cases(kind: str) -> Iterator[tuple[int, Row, Any]]:
    for opset in versions(kind):
        for row in ROWS[kind]:
            made = model(kind, row, opset)
            if made is not None:
                yield opset, row, made


def wanted(row: Row, made: Any) -> list[np.ndarray]:
    inputs = {f"x{k}": x for k, x in given(row)}
    if row.runtime:
        session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, inputs)
    with np.errstate(all="ignore"):
        return [np.asarray(x) for x in ReferenceEvaluator(made).run(None, inputs)]


def outcome(net: Any, inputs: list[Any]) -> list[Any]:
    out = net(*inputs)
    return list(out) if isinstance(out, tuple) else [out]


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_at_every_version_with_every_attribute_the_values_are_those_of_the_reference(kind: str) -> None:
    for opset, row, made in cases(kind):
        what = f"{kind} {opset} {row.attrs} {[np.shape(x) for x in row.inputs]}"
        inputs = [x for _, x in given(row)]
        got = [np.asarray(x.data if isinstance(x, Tensor) else x) for x in outcome(io.load_onnx(made), inputs)]
        for one, want in zip(got, wanted(row, made), strict=True):
            assert one.dtype == want.dtype, what
            if want.dtype.kind != "f":
                np.testing.assert_array_equal(one, want, what)
                continue
            # an entry sums up to 64 products, each rounded twice
            scale = np.abs(want[np.isfinite(want)]).max(initial=1.0)
            np.testing.assert_allclose(one, want, rtol=0, atol=128 * EPS * scale, err_msg=what, strict=True)


STASHED = {None: np.float32, 1: np.float32, 10: np.float16, 11: np.float64}


@pytest.mark.parametrize(("kind", "stash", "wide"), [
    *[("LayerNormalization", stash, np.float32) for stash in (None, 1)],  # others are not valid
    *[(kind, *pair) for kind in ("RMSNormalization", "GroupNormalization") for pair in STASHED.items()],
])  # fmt: skip
def test_norms_of_float16_are_computed_in_the_stash_type(kind: str, stash: int | None, wide: Any) -> None:
    """ONNX's reference computes them in float16, so this follows the text of the operators."""
    x, w, b = (100 + 3 * X[..., :2]).astype(np.float16), HALF[:3], HALF[1:]
    attrs = {} if stash is None else {"stash_type": stash}
    if kind == "GroupNormalization":
        row, axes, w, b = Row((x, w, b), {**attrs, "num_groups": 1}), (1, 2), w[:, None], b[:, None]
    else:
        w, b = w[:2], b[:2]
        row, axes = Row((x, w, b) if kind[0] == "L" else (x, w), attrs, outs=3 if kind[0] == "L" else 1), (2,)
    y = x.astype(wide)
    mean = 0 * y if kind[0] == "R" else y.mean(axis=axes, keepdims=True)
    rate = 1 / np.sqrt(((y - mean) ** 2).mean(axis=axes, keepdims=True) + wide(1e-5))
    want = ((y - mean) * rate).astype(np.float16) * w
    made = model(kind, row, NEWEST)
    got = outcome(io.load_onnx(made), list(row.inputs))
    assert [np.asarray(raw(part)).dtype for part in got] == [np.float16, wide, wide][: row.outs]
    # the last digit of float16 may differ where the two sums are rounded apart; in float16 itself all digits of a
    # variance of numbers near 100 may
    digits = 2 * np.finfo(np.float16).eps if wide != np.float16 else 0.1
    want = want if kind[0] == "R" else want + b
    np.testing.assert_allclose(raw(got[0]), want, rtol=0, atol=digits * np.abs(want).max())


def test_a_norm_with_a_stash_type_that_is_not_known_is_refused() -> None:
    made = model("LayerNormalization", Row((X, f32(4)), {"stash_type": 16}), NEWEST)
    with pytest.raises(NotImplementedError, match="attribute stash_type=16, bfloat16, is not supported; floats of 16"):
        io.load_onnx(made)(X, f32(4))


@pytest.mark.parametrize("kind", [kind for kind in FUNCTIONS if kind not in WITHOUT_GRADIENT])
def test_gradients_have_the_shapes_of_the_inputs_and_are_the_slopes_of_the_values(kind: str) -> None:
    seen = 0
    for opset, row, made in cases(kind):
        if kind == "Cast" and row.attrs["to"] in (TensorProto.INT64, TensorProto.BOOL):
            continue
        what = f"{kind} {opset} {row.attrs}"
        net, rng = io.load_onnx(made), np.random.default_rng(1)
        arrays = [x.astype(np.float64) if x.dtype == np.float32 else x for _, x in given(row)]
        ways = [rng.normal(size=x.shape) for x in arrays]
        smooth = [x.dtype.kind == "f" and x.size and np.isfinite(x).all() for x in arrays]
        tensors = [Tensor(x, requires_grad=True) if s else x for x, s in zip(arrays, smooth, strict=True)]
        outs = [x for x in outcome(net, tensors) if isinstance(x, Tensor) and x.requires_grad]
        if not outs:
            assert not any(isinstance(x, Tensor) for x in tensors) or kind in ("Pow", "Max", "Min"), what
            continue
        seeds = [rng.normal(size=x.shape) for x in outs]
        sum((x * seed).sum() for x, seed in zip(outs, seeds, strict=True)).backward()
        slope, moved = 0.0, [list(arrays), list(arrays)]
        for k, (x, way) in enumerate(zip(tensors, ways, strict=True)):
            if isinstance(x, Tensor) and x.grad is not None:
                assert x.grad.shape == x.shape, what
                slope += float((x.grad * way).sum())
                for sign, inputs in zip((1, -1), moved, strict=True):
                    inputs[k] = arrays[k] + sign * 1e-6 * way
        values = []
        for inputs in moved:
            found = [np.asarray(x.data if isinstance(x, Tensor) else x) for x in outcome(net, inputs)]
            values.append(sum(float((x * seed).sum()) for x, seed in zip(found[: len(seeds)], seeds, strict=True)))
        # of a central difference with a step of 1e-6, the error is some 1e-10 of the values
        assert abs(slope - (values[0] - values[1]) / 2e-6) < 1e-6 * max(1.0, abs(slope)), what
        seen += 1
    assert seen


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_every_attribute_of_every_version_stands_in_a_row_that_is_valid(kind: str) -> None:
    tried: dict[int, set[str]] = {opset: set() for opset in versions(kind)}
    runs: set[int] = set()
    for opset, row, _ in cases(kind):
        tried[opset] |= set(row.attrs)
        runs.add(opset)
    assert runs == set(tried)
    for opset, schema in versions(kind).items():
        left = {name for other, name in REFUSED if other == kind and name in schema.attributes}
        assert set(schema.attributes) - tried[opset] == left


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_with_the_batch_first_a_recurrent_operator_gives_the_same_with_its_axes_turned(kind: str) -> None:
    gates, outs, rng = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind], 2 + (kind == "LSTM"), np.random.default_rng(2)
    states = [rng.normal(size=(2, 2, 4)).astype(np.float32) for _ in range(outs - 1)]
    shared, attrs = (*weights(gates, 2), i32(5, 3)), {"hidden_size": 4, "direction": "bidirectional"}
    plain = Row((SERIES, *shared, *states), attrs, outs)
    turned = Row((np.swapaxes(SERIES, 0, 1).copy(), *shared, *(np.swapaxes(s, 0, 1).copy() for s in states)),
                 {**attrs, "layout": 1}, outs)  # fmt: skip
    one, two = (outcome(io.load_onnx(model(kind, row, 14)), [x for _, x in given(row)]) for row in (plain, turned))
    np.testing.assert_array_equal(np.transpose(one[0], (2, 0, 1, 3)), two[0])  # (time, directions, batch, n)
    for last, other in zip(one[1:], two[1:], strict=True):
        np.testing.assert_array_equal(np.swapaxes(last, 0, 1), other)
