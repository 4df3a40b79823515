"""Parts of the comparison of steps: the numerical road, how a step is shown, how a line of a notebook cell is run."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.test_step_walk import C, W, X
from tests.test_step_walk import Graph as SmallGraph
from tinygrad_nn import Tensor
from tinygrad_nn.compare.diagnosis import Diagnosis, Row
from tinygrad_nn.compare.edits import Edit
from tinygrad_nn.compare.function.calling import arrange
from tinygrad_nn.compare.numerical.full_gradients import NumericalGradient
from tinygrad_nn.compare.paths import Traced
from tinygrad_nn.compare.rows import CheckedEntry
from tinygrad_nn.compare.steps import comparison, listing, namespace, notebook_cells, probes, referee, unnamed, walk
from tinygrad_nn.compare.steps.by_numbers import ArrayRun, _explain, _judge
from tinygrad_nn.compare.steps.explain import _contributions, _in_hull, _is_close, blamed_steps, shape_diagnosis
from tinygrad_nn.compare.steps.matching import is_multiple
from tinygrad_nn.compare.steps.mending import Explained, add_edit, kind_of
from tinygrad_nn.compare.steps.namespace import Namespace, read_namespace
from tinygrad_nn.compare.steps.referee import Referee, ignore_message
from tinygrad_nn.compare.steps.running import NoGraphError, run_forward
from tinygrad_nn.compare.steps.statements import Statement
from tinygrad_nn.compare.steps.step import Step
from tinygrad_nn.compare.steps.tape import Tape
from tinygrad_nn.compare.steps.tracing import State
from tinygrad_nn.compare.steps.walk import as_floats, bounds_of, gradient_decisions, injected
from tinygrad_nn.gradcheck.numerical import AT_POINT, Estimate

Array = Any


# ---- The numerical road


class Slopes:
    """Stands in for the numerical derivative: it returns given estimates in turn, and records the directions."""

    outs: tuple[Array, ...] = ()
    doubts: tuple[Array, ...] = (np.ones(1),)  # as if the errors of the values had been measured already

    def __init__(self, *found: Estimate) -> None:
        self.found, self.directions, self.cotangents = list(found), list[Array](), list[Any]()

    def __call__(self, f: Any, leaves: Any) -> Any:
        self.leaves = leaves
        return self

    def along(self, direction: dict[int, Array], cotangents: Any, complex_step: Any) -> Estimate:
        assert direction.keys() == {0}
        assert complex_step is None
        self.directions.append(direction[0])
        self.cotangents.append(cotangents)
        return self.found.pop(0)


AT, RIGHT, BOUND = np.array([0.25, -4.0, 0.0]), np.array([1e9, -3e9, 0.0]), np.array([0.125, 0.25, 0.5])


def asked(monkeypatch: pytest.MonkeyPatch, *found: Estimate) -> tuple[Slopes, Referee, Any, Any]:
    slopes = Slopes(*found)
    monkeypatch.setattr(referee, "Line", slopes)
    graph: Any = SimpleNamespace(cotangents=lambda node: [2.0, 3.0], results_of=lambda node: None)
    judge = Referee(graph, 1)
    return slopes, judge, *judge.of(SimpleNamespace(out=AT), RIGHT, BOUND, np.random.default_rng(3))  # type: ignore[arg-type]


def test_an_entry_moves_by_its_own_size_and_may_be_off_by_three_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The errors: ten times that of the derivative, the rounding error of the graph, and 1e-10 of the gradient."""
    plain = Estimate(6.0, 0.5)
    slopes, judge, ask, _ = asked(monkeypatch, plain, plain, plain, plain, Estimate(6.0, 0.5, AT_POINT))
    assert ask((0,)) == CheckedEntry(6.0, 5.0 + 0.125 + 0.1, False)
    assert ask((1,)) == CheckedEntry(1.5, 1.25 + 0.25 + 0.3, False)
    assert ask((2,)) == CheckedEntry(6.0, 5.0 + 0.5, False)
    assert ask((2,)) == CheckedEntry(6.0, 5.0 + 0.5, True)
    assert [d.tolist() for d in slopes.directions[1:]] == [[1, 0, 0], [0, 4, 0], [0, 0, 1], [0, 0, 1]]
    assert slopes.cotangents == [[2.0, 3.0]] * 5
    assert judge.checked == 4
    assert slopes.leaves[0] is AT


def test_a_direction_moves_each_entry_by_its_size_and_may_be_off_by_the_errors_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slopes, _, _, along = asked(monkeypatch, Estimate(7.0, 0.5))
    (v,) = slopes.directions
    expected = np.random.default_rng(3).normal(size=3) * np.array([0.25, 4.0, 1e-3])
    np.testing.assert_allclose(v, expected, rtol=1e-15)
    ((mine, numerical, allowed),) = along
    assert mine == pytest.approx(1e9 * v[0] - 3e9 * v[1], rel=1e-12)
    assert numerical == 7.0
    sizes = np.abs(v)
    assert allowed == pytest.approx(5.0 + sizes @ BOUND + 0.1 * sizes[0] + 0.3 * sizes[1], rel=1e-12)
    assert asked(monkeypatch, Estimate(7.0, 0.5, AT_POINT))[3] == []
    assert asked(monkeypatch, Estimate(math.nan, 0.5))[3] == []
    assert asked(monkeypatch, Estimate(math.inf, 0.5))[3] == []
    assert len(asked(monkeypatch, Estimate(7.0, 0.5, "a kink at a distance"))[3]) == 1


def test_what_answers_nothing() -> None:
    value, bound, kink = ignore_message((0,))
    assert math.isnan(value)
    assert (bound, kink) == (0.0, True)


# ---- A step


def row(manual: float = 2.0, graph: float = 3.0, **more: Any) -> Row:
    plain: dict[str, Any] = {
        "name": "dx", "shape": (2, 3), "role": "intermediate", "ok": True, "max_abs": 0.0, "max_rel": 0.0,
        "cosine": 1.0, "ratio": 1.0, "wrong": 0.0, "worst": (1, 2), "manual": manual, "graph": graph,
        "numerical": math.nan, "odd": "", "checked": 0, "bound": 0.0,
    }  # fmt: skip
    return Row(**{**plain, **more})


