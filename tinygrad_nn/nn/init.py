"""Weight initialisation: the scheme of `Layer`, and one function for each common scheme.

Each scheme is called as ``scheme(shape, rng, dtype, ...)``. The shape is that of a weight, ``(n_out, n_in)`` or
``(c_out, c_in / groups, *kernel)``. Its fans are the numbers of connections into and out of one unit: n_in and n_out
times the size of the kernel. Numbers are drawn in float64, so they are the same for each dtype up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import Parameter
from math import inf, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arguments import as_generator
from ..common.spelling import did_you_mean, no_attribute
from .keywords import by_position
from .state import fill_values

if TYPE_CHECKING:
    Rng = np.random.Generator | int | None

DISTRIBUTIONS = {"n": "normal", "u": "uniform"}


def initial_weights(
    n_in: int, n_out: int, slope: float | None, distribution: str, rng: Rng = None, dtype: Any = float
) -> np.ndarray[Any, Any]:
    r"""Draw the weights of a layer so that the variance of activations stays about the same from layer to layer.

    .. math:: \sigma^2 = \frac{2}{(1 + \alpha^2)\, n_{in}} \text{ (He)}, \qquad
              \sigma^2 = \frac{2}{n_{in} + n_{out}} \text{ (Xavier)}

    Args:
        n_in, n_out: numbers of columns in and out.
        slope: alpha, the slope of a rectifier below zero, for He's variance; ``None`` for Xavier's.
        distribution: ``'n'`` normal, or ``'u'`` uniform between plus and minus the root of three times the variance.
        rng: a Generator or a seed; ``None`` draws different numbers each time.
        dtype: of the result; the numbers are drawn in float64 and converted.

    Returns:
        An array ``(n_out, n_in)``.

    Source: He et al. (2015), Delving Deep into Rectifiers, equation 15; Glorot & Bengio (2010), equations 12 and 16.

    Example:
        >>> W = initial_weights(100, 50, None, "u", rng=0)
        >>> W.shape, bool(abs(W).max() <= (6 / 150) ** 0.5)
        ((50, 100), True)
    """
    variance = 2 / (n_in + n_out) if slope is None else 2 / ((1 + slope**2) * n_in)
    return _random_weights(distribution, variance, (n_out, n_in), rng, dtype)


Array = np.ndarray[Any, Any]
Shape = Sequence[int]


def _lengths(shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple; raise a TypeError for a single number."""
    if np.ndim(shape) == 0:
        raise TypeError(f"the shape is {shape!r:.60}; it needs a tuple of lengths, e.g. (n_out, n_in).")
    return tuple(shape)


def _floating(dtype: Any) -> Any:
    """Return the dtype; raise a TypeError for integers, in which all small weights would become 0."""
    if np.dtype(dtype).kind not in "fc":
        raise TypeError(f"dtype={np.dtype(dtype)}; weights need floats: dtype=np.float64 or np.float32.")
    return dtype


def fans(shape: Shape) -> tuple[int, int]:
    """Return the fan-in and fan-out of a weight of this shape.

    Example:
        >>> fans((40, 4)), fans((32, 16, 3, 3))
        ((4, 40), (144, 288))
    """
    shape = _lengths(shape)
    if len(shape) < 2:
        raise ValueError(
            f"a weight of shape {shape} has no fan_in and fan_out; they need (n_out, n_in) or (c_out, c_in, "
            "*kernel). For a bias use zeros, or fan_in_uniform with the fan of its weight."
        )
    field = prod(shape[2:])
    return shape[1] * field, shape[0] * field


def normal(shape: Shape, rng: Rng = None, dtype: Any = float, *, mean: float = 0.0, std: float = 1.0) -> Array:
    """Return draws from a normal distribution.

    Example:
        >>> normal((2, 3), rng=0, std=0.01).shape
        (2, 3)
    """
    if not std >= 0:
        raise ValueError(f"normal: std={std}; it must be at least 0.")
    return as_generator(rng).normal(mean, std, _lengths(shape)).astype(_floating(dtype), copy=False)


def uniform(shape: Shape, rng: Rng = None, dtype: Any = float, *, low: float = 0.0, high: float = 1.0) -> Array:
    """Return draws from a uniform distribution over [low, high).

    Example:
        >>> bool(abs(uniform((2, 3), rng=0, low=-0.1, high=0.1)).max() <= 0.1)
        True
    """
    if not low <= high:
        raise ValueError(f"uniform: low={low} is above high={high}; swap them.")
    return as_generator(rng).uniform(low, high, _lengths(shape)).astype(_floating(dtype), copy=False)


