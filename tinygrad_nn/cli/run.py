"""A run of `train`, from its options to its results; it prints nothing and writes nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ..compare import RoadsReport, compare_roads
from ..data import Columns, Dataset, Part, Scaler, Split, Table, data_split, load_digits, load_iris, read_table
from ..data.columns import CATEGORIES
from ..data.table import Progress
from ..io import Network
from ..manual import draw_masks
from ..metrics import Accuracy, Score, accuracy_score, cm, f1_score, precision_score, r2_score, recall_score
from ..nn.layer import Layer
from ..solver import BackProp, Epoch, FeedForward, History, Predict, Regularization, Settings, Solver, fit

if TYPE_CHECKING:
    from ..viz import GradientFlow

Array = np.ndarray[Any, Any]

DATASETS: dict[str, Callable[[], Dataset]] = {"iris": load_iris, "digits": load_digits}
DTYPES = ("float64", "float32")
FEW = 2  # rows whose graph is drawn: few, so that their numbers can be read


@dataclass(frozen=True)
class Options:
    """What `train` can be told. The defaults are those of the Julia project's `main.jl`."""

    dataset: str = "iris"
    data: str | None = None
    target: str | None = None
    features: str | None = None
    kind: str = "auto"
    encoding: str = "utf-8"
    missing: str | None = None
    categories: int = CATEGORIES
    scale: bool | None = None
    train_size: float = 0.7
    val_size: float = 0.1
    test_size: float | None = None
    stratify: bool = False
    hidden: str = "40"
    activation: str = "relu"
    output: str | None = None
    distribution: str = "n"
    dtype: str = "float64"
    loss: str | None = None
    optimizer: str = "sgd"
    learning_rate: float = 0.03
    epochs: int = 20
    batch_size: int = 16
    regularization: str = "none"
    lam: float | None = None
    r: float | None = None
    dropout: float = 0.0
    gradients: str = "graph"
    seed: int = 0
    early_stopping: int | None = None
    checkpoint: str | None = None
    resume: bool = False
    class_weight: str | None = None
    cv: int | None = None


class Problem(NamedTuple):
    """The table to learn from: what goes in, what is to come out, and the names of both."""

    name: str
    x: Array
    targets: Array
    task: Literal["classification", "regression"]
    features: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    columns: Columns | None = None
    notes: tuple[str, ...] = ()


class Scores(NamedTuple):
    """How good a classifier is on some rows."""

    matrix: Array
    accuracy: Accuracy
    precision: Score
    recall: Score
    f1: Score


class Errors(NamedTuple):
    """How far the predictions of a regression are off, in the target's own unit, and the share that they explain."""

    rmse: float
    mae: float
    r2: float


class PreparedRun(NamedTuple):
    """A run that can begin: all options have been checked and all data has been read."""

    options: Options
    problem: Problem
    parts: dict[str, tuple[Array, Array]]
    network: Network
    solver: Solver
    settings: Settings
    rng: np.random.Generator

    def rows(self, numbers: Sequence[int] = ()) -> tuple[Array, Array]:
        """Return rows of the table by their numbers from 1, scaled for the network; by default `FEW` to train on.

        Returns:
            x, ``(rows, n_in)``, and y, ``(rows, n_out)``.

        Raises:
            ValueError: there is no such row.
        """
        dtype, total = self.network.layers[0].dtype, len(self.problem.x)
        if not numbers:
            x, y = (part[:FEW] for part in self.parts["train"])
            return x.astype(dtype), y.astype(dtype)
        wrong = [n for n in numbers if not 1 <= n <= total]
        if wrong:
            raise ValueError(f"there is no row {wrong[0]}; {self.problem.name} has the rows 1 to {total}.")
        x, y = (part[[n - 1 for n in numbers]] for part in (self.problem.x, self.problem.targets))
        scalers = self.network.scaler, self.network.target_scaler
        x, y = (part if s is None else s.transform(part) for part, s in zip((x, y), scalers, strict=True))
        return x.astype(dtype), y.astype(dtype)


