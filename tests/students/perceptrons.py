"""Wrong backward passes of perceptrons, those of `tests/wrong_backward.py`, with other inputs than the tests take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.wrong_backward import HELD_OUT, TABLE, Mistake, Student, mistakes
from tinygrad_nn import compare_gradients

OTHER = 10**6  # added to the seed of each


def every(seeds: int) -> Iterator[Mistake]:
    """All mistakes, each with so many inputs."""
    for mistake in (*mistakes(TABLE, seeds), *mistakes(HELD_OUT, seeds)):
        yield replace(mistake, seed=mistake.seed + OTHER)


def verdict(mistake: Mistake) -> tuple[str, str]:
    """``right``, ``named``, ``located`` (its layer, by another kind), ``unknown`` or ``raised``, and what was said.

    A mistake that no kind is made for, of which ``unknown`` is expected, is located at best.
    """
    model, x, y, solver = mistake.setting.build(mistake.seed)
    try:
        report = compare_gradients(model, x, y, solver=solver, manual=mistake.make(mistake.at))
    except Exception as e:  # a report is what was asked for
        return "raised", f"{type(e).__name__}: {e}"
    said = "; ".join(f"{d.kind} at {d.where}" for d in report.diagnoses)
    if report.ok:
        return "right", said
    if mistake.kind != "unknown" and any(mistake.kind in (d.kind, *d.alternatives) for d in report.diagnoses):
        return "named", said
    near = report.first_wrong == f"layer {mistake.at % len(model) + 1}"
    return "located" if near else "unknown", said


def alarm(mistake: Mistake) -> str:
    """What is said of the right backward with the same network and inputs: empty if nothing."""
    model, x, y, solver = mistake.setting.build(mistake.seed)
    report = compare_gradients(model, x, y, solver=solver, manual=Student())
    return "" if report.ok else "; ".join(f"{d.kind} at {d.where}" for d in report.diagnoses)
