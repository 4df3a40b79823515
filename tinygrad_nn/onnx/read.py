"""`load_onnx`: read an ONNX file as a module that runs the operators of the file on Tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..common.printable import counted, printable
from ..common.spelling import did_you_mean
from ..files import StrPath
from ..nn.module import Module
from ..node import scope
from ..tensor import Tensor
from .attributes import ORDINARY, Node, named, ordinary, refused
from .export import onnx_package
from .functions import CONSTANT_INPUTS, FUNCTIONS

Array = np.ndarray[Any, Any]
DOMAINS = ("", "ai.onnx")
LEAST = 7  # the oldest opset that is read; onnxruntime has the same


class OnnxModule(Module):
    """A model from an ONNX file, with gradients: it can be drawn, explored and trained further like any module.

    Its parameters are the floating-point initializers of the file, under their names in the file. Constant nodes and
    running statistics are not trained.

    Attributes:
        input_names, output_names: the names of inputs and outputs in the file.

    Made by `load_onnx`.
    """

    def __init__(self, proto: Any, onnx: Any) -> None:
        graph = proto.graph
        _check(onnx, graph)
        self._title = graph.name or "onnx"
        self._weights: dict[str, Tensor] = {}
        self._constants: dict[str, Array] = {}
        fixed = {name for node in graph.node for k, name in enumerate(node.input)
                 if k in CONSTANT_INPUTS.get(node.op_type, ())}  # fmt: skip
        for tensor in graph.initializer:
            array = _array(onnx, tensor)
            if array.dtype.kind == "f" and tensor.name not in fixed:
                self._weights[tensor.name] = Tensor(array, name=tensor.name)
            else:
                self._constants[tensor.name] = array
        given = {*self._weights, *self._constants}
        self._inputs = tuple(x.name for x in graph.input if x.name not in given)
        self._dtypes = {x.name: onnx.helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type) for x in graph.input}
        self._outputs = tuple(x.name for x in graph.output)
        self._steps = _steps(onnx, graph, _opset(proto))

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in the order in which a call takes them."""
        return self._inputs

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in the order in which a call returns them."""
        return self._outputs

    def attributes(self) -> Mapping[str, Any]:
        """Return the parameters by name."""
        return self._weights

    def title(self) -> str:
        """Return the name of the graph."""
        return self._title

    def forward(self, *inputs: Any) -> Any:
        """Return the output, or a tuple if there are several.

        Args:
            inputs: an array or Tensor for each of `input_names`.

        Raises:
            TypeError: there are more or fewer inputs.
        """
        if len(inputs) != len(self._inputs):
            raise TypeError(
                f"{self.title()} takes {counted(len(self._inputs), 'input')}, {', '.join(self._inputs)}; it got "
                f"{len(inputs)}."
            )
        values: dict[str, Any] = {"": None, **self._constants, **self._weights}
        for name, x in zip(self._inputs, inputs, strict=True):
            array = x if isinstance(x, Tensor) else np.asarray(x)
            values[name] = array if array.dtype.kind == "f" else array.astype(self._dtypes[name], copy=False)
        run(self._steps, values)
        found = tuple(_value(self._steps, values, name) for name in self._outputs)
        return found[0] if len(found) == 1 else found


class Step(SimpleNamespace):
    """A node of the file: its operator `kind`, `inputs` and `outputs` by name, and its attributes as `node`."""

    kind: str
    name: str
    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    node: Any


def run(steps: list[Step], values: dict[str, Any]) -> None:
    """Run operators in order; each reads its inputs from `values` by name and adds its results there.

    Raises:
        NotImplementedError: a node needs what its operator does not do here; the message names both.
    """
    for step in steps:
        inputs = [_value(steps, values, name) for name in step.inputs]
        while inputs and inputs[-1] is None:
            inputs.pop()
        try:
            with scope(step.path):
                if step.kind == "Scan":
                    found: Any = _scan(step, inputs, values)
                else:
                    found = FUNCTIONS[step.kind](step.node, *inputs)
        except NotImplementedError as problem:
            raise NotImplementedError(f"{named(step.kind, step.name, step.outputs)}: {problem}.") from None
        results = found if isinstance(found, tuple) else (found,)
        values.update({name: x for name, x in zip(step.outputs, results, strict=False) if name})


def _value(steps: list[Step], values: dict[str, Any], name: str) -> Any:
    """Return a value by name; raise NotImplementedError if it is an output that its operator does not compute here."""
    if name in values:
        return values[name]
    for step in steps:
        if name in step.outputs:
            raise NotImplementedError(
                f"{named(step.kind, step.name, step.outputs)}: the output {printable(name)}, its number "
                f"{step.outputs.index(name) + 1}, is not supported; those before are."
            )
    raise NotImplementedError(f"the value {printable(name)} of another graph is not computed.")


def _scan(step: Step, inputs: list[Any], values: dict[str, Any]) -> tuple[Any, ...]:
    """Run a Scan operator: its body once for each entry along an axis of each sequence."""
    node = step.node
    if node.opset < 9:
        raise NotImplementedError(f"a Scan of opset {node.opset}, with an axis for the batch, is not supported; 9 is")
    count = len(inputs) - node.num_scan_inputs
    states = inputs[:count]
    axes, back = (getattr(node, f"scan_input_{name}", [0] * node.num_scan_inputs) for name in ("axes", "directions"))
    rows = [_move_axis(x, 0, axis, turned) for x, axis, turned in zip(inputs[count:], axes, back, strict=True)]
    collected: list[list[Any]] = []
    for t in range(np.shape(rows[0])[0]):
        inner = dict(values)
        inner.update(zip(node.body_inputs, [*states, *(x[t] for x in rows)], strict=True))
        run(node.body, inner)
        results = [_value(node.body, inner, name) for name in node.body_outputs]
        states = results[:count]
        collected.append(results[count:])
    every = [np.stack(list(each)) for each in zip(*collected, strict=True)]
    axes, back = (getattr(node, f"scan_output_{name}", [0] * len(every)) for name in ("axes", "directions"))
    return (*states, *(_move_axis(x, axis, 0, turned) for x, axis, turned in zip(every, axes, back, strict=True)))


def _move_axis(x: Any, to: int, axis: int, reverse: int) -> Any:
    """Return x with an axis moved to another place, and the axis of the times, which is first, turned if asked."""
    if to == 0 and axis % np.ndim(x):
        x = np.moveaxis(x, axis, 0)
    x = x[::-1] if reverse else x
    return np.moveaxis(x, 0, to) if to % np.ndim(x) else x


def _opset(proto: Any) -> int:
    """Return the version of ONNX's own operators that a file declares."""
    opset = max((one.version for one in proto.opset_import if one.domain in DOMAINS), default=LEAST)
    if opset < LEAST:
        raise ValueError(f"load_onnx: the model has opset {opset}; {LEAST} and newer are read.")
    return opset


