"""The search for the wrong line: wrong backward passes, and the smallest edit of the user's source that fixes each."""

import ast
import copy
import functools
import linecache
import os
import textwrap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tests.wrong_lines import RIGHT, WRONG, text_of
from tinygrad_nn.compare.edits import Edit, edit_of_step, line_of_all, line_of_result, nearest_edits
from tinygrad_nn.compare.edits.candidates import CandidateWriter
from tinygrad_nn.compare.edits.scope import Scope
from tinygrad_nn.compare.edits.statement import statement_changes
from tinygrad_nn.compare.edits.trees import FollowedBy

Array = Any


def written(text: str, name: str = "backward", **names: Any) -> Callable[..., Any]:
    """Run source text as if it were a user's file, and return one of its functions."""
    file = f"<a test of {abs(hash(text))}>"
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    space: dict[str, Any] = {"np": np, "__name__": "somebody", **names}
    exec(compile(text, file, "exec"), space)
    return space[name]


def flat(value: Any) -> list[Array]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
    return [np.asarray(part) for part in parts]


class Judge:
    """Batches of a case of the table, and what is right in them."""

    def __init__(self, name: str, seed: int = 0, rows: tuple[int, ...] = (6, 6, 5)) -> None:
        r = np.random.default_rng(seed)
        self.right_one = written(text_of(name)[0])
        self.batches = [RIGHT[name].make(r, n) for n in rows]
        self.probes = len(rows)
        self.truth = [flat(self.call(self.right_one, p)) for p in range(self.probes)]

    def call(self, f: Callable[..., Any], probe: int) -> Any:
            return f(*copy.deepcopy(self.batches[probe]))

    def right(self, value: Any, probe: int) -> list[bool]:
        return [a.shape == b.shape and bool((np.abs(a - b) <= 1e-9 * np.abs(b).max()).all())
                for a, b in zip(flat(value), self.truth[probe], strict=True)]  # fmt: skip

    def search(self, f: Callable[..., Any], **options: Any) -> tuple[Edit, ...]:
        """Search for so long that it does not hang on how fast the machine is."""
        return nearest_edits(f, self.call, self.right, probes=self.probes, **{"seconds": 60.0, **options})


@pytest.mark.parametrize(("name", "right", "wrong"), [
    pytest.param(*row, id=f"{row[0]}: {row[2]}", marks=[pytest.mark.slow] * bool(k % 4))
    for k, row in enumerate(WRONG)
])  # fmt: skip
def test_the_change_is_found_at_the_line_and_holds_on_fresh_inputs(name: str, right: str, wrong: str) -> None:
    text, line = text_of(name, right, wrong)
    (found,) = Judge(name).search(written(text))
    if found.lineno != line:  # another line does the same: this one is named beside it
        assert any(other.startswith(f"line {line}: ") for other in found.alternatives), found
        return
    assert found.sentence.startswith(f"Line {line}: ")
    rows = text.split("\n")
    rows[line - 1] = rows[line - 1].replace(wrong, found.after)
    fresh = Judge(name, seed=1, rows=(7, 4))
    mended = written("\n".join(rows))
    for probe in range(fresh.probes):
        assert all(fresh.right(fresh.call(mended, probe), probe)), found.sentence


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_gets_no_edit(name: str) -> None:
    assert Judge(name).search(written(text_of(name)[0])) == ()


def square(x: Array) -> Array:
    return 3 * x  # wrong: 2 x


