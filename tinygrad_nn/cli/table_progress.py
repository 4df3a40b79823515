"""A progress bar on the terminal while a large table is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LARGE = 20_000_000  # bytes; smaller files are read in a moment


@contextmanager
def table_progress(path: str | None, show: bool = True) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar if a file is large and stderr is a terminal; yield its update function or None."""
    large = path is not None and os.path.isfile(path) and os.path.getsize(path) > LARGE
    if not (large and show and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    with Progress(TextColumn("reading"), BarColumn(), TaskProgressColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
