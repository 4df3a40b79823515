"""Keeps machine code on disk for later processes, in a folder that only the user can write to, and checks each file.

numba's format is a pickle, and loading a pickle can run any code: whoever can write to the folder could run code here.
So the folder must belong to the user, and nobody else may be able to write to it or replace it. numba's own cache does
not check that, so it is not used.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...common.call_site import calling_line
from ...common.forks import wait_before_fork
from ...common.printable import printable
from ...files import write_whole
from ..collector import without_collector
from .fingerprint import file_digest, fingerprint

MOST = 4096  # the most files in the folder; the least recently used ones are deleted
SETTINGS = ("OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "USE_RTSAFE_SQRT")


def folder() -> Path | None:
    """Return the folder for machine code, created if needed: TINYGRAD_NN_CACHE, or one in the user's cache folder.

    Return None, after a warning, if it cannot be used or others could write to it; without a warning if
    TINYGRAD_NN_CACHE is empty.
    """
    named = os.environ.get("TINYGRAD_NN_CACHE")
    if named is not None:
        place = Path(os.path.expanduser(named)) if named else None
    elif sys.platform == "win32":
        place = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "tinygrad_nn" / "cache"
    elif sys.platform == "darwin":
        place = Path.home() / "Library" / "Caches" / "tinygrad_nn"
    else:
        place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygrad_nn"
    if place is None:
        return None
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        why = why_untrusted(place)
    except OSError as error:
        why = f"{place} cannot be created or read ({error.strerror})"
    if why:
        warn_not_kept(f"{why}. Set TINYGRAD_NN_CACHE to a folder of your own that only you can write to.")
    return None if why else place.resolve()


def why_untrusted(place: Path) -> str:
    """Return why someone else could have put code into a folder; an empty string if only this user can have done so."""
    if not hasattr(os, "getuid"):
        return ""  # file modes mean nothing on this system; the folder is in the user's profile
    if place.is_symlink():
        return f"{place} is a link"
    real = place.resolve()
    for part in (real, *real.parents):
        found = part.stat()
        if not stat.S_ISDIR(found.st_mode):
            return f"{part} is not a folder"
        if found.st_uid not in ((os.getuid(),) if part == real else (os.getuid(), 0)):
            return f"{part} belongs to someone else"
        sticky = part != real and found.st_mode & stat.S_ISVTX  # others cannot rename this user's files in there
        if found.st_mode & 0o022 and not sticky:
            return f"{part} can be written to by others"
    return ""


_told: set[str] = set()


def warn_not_kept(reason: str, cause: str | None = None) -> None:
    """Warn that machine code is not kept, once for each `cause`; give one if the `reason` names a single file."""
    warn(f"machine code is not cached, so the next process compiles it again: {reason}", cause or reason)


def warn(text: str, cause: str) -> None:
    """Warn with this text, but only once for each cause."""
    if cause not in _told:
        _told.add(cause)
        warnings.warn_explicit(printable(text), RuntimeWarning, *calling_line())


def _error_text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@cache
def versions() -> str:
    """Return what machine code depends on besides the function: versions, numba's settings, the files of `native`."""
    import llvmlite
    import numba

    settings = [(name, getattr(numba.config, name, None)) for name in SETTINGS]
    return f"{sys.version} {numba.__version__} {llvmlite.__version__} {np.__version__} {settings} {file_digest().hex()}"


@cache
def await_numba() -> None:
    """Make forks of this process wait for numba's and LLVM's locks, which are held during a compilation."""
    from llvmlite.binding import ffi
    from numba.core.compiler_lock import global_compiler_lock

    wait_before_fork(global_compiler_lock._lock, ffi.lib._lock._lock)


def kept_on_disk(dispatcher: Any, no_alias: bool = False) -> Any:
    """Return a numba function that saves its machine code on disk, and loads it from there.

    With `no_alias` the caller promises that no array which it writes shares memory with another argument. LLVM can then
    vectorize loops. Otherwise it would compare all addresses in each call first, and give up if there are many arrays.
    """
    await_numba()
    dispatcher._cache = FunctionCache(dispatcher)
    dispatcher._compiler.compile = without_collector()(dispatcher._compiler.compile)
    if no_alias:
        dispatcher.no_alias, dispatcher._compiler._customize_flags = True, _without_aliases
    return dispatcher


