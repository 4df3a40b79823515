"""Memory kept by compiled functions is bounded and freed; a backend that fails is reported once and then not used."""

import gc
import tracemalloc
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn.compiled import compile, plan
from tinygrad_nn.compiled.numba import fuse, machine
from tinygrad_nn.compiled.numba.forked import Forked
from tinygrad_nn.compiled.numpy import replay

try:
    import numba  # noqa: F401

    needs_numba = pytest.mark.skipif(False, reason="it is there")
except ImportError:
    needs_numba = pytest.mark.skip(reason="needs numba: pip install 'tinygrad-nn[jit]'")


def told(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return a result, and the warnings on the way."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = call()
    return result, [str(w.message) for w in found]


def quiet(f: Any, *args: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args)


# -- What is kept


def doubled(x: Any) -> Any:
    return np.sin(x) * 2 + x.sum()


def test_plans_beyond_maxsize_are_freed() -> None:
    f = compile(doubled, backend="numpy", maxsize=3)
    sizes = range(50_000, 50_020)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for n in sizes:
            quiet(f, np.ones(n))
        alive = sum(trace.size for trace in tracemalloc.take_snapshot().traces)
    finally:
        tracemalloc.stop()
        gc.enable()
    assert len(f.plans) == 3
    of_each = f.plan(np.ones(sizes[-1])).writer.memory.bytes + 2 * 8 * sizes[-1]  # and the array that is returned
    assert alive < 5 * of_each, "neither buffers nor results of the others live on, without the cyclic collector"


def test_the_plan_that_was_not_used_for_longest_goes_first() -> None:
    f = compile(doubled, backend="numpy", maxsize=2)
    for n in (1, 2, 1, 3):
        f(np.ones(n))
    assert [key[1][0][0] for key in f.plans] == [(1,), (3,)]
    before = f.traces
    f(np.ones(1))
    assert f.traces == before
    np.testing.assert_array_equal(f(np.full(2, 3.0)), doubled(np.full(2, 3.0)))
    assert f.traces == before + 1


def test_a_plan_that_was_looked_at_takes_the_place_of_the_last_one() -> None:
    f = compile(doubled, backend="numpy", maxsize=1)
    f(np.ones(2))
    f.plan(np.ones(3))
    np.testing.assert_array_equal(f(np.ones(2)), doubled(np.ones(2)))
    assert [key[1][0][0] for key in f.plans] == [(2,)]


def test_a_look_at_the_plan_draws_nothing() -> None:
    f, rng = compile(lambda x, rng: x * rng.random(2), backend="numpy"), np.random.default_rng(3)
    for _ in range(2):
        f.plan(np.ones(2), rng)
    np.testing.assert_array_equal(f(np.ones(2), rng), np.random.default_rng(3).random(2))


def test_reasons_why_there_is_no_plan_are_bounded_too() -> None:
    f = compile(lambda x, k: x if x.sum() > k else -x, backend="numpy", maxsize=2)
    for n in range(1, 6):
        quiet(f, np.ones(n), n)
        quiet(f, {"a": np.ones(n)}["a"], "text" if n < 0 else n)
    assert len(f.plans) <= 2
    assert len(f._fixed) <= 2
    f = compile(lambda named, k: next(iter(named.values())) * (1 if k > 0 else 2), backend="numpy", maxsize=2)
    for n in range(4):
        quiet(f, {f"x{n}": np.ones(2)}, n)
    assert len(f._fixed) == len(f.plans) == 2


def test_what_flags_held_is_let_go() -> None:
    class Flag:
        pass

    f, flag = compile(lambda x, flag: x * 2, backend="numpy", maxsize=1), Flag()
    gone = weakref.ref(flag)
    f(np.ones(2), flag)
    del flag
    f(np.ones(2), Flag())
    gc.collect()
    assert gone() is None


def test_maxsize_none_keeps_all_plans() -> None:
    f = compile(doubled, backend="numpy", maxsize=None)
    for n in range(1, 21):
        quiet(f, np.ones(n))
    assert len(f.plans) == 20
    assert compile(doubled, backend="numpy").maxsize == 16


@pytest.mark.parametrize("maxsize", [0, -1, 2.0, True, "8"])
def test_a_limit_is_a_positive_integer(maxsize: Any) -> None:
    with pytest.raises(ValueError, match="positive integer, or None"):
        compile(doubled, maxsize=maxsize)


# -- What goes wrong in a backend


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


@needs_numba
@pytest.mark.parametrize("error", [RecursionError("too deep"), MemoryError(), TypeError("\x1b[2J")], ids=repr)
def test_where_numba_fails_numpy_runs_and_one_warning_says_so(error: Exception, monkeypatch: Any) -> None:
    monkeypatch.setattr(machine, "load_source", raising(error))
    f = compile(doubled)
    x = np.arange(3.0)
    results, texts = told(lambda: [f(x), f(x + 1), f(np.ones(5))])
    for found, given in zip(results, (x, x + 1, np.ones(5)), strict=True):
        np.testing.assert_array_equal(found, doubled(given))
    assert len(texts) == 1
    assert f"({type(error).__name__}: " in texts[0]
    assert "It runs with NumPy." in texts[0]
    assert texts[0].isprintable()
    assert f.plan(x).backend == f.backend == "numpy"


def test_if_every_backend_fails_the_function_runs_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay.Writer, "source", raising(KeyError("v7")))
    f = compile(doubled, backend="numpy")
    results, texts = told(lambda: [f(np.ones(3)), f(np.zeros(3))])
    np.testing.assert_array_equal(results[1], doubled(np.zeros(3)))
    assert len(texts) == 1
    assert "KeyError" in texts[0]
    assert "It runs without compilation." in texts[0]


