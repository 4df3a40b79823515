"""A digest of what a function computes: its bytecode, constants, closed-over variables and globals, recursively.

The source text alone is not enough: one ``def`` inside a function makes functions with different closed-over variables.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).parent
VERSIONED = ("math", "numpy", "numba", "llvmlite")  # modules whose versions are part of every key of the cache


def file_digest() -> bytes:
    """Return the digest of the files of `assembly` and `native`, on which kernels depend in ways not seen here."""
    files = [HERE / "assembly.py", *sorted(HERE.glob("native/*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()


def fingerprint(thing: Any) -> str | None:
    """Return the digest of a function, or None if it uses an object that cannot be described."""
    found = Digest()
    return found.digest.hexdigest() if found.add(thing) else None


class Digest:
    """The digest of the things that were added, in order; each is described once, so that cycles end."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.seen: dict[int, tuple[int, Any]] = {}  # by id, with the thing itself, so that its id is not reused

    def _write(self, *parts: Any) -> bool:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            self.digest.update(len(data).to_bytes(8, "little") + data)
        return True

    def add(self, thing: Any) -> bool:
        """Add a thing and everything that it consists of; return whether it could be described."""
        if thing is None or thing is Ellipsis or isinstance(thing, (bool, int, float, complex, str, bytes)):
            return self._write(type(thing).__name__, thing if isinstance(thing, bytes) else repr(thing))
        if id(thing) in self.seen:
            return self._write("again", self.seen[id(thing)][0])
        self.seen[id(thing)] = len(self.seen), thing
        if isinstance(thing, (tuple, list)):
            return self._write(type(thing).__name__, len(thing)) and all(map(self.add, thing))
        if isinstance(thing, (set, frozenset)):
            return self._write("set", len(thing)) and all(map(self.add, sorted(thing, key=repr)))
        if isinstance(thing, dict):
            return self._write("dict", len(thing)) and all(self.add(k) and self.add(x) for k, x in thing.items())
        if isinstance(thing, (np.ndarray, np.generic)):
            plain = thing.dtype.kind in "fciub"
            return plain and self._write("array", thing.dtype.str, thing.shape, thing.tobytes())
        if isinstance(thing, np.dtype):
            return self._write("dtype", thing.descr)
        if isinstance(thing, CodeType):
            return self._code(thing)
        if isinstance(thing, FunctionType):
            return self._function(thing)
        return self._other(thing)

    def _code(self, code: CodeType) -> bool:
        how = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        self._write("code", how, code.co_code, getattr(code, "co_exceptiontable", b""))
        self._write(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return self.add(code.co_consts)

    def _function(self, function: FunctionType) -> bool:
        self._write("function", function.__module__)
        if not (self.add(function.__code__) and self.add(function.__defaults__) and self.add(function.__kwdefaults__)):
            return False
        for cell in function.__closure__ or ():
            try:
                held = cell.cell_contents
            except ValueError:
                held = "nothing yet"
            if not self.add(held):
                return False
        spaces = function.__globals__
        return all(self.add(name) and self.add(spaces[name]) for name in _names(function.__code__) if name in spaces)

    def _other(self, thing: Any) -> bool:
        if isinstance(thing, ModuleType):
            known = thing.__name__.partition(".")[0] in VERSIONED
            return known and self._write("module", thing.__name__)
        if isinstance(thing, (type, BuiltinFunctionType, np.ufunc)):
            return self._write("named", getattr(thing, "__module__", ""), getattr(thing, "__qualname__", repr(thing)))
        kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
        if hasattr(thing, "py_func"):  # a function compiled by numba
            options = [*sorted(thing.targetoptions.items()), getattr(thing, "no_alias", False)]
            return self._write(kind) and self.add(options) and self.add(thing.py_func)
        if hasattr(thing, "_defn"):  # a numba intrinsic, which generates LLVM code
            return self._write(kind) and self.add(thing._defn)
        if kind.startswith("numba.core.types."):
            return self._write(kind, thing)
        if kind == "numpy._ArrayFunctionDispatcher":
            return self._write(kind, thing.__module__, thing.__qualname__)
        return False


def _names(code: CodeType) -> list[str]:
    """Return the names that a code object, or a code object inside it, looks up."""
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names(part)]
    return sorted({*code.co_names, *inner})
