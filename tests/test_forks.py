"""A forked process works whatever its parent's threads were doing: no lock that they held is held in the child."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import backward
from tinygrad_nn.common import forks
from tinygrad_nn.solver import prediction

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # of Python from 3.12 on
]
PACKAGE = Path(tg.__file__).parent
LONG = 60  # seconds after which a child counts as hanging


def in_child(do: Callable[[], Any]) -> int:
    """Run `do` in a forked process and return its exit code: 0 if it succeeded."""
    child = os.fork()
    if child == 0:
        try:
            do()
            os._exit(0)
        finally:
            os._exit(1)
    for _ in range(LONG * 50):
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            return code
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@contextmanager
def held(lock: Any, seconds: float = LONG) -> Iterator[None]:
    """Let another thread hold a lock during this block, or for some seconds."""
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            over.wait(seconds)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def take(lock: Any) -> None:
    assert lock.acquire(timeout=1)


def walk() -> None:
    w = tg.Tensor(np.ones(3))
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad, np.full(3, 2.0))


@pytest.mark.parametrize("find", [lambda: backward._accumulating, lambda: prediction._SWITCH], ids=["walk", "use"])
def test_a_lock_of_another_thread_is_free_in_the_child(find: Callable[[], Any]) -> None:
    with held(find()):
        assert in_child(lambda: take(find())) == 0
        assert in_child(walk) == 0
        assert not find().acquire(timeout=0.01), "in the parent it is held"


def test_a_compiled_function_that_another_thread_runs_runs_in_the_child() -> None:
    f = tg.compile(lambda x: x * 2, backend="numpy")
    f(np.ones(3))
    with held(f._lock):
        assert in_child(lambda: np.testing.assert_array_equal(f(np.ones(3)), 2 * np.ones(3))) == 0


def test_a_fork_waits_until_no_thread_imports_or_compiles() -> None:
    for lock in list(forks._awaited):
        started = time.monotonic()
        with held(lock, seconds=0.2):
            assert in_child(lambda lock=lock: take(lock)) == 0
            assert time.monotonic() - started >= 0.2
        assert lock.acquire(timeout=1), "it is free in the parent"
        lock.release()


def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "LONGEST", 0.1)
    with held(forks.building):
        assert in_child(lambda: take(forks.building)) == 0


def test_the_thread_that_forks_keeps_its_locks() -> None:
    def go_on() -> None:
        for lock in locks:
            lock.release()
            take(lock)

    locks = [forks.building, prediction._SWITCH]
    for lock in locks:
        lock.acquire()
    try:
        assert in_child(go_on) == 0
    finally:
        for lock in locks:
            lock.release()


def test_every_lock_of_the_package_is_renewed() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if re.search(r"(?<!renewed_after_fork\()\b(R?Lock|Condition|Semaphore)\(\)", file.read_text("utf-8"))
    }
    assert found == {"common/forks.py"}


@pytest.mark.slow
def test_numba_compiles_in_a_child_of_a_process_that_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")
    monkeypatch.setenv("TINYGRAD_NN_CACHE", "")
    over = False

    def scaled(k: float) -> Any:
        return tg.compile(lambda x: np.sin(x * k).sum() * k, backend="numba")(np.ones(7))

    def compile_on() -> None:
        k = 1.0
        while not over:
            k += 1
            scaled(k)

    thread = threading.Thread(target=compile_on, daemon=True)
    thread.start()
    try:
        for pause in (0.0, 0.3, 0.7, 1.1):
            time.sleep(pause)
            assert in_child(lambda: np.testing.assert_allclose(scaled(0.5), 3.5 * np.sin(0.5))) == 0
    finally:
        over = True
        thread.join()
