"""Both passes of a person, run and watched: the forward on Tensors, the backward on arrays."""

from __future__ import annotations

import copy
import inspect
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ...node import Node, recording
from ...printable import printable
from ...tensor import Tensor, apply, raw
from ...transforms import alias, enter
from ..conventions.reasons import Reason, left, why
from ..function.calling import COTANGENTS, Inputs, call_function
from ..function.places import noting_places
from .names import Names, stems
from .statements import Statement
from .tracing import Binding, State, Trace, Value, is_number, parts

Array = np.ndarray[Any, Any]
WHOLE = ("cache", "caches", "saved", "ctx", "context", "ns", "namespace", "values", "v", "state", "intermediates",
         "locals", "forward", "tape", "memory")  # fmt: skip


_SIDE = r"_?(forward|fwd|fw|backward|bwd|bw|backprop|back|gradient|grad)_?|^d_?(?=[a-z])"


class Version(NamedTuple):
    """A value of the forward under a name: its Node, and the statement that gave it."""

    node: Node
    value: Tensor
    statement: Statement
    function: str
    rooms: set[str]  # the functions in which it has this name, see `room`
    echo: bool = False  # a parameter that has the name of what was passed for it


class Forward(NamedTuple):
    """What a run of the forward left: versions of each name in time, results, what it returned, its inputs."""

    versions: dict[str, list[Version]]
    outs: list[Tensor]
    out_names: list[str]
    value: Any
    cache: Any
    tensors: list[Tensor]
    values: dict[str, Any]  # of the names of the forward itself, at its end
    others: Mapping[str, Any] = MappingProxyType({})  # what is no Tensor under its own names: sizes, lists, masks

    def is_other(self, label: str, value: Any, own: bool) -> bool:
        """Tell whether a name of the backward holds what it held in the forward: ``d_k = k.shape[1]``, no gradient."""
        name, _, key = label.partition("[")
        name = name if name in self.others else key.strip("'\"]")  # d_k, or cache['d_k']
        if name not in self.others:
            return False
        there = self.others[name]
        return own or value is there or (isinstance(value, (int, float)) and type(value) is type(there)
                                         and bool(value == there))  # fmt: skip


class Given(NamedTuple):
    """One gradient of the person: its name, the intermediate, and what it held after each statement."""

    name: str
    belongs_to: str
    states: list[State]
    function: str
    rooms: set[str]
    round: int = 1
    echo: bool = False  # what a function returned, under the name that it had there
    handed: bool = False  # what the backward was given


class Stopped(NamedTuple):
    """An error that a backward raised, and the statement of its own in which it did."""

    error: Exception
    statement: Statement


class Backward(NamedTuple):
    """What a run of the backward left: its gradients in time, names that belong to no value, an error."""

    found: list[Given]
    helpers: list[str]
    stopped: Stopped | None = None
    value: Any = None


class NoGraphError(TypeError):
    """A forward that runs on arrays, and not on Tensors, or leaves them: `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.sentence)
        self.reason = reason


class Passes(NamedTuple):
    """A run of both passes: the forward in float64, the cotangents of its results, the backward.

    `mine` is the forward in the person's own dtype, `g` the cotangent as the backward takes it.
    """

    graph: Forward
    cotangents: list[Array]
    written: Backward
    single: bool
    mine: Forward
    g: Any


def run_forward(f: Callable[..., Any], inputs: Inputs, leaves: Sequence[Array]) -> Forward:
    """Run a forward on Tensors and write down every name that held one."""
    with recording(True), noting_places():
        tensors = [enter(np.array(x)) for x in leaves]
        for i, t in zip(inputs.moving, tensors, strict=True):
            t.name = inputs.labels[i]
        values = inputs.with_leaves(tensors)
        trace = Trace(lambda label, value: isinstance(value, Tensor), copies=False, passed=_entered)
        named = dict(zip(inputs.names, values, strict=True)) if inputs.by_name else {}
        try:
            value = trace.run(f, *([] if inputs.by_name else values), **named)
        except Exception as error:  # whatever a person's function may raise that was never meant for Tensors
            if not _runs(f, inputs, leaves):
                raise
            raise NoGraphError(why(error, f)) from error
    nothing = Statement(0, 0, "")
    versions: dict[str, list[Version]] = {}
    for i, t in zip(inputs.moving, tensors, strict=True):
        versions[inputs.labels[i]] = [Version(t.node, t, nothing, "", {""})]  # type: ignore[arg-type]
    for b in trace.bindings:
        _note(versions, b.label, b.value, b.states[-1].statement, b.function, room(b))
    loss, names, cache = results(value)
    if isinstance(value, dict):
        for label, part in value.items():
            if isinstance(part, Tensor):
                _note(versions, str(label), part, trace.returned or nothing, "", "")
    last = {b.label: b.value for b in trace.bindings}
    last |= {b.label: b.value for b in trace.bindings if b.frame == 1}
    outs = [t for t in loss if t.node is not None]
    if not outs and _runs(f, inputs, leaves):
        raise NoGraphError(left(", ".join(inputs.labels[i] for i in inputs.moving)))
    if not outs:
        raise ValueError(
            "compare_steps: what the forward returned does not depend on its inputs by operations on Tensors, so there "
            "is no graph. Return the loss, computed from the inputs: `return loss`; .data and .item() lose the graph."
        )
    return Forward(versions, outs, [n for n, t in zip(names, loss, strict=True) if t.node is not None], value, cache,
                   tensors, last, {k: v for k, v in trace.left.items() if k not in last and k != "self"})  # fmt: skip


def room(b: Binding) -> str:
    """Return the part of a function's name that both passes share, ``affine`` of affine_backward; "" of the first."""
    return "" if b.frame == 1 else re.sub(_SIDE, "", b.function).strip("_")


