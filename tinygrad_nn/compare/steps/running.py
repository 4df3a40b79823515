"""Run the user's two functions and record their values: the forward on Tensors, the backward on arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ...node import Node, recording
from ...tensor import Tensor, apply, raw
from ...transforms import alias, new_input
from ..conventions.reasons import Reason, disconnected, why_disconnected
from ..conventions.signatures import returned_names
from ..edits import RETURNED
from ..function.array_code import constants_with_dot, in_place_of, inputs_with_dot
from ..function.calling import COTANGENTS, Inputs, call_function
from ..function.locations import recording_locations
from ..user_function import module_names
from .arguments import arguments, results_of_cotangents
from .forward_values import Surroundings, as_arrays, holds_tensors, with_arrays
from .names import Names
from .statements import NOTHING, Statement
from .tracing import Binding, State, Trace, is_number, labelled_parts

Array = np.ndarray[Any, Any]


_SIDE = r"_?(forward|fwd|fw|backward|bwd|bw|backprop|back|gradient|grad)_?|^d_?(?=[a-z])"


class Version(NamedTuple):
    """A value that a name of the forward held: its node and Tensor, and the statement that bound it."""

    node: Node
    value: Tensor
    statement: Statement
    function: str
    rooms: set[str]  # the functions in which it has this name, as shortened by `name_stem`
    is_echo: bool = False  # it is a parameter with the same name as the value that was passed for it


class Forward(NamedTuple):
    """The record of a run of the forward.

    `versions` has the values of each name in the order of time, `outs` the results that are differentiated, `value` the
    whole return value, `cache` its other part, and `tensors` the inputs.
    """

    versions: dict[str, list[Version]]
    outs: list[Tensor]
    out_names: list[str]
    value: Any
    cache: Any
    tensors: list[Tensor]
    values: dict[str, Any]  # last Tensor of each name; a name of the forward itself wins over one of a helper function
    others: Mapping[str, Any] = MappingProxyType({})  # the forward's local names that hold no Tensor: sizes, masks
    codes: frozenset[CodeType] = frozenset()  # the functions that it ran

    def is_other(self, label: str, value: Any, is_own: bool) -> bool:
        """Tell whether a name holds the same non-Tensor as in the forward, so is no gradient: ``d_k = k.shape[1]``."""
        name, _, key = label.partition("[")
        name = name if name in self.others else key.strip("'\"]")  # d_k, or cache['d_k']
        if name not in self.others:
            return False
        other = self.others[name]
        return is_own or value is other or (isinstance(value, (int, float)) and type(value) is type(other)
                                            and bool(value == other))  # fmt: skip


class UserGradient(NamedTuple):
    """One gradient of the user: its name, the forward value it belongs to, and its content after each statement."""

    name: str
    belongs_to: str
    states: list[State]
    function: str
    rooms: set[str]
    round: int = 1
    is_echo: bool = False  # the same object was bound to this name before in another function, which returned it
    is_cotangent: bool = False  # it is the cotangent that was passed to the backward
    is_parameter: bool = False  # a call bound it


class Stopped(NamedTuple):
    """An error that a backward raised, and the statement of the backward in which it was raised."""

    error: Exception
    statement: Statement


class Backward(NamedTuple):
    """The record of a run of the backward.

    `gradients` has its gradients in the order of time, `helpers` names that look like gradients but belong to no value,
    `stopped` the error that it raised, if any, and `value` what it returned.
    """

    gradients: list[UserGradient]
    helpers: list[str]
    stopped: Stopped | None = None
    value: Any = None


class NoGraphError(TypeError):
    """Raised if a forward runs on arrays but not on Tensors, or converts them to arrays; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.sentence)
        self.reason = reason


class Passes(NamedTuple):
    """A run of both passes: the forward in float64 (`graph`), the cotangents of its results, the backward (`backward`).

    `user_forward` is the forward in the user's own dtype, `g` the cotangent in the form in which the backward takes it,
    `has_float32` tells whether any input or gradient is less precise than float64, and `surroundings` what the forward
    left for the backward, if both can be called again.
    """

    graph: Forward
    cotangents: list[Array]
    backward: Backward
    has_float32: bool
    user_forward: Forward
    g: Any
    surroundings: Surroundings | None = None


