"""Run the user's function in pieces, so that after an edit only the edited statement and what follows it run again."""

from __future__ import annotations

import ast
import builtins
import types
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from .edited_code import EditedCode, compile_statement
from .reading import Source, alike, compile_tree, define, mark_ticks, names_in, referenced
from .running import Ticker, copy_names, copy_value, names_by_line
from .scope import Scope, fields_used
from .trees import TICK, Change, is_tick

UNCHANGED = object()
WRITERS = ("pop", "fill", "sort", "setdefault", "send", "partition", "put", "itemset")
FUNCTIONS = 12  # most functions of the module that are offered in place of those that are called
ROUNDS = 10  # an edited function may run this many times as many loop rounds as the user's own


class Program:
    """A function with the arguments of one call.

    It keeps the names as they were before each top-level statement. An edited statement is run by itself and the rest
    of the function as one compiled piece, so that thousands of edits cost little more than the statement itself.
    """

    def __init__(self, source: Source, args: tuple[Any, ...], named: dict[str, Any], extra: Mapping[str, Any]) -> None:
        """Run the function once, statement by statement; `extra` has further names that edits may use."""
        self.source, self.args, self.named, self.extra = source, args, named, extra
        self.ticker = Ticker()
        self.edited: Source | None = None  # the only source whose tree may have an edit; None: any may have one
        self.edited_code = EditedCode()
        self.codes: dict[int, types.CodeType] = {}  # of unedited trees, by the identity of their source
        # what the unedited trees take from outside, by the identity of their source; an edit uses no other names
        self.taken: dict[int, tuple[dict[str, Any], list[tuple[str, Any]]]] = {}
        self.returns = [_returns(stmt) for stmt in source.statements]
        self.writes = any(_writes(stmt) for stmt in (*source.statements, *(t.tree for t in source.helpers.values())))
        self.tails: dict[int, tuple[types.CodeType, list[str]]] = {}
        self.seen_values: dict[int, set[Any]] = {}
        self.newest: tuple[int, Any] | None = None
        self.scopes: dict[tuple[str, int], Scope] = {}
        self.used, self.fields = fields_used(source.tree)
        self.offered = dict(islice(alike(source), FUNCTIONS))  # run on copies of what they use, as helpers do
        self.before: list[dict[str, Any]] = []
        self.lines = names_by_line(self.run_all)
        self.ticker.limit = ROUNDS * self.ticker.count + 1000
        self._step()

    def outside(self, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the names that the function sees from its closure and module, with arrays and containers copied."""
        env: dict[str, Any] = {"__builtins__": builtins, TICK: self.ticker}
        memo: dict[int, Any] = {}
        for name, value in (self.extra if extra is None else extra).items():
            env[name] = copy_value(value, memo)
        env.update(self._copies(self.source, memo))
        for name, helper in (*self.offered.items(), *self.source.helpers.items()):
            env[name] = self._helper(helper)
        return env

    def _helper(self, helper: Source) -> Any:
        env = {"__builtins__": builtins, TICK: self.ticker, **self._copies(helper, {})}
        for name, inner in helper.helpers.items():
            env[name] = self._helper(inner)
        return define(helper, self._code(helper), env)

    def _code(self, source: Source) -> types.CodeType:
        """Return the code of a source, which is compiled again only if it may have an edit."""
        if self.edited is None or self.edited is source:
            return compile_tree(source)
        if id(source) not in self.codes:
            self.codes[id(source)] = compile_tree(source)
        return self.codes[id(source)]

    def _copies(self, source: Source, memo: dict[int, Any]) -> dict[str, Any]:
        """Return the names that a source takes from outside, with copies of their values, and the names of NumPy."""
        if id(source) not in self.taken:
            self.taken[id(source)] = source.numpy, list(referenced(names_in(source.tree), source.function))
        numpy, outside = self.taken[id(source)]
        return {**numpy, **{name: copy_value(value, memo) for name, value in outside}}

    def function(self, extra: Mapping[str, Any] | None = None) -> Any:
        """Return the function compiled from the present tree, wrapped so that it is called like the user's own."""
        self.ticker.start()
        return self.source.wrap(define(self.source, self._code(self.source), self.outside(extra)))

    def run_all(self) -> Any:
        """Run the whole function, compiled from the present tree, on copies of the arguments."""
        memo: dict[int, Any] = {}
        args, named = copy_value(self.args, memo), copy_value(self.named, memo)
        self.ticker.start()
        return define(self.source, self._code(self.source), self.outside())(*args, **named)

    def _step(self) -> None:
        function = define(self.source, self._code(self.source), self.outside())
        bound = function.__signature__.bind(*self.args, **self.named)  # type: ignore[attr-defined]
        bound.apply_defaults()
        env = copy_names({**self.outside(), **bound.arguments})
        for k, stmt in enumerate(self.source.statements):
            self.before.append(copy_names(env))
            if self.returns[k]:
                break
            exec(compile_statement(stmt), env)

    def units(self) -> Iterator[tuple[int | None, Source, ast.stmt, Any, str, int]]:
        """Yield (index of its top-level statement, None in a helper; source; statement; parent; field; index there)."""
        last = len(self.before) - 1
        for k, top in enumerate(self.source.statements):
            for unit in self.source.placed([top]):
                yield min(k, last), self.source, *unit
        yield from _helper_statements(self.source)

    def run(self, k: int | None, writes: bool, change: Change | None = None) -> Any:
        """Run the function from its top-level statement k on, by the present tree.

        `writes` tells that the statement may write into an array; `change` is the edit of it, if only one was made.
        Return `UNCHANGED` if that statement gave the same values as an earlier edit, so that the rest need not run.
        """
        if k is None:
            return self.run_all()
        self.ticker.start()
        env = copy_names(self.before[k]) if writes or self.writes else dict(self.before[k])
        stmt = self.source.statements[k]
        if isinstance(stmt, ast.Return) and stmt.value is not None:
            value = eval(compile(ast.Expression(stmt.value), "<changed>", "eval"), env)
            return value if self._is_new(k, value) else UNCHANGED
        if self.returns[k]:
            return self._call(self._compiled(k, env), env)
        self.edited_code.run(stmt, change, env)
        if isinstance(stmt, (ast.Assign, ast.AugAssign)) and not self._is_new(k, [env.get(n) for n in _assigned(stmt)]):
            return UNCHANGED
        if k + 1 not in self.tails:
            self.tails[k + 1] = self._compiled(k + 1, self.before[k + 1])
        return self._call(self.tails[k + 1], env)

    def _is_new(self, k: int, value: Any) -> bool:
        key = digest(value)
        if key is None:
            return True
        seen_values = self.seen_values.setdefault(k, set())
        if key in seen_values:
            return False
        seen_values.add(key)
        self.newest = k, key
        return True

    def forget(self) -> None:
        """Forget the values that the newest edit gave, so that another edit with the same values is tried as well."""
        if self.newest is not None:
            self.seen_values[self.newest[0]].discard(self.newest[1])

    def _compiled(self, k: int, env: Mapping[str, Any]) -> tuple[types.CodeType, list[str]]:
        """Compile the statements from k on into a function, whose parameters are the known names that they assign."""
        body = self.source.statements[k:]
        names = sorted(assigned_names(body) & set(env))
        arguments = ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, [])
        tail: Any = ast.FunctionDef("rest", arguments, body or [ast.Pass()], [])
        tail.type_params = []
        ast.copy_location(tail, self.source.tree)
        space: dict[str, Any] = {}
        exec(compile(ast.fix_missing_locations(ast.Module([tail], [])), mark_ticks(self.source), "exec"), space)
        return space["rest"].__code__, names

    @staticmethod
    def _call(tail: tuple[types.CodeType, list[str]], env: dict[str, Any]) -> Any:
        code, names = tail
        return types.FunctionType(code, env)(*[env[n] for n in names])

    def scope(self, source: Source, stmt: ast.stmt) -> Scope:
        """Return the `Scope` of a statement: the names that it can see and their values."""
        last = getattr(stmt, "end_lineno", None) or stmt.lineno
        if isinstance(getattr(stmt, "body", None), list):
            last = stmt.body[0].lineno  # type: ignore[attr-defined]
        local: dict[str, Any] = {}
        for line in range(stmt.lineno, last + 1):
            if (mark_ticks(source), line) in self.lines:
                local = self.lines[mark_ticks(source), line]
                break
        key = mark_ticks(source), stmt.lineno
        if key not in self.scopes:
            used, fields = (self.used, self.fields) if source is self.source else fields_used(source.tree)
            outside = self.outside() if source is self.source else self._copies(source, {})
            extra = self.extra if source is self.source else {}
            unseen = {n: v for n, v in extra.items() if n not in local}
            scope = Scope({"__builtins__": builtins, **outside}, local, unseen)
            scope.find_atoms(used, fields)
            self.scopes[key] = scope
        return self.scopes[key]


