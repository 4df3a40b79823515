"""A function that is run again with changes gives, forward and back, the numbers of a fresh run with these changes."""

import random
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_nn import Tensor, affine, custom_vjp, relu, softmax_crossentropy
from tinygrad_nn.graph import GraphView
from tinygrad_nn.graph.reachable import Snapshot
from tinygrad_nn.graph.rerun import Change, Place, Rerun, replacement_names
from tinygrad_nn.graph.walk import walk_back
from tinygrad_nn.nn import BatchNorm, Conv2d, Dropout, Embedding, Linear, LSTMCell, Sequential
from tinygrad_nn.nn.functional import cross_entropy
from tinygrad_nn.server import Request
from tinygrad_nn.tree import flatten
from tinygrad_nn.viz.explorer.columns import pack
from tinygrad_nn.viz.explorer.explore import page_data
from tinygrad_nn.viz.explorer.live import Live
from tinygrad_nn.viz.explorer.story import tell_story
from tinygrad_nn.viz.model.variables import view_with_names

Same = lambda value: value


# Each case makes a function and its arguments anew: with an activation, and with what is done to a value on the way.


def chain(act: Any = np.tanh, patch: Any = Same) -> Any:
    def f(x: Any, w: Any, b: Any) -> Any:
        h = patch(act(x * w + b))
        return np.exp(h * 0.5) + h / 3.0

    return f, [0.7, -1.3, 0.2]


def mlp(act: Any = relu, patch: Any = Same) -> Any:
    rng = np.random.default_rng(0)
    one, two = Linear(3, 4, rng=1), Linear(4, 2, rng=2)

    def f(x: Any, y: Any) -> Any:
        out = two(patch(act(one(x))))
        return ((out - y) ** 2).mean()

    f.parts = [one.weight, two.bias]  # type: ignore[attr-defined]
    return f, [rng.normal(size=(5, 3)), rng.normal(size=(5, 2))]


def cnn(act: Any = relu, patch: Any = Same) -> Any:
    model = Sequential(Conv2d(1, 2, 3, rng=0), BatchNorm(2))

    def f(x: Any) -> Any:
        return (patch(act(model(x))) ** 2).mean()

    f.parts = [model[0].weight, model[1].running_mean]  # type: ignore[attr-defined]
    return f, [np.random.default_rng(1).normal(size=(2, 1, 6, 6))]


def lstm(act: Any = np.tanh, patch: Any = Same) -> Any:
    cell = LSTMCell(2, 3, rng=0)

    def f(x: Any, h: Any, c: Any) -> Any:
        for _ in range(2):
            h, c = cell(x, (h, c))
        return patch(act(h)).sum() + (c * c).sum()

    f.parts = [next(iter(dict(cell.named_parameters()).values()))]  # type: ignore[attr-defined]
    rng = np.random.default_rng(2)
    return f, [rng.normal(size=(2, 2)), rng.normal(size=(2, 3)), rng.normal(size=(2, 3))]


def attention(act: Any = np.tanh, patch: Any = Same) -> Any:
    def f(x: Any, p: Any) -> Any:
        q, k, v = x @ p["q"], x @ p["k"], x @ p["v"]
        s = np.exp(q @ k.T / np.sqrt(3.0))
        return patch(act((s / s.sum(axis=-1, keepdims=True)) @ v)).mean()

    rng = np.random.default_rng(3)
    return f, [rng.normal(size=(4, 3)), {name: rng.normal(size=(3, 3)) for name in "qkv"}]


def branch(act: Any = np.tanh, patch: Any = Same) -> Any:
    def f(x: Any, w: Any) -> Any:
        h = patch(act(x * w))
        y = h * 2.0 if h.sum() > 0.4 else np.sin(h) - x
        while y.sum() < 3.0:
            y = y + w * w + 0.5
        return y.sum() if x.data[0] > 0 else (y * y).sum()

    return f, [np.array([0.5, 0.3]), 1.5]


def classes(act: Any = relu, patch: Any = Same) -> Any:
    def f(x: Any, W: Any, b: Any, y: Any) -> Any:
        return softmax_crossentropy(patch(act(affine(x, W, b))), y)

    rng = np.random.default_rng(4)
    return f, [rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=3), np.eye(3)]


