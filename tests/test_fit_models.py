"""`fit` for modules and functions: what it offers beyond lists of layers, each against a hand-written loop."""

import functools
import gc
import pickle
import sys
from itertools import pairwise
from pathlib import Path
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
    Tensor,
    TrainNN,
    data_loader,
    fit,
    graph_loss,
    optim,
)
from tinygrad_nn.nn import Dropout, Linear, Module, Sequential
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.solver import Checkpoint, EarlyStopping

Array = Any
ROWS = 24


def table(dtype: type = np.float64) -> tuple[Array, Array]:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 3))
    return x.astype(dtype), (np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:]).astype(dtype)


def classes() -> tuple[Array, Array]:
    x, _ = table()
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)


def network(dtype: type = np.float64) -> Sequential:
    return Sequential(Linear(3, 8, rng=1, dtype=dtype), np.tanh, Linear(8, 1, rng=2, dtype=dtype))


def mse(yhat: Any, y: Any) -> Any:
    return ((yhat - y) ** 2).sum() / len(y)


def weights(model: Module) -> list[bytes]:
    return [array.tobytes() for array in model.state_dict().values()]


def by_hand(
    model: Module, x: Array, y: Array, rule: Any, rates: Any, epochs: int, size: int, seed: int, change: Any = None
) -> None:
    """The training loop of `fit`, written out in ten lines."""
    rng, parameters = np.random.default_rng(seed), model.parameters()
    states, updates = [rule.init(p.data) for p in parameters], 0
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            model.zero_grad()
            mse(model(x[rows]), y[rows]).backward()
            gradients = [p.grad for p in parameters]
            for k, g in enumerate(gradients if change is None else change(gradients)):
                step, states[k] = rule.update(g, states[k], rates(epoch, updates), parameters[k].data)
                new = Tensor(parameters[k].data - step).data
                parameters[k].data = parameters[k].node.out = new
            updates += 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("options", "rates", "change"),
    [
        ({}, lambda epoch, k: 0.02, None),
        ({"schedule": optim.Exponential(0.5)}, lambda epoch, k: 0.02 * 0.5**epoch, None),
        ({"schedule": optim.StepDecay(3), "schedule_by": "step"}, lambda epoch, k: optim.StepDecay(3)(k, 0.02), None),
        ({"clip_norm": 0.1}, lambda epoch, k: 0.02, lambda g: optim.clip_by_norm(g, 0.1)[0]),
        ({"clip_value": 0.01}, lambda epoch, k: 0.02, lambda g: optim.clip_by_value(g, 0.01)),
    ],
    ids=["plain", "schedule by epoch", "schedule by step", "clip_norm", "clip_value"],
)
def test_fit_is_the_loop_that_one_would_write(options: Any, rates: Any, change: Any, dtype: type) -> None:
    (x, y), model, hand = table(dtype), network(dtype), network(dtype)
    solver = Solver("mse", "adam", 0.02, **options)
    history = fit(model, x, y, solver=solver, settings=Settings(3, 5), rng=4)
    by_hand(hand, x, y, optim.adam(), rates, 3, 5, 4, change)
    assert weights(model) == weights(hand)
    assert all(p.dtype == dtype for p in model.parameters())
    assert history.loss[-1] == pytest.approx(float(mse(model(x), y).data), rel=1e-6)
    assert list(history.metrics) == ["r2"]


@pytest.mark.parametrize(("size", "accumulate"), [(5, 2), (7, 4)])  # the second ends with a batch of three rows
def test_accumulated_gradients_are_those_of_the_larger_batch(size: int, accumulate: int) -> None:
    (x, y), model, whole = table(), network(), network()
    solver = Solver("mse", "sgd", 0.1)
    fit(model, x, y, solver=solver, settings=Settings(4, size, accumulate=accumulate), rng=4)
    fit(whole, x, y, solver=solver, settings=Settings(4, size * accumulate), rng=4)
    # the same rows in each update; sums in another order differ by rounding: some hundred roundings of numbers below 10
    for a, b in zip(model.parameters(), whole.parameters(), strict=True):
        assert np.allclose(a.data, b.data, atol=1e-13)


def test_a_penalty_is_on_weights_and_not_on_biases() -> None:
    (x, y), model = table(), network()
    bare = graph_loss(model, x, y, solver=Solver("mse")).item()
    penalized = graph_loss(model, x, y, solver=Solver("mse", regularization=Regularization("l2", 0.3))).item()
    squares = sum((model[k].weight.data ** 2).sum() for k in (0, 2))
    assert penalized - bare == pytest.approx(0.15 * squares, rel=1e-12)


