"""`Session`: the state of one playground, which trains in a thread and can be shown by any number of tabs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from threading import Condition, Thread, current_thread
from typing import Any

import numpy as np

from ..common.forks import renewed_after_fork
from ..common.printable import printable
from ..io import to_bytes
from ..nn.losses import PENALTIES
from ..optim import OPTIMIZERS
from .boundary import CELLS, MAIN, NEURONS, SMALL, Plane, decision, dots, neurons
from .choices import DATASETS, HIDDEN, KINDS, MISSING, Choices
from .data import TableFile
from .sample import explorer_page, forward_and_back
from .script import script
from .training import Training

Array = np.ndarray[Any, Any]
PACES = {"batch": "2 batches a second", "epoch": "up to 30 epochs a second", "full": "as fast as it can"}
OF_TABLE = ("dataset", "target", "kind", "missing", "leave_out")  # choosing one of these accepts an uploaded table
TURN, GAP = 0.01, 0.001  # seconds for which the training thread holds the lock, and then releases it
PICTURE, SLOW = 1 / 30, 0.5  # seconds between two epochs at pace "epoch", and between two batches at pace "batch"
AWAY = 300.0  # seconds without a request after which training pauses
PATIENCE = 0.5  # seconds that a request for a frame waits for news
SHOWN = 64  # rows of a batch that are sent to the page


class Session:
    """One playground: the choices, their training, and what the page displays of it.

    Args:
        choices: the initial choices; table: the file of a table, if there is one.

    Raises:
        ValueError: the choices contradict each other, or no network can be trained on the table.

    Example:
        >>> session = Session()
        >>> session.do("step")["updates"]
        1
    """

    def __init__(self, choices: Choices | None = None, table: TableFile | None = None) -> None:
        self.changed: Condition = renewed_after_fork(Condition())  # its lock protects all state of this object
        self.choices = choices or Choices()
        self.table, self.offered = table, table
        self.training = Training(self.choices, table)
        self.running, self.pace, self.message = False, "epoch", ""
        self.version = self.settled = 0
        self.looked = time.monotonic()
        self.view: dict[str, Any] = {"across": "", "up": "", "row": int(self.training.numbers[0][0]), "moment": 0}
        self.plane = Plane(self.training)
        self._worker: Thread | None = None
        self._drawn: tuple[Any, dict[str, Array]] = (None, {})

    # -- Actions of the user

    def do(self, action: Any, pace: Any = None) -> dict[str, Any]:
        """Carry out ``"train"``, ``"pause"``, ``"step"`` (one batch) or ``"reset"``, and return the state.

        Raises:
            ValueError: there is no action or pace of this name.
        """
        if action not in ("train", "pause", "step", "reset"):
            raise ValueError(f"{action!r:.60} is not an action; the actions are train, pause, step and reset.")
        if pace is not None and pace not in PACES:
            raise ValueError(f"{pace!r:.60} is not a pace; the paces are {', '.join(PACES)}.")
        with self.changed:
            self.pace = pace or self.pace
            self.message = ""
            if action == "train" and not self.running:
                self.running, self.looked = True, time.monotonic()
                self._worker = Thread(target=self._train, name="tinygrad-nn playground", daemon=True)
                self._worker.start()
            elif action == "reset":
                self.running = False
                self._begin(self.choices, self.table)
            elif action != "train":
                self.running = False
                if action == "step":
                    self._step()
                self.training.note()
            self._tell(settled=True)
            return self.state()

    def choose(self, changes: Any) -> dict[str, Any]:
        """Change some of the choices, and return the state.

        Raises:
            ValueError: the choices are not allowed; nothing has changed then.
        """
        with self.changed:
            choices = self.choices.changed(changes)
            of_table = choices.dataset == "table" and any(name in changes for name in OF_TABLE)
            if (of_table and self.offered is not self.table) or self.choices.anew(choices):
                self._begin(choices, self.offered if of_table else self.table)
            elif choices != self.choices:
                self.training.note()
                self.training.change(choices)
                self.choices = choices
            self.message = ""
            self._tell(settled=True)
            return self.state()

    def take(self, name: str, content: bytes) -> dict[str, Any]:
        """Accept an uploaded CSV file, switch to it if a network can be trained on it, and return the state.

        If the table needs other options, such as another target, the state has its columns and a `message`.

        Raises:
            ValueError: the file is not a table; nothing has changed then.
        """
        table = TableFile(name, content)
        header = table.header
        with self.changed:
            self.offered = table
            target = self.choices.target if self.choices.target in header else header[-1]
            try:
                self.choose({"dataset": "table", "target": target, "leave_out": ()})
            except ValueError as error:
                self.message = f"{error} Until then nothing changes."
                self._tell(settled=True)
            return self.state()

    def look(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Display other axes, another row or another moment, and return the state.

        Raises:
            ValueError: there are no such axes, or no such row or moment.
        """
        with self.changed:
            view = self.view | {name: options[name] for name in self.view if name in options}
            if not isinstance(view["across"], str) or not isinstance(view["up"], str):
                raise ValueError("The axes are names of features.")
            forward_and_back(self.training, view["row"])  # raises if there is no such row
            moments = 2 * len(self.training.layers) + 2
            if isinstance(view["moment"], bool) or not isinstance(view["moment"], int) or view["moment"] < 0:
                raise ValueError("A moment must be a whole number of at least 0.")
            view["moment"] = min(view["moment"], moments - 1)
            if (view["across"], view["up"]) != (self.view["across"], self.view["up"]):
                self.plane = Plane(self.training, view["across"], view["up"])
            self.view = view
            self._tell(settled=True)
            return self.state()

    # -- What the page displays

    def state(self) -> dict[str, Any]:
        """Return everything that changes by actions of the user, as a dict that JSON can hold."""
        with self.changed:
            training, data = self.training, self.training.data
            table = self.offered or self.table
            return {
                "settled": self.settled, "choices": self.choices.to_dict(), "running": self.running, "pace": self.pace,
                "message": self.message, "updates": training.updates,
                "known": {"datasets": DATASETS, "activations": HIDDEN, "optimizers": list(OPTIMIZERS),
                          "regularizations": list(PENALTIES), "kinds": KINDS, "missing": MISSING, "paces": PACES},
                "table": None if table is None else {"name": printable(table.name), "columns": table.header},
                "data": {
                    "name": printable(data.name), "kind": data.kind, "rows": len(data.x), "inputs": len(data.features),
                    "features": [*data.features], "target": printable(data.target),
                    "classes": [printable(name) for name in data.classes], "notes": [printable(t) for t in data.notes],
                    "train": len(training.numbers[0]), "test": len(training.numbers[1]),
                    "low": float(data.targets.min()), "high": float(data.targets.max()),
                },
                "layers": [{"inputs": layer.n_in, "width": layer.n_out, "activation": layer.activation}
                           for layer in training.layers],
                "parameters": sum(layer.W.size + layer.b.size for layer in training.layers),
                "axes": [axis._asdict() for axis in self.plane.axes], "main": MAIN, "view": self.view,
                "dots": dots(training, self.plane), "cells": CELLS, "small": SMALL, "neurons": NEURONS,
            }  # fmt: skip

    def sample(self) -> dict[str, Any]:
        """Return the numbers of the displayed row, see `forward_and_back`."""
        with self.changed:
            return forward_and_back(self.training, self.view["row"])

    def frame(self, drawn_version: int = -1, curve: tuple[int, int] = (-1, 0)) -> bytes:
        """Return what changes during training as bytes; empty if nothing is new within half a second.

        The bytes are the length of a JSON text (4 bytes, little-endian), the text, and the arrays. The text has an
        entry ``arrays`` with the dtype, the shape and the offset (from the end of the text) of each array.

        Args:
            drawn_version: the version that the page has drawn.
            curve: the number of the curve that the page has (`Training.rewritten`), and how many points of it.
        """
        with self.changed:
            self.looked = time.monotonic()
            self.changed.wait_for(lambda: self.version != drawn_version, PATIENCE)
            if self.version == drawn_version:
                return b""
            training = self.training
            arrays = self._pictures()
            begin = curve[1] if curve[0] == training.rewritten else 0
            points = training.curve[begin:]
            rows = [[*point[:6], *point.gradients, *[0.0] * (len(training.layers) - len(point.gradients))]
                    for point in points]  # fmt: skip
            width = 6 + len(training.layers)
            now = training.evaluate()
            head = {
                "version": self.version, "settled": self.settled, "running": self.running, "message": self.message,
                "updates": training.updates, "epoch": now.epoch, "loss": _or_none(now.loss),
                "test_loss": _or_none(now.test_loss), "score": _or_none(now.score),
                "test_score": _or_none(now.test_score),
                "gradients": [_or_none(g) for g in now.gradients], "curve": [training.rewritten, begin],
            }  # fmt: skip
            more = {"points": np.array(rows, np.float32).reshape(-1, width),
                    "batch": np.array(training.batch[:SHOWN], np.int32)}  # fmt: skip
            return pack(head, arrays | more)

    def _pictures(self) -> dict[str, Array]:
        """Return the arrays that are drawn of the current network, computed once for all tabs."""
        key = self.training, self.training.updates, self.plane
        if self._drawn[0] is None or any(a is not b and a != b for a, b in zip(key, self._drawn[0], strict=True)):
            best, sure = decision(self.training, self.plane)
            arrays = {"class": best, "sure": sure}
            for k, part in enumerate(neurons(self.training, self.plane)):
                arrays[f"neurons {k}"] = part
            for k, layer in enumerate(self.training.layers):
                arrays[f"weights {k}"] = layer.W.data[:NEURONS, :NEURONS].astype(np.float32)
            self._drawn = key, arrays
        return self._drawn[1]

    def network(self) -> bytes:
        """Return the content of the network's safetensors file."""
        with self.changed:
            return to_bytes(self.training.saved())

    def script(self) -> str:
        """Return a Python script that reproduces the network."""
        with self.changed:
            return script(self.training)

    def explorer(self) -> str:
        """Return the explorer's page for the displayed row."""
        with self.changed:
            return explorer_page(self.training, self.view["row"])

    # -- Training

    def _begin(self, choices: Choices, table: TableFile | None) -> None:
        """Start a new training; if that raises, nothing has changed."""
        training = Training(choices, table)
        same = training.data.features == self.training.data.features
        view: dict[str, Any] = dict(self.view) if same else {"across": "", "up": "", "row": -1, "moment": 0}
        if not 0 <= view["row"] < len(training.inputs):
            view["row"] = int(training.numbers[0][0])
        plane = Plane(training, view["across"], view["up"])
        self.choices, self.table, self.training, self.plane = choices, table, training, plane
        view["moment"] = min(view["moment"], 2 * len(training.layers) + 1)
        self.view = view

    def _tell(self, settled: bool = False) -> None:
        """Count a new version and wake the requests that wait for one; the caller holds the lock."""
        self.version += 1
        self.settled += settled
        self.changed.notify_all()

    def _step(self) -> None:
        try:
            self.training.step()
        except FloatingPointError as error:
            self.running, self.message = False, str(error)
            self._tell(settled=True)

    def _train(self) -> None:
        """Train until paused. The lock is released after each turn, so that requests are answered meanwhile."""
        begun = time.monotonic()  # start of the current epoch
        while True:
            began = time.monotonic()
            with self.changed:
                if not self.running or current_thread() is not self._worker:
                    return  # paused, and possibly restarted in another thread
                ended = self._turn(began)
                if began - self.looked > AWAY:
                    self.running, self.message = False, "Paused, since no page was open for five minutes."
                self._tell(settled=not self.running)
                pace = self.pace
            rest = begun + PICTURE - time.monotonic() if ended else 0.0
            end = time.monotonic() + {"full": GAP, "epoch": max(GAP, rest), "batch": SLOW}[pace]
            begun = end if ended else begun
            while self.running and self.pace == pace and (left := end - time.monotonic()) > 0:
                time.sleep(min(left, PICTURE))

    def _turn(self, began: float) -> bool:
        """Make the updates of one turn, and return whether an epoch ended with it."""
        training = self.training
        while self.running:
            self._step()
            ended = training.place >= len(training.order)
            if self.pace == "batch" or (self.pace == "epoch" and ended) or time.monotonic() - began > TURN:
                return ended
        return True


def pack(head: dict[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Return a JSON text and arrays as bytes, in the format of `Session.frame`."""
    parts, table, at = [], {}, 0
    for name, array in arrays.items():
        content = np.ascontiguousarray(array).tobytes()
        table[name] = [array.dtype.str[1:], list(array.shape), at]
        content += bytes(-len(content) % 8)
        parts.append(content)
        at += len(content)
    text = json.dumps(head | {"arrays": table}, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 4) % 8)  # so that each array is aligned for its dtype
    return len(text).to_bytes(4, "little") + text + b"".join(parts)


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