def indexing(act: Any = np.tanh, patch: Any = Same) -> Any:
    table = Embedding(6, 3, rng=0)

    def f(ids: Any, w: Any) -> Any:
        rows = patch(act(table(ids)))
        return (rows[1:, ::2] * w[ids[0]]).sum() + rows[0, 1]

    f.parts = [table.weight]  # type: ignore[attr-defined]
    return f, [np.array([4, 1, 1, 5]), np.random.default_rng(5).normal(size=6)]


def broadcasting(act: Any = np.exp, patch: Any = Same) -> Any:
    scale = np.array([[1.0], [2.0], [0.5]])

    def f(a: Any, b: Any) -> Any:
        h = patch(act(a[:, None] * scale + b))
        return (h.mean(axis=0) / h.max()).sum() + np.eye(3)[1] @ a

    f.parts = [scale]  # type: ignore[attr-defined]
    return f, [np.array([0.1, -0.4, 0.3]), np.array([0.2, 0.5])]


def masked(act: Any = relu, patch: Any = Same) -> Any:
    drop, rng = Dropout(0.4, rng=7), np.random.default_rng(8)

    def f(x: Any, w: Any) -> Any:
        noise = rng.normal(size=3) + np.random.normal() + random.random()  # noqa: NPY002
        return (drop(patch(act(x @ w))) * noise).sum()

    rest = np.random.default_rng(9)
    return f, [rest.normal(size=(2, 4)), rest.normal(size=(4, 3))]


def shared(act: Any = np.tanh, patch: Any = Same) -> Any:
    W = Tensor(np.random.default_rng(6).normal(size=(3, 3)), name="W")

    def f(x: Any) -> Any:
        return (patch(act(x @ W)) @ W + W.sum(axis=0)).sum()

    f.parts = [W]  # type: ignore[attr-defined]
    return f, [np.random.default_rng(7).normal(size=(2, 3))]


cube = custom_vjp(lambda x: x ** 3, lambda g, out, x: 3 * g * x ** 2)


def custom(act: Any = cube, patch: Any = Same) -> Any:
    def f(x: Any, w: Any) -> Any:
        return (patch(act(x * w)) + 1.0).prod()

    return f, [np.array([0.5, -0.2, 0.9]), np.array([1.0, 2.0, -1.0])]


CASES = [chain, mlp, cnn, lstm, attention, branch, classes, indexing, broadcasting, masked, shared, custom]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)


def numbers(view: GraphView) -> Any:
    """Return everything in a view in a form to compare: nodes, the bits of values, gradients and contributions."""
    walk = walk_back(view)
    nodes = [(p.kind, p.operation, p.array.dtype.str, p.shape, np.array(p.array).tobytes()) for p in view]
    gradients = {number: np.array(g).tobytes() for number, g in walk.gradients.items()}
    carried = [(step.number, [(c.edge, c.array.tobytes(), c.total.tobytes(), c.count) for c in step.contributions])
               for step in walk.steps]  # fmt: skip
    return nodes, [(e.source, e.target, e.slot) for e in view.edges], gradients, carried


def fresh(made: Any, change: Callable[[list[Any], Any], None] = lambda arguments, parts: None) -> Any:
    """Run a case that was just made, with changed arguments or parts, without the code that is tested."""
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    function, arguments = made
    change(arguments, getattr(function, "parts", []))
    leaf = lambda x: Tensor(np.array(x)) if np.asarray(x).dtype.kind == "f" else x
    given = [{k: leaf(v) for k, v in a.items()} if isinstance(a, dict) else leaf(a) for a in arguments]
    with np.errstate(all="ignore"):
        result = function(*given)
    return numbers(GraphView(result)), result


def again(case: Any) -> Rerun:
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    function, arguments = case()
    return Rerun(function, *arguments)


def target_of(rerun: Rerun, where: Callable[[Any], bool]) -> tuple[Any, Any]:
    with rerun.running() as run:
        view = GraphView(run.result)
        number = next(part.number for part in view if where(part))
        return rerun.places(run, view)[number], view[number]


