"""Explain an error that a backward raised before its end, and search the edit with which it runs and is right."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ...common.printable import printable
from ..diagnosis import Diagnosis
from ..edits import Edit
from ..edits.stops import sentences_on
from ..edits.trial import edited
from .mending import kind_of
from .probes import CLOSE, UserPasses, matched
from .running import Passes, Stopped, arguments, run_forward
from .step import Step
from .walk import injected, wrong_steps

Array = np.ndarray[Any, Any]


def stopped_diagnosis(stopped: Stopped, steps: Sequence[Step], called: UserPasses | None) -> Diagnosis:
    """Return the diagnosis of an error that a backward raised; `steps` has the gradients that it computed before."""
    error, statement = stopped
    text = f"The backward stopped here with {type(error).__name__}: {str(error).strip()}."
    one = len(steps) == 1
    judged = (f"The {'one gradient' if one else f'{len(steps)} gradients'} that it had computed before "
              f"{'was' if one else 'were'} judged.")  # fmt: skip
    if any(not step.rule_ok for step in steps):
        kind, sentences = "unknown", ["A step before it is wrong, which may be the cause; mend that first."]
    else:
        kind, sentences = _explained(error, called)
    return Diagnosis(kind, f"line {statement.line}: {statement.text}", printable(" ".join([text, *sentences, judged])))


def add_stop_note(error: Exception, called: UserPasses) -> None:
    """Add to an error of user code, after which there is nothing to judge, what `stopped_diagnosis` says."""
    for sentence in _explained(error, called)[1]:
        error.add_note(printable(f"compare_steps: {sentence}"))


def _explained(error: Exception, called: UserPasses | None) -> tuple[str, list[str]]:
    """Return the kind of mistake, and sentences with the values in the line and with the edit that mends it."""
    if called is None:
        return "unknown", []
    right = "from there on follows its own rule"
    edit, sentences = sentences_on(error, partial(_wrong_with, called), partial(_call_backward, called), right)
    if edit is None:
        return "unknown", sentences
    kind = kind_of(edit.before, edit.after, set(called.inputs.labels))
    return edit.kind if kind == "edit" else kind, sentences


def _wrong_with(called: UserPasses, edit: Edit) -> frozenset[str] | None:
    """Return the names of the steps that are wrong with an edit; None if the backward stops again."""
    with edited(edit, called.backward) as is_possible:
        if not is_possible:
            return None
        try:
            run = _run(called)
        except Exception:  # an edited function may raise anything
            return None
    tape, _, matches, _ = matched(run)
    if run.backward.stopped is not None or not matches:
        return None
    return frozenset(matches[k].gradient.name for k in wrong_steps(injected(tape, matches), matches, CLOSE))


def _run(called: UserPasses) -> Passes:
    """Run both passes, without keeping the run."""
    passes = UserPasses(called.forward, called.backward, called.inputs, called.names, np.random.default_rng(0))
    return passes.at(_leaves(called))


def _call_backward(called: UserPasses) -> Any:
    """Run both passes, the backward without recording what its names are bound to."""
    forward = run_forward(called.forward, called.inputs, _leaves(called))
    args, kwargs = arguments(called.backward, called.inputs, forward, called.draw_cotangents(forward)[1], {})
    return called.backward(*args, **kwargs)


def _leaves(called: UserPasses) -> list[Array]:
    return [called.inputs.leaves[i] for i in called.inputs.float_indices]
