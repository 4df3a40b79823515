"""numpy.random as it is: draws are constants."""

from typing import Any

import numpy.random as _random


def __getattr__(name: str) -> Any:
    """Take each name from numpy.random."""
    return getattr(_random, name)
