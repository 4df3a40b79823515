"""How long does `import tinygrad_nn` take, against `import numpy`? The bound is 1.3, process start and all."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

from .measure import in_turns
from .runner import PEERS, ROOT, Found
from .tables import table

PACKAGES = {"numpy": "numpy", "tinygrad_nn": "ours", "torch": "torch", "jax": "jax", "mygrad": "MyGrad",
            "autograd": "autogr"}  # fmt: skip


def measured(turns: int = 9) -> dict[str, Found]:
    """Return what each import takes; compiled modules are cached, as they are where a package is installed."""
    with tempfile.TemporaryDirectory() as cache:
        ours = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": cache}
        ours.pop("PYTHONDONTWRITEBYTECODE", None)

        def run(package: str) -> Callable[[], object]:
            python, environment = (sys.executable, ours) if package in ("numpy", "tinygrad_nn") else (PEERS, None)
            line = [python, "-c", f"import {package}"]
            return lambda: subprocess.run(line, env=environment, check=True, capture_output=True)

        found, functions = {}, {}
        for package in PACKAGES:
            function = run(package)
            try:
                function()
                functions[package] = function
            except subprocess.CalledProcessError:
                found[package] = Found({"missing": package})
        samples = in_turns(functions, turns, 1)
    return {name: found.get(name) or Found({}, samples[name]) for name in PACKAGES}


def main(turns: int = 9) -> None:
    """Print the table."""
    print(table(measured(turns), bases=PACKAGES))


if __name__ == "__main__":
    main()