def test_a_plateau_follows_the_validation() -> None:
    (x, y), model, seen = table(), network(), []
    plateau = optim.Plateau(patience=0, threshold=10.0, threshold_mode="abs")  # nothing is ever better by 10
    solver = Solver("mse", "sgd", 0.1, schedule=plateau)
    fit(model, x, y, x, y, solver=solver, settings=Settings(4, ROWS), rng=0,
        callbacks=[lambda epoch: seen.append(epoch.model[0].weight.data.copy())])  # fmt: skip
    moves = [np.abs(b - a).max() for a, b in pairwise(seen)]
    assert moves[1] < 0.2 * moves[0]  # the rate drops tenfold after the second epoch
    assert moves[2] < 0.2 * moves[1]


def test_groups_have_their_own_rates_and_hyper_parameters() -> None:
    (x, y), model, hand = table(), network(), network()
    groups = {"0.*": {"learning_rate": 1e-3, "weight_decay": 0.5}, "*.bias": {"learning_rate": 0.3}}
    fit(model, x, y, solver=Solver("mse", "sgd", 0.1, groups=groups), settings=Settings(1, ROWS), rng=0)
    mse(hand(x[np.random.default_rng(0).permutation(ROWS)]), y[np.random.default_rng(0).permutation(ROWS)]).backward()
    g, w = dict(hand.named_parameters()), dict(model.named_parameters())
    decayed = g["0.weight"].data - 1e-3 * (g["0.weight"].grad + 0.5 * g["0.weight"].data)
    for name, wanted in (
        ("0.weight", decayed), ("2.weight", g["2.weight"].data - 0.1 * g["2.weight"].grad),
        ("2.bias", g["2.bias"].data - 0.3 * g["2.bias"].grad),
    ):  # fmt: skip
        assert np.allclose(w[name].data, wanted, atol=1e-15), name


def test_a_function_of_a_dict_of_arrays_trains_like_a_module() -> None:
    (x, y), model = table(), network()
    params = {"layers": [{"W": np.array(model[k].weight.data), "b": np.array(model[k].bias.data)} for k in (0, 2)]}

    def loss(params: Any, x: Any, y: Any) -> Any:
        first, second = params["layers"]
        yhat = np.tanh(x @ first["W"].T + first["b"]) @ second["W"].T + second["b"]
        return mse(yhat, y), yhat

    solver = Solver("mse", "adam", 0.02)
    fit(model, x, y, x, y, solver=solver, settings=Settings(5, 7), rng=3)
    history = fit(loss, x, y, x, y, params=params, solver=Solver(optimizer="adam", learning_rate=0.02),
                  settings=Settings(5, 7), rng=3, metrics={"mae": lambda y, yhat: abs(y - yhat).mean()})  # fmt: skip
    assert type(params["layers"][0]["W"]) is np.ndarray
    for k in (0, 1):
        assert np.allclose(params["layers"][k]["W"], model[2 * k].weight.data, atol=1e-12)
    assert history.metrics["mae"][-1] == history.metrics["val_mae"][-1]
    assert len(history.val_loss) == 5


