"""The solver part by part: its bounds from both sides, what it counts, and what it says, word for word."""

import json
import math
import re
from types import SimpleNamespace
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
    fit,
    nn,
    optim,
)
from tinygrad_nn.optim.update import Memory
from tinygrad_nn.solver import EarlyStopping, History, graph_loss, progress_bar
from tinygrad_nn.solver.arguments import (
    accuracy,
    can_train_layers,
    default_metric,
    is_layer_list,
    label_accuracy,
    prepare_training,
)
from tinygrad_nn.solver.batches import Batches, Rows, as_nested_arrays, batch_source, check_rows
from tinygrad_nn.solver.callbacks import Listeners, Step
from tinygrad_nn.solver.checks import check_model, check_targets
from tinygrad_nn.solver.divergence import check_growth, watch_growth
from tinygrad_nn.solver.epochs import Epoch, _join_rows, _losses, check_finite
from tinygrad_nn.solver.history import cell_text
from tinygrad_nn.solver.prediction import as_dtype, evaluating, predict_in_chunks
from tinygrad_nn.solver.ranks import SharedTraining
from tinygrad_nn.solver.stopping import Watch, monitored_value
from tinygrad_nn.solver.tasks.function import FunctionTask
from tinygrad_nn.solver.tasks.module import ModuleTask
from tinygrad_nn.solver.training_step import _coming_gradients, _mean, backend_of

X, Y = np.arange(6.0).reshape(2, 3), np.array([[0.5, -1.0], [2.0, 0.25]])
MSE = Solver("mse", "sgd", 0.1)
DROPPED = Solver("mse", "sgd", 0.1, Regularization(dropout=0.5))


def layers() -> list[Layer]:
    return [Layer(3, 4, "tanh", rng=0), Layer(4, 2, rng=1)]


def mixed() -> nn.Sequential:
    return nn.Sequential(Layer(3, 4, "tanh", rng=0), nn.Dropout(0.5), Layer(4, 2, rng=1))


@pytest.mark.parametrize(("model", "is_list"), [
    (layers(), True), (layers()[0], True), (tuple(layers()), True), ([], True), (3, True), (None, True),
    (mixed(), False), ([*layers(), nn.Dropout(0.5)], False), ([*layers(), nn.Linear(2, 2, rng=0)], False),
    ([layers()[0], np.tanh], False), ([*layers(), lambda z: z], False), ([*layers(), 3], True),
], ids=lambda x: "" if isinstance(x, bool) else None)  # fmt: skip
def test_lists_of_layers_are_recognized(model: Any, is_list: bool) -> None:
    assert is_layer_list(model) is is_list


class Silent:
    """A class that is no loss."""

    def __call__(self, prediction: Any, y: Any) -> Any:
        return ((prediction - y) ** 2).mean()


def fit_me(params: Any, x: Any, y: Any) -> Any:
    return ((x @ params["W"] - y) ** 2).mean()


def says(kind: Any, message: str) -> Any:
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


# -- The Julia project's functions


def test_a_batch_goes_through_modules_part_by_part() -> None:
    model = mixed()
    first, _, last = model
    cache = FeedForward(model, X.tolist(), rng=0)
    np.testing.assert_array_equal(cache.x, X)
    assert [z is None for z in cache.z] == [False, True, False]
    assert cache.masks == [None, None, None]
    np.testing.assert_allclose(cache.z[0], X @ first.W.data.T + first.b.data)
    np.testing.assert_allclose(cache.a[0], np.tanh(cache.z[0]))
    kept = cache.a[1] != 0
    np.testing.assert_array_equal(cache.a[1], np.where(kept, cache.a[0] * 2, 0))
    np.testing.assert_allclose(cache.a[2], cache.a[1] @ last.W.data.T + last.b.data)
    assert all(type(array) is np.ndarray for array in (cache.x, *cache.a, cache.z[0], cache.z[2]))
    again, other = FeedForward(model, X, rng=0), [FeedForward(model, X, rng=seed).a[1] for seed in range(1, 6)]
    np.testing.assert_array_equal(again.a[1], cache.a[1])
    assert any((a != cache.a[1]).any() for a in other)
    assert FeedForward(model, X, rng=0, solver=MSE).a[1].tolist() == cache.a[1].tolist()
    one = FeedForward(nn.Linear(3, 2, rng=0), X)
    assert (len(one.a), one.z, one.masks) == (1, [None], [None])
    small = FeedForward(nn.Sequential(nn.Linear(3, 2, rng=0, dtype=np.float32), nn.Tanh()), X)
    assert {small.x.dtype, *(a.dtype for a in small.a)} == {np.dtype(np.float32)}
    assert len(FeedForward([Layer(3, 4, rng=0), nn.Tanh(), np.tanh], X).a) == 3
    assert FeedForward(nn.Sequential(nn.Tanh()), X.astype(np.float32)).a[0].dtype == float  # no parameter says which


