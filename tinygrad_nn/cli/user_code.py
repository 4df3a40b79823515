"""The user's own code: how `FILE.py:NAME` is found, run and called, and how errors name the user's source line."""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..common.closures import noting_variables
from .errors import UserError

if TYPE_CHECKING:
    from ..solver import Solver

ARGUMENTS = (
    "{place} takes {wanted}, and it is called without arguments. Write a function around it that returns "
    "{name}(...), or put the arguments into the same file: inputs = (x, W)."
)
RESULT = (
    "{place} gave {what}; a graph is drawn from a Tensor, or from several in a tuple, list or dict: return the result "
    "of a computation on Tensors, without .data or .item(). A network is returned with its data: (model, x) or "
    "(model, x, y)."
)
NO_GRAPH = (
    "{place} gave a result without a graph: no operation on a Tensor led to it. Compute it from Tensors of floats, "
    "such as Tensor([1.0, 2.0]), outside of no_grad()."
)
MODEL = (
    "{place} gave {what}; a network is drawn from a list of layers: return model, (model, x) or (model, x, y), with "
    "layers that have W and b."
)


class UserResult(NamedTuple):
    """The value that the user's function returned, with its local variables and the globals of its file."""

    place: str
    value: Any
    names: dict[str, Any]


class UserNetwork(NamedTuple):
    """A network of the user: its layers, and the inputs and targets if these were returned too."""

    model: Any
    x: Any = None
    y: Any = None


def split_place(place: str) -> tuple[str, str]:
    """Split ``FILE.py:NAME`` into file and name.

    Raises:
        ValueError: the text does not have that form.
    """
    path, colon, name = place.rpartition(":")
    if not colon or not path or not name.isidentifier():
        raise ValueError(f"{place!r} names no object in a file; write FILE.py:NAME, e.g. mine.py:backward.")
    return path, name


def load_object(place: str) -> Any:
    """Return the object that ``FILE.py:NAME`` names. The file is run once and may import modules from its folder.

    Raises:
        ValueError: the file does not exist, or has no such name.
        RuntimeError: the file raises an error; the message names its line.
    """
    path, name = split_place(place)
    module = _module(path, place)
    if not hasattr(module, name):
        known = ", ".join(n for n in vars(module) if not n.startswith("_")) or "nothing"
        raise ValueError(f"{path} has no {name!r}; it has {known}.")
    return getattr(module, name)


