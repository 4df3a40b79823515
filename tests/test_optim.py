"""Each optimizer against PyTorch's numbers and against a loop written from its published definition."""

import copy
import inspect
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, grad, optim
from tinygrad_nn.optim import (
    OPTIMIZERS,
    Minimizer,
    Optimizer,
    adam,
    clip_by_norm,
    clip_by_value,
    momentum,
    nesterov,
    optimizer,
    orthogonal,
    quasi_newton,
)

RECORDED = json.loads((Path(__file__).parent / "reference" / "optimizers.json").read_text(encoding="utf-8"))
ROWS = RECORDED["optimizers"]

# ---- PyTorch's trajectories


def network(dtype: Any = np.float64) -> tuple[list[Tensor], Callable[[], Tensor]]:
    """The parameters of the recorded problem, and its loss."""
    x, y, *weights = (np.array(value, dtype) for value in RECORDED["problem"].values())
    V, U, b = parameters = [Tensor(w, name=name) for w, name in zip(weights, "VUb", strict=True)]
    return parameters, lambda: ((np.tanh(x @ V.T) @ U.T + b - y) ** 2).mean()


def rule_of(row: dict[str, Any]) -> Any:
    make = optim.lbfgs if row["name"] == "lbfgs" else OPTIMIZERS[row["name"]]
    return make(**row["hyper"])


def weights(parameters: list[Tensor]) -> Any:
    return np.concatenate([t.data.ravel() for t in parameters])


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['name']}{k}" for k, row in enumerate(ROWS)])
def test_twenty_steps_are_those_of_pytorch(row: dict[str, Any]) -> None:
    parameters, loss = network()
    minimizer = Minimizer(parameters, rule_of(row), row["learning_rate"])
    assert len(row["path"]) == 20
    for right in row["path"]:
        minimizer.step(loss)
        np.testing.assert_allclose(weights(parameters), right, rtol=0, atol=1e-9)
    assert np.abs(weights(parameters) - weights(network()[0])).max() > 1e-3  # it went somewhere


@pytest.mark.parametrize("beta2", [0.6, 0.7, 0.9, 0.999])  # ρ never comes above 5; above 5 but not 6; far above
def test_radam_divides_once_rho_is_above_five(beta2: float) -> None:
    rule = optim.radam(beta2=beta2)
    w = np.array([1.0])
    state, m, v, end = rule.init(w), 0.0, 0.0, 2 / (1 - beta2) - 1
    for t in range(1, 13):
        g = math.sin(t)
        m, v = 0.9 * m + 0.1 * g, beta2 * v + (1 - beta2) * g * g
        ρ = end - 2 * t * beta2**t / (1 - beta2**t)
        step = m / (1 - 0.9**t)
        if ρ > 5:
            r = math.sqrt((ρ - 4) * (ρ - 2) * end / ((end - 4) * (end - 2) * ρ))
            step *= r * math.sqrt(1 - beta2**t) / (math.sqrt(v) + 1e-8)
        found, state = rule.update(np.array([g]), state, 1.0, w)
        np.testing.assert_allclose(found, [step], rtol=1e-12)
    assert beta2 > 0.65 or ρ <= 5


def test_all_defaults_are_compared_but_those_of_lion_which_pytorch_lacks() -> None:
    compared = {row["name"] for row in ROWS if not row["hyper"] and row["learning_rate"] is None}
    chosen = {"momentum", "nesterov", "amsgrad"}  # another optimizer with certain arguments
    assert compared == set(OPTIMIZERS) - {"lion"} - chosen
    assert {row["name"] for row in ROWS} == set(OPTIMIZERS) - {"lion"} | {"lbfgs"}


def test_the_defaults_of_lbfgs_are_those_of_pytorch() -> None:
    hyper = dict(optim.lbfgs().hyper)
    assert RECORDED["defaults"]["LBFGS"] == {key: x for key, x in hyper.items() if x is not None} | {"lr": 1}
    assert optim.LBFGSRule() == optim.lbfgs()
    assert RECORDED["wolfe"] == [quasi_newton.SUFFICIENT, quasi_newton.FLAT]


