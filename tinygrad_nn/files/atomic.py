"""Write files completely or not at all, one at a time or several together, and lock folders."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..common.printable import printable

StrPath = str | os.PathLike[str]

# Content security policy of every page written here: only its own style and pictures, so injected text cannot run.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_whole(path: StrPath, content: bytes) -> Path:
    """Write a file by renaming a temporary file beside it, so that no reader ever sees half of it.

    Args:
        path: the file; an existing one is replaced.
        content: its whole content.

    Returns:
        The path.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: the disk is full, the folder is read-only, and so on; an existing file is unchanged.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {str(path.parent)!r} does not exist; make it before writing {printable(path.name)}."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{printable(path)} is a folder; name a file in it.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a crash could leave the new name on an empty file
        os.replace(temporary, path)
    except OSError as error:
        _name_file(error, temporary, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return path


def _name_file(error: OSError, temporary: Path, path: Path) -> None:
    """Name the file that was asked for in an error of the system, which names none or the temporary one."""
    if error.strerror and str(error.filename or temporary).startswith(str(temporary)):
        error.filename, error.filename2 = str(path), None


def sync_folder(folder: Path) -> None:
    """Flush the names of the files in a folder to the disk: until then a power cut may undo a rename."""
    if os.name == "nt":  # Windows cannot open folders, and writes names at once
        return
    try:
        place = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder may be writable but not readable
        return
    try:
        os.fsync(place)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # not supported by the file system
            raise
    finally:
        os.close(place)


@contextmanager
def write_folder(folder: StrPath) -> Iterator[Path]:
    """Provide a new empty folder whose files are moved into `folder` if the block succeeds, else deleted.

    Args:
        folder: the destination of the files; it is made if needed. Files of the same names in it are replaced.

    Raises:
        OSError: the folder cannot be made or written to; it is left as it was, or removed if it did not exist.
    """
    target = Path(folder)
    check_folder(target)
    missing = [part for part in (target, *target.parents) if not part.exists()]
    target.mkdir(parents=True, exist_ok=True)
    staging = target / f".{secrets.token_hex(4)}.part"
    done = False
    try:
        staging.mkdir()
        yield staging
        names = sorted(part.name for part in staging.iterdir())
        for name in names:  # checked before the first move, so that no move fails half-way for this reason
            if (target / name).is_dir():
                raise IsADirectoryError(
                    f"{printable(target / name)} is a folder, and a file of that name must be written there."
                )
        for name in names:
            os.replace(staging / name, target / name)
        sync_folder(target)
        done = True
    except OSError as error:
        _name_file(error, staging, target)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not done:
            for part in missing:  # the innermost first; a folder that others have filled meanwhile stays
                try:
                    part.rmdir()
                except OSError:
                    break


@contextmanager
def locked_folder(folder: StrPath) -> Iterator[None]:
    """Lock a folder during this block: another process or thread that tries to lock it gets an error.

    Args:
        folder: made if needed. It is an operating-system lock on a file ``.lock`` in it, so it ends with the process.

    Raises:
        BlockingIOError: another process or thread holds the lock.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    lock = path / ".lock"
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if not _try_lock(file):
            os.close(file)
            raise BlockingIOError(
                f"{printable(path)} is in use{_holder_text(lock)}: two processes would overwrite each other's "
                "files. Wait until "
                "it has ended, or name another folder."
            )
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), lock.stat()):
                break
        os.close(file)  # its previous owner deleted the file between our opening and locking it
    try:
        if os.name != "nt":  # Windows lets nobody read a locked file
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        with suppress(OSError):  # Windows keeps a file that is open
            lock.unlink()
        os.close(file)


def _try_lock(file: int) -> bool:
    """Lock an open file, and return whether that worked; True if the file system has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
    return True


def _holder_text(lock: Path) -> str:
    try:
        return f" by process {printable(lock.read_text(encoding='utf-8')[:80])}"
    except (OSError, ValueError):
        return ""


def check_folder(folder: StrPath) -> Path:
    """Return the path of a folder that exists or can be made; else raise, before any work is done.

    Raises:
        NotADirectoryError: a file has that name, or stands in the way.
        PermissionError: it is not allowed to write there.
    """
    path = Path(folder)
    nearest = next(part for part in (path, *path.parents) if part.exists() or part == part.parent)
    if not nearest.is_dir():
        raise NotADirectoryError(f"{printable(nearest)} is a file; a folder is needed there. Name another folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"{printable(nearest)} is read-only; name a folder that can be written to.")
    return path
