"""Backpropagation by hand: the numbered equations of the multilayer perceptron and of other common layers.

The equations (B..) are derived in `docs/backprop.md`, all others in `docs/backprop_layers.md`. This package uses only
NumPy. It implements each activation, loss and layer a second time, independently of the graph, so that the gradients
of the graph can be compared with those of code that shares nothing with it.
"""

from .activations import ACTIVATIONS, Activation, activation
from .attention import Attention, AttentionGradients, attention, attention_backward
from .conv import Conv2dGradients, conv2d, conv2d_backward
from .embedding import embedding, embedding_backward
from .losses import FUSED, LOSSES, Loss, loss_value, output_delta
from .mlp import Backward, Forward, backward, draw_masks, forward, objective
from .norm import (
    BatchNorm,
    LayerNorm,
    NormGradients,
    batch_norm,
    batch_norm_backward,
    layer_norm,
    layer_norm_backward,
)
from .optimizers import UPDATES, Update, quasi_newton_direction, update_rule
from .penalties import PENALTIES, Penalty, penalty_pair
from .pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from .recurrent import Lstm, LstmGradients, Rnn, RnnGradients, lstm, lstm_backward, rnn, rnn_backward

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Attention",
    "AttentionGradients",
    "Backward",
    "BatchNorm",
    "Conv2dGradients",
    "FUSED",
    "Forward",
    "LOSSES",
    "LayerNorm",
    "Loss",
    "Lstm",
    "LstmGradients",
    "NormGradients",
    "PENALTIES",
    "Penalty",
    "Rnn",
    "RnnGradients",
    "UPDATES",
    "Update",
    "activation",
    "attention",
    "attention_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "backward",
    "batch_norm",
    "batch_norm_backward",
    "conv2d",
    "conv2d_backward",
    "draw_masks",
    "embedding",
    "embedding_backward",
    "forward",
    "layer_norm",
    "layer_norm_backward",
    "loss_value",
    "lstm",
    "lstm_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "objective",
    "output_delta",
    "penalty_pair",
    "quasi_newton_direction",
    "rnn",
    "rnn_backward",
    "update_rule",
]