@pytest.mark.parametrize(
    ("a", "b", "lowest"),
    [
        ((0.0, 1.0, -2.0), (2.0, 1.0, 2.0), 1.0),  # t^2 - 2t + 1
        ((2.0, 1.0, 2.0), (0.0, 1.0, -2.0), 1.0),  # the same, given the other way round
        ((0.0, 0.0, -1.0), (1.0, 0.0, 2.0), 1 / math.sqrt(3)),  # t^3 - t
        ((1.0, 0.0, 2.0), (0.0, 0.0, -1.0), 1 / math.sqrt(3)),
        ((0.0, 0.0, 1.0), (1.0, 1.0, 4.0), 1 / 3),  # flat at one place, and rising on both sides of it
        ((0.0, 0.0, 1.0), (1.0, 1.0, 1.0), 0.5),  # a straight line: the middle
        ((0.0, 0.0, 1.0), (1.0, 0.6, 1.0), 0.5),  # no place is flat: the middle
        ((0.0, 0.0, -9.0), (1.0, -8.0, -1.0), 1.0),  # beyond the end
    ],
)
def test_where_the_cubic_through_two_points_is_lowest(a: Any, b: Any, lowest: float) -> None:
    (t, loss, slope), (u, other, steep) = a, b
    points = quasi_newton._Point(t, loss, np.zeros(1), slope), quasi_newton._Point(u, other, np.zeros(1), steep)
    assert quasi_newton._cubic_minimum(*points, min(t, u), max(t, u)) == pytest.approx(lowest, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "evaluations"),
    [
        ({}, 20), ({"tolerance_change": 0.5}, 2), ({"tolerance_change": 0.499}, 3), ({"tolerance_grad": 2.0}, 2),
        ({"tolerance_grad": 1.99}, 3), ({"max_eval": 2}, 2), ({"max_eval": 3}, 3),
    ],
)  # fmt: skip
def test_lbfgs_stops_at_its_tolerances(options: dict[str, float], evaluations: int) -> None:
    seen: list[float] = []

    def f(w: Any) -> tuple[float, Any]:
        seen.append(float(w[0]))
        return float(2 * w[0] ** 2), 4 * w

    rule = optim.lbfgs(line_search=None, **{"tolerance_change": 0.0, **options})
    rule.minimize(f, np.ones(1), rule.init(np.ones(1)), 0.5)
    assert seen[:2] == [1.0, 0.5]
    assert len(seen) == evaluations


def test_lbfgs_of_no_numbers_has_nothing_to_do() -> None:
    seen: list[Any] = []

    def f(w: Any) -> tuple[float, Any]:
        seen.append(w)
        return 1.0, np.zeros(0)

    rule = optim.lbfgs()
    assert rule.minimize(f, np.zeros(0), rule.init(np.zeros(0)), 0.5)[0].shape == (0,)
    assert len(seen) == 1


def test_every_hyper_parameter_is_compared() -> None:
    seen = {name: {key for row in ROWS if row["name"] == name for key in row["hyper"]} for name in OPTIMIZERS}
    for name, make in OPTIMIZERS.items():
        missing = set(inspect.signature(make).parameters) - seen[name] - {"mu", "beta1", "beta2", "eps", "weight_decay"}
        assert not missing or name == "lion", (name, missing)


@pytest.mark.parametrize("row", RECORDED["searches"], ids=lambda row: str(row["surface"]))
def test_a_line_search_is_that_of_pytorch(row: dict[str, Any]) -> None:
    a, b, c = row["surface"]

    def surface(x: Any) -> tuple[float, Any]:
        return float(x[0] ** 2 / 20 + a * math.sin(b * x[0] + c)), x / 10 + a * b * np.cos(b * x + c)

    x = np.zeros(1)
    loss, g = surface(x)
    along, start = quasi_newton._Line(surface, x, -g), quasi_newton._Point(0.0, loss, g, float(-g @ g))
    end = quasi_newton._strong_wolfe(along, row["t"], start, 1e-9, row["most"])
    assert along.evaluations == row["evaluations"]
    assert end.t == pytest.approx(row["end"], rel=1e-9)


# ---- the published definitions, number by number

# A reference takes a list of gradients of one number, and returns the weight after each, starting at 1.
Reference = Callable[[list[float], float], list[float]]


def by_sgd(gradients: list[float], lr: float) -> list[float]:
    w, path = 1.0, []
    for g in gradients:
        w -= lr * g
        path.append(w)
    return path


def by_momentum(gradients: list[float], lr: float, look_ahead: bool = False) -> list[float]:
    """torch.optim.SGD: the buffer starts as the first gradient, dampening 0."""
    w, path, buffer = 1.0, [], None
    for g in gradients:
        buffer = g if buffer is None else 0.9 * buffer + g
        w -= lr * (g + 0.9 * buffer if look_ahead else buffer)
        path.append(w)
    return path


