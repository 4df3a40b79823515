"""The comparison for a list of layers: it computes the rows, runs the experiments, and collects the diagnoses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...backward import ancestors, walk
from ...common.printable import counted
from ...nn.layer import Layer
from ...solver import BackProp, Solver
from ...solver.checks import check_inputs, check_manual_loss, check_model, check_targets
from ...solver.tasks.layers import LayerLoss, objective
from ..diagnosis import Diagnosis, Row
from ..edits import Edit
from ..edits.mended_stops import add_notes, mended
from ..edits.trial import edited
from ..experiment import Experiment, Manual, own_generator, similar_experiments, user_experiment, varied_experiments
from ..numerical.noise import SAFETY, Noise, bounds
from ..numerical.referee import Referee
from ..numerical.sides import Run, Sides
from ..numerical.subgradients import Hull
from ..paths import gradients, traced
from ..report import ComparisonReport
from ..rows import ArrayPair, CheckedEntry, checked_entries, compare_row
from ..tiny_constants import smaller_constants, tiny_constant
from .fit import Witness
from .lines import with_source_lines
from .verdict import diagnose, explained_report

Array = np.ndarray[Any, Any]

AROUND = 4  # how many sides of the point are looked at first, if a gradient is not the graph's
ENTRIES, FEW, DIRECTIONS = 24, 6, 4  # numerical: entries of a parameter, of an intermediate array; random directions
EPS = float(np.finfo(np.float64).eps)
CALL = "compare_gradients"


class GraphValues(NamedTuple):
    """The numbers of the graph: the loss, and for each layer z, a, delta and the gradients."""

    loss: float
    z: list[Array]
    a: list[Array]
    delta: list[Array]
    dW: list[Array]
    db: list[Array]


def run_graph(case: Experiment, dtype: Any) -> GraphValues:
    """Build the graph of an experiment in a dtype, walk back, and return its values and gradients."""
    model = _layers(case, case.W, case.b, dtype)
    x, y = case.x.astype(dtype), case.y.astype(dtype)
    masks = [None if m is None else m.astype(dtype) for m in case.masks]
    loss = objective(LayerLoss(model, case.solver, y), x, y, masks)
    gradient_of: dict[Any, Array] = {}
    leaf_gradients = walk(loss.node, np.ones((), dtype), keep=gradient_of.__setitem__)  # type: ignore[arg-type]
    z, a, delta = [], [], []
    nodes = sorted(ancestors([loss.node]), key=lambda node: node.index)  # type: ignore[list-item]
    for k, layer in enumerate(model, 1):
        layer_nodes = [node for node in nodes if node.scope == f"layer {k}" and node.primitive is not None]
        weighted = next(node for node in layer_nodes if node.primitive.name == "affine")  # type: ignore[union-attr]
        z.append(np.asarray(weighted.out))
        delta.append(np.asarray(gradient_of.get(weighted, np.zeros_like(z[-1]))))
        a.append(np.asarray(layer_nodes[-1].out if k < len(model) else layer.act(z[-1])))
    zero = [np.zeros_like(p.data) for layer in model for p in (layer.W, layer.b)]
    parameter_gradients = [leaf_gradients.get(p.node, zero[i])  # type: ignore[arg-type]
                           for i, p in enumerate(p for layer in model for p in (layer.W, layer.b))]
    return GraphValues(float(loss.data), z, a, delta, parameter_gradients[::2], parameter_gradients[1::2])


def _layers(case: Experiment, W: Sequence[Array], b: Sequence[Array], dtype: Any) -> list[Layer]:
    """Return the layers of an experiment with these parameters, in a dtype."""
    layers = []
    for layer, W_k, b_k in zip(case.model, W, b, strict=True):
        new = Layer(layer.n_in, layer.n_out, layer.activation, rng=0, dtype=dtype)
        new.W, new.b = W_k, b_k
        layers.append(new)
    return layers


class ThreeRoads:
    """The gradients of one batch by hand, by the graph and numerically, with bounds of the rounding errors."""

    def __init__(self, case: Experiment, manual: Manual) -> None:
        """Compute the first two roads; the numerical one is computed later, entry by entry. The loss must be finite."""
        case.answer = case.run_user_backward(manual)
        self.case, self.noise, self.referee = case, bounds(case), Referee(case)
        self.graph = run_graph(case, np.float64)
        self.graph_in_model_dtype = run_graph(case, case.dtype) if case.dtype != np.float64 else None
        self.eps = SAFETY * float(np.finfo(case.dtype).eps)

    @property
    def title(self) -> str:
        """One line that tells what was compared: widths, activations, loss, rows and dtype."""
        case = self.case
        widths = " - ".join(map(str, case.widths))
        return f"{widths} ({', '.join(case.names)}), {case.solver.loss}, {counted(case.rows, 'row')}, {case.dtype}"

    @property
    def losses(self) -> dict[str, float]:
        """The loss of the batch by each road."""
        return {"manual": self.case.answer.loss, "graph": self.graph.loss, "numerical": self.referee.loss()}

    def parameters(
        self, rng: np.random.Generator, entries: Sequence[int | Array], directions: int = DIRECTIONS
    ) -> list[Row]:
        """Return a row for W and b of each layer.

        `entries` tells for each parameter how many entries, or which ones, to differentiate numerically.
        """
        answer, graph, noise, in_model_dtype = self.case.answer, self.graph, self.noise, self.graph_in_model_dtype
        rows: list[Row] = []
        for k in range(len(self.case.W)):
            for part, user_gradient, graph_gradient, bound, float32 in (
                ("W", answer.dW[k], graph.dW[k], noise.dW[k], in_model_dtype and in_model_dtype.dW[k]),
                ("b", answer.db[k], graph.db[k], noise.db[k], in_model_dtype and in_model_dtype.db[k]),
            ):
                directional = self._directional_derivatives(k, part, graph_gradient, bound, rng, directions)
                pair = ArrayPair(
                    f"layer {k + 1} {part}", "parameter", user_gradient, graph_gradient, self.eps * bound, float32
                )

                def judge(index: Any, k: int = k, part: str = part, bound: Array = bound) -> CheckedEntry:
                    slope = self.referee.entry(k, part, index)
                    return CheckedEntry(slope.value, SAFETY * EPS * float(bound[index]), slope.kink)

                rows.append(compare_row(pair, judge, rng, entries[len(rows)], directional)[0])
        return rows

    def _directional_derivatives(
        self, k: int, part: str, gradient: Array, bound: Array, rng: np.random.Generator, count: int
    ) -> list[tuple[float, float, float]]:
        """Return (graph, numerical, bound) of the derivative along random directions of one parameter."""
        derivatives = []
        for _ in range(count):
            v: Array = np.asarray(rng.normal(size=gradient.shape))
            slope = self.referee.direction(k, part, v)
            if not slope.kink:
                allowed = SAFETY * EPS * float((bound * np.abs(v)).sum())
                derivatives.append((float((gradient * v).sum()), slope.value, allowed))
        return derivatives

    def intermediates(self, delta: Sequence[Array | None], rng: np.random.Generator) -> list[Row]:
        """Return a row for z, a and delta of each layer; `delta` holds the user's deltas, None if not known."""
        case, graph, noise, in_model_dtype = self.case, self.graph, self.noise, self.graph_in_model_dtype
        referee, rows, cache = self.referee, [], case.cache()
        for k in range(len(case.W)):
            values = (("z", cache.z[k], graph.z[k], noise.z[k], in_model_dtype and in_model_dtype.z[k]),
                      ("a", cache.a[k], graph.a[k], noise.a[k], in_model_dtype and in_model_dtype.a[k]))  # fmt: skip
            for name, user_value, graph_value, bound, float32 in values:
                pair = ArrayPair(
                    f"layer {k + 1} {name}", "intermediate", user_value, graph_value, self.eps * bound, float32
                )
                referee_value = (referee.z if name == "z" else case.a)[k]

                def check_value(index: Any, referee_value: Array = referee_value, bound: Array = bound) -> CheckedEntry:
                    return CheckedEntry(float(referee_value[index]), SAFETY * EPS * float(bound[index]), False)

                rows.append(compare_row(pair, check_value, rng, FEW)[0])
            pair = ArrayPair(
                f"layer {k + 1} delta",
                "intermediate",
                delta[k],
                graph.delta[k],
                self.eps * noise.delta[k],
                in_model_dtype and in_model_dtype.delta[k],
            )

            def check_delta(index: Any, k: int = k) -> CheckedEntry:
                slope = referee.delta(k, index)
                return CheckedEntry(slope.value, SAFETY * EPS * float(noise.delta[k][index]), slope.kink)

            unknown = "not known: the code returns dW and db only"
            rows.append(compare_row(pair, check_delta, rng, FEW, unknown=unknown)[0])
        return rows


