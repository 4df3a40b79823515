"""Generates the code that takes the arguments of a call apart and builds its result, for one nest of containers.

`tree.flatten` does the same for any nest, by recursion. The code generated here is straight-line and ten times as fast.
It contains no text from the user: keys, types and flags are objects that the code refers to by generated names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ...tensor import Tensor
from ...tree import refilled
from ..trace.call import NUMBERS, plain, traceable

# Unhashable flags that the caller can change in place -> the type of a copy with the same value
CHANGEABLE: dict[type, Callable[[Any], Any]] = {set: frozenset, bytearray: bytes}


class Names:
    """The objects that generated code refers to, and their generated names."""

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


def leaf_key(x: Any, fixed: bool = False) -> Any:
    """Return a key that is equal for leaves that can use one plan: shape and dtype, or the value if it is fixed."""
    if fixed:
        return static_key(x)
    if isinstance(x, Tensor):
        return "tensor", x.shape, x.dtype.str, x.node is not None
    if isinstance(x, (np.ndarray, np.generic)):
        return (x.shape, x.dtype.str) if plain(x) else (type(x), x.shape, x.dtype.str)
    if isinstance(x, np.random.Generator):
        return "generator"
    if type(x) in NUMBERS:
        return type(x)
    return static_key(x)


def static_key(x: Any) -> Any:
    """Return the key of a leaf that is not traced: its type and value if it is hashable or a set, else its id."""
    if type(x) in CHANGEABLE:
        return type(x), CHANGEABLE[type(x)](x)
    try:
        hash(x)
    except TypeError:
        return "object", id(x)
    return type(x), repr(x) if _may_be_signed_zero(x) else x


def _may_be_signed_zero(x: Any) -> bool:
    """Tell whether a number may be ``==`` to a number that differs from it in the sign of a zero."""
    return isinstance(x, complex) or (isinstance(x, float) and x == 0)


def unpacking_lines(tree: Any, fixed: frozenset[int], names: Names, layout: str | None) -> list[str]:
    """Return the lines that assign the leaves of ``args`` and ``kwargs`` to ``i0, i1, ...`` or return ``miss``.

    Arrays must have the flag `layout`, if it is not empty. If it is None, the kernel checks shapes and dtypes, but not
    subclasses: of a masked array it would read all entries.
    """
    lines: list[str] = []
    types: list[str] = []
    counter = iter(range(10**9))

    def take(x: Any, source: str) -> None:
        slot = next(counter)
        _take(x, source, slot, fixed, names, layout, lines)
        if layout is None and isinstance(x, np.ndarray) and slot not in fixed:
            types.append(f"type(i{slot})")

    args, kwargs = tree
    fresh = iter(range(10**9))
    _visit(args, "args", fresh, names, lines, take)
    _visit(kwargs, "kwargs", fresh, names, lines, take) if kwargs else lines.append("if kwargs: return miss")
    if types:
        lines.append(f"if not ({' is '.join(types)} is ndarray): return miss")
    return lines


def _visit(
    part: Any, source: str, numbers: Iterator[int], names: Names, lines: list[str], take: Callable[[Any, str], None]
) -> None:  # fmt: skip
    """Append the lines that take a nest apart."""
    if part is None:
        lines.append(f"if {source} is not None: return miss")
        return
    name = f"a{next(numbers)}"
    if not isinstance(part, (dict, list, tuple)) and (not is_dataclass(part) or isinstance(part, type)):
        take(part, source)
        return
    lines.append(f"{name} = {source}")
    check = f"type({name}) is not {names(type(part))}"
    if isinstance(part, dict):
        check += f" or list({name}) != {names(list(part))}"  # keys in order, since a function can depend on the order
    elif not is_dataclass(part):
        check += f" or len({name}) != {len(part)}"
    lines.append(f"if {check}: return miss")
    if isinstance(part, dict):
        inner = [(x, f"{name}[{names(key)}]") for key, x in part.items()]
    elif isinstance(part, (list, tuple)):
        inner = [(x, f"{name}[{place}]") for place, x in enumerate(part)]
    else:
        held = [field.name for field in fields(part) if field.init]
        inner = [(getattr(part, field), f"getattr({name}, {names(field)})") for field in held]
    for x, place in inner:
        _visit(x, place, numbers, names, lines, take)


def _take(
    x: Any, source: str, slot: int, fixed: frozenset[int], names: Names, layout: str | None, lines: list[str]
) -> None:  # fmt: skip
    """Append the lines that assign one leaf, and return ``miss`` if it is of another kind than in the trace."""
    i = f"i{slot}"
    lines.append(f"{i} = {source}")
    if slot in fixed or not traceable(x):
        k = names(x)
        same = f"{i} is not {k}"
        if type(x) in CHANGEABLE:
            same = f"type({i}) is not {names(type(x))} or {i} != {names(CHANGEABLE[type(x)](x))}"
        elif type(x) in (int, float, bool, str, complex):
            other = f"repr({i}) != repr({k})" if _may_be_signed_zero(x) else f"{i} != {k}"
            same += f" and (type({i}) is not type({k}) or {other})"
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


def packing_expression(tree: Any, leaf_code: Sequence[str], names: Names) -> str:
    """Return an expression that builds the containers of a result from the expressions of its leaves."""
    return _packing(tree, iter(leaf_code), names)


def _packing(part: Any, leaves: Iterator[str], names: Names) -> str:
    # Return the expression for one container, or the next leaf.
    def pack_all(parts: Iterable[Any]) -> str:
        return ", ".join([_packing(x, leaves, names) for x in parts])

    if part is None:
        return "None"
    kind = type(part)
    if kind is dict:
        return "{" + ", ".join(f"{names(k)}: {_packing(x, leaves, names)}" for k, x in part.items()) + "}"
    if kind is tuple:
        return f"({pack_all(part)}{',' * bool(part)})"
    if isinstance(part, (list, tuple)):
        inner = pack_all(part) if hasattr(part, "_fields") else f"[{pack_all(part)}]"
        return inner if kind is list else f"{names(kind)}({inner})"
    if isinstance(part, dict):
        frame = refilled(part, [None] * len(part))
        return f"{names(refilled)}({names(frame)}, [{pack_all(part.values())}])"
    if is_dataclass(part) and not isinstance(part, type):
        held = [field.name for field in fields(part) if field.init]
        return f"{names(kind)}({', '.join(f'{name}={_packing(getattr(part, name), leaves, names)}' for name in held)})"
    return next(leaves)
