"""The search for a source edit that fixes a backward: kind of edit, its text in the user's names, its sentence."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_edit_parts import written
from tinygrad_nn.compare.edits import influence, search
from tinygrad_nn.compare.edits.candidates import CandidateWriter
from tinygrad_nn.compare.edits.dependencies import reader
from tinygrad_nn.compare.edits.kinds import _is_size, _operand, _wraps, kind_of
from tinygrad_nn.compare.edits.reading import Source, read_source
from tinygrad_nn.compare.edits.running import Ticker
from tinygrad_nn.compare.edits.scope import Scope
from tinygrad_nn.compare.edits.search import arguments_of, describe_changes, nearest_edits, numpy_name, slices_of
from tinygrad_nn.compare.edits.statement import _renamed_everywhere
from tinygrad_nn.compare.edits.step import _after, _is_close, edit_of_step
from tinygrad_nn.compare.edits.text import after_and_before, line_of
from tinygrad_nn.compare.edits.trees import Change, Spot, called_name, expressions_read, statements

Array = Any


def source_of(text: str, name: str = "backward", **names: Any) -> Source:
    found = read_source(written(text, name, **names))
    assert found is not None
    return found


def expression(text: str) -> Any:
    return ast.parse(text, mode="eval").body


def change_in(source: Any, old: str, new: str, line: int = 0, which: int = 0) -> tuple[Change, Any]:
    """Return the `Change` of an expression or a whole statement of a source to new text, and the old node."""
    for stmt, holder, field, at in statements(source.statements):
        if line and stmt.lineno != line:
            continue
        if ast.unparse(stmt) == old:
            made = ast.parse(new).body[0]
            holder = source.tree if isinstance(holder, ast.Module) else holder
            at = getattr(holder, field).index(stmt)
            return Change(1.0, holder, field, at, made, stmt), stmt
        found = [s for s in expressions_read(stmt) if ast.unparse(s.node) == old]
        if len(found) > which:
            spot = found[which]
            return Change(1.0, spot.parent, spot.field, spot.position, expression(new), stmt), spot.node
    raise LookupError(old)


# ---- What sort of mistake a change mends


def kind(line: str, old: str, new: str, which: int = 0) -> str:
    source = source_of(f"def backward(x, skip):\n    {line}\n    return x\n")
    change, was = change_in(source, old, new, which=which)
    return kind_of(source, change, was)


@pytest.mark.parametrize(
    ("line", "old", "new", "said"),
    [
        ("d = g", "d = g", "d += g", "overwritten_not_accumulated"), ("d = g", "d = g", "d *= g", "missing_factor"),
        ("d[i] = g", "d[i] = g", "np.add.at(d, i, g)", "overwritten_not_accumulated"),
        ("d += g", "d += g", "d -= g", "sign"), ("d -= g", "d -= g", "d += g", "sign"),
        ("d += g", "d += g", "d *= g", "edit"), ("d *= g", "d *= g", "d /= g", "edit"),
        ("d += g", "d += g", "d = g", "edit"), ("d = g", "d = g", "d = d + g", "overwritten_not_accumulated"),
        ("d = g", "d = g", "d = d * g", "missing_factor"), ("d = g", "d = g", "d = g * d", "wrong_value"),
        ("d = g", "d = g", "d = h", "wrong_value"), ("d = g", "d = g", "d = d - g", "wrong_value"),
        ("d = g", "d = g", "pass", "edit"), ("d += g", "d += g", "pass", "edit"),
        ("if g:\n        d = 1", "if g:\n    d = 1", "if not g:\n    d = 1", "edit"),
    ],
)  # fmt: skip
def test_the_kind_of_a_change_of_a_statement(line: str, old: str, new: str, said: str) -> None:
    assert kind(line, old, new) == said


@pytest.mark.parametrize(
    ("line", "old", "new", "said"),
    [
        ("d = g[1:]", "1:", "2:", "wrong_index"), ("d = g[1:]", "1:", "1::-1", "flipped_kernel"),
        ("d = g[::-1]", "::-1", ":", "flipped_kernel"), ("d = g[i]", "i", "j", "wrong_index"),
        ("d = g[1:, 2:]", "(1:, 2:)", "(2:, 1:)", "wrong_padding"), ("d = g[i, j]", "(i, j)", "(j, i)", "wrong_order"),
        ("d = g[1:, i]", "(1:, i)", "(i, 1:)", "wrong_padding"), ("d = g[i:]", "i", "k", "wrong_index"),
        ("d = g[:i]", "i", "k", "wrong_index"), ("d = g[i, j]", "i", "j", "wrong_value"),
        ("d = g[::k]", "k", "2", "wrong_index"), ("d = (g, h)", "(g, h)", "(h, g)", "wrong_order"),
        ("d = [g, h]", "[g, h]", "[2 * g, 2 * h]", "wrong_stride"), ("d = f((a, b))", "a", "c", "wrong_value"),
        ("d = g.reshape((2, 3))", "2", "3", "edit"),
    ],
)  # fmt: skip
def test_the_kind_of_a_change_of_an_index(line: str, old: str, new: str, said: str) -> None:
    source = source_of(f"def backward(x, skip):\n    {line}\n    return x\n")
    (stmt,) = source.statements[:1]
    (spot, *_) = [s for s in expressions_read(stmt) if shown(s.node) == old]
    made = ast.parse(f"q[{new.strip('()')}]", mode="eval").body.slice if ":" in new else expression(new)  # type: ignore[attr-defined]
    assert kind_of(source, Change(1.0, spot.parent, spot.field, spot.position, made, stmt), spot.node) == said


def shown(node: Any) -> str:
    text = ast.unparse(node)
    inside = isinstance(node, ast.Tuple) and any(isinstance(e, ast.Slice) for e in node.elts)
    return f"({text})" if inside and not text.startswith("(") else text


@pytest.mark.parametrize(
    ("line", "old", "new", "said"),
    [
        # sums
        ("d = g", "g", "g.sum(axis=0)", "broadcast_not_summed"), ("d = g", "g", "np.sum(g)", "broadcast_not_summed"),
        ("d = g.sum(0)", "g.sum(0)", "g", "wrong_axis_sum"), ("d = np.sum(g)", "np.sum(g)", "g", "wrong_axis_sum"),
        ("d = np.sum(g, 0)", "np.sum(g, 0)", "np.mean(g, 0)", "scale"),
        ("d = g.mean(0)", "g.mean(0)", "g.sum(0)", "scale"),
        ("d = g.max(0)", "g.max(0)", "g.sum(0)", "wrong_derivative"),
        ("d = g.sum(0)", "g.sum(0)", "g.sum(1)", "wrong_axis_sum"),
        ("d = g.mean(0)", "g.mean(0)", "g.mean(1)", "wrong_axis"),
        ("d = np.max(g, axis=0)", "np.max(g, axis=0)", "np.max(g, axis=1)", "wrong_axis"),
        ("d = g.prod(0)", "g.prod(0)", "g.prod(1)", "wrong_order"),
        ("d = g.sum(axis=0)", "0", "1", "wrong_axis_sum"),
        ("d = g.sum(keepdims=True)", "True", "False", "wrong_axis_sum"),
        ("d = f(g, where=h)", "h", "k", "wrong_value"),
        # signs
        ("d = g", "g", "-g", "sign"), ("d = -g", "-g", "g", "sign"), ("d = a + b", "a + b", "a - b", "sign"),
        ("d = a - b", "a - b", "a + b", "sign"), ("d = a - b", "a - b", "b - a", "sign"),
        ("d = a + b", "a + b", "b - a", "edit"), ("d = a - b", "a - b", "b + a", "edit"),
        ("d = a / b", "a / b", "b / a", "edit"), ("d = a + b", "a + b", "c - b", "edit"),
        # turns
        ("d = g", "g", "g.T", "transpose"), ("d = g.T", "g.T", "g", "transpose"),
        ("d = g", "g", "g.swapaxes(0, 1)", "transpose"),
        ("d = g.transpose(1, 0)", "g.transpose(1, 0)", "g", "transpose"),
        ("d = g", "g", "g[::-1]", "flipped_kernel"), ("d = g", "g", "g[1:]", "wrong_index"),
        ("d = w[f, ::-1]", "w[f, ::-1]", "w[f]", "flipped_kernel"), ("d = w[f, 0]", "w[f, 0]", "w[f]", "wrong_value"),
        ("d = g[0]", "g[0]", "g", "wrong_index"), ("d = a @ b", "a @ b", "b @ a", "transpose"),
        ("d = a @ b", "a @ b", "a * b", "wrong_derivative"), ("d = a * b", "a * b", "a @ b", "wrong_derivative"),
        ("d = np.einsum('ij,jk->ik', a)", "'ij,jk->ik'", "'ji,jk->ik'", "transpose"),
        ("d = np.einsum('ij, jk->ik', a)", "'ij, jk->ik'", "'ij,kj->ik'", "transpose"),
        ("d = np.einsum('ij,jk->ik', a)", "'ij,jk->ik'", "'ij,kk->ik'", "wrong_axis"),
        # terms
        ("d = g", "g", "g - g.mean(axis=0)", "statistic_as_constant"), ("d = g", "g", "g + h", "product_rule_half"),
        ("d = g", "g", "g + skip", "residual_forgotten"), ("d = g", "g", "h + g", "wrong_derivative"),
        ("d = g", "g", "g - h.mean()", "product_rule_half"), ("d = g", "g", "g + 1", "edit"),
        ("d = g >= 0", "g", "g - h", "edit"),
        ("d = a / n", "n", "n - 1", "wrong_ddof"), ("d = a * n", "n", "n - 1", "edit"),
        ("d = range(n)", "n", "n - 1", "wrong_index"), ("d = list(n)", "n", "n - 1", "edit"),
        ("d = g * (1 - p)", "g * (1 - p)", "p * (g - np.sum(g * p))", "softmax_diagonal_only"),
        ("d = g * (1 - p)", "g * (1 - p)", "p * (g + np.sum(g * p))", "edit"),
        ("d = g * (1 - p)", "g * (1 - p)", "p * (g - np.max(g * p))", "edit"),
        # factors
        ("d = g", "g", "g * N", "scale"), ("d = g * N", "g * N", "g", "scale"), ("d = g", "g", "g / 2", "scale"),
        ("d = g", "g", "2 * g", "scale"), ("d = g", "g", "g / len(h)", "scale"),
        ("d = g", "g", "g / h.shape[0]", "scale"), ("d = g", "g", "g / np.sqrt(N)", "scale"),
        ("d = g * h", "g * h", "g", "wrong_value"), ("d = g", "g", "g * (h > 0)", "mask_missing"),
        ("d = g", "g", "g * Mask", "mask_missing"), ("d = g", "g", "g * (1 - h)", "missing_activation_derivative"),
        ("d = g", "g", "g * np.cos(h)", "missing_activation_derivative"),
        ("d = g", "g", "g * np.exp(h)", "missing_activation_derivative"),
        ("d = g", "g", "g * np.sign(h)", "missing_activation_derivative"),
        ("d = g", "g", "g * np.tanh(h)", "missing_factor"), ("d = g", "g", "g * h", "missing_factor"),
        ("d = g", "g", "h * g", "missing_factor"), ("d = a * b", "a * b", "a / b", "wrong_derivative"),
        ("d = a / N", "a / N", "a * N", "scale"), ("d = a * b", "a * b", "a + b", "edit"),
        ("d = g", "g", "g * h * (1 - h)", "missing_activation_derivative"),
        ("d = g", "g", "g * h * k", "wrong_derivative"),
        ("d = g * h * (1 - h)", "g * h * (1 - h)", "g * (1 - h ** 2)", "wrong_derivative"),
        ("d = g * h * (1 - h)", "g * h * (1 - h)", "k * (1 - h ** 2)", "edit"),
        ("d = g * h * (1 - h)", "g * h * (1 - h)", "g", "wrong_derivative"),
        ("d = g * (h > 0)", "h > 0", "1 - h ** 2", "wrong_derivative"),
        ("d = x @ g.T", "x @ g.T", "x.T @ g", "transpose"), ("d = x.T @ g", "x.T @ g", "x @ g.T", "transpose"),
        # numbers
        ("d = g ** 2", "2", "3", "wrong_derivative"), ("d = g * 2", "2", "3", "scale"),
        ("d = g * 2", "2", "-2", "sign"),
        ("d = g / 2", "2", "4", "scale"), ("d = g + 1", "1", "2", "wrong_index"),
        ("d = 1 - g", "1", "2", "wrong_derivative"), ("d = g - 0.5", "0.5", "1.5", "wrong_derivative"),
        ("d = g.mean(0)", "0", "1", "wrong_axis"), ("d = f(0)", "0", "1", "edit"), ("d = 2", "2", "3", "edit"),
        ("d *= 2", "2", "3", "scale"),
        # the rest
        ("d = g", "g", "h", "wrong_value"), ("d = g.a", "g.a", "g.b", "wrong_value"),
        ("d = g[0]", "g[0]", "h[1]", "wrong_value"), ("d = a > b", "a > b", "a >= b", "ties"),
        ("d = a <= b", "a <= b", "a < b", "ties"), ("d = a > b", "a > b", "a < b", "wrong_value"),
        ("d = a == b", "a == b", "a != b", "wrong_value"), ("d = a >= b", "a >= b", "a < b", "wrong_value"),
        ("d = np.dot(a, b)", "np.dot(a, b)", "np.dot(b, a)", "transpose"),
        ("d = np.outer(a, b)", "np.outer(a, b)", "np.outer(b, a)", "transpose"),
        ("d = np.where(c, a, b)", "np.where(c, a, b)", "np.where(c, b, a)", "wrong_order"),
        ("d = np.exp(g)", "np.exp(g)", "g", "wrong_derivative"), ("d = g", "g", "np.exp(g)", "wrong_derivative"),
        ("d = g", "g", "1 - g", "wrong_derivative"), ("d = g", "g", "not h", "edit"),
        ("d = f(a)", "f(a)", "k(b)", "edit"),
    ],
)  # fmt: skip
def test_the_kind_of_a_change_of_an_expression(line: str, old: str, new: str, said: str) -> None:
    assert kind(line, old, new) == said


def test_a_value_of_the_round_before_that_is_added_is_carried() -> None:
    text = ("def backward(x, carry):\n    for t in x:\n        d = g\n        carry = d * 2\n        d = g\n"
            "    while x:\n        d = g\n    e = g\n    return d\n")  # fmt: skip
    source = source_of(text)
    for line, said in ((3, "not_carried_back"), (5, "residual_forgotten"), (7, "residual_forgotten"),
                       (8, "residual_forgotten")):  # fmt: skip
        change, was = change_in(source, "g", "g + carry", line)
        assert kind_of(source, change, was) == said
    change, was = change_in(source, "g", "g + d", 3)
    assert kind_of(source, change, was) == "not_carried_back"
    change, was = change_in(source, "g", "g + d", 8)
    assert kind_of(source, change, was) == "product_rule_half"
    for names, said in (("d, carry", "not_carried_back"), ("carry", "residual_forgotten")):
        source = source_of(f"def backward(x, carry):\n    for t in x:\n        {names} = step(g)\n    return d\n")
        change, was = change_in(source, "g", "g + carry", 3)
        assert kind_of(source, change, was) == said


@pytest.mark.parametrize(
    ("text", "size"),
    [("N", True), ("n", False), ("NN", False), ("2", True), ("-2", True), ("2.5", True), ("x.shape[0]", True),
     ("x.shape", False), ("len(x)", True), ("np.sqrt(N)", True), ("np.sqrt(x)", False), ("np.sqrt()", False),
     ("np.exp(2)", False), ("x.sqrt", False), ("x", False)],
)  # fmt: skip
def test_numbers_and_counts_are_sizes(text: str, size: bool) -> None:
    assert _is_size(expression(text)) is size


@pytest.mark.parametrize(
    ("text", "about", "called"),
    [("g.sum(0)", "g", "sum"), ("np.sum(g)", "g", "sum"), ("g.sum()", "g", "sum"), ("np.sum(g, 0)", "g", "sum"),
     ("sum(g)", None, "sum"), ("g", None, ""), ("h.a.sum(g)", "h.a", "sum"), ("g.sum(-1)", "g", "sum"),
     ("f(x)(y)", None, "")],
)  # fmt: skip
def test_what_a_reduction_is_about(text: str, about: str | None, called: str) -> None:
    found = _operand(expression(text))
    assert (found if found is None else ast.unparse(found)) == about
    assert called_name(expression(text)) == called


def test_an_expression_is_wrapped_by_a_call_or_a_sum() -> None:
    g, more, call, minus = (expression(text) for text in ("g", "g + 1", "f(g)", "-g"))
    assert _wraps(g, more)
    assert _wraps(g, call)
    assert not _wraps(g, minus)
    assert not _wraps(more, g)
    assert not _wraps(call, more)
    assert not _wraps(ast.Pass(), call)


# ---- The text in the user's names

TEXT = """def backward(x, g):
    é = x; d = g * (x  +  1)
    d = (g
         * x)
    if  x.any():
        d = d*2
    return d
