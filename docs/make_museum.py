"""Write `museum.md` from the exhibits in `examples/museum/`: `python docs/make_museum.py`. A test checks it."""

import difflib
import inspect
import sys
import textwrap
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from examples.museum import EXHIBITS, RIGHT, WRONG, report
from examples.museum.exhibit import Exhibit
from tinygrad_nn.compare.budget import time_limit

HEAD = """\
# A museum of gradients

These gradients were reported as wrong in public code. Each one is written again in NumPy from the report, in
[`examples/museum/`](../examples/museum/), and given to `compare_gradients`. This page shows the result. To run them:

```sh
python -m examples.museum
python -m examples.museum knet_288
```

{wrong} were wrong. [{right} look wrong but are right](#they-look-wrong-and-are-right): the comparison finds no mistake
in them, and the page says why they are right.
"""


def edit(exhibit: Exhibit) -> str:
    """The lines of the backward pass that had to change."""
    was, now = (
        textwrap.dedent(inspect.getsource(f)).split("\n", 1)[1].splitlines()
        for f in (exhibit.backward, exhibit.right) if f is not None
    )  # fmt: skip
    lines = [line for line in difflib.unified_diff(was, now, lineterm="", n=0) if line[:3] not in ("---", "+++", "@@ ")]
    return "```diff\n" + "\n".join(line[0] + line[5:] for line in lines) + "\n```"


def told(name: str) -> str:
    """What the comparison says, without the numbers of the table."""
    said = [textwrap.fill(report(name).verdict, 100)]
    for d in report(name).diagnoses:
        said += ["", f"{d.kind} at {d.where}:", textwrap.fill(d.text, 100, initial_indent="  ", subsequent_indent="  ")]
    return "```text\n" + "\n".join(said) + "\n```"


def section(name: str, exhibit: Exhibit) -> str:
    """One exhibit."""
    source = f"[{exhibit.project}, {exhibit.number}]({exhibit.link})"
    parts = [f"### {exhibit.title}", f"{source}, in [`{name}.py`](../examples/museum/{name}.py)"]
    if exhibit.right is not None:
        parts += [f"**Reported:** {exhibit.said}", f"**Wrong:** {exhibit.fact}", f"$${exhibit.equation}$$"]
        parts += [edit(exhibit), told(name)]
    else:
        parts += [f"**Reported:** {exhibit.said}", f"**But** {exhibit.fact}", f"$${exhibit.equation}$$"]
        parts += [told(name)]
    return "\n\n".join(part if part.startswith(("```", "$$", "#")) else textwrap.fill(part, 120) for part in parts)


def page() -> str:
    """The whole page."""
    head = HEAD.format(wrong=len(WRONG), right=len(RIGHT))
    rows = ["| report | what was wrong | `compare_gradients` says |", "|---|---|---|"]
    for name, exhibit in WRONG.items():
        kinds = ", ".join(f"`{kind}`" for kind in report(name).kinds)
        rows.append(f"| [{exhibit.project}, {exhibit.number}]({exhibit.link}) | {exhibit.title} | {kinds} |")
    wrong = [section(name, EXHIBITS[name]) for name in WRONG]
    right = [section(name, EXHIBITS[name]) for name in RIGHT]
    return "\n\n".join([
        head.rstrip(), "\n".join(rows), "## They were wrong", *wrong, "## They look wrong, and are right", *right,
    ]) + "\n"  # fmt: skip


if __name__ == "__main__":
    with time_limit(40.0):
        (DOCS / "museum.md").write_text(page(), encoding="utf-8")
