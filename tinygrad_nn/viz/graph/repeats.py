"""Detection of consecutive equal blocks: sibling scopes with the same operations on the same shapes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...graph.view import GraphView

AGAIN = "\x1f"  # separates a scope's name from a number, if it is entered more than once


def scope_name(path: str) -> str:
    """Return the path of a scope with the user's names, without the numbers of repeated entries."""
    return ".".join(part.partition(AGAIN)[0] for part in path.split(".")) if AGAIN in path else path


@dataclass
class Repeats:
    """The nodes that represent repeated blocks in a drawing.

    Attributes:
        first: for each node, the number of the node that is drawn in its place; its own number if it is not repeated.
        labels: texts such as ``block0 … block11 × 12``, by the path of the first block.
        place: for each repeated node, its runs (by the path of their first block) and the index of its block in them.
    """

    first: list[int]
    labels: dict[str, str] = field(default_factory=dict)
    place: dict[int, dict[str, int]] = field(default_factory=dict)

    def between(self, source: int, target: int) -> bool:
        """Return whether two nodes are in different blocks of a run, so that no arrow is drawn between them."""
        here, there = self.place.get(source, {}), self.place.get(target, {})
        return any(there.get(run, k) != k for run, k in here.items())


def find_repeats(view: GraphView, homes: list[str]) -> Repeats:
    """Find the runs of consecutive equal blocks, the outermost first, then the runs inside the first block of each.

    If the first block reads a leaf where the other blocks read the result of the block before them, `homes` is changed
    so that the leaf is outside of the block.
    """
    found = Repeats(list(range(len(view))))
    blocks = _Blocks(view, homes)
    stack = [""]
    while stack:
        kept = []
        for run in blocks.runs(stack.pop()):
            kept.append(run[0])
            if len(run) == 1:
                continue
            ends = [scope_name(path.rpartition(".")[2]) for path in (run[0], run[-1])]
            found.labels[run[0]] = f"{' … '.join(dict.fromkeys(ends))} × {len(run)}"
            drawn = blocks.describe(run[0])[1]
            for k, path in enumerate(run):
                for number, first in zip(blocks.describe(path)[1], drawn, strict=True):
                    found.first[number] = first
                    found.place.setdefault(number, {})[run[0]] = k
        stack += kept
    for number, drawn_as in enumerate(found.first):  # follow chains, as runs may be nested
        while found.first[drawn_as] != drawn_as:
            drawn_as = found.first[drawn_as]
        found.first[number] = drawn_as
    return found


Description = tuple[list[tuple[object, ...]], list[int]]


class _Blocks:
    """The operations of each scope, in order, and the scopes directly inside each scope."""

    def __init__(self, view: GraphView, homes: list[str]) -> None:
        self.view, self.homes = view, homes
        self.operations: dict[str, list[int]] = {}
        self.children: dict[str, list[str]] = {}  # in the order of their first operation
        for node in view:
            parts = homes[node.number].split(".") if node.operation and homes[node.number] else []
            for end in range(1, len(parts) + 1):
                path = ".".join(parts[:end])
                if path not in self.operations:
                    self.children.setdefault(".".join(parts[: end - 1]), []).append(path)
                self.operations.setdefault(path, []).append(node.number)
        self.sources = view.operands()

    def describe(self, path: str) -> Description:
        """Return a comparable description of a block, and its nodes in the same order."""
        view, homes, within = self.view, self.homes, f"{path}."
        place = {number: k for k, number in enumerate(self.operations[path])}
        data: dict[int, int] = {}
        rows: list[tuple[object, ...]] = []
        for number, node in ((n, view[n]) for n in place):
            origins: list[object] = []
            for source in self.sources[number]:
                part, home = view[source], homes[source]
                if source in place:
                    origins.append(place[source])
                elif part.operation is None and (home == path or home.startswith(within)):
                    k = data.setdefault(source, len(data))
                    origins.append((k, part.kind, part.shape, part.dtype, home[len(path) :]))
                else:
                    origins.append(None)
            rows.append((homes[number][len(path) :], node.operation, node.metadata, node.shape, node.dtype, *origins))
        return rows, [*place, *data]

    def runs(self, path: str) -> list[list[str]]:
        """Return the blocks of a scope, with consecutive equal blocks grouped."""
        found: list[list[str]] = []
        before: Description = [], []
        members: set[int] = set()
        after: set[int] = set()  # nodes between the blocks of a run that depend on them
        for block in self.children.get(path, []):
            mine = self.operations[block]
            if found:
                for number in range(self.operations[found[-1][-1]][-1] + 1, mine[0]):
                    if any(source in members or source in after for source in self.sources[number]):
                        after.add(number)
            chained = not any(source in after for number in mine for source in self.sources[number])
            if found and len(found[-1]) == 1 and chained:
                self._let_out(found[-1][0], block)
                before = self.describe(found[-1][0])
            now = self.describe(block)
            if found and chained and now[0] == before[0]:
                found[-1].append(block)
                members |= set(mine)
            else:
                found.append([block])
                members, after = set(mine), set()
            before = now
        return found

    def _let_out(self, first: str, second: str) -> None:
        """Move a leaf out of the first block if the second block reads a value from outside in its place."""
        mine, others = self.operations[first], self.operations[second]
        if len(mine) != len(others):
            return
        inside = set(others)
        for n, m in zip(mine, others, strict=True):
            for source, other in zip(self.sources[n], self.sources[m], strict=False):
                here, there = self.view[source], self.view[other]
                if here.operation is None and there.operation is not None and other not in inside:
                    home = self.homes[source]
                    if home == first or home.startswith(f"{first}."):
                        self.homes[source] = first.rpartition(".")[0]
