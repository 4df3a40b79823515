"""The error of machine code for several threads in a process that does not have them."""

from __future__ import annotations


class Forked(RuntimeError):
    """Raised before anything has run, in a process that has not the threads it takes."""
