"""Python's containers and questions of type: a container of Tensors needs no type of its own."""

import builtins
from collections.abc import Sequence
from typing import Any

from .tracer import getval, notrace_primitive

dict, list, tuple = builtins.dict, builtins.list, builtins.tuple
DictBox, SequenceBox = builtins.dict, Sequence  # what is traced stands in a container as it is
isinstance = notrace_primitive(builtins.isinstance)


def type(x: Any) -> Any:
    """Return the type of a value, of what is being differentiated that of its plain value."""
    return builtins.type(getval(x))


__all__ = ["DictBox", "SequenceBox", "dict", "isinstance", "list", "tuple", "type"]
