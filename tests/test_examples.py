"""What a reader is shown is true: the examples run, the README's run is fresh, the kinks are as said."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import tinygrad_nn
from tinygrad_nn import Tensor, grad
from tinygrad_nn.cli import main
from tinygrad_nn.cli.run import Options, execute, prepare

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_iris_example_is_the_command_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path(str(ROOT / "examples" / "iris.py"))
    said = capsys.readouterr().out
    assert len(re.findall(r"^epoch +\d+: train loss", said, flags=re.MULTILINE)) == 20
    assert "Confusion matrix" in said
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    outcome = execute(prepare(Options()))
    assert np.allclose(found["ltrn"], outcome.history.loss, rtol=1e-9)
    assert outcome.scores is not None
    assert found["accuracy"].overall == outcome.scores.accuracy.overall


def masked(line: str) -> str:
    """Replace the distances between the roads in a line, which another processor may round differently."""
    return re.sub(r" +\de[+-]\d\d", " #", line.rstrip())


def test_the_readme_shows_what_train_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["train"]) == 0
    said = [masked(line) for line in capsys.readouterr().out.splitlines()]
    (shown,) = re.findall(r"^```text\n(data .*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    lines = iter(said)  # `in` moves it on, so the lines must come in this order
    missing = [line for line in map(masked, shown.splitlines()) if line.strip() != "..." and line not in lines]
    assert not missing


def kinks() -> list[tuple[str, float, float]]:
    """The rows of the table of kinks: function, where, slope."""
    page = (ROOT / "docs" / "limitations.md").read_text(encoding="utf-8")
    section = page.split("## Conventions at kinks")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(.+?)` \| (\S+) \| (\S+) \|", section, flags=re.MULTILINE)
    return [(function, float(at), float(slope)) for function, at, slope in rows]


@pytest.mark.parametrize(("function", "at", "slope"), kinks())
def test_the_table_of_kinks_is_computed(function: str, at: float, slope: float) -> None:
    names = {**vars(tinygrad_nn), "np": np}
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(grad(lambda x: eval(function, {**names, "x": x}))(at), slope)


def test_the_table_of_kinks_is_found() -> None:
    assert len(kinks()) == 32


def test_the_losses_have_the_slopes_that_are_said_at_a_perfect_fit() -> None:
    from tinygrad_nn.manual import output_delta
    from tinygrad_nn.nn.losses import LOSSES

    y = np.array([[1.0], [2.0]])
    for name in ("mae", "rmse"):
        yhat = Tensor(y.copy())
        LOSSES[name](yhat, y).backward()
        assert not yhat.grad.any()
        assert not output_delta(name, "linear", y, y, y).any()


def test_the_readme_shows_a_result_before_line_20() -> None:
    head = README.splitlines()[:20]
    assert head.count("```python") == 1
    assert head.count("```text") == 1
    assert head.count("```") == 2
    start = head.index("```python")
    assert head.index("```") - start - 1 == 6, "a snippet of six lines"
    assert any(line.startswith("![") for line in head), "and the picture that it makes"


def test_every_word_of_the_glossary_is_used() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [cell for cell in re.findall(r"^\| ([^|]+) \|", page, flags=re.MULTILINE) if cell not in ("word", "---")]
    pages = [*(ROOT / "tinygrad_nn").rglob("*.py"), *(ROOT / "docs").glob("backprop.md")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in pages).lower()
    parts = [part.strip(" `") for cell in words for part in cell.split(",")]
    assert [part for part in parts if part.lower() not in code] == []
    assert len(set(parts)) == len(parts) > 60