"""


@pytest.mark.parametrize(
    ("line", "old", "new", "after", "before"),
    [
        (2, "x + 1", "x + 2", "d = g * (x + 2)", "d = g * (x + 1)"),
        (2, "g * (x + 1)", "x + 1", "d = x + 1", "d = g * (x + 1)"),
        (2, "g", "x + 1", "d = (x + 1) * (x + 1)", "d = g * (x + 1)"),
        (2, "g", "-g", "d = -g * (x + 1)", "d = g * (x + 1)"), (3, "x", "g", "d = (g * g)", "d = (g * x)"),
        (3, "g * x", "x", "d = (x)", "d = (g * x)"), (5, "x.any()", "g.any()", "if g.any():", "if x.any():"),
        (6, "2", "3", "d = d*3", "d = d*2"), (6, "d * 2", "d ** 2", "d = d ** 2", "d = d*2"),
        (6, "d = d * 2", "d *= 2", "d *= 2", "d = d*2"), (6, "d = d * 2", "pass", "", "d = d*2"),
        (7, "d", "2 * d", "return 2 * d", "return d"),
    ],
)  # fmt: skip
def test_a_change_is_shown_in_the_users_own_text(line: int, old: str, new: str, after: str, before: str) -> None:
    source = source_of(TEXT)
    stmts = [s for s in statements(source.statements) if s[0].lineno == line]
    change, _ = change_in(Only(source, stmts[-1]), old, new)
    shape = ast.dump(source.tree)
    assert after_and_before(source, change) == (after, before)
    assert line_of(change) == line
    assert ast.dump(source.tree) == shape


class Only:
    """A source that shows only one of its statements."""

    def __init__(self, source: Source, only: Any) -> None:
        stmt, holder, *_ = only
        self.statements = [stmt]
        self.tree = source.tree if isinstance(holder, ast.Module) else holder


def test_a_change_of_a_lambda_is_shown_without_return() -> None:
    source = source_of("f = lambda x, g: (g * x, g\n)\n", "f")
    change, _ = change_in(source, "g * x", "-(g * x)")
    assert after_and_before(source, change) == ("(-(g * x), g)", "(g * x, g)")
    change, _ = change_in(source, "(g * x, g)", "(g, g * x)")
    assert after_and_before(source, change)[0] == "(g, g * x)"


# ---- The sentence


def test_the_smallest_change_is_reported_with_alternatives() -> None:
    source = source_of("def backward(x, g):\n    d = g * x\n    e = d\n    return e\n")

    def one(cost: float, old: str, new: str, line: int, fixes: tuple[int, ...] = (0,)) -> Any:
        return cost, source, change_in(source, old, new, line)[0], frozenset(fixes)

    found = describe_changes([one(1.2, "g * x", "g", 2), one(1.1, "g", "-g", 2, (2, 1)), one(1.3, "d", "2 * d", 3),
                       one(1.31, "d", "d.T", 3), one(1.1, "g", "-g", 2), one(1.4, "d", "np.sum(d)", 3),
                       one(1.5, "d", "4 * d", 3)], source)  # fmt: skip
    assert (found.lineno, found.before, found.after) == (2, "d = g * x", "d = -g * x")
    assert found.sentence == "Line 2: write d = -g * x instead of d = g * x."
    assert found.alternatives == ("line 2: d = g", "line 3: e = d.T", "line 3: e = 2 * d")
    assert (found.fixes, found.names, found.function) == ((1, 2), ("d",), "backward")
    assert (found.kind, found.kinds) == ("sign", ("wrong_value", "transpose", "scale"))
    left_out = describe_changes([one(1.0, "e = d", "pass", 3), one(1.2, "d = g * x", "pass", 2)], source)
    assert left_out.sentence == "Line 3: remove e = d."
    assert left_out.alternatives == ("line 2: without d = g * x",)
    assert (left_out.kind, left_out.kinds) == ("edit", ())


def test_of_nearly_equal_costs_the_shorter_change_is_reported() -> None:
    source = source_of("def backward(x, g):\n    d = g * x\n    return d\n")

    def told(*changes: tuple[float, str]) -> str:
        every = [(cost, source, change_in(source, "g * x", new, 2)[0], frozenset({0})) for cost, new in changes]
        return describe_changes(every, source).after

    assert told((1.1, "g * x * 10"), (1.14, "-g")) == "d = -g"
    assert told((1.1, "g * x * 10"), (1.16, "-g")) == "d = g * x * 10"
    assert told((1.14, "g * z"), (1.12, "g * y")) == "d = g * y"


def test_a_line_of_another_function_is_named_with_it() -> None:
    main, helper = source_of("def backward(x):\n    return x\n"), source_of("def half(x):\n    return x / 2\n", "half")
    file = Path(helper.function.__code__.co_filename).name
    assert search._helper_text(helper, main) == f", in half of {file}"
    assert search._helper_text(helper, helper) == ", in half"
    hidden = source_of("f = lambda x: x\n", "f")
    assert search._helper_text(hidden, hidden) == ", in a lambda"
    change, _ = change_in(helper, "x", "3 * x")
    assert describe_changes([(1.0, helper, change, frozenset({0}))], main).sentence == (
        f"Line 2, in half of {file}: write return 3 * x / 2 instead of return x / 2.")  # fmt: skip


def test_the_arguments_and_the_name_of_numpy_and_the_slices_of_a_function() -> None:
    text = ("def backward(x, k=2, *, m):\n    d = x[1:] + x[:k] + x[1:]\n    d[2:] = 0\n    return n.exp(d)\n")
    source = source_of(text, n=np)
    assert arguments_of(source, lambda f, probe: f(probe, m=5)) == ((0,), {"m": 5})
    assert numpy_name(source) == "np"
    assert sorted(ast.unparse(s) for s in slices_of(source)) == ["1:", "2:", ":k"]
    many = source_of("def backward(x):\n    return [" + ", ".join(f"x[{k}:]" for k in range(20)) + "]\n")
    assert len(slices_of(many)) == 12
    none = source_of("def backward(x):\n    return x\n", np=None)
    assert numpy_name(none) is None
    own = source_of("def backward(x):\n    return n.exp(x)\n", np=None, n=np)
    assert numpy_name(own) == "n"


# ---- The search

LINES = "def backward(x):\n    a = x * 3\n    b = x + 1\n    return a, b\n"


def sought(text: str, *rights: Callable[[Array], Array], probes: int = 2, **options: Any) -> Any:
    f = written(text)
    batches = [np.arange(1.0, 4), np.array([2.0, -1.5]), np.array([0.5])]

    def right(found: Any, probe: int) -> list[bool]:
        return [np.shape(v) == batches[probe].shape and np.allclose(v, of(batches[probe]))
                for v, of in zip(found, rights, strict=True)]  # fmt: skip

    return nearest_edits(f, lambda f, probe: f(batches[probe]), right, probes=probes, **options)


def test_a_change_for_each_wrong_result() -> None:
    assert sought(LINES, lambda x: 3 * x, lambda x: x + 1) == ()
    (one,) = sought(LINES, lambda x: 2 * x, lambda x: x + 1)
    assert (one.after, one.fixes, one.lineno) == ("a = x * 2", (0,), 2)
    two = sought(LINES, lambda x: 2 * x, lambda x: x - 1)
    assert sorted((e.after, e.fixes) for e in two) == [("a = x * 2", (0,)), ("b = x - 1", (1,))]
    both = sought("def backward(x):\n    h = x * 3\n    a = h\n    b = h + 1\n    return a, b\n",
                  lambda x: 2 * x, lambda x: 2 * x + 1)  # fmt: skip
    assert [(e.after, e.fixes) for e in both] == [("h = x * 2", (0, 1))]
    (index,) = sought("def backward(x):\n    z = [x, 2 * x, 3 * x]\n    k = len(x)\n    return [z[-k + 1]]\n",
                      lambda x: (4 - len(x)) * x)  # fmt: skip
    code = "def backward(x):\n    d = [0 * x] * 2\n    d[0] += x\n    d[1] += 2 * x\n    return d\n"
    apart = sought(code, lambda x: x, lambda x: 2 * x)[0]  # the list holds one array twice
    assert apart.after == "d = [0 * x for _ in range(2)]"
    assert (index.after, index.alternatives) == ("return [z[-k]]", ())  # and not -k + 0 or len(x) + 1


def test_equal_numbers_are_judged_once() -> None:
    f = written("def backward(x):\n    for i in range(1):\n        a = x + x * x\n    return [a]\n")
    x, judged = np.arange(1.0, 4), list[str]()

    def right(found: Any, probe: int) -> list[bool]:
        judged.append(repr(np.asarray(found[0])))
        return [np.shape(found[0]) == x.shape and np.allclose(found[0], 2 * x)]

    assert nearest_edits(f, lambda f, probe: f(x), right, seconds=60.0)[0].after == "a = x + x"
    counts = Counter(judged)
    wrong = {key: n for key, n in counts.items() if key not in (repr(2 * x), repr(x + x * x))}
    assert len(wrong) > 20
    assert set(wrong.values()) == {1}


def test_a_change_must_be_right_in_every_batch() -> None:
    text = "def backward(x):\n    return [x * 2]\n"
    assert sought(text, lambda x: x * x.size, probes=1)[0].after in ("return [x * 3]", "return [x * len(x)]")
    (found,) = sought(text, lambda x: x * x.size, probes=3)
    assert found.after == "return [x * len(x)]"
    assert sought(text, lambda x: x * (3 if x.size == 3 else 7), probes=2) == ()
    (found,) = sought(text, lambda x: x * x.size, probes=3, may_fail=[1, 2])
    assert (found.after, found.alternatives) == ("return [x * len(x)]", ("line 2: return [x * 3]",))
    (partly,) = sought(text, lambda x: x * (3 if x.size > 1 else 7), probes=3, may_fail=[2])
    assert partly.after == "return [x * 3]"


# ---- Which lines are blamed


def test_the_expressions_that_compute_each_returned_gradient() -> None:
    def parts(end: str, names: list[str]) -> Any:
        source = source_of(f"def backward(x):\n    dW = 1\n    db = 2\n{end}")
        found = influence._result_expressions(source, names)
        return found and [p and (p[0].lineno, ast.unparse(p[1])) for p in found]

    both = ["W", "b"]
    assert parts("    return dW, db\n", both) == [(4, "dW"), (4, "db")]
    assert parts("    return db, dW, 1\n", both) == [(4, "dW"), (4, "db")]
    assert parts("    return {'b': db, 'W': dW * 2}\n", both) == [(4, "dW * 2"), (4, "db")]
    assert parts("    return {'dW': dW}\n", both) == [(4, "dW"), None]
    assert parts("    return {'W': db, 'b': dW}\n", both) == [(4, "db"), (4, "dW")]
    assert parts("    return {'q': dW}\n", both) is None
    assert parts("    g = {'b': db}\n    g['W'] = dW\n    return g\n", ["layers['W']", "b"]) == [(5, "dW"), (4, "db")]
    assert parts("    g = {}\n    g['W'] = 1\n    g['W'] += dW\n    return 1, g\n", ["W"]) == [(6, "dW")]
    assert parts("    if x:\n        return dW\n    return db\n", ["W"]) is None
    assert parts("    return\n", ["W"]) is None
    assert parts("    return dW\n", ["W"]) == [(4, "dW")]


def test_the_line_from_which_all_of_some_results_come() -> None:
    f = written("def backward(x):\n    g = x\n    h = g * 2\n    for k in x:\n        h += k\n    a = h\n    b = h\n"
                "    c = g\n    return a, b, c\n")  # fmt: skip
    names = ["a", "b", "c"]
    assert influence.line_of_all(f, [0, 1], names) == (5, "h += k")
    assert influence.line_of_all(f, [0, 1, 2], names) == (2, "g = x")
    assert influence.line_of_all(f, [0, 2], names) is None
    assert influence.line_of_all(f, [2], names) == (8, "c = g")
    assert [influence.line_of_result(f, k, names) for k in range(3)] == [(6, "a = h"), (7, "b = h"), (8, "c = g")]
    assert influence.line_of_all(len, [0], names) is None
    assert influence.line_of_result(len, 0, names) is None
    changed = written("def backward(x):\n    a = x * 3\n    a = x * 2\n    a += 1\n    b = np.zeros(3)\n    b += x\n"
                      "    return a, b\n")  # fmt: skip
    assert influence.line_of_result(changed, 0, ["a", "b"]) == (3, "a = x * 2; then line 4: a += 1")
    assert influence.line_of_result(changed, 1, ["a", "b"]) == (6, "b += x")
    direct = written("def backward(x):\n    return x * 2, x\n")
    assert influence.line_of_result(direct, 0, ["a", "x"]) == (2, "return x * 2, x")


# ---- What is tried in the place of an expression


def writer(numpy: str | None = "np", slices: tuple[str, ...] = (), **local: Any) -> CandidateWriter:
    scope = Scope({"np": np}, local, {})
    scope.find_atoms(set(local), {name: {"0"} for name in local})
    made = [ast.parse(f"q[{text}]", mode="eval").body.slice for text in slices]  # type: ignore[attr-defined]
    return CandidateWriter(ast.parse("pass").body[0], scope, numpy, made)


@pytest.mark.parametrize(
    ("text", "plain"),
    [("w[f, :, ::-1, ::-1]", "w[f]"), ("w[..., ::-1, ::-1]", "w"), ("w[::-1, :, ::-1, 0]", "w[:, :, :, 0]"),
     ("w[f, :, ::-1]", ""), ("w[f]", "")],
)  # fmt: skip
def test_a_kernel_that_is_flipped_is_taken_as_it_is(text: str, plain: str) -> None:
    node: Any = ast.parse(text, mode="eval").body
    found = said(writer(f=1)._subscript(node, None))  # type: ignore[arg-type]
    assert found == ([(1.1, plain)] if plain else [])


def test_a_name_is_not_assigned_to_itself() -> None:
    made = writer(db=np.ones(2), err=np.ones(2))
    made.place = ast.parse("db = db + err").body[0]
    texts = [ast.unparse(change.new) for change in made.changes() if isinstance(change.parent, ast.Assign)]
    assert "err" in texts
    assert "db" not in texts


def said(found: Any) -> list[tuple[float, str]]:
    return [(round(cost, 3), ast.unparse(node)) for cost, node in found if node is not None]


G = expression("g")


def test_an_array_is_turned_and_summed() -> None:
    w = writer()
    assert said(w._transposed(G, 1)) == []
    assert said(w._transposed(G, 2)) == [(1.05, "g.T"), (1.5, "g[::-1, ::-1]")]
    assert said(w._transposed(G, 3)) == [(1.1, "g.swapaxes(-1, -2)"), (1.5, "g[..., ::-1, ::-1]")]
    assert said(w._summed(G, 1)) == [(1.05, "g.sum(axis=0)"), (1.15, "g.sum(axis=0, keepdims=True)"), (1.1, "g.sum()")]
    assert [text for cost, text in said(w._summed(G, 3)) if cost == 1.05] == [
        "g.sum(axis=0)", "g.sum(axis=1)", "g.sum(axis=2)", "g.sum(axis=(1, 2))", "g.sum(axis=(0, 2))",
        "g.sum(axis=(0, 1))"]  # fmt: skip
    assert [text for cost, text in said(w._summed(G, 4)) if cost == 1.15][4:] == [
        f"g.sum(axis={axis}, keepdims=True)" for axis in
        ("(1, 2, 3)", "(0, 2, 3)", "(0, 1, 3)", "(0, 1, 2)", "(0, 1)", "(2, 3)")]  # fmt: skip
    more = expression("g + h")
    assert ast.unparse(w.sum(more, axis=0)) == "np.sum(g + h, axis=0)"
    assert ast.unparse(writer(None).sum(more, axis=-1, keepdims=True)) == "(g + h).sum(axis=-1, keepdims=True)"
    assert ast.unparse(w.sum(expression("f(g)"), keepdims=True)) == "f(g).sum(keepdims=True)"
    assert w.np("exp", G) is not None
    assert writer(None).np("exp", G) is None


def test_an_array_is_multiplied_by_something_in_scope() -> None:
    w, h = writer(), expression("h")
    assert said(w._by(G, h, np.ones(2, bool))) == [(1.2, "g * h"), (1.3, "g * ~h")]
    assert said(w._by(G, h, np.ones(2, int))) == [(1.2, "g * h"), (1.25, "g / h")]
    rest = [(1.2, "g * h"), (1.25, "g / h"), (1.3, "g * (h > 0)"), (1.3, "g * (1 - h ** 2)"), (1.3, "g * h * (1 - h)"),
            (1.35, "g * (1 - h)"), (1.35, "g * h ** 2"), (1.35, "g / h ** 2"), (1.4, "2 * g * h")]  # fmt: skip
    assert said(writer(None)._by(G, h, np.ones(2))) == rest
    assert said(w._by(G, h, np.ones(2))) == [
        *rest, *((1.4, f"g * np.{f}(h)") for f in ("cos", "exp", "sign", "sqrt")), (1.4, "g * (1 - np.tanh(h) ** 2)")]


def test_sizes_in_scope() -> None:
    w = writer(N=3, one=1, x=np.ones((3, 4)), y=np.ones((4, 5, 1)), z=np.ones(7))
    assert [ast.unparse(size) for size in w.sizes()] == ["N", "x.shape[1]", "y.shape[1]", "len(z)"]
    assert said(writer(N=3)._by_sizes(G)) == [(1.1, "g / N"), (1.15, "g * N"), (1.3, "g / np.sqrt(N)")]
    assert said(writer(None, N=3)._by_sizes(G)) == [(1.1, "g / N"), (1.15, "g * N")]
    assert said(writer(None, z=np.ones(7))._by_sizes(G)) == [(1.23, "g / len(z)"), (1.41, "g * len(z)")]


@pytest.mark.parametrize(
    ("value", "changes"),
    [
        (3, "4 2 -3 6 1.5 1"), (2, "3 1 -2 4"), (1, "2 0 -1 0.5"), (0, "1 -1"), (-1, "0 -2 1 -0.5"),
        (2.0, "3.0 1.0 -2.0 4.0 0.5"), (0.5, "1.5 -0.5 1.0 0.25 2.0"), (1e-3, ""), (-1e-3, ""), (0.0, "1.0 -1.0"),
        (1e-2, "1.01 -0.99 -0.01 0.02 0.005 1.0 100.0"), (1.0, "2.0 0.0 -1.0 0.5"),
    ],
)  # fmt: skip
def test_a_number_becomes_one_more_or_less_its_double_its_half_or_1(value: Any, changes: str) -> None:
    found = said(CandidateWriter._number(writer(), value))
    assert [float(text) for _, text in found] == pytest.approx([float(text) for text in changes.split()])
    assert all(("." in text) == ("." in change) for (_, text), change in zip(found, changes.split(), strict=True))
    last = [1.1] if changes and isinstance(value, float) and value not in (0.0, 1.0) and value != 2.0 else []
    costs = [cost for cost, _ in found]
    assert costs == [1.05] * (len(found) - len(last)) + last or value == 2.0


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("1:", [(1.1, ":"), (1.1, ":1")]), (":2", [(1.1, ":"), (1.1, "2:")]), (":", [(1.4, "::-1")]),
        ("1:2", [(1.1, ":2"), (1.1, "1:")]), ("::2", [(1.1, ":")]),
        ("1::2", [(1.1, "::2"), (1.1, ":1:2"), (1.1, "1:")]),
        (":2:3", [(1.1, "::3"), (1.1, "2::3"), (1.1, ":2")]),
    ],
)  # fmt: skip
def test_a_slice_loses_an_end_or_turns(text: str, changes: Any) -> None:
    node = ast.parse(f"q[{text}]", mode="eval").body.slice  # type: ignore[attr-defined]
    assert said(writer()._slice(node, None)) == changes  # type: ignore[arg-type]
    more = said(writer(slices=(text, "5:", "6:", "5:"))._slice(node, None))  # type: ignore[arg-type]
    assert more == [*changes, (1.2, "5:"), (1.2, "6:")]


@pytest.mark.parametrize(("text", "moved"), [("1:2", "k + 1:k + 2"), (":2", "k:k + 2"), ("1:", "k + 1:"), (":", ":"),
                                             ("1:2:3", "k + 1:k + 2:3")])  # fmt: skip
def test_a_slice_is_moved_by_a_name(text: str, moved: str) -> None:
    node = ast.parse(f"q[{text}]", mode="eval").body.slice  # type: ignore[attr-defined]
    assert ast.unparse(CandidateWriter._moved(node, expression("k"))) == moved
    assert CandidateWriter._moved(G, expression("k")) is G


def test_subscripts_of_einsum_are_exchanged() -> None:
    found = said(CandidateWriter._einsum("ij, j->i"))
    assert found == [
        (1.0, "'ji,j->i'"), (1.2, "'ij,j->i'"), (1.2, "'jj,j->i'"), (1.2, "'ii,j->i'"), (1.2, "'ij,j->i'"),
        (1.2, "'ij,i->i'"), (1.2, "'ij,j->i'"), (1.2, "'ij,j->i'"), (1.2, "'ij,j->j'"), (1.1, "'j,ij->i'"),
    ]  # fmt: skip
    assert said(CandidateWriter._einsum("ij,j")) == []


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("a + b", ["1.0 a", "1.0 b", "0.98 a - b", "1.1 a * b"]),
        ("a - b", ["1.0 a", "1.0 b", "0.98 a + b", "1.1 a * b", "0.99 b - a"]),
        ("a ** b", ["1.0 a"]), ("a @ b", ["1.0 a", "1.0 b", "1.1 a * b", "1.05 b @ a"]),
        ("a.T @ b", ["1.0 a.T", "1.0 b", "1.1 a.T * b", "1.05 b @ a.T", "1.2 a @ b.T"]),
        ("a.T @ b.T", ["1.0 a.T", "1.0 b.T", "1.1 a.T * b.T", "1.05 b.T @ a.T"]),
        ("a / b", ["1.0 a", "1.0 b", "1.1 a * b", "1.05 b / a", "1.2 a / b ** 2", "1.3 a / b ** 3",
                   "1.2 a / np.sqrt(b)"]),
        ("a // b", ["1.0 a", "1.0 b", "1.1 a / b", "1.1 a % b"]), ("a % b", ["1.0 a", "1.0 b", "1.1 a // b"]),
        ("a * b", ["1.0 a", "1.0 b", "1.1 a / b", "1.1 a @ b", "1.4 a + b"]),
        ("a * b * (1 - b)", ["1.0 a * b", "1.0 1 - b", "1.1 a * b / (1 - b)", "1.1 a * b @ (1 - b)",
                             "1.4 a * b + (1 - b)", "1.2 a * b * 1 - b", "1.1 a", "1.1 b",
                             "1.5 b * (a - np.sum(a * b, axis=-1, keepdims=True))"]),
    ],
)  # fmt: skip
def test_operands_and_operators_are_exchanged(text: str, changes: list[str]) -> None:
    assert [f"{cost} {new}" for cost, new in said(writer()._binop(expression(text), None))] == changes  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("g * (1 - h)", 3), ("(1 - h) * g", 3), ("g * h * (1 - h)", 6), ("g * (h > 0)", 3), ("g * h", 0),
        ("g * w[0]", 0), ("g * (1 - w[0])", 3), ("g * (1 - m)", 3), ("g * (h * (1 - h))", 3),
    ],
)  # fmt: skip
def test_the_derivative_of_another_activation_takes_the_place_of_one(text: str, count: int) -> None:
    h, w = np.ones((2, 3)), [np.zeros((2, 3))]
    found = said(writer(g=2 * h, h=h, m=h > 0, n=np.ones(3), w=w)._with_other_slope(expression(text)))
    assert len(found) == count, found
    slopes = {"(h > 0)", "(1 - h ** 2)", "h * (1 - h)"}
    assert not count or {new.replace("g * ", "", 1) for _, new in found if new.startswith("g * ")} >= slopes


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("a + b + c", []), ("a - b - c", ["a - (b - c)"]), ("a - b + c", ["a - (b + c)"]),
        ("a * b + c", ["a * (b + c)"]),
        ("a * (b + c)", ["a * b + c"]), ("a - (b - c)", ["a - b - c"]), ("a / b / c", ["a / (b / c)"]),
        ("np.sum(a) * b", ["np.sum(a * b)"]), ("b * np.sum(a, axis=0)", ["np.sum(b * a, axis=0)"]),
        ("g.sum(axis=0) / b", ["(g / b).sum(axis=0)"]), ("np.sqrt(a) + b", ["np.sqrt(a + b)"]), ("np.exp(a) + b", []),
        ("b - np.mean(a)", ["np.mean(b - a)"]), ("a / (b * c)", ["a / b * c"]), ("a * b * c", []),
    ],
)  # fmt: skip
def test_parentheses_at_another_place(text: str, changes: list[str]) -> None:
    found = said(writer(g=np.ones((2, 2)))._regrouped(expression(text)))
    assert [new for _, new in found] == changes
    assert {cost for cost, _ in found} <= ({1.3} if "(" in text and "sum" in text + str(changes) else {1.2, 1.3})


def called(text: str, **local: Any) -> list[tuple[float, str]]:
    return said(writer(**local)._call(expression(text), None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("np.sin(x)", ["1.1 np.cos(x)", "1.1 x"]), ("np.exp(x)", ["1.1 np.log(x)", "1.1 x", "1.4 1 - np.exp(x) ** 2"]),
        ("np.tanh(x)", ["1.1 np.cosh(x)", "1.1 x", "1.4 1 - np.tanh(x) ** 2"]),
        ("np.sqrt(x + e)", ["1.1 np.square(x + e)", "1.1 x + e", "1.2 np.sqrt(x) + e"]),
        ("np.maximum(x, 0)", ["1.1 np.minimum(x, 0)", "1.1 x", "1.1 np.maximum(0, x)"]),
        ("np.where(c, x, 0)", ["1.1 c", "1.1 np.where(x, c, 0)", "1.1 np.where(c, 0, x)"]),
        ("np.dot(x, x2)", ["1.1 np.outer(x, x2)", "1.1 np.dot(x2, x)", "1.2 x * x2"]),
        ("np.matmul(x, x2)", ["1.1 np.matmul(x2, x)", "1.2 x * x2"]), ("f(x)", []), ("x.copy()", ["1.1 x"]),
        ("np.zeros(n, m)", ["1.1 np.ones(n, m)"]), ("range(n)", ["1.2 reversed(range(n))", "1.2 range(1, n)"]),
        ("range(1, n)", ["1.1 range(n, 1)", "1.2 reversed(range(1, n))"]), ("range()", []),
        ("x.T.reshape(2)", ["1.1 x.T"]),
    ],
)  # fmt: skip
def test_a_call_becomes_another(text: str, changes: list[str]) -> None:
    found = called(text, x=np.ones(3))
    assert [f"{cost} {new}" for cost, new in found] == changes


def test_a_reduction_over_other_axes() -> None:
    x = np.ones((2, 3))
    plain = [(1.1, "x.mean(axis=0)"), (1.1, "x.max(axis=0)"), (1.0, "x")]
    assert called("x.sum(axis=0)", x=x) == [
        *plain, (1.0, "x.sum()"), (1.1, "x.sum(keepdims=True)"), (1.1, "x.sum(axis=0, keepdims=True)"),
        (1.0, "x.sum(axis=1)"), (1.1, "x.sum(axis=1, keepdims=True)"),  # and not axis=-1 or axis=(1,)
    ]  # fmt: skip
    kept = called("np.max(x, 1, keepdims=True)", x=x)
    assert [text for _, text in kept[:6]] == [
        "np.sum(x, 1, keepdims=True)", "np.mean(x, 1, keepdims=True)", "x", "np.max(x, keepdims=True)", "np.max(x)",
        "np.max(x, axis=0, keepdims=True)"]  # fmt: skip
    assert (1.1, "np.max(x, axis=1)") in kept
    end = [text for _, text in called("x.sum(axis=-2)", x=x)]
    assert "x.sum(axis=-1)" in end
    assert not {"x.sum(axis=1)", "x.sum(axis=(1,))"} & {*end}
    masks = [text for _, text in said(writer(m=x)._compare(expression("m > 0"), None))]  # type: ignore[arg-type]
    assert masks == ["m >= 0", "m < 0", "m <= 0", "m"]
    assert (1.0, "np.max(x, axis=1, keepdims=True)") not in kept
    deep = [text for _, text in called("y.sum()", y=np.ones((2, 2, 2)))]
    assert {f"y.sum(axis={a})" for a in ("(1, 2)", "(0, 2)", "(0, 1)", "(0, 1, 2)", "(-2, -1)", 2)} < {*deep}
    assert "y.sum(axis=-1)" not in deep
    assert len(deep) == len({*deep})
    inner = called("np.sum(a * b, axis=0)")
    assert inner[-2:] == [(1.3, "np.sum(a, axis=0) * b"), (1.3, "a * np.sum(b, axis=0)")]


def test_a_users_loop_may_have_many_iterations() -> None:
    assert (Ticker().count, Ticker().limit) == (0, 10_000_000)


def test_the_value_after_a_statement_of_nothing() -> None:
    found = _after(ast.parse("d = x[:0]").body[0], {"x": np.arange(3.0)}, reader("d"), Ticker())
    assert _is_close(found, np.zeros(0))
    assert not _is_close(found, np.zeros(1))


STEP = """def helper(h):
    u = h * 3
    return u


