"""The gradients by hand in C++: built once, called on the arrays of a `Problem`."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import objectives
from .evaluations import EVALUATIONS, Problem, Task

FLAGS = ("-O3", "-march=native", "-std=c++17", "-Wall", "-Wextra", "-shared", "-fPIC")


def compiler() -> str | None:
    """Return the C++ compiler, None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


@cache
def library(name: str = "by_hand", *more: str) -> ctypes.CDLL:
    """Build a file of this folder, unless it was built before, and load it; `more` are options of the compiler."""
    found, source = compiler(), Path(__file__).with_name(f"{name}.cpp")
    if found is None:
        raise FileNotFoundError("C++ needs g++, or the compiler that the variable CXX names.")
    line = [found, *FLAGS, str(source), *more]
    digest = hashlib.sha256(source.read_bytes() + " ".join(line).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygrad_nn-gradbench"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    built = folder / f"{digest}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as room:
            new = Path(room) / built.name
            done = subprocess.run([*line, "-o", str(new)], capture_output=True, text=True)
            if done.returncode:
                errors = [said for said in done.stderr.splitlines() if "error" in said]
                raise FileNotFoundError(f"{source.name} was not built: {(errors or ['no reason given'])[0]}")
            new.replace(built)
    return ctypes.CDLL(str(built))


def number(value: Any) -> Any:
    """Return an argument as C++ wants it: an array by its address, which the caller keeps alive."""
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_size_t(value)


def _call(name: str, *arguments: Any, returns: Any = None) -> Callable[[], Any]:
    """Return the call of a function on these arguments, which does nothing else."""
    function = getattr(library(), name)
    function.restype = returns
    ready = [number(value) for value in arguments]

    def run(keep: Any = arguments) -> Any:
        return function(*ready)

    return run


def _filled(call: Callable[[], Any], out: tuple[Any, ...]) -> Callable[[], Any]:
    def run() -> Any:
        call()
        return out

    return run


def _scalar(name: str, sizes: tuple[Any, ...], problem: Problem) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return objective and gradient of one number."""
    out = tuple(np.empty_like(x) for x in problem.arguments[: problem.wanted])
    value = _call(name, *sizes, *problem.arguments, returns=ctypes.c_double)
    return value, _filled(_call(f"{name}_gradient", *sizes, *problem.arguments, *out), out)


def lse(given: Any, problem: Problem) -> Any:
    return _scalar("lse", (problem.arguments[0].size,), problem)


def llsq(given: Any, problem: Problem) -> Any:
    return _scalar("llsq", (int(given["n"]), problem.arguments[0].size), problem)


def gmm(given: Any, problem: Problem) -> Any:
    (N, D), K = problem.arguments[4].shape, problem.arguments[0].size
    return _scalar("gmm", (N, D, K, int(given["m"]), float(given["gamma"])), problem)


def lstm(given: Any, problem: Problem) -> Any:
    main, _, _, sequence = problem.arguments
    return _scalar("lstm", (len(main) // 2, *sequence.shape), problem)


def det(given: Any, problem: Problem) -> Any:
    return _scalar("det", (len(problem.arguments[0]),), problem)


def kmeans(given: Any, problem: Problem) -> Any:
    centroids, points = problem.arguments
    return _scalar("kmeans", (len(points), *centroids.shape), problem)


def ode(given: Any, problem: Problem) -> Any:
    (x,) = problem.arguments
    sizes, y, g = (x.size, int(given["s"])), np.empty_like(x), np.empty_like(x)
    solved = _call("ode", *sizes, x, y)

    def objective() -> Any:
        solved()
        return y

    return objective, _filled(_call("ode_gradient", *sizes, x, g), (g,))


def ba(given: Any, problem: Problem) -> Any:
    cam_of, point_of = (np.ascontiguousarray(rows, dtype=np.uintp) for rows in problem.rows[:2])
    p = len(cam_of)
    errors, weights = np.empty((p, 2)), np.empty(p)
    rows, columns, values = np.empty(3 * p + 1, np.int32), np.empty(31 * p, np.int32), np.empty(31 * p)
    seen = (p, cam_of, point_of, *problem.arguments)
    derivative = _call("ba_gradient", *seen, values[: 30 * p], values[30 * p :])
    structure = _call("ba_structure", p, int(given["n"]), int(given["m"]), cam_of, point_of, rows, columns)
    found = {"rows": rows, "cols": columns, "vals": values}

    def jacobian() -> Any:
        derivative()
        structure()
        return found

    return _filled(_call("ba", *seen, errors, weights), (errors, weights)), jacobian


CALLS: dict[str, Callable[[Any, Problem], Any]] = {
    "gmm": gmm, "ba": ba, "lstm": lstm, "lse": lse, "llsq": llsq, "ode": ode, "det": det, "kmeans": kmeans,
}  # fmt: skip


def task(evaluation: str, function: str, given: Any) -> Task:
    """Return one function of an evaluation on the input of a message."""
    known = EVALUATIONS[evaluation]
    problem = known.read(given, objectives)
    contiguous = tuple(np.ascontiguousarray(x) for x in problem.arguments)
    problem = problem._replace(arguments=contiguous)
    objective, derivative = CALLS[evaluation](given, problem)
    if known.functions[function] == "objective":
        return Task(objective, problem.show)
    return Task(derivative, problem.show_derivative)
