"""The convention of objects with forward and backward: their parameters are differentiated as well as the inputs.

One run shows which of an object's arrays are parameters: those that the forward does not replace and that have a
gradient afterwards. The gradient is ``self.dW`` beside ``self.W``, ``grads`` beside ``params``, ``p.grad`` beside
``p.data``; or ``backward(dout, learning_rate)`` changed the array, and the gradient follows from the difference.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...gradcheck.numerical import is_float
from ...tensor import Tensor
from ...tree import flatten
from ..behaviour import same_results
from ..function.calling import COTANGENTS, Inputs, inputs_in_order, make_inputs
from .code import Code, same_draws
from .returned import LABELS
from .signatures import instance_of, is_gradient_name, names_for_gradient, parameters, returned_names
from .value_with_gradients import besides_value, value_position

Array = np.ndarray[Any, Any]
Path = tuple[Any, ...]

FORWARDS = ("forward", "__call__", "forward_pass", "feed_forward", "feedforward", "forward_prop", "forward_propagation",
            "fprop")  # fmt: skip
BACKWARDS = ("backward", "backward_pass", "back_prop", "backprop", "backward_prop", "backpropagation",
             "back_propagation", "backward_propagation", "bprop")  # fmt: skip
PAIRS = (*((f, b) for b in BACKWARDS for f in FORWARDS),
         ("loss", "gradient"), ("loss", "grad"), ("__call__", "gradient"))  # fmt: skip
PARAMS = ("params", "parameters", "weights", "param", "theta", "variables", "_params", "_parameters")
GRADS = ("grads", "gradients", "grad", "dparams", "d_params", "dweights", "param_grads", "_grads", "gradient")
RESULTS = ("output", "out", "outputs", "loss", "y", "a", "z")
RATES = ("learning_rate", "lr", "eta", "alpha", "step_size", "rate")
OPTIMIZER = re.compile(r"(^|[._])opt(im|imizers?)?(_|$)")  # as in self.opt.m and self.opt_state
RATE = 2.0**20  # a power of two, so that a step this long and its division lose no digits of the gradient
DEPTH = 6  # levels of attributes and containers that are searched for arrays
RETURNED = "returned"  # first key of a path into the dict that the backward returned, not into the object


class ObjectLayout(NamedTuple):
    """How an object is run: its two methods, and the paths to each parameter and to its gradient.

    A gradient path of () means that the backward updates the parameter itself. If `backward` is "", the method
    `forward` returns a loss together with the gradients. `changed` names arrays that the backward changes, and whose
    gradients are not known. If `first_only`, the backward takes the gradient of the first of several results.
    """

    forward: str
    backward: str
    parameters: dict[str, Path]
    gradients: dict[str, Path]
    changed: tuple[str, ...] = ()
    first_only: bool = False


def methods(f: Any) -> tuple[str, str] | None:
    """Return the names of an object's forward and backward methods, or None if it has none.

    The second name is "" for a bound method, and for a method `loss` that returns its gradients with the loss.
    """
    cls = f if isinstance(f, type) else type(f)
    if inspect.ismethod(f):
        return None if isinstance(f.__self__, type) else (f.__name__, "")
    if inspect.isroutine(f) or inspect.ismodule(f) or isinstance(f, (list, tuple, dict)):
        return None
    own = {name for c in cls.__mro__ for name in vars(c)}  # getattr would find the __call__ of type
    names = next((p for p in PAIRS if own.issuperset(p) and all(callable(getattr(cls, name)) for name in p)), None)
    has_loss_only = not callable(f) and callable(getattr(cls, "loss", None))  # `loss` returns its gradients as well
    return names or (("loss", "") if has_loss_only else None)


def read_object(f: Any, user_inputs: Any, backward_name: str = "") -> Code:
    """Return the `Code` of an object with forward and backward, which also differentiates the object's parameters.

    If `f` is a bound method, its object is used, with the method named `backward_name` as the backward, or with none.

    Raises:
        TypeError: there is nothing to differentiate.
    """
    obj = instance_of(f) if isinstance(f, type) else f.__self__ if inspect.ismethod(f) else f
    forward, backward = methods(f) or PAIRS[0]
    backward = backward or backward_name
    data = inputs_in_order(getattr(obj, forward), user_inputs)
    candidates = dict(_arrays(obj, (), set()))
    layout = ObjectLayout(forward, backward, {}, {})
    try:
        layout = _find_parameters(obj, layout, data, candidates)
    except (TypeError, ValueError, AttributeError):
        if not isinstance(_forward(copy.deepcopy(obj), layout, data.with_leaves(_leaves(data))), tuple):
            raise
        layout = _find_parameters(obj, layout._replace(first_only=True), data, candidates)
    values = [*data.values, *(candidates[path].copy() for path in layout.parameters.values())]
    inputs = make_inputs([*data.names, *layout.parameters], values)
    if not inputs.float_indices:
        raise TypeError(
            f"compare_gradients: no input is made of floats, and no array of {type(obj).__name__} has a gradient after "
            f"{backward or forward}: there is nothing to compare. Set self.dW for self.W, or grads for params."
        )
    count = len(data.names)
    takes_cotangents = _takes_cotangent(obj, layout, data)

    def run(now: Inputs, leaves: Sequence[Any]) -> Any:
        values = now.with_leaves(leaves)
        return _forward(_copy_with_parameters(obj, candidates, layout, values[count:]), layout, values[:count])

    def back(now: Inputs, leaves: Sequence[Array], g: Any) -> Any:
        values = now.with_leaves(leaves)
        parameter_arrays = [np.array(x) for x in values[count:]] if () in layout.gradients.values() else values[count:]
        twin = _copy_with_parameters(obj, candidates, layout, parameter_arrays)
        _forward(twin, layout, values[:count])
        before = {label: np.array(_value_at(twin, path)) for label, path in layout.parameters.items()}
        returned = _backward(
            twin, layout, dict(zip(now.names[:count], values[:count], strict=True)), g, takes_cotangents
        )
        grads = _input_gradients(returned, twin, now.names[:count], data)
        for label, path in layout.gradients.items():
            after = returned[path[1]] if path[:1] == (RETURNED,) else _value_at(twin, path or layout.parameters[label])
            grads[label] = after if path else (before[label] - after) / RATE
        return grads

    places = [p for p in layout.gradients.values() if p]
    places_text = [f"returned as {p[1]}" if p[0] == RETURNED else _label(p) for p in places]
    methods_text = (
        f"{forward} and {backward}" if backward else f"{forward}, which returns gradients along with its value"
    )
    note = f"Treated as an object with {methods_text}. "
    note += f"Its parameters: {', '.join(layout.parameters)}; their gradients: " if layout.parameters else (
        "No array of its own has a gradient afterwards.")  # fmt: skip
    note += f"{', '.join(places_text)}." if places_text else (
        "what the backward subtracts, over the learning rate." if layout.parameters else "")  # fmt: skip
    note += f" Only the first of the results is compared, whose gradient {backward} takes." * layout.first_only
    if layout.changed:
        note += (f" {backward} changes {', '.join(layout.changed)}, whose gradients it does not tell: store them, such "
                 f"as self.d{layout.changed[0]}, to compare them.")  # fmt: skip
    without_gradient = _without_gradient(candidates, layout)
    note += f" No gradient of {', '.join(without_gradient)} was found after the backward." if without_gradient else ""
    return Code(type(obj).__name__, inputs, run, back, takes_cotangents, getattr(type(obj), forward), notes=(note,),
                early=_early_update(obj, layout, data, takes_cotangents), allows_missing=True)  # fmt: skip


def _early_update(obj: Any, layout: ObjectLayout, data: Inputs, takes_cotangents: bool) -> str:
    """Return a sentence if what a backward returns depends on its learning rate: it updates too early; else ""."""
    if () not in layout.gradients.values():
        return ""
    returned = []
    for rate in (RATE, 0.0):
        twin, values = copy.deepcopy(obj), data.with_leaves(_leaves(data))
        g = _ones(_forward(twin, layout, values))
        returned.append(_backward(twin, layout, dict(zip(data.names, values, strict=True)), g, takes_cotangents, rate))
    if same_results(*([np.asarray(x) for x in flatten(part)[0] if is_float(x)] for part in returned)):
        return ""
    return (f"What {layout.backward} returns depends on its learning rate, so it updates a parameter that it uses "
            f"afterwards. Compute all gradients before the update. (It was called with the rate {RATE:.0f}, so wrong "
            "gradients are large.)")  # fmt: skip


def has_parameters(method: Any, user_inputs: Any) -> bool:
    """Tell whether a bound method returns gradients of arrays that its object holds."""
    try:
        data = inputs_in_order(method, user_inputs)
        obj = method.__self__
        return bool(
            _find_parameters(
                obj, ObjectLayout(method.__name__, "", {}, {}), data, dict(_arrays(obj, (), set()))
            ).parameters
        )
    except TypeError:
        return False


# -- Paths into an object.


def _arrays(value: Any, path: Path, visited: set[int]) -> Iterator[tuple[Path, Array]]:
    """Yield the floating-point arrays that an object holds with their paths, each array once, shortest path first."""
    queue: list[tuple[Path, Any]] = [(path, value)]
    while queue:
        current_path, current = queue.pop(0)
        if isinstance(current, np.ndarray):
            if current.dtype.kind in "fc" and id(current) not in visited:
                visited.add(id(current))
                yield current_path, current
            continue
        if len(current_path) <= DEPTH and id(current) not in visited:
            visited.add(id(current))
            queue += [((*current_path, key), part) for key, part in _parts(current)]


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """Return the parts of an object with their keys: ".name" for an attribute, else the dict key or list index."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    plain = isinstance(value, (str, bytes, int, float, complex, type, np.generic, np.random.Generator, Tensor))
    if plain or callable(getattr(value, "__code__", None)) or inspect.isroutine(value) or inspect.ismodule(value):
        return []
    names = list(getattr(value, "__dict__", {}))
    names += [n for cls in type(value).__mro__ for n in getattr(cls, "__slots__", ()) if hasattr(value, n)]
    return [(("." + name), getattr(value, name)) for name in names]


