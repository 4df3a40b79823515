"""Parts of the search for a source edit: statements, values, scopes, programs, and the lines to blame."""

import ast
import itertools
import linecache
import math
import sys
from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compare.edits import running
from tinygrad_nn.compare.edits.dependencies import reader
from tinygrad_nn.compare.edits.influence import influencing, names_of
from tinygrad_nn.compare.edits.program import UNCHANGED, Program, _assigned, _returns, _writes, assigned_names, digest
from tinygrad_nn.compare.edits.reading import read_source, with_ticks
from tinygrad_nn.compare.edits.running import Stopped, Ticker, copy_names, copy_value, without_output
from tinygrad_nn.compare.edits.scope import ATOMS, ITEMS, Scope, can_broadcast, fields_used, is_array, is_integer
from tinygrad_nn.compare.edits.step import CLOSE, _after, _is_close, _statement
from tinygrad_nn.compare.edits.trees import Change, constant, expressions_read, statements, with_location

Array = Any
_counter = itertools.count()


def written(text: str, name: str = "backward", **names: Any) -> Callable[..., Any]:
    """Run source text as if it were a user's file, and return one of its functions."""
    file = f"<part {next(_counter)}>"
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    space: dict[str, Any] = {"np": np, "__name__": "somebody", **names}
    exec(compile(text, file, "exec"), space)
    return space[name]


def statement(text: str) -> Any:
    return ast.parse(text).body[0]


# ---- Statements


@pytest.mark.parametrize(
    ("text", "returns", "writes", "names"),
    [
        ("x = 1", False, False, "x"), ("return x", True, False, ""), ("x += 1", False, True, "x"),
        ("if a:\n    return x", True, False, ""), ("def f():\n    return 1", False, False, "f"),
        ("x = lambda: 1", False, False, "x"), ("for i in a:\n    x = i", False, False, "i x"),
        ("x[0] = 1", False, True, ""), ("x.a = 1", False, True, ""), ("del x", False, True, "x"),
        ("f(x)", False, True, ""), ("y = f(x, out=x)", False, True, "y"), ("y = x.pop()", False, True, "y"),
        ("y = x.sum()", False, False, "y"), ("y = x[0]", False, False, "y"), ("x, (y, *z) = a", False, False, "x y z"),
        ("with a as b:\n    c = 1", False, False, "b c"),
        ("class Own:\n    def f(self):\n        return 1", False, False, "Own f"),
        ("x = [k for k in a]", False, False, "k x"), ("while a:\n    return", True, False, ""),
    ],
)  # fmt: skip
def test_what_a_statement_does(text: str, returns: bool, writes: bool, names: str) -> None:
    tree = statement(text)
    assert (_returns(tree), _writes(tree)) == (returns, writes)
    assert " ".join(sorted(assigned_names([tree]))) == names


def test_a_count_of_rounds_is_no_writing() -> None:
    tree = ast.parse("for i in a:\n    x = i\nwhile a:\n    y = 1")
    with_ticks(tree)
    assert ast.unparse(tree).count("__tick__()") == 2
    assert not _writes(tree)


@pytest.mark.parametrize(
    ("text", "stores", "loads"),
    [
        ("x = a + b", "x", "a b"), ("x += a", "x", "a x"), ("x[i] = a", "x", "a i x"), ("x.y = a", "x", "a x"),
        ("x[i].y[j] += a", "x", "a i j x"), ("a.append(b)", "a b", "a b"),
        ("np.add.at(x, i, g)", "g i np x", "g i np x"),
        ("for i in a:\n    x = b", "i", "a"), ("if a:\n    x = b", "", "a"), ("return x, y", "", "x y"),
        ("def f(a):\n    return a * b", "f", "a b"), ("f(a)[0].b = c", "", "a c f"), ("x, y = a", "x y", "a"),
    ],
)  # fmt: skip
def test_the_names_that_a_statement_assigns_and_reads(text: str, stores: str, loads: str) -> None:
    found = names_of(statement(text))
    assert tuple(" ".join(sorted(names)) for names in found) == (stores, loads)


