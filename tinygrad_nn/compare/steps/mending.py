"""Add an edit that mends a wrong line to its diagnosis, and name the kind of mistake from the edit."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..diagnosis import KINDS, Diagnosis, Row
from ..edits import Edit
from ..edits.trees import constant, have_other_slopes, is_renamed, transposed
from ..guards import Excused, guard_diagnosis
from ..tiny_constants import largest_difference
from ..user_function import code_of
from .forward_values import Saved
from .matching import Match
from .names import names_for_gradient
from .running import Forward
from .statements import Statement, Statements
from .step import Step
from .tracing import State

SUMS = ("sum", "mean", "max", "min", "prod")


class Explained(NamedTuple):
    """Why a step is wrong, and its content after the statement that is wrong.

    `mends` has the steps that an edit makes right, if one was found.
    """

    diagnosis: Diagnosis
    state: State
    mends: tuple[int, ...] = ()


def explained_step(m: Match, state: State, rows: tuple[Row, Row], arrived: float, reason: Explained | None) -> Step:
    """Return a step of the report; `rows` compare it by its value and by its own rule, which gave `arrived`."""
    harmless = reason is not None and reason.diagnosis.harmless
    at = state if reason is None else reason.state
    return Step(
        m.gradient.name, m.gradient.belongs_to, at.statement.line, at.statement.text,
        at.function or m.gradient.function, m.gradient.round, m.rounds, rows[0].ok or harmless,
        reason is None or harmless, *rows, arrived, None if reason is None else reason.diagnosis,
    )  # fmt: skip


def explain_wrong(
    wrong: Sequence[int], places: Mapping[int, tuple[str, Statement]], explain: Callable[[int], Explained]
) -> dict[int, Explained]:
    """Return the explanation of each wrong step, by its number: that of an edit which makes it right as well, if any.

    Args:
        wrong: the numbers of the wrong steps, the one nearest the loss first.
        places: the name and the wrong statement of each; rounds of a loop share the explanation of the first of them.
        explain: returns the explanation of one step.
    """
    reasons: dict[int, Explained] = {}
    explained_places: dict[tuple[str, Statement], Explained] = {}

    def explain_place(k: int) -> Explained:
        explained, rounds = explain(k), [j for j in wrong if j != k and places[j] == places[k]]
        if rounds and not explained.mends and not explained.diagnosis.harmless:
            other = explain(rounds[len(rounds) // 2])  # in the first, a carried gradient may still be 0
            at_operation = [" in `" in e.diagnosis.where for e in (explained, other)]
            if other.diagnosis.kind == explained.diagnosis.kind and (k in other.mends or at_operation == [False, True]):
                return other
        return explained

    for k in wrong:
        explained = reasons.get(k) or explained_places.get(places[k]) or explain_place(k)
        if not explained.diagnosis.harmless:
            explained_places[places[k]] = explained
            for j in explained.mends:
                if j not in reasons or not reasons[j].mends:
                    reasons[j] = explained
        reasons.setdefault(k, explained)
    return reasons


def explained_by_guards(
    rows: Sequence[tuple[Row, Row]], states: Sequence[State], wrong: Sequence[int], excused: Excused, guard: float,
    pairs: Sequence[tuple[Any, Any]],
) -> dict[int, Explained]:  # fmt: skip
    """Return the explanation of gradients that are right for the forward without constants such as 1e-8.

    Args:
        rows: the comparison of each step by its value and by its own rule.
        states: the content of each.
        wrong: all steps that are wrong by their own rules.
        excused: which of them are right without the constants.
        guard: the largest of the constants.
        pairs: the user's gradient and the right one of each step.
    """
    factors, right_values = excused.factors, excused.right_values
    if not factors:
        return {}
    differing = [k for k, both in enumerate(rows) if not all(row.ok for row in both)]
    if any(k not in factors for k in wrong):  # what follows from a mistake is no effect of a constant
        differing = [k for k in differing if k in factors or (k in right_values and k not in wrong)]
    reasons: dict[int, Explained] = {}
    for factor in set(factors.values()):
        alike = [k for k in differing if factors.get(k, min(factors.values())) == factor]
        diagnosis = guard_diagnosis("", guard, largest_difference([pairs[k] for k in alike]), factor)
        reasons |= {k: Explained(diagnosis, states[k]) for k in alike}
    return reasons


def still_wrong(wrong: Sequence[int], suspects: Sequence[int], excused: Collection[int]) -> list[int]:
    """Return the wrong steps that are not excused; if all are, the others that are wrong by their own rules.

    Such a step was taken for one that gives the right gradient if those that come in are right, but where these are 0,
    any step does.
    """
    if not excused:
        return list(wrong)
    return [k for k in wrong if k not in excused] or [k for k in suspects if k not in excused]


def blame_edited_line(explained: Explained, edit: Edit, values: set[str], names: Sequence[str]) -> Explained:
    """Add an edit to the explanation of a step; the line that it edits is the wrong one.

    Args:
        explained: the explanation so far.
        edit: the edit; its `fixes` are the steps that it makes right.
        values: the names of the forward's values.
        names: the names of the gradients that the edit makes right.
    """
    diagnosis, state = add_edit(explained.diagnosis, edit, values), explained.state
    if (edit.file, edit.lineno) == (state.statement.file, state.statement.line):
        return explained._replace(diagnosis=diagnosis, mends=edit.fixes)
    is_one = len(set(names)) == 1
    names_text = " and ".join(dict.fromkeys(names))
    text = diagnosis.text
    if explained.diagnosis.kind == "unknown":
        text = text.replace("it is what its own rule gives", f"{names_text} is what its own rule gives" if is_one
                            else f"{names_text} are what their own rules give")  # fmt: skip
    else:
        text = f"This line makes {names_text} wrong. {text}"
    statement = Statements().at(edit.file, edit.lineno)
    return Explained(replace(diagnosis, text=text), state._replace(statement=statement, function=edit.function),
                     edit.fixes)  # fmt: skip


def add_edit(diagnosis: Diagnosis, edit: Edit, values: set[str]) -> Diagnosis:
    """Return a diagnosis that tells the edit; if its kind is "unknown", it takes the kind that the edit shows."""
    note, sentence = edit.alternatives_note, edit.sentence
    if edit.lacks:
        sentence += f" For that, {edit.function} must be given {' and '.join(edit.lacks)} of the forward."
    if diagnosis.kind != "unknown":
        return replace(diagnosis, evidence=(*diagnosis.evidence, sentence, *note))
    kind = kind_of(edit.before, edit.after, values)
    text = f"{sentence} With this change, it is what its own rule gives, here and at other inputs."
    return replace(diagnosis, kind=kind, text=text, evidence=(diagnosis.text, *diagnosis.evidence, *note))


def as_read(edit: Edit, backward: Any, call_args: Mapping[str, Any], forward: Forward) -> Edit:
    """Return an edit that reads forward values as the backward does: ``cache['h']`` or ``cache.h`` for ``h``.

    Args:
        edit: the edit, in which a value that the line cannot see has its name in the forward.
        backward: the user's function.
        call_args: what it is called with, by the names of its parameters.
        forward: the run of the forward.
    """
    cache_name = next((name for name, value in call_args.items() if isinstance(value, Saved)), None)
    code = code_of(backward)
    if cache_name is None or code is None or edit.function not in ("", code.co_name):
        return edit
    dotted = re.search(rf"\b{cache_name}\.\w", "".join(inspect.getsourcelines(backward)[0])) is not None
    known_names = {*code.co_varnames, *code.co_cellvars, *forward.others, *_names(edit.before)}
    forms = {name: f"{cache_name}.{name}" if dotted else f"{cache_name}[{name!r}]" for name in call_args[cache_name]
             if name.isidentifier() and name not in known_names}  # fmt: skip
    after = _spelled(edit.after, forms)
    parted = [other.partition(": ") for other in edit.alternatives]
    others = dict.fromkeys("".join((line, colon, _spelled(text, forms))) for line, colon, text in parted)
    others.pop(f"line {edit.lineno}: {after}", None)
    sentence = edit.sentence.replace(edit.after.strip(), after.strip(), 1)
    lacks = tuple(name for name in edit.lacks if name not in forms)
    return replace(edit, after=after, sentence=sentence, alternatives=tuple(others), lacks=lacks)


def _tree(text: str) -> ast.AST | None:
    """Return the syntax tree of a statement, also of the first line of one with a body; None if it is no code."""
    for whole in (text, f"{text} pass"):
        try:
            return ast.parse(whole)
        except SyntaxError:
            continue
    return None


def _names(text: str) -> set[str]:
    tree = _tree(text.strip())
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else set()


def _spelled(text: str, forms: Mapping[str, str]) -> str:
    """Return a statement with other words for some names that it reads and does not bind itself."""
    start = len(text) - len(text.lstrip())
    tree = _tree(text.strip())
    if tree is None:
        return text
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    encoded = text.strip().encode()
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in forms
             and node.id not in bound]  # fmt: skip
    for node in sorted(nodes, key=lambda node: -node.col_offset):
        encoded = encoded[: node.col_offset] + forms[node.id].encode() + encoded[node.end_col_offset :]
    return text[:start] + encoded.decode()


def kind_of(before: str, after: str, values: set[str]) -> str:
    """Return the kind of mistake (one of `KINDS`) that an edit mends.

    Args:
        before, after: the line before and after the edit.
        values: the names of the forward's values; a name such as ``dh`` is a gradient if ``h`` is among them.

    Example:
        >>> kind_of("dz = 1 - h**2", "dz = dh * (1 - h**2)", {"h", "z"})
        'cotangent_ignored'
        >>> kind_of("dW = x.T @ d", "dW = h.T @ d", {"x", "h"}), kind_of("d = g", "d = -g", set())
        ('wrong_value', 'sign')
        >>> kind_of("db = dz.sum(axis=1)", "db = dz.sum(axis=0)", set())
        'wrong_axis_sum'
    """
    try:
        old, new, *further = ast.parse(before.strip()).body[0], *ast.parse(after.strip()).body
    except (SyntaxError, IndexError, ValueError):
        return "edit"
    if further:  # a second statement, which scales the array
        return "scale" if isinstance(getattr(further[0], "op", None), ast.Div) else "missing_factor"
    if isinstance(old, ast.Assign) and isinstance(new, ast.AugAssign):
        return "overwritten_not_accumulated"
    difference = next(_differences(old, new), None)
    kind = _kind(*difference, values) if difference else "edit"
    return kind if kind in KINDS else "edit"


def _differences(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the smallest pair of syntax nodes in which two trees differ, large enough to tell the kind of mistake."""
    if type(old) is not type(new):
        yield old, new
        return
    if not isinstance(old, ast.AST):
        if old != new:
            yield old, new
        return
    apart = []
    for name in old._fields:
        a, b = getattr(old, name, None), getattr(new, name, None)
        if isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                yield old, new
                return
            apart += [(name, x, y) for x, y in zip(a, b, strict=True) if _text(x) != _text(y)]
        elif _text(a) != _text(b):
            apart.append((name, a, b))
    if len(apart) != 1 or not isinstance(apart[0][1], ast.AST) or not isinstance(apart[0][2], ast.AST):
        if apart:
            yield old, new
        return
    if isinstance(old, ast.Call) and all(name == "keywords" for name, _, _ in apart):
        yield old, new
        return
    if isinstance(old, ast.BinOp) and isinstance(old.op, ast.Pow) and apart[0][0] == "right":
        yield old, new
        return
    inner = next(_differences(apart[0][1], apart[0][2]), None)
    small = inner is None or isinstance(inner[0], (ast.operator, ast.unaryop, ast.cmpop, ast.expr_context, ast.keyword))
    if isinstance(old, (ast.keyword, ast.Call, ast.Subscript, ast.Slice)):  # a number there is an axis or an index
        small = small or all(constant(x) is not None for x in inner)  # type: ignore[union-attr]
    yield (old, new) if small else inner  # type: ignore[misc]


