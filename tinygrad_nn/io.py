"""Save a trained network with all that is needed to use it, and load it again.

A file is in the safetensors format: arrays, and text. The text holds the architecture, the scaling, the names of the
classes and a checksum. Nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .data import Scaler
from .files import write_whole
from .nn.layer import Layer
from .solver import Predict

Array = np.ndarray[Any, Any]
StrPath = str | os.PathLike[str]

FORMAT, VERSION = "tinygrad_nn network", "1"
TASKS = ("classification", "regression")
DTYPES = ("float32", "float64")
_AGAIN = "Train again, or copy the file again from where it came."


@dataclass(frozen=True)
class Network:
    """A trained network and how to use it: what `save_network` writes and `load_network` returns.

    Args:
        layers: the model.
        task: ``'classification'`` or ``'regression'``.
        features: the names of the columns that go in, in their order; empty if they have none.
        target: the name of what comes out.
        classes: of a classification, in the order of the output columns; empty if they have no names.
        scaler: scales the inputs; ``None`` takes them as they are.
        target_scaler: its inverse is applied to the output of a regression.
        about: more to keep with it, anything that JSON can hold, such as how it was trained.

    Raises:
        ValueError: names and scalings do not fit the layers.
    """

    layers: Sequence[Layer]
    task: str = "classification"
    features: tuple[str, ...] = ()
    target: str = "target"
    classes: tuple[str, ...] = ()
    scaler: Scaler | None = None
    target_scaler: Scaler | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("Network: there are no layers; pass the model that was trained.")
        if self.task not in TASKS:
            raise ValueError(f"Network: task={self.task!r}; known are {', '.join(map(repr, TASKS))}.")
        n_in, n_out = self.layers[0].n_in, self.layers[-1].n_out
        for what, count, need in (
            ("feature names", len(self.features) or n_in, n_in),
            ("class names", len(self.classes) or n_out, n_out),
            ("columns in scaler", n_in if self.scaler is None else len(self.scaler.mean), n_in),
            ("columns in target_scaler", n_out if self.target_scaler is None else len(self.target_scaler.mean), n_out),
        ):
            if count != need:
                raise ValueError(f"Network: {count} {what}, but the layers have {need} columns there; pass {need}.")

    def predict(self, x: Any) -> Array:
        """Return the output for inputs as they stand in the table: probabilities, or numbers in the target's unit.

        Args:
            x: ``(batch, n_in)``, unscaled.

        Returns:
            An ndarray ``(batch, n_out)``.
        """
        rows = np.asarray(x, dtype=np.float64)
        output = Predict(self.layers, rows if self.scaler is None else self.scaler.transform(rows))
        return output if self.target_scaler is None else self.target_scaler.inverse(output)

    def labels(self, output: Array) -> list[str]:
        """Return the class of each row of an output: the column of its largest entry."""
        names = self.classes or tuple(map(str, range(self.layers[-1].n_out)))
        return [names[k] for k in output.argmax(axis=1)]


def save_network(path: StrPath, network: Network) -> Path:
    """Write a network to a file, whole or not at all.

    Args:
        path: where to, by custom with the suffix ``.safetensors``.
        network: the layers, and how to use them.

    Returns:
        The path.

    Raises:
        ValueError: a weight is infinite or NaN, or `about` holds what JSON cannot.
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
    """Return a network as the content of its file; the same network gives the same bytes."""
    from safetensors.numpy import save

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
    notes = {"format": FORMAT, "version": VERSION, "network": text, "sha256": _digest(text, arrays)}
    return _canonical(save(arrays, notes))


