"""fit and TrainNN with compiled steps: the same weights as without, bit for bit where NumPy replays them."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_nn import Layer, Regularization, Settings, Solver, Tensor, TrainNN, fit, optim
from tinygrad_nn.nn import BatchNorm1d, Dropout, Linear, Module, Sequential, relu
from tinygrad_nn.nn.losses import cross_entropy

Array = Any
ROWS = 40


def data() -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 4))
    labels = rng.integers(0, 3, ROWS)
    return x, labels, np.eye(3)[labels]


def layers(*, dtype: Any = float) -> list[Layer]:
    return [Layer(4, 10, "relu", rng=1, dtype=dtype), Layer(10, 3, "softmax", rng=2, dtype=dtype)]


def network(*between: Any) -> Sequential:
    return Sequential(Linear(4, 10, rng=1), *between, relu, Linear(10, 3, rng=2))


CASES: dict[str, tuple[Callable[[], Any], Any, bool]] = {  # the model, the solver, whether targets are labels
    "layers":       (layers, Solver("crossentropy", "adam", 0.02), False),
    "float32":      (lambda: layers(dtype=np.float32), Solver("crossentropy", "sgd", 0.1), False),
    "layers, l2 and dropout": (
        layers, Solver("crossentropy", "momentum", 0.02, Regularization("l2", 0.01, dropout=0.3)), False),
    "module":       (network, Solver(cross_entropy, "adamw", 0.02, clip_norm=0.5), True),
    "schedule":     (network, Solver(cross_entropy, "nadam", 0.02, schedule=optim.Cosine(3)), True),
    "schedule by step": (
        network, Solver(cross_entropy, "sgd", 0.05, schedule=optim.StepDecay(2, 0.5), schedule_by="step"), True),
    "layers, schedule by step": (
        layers, Solver("crossentropy", "momentum", 0.05, schedule=optim.Cosine(9), schedule_by="step"), False),
    "groups":       (network, Solver(cross_entropy, "rmsprop", 0.01, groups={"0.*": {"learning_rate": 1e-3}}), True),
    "dropout":      (lambda: network(Dropout(0.3)), Solver(cross_entropy, "adam", 0.02), True),
    # not adam: it divides the gradient of a bias before a norm, which is nothing but rounding, by its own size
    "batch norm":   (lambda: network(BatchNorm1d(10)), Solver(cross_entropy, "momentum", 0.02), True),
    "mixed list":   (lambda: [Layer(4, 10, "tanh", rng=1), Dropout(0.2), Layer(10, 3, "softmax", rng=2)],
                     Solver("crossentropy", "adam", 0.02, Regularization("elasticnet", 0.01)), False),
}  # fmt: skip


def arrays(model: Any) -> list[Array]:
    parts = [model] if isinstance(model, Module) else model
    return [array for part in parts for array in part.state_dict().values()]


MACHINE = ("layers, l2 and dropout", "module", "batch norm")  # each takes seconds to become machine code


@pytest.mark.parametrize(
    ("case", "backend"),
    [*((case, "numpy") for case in CASES), *(pytest.param(case, "numba", marks=pytest.mark.slow) for case in MACHINE)],
)
def test_compiled_steps_give_the_same_weights(case: str, backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba", reason="needs numba: pip install '.[test]'")
    make, solver, sparse = CASES[case]
    x, labels, y = data()
    found = []
    for compiled in (False, backend):
        model = make()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning says that it was not compiled
            history = fit(model, x, labels if sparse else y, solver=solver, settings=Settings(3, 16), rng=7,
                          compile=compiled)  # fmt: skip
        found.append((arrays(model), history))
    (plain, history), (fast, other) = found
    if backend == "numpy":
        assert all(a.tobytes() == b.tobytes() for a, b in zip(plain, fast, strict=True))
        assert history == other
    else:  # nine updates, each of sums of some ten numbers below ten, in another order
        eps = 1e3 * np.finfo(plain[0].dtype).eps
        assert all(np.allclose(a, b, atol=eps, rtol=eps) for a, b in zip(plain, fast, strict=True))
    assert all(a.dtype == b.dtype for a, b in zip(plain, fast, strict=True))


@pytest.mark.parametrize("kind", ["layers", "module"])
def test_train_nn_keeps_its_compiled_step_and_tells_the_gradients(kind: str) -> None:
    x, labels, y = data()
    solver = Solver("crossentropy" if kind == "layers" else cross_entropy, "adam", 0.02)
    targets = y if kind == "layers" else labels
    one, other = (layers() if kind == "layers" else network() for _ in range(2))
    for rows in (slice(0, 16), slice(16, 32), slice(32, 40)):  # the last has another shape
        a = TrainNN(one, x[rows], targets[rows], solver=solver)
        b = TrainNN(other, x[rows], targets[rows], solver=solver, compile="numpy")
        assert a.loss == b.loss
        for part in ("dW", "db"):
            one_part, other_part = getattr(a, part), getattr(b, part)
            assert len(one_part) == len(other_part) == 2
            assert list(one_part) == list(other_part) if kind == "module" else isinstance(other_part, list)
            values = (list(found.values()) if kind == "module" else found for found in (one_part, other_part))
            assert all(g.any() and g.tobytes() == h.tobytes() for g, h in zip(*values, strict=True))
    assert all((a == b).all() for a, b in zip(arrays(one), arrays(other), strict=True))


def test_train_nn_with_another_solver_is_another_step() -> None:
    x, labels, _ = data()
    one, other = network(), network()
    for optimizer, clip in (("sgd", None), ("sgd", 0.01), ("adam", None)):
        solver = Solver(cross_entropy, optimizer, 0.1, clip_norm=clip)
        TrainNN(one, x, labels, solver=solver)
        TrainNN(other, x, labels, solver=solver, compile="numpy")
    assert all((a == b).all() for a, b in zip(arrays(one), arrays(other), strict=True))


def test_train_nn_with_another_option_of_a_module_is_another_step() -> None:
    """The compiled step that is kept has the options of the module in it."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 3)), rng.normal(size=(16, 2))
    solver = Solver("mse", "sgd", 0.1)

    def trained(compile: str | bool) -> list[float]:
        drop = Dropout(0.5)
        model = Sequential(Linear(3, 8, rng=1), drop, Linear(8, 2, rng=2))
        losses = []
        for p in (0.5, 0.5, 0.0, 0.0, 0.9):
            drop.p = p
            losses.append(TrainNN(model, x, y, solver=solver, compile=compile, rng=3).loss)
        return losses

    assert np.allclose(trained("numpy"), trained(False), rtol=1e-13)


