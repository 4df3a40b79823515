"""Results of the internal functions of a comparison on small arrays: suspects, bounds, referee, kinks, sentences.

Each function gives a list of its results, with arrays abbreviated. `records/parts.json` has the expected ones.
"""

from __future__ import annotations

import ast
import linecache
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import tinygrad_nn as tg
from tests import small_steps, test_steps
from tests.cases import CASES
from tests.compare_record import NUMBER, digits, has_one_worst, numbers, of_row
from tests.compare_sweep import FUNCTIONS
from tests.step_programs import PROGRAMS, changed
from tests.wrong_backward import DEEP, DROPPED2, HEAVY, INNER, NARROW, ONE_ROW, PROBABLE, ROOT, SQUARE, YESNO, Setting
from tinygrad_nn.compare.diagnosis import Row
from tinygrad_nn.compare.edits.candidates import CandidateWriter
from tinygrad_nn.compare.edits.reading import read_source
from tinygrad_nn.compare.edits.scope import Scope, fields_used
from tinygrad_nn.compare.edits.search import describe_changes, numpy_name, slices_of
from tinygrad_nn.compare.edits.statement import statement_changes
from tinygrad_nn.compare.edits.trees import statements
from tinygrad_nn.compare.experiment import Experiment, own_generator, similar_experiments, varied_experiments
from tinygrad_nn.compare.function.calling import arrange
from tinygrad_nn.compare.function.cotangents import _variants
from tinygrad_nn.compare.function.last_steps import last_steps
from tinygrad_nn.compare.function.mutants import group_mutants, single_mutants
from tinygrad_nn.compare.layers import suspects
from tinygrad_nn.compare.mistakes.mistake import BY_NAME
from tinygrad_nn.compare.numerical import activations, referee
from tinygrad_nn.compare.numerical.kinks import KinkedGraph
from tinygrad_nn.compare.numerical.noise import bounds
from tinygrad_nn.compare.numerical.referee import Referee
from tinygrad_nn.compare.numerical.sides import Run, Sides
from tinygrad_nn.compare.numerical.subgradients import Hull
from tinygrad_nn.compare.paths import gradients, traced
from tinygrad_nn.compare.pattern import describe
from tinygrad_nn.compare.rows import ArrayPair, CheckedEntry, compare_row
from tinygrad_nn.compare.steps.comparison import judge_run
from tinygrad_nn.compare.steps.listing import as_html, as_text
from tinygrad_nn.compare.steps.names import as_mapping
from tinygrad_nn.compare.steps.probes import UserPasses
from tinygrad_nn.tensor import raw
from tinygrad_nn.transforms import new_input

Array = Any
FILE = Path(__file__).parent / "records" / "parts.json"
EPS = float(np.finfo(float).eps)
MISTAKEN = {*BY_NAME, "norm", "add", "exp"}
SETTINGS = {
    "deep": DEEP, "dropped": DROPPED2, "heavy": HEAVY, "square": SQUARE, "narrow": NARROW, "yes or no": YESNO,
    "root": ROOT, "probable": PROBABLE, "inner": INNER, "a row": ONE_ROW,
    "gelu": Setting((3, 4, 3), ("gelu", "elu(0.5)"), "mae", 4), "relu": Setting((3, 3, 3, 3), ("relu",) * 3, "mae", 4),
}  # fmt: skip


def brief(x: Any) -> Any:
    """An array as its shape, the sum of its absolute values, and where these lie."""
    if x is None or isinstance(x, (str, bool, int)):
        return x
    x = np.asarray(x)
    if x.dtype.kind in "bi":
        x = x.astype(float)
    size = float(np.abs(x).sum())
    if not np.isfinite(size):
        return [*x.shape, str(np.isnan(x).sum()), float(np.nan_to_num(x, posinf=0, neginf=0).real.sum().round(6))]
    along = np.cos(np.arange(x.size) + 0.7).reshape(x.shape)
    part = (x * along).sum() / (size or 1.0)
    return [*x.shape, float(f"{size:.5g}"), round(1 + float(np.real(part)), 4), round(1 + float(np.imag(part)), 4)]