def load_network(path: StrPath) -> Network:
    """Read a network that `save_network` wrote.

    Args:
        path: of the file.

    Returns:
        The `Network`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off, changed, or none of ours; nothing of it is used then.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; pass the file in it, e.g. {path / 'model.safetensors'}.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file, seen from {os.getcwd()}. Correct the path.") from None
    arrays, notes = _open(path, content)
    if notes.get("format") != FORMAT:
        raise ValueError(
            f"{path} is a safetensors file, but none of a network of tinygrad_nn. Pass the model.safetensors that "
            "`tinygrad-nn train` wrote."
        )
    if notes.get("version") != VERSION:
        raise ValueError(
            f"{path} has format version {notes.get('version')!r}, and this tinygrad_nn reads version {VERSION!r}. "
            "Install the version that wrote it, or train again."
        )
    text = notes.get("network", "")
    if _digest(text, arrays) != notes.get("sha256"):
        raise ValueError(f"{path} was changed after it was written: its checksum does not fit. {_AGAIN}")
    try:
        return _build(json.loads(text), arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} describes no network that can be built ({error}). {_AGAIN}") from None


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
        "scaler": network.scaler.to_dict() if network.scaler else None,
        "target_scaler": network.target_scaler.to_dict() if network.target_scaler else None,
        "about": dict(network.about),
    }  # fmt: skip


def _build(known: dict[str, Any], arrays: Mapping[str, Array]) -> Network:
    layers = []
    for k, part in enumerate(known["layers"], start=1):
        W, b = arrays[f"layer{k}.W"], arrays[f"layer{k}.b"]
        if {str(W.dtype), str(b.dtype)} != {part["dtype"]} or part["dtype"] not in DTYPES:
            raise ValueError(f"layer {k} is of type {W.dtype}, not {part['dtype']}")
        if W.shape != (part["n_out"], part["n_in"]):  # before a layer of who knows what size is made
            raise ValueError(f"layer {k} has weights of shape {W.shape}")
        # with rng=0, so that a draw that is thrown away does not ask the system for randomness
        layer = Layer(part["n_in"], part["n_out"], part["activation"], part["distribution"], rng=0, dtype=W.dtype)
        layer.W, layer.b = W, b
        layers.append(layer)
    if len(arrays) != 2 * len(layers):
        raise ValueError(f"{len(arrays)} arrays for {len(layers)} layers")
    scaler, target_scaler = (
        None if known[name] is None else Scaler.from_dict(known[name]) for name in ("scaler", "target_scaler")
    )
    features, classes = tuple(known["features"]), tuple(known["classes"])
    return Network(
        layers, known["task"], features, known["target"], classes, scaler, target_scaler, known["about"]
    )  # fmt: skip


def _digest(text: str, arrays: Mapping[str, Array]) -> str:
    """Return a checksum of the text and of each array with its name, type and shape."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _canonical(content: bytes) -> bytes:
    """Return a safetensors file with its header in sorted order, so that equal networks give equal files."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the arrays begin at a multiple of eight
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _open(path: Path, content: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and the notes of a safetensors file."""
    from safetensors.numpy import load

    size = int.from_bytes(content[:8], "little")
    start = content[8:10]
    if len(content) < 10 or not start.startswith(b"{"):
        _refuse(path, content)
    if 8 + size > len(content):
        have, need = f"{len(content):,}", f"{8 + size:,}"
        raise ValueError(f"{path} is cut off: {have} bytes are there, its head alone needs {need}. {_AGAIN}")
    try:
        header = json.loads(content[8 : 8 + size])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        missing = 8 + size + max(ends, default=0) - len(content)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise ValueError(f"{path} was changed after it was written: its head cannot be read. {_AGAIN}") from None
    if missing > 0:
        raise ValueError(f"{path} is cut off: {missing:,} of {len(content) + missing:,} bytes are missing. {_AGAIN}")
    try:
        arrays = load(content)
    except Exception as error:  # the library's own error, or NumPy's for a shape or type it does not know
        raise ValueError(f"{path} was changed after it was written ({error}). {_AGAIN}") from None
    notes = header.get("__metadata__")
    return arrays, notes if isinstance(notes, dict) else {}


def _refuse(path: Path, content: bytes) -> NoReturn:
    what = "is empty" if not content else "is not a safetensors file"
    raise ValueError(f"{path} {what}. Pass the model.safetensors that `tinygrad-nn train` wrote.")
