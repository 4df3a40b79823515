"""Running the user's forward and backward for the comparison of steps: arguments and results of the backward."""

import inspect
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_nn import Tensor
from tinygrad_nn.compare.function.calling import arrange
from tinygrad_nn.compare.steps.arguments import Saved, _reads, arguments, as_arrays, takes_cotangent
from tinygrad_nn.compare.steps.names import Names, as_mapping
from tinygrad_nn.compare.steps.running import (
    Forward,
    UserGradient,
    _is_size,
    _record_version,
    _returned,
    collected,
    name_stem,
    run_backward,
    run_forward,
)
from tinygrad_nn.compare.steps.statements import Statement
from tinygrad_nn.compare.steps.tracing import Binding, State
from tinygrad_nn.transforms import new_input

LINE = Statement(1, 1, "d = 1")
X, W = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([[1.0], [-1.0]])
INPUTS = {"x": X, "w": W}


def of_loss(x: Any, w: Any) -> Any:
    n = 3
    z = x @ w
    y = np.tanh(z)
    loss = y.sum() / n
    return loss


def with_cache(x: Any, w: Any) -> Any:
    z = x @ w
    out = np.tanh(z)
    return out, (x, w, z)


def with_names(x: Any, w: Any) -> Any:
    z = x @ w
    out = np.tanh(z)
    return {"out": out, "z": z, "count": 3}


def forward_of(f: Callable[..., Any]) -> tuple[Any, Forward]:
    inputs = arrange(f, INPUTS)
    return inputs, run_forward(f, inputs, [inputs.leaves[i] for i in inputs.float_indices])


def described(value: Any) -> Any:
    """Return an array by the sum of its entries, and what holds arrays by its kind."""
    if isinstance(value, np.ndarray):
        return type(value).__name__, round(float(value.sum()), 6)
    if isinstance(value, dict):
        return type(value).__name__, sorted(value)
    return (type(value).__name__, [described(part) for part in value]) if isinstance(value, (tuple, list)) else value


Z, Y = X @ W, np.tanh(X @ W)
G = np.full((3, 1), 0.25)
ARRAY = {name: ("ndarray", round(float(v.sum()), 6)) for name, v in (("x", X), ("w", W), ("z", Z), ("y", Y), ("g", G))}
PARAMETERS: list[tuple[Callable[..., Any], Callable[..., Any], dict[str, Any], bool]] = [
    (of_loss, lambda x, w, z: 0, {"x": ARRAY["x"], "w": ARRAY["w"], "z": ARRAY["z"]}, False),
    (of_loss, lambda n, z: 0, {"n": 3, "z": ARRAY["z"]}, False),  # a number of the forward
    (of_loss, lambda x, g: 0, {"x": ARRAY["x"], "g": ARRAY["g"]}, True),
    (of_loss, lambda x, dloss: 0, {"x": ARRAY["x"], "dloss": ARRAY["g"]}, True),  # by the name of the result
    (of_loss, lambda x, grad_loss: 0, {"x": ARRAY["x"], "grad_loss": ARRAY["g"]}, True),
    (of_loss, lambda x, dout=None: 0, {"x": ARRAY["x"], "dout": ARRAY["g"]}, True),
    (of_loss, lambda x, more=7: 0, {"x": ARRAY["x"]}, False),  # left as it is
    (of_loss, lambda x, out: 0, {"x": ARRAY["x"], "out": ("ndarray", round(float(Y.sum() / 3), 6))}, False),
    (of_loss, lambda v: 0, {"v": ARRAY["g"]}, True),
    (of_loss, lambda saved: 0, {"saved": ("Saved", ["loss", "n", "w", "x", "y", "z"])}, False),
    (of_loss, lambda everything: 0, {"everything": ("Saved", ["loss", "n", "w", "x", "y", "z"])}, False),
    (of_loss, lambda x, cache: 0, {"x": ARRAY["x"], "cache": ("Saved", ["loss", "n", "w", "x", "y", "z"])}, False),
    (of_loss, lambda x, **rest: 0, {"x": ARRAY["x"]}, False),
    (of_loss, lambda *rest: 0, {"": [ARRAY["x"], ARRAY["w"]]}, False),
    (of_loss, lambda z, *rest: 0, {"z": ARRAY["z"]}, False),
    (with_cache, lambda dout, cache: 0,
        {"dout": ARRAY["g"], "cache": ("tuple", [ARRAY["x"], ARRAY["w"], ARRAY["z"]])}, True),
    (with_cache, lambda dout, parts: 0,
        {"dout": ARRAY["g"], "parts": ("tuple", [ARRAY["x"], ARRAY["w"], ARRAY["z"]])}, True),
    (with_cache, lambda cache: 0, {"cache": ("tuple", [ARRAY["x"], ARRAY["w"], ARRAY["z"]])}, False),
    (with_cache, lambda g, z: 0, {"g": ARRAY["g"], "z": ARRAY["z"]}, True),
    (with_names, lambda dout, count: 0, {"dout": ARRAY["g"], "count": 3}, True),
    (with_names, lambda d_out, z: 0, {"d_out": ARRAY["g"], "z": ARRAY["z"]}, True),
    (with_names, lambda cache: 0, {"cache": ("dict", ["count", "out", "z"])}, False),
]  # fmt: skip