def experiment(setting: Setting, given: bool = True, zeros: bool = False) -> Experiment:
    rng = np.random.default_rng(4)
    model, x, y, solver = setting.build(3)
    if zeros:  # at kinks
        x[0] = 0
        for layer in model:
            layer.b = np.zeros(layer.n_out)
        y[0] = 0
    p = solver.regularization.dropout
    masks = [(rng.random((len(x), layer.n_out)) > p) / (1 - p) if p and layer is not model[-1] else None
             for layer in model]  # fmt: skip
    return Experiment(model, x, y, masks, solver, is_user_batch=given)


def of_suspects(setting: Setting, zeros: bool = False) -> Callable[[], list[Any]]:
    def make() -> list[Any]:
        case, found = experiment(setting, zeros=zeros), []
        last = len(case.W) - 1
        for k in range(last + 1):
            delta, above = case.right.delta[k] + 0.01, case.right.delta[min(k + 1, last)] + 0.02
            of_delta = suspects.hidden_suspects(case, k) if k < last else suspects.output_suspects(case)
            groups = [(suspects.weight_suspects(case, k), delta), (suspects.bias_suspects(case, k), delta),
                      (of_delta, above)]  # fmt: skip
            for group, arriving in groups:
                for s in group:
                    try:
                        with np.errstate(all="ignore"):
                            value = brief(s.compute(case, arriving))
                    except ValueError:
                        value = "does not fit"
                    found.append([s.kind, s.cost, value])
        return found

    return make


def of_referee(setting: Setting, zeros: bool = False) -> Callable[[], list[Any]]:
    def make() -> list[Any]:
        case = experiment(setting, zeros=zeros)
        rng, judge, found = np.random.default_rng(0), Referee(case), []
        found += [brief(part) for part in (*judge.z, *judge.terms)]
        found.append(float(f"{judge.loss():.8g}"))
        for k, z in enumerate(judge.z):
            for slope in (
                judge.entry(k, "W", (0, 1)),
                judge.entry(k, "W", (1, 0)),
                judge.entry(k, "b", (1,)),
                judge.delta(k, (0, 1)),
                judge.direction(k, "W", rng.normal(size=case.W[k].shape)),
                judge.direction(k, "b", rng.normal(size=case.b[k].shape)),
                judge.derivative_along(k, rng.normal(size=z.shape)),
            ):
                found.append([float(f"{slope.value:.5g}"), bool(slope.kink)])
            value, error, kink = judge.differences(k, rng.normal(size=z.shape))
            found.append([float(f"{value:.4g}") if np.isfinite(value) else str(value), bool(error < 1e-6), kink])
        count, worst = judge.verify(rng)
        return [*found, count, bool(worst < 1)]

    return make


def of_bounds(setting: Setting, zeros: bool = False) -> Callable[[], list[Any]]:
    return lambda: [
        [part, *map(brief, arrays)] for part, arrays in bounds(experiment(setting, zeros=zeros))._asdict().items()
    ]


def of_experiments(setting: Setting, large: bool = False) -> Callable[[], list[Any]]:
    def make() -> list[Any]:
        start = experiment(setting)
        if large:
            start = Experiment(start.model, np.tile(start.x, (4000, 1)), np.tile(start.y, (4000, 1)),
                               [None] * len(start.W), start.solver, is_user_batch=True)  # fmt: skip
        found = []
        for group in (
            similar_experiments(start, np.random.default_rng(5)),
            varied_experiments(start, np.random.default_rng(6)),
            varied_experiments(start, np.random.default_rng(6), start.solver),
        ):
            for c in group:
                reg = c.solver.regularization
                found.append([c.is_user_batch, *map(brief, (c.x, c.y, *c.W, *c.b, *c.masks, *c.f)), reg.method,
                              *(float(f"{v:.4g}") for v in (reg.lam, reg.r, reg.dropout))])  # fmt: skip
        return found

    return make