def test_the_names_that_an_assignment_binds_or_writes_into() -> None:
    found = {text: _assigned(statement(text)) for text in ("x = y = a", "x[i] = a", "x += a", "x, y.z = a",
    "x.a[0] -= 1")}
    assert found == {"x = y = a": ["x", "y"], "x[i] = a": ["x", "i"], "x += a": ["x"], "x, y.z = a": ["x", "y"],
                     "x.a[0] -= 1": ["x"]}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-1", -1), ("- -2", 2), ("1.5", 1.5), ("True", None), ("'a'", None), ("x", None), ("-x", None),
     ("+1", None), ("1 + 1", None), ("1j", None), ("None", None)],
)  # fmt: skip
def test_numbers_that_are_written(text: str, value: Any) -> None:
    assert constant(ast.parse(text, mode="eval").body) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = a + b", ["a + b", "a", "b"]), ("x[i] = a", ["i", "a"]), ("x.y = a", ["a"]),
        ("f(a, k=b)", ["f(a, k=b)", "a", "b"]),
        ("x = a.f(b)", ["a.f(b)", "a", "b"]), ("x = lambda y: y", ["lambda y: y"]),
        ("x += a[1:]", ["a[1:]", "a", "1:", "1"]),
        ("return [k for k in a if b]", ["[k for k in a if b]", "k", "a", "b"]),
        ("x = f(a)(b)", ["f(a)(b)", "f(a)", "a", "b"]),
        ("x[a[i]] = b", ["a[i]", "a", "i", "b"]), ("if a:\n    x = b", ["a"]), ("for i in a: pass", ["a"]),
        ("del x[i]", ["i"]),
    ],
)  # fmt: skip
def test_the_expressions_that_are_read(text: str, found: list[str]) -> None:
    assert [ast.unparse(spot.node) for spot in expressions_read(statement(text))] == found
    for spot in expressions_read(statement(text)):
        held = getattr(spot.parent, spot.field)
        assert (held if spot.position is None else held[spot.position]) is spot.node


def test_statements_inside_of_others_come_with_what_holds_them() -> None:
    tree = ast.parse("if a:\n    b\nelse:\n    c\ntry:\n    d\nfinally:\n    e\nf")
    found = [(ast.unparse(s).split("\n")[0], type(h).__name__, field, i) for s, h, field, i in statements(tree.body)]
    assert found == [
        ("if a:", "Module", "body", 0), ("try:", "Module", "body", 1), ("f", "Module", "body", 2),
        ("b", "If", "body", 0),
        ("c", "If", "orelse", 0), ("d", "Try", "body", 0), ("e", "Try", "finalbody", 0),
    ]  # fmt: skip


def test_new_syntax_nodes_get_the_location_of_the_replaced_one() -> None:
    old: Any = statement("x = aa * bb")
    new = with_location(ast.BinOp(old.value, ast.Add(), ast.Constant(1)), old)
    assert (new.lineno, new.col_offset, new.right.col_offset) == (1, 0, 0)
    assert new.left is old.value
    assert (new.left.col_offset, new.left.right.col_offset) == (4, 9)


# ---- Values

Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (np.ones(2), np.ones(2), True), (np.ones(2), np.ones((2, 1)), False),
        (np.ones(2), np.ones(2, np.float32), False),
        (np.ones(2), np.array([1.0, 2.0]), False), (1, 1, True), (1, 2, False), (np.float64(1), np.float64(1), True),
        ([1, np.ones(2)], [1, np.ones(2)], True), ([1, np.ones(2)], [1, np.zeros(2)], False), ((1,), [1], True),
        ({"a": 1}, {"a": 1}, True), ({"a": 1}, {"a": 2}, False), ({"a": 1}, {"b": 1}, False), ([], [], True),
    ],
)  # fmt: skip
def test_equal_values_have_one_digest(one: Any, other: Any, same: bool) -> None:
    assert (digest(one) == digest(other)) is same
    assert digest(one) is not None


@pytest.mark.parametrize("value", [None, "a", [None], {"a": None}, np.array(["a"]), object(), [1, [object()]]],
                         ids=lambda value: type(value).__name__)  # fmt: skip
def test_values_without_numbers_have_no_digest(value: Any) -> None:
    assert digest(value) is None


class Own:
    def __init__(self, x: Array) -> None:
        self.x, self.me = x, self


class Stubborn:
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError

    __copy__ = __deepcopy__