def _text(node: Any) -> str:
    return ast.dump(node) if isinstance(node, ast.AST) else repr(node)


def _kind(old: Any, new: Any, values: set[str]) -> str:
    """Return the kind of mistake that an edit from one piece of code to another one mends."""
    if isinstance(old, ast.Call) and isinstance(new, ast.Call) and _text(old.func) == _text(new.func):
        called = getattr(old.func, "attr", "")
        return "wrong_axis_sum" if called == "sum" else "wrong_axis" if called in SUMS else "edit"
    if _is_negated(new, old) or _is_negated(old, new):
        return "sign"
    kind = _kind_of_longer(new, old, True, values) or _kind_of_longer(old, new, False, values)
    return kind or _kind_of_replaced(old, new, values)


def _is_negated(whole: Any, part: Any) -> bool:
    return isinstance(whole, ast.UnaryOp) and _text(whole.operand) == _text(part)


def _kind_of_longer(whole: Any, part: Any, added: bool, values: set[str]) -> str | None:
    """Return the kind if an edit adds to a piece of code, or removes what is around it; otherwise ``None``."""
    same = _text(part)
    if isinstance(whole, ast.Attribute) and whole.attr == "T" and _text(whole.value) == same:
        return "transpose"
    if isinstance(whole, ast.Call) and isinstance(whole.func, ast.Attribute) and whole.func.attr in SUMS:
        summed = [whole.func.value, *(whole.args[:1] if isinstance(whole.func.value, ast.Name) else [])]
        if any(_text(x) == same for x in summed):
            return "broadcast_not_summed" if added else "wrong_axis_sum"
    if not isinstance(whole, ast.BinOp) or same not in (_text(whole.left), _text(whole.right)):
        return None
    if isinstance(whole.op, (ast.Mult, ast.Div)):
        factor = whole.right if _text(whole.left) == same else whole.left
        return _factor_kind(factor, added, isinstance(whole.op, ast.Div), values)
    if isinstance(whole.op, (ast.Add, ast.Sub)):
        if isinstance(whole.op, ast.Sub) and constant(whole.left) is not None:  # 1 - z for z
            return "wrong_derivative"
        return "overwritten_not_accumulated" if added else "edit"
    return None


