"""Search the smallest edit of one line, after which the name that it assigns holds the right value."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..budget import Budget
from .candidates import CandidateWriter
from .program import Program, run_statement
from .reading import TICK, Source, is_tick, mark_ticks, read_source
from .running import Stopped, Ticker, copy_names, tracing_calls, without_output
from .scope import Scope, fields_used
from .search import Call, Edit, arguments_of, describe_changes, numpy_name, slices_of
from .statement import statement_changes
from .trees import statements

Array = np.ndarray[Any, Any]

CLOSE = 1e-7  # allowed difference, relative to the largest entry; both are float64, summed in different order
SECONDS = 0.7  # rough limit of processor time
BESIDE = 0.31  # as in `search`


def edit_of_step(
    backward: Callable[..., Any], call: Call, name: str, lineno: int, wanted: Sequence[Array | None], *,
    visit: int = -1, values: Callable[[int], Mapping[str, Any]] | None = None, seconds: float = SECONDS,
) -> Edit | None:  # fmt: skip
    """Return the smallest edit of one line of a backward after which a name holds the right value, or None.

    Only this line runs again, with the names as they were before it in the user's own run. So the edit makes the step
    right by its own rule, whatever is wrong before or after it.

    Args:
        backward: the user's function; the line may also be in a helper function that it calls.
        call: ``call(f, probe)`` calls f with the arguments of batch `probe`, as the backward is called.
        name: what the line assigns: ``dvar``, also ``grads["W"]`` or ``self.dW``.
        lineno: the first line of the statement in its file.
        wanted: for each batch, from 0, the right value of the name after the line; None leaves the batch out.
        visit: the run of the line, counted from 0, if it runs more than once; -1 is the last.
        values: for a batch, names and arrays that are not in scope but could be (of the forward pass).
        seconds: approximate limit of processor time.

    Returns:
        An `Edit`, whose `sentence` is ready to be shown.

    Example:
        >>> import numpy as np
        >>> def backward(x, dout):
        ...     dx = dout * x
        ...     return dx
        >>> x = [np.arange(3.0), np.arange(4.0)]
        >>> edit_of_step(backward, lambda f, probe: f(x[probe], np.ones_like(x[probe])), "dx",
        ...              backward.__code__.co_firstlineno + 1, [2 * x[0], 2 * x[1]]).after
        'dx = 2 * (dout * x)'
    """
    try:
        source = read_source(backward)
        if source is None:
            return None
        with without_output(), Budget(seconds) as budget:
            return _search(source, backward, call, name, lineno, wanted, visit, values or (lambda probe: {}), budget)
    except (Exception, Stopped):  # user code may raise anything when a line of it runs by itself
        return None


def _search(
    source: Source, backward: Any, call: Call, label: str, lineno: int, wanted: Sequence[Array | None], visit: int,
    values: Callable[[int], Mapping[str, Any]], budget: Budget,
) -> Edit | None:  # fmt: skip
    owner, place = _statement(source, lineno)
    ticker = Ticker()
    batches: list[tuple[dict[str, Any], dict[str, Any], Array]] = []
    for probe, right in enumerate(wanted):
        if right is None:
            continue
        args, named = arguments_of(source, lambda f, _, probe=probe: call(f, probe))  # type: ignore[misc]
        program = Program(source, args, named, values(probe))
        env = _names_before(program, owner, place, visit)
        ticker.limit = max(ticker.limit if batches else 0, program.ticker.limit)
        outside = program.outside() if owner is source else dict(owner.function.__globals__)
        space = {"__builtins__": builtins, **outside, **values(probe), **env, TICK: ticker}
        batches.append((space, env, np.asarray(right)))
    first, local, _ = batches[0]
    used, fields = fields_used(owner.tree)
    scope = Scope(first, local, {n: v for n, v in values(0).items() if n not in local})
    scope.find_atoms(used, fields)
    code = _read(label)
    kept = [_read(other) for other in _others(place, label)]  # what the line assigns besides keeps its value
    stays = [[_after(place, env, other, ticker) for other in kept] for env, _, _ in batches]
    holder, field, index = next(s[1:] for s in statements(owner.tree.body) if s[0] is place)
    if isinstance(holder, ast.Module):
        holder, field, index = owner.tree, "body", owner.tree.body.index(place)
    writer = CandidateWriter(place, scope, numpy_name(owner), slices_of(owner))
    changes = [*writer.changes(), *statement_changes(writer, holder, field, index)]
    good: list[Any] = []
    for change in sorted(changes, key=lambda c: c.cost):
        if budget.over or (good and change.cost > good[0][0] + BESIDE) or len(good) > 8:
            break
        old = change.swap(change.new)
        try:
            stmt = getattr(holder, field)[index]
            if all(_holds(stmt, env, code, right, ticker) for env, _, right in batches) and all(
                    found is None or _holds(stmt, env, other, found, ticker)
                    for (env, _, _), before in zip(batches, stays, strict=True)
                    for other, found in zip(kept, before, strict=True)):  # fmt: skip
                good.append((change.cost, owner, change, frozenset({0})))
        finally:
            change.swap(old)
    return describe_changes(good, source) if good else None


def _read(text: str) -> Any:
    """Return the code that reads a name, or an item or attribute of one."""
    return compile(ast.fix_missing_locations(ast.parse(text, mode="eval")), "<label>", "eval")


def _others(place: ast.stmt, label: str) -> list[str]:
    """Return what a line assigns besides `label`, as in ``dx, dw = ...``."""
    targets = [part for t in getattr(place, "targets", ()) if isinstance(t, (ast.Tuple, ast.List)) for part in t.elts]
    return [text for text in map(ast.unparse, targets) if text != ast.unparse(ast.parse(label))]


def _after(place: ast.stmt, env: dict[str, Any], code: Any, ticker: Ticker) -> Array | None:
    """Return what an expression holds after a line ran in a copy of `env`; None if that is no array of numbers."""
    try:
        space = copy_names(env)
        ticker.start()
        run_statement(place, space)
        found = np.asarray(eval(code, space))
    except (Exception, Stopped):
        return None
    return found if found.dtype.kind in "fciu" else None


def _holds(stmt: ast.stmt, env: dict[str, Any], code: Any, right: Array, ticker: Ticker) -> bool:
    """Tell whether the expression `code` has the value `right` after a statement ran in a copy of `env`."""
    found = _after(stmt, env, code, ticker)
    if found is None or found.shape != right.shape:
        return False
    size = max(float(np.abs(right).max(initial=0)), 1e-300)
    return bool((np.abs(found - right) <= CLOSE * size).all())


def _statement(source: Source, lineno: int) -> tuple[Source, ast.stmt]:
    """Return the function and its innermost statement that begins at a line; raise LookupError if there is none."""
    found = [stmt for stmt, *_ in statements(source.statements) if stmt.lineno == lineno and not is_tick(stmt)]
    if found:
        return source, found[-1]
    for helper in source.helpers.values():
        try:
            return _statement(helper, lineno)
        except LookupError:
            continue
    raise LookupError(f"no statement begins at line {lineno}")


def _names_before(program: Program, owner: Source, place: ast.stmt, visit: int) -> dict[str, Any]:
    """Return copies of the local names before the line's run with number `visit`."""
    seen: list[dict[str, Any]] = []
    lines = range(place.lineno, (place.end_lineno or place.lineno) + 1)
    inside = [False]

    def line(frame: Any, event: str, arg: Any) -> Any:
        if event == "line":
            here = frame.f_lineno in lines
            if here and (not inside[0] or frame.f_lineno == place.lineno):
                seen.append(copy_names(frame.f_locals))
                del seen[: -1 if visit < 0 else 0]
            inside[0] = here
        return line

    with tracing_calls(lambda frame, event, arg: line if frame.f_code.co_filename == mark_ticks(owner) else None):
        program.whole()
    return seen[visit if visit < 0 or visit < len(seen) else -1]
