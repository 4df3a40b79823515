"""Arrays that are written in place belong to nobody else: optimizers in place, gradients that become weights, sums."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Layer, Settings, Solver, Tensor, TrainNN, custom_vjp, fit, no_grad
from tinygrad_nn.optim import (
    OPTIMIZERS,
    Minimizer,
    Optimizer,
    adagrad,
    adam,
    adamw,
    lion,
    nadam,
    nesterov,
    radam,
    rmsprop,
    sgd,
)  # fmt: skip
from tinygrad_nn.optim.in_place import in_place
from tinygrad_nn.optim.rule import is_reusable
from tinygrad_nn.optim.update import SMALL, attached_memory
from tinygrad_nn.primitive import Primitive
from tinygrad_nn.solver.tasks.layers import LayerLoss, LayerTask
from tinygrad_nn.solver.training_step import TrainingStep
from tinygrad_nn.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad

RNG = np.random.default_rng(0)
RULES = [
    sgd(weight_decay=0.1), sgd(0.9), sgd(0.9, weight_decay=0.1), sgd(0.9, 0.3), sgd(0.9, nesterov=True),
    adam(weight_decay=0.1), adam(amsgrad=True), adamw(amsgrad=True), adamw(weight_decay=0.0), rmsprop(mu=0.9),
    rmsprop(centered=True, weight_decay=0.1), nadam(decoupled=True, weight_decay=0.1), radam(weight_decay=0.1),
    adagrad(lr_decay=0.1), lion(weight_decay=0.1),
    *(make() for make in OPTIMIZERS.values()),
]  # fmt: skip


def same(a: Any, b: Any) -> bool:
    """Whether two nests of arrays and numbers hold the same bits."""
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return np.asarray(a).dtype == np.asarray(b).dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes()


def copied(state: Any) -> Any:
    return tuple(np.array(part) if isinstance(part, np.ndarray) else part for part in state)


def test_every_rule_of_arithmetic_has_an_in_place_form() -> None:
    assert {rule.name for rule in RULES if rule.into is None} == {"muon"}  # its products are of whole matrices


@pytest.mark.parametrize(
    "update",
    [
        lambda g, state, eta, w: (eta * g.sum() * g, state),
        lambda g, state, eta, w: (eta * np.add.reduce(g) * g, state),
        lambda g, state, eta, w: (eta * g if eta > 0.5 else g, state),
        lambda g, state, eta, w: (eta * np.clip(g, -1, 1), state),
        lambda g, state, eta, w: (np.multiply(eta, g, where=g > 0), state),
    ],
    ids=["a sum", "a reduction", "a decision", "another function", "a mask"],
)
def test_a_rule_that_is_more_than_arithmetic_has_none(update: Any) -> None:
    assert in_place(lambda w: (), update) is None


def test_eta_may_be_an_array_only_where_it_multiplies_arrays() -> None:
    assert {rule.name for rule in RULES if getattr(rule.into, "scales", False)} >= {"sgd", "momentum", "nesterov"}
    assert not any(getattr(rule.into, "scales", False) for rule in (adam(), adamw(), adagrad()))  # rounded before it


@pytest.mark.parametrize("rule", [adam(), adamw(), nesterov(), rmsprop()], ids=repr)
def test_the_in_place_form_makes_no_more_arrays_than_it_must(rule: Optimizer) -> None:
    w = np.ones(200_000)
    state, g = rule.init(w), np.ones_like(w)
    tracemalloc.start()
    try:
        new = rule.move(g, state, 0.1, w, g)
        peak = tracemalloc.get_traced_memory()[1]
        held = sum(part.nbytes for part in new[1] if isinstance(part, np.ndarray))
    finally:
        tracemalloc.stop()
    assert peak < held + 1.5 * w.nbytes  # the new state and one array more; the new weights are in the memory of g


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (3,), (40, 7), (0, 2)])
@pytest.mark.parametrize("spare", ["none", "gradient", "other"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_move_is_the_update_bit_for_bit(rule: Optimizer, spare: str, shape: tuple[int, ...], dtype: Any) -> None:
    w = right = np.asarray(RNG.normal(size=shape), dtype)
    state = expected = rule.init(w)
    for _ in range(4):
        g = np.asarray(RNG.normal(size=shape), dtype)
        before = g.copy(), w.copy(), copied(state)
        step, expected = rule.update(g, expected, 0.01, right)
        right = np.asarray(right - step)
        room = {"none": None, "gradient": g, "other": np.empty_like(w)}[spare]
        new, after = rule.move(g, state, 0.01, w, room)
        assert type(new) is np.ndarray
        assert same(new, right)
        assert same(after, expected)
        assert same((w, copied(state)), before[1:])  # whoever holds them still sees what was there
        assert spare == "gradient" or same(g, before[0])
        w, state = new, after


def test_a_move_in_another_dtype_is_the_update() -> None:
    w, g = np.ones(3), np.full(3, 0.1, np.float32)
    assert same(sgd().move(g, (), 0.5, w)[0], w - sgd().update(g, (), 0.5, w)[0])


def test_a_replaced_update_is_called_unchanged() -> None:
    rule = Optimizer("mine", (), lambda w: (), lambda g, state, eta, w: (2 * eta * g, state))
    assert rule.move(np.ones(2), (), 0.5, np.ones(2))[0].tolist() == [0.0, 0.0]


def test_an_array_that_others_hold_is_not_alone() -> None:
    w = np.zeros((4, 5))
    g = np.ones((4, 5))
    assert is_reusable(g, w)
    held = [g]
    assert not is_reusable(g, w)
    held.clear()
    part = g[0]
    assert not is_reusable(g, w)
    assert not is_reusable(part, w[0])
    del part
    assert is_reusable(g, w)
    assert not is_reusable(g, w.astype(np.float32))
    assert not is_reusable(g, np.zeros((5, 4)).T)
    g.flags.writeable = False
    assert not is_reusable(g, w)


# ---- training


def wide(optimizer: str = "sgd") -> tuple[list[Layer], np.ndarray, np.ndarray, Solver]:
    """Layers whose gradients are large enough for their memory to be used again."""
    model = [Layer(60, 70, "tanh", rng=1), Layer(70, 60, "linear", rng=2)]
    assert model[0].W.data.nbytes > SMALL
    return model, RNG.normal(size=(8, 60)), RNG.normal(size=(8, 60)), Solver("mse", optimizer, 0.01)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "rmsprop"])
def test_gradients_given_up_lead_to_the_same_weights(name: str) -> None:
    found = []
    for spend in (False, True):
        model, _, _, solver = wide(name)
        x, y = np.sin(np.arange(480.0)).reshape(8, 60), np.cos(np.arange(480.0)).reshape(8, 60)
        step = TrainingStep(LayerTask(LayerLoss(model, solver, y), "graph"), solver, tell=not spend)
        for _ in range(5):
            step(x, y, RNG)
        found.append(tuple(p.data for layer in model for p in (layer.W, layer.b)))
    assert same(*found)


def test_the_memory_of_a_gradient_becomes_that_of_the_weights() -> None:
    model, x, y, solver = wide()
    task = LayerTask(LayerLoss(model, solver, y), "graph")
    _, found = task.gradients(x, y, RNG)
    place = found[0].ctypes.data
    task.updater(found, spend=True)
    assert model[0].W.data.ctypes.data == place
    assert [g is None for g in found] == [True, False, True, False]  # the biases are small


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_arrays_taken_from_a_model_before_training_are_not_overwritten(name: str) -> None:
    model, x, y, solver = wide(name)
    fit(model, x, y, solver=solver, settings=Settings(2, 4), rng=0)
    loss = ((model[1](model[0](x)) - y) ** 2).mean()  # a graph of before
    taken = [p.data for layer in model for p in (layer.W, layer.b)]
    states = [attached_memory(p).state for layer in model for p in (layer.W, layer.b)]
    before = tuple(w.copy() for w in taken), tuple(copied(s) for s in states)
    loss.backward(retain_graph=True)
    right, model[0].W.grad = model[0].W.grad, None
    fit(model, x, y, solver=solver, settings=Settings(3, 4), rng=0)
    assert not same(model[0].W.data, before[0][0])
    assert same((tuple(taken), tuple(states)), before)
    loss.backward()
    assert same(model[0].W.grad, right)


def test_gradients_that_are_returned_stay() -> None:
    model, x, y, solver = wide("adam")
    first = TrainNN(model, x, y, solver=solver)
    before = tuple(g.copy() for g in first.dW)
    TrainNN(model, x, y, solver=solver)
    assert same(tuple(first.dW), before)


def test_an_array_that_a_users_rule_keeps_is_not_overwritten() -> None:
    kept = np.full((60, 60), 0.5)
    summed = custom_vjp(lambda w: np.asarray(0.5 * w.sum()), lambda g, out, w: kept)
    params = {"w": np.ones((60, 60))}
    fit(lambda p, x, y: summed(p["w"]) + 0 * x.sum(), np.ones((4, 1)), np.ones((4, 1)), params=params,
        solver=Solver(optimizer="sgd", learning_rate=0.1), settings=Settings(3, 4), rng=0)  # fmt: skip
    assert (kept == 0.5).all()
    np.testing.assert_allclose(params["w"], 0.85)


@pytest.mark.parametrize("uses", [1, 2, 3, 7])
def test_sums_of_gradients_are_made_in_arrays_of_their_own(uses: int) -> None:
    x = Tensor(RNG.normal(size=(3, 4)))
    parts = [Tensor(RNG.normal(size=(3, 4))) for _ in range(uses)]
    seed = RNG.normal(size=(3, 4))
    before = seed.copy()
    total: Any = x
    for part in parts:
        total = total + (x + part)  # the rules of add hand the same array to both arguments
    total.backward(seed)
    assert same(seed, before)
    assert same(x.grad, sum([seed] * uses, seed))
    assert all(same(part.grad, seed) for part in parts)


def test_a_schedule_reaches_the_in_place_form() -> None:
    _, x, y, _ = wide()
    rates: list[Callable[[Any, float], float]] = [lambda t, base: base, lambda t, base: base / (1 + t)]
    ends = []
    for schedule in rates:
        model = wide()[0]
        fit(model, x, y, solver=Solver("mse", "sgd", 0.01, schedule=schedule), settings=Settings(2, 4), rng=0)
        ends.append(model[0].W.data)
    assert not same(*ends)


# -- What a graph holds is read-only


WRITES: dict[str, Callable[[Any], Any]] = {
    "an entry": lambda a: a.__setitem__((0, 0), 7.0),
    "all": lambda a: a.__setitem__(..., 7.0),
    "+=": lambda a: a.__iadd__(1.0),
    "out": lambda a: np.exp(a, out=a),
    "a view": lambda a: a[:1].__setitem__(0, 7.0),
    "sort": lambda a: a.sort(),
    "fill": lambda a: a.fill(0.0),
    "copyto": lambda a: np.copyto(a, 7.0),
}
RESULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": lambda x: np.exp(x),
    "product": lambda x: 2 * x,
    "a view": lambda x: x.T,
    "of two": lambda x: np.maximum(x, 0.5),
    "saved": lambda x: np.linalg.inv(x @ x.T + np.eye(2)),
    "detached": lambda x: (x * x).detach(),
    "constant operand": lambda x: np.eye(2) @ x,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_a_result_that_a_graph_holds_cannot_be_written_into(result: Any, write: Any) -> None:
    x = Tensor(RNG.normal(size=(2, 3)))
    y = result(x)
    before = y.data.copy()
    with pytest.raises(ValueError, match="read-only"):
        write(y.data)
    assert same(y.data, before)
    write(x.data)  # a leaf belongs to the user
    write(y.data.copy())


def test_results_without_a_graph_and_gradients_are_open() -> None:
    x = Tensor(RNG.normal(size=(2, 3)))
    with no_grad():
        results = [np.exp(x), x @ x.T]
    results += [np.exp(Tensor(x.data, requires_grad=False)), np.exp(x.detach())]
    loss = (x * x).sum()
    loss.backward()
    found = [y.data for y in results] + [x.grad]
    cube = lambda t: (t**3).sum()
    found += [grad(cube)(x.data), hessian(cube)(x.data), jacobian(np.exp)(x.data), hvp(cube, (x.data,), x.data)]
    found += [*jvp(np.exp, (x.data,), (x.data,)), value_and_grad(lambda t: t[:1, 0] * 2)(x.data)[0]]
    for array in found:
        array[...] = 0.0


@pytest.mark.parametrize("kind", [np.array, Tensor])
def test_an_array_that_a_forward_returns_unchanged_stays_writable(kind: Any) -> None:
    own = RNG.normal(size=3)
    rules = [(lambda g, out, x, y: g * 0, "0"), (lambda g, out, x, y: g, "g")]
    same_one = Primitive("same_one", lambda x, y: y, rules, "y")
    out = same_one(Tensor(np.ones(3)), own if kind is np.array else Tensor(own))
    own[0] = 7.0
    assert np.real(Tensor(own)).node is not None
    own[1] = 7.0
    with pytest.raises(ValueError, match="read-only"):
        out.data[0] = 3.0


@pytest.mark.parametrize("size", [2, SMALL])
def test_an_optimizer_between_forward_and_backward_changes_no_gradient(size: int) -> None:
    w, v = Tensor(RNG.normal(size=size)), Tensor(RNG.normal(size=size))
    start = w.data.copy()
    loss = (w * w * v).sum()
    expected = 2 * w.data * v.data, w.data**2
    for rule in (sgd(), sgd(0.9), adam(), adamw()):
        Minimizer([w, v], rule, 0.1).step([np.ones(size), np.ones(size)])
    loss.backward()
    assert not np.array_equal(w.data, start)
    assert same((w.grad, v.grad), expected)


def test_a_changed_constant_gives_the_documented_wrong_gradient() -> None:
    x, c = Tensor([1.0, 2.0]), np.array([3.0, 4.0])
    y = x * c
    c[0] = 5.0  # read by the rule of x
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [5.0, 4.0]