def _value_at(value: Any, path: Path) -> Any:
    for key in path:
        attribute = isinstance(key, str) and key.startswith(".") and not isinstance(value, Mapping)
        value = getattr(value, key[1:]) if attribute else value[key]
    return value


def _label(path: Path) -> str:
    text = "".join(key if isinstance(key, str) and key.startswith(".") else f"[{key!r}]" for key in path)
    return text.removeprefix(".")


def _copy_with_parameters(
    obj: Any, candidates: Mapping[Path, Array], layout: ObjectLayout, values: Sequence[Any]
) -> Any:
    """Return a deep copy of an object with other parameter arrays, in every place that holds them."""
    memo: dict[int, Any] = {id(candidates[p]): v for p, v in zip(layout.parameters.values(), values, strict=False)}
    return copy.deepcopy(obj, memo)


# -- One run.


def _forward(twin: Any, layout: ObjectLayout, values: Sequence[Any]) -> Any:
    with same_draws():
        out = getattr(twin, layout.forward)(*values)
    if not layout.backward:
        return out[value_position(out)]
    if out is None:  # the result is left in an attribute
        name = next((n for n in RESULTS if getattr(twin, n, None) is not None), None)
        if name is None:
            raise TypeError(
                f"compare_gradients: {type(twin).__name__}.{layout.forward} returned nothing, and set none of "
                f"{', '.join(RESULTS)}. It must return its result."
            )
        out = getattr(twin, name)
    return out[0] if layout.first_only else out


