"""The twelve evaluations: what their messages hold, which function is meant, and what is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np


class Problem(NamedTuple):
    """An objective with the arguments of one message.

    Attributes:
        objective: a function of arrays.
        arguments: its arrays; the first `wanted` are differentiated.
        wanted: how many.
        show: turns its result into what a message holds.
        show_derivative: the same for its derivative.
        number: the function that is differentiated, where it is not the objective.
        finish: what is done with the derivative before it is shown, and belongs to its time.
    """

    objective: Callable[..., Any]
    arguments: tuple[Any, ...]
    wanted: int
    show: Callable[[Any], Any]
    show_derivative: Callable[[Any], Any]
    number: Callable[..., Any] | None = None
    finish: Callable[[Any], Any] | None = None


class Evaluation(NamedTuple):
    """One evaluation.

    Attributes:
        functions: of each function by the protocol's name its kind: `objective`, or how a library differentiates it.
        read: makes a `Problem` of a message's input and the module of the objectives, so that libraries bring theirs.
    """

    functions: dict[str, str]
    read: Callable[[Any, Any], Problem]


def floats(given: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(np.asarray(given[name], dtype=float) for name in names)


def flat(value: Any) -> Any:
    """Return an array's numbers as a list, one number as a number."""
    value = np.asarray(value)
    return float(value) if value.size == 1 and value.ndim == 0 else value.tolist()


def first(values: Any) -> Any:
    return flat(values[0])


def hello(given: Any, on: Any) -> Problem:
    return Problem(on.square, (np.asarray(given, dtype=float),), 1, flat, first)


def lse(given: Mapping[str, Any], on: Any) -> Problem:
    return Problem(on.logsumexp, floats(given, "x"), 1, flat, first)


def llsq(given: Mapping[str, Any], on: Any) -> Problem:
    return Problem(partial(on.least_squares, n=int(given["n"])), floats(given, "x"), 1, flat, first)


def gmm(given: Mapping[str, Any], on: Any) -> Problem:
    names = ("alpha", "mu", "q", "l")
    objective = partial(on.mixture, m=int(given["m"]), gamma=float(given["gamma"]))
    k, d = int(given["k"]), int(given["d"])
    alpha, mu, q, l, x = floats(given, *names, "x")  # noqa: E741
    arguments = (alpha, mu.reshape(k, d), q.reshape(k, d), l.reshape(k, d * (d - 1) // 2), x.reshape(-1, d))
    return Problem(objective, arguments, 4, flat, lambda found: dict(zip(names, map(flat, found), strict=True)))


def ode(given: Mapping[str, Any], on: Any) -> Problem:
    objective = partial(on.runge_kutta, s=int(given["s"]))
    return Problem(objective, floats(given, "x"), 1, flat, first, number=lambda x: objective(x)[-1])


def det(given: Mapping[str, Any], on: Any) -> Problem:
    n = int(given["ell"])
    return Problem(
        on.determinant, (floats(given, "A")[0].reshape(n, n),), 1, flat, lambda found: flat(found[0].ravel())
    )


def lstm(given: Mapping[str, Any], on: Any) -> Problem:
    arguments = floats(given, "main_params", "extra_params", "state", "sequence")
    return Problem(on.recurrent, arguments, 2, flat, lambda found: flat(np.concatenate([x.ravel() for x in found])))


def kmeans(given: Mapping[str, Any], on: Any) -> Problem:
    return Problem(on.clustering, floats(given, "centroids", "points"), 1, flat, first)


GRADIENT = {"objective": "objective", "jacobian": "gradient"}
EVALUATIONS = {
    "hello": Evaluation({"square": "objective", "double": "gradient"}, hello),
    "gmm": Evaluation(GRADIENT, gmm),
    "lstm": Evaluation(GRADIENT, lstm),
    "ode": Evaluation({"primal": "objective", "gradient": "gradient"}, ode),
    "lse": Evaluation({"primal": "objective", "gradient": "gradient"}, lse),
    "llsq": Evaluation({"primal": "objective", "gradient": "gradient"}, llsq),
    "det": Evaluation({"primal": "objective", "gradient": "gradient"}, det),
    "kmeans": Evaluation({"cost": "objective", "dir": "direction"}, kmeans),
}
