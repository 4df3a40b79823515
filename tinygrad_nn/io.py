"""Save and load trained networks (`save_network`, `load_network`) and the weights of a module (`save_weights`, ...).

Files are in the safetensors format: arrays and text. The text of a network holds the architecture, the scaling, the
class names and a checksum, so that the file is enough to use the network. Nothing in a file is ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .common.printable import counted, printable
from .common.spelling import did_you_mean, no_attribute
from .data import Columns, Scaler
from .files import StrPath, write_whole
from .files.pytorch import is_pytorch, read_pytorch
from .files.safetensors import check_digest, digest, pack, parse, read, seal
from .nn.containers import Lambda, Sequential
from .nn.layer import Layer
from .nn.module import Module
from .onnx import load_onnx as load_onnx
from .onnx import save_onnx as save_onnx
from .solver import Predict

Array = np.ndarray[Any, Any]

FORMAT, VERSION = "tinygrad_nn network", "1"
TASKS = ("classification", "regression")
DTYPES = ("float32", "float64")
COUNT = "num_batches_tracked"  # a buffer of PyTorch's batch norm that counts calls; it is not needed here
_AGAIN = "Train again, or copy the file again from its source."


@dataclass(frozen=True)
class Network:
    """A trained network with everything needed to use it; `save_network` writes it and `load_network` returns it.

    Args:
        layers: the layers of the model.
        task: ``'classification'`` or ``'regression'``.
        features: the names of the input columns, in order; empty if they have no names.
        target: the name of the predicted column.
        classes: the class names of a classification, in the order of the output columns; empty if they have no names.
        scaler: scales the inputs; ``None`` leaves them unscaled.
        target_scaler: its inverse is applied to the output of a regression.
        about: further information to keep in the file, anything that JSON can hold, such as how it was trained.
        columns: how the features are read from a table; ``None`` if they are plain numbers.

    Raises:
        ValueError: there are no layers, the task is unknown, or names and scalers do not fit the layers.
    """

    layers: Sequence[Layer]
    task: str = "classification"
    features: tuple[str, ...] = ()
    target: str = "target"
    classes: tuple[str, ...] = ()
    scaler: Scaler | None = None
    target_scaler: Scaler | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    columns: Columns | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("Network: there are no layers; pass the model that was trained.")
        if self.task not in TASKS:
            raise ValueError(f"Network: task={self.task!r}; known are {', '.join(map(repr, TASKS))}.")
        n_in, n_out = self.layers[0].n_in, self.layers[-1].n_out
        for noun, where, count, need in (
            ("feature name", "", len(self.features) or n_in, n_in),
            ("column", " of a table", n_in if self.columns is None else len(self.columns.names), n_in),
            ("class name", "", len(self.classes) or n_out, n_out),
            ("column", " in scaler", n_in if self.scaler is None else len(self.scaler.mean), n_in),
            ("column", " in target_scaler",
             n_out if self.target_scaler is None else len(self.target_scaler.mean), n_out),
        ):
            if count != need:
                raise ValueError(
                    f"Network: {counted(count, noun)}{where}, but the layers have {counted(need, 'column')} there; "
                    f"pass {need}."
                )

    def predict(self, x: Any) -> Array:
        """Return the output for unscaled inputs: class probabilities, or numbers in the unit of the target.

        Args:
            x: ``(batch, n_in)``, unscaled.

        Returns:
            An ndarray ``(batch, n_out)``.
        """
        rows = np.asarray(x, dtype=np.float64)
        output = Predict(self.layers, rows if self.scaler is None else self.scaler.transform(rows))
        return output if self.target_scaler is None else self.target_scaler.inverse(output)

    def as_module(self) -> Sequential:
        """Return a module with the layers and the scalers around them; its output is that of `predict`."""
        parts: list[Any] = list(self.layers)
        if (before := self.scaler) is not None:
            parts.insert(0, Lambda(lambda x: (x - before.mean) / before.scale))
        if (after := self.target_scaler) is not None:
            parts.append(Lambda(lambda y: y * after.scale + after.mean))
        return Sequential(*parts)

    def labels(self, output: Array) -> list[str]:
        """Return the class name of each row of an output: the class of its largest entry."""
        names = self.classes or tuple(map(str, range(self.layers[-1].n_out)))
        return [names[k] for k in output.argmax(axis=1)]


def save_network(path: StrPath, network: Network) -> Path:
    """Write a network to a file; if writing fails, an existing file is left unchanged.

    Args:
        path: the file, by convention with the suffix ``.safetensors``.
        network: the layers, and how to use them.

    Returns:
        The path.

    Raises:
        ValueError: a weight is infinite, NaN or not of type float32 or float64, or `about` does not fit into JSON.
        FileNotFoundError: the folder does not exist.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> network = Network([Layer(4, 3, "softmax", rng=0)], classes=("a", "b", "c"))
        >>> with TemporaryDirectory() as folder:
        ...     again = load_network(save_network(Path(folder) / "model.safetensors", network))
        >>> again.layers, again.classes
        ([Layer(4, 3, softmax)], ('a', 'b', 'c'))
    """
    return write_whole(path, to_bytes(network))


def to_bytes(network: Network) -> bytes:
    """Return the content of a network's file; equal networks give equal bytes."""
    arrays = {
        f"layer{k}.{name}": np.ascontiguousarray(getattr(layer, name).data)
        for k, layer in enumerate(network.layers, start=1)
        for name in ("W", "b")
    }
    for name, array in arrays.items():
        if str(array.dtype) not in DTYPES:
            raise ValueError(
                f"save_network: {name} is of type {array.dtype}; a file holds {' or '.join(DTYPES)}. Make the layers "
                "with dtype=np.float32."
            )
        if not np.isfinite(array).all():
            raise ValueError(f"save_network: {name} holds infinities or NaN; a training that diverged is not saved.")
    try:
        text = json.dumps(_describe(network), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"save_network: about={network.about!r:.80} does not fit into JSON: {error}.") from None
    notes = {"format": FORMAT, "version": VERSION, "network": text, "sha256": digest(text, arrays)}
    return pack(arrays, notes)