@pytest.mark.parametrize(("f", "backward", "wanted", "takes"), PARAMETERS,
                         ids=[f"{f.__name__} {inspect.signature(b)}" for f, b, *_ in PARAMETERS])  # fmt: skip
def test_what_a_backward_is_given(f: Any, backward: Any, wanted: dict[str, Any], takes: bool) -> None:
    inputs, forward = forward_of(f)
    args, kwargs = arguments(backward, inputs, forward, G, {})
    found = {name: described(value) for name, value in kwargs.items()}
    assert found | ({"": [described(v) for v in args]} if args else {}) == wanted
    assert takes_cotangent(backward, inputs, forward) is takes


def test_arguments_by_place_and_names_that_nothing_has() -> None:
    inputs, forward = forward_of(of_loss)
    space: dict[str, Any] = {}
    exec("def backward(x, g, /, w): return 0", space)
    args, kwargs = arguments(space["backward"], inputs, forward, G, {})
    assert [described(v) for v in args] == [ARRAY["x"], ARRAY["g"]]
    assert list(kwargs) == ["w"]
    with pytest.raises(TypeError, match="has a parameter 'q', and the forward has no value of that name"):
        arguments(lambda x, q: 0, inputs, forward, G, {})


def test_what_reads_values_by_their_names() -> None:
    def attributes(v: Any) -> Any:
        return v.probs

    def keys(v: Any) -> Any:
        return v["probs"]

    def neither(v: Any) -> Any:
        return v.other, v["else"]

    assert [_reads(f, {"probs": 1}) for f in (attributes, keys, neither, len)] == [True, True, False, False]
    inputs, forward = forward_of(of_loss)
    assert not takes_cotangent(lambda v: v.z, inputs, forward)
    assert takes_cotangent(lambda z, dout: z, inputs, forward)


class Pair(NamedTuple):
    first: Any
    second: Any


