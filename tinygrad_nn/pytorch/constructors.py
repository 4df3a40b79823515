"""Constructors of Tensors, such as ``torch.zeros``, the dtypes, and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from ..common.device import device
from ..common.masked import unmasked
from ..leaves import FILLS
from ..ops.pytorch import lengths
from ..tensor import Tensor, raw

__all__ = [
    "BoolTensor", "ByteTensor", "DoubleTensor", "FloatTensor", "Generator", "IntTensor", "LongTensor", "Size",
    "arange", "as_tensor", "bartlett_window", "bernoulli", "blackman_window", "bool", "complex128", "complex64",
    "device",
    "double", "dtype", "empty", "empty_like", "eye", "finfo", "float", "float16", "float32", "float64", "from_numpy",
    "full", "full_like", "get_default_dtype", "half", "hamming_window", "hann_window",
    "iinfo", "int", "int16", "int32", "int64", "int8", "is_tensor",
    "linspace", "logspace", "long", "manual_seed", "multinomial", "normal", "ones", "ones_like", "rand", "rand_like",
    "randint", "randn", "randn_like", "randperm", "set_default_dtype", "short", "tensor", "uint8", "zeros",
    "zeros_like",
]  # fmt: skip

float64 = double = np.dtype("float64")
float32 = np.dtype("float32")
float16 = half = np.dtype("float16")
int64 = long = np.dtype("int64")
int32, int16, int8, uint8 = (np.dtype(name) for name in ("int32", "int16", "int8", "uint8"))
short = int16
dtype, Size = np.dtype, tuple
complex128, complex64 = np.dtype("complex128"), np.dtype("complex64")


def set_default_dtype(d: Any) -> None:
    """Accept float64, which always is the default dtype here; raise ValueError for any other."""
    if np.dtype(d) != float64:
        raise ValueError(
            f"the default dtype is always float64; it cannot become {np.dtype(d)}. Give dtype={np.dtype(d)} "
            "to each Tensor and layer that needs it, e.g. nn.Linear(3, 4, dtype=np.float32)."
        )


def get_default_dtype() -> Any:
    """Return float64."""
    return float64


finfo, iinfo = np.finfo, np.iinfo


def is_tensor(obj: Any) -> Any:
    """Tell whether something is a `Tensor`."""
    return isinstance(obj, Tensor)


def constant(x: Any) -> Any:
    """Return a Tensor unchanged, and an array or number as a Tensor without a graph."""
    return x if isinstance(x, Tensor) else Tensor(np.asarray(unmasked(x)), requires_grad=False)


def _make_tensor(array: Any, requires_grad: Any = False, **place: Any) -> Tensor:
    device(place.pop("device", None) or "cpu")
    place.pop("pin_memory", None)
    if place:
        raise TypeError(f"{', '.join(place)}: not known here; dtype, device and requires_grad are.")
    if requires_grad and array.dtype.kind in "iub":
        raise TypeError(
            f"requires_grad=True needs floats; these numbers are of dtype {array.dtype}. Write 1.0 rather than 1, or "
            "dtype=torch.float64."
        )
    return Tensor(array, requires_grad=requires_grad)


def tensor(data: Any, *, dtype: Any = None, requires_grad: Any = False, **place: Any) -> Tensor:
    """Return a Tensor with a copy of the data, a constant unless ``requires_grad=True``.

    Example:
        >>> import tinygrad_nn.pytorch as torch
        >>> torch.tensor([1, 2]).dtype, torch.tensor([1.0], requires_grad=True).requires_grad
        (dtype('int64'), True)
    """
    return _make_tensor(np.array(unmasked(_without_tensors(data)), dtype=dtype), requires_grad, **place)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return a Tensor of the data, which is copied only if its dtype changes; a Tensor keeps its graph."""
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == dtype else data.astype(dtype)
    return _make_tensor(np.asarray(unmasked(_without_tensors(data)), dtype=dtype), device=device)


def from_numpy(ndarray: np.ndarray[Any, Any]) -> Tensor:
    """Return a constant Tensor over an array, which is not copied."""
    return _make_tensor(ndarray)


