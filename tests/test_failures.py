"""A failed call shows the user's frames and our last one, and is drawn with the failing operation in red."""

import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_nn
from tinygrad_nn import Layer, Module, Settings, Solver, Tensor, explain_error, fit, nn, no_grad, viz
from tinygrad_nn.cli import main
from tinygrad_nn.common.tracebacks import (
    SWITCH,
    entries,
    is_call_error,
    is_ours,
    short_traceback,
    shortening_tracebacks,
)
from tinygrad_nn.solver import checks
from tinygrad_nn.viz.failure import failed_view, failure_of
from tinygrad_nn.viz.theme import THEMES

EVIL = "</script><img src=x onerror=alert(1)>"


class Block(Module):
    def __init__(self) -> None:
        self.first, self.second = nn.Linear(4, 5, rng=0), nn.Linear(6, 2, rng=1)

    def forward(self, x: Any) -> Any:
        hidden = np.tanh(self.first(x))
        return self.second(hidden)


def product() -> Any:
    x, W = Tensor(np.ones((3, 4)), name="x"), Tensor(np.ones((6, 2)))
    hidden = np.tanh(x * 2)
    return hidden @ W


def layer() -> Any:
    return Block()(np.ones((3, 4)))


def training() -> Any:
    return fit(Block(), np.ones((8, 4)), np.ones((8, 2)), solver=Solver("mse"), settings=Settings(2, 4))


def own_line() -> Any:
    x = Tensor(np.ones((3, 4)))
    y = np.exp(x)
    return np.dot(y.data, np.ones((5, 5)))


def option() -> Any:
    return np.sin(Tensor(np.ones((3, 4)), name="x")).reshape(5, 5)


def joined() -> Any:
    return np.concatenate([Tensor(np.ones((3, 4)), name="a"), Tensor(np.ones((2, 5)), name="b")], axis=0)


def images() -> Any:
    return nn.Conv2d(3, 8, 3, rng=0)(Tensor(np.ones((2, 4, 8, 8)), name="images"))


def layers() -> Any:
    x = Tensor(np.ones((2, 3)), name="x")
    return Layer(4, 2, "tanh", rng=0)(np.exp(x))


def freed() -> Any:
    x = Tensor(np.ones((2, 3)), name="x")
    y = np.exp(x)
    y.sum().backward()
    return y @ np.ones((2, 2))


def long() -> Any:
    y: Any = Tensor(np.ones((2, 3)), name="y")
    for _ in range(300):
        y = np.sin(y) + 0.1
    return y @ np.ones((2, 2))


def in_a_dict() -> Any:
    weights = {"first": Tensor(np.ones((3, 4))), "second layer": Tensor(np.ones((5, 2)))}
    hidden = np.maximum(Tensor(np.ones((2, 3)), name="x") @ weights["first"], 0)
    return hidden @ weights["second layer"]


def no_array_in_the_line() -> Any:
    x = Tensor(np.ones((2, 3)))
    y = np.exp(x)
    z = y * 2
    return {}["key"], z


def no_name_in_the_line() -> Any:
    def inside(y: Any) -> Any:
        z = y * 2
        key = {}["key"]
        return key, z

    x = Tensor(np.ones((2, 3)))
    y = np.exp(x)
    return inside(y)


def hostile() -> Any:
    return Tensor(np.ones((2, 3)), name=EVIL) @ np.ones((2, 2))


# What fails, the operation, the operands with their shapes, and names that are drawn.
FAILS: dict[Callable[[], Any], tuple[str, list[tuple[str, str]], set[str]]] = {
    product:  ("matmul", [("hidden", "3 × 4"), ("W", "6 × 2")], {"x", "hidden", "W"}),
    layer:    ("Linear(6, 2)", [("hidden", "3 × 5"), ("weight", "2 × 6"), ("bias", "2")],
               {"hidden", "self.first.weight", "self.second.weight"}),
    training: ("Linear(6, 2)", [("hidden", "4 × 5"), ("weight", "2 × 6"), ("bias", "2")], {"hidden"}),
    own_line: ("return np.dot(y.data, np.ones((5, 5)))", [("y", "3 × 4")], {"x", "y"}),
    option:   ("reshape", [("a", "3 × 4"), ("shape", "(5, 5)")], {"x"}),
    joined:   ("concatenate", [("a", "3 × 4"), ("b", "2 × 5"), ("axis", "0")], {"a", "b"}),
    images:   ("Conv2d(3, 8, 3)", [("images", "2 × 4 × 8 × 8"), ("weight", "8 × 3 × 3 × 3"), ("bias", "8")],
               {"images"}),
    layers:   ("Layer(4, 2, tanh)", [("x", "2 × 3"), ("W", "2 × 4"), ("b", "2")], {"x"}),
    freed:    ("matmul", [("y", "2 × 3"), ("", "2 × 2")], {"y"}),
    long:     ("matmul", [("y", "2 × 3"), ("", "2 × 2")], {"y"}),
    in_a_dict: ("matmul", [("hidden", "2 × 4"), ("weights['second layer']", "5 × 2")],
                {"x", "weights.first", "hidden"}),
    no_array_in_the_line: ('return {}["key"], z', [("z", "2 × 3")], {"x", "y", "z"}),
    no_name_in_the_line: ('key = {}["key"]', [("z", "2 × 3")], {"x", "y", "z"}),
    hostile:  ("matmul", [(EVIL, "2 × 3"), ("", "2 × 2")], {EVIL}),
}  # fmt: skip


