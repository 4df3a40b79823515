"""Assign the gradients that a backward returned to the inputs: by name, by order, or by shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...common.printable import counted, printable
from ...gradcheck.numerical import is_float
from ...tensor import raw
from ...tree import flatten
from ..function.calling import COTANGENTS, Inputs
from .signatures import is_cache, is_gradient_name, names_for_gradient

Array = np.ndarray[Any, Any]

_RESULT = (
    "compare_gradients: manual gave {what}; it needs a gradient for each of {names}: a tuple in that order, or a dict "
    "with those names."
)
_GLOBAL = (
    " If the gradients are of global variables, make these variables parameters of the function, and pass them as "
    "inputs."
)
_OWN = (
    " If the gradients are of lists of arrays that the object holds, store them beside these, such as self.dweights "
    "for self.weights."
)
UNNAMED = "a value without a name"
LABELS = frozenset({"y", "t", "target", "targets", "label", "labels", "y_true", "mask", "masks", "onehot", "one_hot"})
SHORT = frozenset({"d", "delta", "grad"})  # names of gradients that do not tell of what
DATA = LABELS | {"x", "xs", "xb", "inputs", "input", "data", "x_train", "x_batch", "batch", "features"}


class Pairing:
    """Which gradient belongs to which input, found once from a backward's return value and used for later calls.

    `inputs` are the arguments, whose `float_indices` are only those arrays for which there is a gradient; `constants`
    names the others.
    """

    def __init__(self, inputs: Inputs, returned: Any, names: Sequence[str] = (), allows_missing: bool = False) -> None:
        """`names` are those of the returned gradients, if known; `allows_missing`: those of some inputs are enough."""
        self.all_inputs, self.names, self.allows_missing = inputs, list(names), allows_missing
        self.indices: dict[int, list[int]] = {}  # for each argument that has gradients, those of its arrays
        for i in inputs.float_indices:
            self.indices.setdefault(inputs.owner[i], []).append(i)
        float_indices = sorted(self._by_index(returned))
        if not float_indices:
            raise self._error("no gradient of any input")
        self.inputs = inputs._replace(float_indices=float_indices)
        self.kept_shapes: dict[int, tuple[int, ...]] = {}  # of gradients that differ by axes of length 1 in front
        missing = [k for k, indices in self.indices.items() if not set(indices) & set(float_indices)]
        self.constants = [inputs.names[k] for k in missing]

    @property
    def notes(self) -> list[str]:
        """Sentences for the report on array inputs that are not compared."""
        arrays = [n for n in self.constants if _has_arrays(self.all_inputs.values[self.all_inputs.names.index(n)])]
        if not arrays:
            return []
        verb = "is a constant" if len(arrays) == 1 else "are constants"
        return [f"The backward returns no gradient of {', '.join(arrays)}, which {verb} here."]

    def gradients(self, returned: Any) -> list[Array]:
        """Return the gradient of each floating-point array, from what the backward returned in a later call."""
        parts = self._by_index(returned)
        missing = [self.inputs.labels[i] for i in self.inputs.float_indices if i not in parts]
        if missing:
            raise self._error(f"no gradient of {', '.join(missing)} in a later call")
        arrays = [_to_float_array(parts[i], self) for i in self.inputs.float_indices]
        shapes = [np.shape(self.inputs.leaves[i]) for i in self.inputs.float_indices]
        pairs = [*zip(arrays, shapes, strict=True)]
        self.kept_shapes = {k: x.shape for k, (x, shape) in enumerate(pairs) if differ_by_ones_in_front(x.shape, shape)}
        return [x.reshape(shape) if k in self.kept_shapes else x for k, (x, shape) in enumerate(pairs)]

    def _error(self, problem: str, advice: str = "") -> TypeError:
        names = [self.all_inputs.names[k] for k in self.indices]
        return TypeError(_RESULT.format(what=problem, names=printable(", ".join(names))) + advice)

    def _by_index(self, returned: Any) -> dict[int, Any]:
        """Return the gradients in a dict, by the index (in the flat list of arrays) of the array they belong to."""
        owners = list(self.indices)
        if isinstance(returned, Mapping) and not self._has_same_keys(returned, owners):
            return self._by_name(returned)
        if isinstance(returned, (tuple, list)) and self._is_named(returned):
            return self._by_name(dict(zip(self.names, returned, strict=True)))
        if self._is_single_gradient(returned, owners):
            return self._of_argument(owners[0], returned)
        if isinstance(returned, (tuple, list)):
            return self._in_order(list(returned), owners)
        return self._from_one_array(returned, owners)

    def _has_same_keys(self, returned: Any, owners: list[int]) -> bool:
        """Tell whether a dict is the gradient of the only argument, which is a dict with the same keys."""
        values = self.all_inputs.values
        return len(owners) == 1 and isinstance(values[owners[0]], dict) and set(returned) == set(values[owners[0]])

    def _is_named(self, returned: Sequence[Any]) -> bool:
        """Tell whether the name of each returned value is known, and not all are gradients of inputs.

        Then the order does not tell which is which: ``return dW, db, hs[-1]``.
        """
        if len(self.names) != len(returned) or not all(self.names):
            return False
        belongs = [names_for_gradient(name)[0] in self.all_inputs.names for name in self.names]
        gradients = [is_gradient_name(name) for name in self.names]
        return any(gradients) and not all(gradients) and (any(belongs) or sum(gradients) > 1)

    def _is_single_gradient(self, returned: Any, owners: list[int]) -> bool:
        """Tell whether the whole return value is the gradient of the only input that needs one."""
        if len(owners) != 1 or not isinstance(returned, (tuple, list)):
            return len(owners) == 1
        if isinstance(self.all_inputs.values[owners[0]], (tuple, list)):
            return True
        return len(returned) != 1 and not len(returned) == len(self.all_inputs.names) > 1

    def _by_name(self, returned: Mapping[Any, Any]) -> dict[int, Any]:
        gradients: dict[int, Any] = {}
        running: list[Any] = []  # a gradient with the name of the upstream one, which a loop passed on to an input
        for key, value in returned.items():
            k = next(
                (
                    self.all_inputs.names.index(n)
                    for n in names_for_gradient(str(key))[::-1]
                    if n in self.all_inputs.names
                ),
                None,
            )
            if k is not None and k in self.indices:
                gradients.update(self._of_argument(k, value))
                continue
            for i, label in enumerate(self.all_inputs.labels):
                if (
                    i in self.all_inputs.float_indices
                    and i not in gradients
                    and _last_key(label) in names_for_gradient(str(key))
                ):
                    gradients[i] = value
                    break
            else:
                running += [value] if key in COTANGENTS else []
        rest = [k for k, indices in self.indices.items()
                if not set(indices) & set(gradients) and self.all_inputs.names[k].lower() not in LABELS]  # fmt: skip
        if len(running) == len(rest) == 1:
            gradients.update(self._of_argument(rest[0], running[0]))
        elif len(rest) == 1 and len(returned) == len(self.indices):  # return dW, db, d: the place tells what d is
            key = [*returned][[*self.indices].index(rest[0])]
            if key in SHORT and np.shape(raw(returned[key])) == np.shape(raw(self.all_inputs.values[rest[0]])):
                gradients.update(self._of_argument(rest[0], returned[key]))
        self._require_all(gradients, set(map(str, returned)))
        return gradients

    def _require_all(self, gradients: dict[int, Any], keys: set[str]) -> None:
        """Raise TypeError unless all inputs that need a gradient have one."""
        input_parts = [part for value in self.all_inputs.values for part in flatten(value)[0]]
        all_missing = []
        for k, indices in self.indices.items():
            missing = [self.all_inputs.labels[i] for i in indices if i not in gradients and _is_array(input_parts[i])]
            if missing and (
                len(missing) < len(indices) or not (self.allows_missing or _is_data(self.all_inputs.names[k]))
            ):
                all_missing += missing
        if all_missing or not gradients:
            advice = _GLOBAL if not gradients and any(map(is_gradient_name, keys)) else ""
            names = self.all_inputs.names
            if gradients and set(all_missing) < set(names):
                constants, others = (", ".join(n for n in names if (n in all_missing) is is_) for is_ in (True, False))
                advice = (f" If {constants} needs no gradient, pass lambda {others}: f({', '.join(names)}), and "
                          "likewise for the backward.")  # fmt: skip
            raise self._error(f"no gradient of {', '.join(all_missing) or 'any input'}; it has "
                              f"{printable(', '.join(sorted(key or UNNAMED for key in keys))) or 'nothing'}",
                              printable(advice))  # fmt: skip

    def _in_order(self, returned: list[Any], owners: list[int]) -> dict[int, Any]:
        for k in owners:  # loss, grads: the gradients of a list of parameters
            value = self.all_inputs.values[k]
            if isinstance(value, (tuple, list)) and _shapes(value) == _shapes(returned):
                return self._of_argument(k, returned)
        names = self.names if len(self.names) == len(returned) else []
        known = {name: self.all_inputs.names.index(name) for name in self.all_inputs.names}
        places = [next((known[n] for n in names_for_gradient(name) if n in known), None) for name in names]
        named = {k: value for k, value in zip(places, returned, strict=False) if k in owners}
        arrays = [k for k in owners if _is_array(self.all_inputs.values[k])]
        not_labels = [k for k in arrays if self.all_inputs.names[k].lower() not in LABELS]
        fitting = [ks for ks in (owners, arrays, not_labels) if len(ks) == len(returned)]
        if fitting and len(fitting[0]) < len(owners):  # a bias may be a number: not the order tells which
            if len(named) == len(returned):
                return self._of_arguments(named)
            not_data, inputs = [k for k in owners if not _is_data(self.all_inputs.names[k])], self.all_inputs.values
            fitting.append(not_data)
            fitting.sort(key=lambda ks: _shapes([inputs[k] for k in ks]) != _shapes(returned))
        if fitting:
            return self._of_arguments(dict(zip(fitting[0], returned, strict=True)))
        if len(returned) == len(self.all_inputs.names):
            return self._of_arguments({k: returned[k] for k in owners})
        if named:
            gradients = self._of_arguments(named)
            self._require_all(gradients, set(names))
            return gradients
        raise self._error(counted(len(returned), "gradient"))

    def _from_one_array(self, returned: Any, owners: list[int]) -> dict[int, Any]:
        """Return the gradients if one array was returned: the input is found by name, if it is alone, or by shape."""
        names = names_for_gradient(self.names[0]) if len(self.names) == 1 else ()
        arrays = [k for k in owners if _is_array(self.all_inputs.values[k])]
        named = [k for k in owners if self.all_inputs.names[k] in names]
        of_same_shape = [k for k in arrays if np.shape(self.all_inputs.values[k]) == np.shape(raw(returned))]
        not_labels = [k for k in arrays if self.all_inputs.names[k].lower() not in LABELS]
        if is_float(raw(returned)) or np.asarray(raw(returned)).dtype.kind in "iub":
            for targets in (named, arrays if len(arrays) == 1 else [], not_labels if len(not_labels) == 1 else [],
                            of_same_shape[:1] if self.allows_missing else []):  # fmt: skip
                if targets:
                    return self._of_argument(targets[0], returned)
        raise self._error(f"a {type(returned).__name__}")

    def _of_arguments(self, gradients: Mapping[int, Any]) -> dict[int, Any]:
        return {i: part for k, value in gradients.items() for i, part in self._of_argument(k, value).items()}

    def _of_argument(self, k: int, value: Any) -> dict[int, Any]:
        """Return the gradients of the arrays of argument `k`, by their index."""
        indices = self.indices.get(k, [])
        name, is_one_of_several = self.all_inputs.names[k], len(self.indices) > 1
        is_number = isinstance(self.all_inputs.values[k], float)
        is_constant = name.lower() in LABELS or ((_is_data(name) or is_number) and is_one_of_several)
        if value is None and (self.allows_missing or is_constant):
            return {}
        if value is None:
            return {i: np.zeros(np.shape(self.all_inputs.leaves[i])) for i in indices}
        if isinstance(value, dict) and isinstance(self.all_inputs.values[k], dict):
            value = {key: value[key] for key in self.all_inputs.values[k] if key in value} | value
        arrays = flatten(value)[0]
        if len(arrays) != len(indices) and len(indices) == 1:
            arrays = [value]
        if len(arrays) != len(indices):
            raise self._error(f"{counted(len(arrays), 'array')} for {printable(self.all_inputs.names[k])}")
        return dict(zip(indices, arrays, strict=True))


def differ_by_ones_in_front(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Tell whether two different shapes are equal up to axes of length 1 in front."""
    short, long = sorted((shape, other), key=len)
    return len(short) < len(long) and long == (1,) * (len(long) - len(short)) + short


