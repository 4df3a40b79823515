"""Compilation: a function is traced once, made smaller, given standing buffers, and from then on replayed."""

from .function import Compiled, compile

__all__ = ["Compiled", "compile"]
