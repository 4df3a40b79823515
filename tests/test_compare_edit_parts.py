"""The parts of the search for a change of the source: its kind, its text in the person's own words, its sentence."""

from __future__ import annotations

import ast
import itertools
import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compare.edits import influence, search
from tinygrad_nn.compare.edits.kinds import _about, _called, _is_size, _wraps, kind_of
from tinygrad_nn.compare.edits.reading import Source, read
from tinygrad_nn.compare.edits.search import arguments_of, described, nearest_edits, numpy_name, slices_of
from tinygrad_nn.compare.edits.text import after_and_before, line_of
from tinygrad_nn.compare.edits.trees import Change, spots, statements

Array = Any
_counter = itertools.count()


def written(text: str, name: str = "backward", **names: Any) -> Callable[..., Any]:
    """Run a text as a file that a person wrote, and return a function of it."""
    file = f"/somewhere/part{next(_counter)}.py"
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    space: dict[str, Any] = {"np": np, "__name__": "somebody", **names}
    exec(compile(text, file, "exec"), space)
    f: Callable[..., Any] = space[name]
    return f


def source_of(text: str, name: str = "backward", **names: Any) -> Source:
    found = read(written(text, name, **names))
    assert found is not None
    return found


def expression(text: str) -> Any:
    return ast.parse(text, mode="eval").body


def change_in(source: Source, old: str, new: str, line: int = 0, which: int = 0) -> tuple[Change, Any]:
    """Return the change of an expression, or of a whole statement, in a source, and what stands there."""
    for stmt, holder, field, at in statements(source.statements):
        if line and stmt.lineno != line:
            continue
        if ast.unparse(stmt) == old:
            made = ast.parse(new).body[0]
            holder = source.tree if isinstance(holder, ast.Module) else holder
            at = getattr(holder, field).index(stmt)
            return Change(1.0, holder, field, at, made, stmt), stmt
        found = [s for s in spots(stmt) if ast.unparse(s.node) == old]
        if len(found) > which:
            spot = found[which]
            return Change(1.0, spot.holder, spot.field, spot.at, expression(new), stmt), spot.node
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
    (spot, *_) = [s for s in spots(stmt) if shown(s.node) == old]
    made = ast.parse(f"q[{new.strip('()')}]", mode="eval").body.slice if ":" in new else expression(new)  # type: ignore[attr-defined]
    assert kind_of(source, Change(1.0, spot.holder, spot.field, spot.at, made, stmt), spot.node) == said


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
        ("d = f(g, out=h)", "h", "k", "wrong_value"),
        # signs
        ("d = g", "g", "-g", "sign"), ("d = -g", "-g", "g", "sign"), ("d = a + b", "a + b", "a - b", "sign"),
        ("d = a - b", "a - b", "a + b", "sign"), ("d = a - b", "a - b", "b - a", "sign"),
        ("d = a / b", "a / b", "b / a", "edit"), ("d = a + b", "a + b", "c - b", "edit"),
        # turns
        ("d = g", "g", "g.T", "transpose"), ("d = g.T", "g.T", "g", "transpose"),
        ("d = g", "g", "g.swapaxes(0, 1)", "transpose"),
        ("d = g.transpose(1, 0)", "g.transpose(1, 0)", "g", "transpose"),
        ("d = g", "g", "g[::-1]", "flipped_kernel"), ("d = g", "g", "g[1:]", "wrong_index"),
        ("d = g[0]", "g[0]", "g", "wrong_index"), ("d = a @ b", "a @ b", "b @ a", "transpose"),
        ("d = a @ b", "a @ b", "a * b", "wrong_derivative"), ("d = a * b", "a * b", "a @ b", "wrong_derivative"),
        ("d = np.einsum('ij,jk->ik', a)", "'ij,jk->ik'", "'ji,jk->ik'", "transpose"),
        ("d = np.einsum('ij, jk->ik', a)", "'ij, jk->ik'", "'ij,kj->ik'", "transpose"),
        ("d = np.einsum('ij,jk->ik', a)", "'ij,jk->ik'", "'ij,kk->ik'", "wrong_axis"),
        # terms
        ("d = g", "g", "g - g.mean(axis=0)", "statistic_as_constant"), ("d = g", "g", "g + h", "product_rule_half"),
        ("d = g", "g", "g + skip", "residual_forgotten"), ("d = g", "g", "h + g", "wrong_derivative"),
        ("d = g", "g", "g - h.mean()", "product_rule_half"), ("d = g", "g", "g + 1", "edit"),
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
    found = _about(expression(text))
    assert (found if found is None else ast.unparse(found)) == about
    assert _called(expression(text)) == called


