"""How long does `import tinygrad_nn` take, against `import numpy`? The bound is 1.3, process start and all."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .measure import in_turns, table

ROOT = Path(__file__).resolve().parents[2]


def main(turns: int = 25) -> None:
    """Print the table; compiled modules are cached, as they are where the package is installed."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def run(code: str) -> Callable[[], object]:
            return lambda: subprocess.run([sys.executable, "-c", code], env=environment, check=True)

        functions = {"import numpy": run("import numpy"), "import tinygrad_nn": run("import tinygrad_nn")}
        print(table(in_turns(functions, turns, 1), "import numpy", 1e3, "ms"))


if __name__ == "__main__":
    main()