def run_forward(
    f: Callable[..., Any], inputs: Inputs, leaves: Sequence[Array], cotangents: Sequence[str] = ()
) -> Forward:
    """Run a forward on Tensors and record every name that held one.

    `cotangents` has the names of the backward's parameters for gradients of results.

    Raises:
        NoGraphError: it fails on Tensors, or loses them, but runs on arrays.
        ValueError: no result depends on the inputs by operations on Tensors.
        Exception: its own error, if it fails on arrays as well.
    """
    with recording(True), recording_locations():
        tensors = [new_input(np.array(x)) for x in leaves]
        for i, t in zip(inputs.float_indices, tensors, strict=True):
            t.name = inputs.labels[i]
        try:
            trace, value = _traced(f, tensors, inputs)
        except Exception as error:  # user code that was not written for Tensors may raise anything
            if not _runs(f, inputs, leaves):
                raise
            try:
                with constants_with_dot(f):
                    trace, value = _traced(f, tensors, inputs_with_dot(inputs))
            except Exception:
                raise NoGraphError(why_disconnected(error, f)) from error
    versions = versions_of_inputs(inputs, tensors)
    for b in trace.bindings:
        _record_version(versions, b.label, b.value, b.states[-1].statement, b.function, name_stem(b))
    loss, names, cache = results(value, f, cotangents)
    if isinstance(value, dict):
        for label, part in value.items():
            if isinstance(part, Tensor):
                _record_version(versions, str(label), part, trace.returned or NOTHING, "", "")
    last = {b.label: b.value for b in trace.bindings}
    last |= {b.label: b.value for b in trace.bindings if b.frame == 1}
    outs = [t for t in loss if t.node is not None]
    if not outs and _runs(f, inputs, leaves):
        raise NoGraphError(disconnected(", ".join(inputs.labels[i] for i in inputs.float_indices)))
    if not outs:
        raise ValueError(
            "compare_steps: what the forward returned does not depend on its inputs by operations on Tensors, so there "
            "is no graph. Return the loss, computed from the inputs: `return loss`; .data and .item() lose the graph."
        )
    return Forward(versions, outs, [n for n, t in zip(names, loss, strict=True) if t.node is not None], value, cache,
                   tensors, last, {k: v for k, v in trace.final_names.items() if k not in last and k != "self"},
                   frozenset(trace.codes))  # fmt: skip


def versions_of_inputs(inputs: Inputs, tensors: Sequence[Tensor]) -> dict[str, list[Version]]:
    """Return the first version of each name: the Tensors of the inputs."""
    return {inputs.labels[i]: [Version(t.node, t, NOTHING, "", {""})]  # type: ignore[arg-type]
            for i, t in zip(inputs.float_indices, tensors, strict=True)}  # fmt: skip


def _traced(f: Any, tensors: Sequence[Tensor], inputs: Inputs) -> tuple[Trace, Any]:
    """Run a forward on Tensors and record every name that held one of this run; an object may hold older ones."""
    first = min((t.node.index for t in tensors if t.node is not None), default=0)
    trace = Trace(
        lambda label, value: isinstance(value, Tensor) and (value.node is None or value.node.index >= first),
        replace_argument=_alias_parameter,
    )  # fmt: skip
    values = inputs.with_leaves(tensors)
    named = dict(zip(inputs.names, values, strict=True)) if inputs.by_name else {}
    return trace, trace.run(f, *([] if inputs.by_name else values), **named)


def name_stem(b: Binding) -> str:
    """Return the part of a function's name that both passes share: "affine" for affine_backward.

    For the outermost function it is "".
    """
    return "" if b.frame == 1 else re.sub(_SIDE, "", b.function).strip("_")


def _record_version(
    versions: dict[str, list[Version]], label: str, value: Tensor, statement: Statement, function: str, room: str
) -> None:
    if value.node is not None and value.data.dtype.kind in "fc":
        name_versions = versions.setdefault(label, [])
        recorded = next((v for v in name_versions if v.node is value.node), None)
        if recorded is not None:
            recorded.rooms.add(room)
        else:
            of = (value.node.parents or (None,))[0] if value.node.primitive is alias else None
            is_echo = any(v.node is of for v in name_versions)
            name_versions.append(Version(value.node, value, statement, function, {room}, is_echo))


def _alias_parameter(value: Any) -> Any:
    """Return an alias node for a Tensor that is passed to a function: the parameter then has a gradient of its own."""
    return apply(alias, (value,)) if isinstance(value, Tensor) and value.node is not None else value