def losses_of() -> list[Any]:
    """Each loss after each activation, and each activation, of real numbers and complex ones."""
    rng = np.random.default_rng(1)
    z = np.array([[0.0, -2.0, 1.5], [3.5, 0.3, -0.4], [-3.0, 40.0, -40.0]])
    found: list[Any] = []
    for name in ("sigmoid", "softmax", "tanh", "linear", "relu", "leaky_relu", "leaky_relu(0.2)",
                 *activations.ACTIVATIONS,
                 "elu(0.5)", "celu(0.7)", "softplus(2.0)", "hard_tanh(-0.5,2.0)"):  # fmt: skip
        both = (z, z + 1e-3j * rng.normal(size=z.shape))
        found.append([name, *(brief(referee.activate(name, at)) for at in both), activations.kinks(name),
                      activations.parse_parameters(name)])  # fmt: skip
    for loss in ("mae", "mse", "rmse", "crossentropy", "binarycrossentropy"):
        for output in ("softmax", "sigmoid", "linear", "hard_sigmoid"):
            for y in (np.eye(3), np.full((3, 3), 0.25), np.eye(3)[[1, 1, 0]]):
                for at in (np.abs(z / 20) + 0.01, z / 20 + 0.5 + 1e-3j * rng.normal(size=z.shape)):
                    with np.errstate(all="ignore"):
                        found.append([loss, output, brief(referee.loss_of(loss, output, at, y))])
    found += [brief(referee.loss_of("binarycrossentropy", output, z[:, :1] / 9, np.full((3, 1), 0.3)))
              for output in ("softmax", "sigmoid")]  # fmt: skip
    return found + [[brief(referee.penalty(method, at, 0.3, 0.2)) for at in (z, z + 1e-3j)]
                    for method in ("l1", "l2", "elasticnet", "none")]  # fmt: skip


def graph_of(f: Callable[..., Any], *leaves: Array) -> Callable[[Any], Run]:
    """Return a function that runs f at other inputs, with the backward walk from a weighted sum of f's entries."""
    with np.errstate(all="ignore"):
        out = np.asarray(raw(f(*leaves)))
    cotangent = (0.5 + np.cos(np.arange(out.size)).reshape(out.shape) ** 2).astype(out.dtype)

    def run(moved: Any) -> Run:
        tensors = [new_input(x) for x in moved]
        for name, t in zip("xyzuvw", tensors, strict=False):
            t.name = name
        found = f(*tensors)
        trace = traced([(found.node, cotangent)], [t.node for t in tensors])
        return Run([np.asarray(found.data)], trace, gradients(trace))

    return run


def of_mutants(f: Callable[..., Any], *leaves: Any, every: bool = True) -> Callable[[], list[Any]]:
    """The mistakes that the search tries in a function, at one operation and, if asked, at several."""

    def make() -> list[Any]:
        rng = np.random.default_rng(2)
        arrays = [rng.normal(size=x) if isinstance(x, tuple) else x for x in leaves]
        with np.errstate(all="ignore"):
            trace = graph_of(f, *arrays)(arrays).trace
            found = []
            for m in (*single_mutants(trace), *(group_mutants(trace, {}) if every else ())):
                if every or m.text:
                    grads = m.walk(trace)
                    made = brief(np.concatenate([np.ravel(g) for g in grads])) if grads else "cannot be made"
                    found.append([m.kind, m.place, m.linear, m.slot, m.is_unsummed, m.cost, m.times, made])
        return found

    return make


def _operations() -> Iterator[tuple[str, Callable[[], list[Any]]]]:
    """The mistakes of the operations that have some of their own, in up to three rows of the table of cases each."""
    seen: dict[str, int] = {}
    for case in CASES:
        single = any(isinstance(x, tuple) and not np.prod(x or (0,)) for x in case.shapes)
        if case.name.split(".")[-1] not in MISTAKEN or single or "none" in case.note or "nothing" in case.note:
            continue
        seen[case.name] = seen.get(case.name, 0) + 1
        if seen[case.name] <= 3:
            rng = np.random.default_rng(5)
            leaves = [rng.uniform(0.2, 1.8, x) if isinstance(x, tuple) else x for x in case.shapes]
            yield f"mistakes {case}", of_mutants(case.call, *leaves, every=False)


