"""Read what a user gives to a learning rate scheduler: values of groups, functions of the epoch, saved states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def per_group(name: str, key: str, value: Any, count: int) -> list[Any]:
    """Return a list with one value per group; a single value is repeated."""
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name}: {len(value)} values for {key}, {count} groups; give one for each, or one for all.")
    return list(value)


def factor_schedules(name: str, factor: Any) -> Any:
    """Return schedules that multiply their base by the result of the user's functions of the epoch."""
    if isinstance(factor, list | tuple):
        return [factor_schedules(name, one) for one in factor]
    if not callable(factor):
        raise TypeError(f"{name}: lr_lambda={factor!r:.60}; it needs a function, e.g. lambda epoch: 0.95**epoch.")
    return lambda t, base: base * factor(t)


def check_state(scheduler: Any, saved: Any) -> None:
    """Raise if a saved state has other keys than that of this scheduler."""
    name, keys = type(scheduler).__name__, sorted(scheduler.state_dict())
    if not isinstance(saved, Mapping) or sorted(saved) != keys:
        raise ValueError(f"{name}: load_state_dict takes what state_dict() returned, a dict of {', '.join(keys)}.")
