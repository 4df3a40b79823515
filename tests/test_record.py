"""`Record` stores chosen steps of a training exactly, does not change the training, and can be read from its file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import (
    BackProp,
    EarlyStopping,
    FeedForward,
    Layer,
    Regularization,
    Settings,
    Solver,
    Tensor,
    TrainNN,
    data_loader,
    fit,
    nn,
)  # fmt: skip
from tinygrad_nn.files.safetensors import seal
from tinygrad_nn.viz import Record
from tinygrad_nn.viz.training.probe import GRID

Array = np.ndarray[Any, Any]
SOLVER = Solver("binarycrossentropy", "adam", 0.05)


def data() -> tuple[Array, Array]:
    x = np.random.default_rng(0).normal(size=(60, 2))
    return x, (x[:, :1] * x[:, 1:] > 0).astype(float)


def layers() -> list[Any]:
    return [Layer(2, 8, "tanh", rng=0), Layer(8, 1, "sigmoid", rng=1)]


class Noisy(nn.Module):
    """A module that draws in use too: from its own generator, and from the one that all of NumPy shares."""

    def __init__(self) -> None:
        self.source = np.random.default_rng(5)

    def forward(self, x: Any) -> Any:
        return x + 0.01 * self.source.normal() + 0.01 * np.random.normal()  # noqa: NPY002


def module(*more: Any) -> nn.Module:
    first, last = nn.Linear(2, 8, rng=0), Layer(8, 1, "sigmoid", rng=1)
    return nn.Sequential(first, nn.BatchNorm(8), *more, np.tanh, nn.Dropout(0.2), last)


def params() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"hidden": {"W": rng.normal(size=(2, 8)), "b": np.zeros(8)}, "out": rng.normal(size=(8, 1))}


def loss_of(p: Any, x: Any, y: Any) -> Any:
    return ((np.tanh(x @ p["hidden"]["W"] + p["hidden"]["b"]) @ p["out"] - y) ** 2).mean()


def state(model: Any) -> list[Array]:
    if isinstance(model, dict):
        return [model["hidden"]["W"], model["hidden"]["b"], model["out"]]
    if isinstance(model, list):
        return [a for part in model for a in part.state_dict().values()]
    return list(model.state_dict().values())


DROPS = Solver("binarycrossentropy", "sgd", 0.1, regularization=Regularization(dropout=0.2))
TRAININGS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "layers": (layers, {}),
    "layers by hand": (layers, {"gradients": "manual"}),
    "layers with dropout": (layers, {"solver": DROPS}),
    "layers compiled": (layers, {"compile": "numpy", "solver": DROPS}),
    "layers as machine code": (layers, {"compile": "numba"}),
    "a module": (module, {}),
    "a module that draws": (lambda: module(Noisy()), {}),
    "a module compiled": (module, {"compile": "numpy"}),
    "accumulated": (module, {"settings": Settings(4, 8, accumulate=3)}),
    "clipped": (layers, {"solver": Solver("binarycrossentropy", "adam", 0.05, clip_norm=0.1)}),
    "a line search": (layers, {"solver": Solver("binarycrossentropy", "lbfgs", 0.5), "settings": Settings(4, 60)}),
    "a function": (params, {"solver": Solver(optimizer="adam", learning_rate=0.01)}),
}


def train(model: Any, callbacks: list[Any], **options: Any) -> Any:
    x, y = data()
    np.random.seed(3)  # noqa: NPY002
    if isinstance(model, dict):
        options["params"], model = model, loss_of
    return fit(model, x, y, rng=1, callbacks=callbacks, **{"solver": SOLVER, "settings": Settings(4, 16), **options})


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_has_the_same_bits_with_and_without(name: str) -> None:
    make, options = TRAININGS[name]
    plain, watched = make(), make()
    record = Record(1)
    history = [train(plain, [], **options), train(watched, [record], **options)]
    assert history[0] == history[1]
    assert all(np.array_equal(a, b) for a, b in zip(state(plain), state(watched), strict=True))
    updates = 4 * -(-60 // (24 if name == "accumulated" else 60 if name == "a line search" else 16))
    assert record.steps == [*range(updates + 1)]
    assert record.notes == []
    assert record[0].gradients == {}
    assert record[0].loss is None
    last = record[updates]
    assert set(last.weights) == set(last.gradients)
    assert last.loss is not None
    assert all(last.gradients[n].shape == w.shape for n, w in last.weights.items())
    assert [row["loss"] for row in record.epochs] == history[0].loss
    trained = [w for w in state(watched) if any(np.array_equal(w, v) for v in last.weights.values())]
    assert len(trained) == len(last.weights)


@pytest.mark.parametrize("how", [{}, {"compile": "numpy"}, {"gradients": "manual"}])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_are_those_of_the_update_and_weights_are_those_after_it(how: dict[str, Any], dropout: float) -> None:
    """Plain descent tells: W after = W before - rate · gradient, to the rounding of one product and one difference."""
    record, rate = Record(1), 0.1
    solver = Solver("binarycrossentropy", "sgd", rate, regularization=Regularization("l2", 0.01, dropout=dropout))
    train(layers(), [record], solver=solver, **how)
    for before, after in zip([*record][:-1], [*record][1:], strict=True):
        for name, w in after.weights.items():
            expected = before.weights[name] - rate * after.gradients[name]
            np.testing.assert_allclose(w, expected, rtol=0, atol=8 * np.finfo(float).eps * np.abs(expected).max())


def test_activations_and_the_plane_are_those_of_the_weights_beside_them() -> None:
    record, model = Record([0, 3, 7], samples=[5, 0]), layers()
    train(model, [record])
    x, _ = data()
    assert record.steps == [0, 3, 7]
    assert record.probe is not None
    assert record.probe.columns == (0, 1)
    points = record.probe.plane()
    assert points.shape == (GRID**2, 2)
    assert points[0].tolist() < x.min(axis=0).tolist() < points[-1].tolist()
    for moment in record:
        for k, layer in enumerate(model, start=1):
            layer.W, layer.b = moment.weights[f"layer {k} W"], moment.weights[f"layer {k} b"]
        a = FeedForward(model, x[[5, 0]]).a
        assert [*moment.activations] == ["1 Layer(2, 8, tanh)", "2 Layer(8, 1, sigmoid)"]
        assert all(np.array_equal(*pair) for pair in zip(moment.activations.values(), a, strict=True))
        assert moment.scores is not None
        assert np.array_equal(moment.scores, FeedForward(model, points).a[-1].astype(np.float32))


def test_a_module_is_recorded_in_eval_mode() -> None:
    record, model = Record([0]), module()
    train(model, [record], settings=Settings(1, 60))
    names = [*record[0].activations]
    assert [name.split("(")[0] for name in names] == ["0 Linear", "1 BatchNorm", "2 tanh", "3 Dropout", "4 Layer"]
    kept = record[0].activations
    assert np.array_equal(kept[names[2]], kept[names[3]])  # nothing was dropped
    assert model.training is False or model.training is True


def loop_of_train_nn(record: Record, model: Any, **how: Any) -> None:
    x, y = data()
    record.add(model)
    for k in range(6):
        record.add(model, TrainNN(model, x[8 * k :][:8], y[8 * k :][:8], solver=SOLVER, **how))


@pytest.mark.parametrize("how", [{}, {"compile": "numpy"}, {"gradients": "manual"}])
def test_loops_of_train_nn_are_recorded(how: dict[str, Any]) -> None:
    x, y = data()
    record, model = Record(2, x=x, y=y), layers()
    start = layers()
    loop_of_train_nn(record, model, **how)
    assert record.steps == [0, 2, 4, 6]
    assert np.array_equal(record[0].weights["layer 1 W"], start[0].W.data)
    assert np.array_equal(record[6].weights["layer 2 b"], model[1].b.data)
    TrainNN(start, x[:8], y[:8], solver=SOLVER, **how)
    gradients = BackProp(start, FeedForward(start, x[8:16]), y[8:16], solver=SOLVER)
    np.testing.assert_allclose(record[2].gradients["layer 1 W"], gradients.dW[0], rtol=0, atol=1e-14)  # of order 0.1
    assert record[2].loss == pytest.approx(gradients.loss, rel=1e-12)
    assert record[6].scores is not None
    assert len(record[6].activations) == 2


def test_a_list_with_modules_in_it_has_the_names_of_its_training_in_a_loop_too() -> None:
    make = lambda: [Layer(2, 3, "tanh", rng=0), nn.LayerNorm(3), Layer(3, 1, "sigmoid", rng=1)]
    by_fit, by_hand = Record(1), Record(1)
    train(make(), [by_fit])
    loop_of_train_nn(by_hand, make())
    for kind in ("weights", "gradients"):
        names = [list(getattr(record[1], kind)) for record in (by_fit, by_hand)]
        assert sorted(names[0]) == sorted(names[1])


def test_a_loop_with_backward_is_recorded() -> None:
    w, record = Tensor(np.ones(2), name="w"), Record(1)
    loss = (w * w).sum()
    loss.backward()
    record.add({"w": w}, loss)
    assert record.steps == [1]
    assert record[1].loss == 2.0
    assert record[1].gradients["w"].tolist() == [2.0, 2.0]


def test_steps_by_doublings_are_few_and_all_of_the_first() -> None:
    choice = Record("log")
    kept = [n for n in range(100_001) if choice.due(n)]
    assert kept[:9] == [*range(9)]
    counts = [sum(2**k <= n < 2 ** (k + 1) for n in kept) for k in range(4, 16)]
    assert set(counts) == {8}


def test_the_first_and_the_last_step_are_kept_whatever_the_spacing() -> None:
    record = Record(7)
    train(layers(), [record])  # 16 updates
    assert record.steps == [0, 7, 14, 16]
    assert record[16].gradients
    stopped = Record(1000)
    train(layers(), [stopped, lambda epoch: epoch.number == 2])
    assert stopped.steps == [0, 8]
    assert not stopped[8].gradients
    assert stopped[8].weights
    listed = Record([2])
    train(layers(), [listed])
    assert listed.steps == [2]


def test_early_stopping_and_resuming_are_recorded(tmp_path: Path) -> None:
    x, y = data()
    record = Record(1)
    train(layers(), [record], x_val=x, y_val=y, early_stopping=EarlyStopping(patience=1), settings=Settings(3, 16))
    assert record.steps == [*range(13)]
    stop = lambda epoch: epoch.number == 2
    train(layers(), [Record(5), stop], checkpoint=tmp_path / "run")
    again, model = Record(3), layers()
    train(model, [again], checkpoint=tmp_path / "run", resume=True)
    assert again.steps[-1] == 8  # it had ended
    whole, plain = Record(1), layers()
    train(plain, [whole])
    assert np.array_equal(whole[8].weights["layer 1 W"], again[8].weights["layer 1 W"])


def test_batches_of_ones_own_are_not_drawn_once_more() -> None:
    x, y = data()
    ends = []
    for callbacks in ([], [Record(1)]):
        model = layers()
        fit(model, data_loader(x, y, 16, rng=4), solver=SOLVER, settings=Settings(3), rng=0, callbacks=callbacks)
        ends.append(state(model))
    assert all(np.array_equal(*pair) for pair in zip(*ends, strict=True))


def test_memory_is_bounded_and_it_is_said() -> None:
    record = Record(1, megabytes=0.2)
    train(layers(), [record], settings=Settings(20, 8))
    assert record.nbytes <= 0.2e6
    spaces = set(np.diff(record.steps[:-1]).tolist())
    assert len(spaces) == 1
    assert (spaces & {2, 4, 8, 16, 32})
    assert record.steps[0] == 0
    assert record.steps[-1] == 160
    [note] = record.notes
    assert note.startswith(f"the steps that {spaces.pop()} divides")
    assert "0.2 MB" in note
    log = Record("log", megabytes=0.2)
    train(layers(), [log], settings=Settings(20, 8))
    assert log.nbytes <= 0.2e6
    assert log.steps[0] == 0
    assert log.steps[-1] == 160
    assert len(log.notes) == 1
    train(layers(), [record], settings=Settings(1, 60))
    assert record.steps == [0, 1]
    assert record.notes == []


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Record("every"), r"write 'log', a number N"),
    (lambda: Record(0), "at least 1"),
    (lambda: Record(1.5), "write 'log'"),
    (lambda: Record([]), "a list holds numbers of steps"),
    (lambda: Record([1, -1]), "a list holds numbers of steps"),
    (lambda: Record(megabytes=0), "above 0"),
    (lambda: Record(every=10), r"Record\(10\)"),
    (lambda: train(layers(), [Record(1, megabytes=0.001)]), r"Write Record\(\.\.\., megabytes=1\)"),
    (lambda: train(layers(), [Record([*range(100)], megabytes=0.5)]), "the 100 steps of the list"),
    (lambda: train(layers(), [Record(samples=[60])]), "rows 0 to 59"),
    (lambda: train(layers(), [Record(columns=(0, 2))]), "two columns of x"),
    (lambda: Record(1)[3], "none yet"),
])  # fmt: skip
def test_invalid_arguments_raise(make: Callable[[], Any], said: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError), match=said):
        make()


def test_a_model_that_fails_on_the_samples_is_trained_nevertheless() -> None:
    class Shy(nn.Module):
        def __init__(self) -> None:
            self.inner = Layer(2, 1, "sigmoid", rng=0)

        def forward(self, x: Any) -> Any:
            if len(x) == 6:
                raise RuntimeError("six rows\x1b[2J")
            return self.inner(x)

    record = Record(1)
    train(Shy(), [record])
    assert len(record) == 17
    assert record.notes == ["no activations: the model raised RuntimeError: six rows\\x1b[2J"]


def test_a_recording_comes_back_from_its_file(tmp_path: Path) -> None:
    record = Record(3, megabytes=5, name="a run", classes=["no", "yes"], features=["é", "b"])
    train(layers(), [record], metrics={"odd": lambda y, p: float("nan")})
    again = Record.load(record.save(tmp_path / "run.safetensors"))
    assert again.steps == record.steps
    assert again.name == "a run"
    assert again.features == ["é", "b"]
    for a, b in zip(record, again, strict=True):
        assert (a.step, a.epoch, a.loss) == (b.step, b.epoch, b.loss)
        for kind in ("weights", "gradients", "activations"):
            left, right = getattr(a, kind), getattr(b, kind)
            assert list(left) == list(right)
            assert all(np.array_equal(left[n], right[n]) and left[n].dtype == right[n].dtype for n in left)
        assert np.array_equal(a.scores, b.scores)
    assert again.probe is not None
    assert np.array_equal(again.probe.plane(), record.probe.plane())
    assert [row["loss"] for row in again.epochs] == [row["loss"] for row in record.epochs]
    assert np.isnan(again.epochs[0]["odd"])
    assert again.save(tmp_path / "b.safetensors").read_bytes() == (tmp_path / "run.safetensors").read_bytes()


def test_complex_weights_come_back_too(tmp_path: Path) -> None:
    record = Record(1)
    record.add({"w": np.array([1 + 2j, 3j]), "v": np.ones((2, 1), np.float32)})
    again = Record.load(record.save(tmp_path / "run.safetensors"))
    assert again[0].weights["w"].tolist() == [1 + 2j, 3j]
    assert again[0].weights["v"].dtype == np.float32


@pytest.mark.parametrize("about", [
    "[]", "{}", '{"moments": [[0, 0]]}', json.dumps({"moments": [[0, 0, 1.0]], "kept": {"odd/x": [0]}}),
    json.dumps({"moments": [[0, 0, 1.0]], "kept": {"weights/x": [7]}, "complex": [], "megabytes": 1, "name": "",
                "classes": None, "features": None}),
])  # fmt: skip
def test_a_file_of_something_else_is_refused(about: str, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    path.write_bytes(seal("recording", {"weights/x": np.ones((1, 2)), "odd/x": np.ones((1, 2))}, about).content)
    with pytest.raises(ValueError, match=r"run\.safetensors holds"):
        Record.load(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="cut off"):
        Record.load(path)


def test_a_loaded_recording_keeps_the_order_of_the_layers(tmp_path: Path) -> None:
    record = Record(1)
    record.add({f"{part}{k + 1}": np.ones(2) for k in range(11) for part in "Wb"})
    names = list(record[0].weights)
    assert list(Record.load(record.save(tmp_path / "run.safetensors"))[0].weights) == names
    assert names[-2:] == ["W11", "b11"]