def _random_weights(distribution: str, variance: float, shape: Shape, rng: Rng, dtype: Any) -> Array:
    """Return draws with mean 0 and the given variance, normal or uniform."""
    if distribution == "n":
        return normal(shape, rng, dtype, std=variance**0.5)
    limit = (3 * variance) ** 0.5
    return uniform(shape, rng, dtype, low=-limit, high=limit)


def he_normal(shape: Shape, rng: Rng = None, dtype: Any = float, *, slope: float = 0.0) -> Array:
    r"""Return normal draws with He's variance, for slope alpha below zero: 0 for relu, 0.01 for leaky_relu.

    .. math:: \sigma^2 = \frac{2}{(1 + \alpha^2) \, fan_{in}}

    Source: He et al. (2015), Delving Deep into Rectifiers, equation 15; PyTorch, ``kaiming_normal_``.

    Example:
        >>> round(float(he_normal((1000, 50), rng=0).std()), 3)
        0.2
    """
    return _random_weights("n", _he_variance(shape, slope), shape, rng, dtype)


def he_uniform(shape: Shape, rng: Rng = None, dtype: Any = float, *, slope: float = 0.0) -> Array:
    """Return uniform draws with the variance of `he_normal`.

    Source: He et al. (2015), Delving Deep into Rectifiers, equation 15; PyTorch, ``kaiming_uniform_``.

    Example:
        >>> bool(abs(he_uniform((40, 6), rng=0)).max() <= 1.0)
        True
    """
    return _random_weights("u", _he_variance(shape, slope), shape, rng, dtype)


def _he_variance(shape: Shape, slope: float) -> float:
    return 2 / ((1 + slope**2) * max(fans(shape)[0], 1))


def xavier_normal(shape: Shape, rng: Rng = None, dtype: Any = float, *, gain: float = 1.0) -> Array:
    r"""Return normal draws that balance the variance of activations forward and of gradients backward.

    .. math:: \sigma^2 = \frac{2 \, gain^2}{fan_{in} + fan_{out}}

    Source: Glorot & Bengio (2010), equation 12; PyTorch, ``xavier_normal_``.

    Example:
        >>> round(float(xavier_normal((1000, 1000), rng=0).std() ** 2), 5)
        0.001
    """
    return _random_weights("n", _xavier_variance(shape, gain), shape, rng, dtype)


def xavier_uniform(shape: Shape, rng: Rng = None, dtype: Any = float, *, gain: float = 1.0) -> Array:
    """Return uniform draws with the variance of `xavier_normal`.

    Source: Glorot & Bengio (2010), equation 16; PyTorch, ``xavier_uniform_``.

    Example:
        >>> bool(abs(xavier_uniform((2, 4), rng=0)).max() <= 1.0)
        True
    """
    return _random_weights("u", _xavier_variance(shape, gain), shape, rng, dtype)


def _xavier_variance(shape: Shape, gain: float) -> float:
    if isinstance(gain, str):
        raise TypeError(f"gain={gain!r} is a text; it needs a number, e.g. gain=nn.init.calculate_gain({gain!r}).")
    return 2 * gain**2 / max(sum(fans(shape)), 1)


def lecun_normal(shape: Shape, rng: Rng = None, dtype: Any = float) -> Array:
    r"""Return normal draws that keep the variance of activations constant in the forward pass, as selu needs.

    .. math:: \sigma^2 = \frac{1}{fan_{in}}

    Source: LeCun, Bottou, Orr & Müller (1998), Efficient BackProp, equation 16.

    Example:
        >>> round(float(lecun_normal((1000, 100), rng=0).std()), 2)
        0.1
    """
    return _random_weights("n", 1 / max(fans(shape)[0], 1), shape, rng, dtype)


def lecun_uniform(shape: Shape, rng: Rng = None, dtype: Any = float) -> Array:
    """Return uniform draws with the variance of `lecun_normal`.

    Source: LeCun, Bottou, Orr & Müller (1998), Efficient BackProp, equation 16.

    Example:
        >>> bool(abs(lecun_uniform((2, 3), rng=0)).max() <= 1.0)
        True
    """
    return _random_weights("u", 1 / max(fans(shape)[0], 1), shape, rng, dtype)


