"""Why a person's gradient of any function is wrong: which operation of its graph, with which mistake, gives it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...primitive import sum_to
from ..diagnosis import Diagnosis, Row
from ..factors import Factor, name_factor
from ..numerical.noise import is_single
from ..paths import Mutant, Traced, gradients, mutants
from ..pattern import describe, fraction
from .calling import Inputs

Array = np.ndarray[Any, Any]
Probe = tuple[list[Array], Traced, list[Array]]

CLOSE = 1e-7
SINGLE = float(np.finfo(np.float32).eps)


class Look(NamedTuple):
    """What there is to look at: inputs, a person's gradients, the right ones, the graph, answers at other inputs."""

    inputs: Inputs
    mine: list[Array]
    right: list[Array]
    rounding: list[Array]
    bads: list[Array]
    trace: Traced
    leaves: list[Array]
    probes: list[Probe]
    close: float = CLOSE  # relative error within which two gradients are taken to be one

    def label(self, i: int) -> str:
        """Return the name of an input."""
        return self.inputs.labels[self.inputs.moving[i]]

    @property
    def single(self) -> bool:
        """Whether the person's arrays are float32."""
        return any(m.dtype.itemsize < 8 for m in self.mine)


def explain_graph(look: Look, rows: Sequence[Row], in_hull: Sequence[bool]) -> list[Diagnosis]:
    """Return the diagnoses of all inputs whose gradient is wrong."""
    wrong = [i for i, row in enumerate(rows) if not row.ok]
    found: list[Diagnosis] = []
    left = []
    for i in wrong:
        simple = _by_shape(look, i) or _by_kind(look, i, rows[i], in_hull[i])
        if simple is not None:
            found.append(simple)
        else:
            left.append(i)
    if left:
        joint = _joint(look, left)
        if joint is not None:
            return [joint, *found]
        for i in left:
            alone = _joint(look, [i])
            found.append(alone if alone is not None else _unknown(look, i, rows[i]))
    return found


def _close(look: Look, m: Array, p: Array) -> bool:
    if m.shape != p.shape or not np.isfinite(p).all():
        return False
    size = max(float(np.abs(m).max(initial=0)), float(np.abs(p).max(initial=0)))
    return bool((np.abs(m - p) <= (3e-4 if look.single else look.close) * size).all())


def _by_shape(look: Look, i: int) -> Diagnosis | None:
    """Explain a gradient that has another shape than its input."""
    m, g = look.mine[i], look.right[i]
    if m.shape == g.shape:
        return None
    label = look.label(i)
    if m.shape == g.T.shape and _close(look, m.T, g):
        return Diagnosis("transpose", label, "The gradient is transposed: it needs the shape of its input.",
                         (f"it has shape {m.shape}, the input {g.shape}",), r"\bar x", "")  # fmt: skip
    if m.size == g.size and (np.abs(m.reshape(g.shape) - g) <= look.rounding[i]).all():
        return Diagnosis("convention", label, f"The numbers are right, the shape is {m.shape} and belongs {g.shape}: "
                         "an axis was kept, or dropped.")  # fmt: skip
    try:
        summed = sum_to(m, g.shape)
    except ValueError:
        summed = None
    if summed is not None and m.size > g.size and _close(look, np.asarray(summed), g):
        return Diagnosis(
            "broadcast_not_summed", label, "The input was broadcast, so it acts in many places, and its gradient is "
            "the sum over them. That sum is missing.", (f"it has shape {m.shape}, the input {g.shape}",),
            r"\bar b = \sum_n g_n",
        )  # fmt: skip
    for part in _unsummed(look, i):
        for axis in range(part.ndim):
            summed = part.sum(axis=axis)
            if summed.size == m.size and _close(look, m.reshape(summed.shape), summed):
                return Diagnosis("wrong_axis_sum", label, f"The gradient was summed over axis {axis}, the wrong one.",
                                 (f"it has shape {m.shape}, the input {g.shape}",))  # fmt: skip
    return None


