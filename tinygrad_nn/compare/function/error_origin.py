r"""Find where in the graph an error begins that no known mistake explains: the value whose gradient alone is wrong.

An error e of the gradient of a value v arrives at the inputs as :math:`J_v^T e`. So the errors of all inputs may come
from v if some e solves these linear equations, and gives no error at the inputs that are right. This tells something
only if there are more equations than unknowns. Of the values for which it holds, the one with the fewest unknowns is
named. If the equations do not determine e, it is tested whether single samples or steps count another number of times
than once, or whether only one of them is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...graph.walk import as_argument, rule_results
from ...node import Node
from ..budget import Budget
from ..mistakes import uses_of, value_name
from ..paths import Array, Edge, Traced, args_of, parents_of
from ..pattern import describe, fraction, list_text
from .gradient_data import GradientData
from .locations import describe_operation
from .mutants import right_cotangents

MOST = 6000  # the most entries of all values together; each of them takes the call of a rule
EQUATIONS = 400  # the most equations; if the inputs have more entries, random sums of them are taken
HALF = 0.5  # if at most this share of the entries of a gradient is wrong, the report lists them instead of samples
NAMED = 4  # how many operations a sentence names
SECONDS = 0.7  # about how long the equations of one input may be solved
SINGULAR = 1e-9  # a singular value below this share of the largest one counts as 0


class ErrorOrigin(NamedTuple):
    """Words for where an error begins; the kind and the place of the mistake if they are known."""

    text: str
    kind: str = "unknown"
    place: int = -1


class Spread(NamedTuple):
    """How errors of gradients in a graph spread to the gradients of the inputs, as linear equations.

    `errors` is their right side: the errors of the user's gradients. `matrices` holds for each value the matrix that
    takes an error of its gradient to the equations; `edge_matrices`, for each edge, the matrix that takes an error of
    the cotangent of the operation, through that argument only; `reached_masks` masks the entries of inputs that each
    value depends on.
    """

    errors: Array
    matrices: dict[Node, Array]
    edge_matrices: dict[Edge, Array]
    reached_masks: dict[Node, Array]
    tolerance: float

    def solve(self, matrix: Array, reached_mask: Array) -> tuple[Array, int] | None:
        """Return the solution for a matrix, and its rank; None if there is no solution, or if any errors had one."""
        if not matrix.size or not matrix.any():
            return None
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        rank = int((s > SINGULAR * s[0]).sum())
        if rank >= min(int(reached_mask.sum()), len(self.errors)):
            return None
        solution = vt[:rank].T @ ((u[:, :rank].T @ self.errors) / s[:rank])
        residual = np.abs(matrix @ solution - self.errors).max()
        return (solution, rank) if residual <= self.tolerance * np.abs(self.errors).max() else None


def propagate_errors(data: GradientData, input_numbers: Sequence[int]) -> Spread | None:
    """Return how errors of values reach some inputs; None if the graph is too large, or has complex values."""
    graph = data.trace
    sizes = [np.size(node.out) for node in graph.operations]
    has_complex = any(np.asarray(node.out).dtype.kind == "c" for node in (*graph.operations, *graph.inputs))
    if has_complex or sum(sizes) > MOST or not graph.operations:
        return None
    rows = sum(np.size(data.right_gradients[i]) for i in input_numbers)
    rng = np.random.default_rng(0)
    mix = None if rows <= EQUATIONS else rng.normal(size=(EQUATIONS, rows)) / np.sqrt(rows)
    matrices: dict[Node, Array] = {}
    reached_masks: dict[Node, Array] = {}
    start, errors = 0, np.zeros(rows)
    for i in input_numbers:
        size, node = np.size(data.right_gradients[i]), graph.inputs[i]
        scale = float(np.abs(data.right_gradients[i]).max(initial=0)) or 1.0  # so that the inputs count equally
        block = np.zeros((rows, size))
        block[start : start + size] = np.eye(size) / scale
        matrices[node] = block if mix is None else mix @ block
        reached_masks[node] = np.zeros(rows, dtype=bool)
        reached_masks[node][start : start + size] = True
        errors[start : start + size] = (data.user_gradients[i] - data.right_gradients[i]).reshape(-1) / scale
        start += size
    edge_matrices: dict[Edge, Array] = {}
    for place, node in reversed([*enumerate(graph.operations)]):
        total = np.zeros((rows if mix is None else EQUATIONS, np.size(node.out)))
        mask = np.zeros(rows, dtype=bool)
        for slot, block in _local_jacobians(node).items():
            parent: Any = parents_of(node)[slot]
            if parent in matrices:
                edge_matrices[place, slot] = matrices[parent] @ block
                total = total + edge_matrices[place, slot]
                mask = mask | reached_masks[parent]
        matrices[node] = total
        reached_masks[node] = mask if mix is not None else mask & total.any(axis=1)
    if not all(np.isfinite(m).all() for m in matrices.values()):
        return None
    return Spread(
        errors if mix is None else mix @ errors,
        matrices,
        edge_matrices,
        reached_masks,
        1e-3 if data.has_float32 else 1e-6,
    )


def _local_jacobians(node: Node) -> dict[int, Array]:
    """Return the Jacobian of each rule of an operation: (entries of the argument, entries of the result)."""
    size, shape = np.size(node.out), np.shape(node.out)
    blocks: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for k in range(size):
            g = np.zeros(size)
            g[k] = 1.0
            results = rule_results(node, g.reshape(shape))
            for slot, (parent, arg, r) in enumerate(zip(parents_of(node), args_of(node), results, strict=True)):
                if parent is not None and r is not None:
                    column = as_argument(np.asarray(r), np.asarray(arg)).reshape(-1)
                    blocks.setdefault(slot, np.zeros((len(column), size)))[:, k] = column
    return blocks


def error_origins(data: GradientData, wrong: Sequence[int], left_out: Sequence[int] = ()) -> list[ErrorOrigin]:
    """Return where the errors of some inputs begin, as far as that is known: one place for all, or one for each.

    Args:
        data: the data to explain the errors from.
        wrong: the inputs whose errors nothing explains.
        left_out: other wrong inputs, which are left out of the equations.
    """
    usable = [
        i for i, (m, g) in enumerate(zip(data.user_gradients, data.right_gradients, strict=True))
        if i not in left_out and m.shape == g.shape and np.isfinite(m).all() and np.isfinite(g).all()
    ]  # fmt: skip
    if not set(wrong) <= set(usable):
        return [_uses_sentence(data, i) for i in wrong]
    spread = propagate_errors(data, usable)
    uses = uses_of(data.trace)
    if spread is not None:
        names = list_text([data.label(i) for i in wrong])
        has_few_wrong = (
            len(wrong) == 1 and data.wrong_masks[wrong[0]].mean() <= HALF
        )  # then its wrong entries say more than samples
        origin = _value_sentence(data, spread, uses, names) or (
            None if has_few_wrong else _part_sentence(data, spread, uses, names)
        )
        if origin:
            return [origin]
        if len(wrong) > 1:
            return [error_origins(data, [i], [*left_out, *(j for j in wrong if j != i)])[0] for i in wrong]
    return [_uses_sentence(data, i) for i in wrong]


def _uses_sentence(data: GradientData, i: int) -> ErrorOrigin:
    """Return a sentence that names the operations that use an input, since what one of them gives back is wrong."""
    graph = data.trace
    edges = uses_of(graph).get(graph.inputs[i], [])
    places = list(dict.fromkeys(place for place, _ in edges))
    if not places:
        return ErrorOrigin("")
    subject = (
        "it passes"
        if len({describe_operation(graph, place, run=False) for place in places}) == 1
        else "one of these passes"
    )
    return ErrorOrigin(
        f"{data.label(i)} is used by {operations_text(graph, places)}: the error is in the gradient that {subject} "
        "back."
    )


def operations_text(graph: Traced, places: Sequence[int]) -> str:
    """Return words for operations, each line once."""
    texts = list(dict.fromkeys(describe_operation(graph, place, run=False) for place in places))
    more_text = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return (" and " if len(texts) == 2 else ", ").join(texts[:NAMED]) + more_text


class Candidate(NamedTuple):
    """Values whose gradient alone may be wrong: one, or all that one expression made.

    `error` is the error of their gradient that gives those of the inputs, `rank` the number of unknowns it has.
    """

    nodes: list[Node]
    error: Array
    rank: int


def _find_candidates(graph: Traced, spread: Spread, uses: dict[Node, list[Edge]]) -> list[Candidate]:
    """Return the values from which the errors of all inputs may come, those with the fewest unknowns first."""
    candidates = []
    used = [[node] for node in graph.operations if node in uses and node in spread.matrices]
    budget = Budget(SECONDS)
    for nodes in (*used, *_at_one_line(graph, uses)):
        if budget.is_over:
            break
        if sum(np.size(node.out) for node in nodes) > EQUATIONS:
            continue
        with budget:
            matrix = np.concatenate([spread.matrices[node] for node in nodes], axis=1)
            solution = spread.solve(matrix, np.any([spread.reached_masks[node] for node in nodes], axis=0))
        if solution is not None:
            candidates.append(Candidate(nodes, *solution))
    return sorted(candidates, key=lambda c: (c.rank, "name" not in (c.nodes[0].notes or {}), -c.nodes[0].index))


def _at_one_line(graph: Traced, uses: dict[Node, list[Edge]]) -> list[list[Node]]:
    """Return the groups of values that one expression computed when it ran several times."""
    lines: dict[Any, list[Node]] = {}
    for node in graph.operations:
        sites = (node.notes or {}).get("sites", ())
        if sites and node in uses and node.primitive is not None:
            lines.setdefault((sites, node.primitive.name), []).append(node)
    return [nodes for nodes in lines.values() if len(nodes) > 1]


def _value_sentence(data: GradientData, spread: Spread, uses: dict[Node, list[Edge]], names: str) -> ErrorOrigin | None:
    """Return the sentence that names the value whose gradient alone is wrong, or None."""
    graph = data.trace
    candidates = _find_candidates(graph, spread, uses)
    if not candidates:
        return None
    best = candidates[0]
    place = graph.operations.index(best.nodes[0])
    value, run_count = _value_text(graph, best.nodes[0], place), len(best.nodes)
    use_places = [
        p for c in candidates if c.rank == best.rank and len(c.nodes) == run_count for n in c.nodes for p, _ in uses[n]
    ]
    has_one_use, operations = len(set(use_places)) == 1, operations_text(graph, use_places)
    are = "are" if " " in names else "is"
    text = (f"{names} {are} wrong as if only the gradient of {value} were "
            f"wrong{f', in each of {run_count} runs' if run_count > 1 else ''}: the mistake is in the gradient that "
            f"{'' if has_one_use else 'one of '}{operations} passes back")  # fmt: skip
    if run_count > 1:
        return ErrorOrigin(f"{text}.")
    g = np.asarray(right_cotangents(graph)[place])
    gradient_text = f"the gradient of {value}"
    matrix = spread.matrices[best.nodes[0]]
    has_effect: Array = np.asarray(matrix.any(axis=0)).reshape(g.shape)
    if best.rank == int(has_effect.sum()):
        user_gradient = g + best.error.reshape(g.shape)
        users = [p for p, _ in uses[best.nodes[0]]]
        stale = _stale_mask_sentence(graph, users, user_gradient, has_effect)
        if stale:
            return ErrorOrigin(f"{stale} So {names} {are} wrong.", "dropout_mask_stale", users[0])
        wrong_mask = np.abs(user_gradient - g) > 1e-6 * np.abs(user_gradient - g).max()
        return ErrorOrigin(f"{text}. {_capitalized(describe(gradient_text, user_gradient, g, wrong_mask, 1e-6))}")
    part = _wrong_parts_text(spread, matrix, spread.reached_masks[best.nodes[0]], g, lambda axis: gradient_text)
    return ErrorOrigin(f"{text}. {_capitalized(part)}" if part else f"{text}.")


def _stale_mask_sentence(graph: Traced, places: list[int], user_gradient: Array, has_effect: Array) -> str:
    """Return the sentence that a gradient was multiplied by another dropout mask than in the forward pass, or ""."""
    node = graph.operations[places[0]]
    masks = [np.asarray(a) for a, p in zip(args_of(node), parents_of(node), strict=True) if p is None]
    g = right_cotangents(graph).get(places[0])
    if len(places) > 1 or g is None or not node.primitive or node.primitive.name != "multiply" or not masks:
        return ""
    mask, shape = masks[0], np.shape(g)
    if mask.ndim == 0 or user_gradient.shape != shape or len(np.unique(mask)) != 2 or mask.all():
        return ""
    is_checked = has_effect & (np.abs(g) > 1e-9 * np.abs(g).max())
    ratios = user_gradient[is_checked] / g[is_checked]
    used = np.unique(np.round(ratios / np.abs(mask).max(), 5))
    if len(used) != 2 or used[0] != 0 or abs(used[1] - 1) > 1e-5:
        return ""
    different_count = int((np.abs(ratios - np.broadcast_to(mask, shape)[is_checked]) > 1e-5 * np.abs(mask).max()).sum())
    return (
        f"The gradient is multiplied by a mask other than that of the forward pass: {different_count} of {len(ratios)} "
        "entries that can be checked differ. Reuse the mask of the forward pass."
    )


def _part_sentence(data: GradientData, spread: Spread, uses: dict[Node, list[Edge]], names: str) -> ErrorOrigin | None:
    """Return the sentence that only some samples or uses of an operation's argument give a wrong gradient, or None."""
    graph = data.trace
    cotangents = right_cotangents(graph)
    for (place, slot), matrix in spread.edge_matrices.items():
        parent: Any = parents_of(graph.operations[place])[slot]
        if place in cotangents and parent in graph.inputs:
            g = np.asarray(cotangents[place])

            def describe_parts(axis: int, place: int = place, parent: Any = parent, ndim: int = g.ndim) -> str:
                return (f"the contributions of the {_axis_word(ndim, axis, True)} of the result of "
                        f"{describe_operation(graph, place)} to "
                        f"the gradient of {value_name(parent)}")  # fmt: skip

            part = _wrong_parts_text(spread, matrix, spread.reached_masks[parent], g, describe_parts)
            if part:
                return ErrorOrigin(f"{names}: {part}")
    for node in graph.inputs:
        edges = [
            e for e in sorted(uses.get(node, ()), reverse=True) if e in spread.edge_matrices and e[0] in cotangents
        ]
        if len(edges) < 2:
            continue
        columns = np.stack([spread.edge_matrices[e] @ np.asarray(cotangents[e[0]]).reshape(-1) for e in edges], axis=1)
        phrase = _miscounted_text(columns, spread, spread.reached_masks[node],
                                  lambda k, edges=edges: f"number {k + 1} ({describe_operation(graph, edges[k][0])})")
        if phrase:
            return ErrorOrigin(f"Of the {len(edges)} uses of {value_name(node)}, {phrase}.")
    return None


