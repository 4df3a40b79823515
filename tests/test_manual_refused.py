"""Each argument of a function derived by hand is refused by its name where its shape does not fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import manual

BATCH, TIME, N_IN, N = 2, 4, 3, 5
RNN = {
    "x": (BATCH, TIME, N_IN), "h0": (BATCH, N), "W_x": (N, N_IN), "W_h": (N, N), "b": (N,),
}  # fmt: skip
LSTM = {
    "x": (BATCH, TIME, N_IN), "h0": (BATCH, N), "c0": (BATCH, N), "W_x": (4 * N, N_IN), "W_h": (4 * N, N),
    "b": (4 * N,),
}  # fmt: skip
STATES = {"z": (BATCH, TIME, N), "h": (BATCH, TIME, N)}
GIVEN = {name: shape for name, shape in RNN.items() if name != "b"}
SHAPES: dict[str, tuple[Callable[..., Any], dict[str, tuple[int, ...]], str]] = {
    "rnn": (manual.rnn, RNN, "h0 W_x W_h b"),
    "rnn_backward": (manual.rnn_backward, {"g": (BATCH, TIME, N), **GIVEN, **STATES}, "g h0 W_x W_h"),
    "lstm": (manual.lstm, LSTM, "h0 c0 W_x W_h b"),
    "batch_norm": (manual.batch_norm, dict.fromkeys(("x", "gamma", "beta", "running_mean", "running_var"), (N,)),
                   "gamma beta running_mean running_var"),
    "layer_norm": (manual.layer_norm, {"x": (BATCH, N), "gamma": (N,), "beta": (N,)}, "beta"),
}  # fmt: skip
SHAPES["batch_norm"][1]["x"] = (BATCH, N)


def arrays(shapes: dict[str, tuple[int, ...]]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.abs(rng.normal(size=shape)) for shape in shapes.values()]


@pytest.mark.parametrize("name", SHAPES)
def test_what_fits_is_taken(name: str) -> None:
    function, shapes, _ = SHAPES[name]
    function(*arrays(shapes))


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, row in SHAPES.items() for argument in row[2].split()]
)
@pytest.mark.parametrize("how", ["one more", "one less", "an axis more"])
def test_another_shape_is_refused_by_name(name: str, argument: str, how: str) -> None:
    function, shapes, _ = SHAPES[name]
    first, *rest = shapes[argument]
    wrong = {"one more": (first + 1, *rest), "one less": (first - 1, *rest), "an axis more": (1, first, *rest)}[how]
    with pytest.raises(ValueError, match=rf"{argument} has shape \({', '.join(map(str, wrong))},?\)"):
        function(*arrays({**shapes, argument: wrong}))
