"""Find the statements before a wrong line that it depends on, and run them again with one of them edited.

The mistake need not be in the line that assigns a wrong gradient: it may be in a value without a gradient of its own
(``scaled = ds / 4``), in an earlier statement that wrote into the same array, or in a function that the line calls.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .edited_code import RETURNED, EditedCode, compile_statement
from .influence import names_of
from .moments import Place
from .reading import Source, compile_tree, define, read_source
from .running import Stopped, Ticker, copy_names
from .trees import Change, statements

Array = np.ndarray[Any, Any]
Reader = Callable[[Mapping[str, Any]], Any]
Put = Callable[[dict[str, Any], int], None]

BOUND = "__bound__"  # the name of a value that is put into a user's variable
MOST = 8  # most statements before a line in which its mistake is searched


class Target(NamedTuple):
    """A gradient that an edit may change: the number of its step, and where it is assigned."""

    step: int
    place: Place


class Behind(NamedTuple):
    """What is known of the other gradients of a backward, for edits of lines before a wrong one.

    Attributes:
        step: the number of the wrong step.
        place: where its gradient has its final value.
        others: the other gradients.
        wrong: the numbers of all wrong steps.
        judge: ``judge(probe, values)`` returns which steps are right by their own rules, if these gradients have other
            values.
        same: ``same(probe, values)`` returns of which steps these are the user's gradients.
        forward_code: the functions that the forward runs. They are right by definition.
    """

    step: int
    place: Place
    others: Sequence[Target]
    wrong: Collection[int]
    judge: Callable[[int, Mapping[int, Array]], Collection[int]]
    same: Callable[[int, Mapping[int, Array]], Collection[int]]
    forward_code: Collection[types.CodeType] = ()

    @property
    def target(self) -> Target:
        """The gradient of the wrong step."""
        return Target(self.step, self.place)


class KnownGradient(NamedTuple):
    """A gradient with the user's value of it in a run, and the right one."""

    place: Place
    user_gradient: Array
    right_gradient: Array


class Block(NamedTuple):
    """Statements that follow each other, and the names before the first; `carried` have their values from before."""

    names: Mapping[str, Any]
    body: Sequence[ast.stmt]
    carried: Collection[str] = ()


class Piece:
    """A piece of a function that runs again, and the gradients to be read in it."""

    def __init__(
        self, blocks: Sequence[Block], targets: Sequence[Target], ticker: Ticker,
        helper: Source | None = None, is_loop: bool = False,
    ) -> None:  # fmt: skip
        """`targets` are the gradients to be read, each after the statement of its line.

        `helper` is a function that is compiled from its present tree; `is_loop` tells that the piece is a loop, in
        which an edit changes what comes into later rounds.
        """
        self.is_loop = is_loop
        self.blocks, self.ticker, self.helper = blocks, ticker, helper
        self.reads: dict[int, list[tuple[int, Reader]]] = {}
        for step, place in targets:
            self.reads.setdefault(place.line, []).append((step, reader(place.label)))
        self.stays: dict[int, Array] = {}  # what must keep its value: other values that the edited line assigns
        self.edited_code = EditedCode()
        self.compiled: dict[int, types.CodeType] = {}
        self.base_values: dict[int, Array] | None = None

    def run(self, edited: tuple[ast.stmt | None, Change] | None = None, put: Put | None = None) -> dict[int, Array]:
        """Run the statements in copies of the names.

        `edited` has the statement of the piece in which the tree was changed, None if it is in the helper; and the
        edit.
        ``put(names, line)`` may bind names to other values, after a line, and with line 0 before each block.
        """
        values: dict[int, Array] = {}
        env: dict[str, Any] = {}
        self.ticker.start()
        for block in self.blocks:
            before, env = env, copy_names(block.names)
            env.update({name: before[name] for name in block.carried if name in before})
            if self.helper is not None:
                env[self.helper.tree.name] = define(
                    self.helper, compile_tree(self.helper), dict(self.helper.function.__globals__))
            if put is not None:
                put(env, 0)
            for stmt in block.body:
                if edited is not None and stmt is edited[0]:
                    change = edited[1]
                    self.edited_code.run(change.statement if change.place is stmt else stmt, change, env)
                else:
                    exec(self._code(stmt), env)
                if put is not None:
                    put(env, stmt.lineno)
                for step, read in self.reads.get(stmt.lineno, ()):
                    values[step] = np.asarray(read(env))
        return values

    def base(self) -> dict[int, Array]:
        """Return what the statements give as they are."""
        if self.base_values is None:
            try:
                self.base_values = self.run()
            except (Exception, Stopped):  # a piece of user code may raise anything
                self.base_values = {}
        return self.base_values

    def _code(self, stmt: ast.stmt) -> types.CodeType:
        if id(stmt) not in self.compiled:
            self.compiled[id(stmt)] = compile_statement(stmt)
        return self.compiled[id(stmt)]


