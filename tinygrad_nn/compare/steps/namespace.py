"""Read both passes from a namespace in which they were run, such as that of a notebook.

The forward is found from Tensors with a graph, the user's gradients from names such as ``dX``.
"""

from __future__ import annotations

import ast
import builtins
import linecache
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import dropwhile
from typing import Any

import numpy as np

from ...backward import ancestors
from ...common.printable import printable
from ...gradcheck.numerical import to_double
from ...node import FREED, Node
from ...tensor import Tensor, raw, wrap
from ..paths import copy_node, rerun_nodes
from .matching import reshaped
from .names import Names, as_mapping
from .running import Backward, Forward, Passes, UserGradient, Version
from .statements import NOTHING, Statement, read_statements, target_labels, targets
from .tracing import State, is_number, labelled_parts

Array = np.ndarray[Any, Any]

KINDS = (Tensor, np.ndarray, float, int, tuple, list, dict)
FILE = "<lines of a cell>"
LOSSES = ("loss", "cost", "L", "l", "J", "E")


def read_namespace(space: Namespace, names: Mapping[str, str] | None) -> Passes:
    """Return the forward and the gradients that a namespace holds.

    Raises:
        ValueError: there is no Tensor with a graph, or no gradient of one.
        RuntimeError: the graph was freed by a backward.
    """
    labelled = {label: part for name, value in space.values.items() if not name.startswith("_")
                for label, part in labelled_parts(name, value)}  # fmt: skip
    tensors = {label: t for label, t in labelled.items() if isinstance(t, Tensor) and t.node is not None}
    if not tensors:
        raise ValueError(
            "compare_steps: no name here holds a Tensor with a graph, so nothing is known of the forward. Make its "
            "inputs Tensors before it runs, `X = Tensor(X)` for each array that has a gradient, and run it again."
        )
    loss = _loss(tensors)
    try:
        graph = ancestors([tensors[loss].node])  # type: ignore[list-item]
    except RuntimeError as error:
        raise RuntimeError(f"compare_steps: {FREED}") from error
    inside = set(graph)
    forward = {label: t for label, t in tensors.items() if t.node in inside}
    value_names = Names([*forward], as_mapping(names))
    gradients: list[UserGradient] = []
    helpers: list[str] = []
    for label, value in labelled.items():
        if label in forward or not is_number(value):
            continue
        value_label = value_names.of(label)
        if value_label is not None:
            gradients.append(_gradient(space, label, value_label, raw(value)))
        elif label.startswith("d") and isinstance(value, (np.ndarray, Tensor)) and label.isidentifier():
            helpers.append(label)
    named = {gradient.belongs_to for gradient in gradients}
    for label, t in forward.items():
        grad = None if t.node is None else t.node.grad  # t.grad would warn if t is not a leaf
        if grad is not None and label not in named:
            gradients.append(_gradient(space, f"{label}.grad", label, grad))
    if not gradients:
        names_text = printable(", ".join(forward))
        raise ValueError(
            f"compare_steps: the loss here is {printable(loss)}, computed from {names_text}, and no name holds a "
            "gradient of one of these. Call the gradient of X dX, or give names={'your name': 'X'}."
        )
    has_float32 = any(np.asarray(s.array).dtype == np.float32 for gradient in gradients for s in gradient.states)
    has_float32 |= any(np.asarray(node.out).dtype == np.float32 for node in graph)
    values, inputs = _in_float64(graph, forward) if has_float32 else (
        forward, [wrap(node.out, node) for node in graph if node.primitive is None])  # fmt: skip
    versions = {label: [Version(t.node, t, NOTHING, "", {""})] for label, t in values.items()}  # type: ignore[arg-type]
    end = values[loss]
    graph_of = Forward(versions, [end], [loss], end, None, inputs, values)
    return Passes(graph_of, [np.ones(end.shape)], Backward(gradients, helpers), has_float32, graph_of, None)


def _gradient(space: Namespace, label: str, value_label: str, value: Any) -> UserGradient:
    """Return what the user calls `label`, as the gradient of the value `value_label`."""
    return UserGradient(label, value_label, space.states_of(label, value), "", {""})