def compare_model(
    model: Sequence[Layer], x: Any, y: Any, *, solver: Solver, manual: Manual = BackProp, rng: Any = 0
) -> ComparisonReport:
    """Compare the user's backward with the graph and the numerical road; see `compare_gradients`."""
    layers = check_model(CALL, model)
    check_manual_loss(CALL, solver)
    x = check_inputs(CALL, layers, x, "x")
    y = check_targets(CALL, layers, y, len(x), solver.loss, ("x", "y"))
    generator = own_generator(rng)
    with np.errstate(all="ignore"):  # the report says in words which numbers are not finite
        case = user_experiment(layers, x, y, solver, generator)
        if not math.isfinite(float(case.right.loss)):
            return _no_loss(case)
        try:
            roads = ThreeRoads(case, manual)
        except Exception as error:
            _add_stop_note(error, case, manual)
            raise
        repeated_answers = [case.run_user_backward(manual), case.run_user_backward(manual)]
        varied = [*_answered_cases(varied_experiments(case, generator), manual)]
        similar = [*_answered_cases(similar_experiments(case, generator), manual)]
        reg = solver.regularization
        resized = (
            [*_answered_cases(varied_experiments(case, generator, solver), manual)] if reg.lam or reg.dropout else []
        )
        witnesses = ([Witness(c, None) for c in cases] for cases in (varied, resized, similar))
        verdict = diagnose(Witness(case, roads.noise), *witnesses, repeated_answers=repeated_answers)
        rows = roads.parameters(generator, [ENTRIES] * (2 * len(layers)))
        rows += roads.intermediates(verdict.delta, generator)
        at_kink = _at_kink(case, roads.noise, rows, generator)
        verified, ratio = roads.referee.verify(generator)
        wrong = any(not row.ok and row.role == "parameter" for row in rows)
        tiny = _tiny_cause(manual, [case, *similar]) if wrong else 0.0
        report = ComparisonReport(roads.title, tuple(rows), losses=roads.losses, method=_method(rows, verified, ratio))
        report = explained_report(verdict, report, at_kink, tiny)
        if not report.ok:
            report = replace(report, diagnoses=tuple(with_source_lines(report.diagnoses, manual, [case, *similar])))
    if solver.regularization.dropout:
        seed = f"rng={rng!r}" if isinstance(rng, int) else "the rng that was given"
        note = (f"The masks come from a separate random stream that {seed} starts, so code that draws masks with the "
                "same seed gets others. The same rng gives the same report.")  # fmt: skip
        report = replace(report, notes=(*report.notes, note))
    return report


