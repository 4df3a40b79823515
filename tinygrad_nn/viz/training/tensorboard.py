"""`TensorBoard`: a callback that writes a training as event files for the program of that name."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...common.printable import printable
from ...common.spelling import named_options
from .steps import Choice, LoopRecorder

NEEDS = (
    "TensorBoard's event files are written by tensorboardX, which is not installed: "
    "pip install 'tinygrad-nn[tensorboard]'"
)


@named_options({"every": "Write TensorBoard(folder, 10) for every tenth step.", "log_dir": "It is the first argument."})
class TensorBoard:
    """A callback of `fit` that writes scalars and histograms into a folder, to be shown by ``tensorboard --logdir``.

    For each epoch: ``epoch/loss``, ``epoch/val_loss`` and the metrics, such as ``epoch/accuracy``. For each update:
    ``step/loss`` of the batch, and histograms ``weights/...`` and ``gradients/...`` of each parameter. The training
    gives the same bits as without it.

    Args:
        folder: the folder of this run, created if necessary; use one folder per run, in a common parent folder.
        steps: the updates to write: every N-th, ``"log"``, or a list, as in `Record`.

    Attributes:
        writer: the ``tensorboardX.SummaryWriter``, for writing further data; opened at first use.

    Raises:
        ImportError: tensorboardX is not installed. NotADirectoryError: the folder is a file.

    Example:
        >>> import tempfile
        >>> from tinygrad_nn import Layer, Settings, Solver, fit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     board = TensorBoard(f"{folder}/run 1")
        ...     _ = fit([Layer(1, 1, rng=0)], [[-1.0], [1.0]], [-2.0, 2.0], solver=Solver("mse", "sgd", 0.3),
        ...             settings=Settings(2, 1), callbacks=[board])
        ...     len(list(board.folder.iterdir()))
        1
    """

    def __init__(self, folder: str | os.PathLike[str], steps: str | int | Sequence[int] = 10) -> None:
        self.folder = Path(folder)
        self._choice = Choice.of("TensorBoard", steps)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{printable(self.folder)} is a file; TensorBoard reads a folder, one per run.")
        _writers()
        self._open: Any = None
        self._loop = LoopRecorder()

    @property
    def writer(self) -> Any:
        """The ``tensorboardX.SummaryWriter``, opened at first access."""
        if self._open is None:
            self._open = _writers().SummaryWriter(str(self.folder))
        return self._open

    def due(self, number: int) -> bool:
        """Whether the update of this number is written."""
        return self._choice.due(number)

    def step(self, step: Any) -> None:
        """Write an update that `fit` reports."""
        self._write(step.number, step.loss, step.weights, step.gradients)
        if step.number and step.loss is None:  # the training stopped early
            self.close()

    def add(self, model: Any, trained: Any = None) -> None:
        """Write an update of your own loop; the arguments are those of `Record.add`."""
        step = self._loop.next_step(model, trained)
        if self.due(step.number):
            self._write(*step)

    def __call__(self, epoch: Any) -> None:
        """Write the losses and metrics at the end of an epoch."""
        for name, value in {"loss": epoch.loss, "val_loss": epoch.val_loss, **epoch.metrics}.items():
            if value is not None:
                self.writer.add_scalar(f"epoch/{_tag(name)}", float(value), epoch.number)
        self.writer.flush()
        if epoch.number >= epoch.epochs:
            self.close()

    def close(self) -> None:
        """Write the remaining data and close the file; needed after your own loop or an interrupted training."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, number: int, loss: float | None, weights: Any, gradients: Any) -> None:
        if loss is not None:
            self.writer.add_scalar("step/loss", loss, number)
        for kind, arrays in (("weights", weights), ("gradients", gradients)):
            for name, array in arrays.items():
                values = np.abs(array) if array.dtype.kind == "c" else array
                finite = values[np.isfinite(values)]
                if finite.size:  # a histogram has no bin for NaN and infinity
                    self.writer.add_histogram(f"{kind}/{_tag(name)}", finite, number)


def _tag(name: str) -> str:
    """Return a name with the characters that tags may not have replaced by underscores."""
    return re.sub(r"[^\w./-]", "_", str(name), flags=re.ASCII)


def _writers() -> Any:
    try:
        import tensorboardX
    except ImportError:
        raise ImportError(NEEDS) from None
    return tensorboardX
