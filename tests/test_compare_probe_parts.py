"""Parts of the comparison of steps: probing at other inputs, watching a run, and choosing among states."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.test_compare_mistake_parts import Place, at
from tinygrad_nn import Tensor, compare_steps
from tinygrad_nn.compare.budget import Budget
from tinygrad_nn.compare.diagnosis import Diagnosis
from tinygrad_nn.compare.edits import Edit
from tinygrad_nn.compare.function.calling import arrange
from tinygrad_nn.compare.mistakes import recurrent
from tinygrad_nn.compare.numerical.full_gradients import NumericalGradient
from tinygrad_nn.compare.steps import by_numbers, edits_by_numbers, matching, probes
from tinygrad_nn.compare.steps.arguments import arguments, takes_cotangent
from tinygrad_nn.compare.steps.by_numbers import ArrayRun, _explain
from tinygrad_nn.compare.steps.edits_by_numbers import EditSearch
from tinygrad_nn.compare.steps.explain import _broadcast_axes
from tinygrad_nn.compare.steps.mending import Explained
from tinygrad_nn.compare.steps.names import Names
from tinygrad_nn.compare.steps.probes import Probes, UserPasses
from tinygrad_nn.compare.steps.running import Forward, run_backward, run_forward
from tinygrad_nn.compare.steps.statements import Statement
from tinygrad_nn.compare.steps.tracing import State, Trace
from tinygrad_nn.primitive import REGISTRY
from tinygrad_nn.tensor import apply
from tinygrad_nn.transforms import alias, new_input

Array = Any
X, C = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, -1.0])
LINE, OTHER = Statement(4, 4, "dx = g"), Statement(5, 5, "dx = h")
FOUND = Diagnosis("transpose", "dx", "Text.")


def state(array: Array = X, time: int = 0, statement: Statement = LINE) -> State:
    return State(statement, np.asarray(array), False, time)


# ---- Cotangents


@pytest.mark.parametrize(
    ("takes", "shapes", "ones"),
    [(True, [(3,)], False), (True, [()], True), (True, [(1, 1)], True), (True, [(), ()], False), (False, [(3,)], True),
     (True, [(), (2,)], False), (False, [(), (2,)], True)],
)  # fmt: skip
def test_a_result_has_a_cotangent_of_its_own_unless_it_is_the_loss(
    monkeypatch: pytest.MonkeyPatch, takes: bool, shapes: Any, ones: bool
) -> None:
    monkeypatch.setattr(probes, "takes_cotangent", lambda backward, inputs, graph: takes)
    graph: Any = SimpleNamespace(outs=[Tensor(np.zeros(shape)) for shape in shapes])
    called: Any = UserPasses(None, None, None, {}, np.random.default_rng(2))  # type: ignore[arg-type]
    found, g = called.draw_cotangents(graph)
    rng = np.random.default_rng(2)
    for c, shape in zip(found, shapes, strict=True):
        wanted = np.ones(shape) if ones else rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
        np.testing.assert_array_equal(c, wanted)
    assert isinstance(g, tuple) is (len(shapes) > 1)
    for c, passed in zip(found, g if isinstance(g, tuple) else (g,), strict=True):
        np.testing.assert_array_equal(c, passed)
        assert c is not passed


def forward_of(f: Any) -> tuple[Any, Forward]:
    inputs = arrange(f, {"x": X})
    return inputs, run_forward(f, inputs, [X])


def test_a_parameter_with_the_name_of_a_value_is_no_cotangent() -> None:
    def named(x: Any) -> Any:
        g = np.sin(x)
        return g * x

    def plain(x: Any) -> Any:
        z = np.sin(x)
        return z * x

    assert takes_cotangent(lambda x, g: 0, *forward_of(plain))
    assert not takes_cotangent(lambda x, g: 0, *forward_of(named))
    inputs, forward = forward_of(plain)
    _, kwargs = arguments(lambda v: v.z, inputs, forward, C, {})
    assert kwargs["v"].keys() == {"x", "z"}
    _, kwargs = arguments(lambda v: v * 2, inputs, forward, C, {})
    assert kwargs["v"] is C
    _, kwargs = arguments(lambda x, dz=7: 0, inputs, forward, C, {})
    assert kwargs.keys() == {"x"}

    def called(x: Any) -> Any:
        z = np.sin(x)
        out = z * x
        return out

    inputs, forward = forward_of(called)
    _, kwargs = arguments(lambda x, dout, dz=7: 0, inputs, forward, C, {})
    assert kwargs.keys() == {"x", "dout"}
    assert kwargs["dout"] is C

    inputs, forward = forward_of(lambda x: {"score": np.sin(x) * x})  # the name of a result is that of its entry
    _, kwargs = arguments(lambda x, dscore: 0, inputs, forward, C, {})
    assert kwargs["dscore"] is C


def test_a_name_of_both_passes_is_a_gradient_only_if_the_backward_assigns_it() -> None:
    def forward(x: Any) -> Any:
        dx = x * 2
        return (dx * x).sum()

    def given(x: Any, dx: Any) -> Any:
        dq = dx + x
        return dq

    def anew(x: Any, dx: Any) -> Any:
        dx = x * 4
        return dx

    inputs, run = forward_of(forward)
    names = Names([*run.versions])
    found = run_backward(anew, inputs, run, np.array(1.0), names)
    assert [(g.name, g.belongs_to, len(g.states)) for g in found.gradients] == [("dx", "x", 1)]
    found = run_backward(given, inputs, run, np.array(1.0), names)
    assert [(g.name, g.belongs_to) for g in found.gradients] == [("gradient of x", "x")]
    assert found.helpers == ["dq"]


# ---- States


@pytest.mark.parametrize(
    ("states", "arrived", "index"),
    [
        ([X, np.ones(2)], 0 * X, 0), ([X, C], 0 * X, 1), ([0 * X, np.ones(2)], C, 0), ([0 * X, -C], C, 1),
        ([-C, 0 * X], C, 0), ([2 * C, X], C, 0), ([X, 2 * C], C, 1), ([1j * C, X + 3j], C, 1),
        ([1j * C, 0.1 * C + 3j], C, 1),
    ],
)  # fmt: skip
def test_of_wrong_states_the_one_with_the_nearest_direction_is_chosen(states: Any, arrived: Array, index: int) -> None:
    given = [state(x, k) for k, x in enumerate(states)]
    found, right = matching.choose_state(given, arrived, np.full(arrived.shape, 1e-9))
    assert found is given[index]
    assert not right


def test_bindings_of_one_value_are_one_round_and_the_others_are_counted() -> None:
    given: Any = [SimpleNamespace(states=[state(X, k)], is_echo=False) for k in range(4)]
    for primitive, count in ((None, 1), ("sin", 4)):
        value: Any = SimpleNamespace(node=SimpleNamespace(primitive=primitive), is_echo=False)
        (found,) = matching._paired([value], given, {})
        assert (found.gradient, found.rounds, found.unpaired, len(found.states)) == (given[3], 1, 3, count)


@pytest.mark.parametrize(
    ("shape", "out", "axes"),
    [((1, 3), (3,), ()), ((1, 1), (1,), ()), ((1,), (), ()), ((3,), (3,), ()), ((1,), (3,), (0,)), ((1,), (1,), ()),
     ((1,), (2, 1), (0,))],
)  # fmt: skip
def test_a_value_with_more_axes_than_the_result_was_not_broadcast(shape: Any, out: Any, axes: Any) -> None:
    assert _broadcast_axes(shape, out) == axes


def test_one_gradient_that_is_right_counts_more_than_two_of_the_right_shape() -> None:
    values: Any = [SimpleNamespace(node=alias(new_input(X)).node, is_echo=False) for _ in range(3)]
    right = {v.node: array for v, array in zip(values, (X, C, 2 * C), strict=True)}
    for arrays, wanted in (((X, 7 * X), [(0, 0)]), ((7 * X, 5 * X), [(2, 0), (1, 1)]), ((2 * C, X), [(2, 0), (0, 1)]),
                           ((2 * C, C), [(2, 0), (1, 1)]), ((C, 7 * X), [(1, 0), (0, 1)])):  # fmt: skip
        given: Any = [SimpleNamespace(states=[state(x, k)], is_echo=False) for k, x in enumerate(arrays)]
        found = matching._paired(values, given, right)
        places = [([v is m.version for v in values].index(True), [g is m.gradient for g in given].index(True))
                  for m in found]  # fmt: skip
        assert places == wanted


# ---- Watching a run


def writing(x: Array) -> Array:
    a = x * 1
    b = x * 2
    b[0] = 5.0
    b += 1
    c = a
    b[1] = b[1]
    return c + b


def test_a_binding_has_a_state_for_each_change_of_its_array() -> None:
    trace = Trace(lambda label, value: isinstance(value, np.ndarray))
    trace.run(writing, X.copy())
    found = {b.label: [s.statement.text for s in b.states] for b in trace.bindings}
    assert found == {"x": ["def writing(x: Array) -> Array:"], "a": ["a = x * 1"],
                     "b": ["b = x * 2", "b[0] = 5.0", "b += 1"], "c": ["c = a"]}  # fmt: skip
    b = trace.bindings[2]
    assert [s.array[0] for s in b.states] == [1.0, 5.0, 6.0]
    assert [s.added for s in b.states] == [False, False, True]
    assert [s.time for s in b.states] == sorted({s.time for s in b.states})
    assert sorted(s.time for b in trace.bindings for s in b.states) == [1, 2, 3, 4, 5, 6]
    assert trace.returned is not None
    assert trace.returned.text == "return c + b"
    assert trace.final_names.keys() == {"x", "a", "b", "c"}
    once = Trace(lambda label, value: isinstance(value, np.ndarray), replace_argument=lambda value: value)
    once.run(writing, X.copy())
    assert [len(b.states) for b in once.bindings] == [1] * 4


def renamed(x: Array) -> Any:
    y = x
    return (y * y).sum()


def test_another_name_of_an_input_is_a_value_of_its_own() -> None:
    run = ArrayRun(renamed, arrange(renamed, {"x": X}), [X])
    versions = run.forward.versions
    assert list(versions) == ["x", "y"]
    assert versions["x"][0].node is not versions["y"][0].node
    assert versions["x"][0].statement == Statement(0, 0, "")
    assert (versions["x"][0].function, versions["x"][0].rooms) == ("", {""})
    assert versions["y"][0].statement.text == "y = x"
    (out,) = run.rerun([X], {versions["y"][0].node: 2 * X})
    assert float(out) == float((4 * X * X).sum())


# ---- Changes of lines at other inputs


def edit(after: str = "dx = -g") -> Edit:
    return Edit(2, "dx = g", after, f"Line 2: {after.strip()} would be right.")


def test_values_are_named_as_the_backward_reaches_them() -> None:
    def dotted(v: Any) -> Any:
        return v.z

    def keyed(cache: Any, k: Any = 2) -> Any:
        z2 = cache["z"]
        return z2

    def named(x: Any, z: Any) -> Any:
        return x, z

    def forward(x: Any) -> Any:
        z = np.sin(x)
        n = 3
        return (z * x).sum() / n

    inputs, run = forward_of(forward)
    said = []
    for backward in (dotted, keyed, named):
        called = UserPasses(forward, backward, inputs, {}, np.random.default_rng(0))
        called.runs = [SimpleNamespace(user_forward=run, g=np.ones(()))]  # type: ignore[list-item]
        said.append(called.as_written(edit("dx = z * z2 + x.z - n * 'z'")))
        assert called.values(0).keys() == {"x", "z"}
        np.testing.assert_array_equal(called.values(0)["z"], np.sin(X))
    assert [e.after for e in said] == [
        "dx = v.z * z2 + v.x.z - n * 'z'", "dx = cache['z'] * z2 + cache['x'].z - n * 'z'",
        "dx = z * z2 + x.z - n * 'z'"]  # fmt: skip
    assert said[0].sentence == "Line 2: dx = v.z * z2 + v.x.z - n * 'z' would be right."


def test_an_edit_is_kept_if_the_backward_names_each_value() -> None:
    def forward(x: Any) -> Any:
        y = x * x
        return y.sum()

    def backward(cache: Any) -> Any:
        x = cache["x"]
        y = cache["y"]
        dy = np.ones_like(y)
        dx = x * dy
        return dx

    report = compare_steps(forward, backward, X)
    (text,) = {s for d in report.diagnoses for s in d.evidence if s.startswith("Line ")}
    assert "cache" not in text
    assert "instead of dx = x * dy" in text


class Kept:
    """Stands in for a search: it records its arguments and always returns the same answer."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, list[Any]()

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.asked.append((args, named))
        return self.answer


