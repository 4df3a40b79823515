"""The `compare` command: exit codes, files of the user, the page."""

from pathlib import Path

import pytest

from tinygrad_nn.cli import main

OWN = """
import numpy as np
from tinygrad_nn import BackProp

rng = np.random.default_rng(0)
inputs = (rng.normal(size=(4, 3)), rng.normal(size=(3, 2)))

def f(x, W):
    return (np.tanh(x @ W) ** 2).sum()

def right(x, W):
    h = np.tanh(x @ W)
    d = 2 * h * (1 - h**2)
    return d @ W.T, x.T @ d

def wrong(x, W):
    d = 2 * np.tanh(x @ W)
    return d @ W.T, x.T @ d

def summed(model, data_cache, data_out, *, solver):
    loss, dW, db = BackProp(model, data_cache, data_out, solver=solver)
    return loss, [len(data_out) * g for g in dW], [len(data_out) * g for g in db]

def crash(model, data_cache, data_out, *, solver):
    return 1 / 0
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN, encoding="utf-8")


def test_iris_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare"]) == 0
    assert "The gradient is right: the three roads agree." in capsys.readouterr().out


@pytest.mark.usefixtures("own")
def test_a_users_backward(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--hidden", "6,5", "--activation", "tanh", "--dtype", "float32", "--html", "r.html", "--json", "r.json"]
    assert main(["compare", "--manual", "own.py:summed", *options]) == 1
    assert "delta is N (the number of samples) times the right one." in capsys.readouterr().out
    assert Path("r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert '"kind": "scale"' in Path("r.json").read_text(encoding="utf-8")


@pytest.mark.usefixtures("own")
def test_a_users_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--function", "own.py:f", "--manual", "own.py:right", "--quiet"]) == 0
    assert main(["compare", "--function", "own.py:f", "--manual", "own.py:wrong", "--inputs", "own.py:inputs"]) == 1
    assert "missing_activation_derivative" in capsys.readouterr().out


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--manual", "own.py:crash"], "own.py, line 25: ZeroDivisionError: division by zero"),
        (["--manual", "own.py:nothing"], "own.py has no 'nothing'"),
        (["--manual", "none.py:f"], "there is no file none.py"),
        (["--manual", "own.py"], "write FILE.py:NAME"),
        (["--function", "own.py:f"], "needs its backward; add --manual"),
        (["--loss", "cross"], "unknown loss 'cross'"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == 2
    assert message in capsys.readouterr().err
