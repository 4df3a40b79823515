"""Profiles: what is counted, that the parts add up, that nothing else changes, and the advice and drawings."""

from __future__ import annotations

import re
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, backward, nn, optim
from tinygrad_nn.compiled.function import Compiled
from tinygrad_nn.node import scope, thread
from tinygrad_nn.ops.attention import attention, self_attention
from tinygrad_nn.ops.convolution import conv, conv_transpose
from tinygrad_nn.ops.recurrent import gru_states, lstm_states, rnn_states
from tinygrad_nn.primitive import REGISTRY, Primitive
from tinygrad_nn.profiling import Compiling, Operation, Profile, describe, machine
from tinygrad_nn.profiling.advice import advice
from tinygrad_nn.profiling.compiling import Graph
from tinygrad_nn.profiling.machine import SIZES, bandwidth, least_seconds, peak
from tinygrad_nn.profiling.result import Measures
from tinygrad_nn.profiling.runs import FEWEST, MOST, SECONDS, default_calls
from tinygrad_nn.viz.graph.colour import RISING

ONCE: dict[str, Any] = {"repeats": 1, "compile": False}


def quick(function: Callable[..., Any], *args: Any, **options: Any) -> Profile:
    return tg.profile(function, *args, **{**ONCE, **options})


def of(*shapes: tuple[int, ...], dtype: Any = float) -> list[Tensor]:
    rng = np.random.default_rng(0)
    return [Tensor(rng.uniform(0.5, 1.5, shape).astype(dtype)) for shape in shapes]


# What each operation and rule does: name, kind, argument, additions and multiplications, bytes read and written. All
# by hand, of float64 if nothing else is said: 8 bytes a number.
IDS = np.array([0, 2, 2])
COUNTS: dict[str, tuple[Callable[..., Any], list[Tensor], list[tuple[Any, ...]]]] = {
    "entrywise": (np.exp, of((4, 3)), [
        ("exp", "forward", None, 12, 96, 96),
        ("exp", "back", 0, 12, 2 * 96, 96),  # g and the result
    ]),
    "of two": (np.multiply, of((4, 3), (4, 3)), [
        ("multiply", "forward", None, 12, 192, 96),
        ("multiply", "back", 0, 12, 192, 96),  # g and the other factor
        ("multiply", "back", 1, 12, 192, 96),
    ]),
    "the same twice": (lambda x: x * x, of((4, 3)), [
        ("multiply", "forward", None, 12, 96, 96),  # it is read once
        ("multiply", "back", 0, 12, 192, 96),
        ("multiply", "back", 1, 12, 192, 96),
    ]),
    "float32": (np.multiply, of((4, 3), (4, 3), dtype=np.float32), [
        ("multiply", "forward", None, 12, 96, 48),
        ("multiply", "back", 0, 12, 96, 48),
        ("multiply", "back", 1, 12, 96, 48),
    ]),
    "broadcast": (np.add, of((4, 3), (3,)), [
        ("add", "forward", None, 12, 96 + 24, 96),
        ("add", "back", 0, 0, 0, 0),  # g itself
        ("add", "back", 1, 12, 96, 24),  # and its sum over rows
    ]),
    "sum": (lambda x: x.sum(), of((4, 3)), [
        ("sum", "forward", None, 12, 96, 8),
        ("sum", "back", 0, 0, 0, 0),  # a view of one number
    ]),
    "mean": (lambda x: x.mean(), of((4, 3)), [
        ("mean", "forward", None, 12, 96, 8),
        ("mean", "back", 0, 1, 8, 8),  # one division
    ]),
    "reduced and repeated": (lambda x, y: x.max(axis=1, keepdims=True) * y, of((4, 3), (4, 3)), [
        ("max", "forward", None, 12, 96, 32),
        ("multiply", "forward", None, 12, 32 + 96, 96),
        ("multiply", "back", 0, 12 + 12, (96 + 96) + 96, 96 + 32),
        ("multiply", "back", 1, 12, 96 + 32, 96),
        ("max", "back", 0, 12, 32 + 32 + 96, 96),
    ]),
    "matrices": (np.matmul, of((4, 3), (3, 2)), [
        ("matmul", "forward", None, 2 * 4 * 3 * 2, 96 + 48, 64),
        ("matmul", "back", 0, 48, 64 + 48, 96),
        ("matmul", "back", 1, 48, 64 + 96, 48),
    ]),
    "stacks of matrices": (np.matmul, of((5, 4, 3), (3, 2)), [
        ("matmul", "forward", None, 2 * 5 * 4 * 3 * 2, 480 + 48, 320),
        ("matmul", "back", 0, 240, 320 + 48, 480),
        ("matmul", "back", 1, 240 + 30, (320 + 480) + 240, 240 + 48),  # one for each, then their sum
    ]),
    "vectors": (np.dot, of((6,), (6,)), [
        ("dot", "forward", None, 12, 96, 8),
        ("dot", "back", 0, 12, 8 + 48, 48),
        ("dot", "back", 1, 12, 8 + 48, 48),
    ]),
    "affine": (tg.affine, of((4, 3), (2, 3), (2,)), [
        ("affine", "forward", None, 48 + 8, 96 + 48 + 16, 64),
        ("affine", "back", 0, 48, 64 + 48, 96),
        ("affine", "back", 1, 48, 64 + 96, 48),
        ("affine", "back", 2, 8, 64, 16),
    ]),
    "einsum of two": (lambda x, y: np.einsum("ij,kj->ik", x, y), of((4, 3), (2, 3)), [
        ("einsum", "forward", None, 48, 96 + 48, 64),
        ("einsum", "back", None, 0, 0, 0),  # it computes each when that is asked for
        ("einsum", "back", 0, 48, 64 + 48, 96),
        ("einsum", "back", 1, 48, 64 + 96, 48),
    ]),
    "convolution": (conv, of((2, 3, 8, 8), (5, 3, 3, 3)), [
        ("conv", "forward", None, 2 * (2 * 5 * 6 * 6) * (3 * 3 * 3), 8 * (384 + 135), 8 * 360),
        ("conv", "back", 0, 19440, 8 * (360 + 135), 8 * 384),
        ("conv", "back", 1, 19440, 8 * (360 + 384), 8 * 135),
    ]),
    "slice": (lambda x: x[1:3], of((4, 3)), [
        ("getitem", "forward", None, 0, 0, 0),  # a view
        ("getitem", "back", 0, 0, 48, 96),
    ]),
    "rows": (lambda x: x[IDS], of((4, 3)), [
        ("getitem", "forward", None, 0, 72 + 24, 72),  # what it returns, not all of x, and three numbers of rows
        ("getitem", "back", 0, 0, 72 + 24, 96),
    ]),
    "transposed": (lambda x: x.T, of((4, 3)), [
        ("transpose", "forward", None, 0, 0, 0),
        ("transpose", "back", 0, 0, 0, 0),
    ]),
    "copied": (lambda x: x.T.reshape(12), of((4, 3)), [
        ("transpose", "forward", None, 0, 0, 0),
        ("reshape", "forward", None, 0, 96, 96),  # in another order, so not a view
        ("reshape", "back", 0, 0, 0, 0),
        ("transpose", "back", 0, 0, 0, 0),
    ]),
}  # fmt: skip


