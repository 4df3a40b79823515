"""Check equation numbers: each equation that a page derives ends one line of the code, and vice versa."""

import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
MANUAL = ROOT / "tinygrad_nn" / "manual"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def code() -> list[str]:
    """The source of each module of the equations."""
    return [path.read_text(encoding="utf-8") for path in sorted(MANUAL.glob("*.py"))]


def derived(text: str, letter: str) -> list[int]:
    """The numbers of a chapter's equations, as a page derives them."""
    return [int(number) for number in re.findall(rf"\\tag\{{{letter}(\d+)\}}", text)]


def mismatches(letter: str, text: str, sources: Iterable[str]) -> list[str]:
    """Where the numbers of a chapter on a page, their order, those of the code, and those cited differ."""
    found = derived(text, letter)
    coded = [int(n) for source in sources for n in re.findall(rf"  # \({letter}(\d+)\)$", source, re.M)]
    cited = {int(n) for n in re.findall(rf"\({letter}(\d+)\)", text)}
    wrong = []
    if not found or found != list(range(1, len(found) + 1)):
        wrong.append(f"the page derives {letter} {found}, which is not 1, 2, 3, ...")
    if sorted(coded) != sorted(found):
        wrong.append(f"the page derives {letter} {sorted(found)}, the code has {sorted(coded)}")
    if not cited <= set(found):
        wrong.append(f"the page cites {letter} {sorted(cited - set(found))}, which it does not derive")
    return wrong