def test_an_expression_is_wrapped_by_a_call_or_a_sum() -> None:
    g, more, call, minus = (expression(text) for text in ("g", "g + 1", "f(g)", "-g"))
    assert _wraps(g, more)
    assert _wraps(g, call)
    assert not _wraps(g, minus)
    assert not _wraps(more, g)
    assert not _wraps(call, more)
    assert not _wraps(ast.Pass(), call)


# ---- The person's own text

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
def test_a_change_is_shown_in_the_persons_own_text(line: int, old: str, new: str, after: str, before: str) -> None:
    source = source_of(TEXT)
    stmts = [s for s in statements(source.statements) if s[0].lineno == line]
    change, _ = change_in(Only(source, stmts[-1]), old, new)
    shape = ast.dump(source.tree)
    assert after_and_before(source, change) == (after, before)
    assert line_of(source, change) == line
    assert ast.dump(source.tree) == shape


class Only:
    """A source of which one statement is seen."""

    def __init__(self, source: Source, only: Any) -> None:
        stmt, holder, *_ = only
        self.statements = [stmt]
        self.tree = source.tree if isinstance(holder, ast.Module) else holder


def test_a_change_of_a_lambda_is_shown_without_return() -> None:
    source = source_of("f = lambda x, g: (g * x, g\n)\n", "f")
    change, _ = change_in(source, "g * x", "-(g * x)")
    assert after_and_before(source, change) == ("(-(g * x), g )", "(g * x, g )")
    change, _ = change_in(source, "(g * x, g)", "(g, g * x)")
    assert after_and_before(source, change)[0] == "(g, g * x)"


# ---- The sentence


def test_the_smallest_change_is_told_and_others_beside_it() -> None:
    source = source_of("def backward(x, g):\n    d = g * x\n    e = d\n    return e\n")

    def one(cost: float, old: str, new: str, line: int, fixes: tuple[int, ...] = (0,)) -> Any:
        return cost, source, change_in(source, old, new, line)[0], frozenset(fixes)

    found = described([one(1.2, "g * x", "g", 2), one(1.1, "g", "-g", 2, (2, 1)), one(1.3, "d", "2 * d", 3),
                       one(1.31, "d", "d.T", 3), one(1.1, "g", "-g", 2), one(1.4, "d", "3 * d", 3),
                       one(1.5, "d", "4 * d", 3)], source)  # fmt: skip
    assert (found.lineno, found.before, found.after) == (2, "d = g * x", "d = -g * x")
    assert found.sentence == "Line 2: d = -g * x would be right; it says d = g * x."
    assert found.alternatives == ("line 2: d = g", "line 3: e = d.T", "line 3: e = 2 * d")
    assert (found.fixes, found.names, found.function) == ((1, 2), ("d",), "backward")
    assert (found.kind, found.kinds) == ("sign", ("wrong_value", "transpose", "scale"))
    left_out = described([one(1.0, "e = d", "pass", 3), one(1.2, "d = g * x", "pass", 2)], source)
    assert left_out.sentence == "Line 3: it would be right without e = d."
    assert left_out.alternatives == ("line 2: without d = g * x",)
    assert (left_out.kind, left_out.kinds) == ("edit", ())