def _note(
    versions: dict[str, list[Version]], label: str, value: Tensor, statement: Statement, function: str, where: str
) -> None:
    if value.node is not None and value.data.dtype.kind in "fc":
        mine = versions.setdefault(label, [])
        there = next((v for v in mine if v.node is value.node), None)
        if there is not None:
            there.rooms.add(where)
        else:
            of = (value.node.parents or (None,))[0] if value.node.primitive is alias else None
            mine.append(Version(value.node, value, statement, function, {where}, any(v.node is of for v in mine)))


def _entered(value: Any) -> Any:
    """Return the argument of a function as a value of its own, whose gradient is what the function makes of it."""
    return apply(alias, (value,)) if isinstance(value, Tensor) and value.node is not None else value


def results(value: Any) -> tuple[list[Tensor], list[str], Any]:
    """Return which of the returned values are differentiated, their names where they have any, and the rest.

    A number is the loss before any array; of several, the one that is named loss, or the last one.
    """
    if isinstance(value, Tensor):
        return [value], [""], None
    if isinstance(value, dict):
        found = {str(k): t for k, t in value.items() if isinstance(t, Tensor)}
        named = [k for k in found if k.lower() in ("loss", "cost", "l", "out", "output")]
        numbers = [k for k, t in found.items() if t.size == 1]
        chosen = (named or numbers or list(found))[-1:]
        return [found[k] for k in chosen], chosen, value
    if isinstance(value, (tuple, list)):
        flat = [t for t in value if isinstance(t, Tensor)]
        rest = [t for t in value if not isinstance(t, Tensor)]
        cache = rest[0] if len(rest) == 1 else tuple(rest) or value
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
    except Exception:  # whatever a person's code may raise
        return False
    return True


