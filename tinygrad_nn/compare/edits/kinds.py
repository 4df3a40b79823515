"""Name the kind of mistake that an edit of the source mends, as a key of the diagnosis table `KINDS`."""

from __future__ import annotations

import ast
from typing import Any

from .reading import Source
from .trees import Change, FollowedBy, called_name, constant, have_other_slopes, transposed

OTHERS = "edit"  # a mistake that has no kind of its own
NAMED = (ast.Name, ast.Attribute, ast.Subscript)
LINEAR = ("sum", "mean", "max", "min")


def kind_of(source: Source, change: Change, old: Any) -> str:
    """Return a key of `KINDS` for the mistake that an edit mends; `old` is the syntax node that it replaces."""
    new = change.new
    if isinstance(new, ast.stmt):
        return _statement_kind(old, new)
    if isinstance(change.parent, (ast.Subscript, ast.Slice, ast.Tuple)) and change.field in ("slice", "lower", "upper",
                                                                                             "elts", "step"):
        index_kind = _index_kind(change, old, new)
        if index_kind:
            return index_kind
    for test in (_sum_kind, _sign_kind, _transpose_kind, _term_kind, _factor_kind, _number_kind):
        kind = test(source, change, old, new)
        if kind:
            return kind
    if isinstance(old, NAMED) and isinstance(new, NAMED):
        return "wrong_value"
    if isinstance(old, ast.Compare) and isinstance(new, ast.Compare):
        ops = {type(old.ops[0]), type(new.ops[0])}
        return "ties" if ops in ({ast.Gt, ast.GtE}, {ast.Lt, ast.LtE}) else "wrong_value"
    if isinstance(old, (ast.Tuple, ast.List)) and isinstance(new, (ast.Tuple, ast.List)):
        return "wrong_order" if sorted(map(ast.dump, old.elts)) == sorted(map(ast.dump, new.elts)) else "wrong_stride"
    if isinstance(old, ast.Call) and isinstance(new, ast.Call) and ast.dump(old.func) == ast.dump(new.func):
        if len(old.keywords) > len(new.keywords):  # without dtype=int
            return OTHERS
        return "transpose" if called_name(old) in ("dot", "matmul", "outer") else "wrong_order"
    return "wrong_derivative" if _wraps(old, new) or _wraps(new, old) else OTHERS


def _statement_kind(old: Any, new: Any) -> str:
    if isinstance(new, FollowedBy):
        return "scale" if isinstance(new.body[1].op, ast.Div) else "missing_factor"  # type: ignore[attr-defined]
    if isinstance(new, ast.Expr) or (isinstance(new, ast.AugAssign) and isinstance(old, ast.Assign)):
        return "missing_factor" if isinstance(getattr(new, "op", None), ast.Mult) else "overwritten_not_accumulated"
    if isinstance(new, ast.AugAssign) and isinstance(old, ast.AugAssign):
        return "sign" if {type(old.op), type(new.op)} == {ast.Add, ast.Sub} else OTHERS
    if isinstance(new, ast.Assign) and isinstance(old, ast.Assign):
        value = new.value
        if (
            isinstance(value, ast.BinOp)
            and isinstance(value.op, (ast.Add, ast.Mult))
            and _is_same(value.right, old.value)
        ):
            return "overwritten_not_accumulated" if isinstance(value.op, ast.Add) else "missing_factor"
        return "wrong_value"
    return OTHERS


def _index_kind(change: Change, old: Any, new: Any) -> str:
    if isinstance(new, ast.Slice) and isinstance(old, ast.Slice):
        return "flipped_kernel" if (old.step is None) != (new.step is None) else "wrong_index"
    if isinstance(new, ast.Tuple) and isinstance(old, ast.Tuple):
        slices = all(isinstance(e, ast.Slice) for e in new.elts)
        return "wrong_padding" if slices or any(isinstance(e, ast.Slice) for e in new.elts) else "wrong_order"
    return "wrong_index" if change.field != "elts" or isinstance(change.parent, ast.Subscript) else ""