@each_case
def test_without_changes_a_run_is_the_function(case: Any) -> None:
    rerun = again(case)
    for _ in range(2):
        with rerun.running() as run:
            assert numbers(GraphView(run.result)) == fresh(case())[0]


@each_case
def test_an_input_that_is_changed(case: Any) -> None:
    rerun = again(case)

    def change(arguments: list[Any], parts: Any) -> None:
        array = np.array(arguments[0])
        array.flat[0] = 2 if array.dtype.kind == "i" else -0.8
        arguments[0] = array

    first = rerun.arguments[0]
    data = first.data if isinstance(first, Tensor) else first
    before = data.copy()
    holds = lambda p: p.kind == "leaf" and p.shape == before.shape and np.array_equal(p.array, before)
    if data.dtype.kind == "i":  # an index is no value of the graph; its own array is what changes
        place = Place("array", "ids", data)
    else:
        place = target_of(rerun, holds)[0]
    with rerun.running([Change(place, 0, data.dtype.type(2 if data.dtype.kind == "i" else -0.8))]) as run:
        assert numbers(GraphView(run.result)) == fresh(case(), change)[0]
        assert not run.unapplied
    assert np.array_equal(data, before)
    with rerun.running() as run:
        assert numbers(GraphView(run.result)) == fresh(case())[0]


@pytest.mark.parametrize("case", [mlp, cnn, lstm, indexing, broadcasting, shared], ids=lambda case: case.__name__)
def test_a_weight_that_the_function_reaches_is_changed_and_put_back(case: Any) -> None:
    rerun = again(case)
    part = rerun.function.parts[0]  # type: ignore[attr-defined]
    array = part.data if isinstance(part, Tensor) else part
    before = array.copy()
    place, _ = target_of(rerun, lambda p: p.shape == before.shape and np.array_equal(p.array, before))

    def change(arguments: list[Any], parts: Any) -> None:
        (parts[0].data if isinstance(parts[0], Tensor) else parts[0]).flat[3 if before.size > 3 else 1] = 0.25

    with rerun.running([Change(place, 3 if before.size > 3 else 1, 0.25)]) as run:
        assert numbers(GraphView(run.result)) == fresh(case(), change)[0]
    assert array.tobytes() == before.tobytes()


@each_case
def test_another_operation_in_its_place(case: Any) -> None:
    rerun = again(case)
    default = case.__defaults__[0]
    name = getattr(default, "name", None) or getattr(default, "__name__", "")
    place, part = target_of(rerun, lambda p: p.operation == name or (case is custom and p.shape == (3,) and p.operation
                                                                     not in (None, "multiply", "add")))  # fmt: skip
    if case is lstm:  # the last of several
        with rerun.running() as run:
            view = GraphView(run.result)
            place = rerun.places(run, view)[[p.number for p in view if p.operation == "tanh"][-1]]
    assert {"sin", "relu"} <= set(replacement_names(part)) or case is lstm
    with rerun.running([Change(place, operation="sin")]) as run:
        assert numbers(GraphView(run.result)) == fresh(case(np.sin))[0]
        assert not run.unapplied


@each_case
def test_a_result_that_is_held_is_as_if_it_were_set_in_the_function(case: Any) -> None:
    rerun = again(case)
    with rerun.running() as run:
        view = GraphView(run.result)
        found = {}

        def note(h: Any) -> Any:
            found["h"] = h.data.copy()
            return h

        fresh(case(patch=note))
        h = found["h"]
        number = [p.number for p in view if p.operation and p.shape == h.shape and np.array_equal(p.array, h)][-1]
        place = rerun.places(run, view)[number]
    index = np.unravel_index(h.size - 1, h.shape)
    _, result = fresh(case(patch=lambda h: h.at[index].set(0.9)))
    wanted = GraphView(result)
    with rerun.running([Change(place, h.size - 1, 0.9)]) as run:
        view = GraphView(run.result)
        assert np.array_equal(view[view.outputs[0]].array, wanted[wanted.outputs[0]].array)
        mine, theirs = walk_back(view).gradients, walk_back(wanted).gradients
        leaves = [[g[p.number] for p in v if p.kind == "leaf" and p.number in g]
                  for v, g in ((view, mine), (wanted, theirs))]  # fmt: skip
        for one, other in zip(*leaves, strict=True):
            assert np.array_equal(one, other)


