"""The parts of an experiment of layers: sizes; where activations have their kinks."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.wrong_backward import Setting
from tinygrad_nn.compare.experiment import Experiment, varied_experiments
from tinygrad_nn.compare.numerical.activations import kinks


@pytest.mark.parametrize(
    ("size", "rows", "large"),
    [(20_000, 1, False), (20_001, 1, True), (20_000, 64, False), (20_000, 65, True), (10_000, 128, False),
     (10_000, 129, True), (5_000, 256, False), (5_000, 257, True)],
)  # fmt: skip
def test_a_network_is_large_by_its_weights_times_its_batches_of_64(size: int, rows: int, large: bool) -> None:
    model = [SimpleNamespace(W=np.empty(size - 10)), SimpleNamespace(W=np.empty(10))]
    case: Any = SimpleNamespace(model=model, rows=rows)
    assert Experiment.is_large.fget(case) is large  # type: ignore[attr-defined]


def test_other_experiments_have_the_given_sizes_and_others() -> None:
    model, x, y, solver = Setting((8, 9, 1), ("tanh", "sigmoid"), "mse", 70).build(0)
    start = Experiment(model, x, y, [None, None], solver, is_user_batch=True)
    found = [
        (case.rows, *(layer.n_out for layer in case.model))
        for case in varied_experiments(start, np.random.default_rng(0))
    ]
    assert found == [(64, 9, 1), (2, 9, 1), (3, 9, 1), (5, 7, 2), (1, 9, 1)]
    start = Experiment(model, np.tile(x, (300, 1)), np.tile(y, (300, 1)), [None, None], solver, is_user_batch=True)
    small = [(case.rows, case.model[0].n_in, *(layer.n_out for layer in case.model))
             for case in varied_experiments(start, np.random.default_rng(0))]  # fmt: skip
    assert small == [(9, 5, 6, 1), (2, 5, 6, 1), (3, 5, 6, 1), (5, 5, 7, 2), (1, 5, 6, 1)]


@pytest.mark.parametrize(
    ("name", "at"),
    [("relu", [0]), ("leaky_relu(0.2)", [0]), ("selu", [0]), ("elu", []), ("elu(1.0)", []), ("elu(0.5)", [0]),
     ("elu(2.0)", [0]), ("hard_tanh", [-1, 1]), ("hard_tanh(-0.5,2.0)", [-0.5, 2]), ("hard_sigmoid", [-3, 3]),
     ("hard_swish", [-3, 3]), ("gelu", []), ("gelu(tanh)", []), ("celu(0.7)", []), ("softplus(2.0)", [])],
)  # fmt: skip
def test_where_the_slope_of_an_activation_jumps(name: str, at: list[float]) -> None:
    assert kinks(name) == at