def _kind_of_replaced(old: Any, new: Any, values: set[str]) -> str:
    """Return the kind if an edit replaces a piece of code by another one."""
    if isinstance(old, ast.BinOp) and isinstance(new, ast.BinOp) and type(old.op) is not type(new.op):
        plus = {type(old.op), type(new.op)} == {ast.Add, ast.Sub}
        return "sign" if plus else "wrong_derivative"
    if isinstance(old, ast.BinOp) and isinstance(old.op, ast.Pow):
        return "wrong_derivative"
    is_product = isinstance(old, ast.BinOp) and isinstance(old.op, ast.MatMult)
    if is_product and isinstance(new, ast.BinOp) and ast.unparse(transposed(old.left)) == ast.unparse(new.left):
        return "transpose"
    if isinstance(old, ast.BinOp) and is_renamed(old, new):
        return "wrong_value"
    if have_other_slopes(old, new):
        return "wrong_derivative"
    if isinstance(old, ast.Constant) and isinstance(new, ast.Name) and _is_gradient(new.id, values):
        return "cotangent_ignored"
    if isinstance(old, (ast.Name, ast.Attribute)) and isinstance(new, (ast.Name, ast.Attribute)):
        return "wrong_value"
    if isinstance(old, (ast.Subscript, ast.Slice, ast.Tuple)) or isinstance(new, (ast.Subscript, ast.Slice)):
        return "wrong_index"
    return "scale" if isinstance(old, ast.Constant) and isinstance(new, ast.Constant) else "edit"


def _factor_kind(rest: ast.expr, longer: bool, divided: bool, values: set[str]) -> str:
    if any(isinstance(part, ast.Name) and _is_gradient(part.id, values) for part in ast.walk(rest)):
        return "cotangent_ignored" if longer else "edit"
    if all(isinstance(part, (ast.Constant, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop))
           for part in ast.walk(rest)):  # fmt: skip
        return "scale"
    return "missing_factor" if longer and not divided else "wrong_value"


def _is_gradient(name: str, values: set[str]) -> bool:
    return any(stem in values for stem in names_for_gradient(name))
