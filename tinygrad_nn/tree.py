"""Nested containers of arrays, and the arguments of a call, flattened into a list and rebuilt."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .common.printable import printable

_USUAL = frozenset((np.ndarray, float, int, bool, str, slice))  # types of leaves that need not be looked at further
Tree = Any  # an array, or a dict, list, tuple, named tuple or dataclass of trees


def flatten(tree: Tree) -> tuple[list[Any], Callable[[Sequence[Any]], Tree]]:
    """Return the leaves of nested containers, in order, and the function that rebuilds them with other leaves.

    Example:
        >>> leaves, rebuild = flatten({"W": 1.0, "layers": [2.0, (3.0,)]})
        >>> leaves, rebuild([10, 20, 30])
        ([1.0, 2.0, 3.0], {'W': 10, 'layers': [20, (30,)]})
    """
    kind: Any = type(tree)
    if kind in _USUAL:
        return [tree], _only
    if kind is list or kind is tuple:
        for part in tree:
            if type(part) is not np.ndarray:
                break
        else:
            return list(tree), kind  # a list of ndarrays: the result of the code below in a third of the time
    make: Callable[[Any], Tree]
    if kind is dict:
        keys, parts = list(tree), list(tree.values())
        make = lambda new: dict(zip(keys, new, strict=True))  # noqa: E731
    elif isinstance(tree, dict):
        frame, parts = refilled(tree, [None] * len(tree)), list(tree.values())
        make = lambda new: refilled(frame, new)  # noqa: E731
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        parts = list(tree)
        make = lambda new: kind(*new)  # noqa: E731
    elif isinstance(tree, (list, tuple)):
        parts, make = list(tree), kind
    elif (names := _fields(tree)) is not None:
        parts = [getattr(tree, name) for name in names]
        make = lambda new: kind(**dict(zip(names, new, strict=True)))  # noqa: E731
    else:
        return [tree], _only
    flat = [([], _nothing) if part is None else flatten(part) for part in parts]  # None inside a container is no leaf
    leaves = [x for found, _ in flat for x in found]
    counted = [(len(found), again) for found, again in flat]  # counts only, so that rebuild keeps no leaf alive

    def rebuild(new: Sequence[Any]) -> Tree:
        queue = iter(new)
        return make([again([next(queue) for _ in range(count)]) for count, again in counted])

    return leaves, rebuild


def children(tree: Tree) -> dict[Any, Tree] | None:
    """Return the parts of a container as a dict by key, position or field name; None if `tree` is no container."""
    if isinstance(tree, dict):
        return dict(tree)
    if isinstance(tree, (list, tuple)):
        return dict(enumerate(tree))
    names = _fields(tree)
    return None if names is None else {name: getattr(tree, name) for name in names}


def leaves_like(tree: Tree, tangents: Tree, name: str, of: str) -> list[Any]:
    """Return the leaves of a tangent or cotangent, in the order of the leaves of its value; dicts are matched by key.

    Args:
        tree: the value, a nest of arrays.
        tangents: the tangent or cotangent, in the same containers; the keys of a dict may be in another order.
        name: what error messages call `tangents`.
        of: what they call `tree`.

    Raises:
        ValueError: `tangents` has other containers.
        TypeError: it has something other than numbers, or complex numbers where `tree` has real ones.

    Example:
        >>> leaves_like({"W": 1.0, "b": 2.0}, {"b": 20.0, "W": 10.0}, "the tangent", "the argument")
        [10.0, 20.0]
    """
    if type(tangents) is np.ndarray and tangents.dtype.kind in "fiu" and hasattr(type(tree), "__array_function__"):
        return [tangents]  # the usual case, in a tenth of the time
    if type(tree) is type(tangents) is list and len(tree) == len(tangents):
        pairs = [pair for pair in zip(tree, tangents, strict=True) if pair[0] is not None]
        return [leaf for part, part_tangents in pairs for leaf in leaves_like(part, part_tangents, name, of)]
    parts, found = children(tree), children(tangents)
    if parts is None and found is None and tangents is not None:
        kind, own = (x.dtype.kind if hasattr(x, "dtype") else np.asarray(x).dtype.kind for x in (tangents, tree))
        if kind not in "fciub":
            raise TypeError(f"{name} has {described(tangents)} where {of} has numbers; give numbers.")
        if kind == "c" and own != "c":
            raise TypeError(f"{name} has complex numbers where {of} has real ones; take np.real of them.")
        return [tangents]
    if parts is None or found is None or set(parts) != set(found):
        found_text, wanted = described(tangents), described(tree)
        raise ValueError(f"{name} has {found_text} where {of} has {wanted}; give the same containers.")
    return [
        leaf for key, part in parts.items() if part is not None for leaf in leaves_like(part, found[key], name, of)
    ]


def not_floats(value: Any, dtype: np.dtype[Any], trees: Sequence[Tree], name: str) -> TypeError:
    """Return the error for a leaf of an argument that gets no gradient: its path, what it is, and the edit."""
    path = next((found for tree in trees if (found := path_to(value, tree)) is not None), "")
    where = f"{printable(path)} of {name}" if path else name
    if dtype.kind in "USO" and not isinstance(value, np.ndarray):
        plain = "a function" if callable(value) else f"an object of {printable(type(value).__name__)}"
        kind = "text" if isinstance(value, (str, bytes)) else plain
        return TypeError(
            f"a gradient with respect to {where} needs floats, but it is {kind}, with dtype {dtype}. Leave it out of "
            "what is differentiated: pass it as another argument, grad(f)(w, other), or let f take it from outside, "
            "grad(lambda w: f(w, other))(w)."
        )
    return TypeError(
        f"a gradient with respect to {where} needs floats, but it has dtype {dtype}. "
        "Write 3.0 rather than 3, or convert it with .astype(float)."
    )


def path_to(value: Any, tree: Tree) -> str | None:
    """Return where an object is in nested containers, such as ``["layers"][0].W``; None if it is not there."""
    if tree is value:
        return ""
    for key, part in (children(tree) or {}).items():
        if (rest := path_to(value, part)) is not None:
            if isinstance(tree, tuple) and hasattr(tree, "_fields"):
                step = f".{tree._fields[key]}"
            elif not isinstance(tree, (dict, list, tuple)):  # a dataclass
                step = f".{key}"
            else:
                step = f'["{key}"]' if isinstance(key, str) else f"[{key!r}]"
            return step + rest
    return None


def described(tree: Tree) -> str:
    """Return a few words for an error message: a container's type and keys, or what else it is."""
    parts = children(tree)
    if parts is None:
        return "None" if tree is None else "one array" if hasattr(tree, "shape") else f"one {type(tree).__name__}"
    kind = type(tree).__name__
    return f"a {kind} with {printable(', '.join(map(str, parts)))}" if parts else f"an empty {kind}"


