"""Blocks that are repeated one after the other: the same operations on the same shapes under sibling scopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..graph import GraphView


@dataclass
class Repeats:
    """What stands for what.

    Attributes:
        first: for each node the number of the node that is drawn for it, its own where nothing is repeated.
        labels: ``block0 … block11 × 12``, by the path of the first block.
        place: for each node that is repeated, which block of which run it stands in.
    """

    first: list[int]
    labels: dict[str, str] = field(default_factory=dict)
    place: dict[int, dict[str, int]] = field(default_factory=dict)

    def between(self, source: int, target: int) -> bool:
        """Return whether two nodes stand in different blocks of one run, so that no arrow can join them."""
        here, there = self.place.get(source, {}), self.place.get(target, {})
        return any(there.get(run, k) != k for run, k in here.items())


def find_repeats(view: GraphView, homes: Sequence[str]) -> Repeats:
    """Find the runs of equal blocks, the outermost first, and the runs within the first block of each."""
    found = Repeats(list(range(len(view))))
    members: dict[str, list[int]] = {}
    for number, home in enumerate(homes):
        parts = home.split(".") if home else []
        for end in range(1, len(parts) + 1):
            members.setdefault(".".join(parts[:end]), []).append(number)
    children: dict[str, list[str]] = {}
    for path in members:
        children.setdefault(path.rpartition(".")[0], []).append(path)
    sources: list[list[int]] = [[] for _ in homes]
    for edge in view.edges:
        sources[edge.target].append(edge.source)
    stack = [""]
    while stack:
        kept = []
        for run in _runs(view, homes, children.get(stack.pop(), []), members, sources):
            kept.append(run[0])
            if len(run) == 1:
                continue
            names = [path.rpartition(".")[2] for path in (run[0], run[-1])]
            found.labels[run[0]] = f"{names[0]} … {names[1]} × {len(run)}"
            for k, path in enumerate(run):
                for number, drawn in zip(members[path], members[run[0]], strict=True):
                    found.first[number] = drawn
                    found.place.setdefault(number, {})[run[0]] = k
        stack += kept
    for number, drawn in enumerate(found.first):  # a run within the first block of another
        while found.first[drawn] != drawn:
            drawn = found.first[drawn]
        found.first[number] = drawn
    return found


def _runs(
    view: GraphView,
    homes: Sequence[str],
    paths: list[str],
    members: dict[str, list[int]],
    sources: Sequence[Sequence[int]],
) -> list[list[str]]:
    """Return sibling scopes in the order of their first operation, equal neighbours together."""

    def begins(path: str) -> int:
        return next((n for n in members[path] if view[n].operation), members[path][0])

    def look(path: str) -> tuple[object, ...]:
        place = {number: k for k, number in enumerate(members[path])}
        return tuple(
            (homes[n][len(path) :], view[n].operation or view[n].kind, view[n].metadata, view[n].shape, view[n].dtype,
             tuple(place.get(source, -1) for source in sources[n]))
            for n in members[path]
        )  # fmt: skip

    runs: list[list[str]] = []
    before: object = None
    for path in sorted(paths, key=begins):
        now = look(path)
        if now == before:
            runs[-1].append(path)
        else:
            runs.append([path])
        before = now
    return runs