def load_network(path: StrPath) -> Network:
    """Read a network that `save_network` wrote.

    Args:
        path: the file.

    Returns:
        The `Network`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off, was changed, or was not written by `save_network`.
    """
    arrays, notes = read(path)
    if notes.get("format") != FORMAT:
        raise ValueError(
            f"{printable(path)} is a safetensors file, but not of a tinygrad_nn network. Pass the "
            "model.safetensors that `tinygrad-nn train` wrote."
        )
    if notes.get("version") != VERSION:
        raise ValueError(
            f"{printable(path)} has format version {notes.get('version')!r:.60}, and this tinygrad_nn reads version "
            f"{VERSION!r}. Install the version that wrote it, or train again."
        )
    text = notes.get("network", "")
    check_digest(path, text, arrays, notes)
    known = parse(path, text)
    try:
        return _build(known, arrays)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError) as error:
        text = printable(f"{type(error).__name__}: {error!s:.200}")
        raise ValueError(
            f"{printable(path)} does not describe a network that can be built ({text}). {_AGAIN}"
        ) from None


def save_weights(path: StrPath, model: Module) -> Path:
    """Write the parameters and buffers of a module to a file, under the names that PyTorch uses.

    If writing fails, an existing file is left unchanged.

    Args:
        path: the file, by convention with the suffix ``.safetensors``.
        model: its `Module.state_dict` is written; other programs can read the file.

    Returns:
        The path.

    Raises:
        TypeError: the model is not a module.
        FileNotFoundError: the folder does not exist.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tinygrad_nn.nn import Linear
        >>> trained, other = Linear(4, 3, rng=0), Linear(4, 3, rng=1)
        >>> with TemporaryDirectory() as folder:
        ...     load_weights(save_weights(Path(folder) / "weights.safetensors", trained), other)
        >>> bool((other.weight.data == trained.weight.data).all())
        True
    """
    _check_model("save_weights", path, model)
    return write_whole(path, seal("weights", model.state_dict()).content)


def _check_model(call: str, path: Any, model: Any) -> None:
    """Raise a TypeError unless a path and a module were given, in this order."""
    if isinstance(model, Module) and not isinstance(path, Module):
        return
    hint = f"Write {call}(path, model)."
    if isinstance(path, Module):
        hint = f"The path comes first: {call}(path, model)."
    elif isinstance(model, (list, tuple)):
        hint = f"Write {call}(path, nn.Sequential(*layers)), or save_network(path, Network(layers))."
    came = f"a {type(path).__name__} and a {type(model).__name__}"
    raise TypeError(f"{call} takes a path and a module; it got {came}. {hint}")


