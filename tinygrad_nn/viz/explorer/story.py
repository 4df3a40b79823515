"""The story of a computation: forward operation by operation, then back, with what each step shows and says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ...graph import GraphNode, GraphView, short_number, summarize
from ...graph.walk import Contribution, Step, WalkBack, walk_back
from ...printable import printable
from ..graph.picture import SYMBOLS, shorten

Array = np.ndarray[Any, Any]
PHRASES = {  # of each step; the page fills in the same ones
    "forward": "Forward {place} of {total}: {node} = {operation}({operands}) = {value}.",
    "seed": "Backward begins: the gradient of {node} in itself is {value}.",
    "backward": "Backward {place} of {total}: through {node}; {parts}.",
    "first": "{node} receives {value}",
    "more": "{node} receives {value} more, {sum} together",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of the story.

    Attributes:
        phase: ``"start"``, ``"forward"``, ``"seed"``, ``"backward"`` or ``"end"``.
        number: of the node it is about, -1 for none.
        gradient: that is complete at the node now.
        contributions: that leave it in this step.
        tell: gives the step as a sentence.
    """

    phase: str
    number: int
    gradient: Array | None
    contributions: tuple[Contribution, ...]
    tell: Callable[[], str] = field(repr=False, compare=False)

    @property
    def text(self) -> str:
        """The step as a sentence, made when asked for: a long walk has many and shows few."""
        return self.tell()


@dataclass(frozen=True, slots=True)
class Story:
    """A graph, its walk back, and the moments of both walks."""

    view: GraphView
    walk: WalkBack
    moments: tuple[Moment, ...]


def tell(view: GraphView, gradient: Any = None) -> Story:
    """Return the story of a graph; see `walk_back` for the gradient it begins to walk back with."""
    walk = walk_back(view, gradient)
    data = [part for part in view if part.operation is None]
    operands: dict[int, list[int]] = {}
    for edge in view.edges:
        operands.setdefault(edge.target, []).append(edge.source)
    total = len(view) - len(data)
    start = f"Start: {count(len(data), 'input and constant', 'inputs and constants')}, {count(total, 'operation')}."
    moments = [Moment("start", -1, None, (), lambda: start)]
    done = 0
    for part in view:
        if part.operation is not None:
            done += 1
            sources = operands.get(part.number, ())
            words = partial(_forward, view, part, sources, done, total)
            moments.append(Moment("forward", part.number, None, (), words))
    for number, seed in walk.seeds.items():
        moments.append(Moment("seed", number, seed, (), partial(_seed, view[number], seed)))
    steps = len(walk.steps)
    for place, step in enumerate(walk.steps, 1):
        words = partial(_backward, view, step, place, steps)
        moments.append(Moment("backward", step.number, step.gradient, step.contributions, words))
    leaves = sum(part.kind == "leaf" and part.number in walk.gradients for part in view)
    end = f"Done: {count(leaves, 'leaf has its', 'leaves have their')} gradient."
    moments.append(Moment("end", -1, None, (), lambda: end))
    return Story(view, walk, tuple(moments))


def _forward(view: GraphView, part: GraphNode, sources: Sequence[int], place: int, total: int) -> str:
    names = ", ".join(called(view[source]) for source in sources)
    return PHRASES["forward"].format(
        place=place, total=total, node=called(part), operation=printable(part.operation or ""), operands=names,
        value=brief(part.array),
    )  # fmt: skip


def _seed(part: GraphNode, seed: Array) -> str:
    return PHRASES["seed"].format(node=called(part), value=brief(seed))


def _backward(view: GraphView, step: Step, place: int, total: int) -> str:
    parts = "; ".join(_said(view, c) for c in step.contributions)
    return PHRASES["backward"].format(place=place, total=total, node=called(view[step.number]), parts=parts)


def _said(view: GraphView, c: Contribution) -> str:
    name = called(view[view.edges[c.edge].source])
    return PHRASES["first" if c.count == 1 else "more"].format(node=name, value=brief(c.array), sum=brief(c.total))


def called(part: GraphNode) -> str:
    """Return what a node is called in a sentence: its name, a plain number, or operation and number."""
    if part.name:
        return shorten(part.name)
    if part.kind == "constant" and part.array.size == 1:
        return short_number(part.array.item())
    return f"{part.operation or part.kind} #{part.number}"


def title(part: GraphNode) -> str:
    """Return the large text on a node."""
    if part.name:
        return shorten(part.name)
    if part.kind == "constant" and part.array.size == 1:
        return short_number(part.array.item())
    return SYMBOLS.get(part.operation or "", part.operation or part.kind)


def below(part: GraphNode) -> str:
    """Return the small text below the title of a node: its operation, unless that is the title, and its shape."""
    if part.kind == "constant" and not part.name and part.array.size == 1:
        return ""
    operation = shorten(part.operation or "")
    return " · ".join(text for text in (operation if operation != title(part) else "", shape_text(part)) if text)


def brief(array: Array, longest: int = 24, digits: int = 3) -> str:
    """Return an array in a few letters: its numbers, or its range at so many digits."""
    summary = summarize(array)
    if summary.numbers is not None and len(summary.text) <= longest:
        return summary.text
    if summary.nan or summary.infinite:
        counts = ((summary.nan, "NaN"), (summary.infinite, "inf"))
        return ", ".join(f"{n} {word}" for n, word in counts if n)
    if summary.minimum is None:
        return summary.text
    if summary.minimum == summary.maximum:
        return f"all {short_number(summary.minimum)}"
    return f"{summary.minimum:.{digits}g} … {summary.maximum:.{digits}g}"


def heading_of(view: GraphView) -> str:
    """Return the heading of a page that was given none."""
    return f"A computation of {count(sum(part.operation is not None for part in view), 'operation')}"


def gradient_letters(story: Story) -> dict[int, int]:
    """Return for each node the letters of its gradient where they are most, of all that it grows through."""
    most = {number: len(brief(gradient)) for number, gradient in story.walk.gradients.items()}
    for moment in story.moments:
        for c in moment.contributions:
            source = story.view.edges[c.edge].source
            most[source] = max(most[source], len(brief(c.total)))
    return most


def shape_text(part: GraphNode) -> str:
    """Return a shape in words: ``2 × 3``."""
    return " × ".join(map(str, part.shape)) if part.shape else "scalar"


def count(n: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
