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
    is_unsteady = any(d.kind in ("nondeterministic", "accumulated_over_calls", "inplace_overwrite") for d in bad)
    if not bad or is_unsteady or not isinstance(manual, types.FunctionType):
        return list(diagnoses)
    float64_cases = [case for case in cases if case.dtype == np.float64]
    if not float64_cases or not float64_cases[0].is_user_batch:
        return list(diagnoses)

    def call(f: Any, probe: int) -> Any:
        case = float64_cases[probe]
        return f(copy_layers(case.model), case.cache(), case.y.astype(case.dtype), solver=case.solver)

    def are_right(value: Any, probe: int) -> list[bool]:
        case = float64_cases[probe]
        answer = users_gradients(value, case.b)
        both = zip(answer.dW, answer.db, case.right.dW, case.right.db, strict=True)
        return [_agree(*pair) for dW, db, W, b in both for pair in ((dW, W), (db, b))]

    unknown = any(d.kind in ("unknown", "scale", "sign") for d in bad)
    edits = nearest_edits(manual, call, are_right, probes=len(float64_cases), seconds=SECONDS if unknown else LESS)
    new_diagnoses = list(diagnoses)
    for edit in edits:
        index = _diagnosis_index(new_diagnoses, edit)
        if index is not None:
            new_diagnoses[index] = _add_edit(new_diagnoses[index], edit)
    return new_diagnoses


def _diagnosis_index(diagnoses: Sequence[Diagnosis], edit: Edit) -> int | None:
    """Return the index of the diagnosis that a change belongs to: of the layer nearest the loss that it makes right."""
    layers = sorted({i // 2 + 1 for i in edit.fixes}, reverse=True)
    for layer in layers:
        for index, d in enumerate(diagnoses):
            if not d.harmless and re.match(rf"layer {layer}\b", d.where):
                return index
    return next((index for index, d in enumerate(diagnoses) if not d.harmless), None)


def _add_edit(d: Diagnosis, edit: Edit) -> Diagnosis:
    if d.kind != "unknown" or "NaN" in d.text:  # the source of a NaN says more than its line
        return replace(d, evidence=(*d.evidence, edit.sentence, *edit.alternatives_note))
    text = f"{edit.sentence} With this change, the gradients are right, here and at other random inputs."
    return replace(
        d, kind=edit.kind, text=text, evidence=(d.text, *d.evidence, *edit.alternatives_note), alternatives=edit.kinds
    )


def _agree(user_gradient: Array, right_gradient: Array) -> bool:
    allowed = CLOSE * max(float(np.abs(right_gradient).max(initial=0.0)), 1e-300)
    is_same_shape = user_gradient.shape == right_gradient.shape
    return is_same_shape and bool((np.abs(user_gradient - right_gradient) <= allowed).all())
