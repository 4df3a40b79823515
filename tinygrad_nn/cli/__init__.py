"""The `tinygrad-nn` command: `train` a network on a table and look at its gradients, `predict` with it, draw it."""

from . import train as _train  # noqa: I001, F401 - each adds its command to the app, in the order of the help
from . import predict as _predict  # noqa: F401
from . import evaluate as _evaluate  # noqa: F401
from . import compare as _compare  # noqa: F401
from . import graph as _graph  # noqa: F401
from . import explore as _explore  # noqa: F401
from . import network as _network  # noqa: F401
from . import play as _play  # noqa: F401
from .app import app, main

__all__ = ["app", "main"]