def _unsummed(look: Look, i: int) -> Iterator[Array]:
    """Yield what arrives at an input before it is summed back to its shape."""
    kept: list[Array] = []
    node = look.trace.inputs[i]

    def note(slot: int) -> Any:
        def change(n: Any, g: Array, slots: list[Any]) -> list[Any]:
            if slots[slot] is not None:
                kept.append(np.asarray(slots[slot]))
            return slots

        return change

    changes = {}
    for place, n in enumerate(look.trace.operations):
        for slot, parent in enumerate(n.parents or ()):
            if parent is node:
                changes[place] = note(slot)
    gradients(look.trace, changes)
    yield from (r for r in kept if r.shape != np.shape(node.out))


def _by_kind(look: Look, i: int, row: Row, in_hull: bool) -> Diagnosis | None:
    """Explain by what needs no operation: kinks, rounding, conjugates, NaN, the transpose of a square."""
    m, g, label = look.mine[i], look.right[i], look.label(i)
    if m.shape != g.shape:
        return Diagnosis("unknown", label, f"The gradient {row.note}; it needs the shape of its input.")
    if in_hull:
        return Diagnosis(
            "kink", label, "Manual and graph differ only where the function has a kink and no derivative. Neither is "
            "wrong: any mean of the slopes on its sides is a convention.", (_entry(row),),
        )  # fmt: skip
    if not np.isfinite(m).all():
        return Diagnosis("unknown", label, f"{row.note}: NaN and infinity come from 0/0, log(0), or exp of a large "
                         "number. Look for a division by something that is 0 "
                         "here.", (f"first at {list(row.worst)}",))  # fmt: skip
    if not look.bads[i].any():
        return Diagnosis("unknown", label, "Manual and graph agree, and the numerical derivative does not: a kink or a "
                         "jump may be very near, or both share a mistake.", (_entry(row),))  # fmt: skip
    if row.odd == "graph":
        return Diagnosis("unknown", label, "Here manual and numerical agree and the graph is the odd one out: a rule "
                         "is wrong. If it is one of this library, please report it.", (_entry(row),))  # fmt: skip
    if g.dtype.kind == "c" and (np.abs(m - np.conj(g)) <= look.rounding[i]).all():
        return Diagnosis("convention", label, "The gradient is the complex conjugate of the graph's: some libraries "
                         "define it so (JAX), others as here (PyTorch). Both are right.")  # fmt: skip
    error = np.abs(m - g)
    if (error <= 16 * SINGLE * (np.abs(g) + 0.05 * np.abs(g).max())).all() and look.bads[i].mean() > 0.3 and (
            int(look.bads[i].sum()) > 3) and is_single(m):
        return Diagnosis("rounding", label, "The gradient is made of float32 numbers, and differs by what rounding to "
                         "float32 makes. It is no mistake.", (f"the largest is {error.max():.1e}",))  # fmt: skip
    if m.ndim == 2 and m.shape[0] == m.shape[1] and _close(look, m, g.T):
        return Diagnosis("transpose", label, "The gradient is transposed.", ("its transpose is right in every entry",),
                         r"\bar W = g^T x", "")  # fmt: skip
    return None


def _entry(row: Row) -> str:
    return f"entry {list(row.worst)}: manual {row.manual:.9g}, graph {row.graph:.9g}, numerical {row.numerical:.9g}"


def _unknown(look: Look, i: int, row: Row) -> Diagnosis:
    m, g, label = look.mine[i], look.right[i], look.label(i)
    if m.dtype.kind == "f":
        for what, pattern in ((label, look.leaves[i]), (f"sign({label})", np.sign(look.leaves[i]))):
            square = float(np.vdot(pattern, pattern))
            c = float(np.vdot(pattern, m - g)) / square if square and g.size > 1 else 0.0
            if c and np.abs(m - g - c * pattern).max() <= 1e-7 * np.abs(m - g).max():
                text = f"It is the right gradient plus {fraction(c)} {what}, as of a penalty; the function has none."
                return Diagnosis("extra_penalty", label, text, (_entry(row),))
    return Diagnosis("unknown", label, describe(f"the gradient of {label}", m, g, look.bads[i]), (_entry(row),))