def by_adam(gradients: list[float], lr: float) -> list[float]:
    """Kingma & Ba, algorithm 1, as it stands."""
    w, m, v, path = 1.0, 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + (1 - 0.9) * g
        v = 0.999 * v + (1 - 0.999) * g**2
        w -= lr * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        path.append(w)
    return path


def by_rmsprop(gradients: list[float], lr: float) -> list[float]:
    w, square, path = 1.0, 0.0, []
    for g in gradients:
        square = 0.99 * square + (1 - 0.99) * g**2
        w -= lr * g / (math.sqrt(square) + 1e-8)
        path.append(w)
    return path


def by_adagrad(gradients: list[float], lr: float) -> list[float]:
    w, path = 1.0, []
    for k, g in enumerate(gradients):
        w -= lr * g / (math.sqrt(sum(h**2 for h in gradients[: k + 1])) + 1e-10)
        path.append(w)
    return path


def by_adadelta(gradients: list[float], lr: float) -> list[float]:
    """Zeiler, algorithm 1: RMS[x] is the root of the running mean plus epsilon."""
    w, mean_g, mean_x, path = 1.0, 0.0, 0.0, []
    for g in gradients:
        mean_g = 0.9 * mean_g + 0.1 * g**2
        x = -math.sqrt(mean_x + 1e-6) / math.sqrt(mean_g + 1e-6) * g
        mean_x = 0.9 * mean_x + 0.1 * x**2
        w += lr * x
        path.append(w)
    return path


def by_lion(gradients: list[float], lr: float) -> list[float]:
    """Chen et al., algorithm 2, without decay."""
    w, m, path = 1.0, 0.0, []
    for g in gradients:
        w -= lr * math.copysign(1.0, 0.9 * m + 0.1 * g)
        m = 0.99 * m + (1 - 0.99) * g
        path.append(w)
    return path


REFERENCES: dict[str, Reference] = {
    "sgd": by_sgd,
    "momentum": by_momentum,
    "nesterov": lambda gradients, lr: by_momentum(gradients, lr, look_ahead=True),
    "adam": by_adam,
    "rmsprop": by_rmsprop,
    "adagrad": by_adagrad,
    "adadelta": by_adadelta,
    "lion": by_lion,
}


def run(rule: Optimizer, w: Any, gradients: list[Any], eta: float) -> list[Any]:
    state, path = rule.init(w), []
    for g in gradients:
        step, state = rule.update(g, state, eta, w)
        w = w - step
        path.append(w)
    return path


@pytest.mark.parametrize("name", REFERENCES)
def test_the_path_is_that_of_the_published_definition(name: str, rng: np.random.Generator) -> None:
    gradients = rng.normal(size=(20, 2, 3))
    path = np.array(run(optimizer(name), np.ones((2, 3)), list(gradients), 0.1))
    for place in np.ndindex(2, 3):
        right = REFERENCES[name]([float(g) for g in gradients[(slice(None), *place)]], 0.1)
        np.testing.assert_allclose(path[(slice(None), *place)], right, rtol=1e-12, atol=1e-14)