SEEN: dict[str, Any] = {  # by a line of a backward
    "x": np.arange(12.0).reshape(3, 4), "g": np.arange(1.0, 13).reshape(3, 4), "W": np.ones((4, 2)), "b": np.ones(4),
    "N": 3, "mask": np.eye(3, 4) > 0, "cache": {"h": np.ones((3, 4)), "i": 1, 3: 2.0}, "hs": [np.ones(4), np.ones(4)],
    "t": 1, "self": SimpleNamespace(x=np.ones((3, 4)), n=2, grads={"W": np.ones((4, 2))}, other={}),
    "y": np.array([0, 1, 2]), "q": np.ones((2, 3, 4)), "eps": 1e-5, "dx": np.ones((3, 4)), "dW": np.ones((4, 4)),
    "s": 2.5, "dz": np.float64(2.0), "gs": [np.ones(4)] * 3, "rows": range(3),
}  # fmt: skip
LINES = (
    "dx = g * x", "dx = g @ W.T / N", "db = np.sum(g, axis=0)", "db = g.sum(axis=0, keepdims=True)", "dW += x.T @ g",
    "dx = g * (1 - np.tanh(x) ** 2)", "dx[mask] = 0", "dx = np.where(x > 0, g, -g)", "dx = g * x * (1 - x)",
    "dv = -0.5 * np.sum(g * (x - b) * (x + eps) ** -1.5)", "dw = np.einsum('ij,jk->ik', x, W)", "a, c = c, a",
    "dx = np.pad(g, 1)[1:-1, ::2]", "cache['dh'] = self.grads['W'] - hs[t]", "while t < 3: t += 1", "dx -= g / s",
    "dx = np.dot(g, W.T) if N > 2 and not mask.any() else g", "for i in range(N, 0, -1): dx[i] -= g[y[i], :]",
    "return dx, dW, db", "self.x = cache['h'] * np.sqrt(x / N)", "dx = np.exp(x) / np.exp(x).sum(axis=1)[:, None]",
    "dx = g.reshape(N, 2, 2).mean(axis=(1, 2)).swapaxes(0, 1)", "dx = [g, x, b][t:][0].copy()",
    "dx = np.maximum(0, x) + np.array([1.0, 2.0])[0] // 2 % 3", "dq = q - q.mean(axis=-1)", "dq = -q.max(axis=(0, 1))",
    "dx = g[t : t + N, 1:] * s", "for row in hs: dx += row", "if t == 0: dx = g * dz", "dx *= g", "dx /= N - 1",
    "dx = np.outer(b, b) - np.diag(b) + abs(g)", "for i in rows: dx[i, y[i]] += 1.0", "dx = g.T.reshape(x.shape)",
    "dx = np.clip(g, -1, 1) ** 3", "b = gs[t] * len(hs)", "dx = g * ~mask", "self.grads['W'] *= self.n", "g.sort()",
    "dx = g[:2:2] - x[1::2]", "dx = g[::2, 1:3:2] * 2.0", "dq = q[..., 1:] - q[:, None, 0]",
    "b = np.zeros((N, 2 * N, t))", "dx = g.swapaxes(0, 1).T", "dx = np.hstack([g, x])[:, N:]", "dx = g * s ** -2",
    "for i in range(1, N, t): dx[i] += g[i]", "dx = np.sqrt(x + eps) / np.sqrt(b)", "dx = (g - x) - (x - b)",
    "dx = np.sum(g * x, axis=0, keepdims=True) / N", "dx = -np.exp(-x) % s", "dx = g[::-1, -1:]", "dx = g - g.mean()",
    "dq = q.transpose(0, 2, 1).sum(axis=(1, 2))", "dx = np.matmul(g, W) + np.einsum('ijk,ik->ij', q, g)[:, :2]",
    "dx = g if t >= N or t != 1 else x", "dx, dW = g * 2, np.full((N, 4), 0.5)", "dx = hs[-1] + cache['h'] * cache[3]",
    "dx = np.concatenate((g[:t], g[t:]), axis=0)", "dx = np.abs(g).max(axis=1, keepdims=True) - 1 / x",
    "dx = g * (x > 0) * s", "dx = g @ (W @ W.T)", "db = g.sum(0) * x.T.sum(1)[0]", "dx = np.array([g[i] for i in y])",
)  # fmt: skip