def _wrong_parts_text(
    spread: Spread, matrix: Array, reached_mask: Array, g: Array, describe_parts: Callable[[int], str]
) -> str:
    """Return a phrase for the only rows or samples of a gradient that are wrong or do not count once; or ""."""
    axes = [axis for axis in range(g.ndim) if 1 < g.shape[axis] <= 64]
    for axis in axes:
        columns = np.stack([matrix @ _keep_only(g, axis, k).reshape(-1) for k in range(g.shape[axis])], axis=1)
        phrase = _miscounted_text(columns, spread, reached_mask, lambda k, axis=axis: _index_text(g, axis, k))
        if phrase:
            return f"in {describe_parts(axis)}, everything is right except that {phrase}."
    for axis in axes:
        for k in range(g.shape[axis]):
            part_entries = np.flatnonzero(_keep_only(np.ones(g.shape), axis, k))
            if spread.solve(matrix[:, part_entries], reached_mask) is not None:
                return f"in {describe_parts(axis)}, everything is right except {_index_text(g, axis, k)}."
    return ""


def _miscounted_text(columns: Array, spread: Spread, reached_mask: Array, name: Any) -> str:
    """Return a phrase for the terms that do not count once, if only that gives the errors and most are right; or ""."""
    nonzero = np.flatnonzero(columns.any(axis=0))  # a term of 0 may count any number of times
    solution = spread.solve(columns[:, nonzero], reached_mask)
    if solution is None or solution[1] < len(nonzero):
        return ""
    times: Array = np.ones(columns.shape[1])
    times[nonzero] += solution[0]
    odd = [k for k in range(len(times)) if abs(times[k] - 1) > 1e-4]
    if not odd or len(odd) > max(1, len(times) // 2):
        return ""
    phrases = [f"{name(k)} is missing" if abs(times[k]) < 1e-5 else f"{name(k)} counts {fraction(times[k], 1e-5)} times"
               for k in odd]  # fmt: skip
    return list_text(phrases)


def _keep_only(g: Array, axis: int, k: int) -> Array:
    """Return an array with one row, column or sample kept and all others set to 0."""
    masked = np.zeros(g.shape)
    np.moveaxis(masked, axis, 0)[k] = np.moveaxis(g, axis, 0)[k]
    return masked


def _axis_word(ndim: int, axis: int, is_plural: bool) -> str:
    """Return the word for the parts of an array along an axis: row, column, entry, or part."""
    word = {(2, 0): "row", (2, 1): "column", (1, 0): "entr"}.get((ndim, axis), "")
    if not word:
        return f"parts along axis {axis}" if is_plural else f"part along axis {axis}, number"
    return word + ("ies" if word == "entr" else "s") * is_plural + "y" * (word == "entr" and not is_plural)


def _index_text(g: Array, axis: int, k: int) -> str:
    return f"{_axis_word(g.ndim, axis, False)} {k}{' (the last)' if k == g.shape[axis] - 1 else ''}"


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


def _value_text(graph: Traced, node: Node, place: int) -> str:
    """Return words for a value: its name, or the operation that made it with its place in the source."""
    is_named = (node.notes or {}).get("name")
    return value_name(node) if is_named else f"the result of {describe_operation(graph, place, run=False)}"