def _in_float64(graph: list[Node], forward: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Return the Tensors and the leaves of a graph computed again in float64: a 0 of float32 has no gradient."""
    leaves = [node for node in graph if node.primitive is None]
    twins = rerun_nodes([node for node in graph if node.primitive is not None],
                        {node: copy_node(node, out=to_double(node.out)) for node in leaves})  # fmt: skip
    values = {label: wrap(twins[t.node].out, twins[t.node]) for label, t in forward.items()}  # type: ignore[index]
    return values, [wrap(twins[node].out, twins[node]) for node in leaves]


def _loss(tensors: Mapping[str, Tensor]) -> str:
    """Return the name of the loss: a name from `LOSSES`, else the newest single number whose name is no gradient's."""
    for name in LOSSES:
        if name in tensors and tensors[name].size == 1:
            return name
    value_names = Names([*tensors])
    candidates = [label for label in tensors if value_names.of(label) is None] or [*tensors]
    numbers = [label for label in candidates if tensors[label].size == 1 and tensors[label].node.primitive]  # type: ignore[union-attr]
    return max(numbers or candidates, key=lambda label: tensors[label].node.index)  # type: ignore[union-attr]


class Namespace:
    """The names that were bound where both passes ran, and the statements that bound each of them or wrote into it.

    Attributes:
        values: the names to read, with their values.
        names: the same, and the names of the module, which a function reads as well.
    """

    def __init__(self, values: Mapping[str, Any], frame: Any) -> None:
        """Read the statements from the notebook cells or the source file; `frame` is where the names were bound."""
        self.values = values
        self.names = {**(frame.f_globals if frame is not None else {}), **values}
        self.statements: dict[str, list[Statement]] = {}
        self._order: dict[Statement, None] = {}
        cells = values.get("In", values.get("_ih"))
        if isinstance(cells, list) and len(cells) > 1 and all(isinstance(cell, str) for cell in cells):
            for cell in cells:
                self._read(cell, 1, len(cell))
        elif frame is not None:
            code = frame.f_code
            source = "".join(linecache.getlines(code.co_filename, frame.f_globals))
            self._read(source, code.co_firstlineno if code.co_name != "<module>" else 1, frame.f_lineno)

    def _read(self, source: str, first: int, last: int) -> None:
        statements = read_statements(source)
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a cell with a notebook command such as %time
            return
        kinds = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr, ast.Expr)
        nodes = [node for node in ast.walk(tree) if isinstance(node, kinds) and node.value is not None
                 and first <= node.lineno <= last]  # fmt: skip
        for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
            self._order.pop(statements[node.lineno], None)
            self._order[statements[node.lineno]] = None  # of a cell that ran twice, the last time counts
            for target in targets(node):
                is_whole = not isinstance(node, (ast.AugAssign, ast.Expr)) and not _reads(node.value, target)
                for label in _containers(target):
                    if is_whole:
                        self.statements = {name: s for name, s in self.statements.items()
                                           if name != label and not name.startswith(f"{label}[")}  # fmt: skip
                    self.statements.setdefault(label, []).append(statements[node.lineno])
                    is_whole = False  # of what holds the target, this is a part

    def states_of(self, label: str, held: Any) -> list[State]:
        """Return what a name held after each of its statements, as far as they can run alone, and what it holds now."""
        statements, held = self.statements_of(label), np.array(held)
        states = [State(statements[-1], held)]
        if len(statements) > 1 and self.alone(label, statements, held) is not None:
            for k, statement in enumerate(statements[:-1]):
                lines, arrays = self.alone(label, statements[: k + 1]) or (None, {})
                if lines is not None:
                    array = np.array(raw(lines(**scope_with(arrays, {}))))
                    states.insert(k, State(statement, array, _adds(statement, label)))
            states[-1] = states[-1]._replace(added=_adds(statements[-1], label))
        return states

    def statements_of(self, label: str) -> list[Statement]:
        """Return the statement that bound a name last, and those that wrote into it since then."""
        found = self.statements.get(label) or self.statements.get(label.partition("[")[0]) or [NOTHING]
        return [statement for k, statement in enumerate(found) if statement not in found[:k]]

    def is_bound_before(self, label: str, statement: Statement) -> bool:
        """Tell whether the statements that made what a name holds all ran before another statement."""
        later = [*dropwhile(lambda other: other != statement, self._order)]
        own = self.statements.get(label, ())
        return bool(own and later) and not any(other in later for other in own)

    def alone(
        self, label: str, statements: Sequence[Statement], held: Any = None
    ) -> tuple[Callable[..., Any], dict[str, Any]] | None:
        """Return the statements that made what a name holds as a function, and its arguments.

        It is None if they cannot run alone, or do not give `held`: a name that they read was bound again after they
        ran.
        """
        texts = [" ".join(s.text.split()) for s in statements]
        read = _names_read("\n".join(texts), label)
        if read is None or not all(s.line for s in statements) or not read <= {*self.names, *vars(builtins)}:
            return None
        arrays = {name: self.names[name] for name in sorted(read) if isinstance(self.names.get(name), KINDS)}
        others = {name: value for name, value in self.names.items() if name.isidentifier() and name not in arrays}
        lines = _function(texts, label, arrays, others)
        try:
            result = np.asarray(raw(lines(**scope_with(arrays, {}))))
        except Exception:  # a line of user code may raise anything when it runs alone
            return None
        is_it = held is None or np.array_equal(reshaped(result, held), held, equal_nan=True)
        return (lines, arrays) if is_it else None


