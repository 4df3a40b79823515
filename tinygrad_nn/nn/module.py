"""Module, the base class of layers and models: its attributes hold its parameters and submodules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from ..node import thread
from ..printable import printable
from ..tensor import Tensor, leaf, raw

Array = np.ndarray[Any, Any]
_WRONG = (ValueError, TypeError, IndexError)  # what a wrong shape raises, from us or from NumPy


class Module:
    """A part of a network: write its parameters and parts as attributes, and what it computes as ``forward``.

    A Tensor of floats is a parameter, another `Module` is a part; lists, tuples and dicts of them are searched too.
    Each is found under its attribute path, as PyTorch writes it: ``blocks.0.weight``. Attributes whose name begins
    with an underscore are left alone. So is what `forward` leaves behind, and a constant that has no name.

    Attributes:
        training: whether dropout drops and batch norms learn; `train` and `eval` set it.
        buffer_names: the attributes that are arrays to be saved with the parameters, but not trained.

    Raises:
        ValueError, TypeError, IndexError: from a call, with the path of the part that raised it.

    Example:
        >>> class Scale(Module):
        ...     def __init__(self):
        ...         self.weight = Tensor(np.full(3, 2.0))
        ...     def forward(self, x):
        ...         return x * self.weight
        >>> Scale()([1.0, 2.0, 3.0]).data, list(Scale().state_dict())
        (array([2., 4., 6.]), ['weight'])
    """

    training: bool = True
    buffer_names: tuple[str, ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward; write def forward(self, x): ... in it.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``, its operations recorded under the name of this part."""
        mode = thread.mode
        before, outer = mode.scope, mode.module
        name = self.title() if outer is None else outer._scope_of(self)
        mode.scope = name if before is None else f"{before}.{name}"
        mode.module = self
        try:
            return self.forward(*args, **kwargs)
        except _WRONG as error:
            _locate(error, mode.scope)
            raise
        finally:
            mode.scope, mode.module = before, outer

    # -- What it is made of

    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes that are searched, by name."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the parts right below with their paths, such as ``blocks.0``; a shared one once."""
        seen: set[int] = set()
        for path, value in _search(self.attributes()):
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this module (under the empty path) and all parts below it, each once, the outer before the inner."""
        return self._paths(once=True)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all parts below it, each once."""
        return (module for _, module in self.named_modules())

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Yield the arrays that are saved but not trained, such as the running mean of a batch norm, each once."""
        return ((path, slot.array) for path, slot in self._own_slots() if slot.name)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter with its path; a shared one once, under its first path."""
        return ((path, slot.owner) for path, slot in self._own_slots() if not slot.name)

    def parameters(self) -> list[Tensor]:
        """Return the parameters, frozen ones too, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def _paths(self, once: bool = False) -> Iterator[tuple[str, Module]]:
        """Yield every path that leads to a module, or the first."""
        stack: list[tuple[str, Module, tuple[int, ...]]] = [("", self, ())]
        seen: set[int] = set()
        while stack:
            path, module, above = stack.pop()
            if id(module) in (seen if once else above):  # or else a part refers back to what holds it
                continue
            seen.add(id(module))
            yield path, module
            parts = [(f"{path}.{name}" if path else name, part, (*above, id(module)))
                     for name, part in _search(module.attributes()) if isinstance(part, Module)]  # fmt: skip
            stack += reversed(parts)

    def _slots(self, once: bool = False) -> Iterator[tuple[str, _Slot]]:
        """Yield every path that leads to a parameter or a buffer, or those by the first path to each module."""
        for path, module in self._paths(once):
            start = f"{path}." if path else ""
            for name, value in _search(module.attributes()):
                if isinstance(value, Tensor) and value.is_leaf and value.data.dtype.kind in "fc" and (
                    value.node is not None or value.label is not None  # one that was frozen has a name
                ):  # fmt: skip
                    yield start + name, _Slot(value, "")
            for name in module.buffer_names:
                if getattr(module, name) is not None:
                    yield start + name, _Slot(module, name)

    def _own_slots(self) -> Iterator[tuple[str, _Slot]]:
        """Yield every parameter and buffer under its first path."""
        seen: dict[_Slot, str] = {}
        for path, slot in self._slots(once=True):
            if slot not in seen:
                if path in seen.values():
                    twice = f"two parameters are called {printable(path)}"
                    raise ValueError(f"{type(self).__name__}: {twice}; rename one attribute.")
                seen[slot] = path
                yield path, slot

    # -- Its state

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers by their paths, those that are shared once.

        Example:
            >>> from tinygrad_nn.nn import Linear
            >>> {name: array.shape for name, array in Linear(4, 3, rng=0).state_dict().items()}
            {'weight': (3, 4), 'bias': (3,)}
        """
        return {path: slot.array.copy() for path, slot in self._own_slots()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Load parameters and buffers: all of them, or, if one does not fit, none.

        Args:
            state: path -> array, as `state_dict` or a file from PyTorch has them; converted to the dtype here.
            strict: whether every name must be there, and no other; otherwise those that are in both are taken.

        Raises:
            ValueError: names or shapes differ; the message lists them, and the model is as it was.
            TypeError: the state is no dict.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"load_state_dict takes a dict of arrays; this is {state!r:.60} of type {type(state).__name__}. A file "
                "is read by tinygrad_nn.io.load_weights(path, model)."
            )
        places = dict(self._own_slots())
        if any(path not in places for path in state):  # it may be another path of what is shared
            places = dict(self._slots())
        new = {path: (slot, np.asarray(raw(state[path]))) for path, slot in places.items() if path in state}
        given = {slot for slot, _ in new.values()}  # of a shared array one of its paths is enough
        missing = [path for path, slot in self._own_slots() if slot not in given] if strict else []
        unknown = [path for path in state if path not in places] if strict else []
        differing = [
            f"{path} has shape {slot.array.shape} here and {array.shape} in the state"
            for path, (slot, array) in new.items() if array.shape != slot.array.shape
        ] + [f"{path} is {slot.array.dtype} here and {array.dtype} in the state" for path, (slot, array) in new.items()
             if array.dtype.kind not in ("fciub" if slot.array.dtype.kind == "c" else "fiub")]  # fmt: skip
        first: dict[_Slot, str] = {}
        for path, (slot, array) in new.items():
            other = first.setdefault(slot, path)
            if not np.array_equal(array, new[other][1]) and other != path:
                differing.append(f"{other} and {path} are one array here and differ in the state")
        if state and not new:
            differing.append(f"no name is in both, here they are such as {next(iter(places), 'none')}")
        if missing or unknown or differing:
            _refuse(type(self).__name__, missing, unknown, differing)
        for slot, array in new.values():
            slot.put(array)

    # -- Switches

    def train(self, mode: bool = True) -> Self:
        """Set this module and all its submodules to training mode, or with False to eval mode."""
        for module in _inner_first(self, set()):
            if module is self or type(module).train is Module.train:
                module.training = mode
            else:
                module.train(mode)
        return self

    def eval(self) -> Self:
        """Set this module and all its submodules to eval mode: no dropout, batch norms use their running statistics."""
        return self.train(False)

    def freeze(self) -> Self:
        """Make all parameters constants, so that no gradient flows to them and no training changes them."""
        for name, parameter in self.named_parameters():
            if parameter.node is not None:
                label = parameter.name or name
                parameter.node = None
                parameter.label = label
        return self

    def unfreeze(self) -> Self:
        """Undo `freeze`."""
        for _, parameter in self.named_parameters():
            if parameter.node is None:
                parameter.node = leaf(parameter.data, parameter.label).node
        return self

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to ``None``."""
        for parameter in self.parameters():
            if parameter.node is not None:
                parameter.grad = None

    def seed(self, rng: np.random.Generator | int | None) -> Self:
        """Set one random generator for all submodules that draw, such as dropout, and return the module."""
        generator = np.random.default_rng(rng)
        for module in self.modules():
            if "rng" in vars(module):
                module.rng = generator  # type: ignore[attr-defined]
        return self

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call a function with each part once, the inner before the outer, then with this module, and return it."""
        for module in _inner_first(self, set()):
            function(module)
        return self

    # -- How it is shown

    def about(self) -> str:
        """Return the text in the brackets of its ``repr``: sizes and options."""
        return ""

    def title(self) -> str:
        """Return the name that operations are recorded under when no other module called this one."""
        return type(self).__name__

    @recursive_repr("...")  # of a part that refers back to what holds it
    def __repr__(self) -> str:
        head = f"{type(self).__name__}({self.about()}"
        lines = [f"{printable(name)}: {part!r}" for name, part in self.named_children()]
        if not lines:
            return f"{head})"
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{head}\n  {body}\n)"

    def _scope_of(self, part: Module) -> str:
        """Return the name of a part as drawings show it: ``encoder``, ``blocks[0]`` or ``0 Linear``."""
        names: dict[int, str] | None = vars(self).get("_names")
        if names is None or id(part) not in names:
            names = {id(child): _shown(path, child) for path, child in self.named_children()}
            names.setdefault(id(part), type(part).__name__)
            self._names = names
        return names[id(part)]


