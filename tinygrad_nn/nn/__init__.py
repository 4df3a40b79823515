"""Building blocks of networks: modules and layers, activations, losses, weight initialisation."""

from ..ops.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    mish,
    prelu,
    selu,
    silu,
    softsign,
)
from ..ops.elementwise import tanh
from ..ops.neural import leaky_relu, log_softmax, relu, sigmoid, softmax
from ..ops.special import log_sigmoid, softplus
from ..spelling import no_attribute as _no_attribute
from . import utils
from .activation_layers import GLU, PReLU
from .activations import Activation, activation
from .attention import MultiHeadAttention
from .containers import Lambda, Parallel, Residual, Sequential
from .conv import Conv1d, Conv2d, Convolution, ConvTranspose1d, ConvTranspose2d
from .dropout import Dropout, SpatialDropout
from .embedding import Embedding, sinusoidal_positions
from .init import initial_weights
from .layer import Layer
from .linear import Flatten, Linear
from .losses import FROM_Z, LOSSES, PENALTIES
from .module import Module
from .norm import (
    BatchNorm,
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    RMSNorm,
)
from .pool import (
    AdaptiveAvgPool,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool,
    AvgPool1d,
    AvgPool2d,
    MaxPool,
    MaxPool1d,
    MaxPool2d,
)
from .recurrent import GRU, LSTM, RNN, Recurrent
from .transformer import TransformerBlock

__all__ = [
    "Activation",
    "AdaptiveAvgPool",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Convolution",
    "Dropout",
    "Embedding",
    "FROM_Z",
    "Flatten",
    "GLU",
    "GRU",
    "GroupNorm",
    "InstanceNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LOSSES",
    "LSTM",
    "Lambda",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "MultiHeadAttention",
    "PENALTIES",
    "PReLU",
    "Parallel",
    "RMSNorm",
    "RNN",
    "Recurrent",
    "Residual",
    "Sequential",
    "SpatialDropout",
    "TransformerBlock",
    "activation",
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "initial_weights",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "prelu",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "sinusoidal_positions",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
    "utils",
]


def __getattr__(name: str) -> object:
    raise _no_attribute(f"module {__name__!r}", name, __all__)
