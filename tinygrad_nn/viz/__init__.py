"""Pictures: of a graph, and of a training. Each is a pure function of what it shows."""

from .drawing import Drawing, draw
from .plots import plot_confusion, plot_history, save_figure

__all__ = ["Drawing", "draw", "plot_confusion", "plot_history", "save_figure"]
