"""fit: minibatches, history, callbacks, the bar; and that iris is learnt."""

import copy
import json
import math
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import (
    Epoch,
    History,
    Layer,
    Predict,
    Regularization,
    Settings,
    Solver,
    TrainNN,
    accuracy_score,
    data_loader,
    data_split,
    fit,
    load_iris,
    loss_fct,
    manual,
    r2_score,
)
from tinygrad_nn.nn import Linear
from tinygrad_nn.solver.arguments import accuracy

Array = Any
CROSS = Solver("crossentropy", "sgd", 0.03)


def network(seed: int = 0) -> list[Layer]:
    rng = np.random.default_rng(seed)
    return [Layer(4, 8, "relu", "n", rng=rng), Layer(8, 3, "softmax", "n", rng=rng)]


def weights(model: list[Layer]) -> list[Array]:
    return [p.data for layer in model for p in (layer.W, layer.b)]


def iris_parts(rng: Any = 0) -> Any:
    iris = load_iris()
    return data_split(iris.x, iris.targets, train_size=0.7, val_size=0.1, rng=rng)


# ---- iris, as in main.jl


def iris_accuracy(seed: int, optimizer: str, rate: float, epochs: int) -> float:
    rng = np.random.default_rng(seed)  # for rows, weights and order, as the command has it
    train, test, val = iris_parts(rng)
    model = [Layer(4, 40, "relu", distribution="n", rng=rng), Layer(40, 3, "softmax", distribution="n", rng=rng)]
    fit(model, *train, *val, solver=Solver("crossentropy", optimizer, rate), settings=Settings(epochs, 16), rng=rng)
    return accuracy_score(test.y, Predict(model, test.x)).overall


@pytest.mark.parametrize(
    ("optimizer", "rate", "epochs", "least"), [("sgd", 0.03, 20, 0.90), ("adam", 0.01, 60, 0.96)]
)
def test_iris_is_learnt_on_average_over_twenty_seeds(optimizer: str, rate: float, epochs: int, least: float) -> None:
    assert np.mean([iris_accuracy(seed, optimizer, rate, epochs) for seed in range(20)]) >= least


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adadelta"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_seed_gives_the_same_weights_bit_for_bit_and_the_roads_agree(optimizer: str, dropout: float) -> None:
    train, _, val = iris_parts()
    solver = Solver("crossentropy", optimizer, 0.02, Regularization("l2", 1e-3, dropout=dropout))

    def trained(gradients: str, seed: int = 1) -> tuple[list[Array], History]:
        model = network()
        history = fit(model, *train, *val, solver=solver, settings=Settings(20, 16), rng=seed, gradients=gradients)
        return weights(model), history

    first, history = trained("graph")
    again, history_again = trained("graph")
    assert [w.tobytes() for w in first] == [w.tobytes() for w in again]
    assert history == history_again
    assert any((a != b).any() for a, b in zip(first, trained("graph", seed=2)[0], strict=True))
    for a, b in zip(first, trained("manual")[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


# ---- minibatches


def test_fit_is_a_loop_of_trainnn_over_shuffled_minibatches() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 4)), np.eye(3)[rng.integers(0, 3, 10)]
    solver = Solver("crossentropy", "adam", 0.05, Regularization("l1", 0.01, dropout=0.3))
    model, twin = network(), network()
    fit(model, x, y, solver=solver, settings=Settings(3, 4), rng=7)
    again = np.random.default_rng(7)
    for _ in range(3):
        order = again.permutation(10)
        for rows in (order[:4], order[4:8], order[8:]):
            TrainNN(twin, x[rows], y[rows], solver=solver, rng=again)
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), weights(twin), strict=True))


def test_every_row_is_seen_once_an_epoch_with_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Array, Array]] = []
    from tinygrad_nn.solver.tasks import layers as step

    def spy(plan: Any, x: Array, y: Array, masks: Any) -> Any:
        seen.append((x[:, 0].copy(), y[:, 0].copy()))
        return step.graph_step(plan, x, y, masks)

    monkeypatch.setitem(step.ROADS, "graph", spy)
    x = np.arange(10.0)[:, None]
    fit([Layer(1, 1, rng=0)], x, 2 * x, solver=Solver("mse", "sgd", 1e-6), settings=Settings(2, 4), rng=0)
    assert [len(xs) for xs, _ in seen] == [4, 4, 2] * 2
    epochs = [np.concatenate([xs for xs, _ in part]) for part in (seen[:3], seen[3:])]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(10.0))
    assert (epochs[0] != epochs[1]).any()
    assert all((ys == 2 * xs).all() for xs, ys in seen)


