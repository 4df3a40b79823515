"""The state of a Minimizer as plain data, and back; errors name what does not fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.printable import printable
from .plateau import PlateauState
from .quasi_newton import LBFGSRule
from .rule import OptimizerState
from .schedules import Schedule

if TYPE_CHECKING:
    from .minimizer import Group, Minimizer

ARRAYS = np.ndarray, np.generic  # NumPy returns scalars for 0-d results


def saved_state(minimizer: Minimizer) -> dict[str, Any]:
    """Return the state as nested dicts and lists of numbers, names, ``None`` and copied arrays."""
    return {
        "steps": minimizer.steps,
        "schedule": _schedule(minimizer),
        "plateau": None if minimizer.plateau is None else list(minimizer.plateau),
        "groups": [
            {
                **_group_properties(group),
                "learning_rate": group.learning_rate,
                "states": [[copied(part) for part in state] for state in group.states],
            }
            for group in minimizer.groups
        ],
    }


def checked_state(
    minimizer: Minimizer, saved: Any
) -> tuple[list[list[OptimizerState]], list[float], PlateauState | None, int]:
    """Return states and learning rates of the groups, the plateau state and the number of steps, all validated."""
    try:
        return _checked_parts(minimizer, saved)
    except (TypeError, LookupError, AttributeError, OverflowError, ValueError) as error:
        if str(error).startswith("load_state_dict: "):
            raise
        raise ValueError(
            f"load_state_dict: {printable(f'{error!s:.100}')}; pass what Minimizer.state_dict returned. Nothing was "
            "changed."
        ) from None


def _checked_parts(
    minimizer: Minimizer, saved: Any
) -> tuple[list[list[OptimizerState]], list[float], PlateauState | None, int]:
    _require_keys(saved, "what was given", "steps", "schedule", "plateau", "groups")
    _check_same("the schedule", _schedule(minimizer), saved["schedule"])
    _check_same("the number of groups", len(minimizer.groups), len(saved["groups"]))
    states = []
    for k, (group, other) in enumerate(zip(minimizer.groups, saved["groups"], strict=True), 1):
        here = _group_properties(group)
        _require_keys(other, f"group {k}", *here, "learning_rate", "states")
        _check_same(f"the optimizer of group {k}", here["optimizer"], other["optimizer"])
        for key, value in here["hyper"].items():
            _check_same(f"{key} of the {here['optimizer']} of group {k}", value, other["hyper"].get(key))
        _check_same(f"the number of parameters of group {k}", len(here["parameters"]), len(other["parameters"]))
        names = [t.name or f"parameter {i}" for i, t in enumerate(group.parameters, 1)]
        for name, one, two in zip(names, here["parameters"], other["parameters"], strict=True):
            for key, value in one.items():
                _check_same(f"the {key} of {name} in group {k}", value, two[key])
        searched = isinstance(group.rule, LBFGSRule)  # L-BFGS has one state for all parameters
        names = ["lbfgs"] if searched else names
        _check_same(f"the number of states of group {k}", len(names), len(other["states"]))
        states.append([
            _check_state(f"{name} in group {k}", state, new, searched)
            for name, state, new in zip(names, group.states, other["states"], strict=True)
        ])  # fmt: skip
    _check_same("whether there is a plateau", minimizer.plateau is not None, saved["plateau"] is not None)
    plateau = None if saved["plateau"] is None else PlateauState(*saved["plateau"])
    rates, steps = [float(other["learning_rate"]) for other in saved["groups"]], int(saved["steps"])
    _check_same("whether learning rates are finite and at least 0", True, all(0 <= rate < math.inf for rate in rates))
    _check_same("whether steps are at least 0", True, steps >= 0)
    return states, rates, plateau, steps


def _group_properties(group: Group) -> dict[str, Any]:
    """Return the properties of a group that must be the same in a saved state."""
    parameters = [{"shape": list(t.shape), "dtype": t.dtype.name} for t in group.parameters]
    return {"optimizer": group.rule.name, "hyper": dict(group.rule.hyper), "parameters": parameters}


def _schedule(minimizer: Minimizer) -> Any:
    schedule = minimizer.schedule
    return schedule.state_dict() if isinstance(schedule, Schedule) else None


def copied(part: Any) -> Any:
    """Return a part of a state, an array as a copy of it."""
    return np.array(part) if isinstance(part, ARRAYS) else part


def _require_keys(saved: Any, where: str, *keys: str) -> None:
    for key in keys:
        if not isinstance(saved, Mapping) or key not in saved:
            raise ValueError(f"load_state_dict: no {key!r} in {where}; pass what Minimizer.state_dict returned.")


def _check_same(name: str, current: Any, saved: Any) -> None:
    if current != saved:
        raise ValueError(
            f"load_state_dict: {printable(f'{name} is {current} here and {saved!s:.200}')} in the saved state. Create "
            "the Minimizer as it was when it was saved; nothing was changed."
        )


def _check_state(where: str, state: OptimizerState, new: Any, longer: bool) -> OptimizerState:
    """Return a saved state, with the types of the current one; for L-BFGS (`longer`) it may have more arrays."""
    wanted = list(state)
    if longer:
        wanted = [*state[:5], *[state[4]] * (len(new) - 5)]
    _check_same(f"the length of the state of {where}", len(wanted), len(new))
    found = []
    for here, there in zip(wanted, new, strict=True):
        if not isinstance(here, ARRAYS):
            _check_same(f"the kind of a number in the state of {where}", True, np.ndim(there) == 0)
            found.append(type(here)(there))
            continue
        array = np.array(there)
        _check_same(f"the shape of an array in the state of {where}", here.shape, array.shape)
        _check_same(f"the dtype of an array in the state of {where}", here.dtype.name, array.dtype.name)
        found.append(array)
    return tuple(found)
