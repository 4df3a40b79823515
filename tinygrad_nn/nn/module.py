"""Module, the base class of layers and models: its attributes hold its parameters and submodules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..backward import Handle
from ..node import thread
from ..printable import printable
from ..spelling import OF_MODELS, did_you_mean, no_attribute
from ..tensor import Tensor, leaf, raw
from .hooks import Hooks
from .state import Slot, refuse, target

Array = np.ndarray[Any, Any]
MOST = 24  # parts that the text of a module shows
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
            hooks: Hooks | None = vars(self).get("_hooks")
            return self.forward(*args, **kwargs) if hooks is None else hooks.run(self, args, kwargs)
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

    def buffers(self) -> Iterator[Array]:
        """Yield the arrays of `named_buffers`."""
        return (array for _, array in self.named_buffers())

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter with its path; a shared one once, under its first path.

        Args:
            prefix: put before each path, with a dot.
            recurse: whether those of the parts count too.
        """
        mine = None if recurse else {id(value) for _, value in _search(self.attributes())}
        return ((f"{prefix}.{path}" if prefix else path, slot.owner) for path, slot in self._own_slots()
                if not slot.name and (mine is None or id(slot.owner) in mine))  # fmt: skip

    def parameters(self, recurse: bool = True) -> list[Tensor]:
        """Return the parameters, frozen ones too, each once; with recurse=False without those of the parts."""
        return [parameter for _, parameter in self.named_parameters(recurse=recurse)]

    def children(self) -> Iterator[Module]:
        """Yield the parts right below, each once."""
        return (part for _, part in self.named_children())

    def get_submodule(self, path: str) -> Module:
        """Return the part at a path such as ``blocks.0``; the empty path is this module."""
        parts = dict(self._paths())
        if path not in parts:
            raise AttributeError(f"{type(self).__name__} has no part {path!r}.{did_you_mean(path, parts)}")
        return parts[path]

    # -- What is added to it by name

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Keep an array, or a constant Tensor, as an attribute that is saved with the parameters but not trained.

        Args:
            name: of the attribute.
            tensor: an array or a Tensor, whose graph is left behind; or ``None``.
            persistent: whether `state_dict` has it.
        """
        setattr(self, name, tensor.detach() if isinstance(tensor, Tensor) else tensor)
        if persistent and name not in self.buffer_names:
            self.buffer_names = (*self.buffer_names, name)

    def register_parameter(self, name: str, parameter: Tensor | None) -> None:
        """Keep a parameter as an attribute of this name."""
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """Keep a part as an attribute of this name."""
        setattr(self, name, module)

    register_module = add_module

    def register_forward_pre_hook(self, hook: Callable[[Any, tuple[Any, ...]], Any]) -> Handle:
        """Call ``hook(module, inputs)`` before each forward; what it returns, if anything, replaces the inputs."""
        return self._hooks_made().add("before", hook)

    def register_forward_hook(self, hook: Callable[[Any, tuple[Any, ...], Any], Any]) -> Handle:
        """Call ``hook(module, inputs, output)`` after each forward; what it returns, if anything, is the output.

        Returns:
            What removes the hook: ``remove()``.

        Example:
            >>> from tinygrad_nn.nn import Linear
            >>> shapes, layer = [], Linear(4, 3, rng=0)
            >>> handle = layer.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
            >>> _ = layer(np.ones((2, 4))); handle.remove(); _ = layer(np.ones((5, 4)))
            >>> shapes
            [(2, 3)]
        """
        return self._hooks_made().add("after", hook)

    def register_full_backward_hook(self, hook: Callable[[Any, tuple[Any, ...], tuple[Any, ...]], Any]) -> Handle:
        """Call ``hook(module, gradients_of_inputs, gradients_of_outputs)`` in each backward, with arrays.

        What it returns, if anything, replaces the gradient of the input.
        """
        return self._hooks_made().add("back", hook)

    def _hooks_made(self) -> Hooks:
        hooks: Hooks = vars(self).setdefault("_hooks", Hooks())
        return hooks

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

    def _slots(self, once: bool = False) -> Iterator[tuple[str, Slot]]:
        """Yield every path that leads to a parameter or a buffer, or those by the first path to each module."""
        for path, module in self._paths(once):
            start = f"{path}." if path else ""
            for name, value in _search(module.attributes()):
                if isinstance(value, Tensor) and value.is_leaf and value.data.dtype.kind in "fc" and (
                    value.node is not None or value.label is not None  # one that was frozen has a name
                ):  # fmt: skip
                    yield start + name, Slot(value, "")
            for name in module.buffer_names:
                if getattr(module, name) is not None:
                    yield start + name, Slot(module, name)

    def _own_slots(self) -> Iterator[tuple[str, Slot]]:
        """Yield every parameter and buffer under its first path."""
        seen: dict[Slot, str] = {}
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
        first: dict[Slot, str] = {}
        for path, (slot, array) in new.items():
            other = first.setdefault(slot, path)
            if not np.array_equal(array, new[other][1]) and other != path:
                differing.append(f"{other} and {path} are one array here and differ in the state")
        if state and not new:
            differing.append(f"no name is in both, here they are such as {next(iter(places), 'none')}")
        if missing or unknown or differing:
            refuse(type(self).__name__, missing, unknown, differing)
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

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Return the module after `unfreeze`, or with False after `freeze`."""
        return self.unfreeze() if requires_grad else self.freeze()

    def to(self, *how: Any, **options: Any) -> Self:
        """Convert parameters and buffers of floats to a dtype, in place, and return the module; the device is "cpu"."""
        for dtype in (which for which in map(target, (*how, *options.values())) if which is not None):
            for _, slot in self._own_slots():
                slot.cast(dtype)
            for module in self.modules():
                for name in ("_dtype", "dtype"):
                    if name in vars(module):
                        setattr(module, name, dtype)
        return self

    def float(self) -> Self:
        """Convert to float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Convert to float64."""
        return self.to(np.float64)

    def cpu(self) -> Self:
        """Return the module, which is in main memory anyway."""
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to ``None``; set_to_none is there as PyTorch has it."""
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

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(type(self).__name__, name, () if name[0] == "_" else dir(self), OF_MODELS)

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
        lines = _folded([(printable(name), repr(part)) for name, part in self.named_children()])
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


def _folded(children: list[tuple[str, str]]) -> list[str]:
    """Return a line or more for each part, and one for several in a row that read the same: ``0 ... 5: 6 × ...``."""
    lines: list[str] = []
    for text, run in groupby(children, lambda child: child[1]):
        names = [name for name, _ in run]
        if len(names) > (2 if "\n" in text else 4):
            lines.append(f"{names[0]} ... {names[-1]}: {len(names)} × {text}")
        else:
            lines += [f"{name}: {text}" for name in names]
    return lines if len(lines) <= MOST else [*lines[:MOST], f"... {len(lines) - MOST} more, {names[-1]} the last"]


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
