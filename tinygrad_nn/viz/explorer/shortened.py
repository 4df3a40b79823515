"""Shortening a `Story` that has too many steps for a GIF: parts of the graph are folded, each shown as one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...graph.walk import Contribution, WalkBack
from ..graph.folding import READ, Folded, fold
from .story import Moment, Story


def abridge(story: Story, max_moments: int) -> Story:
    """Return a story of at most `max_moments`: one iteration of each loop is shown, each folded part is one moment.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> from tinygrad_nn.graph import GraphView
        >>> from .story import tell_story
        >>> y = x = Tensor(0.5, name="x")
        >>> for _ in range(300):
        ...     y = np.sin(y) * x
        >>> short = abridge(tell_story(GraphView(y)), 400)
        >>> len(short.moments), short.moments[3].text
        (8, '299 steps after: 598 operations in one.')
    """
    if len(story.moments) <= max_moments:
        return story
    read = READ
    while len(moments := _Abridged(story, folded := fold(story.view, read)).moments()) > max_moments and read > 4:
        read //= 2
    kept = {folded.number[old]: g for old, g in story.walk.gradients.items() if folded.is_unfolded(old)}
    words = [part.kind for part in folded.view]
    for old, new in enumerate(folded.number):
        if folded.is_unfolded(old):
            words[new] = story.words[old]
    return replace(story, view=folded.view, walk=WalkBack({}, (), kept), moments=tuple(moments), words=tuple(words))


class _Abridged:
    """The moments of a story, renumbered for its folded graph."""

    def __init__(self, story: Story, folded: Folded) -> None:
        self.story, self.folded = story, folded

    def moments(self) -> list[Moment]:
        story, number, is_unfolded = self.story, self.folded.number, self.folded.is_unfolded
        start, *others = story.moments
        moments = [Moment("start", -1, None, (), lambda: f"{start.text} {self.folded.note}")]
        forward: dict[int, int] = {}
        back: dict[int, int] = {}
        for moment in others:
            if moment.number >= 0 and moment.phase in ("forward", "backward"):
                counts = forward if moment.phase == "forward" else back
                counts[number[moment.number]] = counts.get(number[moment.number], 0) + 1
        parts: dict[int, list[Moment]] = {}
        for moment in others:
            if moment.phase == "end":
                moments.append(moment)
            elif is_unfolded(moment.number):
                contributions = self._joined([moment])
                new = number[moment.number]
                moments.append(Moment(moment.phase, new, moment.gradient, contributions, moment.tell))
            elif moment.phase != "seed":
                new, counts = number[moment.number], forward if moment.phase == "forward" else back
                parts.setdefault(new, []).append(moment)
                counts[new] -= 1
                if not counts[new]:
                    told = parts.pop(new)
                    moments.append(Moment(moment.phase, new, None, self._joined(told), self._words(new, len(told))))
        return moments

    def _words(self, number: int, operations: int) -> Callable[[], str]:
        name = self.folded.view[number].name or ""
        return partial("{}: {:,} operations in one.".format, name[:1].upper() + name[1:], operations)

    def _joined(self, moments: list[Moment]) -> tuple[Contribution, ...]:
        """Return the contributions of several moments, summed for each edge that is visible in the folded graph."""
        found: dict[int, Contribution] = {}
        for c in (c for moment in moments for c in moment.contributions):
            place = self.folded.edge[c.edge]
            if place < 0 or not self.folded.is_unfolded(self.story.view.edges[c.edge].source):
                continue
            before = found.get(place)
            array: Any = c.array if before is None else before.array + c.array
            found[place] = Contribution(place, np.asarray(array), c.total, c.count, c.summed)
        return tuple(found.values())