def test_copies_share_no_memory_and_keep_object_identity() -> None:
    x, plain = np.ones(2), [1, "a", None, np.sum, math.pi, range(3)]
    own = Own(x)
    whole = {"a": x, "b": [x, (x,)], "c": Pair(x, 1), "d": own, "e": plain}
    new = copy_value(whole, {})
    assert new["a"] is new["b"][0] is new["b"][1][0] is new["c"].a is new["d"].x
    assert new["a"] is not x
    assert (type(new["c"]), type(new["d"]), new["d"].me) == (Pair, Own, new["d"])
    assert new["e"] == plain
    assert new["e"] is not plain
    assert new["d"] is not own
    rng = np.random.default_rng(0)
    other = copy_value(rng, {})
    assert other is not rng
    assert other.random() == rng.random()
    stubborn = Stubborn()
    assert copy_value(stubborn, {}) is stubborn
    names = copy_names({"__builtins__": plain, "x": x, "y": x})
    assert names["__builtins__"] is plain
    assert names["x"] is names["y"]
    assert names["x"] is not x


def test_a_loop_is_stopped_after_its_limit_of_rounds() -> None:
    ticker = Ticker()
    ticker.limit = 3
    for _ in range(3):
        ticker()
    with pytest.raises(Stopped):
        ticker()
    ticker.start()
    assert ticker.count == 0
    ticker()
    assert ticker.count == 1


def test_what_runs_quietly_leaves_the_random_numbers_where_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    np.random.seed(3)  # noqa: NPY002
    state = np.random.get_state()[2]  # noqa: NPY002
    with without_output():
        np.random.rand()  # noqa: NPY002
        print("here", np.log(-1.0))  # noqa: T201
    assert np.random.get_state()[2] == state  # noqa: NPY002
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "array", "whole"),
    [
        (1, False, True), (True, False, False), (1.0, False, False), (np.int64(1), True, True),
        (np.float64(1), True, False),
        (np.ones(2), True, False), (np.array(["a"]), False, False), ("a", False, False), (np.True_, True, False),
        (np.ones(2, complex), True, False), (np.array([1], "M8[D]"), False, False),
    ],
)  # fmt: skip
def test_arrays_and_whole_numbers(value: Any, array: bool, whole: bool) -> None:
    assert (is_array(value), is_integer(value)) == (array, whole)


@pytest.mark.parametrize(
    ("small", "to", "ok"),
    [((), (2,), True), ((2,), (3, 2), True), ((3, 1), (3, 2), True), ((3, 2), (2,), False), ((2,), (2, 1), False),
     ((3,), (2,), False), ((2, 2), (2, 2), True), ((1,), (1,), True), ((1,), (), False)],
)  # fmt: skip
def test_an_array_may_be_multiplied_to_another_without_making_it_larger(small: Any, to: Any, ok: bool) -> None:
    assert can_broadcast(small, to) is ok


def test_a_local_name_is_not_the_function_of_that_name_in_the_module() -> None:
    text = "def run():\n    open('a file')\ndef backward(x):\n    run = 2 * x\n    return run\n"
    source = read_source(written(text))  # with the module's `run` as a helper it would be None
    assert source is not None
    assert not source.helpers


def test_the_values_in_scope_of_a_line() -> None:
    x = np.ones(2)
    own = SimpleNamespace(W=x, n=3, name="a", d={"b": x, "no": "a", 3: x}, other=object())
    local = {"x": x, "i": 1, "j": -1, "k": 5, "rows": [x + 0, x + 0], "own": own, "given": (2.5, x),
             "d": {"a": x, 2: 1.5, "t": "no", (1,): x}, "t": "no", "__doc__": 1.0, "cold": SimpleNamespace(W=x),
             "many": dict.fromkeys(range(ITEMS + 1), 1.0)}  # fmt: skip
    scope = Scope({"y": 2.0, "unused": x}, local, {"far": x})
    scope.find_atoms({"y"}, {"rows": {"0"}, "own": {"W"}})
    texts = [ast.unparse(atom.node) for atom in scope.atoms]
    assert texts == [
        "x", "i", "j", "k", "rows[0]", "rows[1]", "rows[i]", "rows[j]", "own.W", "own.n", "own.d['b']", "d['a']",
        "d[2]",
        *(f"many[{k}]" for k in range(ITEMS)), "y", "far",
    ]  # fmt: skip
    assert [scope.value(atom.node) is atom.value for atom in scope.atoms] == [True] * len(texts)
    assert scope.atoms[0].shape == (2,)
    assert scope.atoms[1].shape == ()
    bare = Scope({}, {"rows": [x, x], "i": 2}, {})
    bare.find_atoms(set(), {})
    assert [ast.unparse(atom.node) for atom in bare.atoms] == ["i"]
    for counter, fields, has_item in (("N", set(), False), ("N", {"N"}, True), ("n", set(), True)):
        sized = Scope({}, {"rows": [x, x + 0], counter: 1}, {})
        sized.find_atoms(set(), {"rows": fields})
        assert (f"rows[{counter}]" in [ast.unparse(atom.node) for atom in sized.atoms]) == has_item
    long = Scope({}, {f"x{k}": 1.0 for k in range(ATOMS + 5)}, {})
    long.find_atoms(set(), {})
    assert len(long.atoms) == ATOMS


