"""Reverse-mode automatic differentiation in plain NumPy: a graph that can be seen, gradients that are checked."""

from . import ops as _ops  # noqa: F401 - fills the registry
from .backward import detect_anomaly
from .custom import checkpoint, custom_vjp, stop_gradient
from .node import no_grad
from .ops.neural import (
    affine,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    sigmoid_crossentropy,
    softmax,
    softmax_crossentropy,
)
from .primitive import declare
from .tensor import Tensor
from .transforms import elementwise_grad, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__all__ = [
    "Tensor",
    "affine",
    "checkpoint",
    "custom_vjp",
    "declare",
    "detect_anomaly",
    "elementwise_grad",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "leaky_relu",
    "log_softmax",
    "logsumexp",
    "no_grad",
    "relu",
    "sigmoid",
    "sigmoid_crossentropy",
    "softmax",
    "softmax_crossentropy",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