SUMMED = {("stacks of matrices", "matmul", 1), ("reduced and repeated", "multiply", 0)}  # two arrays: before and after


@pytest.mark.parametrize("name", COUNTS)
def test_bytes_and_arithmetic_are_those_counted_by_hand(name: str) -> None:
    function, args, rows = COUNTS[name]
    found = quick(function, *args)
    assert [(o.name, o.kind, o.argument, o.flops, o.read, o.written) for o in found.operations] == rows
    assert all(o.allocated == o.written for o in found.operations)
    for one in found.operations:
        assert one.arrays == (one.written > 0) + ((name, one.name, one.argument) in SUMMED)


@pytest.mark.parametrize(("function", "shapes", "forward", "back"), [
    (lambda q, k, v: attention(q, k, v, 0.0, 1.0, heads=2), [(2, 5, 8)] * 3, 50 * 2 * (8 + 8) + 50 * 2, 2),
    (lambda x: self_attention(x, 0.0, 1.0, heads=2), [(2, 5, 24)], 50 * 2 * (8 + 8) + 50 * 2, 2),
    (rnn_states, [(6, 2, 3), (3, 3), (2, 3)], 6 * 2 * (2 * 3 * 3 + 3), 2),
    (lstm_states, [(6, 2, 12), (12, 3), (2, 3), (2, 3)], 6 * 2 * (2 * 12 * 3 + 12), 2),
    (gru_states, [(6, 2, 9), (9, 3), (9,), (2, 3)], 6 * 2 * (2 * 9 * 3 + 9), 2),
    (conv_transpose, [(2, 3, 4, 4), (3, 5, 2, 2)], 2 * (2 * 3 * 4 * 4) * (5 * 2 * 2), 2),  # once for each argument
    (lambda a, b: np.linalg.solve(a, b), [(3, 3), (3, 2)], 18 + 2 * 3 * 6, None),
    (lambda a: np.linalg.inv(a), [(2, 3, 3)], 2 * 27 * 2, None),
    (lambda a: np.linalg.qr(a)[1], [(4, 3)], 2 * 4 * 3 * 3 - 18, None),  # 2 m n² - ⅔ n³
    (lambda a: np.linalg.eigh(a)[0], [(3, 3)], 36, None),  # 4/3 n³ to a tridiagonal matrix
    (lambda a: np.linalg.svd(a)[1], [(3, 3)], 72, None),  # 8/3 n³ to a bidiagonal matrix
    (lambda x, y, z: np.einsum("ij,jk,kl->il", x, y, z), [(2, 3), (3, 4), (4, 5)], 2 * 3 * 4 * 5 * 3, None),
    (lambda x, y, z: np.einsum("ij,jk,kl->il", x, y, z, optimize=["einsum_path", (0, 1), (0, 1)]),
     [(2, 3), (3, 4), (4, 5)], 2 * (2 * 3 * 4) + 2 * (2 * 4 * 5), None),
    (lambda x: np.einsum("ij->i", x), [(4, 3)], 12, None),
    (lambda x: np.einsum("ij->ji", x), [(4, 3)], 0, None),
    (lambda x: np.fft.rfft(x).real, [(4, 8)], int(5 * 32 * np.log2(5)), None),
    (lambda x, y: np.convolve(x, y), [(7,), (3,)], 42, None),
], ids=["attention", "self_attention", "rnn", "lstm", "gru", "conv_transpose", "solve", "inv", "qr", "eigh",
        "svd", "einsum",
        "einsum by a path", "einsum of one", "transposed", "rfft", "convolve"])  # fmt: skip
