"""The steps of a computation, for the page and the GIF: each forward operation, then each backward operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ...common.printable import printable
from ...graph import GraphNode, GraphView, Summary, short_number, summarize
from ...graph.summary import shape_text
from ...graph.walk import Contribution, Step, WalkBack, walk_back
from ..graph.picture import SYMBOLS, count_text, shorten
from ..model.variables import leaf_roles as roles_of

Array = np.ndarray[Any, Any]
PHRASES = {  # the sentence of each step; the page uses the same templates
    "forward": "Forward {place} of {total}: {node} = {operation}({operands}) = {value}.",
    "seed": "Backward begins: the gradient of {node} in itself is {value}.",
    "backward": "Backward {place} of {total}: through {node}; {parts}.",
    "first": "{node} receives {value}",
    "more": "{node} receives {value} more, {sum} together",
    "rest": "and {number} more",
}
MOST = 24  # operands of an operation that a sentence or the page's panel lists at most


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a story.

    Attributes:
        phase: ``"start"``, ``"forward"``, ``"seed"``, ``"backward"`` or ``"end"``.
        number: the number of the node of this step, -1 for none.
        gradient: the complete gradient of the node.
        contributions: the contributions to the node's arguments in this step.
        tell: a function that returns the step as a sentence.
    """

    phase: str
    number: int
    gradient: Array | None
    contributions: tuple[Contribution, ...]
    tell: Callable[[], str] = field(repr=False, compare=False)

    @property
    def text(self) -> str:
        """The step as a sentence, formatted on access, because few of a long walk's steps are shown."""
        return self.tell()


@dataclass(frozen=True, slots=True)
class Story:
    """A graph, its backward pass, all moments, and a word for each node, such as ``"parameter"`` or ``"input"``."""

    view: GraphView
    walk: WalkBack
    moments: tuple[Moment, ...]
    words: tuple[str, ...]

    def called(self, number: int) -> str:
        """Return the name of a node in a sentence: its own name, a plain number, or operation and number."""
        return node_name(self.view[number], self.words[number])


def tell_story(view: GraphView, gradient: Any = None, roles: Mapping[int, str] | None = None) -> Story:
    """Return the story of a graph.

    Args:
        view: the graph.
        gradient: the cotangent of the result, with the defaults of `walk_back`.
        roles: which leaves are parameters and which inputs.
    """
    walk = walk_back(view, gradient)
    known = roles_of(view, {}) if roles is None else roles
    words = tuple(known.get(part.number, part.kind) for part in view)

    def name(number: int) -> str:
        return node_name(view[number], words[number])

    data = [part for part in view if part.operation is None]
    operands = view.operands()
    total = len(view) - len(data)
    kinds = [words[part.number] for part in data]
    given = [count_text(kinds.count(word), word) for word in ("input", "parameter", "constant") if word in kinds]
    start = f"Start: {', '.join([*given, count_text(total, 'operation')])}."
    moments = [Moment("start", -1, None, (), lambda: start)]
    done = 0
    for part in view:
        if part.operation is not None:
            done += 1
            text = partial(_forward_text, name, part, operands[part.number], done, total)
            moments.append(Moment("forward", part.number, None, (), text))
    for number, seed in walk.seeds.items():
        moments.append(Moment("seed", number, seed, (), partial(_seed_text, name, number, seed)))
    steps = len(walk.steps)
    for place, step in enumerate(walk.steps, 1):
        text = partial(_backward_text, view, name, step, place, steps)
        moments.append(Moment("backward", step.number, step.gradient, step.contributions, text))
    ends = [words[part.number] for part in view if part.kind == "leaf" and part.number in walk.gradients]
    reached = [count_text(ends.count(word), word) for word in ("parameter", "input") if word in ends]
    has = "has its gradient" if len(ends) == 1 else "have their gradients"
    end = f"Done: {' and '.join(reached) or 'nothing'} {has}."
    moments.append(Moment("end", -1, None, (), lambda: end))
    return Story(view, walk, tuple(moments), words)


Called = Callable[[int], str]
Part = TypeVar("Part")