class Nest:
    """The bodies of a function around each of its statements."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.around: dict[int, tuple[Any, str]] = {}  # for each statement the node and its field that hold it
        for stmt, holder, field, _ in source.placed(source.tree.body):
            self.around[id(stmt)] = holder, field

    def path(self, stmt: ast.stmt) -> list[tuple[list[ast.stmt], int]]:
        """Return the bodies from the function's own to that of a statement, each with the index of what holds it."""
        found: list[tuple[list[ast.stmt], int]] = []
        node: Any = stmt
        while node is not self.source.tree:
            holder, field = self.around[id(node)]
            body = getattr(holder, field)
            found.append((body, next(k for k, other in enumerate(body) if other is node)))
            node = holder
        return found[::-1]

    def behind(self, end: ast.stmt, judged: Collection[int]) -> list[ast.stmt]:
        """Return the statements that a statement depends on, the nearest first.

        Those of the lines `judged` are judged by themselves, and so is what they depend on.
        """
        needed = set(names_of(end)[1])
        found_statements: list[ast.stmt] = []
        for body, index in reversed(self.path(end)):
            parent = self.around[id(body[index])][0]
            later = body[index + 1 :] if isinstance(parent, (ast.For, ast.While)) else []  # ran in the round before
            for top in (*reversed(body[:index]), *reversed(later)):
                for stmt in reversed([inner for inner, *_ in statements([top])]):
                    stores, loads = names_of(stmt)
                    is_compound = isinstance(getattr(stmt, "body", None), list)
                    if not stores & needed and not (is_compound and any(s in found_statements for s in ast.walk(stmt))):
                        continue
                    rebound = _rebound(stmt) if stmt is top else set()
                    if stmt.lineno in judged:
                        needed -= stores if isinstance(stmt, ast.AugAssign) else rebound
                        continue
                    if not isinstance(stmt, (ast.FunctionDef, ast.ClassDef)):
                        found_statements.append(stmt)
                    needed = (needed - rebound) | loads
        return found_statements[:MOST]

    def blocks(self, start: ast.stmt, end: ast.stmt, last: int) -> list[tuple[list[ast.stmt], set[str]]] | None:
        """Return the statements to run from one to another and, in the same body, to the line `last`; None if unclear.

        They are parted where a loop or a branch begins that holds `end`; each part has the names that keep their
        values from the part before.
        """
        start_path, end_path = self.path(start), self.path(end)
        depth = next((k for k, (a, b) in enumerate(zip(start_path, end_path, strict=False)) if a[1] != b[1]), None)
        if depth is None or start_path[depth][0] is not end_path[depth][0]:
            return None
        if start_path[depth][1] > end_path[depth][1]:  # it ran in the round before
            body, index = end_path[depth]
            tail = body[start_path[depth][1] :]
            is_in_loop = isinstance(self.around[id(end)][0], (ast.For, ast.While))
            carried = {name for stmt in tail for name in _stored(stmt)}
            return [(tail, set()), (body[: index + 1], carried)] if is_in_loop and body is end_path[-1][0] else None
        blocks: list[tuple[list[ast.stmt], set[str]]] = []
        first, carried = start_path[depth][1], set[str]()
        for body, index in end_path[depth:]:
            if body is end_path[-1][0]:
                stop = max((k for k, stmt in enumerate(body) if stmt.lineno <= last), default=index)
                blocks.append((body[first : max(stop, index) + 1], carried))
            else:
                blocks.append((body[first:index], carried))
                carried = {name for stmt in body[first:index] for name in _stored(stmt)} - _stored(body[index])
            first = 0
        return blocks


def _stored(stmt: ast.stmt) -> set[str]:
    return {name for part in ast.walk(stmt) if isinstance(part, ast.stmt) for name in names_of(part)[0]}


def _rebound(stmt: ast.stmt) -> set[str]:
    """Return the names that an assignment binds as a whole, so that what they held before no longer counts."""
    targets = stmt.targets if isinstance(stmt, ast.Assign) else []
    flat = [part for t in targets for part in (t.elts if isinstance(t, (ast.Tuple, ast.List)) else [t])]
    return {part.id for part in flat if isinstance(part, ast.Name)}


def called_helpers(owner: Source, stmt: ast.stmt, forward_code: Collection[types.CodeType]) -> Iterator[Source]:
    """Yield the functions of the user that a statement calls by name, without those in `forward_code`."""
    space = {**owner.function.__globals__}
    for node in ast.walk(stmt):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            value = space.get(node.func.id)
            if (isinstance(value, types.FunctionType) and value.__globals__ is owner.function.__globals__
                    and value.__code__ not in forward_code and value.__name__ == node.func.id):  # fmt: skip
                helper = read_source(value)
                if helper is not None:
                    yield helper


def reader(label: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that reads a gradient in given names by its label; ``dW`` may also be ``self.dW``."""
    tree = ast.parse(label, mode="eval")
    first = next(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    code = compile(tree, "<label>", "eval")
    of_self = compile(f"self.{label}", "<label>", "eval")
    return lambda names: eval(code if first in names or "self" not in names else of_self, dict(names))


def assigns(stmt: ast.stmt, label: str) -> bool:
    """Tell whether a statement assigns what a label stands for, and not a function that it calls."""
    first = label.partition("[")[0].partition(".")[0]
    stores = names_of(stmt)[0]
    return isinstance(stmt, ast.Return) if first == RETURNED else first in stores or "self" in stores


def bind(label: str, names: dict[str, Any], value: Array) -> None:
    """Bind what a label stands for to a copy of a value; ``dW`` may also be ``self.dW``."""
    first = label.partition("[")[0].partition(".")[0]
    target = label if first in names or "self" not in names else f"self.{label}"
    names[BOUND] = value.copy()
    exec(compile(f"{target} = {BOUND}", "<label>", "exec"), names)
