"""The results of a comparison: a `Row` of numbers for each array, a `Diagnosis` of a named kind for each mistake."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..common.printable import printable
from ..graph.equations import unicode_math

Array = np.ndarray[Any, Any]

OPERATIONS = {
    "statistic_as_constant": "a mean, variance, maximum or norm was treated as a constant",
    "not_carried_back": "the gradient is not passed back to the previous time step",
    "last_step_only": "only one of many steps contributes to the gradient",
    "detached": "the gradient stops too early",
    "residual_forgotten": "the residual branch is forgotten",
    "product_rule_half": "half of the product rule",
    "missing_factor": "a factor is missing",
    "wrong_value": "another value is used instead of the right one",
    "wrong_derivative": "the derivative of another function",
    "wrong_axis": "another axis than in the forward pass",
    "wrong_epsilon": "epsilon is forgotten, too large, or on the wrong side of the root",
    "wrong_ddof": "n instead of n - 1, or n - 1 instead of n",
    "mask_missing": "the gradient passes where it should be 0",
    "ties": "equal entries share the gradient in another way",
    "wrong_gate": "gates are mixed up",
    "flipped_kernel": "the kernel is flipped, or not flipped",
    "wrong_stride": "the stride is forgotten",
    "wrong_padding": "the padding is forgotten",
    "wrong_order": "parts are in the wrong order",
    "wrong_index": "the gradient goes to the wrong entries",
}  # kinds that only the search over the operations of a graph can find
KINDS = {
    "scale": "a constant factor too much or too little",
    "sign": "the sign is wrong",
    "transpose": "the matrix is transposed",
    "broadcast_not_summed": "a broadcast was not summed in the backward pass",
    "wrong_axis_sum": "summed over the wrong axis",
    "missing_activation_derivative": "the derivative of the activation is missing",
    "activation_derivative_at_wrong_value": "the derivative of the activation is taken at the wrong value",
    "softmax_diagonal_only": "only the diagonal of the Jacobian of softmax",
    "wrong_loss_gradient": "the gradient of another loss",
    "missing_penalty": "the penalty is missing",
    "extra_penalty": "a penalty that does not belong there",
    "wrong_penalty": "a penalty other than the solver's",
    "dropout_mask_missing": "the dropout mask is missing",
    "dropout_mask_stale": "a dropout mask other than that of the forward pass",
    "dropout_scale_missing": "the scale of the dropout mask is missing",
    "wrong_layer_input": "the input of another layer",
    "overwritten_not_accumulated": "overwritten instead of added up",
    "cotangent_ignored": "the cotangent is ignored",
    "kink": "a convention at a kink",
    "wrong_shape": "the numbers are right, the shape is wrong",
    "convention": "both are right, by different conventions",
    "rounding": "rounding",
    "blind_test": "a blind test",
    "nondeterministic": "a different result each time",
    "accumulated_over_calls": "each call adds to the one before",
    "inplace_overwrite": "an input was overwritten",
    "edit": "a small change of the source corrects it",
    **OPERATIONS,
    "unknown": "no known mistake explains it",
}
NO_GRAPH = "the graph is not known"  # the note of a row if the forward cannot run on Tensors
HARMLESS = frozenset({"kink", "convention", "rounding"})


@dataclass(frozen=True)
class Diagnosis:
    """Why a gradient is wrong.

    Attributes:
        kind: a key of `KINDS`.
        where: the layer or argument, and which of its arrays: ``layer 1 delta``.
        text: a sentence that describes the mistake.
        evidence: the measured numbers that the diagnosis rests on, one sentence each.
        equation: the right equation, in TeX; `formula` is the same for a terminal.
        number: the number of that equation in the docs (B.. or F..), or the name of the operation.
        factor: the name of a wrong factor, else empty.
        alternatives: other kinds of mistakes that would give exactly the same numbers.
    """

    kind: str
    where: str
    text: str
    evidence: tuple[str, ...] = ()
    equation: str = ""
    number: str = ""
    factor: str = ""
    alternatives: tuple[str, ...] = ()

    @property
    def harmless(self) -> bool:
        """Whether the kind is no mistake: a kink, another convention, or rounding."""
        return self.kind in HARMLESS

    @property
    def formula(self) -> str:
        """The right equation with its number, as a line of Unicode; empty if there is no equation."""
        return f"{self.number} {unicode_math(self.equation)}".strip() if self.equation else ""

    def __str__(self) -> str:
        right = f" Right: {self.formula}" if self.equation else ""
        return printable(f"{self.where}: {self.kind}. {self.text}{right}")


class Difference(NamedTuple):
    """How far two gradients of one array are apart.

    `absolute` is the largest difference of two entries; `relative` is `absolute` over the largest entry of both.
    """

    absolute: float
    relative: float

    @classmethod
    def of(cls, p: Array, q: Array) -> Difference:
        """Measure the difference of two arrays of one shape; for empty arrays it is 0."""
        if not p.size:
            return cls(0.0, 0.0)
        absolute = float(np.abs(p - q).max())
        largest = float(np.maximum(np.abs(p), np.abs(q)).max())
        return cls(absolute, absolute / largest if absolute else 0.0)


class Distances(NamedTuple):
    """The differences between the three roads for one array, pair by pair, in the dtype of the array.

    `manual_graph` covers all entries, the other two pairs only the entries that were differentiated numerically.
    `largest` is the largest absolute entry of the graph's gradient, `rounding` the largest error that rounding may
    cause, `kinks` the number of entries that stand at a kink.
    """

    manual_graph: Difference
    graph_numerical: Difference
    manual_numerical: Difference
    largest: float
    rounding: float
    kinks: int


@dataclass(frozen=True)
class Row:
    """What the three roads say about one array.

    Attributes:
        name, shape: ``layer 1 W`` and its shape.
        role: ``parameter``, ``input``, or ``intermediate`` (z, a and delta of a layer).
        ok: whether manual and graph agree in every entry, and the numerical derivatives agree with the graph.
        max_abs: the largest absolute difference between manual and graph.
        max_rel: the largest relative error of a wrong entry; if none is wrong, `max_abs` over the largest entry.
        cosine, ratio: the cosine of the angle between the two; the factor that best fits manual = ratio * graph.
        wrong: the share of entries that disagree.
        worst: index of the entry that disagrees most; `manual`, `graph`, `numerical`: its value by each road.
        odd: the road that disagrees with the other two, or ``""``.
        checked: how many entries were also differentiated numerically; `bound`: the largest error bound of these.
        note: remarks that are no number: another shape, entries that are not finite, an array that is not known.
        error: the errors as a small matrix to draw, or None.
        apart: the differences between the three roads, or None if manual is not known.
    """

    name: str
    shape: tuple[int, ...]
    role: str
    ok: bool
    max_abs: float
    max_rel: float
    cosine: float
    ratio: float
    wrong: float
    worst: tuple[int, ...]
    manual: float
    graph: float
    numerical: float
    odd: str
    checked: int
    bound: float
    note: str = ""
    error: Array | None = field(default=None, repr=False, compare=False)
    apart: Distances | None = field(default=None, repr=False, compare=False)


def compact_text(value: float, digits: int = 2) -> str:
    """Return a number as text of about 8 characters at most."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text