def _joint(look: Look, wrong: list[int]) -> Diagnosis | None:
    """Find the one operation, or the one factor, that explains some inputs and leaves the others as they are."""
    every = list(range(len(look.mine)))
    best: tuple[float, Diagnosis] | None = None
    whole = _factor(look, wrong, lambda trace, right: right)
    if whole is not None and not whole.is_one:
        where = ", ".join(look.label(i) for i in wrong)
        if len(wrong) == len(every) > 1 and look.trace.operations and whole.name != "0":
            where = _place(look, 0)
        best = (1.05 + 0.3 * (not whole.is_sign) * (whole.name not in ("0", "2", "1/2")) - 0.2 * (whole.name == "0"),
                _scaled(look, where, whole, r"\bar x = J^T g", ""))  # fmt: skip
    right = [i for i in every if i not in wrong and not look.bads[i].any()]  # no mistake may change these
    for mutant in mutants(look.trace):
        found = _try(look, mutant, sorted([*wrong, *right]))
        if found is not None and (best is None or found[0] < best[0]):
            best = found
    if best is None and right:
        names = ", ".join(look.label(i) for i in wrong)
        for mutant in (m for m in mutants(look.trace) if not m.linear):
            found = _try(look, mutant, wrong)
            if found is not None and (best is None or found[0] < best[0]):
                text = f"{found[1].text} It is so in the gradient of {names} only."
                best = found[0], replace(found[1], text=text)
    return None if best is None else best[1]


def _try(look: Look, mutant: Mutant, over: list[int]) -> tuple[float, Diagnosis] | None:
    node = look.trace.operations[mutant.place]
    name = node.primitive.name if node.primitive else ""
    where = _place(look, mutant.place)
    equation = ""
    if node.primitive is not None and node.primitive.rule_tex:
        slot = mutant.slot if mutant.slot is not None and mutant.slot < len(node.primitive.rule_tex) else 0
        equation = str(node.primitive.rule_tex[slot] or "")
    if not mutant.linear:
        if all(_close(look, gradients(look.trace, mutant.changes)[i], look.right[i]) for i in over):
            return None
        factor = _factor(look, over, lambda trace, right: gradients(trace, mutant.changes))
        if factor is None:
            return None
        times = "" if factor.is_one else f" It is also multiplied by {_words(look, factor)}."
        cost = (1.0 if mutant.kind != "wrong_layer_input" else 1.1) + 0.5 * bool(times)
        return cost, Diagnosis(mutant.kind, where, mutant.text + times, _evidence(look), equation, name)
    factor = _factor(look, over, lambda trace, right: [a - b for a, b in zip(right, gradients(trace, mutant.changes),
                                                                            strict=True)], True)  # fmt: skip
    if factor is None or factor.is_one:
        return None
    if factor.name == "0":
        lost = _lost(look, mutant, node, where, equation)
        return 0.95 if lost.kind == "missing_penalty" else 1.02, lost
    return 1.15 if factor.is_sign else 1.3 if factor.name in ("2", "1/2", "N", "1/N") else 1.6, _scaled(
        look, where, factor, equation, name)


def _place(look: Look, place: int) -> str:
    """Name an operation by its name and its number in the order in which they ran."""
    count, node = len(look.trace.operations), look.trace.operations[place]
    return f"{node.primitive.name if node.primitive else ''}, operation {count - place} of {count}"