def load_weights(
    path: StrPath, model: Module, strict: bool = True, *, prefix: str = "",
    rename: Mapping[str, str] | Callable[[str], str | None] | str | None = None,
) -> None:  # fmt: skip
    """Load parameters and buffers into a module, from a file written by `save_weights` or by PyTorch.

    Args:
        path: a safetensors file; or a file by ``torch.save``, which PyTorch's weights-only loader reads if PyTorch is
            installed.
        model: the module to load into; if anything fails it is left unchanged.
        strict: whether file and model must have exactly the same names; otherwise only common names are loaded.
        prefix: load only the names in the file that begin with it, such as ``"module."`` or ``"backbone."``, and
            remove it from them.
        rename: after that, maps names in the file to names in the model: a dict of names or of leading parts of names
            (``{"encoder": "body.0"}``); or a function, which returns ``None`` for names to leave out; or ``"guess"``,
            which matches parts of the file to parts of the model by their shapes, if there is only one way to do so.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off or altered, or belongs to another architecture; the message says what differs.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tinygrad_nn.nn import Linear, Sequential
        >>> model, head = Sequential({"old": Linear(4, 3, rng=0)}), Sequential(Linear(4, 3, rng=1))
        >>> with TemporaryDirectory() as folder:
        ...     path = save_weights(Path(folder) / "weights.safetensors", model)
        ...     load_weights(path, head, rename={"old": "0"})
        >>> bool((head[0].weight.data == model.old.weight.data).all())
        True
    """
    _check_model("load_weights", path, model)
    if isinstance(rename, str) and rename != "guess":
        raise ValueError(f"load_weights: rename={rename!r}; it must be 'guess', a dict, or a function of a name.")
    arrays = _read_weights(path)
    try:
        guessed = rename == "guess"
        if guessed:
            under = _renamed(arrays, prefix, None)
            rename, prefix, arrays = _guessed(under, model.state_dict()), "", under
        state = _renamed(arrays, prefix, rename)
        if guessed:  # the counters of batch norms are not matched, so the model keeps its own
            state |= {name: array for name, array in model.state_dict().items() if name.rpartition(".")[2] == COUNT}
        model.load_state_dict(state, strict)
    except ValueError as error:
        raise ValueError(f"{printable(path)}: {printable(error)}{_hint(arrays, model, prefix)}") from None


def _read_weights(path: StrPath) -> dict[str, Array]:
    """Return the arrays of a file of weights, by name."""
    if is_pytorch(path):
        return read_pytorch(path)
    arrays, notes = read(path)
    if notes.get("format", "").startswith("tinygrad_nn"):  # files by other programs have no checksum
        if notes["format"] != "tinygrad_nn weights":
            kind = printable(f"{notes['format'].partition(' ')[2]:.60}")
            raise ValueError(
                f"{printable(path)} holds a {kind}, not just weights; read it with tinygrad_nn.io.load_network."
            )
        check_digest(path, "weights" + notes.get("text", "?"), arrays, notes)
    return arrays


def _renamed(arrays: Mapping[str, Array], prefix: str, rename: Any) -> dict[str, Array]:
    """Return the arrays whose names begin with the prefix, under their new names."""
    found: dict[str, str] = {}
    prefix = prefix and prefix.rstrip(".") + "."
    for name in arrays:
        new = _new_name(name[len(prefix) :], rename) if name.startswith(prefix) else None
        if new in found:
            raise ValueError(f"{found[new]} and {name} would both be called {new}; change rename=.")
        if new is not None:
            found[new] = name
    if not found and arrays:
        firsts = sorted({name.partition(".")[0] for name in arrays})
        hint = did_you_mean(prefix.partition(".")[0], firsts)
        raise ValueError(f"no name begins with prefix={prefix!r}; they begin with {', '.join(firsts[:10])}.{hint}")
    return {new: arrays[name] for new, name in found.items()}


def _guessed(arrays: Mapping[str, Array], state: Mapping[str, Array]) -> Callable[[str], str | None]:
    """Return the function that maps names in a file to names in a model, by parts that have the same shapes.

    Raises:
        ValueError: a part of the model fits several parts of the file, or none; the message lists them with a `rename`
            to start from.
    """
    theirs, ours = _parts(arrays), _parts(state)
    pairs: dict[str, str] = {}
    open_: list[str] = []
    for shapes in dict.fromkeys([*ours.values()]):
        there = [name for name, found in theirs.items() if found == shapes]
        here = [name for name, found in ours.items() if found == shapes]
        same = {name for name in here if name in there}  # a part with the same name in both is the same part
        pairs.update({name: name for name in same})
        there, here = (sorted({*names} - same, key=_numeric_sort_key) for names in (there, here))
        pairs.update(zip(there, here, strict=False))  # if there are several, a first suggestion in order of their names
        if here and (len(there) != 1 or len(here) != 1):
            said = ", ".join(f"{leaf} {'x'.join(map(str, shape)) or 'of one number'}" for leaf, shape in shapes[:3])
            open_.append(f"{', '.join(there) or 'nothing'} for {', '.join(here)} ({said})")
    if open_:
        raise ValueError(
            f"the names cannot be matched uniquely: in the file {'; '.join(open_)}. Write which is which, e.g. "
            f"rename={pairs}."
        )
    def renamed(name: str) -> str | None:
        part, _, leaf = name.rpartition(".")
        return None if leaf == COUNT or part not in pairs else f"{pairs[part]}.{leaf}".lstrip(".")

    return renamed


