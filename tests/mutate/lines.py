"""Find out which test runs which lines, once for each file of tests, and keep the result in a folder."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import os
import re
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pytest

from .faults import ROOMS, Fault, files
from .runs import in_workers, prepare, run, same_examples

# What these test is drawn, shown, timed or run in processes of its own, or is the text of the source.
ASIDE = {
    "test_house", "test_support", "test_docs", "test_examples", "test_benchmarks", "test_mutate", "test_explore",
    "test_live_browser", "test_viz", "test_viz_models", "test_viz_training", "test_cli", "test_cli_drawings",
    "test_report", "test_images", "test_compare_command", "test_server", "test_explore_live", "test_play",
    "test_play_browser",
}  # fmt: skip
TRACING = 900  # seconds of the processor that a file of tests may take while it is traced
SLOW = 3.0  # seconds of a test
CALLS = 20  # of each function and test, lines are looked at in so many calls


class TracedTest(NamedTuple):
    """One test: its file, seconds of the processor when it was traced, and the lines that it ran, a bit for each."""

    name: str
    file: str
    seconds: float
    lines: dict[str, int]

    @property
    def slow(self) -> bool:
        """Whether it waits for what the others let pass."""
        return self.seconds > SLOW


class Tracer:
    """Keeps the lines that are run in the files of the rooms, and the first lines of the functions called."""

    def __init__(self, paths: dict[str, str]) -> None:
        self.paths = paths
        self.begin()

    def found(self) -> dict[str, str]:
        return {self.paths[name]: hex(sum(1 << line for line in lines)) for name, lines in self.lines.items()}

    if sys.version_info >= (3, 12):  # which tells each line once, so that the tests are as fast as without it

        def begin(self) -> None:
            self.lines: dict[str, set[int]] = {}
            sys.monitoring.restart_events()

        def on(self) -> None:
            monitoring, events = sys.monitoring, sys.monitoring.events
            if monitoring.get_tool(monitoring.COVERAGE_ID) is None:
                monitoring.use_tool_id(monitoring.COVERAGE_ID, "lines")
                monitoring.register_callback(monitoring.COVERAGE_ID, events.LINE, self.run)
                monitoring.register_callback(
                    monitoring.COVERAGE_ID, events.PY_START, lambda code, _: self.run(code, code.co_firstlineno)
                )
            monitoring.set_events(monitoring.COVERAGE_ID, events.PY_START | events.LINE)

        def off(self) -> None:
            sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, 0)

        def run(self, code: CodeType, line: int) -> object:
            if code.co_filename in self.paths:
                self.lines.setdefault(code.co_filename, set()).add(line)
            return sys.monitoring.DISABLE

    else:

        def begin(self) -> None:
            self.calls: dict[int, int] = {}
            self.lines: dict[str, set[int]] = {}

        def on(self) -> None:
            threading.settrace(self.call)
            sys.settrace(self.call)

        def off(self) -> None:
            sys.settrace(None)
            threading.settrace(None)

        def call(self, frame: FrameType, event: str, _: Any) -> Any:
            code = frame.f_code
            if code.co_filename not in self.paths:
                return None
            count = self.calls[id(code)] = self.calls.get(id(code), 0) + 1
            if count > CALLS:
                return None
            seen = self.lines.setdefault(code.co_filename, set())
            seen.add(code.co_firstlineno)

            def line(frame: FrameType, event: str, _: Any) -> Any:
                if event == "line":
                    seen.add(frame.f_lineno)
                return line

            return line


# What Python runs first in processes that a test begins: their lines are the test's, too.
FIRST = """from __future__ import annotations
import os, sys
from importlib import machinery, util
_again = hasattr(sys, "tinygrad_nn_lines")  # the other may run the next of its path, too
sys.tinygrad_nn_lines = True
if "TINYGRAD_NN_LINES" in os.environ and not _again:
    import atexit, threading
    CALLS = {calls}
    {tracer}
    def _write(tracer=Tracer({paths!r}), place=os.environ["TINYGRAD_NN_LINES"]):
        import json
        tracer.off()
        with open(os.path.join(place, str(os.getpid())), "w") as file:
            json.dump(tracer.found(), file)
    def _leave(code, end=os._exit):
        _write()
        end(code)
    atexit.register(_write)
    os._exit = _leave
    _write.__defaults__[0].on()