def probed(answer: Any, monkeypatch: pytest.MonkeyPatch, primitive: Any = "sin") -> tuple[Kept, Kept, Any, Any]:
    by_step, by_result = Kept(answer), Kept(() if answer is None else (answer,))
    monkeypatch.setattr(probes, "edit_of_step", by_step)
    monkeypatch.setattr(probes, "nearest_edits", by_result)
    plain = [state(X, 3), state(2 * X, 6, OTHER), state(3 * X, 8)]
    states = [one._replace(visit=visit) for one, visit in zip(plain, (0, 0, 1), strict=True)]
    one = SimpleNamespace(name="dx", states=states, belongs_to="x", round=1)
    node = new_input(X) if primitive is None else alias(new_input(X))
    match = SimpleNamespace(states=states, gradient=one, version=SimpleNamespace(node=node.node))
    walked = SimpleNamespace(states=[states[2]], rule_gradients={node.node: C})
    runs = [SimpleNamespace(backward=SimpleNamespace(gradients=[one, SimpleNamespace(name="dq", states=states)],
                                                     value=(C, 3 * X)),
                            graph=SimpleNamespace(values={"x": 0}, codes=())) for _ in range(2)]  # fmt: skip
    called = SimpleNamespace(backward="backward", call="call", values="values", runs=runs, as_written=lambda e: e)
    made: Any = Probes(called, None, [match], walked, {})  # type: ignore[arg-type, list-item]
    made.other_runs = [None, (None, [match], walked)]
    made._mends = lambda edit: set()
    return by_step, by_result, made, states


