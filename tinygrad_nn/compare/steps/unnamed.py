"""Find the values without a name that gradients may belong to, next to the values that their names say.

With ``scores = q @ k.T / np.sqrt(d)`` a backward may mean by ``dscores`` the gradient of the product, before it is
divided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...node import Node
from ...transforms import alias
from ..paths import parents_of
from .matching import Match
from .running import Version
from .tape import Tape
from .walk import EXACT, injected, wrong_steps

Path = tuple[str, ...]  # the direction from the value with a name, and the operations to the one without
DEEP = 5  # most operations between the value of the name and the one without; 1 / (1 + np.exp(-z)) has four


def unnamed_values(
    tape: Tape, versions: Mapping[str, Sequence[Version]], matches: Sequence[Match], bound: float = EXACT
) -> dict[int, int]:
    """Return for some gradients the index in `tape.operations` of another value that they are the gradients of.

    It is taken if fewer steps are wrong then. A gradient that stays wrong itself must make two others right, or one if
    another gradient is taken alike, by the same operations or from a part of the same value: of the four gates of an
    LSTM, three may be right. A value that has a name only in a function without a gradient, as the ``z`` of
    ``sigmoid(z)``, has no name here. `bound` is the relative bound of a right gradient.
    """

    def wrong_of(trial_matches: Sequence[Match]) -> set[int]:
        return wrong_steps(injected(tape, trial_matches, bound), trial_matches, bound)

    rooms = {room for m in matches for room in m.gradient.rooms}
    named = {v.node for bound_versions in versions.values() for v in bound_versions if rooms & v.rooms}
    chosen: dict[int, int] = {}
    wrong = wrong_of(matches)
    index = {node: k for k, node in enumerate(tape.operations)}
    taken: set[Any] = set()  # the paths of the values taken so far, and what they are computed from
    for is_last in (False, True):
        for k, m in enumerate(matches):
            if len(wrong) < 2 or k not in wrong or m.version.node.primitive is None or _is_doubled(matches, k):
                continue
            for path, node in _around(tape, m.version.node, named):
                if is_last and taken.isdisjoint((path, _origins(node))):
                    continue
                trial = {**chosen, k: index[node]}
                trial_wrong = wrong_of(shifted(tape, matches, trial))
                if len(trial_wrong) < len(wrong) - (k in trial_wrong and not is_last):
                    chosen, wrong = trial, trial_wrong
                    taken |= {path, _origins(node)}
    return chosen


def shifted(tape: Tape, matches: Sequence[Match], shifts: Mapping[int, int]) -> list[Match]:
    """Return the matches, some of them with other values, given by their indices in `tape.operations`."""
    return [m._replace(version=m.version._replace(node=tape.operations[shifts[k]])) if k in shifts else m
            for k, m in enumerate(matches)]  # fmt: skip


def _around(tape: Tape, node: Node, named: set[Node]) -> Iterator[tuple[Path, Node]]:
    """Yield the values without a name, of the same shape, that lead to a value or follow from it, and their paths."""
    for after in (False, True):
        level: dict[Node, Path] = {node: (str(after),)}
        for _ in range(DEEP):
            level = {other: (*path, other.primitive.name) for one, path in level.items()
                     for other in (tape.uses.get(one, ()) if after else parents_of(one))
                     if other is not None and other.primitive is not None and other not in named
                     and np.shape(other.out) == np.shape(node.out)}  # fmt: skip
            yield from ((path, other) for other, path in level.items())


def _origins(node: Node) -> Any:
    """Return the nodes that a value is computed from; a parameter of a function has those of its argument."""
    while node.primitive is alias:
        (node,) = parents_of(node)
    return parents_of(node)


def _is_doubled(matches: Sequence[Match], k: int) -> bool:
    """Tell whether another gradient holds the same array, as the parameter of a function does."""
    array = matches[k].states[-1].array
    return any(j != k and np.array_equal(m.states[-1].array, array) for j, m in enumerate(matches))