def kept_for_types(signature: str, no_alias: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function with numba for these argument types only, as `kept_on_disk` does."""

    def compiled(function: Callable[..., Any]) -> Any:
        from numba import njit

        made = kept_on_disk(njit(**options)(function), no_alias)
        made.compile(signature)
        made.disable_compile()
        return made

    return compiled


def _without_aliases(flags: Any) -> Any:
    flags.noalias = True
    return flags


class FunctionCache:
    """The cache of one function, with numba's interface of a cache: numba asks it before compiling, and tells it after.

    A file contains numba's result, followed by the digest of that and of the key. The key is the name of the file.

    Attributes:
        compiled: how many functions this process has compiled because they were not on disk.
    """

    compiled: ClassVar[int] = 0

    def __init__(self, dispatcher: Any) -> None:
        self.dispatcher = dispatcher
        self.useless: dict[Path, str] = {}  # files that could not be loaded -> why; told when they are written anew

    @cached_property
    def about(self) -> str | None:
        """The digest of the function; it becomes part of its name in the machine code, where names must be unique."""
        found = fingerprint(self.dispatcher)
        if found is not None:
            self.dispatcher.py_func.__qualname__ += f"_{found[:16]}"
        return found

    def _file(self, signature: Any, target: Any) -> Path | None:
        place = folder()
        if place is None or self.about is None:
            return None
        processor = target.codegen().magic_tuple()
        key = f"{self.about} {signature} {processor} {versions()}"
        return place / hashlib.sha256(key.encode()).hexdigest()[:40]

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the machine code for these argument types from disk, or None if there is no intact file."""
        from numba.core.caching import IndexDataCacheFile
        from numba.core.compiler import CompileResult

        target.refresh()
        file = self._file(signature, target)
        if file is None:
            return None
        try:
            check_file(file)
            data = IndexDataCacheFile("", "", None)._load_data(str(file))
            made = CompileResult._rebuild(target, *data)
            os.utime(file)
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged file, or one of another numba, can raise anything
            self.useless[file] = _error_text(error)
            return None
        return made

    def save_overload(self, signature: Any, overload: Any) -> None:
        """Write the machine code for these argument types to disk, if that is possible."""
        from numba.core.serialize import dumps

        FunctionCache.compiled += 1
        file = self._file(signature, overload.target_context)
        useless = self.useless.pop(file, None) if file else None
        if file is None or overload.library.has_dynamic_globals or not all(x.can_cache for x in overload.lifted):
            return
        try:
            content = dumps(overload._reduce())
            write_whole(file, content + digest(file, content)).chmod(0o600)
            prune(file.parent)
        except Exception as error:
            before = f"is unusable ({useless}) and " if useless else ""
            warn_not_kept(f"{file} {before}could not be written ({_error_text(error)}).", _error_text(error))
            return
        if useless:
            text = f"cached machine code was unusable ({useless}) and was compiled again: {file}"
            warn(text, useless)

    cache_path = property(lambda self: str(folder() or ""))

    def enable(self) -> None:
        """Do nothing: the cache is always on."""

    disable = flush = enable


def digest(file: Path, content: bytes) -> bytes:
    """Return the digest of a file's name and content, so that a file renamed to another key is detected."""
    return hashlib.sha256(file.name.encode() + content).digest()


def check_file(file: Path) -> None:
    """Raise if a file does not belong to the user, can be written by others, or has changed since it was written."""
    with os.fdopen(os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as opened:
        found = os.fstat(opened.fileno())
        if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
            raise PermissionError("others can write to it")
        content = opened.read()
    if content[-32:] != digest(file, content[:-32]):
        raise ValueError("it was cut off or changed after it was written")


def prune(place: Path) -> None:
    """Delete the least recently used files, if there are too many."""
    files = list(place.iterdir())
    if len(files) > MOST:
        with suppress(FileNotFoundError):  # another process may delete files at the same time
            files.sort(key=lambda file: file.stat().st_mtime)
        for file in files[: len(files) - MOST // 2]:
            file.unlink(missing_ok=True)