def test_a_list_of_layers_and_modules_trains_like_the_same_as_a_module(rng: np.random.Generator) -> None:
    x, labels = classes()
    y = np.eye(3)[labels]

    def parts() -> list[Any]:
        return [Layer(3, 8, "relu", rng=1), Linear(8, 8, rng=2), np.tanh, Layer(8, 3, "softmax", rng=3)]

    mixed, whole = parts(), Sequential(parts())
    solver = Solver("crossentropy", "adam", 0.02, Regularization("l2", 0.01))
    a = fit(mixed, x, y, x, y, solver=solver, settings=Settings(5, 7), rng=3)
    b = fit(whole, x, y, x, y, solver=solver, settings=Settings(5, 7), rng=3)
    assert a == b
    assert list(a.metrics) == ["accuracy", "val_accuracy"]
    assert (Predict(mixed, x) == Predict(whole, x)).all()
    assert np.allclose(Predict(mixed, x).sum(axis=1), 1)
    cache = FeedForward(mixed, x)
    assert [z is None for z in cache.z] == [False, True, True, False]
    assert (cache.x is x or (cache.x == x).all(), cache.masks) == (True, [None] * 4)
    assert [np.shape(a) for a in cache.a] == [(len(x), n) for n in (8, 8, 8, 3)]
    assert (cache.a[-1] == Predict(mixed, x)).all()
    assert (FeedForward(mixed, x, solver=solver).a[-1] == cache.a[-1]).all()
    with pytest.raises(ValueError, match=r"FeedForward: Regularization\(dropout=...\) is for lists of Layer"):
        FeedForward(mixed, x, solver=Solver("crossentropy", "adam", 0.02, Regularization(dropout=0.1)))
    with pytest.raises(ValueError, match=r"BackProp: part 2 of 4, Linear\(8, 8\), has no equations written by hand"):
        BackProp(mixed, cache, y, solver=solver)
    for call in (fit, TrainNN):
        more = {"settings": Settings(1, 2)} if call is fit else {}
        with pytest.raises(ValueError, match=r"part 2 of 4, Linear\(8, 8\), has no equations written by hand"):
            call(mixed, x, y, solver=solver, gradients="manual", **more)
    with pytest.raises(ValueError, match=r"part 1 of 1, Sequential, has no equations"):
        TrainNN(whole, x, y, solver=solver, gradients="manual")
    with pytest.raises(ValueError, match=r"part 1 of 1, Layer\(3, 3, tanh\), is frozen"):
        TrainNN([Layer(3, 3, "tanh", rng=0).freeze()], x, y, solver=Solver("mse"), gradients="manual")


def test_a_list_of_layers_gets_the_same_weights_by_either_way_of_training() -> None:
    x, labels = classes()
    y = np.eye(3)[labels]

    def layers() -> list[Layer]:
        return [Layer(3, 8, "relu", rng=1), Layer(8, 3, "softmax", rng=3)]

    solver = Solver("crossentropy", "adam", 0.02)
    one, other = layers(), layers()
    fit(one, x, y, solver=solver, settings=Settings(5, 7), rng=3)
    fit(Sequential(other), x, y, solver=solver, settings=Settings(5, 7), rng=3)
    assert np.allclose(Predict(one, x), Predict(other, x), atol=1e-12)


def test_train_nn_keeps_the_state_of_the_optimizer_with_the_parameters() -> None:
    (x, y), model, hand = table(), network(), network()
    solver = Solver("mse", "adam", 0.02)
    for _ in range(3):
        trained = TrainNN(model, x, y, x, y, solver=solver)
    rule, parameters = optim.adam(), hand.parameters()
    states = [rule.init(p.data) for p in parameters]
    for _ in range(3):
        hand.zero_grad()
        mse(hand(x), y).backward()
        for k, p in enumerate(parameters):
            step, states[k] = rule.update(p.grad, states[k], 0.02, p.data)
            p.data = p.node.out = p.data - step
    assert weights(model) == weights(hand)
    assert set(trained.dW) == {"0.weight", "2.weight"}
    assert set(trained.db) == {"0.bias", "2.bias"}
    assert trained.val_loss < trained.loss
    assert graph_loss(model, x, y, solver=solver).item() == pytest.approx(trained.val_loss, rel=1e-12)


def test_losses_that_are_functions_take_labels() -> None:
    x, y = classes()
    model = Sequential(Linear(3, 16, rng=1), np.tanh, Linear(16, 3, rng=2))
    history = fit(model, x, y, x, y, solver=Solver(functools.partial(cross_entropy, label_smoothing=0.1), "adam", 0.05),
                  settings=Settings(40, 8), rng=0)  # fmt: skip
    assert history.metrics["val_accuracy"][-1] > 0.9
    assert history.val_loss == pytest.approx(history.loss, rel=1e-12)


def test_frozen_parts_stay_and_the_rest_is_trained() -> None:
    (x, y), model = table(), network()
    before = weights(model)
    model[0].freeze()
    fit(model, x, y, solver=Solver("mse", "adam", 0.1), settings=Settings(2, 7), rng=0)
    after = weights(model)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, False]
    layers = [Layer(3, 4, "tanh", rng=0).freeze(), Layer(4, 1, rng=1)]
    old = layers[0].W.data.copy()
    fit(layers, x, y, solver=Solver("mse", "adam", 0.1), settings=Settings(2, 7), rng=0)
    assert (layers[0].W.data == old).all()
    with pytest.raises(ValueError, match="Sequential has no parameters to train; unfreeze some"):
        fit(model.freeze(), x, y, solver=Solver("mse"), settings=Settings(1), rng=0)


