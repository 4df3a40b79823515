"""Pictures: of a graph, and of a training. Each is a pure function of what it shows."""

from .animate import animate
from .drawing import Drawing, draw
from .explore import explore
from .flow import GradientFlow, plot_gradient_flow
from .landscape import plot_landscape
from .learned import plot_activation, plot_decision_boundary, plot_weights
from .live import LiveReport
from .network import NetworkDrawing, draw_network
from .plots import plot_confusion, plot_history, save_figure
from .summary import ModelSummary, summary

__all__ = [
    "Drawing",
    "GradientFlow",
    "LiveReport",
    "ModelSummary",
    "NetworkDrawing",
    "animate",
    "draw",
    "draw_network",
    "explore",
    "plot_activation",
    "plot_confusion",
    "plot_decision_boundary",
    "plot_gradient_flow",
    "plot_history",
    "plot_landscape",
    "plot_weights",
    "save_figure",
    "summary",
]
