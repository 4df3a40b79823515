"""Threads: eight differentiate at once without losing anything; a mode set in one thread does not affect others."""

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor
from tinygrad_nn.node import recording, scope, thread

THREADS = 8
X = np.linspace(0.1, 0.9, 6).reshape(2, 3)


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Let threads take turns far more often than usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(work: Callable[[int], Any]) -> list[Any]:
    """Run the work in eight threads that start at the same moment; return the results, raise the first error."""
    start = threading.Barrier(THREADS)
    results: list[Any] = [None] * THREADS
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait()
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for error in errors:
        raise error
    return results


def loss(x: Any, w: Any) -> Any:
    return (np.tanh(x @ w.T) ** 2).sum() + np.exp(-x).mean()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_one_compiled_function_is_called_by_eight_threads_at_once(backend: str) -> None:
    both = tg.value_and_grad(loss)
    fast = tg.compile(both, backend=backend)
    fast(X, np.eye(3))

    def work(number: int) -> None:
        for k in range(50):
            x = X * (1 + number + k)
            for found, wanted in zip(fast(x, np.eye(3)), both(x, np.eye(3)), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-13)

    together(work)


def test_separate_graphs_in_eight_threads_give_the_gradients_of_one() -> None:
    def work(number: int) -> list[Any]:
        found = []
        for k in range(30):
            x = Tensor(X * (1 + number + k))
            loss(x, np.eye(3)).backward()
            found.append(x.grad)
        return found

    for number, found in enumerate(together(work)):
        for k, g in enumerate(found):
            np.testing.assert_array_equal(g, tg.grad(loss)(X * (1 + number + k), np.eye(3)))


class Slow(np.ndarray):
    """An array that lets other threads run while it is being added to."""

    def __add__(self, other: Any) -> Any:
        time.sleep(1e-3)
        return super().__add__(other)


@pytest.mark.parametrize("kind", [np.ndarray, Slow])
def test_leaves_shared_by_eight_threads_collect_every_gradient(kind: type) -> None:
    w = Tensor(np.eye(3))
    w.node.grad = np.zeros((3, 3)).view(kind)

    def work(number: int) -> None:
        for _ in range(10):
            (w * 1.0).sum().backward()

    together(work)
    np.testing.assert_array_equal(w.grad, np.full((3, 3), THREADS * 10.0))


def test_one_retained_graph_is_walked_by_eight_threads_at_once() -> None:
    x, w = Tensor(X), Tensor(np.eye(3))
    y = loss(x, w)
    together(lambda number: [y.backward(retain_graph=True) for _ in range(50)])
    expected = tg.grad(loss, argnums=(0, 1))(X, np.eye(3))
    np.testing.assert_allclose(x.grad, expected[0] * THREADS * 50, rtol=1e-10)
    np.testing.assert_allclose(w.grad, expected[1] * THREADS * 50, rtol=1e-10)


def test_higher_orders_and_closures_over_a_shared_tensor_in_eight_threads() -> None:
    w = Tensor(np.eye(3))

    def work(number: int) -> Any:
        x = X + number
        second = tg.grad(lambda v: (tg.grad(lambda u: loss(u, w.detach()))(v) ** 2).sum())(x)
        return second, tg.value_and_grad(lambda v: loss(v, w.detach()))(x)[1]

    for number, (second, first) in enumerate(together(work)):
        alone = work(number)
        np.testing.assert_array_equal(second, alone[0])
        np.testing.assert_array_equal(first, alone[1])


def test_no_grad_in_one_thread_does_not_touch_another() -> None:
    inside, outside = threading.Barrier(THREADS), threading.Barrier(THREADS)

    def work(number: int) -> list[bool]:
        x = Tensor(X)
        seen = []
        for _ in range(20):
            if number % 2:
                with tg.no_grad():
                    inside.wait()
                    seen.append((x * 2).requires_grad)
                    outside.wait()
            else:
                inside.wait()
                seen.append((x * 2).requires_grad)
                outside.wait()
            seen.append((x * 2).requires_grad)
        return seen

    for number, seen in enumerate(together(work)):
        assert seen == [number % 2 == 0, True] * 20


def test_a_thread_started_under_no_grad_records() -> None:
    seen = []
    with tg.no_grad():
        t = threading.Thread(target=lambda: seen.append((Tensor(X) * 2).requires_grad))
        t.start()
        t.join()
    assert seen == [True]


