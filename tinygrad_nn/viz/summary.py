"""summary, a table of what a model is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..graph import GraphNode, GraphView
from ..tensor import Tensor
from .colour import _bytes as in_bytes
from .learned import plain
from .naming import parameters
from .paper import html_table
from .picture import visible

HEADS = ("layer", "input", "output", "parameters", "operations", "bytes")


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One layer.

    Attributes:
        name: of the layer.
        input, output: shapes; the input is ``None`` where a model is one function.
        parameters: how many numbers it learns that no layer above has counted.
        operations: how many operations its forward recorded.
        bytes: of those parameters and of all results of its operations, which the way back keeps.
        shared: whether some of its parameters are those of a layer above.
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
    """A table of layers; printed it is text, a notebook shows it as a table.

    Attributes:
        rows: one for each layer.
    """

    rows: tuple[SummaryRow, ...]

    @property
    def parameters(self) -> int:
        """How many numbers the model learns, shared ones counted once."""
        return sum(row.parameters for row in self.rows)

    @property
    def operations(self) -> int:
        """How many operations its forward records."""
        return sum(row.operations for row in self.rows)

    @property
    def bytes(self) -> int:
        """Bytes of parameters and results."""
        return sum(row.bytes for row in self.rows)

    def _cells(self) -> list[tuple[str, ...]]:
        cells = [
            (visible(row.name), _shape(row.input), _shape(row.output),
             f"{row.parameters:,}{' (shared)' if row.shared else ''}", f"{row.operations:,}", in_bytes(row.bytes))
            for row in self.rows
        ]  # fmt: skip
        return [*cells, ("total", "", "", f"{self.parameters:,}", f"{self.operations:,}", in_bytes(self.bytes))]

    def __str__(self) -> str:
        table = [HEADS, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(cell.ljust(width) if k < 3 else cell.rjust(width)
                           for k, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                 for row in table]  # fmt: skip
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def _repr_html_(self) -> str:
        return html_table(HEADS, self._cells(), frozenset({3, 4, 5}))


def summary(model: Any, x: Any) -> ModelSummary:
    """Return a table of the layers of a model, as they are when it is called with x.

    Args:
        model: a list of layers, each a function of the output of the one before; or one function, whose layers are
            the outermost scopes that its operations are recorded under.
        x: a batch, ``(batch, n_in)``.

    Returns:
        A `ModelSummary`.

    Raises:
        TypeError: the model cannot be called.

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
    seen: set[Any] = set()
    if isinstance(model, (list, tuple)):
        return ModelSummary(tuple(_layers(model, x, seen)))
    if not callable(model):
        raise TypeError(f"summary takes a list of layers or a function; this is a {type(model).__name__}.")
    entry = _leaf(x)
    result = model(entry)  # held while its graph is read
    view = GraphView(result)
    groups: dict[str, list[GraphNode]] = {}
    user: dict[int, str] = {}
    for edge in view.edges:
        user.setdefault(edge.source, view[edge.target].scope or "")
    for part in view:
        if part.node is not None and part.node is not entry.node:
            scope = (user.get(part.number) if part.operation is None else part.scope) or ""
            groups.setdefault(scope.split(".")[0] or "outside all layers", []).append(part)
    return ModelSummary(tuple(_row(name, None, parts[-1].shape, parts, [], seen) for name, parts in groups.items()))


def _leaf(x: Any) -> Tensor:
    return Tensor(plain(x) if isinstance(x, Tensor) else x)


def _layers(model: Any, x: Any, seen: set[Any]) -> Iterator[SummaryRow]:
    for k, layer in enumerate(model, start=1):
        if not callable(layer):
            raise TypeError(f"layer {k} is a {type(layer).__name__}, which cannot be called with an array.")
        entry = _leaf(x)
        out = layer(entry)
        shown = repr(layer)
        kind = type(layer).__name__
        named = shown.startswith(kind) and "\n" not in shown  # a container would show all that it holds
        name = f"{k} {shown if named else getattr(layer, '__name__', kind)}"
        view = GraphView(out)
        parts = [part for part in view if part.node is not None and part.node is not entry.node]
        yield _row(name, entry.shape, out.shape, parts, list(parameters(layer).values()), seen)
        x = out


def _row(
    name: str, shape: Any, out: Any, parts: list[GraphNode], owned: list[Tensor], seen: set[Any]
) -> SummaryRow:
    leaves = {part.node: part.array for part in parts if part.kind == "leaf"}
    leaves |= {tensor.node: tensor.data for tensor in owned if tensor.node is not None and tensor.is_leaf}
    fresh = {node: array for node, array in leaves.items() if node not in seen}
    seen.update(fresh)
    results = [part for part in parts if part.operation]
    size = sum(array.nbytes for array in fresh.values()) + sum(part.array.nbytes for part in results)
    numbers = sum(array.size for array in fresh.values())
    return SummaryRow(name, shape, out, numbers, len(results), size, len(fresh) < len(leaves))


def _shape(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else " × ".join(map(str, shape)) or "scalar"