def test_dropout_modules_draw_from_the_seed_of_the_training_and_never_in_evaluation() -> None:
    (x, y) = table()

    def trained(seed: int) -> tuple[list[bytes], Any]:
        model = Sequential(Linear(3, 8, rng=1), Dropout(0.5), Linear(8, 1, rng=2))
        history = fit(model, x, y, x, y, solver=Solver("mse", "sgd", 0.05), settings=Settings(3, 7), rng=seed)
        assert history.loss == history.val_loss
        assert model.training
        assert (Predict(model, x) == Predict(model, x)).all()
        return weights(model), history

    assert trained(1) == trained(1)
    assert trained(1)[0] != trained(2)[0]


def test_class_weights_count_the_rows_of_a_class() -> None:
    x, labels = classes()
    y, w = np.eye(3)[labels], np.array([1.0, 2.0, 0.5])
    solver, settings = Solver("crossentropy", "sgd", 0.1), Settings(1, ROWS)
    before = Layer(3, 3, "softmax", rng=1)
    p = Predict([before], x)
    delta = (p * (y @ w)[:, None] - y * w) / ROWS
    for make, more in (
        (list, {}), (list, {"gradients": "manual"}), (lambda parts: Sequential(*parts), {}),
    ):  # fmt: skip
        model = make([Layer(3, 3, "softmax", rng=1)])
        fit(model, x, y, solver=solver, settings=settings, class_weight={1: 2.0, 2: 0.5}, rng=0, **more)
        assert np.allclose(model[0].W.data, before.W.data - 0.1 * delta.T @ x, atol=1e-14)
    counts = y.sum(axis=0)
    balanced, given = [Layer(3, 3, "softmax", rng=1)], [Layer(3, 3, "softmax", rng=1)]
    fit(balanced, x, y, solver=solver, settings=settings, class_weight="balanced", rng=0)
    fit(given, x, y, solver=solver, settings=settings, class_weight=ROWS / (3 * counts), rng=0)
    assert (balanced[0].W.data == given[0].W.data).all()


def test_class_weights_of_labels_are_those_of_the_loss() -> None:
    x, labels = classes()
    w, settings = np.array([1.0, 2.0, 0.5]), Settings(2, 7)
    counts = np.bincount(labels)
    for weight, given in (({1: 2.0, 2: 0.5}, w), ("balanced", ROWS / (3 * counts))):
        found = []
        for solver, more in (
            (Solver(cross_entropy, "sgd", 0.1), {"class_weight": weight}),
            (Solver(functools.partial(cross_entropy, weight=given), "sgd", 0.1), {}),
        ):
            model = Sequential(Linear(3, 8, rng=1), np.tanh, Linear(8, 3, rng=2))
            history = fit(model, x, labels, solver=solver, settings=settings, rng=0, **more)
            found.append((weights(model), history))
        assert found[0][0] == found[1][0]
        assert found[0][1].metrics == found[1][1].metrics
        assert found[0][1].loss != found[1][1].loss  # the history counts all rows alike


def test_a_single_layer_is_a_model() -> None:
    (x, y), one, other = table(), Layer(3, 1, rng=0), [Layer(3, 1, rng=0)]
    a = fit(one, x, y, solver=Solver("mse", "adam", 0.1), settings=Settings(2, 7), rng=0)
    b = fit(other, x, y, solver=Solver("mse", "adam", 0.1), settings=Settings(2, 7), rng=0)
    assert a == b
    assert (Predict(one, x) == Predict(other, x)).all()
    assert TrainNN(one, x, y, solver=Solver("mse")).loss == TrainNN(other, x, y, solver=Solver("mse")).loss


def test_lbfgs_trains_a_module_on_its_whole_data() -> None:
    (x, y), model = table(), network()
    history = fit(model, x, y, solver=Solver("mse", optim.lbfgs(line_search="strong_wolfe"), 1.0),
                  settings=Settings(15, ROWS), rng=0)  # fmt: skip
    assert history.loss[-1] < 1e-2 * history.loss[0]
    layers = [Layer(3, 8, "tanh", rng=1), Layer(8, 1, rng=2)]
    assert fit(layers, x, y, solver=Solver("mse", "lbfgs", 0.5), settings=Settings(3, ROWS), rng=0).loss[-1] < 1


# ---- where data comes from


