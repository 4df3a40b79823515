"""autograd.misc: flatten containers to a vector, simple optimizers, fixed points, functions with a constant graph."""

from .flatten import flatten
from .tracers import const_graph

__all__ = ["const_graph", "flatten"]
