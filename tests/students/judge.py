"""Run the comparison on right and wrong solutions of students, and judge what it says.

A case is a file under ``work/``, how it is called, and mistakes: edits of its text. Each file is checked by central
differences of this module first: right as it stands, and wrong after each edit.
"""

from __future__ import annotations

import ast
import linecache
import re
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_nn as tg

Array = Any
Module = Any
WORK = Path(__file__).parent / "work"

# What a mistake is, in words of this folder, and the kinds that say it.
SUMMED = {"broadcast_not_summed", "wrong_axis_sum"}
VALUE = {"wrong_value", "wrong_layer_input", "activation_derivative_at_wrong_value", "wrong_derivative"}
TERM = {"overwritten_not_accumulated", "statistic_as_constant", "not_carried_back", "residual_forgotten",
        "product_rule_half", "detached", "missing_factor"}  # fmt: skip
PLACE = {"wrong_index", "wrong_stride", "wrong_padding", "last_step_only"}
TAGS: dict[str, set[str]] = {
    "factor":        {"scale", "missing_factor", "wrong_derivative"},
    "sign":          {"sign", "wrong_derivative"},
    "ddof":          {"wrong_ddof", "scale"},
    "power":         VALUE,
    "no sum":        SUMMED,
    "extra sum":     SUMMED,
    "no keepdims":   SUMMED,
    "no broadcast":  SUMMED,
    "axis":          SUMMED | {"wrong_axis"},
    "transpose":     {"transpose", "wrong_order"},
    "no derivative": {"missing_activation_derivative", "missing_factor", "mask_missing", "wrong_derivative"},
    "derivative at": VALUE | {"ties"},
    "no cotangent":  {"cotangent_ignored", "missing_factor"},
    "operand":       VALUE | {"wrong_gate"},
    "extra factor":  VALUE,
    "overwritten":   {"overwritten_not_accumulated", "last_step_only"},
    "no term":       TERM,
    "extra term":    {"extra_penalty", "accumulated_over_calls"},
    "rows":          {"overwritten_not_accumulated", "wrong_index"},
    "index":         PLACE,
    "last only":     PLACE | {"broadcast_not_summed", "overwritten_not_accumulated"},
    "order":         {"wrong_order", "wrong_gate", "flipped_kernel", "transpose", "wrong_index"},
    "no reshape":    {"wrong_padding", "transpose"},
    "penalty":       {"missing_penalty", "wrong_penalty", "extra_penalty"},
    "mask":          {"dropout_mask_missing", "dropout_mask_stale", "mask_missing", "missing_factor", "wrong_value"},
    "mask scale":    {"dropout_scale_missing", "scale", "missing_factor"},
    "softmax":       {"softmax_diagonal_only", "wrong_loss_gradient", "missing_activation_derivative"},
    "loss":          {"wrong_loss_gradient"},
}  # fmt: skip


class Call(NamedTuple):
    """One call of a piece of work.

    Attributes:
        arguments: of the comparison.
        arrays: to differentiate, by name; they are the very arrays that the work is given.
        value: runs the forward pass anew.
        gradients: the student's, by name, of (g * value).sum().
        manual: the argument of that name.
        given: the names of the arrays that are inputs of an object, and not its parameters.
    """

    arguments: tuple[Any, ...]
    arrays: dict[str, Array]
    value: Callable[[], Array]
    gradients: Callable[[Array], dict[str, Array]]
    manual: Any = None
    given: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mistake:
    """An edit: `old` stands once in the edited function; `tag` says what it is, `kinds` what else may be said of it."""

    old: str
    new: str
    tag: str
    kinds: frozenset[str] = frozenset()
    step: str = ""
    where: str = ""


@dataclass(frozen=True)
class Case:
    """A piece of work, how it is called, and the mistakes that may be made in the function that is edited."""

    family: str
    name: str
    work: str
    edited: str
    call: Callable[[Module, int], Call]
    mistakes: tuple[Mistake, ...] = ()
    way: str = "compare_gradients"


class Verdict(NamedTuple):
    """What the report made of it (``right``, ``named``, ``mended`` by an edit, ``located`` ...), and its words."""

    word: str
    said: str
    report: Any = None
    first: bool = True


@cache
def text_of(work: str) -> str:
    return (WORK / f"{work}.py").read_text()


@cache
def span(work: str, edited: str) -> tuple[int, int]:
    """First and last line of a function or a method of a class."""
    body: list[ast.stmt] = ast.parse(text_of(work)).body
    for name in edited.split("."):
        node = next(n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name)
        body = node.body
    return node.lineno, node.end_lineno or node.lineno


def edit(case: Case, mistake: Mistake) -> tuple[str, range]:
    """The text of the file after a mistake, and the lines that it is on; those beside it if a line is gone."""
    lines = text_of(case.work).splitlines(keepends=True)
    start, end = span(case.work, mistake.where or case.edited)
    part = "".join(lines[start - 1 : end])
    if part.count(mistake.old) != 1:
        raise ValueError(f"{case.name}: {mistake.old!r} stands {part.count(mistake.old)} times")
    before = part[: part.index(mistake.old)]
    first = start + before.count("\n")
    until = first + max(mistake.new.rstrip("\n").count("\n"), 0)
    if not mistake.new.strip():  # a line is gone: the one before it and the next are as near
        first, until = first - 1, first
    text = "".join(lines[: start - 1]) + part.replace(mistake.old, mistake.new) + "".join(lines[end:])
    return text, range(first, until + 1)


