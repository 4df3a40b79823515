r"""Gradients of factorisations at equal eigenvalues or singular values, where the eigenvectors are not unique.

The operations after the factorisation are run twice more: on its own result, and on a second, equally valid result
with other vectors for the equal values. A pair of equal values contributes the limit for unequal values that approach
each other along a direction `e`,

.. math:: \lim_{t \to 0} \frac{M_{ij}(\lambda + t e)}{t (e_j - e_i)} = \frac{M'_{ij}}{e_j - e_i}

where M' is the derivative of the cotangent along `e`. If both choices of vectors give the same gradient, it is the
gradient of the function. Otherwise the function depends on the choice of vectors and has no gradient: it is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .node import Node, recording, switched, thread
from .primitive import Primitive, Ties, undetermined
from .tensor import Tensor, apply, leaf, raw, wrap

Walk = Callable[..., dict[Node, Any]]
Path = Callable[..., Sequence[Node]]

def _of_settled(c: Any, out: Any, r: Any, g: Any, x: Any, wrong: Any) -> Any:
    return settled(c, g, x, wrong=wrong)


def _of_settled_in_x(c: Any, out: Any, r: Any, g: Any, x: Any, wrong: Any) -> Any:
    lost = undetermined(c).sum(axis=(-2, -1), keepdims=True) * np.ones_like(x)
    return settled(undetermined(lost), g, x, wrong=wrong)


# Returns the gradient r, with NaN for the matrices in `wrong`. Its own derivative with respect to x is not known.
# Forward mode differentiates that rule with respect to c and must find NaN too: hence `undetermined`, no constant NaN.
settled = Primitive("settled", lambda r, g, x, wrong: np.where(wrong, np.nan, r), [
    (_of_settled, "c"),
    (lambda c, out, r, g, x, wrong: np.where(np.any(wrong), np.nan, 0) * (g + np.any(c)), r"0, \text{ or NaN}"),
    (_of_settled_in_x, r"\text{NaN}"),
], "r")  # fmt: skip


def rules_at_ties(walk: Walk, ancestors: Path, node: Node, root: Node, seed: Any, rule_args: Sequence[Any]) -> Any:
    """Return the VJP rules of a factorisation: its own, or at equal values one that returns the gradient found here.

    The Nodes after it are used only at equal values; otherwise they may be freed already.
    """
    ties: Ties | None = node.primitive.ties  # type: ignore[union-attr]
    rules: Any = node.primitive.vjps  # type: ignore[union-attr]
    g, x = rule_args[0], node.args[0]  # type: ignore[index]
    if ties is None:
        return rules
    if thread.mode.traces:
        return (partial(rules[0], unknown=ties.refused),)
    if not ties.have_equal(node.out, x).any():
        return rules
    own_gradient: Any = None
    path = _path(ancestors((root,), node.index), node)
    if not ties.uses_vectors(raw(g), x) and not ties.uses_vectors(_rotated_cotangent(walk, path, node, root, seed), x):
        own_gradient = rules[0](*rule_args, **node.meta)
        if isinstance(g, Tensor) and np.isfinite(own_gradient.data).all():
            # No vectors are used, so the rule itself can be differentiated again.
            return (lambda *_, **__: own_gradient,)
    found = _settled(walk, path, node, root, seed, g, own_gradient)
    return (lambda *_, **__: found,)


def _rotated_cotangent(walk: Walk, path: Sequence[Node], node: Node, root: Node, seed: Any) -> Any:
    """Return the cotangent for another choice of vectors, since for a single choice it may be 0 by chance."""
    values = node.primitive.ties.rotated(node.out, node.args[0])  # type: ignore[union-attr, index]
    with switched("inspect", None):
        return raw(_cotangent(walk, path, node, root, seed, values)[0])


def _settled(walk: Walk, path: Sequence[Node], node: Node, root: Node, seed: Any, g: Any, own_gradient: Any) -> Any:
    """Return the gradient of the argument; where it depends on the chosen vectors, return `own_gradient` or NaN.

    Args:
        walk: the function `backward.walk`.
        path: the Nodes that depend on the factorisation, oldest first.
        node: the factorisation's Node.
        root: the Node of the result that is differentiated.
        seed: the cotangent of that result; if a Tensor, the returned gradient is a Tensor that depends on it.
        g: the cotangent of the factorisation.
        own_gradient: the gradient by the factorisation's own rule if no vectors are used, else None; it holds where
            the result is not differentiable in the values.
    """
    ties: Ties = node.primitive.ties  # type: ignore[union-attr, assignment]
    x, out, rule = node.args[0], node.out, node.primitive.vjps[0]  # type: ignore[index, union-attr]
    found, arrived = [], []
    with switched("inspect", None):  # operations that run again were inspected the first time
        for values in (out, ties.rotated(out, x)):
            again, g_tangent = _cotangent(walk, path, node, root, seed, values)
            arrived.append(raw(again))
            found.append(rule(again, values, x, g_tangent=g_tangent, **node.meta))  # type: ignore[misc]
    first, second = (raw(r) for r in found)
    half = np.sqrt(np.finfo(x.dtype).eps)  # compare half the digits: the operations that follow may lose as many
    scale = _largest(first) + _largest(second) + _largest(arrived[0]) / ties.size(out, x)[..., None, None]
    agree = _largest(first - second) <= half * scale  # False where either is NaN
    agree &= _largest(arrived[0] - raw(g)) <= half * _largest(raw(g))  # the second run gave the same cotangent
    wrong = ties.have_equal(out, x)[..., None, None] & ~agree
    if not isinstance(g, Tensor):
        return np.where(wrong, np.nan if own_gradient is None else own_gradient, first)
    r = np.where(wrong, 0, found[0])  # `settled` puts NaN where `wrong` is true
    return settled(r, g, wrap(x, node.parents[0]), wrong=wrong)  # type: ignore[index]


def _largest(x: Any) -> Any:
    return np.abs(x).max(axis=(-2, -1), keepdims=True, initial=0)


def _cotangent(walk: Walk, path: Sequence[Node], node: Node, root: Node, seed: Any, values: Any) -> tuple[Any, Any]:
    """Return the cotangent of a factorisation with the result `values`, and its derivative along `Ties.parted`."""
    parted = node.primitive.ties.parted(values, node.args[0])  # type: ignore[union-attr, index]
    start, live = leaf(values), isinstance(seed, Tensor)
    seed = seed if isinstance(seed, Tensor) else wrap(seed, None)
    with recording(True):
        g = _gradient_of(walk, _rerun(path, node, root, start, live), seed, start)
        unit = leaf(np.ones_like(values))
        slope = _gradient_of(walk, _gradient_of(walk, g, unit, start), wrap(parted, None), unit)
    return np.conj(g), np.conj(slope)


def _gradient_of(walk: Walk, out: Tensor, seed: Tensor, wanted: Tensor) -> Tensor:
    """Return the gradient of `out` with respect to `wanted`, as a Tensor; zeros if `out` does not depend on it."""
    if out.node is not None and wanted.node is not None:
        found = walk(out.node, seed, wanted=frozenset({wanted.node}), differentiable=True).get(wanted.node)
        if found is not None:
            return found  # type: ignore[no-any-return]
    return wrap(np.zeros_like(wanted.data), None)


def _path(later: Sequence[Node], node: Node) -> list[Node]:
    """Return those of the Nodes `later` (youngest first) that depend on `node`, oldest first."""
    depend = {node: None}
    for other in reversed(later):
        if other not in depend and any(parent in depend for parent in other.parents or () if parent is not None):
            depend[other] = None
    return list(depend)[1:]


def _rerun(path: Sequence[Node], node: Node, root: Node, start: Tensor, live: bool) -> Tensor:
    """Run the operations from `node` to `root` again, with the Tensor `start` as the result of `node`.

    If `live`, the other arguments stay linked to the graph, so that the result can be differentiated in them too.
    """
    tensors: dict[Node, Tensor] = {node: start}
    for other in path:
        primitive: Any = other.primitive
        args = [
            arg if parent is None else tensors[parent] if parent in tensors else wrap(arg, parent) if live else arg
            for arg, parent in zip(other.args or (), other.parents or (), strict=True)
        ]
        again = apply(primitive, tuple(args), primitive.call_meta(other.meta))
        if again.node is not None and other.notes is not None and "hooks" in other.notes:
            again.node.note(hooks=other.notes["hooks"])
        tensors[other] = again
    return tensors[root]
