"""How the courses call their solutions, each with the gradients that the solution itself returns."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.students.judge import Array, Call, Module

Inputs = dict[str, Any]


def floats(inputs: Inputs) -> dict[str, Array]:
    return {n: a for n, a in inputs.items() if isinstance(a, np.ndarray) and a.dtype == np.float64}


def with_cache(forward: str, backward: str, draw: Callable[..., Inputs], given: str) -> Callable[[Module, int], Call]:
    """``forward(...) -> (out, cache)`` and ``backward(dout, cache)``, which returns the gradients named in `given`."""

    def call(module: Module, seed: int) -> Call:
        inputs = draw(np.random.default_rng(seed))
        f, b = getattr(module, forward), getattr(module, backward)

        def gradients(g: Array) -> dict[str, Array]:
            found = b(g, f(*inputs.values())[1])
            return dict(zip(given.split(), found if isinstance(found, tuple) else (found,), strict=True))

        wanted = {n: a for n, a in floats(inputs).items() if n in given.split()}
        return Call((f, tuple(inputs.values())), wanted, lambda: f(*inputs.values())[0], gradients, b)

    return call


def with_loss(function: str, draw: Callable[..., Inputs], given: str) -> Callable[[Module, int], Call]:
    """``loss, gradient = f(...)``; the gradient is an array or a dict by name."""

    def call(module: Module, seed: int) -> Call:
        inputs = draw(np.random.default_rng(seed))
        f = getattr(module, function)

        def gradients(g: Array) -> dict[str, Array]:
            found = f(*inputs.values())[1]
            named = found if isinstance(found, dict) else {given: found}
            return {n: g * a for n, a in named.items()}

        wanted = {n: a for n, a in floats(inputs).items() if n in given.split()}
        return Call((f, tuple(inputs.values())), wanted, lambda: f(*inputs.values())[0], gradients)

    return call


def two_functions(forward: str, backward: str, draw: Callable[..., Inputs], given: str) -> Callable[[Module, int],
                                                                                                    Call]:
    """A function of the inputs, and one of the same inputs that returns the gradients named in `given`."""

    def call(module: Module, seed: int) -> Call:
        inputs = draw(np.random.default_rng(seed))
        f, b = getattr(module, forward), getattr(module, backward)

        def gradients(g: Array) -> dict[str, Array]:
            names = b.__code__.co_varnames[: b.__code__.co_argcount]
            found = b(**{n: g if n == "g" else inputs[n] for n in names})
            if isinstance(found, dict):
                return {n.removeprefix("d"): a if "g" in names else g * a for n, a in found.items()}
            pairs = zip(given.split(), found if isinstance(found, tuple) else (found,), strict=True)
            return {n: a if "g" in names else g * a for n, a in pairs}

        wanted = {n: a for n, a in floats(inputs).items() if n in given.split()}
        return Call((f, tuple(inputs.values())), wanted, lambda: f(*inputs.values()), gradients, b)

    return call


class Context:
    """What a function of a framework may save and read."""

    def save_for_backward(self, *values: Any) -> None:
        self.saved_values = self.saved_tensors = values


def with_context(function: str, draw: Callable[..., Inputs]) -> Callable[[Module, int], Call]:
    """A class with ``forward(ctx, ...)`` and ``backward(ctx, d)``."""

    def call(module: Module, seed: int) -> Call:
        inputs = draw(np.random.default_rng(seed))
        cls = getattr(module, function)

        def gradients(g: Array) -> dict[str, Array]:
            ctx = Context()
            cls.forward(ctx, *inputs.values())
            found = cls.backward(ctx, g)
            return dict(zip(inputs, found if isinstance(found, tuple) else (found,), strict=False))

        return Call((cls, tuple(inputs.values())), floats(inputs), lambda: cls.forward(Context(), *inputs.values()),
                    gradients)

    return call


def with_node(function: str, draw: Callable[..., Inputs],
              settings: Callable[..., tuple[Any, ...]] = lambda: ()) -> Callable[[Module, int], Call]:
    """A class with ``compute(self, ...)`` and ``gradient(self, out_grad, node)``, made with `settings`."""

    def call(module: Module, seed: int) -> Call:
        inputs = draw(np.random.default_rng(seed))
        op = getattr(module, function)(*settings())

        def gradients(g: Array) -> dict[str, Array]:
            out = op.compute(*inputs.values())
            node = types.SimpleNamespace(inputs=list(inputs.values()), op=op, cached_data=out,
                                         realize_cached_data=lambda: out)
            found = op.gradient(g, node)
            return dict(zip(inputs, found if isinstance(found, tuple) else (found,), strict=True))

        return Call((op, tuple(inputs.values())), floats(inputs), lambda: op.compute(*inputs.values()), gradients)

    return call


def with_object(
    make: Callable[[Module, np.random.Generator], Any],
    draw: Callable[..., Inputs],
    params: Callable[[Any], dict[str, Array]],
    grads: Callable[[Any], dict[str, Array]],
    given: str = "x",
) -> Callable[[Module, int], Call]:
    """An object with ``forward(x)``, ``backward(dout)``, parameters and their gradients."""

    def call(module: Module, seed: int) -> Call:
        rng = np.random.default_rng(seed)
        layer = make(module, rng)
        inputs = draw(rng)

        def gradients(g: Array) -> dict[str, Array]:
            layer.forward(*inputs.values())
            found = layer.backward(g)
            found = found if isinstance(found, tuple) else (found,)
            return dict(zip(given.split(), found, strict=True)) | grads(layer)

        arrays = {n: a for n, a in floats(inputs).items() if n in given.split()} | params(layer)
        given_inputs = tuple(inputs.values())
        asked = given_inputs if len(inputs) > 1 else given_inputs[0]
        return Call((layer, asked), arrays, lambda: layer.forward(*given_inputs), gradients, given=tuple(inputs))

    return call
