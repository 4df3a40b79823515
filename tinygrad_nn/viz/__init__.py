"""Visualization: drawings of graphs and networks, the explorer page, and plots of training runs."""

from ..common.spelling import no_attribute as _no_attribute
from .explanation import explain_error
from .explorer.explore import explore
from .explorer.gif import animate
from .graph.drawing import Drawing, draw
from .model.summary import ModelSummary, summary
from .network.drawing import NetworkDrawing, draw_network
from .training.gradient_flow import GradientFlow, plot_gradient_flow
from .training.landscape import plot_landscape
from .training.learned import plot_activation, plot_decision_boundary, plot_weights
from .training.live import LiveReport
from .training.plots import plot_confusion, plot_history, save_figure
from .training.record import Record
from .training.tensorboard import TensorBoard

__all__ = [
    "Drawing",
    "GradientFlow",
    "LiveReport",
    "ModelSummary",
    "NetworkDrawing",
    "Record",
    "TensorBoard",
    "animate",
    "draw",
    "draw_network",
    "explain_error",
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


def __getattr__(name: str) -> object:
    raise _no_attribute(f"module {__name__!r}", name, __all__)
