"""numpy.random, unchanged: random numbers are constants, without gradients."""

from typing import Any

import numpy.random as _random


def __getattr__(name: str) -> Any:
    """Return the name from numpy.random."""
    return getattr(_random, name)
