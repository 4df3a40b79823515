"""The `tinygrad-nn` command: `train` a network on a table and look at its gradients, `predict` with it."""

from .app import app, main

__all__ = ["app", "main"]
