"""Each hand-written function refuses an argument of a wrong shape, with an error that names the argument."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import manual
from tinygrad_nn.manual.windows import windows

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


# ---- the whole sentence, for each argument of each function

HEADS = {"q": (2, 4, 3), "k": (2, 5, 3), "v": (2, 5, 6)}
HEADS_BACK = {"g": (2, 4, 6), **HEADS, "a": (2, 4, 5)}
CONV = {"x": (2, 3, 5, 6), "W": (4, 3, 2, 3), "b": (4,)}
CONV_BACK = {"g": (2, 4, 4, 4), "x": CONV["x"], "W": CONV["W"]}
RNN_BACK = SHAPES["rnn_backward"][1]
LSTM_BACK = {
    "g": (BATCH, TIME, N), **{name: shape for name, shape in LSTM.items() if name != "b"},
    "z": (BATCH, TIME, 4 * N), "gates": (BATCH, TIME, 4 * N), "c": (BATCH, TIME, N), "h": (BATCH, TIME, N),
    "g_c": (BATCH, N),
}  # fmt: skip
POOLED = {"g": (2, 3, 2, 3), "x": (2, 3, 5, 6)}
NORM_BACK = {"g": (2, 5), "gamma": (5,), "x_hat": (2, 5), "std": (1, 5)}
PAIRS = {"z": (7, 3), "a": (7, 3), "y": (7, 3)}


def with_sizes(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **given: function(**given, kernel=2)


def of_labels(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **given: function("mse", "linear", **given)


def of_words(g: np.ndarray, W: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return manual.embedding_backward(g, W, np.zeros(ids.shape, int))


def of_one_layer(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(W: np.ndarray, z: np.ndarray, a: np.ndarray, y: np.ndarray, **x: np.ndarray) -> Any:
        return function([W], ["linear"], z=[z], a=[a], y=y, loss="mse", **x)

    return call


LAYER = {"W": (3, 2), **PAIRS}
CALLS: dict[str, tuple[Callable[..., Any], dict[str, tuple[int, ...]]]] = {
    "attention": (manual.attention, HEADS), "attention_backward": (manual.attention_backward, HEADS_BACK),
    "conv2d": (manual.conv2d, CONV), "conv2d_backward": (manual.conv2d_backward, CONV_BACK),
    "max_pool2d": (with_sizes(manual.max_pool2d), {"x": POOLED["x"]}),
    "max_pool2d_backward": (with_sizes(manual.max_pool2d_backward), POOLED),
    "avg_pool2d": (with_sizes(manual.avg_pool2d), {"x": POOLED["x"]}),
    "avg_pool2d_backward": (with_sizes(manual.avg_pool2d_backward), POOLED),
    "embedding_backward": (of_words, {"g": (4, 3, 2), "W": (9, 2), "ids": (4, 3)}),
    "batch_norm": SHAPES["batch_norm"][:2], "batch_norm_backward": (manual.batch_norm_backward, NORM_BACK),
    "layer_norm": SHAPES["layer_norm"][:2],
    "layer_norm_backward": (manual.layer_norm_backward, {**NORM_BACK, "std": (2, 1)}),
    "rnn": (manual.rnn, RNN), "rnn_backward": (manual.rnn_backward, RNN_BACK),
    "lstm": (manual.lstm, LSTM), "lstm_backward": (manual.lstm_backward, LSTM_BACK),
    "loss_value": (of_labels(manual.loss_value), PAIRS), "output_delta": (of_labels(manual.output_delta), PAIRS),
    "objective": (of_one_layer(manual.objective), LAYER),
    "backward": (of_one_layer(manual.backward), {**LAYER, "x": (7, 2)}),
}  # fmt: skip
FIT = ("q and k need the same last axis, k and v the same number of keys in the axis before it, and all three the same "
       "leading axes")  # fmt: skip
AXES = "an image needs the four axes (batch, channels, height, width)"
ENTRIES = "give one number for each of its entries"
SEQUENCES = "sequences need the three axes (batch, time, n_in), and at least one time"
REFUSED: list[tuple[str, str, tuple[int, ...], str]] = [
    *[(name, argument, wrong, f"attention got q {q}, k {k}, v {v}: {FIT}")
      for name in ("attention", "attention_backward")
      for argument, wrong, q, k, v in [
          (argument, wrong, *{**HEADS, argument: wrong}.values()) for argument, wrong in [
              ("q", (2, 4, 7)), ("q", (3, 4, 3)), ("q", (4, 3)), ("q", (3,)), ("k", (2, 5, 2)), ("k", (2, 6, 3)),
              ("k", (1, 5, 3)), ("k", (3,)), ("v", (2, 4, 6)), ("v", (1, 5, 6)), ("v", (5,)),
          ]
      ]],
    *[("attention_backward", "g", wrong, f"g has shape {wrong}, the result has (2, 4, 6): {ENTRIES}")
      for wrong in [(2, 4, 3), (2, 5, 6), (1, 4, 6), (4, 6)]],
    *[(name, "x", wrong, f"x has shape {wrong}: {AXES}")
      for name in ("conv2d", "conv2d_backward", "max_pool2d", "max_pool2d_backward", "avg_pool2d",
                   "avg_pool2d_backward")
      for wrong in [(3, 5, 6), (1, 2, 3, 5, 6)]],
    *[(name, argument, wrong, (f"W has shape {W}: with x of shape {x} it needs (c_out, c_in, k_h, k_w), c_in the "
       "channels of x"))
      for name in ("conv2d", "conv2d_backward")
      for argument, wrong, x, W in [
          ("W", (4, 2, 2, 3), CONV["x"], (4, 2, 2, 3)), ("W", (3, 2, 3), CONV["x"], (3, 2, 3)),
          ("W", (4, 3, 2), CONV["x"], (4, 3, 2)), ("W", (4, 3, 2, 3, 1), CONV["x"], (4, 3, 2, 3, 1)),
          ("W", (1, 4, 3, 2, 3), CONV["x"], (1, 4, 3, 2, 3)), ("x", (2, 4, 5, 6), (2, 4, 5, 6), CONV["W"]),
      ]],
    *[("conv2d", "b", wrong, (f"b has shape {wrong}: with W of shape (4, 3, 2, 3) it needs (4,), a number for each "
       "kernel")) for wrong in [(3,), (1,), (4, 1)]],
    *[(name, "g", wrong, f"g has shape {wrong}, the result of the forward pass has {need}: {ENTRIES}")
      for name, need, shapes in [
          ("conv2d_backward", (2, 4, 4, 4), [(2, 4, 4, 1), (2, 4, 1, 4), (2, 1, 4, 4), (1, 4, 4, 4), (4, 4)]),
          ("max_pool2d_backward", (2, 3, 2, 3), [(2, 3, 2, 1), (2, 3, 1, 3), (2, 1, 2, 3), (1, 3, 2, 3), (2, 3)]),
          ("avg_pool2d_backward", (2, 3, 2, 3), [(2, 3, 2, 1), (2, 3, 1, 3), (2, 1, 2, 3), (1, 3, 2, 3), (2, 3)]),
      ] for wrong in shapes],
    *[("embedding_backward", "g", wrong, (f"g has shape {wrong}, the rows that were looked up have (4, 3, 2): give one "
       "number for each of their entries")) for wrong in [(4, 3, 1), (4, 1, 2), (1, 3, 2), (3, 2), (2,)]],
    *[(name, "g", wrong, f"g has shape {wrong}, the result has (2, 5): {ENTRIES}")
      for name in ("batch_norm_backward", "layer_norm_backward") for wrong in [(5,), (1, 5), (2, 1), (2, 5, 1)]],
    *[(name, "x", wrong, f"x has shape {wrong}: {SEQUENCES}")
      for name in ("rnn", "rnn_backward", "lstm", "lstm_backward")
      for wrong in [(TIME, N_IN), (1, BATCH, TIME, N_IN), (BATCH, 0, N_IN)]],
    *[(name, argument, wrong, (f"{argument} has shape {wrong}; with x of shape {(BATCH, TIME, N_IN)} and W_h of shape "
       f"{shapes['W_h']} it needs {shapes[argument]}"))
      for name, shapes in [("rnn", RNN), ("rnn_backward", RNN_BACK), ("lstm", LSTM), ("lstm_backward", LSTM_BACK)]
      for argument in ("h0", "c0", "W_x", "b", "g", "g_c") if argument in shapes
      for first, *rest in [shapes[argument]] for wrong in [(1, *rest), (first, *rest, 1), (first + 1, *rest)]],
    *[(name, "W_h", wrong, (f"W_h has shape {wrong}; with x of shape {(BATCH, TIME, N_IN)} and W_h of shape {wrong} it "
       f"needs {(gates * wrong[-1], wrong[-1])}"))
      for gates, names in [(1, ("rnn", "rnn_backward")), (4, ("lstm", "lstm_backward"))] for name in names
      for wrong in [(N,), (gates * N + 1, N), (1, gates * N, N), (gates * N, N + 1)]],
    *[(name, "y", wrong, (f"y has shape {wrong}, the prediction has (7, 3): give one row of targets a sample, "
       "y.reshape(7, 3)")) for name in ("loss_value", "output_delta", "objective", "backward")
      for wrong in [(7,), (3,), (7, 1), (1, 3), (7, 3, 1)]],
]  # fmt: skip


def given(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return dict(zip(shapes, arrays(shapes), strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_a_right_call_by_keyword_is_taken(name: str) -> None:
    function, shapes = CALLS[name]
    function(**given(shapes))


@pytest.mark.parametrize(("name", "argument", "wrong", "message"), REFUSED)
def test_a_wrong_shape_is_refused_in_a_whole_sentence(
    name: str, argument: str, wrong: tuple[int, ...], message: str
) -> None:
    function, shapes = CALLS[name]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function(**given({**shapes, argument: wrong}))


@pytest.mark.parametrize("name", ["attention", "attention_backward"])
@pytest.mark.parametrize("shapes", [{"q": (3,), "k": (3,), "v": (6,)}, {"q": (3,), "k": (5, 3), "v": (5, 6)}])
def test_one_vector_is_no_row_of_queries(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    function, right = CALLS[name]
    message = f"attention got q {shapes['q']}, k {shapes['k']}, v {shapes['v']}: {FIT}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function(**given({**right, **shapes}))


@pytest.mark.parametrize("name", ["attention", "attention_backward"])
@pytest.mark.parametrize("lead", [(), (2, 7)])
def test_leading_axes_of_attention_may_be_none_or_two(name: str, lead: tuple[int, ...]) -> None:
    function, shapes = CALLS[name]
    y, *_ = function(**given({key: (*lead, *shape[1:]) for key, shape in shapes.items()}))
    assert y.shape == (*lead, 4, 6 if name == "attention" else 3)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1)])
def test_one_value_a_feature_has_no_variance(shape: tuple[int, ...]) -> None:
    message = (
        f"batch_norm of x with shape {shape} has one value a feature: its variance is 0, and every gradient of x too; "
        "give a batch of at least 2 rows"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        manual.batch_norm(np.ones(shape), *[np.ones(3)] * 4)


@pytest.mark.parametrize("shape", [(2, 3), (1, 3, 2)])
def test_two_values_a_feature_are_enough(shape: tuple[int, ...]) -> None:
    manual.batch_norm(np.arange(6.0).reshape(shape), *[np.ones(3)] * 4)


POOLS = [partial(manual.max_pool2d, np.ones((1, 1, 5, 6))), partial(manual.avg_pool2d, np.ones((1, 1, 5, 6)))]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("padding", [(2, 0), (0, 3), (3, 2), (1, 4)])
def test_padding_as_large_as_a_kernel_is_refused(pool: Callable[..., Any], padding: tuple[int, int]) -> None:
    message = f"padding {padding} is not smaller than the kernel (2, 3): some windows would see no pixel at all"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pool((2, 3), padding=padding)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(("padding", "size"), [((0, 0), (2, 2)), ((1, 0), (3, 2)), ((0, 2), (2, 3)), ((1, 2), (3, 3))])
def test_padding_below_a_kernel_is_taken(
    pool: Callable[..., Any], padding: tuple[int, int], size: tuple[int, int]
) -> None:
    assert pool((2, 3), padding=padding).shape == (1, 1, *size)


def test_no_masks_are_a_network_without_dropout() -> None:
    W, b = [np.array([[2.0], [3.0]]), np.array([[1.0, -1.0]])], [np.zeros(2), np.ones(1)]
    names, x, y = ["relu", "linear"], np.array([[1.0], [4.0]]), np.array([[1.0], [1.0]])
    z, a = manual.forward(W, b, names, x)
    assert [part.tolist() for part in (*z, *a)] == 2 * [[[2.0, 3.0], [8.0, 12.0]], [[0.0], [-3.0]]]
    found = manual.backward(W, names, x, z, a, y, loss="mse")
    assert float(found.loss) == (1 + 16) / 2
    assert [part.tolist() for part in found.delta] == [[[-1, 1], [-4, 4]], [[-1], [-4]]]
    assert [part.tolist() for part in found.dW] == [[[-17], [17]], [[-34, -51]]]
    assert [part.tolist() for part in found.db] == [[-5, 5], [-5]]


@pytest.mark.parametrize(
    ("kernel", "size", "padding", "need"),
    [((3, 3), (2, 4), (0, 0), (1, 0)), ((2, 5), (2, 2), (0, 0), (0, 2)), ((4, 6), (1, 1), (1, 2), (2, 3))],
)  # fmt: skip
def test_a_kernel_larger_than_the_image_raises_with_the_needed_padding(
    kernel: tuple[int, int], size: tuple[int, int], padding: tuple[int, int], need: tuple[int, int]
) -> None:
    x = np.ones((1, 1, *size))
    with pytest.raises(ValueError, match=re.escape(str(need))):
        windows(x, kernel, (1, 1), padding)
    assert windows(x, kernel, (1, 1), need).size > 0
