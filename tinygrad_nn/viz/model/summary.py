"""`summary`: a table of the layers of a model, with shapes, parameters, operations and memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...common.columns import pad, text_columns
from ...common.printable import printable
from ...graph import GraphNode, GraphView
from ...graph.summary import bytes_text, shape_text
from ...tensor import Tensor
from ..graph.page import html_table
from .calls import Call, CallRecorder
from .values import array_of, in_eval_mode

HEADS = ("layer", "input", "output", "parameters", "operations", "bytes")


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One call of a layer.

    Attributes:
        name: the name of the layer.
        input, output: shapes; the input is ``None`` if the model is a single function.
        parameters: the number of its parameter entries that no earlier row has counted.
        operations: the number of operations that its forward recorded.
        bytes: memory of these parameters and of all results of its operations, which are kept for `backward`.
        shared: whether it shares parameters with an earlier row.
    """

    name: str
    input: tuple[int, ...] | None
    output: tuple[int, ...] | None
    parameters: int
    operations: int
    bytes: int
    shared: bool = False


@dataclass(frozen=True)
class ModelSummary:
    """A table of layers; ``print`` shows text, a notebook displays a table.

    Attributes:
        rows: one for each layer.
    """

    rows: tuple[SummaryRow, ...]

    @property
    def parameters(self) -> int:
        """The number of parameter entries of the model; shared parameters are counted once."""
        return sum(row.parameters for row in self.rows)

    @property
    def operations(self) -> int:
        """The number of operations that the forward records."""
        return sum(row.operations for row in self.rows)

    @property
    def bytes(self) -> int:
        """The memory of parameters and results in bytes."""
        return sum(row.bytes for row in self.rows)

    def _cells(self) -> list[tuple[str, ...]]:
        cells = [
            (printable(row.name), *("" if shape is None else shape_text(shape) for shape in (row.input, row.output)),
             f"{row.parameters:,}{' (shared)' if row.shared else ''}", f"{row.operations:,}", bytes_text(row.bytes))
            for row in self.rows
        ]  # fmt: skip
        return [*cells, ("total", "", "", f"{self.parameters:,}", f"{self.operations:,}", bytes_text(self.bytes))]

    def __str__(self) -> str:
        table = [HEADS, *self._cells()]
        widths = [max(map(text_columns, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(pad(cell, width, right=k >= 3)
                           for k, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                 for row in table]  # fmt: skip
        rule = "-" * max(map(text_columns, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(HEADS, self._cells(), frozenset({3, 4, 5}))


def summary(model: Any, x: Any, *more: Any, depth: int = 1) -> ModelSummary:
    """Return a table of the layers of a model, with the shapes of a call with x.

    Modules are in evaluation mode during the call, so that they do not change. A module whose inner modules have rows
    of their own counts only the rest.

    Args:
        model: a module; a list of layers, each a function of the output of the one before; or one function, whose
            layers are the outermost scopes that its operations are recorded under.
        x: a batch, ``(batch, n_in)``; more: further arguments of the model.
        depth: how many levels of nested modules have rows of their own.

    Returns:
        A `ModelSummary`.

    Raises:
        TypeError: the model cannot be called.
        ValueError: depth is below 0.

    Example:
        >>> import numpy as np
        >>> W = Tensor(np.ones((4, 3)))
        >>> print(summary([lambda x: x @ W, np.exp], np.ones((2, 4))))
        layer       input  output  parameters  operations  bytes
        --------------------------------------------------------
        1 <lambda>  2 × 4  2 × 3           12           1  144 B
        2 exp       2 × 3  2 × 3            0           1   48 B
        --------------------------------------------------------
        total                              12           2  192 B
    """
    if depth < 0:
        raise ValueError(f"depth={depth!r}; it must be the number of module levels that have rows, 0 or more.")
    parts = list(model) if isinstance(model, (list, tuple)) else [model]
    for part in parts or [model]:
        if not callable(part):
            raise TypeError(
                f"summary takes a module, a list of layers or a function; a {type(part).__name__} cannot be called."
            )
    entries = [Tensor(array_of(value)) for value in (x, *more)]
    with in_eval_mode(model):
        if parts[0] is model and not hasattr(model, "named_modules"):
            return ModelSummary(tuple(_by_scope(model(*entries), entries)))
        watch, values = CallRecorder(), entries
        for k, part in enumerate(parts, start=1):
            number = "" if part is model else str(k)
            values = [watch.run(part, values, number, depth - (part is not model))]
    return ModelSummary(tuple(_by_call(watch.calls, values, entries)))


def _by_call(calls: list[Call], results: list[Any], entries: list[Tensor]) -> Iterator[SummaryRow]:
    """Yield a row for each call, except for containers without operations and parameters of their own."""
    view, outside = GraphView(results), {entry.node for entry in entries}
    nodes: list[list[GraphNode]] = [[] for _ in calls]
    owner = {}
    for part in view:
        if part.node is not None and part.operation:
            inner = [k for k, call in enumerate(calls) if call.start < part.node.index < call.end]
            owner[part.number] = max(inner)  # the innermost call
            nodes[max(inner)].append(part)
    for edge in view.edges:
        source = view[edge.source]
        if source.kind == "leaf" and source.node not in outside:
            nodes[owner[edge.target]].append(source)
    seen: set[Any] = set()
    for k, (call, found) in enumerate(zip(calls, nodes, strict=True)):
        holds = k + 1 < len(calls) and calls[k + 1].start < call.end
        if found or call.owned or not holds:
            yield _row(call.name, call.input, call.output, found, call.owned, seen)


def _by_scope(result: Any, entries: list[Tensor]) -> Iterator[SummaryRow]:
    """Yield a row for each outermost scope of a function's operations."""
    view, outside = GraphView(result), {entry.node for entry in entries}
    groups: dict[str, list[GraphNode]] = {}
    user: dict[int, str] = {}
    for edge in view.edges:
        user.setdefault(edge.source, view[edge.target].scope or "")
    for part in view:
        if part.node is not None and part.node not in outside:
            scope = (user.get(part.number) if part.operation is None else part.scope) or ""
            groups.setdefault(scope.split(".")[0] or "outside all layers", []).append(part)
    seen: set[Any] = set()
    for name, parts in groups.items():
        yield _row(name, None, parts[-1].shape, parts, [], seen)


def _row(
    name: str, shape: Any, out: Any, parts: list[GraphNode], owned: list[Tensor], counted: set[Any]
) -> SummaryRow:
    leaves = {part.node: part.array for part in parts if part.kind == "leaf"}
    leaves |= {tensor.node: tensor.data for tensor in owned if tensor.node is not None and tensor.is_leaf}
    fresh = {node: array for node, array in leaves.items() if node not in counted}
    counted.update(fresh)
    results = [part for part in parts if part.operation]
    size = sum(array.nbytes for array in fresh.values()) + sum(part.array.nbytes for part in results)
    numbers = sum(array.size for array in fresh.values())
    return SummaryRow(name, shape, out, numbers, len(results), size, len(fresh) < len(leaves))