def test_what_drops_out_is_drawn_only_where_a_solver_says_so() -> None:
    model = layers()
    assert FeedForward(model, X).masks == FeedForward(model, X, solver=MSE).masks == [None, None]
    cache = FeedForward(model, X, solver=DROPPED, rng=0)
    assert cache.masks[0].shape == (2, 4)
    loss, dW, db = BackProp(model, cache, Y, solver=DROPPED)
    graph = graph_loss(model, X, Y, solver=DROPPED, masks=cache.masks)
    graph.backward()
    assert float(graph.data) == pytest.approx(loss, rel=1e-12)
    for layer, W, b in zip(model, dW, db, strict=True):
        np.testing.assert_allclose(layer.W.grad, W, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(layer.b.grad, b, rtol=1e-10, atol=1e-14)


def test_the_loss_of_modules_is_that_of_their_prediction() -> None:
    model = nn.Sequential(*layers())
    assert float(graph_loss(model, X, Y, solver=MSE).data) == pytest.approx(((Predict(model, X) - Y) ** 2).sum() / 2)


def test_an_update_of_modules_returns_gradients_by_name() -> None:
    for modules in (mixed(), nn.Sequential(nn.Linear(3, 2, rng=0), nn.BatchNorm(2))):
        trained = TrainNN(modules, X, Y, X, Y, solver=MSE, rng=0)
        names = dict(modules.named_parameters())
        assert {**trained.dW, **trained.db}.keys() == names.keys()
        assert all(names[name].ndim > 1 for name in trained.dW)
        assert all(names[name].ndim == 1 for name in trained.db)
        assert trained.val_loss == pytest.approx(((Predict(modules, X) - Y) ** 2).sum() / 2, rel=1e-12)
    twin = [TrainNN(mixed(), X, Y, solver=MSE, rng=seed).loss for seed in (3, 3, 4, 5, 6)]
    assert twin[0] == twin[1]
    assert len(set(twin)) > 1


def test_predictions_of_mapped_rows_and_in_eval_mode(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "x", float, "w+", shape=(2, 3))
    mapped[:] = X
    np.testing.assert_allclose(Predict(layers(), mapped), Predict(layers(), X), rtol=1e-14)
    model = mixed()
    np.testing.assert_allclose(Predict(model, X), Predict(layers(), X), rtol=1e-14)
    assert model.training
    assert all(part.training for part in model.modules())


WRITE = "in an architecture of your own write a Dropout where it belongs."
PASS = "Pass what FeedForward returned for this model."
ROAD = "has no equations written by hand; only Layer has. Use gradients='graph', or compare equations of your own with "


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: FeedForward(mixed(), X, solver=DROPPED), ValueError,
         f"FeedForward: Regularization(dropout=...) is for lists of Layer; {WRITE}"),
        (lambda: FeedForward(layers(), X, solver=3), TypeError,
         "FeedForward needs a Solver; 3 is of type int. Write solver=Solver('crossentropy', 'sgd', 0.03)."),
        (lambda: BackProp(mixed(), None, Y, solver=MSE), ValueError,
         f"BackProp: part 1 of 1, Sequential, {ROAD}tinygrad_nn.compare_gradients."),
        (lambda: BackProp([*layers(), nn.Tanh()], None, Y, solver=MSE), ValueError,
         f"BackProp: part 3 of 3, Tanh(), {ROAD}tinygrad_nn.compare_gradients."),
        (lambda: BackProp(layers(), 3, Y, solver=MSE), TypeError,
         "BackProp: data_cache is of type int; pass what FeedForward(model, data_in) returned."),
        (lambda: BackProp(layers()[:1], FeedForward(layers(), X), Y, solver=MSE), ValueError,
         f"BackProp: data_cache holds layers of widths [4, 2], the model has [4]. {PASS}"),
        (lambda: BackProp(layers(), FeedForward(layers(), X), Y, solver=None), TypeError,
         "BackProp needs a Solver; none was given. Write solver=Solver('crossentropy', 'sgd', 0.03)."),
        (lambda: graph_loss(mixed(), X, Y, solver=MSE, masks=[]), ValueError,
         "graph_loss: masks are for lists of Layer; dropout modules draw their own."),
        *[(lambda masks=masks: graph_loss(layers(), X, Y, solver=MSE, masks=masks), ValueError,
           (f"graph_loss: the masks have shapes {shapes}; these layers and rows need [(2, 4), (2, 2)], or None. Pass "
            "the masks of FeedForward(model, x, solver=solver)."))
          for masks, shapes in (([None], "[None]"), ([np.ones((3, 4)), None], "[(3, 4), None]"), ("no", "[()]"))],
        (lambda: graph_loss(mixed(), X, Y[:1], solver=MSE), ValueError,
         "graph_loss: x has 2 rows and y has 1 (shape (1, 2)); each row of inputs needs its row of targets. "),
        (lambda: graph_loss(layers(), X, Y[:1], solver=MSE), ValueError,
         "graph_loss: x has 2 rows and y 1 (shape (1, 2)); each row of inputs needs its row of targets."),
        (lambda: TrainNN(layers(), X, Y, solver=Solver("mse", "lbfgs")), ValueError,
         "TrainNN: lbfgs computes the loss many times a step; use fit, or optim.Minimizer."),
        (lambda: TrainNN(layers(), X, Y, X, solver=MSE), ValueError,
         "TrainNN: y_val is missing; pass both x_val and y_val, or neither."),
        (lambda: TrainNN(layers(), X, Y, None, Y, solver=MSE), ValueError,
         "TrainNN: x_val is missing; pass both x_val and y_val, or neither."),
        (lambda: Predict(mixed(), np.ones((0, 3))), ValueError,
         "Predict: x has shape (0, 3); it needs one row per sample, and at least one row."),
    ],
)  # fmt: skip
def test_what_the_functions_of_the_julia_project_say(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(message)
    edits = "", "Drop the rows that have no partner.", " It looks transposed: pass y.T."
    assert str(caught.value)[len(message) :] in edits


# -- Early stopping, divergence


def epoch(loss: float, val_loss: float | None = None, number: int = 1, **metrics: float) -> Epoch:
    return Epoch(number, 9, loss, val_loss, metrics, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        *[({"patience": bad}, f"EarlyStopping: patience={bad!r}; it counts epochs, at least 1.")
          for bad in (0, -1, True, 2.0, "3")],
        *[({"min_delta": bad}, f"EarlyStopping: min_delta={bad!r}; it must be a finite number of at least 0.")
          for bad in (-1e-9, math.inf, math.nan, "a", None, True)],
        ({"mode": "least"}, "EarlyStopping: mode='least'; known are 'auto', 'min' and 'max'."),
    ],
)  # fmt: skip
def test_early_stopping_out_of_range(given: dict[str, Any], message: str) -> None:
    assert EarlyStopping(1, 0).patience == 1
    numbers = EarlyStopping(np.int64(3), np.float32(0.5))
    assert (repr(numbers.patience), repr(numbers.min_delta)) == ("3", "0.5")
    with says(ValueError, message):
        EarlyStopping(**given)


@pytest.mark.parametrize(
    ("monitor", "mode", "sign"),
    [("loss", "auto", 1), ("val_loss", "auto", 1), ("r2", "auto", -1), ("r2", "min", 1), ("loss", "max", -1)],
)
def test_better_is_by_more_than_min_delta(monitor: str, mode: str, sign: int) -> None:
    watch = Watch(EarlyStopping(2, 0.5, monitor, mode))

    def look(number: int, value: float) -> bool:
        return watch.is_better(epoch(value, value, number, r2=value))

    seen = [look(1, math.nan), look(2, 4.0), look(3, 4.0 - 0.5 * sign), look(4, 4.0 - 0.75 * sign), look(5, math.nan)]
    assert seen == [False, True, False, True, False]
    assert (watch.best, watch.epoch, watch.since, watch.ended) == (4.0 - 0.75 * sign, 4, 1, False)
    assert not look(6, 4.0)
    assert (watch.since, watch.ended) == (2, True)


def test_an_unknown_monitored_value_raises() -> None:
    assert monitored_value("f", "loss", epoch(2.0)) == 2.0
    assert monitored_value("f", "r2", epoch(2.0, r2=0.0)) == 0.0
    with says(ValueError, "f: there is no 'val_loss' in this training; it has loss, r2. Pass x_val and y_val to fit."):
        monitored_value("f", "val_loss", epoch(2.0, r2=0.5))
    message = "f: there is no 'accurracy' in this training; it has loss, val_loss, accuracy. Did you mean 'accuracy'? "
    with says(ValueError, message + "Pass one of these as monitor=."):
        monitored_value("f", "accurracy", epoch(2.0, 3.0, accuracy=0.5))


