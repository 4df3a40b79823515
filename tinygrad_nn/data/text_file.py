"""The text of a user's file, and messages for files that hold no text or do not exist."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinygrad_nn.common.printable import printable
from tinygrad_nn.common.spelling import near_names

if TYPE_CHECKING:  # imported where used, so that `import tinygrad_nn` stays quick
    from pathlib import Path

_PANDAS = "Convert it: pandas.read_{}(FILE).to_csv('table.csv', index=False)."
OTHERS = {  # how a file begins that is no table of texts -> what to do
    b"PK\x03\x04": "It looks like a spreadsheet file: open it and export it as CSV.",
    b"\xd0\xcf\x11\xe0": "It looks like a spreadsheet file: open it and export it as CSV.",
    b"PAR1\x15": _PANDAS.format("parquet"), b"ARROW1\0": _PANDAS.format("feather"), b"\x89HDF": _PANDAS.format("hdf"),
    b"[{": _PANDAS.format("json"), b'{"': _PANDAS.format("json"), b"SQLite format 3\0": "Export a table of it as CSV.",
    b"\x93NUMPY": "Write its array with np.savetxt('table.csv', array, delimiter=',', header='a,b,c', comments='').",
}  # fmt: skip


def decoded_text(path: Path, encoding: str) -> str:
    """Return the text of a file, which may be gzipped; raise a ValueError that says what the file is instead."""
    where = printable(path)
    if path.is_dir():
        inside = printable(path / "data.csv")
        raise ValueError(f"{where} is a folder; pass the path of the CSV file in it, e.g. {inside}.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(missing_file_text(path)) from None
    try:
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        other = next((edit for start, edit in OTHERS.items() if content.startswith(start)), None)
        if other is not None:
            raise ValueError(f"{where} is no CSV file. {other}")
        if content.startswith((b"\xff\xfe", b"\xfe\xff")) and encoding == "utf-8":
            encoding = "utf-16"  # its byte order mark says so
        return content.decode(encoding).removeprefix("\ufeff")
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{where}: the gzip file is cut off or damaged ({error}). Write or copy it again.") from None
    except LookupError:
        raise ValueError(f"encoding={encoding!r} is not known to Python; try 'utf-8' or 'latin-1'.") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fix = "Save it as CSV in UTF-8, or pass encoding='latin-1' (or 'utf-16') if that is what it is."
        raise ValueError(
            f"{where}, line {line}: byte 0x{content[error.start]:02x} at position {error.start} is not {encoding}. "
            f"{fix}"
        ) from None


def missing_file_text(path: Path) -> str:
    """Return the message for a file that does not exist, with the names that are near to its own."""
    folder = path.parent
    if str(path) == "-":
        return "-: no such file; for a table from standard input write /dev/stdin."
    if not folder.is_dir():
        seen = f"no such file, and no folder {printable(folder)}. The path is relative to {printable(os.getcwd())}"
        return f"{printable(path)}: {seen}; correct it."
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    close = near_names(path.name, names, 3) or [name for name in names if name.endswith(".csv")][:5]
    near = f"Did you mean {list_text(close)}?" if close else "There is no CSV file in that folder; correct the path."
    return f"{printable(path)}: no such file in {printable(folder.resolve())}. {near}"


def list_text(names: Sequence[str]) -> str:
    """Return the first 20 of some names in quotes, and how many there are."""
    shown = ", ".join(f"{name!r:.60}" for name in names[:20])
    return shown + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
