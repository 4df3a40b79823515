"""`save_onnx`: write a model as an ONNX file, by tracing its forward and translating each operation of the trace."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..common.printable import printable
from ..compiled.program.values import Op, Value
from ..files import StrPath, write_whole
from ..nn.containers import Sequential, as_module
from ..nn.module import Module
from .operators import write_operation
from .rows import Depends, Free, Traced, Untraceable, traced
from .writer import Writer, shape_of

OPSET, IR = 18, 9


def save_onnx(
    model: Any, example: Any, path: StrPath | None = None, *, axis: int | None = 0, dtype: Any = "float32"
) -> Any:
    """Convert a model to ONNX by tracing its forward on an example; return it, and write it to a file if asked to.

    The forward runs in eval mode. The length of the inputs along `axis` is free: the file accepts any number of rows.

    Args:
        model: a `Module`, a list of layers, a `Network` with its scalings, or a function of arrays.
        example: an input of the model, an array; a tuple of arrays if the forward has several arguments.
        path: the file to write, conventionally with the suffix ``.onnx``; ``None`` writes nothing.
        axis: the axis of all inputs whose length is free; ``None`` if all shapes are fixed.
        dtype: the dtype of all floats in the file; ``None`` keeps their dtypes (ONNX runtimes implement many operators
            for float32 only).

    Returns:
        An ``onnx.ModelProto`` that ``onnx.checker`` accepts. Its weights have the names of the model's parameters.

    Raises:
        ImportError: the package onnx is missing.
        TypeError: the dtype is not one of floats.
        ValueError: the forward has an operation without an ONNX operator, or depends on values or on the number of
            rows in a way that ONNX cannot express; the message names the operation and its layer.

    Example:
        >>> from tinygrad_nn import Layer
        >>> model = save_onnx([Layer(4, 8, "relu", rng=0), Layer(8, 3, rng=1)], np.ones((1, 4)))
        >>> [node.op_type for node in model.graph.node if node.op_type != "Constant"]
        ['Transpose', 'MatMul', 'Add', 'Relu', 'Transpose', 'MatMul', 'Add']
    """
    onnx = onnx_package()
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise TypeError(f"save_onnx: dtype={np.dtype(dtype)}; it needs a dtype of floats, such as 'float32', or None.")
    model = model.as_module() if hasattr(model, "as_module") else model
    module = Sequential(*model) if isinstance(model, (list, tuple)) else as_module("save_onnx", model)
    examples = [np.asarray(x) for x in (example if isinstance(example, tuple) else (example,))]
    _check(examples, axis)
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        found = traced(module, examples, axis)
    except Untraceable as problem:
        raise ValueError(f"save_onnx: the forward pass cannot be exported: {problem}") from None
    except Depends as problem:
        raise ValueError(f"save_onnx: {problem}. Pass axis=None for shapes that are fixed.") from None
    finally:
        for part, training in before:
            part.training = training
    proto = _model(onnx, module, found, Writer(onnx, dtype, axis))
    onnx.checker.check_model(proto, full_check=True)
    if path is not None:
        write_whole(path, proto.SerializeToString())
    return proto


def onnx_package() -> Any:
    """Return the package onnx; if it is missing, raise ImportError with how to install it."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as problem:
        raise ImportError("ONNX needs the package onnx; install it with: pip install 'tinygrad-nn[onnx]'") from problem
    return onnx


def _check(examples: list[np.ndarray[Any, Any]], axis: int | None) -> None:
    for x in examples:
        if x.dtype.kind not in "fiub":
            raise ValueError(f"save_onnx: the example is of type {x.dtype}; pass an array of numbers.")
        if axis is not None and not -x.ndim <= axis < x.ndim:
            several = " A tuple contains an array for each argument; a shape is not an example." * (len(examples) > 1)
            raise ValueError(
                f"save_onnx: the example has shape {x.shape}, and no axis {axis} whose length could be free. Pass an "
                f"array with one row per sample, or axis=None.{several}"
            )
        if axis is not None and not x.shape[axis]:
            raise ValueError(f"save_onnx: the example has shape {x.shape}; pass at least one row along axis {axis}.")