LOWER = "the training diverged. Lower learning_rate=0.1, or scale the data with tinygrad_nn.data.Scaler."


def test_a_loss_may_grow_a_million_times_and_no_more() -> None:
    for start, most in ((0.0, 1e6), (0.5, 1e6), (3.0, 3e6), (-3.0, 3e6)):
        for sign in (1, -1):
            check_growth(sign * most, start, MSE, "now")
            grew = f"the loss grew from {start:.3g} to {sign * 2 * most:.3g} now"
            with says(FloatingPointError, f"{grew}: {LOWER} Then create the model again."):
                check_growth(sign * 2 * most, start, MSE, "now")
            with pytest.raises(FloatingPointError):
                check_growth(sign * most * 1.001, start, MSE, "now")
    for start in (None, math.nan, math.inf):
        check_growth(1e300, start, MSE, "now")
    for loss in (math.inf, math.nan):
        with says(FloatingPointError, f"the loss became {loss} in epoch 3: {LOWER} Then create the model again."):
            check_growth(loss, None, MSE, "in epoch 3")


def test_the_first_ten_batches_are_the_start() -> None:
    memory = Memory()
    for k in range(10):
        watch_growth(memory, -2.0 if k == 9 else 1.0, MSE)
    watch_growth(memory, 2e6, MSE)  # the largest of the first ten, a million times
    watch_growth(memory, 5.0, MSE)
    with says(FloatingPointError, f"the loss grew from 2 to 2.1e+06: {LOWER} The weights are as they were before this "
              "step."):  # fmt: skip
        watch_growth(memory, 2.1e6, MSE)
    watch_growth(memory, 2.1e6, MSE)  # another start
    assert memory.start == ("mse", 1, 2.1e6)
    watch_growth(memory, 7.0, Solver("mae", "sgd", 0.1))  # another loss, too
    assert memory.start == ("mae", 1, 7.0)
    watch_growth(memory, 3.0, Solver(lambda p, y: p, "sgd", 0.1))
    assert memory.start == ("function", 1, 3.0)
    for _ in range(8):
        watch_growth(memory, 0.0, Solver("mae", "sgd", 0.1))
    watch_growth(memory, 1e30, Solver("mae", "sgd", 0.1))  # the ninth of the first ten
    memory.start = ("mse", 10, 0.25)
    watch_growth(memory, 1e6, MSE)
    with pytest.raises(FloatingPointError):
        watch_growth(memory, 1.001e6, MSE)


# -- Batches

PARTNER = "each row of inputs needs its row of targets. Drop the rows that have no partner."
NAMES = "training takes numbers. Class names become numbers with tinygrad_nn.data.one_hot."


def test_rows_come_in_batches_of_a_size_and_the_rest() -> None:
    x, y = np.arange(7.0)[:, None], np.arange(7)
    for size, count in ((1, 7), (3, 3), (7, 1), (9, 1)):
        rows = Rows(x, y, size)
        assert (rows.count, rows.rows, rows.mapped) == (count, 7, False)
        found = list(rows.batches(np.random.default_rng(0)))
        assert [n for *_, n in found] == [size] * (7 // size) + [7 % size] * bool(7 % size)
        order = np.concatenate([labels for _, labels, _ in found])
        assert order.tolist() == np.random.default_rng(0).permutation(7).tolist()
        assert np.concatenate([part for part, _, _ in found])[:, 0].tolist() == order.tolist()
        ((still, labels, n),) = rows.in_order(2)
        assert (still[:, 0].tolist(), labels.tolist(), n) == (list(range(7)), list(range(7)), 7)


def test_mapped_rows_are_read_in_chunks_and_looked_at_as_they_are_read(tmp_path: Any) -> None:
    x = np.memmap(tmp_path / "x", float, "w+", shape=(5, 1))
    x[:, 0] = range(5)
    rows = Rows({"a": x}, (np.arange(5), np.zeros(5)), 2)
    assert rows.mapped
    assert [(part["a"][:, 0].tolist(), labels.tolist(), n) for part, (labels, _), n in rows.in_order(2)] == [
        ([0.0, 1.0], [0, 1], 2), ([2.0, 3.0], [2, 3], 2), ([4.0], [4], 1),
    ]  # fmt: skip
    x[3] = np.inf
    assert rows.read(np.array([1, 4]))[2] == 2
    with says(ValueError, "fit: row 3 of the mapped data holds inf; training needs finite numbers."):
        rows.read(np.array([1, 3]))


def test_classes_are_weighed_in_batches_only() -> None:
    rows = Rows(np.zeros((2, 1)), np.eye(2), 2, np.array([2.0, 0.5]))
    assert rows.read(np.array([1, 0]))[1].tolist() == [[0.0, 0.5], [2.0, 0.0]]
    assert next(iter(rows.in_order(9)))[1].tolist() == np.eye(2).tolist()
    assert rows._weighted(np.eye(2, dtype=np.float32)).dtype == np.float32
    assert rows._weighted(np.eye(2, dtype=int)).dtype == float


def test_batches_are_pairs_that_can_be_gone_through_again() -> None:
    with says(TypeError, "fit: list_iterator can be iterated over only once, but every epoch goes through all batches. "
              "Pass a list of batches, tinygrad_nn.data_loader(x, y, 32), or an object with __iter__."):  # fmt: skip
        Batches("fit", iter([]))
    rng = np.random.default_rng(0)
    found = Batches("fit", [(X, Y), [X[:1], Y[:1]]])
    assert (found.count, found.generators) == (2, [])
    assert [n for *_, n in found.batches(rng)] == [n for *_, n in found.in_order(9)] == [2, 1]
    for bad, message in (
        ([(X, Y), (X, Y, Y)], "fit: batch 1 is "), ([X], "fit: batch 0 is "), ([(X,)], "fit: batch 0 is "),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=rf"(?s)^{message}.* of type (tuple|ndarray); a batch is a pair \(x, y\)\."):
            list(Batches("fit", bad).batches(rng))
    with says(ValueError, "fit: the iterable yielded no batch; an iterator is exhausted after one pass."):
        list(Batches("fit", []).batches(rng))
    with says(ValueError, f"fit: x of batch 0 has 2 rows and y of batch 0 has 1 (shape (1, 2)); {PARTNER}"):
        list(Batches("fit", [(X, Y[:1])]).batches(rng))

    class Loader:
        def __init__(self) -> None:
            self.rng, self.size = rng, 3

        def __iter__(self) -> Any:
            return iter([(X, Y)])

    assert Batches("fit", Loader()).generators == [rng]
    assert Batches("fit", Loader()).count is None
    assert isinstance(batch_source("fit", [(X, Y)], None, 2), Batches)
    assert batch_source("fit", X.tolist(), Y, 1).count == 2


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros(()), Y, "x has shape (); it needs one row per sample, and at least one row."),
        (X, np.zeros((0, 2)), "y has shape (0, 2); it needs one row per sample, and at least one row."),
        ((X, X[:1]), Y, f"x has 2 rows and x has 1 (shape (1, 3)); {PARTNER}"),
        (np.array([[0.0, 1.0], [2.0, np.nan]]), Y, "x[1, 1] is nan; training needs finite numbers."),
        (X, np.array([1.0, np.inf]), "y[1] is inf; training needs finite numbers."),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_named(x: Any, y: Any, message: str) -> None:
    assert check_rows("fit", (X, X), Y, ("x", "y")) == 2
    with says(ValueError, f"fit: {message}"):
        check_rows("fit", x, y, ("x", "y"))


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (None, ValueError, "x is missing; pass arrays x and y, or an iterable of batches (x, y)."),
        ({"a": [1, 2]}, TypeError, "x is a dict of more than arrays; write np.array(...) around its values."),
        (Tensor(X), TypeError, "x is a Tensor; training takes plain arrays. Pass its numbers, x.data."),
        ([[1, 2], [1]], ValueError, "the rows of x have different lengths; give each the same shape."),
        (["a"], TypeError, f"x is of type <U1; {NAMES}"),
        (np.zeros(2, complex), TypeError, f"x is of type complex128; {NAMES}"),
    ],
)  # fmt: skip
def test_unsuitable_data_raises(data: Any, kind: Any, message: str) -> None:
    with says(kind, f"fit: {message}"):
        as_nested_arrays("fit", data, "x")