# The first weights from w = 1 with gradients 1, 2 and rate 0.1, worked out by hand.
BY_HAND = {
    "sgd": (0.9, 0.7),
    "momentum": (0.9, 0.9 - 0.1 * 2.9),
    "nesterov": (1 - 0.1 * 1.9, 1 - 0.1 * 1.9 - 0.1 * (2 + 0.9 * 2.9)),
    "adam": (0.9, 0.9 - 0.1 * (0.29 / 0.19) / math.sqrt(0.004999 / 0.001999)),
    "rmsprop": (0.0, -0.2 / math.sqrt(0.0499)),
    "adagrad": (0.9, 0.9 - 0.2 / math.sqrt(5)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_two_steps_worked_out_by_hand(name: str) -> None:
    path = run(optimizer(name), np.array([1.0]), [np.array([1.0]), np.array([2.0])], 0.1)
    assert [float(w[0]) for w in path] == pytest.approx(BY_HAND[name], abs=1e-6)


# ---- what holds for all

# The hyper-parameters that lead through every line.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in OPTIMIZERS),
    *((row["name"], row["hyper"]) for row in ROWS if row["hyper"] and row["name"] != "lbfgs"),
    ("lion", {"weight_decay": 0.1}),
]
each_variant = pytest.mark.parametrize(("name", "hyper"), VARIANTS)


@each_variant
def test_it_is_pure_and_keeps_the_dtype(name: str, hyper: dict[str, Any], rng: np.random.Generator) -> None:
    for shape in ((3, 2), (3,), (2, 3, 2), (), (0, 2)):
        rule, w = OPTIMIZERS[name](**hyper), np.ones(shape, np.float32)
        g = rng.normal(size=shape).astype(np.float32)
        for array in (w, g):
            array.flags.writeable = False
        state = rule.init(w)
        for _ in range(3):
            for part in state:
                if isinstance(part, np.ndarray):
                    part.flags.writeable = False
            first, _ = rule.update(g, state, 0.1, w)
            step, state = rule.update(g, state, 0.1, w)
            np.testing.assert_array_equal(first, step)
            assert step.dtype == np.float32
            assert step.shape == shape
            assert not isinstance(step, np.ndarray) or not np.shares_memory(step, g)
            assert all(part.dtype == np.float32 for part in state if isinstance(part, (np.ndarray, np.generic)))
        state = tuple(np.asarray(part, np.float32) for part in state)  # the numbers too, as a compiled step has them
        step, state = rule.update(g, state, np.asarray(0.1, np.float32), w)
        assert step.dtype == np.float32
        assert all(np.asarray(part).dtype == np.float32 for part in state if not isinstance(part, float))


ARRAYS = dict.fromkeys(OPTIMIZERS, 1) | {"sgd": 0, "adagrad": 1, "rmsprop": 1, "amsgrad": 3} | dict.fromkeys(
    ("adam", "adamw", "nadam", "radam", "adamax", "adadelta"), 2
)  # fmt: skip


@each_variant
def test_it_remembers_no_more_arrays_than_it_needs(name: str, hyper: dict[str, Any]) -> None:
    w = np.ones((2, 3))
    rule, more = OPTIMIZERS[name](**hyper), sum(bool(hyper.get(key)) for key in ("amsgrad", "centered"))
    more += name in ("sgd", "rmsprop") and bool(hyper.get("mu"))
    for state in (rule.init(w), rule.update(w, rule.init(w), 0.1, w)[1]):
        assert sum(isinstance(part, np.ndarray) for part in state) == ARRAYS[name] + more


@each_variant
def test_it_minimises_a_bowl(name: str, hyper: dict[str, Any]) -> None:
    for start in (np.array([3.0, -2.0]), np.array([[3.0, -2.0], [1.0, 2.0]])):
        rule, w = OPTIMIZERS[name](**hyper), start
        state, eta = rule.init(w), {"adadelta": 1.0, "adagrad": 5.0 if hyper else 0.5}.get(name, 0.02)
        for k in range(3000):
            step, state = rule.update(2 * w, state, eta * (1 - k / 3000), w)  # ever shorter, for those that swing
            w = w - step
        assert np.abs(w).max() < 0.05


def follow(rule: Optimizer, w: Any, eta: Any, steps: int, number: Callable[[int], Any] = int) -> Any:
    """The weights after some steps on a fixed surface; if w is a Tensor, the parts of the state are Tensors too."""
    state = rule.init(w.data if isinstance(w, Tensor) else w)
    if isinstance(w, Tensor):
        state = tuple(Tensor(np.asarray(part, float)) for part in state)
    for _ in range(steps):
        step, state = rule.update(np.sin(w) + 0.3 * w, state, eta, w)
        w = w - step
    return w


@each_variant
def test_it_runs_on_tensors_and_a_step_is_differentiable(
    name: str, hyper: dict[str, Any], rng: np.random.Generator
) -> None:
    rule, w, c = OPTIMIZERS[name](**hyper), rng.uniform(0.5, 1.5, size=(3, 2)), rng.normal(size=(3, 2))
    plain = follow(rule, w, 0.1, 8)
    live = follow(rule, Tensor(w), Tensor(0.1), 8)
    np.testing.assert_allclose(live.data, plain, rtol=1e-12, atol=1e-12)

    def loss(w: Any, eta: Any) -> Any:
        return (c * follow(rule, w, eta, 8)).sum()

    d_w, d_eta = grad(loss, (0, 1))(w, 0.1)
    h, along = 1e-6, rng.normal(size=(3, 2))
    # central differences of a smooth function: an error of h^2 = 1e-12, times a third derivative that is large in Muon,
    # and of 1e-16 / h from rounding
    numeric = (loss(w, 0.1 + h) - loss(w, 0.1 - h)) / (2 * h)
    assert float(d_eta) == pytest.approx(float(numeric), rel=1e-5, abs=1e-6)
    numeric = (loss(w + h * along, 0.1) - loss(w - h * along, 0.1)) / (2 * h)
    assert float((d_w * along).sum()) == pytest.approx(float(numeric), rel=1e-5, abs=1e-6)


def test_the_learning_rate_can_be_learned() -> None:
    """One step of gradient descent on w² / 2 is best with a rate of 1: the meta-gradient leads there."""
    rule, eta = optim.sgd(), 0.2

    def after(eta: Any) -> Any:
        w = np.array([2.0, -1.0])
        step, _ = rule.update(w, rule.init(w), eta, w)
        return ((w - step) ** 2).sum() / 2

    assert float(grad(after)(0.2)) == pytest.approx(-5 * 0.8, rel=1e-12)
    for _ in range(50):
        eta = eta - 0.1 * float(grad(after)(eta))
    assert eta == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (1, 4)])
