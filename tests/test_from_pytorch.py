"""What comes from PyTorch: its scripts run with other import lines, and its calls give its numbers."""

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.pytorch as torch
from tests.from_pytorch import RECORD, SCRIPTS
from tests.from_pytorch.calls import FUNCTIONS, answer

RECORDED: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))


def lines(text: str) -> list[str]:
    return text.strip().split("\n")


def alike(found: Any, expected: Any) -> bool:
    """Equal to 1e-9 of their size, which is 1e6 times what rounding leaves in these few operations."""
    return np.shape(found) == np.shape(expected) and np.allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_there_are_twelve_scripts_of_fifty_steps():
    assert sorted(RECORDED["losses"]) == SCRIPTS
    assert len(SCRIPTS) == 12
    assert all(len(losses) == 50 for losses in RECORDED["losses"].values())


@pytest.mark.parametrize("call", lines(FUNCTIONS))
def test_a_function_gives_the_numbers_of_pytorch(call: str):
    found, expected = answer(torch, call), RECORDED["calls"][call]
    assert len(found["values"]) == len(expected["values"])
    assert all(map(alike, found["values"], expected["values"])), (found, expected)
    assert found["gradients"].keys() == expected["gradients"].keys()
    assert all(alike(found["gradients"][name], expected["gradients"][name]) for name in expected["gradients"])
