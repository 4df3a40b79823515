"""autograd's versions of dict, list, tuple, isinstance and type; the containers are Python's own classes here."""

import builtins
from collections.abc import Sequence
from typing import Any

from .tracer import getval, notrace_primitive

dict, list, tuple = builtins.dict, builtins.list, builtins.tuple
DictBox, SequenceBox = builtins.dict, Sequence  # containers hold Tensors directly, without a Box around them
isinstance = notrace_primitive(builtins.isinstance)


def type(x: Any) -> Any:
    """Return the type of a value; for a traced value, the type of its plain value (such as ndarray)."""
    return builtins.type(getval(x))


__all__ = ["DictBox", "SequenceBox", "dict", "isinstance", "list", "tuple", "type"]
