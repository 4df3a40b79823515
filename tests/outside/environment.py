"""A virtual environment for the suite of another project."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def python_with(work: Path, *packages: str) -> Path:
    """Return the Python of an environment in this folder, made with these packages if it is not there yet."""
    place = work / "venv"
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted, noted = "\n".join(packages), place / "packages.txt"
    if not noted.exists() or noted.read_text("utf-8") != wanted:
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        noted.write_text(wanted, "utf-8")
    return python


def checkout(work: Path, address: str, commit: str) -> Path:
    """Return a checkout of a repository at a commit, with its submodules, cloned if it is not there yet."""
    place = work / address.rpartition("/")[2]
    if not place.exists():
        subprocess.run(["git", "clone", "--quiet", address, place], check=True)
    subprocess.run(["git", "-C", place, "checkout", "--quiet", commit], check=True)
    subprocess.run(["git", "-C", place, "submodule", "--quiet", "update", "--init"], check=True)
    return place


def pytest(python: Path, *arguments: str, cwd: Path, **environment: str) -> Any:
    """Run pytest there with this project on the path, and return the finished process."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, **environment}
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


if __name__ == "__main__":
    sys.exit("python -m tests.outside runs the suites.")
