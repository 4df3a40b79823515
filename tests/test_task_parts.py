"""How training handles models: class weights, clipping, and functions with nests of parameters."""

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Layer, Predict, Regularization, Settings, Solver, Tensor, fit, loss_fct, nn, optim
from tinygrad_nn.nn import functional as F
from tinygrad_nn.solver.tasks.class_weight import class_weights, takes_weight, weighted_loss
from tinygrad_nn.solver.tasks.function import FunctionTask, _loss_and_prediction
from tinygrad_nn.solver.tasks.layers import LayerLoss, LayerTask
from tinygrad_nn.solver.tasks.loss import check_single_number
from tinygrad_nn.solver.tasks.module import ModuleTask
from tinygrad_nn.solver.tasks.task import clip_gradients

CROSS = Solver("crossentropy")
TARGETS = np.eye(3)[[0, 0, 0, 1, 1, 2]]
X, Y = np.arange(6.0).reshape(3, 2), np.array([[1.0], [0.0], [2.0]])


@pytest.mark.parametrize(
    ("weight", "numbers"),
    [
        ("balanced", [6 / 9, 6 / 6, 6 / 3]), ([1, 2, 0], [1, 2, 0]), ((0.5, 0.5, 0.5), [0.5] * 3),
        ({0: 2.0}, [2.0, 1.0, 1.0]), ({2: 0}, [1.0, 1.0, 0.0]), ({}, [1.0] * 3), (np.ones(3, np.float32), [1.0] * 3),
    ],
)  # fmt: skip
def test_the_weight_of_each_class(weight: Any, numbers: list[float]) -> None:
    found = class_weights("fit", weight, TARGETS, CROSS)
    np.testing.assert_allclose(found, numbers, rtol=1e-15)
    assert found.dtype == float
    np.testing.assert_allclose(class_weights("fit", weight, TARGETS.reshape(3, 2, 3), CROSS), numbers, rtol=1e-15)
    assert class_weights("fit", None, TARGETS, Solver("mse")) is None


NUMBERS = "it needs 3 finite numbers of at least 0, one for each class."


