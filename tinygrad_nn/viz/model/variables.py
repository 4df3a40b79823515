"""Names for the values of a graph, taken from the variables of the user code that requests a drawing."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ...common.closures import closed_over
from ...graph.view import GraphNode, GraphView
from ...tensor import Tensor
from .names import ENDS, inputs_of, parameters, parts_of, prefix_paths, rename_nodes, with_names
from .slices import with_parts

PACKAGE = __name__.partition(".")[0]
MOST, DEEPEST = 5_000, 6  # objects visited in one variable, and levels of nesting
# parts of this package whose objects refer to the user's arrays; these objects are not searched for names
OBSERVERS = frozenset({"viz", "graph", "server", "play", "cli", "compare", "compiled"})
DEEPEST_CALL = 60  # frames
INTERPRETER = re.compile(r"_+|_i*\d*|_[iod]h|_exit_code|__\w+__|In|Out")  # variables of Python and IPython themselves
STRANGERS = frozenset({*sys.stdlib_module_names, "numpy", "matplotlib", "IPython", "pandas", "scipy", "sklearn"}) - {
    "__main__", "builtins", "collections", "types",
}  # fmt: skip


@dataclass(frozen=True)
class NamedGraph:
    """A graph whose values have the user's names.

    Attributes:
        view: the graph.
        inputs: the numbers of leaves that do not belong to the model that gave the names.
        roles: ``"parameter"`` or ``"input"`` for each leaf, and ``"input"`` for constants that are the user's data.
    """

    view: GraphView
    inputs: frozenset[int]
    roles: dict[int, str]


def view_with_names(result: Any, names: Any = None) -> NamedGraph:
    """Return the graph of a result with names: those of its Tensors, else the caller's variables and attributes.

    Args:
        result: Tensors or a `GraphView`.
        names: a dict of names, such as ``locals()``, in which the parameters of models are found too; or a model.
    """
    if names is None:
        return view_in_spaces(result, variable_spaces())
    if isinstance(names, Mapping):
        return view_in_spaces(result, [names], explicit=True)
    if isinstance(names, str) or (isinstance(names, (list, tuple)) and any(isinstance(one, str) for one in names)):
        raise TypeError(f"names={names!r:.60}; it needs a dict of the values by name, names={{'x': x}}, or a model.")
    view = result if isinstance(result, GraphView) else GraphView(result)
    owned = parameters(names)
    return NamedGraph(rename_nodes(view, owned), inputs_of(view, owned), leaf_roles(view, owned))


def view_in_spaces(result: Any, spaces: Sequence[Mapping[str, Any]], explicit: bool = False) -> NamedGraph:
    """Return the graph of a result, with the names of Tensors and arrays in some namespaces.

    Args:
        result: Tensors or a `GraphView`.
        spaces: namespaces (dicts of variables); earlier ones take precedence.
        explicit: whether the names were passed explicitly, so that none is ignored as a variable of the interpreter.
    """
    found, owned, kept = variables(spaces, explicit)
    view = _name_unnamed(result, found) if isinstance(result, GraphView) else GraphView(result, names=found)
    view = rename_nodes(view, {path: part for path, part in owned.items() if _is_vague(part.name, path)})
    view = with_parts(view, found)
    return NamedGraph(view, frozenset(), leaf_roles(view, owned, kept))


def _is_vague(name: str | None, path: str) -> bool:
    """Whether a name is missing or only the last part of a path, such as the ``W`` of every layer."""
    return name is None or (name != path and path.endswith(f".{name}"))


def _name_unnamed(view: GraphView, names: Mapping[str, Any]) -> GraphView:
    """Return the view with names for those values that have none."""
    nodes: dict[Any, str] = {}
    arrays: dict[tuple[Any, ...], str] = {}
    for name, value in names.items():
        if isinstance(value, Tensor) and value.node is not None:
            nodes.setdefault(value.node, name)
        else:
            arrays.setdefault(_memory_key(value.data if isinstance(value, Tensor) else value), name)

    def named(part: GraphNode) -> str | None:
        own = nodes.get(part.node) if part.origin else arrays.get(_memory_key(part.array))
        return part.name or own

    return with_names(view, named)


def _memory_key(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    return array.__array_interface__["data"][0], array.shape, array.strides


def leaf_roles(view: GraphView, owned: Mapping[str, Tensor], module_paths: Collection[str] = ()) -> dict[int, str]:
    """Return the role of each leaf, and of each constant that is data: ``"parameter"`` or ``"input"``.

    Leaves that a module owns are parameters, and then all other leaves are inputs. Without a module, leaves are
    parameters if the graph also has data without gradient, such as the rows of a table, and inputs otherwise. Arrays
    that a module keeps, such as a mask, do not count as data.
    """
    known = {tensor.node for tensor in owned.values() if tensor.node is not None}
    leaves = [part for part in view if part.kind == "leaf"]
    data = [part.number for part in view if part.kind == "constant" and part.name and part.array.size > 1
            and not part.name.startswith(tuple(module_paths))]  # fmt: skip
    mine = {part.number for part in leaves if part.node in known}
    rest = "input" if mine or not data else "parameter"
    found = {part.number: "parameter" if part.number in mine else rest for part in leaves}
    return found | dict.fromkeys(data, "input")


def variables(
    spaces: Sequence[Mapping[str, Any]], explicit: bool = False
) -> tuple[dict[str, Any], dict[str, Tensor], set[str]]:
    """Return the Tensors and arrays in namespaces by their paths, the Tensors that modules own, and a set of paths.

    The set has the paths of arrays that modules keep without owning them as parameters, such as a mask.

    A variable takes precedence over a path: ``W`` over ``params[0]``. Only variables left over from a loop, such as W
    of ``for W in weights``, come last, so that all the weights are named in the same way.
    """
    found: dict[str, Any] = {}
    owned: dict[str, Tensor] = {}
    module_paths: set[str] = set()
    own = [{name: value for name, value in list(space.items())
            if ((explicit and isinstance(name, str)) or _is_user_variable(name))
            and value is not None and not isinstance(value, ENDS)}
           for space in spaces]  # fmt: skip
    left = _loop_variables(own)
    for last in (False, True):
        for space in own:
            named = {name: value for name, value in space.items() if (id(value) in left) is last}
            for name, value in named.items():
                if _is_array(value):
                    found.setdefault(name, value)
            for name, value in named.items():
                for path, part, module in _arrays_within(name, value):
                    if found.setdefault(path, part) is part and module and isinstance(part, Tensor):
                        owned.setdefault(path, part)
                    if module is None and found[path] is part:
                        module_paths.add(path)
    return found, owned, module_paths


def variable_spaces() -> list[Mapping[str, Any]]:
    """Return the namespaces of the user's stack frames, the innermost first, then those that their functions refer to.

    The first is the innermost frame outside of this package. After its local variables come those of its callers, its
    global variables, and the namespaces of functions and modules found in all of these.
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
    return found + [known for space in found for value in list(space.values()) for known in _reachable_spaces(value)]


