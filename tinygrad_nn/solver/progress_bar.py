"""The progress bar of a training, on standard error or in a notebook; in long epochs it shows batches too."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from ..common.display import notebook
from .history import cell_text

if TYPE_CHECKING:
    from .epochs import Epoch

LONG = 2.0  # seconds after which an epoch shows its batches
OFTEN = 0.1  # seconds between two updates of a bar in a notebook


class ProgressBar:
    """The interface of a progress bar; this base class shows nothing."""

    def epoch(self, epoch: Epoch) -> None:
        """Report the end of an epoch."""

    def batches(self, batches: Iterator[Any], count: int | None) -> Iterator[Any]:
        """Yield the batches of an epoch, and report each; `count` is their number, if known."""
        return batches


class _Bar(ProgressBar):
    """A progress bar of rich or of a notebook, which shows epochs and batches."""

    def __init__(self, drawn: Any, epochs: int, done: int) -> None:
        self.bar, self.done, self.text = drawn, done, ""
        self.task = drawn.add_task("", total=epochs, completed=done)

    def epoch(self, epoch: Epoch) -> None:
        val = "" if epoch.val_loss is None else f"  val_loss {cell_text(epoch.val_loss)}"
        self.done, self.text = self.done + 1, f"loss {cell_text(epoch.loss)}{val}"
        self.bar.update(self.task, completed=self.done, description=self.text)

    def batches(self, batches: Iterator[Any], count: int | None) -> Iterator[Any]:
        start = time.monotonic()
        for k, batch in enumerate(batches, 1):
            yield batch
            if time.monotonic() - start > LONG:
                part, of = (0.0, "") if count is None else (k / count, f" of {count:,}")
                self.bar.update(self.task, completed=self.done + part, description=f"{self.text}  batch {k:,}{of}")


class _NotebookOutput:
    """A progress bar in the output of a notebook cell, updated in place: plain HTML, without widgets."""

    def __init__(self, shell: Any) -> None:
        self.publish, self.place = shell.display_pub.publish, f"tinygrad_nn-{secrets.token_hex(8)}"
        self.total, self.began, self.first, self.last = 0, time.monotonic(), 0.0, -OFTEN
        self.shown = False
        self.now: tuple[float, str] = 0.0, ""

    def add_task(self, description: str, total: int, completed: int) -> int:
        self.total, self.first = total, completed
        self.update(0, completed, description)
        return 0

    def update(self, task: int, completed: float, description: str) -> None:
        self.now = completed, description
        if time.monotonic() - self.last >= OFTEN:
            self.draw()

    def draw(self) -> None:
        """Show the latest progress in the cell."""
        self.last = time.monotonic()
        completed, text = self.now
        words = f"epoch {int(completed):,} of {self.total:,}"
        if self.first < completed < self.total:
            left = (self.last - self.began) * (self.total - completed) / (completed - self.first)
            text += f"  {int(left) // 60}:{int(left) % 60:02d} left"
        html = (
            '<div style="display:flex;flex-wrap:wrap;align-items:center;gap:.2em 1em">'
            f'<span>{words}</span><progress max="{self.total}" value="{completed:g}" aria-label="epochs done">'
            "</progress>"
            f"<span>{escape(text)}</span></div>"
        )
        data = {"text/plain": f"{words}  {text}".rstrip(), "text/html": html}
        self.publish(data=data, metadata={}, transient={"display_id": self.place}, update=self.shown)
        self.shown = True


@contextmanager
def showing_progress(epochs: int, done: int) -> Iterator[ProgressBar]:
    """Show a progress bar for a number of epochs; 0 shows none."""
    if not epochs:
        yield ProgressBar()
        return
    shell = notebook()
    if shell is not None:
        output = _NotebookOutput(shell)
        try:
            yield _Bar(output, epochs, done)
        finally:
            output.draw()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as drawn:
        yield _Bar(drawn, epochs, done)
