"""Which lines of a function can be to blame for which of its results."""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Any

from .program import Program
from .reading import Source, is_tick, read
from .trees import statements

BOTH = 0.2  # a line that right results come from as well is looked at later


def influencing(program: Program, wrong: Collection[int], count: int) -> dict[ast.stmt, float]:
    """Return the statements from which a wrong result may come, and how far each is suspected less than others."""
    source = program.source
    blamed = _of_results(source, [i for i in range(count) if i in wrong], count)
    cleared = _of_results(source, [i for i in range(count) if i not in wrong], count)
    found = {stmt: BOTH * (stmt in cleared and not isinstance(stmt, ast.Return)) for stmt in blamed}
    called = {n.id for stmt in blamed for n in _own_nodes(stmt) if isinstance(n, ast.Name)}
    _add_helpers(source, called, found)
    return found


def line_of_result(backward: Any, which: int, count: int) -> tuple[int, str] | None:
    """Return the line, and its text, that assigns one of the results of a function last; None where that is not seen.

    Args:
        backward: a function whose source can be read.
        which, count: the place of the result among so many that are returned.
    """
    source = read(backward)
    every = [] if source is None else [stmt for stmt, *_ in statements(source.statements) if not is_tick(stmt)]
    returns = [stmt for stmt in every if isinstance(stmt, ast.Return) and stmt.value is not None]
    if source is None or len(returns) != 1:
        return None
    value: Any = returns[0].value
    row = value.elts if isinstance(value, (ast.Tuple, ast.List)) else value.values if isinstance(
        value, ast.Dict) else [value]  # fmt: skip
    if len(row) != count:
        return None
    place: ast.stmt = returns[0]
    result: Any = row[which]
    if isinstance(result, ast.Name):
        stores = [stmt for stmt in every if result.id in _names(stmt)[0] and not isinstance(stmt, ast.For)]
        place = stores[-1] if stores else place
    return place.lineno, source.words(place)


def _add_helpers(source: Source, called: set[str], found: dict[ast.stmt, float]) -> None:
    for name, helper in source.helpers.items():
        if name in called:
            for stmt, *_ in statements(helper.statements):
                if not is_tick(stmt):
                    found[stmt] = 0.3
            _add_helpers(helper, {n.id for n in ast.walk(helper.tree) if isinstance(n, ast.Name)}, found)


def _of_results(source: Source, which: list[int], count: int) -> set[ast.stmt]:
    """Return the statements from which some of the results come, by the names that they read and assign."""
    every = [stmt for stmt, *_ in statements(source.statements) if not is_tick(stmt)]
    parts: list[Any] = []
    for stmt in every:
        if isinstance(stmt, ast.Return) and stmt.value is not None:
            value: Any = stmt.value
            row = value.elts if isinstance(value, (ast.Tuple, ast.List)) else value.values if isinstance(
                value, ast.Dict) else [value]  # fmt: skip
            parts += [row[i] for i in which] if len(row) == count else row if which else []
    needed = {n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)}
    found: set[ast.stmt] = set()
    edges = [(stmt, *_names(stmt)) for stmt in every]
    grown = True
    while grown:
        grown = False
        for stmt, stores, loads in edges:
            if stmt not in found and (stores & needed or (isinstance(stmt, (ast.If, ast.While)) and found)):
                found.add(stmt)
                needed |= loads
                grown = True
    found |= {stmt for stmt in every if isinstance(stmt, ast.Return)} if which else set()
    return found


def _own_nodes(stmt: ast.stmt) -> list[ast.AST]:
    """Return the nodes of a statement without those of the statements in it."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [stmt]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]
    return found


def _names(stmt: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the names that a statement assigns or writes into, and those that it reads."""
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