def of_edits(line: str, numpy: bool = True) -> Callable[[], list[Any]]:
    """The edits that the search tries for a line: their number for each cost and kind, and a checksum of their text."""

    def make() -> list[Any]:
        text = f"def backward(x, g, dx, N):\n    {line}\n    c = x[1:3]\n    for i in hs:\n        a = b\n        b = g"
        file = f"<{line}>"
        linecache.cache[file] = len(text), None, text.splitlines(True), file
        space: dict[str, Any] = {"np": np} if numpy else {}
        exec(compile(text, file, "exec"), space)
        source = read_source(space["backward"])
        assert source is not None
        used, fields = fields_used(ast.parse(line))
        scope = Scope(space, {n: v for n, v in SEEN.items() if n in {*used, "N", "cache"}}, {"far": np.ones((3, 4))})
        scope.find_atoms(used, fields)
        place, _, field, index = next(statements(source.statements))
        writer = CandidateWriter(place, scope, numpy_name(source), slices_of(source))
        found: dict[tuple[float, str], list[str]] = {}
        with np.errstate(all="ignore"):
            changes = [*writer.changes(), *statement_changes(writer, source.tree, field, index)]
        for change in changes:
            change.swap(change.swap(change.new))
            edit = describe_changes([(change.cost, source, change, frozenset({0}))], source)
            found.setdefault((round(change.cost, 3), edit.kind), []).append(f"{change.writes} {edit.sentence}")
        return [[ast.unparse(atom.node) for atom in scope.atoms],
                *([*key, len(said), checksum(repr(sorted(said)))] for key, said in sorted(found.items()))]  # fmt: skip

    return make


def of_sides(name: str, seed: int) -> Callable[[], list[Any]]:
    """Results of `Sides` for a function at its kinks: one-sided limits, kinks, and the gradients that are right."""

    def make() -> list[Any]:
        case = {f.__name__: f for f in FUNCTIONS}[name](np.random.default_rng(seed))
        leaves = [np.asarray(x) for x in case.inputs]
        run = graph_of(case.f, *leaves)
        with np.errstate(all="ignore"):
            here = run(leaves)
            sides = Sides(run, leaves, here, EPS)
            sides.look_around(np.random.default_rng(7), 6)
            found: list[Any] = [[*map(brief, s.limits), s.continuous, s.finite] for s in sides.explored]
            rounding = sides.rounding(spread=False)
            found += [[brief(b) for b in rounding], [brief(p) for p in sides.differs_between_sides(rounding)],
                      [brief(p) for p in sides.differs_from_value(rounding)]]  # fmt: skip
            graph = KinkedGraph(here.trace, 64 * EPS)
            found.append([graph.add(side) for side in sides.explored])
            for kink in graph.kinks:
                signs = [int(np.sign(m)) for m in kink.moves]
                slopes = [brief(np.concatenate([np.concatenate(p[1:]) for p in s])) for s in kink.slopes]
                found.append([kink.place, kink.output, kink.pattern, signs, slopes])
            groups = graph.dependent_groups() if graph.kinks else []
            weights = graph.random_weights()
            grads, arrived = graph.walk(weights)
            found += [groups, graph.by_unit(groups), [brief(g) for g in grads], [brief(w) for w in weights],
                      [brief(arrived[place]) for place in sorted(arrived)]]  # fmt: skip
            found += [[[[i, index.tolist(), brief(values)] for i, index, values in effect] for effect in each]
                      for each in graph.effects(weights, arrived)]  # fmt: skip
            for move in (0.0, 0.3, 1.7, -1.0):
                mine = [g + move * (h - g) for g, h in zip(here.grads, sides.explored[0].limits, strict=True)]
                hull = Hull(Sides(run, leaves, here, EPS), rounding, np.random.default_rng(8))
                hull.sides.look_around(np.random.default_rng(9), 4)
                found.append(
                    [
                        *hull.right_at_kink(mine),
                        hull.has_other_gradients(),
                        hull.contains(mine, range(len(mine))),
                        hull.has_looked_wide,
                    ]
                )
        return found

    return make