def test_batches_from_an_iterable_are_taken_as_they_come() -> None:
    (x, y), model, other = table(), network(), network()
    batches = [(x[:10], y[:10]), (x[10:], y[10:])]
    a = fit(model, batches, x_val=batches, solver=Solver("mse", "sgd", 0.1), settings=Settings(3), rng=0)
    b = fit(other, data_loader(x, y, 10), x_val=x, y_val=y, solver=Solver("mse", "sgd", 0.1), settings=Settings(3))
    assert len(a.loss) == len(b.val_loss) == 3
    assert a.loss == pytest.approx(a.val_loss, rel=1e-12)
    hand = network()
    for _ in range(3):
        for xb, yb in batches:
            hand.zero_grad()
            mse(hand(xb), yb).backward()
            for p in hand.parameters():
                p.data = p.node.out = p.data - 0.1 * p.grad
    assert weights(model) == weights(hand)
    with pytest.raises(TypeError, match="generator can be iterated over only once"):
        fit(model, (b for b in batches), solver=Solver("mse"), settings=Settings(2))
    with pytest.raises(TypeError, match=r"(?s)batch 0 is .* a batch is a pair"):
        fit(model, [x], solver=Solver("mse"), settings=Settings(2))


@pytest.mark.parametrize("kind", ["module", "layers"])
def test_a_memory_mapped_file_gives_the_same_weights_and_is_read_by_rows(kind: str, tmp_path: Path) -> None:
    x, y = table()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy"]

    def make() -> Any:
        return network() if kind == "module" else [Layer(3, 8, "tanh", rng=1), Layer(8, 1, rng=2)]

    one, other = make(), make()
    a = fit(one, x, y, solver=Solver("mse", "adam", 0.1), settings=Settings(3, 5), rng=0)
    b = fit(other, *mapped, solver=Solver("mse", "adam", 0.1), settings=Settings(3, 5), rng=0)
    same = Predict(one, x), Predict(other, x)
    assert np.allclose(*same, atol=1e-12)
    if kind == "module":
        assert a == b
        assert weights(one) == weights(other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["module", "layers"])
def test_ten_thousand_steps_hold_memory_flat(kind: str) -> None:
    (x, y) = table()
    model: Any = network() if kind == "module" else [Layer(3, 8, "tanh", rng=1), Layer(8, 1, rng=2)]
    blocks: list[int] = []

    def look(epoch: Any) -> None:
        if epoch.number in (11, epoch.epochs):
            gc.collect()
            blocks.append(sys.getallocatedblocks())

    # 24 rows in batches of 2: 12 steps an epoch
    fit(model, x, y, solver=Solver("mse", "adam", 1e-3), settings=Settings(834, 2), rng=0, callbacks=[look])
    # only the history grows, by a few numbers an epoch; one array kept a step would be 36 blocks an epoch
    assert blocks[1] - blocks[0] < 10 * 834


# ---- early stopping


def test_early_stopping_puts_the_best_weights_back() -> None:
    (x, y), model = table(), network()
    seen: list[tuple[float, list[bytes]]] = []
    history = fit(model, x, y, x, -y, solver=Solver("mse", "adam", 0.02), settings=Settings(50, 8), rng=0,
                  early_stopping=EarlyStopping(patience=3),
                  callbacks=[lambda e: seen.append((e.val_loss, weights(e.model)))])  # fmt: skip
    best = min(range(len(seen)), key=lambda k: seen[k][0])
    assert len(history) == len(seen) == best + 4 < 50
    assert weights(model) == seen[best][1]
    kept = network()
    fit(kept, x, y, x, -y, solver=Solver("mse", "adam", 0.02), settings=Settings(50, 8), rng=0,
        early_stopping=EarlyStopping(patience=3, restore=False))  # fmt: skip
    assert weights(kept) == seen[-1][1]


@pytest.mark.parametrize("every", [1, 4, 100])
def test_a_training_that_stops_early_is_saved_where_it_stops(every: int, tmp_path: Path) -> None:
    seen: list[int] = []

    def train(epochs: int) -> Any:
        (x, y), model = table(), network()
        seen.clear()
        history = fit(model, x, y, x, -y, solver=Solver("mse", "adam", 0.02), settings=Settings(epochs, 8), rng=0,
                      early_stopping=EarlyStopping(2), checkpoint=Checkpoint(tmp_path, every=every),
                      resume=True, callbacks=[lambda e: seen.append(e.number)])  # fmt: skip
        return history, weights(model)

    history, found = train(50)
    assert 2 < len(history) < 50
    assert len(history) % 4
    for epochs in (50, 60):  # nothing is left to do
        again, same = train(epochs)
        assert (len(again), same) == (len(history), found)
        assert seen == []


