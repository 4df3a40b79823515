"""Parameters made with PyTorch's words; any Tensor of floats that is an attribute of a module is one as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..tensor import Tensor, raw


def Parameter(data: Any, requires_grad: bool = True) -> Tensor:
    """Return a parameter: a leaf with its own array, which a module finds among its attributes.

    Args:
        data: an array or a Tensor of floats; it is not copied, and the graph of a Tensor is left behind.
        requires_grad: whether it is trained; otherwise it is frozen.

    Example:
        >>> Parameter(np.ones(2))
        Tensor([1., 1.])
    """
    made = Tensor(np.asarray(raw(data)))
    if made.node is None:
        raise TypeError(f"Parameter takes floats; this is of dtype {made.dtype}. Write data.astype(float).")
    made.requires_grad = requires_grad
    return made


class ParameterList(list[Any]):
    """A list of parameters, made of arrays or Tensors; a module finds those in any list.

    Example:
        >>> ParameterList([np.ones(2)])
        [Tensor([1., 1.])]
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__(map(_parameter, values))


class ParameterDict(dict[str, Any]):
    """A dict of parameters, made of arrays or Tensors; a module finds those in any dict.

    Example:
        >>> ParameterDict({"a": np.ones(2)})
        {'a': Tensor([1., 1.])}
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__({name: _parameter(value) for name, value in (values or {}).items()})


def _parameter(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) and value.is_leaf and value.node is not None else Parameter(value)
