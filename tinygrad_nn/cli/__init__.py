"""The `tinygrad-nn` command: `train` a network on a table and look at its gradients, `predict` with it."""

from . import compare as _compare  # noqa: F401 - adds its command to the app
from .app import app, main

__all__ = ["app", "main"]