def _helper_statements(source: Source) -> Iterator[tuple[None, Source, ast.stmt, Any, str, int]]:
    for helper in source.helpers.values():
        for unit in helper.placed(helper.statements):
            yield None, helper, *unit
        yield from _helper_statements(helper)


def _returns(stmt: ast.AST) -> bool:
    """Tell whether a statement may return from the function."""
    if isinstance(stmt, ast.Return):
        return True
    return not isinstance(stmt, (ast.FunctionDef, ast.Lambda, ast.ClassDef)) and any(
        _returns(child) for child in ast.iter_child_nodes(stmt))  # fmt: skip


def _writes(tree: ast.AST) -> bool:
    """Tell whether code may write into an array or a container."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.AugAssign, ast.Delete)) or (isinstance(node, ast.Expr) and not is_tick(node)):
            return True
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            return True
        if isinstance(node, ast.Call) and (
                any(k.arg == "out" for k in node.keywords)
                or (isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS)):  # fmt: skip
            return True
    return False


def assigned_names(body: list[ast.stmt]) -> set[str]:
    """Return the names that the statements of a body assign."""
    found = set()
    for stmt in body:
        for node in ast.walk(stmt):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                found.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
    return found


def _assigned(stmt: ast.Assign | ast.AugAssign) -> list[str]:
    """Return the names that an assignment binds or writes into."""
    targets = stmt.targets if isinstance(stmt, ast.Assign) else [stmt.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def digest(value: Any) -> Any:
    """Return a hashable key that is equal for equal numbers; None if the value holds anything but numbers."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fciub":
        return value.dtype.str, value.shape, hash(value.tobytes())
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (list, tuple)):
        parts = [digest(part) for part in value]
        return None if any(part is None for part in parts) else tuple(parts)
    if isinstance(value, dict):
        parts = [(str(key), digest(part)) for key, part in dict.items(value)]
        return None if any(part[1] is None for part in parts) else tuple(parts)
    return None
