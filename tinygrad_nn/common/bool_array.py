"""The array that a comparison of Tensors returns; it has a Tensor's methods too, which scripts for PyTorch call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .entry_count import EntryCount


class BoolArray(np.ndarray[Any, Any]):
    """The booleans of a comparison, ``x > 0``: an ndarray that has a Tensor's methods too, as in ``(x > 0).float()``.

    What NumPy calculates from it is a plain ndarray, or again a BoolArray if the results are booleans. A method that
    only a Tensor has, and a method called with PyTorch's ``dim=`` or ``keepdim=``, returns a constant Tensor.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> right = Tensor([1.0, 2.0]) == np.array([1.0, 3.0])
        >>> right, right.mean(), right.float().mean()
        (array([ True, False]), np.float64(0.5), Tensor(0.5, dtype=float32, requires_grad=False))
    """

    constant: ClassVar[Callable[[np.ndarray[Any, Any]], Any]]  # makes a constant Tensor of an array

    def __getattr__(self, name: str) -> Any:
        """Look up a method that a Tensor has and an ndarray does not have."""
        if name[0] == "_" or name == "node":  # a protocol of Python or NumPy, or what tells a Tensor from an array
            raise AttributeError(name)
        return getattr(BoolArray.constant(_plain(self)), name)

    size = property(lambda self: EntryCount(self.shape), doc="The number of entries; ``size(0)`` is a length.")

    def view(self, *to: Any, **more: Any) -> Any:
        """Return the array as another type or dtype as in NumPy, or in another shape as in PyTorch."""
        if to and all(isinstance(n, (int, np.integer)) for n in (to[0] if type(to[0]) in (tuple, list) else to)):
            return self.reshape(*to)
        return as_bools(np.ndarray.view(_plain(self), *to, **more))

    def nonzero(self, as_tuple: bool | None = None) -> Any:
        """Return the indices that are True as in NumPy, or if as_tuple is given as in PyTorch."""
        return BoolArray.constant(_plain(self)).nonzero(as_tuple=as_tuple)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Calculate with the plain array."""
        return as_bools(getattr(ufunc, method)(*_plain(inputs), **{key: _plain(x) for key, x in options.items()}))

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """Call NumPy's function with the plain array."""
        return as_bools(function(*_plain(args), **{key: _plain(x) for key, x in options.items()}))

    def __reduce__(self) -> Any:
        """Copy and pickle as a plain array."""
        return _plain(self).__reduce__()

    def __repr__(self) -> str:
        return repr(_plain(self))


def _plain(x: Any) -> Any:
    if type(x) in (list, tuple):
        return type(x)(map(_plain, x))
    return np.ndarray.view(x, np.ndarray) if isinstance(x, BoolArray) else x


def as_bools(x: Any) -> Any:
    """Return an ndarray of booleans as a BoolArray, and anything else unchanged."""
    return x.view(BoolArray) if type(x) is np.ndarray and x.dtype == bool else x


def _numpy_or_pytorch(name: str) -> Callable[..., Any]:
    """Return ndarray's method, or a Tensor's if it is called with a keyword of PyTorch."""

    def method(self: BoolArray, *args: Any, **options: Any) -> Any:
        x = _plain(self)
        pytorch = "dim" in options or "keepdim" in options
        return as_bools(getattr(BoolArray.constant(x) if pytorch else x, name)(*args, **options))

    return method


for _name in ("all", "any", "argmax", "argmin", "argsort", "astype", "cumsum", "cumprod", "max", "mean", "min", "prod",
              "repeat", "squeeze", "std", "sum", "var"):  # fmt: skip
    setattr(BoolArray, _name, _numpy_or_pytorch(_name))