def step(name: str = "dx", verdict: str = "ok", line: int = 4, source: str = "dx = g", **more: Any) -> Step:
    ok = {"ok": (True, True), "follows": (False, True), "WRONG": (False, False), "lucky": (True, False)}[verdict]
    plain: dict[str, Any] = {
        "name": name, "belongs_to": "x", "line": line, "source": source, "function": "backward", "round": 1,
        "rounds": 1, "value_ok": ok[0], "rule_ok": ok[1], "row": row(), "own": row(5.0, 6.0), "arrived": 4.0,
    }  # fmt: skip
    return Step(**{**plain, **more})


@pytest.mark.parametrize(
    ("verdict", "ok", "said"),
    [("ok", True, "ok"), ("follows", False, "follows"), ("WRONG", False, "WRONG"), ("lucky", False, "WRONG")],
)
def test_a_step_is_right_by_its_value_and_by_its_rule(verdict: str, ok: bool, said: str) -> None:
    assert (step(verdict=verdict).ok, step(verdict=verdict).verdict) == (ok, said)


@pytest.mark.parametrize(
    ("name", "line", "source", "place"),
    [
        ("dx", 4, "dx = g", "line 4: dx = g"), ("dx", 4, "return g", "line 4: return g (dx)"),
        ("dx", 4, "", "line 4 (dx)"), ("dx", 0, "dx = g", "dx"), ("dx", 1, "dx = g", "line 1: dx = g"),
    ],
)  # fmt: skip
def test_a_step_is_named_by_its_line(name: str, line: int, source: str, place: str) -> None:
    assert step(name, line=line, source=source).place == place


def test_a_step_as_plain_values() -> None:
    why = Diagnosis("sign", "dx", "The sign.")
    found = step(verdict="WRONG", row=row(numerical=3.5), diagnosis=why).as_dict()
    assert found == {
        "name": "dx", "belongs_to": "x", "line": 4, "source": "dx = g", "function": "backward", "round": 1,
        "rounds": 1, "value_ok": False, "rule_ok": False, "arrived": 4.0, "verdict": "WRONG", "yours": 2.0,
        "right": 3.0, "by_its_rule": 4.0,
        "diagnosis": {"kind": "sign", "where": "dx", "text": "The sign.", "evidence": (), "equation": "", "number": "",
                      "factor": "", "alternatives": ()},
    }  # fmt: skip
    assert step().as_dict()["diagnosis"] is None


# ---- The listing


def test_rounds_of_a_line_are_one_and_the_worst_of_them_is_shown() -> None:
    first, follows, wrong, again = (step("dh[1]", v) for v in ("ok", "follows", "WRONG", "WRONG"))
    other, elsewhere = step("dh", line=5), step("dh", function="helper")
    found = listing.lines([first, follows, other, wrong, again, elsewhere])
    assert [(line.rounds, line.wrong) for line in found] == [(4, 2), (1, 0), (1, 0)]
    assert [line.step for line in found] == [wrong, other, elsewhere]
    assert found[0].step is wrong
    assert listing.lines([first, follows])[0] == (follows, 2, 0)


@pytest.mark.parametrize(
    ("one", "rounds", "wrong", "text"),
    [
        (step(), 1, 0, "dx = g"), (step(source="dx, dw = f(g)"), 1, 0, "dx: dx, dw = f(g)"),
        (step(source="return g"), 1, 0, "dx: return g"), (step(source=""), 1, 0, "dx"),
        (step("dhs[2]", source="dhs[t] = g"), 1, 0, "dhs[t] = g"), (step(), 2, 0, "dx = g  (2 times)"),
        (step(), 3, 1, "dx = g  (1 of 3)"), (step(), 3, 3, "dx = g  (3 of 3)"), (step(), 1, 1, "dx = g"),
        (step(source="dx = f(a, b)"), 1, 0, "dx = f(a, b)"),
    ],
)  # fmt: skip
def test_a_line_of_code_with_its_rounds(one: Step, rounds: int, wrong: int, text: str) -> None:
    assert listing._code(listing.Line(one, rounds, wrong)) == text


def test_the_steps_as_text() -> None:
    long = "dx = " + " + ".join(["abc"] * 12)
    shape = row(math.nan, math.nan, note="has shape (4, 1), and the graph's has (2, 3)")
    number = row(math.nan, math.nan, note="has shape (), and the graph's has (3,)", shape=(3,))
    to_number = row(math.nan, math.nan, note="has shape (3,), and the graph's has ()", shape=())
    none = row(math.nan, 1.0, note="is not known")
    steps = [
        step(verdict="lucky", row=row(1.23456, 1 / 3)), step("dy", "follows", 12, "dy = h"), step("dz", line=0,
        source="", row=shape), step("da", line=7, source=long), step("db", "WRONG", 8, long, row=number,
        own=row(0.123456789, 1e-9, worst=(0,))), step("db", "WRONG", 8, long, own=row(math.nan, 1.0)),
        step("dc", line=9, source="c", row=to_number), step("dd", line=10, source="dd = 1", row=none),
    ]  # fmt: skip
    assert listing.as_text(steps) == [
        "      line  your line                                          yours      right", "-" * 80,
        "WRONG    4  dx = g                                             1.235     0.3333",
        "(ok)    12  dy = h                                                 2          3",
        "ok          dz                                                   4x1        2x3",
        f"ok       7  {'da: ' + long[:40]}…          2          3",
        f"WRONG    8  {'db: ' + long[:30]}…  (2 of 2)     number          3",
        "ok       9  dc: c                                                  3     number",
        "ok      10  dd = 1                                               nan          1",
        "", "(ok): the line is right, and the gradient that came into it is wrong.", "",
        "worst entry of each wrong line              yours    by its rule",
        "dx[1, 2]                                        5              6",
        "db[0]                                   0.1234568           1e-9",
    ]  # fmt: skip
    assert listing.as_text([step()])[2:] == [f"ok       4  {'dx = g':<45}          2          3"]
    wide = [step(source=f"dx = {'重' * 30}"), step("重", "WRONG", source="重 = g")]
    assert listing.as_text(wide)[2:4] + listing.as_text(wide)[6:] == [
        f"ok       4  dx = {'重' * 19}…           2          3",
        f"WRONG    4  重 = g{' ' * 39}          2          3",
        f"重[1, 2]{' ' * 26}              5              6",
    ]
    many = [step(f"d{k}", "WRONG", k, f"d{k} = 1") for k in range(1, 14)]
    assert [text[:5] for text in listing.as_text(many)[-12:]] == [f"d{k}[1, 2]"[:5] for k in range(1, 13)]
    assert len(listing.as_text(many)) == 2 + 13 + 2 + 12