def test_tensors_become_arrays_of_their_own_each_once() -> None:
    t, other, plain = new_input(np.array([1.0, 2.0])), Tensor([3.0]), np.array([5.0])
    made: dict[Any, Any] = {}
    for value, parts in (
        ([t, other, plain], lambda new: new), ((t, 3), lambda new: new[:1]), (deque([t]), list),
        (Pair(t, "a"), lambda new: [new.first]), ({"a": t, 3: plain}, lambda new: new.values()),
        (SimpleNamespace(t=t, n=2), lambda new: [new.t]),
    ):  # fmt: skip
        new = as_arrays(value, made)
        assert type(new) is type(value)
        assert new is not value
        assert all(type(part) is np.ndarray for part in parts(new))
        assert next(iter(parts(new))) is made[id(t.node)][0]
        assert not any(part is plain for part in parts(new))
    np.testing.assert_array_equal(made[id(t.node)][0], [1, 2])
    assert made[id(t.node)][1] is t
    assert made[id(plain)][1] is plain
    made[id(t.node)][0][0] = 9  # an array of its own
    assert t.data[0] == 1
    assert as_arrays(Pair(t, "a"), made).second == "a"
    assert as_arrays({"a": t, 3: plain}, made).keys() == {"a", 3}
    assert as_arrays(SimpleNamespace(t=t, n=2), made).n == 2
    for same in (3, "a", None, len, SimpleNamespace(n=2)):
        assert as_arrays(same, {}) is same
    whole: dict[str, Any] = {"x": t}
    whole["self"] = whole  # cache = locals()
    new = as_arrays(whole, {})
    assert new["self"] is new
    assert type(new["x"]) is np.ndarray
    around: list[Any] = [t]
    around.append(around)
    assert as_arrays(around, {})[1] is not around
    held = SimpleNamespace(t=t)
    held.me = held
    assert as_arrays(held, {}).me is not held
    named = Saved({"x": t})
    assert type(as_arrays(named, {})) is Saved


def test_saved_values_are_attributes_too() -> None:
    saved = Saved({"z": 1})
    assert saved.z == 1
    with pytest.raises(AttributeError, match="no value named 'q'; it has z"):
        _ = saved.q


# -- What it leaves


@pytest.mark.parametrize(
    ("label", "value", "own", "other"),
    [
        ("n", 3, False, True), ("n", 4, False, False), ("n", 3.0, False, False), ("n", 4, True, True),
        ("cache['n']", 3, False, True), ("cache['m']", 3, False, False), ("n['k']", 3, False, True),
        ("q", 3, True, False), ('g["n"]', 3, False, True), ("rows", [1], False, False),
    ],
)  # fmt: skip
def test_a_number_of_the_forward_is_no_gradient(label: str, value: Any, own: bool, other: bool) -> None:
    rows = [1]
    forward = Forward({}, [], [], None, None, [], {}, {"n": 3, "rows": rows})
    assert forward.is_other(label, value, own) is other
    assert forward.is_other("rows", rows, False)


def one(name: str, belongs_to: str, value: Any, text: str = "d = 1", added: bool = False) -> UserGradient:
    return UserGradient(name, belongs_to, [State(Statement(1, 1, text), np.asarray(value), added)], "", set())


@pytest.mark.parametrize(
    ("given", "others", "returned", "size"),
    [
        (one("d_k", "k", 3, "d_k = k.shape[1]"), [], None, True),
        (one("d_k", "k", 3, "d_k = len(k)"), [], None, True), (one("d_k", "k", 3, "d_k = k.size"), [], None, True),
        (one("d_k", "k", 3, "d_k = k.ndim"), [], None, True),
        (one("d_k", "k", 3, "d_k = reshaped(k)"), [], None, False),
        (one("d_k", "k", 3, "d_k = 3"), [], None, False), (one("d_k", "k", 3.0, "d_k = k.shape[1]"), [], None, False),
        (one("d_k", "k", [3], "d_k = k.shape[1]"), [], None, False),
        (one("d_k", "k", 3, "d_k += k.shape[1]", added=True), [], None, False),
        (one("d_s", "s", 3, "d_s = k.shape[1]"), [], None, False),  # of a number in the forward
        (one("d_q", "q", 3, "d_q = k.shape[1]"), [], None, False),
        (one("d_k", "k", 3), [one("dk", "k", np.ones(2))], None, True),  # another name has the gradient
        (one("d_k", "k", 3), [one("d_k", "k", np.ones(2))], None, False),
        (one("d_k", "k", 3), [one("dz", "z", np.ones(2))], None, False),
        (one("d_k", "k", 3, "d_k = k.size"), [], 3, False), (one("d_k", "k", 3, "d_k = k.size"), [], 4, True),
        (one("d_k", "k", 3, "d_k = k.size"), [], (X, 3), False),
        (one("d_k", "k", 3, "d_k = k.size"), [], {"k": 3}, False),
        (one("d_k", "k", 3, "d_k = k.size"), [], {"k": X}, True),
        (one("d_k", "k", 3, "d_k = k.size"), [], [np.full(3, 3)], True),
    ],
)  # fmt: skip
def test_a_whole_number_that_stays_is_a_size(
    given: UserGradient, others: list[UserGradient], returned: Any, size: bool
) -> None:
    value = lambda array: SimpleNamespace(value=np.asarray(array))
    versions: Any = {"k": [value(X)], "s": [value(1.0)], "z": [value(Z)]}
    forward = Forward(versions, [], [], None, None, [], {})
    assert _is_size(given, [given, *others], forward, returned) is size