@contextmanager
def loaded(text: str, name: str) -> Iterator[Module]:
    """A module of this text, whose source is found."""
    import sys

    file = f"{name}.py"
    module = types.ModuleType(name)
    module.__file__ = file
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[name] = module
    try:
        exec(compile(text, file, "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules[name], linecache.cache[file]


def slope(call: Call, g: Array, a: Array, v: Array) -> float:
    """The change of (g * value).sum() along v, by central differences."""
    kept, h, ends = a.copy(), 1e-5, []  # an error of order h^2, and 1e-16 / h
    for step in (h, -h):
        a[...] = kept + step * v
        ends.append(float((g * call.value()).sum()))
    a[...] = kept
    return (ends[0] - ends[1]) / (2 * h)


def wrong_arrays(call: Call, seed: int) -> list[str]:
    """The arrays whose gradient is wrong along two random directions, or that have another shape."""
    rng = np.random.default_rng(seed + 10**6)
    out = np.asarray(call.value())
    g = rng.normal(size=out.shape) if out.ndim else np.ones(())
    with np.errstate(all="ignore"):
        said = {name: np.array(a) for name, a in call.gradients(g).items()}
    wrong = []
    for name, a in call.arrays.items():
        right = name in said and said[name].shape == a.shape
        for _ in range(2 * right):
            v = rng.normal(size=a.shape)
            known, given = slope(call, g, a, v), float((said[name] * v).sum())
            right = right and abs(known - given) <= 1e-5 * (abs(known) + np.linalg.norm(said[name])) + 1e-8
        if not right:
            wrong.append(name)
    return wrong


def compare(case: Case, call: Call, seed: int = 0) -> Any:
    if case.way == "compare_steps":
        return tg.compare_steps(*call.arguments)
    with np.errstate(all="ignore"):
        return tg.compare_gradients(*call.arguments, manual=call.manual, rng=seed)


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def words(report: Any) -> str:
    lines = [f"[{d.kind}] {d.where}: {d.text} {' '.join(d.evidence)}" for d in report.diagnoses if not d.harmless]
    return f"{report.first_wrong} | " + " || ".join(lines)


def judge(case: Case, mistake: Mistake, seed: int = 0) -> Verdict:
    """What the comparison says of a mistake.

    It is named if a diagnosis has a kind that says it, at an array whose gradient is wrong, at the line of the mistake,
    or at an operation of the forward pass (where the same mistake was shown to give the same numbers).
    """
    text, lines = edit(case, mistake)
    with loaded(text, f"student_{case.work}") as module:
        wrong = wrong_arrays(case.call(module, seed), seed)
        call = case.call(module, seed)
        try:
            report = compare(case, call, seed)
        except Exception as e:  # a report is what was asked for
            return Verdict("raised", f"{type(e).__name__}: {e}")
    said = words(report)
    if report.ok:
        return Verdict("right", said, report)
    blamed = [d for d in report.diagnoses if not d.harmless]
    kinds = TAGS[mistake.tag] | mistake.kinds
    first = next((step.name for step in getattr(report, "steps", ()) if not step.rule_ok), "")
    right_step = not mistake.step or first == mistake.step
    near = bool(mistake.step and right_step) or located(report, mistake, text.splitlines(), lines)
    names = [mistake.step] if mistake.step else wrong
    names += [f"params[{k}]" for k, name in enumerate(n for n in call.arrays if n not in call.given) if name in wrong]
    for d in blamed:
        heard = f"{d.where} {d.text}"
        place = near or " in `" in d.where or "whole backward" in d.where
        place = place or any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", heard) for name in names)
        if kinds & {d.kind, *d.alternatives} and place:
            return Verdict("named", said, report, right_step)
    if near and any(d.kind == "edit" for d in blamed):
        return Verdict("mended", said, report, right_step)
    return Verdict("located" if near else "unknown", said, report, right_step)


def located(report: Any, mistake: Mistake, text: list[str], lines: range) -> bool:
    """Whether the line of the mistake is given: by its number, its text, or the text that it should have."""
    if any(int(n) in lines for n in re.findall(r"\blines? (\d+)", str(report.first_wrong))):
        return True
    for d in report.diagnoses:
        said = f"{d.where} {d.text} {' '.join(d.evidence)}"
        if any(int(n) in lines for n in re.findall(r"\blines? (\d+)", said)):
            return True
        near = [squeeze(text[n - 1]) for n in lines if n <= len(text)] + [squeeze(o) for o in mistake.old.split("\n")]
        if any(len(line) > 6 and line in squeeze(said) for line in near):
            return True
    return False


def alarm(case: Case, seed: int) -> str:
    """What is said of the right work with the inputs of a seed: empty if nothing."""
    with loaded(text_of(case.work), f"student_{case.work}") as module:
        try:
            report = compare(case, case.call(module, seed), seed)
        except Exception as e:  # a report is what was asked for
            return f"{type(e).__name__}: {e}"
    return "" if report.ok else words(report)
