"""What comes from PyTorch: its scripts run with other import lines, and its calls give its numbers."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.pytorch as torch
from tests.from_pytorch import RECORD, SCRIPTS, here, run_here
from tests.from_pytorch.calls import FUNCTIONS, METHODS, answer
from tests.from_pytorch.page import HERE, OTHERWISE, TEXT, absent, result, rows, setup

RECORDED: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))


def test_import_lines_change_as_the_page_says():
    lines = TEXT.partition("\n## ")[0].splitlines()
    found = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    assert len(found) == 8
    for theirs, ours in found:
        assert here(theirs.strip("`")) == ours.strip("`")


def lines(text: str) -> list[str]:
    return text.strip().split("\n")


def alike(found: Any, expected: Any) -> bool:
    """Equal to 1e-9 of their size, which is 1e6 times what rounding leaves in these few operations."""
    return np.shape(found) == np.shape(expected) and np.allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_there_are_twelve_scripts_of_fifty_steps():
    assert sorted(RECORDED["losses"]) == SCRIPTS
    assert len(SCRIPTS) == 12
    assert all(len(losses) == 50 for losses in RECORDED["losses"].values())


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_gives_the_losses_of_pytorch(name: str):
    found = run_here(name)["losses"]
    np.testing.assert_allclose(found, RECORDED["losses"][name], rtol=1e-6, atol=0)


@pytest.mark.parametrize("call", lines(FUNCTIONS))
def test_a_function_gives_the_numbers_of_pytorch(call: str):
    found, expected = answer(torch, call), RECORDED["calls"][call]
    assert len(found["values"]) == len(expected["values"])
    assert all(map(alike, found["values"], expected["values"])), (found, expected)
    assert found["gradients"].keys() == expected["gradients"].keys()
    assert all(alike(found["gradients"][name], expected["gradients"][name]) for name in expected["gradients"])


def fresh(tmp_path: Path) -> dict[str, Any]:
    """The names that the rows of the page speak of."""
    names: dict[str, Any] = {}
    for block in setup():
        exec(block, names)
    names["path"] = str(tmp_path / "weights")
    return names


def agrees(found: Any, expected: Any) -> bool:
    if isinstance(expected, list) and not isinstance(found, (list, type(None))):
        return False
    texts = [x for x in np.ravel(np.asarray(expected, object)) if isinstance(x, str)]
    if expected is None or texts or isinstance(expected, bool):
        return bool(found == expected)
    if isinstance(expected, list) and any(np.shape(x) != np.shape(expected[0]) for x in expected):
        return len(found) == len(expected) and all(map(agrees, found, expected))
    return alike(found, expected)


@pytest.mark.parametrize("row", rows(HERE), ids=lambda row: row[0])
def test_a_row_of_the_page_gives_what_pytorch_gives(row: tuple[str, list[str]], tmp_path: Path):
    theirs, ours = row
    assert ours
    for code in (theirs, *ours):
        found = result(code, fresh(tmp_path))
        assert agrees(found, RECORDED["rows"][theirs]), (code, found, RECORDED["rows"][theirs])


def test_the_page_has_more_than_eighty_rows():
    assert len(rows(HERE)) > 80
    assert {code for code, _ in rows(HERE) + rows(OTHERWISE)} == set(RECORDED["rows"])


@pytest.mark.parametrize("row", rows(OTHERWISE), ids=lambda row: row[0])
def test_what_means_something_else_here_has_another_way_to_be_written(row: tuple[str, list[str]], tmp_path: Path):
    theirs, ours = row
    for code in ours:
        assert agrees(result(code, fresh(tmp_path)), RECORDED["rows"][theirs]), code
    try:
        found = result(theirs, fresh(tmp_path))
    except (TypeError, AttributeError, ValueError):
        return
    assert not agrees(found, RECORDED["rows"][theirs])  # else it belongs into the first table


@pytest.mark.parametrize("code", absent())
def test_what_the_page_says_is_not_there_is_not_there(code: str, tmp_path: Path):
    names = fresh(tmp_path)
    with pytest.raises((AttributeError, TypeError, ValueError)):
        result(code, names)


# Calls that mean what NumPy means, or that NumPy refuses in its own words; the page names each, and what to write.
NUMPYS = ["x.max(1)", "x.repeat(2, 1)", "x.std()", "x.std(1)", "x.transpose(0, 1)", "x.var()", "x.sum(1, True)",
          "m.nonzero()"]


@pytest.mark.parametrize("call", [call for call in lines(METHODS) if call not in NUMPYS])
def test_a_method_gives_the_numbers_of_pytorch_or_says_what_to_write(call: str):
    expected, said = RECORDED["calls"][call], ""
    try:
        found = answer(torch, call)
    except (AttributeError, TypeError, ValueError) as error:
        said = str(error)
    if said:
        assert re.search(r"np\.|\bt\.|shape|\.data|astype|write|Write", said), said
        return
    assert all(map(alike, found["values"], expected["values"])), (found, expected)
    assert found["gradients"].keys() == expected["gradients"].keys()
    assert all(alike(found["gradients"][name], expected["gradients"][name]) for name in expected["gradients"])


def test_methods_that_mean_what_numpy_means_stand_on_the_page():
    words = {word for code, _ in rows(OTHERWISE) for word in re.findall(r"\.(\w+)\(", code)}
    assert all(re.findall(r"\.(\w+)\(", call)[0] in words for call in NUMPYS)
