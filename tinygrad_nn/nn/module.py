"""Module, the base class of layers and models: parameters and submodules are its attributes, as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..backward import Handle
from ..common.arguments import as_generator
from ..common.masked import unmasked
from ..common.printable import printable
from ..common.spelling import OF_MODELS, did_you_mean, no_attribute
from ..node import thread
from ..tensor import Tensor, leaf, raw
from .hooks import Hooks
from .state import LoadedKeys, Slot, note_replaced, raise_mismatch, raise_replaced, requested_dtype

Array = np.ndarray[Any, Any]
MOST = 24  # the largest number of submodule lines that ``repr`` shows
_WRONG = (ValueError, TypeError, IndexError)  # what a wrong shape raises, in this package or in NumPy


class Module:
    """A layer or a model: assign its parameters and submodules as attributes, and define its output in ``forward``.

    A Tensor of floats is a parameter, another `Module` is a submodule; lists, tuples and dicts of both are searched.
    Each is found under its attribute path, as in PyTorch: ``blocks.0.weight``. Ignored are attributes whose name
    begins with an underscore, Tensors that ``forward`` computed and stored, and constant Tensors without a name.

    Attributes:
        training: whether dropout drops entries and batch norms update their statistics; set by `train` and `eval`.
        buffer_names: the attributes that are arrays which are saved with the parameters, but not trained.

    Raises:
        ValueError, TypeError, IndexError: from a call; the message begins with the path of the submodule.

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
        """Compute the output; every subclass defines this method."""
        raise NotImplementedError(f"{type(self).__name__} has no forward; write def forward(self, x): ... in it.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``; the operations in it are recorded under the name of this module."""
        mode = thread.mode
        before, outer = mode.scope, mode.module
        name = self.title() if outer is None else outer._scope_of(self)
        mode.scope = name if before is None else f"{before}.{name}"
        mode.module = self
        try:
            hooks: Hooks | None = vars(self).get("_hooks")
            return self.forward(*args, **kwargs) if hooks is None else hooks.run(self, args, kwargs)
        except _WRONG as error:
            _add_path(error, mode.scope, f"{type(self).__name__}.forward() missing", args)
            raise
        finally:
            mode.scope, mode.module = before, outer

    # -- Its parameters and submodules

    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes that are searched for parameters and submodules, by name."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct submodules with their paths, such as ``blocks.0``; a shared one is yielded once."""
        seen: set[int] = set()
        for path, value in _find_members(self.attributes()):
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this module (under the empty path) and all submodules, each once, a module before its submodules."""
        return self._paths(once=True)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all submodules, each once."""
        return (module for _, module in self.named_modules())

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Yield the arrays that are saved but not trained, such as the running mean of a batch norm, each once."""
        return ((path, slot.array) for path, slot in self._own_slots() if slot.name)

    def buffers(self) -> Iterator[Array]:
        """Yield the arrays of `named_buffers`."""
        return (array for _, array in self.named_buffers())

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter with its path; a shared parameter is yielded once, under its first path.

        Args:
            prefix: put before each path, followed by a dot.
            recurse: whether to include the parameters of submodules.
        """
        mine = None if recurse else {id(value) for _, value in _find_members(self.attributes())}
        return ((f"{prefix}.{path}" if prefix else path, slot.owner) for path, slot in self._own_slots()
                if not slot.name and (mine is None or id(slot.owner) in mine))  # fmt: skip

    def parameters(self, recurse: bool = True) -> list[Tensor]:
        """Return the parameters, each once, also frozen ones; with recurse=False without those of submodules."""
        return [parameter for _, parameter in self.named_parameters(recurse=recurse)]

    def children(self) -> Iterator[Module]:
        """Yield the direct submodules, each once."""
        return (part for _, part in self.named_children())

    def get_submodule(self, path: str) -> Module:
        """Return the submodule at a path such as ``blocks.0``; the empty path is this module.

        Raises:
            AttributeError: there is no submodule at this path.
        """
        parts = dict(self._paths())
        if path not in parts:
            raise AttributeError(f"{type(self).__name__} has no part {path!r}.{did_you_mean(path, parts)}")
        return parts[path]

    # -- Adding buffers, parameters, submodules and hooks

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Set an attribute to an array, or a constant Tensor, that is saved with the parameters but not trained.

        Args:
            name: the name of the attribute.
            tensor: an array or a Tensor, whose graph is left behind; or ``None``.
            persistent: whether `state_dict` includes it.
        """
        setattr(self, name, None)  # if it was a parameter, it is none from now on
        setattr(self, name, tensor.detach() if isinstance(tensor, Tensor) else tensor)
        if persistent and name not in self.buffer_names:
            self.buffer_names = (*self.buffer_names, name)

    def register_parameter(self, name: str, parameter: Tensor | None) -> None:
        """Set an attribute of this name to a parameter."""
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """Set an attribute of this name to a submodule."""
        setattr(self, name, module)

    register_module = add_module

    def register_forward_pre_hook(self, hook: Callable[[Any, tuple[Any, ...]], Any]) -> Handle:
        """Call ``hook(module, inputs)`` before each forward; if it returns a value, this replaces the inputs."""
        return self._hooks_made().add("before", hook)

    def register_forward_hook(self, hook: Callable[[Any, tuple[Any, ...], Any], Any]) -> Handle:
        """Call ``hook(module, inputs, output)`` after each forward; if it returns a value, this replaces the output.

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
        """Call ``hook(module, gradients_of_inputs, gradients_of_outputs)``, with arrays, in each backward.

        If it returns a value, this replaces the gradient of the input.
        """
        return self._hooks_made().add("back", hook)

    def _hooks_made(self) -> Hooks:
        hooks: Hooks = vars(self).setdefault("_hooks", Hooks())
        return hooks

    def _paths(self, once: bool = False) -> Iterator[tuple[str, Module]]:
        """Yield all modules with all their paths, or with once=True each module with its first path only."""
        stack: list[tuple[str, Module, tuple[int, ...]]] = [("", self, ())]
        seen: set[int] = set()
        while stack:
            path, module, above = stack.pop()
            if id(module) in (seen if once else above):  # else skip only cycles: a submodule that contains itself
                continue
            seen.add(id(module))
            yield path, module
            parts = [(f"{path}.{name}" if path else name, part, (*above, id(module)))
                     for name, part in _find_members(module.attributes()) if isinstance(part, Module)]  # fmt: skip
            stack += reversed(parts)

    def _slots(self, once: bool = False) -> Iterator[tuple[str, Slot]]:
        """Yield all parameters and buffers with all their paths, or with once=True by each module's first path."""
        for path, module in self._paths(once):
            start = f"{path}." if path else ""
            if once and vars(module).get("_replaced"):
                raise_replaced(type(self).__name__, start, vars(module))
            for name, value in _find_members(module.attributes()):
                if isinstance(value, Tensor) and value.is_leaf and value.data.dtype.kind in "fc" and (
                    value.node is not None or value.label is not None  # a frozen parameter has a name
                ):  # fmt: skip
                    yield start + name, Slot(value, "")
            for name in module.buffer_names:
                if getattr(module, name) is not None:
                    yield start + name, Slot(module, name)

    def _own_slots(self) -> Iterator[tuple[str, Slot]]:
        """Yield each parameter and buffer once, under its first path."""
        seen: set[Slot] = set()
        paths: set[str] = set()
        for path, slot in self._slots(once=True):
            if slot not in seen:
                if path in paths:
                    twice = f"two parameters are called {printable(path)}"
                    raise ValueError(f"{type(self).__name__}: {twice}; rename one attribute.")
                seen.add(slot)
                paths.add(path)
                yield path, slot

    # -- Saving and loading

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers by path; a shared array is included once.

        Example:
            >>> from tinygrad_nn.nn import Linear
            >>> {name: array.shape for name, array in Linear(4, 3, rng=0).state_dict().items()}
            {'weight': (3, 4), 'bias': (3,)}
        """
        return {path: slot.array.copy() for path, slot in self._own_slots()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadedKeys:
        """Load parameters and buffers: either all of them or, if one does not fit, none.

        Args:
            state: path -> array, from `state_dict` or a PyTorch file; arrays are converted to the dtype of the model.
            strict: whether the names must be the same in both; otherwise only names that are in both are loaded.

        Returns:
            The names that are only in the model, ``missing_keys``, and only in the state, ``unexpected_keys``.

        Raises:
            ValueError: names or shapes differ; the message lists them, and the model is unchanged.
            TypeError: the state is not a dict.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"load_state_dict takes a dict of arrays; this is {state!r:.60} of type {type(state).__name__}. A file "
                "is read by tinygrad_nn.io.load_weights(path, model)."
            )
        places = dict(self._own_slots())
        if any(path not in places for path in state):  # the state may use another path of a shared array
            places = dict(self._slots())
        new = {path: (slot, np.asarray(unmasked(raw(state[path])))) for path, slot in places.items() if path in state}
        given = {slot for slot, _ in new.values()}  # a shared array needs only one of its paths
        missing = [path for path, slot in self._own_slots() if slot not in given]
        unknown = [path for path in state if path not in places]
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
            differing.append(f"no name is in both; here, names are such as {next(iter(places), 'none')}")
        if differing or (strict and (missing or unknown)):
            raise_mismatch(type(self).__name__, *((missing, unknown) if strict else ([], [])), differing)
        for slot, array in new.values():
            slot.put(array)
        return LoadedKeys(missing, unknown)

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
        """Call `unfreeze`, or with False `freeze`, and return the module."""
        return self.unfreeze() if requires_grad else self.freeze()

    def to(self, *how: Any, **options: Any) -> Self:
        """Convert floating-point parameters and buffers to a dtype, in place; the only device is "cpu".

        Args:
            *how, **options: a dtype, a Tensor that has it, or the device "cpu", as in PyTorch; the names are ignored.

        Returns:
            The module.

        Raises:
            RuntimeError: another device.
        """
        for dtype in (which for which in map(requested_dtype, (*how, *options.values())) if which is not None):
            for _, slot in self._own_slots():
                slot.cast(dtype)
            for module in self.modules():
                for name in ("_dtype", "dtype"):
                    if name in vars(module):
                        setattr(module, name, dtype)
        return self

    def float(self) -> Self:
        """Convert floating-point parameters and buffers to float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Convert floating-point parameters and buffers to float64."""
        return self.to(np.float64)

    def cpu(self) -> Self:
        """Return the module; it is in main memory already."""
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to ``None``; set_to_none has no effect and is accepted as in PyTorch."""
        for parameter in self.parameters():
            if parameter.node is not None:
                parameter.grad = None

    def seed(self, rng: np.random.Generator | int | None) -> Self:
        """Set one random generator for all submodules that use one, such as dropout, and return the module."""
        generator = as_generator(rng)
        for module in self.modules():
            if "rng" in vars(module):
                module.rng = generator  # type: ignore[attr-defined]
        return self

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call a function with each submodule once, inner ones first, then with this module; return this module."""
        for module in _inner_first(self, set()):
            function(module)
        return self

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(type(self).__name__, name, () if name[0] == "_" else dir(self), OF_MODELS)

        def __setattr__(self, name: str, value: Any) -> None:
            """Set an attribute, and remember whether an array has replaced a parameter."""
            mine = vars(self)
            if name[0] != "_" and (isinstance(mine.get(name), Tensor) or "_replaced" in mine):
                note_replaced(mine, name, value)
            object.__setattr__(self, name, value)

    # -- How it is shown

    def about(self) -> str:
        """Return the text between the parentheses of its ``repr``: sizes and options."""
        return ""

    def title(self) -> str:
        """Return the name for recorded operations when no other module calls this one."""
        return type(self).__name__

    @recursive_repr("...")  # if a submodule refers back to a module above it
    def __repr__(self) -> str:
        head = f"{type(self).__name__}({self.about()}"
        lines = _fold_lines([(printable(name), repr(part)) for name, part in self.named_children()])
        if not lines:
            return f"{head})"
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{head}\n  {body}\n)"

    def _scope_of(self, part: Module) -> str:
        """Return the name of a submodule as drawings show it: ``encoder``, ``blocks[0]`` or ``0 Linear``."""
        names: dict[int, str] | None = vars(self).get("_names")
        if names is None or id(part) not in names:
            names = {id(child): _part_text(path, child) for path, child in self.named_children()}
            names.setdefault(id(part), type(part).__name__)
            self._names = names
        return names[id(part)]


