"""The bar on standard error while a training runs: it moves by epochs, and by batches where an epoch takes long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .history import cell

if TYPE_CHECKING:
    from .epochs import Epoch

LONG = 2.0  # seconds of an epoch after which its batches are shown


class Shown:
    """What is told of a training; it shows nothing."""

    def epoch(self, epoch: Epoch) -> None:
        """Tell of the end of an epoch."""

    def batches(self, batches: Iterator[Any], count: int | None) -> Iterator[Any]:
        """Yield the batches of an epoch, `count` if that is known."""
        return batches


class _Bar(Shown):
    def __init__(self, bar: Any, epochs: int, done: int) -> None:
        self.bar, self.done, self.text = bar, done, ""
        self.task = bar.add_task("", total=epochs, completed=done)

    def epoch(self, epoch: Epoch) -> None:
        val = "" if epoch.val_loss is None else f"  val_loss {cell(epoch.val_loss)}"
        self.done, self.text = self.done + 1, f"loss {cell(epoch.loss)}{val}"
        self.bar.update(self.task, completed=self.done, description=self.text)

    def batches(self, batches: Iterator[Any], count: int | None) -> Iterator[Any]:
        start = time.monotonic()
        for k, batch in enumerate(batches, 1):
            yield batch
            if time.monotonic() - start > LONG:
                part, of = (0.0, "") if count is None else (k / count, f" of {count:,}")
                self.bar.update(self.task, completed=self.done + part, description=f"{self.text}  batch {k:,}{of}")


@contextmanager
def bar(epochs: int, done: int) -> Iterator[Shown]:
    """Show a progress bar over so many epochs, none for 0."""
    if not epochs:
        yield Shown()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as drawn:
        yield _Bar(drawn, epochs, done)
