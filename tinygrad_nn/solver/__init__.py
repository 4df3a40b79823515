"""The API of the Julia project: layers in a list, a solver, and the functions that train them."""

from .history import History
from .loop import Epoch, fit
from .settings import Regularization, Settings, Solver
from .train import BackProp, DataCache, FeedForward, Predict, Trained, TrainNN, graph_loss

__all__ = [
    "BackProp", "DataCache", "Epoch", "FeedForward", "History", "Predict", "Regularization", "Settings", "Solver",
    "TrainNN", "Trained", "fit", "graph_loss",
]  # fmt: skip
