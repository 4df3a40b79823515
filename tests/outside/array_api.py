"""Run the conformance tests of the array API standard with Tensors and with NumPy, and list which only one passes.

``python -m tests.outside array_api --examples 50``; ``--checkout DIR`` takes a checkout of data-apis/array-api-tests,
with its submodule, that is there already.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from .environment import checkout, pytest, python_with

ADDRESS, COMMIT = "https://github.com/data-apis/array-api-tests", "55fcc60"
VERSION = "2024.12"
MODULES = {"NumPy": "array_api_compat.numpy", "Tensor": "tinygrad_nn.array_api"}
AGAIN = 3
WRITING = ("test_setitem", "test_setitem_masking", "test_asarray_arrays")  # they write into arrays


def outcomes(
    python: Path, suite: Path, report: Path, module: str, examples: int, tests: Sequence[str] = ("array_api_tests",)
) -> dict[str, str]:
    """Run the suite, or some of its tests, over a namespace and return what came of each test."""
    report.unlink(missing_ok=True)
    done = pytest(
        python, *tests, "--max-examples", str(examples), "-W", "ignore", "--hypothesis-seed=0",
        "--json-report", "--json-report-file", str(report), cwd=suite,
        ARRAY_API_TESTS_MODULE=module, ARRAY_API_TESTS_VERSION=VERSION,
    )  # fmt: skip
    if not report.exists():
        raise RuntimeError(done.stdout)
    return {test["nodeid"]: test["outcome"] for test in json.loads(report.read_text("utf-8"))["tests"]}


def run(work: Path, arguments: list[str]) -> bool:
    """Print how many tests each passes and which only NumPy does; these may be those that write."""
    parser = argparse.ArgumentParser("python -m tests.outside array_api")
    parser.add_argument("--examples", type=int, default=50, help="examples drawn by each test")
    parser.add_argument("--checkout", type=Path, help="a checkout of the suite that is there already")
    options = parser.parse_args(arguments)
    python = python_with(work, "numpy", "pytest", "pytest-json-report", "hypothesis>=6.151.0", "ndindex>=1.8",
                         "array-api-compat")  # fmt: skip
    suite = options.checkout or checkout(work, ADDRESS, COMMIT)
    found = {
        name: outcomes(python, suite, work / f"{name}.json", module, options.examples)
        for name, module in MODULES.items()
    }
    counts = {name: {k: [*results.values()].count(k) for k in ("passed", "failed")} for name, results in found.items()}
    for name, count in counts.items():
        print(f"{name}: {count['passed']} of {sum(count.values())} tests pass")
    lost, won = (differences(found[a], found[b]) for a, b in (("NumPy", "Tensor"), ("Tensor", "NumPy")))
    for _ in range(AGAIN):  # some tests draw one example, and not by the seed
        again = {
            name: outcomes(python, suite, work / "again.json", module, options.examples, [*lost, *won])
            for name, module in MODULES.items()
        } if lost or won else found  # fmt: skip
        lost = [test for test in lost if again["NumPy"][test] == "passed" != again["Tensor"][test]]
        won = [test for test in won if again["Tensor"][test] == "passed" != again["NumPy"][test]]
    print("NumPy only:", *map(short, lost), sep="\n  ")
    print("Tensor only:", *map(short, won), sep="\n  ")
    return not [test for test in lost if short(test).partition("[")[0] not in WRITING]


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the tests that one passes and the other does not."""
    return [test for test in one if one[test] == "passed" and other.get(test) == "failed"]


def short(test: str) -> str:
    """Return the name of a test without its file and class."""
    return re.sub(r"^.*?::([A-Z]\w+::)?", "", test)
