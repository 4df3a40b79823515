"""What decides the numbers of a program besides its own code: versions, and the files of this package."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np


def surroundings() -> dict[str, str]:
    """Return what must be the same of the programs of all ranks."""
    return {
        "tinygrad_nn": _version(), "the code of tinygrad_nn": _code(), "NumPy": np.__version__,
        "Python": platform.python_version(),
    }  # fmt: skip


def _version() -> str:
    try:
        return metadata.version("tinygrad-nn")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "not installed"


@cache
def _code() -> str:
    """Return a checksum of the files of this package."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