def test_data_in_nests_stays_in_them() -> None:
    found = as_nested_arrays("fit", {"a": X, "b": (Y, np.float32(2))}, "x")
    assert found["a"] is X
    assert found["b"][0] is Y
    assert as_nested_arrays("fit", ([1.0], [2.0]), "x").tolist() == [[1.0], [2.0]]
    for kind in ("f4", "i2", "u1", "?"):
        assert as_nested_arrays("fit", np.zeros(2, kind), "x").dtype == np.dtype(kind)


# -- Predictions, metrics


@pytest.mark.parametrize(("rows", "calls"), [(1, [1]), (256, [256]), (257, [256, 1]), (600, [256, 256, 88])])
def test_many_rows_are_predicted_some_at_a_time(rows: int, calls: list[int]) -> None:
    seen: list[int] = []
    x = np.arange(float(rows))[:, None]

    def forward(part: Any) -> Any:
        seen.append(len(part))
        return {"double": Tensor(part * 2), "row": part[:, 0]}

    found = predict_in_chunks(forward, x, lambda part: part)
    assert seen == calls
    np.testing.assert_array_equal(found["double"], x * 2)
    np.testing.assert_array_equal(found["row"], x[:, 0])
    assert type(found["double"]) is np.ndarray


def test_outputs_without_a_row_for_each_sample_are_predicted_at_once() -> None:
    seen: list[int] = []

    def total(part: Any) -> Any:
        seen.append(len(part))
        return part.sum(axis=0)

    x = np.ones((257, 1))
    assert predict_in_chunks(total, x, lambda part: part).tolist() == [257.0]
    assert seen == [256, 257]


def test_floats_alone_take_the_dtype_of_a_model() -> None:
    x, k, flag = as_dtype((X, np.arange(2), np.array([True])), np.float32)
    assert (x.dtype, k.dtype, flag.dtype) == (np.float32, np.arange(2).dtype, bool)
    assert as_dtype(X, float) is X


def test_each_part_gets_its_own_mode_back() -> None:
    model = mixed()
    model[1].eval()
    modes = [part.training for part in model.modules()]
    with pytest.raises(ZeroDivisionError), evaluating(model):
        1 // any(part.training for part in model.modules())
    assert [part.training for part in model.modules()] == modes
    assert not model[1].training


@pytest.mark.parametrize(
    ("y", "yhat", "right"),
    [
        ([[1, 0], [0, 1]], [[0.4, 0.3], [0.9, 0.1]], 0.5),  # classes: the largest, below 1/2 too
        ([[1.0, 0.0], [0.0, 1 + 9e-6]], [[0.4, 0.3], [0.9, 0.1]], 0.5),
        ([[1.0, 0.0], [0.0, 1 + 2e-5]], [[0.4, 0.3], [0.9, 0.1]], 0.25),  # labels: 0.4 is none, 0.9 one, 0.1 none
        ([[1], [0]], [[0.5], [0.49]], 1.0),
        ([[1], [1]], [[0.5], [0.49]], 0.5),
        ([[0.5], [0.49]], [[0.9], [0.9]], 0.5),
        ([[1, 1], [0, 1]], [[0.9, 0.9], [0.9, 0.9]], 0.75),
    ],
)
def test_accuracy_is_of_classes_or_of_labels(y: Any, yhat: Any, right: float) -> None:
    assert accuracy(np.array(y), np.array(yhat)) == right


def test_accuracy_of_labels_by_number() -> None:
    assert label_accuracy(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.7]])) == pytest.approx(2 / 3)


# -- Callbacks that are told of updates


class Hears:
    """A callback that wants to know of some updates."""

    def __init__(self, *numbers: int) -> None:
        self.numbers, self.heard = numbers, []

    def due(self, number: int) -> bool:
        return number in self.numbers

    def step(self, step: Step) -> None:
        self.heard.append((step.number, step.epoch, step.loss, sorted(step.weights), sorted(step.gradients), step.data))


def test_listeners_are_called_at_the_first_the_due_and_the_last_update() -> None:
    parameters = [SimpleNamespace(data=np.ones(2)), SimpleNamespace(data=np.ones(3))]
    step: Any = SimpleNamespace(updates=0, keeps=False, task=SimpleNamespace(names=["w", "b"], parameters=parameters),
                                gradients=[np.zeros(2), None])  # fmt: skip
    all_of, late, deaf = Hears(0, 2), Hears(), object()
    listeners = Listeners([all_of, deaf, late, lambda epoch: None], step, "model", 3)
    assert listeners.all == [all_of, late]
    listeners.begin(1, "rows")
    kept = []
    for k in range(1, 5):
        listeners.ask()
        kept.append(step.keeps)
        if k == 3:
            listeners.tell(1, 0.5, "no update was made")  # as while gradients are accumulated
        step.updates += 1
        listeners.tell(2, k / 2, f"batch {k}")
    listeners.end(2, "rows")
    assert kept == [False, True, True, False]
    assert all_of.heard == [
        (0, 1, None, ["b", "w"], [], "rows"), (2, 2, 1.0, ["b", "w"], ["w"], "batch 2"),
        (3, 2, 1.5, ["b", "w"], ["w"], "batch 3"), (4, 2, None, ["b", "w"], [], "rows"),
    ]  # fmt: skip
    assert late.heard == all_of.heard[2:]
    listeners.end(3, "rows")  # all know it
    assert len(all_of.heard) == 4