def error_of(f: Callable[[], Any]) -> Exception:
    try:
        f()
    except Exception as error:
        return error
    raise AssertionError(f)


@pytest.mark.parametrize("f", FAILS, ids=lambda f: f.__name__)
def test_the_graph_before_an_error_is_drawn_with_the_failing_operation_in_red(f: Callable[[], Any]) -> None:
    operation, operands, names = FAILS[f]
    error = error_of(f)
    failure = failure_of(error)
    assert failure.operation == operation
    assert [(o.name, o.shape) for o in failure.operands] == operands
    view = failed_view(failure)
    *before, last = view
    assert last.kind == "failed"
    assert {part.kind for part in before} <= {"leaf", "constant", "operation"}
    assert names <= {part.name for part in before}
    into = [view[edge.source] for edge in view.edges if edge.target == last.number]
    shapes = [" × ".join(map(str, part.shape)) for part in into]
    assert shapes == [shape for (_, shape), o in zip(operands, failure.operands, strict=True)
                      if isinstance(o.value, (Tensor, np.ndarray))]  # fmt: skip
    drawing = viz.draw(error)
    red = THEMES["light"].kinds["failed"].line
    assert drawing.dot.count(f'color="{red}"') == 1
    assert " and ".join(shapes)[:30] in drawing.dot
    assert ":::failed" in drawing.mermaid
    text = str(explain_error(error))
    assert str(error).splitlines()[0] in text
    assert all(shape in text for _, shape in operands)


def test_the_picture_in_a_notebook_is_the_error_its_operands_and_the_graph() -> None:
    html = explain_error(error_of(hostile))._repr_html_()
    assert "<svg" in html
    assert "2 × 3" in html
    assert "<img src=x" not in html
    assert "ValueError: matmul" in html
    assert html.index("ValueError") < html.index("<svg")


def test_the_last_error_is_drawn_without_being_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        product()
    except ValueError:
        assert explain_error().failure.operation == "matmul"  # that which is being handled
        assert viz.draw().view.nodes[-1].operation == "matmul"
    for name in ("last_exc", "last_value"):
        monkeypatch.setattr(sys, name, error_of(joined), raising=False)
    assert explain_error().failure.operation == "concatenate"
    for name in ("last_exc", "last_value"):
        monkeypatch.delattr(sys, name)
    for call in (explain_error, viz.draw):
        with pytest.raises(RuntimeError, match="Run the call that fails first"):
            call()


def test_an_error_without_operands_says_so() -> None:
    def wrong() -> None:
        raise KeyError("mine")

    with pytest.raises(ValueError, match=r"KeyError.*not come from an operation on Tensors"):
        explain_error(error_of(wrong))


def test_an_error_that_was_raised_from_another_is_explained_by_it() -> None:
    def wrapped() -> None:
        try:
            product()
        except ValueError as error:
            raise RuntimeError("training failed") from error

    assert explain_error(error_of(wrapped)).failure.operation == "matmul"


# ---- tracebacks


def frames(error: BaseException) -> list[str]:
    return [("ours" if is_ours(entry.tb_frame) else "theirs") for entry in entries(short_traceback(error)[0])]


@pytest.mark.parametrize("f", [product, layer, training, option, joined, images, layers], ids=lambda f: f.__name__)
def test_of_our_frames_the_last_alone_is_shown(f: Callable[[], Any]) -> None:
    error = error_of(f)
    whole = entries(error.__traceback__)
    shown = entries(short_traceback(error)[0])
    assert frames(error).count("ours") == 1
    assert [e.tb_frame for e in shown if not is_ours(e.tb_frame)] == [
        e.tb_frame for e in whole if not is_ours(e.tb_frame)]  # fmt: skip
    ours = [e.tb_frame for e in whole if is_ours(e.tb_frame)]
    assert [e.tb_frame for e in shown if is_ours(e.tb_frame)] == ours[-1:]
    assert entries(error.__traceback__) == whole  # the error itself keeps them all
    assert short_traceback(error)[1] == len(whole) - len(shown)


def test_the_traceback_keeps_the_users_function() -> None:
    def mine(epoch: Any) -> None:
        raise KeyError("mine")

    error = error_of(lambda: fit([Layer(2, 1, rng=0)], np.ones((4, 2)), np.ones((4, 1)), solver=Solver("mse"),
                                 settings=Settings(1, 2), callbacks=[mine]))  # fmt: skip
    assert frames(error)[-2:] == ["ours", "theirs"]
    assert frames(error).count("ours") == 1