def _factor(look: Look, over: list[int], base: Any, beside: bool = False) -> Factor | None:
    """Name the factor s with ``mine = s base``, or with ``mine = right + (s - 1) base``, at all inputs and probes."""
    values, facts = [], []
    for mine, trace, right in ((look.mine, look.trace, look.right), *look.probes):
        if [n.primitive.name for n in trace.operations if n.primitive] != look.trace.signature:
            continue
        b = base(trace, right)
        dot = square = 0.0
        for i in over:
            if mine[i].shape != b[i].shape or not np.isfinite(b[i]).all():
                return None
            target = mine[i] - right[i] if beside else mine[i]
            size = float(np.abs(b[i]).max(initial=0)) or 1.0  # each array counts alike, and no square overflows
            dot += float(np.real(np.vdot(b[i] / size, target / size)))
            square += float(np.real(np.vdot(b[i] / size, b[i] / size)))
        if not square:
            return None
        s = dot / square
        for i in over:
            if not _close(look, mine[i], right[i] + s * b[i] if beside else s * b[i]):
                return None
        values.append(s + 1 if beside else s)
        shapes = [np.shape(x) for x in look.leaves if np.ndim(x)]
        batch = next((shape[0] for shape in shapes if len(shape) > 1), shapes[0][0] if shapes else np.nan)
        facts.append({"N": float(batch), "n_out": np.nan, "p": 0.0, "lambda": 0.0})
    loose = 3e-3 if look.single else 1e-6
    if all(abs(v) < loose for v in values):
        return Factor("0", 0.0)
    return name_factor(values, facts, loose)


def _evidence(look: Look) -> tuple[str, ...]:
    more = f", and at {len(look.probes)} other points" if look.probes else ""
    return (f"with this mistake the graph gives the gradients of the backward to rounding{more}",)


def _words(look: Look, factor: Factor) -> str:
    """Return the name of a factor; a function has no samples that we know of, but rows of its first matrix."""
    first = next((i for i, x in enumerate(look.leaves) if np.ndim(x) > 1), 0)
    return factor.words.replace("the number of samples", f"the number of rows of {look.label(first)}")


def _scaled(look: Look, where: str, factor: Factor, equation: str, name: str) -> Diagnosis:
    on = " from here on" if ", operation " in where else ""
    if factor.is_sign:
        return Diagnosis("sign", where, f"The gradient has the wrong sign{on}.", _evidence(look), equation, name)
    if factor.name == "0":
        return Diagnosis("scale", where, "The gradient is 0, and should not be.", _evidence(look), equation, name, "0")
    text = f"The gradient is {_words(look, factor)} times the right one{on}."
    return Diagnosis("scale", where, text, _evidence(look), equation, name, factor.name)


def _lost(look: Look, mutant: Mutant, node: Any, where: str, equation: str) -> Diagnosis:
    """Say that what comes through an operation does not arrive: a penalty, or one of several contributions."""
    leaves = {n for n in look.trace.inputs if _reaches(node, n)}
    if mutant.slot is None and np.size(node.out) == 1 and len(leaves) == 1:
        leaf = next(iter(leaves))
        i = look.trace.inputs.index(leaf)
        through = look.right[i] - gradients(look.trace, mutant.changes)[i]
        for pattern in (leaf.out, np.sign(leaf.out)):
            square = float(np.vdot(pattern, pattern).real)
            if square and _close(look, through, float(np.vdot(pattern, through).real) / square * pattern):
                return Diagnosis("missing_penalty", look.label(i), "The gradient of the penalty on it is not added.",
                                 _evidence(look), equation, node.primitive.name)  # fmt: skip
    return Diagnosis(
        "overwritten_not_accumulated", where, "What comes back through this operation does not arrive: it was "
        "overwritten, or forgotten. A value that is used in several places gets the sum of their contributions.",
        _evidence(look), equation, node.primitive.name,
    )  # fmt: skip


def _reaches(node: Any, leaf: Any) -> bool:
    stack, seen = [node], set()
    while stack:
        n = stack.pop()
        if n is leaf:
            return True
        for p in n.parents or ():
            if p is not None and p not in seen:
                seen.add(p)
                stack.append(p)
    return False