# -- Settings, and the checks of model and data


SOLVER: list[tuple[dict[str, Any], Any, str]] = [
    *[
        (
            {"learning_rate": bad},
            ValueError,
            (f"Solver: learning_rate={float(bad)}; a step needs a positive finite size, e.g. 0.03."),
        )
        for bad in (0, -1e-9, math.inf, math.nan)
    ],
    *[
        ({key: bad}, ValueError, f"Solver: {key}={float(bad)}; a limit needs a positive finite size, e.g. {example}.")
        for key, example in (("clip_norm", 1.0), ("clip_value", 0.5))
        for bad in (0, -2, math.inf, math.nan)
    ],
    *[
        (
            {key: bad},
            TypeError,
            f"Solver: {key}={bad!r} is of type {type(bad).__name__}; it needs a number, e.g. {key}=0.1.",
        )
        for key in ("learning_rate", "clip_norm", "clip_value")
        for bad in (True, "1", [1.0])
    ],
    (
        {"learning_rate": None},
        TypeError,
        "Solver: learning_rate=None is of type NoneType; it needs a number, e.g. learning_rate=0.1.",
    ),
    ({"schedule": 0.5}, TypeError, "Solver: schedule=0.5 cannot be called; pass e.g. optim.Cosine(100)."),
    *[
        ({"schedule_by": bad}, ValueError, f"Solver: schedule_by={bad!r}; known are 'epoch' and 'step'.")
        for bad in ("epochs", None)
    ],
    (
        {"groups": [("a", {})]},
        TypeError,
        "Solver: groups=[('a', {})]; it must be a dict of dicts, e.g. {'*.bias': {'learning_rate': 0.001}}.",
    ),
    *[
        (
            {"groups": {"a": {"learning_rate": bad}}},
            ValueError,
            f"Solver: groups['a']['learning_rate']={bad}; it must be a finite number of at least 0, e.g. 0.001.",
        )
        for bad in (-1.0, math.inf, math.nan)
    ],
    ({"groups": {"a": 3}}, TypeError, "Solver: groups['a']=3; it must be a dict, e.g. {'learning_rate': 0.001}."),
    (
        {"groups": {"a": {"learning_rate": "x"}}},
        TypeError,
        (
            "Solver: groups['a']['learning_rate']='x' is of type str; it "
            "needs a number, e.g. groups['a']['learning_rate']=0.1."
        ),
    ),
    (
        {"groups": {"a": {"optimizer": "lbfgs"}}},
        TypeError,
        ("Solver: lbfgs updates all parameters together; leave groups out."),
    ),
    *[
        (
            {"optimizer": "lbfgs", key: 1.0},
            ValueError,
            ("Solver: lbfgs looks for the length of a step itself; leave clip_norm and clip_value out."),
        )
        for key in ("clip_norm", "clip_value")
    ],
    ({"loss": Silent}, TypeError, "Solver: loss=Silent is a class; create an instance, Silent()."),
    (
        {"optimizer": optim.SGD},
        TypeError,
        (
            "Solver: optimizer=SGD holds the parameters of a loop of your own; for fit "
            "write its name, 'sgd', or its rule, optim.sgd()."
        ),
    ),
    (
        {"optimizer": optim.Adam([Tensor(X)])},
        TypeError,
        (
            "Solver: optimizer=Adam holds the parameters of a loop of your "
            "own; for fit write its name, 'adam', or its rule, optim.adam()."
        ),
    ),
    (
        {"regularization": 3},
        TypeError,
        ("Solver: regularization=3 is of type int; write Regularization('l2', lam=0.001), or leave it out."),
    ),
]


@pytest.mark.parametrize(("given", "kind", "message"), SOLVER)
def test_options_of_a_solver_out_of_range(given: dict[str, Any], kind: Any, message: str) -> None:
    with says(kind, message):
        Solver(**{"loss": "mse", **given})


def test_options_of_a_solver_at_their_bounds() -> None:
    given = {"schedule": optim.Cosine(3), "schedule_by": "step", "clip_norm": 1e-12, "clip_value": np.float32(3)}
    solver = Solver(" MSE ", " Adam", np.int64(1), **given)
    assert (solver.loss, solver.optimizer, solver.learning_rate) == ("mse", "adam", 1.0)
    assert [type(value) for value in (solver.learning_rate, solver.clip_value)] == [float, float]
    assert (solver.clip_norm, solver.clip_value, solver.schedule_by) == (1e-12, 3.0, "step")
    rule, rate = Solver("mse", "adam", 0.5).group("a", {"beta1": 0.25, "learning_rate": 2})
    assert (rule, rate) == (optim.adam(beta1=0.25), 2.0)
    assert Solver("mse", "adam", 0.5).group("a", {"optimizer": "sgd"}) == (optim.sgd(), 0.5)
    assert Solver("mse", "LBFGS").rule == optim.lbfgs()
    for key in ("lam", "r", "dropout"):
        assert getattr(Regularization("elasticnet", **{key: 0}), key) == 0.0
        assert getattr(Regularization("elasticnet", **{key: 0.999}), key) == 0.999
        for bad in (-1e-9, math.nan, math.inf):
            with pytest.raises(ValueError, match=f"^Regularization: {key}={bad}; "):
                Regularization("l2", **{key: bad})
    assert Regularization("l1", 1.0).lam == 1.0
    for key in ("epochs", "batch_size", "accumulate"):
        assert getattr(Settings(**{"epochs": 1, key: 1}), key) == 1
        with says(ValueError, f"Settings: {key}=0; it must be at least 1, e.g. {key}=16."):
            Settings(**{"epochs": 1, key: 0})
        with says(TypeError, f"Settings: {key}=1.0 is of type float; it needs a whole number, e.g. {key}=16."):
            Settings(**{"epochs": 1, key: 1.0})