@each_case
def test_the_page_after_a_change_shows_the_fresh_run(case: Any) -> None:
    """Each text and number on the page, not only the arrays behind it."""
    live = Live(again(case), page_data, str)
    request = lambda **body: Request("s", body)
    first = live._numbers(request(node=0))
    number = next(n for n, part in enumerate(live.sessions["s"].state.view) if part.operation in (  # type: ignore[union-attr]
        "tanh", "relu", "exp") or (case is custom and part.operation == "multiply"))  # fmt: skip
    name = "divide" if case is custom else "softplus"
    answer = live._change(request(node=number, operation=name, version=first["version"]))
    shown = live.sessions["s"].state
    assert shown is not None
    change = live.sessions["s"].changes[0]
    with live.rerun.running([change]) as run:
        named = view_with_names(run.result, run.names)
        wanted = page_data(tell_story(named.view, None, named.roles))
    wanted, shown = pack(wanted), dict(answer)
    shown["nodes"]["columns"].pop("width"), wanted["nodes"]["columns"].pop("width")  # there is room for old → new
    assert {key: shown[key] for key in wanted} == wanted
    assert answer["live"]["undo"] == 1
    changed = {int(n) for n in answer["live"]["was"]}
    assert number in changed
    undone = live._undo(request())
    assert undone["live"]["was"] == {}
    assert live._redo(request())["live"]["was"] == answer["live"]["was"]


@each_case
def test_each_result_can_be_held_on_the_page_and_let_go(case: Any) -> None:
    live = Live(again(case), page_data, str)
    request = lambda **body: Request("s", body)
    session = live.sessions["s"]
    for number, part in enumerate(live._current_state(session).view):
        if part.operation is not None and part.array.size and part.dtype.startswith("float"):
            live._change(request(node=number, index=[0] * part.array.ndim, value="0.75", version=session.version))
            assert live._current_state(session).numbers[number].flat[0] == 0.75
            assert live._undo(request())["live"]["was"] == {}


def test_class_numbers_that_no_operation_takes_are_changed_and_put_back() -> None:
    rng = np.random.default_rng(0)
    model, x = Linear(3, 2, rng=0), rng.normal(size=(4, 3))
    classes, order = np.array([0, 1, 1, 0]), np.array([3, 2, 1, 0])

    def loss(x: Any, targets: Any) -> Any:
        return cross_entropy(model(x)[order], targets["kinds"])

    live = Live(Rerun(loss, x, {"kinds": classes}), page_data, str)
    session = live.sessions["s"]
    shown = live._current_state(session)
    assert shown.others == ["targets.kinds", "order"]
    change = lambda k, index, value: live._change(Request("s", {
        "node": len(shown.view) + k, "index": [index], "value": value, "version": session.version}))  # fmt: skip
    result = lambda: live._current_state(session).numbers[live._current_state(session).view.outputs[0]]
    assert change(0, 2, "0")["live"]["said"] == ["targets.kinds[2]: 1 → 0"]
    assert result() == cross_entropy(model(x)[order], np.array([0, 1, 0, 0])).data
    change(1, 0, "1")
    assert result() == cross_entropy(model(x)[np.array([1, 2, 1, 0])], np.array([0, 1, 0, 0])).data
    with pytest.raises(ValueError, match=r"target\[0\] is 7"):
        change(0, 0, "7")
    live._reset(Request("s", {}))
    assert result() == loss(x, {"kinds": classes}).data
    assert order.tolist() == [3, 2, 1, 0]


