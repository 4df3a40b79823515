"""The rule tables, one row a primitive; importing this package fills `REGISTRY` and `OVERRIDES`."""

from . import elementwise, linalg, neural, plain, reduce, shape

__all__ = ["elementwise", "linalg", "neural", "plain", "reduce", "shape"]