def _numeric_sort_key(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which "layer.10" comes after "layer.9"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def _parts(arrays: Mapping[str, Array]) -> dict[str, tuple[tuple[str, tuple[int, ...]], ...]]:
    """Return for each part of a model (the name up to its last dot) the names and shapes of its arrays."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, array in arrays.items():
        part, _, leaf = name.rpartition(".")
        if leaf != COUNT:
            found.setdefault(part, {})[leaf] = np.shape(array)
    return {part: tuple(sorted(leaves.items())) for part, leaves in found.items()}


def _hint(arrays: Mapping[str, Array], model: Module, prefix: str) -> str:
    """Return a sentence that suggests a prefix under which the file has all names of the model, or an empty string."""
    names = set(model.state_dict())
    found = {name[: -len(own) - 1] for own in list(names)[:1] for name in arrays if name.endswith(f".{own}")}
    fitting = [start for start in sorted(found) if all(f"{start}.{name}" in arrays for name in names)]
    return f" Under prefix={printable(fitting[0])!r} it has all names." if fitting and not prefix else ""


def _new_name(name: str, rename: Any) -> str | None:
    if rename is None:
        return name
    if callable(rename):
        return rename(name)  # type: ignore[no-any-return]
    parts = name.split(".")
    for count in range(len(parts), 0, -1):  # the longest leading part that `rename` contains wins
        if (start := ".".join(parts[:count])) in rename:
            return ".".join(part for part in (rename[start], *parts[count:]) if part)
    return name


def _describe(network: Network) -> dict[str, Any]:
    return {
        "layers": [
            {"n_in": layer.n_in, "n_out": layer.n_out, "activation": layer.activation,
             "distribution": layer.distribution, "dtype": str(layer.dtype)}
            for layer in network.layers
        ],
        "task": network.task,
        "features": list(network.features),
        "target": network.target,
        "classes": list(network.classes),
        "columns": network.columns.to_dict() if network.columns else None,
        "scaler": network.scaler.to_dict() if network.scaler else None,
        "target_scaler": network.target_scaler.to_dict() if network.target_scaler else None,
        "about": dict(network.about),
    }  # fmt: skip


def _build(saved: dict[str, Any], arrays: Mapping[str, Array]) -> Network:
    for name, kind in (("features", list), ("classes", list), ("target", str), ("about", dict), ("layers", list)):
        value = saved[name]
        if not isinstance(value, kind) or (name in ("features", "classes") and {type(v) for v in value} - {str}):
            raise ValueError(f"{name} is {value!r:.60}")
    layers = []
    for k, part in enumerate(saved["layers"], start=1):
        W, b = arrays[f"layer{k}.W"], arrays[f"layer{k}.b"]
        if {str(W.dtype), str(b.dtype)} != {part["dtype"]} or part["dtype"] not in DTYPES:
            raise ValueError(f"layer {k} is of type {W.dtype}, not {part['dtype']}")
        if W.shape != (part["n_out"], part["n_in"]):  # checked first, so that no layer of a huge size is allocated
            raise ValueError(f"layer {k} has weights of shape {W.shape}")
        # rng=0: the initial weights are replaced at once, so need no random seed from the operating system
        layer = Layer(part["n_in"], part["n_out"], part["activation"], part["distribution"], rng=0, dtype=W.dtype)
        layer.W, layer.b = W, b
        layers.append(layer)
    if len(arrays) != 2 * len(layers):
        raise ValueError(f"{counted(len(arrays), 'array')} for {len(layers)} layers")
    scaler, target_scaler = (
        None if saved[name] is None else Scaler.from_dict(saved[name]) for name in ("scaler", "target_scaler")
    )
    features, classes = tuple(saved["features"]), tuple(saved["classes"])
    columns = None if saved.get("columns") is None else Columns.from_dict(saved["columns"])  # older files lack it
    return Network(
        layers, saved["task"], features, saved["target"], classes, scaler, target_scaler, saved["about"], columns
    )  # fmt: skip


def __getattr__(name: str) -> object:
    public = [each for each, value in globals().items() if callable(value) and each.startswith(("load", "save"))]
    raise no_attribute(f"module {__name__!r}", name, [*public, "Network"])
