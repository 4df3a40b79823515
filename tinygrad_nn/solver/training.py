"""fit, the training of any model: checks the arguments, then runs the epochs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from ..common.arguments import as_generator
from ..common.printable import printable
from ..common.spelling import named_options
from ..distributed import Ranks
from ..files import locked_folder
from ..optim import LBFGSRule
from .arguments import prepare_training
from .batches import Batches
from .checkpoint import Checkpoint
from .epochs import BoundCheckpoint, Epoch, Metric, Training
from .fingerprint import ROWS, fingerprint, in_words, seed
from .frames import arrays_of, remember_names
from .history import History
from .ranks import SAMPLE, SharedTraining
from .settings import OF_PENALTIES, OF_RULES, OF_SETTINGS, OF_SOLVER, Settings, Solver
from .stopping import EarlyStopping, Watch
from .training_step import backend_of, training_step

if TYPE_CHECKING:
    from ..files import StrPath
    from .julia import Rng


@named_options(
    {
        **OF_SETTINGS, **OF_SOLVER, **OF_RULES, **OF_PENALTIES,
        "patience": "Write early_stopping=EarlyStopping(patience=5).",
        **dict.fromkeys(["validation", "validation_data", "val_data", "eval_set"], "Write x_val=x_val, y_val=y_val."),
        "validation_split": "Divide the rows yourself, tinygrad_nn.data_split(x, y), and pass x_val= and y_val=.",
        "shuffle": "Rows are shuffled again in every epoch; for your own order pass a list of batches.",
        "sample_weight": "Classes are weighted, class_weight='balanced'; for rows write the loss as a function.",
        "steps_per_epoch": "Every epoch goes once through all rows.",
    },
    solver="solver=Solver('mse', 'adam', 0.01)", settings="settings=Settings(epochs=20, batch_size=16)",
)  # fmt: skip
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
    comm: Any = None,
) -> History:
    """Train a model: every epoch uses all rows once, in a new random order, in minibatches.

    Args:
        model: a list of layers and modules, a `Module`, or a function ``f(params, x, y)`` that returns its loss.
        x, y: arrays with one row per sample, tables of pandas, polars or pyarrow, or nested tuples and dicts of arrays;
            or x alone, an iterable of batches ``(x, y)``.
        x_val, y_val: validation data in the same form; both or neither.
        solver: loss, optimizer, learning rate, schedule, clipping; settings: epochs and batch size.
        rng: a Generator or a seed for order and dropout. The same seed and number of BLAS threads give the same bits.
        params: for a function: a dict of arrays, which may be nested; the trained arrays replace the given ones in it.
        metrics: name -> ``f(y, prediction)``; by default accuracy or r2, if the targets are suitable.
        early_stopping: an `EarlyStopping`; checkpoint: a folder, or a `Checkpoint`, for resuming after a crash.
        resume: whether to continue from the checkpoint, if there is one in its folder yet; `settings.epochs` counts its
            epochs too.
        class_weight: ``'balanced'``, or one weight per class for its rows in a cross-entropy.
        callbacks: each is called with an `Epoch` at its end; if one returns True, the training ends. If a callback
            also has methods ``due(number)`` and ``step(step)``, ``step`` gets the `Step` of each update that is due.
        gradients: ``'graph'``, or ``'manual'`` for layers; compile: run each step as one compiled function: ``True``,
            ``'numpy'`` or ``'numba'``, see `tinygrad_nn.compile`; progress: show a progress bar on standard error.
        comm: a communicator of mpi4py: its ranks share every batch; steps are those of one process, see docs/scale.md.

    Returns:
        A `History`.

    Raises:
        TypeError, ValueError: model, data and settings do not fit together; FloatingPointError: the training diverged.

    Example:
        >>> from tinygrad_nn import Layer
        >>> model, x = [Layer(1, 1, rng=0)], [[-1.0], [0.0], [1.0]]
        >>> history = fit(model, x, [-2.0, 0.0, 2.0], solver=Solver("mse", "sgd", 0.3), settings=Settings(20, 2), rng=0)
        >>> history.loss[-1] < 1e-6
        True
    """
    if comm is None:
        return _fit(None, **_named_arguments(locals()))
    ranks = Ranks.of("fit", comm)
    with ranks.together("fit"):
        return _fit(ranks, **_named_arguments(locals()))


def _named_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `fit` without `comm` and `ranks`."""
    return {name: value for name, value in arguments.items() if name not in ("comm", "ranks")}