def find_computed(module: Module) -> str | None:
    """Return the path of a Tensor attribute that was computed outside of modules, or None; e.g. ``0.1 * Tensor(w)``.

    Such a Tensor is not a leaf, so it is not found as a parameter.
    """
    for path, part in module.named_modules():
        for name, value in _find_members(part.attributes()):
            if isinstance(value, Tensor) and value.node is not None and not value.is_leaf and value.node.scope is None:
                return f"{path}.{name}" if path else name
    return None


def _find_members(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the Tensors and Modules in attributes, and in lists, tuples and dicts in them, with their paths."""
    stack = [(str(name), value) for name, value in reversed(list(attributes.items()))]
    nests: set[int] = set()  # a list that contains itself is searched once
    while stack:
        path, value = stack.pop()
        if isinstance(value, (Tensor, Module)):
            yield path, value
        elif isinstance(value, (list, tuple, dict)) and id(value) not in nests:
            nests.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            stack += [(f"{path}.{key}", inner) for key, inner in reversed(list(items))]


def _fold_lines(children: list[tuple[str, str]]) -> list[str]:
    """Return the lines of the ``repr``; several equal submodules in a row become one line: ``0 ... 5: 6 × ...``."""
    lines: list[str] = []
    for text, run in groupby(children, lambda child: child[1]):
        names = [name for name, _ in run]
        if len(names) > (2 if "\n" in text else 4):
            lines.append(f"{names[0]} ... {names[-1]}: {len(names)} × {text}")
        else:
            lines += [f"{name}: {text}" for name in names]
    return lines if len(lines) <= MOST else [*lines[:MOST], f"... {len(lines) - MOST} more, {names[-1]} the last"]


def _inner_first(module: Module, seen: set[int]) -> Iterator[Module]:
    """Yield all submodules, each once and inner ones first, and then the module."""
    if id(module) not in seen:
        seen.add(id(module))
        for _, child in module.named_children():
            yield from _inner_first(child, seen)
        yield module


def _part_text(path: str, part: Module) -> str:
    first, *rest = path.split(".")
    name = first + "".join(f"[{key}]" for key in rest)
    title = part.title()
    kind = title if title.isidentifier() else type(part).__name__  # a Lambda's title is the name of its function
    return f"{name} {kind}" if first.isdigit() else name


def _add_path(error: Exception, scope: str | None, missing: str, args: tuple[Any, ...]) -> None:
    """Add the path of the innermost module to an error: before its text, or as a note if the text is not in args[0].

    If `missing` begins the text, the module was called with too few of its `args`.
    """
    if hasattr(error, "module_path") or not scope:
        return
    if error.args and isinstance(error.args[0], str):
        told = ""
        if len(args) == 1 and isinstance(args[0], (tuple, dict)) and missing in error.args[0]:
            unpacked = "x['a'], x['b']" if isinstance(args[0], dict) else "x"
            told = f". The inputs came as one {type(args[0]).__name__}: def forward(self, x): a, b = {unpacked}"
        error.args = (f"in {printable(scope)}: {error.args[0]}{told}", *error.args[1:])
    else:  # such as NumPy's AxisError
        error.add_note(f"in {printable(scope)}")
    if str(error).endswith("'int' object is not callable"):
        error.add_note("If it is x.size(0), write x.shape[0]: the size of an ndarray is a number.")
    error.module_path = scope  # type: ignore[attr-defined]
