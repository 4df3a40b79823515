"""Initial weights: He's scale for rectifiers, Xavier's for the others, normal or uniform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Rng = np.random.Generator | int | None

DISTRIBUTIONS = {"n": "normal", "u": "uniform"}


def initial_weights(
    n_in: int, n_out: int, slope: float | None, distribution: str, rng: Rng = None, dtype: Any = float
) -> np.ndarray[Any, Any]:
    r"""Draw the weights of a layer so that signals neither grow nor fade from layer to layer.

    .. math:: \sigma^2 = \frac{2}{(1 + \alpha^2)\, n_{in}} \text{ (He)}, \qquad
              \sigma^2 = \frac{2}{n_{in} + n_{out}} \text{ (Xavier)}

    Args:
        n_in, n_out: columns in and out.
        slope: the slope alpha below zero of a rectifier, which takes He's variance; ``None`` takes Xavier's.
        distribution: ``'n'`` normal, or ``'u'`` uniform over plus and minus the root of three variances.
        rng: a Generator or a seed; ``None`` draws other numbers each time.
        dtype: of the result; the draw is the same for each.

    Returns:
        An array ``(n_out, n_in)``.

    Source: He et al. (2015), Delving Deep into Rectifiers, equation 15; Glorot & Bengio (2010), equations 12 and 16.

    Example:
        >>> W = initial_weights(100, 50, None, "u", rng=0)
        >>> W.shape, bool(abs(W).max() <= (6 / 150) ** 0.5)
        ((50, 100), True)
    """
    variance = 2 / (n_in + n_out) if slope is None else 2 / ((1 + slope**2) * n_in)
    generator = np.random.default_rng(rng)
    if distribution == "n":
        W = generator.normal(0.0, variance**0.5, (n_out, n_in))
    else:
        limit = (3 * variance) ** 0.5
        W = generator.uniform(-limit, limit, (n_out, n_in))
    return W.astype(dtype, copy=False)
