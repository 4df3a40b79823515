"""A training run from its options to its results; nothing here prints or writes the output files."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..common.spelling import did_you_mean
from ..compare import RoadsReport, compare_roads
from ..data import Part, Scaler, Split, data_split
from ..data.columns import number
from ..data.table import Progress
from ..io import Network
from ..manual import draw_masks
from ..metrics import Accuracy, Score, accuracy_score, cm, f1_score, precision_score, r2_score, recall_score
from ..nn.layer import Layer
from ..solver import (
    BackProp,
    EarlyStopping,
    Epoch,
    FeedForward,
    History,
    Predict,
    Regularization,
    Settings,
    Solver,
    fit,
)
from .problem import Options as Options
from .problem import Problem, read_problem

if TYPE_CHECKING:
    from ..viz import GradientFlow

Array = np.ndarray[Any, Any]

DTYPES = ("float64", "float32")
MOST_CLASSES = 12  # names in a list at most
FEW = 2  # rows whose graph is drawn by default; with few rows, the numbers are readable


class Scores(NamedTuple):
    """The scores of a classifier on some rows."""

    matrix: Array
    accuracy: Accuracy
    precision: Score
    recall: Score
    f1: Score


class Errors(NamedTuple):
    """The errors of a regression in the units of the target, and the explained share of the variance (R²)."""

    rmse: float
    mae: float
    r2: float


class PreparedRun(NamedTuple):
    """A run that is ready to train: all options have been checked and all data has been read."""

    options: Options
    problem: Problem
    parts: dict[str, tuple[Array, Array]]
    network: Network
    solver: Solver
    settings: Settings
    rng: np.random.Generator
    comm: Any = None

    def rows(self, numbers: Sequence[int] = ()) -> tuple[Array, Array]:
        """Return rows of the table by number, from 1, scaled for the network; by default the first `FEW` training rows.

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
    """The results of a run. `scored` names the part that was scored: test, or train if there is no test part.

    `flow` is ``None`` if it was not requested.
    """

    run: PreparedRun
    history: History
    roads: RoadsReport
    scored: str
    scores: Scores | None
    errors: Errors | None
    flow: GradientFlow | None
    interrupted: bool = False


def prepare(options: Options, progress: Progress | None = None) -> PreparedRun:
    """Read and split the data, and create the network; all options are checked here.

    Args:
        options: the options of the run; `progress` is called with the bytes read of a large table.

    Raises:
        ValueError, TypeError, OSError: an option or the data is invalid.
    """
    if options.seed < 0:
        raise ValueError(f"seed={options.seed}; a seed is a whole number of at least 0, e.g. seed=0.")
    dtype = options.dtype.strip().lower()
    if dtype not in DTYPES:
        near = did_you_mean(dtype, DTYPES)
        raise ValueError(f"unknown dtype={options.dtype}; known are {', '.join(DTYPES)}.{near}")
    if options.gradients.strip().lower() not in ("graph", "manual"):
        raise ValueError(f"unknown gradients={options.gradients}; known are graph, manual.")
    settings = Settings(options.epochs, options.batch_size)
    penalty = _regularization(options)
    problem = read_problem(options, progress)
    solver = Solver(_loss(options, problem), options.optimizer, options.learning_rate, penalty)
    # a single generator for everything: the same seed gives the same split, weights, order and masks
    rng = np.random.default_rng(options.seed)
    split = data_split(
        problem.x, problem.targets, train_size=options.train_size, val_size=options.val_size,
        test_size=options.test_size, stratify=options.stratify and problem.task == "classification", rng=rng,
    )  # fmt: skip
    columns = problem.columns
    if columns is not None:  # values for missing cells come from the training rows only
        columns = columns.fitted(split.x_train)
        split = Split(*(Part(columns.filled(part.x)[0], part.y) for part in split))
        problem = problem._replace(x=columns.filled(problem.x)[0], columns=columns)
    layers = _layers(options, problem, solver.loss, np.dtype(dtype), rng)
    scale = options.data is not None if options.scale is None else options.scale
    scaler = Scaler.fit(split.x_train) if scale else None
    # a bounded output, or one with a kink at 0, was chosen for the units of the target, so these are kept
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