def test_costs_that_are_nearly_equal_count_as_one_and_the_shorter_change_is_told() -> None:
    source = source_of("def backward(x, g):\n    d = g * x\n    return d\n")

    def told(*changes: tuple[float, str]) -> str:
        every = [(cost, source, change_in(source, "g * x", new, 2)[0], frozenset({0})) for cost, new in changes]
        return described(every, source).after

    assert told((1.1, "g * x * 10"), (1.14, "-g")) == "d = -g"
    assert told((1.1, "g * x * 10"), (1.16, "-g")) == "d = g * x * 10"
    assert told((1.14, "g * z"), (1.12, "g * y")) == "d = g * y"


def test_a_line_of_another_function_is_named_with_it() -> None:
    main, helper = source_of("def backward(x):\n    return x\n"), source_of("def half(x):\n    return x / 2\n", "half")
    file = Path(helper.function.__code__.co_filename).name
    assert search._named(helper, main) == f", in half of {file}"
    assert search._named(helper, helper) == ", in half"
    hidden = source_of("f = lambda x: x\n", "f")
    assert search._named(hidden, hidden) == ", in a lambda"
    change, _ = change_in(helper, "x", "3 * x")
    assert described([(1.0, helper, change, frozenset({0}))], main).sentence == (
        f"Line 2, in half of {file}: return 3 * x / 2 would be right; it says return x / 2.")  # fmt: skip


def test_the_arguments_and_the_name_of_numpy_and_the_slices_of_a_function() -> None:
    text = ("def backward(x, k=2, *, m):\n    d = x[1:] + x[:k] + x[1:]\n    d[2:] = 0\n    return n.exp(d)\n")
    source = source_of(text, n=np)
    f = source.function
    assert arguments_of(source, f, lambda f, probe: f(probe, m=5)) == ((0,), {"m": 5})
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
    assert sorted((e.after, e.fixes) for e in two) == [("a = x * 2", (0,)), ("b = x + -1", (1,))]
    both = sought("def backward(x):\n    h = x * 3\n    a = h\n    b = h + 1\n    return a, b\n",
                  lambda x: 2 * x, lambda x: 2 * x + 1)  # fmt: skip
    assert [(e.after, e.fixes) for e in both] == [("h = x * 2", (0, 1))]


def test_what_is_right_in_one_batch_only_is_no_change() -> None:
    text = "def backward(x):\n    return [x * 2]\n"
    assert sought(text, lambda x: x * x.size, probes=1)[0].after in ("return [x * 3]", "return [x * len(x)]")
    (found,) = sought(text, lambda x: x * x.size, probes=3)
    assert found.after == "return [x * len(x)]"
    assert sought(text, lambda x: x * (3 if x.size == 3 else 7), probes=2) == ()
    (partly,) = sought(text, lambda x: x * (3 if x.size > 1 else 7), probes=3, may_fail=[2])
    assert partly.after == "return [x * 3]"


# ---- Which lines are blamed


def test_the_parts_of_what_is_returned() -> None:
    def parts(end: str, names: list[str]) -> Any:
        source = source_of(f"def backward(x):\n    dW = 1\n    db = 2\n{end}")
        found = influence._parts(source, names)
        return found and [p and (p[0].lineno, ast.unparse(p[1])) for p in found]

    both = ["W", "b"]
    assert parts("    return dW, db\n", both) == [(4, "dW"), (4, "db")]
    assert parts("    return db, dW, 1\n", both) == [(4, "dW"), (4, "db")]
    assert parts("    return {'b': db, 'W': dW * 2}\n", both) == [(4, "dW * 2"), (4, "db")]
    assert parts("    return {'dW': dW}\n", both) == [(4, "dW"), None]
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
    direct = written("def backward(x):\n    return x * 2, x\n")
    assert influence.line_of_result(direct, 0, ["a", "x"]) == (2, "return x * 2, x")
