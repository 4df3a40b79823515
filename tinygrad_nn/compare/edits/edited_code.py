"""Compile statements of an edited function, so that an edit compiles only the statement in which it is."""

from __future__ import annotations

import ast
import types
from typing import Any

from .trees import Change, call, name, statements, with_location

INNER = "__inner__"  # the name of the code of an edited statement, which the statement around it runs
RETURNED = "__returned__"  # the name that holds the result of a function while its return statement runs alone


def compile_statement(stmt: ast.stmt) -> types.CodeType:
    """Compile a statement alone; the value of a return is bound to `RETURNED`."""
    if isinstance(stmt, ast.Return) and stmt.value is not None:
        stmt = ast.copy_location(ast.Assign([ast.Name(RETURNED, ast.Store())], stmt.value), stmt)
        ast.fix_missing_locations(stmt)
    return compile(ast.Module([stmt], []), "<changed>", "exec")


class EditedCode:
    """The code of statements with an edit in them, of which the unedited part is compiled once.

    A loop of twenty lines takes twenty times as long to compile as the one line of it that an edit changes.
    """

    def __init__(self) -> None:
        self.around: dict[tuple[int, int], types.CodeType | None] = {}

    def run(self, outer: ast.stmt, change: Change | None, env: dict[str, Any]) -> None:
        """Run a statement in a namespace; `change` is the edit that was made in it, if only one was."""
        inner = outer if change is None else change.statement
        if change is not None and inner is not outer:
            key = id(outer), id(change.place)
            if key not in self.around:
                self.around[key] = _code_around(outer, inner)
            around = self.around[key]
            if around is not None:
                env[INNER] = compile_statement(inner)
                exec(around, env)
                return
        exec(compile_statement(outer), env)


def _code_around(outer: ast.stmt, inner: ast.stmt) -> types.CodeType | None:
    """Compile a statement that runs the code in the name `INNER` in place of a statement inside it.

    None if the inner one cannot run alone: it leaves a loop, or it has the local names of a nested function.
    """
    if any(isinstance(n, (ast.Break, ast.Continue)) for n in ast.walk(inner)) or any(
            isinstance(n, ast.FunctionDef) for n in ast.walk(outer)):  # fmt: skip
        return None
    parent, field, index = next(place for stmt, *place in statements([outer]) if stmt is inner)
    body = getattr(parent, field)
    body[index] = with_location(ast.Expr(call(name("exec"), name(INNER))), inner)
    try:
        return compile(ast.Module([outer], []), "<changed>", "exec")
    finally:
        body[index] = inner
