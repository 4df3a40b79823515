"""The same objectives in other libraries: jax, torch and HIPS autograd, and CasADi with those of `symbolic`.

`python -m tests.benchmarks.gradbench.peers EVAL 'jax.jit: gradient'`. A peer needs its library, and nothing of this
project besides the objectives and the inputs. The first three take the objectives as they are, in which their names
stand for those of NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..worker import Program, Step, serve
from .evaluations import EVALUATIONS, Problem
from .inputs import MIDDLE
from .programs import FUNCTIONS, functions, stepped
from .symbolic import CasADi
from .variants import objectives_on, scanned


def whole(found: Any) -> Any:
    """Return rows of blocks, one part an argument, as one array."""
    return np.concatenate([np.reshape(np.asarray(part), (*np.shape(part)[:2], -1)) for part in found], axis=2)


class Jax:
    """jax.jit; loops over time are `scan`, as its authors advise."""

    def __init__(self) -> None:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        self.on = objectives_on(jnp, **scanned(jnp, jax.lax.scan))

    def run(self, kind: str, problem: Problem) -> Callable[[], Any] | None:
        import jax
        import jax.numpy as jnp

        f, wanted = problem.number or problem.objective, range(problem.wanted)
        after: Callable[[Any], Any] = lambda found: found
        if kind == "objective":
            f = problem.objective
        elif kind == "gradient":
            f = jax.grad(f, tuple(wanted))
        elif kind == "direction":

            def f(x: Any, *rest: Any) -> Any:
                slope, curvature = jax.jvp(lambda x: jax.grad(problem.objective)(x, *rest), (x,), (jnp.ones(x.shape),))
                return (slope / curvature,)
        elif kind == "blocks":
            number, alone = f, problem.alone

            def f(*args: Any) -> Any:
                taken = [x if rows is None else x[rows] for x, rows in zip(args, problem.rows, strict=False)]
                value, pull = jax.vjp(lambda *taken: number(*taken, *args[problem.wanted :]), *taken)
                units = jnp.broadcast_to(jnp.eye(value.shape[1])[:, None], (value.shape[1], *value.shape))
                walks = [x.reshape(*x.shape[:2], -1) for x in jax.vmap(pull)(units)]
                return jnp.swapaxes(jnp.concatenate(walks, axis=2), 0, 1), jax.vmap(jax.grad(alone))(taken[-1])

            def after(found: Any) -> Any:
                assert problem.finish
                return problem.finish(tuple(map(np.asarray, found)))
        elif kind == "columns":
            f = lambda *args: jnp.concatenate(jax.jacfwd(problem.objective, tuple(wanted))(*args), axis=1)
        else:
            return None
        call, arguments = jax.jit(f), [jnp.asarray(x) for x in problem.arguments]
        return lambda: after(jax.block_until_ready(call(*arguments)))


class Autograd:
    """HIPS autograd, in its own NumPy."""

    def __init__(self) -> None:
        import autograd.numpy as anp

        self.on = objectives_on(anp)

    def run(self, kind: str, problem: Problem) -> Callable[[], Any] | None:
        import autograd
        import autograd.numpy as anp
        from autograd.builtins import tuple as nest

        number, arguments, wanted = problem.number or problem.objective, problem.arguments, problem.wanted
        if kind == "objective":
            return lambda: problem.objective(*arguments)
        if kind == "gradient":
            gradient = autograd.grad(number, tuple(range(wanted)))
            return lambda: gradient(*arguments)
        if kind == "direction":
            slope = autograd.grad(number)

            def along(x: Any) -> Any:
                found = slope(x, *arguments[1:])
                return anp.sum(found), found

            def step() -> Any:
                pull, value = autograd.make_vjp(lambda x: nest(along(x)))(arguments[0])
                return (value[1] / pull((1.0, np.zeros_like(value[1]))),)

            return step
        if kind != "blocks":
            return None

        def blocks() -> Any:
            assert problem.finish
            taken = tuple(x if rows is None else x[rows] for x, rows in zip(arguments, problem.rows, strict=False))
            pull, value = autograd.make_vjp(lambda taken: number(*taken, *arguments[wanted:]))(nest(taken))
            walks = [pull(np.broadcast_to(unit, value.shape)) for unit in np.eye(value.shape[1])]
            parts = [np.stack(part, axis=1) for part in zip(*walks, strict=True)]
            return problem.finish((whole(parts), autograd.elementwise_grad(problem.alone)(taken[-1])))

        return blocks


class TorchNumPy:
    """What the objectives call of NumPy, in torch's own names."""

    def __init__(self) -> None:
        import torch

        torch.set_default_dtype(torch.float64)
        self.torch = torch
        for name in ("exp", "log", "sqrt", "sin", "cos", "tanh", "sign", "zeros", "ones", "arange", "swapaxes",
                     "moveaxis", "linspace", "vander"):  # fmt: skip
            setattr(self, name, getattr(torch, name))

    def reshape(self, x: Any, shape: Any) -> Any:
        return x.reshape(shape)

    def stack(self, parts: Any, axis: int = 0) -> Any:
        return self.torch.stack(list(parts), dim=axis)

    def concatenate(self, parts: Any, axis: int = 0) -> Any:
        return self.torch.cat(list(parts), dim=axis)

    def sum(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return self.torch.sum(x) if axis is None else self.torch.sum(x, dim=axis, keepdim=keepdims)

    def max(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return self.torch.amax(x, () if axis is None else axis, keepdim=keepdims)

    def min(self, x: Any, axis: int) -> Any:
        return self.torch.amin(x, axis)

    def squeeze(self, x: Any, axis: Any) -> Any:
        return self.torch.squeeze(x) if axis is None else self.torch.squeeze(x, axis)

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return self.torch.where(self.torch.as_tensor(condition), x, y)

    def indices(self, shape: Any) -> Any:
        return self.torch.meshgrid(*map(self.torch.arange, shape), indexing="ij")

    def cross(self, x: Any, y: Any) -> Any:
        return self.torch.linalg.cross(*self.torch.broadcast_tensors(x, y))

    def array(self, x: Any) -> Any:
        return self.torch.as_tensor(x)


class Torch:
    """torch, eager."""

    def __init__(self) -> None:
        self.on = objectives_on(TorchNumPy())

    def run(self, kind: str, problem: Problem) -> Callable[[], Any] | None:
        import torch

        arguments = [torch.tensor(x) for x in problem.arguments]
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
        if kind == "columns":
            jacobian = torch.func.jacfwd(problem.objective, tuple(range(problem.wanted)))
            plain = [x.detach() for x in arguments]
            return lambda: torch.cat(jacobian(*plain), dim=1)
        if kind != "blocks":
            return None

        def blocks() -> Any:
            assert problem.finish
            assert problem.alone
            taken = [
                x if rows is None else x[torch.as_tensor(rows)] for x, rows in zip(inputs, problem.rows, strict=True)
            ]
            value = f(*taken, *arguments[problem.wanted :])
            units = torch.eye(value.shape[1])
            walks = [torch.autograd.grad(value, taken, unit.expand(value.shape), retain_graph=True) for unit in units]
            parts = [torch.stack(part, dim=1).numpy() for part in zip(*walks, strict=True)]
            (own,) = torch.autograd.grad(problem.alone(taken[-1]).sum(), taken[-1:])
            return problem.finish((whole(parts), own.numpy()))

        return blocks


LIBRARIES = {"jax.jit": Jax, "torch": Torch, "HIPS autograd": Autograd, "CasADi": CasADi}


def make(library: str, function: str, evaluation: str) -> Step | None:
    name = functions(evaluation).get(function)
    if name is None:
        return None
    peer = LIBRARIES[library]()
    known = EVALUATIONS[evaluation]
    run = peer.run(known.functions[name], known.read(MIDDLE[evaluation][1](), peer.on))
    return None if run is None else stepped(run)


PACKAGES = {"jax.jit": "jax", "torch": "torch", "HIPS autograd": "autograd", "CasADi": "casadi"}
PROGRAMS = {
    f"{library}: {function}": Program(partial(make, library, function), (package,))
    for library, package in PACKAGES.items()
    for function in FUNCTIONS
}

if __name__ == "__main__":
    serve(PROGRAMS)
