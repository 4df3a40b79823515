"""Inspection of graphs: a read-only view, a backward walk step by step, and the table of differentiable functions."""

from .summary import Summary, root_mean_square, short_number, summarize
from .supported import Support, supported
from .view import GraphEdge, GraphNode, GraphView, tensors_of
from .walk import Contribution, Step, WalkBack, walk_back

__all__ = [
    "Contribution",
    "GraphEdge",
    "GraphNode",
    "GraphView",
    "Step",
    "Summary",
    "Support",
    "WalkBack",
    "root_mean_square",
    "short_number",
    "summarize",
    "supported",
    "tensors_of",
    "walk_back",
]
