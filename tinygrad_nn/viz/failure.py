"""Analysis of a failed forward pass: the operation that failed, its operands, and the graph computed before it."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import numpy as np

from ..common.display import brief
from ..common.printable import printable
from ..common.tracebacks import entries, is_operation, is_ours, is_user_code
from ..graph.summary import shape_text
from ..graph.view import GraphEdge, GraphNode, GraphView, Summary
from ..tensor import Tensor
from .model.variables import variables, view_with_names

NOTHING = (
    "no error has happened here. Run the call that fails first, or pass the error itself: "
    "except ValueError as error: explain_error(error)."
)
NO_OPERANDS = (
    "{error} did not come from an operation on Tensors or arrays, so there is nothing to draw; its traceback says "
    "where it was raised."
)


@dataclass(frozen=True)
class Operand:
    """An operand of a failed operation: its name (may be empty) and its value."""

    name: str
    value: Any

    @property
    def shape(self) -> str:
        """The shape as text; if the value is not an array, the value in short."""
        if not isinstance(self.value, (Tensor, np.ndarray)):
            return brief(self.value)
        return shape_text(self.value.shape)

    @property
    def origin(self) -> str:
        """The origin of the value: a leaf, a constant, an array or the result of an operation."""
        if not isinstance(self.value, Tensor):
            return "array" if isinstance(self.value, np.ndarray) else type(self.value).__name__
        node = self.value.node
        if node is None:
            return "constant"
        return f"result of {node.primitive.name}" if node.primitive else "leaf"


@dataclass(frozen=True)
class Failure:
    """An operation that failed.

    Attributes:
        error: the exception.
        operation: the name of the operation or layer, or the user's source line.
        operands: the operands of the operation.
        scope: the path of the layer that was running.
        line: file, number and text of the user's source line that led to the error.
        names: the local variables in the user's frames of the traceback, by name.
    """

    error: BaseException
    operation: str
    operands: tuple[Operand, ...]
    scope: str | None
    line: tuple[str, int, str] | None
    names: dict[str, Any]

    @property
    def shapes(self) -> str:
        """The shapes of the array operands as text."""
        return " and ".join(operand.shape for operand in self.operands if _has_shape(operand.value)) or "no arrays"


def last_error() -> BaseException:
    """Return the exception that is being handled, or the last uncaught one.

    Raises:
        RuntimeError: there was none.
    """
    error = sys.exc_info()[1] or getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if error is None:
        raise RuntimeError(NOTHING)
    return error


def failure_of(error: BaseException) -> Failure:
    """Return the failed operation, found in the frames of the traceback.

    Raises:
        ValueError: no frame has an operation with array operands.
    """
    for one in _causes(error):
        frames = [entry.tb_frame for entry in entries(one.__traceback__)]
        persons = [(entry.tb_frame, entry.tb_lineno) for entry in entries(one.__traceback__)
                   if is_user_code(entry.tb_frame)]  # fmt: skip
        names: dict[str, Any] = {}
        for frame, _ in reversed(persons):  # names of the innermost frame take precedence
            for name, value in frame.f_locals.items():
                if not name.startswith("_"):
                    names.setdefault(name, value)
        line = None
        if persons:
            frame, number = persons[-1]
            file = frame.f_code.co_filename
            line = file, number, linecache.getline(file, number, frame.f_globals).strip()
        innermost = [frame for frame, _ in persons[::-1]]
        found = _by_operation(frames) or _by_function(frames) or (persons and _by_line(innermost[0], line))
        found = found or next(filter(None, (_by_results(frame, line) for frame in innermost)), None)
        if found and any(_has_shape(value) for _, value in found[1]):
            known = {id(value): name for name, value in reversed(variables([names])[0].items())}
            operands = tuple(
                Operand(_operand_name(value, name, known.get(id(value), "")), value) for name, value in found[1]
            )
            return Failure(one, found[0], operands, getattr(one, "module_path", None), line, names)
    raise ValueError(NO_OPERANDS.format(error=f"{type(error).__name__}: {printable(error)}"))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then its causes and contexts."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and all(one is not other for other in seen):
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__


Found = tuple[str, list[tuple[str, Any]]]


def _by_operation(frames: list[FrameType]) -> Found | None:
    """Return the name and the arguments of the primitive whose forward raised the error."""
    for frame in reversed(frames):
        if is_operation(frame):
            primitive, args = frame.f_locals["primitive"], frame.f_locals["args"]
            names = [p.name for p in primitive.parameters] if not primitive.jointly else []
            names += [""] * (len(args) - len(names))
            meta = primitive.call_meta(frame.f_locals["meta"])
            return primitive.name, [*zip(names, args, strict=False), *meta.items()]
    return None


def _by_function(frames: list[FrameType]) -> Found | None:
    """Return the innermost function or layer of this package that received arrays, with its arguments."""
    last = max((k for k, frame in enumerate(frames) if is_ours(frame)), default=-1)
    if any(is_user_code(frame) for frame in frames[last + 1 :]):
        return None
    for frame in reversed(frames[: last + 1]):
        if not is_ours(frame):
            break
        code, values = frame.f_code, frame.f_locals
        count = code.co_argcount + code.co_kwonlyargcount
        taken = [(name, values[name]) for name in code.co_varnames[:count] if name in values and name != "self"]
        if code.co_flags & 4:  # *args
            taken += [("", value) for value in values.get(code.co_varnames[count], ())]
        arrays = [(name, value) for name, value in taken if _has_shape(value)]
        if arrays:
            owner: Any = values.get("self")
            if hasattr(owner, "named_parameters"):
                text = repr(owner).split("\n")[0]
                own = [(path, part) for path, part in owner.named_parameters() if "." not in path]
                return text if text.endswith(")") else type(owner).__name__, arrays + own
            return code.co_name.lstrip("_"), arrays
    return None


def _by_line(frame: FrameType, line: tuple[str, int, str] | None) -> Found | None:
    """Return the user's source line, with the arrays that it names."""
    values = frame.f_globals | frame.f_locals
    words = dict.fromkeys(re.findall(r"[^\W\d]\w*", line[2] if line else ""))
    arrays = [(name, values[name]) for name in words if _has_shape(values.get(name))]
    return (line[2], arrays) if line and arrays else None


