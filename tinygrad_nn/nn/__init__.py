"""What networks are made of: layers, activations, losses, initial weights."""

from .activations import Activation, activation
from .init import initial_weights
from .layer import Layer
from .losses import FROM_Z, LOSSES, PENALTIES

__all__ = ["FROM_Z", "LOSSES", "PENALTIES", "Activation", "Layer", "activation", "initial_weights"]
