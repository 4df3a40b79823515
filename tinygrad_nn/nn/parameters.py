"""Parameters made with PyTorch's words; any Tensor of floats that is an attribute of a module is one as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..tensor import Tensor, raw


class _Leaf(type):
    """What makes ``isinstance(t, Parameter)`` ask whether a Tensor is one that a module finds."""

    def __instancecheck__(cls, t: object) -> bool:
        return isinstance(t, Tensor) and t.is_leaf and (t.node is not None or t.label is not None)


class Parameter(metaclass=_Leaf):
    """A parameter: a Tensor that is a leaf, which a module finds among its attributes.

    Args:
        data: an array or a Tensor of floats; it is not copied, and the graph of a Tensor is left behind.
        requires_grad: whether it is trained; otherwise it is frozen.

    Raises:
        TypeError: the data is not of floats.

    Example:
        >>> Parameter(np.ones(2)), isinstance(Tensor(1.0), Parameter)
        (Tensor([1., 1.]), True)
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Any:
        """Return the Tensor."""
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


def _parameter(value: Any) -> Any:
    return value if isinstance(value, Parameter) else Parameter(value)