def test_a_change_reports_old_values_of_the_node_and_its_successors() -> None:
    live = Live(Rerun(lambda x: np.sin(x) * 2.0, 1.0), page_data, str)
    answer = live._change(Request("s", {"node": 0, "index": [], "value": "2", "version": live.sessions["s"].version}))
    assert answer["live"]["was"] == {"0": ["1", "1.081"], "1": ["0.8415", None], "3": ["1.683", None]}
    assert answer["live"]["carried"] == {"0": ["1.081", "1.081"]}


def test_a_gradient_in_a_users_array_is_reported_as_it_was_before() -> None:
    slope = np.array([1.0, 2.0])
    f = custom_vjp(lambda x, w: np.sum(x * w), lambda g, out, x, w: (slope, None))
    live = Live(Rerun(lambda x: f(x, slope), np.ones(2)), page_data, str)
    session = live.sessions["s"]
    assert live._current_state(session).view[1].name == "slope"
    answer = live._change(Request("s", {"node": 1, "index": [1], "value": "5", "version": session.version}))
    assert answer["live"]["was"]["0"][1]["brief"] == "[1, 2]"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"node": 4, "value": "1"}, "there is no node 4; this graph has nodes 0 to 2"),
        ({"node": -1, "value": "1"}, "there is no node -1"),
        ({"node": 3, "operation": "relu"}, "does not fit here"),  # an array that is no node has none
    ],
)
def test_changes_of_unknown_nodes_are_refused(body: Any, said: str) -> None:
    order = np.array([1, 0])
    live = Live(Rerun(lambda x: np.sin(x[order]), np.ones(2)), page_data, str)
    session = live.sessions["s"]
    assert (len(live._current_state(session).view), live._current_state(session).others) == (3, ["order"])
    with pytest.raises(ValueError, match=said):
        live._change(Request("s", {"index": [0], "version": session.version, **body}))


def test_whole_numbers_and_truth_values_are_found_in_arguments_and_around_a_function_that_is_wrapped() -> None:
    keep, order, words = np.array([True, False]), np.array([1, 0], np.uint8), np.array(["a", "b"])

    def f(x: Any, k: Any) -> Any:
        return (x[order] * keep)[k].sum() + len(words)

    rerun = Rerun(wraps(f)(lambda *args: f(*args)), np.ones(2), np.array([0]))
    assert [name for name, _ in rerun.whole_numbers([])] == ["k", "keep", "order"]


def test_leaves_in_containers_go_by_their_keys() -> None:
    class Pair(NamedTuple):
        u: Any
        v: Any

    rerun = Rerun(lambda p, q: None, {"W": 1.0, "two words": [2.0, None, 3.0]}, Pair(np.ones(2), (np.ones(2),)))
    leaves = flatten([rerun.arguments, rerun.keywords])[0]
    assert [leaf.name for leaf in leaves] == ["p.W", "p['two words'][0]", "p['two words'][2]", "q.u", "q.v[0]"]


def test_what_the_function_writes_is_put_back(rng: np.random.Generator) -> None:
    seen: list[int] = []
    count = {"calls": 0}
    norm = BatchNorm(3)

    def f(x: Any) -> Any:
        seen.append(1)
        count["calls"] += 1
        return (norm(x) * len(seen)).sum()

    rerun = Rerun(f, rng.normal(size=(4, 3)))
    before = norm.running_mean.copy(), rng.bit_generator.state
    for _ in range(3):
        with rerun.running() as run:
            assert run.result.data == pytest.approx(0, abs=1e-12)
    assert (seen, count) == ([], {"calls": 0})
    assert np.array_equal(norm.running_mean, before[0])


def test_weights_that_move_meanwhile_stay_where_they_are() -> None:
    W = Tensor([2.0, 3.0], name="W")
    rerun = Rerun(lambda x: (x * W).sum(), 1.0)
    W.data[...] = [5.0, 7.0]
    place, _ = target_of(rerun, lambda p: p.name == "W")
    with rerun.running([Change(place, 0, 1.0)]) as run:
        assert run.result.data == 8.0
    assert W.data.tolist() == [5.0, 7.0]