def _is_data(name: str) -> bool:
    """Tell whether an input is named as one that needs no gradient: data, labels, a cache, running statistics."""
    return name.lower() in DATA or is_cache(name) or name.lower().startswith(("running", "moving"))


def _last_key(label: str) -> str:
    """Return the last key of a label: ``W1`` for ``parameters['W1']``."""
    return label.rpartition("[")[2].strip("]'\"") if label.endswith("]") else label


def _is_array(value: Any) -> bool:
    """Tell whether an argument is an array, or a container of arrays only; options and Python numbers are not."""
    leaves = [raw(x) for x in flatten(value)[0]]
    return bool(leaves) and all(isinstance(x, (np.ndarray, np.generic)) for x in leaves)


def _shapes(value: Any) -> Any:
    return [*map(_shapes, value)] if isinstance(value, (tuple, list)) else np.shape(raw(value))


def _has_arrays(value: Any) -> bool:
    return any(isinstance(raw(x), np.ndarray) for x in flatten(value)[0])


def _to_float_array(value: Any, pairing: Pairing) -> Array:
    """Return a copy of a gradient as a floating-point array; raise TypeError if it is not numeric."""
    value = next((getattr(value, n)() for n in ("realize_cached_data", "numpy") if hasattr(value, n)), value)
    try:
        array = np.array(raw(value))
    except ValueError:  # arrays of several shapes
        raise pairing._error("a list of arrays for one array", _OWN) from None
    if array.dtype.kind not in "fciub":
        raise pairing._error("something that is not made of numbers")
    return array if array.dtype.kind in "fc" else array.astype(np.float64)
