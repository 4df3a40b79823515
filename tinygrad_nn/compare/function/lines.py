"""Find the line of the user's backward that is wrong, and add it to a diagnosis or report it as one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain, combinations, compress, islice
from typing import Any

import numpy as np

from ...gradcheck.numerical import is_float
from ..budget import Budget
from ..conventions.code import Code
from ..diagnosis import Diagnosis
from ..edits import Edit, line_of_all, line_of_result, nearest_edits
from ..experiment import nearby, reordered
from .inputs_and_results import ComparisonInput, ComparisonResult, draw_cotangents
from .possible_backwards import Batch, PossibleBackward, possible_backwards

Array = np.ndarray[Any, Any]

# processor time of the search: if nothing explains any gradient, if something is not explained, and if all is
PATIENT, SECONDS, LESS = 5.0, 1.5, 1.0
# the most other sizes, the most axes of which each set is tried, and the processor time for that
SIZES, AXES, SECONDS_OF_SIZES = 8, 6, 0.3
CLOSE = 1e-8  # of the largest entry: in float64, another order of summation changes a gradient by less
# kinds that do not tell which part of the code is wrong
OPEN = ("unknown", "scale", "sign", "detached", "not_carried_back")


Elsewhere = Callable[[Code, list[Array], list[Array]], tuple[list[Array], list[Array]]]


def with_source_lines(
    comparison: ComparisonInput, result: ComparisonResult, compute_right: Elsewhere, diagnoses: list[Diagnosis],
    call_args: tuple[Any, Any, Any],
) -> list[Diagnosis]:  # fmt: skip
    """Return the diagnoses with the source line of each, and the change of that line that makes the gradients right.

    If nothing else explains a wrong gradient, a change of a line that makes it right becomes its diagnosis.

    Args:
        comparison, result: the code at its inputs, and the right gradients there.
        compute_right: returns the right gradients at other inputs, and bounds of their errors.
        diagnoses: the diagnoses that were found without the source.
        call_args: the function, its inputs and the backward as `compare_gradients` was given them.
    """
    bad = [d for d in diagnoses if not d.harmless and d.kind != "blind_test"]
    if not bad:
        return diagnoses
    batches = [
        Batch(
            comparison.code,
            comparison.float64_inputs,
            comparison.g,
            comparison.outs,
            result.right_gradients,
            result.error,
            result.ignored,
        )
    ]
    right_here = _right(batches[0], comparison.user_gradients)
    batches += _draw_batches(comparison, compute_right, right_here)
    resized_probes = [k for k, b in enumerate(batches) if b.code is not comparison.code]
    given = len(batches)

    def further() -> range:
        if len(batches) == given:
            batches.extend(_further_batches(comparison, compute_right, right_here))
        return range(given, len(batches))

    labels = comparison.labels
    backwards = list(possible_backwards(comparison.code, *call_args, batches[0]))
    is_open = any(d.kind in OPEN for d in bad) or any(backward.stores_gradients for backward in backwards)
    budget = Budget(PATIENT if all(d.kind == "unknown" for d in bad) else SECONDS if is_open else LESS)
    edits: list[Edit] = []
    pairing = comparison.code.pairing
    kept = set() if pairing is None else {*pairing.kept_shapes}
    @cache
    def limits(probe: int) -> tuple[list[Any], list[Any]]:
        batch = batches[probe]
        return [limit_around(out, 0.0, False) for out in batch.outs], _limits(batch)

    for k, backward in enumerate(backwards):

        def are_right(value: Any, probe: int, backward: PossibleBackward = backward) -> list[bool]:
            batch = batches[probe]
            outs, grads = backward.finish(value)
            with np.errstate(invalid="ignore"):
                if outs is not None and not all(map(agree, outs, batch.outs, limits(probe)[0])):
                    return [False] * len(batch.right_gradients)
                gradients = comparison.code.gradients_from(grads)
                right = [*map(agree, gradients, batch.right_gradients, limits(probe)[1], batch.ignored)]
            lost = set() if pairing is None else pairing.kept_shapes.keys() - kept  # an edit keeps a right shape
            return [ok and i not in lost for i, ok in enumerate(right)]

        def call(new: Any, probe: int, backward: PossibleBackward = backward) -> Any:
            return backward.call(new, batches[probe])

        with budget:
            new_edits = nearest_edits(
                backward.target,
                call,
                are_right,
                probes=len(batches),
                may_fail=resized_probes,
                further=further,
                judges_more=backward.stores_gradients,
                seconds=budget.remaining / (len(backwards) - k),
                names=labels,
            )
        edits += [e for e in new_edits if not any(set(e.fixes) <= set(other.fixes) for other in edits)]
    wrong = {label for label, ok in zip(labels, right_here, strict=True) if not ok}
    diagnoses = _add_edits(diagnoses, edits, labels, bad, wrong)
    explained = {labels[i] for edit in edits for i in edit.fixes}
    if not backwards:
        return diagnoses
    unexplained = [d for d in diagnoses if not d.harmless and d.where in labels and d.where not in explained]
    return [_add_line(d, backwards[0].target, labels, unexplained) if d in unexplained else d for d in diagnoses]


def _add_edits(
    diagnoses: list[Diagnosis], edits: list[Edit], labels: list[str], bad: list[Diagnosis],
    wrong: Collection[str] = (),
) -> list[Diagnosis]:  # fmt: skip
    """Add edits to the diagnoses that they explain.

    `labels` are the inputs, `bad` the diagnoses of mistakes; an edit that mends not all `wrong` gradients says which.
    """
    named = {label for d in bad for label in _labels(d)}
    joint = {d.where for d in bad if not _labels(d) <= set(labels)}
    rest = [e for e in edits if not {labels[i] for i in e.fixes} & named]  # of inputs without a diagnosis of their own
    for edit in edits:
        is_joint = len(edits) == 1 or (rest == [edit] and len(joint) == 1)
        mended = [labels[i] for i in edit.fixes]
        diagnoses = _add_edit(diagnoses, edit, mended, joint if is_joint else set(), not {*wrong} <= {*mended})
    return diagnoses


def _labels(d: Diagnosis) -> set[str]:
    """Return the inputs that a diagnosis is about, if its place is a list of them."""
    return set(d.where.split(", "))


def limit_around(right: Array, error: Any, ignored: Any) -> Any:
    """Return how far an array may be from the right one."""
    return error + CLOSE * float(np.abs(np.where(ignored, 0.0, right)).max(initial=0.0))


def agree(found: Array, right: Array, limit: Any, ignored: Any = False) -> bool:
    """Tell whether an array is at most `limit` from the right one in each entry that is not ignored."""
    if found.shape != right.shape:
        return False
    return bool(np.count_nonzero((np.abs(found - right) <= limit) | ignored) == found.size)  # ndarray.all takes longer


def _add_edit(
    diagnoses: list[Diagnosis], edit: Edit, labels: list[str], joint: set[str], is_part: bool = False
) -> list[Diagnosis]:
    """Add an edit to the diagnoses that it explains: those of the inputs `labels`, and those at the places `joint`.

    If it is only a part of what must change, it says at these places which gradients are right with it.
    """
    name = edit.names[0] if len(edit.names) == 1 else ""
    place = f"line {edit.lineno}" + (f" ({name})" if name.isidentifier() else "")
    new_diagnoses: list[Diagnosis] = []
    names = ", ".join(labels)
    text = f"{edit.sentence} With this change, the gradient of {names} is right, here and at other random inputs."
    edit_diagnosis = Diagnosis(edit.kind, f"{names}, {place}", text, edit.alternatives_note, alternatives=edit.kinds)
    for d in diagnoses:
        if d.harmless or not (d.where in joint or d.where in labels or set(labels) <= _labels(d)):
            new_diagnoses.append(d)
        elif d.kind == "unknown":
            is_told = edit_diagnosis.where in [e.where for e in new_diagnoses]
            evidence = (*d.evidence, *edit.alternatives_note)
            new_diagnoses.append(d if is_told else replace(edit_diagnosis, evidence=evidence))
        else:
            where = re.sub(r"operation \d+ of \d+", place, d.where)
            mends = f" With this change, the gradient of {names} is right." if is_part and d.where not in labels else ""
            evidence = (*d.evidence, edit.sentence + mends, *edit.alternatives_note)
            new_diagnoses.append(replace(d, where=where, evidence=evidence))
    explained = [d for d in new_diagnoses if d.where == edit_diagnosis.where]
    return [d for d in new_diagnoses if not (explained and not d.harmless and d.where in labels)]


def _add_line(d: Diagnosis, target: Any, labels: list[str], unexplained: list[Diagnosis]) -> Diagnosis:
    """Add to a diagnosis the line that assigns the gradient; to the first one also the line that all come from."""
    line = line_of_result(target, labels.index(d.where), labels)
    sentences = [] if line is None else [f"it is assigned in line {line[0]}: {line[1]}"]
    unknown = [labels.index(e.where) for e in unexplained if e.kind in OPEN]
    shared = line_of_all(target, unknown, labels) if d is unexplained[0] and len(unknown) > 1 else None
    if shared is not None:
        names = ", ".join(labels[i] for i in unknown)
        sentences.append(f"{names} all come from line {shared[0]}, and no right gradient does: {shared[1]}")
    return replace(d, evidence=(*d.evidence, *sentences))


def _draw_batches(
    comparison: ComparisonInput, compute_right: Elsewhere, right_here: Sequence[bool] = ()
) -> list[Batch]:
    """Return batches at other random inputs, the last one with another number of rows if the code accepts that.

    In the first, entries are in another order: a mask such as ``grad > 0`` may be right where the signs are the same.
    """
    code, rng = comparison.code, np.random.default_rng(0)
    others = chain(_with_other_rows(code), _with_other_sizes(code))
    draws = [([code], reordered), ([code], nearby), ([code], nearby), (others, nearby)]
    batches = [_first_batch(comparison, compute_right, codes, draw, rng, right_here) for codes, draw in draws]
    return [batch for batch in batches if batch is not None]


def _further_batches(
    comparison: ComparisonInput, compute_right: Elsewhere, right_here: Sequence[bool]
) -> Iterator[Batch]:
    """Yield batches with other numbers of columns and of what else is counted, and with other constants."""
    rng = np.random.default_rng(1)
    given = comparison.code
    rows = _with_other_rows(given, single=True) if any(right_here) else ()  # else nothing tells whether these are valid
    for code in islice(chain(_with_other_constants(given, rng), rows, _with_other_sizes(given)), SIZES):
        batch = _first_batch(comparison, compute_right, [code], nearby, rng, right_here)
        if batch is not None:
            yield batch


def _first_batch(
    comparison: ComparisonInput, compute_right: Elsewhere, codes: Iterable[Code], draw: Callable[..., Array],
    rng: np.random.Generator, right_here: Sequence[bool],
) -> Batch | None:  # fmt: skip
    """Return a batch of the first code that runs at random inputs, or None.

    Gradients that are right here must be right there as well if other code is drawn, and have the shape of their input
    if they have it here, else the code is not made for such inputs: ``p - y`` is no gradient where a column of ``y`` is
    left out.
    """
    shapes_here = [g.shape == x.shape for g, x in zip(
        comparison.user_gradients, comparison.float64_inputs, strict=True)]  # fmt: skip
    for code in codes:
        leaves = [draw(np.asarray(code.inputs.leaves[i], dtype=x.dtype), rng)
                  for i, x in zip(code.inputs.float_indices, comparison.float64_inputs, strict=True)]  # fmt: skip
        try:
            outs = code.arrays([x.copy() for x in leaves])
            cotangents, g, _note = draw_cotangents(code, leaves, outs, rng)
            right_gradients, error = compute_right(code, leaves, cotangents)
            gradients = code.gradients(leaves, g)
        except Exception:  # user code may raise anything for inputs that it was not made for
            continue
        batch = Batch(code, leaves, g, outs, right_gradients, error, [~np.isfinite(r) for r in right_gradients])
        have_shape = [g.shape == x.shape for g, x in zip(gradients, leaves, strict=True)]
        if code is comparison.code or (all(compress(_right(batch, gradients), right_here))
                                       and all(compress(have_shape, shapes_here))):  # fmt: skip
            return batch
    return None


def _right(batch: Batch, gradients: Sequence[Array]) -> list[bool]:
    """Tell for each gradient whether it is the right one of a batch."""
    return [*map(agree, gradients, batch.right_gradients, _limits(batch), batch.ignored)]


def _limits(batch: Batch) -> list[Any]:
    """Return how far each gradient may be from the right one of a batch."""
    return [*map(limit_around, batch.right_gradients, batch.error, batch.ignored)]


def _with_other_rows(code: Code, single: bool = False) -> Iterator[Code]:
    """Yield the code with one row less, or one more than two, in arrays with as many rows as one of the matrices.

    If there are matrices with more rows, those with a single one, as labels of one output, change only if `single`.
    """
    matrices = [x for x in code.inputs.leaves if isinstance(x, np.ndarray) and x.ndim > 1]
    lengths = dict.fromkeys(map(len, matrices))
    many = [n for n in lengths if n > 1]
    for rows in [n for n in lengths if n == 1 and many] if single else many or lengths:
        axes = [(i, 0) for i, x in enumerate(code.inputs.leaves) if np.shape(x)[:1] == (rows,)]
        yield _resized(code, axes, _one_less(rows))


def _with_other_sizes(code: Code) -> Iterator[Code]:
    """Yield the code with another length of some axes, for each smallest set of equally long axes with which it runs.

    They have one entry less or, if it runs with no such set, as with heads of a given number, twice as many.
    """
    axes_of: dict[int, list[tuple[int, int]]] = {}
    for i, x in enumerate(code.inputs.leaves):
        for axis, length in enumerate(np.shape(x)):
            axes_of.setdefault(length, []).append((i, axis))
    with Budget(SECONDS_OF_SIZES) as budget:
        for length, axes in axes_of.items():
            smallest: list[set[tuple[int, int]]] = []
            for places in (_one_less(length), [*range(length)] * 2) if length > 1 else ():
                counts = range(1, len(axes)) if len(axes) <= AXES else ()
                for chosen in chain(*(combinations(axes, count) for count in counts), [tuple(axes)]):
                    resized = _resized(code, chosen, places)
                    is_larger = any(one <= {*chosen} for one in smallest)
                    if not is_larger and (not budget.is_over or len(chosen) == len(axes)) and _runs(resized):
                        smallest.append({*chosen})
                        yield resized
                if smallest:
                    break


def _runs(code: Code) -> bool:
    try:
        code.arrays([np.array(code.inputs.leaves[i]) for i in code.inputs.float_indices])
    except Exception:  # user code may raise anything for inputs that it was not made for
        return False
    return True


def _one_less(length: int) -> list[int]:
    """Return the indices of all but the last entry, or those of two entries at most and the first again."""
    return [*range(length - 1)] if length > 2 else [*range(length), 0]


def _resized(code: Code, axes: Iterable[tuple[int, int]], places: list[int]) -> Code:
    """Return the code with only some `places` along axes, which are given as index of a leaf and number of the axis."""
    leaves = [*code.inputs.leaves]
    for i, axis in axes:
        leaves[i] = leaves[i].take(places, axis)
    return replace(code, inputs=code.inputs._replace(leaves=leaves))


def _with_other_constants(code: Code, rng: np.random.Generator) -> Iterator[Code]:
    """Yield the code with other numbers for the floats that have no gradient, if there are any."""
    inputs = code.inputs
    numbers = [i for i, x in enumerate(inputs.leaves) if is_float(x) and not np.ndim(x)]
    places = {*numbers}.difference(inputs.float_indices)
    leaves = [x * rng.uniform(0.8, 1.2) if i in places else x for i, x in enumerate(inputs.leaves)]
    if places:
        yield replace(code, inputs=inputs._replace(leaves=leaves))
