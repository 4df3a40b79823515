"""The equations of a page, equal ones stored once, and the equations of one step as text."""

from __future__ import annotations

from typing import Any

from ...graph import GraphNode, GraphView
from ...graph.equations import unicode_line
from ..graph.symbols import equation_lines, name_tree, node_equation
from .columns import Interned
from .story import Moment


class Equations:
    """Equations as MathML trees (see `graph.equations`); equal ones are stored once.

    A tree that already includes its left side has the tag ``whole``.
    """

    def __init__(self) -> None:
        self.trees = Interned()
        self.spelled: dict[tuple[Any, ...], tuple[int, list[int], tuple[str, ...]]] = {}

    def of(self, part: GraphNode, operands: int) -> tuple[int, list[int], tuple[str, ...]]:
        """Return the indices of a node's equation and rules (one rule per operand), and the letters of its operands."""
        if part.tex is None:
            return -1, [], ()
        key = (part.operation, part.tex, part.rules, operands)
        if key not in self.spelled:
            equation, rules, letters = node_equation(part, operands)
            found = [-1 if rule is None else self.trees.add(rule) for rule in rules]
            self.spelled[key] = self.trees.add(equation), found, letters
        return self.spelled[key]


def step_equations(view: GraphView, moment: Moment, operands: list[int]) -> list[str]:
    """Return the equations of a step as lines of Unicode: of the operation (forward), or of its rules (backward)."""
    if moment.phase not in ("forward", "backward"):
        return []
    equation, rules = equation_lines(view, view[moment.number], operands)
    if moment.phase == "forward":
        return [equation]
    lines = []
    for c in moment.contributions:
        edge = view.edges[c.edge]
        if rules[edge.slot] is not None:
            left, sign = unicode_line(name_tree(view[edge.source], bar=True)), "+=" if c.count > 1 else "="
            lines.append(f"{left} {sign} {rules[edge.slot]}")
    return list(dict.fromkeys(lines))


def result_name(view: GraphView) -> str:
    """Return the letter for the differentiated result: L, or ℒ if another value of the graph is named L."""
    return "ℒ" if any(part.name == "L" and part.number not in view.outputs for part in view) else "L"