def _forward_text(name: Called, part: GraphNode, sources: Sequence[int], place: int, total: int) -> str:
    return PHRASES["forward"].format(
        place=place, total=total, node=name(part.number), operation=printable(part.operation or ""),
        operands=", ".join(_first_phrases(sources, name)), value=brief_array(part.array),
    )  # fmt: skip


def _seed_text(name: Called, number: int, seed: Array) -> str:
    return PHRASES["seed"].format(node=name(number), value=brief_array(seed))


def _backward_text(view: GraphView, name: Called, step: Step, place: int, total: int) -> str:
    parts = "; ".join(
        _first_phrases(step.contributions, lambda c: _contribution_text(name(view.edges[c.edge].source), c))
    )
    return PHRASES["backward"].format(place=place, total=total, node=name(step.number), parts=parts)


def _first_phrases(parts: Sequence[Part], phrase: Callable[[Part], str]) -> list[str]:
    """Return a phrase for each of the first `MOST` parts, and one with the number of the others."""
    rest = [PHRASES["rest"].format(number=len(parts) - MOST)] if len(parts) > MOST else []
    return [*map(phrase, parts[:MOST]), *rest]


def _contribution_text(name: str, c: Contribution) -> str:
    return PHRASES["first" if c.count == 1 else "more"].format(
        node=name, value=brief_array(c.array), sum=brief_array(c.total)
    )


def _own_name(part: GraphNode) -> str:
    """Return the name of a node, or its number if it is a constant of one entry; "" if it has neither."""
    if part.name:
        return shorten(part.name)
    return short_number(part.array.item()) if part.kind == "constant" and part.array.size == 1 else ""


def node_name(part: GraphNode, word: str = "") -> str:
    """Return the name of a node in a sentence: its own name, a plain number, or operation and number."""
    return _own_name(part) or f"{part.operation or word or part.kind} #{part.number}"


def node_title(part: GraphNode, word: str = "") -> str:
    """Return the title on a node: its name, a plain number, or the symbol of its operation."""
    return _own_name(part) or SYMBOLS.get(part.operation or "", part.operation or word or part.kind)


def node_subtitle(part: GraphNode, word: str = "") -> str:
    """Return the small text below the title of a node: operation or role, if that is not the title, and shape."""
    if part.kind == "constant" and not part.name and part.array.size == 1:
        return ""
    operation = shorten(part.operation or word)
    return " · ".join(
        text for text in (operation if operation != node_title(part, word) else "", shape_text(part.shape)) if text
    )


def brief_array(array: Array, longest: int = 24, digits: int = 3, summary: Summary | None = None) -> str:
    """Return an array as short text: its numbers, or its range with ``digits`` significant digits."""
    summary = summary or summarize(array)
    if summary.numbers is not None and len(summary.text) <= longest:
        return summary.text
    if summary.nan or summary.infinite:
        counts = ((summary.nan, "NaN"), (summary.infinite, "inf"))
        return ", ".join(f"{n} {word}" for n, word in counts if n)
    if summary.minimum is None:
        return summary.text
    if summary.minimum == summary.maximum and (array == array.flat[0]).all():
        return f"all {short_number(array.flat[0].item())}"
    sign = "abs " if summary.absolute else ""
    if summary.minimum == summary.maximum:  # after rounding
        return f"{sign}≈ {short_number(summary.minimum)}"
    return f"{sign}{summary.minimum:.{digits}g} … {summary.maximum:.{digits}g}"


def heading_of(view: GraphView) -> str:
    """Return the default heading of a page."""
    return f"A computation of {count_text(sum(part.operation is not None for part in view), 'operation')}"


def gradient_lengths(story: Story) -> dict[int, int]:
    """Return for each node the length of the longest text of its gradient, including the partial sums."""
    most = {number: len(brief_array(gradient)) for number, gradient in story.walk.gradients.items()}
    for moment in story.moments:
        for c in moment.contributions:
            source = story.view.edges[c.edge].source
            most[source] = max(most[source], len(brief_array(c.total)))
    return most
