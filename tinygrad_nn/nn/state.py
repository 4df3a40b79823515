"""The arrays of a module's state: where each is stored, and how its values or its dtype are replaced."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..common.printable import printable
from ..tensor import Tensor, wrap

Array = np.ndarray[Any, Any]


class Slot(NamedTuple):
    """A place that stores an array: the data of a parameter (empty name), or an attribute of a module."""

    owner: Any
    name: str

    def cast(self, dtype: Any) -> None:
        """Convert the array to a dtype, if it is floating-point."""
        array = self.array
        if array.dtype.kind == "f" and not self.name:
            self.owner.data = array.astype(dtype)
            if self.owner.node is not None:
                self.owner.node.grad = None
                forget_optimizer(self.owner)
        elif array.dtype.kind == "f":
            self._set(array.astype(dtype))

    def _set(self, array: Array) -> None:
        was = getattr(self.owner, self.name)
        setattr(self.owner, self.name, wrap(array, None) if isinstance(was, Tensor) else array)

    @property
    def array(self) -> Array:
        """The array itself."""
        return np.asarray(getattr(self.owner, self.name) if self.name else self.owner.data)

    def put(self, array: Array) -> None:
        """Replace the values of the array, keeping its dtype."""
        if self.name:
            self._set(np.array(array, dtype=self.array.dtype))
        else:
            assign(self.owner, array)

    def __hash__(self) -> int:
        return hash((id(self.owner), self.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slot) and self.owner is other.owner and self.name == other.name


class LoadedKeys(NamedTuple):
    """The names that differ between a state and the module that loaded it with ``strict=False``."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if self.missing_keys or self.unexpected_keys:
            return f"LoadedKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"
        return "<All keys matched successfully>"


def note_replaced(attributes: dict[str, Any], name: str, value: Any) -> None:
    """Note in a module's attributes that an array or a constant is about to replace a parameter, or no longer does.

    A function that is differentiated with respect to a weight assigns it to a layer: Tensors, then plain arrays. So the
    assignment itself is no mistake, but then the weight is missing among the parameters, which `raise_replaced` says.
    """
    old = attributes.get(name)
    if isinstance(value, Tensor):
        constant = type(value) is Tensor and value.node is None and value.label is None
    else:
        constant = _is_numbers(value)
    if not constant:
        attributes.get("_replaced", set()).discard(name)
    elif isinstance(old, Tensor) and old.data.dtype.kind in "fc":
        frozen = old.node is None and old.label is not None
        if frozen or (old.node is not None and old.is_leaf):  # else it is a result that forward keeps
            attributes.setdefault("_replaced", set()).add(name)


def raise_replaced(owner: str, start: str, attributes: dict[str, Any]) -> None:
    """Raise a TypeError if an attribute that was a parameter is now an array or a constant."""
    for name in sorted(attributes["_replaced"] & set(attributes)):
        value = attributes[name]
        what = "a constant Tensor" if isinstance(value, Tensor) else f"of type {type(value).__name__}"
        raise TypeError(
            f"{owner}: {start}{name} was a parameter, and what was assigned to it is {what}: it would be missing "
            f"among the parameters, and not be trained or saved. To change the values of a parameter write "
            f"m.{name}.data = np.asarray(value, m.{name}.dtype); for another parameter m.{name} = nn.Parameter(value); "
            f"for a constant write m.{name} = None before."
        )


def _is_numbers(x: Any) -> bool:
    """Tell whether a value is an array, a number, or a nested list of numbers."""
    if isinstance(x, (list, tuple)):
        return bool(x) and all(map(_is_numbers, x))
    return isinstance(x, (np.ndarray, np.generic, float, int))


def assign(parameter: Tensor, value: Any) -> None:
    """Replace the data of a parameter, keeping its dtype; the array is new, as an older graph may use the old one."""
    array = np.array(value, dtype=parameter.data.dtype)
    parameter.data = array
    if parameter.node is not None:
        forget_optimizer(parameter)


def fill_values(parameter: Any, value: Any) -> Any:
    """Replace the values of a parameter or of an array, and return it."""
    if isinstance(parameter, Tensor):
        assign(parameter, value)
    else:
        parameter[...] = value
    return parameter


def forget_optimizer(parameter: Tensor) -> None:
    """Drop the optimizer's state of a parameter, since it belongs to the old data."""
    notes = parameter.node.notes if parameter.node else None
    if notes and "attached" in notes:
        notes["attached"].forget()


def requested_dtype(target: Any) -> np.dtype[Any] | None:
    """Return the dtype that ``Module.to`` was given, or ``None`` for the device "cpu", a bool or None.

    Raises:
        RuntimeError: another device; NumPy arrays are in main memory.
    """
    if target is None or isinstance(target, bool):
        return None
    if isinstance(target, Tensor):
        target = target.dtype
    text = str(target)
    if text.partition(":")[0] in ("cpu", "cuda", "mps", "xpu", "device"):
        if text == "cpu":
            return None
        raise RuntimeError(f"there is no device {text!r}: arrays are NumPy's and stay in main memory. Leave it out.")
    dtype: np.dtype[Any] = np.dtype(target)
    return dtype


def raise_mismatch(owner: str, missing: list[str], unknown: list[str], differing: list[str]) -> NoReturn:
    """Raise a ValueError that lists the missing, unknown and differing names."""
    parts = [
        *(["missing: " + _list_text(missing)] if missing else []),
        *(["not known here: " + _list_text(unknown)] if unknown else []),
        *([_list_text(differing)] if differing else []),
    ]
    raise ValueError(
        f"this state belongs to a different architecture than {owner}; {'; '.join(parts)}. Create the model as it was "
        "when the state was saved. Nothing was changed."
    )


def _list_text(names: list[str]) -> str:
    rest = len(names) - 4
    return ", ".join(map(printable, names[:4])) + (f" and {rest} more" if rest > 0 else "")
