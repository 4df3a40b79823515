"""Experiments that call the user's layers again: with other sizes, strengths and targets; losses by definition."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.compare_parts import SETTINGS, experiment
from tinygrad_nn.compare import experiment as experiment_module
from tinygrad_nn.compare.experiment import (
    Experiment,
    _random,
    _targets,
    copy_layers,
    own_generator,
    similar_experiments,
    user_experiment,
    users_gradients,
    varied_experiments,
)
from tinygrad_nn.compare.numerical.referee import loss_of

Array = np.ndarray[Any, Any]
NAMES = ["deep", "dropped", "heavy", "yes or no", "probable", "root"]


def sizes(case: Experiment) -> tuple[list[int], int]:
    return [case.model[0].n_in, *(layer.n_out for layer in case.model)], case.rows


@pytest.mark.parametrize("name", NAMES)
def test_experiments_of_the_same_sizes_and_of_others(name: str) -> None:
    start = experiment(SETTINGS[name])
    widths, rows = sizes(start)
    near = similar_experiments(start, np.random.default_rng(0))
    assert [sizes(case) for case in near] == [(widths, rows)] * 2
    assert all(case.solver is start.solver and not case.is_user_batch for case in near)
    assert not np.array_equal(near[0].x, near[1].x)
    found = varied_experiments(start, np.random.default_rng(0))
    wider = [min(n, 4 + k) + 1 + k % 2 for k, n in enumerate(widths)]
    wider[-1] = max(2, wider[-1])
    wanted = [(widths, rows), (widths, 2), (widths, 3), (wider, 5), (widths, 1)]
    assert [s for s in wanted if s in [sizes(case) for case in found]] == [sizes(case) for case in found]
    assert len(found) >= 4
    reg = start.solver.regularization
    for case in found:
        mine = case.solver.regularization
        assert (mine.method, bool(mine.lam), bool(mine.dropout)) == (reg.method, bool(reg.lam), bool(reg.dropout))
        assert 0.2 <= mine.r <= 0.8
        assert not mine.lam or 0.1 <= mine.lam <= 0.6
        assert not mine.dropout or 0.3 <= mine.dropout <= 0.6
        assert case.solver.loss == start.solver.loss
        assert [m is not None for m in case.masks] == [m is not None for m in start.masks]
        assert np.isfinite(case.right.loss)
    same = varied_experiments(start, np.random.default_rng(0), start.solver)
    assert all(case.solver is start.solver for case in same)


@pytest.mark.parametrize(
    ("rows", "times", "large"),
    [(9, 1, False), (64, 1, False), (65, 1, True), (128, 2, False), (129, 2, True), (9, 0.999, True)],
)
def test_a_model_is_large_by_its_weights_and_from_64_rows_on_by_those_too(
    rows: int, times: float, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = experiment(SETTINGS["deep"])
    case = Experiment(start.model, start.x[np.zeros(rows, int)], start.y[np.zeros(rows, int)], [None] * len(start.W),
                      start.solver, is_user_batch=True)  # fmt: skip
    monkeypatch.setattr(experiment_module, "LARGE", times * sum(W.size for W in start.W))
    assert case.is_large is large


def test_of_a_large_model_small_ones_are_made() -> None:
    start = experiment(SETTINGS["deep"])
    many = 4000
    large = Experiment(start.model, np.tile(start.x, (many, 1)), np.tile(start.y, (many, 1)), [None] * len(start.W),
                       start.solver, is_user_batch=True)  # fmt: skip
    assert large.is_large
    assert not start.is_large
    widths = sizes(large)[0]
    small = [min(n, 5 + k) for k, n in enumerate(widths)]
    found = varied_experiments(large, np.random.default_rng(0))
    assert sizes(found[0]) == (small, 9)
    assert len(similar_experiments(large, np.random.default_rng(0))) == 1


def test_numbers_are_drawn_around_zero_and_in_proportion_to_the_inputs() -> None:
    start = experiment(SETTINGS["deep"])
    widths = [200, *sizes(start)[0][1:]]
    made = _random(start, widths, 300, np.random.default_rng(0))
    assert made is not None
    assert made.W[0].std() == pytest.approx(1.2 / np.sqrt(200), rel=0.1)
    assert abs(made.W[0].mean()) < 0.02
    assert made.x.std() == pytest.approx(1, rel=0.03)
    assert abs(made.x.mean()) < 0.02
    assert {layer.activation for layer in made.model} == {layer.activation for layer in start.model}


def targets(loss: str, y: Any, n: int, rows: int = 400) -> Array:
    start: Any = SimpleNamespace(y=np.array(y, float), solver=SimpleNamespace(loss=loss))
    return _targets(start, rows, n, np.random.default_rng(0))


def test_targets_are_of_the_kind_that_was_given() -> None:
    for loss in ("crossentropy", "binarycrossentropy"):
        found = targets(loss, [[1, 0, 0], [0, 0, 1]], 4)
        assert found.shape == (400, 4)
        assert set(np.unique(found)) == {0.0, 1.0}
        assert (found.sum(axis=1) == 1).all()
        assert (found.sum(axis=0) > 60).all()  # each class
    shares = targets("crossentropy", [[0.2, 0.8], [0.5, 0.5]], 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares > 0).all()
    assert shares.mean(axis=0) == pytest.approx(1 / 3, abs=0.06)
    assert targets("crossentropy", [[1, 0], [0, 1]], 1).tolist() == [[1.0]] * 400
    for y, n in (([[1], [0]], 1), ([[1], [0]], 3), ([[1, 1], [0, 0]], 3)):  # yes or no
        found = targets("binarycrossentropy", y, n)
        assert found.shape == (400, n)
        assert set(np.unique(found)) == {0.0, 1.0}
        assert found.mean() == pytest.approx(0.5, abs=0.1)
        assert n == 1 or not (found.sum(axis=1) == 1).all()
    some = targets("binarycrossentropy", [[0.3], [0.9]], 2)
    assert some.min() >= 0.05
    assert some.max() <= 0.95
    assert some.std() > 0.2
    numbers = targets("mse", [[0.3], [9.0]], 2)
    assert numbers.std() == pytest.approx(1, abs=0.1)
    assert abs(numbers.mean()) < 0.15
    assert set(np.unique(targets("mae", [[0], [1]], 2))) == {0.0, 1.0}


def test_the_first_experiment_is_the_batch_itself() -> None:
    start = experiment(SETTINGS["dropped"])
    made = user_experiment(start.model, start.x, start.y, start.solver, np.random.default_rng(0))
    assert made.is_user_batch
    np.testing.assert_array_equal(made.x, start.x)
    assert [m is None for m in made.masks] == [m is None for m in start.masks]
    again = user_experiment(start.model, start.x, start.y, start.solver, np.random.default_rng(0))
    for m, n in zip(made.masks, again.masks, strict=True):
        np.testing.assert_array_equal(m, n)
    plain = replace(start.solver, regularization=replace(start.solver.regularization, dropout=0.0))
    assert user_experiment(start.model, start.x, start.y, plain, np.random.default_rng(0)).masks == [None] * len(
        start.W
    )


def test_user_code_with_the_same_seed_draws_other_numbers() -> None:
    assert own_generator(0).integers(2**60) != np.random.default_rng(0).integers(2**60)
    assert own_generator(0).integers(2**60) == own_generator(0).integers(2**60)
    assert own_generator(0).integers(2**60) != own_generator(1).integers(2**60)
    shared = np.random.default_rng(0)
    assert own_generator(shared).integers(2**60) != own_generator(shared).integers(2**60)


def test_what_a_backward_returned_as_arrays() -> None:
    b = [np.zeros(3), np.zeros(2)]
    dW = [np.ones((3, 4)), np.ones((2, 3))]
    found = users_gradients((1.5, dW, [np.ones((1, 3)), np.ones(2)]), b)
    assert found.loss == 1.5
    assert [g.shape for g in found.db] == [(3,), (2,)]
    assert found.kept_axes == ("layer 1 b has shape (1, 3)",)
    assert found.delta is None
    found = users_gradients([2, dW, [np.ones(3), np.ones((2, 1))], [np.ones((5, 3)), np.ones((5, 2))]], b)
    assert found.kept_axes == ("layer 2 b has shape (2, 1)",)
    assert [d.shape for d in found.delta or ()] == [(5, 3), (5, 2)]
    assert [g.dtype.kind for g in users_gradients((1, dW, [np.ones(3, int), np.ones(2)]), b).db] == ["f", "f"]
    for wrong in ((1.5, dW), (1.5, dW, b, b, b), 3.0, (1.5, dW[:1], b), (1.5, dW, ["a", "b"]),
                  (1.5, dW, [np.ones(3, complex), b[1]])):  # fmt: skip
        with pytest.raises(TypeError):
            users_gradients(wrong, b)
    with_rest = SimpleNamespace(dW=dW, db=[np.ones((3, 2)), np.ones((2, 2))], kept_axes=())
    assert replace is not None
    unchanged: Any = users_gradients((0.0, dW, with_rest.db), b)
    assert unchanged.kept_axes == ()
    assert unchanged.db[0].shape == (3, 2)


def test_copied_layers_have_numbers_of_their_own() -> None:
    start = experiment(SETTINGS["deep"])
    for layer, new in zip(start.model, copy_layers(start.model), strict=True):
        assert new is not layer
        np.testing.assert_array_equal(new.W.data, layer.W.data)
        new.W.data[...] = 0
        assert layer.W.data.any()


# -- Losses of the referee, as they are defined


Y = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.2, 0.5, 0.3], [1.0, 1.0, 0.0]])
Z = np.array([[0.3, -1.2, 0.7], [2.0, 0.1, -0.4], [0.0, 1.0, -2.0], [0.6, 0.2, 0.4]])


def softmax(z: Array) -> Array:
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


ENDS = {"softmax": softmax, "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "linear": lambda z: z,
        "hard_sigmoid": lambda z: np.clip(z / 6 + 0.5, 0, 1)}  # fmt: skip


def log_of(y: Array, a: Array) -> Array:
    return np.where(y == 0, 0, y * np.log(np.where(y == 0, 1, a)))


LOSSES = {
    "mae": lambda a, y: np.abs(a - y).sum() / len(y),
    "mse": lambda a, y: ((a - y) ** 2).sum() / len(y),
    "rmse": lambda a, y: np.sqrt(((a - y) ** 2).sum() / len(y)),
    "crossentropy": lambda a, y: -log_of(y, a).sum() / len(y),
    "binarycrossentropy": lambda a, y: -(log_of(y, a) + log_of(1 - y, 1 - a)).sum() / len(y),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", ENDS)
def test_a_loss_after_an_activation(loss: str, output: str) -> None:
    z = np.abs(Z) / 3 + 0.05 if output == "linear" else Z
    np.testing.assert_allclose(loss_of(loss, output, z, Y), LOSSES[loss](ENDS[output](z), Y), rtol=1e-12)
