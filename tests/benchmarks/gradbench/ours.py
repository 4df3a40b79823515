"""The derivatives on tinygrad_nn, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tinygrad_nn as nn

from . import objectives
from .evaluations import EVALUATIONS, Problem, Task
from .objectives import Gradient
from .variants import objectives_on, scanned

MODES: dict[str, Callable[[Any], Any]] = {
    "eager": lambda f: f,
    "replay": partial(nn.compile, backend="numpy"),
    "numba": partial(nn.compile, backend="numba"),
    "scan": partial(nn.compile, backend="numba"),  # with loops over time by tinygrad_nn.scan
}


def gradient(problem: Problem) -> Callable[..., Any]:
    return nn.grad(problem.number or problem.objective, range(problem.wanted))


def direction(problem: Problem) -> Callable[..., Any]:
    """Newton's step where the Hessian is diagonal: H of ones is its diagonal, and comes with the gradient."""

    def step(x: Any, *rest: Any) -> Any:
        slope, curvature = nn.jvp(lambda x: nn.grad(problem.objective)(x, *rest), (x,), (np.ones(x.shape),))
        return (slope / curvature,)

    return step


def blocks(problem: Problem) -> Callable[..., Any]:
    """The Jacobian of rows that depend on one row of each argument: a walk back an entry of a row, all rows at once."""
    number, alone = problem.number or problem.objective, problem.alone or (lambda x: x)

    def jacobian(*arguments: Any) -> Any:
        pairs = zip(arguments, problem.rows, strict=False)
        wanted = [x if rows is None else x[rows] for x, rows in pairs]
        rest = arguments[problem.wanted :]
        value, pull = nn.vjp(lambda *wanted: number(*wanted, *rest), *wanted)
        walks = [pull(np.broadcast_to(unit, value.shape)) for unit in np.eye(value.shape[1])]
        parts = [np.reshape(x, (len(value), -1)) for walk in walks for x in walk]
        together = np.concatenate(parts, axis=1).reshape(*value.shape, -1)
        return together, nn.elementwise_grad(alone)(wanted[-1])

    return jacobian


def columns(problem: Problem) -> Callable[..., Any]:
    """The Jacobian of many numbers by few: forward mode, a walk an entry of the arguments."""
    jacobian = nn.jacobian(problem.objective, range(problem.wanted))
    return lambda *arguments: np.concatenate(jacobian(*arguments), axis=1)


def reverse(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return nn.grad(f)


def forward(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: np.stack([nn.jvp(f, (x,), (unit,))[1] for unit in np.eye(len(x))])


def nested(outer: Gradient, inner: Gradient) -> Callable[[Problem], Callable[..., Any]]:
    return lambda problem: lambda x: problem.objective(x, outer, inner)


KINDS: dict[str, Callable[[Problem], Callable[..., Any]]] = {
    "objective": lambda problem: problem.objective,
    "gradient": gradient,
    "direction": direction,
    "blocks": blocks,
    "columns": columns,
    "ff": nested(forward, forward),
    "fr": nested(forward, reverse),
    "rf": nested(reverse, forward),
    "rr": nested(reverse, reverse),
}


def task(evaluation: str, function: str, given: Any, mode: str) -> Task:
    """Return one function of an evaluation on the input of a message, in one of the `MODES`."""
    known = EVALUATIONS[evaluation]
    kind = known.functions[function]
    problem = known.read(given, objectives_on(np, **scanned(np, nn.scan)) if mode == "scan" else objectives)
    call = MODES[mode](KINDS[kind](problem))
    compile = None if mode == "eager" else lambda: call.plan(*problem.arguments)
    if kind == "objective":
        return Task(lambda: call(*problem.arguments), problem.show, compile)
    if (finish := problem.finish) is None:
        return Task(lambda: call(*problem.arguments), problem.show_derivative, compile)
    return Task(lambda: finish(call(*problem.arguments)), problem.show_derivative, compile)
