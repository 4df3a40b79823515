"""Random points in the plane whose classes no straight line separates: two moons and spirals."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ..common.arguments import as_generator
from .encode import one_hot
from .split import Rng


class Plane(NamedTuple):
    """Points `x` (rows, 2) and their class numbers `y` (rows,)."""

    x: NDArray[np.float64]
    y: NDArray[np.int64]

    @property
    def targets(self) -> NDArray[np.float64]:
        """The classes as one-hot rows, (rows, classes)."""
        return one_hot(self.y, int(self.y.max()) + 1)


def two_moons(rows: SupportsIndex = 300, *, noise: float = 0.1, rng: Rng = None) -> Plane:
    r"""Draw random points on two interlocking half circles, alternating between the two classes.

    .. math:: (\cos t, \sin t) \text{ and } (1 - \cos t, \tfrac12 - \sin t), \qquad t \in [0, \pi]

    Args: `rows` how many points, at least 2; `noise` the standard deviation of the noise added to each coordinate;
    `rng` a Generator or a seed. Returns: a `Plane`. Raises: ValueError for fewer points, or a noise below 0.

    >>> moons = two_moons(4, noise=0.0, rng=0)
    >>> moons.y, np.hypot(*(moons.x - [[0, 0], [1, 0.5], [0, 0], [1, 0.5]]).T).round(12)
    (array([0, 1, 0, 1]), array([1., 1., 1., 1.]))
    """
    rows, generator = _check_count("two_moons", rows, 2, noise), as_generator(rng)
    y = np.arange(rows) % 2
    t = generator.uniform(0, np.pi, rows)
    upper = np.stack([np.cos(t), np.sin(t)], axis=1)
    return Plane(np.where(y[:, None] == 0, upper, [1.0, 0.5] - upper) + generator.normal(0, noise, (rows, 2)), y)


def spirals(
    rows: SupportsIndex = 300, classes: SupportsIndex = 2, *, turns: float = 1.25, noise: float = 0.1, rng: Rng = None
) -> Plane:
    r"""Draw random points on spirals from the origin, one per class, at distance 1 from each other, class by class.

    .. math:: r (\cos \varphi, \sin \varphi), \qquad \varphi = 2 \pi (r + k) / \text{classes},
              \quad r \in [0, \text{turns} \cdot \text{classes}]

    Args: `rows` how many points, at least one per class; `classes` how many spirals; `turns` how many turns each has;
    `noise` the standard deviation of the noise added to each coordinate; `rng` a Generator or a seed.
    Returns: a `Plane`. Raises: ValueError for fewer points, or a noise below 0.

    >>> x, y = spirals(300, 3, rng=0)
    >>> x.shape, np.bincount(y)
    ((300, 2), array([100, 100, 100]))
    """
    classes = _check_count("spirals", classes, 2, noise, "classes")
    rows, generator = _check_count("spirals", rows, classes, noise), as_generator(rng)
    y = np.arange(rows) % classes
    r = generator.uniform(0, turns * classes, rows)
    angle = 2 * np.pi * (r + y) / classes
    x = r[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Plane(x + generator.normal(0, noise, (rows, 2)), y)


def _check_count(call: str, count: Any, minimum: int, noise: float, name: str = "rows") -> int:
    try:
        number = operator.index(count)
    except TypeError:
        raise TypeError(f"{call}: {name}={count!r:.60} is not a whole number; write e.g. {name}=300.") from None
    if number < minimum:
        raise ValueError(f"{call}: {name}={number}; there must be at least {minimum}.")
    if not 0 <= noise < np.inf:
        raise ValueError(f"{call}: noise={noise!r:.60}; it must be a standard deviation of at least 0, e.g. noise=0.1.")
    return number
