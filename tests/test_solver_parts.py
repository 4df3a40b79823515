"""The solver part by part: its bounds from both sides, what it counts, and what it says, word for word."""

import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import BackProp, FeedForward, Layer, Predict, Regularization, Solver, Tensor, TrainNN, nn
from tinygrad_nn.optim.update import Memory
from tinygrad_nn.solver import EarlyStopping, graph_loss
from tinygrad_nn.solver.arguments import accuracy, label_accuracy
from tinygrad_nn.solver.batches import Batches, Rows, check_rows, nest, source
from tinygrad_nn.solver.callbacks import Listeners, Step
from tinygrad_nn.solver.divergence import check_growth, watch_growth
from tinygrad_nn.solver.epochs import Epoch
from tinygrad_nn.solver.prediction import as_dtype, by_chunks, evaluating
from tinygrad_nn.solver.stopping import Watch, monitored

X, Y = np.arange(6.0).reshape(2, 3), np.array([[0.5, -1.0], [2.0, 0.25]])
MSE = Solver("mse", "sgd", 0.1)
DROPPED = Solver("mse", "sgd", 0.1, Regularization(dropout=0.5))


def layers() -> list[Layer]:
    return [Layer(3, 4, "tanh", rng=0), Layer(4, 2, rng=1)]


def mixed() -> nn.Sequential:
    return nn.Sequential(Layer(3, 4, "tanh", rng=0), nn.Dropout(0.5), Layer(4, 2, rng=1))


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
         "Predict: x has shape (0, 3); it needs one row a sample, and at least one row."),
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
        *[({"min_delta": bad}, f"EarlyStopping: min_delta={bad!r}; it is a finite number of at least 0.")
          for bad in (-1e-9, math.inf, math.nan)],
        ({"mode": "least"}, "EarlyStopping: mode='least'; known are 'auto', 'min' and 'max'."),
    ],
)  # fmt: skip
def test_early_stopping_out_of_range(given: dict[str, Any], message: str) -> None:
    assert EarlyStopping(1, 0).patience == 1
    with says(ValueError, message):
        EarlyStopping(**given)


@pytest.mark.parametrize(
    ("monitor", "mode", "sign"),
    [("loss", "auto", 1), ("val_loss", "auto", 1), ("r2", "auto", -1), ("r2", "min", 1), ("loss", "max", -1)],
)
def test_better_is_by_more_than_min_delta(monitor: str, mode: str, sign: int) -> None:
    watch = Watch(EarlyStopping(2, 0.5, monitor, mode))

    def look(number: int, value: float) -> bool:
        return watch.better(epoch(value, value, number, r2=value))

    seen = [look(1, math.nan), look(2, 4.0), look(3, 4.0 - 0.5 * sign), look(4, 4.0 - 0.75 * sign), look(5, math.nan)]
    assert seen == [False, True, False, True, False]
    assert (watch.best, watch.epoch, watch.since, watch.ended) == (4.0 - 0.75 * sign, 4, 1, False)
    assert not look(6, 4.0)
    assert (watch.since, watch.ended) == (2, True)


def test_what_is_not_monitored_is_named() -> None:
    assert monitored("f", "loss", epoch(2.0)) == 2.0
    assert monitored("f", "r2", epoch(2.0, r2=0.0)) == 0.0
    with says(ValueError, "f: there is no 'val_loss' in this training; it has loss, r2. Pass x_val and y_val to fit."):
        monitored("f", "val_loss", epoch(2.0, r2=0.5))
    message = "f: there is no 'accurracy' in this training; it has loss, val_loss, accuracy. Did you mean 'accuracy'? "
    with says(ValueError, message + "Write one of these as monitor=."):
        monitored("f", "accurracy", epoch(2.0, 3.0, accuracy=0.5))


LOWER = "the training diverged. Lower learning_rate=0.1, or scale the data with tinygrad_nn.data.Scaler."


def test_a_loss_may_grow_a_million_times_and_no_more() -> None:
    for start, most in ((0.0, 1e6), (0.5, 1e6), (3.0, 3e6), (-3.0, 3e6)):
        for sign in (1, -1):
            check_growth(sign * most, start, MSE, "now")
            grew = f"the loss grew from {start:.3g} to {sign * 2 * most:.3g} now"
            with says(FloatingPointError, f"{grew}: {LOWER} Make the model anew for it."):
                check_growth(sign * 2 * most, start, MSE, "now")
            with pytest.raises(FloatingPointError):
                check_growth(sign * most * 1.001, start, MSE, "now")
    for start in (None, math.nan, math.inf):
        check_growth(1e300, start, MSE, "now")
    for loss in (math.inf, math.nan):
        with says(FloatingPointError, f"the loss became {loss} in epoch 3: {LOWER} Make the model anew for it."):
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
        ((still, labels, n),) = rows.still(2)
        assert (still[:, 0].tolist(), labels.tolist(), n) == (list(range(7)), list(range(7)), 7)


