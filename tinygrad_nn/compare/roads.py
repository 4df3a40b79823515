"""The gradients of one batch by three roads, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import manual
from ..gradcheck import derivative
from ..gradcheck.numerical import FIRST_STEP
from ..nn.layer import Layer
from ..solver import Solver
from ..solver.checks import check_inputs, check_model, check_named, check_targets
from ..solver.tasks.layers import LayerLoss, graph_step, manual_step
from .experiment import Experiment
from .further import kinks
from .noise import SAFETY as ROUNDINGS
from .noise import bounds
from .referee import Referee

if TYPE_CHECKING:
    Rng = np.random.Generator | int | None

Array = np.ndarray[Any, Any]

MOST = 400  # entries that are differentiated numerically; each costs about ten forward passes
ROUNDING = 4500  # machine epsilons that two exact roads may differ by: 1e-12 in float64
NUMERICAL = 1e-7  # what central differences can be trusted for
SAFETY = 10.0  # and how many times their own estimate of the error they may be off


class Difference(NamedTuple):
    """How far two gradients of one parameter are apart.

    `absolute` is the largest difference of two entries; `relative` is that over the largest entry of either.
    """

    absolute: float
    relative: float


@dataclass(frozen=True)
class Parameter:
    """What the three roads say about one parameter.

    Attributes:
        name, shape: ``layer 1 W`` and the shape of the array.
        largest: the largest entry of its gradient by the graph, without sign.
        manual_graph: between the equations written by hand and the graph, over all entries.
        graph_numerical, manual_numerical: over the entries that were differentiated numerically.
        checked: how many these are.
        kinks: how many more stand at a kink of the loss, where no numerical derivative exists.
        doubt: the largest error of a numerical entry, by its own estimate.
        rounding: how far rounding alone may take the other two apart: what cancels in sums of larger terms.
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


@dataclass(frozen=True)
class RoadsReport:
    """The three roads, parameter by parameter; `str` is a table.

    Attributes:
        parameters: in the order W, b of each layer.
        losses: the loss of the batch by each road.
        rounding: the relative difference that `manual_graph` may have in the dtype of the model.
        entries: how many entries all parameters have.
    """

    parameters: tuple[Parameter, ...]
    losses: dict[str, float]
    rounding: float
    entries: int

    @property
    def checked(self) -> int:
        """How many entries were differentiated numerically."""
        return sum(row.checked for row in self.parameters)

    @property
    def kinks(self) -> int:
        """How many of the entries looked at stand at a kink."""
        return sum(row.kinks for row in self.parameters)

    @property
    def agree(self) -> bool:
        """Whether all roads arrive at the same numbers."""
        return not self.apart

    @property
    def apart(self) -> tuple[str, ...]:
        """The parameters whose roads do not arrive at the same numbers."""
        return tuple(row.name for row in self.parameters if not self._fits(row))

    def _fits(self, row: Parameter) -> bool:
        # written so that NaN does not fit; two zeros do
        if not row.manual_graph.absolute <= self.rounding * row.largest + row.rounding:
            return False
        allowed = max(NUMERICAL, self.rounding) * row.largest + SAFETY * row.doubt + row.rounding
        return all(found.absolute <= allowed for found in (row.graph_numerical, row.manual_numerical))

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.apart:
            return f"The roads do NOT agree on {', '.join(self.apart)}."
        of = "all" if self.checked + self.kinks == self.entries else f"{self.checked:,} of"
        kinks = f" ({self.kinks:,} at a kink left out)" if self.kinks else ""
        return f"The three roads agree ({of} {self.entries:,} entries checked numerically{kinks})."

    def __str__(self) -> str:
        lines = [f"{'parameter':<12}{'largest':>11}{'manual-graph':>15}{'graph-num.':>13}{'manual-num.':>13}"]
        lines += [
            f"{row.name:<12}{row.largest:>11.3g}{row.manual_graph.relative:>15.1e}"
            f"{row.graph_numerical.relative:>13.1e}{row.manual_numerical.relative:>13.1e}"
            for row in self.parameters
        ]
        return "\n".join([*lines, self.verdict])


