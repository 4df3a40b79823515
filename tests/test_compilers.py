"""Several processes compile one plan: all machine code is on disk before the first call, and failures do not matter."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import nn

pytest.importorskip("numba", reason="these are functions of numba")
pytest.importorskip("scipy", reason="whose BLAS they call")

from tinygrad_nn.compiled.numba import compilers, machine
from tinygrad_nn.compiled.numba.cache import FunctionCache
from tinygrad_nn.compiled.numba.native import build, norms, products
from tinygrad_nn.compiled.program.values import Op, Value

START = subprocess.Popen
KERNEL = (
    '@kept_as("void(f8[::1])", nogil=True)\ndef {{name}}(a0):\n    for i in range(a0.shape[0]):\n        a0[i] = {}.0\n'
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, with no kernels in memory either."""
    monkeypatch.setenv("TINYGRAD_NN_CACHE", str(tmp_path / "code"))
    machine.kernel_function.cache_clear()
    return tmp_path / "code"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "process_count", lambda functions: 0)


def network(kind: str) -> tuple[Any, Any]:
    made: Any
    x: Any
    if kind == "images":
        made = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.relu, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(392, 5))
        x = (16, 1, 14, 14)
    elif kind == "attention":
        made, x = nn.TransformerBlock(32, 2, 64, dropout=0.0, batch_first=True), (8, 16, 32)
    else:
        made, x = nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128), nn.relu, nn.Linear(128, 64)), (64, 64)
    return made, np.random.default_rng(0).normal(size=x)


def gradients(made: Any) -> Any:
    names, parameters = zip(*made.named_parameters(), strict=True)

    def loss(values: Any, x: Any) -> Any:
        for name, value in zip(names, values, strict=True):
            part, _, last = name.rpartition(".")
            setattr(dict(made.named_modules())[part], last, value)
        return (made(x) ** 2).mean()

    return tg.grad(loss), [p.data for p in parameters]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "attention", "rows"])