def test_the_smallest_change_of_a_line_is_searched_at_all_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    by_step, by_result, made, states = probed(edit(), monkeypatch)
    found = made.with_edit(Explained(FOUND, states[2]), 0, [0])
    assert found.diagnosis.evidence == ("Line 2: dx = -g would be right.",)
    ((args, named),) = by_step.asked
    assert args[:4] == ("backward", "call", "dx", 4)
    assert [w if w is None else w.tolist() for w in args[4]] == [C.tolist(), None, C.tolist()]
    behind = named.pop("behind")
    assert named == {"visit": 1, "values": "values", "file": ""}
    assert (behind.step, behind.place.label, behind.place.line, behind.wrong) == (0, "dx", 4, {0})
    made.with_edit(Explained(FOUND, states[0]), 0, [0])
    args, named = by_step.asked[-1]
    assert [w if w is None else w.tolist() for w in args[4]] == [(C - 2 * X).tolist(), None, (C - 2 * X).tolist()]
    assert named["visit"] == 0
    made.with_edit(Explained(FOUND, states[1]), 0, [0])
    assert (by_step.asked[-1][0][3], by_step.asked[-1][1]["visit"]) == (5, 0)
    assert by_result.asked == []


def test_an_edit_that_makes_other_steps_wrong_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, made, states = probed(edit(), monkeypatch)
    made._mends = lambda edit: None
    assert made.with_edit(Explained(FOUND, states[2]), 0, [0]).diagnosis is FOUND