def compare_roads(
    model: Sequence[Layer],
    x: Any,
    y: Any,
    *,
    solver: Solver,
    masks: Sequence[Array | None] | None = None,
    most: int = MOST,
    rng: Rng = 0,
) -> RoadsReport:
    r"""Compute the gradients of one batch by hand, by the graph and numerically, and compare them.

    .. math:: \text{absolute} = \max_i |p_i - q_i|, \qquad
              \text{relative} = \frac{\max_i |p_i - q_i|}{\max_i \max(|p_i|, |q_i|)}

    The numerical road extrapolates central differences of the forward pass alone, in float64 always; an entry with a
    kink near by is differentiated by a complex step instead.

    Args:
        model: a list of layers; nothing in it is changed.
        x, y: the batch, ``(batch, n_in)`` and ``(batch, n_out)``.
        solver: loss and penalty.
        masks: the dropout masks of a ``data_cache``, the same on all roads; by default nothing is dropped.
        most: entries to differentiate numerically; of a larger model a random sample, some of each parameter.
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
    check_named("compare_roads", solver)
    x = check_inputs("compare_roads", layers, x, "x")
    y = check_targets("compare_roads", layers, y, len(x), solver.loss, ("x", "y"))
    if most < 1:
        raise ValueError(f"compare_roads: most={most}; it needs at least 1 entry to differentiate.")
    net = LayerLoss(layers, solver, y)
    loss_graph, dW, db = graph_step(net, x, y, masks)
    graph = [g for pair in zip(dW, db, strict=True) for g in pair]
    loss_hand, dW, db = manual_step(net, x, y, masks)
    hand = [g for pair in zip(dW, db, strict=True) for g in pair]
    case = Experiment(layers, x, y, list(masks or [None] * len(layers)), solver)
    noise, numerical = bounds(case), _Numerical(net, x, y, masks, Referee(case))
    eps = float(np.finfo(layers[0].dtype).eps)
    generator = np.random.default_rng(rng)
    total = sum(g.size for g in graph)
    rows = []
    for k, (g, h) in enumerate(zip(graph, hand, strict=True)):
        wanted = g.size if total <= most else min(g.size, max(1, round(most * g.size / total)))
        entries = np.arange(g.size) if wanted == g.size else np.sort(generator.choice(g.size, wanted, replace=False))
        slopes, doubts, smooth = numerical.slopes(k, entries)
        g_at, h_at, n_at = g.ravel()[entries][smooth], h.ravel()[entries][smooth], slopes[smooth]
        rows.append(
            Parameter(
                name=f"layer {k // 2 + 1} {'Wb'[k % 2]}",
                shape=g.shape,
                largest=float(np.abs(g).max()),
                manual_graph=_difference(h, g),
                graph_numerical=_difference(g_at, n_at),
                manual_numerical=_difference(h_at, n_at),
                checked=int(smooth.sum()),
                kinks=int((~smooth).sum()),
                doubt=float(doubts[smooth].max(initial=0.0)),
                rounding=ROUNDINGS * eps * float((noise.db if k % 2 else noise.dW)[k // 2].max()),
            )
        )
    losses = {"manual": loss_hand, "graph": loss_graph, "numerical": numerical.loss()}
    return RoadsReport(tuple(rows), losses, ROUNDING * eps, total)


def _difference(p: Array, q: Array) -> Difference:
    if not p.size:
        return Difference(0.0, 0.0)
    absolute = float(np.abs(p - q).max())
    largest = float(np.maximum(np.abs(p), np.abs(q)).max())
    return Difference(absolute, absolute / largest if absolute else 0.0)


class _Numerical:
    """The loss of a batch as a function of single entries of its parameters, in float64 and without a graph."""

    def __init__(
        self, net: LayerLoss, x: Array, y: Array, masks: Sequence[Array | None] | None, referee: Referee
    ) -> None:
        self.referee = referee
        self.net, self.x, self.y = net, x.astype(np.float64), y.astype(np.float64)
        self.masks = None if masks is None else [None if m is None else m.astype(np.float64) for m in masks]
        self.W = [layer.W.data.astype(np.float64) for layer in net.model]
        self.b = [layer.b.data.astype(np.float64) for layer in net.model]

    def loss(self) -> float:
        solver, names = self.net.solver, self.net.names
        z, a = manual.forward(self.W, self.b, names, self.x, self.masks)
        reg = solver.regularization
        return float(
            manual.objective(
                self.W, names, z, a, self.y, loss=solver.loss, penalty=reg.method, lam=reg.lam, r=reg.r
            )
        )

    def slopes(self, k: int, entries: Array) -> tuple[Array, Array, Array]:
        """Return the derivatives by some entries of parameter k, estimates of their errors, and where there are any."""
        array = (self.b if k % 2 else self.W)[k // 2]
        shape, flat = array.shape, array.reshape(-1)  # a view: the copies are contiguous
        noise = 4 * float(np.finfo(np.float64).eps) * max(1.0, abs(self.loss()))
        slopes, doubts, smooth = np.empty(len(entries)), np.empty(len(entries)), np.ones(len(entries), bool)
        for i, entry in enumerate(entries):
            before = flat[entry]

            def phi(t: float, entry: int = entry, before: float = before) -> float:
                flat[entry] = before + t
                return self.loss()

            found = derivative(phi, noise)
            flat[entry] = before
            slopes[i], doubts[i] = found.value, found.error
            if found.kink or self._crosses(flat, entry):  # steps of any size may be too large; a complex step is none
                index = tuple(int(j) for j in np.unravel_index(entry, shape))
                slope = self.referee.bias(k // 2, index) if k % 2 else self.referee.weight(k // 2, index)
                slopes[i], doubts[i], smooth[i] = slope.value, noise * abs(slope.value), not slope.kink
        return slopes, doubts, smooth

    def _crosses(self, flat: Array, entry: int) -> bool:
        """Whether a kink lies within the largest step of an entry: some z, error or weight changes its side."""
        before, sides = flat[entry], []
        for t in (-FIRST_STEP, FIRST_STEP):
            flat[entry] = before + t
            z, a = manual.forward(self.W, self.b, self.net.names, self.x, self.masks)
            side = [z_k > at for z_k, name in zip(z, self.net.names, strict=True) for at in kinks(name)]
            sides.append([*side, a[-1] > self.y, np.asarray(flat[entry] > 0)])
        flat[entry] = before
        return any((one != other).any() for one, other in zip(*sides, strict=True))
