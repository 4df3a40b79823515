"""The table of cases: one row a primitive and argument form. Each module here lists its rows in CASES."""

from __future__ import annotations

import importlib
import pkgutil

from tinygrad_nn.ops.scipy import load

from .case import Case

load()

CASES: list[Case] = [
    case
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "case")
    for case in importlib.import_module(f"{__name__}.{module}").CASES
]