@pytest.mark.parametrize(("length", "shown"), [(44, 44), (45, 45), (46, 45)])
def test_a_line_of_code_is_cut_where_it_is_longer_than_its_column(length: int, shown: int) -> None:
    source = "dx = " + "a" * (length - 5)
    line = listing.as_text([step(source=source)])[2]
    assert line[12 : 12 + 45].rstrip() == (source if length <= 45 else source[:44] + "…")
    assert len(line[12 : 12 + 45].rstrip()) == shown
    assert len(line) == 79


def test_the_steps_as_a_table() -> None:
    why = Diagnosis("sign", "dx", "The <sign>.")
    steps = [
        step(verdict="WRONG", row=row(numerical=1.234567), diagnosis=why), step("dy", "follows", 0, "dy = a < b",
        arrived=math.nan, diagnosis=why), step("dz", line=6, source="dz = 1", arrived=7.654321),
    ]  # fmt: skip
    heads = "".join(f"<th>{text}</th>" for text in
                    ("", "line", "your line", "yours", "right", "numerical", "by its own rule"))  # fmt: skip
    both = "<div class='both'>yours 2, right 3</div>"
    rows = (
        f"<tr class='bad'><td>WRONG</td><td>4</td><td>dx = g{both}<div class='why'>The &lt;sign&gt;. "
        "<code class='soft'>sign</code></div></td><td>2</td><td>3</td><td>1.2346</td><td>4</td></tr>"
        f"<tr class='soft'><td>(ok)</td><td></td><td>dy = a &lt; b{both}</td><td>2</td><td>3</td><td>–</td>"
        "<td>–</td></tr>"
        f"<tr class='good'><td>ok</td><td>6</td><td>dz = 1{both}</td><td>2</td><td>3</td><td>–</td><td>7.6543</td></tr>"
    )
    legend = f"<p class='soft'>{listing.LEGEND}</p>"
    assert listing.as_html(steps) == (
        f"<div class='wide' tabindex='0'><table class='steps'><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>"
        f"</table></div>{legend}"
    )
    assert legend not in listing.as_html(steps[::2])


# ---- What a diagnosis becomes with the change that mends it


def edit(**more: Any) -> Edit:
    return Edit(**{"lineno": 2, "before": "dx = g", "after": "dx = -g", "sentence": "Line 2: so.", **more})


def test_a_known_mistake_gets_the_change_beside_it_and_an_unknown_one_its_kind() -> None:
    known, unknown = (Diagnosis(kind, "dx", "Text.", ("first",)) for kind in ("transpose", "unknown"))
    found = add_edit(known, edit(), set())
    assert (found.kind, found.text, found.evidence) == ("transpose", "Text.", ("first", "Line 2: so."))
    found = add_edit(known, edit(alternatives=("a", "b", "c")), set())
    assert found.evidence == ("first", "Line 2: so.", "the same would come from a or from b")
    found = add_edit(unknown, edit(alternatives=("a",)), set())
    assert (found.kind, found.text) == (
        "sign", "Line 2: so. With this change, it is what its own rule gives, here and at other inputs.")  # fmt: skip
    assert found.evidence == ("Text.", "first", "the same would come from a")
    found = add_edit(unknown, edit(before="d = 1", after="d = dh"), {"h"})
    assert found.kind == "cotangent_ignored"
    assert add_edit(unknown, edit(before="d = 1", after="d = dh"), {"q"}).kind == "edit"


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("d = h[:2]", "d = h[1:2]", "wrong_index"), ("d = h[1:2]", "d = h[:2]", "wrong_index"),
        ("d = h[1:2]", "d = h[1:3]", "wrong_index"), ("d = h[0]", "d = h[i]", "edit"),
        ("d = -a * b", "d = a * b", "sign"), ("d = f(a)[0]", "d = f(b)[0]", "wrong_value"),
        ("d = a.sum(axis=0) * b", "d = a.sum(axis=1) * b", "wrong_axis_sum"),
        ("d = a.sum(axis=0) * b", "d = c.sum(axis=0) * b", "wrong_value"), ("d = (a, b)", "d = (b, a)", "wrong_index"),
        ("d = a * (b + c)", "d = a * (b - c)", "sign"), ("return a * b", "return a * c", "wrong_value"),
        ("d = g * z", "d = g * (1 - z)", "wrong_derivative"),
        ("d = g * 2 * a", "d = g * a", "scale"), ("d = g * n * 2", "d = g * n", "scale"),
    ],
)  # fmt: skip
def test_the_smallest_parts_that_differ_tell_the_kind(before: str, after: str, kind: str) -> None:
    assert kind_of(before, after, set()) == kind


# ---- The report


def reported(steps: list[Step], notes: list[str] | None = None, **more: Any) -> Any:
    written = SimpleNamespace(**{"helpers": [], "stopped": None, **more})
    outs = [SimpleNamespace(size=1, data=np.array([[2.5]]))]
    passes: Any = SimpleNamespace(graph=SimpleNamespace(outs=outs), backward=written)
    return comparison._report("f(x)", passes, steps, notes or [], "How.")


