"""Constants such as 1e-8 in ``np.log(p + 1e-8)``, which keep a value from being 0 and hardly change a gradient."""

from __future__ import annotations

import ast
import contextlib
import inspect
import math
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from threading import RLock
from typing import Any

import numpy as np

from ..common.closures import closed_over
from ..common.forks import renewed_after_fork
from .conventions.signatures import source_tree
from .diagnosis import Diagnosis

Array = np.ndarray[Any, Any]

TINY = 1e-6  # the largest such constant
NEGLIGIBLE = 5e-7  # of the largest entry: the largest difference that is taken to come from such a constant
RAREST = 1e-4  # the smallest probability p for which log(p) and log(p + 1e-12) are taken to have the same derivative
_CHANGING: Any = renewed_after_fork(RLock())  # one comparison at a time changes constants
LOGARITHMS = ("log", "log2", "log10", "reciprocal")
SELECTIONS = ("maximum", "minimum", "fmax", "fmin", "max", "min", "clip", "where")
LIBRARIES = sys.stdlib_module_names - {"__main__"} | {"numpy", "scipy", "tinygrad_nn"}


def tiny_constant(*functions: Any) -> float:
    """Return the largest constant between 0 and 1e-6 in some functions and in the user code that they call; 0 if none.

    Example:
        >>> tiny_constant(print)
        0.0
    """
    return max((c for *_, value in _places(functions, set()) for c in _constants(value)), default=0.0)


def negligible(tiny: float) -> float:
    """Return the difference, relative to the largest entry of a gradient, that a tiny constant explains.

    Example:
        >>> negligible(2.0**-40) == 2.0**-40 / 1e-4, negligible(1e-8)
        (True, 5e-07)
    """
    return min(tiny / RAREST, NEGLIGIBLE)


def largest_difference(pairs: Sequence[tuple[Array, Array]]) -> float:
    """Return the largest difference of gradients from the right ones, relative to the largest entry of each array.

    It is infinite if shapes differ, and NaN if a gradient is.

    Example:
        >>> largest_difference([(np.array([1.0, 3.0]), np.array([1.0, 4.0]))])
        0.25
    """
    if any(m.shape != g.shape for m, g in pairs):
        return math.inf
    return float(np.max([np.abs(m - g).max(initial=0.0) / (np.abs(g).max(initial=0.0) or 1.0) for m, g in pairs]))


def effect_of_tiny_constant(difference: float, where: str, tiny: float, is_cause: bool = False) -> Diagnosis | None:
    """Return the diagnosis that a tiny constant explains the largest difference of gradients, or None.

    `is_cause` says that the gradients are right with smaller constants; then it explains a difference of any size.
    """
    if not difference > 0:  # NaN is no difference
        return None
    if difference <= (NEGLIGIBLE if is_cause else negligible(tiny)):
        kind, text = "convention", (
            f"The gradient is right but for the effect of a constant such as {tiny:.0e}, which avoids log(0) or a "
            "division by 0 in one of the two passes. This is not a mistake.")  # fmt: skip
    elif is_cause:
        kind, text = "wrong_epsilon", (
            f"The difference comes from a constant such as {tiny:.0e}: with a much smaller one, every gradient is "
            "right. If it is there to avoid log(0) or a division by 0, it is too large for these numbers: take a "
            "smaller one, or an equation that needs none. Otherwise, a term with it is in one of the two passes "
            "only.")  # fmt: skip
    else:
        return None
    return Diagnosis(
        kind, where, text, (f"the largest difference is {difference:.0e} of the largest entry of its array",)
    )


@contextlib.contextmanager
def smaller_constants(dtype: Any, *functions: Any) -> Iterator[None]:
    """Inside, functions and the user code that they call have the least normal number in place of tiny constants.

    Unlike 0, it keeps 0/0 from becoming NaN. Numbers as near to 1 are replaced by 1. What refuses to be changed stays.
    """
    constant = float(np.finfo(dtype).tiny)
    with _CHANGING, contextlib.ExitStack() as restoring:
        for owner, name, value in [*_places(functions, set())]:
            smaller = _smaller(value, constant)
            if smaller is not value:
                with contextlib.suppress(Exception):  # a class may refuse any change
                    _put(owner, name, smaller)
                    restoring.callback(_put, owner, name, value)
        yield


def largest_guard_in_code(*functions: Any) -> float:
    """Return the largest tiny constant in functions if all of them only keep a log from log(0) or a denominator from 0.

    As `largest_guard` of a graph, it is 0 if there is none, or if one is used otherwise: as a factor, or under a root.
    """
    names: set[str] = set()
    trees, largest = [], 0.0
    for *_, name, value in _places(functions, set()):
        constants = [*_constants(value)]
        largest = max([largest, *constants])
        if isinstance(value, types.CodeType):
            trees.append(source_tree(value))
            if constants and not any(map(_is_tiny_node, ast.walk(trees[-1]))):
                return 0.0  # its source is not known
        elif constants:
            names.add(name)
    parents = {part: node for tree in trees for node in ast.walk(tree) for part in ast.iter_child_nodes(node)}
    count = -1
    while count < len(names):  # what is assigned a sum with such a constant must be used as the constant is
        count = len(names)
        used = [node for node in parents if _is_tiny_node(node) or _name_read(node) in names]
        if not all(_is_protective(node, parents, names) for node in used):
            return 0.0
    return largest