def _without_tensors(data: Any) -> Any:
    """Return nested lists without Tensors; in PyTorch, a Tensor of one entry in a list is a number, of any shape."""
    if not isinstance(data, (list, tuple)):
        return raw(data)
    return [x.data.reshape(())[()] if isinstance(x, Tensor) and x.data.size == 1 else _without_tensors(x) for x in data]


def _shape_constructor(make: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    """Return a constructor that takes the shape as separate lengths or as one tuple."""

    def construct(*size: Any, dtype: Any = None, requires_grad: Any = False, **place: Any) -> Tensor:
        array = make(lengths(size or (place.pop("size", ()),)))
        return _make_tensor(array if dtype is None else array.astype(dtype), requires_grad, **place)

    construct.__name__ = construct.__qualname__ = name
    construct.__doc__ = f"Return a Tensor as ``torch.{name}`` makes it; lengths one by one or as a tuple."
    return construct


zeros, ones = _shape_constructor(np.zeros, "zeros"), _shape_constructor(np.ones, "ones")
empty = _shape_constructor(np.zeros, "empty")


def full(size: Any, fill_value: Any, **options: Any) -> Tensor:
    """Return a Tensor filled with one value."""
    return tensor(np.full(lengths((size,)), raw(fill_value)), **options)


def eye(n: Any, m: Any = None, **options: Any) -> Tensor:
    """Return the identity matrix."""
    return tensor(np.eye(n, m), **options)


def arange(start: Any, end: Any = None, step: Any = 1, **options: Any) -> Tensor:
    """Return the numbers from start up to, and without, end."""
    return tensor(np.arange(start) if end is None else np.arange(start, end, step), **options)


def linspace(start: Any, end: Any, steps: Any, **options: Any) -> Tensor:
    """Return `steps` evenly spaced numbers from start to end."""
    return tensor(np.linspace(start, end, steps), **options)


def logspace(start: Any, end: Any, steps: Any, base: Any = 10.0, **options: Any) -> Tensor:
    """Return `steps` powers of the base with evenly spaced exponents, from baseˢᵗᵃʳᵗ to baseᵉⁿᵈ."""
    return tensor(np.logspace(start, end, steps, base=base), **options)


def _places(length: Any, periodic: Any) -> np.ndarray[Any, Any]:
    """Return the places in a window, from 0 to 1; a periodic one ends before 1."""
    return np.array([0.5]) if length == 1 else np.arange(length) / (length - (not periodic))


def _of_cosines(places: Any, weights: Any, options: Any) -> Tensor:
    if len(places) == 1:
        return ones(1, **options)
    return tensor(sum(a * np.cos(2 * np.pi * k * places) for k, a in enumerate(weights)), **options)


def hann_window(window_length: Any, periodic: Any = True, **options: Any) -> Tensor:
    """Return ``(1 - cos(2 π t)) / 2``, for a periodic signal or a symmetric filter."""
    return _of_cosines(_places(window_length, periodic), (0.5, -0.5), options)


def hamming_window(window_length: Any, periodic: Any = True, alpha: Any = 0.54, beta: Any = 0.46, **options: Any
                   ) -> Tensor:  # fmt: skip
    """Return ``alpha - beta cos(2 π t)``, for a periodic signal or a symmetric filter."""
    return _of_cosines(_places(window_length, periodic), (alpha, -beta), options)


def blackman_window(window_length: Any, periodic: Any = True, **options: Any) -> Tensor:
    """Return ``0.42 - cos(2 π t) / 2 + 0.08 cos(4 π t)``, for a periodic signal or a symmetric filter."""
    return _of_cosines(_places(window_length, periodic), (0.42, -0.5, 0.08), options)


def bartlett_window(window_length: Any, periodic: Any = True, **options: Any) -> Tensor:
    """Return a triangle, ``1 - |2 t - 1|``, for a periodic signal or a symmetric filter."""
    return tensor(1 - np.abs(2 * _places(window_length, periodic) - 1), **options)


def _like_constructor(make: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    def construct(input: Any, *args: Any, dtype: Any = None, **options: Any) -> Tensor:
        return make(np.shape(raw(input)), *args, dtype=dtype or raw(input).dtype, **options)

    construct.__name__ = construct.__qualname__ = f"{name}_like"
    construct.__doc__ = f"Return what ``{name}`` makes, in the shape and dtype of a Tensor."
    return construct


zeros_like, ones_like, full_like = (
    _like_constructor(zeros, "zeros"),
    _like_constructor(ones, "ones"),
    _like_constructor(full, "full"),
)

empty_like = _like_constructor(zeros, "empty")


def _typed_constructor(name: str, dtype: Any) -> Callable[..., Tensor]:
    """Return ``torch.LongTensor`` or a similar name: of data, or of the lengths of a Tensor to be filled."""

    def construct(*data: Any) -> Tensor:
        of_data = len(data) == 1 and not isinstance(data[0], Integral)
        return tensor(data[0], dtype=dtype) if of_data else zeros(*data, dtype=dtype)

    construct.__name__ = construct.__qualname__ = name
    construct.__doc__ = f"Return a Tensor of data with dtype {dtype}, or zeros if the lengths are given."
    construct.dtype = dtype  # type: ignore[attr-defined]  # for t.type(torch.LongTensor)
    return construct



class TensorType(type):
    """The type of PyTorch's ``torch.Tensor``: calling it is `tensor` of floats; each Tensor is an instance of it."""

    def __call__(cls, *data: Any) -> Tensor:
        """Return a constant of float64, of data or of the lengths of a Tensor to be filled."""
        return DoubleTensor(*data) if data else zeros(0)

    def __instancecheck__(cls, instance: Any) -> Any:
        return isinstance(instance, Tensor)

    def __subclasscheck__(cls, subclass: Any) -> Any:
        return issubclass(subclass, Tensor)

    def __getattr__(cls, name: str) -> Any:
        return getattr(Tensor, name)


FloatTensor, DoubleTensor, LongTensor, IntTensor, ByteTensor, BoolTensor = (
    _typed_constructor(*pair) for pair in (
        ("FloatTensor", float32), ("DoubleTensor", float64), ("LongTensor", int64), ("IntTensor", int32),
        ("ByteTensor", uint8), ("BoolTensor", np.dtype("bool")))
)  # fmt: skip

# -- Random numbers

class Generator(np.random.Generator):
    """A generator of NumPy that is made without arguments, and seeded by `manual_seed`.

    Example:
        >>> Generator().manual_seed(0).random() == np.random.default_rng(0).random()
        True
    """

    def __init__(self, device: Any = "cpu") -> None:
        super().__init__(device if isinstance(device, np.random.BitGenerator) else np.random.PCG64())

    def __reduce__(self) -> Any:
        return Generator, (self.bit_generator,)

    def manual_seed(self, seed: Any) -> Generator:
        """Start the numbers of a seed, and return the generator."""
        self.bit_generator.state = type(self.bit_generator)(seed).state
        return self


_shared: np.random.Generator = Generator()


def manual_seed(seed: Any) -> Any:
    """Seed the random numbers of this module, and return their generator; layers have their own, ``rng=seed``."""
    global _shared
    _shared = Generator().manual_seed(seed)
    return _shared


def generator_or_shared(generator: Any) -> Any:
    """Return a generator that is given, and otherwise that of `manual_seed`."""
    return _shared if generator is None else generator


def _random_constructor(draw: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    def construct(*size: Any, generator: Any = None, **options: Any) -> Tensor:
        dtype = options.get("dtype")
        if dtype is not None and np.dtype(dtype).kind not in "fc":
            raise TypeError(f"torch.{name} draws floats; the dtype is {np.dtype(dtype)}. Write dtype=torch.float64.")
        return _shape_constructor(lambda shape: draw(generator_or_shared(generator), shape), name)(*size, **options)

    construct.__name__ = construct.__qualname__ = name
    construct.__doc__ = f"Return random numbers as ``torch.{name}`` does, of another generator than PyTorch's."
    return construct


rand = _random_constructor(lambda rng, shape: rng.random(shape), "rand")
randn = _random_constructor(lambda rng, shape: rng.normal(size=shape), "randn")
rand_like, randn_like = _like_constructor(rand, "rand"), _like_constructor(randn, "randn")


def _fill(name: str, draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return what fills a Tensor of floats with random numbers: ``t.uniform_(-1, 1)``."""

    def fill(t: Any, *how: Any, generator: Any = None, **options: Any) -> Any:
        if t.dtype.kind != "f":
            raise TypeError(f"t.{name} fills floats; t has dtype {t.dtype}. Write t = t.double() before.")
        return draw(generator_or_shared(generator), t.shape, *how, **options)

    return fill


FILLS |= {
    "uniform_": _fill("uniform_", lambda rng, shape, a=0.0, b=1.0, **to: rng.uniform(
        to.get("from", a), to.get("to", b), shape)),
    "normal_": _fill("normal_", lambda rng, shape, mean=0.0, std=1.0: rng.normal(mean, std, shape)),
    "exponential_": _fill("exponential_", lambda rng, shape, lambd=1.0: rng.exponential(1 / lambd, shape)),
    "bernoulli_": _fill("bernoulli_", lambda rng, shape, p=0.5: rng.random(shape) < raw(p)),
}  # fmt: skip


def randint(low: Any = 0, high: Any = None, size: Any = None, *, generator: Any = None, **options: Any) -> Tensor:
    """Return random integers: ``randint(high, size)`` or ``randint(low, high, size)``."""
    if isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    return tensor(generator_or_shared(generator).integers(low, high, tuple(size)), **options)


def randperm(n: Any, *, generator: Any = None, **options: Any) -> Tensor:
    """Return the integers below n in a random order."""
    return tensor(generator_or_shared(generator).permutation(n), **options)


def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, **options: Any) -> Tensor:
    """Return normally distributed numbers with a mean and a standard deviation."""
    return tensor(generator_or_shared(generator).normal(raw(mean), raw(std), size), **options)


def bernoulli(input: Any, p: Any = None, *, generator: Any = None) -> Tensor:
    """Return ones and zeros, ones with the probabilities in input; or with the probability p, in the shape of input."""
    like = np.asarray(raw(input))
    drawn = generator_or_shared(generator).random(like.shape)
    return tensor((drawn < (like if p is None else raw(p))).astype(like.dtype))


def multinomial(input: Any, num_samples: Any, replacement: Any = False, *, generator: Any = None) -> Tensor:
    """Return drawn positions in a row of weights, or in each row of a matrix; a weight 0 is never drawn.

    Raises:
        ValueError: a weight is negative or not finite, all of a row are 0, or too few are not 0.
    """
    weights = np.asarray(raw(input), np.float64)
    enough = np.count_nonzero(weights, axis=-1) >= (1 if replacement else num_samples)
    if weights.ndim not in (1, 2) or not (np.isfinite(weights) & (weights >= 0)).all() or not enough.all():
        raise ValueError(
            f"torch.multinomial(weights, {num_samples}) needs one or two axes of weights, finite and at least 0, with "
            f"one above 0 in each row for each sample, or with replacement=True at least one; got {weights!r:.120}."
        )
    draw = generator_or_shared(generator)
    if replacement:
        ends = np.cumsum(weights, axis=-1) / weights.sum(axis=-1, keepdims=True)
        places = [np.searchsorted(row, draw.random(num_samples), side="right") for row in np.atleast_2d(ends)]
        return tensor(np.reshape(places, (*weights.shape[:-1], num_samples)))
    with np.errstate(divide="ignore"):
        arrivals = draw.exponential(size=weights.shape) / weights  # at these rates, the order is that of the draws
    return tensor(np.argsort(arrivals, axis=-1)[..., :num_samples])


float, int, bool = float32, int32, np.dtype("bool")  # at the end, since they hide Python's own types
