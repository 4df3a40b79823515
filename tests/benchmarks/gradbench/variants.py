"""Variants of the objectives: on another NumPy, and with loops over time by `scan`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import objectives


def objectives_on(numpy: Any, **instead: Any) -> ModuleType:
    """Return a second copy of the objectives, in which `np` is another library and functions may have been replaced."""
    spec = importlib.util.spec_from_file_location("objectives_on", objectives.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where the types of a named tuple are looked up
    spec.loader.exec_module(module)
    vars(module).update(np=numpy, **instead)
    return module


def scanned(np: Any, scan: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Return the objectives that loop over time, with a library's `scan` for the loop."""

    def recurrent(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
        layers, b = len(main) // 2, extra.shape[1]
        weights = np.reshape(main, (layers, 2, 4, b))

        def one(carry: Any, seen: Any) -> Any:
            hidden, cell = list(carry[0]), list(carry[1])
            now, then = seen
            x = now * extra[0]
            for k in range(layers):
                w, bias = weights[k, 0], weights[k, 1]
                forget = 1 / (1 + np.exp(-(x * w[0] + bias[0])))
                ingate = 1 / (1 + np.exp(-(hidden[k] * w[1] + bias[1])))
                outgate = 1 / (1 + np.exp(-(x * w[2] + bias[2])))
                change = np.tanh(hidden[k] * w[3] + bias[3])
                cell[k] = cell[k] * forget + ingate * change
                hidden[k] = x = outgate * np.tanh(cell[k])
            y = x * extra[1] + extra[2]
            return (tuple(hidden), tuple(cell)), np.sum(then * (y - np.log(2 + np.sum(np.exp(y)))))

        start = tuple(state[2 * k] for k in range(layers)), tuple(state[2 * k + 1] for k in range(layers))
        _, losses = scan(one, start, (sequence[:-1], sequence[1:]))
        return -np.sum(losses) / ((len(sequence) - 1) * b)

    def runge_kutta(x: Any, s: int) -> Any:
        def slope(y: Any) -> Any:
            return x * np.concatenate([np.ones(1), y[:-1]])

        def one(y: Any, _: Any) -> Any:
            k1 = slope(y)
            k2 = slope(y + h / 2 * k1)
            k3 = slope(y + h / 2 * k2)
            k4 = slope(y + h * k3)
            return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

        h = 2 / s
        return scan(one, np.zeros(len(x)), None, s)[0]

    return {"recurrent": recurrent, "runge_kutta": runge_kutta}
