"""``torch.func``: derivatives of functions, and modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

from .. import nn, transforms
from ..tensor import Tensor
from .autograd import Names, WithoutAux, every_second_derivative, in_tensors, in_torch_form, without_graph

grad, hessian = in_torch_form(transforms.grad), in_torch_form(every_second_derivative)
jacfwd = jacrev = in_torch_form(transforms.jacobian)


def vmap(
    func: Any, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "different", *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """Turn a function of one sample into a function of a batch of samples; see `tinygrad_nn.vmap`.

    Keyword arguments of the function are the same for all samples, and `chunk_size` has no effect.
    """
    if randomness != "different":
        raise ValueError("vmap: layers draw other numbers for each sample; leave randomness= out, or 'different'.")

    def call(*args: Any, **kwargs: Any) -> Any:
        return transforms.vmap(partial(func, **kwargs) if kwargs else func, in_dims, out_dims)(*args)

    return call


def grad_and_value(func: Any, argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Return the function that returns the gradient and the value of `func`, or gradient and (value, aux)."""

    def call(*args: Any, **kwargs: Any) -> Any:
        function = WithoutAux(func, has_aux, kwargs)
        value, found = in_tensors(transforms.value_and_grad(function, argnums)(*args))
        return found, ((value, function.aux) if has_aux else value)

    return call


def jvp(
    func: Any, primals: Sequence[Any], tangents: Sequence[Any], *, strict: bool = False, has_aux: bool = False
) -> Any:
    """Return the value of a function and its derivative along a direction, and aux; see `tinygrad_nn.jvp`."""
    function = WithoutAux(func, has_aux, {})
    found = in_tensors(transforms.jvp(function, *map(_without_constants, (primals, tangents))))
    return (*found, function.aux) if has_aux else found


def vjp(func: Any, *primals: Any, has_aux: bool = False) -> Any:
    """Return the value of a function, the function of a cotangent that returns the gradients, and aux."""
    function = WithoutAux(func, has_aux, {})
    value, pull = transforms.vjp(function, *primals)
    found = in_tensors(value), lambda cotangent: in_tensors(pull(_without_constants(cotangent)))
    return (*found, function.aux) if has_aux else found


def linearize(func: Any, *primals: Any) -> Any:
    """Return the value of a function, and the function of tangents that returns its derivative along them."""
    return without_graph(func(*primals)), lambda *tangents: jvp(func, primals, tangents)[1]


def _without_constants(value: Any) -> Any:
    """Return values with the arrays of constant Tensors, since derivatives of Tensors would keep their graph."""
    if isinstance(value, dict):
        return {key: _without_constants(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_without_constants, value))
    return value.data if type(value) is Tensor and value.node is None else value


def functional_call(
    module: nn.Module, parameter_and_buffer_dicts: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
) -> Any:
    """Call a module with other parameters and buffers, given by their paths; those that are left out stay.

    Args:
        module: the model, which is unchanged afterwards.
        parameter_and_buffer_dicts: Tensors or arrays by path, or a tuple of such dicts.
        args: one argument of the module, or a tuple of several; kwargs: its options.

    Returns:
        What the module returns, which can be differentiated in the given Tensors.

    Raises:
        ValueError: a path that the module does not have.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> loss = lambda weights: functional_call(model, weights, Tensor([3.0, 4.0])).sum()
        >>> grad(loss)({"weight": Tensor([[1.0, 1.0]])})["weight"].tolist()
        [[3.0, 4.0]]
    """
    several = parameter_and_buffer_dicts
    parts = several if isinstance(several, (tuple, list)) else [several]
    given = {path: x for part in parts for path, x in part.items()}
    slots = dict(module._slots())
    if unknown := sorted(given.keys() - slots.keys()):
        raise ValueError(f"functional_call: {type(module).__name__} has no {unknown[0]!r}. It has {', '.join(slots)}.")
    new = {id(slots[path].owner): x for path, x in given.items() if not slots[path].name}
    before = [(part, dict(vars(part))) for part in module.modules()]
    try:
        for part, attributes in before:
            vars(part).update({name: _replaced(x, new) for name, x in attributes.items()})
        for path, x in given.items():
            if slots[path].name:
                vars(slots[path].owner)[slots[path].name] = x
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for part, attributes in before:
            vars(part).update(attributes)


def _replaced(value: Any, new: Mapping[int, Any]) -> Any:
    """Return a value with other Tensors for some, also in lists, tuples and dicts, which are copied if they change."""
    if isinstance(value, Tensor):
        return new.get(id(value), value)
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_replaced(part, new) for part in value)
    if not isinstance(value, (list, dict)):
        return value
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    changed = {key: made for key, part in items if (made := _replaced(part, new)) is not part}
    if changed:
        value = copy(value)
        for key, made in changed.items():
            value[key] = made
    return value


func = Names(
    "torch.func", functional_call=functional_call, grad=grad, grad_and_value=grad_and_value, hessian=hessian,
    jacfwd=jacfwd, jacrev=jacrev, jvp=jvp, linearize=linearize,
    vjp=vjp, vmap=vmap,
)  # fmt: skip
