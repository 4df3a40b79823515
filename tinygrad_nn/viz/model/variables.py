"""The variables of the code that asks for a drawing: by these names a person knows the values."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ...closures import closed_over
from ...graph.view import GraphNode, GraphView
from ...tensor import Tensor
from .names import ENDS, inputs_of, parameters, parts_of, prefixed, rename, with_names
from .pieces import with_parts

PACKAGE = __name__.partition(".")[0]
MOST, DEEPEST = 5_000, 6  # things in a variable that are looked at, one within the other
OBSERVERS = frozenset({"viz", "graph", "server", "play", "cli", "compare", "compiled"})  # of others' arrays
DEEPEST_CALL = 60  # frames
INTERPRETER = re.compile(r"_+|_i*\d*|_[iod]h|_exit_code|__\w+__|In|Out")  # variables of Python's and IPython's own
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
    if names is None:
        return viewed_in(result, spaces())
    if isinstance(names, Mapping):
        return viewed_in(result, [names], given=True)
    view = result if isinstance(result, GraphView) else GraphView(result)
    owned = parameters(names)
    return Named(rename(view, owned), inputs_of(view, owned), roles(view, owned))


def viewed_in(result: Any, spaces: Sequence[Mapping[str, Any]], given: bool = False) -> Named:
    """Return the graph of a result with the names that Tensors and arrays have in spaces of variables.

    Args:
        result: Tensors, or a `GraphView` already.
        spaces: the first comes first.
        given: whether each name was given as one, also one that no variable of a person has.
    """
    found, owned, kept = variables(spaces, given)
    view = _filled(result, found) if isinstance(result, GraphView) else GraphView(result, names=found)
    view = rename(view, {path: part for path, part in owned.items() if _vague(part.name, path)})
    view = with_parts(view, found)
    return Named(view, frozenset(), roles(view, owned, kept))


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


def roles(view: GraphView, owned: Mapping[str, Tensor], kept: Collection[str] = ()) -> dict[int, str]:
    """Return what each leaf is to the person, and each constant that is data.

    What a module owns is a parameter, and then the other leaves are inputs. Without a module a leaf is a parameter
    beside data that takes no gradient, such as the rows of a table; where there is none either, it is an input. What a
    module keeps, such as a mask, is no data.
    """
    known = {tensor.node for tensor in owned.values() if tensor.node is not None}
    leaves = [part for part in view if part.kind == "leaf"]
    data = [part.number for part in view if part.kind == "constant" and part.name and part.array.size > 1
            and not part.name.startswith(tuple(kept))]  # fmt: skip
    mine = {part.number for part in leaves if part.node in known}
    rest = "input" if mine or not data else "parameter"
    found = {part.number: "parameter" if part.number in mine else rest for part in leaves}
    return found | dict.fromkeys(data, "input")


def variables(
    spaces: Sequence[Mapping[str, Any]], given: bool = False
) -> tuple[dict[str, Any], dict[str, Tensor], set[str]]:
    """Return the Tensors and arrays in spaces of variables, by what leads to them, and those that modules own.

    The third is what leads to arrays that modules keep besides, such as a mask.

    What a variable holds comes before what is within it: ``W`` before ``params[0]``. Only what a loop left over, as the
    W of ``for W in weights``, comes last, so that each of the weights is called alike.
    """
    found: dict[str, Any] = {}
    owned: dict[str, Tensor] = {}
    kept: set[str] = set()
    own = [{name: value for name, value in list(space.items())
            if ((given and isinstance(name, str)) or _told(name)) and value is not None and not isinstance(value, ENDS)}
           for space in spaces]  # fmt: skip
    left = _left_over(own)
    for last in (False, True):
        for space in own:
            named = {name: value for name, value in space.items() if (id(value) in left) is last}
            for name, value in named.items():
                if _is_array(value):
                    found.setdefault(name, value)
            for name, value in named.items():
                for path, part, module in _within(name, value):
                    if found.setdefault(path, part) is part and module and isinstance(part, Tensor):
                        owned.setdefault(path, part)
                    if module is None and found[path] is part:
                        kept.add(path)
    return found, owned, kept


def spaces() -> list[Mapping[str, Any]]:
    """Return the variables of the frames that are a person's own, and what functions in them hold, the innermost first.

    The caller is the first frame outside of this package; after its own variables come those of the functions that
    called it, the global ones, and those that functions and modules among all these know.
    """
    found: list[Mapping[str, Any]] = []
    worldwide: list[Mapping[str, Any]] = []
    frame: FrameType | None = sys._getframe(1)
    for _ in range(DEEPEST_CALL):
        if frame is None:
            break
        if _is_own(frame.f_globals.get("__name__"), frame.f_code.co_filename):
            found.append(frame.f_locals)
            worldwide = worldwide or [frame.f_globals]
        frame = frame.f_back
    found += worldwide
    return found + [known for space in found for value in list(space.values()) for known in _known_to(value)]


def spaces_of(function: Any) -> list[Mapping[str, Any]]:
    """Return the variables that a function knows besides its own: those around it, and the global ones."""
    own = inspect.unwrap(function) if callable(function) else function
    return [*_known_to(own), told(getattr(getattr(own, "__func__", own), "__globals__", {}))]


def told(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables in a space that are a person's own, and none of an interpreter's."""
    return {name: value for name, value in list(space.items()) if _told(name)}


