"""`Ranks`: sums, gathers and checks over the processes of an MPI communicator; if one rank fails, all raise."""

from __future__ import annotations

import atexit
import builtins
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from .heartbeat import PATIENCE, Heartbeat
from .shard import Shard

Array = np.ndarray[Any, Any]
INSTALL = "training on several ranks needs mpi4py and an MPI; pip install 'tinygrad-nn[mpi]' brings both."
LONG, BEFORE = 90, 45  # characters shown of a long value, and how many of these before the first difference
CODE = " (the code of a function includes the variables that it uses from outside)"
MEETING = 27182  # the tag of the only messages on the user's own communicator
_KEY: list[int] = []  # the attribute key under which a communicator keeps its Ranks
_watched: list[subprocess.Popen[bytes]] = []  # the process that watches this host, if this one started it
_failed: list[bool] = []  # whether the last training that began was given up because of one rank
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_SIZE")


def world() -> Any:
    """Return the communicator of all processes that mpiexec started.

    Raises:
        ImportError: mpi4py is missing; the message says what to install.
    """
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(f"{INSTALL} ({error})") from None
    return MPI.COMM_WORLD


def launched() -> bool:
    """Return whether this process is one of several that mpiexec started."""
    return any(os.environ.get(name, "1").isdigit() and int(os.environ.get(name, "1")) > 1 for name in _SIZES)


