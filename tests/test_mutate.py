"""The faults of `python -m tests.mutate`: what is planted, what is left alone, and that a run leaves nothing behind."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.mutate import __main__ as command
from tests.mutate import lines
from tests.mutate.faults import Fault, of_file, same
from tests.mutate.lines import Map, TracedTest, batches

ROOT = Path(__file__).resolve().parents[1]


def found(folder: Path, source: str) -> list[Fault]:
    path = folder / "source.py"
    path.write_text(source, "utf-8")
    return of_file(path, "ops", "source.py")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return a + λ", ["a - λ", "(a)", "(λ)"]),
        ("return a - b", ["a + b", "(a)", "(-(b))", "((b) - (a))"]),
        ("return a / b", ["(a)", "(b)", "((b) / (a))"]),
        ("return -a", ["(a)"]),
        ("return not a", ["(a)"]),
        ("return a < b", ["a <= b"]),
        ("return a and b", ["((b))", "((a))"]),
        ("return 0.5", ["1.0"]),
        ("return 3", ["4", "2"]),
        ("return f(a, b)", ["f(b, a)"]),
        ("return max(a, b)", []),  # the same in either order
        ("return math.isclose(a, b)", []),
        ("return a.swapaxes(b, λ)", []),
        ("return np.swapaxes(a, b, λ)", ["np.swapaxes(b, a, λ)", "np.swapaxes(a, λ, b)"]),
        ("return a < 1e-6 * b", ["a < (1e-6)", "a < (b)", "a < 2e-06 * b"]),  # only rounding could tell < from <=
        ("return a >= 1e-9", ["a >= 2e-09"]),
        ("return a < 0.5", ["a <= 0.5", "a < 1.0"]),
        ("return np.isclose(a, b)", ["np.isclose(b, a)"]),  # relative to b
        ("return np.add(a, b) or a.add(b, λ)",
            ["((np.add(a, b)))", "((a.add(b, λ)))", "np.add(a, b) or a.add(λ, b)"]),
        ("return abs(a - b)", ["abs(a + b)", "abs((a))", "abs((-(b)))"]),  # the size of b - a is the same
        ("return (a - b - λ) ** 2",
            ["((a - b)) ** 2", "(((b) - (a)) - λ) ** 2", "((-(b)) - λ) ** 2", "((-(λ))) ** 2", "((2) ** (a - b - λ))",
            "((a) - λ) ** 2", "(a + b - λ) ** 2", "(a - b + λ) ** 2", "(a - b - λ) ** 1", "(a - b - λ) ** 3"]),
        ("return a.reshape(-1, b)", ["a.reshape((1), b)", "a.reshape(b, -1)"]),  # -2 is taken like -1
        ("return np.reshape(a, (b, -1))", ["np.reshape((b, -1), a)", "np.reshape(a, (b, (1)))"]),
        ("with np.errstate(all='ignore'): ...", []),  # says only whether NumPy warns
        ("return f(a, 1e-300)", ["f(1e-300, a)"]),  # keeps a division from zero, as another number would
        ("return f(a, axis=0)", ["f(a, axis=-1)", "f(a, axis=1)"]),
        ("return f(a, axis=-2)", ["f(a, axis=-1)", "f(a, axis=(2))", "f(a, axis=-3)", "f(a, axis=-1)"]),
        ("return f(a, keep=b)", ["f(a, **{})"]),
        ("f(a)", ["pass"]),
        ("a -= b", ["a += b", "pass"]),
        ("for i in range(n): ...", ["for i in range((n) - 1): ..."]),
        ("return len(a)", ["(len(a) - 1)"]),
        ("return (lambda x: x * a)", ["(lambda x: (x))", "(lambda x: (a))"]),
        ("raise ValueError('need', 3)", []),
        ("return f'{a + b}'", []),
        ("assert a < 3, 'small'", []),
        ("warnings.warn('old', stacklevel=2)", []),
        ("x: Tuple[a, 3]", []),
        ("return 'a' + b", ["'a' - b"]),
        ("return isinstance(a, b)", []),
    ],
)
def test_the_faults_planted_in_a_line(line: str, expected: list[str], tmp_path: Path) -> None:
    source = f"def f(a, b, λ):\n    {line}\n"
    planted = [fault.planted(source.encode()).decode().splitlines()[1] for fault in found(tmp_path, source)]
    bare = [text.strip().removeprefix("return ") for text in planted]
    assert sorted(bare) == sorted(expected)
    for text in planted:
        compile(f"def f(a, b, λ):\n{text}\n", "f", "exec")


def test_only_bodies_of_functions_are_touched(tmp_path: Path) -> None:
    source = '''"""1 + 2"""
LIMIT = 3 + 4
row = declare(lambda x: x, r"x + 1")
class A:
    size = 3
    def __repr__(self): return 1 + 2
def f(a: "1 + 2" = 3) -> "1 + 2":
    """Return 1 + 2."""
    return a
'''
    assert found(tmp_path, source) == []


def test_bytecode_at_other_lines_is_equal() -> None:
    one, two, other = (
        compile(text, "f", "exec")
        for text in ("def f(x): return x + 1", "\n\ndef f(x):\n    return (x + 1)", "def f(x): return x + 2")
    )
    assert same(one, two)
    assert not same(one, other)
    assert not same(compile("x = 1", "f", "exec"), compile("x = 1.0", "f", "exec"))


def test_each_test_runs_once_the_closest_first() -> None:
    tests = [TracedTest(f"{file}{k}", file, 0.5, {}) for file in "abcdef" for k in range(20)]
    parts = list(batches(tests, 80, dict.fromkeys("abcdef", 1.0), most=90))
    names = [test.name for part in parts for test in part]
    assert len(names) == len(set(names))
    assert {test.file for test in parts[0]} == set("abcd"), "of the closest files"
    # a file of tests costs a second besides, so that 12, 18, 90 and 6 are not exceeded
    assert [sum(test.seconds for test in part) for part in parts] == [10.0, 8.0, 14.0, 8.0, 5.0]
    assert {test.name for test in tests[:80]} <= set(names), "all that run the line"


def test_slow_tests_of_a_line_are_by_themselves() -> None:
    tests = Map()
    fault = Fault("ops", "f.py", "f", 1, 3, 3, 3, "sign", 0, 1, "-", "+")
    lines_of = {"quick": 1 << 3, "slow": 1 << 3, "slow elsewhere": 1 << 9, "slow that calls it": 1 << 1}
    seconds = {name: 9.0 if "slow" in name else 1.0 for name in lines_of}
    tests.tests = [TracedTest(name, "t", seconds[name], {"f.py": bits}) for name, bits in lines_of.items()]
    tests.rank()
    for slow, expected in ((False, ["quick"]), (True, ["slow", "slow that calls it"])):
        found, seen = tests.of(fault, slow)
        assert ([test.name for test in found], seen) == (expected, 1)


def test_all_that_call_a_lambda_run_its_line() -> None:
    tests = Map()
    fault = Fault("ops", "f.py", "lambda", 3, 3, 3, 3, "sign", 0, 1, "-", "+")
    tests.tests = [TracedTest(name, "t", 1.0, {"f.py": 1 << 3}) for name in "abc"]
    tests.rank()
    found, seen = tests.of(fault, False)
    assert (len(found), seen) == (3, 3)


def test_for_an_untraced_line_tests_of_the_same_file_come_first() -> None:
    tests = Map()
    fault = Fault("ops", "g/f.py", "f", 7, 8, 8, 8, "sign", 0, 1, "-", "+")
    lines = {"far": {"g/e.py": 2}, "near": {"g/f.py": 2, "g/e.py": 4}, "away": {"h/f.py": 2}}
    tests.tests = [TracedTest(name, f"of {name}", 1.0, bits) for name, bits in lines.items()]
    tests.rank()
    found, seen = tests.of(fault, False)
    assert ([test.name for test in found], seen) == (["near", "far"], 0)


def test_for_a_line_run_at_import_tests_that_use_its_module_come_first() -> None:
    tests = Map()
    fault = Fault("ops", "f.py", "f", 7, 8, 8, 8, "sign", 0, 1, "-", "+")
    lines = {"imports": {"f.py": 2 | 1 << 8}, "uses": {"f.py": 1 << 20}, "away": {"g.py": 1 << 20}}
    tests.tests = [TracedTest(name, f"of {name}", 1.0, bits) for name, bits in lines.items()]
    tests.rank()
    found, seen = tests.of(fault, False)
    assert ([test.name for test in found], seen) == (["uses", "imports"], 2)
    tests.tests.append(TracedTest("calls", "of calls", 1.0, {"f.py": 1 << 8}))
    tests.rank()
    assert {test.name for test in tests.of(fault, False)[0]} == {"imports", "calls"}


def test_files_of_tests_take_turns() -> None:
    tests = [TracedTest(f"{file}{k}", file, 0.1, {}) for file in "ab" for k in range(30)]
    _, second, *_ = batches(tests, 60, {}, most=300, few=1.0)
    assert {test.file for test in second} == {"a", "b"}


@pytest.mark.parametrize(
    ("now", "seen"),
    [
        ("a b c d e", {1, 3}),
        ("x a b c d e", {1, 2, 4}),  # a new line beside one that was run may be run
        ("a b x c d e", {1, 3, 4}),
        ("a b c x y e", {1, 3, 4, 5}),  # what stands in the place of d, too
        ("a b c d e x", {1, 3}),
        ("a b d e", {1}),
    ],
)
def test_lines_are_found_again_in_another_version(now: str, seen: set[int], tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("\n".join("abcde"))
    new.write_text("\n".join(now.split()))
    bits = lines._moved(1 << 1 | 1 << 3, lines._moves(old, new))
    assert {k for k in range(9) if bits >> k & 1} == seen


PROJECT = {
    "pyproject.toml": "[tool.pytest.ini_options]\n",
    "tinygrad_nn/__init__.py": "",
    "tinygrad_nn/manual/__init__.py": "",
    "tinygrad_nn/manual/sums.py": (
        "def count(n):\n    total = 0\n    while n > 0:\n        n -= 1\n        total += 2\n    return total\n\n\n"
        "def unused(n):\n    return -n\n\n\ndef rare(n):\n    return n - 4\n\n\n"
        "def elsewhere(n):\n    return -n\n"
    ),
    "tests/test_sums.py": (
        "import subprocess, sys\nfrom tinygrad_nn.manual.sums import count, rare\n\n\n"
        "def test_rare():\n    for k in range(10**6): k += 1\n    assert rare(5) == 1\n\n\n"
        "def test_elsewhere():\n    line = 'from tinygrad_nn.manual.sums import elsewhere; import os; '\n"
        "    end = 'print(elsewhere(3), flush=True); os._exit(0)'\n"
        "    assert subprocess.check_output([sys.executable, '-c', line + end]).split() == [b'-3']\n\n\n"
        "def test_count():\n"
        "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(987)'], start_new_session=True)\n"
        "    assert count(3) == 6\n"
    ),
}


def test_all_copies_are_made_before_a_fault_is_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(command, "prepare", lambda: None)
    monkeypatch.setattr(command, "traced", lambda *args: Map())
    seen: list[str] = []
    monkeypatch.setattr(
        command, "in_workers",
        lambda work, count: seen.extend(str(p.relative_to(place)) for p in place.rglob("sums.py")),
    )  # fmt: skip
    command.main(["3", "--rooms", "manual", "--workers", "3", "--map", str(tmp_path / "map")], tmp_path / "project")
    assert sorted(Path(p).parts[1] for p in seen) == ["first", "worker1", "worker2"]


PROGRAM = """
import sys
import tempfile
from pathlib import Path
from tests.mutate import __main__ as command, lines, runs
runs.KEPT, command.LEAST, lines.SLOW = (), 0.5, 0.03
sys.exit(command.main(sys.argv[1:], Path.cwd()))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are limited as Linux does it")
def test_a_run_kills_reports_and_leaves_nothing_behind(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name, text in PROJECT.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    line = [sys.executable, "-c", PROGRAM, "50", "--rooms", "manual", "--killed", "--map", str(tmp_path / "map")]
    done = subprocess.run(line, cwd=project, env={"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "PATH": ""},
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert re.search(r"killed: .*:4 count: -  ->  \+  \[sign\]; time", said), said + done.stderr
    assert re.search(r"killed: .*:5 count: 2  ->  3 .*failed tests/test_sums.py::test_count", said), said
    assert re.search(r"survived: .*:10 unused: -n .*no slow tests were seen to run this line", said), said
    assert re.search(r"killed: .*:14 rare: -  ->  \+ .*failed tests/test_sums.py::test_rare", said), said
    assert re.search(r"killed: .*:18 elsewhere: .*failed tests/test_sums.py::test_elsewhere", said), "in a process"
    table = re.search(r"^manual +(\d+) +(\d+)", said, flags=re.MULTILINE)
    assert table is not None
    assert int(table[1]) + int(table[2]) == len(re.findall("^(?:killed|survived):", said, flags=re.MULTILINE)), said
    assert {name: (project / name).read_text() for name in PROJECT} == PROJECT, "the checkout is not touched"
    assert {path.name for path in tmp_path.iterdir()} == {"project", "map"}, "the copy is taken away"
    left = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if b"sleep(987)" in _bytes(path)]
    assert left == []


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
