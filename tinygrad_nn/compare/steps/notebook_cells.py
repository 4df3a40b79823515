"""Find a small edit that mends a wrong line of a notebook cell.

The line is first run alone with the names of the namespace. If it gives the value that the namespace holds, edits of it
are tried: with the same names, and with other forward values and random gradients, for which the right result is known
from the graph.
"""

from __future__ import annotations

import ast
import builtins
import linecache
from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from ...node import Node
from ...tensor import Tensor, raw
from ..edits import Edit, edit_of_step
from ..experiment import nearby
from .matching import Match
from .mending import Explained, add_edit
from .running import Passes
from .statements import targets
from .tape import Tape
from .tracing import State
from .walk import Walked

Array = np.ndarray[Any, Any]

PROBES = 2  # sets of other values with which an edit is tried
KINDS = (Tensor, np.ndarray, float, int, tuple, list)
FILE = "<a line of a cell>"


class Cells:
    """The names of a namespace, with which the line of a wrong step is run alone, as written and edited."""

    def __init__(self, space: Mapping[str, Any], run: Passes, tape: Tape, matches: list[Match], walked: Walked,
                 rng: np.random.Generator) -> None:  # fmt: skip
        self.run, self.tape, self.matches, self.walked, self.rng = run, tape, matches, walked, rng
        self.names = {k: v for k, v in space.items() if k.isidentifier()}

    def with_edit(self, explained: Explained, k: int, wrong_steps: Collection[int]) -> Explained:
        """Return the explanation of step `k` with the smallest edit of its line that makes it right, if one is found.

        Other lines are not edited, so `wrong_steps`, the numbers of all wrong steps, is not needed.
        """
        label, statement = self.matches[k].gradient.name, explained.state.statement
        alone = self._line(k, explained.state)
        if alone is None:
            return explained
        line, arrays = alone
        node = self.matches[k].version.node
        scopes, right_gradients = [arrays], [self.walked.rule_gradients[node]]
        for _ in range(PROBES):
            values, right_gradient = self._draw_elsewhere(k)
            scopes.append(_scope(arrays, values))
            right_gradients.append(right_gradient)
        further_values = [self._values(scope) for scope in scopes]
        edit = edit_of_step(line, lambda f, probe: f(**scopes[probe]), label, 2, right_gradients,
                            values=further_values.__getitem__)  # fmt: skip
        if edit is None:
            return explained
        edit = _with_cell_line(edit, statement.line)
        value_names = {label for label, _ in self._tensors()}
        return explained._replace(diagnosis=add_edit(explained.diagnosis, edit, value_names))

    def without_guards(self, run: Passes, tape: Tape, matches: list[Match], walked: Walked) -> Cells:
        """Return the same for a forward without constants such as 1e-8."""
        other = copy(self)
        other.run, other.tape, other.matches, other.walked = run, tape, matches, walked
        return other

    def at(self, changed: Mapping[Node, Array], wrong: Collection[int]) -> tuple[Tape, list[Node], list[Match]]:
        """Run the graph at other inputs, and the lines of the wrong steps; the other gradients are the right ones.

        Returns:
            The graph, its inputs, and the matches with its values.

        Raises:
            ValueError: a wrong line cannot be run alone.
        """
        tape, twins = self.tape.moved(changed)
        nodes = [twins.get(m.version.node, m.version.node) for m in self.matches]
        right_gradients = tape.walk(nodes)
        values = self._forward_values(twins)
        values |= {m.gradient.name: right_gradients[node] for m, node in zip(self.matches, nodes, strict=True)}
        matches = []
        for k, (m, node) in enumerate(zip(self.matches, nodes, strict=True)):
            array = right_gradients[node]
            if k in wrong:
                alone = self._line(k, self.walked.states[k])
                if alone is None:
                    raise ValueError(m.gradient.name)
                line, arrays = alone
                array = np.asarray(raw(line(**_scope(arrays, values))))
            states = [self.walked.states[k]._replace(array=array)]
            matches.append(m._replace(version=m.version._replace(node=node), states=states))
        return tape, [twins[node] for node in changed], matches

    def _line(self, k: int, state: State) -> tuple[Any, dict[str, Any]] | None:
        """Return the line that made step `k` as a function, and its arguments; None if it cannot be run alone."""
        label, statement = self.matches[k].gradient.name, state.statement
        read = _reads(statement.text, label)
        if read is None or not statement.line or not read <= {*self.names, *vars(builtins)}:
            return None
        values_read = {name: self._copied(self.names[name]) for name in read if name in self.names}
        arrays = {name: value for name, value in values_read.items() if isinstance(value, KINDS)}
        line = _function(statement.text, label, arrays, {n: v for n, v in self.names.items() if n not in arrays})
        try:
            is_same = np.array_equal(np.asarray(raw(line(**arrays))), self.walked.states[k].array, equal_nan=True)
        except Exception:  # a line of user code may raise anything when it runs alone
            return None
        return (line, arrays) if is_same else None  # else a name that it reads was bound again after it ran

    def _forward_values(self, twins: Mapping[Node, Node]) -> dict[str, Array]:
        """Return the forward values at other inputs by name."""
        return {label: np.array(twins.get(v.node, v.node).out) for label, v in self._tensors()}

    def _tensors(self) -> list[tuple[str, Any]]:
        return [(label, bound_versions[-1]) for label, bound_versions in self.run.graph.versions.items()]

    def _values(self, scope: Mapping[str, Any]) -> dict[str, Array]:
        """Return the forward values whose names the line does not read, by name."""
        return {label: np.array(v.value.data) for label, v in self._tensors()
                if label.isidentifier() and label not in scope}  # fmt: skip

    @staticmethod
    def _copied(value: Any) -> Any:
        return _like(raw(value), value) if isinstance(value, (Tensor, np.ndarray)) else value

    def _draw_elsewhere(self, k: int) -> tuple[dict[str, Array], Array]:
        """Return other forward values and random gradients by name, and the right gradient of step `k` for them."""
        rng = self.rng
        moved = {n: nearby(np.asarray(n.out), rng) for n in self.tape.leaves}
        tape, twins = self.tape.moved(moved)
        values = self._forward_values(twins)
        random_gradients = {}
        for j, m in enumerate(self.matches):
            if j != k:
                g = rng.normal(size=np.shape(m.version.node.out))
                random_gradients[twins.get(m.version.node, m.version.node)] = values[m.gradient.name] = g
        node = self.matches[k].version.node
        moved_node = twins.get(node, node)
        rule_gradients = tape.walk([*random_gradients, moved_node], lambda n, g, marked: random_gradients.get(n))
        return values, rule_gradients[moved_node]


