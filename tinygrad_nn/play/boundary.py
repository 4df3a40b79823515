"""The picture of a decision: a plane through the inputs, what the network says there, and what each neuron says."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..printable import printable
from .training import Training

Array = np.ndarray[Any, Any]
CELLS, SMALL = 64, 16  # a side of the picture, and of that of a neuron
NEURONS = 12  # of a layer that are shown
MOST_DOTS = 1500  # rows that are drawn
MAIN = ("main direction 1", "main direction 2")


class Axis(NamedTuple):
    """One axis: its name, its range in the network's own scale, and what takes that to the unit of the table."""

    name: str
    low: float
    high: float
    factor: float
    offset: float


class Plane:
    """A plane through the inputs of a network.

    Args:
        training: whose inputs; across, up: names of two features, or of `MAIN`, the directions in which the rows
            differ most. Other features are at their mean over the rows to train on.

    Attributes:
        axes: the two; points: ``(rows, 2)`` the rows as they fall on it.

    Raises:
        ValueError: there is no such feature.
    """

    def __init__(self, training: Training, across: str = "", up: str = "") -> None:
        x, names = training.inputs, training.data.features
        across, up = _chosen(training, across, up)
        mean = training.split.x_train.mean(axis=0)
        if across in MAIN:
            _, _, rows = np.linalg.svd(training.split.x_train - mean, full_matrices=False)
            # the sign of a direction is arbitrary: its largest entry is positive, so that it does not flip
            u, v = (rows[k] * np.sign(rows[k][np.abs(rows[k]).argmax()]) if k < len(rows) else 0 * mean for k in (0, 1))
            self.origin, self.points = mean, (x - mean) @ np.stack([u, v], axis=1)
            units = [(name, 1.0, 0.0) for name in MAIN]
        else:
            places = [names.index(across), names.index(up)]
            u, v = (np.eye(len(names))[k] for k in places)
            if places[0] == places[1]:  # a single feature: nothing changes upwards
                v = 0 * v
            self.origin = np.where(u + v > 0, 0.0, mean)
            self.points = np.stack([x @ u, x @ v], axis=1)
            scaler = training.network.scaler
            units = [(name, 1.0, 0.0) if scaler is None else (name, float(scaler.scale[k]), float(scaler.mean[k]))
                     for name, k in zip((across, up), places, strict=True)]  # fmt: skip
        self.u, self.v = u, v
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        room = np.where(high > low, 0.08 * (high - low), 1.0)
        self.axes = [Axis(printable(name), float(low[k] - room[k]), float(high[k] + room[k]), factor, offset)
                     for k, (name, factor, offset) in enumerate(units)]  # fmt: skip
        self._grids: dict[int, Array] = {}

    def grid(self, cells: int) -> Array:
        """Return the inputs of a picture of so many cells a side, ``(cells², n_in)``, row by row from the top."""
        if cells not in self._grids:
            across, up = self.axes
            at = (np.arange(cells) + 0.5) / cells
            a = across.low + (across.high - across.low) * at
            b = up.high - (up.high - up.low) * at
            b, a = np.meshgrid(b, a, indexing="ij")
            self._grids[cells] = self.origin + a.reshape(-1, 1) * self.u + b.reshape(-1, 1) * self.v
        found: Array = self._grids[cells]
        return found


def _chosen(training: Training, across: str, up: str) -> tuple[str, str]:
    """Return the names of two axes, for those that are not given the usual ones."""
    names = training.data.features
    for name in (across, up):
        if name and name not in (*names, *MAIN):
            raise ValueError(f"There is no feature {printable(name)!r:.80} in {printable(training.data.name)}.")
    if across in MAIN or up in MAIN or (not across and not up and len(names) > 8):
        return MAIN
    return across or up or names[-2 if len(names) > 2 else 0], up or names[-1]


def decision(training: Training, plane: Plane) -> tuple[Array, Array]:
    """Return what the network says on a plane: for each cell the class and how sure it is, as bytes.

    Of a regression the first are zeros, and the second go from the smallest to the largest target.
    """
    output = _outputs(training, plane.grid(CELLS))[-1]
    if training.data.kind == "classification":
        best = output.argmax(axis=1)
        sure = (output.max(axis=1) - 1 / output.shape[1]) / (1 - 1 / output.shape[1])
        return best.astype(np.uint8), _bytes(sure)
    low, high = float(training.outputs.min()), float(training.outputs.max())
    return np.zeros(len(output), np.uint8), _bytes((output[:, 0] - low) / ((high - low) or 1.0))


def neurons(training: Training, plane: Plane) -> list[Array]:
    """Return what the first neurons of each hidden layer say on a plane, ``(neurons, SMALL²)`` bytes each.

    128 is zero, 1 and 255 are the largest absolute value of that neuron.
    """
    found = []
    for a in _outputs(training, plane.grid(SMALL))[:-1]:
        part = np.nan_to_num(a[:, :NEURONS].T)
        largest = np.abs(part).max(axis=1, keepdims=True)
        found.append((128 + np.rint(127 * part / np.where(largest > 0, largest, 1))).astype(np.uint8))
    return found


def _outputs(training: Training, x: Array) -> list[Array]:
    found, a = [], x
    with np.errstate(all="ignore"):
        for layer in training.layers:
            _, a = layer.plain(a)
            found.append(np.asarray(a))
    return found


def _bytes(share: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.rint(255 * np.clip(np.nan_to_num(share), 0, 1)), np.uint8)


def dots(training: Training, plane: Plane) -> dict[str, Any]:
    """Return the rows as the page draws them: places from 0 to 1, classes or targets, which are to train on.

    Of many rows the first are taken, of each part in proportion.
    """
    train, test = training.numbers
    share = min(1.0, MOST_DOTS / (len(train) + len(test)))
    chosen = np.concatenate([part[: max(1, int(len(part) * share))] for part in (train, test)])
    low = np.array([axis.low for axis in plane.axes])
    high = np.array([axis.high for axis in plane.axes])
    at = (plane.points[chosen] - low) / (high - low)
    y = training.outputs[chosen]
    if training.data.kind == "classification":
        value = y.argmax(axis=1).astype(float)
    else:
        ends = training.outputs.min(), training.outputs.max()
        value = (y[:, 0] - ends[0]) / ((ends[1] - ends[0]) or 1.0)
    return {
        "row": chosen.tolist(), "across": at[:, 0].round(4).tolist(), "up": at[:, 1].round(4).tolist(),
        "value": value.round(4).tolist(), "train": min(len(train), max(1, int(len(train) * share))),
    }  # fmt: skip