def execute(run: PreparedRun, progress: bool = False, flow: bool = False) -> Outcome:
    """Compare the gradients of the first batch by three roads, then train the network and score it.

    Args:
        run: a run made by `prepare`, to be used once, as its network is trained in place.
        progress: whether to show a progress bar on standard error.
        flow: whether to record the size of each layer's gradient at the end of each epoch.

    Raises:
        FloatingPointError: the training diverged.
    """
    options, model, solver = run.options, run.network.layers, run.solver
    x, y = run.parts["train"]
    size = run.settings.batch_size
    # masks come from a separate generator, so that this comparison does not change the training
    sizes, p = [layer.n_out for layer in model], solver.regularization.dropout
    masks = draw_masks(np.random.default_rng(options.seed), sizes, len(x[:size]), p, model[0].dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported as an error
        roads = compare_roads(model, x[:size], y[:size], solver=solver, masks=masks, rng=options.seed)
        kept = _flow(run) if flow else None
        history, interrupted = _train_until_interrupt(run, progress, kept)
    scored = "test" if len(run.parts["test"][0]) else "train"
    x, y = run.parts[scored]
    y_hat = Predict(model, x)
    if run.problem.task == "regression":
        scaler = run.network.target_scaler
        own = [part if scaler is None else scaler.inverse(part) for part in (y, y_hat)]
        return Outcome(run, history, roads, scored, None, errors(*own), kept, interrupted)
    return Outcome(run, history, roads, scored, score(y, y_hat), None, kept, interrupted)


def _train_until_interrupt(run: PreparedRun, progress: bool, flow: GradientFlow | None) -> tuple[History, bool]:
    """Train; on Ctrl-C, restore the weights of the last complete epoch and return the history up to it, and True."""
    layers = run.network.layers
    kept: list[tuple[Epoch, list[Any]]] = []

    def keep(epoch: Epoch) -> None:
        kept[:] = [(epoch, [(layer.W.data.copy(), layer.b.data.copy()) for layer in layers])]

    try:
        return learn(run, progress, flow, [keep]), False
    except KeyboardInterrupt:
        if not kept or run.comm is not None:  # one rank alone cannot stop the others
            raise
        (epoch, weights), = kept  # fmt: skip
        for layer, (W, b) in zip(layers, weights, strict=True):
            layer.W, layer.b = W, b
        done, whole = epoch.number, epoch.history  # which may have one epoch more
        metrics = {name: values[:done] for name, values in whole.metrics.items()}
        return History(whole.loss[:done], whole.val_loss[:done], metrics), True


def learn(
    run: PreparedRun, progress: bool = False, flow: GradientFlow | None = None,
    callbacks: Sequence[Callable[[Epoch], Any]] = (),
) -> History:  # fmt: skip
    """Train the network of a run in place; a run can be used once.

    Raises:
        FloatingPointError: the training diverged.
    """
    x, y = run.parts["train"]
    x_val, y_val = run.parts["val"] if len(run.parts["val"][0]) else (None, None)
    with np.errstate(over="ignore", invalid="ignore"):
        return fit(
            run.network.layers, x, y, x_val, y_val, solver=run.solver, settings=run.settings, rng=run.rng,
            gradients=run.options.gradients, progress=progress,
            callbacks=[_stop_if_diverged, *([flow] if flow else []), *callbacks],
            comm=run.comm, **_fit_options(run),
        )  # fmt: skip


def _fit_options(run: PreparedRun) -> dict[str, Any]:
    """Return the optional arguments of `fit` that the user requested."""
    options = run.options
    found: dict[str, Any] = {}
    if options.early_stopping is not None:
        found["early_stopping"] = EarlyStopping(options.early_stopping)
    if options.checkpoint is not None:
        found |= {"checkpoint": options.checkpoint, "resume": options.resume}
    if options.class_weight is not None:
        found["class_weight"] = _class_weight(options.class_weight, run.problem)
    return found


def _class_weight(text: str, problem: Problem) -> Any:
    """Return the class weights from the text ``balanced`` or ``NAME=2,NAME=0.5``."""
    if problem.task != "classification":
        raise ValueError(f"class_weight={text} belongs to classes, and the target {problem.target!r} holds numbers.")
    if text.strip().lower() == "balanced":
        return "balanced"
    weights = dict.fromkeys(problem.classes, 1.0)
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        if name.strip() not in weights or number(value) is None:
            raise ValueError(
                f"class_weight={text}: {part.strip()!r} names no class and weight; write balanced, or "
                f"{problem.classes[0]}=2 (the classes are {', '.join(problem.classes[:8])})."
            )
        weights[name.strip()] = float(value)
    return list(weights.values())


def cross_validate(run: PreparedRun, folds: int) -> list[float]:
    """Return the accuracies or R² of a cross-validation: each network is scored on rows it was not trained on.

    The rows are shuffled and, in a classification, dealt out class by class, so that each fold has its share of each.
    """
    x, y, options = run.problem.x, run.problem.targets, run.options
    total, most = len(x), len(x) if run.problem.task == "classification" else len(x) // 2
    if not 2 <= folds <= most:
        why = "" if most == total else ", and R² needs two in each part"
        raise ValueError(f"cv={folds}; there are {total} rows{why}, so it must be a whole number from 2 to {most}.")
    order = np.random.default_rng(options.seed).permutation(len(x))
    if run.problem.task == "classification":
        order = order[np.argsort(y.argmax(axis=1)[order], kind="stable")]
    found = []
    for k in range(folds):
        out = np.zeros(len(x), bool)
        out[order[k::folds]] = True
        rng = np.random.default_rng([options.seed, k])
        layers = _layers(options, run.problem, run.solver.loss, run.network.layers[0].dtype, rng)
        scaler = Scaler.fit(x[~out]) if run.network.scaler is not None else None
        target_scaler = Scaler.fit(y[~out]) if run.network.target_scaler is not None else None
        network = Network(layers, run.problem.task, scaler=scaler, target_scaler=target_scaler)
        rows = x if scaler is None else scaler.transform(x)
        targets = y if target_scaler is None else target_scaler.transform(y)
        parts = {name: (rows[which], targets[which])
                 for name, which in (("train", ~out), ("test", out), ("val", slice(0)))}  # fmt: skip
        once = replace(options, checkpoint=None, early_stopping=None)
        learn(run._replace(options=once, parts=parts, network=network, rng=rng))
        prediction = Predict(layers, rows[out])
        if run.problem.task == "classification":
            found.append(float(score(y[out], prediction).accuracy.overall))
        else:
            found.append(float(r2_score(targets[out], prediction)))
    return found


def _flow(run: PreparedRun) -> GradientFlow:
    """Return a callback that records the gradients of the training part, without dropout, after each epoch."""
    from ..viz.training.gradient_flow import GradientFlow

    x, y = run.parts["train"]
    return GradientFlow(lambda model: BackProp(model, FeedForward(model, x), y, solver=run.solver))


def _stop_if_diverged(epoch: Epoch) -> None:
    """Callback that stops the training if a loss is NaN or infinite."""
    if not all(math.isfinite(loss) for loss in (epoch.loss, epoch.val_loss or 0.0)):
        raise FloatingPointError(
            f"the training diverged in epoch {epoch.number}: try a smaller --learning-rate, or --scale. Nothing was "
            "written."
        )


def errors(y: Array, y_hat: Array) -> Errors:
    """Return the errors of predictions, in the units of the target; both arguments have shape (batch, n_out)."""
    off = y_hat - y
    return Errors(float(np.sqrt(np.mean(off**2))), float(np.mean(np.abs(off))), r2_score(y, y_hat))


def score(y: Array, y_hat: Array) -> Scores:
    """Return the scores of a classifier; both arguments have shape (batch, classes)."""
    found = [f(y, y_hat) for f in (precision_score, recall_score, f1_score)]
    return Scores(cm(y, y_hat), accuracy_score(y, y_hat), *found)


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
    names = [name.strip() for name in re.split(r",(?![^(]*\))", options.activation)]  # commas outside of parentheses
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
    """Return the widths of the hidden layers from a text such as ``64,32`` or ``none``."""
    if text.strip().lower() in ("none", ""):
        return []
    widths = []
    for part in text.split(","):
        if not part.strip().isdecimal() or int(part) < 1:
            raise ValueError(
                f"hidden={text}: {part.strip()!r} is not a layer width; write whole numbers of at least 1 with "
                "commas between them, e.g. hidden=64,32 (hidden=none for no hidden layer)."
            )
        widths.append(int(part))
    return widths


def short_list(names: Sequence[str], noun: str = "classes") -> str:
    """Return the names of classes or columns as one text, shortened if there are many."""
    more = f", ... ({len(names)} {noun})" if len(names) > MOST_CLASSES else ""
    return ", ".join(map(str, names[:MOST_CLASSES])) + more
