"""Turn a profile into sentences of advice: what is slow, and which edit of the user's code makes it faster."""

from __future__ import annotations

from collections.abc import Iterator

from ..graph.summary import bytes_text
from .result import AROUND, Operation, Profile, total
from .table import group_name, percent, time_text

MUCH, QUARTER, SOME = 0.5, 0.25, 0.1  # shares of a call's time from which on advice is given
FAR, NEAR = 4.0, 1.5  # an operation is slow from FAR times its floor, and at its floor up to NEAR times
CALL, SHORT = 5e-6, 5e-5  # seconds that the call of an operation itself may take, and the calls around a short step
SMALL, OFTEN = 4096, 20  # advise against a loop if a line runs OFTEN times on arrays of at most SMALL bytes
COPIES = frozenset({"copy", "reshape", "transpose", "swapaxes", "rearrange", "concatenate", "stack", "cast"})


def advice(profile: Profile) -> tuple[str, ...]:
    """Return sentences that say what takes time and name the edit; an empty tuple if there is nothing to advise."""
    said = (_python, _around, _mixed, _copies, _parts_of_arrays, _loops, _slow, _at_the_floor)
    return tuple(sentence for say in said for sentence in say(profile))


def _python(profile: Profile) -> Iterator[str]:
    part = percent(profile.python, profile.seconds)
    measured = [one for one in profile.compiling if not one.estimated]
    least = min((one.share for one in measured), default=0.0)
    near = [one for one in measured if one.share <= (1 + SOME) * least]
    best = min(near, key=lambda one: one.first or 0.0, default=None)  # numba compiles for seconds
    pure = "write the step as a function of its parameters and data and compile that, or pass compile=True to fit."
    if profile.was_compiled or any(one.kind == "compiled" for one in profile.operations):
        return
    if best is not None and best.share < 1 - SOME:
        why = f"Python costs {part} of this call: c" if profile.python >= SOME * profile.seconds else "C"
        first = f"the first call takes {time_text(best.first or 0)}"
        if best.part:
            yield (
                f"{why}ompiled with {best.backend}, {best.part} take {percent(best.share, 1)} of the time now "
                f"({first}). "
                f"For that {pure}"
            )
        else:
            yield (
                f"{why}ompile it, tinygrad_nn.compile(step, backend={best.backend!r}), and a call takes "
                f"{percent(best.share, 1)} of the time now; {first}."
            )
    elif best is not None and profile.python >= MUCH * profile.seconds:
        yield f"Python costs {part} of this call, and compiling saves little of it."
    elif best is None and profile.python >= QUARTER * profile.seconds:
        left = time_text(sum(one.seconds for one in profile.operations))
        yield f"Python costs {part} of this call. Compiled it would take about the {left} of its operations: {pure}"


def _around(profile: Profile) -> Iterator[str]:
    around = profile.parts.get(AROUND, 0.0)
    if profile.operations and not profile.was_compiled and around >= max(QUARTER * profile.seconds, SHORT):
        yield (
            f"{percent(around, profile.seconds)} of this call is outside of operations on Tensors, such as making "
            "batches, "
            "clipping, the search of an optimizer or your own NumPy code: move what is the same in each step before "
            "the loop."
        )


def _mixed(profile: Profile) -> Iterator[str]:
    mixed = [one for one in profile.operations if one.mixed and one.kind == "forward"]
    if mixed and total("", profile.operations).forward:
        place = f", the first at {group_name(mixed[0].line)}" if mixed[0].line else ""
        many = len(mixed) > 1
        what = f"{len(mixed)} operations mix" if many else f"One operation, {mixed[0].name}, mixes"
        does = "compute" if many else "computes"
        yield f"{what} floats of two dtypes and {does} in the larger{place}: make data and parameters one dtype."


def _copies(profile: Profile) -> Iterator[str]:
    for name in sorted(COPIES):
        copies = [one for one in profile.operations if one.name == name and one.kind == "forward" and one.allocated]
        taken = sum(one.seconds for one in copies)
        if len(copies) and taken >= SOME * profile.seconds:
            size = bytes_text(sum(one.allocated for one in copies))
            count = f"The {len(copies)} new arrays" if len(copies) > 1 else "The new array"
            edit = {
                "cast": "store the data in that dtype once",
                "copy": "leave the copy out, since a Tensor is never written into",
                "concatenate": "make the array once and take slices of it, which are views",
                "stack": "make the array once and take its rows, which are views",
            }.get(name, "keep the array in the order in which it is used, then no copy is made")  # fmt: skip
            yield f"{count} of {name} ({size}) take {percent(taken, profile.seconds)} of this call: {edit}."


def _parts_of_arrays(profile: Profile) -> Iterator[str]:
    back = [one for one in profile.operations if one.name == "getitem" and one.kind == "back" and one.allocated]
    taken = sum(one.seconds for one in back)
    if len(back) >= OFTEN and taken >= SOME * profile.seconds:
        size = bytes_text(sum(one.allocated for one in back))
        yield (
            f"The {len(back)} gradients of t[...] take {percent(taken, profile.seconds)} of this call, each an array "
            f"as large as the whole of t ({size} in all): write the operations over all rows at once."
        )


def _loops(profile: Profile) -> Iterator[str]:
    lines: dict[tuple[str, int], list[Operation]] = {}
    if profile.was_compiled:
        return
    for one in profile.operations:
        if one.line is not None and one.kind == "forward":
            lines.setdefault(one.line, []).append(one)
    for line, ran in sorted(lines.items(), key=lambda item: -len(item[1])):
        names = {one.name for one in ran}
        times = min(sum(one.name == name for one in ran) for name in names)
        small = max(one.written for one in ran)
        if times >= OFTEN and small <= SMALL and profile.python >= MUCH * profile.seconds:
            yield (
                f"{group_name(line)} runs {times} times on arrays of at most {bytes_text(small)}, where an "
                "operation is mostly "
                "the call of it: put these arrays into one and write the operation once, or compile the step."
            )
            return


def _slow(profile: Profile) -> Iterator[str]:
    for one in profile.by("operation"):
        same = [op for op in profile.operations if op.name == one.name]
        long = one.seconds - CALL * len(same)
        if one.seconds < SOME * profile.seconds or long < FAR * one.floor or not one.floor:
            continue
        large = max(op.bytes for op in same)
        edit = EDITS.get(one.name)
        if edit is not None and large > SMALL:
            times = f"{one.seconds / one.floor:.0f} times its floor"
            yield f"{one.name} takes {percent(one.seconds, profile.seconds)} of this call, {times}: {edit}."


EDITS = {
    "power": "NumPy raises to most powers by logarithms; write x * x, x * x * x or np.sqrt(x) where it is one of these",
    "einsum": "pass optimize=True, or write the sum as a product of matrices, x @ y, which BLAS computes",
    "at_add": "additions at equal places go one by one; sort the places, or sum them by np.add.reduceat",
}


def _at_the_floor(profile: Profile) -> Iterator[str]:
    for one in profile.by("operation"):
        if one.seconds < MUCH * profile.seconds:
            return
        if one.floor and one.seconds <= NEAR * one.floor:
            double = any(op.dtype == "float64" for op in profile.operations if op.name == one.name)
            edit = "float32 halves it" if double else "only less work makes it faster"
            share = percent(one.seconds, profile.seconds)
            yield f"{one.name} takes {share} of this call, and is near its floor: {edit}."
