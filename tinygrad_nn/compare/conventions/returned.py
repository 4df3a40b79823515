"""Assign the gradients that a backward returned to the inputs: by name, by order, or by shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...common.printable import printable
from ...gradcheck.numerical import is_float
from ...tensor import raw
from ...tree import flatten
from ..function.calling import Inputs
from .signatures import names_for_gradient

Array = np.ndarray[Any, Any]

_RESULT = (
    "compare_gradients: manual gave {what}; it needs a gradient for each of {names}: a tuple in that order, or a dict "
    "with those names."
)
LABELS = frozenset({"y", "t", "target", "targets", "label", "labels", "y_true", "mask", "masks", "onehot", "one_hot"})
DATA = LABELS | {"x", "xs", "xb", "inputs", "input", "data", "x_train", "x_batch", "batch", "features"}


class Pairing:
    """Which gradient belongs to which input, found once from a backward's return value and used for later calls.

    `inputs` are the arguments with only those arrays `moving` for which there is a gradient; `still` names the others.
    """

    def __init__(self, inputs: Inputs, found: Any, names: Sequence[str] = (), some: bool = False) -> None:
        """`names` are those of the returned gradients, if known; `some`: gradients of some inputs are enough."""
        self.all, self.names, self.some = inputs, list(names), some
        kept = sorted(self._leaves(found))
        if not kept:
            raise self._error("no gradient of any input")
        self.inputs = inputs._replace(moving=kept)
        lost = [k for k in _owners(inputs) if not any(inputs.owner[i] == k for i in kept)]
        self.still = [inputs.names[k] for k in lost]

    @property
    def notes(self) -> list[str]:
        """Sentences for the report on array inputs that are not compared."""
        arrays = [n for n in self.still if _has_arrays(self.all.values[self.all.names.index(n)])]
        if not arrays:
            return []
        verb = "is a constant" if len(arrays) == 1 else "are constants"
        return [f"The backward returns no gradient of {', '.join(arrays)}, which {verb} here."]

    def gradients(self, found: Any) -> list[Array]:
        """Return the gradient of each moving array, from what the backward returned in a later call."""
        parts = self._leaves(found)
        lost = [self.inputs.labels[i] for i in self.inputs.moving if i not in parts]
        if lost:
            raise self._error(f"no gradient of {', '.join(lost)} in a later call")
        return [_to_float_array(parts[i], self) for i in self.inputs.moving]

    def _error(self, what: str) -> TypeError:
        names = [self.all.names[k] for k in _owners(self.all)]
        return TypeError(_RESULT.format(what=what, names=printable(", ".join(names))))

    def _leaves(self, found: Any) -> dict[int, Any]:
        """Return the gradients in a dict, by the index (in the flat list of arrays) of the array they belong to."""
        owners = _owners(self.all)
        if isinstance(found, Mapping) and not self._is_like(found, owners):
            return self._by_name(found)
        if self._one(found, owners):
            return self._of(owners[0], found)
        if isinstance(found, (tuple, list)):
            return self._in_order(list(found), owners)
        return self._alone(found, owners)

    def _is_like(self, found: Any, owners: list[int]) -> bool:
        """Tell whether a dict is the gradient of the only argument, which is a dict with the same keys."""
        values = self.all.values
        return len(owners) == 1 and isinstance(values[owners[0]], dict) and set(found) == set(values[owners[0]])

    def _one(self, found: Any, owners: list[int]) -> bool:
        """Tell whether the whole return value is the gradient of the only input that needs one."""
        if len(owners) != 1 or not isinstance(found, (tuple, list)):
            return len(owners) == 1
        if isinstance(self.all.values[owners[0]], (tuple, list)):
            return True
        return len(found) != 1 and not len(found) == len(self.all.names) > 1

    def _by_name(self, found: Mapping[Any, Any]) -> dict[int, Any]:
        done: dict[int, Any] = {}
        for key, value in found.items():
            k = next((self.all.names.index(n) for n in names_for_gradient(str(key))[::-1] if n in self.all.names), None)
            if k is not None and k in _owners(self.all):
                done.update(self._of(k, value))
                continue
            for i, label in enumerate(self.all.labels):
                if i in self.all.moving and i not in done and _last_key(label) in names_for_gradient(str(key)):
                    done[i] = value
                    break
        self._whole(done, set(map(str, found)))
        return done

    def _whole(self, done: dict[int, Any], keys: set[str]) -> None:
        """Raise TypeError unless all inputs that need a gradient have one."""
        given = [part for value in self.all.values for part in flatten(value)[0]]
        lost = []
        for k in _owners(self.all):
            mine = [i for i in self.all.moving if self.all.owner[i] == k]
            missing = [self.all.labels[i] for i in mine if i not in done and _is_array(given[i])]
            if missing and (len(missing) < len(mine) or not (self.some or self.all.names[k].lower() in DATA)):
                lost += missing
        if lost or not done:
            raise self._error(f"no gradient of {', '.join(lost) or 'any input'}; it has "
                              f"{printable(', '.join(sorted(keys))) or 'nothing'}")  # fmt: skip

    def _in_order(self, found: list[Any], owners: list[int]) -> dict[int, Any]:
        arrays = [k for k in owners if _is_array(self.all.values[k])]
        for those in (owners, arrays, [k for k in arrays if self.all.names[k].lower() not in LABELS]):
            if len(found) == len(those):
                return {i: v for k, part in zip(those, found, strict=True) for i, v in self._of(k, part).items()}
        if len(found) == len(self.all.names):
            return {i: v for k in owners for i, v in self._of(k, found[k]).items()}
        names = self.names if len(self.names) == len(found) else []
        if names:
            done: dict[int, Any] = {}
            for name, value in zip(names, found, strict=True):
                k = next((self.all.names.index(n) for n in names_for_gradient(name) if n in self.all.names), None)
                if k is not None and k in owners:
                    done.update(self._of(k, value))
            if done:
                self._whole(done, set(names))
                return done
        raise self._error(f"{len(found)} gradients")

    def _alone(self, found: Any, owners: list[int]) -> dict[int, Any]:
        """Return the gradients if one array was returned: the input is found by name, if it is alone, or by shape."""
        names = names_for_gradient(self.names[0]) if len(self.names) == 1 else ()
        arrays = [k for k in owners if _is_array(self.all.values[k])]
        named = [k for k in owners if self.all.names[k] in names]
        alike = [k for k in arrays if np.shape(self.all.values[k]) == np.shape(raw(found))]
        free = [k for k in arrays if self.all.names[k].lower() not in LABELS]
        if is_float(raw(found)) or np.asarray(raw(found)).dtype.kind in "iub":
            for those in (named, arrays if len(arrays) == 1 else [], free if len(free) == 1 else [],
                          alike[:1] if self.some else []):  # fmt: skip
                if those:
                    return self._of(those[0], found)
        raise self._error(f"a {type(found).__name__}")

    def _of(self, k: int, value: Any) -> dict[int, Any]:
        """Return the gradients of the arrays of argument `k`, by their index."""
        mine = [i for i in self.all.moving if self.all.owner[i] == k]
        if value is None and (self.some or self.all.names[k].lower() in LABELS):
            return {}
        if value is None:
            return {i: np.zeros(np.shape(self.all.leaves[i])) for i in mine}
        if isinstance(value, dict) and isinstance(self.all.values[k], dict):
            value = {key: value[key] for key in self.all.values[k] if key in value} | value
        arrays = flatten(value)[0]
        if len(arrays) != len(mine) and len(mine) == 1:
            arrays = [value]
        if len(arrays) != len(mine):
            raise self._error(f"{len(arrays)} arrays for {printable(self.all.names[k])}")
        return dict(zip(mine, arrays, strict=True))


def _owners(inputs: Inputs) -> list[int]:
    return list(dict.fromkeys(inputs.owner[i] for i in inputs.moving))


def _last_key(label: str) -> str:
    """Return the last key of a label: ``W1`` for ``parameters['W1']``."""
    return label.rpartition("[")[2].strip("]'\"") if label.endswith("]") else label


def _is_array(value: Any) -> bool:
    """Tell whether an argument is an array, or a container of arrays only; options and Python numbers are not."""
    leaves = [raw(x) for x in flatten(value)[0]]
    return bool(leaves) and all(isinstance(x, (np.ndarray, np.generic)) for x in leaves)


def _has_arrays(value: Any) -> bool:
    return any(isinstance(raw(x), np.ndarray) for x in flatten(value)[0])


def _to_float_array(value: Any, pairing: Pairing) -> Array:
    """Return a copy of a gradient as a floating-point array; raise TypeError if it is not numeric."""
    value = next((getattr(value, n)() for n in ("realize_cached_data", "numpy") if hasattr(value, n)), value)
    found = np.array(raw(value))
    if found.dtype.kind not in "fciub":
        raise pairing._error("something that is not made of numbers")
    return found if found.dtype.kind in "fc" else found.astype(np.float64)
