"""The device of Tensors, which is always the CPU."""

from __future__ import annotations

from typing import Any


class device(str):
    """The only device, ``"cpu"``; any other name raises ValueError."""

    __slots__ = ()
    type = "cpu"

    def __new__(cls, name: Any = "cpu", index: Any = None) -> device:
        """Return ``"cpu"``, or raise."""
        if str(name).split(":")[0] != "cpu":
            raise ValueError(
                f"device {str(name)!r} is not available: arrays are NumPy's. Write 'cpu', or leave it out."
            )
        return super().__new__(cls, "cpu")