def _by_results(frame: FrameType, line: tuple[str, int, str] | None) -> Found | None:
    """Return the user's source line if it names no array, with the most recent result among the local variables."""
    tensors = {name: value.node for name, value in frame.f_locals.items() if isinstance(value, Tensor)}
    results = [(node.index, name) for name, node in tensors.items() if node is not None and node.primitive is not None]
    name = max(results)[1] if results else ""
    return (line[2], [(name, frame.f_locals[name])]) if line and name else None


def _has_shape(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _operand_name(value: Any, name: str, path: str) -> str:
    """Return the name of an operand: its own, else that of a variable (or the end of a path), else the parameter's."""
    own = (value.name or "") if isinstance(value, Tensor) else ""
    return own or (name if path.endswith(f".{name}") and name else path) or name


def failed_view(failure: Failure) -> GraphView:
    """Return the graph computed before the failure, with the failed operation as an additional last node."""
    tensors = []
    for operand in failure.operands:
        if _has_shape(operand.value):
            value = operand.value
            tensors.append(value if isinstance(value, Tensor) else Tensor(value, requires_grad=False))
    names = {operand.name: operand.value for operand in failure.operands if operand.name.isidentifier()}
    names |= {name: value for name, value in failure.names.items() if name not in names}
    try:
        view = view_with_names(tensors, names).view
    except RuntimeError:  # the graph of an operand was freed
        tensors = [Tensor(t.data, requires_grad=False, name=operand.name or None)
                   for t, operand in zip(tensors, failure.operands, strict=False)]  # fmt: skip
        view = view_with_names(tensors, names).view
    nodes = [replace(part, kind="operation") if part.kind == "output" else part for part in view]
    edges = list(view.edges)
    last = len(nodes)
    edges += [GraphEdge(source, last, slot) for slot, source in enumerate(view.outputs)]
    empty = Summary("failed", (), None, None, None, 0.0, 0, 0)
    others = [f"{o.name}={o.shape}" if o.name else o.shape for o in failure.operands if not _has_shape(o.value)]
    nodes.append(GraphNode(
        number=last, kind="failed", name=None, operation=printable(failure.operation), scope=failure.scope, tex=None,
        rules=(), metadata=", ".join([failure.shapes, *others]), shape=(0,), dtype="", value=empty, grad=None,
        line=None, array=np.zeros(0), grad_array=None,
    ))  # fmt: skip
    return GraphView.made_of(nodes, edges, (last,))
