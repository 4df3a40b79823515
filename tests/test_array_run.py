"""Run a forward on arrays again with changed intermediate values; find factors and mistakes from numbers alone."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.compare_parts import graph_of
from tinygrad_nn.compare.function.calling import arrange
from tinygrad_nn.compare.function.gradient_data import GradientData, equal_to_rounding, fit_factor, unsummed_gradients
from tinygrad_nn.compare.numerical.full_gradients import NumericalGradient
from tinygrad_nn.compare.steps.by_numbers import (
    ArrayRun,
    BoundValue,
    NumericalPasses,
    _as_tensors,
    _container,
    _is_value,
    _judge,
    _put,
    _rounding,
)
from tinygrad_nn.compare.steps.probes import UserPasses
from tinygrad_nn.tensor import Tensor

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(4)
X, W = np.array([[0.5, -1.0], [2.0, 0.25], [1.0, 1.5]]), np.array([[1.0, 2.0], [-0.5, 0.75]])


def affine(x: Array, w: Array) -> Array:
    made = x @ w
    return made


def writes(x: Array, w: Array) -> Any:
    z = np.zeros((3, 2))
    for i in range(3):
        z[i] = x[i] @ w
    hs = [np.tanh(z)]
    hs.append(affine(hs[0], w))
    cache = {"s": np.sin(hs[1])}
    loss = float((cache["s"] * hs[1]).sum())
    return loss, cache


def run_of(f: Any, *leaves: Array) -> ArrayRun:
    names = f.__code__.co_varnames[: f.__code__.co_argcount]
    inputs = arrange(f, dict(zip(names, leaves, strict=True)))
    return ArrayRun(f, inputs, leaves)


def node(run: ArrayRun, label: str, k: int = -1) -> Any:
    return run.forward.versions[label][k].node


def test_the_values_of_a_run_and_the_result() -> None:
    run = run_of(writes, X, W)
    assert {"x", "w", "z", "hs[0]", "hs[1]", "made", "cache['s']", "loss"} <= set(run.forward.versions)
    z = X @ W
    h = np.tanh(z) @ W
    np.testing.assert_array_equal(run.value_of(node(run, "x", 0)), X)
    np.testing.assert_array_equal(run.value_of(node(run, "w", 0)), W)
    np.testing.assert_allclose(run.value_of(node(run, "z")), z)
    np.testing.assert_allclose(run.value_of(node(run, "hs[1]")), h)
    np.testing.assert_allclose(run.value_of(node(run, "loss")), (np.sin(h) * h).sum())
    times = [run.time_of(node(run, label)) for label in ("z", "hs[0]", "hs[1]", "loss")]
    assert times == sorted(times)
    assert times[0] > 0
    assert run.time_of(node(run, "x", 0)) == 0
    assert run.bound[node(run, "z")].is_written
    assert not run.bound[node(run, "hs[0]")].is_written
    assert len(run.inputs_of) == 2
    assert run.forward.others["i"] == 2
    assert len(run.forward.outs) == 1


@pytest.mark.parametrize("label", ["x", "w", "z", "hs[0]", "made", "hs[1]", "cache['s']", "loss"])
def test_a_value_is_put_in_the_place_of_another(label: str) -> None:
    """The same is computed by hand from there on."""
    run = run_of(writes, X, W)
    (same,) = run.rerun([X, W], {})
    z = X @ W
    h = np.tanh(z) @ W
    np.testing.assert_allclose(same, (np.sin(h) * h).sum(), rtol=1e-14)
    place = node(run, label, 0)  # the input itself, rather than that of the helper
    new = run.value_of(place) + 0.25
    (found,) = run.rerun([X, W], {place: new})
    x, w = (new if label == name else given for name, given in (("x", X), ("w", W)))
    z = new if label == "z" else x @ w
    first = new if label == "hs[0]" else np.tanh(z)
    second = new if label in ("hs[1]", "made") else first @ w
    s = new if label == "cache['s']" else np.sin(second)
    wanted = new if label == "loss" else (s * second).sum()
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    assert not np.allclose(found, same)
    (again,) = run.rerun([X, W], {})
    assert again == same


def test_values_are_measured_and_held() -> None:
    run = run_of(writes, X, W)
    z, h0, h1, loss = (node(run, label) for label in ("z", "hs[0]", "hs[1]", "loss"))
    new = run.value_of(z) + 0.5
    seen_h0, seen_h1, out = run.rerun([X, W], {z: new}, [h0, h1])
    np.testing.assert_allclose(seen_h0, np.tanh(new))
    np.testing.assert_allclose(seen_h1, run.value_of(h1))  # of the value that was put back
    np.testing.assert_allclose(out, run.value_of(loss))
    seen, out = run.rerun([2 * X, W], {}, [h1])
    np.testing.assert_allclose(seen, np.tanh(2 * X @ W) @ W)
    np.testing.assert_allclose(out, run.value_of(loss))
    (out,) = run.rerun([2 * X, W], {})
    h = np.tanh(2 * X @ W) @ W
    np.testing.assert_allclose(out, (np.sin(h) * h).sum())


class Layer:
    def __init__(self) -> None:
        self.h: Any = None

    def __call__(self, x: Array, w: Array) -> Any:
        self.h = np.array([float(v) for v in (x @ w).ravel()]).reshape(3, 2)
        return (self.h**3).sum()


def test_attributes_of_an_object_are_values_too() -> None:
    layer = Layer()
    inputs = arrange(layer, {"x": X, "w": W})
    run = ArrayRun(layer, inputs, [X, W])
    label = next(label for label in run.forward.versions if label in ("h", "self.h"))
    new = run.value_of(node(run, label)) - 1.5
    (found,) = run.rerun([X, W], {node(run, label): new})
    np.testing.assert_allclose(found, (new**3).sum())


def test_gradients_by_numbers_of_values_and_of_steps() -> None:
    def forward(x: Array, w: Array) -> Any:
        z = np.empty((3, 2))
        z[:] = x @ w
        h = np.tanh(z)
        return float((h * h).sum())

    def backward(x: Array, w: Array, z: Array, h: Array) -> Any:
        dh = 3 * h  # twice is right
        dz = dh * (1 - h**2)
        return dz @ w.T, x.T @ dz

    inputs = arrange(forward, {"x": X, "w": W})
    asked = NumericalPasses(UserPasses(forward, backward, inputs, {}, np.random.default_rng(0)), [X, W])
    h = np.tanh(X @ W)
    dz = 2 * h * (1 - h**2)
    run = asked.run
    for label, right in (("h", 2 * h), ("z", dz), ("x", dz @ W.T), ("w", X.T @ dz)):
        np.testing.assert_allclose(asked.value_gradient(node(run, label)).value, right, rtol=1e-6, atol=1e-8)
    assert [m.gradient.name for m in asked.matches][:2] == ["dh", "dz"]
    asked.later_gradients[node(run, "h")] = 3 * h
    for label, right in (("z", 1.5 * dz), ("x", 1.5 * dz @ W.T)):
        np.testing.assert_allclose(asked.rule_gradient(node(run, label)).value, right, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(asked.rule_gradient(node(run, "h")).value, 2 * h, rtol=1e-6)  # nothing is behind it
    assert not asked.follows(node(run, "z"))
    asked.unusable.append(node(run, "z"))
    assert asked.follows(node(run, "x"))
    assert not asked.follows(node(run, "h"))
    assert (asked.passes.has_float32, asked.passes.user_forward is run.forward) == (False, True)
    single = NumericalPasses(
        UserPasses(forward, backward, inputs, {}, np.random.default_rng(0)), [X.astype("f4"), W.astype("f4")]
    )
    assert single.passes.has_float32
    assert single.passes.user_forward is not single.run.forward
    assert single.run.leaves[0].dtype == np.float64


# -- Names and places


def test_what_may_be_a_value() -> None:
    values = (1.0, 1j, np.float32(1), np.ones(2), np.ones(2, complex), 1, True, np.ones(2, int), "a", None, [1.0])
    assert [_is_value(v) for v in values] == [True] * 5 + [False] * 6


def test_labels_of_values() -> None:
    held = SimpleNamespace(w=5, both=[6, 7])
    names = {"h": 1, "hs": [2, 3], "cache": {"x": 4, "x y": 8, (1, "s"): 9}, "self": held}
    labels = ("h", "hs[1]", "hs[-1]", "cache['x']", 'cache["x y"]', "cache[(1, 's')]", "w", "both[1]")
    assert [c[key] for c, key in (_container(names, label) for label in labels)] == [1, 3, 3, 4, 8, 9, 5, 7]
    assert _container(names, "h") == (names, "h")
    assert _container(names, "w") == (vars(held), "w")


def test_a_value_is_bound_to_a_label() -> None:
    old, new = np.zeros((2, 2)), np.ones((2, 2))
    names: dict[str, Any] = {"h": old, "hs": [old, 2.0]}

    def bound(label: str, written: bool) -> BoundValue:
        return BoundValue(label, 1, (1, 1), 1, old, written)

    _put(*_container(names, "h"), bound("h", False), new)
    assert names["h"] is not new
    np.testing.assert_array_equal(names["h"], new)
    assert not old.any()
    _put(*_container(names, "hs[0]"), bound("hs[0]", True), new)
    assert names["hs"][0] is old
    np.testing.assert_array_equal(old, new)
    _put(*_container(names, "hs[1]"), bound("hs[1]", False), np.array(3.0))
    assert type(names["hs"][1]) is np.float64
    with pytest.raises(TypeError, match="real numbers"):
        _put(*_container(names, "hs[0]"), bound("hs[0]", True), new * 1j)
    _put(*_container(names, "h"), bound("h", False), new * 1j)
    assert names["h"].dtype == complex


def test_arrays_that_were_returned_become_tensors() -> None:
    a = np.ones(2)
    t = Tensor([5.0])
    made = {id(a): t}
    assert _as_tensors(a, made) is t
    found = _as_tensors((a, 2.0, "x", 3), made)
    assert found[0] is t
    assert (found[1].data, found[2:]) == (2.0, ("x", 3))
    assert isinstance(found[1], Tensor)
    named = _as_tensors({"loss": a, "n": 3}, made)
    assert named["loss"] is t
    assert named["n"] == 3
    assert isinstance(_as_tensors([a], made), tuple)
    assert _as_tensors("x", made) == "x"
    assert _as_tensors(np.float32(2), {}).data.dtype == np.float64


# -- Rows


def whole(value: Any, error: float = 1e-9, directions: Any = ()) -> NumericalGradient:
    value = np.array(value, float)
    return NumericalGradient(
        value, np.full(value.shape, error), value.copy(), value.copy(), directions=list(directions)
    )


def test_a_gradient_beside_that_by_numbers() -> None:
    eps = 2.0**-52
    np.testing.assert_allclose(_rounding(np.array([1.0, -4.0]), eps), 64 * eps * np.array([2.0, 5.0]))
    assert _rounding(np.zeros(0), eps).size == 0
    right = np.array([1.0, 2.0, -4.0])
    row, bad = _judge("dz", right, whole(right), eps)
    assert (row.ok, row.name, bad.any()) == (True, "dz", False)
    row, bad = _judge("dz", right + np.array([0, 0, 1e-3]), whole(right), eps)
    assert (row.ok, row.worst, row.graph) == (False, (2,), -4.0)
    row, _ = _judge("dz", right[:2], whole(right), eps)
    assert not row.ok
    v = np.array([1.0, 1.0, 1.0])
    partly = whole([1.0, np.nan, np.nan], directions=[(v, -1.0, 1e-8)])
    assert _judge("dz", right, partly, eps)[0].ok
    row, bad = _judge("dz", right + np.array([0, 0, 1e-3]), partly, eps)
    assert (row.ok, row.odd, bad.any()) == (False, "manual", False)
    assert _judge("dz", right + np.array([0, 0, 0.5e-8]), partly, eps)[0].ok


# -- What explains the numbers


def look_of(f: Any, *leaves: Array, mine: Any = None, more: Any = (), single: bool = False) -> GradientData:
    run = graph_of(f, *leaves)(list(leaves))
    right = [np.asarray(g) for g in run.grads]
    made = right if mine is None else mine(right)
    made = [m.astype("f4") for m in made] if single else made
    probes = []
    for others in more:
        other = graph_of(f, *others)(list(others))
        grads = [np.asarray(g) for g in other.grads]
        probes.append((grads if mine is None else mine(grads), other.trace, grads))
    bads = [np.ones(g.shape, bool) for g in right]
    inputs: Any = SimpleNamespace(labels=["x", "w"][: len(leaves)], float_indices=[0, 1], leaves=[*leaves])
    return GradientData(inputs, made, right, [0 * g for g in right], bads, run.trace, list(leaves), probes)


def test_two_gradients_that_are_one_to_rounding() -> None:
    look = look_of(lambda x, w: np.tanh(x @ w).sum(), X, W)
    m = np.array([1.0, 10.0])
    assert equal_to_rounding(look, m, m + np.array([9e-7, 0]))
    assert not equal_to_rounding(look, m, m + np.array([1.2e-6, 0]))
    assert not equal_to_rounding(look, m, m - np.array([1.2e-6, 0]))
    assert not equal_to_rounding(look, m, m[:1])
    assert not equal_to_rounding(look, m, np.array([1.0, np.nan]))
    assert not equal_to_rounding(look, m, np.array([1.0, np.inf]))
    assert equal_to_rounding(look, np.zeros(0), np.zeros(0))
    single = look_of(lambda x, w: np.tanh(x @ w).sum(), X, W, single=True)
    assert (look.has_float32, single.has_float32) == (False, True)
    assert equal_to_rounding(single, m, m + np.array([2.9e-3, 0]))
    assert not equal_to_rounding(single, m, m + np.array([3.2e-3, 0]))
    assert [look.label(0), look.label(1)] == ["x", "w"]


def test_the_factor_of_a_gradient_at_all_inputs() -> None:
    f = lambda x, w: np.tanh(x @ w).sum()
    others = [(RNG.normal(size=(n, 2)), RNG.normal(size=(2, 2))) for n in (3, 3)]
    as_it_is = lambda trace, right: right

    def factor(mine: Any, over: Any = (0, 1), base: Any = as_it_is, beside: bool = False, **options: Any) -> str | None:
        found = fit_factor(look_of(f, X, W, mine=mine, more=others, **options), over, base, beside)
        return found and found.name

    assert factor(lambda g: g) == "1"
    assert factor(lambda g: [-x for x in g]) == "-1"
    assert factor(lambda g: [7 * x for x in g]) == "7"
    assert factor(lambda g: [0 * x for x in g]) == "0"
    assert factor(lambda g: [7 * g[0], g[1]]) is None
    assert factor(lambda g: [7 * g[0], g[1]], over=(0,)) == "7"
    assert factor(lambda g: [7 * g[0], g[1]], over=(1,)) == "1"
    assert factor(lambda g: g, base=lambda trace, right: None) is None
    assert factor(lambda g: g, base=lambda trace, right: [0 * r for r in right]) is None
    assert factor(lambda g: g, base=lambda trace, right: [r[:1] for r in right]) is None
    assert factor(lambda g: g, base=lambda trace, right: [r * np.nan for r in right]) is None
    # beside: mine = right + (s - 1) base
    assert factor(lambda g: [x + 4.0 for x in g], beside=True, base=lambda t, r: [np.ones_like(x) for x in r]) == "5"
    assert factor(lambda g: g, beside=True, base=lambda t, r: [np.ones_like(x) for x in r]) == "1"
    assert factor(lambda g: [x + 4.0 for x in g], base=lambda t, r: [np.ones_like(x) for x in r]) is None
    assert factor(lambda g: [7.001 * x for x in g], single=True) in ("7", "7.001")
    assert factor(lambda g: [1e-7 * x for x in g]) == "0"
    assert factor(lambda g: [3e-6 * x for x in g]) == "3e-06"
    # by a name, where the number of samples is another one at other inputs
    more = [(RNG.normal(size=(n, 2)), RNG.normal(size=(2, 2))) for n in (3, 5)]
    look = look_of(f, X, W, mine=lambda g: [len(g[0]) * x for x in g], more=more)
    same = look._replace(probes=[(m, look.trace, r) for m, _, r in look.probes])
    found = fit_factor(same, (0, 1), as_it_is)
    assert found is None or found.name in ("3", "N")


def test_what_arrives_before_it_is_summed_back() -> None:
    b = np.array([1.0, 2.0])
    f = lambda x, b: (np.tanh(x + b) * X).sum()
    look = look_of(f, X, b)
    weight = 0.5 + np.cos(0.0) ** 2
    (found,) = unsummed_gradients(look, 1)
    np.testing.assert_allclose(found, weight * (1 - np.tanh(X + b) ** 2) * X)
    assert list(unsummed_gradients(look, 0)) == []
    twice = look_of(lambda x, b: (x * b).sum() + (np.sin(x) * b).sum(), X, b)
    assert len(list(unsummed_gradients(twice, 1))) == 2
