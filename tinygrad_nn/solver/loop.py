"""fit, the loop around the training step: minibatches for so many epochs, and a history of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..files import alone
from ..optim import LBFGS, Plateau, PlateauState
from ..printable import printable
from ..tensor import raw
from . import checkpoint as store
from .checkpoint import Checkpoint
from .choice import choose, settle
from .compiling import CompiledStep, backend_of
from .fingerprint import fingerprint, seed
from .history import History
from .settings import Settings, Solver
from .source import Batches, Rows
from .state import Progress
from .stopping import EarlyStopping, Watch
from .task import Gradients, Task, clipped
from .use import CHUNK

if TYPE_CHECKING:
    from ..files import StrPath
    from .train import Rng

Array = np.ndarray[Any, Any]
Show = Callable[["Epoch"], None]
Metric = Callable[[Any, Any], float]


class Epoch(NamedTuple):
    """What a callback is told at the end of an epoch; `number` counts from 1 to `epochs`."""

    number: int
    epochs: int
    loss: float
    val_loss: float | None
    metrics: dict[str, float]
    model: Any


def fit(
    model: Any,
    x: Any,
    y: Any = None,
    x_val: Any = None,
    y_val: Any = None,
    *,
    solver: Solver,
    settings: Settings,
    rng: Rng = None,
    params: Any = None,
    metrics: Mapping[str, Metric] | None = None,
    early_stopping: EarlyStopping | None = None,
    checkpoint: Checkpoint | StrPath | None = None,
    resume: bool = False,
    class_weight: Any = None,
    callbacks: Sequence[Callable[[Epoch], Any]] = (),
    gradients: str = "graph",
    compile: bool | str = False,
    progress: bool = False,
) -> History:
    """Train a model: every epoch goes through all rows once, in a new order, in minibatches.

    Args:
        model: a list of layers and modules, a `Module`, or a function ``f(params, x, y)`` that returns its loss.
        x, y: arrays with one row a sample, or nests of them; or x alone, an iterable of batches ``(x, y)``.
        x_val, y_val: validation data in the same form, or neither.
        solver: loss, optimizer, learning rate, schedule, clipping; settings: epochs and batch size.
        rng: a Generator or a seed for order and dropout; the same seed gives the same bits on equal threads of BLAS.
        params: of a function: a dict of arrays, nested as you like; those that were trained take their places.
        metrics: name -> ``f(y, prediction)``; by default accuracy or r2, where the targets are fit for it.
        early_stopping: an `EarlyStopping`; checkpoint: a folder, or a `Checkpoint`, to go on from after a crash.
        resume: whether to go on from the checkpoint, if there is one.
        class_weight: ``'balanced'``, or a number for each class that its rows count, in a cross-entropy.
        callbacks: each is called with an `Epoch` at its end; one that returns True ends the training.
        gradients: ``'graph'``, or ``'manual'`` for layers; compile: run each step as one compiled function, ``True``,
            ``'numpy'`` or ``'numba'``, see `tinygrad_nn.compile`; progress: show a bar on standard error.

    Returns:
        A `History`.

    Raises:
        TypeError, ValueError: model, data and settings do not fit; FloatingPointError: the training diverged.

    Example:
        >>> from tinygrad_nn import Layer
        >>> model, x = [Layer(1, 1, rng=0)], [[-1.0], [0.0], [1.0]]
        >>> history = fit(model, x, [-2.0, 0.0, 2.0], solver=Solver("mse", "sgd", 0.3), settings=Settings(20, 2), rng=0)
        >>> history.loss[-1] < 1e-6
        True
    """
    if not isinstance(settings, Settings):
        raise TypeError(f"fit: settings={settings!r:.60}; write settings=Settings(epochs=20, batch_size=16).")
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise TypeError(f"fit: early_stopping={early_stopping!r:.60}; write early_stopping=EarlyStopping(patience=5).")
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"fit: metrics={metrics!r:.60}; write a dict, metrics={{'mae': f(y, prediction)}}.")
    if callable(callbacks):
        raise TypeError(f"fit: callbacks={callbacks!r:.60}; write a list, callbacks=[your_function].")
    callbacks = list(callbacks)  # a generator would be used up after the first epoch
    if isinstance(getattr(solver, "rule", None), LBFGS) and settings.accumulate > 1:
        raise ValueError("fit: lbfgs takes each batch for itself; leave accumulate out, and make batch_size larger.")
    size, random = settings.batch_size, np.random.default_rng(rng)
    task, data, val = settle(
        "fit", model, x, y, x_val, y_val, solver, size, params, gradients, class_weight
    )
    backend = backend_of("fit", compile, gradients, solver)
    if backend is not None and settings.accumulate > 1:
        raise ValueError("fit: a compiled step updates after each batch; leave compile or accumulate out.")
    step = None if backend is None else CompiledStep(task, solver, backend)
    others = [rng for part in (data, val) if isinstance(part, Batches) for rng in part.generators]
    drawn = list({id(rng): rng for rng in (random, *others)}.values())  # each once: the batches may use that of fit
    watch = None if early_stopping is None else Watch(early_stopping)
    place = checkpoint if checkpoint is None or isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
    setup: dict[str, str] = {}
    if place is not None:
        seeds = ["drawn by the system" if rng is None else seed(random), *map(seed, others)]
        setup = fingerprint(
            task, data, val, solver, settings, early_stopping, metrics, class_weight, gradients, backend, seeds
        )
    with nullcontext() if place is None else alone(place.folder):
        done, history = Progress(schedule=_plateau(solver)), History()
        if place is not None and store.exists(place.folder):
            if not resume:
                raise ValueError(
                    f"fit: {printable(place.folder)} holds the checkpoint of a training. Write resume=True to go on "
                    "with it, or name another folder."
                )
            done, history = store.load(place.folder, task, setup, drawn, watch)
        with _bar(settings.epochs if progress else 0, done.epoch) as show, task.training(random):
            while done.epoch < settings.epochs and not done.ended:
                with np.errstate(all="ignore"):  # a loss that is not finite is reported by the task
                    _pass(task, data, settings, solver, done, random, step)
                    _check_finite(task, done.epoch + 1)
                    epoch = _evaluate(task, done.epoch + 1, settings, solver, (data, val), metrics, model)
                done.epoch += 1
                history.add(epoch.loss, epoch.val_loss, epoch.metrics)
                if isinstance(solver.schedule, Plateau):
                    seen = epoch.loss if epoch.val_loss is None else epoch.val_loss
                    done.schedule = list(solver.schedule.update(PlateauState(*done.schedule), seen))
                if watch is not None:
                    if watch.better(epoch):
                        watch.weights = task.arrays()
                    done.ended = "early stopping" if watch.ended else ""
                show(epoch)
                said = [callback(epoch) for callback in callbacks]  # all of them, even if the first ends the training
                if any(isinstance(word, (bool, np.bool_)) and word for word in said):
                    done.ended = done.ended or "a callback"
                if place is not None and (done.ended or done.epoch % place.every == 0 or done.epoch == settings.epochs):
                    store.save(place.folder, task, setup, done, drawn, history, watch)
    if watch is not None and watch.rule.restore and watch.weights is not None:
        task.restore(watch.weights)
    return history


def _pass(
    task: Task, data: Rows | Batches, settings: Settings, solver: Solver, done: Progress, rng: np.random.Generator,
    step: CompiledStep | None,
) -> None:  # fmt: skip
    """Go through all batches once."""
    kept: list[tuple[Gradients, int]] = []

    def update() -> None:
        found = _mean(kept)
        kept.clear()
        task.rate = _rate(solver, done)
        task.update(clipped(solver, found), spend=True)
        done.updates += 1

    for x, y, rows in data.batches(rng):
        if isinstance(solver.rule, LBFGS):
            task.rate = _rate(solver, done)
            task.line_search(x, y)
            done.updates += 1
            continue
        if step is not None:
            task.rate = _rate(solver, done)
            step(x, y, rng)
            done.updates += 1
            continue
        kept.append((task.gradients(x, y, rng)[1], rows))
        if len(kept) == settings.accumulate:
            update()
    if kept:
        update()


def _check_finite(task: Task, epoch: int) -> None:
    """Raise if a parameter became infinite or NaN: it is not written over a checkpoint of better days."""
    for name, parameter in zip(task.names, task.parameters, strict=True):
        if not np.isfinite(parameter.data).all():
            raise FloatingPointError(
                f"fit: {name} became infinite or NaN in epoch {epoch}, by a gradient that was. With "
                "tinygrad_nn.detect_anomaly() around fit you see which operation made it; clip_norm=1.0 or a lower "
                "learning_rate may help."
            )


def _mean(kept: Sequence[tuple[Gradients, int]]) -> Gradients:
    """Return the mean of gradients, each counted by its rows."""
    if len(kept) == 1:
        return kept[0][0]
    total = sum(rows for _, rows in kept)
    mean: Gradients = []
    for parts in zip(*(found for found, _ in kept), strict=True):
        there = [g * g.dtype.type(rows / total) for g, (_, rows) in zip(parts, kept, strict=True) if g is not None]
        mean.append(sum(there[1:], there[0]) if there else None)
    return mean


def _rate(solver: Solver, done: Progress) -> Callable[[float], float]:
    """Return what takes a learning rate that was asked for to that of the next update."""
    schedule = solver.schedule
    if schedule is None:
        return float
    if isinstance(schedule, Plateau):
        state: Any = PlateauState(*done.schedule)
    else:
        state = done.epoch if solver.schedule_by == "epoch" else done.updates
    return lambda base: schedule(state, base)


def _plateau(solver: Solver) -> Any:
    return list(solver.schedule.init()) if isinstance(solver.schedule, Plateau) else None


def _evaluate(
    task: Task, number: int, settings: Settings, solver: Solver, parts: tuple[Any, Any],
    metrics: Mapping[str, Metric] | None, model: Any,
) -> Epoch:  # fmt: skip
    """Return losses and metrics over all the data."""
    found: dict[str, float] = {}
    losses: list[float | None] = [None, None]
    looked = metrics is None or bool(metrics)  # without metrics no prediction is kept
    for k, (part, start) in enumerate(zip(parts, ("", "val_"), strict=True)):
        if part is None:
            continue
        pieces = []
        for x, y, rows in part.still(CHUNK):
            loss, prediction = task.evaluate(x, y)
            pieces.append((loss, rows, *((y, prediction) if looked else (None, None))))
        total = sum(rows for _, rows, _, _ in pieces)
        power = 2 if solver.loss == "rmse" else 1  # roots are not averaged, what is under them is
        mean = sum(loss**power * rows / total for loss, rows, _, _ in pieces) ** (1 / power)
        losses[k] = pieces[0][0] if len(pieces) == 1 else mean
        y, prediction = _joined([piece[2] for piece in pieces]), _joined([piece[3] for piece in pieces])
        for name, metric in (choose(task, y, prediction) if metrics is None else metrics).items():
            found[start + name] = float(raw(metric(y, prediction)))
    return Epoch(number, settings.epochs, losses[0] or 0.0, losses[1], found, model)


def _joined(parts: Sequence[Any]) -> Any:
    """Return the rows of several arrays as one; of what is no array the first will do."""
    if len(parts) == 1 or not isinstance(parts[0], np.ndarray):
        return parts[0] if len(parts) == 1 else None
    return np.concatenate(parts)


@contextmanager
def _bar(epochs: int, done: int) -> Iterator[Show]:
    """Show a progress bar over so many epochs, none for 0; yield what is to be called after each."""
    if not epochs:
        yield lambda epoch: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=epochs, completed=done)

        def show(epoch: Epoch) -> None:
            val = "" if epoch.val_loss is None else f"  val_loss {epoch.val_loss:.4f}"
            bar.update(task, advance=1, description=f"loss {epoch.loss:.4f}{val}")

        yield show