def _takes_cotangent(obj: Any, layout: ObjectLayout, data: Inputs) -> bool:
    """Tell whether the backward is given a cotangent.

    It is not if it has no parameter for one, or if the result is a single number and the parameter has a default.
    """
    if not layout.backward:
        return False
    other_parameters = [
        p for p in parameters(getattr(obj, layout.backward)) if p.name not in data.names and p.name not in RATES
    ]
    if not other_parameters:
        return False
    scalar = np.size(_forward(copy.deepcopy(obj), layout, data.with_leaves(_leaves(data)))) == 1
    return other_parameters[0].default is inspect.Parameter.empty or not scalar


def _leaves(data: Inputs) -> list[Array]:
    return [np.array(data.leaves[i]) for i in data.float_indices]


def _backward(
    twin: Any, layout: ObjectLayout, inputs_by_name: Mapping[str, Any], g: Any, takes_cotangents: bool,
    rate: float = RATE,
) -> Any:  # fmt: skip
    """Call the backward, with arguments chosen by parameter name: inputs, a learning rate, the cotangent."""
    if not layout.backward:
        with same_draws():
            value = getattr(twin, layout.forward)(*inputs_by_name.values())
        return besides_value(value, value_position(value))
    kwargs: dict[str, Any] = {}
    for p in parameters(getattr(twin, layout.backward)):
        if p.name in inputs_by_name and p.name not in COTANGENTS:
            kwargs[p.name] = inputs_by_name[p.name]
        elif p.name in RATES:
            kwargs[p.name] = rate
        elif takes_cotangents and g is not None:
            kwargs[p.name], g = g, None
        elif p.default is p.empty:
            raise TypeError(
                f"compare_gradients: {type(twin).__name__}.{layout.backward} has a parameter {p.name!r}, for which "
                f"there is no value: it can take the gradient of the result, and inputs of {layout.forward} by name "
                f"({', '.join(inputs_by_name)}). Give it a default, or set it on the object."
            )
    backward = getattr(twin, layout.backward)
    return _named(twin, backward(**kwargs), backward, inputs_by_name)


