"""The numbers of a training against definitions written here: losses, rates, groups, rows at a time, modes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import History, Layer, Predict, Settings, Solver, TrainNN, fit, optim
from tinygrad_nn.files.safetensors import seal, unseal
from tinygrad_nn.nn import BatchNorm1d, Dropout, Linear, Module, Sequential, activation
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.solver import EarlyStopping
from tinygrad_nn.solver.arguments import accuracy, label_accuracy, prepare_training
from tinygrad_nn.solver.batches import Rows
from tinygrad_nn.solver.settings import Regularization

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(10, 3)), RNG.uniform(0.2, 0.8, size=(10, 2))
TINY = 1e-300  # a learning rate that changes nothing


class Seen(Module):
    """Notes the number of rows and the mode of each call."""

    def __init__(self, *parts: Any) -> None:
        self.inner, self._calls = Sequential(*parts), []

    def forward(self, x: Any) -> Any:
        self._calls.append((len(x), self.training))
        return self.inner(x)


@pytest.mark.parametrize("loss", ["mse", "mae", "rmse", "binarycrossentropy"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "linear"])
def test_the_loss_of_an_epoch_and_of_the_validation_is_that_of_the_prediction(loss: str, activation: str) -> None:
    if loss == "binarycrossentropy" and activation != "sigmoid":
        return
    definitions = {
        "mse": lambda y, p: ((y - p) ** 2).sum() / len(y), "mae": lambda y, p: abs(y - p).sum() / len(y),
        "rmse": lambda y, p: np.sqrt(((y - p) ** 2).sum() / len(y)),
        "binarycrossentropy": lambda y, p: -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum() / len(y),
    }  # fmt: skip
    model = [Layer(3, 2, activation, rng=0)]
    wanted = [definitions[loss](Y[rows], Predict(model, X[rows])) for rows in (slice(None), slice(3))]
    solver = Solver(loss, "sgd", TINY, Regularization("l2", 0.5, dropout=0.3))  # neither is part of it
    history = fit(model, X, Y, X[:3], Y[:3], solver=solver, settings=Settings(1, 4), rng=0)
    assert np.allclose([history.loss[0], history.val_loss[0]], wanted, rtol=1e-12)
    assert np.isclose(TrainNN(model, X, Y, X[:3], Y[:3], solver=solver).val_loss or 0.0, wanted[1], rtol=1e-12)


def test_a_plateau_looks_at_the_validation_and_without_one_at_the_training() -> None:
    seen: list[float] = []

    class Watching(optim.Plateau):
        def update(self, state: Any, metric: float) -> Any:
            seen.append(metric)
            return super().update(state, metric)

    for validation in (True, False):
        seen.clear()
        more = {"x_val": X[:3], "y_val": Y[:3]} if validation else {}
        history = fit([Layer(3, 2, rng=0)], X, Y, **more, solver=Solver("mse", "sgd", 0.1, schedule=Watching()),
                      settings=Settings(3, 4), rng=0)  # fmt: skip
        assert seen == (history.val_loss if validation else history.loss)


def test_a_plateau_lowers_the_rate_of_the_next_epoch() -> None:
    model = [Layer(3, 2, rng=0)]
    solver = Solver("mse", "sgd", 0.1, schedule=optim.Plateau(patience=0, factor=0.5, threshold=10.0))
    before = [model[0].W.data]  # with this threshold no epoch after the first is better
    fit(model, X, Y, solver=solver, settings=Settings(3, 10), rng=0,
        callbacks=[lambda epoch: before.append(model[0].W.data)])  # fmt: skip
    twin = [Layer(3, 2, rng=0)]
    for epoch, eta in enumerate((0.1, 0.1, 0.05)):
        order = np.random.default_rng(0)
        rows = [order.permutation(10) for _ in range(epoch + 1)][-1]
        TrainNN(twin, X[rows], Y[rows], solver=Solver("mse", "sgd", eta))
        assert twin[0].W.data.tobytes() == before[epoch + 1].tobytes()


def test_a_group_without_a_rate_has_that_of_the_solver() -> None:
    model = Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=1))
    start = [p.data.copy() for p in model.parameters()]
    solver = Solver("mse", "sgd", 0.25, groups={"0.*": {"optimizer": "momentum"}, "1.bias": {"learning_rate": 0.5}})
    found = TrainNN(model, X, Y, solver=solver)
    for (name, p), w in zip(model.named_parameters(), start, strict=True):
        g = {**found.dW, **found.db}[name]
        assert np.allclose(w - p.data, (0.5 if name == "1.bias" else 0.25) * g, rtol=1e-12), name
    assert solver.group("0.*", {})[1] == 0.25


@pytest.mark.parametrize("rows", [255, 256, 257, 300, 512, 513])
def test_a_module_sees_at_most_256_rows_of_a_prediction_at_a_time(rows: int) -> None:
    x = np.linspace(-1, 1, 3 * rows).reshape(rows, 3)
    model = Seen(Linear(3, 2, rng=0))
    found = Predict(model, x)
    assert [count for count, _ in model._calls] == [256] * (rows // 256) + [rows % 256] * (rows % 256 > 0)
    assert found.shape == (rows, 2)
    assert np.allclose(found, x @ model.inner[0].weight.data.T + model.inner[0].bias.data)


def test_rows_in_memory_are_evaluated_at_once_and_mapped_ones_some_at_a_time(tmp_path: Path) -> None:
    x, y = np.ones((10, 3)), np.arange(10.0)[:, None]
    assert [rows for _, _, rows in Rows(x, y, 3).in_order(4)] == [10]
    mapped = np.memmap(tmp_path / "x", dtype=float, mode="w+", shape=(10, 3))
    pieces = list(Rows(mapped, y, 3).in_order(4))
    assert [rows for _, _, rows in pieces] == [4, 4, 2]
    assert np.concatenate([part for _, part, _ in pieces]).tobytes() == y.tobytes()


def test_each_part_goes_back_to_the_mode_that_it_had() -> None:
    model = Sequential(Linear(3, 4, rng=0), BatchNorm1d(4), Dropout(0.5), Linear(4, 2, rng=1))
    for modes in ((True, True, True, True), (True, False, True, False), (False, False, False, False)):
        for part, mode in zip(model, modes, strict=True):
            part.training = mode
        solver = Solver("mse", "sgd", TINY)
        for use in (lambda: Predict(model, X), lambda s=solver: TrainNN(model, X, Y, solver=s),
                    lambda s=solver: fit(model, X, Y, X, Y, solver=s, settings=Settings(1, 5))):  # fmt: skip
            use()
            assert tuple(part.training for part in model) == modes


def test_a_training_trains_and_evaluates_at_rest() -> None:
    model = Seen(Linear(3, 2, rng=0), Dropout(0.5))
    model.eval()
    fit(model, X, Y, X[:2], Y[:2], solver=Solver("mse", "sgd", TINY), settings=Settings(1, 5), rng=0, metrics={})
    # at rest once before the first step: what the loss has grown from is measured there
    assert model._calls == [(10, False), (5, True), (5, True), (10, False), (2, False)]
    assert not model.training


@pytest.mark.parametrize(
    ("y", "prediction", "wanted"),
    [
        ([[1, 0], [1, 1]], [[0.9, 0.8], [0.9, 0.9]], 3 / 4),  # independent labels: one row that sums to one is chance
        ([[1, 0], [0, 1]], [[0.4, 0.3], [0.4, 0.3]], 1 / 2),  # classes: the largest counts, below 1/2 too
        ([[0], [1]], [[0.5], [0.5]], 1 / 2),  # a half is a yes
        ([[1], [1]], [[0.4], [0.6]], 1 / 2),  # a single column is no class, although each row sums to one
    ],
)
def test_accuracy_of_classes_and_of_labels(y: Any, prediction: Any, wanted: float) -> None:
    assert accuracy(np.array(y, float), np.array(prediction)) == wanted


def test_the_classes_of_a_sequence_are_along_the_second_axis() -> None:
    prediction = np.zeros((2, 3, 4))  # (batch, classes, places)
    labels = RNG.integers(0, 3, (2, 4))
    for n, place in np.ndindex(2, 4):
        prediction[n, labels[n, place], place] = 1.0
    assert label_accuracy(labels, prediction) == 1.0
    labels[1, 2] = (labels[1, 2] + 1) % 3
    assert label_accuracy(labels, prediction) == 7 / 8


@pytest.mark.parametrize("rows", [(4, 5), (5, 4)])
def test_neither_side_has_rows_without_a_partner(rows: tuple[int, int]) -> None:
    x, y = np.ones((rows[0], 3)), np.ones((rows[1], 2))
    for model in (Linear(3, 2), [Layer(3, 2)]):
        with pytest.raises(ValueError, match=f"{rows[0]} rows and y (has )?{rows[1]} "):
            fit(model, x, y, solver=Solver("mse"), settings=Settings(1))
        with pytest.raises(ValueError, match=f"x_val has {rows[0]} rows and y_val (has )?{rows[1]} "):
            fit(model, X, Y, x, y, solver=Solver("mse"), settings=Settings(1))


def test_the_first_number_that_is_none_in_a_mapped_file_is_named(tmp_path: Path) -> None:
    x = np.memmap(tmp_path / "x", dtype=float, mode="w+", shape=(9, 3))
    x[[4, 7], 1] = np.nan, np.inf
    order = list(np.random.default_rng(0).permutation(9))
    first = min((4, 7), key=order.index)
    with pytest.raises(ValueError, match=f"row {first} of the mapped data holds {x[first, 1]};"):
        fit(Linear(3, 1), x, np.ones((9, 1)), solver=Solver("mse"), settings=Settings(1, 9), rng=0)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_batches_of_unequal_size_count_by_their_rows(accumulate: int) -> None:
    parts = [slice(0, 1), slice(1, 3), slice(3, 10)]
    batches, found = [(X[part], Y[part]) for part in parts], []
    for data in (batches, [(X, Y)]):
        model = Linear(3, 2, rng=0)
        more = accumulate if data is batches else 1
        rate = 0.1 if accumulate > 1 else TINY
        history = fit(model, data, solver=Solver("mse", "sgd", rate), settings=Settings(1, accumulate=more), rng=0)
        found.append([history.loss[0], *model.weight.data.ravel()])
    assert np.allclose(*found, rtol=1e-12)


def test_updates_of_a_line_search_count_too() -> None:
    asked: list[int] = []

    def schedule(step: int, base: float) -> float:
        asked.append(step)
        return base

    fit(Linear(3, 2, rng=0), X, Y, settings=Settings(2, 4), rng=0,
        solver=Solver("mse", optim.lbfgs(max_iter=1), 0.1, schedule=schedule, schedule_by="step"))  # fmt: skip
    assert asked == list(range(6))


def test_targets_that_almost_sum_to_one_are_another_step_than_those_that_do() -> None:
    y = np.eye(2)[[0, 1] * 5]
    almost = y * (1 - 1e-6)
    solver, found = Solver("crossentropy", "sgd", 0.5), []
    for compiled in (False, "numpy"):
        model = [Layer(3, 2, "softmax", rng=0)]
        for targets in (y, almost, y):
            TrainNN(model, X, targets, solver=solver, compile=compiled)
        found.append(model[0].W.data.tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("compiled", [False, "numpy"])
def test_a_layer_may_be_given_another_activation(compiled: Any) -> None:
    solver, found = Solver("mse", "sgd", 0.5), []
    for first in ("relu", "tanh"):
        model = [Layer(3, 2, first, rng=0)]
        model[0].W, model[0].b = X[:2], np.zeros(2)
        TrainNN(model, X, Y, solver=Solver("mse", "sgd", TINY), compile=compiled)
        TrainNN(model, X, Y, solver=solver, compile=compiled)
        model[0].W, model[0].b = X[:2], np.zeros(2)
        model[0].act = activation("tanh")
        found.append(TrainNN(model, X, Y, solver=solver, compile=compiled))
    assert found[0].loss == found[1].loss
    assert found[0].dW[0].tobytes() == found[1].dW[0].tobytes()


def test_the_cross_entropy_of_an_architecture_is_exact_for_any_z() -> None:
    model = Sequential(Linear(3, 3, rng=0), Layer(3, 2, "softmax", rng=0))
    model[1].W = np.array([[1e4, 0.0, 0.0], [-1e4, 0.0, 0.0]])
    y = np.eye(2)[np.zeros(10, int)]
    z = Predict(model[0], X)[:, :1] * [1e4, -1e4]
    wanted = (np.logaddexp(z[:, 0], z[:, 1]) - z[:, 0]).mean()
    assert wanted > 1000
    found = TrainNN(model, X, y, solver=Solver("crossentropy", "sgd", TINY))
    assert np.isclose(found.loss, wanted, rtol=1e-12)
    assert all(np.isfinite(g).all() for g in found.dW.values())


def test_rows_of_targets_sum_to_one_within_rounding() -> None:
    y = np.eye(2)[[0, 1] * 5]
    model, solver = [Layer(3, 2, "softmax", rng=0)], Solver("crossentropy")
    TrainNN(model, X, y * (1 - 5e-6), solver=solver)
    with pytest.raises(ValueError, match=r"row 0 of data_out is .*, which sums to 0\.99995"):
        TrainNN(model, X, y * (1 - 5e-5), solver=solver)


def test_class_weights_keep_float32() -> None:
    model, labels = Linear(3, 2, rng=0, dtype=np.float32), np.array([0, 1] * 5)
    task, data, _ = prepare_training(
        "fit", model, X, labels, None, None, Solver(cross_entropy), 5, class_weight="balanced"
    )
    x, y, _ = next(data.batches(np.random.default_rng(0)))
    with task.training(np.random.default_rng(0)):
        assert task.recorded(*task.batch(x, y, np.random.default_rng(0))).dtype == np.float32


@pytest.mark.parametrize("y", [np.eye(2)[[0, 1] * 5], {"of": np.array([0, 1] * 5)}], ids=["one-hot", "nested"])
def test_class_weights_without_labels_are_refused(y: Any) -> None:
    with pytest.raises(ValueError, match="class_weight works with the loss 'crossentropy', and with losses of labels"):
        fit(Linear(3, 2, rng=0), X, y, solver=Solver(cross_entropy), settings=Settings(1, 5), class_weight="balanced")


def test_a_loss_of_zero_is_part_of_the_history() -> None:
    history = History()
    history.add(0.5, 0.0, {"m": 0.0})
    assert history == History([0.5], [0.0], {"m": [0.0]})


def test_patience_goes_on_where_it_was(tmp_path: Path) -> None:
    def train(folder: Path | None, epochs: int) -> Any:
        model = [Layer(3, 2, rng=0)]
        history = fit(model, X, Y, solver=Solver("mse", "sgd", 0.1), settings=Settings(epochs, 4), rng=0,
                      early_stopping=EarlyStopping(4, 1e9, "loss"), checkpoint=folder, resume=True)  # fmt: skip
        return len(history), model[0].W.data.tobytes()

    for epochs in (1, 2, 3, 4, 5, 9):  # the first is the best, and four more are no better
        assert train(tmp_path, epochs) == train(None, epochs)
    assert train(tmp_path, 9)[0] == 5


@pytest.mark.parametrize(
    "crafted", [["0.5", 0, 0], [None, 1, 0], ["nan", 1, 0], ["0.5", 2, 0], ["0.5", 1, 2], ["0.5", 1]]
)
def test_what_early_stopping_saw_must_hang_together(crafted: Any, tmp_path: Path) -> None:
    def train(epochs: int) -> None:
        fit([Layer(3, 2, rng=0)], X, Y, solver=Solver("mse"), settings=Settings(epochs, 4), rng=0, resume=True,
            early_stopping=EarlyStopping(4, monitor="loss"), checkpoint=tmp_path)  # fmt: skip

    train(1)
    path = tmp_path / "state.safetensors"
    arrays, text, _ = unseal("training state", path)
    path.write_bytes(seal("training state", arrays, json.dumps({**json.loads(text), "stopping": crafted})).content)
    with pytest.raises(ValueError, match="holds no state that a training wrote: stopping is"):
        train(2)


@pytest.mark.parametrize("plateau", [True, False])
def test_what_a_plateau_remembers_must_be_there_if_and_only_if_there_is_one(plateau: bool, tmp_path: Path) -> None:
    solver = Solver("mse", "sgd", 0.1, schedule=optim.Plateau() if plateau else None)

    def train(epochs: int) -> None:
        fit([Layer(3, 2, rng=0)], X, Y, solver=solver, settings=Settings(epochs, 4), rng=0, checkpoint=tmp_path,
            resume=True)  # fmt: skip

    train(1)
    path = tmp_path / "state.safetensors"
    arrays, text, _ = unseal("training state", path)
    changed = {**json.loads(text), "schedule": None if plateau else [0.5, 0, 0, 0]}
    path.write_bytes(seal("training state", arrays, json.dumps(changed)).content)
    with pytest.raises(ValueError, match="holds no state that a training wrote: schedule is"):
        train(2)


@pytest.mark.parametrize(
    ("values", "mode", "delta", "patience", "epochs", "best"),
    [
        ([3, 2, 1, 1, 1, 1], "min", 0.0, 2, 5, 3),  # as good is no better
        ([3, 2.5, 2, 1.5, 1, 0.5], "min", 0.5, 2, 6, 5),  # better by delta itself is no better: 2, 1 count
        ([1, 2, 3, 2, 2, 2], "max", 0.0, 3, 6, 3),
        ([1, np.nan, np.nan, np.nan, 0, 0], "min", 0.0, 3, 4, 1),
        ([np.nan, 5, 4, 4, 4, 4], "min", 0.0, 2, 5, 3),
    ],
)
def test_early_stopping_counts_from_the_best_epoch(
    values: list[float], mode: str, delta: float, patience: int, epochs: int, best: int
) -> None:
    series = iter(values)
    model, weights = [Layer(3, 2, rng=0)], []
    history = fit(model, X, Y, solver=Solver("mse", "sgd", 0.1), settings=Settings(6, 5), rng=0,
                  metrics={"m": lambda y, p: next(series)}, callbacks=[lambda e: weights.append(model[0].W.data)],
                  early_stopping=EarlyStopping(patience, delta, "m", mode))  # fmt: skip
    assert len(history) == epochs
    assert model[0].W.data.tobytes() == weights[best - 1].tobytes()


def test_weighted_targets_keep_their_dtype() -> None:
    y = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    _, weighted, _ = next(Rows(X[:3], y, 3, np.array([0.5, 2.0])).batches(np.random.default_rng(0)))
    assert weighted.dtype == np.float32
    assert sorted(weighted.max(axis=1)) == [0.5, 2.0, 2.0]


def test_a_class_may_have_one_row_or_no_weight_but_not_be_balanced_without_rows() -> None:
    y = np.eye(3)[[0, 1, 1, 2, 2]]
    solver = Solver("crossentropy", "sgd", TINY)
    for weight in ("balanced", [0.0, 1.0, 1.0], {0: 0.0}):
        fit([Layer(3, 3, "softmax")], X[:5], y, solver=solver, settings=Settings(1, 5), class_weight=weight)
    with pytest.raises(ValueError, match="class 0 has no rows, so its balanced weight would be infinite"):
        fit([Layer(3, 3, "softmax")], X[1:5], y[1:], solver=solver, settings=Settings(1, 5), class_weight="balanced")


def test_a_history_of_twenty_epochs_is_shown_whole() -> None:
    lines = [str(History([1.0] * epochs)).splitlines() for epochs in (20, 21)]
    assert [len(found) for found in lines] == [21, 22]
    assert "  ..." not in lines[0]
    assert "  ..." in lines[1]


@pytest.mark.parametrize(("old", "new"), [("float", "inf"), ("float", "nan"), ("int", "-1"), ("int", "9" * 30)])
def test_numbers_that_no_optimizer_has_are_refused(old: str, new: str, tmp_path: Path) -> None:
    def train(epochs: int) -> None:
        fit(Linear(3, 2, rng=0), X, Y, solver=Solver("mse", optim.lbfgs(max_iter=2), 0.1), rng=0, resume=True,
            settings=Settings(epochs, 10), checkpoint=tmp_path)  # fmt: skip

    train(1)
    path = tmp_path / "state.safetensors"
    arrays, raw, _ = unseal("training state", path)
    text = json.loads(raw)
    part = next(part for part in text["optimizer"][0][1] if part.get("kind") == old)
    part["number"] = new
    path.write_bytes(seal("training state", arrays, json.dumps(text)).content)
    with pytest.raises(ValueError, match="holds no state that a training wrote: optimizer of all is"):
        train(2)


@pytest.mark.parametrize("model", ["module", "function"])
def test_validation_data_are_arrays_or_batches_and_half_of_them_is_refused(model: str) -> None:
    def train(**more: Any) -> History:
        if model == "module":
            return fit(Linear(3, 2, rng=0), X, Y, solver=Solver("mse"), settings=Settings(1, 5), rng=0, **more)
        function, start = lambda p, x, y: ((x @ p["W"] - y) ** 2).mean(), {"W": np.ones((3, 2))}
        return fit(function, X, Y, params=start, solver=Solver(), settings=Settings(1, 5), rng=0, **more)

    assert train().val_loss == []
    for more in ({"x_val": X[:4], "y_val": Y[:4]}, {"x_val": [(X[:4], Y[:4])]}):
        assert len(train(**more).val_loss) == 1
    assert train(x_val=X[:4], y_val=Y[:4]).val_loss == train(x_val=[(X[:4], Y[:4])]).val_loss
    for more, missing in (({"x_val": X[:4]}, "y_val"), ({"y_val": Y[:4]}, "x_val")):
        with pytest.raises(ValueError, match=f"{missing} is missing; pass both x_val and y_val, or neither"):
            train(**more)


@pytest.mark.parametrize("compile", [False, "numpy"])
def test_a_layer_that_is_given_another_activation_is_trained_with_it(compile: Any) -> None:
    solver, found = Solver("mse", "sgd", 0.1), []
    for first in ("tanh", "sigmoid"):  # whose initial weights are alike
        model = [Layer(3, 4, first, rng=0), Layer(4, 2, rng=1)]
        before = [part.data.copy() for layer in model for part in (layer.W, layer.b)]
        TrainNN(model, X, Y, solver=solver, compile=compile)  # its step is kept for the next call
        for part, array in zip([part for layer in model for part in (layer.W, layer.b)], before, strict=True):
            part.data[...] = array
        model[0].act = activation("sigmoid")
        found.append(TrainNN(model, X, Y, solver=solver, compile=compile).loss)
    assert found[0] == found[1]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("by", ["step", "epoch"])
def test_a_schedule_follows_updates_or_epochs(by: str, accumulate: int) -> None:
    asked: list[int] = []

    def schedule(n: int, rate: float) -> float:
        asked.append(n)
        return rate

    solver = Solver("mse", "sgd", 0.01, schedule=schedule, schedule_by=by)
    fit([Layer(3, 2, rng=0)], X[:8], Y[:8], solver=solver, settings=Settings(2, 2, accumulate=accumulate), rng=0)
    updates = 4 // accumulate
    wanted = list(range(2 * updates)) if by == "step" else [0] * updates + [1] * updates
    assert sorted(set(asked)) == sorted(set(wanted))
    assert [asked.count(n) for n in sorted(set(asked))] == [2 * wanted.count(n) for n in sorted(set(wanted))]
