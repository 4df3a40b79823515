"""The IPython extension, loaded by ``%load_ext tinygrad_nn``: the cell magic ``%%explore``."""

from __future__ import annotations

import ast
import shlex
from typing import Any

from ...common.printable import printable
from ...common.tracebacks import install
from ..explanation import explain_error
from ..explorer.explore import explore
from ..model.variables import own_variables

USAGE = (
    "%%explore belongs on the first line of a cell and shows the computation of its last expression; a title in quotes "
    "may follow it: %%explore 'one step'."
)


def load_magic(shell: Any) -> None:
    """Install the cell magic, short tracebacks and (if the name is free) `explain_error` in an IPython shell."""
    shell.register_magic_function(lambda line, cell=None: explore_cell(shell, line, cell), "line_cell", "explore")
    shell.user_ns.setdefault("explain_error", explain_error)
    install()


def explore_cell(shell: Any, line: str, cell: str | None) -> Any:
    """Run a cell and return the explorer page of its last expression, or of the names that its last line assigns.

    Args:
        shell: the IPython shell.
        line: the text after the magic: an optional title.
        cell: the code of the cell.

    Raises:
        ValueError: the cell has no such expression, or the line is not a single title.
    """
    words = shlex.split(line)
    if cell is None or not cell.strip() or len(words) > 1:
        raise ValueError(USAGE)
    code = shell.transform_cell(cell)
    name = shell.compile.cache(code, len(shell.user_ns.get("In", [0])) - 1)  # so that errors show the line of the cell
    body = ast.parse(code, name).body
    value = _last_result(body)
    if value is None:
        raise ValueError(
            "%%explore: this cell ends without an expression; write the result on its last line, e.g. loss."
        )
    if isinstance(body[-1], ast.Expr):
        body = body[:-1]
    space = shell.user_ns
    exec(compile(ast.Module(body, []), name, "exec"), space)
    result = eval(compile(ast.Expression(value), name, "eval"), space)
    title = words[0] if words else f"{printable(ast.unparse(value))}"
    return explore(result, title=title, names=own_variables(space))


def _last_result(body: list[ast.stmt]) -> ast.expr | None:
    """Return the last expression of a cell, or the names that its last line assigns; ``None`` if neither exists."""
    last = body[-1] if body else None
    if isinstance(last, ast.Expr):
        return last.value
    if isinstance(last, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        target = last.targets[-1] if isinstance(last, ast.Assign) else last.target
        names = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
        if all(isinstance(name, ast.Name) for name in names):
            return ast.parse(ast.unparse(target), mode="eval").body
    return None