def test_products_within_an_operation_are_counted(function: Any, shapes: Any, forward: int, back: int | None) -> None:
    args = of(*shapes)
    if len(shapes[0]) > 1 and shapes[0][-1] == shapes[0][-2]:
        args[0] = Tensor(args[0].data + 3 * np.eye(shapes[0][-1]))
    found = quick(function, *args)
    assert sum(o.flops for o in found.operations if o.kind == "forward") == forward
    if back is not None:
        assert sum(o.flops for o in found.operations if o.kind == "back") == back * forward


def test_memory_that_an_operation_holds_meanwhile_is_seen() -> None:
    x = Tensor(np.ones((100, 1000)))
    (forward, _) = [o for o in quick(lambda: tg.log_softmax(x)).operations if o.name == "log_softmax"]
    assert forward.allocated == 800_000
    assert 800_000 <= forward.temporary < 900_000  # x - max is held beside the result
    tracemalloc.start()
    try:  # the user's own tracemalloc is not disturbed
        assert {o.temporary for o in quick(lambda: tg.log_softmax(x)).operations} == {0}
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def test_floors_follow_the_machine() -> None:
    assert least_seconds(0, 0, float) == 0
    assert least_seconds(2 * SIZES[-1], 1, float) == pytest.approx(2 * SIZES[-1] / bandwidth(2 * SIZES[-1]))
    assert least_seconds(8, 10**9, np.float32) == pytest.approx(10**9 / peak("f"))
    assert peak("l") == peak("?") == peak("d")
    assert bandwidth(1) == bandwidth(2 * SIZES[0])  # what fits into the smallest is not held to memory
    found = quick(np.matmul, *of((50, 50), (50, 50)))
    assert all(0 <= o.floor <= o.seconds for o in found.operations)


def test_the_machine_is_measured_by_several_calls_however_long_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(machine, "SECONDS", 0)
    machine.fastest(lambda: calls.append(0))
    assert len(calls) == 1 + machine.FEWEST


def model_step() -> tuple[Callable[[], Any], list[Tensor]]:
    model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.Tanh(), nn.Linear(8, 3, rng=1))
    x, y = np.linspace(-1, 1, 20).reshape(5, 4), np.eye(3)[[0, 1, 2, 0, 1]]
    return lambda: tg.softmax_crossentropy(model(x), y), model.parameters()


def test_sums_tell_the_whole_time() -> None:
    step, _ = model_step()
    found = tg.profile(step, repeats=5, compile=False)
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert all(part >= 0 for part in found.parts.values())
    forward = sum(o.seconds for o in found.operations if o.kind == "forward")
    back = sum(o.seconds for o in found.operations if o.kind == "back")
    assert found.parts["operations, forward"] == pytest.approx(forward)
    assert found.parts["rules of gradients, back"] == pytest.approx(back)
    assert found.parts["Python between operations"] + found.parts["Python of the walk back"] == found.python
    for way in ("operation", "scope", "line"):
        sums = found.by(way)
        assert sum(one.seconds for one in sums) == pytest.approx(forward + back)
        assert sum(one.calls for one in sums) == 4
        assert sum(one.bytes for one in sums) == sum(o.bytes for o in found.operations)
        assert [one.seconds for one in sums] == sorted((one.seconds for one in sums), reverse=True)
    assert {one.name for one in found.by("scope")} == {
        "elsewhere", "Sequential.0 Linear", "Sequential.1 Tanh", "Sequential.2 Linear"}  # fmt: skip
    assert {one.name.partition(":")[0] for one in found.by("line")} == {"test_profile.py"}
    with pytest.raises(ValueError, match="summed by 'operation', 'scope', 'line'"):
        found.by("kind")