class Saved(dict[str, Any]):
    """The values of a forward by name, as keys and as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the forward has no value named {name!r}; it has {', '.join(self)}") from None


def as_arrays(value: Any, made: dict[Any, Any], kind: Any = np.ndarray) -> Any:
    """Return a value with arrays of its own in the place of Tensors; one Tensor gives one array wherever it stands."""
    if id(value) in made:
        return made[id(value)][0]
    if isinstance(value, Tensor):
        key = id(value if value.node is None else value.node)
        if key not in made:
            made[key] = (np.array(value.data).view(kind), value)
        return made[key][0]
    new: Any = value
    if isinstance(value, np.ndarray):
        new = value.copy()
        made[id(value)] = new, value
    elif isinstance(value, dict):
        new = {} if type(value) is dict else copy.copy(value)
        made[id(value)] = new, value  # before its parts: of ``cache = locals()`` it is one
        new.update({key: as_arrays(part, made, kind) for key, part in value.items()})
    elif type(value) is list:
        new = []
        made[id(value)] = new, value
        new.extend(as_arrays(part, made, kind) for part in value)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        new = type(value)(*(as_arrays(part, made, kind) for part in value))
    elif isinstance(value, (list, tuple, deque)):
        new = type(value)(as_arrays(part, made, kind) for part in value)
    elif not callable(value):
        inside = getattr(value, "__dict__", None) or {}
        if any(isinstance(part, Tensor) for part in inside.values()):
            new = copy.copy(value)
            made[id(value)] = new, value
            for name, part in inside.items():
                setattr(new, name, as_arrays(part, made, kind))
    return new


def run_backward(
    backward: Callable[..., Any], inputs: Inputs, forward: Forward, g: Any, names: Names
) -> Backward:
    """Run a backward on arrays and write down its gradients; of one that raises an error those until then."""
    made: dict[Any, Any] = {}
    args, kwargs = arguments(backward, inputs, forward, g, made)
    given = {id(x) for x, _ in made.values()}
    helpers: dict[str, None] = {}

    def wanted(label: str, value: Any) -> bool:
        if not is_number(value):
            return False
        own = id(value) in given  # an array of the forward
        if forward.is_other(label, value, own):
            return False
        if names.of(label) is None:
            if not own and label not in forward.values and label.startswith(("d", "grad")) and label not in COTANGENTS:
                helpers[label] = None
            return False
        return not (own and label in names.known)

    trace = Trace(wanted, copies=True)
    handed = {id(x) for x in (g if isinstance(g, tuple) else (g,))}
    stopped = None
    returned = None
    try:
        with np.errstate(all="ignore"):
            returned = trace.run(backward, *args, **kwargs)
    except Exception as error:  # whatever a person's code may raise
        stopped = Stopped(error, trace.returned or Statement(0, 0, ""))
    found = [*collected(trace.bindings, names, handed), *_returned(returned, inputs, trace, names)]
    found = [one for one in found if not _is_size(one, found, forward, returned)]
    if stopped and not found:
        raise stopped.error
    return Backward(found, list(dict.fromkeys(label.partition("[")[0] for label in helpers)), stopped, returned)


def _is_size(one: Given, found: Sequence[Given], forward: Forward, returned: Any) -> bool:
    """Tell whether what could be a gradient by its name, ``d_k = k.shape[1]``, is a whole number that stays here."""
    last = one.states[-1].array
    shapes = [v.value.shape for v in forward.versions.get(one.belongs_to, ())]
    if last.ndim or last.dtype.kind not in "iu" or one.states[0].added or not shapes or () in shapes:
        return False
    back = list(returned.values()) if isinstance(returned, dict) else returned
    if any(np.ndim(x) == 0 and x == last for x in (back if isinstance(back, (tuple, list)) else [back])):
        return False
    other = any(g.belongs_to == one.belongs_to and g.name != one.name for g in found)
    return other or re.search(r"\.(shape|size|ndim)\b|\blen\(", one.states[-1].statement.text) is not None


def arguments(
    backward: Callable[..., Any], inputs: Inputs, forward: Forward, g: Any, made: dict[Any, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Find what each parameter of a backward is to be given, by its name."""
    returned = WHOLE if forward.cache is not None else ()  # and not what has that name inside
    values = {k: v for k, v in forward.others.items() if k not in returned}
    values |= {k: v for k, v in forward.values.items() if "[" not in k}
    given = dict(zip(inputs.names, inputs.with_leaves(forward.tensors), strict=True))
    outs = set(forward.out_names)
    last = {t.node for t in forward.outs}
    code = getattr(getattr(backward, "__func__", backward), "__code__", None)
    kind = Value if code is not None and "grad" in code.co_names else np.ndarray
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    parameters = list(inspect.signature(backward).parameters.values())
    for p in parameters:
        if p.kind is p.VAR_KEYWORD:
            continue
        of_result = any(s in outs or (s in values and getattr(values[s], "node", None) in last) for s in stems(p.name))
        if p.kind is p.VAR_POSITIONAL:
            args += [as_arrays(v, made, kind) for v in given.values()] if not args and not kwargs else []
            continue
        if p.name in given:
            value = as_arrays(given[p.name], made, kind)
        elif p.name in values:
            value = as_arrays(values[p.name], made, kind)
        elif of_result or (p.name in COTANGENTS and not (p.name in WHOLE and _reads(backward, forward.values))):
            value = g
        elif isinstance(forward.value, dict) and p.name in forward.value:
            value = as_arrays(forward.value[p.name], made, kind)
        elif p.default is not p.empty:
            continue
        elif p.name in ("out", "output", "result"):
            value = as_arrays(forward.outs[0], made, kind)
        elif forward.cache is not None and (p.name in WHOLE or p is parameters[-1] or len(parameters) == 1):
            value = as_arrays(forward.cache, made, kind)
        elif p.name in WHOLE or len(parameters) == 1:
            value = Saved(as_arrays({**values, **given}, made, kind))
        else:
            shown = printable(", ".join(dict.fromkeys([*given, *values])))
            raise TypeError(
                f"compare_steps: backward has a parameter {p.name!r}, and the forward has no value of that name. Name "
                f"it as a value of the forward ({shown}), as the cotangent (dout), or as all of them (cache)."
            )
        if p.kind is p.POSITIONAL_ONLY:
            args.append(value)
        else:
            kwargs[p.name] = value
    return args, kwargs


