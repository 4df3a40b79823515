"""`Forked`: the error if machine code for several threads runs in a forked process, which has no such threads."""

from __future__ import annotations


class Forked(RuntimeError):
    """Raised, before anything has run, in a forked process that does not have numba's threads."""
