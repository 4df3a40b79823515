"""Compilation: a function is traced once, made smaller, given standing buffers, and from then on replayed."""

from .function import Compiled, compile
from .step import functional, training_step

__all__ = ["Compiled", "compile", "functional", "training_step"]