def of_steps(make: Callable[[], Any], inputs: Any, options: dict[str, Any], single: bool = False) -> Callable[[], Any]:
    """The report on the steps of a backward: what each belongs to, both verdicts and numbers, and the sentences."""

    def has_worst(row: Row) -> bool:
        return not row.ok and has_one_worst(row)

    def run() -> list[Any]:
        forward, backward = make()
        given = arrange(forward, inputs)
        leaves = [given.leaves[i].astype(np.float32) if single else given.leaves[i] for i in given.float_indices]
        rng = own_generator(0)
        called = UserPasses(forward, backward, given, as_mapping(options.get("names")), rng)
        with np.errstate(all="ignore"):
            report = judge_run(
                "steps", called.at(leaves), rng
            )  # without a search for the change, which has a time limit
        first = min((step.line for step in report.steps if step.line), default=0)
        found: list[Any] = [[0.0 if isinstance(v, float) and abs(v) < 1e-9 else v for v in (
            s.name, s.belongs_to, s.line and s.line - first, s.source, s.round, s.rounds, s.value_ok, s.rule_ok,
            *(part for row in (s.row, s.own) for part in (
                *of_row(replace(row, role="input", apart=None)),
                *((digits(row.manual, 4), digits(row.graph, 4)) if has_worst(row) else (0, 0)))),
            digits(s.arrived, 4) if has_worst(s.row) else 0,
        )] for s in report.steps]  # fmt: skip
        said = [[d.kind, re.sub(r"line \d+", "line", d.where), d.factor, *words_and_numbers((d.text, *d.evidence))]
                for d in report.diagnoses]  # fmt: skip
        shown = [re.sub(NUMBER, "#", text) for text in (" ".join(as_text(report.steps)), as_html(report.steps))]
        return [*found, said, *words_and_numbers((*report.notes, report.method)), *map(checksum, shown)]

    return run


def words_and_numbers(texts: tuple[str, ...]) -> list[Any]:
    """Return texts with # for each number, and the numbers that are neither rounding errors nor line numbers."""
    return [[re.sub(NUMBER, "#", text) for text in texts], numbers(" ".join(texts))]


def checksum(text: str) -> str:
    return f"{zlib.crc32(' '.join(text.split()).encode()):x}"


def _steps() -> Iterator[tuple[str, Callable[[], list[Any]]]]:
    for name, (make, inputs, options, (old, new, _)) in PROGRAMS.items():
        yield f"steps {name}", of_steps(make, inputs, options)
        yield f"steps {name}, one wrong", of_steps(changed(make, old, new), inputs, options)
        if name in ("two_layer", "lstm"):
            yield f"steps {name}, one wrong, single", of_steps(changed(make, old, new), inputs, options, single=True)
    for name in small_steps.PROGRAMS:
        inputs = {"x": np.array([0.5, -1.0, 2.0]), "w": np.array([1.5, 0.25, -0.75])}
        yield f"small steps {name}", of_steps(lambda name=name: small_steps.functions(name), inputs, {})
    for k, (old, new, name, _) in enumerate(test_steps.MISTAKES):
        both = test_steps.forward, changed(test_steps.backward, old, new)
        yield f"steps {k}, wrong {name}", of_steps(lambda both=both: both, test_steps.INPUTS, {})


def of_cotangents(*shapes: tuple[int, ...]) -> Callable[[], list[Any]]:
    """Other cotangents that a wrong backward may use instead of the one that arrives."""
    gs = [np.cos(np.arange(np.prod(shape, dtype=int)) + k).reshape(shape) for k, shape in enumerate(shapes)]
    return lambda: [[kind, text, *map(brief, made)] for kind, text, made in _variants(gs)]


def of_wrong_cotangent(k: int) -> Callable[[], list[Any]]:
    """The report on a backward that uses another cotangent, for a forward that has no graph."""

    def run() -> list[Any]:
        def forward(x: Array, w: Array) -> Array:
            out = np.zeros((3, 3))
            out[...] = np.tanh(x @ w)
            return out

        def backward(x: Array, w: Array, g: Array) -> Any:
            d = list(_variants([g]))[k][2][0] * (1 - np.tanh(x @ w) ** 2)
            return d @ w.T, x.T @ d

        rng = np.random.default_rng(4)
        without_source = eval("lambda x, w, g: backward(x, w, g)", {"backward": backward})
        inputs = {"x": rng.normal(size=(3, 4)), "w": rng.normal(size=(4, 3))}
        report = tg.compare_gradients(forward, inputs, manual=without_source)
        return [[d.kind, d.where, *words_and_numbers((d.text, *d.evidence))] for d in report.diagnoses]

    return run


