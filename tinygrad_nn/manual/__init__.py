"""Backpropagation by hand: the equations of the multilayer perceptron, numbered as in `docs/backprop.md`.

NumPy only. It states each activation and each loss again, without a look at the graph, so that the two roads to a
gradient have nothing in common but the numbers they must arrive at.
"""

from .activations import ACTIVATIONS, Activation, activation
from .losses import FUSED, LOSSES, Loss, loss_value, output_delta
from .mlp import Backward, Forward, backward, draw_masks, forward, objective
from .penalties import PENALTIES, Penalty, penalty_pair

__all__ = [
    "ACTIVATIONS",
    "FUSED",
    "LOSSES",
    "PENALTIES",
    "Activation",
    "Backward",
    "Forward",
    "Loss",
    "Penalty",
    "activation",
    "backward",
    "draw_masks",
    "forward",
    "loss_value",
    "objective",
    "output_delta",
    "penalty_pair",
]
