"""The `tinygrad-nn` command: `train` a network on a table and look at its gradients, `predict` with it, draw it."""

from . import compare as _compare  # noqa: F401 - adds its command to the app
from . import draw as _draw  # noqa: F401 - adds three more
from .app import app, main

__all__ = ["app", "main"]
