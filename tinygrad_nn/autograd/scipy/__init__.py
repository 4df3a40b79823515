"""autograd.scipy: SciPy's functions, which here also accept Tensors; SciPy must be installed."""

from . import integrate, linalg, signal, special, stats

__all__ = ["integrate", "linalg", "signal", "special", "stats"]
