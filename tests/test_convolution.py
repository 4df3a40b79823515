"""Convolution and pooling against PyTorch and the equations derived by hand; in blocks, at ties, with little memory.

Values and gradients of two orders, dtypes, layouts and empty batches are rows of tests/cases/convolution.py.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.conv import WINDOWS, maps, peak
from reference.make_convolution import numbers

from tinygrad_nn import Tensor, manual
from tinygrad_nn.nn import ConvTranspose1d, ConvTranspose2d
from tinygrad_nn.nn import functional as F
from tinygrad_nn.ops import convolution, pooling
from tinygrad_nn.ops.convolution import conv, conv_transpose
from tinygrad_nn.ops.pooling import adaptive_avg_pool, adaptive_max_pool, avg_pool, max_pool
from tinygrad_nn.primitive import REGISTRY
from tinygrad_nn.transforms import pullback

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "conv": conv, "conv_transpose": conv_transpose, "max_pool": max_pool, "avg_pool": avg_pool,
    "adaptive_avg_pool": adaptive_avg_pool, "adaptive_max_pool": adaptive_max_pool,
}  # fmt: skip
RECORDED = json.loads((Path(__file__).parent / "reference" / "convolution.json").read_text("utf-8"))
SAME = 1e-12  # two sums of at most some hundred products in float64, in another order


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=SAME, atol=SAME * max(1, np.abs(wanted).max(initial=0)))


# -- The definitions of PyTorch


@pytest.mark.parametrize("row", RECORDED, ids=lambda r: f"{r['function']} {r['x']} {r['second']} {r['options']}")
def test_values_and_gradients_of_two_orders_are_those_of_pytorch(row: dict[str, Any]) -> None:
    convolving = row["function"].startswith("conv")
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in row["options"].items()}
    second = tuple(row["second"]) if isinstance(row["second"], list) else row["second"]
    arrays = [Tensor(numbers(tuple(row["x"]), 389))] + ([Tensor(numbers(second, 571))] if convolving else [])
    out = FUNCTIONS[row["function"]](*arrays, *([] if convolving else [second]), **options)
    assert list(out.shape) == row["out"]
    close(out.data.ravel(), row["values"])
    g = Tensor(numbers(out.shape, 233))
    first = pullback(out, arrays, g)
    for found, wanted in zip(first, row["gradients"], strict=True):
        close(found.data.ravel(), wanted)
    total = sum((gradient * gradient).sum() for gradient in first)
    for found, wanted in zip(pullback(total, [*arrays, g], np.ones(())), row["of squares"], strict=True):
        close(found.ravel(), np.zeros(found.size) if wanted is None else wanted)


# -- The equations derived by hand


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [((6, 5), (3, 3), 1, 1), ((7, 4), (2, 3), (2, 1), (0, 1)), ((4, 4), (4, 4), 1, 0), ((5, 6), (1, 1), 2, 0)],
)
def test_two_dimensions_are_those_derived_by_hand(
    size: Any, kernel: Any, stride: Any, padding: Any, rng: np.random.Generator
) -> None:
    x, W, b = rng.normal(size=(3, 2, *size)), rng.normal(size=(4, 2, *kernel)), np.zeros(4)
    where = {"stride": stride, "padding": padding}
    image, kernels = Tensor(x), Tensor(W)
    out = conv(image, kernels, **where)
    close(out.data, manual.conv2d(x, W, b, **where))
    g = rng.normal(size=out.shape)
    wanted = manual.conv2d_backward(g, x, W, **where)
    for found, by_hand in zip(pullback(out, [image, kernels], g), (wanted.dx, wanted.dW), strict=True):
        close(found, by_hand)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((2, 3), (1, 2), (1, 0)), (2, 3, 0), (3, 1, 2)]
)
def test_pools_are_those_derived_by_hand(
    kernel: Any, stride: Any, padding: Any, ties: bool, rng: np.random.Generator
) -> None:
    x = rng.integers(0, 3, (2, 3, 7, 6)) / 1 if ties else rng.normal(size=(2, 3, 7, 6))
    where = {"stride": stride, "padding": padding}
    for pool, forward, backward in (
        (max_pool, manual.max_pool2d, manual.max_pool2d_backward),
        (avg_pool, manual.avg_pool2d, manual.avg_pool2d_backward),
    ):
        image = Tensor(x)
        out = pool(image, kernel, **where)
        close(out.data, forward(x, kernel, **where))
        g = rng.normal(size=out.shape)
        close(pullback(out, [image], g)[0], backward(g, x, kernel, **where))


# -- One trilinear form, three maps


@pytest.mark.parametrize("block", [1, 60, 2**19])
@pytest.mark.parametrize("axes", [1, 2])
def test_the_three_maps_are_the_gradients_of_one_form_however_it_is_cut_into_blocks(
    axes: int, block: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(convolution, "BLOCK", block)
    monkeypatch.setattr(convolution, "SINGLE", 2**10)
    how = {"stride": (2, 1)[:axes], "padding": (1, 2)[:axes], "dilation": (1, 2)[:axes], "groups": 2}
    x, w = rng.normal(size=(3, 4, 9, 5)[: 2 + axes]), rng.normal(size=(6, 2, 3, 2)[: 2 + axes])
    y = rng.normal(size=conv(x, w, **how).shape)
    form = (y * conv(x, w, **how)).sum()
    far = tuple(np.subtract(x.shape[2:], conv_transpose(y, w, **how).shape[2:]).tolist())
    close((x * conv_transpose(y, w, output_padding=far, **how)).sum(), form)
    close((w * REGISTRY["conv_weight"](y, x, kernel=w.shape[2:], **how)).sum(), form)


@pytest.mark.parametrize("block", [1, 100, 250])
def test_pools_run_in_blocks_too(block: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    x = Tensor(rng.integers(0, 4, (4, 3, 8, 8)) / 1)
    g = rng.normal(size=(4, 3, 7, 7))
    whole = pullback(max_pool(x, 2, stride=1), [x], g)[0]
    monkeypatch.setattr(pooling, "BLOCK", block)
    np.testing.assert_array_equal(pullback(max_pool(x, 2, stride=1), [x], g)[0], whole)


def test_options_reach_the_graph_as_tuples_of_plain_integers() -> None:
    x, w = Tensor(np.ones((1, 2, 6, 6))), Tensor(np.ones((2, 1, 3, 3)))
    made = conv(x, w, stride=np.int64(2), padding=[1, 0], groups=np.int32(2)).node.meta
    assert made == {"stride": (2, 2), "padding": (1, 0), "dilation": (1, 1), "groups": 2}
    numbers = [n for option in made.values() for n in (option if isinstance(option, tuple) else (option,))]
    assert {type(n) for n in numbers} == {int}
    assert max_pool(x, 2).node.meta == {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    assert avg_pool(x, (3,), stride=2).node.meta == {
        "kernel": (3,), "stride": (2,), "padding": (0,), "count_include_pad": True
    }  # fmt: skip


# -- Conventions


def test_pixels_that_tie_share_evenly_and_padding_never_wins() -> None:
    g = np.array([[[6.0]]])

    def gradient(pixels: list[float], kernel: int, padding: int = 0) -> list[float]:
        x = Tensor(np.array([[pixels]], dtype=float))
        (found,) = pullback(max_pool(x, kernel, stride=len(pixels) + 2, padding=padding), [x], g)
        return found.ravel().tolist()

    assert gradient([1, 2], 2) == [0, 6]
    assert gradient([2, 2], 2) == [3, 3]
    assert gradient([5, 1, 5, 5], 4) == [2, 0, 2, 2]
    assert gradient([-7, -7], 3, padding=1) == [3, 3]
    assert gradient([-np.inf, -np.inf], 3, padding=1) == [3, 3]
    assert gradient([1, np.nan, 2], 3) == [2, 2, 2]  # as with max
    t = Tensor(np.array([[[2.0, 2.0, 1.0]]]))
    adaptive = adaptive_max_pool(t, 1)
    assert pullback(adaptive, [t], g)[0].tolist() == pullback(np.max(t, axis=-1, keepdims=True), [t], g)[0].tolist()


def test_plain_integers_pool_to_integers() -> None:
    x = np.array([[[-3, -5, -4]]])
    assert max_pool(x, 3, stride=1, padding=1).tolist() == [[[-3, -3, -4]]]
    assert max_pool(x, 2).dtype == x.dtype
    assert avg_pool(x, 3).tolist() == [[[-4.0]]]


def test_zero_padding_is_not_seen_by_an_infinite_pixel_elsewhere() -> None:
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = np.inf
    y = conv(x, np.ones((1, 1, 2, 2)))
    assert np.isinf(y).sum() == 1
    assert not np.isnan(y).any()


# -- Memory


@pytest.mark.parametrize("name", ["conv", "conv_transpose", "conv_weight"])
def test_no_intermediate_is_larger_than_a_quarter_of_all_windows(name: str) -> None:
    """The memory in use at once, besides arguments and result, stays below that."""
    assert peak(maps()[name]) < WINDOWS / 4


def test_a_single_large_image_is_worked_on_in_rows(rng: np.random.Generator) -> None:
    x, w = rng.normal(size=(1, 8, 256, 256)).astype(np.float32), rng.normal(size=(4, 8, 3, 3)).astype(np.float32)
    assert peak(lambda: conv(x, w)) < x.nbytes * 9 / 4


def test_many_small_images_and_many_kernels_take_no_more_memory(rng: np.random.Generator) -> None:
    x, g = rng.normal(size=(64, 32, 4, 4)).astype(np.float32), rng.normal(size=(64, 256, 4, 4)).astype(np.float32)
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    weights = 4 * 256 * 32 * 9
    assert peak(lambda: REGISTRY["conv_weight"](g, x, kernel=(3, 3), **how)) < 8 * convolution.BLOCK + 2 * weights


def test_the_measure_of_memory_sees_what_numpy_holds() -> None:
    assert peak(lambda: (np.ones(1000) + np.ones(1000)).sum()) >= 16000


# -- Errors

x1, x2, w2 = np.ones((2, 3, 5)), np.ones((2, 4, 5, 6)), np.ones((6, 4, 3, 3))
ONE: dict[str, Any] = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
ERRORS: list[tuple[Callable[[], Any], str]] = [
    (lambda: conv(x2[0], w2), r"x has shape (4, 5, 6), w has shape (6, 4, 3, 3). A single sample becomes a batch with"),
    (lambda: conv(np.ones((3, 4)), np.ones((2, 2))), "needs x (batch, channels, *spatial) and w with as many axes"),
    (lambda: conv(x2, w2[:, :3]), "x has shape (2, 4, 5, 6), and w, of shape (6, 3, 3, 3), with groups=1 is for 3"),
    (lambda: conv(x2, w2[:, :3]), "Give w the shape (6, 4, 3, 3), or x 3 channels."),
    (lambda: conv(x2, w2, groups=2), "with groups=2 is for 8 channels in axis 1 of x. Give w the shape (6, 2, 3, 3)"),
    (lambda: conv(x2, w2, groups=3), "groups=3 does not divide the 4 channels of x; x has shape (2, 4, 5, 6), w has"),
    (lambda: conv(x2, w2[:, :1], groups=4), "groups=4 does not divide the 6 kernels in w"),
    (lambda: conv(x2, w2[:, :1], groups=4), "It may be 1 or 2."),
    (lambda: conv(x2, np.ones((6, 4, 7, 3)), padding=(0, 1)), "a kernel of (7, 3), spread over (7, 3) pixels"),
    (lambda: conv(x2, np.ones((6, 4, 7, 3)), padding=(0, 1)), "x has shape (2, 4, 5, 6). padding=(1, 1) is the least"),
    (lambda: conv(x1, np.ones((2, 3, 3)), dilation=3), "a kernel of (3,), spread over (7,) pixels"),
    (lambda: conv(x2, w2, stride=0), "conv: stride=0 must be a whole number of at least 1, or a tuple of 2"),
    (lambda: conv(x2, w2, padding=(1, 1, 1)), "conv: padding=(1, 1, 1) must be a whole number of at least 0"),
    (lambda: conv(x2, w2, dilation=1.5), "conv: dilation=1.5 must be"),
    (lambda: conv(x2, w2[..., :0]), "conv: kernel=(3, 0) must be a whole number of at least 1"),
    (lambda: REGISTRY["conv_weight"](np.ones((2, 1, 6)), x1, kernel=(1,), **ONE), "(6,) positions of a kernel (1,)"),
    (lambda: REGISTRY["conv_transpose"](x1, np.ones((3, 2, 2)), output_padding=(-1,), **ONE), "beyond a padded image"),
    (lambda: conv(x2, w2, groups=0), "conv: groups=0 must be a whole number of at least 1"),
    (lambda: conv_transpose(x2, w2), "x has shape (2, 4, 5, 6), and w, of shape (6, 4, 3, 3), with groups=1 is for 6"),
    (lambda: conv_transpose(x2, w2[:4], groups=3), "groups=3 does not divide the 4 channels of x"),
    (lambda: conv_transpose(x1, np.ones((3, 2, 1)), padding=3), "nothing is left of x, of shape (2, 3, 5), under w"),
    (lambda: conv_transpose(x1, np.ones((3, 2, 1)), output_padding=-1), "output_padding=-1 must be"),
    (lambda: conv_transpose(x1, np.ones((3, 2, 1)), output_padding=1), "output_padding=1 with stride=1 and dilation=1"),
    (lambda: conv_transpose(x2, np.ones((4, 2, 1, 1)), stride=(3, 2), output_padding=2), "here it may be at most 1"),
    (lambda: F.conv_transpose1d(x1, np.ones((3, 2, 1)), stride=2, output_padding=2), "output_padding=2 with stride=2"),
    (lambda: F.conv_transpose2d(x2, np.ones((4, 2, 1, 1)), output_padding=(0, 1)), "output_padding=(0, 1) with stride"),
    (lambda: ConvTranspose1d(3, 2, 1, output_padding=1), "ConvTranspose1d: output_padding=1 with stride=1"),
    (lambda: ConvTranspose2d(3, 2, 3, stride=2, output_padding=2), "ConvTranspose2d: output_padding=2 with stride=2"),
    (lambda: max_pool(x1, 6), "max_pool: a kernel of (6,), spread over (6,) pixels, does not fit into an image"),
    (lambda: max_pool(x1, 2, padding=2), "padding=(2,) is not smaller than the kernel (2,)"),
    (lambda: max_pool(x1, 2, padding=2), "Take padding=(1,) or less"),
    (lambda: max_pool(x1[0, 0], 2), "max_pool: kernel=2 is for all axes after (batch, channels), and x of shape (5,)"),
    (lambda: avg_pool(x2, (2, 0)), "avg_pool: kernel=(2, 0) must be a whole number of at least 1"),
    (lambda: avg_pool(x2, 2, stride=(1, 2, 3)), "avg_pool: stride=(1, 2, 3) must be"),
    (lambda: adaptive_avg_pool(x2, (1, 2, 3, 4, 5)), "size=(1, 2, 3, 4, 5) is for the last 5 axes, and x of"),
    (lambda: adaptive_max_pool(x2[..., :0], 1), "adaptive_max_pool: x of shape (2, 4, 5, 0) has no pixels"),
]


@pytest.mark.parametrize(("stride", "dilation", "most"), [(1, 1, 0), (3, 1, 2), (1, 4, 3), (2, 3, 2), (3, 2, 2)])
def test_output_padding_is_smaller_than_stride_or_dilation_as_in_pytorch(stride: int, dilation: int, most: int) -> None:
    for more in range(most + 1):
        layer = ConvTranspose1d(3, 2, 2, stride, dilation=dilation, output_padding=more, rng=0)
        assert layer(x1).shape == (2, 2, 4 * stride + dilation + 1 + more)
    with pytest.raises(ValueError, match=f"it may be at most {most}. More pixels are added by np.pad"):
        ConvTranspose1d(3, 2, 2, stride, dilation=dilation, output_padding=most + 1)


@pytest.mark.parametrize(("call", "text"), ERRORS, ids=[text[:60] for _, text in ERRORS])
def test_an_error_names_the_given_and_the_needed_value(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011, the text is compared below
        call()
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("at", "kernel", "stride", "dilation"), [(4, 2, 2, 1), (4, 2, 3, 1), (3, 3, 4, 1), (4, 3, 3, 1), (3, 3, 4, 2)]
)
def test_windows_stay_inside_the_memory_of_the_image(at: int, kernel: int, stride: int, dilation: int) -> None:
    how = {"stride": (stride,), "padding": (0,), "dilation": (dilation,), "groups": 1, "kernel": (kernel,)}
    last = (at - 1) * stride + dilation * (kernel - 1)  # the pixel that the last tap of the last window meets
    forward = REGISTRY["conv_weight"].forward
    y, x = np.ones((1, 1, at)), np.arange(float(last + 9))[None, None]
    taps = np.arange(kernel)
    wanted = [np.sum(np.arange(at) * stride + dilation * t) for t in taps]
    np.testing.assert_array_equal(forward(y, x[..., : last + 1], **how).ravel(), wanted)
    with pytest.raises(ValueError, match="kernel"):
        forward(y, x[..., :last], **how)