def test_no_search_runs_without_a_line_or_time(monkeypatch: pytest.MonkeyPatch) -> None:
    by_step, by_result, made, states = probed(edit(), monkeypatch)
    assert made._edit(0, state(X, 99), [0]) is None
    assert made._edit(0, state(X, 3, Statement(0, 0, "")), [0]) is None
    made.budget = spent()
    assert made._edit(0, states[2], [0]) is None
    assert by_step.asked == by_result.asked == []
    by_step, by_result, made, states = probed(None, monkeypatch)
    assert made.with_edit(Explained(FOUND, states[2]), 0, [0]).diagnosis is FOUND
    assert (len(by_step.asked), by_result.asked) == (1, [])


def spent() -> Budget:
    budget = Budget(0.0)
    with budget:
        sum(range(1000))
    return budget


def test_for_an_input_the_whole_backward_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    _, by_result, made, states = probed(None, monkeypatch, None)
    made.called.call = lambda f, probe: (f, probe)
    made.called.values = lambda probe: {"probe": probe}
    made.other_runs = [(None, [made.matches[0]], made.walked)]
    assert made._edit(0, states[2], [0]) is None
    (((backward, call, right), named),) = by_result.asked
    assert backward == "backward"
    assert call("f", 1) == ("f", 1)
    assert (named["probes"], named["lines"], named["values"](1)) == (2, (4,), {"probe": 1})
    assert right((C, C), 0) == [True, True]
    assert right((X, 3 * X), 1) == [False, False]
    assert right((C, 3 * X), 1) == [True, False]
    made.other_runs = [None, (None, [made.matches[0]], made.walked)]  # more batches than were run
    made._edit(0, states[2], [0])
    assert len(by_result.asked) == 1
    made.other_runs = [None]
    made._edit(0, states[2], [0])
    assert by_result.asked[-1][1]["probes"] == 1
    made.walked.states[0] = state(7 * X, 8)  # what was not returned
    made._edit(0, states[2], [0])
    assert len(by_result.asked) == 2


