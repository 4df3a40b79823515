"""Objects show themselves in a few lines of text, in a terminal as in a notebook."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from tinygrad_nn import (
    BackProp,
    Epoch,
    FeedForward,
    History,
    Layer,
    Regularization,
    Scaler,
    Settings,
    Solver,
    Tensor,
    TrainNN,
    check_gradients,
    compare_gradients,
    data_split,
    load_digits,
    load_iris,
    load_sonnets,
    nn,
    optim,
    profile,
    read_table,
    supported,
    viz,
)
from tinygrad_nn.common.display import brief, in_few_lines, notebook
from tinygrad_nn.metrics import format_cm
from tinygrad_nn.node import scope
from tinygrad_nn.optim import lr_scheduler

WIDE, PLAIN = "重み🚀", "weight"  # both take six columns of a terminal
SOLVER = Solver("crossentropy", "sgd", 0.03)


def network() -> list[Layer]:
    return [Layer(4, 40, "relu", rng=0), Layer(40, 3, "softmax", rng=1)]


def rows() -> tuple[Any, Any]:
    iris = load_iris()
    return iris.x, iris.targets


def cache() -> Any:
    return FeedForward(network(), rows()[0])


def table(folder: Any) -> Any:
    path = folder / "t.csv"
    path.write_text("a,b,kind\n" + "".join(f"{k},{k * k},{'x' if k % 2 else 'y'}\n" for k in range(200)))
    return read_table(path, target="kind")


# What is shown, in at most how many lines, and what stands in them.
SHOWN: dict[str, tuple[Callable[[Any], Any], int, list[str]]] = {
    "iris":       (lambda _: load_iris(), 4, ["float64[150, 4]", "setosa 50, versicolor 50", "petal_width"]),
    "digits":     (lambda _: load_digits(), 4, ["float64[1797, 64]", "pixel_7_7 (64 in all)", "0 178"]),
    "sonnets":    (lambda _: load_sonnets(), 6, ["From fairest", "int64[8642]"]),
    "split":      (lambda _: data_split(*rows(), rng=0), 5, ["train=Part(x=float64[120, 4], y=float64[120, 3])"]),
    "table":      (table, 12, ["float64[200, 2]", "kind='classification'"]),
    "settings":   (lambda _: Settings(20, 16), 1, ["Settings(epochs=20, batch_size=16, accumulate=1)"]),
    "solver":     (lambda _: SOLVER, 1, ["Solver(loss='crossentropy', learning_rate=0.03)"]),
    "options":    (lambda _: Solver("mse", optim.adam(0.8), 0.1, Regularization("l2", 0.1), clip_norm=1.0), 1,
                   ["optimizer=adam(beta1=0.8", "Regularization(method='l2', lam=0.1", "clip_norm=1.0)"]),
    "cache":      (lambda _: cache(), 6, ["x=float64[150, 4]", "z=[float64[150, 40], float64[150, 3]]", "masks=[None"]),
    "gradients":  (lambda _: BackProp(network(), cache(), rows()[1], solver=SOLVER), 5, ["dW=[float64[40, 4]"]),
    "trained":    (lambda _: TrainNN(network(), *rows(), *rows(), solver=SOLVER), 6, ["db=[float64[40], float64[3]]"]),
    "history":    (lambda _: History([0.5] * 500, [0.25] * 500, {"r2": [0.1] * 500}), 1,
                   ["History(500 epochs: loss 0.5000 to 0.5000, val_loss 0.2500 to 0.2500, r2 0.1000 to 0.1000)"]),
    "no history": (lambda _: History(), 1, ["History(0 epochs)"]),
    "epoch":      (lambda _: Epoch(1, 20, 0.5, None, {}, network()), 8, ["loss=0.5", "Layer(4, 40, relu)"]),
    "scaler":     (lambda _: Scaler.fit(rows()[0]), 1, ["mean=[5.8433"]),
    "checked":    (lambda _: check_gradients(np.tanh, np.ones(50)), 8, ["comparisons"]),
    "compared":   (lambda _: compare_gradients(network(), *(part[:4] for part in rows()), solver=SOLVER), 24,
                   ["layer 1 W"]),
    "encoder":    (lambda _: nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32), 12), 14,
                   ["0 ... 11: 12 × TransformerEncoderLayer("]),
    "deep":       (lambda _: nn.Sequential(*[nn.Linear(8, 8) for _ in range(60)]), 3, ["0 ... 59: 60 × Linear(8, 8)"]),
    "four":       (lambda _: nn.Sequential(*[nn.Linear(8, 8) for _ in range(4)]), 6, ["3: Linear(8, 8)"]),
    "five":       (lambda _: nn.Sequential(*[nn.Linear(8, 8) for _ in range(5)]), 3, ["0 ... 4: 5 × Linear(8, 8)"]),
    "long":       (lambda _: nn.Sequential(*[m for _ in range(60) for m in (nn.Linear(8, 8), nn.ReLU())]), 27,
                   ["... 96 more, 119 the last"]),
    "layers":     (lambda _: network(), 1, ["[Layer(4, 40, relu), Layer(40, 3, softmax)]"]),
    "schedule":   (lambda _: lr_scheduler.StepLR(optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1), 10), 1,
                   ["StepLR(step 0, lr 0.1)"]),
    "supported":  (lambda _: supported(), 1, ["functions that take Tensors"]),
    "summary":    (lambda _: viz.summary(network(), rows()[0]), 6, ["1 Layer(4, 40, relu)"]),
    "flow":       (lambda _: viz.GradientFlow(), 1, ["GradientFlow("]),
    "live":       (lambda folder: viz.LiveReport(folder / "r.html"), 1, ["LiveReport("]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_an_object_shows_itself_in_a_few_lines(name: str, tmp_path: Any) -> None:
    make, most, parts = SHOWN[name]
    text = repr(make(tmp_path))
    assert len(text.splitlines()) <= most
    assert max(map(len, text.splitlines())) <= 240
    for part in parts:
        assert part in text, text


def test_names_of_the_user_do_not_control_the_terminal() -> None:
    iris = load_iris()._replace(class_names=("\x1b[2J", "b", "c"), feature_names=("\x9b2J", "b", "c", "d"))
    history = History([1.0], [], {"\x1b[2J": [1.0]})
    evil = type("X", (), {"__repr__": lambda _: "\x1b"})()
    assert not {"\x1b", "\x9b"} & set(repr(iris) + repr(history) + brief(evil))


def test_values_in_short() -> None:
    assert brief(list(range(100))) == "[0, 1, 2, 3, 4, 5, ... 100 in all]"
    assert brief((np.ones(3),)) == "(float64[3],)"
    assert brief({k: k for k in range(8)}) == "{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, ... 8 in all}"
    assert in_few_lines("A", {"a": "x" * 80, "b": "y" * 80}).count("\n") == 3


def test_outside_of_a_notebook_there_is_none() -> None:
    assert notebook() is None


def _in_scopes(name: str) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        with scope(name):
            return np.exp(x)

    return f


def _failing(name: str) -> Any:
    with pytest.raises(ValueError, match="matmul") as caught:
        Tensor(np.ones((2, 3)), name=name) @ Tensor(np.ones((2, 3)), name="b")
    return viz.explain_error(caught.value)


def _squares(p: Any) -> Any:
    return sum((x * x).sum() for x in p.values())


@pytest.mark.parametrize(
    "made",
    [
        lambda name: format_cm(np.eye(2, dtype=int), [name, "b"]),
        lambda name: History([0.5], metrics={f"{name} {name}": [0.25], "b": [1.0]}),
        lambda name: viz.summary(_in_scopes(name), np.ones(2)),
        lambda name: compare_gradients(_squares, {f"{name} {name}": np.ones(2)}, manual=lambda p: p),
        _failing,
    ],
    ids=["confusion", "history", "summary", "gradients", "failure"],
)
def test_columns_line_up_under_wide_letters(made: Callable[[str], Any]) -> None:
    assert str(made(WIDE)).replace(WIDE, PLAIN) == str(made(PLAIN))


@pytest.mark.parametrize(
    ("name", "shown"), [(WIDE, WIDE), (WIDE * 5, "重み🚀重み🚀重み🚀…"), (f"a.{WIDE * 5}", "…重み🚀重み🚀重み🚀")]
)
def test_the_rows_of_a_profile_line_up_under_wide_letters(name: str, shown: str) -> None:
    found = profile(_in_scopes(name), Tensor(np.ones(2)), compile=False)
    head, row = str(found).partition("\nlayer")[2].splitlines()[:2]
    assert (cell_len("layer" + head), cell_len(row)) == (79, 79)
    assert row.startswith(shown + " ")
