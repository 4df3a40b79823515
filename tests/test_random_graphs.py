"""Random programs of hundreds of operations, with shared parts, views, indexing and broadcasting, against a referee.

A program is a list of instructions. The same program runs on Tensors, on arrays, and on complex arrays, where one step
of 1e-20 along the imaginary axis gives the derivative to the last digits without any rule of ours: every instruction is
analytic (the larger of two complex numbers is, to NumPy, the one with the larger real part).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_nn as tg
from tinygrad_nn import Tensor
from tinygrad_nn.gradcheck import check_gradients

LARGEST = 48  # entries of an array in a program
STEP = 1e-20
SHAPES: list[tuple[int, ...]] = [(), (3,), (2, 3), (4, 1), (2, 1, 3)]

# Of one array. `k` is any non-negative number, for axes and positions. Values stay between about -3 and 3.
UNARY: dict[str, Callable[[Any, int], Any]] = {
    "sin": lambda x, k: np.sin(2 * x),
    "tanh": lambda x, k: np.tanh(x + 0.1 * k),
    "exp": lambda x, k: np.exp(-x * x),
    "sqrt": lambda x, k: np.sqrt(x * x + 1.5),
    "log": lambda x, k: np.log(x * x + 0.5),
    "reciprocal": lambda x, k: 1 / (2 + np.cos(x)),
    "cube": lambda x, k: 0.1 * x**3 / (1 + x**2),
    "negative": lambda x, k: -x,
    "minus itself": lambda x, k: x - 0.5 * x,
    "relu": lambda x, k: np.maximum(x, 0.05) - 0.5 * np.minimum(x, 0.05),
    "reverse": lambda x, k: x[..., ::-1] if x.ndim else x[None],
    "transpose": lambda x, k: x.T,
    "swap": lambda x, k: np.swapaxes(x, 0, k % x.ndim) if x.ndim else x,
    "flat": lambda x, k: x.reshape(-1),
    "column": lambda x, k: x.reshape((-1, 1)),
    "row": lambda x, k: x[None],
    "entry": lambda x, k: x[k % x.shape[0]] if x.ndim else x + 1,
    "slice": lambda x, k: x[k % x.shape[0] :] if x.ndim else x * 2,
    "last": lambda x, k: x[..., -1] if x.ndim else x,
    "every second": lambda x, k: x[::2] if x.ndim else x,
    "gather": lambda x, k: x[np.array([0, k % x.shape[0], 0, -1])] if x.ndim else x,
    "mask": lambda x, k: x[np.arange(x.shape[0]) % 2 == 0] if x.ndim else x,
    "pick": lambda x, k: x[..., np.arange(x.shape[-1])[:: 1 + k % 2], None] if x.ndim else x,
    "where": lambda x, k: np.where(np.arange(x.size).reshape(x.shape) % 3 == k % 3, x, np.sin(x)),
    "sum": lambda x, k: 0.3 * np.sum(x, axis=k % x.ndim) if x.ndim else x,
    "mean": lambda x, k: np.mean(x, axis=k % x.ndim, keepdims=True) if x.ndim else x,
    "total": lambda x, k: np.mean(x),
    "largest": lambda x, k: np.max(x, axis=k % x.ndim) if x.ndim else x,
    "smallest": lambda x, k: np.min(x),
    "broadcast": lambda x, k: np.broadcast_to(x, (2, *x.shape)),
    "update": lambda x, k: _updated(x, k),
}

# Of two arrays that broadcast, or else of their means.
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: 0.5 * (x + y),
    "subtract": lambda x, y: x - 0.5 * y,
    "multiply": lambda x, y: np.tanh(x * y),
    "divide": lambda x, y: np.tanh(x / (y * y + 1)),
    "power": lambda x, y: (1.5 + np.tanh(x)) ** np.tanh(y),
    "maximum": lambda x, y: np.maximum(x, y),
    "minimum": lambda x, y: np.minimum(x, y),
}

JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "stack": lambda x, y: np.stack([x, y], axis=-1) if x.shape == y.shape else np.stack([np.mean(x), np.mean(y)]),
    "concatenate": lambda x, y: np.concatenate([x.reshape(-1), y.reshape(-1), x.reshape(-1)]),
    "matmul": lambda x, y: np.tanh(_rows(x, 3) @ _rows(y, 3).T),
    "outer": lambda x, y: np.tanh(x.reshape(-1, 1) * y.reshape(-1)),
    "dot": lambda x, y: np.tanh(np.dot(_rows(x, 2), _rows(y, 2)[0])),
}


def _rows(x: Any, n: int) -> Any:
    """The entries of x, in rows of n, some of them twice."""
    return x.reshape(-1)[np.arange(-(-x.size // n) * n) % x.size].reshape(-1, n)


def _updated(x: Any, k: int) -> Any:
    """x with its first row set to its last; on arrays that is a copy and a write."""
    if x.ndim == 0:
        return x
    if isinstance(x, Tensor):
        return x.at[k % x.shape[0]].set(0.5 * x[-1])
    y = x.copy()
    y[k % x.shape[0]] = 0.5 * x[-1]
    return y


def _fits(x: Any, y: Any) -> bool:
    try:
        return math.prod(np.broadcast_shapes(x.shape, y.shape)) <= LARGEST
    except ValueError:
        return False


Instruction = tuple[str, int, int, int]
NAMES = [*UNARY, *BINARY, *JOINS]


def run(program: list[Instruction], inputs: list[Any]) -> Any:
    """Run a program: each instruction reads earlier results, the latest the likeliest, and appends its own."""
    pool = list(inputs)
    for name, i, j, k in program:
        x, y = pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]
        if name in UNARY:
            result = UNARY[name](x, k)
        elif name in BINARY:
            x, y = (x, y) if _fits(x, y) else (np.mean(x), np.mean(y) + x)
            result = BINARY[name](x, y)
        else:
            result = JOINS[name](x, y)
        if result.size > LARGEST:
            result = result.reshape(-1)[:: result.size // LARGEST + 1]
        if result.ndim > 4:
            result = result.reshape(-1)
        pool.append(result)
    total = 0.0
    for n, result in enumerate(pool):  # every result counts, with weights that no sum hides
        weights = np.cos(1.0 + n + np.arange(result.size)).reshape(result.shape)
        total = total + (weights * result).sum() / len(pool)
    return total


def points(seed: int, count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1.5, 1.5, SHAPES[rng.integers(len(SHAPES))]) for _ in range(count)]


def programs(most: int) -> st.SearchStrategy[list[Instruction]]:
    number = st.integers(0, 11)
    instruction = st.tuples(st.sampled_from(NAMES), number, number, number)
    return st.integers(1, most).flatmap(lambda n: st.lists(instruction, min_size=n, max_size=n))


def exact(program: list[Instruction], inputs: list[np.ndarray], directions: list[np.ndarray]) -> float:
    """The derivative along a direction, by one complex step."""
    moved = [x + 1j * STEP * v for x, v in zip(inputs, directions, strict=True)]
    return float(np.imag(run(program, moved)) / STEP)


def check(program: list[Instruction], seed: int) -> None:
    inputs = points(seed)
    tensors = [Tensor(x) for x in inputs]
    out = run(program, tensors)
    np.testing.assert_allclose(out.data, run(program, inputs), rtol=1e-12, atol=1e-13)
    before = [x.copy() for x in inputs]
    out.backward(retain_graph=True)
    gradients = [t.grad for t in tensors]
    rng = np.random.default_rng(seed)
    for _ in range(2):
        directions = [rng.uniform(-1, 1, x.shape) for x in inputs]
        terms = [g * v for g, v in zip(gradients, directions, strict=True)]
        size = 1 + sum(float(np.abs(term).sum()) for term in terms)
        found, wanted = sum(float(term.sum()) for term in terms), exact(program, inputs, directions)
        assert abs(found - wanted) <= 1e-11 * size * (1 + len(program)), (found, wanted)
    functional = tg.grad(lambda xs: run(program, xs))(inputs)
    out.backward()
    for x, old, t, once, other in zip(inputs, before, tensors, gradients, functional, strict=True):
        np.testing.assert_array_equal(x, old)
        np.testing.assert_allclose(other, once, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(t.grad, 2 * once, rtol=1e-12, atol=1e-13)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(programs(60), st.integers(0, 2**16))
def test_gradients_of_random_programs(program: list[Instruction], seed: int) -> None:
    check(program, seed)


def seeded(seed: int, length: int) -> list[Instruction]:
    """A program of a given length; hypothesis seldom makes long ones."""
    rng = np.random.default_rng(seed)
    names = np.array(NAMES)  # else each choice makes it
    return [(str(rng.choice(names)), *map(int, rng.integers(0, 12, 3))) for _ in range(length)]


@pytest.mark.parametrize("seed", range(24))
def test_gradients_of_programs_of_hundreds_of_operations(seed: int) -> None:
    check(seeded(seed, 400), seed)


@pytest.mark.slow
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.integers(0, 2**32), st.integers(1, 300))
def test_gradients_of_many_long_programs(seed: int, length: int) -> None:
    check(seeded(seed, length), seed)


SMOOTH = [name for name in NAMES if name not in ("relu", "maximum", "minimum", "largest", "smallest")]


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(SMOOTH), *[st.integers(0, 11)] * 3), min_size=1, max_size=12),
    st.integers(0, 2**16),
)
def test_second_derivatives_of_random_programs(program: list[Instruction], seed: int) -> None:
    report = check_gradients(
        lambda *xs: run(program, list(xs)), *points(seed), order=2, directions=1, entries=0, rng=seed
    )
    assert report.ok, str(report)


@pytest.mark.parametrize("name", NAMES)
def test_every_instruction_by_itself(name: str) -> None:
    for k in range(3):
        for shape in range(len(SHAPES)):
            inputs = [np.linspace(-0.9, 1.1, max(1, int(np.prod(SHAPES[shape])))).reshape(SHAPES[shape]), points(k)[0]]
            program: list[Instruction] = [(name, 1, 0, k)]
            found = tg.grad(lambda xs, p=program: run(p, xs))(inputs)
            directions = [np.cos(np.arange(x.size)).reshape(x.shape) for x in inputs]
            slope = sum(float((g * v).sum()) for g, v in zip(found, directions, strict=True))
            assert slope == pytest.approx(exact(program, inputs, directions), rel=1e-12, abs=1e-12)
