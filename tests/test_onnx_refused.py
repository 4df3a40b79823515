"""ONNX files with what is not supported: an error that names operator, node and attribute, never another result."""

import re
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tinygrad_nn import Tensor, io

onnxruntime.set_default_logger_severity(3)
X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
FLOAT = TensorProto.FLOAT


def single(*nodes: Any, opset: int = 18, given: tuple[np.ndarray, ...] = (), domain: str = "", kind: int = FLOAT,
           outs: tuple[str, ...] = ("y",), ir: int = 10) -> Any:  # fmt: skip
    """A file of these nodes with an input x; `given` are weights w0, w1, ..."""
    outputs = [helper.make_tensor_value_info(name, FLOAT, None) for name in outs]
    for out in outputs:
        out.type.tensor_type.shape.SetInParent()
    graph = helper.make_graph(list(nodes), "some", [helper.make_tensor_value_info("x", kind, X.shape)], outputs,
                              [numpy_helper.from_array(w, f"w{k}") for k, w in enumerate(given)])  # fmt: skip
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def node(kind: str, *more: str, outs: tuple[str, ...] = ("y",), domain: str = "", **attrs: Any) -> Any:
    return helper.make_node(kind, ["x", *more], list(outs), name="it", domain=domain, **attrs)


def weights(gates: int) -> tuple[np.ndarray, ...]:
    return tuple(np.zeros(shape, np.float32) for shape in ((1, gates * 5, 4), (1, gates * 5, 5)))


FOUR = tuple(np.ones(3, np.float32) for _ in range(4))
TWO = ("w0", "w1")
AT_LOAD = {
    "an attribute of text": (
        single(helper.make_node("Constant", [], ["y"], name="it", value_string="a")),
        "Constant 'it': the attribute value_string is not supported; supported: value, value_float, value_floats"),
    "another domain": (single(node("Gelu", domain="com.microsoft"), domain="com.microsoft"),
                       "the operator 'Gelu' of 'com.microsoft' is not known"),
    "an old opset": (single(node("Relu"), opset=6, ir=3), "the model has opset 6; 7 and newer are read"),
    "an input of bfloat16": (single(node("Identity"), kind=TensorProto.BFLOAT16), "'x' has the type BFLOAT16; tensors"),
    "an input of strings": (single(node("Identity"), kind=TensorProto.STRING), "'x' has the type STRING; tensors"),
}  # fmt: skip
AT_RUN = {
    "training of dropout": (
        single(node("Dropout", *TWO), given=(np.float32(0.5), np.array(True))),
        "Dropout 'it': the input training_mode=True, which would draw numbers, is not supported; False is"),
    "statistics for each pixel": (
        single(node("BatchNormalization", "w0", "w1", "w2", "w3", spatial=0), given=FOUR, opset=7),
        "BatchNormalization 'it': the attribute spatial=0 is not supported; 1 is"),
    "statistics that are kept": (
        single(node("BatchNormalization", "w0", "w1", "w2", "w3", outs=("y", "a", "b", "kept", "c")), given=FOUR,
               opset=9, outs=("y", "kept")),
        "BatchNormalization 'it': the output kept, its number 4, is not supported; those before are"),
    "an activation": (
        single(node("RNN", *TWO, hidden_size=5, activations=["Swish"]), given=weights(1)),
        "RNN 'it': the attribute activations=['Swish'] is not supported; 1 for each direction are, of Affine"),
    "too few activations": (
        single(node("LSTM", *TWO, hidden_size=5, activations=["Tanh"]), given=weights(4)),
        "LSTM 'it': the attribute activations=['Tanh'] is not supported; 3 for each direction are"),
    "numbers that nothing uses": (
        single(node("RNN", *TWO, hidden_size=5, activation_alpha=[0.3]), given=weights(1)),
        "RNN 'it': activation_alpha or activation_beta with more numbers than the activations ['Tanh'] use"),
    "an activation without its numbers": (
        single(node("RNN", *TWO, hidden_size=5, activations=["Affine"]), given=weights(1)),
        "RNN 'it': the activation Affine is not supported without activation_alpha and _beta"),
    "a cast": (single(node("Cast", to=TensorProto.BFLOAT16)),
               "Cast 'it': the attribute to=16, bfloat16, is not supported; bool, integers of 8 to 64 bits"),
    "a constant": (
        single(helper.make_node("Constant", [], ["y"], name="it",
                                value=helper.make_tensor("v", TensorProto.BFLOAT16, [1], [1.0]))),
        "Constant 'it': the attribute value of bfloat16 is not supported; bool"),
    "padding": (single(node("MaxPool", kernel_shape=[2], auto_pad="OTHER")),
                "MaxPool 'it': the attribute auto_pad=OTHER is not supported; NOTSET, VALID, SAME_UPPER and"),
    "a node without a name": (
        single(helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)),
        "Cast (computes y): the attribute to=16"),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_LOAD)
