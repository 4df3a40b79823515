"""The array API standard, version 2024.12, for Tensors: the module that `Tensor.__array_namespace__` returns.

A program that is written for the standard takes its functions from its arguments, so that it runs on Tensors too and
can be differentiated:

    >>> import numpy as np
    >>> from tinygrad_nn import Tensor, grad
    >>> def spread(x):
    ...     xp = x.__array_namespace__()
    ...     return xp.sqrt(xp.mean(xp.square(x - xp.mean(x))))
    >>> spread(np.array([1.0, 3.0])), spread(Tensor([1.0, 3.0])).item()
    (np.float64(1.0), 1.0)
    >>> grad(lambda x: spread(x))(np.array([1.0, 3.0]))
    array([-0.5,  0.5])

Each function is NumPy's, called through NumPy's own protocols. A result that is a plain array becomes a constant
Tensor, so that a program meets Tensors only. This module defines only the functions that differ from NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from .ops.joining import array
from .tensor import Tensor

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")
__array_api_version__ = VERSIONS[-1]

SAME_NAMES = """
    arange empty empty_like eye full full_like linspace meshgrid ones ones_like tril triu zeros zeros_like
    broadcast_arrays broadcast_to abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_invert
    bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor ceil conj copysign cos cosh divide equal exp expm1
    floor floor_divide greater greater_equal hypot imag isfinite isinf isnan less less_equal log log10 log1p log2
    logaddexp logical_and logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal
    positive pow real reciprocal remainder round sign signbit sin sinh sqrt square subtract tan tanh trunc take
    take_along_axis matmul matrix_transpose tensordot vecdot concat expand_dims flip moveaxis permute_dims repeat
    reshape roll squeeze stack tile unstack argmax argmin count_nonzero nonzero searchsorted where unique_all
    unique_counts unique_inverse unique_values cumulative_sum cumulative_prod max mean min prod std sum var all any
    diff
""".split()  # noqa: SIM905
LINALG = """
    cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose outer
    pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm
""".split()  # noqa: SIM905
FFT = "fft ifft fftn ifftn rfft irfft rfftn irfftn hfft ihfft fftshift ifftshift".split()  # noqa: SIM905
CONSTANTS = ("e", "inf", "nan", "newaxis", "pi")
DTYPES = """
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128
""".split()  # noqa: SIM905


def _as_tensors(value: Any) -> Any:
    """Return a result in which plain arrays, also inside tuples and lists, are replaced by constant Tensors."""
    if isinstance(value, (np.ndarray, np.generic)):
        return Tensor(value, requires_grad=False)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_as_tensors, value))
    return type(value)(map(_as_tensors, value)) if isinstance(value, (tuple, list)) else value


def _tensor_function(place: Any, name: str) -> Callable[..., Any]:
    """Return a NumPy function wrapped so that its results are Tensors."""
    function = getattr(place, name)

    def of_tensors(*args: Any, **kwargs: Any) -> Any:
        return _as_tensors(function(*args, **kwargs))

    of_tensors.__name__, of_tensors.__wrapped__ = name, function  # type: ignore[attr-defined]
    of_tensors.__doc__ = f"Return what {place.__name__}.{name} gives, as a Tensor."
    return of_tensors


def _extension(name: str, functions: list[str], extra_functions: dict[str, Any]) -> ModuleType:
    """Return an extension of the standard, such as ``linalg``, as a module.

    Args:
        name: the name of the extension and of NumPy's module.
        functions: the names of those functions that are NumPy's.
        extra_functions: the other functions by name.
    """
    module = ModuleType(f"{__name__}.{name}", f"The extension {name} of the standard, over Tensors.")
    module.__dict__.update({f: _tensor_function(getattr(np, name), f) for f in functions}, **extra_functions)
    return module


def _check_device(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"Tensors are in main memory, so the device is 'cpu'; it got {device!r}. Leave out device=.")


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return a Tensor unchanged, with its graph, and anything else as a constant; `dtype` converts, `copy` copies."""
    _check_device(device)
    if isinstance(obj, Tensor):
        if copy is False and dtype is not None and obj.dtype != dtype:
            raise ValueError(
                f"copy=False cannot convert a Tensor of {obj.dtype} to {np.dtype(dtype)}; leave out copy=."
            )
        obj = obj if dtype is None or obj.dtype == dtype else obj.astype(dtype)
        return obj.copy() if copy else obj  # type: ignore[no-any-return]
    made = array(obj, dtype) if isinstance(obj, (list, tuple)) else np.asarray(obj, dtype=dtype, copy=copy)
    return _as_tensors(made)  # type: ignore[no-any-return]


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return another library's array as a constant Tensor, which shares its memory if possible."""
    return _as_tensors(np.from_dlpack(x, device=device, copy=copy))  # type: ignore[no-any-return]


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """Return the entries in another dtype; if they have it already and `copy` is false, return x itself."""
    _check_device(device)
    x = asarray(x)
    return x if x.dtype == dtype and not copy else x.astype(dtype)  # type: ignore[no-any-return]