def _module(path: str, place: str) -> Any:
    file = Path(path).resolve()
    if not file.is_file():
        raise ValueError(f"there is no file {path}; {place!r} should be FILE.py:NAME.")
    key = f"_tinygrad_nn_own_{file.stem}_{abs(hash(str(file))):x}"
    module = sys.modules.get(key)
    if module is None:
        spec = importlib.util.spec_from_file_location(key, file)
        if spec is None or spec.loader is None:
            raise ValueError(f"{path} is not a Python file; write FILE.py:NAME.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module
        if str(file.parent) not in sys.path:
            sys.path.insert(0, str(file.parent))  # as `python FILE.py` does
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[key]
            raise UserError(_error_with_line(error, file, path)) from error
    return module


def with_error_lines(f: Any, place: str) -> Any:
    """Return a function wrapped so that its errors name the user's source line; return other objects unchanged."""
    if not callable(f):
        return f
    path = split_place(place)[0]

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise UserError(_error_with_line(error, Path(path).resolve(), path)) from error

    call.__name__ = getattr(f, "__name__", "function")
    with suppress(TypeError, ValueError):  # some NumPy functions have no signature
        call.__signature__ = inspect.signature(f)  # type: ignore[attr-defined]
    return call


def _error_with_line(error: BaseException, file: Path, path: str) -> str:
    """Return the text of an error with the last line of the user's file in its traceback."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    number = lines[-1] if lines else getattr(error, "lineno", None)  # a SyntaxError has its own line
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if not number:
        return f"{path}: {what}"
    source = linecache.getline(str(file), number).strip()
    return f"{path}, line {number}: {what}{f'; the line is: {source}' if source else ''}"


def call_object(place: str, inputs: str | None = None) -> UserResult:
    """Load an object and, if it is a function, call it: without arguments, or with the `inputs` of its file.

    Args:
        place: ``FILE.py:FUNCTION``, or ``FILE.py:NAME`` of a finished result.
        inputs: ``FILE.py:NAME`` of a tuple or dict of arguments; by default `inputs` in the same file, if the function
            has required arguments. Floating-point arrays become Tensors named like the parameters.

    Raises:
        ValueError: the object does not exist, or it needs arguments and there are none.
        RuntimeError: the code raises an error; the message names its line.
    """
    found = load_object(place)
    module = _module(split_place(place)[0], place)
    around = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    if not callable(found) or hasattr(found, "named_modules"):  # a module is callable, but is itself the result
        if inputs is not None:
            raise ValueError(f"inputs={inputs} are for a function, and {place} is {_with_article(found)}.")
        return UserResult(place, found, around)
    given, keywords = _arguments(place, found, inputs, module)
    with noting_variables(found) as inner, np.errstate(all="ignore"):  # the drawing shows numbers that are not finite
        value = with_error_lines(found, place)(*given, **keywords)
    if inspect.iscoroutine(value):
        value.close()
        raise ValueError(f"{place} is async, and nothing runs it; write a function around it: return asyncio.run(...).")
    return UserResult(place, value, around | inner)


def function_of(
    place: str, inputs: str | None, loss: str | None = None
) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
    """Return the user's function, which will be run repeatedly, with its arguments.

    The returned function gives the Tensors whose graph is drawn, as `drawn_tensors` does.

    Raises:
        ValueError: ``place`` names a finished result, not a function.
    """
    found = load_object(place)
    module = _module(split_place(place)[0], place)
    if not callable(found) or hasattr(found, "named_modules"):
        raise ValueError(
            f"{place} is {_with_article(found)}, and a change needs the function that makes the graph, to run it "
            "again; write a function around it that returns the result."
        )
    given, keywords = _arguments(place, found, inputs, module)

    @wraps(found)
    def rerun(*args: Any, **kwargs: Any) -> Any:
        return drawn_tensors(UserResult(place, with_error_lines(found, place)(*args, **kwargs), {}), loss)

    return rerun, given, keywords


def _required_names(f: Callable[..., Any]) -> list[str]:
    """Return the names of the required parameters of a function."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _arguments(place: str, f: Callable[..., Any], inputs: str | None, module: Any) -> tuple[list[Any], dict[str, Any]]:
    from ..compare.function.calling import arrange
    from ..tensor import Tensor

    required = _required_names(f)
    if inputs is None and not required:
        return [], {}
    if inputs is None and not hasattr(module, "inputs"):
        name = split_place(place)[1]
        raise ValueError(ARGUMENTS.format(place=place, name=name, wanted=", ".join(required)))
    values = module.inputs if inputs is None else load_object(inputs)
    values = with_error_lines(values, inputs or place)() if callable(values) else values
    found = arrange(f, values)
    moving = set(found.float_indices)
    leaves = [Tensor(x, name=label) if i in moving else x
              for i, (x, label) in enumerate(zip(found.leaves, found.labels, strict=True))]  # fmt: skip
    done = found.with_leaves([leaves[i] for i in found.float_indices])
    return ([], dict(zip(found.names, done, strict=True))) if found.by_name else (done, {})


def drawn_tensors(result: UserResult, loss: str | None = None) -> Any:
    """Return the Tensors whose graph is drawn: those returned, or the output or loss of a returned network.

    Args:
        result: the result of `call_object`.
        loss: the loss for a network that was returned with targets; by default the one that fits its output.

    Raises:
        ValueError: the value contains no Tensors, or they are not results of an operation.
    """
    from ..graph.view import GraphView

    value = result.value
    found = as_network(value)
    if found is not None and found.x is not None:
        value = _output(found, loss)
    elif found is not None:
        raise ValueError(RESULT.format(place=result.place, what="a network without data"))
    try:
        view = GraphView(value)
    except TypeError:
        raise ValueError(RESULT.format(place=result.place, what=_with_article(value))) from None
    if all(part.operation is None for part in view):
        raise ValueError(NO_GRAPH.format(place=result.place))
    return value


def _output(network: UserNetwork, loss: str | None) -> Any:
    from ..solver import graph_loss

    if network.y is not None:
        return graph_loss(network.model, network.x, network.y, solver=solver_for(network.model, loss))
    if callable(network.model):
        return network.model(network.x)
    out = network.x
    for layer in network.model:
        out = layer(out)
    return out


def solver_for(model: Any, loss: str | None) -> Solver:
    """Return a solver with this loss; the default fits the activation of the last layer, or the last function."""
    from ..solver import Solver
    from ..viz.model.values import sequential_parts

    fits = {"softmax": "crossentropy", "sigmoid": "binarycrossentropy"}
    last = sequential_parts(model)[-1]
    name = str(getattr(last, "activation", None) or getattr(last, "__name__", repr(last)))
    return Solver(loss or fits.get(name, "mse"))


def variable_names(result: UserResult) -> dict[str, Any]:
    """Return the user's variables by name and, for a returned model, its parameters by their paths."""
    from ..viz.model.names import parameters

    found = as_network(result.value)
    return result.names | (parameters(found.model) | {"x": found.x, "y": found.y} if found else {})


def network_of(result: UserResult) -> UserNetwork:
    """Return the user's network, with its data if that was returned.

    Raises:
        ValueError: the value is not a network.
    """
    found = as_network(result.value)
    if found is None:
        raise ValueError(MODEL.format(place=result.place, what=_with_article(result.value)))
    return found


def as_network(value: Any) -> UserNetwork | None:
    """Return a model, or a tuple (model, x) or (model, x, y), as `UserNetwork`; ``None`` for anything else."""
    from ..tensor import Tensor

    def is_model(part: Any) -> bool:
        if isinstance(part, (list, tuple)):
            return bool(part) and all(callable(layer) and not isinstance(layer, Tensor) for layer in part)
        return callable(part) and not isinstance(part, Tensor)

    if isinstance(value, tuple) and 2 <= len(value) <= 3 and is_model(value[0]) and not callable(value[1]):
        return UserNetwork(*value)
    return UserNetwork(value) if is_model(value) else None


def _with_article(value: Any) -> str:
    if value is None:
        return "nothing (None)"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' or name == 'ndarray' else 'a'} {name}"