def results(value: Any, f: Any = None, cotangents: Sequence[str] = ()) -> tuple[list[Tensor], list[str], Any]:
    """Split what a forward returned into the Tensors that are differentiated, their names ("" if none), and the cache.

    A single number is taken as the loss rather than an array. Of several numbers it is the last; of a dict, an entry
    that is named as a loss or output comes first. If the backward takes the gradients `cotangents` of several results,
    it is these results.
    """
    if isinstance(value, Tensor):
        return [value], [""], None
    if isinstance(value, dict):
        tensors = {str(k): t for k, t in value.items() if isinstance(t, Tensor)}
        chosen = [[*tensors][k] for k in results_of_cotangents(cotangents, [*tensors]).values()]
        if chosen:
            return [tensors[k] for k in chosen], chosen, value
        named = [k for k in tensors if k.lower() in ("loss", "cost", "l", "out", "output")]
        numbers = [k for k, t in tensors.items() if t.size == 1]
        chosen = (named or numbers or list(tensors))[-1:]
        return [tensors[k] for k in chosen], chosen, value
    if isinstance(value, (tuple, list)):
        flat = [t for t in value if isinstance(t, Tensor)]
        rest = [t for t in value if not isinstance(t, Tensor)]
        cache = rest[0] if len(rest) == 1 else tuple(rest) or value
        names = [name for name, t in zip(returned_names(f, len(value)), value, strict=True) if isinstance(t, Tensor)]
        places = [*results_of_cotangents(cotangents, names).values()]
        if places:
            return [flat[k] for k in places], [names[k] for k in places], cache
        numbers_too = [t for t in flat if t.size == 1 and t.node is not None]
        if numbers_too:
            return numbers_too[-1:], [""], cache
        if rest and flat:
            return flat[:1], [""], cache
        return flat, [""] * len(flat), cache
    return [], [], None


def _runs(f: Callable[..., Any], inputs: Inputs, leaves: Sequence[Array]) -> bool:
    try:
        call_function(f, inputs, leaves)
    except Exception:  # user code may raise anything
        return False
    return True


def run_backward(
    backward: Callable[..., Any], inputs: Inputs, forward: Forward, g: Any, names: Names
) -> Backward:
    """Run a backward on arrays and record its gradients; if it raises an error, those computed before the error."""
    copies: dict[Any, Any] = {}
    args, kwargs = arguments(backward, inputs, forward, g, copies)
    backward = with_arrays(backward, copies)
    space = module_names(backward) or {}
    module_arrays = {name: as_arrays(part, copies) for name, part in space.items() if holds_tensors(part)}
    copy_ids = {id(x) for x, _ in copies.values()}
    helpers: dict[str, None] = {}

    def has_shape(label: str, value: Array) -> bool:
        value_label = names.of(label)
        return any(v.value.shape == value.shape for v in forward.versions.get(value_label or "", ()))

    def is_wanted(label: str, value: Any) -> bool:
        is_mask = isinstance(value, np.ndarray) and value.dtype.kind == "b"  # (x > 0) without what it multiplies
        if not is_number(value) and not (is_mask and has_shape(label, value)):
            return False
        is_own = id(value) in copy_ids  # the array was passed in from the forward
        if forward.is_other(label, value, is_own):
            return False
        if names.of(label) is None:
            known = is_own or label in forward.values or label in COTANGENTS
            if not known and label.startswith(("d", "grad")):
                helpers[label] = None
            return False
        return not (is_own and label in names.value_names)

    trace = Trace(is_wanted)
    cotangent_ids = {id(x) for x in (g if isinstance(g, tuple) else (g,))}
    stopped = None
    returned = None
    try:
        with np.errstate(all="ignore"), in_place_of(space, module_arrays):
            returned = trace.run(backward, *args, **kwargs)
    except Exception as error:  # user code may raise anything
        stopped = Stopped(error, trace.returned or NOTHING)
        trace.leave_out_unfinished(backward)
    gradients = [*collected(trace.bindings, names, cotangent_ids), *_returned(returned, inputs, trace, names)]
    gradients = [gradient for gradient in gradients if not _is_size(gradient, gradients, forward, returned)]
    if stopped and not gradients:
        raise stopped.error
    return Backward(gradients, list(dict.fromkeys(label.partition("[")[0] for label in helpers)), stopped, returned)


