"""A plan as a table of text, and as a graph that can be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...common.columns import truncate
from ...common.printable import counted
from ...graph.summary import bytes_text
from ...graph.view import GraphView
from ...node import Node
from ...primitive import REGISTRY, Primitive
from ...tensor import Tensor, leaf
from .memory import Memory
from .values import VIEWS, Arg, Op, Program, Value

WIDTH = 80


def table(title: str, program: Program, memory: Memory) -> str:
    """Return a table with a line for each operation: its number, name, arguments, result, and where that is stored."""
    kernels = sum(op.kind == "kernel" for op in program.ops)
    count = sum(len(op.function.ops) if op.kind == "kernel" else 1 for op in program.ops)
    head = f"{title}: {counted(count, 'operation')}" + (f" in {counted(kernels, 'kernel')}" if kernels else "")
    lines = [f"{head}, {counted(len(memory.slabs), 'buffer')}, {bytes_text(memory.bytes)}"]
    lines.append(f"{'':>5} {'operation':<32} {'result':<20} {'bytes':>8} kept in")
    for op in program.ops:
        if op.kind == "kernel":
            lines.append(f"{'':>5} kernel of {len([o for o in op.function.ops if o.kind not in VIEWS])}")
            lines += [_line(inner, program, memory, op) for inner in op.function.ops]
        else:
            lines.append(_line(op, program, memory, None))
    outputs = [x for x in program.outputs if isinstance(x, Value)]
    lines.append(f"{'':>5} returns {', '.join(_value_text(x) for x in outputs)}"[:WIDTH])
    return "\n".join(line.rstrip() for line in lines)


def _line(op: Op, program: Program, memory: Memory, kernel: Op | None) -> str:
    what = f"{'| ' if kernel else ''}{op.name}({', '.join(_value_text(arg) for arg in op.args)})"
    result = "number" if op.out.weak else f"{op.out.dtype}{list(op.out.shape)}"
    kept = _memory_text(op, program, memory, kernel)
    size = "" if op.kind in VIEWS or op.out.weak or kept == "in passing" else bytes_text(op.out.nbytes)
    what, result = truncate(what, 32, "..."), truncate(result, 20, "...")
    return f"{_value_text(op.out):>5} {what:<32} {result:<20} {size:>8} {kept}"


def _memory_text(op: Op, program: Program, memory: Memory, kernel: Op | None) -> str:
    """Return a text that says where a result is stored."""
    value = op.out
    if value.weak:
        return ""
    if op.kind in VIEWS:
        return "view" if value in memory.owner or kernel else f"buffer {memory.place.get(value, '')}"
    end = memory.target.get(value, value)
    if end in memory.onto:
        return f"argument {memory.onto[end].slot}"
    if end in program.outputs:
        return "output"
    if kernel is not None and value in kernel.function.scratch:
        return f"buffer {memory.place[kernel.function.scratch[value][0]]}"
    return f"buffer {memory.place[end]}" if end in memory.place else "in passing" if kernel else "new"


def _value_text(x: Arg) -> str:
    if not isinstance(x, Value):
        return f"{x:.4g}" if isinstance(x, float) else str(x)
    if x.kind == "constant" and x.size == 1:
        return f"{x.data.item():.4g}" if x.data.dtype.kind == "f" else str(x.data.item())
    return {"input": f"i{x.slot}", "constant": f"c{x.number}"}.get(x.kind, str(x.number))


def graph(program: Program) -> GraphView:
    """Return a graph of a program: kernels are boxes, and all arrays are zeros of the right shape and dtype."""
    tensors: dict[Value, Tensor] = {}
    for op in program.ops:
        inner = op.function.ops if op.kind == "kernel" else [op]
        scope = f"kernel {program.ops.index(op)}" if op.kind == "kernel" else None
        for one in inner:
            if one.kind not in ("number",):
                tensors[one.out] = _tensor(one, tensors, scope)
    results = [tensors[x] for x in dict.fromkeys(program.outputs) if isinstance(x, Value) and x in tensors]
    return GraphView(results)


def _tensor(op: Op, tensors: dict[Value, Tensor], scope: str | None) -> Tensor:
    """Return a Tensor over a Node that stands for an operation."""
    made = leaf(_zeros(op.out))
    node: Node = made.node  # type: ignore[assignment]
    args: list[Any] = []
    parents: list[Node | None] = []
    for arg in op.args:
        if isinstance(arg, Value) and arg.kind == "input" and arg not in tensors:
            tensors[arg] = leaf(_zeros(arg), f"argument {arg.slot}")
            tensors[arg].node.index = arg.slot - 1_000_000  # type: ignore[union-attr]
        known = tensors.get(arg) if isinstance(arg, Value) else None
        args.append(known.data if known is not None else _zeros(arg) if isinstance(arg, Value) else arg)
        parents.append(None if known is None else known.node)
    known_primitive = REGISTRY.get(op.name)
    node.primitive = known_primitive or Primitive(op.name, lambda *x: x, (), op.name)
    node.scope, node.meta = scope, {}
    node.link(args, parents)
    return made


def _zeros(value: Value) -> np.ndarray[Any, Any]:
    return np.broadcast_to(np.zeros((), value.dtype if isinstance(value.dtype, np.dtype) else float), value.shape)