def test_gradients_that_arrive_at_one_value_are_summed_in_a_part_of_their_own() -> None:
    x = Tensor(np.ones((300, 300)))
    found = quick(lambda: sum((np.exp(x) for _ in range(4)), 0.0))
    assert found.summed == 3 * (3 * 720_000)  # two are read and one is written
    assert found.parts["sums of gradients, at their floor"] <= found.summed / bandwidth(found.summed)
    assert quick(lambda: np.exp(x)).summed == 0


def test_a_gradient_added_in_place_counts_its_own_entries_only() -> None:
    x = Tensor(np.ones((6, 1000)))
    found = quick(lambda: sum((np.exp(x[t]) for t in range(6)), 0.0).sum())
    (getitem,) = [one for one in found.by("operation") if one.name == "getitem"]
    assert (getitem.calls, getitem.arrays) == (6, 2)  # two arrays of zeros, for the first two gradients
    assert found.summed == 3 * (48_000 + 4 * 8_000)


# -- Nothing else changes


def rows() -> list[Any]:
    held = [(p.name, p.forward, p.vjps, p.jointly) for p in REGISTRY.values()]
    return [held, Primitive.__init__, Compiled.__call__, backward.sum_to, thread.mode.inspect]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = rows()
    yield
    after = rows()
    assert after[1:] == before[1:]
    assert {row[0]: row for row in after[0]}.items() >= {row[0]: row for row in before[0]}.items()
    assert not tracemalloc.is_tracing()


cubed = tg.custom_vjp(lambda x: x**3, lambda g, out, x: g * 3 * x**2)
PROGRAMS: dict[str, Callable[..., Any]] = {
    "backward": lambda x, y: ((x @ y).sum() * np.exp(x)).sum(),
    "broadcast": lambda x, y: (x * y[0] + y.sum(axis=0, keepdims=True)).var(),
    "einsum": lambda x, y: np.einsum("ij,jk,kl->", x, y, x),
    "checkpoint": lambda x, y: tg.checkpoint(lambda x: np.sin(x @ y))(x).sum(),
    "custom": lambda x, y: (cubed(x) * y).sum(),
    "ties": lambda x, y: np.linalg.eigvalsh(x @ x.T).sum() + y.sum(),
    "one gradient in another": lambda x, y: (tg.grad(lambda z: (np.sin(z) * y).sum())(x) ** 2).sum(),
    "forward mode": lambda x, y: tg.jvp(lambda z: np.sin(z @ y), (x,), (np.ones((3, 3)),))[1].sum(),
    "Hessian": lambda x, y: (tg.hvp(lambda z: (z**3 * y).sum(), (x,), np.ones((3, 3)))).sum(),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_are_the_same_to_the_last_bit(name: str) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    results = []

    def step() -> None:
        x, y = Tensor(a), Tensor(b)
        out = PROGRAMS[name](x, y)
        out.backward()
        results.append([out.data, x.grad, y.grad])

    step()
    found = tg.profile(step, repeats=2, compile=False)
    assert len(results) == 1 + 2 * 2 + 5
    for other in results[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(results[0], other, strict=True))
    assert {o.kind for o in found.operations} == {"forward", "back"}
    assert not found.other


def test_what_a_step_lets_go_of_is_let_go_while_it_is_watched() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most, last = [], []
    x = Tensor([1.0, 2.0])

    def step() -> Any:
        y = tg.checkpoint(np.sin)(x)
        alive.add(y.node.primitive)
        most.append(len(alive))
        last[:] = [y]
        return y

    tg.profile(step, repeats=5, compile=False)
    assert max(most) <= 3
    (y,) = last
    assert not hasattr(y.node.primitive.forward, "__wrapped__")  # nor is it watched any longer


def test_a_profiled_step_updates_parameters_once_per_call() -> None:
    moved = []
    for profiled in (False, True):
        step, parameters = model_step()
        update = partial(optim.Minimizer(parameters, "adam", 0.01).step, step)
        if profiled:
            found = tg.profile(update, repeats=3, compile=False)
            assert {o.name for o in found.operations} == {"affine", "tanh", "softmax_crossentropy", "update"}
            (one,) = [o for o in found.operations if o.kind == "update"]
            moved_bytes = sum(t.data.nbytes for t in parameters)
            assert (one.read, one.written, one.arrays) == (2 * moved_bytes, moved_bytes, 4)
            assert found.parts["update of parameters"] == one.seconds
        else:
            for _ in range(2 * 3 + 5):
                update()
        moved.append([t.data for t in parameters])
    assert all(np.array_equal(one, two) for one, two in zip(*moved, strict=True))


@pytest.mark.parametrize("options", [{}, {"repeats": 4}], ids=["by default", "as asked"])
def test_a_step_is_called_as_often_as_the_docstring_says(options: dict[str, Any]) -> None:
    calls, x = [], Tensor([1.0])

    def step() -> Any:
        calls.append(0)
        return np.exp(x)

    found = tg.profile(step, compile=False, **options)
    assert len(calls) == 2 * found.runs + 5


def test_one_slow_call_does_not_decide_how_many_are_watched() -> None:
    assert default_calls([5.0, SECONDS / 40]) == 20
    assert default_calls([5.0, 6.0]) == FEWEST
    assert default_calls([5.0, 0.0]) == MOST


@pytest.mark.parametrize("call", range(1, 8))
def test_an_error_in_any_call_is_raised_and_the_mode_is_restored(call: int) -> None:
    calls = []
    x = Tensor([1.0, 2.0])

    def step() -> Tensor:
        calls.append(0)
        if len(calls) == call:
            raise ZeroDivisionError
        return np.exp(x) * 2  # type: ignore[no-any-return]

    with pytest.raises(ZeroDivisionError):
        quick(step)
    assert x.grad is None
    quick(step)  # and another profile begins


def test_errors_of_operations_and_rules_are_raised() -> None:
    with pytest.raises(ValueError, match="shapes"):
        quick(lambda x: x @ np.ones(3), Tensor([1.0, 2.0]))

    def writing(x: Tensor) -> Any:
        y = np.exp(x)
        y.data[0] = 0  # which the rule would read
        return y

    with pytest.raises(ValueError, match="read-only"):
        quick(writing, Tensor([1.0, 2.0]))


def test_a_training_is_profiled_by_its_steps() -> None:
    x, y = np.linspace(-1, 1, 24).reshape(12, 2), np.linspace(0, 1, 12)[:, None]
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1))

    def train(compile: Any = False) -> None:
        tg.fit(model, x, y, solver=tg.Solver("mse", "adam", 0.01), compile=compile, progress=False,
               settings=tg.Settings(epochs=1, batch_size=4))  # fmt: skip

    found = quick(train)
    assert sum(o.kind == "update" for o in found.operations) == 3
    compiled = quick(train, "numpy")
    assert [o.kind for o in compiled.operations].count("compiled") == 3
    assert {one.name.partition(":")[0] for one in compiled.by("line")} == {"test_profile.py"}  # no generated code


