"""Training steps that can be compiled: a model with state as a pure function (`functional`), and the step around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from ..tensor import Tensor
from ..transforms import value_and_grad
from ..tree import flatten, refilled
from .function import Compiled, compile

Places = Sequence[tuple[Any, str]]


def functional(
    call: Callable[..., Any], parameters: Sequence[Tensor], owners: Sequence[Any], places: Places = ()
) -> Callable[..., Any]:
    """Return a pure function of a model's parameters and state, made from a call that reads and changes the model.

    Args:
        call: computes with the model, such as ``lambda x, y: loss(model(x), y)``.
        parameters: the Tensors in the model that become arguments.
        owners: the objects whose attributes hold the parameters, also in lists, tuples and dicts; `call` reads them
            from there.
        places: ``(owner, attribute)`` of the arrays that the model reads or replaces, such as running means, and of the
            random generators that it draws from.

    Returns:
        ``f(values, buffers, *args) -> (result, buffers)``: `values` replace the parameters, and the list `buffers`
        replaces the values of `places`. The returned `buffers` holds the new values of `places`, ``None`` for a
        generator. The model itself is not changed.

    Example:
        >>> from types import SimpleNamespace
        >>> model = SimpleNamespace(w=Tensor([1.0, 2.0]))
        >>> f = functional(lambda x: (model.w * x).sum(), [model.w], [model])
        >>> f([np.array([10.0, 10.0])], [], np.array([1.0, 1.0]))[0].item(), model.w.data.tolist()
        (20.0, [1.0, 2.0])
    """

    def pure(values: Sequence[Any], buffers: Sequence[Any], *args: Any) -> tuple[Any, list[Any]]:
        others = [value if isinstance(value, Tensor) else Tensor(value, requires_grad=False) for value in values]
        traced = any(type(other) is not Tensor for other in others)
        # A traced Tensor has another class, so while tracing it replaces the parameter in the attributes of its owners;
        # code that reads the parameter from elsewhere then cannot be traced. Without a trace the parameter itself gets
        # the other's data and Node, so it does not matter from where it is read.
        exchanged = _exchanging_tensors(owners, parameters, others) if traced else _swapping_data(parameters, others)
        with exchanged, _setting_attributes(places, buffers):
            result = call(*args)
            left = [getattr(owner, name) for owner, name in places]
        return result, [None if isinstance(x, np.random.Generator) else x for x in left]

    return pure


@contextmanager
def _swapping_data(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> Iterator[None]:
    """Give Tensors the data and the Nodes of `others` inside the block, and restore their own afterwards."""
    before = [(t.data, t.node) for t in tensors]
    try:
        for t, other in zip(tensors, others, strict=True):
            t.data, t.node = other.data, other.node
        yield
    finally:
        for t, (data, node) in zip(tensors, before, strict=True):
            t.data, t.node = data, node


def _exchanging_tensors(
    owners: Sequence[Any], tensors: Sequence[Tensor], others: Sequence[Tensor]
) -> AbstractContextManager[Any]:
    """Return a context in which the attributes of the owners hold `others` in place of `tensors`."""
    by_id = {id(t): other for t, other in zip(tensors, others, strict=True)}
    held = [(owner, name, value) for owner in owners for name, value in vars(owner).items()]
    found = [(owner, name, value, _replace_tensors(value, by_id)) for owner, name, value in held]
    moved = [(owner, name, new) for owner, name, old, new in found if new is not old]
    return _setting_attributes([(owner, name) for owner, name, _ in moved], [new for *_, new in moved])


def _replace_tensors(value: Any, others: dict[int, Tensor], outer: tuple[int, ...] = ()) -> Any:
    """Return a nest of Tensors with each Tensor replaced as `others` says; the same object if nothing is replaced."""
    if isinstance(value, Tensor):
        return others.get(id(value), value)
    if not isinstance(value, (list, tuple, dict)) or id(value) in outer:  # a list may hold itself
        return value
    old = list(value.values()) if isinstance(value, dict) else value
    new = [_replace_tensors(part, others, (*outer, id(value))) for part in old]
    if all(a is b for a, b in zip(old, new, strict=True)):
        return value
    if isinstance(value, dict):
        return refilled(value, new)
    return type(value)(*new) if hasattr(value, "_fields") else type(value)(new)


@contextmanager
def _setting_attributes(places: Places, values: Sequence[Any]) -> Iterator[None]:
    """Set attributes of objects to values inside the block, and restore the old values afterwards."""
    before = [getattr(owner, name) for owner, name in places]
    try:
        for (owner, name), value in zip(places, values, strict=True):
            object.__setattr__(owner, name, value)
        yield
    finally:
        for (owner, name), value in zip(places, before, strict=True):
            object.__setattr__(owner, name, value)


def training_step(loss: Callable[..., Any], update: Callable[..., Any], *, backend: str = "auto") -> Compiled:
    r"""Return a compiled training step: loss, gradients and update of every parameter.

    .. math:: w \leftarrow w - \mathrm{update}\left(\nabla_w L,\ s,\ \eta,\ w\right)

    Args:
        loss: ``loss(parameters, buffers, *batch) -> (number, buffers)``, as `functional` returns it. The parameters are
            a nest of arrays.
        update: ``update(g, state, eta, w) -> (step, state)`` for one parameter, like the method of an `Optimizer`.
        backend: as in `compile`.

    Returns:
        ``step(parameters, states, buffers, eta, *batch) -> (parameters, states, buffers, value)``. ``states`` is a list
        with the state of each parameter, in the order of the leaves. The arrays of the first two arguments are donated,
        which means overwritten: continue with the returned ones.

    Example:
        >>> from tinygrad_nn.optim import sgd
        >>> loss = lambda w, buffers, x: (((w * x) ** 2).sum(), buffers)
        >>> step = training_step(loss, sgd().update, backend="numpy")
        >>> w, states, _, value = step(np.array([1.0, 2.0]), [()], [], 0.1, np.array([1.0, 2.0]))
        >>> print(w, value)
        [0.8 0.4] 17.0
    """
    both = value_and_grad(loss, has_aux=True)

    def step(parameters: Any, states: Sequence[Any], buffers: Any, eta: Any, *batch: Any) -> Any:
        (value, buffers), gradients = both(parameters, buffers, *batch)
        leaves, rebuild = flatten(parameters)
        moved = [update(g, s, eta, w) for g, s, w in zip(flatten(gradients)[0], states, leaves, strict=True)]
        weights = rebuild([w - d for w, (d, _) in zip(leaves, moved, strict=True)])
        return weights, [s for _, s in moved], buffers, value

    compiled = compile(step, backend=backend, donate=(0, 1))
    compiled.varies = True  # the last batch of the data is often shorter
    return compiled
