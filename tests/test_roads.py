"""The comparison of the roads to a gradient: it passes if they agree, and reports if they do not."""

import dataclasses
import warnings

import numpy as np
import pytest

from tinygrad_nn import FeedForward, Layer, Regularization, Solver
from tinygrad_nn.cli.run import Options, prepare
from tinygrad_nn.compare import RoadsReport, compare_roads, roads
from tinygrad_nn.compare.layers import comparison as model
from tinygrad_nn.compare.numerical.referee import Referee
from tinygrad_nn.optim.update import attached_memory


def problem(activation: str = "tanh", output: str = "softmax", dtype: type = np.float64) -> tuple[object, ...]:
    rng = np.random.default_rng(3)
    model = [Layer(3, 6, activation, rng=1, dtype=dtype), Layer(6, 2, output, rng=2, dtype=dtype)]
    return model, rng.normal(size=(5, 3)), np.eye(2)[rng.integers(0, 2, 5)]


@pytest.mark.parametrize("loss", ["mae", "mse", "rmse", "binarycrossentropy", "crossentropy"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_roads_agree(loss: str, dtype: type) -> None:
    model, x, y = problem("relu", dtype=dtype)
    solver = Solver(loss, "sgd", 0.1, Regularization("elasticnet", 0.1, 0.3, 0.4))
    masks = FeedForward(model, x, solver=solver, rng=0).masks
    report = compare_roads(model, x, y, solver=solver, masks=masks)
    assert report.agree, str(report)
    assert report.checked == report.entries == 38
    assert max(report.losses.values()) - min(report.losses.values()) < 1e-5
    if dtype is np.float64:
        assert max(row.manual_graph.relative for row in report.parameters) < 1e-12
        assert max(row.graph_numerical.relative for row in report.parameters) < 1e-7


@pytest.mark.parametrize("road", ["graph", "manual", "numerical"])
@pytest.mark.parametrize("factor", [1 + 1e-5, -1.0, np.nan])
def test_a_road_that_is_wrong_is_reported(road: str, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    home, name = {
        "graph": (model, "run_graph"),
        "manual": (roads, "BackProp"),
        "numerical": (Referee, "derivative_along"),
    }[road]
    right = getattr(home, name)

    def wrong(*arguments: object, **named: object) -> object:
        found = right(*arguments, **named)
        if road == "numerical":
            return found._replace(value=found.value * factor)
        return found._replace(dW=[found.dW[0], found.dW[1] * factor])

    monkeypatch.setattr(home, name, wrong)
    layers, x, y = problem()
    report = compare_roads(layers, x, y, solver=Solver("mse"))
    assert "layer 2 W" in report.apart
    assert ("layer 1 W" in report.apart) is (road == "numerical")
    assert "do NOT agree on" in report.verdict
    assert not report.agree


def test_nothing_is_changed() -> None:
    model, x, y = problem()
    before = [(layer.W.data.copy(), layer.b.data.copy(), layer.W.grad) for layer in model]
    compare_roads(model, x, y, solver=Solver("mse", "adam"))
    for layer, (W, b, grad) in zip(model, before, strict=True):
        assert (layer.W.data == W).all()
        assert (layer.b.data == b).all()
        assert layer.W.grad is grad is None
        assert attached_memory(layer.W).state is None


def test_of_a_large_model_a_sample_of_each_parameter_is_checked() -> None:
    model, x, y = problem()
    report = compare_roads(model, x, y, solver=Solver("mse"), most=10)
    assert report.agree
    assert [row.checked for row in report.parameters] == [5, 2, 3, 1]
    assert "11 of 38 entries" in report.verdict
    again = compare_roads(model, x, y, solver=Solver("mse"), most=10)
    assert report == again
    with pytest.raises(ValueError, match="most=0"):
        compare_roads(model, x, y, solver=Solver("mse"), most=0)


def test_entries_at_a_kink_are_left_out_and_counted() -> None:
    model = [Layer(2, 3, "relu", rng=0), Layer(3, 1, rng=1)]
    x = np.zeros((2, 2))  # so z is 0 in the first layer: each of its biases stands at the kink of relu
    report = compare_roads(model, x, np.ones((2, 1)), solver=Solver("mse"))
    assert report.kinks == 3
    assert "3 at a kink left out" in report.verdict
    assert report.agree


def test_the_report_is_a_table() -> None:
    model, x, y = problem()
    report = compare_roads(model, x, y, solver=Solver("crossentropy"))
    lines = str(report).splitlines()
    assert [line.split("  ")[0] for line in lines[1:5]] == [f"layer {k} {name}" for k in (1, 2) for name in "Wb"]
    assert lines[-1] == "The three roads agree (all 38 entries checked numerically)."
    assert max(map(len, lines)) <= 80
    assert isinstance(report, RoadsReport)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.entries = 0


@pytest.mark.parametrize(
    ("seed", "widths", "loss", "rows"),
    [
        (0, (40,), "crossentropy", 105), (7, (40,), "crossentropy", 105),  # units of relu that fold close by
        (13, (40,), "crossentropy", 105), (5, (64, 32), "rmse", 16),  # a softmax that is sure of itself
    ],
)  # fmt: skip
def test_right_gradients_of_the_iris_data_agree(
    seed: int, widths: tuple[int, ...], loss: str, rows: int
) -> None:
    run = prepare(Options(seed=seed, hidden=",".join(map(str, widths)), activation="relu", loss=loss))
    x, y = run.parts["train"]
    report = compare_roads(run.network.layers, x[:rows], y[:rows], solver=run.solver, rng=seed)
    assert report.agree, str(report)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"loss": "mae"}])
def test_rounding_and_a_kink_near_by_are_no_alarm(options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a row that the network is sure of p - y cancels; beside a kink only small steps tell the slope."""
    run = prepare(Options(seed=17, **options))
    x, y = run.parts["train"]
    size = run.settings.batch_size
    right = roads.BackProp

    def wrong(*arguments: object, **named: object) -> object:
        loss, dW, db = right(*arguments, **named)
        return loss, [1.001 * g for g in dW], db

    with np.errstate(all="ignore"):
        report = compare_roads(run.network.layers, x[:size], y[:size], solver=run.solver)
        monkeypatch.setattr(roads, "BackProp", wrong)
        off = compare_roads(run.network.layers, x[:size], y[:size], solver=run.solver)
    assert report.agree, str(report)
    assert max(row.largest for row in report.parameters) < 1e-3  # small gradients, or the case shows nothing
    assert off.apart == ("layer 1 W", "layer 2 W")


def test_a_loss_that_overflows_is_an_error_without_warnings_of_numpy() -> None:
    net = [Layer(2, 3, "relu", rng=0), Layer(3, 1, "linear", rng=0)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(FloatingPointError):
            compare_roads(net, np.full((4, 2), 1e200), np.zeros((4, 1)), solver=Solver("mse"))
    assert not [str(w.message) for w in said]
