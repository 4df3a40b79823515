"""Find the wrong line of the user's backward of a model, and the smallest change that makes the gradients right."""

from __future__ import annotations

import re
import types
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..diagnosis import Diagnosis
from ..edits import Edit, nearest_edits
from ..experiment import Experiment, Manual, copy_layers, users_gradients

Array = np.ndarray[Any, Any]

SECONDS, LESS = 1.5, 0.6  # processor time of the search: if nothing else explains a gradient, and if something does
CLOSE = 1e-8  # of the largest entry: in float64, another order of summation changes a gradient by less


def with_source_lines(diagnoses: Sequence[Diagnosis], manual: Manual, cases: Sequence[Experiment]) -> list[Diagnosis]:
    """Return the diagnoses, with the change of a line that makes gradients right in all experiments added to one."""
    bad = [d for d in diagnoses if not d.harmless and d.kind != "blind_test"]
    moving = any(d.kind in ("nondeterministic", "accumulated_over_calls", "inplace_overwrite") for d in bad)
    if not bad or moving or not isinstance(manual, types.FunctionType):
        return list(diagnoses)
    tests = [case for case in cases if case.dtype == np.float64]
    if not tests or not tests[0].is_user_batch:
        return list(diagnoses)

    def call(f: Any, probe: int) -> Any:
        case = tests[probe]
        return f(copy_layers(case.model), case.cache(), case.y.astype(case.dtype), solver=case.solver)

    def right(value: Any, probe: int) -> list[bool]:
        case = tests[probe]
        answer = users_gradients(value, case.b)
        both = zip(answer.dW, answer.db, case.right.dW, case.right.db, strict=True)
        return [_close(*pair) for dW, db, W, b in both for pair in ((dW, W), (db, b))]

    unknown = any(d.kind in ("unknown", "scale", "sign") for d in bad)
    edits = nearest_edits(manual, call, right, probes=len(tests), seconds=SECONDS if unknown else LESS)
    found = list(diagnoses)
    for edit in edits:
        at = _diagnosis_index(found, edit)
        if at is not None:
            found[at] = _add_edit(found[at], edit)
    return found


def _diagnosis_index(diagnoses: Sequence[Diagnosis], edit: Edit) -> int | None:
    """Return the index of the diagnosis that a change belongs to: of the layer nearest the loss that it makes right."""
    layers = sorted({i // 2 + 1 for i in edit.fixes}, reverse=True)
    for layer in layers:
        for at, d in enumerate(diagnoses):
            if not d.harmless and re.match(rf"layer {layer}\b", d.where):
                return at
    return next((at for at, d in enumerate(diagnoses) if not d.harmless), None)


def _add_edit(d: Diagnosis, edit: Edit) -> Diagnosis:
    also = (f"the same would come from {' or from '.join(edit.alternatives[:2])}",) if edit.alternatives else ()
    if d.kind != "unknown" or "NaN" in d.text:  # the source of a NaN says more than its line
        return replace(d, evidence=(*d.evidence, edit.sentence, *also))
    text = f"{edit.sentence} With this change, the gradients are right, here and at other random inputs."
    return replace(d, kind=edit.kind, text=text, evidence=(d.text, *d.evidence, *also), alternatives=edit.kinds)


def _close(mine: Array, right: Array) -> bool:
    size = max(float(np.abs(right).max(initial=0.0)), 1e-300)
    return mine.shape == right.shape and bool((np.abs(mine - right) <= CLOSE * size).all())