def test_a_report_names_each_wrong_line_once() -> None:
    why = Diagnosis("sign", "dh", "The sign from here on.", ("one",))
    steps = [step("dy"), *(step("dh", "WRONG", diagnosis=why, rounds=3) for _ in range(2)),
             step("dh", "WRONG", line=9, source="dh = 1", diagnosis=why), step("dq", "WRONG", line=3)]  # fmt: skip
    report = reported(steps, ["A note."], helpers=["dq", "dr"])
    assert [(d.where, d.text, d.evidence) for d in report.diagnoses] == [
        ("line 4: dx = g (dh)", "The sign.", ("one", "in 2 of 3 rounds")), ("line 9: dh = 1", "The sign.", ("one",)),
    ]  # fmt: skip
    assert report.first_wrong == "line 4: dx = g (dh)"
    assert report.notes == ("A note.", "Not judged, since no value of the forward has such a name: dq, dr.")
    assert (report.title, report.losses, report.method) == ("f(x)", {"forward": 2.5}, "How.")
    assert report.steps == tuple(steps)
    assert report.rows == tuple(s.row for s in steps)


def test_a_report_of_a_backward_that_stopped() -> None:
    stopped = ValueError("no"), Statement(7, 7, "raise ValueError('no')")
    report = reported([step("dy"), step("dz", line=5)], stopped=stopped)
    (found,) = report.diagnoses
    assert (found.kind, found.where) == ("unknown", "line 7: raise ValueError('no')")
    assert found.text == ("The backward stopped here with ValueError: no. The 2 gradients that it had computed before "
                          "were judged.")  # fmt: skip
    assert report.first_wrong == found.where
    assert reported([step("dy", "WRONG")], stopped=stopped).first_wrong == "line 4: dx = g (dy)"
    assert reported([step()]).first_wrong is None
    assert reported([step()]).notes == ()


# ---- Lines of cells


@pytest.mark.parametrize(
    ("text", "label", "read"),
    [
        ("dx = g * x", "dx", {"g", "x"}), ("dx = np.sum(g, axis=k)", "dx", {"np", "g", "k"}), ("dx += g", "dx", None),
        ("dy = g", "dx", None), ("dx = dy = g", "dx", None), ("dx = g; dy = g", "dx", None), ("dx = (", "dx", None),
        ("dx = 1", "dx", set()), ("h['x'] = g", "h['x']", {"g", "h"}), ("", "dx", None), ("a, b = g", "a", None),
        ("dx = g\ndx[y] -= 1\ndx = dx / n", "dx", {"g", "y", "n"}), ("dx[0] = g", "dx", None),
        ("dx = g\ndy[y] -= 1", "dx", None), ("dx = g\nprint(dx)", "dx", None), ("dx: float = g", "dx", {"g"}),
        ("dx = g\ndx *= 2", "dx", {"g"}), ("dx: float", "dx", None), ("dx = g\ndx[y] = dx[n]", "dx", {"g", "y", "n"}),
        ("h['x'] = g\nh['x'][0] = 1", "h['x']", {"g", "h"}),
    ],
)  # fmt: skip
def test_the_names_that_statements_of_one_name_read(text: str, label: str, read: set[str] | None) -> None:
    assert namespace._names_read(text, label) == read


def test_lines_alone_are_a_function_of_arrays() -> None:
    f = namespace._function(["dx = a * (b) + k", "dx += 1"], "dx", {"a": 0, "b": 0}, {"k": 5})
    assert f(2, 3) == f(b=3, a=2) == 12
    assert f.__code__.co_varnames[:2] == ("a", "b")
    assert f.__code__.co_firstlineno == 1
    statements = [Statement(31, 31, "a"), Statement(35, 36, "b")]
    found = notebook_cells._with_cell_lines(
        edit(lineno=3, sentence="Line 3: Line 2: a", alternatives=("line 2: b", "line 3: line 2: c")), statements
    )
    assert (found.lineno, found.sentence) == (35, "Line 35: Line 2: a")
    assert found.alternatives == ("line 31: b", "line 35: line 2: c")


def test_parts_of_containers_take_other_values_and_the_user_keeps_his() -> None:
    x, h, one = np.zeros(2), {"a": np.zeros(2), 3: "text"}, (1.0, np.zeros(1))
    values = {"x": np.ones(2), "h['a']": np.full(2, 5.0), "one[1]": np.full(1, 7.0), "k": 4}
    scope = namespace.scope_with({"x": x, "h": h, "one": one, "list": [x], "k": 3.0}, values)
    assert scope["h"]["a"].tolist() == [5, 5]
    assert scope["h"][3] == "text"
    assert scope["one"] == (1.0, np.full(1, 7.0))
    assert (scope["x"].tolist(), scope["list"][0].tolist(), float(scope["k"])) == ([1, 1], [0, 0], 4.0)
    scope["list"][0][:], scope["h"]["b"] = 9, 9
    assert (x.tolist(), [*h]) == ([0, 0], ["a", 3])


def test_an_array_becomes_what_the_other_one_was() -> None:
    x = np.ones(2)
    like = namespace._like(x, Tensor(np.zeros(2)))
    assert isinstance(like, Tensor)
    assert not like.requires_grad
    like.data[0] = 5
    plain = namespace._like(x, np.zeros(2))
    assert type(plain) is np.ndarray
    plain[0] = 6
    assert x.tolist() == [1, 1]


# ---- The backward walk with the user's gradients

class Graph(SmallGraph):
    """The graph, and the states in which a user's code held one of its gradients."""

    ds = C * X * W

    def match(self, node: Any, *arrays: Array, added: tuple[int, ...] = (), lines: tuple[int, ...] = ()) -> Any:
        states = [State(Statement(lines[k] if lines else k, 0, ""), np.asarray(a), k in added, k)
                  for k, a in enumerate(arrays)]  # fmt: skip
        gradient = SimpleNamespace(states=states)
        return SimpleNamespace(version=SimpleNamespace(node=node), states=states, gradient=gradient)


