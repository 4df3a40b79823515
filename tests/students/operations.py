"""Backward passes of operations with one mistake: the right one is written out, a mistake is an edit of its text.

An edit is what a person would have written instead: `old` becomes `new`, once. Each mutated function has a source of
its own, which `inspect` finds, and knows the line of the mistake, the arguments whose gradient it spoils (computed from
the right one), and the kinds that a diagnosis may call it. Forwards run on Tensors.
"""

from __future__ import annotations

import inspect
import linecache
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_nn import compare_gradients

Array = Any
Rng = np.random.Generator


class Case(NamedTuple):
    """A backward pass: `mistake` is empty where it is right.

    `inputs(seed)` draws the arguments; `line` and `number` are the wrong line of the backward's source; `kinds` are
    those that a diagnosis may call the mistake, in a string; `operation` is a pattern for the operation of the forward.
    """

    family: str
    name: str
    mistake: str
    f: Callable[..., Any]
    inputs: Callable[[int], tuple[Array, ...]]
    backward: Callable[..., Any]
    line: str = ""
    number: int = 0
    kinds: str = ""
    operation: str = ""

    @property
    def names(self) -> list[str]:
        return list(inspect.signature(self.f).parameters)


class Mistake(NamedTuple):
    """Edits of the text of a backward, the kinds it may be called, and where in the forward it is."""

    edits: Sequence[tuple[str, str]]
    kinds: str
    operation: str


class Operation(NamedTuple):
    family: str
    f: Callable[..., Any]
    draw: Callable[[Rng], tuple[Array, ...]]
    backward: Callable[..., Any]
    mistakes: dict[str, Mistake]


OPERATIONS: dict[str, Operation] = {}


def but(old: str, new: str, kinds: str, operation: str, *more: tuple[str, str]) -> Mistake:
    return Mistake(((old, new), *more), kinds, operation)


def operation(
    family: str, f: Callable[..., Any], draw: Callable[[Rng], tuple[Array, ...]], **mistakes: Mistake
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a right backward pass of f and the edits that spoil it."""

    def enter(backward: Callable[..., Any]) -> Callable[..., Any]:
        OPERATIONS[backward.__name__.removesuffix("_backward")] = Operation(family, f, draw, backward, mistakes)
        return backward

    return enter


def edited(backward: Callable[..., Any], edits: Sequence[tuple[str, str]], label: str) -> tuple[Any, str, int]:
    """Return a backward whose source has been edited, and its first line that is new, with its number."""
    source = inspect.getsource(backward)
    text = was = source[source.index("def ") :]
    for old, new in edits:
        if was.count(old) != 1:
            raise ValueError(f"{label}: {old!r} is there {was.count(old)} times")
        text = text.replace(old, new)
    pairs = zip(was.splitlines(), [*text.splitlines(), ""], strict=False)
    number, line = next((k, b) for k, (a, b) in enumerate(pairs, 1) if a != b)
    file = f"<{label}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {}
    exec(compile(text, file, "exec"), backward.__globals__, space)
    return space[backward.__name__], line.strip(), number


def cases() -> Iterator[Case]:
    """Every operation: right, then with each of its mistakes."""
    from tests.students import operations_of_layers, operations_on_arrays  # noqa: F401 - they enter theirs

    for name, (family, f, draw, backward, mistakes) in OPERATIONS.items():
        inputs = lambda seed, draw=draw: draw(np.random.default_rng(seed))
        yield Case(family, name, "", f, inputs, backward)
        for mistake, (edits, kinds, where) in mistakes.items():
            wrong, line, number = edited(backward, edits, f"{name}: {mistake}")
            yield Case(family, name, mistake.replace("_", " "), f, inputs, wrong, line, number, kinds, where)


def spoiled(case: Case, seed: int = 0) -> list[str]:
    """The arguments whose gradient differs from the right one, or is of another shape."""
    inputs = case.inputs(seed)
    g = cotangent(case, seed)
    right, wrong = (
        results(back, [a.copy() for a in inputs], g) for back in (OPERATIONS[case.name].backward, case.backward)
    )
    return [
        name for name, a, b in zip(case.names, right, wrong, strict=True)
        if np.shape(a) != np.shape(b) or not np.allclose(a, b, rtol=1e-6, atol=1e-9)
    ]  # fmt: skip


def results(backward: Callable[..., Any], inputs: Sequence[Array], g: Array) -> tuple[Array, ...]:
    found = backward(*inputs, g)
    return found if isinstance(found, tuple) else (found,)


def cotangent(case: Case, seed: int) -> Array:
    out = np.asarray(case.f(*case.inputs(seed)))
    return np.random.default_rng(seed + 1000).normal(size=out.shape)


def normal(*shapes: tuple[int, ...], scale: float = 1.0) -> Callable[[Rng], tuple[Array, ...]]:
    return lambda rng: tuple(scale * rng.normal(size=shape) for shape in shapes)


# -- What a report says of a case


class Judged(NamedTuple):
    """Of a wrong one: whether it passed, was named, or at least located; and in words what was said."""

    case: Case
    passed: bool
    named: bool
    located: bool
    said: str


def on_the_line(case: Case, text: str) -> bool:
    """Whether the wrong line is given, by its text or its number."""
    bare = re.sub(r"\s+", "", text)
    return re.sub(r"\s+", "", case.line) in bare or re.search(rf"\blines? {case.number}\b", text, re.I) is not None


def judge(case: Case, report: Any) -> Judged:
    """Named: by a kind that fits, or by a change of the wrong line that makes it right. Located: by that line, or by
    the operation and an argument that it spoils."""
    wrong = [d for d in report.diagnoses if not d.harmless]
    texts = [f"{d.where} {d.text} {' '.join(d.evidence)}" for d in wrong]
    fits = any(set(case.kinds.split()) & {d.kind, *d.alternatives} for d in wrong)
    fixed = any(re.search(r"Line \d+[^:]*: (?:write|remove) ", s) and on_the_line(case, s) for s in texts)
    all_of_it = "\n".join([report.first_wrong or "", *texts])
    where = on_the_line(case, all_of_it) or (
        re.search(case.operation, all_of_it) is not None
        and any(re.search(rf"\b{name}\b", all_of_it) for name in spoiled(case))
    )
    said = "; ".join(f"{d.kind} at {d.where}" for d in report.diagnoses) + f" [{report.first_wrong}]"
    return Judged(case, report.ok, fits or fixed, where, said)


def verdict(case: Case, seed: int = 0) -> tuple[str, str]:
    """Of a wrong one: ``right``, ``named``, ``located``, ``unknown`` or ``raised``, and what was said."""
    try:
        found = judge(case, compare_gradients(case.f, case.inputs(seed), manual=case.backward, rng=seed))
    except Exception as e:  # a report is what was asked for
        return "raised", f"{type(e).__name__}: {e}"
    word = "right" if found.passed else "named" if found.named else "located" if found.located else "unknown"
    return word, found.said


def alarm(case: Case, seed: int) -> str:
    """What is said of a right one: empty if nothing."""
    try:
        report = compare_gradients(case.f, case.inputs(seed), manual=case.backward, rng=seed)
    except Exception as e:  # a report is what was asked for
        return f"{type(e).__name__}: {e}"
    return "" if report.ok and not report.diagnoses else "; ".join(f"{d.kind} at {d.where}" for d in report.diagnoses)