def backward(x, n):
    d = x * 3
    for k in range(n):
        e = d + k
        d = d * 2
    return helper(d) + e
"""


@pytest.mark.parametrize(
    ("name", "line", "wanted", "visit", "after"),
    [
        ("d", 7, lambda x: 2 * x, -1, "d = x * 2"), ("e", 9, lambda x: 12 * x - 2, -1, "e = d - k"),
        ("e", 9, lambda x: 6 * x - 1, 1, "e = d - k"), ("d", 10, lambda x: 48 * x, -1, "d = d * 4"),
        ("d", 10, lambda x: 12 * x, 0, "d = d * 4"), ("u", 2, lambda x: 48 * x, -1, "u = h * 2"),
        ("e", 9, lambda x: 12 * x - 2, 7, "e = d - k"),
        ("d", 7, lambda x: np.exp(7 * x), -1, None), ("d", 8, lambda x: x, -1, None),
        ("d", 99, lambda x: x, -1, None),
    ],
)  # fmt: skip
def test_a_single_line_is_corrected(name: str, line: int, wanted: Any, visit: int, after: str | None) -> None:
    x, traced = [np.array([1.5, -2.0, 0.3]), np.array([0.7, 2.2])], sys.gettrace()
    found = edit_of_step(written(STEP), lambda f, probe: f(x[probe], 3), name, line, [wanted(a) for a in x],
                         visit=visit)  # fmt: skip
    assert (found and found.after) == after
    assert sys.gettrace() is traced
    if found is not None:
        assert (found.lineno, found.function) == (line, "helper" if line < 5 else "backward")
        some = edit_of_step(written(STEP), lambda f, probe: f(x[probe], 3), name, line, [wanted(x[0]), None],
                            visit=visit)  # fmt: skip
        assert some is not None


def wrapped(text: str, holder: Any, field: str = "value", far: Any = None, **local: Any) -> list[str]:
    w = writer(**local)
    if far is not None:
        w.scope = Scope({"np": np}, local, {"far": far})
        w.scope.find_atoms(set(), {})
    node = expression(text)
    found = said(w.added(node, np.asarray(w.scope.value(node)), Spot(node, holder, field, None)))
    return [f"{cost} {new}" for cost, new in found]


SUMMED = ["1.05 g.sum(axis=0)", "1.15 g.sum(axis=0, keepdims=True)", "1.1 g.sum()"]
SLOPES = ["1.15 {} ** 2", "1.25 np.sqrt({})", "1.3 1 - {}", "1.3 1 - {} ** 2", "1.35 1 / {}", "1.35 {} * (1 - {})",
          "1.35 np.sign({})", "1.37 np.abs({})", "1.39 np.cos({})", "1.41 np.sin({})", "1.43 np.exp({})",
          "1.45 np.log({})", "1.47 np.tanh({})"]  # fmt: skip
FACTORS = ["1.0 -{}", "1.1 2 * {}", "1.12 {} / 2"]
TERMS = ["1.4 g + g", "1.45 g - g", "1.6 g - g", "1.5 g - g.mean(axis=0, keepdims=True)"]


def of(rows: list[str], text: str = "g") -> list[str]:
    return [row.replace("{}", text) for row in rows]


def by(other: str, cost: float = 0.0) -> list[str]:
    found = said(writer()._by(G, expression(other), np.ones(1)))
    return [f"{round(c + cost, 3)} {text}" for c, text in found]


def test_an_expression_is_put_into_something_more() -> None:
    plain, g = ast.parse("d = g").body[0], np.ones(2)
    sizes = ["1.23 g / len(g)", "1.41 g * len(g)", "1.43 g / np.sqrt(len(g))"]
    assert wrapped("g", plain, g=g) == [*SUMMED, *of(SLOPES), *of(FACTORS), *sizes, *by("g"), *TERMS]
    images = wrapped("g", plain, g=np.ones((2, 2, 2, 2)))
    assert {"1.15 g.transpose(0, 2, 3, 1)", "1.15 g.transpose(0, 3, 1, 2)"} < {*images}  # channels last, and back
    assert wrapped("g", expression("g * h"), "left", g=g) == [*SUMMED, *of(SLOPES), *TERMS]
    assert wrapped("g", expression("g / h"), "left", g=g) == [*SUMMED, *of(SLOPES), *TERMS]
    for text in ("g + h", "g - h"):
        assert wrapped("g", expression(text), "left", g=g) == [
            *SUMMED, *of(SLOPES), *of(FACTORS), *sizes, *by("g")]  # fmt: skip
    of_s = [row.replace("g", "s").replace("sisn", "sign") for row in by("s")]
    assert wrapped("s", plain, s=2.5) == [*of(SLOPES, "s"), *of(FACTORS, "s"), *of_s]
    assert wrapped("m", plain, m=g > 0) == ["1.2 ~m"]
    assert wrapped("m", expression("g[m]"), "slice", m=g > 0) == ["1.2 ~m"]
    assert wrapped("i", expression("g[i]"), "slice", i=np.ones(2, int)) == []
    assert wrapped("v", expression("g[v]"), "slice", v=np.ones((2, 2))) == []
    assert wrapped("v", expression("v[g]"), "value", v=g) != []
    for text in ("v.shape", "v.size"):  # the size of another axis is v.shape[1], not v.T.shape[0]
        assert wrapped("v", expression(text), "value", v=np.ones((2, 2))) == []
    turned = wrapped("g", expression("g * h"), "left", g=np.ones((2, 3)))
    assert turned[:2] == ["1.05 g.T", "1.5 g[::-1, ::-1]"]
    assert turned[-2:] == [f"1.5 g - g.mean(axis={k}, keepdims=True)" for k in (0, 1)]


def test_values_of_other_shapes_and_from_elsewhere_cost_more() -> None:
    plain, g = ast.parse("d = g").body[0], np.ones(2)
    large = [row for row in wrapped("g", plain, g=g, y=np.ones((3, 2))) if "y" in row and "len" not in row]
    assert large == ["1.4 g * y"]
    assert [row for row in wrapped("g", plain, g=g, y=np.ones(3)) if "y" in row and "len" not in row] == []
    small = wrapped("g", plain, g=g, y=np.ones(1))
    assert "1.2 g * y" in small
    terms = [row for row in small if row.endswith(("g + y", "g - y", "y - g"))]
    assert terms == ["1.5 g + y", "1.55 g - y", "1.7 y - g"]
    far = wrapped("g", plain, far=np.ones(2), g=g)
    assert [row for row in by("far", 0.3) if row not in far] == []
    assert "1.4 g + far" in far
    inner = wrapped("g * h", expression("g * h + 1"), "left", g=g, h=g)
    assert inner[-2:] == [f"1.7 {a} * ({b} - np.sum(g * h, axis=-1, keepdims=True))" for a, b in ("gh", "hg")]


def test_a_name_in_all_its_places_becomes_another() -> None:
    def renamed(line: str, **local: Any) -> list[tuple[float, str]]:
        w = writer(**local)
        w.place = ast.parse(line).body[0]
        return said(
            (c.cost, c.new) for c in _renamed_everywhere(w, lambda cost, new: Change(cost, None, "", 0, new, w.place))
        )

    g = np.ones((2, 2))
    assert renamed("d = g * g + h", g=g, h=g, k=np.ones(2), n=3) == [(1.15, "d = h * h + h")]
    assert renamed("d = g * g - h * h", g=g, h=g, x=g) == [
        (1.15, "d = h * h - h * h"), (1.15, "d = x * x - h * h"), (1.15, "d = g * g - g * g"),
        (1.15, "d = g * g - x * x")]  # fmt: skip
    assert renamed("d = g * h", g=g, h=g) == []
    assert renamed("g[g] = g", g=g, h=g) == [(1.15, "h[h] = h")]
    assert renamed("d = n * n", n=3, k=4) == []
    assert renamed("if g.any(): d = g", g=g, h=g) == []
    assert renamed("d += d + d", d=g, h=g) == [(1.15, "d += h + h")]


def test_tuples_are_reordered_moved_and_multiplied() -> None:
    def tuples(text: str, holder: Any = None, **local: Any) -> list[str]:
        node = ast.parse(f"q[{text}]", mode="eval").body.slice  # type: ignore[attr-defined]
        found = writer(**local)._tuple(node, Spot(node, holder, "value", None))
        return [f"{cost} {shown(new).strip('()')}" for cost, new in found]

    assert tuples("2, 4", k=3) == ["1.4 2 * k, 4 * k", "1.1 4, 2"]
    assert tuples("2, 4") == ["1.1 4, 2"]
    assert tuples("2,", k=3) == []
    assert tuples("x, 4", k=3, x=np.ones(2)) == ["1.1 4, x"]
    assert tuples("1:, 2", k=3) == ["1.1 2, 1:"]
    assert tuples("1:, :2", k=3) == ["1.4 k + 1:, :k + 2".replace(":k + 2", "k:k + 2"), "1.1 :2, 1:"]
    assert tuples("a, b, c") == ["1.1 b, a, c", "1.1 c, b, a", "1.1 a, c, b", "1.2 c, b, a"]
    assert tuples("a, b, c", ast.Return())[3:] == []
    assert tuples("a, b, c, d", ast.Return())[6:] == ["1.1 c, d, a, b"]
    assert tuples("a, b", ast.Return()) == ["1.1 b, a"]
    assert len(tuples(", ".join("abcdefgh"))) == 29
    assert tuples(", ".join("abcdefghi")) == []


def test_what_a_function_does_without_its_docstring() -> None:
    for first, count in (("'Says.'", 1), ("x.sort()", 2), ("...", 1), ("x = 'text'", 2)):
        assert len(source_of(f"def backward(x):\n    {first}\n    return x\n").statements) == count


def test_names_of_the_module_that_a_function_does_not_use_are_not_offered() -> None:
    far = np.array([5.0, 7.0, 11.0])
    for more, after in (("", None), ("    e = far\n", "d = far")):
        f = written(f"def backward(x):\n    d = x\n{more}    return d\n", far=far)
        found = edit_of_step(f, lambda f, probe: f(np.array([0.3, 1.7, -2.0])), "d", 2, [far])
        assert (found and found.after) == after
    text = "def helper(h):\n    u = h\n    return u\n\n\ndef backward(x):\n    return helper(x)\n"
    assert edit_of_step(written(text, far=far), lambda f, probe: f(np.array([0.3, 1.7, -2.0])), "u", 2, [far]) is None