class Bag(dict[str, Any]):
    """A dict whose keys may be read as attributes."""


def test_values_are_read_as_the_code_reads_their_container() -> None:
    x = np.ones(2)
    row = namedtuple("row", "x n")(x, 3)  # type: ignore[misc]
    local = {"row": row, "deep": {"kept": {"x": x, 2: x}, "n": 1}, "v": Bag(x=x), "keyed": Bag(x=x)}
    scope = Scope({}, local, {})
    scope.find_atoms(set(), {"v": {"x"}, "keyed": {"'x'"}})
    assert [ast.unparse(atom.node) for atom in scope.atoms] == [
        "row.x", "deep['kept']['x']", "deep['n']", "v.x", "keyed['x']"]  # fmt: skip


def test_the_names_and_fields_that_code_uses() -> None:
    used, fields = fields_used(ast.parse("y = a.b + a.c[0] * d['e'] + d[i] + f(g).h"))
    assert used == {"y", "a", "d", "i", "f", "g"}
    assert fields == {"a": {"b", "c"}, "d": {"'e'", "i"}}


# ---- Programs


def program(text: str, *args: Any, **names: Any) -> Program:
    source = read_source(written(text, **names))
    assert source is not None
    return Program(source, args, {}, {})


def changed(p: Program, k: int, old: str, new: str) -> Any:
    """Run a program from its statement k on, with that statement edited."""
    body = p.source.tree.body
    at = body.index(p.source.statements[k])
    was, body[at] = body[at], ast.copy_location(statement(ast.unparse(body[at]).replace(old, new)), body[at])
    ast.fix_missing_locations(body[at])
    try:
        return p.run(k, True)
    finally:
        body[at] = was


def test_a_program_runs_again_from_a_changed_statement_on() -> None:
    p = program("def backward(x, k=2):\n    'Says.'\n    y = x * k\n    z = y + 1\n    return z\n", np.arange(2.0))
    assert [sorted(set(env) & {"x", "k", "y", "z"}) for env in p.before] == [["k", "x"], ["k", "x", "y"], ["k", "x",
    "y", "z"]]
    assert p.run_all().tolist() == [1, 3]
    assert changed(p, 0, "x * k", "x - k").tolist() == [-1, 0]
    assert changed(p, 0, "x * k", "-k + x") is UNCHANGED
    assert changed(p, 1, "+ 1", "- 1").tolist() == [-1, 1]
    assert changed(p, 2, "z", "2 * z").tolist() == [2, 6]
    assert changed(p, 2, "z", "z + z") is UNCHANGED
    assert p.run_all().tolist() == [1, 3]


def test_each_run_of_a_program_begins_with_the_values_as_they_were() -> None:
    text = "def backward(x):\n    d = {}\n    d['a'] = x * 2\n    d['a'] += x\n    return d['a']\n"
    p = program(text, np.ones(2))
    assert p.writes
    for _ in range(2):
        assert changed(p, 1, "x * 2", "x * 3").tolist() == [4, 4]
        assert changed(p, 2, "+= x", "+= 5 * x").tolist() == [7, 7]
        p.seen_values.clear()
    assert p.before[2]["d"]["a"].tolist() == [2, 2]
    for name, line in (("if x.any():\n        return x", 0), ("for i in range(2):\n        if i: return i * x", 0)):
        early = program(f"def backward(x):\n    {name}\n    return 0 * x\n", np.ones(2))
        assert len(early.before) == 1
        assert early.run(line, False).tolist() == [1, 1]