def _named(twin: Any, returned: Any, backward: Any, inputs: Mapping[str, Any]) -> Any:
    """Return a tuple such as ``dx, dW, db`` as a dict, if some of these names belong to arrays of the object."""
    names = returned_names(backward, len(returned)) if isinstance(returned, tuple) else []
    owners = [names_for_gradient(name)[0] for name in names]
    if not any(is_gradient_name(n) and o not in inputs and _owns(twin, o) for n, o in zip(names, owners, strict=True)):
        return returned
    return {o if o in inputs else n: r for n, o, r in zip(names, owners, returned, strict=True)}


def _owns(twin: Any, name: str) -> bool:
    return any(str(key).removeprefix(".") == name and isinstance(part, np.ndarray) for key, part in _parts(twin))


def _input_gradients(returned: Any, twin: Any, names: Sequence[str], data: Inputs) -> dict[str, Any]:
    """Return the gradients of the forward's inputs by name, taken from the return value or from attributes."""
    differentiated = list(dict.fromkeys(data.names[data.owner[i]] for i in data.float_indices))
    if isinstance(returned, Mapping):
        return {key: value for key, value in returned.items() if key in differentiated}
    if isinstance(returned, (tuple, list)):
        own = {id(part) for key, part in _parts(twin) if is_gradient_name(str(key).removeprefix(".").lstrip("_"))}
        if returned and all(id(r) in own for r in returned):  # gradients of parameters, which are attributes too
            return {}
        gradient_names = names if len(returned) == len(names) else differentiated
        return {n: r for n, r in zip(gradient_names, returned, strict=False) if n in differentiated and r is not None}
    if returned is not None:
        no_labels = [n for n in differentiated if n.lower() not in LABELS]
        return {(no_labels or differentiated)[0]: returned} if differentiated else {}
    gradients = {}
    for key, part in _parts(twin):
        candidate_names = names_for_gradient(key[1:])
        if len(candidate_names) > 1 and is_float(part):
            name = next(
                (
                    n
                    for n in differentiated
                    if n.lower() in (candidate_names[0].lower(), candidate_names[0].lower() + "s")
                ),
                None,
            )
            name = (
                differentiated[0]
                if name is None and differentiated and candidate_names[0].lower() in ("x", "input", "inputs")
                else name
            )
            gradients.update({name: part} if name is not None else {})
    return gradients


# -- Which arrays are parameters, and where their gradients are.


