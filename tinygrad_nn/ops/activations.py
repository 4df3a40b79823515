"""Activation functions beyond the classic ones in `neural`: smooth and piecewise linear rectifiers, and gates.

Each is written so that neither its value nor any derivative overflows or cancels in a tail. Where a slope jumps, the
point itself takes the slope of the outer side (for a rectifier the negative one), as with relu; `kinks` states it.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from ..common.printable import counted
from ..primitive import Array, declare
from .neural import sigmoid
from .special import erfc, softplus


def _negative_part(x: Array) -> Array:
    """Return min(x, 0), so that its exponential cannot overflow."""
    return np.where(x > 0, 0, x)


# fmt: off
def _prelu(x: Array, alpha: Array) -> Array:
    """Return x where x > 0 and alpha x elsewhere, with an alpha that is learned; the slope at 0 is alpha.

    Args:
        x: any shape.
        alpha: broadcasts against x: () for one slope, (n_out,) for one per column, (channels, 1, 1) per channel.

    Source: He et al. (2015), Delving Deep into Rectifiers, equation 1.

    Example:
        >>> prelu(np.array([-2.0, 3.0]), 0.25)
        array([-0.5,  3. ])
    """
    return np.where(x > 0, x, alpha * x)

prelu = declare(_prelu, r"\max(x, 0) + y \min(x, 0)",
    (lambda g, out, x, alpha: np.where(x > 0, g, alpha * g),         r"g \, ([x > 0] + y \, [x \le 0])"),
    (lambda g, out, x, alpha: g * _negative_part(x),                         r"g \min(x, 0)"),
    kinks="at x = 0 the slope in x is y")


def _elu(x: Array, alpha: float = 1.0) -> Array:
    """Return x where x > 0 and alpha (exp(x) - 1) elsewhere.

    Source: Clevert, Unterthiner & Hochreiter (2015), Fast and Accurate Deep Network Learning by ELUs, equation 15.

    Example:
        >>> elu(np.array([-1000.0, 3.0]), alpha=0.5)
        array([-0.5,  3. ])
    """
    return np.where(x > 0, x, alpha * np.expm1(_negative_part(x)))

elu = declare(_elu, r"\max(x, 0) + \alpha \min(e^x - 1, 0)",
    (lambda g, out, x, alpha=1.0: np.where(x > 0, g, g * alpha * np.exp(_negative_part(x))),
                                                                     r"g \, ([x > 0] + \alpha e^x [x \le 0])"),
    kinks="at 0 every derivative is alpha, as for x < 0; the first jumps unless alpha is 1", entrywise=True)

# With these numbers selu maps mean 0 and variance 1 to mean 0 and variance 1 (Klambauer et al., equation 14).
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _selu(x: Array) -> Array:
    """Return the elu with an alpha and a scale that keep mean 0 and variance 1 from layer to layer.

    Source: Klambauer, Unterthiner, Mayr & Hochreiter (2017), Self-Normalizing Neural Networks, equations 2 and 14.

    Example:
        >>> float(selu(1.0))
        1.0507009873554805
    """
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(_negative_part(x)))

selu = declare(_selu, r"\lambda (\max(x, 0) + \alpha \min(e^x - 1, 0))",
    (lambda g, out, x: g * SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(_negative_part(x))),
                                                                     r"g \lambda ([x > 0] + \alpha e^x [x \le 0])"),
    kinks="at 0 every derivative is 1.7581, as for x < 0", entrywise=True)


def _celu(x: Array, alpha: float = 1.0) -> Array:
    """Return x where x > 0 and alpha (exp(x / alpha) - 1) elsewhere: an elu whose slope does not jump at 0.

    Raises:
        ValueError: alpha is not positive.

    Source: Barron (2017), Continuously Differentiable Exponential Linear Units, equation 2.

    Example:
        >>> celu(np.array([-1000.0, 3.0]), alpha=0.5)
        array([-0.5,  3. ])
    """
    if alpha <= 0:
        raise ValueError(f"celu needs a positive alpha; it got alpha={alpha}. Try alpha=1.")
    return np.where(x > 0, x, alpha * np.expm1(_negative_part(x) / alpha))

celu = declare(_celu, r"\max(x, 0) + \alpha \min(e^{x / \alpha} - 1, 0)",
    (lambda g, out, x, alpha=1.0: np.where(x > 0, g, g * np.exp(_negative_part(x) / alpha)),
                                                                     r"g \, ([x > 0] + e^{x / \alpha} [x \le 0])"),
    kinks="at 0 the derivatives are those from below; the second jumps", entrywise=True)

ROOT = sqrt(2 / pi)


def _gelu(x: Array, approximate: str = "none") -> Array:
    r"""Return x times the probability that a standard normal number is below x.

    .. math:: x \, \Phi(x) \approx \tfrac{x}{2} (1 + \tanh(\sqrt{2 / \pi} (x + 0.044715 x^3)))

    Args:
        x: any shape.
        approximate: ``'none'`` is exact; ``'tanh'`` is the formula on the right, off by up to 5e-4.

    Raises:
        ValueError: approximate is something else.

    Source: Hendrycks & Gimpel (2016), Gaussian Error Linear Units, section 2.

    Example:
        >>> round(float(gelu(1.0)), 6), round(float(gelu(1.0, approximate="tanh")), 6)
        (0.841345, 0.841192)
    """
    gate = _gate(x, approximate)
    return x * gate, {"gate": gate}


def _gate(x: Array, approximate: str) -> Array:
    """Return the normal distribution function Φ(x), or its approximation by a sigmoid."""
    if approximate == "none":
        return 0.5 * erfc(x * -sqrt(0.5))
    if approximate == "tanh":
        return sigmoid(x * (2 * ROOT + 2 * ROOT * 0.044715 * (x * x)))
    raise ValueError(f"gelu: approximate={approximate!r}; known are 'none' (exact) and 'tanh'.")


def _gelu_vjp(g: Array, out: Array, x: Array, gate: Array, approximate: str = "none") -> Array:
    if approximate == "none":
        return g * (gate + x * np.exp(-0.5 * x * x) * (ROOT / 2))
    u = x * (2 * ROOT + 2 * ROOT * 0.044715 * (x * x))
    slope = 2 * ROOT + 6 * ROOT * 0.044715 * (x * x)  # of u
    return g * gate * (1 + x * sigmoid(-u) * slope)

gelu = declare(_gelu, r"x \, \Phi(x)",
    (_gelu_vjp,                                                      r"g \, (\Phi(x) + x \, \varphi(x))"),
    saves={"gate": lambda x, approximate="none": _gate(x, approximate)}, entrywise=True)


def _silu(x: Array) -> Array:
    """Return x times its sigmoid, also known as swish.

    Source: Elfwing, Uchibe & Doya (2017), Sigmoid-Weighted Linear Units, equation 3.

    Example:
        >>> silu(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [-0.0, 0.0, 1000.0]
    """
    return x * sigmoid(x)

silu = declare(_silu, r"x \, \sigma(x)",
    (lambda g, out, x: g * sigmoid(x) * (1 + x * sigmoid(-x)),       r"g \, \sigma(x) (1 + x \, \sigma(-x))"),
    entrywise=True)


def _mish(x: Array) -> Array:
    """Return x tanh(softplus(x)).

    Source: Misra (2019), Mish: A Self Regularized Non-Monotonic Activation Function, equation 1.

    Example:
        >>> float(mish(1.0))
        0.8650983882673103
    """
    return x * np.tanh(softplus(x))


def _mish_vjp(g: Array, out: Array, x: Array) -> Array:
    t = np.tanh(softplus(x))
    return g * (t + x * sigmoid(x) * (1 - t * t))

mish = declare(_mish, r"x \tanh(\ln(1 + e^x))",
    (_mish_vjp,                                      r"g \, (t + x \, \sigma(x) (1 - t^2)), \; t = \tanh \ln(1 + e^x)"),
    entrywise=True)


def _softsign(x: Array) -> Array:
    """Return x / (1 + abs(x)).

    Source: Glorot & Bengio (2010), Understanding the difficulty of training deep feedforward networks, section 3.3.

    Example:
        >>> softsign(np.array([-3.0, 1.0])).tolist()
        [-0.75, 0.5]
    """
    return x / (1 + np.abs(x))

softsign = declare(_softsign, r"\frac{x}{1 + |x|}",
    (lambda g, out, x: g / np.square(1 + np.abs(x)),                 r"\frac{g}{(1 + |x|)^2}"),
    kinks="at 0 the second derivative, which jumps, is 0")


def _hard_tanh(x: Array, low: float = -1.0, high: float = 1.0) -> Array:
    """Return x clipped to the interval from low to high; the slope at a bound is 0.

    Raises:
        ValueError: low is not below high.

    Source: Collobert (2004), Large Scale Machine Learning, section 3.

    Example:
        >>> hard_tanh(np.array([-3.0, 0.5, 3.0])).tolist()
        [-1.0, 0.5, 1.0]
    """
    if not low < high:
        raise ValueError(f"hard_tanh needs low below high; it got low={low}, high={high}.")
    return np.minimum(np.maximum(x, low), high)

hard_tanh = declare(_hard_tanh, r"\min(\max(x, a), b)",
    (lambda g, out, x, low=-1.0, high=1.0: np.where((x > low) & (x < high), g, 0), r"g \, [a < x < b]"),
    kinks="at a bound the slope is 0")


def _hard_sigmoid(x: Array) -> Array:
    """Return (x + 3) / 6 clipped to the interval from 0 to 1; the slope at -3 and 3 is 0.

    Source: Howard et al. (2019), Searching for MobileNetV3, section 5.2.

    Example:
        >>> hard_sigmoid(np.array([-4.0, 0.0, 1.5])).tolist()
        [0.0, 0.5, 0.75]
    """
    return np.minimum(np.maximum(x + 3, 0), 6) / 6

hard_sigmoid = declare(_hard_sigmoid, r"\min(\max(\tfrac{x + 3}{6}, 0), 1)",
    (lambda g, out, x: np.where((x > -3) & (x < 3), g / 6, 0),       r"\tfrac{g}{6} [-3 < x < 3]"),
    kinks="at -3 and 3 the slope is 0")


def _hard_swish(x: Array) -> Array:
    """Return x hard_sigmoid(x); the slope is 0 at -3 and 1 at 3.

    Source: Howard et al. (2019), Searching for MobileNetV3, section 5.2.

    Example:
        >>> hard_swish(np.array([-4.0, 1.0, 4.0])).round(4).tolist()
        [-0.0, 0.6667, 4.0]
    """
    return x * (np.minimum(np.maximum(x + 3, 0), 6) / 6)

hard_swish = declare(_hard_swish, r"x \min(\max(\tfrac{x + 3}{6}, 0), 1)",
    (lambda g, out, x: np.where(x >= 3, g, np.where(x > -3, g * (x / 3 + 0.5), 0)),
                                                         r"g \, [x \ge 3] + g \tfrac{2 x + 3}{6} [-3 < x < 3]"),
    kinks="at -3 the slope is 0, at 3 it is 1")


def _halves(x: Array, axis: int) -> tuple[Array, Array]:
    n, odd = divmod(x.shape[axis], 2)
    if odd:
        raise ValueError(
            f"glu halves an axis, and axis {axis} of shape {x.shape} has {counted(x.shape[axis], 'entry')}, an odd "
            "number; make the layer before it twice as wide as the result."
        )
    before = (slice(None),) * (axis % x.ndim)
    return x[(*before, slice(0, n))], x[(*before, slice(n, 2 * n))]


def _glu(x: Array, axis: int = -1) -> Array:
    """Return the first half of x along an axis, times the sigmoid of the second half.

    Args:
        x: an even number of entries along the axis, (..., 2 n).
        axis: the axis that is halved.

    Returns:
        (..., n).

    Raises:
        ValueError: the number of entries along the axis is odd.

    Source: Dauphin, Fan, Auli & Grangier (2016), Language Modeling with Gated Convolutional Networks, equation 1.

    Example:
        >>> glu(np.array([[1.0, 2.0, 0.0, 0.0]])).tolist()
        [[0.5, 1.0]]
    """
    a, b = _halves(x, axis)
    return a * sigmoid(b)


def _glu_vjp(g: Array, out: Array, x: Array, axis: int = -1) -> Array:
    a, b = _halves(x, axis)
    return np.concatenate((g * sigmoid(b), g * a * sigmoid(b) * sigmoid(-b)), axis=axis)

glu = declare(_glu, r"x_1 \odot \sigma(x_2)",
    (_glu_vjp,                                 r"(g \odot \sigma(x_2), \; g \odot x_1 \odot \sigma(x_2) \sigma(-x_2))"))
# fmt: on
