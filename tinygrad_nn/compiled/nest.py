"""Code that takes the arguments of a call apart, and puts a result together, for one shape of nested containers.

`tree.flatten` does the same for any nest, by recursion; what is generated here is straight code, ten times as quick.
No text of a person's gets into it: keys, types and flags are objects that the code refers to by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ..tensor import Tensor
from ..tree import refilled
from .trace import NUMBERS, traceable


class Names:
    """Objects that generated code refers to, and the names it knows them by."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self._known: dict[int, str] = {}

    def __call__(self, thing: Any, stem: str = "k") -> str:
        """Return the name of an object."""
        name = self._known.get(id(thing))
        if name is None:
            name = self._known[id(thing)] = f"{stem}{len(self.objects)}"
            self.objects[name] = thing
        return name


def containers(tree: Any) -> Any:
    """Return the nest of containers that two calls must have in common to be the same program."""
    if isinstance(tree, dict):
        return type(tree), tuple((k, containers(x)) for k, x in tree.items())
    if isinstance(tree, (list, tuple)):
        return type(tree), tuple(map(containers, tree))
    if is_dataclass(tree) and not isinstance(tree, type):
        return type(tree), tuple(containers(getattr(tree, f.name)) for f in fields(tree) if f.init)
    return None if tree is None else ()


def leaf(x: Any, fixed: bool = False) -> Any:
    """Return what two leaves must have in common: shape and dtype, or all if it is fixed."""
    if fixed:
        return static(x)
    if isinstance(x, Tensor):
        return "tensor", x.shape, x.dtype.str, x.node is not None
    if isinstance(x, (np.ndarray, np.generic)):
        return x.shape, x.dtype.str
    if isinstance(x, np.random.Generator):
        return "generator"
    if type(x) in NUMBERS:
        return type(x)
    return static(x)


def static(x: Any) -> Any:
    """Return what an argument that is not traced counts as: itself if it can be compared, else its identity."""
    try:
        hash(x)
    except TypeError:
        return "object", id(x)
    return type(x), x


def taking(tree: Any, fixed: frozenset[int], names: Names, layout: str | None) -> list[str]:
    """Return the lines that assign the leaves of ``args`` and ``kwargs`` to ``i0, i1, ...`` or return ``miss``.

    Arrays must have the flag `layout`, if it is not empty; where it is None, whoever takes them checks them.
    """
    lines: list[str] = []
    counter = iter(range(10**9))
    fresh = iter(range(10**9))

    def visit(part: Any, source: str) -> None:
        if part is None:
            lines.append(f"if {source} is not None: return miss")
            return
        name = f"a{next(fresh)}"
        if isinstance(part, (dict, list, tuple)) or (is_dataclass(part) and not isinstance(part, type)):
            lines.append(f"{name} = {source}")
            check = f"type({name}) is not {names(type(part))}"
            lines.append(f"if {check}{'' if is_dataclass(part) else f' or len({name}) != {len(part)}'}: return miss")
            if isinstance(part, dict):
                for key, x in part.items():
                    visit(x, f"{name}[{names(key)}]")
            elif isinstance(part, (list, tuple)):
                for place, x in enumerate(part):
                    visit(x, f"{name}[{place}]")
            else:
                for field in fields(part):
                    if field.init:
                        visit(getattr(part, field.name), f"getattr({name}, {names(field.name)})")
            return
        _take(part, source, next(counter), fixed, names, layout, lines)

    args, kwargs = tree
    visit(args, "args")
    visit(kwargs, "kwargs") if kwargs else lines.append("if kwargs: return miss")
    del visit  # which holds itself, and `names` with all buffers, until the cyclic collector comes
    return lines


def _take(
    x: Any, source: str, slot: int, fixed: frozenset[int], names: Names, layout: str | None, lines: list[str]
) -> None:  # fmt: skip
    """Append the lines that take one leaf, and see that it is what it was."""
    i = f"i{slot}"
    lines.append(f"{i} = {source}")
    if slot in fixed or not traceable(x):
        k = names(x)
        same = f"{i} is not {k}"
        if type(x) in (int, float, bool, str, complex):
            same += f" and (type({i}) is not type({k}) or {i} != {k})"
        lines.append(f"if {same}: return miss")
        return
    if isinstance(x, np.random.Generator):
        lines.append(f"if not isinstance({i}, {names(np.random.Generator)}): return miss")
        return
    if type(x) in NUMBERS:
        lines.append(f"if type({i}) is not {type(x).__name__}: return miss")
        return
    if isinstance(x, Tensor):
        lines.append(f"if type({i}) is not {names(Tensor)} or ({i}.node is None) is {x.node is not None}: return miss")
        lines.append(f"{i} = {i}.data")
        x = x.data
    if isinstance(x, np.generic):
        lines.append(f"if type({i}) is not {names(type(x))}: return miss")
        lines.append(f"{i} = asarray({i})")
        return
    if layout is None:
        return
    shape, dtype = names(x.shape), names(np.dtype(x.dtype.str))
    lines.append(
        f"if type({i}) is not ndarray or {i}.shape != {shape} or {i}.dtype is not {dtype}"
        f"{layout and f' or not {i}.flags.{layout}'}: return miss"
    )


def building(tree: Any, leaf_code: Sequence[str], names: Names) -> str:
    """Return an expression that makes the containers of a result around its leaves, of which it keeps none."""
    queue = iter(leaf_code)

    def visit(part: Any) -> str:
        if part is None:
            return "None"
        kind = type(part)
        if kind is dict:
            return "{" + ", ".join(f"{names(k)}: {visit(x)}" for k, x in part.items()) + "}"
        if kind is tuple:
            return "(" + "".join(visit(x) + ", " for x in part) + ")"
        if isinstance(part, (list, tuple)):
            inner = ", ".join(map(visit, part))
            every = inner if hasattr(part, "_fields") else f"[{inner}]"
            return every if kind is list else f"{names(kind)}({every})"
        if isinstance(part, dict):
            frame = refilled(part, [None] * len(part))
            return f"{names(refilled)}({names(frame)}, [{', '.join(map(visit, part.values()))}])"
        if is_dataclass(part) and not isinstance(part, type):
            named = [f"{field.name}={visit(getattr(part, field.name))}" for field in fields(part) if field.init]
            return f"{names(kind)}({', '.join(named)})"
        return next(queue)

    made = visit(tree)
    del visit  # as above
    return made
