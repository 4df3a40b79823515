"""Scripts in PyTorch's style, and the losses that PyTorch itself gives for them."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "scripts"
RECORD = Path(__file__).parent / "recorded.json"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "weights")

# What an import line of a script becomes; docs/from_pytorch.md shows this table. No other line is touched.
IMPORTS = {
    r"import torch": "import tinygrad_nn.pytorch as torch",
    r"import torch\.nn as nn": "from tinygrad_nn import nn",
    r"import torch\.optim as optim": "from tinygrad_nn import optim",
    r"import torch\.nn\.functional as F": "from tinygrad_nn.nn import functional as F",
    r"from torch import (.*)": r"from tinygrad_nn.pytorch import \1",
    r"from torch\.((?:nn|optim)[\w.]*) import (.*)": r"from tinygrad_nn.\1 import \2",
    r"from torch\.((?:autograd|distributions|func)[\w.]*) import (.*)": r"from tinygrad_nn.pytorch.\1 import \2",
    r"from torch\.utils\.data import (.*)": r"from tinygrad_nn.pytorch.data import \1",
}


def here(source: str) -> str:
    """Return a script of PyTorch with its import lines changed."""
    for theirs, ours in IMPORTS.items():
        source = re.sub(f"^{theirs}$", ours, source, flags=re.MULTILINE)
    return source


def run_with_torch(name: str) -> dict[str, Any]:
    """Run a script as it is, and return its names."""
    sys.path.insert(0, str(FOLDER))
    try:
        return runpy.run_path(str(FOLDER / f"{name}.py"))
    finally:
        sys.path.remove(str(FOLDER))


def run_here(name: str) -> dict[str, Any]:
    """Run a script with its import lines changed, and return its names."""
    path = FOLDER / f"{name}.py"
    names: dict[str, Any] = {"__name__": name}
    sys.path.insert(0, str(FOLDER))
    try:
        exec(compile(here(path.read_text(encoding="utf-8")), str(path), "exec"), names)
    finally:
        sys.path.remove(str(FOLDER))
    return names