def _known_to(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the variables that a person's function took along, a method's object, and those of a class or module."""
    if isinstance(value, MethodType):
        yield {"self": value.__self__}
        value = value.__func__
    if isinstance(value, FunctionType) and value.__closure__ and _is_own(value.__module__, value.__code__.co_filename):
        yield closed_over(value)
    if isinstance(value, type) and _is_own(value.__module__, ""):
        yield {f"{value.__name__}.{name}": part for name, part in vars(value).items() if _told(name)}
    if isinstance(value, ModuleType) and _is_own(value.__name__, getattr(value, "__file__", None) or "site-packages"):
        short = value.__name__.rpartition(".")[2]
        yield {f"{short}.{name}": part for name, part in vars(value).items() if _told(name)}


def _is_own(module: Any, file: str) -> bool:
    room = str(module or "").partition(".")[0]
    return room != PACKAGE and room not in STRANGERS and "site-packages" not in file


def _told(name: str) -> bool:
    """Whether a variable is a person's own: none of an interpreter's."""
    return not INTERPRETER.fullmatch(name) and all(part.isidentifier() for part in name.split("."))


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype != object)


def _left_over(spaces: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return what a loop over a list, a tuple or a dict left in variables: its last entries, and no others.

    Results do not count: the last of ``losses`` is ``loss`` to everybody; nor do variables in a dict by their names.
    """
    bare: dict[int, set[str]] = {}
    for space in spaces:
        for name, value in space.items():
            bare.setdefault(id(value), set()).add(name)
    left: set[int] = set()
    for holder in _holders([value for space in spaces for value in space.values()]):
        if isinstance(holder, dict) and any(key in bare.get(id(value), ()) for key, value in holder.items()):
            continue
        for members in (_members(holder, 1), _members(holder, 2)):
            known = [id(part) in bare for part in members]
            first = known.index(True) if True in known else 0
            if first and all(known[first:]):
                left.update(map(id, members[first:]))
    return left


def _holders(values: list[Any]) -> Iterator[Any]:
    """Yield the lists, tuples and dicts in values, and in the attributes of a person's objects."""
    seen: set[int] = set()
    for _ in range(3):
        inner: list[Any] = []
        for value in values:
            if isinstance(value, ENDS) or value is None or _is_array(value) or id(value) in seen or len(seen) > MOST:
                continue
            seen.add(id(value))
            if isinstance(value, (list, tuple, dict)):
                if 1 < len(value) <= MOST:
                    yield value
                inner += list(value.values() if isinstance(value, dict) else value)[:MOST]
            elif type(value).__module__.partition(".")[0] not in STRANGERS:
                own = list(getattr(value, "__dict__", {}).values())
                inner += [part for part in own if isinstance(part, (list, tuple, dict))]
        values = inner


def _members(holder: Any, depth: int) -> list[Any]:
    """Return what is this deep within lists, tuples and dicts, without results of operations."""
    members = list(holder.values() if isinstance(holder, Mapping) else holder)
    for _ in range(depth - 1):
        inner = [part.values() if isinstance(part, Mapping) else part for part in members
                 if isinstance(part, (list, tuple, Mapping))]  # fmt: skip
        members = [part for group in inner for part in list(group)[:MOST]]
    return [part for part in members if not isinstance(part, ENDS) and part is not None and not (
        isinstance(part, Tensor) and part.node is not None and part.node.primitive is not None)]  # fmt: skip


def _within(name: str, value: Any) -> Iterator[tuple[str, Any, bool | None]]:
    """Yield the Tensors and arrays in a value by their paths, the outer ones first, and whether a module owns them.

    What it keeps without owning it is marked by ``None``.
    """
    level: list[tuple[str, Any, bool | None]] = [(name, value, False)]
    seen: set[int] = set()
    for _ in range(DEEPEST):
        inner: list[tuple[str, Any, bool | None]] = []
        for path, part, module in level:
            if len(seen) > MOST:
                return
            if isinstance(part, ENDS) or part is None or id(part) in seen:
                continue
            seen.add(id(part))
            if _is_array(part):
                yield path, part, module
                continue
            room = type(part).__module__.split(".")
            if (not isinstance(part, np.ndarray) and room[0] in STRANGERS) or (
                room[0] == PACKAGE and room[1:2] and room[1] in OBSERVERS
            ):
                continue
            owns = None if module is None else module or callable(getattr(type(part), "named_parameters", None))
            try:
                if not hasattr(part, "__len__") or len(part) <= MOST:
                    inner += [(step, child, owns) for step, child in prefixed(path, dict(parts_of(part)))]
                if owns:
                    inner += [(step, child, None) for step, child in prefixed(path, dict(_kept(part)))]
            except Exception:  # a variable that has nothing to do with the graph may be anything
                continue
        level = inner


def _kept(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arrays, and lists of such, that a module and its parts keep beside their parameters, by their paths."""
    inside = getattr(module, "named_modules", None)
    for path, part in inside() if callable(inside) else [("", module)]:
        for name, value in list(getattr(part, "__dict__", {}).items()):
            if _is_array(value) or (isinstance(value, (list, tuple)) and any(map(_is_array, value[:MOST]))):
                yield f"{path}.{name}".lstrip("."), value
