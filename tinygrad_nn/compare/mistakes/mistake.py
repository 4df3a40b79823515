"""One mistake at one operation: the wrong gradient that was written in place of its rule, as a change of the walk back.

Each function decorated with `finds` yields the mistakes that people make at some operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ...node import Node
from ..paths import Array, Slots, Traced, args_of, name_of, parents_of

USUAL, RARE, FAR, FURTHER = 1.0, 1.1, 1.2, 1.3  # costs: of mistakes with the same numbers, the cheapest is reported
PLAIN = 1.45  # a cost above that of a plain factor, such as the number of samples, which explains the same numbers
LIKELY_CUT = 1.03  # a cost just above that of a gradient that is lost, which may give the same numbers


class Site(NamedTuple):
    """An operation that the walk back has reached: its graph and place, the gradient `g` of its result, and its slots.

    `slots` holds the right gradients of its arguments, as the rules return them.
    """

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
        """Its metadata, with what its forward saved."""
        return self.node.meta

    def rule(self, slot: int, g: Any = None, *, args: Any = None, out: Any = None, **meta: Any) -> Any:
        """Return what the rule of an argument gives if some of its inputs are replaced."""
        primitive: Any = self.node.primitive
        rule_args = (
            self.g if g is None else g,
            self.out if out is None else out,
            *(self.args if args is None else args),
        )
        options = {**self.meta, **meta}
        if primitive.jointly:
            return primitive.jointly(*rule_args, **options)[slot]
        return primitive.vjps[slot](*rule_args, **options)


# A function of a Site that returns the wrong gradient of one argument, or a list for all arguments if `slot` is None.
# It is Any because mypy infers no type for a lambda that keeps the variables of a loop as defaults.
Wrong = Any


class Mistake(NamedTuple):
    """A mistake at an operation: its kind, its sentence, and the gradient that was written in place of the right one.

    Attributes:
        kind: a key of `KINDS`.
        text: a sentence that describes it.
        wrong: returns for a Site the wrong gradient, of one argument or of all.
        slot: which argument `wrong` is the gradient of; None for all.
        linear: the right gradient may be multiplied by any factor here, not only by the 0 that `wrong` stands for.
        cost: of mistakes that give the same numbers, the cheapest is reported.
        is_unsummed: the gradient of the argument is left in the shape of the result, without its sum over a broadcast.
        key: tells it from other mistakes with the same kind and sentence; equal at all places that one line made.
    """

    kind: str
    text: str
    wrong: Wrong
    slot: int | None = None
    linear: bool = False
    cost: float = USUAL
    is_unsummed: bool = False
    key: Any = None

    def at(self, site: Site) -> Slots:
        """Return the gradients of all arguments, with this mistake in them."""
        wrong_gradient = self.wrong(site)
        if self.slot is None:
            return list(wrong_gradient)
        return [wrong_gradient if i == self.slot else r for i, r in enumerate(site.slots)]


Finder = Callable[[Traced, int], Iterator[Mistake]]
FINDERS: list[Finder] = []
BY_NAME: dict[str, list[Finder]] = {}


def finds(*names: str) -> Callable[[Finder], Finder]:
    """Register a function that yields the mistakes at operations of these names, or at all operations without names."""

    def enter(finder: Finder) -> Finder:
        for name in names:
            BY_NAME.setdefault(name, []).append(finder)
        if not names:
            FINDERS.append(finder)
        return finder

    return enter


def differentiated_arguments(node: Node) -> list[int]:
    """Return the positions of the arguments that get a gradient."""
    return [i for i, parent in enumerate(parents_of(node)) if parent is not None]


def value_name(node: Node) -> str:
    """Return what to call a value in a sentence: its name, or the operation that computed it."""
    name = (node.notes or {}).get("name")
    if name:
        return str(name)
    return "the input" if node.primitive is None else f"the result of {node.primitive.name}"


def argument_name(node: Node, slot: int) -> str:
    """Return what to call an argument of an operation in a sentence, with its position if its name is not unique."""
    names = [None if parent is None else value_name(parent) for parent in parents_of(node)]
    return str(names[slot]) if names.count(names[slot]) == 1 else f"argument {slot + 1} ({names[slot]})"


def begin_sentence(text: str) -> str:
    """Return a sentence with its first letter capitalized, unless it begins with the name of a variable."""
    return f"{text[0].upper()}{text[1:]}" if text.startswith(("the ", "what ")) else text


def mistakes_at(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield the mistakes that can be made at an operation."""
    node = graph.operations[place]
    for finder in (*BY_NAME.get(name_of(node), ()), *FINDERS):
        yield from finder(graph, place)