@pytest.mark.parametrize(("off", "first"), [(0.9e-9, True), (1.1e-9, False)])
def test_a_state_is_right_to_a_part_of_its_entry_and_of_the_largest_one(off: float, first: bool) -> None:
    g = Graph()
    for k in range(3):
        allowed = np.abs(g.dy) + np.abs(g.dy).max()
        wrong = g.dy + off * allowed * (np.arange(3) == k)
        found = injected(g.tape, [g.match(g.y, wrong, -g.dy)])
        assert found.states[0].time == 0
        assert found.undecided.keys() == {0}
        last = injected(g.tape, [g.match(g.y, -g.dy, wrong)])
        assert last.states[0].time == 1
        assert (last.undecided == {}) is first  # what is right in the end leaves nothing open
        assert (injected(g.tape, [g.match(g.y, -g.dy, 2 * g.dy, wrong)]).undecided == {}) is first


def test_the_users_gradient_is_passed_on_if_its_shape_fits() -> None:
    g = Graph()
    for mine, given, marked in ((3 * g.ds, 3 * g.ds, False), (3 * g.ds[:, None], 3 * g.ds, False),
                                (g.ds[:2], None, True), (g.ds * np.nan, None, True)):  # fmt: skip
        found = injected(g.tape, [g.match(g.s, mine), g.match(g.y, g.dy)])
        went = g.ds if given is None else given
        np.testing.assert_allclose(found.rule_gradients[g.y], C * np.sin(X * W) + went * np.cos(X * W), rtol=1e-14)
        assert (g.s in found.user_gradients) is (given is not None)
        assert found.marked == ({g.y} if marked else set())
    whole = injected(g.tape, [g.match(g.s, np.array([1, 2, 3]))])
    assert whole.user_gradients[g.s].dtype == np.float64
    assert as_floats(np.array([1, 2])).dtype == np.float64
    single = np.ones(2, np.float32)
    assert as_floats(single) is single
    forced = g.match(g.s, g.ds, 2 * g.ds)
    assert injected(g.tape, [forced], forced={0: forced.states[1]}).user_gradients[g.s].tolist() == (2 * g.ds).tolist()
    bounds = [np.full(3, 0.1)]
    assert injected(g.tape, [g.match(g.s, g.ds + 0.09, g.ds + 0.2)], bounds).states[0].time == 0
    assert injected(g.tape, [g.match(g.s, g.ds, g.ds + 0.09)], bounds).states[0].time == 1


def test_of_wrong_states_that_one_is_meant_with_which_the_lines_that_follow_are_right() -> None:
    g = Graph()
    bounds = [np.full(3, 1e-8)] * 2
    for which in (0, 1):
        states = [2 * g.ds + 0.3, 5 * g.ds - 0.1]
        of_y = C * np.sin(X * W) + states[which] * np.cos(X * W)
        found = gradient_decisions(g.tape, [g.match(g.s, *states), g.match(g.y, of_y)], bounds)
        assert [s.time for s in found.states] == [which, 0]
        np.testing.assert_allclose(found.rule_gradients[g.y], of_y, rtol=1e-12)
    right = gradient_decisions(g.tape, [g.match(g.s, g.ds, 2 * g.ds), g.match(g.y, g.dy)], bounds)
    assert [s.time for s in right.states] == [0, 0]
    for states in ([2 * g.ds + 0.3, 5 * g.ds - 0.1], [5 * g.ds - 0.1, 2 * g.ds + 0.3]):
        both = [g.match(g.s, *states), g.match(g.y, 9 * X)]  # whichever is meant, both lines are wrong
        assert gradient_decisions(g.tape, both, bounds).states[0] is injected(g.tape, both, bounds).states[0]
    three = [2 * g.ds + 0.3, 7 * g.ds + 0.2, 5 * g.ds - 0.1]
    of_y = C * np.sin(X * W) + three[1] * np.cos(X * W)
    found = gradient_decisions(g.tape, [g.match(g.s, *three), g.match(g.y, of_y)], bounds)
    assert [s.time for s in found.states] == [1, 0]


def test_how_far_rounding_may_take_a_gradient() -> None:
    g = Graph()
    matches = [g.match(g.y, g.dy), g.match(g.x, g.dy * W)]
    for eps, least, most in ((2.0**-52, 1e-17, 1e-12), (2.0**-23, 1e-8, 1e-3)):
        values, own = bounds_of(g.tape, [g.x, g.w], matches, {g.y: g.dy}, eps, np.random.default_rng(0))
        for bounds in (values, own):
            assert [b.shape for b in bounds] == [(3,), (3,)]
            assert all((b > least).all() and (b < most).all() for b in bounds)
    huge = {g.y: 1e6 * g.dy}
    values, own = bounds_of(g.tape, [g.x, g.w], matches, huge, 2.0**-52, np.random.default_rng(0))
    assert (values[1] < 1e-12).all()
    assert (own[1] > 1e-12).all()  # of the user's gradients, which are large


def test_rounding_is_twice_the_most_that_shaken_steps_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    still = SimpleNamespace(look_around=lambda rng, count: seen.append(count), rounding=lambda: [np.zeros(3)] * 2)
    seen: list[Any] = []
    monkeypatch.setattr(walk, "Sides", lambda *args: still)
    x, w = Tensor(X), Tensor(W)
    y = x * w
    tape = Tape([(y.node, C)])  # type: ignore[list-item]
    match = SimpleNamespace(version=SimpleNamespace(node=x.node))
    values, own = bounds_of(tape, [x.node, w.node], [match], {}, 1e-4, np.random.default_rng(5))  # type: ignore[list-item]
    draws = np.random.default_rng(5).uniform(-1, 1, (6, 3))
    off = 2 * np.abs(C * W) * 64 * 1e-4 * np.abs(draws)
    np.testing.assert_allclose(values[0], off[:3].max(axis=0), rtol=1e-9)
    np.testing.assert_allclose(own[0], off[3:].max(axis=0), rtol=1e-9)
    assert seen == [3]


# ---- Why a step is wrong