def _operand(node: Any) -> Any:
    """Return the expression that a call of a function or a method, such as a reduction, works on; None if unclear."""
    if not isinstance(node, ast.Call):
        return None
    if node.args and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and (
            constant(node.args[0]) is None):  # fmt: skip
        return node.args[0]
    return node.func.value if isinstance(node.func, ast.Attribute) else None


def _is_same(a: Any, b: Any) -> bool:
    return isinstance(a, ast.AST) and isinstance(b, ast.AST) and ast.unparse(a) == ast.unparse(b)


def _sum_kind(source: Source, change: Change, old: Any, new: Any) -> str:
    if called_name(new) == "sum" and _is_same(_operand(new), old):
        return "broadcast_not_summed"
    if called_name(old) == "sum" and _is_same(_operand(old), new):
        return "wrong_axis_sum"
    if called_name(old) in LINEAR and called_name(new) in LINEAR and _is_same(_operand(old), _operand(new)):
        if called_name(old) != called_name(new):
            return "scale" if {called_name(old), called_name(new)} == {"sum", "mean"} else "wrong_derivative"
        return "wrong_axis_sum" if called_name(old) == "sum" else "wrong_axis"
    if isinstance(change.parent, ast.keyword) and change.parent.arg in ("axis", "keepdims"):
        return "wrong_axis_sum"
    return ""


def _sign_kind(source: Source, change: Change, old: Any, new: Any) -> str:
    for a, b in ((old, new), (new, old)):
        if isinstance(a, ast.UnaryOp) and isinstance(a.op, ast.USub) and _is_same(a.operand, b):
            return "sign"
    if isinstance(old, ast.BinOp) and isinstance(new, ast.BinOp):
        if {type(old.op), type(new.op)} == {ast.Add, ast.Sub} and _is_same(old.left, new.left):
            return "sign"
        swapped = _is_same(old.left, new.right) and _is_same(old.right, new.left)
        if swapped and isinstance(old.op, ast.Sub) and isinstance(new.op, ast.Sub):
            return "sign"
    return ""


def _transpose_kind(source: Source, change: Change, old: Any, new: Any) -> str:
    for a, b in ((old, new), (new, old)):
        if isinstance(a, ast.Attribute) and a.attr == "T" and _is_same(a.value, b):
            return "transpose"
        if called_name(a) in ("swapaxes", "transpose") and _is_same(_operand(a), b):
            return "transpose"
        if isinstance(a, ast.Subscript) and _is_same(a.value, b):
            index = ast.unparse(a.slice)
            return "flipped_kernel" if "::-1" in index else "wrong_axis" if "None" in index else "wrong_index"
    if isinstance(old, ast.Subscript) and isinstance(new, ast.Subscript) and _is_same(old.value, new.value) and (
            ("::-1" in ast.unparse(old.slice)) != ("::-1" in ast.unparse(new.slice))):  # fmt: skip
        return "flipped_kernel"
    if isinstance(old, ast.BinOp) and isinstance(new, ast.BinOp) and isinstance(old.op, ast.MatMult):
        pairs = ((old.left, new.right), (transposed(old.left), new.left))
        return "transpose" if any(_is_same(a, b) for a, b in pairs) else ""
    if isinstance(old, ast.Constant) and isinstance(old.value, str):
        return "transpose" if sorted(old.value.replace(" ", "")) == sorted(str(new.value)) else "wrong_axis"
    return ""


def _term_kind(source: Source, change: Change, old: Any, new: Any) -> str:
    if isinstance(new, ast.BinOp) and isinstance(new.op, (ast.Add, ast.Sub)) and _is_same(new.left, old):
        term = new.right
        if isinstance(change.parent, ast.Compare):  # another condition, and no further term of the gradient
            return OTHERS
        if called_name(term) == "mean" and _is_same(_operand(term), old):
            return "statistic_as_constant"
        if constant(term) is not None:
            return "wrong_index" if called_name(change.parent) == "range" else "wrong_ddof" if isinstance(
                change.parent, ast.BinOp) and isinstance(change.parent.op, ast.Div) else OTHERS  # fmt: skip
        if isinstance(term, ast.Name):
            if _carried(source, change.place, term.id):
                return "not_carried_back"
            if term.id in [a.arg for a in source.tree.args.args]:
                return "residual_forgotten"
        return "product_rule_half"
    if isinstance(new, ast.BinOp) and isinstance(new.op, ast.Mult) and isinstance(new.right, ast.BinOp):
        inner = new.right
        if isinstance(inner.op, ast.Sub) and called_name(inner.right) == "sum":
            return "softmax_diagonal_only"
    return ""


