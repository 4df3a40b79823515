"""Layers that pad series, images and volumes at both ends of each spatial axis."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from . import functional as F
from .linear import as_array
from .module import Module

Size = int | tuple[int, ...]
_SIDES = ("left, right", "left, right, top, bottom", "left, right, top, bottom, front, back")


class _Padding(Module):
    """Base of the layers that pad; `axes` is the number of spatial axes."""

    axes: ClassVar[int]
    mode: ClassVar[str]
    value: float = 0.0

    def __init__(self, padding: Size) -> None:
        sides = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * (2 * self.axes)
        if len(sides) != 2 * self.axes or not all(isinstance(n, (int, np.integer)) for n in sides):
            raise TypeError(
                f"{type(self).__name__}: padding={padding!r:.60}; it needs a whole number, or one for each side: "
                f"({_SIDES[self.axes - 1]})."
            )
        self.padding = sides

    def forward(self, x: Any) -> Any:
        """Return the padded x."""
        x = as_array(x)
        if x.ndim < self.axes + 1:
            raise ValueError(f"{self!r} pads {self.axes} axes after the channels; x has shape {x.shape}.")
        return F.pad(x, self.padding, mode=self.mode, value=self.value if self.mode == "constant" else None)

    def about(self) -> str:
        """Return the padding at each end."""
        return f"{self.padding}"


class _ConstantPad(_Padding):
    mode = "constant"

    def __init__(self, padding: Size, value: float) -> None:
        super().__init__(padding)
        self.value = float(value)

    def about(self) -> str:
        """Return the padding at each end, and the value."""
        return f"{self.padding}, {self.value}"


def _layer(name: str, mode: str, axes: int, text: str, base: type[_Padding] = _Padding) -> type[_Padding]:
    what = ("series", "images", "volumes")[axes - 1]
    words = f"Pad {what} {text}.\n\nArgs:\n    padding: the number of entries at every side, or ({_SIDES[axes - 1]})."
    return type(name, (base,), {"__doc__": words, "__module__": __name__, "axes": axes, "mode": mode})


def _layers(kind: str, mode: str, text: str, base: type[_Padding] = _Padding) -> list[type[_Padding]]:
    return [_layer(f"{kind}Pad{axes}d", mode, axes, text, base) for axes in (1, 2, 3)]


ZeroPad1d, ZeroPad2d, ZeroPad3d = _layers("Zero", "constant", "with zeros")
ConstantPad1d, ConstantPad2d, ConstantPad3d = _layers(
    "Constant", "constant", "with a value, the second argument", _ConstantPad
)
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = _layers("Reflection", "reflect", "with their own, mirrored entries")
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = _layers("Replication", "replicate", "with their outer entries")
CircularPad1d, CircularPad2d, CircularPad3d = _layers("Circular", "circular", "with the entries from the other end")