def test_the_data_is_not_changed_and_a_batch_may_be_larger_than_it() -> None:
    (x, y), _, _ = iris_parts()
    before = x.copy(), y.copy()
    x.flags.writeable = y.flags.writeable = False
    fit(network(), x, y, solver=CROSS, settings=Settings(2, 1000), rng=0)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


def test_labels_that_do_not_quite_sum_to_one_follow_the_equations() -> None:
    x, y = np.random.default_rng(0).normal(size=(6, 4)), np.eye(3)[[0, 1, 2, 0, 1, 2]]
    y[0] = [1 / 3, 1 / 3, 1 / 3 + 5e-6]
    models = network(), network()
    for model, gradients in zip(models, ("graph", "manual"), strict=True):
        fit(model, x, y, solver=CROSS, settings=Settings(5, 2), rng=0, gradients=gradients)
    for a, b in zip(*map(weights, models), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


def test_training_goes_on_where_it_stopped() -> None:
    train, _, _ = iris_parts()
    solver = Solver("crossentropy", "adam", 0.01)
    whole, parts = network(), network()
    fit(whole, *train, solver=solver, settings=Settings(4, 16), rng=np.random.default_rng(0))
    rng = np.random.default_rng(0)
    for _ in range(2):
        fit(parts, *train, solver=solver, settings=Settings(2, 16), rng=rng)
    assert all(np.array_equal(a, b) for a, b in zip(weights(whole), weights(parts), strict=True))


# ---- history


def test_history_holds_losses_and_metrics_of_all_the_data_at_each_epochs_end() -> None:
    train, _, val = iris_parts()
    model, solver = network(), Solver("crossentropy", "sgd", 0.03, Regularization("l2", 0.1, dropout=0.2))
    history = fit(model, *train, *val, solver=solver, settings=Settings(3, 16), rng=0)
    assert len(history) == history.epochs == len(history.loss) == len(history.val_loss) == 3
    assert list(history.metrics) == ["accuracy", "val_accuracy"]
    assert history.loss[-1] == pytest.approx(loss_fct(train.y, Predict(model, train.x), "crossentropy"))
    assert history.val_loss[-1] == pytest.approx(loss_fct(val.y, Predict(model, val.x), "crossentropy"))
    assert history.metrics["accuracy"][-1] == accuracy_score(train.y, Predict(model, train.x)).overall


def test_history_of_a_regression_holds_r2_and_no_validation_without_data() -> None:
    x = np.linspace(-1, 1, 30)[:, None]
    model = [Layer(1, 1, rng=0)]
    history = fit(model, x, 3 * x, solver=Solver("rmse", "sgd", 0.1), settings=Settings(5, 6), rng=0)
    assert list(history.metrics) == ["r2"]
    assert history.val_loss == []
    assert history.metrics["r2"][-1] == r2_score(3 * x, Predict(model, x))


@pytest.mark.parametrize(
    ("y", "yhat", "right"),
    [
        ([[1, 0], [0, 1]], [[0.4, 0.3], [0.4, 0.3]], 0.5),
        ([[1, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.4]], 0.75),
        ([[1], [0], [0]], [[0.6], [0.4], [0.5]], 2 / 3),
    ],
)
def test_accuracy_is_of_classes_or_of_independent_labels(y: Any, yhat: Any, right: float) -> None:
    assert accuracy(np.array(y), np.array(yhat)) == right


def test_history_survives_json_to_the_last_bit() -> None:
    train, _, val = iris_parts()
    history = fit(network(), *train, *val, solver=CROSS, settings=Settings(3, 16), rng=0)
    text = history.to_json()
    assert History.from_json(text) == history == History.from_dict(history.to_dict())
    assert json.loads(text) == history.to_dict()
    infinite = History.from_json(History([math.inf, math.nan]).to_json())
    assert infinite.loss[0] == math.inf
    assert math.isnan(infinite.loss[1])


def test_history_prints_a_line_an_epoch_and_shortens_long_ones() -> None:
    short = str(History([0.5], [0.25], {"accuracy": [1.0]}))
    assert short.splitlines() == ["epoch      loss  val_loss  accuracy", "    1    0.5000    0.2500    1.0000"]
    lines = str(History([1 / (k + 1) for k in range(100)])).splitlines()
    assert len(lines) == 22
    assert lines[10:13] == ["   10    0.1000", "  ...", "   91    0.0110"]
    assert str(History()) == "epoch"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"loss": []}, "History: 'val_loss' is missing; a history has loss, val_loss, metrics"),
        ({"loss": [None], "val_loss": [], "metrics": {}}, "lists of numbers"),
        ({"loss": [], "val_loss": [], "metrics": []}, "lists of numbers"),
    ],
)
def test_a_bad_history_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        History.from_dict(data)


