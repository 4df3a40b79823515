"""`Heartbeat`: a thread through which the ranks of a training know which ranks live, wait or have failed.

Once a second every rank tells rank 0 that it lives and what it waits for, and rank 0 tells all others that it lives.
If a rank fails or is silent for too long, or if all ranks wait for different things, rank 0 sends the same message to
all ranks, and all raise it.
"""

from __future__ import annotations

import builtins
import json
import socket
import threading
import time
from typing import Any

PATIENCE = 25.0  # seconds that a rank may be silent
BEAT = 1.0  # seconds between two signs of life
TICK = 0.05  # seconds between two looks at what came
STUCK = 6.0  # seconds that all may wait for different things
GATHER = 1.0  # seconds in which others may report the same failure
_ALIVE, _FAILED, _VERDICT = 1, 2, 3


class Heartbeat:
    """The heartbeat of one rank.

    Attributes:
        counted: how many sums and gathers the rank began; waiting: the one it waits for, ``None`` while it computes.
        verdict: why all ranks stop, as decided by rank 0; ``None`` while all is well.
    """

    def __init__(self, mpi: Any, comm: Any) -> None:
        self.mpi, self.comm = mpi, comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.counted = 0
        self.waiting: str | None = None
        self.verdict: dict[str, Any] | None = None
        self.run = 0
        self._thread: threading.Thread | None = None
        self._sent: list[Any] = []
        self._own: tuple[str, str] | None = None
        self._wake = threading.Event()

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, call: str) -> None:
        """Start the thread, at the beginning of a call that all ranks make."""
        self.run += 1
        self.counted, self.waiting, self.verdict, self._own = 0, None, None, None
        now = time.monotonic()
        self._heard = dict.fromkeys(range(self.size), now)
        self._places: dict[int, tuple[int, str | None, str]] = {}
        self._changed = now
        self._failed: dict[int, tuple[str, str]] = {}
        self._first = 0.0
        self._stop = False
        self._thread = threading.Thread(target=self._live, name="heartbeat of a training", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stop = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5)

    def tell(self, kind: str, text: str) -> dict[str, Any]:
        """Report a failure of this rank, and return the verdict that all ranks receive."""
        self._own = kind, text
        self._wake.set()
        end = time.monotonic() + PATIENCE
        while self.verdict is None and time.monotonic() < end:
            time.sleep(0.01)
        return self.verdict or {"text": self._words({self.rank: (kind, text)}), "kind": _exception_name(kind)}

    # -- The thread

    def _live(self) -> None:
        last = 0.0
        while not self._stop:
            now = time.monotonic()
            if now - last > BEAT:
                last = now
                self._beat()
            if self._own is not None:
                own, self._own = self._own, None
                if self.rank == 0:
                    self._fail(0, *own)
                else:
                    self._send(0, _FAILED, list(own))
            self._hear()
            if self.verdict is None:
                self._judge(time.monotonic())
            self._wake.wait(TICK)
            self._wake.clear()

    def _beat(self) -> None:
        place = [self.counted, self.waiting, socket.gethostname()]
        if self.rank == 0:
            self._note(0, place)
        for other in range(1, self.size) if self.rank == 0 else [0]:
            self._send(other, _ALIVE, place)

    def _send(self, to: int, tag: int, message: Any) -> None:
        content = json.dumps([self.run, message]).encode()
        self._sent = [request for request in self._sent if not request[0].Test()]
        self._sent.append((self.comm.Isend([content, self.mpi.BYTE], to, tag), content))

    def _hear(self) -> None:
        status = self.mpi.Status()
        while self.comm.Iprobe(self.mpi.ANY_SOURCE, self.mpi.ANY_TAG, status):
            content = bytearray(status.Get_count(self.mpi.BYTE))
            source, tag = status.Get_source(), status.Get_tag()
            self.comm.Recv([content, self.mpi.BYTE], source, tag)
            run, what = json.loads(content)
            if run != self.run:
                continue
            self._heard[source] = time.monotonic()
            if tag == _ALIVE:
                self._note(source, what)
            elif tag == _FAILED:
                self._fail(source, *what)
            elif self.verdict is None:
                self.verdict = what

    def _note(self, rank: int, place: Any) -> None:
        place = tuple(place)
        if self._places.get(rank) != place:
            self._places[rank] = place
            self._changed = time.monotonic()

    def _fail(self, rank: int, kind: str, text: str) -> None:
        if not self._failed:
            self._first = time.monotonic()
        self._failed[rank] = kind, text

    def _judge(self, now: float) -> None:
        """Check whether all is well: rank 0 checks all ranks, the others only whether rank 0 lives."""
        silent = [r for r, heard in self._heard.items() if r != self.rank and now - heard > PATIENCE - 5]
        if self.rank:
            if 0 in silent:
                self.verdict = {"text": self._silence([0]), "kind": "RuntimeError"}
            return
        if self._failed and (len(self._failed) == self.size or now - self._first > GATHER):
            alike = len(self._failed) == self.size and len(set(self._failed.values())) == 1
            kinds = {_exception_name(kind) for kind, _ in self._failed.values()}
            kind = kinds.pop() if len(kinds) == 1 else "RuntimeError"
            self._decide({"text": self._words(self._failed), "kind": kind, "alike": alike})
        elif silent:
            self._decide({"text": self._silence(silent), "kind": "RuntimeError"})
        elif len(self._places) == self.size and now - self._changed > STUCK and not self._failed:
            waits = {r: (n, what) for r, (n, what, _) in sorted(self._places.items())}
            if all(what is not None for _, what in waits.values()) and len(set(waits.values())) > 1:
                each = ", ".join(f"rank {r} waits for {what} (its sum or gather {n})" for r, (n, what) in waits.items())
                self._decide({
                    "text": f"the ranks wait for different things, so they would wait forever: {each}. Give all the "
                    "same batches, metrics and callbacks. All ranks stop.", "kind": "RuntimeError",
                })  # fmt: skip

    def _decide(self, verdict: dict[str, Any]) -> None:
        for other in range(1, self.size):
            self._send(other, _VERDICT, verdict)
        self.verdict = verdict

    def _words(self, failed: dict[int, tuple[str, str]]) -> str:
        alike: dict[str, list[int]] = {}
        for r, (kind, _) in sorted(failed.items()):
            alike.setdefault(kind, []).append(r)
        told = []
        for kind, (r, *others) in alike.items():
            also = f" (as rank{'s' if len(others) > 1 else ''} {', '.join(map(str, others))})" if others else ""
            why = failed[r][1].rstrip(".")
            told.append(f"rank {r} of {self.size}{also} stopped by {kind}" + f": {why}" * bool(why))
        text = "; ".join(told)
        return f"{text}{'' if text.endswith(('?', '!')) else '.'} All ranks stop."

    def _silence(self, silent: list[int]) -> str:
        who = ", ".join(f"rank {r} of {self.size}" + (f" on {self._places[r][2]}" if r in self._places else "")
                        for r in silent)  # fmt: skip
        return (
            f"{who} was not heard from for {PATIENCE - 5:.0f} s: it was killed, or its machine is off or hangs. All "
            "ranks stop. A written checkpoint is complete; continue from it with resume=True."
        )


def _exception_name(kind: str) -> str:
    found = getattr(builtins, kind, None)
    return kind if isinstance(found, type) and issubclass(found, Exception) else "RuntimeError"