def test_targets_are_probabilities_with_rounding() -> None:
    model = [Layer(3, 2, "softmax", rng=0)]
    for y in (np.eye(2), np.array([[1.0, 9e-6], [0.5, 0.5 - 9e-6]]), np.eye(2, dtype=int), np.eye(2, dtype=bool)):
        found = check_targets("f", model, y, 2, "crossentropy")
        np.testing.assert_array_equal(found, y)
        assert found.dtype == float
    encode = "Encode labels with tinygrad_nn.data.one_hot(labels); for several labels a row use 'binarycrossentropy'."
    with says(ValueError, "f: crossentropy needs one-hot targets, or rows of probabilities that sum to 1; row 1 of "
              f"data_out is [0.5, 0.49998], which sums to 0.99998. {encode}"):  # fmt: skip
        check_targets("f", model, np.array([[1.0, 0.0], [0.5, 0.49998]]), 2, "crossentropy")
    for bad, text in ((-1e-9, "-1e-09"), (1.001, "1.001")):
        with says(ValueError, "f: binarycrossentropy needs targets that are probabilities, and data_out[1, 0] is "
                  f"{text}, which is outside [0, 1]. Encode labels with tinygrad_nn.data.one_hot(labels); for a "
                  "regression use 'mse'."):  # fmt: skip
            check_targets("f", model, np.array([[1.0, 0.0], [bad, 0.0]]), 2, "binarycrossentropy")
        assert check_targets("f", model, np.array([[1.0, 0.0], [bad, 0.0]]), 2, "mse")[1, 0] == bad
    assert check_targets("f", [Layer(3, 1, rng=0)], [1, 2], 2, "mse").tolist() == [[1.0], [2.0]]


def test_the_first_layer_that_does_not_fit_is_named() -> None:
    a, b, c = Layer(3, 4, "tanh"), Layer(4, 2), Layer(2, 2, dtype=np.float32)
    assert check_model("f", a) == [a]
    assert check_model("f", (a, b)) == [a, b]
    twice = Layer(2, 2)
    for model, message in (
        (
            [a, twice],
            (
                f"layer 2 of 2 ({twice!r}) takes 2 columns, but layer 1 of 2 ({a!r}) gives 4. Write Layer(4, 2, "
                f"{twice.activation!r})."
            ),
        ),
        (
            [a, b, c],
            (
                f"layer 3 of 3 ({c!r}) has dtype float32 and layer 2 of 3 ({b!r}) float64. Make all layers with the "
                "same dtype=."
            ),
        ),
        (
            [a, b, twice, twice],
            (f"layer 4 of 4 ({twice!r}) appears twice in the model, so it would be updated twice. "
             "Create another Layer."),
        ),
    ):
        with says(ValueError, f"f: {message}"):
            check_model("f", model)
    with says(TypeError, "f: a model is a list of layers; this has 3 of type int. Write [Layer(4, 40, 'relu'), "
              "Layer(40, 3, 'softmax')]."):  # fmt: skip
        check_model("f", [a, 3])


# -- The step of a training


def test_gathered_gradients_count_by_their_rows() -> None:
    one, two = [np.array([1.0]), None, np.ones(2, np.float32)], [np.array([4.0]), np.array([6.0]), None]
    assert _mean([(one, 5)]) is one
    a, b, c = _mean([(one, 1), (two, 3)])
    assert (a.tolist(), b.tolist(), c.tolist(), c.dtype) == ([3.25], [4.5], [0.25, 0.25], np.float32)
    assert _mean([(one, 1), (two, 0)])[0].tolist() == [1.0]  # a rank without rows of a batch
    assert _mean([(one, 0), (two, 0)])[0].tolist() == [1.0]
    assert _mean([([None], 2), ([None], 3)]) == [None]
    assert _mean([([np.array([3.0])], 1), ([np.array([6.0])], 1), ([np.array([9.0])], 1)])[0] == pytest.approx(6)


@pytest.mark.parametrize(
    ("compile", "backend"),
    [(False, None), (None, None), (True, "auto"), ("auto", "auto"), ("numpy", "numpy"), ("numba", "numba")],
)
def test_the_backend_of_a_compile_argument(compile: Any, backend: str | None) -> None:
    lbfgs = Solver("mse", "lbfgs")
    assert backend_of("fit", compile, "graph", MSE) == backend
    if backend is None:
        assert backend_of("fit", compile, "manual", lbfgs) is None
        return
    with says(ValueError, "fit: compile= is for the gradients of the graph; leave gradients='manual' out."):
        backend_of("fit", compile, "manual", MSE)
    with says(ValueError, "fit: lbfgs evaluates the loss as often as it likes; leave compile= out."):
        backend_of("fit", compile, "graph", lbfgs)


def test_a_backend_that_is_not_there_is_named() -> None:
    for bad in ("jit", 1.5, "Numpy"):
        with says(ValueError, f"fit: compile={bad!r}; it must be True, False, 'numpy' or 'numba'."):
            backend_of("fit", bad, "graph", MSE)


def test_gradients_that_are_foreseen_leave_no_trace() -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm(4), nn.Dropout(0.5), nn.Linear(4, 2, rng=1))
    task = ModuleTask("fit", model, MSE)
    rng = np.random.default_rng(3)
    before = {name: np.array(value) for name, value in model.state_dict().items()}
    with task.training(rng):
        foreseen = _coming_gradients(task, X, Y, rng)
        assert rng.bit_generator.state == np.random.default_rng(3).bit_generator.state
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value, before[name])
        for g, right in zip(foreseen, task.gradients(X, Y, rng)[1], strict=True):
            np.testing.assert_array_equal(g, right)
    assert rng.bit_generator.state != np.random.default_rng(3).bit_generator.state


# -- What a training tells


def test_a_history_in_one_line_and_in_many() -> None:
    assert repr(History()) == "History(0 epochs)"
    assert repr(History([0.5])) == "History(1 epoch: loss 0.5000 to 0.5000)"
    two = History([0.5, 0.25], [2.0, 1.0], {"r2": [0.0, -1.0], "none": []})
    assert repr(two) == "History(2 epochs: loss 0.5000 to 0.2500, val_loss 2.0000 to 1.0000, r2 0.0000 to -1.0000)"
    assert (two.epochs, len(two)) == (2, 2)
    text = str(History([1.0] * 2, [], {"accuracy_of_all": [0.5, 0.75]}))
    assert text.split("\n") == [
        "epoch      loss  accuracy_of_all", "    1    1.0000           0.5000", "    2    1.0000           0.7500",
    ]  # fmt: skip
    for epochs in (19, 20, 21, 30):
        lines = str(History([float(k) for k in range(epochs)])).split("\n")[1:]
        numbers = [line.split()[0] for line in lines]
        every = [str(k + 1) for k in range(epochs)]
        assert numbers == (every if epochs <= 20 else [*every[:10], "...", *every[-10:]])


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (0.12345, 9, "0.1235"), (1234.5678, 9, "1234.5678"), (12345.678, 9, "1.235e+04"), (-1234.5, 9, "-1.23e+03"),
        (-1234.5, 10, "-1234.5000"), (-5.55e120, 9, "-5.5e+120"), (-5.55e120, 10, "-5.55e+120"), (1e9, 9, "1.000e+09"),
        (math.inf, 9, "inf"), (math.nan, 9, "nan"), (3.21e-6, 9, "3.210e-06"), (-9.99e-4, 9, "-9.99e-04"),
        (1e-3, 9, "0.0010"), (0.0, 9, "0.0000"), (1e-310, 9, "1.00e-310"),
    ],
)  # fmt: skip
def test_a_number_fits_its_column(value: float, width: int, text: str) -> None:
    assert cell_text(value, width) == text