def test_what_each_use_of_a_value_adds_to_its_gradient() -> None:
    g = Graph()
    found = _contributions(g.tape.segment(g.y, {}))
    assert len(found) == 2
    np.testing.assert_allclose(found[0], C * np.sin(X * W), rtol=1e-14)
    np.testing.assert_allclose(found[1], g.ds * np.cos(X * W), rtol=1e-14)
    (of_s,) = _contributions(g.tape.segment(g.s, {}))
    np.testing.assert_allclose(of_s, g.ds, rtol=1e-14)


@pytest.mark.parametrize(
    ("part", "other", "same"),
    [
        ([1.0, 100.0], [1.0 + 0.9e-7, 100.0], True), ([1.0, 100.0], [1.0 + 1.1e-7, 100.0], False),
        ([1e-12, 2e-12], [1e-12, 2.1e-12], False), ([0.0, 0.0], [0.0, 0.0], True), ([1.0], [1.0, 1.0], False),
        ([0.0], [1e-12], False), ([1e-12], [0.0], False), ([1.0, 0.0], [1.0, 1e-3], False),
    ],
)  # fmt: skip
def test_two_parts_of_a_gradient_are_one_to_rounding(part: Any, other: Any, same: bool) -> None:
    assert _is_close(np.array(part), np.array(other)) is same
    close = np.array(part) + 0.9e-4 * np.abs(part).max()
    assert _is_close(np.array(part, np.float32), close) is True
    assert _is_close(np.array(part, np.float32), close + 0.3e-4 * np.abs(part).max()) is not np.any(part)


def test_of_statements_that_add_up_a_gradient_the_wrong_one_is_blamed() -> None:
    g = Graph()
    one, two = C * np.sin(X * W), g.ds * np.cos(X * W)

    def of(*parts: Array, lines: tuple[int, ...] = ()) -> int:
        sums = np.cumsum(parts, axis=0)
        m = g.match(g.y, *sums, added=tuple(range(1, len(parts))), lines=lines)
        return blamed_steps(g.tape, m, m.states[-1], {}).statement.line

    assert of(one, 2 * two) == 1
    assert of(2 * one, two) == 0
    assert of(one, two) == 1
    assert of(2 * one, 3 * two) == 1  # not one, but both
    assert of(one + two, one) == 1
    assert of(0.3 * one + 0.1, one + two) == 0
    assert of(0 * one, 3 * one, two) == 1  # zeros to begin with
    assert of(one / 4, 2 * two, 3 * one / 4, lines=(4, 5, 4)) == 5  # a loop of two lines
    m = g.match(g.y, one, 7 * two)
    assert blamed_steps(g.tape, m, m.states[0], {}) is m.states[0]
    m = g.match(g.y, one[:2], one + two, added=(1,))
    assert blamed_steps(g.tape, m, m.states[1], {}) is m.states[1]
    many = [np.ones(3), *(0.1 * one for _ in range(6))]
    assert of(*many) == 6  # too many: nothing is reported


def test_where_nothing_follows_there_is_no_kink_and_no_broadcast() -> None:
    g = Graph()
    nothing = Traced([], [g.x], [])
    assert _in_hull(nothing, X, X, False, np.random.default_rng(0)) is False
    assert _in_hull(g.tape.segment(g.y, {}), X[:2], X, False, np.random.default_rng(0)) is False
    found = shape_diagnosis(nothing, "dx", "x", np.ones((3, 2)), np.arange(6.0).reshape(2, 3))
    assert found is not None
    assert (found.kind, found.text) == ("transpose", ("dx is (3, 2), x is (2, 3): a gradient has the shape of its value"
                                                      ", and this one is transposed: dx.T."))  # fmt: skip
    for off, kind in ((5e-7, "edit"), (5e-6, "transpose")):
        near = np.arange(1.0, 7).reshape(3, 2) * (1 + off)
        found = shape_diagnosis(nothing, "dx", "x", near, np.arange(1.0, 7).reshape(2, 3))
        assert found is not None
        assert found.kind == kind
    assert shape_diagnosis(nothing, "dx", "x", X, X) is None
    assert shape_diagnosis(nothing, "dx", "x", X[None], X) is None
    assert shape_diagnosis(nothing, "dx", "x", np.ones(5), X) is None


# ---- By numbers


def of_helper(x: Array) -> Any:
    v = x * 2
    return (helper(x) * v).sum()


def helper(u: Array) -> Array:
    w = u * 3
    return w


def test_the_parameter_of_a_function_that_is_called_has_a_value_of_its_own() -> None:
    run = ArrayRun(of_helper, arrange(of_helper, {"x": X}), [X])
    versions = run.forward.versions
    assert list(versions) == ["x", "v", "u", "w"]
    assert [len(v) for v in versions.values()] == [1, 1, 1, 1]
    of_u = versions["u"][0]
    assert of_u.node is not versions["x"][0].node
    assert of_u.rooms == {"helper"}
    (out,) = run.rerun([X], {of_u.node: X + 1})
    assert float(out) == pytest.approx(float((3 * (X + 1) * 2 * X).sum()))
    (out,) = run.rerun([X + 1], {})
    assert float(out) == pytest.approx(float((6 * (X + 1) ** 2).sum()))


def test_rounding_may_move_an_entry_as_far_as_the_largest_one_allows() -> None:
    right = np.array([1.0, 1e3, 0.0])
    whole = NumericalGradient(right, np.full(3, 1e-20), right.copy(), right.copy())
    unit = 64 * 2.0**-52
    for off, ok in ((240 * unit, True), (262 * unit, False)):
        row, bad = _judge("dz", right + np.array([off, 0, 0]), whole, 2.0**-52)
        assert (row.ok, bad.tolist()) == (ok, [not ok, False, False])


def test_a_wrong_shape_by_numbers_is_named_with_its_value() -> None:
    match: Any = SimpleNamespace(version=SimpleNamespace(value=SimpleNamespace(data=np.ones((2, 3)))),
                                 gradient=SimpleNamespace(belongs_to="x"))  # fmt: skip
    whole = NumericalGradient(np.ones((2, 3)), np.zeros((2, 3)), np.ones((2, 3)), np.ones((2, 3)))
    mine = np.arange(6.0).reshape(3, 2)
    found = _explain("dx", match, mine, whole, row(), np.ones((2, 3), bool), np.ones((2, 3)), np.zeros((2, 3)))
    assert found.where == "dx"
    assert found.text.startswith("dx is (3, 2), x is (2, 3): a gradient has the shape of its value")


