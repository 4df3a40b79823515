"""The Julia-style functions: what they return, what they change, and their errors for bad input."""

import copy
import threading
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import (
    BackProp,
    FeedForward,
    Layer,
    Predict,
    Regularization,
    Settings,
    Solver,
    TrainNN,
    fit,
    graph_loss,
    loss_fct,
    no_grad,
    optim,
)
from tinygrad_nn.nn import PENALTIES

Array = Any
ROADS = ["graph", "manual"]
PENALISED = Regularization("elasticnet", 0.05, 0.4)


def network(seed: int = 0, output: str = "softmax", dtype: Any = float) -> list[Layer]:
    rng = np.random.default_rng(seed)
    return [Layer(4, 5, "tanh", "n", rng=rng, dtype=dtype), Layer(5, 3, output, "n", rng=rng, dtype=dtype)]


def batch(rows: int = 7, seed: int = 1) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4)), np.eye(3)[rng.integers(0, 3, rows)]


def weights(model: list[Layer]) -> list[Array]:
    return [p.data for layer in model for p in (layer.W, layer.b)]


def same(left: list[Layer], right: list[Layer]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights(left), weights(right), strict=True))


# ---- what the functions return


def test_the_cache_holds_an_array_for_each_layer_and_the_input_apart() -> None:
    model, (x, _) = network(), batch()
    cache = FeedForward(model, x)
    assert cache._fields == ("x", "z", "a", "masks")
    assert [z.shape for z in cache.z] == [a.shape for a in cache.a] == [(7, 5), (7, 3)]
    assert cache.masks == [None, None]
    np.testing.assert_array_equal(cache.x, x)
    np.testing.assert_allclose(cache.a[0], np.tanh(x @ model[0].W.data.T))
    np.testing.assert_allclose(cache.a[-1], Predict(model, x))
    assert all(type(array) is np.ndarray for array in (*cache.z, *cache.a, Predict(model, x)))


def test_dropout_masks_hidden_units_only_never_in_predict_and_by_the_rng() -> None:
    model, (x, _) = network(), batch(200)
    solver = Solver("mse", regularization=Regularization(dropout=0.25))
    cache = FeedForward(model, x, solver=solver, rng=3)
    mask, last = cache.masks
    assert last is None
    assert set(np.unique(mask)) == {0.0, 1 / 0.75}
    assert (mask == 0).mean() == pytest.approx(0.25, abs=0.04)
    np.testing.assert_array_equal(cache.a[0], mask * np.tanh(cache.z[0]))
    again = FeedForward(model, x, solver=solver, rng=3)
    np.testing.assert_array_equal(again.masks[0], mask)
    assert (FeedForward(model, x, solver=solver).masks[0] != mask).any()
    np.testing.assert_array_equal(Predict(model, x), Predict(model, x))


def test_backprop_and_trainnn_return_by_name_and_in_order() -> None:
    model, (x, y) = network(), batch()
    solver = Solver("crossentropy", regularization=PENALISED)
    found = BackProp(model, FeedForward(model, x), y, solver=solver)
    loss, dW, db = found
    assert (found.loss, found.dW, found.db) == (loss, dW, db)
    assert [g.shape for g in dW] == [(5, 4), (3, 5)]
    assert [g.shape for g in db] == [(5,), (3,)]
    trained = TrainNN(model, x, y, solver=solver)
    assert trained._fields == ("loss", "val_loss", "dW", "db")
    assert trained.loss == pytest.approx(loss, rel=1e-14)
    assert trained.val_loss is None
    np.testing.assert_allclose(trained.dW[0], dW[0], rtol=1e-12)


def test_the_validation_loss_is_taken_after_the_update_without_penalty() -> None:
    model, (x, y), (x_val, y_val) = network(), batch(), batch(5, seed=2)
    solver = Solver("crossentropy", "sgd", 0.5, Regularization("l2", 0.3, dropout=0.5))
    trained = TrainNN(model, x, y, x_val, y_val, solver=solver, rng=0)
    assert trained.val_loss == pytest.approx(loss_fct(y_val, Predict(model, x_val), "crossentropy"), rel=1e-12)