def of_last_steps(f: Callable[..., Any], *shapes: tuple[int, ...]) -> Callable[[], list[Any]]:
    """The parts of a graph behind the last steps of a loop."""

    def make() -> list[Any]:
        arrays = [np.random.default_rng(2).normal(size=shape) for shape in shapes]
        found = last_steps(graph_of(f, *arrays)(arrays).trace)
        return [[s.number, brief(s.mask), len(s.part.operations), sorted(s.places.items())] for s in found]

    return make


def recurrent(x: Any, W: Any) -> Any:
    h = np.zeros(3)
    for t in range(5):
        h = np.tanh(x[:, t] @ W + h)
    return h


def picked(x: Any, W: Any) -> Any:
    h = np.zeros(2)
    for t in range(4):
        h = np.tanh(x[t] * h + W[t, 1:3])
    return h * 2


def sentences() -> Iterator[str]:
    """The sentences about arrays that are wrong in many different ways."""
    rng = np.random.default_rng(3)
    for shape in ((5,), (4, 5), (4, 4), (2, 3, 4), (1, 3), ()):
        right = np.asarray(rng.normal(size=shape).round(2) + 0.005)
        masks = [np.ones(shape, bool), rng.random(shape) < 0.4]
        if len(shape) == 2:
            rows, columns = np.indices(shape)
            masks += [rows == 1, columns >= 1, rows == columns, rows != columns, rows < columns, rows > columns,
                      (rows == 1) | (columns == 1), (rows == 0) & (columns == 2)]  # fmt: skip
        if len(shape) == 3:
            masks += [np.indices(shape)[a] == 1 for a in range(3)]
        other = rng.normal(size=shape)
        ways = {
            "times": right * 3, "sixth": right / 6, "nearly": right * (1 + 1e-9), "minus": -right, "zero": 0 * right,
            "plus": right + 0.125, "less": right - 2, "one": 0 * right + 7, "absolute": np.abs(right),
            "sign": np.sign(right), "square": right**2, "cube": right**3, "over": 1 / right,
            "cut": np.clip(right, -0.5, 0.5),
            "rounded": right.round(1), "other": other, "not finite": right * np.nan, "complex": right + 1j,
        }  # fmt: skip
        if len(shape) == 2:
            ways |= {"by row": right * (2 + np.arange(shape[0]))[:, None], "rows": right[::-1],
                     "by column": right + np.arange(1, 1 + shape[1]), "columns": np.roll(right, 1, axis=1),
                     "row after row": np.roll(right, -1, axis=0)}  # fmt: skip
        for mask in masks:
            if not mask.any():
                continue
            for what, wrong in ways.items():
                got, name = np.where(mask, wrong, right), "the array" if mask.all() else "dW"
                with np.errstate(all="ignore"):
                    yield f"{what}: {describe(name, got, right, np.asarray(mask & (got != right)))}"


