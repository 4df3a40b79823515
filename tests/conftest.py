"""Fixtures for every test: its own random generator, fixed examples in CI, no windows, and no skipping in CI."""

import gc
import operator
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

# Threads of OpenBLAS wait for work in a busy loop, for 0.1 s, which takes processors from the other processes of the
# tests: let them sleep after 2**4 cycles. It is read when NumPy is loaded.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

import hypothesis
import numpy as np
import pytest
from _pytest.runner import runtestprotocol

from tinygrad_nn.compare.budget import time_limit

# programs that need other frameworks; what they found is recorded, and the tests read that
collect_ignore_glob = [
    "reference/make_*.py", "benchmarks/peers/*.py", "from_pytorch/scripts/*.py", "from_pytorch/record.py",
]  # fmt: skip

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(autouse=True, scope="session")
def searches_take_time() -> Generator[None]:
    """Give searches more time, so that their results do not depend on the speed of the machine."""
    with time_limit(5.0):
        yield


@pytest.fixture(autouse=True, scope="session")
def temporary_folders_end_with_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Have `tempfile` use a folder that pytest removes: examples of the docs leave what they make to the user."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("tempfile"))
    yield
    tempfile.tempdir = before


hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Generator seeded by the name of the test: the same numbers each run, others in the next test."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def pytest_runtest_teardown() -> None:
    """Close the figures that a test left open; Matplotlib warns about more than twenty."""
    plots = sys.modules.get("matplotlib.pyplot")
    if plots is not None:
        plots.close("all")


@pytest.fixture
def plain_kernels(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Kernels run as the Python that they are written in, without numba; what is done by `native` is left to NumPy.

    As in numba, arrays are of the dtypes that a kernel is compiled for, in order, and open to writing. No place is
    counted from the end of an array.
    """
    from tinygrad_nn.compiled.numba import fuse, machine

    def kept_as(signature: str, **_: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        given = signature[signature.index("(") + 1 : -1]
        kinds_of = re.findall(r"(?:Array\()?([fibu]\d)(\[.*?\]|, (0), 'C'\)|)", given)
        axes = [0 if zero else text.count(",") + 1 if text else None for _, text, zero in kinds_of]

        def typed(f: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arrays: Any) -> Any:
                for x, (code, *_), ndim in zip(arrays, kinds_of, axes, strict=True):
                    is_array = isinstance(x, np.ndarray)
                    right = is_array and (x.dtype.str[1:], x.ndim) == (code, ndim) and x.flags.carray
                    if is_array if ndim is None else not right:
                        raise TypeError(f"No matching definition for {signature}: {x!r}")
                return f(*arrays)

            return run

        return typed

    def spreading(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], int], None]:
        def run(args: tuple[Any, ...], parts: int) -> None:
            for p in range(parts):
                function(*args, p, parts)

        return run

    functions = {"exp8": np.exp, "tanh8": np.tanh, "plus": operator.add, "kept_as": kept_as, "spreading": spreading}
    space: dict[str, Any] = {"np": np, **functions}

    def u8(place: int) -> int:
        if place < 0:
            raise IndexError(f"a place of {place}")
        return place

    kinds = {
        "u8": u8, "f4": np.float32, "f8": np.float64, "i4": np.int32, "i8": np.int64, "b1": np.bool_, "u1": np.uint8,
    }  # fmt: skip

    def straight(code: str, arrays: Any) -> None:
        flat = {f"a{k}": x.reshape(-1) if isinstance(x, np.ndarray) else x for k, x in enumerate(arrays)}
        exec(code, {**space, **kinds, **flat})

    monkeypatch.setattr(machine, "kernel_names", lambda: {**space, **kinds, "straight": straight})
    monkeypatch.setattr(fuse, "available", lambda: False)
    monkeypatch.setattr(machine, "available", lambda: False)
    machine.kernel_function.cache_clear()
    yield
    machine.kernel_function.cache_clear()


@pytest.fixture(scope="session")
def browser() -> Generator[Any]:
    """A real Chromium without a window; where there is none, tests that need it are skipped, and fail in CI."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium on the PATH: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[test]'")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tabs(browser: Any) -> Any:
    """Tabs in which nothing may go wrong."""
    from tests.tabs import Tabs  # here, because tests of this file run it from other folders

    return Tabs(browser)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """In a process that shares the tests with others, send only what the terminal shows: half as many messages."""
    if not hasattr(item.config, "workerinput"):
        return None
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """A test that is skipped in CI is run nowhere, so there it counts as failed."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and CI must run every test. It said: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


# The quick part (`pytest -m "not slow"`) has of each test at most CASES cases, drawn evenly, others in each test, and
# no more than take SHARE seconds. What a case takes is in seconds.txt, which `python -m tests.seconds` writes.
CASES, SHARE = 4, 0.04
WHOLE = ("tests/test_closure.py::test_a_rule_is_closed",)  # each row of the table of primitives is in the quick part
RECORD = Path(__file__).with_name("seconds.txt").read_text(encoding="utf-8")
SECONDS = {test: float(seconds) for seconds, test in map(str.split, RECORD.splitlines())}


CHEAP = 0.01  # seconds of a case of a test that is not in seconds.txt


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # xdist would begin with the files of most tests, whatever they take


class Places(list[str]):
    """The names of all tests, whose places are looked up: xdist asks for each, among tens of thousands."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.places = {name: place for place, name in enumerate(names)}

    def index(self, name: str, *_: object) -> int:
        return self.places[name]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests as `--dist loadfile` does, but look places up, and count down what is left of a file."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def __init__(self, config: pytest.Config, log: Any) -> None:
            super().__init__(config, log)
            self.left: dict[str, int] = {}

        def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
            super().add_node_collection(node, Places(collection))

        def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
            files = self.assigned_work[node]
            file = self._split_scope(self.registered_collections[node][item_index])
            self.left[file] = self._pending_of({file: files[file]}) - 1
            super().mark_test_complete(node, item_index, duration)
            if not self.left[file]:
                del files[file]

        def _pending_of(self, workload: dict[str, dict[str, bool]]) -> int:
            return sum(self.left.get(file, len(tests)) for file, tests in workload.items())

    return Files(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep Python's garbage collector from scanning the tens of thousands of test items again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000)  # tests make many objects and few cycles
        gc.enable()


def _test_of(item: pytest.Item) -> str:
    """Return the name of the test of which an item is one case."""
    return item.nodeid.partition("[")[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tests: dict[str, list[pytest.Item]] = {}
    files: dict[Path, float] = {}
    for item in items:
        if " at 0x" in item.name:  # processes that share the tests would not agree about its name
            raise pytest.UsageError(f"{item.nodeid}: give its parameters ids; an address is another in each process.")
        tests.setdefault(test := _test_of(item), []).append(item)
        files[item.path] = files.get(item.path, 0.0) + SECONDS.get(test, CHEAP)
    for test, cases in tests.items():
        browser = "browser" in getattr(cases[0], "fixturenames", ())
        kept = 0 if browser else int(min(CASES, SHARE / SECONDS.get(test, CHEAP)))
        if test not in WHOLE:
            for case in sorted(cases, key=lambda case: zlib.crc32(case.name.encode()))[kept:]:
                case.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):  # processes take whole files, and the last to start is the last to end
        items.sort(key=lambda item: -files[item.path])