def test_early_stopping_of_a_metric_looks_for_the_largest() -> None:
    (x, y), model = table(), [Layer(3, 1, rng=0)]
    history = fit(model, x, y, x, y, solver=Solver("mse", "sgd", 1e-9), settings=Settings(9, 8), rng=0,
                  early_stopping=EarlyStopping(2, min_delta=0.5, monitor="val_r2"))  # fmt: skip
    assert len(history) == 3
    with pytest.raises(ValueError, match=r"no 'val_loss' in this training; it has loss, r2\. Pass x_val"):
        fit(model, x, y, solver=Solver("mse"), settings=Settings(9, 8), early_stopping=EarlyStopping())


# ---- batches that are none


class Fading:
    """An iterable that yields its batches only once, like one over an open file."""

    def __init__(self, *batches: Any) -> None:
        self.batches = list(batches)

    def __iter__(self) -> Any:
        while self.batches:
            yield self.batches.pop(0)


@pytest.mark.parametrize("compile", [False, "numpy"])
@pytest.mark.parametrize("kind", ["x", "x_val", "list", "second pass"])
def test_an_iterable_of_no_batches_is_refused(kind: str, compile: Any) -> None:
    x, y = table()
    full, empty = [(x, y)], [] if kind == "list" else Fading()
    given: dict[str, Any] = {
        "x": {"x": empty, "x_val": full, "list": empty, "second pass": Fading((x, y))}[kind],
        "x_val": empty if kind == "x_val" else None,
    }  # fmt: skip
    model = network()
    before = weights(model)
    with pytest.raises(ValueError, match="fit: the iterable yielded no batch; an iterator is exhausted after one pass"):
        fit(model, **given, solver=Solver("mse"), settings=Settings(1), compile=compile)
    assert (weights(model) == before) is (kind in ("x", "list")), "with no batch nothing was learnt"


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        (np.ones((4, 3)), TypeError, r"(?s)batch 1 is array\(.* of type ndarray; a batch is a pair \(x, y\)"),
        ((np.ones((4, 3)),), TypeError, "(?s)batch 1 is .* of type tuple; a batch is a pair"),
        ((np.ones((4, 3)), np.ones((4, 1)), 0), TypeError, "(?s)batch 1 is .* of type tuple; a batch is a pair"),
        ((np.ones((4, 3)), np.ones((3, 1))), ValueError, "x of batch 1 has 4 rows and y of batch 1 has 3"),
        ((np.ones((0, 3)), np.ones((0, 1))), ValueError,
         r"x of batch 1 has shape \(0, 3\); it needs one row per sample"),
        ((np.ones((4, 3)), np.full((4, 1), np.nan)), ValueError, r"y of batch 1\[0, 0\] is nan"),
        ((np.ones((4, 3)), None), ValueError, "y of batch 1 is missing"),
    ],
)
def test_a_batch_that_is_none_is_named(batch: Any, error: type[Exception], message: str) -> None:
    x, y = table()
    with pytest.raises(error, match=message):
        fit(network(), [(x, y), batch], solver=Solver("mse"), settings=Settings(1))


# ---- checkpoints


def run(folder: Path | None, epochs: int, *, stop: int | None = None, kind: str = "module", resume: bool = True) -> Any:
    """Train with everything that has a state; stop after an epoch as a crash would, by an exception."""
    x, y = table()
    model: Any = {
        "module": lambda: Sequential(Linear(3, 8, rng=1), Dropout(0.3), np.tanh, Linear(8, 1, rng=2)),
        "layers": lambda: [Layer(3, 8, "tanh", rng=1), Layer(8, 1, rng=2)],
        "lbfgs": network,
    }[kind]()
    solver = Solver("mse", optim.lbfgs() if kind == "lbfgs" else "adam", 0.05,
                    Regularization(dropout=0.3 if kind == "layers" else 0.0),
                    schedule=optim.Plateau(patience=1))  # fmt: skip

    def crash(epoch: Any) -> None:
        if epoch.number == stop:
            raise KeyboardInterrupt

    try:
        history = fit(model, x, y, x, y * 0.9, solver=solver, settings=Settings(epochs, 5), rng=11, checkpoint=folder,
                      resume=resume, early_stopping=EarlyStopping(6), callbacks=[crash])  # fmt: skip
    except KeyboardInterrupt:
        return None
    parameters = model.parameters() if isinstance(model, Module) else [p for layer in model for p in (layer.W, layer.b)]
    return [p.data.tobytes() for p in parameters], history


