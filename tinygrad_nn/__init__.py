"""Reverse-mode automatic differentiation in plain NumPy: a graph that can be seen, gradients that are checked."""

from . import ops as _ops  # noqa: F401 - fills the registry
from .backward import detect_anomaly
from .custom import checkpoint, custom_vjp, stop_gradient
from .data import Scaler, data_loader, data_split, load_digits, load_iris, one_hot, read_features, read_table
from .gradcheck import GradientReport, assert_gradients, check_gradients, check_primitive, numerical_gradient
from .metrics import accuracy_score, cm, f1_score, format_cm, loss_fct, precision_score, r2_score, recall_score
from .nn import Layer
from .node import no_grad
from .ops.joining import array
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
from .ops.special import digamma, erf, erfc, expit, gammaln, log_sigmoid, logit, polygamma, softplus
from .primitive import declare
from .solver import (
    BackProp,
    Epoch,
    FeedForward,
    History,
    Predict,
    Regularization,
    Settings,
    Solver,
    TrainNN,
    fit,
    graph_loss,
)
from .support import supported
from .tensor import Tensor
from .transforms import elementwise_grad, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__all__ = [
    "BackProp",
    "Epoch",
    "FeedForward",
    "GradientReport",
    "History",
    "Layer",
    "Predict",
    "Regularization",
    "Scaler",
    "Settings",
    "Solver",
    "Tensor",
    "TrainNN",
    "accuracy_score",
    "affine",
    "array",
    "assert_gradients",
    "check_gradients",
    "check_primitive",
    "checkpoint",
    "cm",
    "custom_vjp",
    "data_loader",
    "data_split",
    "declare",
    "detect_anomaly",
    "digamma",
    "elementwise_grad",
    "erf",
    "erfc",
    "expit",
    "f1_score",
    "fit",
    "format_cm",
    "gammaln",
    "grad",
    "graph_loss",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "leaky_relu",
    "load_digits",
    "load_iris",
    "log_sigmoid",
    "log_softmax",
    "logit",
    "logsumexp",
    "loss_fct",
    "no_grad",
    "numerical_gradient",
    "one_hot",
    "polygamma",
    "precision_score",
    "r2_score",
    "read_features",
    "read_table",
    "recall_score",
    "relu",
    "sigmoid",
    "sigmoid_crossentropy",
    "softmax",
    "softmax_crossentropy",
    "softplus",
    "stop_gradient",
    "supported",
    "value_and_grad",
    "vjp",
]
