"""PyTorch's names for parameters; any floating-point Tensor that is an attribute of a module is a parameter already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..tensor import Tensor, raw


class _ParameterType(type):
    """The metaclass that makes ``isinstance(t, Parameter)`` true for all Tensors that a module treats as parameters."""

    def __instancecheck__(cls, t: object) -> bool:
        return isinstance(t, Tensor) and t.is_leaf and (t.node is not None or t.label is not None)


class Parameter(metaclass=_ParameterType):
    """A parameter: a leaf Tensor, which a module finds among its attributes.

    Args:
        data: an array or a Tensor of floats; it is not copied, and the graph of a Tensor is dropped.
        requires_grad: whether it is trained; with False it is frozen.

    Raises:
        TypeError: the data is not floating-point.

    Example:
        >>> import numpy as np
        >>> Parameter(np.ones(2)), isinstance(Tensor(1.0), Parameter)
        (Tensor([1., 1.]), True)
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Any:
        """Return the Tensor."""
        made = Tensor(raw(data))
        if made.node is None:
            shape = f" For the shape ({made.data},) write torch.empty({made.data})." if made.ndim == 0 else ""
            raise TypeError(f"Parameter takes floats; this is of dtype {made.dtype}. Write data.astype(float).{shape}")
        made.requires_grad = requires_grad
        return made


class ParameterList(list[Any]):
    """A list whose arrays and Tensors are made parameters; a module finds parameters in any list.

    Example:
        >>> import numpy as np
        >>> ParameterList([np.ones(2)])
        [Tensor([1., 1.])]
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__(map(_parameter, values))


class ParameterDict(dict[str, Any]):
    """A dict whose arrays and Tensors are made parameters; a module finds parameters in any dict.

    Example:
        >>> import numpy as np
        >>> ParameterDict({"a": np.ones(2)})
        {'a': Tensor([1., 1.])}
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__({name: _parameter(value) for name, value in (parameters or {}).items()})


def _parameter(value: Any) -> Any:
    return value if isinstance(value, Parameter) else Parameter(value)