@pytest.mark.parametrize("gradients", ROADS)
def test_one_update_is_one_step_against_the_gradient(gradients: str) -> None:
    model, (x, y) = network(), batch()
    before = weights(model)
    copies = [w.copy() for w in before]
    tensors = [p for layer in model for p in (layer.W, layer.b)]
    _, _, dW, db = TrainNN(model, x, y, solver=Solver("mse", "sgd", 0.1), gradients=gradients)
    steps = [g for pair in zip(dW, db, strict=True) for g in pair]
    for old, new, g, copied in zip(before, weights(model), steps, copies, strict=True):
        np.testing.assert_array_equal(new, old - 0.1 * g)
        np.testing.assert_array_equal(old, copied)  # never written into
    assert all(a is b for a, b in zip(tensors, [p for layer in model for p in (layer.W, layer.b)], strict=True))


def test_an_older_graph_is_not_disturbed_by_training() -> None:
    model, (x, y) = network(), batch()
    solver = Solver("crossentropy", "sgd", 0.5)
    loss = graph_loss(model, x, y, solver=solver)
    right = BackProp(model, FeedForward(model, x), y, solver=solver).dW[0]
    TrainNN(model, x, y, solver=solver)
    loss.backward()
    np.testing.assert_allclose(model[0].W.grad, right, rtol=1e-12)


def test_a_graph_made_after_training_shows_the_trained_weights() -> None:
    model, (x, y) = network(), batch()
    TrainNN(model, x, y, solver=Solver("crossentropy", "sgd", 0.5))
    assert model[0].W.node.out is model[0].W.data


def test_graph_loss_marks_layers_loss_and_penalty() -> None:
    model, (x, y) = network(), batch()
    loss = graph_loss(model, x, y, solver=Solver("crossentropy", regularization=PENALISED))
    seen, stack = set(), [loss.node]
    while stack:
        node = stack.pop()
        if node.primitive:
            seen.add((node.scope, node.primitive.name))
            stack += [parent for parent in node.parents if parent]
    scopes = {scope for scope, _ in seen}
    assert scopes == {"layer 1", "layer 2", "loss", "penalty"}
    assert {("layer 1", "affine"), ("layer 1", "tanh"), ("layer 2", "affine"), ("loss", "softmax_crossentropy")} <= seen


def test_training_works_under_no_grad_and_records_nothing_afterwards() -> None:
    model, (x, y) = network(), batch()
    with no_grad():
        TrainNN(model, x, y, solver=Solver("crossentropy"))
        assert not model[0](x).requires_grad


def test_hooks_on_parameters_are_heard_in_training() -> None:
    model, (x, y) = network(), batch()
    seen = []
    model[0].W.register_hook(lambda g: seen.append(g) or g * 0)
    before = model[0].W.data
    TrainNN(model, x, y, solver=Solver("crossentropy"))
    assert seen[0].any()
    np.testing.assert_array_equal(model[0].W.data, before)


def test_data_is_converted_to_the_dtype_of_the_model() -> None:
    model, (x, y) = network(dtype=np.float32), batch()
    _, _, dW, db = TrainNN(model, x.tolist(), y.astype(int), solver=Solver("crossentropy", "adam", 0.01))
    assert {array.dtype for array in (*weights(model), *dW, *db, Predict(model, x))} == {np.dtype(np.float32)}


def test_a_single_output_takes_a_plain_vector_of_targets() -> None:
    model, x = [Layer(1, 1, rng=0)], np.array([[1.0], [2.0]])
    twin = copy.deepcopy(model)
    TrainNN(model, x, [1.0, 2.0], solver=Solver("mse"))
    TrainNN(twin, x, [[1.0], [2.0]], solver=Solver("mse"))
    assert same(model, twin)


# ---- optimizer state