def can_cast(from_: Any, to: Any, /) -> bool:
    """Tell whether a dtype, or an array's dtype, can be cast to another by NumPy's casting rules."""
    return np.can_cast(from_.dtype if isinstance(from_, (np.ndarray, Tensor)) else from_, to)


def finfo(type: Any, /) -> Any:
    """Return the limits of a floating-point dtype, or of an array's dtype."""
    return np.finfo(type.dtype if isinstance(type, (np.ndarray, Tensor)) else type)


def iinfo(type: Any, /) -> Any:
    """Return the limits of an integer dtype, or of an array's dtype."""
    return np.iinfo(type.dtype if isinstance(type, (np.ndarray, Tensor)) else type)


def result_type(*arrays_and_dtypes: Any) -> Any:
    """Return the dtype to which the given arrays, dtypes and numbers are promoted together."""
    return np.result_type(*(x.data if isinstance(x, Tensor) else x for x in arrays_and_dtypes))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Tell whether a dtype is of a kind, such as "real floating"."""
    return np.isdtype(dtype, kind)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor:
    """Return x with its entries limited to the interval [min, max], in the dtype of x."""
    x = asarray(x)
    bounds = (b if b is None or isinstance(b, (int, float)) else asarray(b, dtype=x.dtype) for b in (min, max))
    low, high = bounds
    if low is None and high is None:
        return x.copy()  # type: ignore[no-any-return]
    return _as_tensors(np.clip(x, low, high)).astype(x.dtype)  # type: ignore[no-any-return]


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the entries sorted along an axis."""
    made = np.sort(asarray(x), axis=axis, stable=stable)
    return np.flip(made, axis) if descending else made  # type: ignore[return-value]


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the indices that sort x along an axis; equal entries keep their order, also in descending order."""
    plain = asarray(x).data
    if not descending:
        return _as_tensors(np.argsort(plain, axis=axis, stable=stable))  # type: ignore[no-any-return]
    last_first = np.flip(np.argsort(np.flip(plain, axis), axis=axis, stable=stable), axis)
    return _as_tensors(plain.shape[axis] - 1 - last_first)  # type: ignore[no-any-return]


def _frequencies(function: Callable[..., Any]) -> Callable[..., Any]:
    def frequencies(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
        _check_device(device)
        return _as_tensors(function(n, d).astype(dtype or np.float64))  # type: ignore[no-any-return]

    frequencies.__name__ = function.__name__
    frequencies.__doc__ = f"Return what np.fft.{function.__name__} gives, as a Tensor."
    return frequencies


def __array_namespace_info__() -> Any:
    """Return NumPy's description of its dtypes, devices and capabilities, which holds for this namespace too."""
    return np.__array_namespace_info__()


def __getattr__(name: str) -> Any:
    """Import `special` when SciPy looks for that name, which is not part of the standard."""
    if name == "special":
        from . import special

        return special
    raise AttributeError(f"the array API has no {name!r}; of NumPy's other functions, np.{name}(t) takes Tensors.")


def namespace(api_version: str | None = None) -> ModuleType:
    """Return this module, the array namespace of Tensors, for a version of the standard.

    Args:
        api_version: such as ``"2024.12"``; by default the newest supported one.

    Returns:
        The module `tinygrad_nn.array_api`.

    Raises:
        ValueError: the version is not supported.

    Example:
        >>> Tensor([1.0]).__array_namespace__().__array_api_version__
        '2024.12'
    """
    import sys

    if api_version not in (None, *VERSIONS):
        raise ValueError(
            f"Tensors support version {VERSIONS[-1]} of the array API and earlier ones; it got {api_version!r}."
        )
    return sys.modules[__name__]


globals().update({name: _tensor_function(np, name) for name in SAME_NAMES})
globals().update({name: getattr(np, name) for name in CONSTANTS})
globals().update({name: getattr(np, name) for name in DTYPES})
linalg = _extension("linalg", LINALG, {})
fft = _extension("fft", FFT, {f.__name__: _frequencies(f) for f in (np.fft.fftfreq, np.fft.rfftfreq)})

__all__ = sorted({  # noqa: PLE0605
    *SAME_NAMES, *DTYPES, *CONSTANTS, "__array_api_version__", "__array_namespace_info__", "argsort", "asarray",
    "astype", "can_cast", "clip", "fft", "finfo", "from_dlpack", "iinfo", "isdtype", "linalg", "result_type", "sort",
})  # fmt: skip
