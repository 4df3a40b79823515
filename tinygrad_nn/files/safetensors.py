"""Write arrays to safetensors files, and read them with full validation: a damaged or changed file is refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..common.printable import printable
from .atomic import StrPath

Array = np.ndarray[Any, Any]
VERSION = "1"
MOST_HEAD = 2**24  # bytes of a file's head, which describes the arrays; a model with 10,000 arrays takes 2**20
MOST_PARTS = 2**20  # brackets, keys and commas in a head: each may become an object of a hundred bytes
_AGAIN = "Train again, or copy the file again from its source."


def pack(arrays: Mapping[str, Array], notes: Mapping[str, str]) -> bytes:
    """Return the content of a safetensors file; equal arrays and notes give equal bytes.

    Raises:
        ValueError: there are more arrays, or longer notes, than `read` takes.
    """
    from safetensors.numpy import save

    content = _canonical(save({name: np.asarray(array, order="C") for name, array in arrays.items()}, dict(notes)))
    much = _excess_text(content[8 : 8 + int.from_bytes(content[:8], "little")])
    if much is not None:
        raise ValueError(f"{len(arrays):,} arrays and their metadata are too much for one file: its header has {much}.")
    return content


class Sealed(NamedTuple):
    """The content of a file that `seal` made, and the checksum of its text and arrays."""

    content: bytes
    sha256: str


def seal(kind: str, arrays: Mapping[str, Array], text: str = "") -> Sealed:
    """Return the content of a file of tinygrad_nn of the given kind, with a text and a checksum of everything.

    Raises:
        ValueError: an array does not contain numbers, or there are more arrays than `read` takes.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{printable(name)} is of type {array.dtype}; a file holds floats, integers and booleans.")
    sha256 = digest(kind + text, arrays)
    notes = {"format": f"tinygrad_nn {kind}", "version": VERSION, "text": text, "sha256": sha256}
    return Sealed(pack(arrays, notes), sha256)


def unseal(kind: str, path: StrPath) -> tuple[dict[str, Array], str, str]:
    """Return the arrays, the text and the checksum of a file whose content `seal` made.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it was cut off or changed, or is of another kind or version.
    """
    arrays, notes = read(path)
    if notes.get("format") != f"tinygrad_nn {kind}":
        raise ValueError(f"{printable(path)} is a safetensors file, but holds no {kind} of tinygrad_nn.")
    if notes.get("version") != VERSION:
        raise ValueError(
            f"{printable(path)} has version {notes.get('version')!r:.60} of the format; this reads {VERSION!r}."
        )
    text = notes.get("text", "?")  # without its text, the checksum does not fit
    check_digest(path, kind + text, arrays, notes)
    return arrays, text, notes["sha256"]


def check_digest(path: StrPath, text: str, arrays: Mapping[str, Array], notes: Mapping[str, str]) -> None:
    """Raise ValueError if the checksum in the notes does not fit the text and the arrays."""
    if digest(text, arrays) != notes.get("sha256"):
        raise ValueError(f"{printable(path)} was changed after it was written: its checksum does not match. {_AGAIN}")


def parse(path: StrPath, text: str) -> dict[str, Any]:
    """Return the JSON object in a text of a file.

    Raises:
        ValueError: the text is no JSON, is nested too deep, or is not an object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{printable(path)} holds a text that is not JSON ({error!s:.80}). {_AGAIN}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{printable(path)} holds a {type(found).__name__} where a JSON object belongs. {_AGAIN}")
    return found


def read(path: StrPath) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and the notes of a safetensors file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off, visibly changed, or no safetensors file.
    """
    path = Path(path)
    if path.is_dir():
        inside = printable(path / "model.safetensors")
        raise ValueError(f"{printable(path)} is a folder; pass the file in it, e.g. {inside}.")
    if path.exists() and not path.is_file():
        raise ValueError(f"{printable(path)} is a device or a pipe; pass a file.")
    try:
        with path.open("rb") as file:
            head = _read_head(path, file, os.fstat(file.fileno()).st_size)
            header = _parse_head(path, head)
            return _arrays(path, header, head, file.read())
    except FileNotFoundError:
        where = printable(os.getcwd())
        raise FileNotFoundError(f"{printable(path)}: no such file in {where}. Correct the path.") from None


