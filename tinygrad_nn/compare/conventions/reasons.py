"""Say why a forward cannot run on Tensors: the line, what it does there, and whether a small edit would help."""

from __future__ import annotations

import ast
import linecache
import textwrap
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Any, NamedTuple

from ...common.call_site import is_of_library
from ...common.printable import printable
from .signatures import source_tree

WRITES = "writes into an array"
ARRAYS = ("asarray", "array", "ascontiguousarray", "asfarray", "fromiter", "full", "float64", "float32", "vectorize")
NUMBERS = ("float", "int", "complex", "round")
EDIT = (
    "Only writing into arrays prevents a graph. Collect the parts in a list and join them, {out} = np.stack(parts), or "
    "make a new Tensor at each step, {out} = {out}.at[{index}].{method}(...), where {out} begins as "
    "tinygrad_nn.Tensor(np.zeros(...)): then the report can name the operation of the mistake."
)
EDIT_MASK = (
    "Only writing into arrays prevents a graph. Write {out} = np.where({index}, ..., {out}): then the report can name "
    "the operation of the mistake."
)


class Reason(NamedTuple):
    """Why there is no graph: a clause of a sentence, and advice on the edit that would help, or ""."""

    text: str
    edit: str = ""

    @property
    def sentence(self) -> str:
        """The whole sentence, as a report shows it."""
        return f"numerical only: the forward cannot run on Tensors, since {self.text}"


OTHER_RESULT = Reason("it runs on them, but its result is another one than on arrays, as where z = y and then z += 1 "
                      "changes y as well")  # fmt: skip


def why_disconnected(error: BaseException, f: Any) -> Reason:
    """Return the reason for an error that a forward raised on Tensors: the line of user code, and what it did."""
    place = _own_frame(error.__traceback__)
    message = printable(str(error).strip().split("\n")[0].split(". ")[0]) or type(error).__name__
    if place is None:
        return Reason(f"{getattr(f, '__name__', 'it')} raised {type(error).__name__}: {message}")
    code, line, exact = place
    text = _statement(code, line)
    stores = next((clause for clause in _obstacle_clauses(text) if clause == WRITES), "")
    clause = stores or next(_obstacle_clauses(exact, error), "") or next(_obstacle_clauses(text, error), "")
    clause = clause or f"raises {type(error).__name__} ({message}) there"
    text_suffix = f": {_shorten(text)}" if text else ""
    return Reason(f"line {line} {clause}{text_suffix}", _edit_advice(code, text) if clause == WRITES else "")


def _shorten(text: str) -> str:
    """Return a statement in short form: ``out[i] = ...`` for one that stores an item, else at most 60 characters."""
    target, equals, _ = text.partition(" = ")
    if equals and "[" in target:
        return f"{target} = ..."
    return textwrap.shorten(text, 60, placeholder=" ...")


def disconnected(names: str) -> Reason:
    """Return the reason for a forward that ran on Tensors and whose result is not connected with its inputs."""
    return Reason(f"it runs on them but leaves the graph: the result depends on {names}, but not through the graph "
                  "(.data, .item(), or an array made of the numbers)")  # fmt: skip


def _own_frame(trace: TracebackType | None) -> tuple[CodeType, int, str] | None:
    """Return the innermost traceback frame in user code: its code object, its line, and the failing expression."""
    innermost = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_of_library(code.co_filename):
            innermost = code, *_expression(trace)
        trace = trace.tb_next
    return innermost


def _expression(trace: TracebackType) -> tuple[int, str]:
    """Return the line and the text of the expression that raised; the text is "" if it spans lines or is not known."""
    positions = list(trace.tb_frame.f_code.co_positions())
    position = trace.tb_lasti // 2
    first, last, start, end = positions[position] if position < len(positions) else (None, None, None, None)
    if first is None or first != last or start is None:
        return trace.tb_lineno if first is None else first, ""
    line = linecache.getline(trace.tb_frame.f_code.co_filename, first).encode()
    return first, line[start:end].decode(errors="replace").strip()


def _statement(code: CodeType, line: int) -> str:
    """Return the first line of the innermost statement of user code at a line."""
    for node in ast.walk(source_tree(code)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.stmt) and n is not node]
            if not any(n.lineno <= line <= (n.end_lineno or n.lineno) for n in inner):
                return ast.unparse(node).split("\n")[0]
    return linecache.getline(code.co_filename, line).strip()


def _obstacle_clauses(text: str, error: BaseException | None = None) -> Iterator[str]:
    """Yield clauses on what a statement does that Tensors do not support, the likeliest first."""
    try:
        tree = ast.parse(text if not text.endswith(":") else f"{text} pass")
    except SyntaxError:
        return
    nodes = list(ast.walk(tree))
    if any(_stores_item(node) for node in nodes):
        yield WRITES
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        root = name.partition(".")[0]
        if root in ("math", "cmath") or (error is not None and last in ("sqrt", "exp", "log", "tanh", "pow")
                                                 and "." not in name):  # fmt: skip
            yield f"calls plain Python math, {name}, which takes numbers only"
        elif root in ("scipy", "special", "stats", "signal", "linalg") or _has_frame_in(error, "scipy"):
            yield f"calls SciPy, {name}, which has no rule here"
        elif last in ("item", "tolist") or name in NUMBERS:
            yield f"turns a Tensor into a plain number, {name}"
        elif last in ARRAYS:
            yield f"makes an array of Tensors, {name}"
        elif last == "at" or any(k.arg == "out" for k in node.keywords):
            yield WRITES
    if any(isinstance(node, ast.AugAssign) for node in nodes):
        yield WRITES


def _stores_item(node: ast.AST) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    flat = [part for t in targets for part in (t.elts if isinstance(t, (ast.Tuple, ast.List)) else [t])]
    return any(isinstance(t, ast.Subscript) for t in flat)


def _has_frame_in(error: BaseException | None, package: str) -> bool:
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        if f"/{package}/" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False


def _edit_advice(code: CodeType, text: str) -> str:
    """Return the advice `EDIT`, if writing into arrays is the only obstacle in the function; else ""."""
    simple = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr)
    for node in ast.walk(source_tree(code)):
        if isinstance(node, simple) and any(clause != WRITES for clause in _obstacle_clauses(ast.unparse(node))):
            return ""
    node = ast.parse(text).body[0]
    target = getattr(node, "target", None) or next(iter(getattr(node, "targets", [])), None)
    if not isinstance(target, ast.Subscript):
        return ""
    method = "add" if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) else "set"
    out = ast.unparse(target.value)
    if isinstance(target.slice, ast.Compare):
        return EDIT_MASK.format(out=out, index=ast.unparse(target.slice))
    return EDIT.format(out=out, index=ast.unparse(target)[len(out) + 1 : -1], method=method)