def numbered(answer: Any, monkeypatch: pytest.MonkeyPatch, **own: Any) -> tuple[Kept, Any, State]:
    kept = Kept(answer)
    monkeypatch.setattr(edits_by_numbers, "edit_of_step", kept)
    states = [state(X, 3), state(3 * X, 8)._replace(visit=1)]
    one = SimpleNamespace(name="dx", states=states)
    node = "a node"
    match = SimpleNamespace(states=states, gradient=one, version=SimpleNamespace(node=node, value=X))
    whole = NumericalGradient(C, np.zeros(3), C, C)

    def asked(called: Any, leaves: Any) -> Any:
        there.append(leaves)
        return SimpleNamespace(matches=[match], later_gradients={}, rule_gradient=lambda node: whole)

    there: list[Any] = []
    here = SimpleNamespace(matches=[match], backward=SimpleNamespace(gradients=[one]),
                           run=SimpleNamespace(forward=SimpleNamespace(versions={"x": 0}), codes=()))  # fmt: skip
    inputs = SimpleNamespace(leaves=["no", X], float_indices=[1])
    called = SimpleNamespace(backward="backward", call="call", values="values", rng=np.random.default_rng(6),
                             inputs=inputs)  # fmt: skip
    judged = SimpleNamespace(state=states[1], rule=SimpleNamespace(ok=False), follows=False,
                             rule_gradient=own.get("own", NumericalGradient(2 * C, np.zeros(3), C, C)))  # fmt: skip
    made: Any = EditSearch(called, here, [judged], asked)  # type: ignore[arg-type, list-item]
    made.there_asked = there
    return kept, made, states[1]