def _fit(
    ranks: Ranks | None, model: Any, x: Any, y: Any, x_val: Any, y_val: Any, solver: Solver, settings: Settings,
    rng: Any, params: Any, metrics: Any, early_stopping: Any, checkpoint: Any, resume: bool, class_weight: Any,
    callbacks: Any, gradients: str, compile: Any, progress: bool,
) -> History:  # fmt: skip
    """Train as described at `fit`; if ranks are given, they share each batch."""
    callbacks = list(callbacks) if isinstance(callbacks, Iterable) else callbacks
    if not isinstance(resume, (bool, np.bool_)):
        raise TypeError(
            f"fit: resume={resume!r:.60} is of type {type(resume).__name__}; it needs True or False. The folder is "
            "that of checkpoint=: write checkpoint='run', resume=True."
        )
    if not isinstance(checkpoint, (str, os.PathLike, Checkpoint, type(None))):
        raise TypeError(
            f"fit: checkpoint={checkpoint!r:.60} is of type {type(checkpoint).__name__}; it needs a folder, "
            "checkpoint='run', or a Checkpoint."
        )
    _check(solver, settings, early_stopping, metrics, callbacks)
    given = x, y
    x, y, x_val, y_val = arrays_of("fit", model, x=x, y=y, x_val=x_val, y_val=y_val)
    random = as_generator(rng)
    task, data, val = prepare_training(
        "fit", model, x, y, x_val, y_val, solver, settings.batch_size, params, gradients, class_weight
    )
    twice = next((name for name in metrics or () if val is not None and f"val_{name}" in metrics), None)
    if twice is not None:
        raise ValueError(
            f"fit: the metric {twice!r} of the validation data is called 'val_{twice}', which is the name of another "
            "metric; give that another name."
        )
    backend = backend_of("fit", compile, gradients, solver)
    if backend is not None and settings.accumulate > 1:
        raise ValueError("fit: a compiled step updates after each batch; leave compile or accumulate out.")
    saved = shared = None
    leads = ranks is None or ranks.rank == 0
    if checkpoint is not None or ranks is not None:
        others = [rng for part in (data, val) if isinstance(part, Batches) for rng in part.generators]
        drawn = list({id(rng): rng for rng in (random, *others)}.values())  # each once: batches may use that of `fit`
        seeds = ["drawn by the system" if rng is None else seed(random), *map(seed, others)]

        def setup(sample: int = ROWS) -> dict[str, str]:
            return fingerprint(
                task, data, val, solver, settings, early_stopping, metrics, class_weight, gradients, backend, seeds,
                sample,
            )  # fmt: skip

    if checkpoint is not None:
        place = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
        saved = BoundCheckpoint(place, setup() if leads else {}, drawn)
    if ranks is not None:
        same = setup(SAMPLE)
        shared = SharedTraining(ranks, task, same, random, drawn)
        state = in_words(random.bit_generator.state).encode()
        bits = "drawn by the system" if rng is None else f"checksum {crc32(state):08x}"
        shared.agree({
            **same, "epochs": str(settings.epochs), "checkpoint": str(checkpoint is not None), "resume": str(resume),
            "random numbers": bits, "metrics": in_words(None if metrics is None else list(metrics)),
        })  # fmt: skip
    step = training_step(task, solver, backend, settings.accumulate, shared=shared)
    training = Training(
        model, task, data, val, solver, settings, step, random, metrics, list(callbacks),
        None if early_stopping is None else Watch(early_stopping), saved, shared,
    )  # fmt: skip
    with nullcontext() if saved is None or not leads else locked_folder(saved.place.folder):
        history = training.run(resume, progress)
    remember_names(model, *given)
    return history


def _check(solver: Any, settings: Any, early_stopping: Any, metrics: Any, callbacks: Any) -> None:
    """Raise a TypeError if an argument has the wrong type, a ValueError for L-BFGS with `accumulate`."""
    if not isinstance(settings, Settings):
        raise TypeError(f"fit: settings={settings!r:.60}; write settings=Settings(epochs=20, batch_size=16).")
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise TypeError(f"fit: early_stopping={early_stopping!r:.60}; write early_stopping=EarlyStopping(patience=5).")
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"fit: metrics={metrics!r:.60}; write a dict, metrics={{'mae': f(y, prediction)}}.")
    for name, metric in (metrics or {}).items():
        if not callable(metric):
            raise TypeError(
                f"fit: the metric {printable(name)!r} is {metric!r:.60}; it is called with targets and predictions, so "
                f"pass a function, metrics={{{printable(name)!r}: lambda y, prediction: ...}}."
            )
    taken = next((name for name in ("loss", "val_loss") if name in (metrics or ())), None)
    if taken is not None:
        raise ValueError(f"fit: a metric is called {taken!r}, which is the name of the loss; give it another name.")
    if not isinstance(callbacks, list):
        raise TypeError(f"fit: callbacks={callbacks!r:.60}; write a list, callbacks=[your_function].")
    for callback in callbacks:
        if isinstance(callback, type):
            name = callback.__name__
            raise TypeError(f"fit: a callback is the class {name} itself; create it with brackets, {name}().")
        if not callable(callback):
            raise TypeError(f"fit: a callback is {callback!r:.60}; it is called with an Epoch, so pass a function.")
    if isinstance(getattr(solver, "rule", None), LBFGSRule) and settings.accumulate > 1:
        raise ValueError("fit: lbfgs treats each batch separately; leave accumulate out, and make batch_size larger.")
