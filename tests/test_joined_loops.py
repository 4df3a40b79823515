"""Loops over neighbouring axes are joined if all arrays are contiguous along them; the numbers stay NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg

pytest.importorskip("numba", reason="these are kernels of numba")

from tinygrad_nn.compiled.numba import fuse, loops, machine

Array = Any


def drawn(rng: np.random.Generator) -> tuple[Callable[..., Array], list[Array]]:
    """Return a random function of two arrays, of which the second is broadcast, and the arrays."""
    axes = int(rng.integers(2, 6))
    shape = tuple(int(n) for n in rng.integers(1, 4, axes))
    narrow = tuple(1 if rng.random() < 0.5 else n for n in shape)[int(rng.integers(0, axes)) :]
    order = tuple(int(a) for a in rng.permutation(axes)) if rng.random() < 0.3 else tuple(range(axes))
    summed = tuple(a for a in range(axes) if rng.random() < 0.5)
    keep, kind, cut = bool(rng.random() < 0.5), int(rng.integers(0, 5)), bool(rng.random() < 0.2)

    def f(x: Array, y: Array) -> Array:
        z = np.tanh(x.transpose(order)) if kind == 3 else x.transpose(order)
        if order == tuple(range(axes)):
            z = z * y + y
        z = z[:, 1:] * 2.0 if cut and z.shape[1] > 1 else z * 2.0
        if kind == 1:
            return z.max(axis=summed, keepdims=keep) + 1.0
        if kind == 2:
            return (z * z).sum() + z.sum(axis=summed, keepdims=keep)
        if kind == 4:
            return z.reshape(-1, z.shape[-1]) * 3.0 + 1.0
        return z.sum(axis=summed, keepdims=keep) - 1.0

    return f, [rng.normal(size=shape), rng.normal(size=narrow)]


@pytest.mark.usefixtures("plain_kernels")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("seed", range(60))
def test_few_loops_compute_what_many_do(seed: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    f, given = drawn(np.random.default_rng(seed))
    wanted = f(*given)
    if threads > 1:
        monkeypatch.setattr(loops, "LARGE", 0)
        monkeypatch.setattr(machine.Machine, "threads", staticmethod(lambda: threads))
    run = tg.compile(f, backend="numba")
    np.testing.assert_allclose(run(*given), wanted, rtol=1e-13, atol=1e-13)
    (plan,) = run.plans.values()
    assert not isinstance(plan, str), plan


def nest(text: str) -> int:
    """Return how deep the loops of a kernel are."""
    return max((len(line) - len(line.lstrip()) for line in text.split("\n") if "for " in line), default=0) // 4


@pytest.mark.usefixtures("plain_kernels")
@pytest.mark.parametrize(
    ("f", "deep"),
    [
        (lambda x, b: np.maximum(x * 2.0 + b, 0.0), 3),  # a channel's bias: samples, channels, pixels
        (lambda x, b: np.maximum(x * 2.0 + 1.0, 0.0), 2),
        (lambda x, b: (x * 2.0).sum(axis=(2, 3)) + 1.0, 3),
        (lambda x, b: (x * 2.0).sum(axis=0) + 1.0, 2),
        (lambda x, b: x[:, :, 1:] * 2.0 + 1.0, 4),  # rows of pixels do not follow each other there
        (lambda x, b: x.transpose(0, 1, 3, 2) * 2.0 + 1.0, 4),
        (lambda x, b: x.transpose(1, 0, 2, 3) * 2.0 + 1.0, 3),
    ],
)
def test_how_deep_the_loops_are(f: Callable[..., Array], deep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    load = machine.load_source
    monkeypatch.setattr(machine, "load_source", lambda text: (texts.append(text), load(text))[1])
    x, b = np.ones((2, 3, 4, 5)), np.ones((3, 1, 1))
    np.testing.assert_allclose(tg.compile(f, backend="numba")(x, b), f(x, b))
    assert [nest(text) for text in texts] == [deep]
    assert fuse.available() is False


ARRAY, NUMBER = ("a1", "f4[:, ::1]"), ("a0", "f8")


def written(*bounds: str) -> list[str]:
    """Return the source lines of nested loops, followed by one more loop."""
    lines = [f"{'    ' * k}for i{k} in range({n}):" for k, n in enumerate(bounds)]
    return [*lines, "    " * len(bounds) + "x", "for j in range(99): y"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("16", "64"), ("16 + zero", "64")),
        (("16", "63"), None),
        (("64",), None),
        (("rows", "64"), None),
        (("16", "rows"), None),
        (("2", "3", "99"), ("2 + zero", "3 + zero", "99")),
        (("2", "99", "3"), ("2 + zero", "99", "3")),
    ],
)
def test_loops_around_long_ones_are_not_unrolled(given: tuple[str, ...], wanted: tuple[str, ...] | None) -> None:
    found = machine.without_unrolling(written(*given), [NUMBER, ARRAY])
    assert found == (["zero = len(a1) >> 62", *written(*wanted)] if wanted else written(*given))
    assert machine.without_unrolling(written(*given), [NUMBER, ("a2", "Array(f4, 0, 'C')")]) == written(*given)


@pytest.mark.slow
def test_a_loop_over_channels_and_pixels_is_little_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_NN_CACHE", "")
    monkeypatch.setattr(loops, "LARGE", 2**40)
    texts: list[dict[str, Any]] = []
    load = machine.load_source
    monkeypatch.setattr(machine, "load_source", lambda text: (texts.append(load(text)), texts[-1])[1])
    x, b = np.ones((4, 16, 28, 28), np.float32), np.ones((16, 1, 1), np.float32)
    tg.compile(lambda x, b: np.maximum(x + b, 0), backend="numba")(x, b)
    ((code,),) = [made["kernel"].inspect_llvm().values() for made in texts]
    assert code.count("\n") < 1500  # 5,000 lines, for which LLVM took seconds, if the 16 were unrolled
