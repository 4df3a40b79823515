"""Training steps made ready to compile: a model with state of its own as a pure function, and the step around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..tensor import Tensor, held, hold
from ..transforms import value_and_grad
from ..tree import flatten
from .function import Compiled, compile

Places = Sequence[tuple[Any, str]]


def functional(call: Callable[..., Any], parameters: Sequence[Tensor], places: Places = ()) -> Callable[..., Any]:
    """Return a call of a model as a function of the model's parameters and of all else that it keeps.

    Args:
        call: computes with the model, such as ``lambda x, y: loss(model(x), y)``.
        parameters: the Tensors in the model that are to be arguments.
        places: ``(owner, attribute)`` of the arrays that the model reads or replaces, such as running means, and of the
            random generators that it draws from.

    Returns:
        ``f(values, kept, *args) -> (result, kept)``: `values` stand for the parameters and `kept`, a list, for what is
        in the places. It returns what the call left there, ``None`` for a generator. The model itself stays as it is.

    Example:
        >>> w = Tensor([1.0, 2.0])
        >>> f = functional(lambda x: (w * x).sum(), [w])
        >>> f([np.array([10.0, 10.0])], [], np.array([1.0, 1.0]))[0].item(), w.data.tolist()
        (20.0, [1.0, 2.0])
    """

    def pure(values: Sequence[Any], kept: Sequence[Any], *args: Any) -> tuple[Any, list[Any]]:
        with _standing_in(parameters, values), _put(places, kept):
            result = call(*args)
            left = [getattr(owner, name) for owner, name in places]
        return result, [None if isinstance(x, np.random.Generator) else x for x in left]

    return pure


@contextmanager
def _standing_in(tensors: Sequence[Tensor], values: Sequence[Any]) -> Iterator[None]:
    """Let Tensors have the values, and the place in a graph, of others.

    A function may close over a parameter, where nobody can put another Tensor in its place: for as long as it runs, the
    Tensor itself has to answer as one of the trace, which takes the class of one.
    """
    before = [(t.__class__, held(t), t.node) for t in tensors]
    try:
        for t, value in zip(tensors, values, strict=True):
            other = value if isinstance(value, Tensor) else Tensor(value, requires_grad=False)
            _become(t, other.__class__, held(other), other.node)
        yield
    finally:
        for t, (kind, data, node) in zip(tensors, before, strict=True):
            _become(t, kind, data, node)


def _become(t: Tensor, kind: type[Tensor], data: Any, node: Any) -> None:
    t.__class__ = kind
    hold(t, data)
    t.node = node


@contextmanager
def _put(places: Places, kept: Sequence[Any]) -> Iterator[None]:
    """Put values in the attributes of objects, and the old ones back afterwards."""
    before = [getattr(owner, name) for owner, name in places]
    try:
        for (owner, name), value in zip(places, kept, strict=True):
            object.__setattr__(owner, name, value)
        yield
    finally:
        for (owner, name), value in zip(places, before, strict=True):
            object.__setattr__(owner, name, value)


def training_step(loss: Callable[..., Any], update: Callable[..., Any], *, backend: str = "auto") -> Compiled:
    r"""Return a compiled training step: loss, gradients and update of every parameter.

    .. math:: w \leftarrow w - \mathrm{update}\left(\nabla_w L,\ s,\ \eta,\ w\right)

    Args:
        loss: ``loss(parameters, kept, *batch) -> (number, kept)``, as `functional` gives it. The parameters are a nest
            of arrays.
        update: ``update(g, state, eta, w) -> (step, state)`` for one parameter, as an `Optimizer` has it.
        backend: as in `compile`.

    Returns:
        ``step(parameters, states, kept, eta, *batch) -> (parameters, states, kept, value)``. ``states`` is a list with
        the state of each parameter, in the order of the leaves. The arrays of the first two arguments are donated:
        go on with those that are returned.

    Example:
        >>> from tinygrad_nn.optim import sgd
        >>> step = training_step(lambda w, kept, x: (((w * x) ** 2).sum(), kept), sgd().update, backend="numpy")
        >>> w, states, _, value = step(np.array([1.0, 2.0]), [()], [], 0.1, np.array([1.0, 2.0]))
        >>> print(w, value)
        [0.8 0.4] 17.0
    """
    both = value_and_grad(loss, has_aux=True)

    def step(parameters: Any, states: Sequence[Any], kept: Any, eta: Any, *batch: Any) -> Any:
        (value, kept), gradients = both(parameters, kept, *batch)
        leaves, rebuild = flatten(parameters)
        moved = [update(g, s, eta, w) for g, s, w in zip(flatten(gradients)[0], states, leaves, strict=True)]
        return rebuild([w - d for w, (d, _) in zip(leaves, moved, strict=True)]), [s for _, s in moved], kept, value

    return compile(step, backend=backend, donate=(0, 1))
