"""Reverse-mode automatic differentiation in plain NumPy: a graph that can be seen, gradients that are checked."""

from . import ops as _ops  # noqa: F401 - fills the registry
from .backward import detect_anomaly
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
)  # fmt: skip
from .primitive import declare
from .tensor import Tensor
from .transforms import grad, value_and_grad

__all__ = [
    "Tensor", "affine", "declare", "detect_anomaly", "grad", "leaky_relu", "log_softmax", "logsumexp", "no_grad",
    "relu", "sigmoid", "sigmoid_crossentropy", "softmax", "softmax_crossentropy", "value_and_grad",
]  # fmt: skip
