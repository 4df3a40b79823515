"""`Record`: record weights, activations and gradients of chosen training steps, and show them as a page."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...common.printable import printable
from ...common.spelling import named_options
from ...files import write_whole
from ..model.values import array_of
from .probe import Probe, activations, can_probe, keeping_state, make_probe, plane_scores
from .recording_page import page
from .steps import Choice, LoopRecorder

Array = np.ndarray[Any, Any]
KINDS = ("weights", "gradients", "activations")


@dataclass(frozen=True)
class Moment:
    """The recorded state of a training after a number of updates.

    Attributes:
        step: the number of updates; epoch: the number of the epoch, 0 before the first.
        loss: the loss of the batch before this update; ``None`` before the first update.
        weights: name -> array, after the update. gradients: name -> array used in the update, before clipping; empty
            at step 0.
        activations: part of the model -> its output for the samples (one row each), with the weights of this step.
        scores: the outputs of the model at the points of the plane, ``(points, outputs)``, or ``None``.
    """

    step: int
    epoch: int
    loss: float | None
    weights: dict[str, Array] = field(repr=False)
    gradients: dict[str, Array] = field(repr=False)
    activations: dict[str, Array] = field(repr=False)
    scores: Array | None = field(repr=False)

    @property
    def nbytes(self) -> int:
        """The memory of all its arrays in bytes."""
        arrays = [*self.weights.values(), *self.gradients.values(), *self.activations.values()]
        return sum(array.nbytes for array in arrays) + (0 if self.scores is None else self.scores.nbytes)


@named_options({"every": "Write Record(10) for every tenth step."})
class Record:
    """A callback of `fit` that records weights, activations and gradients of chosen steps, and shows them as a page.

    A step is an update. The training gives the same bits as without a recording. If the recording would exceed
    `megabytes`, every other step is dropped and half as many are recorded from then on; `notes` says so.

    Args:
        steps: ``"log"`` (the first steps, then about eight steps per doubling of the step number), a number N (every
            N-th step), or a list of steps. Without a list, the state before the first update and the last one are
            recorded too.
        x, y: data to evaluate the model on; by default the rows that `fit` trains on.
        samples: how many rows, or which rows, to record the activations for.
        columns: two columns of x; at each step the model is evaluated on their plane, with the other columns at their
            median. By default both columns if x has two.
        megabytes: the largest size of the recording.
        name: the name of the recording on the page. classes, features: names of outputs and inputs.

    Attributes:
        steps: the numbers of the recorded steps; ``record[step]`` is a `Moment`.
        notes: sentences on what was left out, and why.

    Raises:
        TypeError, ValueError: ``steps`` is invalid, or one step needs more than `megabytes` (raised at the first step).

    Example:
        >>> from tinygrad_nn import Layer, Settings, Solver, fit
        >>> record = Record([0, 1, 4])
        >>> model, x = [Layer(1, 1, rng=0)], [[-1.0], [0.0], [1.0]]
        >>> _ = fit(model, x, [-2.0, 0.0, 2.0], solver=Solver("mse", "sgd", 0.3), settings=Settings(2, 1),
        ...         callbacks=[record])
        >>> record.steps, list(record[4].gradients)
        ([0, 1, 4], ['layer 1 W', 'layer 1 b'])
    """

    def __init__(
        self,
        steps: str | int | Sequence[int] = "log",
        *,
        x: Any = None,
        y: Any = None,
        samples: int | Sequence[int] = 6,
        columns: tuple[int, int] | None = None,
        megabytes: float = 256,
        name: str | None = None,
        classes: Sequence[Any] | None = None,
        features: Sequence[Any] | None = None,
    ) -> None:
        self._choice = self._chosen = Choice.of("Record", steps)
        if not megabytes > 0:
            raise ValueError(f"Record: megabytes={megabytes!r}; it must be above 0, the most to hold.")
        self.most = int(megabytes * 1e6)
        self.given, self.samples, self.columns = (x, y), samples, columns
        self.name = name
        self.classes, self.features = _as_texts(classes), _as_texts(features)
        self.notes: list[str] = []
        self.epochs: list[dict[str, Any]] = []
        self.probe: Probe | None = None
        self._moments: list[Moment] = []
        self._loop = LoopRecorder()
        self._looked = False

    # -- Access to the recorded steps

    @property
    def steps(self) -> list[int]:
        """The numbers of the recorded steps."""
        return [moment.step for moment in self._moments]

    @property
    def nbytes(self) -> int:
        """The memory of the whole recording in bytes."""
        return sum(moment.nbytes for moment in self._moments)

    def __len__(self) -> int:
        return len(self._moments)

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._moments)

    def __getitem__(self, step: int) -> Moment:
        for moment in self._moments:
            if moment.step == step:
                return moment
        raise KeyError(f"step {step} was not kept; these were: {', '.join(map(str, self.steps)) or 'none yet'}.")

    def __repr__(self) -> str:
        if not self._moments:
            return "<recording of no step yet; fit(..., callbacks=[record]) fills it>"
        first, last = self._moments[0].step, self._moments[-1].step
        many = "1 step" if len(self) == 1 else f"{len(self):,} steps"
        size = f"{self.nbytes / 1e6:.2g} MB"
        return f"<recording of {many} from {first:,} to {last:,}, {size}; .page('training.html') shows it>"

    # -- Recording

    def due(self, number: int) -> bool:
        """Whether the step of this number is recorded."""
        return self._choice.due(number)

    def step(self, step: Any) -> None:
        """Record a step that `fit` reports."""
        if step.loss is None and self._moments and step.number <= self._moments[-1].step:  # a new training
            self._choice, self._looked, self.notes = self._chosen, False, []
        if self._choice.numbers and not self.due(step.number):
            return
        self._look_at(step.data)
        self._keep(step.number, step.epoch, step.loss, step.weights, step.gradients, step.model)

    def __call__(self, epoch: Any) -> None:
        """Record the losses and metrics at the end of an epoch."""
        if epoch.number == 1:
            self.epochs = []
        numbers = {"loss": epoch.loss, "val_loss": epoch.val_loss, **epoch.metrics}
        self.epochs.append({"epoch": epoch.number, **{k: float(v) for k, v in numbers.items() if v is not None}})

    def add(self, model: Any, trained: Any = None) -> None:
        """Record a step of your own loop: call it after each update, and before the first one with only the model.

        Args:
            model: the list of layers or the module that is trained, or a dict of arrays.
            trained: the result of `TrainNN`; or the loss (a number or a Tensor) if `backward` stored the gradients in
                ``.grad`` of the parameters.
        """
        step = self._loop.next_step(model, trained)
        if not self.due(step.number):
            return
        self._look_at(None)
        self._keep(step.number, 0, step.loss, step.weights, step.gradients, model)

    def _look_at(self, data: Any) -> None:
        """Create the probe from the data, once."""
        x, y = self.given if self.given[0] is not None else data or (None, None)
        if x is None or self._looked:
            return
        self._looked = True
        try:
            self.probe = make_probe(_as_arrays(x), None if y is None else _as_arrays(y), self.samples, self.columns)
        except ValueError:
            raise
        except Exception as error:  # unusual inputs are trained on, but not recorded
            self._note(f"no activations: {printable(f'{error!s:.120}')}")

    def _keep(
        self, number: int, epoch: int, loss: float | None, weights: Mapping[str, Array],
        gradients: Mapping[str, Array], model: Any,
    ) -> None:  # fmt: skip
        self._moments = [moment for moment in self._moments if moment.step < number]  # drops an earlier training
        seen: dict[str, Array] = {}
        plane = None
        if self.probe is not None and can_probe(model):
            try:
                with keeping_state(model):
                    seen = activations(model, self.probe.x)
                    plane = None if self.probe.columns is None else plane_scores(model, self.probe.plane())
            except Exception as error:  # a recording must not stop the training
                self._note(f"no activations: the model raised {type(error).__name__}: {printable(f'{error!s:.120}')}")
        moment = Moment(number, epoch, loss, {name: np.array(w) for name, w in weights.items()},
                        {name: np.array(g) for name, g in gradients.items()}, seen, plane)  # fmt: skip
        self._moments.append(moment)
        self._thin()

    def _thin(self) -> None:
        """Drop every other step until the recording is not larger than allowed."""
        last = self._moments[-1]
        size = last.nbytes + (0 if last.gradients else sum(w.nbytes for w in last.weights.values()))
        needed = size * (len(self._choice.numbers) if self._choice.numbers else 2)
        if needed > self.most:
            many = f"the {len(self._choice.numbers)} steps of the list" if self._choice.numbers else "two steps"
            raise ValueError(
                f"Record: a step of this model takes {size / 1e6:.3g} MB, {many} {needed / 1e6:.3g} MB, and megabytes="
                f"{self.most / 1e6:g} is the most to hold. Write Record(..., megabytes={math.ceil(needed / 1e6)})"
                f"{', or fewer steps' if self._choice.numbers else ''}."
            )
        while self.nbytes > self.most:
            self._choice = self._choice.coarser()
            self._moments = [moment for moment in self._moments[:-1] if self.due(moment.step)] + [last]
            limit = "MB of megabytes="
            self._note(f"{self._choice.words()}: all would take more than the {self.most / 1e6:g} {limit}", limit)

    def _note(self, text: str, instead: str = "\0") -> None:
        """Add a note once; it replaces earlier notes that contain the text `instead`."""
        self.notes = [note for note in self.notes if note != text and instead not in note] + [text]

    # -- Pages and files

    @named_options()
    def page(self, path: str | os.PathLike[str], *, beside: Record | None = None, title: str | None = None) -> Path:
        """Write a page that steps through the training: boundary, weights, gradients, and the neurons of a sample.

        Args:
            path: the file of the page, ``training.html``; it opens from disk and needs no network.
            beside: another recording, shown side by side with this one, with the difference.
            title: the title of the page.

        Returns:
            The path.

        Raises:
            ValueError: nothing was recorded yet, or the path does not end in .html.
            FileNotFoundError: the folder does not exist.
        """
        if Path(path).suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"a recording is shown as a page; {str(path)!r} should end in .html.")
        if beside is not None and not isinstance(beside, Record):
            raise TypeError(f"page: beside={beside!r:.60} is of type {type(beside).__name__}; pass another Record.")
        for record in (self, beside):
            if record is not None and not len(record):
                raise ValueError("this recording holds no step yet; pass it to fit(..., callbacks=[record]) first.")
        return write_whole(path, page([self] if beside is None else [self, beside], title).encode())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the recording to a safetensors file, completely or not at all, and return its path."""
        from ...files.safetensors import seal

        arrays: dict[str, Array] = {}
        kept: dict[str, list[int]] = {}
        parts: dict[str, list[tuple[int, Array]]] = {}
        for k, moment in enumerate(self._moments):
            for kind in KINDS:
                for name, array in getattr(moment, kind).items():
                    parts.setdefault(f"{kind}/{name}", []).append((k, array))
            if moment.scores is not None:
                parts.setdefault("scores/", []).append((k, moment.scores))
        for name, found in parts.items():
            whole = np.stack([array for _, array in found])
            arrays[name] = whole.view(whole.real.dtype) if whole.dtype.kind == "c" else whole
            kept[name] = [k for k, _ in found]
        about: dict[str, Any] = {
            "moments": [[m.step, m.epoch, _json_number(m.loss)] for m in self._moments], "kept": kept,
            "complex": [name for name, found in parts.items() if found[0][1].dtype.kind == "c"],
            "epochs": [{name: _json_number(value) for name, value in row.items()} for row in self.epochs],
            "notes": self.notes, "name": self.name, "classes": self.classes, "features": self.features,
            "megabytes": self.most / 1e6, "probe": None,
        }  # fmt: skip
        if self.probe is not None:
            about["probe"] = {"rows": list(self.probe.rows), "columns": self.probe.columns}
            arrays |= {f"probe/{name}": array for name in _PROBE
                       if isinstance(array := getattr(self.probe, name), np.ndarray)}  # fmt: skip
        return write_whole(path, seal("recording", arrays, json.dumps(about)).content)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Record:
        """Read a recording that `save` wrote; no code in the file is executed.

        Raises:
            FileNotFoundError: the file does not exist. ValueError: it is not a recording, or was cut off or changed.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> record = Record(1)
            >>> record.add({"w": np.ones(2)})
            >>> with TemporaryDirectory() as folder:
            ...     again = Record.load(record.save(f"{folder}/run.safetensors"))
            >>> again[0].weights["w"]
            array([1., 1.])
        """
        from ...files.safetensors import parse, unseal

        arrays, text, _ = unseal("recording", path)
        about = parse(path, text)
        try:
            return cls._of(arrays, about)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            came = printable(f"{error!s:.120}")
            raise ValueError(f"{printable(path)} holds no recording that can be read: {came}") from None

    @classmethod
    def _of(cls, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> Record:
        steps = [int(step) for step, _, _ in about["moments"]]
        record = cls(steps or "log", megabytes=float(about["megabytes"]), name=about["name"], classes=about["classes"],
                     features=about["features"])  # fmt: skip
        record._moments = [Moment(int(step), int(epoch), _parse_number(loss), {}, {}, {}, None)
                           for step, epoch, loss in about["moments"]]  # fmt: skip
        for name, places in about["kept"].items():
            kind, _, inner = name.partition("/")
            whole = arrays[name]
            whole = whole.view(f"c{2 * whole.itemsize}") if name in about["complex"] else whole
            for k, array in zip(places, whole, strict=True):
                if kind == "scores":
                    record._moments[k] = replace(record._moments[k], scores=array)
                else:
                    getattr(record._moments[k], {kind: kind for kind in KINDS}[kind])[inner] = array
        record.epochs = [{str(k): _parse_number(v) for k, v in row.items()} for row in about["epochs"]]
        record.notes = [str(note) for note in about["notes"]]
        probe = about["probe"]
        if probe is not None:
            columns = None if probe["columns"] is None else (int(probe["columns"][0]), int(probe["columns"][1]))
            found = {name: arrays.get(f"probe/{name}") for name in _PROBE}
            record.probe = Probe(tuple(map(int, probe["rows"])), columns=columns, **found)
        return record


_PROBE = ("x", "y", "low", "high", "middle", "points", "truth")


def _as_texts(names: Sequence[Any] | None) -> list[str] | None:
    return None if names is None else [str(name) for name in names]


def _as_arrays(value: Any) -> Any:
    """Return nested dicts and tuples of arrays; any other value becomes an array."""
    if isinstance(value, dict):
        return {name: _as_arrays(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_as_arrays(part) for part in value)
    return array_of(value)


def _json_number(value: Any) -> Any:
    """Return a number that JSON can hold; NaN and infinity become text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _parse_number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value
