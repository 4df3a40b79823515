"""Make a copy of the project and run tests in it, in processes with limits; nothing is left afterwards."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

COPIED = ("tinygrad_nn", "tests", "docs", "examples", "README.md", "LICENSE", "pyproject.toml")
KEPT = ("numpy", "scipy.special", "scipy.linalg.cython_blas", "hypothesis", "matplotlib.pyplot", "numba",
        "safetensors.numpy", "rich.progress", "typer", "latex2mathml.converter", "graphviz", "PIL.Image")  # fmt: skip
OURS = ("tests", "tinygrad_nn", "conftest")


def copy(root: Path, folder: Path) -> Path:
    """Copy the project into a folder."""
    for name in COPIED:
        source, aim = root / name, folder / name
        if source.is_dir():
            shutil.copytree(source, aim, ignore=shutil.ignore_patterns("node_modules", ".hypothesis"))
        elif source.exists():
            shutil.copy2(source, aim)
    return folder


def prepare() -> None:
    """Import what tests import, once for all runs, and have what they leave behind handed to this process."""
    for name in KEPT:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was begun is ended
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def same_examples() -> None:
    """Have Hypothesis draw the same examples in each run."""
    import hypothesis

    hypothesis.settings.register_profile("mutate", derandomize=True, deadline=None)
    hypothesis.settings.load_profile("mutate")


class Chosen:
    """Plugin of a run: runs the tests that were asked for, in that order, and keeps the names of those that fail."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.order = {name: k for k, name in enumerate(tests)}
        self.failed: list[str] = []

    def pytest_configure(self) -> None:
        same_examples()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.order:
            items[:] = sorted((i for i in items if i.nodeid in self.order), key=lambda i: self.order[i.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid} (import)")

    def said(self) -> Any:
        return self.failed


def run(
    folder: Path, arguments: Iterable[str], plugin: Any, seconds: float, memory: float = 8.0,
    kernels: Path | None = None, writes: bool = False,
) -> tuple[str, Any]:
    """Run pytest in a copy of the project, in a process of its own.

    Args:
        folder: the copy.
        arguments: of pytest.
        plugin: one more plugin; what its `said` returns comes back.
        seconds: of the processor that it may take; of the clock it may take four times that and half a minute.
        memory: GiB that it may use.
        kernels: the cache of compiled kernels; by default one of its own.
        writes: whether bytecode is kept.

    Returns:
        "passed", "failed", "time", "memory" or "died", and what the plugin said, None if it could not.
    """
    place = folder / "run"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    answer = place / "answer.json"
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            _child(folder, place, list(arguments), plugin, seconds, memory, kernels, writes, answer)
        except BaseException:  # never back into the code of the parent
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(9)
    begin, status = time.monotonic(), None
    try:
        while time.monotonic() - begin < 4 * seconds + 30:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            status = None
            time.sleep(0.01)
    finally:
        clear(child)
    said = json.loads(answer.read_bytes()) if answer.exists() and answer.stat().st_size else None
    if status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
        return "time", said
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, 5):
        return "passed", said
    return ("failed" if said else "died"), said


def clear(child: int) -> None:
    """End a process, its group, and all that was handed to us when its parents ended."""
    for kill, number in ((os.killpg, child), (os.kill, child)):
        try:
            kill(number, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    while True:
        left = _children()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    """Return the processes whose parent this one is, where the system tells."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    except OSError:
        return []


def _child(
    folder: Path, place: Path, arguments: list[str], plugin: Any, seconds: float, memory: float,
    kernels: Path | None, writes: bool, answer: Path,
) -> None:
    """Become the process that runs the tests."""
    import resource  # which Windows does not have

    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: it does not outlive this program
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 3))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory * 2**30),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.open(place / "output", os.O_WRONLY | os.O_CREAT)
    null = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((null, 0), (out, 1), (out, 2)):
        os.dup2(old, new)
    home = Path(__file__).resolve().parents[2]
    sys.path[:] = [str(folder), *[p for p in sys.path if Path(p or ".").resolve() != home]]
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]
    os.chdir(folder)
    kernels = kernels or place / "kernels"
    for path in (kernels, place / "hypothesis"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ |= {"PYTHONPATH": str(folder), "TINYGRAD_NN_CACHE": str(kernels), "MPLBACKEND": "Agg",
                   "HYPOTHESIS_STORAGE_DIRECTORY": str(place / "hypothesis")}  # fmt: skip
    if not writes:
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = not writes
    given = ["-c", str(folder / "pyproject.toml"), "--rootdir", str(folder), "-q", "--no-header", "--tb=short",
             "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning",  # see KEPT
             "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", str(place / "tmp")]  # fmt: skip
    code = pytest.main([*given, *arguments], plugins=[plugin])
    answer.write_text(json.dumps(plugin.said()))
    sys.stdout.flush()
    os._exit(int(code))


def in_workers(work: Callable[[int], None], count: int) -> None:
    """Run `work(k)` for each k in a process of its own."""
    pids = []
    for k in range(count):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(k)
                code = 0
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                sys.stdout.flush()
                os._exit(code)
        pids.append(pid)
    try:
        for pid in pids:
            os.waitpid(pid, 0)
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