@pytest.mark.parametrize(
    ("function", "frame", "part"),
    [
        ("affine_backward", 2, "affine"), ("affine_forward", 2, "affine"), ("backward", 2, ""), ("d_relu", 3, "relu"),
        ("drelu", 2, "relu"), ("bwd_affine", 2, "affine"), ("affine_grad", 1, ""), ("step", 2, "step"),
        ("gradient_of", 2, "of"), ("_bp", 2, "bp"),
    ],
)  # fmt: skip
def test_the_part_of_a_name_that_both_passes_share(function: str, frame: int, part: str) -> None:
    bound: Any = SimpleNamespace(function=function, frame=frame)
    assert name_stem(bound) == part


def test_what_a_forward_returned_under_a_name_has_that_name() -> None:
    def f(x: Any, w: Any) -> Any:
        z = x @ w
        return {"score": np.tanh(z), "n": 3}

    _, forward = forward_of(f)
    assert list(forward.versions) == ["x", "w", "z", "score"]
    (version,) = forward.versions["score"]
    assert version.statement.text.startswith("return")
    assert (version.function, version.rooms) == ("", {""})
    assert (forward.out_names, forward.outs) == (["score"], [forward.value["score"]])
    assert set(forward.values) == {"x", "w", "z"}
    assert [v[0].statement.text for v in forward.versions.values()][:3] == ["", "", "z = x @ w"]


def test_versions_of_a_name_are_its_values() -> None:
    versions: dict[str, Any] = {}
    t, u = new_input(np.ones(2)), new_input(np.zeros(2))
    for value, where in ((t, ""), (t, "f"), (u, ""), (Tensor([1]), ""), (Tensor([1.0]).detach(), "")):
        _record_version(versions, "z", value, LINE, "f", where)
    assert [(v.node, v.rooms, v.is_echo) for v in versions["z"]] == [(t.node, {"", "f"}, False), (u.node, {""}, False)]
    from tinygrad_nn.compare.steps.running import _alias_parameter

    _record_version(versions, "z", _alias_parameter(u), LINE, "f", "g")
    assert versions["z"][-1].is_echo
    _record_version(versions, "w", _alias_parameter(u), LINE, "f", "g")
    assert not versions["w"][-1].is_echo
    assert _alias_parameter(3) == 3
    assert _alias_parameter(Tensor([1.0]).detach()).node is None


def returned(value: Any, *bound: tuple[str, Any]) -> list[tuple[str, str]]:
    """Return the gradients found among what a backward returned, given what its names held."""
    inputs, forward = forward_of(of_loss)
    names = Names(list(forward.versions))
    bindings = [SimpleNamespace(label=label, states=[State(LINE, np.asarray(array))]) for label, array in bound]
    trace: Any = SimpleNamespace(returned=None, bindings=bindings)
    found = _returned(value, inputs, trace, names)
    assert all(one.rooms == {""} and len(one.states) == 1 for one in found)
    return [(one.name, one.belongs_to) for one in found]


