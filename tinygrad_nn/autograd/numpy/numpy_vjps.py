"""Helper functions for user-defined rules that sum a gradient back to the shape before broadcasting."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...primitive import sum_to
from ...tensor import Tensor


def unbroadcast(x: Any, target_meta: Any) -> Any:
    """Return a gradient summed over the axes along which a target was broadcast.

    Args:
        x: the gradient.
        target_meta: the target's shape, or a tuple that begins with the shape, as in autograd's metadata.
    """
    shape = target_meta[0] if target_meta and isinstance(target_meta[0], tuple) else target_meta
    g = x if isinstance(x, Tensor) else np.asarray(x)
    return sum_to(g, tuple(shape)) if g.ndim >= len(shape) else g


def unbroadcast_f(target: Any, f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the rule f with the gradient that it returns summed to the shape of the target."""
    shape = np.shape(target)
    return lambda g: unbroadcast(f(g), (shape,))
