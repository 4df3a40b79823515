"""Run a suite of another project: ``python -m tests.outside array_api``. It is installed where it does not exist yet.

Each suite is a module of this folder with a function `run(work, arguments)`, which prints what it found and returns
whether that is as good as what it is compared with. `work` is a folder that is kept from one run to the next.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

SUITES = {
    "array_api": "the conformance tests of the array API standard, beside NumPy",
    "libraries": "Tensors in the hands of xarray, array-api-compat and PyTorch",
}


def main(argv: list[str]) -> int:
    """Run what the command line names."""
    suites = "\n".join(f"  {name:12} {text}" for name, text in SUITES.items())
    parser = argparse.ArgumentParser(
        "python -m tests.outside", description=f"suites:\n{suites}", formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("suite", choices=SUITES)
    default = Path(tempfile.gettempdir()) / "tinygrad_nn_outside"
    parser.add_argument("--work", type=Path, default=default, help="where environments and checkouts are kept")
    known, rest = parser.parse_known_args(argv)
    work = known.work / known.suite
    work.mkdir(parents=True, exist_ok=True)
    return 0 if importlib.import_module(f"tests.outside.{known.suite}").run(work, rest) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
