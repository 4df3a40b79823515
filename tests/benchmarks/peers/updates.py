"""The update of parameters in NumPy, for libraries that have no optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import steps

Arrays = dict[str, np.ndarray]
Update = Callable[[Arrays, dict[str, Any]], None]


def update_of(step: str, p: Arrays) -> Update:
    """Return what moves the parameters along their gradients, in place."""
    if step not in steps.TASKS or steps.TASKS[step].rule == "sgd":

        def descend(p: Arrays, g: dict[str, Any]) -> None:
            for key in p:
                p[key] -= steps.RATE * g[key]

        return descend
    count = 0
    m, v = ({key: np.zeros_like(w) for key, w in p.items()} for _ in range(2))

    def adam(p: Arrays, g: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        c1, c2 = 1 - steps.BETA1**count, 1 - steps.BETA2**count
        for key in p:
            m[key] = steps.BETA1 * m[key] + (1 - steps.BETA1) * g[key]
            v[key] = steps.BETA2 * v[key] + (1 - steps.BETA2) * g[key] * g[key]
            p[key] -= steps.RATE * (m[key] / c1) / (np.sqrt(v[key] / c2) + steps.EPS)

    return adam
