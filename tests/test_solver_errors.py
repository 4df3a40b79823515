"""Settings are checked when they are made, and functions raise clear errors for bad input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import (
    BackProp,
    EarlyStopping,
    FeedForward,
    Layer,
    Predict,
    Regularization,
    Settings,
    Solver,
    Tensor,
    TrainNN,
    fit,
    graph_loss,
    nn,
    optim,
)

Array = Any
ROADS = ["graph", "manual"]


def batch(rows: int = 7, seed: int = 1) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4)), np.eye(3)[rng.integers(0, 3, rows)]


def weights(model: list[Layer]) -> list[Array]:
    return [p.data for layer in model for p in (layer.W, layer.b)]


# ---- settings


def test_names_are_taken_in_any_case_and_values_become_plain_numbers() -> None:
    reg = Regularization("ElasticNet", np.float32(0.5), 0, np.float64(0.25))
    assert reg == Regularization("elasticnet", 0.5, 0.0, 0.25)
    assert type(reg.lam) is type(reg.r) is float
    solver = Solver("BinaryCrossEntropy", "AdaGrad", 1, reg)
    assert (solver.loss, solver.optimizer, solver.learning_rate) == ("binarycrossentropy", "adagrad", 1.0)
    assert solver.rule == optim.adagrad()
    assert Solver("mse") == Solver("MSE", "sgd", 0.01, Regularization())
    assert Settings(np.int64(3)) == Settings(3, 1)
    assert Solver("mse", optim.adam(beta1=0.5)).rule == optim.adam(beta1=0.5)


@pytest.mark.parametrize("value", [Settings(2, 3), Regularization(), Solver("mse")])
def test_they_are_frozen(value: Any) -> None:
    with pytest.raises(AttributeError, match="cannot assign"):
        value.loss = value.method = value.epochs = 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Settings(0, 16), "Settings: epochs=0; it must be at least 1, e.g. epochs=16"),
        (lambda: Settings(20, -1), "Settings: batch_size=-1"),
        (lambda: Settings(20, 1.5), "batch_size=1.5 is of type float; it needs a whole number"),
        (lambda: Settings("20"), "epochs='20' is of type str"),
        (lambda: Settings(True), "epochs=True; it must be at least 1"),
        (lambda: Regularization("l3"), "unknown method 'l3'; known are none, l1, l2, elasticnet\\.$"),
        (lambda: Regularization(None), "method=None is of type NoneType; it needs a name: none, l1"),
        (lambda: Regularization("l2", -0.1), "lam=-0.1; a penalty needs a finite strength of at least 0"),
        (lambda: Regularization("l2", float("nan")), "lam=nan"),
        (lambda: Regularization("l2", "a lot"), "lam='a lot' is of type str; it needs a number"),
        (lambda: Regularization("elasticnet", 1, 1.0), "r=1.0; the share of l1 in elasticnet must be at least 0"),
        (lambda: Regularization("elasticnet", 1, -0.1), "r=-0.1"),
        (lambda: Regularization(dropout=1.0), "dropout=1.0; the probability of dropping a unit must be"),
        (lambda: Regularization(dropout=-0.5), "dropout=-0.5"),
        (lambda: Regularization(dropout=float("nan")), "dropout=nan"),
        (
            lambda: Solver("crossentropie"),
            "unknown loss 'crossentropie'; known are mae, mse, rmse, binarycrossentropy, crossentropy. Did you mean",
        ),
        (lambda: Solver("mse", "adams"), "unknown optimizer 'adams'; known are sgd, momentum, nesterov, adam, adamw"),
        (lambda: Solver("mse", optim.adam), "is of type function; it needs a name: sgd"),
        (lambda: Solver("mse", "sgd", 0), "learning_rate=0.0; a step needs a positive finite size, e.g. 0.03"),
        (lambda: Solver("mse", "sgd", -1), "learning_rate=-1.0"),
        (lambda: Solver("mse", "sgd", float("inf")), "learning_rate=inf"),
        (lambda: Solver("mse", "sgd", None), "learning_rate=None is of type NoneType; it needs a number"),
        (lambda: Solver("mse", "sgd", 0.1, "l2"), r"regularization='l2' is of type str; write Regularization\('l2'"),
        (lambda: Solver("mse", schedule=optim.lr_scheduler.StepLR), "StepLR is a class; create a schedule of"),
    ],
)
def test_bad_settings_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message.replace("?", r"\?")):
        make()


# ---- bad input

MODEL = [Layer(4, 40, "relu", rng=0), Layer(40, 5, "tanh", rng=0), Layer(5, 3, "softmax", rng=0)]
X, Y = batch(16)
CROSS = Solver("crossentropy")


def call(x: Any = X, y: Any = Y, model: Any = MODEL, solver: Any = CROSS, **more: Any) -> Callable[[], Any]:
    return lambda: TrainNN(model, x, y, solver=solver, **more)


def with_entry(array: Array, place: tuple[int, int], value: float) -> Array:
    array = array.astype(float)
    array[place] = value
    return array


def masked(array: Array) -> Array:
    """Return the array with its first two entries masked."""
    return np.ma.masked_array(array, np.arange(array.size).reshape(array.shape) < 2)


def train(model: Any = MODEL, x: Any = X, y: Any = Y, solver: Any = CROSS, **more: Any) -> Callable[[], Any]:
    return lambda: fit(model, x, y, solver=solver, settings=Settings(1), **more)


BAD = [
    # the model
    (call(model=[]), "TrainNN: the model has no layers. Write"),
    (call(model=[Layer(4, 3), "softmax"]), "this has 'softmax' of type str"),
    (call(model=None), "this has None of type NoneType"),
    (
        call(model=[Layer(4, 40, "relu"), Layer(30, 3, "softmax")]),
        r"2 of 2 \(Layer\(30, 3, softmax\)\) takes 30 .* relu\)\) gives 40. Write Layer\(40, 3, 'softmax'\)",
    ),
    (call(model=[Layer(4, 4), Layer(4, 3, dtype=np.float32)]), "has dtype float32 and .* float64. Make all layers"),
    (call(model=[same_layer := Layer(4, 4), same_layer]), r"layer 2 of 2 \(.*\) appears twice in the model"),
    # the solver and the road
    (call(solver=None), r"TrainNN needs a Solver; none was given. Write solver=Solver\('crossentropy', 'sgd', 0.03\)"),
    (call(solver="mse"), "TrainNN needs a Solver; 'mse' is of type str"),
    (call(solver=Solver()), r"TrainNN: the solver has no loss; write Solver\('mse', ...\)"),
    (train(solver=Solver()), r"fit: the solver has no loss; write Solver\('mse', ...\)"),
    (train(solver=Solver("mse", schedule=lambda t, rate: -rate)), "in epoch 0 the schedule returned .* rate -0"),
    (train(solver=Solver("mse", schedule=lambda t, rate: np.nan, schedule_by="step")), "in step 0 .* rate nan"),
    (call(gradients="auto"), "gradients='auto'; known are 'graph', 'manual'"),
    (call(gradients="manul"), "gradients='manul'; known are 'graph', 'manual'.* mean 'manual'"),
    # the inputs
    (
        call(x=np.ones((16, 5))),
        r"TrainNN: layer 1 of 3 \(Layer\(4, 40, relu\)\) takes 4 columns; data_in has shape \(16, 5\). Make .* n_in=5",
    ),
    (call(x=X.T), r"data_in has shape \(4, 16\). It looks transposed: pass data_in.T"),
    (call(x=X[0]), r"has shape \(4,\). A single sample is data_in\[None, :\]"),
    (call(x=np.ones((2, 4, 4))), r"has shape \(2, 4, 4\). Pass one row per sample"),
    (call(x=np.ones(16), model=[Layer(1, 3)]), r"One column is data_in\[:, None\]"),
    (call(x=np.ones((16, 2)), model=[Layer(1, 3)]), r"has shape \(16, 2\). Make the layer with n_in=2"),
    (call(x=X[:0], y=Y[:0]), r"data_in has shape \(0, 4\); it needs one row per sample, and at least one row"),
    (call(x=1.0), r"data_in has shape \(\)"),
    (call(x=[["a"] * 4] * 16), "data_in is of type <U1; a network needs real numbers"),
    (call(x=X + 1j), "data_in is of type complex128"),
    (call(x=with_entry(X, (3, 1), np.nan)), r"data_in\[3, 1\] is nan; a network needs finite numbers. Drop the row"),
    (call(x=with_entry(X, (0, 2), -np.inf)), r"data_in\[0, 2\] is -inf"),
    (call(x=Tensor(X)), r"TrainNN: data_in is a Tensor; training takes plain arrays. Pass its numbers, data_in\.data"),
    (call(x=[[1, 2, 3, 4], [1, 2]]), "TrainNN: the rows of data_in have different lengths"),
    (call(x=None), "data_in is of type object; .* Pass an array of numbers, one row per sample; this is None"),
    (call(x=masked(X)), r"TrainNN: data_in is a masked array, and 2 of .* data_in\.filled\(0\.0\), or drop"),
    (call(y=masked(Y)), r"TrainNN: data_out is a masked array, and 2 of its entries are masked"),
    (lambda: Predict(MODEL, masked(X)), "Predict: x is a masked array"),
    (lambda: Predict(nn.Linear(4, 3), masked(X)), "Predict: x is a masked array"),
    (train(nn.Linear(4, 3), masked(X)), "fit: x is a masked array"),
    (train(nn.Linear(4, 3), X, masked(Y)), "fit: y is a masked array"),
    # the targets
    (call(y=Y[:9]), r"data_in has 16 rows and data_out 9 \(shape \(9, 3\)\); each row of inputs needs its row"),
    (call(y=Y.T), r"data_out 3 \(shape \(3, 16\)\).* It looks transposed: pass data_out.T"),
    (call(y=np.zeros(16)), r"gives 3 columns; data_out has shape \(16,\). Encode labels with .*one_hot\(data_out, 3\)"),
    (call(y=np.zeros((16, 1))), r"data_out has shape \(16, 1\). Encode labels"),
    (
        call(y=np.zeros((16, 2))),
        r"layer 3 of 3 \(Layer\(5, 3, softmax\)\) gives 3 columns; data_out has shape \(16, 2\). Make .* n_out=2",
    ),
    (call(y=with_entry(Y, (2, 0), np.nan)), r"data_out\[2, 0\] is nan"),
    (call(y=with_entry(Y, (2, 0), 2.0)), r"probabilities, and data_out\[2, 0\] is 2, which is outside \[0, 1\]"),
    (call(y=with_entry(Y, (2, 0), -0.5), solver=Solver("binarycrossentropy")), r"binarycrossentropy needs .* is -0.5"),
    (call(y=np.zeros((16, 3))), r"needs one-hot targets.*row 0 of data_out is \[0.0, 0.0, 0.0\], which sums to 0"),
    (call(y=np.ones((16, 1)) / 2, model=[Layer(4, 1, "sigmoid")]), "With a single output column use 'binary"),
    # validation data
    (call(x_val=X), "TrainNN: y_val is missing; pass both x_val and y_val, or neither"),
    (call(y_val=Y), "x_val is missing"),
    (call(x_val=X[:, :2], y_val=Y), r"takes 4 columns; x_val has shape \(16, 2\)"),
    (call(x_val=X, y_val=Y[:2]), "x_val has 16 rows and y_val 2"),
    # the other functions say their own names
    (lambda: Predict(MODEL, X[:, :3]), r"Predict: layer 1 of 3 .* x has shape \(16, 3\)"),
    (lambda: FeedForward(MODEL, X[:, :3]), "FeedForward: layer 1 of 3"),
    (lambda: FeedForward(MODEL, X, solver="sgd"), "FeedForward needs a Solver; 'sgd'"),
    (lambda: BackProp(MODEL, X, Y, solver=CROSS), r"BackProp: data_cache is of type ndarray; pass what FeedForward"),
    (lambda: BackProp(MODEL[:1], FeedForward(MODEL, X), Y, solver=CROSS), r"layers of widths \[40, 5, 3\], the model"),
    (lambda: BackProp(MODEL, FeedForward(MODEL, X), Y[:2], solver=CROSS), "BackProp: data_in has 16 rows"),
    (lambda: graph_loss(MODEL, X, Y[:2], solver=CROSS), "graph_loss: x has 16 rows and y 2"),
    (lambda: fit(MODEL, X, Y[:2], solver=CROSS, settings=Settings(1)), "fit: x has 16 rows and y 2"),
    (lambda: fit(MODEL, X, Y, solver=CROSS, settings=20), r"fit: settings=20; write settings=Settings\(epochs=20"),
    (lambda: fit(MODEL, X, Y, solver=CROSS, settings=Settings(1), gradients="x"), "fit: gradients='x'"),
    (train(callbacks=[3]), "a callback is 3; it is called with an Epoch, so pass a function"),
    (train(callbacks=[EarlyStopping]), r"a callback is the class EarlyStopping itself; .*, EarlyStopping\(\)"),
    (train(callbacks=3), r"callbacks=3; write a list, callbacks=\[your_function\]"),
    (train(callbacks=print), "callbacks=<built-in function print>; write a list"),
    (train(metrics={"loss": lambda y, yhat: 1.0}), "a metric is called 'loss', which is the name of the loss"),
    (train(metrics={"val_loss": lambda y, yhat: 1.0}), "a metric is called 'val_loss'"),
]


@pytest.mark.parametrize(("bad", "message"), BAD, ids=[message[:50] for _, message in BAD])
def test_bad_input_raises_and_changes_nothing(bad: Callable[[], Any], message: str) -> None:
    before = weights(MODEL)
    with pytest.raises((TypeError, ValueError), match=message):
        bad()
    assert all(a is b for a, b in zip(before, weights(MODEL), strict=True))


@pytest.mark.parametrize("bad", [X, np.ones(16)])
def test_the_edit_that_drops_rows_with_gaps_works_as_it_stands(bad: Array) -> None:
    gaps = bad.copy()
    gaps[3] = np.nan
    with pytest.raises(ValueError, match="array\\[keep\\] with") as error:
        Predict([Layer(4, 1)], gaps) if bad is X else TrainNN([Layer(4, 1)], X, gaps, solver=Solver("mse"))
    name, edit = ("x" if bad is X else "data_out"), str(error.value).partition("keep = ")[2].partition(", or fill")[0]
    keep = eval(edit, {"np": np, name: gaps})
    assert keep.tolist() == [k != 3 for k in range(16)]


def test_the_road_is_taken_in_any_letter_case() -> None:
    assert TrainNN([Layer(4, 3, "softmax", rng=0)], X, Y, solver=CROSS, gradients=" Manual").loss > 0


@pytest.mark.parametrize("gradients", ROADS)
def test_a_loss_that_is_not_finite_is_reported_and_nothing_is_updated(gradients: str) -> None:
    model = [Layer(4, 3, "relu")]
    model[0].W = -np.ones((3, 4))
    x, y = np.ones((2, 4)), np.eye(3)[:2]
    before = weights(model)
    with pytest.raises(FloatingPointError, match=r"crossentropy takes the logarithm .* relu gives .* 'softmax' or"):
        TrainNN(model, x, y, solver=CROSS, gradients=gradients)
    assert all(a is b for a, b in zip(before, weights(model), strict=True))


@pytest.mark.parametrize("gradients", ROADS)
def test_a_training_that_diverges_is_stopped_at_the_last_finite_weights(gradients: str) -> None:
    model, wild = [Layer(1, 1, rng=0)], Solver("mse", "sgd", 100)

    def train() -> None:
        for _ in range(500):
            TrainNN(model, [[3.0]], [[1.0]], solver=wild, gradients=gradients)

    with pytest.raises(FloatingPointError, match=r"diverged. Lower learning_rate=100"):
        train()
    assert np.isfinite(model[0].W.data).all()


# ---- rows for a function


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 1), (6, 3)])
@pytest.mark.parametrize("which", ["x", "x['b']", "y"])
def test_the_first_entry_that_is_not_finite_is_named(which: str, place: tuple[int, int], bad: float) -> None:
    whole, spoilt = batch()[0], batch()[0]
    spoilt[place] = bad
    x: Any = {"x": spoilt, "x['b']": {"a": whole, "b": spoilt}, "y": whole}[which]
    y = spoilt if which == "y" else whole

    def loss(p: Any, x: Any, y: Any) -> Any:
        return (((x["b"] if isinstance(x, dict) else x) @ p["W"] - y) ** 2).mean()

    with pytest.raises(ValueError, match=rf"{which[0]}.*\[{place[0]}, {place[1]}\] is {bad}; training needs finite"):
        fit(loss, x, y, params={"W": np.eye(4)}, solver=Solver(), settings=Settings(1))


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.ones(3), r"array\(.* of shape \(3,\)"), (None, "None"), ("high", "'high'"), (1j, "1j")],
)
def test_a_metric_that_returns_no_number_is_named(value: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"the metric 'mine' returned {said}; a metric returns one number"):
        train(metrics={"mine": lambda y, yhat: value})()


def test_a_metric_of_one_entry_is_a_number_and_masked_arrays_without_masked_entries_are_arrays() -> None:
    models = [[Layer(4, 3, "softmax", rng=0)] for _ in range(2)]
    metrics = {"mine": lambda y, yhat: np.ones((1, 1), np.float32) / 2}
    plain, seen = (
        train(model, x, rng=0, metrics=metrics)() for model, x in zip(models, (X, np.ma.masked_array(X)), strict=True)
    )
    assert plain.loss == seen.loss
    assert plain.metrics["mine"] == [0.5]
    assert train(callbacks=iter([lambda epoch: True]))().loss
