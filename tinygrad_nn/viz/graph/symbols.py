"""Equations of a graph's nodes in terms of its values: named values by their name, others by a letter and number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from ...common.printable import printable
from ...graph import GraphNode, GraphView, short_number
from ...graph.equations import Tree, equation_tree, replace_letters, result_letter, unicode_line
from ...graph.walk import symbols

# Values without a name get the usual letters of textbooks (a, z, x, v, c) with the number of their node as index.
ACTIVATIONS = frozenset({
    "tanh", "sigmoid", "relu", "leaky_relu", "softmax", "gelu", "silu", "elu", "selu", "celu", "mish", "softplus",
    "softsign", "hard_tanh", "hard_sigmoid", "hard_swish", "prelu", "log_softmax", "log_sigmoid", "glu",
})  # fmt: skip
LINEAR = frozenset({"affine", "matmul", "dot", "conv", "conv_transpose", "standardize", "rms_norm"})
JOINT = {"attention": ("q", "k", "v", "M"), "standardize": ("x", "γ", "β"), "rms_norm": ("x", "y")}
LISTED = frozenset({"concatenate", "stack", "einsum"})
MOST_LISTED = 8


def node_equation(part: GraphNode, operands: int) -> tuple[Tree, list[Tree | None], tuple[str, ...]]:
    """Return the equation of a node, its rules and its letters; ``out`` is the result, ``g`` the gradient in it."""
    if part.operation in LISTED and operands <= MOST_LISTED:
        return _variadic_equations(part.operation, operands)
    return _equation_trees(part.tex or "", part.rules, symbols(part) or JOINT.get(part.operation or "", ())[:operands])


@lru_cache(512)
def _equation_trees(
    tex: str, rules_tex: tuple[str | None, ...], letters: tuple[str, ...]
) -> tuple[Tree, list[Tree | None], tuple[str, ...]]:
    rules = list(rules_tex)
    if letters and len(rules) == 1 and len(letters) > 1:
        rules = list(_separate_rules(rules[0] or "", len(letters)))
    name = result_letter(tex, letters)
    known = {name: ["mi", {}, "out"]} if name else {}
    equation = replace_letters(equation_tree(tex), known)
    return (
        ["whole", {}, equation] if name else equation,
        [None if rule is None else replace_letters(equation_tree(rule), known) for rule in rules],
        letters,
    )


def _separate_rules(rule: str, count: int) -> list[str | None]:
    r"""Return the separate rules listed in a joint rule, each with the definitions of the names that it uses.

    Example:
        >>> _separate_rules(r"S k,\ S^T q,\ S = a", 2)
        ['S k,\\ S = a', 'S^T q,\\ S = a']
    """
    parts = rule.split(r",\ ")
    parts[-1], *defined = parts[-1].split(r" \quad ")
    rules, rest = [part for part in parts if " = " not in part], [part for part in parts if " = " in part] + defined
    found = [
        ",\\ ".join([part, *(text for text in rest if _is_in_tex(text.strip("(")[0], part))]) for part in rules[:count]
    ]
    return [*found, *[None] * (count - len(found))]


def _is_in_tex(name: str, tex: str) -> bool:
    return re.search(rf"(?<![A-Za-z\\]){name}(?![A-Za-z])", tex) is not None


def _variadic_equations(operation: str, count: int) -> tuple[Tree, list[Tree | None], tuple[str, ...]]:
    """Return the equations of an operation that takes any number of operands."""
    letters = tuple(f"x{k}" for k in range(1, count + 1))
    names: list[Tree] = [["mi", {}, letter] for letter in letters]
    g: Tree = ["mi", {}, "g"]
    if operation == "einsum":
        total: Tree = ["mo", {}, "∑"]
        gap: Tree = ["mspace", {"width": "0.167em"}]
        spaced: list[Tree] = [piece for name in names for piece in (gap, name)]
        rules = [["mrow", {}, total, g, *spaced[: 2 * k], *spaced[2 * k + 2 :]] for k in range(count)]
        return ["mrow", {}, total, *spaced[1:]], list(rules), letters
    listed: list[Tree] = [piece for name in names for piece in (["mo", {}, ","], name)][1:]
    counted: list[Tree] = [["mn", {}, str(k)] for k in range(1, count + 1)]
    places: list[Tree | None] = [["msub", {}, g, ["mrow", {}, ["mo", {}, "["], k, ["mo", {}, "]"]]] for k in counted]
    return ["mrow", {}, ["mo", {}, "["], *listed, ["mo", {}, "]"]], places, letters


def value_letter(part: GraphNode) -> str | list[str]:
    """Return the letter of a value: the last part of its name, or (in a list) a letter that needs the node's number.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import Tensor
        >>> from tinygrad_nn.graph import GraphView
        >>> view = GraphView(np.tanh(Tensor(1.0, name="net[0].W")))
        >>> [value_letter(part) for part in view]
        ['W', ['a']]
    """
    if part.name:
        return last_name(part.name)
    if part.kind == "constant":
        return ["c"]
    if part.operation in ACTIVATIONS:
        return ["a"]
    if part.operation in LINEAR:
        return ["z"]
    return ["x"] if part.operation is None else ["v"]


def name_tree(part: GraphNode, bar: bool = False) -> Tree:
    """Return the name of a value as MathML, with a bar if it stands for the gradient of the value."""
    if not bar and part.kind == "constant" and not part.name and part.array.size == 1:
        return ["mn", {}, short_number(part.array.item()).replace("-", "−")]
    own = value_letter(part)
    text = own if isinstance(own, str) else own[0]
    name: Tree = ["mover", {"accent": "true"}, ["mi", {}, text], ["mo", {}, "\u00af"]] if bar else ["mi", {}, text]
    return name if isinstance(own, str) else ["msub", {}, name, ["mn", {}, str(part.number)]]


def equation_lines(view: GraphView, part: GraphNode, operands: Sequence[int]) -> tuple[str, list[str | None]]:
    """Return the equation of a node and the rule of each operand as lines of Unicode.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import Tensor
        >>> view = GraphView(np.tanh(Tensor(1.0, name="h")))
        >>> equation_lines(view, view[1], [0])
        ('a₁ = tanh h', ['ā₁ (1 − a₁²)'])
    """
    equation, rules, letters = node_equation(part, len(operands))
    names = {name: name_tree(view[number]) for name, number in zip(letters, operands, strict=False)}
    names |= {"out": name_tree(part), "g": name_tree(part, bar=True)}
    right = unicode_line(replace_letters(equation, names))
    lines = [None if rule is None else unicode_line(replace_letters(rule, names)) for rule in rules]
    if len(rules) == 1 and not letters:  # one rule for all operands
        lines *= len(operands)
    lines += [None] * (len(operands) - len(lines))
    return right if equation[0] == "whole" else f"{unicode_line(name_tree(part))} = {right}", lines


def last_name(name: str) -> str:
    """Return the last part of a name that is a path.

    Example:
        >>> last_name("net.0.weight"), last_name("layers[0].W"), last_name("params['W']"), last_name("h")
        ('weight', 'W', "params['W']", 'h')
    """
    found = re.search(r"\.([^\W\d]\w*)$", name)
    return printable(found[1] if found else name)