def _scope(arrays: Mapping[str, Any], values: Mapping[str, Array]) -> dict[str, Any]:
    """Return the arguments of a line with other values."""
    return {name: _like(values[name], value) if name in values else value for name, value in arrays.items()}


def _like(array: Array, value: Any) -> Any:
    """Return a copy of the array; a Tensor without a graph if `value` is a Tensor."""
    return Tensor(np.array(array), requires_grad=False) if isinstance(value, Tensor) else np.array(array)


def _reads(text: str, label: str) -> set[str] | None:
    """Return the names that an assignment to `label` reads; None if the text is not an assignment to `label` alone."""
    try:
        body = ast.parse(text.strip()).body
    except SyntaxError:
        return None
    if len(body) != 1 or not isinstance(body[0], (ast.Assign, ast.AnnAssign)) or body[0].value is None:
        return None
    if [ast.unparse(t) for t in targets(body[0])] != [label]:
        return None
    return {n.id for n in ast.walk(body[0].value) if isinstance(n, ast.Name)}


def _function(text: str, label: str, arrays: Mapping[str, Any], others: Mapping[str, Any]) -> Any:
    """Return a function that runs one statement: its parameters are the arrays, its result is `label`."""
    source = f"def line({', '.join(arrays)}):\n    {' '.join(text.split())}\n    return {label}\n"
    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    space: dict[str, Any] = dict(others)
    exec(compile(source, FILE, "exec"), space)
    return space["line"]


def _with_cell_line(edit: Edit, line: int) -> Edit:
    """Return an edit with the line number of the cell instead of that of the one-line function."""
    sentence = edit.sentence.replace("Line 2:", f"Line {line}:", 1)
    others = tuple(text.replace("line 2:", f"line {line}:", 1) for text in edit.alternatives)
    return replace(edit, lineno=line, sentence=sentence, alternatives=others)