def test_a_leaf_and_a_constant_made_inside_are_changed_where_the_function_looks_at_them() -> None:
    def f() -> Any:
        x = Tensor([1.0, 2.0], name="x")
        c = np.array([3.0, 4.0])
        return (x * c).sum() if x.data[0] > 0 else (x - c).sum()

    rerun = Rerun(f)
    place, _ = target_of(rerun, lambda p: p.name == "x")
    with rerun.running([Change(place, 0, -1.0)]) as run:
        assert run.result.data == -6.0
    constant, _ = target_of(rerun, lambda p: p.kind == "constant")
    with rerun.running([Change(constant, 1, 10.0)]) as run:
        assert run.result.data == 23.0
    both = [Change(constant, 1, 10.0), Change(place, 0, -1.0)]
    with rerun.running(both) as run:  # the constant is used elsewhere then
        assert run.result.data == -6.0
        assert run.unapplied == [both[0]]


def test_a_python_number_keeps_its_kind_and_a_frozen_array_is_opened_for_the_run_alone() -> None:
    frozen = np.array([1.0, 2.0], np.float32)
    frozen.flags.writeable = False
    rerun = Rerun(lambda x: (x * 2.5 * frozen).sum(), np.ones(2, np.float32))
    place, _ = target_of(rerun, lambda p: p.dtype == "float")
    with rerun.running([Change(place, 0, 4.0)]) as run:
        assert (run.result.data.item(), run.result.dtype) == (12.0, np.float32)
    place, _ = target_of(rerun, lambda p: p.kind == "constant" and p.shape == (2,))
    with rerun.running([Change(place, 1, 5.0)]) as run:
        assert run.result.data.item() == 15.0
    assert (frozen.tolist(), frozen.flags.writeable) == ([1.0, 2.0], False)


def test_an_error_in_a_run_leaves_everything_as_it_was() -> None:
    W = np.array([1.0, 2.0])

    def f(x: Any) -> Any:
        if W[0] > 5:
            raise RuntimeError("too large")
        return (x * W).sum()

    rerun = Rerun(f, 1.0)
    place, _ = target_of(rerun, lambda p: p.shape == (2,) and p.kind == "constant")
    with pytest.raises(RuntimeError, match="too large"), rerun.running([Change(place, 0, 9.0)]):
        pass
    assert W.tolist() == [1.0, 2.0]
    with rerun.running() as run:
        assert run.result.data == 3.0


def test_results_that_cannot_be_rerun_raise() -> None:
    with pytest.raises(TypeError, match=r"explore\(f, x, W, serve=True\)"):
        Rerun(Tensor(1.0) * 2)
    with pytest.raises(TypeError, match="does not take these arguments"):
        Rerun(lambda x: x, 1.0, 2.0)


def test_arguments_go_by_the_names_of_the_parameters_also_of_a_module() -> None:
    assert [a.name for a in Rerun(Sequential(Linear(3, 2, rng=0)), np.ones((1, 3))).arguments] == ["x"]
    named = Rerun(lambda a, *rest, k: (a * rest[0] + rest[1] * k).sum(), 1.0, 2.0, np.ones(2), k=3.0)
    assert [a.name for a in named.arguments] == ["a", "rest[0]", "rest[1]"]
    assert named.keywords["k"].name == "k"


@pytest.mark.parametrize("change", [
    lambda d: d.update(b=2), lambda d: d.pop("a"), lambda d: d.update(a=3), lambda d: d.clear(),
    lambda d: d["list"].append(1), lambda d: d["list"].clear(), lambda d: d["list"].insert(0, d["list"].pop()),
    lambda d: d["set"].add(3), lambda d: d["set"].clear(), lambda d: d["array"].fill(7),
])  # fmt: skip
def test_a_snapshot_restores_what_containers_held(change: Any) -> None:
    def content() -> dict[str, Any]:
        return {"a": 1, "list": ["x", "y"], "set": {1, 2}, "array": np.arange(3)}

    held = content()
    inner = held["list"], held["set"], held["array"]
    kept = Snapshot(held)
    change(held)
    kept.restore()
    assert repr({key: held[key] for key in content()}) == repr(content())
    assert len(held) == 4
    assert all(a is b for a, b in zip((held["list"], held["set"], held["array"]), inner, strict=True))