def fan_in_uniform(shape: Shape, rng: Rng = None, dtype: Any = float, *, fan_in: int | None = None) -> Array:
    r"""Return uniform draws between plus and minus 1/sqrt(fan-in), PyTorch's default for its layers.

    .. math:: U\left(-\frac{1}{\sqrt{fan_{in}}}, \frac{1}{\sqrt{fan_{in}}}\right)

    Args:
        shape: of a weight; or of a bias, if fan_in is given.
        rng, dtype: as for the other schemes.
        fan_in: by default the fan-in of the shape.

    Source: PyTorch, ``torch.nn.Linear.reset_parameters``: ``kaiming_uniform_`` with ``a=sqrt(5)``.

    Example:
        >>> bool(abs(fan_in_uniform((40,), rng=0, fan_in=4)).max() <= 0.5)
        True
    """
    limit = max(fans(shape)[0] if fan_in is None else fan_in, 1) ** -0.5
    return uniform(shape, rng, dtype, low=-limit, high=limit)


def truncated_normal(
    shape: Shape, rng: Rng = None, dtype: Any = float, *, mean: float = 0.0, std: float = 1.0, a: float = -2.0,
    b: float = 2.0,
) -> Array:  # fmt: skip
    r"""Return draws from a normal distribution truncated to the interval from a to b.

    .. math:: p(x) \propto e^{-(x - \mu)^2 / 2 \sigma^2}, \qquad a \le x \le b

    Rejection sampling: a uniform draw is kept with probability p(x) / max p, and drawn again otherwise.

    Args:
        shape, rng, dtype: as for the other schemes.
        mean, std: of the distribution before truncation; truncated at two std, the deviation is 0.88 std.
        a, b: the bounds, as values and not in units of std; they may be infinite.

    Raises:
        ValueError: std is not positive, or a is not below b.

    Source: Robert (1995), Simulation of Truncated Normal Variables, section 2; PyTorch, ``trunc_normal_``.

    Example:
        >>> w = truncated_normal((1000,), rng=0, std=0.02, a=-0.04, b=0.04)
        >>> bool(abs(w).max() <= 0.04), round(float(w.std()), 3)
        (True, 0.018)
    """
    if not 0 < std < inf or not a < b:
        raise ValueError(f"truncated_normal: std={std}, a={a}, b={b}; std must be positive and a below b.")
    low, high = (a - mean) / std, (b - mean) / std
    top = min(max(low, 0.0), high)  # where the density is highest
    reach = min(9.0, 40 / max(abs(top), 1e-9))  # beyond it lies less than 1e-17 of the probability
    low, high = max(low, top - reach), min(high, top + reach)
    generator, out = as_generator(rng), np.empty(prod(shape))
    left = np.arange(out.size)
    while left.size:
        u = generator.uniform(low, high, left.size)
        kept = generator.random(left.size) < np.exp((top - u) * (top + u) / 2)
        out[left[kept]] = u[kept]
        left = left[~kept]
    return np.clip(mean + std * out, a, b).reshape(tuple(shape)).astype(_floating(dtype), copy=False)


def orthogonal(shape: Shape, rng: Rng = None, dtype: Any = float, *, gain: float = 1.0) -> Array:
    r"""Return a random orthogonal matrix times a gain; in a weight with more axes, all but the first are joined.

    .. math:: W W^T = gain^2 \, I \quad \text{or} \quad W^T W = gain^2 \, I

    Rows are orthonormal if there are at most as many rows as columns; otherwise columns are.

    Raises:
        ValueError: the shape has fewer than two axes.

    Source: Saxe, McClelland & Ganguli (2013), Exact Solutions to the Nonlinear Dynamics of Learning, section 3;
    Mezzadri (2007), How to Generate Random Matrices from the Classical Compact Groups, section 5, for the signs.

    Example:
        >>> W = orthogonal((2, 5), rng=0)
        >>> bool(np.allclose(W @ W.T, np.eye(2)))
        True
    """
    if len(shape) < 2:
        raise ValueError(f"orthogonal needs rows and columns, such as (n_out, n_in); the shape is {tuple(shape)}.")
    rows, columns = shape[0], prod(shape[1:])
    drawn = as_generator(rng).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q = q * np.where(np.diagonal(r) < 0, -1, 1)  # without this the distribution would not be uniform
    return (gain * (q if rows >= columns else q.T)).reshape(tuple(shape)).astype(_floating(dtype), copy=False)


def constant(shape: Shape, rng: Rng = None, dtype: Any = float, *, value: float = 0.0) -> Array:
    """Return an array filled with one value; `rng` is unused and is there so that all schemes have the same arguments.

    Example:
        >>> constant((2,), value=0.5).tolist()
        [0.5, 0.5]
    """
    return np.full(tuple(shape), value, dtype)


