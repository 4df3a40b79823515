"""Files that are written whole or not at all, one by one or several together."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .printable import printable

StrPath = str | os.PathLike[str]

# What every page that is written here may do: show its own style and pictures. Text that slips through could not act.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_whole(path: StrPath, content: bytes) -> Path:
    """Write a file by way of another beside it, so that no reader ever finds half of it.

    Args:
        path: of the file; one that is there is replaced.
        content: all of it.

    Returns:
        The path.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: the disk is full, the folder is read-only, and so on; the file that was there is still there.
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
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return path


def sync_folder(folder: Path) -> None:
    """Have the names of the files in a folder written to the disk: until then a power cut may undo a rename."""
    if os.name == "nt":  # which opens no folders, and writes names at once
        return
    try:
        place = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one may write to a folder and not list it
        return
    try:
        os.fsync(place)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # a file system without it
            raise
    finally:
        os.close(place)


@contextmanager
def together(folder: StrPath) -> Iterator[Path]:
    """Give a new empty folder; what is written there moves into `folder` when the block ends well, else it is gone.

    Args:
        folder: where the files belong; it is made if need be. Files of the same names in it are replaced.

    Raises:
        OSError: the folder cannot be made or written to; it is as it was, or not there if it was not.
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
        for name in names:  # before the first is moved, so that no move can fail half-way for this reason
            if (target / name).is_dir():
                raise IsADirectoryError(
                    f"{printable(target / name)} is a folder, and a file of that name is to be written there."
                )
        for name in names:
            os.replace(staging / name, target / name)
        sync_folder(target)
        done = True
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not done:
            for part in missing:  # the innermost first; one that someone else has filled meanwhile stays
                try:
                    part.rmdir()
                except OSError:
                    break


@contextmanager
def alone(folder: StrPath) -> Iterator[None]:
    """Hold a folder for this block: another process, or another thread, that asks for it gets an error.

    Args:
        folder: made if need be. The lock is one of the system, on a file ``.lock`` in it: it ends with the process.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    lock = path / ".lock"
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if not _locked(file):
            os.close(file)
            raise BlockingIOError(
                f"{printable(path)} is in use{_by(lock)}: what two write into one folder is lost. Wait until it has "
                "ended, or name another folder."
            )
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), lock.stat()):
                break
        os.close(file)  # the one that had it took the file away between our opening it and locking it
    try:
        if os.name != "nt":  # where nobody could read it
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        with suppress(OSError):  # Windows keeps a file that is open
            lock.unlink()
        os.close(file)


def _locked(file: int) -> bool:
    """Lock an open file, and say whether it worked; where the file system has no locks, it did."""
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


def _by(lock: Path) -> str:
    try:
        return f" by process {printable(lock.read_text(encoding='utf-8')[:80])}"
    except (OSError, ValueError):
        return ""


def check_folder(folder: StrPath) -> Path:
    """Return the path of a folder that is there, or can be made; raise before any work is done if it cannot.

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
