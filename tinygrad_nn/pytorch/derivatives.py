"""``torch.func``: derivatives of functions, and modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

from .. import nn, transforms
from ..tensor import Tensor
from .autograd import Names, in_tensors, in_torch_form

grad, hessian = in_torch_form(transforms.grad), in_torch_form(transforms.hessian)
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


def grad_and_value(func: Any, argnums: Any = 0) -> Callable[..., Any]:
    """Return the function that returns the gradient and the value of `func`."""
    return lambda *args: in_tensors(transforms.value_and_grad(func, argnums=argnums)(*args)[::-1])


def jvp(func: Any, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Return the value of a function and its derivative along a direction; see `tinygrad_nn.jvp`."""
    return in_tensors(transforms.jvp(func, primals, tangents))


def vjp(func: Any, *primals: Any) -> Any:
    """Return the value of a function, and the function of a cotangent that returns the gradients."""
    value, pull = transforms.vjp(func, *primals)
    return in_tensors(value), lambda cotangent: in_tensors(pull(_without_constants(cotangent)))


def _without_constants(cotangent: Any) -> Any:
    """Return a cotangent with the arrays of constant Tensors, since a gradient of Tensors would keep its graph."""
    if isinstance(cotangent, dict):
        return {key: _without_constants(part) for key, part in cotangent.items()}
    if isinstance(cotangent, (list, tuple)):
        return type(cotangent)(map(_without_constants, cotangent))
    return cotangent.data if type(cotangent) is Tensor and cotangent.node is None else cotangent


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
    jacfwd=jacfwd, jacrev=jacrev, jvp=jvp, vjp=vjp, vmap=vmap,
)  # fmt: skip