def test_a_function_of_params_is_compiled_too() -> None:
    x, _, y = data()

    def loss(params: Any, x: Any, y: Any) -> Any:
        return ((np.tanh(x @ params["W"]) - y) ** 2).mean()

    found = []
    for compiled in (False, "numpy"):
        params = {"W": np.full((4, 3), 0.1)}
        fit(loss, x, y, params=params, solver=Solver(optimizer="adam", learning_rate=0.1), settings=Settings(3, 16),
            rng=0, compile=compiled)  # fmt: skip
        found.append(params["W"])
    assert found[0].tobytes() == found[1].tobytes()


class Branching(Module):
    def __init__(self) -> None:
        self.inner = Linear(4, 3, rng=0)

    def forward(self, x: Any) -> Any:
        z = self.inner(x)
        return z if z.data.sum() > 0 else -z


def test_untraceable_models_warn_with_the_line_and_train_uncompiled() -> None:
    x, labels, _ = data()
    found = []
    for compiled in (False, True):
        model = Branching()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            fit(model, x, labels, solver=Solver(cross_entropy, "adam", 0.1), settings=Settings(2, 16), rng=0,
                compile=compiled)  # fmt: skip
        found.append(model.inner.weight.data)
        texts = [str(warning.message) for warning in said]
        assert (len(texts) > 0) is compiled
        assert all("test_fit_compiled.py" in text and "runs without compilation" in text for text in texts)
    assert (found[0] == found[1]).all()


def test_a_loss_that_is_not_finite_updates_nothing() -> None:
    x, _, y = data()
    model = [Layer(4, 3, rng=0)]
    before = arrays(model)
    with pytest.raises(FloatingPointError, match="the loss became"):
        fit(model, x, y * 1e200, solver=Solver("mse"), settings=Settings(1, 16), rng=0, compile="numpy")
    assert all((a == b).all() for a, b in zip(before, arrays(model), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compile": "fast"}, "compile='fast'; it must be True, False, 'numpy' or 'numba'"),
        ({"compile": True, "gradients": "manual"}, "leave gradients='manual' out"),
        ({"compile": True, "settings": Settings(1, 8, accumulate=2)}, "leave compile or accumulate out"),
        ({"compile": True, "solver": Solver("mse", "lbfgs", 1.0)}, "lbfgs evaluates the loss as often"),
    ],
)
def test_conflicting_options_are_refused(options: dict[str, Any], message: str) -> None:
    x, _, y = data()
    usual: dict[str, Any] = {"solver": Solver("mse"), "settings": Settings(1, 8)}
    with pytest.raises(ValueError, match=message):
        fit([Layer(4, 3, rng=0)], x, y, **{**usual, **options})


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


class Nested(Module):
    """Parameters in lists, tuples, a named tuple and a dict, one of them in two places."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        made = [Tensor(rng.normal(size=(3, 3)) / 2, name=f"w{k}") for k in range(4)]
        self.listed = [made[0], (made[1], 2.0)]
        self.pair = Pair(made[2], made[0])
        self.table = {"w": made[3]}
        self.listed.append(self.listed)

    def forward(self, x: Any) -> Any:
        first, (second, scale), *_ = self.listed
        return np.tanh(x @ first) @ second * scale @ self.pair.left @ self.pair.right @ self.table["w"]


def test_parameters_are_exchanged_wherever_a_module_holds_them() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 3))
    found = []
    for compile in (False, "numpy"):
        model = Nested()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(model, x, y, solver=Solver("mse", "sgd", 0.05), settings=Settings(5, 8), rng=0, compile=compile)
        assert type(model.table["w"]) is Tensor
        assert model.pair.right is model.listed[0]
        found.append(model.state_dict())
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


def test_a_parameter_that_a_loss_has_for_itself_is_not_frozen() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    found = []
    for compile in (False, "numpy"):
        model = Linear(3, 2, rng=0)
        w = model.weight

        def loss(out: Any, y: Any, w: Tensor = w) -> Any:
            return ((out - y) ** 2).mean() + (w**2).sum()

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            fit(model, x, y, solver=Solver(loss, "sgd", 0.05), settings=Settings(5, 8), rng=0, compile=compile)
        assert len(said) == (compile is not False)
        found.append(model.state_dict())
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
