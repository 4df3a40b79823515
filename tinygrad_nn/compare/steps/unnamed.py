"""Find the values without a name that gradients may belong to, next to the values that their names say.

With ``scores = q @ k.T / np.sqrt(d)`` a backward may mean by ``dscores`` the gradient of the product, before it is
divided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...node import Node
from ..paths import parents_of
from .matching import Match
from .running import Version
from .tape import Tape
from .walk import injected, wrong_steps

DEEP = 3  # most operations between the value of the name and the one without


def unnamed_values(tape: Tape, versions: Mapping[str, Sequence[Version]], matches: Sequence[Match]) -> dict[int, int]:
    """Return for some gradients the index in `tape.operations` of another value that they are the gradients of.

    It is taken if fewer steps are wrong then.
    """
    named = {v.node for bound_versions in versions.values() for v in bound_versions}
    chosen: dict[int, int] = {}
    wrong = wrong_steps(injected(tape, matches), matches)
    index = {node: k for k, node in enumerate(tape.operations)}
    for k, m in enumerate(matches):
        if len(wrong) < 2 or k not in wrong or m.version.node.primitive is None or _is_doubled(matches, k):
            continue
        for node in _around(tape, m.version.node, named):
            trial = {**chosen, k: index[node]}
            trial_matches = shifted(tape, matches, trial)
            trial_wrong = wrong_steps(injected(tape, trial_matches), trial_matches)
            if len(trial_wrong) < len(wrong) - (k in trial_wrong):  # right itself, or makes two others right
                chosen, wrong = trial, trial_wrong
    return chosen


def shifted(tape: Tape, matches: Sequence[Match], shifts: Mapping[int, int]) -> list[Match]:
    """Return the matches, some of them with other values, given by their indices in `tape.operations`."""
    return [m._replace(version=m.version._replace(node=tape.operations[shifts[k]])) if k in shifts else m
            for k, m in enumerate(matches)]  # fmt: skip


def _around(tape: Tape, node: Node, named: set[Node]) -> Iterator[Node]:
    """Yield the values without a name, of the same shape, that lead to a value or follow from it."""
    for after in (False, True):
        level = [node]
        for _ in range(DEEP):
            nodes = [other for one in level for other in (tape.uses.get(one, ()) if after else parents_of(one))]
            level = [other for other in dict.fromkeys(nodes) if other is not None and other.primitive is not None
                     and other not in named and np.shape(other.out) == np.shape(node.out)]  # fmt: skip
            yield from level


def _is_doubled(matches: Sequence[Match], k: int) -> bool:
    """Tell whether another gradient holds the same array, as the parameter of a function does."""
    array = matches[k].states[-1].array
    return any(j != k and np.array_equal(m.states[-1].array, array) for j, m in enumerate(matches))
