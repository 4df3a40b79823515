"""The tables of docs/from_pytorch.md; PyTorch's results for the left column are recorded."""

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).resolve().parents[2] / "docs" / "from_pytorch.md"
TEXT = PAGE.read_text(encoding="utf-8")
HERE = "In PyTorch, here"
OTHERWISE = "The same word, another meaning"
ABSENT = "What is not there"


def section(title: str) -> str:
    """The text between a heading of the second order and the next."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[tuple[str, list[str]]]:
    """The rows of a section: what PyTorch has, and each piece of code that is to do the same here."""
    found = []
    for line in section(title).splitlines():
        cells = line.strip("|").split(" | ")
        if line.startswith("| `"):
            found.append((cells[0].strip(" `"), re.findall(r"`([^`]+)`", cells[1])))
    return found


def absent() -> list[str]:
    """The code of the first column of the last table."""
    lines = [line for line in section(ABSENT).splitlines() if line.startswith("| `")]
    return [code for line in lines for code in re.findall(r"`([^`]+)`", line.split(" | ")[0])]


def setup(title: str = HERE) -> list[str]:
    """The blocks of Python of a section."""
    return re.findall(r"```python\n(.*?)```", section(title), flags=re.DOTALL)


def result(code: str, names: dict[str, Any]) -> Any:
    """Run statements; return the value of the last one as numbers, shapes, texts and lists of them."""
    *before, last = ast.parse(code).body
    exec(compile(ast.Module(before, []), "<row>", "exec"), names)
    if isinstance(last, ast.Expr):
        return plain(eval(compile(ast.Expression(last.value), "<row>", "eval"), names))
    exec(compile(ast.Module([last], []), "<row>", "exec"), names)
    return None


def plain(value: Any) -> Any:
    """Return a value as JSON holds it; of what has no value, such as a model, None."""
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if hasattr(value, "detach"):
        value = value.detach()
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "detach"):
        return np.asarray(value).tolist()
    return value if isinstance(value, (bool, int, float, str)) else None


def with_torch(source: str) -> str:
    """Return a block of the page with PyTorch's import lines."""
    for ours, theirs in {
        "import tinygrad_nn.pytorch as torch": "import torch",
        "from tinygrad_nn import nn, optim": "from torch import nn, optim\nimport torch.utils.data",
        "from tinygrad_nn.nn import functional as F": "import torch.nn.functional as F",
    }.items():
        source = source.replace(ours, theirs)
    return source
