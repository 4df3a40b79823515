"""Find the lines of a function that can be the cause of a wrong result, by the names that they read and assign."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ..conventions.signatures import names_for_gradient
from .program import Program
from .reading import Source, read_source

LOSSES = ("loss", "cost", "total_loss", "j")  # names of a value that is returned beside its gradients
BOTH = 0.2  # added cost of a line that right results depend on as well, so that it is tried later


def influencing(program: Program, wrong: Collection[int], names: Sequence[str]) -> dict[ast.stmt, float]:
    """Return the statements that may cause a wrong result, each with the cost that is added to its edits.

    `names` are the inputs that the results belong to, as ``W`` for ``dW``.
    """
    source = program.source
    blamed = _statements_behind(source, [i for i in range(len(names)) if i in wrong], names)
    cleared = _statements_behind(source, [i for i in range(len(names)) if i not in wrong], names)
    costs = {stmt: BOTH * (stmt in cleared and not isinstance(stmt, ast.Return)) for stmt in blamed}
    called = {n.id for stmt in blamed for n in _own_nodes(stmt) if isinstance(n, ast.Name)}
    passes_on = len(source.statements) == 1 and bool(source.helpers)  # as ``lambda *xs: backward(*xs)``
    if passes_on:
        costs = dict.fromkeys(costs, 0.3)
    _add_helpers(source, called, costs, 0.0 if passes_on else 0.3)
    return costs


def line_of_result(backward: Any, result_index: int, names: Sequence[str]) -> tuple[int, str] | None:
    """Return the line, and its text, that assigns a result of a function, with those that change it later.

    None if it is not clear. Arrays of zeros to which a loop adds are left out.

    Args:
        backward: a function whose source can be read.
        result_index: the index of the result in `names`.
        names: the inputs that the results belong to: ``W`` for ``dW``.
    """
    source = read_source(backward)
    parts = _result_expressions(source, names) if source is not None else None
    if source is None or parts is None or parts[result_index] is None:
        return None
    place, result = parts[result_index]  # type: ignore[misc]
    if isinstance(result, ast.Name):
        stores = [
            stmt for stmt in source.all_statements if result.id in names_of(stmt)[0] and not isinstance(stmt, ast.For)
        ]
        whole = [k for k, stmt in enumerate(stores) if isinstance(stmt, ast.Assign)
                 and isinstance(stmt.targets[0], ast.Name) and "zeros" not in source.words(stmt)]  # fmt: skip
        place, *later = stores[(whole or [-1])[-1] :] or [place]
        text = "".join(f"; then line {stmt.lineno}: {source.words(stmt)}" for stmt in later)
        return place.lineno, source.words(place) + text
    return place.lineno, source.words(place)


def line_of_all(backward: Any, result_indices: Sequence[int], names: Sequence[str]) -> tuple[int, str] | None:
    """Return the last line, and its text, that some results depend on and no other result; None if none."""
    source = read_source(backward)
    if source is None or _result_expressions(source, names) is None:
        return None
    behind_each = [_statements_behind(source, [i], names) for i in range(len(names))]
    common = set.intersection(*(behind_each[i] for i in result_indices))
    common -= set().union(*(behind_each[i] for i in range(len(names)) if i not in result_indices))
    common -= {stmt for stmt in common if not isinstance(stmt, (ast.Assign, ast.AugAssign, ast.Expr))}
    lines = [stmt for stmt in source.all_statements if stmt in common]
    return (lines[-1].lineno, source.words(lines[-1])) if lines else None


def _result_expressions(source: Source, names: Sequence[str]) -> list[tuple[ast.stmt, ast.expr] | None] | None:
    """Return the statement and expression that give each result, found by order or name; None if not clear."""
    all_statements = source.all_statements
    returns = [stmt for stmt in all_statements if isinstance(stmt, ast.Return) and stmt.value is not None]
    if len(returns) != 1:
        return None
    value: Any = returns[0].value
    parts = list(_result_parts(value, "", returns[0], all_statements))
    parts = [part for part in parts if part[0].lower() not in LOSSES]  # return loss, grads
    if len(parts) == len(names) and all(isinstance(stmt, ast.Return) for _, stmt, _ in parts) and not isinstance(
            value, ast.Dict):  # fmt: skip
        return [(stmt, part) for _, stmt, part in parts]
    expressions: list[tuple[ast.stmt, ast.expr] | None] = [None] * len(names)
    for i, name in enumerate(names):
        last = name.rpartition("[")[2].strip("]'\"")
        expressions[i] = next(((stmt, part) for key, stmt, part in parts if last in names_for_gradient(key)), None)
    return expressions if any(expressions) else None


def _result_parts(
    value: Any, key: str, place: ast.stmt, all_statements: list[ast.stmt]
) -> Iterator[tuple[str, ast.stmt, Any]]:
    """Yield the name, statement and expression of each part of a returned value."""
    if isinstance(value, (ast.Tuple, ast.List)):
        for part in value.elts:
            yield from _result_parts(part, key, place, all_statements)
        return
    if isinstance(value, ast.Dict):
        for k, part in zip(value.keys, value.values, strict=True):
            yield from _result_parts(part, str(getattr(k, "value", "")), place, all_statements)
        return
    if isinstance(value, ast.Name) and not key:
        assignments = [stmt for stmt in all_statements if isinstance(stmt, ast.Assign) and len(stmt.targets) == 1]
        dict_assignments = [
            stmt
            for stmt in assignments
            if isinstance(stmt.targets[0], ast.Name)
            and stmt.targets[0].id == value.id
            and isinstance(stmt.value, ast.Dict)
        ]
        for stmt in all_statements[::-1] if dict_assignments else ():
            target: Any = getattr(stmt, "target", None) or next(iter(getattr(stmt, "targets", ())), None)
            if isinstance(target, ast.Subscript) and ast.unparse(target.value) == value.id:
                yield str(getattr(target.slice, "value", "")), stmt, stmt.value  # type: ignore[attr-defined]
        if dict_assignments:
            yield from _result_parts(dict_assignments[-1].value, "", dict_assignments[-1], all_statements)
            return
    yield key or (value.id if isinstance(value, ast.Name) else ""), place, value


def _add_helpers(source: Source, called: set[str], costs: dict[ast.stmt, float], cost: float) -> None:
    """Add the statements of the helpers that are called; those that helpers call cost more."""
    for name, helper in source.helpers.items():
        if name in called:
            costs.update(dict.fromkeys(helper.all_statements, cost))
            _add_helpers(helper, {n.id for n in ast.walk(helper.tree) if isinstance(n, ast.Name)}, costs, 0.3)


def _statements_behind(source: Source, result_indices: list[int], names: Sequence[str]) -> set[ast.stmt]:
    """Return the statements that the results in `result_indices` depend on, by the names that they read and assign.

    A function that returns nothing leaves its results in attributes; then any statement may be one of these.
    """
    all_statements = source.all_statements
    if result_indices and not any(isinstance(stmt, ast.Return) and stmt.value is not None for stmt in all_statements):
        return set(all_statements)
    placed = _result_expressions(source, names)
    parts: list[Any] = [stmt.value for stmt in all_statements if result_indices and isinstance(stmt, ast.Return)]
    if placed is not None and all(placed[i] is not None for i in result_indices):
        parts = [placed[i][1] for i in result_indices]  # type: ignore[index]
    needed = {n.id for part in parts if part is not None for n in ast.walk(part) if isinstance(n, ast.Name)}
    found_statements: set[ast.stmt] = set()
    edges = [(stmt, *names_of(stmt)) for stmt in all_statements]
    has_grown = True
    while has_grown:
        has_grown = False
        for stmt, stores, loads in edges:
            if stmt not in found_statements and (
                stores & needed or (isinstance(stmt, (ast.If, ast.While)) and found_statements)
            ):
                found_statements.add(stmt)
                needed |= loads
                has_grown = True
    found_statements |= {stmt for stmt in all_statements if isinstance(stmt, ast.Return)} if result_indices else set()
    return found_statements


def _own_nodes(stmt: ast.stmt) -> list[ast.AST]:
    """Return the syntax nodes of a statement without those of the statements nested in it."""
    nodes: list[ast.AST] = []
    waiting: list[ast.AST] = [stmt]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]
    return nodes


def names_of(stmt: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the names that a statement assigns or writes into, and the names that it reads."""
    if isinstance(stmt, ast.FunctionDef):
        return {stmt.name}, {n.id for n in ast.walk(stmt) if isinstance(n, ast.Name)}
    stores: set[str] = set()
    loads: set[str] = set()
    for node in _own_nodes(stmt):
        if isinstance(node, ast.Name):
            (loads if isinstance(node.ctx, ast.Load) else stores).add(node.id)
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            stores |= _bases(node)
        elif isinstance(node, ast.Call) and isinstance(stmt, ast.Expr):
            stores |= {n.id for a in (node.func, *node.args) for n in ast.walk(a) if isinstance(n, ast.Name)}
    if isinstance(stmt, ast.AugAssign):
        loads |= stores
    return stores, loads


def _bases(node: Any) -> set[str]:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