def _is_size(gradient: UserGradient, gradients: Sequence[UserGradient], forward: Forward, returned: Any) -> bool:
    """Tell whether a name such as ``d_k = k.shape[1]`` holds a size and no gradient: an integer, not returned."""
    last = gradient.states[-1].array
    shapes = [v.value.shape for v in forward.versions.get(gradient.belongs_to, ())]
    if last.ndim or last.dtype.kind not in "iu" or gradient.states[0].added or not shapes or () in shapes:
        return False
    values = list(returned.values()) if isinstance(returned, dict) else returned
    if any(np.ndim(x) == 0 and x == last for x in (values if isinstance(values, (tuple, list)) else [values])):
        return False
    has_other = any(g.belongs_to == gradient.belongs_to and g.name != gradient.name for g in gradients)
    return has_other or re.search(r"\.(shape|size|ndim)\b|\blen\(", gradient.states[-1].statement.text) is not None


def collected(bindings: Sequence[Binding], names: Names, cotangent_ids: set[int]) -> list[UserGradient]:
    """Return the gradients of a backward from the bindings of its names.

    Bindings are joined into one gradient if the same array is bound again, as when it is passed to a function, or if
    a statement adds to the name.
    """
    gradients: list[UserGradient] = []
    current: dict[tuple[int, str], UserGradient] = {}
    objects: dict[str, tuple[Any, UserGradient, int]] = {}  # last object bound to a name, its gradient, the call
    for b in bindings:
        value_label = names.of(b.label)
        if value_label is None:
            continue
        states = b.own_states(names.of)
        before, present = objects.get(b.label), current.get((b.frame, b.label))
        if before is not None and before[0] is b.value and (before[2] == b.frame or (b.is_parameter and (
                not b.outer_calls or before[2] in b.outer_calls))):  # fmt: skip
            gradient = before[1]
            gradient.states.extend(states[1:])
        elif present is not None and b.states[0].added:
            gradient = present
            gradient.states.extend(states)
        else:
            is_echo = before is not None and before[0] is b.value
            is_cotangent = id(b.value) in cotangent_ids and b.frame == 1 and b.is_parameter
            gradient = UserGradient(b.label, value_label, states, b.function, set(), 0, is_echo, is_cotangent,
                                    b.is_parameter)  # fmt: skip
            gradients.append(gradient)
        gradient.rooms.add(name_stem(b))
        current[b.frame, b.label] = gradient
        objects[b.label] = b.value, gradient, b.frame
    gradients.sort(key=lambda gradient: gradient.states[-1].time)
    rounds: dict[str, int] = {}
    for k, gradient in enumerate(gradients):
        rounds[gradient.name] = rounds.get(gradient.name, 0) + 1
        gradients[k] = gradient._replace(round=rounds[gradient.name])
    return gradients


def _returned(value: Any, inputs: Inputs, trace: Trace, names: Names) -> list[UserGradient]:
    """Return the gradients among the results of a backward that no name of the backward held."""
    statement = trace.returned or NOTHING
    named = {b.label: b for b in trace.bindings}
    floats = list(dict.fromkeys(inputs.owner[i] for i in inputs.float_indices))
    labelled: list[tuple[str, str, Any, str]] = []
    if isinstance(value, dict):
        for label, part in labelled_parts("gradients", value):
            key = label[len("gradients['") : -2]
            value_label = names.of(label) or (key if key in names.value_names else None)
            labelled += [(key, value_label, part, f"{RETURNED}[{key!r}]")] if value_label else []
    elif isinstance(value, (tuple, list)) and len(value) in (len(floats), len(inputs.names)):
        input_numbers = floats if len(value) == len(floats) else range(len(inputs.names))
        for i, (k, part) in enumerate(zip(input_numbers, value, strict=True)):
            labelled.append((f"gradient of {inputs.names[k]}", inputs.names[k], part, f"{RETURNED}[{i}]"))
    elif is_number(value) and len(floats) == 1:
        labelled.append((f"gradient of {inputs.names[floats[0]]}", inputs.names[floats[0]], value, RETURNED))
    gradients = []
    for name, value_label, part, label in labelled:
        if not is_number(part) or value_label not in names.value_names or name in named:
            continue
        array = np.array(raw(part))
        if any(names.of(b.label) == value_label and b.states[-1].array.shape == array.shape
               and np.array_equal(b.states[-1].array, array, equal_nan=True) for b in trace.bindings):  # fmt: skip
            continue
        gradients.append(UserGradient(name, value_label, [State(statement, array, label=label)], "", {""}))
    return gradients
