"""Read names from signatures and return statements: parameters, results, and what a gradient's name belongs to."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

CACHES = ("cache", "caches", "ctx", "context", "saved", "residuals", "residual", "res", "memory", "tape", "store",
          "stash", "intermediates", "aux", "saved_values", "saved_tensors", "linear_cache")  # fmt: skip


def parameters(f: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function without ``*args`` and ``**kwargs``; [] if it has no signature."""
    try:
        found_parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p for p in found_parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def is_cache(name: str) -> bool:
    """Tell whether a parameter is named as a cache, which a forward keeps for its backward."""
    return name.lower() in CACHES or name.lower().endswith(("_cache", "_caches"))


def returned_names(f: Callable[..., Any], count: int, part: int | None = None) -> list[str]:
    """Return the names in the last ``return a, b, c[0]`` with `count` parts; "" for each name that is not known.

    For ``return g(x)`` they are those that ``g`` returns; with `part` those of that part of ``return loss, g(x)``.
    """
    names = [""] * count
    f = inspect.unwrap(f)
    code = getattr(f, "__code__", None)
    for node in _returns(code):
        value = node.value
        if part is not None:
            value = value.elts[part] if isinstance(value, ast.Tuple) and -1 < part < len(value.elts) else None
        names = _names(value, f, code, count) or names
    return names


@lru_cache(maxsize=64)
def source_tree(code: Any) -> ast.AST:
    """Return the syntax tree of a code object, with the line numbers of its file; an empty one without a source."""
    try:
        lines, first = inspect.getsourcelines(code)
        return ast.increment_lineno(ast.parse(textwrap.dedent("".join(lines))), max(first, 1) - 1)
    except (OSError, TypeError, SyntaxError, ValueError):
        return ast.Module([], [])


@lru_cache(maxsize=64)
def _assigned(code: Any) -> dict[str, ast.expr]:
    """Return the last expression, other than a name, that a code object assigns to each of its names."""
    assignments = [n for n in ast.walk(source_tree(code)) if isinstance(n, ast.Assign)]
    return {n.targets[0].id: n.value for n in assignments
            if isinstance(n.targets[0], ast.Name) and not isinstance(n.value, ast.Name)}  # fmt: skip


def _names(value: ast.expr | None, f: Any, code: Any, count: int) -> list[str]:
    """Return the names of the parts of an expression; [] if it has not `count` parts whose names are known."""
    if isinstance(value, ast.Name) and count > 1:
        value = _assigned(code).get(value.id, value)
    if isinstance(value, ast.Call) and count > 1:
        called = _global_function(value.func, getattr(f, "__globals__", {}))
        return [] if called in (None, f) else returned_names(called, count)
    parts: Sequence[ast.expr] = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value] if value else []
    return [_name(part) for part in parts] if len(parts) == count else []


def _name(part: ast.expr) -> str:
    while isinstance(part, ast.UnaryOp) or (isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div)):
        part = part.operand if isinstance(part, ast.UnaryOp) else part.left  # -dW and dW / m
    if isinstance(part, ast.Subscript):
        name = _name(part.value)
        return "" if is_gradient_name(name) else name  # grads["W"] has a name for each key
    return part.id if isinstance(part, ast.Name) else part.attr if isinstance(part, ast.Attribute) else ""


def _global_function(func: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return the function that ``g`` or ``module.g`` stands for in a module; None if it is not a Python function."""
    owner = _global_function(func.value, names) if isinstance(func, ast.Attribute) else None
    found = names.get(func.id) if isinstance(func, ast.Name) else getattr(owner, getattr(func, "attr", ""), None)
    return found if isinstance(found, (types.FunctionType, types.ModuleType)) else None


@lru_cache(maxsize=64)
def _returns(code: Any) -> list[ast.Return]:
    """Return the return statements of a code object's function, without those of functions inside it."""
    outer = next((n for n in ast.walk(source_tree(code)) if isinstance(n, ast.FunctionDef)), None)
    returns, stack = [], list(outer.body) if outer is not None else []
    while stack:
        node: ast.AST = stack.pop(0)
        if isinstance(node, ast.Return):
            returns.append(node)
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            stack = [*ast.iter_child_nodes(node), *stack]  # type: ignore[list-item]
    return returns


def names_for_gradient(name: str) -> tuple[str, ...]:
    """Return the names that a gradient of this name may belong to: ``dW`` to W, ``grad_b`` and ``b_grad`` to b.

    Example:
        >>> names_for_gradient("dprev_h"), names_for_gradient("W_grad")
        (('prev_h', 'dprev_h'), ('W', 'W_grad'))
    """
    for prefix in ("grad_", "grads_", "d_", "grad", "nabla_", "d"):
        if name.startswith(prefix) and len(name) > len(prefix):
            return name[len(prefix) :], name
    for suffix in ("_grad", "_gradient", ".grad", "_diff", "_bar", "grad"):
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)], name
    return (name,)


def is_gradient_name(name: str) -> bool:
    """Tell whether a name is that of a gradient, such as ``dW``."""
    return len(names_for_gradient(name)) > 1


def instance_of(cls: type) -> Any:
    """Return an instance of a class that was given in place of an object; raise TypeError if it needs arguments."""
    try:
        return cls()
    except TypeError as error:
        raise TypeError(
            f"compare_gradients: {cls.__name__}() needs arguments ({error}). Pass an object instead of the class: "
            f"compare_gradients({cls.__name__}(...), inputs)."
        ) from None


def describe_value(value: Any) -> str:
    """Return a description of a value for error messages: its type, and its shape or length."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "nothing" if value is None else f"a {type(value).__name__}"