def digest(text: str, arrays: Mapping[str, Array]) -> str:
    """Return a checksum of the text and of each array with its name, type and shape."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _canonical(content: bytes) -> bytes:
    """Return a safetensors file with the keys of its head sorted, so that equal networks give equal files."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the arrays begin at a multiple of eight
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _excess_text(head: bytes) -> str | None:
    """Return text about how a head exceeds the limits, or ``None``; its parts are counted without parsing."""
    if len(head) > MOST_HEAD:
        return f"{len(head):,} bytes, more than the limit of {MOST_HEAD:,}"
    parts = sum(head.count(mark) for mark in (b"{", b"[", b'":', b","))
    return f"{parts:,} brackets, keys and commas, more than the limit of {MOST_PARTS:,}" if parts > MOST_PARTS else None


def _read_head(path: Path, file: BinaryIO, length: int) -> bytes:
    """Return the head of a file, the part that describes its arrays, after checking its size before reading it."""
    start = file.read(9)
    size = int.from_bytes(start[:8], "little")
    if length < 10 or start[8:] != b"{":
        what = (
            f"is empty. {_AGAIN}" if not start
            else "is not a safetensors file. Pass the model.safetensors that `tinygrad-nn train` wrote."
        )  # fmt: skip
        raise ValueError(f"{printable(path)} {what}")
    if 8 + size > length:
        raise ValueError(
            f"{printable(path)} is cut off: {length:,} bytes are there, but its header alone needs {8 + size:,}. "
            f"{_AGAIN}"
        )
    if size > MOST_HEAD:  # before a byte of it is read
        much: str | None = f"{size:,} bytes, more than the limit of {MOST_HEAD:,}"
    else:
        head = start[8:] + file.read(size - 1)
        much = _excess_text(head)
    if much is not None:
        raise ValueError(f"{printable(path)} is not a network file: its header has {much}. Pass another file.")
    return head


def _parse_head(path: Path, head: bytes) -> dict[str, Any]:
    """Return the parsed head: type, shape, begin and end of each array, and the notes."""
    try:
        header: dict[str, Any] = json.loads(head)
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            numbers = [begin, end, *entry["shape"]]
            if not isinstance(entry["dtype"], str) or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
                raise ValueError(name)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(
            f"{printable(path)} was changed after it was written: its header cannot be read. {_AGAIN}"
        ) from None
    return header


def _arrays(path: Path, header: dict[str, Any], head: bytes, body: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and the notes of a safetensors file, from its head and the bytes after it."""
    from safetensors.numpy import load

    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    missing = max((entry["data_offsets"][1] for entry in entries.values()), default=0) - len(body)
    if missing > 0:
        total = 8 + len(head) + len(body) + missing
        raise ValueError(f"{printable(path)} is cut off: {missing:,} of {total:,} bytes are missing. {_AGAIN}")
    for entry in entries.values():
        kind = entry["dtype"]
        if kind == "F4" or kind.startswith(("F6_", "F8_")):
            raise ValueError(
                f"{printable(path)} holds numbers of the type {printable(kind)}, which NumPy does not have. Save them "
                "as float32."
            )
    halves = [name for name, entry in entries.items() if entry["dtype"] == "BF16"]  # bfloat16: upper half of a float32
    if halves:
        head = json.dumps(header | {name: entries[name] | {"dtype": "U16"} for name in halves}).encode()
    try:
        arrays = load(len(head).to_bytes(8, "little") + head + body)
        arrays |= {name: np.asarray((arrays[name].astype(np.uint32) << 16).view(np.float32)) for name in halves}
    except Exception as error:  # the library's own error, or NumPy's for a shape or type it does not know
        text = printable(f"{error!s:.200}")
        raise ValueError(f"{printable(path)} was changed after it was written ({text}). {_AGAIN}") from None
    notes = header.get("__metadata__")
    return arrays, notes if isinstance(notes, dict) else {}
