"""The derivatives on tinygrad_nn, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import tinygrad_nn as nn

from . import objectives
from .evaluations import EVALUATIONS, Problem

MODES: dict[str, Callable[[Any], Any]] = {
    "eager": lambda f: f,
    "replay": partial(nn.compile, backend="numpy"),
    "numba": partial(nn.compile, backend="numba"),
}


class Task(NamedTuple):
    """What is run and timed, and what is answered."""

    run: Callable[[], Any]
    show: Callable[[Any], Any]


def gradient(problem: Problem) -> Callable[..., Any]:
    return nn.grad(problem.number or problem.objective, range(problem.wanted))


def direction(problem: Problem) -> Callable[..., Any]:
    """Newton's step where the Hessian is diagonal: H of ones is its diagonal, and comes with the gradient."""

    def step(x: Any, *rest: Any) -> Any:
        slope, curvature = nn.jvp(lambda x: nn.grad(problem.objective)(x, *rest), (x,), (np.ones(x.shape),))
        return (slope / curvature,)

    return step


KINDS: dict[str, Callable[[Problem], Callable[..., Any]]] = {
    "objective": lambda problem: problem.objective,
    "gradient": gradient,
    "direction": direction,
}


def task(evaluation: str, function: str, given: Any, mode: str) -> Task:
    """Return one function of an evaluation on the input of a message, in one of the `MODES`."""
    known = EVALUATIONS[evaluation]
    kind = known.functions[function]
    problem = known.read(given, objectives)
    call = MODES[mode](KINDS[kind](problem))
    if kind == "objective":
        return Task(lambda: call(*problem.arguments), problem.show)
    if (finish := problem.finish) is None:
        return Task(lambda: call(*problem.arguments), problem.show_derivative)
    return Task(lambda: finish(call(*problem.arguments)), problem.show_derivative)