def test_unnamed_gradients_are_taken_from_the_returned_values() -> None:
    both = [("gradient of x", "x"), ("gradient of w", "w")]
    assert returned((X, W)) == both
    assert returned([X, W]) == both
    assert returned((X,)) == []
    assert returned((X, W, W)) == []
    assert returned(X) == []
    assert returned((X, None)) == both[:1]
    assert returned((X, W), ("dx", X)) == both[1:]  # a name held it
    assert returned((X, W), ("dx", X + 1)) == both
    assert returned((X, W), ("dx", X[0])) == both
    assert returned((X, W), ("dw", X)) == both
    assert returned((X * np.nan, W), ("dx", X * np.nan)) == both[1:]
    assert returned({"dx": X, "dw": W}) == [("dx", "x"), ("dw", "w")]
    assert returned({"x": X, "z": Z, "q": 2.0, "dz": Z}) == [("x", "x"), ("z", "z"), ("dz", "z")]
    assert returned({"dx": X}, ("dx", X + 1)) == []  # the name is known, whatever it held


def test_what_stays_with_one_input_is_returned_alone() -> None:
    f = lambda x: (x * x).sum()
    inputs = arrange(f, {"x": X})
    trace: Any = SimpleNamespace(returned=LINE, bindings=[])
    (found,) = _returned(2 * X, inputs, trace, Names(["x"]))
    assert (found.name, found.belongs_to, found.states[0].statement) == ("gradient of x", "x", LINE)
    np.testing.assert_array_equal(found.states[0].array, 2 * X)
    counted = lambda x, n: (x * n).sum()
    inputs = arrange(counted, {"x": X, "n": 3})
    names = Names(["x", "n"])
    assert [one.name for one in _returned((X,), inputs, trace, names)] == ["gradient of x"]
    assert [one.name for one in _returned((X, 0.0), inputs, trace, names)] == ["gradient of x", "gradient of n"]
    assert [one.name for one in _returned(X, inputs, trace, names)] == ["gradient of x"]


def binding(label: str, value: Any, frame: int = 1, added: bool = False, given: bool = False, time: int = 0) -> Binding:
    function = "f" if frame == 1 else "affine_backward"
    made = Binding(label, value, function, frame, given, frozenset({1, frame}))
    made.states.append(State(LINE, np.array(value), added, time))
    return made


def test_bindings_of_one_gradient_are_joined() -> None:
    a, b = np.ones(2), np.zeros(2)
    names = Names(["x", "z"])

    def join(*bindings: Binding, handed: Any = ()) -> list[Any]:
        found = collected(bindings, names, {id(x) for x in handed})
        return [(o.name, len(o.states), o.round, o.is_echo, o.is_cotangent, o.rooms) for o in found]

    assert join(binding("dx", a), binding("q", a)) == [("dx", 1, 1, False, False, {""})]
    assert join(binding("dx", a), binding("dx", b)) == [
        ("dx", 1, 1, False, False, {""}), ("dx", 1, 2, False, False, {""})]  # fmt: skip
    assert join(binding("dx", a), binding("dx", b, added=True)) == [("dx", 2, 1, False, False, {""})]
    assert join(binding("dx", a), binding("dx", b, frame=2, added=True)) == [
        ("dx", 1, 1, False, False, {""}), ("dx", 1, 2, False, False, {"affine"})]  # fmt: skip
    # what a function was given, and what it returned
    assert join(binding("dx", a), binding("dx", a, frame=2, given=True)) == [
        ("dx", 1, 1, False, False, {"", "affine"})]  # fmt: skip
    assert join(binding("dx", a, frame=2), binding("dx", a)) == [
        ("dx", 1, 1, False, False, {"affine"}), ("dx", 1, 2, True, False, {""})]  # fmt: skip
    assert join(binding("dx", a), binding("dx", a)) == [("dx", 1, 1, False, False, {""})]
    assert join(binding("dx", a, time=5), binding("dz", b, time=2)) == [
        ("dz", 1, 1, False, False, {""}), ("dx", 1, 1, False, False, {""})]  # fmt: skip
    assert join(binding("dx", a, given=True), binding("dz", b, frame=2, given=True), handed=[a, b]) == [
        ("dx", 1, 1, False, True, {""}), ("dz", 1, 1, False, False, {"affine"})]  # fmt: skip
    assert join(binding("dx", a), handed=[a]) == [("dx", 1, 1, False, False, {""})]  # dx = dout: it may be wrong
    # a second function that is given the same array, after the first one has returned
    assert join(binding("dx", a, frame=2, given=True), binding("dx", a, frame=3, given=True)) == [
        ("dx", 1, 1, False, False, {"affine"}), ("dx", 1, 2, True, False, {"affine"})]  # fmt: skip


