"""One mistake at one operation: what a person wrote in place of its rule, as a change of the walk back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ...node import Node
from ..paths import Array, Slots, Traced, args_of, name_of, parents_of

USUAL, RARE, FAR, FURTHER = 1.0, 1.1, 1.2, 1.3  # of mistakes with the same numbers the cheapest is told


class Site(NamedTuple):
    """An operation that the walk back has come to: its graph and place, the gradient g of its result, and its slots."""

    graph: Traced
    place: int
    g: Array
    slots: Slots

    @property
    def node(self) -> Node:
        """The operation."""
        return self.graph.operations[self.place]

    @property
    def out(self) -> Any:
        """Its result."""
        return self.node.out

    @property
    def args(self) -> Any:
        """Its arguments."""
        return args_of(self.node)

    @property
    def meta(self) -> dict[str, Any]:
        """Its options, and what its forward saved."""
        return self.node.meta

    def rule(self, slot: int, g: Any = None, *, args: Any = None, out: Any = None, **meta: Any) -> Any:
        """Return what the rule of an argument gives of other values."""
        primitive: Any = self.node.primitive
        given = (self.g if g is None else g, self.out if out is None else out, *(self.args if args is None else args))
        options = {**self.meta, **meta}
        if primitive.jointly:
            return primitive.jointly(*given, **options)[slot]
        return primitive.vjps[slot](*given, **options)


# A function of a Site: the gradient of one argument, or of all where none is named. mypy infers no type of a lambda
# that keeps the variables of a loop as defaults.
Wrong = Any


class Mistake(NamedTuple):
    """A mistake: kind, sentence, what is written in place of the gradient.

    Attributes:
        kind: a key of `KINDS`.
        text: a sentence.
        wrong: the gradient that is written, of one argument or of all.
        slot: which argument; None for all.
        linear: it may stand with any factor beside the right gradient (0 is none of it).
        cost: of mistakes with the same numbers the cheapest is told.
        wide: the gradient of the argument stays as large as the result.
        key: what tells it from others with the same kind and sentence, alike at all places of one line.
    """

    kind: str
    text: str
    wrong: Wrong
    slot: int | None = None
    linear: bool = False
    cost: float = USUAL
    wide: bool = False
    key: Any = None

    def at(self, site: Site) -> Slots:
        """Return the gradients of all arguments with the mistake."""
        made = self.wrong(site)
        if self.slot is None:
            return list(made)
        return [made if i == self.slot else r for i, r in enumerate(site.slots)]


Finder = Callable[[Traced, int], Iterator[Mistake]]
FINDERS: list[Finder] = []
BY_NAME: dict[str, list[Finder]] = {}


def finds(*names: str) -> Callable[[Finder], Finder]:
    """Enter a function among those that look for mistakes at operations of these names, or at any."""

    def enter(finder: Finder) -> Finder:
        for name in names:
            BY_NAME.setdefault(name, []).append(finder)
        if not names:
            FINDERS.append(finder)
        return finder

    return enter


def moving(node: Node) -> list[int]:
    """Return the arguments that a gradient goes to."""
    return [i for i, parent in enumerate(parents_of(node)) if parent is not None]


def called(node: Node) -> str:
    """Return what a value is called: by its name, or by what made it."""
    name = (node.notes or {}).get("name")
    if name:
        return str(name)
    return "the input" if node.primitive is None else f"the result of {node.primitive.name}"


def begun(text: str) -> str:
    """Return a sentence with its first letter large, unless it begins with the name of a variable."""
    return f"{text[0].upper()}{text[1:]}" if text.startswith(("the ", "what ")) else text


def mistakes_at(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield the mistakes that can be made at an operation."""
    node = graph.operations[place]
    for finder in (*BY_NAME.get(name_of(node), ()), *FINDERS):
        yield from finder(graph, place)


def nothing(site: Site) -> Any:
    """Return no gradient, of any argument."""
    return [None] * len(site.slots)
