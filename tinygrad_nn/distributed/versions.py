"""Versions and checksums of the software that the results depend on, to compare them between ranks."""

from __future__ import annotations

import hashlib
import platform
import sys
import sysconfig
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def rank_environment() -> dict[str, str]:
    """Return the versions and checksums that must be equal on all ranks."""
    return {
        "tinygrad_nn": _version(), "the code of tinygrad_nn": _package_checksum(), "NumPy": np.__version__,
        "Python": platform.python_version(), **_own_files(),
    }  # fmt: skip


def _own_files() -> dict[str, str]:
    """Return checksums of the script and of the modules that it imported, without installed packages."""
    others = (*map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")), str(ROOT))
    found = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if not path.endswith(".py") or path.startswith(others) or "-packages" in path:
            continue
        try:
            checksum = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
        except OSError:  # the file was moved since
            continue
        found["the script" if name == "__main__" else f"the file of {name}"] = checksum
    return found


def _version() -> str:
    from importlib import metadata  # here, since every fit imports this module, and only several ranks need it

    try:
        return metadata.version("tinygrad-nn")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "not installed"


@cache
def _package_checksum() -> str:
    """Return a checksum of the files of this package."""
    digest = hashlib.sha256()
    for path in sorted(ROOT.rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