# ---- callbacks and the bar


def test_callbacks_hear_of_every_epoch_and_true_ends_the_training() -> None:
    train, _, val = iris_parts()
    heard: list[Epoch] = []
    also: list[int] = []
    model = network()

    def stop_at_three(epoch: Epoch) -> bool:
        heard.append(epoch)
        return epoch.number == 3

    history = fit(
        model, *train, *val, solver=CROSS, settings=Settings(10, 16), rng=0,
        callbacks=[stop_at_three, lambda epoch: also.append(epoch.number)],
    )  # fmt: skip
    assert [epoch.number for epoch in heard] == also == [1, 2, 3]
    assert len(history) == 3
    assert [epoch.loss for epoch in heard] == history.loss
    assert heard[0].epochs == 10
    assert heard[-1].metrics["val_accuracy"] == history.metrics["val_accuracy"][-1]
    assert heard[-1].model[0] is model[0]
    whole = network()
    fit(whole, *train, solver=CROSS, settings=Settings(3, 16), rng=0)
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), weights(whole), strict=True))


def test_an_error_in_a_callback_is_not_swallowed() -> None:
    train, _, _ = iris_parts()

    def fail(epoch: Epoch) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fit(network(), *train, solver=CROSS, settings=Settings(2, 16), callbacks=[fail])


def test_the_bar_is_shown_on_standard_error_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    train, _, val = iris_parts()
    fit(network(), *train, *val, solver=CROSS, settings=Settings(2, 16), rng=0)
    assert capsys.readouterr() == ("", "")
    model, plain = network(), network()
    fit(model, *train, *val, solver=CROSS, settings=Settings(2, 16), rng=0, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/2" in err
    assert "val_loss" in err
    fit(plain, *train, solver=CROSS, settings=Settings(2, 16), rng=0)
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), weights(plain), strict=True))


def test_a_loss_that_becomes_infinite_stops_the_training_with_the_last_weights() -> None:
    model, x = [Layer(1, 1, rng=0)], np.array([[3.0], [4.0]])
    with pytest.raises(FloatingPointError, match="diverged"):
        fit(model, x, x, solver=Solver("mse", "sgd", 1e3), settings=Settings(500, 1), rng=0)
    assert np.isfinite(model[0].W.data).all()


def test_the_model_is_an_ordinary_list_that_can_be_copied_and_extended() -> None:
    model = [*network()[:1], *copy.deepcopy(network()[1:])]
    train, _, _ = iris_parts()
    fit(model, *train, solver=CROSS, settings=Settings(1, 16), rng=0)
    np.testing.assert_allclose(
        Predict(tuple(model), train.x),
        manual.forward([la.W.data for la in model], [la.b.data for la in model], ["relu", "softmax"], train.x).a[-1],
        rtol=1e-13,
    )


# ---- a loss that grows


def steep(rows: int = 8) -> tuple[Any, Any]:
    x = np.linspace(-3.0, 3.0, rows)[:, None]
    return x, 2 * x