def _check(onnx: Any, graph: Any) -> None:
    """Raise ValueError for weights and inputs that are no tensors of ordinary numbers."""
    if graph.sparse_initializer:
        name = graph.sparse_initializer[0].values.name
        raise ValueError(f"load_onnx: the weight {printable(name)!r} is sparse; only dense tensors are read.")
    types = [(tensor.name, tensor.data_type) for tensor in graph.initializer]
    for x in graph.input:
        kind = x.type.tensor_type.elem_type if x.type.WhichOneof("value") == "tensor_type" else 0
        types.append((x.name, kind))
    for name, kind in types:
        if not kind or not ordinary(onnx.helper.tensor_dtype_to_np_dtype(kind)):
            what = f"has the type {onnx.TensorProto.DataType.Name(kind)}" if kind else "is no tensor of a known type"
            raise ValueError(f"load_onnx: {printable(name)!r} {what}; tensors of {ORDINARY} are read.")


def _steps(onnx: Any, graph: Any, opset: int) -> list[Step]:
    steps = []
    for node in graph.node:
        if node.domain not in DOMAINS:
            raise ValueError(
                f"load_onnx: the operator {printable(node.op_type)!r} of {printable(node.domain)!r} is not known. Only "
                "operators of ONNX itself are; the table in docs/onnx.md says which."
            )
        if node.op_type not in FUNCTIONS and node.op_type != "Scan":
            near = did_you_mean(node.op_type, FUNCTIONS)
            raise ValueError(
                f"load_onnx: the operator {printable(node.op_type)!r} is not known.{near} The table in docs/onnx.md "
                "lists the known ones."
            )
        attrs = Node(opset=opset, outputs=len(node.output), dtype_of=onnx.helper.tensor_dtype_to_np_dtype)
        for attribute in node.attribute:
            problem = refused(node.op_type, attribute.name)
            if problem:
                raise ValueError(f"load_onnx: {named(node.op_type, node.name, tuple(node.output))}: {problem}.")
            _set_attribute(onnx, attrs, attribute)
        path = node.name.rpartition("/")[0] or node.op_type
        steps.append(Step(kind=node.op_type, name=node.name, path=printable(path), inputs=tuple(node.input),
                          outputs=tuple(node.output), node=attrs))  # fmt: skip
    return steps


