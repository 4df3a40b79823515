"""The variables of the code that asks for a drawing: by these names a person knows the values."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from ...graph.view import GraphNode, GraphView
from ...tensor import Tensor
from .names import ENDS, inputs_of, parameters, parts_of, prefixed, rename, with_names

PACKAGE = __name__.partition(".")[0]
MOST, DEEPEST = 5_000, 6  # things in a variable that are looked at, one within the other
DEEPEST_CALL = 60  # frames
STRANGERS = frozenset({*sys.stdlib_module_names, "numpy", "matplotlib", "IPython", "pandas", "scipy", "sklearn"}) - {
    "__main__", "builtins", "collections", "types",
}  # fmt: skip


@dataclass(frozen=True)
class Named:
    """A graph with a person's own names.

    Attributes:
        view: the graph.
        inputs: the numbers of leaves that belong to no layer of the model that gave the names.
        roles: ``"parameter"`` or ``"input"`` for each leaf, and for constants that a person gave as data.
    """

    view: GraphView
    inputs: frozenset[int]
    roles: dict[int, str]


def viewed(result: Any, names: Any = None) -> Named:
    """Return the graph of a result with names: those of its Tensors, else of the caller's variables and attributes.

    Args:
        result: Tensors, or a `GraphView` already.
        names: a dict of names, such as ``locals()``, in which the parameters of models are found too; or a model.
    """
    owned: dict[str, Tensor] = {}
    if names is None:
        given, owned = variables()
        view = _filled(result, given) if isinstance(result, GraphView) else GraphView(result, names=given)
        view = rename(view, {path: part for path, part in owned.items() if _vague(part.name, path)})
        return Named(view, frozenset(), roles(view, owned))
    if isinstance(names, Mapping):
        found: dict[str, Any] = {}
        for name, value in names.items():
            parts = value if isinstance(value, (list, tuple)) else [value]
            models = any(hasattr(part, "named_parameters") for part in parts)
            inside = dict(prefixed(name, parameters(value) if models else {}))
            owned |= inside
            found |= inside or {name: value}
        view = result if isinstance(result, GraphView) else GraphView(result, names=found)
        return Named(view, frozenset(), roles(view, owned))
    view = result if isinstance(result, GraphView) else GraphView(result)
    owned = parameters(names)
    return Named(rename(view, owned), inputs_of(view, owned), roles(view, owned))


def _vague(name: str | None, path: str) -> bool:
    """Whether a name is only the end of a path, as that of the W of each layer."""
    return name is None or (name != path and path.endswith(f".{name}"))


def _filled(view: GraphView, given: Mapping[str, Any]) -> GraphView:
    """Return the view with these names for the values that have none."""
    nodes: dict[Any, str] = {}
    arrays: dict[tuple[Any, ...], str] = {}
    for name, value in given.items():
        if isinstance(value, Tensor) and value.node is not None:
            nodes.setdefault(value.node, name)
        else:
            arrays.setdefault(_memory(value.data if isinstance(value, Tensor) else value), name)

    def named(part: GraphNode) -> str | None:
        own = nodes.get(part.node) if part.origin else arrays.get(_memory(part.array))
        return part.name or own

    return with_names(view, named)


def _memory(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    return array.__array_interface__["data"][0], array.shape, array.strides


def roles(view: GraphView, owned: Mapping[str, Tensor]) -> dict[int, str]:
    """Return what each leaf is to the person, and each constant that is data.

    What a module owns is a parameter, and then the other leaves are inputs. Without a module a leaf is a parameter
    beside data that takes no gradient, such as the rows of a table; where there is none either, it is an input.
    """
    known = {tensor.node for tensor in owned.values() if tensor.node is not None}
    leaves = [part for part in view if part.kind == "leaf"]
    data = [part.number for part in view if part.kind == "constant" and part.name and part.array.size > 1]
    mine = {part.number for part in leaves if part.node in known}
    rest = "input" if mine or not data else "parameter"
    found = {part.number: "parameter" if part.number in mine else rest for part in leaves}
    return found | dict.fromkeys(data, "input")


def variables() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the Tensors and arrays in the variables of the caller, by what leads to them, and those that modules own.

    The caller is the first frame outside of this package; after its own variables come those of the functions that
    called it, and the global ones. What a variable holds comes before what is within it: ``W`` before ``params[0]``.
    """
    found: dict[str, Any] = {}
    owned: dict[str, Tensor] = {}
    for space in _spaces():
        named = [(name, value) for name, value in list(space.items()) if _told(name, value)]
        for name, value in named:
            if isinstance(value, (Tensor, np.ndarray)):
                found.setdefault(name, value)
        for name, value in named:
            for path, part, module in _within(name, value):
                if found.setdefault(path, part) is part and module and isinstance(part, Tensor):
                    owned.setdefault(path, part)
    return found, owned


def _spaces() -> list[Mapping[str, Any]]:
    """Return the variables of the frames that are a person's own, the innermost first, then the global ones of it."""
    spaces: list[Mapping[str, Any]] = []
    worldwide: list[Mapping[str, Any]] = []
    frame: FrameType | None = sys._getframe(1)
    for _ in range(DEEPEST_CALL):
        if frame is None:
            break
        room = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if room != PACKAGE and room not in STRANGERS and "site-packages" not in frame.f_code.co_filename:
            spaces.append(frame.f_locals)
            worldwide = worldwide or [frame.f_globals]
        frame = frame.f_back
    return spaces + worldwide


def _told(name: str, value: Any) -> bool:
    """Whether a variable is a person's own: none of an interpreter's, no function, module or class."""
    own = name.isidentifier() and name[:1] != "_" and name not in ("In", "Out")
    return own and value is not None and not isinstance(value, ENDS)


def _within(name: str, value: Any) -> Iterator[tuple[str, Any, bool]]:
    """Yield the Tensors and arrays in a value by their paths, the outer ones first, and whether a module owns them."""
    level: list[tuple[str, Any, bool]] = [(name, value, False)]
    seen: set[int] = set()
    for _ in range(DEEPEST):
        inner: list[tuple[str, Any, bool]] = []
        for path, part, module in level:
            if len(seen) > MOST:
                return
            if isinstance(part, ENDS) or part is None or id(part) in seen:
                continue
            seen.add(id(part))
            if isinstance(part, (Tensor, np.ndarray)):
                yield path, part, module
                continue
            if type(part).__module__.partition(".")[0] in STRANGERS:
                continue
            owns = module or callable(getattr(type(part), "named_parameters", None))
            try:
                if not hasattr(part, "__len__") or len(part) <= MOST:
                    inner += [(step, child, owns) for step, child in prefixed(path, dict(parts_of(part)))]
            except Exception:  # a variable that has nothing to do with the graph may be anything
                continue
        level = inner