class Outcome(NamedTuple):
    """What a run gives. `scored` names the part that the scores are of: test, or train where there is no test part.

    `flow` is ``None`` where it was not asked for.
    """

    plan: PreparedRun
    history: History
    roads: RoadsReport
    scored: str
    scores: Scores | None
    errors: Errors | None
    flow: GradientFlow | None


def prepare(options: Options, progress: Progress | None = None) -> PreparedRun:
    """Read the data, split it, and make the network; everything that can be wrong is found here.

    Args:
        options: of the run; `progress` is told how much of a large table has been read.

    Raises:
        ValueError, TypeError, OSError: an option or the data is not as it must be.
    """
    if options.seed < 0:
        raise ValueError(f"seed={options.seed}; a seed is a whole number of at least 0, e.g. seed=0.")
    dtype = options.dtype.strip().lower()
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype={options.dtype}; known are {', '.join(DTYPES)}.")
    if options.gradients.strip().lower() not in ("graph", "manual"):
        raise ValueError(f"unknown gradients={options.gradients}; known are graph, manual.")
    settings = Settings(options.epochs, options.batch_size)
    penalty = _regularization(options)
    problem = _problem(options, progress)
    solver = Solver(_loss(options, problem), options.optimizer, options.learning_rate, penalty)
    # one generator from beginning to end: the same seed gives the same rows, weights, order and masks
    rng = np.random.default_rng(options.seed)
    split = data_split(
        problem.x, problem.targets, train_size=options.train_size, val_size=options.val_size,
        test_size=options.test_size, stratify=options.stratify and problem.task == "classification", rng=rng,
    )  # fmt: skip
    columns = problem.columns
    if columns is not None:  # what stands in for missing cells is of the rows to learn from
        columns = columns.fitted(split.x_train)
        split = Split(*(Part(columns.filled(part.x)[0], part.y) for part in split))
        problem = problem._replace(x=columns.filled(problem.x)[0], columns=columns)
    layers = _layers(options, problem, solver.loss, np.dtype(dtype), rng)
    scale = options.data is not None if options.scale is None else options.scale
    scaler = Scaler.fit(split.x_train) if scale else None
    # an output that is bounded, or has a kink at 0, is asked for because of the target's own unit
    linear = problem.task == "regression" and layers[-1].activation == "linear"
    target_scaler = Scaler.fit(split.y_train) if linear and scale else None
    network = Network(
        layers, problem.task, problem.features, problem.target, problem.classes, scaler, target_scaler,
        {"loss": solver.loss, "optimizer": repr(solver.rule), "learning_rate": solver.learning_rate,
         "regularization": repr(penalty), "epochs": settings.epochs, "batch_size": settings.batch_size,
         "gradients": options.gradients, "seed": options.seed, "data": problem.name},
        columns,
    )  # fmt: skip
    parts = {}
    for name, part in zip(("train", "test", "val"), split, strict=True):
        x = part.x if scaler is None or not len(part.x) else scaler.transform(part.x)
        y = part.y if target_scaler is None or not len(part.y) else target_scaler.transform(part.y)
        parts[name] = (x, y)
    return PreparedRun(options, problem, parts, network, solver, settings, rng)