@pytest.mark.parametrize(
    ("weight", "targets", "solver", "message"),
    [
        ("even", TARGETS, CROSS, "fit: class_weight='even'; it must be 'balanced', or a number for each class."),
        ("balanced", TARGETS[:5], CROSS, ("fit: class 2 has no rows, so its balanced weight would be infinite. Give a "
         "number for each class.")),
        ("balanced", TARGETS[5:], CROSS, ("fit: class 0 has no rows, so its balanced weight would be infinite. Give a "
         "number for each class.")),
        ({3: 1.0}, TARGETS, CROSS, "fit: class_weight has 3; the classes are 0 to 2."),
        ({1: 1.0, -1: 2.0}, TARGETS, CROSS, "fit: class_weight has -1; the classes are 0 to 2."),
        ({"a": 1.0}, TARGETS, CROSS, "fit: class_weight has 'a'; the classes are 0 to 2."),
        *[(bad, TARGETS, CROSS, f"fit: class_weight={bad!r}; {NUMBERS}")
          for bad in ([1.0, "a", 1.0], [1.0, 2.0], [1.0] * 4, [1.0, -1e-9, 1.0], [np.inf, 1.0, 1.0], [1.0, 1.0, np.nan],
                      1.0)],
        ([0.0, 0, 0], TARGETS, CROSS, "fit: class_weight=[0.0, 0, 0] leaves nothing to learn; one must be above 0."),
        ([1.0] * 3, np.array([0, 1]), CROSS, ("fit: class_weight needs one-hot targets; encode labels with "
         "tinygrad_nn.data.one_hot(y).")),
        ([1.0] * 3, [[1, 0, 0]], CROSS, ("fit: class_weight needs one-hot targets; encode labels with "
         "tinygrad_nn.data.one_hot(y).")),
        ([1.0] * 3, TARGETS, Solver("mse"), ("fit: class_weight works with the loss 'crossentropy', and with losses of "
         "labels that take weight=; the solver has 'mse'. Weight the classes inside the loss.")),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_the_classes(weight: Any, targets: Any, solver: Solver, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        class_weights("fit", weight, targets, solver)


def test_a_loss_of_labels_is_given_the_weight_of_each_class() -> None:
    assert [takes_weight(loss) for loss in (nn.losses.cross_entropy, nn.losses.huber, "mse", None, 3)] == [
        True, False, False, False, False,
    ]  # fmt: skip
    seen: list[Any] = []
    labels = np.array([[0, 0, 1], [2, 0, 1]])
    weighed = weighted_loss("fit", "balanced", labels, lambda output, y, weight: seen.append(weight) or (output, y))
    output = np.zeros((6, 3), np.float32)
    assert weighed(output, "labels") == (output, "labels")
    np.testing.assert_allclose(seen[0], [6 / 9, 6 / 6, 6 / 3], rtol=1e-6)
    assert seen[0].dtype == np.float32
    given = weighted_loss("fit", {3: 5.0}, labels, lambda output, y, weight: seen.append(weight))
    for classes in (4, 5, 4):
        given(np.zeros((6, 2, classes)), None)
        assert seen[-1].tolist() == [1.0, 1.0, 1.0, 5.0, 1.0][:classes]
    with pytest.raises(ValueError, match=r"^fit: class 3 has no rows, so its balanced weight would be infinite\."):
        weighted_loss("fit", "balanced", labels, nn.losses.cross_entropy)(np.zeros((6, 4)), labels)


def test_labels_that_are_no_class_do_not_count() -> None:
    """A loss ignores them, such as -100, or raises; class numbers of any whole type count the same."""
    seen: list[Any] = []
    for labels in (np.array([0, -100, 1, 1, 7]), np.array([0, 255, 1, 1], np.uint64), np.array([0, -1, 1, 1], np.int8)):
        weighted_loss("fit", "balanced", labels, lambda output, y, weight: seen.append(weight))(np.zeros((5, 2)), None)
    np.testing.assert_allclose(seen, [[3 / 2, 3 / 4]] * 3, rtol=1e-15)


@pytest.mark.parametrize(
    "loss",
    [F.cross_entropy, partial(nn.losses.cross_entropy, axis=1), partial(partial(F.cross_entropy, ignore_index=9))],
)
def test_the_classes_may_be_on_axis_1(loss: Any) -> None:
    assert takes_weight(loss)
    output, labels = np.random.default_rng(0).normal(size=(2, 3, 4)), np.arange(8).reshape(2, 4) % 3
    found = weighted_loss("fit", [1.0, 2.0, 3.0], labels, loss)(output, labels)
    assert found == pytest.approx(nn.losses.cross_entropy(output, labels, axis=1, weight=[1.0, 2.0, 3.0]), rel=1e-14)


ONLY = (
    "fit: class_weight works with the loss 'crossentropy', and with losses of labels that take weight=; the solver has "
)
INSIDE = ". Weight the classes inside the loss"
TWICE = f"{INSIDE}: pos_weight=2.0 counts class 1 twice."
GIVEN = "fit: the loss has weights of the classes, weight=; leave them or class_weight out."


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.losses.binary_cross_entropy_with_logits, f"{ONLY}binary_cross_entropy_with_logits{TWICE}"),
        (partial(F.binary_cross_entropy_with_logits), f"{ONLY}binary_cross_entropy_with_logits{TWICE}"),
        (F.binary_cross_entropy, f"{ONLY}binary_cross_entropy{INSIDE}."),
        (nn.CrossEntropyLoss(), f"{ONLY}CrossEntropyLoss(){INSIDE}, CrossEntropyLoss(weight=[1.0, 2.0])."),
        (nn.BCEWithLogitsLoss(), f"{ONLY}BCEWithLogitsLoss(){TWICE}"),
        (nn.MSELoss(), f"{ONLY}MSELoss(){INSIDE}."),
        (partial(nn.losses.cross_entropy, weight=[1.0, 2.0]), GIVEN),
    ],
)
def test_losses_whose_weights_are_of_no_class_or_given(loss: Any, message: str) -> None:
    for y in (np.array([0, 1, 1]), np.array([[0], [1], [1]])):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            fit(nn.Linear(2, 2), X, y, solver=Solver(loss), settings=Settings(1, 3), class_weight="balanced")