# ---- At other inputs


def test_the_same_states_are_meant_at_other_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    def match(name: str, *times: int) -> Any:
        states = [State(Statement(1, 1, ""), X, False, time) for time in times]
        return SimpleNamespace(gradient=SimpleNamespace(name=name, round=1), states=states)

    mine = [match("a", 1, 2), match("b", 3, 4), match("c", 5, 6), match("d", 7, 8)]
    there = [match("a", 11, 12), match("b", 13, 14), match("c", 15), match("d", 17, 18)]
    meant = SimpleNamespace(states=[mine[0].states[0], mine[1].states[1], mine[2].states[1],
                                     State(Statement(1, 1, ""), X, False, 99)])  # fmt: skip
    asked: list[Any] = []
    called: Any = SimpleNamespace(
        rng=np.random.default_rng(0), inputs=SimpleNamespace(leaves=[X], float_indices=[0]), runs=[0], at=asked.append)
    graph: Any = SimpleNamespace(operations=[])
    found = iter([(graph, {}, there, []), (graph, {}, there[:2], [])])
    monkeypatch.setattr(probes, "matched", lambda run, summed: next(found))
    monkeypatch.setattr(probes, "injected", lambda *args, forced: (*args, forced))
    tape: Any = SimpleNamespace(summed=1.0, operations=[])
    several = probes.Probes(called, tape, mine, meant, {})  # type: ignore[arg-type]
    others = several._runs()[1:]
    assert several._runs()[1:] == others
    assert others[1:] == [None]
    here, matches, (walked, same, forced) = others[0]  # type: ignore[misc]
    assert matches is same
    assert [m.gradient.name for m in matches] == [*"abcd"]
    assert here is walked is graph
    assert {k: s.time for k, s in forced.items()} == {0: 11, 1: 14}
    assert len(asked) == 2
    rng = np.random.default_rng(0)
    for (moved,) in asked:
        np.testing.assert_array_equal(moved, X * rng.uniform(0.8, 1.2, 3) + 0.05 * rng.normal(size=3))


def test_inputs_that_a_backward_was_not_made_for_are_left_out() -> None:
    def fails(leaves: Any) -> Any:
        called.runs += [1, 2]
        raise ValueError

    called: Any = SimpleNamespace(
        rng=np.random.default_rng(0),
        inputs=SimpleNamespace(leaves=[X], float_indices=[0]),
        runs=[0],
        at=fails,
    )
    tape: Any = SimpleNamespace(summed=1.0, operations=[])
    assert probes.Probes(called, tape, [], SimpleNamespace(states=[]), {})._runs()[1:] == []  # type: ignore[arg-type]
    assert called.runs == [0]


# ---- Namespaces and cells


def test_the_gradients_of_a_namespace() -> None:
    x, w = Tensor(X, name="x"), Tensor(W)
    y = x * w
    loss = (y * C).sum()
    loss.backward(retain_graph=True)
    space = {"x": x, "w": w, "y": y, "loss": loss, "dx": W, "_dw": X, "dq": X, "d": 3.0, "dy": [C, C], "dt": "text"}
    found = read_namespace(Namespace(space, None), None)
    assert [(g.name, g.belongs_to) for g in found.backward.gradients] == [("dx", "x"), ("w.grad", "w")]
    assert found.backward.helpers == ["dq"]
    assert [*found.graph.versions] == ["x", "w", "y", "loss"]
    assert (found.graph.out_names, found.has_float32) == (["loss"], False)
    (version,) = found.graph.versions["w"]
    assert (version.node, version.value, version.statement) == (w.node, w, Statement(0, 0, ""))
    assert [c.tolist() for c in found.cotangents] == [1.0]
    named = read_namespace(Namespace({**space, "delta": C}, None), {"delta": "y"})
    assert [(g.name, g.belongs_to) for g in named.backward.gradients] == [("dx", "x"), ("delta", "y"), ("w.grad", "w")]
    single = read_namespace(Namespace({**space, "dx": W.astype(np.float32)}, None), None)
    assert single.has_float32


def cell_of(k: int = 0) -> tuple[Any, Graph]:
    g = Graph()
    version = lambda t: [SimpleNamespace(node=t.node, value=t)]
    versions = dict(zip("xwysz", map(version, g.kept), strict=True)) | {"h['a']": version(g.kept[3])}
    graph = SimpleNamespace(versions=versions, tensors=list(g.kept[:2]))
    matches = [SimpleNamespace(version=SimpleNamespace(node=n), gradient=SimpleNamespace(name=name))
               for n, name in ((g.s, "ds"), (g.y, "dy"))]  # fmt: skip
    run: Any = SimpleNamespace(graph=graph)
    space = Namespace({"x": 1, "a b": 2}, None)
    made: Any = notebook_cells.Cells(space, run, g.tape, matches, None, np.random.default_rng(0))  # type: ignore[arg-type]
    return made, g


def test_a_line_of_a_cell_is_tried_with_other_values_near_its_own() -> None:
    made, _ = cell_of()
    values, right = made._draw_elsewhere(1)
    further_values = made._further_values({"x": 0, "s": 0}, values)
    assert further_values.keys() == {"w", "y", "z"}
    assert all(further_values[name] is values[name] for name in further_values)
    assert values.keys() == {"x", "w", "y", "s", "z", "h['a']", "ds"}
    rng = np.random.default_rng(0)
    for name, plain in (("x", X), ("w", W)):
        np.testing.assert_array_equal(values[name], plain * rng.uniform(0.8, 1.2, 3) + 0.05 * rng.normal(size=3))
    np.testing.assert_array_equal(values["ds"], rng.normal(size=3))
    y = values["x"] * values["w"]
    np.testing.assert_allclose(values["s"], np.sin(y), rtol=1e-14)
    np.testing.assert_allclose(right, C * np.sin(y) + values["ds"] * np.cos(y), rtol=1e-13)
    values, right = made._draw_elsewhere(0)
    np.testing.assert_allclose(right, C * values["y"], rtol=1e-13)