def test_a_write_under_the_name_of_another_gradient_is_no_content_of_this_one() -> None:
    names = Names(["x", "z", "h"])
    lines = [LINE._replace(targets=frozenset(written)) for written in ({"dx"}, {"dz"}, {"dz", "q"}, {"dx", "dz"}, ())]
    bound = binding("dz", np.ones(2))
    for line in lines:
        bound.states.append(State(line, np.ones(2)))
    assert [state.statement for state in bound.own_states(names.of)] == [LINE, *lines[1:]]
    part = binding("grads['x']", np.ones(2))  # a variable of another gradient, of none, and of the same one
    part.states += [State(LINE._replace(targets=frozenset({name})), np.ones(2)) for name in ("dz", "q", "dx", "grads")]
    assert [state.statement.targets for state in part.own_states(names.of)][1:] == [{"q"}, {"dx"}, {"grads"}]
    moved = binding("dz", np.ones(2))
    moved.states[:] = [State(lines[0], np.ones(2))]  # the first content is that of the binding
    assert len(moved.own_states(names.of)) == 1


def test_what_a_backward_names_and_returns() -> None:
    inputs, forward = forward_of(of_loss)

    def backward(x: Any, w: Any, y: Any, n: int, g: Any = 1.0) -> Any:
        dy = np.full_like(y, g / n)
        dz = dy * (1 - y**2)
        dq = 3.0
        grad_other = dq * dz
        dout = 2.0
        return dz @ w.T, x.T @ dz * dout / grad_other.size * 3 / 2

    names = Names(list(forward.versions))
    found = run_backward(backward, inputs, forward, np.array(1.0), names)
    assert [(o.name, o.belongs_to) for o in found.gradients] == [
        ("dy", "y"), ("dz", "z"), ("gradient of x", "x"), ("gradient of w", "w")]  # fmt: skip
    assert found.helpers == ["dq", "grad_other"]
    assert found.stopped is None
    assert len(found.value) == 2

    def stops(y: Any, n: int) -> Any:
        dy = np.full_like(y, 1 / n)  # noqa: F841 - its name counts
        raise ValueError("here")

    found = run_backward(stops, inputs, forward, np.array(1.0), names)
    assert [o.name for o in found.gradients] == ["dy"]
    assert found.stopped is not None
    assert str(found.stopped.error) == "here"
    assert found.stopped.statement.text.startswith("raise")
    with pytest.raises(ValueError, match="there"):
        run_backward(eval("lambda y: (_ for _ in ()).throw(ValueError('there'))"), inputs, forward, 1.0, names)


def test_a_mapping_by_hand() -> None:
    assert as_mapping(None) == {}
    assert as_mapping({"delta": "z"}) == {"delta": "z"}
    with pytest.raises(TypeError, match="it got a list"):
        as_mapping(["z"])  # type: ignore[arg-type]
    assert Names(["x", "z"], {"delta": "z"}).mapping == {"delta": "z"}
    with pytest.raises(ValueError, match=r"holds 'delta': 'q'; the forward has no such value. It has x, z"):
        Names(["x", "z"], {"delta": "q", "e": "z"})
