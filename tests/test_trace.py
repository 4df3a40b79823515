"""Tracing uses the engine only through its documented interface, wherever the package is installed."""

import ast
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "tinygrad_nn"

PROGRAM = """
import warnings
import numpy as np
import tinygrad_nn as tg
from tinygrad_nn import nn, optim
from tinygrad_nn.compiled import compile, functional, training_step

warnings.simplefilter("error")  # a function that runs without compilation says so
rng = np.random.default_rng(0)
x, y = rng.normal(size=(16, 4)), rng.normal(size=(16, 3))

def show(*results):
    print(*(np.asarray(tg.tensor.raw(r)).tobytes().hex() for r in results))

for norm in (nn.BatchNorm(8), nn.LayerNorm(8)):
    model = nn.Sequential(nn.Linear(4, 8, rng=rng), norm, nn.PReLU(), nn.Linear(8, 3, rng=rng))
    parameters = [p for _, p in model.named_parameters()]
    owners = {id(buffer): (m, name) for m in model.modules() for name, buffer in vars(m).items()}
    places = [owners[id(buffer)] for _, buffer in model.named_buffers()]
    loss = functional(lambda x, y: ((model(x) - y) ** 2).mean(), parameters, list(model.modules()), places)
    step = training_step(loss, optim.adam().update, backend="numpy")
    w = [p.data.copy() for p in parameters]
    states, kept = [optim.adam().init(p) for p in w], [np.array(getattr(*place)) for place in places]
    for _ in range(2):
        w, states, kept, value = step(w, states, kept, 0.1, x, y)
    show(value, *w)

def questions(x):
    i = np.argsort(x, axis=None)[:3]
    moved = tg.jvp(lambda v: v * v, (x,), (np.ones_like(x),))[1] + tg.vjp(np.sin, x)[0]
    picked = tg.Tensor(np.arange(16.0))[np.argmax(x, axis=0)]
    return moved, tg.jacobian(np.cumsum)(x.ravel()), tg.custom.checkpoint(np.tanh)(x), np.ravel(x)[i], picked

show(*compile(questions, backend="numpy")(x))
"""


def run(folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_place_of_the_package_decides_nothing(tmp_path: Path) -> None:
    elsewhere = tmp_path / "ops"
    shutil.copytree(PACKAGE, elsewhere / "tinygrad_nn", ignore=shutil.ignore_patterns("__pycache__"))
    assert run(elsewhere) == run(PACKAGE.parent)


@cache
def attributes() -> dict[tuple[str, str], set[str]]:
    """Return the places of all attributes, ``file:function``, by ``Load`` or ``Store`` and the name."""
    places: dict[tuple[str, str], set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        file = path.relative_to(PACKAGE).as_posix()
        for scope in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(scope, ast.FunctionDef):
                for node in ast.walk(scope):
                    if isinstance(node, ast.Attribute):
                        places.setdefault((type(node.ctx).__name__, node.attr), set()).add(f"{file}:{scope.name}")
    return places


def found(kind: str, wanted: str) -> set[str]:
    """Return ``file:function`` of all places in the package with an attribute of this name that is read, or set."""
    return attributes().get((kind, wanted), set())


def test_frames_are_inspected_only_for_messages_and_names() -> None:
    shown = {  # with their source
        "compare/function/locations.py:_record_location", "compare/steps/comparison.py:compare_steps",
    }  # fmt: skip
    lines = {
        "common/call_site.py:calling_line", "common/lost_graph.py:_user_frame",
        "leaves.py:_stacklevel", "profiling/describe.py:_users_line",
    }  # fmt: skip
    named = {"viz/model/variables.py:variable_spaces"}  # the user's own names of values
    again = {"graph/rerun.py:_run", "graph/rerun.py:_site"}  # which operation of a function is the one that was changed
    assert found("Load", "_getframe") == {*lines, *shown, *named, *again}


def test_no_class_is_changed_under_a_living_object() -> None:
    assert not found("Store", "__class__")