def test_orthogonal_brings_singular_values_near_one(shape: tuple[int, int], rng: np.random.Generator) -> None:
    U, s, Vt = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    s = np.linspace(1, 0.1, len(s))
    X = orthogonal(U * s @ Vt)
    found = U.T @ X @ Vt.T
    np.testing.assert_allclose(found, np.diag(np.diag(found)), atol=1e-12)  # the directions stay
    assert 0.6 < np.diag(found).min() <= np.diag(found).max() < 1.3


def test_a_variance_that_rounding_makes_negative_is_none() -> None:
    rule, w = optim.rmsprop(centered=True, eps=1e-3), np.zeros(1)
    state = rule.init(w)
    for _ in range(5000):  # the same gradient for long: its variance is 0 but for rounding
        step, state = rule.update(np.array([1 / 3]), state, 0.1, w)
    assert np.isfinite(step).all()


def test_hyper_parameters_are_taken_compared_and_shown() -> None:
    assert adam() == adam(0.9, 0.999, 1e-8) == optimizer("ADAM") != adam(beta1=0.8)
    assert momentum(0.9) != nesterov(0.9)
    assert adam() != adam(weight_decay=0.1) != optim.adamw(weight_decay=0.1)
    assert repr(adam(beta1=0.8)) == "adam(beta1=0.8, beta2=0.999, eps=1e-08)"
    assert repr(optim.sgd()) == "sgd()"
    assert repr(momentum(0.0)) == "momentum(mu=0)"
    path = run(momentum(0.5), np.array(1.0), [np.array(1.0)] * 2, 0.1)
    assert float(path[1]) == pytest.approx(1 - 0.1 - 0.15)
    assert momentum(0.5).replace() == momentum(0.5)
    assert adam().replace(beta1=0.8) == adam(beta1=0.8)
    assert optimizer("muon") is optimizer("muon")


def own(name: str = "mine") -> Optimizer:
    """An optimizer of a person's own."""
    return Optimizer(name, (), lambda w: (), lambda g, state, eta, w: (eta * np.sign(g), state))


def test_an_optimizer_of_ones_own_works_like_the_others() -> None:
    w = Tensor([1.0, -1.0])
    Minimizer([w], own(), 0.25).step([np.array([2.0, -3.0])])
    np.testing.assert_array_equal(w.data, [0.75, -0.75])
    assert repr(own()) == "mine()"
    assert Minimizer([w], own()).learning_rates == [1e-3]
    with pytest.raises(TypeError, match="mine has no hyper-parameter 'mu'; it has none"):
        own().replace(mu=0.5)


# ---- clipping


@pytest.mark.parametrize("row", RECORDED["clippings"], ids=lambda row: row["limit"])
def test_clipping_is_that_of_pytorch(row: dict[str, Any]) -> None:
    gradients = [np.array(g) for g in row["gradients"]]
    clipped, norm = clip_by_norm(gradients, row["limit"])
    assert float(norm) == pytest.approx(row["norm"], rel=1e-14)
    for got, right in zip(clipped, row["by_norm"], strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-14)
    for got, right in zip(clip_by_value(gradients, row["limit"]), row["by_value"], strict=True):
        np.testing.assert_array_equal(got, right)