def _reads(backward: Any, values: Mapping[str, Any]) -> bool:
    """Tell whether a function reads values of the forward as attributes or keys, ``v.probs``."""
    code = getattr(getattr(backward, "__func__", backward), "__code__", None)
    return code is not None and bool({*code.co_names, *code.co_consts} & set(values))


def takes_cotangent(backward: Callable[..., Any], forward: Forward) -> bool:
    """Tell whether a backward has a parameter for the gradient of the result."""
    last = {t.node for t in forward.outs}
    for p in inspect.signature(backward).parameters:
        if p in forward.values or (p in forward.others and (p not in WHOLE or forward.cache is None)):
            continue
        if p in WHOLE and _reads(backward, forward.values):
            continue
        if p in COTANGENTS or any(getattr(forward.values.get(s), "node", None) in last for s in stems(p)):
            return True
    return False


def collected(bindings: Sequence[Binding], names: Names, handed: set[int]) -> list[Given]:
    """Join the bindings of each name that are one gradient: an array that was passed on, and sums over statements."""
    made: list[Given] = []
    current: dict[tuple[int, str], Given] = {}
    objects: dict[str, tuple[Any, Given, int]] = {}  # the object that a name was last bound to, and in which function
    for b in bindings:
        whole = names.of(b.label)
        if whole is None:
            continue
        before, mine = objects.get(b.label), current.get((b.frame, b.label))
        if before is not None and before[0] is b.value and (b.given or before[2] == b.frame):
            one = before[1]
            one.states.extend(b.states[1:])
        elif mine is not None and b.states[0].added:
            one = mine
            one.states.extend(b.states)
        else:
            echo = before is not None and before[0] is b.value
            given = id(b.value) in handed and b.frame == 1
            one = Given(b.label, whole, list(b.states), b.function, set(), 0, echo, given)
            made.append(one)
        one.rooms.add(room(b))
        current[b.frame, b.label] = one
        objects[b.label] = b.value, one, b.frame
    made.sort(key=lambda one: one.states[-1].time)
    rounds: dict[str, int] = {}
    for k, one in enumerate(made):
        rounds[one.name] = rounds.get(one.name, 0) + 1
        made[k] = one._replace(round=rounds[one.name])
    return made


def _returned(value: Any, inputs: Inputs, trace: Trace, names: Names) -> list[Given]:
    """Return the gradients among what a backward returned that none of its names held."""
    statement = trace.returned or Statement(0, 0, "")
    named = {b.label: b for b in trace.bindings}
    floats = list(dict.fromkeys(inputs.owner[i] for i in inputs.moving))
    labelled: list[tuple[str, str, Any]] = []
    if isinstance(value, dict):
        for label, part in parts("gradients", value):
            key = label[len("gradients['") : -2]
            whole = names.of(label) or (key if key in names.known else None)
            labelled += [(key, whole, part)] if whole else []
    elif isinstance(value, (tuple, list)) and len(value) in (len(floats), len(inputs.names)):
        which = floats if len(value) == len(floats) else range(len(inputs.names))
        for k, part in zip(which, value, strict=True):
            labelled.append((f"gradient of {inputs.names[k]}", inputs.names[k], part))
    elif is_number(value) and len(floats) == 1:
        labelled.append((f"gradient of {inputs.names[floats[0]]}", inputs.names[floats[0]], value))
    found = []
    for name, whole, part in labelled:
        if not is_number(part) or whole not in names.known or name in named:
            continue
        array = np.array(raw(part))
        if any(names.of(b.label) == whole and b.states[-1].array.shape == array.shape
               and np.array_equal(b.states[-1].array, array, equal_nan=True) for b in trace.bindings):  # fmt: skip
            continue
        found.append(Given(name, whole, [State(statement, array)], "", {""}))
    return found


def as_mapping(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return a mapping by hand from gradients to intermediates."""
    if given is not None and not isinstance(given, Mapping):
        what = type(given).__name__
        raise TypeError(f"compare_steps: names= takes a dict {{'delta': 'z'}}, gradient and value; it got a {what}.")
    return dict(given or {})


def checked_mapping(given: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """Check that the forward has the values that a mapping names."""
    lost = [f"{k!r}: {v!r}" for k, v in given.items() if v not in known]
    if lost:
        shown = printable(", ".join(known))
        what = ", ".join(lost)
        raise ValueError(f"compare_steps: names= holds {what}; the forward has no such value. It has {shown}.")
    return dict(given)