def test_values_are_cut_off_before_the_norm_is_taken() -> None:
    g = [np.array([3.0, -9.0]), None]
    assert clip_gradients(CROSS, g) is g
    assert clip_gradients(Solver("mse", clip_value=4.0), g)[0].tolist() == [3.0, -4.0]
    np.testing.assert_allclose(clip_gradients(Solver("mse", clip_norm=1.0), g)[0], g[0] / 90**0.5, rtol=1e-6)
    both, none = clip_gradients(Solver("mse", clip_norm=1.0, clip_value=4.0), g)
    np.testing.assert_allclose(both, [0.6, -0.8], rtol=1e-6)
    assert none is None


# -- Functions


ADAM = Solver(optimizer="adam", learning_rate=0.1)


def loss(params: Any, x: Any, y: Any) -> Any:
    z = x @ params["net"][0] + params["b"]
    return ((z - y) ** 2).mean(), {"z": z}


def test_parameters_are_nested_under_their_paths() -> None:
    frozen, own = Tensor(np.ones(1), requires_grad=False), Tensor(np.zeros(1))
    params = {"net": [np.ones((2, 1)), {"k": 3, "none": None, "deep": [0.5]}], "b": own, "fixed": frozen}
    task = FunctionTask("fit", loss, params, ADAM)
    assert task.names == ["net.0", "net.1.deep.0", "b"]
    assert [p.shape for p in task.parameters] == [(2, 1), (), (1,)]
    assert task.parameters[2] is own
    assert {path: np.asarray(value).tolist() for path, value in task.nest.constants().items()} == {
        "net.1.k": 3, "fixed": [1.0],
    }  # fmt: skip
    assert task.nest.title() == "loss"
    found, prediction = task.evaluate(X, Y)
    z = X.sum(axis=1, keepdims=True)
    assert found == pytest.approx(((z - Y) ** 2).mean(), rel=1e-15)
    np.testing.assert_array_equal(prediction["z"], z)
    assert type(prediction["z"]) is np.ndarray
    for p in task.parameters:
        p.data = p.node.out = np.full(p.shape, 7.0)
    assert params["net"][0].tolist() == [[1.0], [1.0]]
    task.publish()
    assert (params["net"][0].tolist(), params["net"][1]) == ([[7.0], [7.0]], {"k": 3, "none": None, "deep": [7.0]})
    assert (params["b"] is own, params["fixed"] is frozen, frozen.data.tolist()) == (True, True, [1.0])


SHAPE = "params is a dict or list, nested as you like, of arrays of floats: {'W': np.zeros((3, 4)), 'b': np.zeros(3)}."