def test_a_history_goes_to_text_and_back() -> None:
    one = History([0.1, math.inf], [math.nan, -math.inf], {"r2": [1 / 3, 0.0]})
    text = json.loads(one.to_json())
    assert text == {"loss": [0.1, "inf"], "val_loss": ["nan", "-inf"], "metrics": {"r2": [1 / 3, 0.0]}}
    assert History([0.5]).to_json() == '{\n  "loss": [\n    0.5\n  ],\n  "val_loss": [],\n  "metrics": {}\n}'
    again = History.from_json(one.to_json())
    assert (again.loss, again.metrics, again.val_loss[1]) == (one.loss, one.metrics, -math.inf)
    assert math.isnan(again.val_loss[0])
    copied = one.to_dict()
    copied["loss"].append(3.0)
    copied["metrics"]["r2"].append(3.0)
    assert (len(one.loss), len(one.metrics["r2"])) == (2, 2)
    for data, message in (
        (3, "History: this is of type int; a history has loss, val_loss, metrics."),
        ({"loss": [], "metrics": {}}, "History: 'val_loss' is missing; a history has loss, val_loss, metrics."),
        ({}, "History: 'loss' is missing; a history has loss, val_loss, metrics."),
    ):
        with says(ValueError, message):
            History.from_dict(data)
    for data in ({"loss": ["x"]}, {"val_loss": 3}, {"metrics": []}, {"metrics": {"a": 1}}, {"loss": [None]}):
        with pytest.raises(ValueError, match=r"^History: loss, val_loss and each of the metrics are lists of numb"):
            History.from_dict({"loss": [], "val_loss": [], "metrics": {}, **data})
    with says(AttributeError, "a History has no attribute 'r2'. Write history.metrics['r2']."):
        one.r2  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'history'\. It is the history: history\.loss, "):
        one.history  # noqa: B018


class Cell:
    """The output of a notebook's cell, with a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.shown = 100.0, []
        self.display_pub = SimpleNamespace(publish=self.publish)
        monkeypatch.setattr(progress_bar.time, "monotonic", lambda: self.now)

    def publish(self, data: Any, metadata: Any, transient: Any, update: bool) -> None:
        self.shown.append((data["text/plain"], update, data["text/html"]))


def test_a_bar_in_a_notebook_counts_epochs_and_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Cell(monkeypatch)
    monkeypatch.setattr(progress_bar, "notebook", lambda: shell)
    with progress_bar.showing_progress(1200, 2) as shown:
        assert [text for text, *_ in shell.shown] == ["epoch 2 of 1,200"]
        shell.now += 0.0625
        shown.epoch(epoch(0.5))
        assert len(shell.shown) == 1  # too soon
        shell.now += 0.125
        shown.epoch(epoch(0.25, 4.0))
        shell.now += 1.8125
        list(shown.batches(iter("ab"), 2))
        assert len(shell.shown) == 2  # an epoch of less than two seconds
        batches = shown.batches(iter("abcd"), 4)
        next(batches)
        shell.now += 2.5
        next(batches)
        unknown = shown.batches(iter("ab"), None)
        next(unknown)
        shell.now += 2.5
        next(unknown)
    seconds = [int(took * (1200 - done) / (done - 2)) for done, took in ((4, 0.1875), (4.25, 4.5), (4, 7.0), (4, 7.0))]
    left = [f"{k // 60}:{k % 60:02d} left" for k in seconds]
    assert [text for text, *_ in shell.shown[1:]] == [
        f"epoch 4 of 1,200  loss 0.2500  val_loss 4.0000  {left[0]}",
        f"epoch 4 of 1,200  loss 0.2500  val_loss 4.0000  batch 1 of 4  {left[1]}",
        f"epoch 4 of 1,200  loss 0.2500  val_loss 4.0000  batch 1  {left[2]}",
        f"epoch 4 of 1,200  loss 0.2500  val_loss 4.0000  batch 1  {left[3]}",
    ]
    assert [update for _, update, _ in shell.shown] == [False, True, True, True, True]
    assert '<progress max="1200" value="4.25" aria-label="epochs done">' in shell.shown[2][2]


def test_no_bar_is_shown_of_no_epochs() -> None:
    with progress_bar.showing_progress(0, 0) as shown:
        assert shown.epoch(epoch(1.0)) is None
        assert list(shown.batches(iter("abc"), 3)) == ["a", "b", "c"]


# -- Epochs


def test_losses_of_parts_count_by_their_rows_and_roots_under_the_root() -> None:
    parts = [(X[:1], Y[:1]), (X, Y)]
    task: Any = SimpleNamespace(evaluate=lambda x, y: (float(len(x)), x[:, 0]))
    for loss, mean in (("mse", (1 * 1 + 2 * 2) / 3), ("rmse", ((1 * 1 + 4 * 2) / 3) ** 0.5)):
        found, pairs = _losses(task, Batches("fit", parts), Solver(loss), True, None)
        assert found == pytest.approx(mean, rel=1e-15)
        assert [(y.tolist(), z.tolist()) for y, z in pairs] == [
            (Y[:1].tolist(), [0.0]), (Y.tolist(), [0.0, 3.0]),
        ]  # fmt: skip
        assert _losses(task, Batches("fit", parts), Solver(loss), False, None) == (found, [(None, None)] * 2)
        assert _losses(task, Rows(X, Y, 1), Solver(loss), False, None)[0] == 2.0
    assert _join_rows([X[:1], X]).tolist() == [*X[:1].tolist(), *X.tolist()]
    assert _join_rows([X]) is X
    assert _join_rows([{"a": X}]) == {"a": X}
    assert _join_rows([{"a": X}, {"a": X}]) is None


def test_a_parameter_that_is_not_finite_is_named() -> None:
    good, bad = SimpleNamespace(data=np.ones(2)), SimpleNamespace(data=np.array([1.0, np.nan]))
    check_finite(SimpleNamespace(names=["a", "b"], parameters=[good, good]), 3)  # type: ignore[arg-type]
    message = (
        "fit: b became infinite or NaN in epoch 3, because a gradient was. tinygrad_nn.detect_anomaly() around fit "
        "shows which operation made it; clip_norm=1.0 or a lower learning_rate may help."
    )
    with says(FloatingPointError, message):
        check_finite(SimpleNamespace(names=["a", "b"], parameters=[good, bad]), 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings": 3}, "fit: settings=3; write settings=Settings(epochs=20, batch_size=16)."),
        ({"early_stopping": 3}, "fit: early_stopping=3; write early_stopping=EarlyStopping(patience=5)."),
        ({"metrics": ["r2"]}, "fit: metrics=['r2']; write a dict, metrics={'mae': f(y, prediction)}."),
        ({"callbacks": print}, "fit: callbacks=<built-in function print>; write a list, callbacks=[your_function]."),
        ({"solver": Solver("mse", "lbfgs"), "settings": Settings(1, 2, 2)},
         "fit: lbfgs treats each batch separately; leave accumulate out, and make batch_size larger."),
        ({"compile": True, "settings": Settings(1, 2, 2)},
         "fit: a compiled step updates after each batch; leave compile or accumulate out."),
        ({"params": {"W": X}}, "fit: params= belongs to a function f(params, x, y); the model is a list."),
        ({"model": fit_me}, "fit: fit_me is a function; pass its parameters, params={'W': W, 'b': b}."),
        ({"model": fit_me, "params": {}, "gradients": "manual"},
         "fit: fit_me has no equations written by hand; leave gradients='manual' out."),
        ({"model": fit_me, "params": {}, "class_weight": "balanced"},
         "fit: fit_me computes its loss itself; weight the classes there, without class_weight."),
        ({"x": [(X, Y)], "y": None, "class_weight": "balanced"},
         "fit: class_weight needs arrays x and y; with batches, weight the rows in the loss."),
        ({"x_val": X}, "fit: y_val is missing; pass both x_val and y_val, or neither."),
        ({"y_val": Y}, "fit: x_val is missing; pass both x_val and y_val, or neither."),
        ({"model": mixed(), "x_val": X}, "fit: y_val is missing; pass both x_val and y_val, or neither."),
        ({"model": mixed(), "y_val": Y}, "fit: x_val is missing; pass both x_val and y_val, or neither."),
    ],
)  # fmt: skip
def test_arguments_of_fit_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    arguments = {"model": layers(), "x": X, "y": Y, "solver": MSE, "settings": Settings(1, 2), **given}
    with says((TypeError, ValueError), message):
        fit(**arguments)


def test_the_metric_that_fits_the_targets() -> None:
    def chosen(y: Any, z: Any, loss: Any = "mse", kind: Any = SimpleNamespace) -> list[str]:
        task = object.__new__(kind) if kind is not SimpleNamespace else SimpleNamespace()
        vars(task)["solver"] = SimpleNamespace(loss=loss)
        return list(default_metric(task, y, z))

    labels, two = np.array([0, 1]), np.zeros((2, 3))
    assert chosen(Y, Y) == ["r2"]
    assert chosen(Y, two) == chosen(Y[:, 0], Y[:, 0]) == chosen([1], [1]) == chosen(Y, [1]) == chosen([1], Y) == []
    assert chosen(Y, Y, "crossentropy") == chosen(Y, Y, "binarycrossentropy") == ["accuracy"]
    assert chosen(labels, two, "crossentropy") == []
    assert chosen(labels, two, np.sum) == chosen(labels, two, None, FunctionTask) == ["accuracy"]
    assert chosen(labels, two, "mse", FunctionTask) == ["accuracy"]
    assert chosen(labels * 1.0, two, np.sum) == chosen(labels, labels, np.sum) == chosen(Y, Y, np.sum) == []


@pytest.mark.parametrize(("solver", "known"), [
    (Solver("mse"), True),
    (Solver(None), False),
    (Solver(lambda a, y: ((a - y) ** 2).mean()), False),
    (Solver("mse", groups={"0.*": {"learning_rate": 0.1}}), False),
    (Solver("mse", "lbfgs"), False),
    (Solver("mse", "adam"), True),
])  # fmt: skip
def test_the_way_by_layers_knows_names_of_losses_and_no_groups(solver: Solver, known: bool) -> None:
    assert can_train_layers(solver) is known


class Held:
    """Numbers that NumPy can read and that are no array, as those of a data frame."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.ones((4, 3))