def test_an_interruption_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    f = compile(doubled, backend="numpy")
    with monkeypatch.context() as patch:
        patch.setattr(replay.Writer, "source", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            f(np.ones(3))
    found, texts = told(lambda: f(np.ones(3)))
    np.testing.assert_array_equal(found, doubled(np.ones(3)))
    assert not texts


def broken(f: Any, error: Exception) -> None:
    """Let the plan that ran last raise."""
    made = next(p for p in f.plans.values() if isinstance(p, plan.Plan))
    made.enter = f._last = raising(error)


def test_a_plan_that_fails_later_is_left_out_from_then_on() -> None:
    f = compile(doubled, backend="numpy")
    f(np.ones(3))
    broken(f, IndexError("far out"))
    results, texts = told(lambda: [f(np.zeros(3)), f(np.ones(3))])
    np.testing.assert_array_equal(results, [doubled(np.zeros(3)), doubled(np.ones(3))])
    assert len(texts) == 1
    assert "IndexError: far out" in texts[0]


def test_where_arguments_may_be_written_over_already_the_error_is_raised() -> None:
    f = compile(doubled, backend="numpy", donate=(0,))
    f(np.ones(3))
    broken(f, IndexError("far out"))
    with pytest.raises(IndexError, match="far out"):
        f(np.ones(3))
    broken(f, Forked("before anything ran"))
    found, texts = told(lambda: f(np.ones(3)))
    np.testing.assert_array_equal(found, doubled(np.ones(3)))
    assert "before anything ran" in texts[0]


def test_an_error_of_the_function_itself_changes_nothing() -> None:
    f = compile(np.linalg.inv, backend="numpy")
    f(np.eye(2))
    for _ in range(2):
        with pytest.raises(np.linalg.LinAlgError):
            f(np.zeros((2, 2)))
    np.testing.assert_array_equal(f(2 * np.eye(2)), np.eye(2) / 2)
    assert not any(isinstance(p, str) for p in f.plans.values())


def test_an_error_that_the_function_catches_changes_nothing() -> None:
    def solved(A: Any, b: Any) -> Any:
        try:
            return np.linalg.solve(A, b)
        except np.linalg.LinAlgError:
            return 0 * b

    f, b = compile(solved, backend="numpy"), np.ones(2)
    for A in (np.eye(2), np.zeros((2, 2)), 2 * np.eye(2), np.ones((2, 2)), np.eye(2)):
        found, texts = told(lambda A=A: f(A, b))
        np.testing.assert_array_equal(found, solved(A, b))
        assert not texts
    assert not any(isinstance(p, str) for p in f.plans.values())


# -- Long programs


def ten_steps(p: Any) -> Any:
    """Ten steps of Runge and Kutta."""
    f, y, h = lambda y: np.tanh(y @ p["A"] + p["b"]) @ p["B"] + np.sin(y) * y, p["y"], 0.1
    for _ in range(10):
        k1 = f(y)
        k2 = f(y + h / 2 * k1)
        k3 = f(y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + f(y + h * k3))
    return (y**2).sum()


def start(rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {"A": (3, 8), "b": (8,), "B": (8, 3), "y": (5, 3)}
    return {name: rng.normal(size=shape) / 3 for name, shape in shapes.items()}


def agree(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for name, g in wanted.items():  # thousands of operations, each of which rounds
        np.testing.assert_allclose(found[name], g, rtol=0, atol=2**13 * np.finfo(float).eps * np.abs(g).max())


def test_ten_steps_of_runge_and_kutta_compile(rng: np.random.Generator) -> None:
    f = compile(tg.grad(ten_steps))
    p = start(rng)
    _, texts = told(lambda: f(p))
    assert not texts
    assert f.plan(p).backend == "numpy", "so many lines would take numba minutes"
    other = start(rng)
    agree(f(other), tg.grad(ten_steps)(other))


@needs_numba
def test_long_kernels_are_cut(rng: np.random.Generator, plain_kernels: None) -> None:
    f = compile(tg.grad(ten_steps), backend="numba")
    p, other = start(rng), start(rng)
    f(p)
    agree(f(other), tg.grad(ten_steps)(other))
    kernels = [op.function for op in f.plan(p).program.ops if op.kind == "kernel"]
    assert len(kernels) > 3
    assert max(kernel.length() for kernel in kernels) <= fuse.LINES


@pytest.mark.parametrize("steps", [plan.LONG // 4, 2 * plan.LONG])
def test_the_lines_of_a_long_program_are_written_once(steps: int) -> None:
    def f(x: Any) -> Any:
        for _ in range(steps):
            x = np.sin(x)
        return {"x": x}

    compiled, x = compile(f, backend="numpy"), np.array([0.3, -1.0])
    for given in (x, 2 * x, x.astype("f4")):
        np.testing.assert_array_equal(compiled(given)["x"], f(given)["x"])
    lines, times = len(compiled.plan(x).source.splitlines()), 1 if steps > plan.LONG else 2
    assert times * steps <= lines < times * steps + 20
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        compiled()


def test_a_method_says_that_one_object_is_compiled() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = np.array([2.0])
            self.bound = compile(self.plain, backend="numpy")

        def plain(self, x: Any) -> Any:
            return np.sin(self.w * x)

        step = compile(plain, backend="numpy")
        square = compile(lambda x: x * x, backend="numpy")

    model, x = Model(), np.array([0.5])
    with pytest.raises(TypeError, match=r"plain is a method, .* in __init__: self\.plain = tinygrad_nn\.compile"):
        model.step(x)
    np.testing.assert_array_equal(model.bound(x), np.sin(1.0))
    np.testing.assert_array_equal(model.square(x), [0.25])
    np.testing.assert_array_equal(Model.step(model, x), np.sin([1.0]))