@pytest.mark.parametrize(
    ("params", "kind", "message"),
    [
        (np.ones(2), TypeError, f"fit: params is array([1., 1.]) of type ndarray; {SHAPE}"),
        ({"a": [1.0, {"b": "text"}]}, TypeError, f"fit: a.1.b is 'text' of type str; {SHAPE}"),
        ((1.0,), TypeError, f"fit: params is (1.0,) of type tuple; {SHAPE}"),
    ],
)
def test_invalid_parameters_raise(params: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        FunctionTask("fit", loss, params, ADAM)
    named = "fit: the function of (params, x, y) returns its loss itself, and the solver names 'mse' too. Write "
    with pytest.raises(ValueError, match=f"^{re.escape(named)}Solver"):
        FunctionTask("fit", loss, {"b": np.ones(1)}, Solver("mse"))


def test_a_function_may_return_its_loss_alone() -> None:
    task = FunctionTask("fit", lambda params, x, y: ((x @ params[0] - y) ** 2).mean(), [np.zeros((2, 1))], ADAM)
    assert task.names == ["0"]
    assert task.evaluate(X, Y) == (pytest.approx((Y**2).mean()), None)
    value, (g,) = task.gradients(X, Y, np.random.default_rng(0))
    assert value == pytest.approx((Y**2).mean())
    np.testing.assert_allclose(g, -2 * X.T @ Y / 3, rtol=1e-12)
    assert _loss_and_prediction((1.0, 2.0)) == (1.0, 2.0)
    assert _loss_and_prediction((1.0, 2.0, 3.0)) == ((1.0, 2.0, 3.0), None)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "the function that computes the loss returned None; write return loss"),
        ((1.0, 2.0, 3.0), "the loss is of type tuple. A loss is a single number; a function f"),
    ],
)
def test_a_function_that_returns_no_loss_is_told_what_to_return(result: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"^{said}"):
        fit(lambda params, x, y: result, X, Y, params={"W": np.ones(2)}, solver=ADAM, settings=Settings(1, 3))


def test_parameters_that_are_put_back_stand_in_the_nest_too() -> None:
    params: dict[str, Any] = {"net": [np.ones((2, 1))], "b": np.zeros(1)}
    task = FunctionTask("fit", loss, params, ADAM)
    task.restore({"net.0": np.full((2, 1), 5.0), "b": np.full(1, 7.0)})
    assert (params["net"][0].tolist(), params["b"].tolist()) == ([[5.0], [5.0]], [7.0])
    params["b"] = own = Tensor(np.zeros(1))  # a Tensor that took the place of an array is given its numbers
    task.publish()
    assert params["b"] is own
    assert own.data.tolist() == [7.0]


def test_two_parameters_of_one_path_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^fit: params has two arrays at a\.b; give one of them another key\.$"):
        FunctionTask("fit", loss, {"a.b": np.ones(1), "a": {"b": np.zeros(1)}}, ADAM)


# -- Modules and layers

MSE = Solver("mse", "sgd", 0.5)


def pair() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1))


class Computed(nn.Module):
    def __init__(self) -> None:
        self.w = Tensor(np.ones(2)) * 2

    def forward(self, x: Any) -> Any:
        return x @ self.w


class Constant(nn.Module):
    def __init__(self) -> None:
        self.w = Tensor(np.ones((2, 1)))

    def forward(self, x: Any) -> Any:
        return np.zeros((len(x), 1))


