"""Forward mode: a walk from the inputs of a graph to its results, oldest Node first, that propagates tangents.

Primitives have no separate rule for it. The derivative of an operation along a tangent is found in one of three ways:

- if the operation is linear in the argument, apply the operation itself to the tangent;
- if it acts entry by entry, its Jacobian is diagonal and equals its transpose, so apply the VJP rule to the tangent;
- otherwise transpose the VJP rule, which is linear in its cotangent: record what the rule computes, and walk back
  through that (J. Townsend, A new trick for calculating Jacobian vector products, 2017).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..backward import ancestors, cast, conj, lift, walk
from ..node import Node, recording
from ..primitive import Primitive, sum_to
from ..tensor import Tensor, apply, leaf, stored_array, wrap
from .batching import level_of


def path(roots: Iterable[Node], inputs: Iterable[Node]) -> list[Node] | None:
    """Return the operations between inputs and results that depend on an input, oldest first.

    Return None if one of them is a factorisation: its derivative at equal values depends on the operations after it,
    which the walk back knows and this walk does not.
    """
    moved, found = set(inputs), []
    oldest = min((node.index for node in moved), default=0)
    for node in reversed(ancestors(roots, oldest)):
        if node not in moved and not moved.isdisjoint(node.parents):  # type: ignore[arg-type]
            if node.primitive.ties is not None:  # type: ignore[union-attr]
                return None
            moved.add(node)
            found.append(node)
    return found


def push(through: Iterable[Node], tangents: Mapping[Node, Any], *, differentiable: bool = False) -> dict[Node, Any]:
    """Propagate tangents along a path; return a dict Node -> tangent. A Node that is missing has a tangent of zero.

    Args:
        through: operations, oldest first, as `path` returns them.
        tangents: the tangents of the inputs, in their shapes and dtypes: ndarrays, or Tensors if `differentiable`.
        differentiable: run forwards and rules on Tensors, so that the tangents have a graph of their own.
    """
    moved = dict(tangents)
    with recording(differentiable):
        for node in through:
            found = _derivative(node, moved, differentiable)
            if found is not None:
                moved[node] = found
    return moved


def _derivative(node: Node, moved: Mapping[Node, Any], live: bool) -> Any:
    """Return the derivative of an operation along the tangents of its arguments; None if it is zero."""
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    args: Any = node.args
    out, meta = node.out, node.meta
    if live:
        args, out, meta = lift(node)
    linear = primitive.linear if meta.get("initial") is None else ()  # a sum with initial= is affine, not linear
    given = {slot: moved[p] for slot, p in enumerate(node.parents) if p in moved}  # type: ignore[arg-type, index]
    if linear == "together":
        parts = [given[slot] if slot in given else np.zeros_like(stored_array(arg)) for slot, arg in enumerate(args)]
        return _forward(primitive, parts, meta, live)
    total, rest = None, {}
    for slot, v in given.items():
        if linear == "each" or slot in linear:
            part = _forward(primitive, [*args[:slot], v, *args[slot + 1 :]], meta, live)
        elif primitive.entrywise and out.dtype.kind == "f" and v.dtype.kind == "f":
            rule = primitive.vjps[slot]
            if rule is None:
                continue
            part = rule(v if v.shape == out.shape else np.broadcast_to(v, out.shape), out, *args, **meta)
        else:
            rest[slot] = v
            continue
        total = part if total is None else total + part
    if rest:
        part = _transposed(node, rest, live)
        total = part if total is None or part is None else total + part
    if total is None:
        return None
    if live and not isinstance(total, Tensor):
        total = wrap(total, None)
    if total.shape != out.shape:  # rules may ignore broadcasting
        total = np.broadcast_to(total, out.shape)
    return cast(total, out.dtype)


def _forward(primitive: Primitive, args: list[Any], meta: dict[str, Any], live: bool) -> Any:
    meta = primitive.call_meta(meta)
    if live or any(isinstance(arg, Tensor) for arg in args):
        return apply(primitive, tuple(args), meta)
    return primitive.evaluate(args, meta)


def _transposed(node: Node, tangents: dict[int, Any], live: bool) -> Any:
    """Return the derivative of an operation along tangents of some arguments, by transposing their VJP rules.

    A rule maps the conjugate of a cotangent to the conjugate of a gradient, see `backward.walk`. With C for conjugation
    a rule is C Jᵀ C, so that J is C times the transpose of the rule times C.
    """
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    args, out, meta = lift(node)
    if not live:  # only the cotangent is a variable; all other Tensors become constants
        args = [wrap(stored_array(arg), None) if isinstance(arg, Tensor) else arg for arg in args]
        out = wrap(node.out, None)
        meta = {key: wrap(x, None) if type(x) is np.ndarray and key in primitive.saves else x
                for key, x in node.meta.items()}
    cotangent = leaf(generic_cotangent(stored_array(out)))
    level = level_of(*tangents.values())  # the vmap over directions; outside it, rules run once for all directions
    with recording(True):
        with level.outside_level() if level else nullcontext():
            rules: Any = primitive.vjps
            if primitive.jointly is not None:
                rules = primitive.jointly(cotangent, out, *args, **meta)
        total = None
        for slot, v in tangents.items():
            row = rules[slot]
            if row is not None and primitive.jointly is None:
                with level.outside_level() if level else nullcontext():
                    row = row(cotangent, out, *args, **meta)
            if not isinstance(row, Tensor) or row.node is None:
                continue
            arg = args[slot]
            if row.shape != arg.shape:
                row = sum_to(row, arg.shape, primitive)
            row = cast(row, arg.dtype)
            end: Node = cotangent.node  # type: ignore[assignment]
            with recording(live):  # if v has a leading axis of directions, it is a Tensor even if not live
                back = walk(row.node, conj(v), wanted=frozenset((end,)), differentiable=isinstance(v, Tensor))
            part = back.get(end)
            if part is not None:
                total = conj(part) if total is None else total + conj(part)
    return total


def generic_cotangent(like: Any) -> Any:
    """Return an irregular cotangent of the same shape and dtype; ones could cancel by a symmetry of the function."""
    return np.cos(np.arange(like.size)).reshape(like.shape).astype(like.dtype)