def in_our_house(source: str) -> dict[str, Any]:
    """Run code as if it were a module of tinygrad_nn."""
    space: dict[str, Any] = {}
    exec(compile(source, str(Path(tinygrad_nn.__file__).parent / "slip.py"), "exec"), space)
    return space


DEFECTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a name that is gone": lambda patch: patch.delattr(checks, "layer_name"),
    "None in place of a function": lambda patch: patch.setattr(checks, "layer_name", None),
    "a wrong index": lambda patch: patch.setattr(
        checks, "layer_name", in_our_house("def where(*_): return [][0]")["where"]
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_an_internal_error_keeps_its_whole_traceback(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    DEFECTS[name](monkeypatch)
    error = error_of(lambda: fit([Layer(2, 1, rng=0)], np.ones((4, 3)), np.ones((4, 1)), solver=Solver("mse"),
                                 settings=Settings(1, 2)))  # fmt: skip
    assert not is_call_error(error, entries(error.__traceback__))
    assert short_traceback(error) == (error.__traceback__, 0)


def test_a_switch_shows_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    error = error_of(training)
    assert short_traceback(error)[1] > 5
    monkeypatch.setenv(SWITCH, "full")
    assert short_traceback(error)[1] == 0


def test_causes_are_short_too_and_whole_again_after() -> None:
    first = error_of(training)
    second = RuntimeError("x")
    second.__cause__ = first
    before = entries(first.__traceback__)
    with shortening_tracebacks(second) as left_out:
        assert left_out == short_traceback(first)[1] > 0 or left_out > 5
        assert len(entries(first.__traceback__)) == len(before) - left_out
    assert entries(first.__traceback__) == before


SCRIPT = """
import numpy as np
from tinygrad_nn import Layer, Settings, Solver, fit
def start():
    fit([Layer(2, 1)], np.ones((4, 3)), np.ones((4, 1)), solver=Solver("mse"), settings=Settings(1, 2))
start()
"""


def test_a_script_shows_its_own_lines_and_the_last_of_the_package(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SCRIPT)
    root = str(Path(tinygrad_nn.__file__).parents[1])

    def said(**more: str) -> str:
        environment = {**os.environ, "PYTHONPATH": root, **more}
        call = [sys.executable, path]
        return subprocess.run(call, env=environment, capture_output=True, text=True, check=False).stderr

    text = said()
    assert len(re.findall(r'File ".*mine\.py"', text)) == 2
    assert len(re.findall(r'File ".*tinygrad_nn', text)) == 1
    assert re.search(r"ValueError: fit: layer 1.*\n\(\d+ frames of tinygrad_nn are left out; .*=full shows them", text)
    whole = said(TINYGRAD_NN_TRACEBACK="full")
    assert len(re.findall(r'File ".*tinygrad_nn', whole)) > 3
    assert "left out" not in whole


def test_a_hook_of_somebody_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_nn.common.tracebacks import install

    mine = lambda *_: None
    monkeypatch.setattr(sys, "excepthook", mine)
    shell = types.SimpleNamespace(custom_exceptions=(KeyError,))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    install()  # an AttributeError if it set anything of the shell
    assert sys.excepthook is mine


# ---- the command

MINE = """
import numpy as np
from tinygrad_nn import Tensor

def forward():
    x = Tensor(np.ones((3, 4)), name="x")
    hidden = np.tanh(x * 2)
    return hidden @ Tensor(np.ones((6, 2)), name="W")

def nothing():
    raise KeyError("mine")
"""


@pytest.mark.parametrize(("command", "out"), [("graph", "graph.svg"), ("graph", "g.html"), ("explore", "e.html")])
def test_the_command_draws_the_computation_up_to_the_error(
    command: str, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)
    assert main([command, "mine.py:forward", "--out", out]) == 2
    said = capsys.readouterr()
    assert f"The computation up to the error is in {out}, with the failing operation in red." in said.out
    assert "mine.py, line 8: ValueError: matmul" in said.err
    page = Path(out).read_text("utf-8")
    assert all(part in page for part in ("hidden", "3 × 4 and 6 × 2", "#c4161c"))
    assert main([command, "mine.py:nothing", "--out", "no.html"]) == 2
    assert not Path("no.html").exists()


def test_values_without_a_graph_are_drawn_too() -> None:
    def plain() -> Any:
        with no_grad():
            return Tensor(np.ones((2, 3))) @ np.ones((2, 2))

    view = viz.draw(error_of(plain)).view
    assert [part.kind for part in view] == ["leaf", "constant", "failed"]


def test_a_long_computation_is_folded_and_said() -> None:
    drawing = viz.draw(error_of(long))
    assert drawing.picture.note == "601 operations are shown as 7 parts: a loop of 300 equal steps by its first."
    assert sum(item.title == "@" for item in drawing.picture.items) == 1