BETWEEN = "takes the logarithm of the prediction, and"
STRICT = "gives values that are not strictly between 0 and 1."
GREW = "the training diverged. Lower learning_rate=0.5,"
CLIP = "gradients with clip_norm=1.0, or scale the data. The parameters are as they were before this step."
STAY = "The weights are as they were before this step."


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: ModuleTask("fit", Computed(), MSE),
            ValueError,
            (
                "fit: w is a Tensor that was computed from others, so training would not change it. Compute it from "
                "arrays and write Tensor(array), or let "
                "its name begin with an "
                "underscore."
            ),
        ),
        (
            lambda: ModuleTask("fit", nn.Sequential(nn.Tanh()), MSE),
            ValueError,
            "fit: Sequential has no parameters to train; unfreeze some, or add layers.",
        ),
        (
            lambda: FunctionTask("fit", loss, {"b": 1}, ADAM),
            ValueError,
            "fit: loss has no parameters to train; put arrays of floats into params.",
        ),
        (
            lambda: ModuleTask("fit", pair(), Solver("mse", groups={"0.*": {}, "1.*": {}})),
            ValueError,
            "fit: no parameter matches the group '1.*'; they are called 0.weight, 0.bias, 2.weight, 2.bias.",
        ),
        (
            lambda: ModuleTask("fit", pair(), Solver("mse", regularization=Regularization(dropout=0.25))),
            ValueError,
            (
                "fit: Regularization(dropout=0.25) is for lists of Layer and arrays in memory; else write "
                "Dropout(0.25) where "
                "it belongs."
            ),
        ),
        (
            lambda: ModuleTask("fit", pair(), Solver(None)),
            ValueError,
            "fit: the solver has no loss; write Solver('mse', ...), or Solver(your_function, ...).",
        ),
        (
            lambda: ModuleTask("fit", pair(), MSE).finite(np.inf),
            FloatingPointError,
            (
                "the loss became inf: the training "
                "diverged. Lower learning_rate=0.5, clip the gradients with clip_norm=1.0, or scale the "
                "data. The parameters "
                "are as they were before this step."
            ),
        ),
        (
            lambda: ModuleTask("fit", pair(), CROSS).finite(np.nan),
            FloatingPointError,
            (
                f"the loss became nan: "
                f"crossentropy {BETWEEN} the model {STRICT} End it with a Layer with 'softmax' or "
                f"'sigmoid', or let it give "
                "logits and write Solver(nn.losses.cross_entropy)."
            ),
        ),
        (
            lambda: ModuleTask("fit", Constant(), MSE).gradients(X, Y, None),
            ValueError,
            "the loss does not depend on any parameter; compute it from them, with Tensors.",
        ),
        (
            lambda: check_single_number(np.zeros(2)),
            ValueError,
            "the loss has shape (2,); it must be a single number. Use reduction='mean', or .mean().",
        ),
        (
            lambda: ModuleTask("fit", pair(), MSE).evaluate(X, Y[:, 0]),
            ValueError,
            (
                "fit: mse compares a prediction of "
                "shape (3, 1) with targets of shape (3,). Pass a column of targets, y[:, None]."
            ),
        ),
        (
            lambda: ModuleTask("fit", pair(), MSE).evaluate(X, np.zeros((3, 2))),
            ValueError,
            (
                "fit: mse compares a "
                "prediction of shape (3, 1) with targets of shape (3, 2). Pass targets of the shape of the prediction."
            ),
        ),
        (
            lambda: ModuleTask("fit", pair(), MSE).evaluate(X, np.zeros((3, 2), int)),
            ValueError,
            (
                "fit: mse compares a "
                "prediction of shape (3, 1) with targets of shape (3, 2). Use "
                "Solver(nn.losses.cross_entropy), which takes "
                "labels and logits, or encode them with one_hot."
            ),
        ),
        (
            lambda: layered("mse").finite(np.inf),
            FloatingPointError,
            (
                "the loss became inf: the training diverged. Lower "
                f"learning_rate=0.5, or scale the data with tinygrad_nn.data.Scaler. {STAY}"
            ),
        ),
        (
            lambda: layered("crossentropy", "relu").finite(np.nan),
            FloatingPointError,
            (
                f"the loss became nan: "
                f"crossentropy {BETWEEN} relu {STRICT} End the model with 'softmax' or 'sigmoid', or use "
                f"the loss 'mse'. "
                f"{STAY}"
            ),
        ),
        (
            lambda: layered("crossentropy").finite(np.inf),
            FloatingPointError,
            f"the loss became inf: {GREW} or scale the data with tinygrad_nn.data.Scaler. {STAY}",
        ),
        (
            lambda: ModuleTask("fit", nn.Sequential(Layer(2, 2, "softmax", rng=0)), CROSS).finite(np.inf),
            FloatingPointError,
            f"the loss became inf: {GREW.replace('0.5', '0.01')} clip the {CLIP}",
        ),
        (
            lambda: ModuleTask("fit", pair(), Solver(nn.losses.huber, "sgd", 0.5)).finite(np.inf),
            FloatingPointError,
            f"the loss became inf: {GREW} clip the {CLIP}",
        ),
        (
            lambda: ModuleTask("fit", nn.Sequential(Layer(2, 2, "softmax", rng=0)), CROSS).evaluate(X, Y),
            ValueError,
            ("fit: crossentropy compares a prediction of shape (3, 2) with targets of shape (3, 1). Pass targets of "
            "the shape of the prediction."),
        ),
        (
            lambda: ModuleTask("fit", nn.Sequential(*[Layer(2, 2) for _ in range(5)]), Solver("mse", groups={"w": {}})),
            ValueError,
            ("fit: no parameter matches the group 'w'; they are called 0.W, 0.b, 1.W, 1.b, 2.W, 2.b, 3.W, 3.b "
            "and 2 more."),
        ),
        (
            lambda: ModuleTask("fit", nn.Sequential(*[Layer(2, 2) for _ in range(4)]), Solver("mse", groups={"w": {}})),
            ValueError,
            "fit: no parameter matches the group 'w'; they are called 0.W, 0.b, 1.W, 1.b, 2.W, 2.b, 3.W, 3.b.",
        ),
        (
            lambda: layered("rmse", road="manual").shares(True),
            ValueError,
            (
                "fit: rmse is not a mean over rows, so with comm= "
                "it is computed from the outputs of all ranks, which the equations written by hand do not know; use "
                "gradients='graph'."
            ),
        ),
    ],
)
def test_what_models_say(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()


def layered(name: str, last: str = "softmax", road: str = "graph", **more: Any) -> LayerTask:
    layers = [Layer(2, 3, "tanh", rng=0), Layer(3, 2, last, rng=1)]
    return LayerTask(LayerLoss(layers, Solver(name, "sgd", 0.5, **more)), road)


def test_a_module_is_trained_by_the_rule_of_the_first_group_that_fits() -> None:
    groups = {"2.*": {"learning_rate": 0.25}, "*.weight": {"optimizer": "adam", "beta1": 0.5}}
    task = ModuleTask("fit", pair(), Solver("mse", "sgd", 0.5, groups=groups))
    assert task.names == ["0.weight", "0.bias", "2.weight", "2.bias"]
    sgd, adam = optim.sgd(), optim.adam(beta1=0.5)
    assert task.rules == [(adam, 0.5), (sgd, 0.5), (sgd, 0.25), (sgd, 0.25)]
    assert task.rates(lambda base: base * 4) == [2.0, 2.0, 1.0, 1.0]
    wide, narrow = task.named([p.data for p in task.parameters])
    assert (list(wide), list(narrow)) == (["0.weight", "2.weight"], ["0.bias", "2.bias"])
    assert task.named([None, np.ones(1), None, None]) == ({}, {"0.bias": np.ones(1)})


def test_the_penalty_is_on_weights_and_in_training_only() -> None:
    model = pair()
    plain = ModuleTask("fit", model, MSE)
    for method, r in (("l1", 0.5), ("l2", 0.5), ("elasticnet", 0.25)):
        task = ModuleTask("fit", model, Solver("mse", "sgd", 0.5, Regularization(method, 0.3, r)))
        w = np.concatenate([p.data.ravel() for p in task.parameters if p.ndim > 1])
        share = {"l1": 1.0, "l2": 0.0}.get(method, r)
        added = 0.3 * (share * abs(w).sum() + (1 - share) * (w**2).sum() / 2)
        assert float(task.objective(X, Y).data) == pytest.approx(plain.evaluate(X, Y)[0] + added, rel=1e-12)
        assert task.evaluate(X, Y)[0] == plain.evaluate(X, Y)[0]
        value, found = task.gradients(X, Y, np.random.default_rng(0))
        assert value == float(task.objective(X, Y).data)
        for g, p, other in zip(found, task.parameters, plain.gradients(X, Y, None)[1], strict=True):  # type: ignore[arg-type]
            slope = 0.3 * (share * np.sign(p.data) + (1 - share) * p.data) if p.ndim > 1 else 0.0
            np.testing.assert_allclose(g, other + slope, rtol=1e-10)


def test_a_module_gets_its_modes_back_and_its_generator() -> None:
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Dropout(0.5), nn.BatchNorm(3), nn.Dropout(0.5), nn.Linear(3, 1))
    model[3].eval()
    modes = [part.training for part in model.modules()]
    task, rng = ModuleTask("fit", model, MSE), np.random.default_rng(0)
    with task.training(rng):
        assert all(part.training for part in model.modules())
        assert model[1].rng is rng
    assert [part.training for part in model.modules()] == modes
    assert [name for _, name in task.places()][:2] == ["running_mean", "running_var"]
    assert {name for _, name in task.places()} == {"running_mean", "running_var", "rng"} | (
        {"num_batches_tracked"} & {name for _, name in task.places()}
    )