def test_arguments_that_cannot_be_profiled_raise() -> None:
    def generator() -> Iterator[int]:
        yield 1

    x = Tensor([1.0])
    for wrong, message in (
        (generator, "does not run it yet"), (lambda: generator(), "returned a generator"),
        (x, "a Tensor is already the result of a function"), (3, "a int cannot be called"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=message):
            tg.profile(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'numpy' or 'numba'"):
        tg.profile(lambda: x, compile="jax")
    for repeats in (0, 1.5, True):
        with pytest.raises(ValueError, match="at least 1"):
            tg.profile(lambda: x, repeats=repeats)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="another profile is running"):
        quick(lambda: quick(lambda: x * 2))


def test_other_threads_are_not_watched() -> None:
    x = Tensor(np.ones(3))
    found: list[Any] = []

    def elsewhere() -> None:
        y = Tensor(np.ones(3))
        np.sin(y).sum().backward()
        found.append(y.grad)

    def step() -> Any:
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
        return np.exp(x)

    assert {o.name for o in quick(step).operations} == {"exp"}
    assert all(np.array_equal(g, np.cos(np.ones(3))) for g in found)


def test_a_function_that_does_something_else_each_time_says_so() -> None:
    x, calls = Tensor([1.0]), []

    def step() -> Any:
        calls.append(0)
        return np.exp(x) if len(calls) % 2 else np.sin(x)

    found = tg.profile(step, repeats=4, compile=False)
    assert found.other == 2
    assert "2 of the 4 calls ran other operations" in str(found)


# -- Compiled functions


def squares(w: Any, x: Any) -> Any:
    return tg.value_and_grad(lambda w: ((x @ w) ** 2).sum())(w)


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_what_compiling_saves_is_measured_by_compiling(backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    w, x = np.ones((3, 2)), np.ones((4, 3))
    (one,) = tg.profile(squares, w, x, repeats=3, compile=backend).compiling
    assert (one.backend, one.estimated, one.part, one.why) == (backend, False, "", "")
    assert one.first is not None
    assert one.first > one.seconds
    assert one.share == one.seconds / one.before
    (one,) = tg.profile(lambda w: ((x @ w) ** 2).sum(), Tensor(w), repeats=3, compile=backend).compiling
    assert (one.estimated, one.part) == (False, "")  # a loss of its arguments, with its gradients


def test_a_compiled_function_is_profiled_as_its_source_function() -> None:
    w, x = np.ones((3, 2)), np.ones((4, 3))
    found = quick(tg.compile(squares, backend="numpy"), w, x)
    assert [o.name for o in found.operations if o.kind == "forward"] == ["matmul", "power", "sum"]
    assert found.name == "squares"
    assert "This function is compiled. Here it ran without compilation" in str(found)
    step = tg.compile(squares, backend="numpy")
    step(w, x)
    within = quick(lambda: step(w, x))
    assert [(o.name, o.kind) for o in within.operations] == [("compiled squares", "compiled")]
    assert within.parts["compiled code"] == within.operations[0].seconds


def test_where_the_call_is_not_compiled_its_loss_and_gradients_are() -> None:
    step, parameters = model_step()
    found = tg.profile(optim.Minimizer(parameters, "sgd", 0.1).step, step, repeats=2, compile="numpy")
    (one,) = found.compiling
    assert (one.backend, one.estimated, one.part) == ("numpy", False, "loss and gradients")
    assert "not among the arguments" in one.why
    assert one.before <= found.seconds
    assert "numpy: loss and gradients" in str(found)
    (one,) = tg.profile(step, repeats=1, compile="numpy").compiling
    assert "not among its arguments" in one.why

    def branching(x: Any) -> Any:
        return x * 2 if x.sum() > 0 else x

    (one,) = tg.profile(branching, Tensor([1.0]), repeats=1, compile="numpy").compiling
    assert one.part
    assert "depends on a value" in one.why


def test_the_graph_that_is_compiled_gives_the_same_loss_and_gradients() -> None:
    step, parameters = model_step()
    rng = np.random.default_rng(3)
    keep = rng.integers(0, 2, (5, 3)) * 2.0

    def loss() -> Any:
        return (step() + (np.exp(parameters[1])[IDS] * 0.1).sum()) * keep

    root = loss()
    graph = Graph(root.node)
    value, gradients = tg.value_and_grad(graph.run)(graph.learned, graph.data)
    root.sum().backward()
    assert value == pytest.approx(root.data.sum(), rel=1e-14)
    assert len(gradients) == len(parameters) == 4
    for g, t in zip(gradients, parameters, strict=True):
        np.testing.assert_allclose(g, t.grad, rtol=1e-14)


def test_for_uncompilable_functions_the_time_is_estimated_with_the_reason() -> None:
    x = Tensor([1.0, 2.0])

    def branching() -> Any:  # without a backward walk, so without a graph to compile
        return (np.exp(x) if x.sum() > 0 else x).data

    found = tg.profile(branching, repeats=1, compile="numpy")
    (one,) = found.compiling
    assert (one.estimated, one.first) == (True, None)
    assert one.seconds == pytest.approx(sum(o.seconds for o in found.operations))
    assert one.why
    assert "estimated" in str(found)


def test_a_long_function_is_compiled_only_on_request() -> None:
    def long(x: Any) -> Any:
        for _ in range(1001):
            x = x * 1.0
        return x

    (one,) = tg.profile(long, Tensor([1.0]), repeats=1).compiling
    assert one.estimated
    assert one.why.startswith("its 2,002 operations")


def test_a_long_graph_of_a_step_is_compiled_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "MOST", 2)
    step, _ = model_step()
    (one,) = tg.profile(step, repeats=1, compile="numpy").compiling
    assert (one.estimated, one.part) == (False, "loss and gradients")


def test_a_backend_that_was_left_out_is_named() -> None:
    found = replace(a_profile(operation(), compiling=(Compiling("numpy", 0.5, 1.0, 2.5),)), untried=("numba",))
    assert "numba would take long to compile 1 operation and rules; compile=True does it." in str(found)


# -- What is printed and drawn


def operation(name: str = "exp", kind: str = "forward", **parts: Any) -> Operation:
    plain = Operation(name, kind, 0 if kind == "back" else None, 0.1, 0.01, 800, 800, 800, 1, 0, 100, (100,), "float64",
                      False, None, ("step.py", 3), None)  # fmt: skip
    return replace(plain, **parts)


def a_profile(*operations: Operation, seconds: float = 1.0, compiling: tuple[Compiling, ...] = (),
              around: float = 0.0) -> Profile:  # fmt: skip
    python = seconds - sum(one.seconds for one in operations) - around
    parts = {"Python between operations": python, "rest of the call, such as making batches": around}
    return Profile("step", operations, seconds, parts, (seconds, seconds), 5, 0, 0, compiling, None)


ADVICE: dict[str, tuple[Profile, str]] = {
    "nothing to say": (a_profile(*[operation(name=f"f{k}", seconds=0.2) for k in range(4)]), ""),
    "Python": (a_profile(operation(seconds=0.29), compiling=(Compiling("numpy", 0.3, 1.0, 2.5),)), (
        "Python costs 71 % of this call: compile it, tinygrad_nn.compile(step, backend='numpy'), and a call takes 30 % "
        "of the time now; the first call takes 2.50 s.")),
    "the faster backend": (a_profile(operation(seconds=0.95), compiling=(
        Compiling("numpy", 0.8, 1.0, 2.5), Compiling("numba", 0.5, 1.0, 9.0))), (
        "Compile it, tinygrad_nn.compile(step, backend='numba'), and a call takes 50 % of the time now; the first call "
        "takes 9.00 s.")),
    "the backend that compiles faster": (a_profile(operation(seconds=0.95), compiling=(
        Compiling("numpy", 0.5, 1.0, 0.1), Compiling("numba", 0.48, 1.0, 9.0))), (
        "Compile it, tinygrad_nn.compile(step, backend='numpy'), and a call takes 50 % of the time now; the first call "
        "takes 100 ms.")),
    "compiled in vain": (a_profile(operation(seconds=0.29), compiling=(Compiling("numpy", 0.95, 1.0, 2.5),)), (
        "Python costs 71 % of this call, and compiling saves little of it.")),
    "not compiled": (a_profile(operation(seconds=0.29), compiling=(Compiling("numpy", 0.29, 1.0, None, True),)), (
        "Python costs 71 % of this call. Compiled it would take about the 290 ms of its operations: write the step as "
        "a function of its parameters and data and compile that, or pass compile=True to fit.")),
    "a part": (a_profile(operation(seconds=0.29), compiling=(
        Compiling("numpy", 0.3, 1.0, 2.5, part="loss and gradients", why="no"),)), (
        "Python costs 71 % of this call: compiled with numpy, loss and gradients take 30 % of the time now (the first "
        "call takes 2.50 s). For that write the step as a function of its parameters and data and compile that, or "
        "pass compile=True to fit.")),
    "around a short step": (a_profile(operation(seconds=3e-5), operation("sin", seconds=3e-5), seconds=1e-4,
                                      around=4e-5), ""),
    "compiled itself": (replace(a_profile(operation(seconds=0.1), around=0.5), was_compiled=True), ""),
    "around": (a_profile(operation(seconds=0.3), operation("sin", seconds=0.3), around=0.4), (
        "40 % of this call is outside of operations on Tensors, such as making batches, clipping, the search of an "
        "optimizer or your own NumPy code: move what is the same in each step before the loop.")),
    "compiled already": (a_profile(operation(kind="compiled", seconds=0.1)), ""),
    "two dtypes": (a_profile(*[operation(seconds=0.45, mixed=True, line=("a.py", n)) for n in (7, 9)]), (
        "2 operations mix floats of two dtypes and compute in the larger, the first at a.py:7: make data and "
        "parameters one dtype.")),
    "copies": (a_profile(*[operation("reshape", seconds=0.02, flops=0) for _ in range(40)]), (
        "The 40 new arrays of reshape (32 kB) take 80 % of this call: keep the array in the order in which it is "
        "used, then no copy is made.")),
    "views": (a_profile(*[operation("reshape", seconds=0.02, allocated=0) for _ in range(40)]), ""),
    "parts in place": (a_profile(*[operation("getitem", "back", seconds=0.02, allocated=0) for _ in range(50)]), ""),
    "parts": (a_profile(*[operation("getitem", "back", seconds=0.02) for _ in range(50)]), (
        "The 50 gradients of t[...] take 100 % of this call, each an array as large as the whole of t (40 kB in "
        "all): write the operations over all rows at once.")),
    "a loop": (a_profile(*[operation(seconds=0.01) for _ in range(20)], compiling=()), (
        "Python costs 80 % of this call. Compiled it would take about the 200 ms of its operations: write the step as "
        "a function of its parameters and data and compile that, or pass compile=True to fit.\n"
        "step.py:3 runs 20 times on arrays of at most 800 B, where an operation is mostly the call of it: put these "
        "arrays into one and write the operation once, or compile the step.")),
    "power": (a_profile(operation("power", seconds=0.8, floor=0.1, read=10**6)), (
        "power takes 80 % of this call, 8 times its floor: NumPy raises to most powers by logarithms; write x * x, "
        "x * x * x or np.sqrt(x) where it is one of these.")),
    "a power of few numbers": (a_profile(
        operation("power", seconds=8e-6, floor=1e-6, read=10**6), seconds=1e-5), ""),
    "no operation": (a_profile(around=1.0), ""),
    "at the floor": (a_profile(operation("matmul", seconds=0.8, floor=0.7)), (
        "matmul takes 80 % of this call, and is near its floor: float32 halves it.")),
    "at the floor of float32": (a_profile(operation("matmul", seconds=0.8, floor=0.7, dtype="float32")), (
        "matmul takes 80 % of this call, and is near its floor: only less work makes it faster.")),
}  # fmt: skip


@pytest.mark.parametrize("name", ADVICE)
def test_advice_is_what_the_numbers_say(name: str) -> None:
    found, said = ADVICE[name]
    assert "\n".join(advice(found)) == said


def test_the_table_has_80_columns_whatever_the_names_are() -> None:
    x = Tensor(np.ones((4, 3)))
    with scope("a layer of a very long name \x1b[2J, which no terminal is to obey"):
        found = quick(lambda: sum((np.exp(x + k) for k in range(30)), 0.0))
    many = [operation(name=f"operation_number_{k}_of_many", seconds=k / 1000) for k in range(1, 31)]
    text = "\n".join(map(str, [found, a_profile(*many, seconds=1e4), a_profile(seconds=1e-9)]))
    assert max(map(len, text.splitlines())) <= 80
    assert text.isprintable() or all(line.isprintable() for line in text.splitlines())
    assert "20 more" in text
    assert re.search(r": [\d.]+ \S+ a call \(\d+ calls?, half of them in ", str(found).splitlines()[0])
    assert "def " not in str(found)
    assert "np.exp(x + k)" in str(found)  # the line of code


@pytest.mark.parametrize(("quartiles", "first", "sentence"), [
    ((0.9, 1.1), "step: 1.00 s a call (5 calls, half of them in 900 ms to 1.10 s)", ""),
    ((0.5, 1.1), "step: 1.00 s a call (5 calls, half of them in 500 ms to 1.10 s)", "The calls vary a lot"),
    ((1.1, 1.3), "step: 1.00 s a call by its parts, 1.10 s to 1.30 s in half of 5 calls", ""),
    ((5.0, 9.0), "step: 1.00 s a call by its parts, 5.00 s to 9.00 s in half of 5 calls", "Whole calls took longer"),
    ((0.1, 0.1), "step: 1.00 s a call by its parts, 100 ms to 100 ms in half of 5 calls", "The calls vary a lot"),
])  # fmt: skip
def test_the_first_lines_do_not_contradict_each_other(quartiles: Any, first: str, sentence: str) -> None:
    line, after, *_ = str(replace(a_profile(operation()), quartiles=quartiles)).splitlines()
    assert line == first
    assert after.startswith(sentence) if sentence else not after


def test_the_graph_is_coloured_by_the_time_forward_and_back() -> None:
    x, w = np.ones((100, 200)), Tensor(np.ones((200, 100)), name="w")
    found = quick(lambda w: np.tanh(x @ w).sum(), w)
    drawing = found.draw()
    shades = {item.title: item.shade for item in drawing.picture.items if item.shade}
    assert set(shades) == {"@", "tanh", "sum"}
    assert drawing.picture.legend.title == "time forward and back, as a share of all operations"
    assert drawing.picture.style.title.startswith("<lambda>: ")
    times = Measures(found, "time")
    assert sum(times.values()) == pytest.approx(sum(o.seconds for o in found.operations))
    slowest = max(times, key=lambda number: times[number])
    shade = next(i.shade for i in drawing.picture.items if i.key == f"n{slowest}")
    assert RISING.index(shade.fill) == max(RISING.index(one.fill) for one in shades.values())
    assert all(part.array.strides == () or not any(part.array.strides) for part in drawing.view if part.operation)
    lines = shades["@"].lines
    assert lines[0].startswith("forward ")
    assert lines[2] == "800 kB moved, 240 kB in 2 new arrays"  # 160 + 160 + 80 forward, 80 + 160 + 160 back
    assert all(len(item.lines) <= 1 for item in drawing.picture.items)
    for by, words in (("bytes", "read and written"), ("new", "of new memory")):
        assert words in found.draw(by=by).picture.legend.title
    with pytest.raises(ValueError, match="coloured by 'time', 'bytes', 'new'"):
        found.draw(by="calls")
    with pytest.raises(ValueError, match="there is no graph to draw"):
        quick(lambda: np.ones(3)).draw()


def test_a_long_graph_is_drawn_folded_and_a_notebook_shows_both() -> None:
    x = Tensor([0.5], name="x")

    def long() -> Any:
        y = x
        for _ in range(400):
            y = np.sin(y)
        return y

    found = quick(long)
    assert found.draw().picture.note.startswith("400 operations are shown")
    html = found._repr_html_()
    assert html.startswith("<pre")
    assert "<svg" in html


def test_operations_without_a_graph_are_seen_too() -> None:
    with tg.no_grad():
        found = quick(lambda: np.exp(Tensor([1.0])) * 2)
    assert [(o.name, o.kind, o.node) for o in found.operations] == [
        ("exp", "forward", None), ("multiply", "forward", None)]  # fmt: skip
    assert quick(lambda: np.ones(3)).operations == ()
    assert "No operation on a Tensor ran" in str(quick(lambda: np.ones(3)))