class _Slot(NamedTuple):
    """Where an array of the state lives: a parameter, or the attribute of this name of a module."""

    owner: Any
    name: str

    @property
    def array(self) -> Array:
        return np.asarray(getattr(self.owner, self.name) if self.name else self.owner.data)

    def put(self, array: Array) -> None:
        if self.name:
            setattr(self.owner, self.name, np.array(array, dtype=self.array.dtype))
        else:
            assign(self.owner, array)

    def __hash__(self) -> int:
        return hash((id(self.owner), self.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Slot) and self.owner is other.owner and self.name == other.name


def assign(parameter: Tensor, value: Any) -> None:
    """Give a parameter new data, in its dtype: a new array, since an older graph may hold the old one."""
    array = np.array(value, dtype=parameter.data.dtype)
    parameter.data = array
    if parameter.node is not None:
        parameter.node.out = array
        forget(parameter)


def forget(parameter: Tensor) -> None:
    """Drop the optimizer's state of a parameter, since it belongs to the old data."""
    notes = parameter.node.notes if parameter.node else None
    if notes and "attached" in notes:
        notes["attached"].forget()


def computed(module: Module) -> str | None:
    """Return the path of a Tensor that was computed outside of every module, such as ``0.1 * Tensor(w)``, if any."""
    for path, part in module.named_modules():
        for name, value in _search(part.attributes()):
            if isinstance(value, Tensor) and value.node is not None and not value.is_leaf and value.node.scope is None:
                return f"{path}.{name}" if path else name
    return None


def _search(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield Tensors and Modules among attributes, and in lists, tuples and dicts of them, with their paths."""
    stack = [(str(name), value) for name, value in reversed(list(attributes.items()))]
    nests: set[int] = set()  # a list that holds itself is searched once
    while stack:
        path, value = stack.pop()
        if isinstance(value, (Tensor, Module)):
            yield path, value
        elif isinstance(value, (list, tuple, dict)) and id(value) not in nests:
            nests.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            stack += [(f"{path}.{key}", inner) for key, inner in reversed(list(items))]


def _inner_first(module: Module, seen: set[int]) -> Iterator[Module]:
    """Yield the parts below a module, each once, and then the module."""
    if id(module) not in seen:
        seen.add(id(module))
        for _, child in module.named_children():
            yield from _inner_first(child, seen)
        yield module


def _shown(path: str, part: Module) -> str:
    first, *rest = path.split(".")
    name = first + "".join(f"[{key}]" for key in rest)
    title = part.title()
    kind = title if title.isidentifier() else type(part).__name__  # of a function its own name
    return f"{name} {kind}" if first.isdigit() else name


def _locate(error: Exception, scope: str | None) -> None:
    """Put the path of the innermost module before an error's text, or below one that makes its text itself."""
    if hasattr(error, "module_path") or not scope:
        return
    if error.args and isinstance(error.args[0], str):
        error.args = (f"in {printable(scope)}: {error.args[0]}", *error.args[1:])
    else:  # as NumPy's AxisError
        error.add_note(f"in {printable(scope)}")
    error.module_path = scope  # type: ignore[attr-defined]


def _refuse(owner: str, missing: list[str], unknown: list[str], differing: list[str]) -> NoReturn:
    """Raise an error that lists what does not fit."""
    parts = [
        *(["missing: " + _few(missing)] if missing else []),
        *(["not known here: " + _few(unknown)] if unknown else []),
        *([_few(differing)] if differing else []),
    ]
    raise ValueError(
        f"this state is of another architecture than {owner}; {'; '.join(parts)}. Make the model as it was when the "
        "state was saved. Nothing was changed."
    )


def _few(names: list[str]) -> str:
    rest = len(names) - 4
    return ", ".join(map(printable, names[:4])) + (f" and {rest} more" if rest > 0 else "")
