r"""SciPy's x ln y, entropies and divergences, entry by entry, with 0 ln 0 = 0."""

from __future__ import annotations

import numpy as np

from ..primitive import Array, declare
from .elementwise import POSITIVE
from .library import forward


def _times_ratio(g: Array, x: Array, y: Array) -> Array:
    """Return g x / y, with 0 / 0 = 0."""
    none = (x == 0) & (y == 0)
    return np.where(none, 0, g) * x / np.where(none, 1, y)


def _log_ratio(x: Array, y: Array) -> Array:
    """Return ln(x / y), or 0 if x and y are both 0."""
    none = (x == 0) & (y == 0)
    return np.log(np.where(none, 1, x) / np.where(none, 1, y))

# fmt: off
xlogy = declare(forward("xlogy"), r"x \ln y",
    (lambda g, out, x, y: g * np.log(np.where((x == 0) & (y == 0), 1, y)),     r"g \ln y"),
    (lambda g, out, x, y: _times_ratio(g, x, y),                     r"\frac{g \, x}{y}"),
    domain=[(-2, 2), (0.1, 3)], kinks="at (0, 0) the slopes are 0")

xlog1py = declare(forward("xlog1py"), r"x \ln(1 + y)",
    (lambda g, out, x, y: g * np.log1p(np.where((x == 0) & (y == -1), 0, y)),  r"g \ln(1 + y)"),
    (lambda g, out, x, y: _times_ratio(g, x, 1 + y),                 r"\frac{g \, x}{1 + y}"),
    domain=[(-2, 2), (-0.9, 3)], kinks="at (0, -1) the slopes are 0")

entr = declare(forward("entr"), r"-x \ln x",
    (lambda g, out, x: -g * (np.log(np.where((g == 0) & (x == 0), 1, x)) + 1), r"-g \, (\ln x + 1)"),
    domain=POSITIVE, kinks="at 0 infinite, and 0 where the cotangent is 0")

rel_entr = declare(forward("rel_entr"), r"x \ln \frac{x}{y}",
    (lambda g, out, x, y: g * (_log_ratio(x, y) + ((x != 0) | (y != 0))),      r"g \, (\ln \frac{x}{y} + 1)"),
    (lambda g, out, x, y: -_times_ratio(g, x, y),                    r"-\frac{g \, x}{y}"),
    domain=POSITIVE, kinks="at (0, 0) the slopes are 0, elsewhere at x = 0 that in x is infinite")

kl_div = declare(forward("kl_div"), r"x \ln \frac{x}{y} - x + y",
    (lambda g, out, x, y: g * _log_ratio(x, y),               r"g \ln \frac{x}{y}"),
    (lambda g, out, x, y: g - _times_ratio(g, x, y),                 r"g \, (1 - \frac{x}{y})"),
    domain=POSITIVE, kinks="at (0, 0) the slopes are 0 in x and 1 in y, elsewhere at x = 0 that in x is infinite")
# fmt: on
