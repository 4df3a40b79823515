"""Each optimizer against a loop written from its published definition, number by number, and its place in a layer."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import optim
from tinygrad_nn.optim import OPTIMIZERS, Optimizer, adam, momentum, nesterov, optimizer

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


REFERENCES: dict[str, Reference] = {
    "sgd": by_sgd,
    "momentum": by_momentum,
    "nesterov": lambda gradients, lr: by_momentum(gradients, lr, look_ahead=True),
    "adam": by_adam,
    "rmsprop": by_rmsprop,
    "adagrad": by_adagrad,
    "adadelta": by_adadelta,
}


def run(rule: Optimizer, w: Any, gradients: list[Any], eta: float) -> list[Any]:
    state, path = rule.init(w), []
    for g in gradients:
        step, state = rule.update(g, state, eta)
        w = w - step
        path.append(w)
    return path


def test_every_optimizer_has_a_reference() -> None:
    assert list(REFERENCES) == list(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_pure_and_keeps_the_dtype(name: str) -> None:
    rule, w = optimizer(name), np.ones(3, np.float32)
    g = np.arange(3, dtype=np.float32)
    for array in (w, g):
        array.flags.writeable = False
    state = rule.init(w)
    for _ in range(3):
        for part in state:
            if isinstance(part, np.ndarray):
                part.flags.writeable = False
        first, _ = rule.update(g, state, 0.1)
        step, state = rule.update(g, state, 0.1)
        np.testing.assert_array_equal(first, step)
        assert step.dtype == np.float32
        assert not np.shares_memory(step, g)
        assert all(part.dtype == np.float32 for part in state if isinstance(part, np.ndarray))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_minimises_a_bowl(name: str) -> None:
    rule, w = optimizer(name), np.array([3.0, -2.0])
    state, eta = rule.init(w), {"adadelta": 1.0, "adagrad": 0.5}.get(name, 0.02)
    for _ in range(3000):
        step, state = rule.update(2 * w, state, eta)
        w = w - step
    assert np.abs(w).max() < 0.05


def test_hyper_parameters_are_taken_compared_and_shown() -> None:
    assert adam() == adam(0.9, 0.999, 1e-8) == optimizer("ADAM") != adam(beta1=0.8)
    assert momentum(0.9) != nesterov(0.9)
    assert repr(adam(beta1=0.8)) == "adam(beta1=0.8, beta2=0.999, eps=1e-08)"
    assert repr(optim.sgd()) == "sgd()"
    path = run(momentum(0.5), np.array(1.0), [np.array(1.0)] * 2, 0.1)
    assert float(path[1]) == pytest.approx(1 - 0.1 - 0.15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: momentum(1.0), r"momentum: mu=1.0; it must be at least 0 and below 1, e.g. 0.9"),
        (lambda: nesterov(-0.1), "nesterov: mu=-0.1"),
        (lambda: adam(beta2=1.0), "adam: beta2=1.0"),
        (lambda: adam(eps=0.0), r"adam: eps=0.0; it must be positive and finite, e.g. 1e-8"),
        (lambda: optim.rmsprop(alpha=float("nan")), "rmsprop: alpha=nan"),
        (lambda: optim.adagrad(eps=float("inf")), "adagrad: eps=inf"),
        (lambda: optim.adadelta(rho=2.0), "adadelta: rho=2.0"),
        (
            lambda: optimizer("adm"),
            "unknown optimizer 'adm'; known are sgd, momentum, nesterov, adam, rmsprop, adagrad, adadelta",
        ),
    ],
)
def test_bad_hyper_parameters_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
