"""SciPy's functions of Tensors; SciPy itself must be installed."""

from . import integrate, linalg, signal, special, stats

__all__ = ["integrate", "linalg", "signal", "special", "stats"]
