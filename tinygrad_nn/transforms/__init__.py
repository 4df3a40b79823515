"""Transforms of functions: derivatives, Jacobians, batches, and loops and branches that depend on values."""

from .batching import vmap
from .control_flow import cond, scan, while_loop
from .derivatives import (
    alias,
    elementwise_grad,
    grad,
    hvp,
    jvp,
    new_input,
    pullback,
    pushforward,
    value_and_grad,
    vjp,
)
from .jacobians import hessian, jacobian

__all__ = [
    "alias", "cond", "elementwise_grad", "grad", "hessian", "hvp", "jacobian", "jvp", "new_input", "pullback",
    "pushforward", "scan", "value_and_grad", "vjp", "vmap", "while_loop",
]  # fmt: skip