@pytest.mark.usefixtures("alone")
def test_whatever_the_first_call_runs_has_been_compiled_before(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = network(kind)
    function, values = gradients(made)
    wanted = function(values, x)
    counts: list[int] = []
    together = compilers.compile_all

    def counting(found: list[Any]) -> None:
        counts.append(FunctionCache.compiled)
        together(found)
        counts.append(FunctionCache.compiled)

    for body in _parted():  # what an earlier test has compiled in this process would hide what is missing
        monkeypatch.setattr(body, "addresses", {})
    monkeypatch.setattr(compilers, "compile_all", counting)
    run = tg.compile(function, backend="numba")
    got = run(values, x)
    assert counts, "nothing was prepared"
    assert FunctionCache.compiled == counts[-1]
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def _parted() -> list[Any]:
    from tinygrad_nn.compiled.numba.native import attention, images, pools

    modules = (attention, images, norms, pools, products)
    return [x for module in modules for x in vars(module).values() if isinstance(x, build.Parted)]


@pytest.mark.slow
def test_another_process_makes_a_part_of_them(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [{"kernel": KERNEL.format(k)} for k in range(1, 81)]
    monkeypatch.setattr(compilers, "process_count", lambda functions: 1)
    before = FunctionCache.compiled
    compilers.compile_all(found)
    here = FunctionCache.compiled - before
    assert len(list(place.iterdir())) == 80
    assert 0 < here < 80
    row = np.zeros(3)
    for k, job in enumerate(found, 1):
        machine.kernel_function(job["kernel"])(row)
        assert row.tolist() == [k] * 3
    assert FunctionCache.compiled - before == here


@pytest.mark.slow
def test_another_process_makes_functions_of_native(place: Path) -> None:
    a, w = (Value(k, "input", shape, np.dtype("f4")) for k, shape in enumerate([(8, 4), (4, 6)], 1))
    out = Value(3, "made", (8, 6), np.dtype("f4"))
    from tinygrad_nn.compiled.numba.native.matrix_products import PRODUCT_OF, UPDATE

    ops = [
        Op("native", "product", PRODUCT_OF, [a, w], (), [out]),
        Op("native", "update", UPDATE, [a, w, out, 0.5], (), [out]),
    ]
    for op in ops:
        op.extra = False, False, 2
    left = deque(compilers.compile_jobs([], ops))
    helper = compilers.Helper(left)
    try:
        helper.wait()
    finally:
        helper.end()
    assert not left
    before = FunctionCache.compiled
    for job in compilers.compile_jobs([], ops):
        compilers.prepare(job)
    assert FunctionCache.compiled == before


class Lost:
    """A process that ends before it has read anything."""

    def __init__(self, line: list[str], **options: Any) -> None:
        self.real = START([sys.executable, "-c", "print()"], **options)
        self.stdin, self.stdout, self.kill = self.real.stdin, self.real.stdout, self.real.kill
        self.communicate = self.real.communicate


def refused(*_: Any, **__: Any) -> Any:
    raise OSError("no more processes")


@pytest.mark.parametrize("started", [Lost, refused])
def test_without_another_process_all_is_compiled_here(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(compilers, "process_count", lambda functions: 1)
    found = [{"kernel": KERNEL.format(k)} for k in range(1, 5)]
    compilers.compile_all(found)
    row = np.zeros(2)
    for k, job in enumerate(found, 1):
        machine.kernel_function(job["kernel"])(row)
        assert row.tolist() == [k, k]


class NoThread(threading.Thread):
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_without_another_thread_all_is_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    def start(line: list[str], **options: Any) -> Any:
        started.append(START([sys.executable, "-c", "input()"], **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(compilers, "Thread", NoThread)
    monkeypatch.setattr(compilers, "process_count", lambda functions: 1)
    compilers.compile_all([{"kernel": KERNEL.format(k)} for k in range(1, 3)])
    assert [process.poll() is not None for process in started] == [True] * len(started)
    assert started


@pytest.mark.parametrize("paths", [[Path("/somewhere"), 3], ["", ".", "relative/folder"]])
def test_only_whole_paths_are_searched_there(paths: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[list[str]] = []

    def start(line: list[str], **options: Any) -> Any:
        lines.append(line)
        return Lost(line, **options)

    monkeypatch.setattr(sys, "path", [*paths, *sys.path])
    monkeypatch.setattr(subprocess, "Popen", start)
    helper = compilers.Helper(deque())
    helper.wait()
    helper.end()
    (line,) = lines
    found = json.loads(line[-1])
    assert all(os.path.isabs(path) for path in found)
    assert [path for path in sys.path if isinstance(path, str) and os.path.isabs(path)] == found[:-1]


class Taken(deque[Any]):
    """A queue whose last job is taken by another thread between the check and the attempt to take it."""

    def __bool__(self) -> bool:
        return True


def test_the_last_job_may_be_taken_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "deque", Taken)
    monkeypatch.setattr(compilers, "process_count", lambda functions: 0)
    compilers.compile_all([{"kernel": KERNEL.format(1)}])


def test_a_job_without_words_in_json_is_left_to_this_process() -> None:
    left: deque[Any] = deque([{"kernel": object()}])
    helper = compilers.Helper(left)
    helper.wait()
    helper.end()
    assert not left


def test_an_error_here_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Any] = []

    class Waiting:
        def __init__(self, left: Any) -> None:
            self.left = left

        def wait(self) -> None:
            raise AssertionError

        def end(self) -> None:
            ended.append(self.left)

    monkeypatch.setattr(compilers, "Helper", Waiting)
    monkeypatch.setattr(compilers, "process_count", lambda functions: 2)
    found = [{"kernel": KERNEL.format(1)}, {"kernel": "this is no source"}]
    with pytest.raises(SyntaxError):
        compilers.compile_all(found)
    assert len(ended) == 2


def test_functions_found_on_disk_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [{"kernel": KERNEL.format(k)} for k in range(1, 4)]
    with monkeypatch.context() as patch:
        patch.setattr(compilers, "process_count", lambda functions: 0)
        compilers.compile_all(found)
    machine.kernel_function.cache_clear()
    asked: list[int] = []
    monkeypatch.setattr(compilers, "process_count", lambda functions: asked.append(functions) or 0)
    compilers.compile_all(found)
    assert asked == []
    compilers.compile_all([{"kernel": KERNEL.format(4)}, *found])
    assert asked == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("cores", "functions", "wanted"), [(1, 90, 0), (2, 90, 1), (2, 6, 1), (2, 5, 0), (8, 90, 3), (8, 13, 2), (2, 0, 0)]
)
def test_how_many_processes(cores: int, functions: int, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert compilers.process_count(functions) == wanted


def test_no_process_without_a_folder_or_a_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert compilers.process_count(50) == 1
    with monkeypatch.context() as patch:
        patch.setenv("TINYGRAD_NN_CACHE", "")
        assert compilers.process_count(50) == 0
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "")
        assert compilers.process_count(50) == 0
    with monkeypatch.context() as patch:
        patch.setattr(sys, "frozen", True, raising=False)
        assert compilers.process_count(50) == 0


def test_those_that_take_longest_come_at_both_ends() -> None:
    sources = [KERNEL.format("7" * k) for k in (3, 1, 4, 2)]
    found = [job["kernel"] for job in compilers.compile_jobs([*sources, sources[0]], [])]
    assert [text.count("7") for text in found] == [1, 4, 2, 3]


def test_native_functions_are_compiled_once_for_each_type() -> None:
    from tinygrad_nn.compiled.numba.native.matrix_products import PRODUCT_OF

    def product(n: int, kind: str) -> Op:
        a, b, out = (Value(k, "input", shape, np.dtype(kind)) for k, shape in enumerate([(n, 3), (3, 2), (n, 2)], 1))
        op = Op("native", "product", PRODUCT_OF, [a, b], (), [out])
        op.extra = False, False, 2
        return op

    assert len(compilers.compile_jobs([], [product(4, "f8"), product(9, "f8"), product(4, "f4")])) == 2


def test_numbers_that_differ_from_call_to_call_keep_their_type() -> None:
    from tinygrad_nn.compiled.numba.native.matrix_products import UPDATE

    a, b, w = (Value(k, "input", (3, 3), np.dtype("f8")) for k in range(1, 4))
    eta, many = Value(4, "input", (), float), Value(5, "input", (), int)
    op = Op("native", "update", UPDATE, [a, b, w, eta, many], (), [w])
    op.extra = True, 2, np.array([7, 8])
    (job,) = compilers.compile_jobs([], [op])
    array = ["f8", [3, 3]]
    found = [array, array, array, 0.0, 0, array, True, 2, ["<i8", [2], [7, 8]]]
    assert job == {"native": ["products", "update"], "given": found}
    assert [type(x) for x in job["given"]] == [type(x) for x in found]


def test_a_process_compiles_jobs_until_the_input_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[Any] = []

    def prepare(job: Any) -> None:
        did.append(job)
        if job == 2:
            raise ValueError("it fails again where it is needed")

    monkeypatch.setattr(compilers, "prepare", prepare)
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{json.dumps(k)}\n" for k in (1, 2, 3))))
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", said)
    compilers.serve()
    assert did == [1, 2, 3]
    assert said.getvalue() == "\n" * 4


@pytest.mark.parametrize("parts", [1, 2])
def test_a_function_that_is_prepared_does_not_run(parts: int) -> None:
    a, b, out = np.ones((4, 3)), np.ones((3, 2)), np.zeros((4, 2))
    build.CORES.take()
    try:
        with build.preparing():
            products.product(a, b, out, False, False, parts)
            assert not out.any()
            other = np.zeros((4, 2))
            thread = threading.Thread(target=products.product, args=(a, b, other, False, False, parts))
            thread.start()
            thread.join()
            assert (other == 3).all()
        products.product(a, b, out, False, False, parts)
    finally:
        build.CORES.give()
    assert (out == 3).all()
