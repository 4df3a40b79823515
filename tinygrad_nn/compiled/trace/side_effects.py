"""Guards against random numbers that a trace would freeze: generators that are not among the function's arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from ...common.closures import closed_over
from ...primitive import Primitive
from .nodes import Untraceable

MANY = 20_000  # the most objects that the search looks at, nearest first
MODULE_STATE: Any = np.random.mtrand._rand


class HiddenGenerators:
    """The random generators that a function can reach but that are no arguments; a trace must not draw from them.

    Their states are remembered, so that `check` can tell whether they were drawn from since.
    """

    def __init__(self, function: Callable[..., Any], leaves: Sequence[Any] = ()) -> None:
        given = [x.bit_generator for x in leaves if isinstance(x, np.random.Generator)]  # draws of these are recorded
        self.generators = [g for g in _reachable(function) if not any(_bits(g) is bits for bits in given)]
        self.before = [_state(g) for g in self.generators]
        self.legacy = _state(MODULE_STATE)

    def check(self) -> None:
        """Raise `Untraceable` if one of them was drawn from; its old state is restored first."""
        for generator, before in zip(self.generators, self.before, strict=True):
            if _differs(_state(generator), before):
                generator.bit_generator.state = before
                raise Untraceable(
                    "it draws from a random generator that is not among its arguments, so the numbers would be the "
                    "same in every call. Pass the generator as an argument."
                )
        if _differs(_state(MODULE_STATE), self.legacy):
            MODULE_STATE.set_state(self.legacy)
            raise Untraceable("it draws from np.random itself. Pass a generator, np.random.default_rng().")


def _bits(generator: Any) -> Any:
    return getattr(generator, "bit_generator", None)


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state(legacy=False)


def _differs(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return any(_differs(a[key], b[key]) for key in a)
    return bool(np.any(a != b))


def _reachable(function: Any) -> Iterator[np.random.Generator]:
    """Yield the generators in a function's closure, the globals that it uses, its object, and in their contents."""
    seen: dict[int, Any] = {}
    queue = deque([function])
    while queue and len(seen) < MANY:
        thing = queue.popleft()
        if id(thing) in seen or isinstance(thing, (str, bytes, int, float, np.ndarray, ModuleType)):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, np.random.Generator):
            yield thing
        else:
            queue += _parts(thing)


def _parts(thing: Any) -> list[Any]:
    # Return the objects that a thing refers to: contents, closure, globals, defaults, and attributes.
    if isinstance(thing, dict):
        return list(thing.values())[:1000]
    if isinstance(thing, (list, tuple)):
        return list(thing[:1000])
    if isinstance(thing, Primitive) and thing.forward.__module__.startswith("tinygrad_nn."):
        return []  # the rules of this package hold no generator, and its table has all of them
    parts: list[Any] = []
    code = getattr(thing, "__code__", None)
    if code is not None:
        parts += closed_over(thing).values()
        spaces = getattr(thing, "__globals__", {})
        parts += [spaces[name] for name in code.co_names if name in spaces]
        parts += getattr(thing, "__defaults__", None) or ()
        parts += (getattr(thing, "__kwdefaults__", None) or {}).values()
    bare = isinstance(thing, FunctionType) and not thing.__dict__  # most are, and have none of these
    for name in () if bare else ("__self__", "__func__", "func", "args", "keywords", "__wrapped__"):
        if (part := _attribute(thing, name)) is not None:
            parts.append(part)
    if not isinstance(thing, type) and type(thing).__module__ not in ("builtins", "numpy"):
        held = _attribute(thing, "__dict__")
        parts += list(held.values())[:1000] if isinstance(held, dict) else []
    return parts


def _attribute(thing: Any, name: str) -> Any:
    try:
        return object.__getattribute__(thing, name)
    except Exception:
        return None


class GeneratorStates:
    """The state of the generators among the arguments, before a trace."""

    def __init__(self, leaves: Sequence[Any]) -> None:
        self.states = [(g, g.bit_generator.state) for g in leaves if isinstance(g, np.random.Generator)]

    def rewind(self) -> None:
        """Restore the state of the generators."""
        for generator, state in self.states:
            generator.bit_generator.state = state


@contextmanager
def restoring_generators(leaves: Sequence[Any]) -> Iterator[GeneratorStates]:
    """Restore the generators among the arguments if the block raises."""
    draws = GeneratorStates(leaves)
    try:
        yield draws
    except BaseException:
        draws.rewind()
        raise
