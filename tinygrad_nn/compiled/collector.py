"""Python's garbage collector while a plan is made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Switch the garbage collector off inside the ``with``, or while a decorated function runs.

    A trace and a compilation make millions of objects that live until they end, and the collector looks at all of them
    each time that their number has grown by a quarter.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