def _find_parameters(obj: Any, layout: ObjectLayout, data: Inputs, candidates: Mapping[Path, Array]) -> ObjectLayout:
    """Run an object once, and return `layout` with the paths of the arrays that have a gradient afterwards."""
    values = data.with_leaves(_leaves(data))
    twin = copy.deepcopy(obj)
    before = {path: _value_or_none(twin, path) for path in candidates}  # a cache is replaced by the forward
    out = _forward(twin, layout, values)
    unreplaced = {path: x for path, x in candidates.items() if _value_or_none(twin, path) is before[path]}
    takes_cotangents = _takes_cotangent(obj, layout, data)
    after_forward = {path: np.array(_value_or_none(twin, path)) for path in unreplaced}
    with np.errstate(all="ignore"):
        returned = _backward(twin, layout, dict(zip(data.names, values, strict=True)), _ones(out), takes_cotangents)
    has_rate = layout.backward and any(p.name in RATES for p in parameters(getattr(twin, layout.backward)))
    parameter_paths: dict[str, Path] = {}
    gradient_paths: dict[str, Path] = {}
    changed = []
    for path in unreplaced:
        place = _in_returned(returned, path) or _gradient_path(twin, path)
        current = _value_or_none(twin, path)
        is_changed = current is None or not np.array_equal(current, after_forward[path])
        is_changed &= not _is_gradient(path)
        if place is None and is_changed and has_rate:
            place = ()
        if place is not None:
            parameter_paths[_label(path)], gradient_paths[_label(path)] = path, place
        elif is_changed and not any(OPTIMIZER.search(str(key).lower()) for key in path):
            changed.append(_label(path))
    return layout._replace(parameters=parameter_paths, gradients=gradient_paths, changed=tuple(changed))


def _ones(out: Any) -> Any:
    if isinstance(out, (tuple, list)):
        return type(out)(_ones(o) for o in out)
    return np.ones(np.shape(out))


def _value_or_none(twin: Any, path: Path) -> Any:
    """Return the value at a path, or None if there is none."""
    try:
        return _value_at(twin, path)
    except (AttributeError, KeyError, IndexError, TypeError):
        return None


def _is_gradient(path: Path) -> bool:
    names = [str(key).removeprefix(".") for key in path]
    return any(name in GRADS for name in names[:-1]) or is_gradient_name(names[-1])


def _in_returned(returned: Any, path: Path) -> Path | None:
    """Return the path to the gradient of an array in the dict that the backward returned, or None."""
    if not isinstance(returned, Mapping):
        return None
    last = str(path[-1]).removeprefix(".")
    key = next((k for k in returned if last in names_for_gradient(str(k))), None)
    return None if key is None else (RETURNED, key)


def _gradient_path(twin: Any, path: Path) -> Path | None:
    """Return the path at which an object holds the gradient of one of its arrays, or None."""
    *above, key = path
    tried: list[Path] = []
    holder = _value_at(twin, tuple(above))
    beside = [k for k, _ in _parts(holder)]
    if isinstance(key, str):
        bare = key.removeprefix(".").lstrip("_").lower()
        for other in beside:
            name = str(other).removeprefix(".").lstrip("_")
            belongs = [n.lower() for n in names_for_gradient(name)]
            if len(belongs) > 1 and belongs[0] == bare:
                tried.append((*above, other))
        if bare in ("data", "value", "val"):
            tried += [(*above, other) for other in beside if str(other) in (".grad", ".gradient")]
    container = str(above[-1]).removeprefix(".").lstrip("_") if above else ""
    tried += [(*above[:-1], k, key) for k, part in (_parts(_value_at(twin, tuple(above[:-1]))) if above else ())
              if is_gradient_name(n := str(k).removeprefix(".").lstrip("_")) and names_for_gradient(n)[0] == container
              and key in dict(_parts(part))]  # fmt: skip
    if container in PARAMS:
        for k, part in _parts(_value_at(twin, tuple(above[:-1]))):
            if str(k).removeprefix(".") in GRADS:
                names = [key, f"d{key}", f"d_{key}", f"grad_{key}"] if isinstance(key, str) else [key]
                inside = dict(_parts(part))
                tried += [(*above[:-1], k, n) for n in names if n in inside]
    for place in tried:
        if is_float(_value_at(twin, place)) and place != path:
            return place
    return None


def _without_gradient(candidates: Mapping[Path, Array], way: ObjectLayout) -> list[str]:
    """Return the labels of arrays in a container named as parameters that have no gradient after a run."""
    return [_label(p) for p in candidates if any(str(k).removeprefix(".") in PARAMS for k in p[:-1])
            and _label(p) not in way.parameters and not _is_gradient(p) and not any(candidates[p] is candidates[q]
                                                            for q in way.parameters.values())]  # fmt: skip