def _add_stop_note(error: Exception, case: Experiment, manual: Manual) -> None:
    """Add notes to an error that the user's backward raised: where it stopped, and the edit that makes it right."""
    right, noise, eps = run_graph(case, np.float64), bounds(case), SAFETY * float(np.finfo(case.dtype).eps)

    def wrong_with(edit: Edit) -> frozenset[str] | None:
        with edited(edit, manual) as is_possible:
            try:
                answer = case.run_user_backward(manual) if is_possible else None
            except Exception:  # an edited function may raise anything
                return None
        if answer is None:
            return None
        wrong = set()
        for part in ("dW", "db"):
            columns = zip(*(getattr(x, part) for x in (answer, right, noise)), strict=True)
            for k, (g, graph, bound) in enumerate(columns):
                if g.shape != graph.shape or not (np.abs(g - graph) <= eps * bound).all():
                    wrong.add(f"layer {k + 1} {part[1:]}")
        return frozenset(wrong)

    add_notes(error, mended(error, wrong_with, lambda: case.run_user_backward(manual)), CALL)


def _at_kink(case: Experiment, noise: Noise, rows: Sequence[Row], rng: np.random.Generator) -> bool:
    """Tell whether the user's gradients differ from the graph's and are right: a mean of the slopes at a kink."""
    pairs = [*zip(case.answer.dW, case.answer.db, strict=True)]
    if all(row.ok for row in rows if row.role == "parameter") or not all(
            np.isfinite(g).all() for pair in pairs for g in pair):  # fmt: skip
        return False

    def run(leaves: list[Array]) -> Run:
        model = _layers(case, leaves[::2], leaves[1::2], np.float64)
        loss = objective(LayerLoss(model, case.solver, case.y), case.x, case.y, case.masks)
        trace = traced([(loss.node, np.ones(()))], [p.node for layer in model for p in (layer.W, layer.b)])  # type: ignore[list-item,misc]
        return Run([np.asarray(loss.data)], trace, gradients(trace))

    eps = float(np.finfo(case.dtype).eps)
    leaves = [p for pair in zip(case.W, case.b, strict=True) for p in pair]
    bounds = [SAFETY * eps * n for pair in zip(noise.dW, noise.db, strict=True) for n in pair]
    sides = Sides(run, leaves, run(leaves), eps)
    sides.look_around(rng, AROUND)
    # the bounds of `noise` hold for the slopes that the equations choose at kinks, those of the sides for all slopes
    hull = Hull(sides, [np.maximum(a, b) for a, b in zip(bounds, sides.rounding(), strict=True)], rng)
    return hull.has_other_gradients() and hull.contains([g for pair in pairs for g in pair], range(len(leaves)))


