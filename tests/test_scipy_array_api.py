"""With SCIPY_ARRAY_API=1 the functions of SciPy that docs/scipy.md lists differentiate, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_functions_that_the_page_lists_differentiate() -> None:
    command = [sys.executable, "-m", "tests.scipy_array_api"]
    env = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.startswith("ok: 115"), done.stdout + done.stderr