def test_a_change_is_searched_with_numerical_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, made, last = numbered(edit(), monkeypatch)
    found = made.with_edit(Explained(FOUND, last), 0)
    assert found.diagnosis.evidence == ("Line 2: dx = -g would be right.",)
    ((args, named),) = kept.asked
    assert args[:4] == ("backward", "call", "dx", 4)
    assert [w.tolist() for w in args[4]] == [(2 * C).tolist(), C.tolist()]
    behind = named.pop("behind")
    assert named == {"visit": 1, "values": "values", "file": ""}
    assert (behind.step, behind.place.label, behind.wrong) == (0, "dx", {0})
    rng = np.random.default_rng(6)
    np.testing.assert_array_equal(made.there_asked[0][0], X * rng.uniform(0.8, 1.2, 3) + 0.05 * rng.normal(size=3))
    made.with_edit(Explained(FOUND, last), 0)
    assert len(made.there_asked) == 1
    assert made.runs[1].later_gradients["a node"].tolist() == (3 * X).tolist()


def test_by_numbers_no_search_runs_without_gradients_or_time(monkeypatch: pytest.MonkeyPatch) -> None:
    partly = NumericalGradient(C.copy(), np.zeros(3), C, C)
    partly.value[1] = np.nan
    assert partly.is_known.tolist() == [True, False, True]
    kept, made, last = numbered(edit(), monkeypatch, own=partly)
    assert made.with_edit(Explained(FOUND, last), 0).diagnosis is FOUND
    kept, made, last = numbered(edit(), monkeypatch)
    made.budget = spent()
    assert made.with_edit(Explained(FOUND, last), 0).diagnosis is FOUND
    assert kept.asked == []
    kept, made, last = numbered(edit(), monkeypatch)
    made.judged[0].state = last._replace(statement=Statement(0, 0, ""))
    assert made.with_edit(Explained(FOUND, last), 0).diagnosis is FOUND
    assert kept.asked == []
    kept, made, last = numbered(None, monkeypatch)
    assert made.with_edit(Explained(FOUND, last), 0).diagnosis is FOUND
    assert len(kept.asked) == 1


def explained(mine: Array, whole: NumericalGradient) -> Diagnosis:
    match: Any = SimpleNamespace(version=SimpleNamespace(value=SimpleNamespace(data=X)),
                                 gradient=SimpleNamespace(belongs_to="x"))  # fmt: skip
    row = by_numbers._judge("dx", mine, whole, 2.0**-52)[0]
    right = np.nan_to_num(whole.value)
    return _explain("dx", match, mine, whole, row, np.ones(3, bool), right, np.full(3, 1e-12))


def test_by_numbers_a_factor_is_named_only_if_all_entries_are_known() -> None:
    found = explained(2 * C, NumericalGradient(C.copy(), np.full(3, 1e-12), C.copy(), C.copy()))
    assert (found.kind, found.where) == ("scale", "dx")
    assert "the gradient of dx" not in found.text
    some = np.array([1.0, np.nan, -1.0])
    found = explained(2 * C, NumericalGradient(some, np.full(3, 1e-12), some.copy(), some.copy()))
    assert (found.kind, found.where) == ("unknown", "dx")


# ---- Recurrent layers

