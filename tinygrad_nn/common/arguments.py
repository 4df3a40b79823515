"""Checks of arguments that many functions take: a generator of random numbers, and True or False."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_generator(rng: Any) -> np.random.Generator:
    """Return a Generator of NumPy: the given one, or a new one from a seed or from ``None``.

    Example:
        >>> as_generator("a")
        Traceback (most recent call last):
            ...
        TypeError: rng='a' is of type str; it needs a seed, rng=0, or a generator, rng=np.random.default_rng(0).
    """
    if not isinstance(rng, (bool, np.bool_)):  # NumPy takes True as the seed 1
        try:
            return np.random.default_rng(rng)
        except TypeError:
            pass
        except ValueError:
            raise ValueError(f"rng={rng!r:.60}; a seed is an integer of at least 0, e.g. rng=0.") from None
    raise TypeError(
        f"rng={rng!r:.60} is of type {type(rng).__name__}; it needs a seed, rng=0, or a generator, "
        "rng=np.random.default_rng(0)."
    )


def check_flag(call: str, name: str, value: Any, hint: str = "", numbers: bool = True) -> None:
    """Raise a TypeError unless an option is True, False, or stands for one: ``None``, and with `numbers` 0 or 1."""
    is_number = numbers and isinstance(value, int) and value in (0, 1)
    if not isinstance(value, (bool, np.bool_, type(None))) and not is_number:
        called = getattr(value, "__name__", None) or f"{value!r:.60}"
        raise TypeError(f"{call}: {name}={called} is of type {type(value).__name__}; it needs True or False.{hint}")
