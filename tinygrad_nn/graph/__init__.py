"""The graph to look at: what it holds, the walk back through it a step at a time, and which functions have a rule."""

from .summary import Summary, short_number, summarize
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
    "short_number",
    "summarize",
    "supported",
    "tensors_of",
    "walk_back",
]