def spaces_of(function: Any) -> list[Mapping[str, Any]]:
    """Return the namespaces that a function can read besides its local variables: its closure and its globals."""
    own = inspect.unwrap(function) if callable(function) else function
    return [*_reachable_spaces(own), own_variables(getattr(getattr(own, "__func__", own), "__globals__", {}))]


def own_variables(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of a namespace without those of the interpreter."""
    return {name: value for name, value in list(space.items()) if _is_user_variable(name)}


def _reachable_spaces(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the namespaces reachable from a value: a user function's closure, a method's object, a class, a module."""
    if isinstance(value, MethodType):
        yield {"self": value.__self__}
        value = value.__func__
    if isinstance(value, FunctionType) and value.__closure__ and _is_own(value.__module__, value.__code__.co_filename):
        yield closed_over(value)
    if isinstance(value, type) and _is_own(value.__module__, ""):
        yield {f"{value.__name__}.{name}": part for name, part in vars(value).items() if _is_user_variable(name)}
    if isinstance(value, ModuleType) and _is_own(value.__name__, getattr(value, "__file__", None) or "site-packages"):
        short = value.__name__.rpartition(".")[2]
        yield {f"{short}.{name}": part for name, part in vars(value).items() if _is_user_variable(name)}


def _is_own(module: Any, file: str) -> bool:
    room = str(module or "").partition(".")[0]
    return room != PACKAGE and room not in STRANGERS and "site-packages" not in file


def _is_user_variable(name: str) -> bool:
    """Whether a variable belongs to the user, not to the interpreter."""
    return not INTERPRETER.fullmatch(name) and all(part.isidentifier() for part in name.split("."))


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype != object)


def _loop_variables(spaces: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the ids of loop variables left over after a loop, that is, the last entries of a list, tuple or dict.

    Results of operations do not count, as the last of ``losses`` may well be named ``loss``. Nor does a dict that holds
    variables under their own names.
    """
    names_by_id: dict[int, set[str]] = {}
    for space in spaces:
        for name, value in space.items():
            names_by_id.setdefault(id(value), set()).add(name)
    leftover: set[int] = set()
    for holder in _find_containers([value for space in spaces for value in space.values()]):
        if isinstance(holder, dict) and any(key in names_by_id.get(id(value), ()) for key, value in holder.items()):
            continue
        for members in (_members(holder, 1), _members(holder, 2)):
            known = [id(part) in names_by_id for part in members]
            first = known.index(True) if True in known else 0
            if first and all(known[first:]):
                leftover.update(map(id, members[first:]))
    return leftover


def _find_containers(values: list[Any]) -> Iterator[Any]:
    """Yield the lists, tuples and dicts in values, and in the attributes of the user's objects."""
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


def _members(container: Any, depth: int) -> list[Any]:
    """Return the entries at a depth of nested lists, tuples and dicts, without results of operations."""
    members = list(container.values() if isinstance(container, Mapping) else container)
    for _ in range(depth - 1):
        inner = [part.values() if isinstance(part, Mapping) else part for part in members
                 if isinstance(part, (list, tuple, Mapping))]  # fmt: skip
        members = [part for group in inner for part in list(group)[:MOST]]
    return [part for part in members if not isinstance(part, ENDS) and part is not None and not (
        isinstance(part, Tensor) and part.node is not None and part.node.primitive is not None)]  # fmt: skip


def _arrays_within(name: str, value: Any) -> Iterator[tuple[str, Any, bool | None]]:
    """Yield the Tensors and arrays in a value with their paths, the outer ones first, and whether a module owns them.

    The last is ``None`` for arrays that a module keeps but that are not parameters.
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
                    inner += [(step, child, owns) for step, child in prefix_paths(path, dict(parts_of(part)))]
                if owns:
                    inner += [(step, child, None) for step, child in prefix_paths(path, dict(_module_arrays(part)))]
            except Exception:  # an unrelated variable may raise any error
                continue
        level = inner


def _module_arrays(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a module and its parts that are arrays or lists of arrays, with their paths."""
    inside = getattr(module, "named_modules", None)
    for path, part in inside() if callable(inside) else [("", module)]:
        for name, value in list(getattr(part, "__dict__", {}).items()):
            if _is_array(value) or (isinstance(value, (list, tuple)) and any(map(_is_array, value[:MOST]))):
                yield f"{path}.{name}".lstrip("."), value