# of an LSTM: which factors are others, with c = f b + i u and t = tanh c
BY_WORDS = {
    "i and f are exchanged in the backward pass": {"i": "u * f * (1 - f)", "f": "b * i * (1 - i)"},
    "The gradients of the gates i and f": {"i": "b * f * (1 - f)", "f": "u * i * (1 - i)"},
    "passed back through i;": {"keep": "i"}, "passed back through o;": {"keep": "o"},
    "passed back without the gate f": {"keep": "1"}, "gate o is missing between": {"through": "1 - t ** 2"},
    "tanh between the state and the cell is missing": {"through": "o"},
    "tanh between state and cell is 1 - c": {"through": "o * (1 - c ** 2)"},
    "f uses the cell after the step": {"f": "c * f * (1 - f)"},
    "o uses the cell; it should use the tanh": {"o": "c * o * (1 - o)"},
    "sigmoid of the gate i is missing": {"i": "u"}, "sigmoid of the gate f is missing": {"f": "b"},
    "sigmoid of the gate o is missing": {"o": "t"}, "tanh of the candidate is missing": {"u": "i"},
    "derivatives of all gates are missing": {"i": "u", "f": "b", "u": "i", "o": "t"},
    "differentiated as a sigmoid": {"u": "i * u * (1 - u)"}, "candidate is missing in": {"i": "i * (1 - i)"},
    "previous cell is missing in": {"f": "f * (1 - f)"}, "gate i is missing in the gradient of": {"u": "1 - u ** 2"},
    "tanh of the cell is missing in": {"o": "o * (1 - o)"}, "state does not reach the cell": {"through": "0"},
    "gate f gets no gradient": {"f": "0"}, "gate i gets no gradient": {"i": "0"}, "gate o gets no gradient": {"o": "0"},
    "candidate gets no gradient": {"u": "0"},
}  # fmt: skip
UNITS_BY_WORDS = {  # of a gated recurrent unit: h = (1 - u) n + u b, n = tanh(... + r q)
    "u and 1 - u are exchanged": {"n": "u * (1 - n ** 2)", "keep": "1 - u"},
    "passed back through 1 - u;": {"keep": "1 - u"},
    "candidate gets its gradient through u;": {"n": "u * (1 - n ** 2)"},
    "candidate gets its gradient without 1 - u": {"n": "1 - n ** 2"},
    "tanh of the candidate is missing": {"n": "1 - u"},
    "sigmoid of the gate u is missing": {"u": "b - n"},
    "sigmoid of the gate r is missing": {"r": "(1 - u) * (1 - n ** 2) * q"},
    "r is missing in the gradient of the state": {"q": "(1 - u) * (1 - n ** 2)"},
    "u, the candidate is missing": {"u": "b * u * (1 - u)"}, "u, the previous state is missing": {"u": "-n * u * (1 - "
                                                                                                  "u)"},
    "gradient of the gate u has the wrong sign": {"u": "(n - b) * u * (1 - u)"},
    "gate r uses the state": {"r": "(1 - u) * (1 - n ** 2) * b * r * (1 - r)"},
    "gate r gets no gradient": {"r": "0"}, "gate u gets no gradient": {"u": "0"},
    "differentiated as a sigmoid": {"n": "(1 - u) * n * (1 - n)"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "names", "words"),
    [(recurrent.GATES, "ifuoctb", BY_WORDS), (recurrent.UNITS, "runqb", UNITS_BY_WORDS)], ids=["lstm", "gru"],
)  # fmt: skip
def test_wrong_slopes_of_gates_compute_the_named_formula(rows: Any, names: str, words: dict[str, Any]) -> None:
    rng, met = np.random.default_rng(1), set[str]()
    space: dict[str, Any] = {name: rng.uniform(0.1, 0.9, (2, 3)) for name in names}
    for _, text, change in rows:
        (key,) = [k for k in words if k in text]
        found = change(*(space[name] for name in names))
        assert found.keys() == words[key].keys(), text
        for name, formula in words[key].items():
            np.testing.assert_allclose(found[name], eval(formula, space) * np.ones((2, 3)), rtol=1e-14, err_msg=text)
        met.add(key)
    assert met == words.keys()


def recurrence(name: str, width: int, *states: tuple[int, ...]) -> Place:
    """A recurrent primitive with three steps, two samples and two units, whose gates are not saturated."""
    rng = np.random.default_rng(7)
    shapes = [(3, 2, 2 * width), (2 * width, 2), *states]
    arrays = [0.6 * rng.normal(size=shape) for shape in shapes]
    return at(lambda *leaves: apply(REGISTRY[name], leaves), *arrays, name=name)