def rows_made() -> list[Any]:
    """The report's rows for arrays that disagree in many different ways."""
    rng, found = np.random.default_rng(11), []
    for shape in ((3, 4), (20, 30), (7,), (), (0, 2), (300, 200)):
        graph = rng.normal(size=shape)
        rounding = np.abs(graph) * 1e-12 + 1e-13
        off = np.zeros(shape)
        if graph.size:
            off.reshape(-1)[graph.size // 2] = 1.0
        for mine in (
            graph, graph + off, 2 * graph, graph + rounding / 2, graph + 1.5 * rounding * off, -graph, 0 * graph, None,
            graph * np.where(off > 0, np.nan, 1), graph[..., None], graph + 1e-3 * off * np.abs(graph),
        ):  # fmt: skip
            for error, kink, own in ((0.0, False, None), (1.0, False, None), (0.0, True, None), (0.0, False, 0.5)):
                what = ArrayPair("dW", "parameter", mine, graph, rounding, None if own is None else graph + own * off)

                def judge(index: Any, error: float = error, kink: bool = kink, graph: Array = graph) -> CheckedEntry:
                    return CheckedEntry(
                        float(graph[index] + error * (sum(index) % 2)), 1e-11, kink and sum(index) % 3 == 0
                    )

                with np.errstate(all="ignore"):
                    row, bad = compare_row(
                        what, judge, np.random.default_rng(0), 5, [(1.0, 1.0 + error * 1e-3, 1e-9)], "?"
                    )
                numbers = (row.max_abs, row.max_rel, row.cosine, row.ratio, row.wrong, row.manual, row.graph,
                           row.numerical, row.bound)  # fmt: skip
                found.append([row.ok, row.odd, row.note, row.checked, list(row.worst), brief(bad), brief(row.error),
                              *(float(f"{v:.5g}") if np.isfinite(v) else str(v) for v in numbers),
                              None if row.apart is None else [float(f"{v:.4g}") if np.isfinite(v) else str(v) for v in (
                                  *row.apart.manual_graph, *row.apart.graph_numerical, *row.apart.manual_numerical,
                                  *row.apart[3:])]])  # fmt: skip
    return found


PARTS: dict[str, Callable[[], list[Any]]] = {
    **{f"suspects {name}": of_suspects(s) for name, s in SETTINGS.items()},
    **{f"suspects at kinks {name}": of_suspects(SETTINGS[name], True) for name in ("relu", "root", "narrow")},
    **{f"referee {name}": of_referee(s) for name, s in SETTINGS.items()},
    **{f"referee at kinks {name}": of_referee(SETTINGS[name], True) for name in ("relu", "root", "heavy", "gelu")},
    **{f"bounds {name}": of_bounds(s) for name, s in SETTINGS.items()},
    **{f"experiments {name}": of_experiments(s) for name, s in SETTINGS.items()},
    "experiments large": of_experiments(DEEP, True),
    "losses": losses_of,
    "mutants network": of_mutants(lambda x, W, b, V: ((np.tanh(x @ W + b) @ V) ** 2).sum(),
                                  (3, 4), (4, 3), (3,), (3, 3)),
    "mutants attention": of_mutants(lambda x, W: tg.softmax(x @ W) @ x + x, (3, 3), (3, 3)),
    "mutants elementwise": of_mutants(lambda x, y: tg.sigmoid(x) * np.exp(y) + np.sqrt(x * x + 1) / (1 + y * y),
                                      (2, 3), (3,)),
    "mutants reused": of_mutants(lambda x: np.log(x * x + 1) + x * np.sin(x) - x, (4,)),
    "mutants of a result": of_mutants(lambda x: (lambda y: y * np.sin(y) + np.exp(y))(np.tanh(x)), (4,)),
    **{f"mutants {f.__name__} of {shape} over {axis}": of_mutants(
        lambda x, f=f, axis=axis: f(x, axis=axis) ** 2, shape, every=False)
       for f in (np.sum, np.mean, np.var, np.std, np.max)
       for shape, axis in (((3, 3), 0), ((3, 3), 1), ((2, 4), -1), ((2, 3, 4), (0, 2)), ((3, 3), None), ((4,), 0))},
    "mutants concatenate": of_mutants(lambda x, y: np.concatenate((x, y, x)) ** 2, (2, 3), (2, 3), every=False),
    "mutants concatenate axis 1": of_mutants(lambda x, y: np.concatenate((x, y), 1) ** 2, (2, 3), (2, 2), every=False),
    "mutants stack": of_mutants(lambda x, y: np.stack((x, y), 1) ** 2, (2, 3), (2, 3), every=False),
    "mutants affine": of_mutants(lambda x, W, b: tg.relu(tg.ops.neural.affine(x, W, b)).sum(), (3, 2), (4, 2), (4,)),
    **{f"sides {f.__name__} {seed}": of_sides(f.__name__, seed) for f in dict.fromkeys(FUNCTIONS) for seed in (0, 1)},
    **dict(_operations()),
    **{f"edits {line}": of_edits(line) for line in LINES},
    **{f"edits without NumPy {line}": of_edits(line, False) for line in LINES[:9]},
    **dict(_steps()),
    **{f"cotangents of {shapes}": of_cotangents(*shapes)
       for shapes in (((4,),), ((2, 3),), ((3, 3),), ((2, 1, 2),), ((), (2,)), ((2, 3, 2),))},
    **{f"wrong cotangent {k}": of_wrong_cotangent(k) for k in range(0, 20, 2)},
    "last steps of a recurrence": of_last_steps(recurrent, (2, 5, 3), (3, 3)),
    "last steps of rows": of_last_steps(picked, (4, 2), (4, 3)),
    "sentences": lambda: list(sentences()),
    "rows": rows_made,
}  # fmt: skip