@pytest.mark.parametrize(("x", "task", "rows"), [
    (np.ones((4, 3)), "LayerTask", "Rows"),
    ([[1.0, 2.0, 3.0]] * 4, "LayerTask", "Rows"),
    (((1.0, 2.0, 3.0),) * 4, "LayerTask", "Rows"),
    (Held(), "ModuleTask", "Rows"),
    (range(4), "ModuleTask", "Rows"),
    ({"a": np.ones((4, 3))}, "ModuleTask", "Rows"),
])  # fmt: skip
def test_only_arrays_are_trained_by_the_task_of_layers(x: Any, task: str, rows: str) -> None:
    model, y = [Layer(3, 2, "linear")], np.zeros((4, 2))
    found = prepare_training("fit", model, x, y, None, None, Solver("mse"), 2)
    assert [type(part).__name__ for part in found] == [task, rows, "NoneType"]


def test_one_batch_goes_by_layers_whatever_holds_it(tmp_path: Any) -> None:
    model, y, mapped = [Layer(3, 2, "linear")], np.zeros((4, 2)), np.memmap(tmp_path / "x", float, "w+", shape=(4, 3))
    for x in (np.ones((4, 3)), Held(), mapped):
        task, rows, _ = prepare_training("BackProp", model, x, y, None, None, Solver("mse"), 4, single=True)
        assert type(task).__name__ == "LayerTask"
        assert isinstance(rows, Rows)


def test_batches_of_pairs_and_mapped_rows_go_by_modules(tmp_path: Any) -> None:
    model, pairs = [Layer(3, 2, "linear")], [(np.ones((4, 3)), np.zeros((4, 2)))]
    mapped = np.memmap(tmp_path / "x", float, "w+", shape=(4, 3))
    for x, y, rows in ((pairs, None, "Batches"), (mapped, np.zeros((4, 2)), "Rows")):
        found = prepare_training("fit", model, x, y, None, None, Solver("mse"), 2)
        assert [type(part).__name__ for part in found] == ["ModuleTask", rows, "NoneType"]


def test_a_model_is_tried_before_the_first_step_and_a_function_before_each_hundredth() -> None:
    function, module = object.__new__(FunctionTask), object.__new__(ModuleTask)

    def tries(task: Any, steps: int, probed: bool, size: int) -> bool:
        given: Any = SimpleNamespace(task=task, steps=steps, probed=probed, ranks=SimpleNamespace(size=size))
        return SharedTraining._tries(given)

    for probed in (True, False):
        assert [n for n in range(301) if tries(function, n, probed, 2)] == [0, 100, 200, 300]
    assert all(tries(module, n, probed=False, size=2) for n in (0, 1, 99, 100))
    assert not any(tries(module, n, probed=True, size=3) for n in (0, 1, 99, 100))
    assert not any(tries(task, 0, probed=False, size=1) for task in (function, module))