def test_what_is_around_an_edited_line_is_compiled_once() -> None:
    text = ("def backward(x):\n    y = 0 * x\n    for i in range(3):\n        if i > 1:\n            break\n"
            "        y = y + x\n        z = [y for f in (lambda: i,)]\n    return y\n")  # fmt: skip
    p = program(text, np.ones(2))
    loop: Any = p.source.statements[1]
    branch, line = loop.body[1:3]
    jump = branch.body[0]
    for number, after in ((2, 4), (3, 6)):
        new = ast.fix_missing_locations(ast.copy_location(statement(f"y = y + {number} * x"), line))
        change = Change(1.0, loop, "body", 2, new, line)
        old = change.swap(new)
        assert p.run(1, True, change).tolist() == [after, after]
        change.swap(old)
    (around,) = p.edited_code.around.values()
    assert around is not None
    assert p.run(1, True).tolist() == [2, 2]
    change = Change(1.0, branch, "body", 0, ast.copy_location(ast.Pass(), jump), jump)  # a break runs in its loop only
    old = change.swap(change.new)
    assert p.run(1, True, change).tolist() == [3, 3]
    change.swap(old)
    nested = program("def backward(x):\n    if 1:\n        def f(a):\n            b = a\n            return b\n"
                     "        y = f(x)\n    return y\n", np.ones(2))  # fmt: skip
    inner: Any = nested.source.statements[0].body[0]  # type: ignore[attr-defined]
    change = Change(1.0, inner.body[0], "value", None, ast.Constant(5), inner.body[0])
    old = change.swap(change.new)
    assert nested.edited_code.run(nested.source.statements[0], change, env := {"x": 1}) is None
    assert env["y"] == 5  # type: ignore[comparison-overlap]
    assert [*nested.edited_code.around.values()] == [None]
    change.swap(old)


def test_a_program_knows_its_helpers_its_closure_and_the_names_before_each_line() -> None:
    text = ("def half(x):\n    a = x / 2\n    return a\n\n\ndef backward(x):\n    y = half(x) * factor\n"
            "    for i in range(3):\n        y = y + i\n    return y\n")  # fmt: skip
    p = program(text, np.ones(2), factor=np.full(2, 4.0))
    assert p.run_all().tolist() == [5, 5]
    units = [(k, source.name, ast.unparse(stmt).split("\n")[0], field) for k, source, stmt, _, field, _ in p.units()]
    assert units == [
        (0, "backward", "y = half(x) * factor", "body"), (1, "backward", "for i in range(3):", "body"),
        (1, "backward", "y = y + i", "body"), (2, "backward", "return y", "body"), (None, "half", "a = x / 2", "body"),
        (None, "half", "return a", "body"),
    ]  # fmt: skip
    for _, source, stmt, holder, field, index in p.units():
        assert getattr(holder, field)[index] is stmt
        names = {n: v for n, v in p.scope(source, stmt).local.items() if n in "xyai"}
        assert names.keys() == {
            "y = half(x) * factor": {"x"}, "for i in range(3):": {"x", "y", "i"}, "y = y + i": {"x", "y", "i"},
            "return y": {"x", "y", "i"}, "a = x / 2": {"x"}, "return a": {"x", "a"},
        }[ast.unparse(stmt).split("\n")[0]]  # fmt: skip
    assert p.ticker.limit == 10 * 3 + 1000


# ---- Which lines are blamed

BACKWARD = """def backward(x, W, b):
    z = x @ W + b
    dz = 2 * z
    dW = x.T @ dz
    if b.any():
        dW = dW + 0
    db = total(dz)
    note = 1
    return dW, db


def total(g):
    s = g.sum(axis=0)
    return s
"""


@pytest.mark.parametrize(
    ("wrong", "blamed"),
    [
        ([0], {2: 0.2, 3: 0.2, 4: 0.0, 5: 0.2, 6: 0.0, 9: 0.0}),
        ([1], {2: 0.2, 3: 0.2, 5: 0.2, 7: 0.0, 9: 0.0, 13: 0.3, 14: 0.3}),
        ([0, 1], {2: 0.0, 3: 0.0, 4: 0.0, 5: 0.0, 6: 0.0, 7: 0.0, 9: 0.0, 13: 0.3, 14: 0.3}), ([], {}),
    ],
)  # fmt: skip
def test_the_lines_from_which_a_result_comes(wrong: list[int], blamed: dict[int, float]) -> None:
    x, W, b = np.ones((4, 3)), np.ones((3, 2)), np.ones(2)
    source = read_source(written(BACKWARD))
    assert source is not None
    found = influencing(Program(source, (x, W, b), {}, {}), wrong, ["W", "b"])
    assert {stmt.lineno: round(less, 3) for stmt, less in found.items()} == blamed