@pytest.mark.parametrize("gradients", ROADS)
@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_state_persists_over_calls_and_two_models_never_mix(name: str, gradients: str) -> None:
    solver = Solver("crossentropy", name, 0.05, PENALISED)
    data = [batch(seed=seed) for seed in range(6)]

    def train(model: list[Layer]) -> list[Layer]:
        for x, y in data:
            TrainNN(model, x, y, solver=solver, gradients=gradients)
        return model

    alone = train(network()), train(network(1))
    turns = network(), network(1)
    for x, y in data:
        for model in turns:
            TrainNN(model, x, y, solver=solver, gradients=gradients)
    assert all(same(a, b) for a, b in zip(alone, turns, strict=True))
    # ... and by the optimizer itself, from the gradients
    model = network()
    parts = [(w, solver.rule.init(w)) for w in weights(model)]
    for x, y in data:
        found = TrainNN(model, x, y, solver=solver, gradients=gradients)
        steps = [g for pair in zip(found.dW, found.db, strict=True) for g in pair]
        moved = [(w, *solver.rule.update(g, state, 0.05, w)) for (w, state), g in zip(parts, steps, strict=True)]
        parts = [(w - step, state) for w, step, state in moved]
    assert all(np.array_equal(w, new) for (w, _), new in zip(parts, weights(model), strict=True))


def second_step(first: Solver, second: Solver, between: Callable[[list[Layer]], None] = lambda model: None) -> bool:
    """Whether the second update remembers the first."""
    model, (x, y) = network(), batch()
    TrainNN(model, x, y, solver=first)
    between(model)
    fresh = network()
    for layer, other in zip(fresh, model, strict=True):
        layer.W, layer.b = other.W, other.b
    TrainNN(model, x, y, solver=second)
    TrainNN(fresh, x, y, solver=second)
    return not same(model, fresh)


def test_state_is_kept_for_the_same_optimizer_and_dropped_for_another() -> None:
    momentum = Solver("mse", "momentum", 0.1)
    assert second_step(momentum, Solver("mse", optim.momentum(0.9), 0.2))  # a learning rate may change
    assert second_step(momentum, Solver("mae", "Momentum", 0.1))
    assert not second_step(momentum, Solver("mse", optim.momentum(0.8), 0.1))
    assert not second_step(momentum, Solver("mse", "nesterov", 0.1))

    def assign(model: list[Layer]) -> None:
        for layer in model:
            layer.b = layer.b.data

    assert not second_step(momentum, momentum, assign)


def test_a_copied_model_takes_its_state_along() -> None:
    model, (x, y), solver = network(), batch(), Solver("mse", "adam", 0.1)
    TrainNN(model, x, y, solver=solver)
    twin = copy.deepcopy(model)
    for net in (model, twin):
        TrainNN(net, x, y, solver=solver)
    assert same(model, twin)


# ---- the two roads, and threads


@pytest.mark.parametrize(("name", "method", "dropout"), list(product(["sgd", "adam"], list(PENALTIES), [0.0, 0.3])))
def test_both_roads_train_the_same_weights(name: str, method: str, dropout: float) -> None:
    solver = Solver("crossentropy", name, 0.02, Regularization(method, 0.01, 0.5, dropout))
    x, y = batch(50)
    models = [network(), network()]
    for model, gradients in zip(models, ROADS, strict=True):
        fit(model, x, y, solver=solver, settings=Settings(10, 8), rng=5, gradients=gradients)
    for a, b in zip(weights(models[0]), weights(models[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def test_eight_threads_train_their_models_as_if_alone() -> None:
    x, y = batch(40)
    solver = Solver("crossentropy", "adam", 0.01, Regularization("l2", 0.01, dropout=0.2))

    def train(seed: int, model: list[Layer]) -> None:
        fit(model, x, y, solver=solver, settings=Settings(15, 8), rng=seed, gradients=ROADS[seed % 2])

    alone, together = ([network(seed) for seed in range(8)] for _ in range(2))
    for seed, model in enumerate(alone):
        train(seed, model)
    threads = [threading.Thread(target=train, args=pair) for pair in enumerate(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
