"""Where the time and the memory of a function go, operation by operation, and what compiling it would save."""

from .result import Compiling, Operation, Profile
from .runs import profile

__all__ = ["Compiling", "Operation", "Profile", "profile"]