def _carried(source: Source, place: ast.stmt, name: str) -> bool:
    """Tell whether a name is carried from the round before: assigned in the loop, after the statement `place`.

    The statement itself counts if it assigns several names, as in ``dx, dprev_h = step_backward(dh + dprev_h, cache)``.
    """
    first = place.lineno + (not any(isinstance(part, ast.Tuple) for part in getattr(place, "targets", ())))
    for loop in ast.walk(source.tree):
        if isinstance(loop, (ast.For, ast.While)) and place in ast.walk(loop):
            later = [n for stmt in loop.body if stmt.lineno >= first for n in ast.walk(stmt)]
            return any(isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for n in later)
    return False


def _factor_kind(source: Source, change: Change, old: Any, new: Any) -> str:
    for longer, shorter in ((new, old), (old, new)):
        if isinstance(longer, ast.BinOp) and isinstance(longer.op, (ast.Mult, ast.Div)):
            other = (
                longer.right
                if _is_same(longer.left, shorter)
                else longer.left
                if _is_same(longer.right, shorter)
                else None
            )
            if other is None:
                continue
            if _is_size(other):
                return "scale"
            if longer is old:
                return "wrong_value"
            if isinstance(other, ast.Compare) or (isinstance(other, ast.Name) and "mask" in other.id.lower()):
                return "mask_missing"
            derivative = isinstance(other, ast.BinOp) or called_name(other) in ("cos", "exp", "sign")
            return "missing_activation_derivative" if derivative else "missing_factor"
    if isinstance(old, ast.BinOp) and isinstance(new, ast.BinOp) and _is_same(old.left, new.left):
        if {type(old.op), type(new.op)} == {ast.Mult, ast.Div}:
            return "scale" if _is_size(old.right) else "wrong_derivative"
        if isinstance(new.op, ast.MatMult) or isinstance(old.op, ast.MatMult):
            return "wrong_derivative"
    if isinstance(new, ast.BinOp) and isinstance(new.op, ast.Mult) and ast.unparse(old) in ast.unparse(new.left):
        return "missing_activation_derivative" if isinstance(new.right, ast.BinOp) else ""
    return "wrong_derivative" if have_other_slopes(old, new) else ""


def _is_size(node: Any) -> bool:
    """Tell whether an expression is a number or a count: ``N``, ``len(x)``, ``x.shape[0]``, or a root of one."""
    text = ast.unparse(node)
    if called_name(node) == "sqrt" and isinstance(node, ast.Call) and node.args:
        return _is_size(node.args[0])
    named = isinstance(node, ast.Name) and len(node.id) == 1 and node.id.isupper()
    return named or constant(node) is not None or ".shape[" in text or text.startswith("len(")


def _number_kind(source: Source, change: Change, old: Any, new: Any) -> str:
    if constant(old) is None or not isinstance(change.parent, (ast.BinOp, ast.UnaryOp, ast.AugAssign, ast.Call)):
        return ""
    op = getattr(change.parent, "op", None)
    if isinstance(op, ast.Pow):
        return "wrong_derivative"
    if isinstance(op, (ast.Mult, ast.Div)):
        return "sign" if constant(new) == -constant(old) else "scale"
    if isinstance(op, (ast.Add, ast.Sub)):
        return "wrong_index" if isinstance(constant(old), int) and change.field == "right" else "wrong_derivative"
    return "wrong_axis" if isinstance(change.parent, ast.Call) and called_name(change.parent) in LINEAR else ""


def _wraps(inner: Any, outer: Any) -> bool:
    return isinstance(outer, (ast.Call, ast.BinOp)) and isinstance(inner, ast.expr) and (
        ast.unparse(inner) in ast.unparse(outer))  # fmt: skip