if not _again:  # that of this Python, which this one hides
    _next = machinery.PathFinder.find_spec("sitecustomize", [path for path in sys.path if path != {folder!r}])
    if _next is not None:
        _next.loader.exec_module(util.module_from_spec(_next))
"""


class Traced:
    """Plugin of a run: traces each test."""

    def __init__(self, paths: dict[str, str], folder: Path) -> None:
        self.tracer = Tracer(paths)
        self.begun = folder / "begun"  # where processes write what they ran
        self.begun.mkdir(exist_ok=True)
        tracer = textwrap.indent(inspect.getsource(Tracer), "    ").strip()
        text = FIRST.format(folder=str(folder), calls=CALLS, tracer=tracer, paths=paths)
        (folder / "sitecustomize.py").write_text(text, "utf-8")
        self.tests: dict[str, Any] = {}
        self.bad: set[str] = set()
        self.failed: list[str] = []
        self.first: dict[str, str] = {}

    def pytest_configure(self) -> None:
        same_examples()
        os.environ["TINYGRAD_NN_LINES"] = str(self.begun)
        self.start = time.process_time()
        self.tracer.on()

    def pytest_collection_finish(self) -> None:
        self.tracer.off()
        self.first = self.tracer.found()
        self.collected = time.process_time() - self.start

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self.tracer.begin()
        start, others = time.process_time(), _of_children()
        self.tracer.on()
        try:
            return (yield)
        finally:
            self.tracer.off()
            spent = time.process_time() - start + _of_children() - others
            self.tests[item.nodeid] = round(spent, 4), self._with_processes(self.tracer.found())

    def _with_processes(self, found: dict[str, str]) -> dict[str, str]:
        for file in self.begun.iterdir():
            try:
                lines = json.loads(file.read_bytes())
            except ValueError:  # it was ended while it wrote
                lines = {}
            file.unlink()
            found |= {path: hex(int(bits, 16) | int(found.get(path, "0"), 16)) for path, bits in lines.items()}
        return found

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
        if report.failed or report.skipped:
            self.bad.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def said(self) -> Any:
        return {
            "tests": {name: found for name, found in self.tests.items() if name not in self.bad},
            "import": self.first, "collected": self.collected, "failed": self.failed,
        }  # fmt: skip


def _of_children() -> float:
    """Return seconds of the processor that ended processes took."""
    times = os.times()
    return times.children_user + times.children_system


class Map:
    """The tests by the lines that they run."""

    def __init__(self) -> None:
        self.tests: list[TracedTest] = []
        self.imports: dict[str, dict[str, int]] = {}  # file -> what importing it runs
        self.collecting: dict[str, float] = {}
        self.failed: list[str] = []
        self.direct: dict[tuple[str, str], float] = {}  # of what a file of tests runs, the share that is in a file
        self.tops: dict[str, int] = {}  # file of a room -> the first line that importing it runs

    def rank(self) -> None:
        """Find out which files of tests are closest to each file of a room."""
        union: dict[str, dict[str, int]] = {}
        for test in self.tests:
            mine = union.setdefault(test.file, {})
            for path, bits in test.lines.items():
                mine[path] = mine.get(path, 0) | bits
        for file, lines in union.items():
            total = sum(bits.bit_count() for bits in lines.values())
            for path, bits in lines.items():
                self.direct[file, path] = bits.bit_count() / total
        for lines in (*union.values(), *self.imports.values()):
            for path, bits in lines.items():
                self.tops[path] = min(bits & -bits, self.tops.get(path) or bits)

    def of(self, fault: Fault, slow: bool) -> tuple[list[TracedTest], int]:
        """Return the quick or slow tests to run for a fault, the closest first, and how many of them run its line."""
        tests = [test for test in self.tests if test.slow == slow]
        exact = 1 << fault.line
        span = sum(1 << line for line in range(fault.first, fault.last + 1))
        chosen: dict[str, TracedTest] = {}
        seen = 0
        for runs, bits in ((True, exact), (True, span), (False, 1 << fault.entry)):  # of a lambda all may be one line
            found = [test for test in tests if test.lines.get(fault.path, 0) & bits and test.name not in chosen]
            found.sort(key=lambda test: (-self.direct[test.file, fault.path], test.seconds))
            seen += len(found) if runs else 0
            chosen |= {test.name: test for test in found}
        at_import = {file for file, lines in self.imports.items() if lines.get(fault.path, 0) & (exact | span)}
        top = self.tops.get(fault.path, 0)
        if (seen or at_import) and all(test.lines[fault.path] & top for test in [*chosen.values()][:seen]):
            # Only imports run the line: what it makes is used by all that run other lines of the file.
            users = [test for test in tests if fault.path in test.lines and test.name not in chosen]
            users.sort(key=lambda test: (-self.direct[test.file, fault.path], test.seconds))
            chosen = {test.name: test for test in users} | chosen
            seen += len(users)
        near = {test.file for test in chosen.values()}
        if not chosen:
            folder = fault.path.rpartition("/")[0]
            near = {t.file for t in tests if any(path.startswith(folder) for path in t.lines)} | at_import
        rest = [t for t in tests if t.file in near and t.name not in chosen and not (chosen and slow)]
        # What runs while code is traced is seen by nobody: tests that run other lines of the file come first.
        rest.sort(key=lambda t: (fault.path not in t.lines, -self.direct.get((t.file, fault.path), 0.0), t.seconds))
        return [*chosen.values(), *rest], seen or len(at_import)


def units(root: Path) -> dict[str, list[str]]:
    """Return what is traced in one process each: a file of tests, or the examples in the docstrings of a room."""
    found = {path.stem: [f"tests/{path.name}"] for path in sorted((root / "tests").glob("test_*.py"))}
    found |= {room: [path.relative_to(root).as_posix() for path in files(root, room)] for room in ROOMS}
    return {name: paths for name, paths in found.items() if paths and name not in ASIDE}


def traced(
    root: Path, folders: list[Path], kept: Path, only: set[str] | None = None, keep_going: bool = False
) -> Map:
    """Return the map of the tests, from a folder where it is known, and by running them where it is not.

    Args:
        root: the project.
        folders: copies of it to run them in, side by side.
        kept: the folder where the map is kept.
        only: names of the units to look at, by default all.
        keep_going: whether a unit that ends its process is left out.
    """
    kept.mkdir(parents=True, exist_ok=True)
    parts = {kept / f"{name}-{_key(root, given)}.json": (name, given) for name, given in units(root).items()
             if only is None or name in only}  # fmt: skip
    unknown = [file for file in parts if not file.exists() or not _all_there(file, root)]

    def work(k: int) -> None:
        prepare()
        for file in unknown[k :: len(folders)]:
            _trace(root, folders[k], kept, file, *parts[file])

    if unknown:
        in_workers(work, len(folders))
    result = Map()
    for file, (name, given) in parts.items():
        if file.exists() and _all_there(file, root):
            _take(result, json.loads(file.read_bytes()), root, kept, given[0])
        elif not keep_going:
            raise RuntimeError(f"{name} could not be traced; --keep-going leaves it out")
    result.rank()
    return result


def _trace(root: Path, folder: Path, kept: Path, file: Path, name: str, given: list[str]) -> None:
    """Run the tests of a unit, and write down which lines each of them runs."""
    paths = {str(folder / path.relative_to(root)): path.relative_to(root).as_posix()
             for room in ROOMS for path in files(root, room)}  # fmt: skip
    began = time.monotonic()
    plugin = Traced(paths, folder)
    how, said = run(folder, given, plugin, TRACING, kernels=kept / "kernels", writes=True)
    (folder / "sitecustomize.py").unlink()
    shutil.rmtree(plugin.begun)
    if said is None:
        output = (folder / "run" / "output").read_text()[-3000:]
        print(f"  {name:28} could not be traced: {how}\n{output}", flush=True)
        return
    used = {path for _, lines in said["tests"].values() for path in lines} | set(said["import"])
    said["sources"] = {path: _store(root / path, kept) for path in used}
    file.write_text(json.dumps(said))
    print(f"  {name:28} {len(said['tests']):5} tests in {time.monotonic() - began:.0f} s", flush=True)


def _key(root: Path, paths: list[str]) -> str:
    """Return what the tests of a unit depend on besides the package, in short."""
    texts = [(root / path).read_bytes() for path in paths]
    if paths[0].startswith("tests/"):
        for helper in re.findall(rb"(?:from|import) tests\.(\w+)", texts[0]):
            place = root / "tests" / helper.decode()
            helpers = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
            texts += [path.read_bytes() for path in helpers]
    return hashlib.sha256(b"\0".join([*texts, b""])).hexdigest()[:16]


def _all_there(file: Path, root: Path) -> bool:
    """Whether each source file that a known unit ran is still there; the lines of one that was moved are lost."""
    return all((root / path).exists() for path in json.loads(file.read_bytes())["sources"])


def _store(path: Path, kept: Path) -> str:
    """Keep a source file, so that its lines can be found again in a later one."""
    text = path.read_bytes()
    name = hashlib.sha256(text).hexdigest()[:16] + ".py"
    (kept / name).write_bytes(text)
    return name


def _take(result: Map, said: Any, root: Path, kept: Path, first: str) -> None:
    """Add what is known of one unit to the map, its lines moved to where they are now."""
    moves = {path: _moves(kept / name, root / path) for path, name in said["sources"].items()}

    def moved(lines: dict[str, str]) -> dict[str, int]:
        return {path: _moved(int(bits, 16), moves[path]) for path, bits in lines.items() if path in moves}

    for name, (seconds, lines) in said["tests"].items():
        result.tests.append(TracedTest(name, name.partition("::")[0], seconds, moved(lines)))
    result.imports[first] = moved(said["import"])
    result.collecting[first] = said["collected"]
    result.failed += said["failed"]


Block = tuple[str, int, int, int, int]  # what happened, first and end of the old lines, first and end of the new
_known: dict[tuple[Path, Path], list[Block] | None] = {}


def _moves(old: Path, new: Path) -> list[Block] | None:
    """Return how the lines of two versions of a file correspond, or None if they are equal."""
    if (old, new) not in _known:
        a, b = old.read_bytes(), new.read_bytes() if new.exists() else b""
        matcher = difflib.SequenceMatcher(None, a.splitlines(), b.splitlines(), autojunk=False)
        _known[old, new] = None if a == b else matcher.get_opcodes()
    return _known[old, new]


def _moved(bits: int, blocks: list[Block] | None) -> int:
    """Return seen lines where they are now; new ones may be run by whoever ran what they replace or stand beside."""
    if blocks is None:
        return bits
    result = 0
    for kind, old, end, new, stop in blocks:
        if kind == "equal":
            result |= ((bits >> (old + 1)) & ((1 << (end - old)) - 1)) << (new + 1)
        elif (bits >> old) & ((1 << (end - old + 2)) - 1):
            result |= ((1 << (stop - new)) - 1) << (new + 1)
    return result


def batches(
    tests: list[TracedTest], seen: int, collecting: dict[str, float], most: float, few: float = 3.0
) -> Iterator[list[TracedTest]]:
    """Part the tests of a fault into runs that take ever longer.

    Args:
        tests: the closest first.
        seen: how many of them run the line of the fault: these get `most` seconds, the others a fifteenth of it, which
            see what those prepare; a fifth if there are none.
        collecting: seconds that each file of tests takes besides.
        most: seconds.
        few: seconds of each of the four closest files that are run first of all.
    """
    taken: set[str] = set()
    first: list[TracedTest] = []
    spent: dict[str, float] = {}
    for test in tests:  # of each of the four closest files a few that are quick
        if (test.file in spent or len(spent) < 4) and spent.get(test.file, 0) + test.seconds < few:
            spent[test.file] = spent.get(test.file, 0) + test.seconds
            first.append(test)
    reach, others = _spread(tests[:seen]), _spread(tests[seen:])
    rest = most / (15 if seen else 5)
    for size, batch in ((0, first), (4 * few, [*reach, *others]), (most / 5, reach), (most, reach), (rest, others)):
        chosen: list[TracedTest] = []
        total, opened = 0.0, set[str]()
        for test in batch:
            seconds = test.seconds + (0.0 if test.file in opened else collecting.get(test.file, 0.0))
            if test.name not in taken and (not size or total + seconds <= size or not chosen):
                chosen.append(test)
                opened.add(test.file)
                total += seconds
        taken |= {test.name for test in chosen}
        if chosen:
            yield chosen


def _spread(tests: list[TracedTest], run: int = 10) -> list[TracedTest]:
    """Return tests in an order in which each file has its turn, a few tests at a time."""
    counts: dict[str, int] = {}
    turns: list[int] = []
    for test in tests:
        counts[test.file] = counts.get(test.file, 0) + 1
        turns.append((counts[test.file] - 1) // run)
    return [tests[k] for k in sorted(range(len(tests)), key=turns.__getitem__)]
