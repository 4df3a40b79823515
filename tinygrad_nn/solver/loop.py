"""fit, the loop around the training step: shuffled minibatches for so many epochs, and a history of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..metrics import r2_score
from ..nn.layer import Layer
from .checks import check_inputs, check_model, check_solver, check_targets
from .history import History
from .settings import Settings, Solver
from .step import Array, Plan, data_loss, descend, draw_masks
from .train import check_road, check_validation, generator

if TYPE_CHECKING:
    from .train import Rng

Show = Callable[["Epoch"], None]


class Epoch(NamedTuple):
    """What a callback is told at the end of an epoch; `number` counts from 1 to `epochs`."""

    number: int
    epochs: int
    loss: float
    val_loss: float | None
    metrics: dict[str, float]
    model: Sequence[Layer]


def fit(
    model: Sequence[Layer],
    x: Any,
    y: Any,
    x_val: Any = None,
    y_val: Any = None,
    *,
    solver: Solver,
    settings: Settings,
    rng: Rng = None,
    callbacks: Sequence[Callable[[Epoch], Any]] = (),
    gradients: str = "graph",
    progress: bool = False,
) -> History:
    """Train the network: every epoch goes through all rows once, in a new order, in minibatches.

    Each minibatch is one update as by `TrainNN`, and leaves the same state for the next call.

    Args:
        model: a list of layers, whose ``W`` and ``b`` are changed.
        x, y: ``(rows, n_in)`` and ``(rows, n_out)``, or ``(rows,)`` for a single output.
        x_val, y_val: validation data, or neither.
        solver: loss, optimizer, learning rate, regularization; settings: epochs and batch size.
        rng: a Generator or a seed for order and dropout; the same seed gives the same weights, bit for bit.
        callbacks: each is called with an `Epoch` at its end; one that returns True ends the training.
        gradients: ``'graph'`` or ``'manual'``; progress: show a bar on the terminal's standard error.

    Returns:
        A `History`.

    Raises:
        TypeError, ValueError: model, data and settings do not fit; FloatingPointError: the training diverged.

    Example:
        >>> model, x = [Layer(1, 1, rng=0)], [[-1.0], [0.0], [1.0]]
        >>> history = fit(model, x, [-2.0, 0.0, 2.0], solver=Solver("mse", "sgd", 0.3), settings=Settings(20, 2), rng=0)
        >>> history.loss[-1] < 1e-6
        True
    """
    layers = check_model("fit", model)
    check_solver("fit", solver)
    if not isinstance(settings, Settings):
        raise TypeError(f"fit: settings={settings!r:.60}; write settings=Settings(epochs=20, batch_size=16).")
    road = check_road("fit", gradients)
    x = check_inputs("fit", layers, x, "x")
    y = check_targets("fit", layers, y, len(x), solver.loss, ("x", "y"))
    val = check_validation("fit", layers, x_val, y_val, solver)
    plan, random, history = Plan(layers, solver, y), generator(rng), History()
    size, rows = settings.batch_size, len(x)
    dropout = solver.regularization.dropout > 0
    with _bar(settings.epochs if progress else 0) as show:
        for number in range(1, settings.epochs + 1):
            order = random.permutation(rows)
            xs, ys = x[order], y[order]
            with np.errstate(all="ignore"):  # a loss that is not finite is reported by the road
                for start in range(0, rows, size):
                    x_batch, y_batch = xs[start : start + size], ys[start : start + size]
                    masks = draw_masks(plan, len(x_batch), random) if dropout else None
                    _, dW, db = road(plan, x_batch, y_batch, masks)
                    descend(plan, dW, db)
                epoch = _evaluate(plan, number, settings.epochs, (x, y), val)
            history.add(epoch.loss, epoch.val_loss, epoch.metrics)
            show(epoch)
            said = [callback(epoch) for callback in callbacks]  # all of them, even if the first ends the training
            if True in said:
                break
    return history


def _evaluate(plan: Plan, number: int, epochs: int, data: tuple[Array, Array], val: Any) -> Epoch:
    """Return losses and metrics over all the data."""
    loss, yhat = data_loss(plan, *data)
    name, metric = _metric(plan.solver.loss)
    metrics = {name: metric(data[1], yhat)}
    val_loss = None
    if val is not None:
        val_loss, yhat = data_loss(plan, *val)
        metrics[f"val_{name}"] = metric(val[1], yhat)
    return Epoch(number, epochs, loss, val_loss, metrics, plan.model)


def _metric(loss: str) -> tuple[str, Callable[[Array, Array], float]]:
    if loss.endswith("crossentropy"):
        return "accuracy", accuracy
    return "r2", r2_score


def accuracy(y: Array, yhat: Array) -> float:
    """Return the share of rows whose class is right; of independent labels, the share of labels that are right.

    The class is the column of the largest entry where the rows of y sum to one; else each entry is rounded at 1/2.
    """
    if y.shape[1] > 1 and (abs(y.sum(axis=1) - 1) < 1e-5).all():
        return float((y.argmax(axis=1) == yhat.argmax(axis=1)).mean())
    return float(((y >= 0.5) == (yhat >= 0.5)).mean())


@contextmanager
def _bar(epochs: int) -> Iterator[Show]:
    """Show a progress bar over so many epochs, none for 0; yield what is to be called after each."""
    if not epochs:
        yield lambda epoch: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=epochs)

        def show(epoch: Epoch) -> None:
            val = "" if epoch.val_loss is None else f"  val_loss {epoch.val_loss:.4f}"
            bar.update(task, advance=1, description=f"loss {epoch.loss:.4f}{val}")

        yield show