@pytest.mark.parametrize("kind", ["module", "layers", "lbfgs"])
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(kind: str, tmp_path: Path) -> None:
    wanted = run(None, 9, kind=kind)
    for stop in (1, 4, 7):
        assert run(tmp_path / "c", 9, stop=stop, kind=kind) is None
    found = run(tmp_path / "c", 9, kind=kind)
    assert found[0] == wanted[0]
    assert found[1].to_json() == wanted[1].to_json()
    assert run(tmp_path / "c", 9, kind=kind)[0] == wanted[0]  # it is over, and only loaded
    assert len(list((tmp_path / "c").glob("weights-*"))) == 1


def test_more_epochs_go_on_where_the_last_ended(tmp_path: Path) -> None:
    x, y = table()

    def trained(epochs: int, folder: Path | None) -> list[bytes]:
        model = network()
        fit(model, x, y, solver=Solver("mse", "adam", 0.05), settings=Settings(epochs, 5), rng=1, checkpoint=folder,
            resume=True)  # fmt: skip
        return weights(model)

    trained(3, tmp_path / "c")
    assert trained(7, tmp_path / "c") == trained(7, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solver": Solver("mse", "sgd", 0.05)}, "its optimizer was adam.* and is sgd"),
        ({"solver": Solver("mse", "adam", 0.06)}, "its learning_rate was 0.05, and is 0.06 now"),
        ({"solver": Solver("mae", "adam", 0.05)}, "its loss was mse, and is mae now"),
        ({"settings": Settings(5, 6)}, "its batch_size was 5, and is 6 now"),
        ({"model": Sequential(Linear(3, 9, rng=1), np.tanh, Linear(9, 1, rng=2))}, "its parameters was"),
        ({"rng": np.random.Generator(np.random.MT19937(0))}, "come from PCG64, and rng= and the batches give MT19937"),
        ({"resume": False}, "holds the checkpoint of a training. Write resume=True"),
        ({"early_stopping": EarlyStopping()}, "its early_stopping was None"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    x, y = table()
    usual: dict[str, Any] = {
        "model": network(), "solver": Solver("mse", "adam", 0.05), "settings": Settings(2, 5), "rng": 0, "resume": True,
    }  # fmt: skip
    fit(**usual, x=x, y=y, x_val=x, y_val=y, checkpoint=tmp_path)
    other = {**usual, "model": network(), **change}
    before = weights(other["model"])
    with pytest.raises(ValueError, match=message):
        fit(**other, x=x, y=y, x_val=x, y_val=y, checkpoint=tmp_path)
    assert weights(other["model"]) == before


def test_a_damaged_checkpoint_is_refused_and_the_model_stays(tmp_path: Path) -> None:
    x, y = table()
    options: dict[str, Any] = {"solver": Solver("mse", "adam", 0.05), "settings": Settings(2, 5), "rng": 0}
    fit(network(), x, y, checkpoint=tmp_path, **options)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["state.safetensors", "weights-2.safetensors"]
    for file in files:
        whole = file.read_bytes()
        for content in (whole[:-1], whole[: len(whole) // 2], whole[:-9] + bytes([whole[-9] ^ 4]) + whole[-8:]):
            file.write_bytes(content)
            model = network()
            before = weights(model)
            with pytest.raises(ValueError, match=f"{file.name}.*(cut off|changed)"):
                fit(model, x, y, checkpoint=tmp_path, resume=True, **options)
            assert weights(model) == before
        file.write_bytes(whole)


def test_a_checkpoint_every_few_epochs_and_at_the_end(tmp_path: Path) -> None:
    x, y = table()
    names: list[set[str]] = []
    fit(network(), x, y, solver=Solver("mse"), settings=Settings(5, 5), checkpoint=Checkpoint(tmp_path, every=2),
        callbacks=[lambda e: names.append({f.name for f in tmp_path.glob("w*")})])  # fmt: skip
    assert names[2] == {"weights-2.safetensors"}
    assert {f.name for f in tmp_path.glob("w*")} == {"weights-5.safetensors"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: fit(network(), x, y, solver=Solver(), settings=Settings(1)), "the solver has no loss"),
        (lambda x, y: fit(network(), x, solver=Solver("mse"), settings=Settings(1)), "y is missing"),
        (lambda x, y: fit(network(), x, y[:5], solver=Solver("mse"), settings=Settings(1)), "24 rows and y has 5"),
        (lambda x, y: fit(network(), x, y[:, 0], solver=Solver("mse"), settings=Settings(1, 4)),
         r"mse compares a prediction of shape \(4, 1\) with targets of shape \(4,\)"),
        (lambda x, y: fit(network(), x, y, x, solver=Solver("mse"), settings=Settings(1)), "y_val is missing"),
        (lambda x, y: fit(network(), x, y, solver=Solver("mse", groups={"9.*": {}}), settings=Settings(1)),
         r"no parameter matches the group '9.\*'; they are called 0.weight"),
        (lambda x, y: fit(network(), x, y, solver=Solver("mse", "sgd", 0.1, Regularization(dropout=0.5)),
                          settings=Settings(1)), r"write Dropout\(0.5\) where it belongs"),
        (lambda x, y: fit(network(), x, y, solver=Solver(lambda p, t: (p - t) ** 2), settings=Settings(1, 4)),
         r"the loss has shape \(4, 1\); it must be a single number"),
        (lambda x, y: fit(lambda p, x, y: 0, x, y, solver=Solver(), settings=Settings(1)), "pass its parameters"),
        (lambda x, y: fit(network(), x, y, params={}, solver=Solver(), settings=Settings(1)), "belongs to a function"),
        (lambda x, y: fit(lambda p, x, y: 0, x, y, params={"w": x}, solver=Solver("mse"), settings=Settings(1)),
         "returns its loss itself, and the solver names 'mse' too"),
        (lambda x, y: fit(lambda p, x, y: np.sum(x), x, y, params={"w": np.ones(2)}, solver=Solver(),
                          settings=Settings(1)), "the loss does not depend on any parameter"),
        (lambda x, y: fit(lambda p, x, y: 0, x, y, params={"w": (np.ones(2),)}, solver=Solver(), settings=Settings(1)),
         "params is a dict or list"),
        (lambda x, y: fit([], x, y, solver=Solver("mse"), settings=Settings(1)), "no layers"),
        (lambda x, y: fit(network(), x, y, solver=Solver("mse"), settings=Settings(1), class_weight=[1]),
         "class_weight works with the loss 'crossentropy'"),
        (lambda x, y: fit(network(), x * np.nan, y, solver=Solver("mse"), settings=Settings(1)), "x.0, 0. is nan"),
        (lambda x, y: fit(network(), x, y * 1e200, solver=Solver("mse"), settings=Settings(1)), "the loss became inf"),
        (lambda x, y: Solver("mse", clip_norm=-1), "clip_norm=-1.0; a limit needs a positive"),
        (lambda x, y: Solver("mse", schedule=3), "schedule=3 cannot be called"),
        (lambda x, y: Solver("mse", schedule_by="hour"), "known are 'epoch' and 'step'"),
        (lambda x, y: Solver("mse", groups={"a": {"speed": 1}}), "has no hyper-parameter 'speed'"),
        (lambda x, y: EarlyStopping(0), "patience=0"),
        (lambda x, y: Checkpoint("c", every=0), "every=0"),
    ],
)  # fmt: skip
def test_unsuitable_arguments_raise(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, FloatingPointError), match=message):
        call(*table())


@pytest.mark.parametrize("kind", ["module", "layers"])
def test_a_trained_model_can_be_sent_to_another_process(kind: str) -> None:
    (x, y) = table()
    model: Any = network() if kind == "module" else [Layer(3, 8, "tanh", rng=1), Layer(8, 1, rng=2)]
    solver = Solver("mse", "adamw", 0.01)
    fit(model, x, y, solver=solver, settings=Settings(2, 8), rng=0)
    other = pickle.loads(pickle.dumps(model))
    assert (Predict(other, x) == Predict(model, x)).all()
    assert TrainNN(other, x, y, solver=solver).loss == TrainNN(model, x, y, solver=solver).loss
    assert (Predict(other, x) == Predict(model, x)).all()  # the state of the optimizer came along


def test_random_numbers_drawn_in_modules_follow_from_rng() -> None:
    x = np.ones((4, 6))
    model = Sequential(Linear(6, 8, rng=0), Dropout(0.5))
    once, again, other = (FeedForward(model, x, rng=seed).a[-1] for seed in (1, 1, 2))
    assert (once == again).all()
    assert (once != other).any()
