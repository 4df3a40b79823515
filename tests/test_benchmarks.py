"""Every part of the benchmarks runs and prints its rows, and all programs of a step compute the same.

No time is judged.
"""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import ours, runner, steps, tasks
from tests.benchmarks.measure import Sample
from tests.benchmarks.peers import autograd_, jax_, mygrad_, torch_
from tests.benchmarks.runner import PERCEPTRON, Found
from tests.benchmarks.tables import table
from tests.benchmarks.worker import Program, serve

TINY = ["--turns", "2", "--seconds", "0.001"]
PEERS = {"torch": torch_, "jax.jit": jax_, "MyGrad": mygrad_, "HIPS autograd": autograd_}
LSTM = pytest.param("lstm", marks=pytest.mark.slow)  # its plan has an operation for each gate and time
SLOW_TO_START = ("compiled, NumPy", "compiled, numba", "torch", "torch.compile", "jax.jit", "MyGrad", "HIPS autograd")
SKIP = [word for name in SLOW_TO_START for word in ("--skip", name)]
# Float32 rounds to 6e-8; sums in another order, of some hundred numbers and for three steps,
# make it some hundred times that.
SAME = 2e-5


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    command.main([*arguments, *TINY])
    text = capsys.readouterr().out
    assert all(len(line) <= 80 for line in text.splitlines()), text
    assert "cores" in text
    assert f"{runner.THREADS} threads" in text
    return text


def row(text: str, name: str) -> str:
    """The first figure of the first row of that name."""
    found = re.search(rf"^ *{re.escape(name)} +([\d.]+) ", text + " ", flags=re.MULTILINE)
    assert found, f"no row {name} in\n{text}"
    return found[1]


def test_two_turns_far_apart_keep_their_columns_apart() -> None:
    sample = Sample([4.2e-3, 54.4e-3])
    assert sample.spread == pytest.approx((4.2e-3, 54.4e-3))  # within what was measured, never below zero
    assert float(row(table({"eager": Found({}, sample)}), "eager")) == pytest.approx(29.3)


@pytest.mark.parametrize(
    "step", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("784-256-128-10", "cnn", "lstm")), "transformer",
             "scalar"]
)  # fmt: skip
def test_a_part_prints_a_row_for_each_program(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, step, *SKIP)
    for name in ("NumPy by hand", "eager"):
        assert float(row(text, name)) > 0
    assert "do not compute the same" not in text


def test_all_programs_of_the_first_step_have_a_row_or_are_named_as_missing(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "4-40-3", "--skip", "torch.compile")
    for name in set(PERCEPTRON) - {"torch.compile"}:
        assert re.search(rf"^{re.escape(name)} +([\d.]+ |not installed)", text, flags=re.MULTILINE), f"{name}\n{text}"
    assert "What must hold" in text


def test_chains_print_a_row_for_each_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LENGTHS", (10, 20))
    text = printed(capsys, "chain", *SKIP[4:])
    for name in ("NumPy by hand", "eager", "jax.grad"):
        assert len(re.findall(rf"^{re.escape(name)} +([\d.]+ |not installed)", text, flags=re.MULTILINE)) == 2, text
    assert "bound 1.2" in text


def test_imports_print_a_row_for_each_package(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "import")
    assert float(row(text, "tinygrad_nn")) > float(row(text, "numpy")) / 2


@pytest.mark.slow
@pytest.mark.parametrize(("part", "name"), [("memory", "eager"), ("profile", "engine, watching, update")])
def test_a_benchmark_that_runs_once_prints_its_rows(part: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, part, "--skip", "compiled, numba")
    assert float(row(text, name)) > 0
    assert "Error" not in text


def losses(
    programs: dict[str, Program], step: str, name: str, capsys: pytest.CaptureFixture[str]
) -> list[float] | None:
    """The first three losses of a program, None where its library is not installed."""
    serve(programs, [step, name, "--losses", str(tasks.RATES.get(step, 0.01))])
    said = json.loads(capsys.readouterr().out)
    assert "losses" in said or "missing" in said, said
    return said.get("losses")


@pytest.mark.parametrize("step", ["4-40-3", "784-256-128-10", "cnn", LSTM, "transformer", "scalar"])
def test_all_programs_compute_the_same(
    step: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "RATE", steps.RATE)  # a check sets it; this sets it back
    want = losses(ours.PROGRAMS, step, "NumPy by hand", capsys)
    assert want is not None
    assert step == "scalar" or want[0] > want[1] > want[2]
    known = [(ours.PROGRAMS, name) for name in ("eager", "compiled, NumPy")]
    for programs, name in known + [(peer.PROGRAMS, name) for name, peer in PEERS.items()]:
        got = losses(programs, step, name, capsys)
        assert got is None or got == pytest.approx(want, rel=SAME), name


def test_products_are_those_of_the_parameters() -> None:
    for step, shapes in tasks.SHAPES.items():
        weights = sorted(shape for shape in shapes.values() if len(shape) > 1)
        sizes = {abs(m * n) for _, m, _, n in tasks.PRODUCTS[step]}
        for shape in weights:  # the gradient of a weight has as many entries as the weight
            entries = shape[0]
            for size in shape[1:]:
                entries *= size
            assert entries in sizes, (step, shape)


def test_a_program_that_fails_or_is_not_there_is_named() -> None:
    missing = Found({"missing": "torch"})
    assert missing.problem == "not installed"
    text = table({"torch": missing, "eager": Found({}, Sample([1e-5, 2e-5, 3e-5]))})
    assert "torch             not installed" in text
    process = runner.Process([sys.executable, "-c", "raise SystemExit('gone')"])
    assert process.head == {"failed": "gone"}
    process.end()


def test_failures_are_answers(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(step: str) -> None:
        raise ValueError("no such thing\nmore")

    programs = {"broken": Program(broken), "absent": Program(broken, ("no_such_package_at_all",))}
    serve(programs, ["cnn", "broken"])
    serve(programs, ["cnn", "absent"])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"failed": "ValueError: no such thing"}
    assert second == {"missing": "no_such_package_at_all"}


def test_figures_have_three_digits_and_ratios_are_of_the_same_turn() -> None:
    slow, fast = Sample([2.0, 40.0, 4.0]), Sample([1.0, 20.0, 2.0])
    text = table({"NumPy by hand": Found({}, fast), "eager": Found({}, slow)})
    assert re.search(r"^eager +4000 +2000-40000 +2.00$", text, flags=re.MULTILINE), text


def test_write_replaces_the_marked_block_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{command.BEGIN}\nold\n{command.END}\n\nafter\n", "utf-8")
    printed(capsys, "scalar", *SKIP, "--write", str(page))
    text = page.read_text("utf-8")
    assert text.startswith(f"before\n\n{command.BEGIN}\n\n```text\n")
    assert text.endswith(f"\n```\n\n{command.END}\n\nafter\n")
    assert "old" not in text
    assert float(row(text, "eager")) > 0
    with pytest.raises(ValueError, match="one line"):
        command.written("a page without marks", "text")


def test_an_unknown_part_names_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["everything"])
    assert "unknown part everything; known are steps" in capsys.readouterr().err


def test_the_page_holds_the_last_run() -> None:
    page = (Path(__file__).parents[1] / "docs" / "performance.md").read_text("utf-8")
    assert command.written(page, "x") != page
    for name in ("784-256-128-10", "CNN", "LSTM", "Transformer", "a chain of 1,000,000", "Import", "What must hold"):
        assert name in page
