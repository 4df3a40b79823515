"""Run every benchmark and print what it found: `python -m tests.benchmarks`."""

import os
import platform
import sys

import numpy as np

from . import chain, dispatch, drawing, importing, step


def machine() -> str:
    """Return processor, Python and NumPy in one line."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores; Python {sys.version.split()[0]}, NumPy {np.__version__}"


def main() -> None:
    """Print the tables."""
    print(machine())
    for module in (step, dispatch, importing, chain, drawing):
        print(f"\n{module.__doc__.strip().splitlines()[0]}\n")
        module.main()


if __name__ == "__main__":
    main()
