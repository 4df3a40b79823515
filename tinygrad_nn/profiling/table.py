"""Print a profile as text tables of 80 columns."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ..common.columns import pad, text_columns, truncate
from ..common.printable import counted, printable
from ..graph.summary import bytes_text

if TYPE_CHECKING:
    from .result import Profile, Sum

WIDTH = 80
ROWS = 10  # at most, in one table
NAME = 20
BUSY = 1.5  # a third quartile of so many times the first one shows that the machine has other work
LEGEND = (
    "floor: the least time on this machine, bytes / bandwidth or arithmetic / peak.",
    "bytes: read and written. new: bytes of new arrays and of temporary memory.",
)
LONGER = (
    "Whole calls took longer than their parts: other programs interrupted them, or Python collected garbage. The times "
    "below leave that out."
)
UNCOMPILED = (
    "This function is compiled. Here it ran without compilation, one operation at a time, which takes longer than a "
    "compiled call."
)
NOTHING = (
    "No operation on a Tensor ran in this thread, and a profile sees no others. Pass Tensors, "
    "profile(loss, Tensor(x)), or profile a function that computes gradients."
)
HEADS = {"forward": 8, "back": 8, "share": 6, "floor": 8, "bytes": 8, "new": 8, "arrays": 7}  # columns and their widths


def table(profile: Profile) -> str:
    """Return a profile as tables of at most 80 columns: its parts, kinds of operations, layers, lines, compiling."""
    runs = f"{profile.runs} call{'s' if profile.runs > 1 else ''}"
    (low, high), seconds = profile.quartiles, profile.seconds
    near = low <= seconds <= high or time_text(seconds) in (time_text(low), time_text(high))
    told = f": {time_text(seconds)} a call ({runs}, half of them in {time_text(low)} to {time_text(high)})"
    if not near and profile.runs > 1:
        told = f": {time_text(seconds)} a call by its parts, {time_text(low)} to {time_text(high)} in half of {runs}"
    lines = [truncate(profile.name, WIDTH - len(told)) + told]
    if low > BUSY * seconds:
        lines += wrap(LONGER, WIDTH)
    elif high > BUSY * low or seconds > BUSY * high:
        lines += wrap("The calls vary a lot: something else may be running on this machine.", WIDTH)
    if profile.was_compiled:
        lines += wrap(UNCOMPILED, WIDTH)
    if profile.other:
        calls = f"{profile.other} of the {profile.runs} calls"
        lines += wrap(f"{calls} ran other operations and are not counted below.", WIDTH)
    lines += ["", *_parts(profile)]
    if not profile.operations:
        return "\n".join([*lines, "", *wrap(NOTHING, WIDTH)])
    lines += ["", *_sums("operation", profile.by("operation"), profile), *LEGEND]
    layers = profile.by("scope")
    if any(one.name != "elsewhere" for one in layers):
        lines += ["", *_sums("layer", layers, profile)]
    lines += ["", *_sums("line", profile.by("line"), profile, _line_reader(profile))]
    if profile.compiling:
        lines += ["", *_compiling(profile)]
    for sentence in profile.advice:
        lines += ["", *wrap(f"* {sentence}", WIDTH, subsequent_indent="  ")]
    return "\n".join(line.rstrip() for line in lines)


def _parts(profile: Profile) -> list[str]:
    rows = [f"{'part of a call':<44}{'time':>10}{'share':>9}"]
    rows += [
        f"{name:<44}{time_text(part):>10}{percent(part, profile.seconds):>9}" for name, part in profile.parts.items()
    ]
    return rows


def _sums(
    heading: str, sums: Sequence[Sum], profile: Profile, code: Callable[[str], str] = lambda name: ""
) -> list[str]:
    """Return the rows of a table of sums, the longest first; all that do not fit are summed in one row."""
    shown, rest = sums[:ROWS], sums[ROWS:]
    head = f"{heading:<{NAME}}{'calls':>6}" + "".join(f"{name:>{width}}" for name, width in HEADS.items())
    rows = [head]
    for one in shown:
        rows.append(_row(one.name, one, profile))
        if text := code(one.name):
            rows.append(truncate(f"    {text}", WIDTH))
    if rest:
        parts = ("calls", "forward", "back", "floor", "bytes", "allocated", "arrays", "temporary", "flops")
        summed: Any = {part: sum(getattr(one, part) for one in rest) for part in parts}
        rows.append(_row(f"{len(rest)} more", replace(rest[0], **summed), profile))
    return rows


def _row(name: str, total: Sum, profile: Profile) -> str:
    cells = (
        time_text(total.forward), time_text(total.back), percent(total.seconds, profile.seconds),
        time_text(total.floor), bytes_text(total.bytes), bytes_text(total.new), str(total.arrays),
    )  # fmt: skip
    short = f"…{truncate(name[::-1], NAME - 1, '')[::-1]}" if text_columns(name) > NAME and "." in name else name
    return f"{pad(truncate(short, NAME), NAME)}{total.calls:>6}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(cells, HEADS.values(), strict=True)
    )


def _line_reader(profile: Profile) -> Callable[[str], str]:
    """Return a function that returns the source code of a line by its short name, such as ``train.py:12``."""
    lines = {group_name(one.line): one.line for one in profile.operations if one.line is not None}
    return lambda name: printable(linecache.getline(*lines[name]).strip()) if name in lines else ""


def _compiling(profile: Profile) -> list[str]:
    rows = [f"{'compiled with':<30}{'now':>10}{'compiled':>10}{'share':>8}{'first call':>12}"]
    for one in profile.compiling:
        first = "estimated" if one.first is None else time_text(one.first)
        name = f"{one.backend}: {one.part}" if one.part else one.backend
        rows.append(
            f"{name:<30}{time_text(one.before):>10}{time_text(one.seconds):>10}{percent(one.share, 1):>8}{first:>12}"
        )
    for why in dict.fromkeys(one.why for one in profile.compiling if one.why):
        rows += wrap(f"The call itself was not compiled: {why.rstrip('.')}.", WIDTH)
    if profile.untried and not profile.compiling[0].estimated:
        count = f"{counted(len(profile.operations), 'operation')} and rules"
        untried = " and ".join(profile.untried)
        rows += wrap(f"{untried} would take long to compile {count}; compile=True does it.", WIDTH)
    return rows


def group_name(key: Any) -> str:
    """Return the name of a group of operations in a table: its name, or file name and line."""
    if key is None:
        return "elsewhere"
    if isinstance(key, tuple):
        file, line = key
        return f"{printable(file.replace(chr(92), '/').rpartition('/')[2])}:{line}"
    return printable(key)


def time_text(value: float) -> str:
    """Return a time as short text.

    Example:
        >>> time_text(0), time_text(1.234e-5), time_text(0.25), time_text(123.4)
        ('0', '12.3 µs', '250 ms', '123 s')
    """
    if value < 5e-10:
        return "0"
    if value < 9.995e-7:
        return f"{value * 1e9:.0f} ns"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size * 0.9995:
            return f"{_three_digits(value / size)} {unit}"
    return f"{_three_digits(value * 1e6)} µs"


def _three_digits(value: float) -> str:
    """Return a number with three digits, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(part: float, total: float) -> str:
    """Return a share as text in percent."""
    return f"{100 * part / total:.0f} %" if total else ""

