"""Use Tensors with xarray, array-api-compat and PyTorch: ``python -m tests.outside libraries --torch``."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from .environment import ROOT, python_with

XARRAY = """
import array_api_compat, numpy as np, xarray as xr
import tinygrad_nn as tg

a = xr.DataArray(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), dims=("x", "y"))
for way in ("t * a", "a * t", "np.multiply(t, a)", "np.multiply(a, t)"):
    t = tg.Tensor(np.ones((2, 3)))
    made = eval(way)
    assert isinstance(made, xr.DataArray) and isinstance(made.data, tg.Tensor), way
    made.mean("x").sum().data.backward()
    np.testing.assert_array_equal(t.grad, a.data / 2, err_msg=way)
t = tg.Tensor([1.0, 2.0])
assert array_api_compat.array_namespace(t) is tg.array_api and array_api_compat.is_array_api_obj(t)
assert array_api_compat.device(t) == "cpu" and array_api_compat.to_device(t, "cpu") is t
assert array_api_compat.size(t) == 2
print("xarray", xr.__version__, "and array-api-compat", array_api_compat.__version__, "agree")
"""
TORCH = """
import numpy as np, torch
import tinygrad_nn as tg

t = tg.Tensor([1.0, 2.0])
assert torch.from_dlpack(t).tolist() == [1, 2] and torch.from_dlpack((t * 2).detach()).tolist() == [2, 4]
assert tg.array_api.from_dlpack(torch.arange(3.0)).tolist() == [0, 1, 2]
try:
    torch.from_dlpack(t * 2)
except BufferError as error:
    assert "t.detach()" in str(error)
else:
    raise AssertionError("a graph was lost")
print("torch", torch.__version__, "agrees")
"""


def run(work: Path, arguments: list[str]) -> bool:
    """Print what agrees; return whether all does."""
    parser = argparse.ArgumentParser("python -m tests.outside libraries")
    parser.add_argument("--torch", action="store_true", help="PyTorch too, which is large")
    torch = parser.parse_args(arguments).torch
    python = python_with(work, "numpy", "xarray", "array-api-compat", *(["torch"] if torch else []))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    programs = [XARRAY, *([TORCH] if torch else [])]
    return all(subprocess.run([python, "-c", program], env=env).returncode == 0 for program in programs)