def test_mapped_rows_are_read_in_chunks_and_looked_at_as_they_are_read(tmp_path: Any) -> None:
    x = np.memmap(tmp_path / "x", float, "w+", shape=(5, 1))
    x[:, 0] = range(5)
    rows = Rows({"a": x}, (np.arange(5), np.zeros(5)), 2)
    assert rows.mapped
    assert [(part["a"][:, 0].tolist(), labels.tolist(), n) for part, (labels, _), n in rows.still(2)] == [
        ([0.0, 1.0], [0, 1], 2), ([2.0, 3.0], [2, 3], 2), ([4.0], [4], 1),
    ]  # fmt: skip
    x[3] = np.inf
    assert rows.read(np.array([1, 4]))[2] == 2
    with says(ValueError, "fit: row 3 of the mapped data holds inf; training needs finite numbers."):
        rows.read(np.array([1, 3]))


def test_classes_are_weighed_in_batches_only() -> None:
    rows = Rows(np.zeros((2, 1)), np.eye(2), 2, np.array([2.0, 0.5]))
    assert rows.read(np.array([1, 0]))[1].tolist() == [[0.0, 0.5], [2.0, 0.0]]
    assert next(iter(rows.still(9)))[1].tolist() == np.eye(2).tolist()
    assert rows._weighted(np.eye(2, dtype=np.float32)).dtype == np.float32
    assert rows._weighted(np.eye(2, dtype=int)).dtype == float


def test_batches_are_pairs_that_can_be_gone_through_again() -> None:
    with says(TypeError, "fit: list_iterator can be gone through only once, and every epoch goes through all batches. "
              "Pass a list of batches, tinygrad_nn.data_loader(x, y, 32), or an object with __iter__."):  # fmt: skip
        Batches("fit", iter([]))
    rng = np.random.default_rng(0)
    found = Batches("fit", [(X, Y), [X[:1], Y[:1]]])
    assert (found.count, found.generators) == (2, [])
    assert [n for *_, n in found.batches(rng)] == [n for *_, n in found.still(9)] == [2, 1]
    for bad, message in (
        ([(X, Y), (X, Y, Y)], "fit: batch 1 is "), ([X], "fit: batch 0 is "), ([(X,)], "fit: batch 0 is "),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=rf"(?s)^{message}.* of type (tuple|ndarray); a batch is a pair \(x, y\)\."):
            list(Batches("fit", bad).batches(rng))
    with says(ValueError, "fit: the iterable gave no batch; an iterator is used up after one pass."):
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
    assert isinstance(source("fit", [(X, Y)], None, 2), Batches)
    assert source("fit", X.tolist(), Y, 1).count == 2


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros(()), Y, "x has shape (); it needs one row a sample, and at least one row."),
        (X, np.zeros((0, 2)), "y has shape (0, 2); it needs one row a sample, and at least one row."),
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
def test_what_is_no_data_is_named(data: Any, kind: Any, message: str) -> None:
    with says(kind, f"fit: {message}"):
        nest("fit", data, "x")


def test_data_in_nests_stays_in_them() -> None:
    found = nest("fit", {"a": X, "b": (Y, np.float32(2))}, "x")
    assert found["a"] is X
    assert found["b"][0] is Y
    assert nest("fit", ([1.0], [2.0]), "x").tolist() == [[1.0], [2.0]]
    for kind in ("f4", "i2", "u1", "?"):
        assert nest("fit", np.zeros(2, kind), "x").dtype == np.dtype(kind)


# -- Predictions, metrics


@pytest.mark.parametrize(("rows", "calls"), [(1, [1]), (256, [256]), (257, [256, 1]), (600, [256, 256, 88])])
def test_many_rows_are_predicted_some_at_a_time(rows: int, calls: list[int]) -> None:
    seen: list[int] = []
    x = np.arange(float(rows))[:, None]

    def forward(part: Any) -> Any:
        seen.append(len(part))
        return {"double": Tensor(part * 2), "row": part[:, 0]}

    found = by_chunks(forward, x, lambda part: part)
    assert seen == calls
    np.testing.assert_array_equal(found["double"], x * 2)
    np.testing.assert_array_equal(found["row"], x[:, 0])
    assert type(found["double"]) is np.ndarray


def test_what_has_no_row_for_each_row_is_predicted_at_once() -> None:
    seen: list[int] = []

    def total(part: Any) -> Any:
        seen.append(len(part))
        return part.sum(axis=0)

    x = np.ones((257, 1))
    assert by_chunks(total, x, lambda part: part).tolist() == [257.0]
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


def test_listeners_are_told_of_the_first_the_due_and_the_last_update() -> None:
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