def _model(onnx: Any, module: Module, traced: Traced, writer: Writer) -> Any:
    helper = onnx.helper
    for name, data, value in traced.parameters:
        writer.names[value] = writer.initializer(name, data)
    needed = _needed_operations(traced)
    inputs = []
    for k, given in enumerate(traced.inputs):
        one = given[0]
        writer.names[one] = writer.name(_input_name(module, k, len(traced.inputs)))
        shape = shape_of(given)
        writer.rows_of(writer.names[one])
        inputs.append(helper.make_tensor_value_info(writer.names[one], writer.element(one.dtype), _shape_text(shape)))
    for ops in traced.ops:
        if ops[0] in needed:
            writer.scope = f"{ops[0].scope}/" if ops[0].scope else ""
            writer.names[ops[0].out] = _write_operation(writer, ops)
    writer.scope = ""
    outputs = []
    many = len(traced.outputs) > 1
    for k, given in enumerate(traced.outputs):
        one = given[0]
        if not isinstance(one, Value):
            raise ValueError(f"save_onnx: the forward returns {one!r:.40}, which does not depend on its arguments.")
        name = writer.name(f"output_{k + 1}" if many else "output")
        writer.nodes.append(helper.make_node("Identity", [writer.arg(given)], [name], name=name))
        words = _shape_text(shape_of(given))
        outputs.append(helper.make_tensor_value_info(name, writer.element(one.dtype), words))
    _remove_identities(writer)
    nodes, weights = writer.constants + writer.nodes, list(writer.initializers.values())
    graph = helper.make_graph(nodes, module.title(), inputs, outputs, weights)
    return helper.make_model(graph, producer_name="tinygrad_nn", ir_version=IR,
                             opset_imports=[helper.make_opsetid("", OPSET)])  # fmt: skip


def _needed_operations(traced: Traced) -> set[Op]:
    """Return the operations that the outputs depend on."""
    needed: set[Op] = set()
    waiting = [one.op for one, *_ in traced.outputs if isinstance(one, Value) and one.op is not None]
    while waiting:
        op = waiting.pop()
        if op not in needed:
            needed.add(op)
            waiting += [arg.op for arg in op.values if arg.op is not None]
    return needed


def _write_operation(writer: Writer, ops: tuple[Op, ...]) -> str:
    op = ops[0]
    where = f" in {printable(op.scope)}" if op.scope else ""
    try:
        return write_operation(writer, ops)
    except KeyError:
        what = "draws random numbers; call it in eval mode, or leave it out" if op.kind == "draw" else "has no operator"
        raise ValueError(f"save_onnx: {op.name}{where} {what}.") from None
    except Depends as problem:
        raise ValueError(f"save_onnx: {op.name}{where}: {problem}.") from None


def _input_name(module: Module, k: int, count: int) -> str:
    """Return the name of input k: the forward's parameter name, or ``input_1`` etc. if it has too few parameters."""
    try:
        names = [p.name for p in inspect.signature(module.forward).parameters.values()
                 if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]  # fmt: skip
    except (TypeError, ValueError):
        names = []
    return names[k] if len(names) >= count else f"input_{k + 1}"


def _shape_text(shape: tuple[Any, ...]) -> list[Any]:
    """Return a shape with strings such as ``batch`` or ``2*batch+1`` for free lengths."""
    words: list[Any] = []
    for n in shape:
        if not isinstance(n, Free):
            words.append(int(n))
        elif n.slope is None:
            words.append(None)  # another way than in proportion has no name
        elif n == Free(1, 0):
            words.append("batch")
        else:
            words.append(f"{n.slope}*batch" + (f"{n.start:+d}" if n.start else ""))
    return words


def _remove_identities(writer: Writer) -> None:
    """Remove the Identity before each output whose input nothing else reads; the node before takes over its name."""
    made = {name: node for node in writer.nodes for name in node.output}
    used: dict[str, int] = {}
    for node in writer.nodes:
        for name in node.input:
            used[name] = used.get(name, 0) + 1
    for node in [n for n in writer.nodes if n.op_type == "Identity" and n.name == n.output[0]]:
        before = made.get(node.input[0])
        if before is not None and before is not node and used[node.input[0]] == 1 and len(before.output) == 1:
            before.output[0] = node.output[0]
            writer.nodes.remove(node)