def zeros(shape: Shape, rng: Rng = None, dtype: Any = float) -> Array:
    """Return zeros.

    Example:
        >>> zeros((2,)).tolist()
        [0.0, 0.0]
    """
    return constant(shape, rng, dtype, value=0.0)


def ones(shape: Shape, rng: Rng = None, dtype: Any = float) -> Array:
    """Return ones.

    Example:
        >>> ones((2,)).tolist()
        [1.0, 1.0]
    """
    return constant(shape, rng, dtype, value=1.0)


# -- PyTorch's functions, which fill a parameter in place and return it

def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the gain that PyTorch recommends for an activation.

    Example:
        >>> round(calculate_gain("relu"), 4), round(calculate_gain("tanh"), 4)
        (1.4142, 1.6667)
    """
    slope = 0.01 if param is None else param
    gains: dict[str, float] = {"linear": 1.0, "identity": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": 2**0.5,
                               "selu": 0.75, "leaky_relu": (2 / (1 + slope**2)) ** 0.5}  # fmt: skip
    if nonlinearity.startswith("conv"):
        return 1.0
    if nonlinearity not in gains:
        known = ", ".join(gains)
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known are {known}."
                         + did_you_mean(nonlinearity, gains))  # fmt: skip
    return gains[nonlinearity]


def _kaiming(
    shape: Shape, rng: Rng = None, dtype: Any = float, *, distribution: str, a: float = 0.0, mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> Array:  # fmt: skip
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode={mode!r}; known are 'fan_in' and 'fan_out'.")
    fan = max(fans(shape)[mode == "fan_out"], 1)
    return _random_weights(distribution, calculate_gain(nonlinearity, a) ** 2 / fan, shape, rng, dtype)


def _eye(shape: Shape, rng: Rng = None, dtype: Any = float) -> Array:
    if len(shape) != 2:
        raise ValueError(f"eye_ fills a matrix; the shape is {tuple(shape)}.")
    return np.eye(*shape, dtype=dtype)


def _make_filler(name: str, scheme: Any, *options: str, **fixed: Any) -> Any:
    """Make the function that fills a parameter by a scheme; an option ``a=low`` is PyTorch's a and the scheme's low."""
    names = [option.partition("=")[::2] for option in options]
    takes, first = [theirs for theirs, _ in names], [Parameter("tensor", Parameter.POSITIONAL_OR_KEYWORD)]

    def fill(tensor: Any, *args: Any, rng: Rng = None, **given: Any) -> Any:
        _, given = by_position(name, (tensor, *args), given, first, [*takes, "generator"])
        unknown = [key for key in given if key not in takes and key != "generator"]
        if unknown:
            hint = did_you_mean(unknown[0], takes)
            raise TypeError(f"{name} has no option {unknown}; it takes {', '.join(takes) or 'none'}.{hint}")
        rng = given.pop("generator", rng)
        how = {ours or theirs: given[theirs] for theirs, ours in names if theirs in given}
        return fill_values(tensor, scheme(tensor.shape, rng, tensor.dtype, **how, **fixed))

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = (f"Fill a parameter in place by `{scheme.__name__.lstrip('_')}`, and return it; options are "
                    f"{', '.join(theirs for theirs, _ in names) or 'none'}, and rng=.")  # fmt: skip
    return fill


uniform_ = _make_filler("uniform_", uniform, "a=low", "b=high")
normal_ = _make_filler("normal_", normal, "mean", "std")
constant_ = _make_filler("constant_", constant, "val=value")
zeros_ = _make_filler("zeros_", zeros)
ones_ = _make_filler("ones_", ones)
eye_ = _make_filler("eye_", _eye)
xavier_uniform_ = _make_filler("xavier_uniform_", xavier_uniform, "gain")
xavier_normal_ = _make_filler("xavier_normal_", xavier_normal, "gain")
kaiming_uniform_ = _make_filler("kaiming_uniform_", _kaiming, "a", "mode", "nonlinearity", distribution="u")
kaiming_normal_ = _make_filler("kaiming_normal_", _kaiming, "a", "mode", "nonlinearity", distribution="n")
trunc_normal_ = _make_filler("trunc_normal_", truncated_normal, "mean", "std", "a", "b")
orthogonal_ = _make_filler("orthogonal_", orthogonal, "gain")


def __getattr__(name: str) -> object:
    raise no_attribute(f"module {__name__!r}", name, globals())
