"""Arrays in safetensors files, read with distrust: what is cut off or changed is refused, and nothing of it is used."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .files import StrPath

Array = np.ndarray[Any, Any]
VERSION = "1"
_AGAIN = "Train again, or copy the file again from where it came."


def pack(arrays: Mapping[str, Array], notes: Mapping[str, str]) -> bytes:
    """Return the content of a safetensors file; equal arrays and notes give equal bytes."""
    from safetensors.numpy import save

    return _canonical(save({name: np.asarray(array, order="C") for name, array in arrays.items()}, dict(notes)))


def seal(kind: str, arrays: Mapping[str, Array], text: str = "") -> bytes:
    """Return the content of a file of ours: of this kind, with a text, and a checksum of everything."""
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} is of type {array.dtype}; a file holds floats, integers and booleans.")
    notes = {"format": f"tinygrad_nn {kind}", "version": VERSION, "text": text, "sha256": digest(kind + text, arrays)}
    return pack(arrays, notes)


def unseal(kind: str, path: StrPath) -> tuple[dict[str, Array], str]:
    """Return the arrays and the text of a file that `seal` made the content of.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it was cut off or changed, or is of another kind or version.
    """
    arrays, notes = read(path)
    if notes.get("format") != f"tinygrad_nn {kind}":
        raise ValueError(f"{path} is a safetensors file, but holds no {kind} of tinygrad_nn.")
    if notes.get("version") != VERSION:
        raise ValueError(f"{path} has version {notes.get('version')!r} of the format; this reads {VERSION!r}.")
    text = notes.get("text", "?")  # one that lost its text does not fit its checksum
    check(path, kind + text, arrays, notes)
    return arrays, text


def check(path: StrPath, text: str, arrays: Mapping[str, Array], notes: Mapping[str, str]) -> None:
    """Raise if the checksum in the notes does not fit the arrays."""
    if digest(text, arrays) != notes.get("sha256"):
        raise ValueError(f"{path} was changed after it was written: its checksum does not fit. {_AGAIN}")


def read(path: StrPath) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and the notes of a safetensors file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off, changed in a way that can be seen, or none of this kind.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; pass the file in it, e.g. {path / 'model.safetensors'}.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file, seen from {os.getcwd()}. Correct the path.") from None
    return _open(path, content)


def digest(text: str, arrays: Mapping[str, Array]) -> str:
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
        kinds = {name: str(entry["dtype"]) for name, entry in header.items() if name != "__metadata__"}
        missing = 8 + size + max(ends, default=0) - len(content)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise ValueError(f"{path} was changed after it was written: its head cannot be read. {_AGAIN}") from None
    if missing > 0:
        raise ValueError(f"{path} is cut off: {missing:,} of {len(content) + missing:,} bytes are missing. {_AGAIN}")
    for kind in kinds.values():
        if kind == "F4" or kind.startswith(("F6_", "F8_")):
            raise ValueError(f"{path} holds numbers of the type {kind}, which NumPy has not. Save them as float32.")
    halves = [name for name, kind in kinds.items() if kind == "BF16"]  # bfloat16, the upper half of a float32
    if halves:
        renamed = {name: entry | {"dtype": "U16"} if name in halves else entry for name, entry in header.items()}
        text = json.dumps(renamed).encode()
        content = len(text).to_bytes(8, "little") + text + content[8 + size :]
    try:
        arrays = load(content)
        arrays |= {name: np.asarray((arrays[name].astype(np.uint32) << 16).view(np.float32)) for name in halves}
    except Exception as error:  # the library's own error, or NumPy's for a shape or type it does not know
        raise ValueError(f"{path} was changed after it was written ({error}). {_AGAIN}") from None
    notes = header.get("__metadata__")
    return arrays, notes if isinstance(notes, dict) else {}


def _refuse(path: Path, content: bytes) -> NoReturn:
    what = "is empty" if not content else "is not a safetensors file"
    raise ValueError(f"{path} {what}. Pass the model.safetensors that `tinygrad-nn train` wrote.")