class Ranks:
    """The ranks of a communicator. Each wait for a sum or gather ends if another rank fails, see `Heartbeat`.

    Attributes:
        rank, size: the number of this process, and how many processes there are.
    """

    def __init__(self, comm: Any, call: str) -> None:
        from mpi4py import MPI

        self.mpi, self.comm = MPI, comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.heartbeat: Heartbeat | None = None
        self.depth, self.broken = 0, False
        self._meet(call)
        if self.size > 1:
            # Sums within a step and everything else use two communicators. So ranks that are at different places of
            # the program wait, which the heartbeat notices, and never exchange the wrong data.
            self.data, self.talk, beats = (self._duplicate() for _ in range(3))
            if MPI.Query_thread() >= MPI.THREAD_MULTIPLE:
                self.heartbeat = Heartbeat(MPI, beats)
            self._be_watched()

    def _duplicate(self) -> Any:
        made, request = self.comm.Idup()
        self._wait(request, "a communicator")
        return made

    @classmethod
    def of(cls, call: str, comm: Any, private: bool = False) -> Ranks:
        """Return the Ranks of a communicator, made once per communicator; with `private`, made for the caller alone.

        Raises:
            TypeError: comm is no communicator; ImportError: mpi4py is missing; RuntimeError: a rank does not arrive.
        """
        if comm == "world" or comm is True:
            comm = world()
        if not hasattr(comm, "Get_rank") or not hasattr(comm, "Idup"):
            raise TypeError(
                f"{call}: comm={comm!r:.60} is not a communicator; write comm=MPI.COMM_WORLD, after from mpi4py import "
                "MPI, or comm='world'."
            )
        if private:
            return cls(comm, call)
        if not _KEY:
            _KEY.append(type(comm).Create_keyval())
        found: Ranks | None = comm.Get_attr(_KEY[0])
        if found is None or found.broken:
            found = cls(comm, call)
            comm.Set_attr(_KEY[0], found)
        elif not found.depth:
            found._meet(call)
        return found

    # -- Errors that all ranks raise

    @contextmanager
    def together(self, call: str) -> Iterator[None]:
        """End the block alike on all ranks: if one raises or is gone, all raise an error with the same message."""
        if self.size == 1 or self.depth:
            yield
            return
        self.depth += 1
        try:
            if self.heartbeat is not None:
                self.heartbeat.start(call)
            yield
            self._wait(self.talk.Ibarrier(), "the end")
            _failed[:] = [False] * len(_failed)
        except BaseException as error:
            self.fail(call, error)
        finally:
            self.depth -= 1
            if self.heartbeat is not None:
                self.heartbeat.stop()

    def open(self, call: str) -> None:
        """Start the heartbeat for a training loop of the user, which consists of several calls."""
        self.depth += 1
        if self.heartbeat is not None:
            self.heartbeat.start(call)

    def close(self) -> None:
        """Stop the heartbeat that `open` started, when the program ends; a rank that ends early reports why."""
        if self.heartbeat is not None and self.heartbeat.alive:
            last = getattr(sys, "last_value", None)
            if self.heartbeat.verdict is None:
                said = ("SystemExit", "its program ended") if last is None else (type(last).__name__, str(last))
                self.heartbeat.tell(*said)
            self.heartbeat.stop()

    def fail(self, call: str, error: BaseException) -> None:
        """Report an error of this rank, and raise the error that all ranks raise."""
        known = self.heartbeat is not None and self.heartbeat.verdict is not None
        if self.heartbeat is None:
            raise error
        if not known:
            verdict = self.heartbeat.tell(type(error).__name__, str(error))
        else:
            verdict = self.heartbeat.verdict or {}
        if verdict.get("alike"):
            raise error
        self._give_up()
        kind = getattr(builtins, verdict.get("kind", ""), RuntimeError)
        own = error if not isinstance(error, _WaitEnded) else None
        raise kind(f"{call}: {verdict['text']}") from own

    def _give_up(self) -> None:
        """Make the process end without MPI's finalization, which would wait for ranks that never arrive."""
        if not self.broken:
            self.broken = True
            if not _failed:
                atexit.register(_exit_process)
            _failed[:] = [True]

    def _meet(self, call: str) -> None:
        """Wait until all ranks have arrived here, or raise an error that names the missing ones."""
        if self.size == 1:
            return
        mpi, end = self.mpi, time.monotonic() + PATIENCE
        word = bytearray(8 * self.size)
        if self.rank:
            self.comm.Isend([bytearray(1), mpi.BYTE], 0, MEETING)
            request = self.comm.Irecv([word, mpi.BYTE], 0, MEETING)
            while not request.Test():
                if time.monotonic() > end + 2:
                    self._absent(call, [0])
                time.sleep(0.0005)
            missing = [r for r in range(self.size) if word[r]]
        else:
            left = {r: self.comm.Irecv([bytearray(1), mpi.BYTE], r, MEETING) for r in range(1, self.size)}
            while left and time.monotonic() < end:
                left = {r: request for r, request in left.items() if not request.Test()}
                time.sleep(0.0002)
            missing = sorted(left)
            for r in missing:
                word[r] = 1
            for r in range(1, self.size):
                if r not in missing:
                    self.comm.Send([word, mpi.BYTE], r, MEETING)
        if missing:
            self._absent(call, missing)

    def _be_watched(self) -> None:
        """Start a process that reports which rank of this host died, once for all communicators."""
        host = socket.gethostname()
        everyone = [json.loads(text) for text in self.everyones(json.dumps([host, os.getpid()]))]
        here = [r for r, (other, _) in enumerate(everyone) if other == host]
        if _watched or self.rank != here[0] or not hasattr(os, "pidfd_open"):
            return
        who = [f"{everyone[r][1]} rank {r} of {self.size} (process {everyone[r][1]} on {host})" for r in here]
        command = [sys.executable, "-S", "-E", str(Path(__file__).with_name("watchdog.py")), *who]
        watching = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        watching.stdout.read(1)  # type: ignore[union-attr]  # it watches from now on; earlier deaths are not told apart
        _watched.append(watching)
        atexit.register(_end_watcher, watching)

    def _absent(self, call: str, missing: Sequence[int]) -> None:
        self._give_up()
        who = f"rank {missing[0]}" if len(missing) == 1 else "ranks " + ", ".join(map(str, missing))
        raise RuntimeError(
            f"{call}: {who} of {self.size} did not reach this call within {PATIENCE:.0f} s, so all ranks stop. "
            "Either it ended earlier, and its own error says why, or it takes longer to prepare: then let all wait for "
            "it with comm.Barrier()."
        )

    # -- What all ranks compute together

    def _wait(self, request: Any, content: str) -> None:
        """Wait for an MPI request, as long as all other ranks live; `content` names it in messages."""
        beat = self.heartbeat
        if beat is not None:
            beat.counted += 1
        if request.Test():
            return
        start = time.monotonic()
        if beat is not None:
            beat.waiting = content
        try:
            while not request.Test():
                if beat is not None and beat.verdict is not None:
                    raise _WaitEnded
                past = time.monotonic() - start
                if past > PATIENCE and (beat is None or not beat.alive):
                    self._give_up()
                    raise RuntimeError(f"{content} did not arrive within {PATIENCE:.0f} s; another rank is gone.")
                time.sleep(0 if past < 0.002 else min(past / 20, 0.002))
        finally:
            if beat is not None:
                beat.waiting = None

    def add_up(self, buffer: Array, content: str = "the gradients") -> None:
        """Replace a buffer by its sum over all ranks, with the same bits on each rank."""
        if self.size > 1:
            self._wait(self.data.Iallreduce(self.mpi.IN_PLACE, buffer, self.mpi.SUM), content)

    def summed(self, x: Array) -> Array:
        """Return the sum of an array over all ranks."""
        found = np.array(x, order="C")
        self.add_up(found, "a sum over the batch")
        return found

    def all_rows(self, x: Array, total: int) -> Array:
        """Return the rows of all ranks, `total` together, in the order of the ranks."""
        whole = np.empty((total, *x.shape[1:]), x.dtype)
        if self.size == 1:
            whole[...] = x
            return whole
        each = x.dtype.itemsize * int(np.prod(x.shape[1:], dtype=int))
        counts = [(b - a) * each for a, b in (self.rows(total, r) for r in range(self.size))]
        sent, got = np.ascontiguousarray(x), whole.reshape(-1).view(np.uint8)
        byte = self.mpi.BYTE
        self._wait(self.data.Iallgatherv([sent, counts[self.rank], byte], [got, counts, byte]), "the rows of a batch")
        return whole

    def rows_on_first(self, x: Array, shard: Shard) -> Array:
        """Return the rows of all ranks on rank 0, and an array without rows on the others."""
        if self.size == 1:
            return x
        first, whole = self.rank == 0, shard.block
        got = np.empty((shard.total if first else 0, *x.shape[1:]), x.dtype)
        each = x.dtype.itemsize * int(np.prod(x.shape[1:], dtype=int))
        counts = [(b - a) * each for a, b in (self.rows(shard.total, r, whole) for r in range(self.size))]
        sent, byte = np.ascontiguousarray(x), self.mpi.BYTE
        into = [got.reshape(-1).view(np.uint8), counts, byte] if first else None
        self._wait(self.talk.Igatherv([sent, counts[self.rank], byte], into, 0), "the predictions of all ranks")
        return got

    def everyones(self, text: str) -> list[str]:
        """Return the texts of all ranks, in the order of the ranks."""
        if self.size == 1:
            return [text]
        own = np.frombuffer(text.encode(), np.uint8)
        sizes = np.zeros(self.size, np.int64)
        self._wait(self.talk.Iallgather(np.array([len(own)], np.int64), sizes), "what the ranks tell each other")
        got, byte = np.empty(int(sizes.sum()), np.uint8), self.mpi.BYTE
        request = self.talk.Iallgatherv([own, len(own), byte], [got, sizes.tolist(), byte])
        self._wait(request, "what the ranks tell each other")
        ends = np.cumsum(sizes)
        return [got[end - n : end].tobytes().decode() for n, end in zip(sizes, ends, strict=True)]

    def from_first(self, text: str, arrays: Mapping[str, Array]) -> tuple[str, dict[str, Array]]:
        """Return the text and the arrays of rank 0, on every rank."""
        if self.size == 1:
            return text, dict(arrays)
        head = json.dumps([text, [[name, a.dtype.str, a.shape] for name, a in arrays.items()]])
        head = self.everyones(head if self.rank == 0 else "")[0]
        text, layout = json.loads(head)
        found = {}
        for name, kind, shape in layout:
            whole = np.array(arrays[name], order="C") if self.rank == 0 else np.empty(shape, kind)
            if whole.nbytes:
                flat = whole.reshape(-1).view(np.uint8)
                self._wait(self.talk.Ibcast([flat, self.mpi.BYTE], 0), "the state of rank 0")
            found[name] = whole
        return text, found

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0, which JSON must be able to hold, on every rank."""
        return json.loads(self.from_first(json.dumps(value) if self.rank == 0 else "", {})[0])

    # -- Rows

    def rows(self, total: int, rank: int, block: int = 1) -> tuple[int, int]:
        """Return start and stop of the rows of a rank; blocks of `block` rows are not divided among ranks."""
        parts = -(-total // block)
        start, stop = (min(parts * r // self.size * block, total) for r in (rank, rank + 1))
        return start, stop

    def shard(self, total: int, block: int = 1) -> Shard:
        """Return the `Shard` of this rank in a batch of `total` rows."""
        return Shard(self, total, *self.rows(total, self.rank, block), block=block)

    # -- What must be the same

    def compare(self, call: str, texts: Mapping[str, str]) -> None:
        """Raise on all ranks if their texts `texts` differ; each key is compared among the ranks that have it.

        Raises:
            ValueError: naming the ranks, and the value of each.
        """
        everyone = [json.loads(text) for text in self.everyones(json.dumps(dict(texts)))]
        wrong = []
        for key in dict.fromkeys(key for one in everyone for key in one):
            values = {rank: one[key] for rank, one in enumerate(everyone) if key in one}
            if len(set(values.values())) > 1:
                wrong.append(f"{key}: " + _values_text(values))
        if wrong:
            raise ValueError(
                f"{call}: the ranks do not run the same training. {'; '.join(wrong)}. Start the same script, with the "
                "same data and the same seed, on each."
            )

    def check_same(self, checksums: Callable[[], Mapping[str, str]], checksum_of_all: str, when: str) -> None:
        """Raise if arrays differ between ranks.

        Args:
            checksums: returns a checksum of each array by name; checksum_of_all: one checksum of all arrays;
                when: the moment of the comparison in words, for the message.

        Raises:
            ValueError: naming the first array that differs, and the ranks.
        """
        if len(set(self.everyones(checksum_of_all))) == 1:
            return
        everyone = [json.loads(text) for text in self.everyones(json.dumps(dict(checksums())))]
        for name in everyone[0]:
            values = {rank: one.get(name) for rank, one in enumerate(everyone)}
            if len(set(values.values())) > 1:
                raise ValueError(
                    f"{when} {name} differs between the ranks ({_values_text(values)}): something changes it by values "
                    "that only one rank has. Change parameters and buffers by numbers of the whole batch only."
                )
        names = _values_text({rank: list(one) for rank, one in enumerate(everyone)})
        raise ValueError(f"{when} the ranks hold arrays with different names: {names}.")


class _WaitEnded(Exception):
    """Raised to end a wait because of what another rank did."""


def _values_text(values: Mapping[int, Any]) -> str:
    """Return text that says which ranks have which value; long values are cut around the first difference."""
    found: dict[str, list[int]] = {}
    for rank, value in values.items():
        found.setdefault(str(value), []).append(rank)
    alike = next((k for k, letters in enumerate(zip(*found, strict=False)) if len(set(letters)) > 1), 0)
    start = max(0, alike - BEFORE)
    parts = []
    for value, ranks in found.items():
        who = ", ".join(map(str, ranks[:8])) + (", ..." if len(ranks) > 8 else "")
        short = value if len(value) <= LONG else "..." * (start > 0) + value[start : start + LONG]
        cut = "..." if len(value) > max(LONG, start + LONG) else ""
        several = len(ranks) > 1
        parts.append(f"rank{'s' if several else ''} {who} {'have' if several else 'has'} {short}{cut}")
    return ", ".join(parts) + CODE * ("[code" in str(found))


def _end_watcher(watching: subprocess.Popen[bytes]) -> None:
    """Tell the watching process to end silently."""
    with suppress(OSError, ValueError):
        watching.communicate(b"x", timeout=5)


def _exit_process() -> None:
    """End the process without MPI's finalization, after flushing its output, with exit code 1 if a training failed.

    It is unknown here whether the program caught the error, or how it called `sys.exit`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    for watching in _watched:
        _end_watcher(watching)
    time.sleep(1.0)  # the first rank that ends may make mpiexec kill the others; let them print first
    os._exit(int(_failed[0] or getattr(sys, "last_value", None) is not None))
