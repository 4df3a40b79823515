"""The same objectives in other libraries: jax, torch and HIPS autograd.

`python -m tests.benchmarks.gradbench.peers EVAL 'jax.jit: gradient'`. A peer needs its library, and nothing of this
project besides the objectives and the inputs. jax and autograd take the objectives as they are, with their own NumPy.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from ..worker import Program, Step, serve
from . import objectives
from .evaluations import EVALUATIONS, Problem
from .inputs import MIDDLE
from .programs import FUNCTIONS, functions, stepped


def objectives_on(numpy: Any) -> ModuleType:
    """Return a second copy of the objectives, in which `np` is another library."""
    spec = importlib.util.spec_from_file_location("objectives_on", objectives.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.np = numpy  # type: ignore[attr-defined]
    return module


def jax_(kind: str, problem: Problem) -> Callable[[], Any] | None:
    import jax
    import jax.numpy as jnp

    if kind == "objective":
        f = problem.objective
    elif kind == "gradient":
        f = jax.grad(problem.number or problem.objective, tuple(range(problem.wanted)))
    elif kind == "direction":

        def f(x: Any, *rest: Any) -> Any:
            slope, curvature = jax.jvp(lambda x: jax.grad(problem.objective)(x, *rest), (x,), (jnp.ones(x.shape),))
            return (slope / curvature,)
    else:
        return None
    call, arguments = jax.jit(f), [jnp.asarray(x) for x in problem.arguments]
    return lambda: jax.block_until_ready(call(*arguments))


def autograd_(kind: str, problem: Problem) -> Callable[[], Any] | None:
    import autograd
    import autograd.numpy as anp

    if kind == "objective":
        f = problem.objective
    elif kind == "gradient":
        f = autograd.grad(problem.number or problem.objective, tuple(range(problem.wanted)))
    elif kind == "direction":

        def f(x: Any, *rest: Any) -> Any:
            slope = autograd.grad(problem.objective)
            curvature = autograd.grad(lambda x: anp.sum(slope(x, *rest)))(x)
            return (slope(x, *rest) / curvature,)
    else:
        return None
    return lambda: f(*problem.arguments)


def torch_(kind: str, problem: Problem) -> Callable[[], Any] | None:
    import torch

    arguments = [torch.as_tensor(x) for x in problem.arguments]
    if kind == "objective":
        return lambda: problem.objective(*arguments)
    inputs = [x.requires_grad_() for x in arguments[: problem.wanted]]
    f = problem.number or problem.objective
    if kind == "gradient":
        return lambda: torch.autograd.grad(f(*arguments), inputs)
    if kind == "direction":

        def step() -> Any:
            (slope,) = torch.autograd.grad(f(*arguments), inputs, create_graph=True)
            (curvature,) = torch.autograd.grad(slope.sum(), inputs)
            return (slope.detach() / curvature,)

        return step
    return None


def make(library: str, function: str, evaluation: str) -> Step | None:
    name = functions(evaluation).get(function)
    if name is None:
        return None
    if library == "jax.jit":
        import jax
        import jax.numpy as numpy

        jax.config.update("jax_enable_x64", True)
        on, build = objectives_on(numpy), jax_
    elif library == "HIPS autograd":
        import autograd.numpy as numpy

        on, build = objectives_on(numpy), autograd_
    else:
        return None
    kind = EVALUATIONS[evaluation].functions[name]
    run = build(kind, EVALUATIONS[evaluation].read(MIDDLE[evaluation][1](), on))
    return None if run is None else stepped(run)


PACKAGES = {"jax.jit": "jax", "torch": "torch", "HIPS autograd": "autograd"}
PROGRAMS = {
    f"{library}: {function}": Program(partial(make, library, function), (package,))
    for library, package in PACKAGES.items()
    for function in FUNCTIONS
}

if __name__ == "__main__":
    serve(PROGRAMS)