def _containers(target: ast.expr) -> Iterator[str]:
    """Yield the label of a target, and those of the containers that it is a part of."""
    while isinstance(target, ast.Subscript):
        yield ast.unparse(target)
        target = target.value
    yield from target_labels(target)


def _reads(value: Any, target: ast.expr) -> bool:
    """Tell whether an expression reads the name or the part that it is assigned to."""
    label = ast.unparse(target)
    return any(type(part) is type(target) and ast.unparse(part) == label for part in ast.walk(value))


def _adds(statement: Statement, label: str) -> bool:
    return label.partition("[")[0] in statement.added


def scope_with(arrays: Mapping[str, Any], values: Mapping[str, Array]) -> dict[str, Any]:
    """Return copies of the arguments of lines, with other values of those that `values` has by their labels."""
    return {name: _with_values(name, value, values) for name, value in arrays.items()}


def _with_values(label: str, value: Any, values: Mapping[str, Array]) -> Any:
    if type(value) in (dict, list, tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = {key: _with_values(f"{label}[{key!r}]", part, values) for key, part in items}
        return parts if isinstance(value, dict) else type(value)(parts.values())
    if label in values or isinstance(value, (Tensor, np.ndarray)):
        return _like(values.get(label, raw(value)), value)
    return value


def _like(array: Array, value: Any) -> Any:
    """Return a copy of the array; a Tensor without a graph if `value` is a Tensor."""
    return Tensor(np.array(array), requires_grad=False) if isinstance(value, Tensor) else np.array(array)


def _names_read(source: str, label: str) -> set[str] | None:
    """Return the names that statements read; None if they do not bind `label` first, or do more than write into it."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return None
    for k, node in enumerate(body):
        texts = [ast.unparse(target) for target in targets(node)]
        is_wanted = len(texts) == 1 and (texts[0] == label or (k > 0 and texts[0].startswith(f"{label}[")))
        if not is_wanted or getattr(node, "value", None) is None or (
                k == 0 and isinstance(node, (ast.AugAssign, ast.Expr))):  # fmt: skip
            return None
    parts: list[Any] = [part for node in body for part in (*targets(node), node.value)]  # type: ignore[attr-defined]
    names = [n for part in parts for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    return {n.id for n in names} - {label} if body else None


def _function(texts: Sequence[str], label: str, arrays: Mapping[str, Any], others: Mapping[str, Any]) -> Any:
    """Return a function that runs statements: its parameters are the arrays, its result is `label`."""
    source = "\n    ".join([f"def lines({', '.join(arrays)}):", *texts, f"return {label}\n"])
    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    space: dict[str, Any] = dict(others)
    exec(compile(source, FILE, "exec"), space)
    return space["lines"]