def test_a_line_of_a_cell_is_changed_where_it_gives_what_the_namespace_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(notebook_cells, "edit_of_step", lambda *args, **named: asked.append((args, named)) or answer)
    answer: Any = edit(sentence="Line 2: so.")
    made, g = cell_of()
    ds = np.array([3.0, -1.0, 0.5])
    names = {"ds": ds, "y": g.kept[2], "np": np, "k": 2.0, "flag": None, "f": lambda x: x, "a b": 1}
    made.space = Namespace(names, None)
    line = "dy = ds * np.cos(y) * k"
    held = ds * np.cos(X * W) * 2
    made.walked = SimpleNamespace(states=[None, SimpleNamespace(array=held)], rule_gradients={g.y: C})

    def ask(text: str, number: int = 7) -> Diagnosis:
        made.space.statements["dy"] = [Statement(number, number, text)]
        return made.with_edit(Explained(found, State(Statement(number, number, text), held)), 1, ()).diagnosis

    found = Diagnosis("transpose", "dy", "Text.")
    for text, number in (("dy += ds", 7), (line, 0), (line + " * other", 7), ("dy = ds.nothing", 7), ("dy = ds * k", 7),
                         ("dq = ds", 7)):  # fmt: skip
        assert ask(text, number) is found
    assert asked == []
    assert ask(line).evidence == ("Line 7: so.",)
    ((args, named),) = asked
    f, call, label, lineno, wanted = args
    assert (label, lineno) == ("dy", 2)
    np.testing.assert_array_equal(wanted[0], C)
    for probe in range(3):
        scope = call(lambda **scope: scope, probe)
        assert scope.keys() == {"ds", "y", "k"}
        assert isinstance(scope["y"], Tensor)
        assert scope["k"] == 2.0
        values = named["values"](probe)
        assert values.keys() == {"x", "w", "s", "z"}
        if not probe:
            np.testing.assert_array_equal(values["w"], W)
        np.testing.assert_allclose(values["s"], np.sin(scope["y"].data), rtol=1e-14)
        if probe:
            y = scope["y"].data
            np.testing.assert_allclose(wanted[probe], C * np.sin(y) + scope["ds"] * np.cos(y), rtol=1e-13)
            assert (scope["ds"] != ds).all()
        else:
            np.testing.assert_array_equal(scope["ds"], ds)
        np.testing.assert_allclose(call(f, probe), scope["ds"] * np.cos(scope["y"].data) * 2, rtol=1e-14)
    answer = None
    assert ask(line) is found


def test_a_forward_that_fails_on_arrays_too_raises_its_own_error() -> None:
    def fails(x: Any) -> Any:
        raise KeyError("mine")

    def only_arrays(x: Any) -> Any:
        y = np.zeros(3)
        y[...] = x
        return y.sum()

    inputs = arrange(fails, {"x": X})
    with pytest.raises(KeyError, match="mine"):
        run_forward(fails, inputs, [X])
    with pytest.raises(NoGraphError):
        run_forward(only_arrays, arrange(only_arrays, {"x": X}), [X])
    with pytest.raises(ValueError, match="does not depend on its inputs by operations"):
        run_forward(lambda x: x.data.sum() + 0 * x.detach(), arrange(lambda x: x, {"x": X}), [X])


@pytest.mark.parametrize(("before", "after", "taken"), [
    ({0, 1}, {1}, True),  # it is right itself
    ({0, 1}, {0}, False),  # it is as wrong as before, and one other is right: as likely by chance
    ({0, 1, 2}, {0}, True),  # it makes two others right
    ({0, 1}, {0, 1}, False), ({1, 2}, set(), False),  # it was right already
    ({0}, set(), False),  # no other step is wrong
])  # fmt: skip
def test_a_gradient_is_that_of_a_value_without_a_name_if_that_explains_enough(
    monkeypatch: pytest.MonkeyPatch, before: set[int], after: set[int], taken: bool
) -> None:
    leaf, x = Tensor(1.0).node, Tensor(2.0)
    named, other = np.exp(x).node, np.sin(x).node
    tape: Any = SimpleNamespace(operations=[named, other])
    matches: Any = [SimpleNamespace(version=SimpleNamespace(node=n), gradient=SimpleNamespace(rooms={""}))
                    for n in (named, leaf, leaf)]  # fmt: skip
    monkeypatch.setattr(unnamed, "_around", lambda tape, node, named: [((), other)])
    monkeypatch.setattr(unnamed, "_is_doubled", lambda matches, k: False)
    monkeypatch.setattr(unnamed, "shifted", lambda tape, matches, shifts: shifts)
    monkeypatch.setattr(unnamed, "injected", lambda tape, matches, bound: None)
    monkeypatch.setattr(unnamed, "wrong_steps", lambda walked, matches, bound: before if matches is listed else after)
    listed = matches
    assert unnamed.unnamed_values(tape, {}, matches) == ({0: 1} if taken else {})


@pytest.mark.parametrize(("array", "other", "expected"), [
    ([1.0, -2.0], [3.0, -6.0], True), ([1.0, -2.0], [-0.5, 1.0], True), ([1e-200, 0], [1e-201, 0], True),
    ([1.0, -2.0], [1.0, -2.0], False), ([1.0, -2.0], [3.0, 6.0], False), ([1.0, -2.0], [0.0, 0.0], False),
    ([0.0, 0.0], [1.0, 2.0], False), ([], [], False), ([1.0], [[2.0]], False), ([1.0, np.nan], [2.0, np.nan], False),
    ([1.0, np.inf], [2.0, np.inf], False), ([1 + 1j, 2], [2j, 2 + 2j], True), ([1 + 1j, 2], [2j, 2 - 2j], False),
])  # fmt: skip
def test_what_a_multiple_of_a_gradient_is(array: Array, other: Array, expected: bool) -> None:
    assert is_multiple(np.array(array), np.array(other)) is expected