@pytest.mark.parametrize(
    ("arguments", "when"),
    [
        ({}, r"the loss grew from \d+(\.\d+)? to \S+ in epoch \d"),
        ({"gradients": "manual"}, "grew"),
        ({"compile": "numpy"}, "grew"),
        ({"model": "batches"}, "grew"),
        ({"model": "module"}, "grew"),
    ],
)
def test_a_loss_that_has_grown_a_million_times_ends_the_training(arguments: dict[str, Any], when: str) -> None:
    x, y = steep()
    solver, settings = Solver("mse", "sgd", 0.6), Settings(200, 8)
    kind, options = arguments.get("model"), {key: value for key, value in arguments.items() if key != "model"}
    model: Any = Linear(1, 1, rng=0) if kind == "module" else [Layer(1, 1, rng=0)]
    epochs: list[Any] = []
    data = ([(x, y)],) if kind == "batches" else (x, y)
    with pytest.raises(FloatingPointError, match=when + ".*: the training diverged. Lower learning_rate=0.6, or scale"):
        fit(model, *data, solver=solver, settings=settings, callbacks=[epochs.append], rng=0, **options)
    assert 0 < len(epochs) < 60
    assert epochs[-1].loss <= 1e6 * max(1.0, epochs[0].loss)


@pytest.mark.parametrize("gradients", ["graph", "manual"])
@pytest.mark.parametrize("compile", [False, "numpy"])
def test_the_calls_of_train_nn_end_where_the_loss_has_grown(gradients: str, compile: Any) -> None:
    if gradients == "manual" and compile:
        return
    x, y = steep()
    model, solver = [Layer(1, 1, rng=0)], Solver("mse", "sgd", 0.6)

    def loop() -> None:
        for _ in range(60):
            TrainNN(model, x, y, solver=solver, gradients=gradients, compile=compile)

    with pytest.raises(FloatingPointError, match=r"the loss grew from \S+ to \S+: the training diverged. Lower"):
        loop()
    before = model[0].W.data.copy()
    TrainNN(model, x, y, solver=solver, gradients=gradients, compile=compile)  # another start
    assert (model[0].W.data != before).any()


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("start", [0.0, 2.0])
def test_a_training_from_a_perfect_start_or_on_large_numbers_goes_on(scale: float, start: float) -> None:
    x, y = steep(64)
    model = [Layer(1, 1, rng=0)]
    model[0].W = np.array([[start * scale]])
    history = fit(model, x, y * scale, solver=Solver("mse", "adam", 0.01), settings=Settings(20, 1), rng=0)
    assert len(history) == 20


def test_rows_of_zeros_before_large_ones_are_no_growth() -> None:
    x, y = np.ones((40, 1)), np.zeros((40, 1))
    y[30:] = 1e6
    fit([Layer(1, 1, rng=0)], x, y, solver=Solver("mse", "sgd", 0.01), settings=Settings(3, 1), rng=0)


def test_numbers_of_a_history_that_would_touch_are_short() -> None:
    shown = str(History([0.5, 1e300, -2e7], [123456.7, 3.0, 1e5]))
    assert [line.split()[1:] for line in shown.splitlines()[1:]] == [
        ["0.5000", "1.235e+05"], ["1.00e+300", "3.0000"], ["-2.00e+07", "1.000e+05"]
    ]  # fmt: skip


@pytest.mark.parametrize("sized", [True, False])
def test_in_a_long_epoch_the_bar_moves_by_batches(
    sized: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tinygrad_nn.solver import progress_bar

    class Told(progress_bar._Bar):
        def __init__(self, bar: Any, epochs: int, done: int) -> None:
            super().__init__(bar, epochs, done)
            told.append(self)
            self.seen: list[tuple[float, str]] = []
            bar.update = lambda task, completed, description: self.seen.append((completed, description))

    told: list[Any] = []
    monkeypatch.setattr(progress_bar, "_Bar", Told)
    x, y = np.ones((8, 1)), np.ones((8, 1))
    data = data_loader(x, y, 2) if sized else Unsized([(x[k : k + 2], y[k : k + 2]) for k in range(0, 8, 2)])
    for long in (2.0, 0.0):
        monkeypatch.setattr(progress_bar, "LONG", long)
        fit([Layer(1, 1, rng=0)], data, solver=Solver("mse"), settings=Settings(2), progress=True)
    quick, slow = (one.seen for one in told)
    assert [completed for completed, _ in quick] == [1, 2]  # by epochs
    if sized:
        assert [completed for completed, _ in slow] == [0.25, 0.5, 0.75, 1, 1, 1.25, 1.5, 1.75, 2, 2]
        assert [text.partition("batch ")[2] for _, text in slow[5:8]] == ["1 of 4", "2 of 4", "3 of 4"]
    else:
        assert [text.partition("batch ")[2] for _, text in slow[:4]] == ["1", "2", "3", "4"]


class Unsized:
    """Batches that do not say how many they are."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)
