"""Backward passes that were reported as wrong in public code, written anew in NumPy from what the reports say.

Each module is one exhibit: the report, the function, the backward pass as it was, and as it should be. Most were wrong;
some only look wrong. `python -m examples.museum` gives them to `compare_gradients`; `docs/museum.md` shows the result.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from .exhibit import Exhibit

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*_*.py") if not path.stem.startswith("_"))
EXHIBITS: dict[str, Exhibit] = {name: import_module(f".{name}", __name__).EXHIBIT for name in NAMES}
WRONG = {name: exhibit for name, exhibit in EXHIBITS.items() if exhibit.right is not None}
RIGHT = {name: exhibit for name, exhibit in EXHIBITS.items() if exhibit.right is None}


@cache
def report(name: str) -> Any:
    """Return what `compare_gradients` says of an exhibit."""
    return EXHIBITS[name].compare()