def test_clipping_keeps_dtypes_leaves_gaps_and_survives_a_square_that_overflows() -> None:
    gradients = [np.full(2, 3e30, np.float32), None, np.full(2, 4e30)]
    clipped, norm = clip_by_norm(gradients, 1.0)
    assert [None if g is None else g.dtype for g in clipped] == [np.float32, None, np.float64]
    assert float(norm) == pytest.approx(5e30 * math.sqrt(2), rel=1e-6)
    assert clipped[0] == pytest.approx(0.6 / math.sqrt(2), rel=1e-6)
    assert clip_by_norm([None], 1.0) == ([None], 0.0)
    assert clip_by_value([None, np.ones(1, np.float32)], 0.5)[1].dtype == np.float32
    with pytest.raises(ValueError, match=r"clip_by_norm: limit=0; it must be a positive finite number, e.g. 1.0"):
        clip_by_norm([np.ones(1)], 0)


def test_clipping_is_differentiable() -> None:
    g = np.array([3.0, 4.0])
    d = grad(lambda g: clip_by_norm([g], 1.0)[0][0][0])(g)
    h = 1e-6
    numeric = [(clip_by_norm([g + h * e], 1.0)[0][0][0] - clip_by_norm([g - h * e], 1.0)[0][0][0]) / (2 * h)
               for e in np.eye(2)]  # fmt: skip
    np.testing.assert_allclose(d, numeric, atol=1e-8)


# ---- bad hyper-parameters


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: momentum(1.0), r"momentum: mu=1.0; it must be at least 0 and below 1, e.g. 0.9"),
        (lambda: nesterov(-0.1), "nesterov: mu=-0.1"),
        (lambda: adam(beta2=1.0), "adam: beta2=1.0"),
        (lambda: adam(eps=0.0), r"adam: eps=0.0; it must be positive and finite, e.g. 1e-8"),
        (lambda: adam(weight_decay=-1), "adam: weight_decay=-1; it must be at least 0 and finite, e.g. 0.01"),
        (lambda: adam(amsgrad=1), "adam: amsgrad=1 is of type int; it must be True or False"),
        (lambda: adam(beta1="0.9"), "adam: beta1='0.9' is of type str; it must be a number at least 0"),
        (lambda: adam(beta1=True), "adam: beta1=True is of type bool"),
        (lambda: optim.adamw(weight_decay=float("inf")), "adamw: weight_decay=inf"),
        (lambda: optim.sgd(nesterov=True), "sgd: nesterov=True with mu=0.0 and dampening=0.0; it needs momentum"),
        (lambda: optim.sgd(0.9, 0.1, True), "sgd: nesterov=True with mu=0.9 and dampening=0.1"),
        (lambda: optim.radam(beta2=1.0), "radam: beta2=1.0"),
        (lambda: optim.muon(adjust="best"), "muon: unknown adjust 'best'; known are original, match_rms_adamw"),
        (lambda: optim.rmsprop(alpha=float("nan")), "rmsprop: alpha=nan"),
        (lambda: optim.adagrad(eps=float("inf")), "adagrad: eps=inf"),
        (lambda: optim.adagrad(initial=-1.0), "adagrad: initial=-1.0"),
        (lambda: optim.adadelta(rho=2.0), "adadelta: rho=2.0"),
        (lambda: adam().replace(mu=0.5), "adam has no hyper-parameter 'mu'; it has beta1, beta2, eps, weight_decay"),
        (lambda: optim.lbfgs(max_iter=None), "lbfgs: max_iter=None; it must be a whole number"),
        (lambda: optim.lbfgs(max_iter=0), "lbfgs: max_iter=0; it must be a whole number of at least 1"),
        (lambda: optim.lbfgs(tolerance_grad=-1.0), "lbfgs: tolerance_grad=-1.0; it must be at least 0"),
        (lambda: optim.lbfgs(line_search="wolfe"), "lbfgs: unknown line_search 'wolfe'; known are 'strong_wolfe'"),
        (lambda: optimizer("lbfgs"), r"use it as Minimizer\(parameters, 'lbfgs'\).step\(closure\)"),
        (
            lambda: optimizer("adm"),
            "unknown optimizer 'adm'; known are sgd, momentum, nesterov, adam, adamw, amsgrad, nadam",
        ),
    ],
)
def test_bad_hyper_parameters_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_it_is_pickled_and_copied_by_how_it_is_made(name: str) -> None:
    rule = optim.optimizer(name)
    assert pickle.loads(pickle.dumps(rule)) == copy.deepcopy(rule) == rule
