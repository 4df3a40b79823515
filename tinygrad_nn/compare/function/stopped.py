"""Explain an error that the user's backward raised: where it stopped, and the edit with which it is right."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ...gradcheck.numerical import to_double
from ..conventions.code import Code
from ..conventions.recognize import recognize_code
from ..edits.mended_stops import add_notes, mended
from ..edits.running import copy_value
from ..edits.search import Edit
from ..edits.trial import edited
from ..experiment import nearby
from .inputs_and_results import draw_cotangents
from .lines import Elsewhere, agree, limit_around

Array = np.ndarray[Any, Any]


def add_stop_note(error: Exception, call_args: tuple[Any, Any, Any], compute_right: Elsewhere) -> None:
    """Add notes to an error that user code raised: what its line was made of, and the edit that makes it right.

    Args:
        error: the error.
        call_args: the function, its inputs and the backward as `compare_gradients` was given them.
        compute_right: returns the right gradients at some inputs, and bounds of their errors.
    """
    f, inputs, manual = call_args
    batches: list[_Batch] = []

    def wrong_with(edit: Edit) -> frozenset[str] | None:
        with edited(edit, manual, f) as is_possible:
            if not is_possible:
                return None
            try:
                if not batches:  # code that is forward and backward in one runs with an edit only
                    batches.extend(_batches(recognize_code(f, inputs, manual), compute_right))
                return frozenset().union(*(batch.wrong_labels() for batch in batches))
            except Exception:  # an edited function may raise anything
                return None

    add_notes(error, mended(error, wrong_with, partial(_run, call_args)), "compare_gradients")


def _run(call_args: tuple[Any, Any, Any]) -> Any:
    """Run forward and backward, and return what the backward returns."""
    code = recognize_code(*call_args)
    leaves = _leaves(code)
    _, g, _ = draw_cotangents(code, leaves, code.arrays(leaves), np.random.default_rng(1))
    return code.back(code.inputs, _leaves(code), g)


def _leaves(code: Code) -> list[Array]:
    return [to_double(code.inputs.leaves[i]) for i in code.inputs.float_indices]


def _batches(code: Code, compute_right: Elsewhere) -> list[_Batch]:
    leaves, rng = _leaves(code), np.random.default_rng(0)
    return [_Batch(code, at, compute_right) for at in (leaves, [nearby(x, rng) for x in leaves])]


class _Batch:
    """The code at some inputs, with the right gradients there."""

    def __init__(self, code: Code, leaves: Sequence[Array], compute_right: Elsewhere) -> None:
        self.code, self.leaves = code, [x.copy() for x in leaves]
        outs = code.arrays([x.copy() for x in leaves])
        cotangents, self.g, _ = draw_cotangents(code, [x.copy() for x in leaves], outs, np.random.default_rng(1))
        self.right, self.error = compute_right(code, [x.copy() for x in leaves], cotangents)

    def wrong_labels(self) -> frozenset[str]:
        """Run the backward, and return the inputs whose gradient is wrong."""
        code = self.code
        returned = code.back(code.inputs, [x.copy() for x in self.leaves], copy_value(self.g, {}))
        paired = code.with_pairing(returned)
        gradients = paired.gradients_from(returned)
        right = dict(zip(code.inputs.float_indices, zip(self.right, self.error, strict=True), strict=True))
        wrong = set()
        for i, g in zip(paired.inputs.float_indices, gradients, strict=True):
            value, error = right[i]
            ignored = ~np.isfinite(value)
            if not agree(g, value, limit_around(value, error, ignored), ignored):
                wrong.add(code.inputs.labels[i])
        return frozenset(wrong)