def doubled(f: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(f)
    def inner(*args: Any) -> Any:
        return f(*args)

    return inner


@doubled
def decorated(x: Array) -> Array:
    return 3 * x


class Layer:
    def __init__(self) -> None:
        self.x = np.zeros(0)
        self.dx = np.zeros(0)

    def backward(self, x: Array) -> Array:
        self.x = x
        self.dx = 3 * self.x
        return self.dx

    def __call__(self, x: Array) -> Array:
        return 3 * x


def in_a_closure(factor: float) -> Callable[..., Any]:
    wide = np.ones(1)

    def backward(x: Array) -> Array:
        return factor * x * wide

    return backward


def by_a_helper(x: Array) -> Array:
    return square(x)


TWO, THREE = 2.0, 3.0


def times_three(x: Array) -> Array:
    return THREE * x


def twice(x: Array) -> Array:
    return TWO * x


def by_a_helper_with_a_constant(x: Array) -> Array:
    return times_three(x)


def in_a_line_beside_a_helper(x: Array) -> Array:
    return twice(x) * 3


X = [np.arange(1.0, 4.0), np.arange(2.0, 7.0)]


def of_square(f: Callable[..., Any], **options: Any) -> Edit | None:
    edits = nearest_edits(f, lambda g, probe: g(X[probe].copy()),
                          lambda dx, probe: [dx.shape == X[probe].shape and np.allclose(dx, 2 * X[probe])],
                          probes=2, **options)  # fmt: skip
    return edits[0] if edits else None


def test_the_source_of_any_kind_of_function_is_found() -> None:
    plain: Callable[..., Any] = lambda x: 3 * x
    pair = (lambda x: 5 * x, lambda x: 3 * x)
    for f, after in (
        (square, "return 2 * x"), (decorated, "return 2 * x"), (Layer().backward, "self.dx = 2 * self.x"),
        (Layer(), "return 2 * x"), (in_a_closure(4.0), "return factor * x * wide / 2"), (plain, "2 * x"),
        (pair[1], "2 * x"), (functools.partial(lambda k, x: k * x * 3, 1.0), "k * x * 2"),
        (by_a_helper, "return 2 * x"),
    ):  # fmt: skip
        found = of_square(f)
        assert found is not None
        assert found.after == after, (f, found)


def test_helpers_keep_the_names_of_their_module_that_only_they_use() -> None:
    for f, before, after in (
        (by_a_helper_with_a_constant, "return THREE * x", "return THREE * x - x"),
        (in_a_line_beside_a_helper, "return twice(x) * 3", "return twice(x)"),
    ):
        found = of_square(f)
        assert found is not None, f
        assert (found.before, found.after, found.lacks) == (before, after, ())


def test_an_edit_tells_which_of_its_names_the_function_lacks() -> None:
    def backward(x: Array) -> Array:
        return 3 * x

    slopes = [np.array([0.3, -1.2, 0.7]), np.array([0.4, 1.9, -0.6, 0.8, 2.2])]
    (found,) = nearest_edits(
        backward, lambda g, probe: g(X[probe].copy()),
        lambda dx, probe: [np.allclose(dx, slopes[probe] * 3 * X[probe])],
        probes=2, values=lambda probe: {"slope": slopes[probe]},
    )  # fmt: skip
    assert "slope" in found.after
    assert found.lacks == ("slope",)


def test_a_line_in_a_helper_is_named_with_its_function() -> None:
    found = of_square(by_a_helper)
    assert found is not None
    assert found.function == "square"
    assert found.lineno == square.__code__.co_firstlineno + 1
    assert found.sentence.startswith(f"Line {found.lineno}, in square: ")


def test_functions_without_source_get_no_edit() -> None:
    space: dict[str, Any] = {}
    exec("def f(x): return 3 * x", space)
    for f in (space["f"], np.exp, np.cosh, float, len, int.__add__, doubled(space["f"])):
        assert of_square(f) is None


HOSTILE = {
    "a loop that an edit makes endless": """
        def backward(x):
            k = 0
            while k < 3:
                k += 1
            return x * k
        """,
    "a loop that swallows everything": """
        def backward(x):
            k, out = 0, 0
            while k < 3:
                try:
                    k += 1
                    out = out + x
                except BaseException:
                    pass
            return out
        """,
    "recursion": """
        def backward(x, depth=3):
            if depth == 0:
                return x * 0
            return x + backward(x, depth - 1)
        """,
    "a list that grows": """
        def backward(x):
            rows = [x]
            for row in rows:
                if len(rows) < 3:
                    rows.append(row)
            return sum(rows)
        """,
    "noise": """
        def backward(x):
            print("here")
            np.random.seed(0)
            return 3 * x + 0 * np.log(-np.random.rand())  * 0 + np.nan_to_num(np.log(-1.0))
        """,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_code_ends_and_is_silent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    f = written(textwrap.dedent(HOSTILE[name]))
    with np.errstate(all="ignore"):
        of_square(f, seconds=0.5)
    said = capsys.readouterr()
    assert said.out.count("here") <= 1  # of the call that is the caller's own
    assert not said.err


def test_code_that_reaches_beyond_itself_is_not_run_again(tmp_path: Any) -> None:
    calls: list[int] = []
    for k, line in enumerate((
        "open(PATH, 'a').write('x')", "os.getpid()", "np.save(PATH, x)", "exec('k = 1')", "global total; total = 1",
        "with open(PATH) as f: pass", "import shutil",
    )):  # fmt: skip
        text = f"def backward(x):\n    calls.append({k})\n    {line}\n    return 3 * x\n"
        f = written(text, os=os, calls=calls, PATH=str(tmp_path / "note.npy"))
        calls.clear()
        assert of_square(f) is None
        assert not calls, line


def test_arrays_of_the_user_are_not_modified() -> None:
    table, log = {"w": np.ones(3)}, []
    text = "def backward(x):\n    log.append(1)\n    table['w'] *= 2\n    x *= 3\n    return x\n"
    f = written(text, table=table, log=log)
    assert of_square(f) is not None
    runs = len(log)
    assert runs == 1  # the caller's own call; what the search runs is copies
    assert table["w"][0] == 2.0
    layer = Layer()
    of_square(layer.backward)
    assert layer.dx.size == X[0].size


def test_two_mistakes_are_found_one_by_one() -> None:
    name = "affine"
    text = text_of(name)[0].replace("np.sum(dout, axis=0)", "np.mean(dout, axis=0)").replace(
        "dw = np.dot(flat.T, dout)", "dw = -np.dot(flat.T, dout)")  # fmt: skip
    found = Judge(name).search(written(text))
    assert sorted(e.lineno for e in found) == [6, 7]
    assert sorted(e.fixes for e in found) == [(1,), (2,)]


def test_suspected_lines_come_first_and_names_from_elsewhere_are_offered() -> None:
    text, line = text_of("dropout and sigmoid", "ds = g * mask", "ds = g")
    judge = Judge("dropout and sigmoid")
    hidden = text.replace("z, mask, W", "z, W")
    f = written(hidden)
    (found,) = nearest_edits(
        f, lambda g, p: g(*(b for k, b in enumerate(judge.batches[p]) if k != 2)), judge.right, probes=3,
        lines={line}, values=lambda p: {"mask": judge.batches[p][2]},
    )  # fmt: skip
    assert found.after == "ds = g * mask"
    assert "mask" in found.sentence


@pytest.mark.parametrize("wrong", [
    "dvar = dxhat * (x - mu) * -0.5 * std**-3", "dvar = np.sum(dxhat * (x - mu) * -0.5 * std**-1, axis=0)",
])  # fmt: skip
def test_a_step_is_corrected_by_its_own_rule(wrong: str) -> None:
    right = "dvar = np.sum(dxhat * (x - mu) * -0.5 * std**-3, axis=0)"
    text, line = text_of("batch norm", right, wrong)
    text = text.replace("dxhat = dout", "dxhat = 3 * dout")  # what comes in is wrong as well
    judge = Judge("batch norm")
    wanted = []
    for dout, cache in judge.batches:
        dxhat = 3 * dout * cache["gamma"]
        wanted.append(np.sum(dxhat * (cache["x"] - cache["mu"]) * -0.5 * cache["std"] ** -3, axis=0))
    found = edit_of_step(written(text), judge.call, "dvar", line, wanted)
    assert found is not None
    assert found.lineno == line
    space = {"np": np, "dxhat": dxhat, "N": len(dout), "dout": dout, **cache}
    exec(found.after, space)
    assert np.allclose(space["dvar"], wanted[-1])


def test_a_step_in_a_loop_is_judged_in_its_own_iteration() -> None:
    text, line = text_of("rnn", "dnext = draw @ Wh.T", "dnext = draw @ Wh")
    judge = Judge("rnn")
    first = [(dh[-1] * (1 - hs[-1] ** 2)) @ Wh.T for dh, (_xs, hs, _Wx, Wh) in judge.batches]  # at the last time
    found = edit_of_step(written(text), judge.call, "dnext", line, first, visit=0)
    assert found is not None
    assert found.after == "dnext = draw @ Wh.T"


RETURNED = {
    "a dict by its own name": "    grads = {'db': db, 'dW': dW}\n    return grads\n",
    "a dict that is filled": "    grads = {}\n    grads['W'] = dW\n    grads['b'] = db\n    return grads\n",
    "beside the loss": "    return z.sum(), {'dW': dW, 'db': db}\n",
    "in order": "    return dW, db\n",
    "by names among others": "    return z, db, dW\n",
}

@pytest.mark.parametrize("name", RETURNED)
def test_the_line_of_a_result_is_found_however_it_is_returned(name: str) -> None:
    f = written("def backward(W, b, x):\n    z = W @ x + b\n    dz = 2 * z\n    dW = dz @ x.T\n"
                "    db = dz.sum(axis=1, keepdims=True)\n" + RETURNED[name])  # fmt: skip
    names = ["W", "b"]
    assert line_of_result(f, 0, names) == (4, "dW = dz @ x.T")
    assert line_of_result(f, 1, names) == (5, "db = dz.sum(axis=1, keepdims=True)")
    assert line_of_all(f, [0, 1], names) == (3, "dz = 2 * z")
    assert line_of_all(f, [0], names) == (4, "dW = dz @ x.T")
def test_unexplained_errors_are_traced_to_their_common_line() -> None:
    r = np.random.default_rng(3)
    x = r.normal(size=(5, 4))
    def cost(W: Array, b: Array) -> Any:
        return (np.tanh(W @ x.T + b) ** 2).sum()
    text = ("def grads(W, b):\n    h = np.tanh(W @ x.T + b)\n    dz = np.cos(3 * h) + np.abs(h).sum() * b\n"
            "    dW = dz @ x\n    db = dz.sum(axis=1, keepdims=True)\n    grads = {'dW': dW, 'db': db}\n"
            "    return grads\n")  # fmt: skip
    report = tg.compare_gradients(cost, (r.normal(size=(3, 4)), r.normal(size=(3, 1))),
                                  manual=written(text, "grads", x=x))  # fmt: skip
    assert report.kinds == ("unknown",), str(report)
    assert "it is assigned in line 4: dW = dz @ x" in report.diagnoses[0].evidence
    assert any("W, b all come from line 3" in said for said in report.diagnoses[0].evidence)
@pytest.mark.parametrize(("line", "changes"), [
    ("x = g", [(1.0, "x += g", True), (1.05, "x = x + g", False), (1.2, "x *= g", True), (1.2, "x = x * g", False),
               (1.2, "pass", False)]),
    ("x[0] = g", [(1.0, "np.add.at(x, 0, g)", True), (1.0, "x[0] += g", True), (1.2, "x[0] *= g", True),
                  (1.2, "pass", False)]),
    ("t.a = g", [(1.0, "t.a += g", True), (1.2, "t.a *= g", True), (1.2, "pass", False)]),
    ("t.new = g", []), ("new = g", []), ("x = new = g", []), ("x, g = g, x", []), ("[x, g] = g, x", []),
    ("d['new'] = g", [(1.0, "np.add.at(d, 'new', g)", True)]),
    ("x += g", [(1.0, "x = g", False), (1.0, "x -= g", False), (1.05, "x *= g", False), (1.2, "pass", False)]),
    ("x -= g", [(1.0, "x = g", False), (1.0, "x += g", False), (1.2, "pass", False)]),
    ("x *= g", [(1.05, "x /= g", False), (1.05, "x += g", False), (1.2, "pass", False)]),
    ("x /= g", [(1.05, "x *= g", False), (1.2, "x /= np.sqrt(g)", False), (1.2, "x /= g ** 2", False),
                (1.2, "pass", False)]),
    ("y = 1 - x^2", [(0.9, "y = 1 - x ** 2", False)]), ("x **= g", [(1.2, "pass", False)]),
    ("x[0] *= g", [(1.0, "np.add.at(x, 0, g)", True), (1.05, "x[0] /= g", False), (1.05, "x[0] += g", False),
                   (1.2, "pass", False)]),
    ("d.clear()", [(1.0, "pass", False)]), ("return x", []), ("for x in g: pass", []),
    ("if g: x = 1", [(1.3, "if not g: x = 1", False)]),
])  # fmt: skip
def test_a_statement_as_a_whole_is_changed_in_these_ways(line: str, changes: list[Any]) -> None:
    tree = ast.parse(f"def f():\n    {line}")
    body: Any = tree.body[0]
    env = {"x": np.ones(3), "g": np.ones(3), "d": {}, "t": SimpleNamespace(a=1)}
    writer = CandidateWriter(body.body[0], Scope({}, env, {}), "np", [])
    found = sorted(statement_changes(writer, body, "body", 0), key=lambda change: change.cost)
    texts = [" ".join(ast.unparse(ast.fix_missing_locations(change.new)).split()) for change in found]
    assert [(c.cost, text, c.writes) for c, text in zip(found, texts, strict=True)] == changes
    for change in found:
        was = change.swap(change.new)
        assert body.body == [change.new]
        assert was is change.place
        change.swap(was)



def test_a_statement_is_followed_by_a_factor_for_each_row() -> None:
    tree = ast.parse("def f():\n    d /= N")
    body: Any = tree.body[0]
    scope = Scope({}, {"d": np.ones((4, 3)), "m": np.ones(4), "w": np.ones(3), "N": 4}, {})
    scope.find_atoms(set(), {})
    found = [change.new.text for change in statement_changes(CandidateWriter(body.body[0], scope, "np", []), body,
             "body", 0) if isinstance(change.new, FollowedBy)]  # fmt: skip
    assert [text for text in found if "*=" in text] == [f"d /= N; d *= {by}" for by in ("d", "m[:, None]", "w")]


def test_a_slice_that_the_function_has_elsewhere_is_tried() -> None:
    wrong = written("def backward(x):\n    size = x[2:7].size\n    return 3 * x[0:4] / size\n")
    x = [np.random.default_rng(k).normal(size=9) for k in range(2)]
    (found,) = nearest_edits(
        wrong, lambda f, k: f(x[k]), lambda dx, k: [np.array_equal(dx, 3 * x[k][2:7] / 5)], probes=2, seconds=60.0
    )
    assert found.after == "return 3 * x[2:7] / size"
