"""Explain an error that a backward raised before its end, and search the edit with which it runs and is right."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ...common.printable import printable
from ..diagnosis import Diagnosis
from ..edits import Edit
from ..edits.mended_stops import Mended, add_notes, mended
from ..edits.trial import edited, is_code_of
from ..user_function import code_of
from .arguments import arguments
from .by_numbers import ArrayRun, wrong_steps_by_numbers
from .mending import kind_of
from .names import Names
from .probes import CLOSE, UserPasses, is_close, matched
from .running import NoGraphError, Stopped, run_forward
from .statements import NOTHING
from .step import Step
from .walk import injected, wrong_steps

Array = np.ndarray[Any, Any]


def mended_stop(stopped: Stopped | None, called: UserPasses | None) -> Mended | None:
    """Return what mends the error that a backward raised; None if it raised none, or if it cannot run again."""
    if stopped is None or called is None:
        return None
    return mended(stopped.error, partial(_wrong_with, called), partial(_call_backward, called))


def stopped_diagnosis(stopped: Stopped, steps: Sequence[Step], found: Mended | None) -> Diagnosis:
    """Return the diagnosis of an error that a backward raised.

    `steps` has the gradients that it computed before, `found` is the result of `mended_stop`.
    """
    error, statement = stopped
    one, kind = len(steps) == 1, "unknown"
    sentences = [f"The backward stopped here with {_told(error)}."]
    if found is not None:
        is_here = found.stop.lineno == statement.line
        there = [f"Here, {found.stop.values}."] if found.stop.values else []
        sentences += there if is_here else [found.stop.sentence]
    if any(not step.rule_ok for step in steps):
        sentences.append("A step before it is wrong, which may be the cause; mend that first.")
    elif found is not None:
        sentences += found.edit_sentences
        kind = "unknown" if found.edit is None else _kind(found.edit)
    sentences.append(f"The {'one gradient' if one else f'{len(steps)} gradients'} that it had computed before "
                     f"{'was' if one else 'were'} judged.")  # fmt: skip
    return Diagnosis(kind, f"line {statement.line}: {statement.text}", printable(" ".join(sentences)))


def _told(error: Exception) -> str:
    """Return the type and the message of an error, without a period."""
    try:
        text = str(error).strip().rstrip(".")
    except Exception:  # of a user's exception
        text = ""
    return f"{type(error).__name__}{': ' * bool(text)}{text}"


def _kind(edit: Edit) -> str:
    """Return the kind of mistake that an edit mends."""
    return edit.kind if edit.kind != "edit" else kind_of(edit.before, edit.after, set())


def add_stop_note(error: Exception, called: UserPasses) -> None:
    """Add notes to an error of user code after which there is nothing to judge."""
    add_notes(error, mended_stop(Stopped(error, NOTHING), called), "compare_steps")


def _wrong_with(called: UserPasses, edit: Edit) -> frozenset[str] | None:
    """Return the names of the steps that are wrong with an edit, () if all inputs are right; None if it stops again."""
    passes = UserPasses(called.forward, called.backward, called.inputs, called.names, np.random.default_rng(0))
    with edited(edit, called.backward) as is_possible:
        if not is_possible or _stops_again(called, edit):
            return None
        try:
            try:
                run = passes.at(_leaves(called))
            except NoGraphError:
                return wrong_steps_by_numbers(passes, _leaves(called))
        except Exception:  # an edited function may raise anything
            return None
    if run.backward.stopped is not None or not run.backward.gradients:
        return None
    tape, right_gradients, matches, _ = matched(run)
    walked = injected(tape, matches)
    leaves = [k for k, m in enumerate(matches) if m.version.node.primitive is None]
    wrong = {k for k in leaves if not is_close(walked.states[k].array, right_gradients[matches[k].version.node])}
    if not leaves:  # with an edit that leaves the loop out, no gradient is left that could be wrong
        return None
    if wrong:  # else a name such as `do` may hold the gradient of another value
        wrong |= wrong_steps(walked, matches, CLOSE)
    names = Names([*run.graph.versions], called.names)
    found = {m.gradient.name for m in matches}
    missing = {name for name in edit.names if names.of(name) is not None and name not in found}  # it holds no array
    return frozenset({matches[k].gradient.name for k in wrong} | missing)


def _stops_again(called: UserPasses, edit: Edit) -> bool:
    """Tell whether a backward with an edit in its own lines raises an error, after the forward that has run."""
    code = code_of(called.backward)
    if not called.runs or code is None or not is_code_of(code, edit):
        return False  # the forward may run an edited helper, and leave other values
    try:
        called.call(called.backward, 0)  # without the record of its names, which takes ten times as long
    except Exception:  # an edited function may raise anything
        return True
    return False


def _call_backward(called: UserPasses) -> Any:
    """Run both passes, the backward without recording what its names are bound to."""
    try:
        forward = run_forward(called.forward, called.inputs, _leaves(called), called.cotangents)
    except NoGraphError:
        forward = ArrayRun(called.forward, called.inputs, _leaves(called), called.cotangents).forward
    args, kwargs = arguments(called.backward, called.inputs, forward, called.draw_cotangents(forward)[1], {})
    return called.backward(*args, **kwargs)


def _leaves(called: UserPasses) -> list[Array]:
    return [called.inputs.leaves[i] for i in called.inputs.float_indices]
