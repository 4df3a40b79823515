"""Training: the API of the Julia project (a list of layers, a solver, functions that train) and `fit` for any model."""

from .callbacks import Step
from .checkpoint import Checkpoint
from .epochs import Epoch
from .history import History
from .julia import BackProp, DataCache, FeedForward, Predict, Trained, TrainNN, graph_loss
from .settings import Regularization, Settings, Solver
from .stopping import EarlyStopping
from .training import fit

__all__ = [
    "BackProp", "Checkpoint", "DataCache", "EarlyStopping", "Epoch", "FeedForward", "History", "Predict",
    "Regularization", "Settings", "Solver", "Step", "TrainNN", "Trained", "fit", "graph_loss",
]  # fmt: skip