def _set_attribute(onnx: Any, attrs: Any, attribute: Any) -> None:
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type == onnx.AttributeProto.GRAPH:
        attrs.body = _steps(onnx, value, attrs.opset)
        attrs.body_inputs = [x.name for x in value.input]
        attrs.body_outputs = [x.name for x in value.output]
        constants = [(tensor.name, _array(onnx, tensor)) for tensor in value.initializer]
        for name, array in reversed(constants):
            attrs.body.insert(0, Step(kind="Constant", name=name, path="", inputs=(), outputs=(name,),
                                      node=Node(value=array, outputs=1, opset=attrs.opset)))  # fmt: skip
        return
    if attribute.type == onnx.AttributeProto.TENSOR:
        value = _array(onnx, value)
    elif isinstance(value, bytes):
        value = value.decode()
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], bytes):
        value = [part.decode() for part in value]
    elif not isinstance(value, (int, float, str)):
        value = list(value)
    setattr(attrs, attribute.name, value)


def _array(onnx: Any, tensor: Any) -> Array:
    return np.array(onnx.numpy_helper.to_array(tensor))


def load_onnx(file: StrPath | bytes | Any) -> OnnxModule:
    """Return a model from an ONNX file as a module with gradients.

    Args:
        file: its path, its bytes, or an ``onnx.ModelProto``. The table in ``docs/onnx.md`` lists the operators that
            it may contain.

    Returns:
        An `OnnxModule`: call it, draw its graph, explore it, train it with `fit`.

    Raises:
        ImportError: the package onnx is missing.
        FileNotFoundError: there is no such file.
        ValueError: the file is no ONNX model, is older than opset 7, or contains an unknown operator or an attribute
            that is not supported; the message names operator, node and attribute.

    Example:
        >>> from tinygrad_nn import Layer
        >>> from tinygrad_nn.onnx import save_onnx
        >>> net = load_onnx(save_onnx([Layer(4, 3, "tanh", rng=0)], np.ones((1, 4))))
        >>> net(np.ones((2, 4), np.float32)).shape, [name for name, _ in net.named_parameters()]
        ((2, 3), ['0.W', '0.b'])
    """
    onnx = onnx_package()
    if isinstance(file, onnx.ModelProto):
        proto, what = file, "the model"
    else:
        what = "the bytes" if isinstance(file, bytes) else f"{printable(os.fspath(file))}"
        try:
            proto = onnx.load_from_string(file) if isinstance(file, bytes) else onnx.load(os.fspath(file))
        except FileNotFoundError:
            raise FileNotFoundError(f"{what}: no such file in {os.getcwd()}. Correct the path.") from None
        except Exception as problem:
            raise ValueError(f"load_onnx: {what} is not an ONNX model ({printable(str(problem))[:80]}).") from None
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as problem:
        raise ValueError(f"load_onnx: {what} is not a valid ONNX model: {printable(str(problem))[:200]}") from None
    return OnnxModule(proto, onnx)