def test_a_file_with_unknown_parts_raises_on_loading(name: str) -> None:
    proto, said = AT_LOAD[name]
    with pytest.raises(ValueError, match=f"^load_onnx: {re.escape(said)}"):
        io.load_onnx(proto)


@pytest.mark.parametrize("name", AT_RUN)
def test_a_node_with_an_unsupported_form_raises_when_it_runs(name: str) -> None:
    proto, said = AT_RUN[name]
    net = io.load_onnx(proto)
    with pytest.raises(NotImplementedError, match=f"^{re.escape(said)}"):
        net(X)


def test_sparse_weights_are_refused() -> None:
    proto = single(node("Add", "w"))
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    at = numpy_helper.from_array(np.zeros(1, np.int64), "at")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, at, [4]))
    with pytest.raises(ValueError, match="load_onnx: the weight 'w' is sparse; only dense tensors are read"):
        io.load_onnx(proto)


def test_parts_and_shapes_that_do_not_fit_are_refused() -> None:
    for attrs in ({"split": [1, 2]}, {}):
        net = io.load_onnx(single(node("Split", outs=("y", "z"), axis=1 if not attrs else 2, **attrs), opset=11))
        with pytest.raises(ValueError, match=r"axis \d has \d entries, and parts of \[1, [12]\] are asked for"):
            net(X)
    kernel = np.ones((1, 3, 2), np.float32)
    with pytest.raises(ValueError, match=r"kernel_shape=\[3\] is not the shape of the kernel, \[2\]"):
        io.load_onnx(single(node("Conv", "w0", kernel_shape=[3]), given=(kernel,)))(X)
    with pytest.raises(ValueError, match="hidden_size=4 is not that of the weights, 5"):
        io.load_onnx(single(node("RNN", "w0", "w1", hidden_size=4), given=weights(1)))(X)


def test_an_output_without_a_name_stays_away_from_inputs_without_a_name() -> None:
    first = helper.make_node("RNN", ["x", "w0", "w1"], ["", "h"], hidden_size=5)
    proto = single(first, helper.make_node("Clip", ["h", "", "w2"], ["y"]), given=(*weights(1), np.float32(-1)))
    out = io.load_onnx(proto)(X)
    assert out.shape == (1, 3, 5)
    assert (out.data == -1).all()


def test_an_output_that_is_not_computed_is_no_obstacle_if_nothing_reads_it() -> None:
    norm = node("BatchNormalization", "w0", "w1", "w2", "w3", outs=("y", "a", "b", "c", "d"))
    assert io.load_onnx(single(norm, given=FOUR, opset=9))(X).shape == X.shape


SCANS = [
    {}, {"scan_input_axes": [1, 0]}, {"scan_input_directions": [1, 0]}, {"scan_output_axes": [1, 0]},
    {"scan_output_axes": [-1, 0]}, {"scan_output_directions": [0, 1]},
    {"scan_input_axes": [-1, 0], "scan_input_directions": [1, 1], "scan_output_axes": [1, 1],
     "scan_output_directions": [1, 0]},
]  # fmt: skip


@pytest.mark.parametrize("attrs", SCANS)
def test_a_scan_goes_along_the_axes_and_directions_that_it_names(attrs: dict[str, Any]) -> None:
    steps = np.arange(4 if attrs.get("scan_input_axes", [0])[0] == -1 else 3 if "scan_input_axes" in attrs else 2)
    shape = [n for k, n in enumerate(X.shape) if k != attrs.get("scan_input_axes", [0])[0] % 3]
    steps = (1 + steps).astype(np.float32)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Mul", ["row", "step"], ["part"]), helper.make_node("Add", ["state", "part"], ["new"]),
         helper.make_node("Identity", ["new"], ["sum"]), helper.make_node("Sub", ["row", "step"], ["less"])],
        "body", [info("state", FLOAT, shape), info("row", FLOAT, shape), info("step", FLOAT, [])],
        [info("new", FLOAT, shape), info("sum", FLOAT, shape), info("less", FLOAT, shape)])  # fmt: skip
    names = ("end", "sums", "less")
    scan = helper.make_node("Scan", ["w0", "x", "w1"], names, body=body, num_scan_inputs=2, **attrs)
    proto = single(scan, given=(np.zeros(shape, np.float32), steps), outs=names)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for got, want in zip(io.load_onnx(proto)(X), session.run(None, {"x": X}), strict=True):
        data = got.data if isinstance(got, Tensor) else got
        np.testing.assert_allclose(data, want, rtol=0, atol=1e-5, strict=True)


def test_a_scan_over_batches_is_refused() -> None:
    info = helper.make_tensor_value_info
    body = helper.make_graph([helper.make_node("Identity", ["row"], ["out"])], "body", [info("row", FLOAT, [4])],
                             [info("out", FLOAT, [4])])  # fmt: skip
    proto = single(helper.make_node("Scan", ["", "x"], ["y"], name="it", body=body, num_scan_inputs=1), opset=8)
    with pytest.raises(NotImplementedError, match="Scan 'it': a Scan of opset 8, with an axis for the batch"):
        io.load_onnx(proto)(X)
