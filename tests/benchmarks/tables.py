"""Tables of 80 columns: median, quartiles, and the ratio to each other program in the same turn."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from .measure import Sample
from .runner import Found

BASES = {
    "NumPy by hand": "NumPy", "torch": "torch", "torch.compile": "t.comp", "jax.jit": "jax", "jax.grad": "jax",
    "MyGrad": "MyGrad", "HIPS autograd": "autogr",
}  # fmt: skip


def short(x: float) -> str:
    """Return a number with three digits, at most six characters.

    Example:
        >>> [short(x) for x in (0.01234, 1.2345, 12.345, 1234.5)]
        ['0.012', '1.23', '12.3', '1234']
    """
    if x != x:
        return "-"
    return f"{x:.3f}" if x < 1 else f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def over(sample: Sample | None, base: Sample | None) -> float:
    """Return the median ratio of the same turns."""
    if sample is None or base is None:
        return float("nan")
    return median(a / b for a, b in zip(sample.seconds, base.seconds, strict=False))


def table(found: Mapping[str, Found], per: float = 1.0, bases: Mapping[str, str] = BASES) -> str:
    """Return a row for each program: time for each of `per` things, and its ratios to the bases."""
    bases = {name: title for name, title in bases.items() if name in found}
    usual = median([one.sample.median for one in found.values() if one.sample] or [0.0]) / per
    unit, name = (1e3, "ms") if usual > 0.02 else (1e6, "µs")
    ratios = "".join(f"{title:>7}" for title in bases.values())
    lines = [f"{'':16}{name:>8}{'quartiles':>14}{ratios}"]
    for key, one in found.items():
        if one.sample is None:
            lines.append(f"{key:16}  {one.problem}"[:80])
            continue
        low, high = (short(x * unit / per) for x in one.sample.spread)
        columns = "".join(f"{short(over(one.sample, found[base].sample)):>7}" for base in bases)
        lines.append(f"{key:16}{short(one.sample.median * unit / per):>8}{f' {low}-{high}':>14}{columns}")
    return "\n".join(lines)


def grid(rows: Mapping[str, Mapping[str, float | str]], titles: list[str], width: int = 9) -> str:
    """Return rows by name with a column for each title."""
    lines = [f"{'':16}" + "".join(f"{title:>{width}}" for title in titles)]
    for key, row in rows.items():
        cells = (row.get(title, float("nan")) for title in titles)
        texts = (cell if isinstance(cell, str) else short(cell) for cell in cells)
        lines.append(f"{key:16}" + "".join(f"{text:>{width}}" for text in texts))
    return "\n".join(lines)