def test_whole_numbers_of_targets_leave_the_dtype_of_a_model() -> None:
    model = nn.Linear(2, 1, rng=0, dtype=np.float32)
    task = ModuleTask("fit", model, MSE)
    found, (g, _) = task.gradients(X, Y.astype(int), np.random.default_rng(0))
    assert (g.dtype, task.objective(X, Y.astype(int)).dtype) == (np.float32, np.float32)
    assert found == pytest.approx(task.evaluate(X, Y)[0], rel=1e-6)


@pytest.mark.parametrize("road", ["graph", "manual"])
@pytest.mark.parametrize(
    ("name", "last"),
    [("crossentropy", "softmax"), ("binarycrossentropy", "sigmoid"), ("mse", "tanh"), ("crossentropy", "sigmoid"),
     ("mae", "softmax")],
)  # fmt: skip
def test_layers_have_one_loss_on_each_road(name: str, last: str, road: str) -> None:
    y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    task = layered(name, last, road, regularization=Regularization("l2", 0.2))
    assert task.names == ["layer 1 W", "layer 1 b", "layer 2 W", "layer 2 b"]
    value, found = task.gradients(X, y, np.random.default_rng(0))
    output, prediction = task.outputs(X)
    plain, again = task.evaluate(X, y)
    np.testing.assert_array_equal(prediction, again)
    np.testing.assert_array_equal(prediction, Predict(task.layers, X))
    assert task.loss_of(output, y) == plain == pytest.approx(loss_fct(y, prediction, name), rel=1e-9)
    penalty = sum(0.1 * (layer.W.data**2).sum() for layer in task.layers)
    assert value == pytest.approx(plain + penalty, rel=1e-12)
    assert float(task.recorded(X, y).data) == pytest.approx(value, rel=1e-12)
    for p, g in zip(task.parameters, found, strict=True):  # along a random direction, by central differences
        d, step, data = np.random.default_rng(1).normal(size=p.shape), 1e-6, p.data
        around = []
        for sign in (1, -1):
            p.data = p.node.out = data + sign * step * d  # type: ignore[union-attr]
            around.append(task.gradients(X, y, np.random.default_rng(0))[0])
        p.data = p.node.out = data  # type: ignore[union-attr]
        assert (around[0] - around[1]) / (2 * step) == pytest.approx((g * d).sum(), rel=1e-6, abs=1e-8)
    dW, db = task.named(found)
    assert ([g.shape for g in dW], [g.shape for g in db]) == ([(3, 2), (2, 3)], [(3,), (2,)])


def test_layers_are_kept_and_put_back_by_name() -> None:
    task = layered("mse")
    kept = task.arrays()
    assert list(kept) == task.names
    for p in task.parameters:
        p.data[...] = 0.0
    assert any(array.any() for array in kept.values())  # copies
    task.restore(kept)
    for name, p in zip(task.names, task.parameters, strict=True):
        np.testing.assert_array_equal(p.data, kept[name])
    del kept["layer 2 b"]
    with pytest.raises(ValueError, match=r"1\.b"):
        task.restore(kept)


def test_layers_draw_only_where_something_drops_out() -> None:
    plain, dropped = layered("mse"), layered("mse", regularization=Regularization(dropout=0.5))
    assert (plain.draws, dropped.draws) == (False, True)
    assert plain.batch(X, Y, np.random.default_rng(0))[2] is None
    first, last = dropped.batch(X, Y, np.random.default_rng(0))[2]
    assert (first.shape, set(np.unique(first)) <= {0.0, 2.0}, last) == ((3, 3), True, None)