def execute(plan: PreparedRun, progress: bool = False, flow: bool = False) -> Outcome:
    """Compare the roads on the first batch, train, and score.

    Args:
        plan: made by `prepare`, to be used once: its network is the one that is trained.
        progress: whether to show a bar on standard error.
        flow: whether to keep how large the gradient of each layer is at the end of each epoch.

    Raises:
        FloatingPointError: the training diverged.
    """
    options, model, solver = plan.options, plan.network.layers, plan.solver
    x, y = plan.parts["train"]
    size = plan.settings.batch_size
    # masks from a generator of their own, so that looking at the gradients does not change the training
    sizes, p = [layer.n_out for layer in model], solver.regularization.dropout
    masks = draw_masks(np.random.default_rng(options.seed), sizes, len(x[:size]), p, model[0].dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # what they lead to is reported, in words
        roads = compare_roads(model, x[:size], y[:size], solver=solver, masks=masks, rng=options.seed)
        kept = _flow(plan) if flow else None
        history = learn(plan, progress, kept)
    scored = "test" if len(plan.parts["test"][0]) else "train"
    x, y = plan.parts[scored]
    y_hat = Predict(model, x)
    if plan.problem.task == "regression":
        return Outcome(plan, history, roads, scored, None, errors(plan.network, y, y_hat), kept)
    return Outcome(plan, history, roads, scored, score(y, y_hat), None, kept)


def learn(plan: PreparedRun, progress: bool = False, flow: GradientFlow | None = None) -> History:
    """Train the network of a plan, which is to be used once.

    Raises:
        FloatingPointError: the training diverged.
    """
    x, y = plan.parts["train"]
    x_val, y_val = plan.parts["val"] if len(plan.parts["val"][0]) else (None, None)
    with np.errstate(over="ignore", invalid="ignore"):
        return fit(
            plan.network.layers, x, y, x_val, y_val, solver=plan.solver, settings=plan.settings, rng=plan.rng,
            gradients=plan.options.gradients, progress=progress, callbacks=[_alive, *([flow] if flow else [])],
        )  # fmt: skip


def _flow(plan: PreparedRun) -> GradientFlow:
    """Return what keeps the gradients of the training part, without dropout, epoch by epoch."""
    from ..viz.training.gradient_flow import GradientFlow

    x, y = plan.parts["train"]
    return GradientFlow(lambda model: BackProp(model, FeedForward(model, x), y, solver=plan.solver))


def _alive(epoch: Epoch) -> None:
    """Refuse to go on, or to end, with losses that are no numbers."""
    if not all(math.isfinite(loss) for loss in (epoch.loss, epoch.val_loss or 0.0)):
        raise FloatingPointError(
            f"the training diverged in epoch {epoch.number}: try a smaller --learning-rate, or --scale. Nothing was "
            "written."
        )


def errors(network: Network, y: Array, y_hat: Array) -> Errors:
    """Return how far predictions are off, both as the network has them, (batch, n_out)."""
    scaler = network.target_scaler
    off = (y_hat - y) * (1.0 if scaler is None else scaler.scale)
    return Errors(float(np.sqrt(np.mean(off**2))), float(np.mean(np.abs(off))), r2_score(y, y_hat))


def score(y: Array, y_hat: Array) -> Scores:
    """Return the scores of a classifier, (batch, classes) both."""
    found = [f(y, y_hat) for f in (precision_score, recall_score, f1_score)]
    return Scores(cm(y, y_hat), accuracy_score(y, y_hat), *found)


def _problem(options: Options, progress: Progress | None = None) -> Problem:
    if options.data is None:
        for name in ("target", "features"):
            if getattr(options, name) is not None:
                raise ValueError(f"{name}={getattr(options, name)} belongs to a table; add data=FILE.csv.")
        if options.kind == "regression":
            raise ValueError("kind=regression belongs to a table of your own; the bundled data sets hold classes.")
        key = options.dataset.strip().lower()
        if key not in DATASETS:
            raise ValueError(
                f"unknown dataset={options.dataset}; known are {', '.join(DATASETS)}. A table of your own is read with "
                "data=FILE.csv target=COLUMN."
            )
        found = DATASETS[key]()
        target = "species" if key == "iris" else "digit"
        return Problem(key, found.x, found.targets, "classification", found.feature_names, target, found.class_names)
    if options.dataset.strip().lower() != "iris":
        raise ValueError(f"dataset={options.dataset} and data={options.data} are two data sets; leave one out.")
    if options.target is None:
        raise ValueError(f"data={options.data} needs the name of the column to predict; add target=COLUMN.")
    kind: Any = options.kind.strip().lower()
    features = None if options.features is None else [name.strip() for name in options.features.split(",")]
    table = read_table(
        options.data, options.target, kind=kind, features=features, encoding=options.encoding, missing=options.missing,
        categories=options.categories, fill=False, progress=progress,
    )  # fmt: skip
    return Problem(
        options.data, table.x, table.targets, table.kind, table.feature_names, table.target, table.classes,
        table.columns, tuple(_notes(table, kind)),
    )  # fmt: skip


def _notes(table: Table, kind: str) -> Iterator[str]:
    """Yield what was done with the table that a person may not expect."""
    for part in table.columns.parts:
        if part.form == "text":
            count = len(part.categories)
            yield f"{part.name}: {count} texts become {count} columns of 0 and 1"
        elif part.form != "number":
            yield f"{part.name}: read as {_FORMS[part.form]}"
    if table.lines:
        shown = ", ".join(map(str, table.lines[:5])) + (", ..." if len(table.lines) > 5 else "")
        yield f"{len(table.lines):,} rows with a missing cell are left out (lines {shown})"
    holes = np.isnan(table.x)
    if holes.any():
        rows, cells = int(holes.any(axis=1).sum()), int(holes.sum())
        what = {"mean": "mean", "median": "median", "most-frequent": "most frequent value"}[table.columns.missing or ""]
        yield f"{cells:,} missing in {rows:,} rows: the {what} of the column in the rows to train on stands in"
    few = np.unique(table.y) if table.kind == "regression" else []
    if kind == "auto" and 2 <= len(few) <= FEW_VALUES < len(table.y) and all(float(v).is_integer() for v in few):
        shown = ", ".join(f"{v:g}" for v in few)
        yield (f"{table.target} holds numbers ({shown}), so it is taken for a number to predict, a regression; if these "
               "are classes, say --kind classification")  # fmt: skip


_FORMS = {"thousands": "numbers with commas between thousands", "decimal comma": "numbers with a decimal comma",
          "date": "dates, in days from 1970", "day first": "dates with the day first, in days from 1970",
          "month first": "dates with the month first, in days from 1970"}  # fmt: skip
FEW_VALUES = 10  # different whole numbers that may be classes


def _loss(options: Options, problem: Problem) -> str:
    if options.loss is None:
        return "crossentropy" if problem.task == "classification" else "mse"
    if problem.task == "regression" and options.loss.strip().lower().endswith("crossentropy"):
        raise ValueError(
            f"loss={options.loss} needs classes, and the target {problem.target!r} holds numbers. Use loss=mse, or say "
            "kind=classification if each number is a class."
        )
    return options.loss


def _regularization(options: Options) -> Regularization:
    method = options.regularization.strip().lower()
    if options.lam is None and method in ("l1", "l2", "elasticnet"):
        raise ValueError(f"regularization={method} needs a strength; add lam=0.001.")
    if options.lam and method == "none":
        raise ValueError(
            f"lam={options.lam:g} has no effect without a penalty; add regularization=l2 (or l1, elasticnet)."
        )
    found = Regularization(method, options.lam or 0.0, 0.5 if options.r is None else options.r, options.dropout)
    if options.r is not None and method != "elasticnet":
        raise ValueError(f"r={options.r:g} has no effect without elasticnet; add regularization=elasticnet.")
    return found


def _layers(
    options: Options, problem: Problem, loss: str, dtype: np.dtype[Any], rng: np.random.Generator
) -> list[Layer]:
    widths = _widths(options.hidden)
    names = [name.strip() for name in re.split(r",(?![^(]*\))", options.activation)]  # not within brackets
    if len(names) == 1:
        names *= len(widths)
    if len(names) != len(widths):
        raise ValueError(
            f"activation={options.activation} names {len(names)} activations for {len(widths)} hidden layers; name one "
            "for all, or one for each."
        )
    output = options.output
    if output is None:
        output = "linear" if problem.task == "regression" else "sigmoid" if loss == "binarycrossentropy" else "softmax"
    ins = [problem.x.shape[1], *widths]
    outs = [*widths, problem.targets.shape[1]]
    return [
        Layer(n_in, n_out, name, options.distribution, rng=rng, dtype=dtype)
        for n_in, n_out, name in zip(ins, outs, [*names, output], strict=True)
    ]


def _widths(text: str) -> list[int]:
    """Return the widths of the hidden layers: ``64,32``, or none."""
    if text.strip().lower() in ("none", ""):
        return []
    widths = []
    for part in text.split(","):
        if not part.strip().isdecimal() or int(part) < 1:
            raise ValueError(
                f"hidden={text}: {part.strip()!r} is no width of a layer; write whole numbers of at least 1 with "
                "commas between them, e.g. hidden=64,32 (hidden=none for no hidden layer)."
            )
        widths.append(int(part))
    return widths
