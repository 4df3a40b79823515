"""The line of the person's own backward that is wrong, beside a diagnosis or instead of one."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..conventions.beside import beside, place_of
from ..conventions.code import Code, same_draws
from ..diagnosis import Diagnosis
from ..source import Edit, line_of_result, nearest_edits
from .calling import call_function
from .question import Found, Question, draw_cotangents

Array = np.ndarray[Any, Any]

SECONDS, LESS = 1.5, 0.6  # of the processor: where nothing else explains the gradient, and where something does
CLOSE = 1e-8  # of the largest entry: in float64 the order of sums moves a gradient by less
OPEN = ("unknown", "scale", "sign")  # kinds that leave open what was written wrong


class Batch(NamedTuple):
    """The code at some inputs, cotangents and right gradients; how far these may be off, and where they say nothing."""

    code: Code
    leaves: list[Array]
    g: Any
    right: list[Array]
    error: list[Array]
    ignored: list[Array]


Elsewhere = Callable[[Code, list[Array], list[Array]], tuple[list[Array], list[Array]]]


def with_lines(
    asked: Question, found: Found, elsewhere: Elsewhere, diagnoses: list[Diagnosis], given: tuple[Any, Any, Any]
) -> list[Diagnosis]:
    """Return the diagnoses with the line that each comes from, and the change of it that makes the gradients right.

    What nothing else explains, and a change does, becomes a diagnosis of its own.

    Args:
        asked, found: the code at its inputs, and what is right there.
        elsewhere: right gradients at other inputs, and how far they may be off.
        diagnoses: what is known without the source.
        given: the function, its inputs and the backward as `compare_gradients` was given them.
    """
    bad = [d for d in diagnoses if not d.harmless and d.kind != "blind_test"]
    road = _road(asked.code, *given) if bad else None
    if road is None:
        return diagnoses
    target, call, finish = road
    batches = [Batch(asked.code, asked.leaves, asked.g, found.right, found.error, found.ignored)]
    batches += _others(asked, elsewhere)

    def right(value: Any, probe: int) -> list[bool]:
        batch = batches[probe]
        return [_agree(*row) for row in zip(asked.code.taken(finish(value)), batch.right, batch.error, batch.ignored,
                                            strict=True)]  # fmt: skip

    seconds = SECONDS if any(d.kind in OPEN for d in bad) else LESS
    sizes = [k for k, b in enumerate(batches) if b.code is not asked.code]
    edits = nearest_edits(target, lambda new, probe: call(new, batches[probe]), right, probes=len(batches),
                          may_fail=sizes, seconds=seconds)  # fmt: skip
    labels = asked.labels
    for edit in edits:
        here = [labels[i] for i in edit.fixes]
        diagnoses = _told(diagnoses, edit, here, {d.where for d in bad} - set(labels) if len(edits) == 1 else set())
    told = {labels[i] for edit in edits for i in edit.fixes}
    return [_pointed(d, target, labels) if d.where in labels and d.where not in told else d for d in diagnoses]


def _agree(mine: Array, right: Array, error: Array, ignored: Array) -> bool:
    if mine.shape != right.shape:
        return False
    size = float(np.abs(right[~ignored]).max(initial=0.0))
    return bool(((np.abs(mine - right) <= error + CLOSE * size) | ignored).all())


def _road(code: Code, f: Any, given: Any, manual: Any) -> Any:
    """Return the function whose lines are looked at, how another is called in its place, and what is done with what
    it returns.
    """
    from ..conventions.read import read

    if callable(manual) and (code.backward is manual or code.backward == manual) and not isinstance(manual, type):
        def call(new: Any, batch: Batch) -> Any:
            return read(f, given, new).back(batch.code.inputs, [x.copy() for x in batch.leaves], batch.g)

        return manual, call, lambda value: value
    if manual is None and code.backward is None and isinstance(f, types.FunctionType):
        def alone(new: Any, batch: Batch) -> Any:
            with same_draws():
                return call_function(new, batch.code.inputs, [x.copy() for x in batch.leaves])

        return f, alone, lambda value: beside(value, place_of(value))
    return None


def _told(diagnoses: list[Diagnosis], edit: Edit, labels: list[str], joint: set[str]) -> list[Diagnosis]:
    """Put an edit into the diagnoses of what it mends: of its inputs, or at an operation that all of them come from."""
    also = (f"the same would come of {' or of '.join(edit.alternatives[:2])}",) if edit.alternatives else ()
    name = edit.names[0] if len(edit.names) == 1 else ""
    place = f"line {edit.lineno}" + (f" ({name})" if name.isidentifier() else "")
    done: list[Diagnosis] = []
    names = ", ".join(labels)
    text = f"{edit.sentence} With that the gradient of {names} is right, here and at other random inputs."
    own = Diagnosis("edit", f"{names}, {place}", text, also)
    for d in diagnoses:
        if d.harmless or d.where not in (*labels, *joint):
            done.append(d)
        elif d.kind == "unknown":
            done.append(replace(own, evidence=(*d.evidence, *also)) if own.where not in [e.where for e in done] else d)
        else:
            where = re.sub(r"operation \d+ of \d+", place, d.where)
            done.append(replace(d, where=where, evidence=(*d.evidence, edit.sentence, *also)))
    explained = [d for d in done if d.kind == "edit"]
    return [d for d in done if not (explained and d.kind == "unknown" and d.where in labels)]


def _pointed(d: Diagnosis, target: Any, labels: list[str]) -> Diagnosis:
    """Add the line that a wrong gradient is assigned in."""
    if d.harmless:
        return d
    line = line_of_result(target, labels.index(d.where), len(labels))
    return d if line is None else replace(d, evidence=(*d.evidence, f"it is assigned in line {line[0]}: {line[1]}"))


def _others(asked: Question, elsewhere: Elsewhere) -> list[Batch]:
    """Return other random inputs, the last with one row less where the code takes them."""
    found = []
    rng = np.random.default_rng(0)
    fewer = _with_fewer_rows(asked.code)
    for code in (asked.code, asked.code, *([fewer] if fewer is not None else [])):
        rows = [np.asarray(code.inputs.leaves[i], dtype=x.dtype) for i, x in zip(code.inputs.moving, asked.leaves,
                                                                                  strict=True)]  # fmt: skip
        leaves = [x * rng.uniform(0.8, 1.2, x.shape) + 0.05 * rng.normal(size=x.shape) for x in rows]
        try:
            outs = code.arrays([x.copy() for x in leaves])
            cotangents, g, _note = draw_cotangents(code, leaves, outs, rng)
            right, error = elsewhere(code, leaves, cotangents)
            code.gradients(leaves, g)
        except Exception:  # whatever a person's code may raise at inputs that it was not made for
            continue
        found.append(Batch(code, leaves, g, right, error, [~np.isfinite(r) for r in right]))
    return found


def _with_fewer_rows(code: Code) -> Code | None:
    """Return the code with one row less in each array that has as many rows as the first."""
    inputs = code.inputs
    lengths = [np.shape(inputs.leaves[i])[0] for i in inputs.moving if np.ndim(inputs.leaves[i]) > 1]
    if not lengths or lengths[0] < 3:
        return None
    rows = lengths[0]
    leaves = [x[: rows - 1] if isinstance(x, np.ndarray) and x.ndim and len(x) == rows else x for x in inputs.leaves]
    return replace(code, inputs=inputs._replace(leaves=leaves))