RNN = "rnn_states", 1, (2, 2)
LSTM = "lstm_states", 4, (2, 2), (2, 2)
GRU = "gru_states", 3, (6,), (2, 2)
STEPS = {"Only the last step contributes": slice(2, 3), "Only the first step contributes": slice(0, 1),
         "The first step contributes nothing": slice(1, 3)}  # fmt: skip


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU], ids=lambda layer: layer[0])
def test_the_weights_of_a_recurrent_layer_get_their_gradient_of_some_steps(layer: Any) -> None:
    p = recurrence(*layer)
    right = [np.asarray(r) for r in p.site.slots]
    way = {"rnn_states": recurrent._rnn, "lstm_states": recurrent._lstm, "gru_states": recurrent._gru}[layer[0]]
    for found, wanted in zip(way(p.site, recurrent._Variant()), right, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    first = p.site.args[-1 if layer is not LSTM else 2]
    outs = p.site.out[:3]
    before = np.concatenate([first[None], outs[:-1]])
    of_h = right[0]
    if layer is GRU:  # of the product of the state and the weights: for the candidate times r
        of_h = of_h.copy()
        of_h[..., 4:] *= p.site.meta["cells"][..., :2]
    for text, part in STEPS.items():
        made = p.made(text, None)
        np.testing.assert_allclose(made[1], sum(of_h[t].T @ before[t] for t in range(*part.indices(3))), rtol=1e-12)
        np.testing.assert_allclose(made[0], right[0], rtol=1e-12)
        np.testing.assert_allclose(made[-1], right[-1], rtol=1e-12)
    made = p.made("The gradient of the weights uses the state after", None)
    np.testing.assert_allclose(made[1], sum(of_h[t].T @ outs[t] for t in range(3)), rtol=1e-12)


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU], ids=lambda layer: layer[0])
def test_a_gradient_that_is_not_carried_is_that_of_each_step_alone(layer: Any) -> None:
    p = recurrence(*layer)
    words = "The gradients of state and cell" if layer is LSTM else "The gradient is not passed back"
    made = p.made(words, None)
    for t in range(3):
        alone = np.zeros_like(p.site.g)
        alone[t] = p.site.g[t]
        if layer is LSTM:
            alone[3] = p.site.g[3] * (t == 2)
        right = p.site.rule(0, alone)
        np.testing.assert_allclose(made[0][t], right[t], rtol=1e-12)
        if t == 0 and layer is not LSTM:
            np.testing.assert_allclose(made[-1], p.site.rule(len(p.site.args) - 1, alone), rtol=1e-12)


def test_other_ways_back_through_a_plain_recurrence() -> None:
    p = recurrence(*RNN)
    (z, W, h), g, out = p.site.args, p.site.g, p.site.out
    before = np.concatenate([h[None], out[:-1]])

    def walk(slope: Array, weights: Array) -> Array:
        dz, back = np.empty_like(z), 0.0
        for t in (2, 1, 0):
            dz[t] = (g[t] + back) * slope[t]
            back = dz[t] @ weights
        return dz

    inner = z + before @ W.T
    for text, dz in (
        ("The derivative of the activation is missing", walk(np.ones_like(z), W)),
        ("The recurrent weights are transposed", walk(1 - out**2, W.T)),
        ("The derivative of tanh is written for its output", walk(1 - inner**2, W)),
    ):
        np.testing.assert_allclose(p.made(text, None)[0], dz, rtol=1e-12)
    assert np.allclose(np.tanh(inner), out)


# ---- A loop

LOOP = """
def forward(x, w):
    h = x
    for k in range(3):
        h = np.tanh(h * w)
    loss = (h * h).sum()
    return loss


def backward(x, w, h):
    dh = 2 * h
    hs = [x]
    for k in range(3):
        hs.append(np.tanh(hs[k] * w))
    for k in range(2, -1, -1):
        dz = dh * (1 - hs[k + 1] ** 2)
        dh = 2 * dz * w
    return dh
"""


def test_rounds_of_a_wrong_line_have_one_diagnosis_in_common() -> None:
    space: dict[str, Any] = {"np": np}
    exec(LOOP, space)
    report = compare_steps(space["forward"], space["backward"], {"x": X, "w": C})
    wrong = [s for s in report.steps if not s.rule_ok]
    assert len(wrong) >= 2
    assert len({id(s.diagnosis) for s in wrong}) == 1
    assert len(report.diagnoses) == 1
    assert report.diagnoses[0].kind == "scale"