def _tiny_cause(manual: Manual, cases: Sequence[Experiment]) -> float:
    """Return the largest tiny constant of the user's backward if all gradients are right with smaller ones, else 0."""
    tiny = tiny_constant(manual)
    if not tiny:
        return 0.0
    try:
        with smaller_constants(cases[0].dtype, manual):
            answers = [case.run_user_backward(manual) for case in cases]
    except Exception:  # user code may raise anything, such as a division of floats by 0
        return 0.0
    right, eps = True, float(np.finfo(cases[0].dtype).eps)
    for case, answer in zip(cases, answers, strict=True):
        noise = bounds(case)
        for grads, expected, units in ((answer.dW, case.right.dW, noise.dW), (answer.db, case.right.db, noise.db)):
            right = right and all(g.shape == r.shape and (np.abs(g - r) <= SAFETY * eps * n).all()
                                  for g, r, n in zip(grads, expected, units, strict=True))  # fmt: skip
    return tiny if right else 0.0


def _answered_cases(cases: Sequence[Experiment], manual: Manual) -> Any:
    """Run the user's backward on each experiment, and yield those on which it does not fail.

    It may work for the given batch or the given widths only.
    """
    for case in cases:
        try:
            case.answer = case.run_user_backward(manual)
        except Exception:  # user code may raise anything
            continue
        yield case


def _method(rows: Sequence[Row], verified: int, ratio: float) -> str:
    checked, size = checked_entries(rows)
    verified_text = f"; extrapolated differences confirm it along {verified} directions"
    return (f"Numerical: complex step in float64 at {checked:,} of {counted(size, 'entry')}, the worst of each array "
            f"among them, and along {DIRECTIONS} random directions of each parameter"
            f"{verified_text if verified and ratio <= 1 else ''}.")  # fmt: skip


def _no_loss(case: Experiment) -> ComparisonReport:
    """Return the report if the loss is not finite, so that there is no gradient to compare."""
    layer = next((k for k, z in enumerate(case.z) if not np.isfinite(z).all()), None)
    reason = (f"z of layer {layer + 1} is the first array that is not finite: the weights or the data are too large."
              if layer is not None else f"{case.solver.loss} takes the logarithm of a prediction that is not between 0 "
              f"and 1: end the model with 'sigmoid' or 'softmax', and not with {case.names[-1]!r}.")  # fmt: skip
    text = (
        f"The loss of this batch is {float(case.right.loss)}, so there is no gradient, and nothing to compare. {reason}"
    )
    return ComparisonReport("no finite loss", (), (Diagnosis("blind_test", "loss", text),), "loss")