def test_a_function_that_only_calls_another_one_is_suspected_after_it() -> None:
    text = "def inner(x):\n    dx = x * x\n    return dx\ndef backward(x):\n    return inner(x)\n"
    source = read_source(written(text))
    assert source is not None
    found = influencing(Program(source, (np.ones(2),), {}, {}), [0], ["x"])
    assert {stmt.lineno: less for stmt, less in found.items()} == {5: 0.3, 2: 0.0, 3: 0.0}


def test_every_line_may_be_the_cause_of_a_result_that_is_left_in_an_attribute() -> None:
    source = read_source(written("def backward(self, d):\n    self.db = d.mean(axis=0)\n    self.dx = d @ self.W.T\n"))
    assert source is not None
    found = influencing(Program(source, (SimpleNamespace(W=np.ones((3, 2))), np.ones((4, 2))), {}, {}), [1], ["x", "b"])
    assert {stmt.lineno: less for stmt, less in found.items()} == {2: 0.2, 3: 0.2}


def test_the_statement_of_a_line() -> None:
    source = read_source(written(BACKWARD))
    assert source is not None
    for owner, line, text in ((source, 4, "dW = x.T @ dz"), (source, 6, "dW = dW + 0"),
                              (source.helpers["total"], 13, "s = g.sum(axis=0)")):  # fmt: skip
        assert ast.unparse(_statement(owner, line)) == text
    with pytest.raises(LookupError, match="no statement begins at line 10"):
        _statement(source, 10)


@pytest.mark.parametrize(
    ("text", "right", "holds"),
    [
        ("d = x", np.arange(3.0), True), ("d = x + 2 * CLOSE * 0.99", np.arange(3.0), True),
        ("d = x + 2 * CLOSE * 1.01", np.arange(3.0), False), ("d = x[:2]", np.arange(3.0), False),
        ("d = x > 0", np.zeros(3), False),
        ("d = x.astype(int)", np.arange(3.0), True), ("d = x + 0j", np.arange(3.0), True),
        ("d = y", np.arange(3.0), False),
        ("d = x * np.nan", np.arange(3.0), False), ("d = 0 * x", np.zeros(3), True),
        ("d = 0 * x + 1e-200", np.zeros(3), False),
        ("x += 1; d = x", np.arange(3.0), False), ("d = ['a', 'b', 'c']", np.arange(3.0), False),
        ("d = x - 2", np.arange(3.0), False),
    ],
)  # fmt: skip
def test_a_name_holds_the_right_value_after_a_statement(text: str, right: Array, holds: bool) -> None:
    env = {"x": np.arange(3.0), "np": np, "CLOSE": CLOSE}
    body = ast.parse(text).body
    stmt = body[0] if len(body) == 1 else ast.If(ast.Constant(True), body, [])
    ast.fix_missing_locations(stmt)
    for _ in range(2):  # what it writes into is a copy
        assert _is_close(_after(stmt, env, reader("d"), Ticker()), right) is holds


def test_the_names_before_each_line_ran_last(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def f(n):\n    total = 0\n    for k in range(n):\n        total += k\n    return total\n"
    space: dict[str, Any] = {}
    exec(compile(text, f"{running.MARK}here>", "exec"), space)
    traced = sys.gettrace()
    seen = {line: names for (_, line), names in running.names_by_line(lambda: space["f"](4)).items()}
    assert sys.gettrace() is traced
    assert seen == {
        2: {"n": 4}, 3: {"n": 4, "total": 6, "k": 3}, 4: {"n": 4, "total": 3, "k": 3}, 5: {"n": 4, "total": 6, "k": 3},
    }  # fmt: skip
    monkeypatch.setattr(running, "EVENTS", 3)
    assert running.names_by_line(lambda: space["f"](4))[f"{running.MARK}here>", 4] == {"n": 4, "total": 0, "k": 0}
    exec(compile(text, "another's", "exec"), space)
    assert running.names_by_line(lambda: space["f"](4)) == {}
