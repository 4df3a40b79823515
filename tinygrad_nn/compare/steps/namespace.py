"""Read both passes from a namespace in which they were run, such as that of a notebook.

The forward is found from Tensors with a graph, the user's gradients from names such as ``dX``.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...backward import ancestors
from ...common.printable import printable
from ...gradcheck.numerical import to_double
from ...node import FREED, Node
from ...tensor import Tensor, raw, wrap
from ..paths import copy_node, rerun_nodes
from .names import Names, as_mapping
from .running import Backward, Forward, Passes, UserGradient, Version
from .statements import NOTHING, Statement, read_statements, target_labels, targets
from .tracing import State, is_number, labelled_parts

LOSSES = ("loss", "cost", "L", "l", "J", "E")


def read_namespace(
    space: Mapping[str, Any], names: Mapping[str, str] | None, frame: Any
) -> Passes:
    """Return the forward and the gradients that a namespace holds; `frame` is where the names were bound.

    Raises:
        ValueError: there is no Tensor with a graph, or no gradient of one.
        RuntimeError: the graph was freed by a backward.
    """
    labelled = {label: part for name, value in space.items() if not name.startswith("_")
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
    lines = Lines(space, frame)
    value_names = Names([*forward], as_mapping(names))
    gradients: list[UserGradient] = []
    helpers: list[str] = []
    for label, value in labelled.items():
        if label in forward or not is_number(value):
            continue
        value_label = value_names.of(label)
        if value_label is not None:
            gradients.append(UserGradient(label, value_label, [State(lines.of(label), np.array(raw(value)))], "", {""}))
        elif label.startswith("d") and isinstance(value, (np.ndarray, Tensor)) and label.isidentifier():
            helpers.append(label)
    named = {gradient.belongs_to for gradient in gradients}
    for label, t in forward.items():
        grad = None if t.node is None else t.node.grad  # t.grad would warn if t is not a leaf
        if grad is not None and label not in named:
            gradients.append(
                UserGradient(f"{label}.grad", label, [State(lines.of(f"{label}.grad"), np.array(grad))], "", {""})
            )
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


class Lines:
    """The statement in which each name of a namespace was bound last, from the notebook cells or the source file."""

    def __init__(self, space: Mapping[str, Any], frame: Any) -> None:
        cells = space.get("In", space.get("_ih"))
        self.last_statements: dict[str, Statement] = {}
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
        for node in ast.walk(tree):
            line = getattr(node, "lineno", 0)
            if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr)) and first <= line <= last:
                for name in (name for target in targets(node) for name in target_labels(target)):
                    present = self.last_statements.get(name)
                    if present is None or present.line <= line or present not in statements.values():
                        self.last_statements[name] = statements[line]

    def of(self, label: str) -> Statement:
        """Return the statement in which a name was bound last."""
        return self.last_statements.get(label) or self.last_statements.get(label.partition("[")[0]) or NOTHING