def _is_tiny_node(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and _is_tiny(node.value)


def _name_read(node: ast.AST) -> str:
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return ""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_protective(node: ast.AST, parents: dict[ast.AST, ast.AST], names: set[str]) -> bool:
    """Tell whether an expression is used in logarithms and denominators only, as far as its statement tells.

    What the statement assigns it to is added to `names`.
    """
    is_held = False
    while node in parents:
        part, node = node, parents[node]
        match node:
            case ast.BinOp(op=ast.Div(), right=divisor) if divisor is part and not _is_tiny_node(part):
                return True
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in (*LOGARITHMS, *SELECTIONS):
                if name in LOGARITHMS:
                    return True
            case ast.Attribute(attr=name) if name in SELECTIONS:
                pass  # p.clip(...)
            case ast.BinOp(op=ast.Add() | ast.Sub()) | ast.UnaryOp(op=ast.USub()) | ast.keyword() | ast.IfExp():
                pass
            case ast.Subscript(value=whole) if whole is part:
                pass
            case ast.Tuple() | ast.List() | ast.Dict():
                is_held = True
            case ast.arguments():
                defaults = [*zip(node.args[::-1], node.defaults[::-1], strict=False),
                            *zip(node.kwonlyargs, node.kw_defaults, strict=True)]  # fmt: skip
                names.update(a.arg for a, default in defaults if default is part)
                return True
            case ast.Assign(targets=[target]) | ast.AnnAssign(target=target) | ast.AugAssign(
                    op=ast.Add() | ast.Sub(), target=target):  # fmt: skip
                names.update(n.id for n in ast.walk(target) if isinstance(n, ast.Name))
                return True
            case ast.Compare():
                return True
            case _:
                return is_held and isinstance(node, ast.Return)  # in a cache
    return False


def _put(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


def _smaller(value: Any, constant: float) -> Any:
    """Return a number, a flat tuple or list, or code with `constant` in place of tiny ones, and 1 of those near 1."""
    if _is_tiny(value):
        return constant
    if isinstance(value, float) and is_limit(value):
        return 1.0
    if isinstance(value, types.CodeType):
        consts = tuple(_smaller(part, constant) for part in value.co_consts)
        return value if _are_same(consts, value.co_consts) else value.replace(co_consts=consts)
    if type(value) in (tuple, list):
        parts = type(value)(_smaller(part, constant) if isinstance(part, float) else part for part in value)
        return value if _are_same(parts, value) else parts
    return value


def is_limit(value: Any) -> bool:
    """Tell whether a number is as near to 1 as a tiny constant to 0: the limit of a probability."""
    return bool(0 < 1 - value <= TINY)


def _is_tiny(value: Any) -> bool:
    return isinstance(value, float) and 0 < value <= TINY


def _are_same(parts: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(a is b for a, b in zip(parts, others, strict=True))


def _constants(value: Any) -> Iterator[float]:
    """Yield the tiny constants in a value: a number, a flat tuple or list, or code."""
    if isinstance(value, types.CodeType):
        for part in value.co_consts:
            yield from _constants(part)
    else:
        yield from (float(v) for v in (value if isinstance(value, (tuple, list)) else (value,)) if _is_tiny(v))


def _places(values: Iterable[Any], seen: set[Any]) -> Iterator[tuple[Any, str, Any]]:
    """Yield (owner, name, value) for what some functions and classes are made of and refer to, and what these do."""
    for f in values:
        for owner, name, value in _parts(f) if callable(f) else ():
            if (id(owner), name) not in seen:
                seen.add((id(owner), name))
                yield owner, name, value
                yield from _places(value if isinstance(value, (tuple, list)) else (value,), seen)


def _parts(f: Any) -> list[tuple[Any, str, Any]]:
    """Return (owner, name, value) for what a function, a class or the class of an object is made of and refers to.

    It is [] if that is no user code, or keeps its results. Of what a function closes over, only modules and what can
    be called are looked at.
    """
    if hasattr(f, "cache_info"):  # it would keep results that were computed with another constant
        return []
    f = inspect.unwrap(getattr(f, "__func__", f))
    f = f if isinstance(f, (type, types.FunctionType)) else type(f)
    if _is_library(getattr(f, "__module__", None) or ""):
        return []
    if isinstance(f, type):
        return [(f, name, value) for name, value in vars(f).items()]
    names = (f.__qualname__.partition(".")[0], *f.__code__.co_names)  # a method refers to the others of its class
    used: list[tuple[Any, str, Any]] = [(f.__globals__, n, f.__globals__[n]) for n in names if n in f.__globals__]
    closed = closed_over(f)
    modules = [m for m in (*(value for *_, value in used), *closed.values())
               if isinstance(m, types.ModuleType) and not _is_library(m.__name__)]  # fmt: skip
    used += [(m, name, getattr(m, name)) for m in modules for name in f.__code__.co_names if hasattr(m, name)]
    used += [(f, name, value) for name, value in closed.items() if callable(value)]
    used += [(f.__kwdefaults__, name, value) for name, value in (f.__kwdefaults__ or {}).items()]
    return [(f, "__code__", f.__code__), (f, "__defaults__", f.__defaults__), *used]


def _is_library(module: str) -> bool:
    """Tell whether a module is no code of the user, but of Python or of an installed package."""
    root = module.partition(".")[0]
    return root in LIBRARIES or "-packages" in (getattr(sys.modules.get(root), "__file__", None) or "")
