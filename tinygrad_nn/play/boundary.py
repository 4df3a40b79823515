"""Pictures of the decision boundary: the outputs of the network and of its neurons on a plane through the inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..common.printable import printable
from .training import Training

Array = np.ndarray[Any, Any]
CELLS, SMALL = 64, 16  # cells along a side of the picture, and of a neuron's picture
NEURONS = 12  # of each layer that are shown at most
MOST_DOTS = 1500  # rows that are drawn at most
MAIN = ("main direction 1", "main direction 2")


class Axis(NamedTuple):
    """One axis: name, range in the scaled inputs of the network, and factor and offset to the units of the table."""

    name: str
    low: float
    high: float
    factor: float
    offset: float


class Plane:
    """A two-dimensional plane in the input space of a network.

    Args:
        training: the network and its data; across, up: the axes, as names of two features or of `MAIN`, the two
            principal components of the training rows. All other features have their mean over the training rows.

    Attributes:
        axes: the two axes; points: the rows projected on the plane, ``(rows, 2)``.

    Raises:
        ValueError: there is no feature of this name.
    """

    def __init__(self, training: Training, across: str = "", up: str = "") -> None:
        x, names = training.inputs, training.data.features
        across, up = _axis_names(training, across, up)
        mean = training.split.x_train.mean(axis=0)
        if across in MAIN:
            _, _, rows = np.linalg.svd(training.split.x_train - mean, full_matrices=False)
            # the sign of a component is arbitrary: its largest entry is made positive, lest the picture flip
            u, v = (rows[k] * np.sign(rows[k][np.abs(rows[k]).argmax()]) if k < len(rows) else 0 * mean for k in (0, 1))
            self.origin, self.points = mean, (x - mean) @ np.stack([u, v], axis=1)
            units = [(name, 1.0, 0.0) for name in MAIN]
        else:
            places = [names.index(across), names.index(up)]
            u, v = (np.eye(len(names))[k] for k in places)
            if places[0] == places[1]:  # a single feature: the vertical axis has no meaning
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
        """Return the inputs of a picture of ``cells`` by ``cells``, ``(cells², n_in)``, row by row from the top."""
        if cells not in self._grids:
            across, up = self.axes
            at = (np.arange(cells) + 0.5) / cells
            a = across.low + (across.high - across.low) * at
            b = up.high - (up.high - up.low) * at
            b, a = np.meshgrid(b, a, indexing="ij")
            self._grids[cells] = self.origin + a.reshape(-1, 1) * self.u + b.reshape(-1, 1) * self.v
        found: Array = self._grids[cells]
        return found


def _axis_names(training: Training, horizontal: str, up: str) -> tuple[str, str]:
    """Return the names of the two axes, with defaults for those that are empty."""
    names = training.data.features
    for name in (horizontal, up):
        if name and name not in (*names, *MAIN):
            raise ValueError(f"There is no feature {printable(name)!r:.80} in {printable(training.data.name)}.")
    if horizontal in MAIN or up in MAIN or (not horizontal and not up and len(names) > 8):
        return MAIN
    return horizontal or up or names[-2 if len(names) > 2 else 0], up or names[-1]


def decision(training: Training, plane: Plane) -> tuple[Array, Array]:
    """Return the predictions on a plane: for each cell the class and how sure the network is, as uint8.

    In a regression, the first array is zeros, and the second is the output, from 0 (smallest target) to 255 (largest).
    """
    output = _outputs(training, plane.grid(CELLS))[-1]
    if training.data.kind == "classification":
        best = output.argmax(axis=1)
        sure = (output.max(axis=1) - 1 / output.shape[1]) / (1 - 1 / output.shape[1])
        return best.astype(np.uint8), _to_bytes(sure)
    low, high = float(training.outputs.min()), float(training.outputs.max())
    return np.zeros(len(output), np.uint8), _to_bytes((output[:, 0] - low) / ((high - low) or 1.0))


def neurons(training: Training, plane: Plane) -> list[Array]:
    """Return the outputs of the first neurons of each hidden layer on a plane, as uint8 ``(neurons, SMALL²)``.

    128 means zero; 1 and 255 mean minus and plus the largest absolute value of the neuron.
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


def _to_bytes(share: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.rint(255 * np.clip(np.nan_to_num(share), 0, 1)), np.uint8)


def dots(training: Training, plane: Plane) -> dict[str, Any]:
    """Return the rows as dots for the page: positions from 0 to 1, classes or targets, and how many are training rows.

    Of more than `MOST_DOTS` rows, only the first are drawn, the same share of the training and of the test rows.
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