def containers(tree: Tree) -> Any:
    """Return a value that is equal for two nests with the same containers: types, lengths, and keys in order."""
    if tree is None:
        return None
    parts = children(tree)
    if parts is None:
        return ()
    inner = tuple(map(containers, parts.values()))
    return type(tree), tuple(zip(parts, inner, strict=True)) if isinstance(tree, dict) else inner


def _fields(tree: Tree) -> list[str] | None:
    """Return the names of a dataclass's fields that its ``__init__`` takes; None if `tree` is no dataclass."""
    if not hasattr(type(tree), "__dataclass_fields__"):
        return None
    from dataclasses import fields

    return [field.name for field in fields(tree) if field.init]


def _only(new: Sequence[Any]) -> Any:
    return new[0]


def _nothing(new: Sequence[Any]) -> None:
    return None


def refilled(tree: Any, values: Sequence[Any]) -> Any:
    """Return a dict of the same type and keys with other values."""
    from copy import copy

    other = copy(tree)
    for key, value in zip(tree, values, strict=True):
        other[key] = value  # a Counter's `update` would count
    return other


def slot(f: Callable[..., Any], argnum: int | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | str:
    """Return the position in `args`, or the key in `kwargs`, of an argument that is given by position or name.

    Raises:
        TypeError: f is not a function.
        ValueError: the call has no such argument.
    """
    if not callable(f):
        raise TypeError(
            f"a derivative is taken of a function; this is {described(f)}. Write grad(lambda w: loss(w))(w), with what "
            "computes it; or, if it is a Tensor, loss.backward()."
        )
    if not isinstance(argnum, str):
        if not -len(args) <= argnum < len(args):
            name, n = printable(getattr(f, "__name__", type(f).__name__)), len(args)
            by_name = f"; or give its name, argnums={next(iter(kwargs))!r}" if kwargs else ""
            raise ValueError(
                f"argnums={argnum}, but {name} was called with {n} positional argument{'s' * (n != 1)}. Pass the "
                f"argument by position{by_name}."
            )
        return int(argnum) % len(args)
    if argnum in kwargs:
        return argnum
    name, names = printable(getattr(f, "__name__", type(f).__name__)), list(inspect.signature(f).parameters)
    if argnum not in names or names.index(argnum) >= len(args):
        raise ValueError(f"{name} was called without an argument {argnum!r}; its parameters are {names}.")
    return names.index(argnum)


def as_list(call: str, name: str, arguments: Any) -> list[Any]:
    """Return the arguments that `jvp` or `hvp` got in a tuple or list; raise for anything else.

    Raises:
        TypeError: they are not in a tuple or list.
    """
    if isinstance(arguments, (tuple, list)):
        return list(arguments)
    example = "jvp(f, (x,), (v,))" if call == "jvp" else "hvp(f, (x,), v)"
    raise TypeError(
        f"{call} needs a tuple for {name}, with an entry for each argument; it got {described(arguments)}. "
        f"Write {example}."
    )