def test_anomaly_detection_and_scopes_belong_to_their_thread() -> None:
    ready, done = threading.Barrier(2), threading.Barrier(2)
    notes: dict[str, Any] = {}

    def watched() -> None:
        with tg.detect_anomaly(), scope("layer"):
            ready.wait()
            node = (Tensor(X) * 2).node
            notes["watched"] = (node.scope, "where" in node.notes)
            done.wait()

    def free() -> None:
        ready.wait()
        node = (Tensor(X) * 2).node
        notes["free"] = (node.scope, node.notes)
        done.wait()

    threads = [threading.Thread(target=f) for f in (watched, free)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert notes == {"watched": ("layer", True), "free": (None, None)}
    assert thread.mode.inspect is None


def test_every_node_has_its_own_number_whatever_thread_made_it() -> None:
    def work(number: int) -> list[int]:
        y = Tensor(1.0)
        indices = []
        for _ in range(2000):
            y = y + 1.0
            indices.append(y.node.index)
        return indices

    found = together(work)
    assert len({index for indices in found for index in indices}) == THREADS * 2000
    assert all(indices == sorted(indices) for indices in found)


def test_one_graph_grown_by_several_threads_is_walked_correctly() -> None:
    x = Tensor(X)
    parts = together(lambda number: (x * float(number)).sum())
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    total.backward()
    np.testing.assert_array_equal(x.grad, np.full(X.shape, sum(range(THREADS))))


BLOCKS: list[Callable[[], Any]] = [
    tg.no_grad, lambda: recording(True), lambda: recording(False), lambda: scope("part"), tg.detect_anomaly,
]  # fmt: skip


def state() -> tuple[Any, ...]:
    mode = thread.mode
    opened = [name for name, blocks in mode.blocks.items() if blocks]
    return mode.grad, mode.scope, mode.inspect, mode.module, np.geterr(), opened


@pytest.mark.parametrize("blocks", list(itertools.combinations_with_replacement(range(len(BLOCKS)), 3)), ids=str)
def test_blocks_in_generators_may_end_in_any_order(blocks: tuple[int, ...]) -> None:
    def inside(block: Callable[[], Any]) -> Iterator[None]:
        with block():
            yield

    before = state()
    for order in itertools.permutations(range(3)):
        generators = [inside(BLOCKS[i]) for i in blocks]
        for generator in generators:
            next(generator)
        for left, i in enumerate(order, 1):
            generators[i].close()
            innermost = [b for k, b in enumerate(blocks) if k not in order[:left] and b < 3]  # still open, of recording
            assert bool(thread.mode.grad) is (innermost[-1] == 1 if innermost else True)
        assert state() == before
        assert (Tensor(1.0) * 2).requires_grad


def test_a_block_that_ended_early_does_not_reset_an_inner_block() -> None:
    def inside() -> Iterator[None]:
        with tg.no_grad():
            yield

    generator = inside()
    next(generator)
    with recording(True):
        generator.close()
        assert (Tensor(1.0) * 2).requires_grad
        with tg.no_grad():
            assert not (Tensor(1.0) * 2).requires_grad
        assert (Tensor(1.0) * 2).requires_grad
    assert (Tensor(1.0) * 2).requires_grad


def test_a_generator_that_another_thread_closes_switches_its_own_thread_back() -> None:
    def inside() -> Iterator[None]:
        with tg.no_grad():
            yield

    generator, seen = inside(), []
    next(generator)

    def close() -> None:
        generator.close()
        seen.append(thread.mode.grad)

    other = threading.Thread(target=close)
    other.start()
    other.join()
    assert seen == [True]
    assert thread.mode.grad is True


def test_tasks_of_an_event_loop_may_end_in_any_order() -> None:
    async def task(steps: int) -> bool:
        with tg.no_grad():
            for _ in range(steps):
                await asyncio.sleep(0)
            return (Tensor(1.0) * 2).requires_grad

    async def main() -> list[bool]:
        return list(await asyncio.gather(task(1), task(3), task(2)))

    with ThreadPoolExecutor(1) as pool:  # in a thread of its own, where no other event loop runs
        assert pool.submit(asyncio.run, main()).result() == [False] * 3
        assert pool.submit(lambda: thread.mode.grad).result() is True
