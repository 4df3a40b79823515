"""Measure how far apart the gradients of one batch are by the three roads, for each parameter, without a diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arguments import as_generator
from ..common.printable import counted
from ..nn.layer import Layer
from ..solver import BackProp, Solver
from ..solver.checks import check_inputs, check_manual_loss, check_model, check_targets
from .diagnosis import Difference, Row
from .experiment import Experiment
from .layers.comparison import ThreeRoads
from .rows import checked_entries

if TYPE_CHECKING:
    Rng = np.random.Generator | int | None

Array = np.ndarray[Any, Any]

MOST = 400  # entries that are differentiated numerically; each costs a forward pass that starts at its layer
ROUNDING = 4500  # machine epsilons that two exact roads may differ by: 1e-12 in float64
NUMERICAL = 1e-7  # the relative accuracy that is expected of a numerical derivative


@dataclass(frozen=True)
class Parameter:
    """What the three roads say about one parameter.

    Attributes:
        name, shape: ``layer 1 W`` and the shape of the array.
        largest: the largest absolute entry of the graph's gradient.
        manual_graph: the difference between the equations written by hand and the graph, over all entries.
        graph_numerical, manual_numerical: the differences over the entries that were differentiated numerically.
        checked: how many entries were differentiated numerically.
        kinks: how many more were tried and stand at a kink of the loss, where no derivative exists.
        doubt: the largest error that a numerical entry may have.
        rounding: how far apart rounding alone may take the other two roads, if large terms of a sum cancel.
    """

    name: str
    shape: tuple[int, ...]
    largest: float
    manual_graph: Difference
    graph_numerical: Difference
    manual_numerical: Difference
    checked: int
    kinks: int
    doubt: float
    rounding: float = 0.0

    @classmethod
    def of(cls, row: Row) -> Parameter:
        """Return the parameter of a row in which all three roads are known; ValueError if one is not."""
        apart = row.apart
        if apart is None:
            raise ValueError(f"{row.name} {row.note}: the roads cannot be measured against each other.")
        return cls(row.name, row.shape, apart.largest, apart.manual_graph, apart.graph_numerical,
                   apart.manual_numerical, row.checked, apart.kinks, row.bound, apart.rounding)  # fmt: skip


@dataclass(frozen=True)
class RoadsReport:
    """The three roads, parameter by parameter; `str` returns a table.

    Attributes:
        parameters: in the order W, b of each layer.
        losses: the loss of the batch by each road.
        rounding: the relative difference that rounding may cause in `manual_graph`, in the dtype of the model.
        entries: how many entries all parameters have together.
    """

    parameters: tuple[Parameter, ...]
    losses: dict[str, float]
    rounding: float
    entries: int

    @property
    def checked(self) -> int:
        """The number of entries that were differentiated numerically."""
        return sum(row.checked for row in self.parameters)

    @property
    def kinks(self) -> int:
        """The number of entries that were to be differentiated numerically and stand at a kink."""
        return sum(row.kinks for row in self.parameters)

    @property
    def agree(self) -> bool:
        """Whether all roads give the same numbers, up to rounding and numerical error."""
        return not self.apart

    @property
    def apart(self) -> tuple[str, ...]:
        """The names of the parameters whose roads do not agree."""
        return tuple(row.name for row in self.parameters if not self._agrees(row))

    def _agrees(self, row: Parameter) -> bool:
        # `not <=` rather than `>`: NaN must not fit, and two zero gradients must
        if not row.manual_graph.absolute <= self.rounding * row.largest + row.rounding:
            return False
        allowed = max(NUMERICAL, self.rounding) * row.largest + row.doubt + row.rounding
        return all(difference.absolute <= allowed for difference in (row.graph_numerical, row.manual_numerical))

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        if self.apart:
            return f"The roads do NOT agree on {', '.join(self.apart)}."
        of = "all" if self.checked + self.kinks == self.entries else f"{self.checked:,} of"
        kinks = f" ({self.kinks:,} at a kink left out)" if self.kinks else ""
        return f"The three roads agree ({of} {counted(self.entries, 'entry')} checked numerically{kinks})."

    def __str__(self) -> str:
        lines = [f"{'parameter':<12}{'largest':>11}{'manual-graph':>15}{'graph-num.':>13}{'manual-num.':>13}"]
        lines += [
            f"{row.name:<12}{row.largest:>11.3g}{row.manual_graph.relative:>15.1e}"
            f"{row.graph_numerical.relative:>13.1e}{row.manual_numerical.relative:>13.1e}"
            for row in self.parameters
        ]
        return "\n".join([*lines, self.verdict])


def compare_roads(
    model: Sequence[Layer], x: Any, y: Any, *, solver: Solver, masks: Sequence[Array | None] | None = None,
    most: int = MOST, rng: Rng = 0,
) -> RoadsReport:  # fmt: skip
    r"""Compute the gradients of one batch by hand, by the graph and numerically, and compare them.

    .. math:: \text{absolute} = \max_i |p_i - q_i|, \qquad
              \text{relative} = \frac{\max_i |p_i - q_i|}{\max_i \max(|p_i|, |q_i|)}

    The numerical road takes a complex step through its own forward pass, always in float64. `compare_gradients`
    computes the same three roads, and also explains why they differ.

    Args:
        model: a list of layers, which are not changed.
        x, y: the batch, ``(batch, n_in)`` and ``(batch, n_out)``.
        solver: loss and penalty.
        masks: the dropout masks of a ``data_cache``, the same on all roads; by default nothing is dropped.
        most: how many entries to differentiate numerically; of a larger model, a random sample of each parameter.
        rng: a Generator or a seed for that sample.

    Returns:
        A frozen `RoadsReport`.

    Raises:
        TypeError, ValueError: the layers, the data and the solver do not fit each other.
        FloatingPointError: the loss is infinite or NaN.

    Example:
        >>> model = [Layer(4, 5, "relu", rng=0), Layer(5, 3, "softmax", rng=1)]
        >>> report = compare_roads(model, np.ones((2, 4)), np.eye(3)[:2], solver=Solver("crossentropy"))
        >>> report.agree, report.checked, report.parameters[0].name
        (True, 43, 'layer 1 W')
    """
    layers = check_model("compare_roads", model)
    check_manual_loss("compare_roads", solver)
    x = check_inputs("compare_roads", layers, x, "x")
    y = check_targets("compare_roads", layers, y, len(x), solver.loss, ("x", "y"))
    if most < 1:
        raise ValueError(f"compare_roads: most={most}; it needs at least 1 entry to differentiate.")
    with np.errstate(all="ignore"):  # the report says in words which numbers are not finite
        case = Experiment(layers, x, y, list(masks or [None] * len(layers)), solver)
        roads = ThreeRoads(case, BackProp)
        generator = as_generator(rng)
        rows = roads.parameters(generator, _sample(case, most, generator), directions=0)
    rounding = ROUNDING * float(np.finfo(case.dtype).eps)
    return RoadsReport(tuple(map(Parameter.of, rows)), roads.losses, rounding, checked_entries(rows)[1])


def _sample(case: Experiment, most: int, rng: np.random.Generator) -> list[Array]:
    """Return for each W and b the flat indices of the entries to differentiate numerically, about `most` in all."""
    sizes = [p.size for pair in zip(case.W, case.b, strict=True) for p in pair]
    total, chosen = sum(sizes), []
    for size in sizes:
        wanted = size if total <= most else min(size, max(1, round(most * size / total)))
        chosen.append(np.arange(size) if wanted == size else np.sort(rng.choice(size, wanted, replace=False)))
    return chosen
