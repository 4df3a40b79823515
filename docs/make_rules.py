"""Write docs/rules.md and the record of what the tests check, both from the rule tables and the table of cases.

Run it from the top of the project after adding a primitive or a case: ``python docs/make_rules.py``.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np
from cases import CASES
from cases.case import Case

import tinygrad_nn as tg
from tinygrad_nn.backward import ancestors
from tinygrad_nn.graph.supported import Support, own_name, supported
from tinygrad_nn.primitive import OVERRIDES, REGISTRY, Primitive, numpy_name
from tinygrad_nn.tree import flatten

RECORD = ROOT / "tinygrad_nn" / "ops" / "checked.json"
SERVING = {handler.name for handler in OVERRIDES.values() if isinstance(handler, Primitive)}
PAGE = ROOT / "docs" / "rules.md"

HEAD = """# Rules: what can be differentiated

This page is made by `python docs/make_rules.py` from the rule tables in `tinygrad_nn/ops/`; a test fails if it is
stale. `tinygrad_nn.supported()` returns the same table.

A rule takes the cotangent $`g`$, which has the shape of the result, and returns the gradient of one argument. If an
argument was broadcast, this gradient is then summed along the broadcast axes. Every rule consists of differentiable
functions, so derivatives of any order exist, in reverse mode, in forward mode (`jvp`) and nested. The column *checked*
says up to which order the tests compare them with numerical derivatives, and for how many forms of the arguments. All
are checked in float32 and float64. **ℂ** marks those that are checked with complex numbers, where the gradient of a
real $`L`$ is $`\\partial L/\\partial\\,\\mathrm{Re}\\,x + i\\,\\partial L/\\partial\\,\\mathrm{Im}\\,x`$, the
convention of PyTorch.
"""


def names_of(case: Case) -> list[str]:
    """The names in the table that a case checks."""
    name = case.name
    owners = [numpy_name(f) for f in OVERRIDES if numpy_name(f).removeprefix("np.") == name]
    owners += [numpy_name(f) for f in OVERRIDES if numpy_name(f).rpartition(".")[2] == name] if not owners else []
    return owners or [own_name(name)]


def primitives_in(case: Case) -> list[str]:
    """The primitives in the graph of a case; none if plain random numbers are no valid arguments."""
    rng = np.random.default_rng(0)
    low, high = case.domain[0] if isinstance(case.domain[0], tuple) else case.domain
    arrays = [rng.uniform(low, high, s) if isinstance(s, tuple) else np.array(s) for s in case.shapes]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = case.call(*(tg.Tensor(a) if a.dtype.kind == "f" else a for a in arrays))
    except Exception:
        return []
    roots = [t.node for t in flatten(result)[0] if isinstance(t, tg.Tensor) and t.node is not None]
    found = {n.primitive.name for n in ancestors(roots) if n.primitive is not None} if roots else set()
    return sorted(found)


def record() -> dict[str, dict[str, Any]]:
    """What the table of cases checks, by function."""
    found: dict[str, dict[str, Any]] = {}
    for case in CASES:
        inside = primitives_in(case)
        own = [own_name(p) for p in inside if p not in SERVING]  # primitives that other functions are made of
        for name in {*names_of(case), *own}:
            row = found.setdefault(name, {"forms": 0, "order": 0, "complex": False, "primitives": []})
            row["forms"] += 1
            row["order"] = max(row["order"], case.order)
            row["complex"] = row["complex"] or case.complex
            row["primitives"] = sorted({*row["primitives"], *inside})
    for function, handler in OVERRIDES.items():  # without a case of its own: an automatic one
        name = numpy_name(function)
        if isinstance(handler, Primitive) and name not in found:
            same = next((found[n] for n in map(numpy_name, handler.numpy) if n in found), None)
            found[name] = same or {"forms": 1, "order": 2, "complex": False, "primitives": [handler.name]}
    return {name: found[name] for name in sorted(found)}


def math_text(tex: str | None) -> str:
    """TeX for a table cell, in which a bar would end the cell."""
    return "" if tex is None else f"$`{tex.replace('|', chr(92) + 'vert ')}`$"


def line(row: Support) -> str:
    """A row of a table of the page."""
    checked = f"{row.orders.removeprefix('any, checked to ')}, {row.forms} form{'s' * (row.forms != 1)}"
    cells = [f"`{row.function}`"]
    if row.kind == "primitive":
        rules = [math_text(tex) if tex else "—" for tex in row.rules]
        cells += [math_text(row.tex), "<br>".join(rules)]
    else:
        cells += ["", "from " + ", ".join(f"`{p}`" for p in row.primitives) if row.primitives else ""]
    cells += [checked + (" ℂ" if "complex" in row.dtypes else ""), row.conventions]
    return "| " + " | ".join(cell.replace("\n", " ") for cell in cells) + " |"


def page() -> str:
    """The page."""
    rows = supported()
    parts = [HEAD]
    titles = {"primitive": "Primitives", "composition": "Compositions", "plain": "Plain answers"}
    for kind, title in titles.items():
        chosen = [row for row in rows if row.kind == kind]
        parts.append(f"\n## {title}\n")
        if kind == "plain":
            parts.append(
                "These functions return plain arrays, through which no gradient flows. A function that would lose the "
                "graph of a Tensor that requires gradients, or write into it, raises and says what to write instead.\n"
            )
            parts.append(", ".join(f"`{row.function}`" for row in chosen) + "\n")
            continue
        parts.append("| function | equation | gradients | checked | kinks and conventions |\n|---|---|---|---|---|")
        parts += [line(row) for row in chosen]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def texts() -> dict[Path, str]:
    """The two files as they should be."""
    written = json.dumps(record(), indent=0, sort_keys=True) + "\n"
    if not RECORD.exists() or RECORD.read_text("utf-8") != written:
        RECORD.write_text(written, "utf-8")
    return {RECORD: written, PAGE: page()}


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text, "utf-8")
    print(f"{len(supported())} functions, {len(REGISTRY)} primitives, {len(CASES)} cases")
