"""The functions compiled once for all plans do what the primitives do: in each dtype, on one core and on several."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")

from tests.machine_code import kinds
from tinygrad_nn import compile
from tinygrad_nn.compiled.numba.native import TABLE, of_images, of_recurrent
from tinygrad_nn.primitive import REGISTRY

Shape = tuple[int, ...]
COMPILED = Path(__file__).resolve().parents[1] / "tinygrad_nn" / "compiled"


class Row(NamedTuple):
    """A primitive, the shapes of its arguments, and its metadata."""

    name: str
    shapes: tuple[Shape, ...]
    given: dict[str, Any]


def natives(plan: Any) -> list[str]:
    return [op.name for op in plan.program.ops if op.kind == "native"]


def run(function: Callable[..., Any], *arrays: np.ndarray, native: bool = True) -> list[np.ndarray]:
    """Compile a function, check whether a function of `native` runs it, as expected, and return the results."""
    f = compile(function, backend="numba")
    f(*arrays)
    results = f(*arrays)
    assert bool(natives(f.plan(*arrays))) == native
    return results if isinstance(results, tuple) else [results]


# -- Convolution and pooling


def convolutions() -> list[Row]:
    """Return rows for the three functions of a convolution, for various shapes and metadata."""
    rows = []
    for batch, channels, size, kernels, kernel, stride, padding, dilation, groups in [
        (3, 2, (5, 7), 4, (3, 3), (1, 1), (1, 1), (1, 1), 1),  # the size stays: rows follow each other
        (2, 4, (6, 5), 2, (2, 3), (2, 1), (0, 1), (1, 2), 2),
        (1, 3, (7, 7), 3, (3, 1), (3, 2), (2, 0), (2, 1), 3),
        (1, 1, (1, 1), 1, (1, 1), (1, 1), (0, 0), (1, 1), 1),
        (2, 3, (4, 1), 2, (3, 5), (1, 1), (1, 3), (1, 1), 1),  # some taps meet no pixel anywhere
        (2, 2, (9,), 4, (4,), (2,), (1,), (2,), 1),
        (5, 2, (1,), 2, (3,), (1,), (1,), (1,), 2),
        (1, 1, (2, 3), 1, (1, 5), (1, 1), (0, 2), (1, 1), 1),  # of two rows that follow each other, few pixels are met
        (1, 2, (8, 6), 2, (3, 3), (1, 1), (1, 1), (1, 1), 1),
        (2, 1, (4, 3), 2, (1, 1), (1, 2), (0, 1), (1, 1), 1),  # the size stays, though every second pixel is met
    ]:
        how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        axes = list(zip(size, kernel, stride, padding, dilation, strict=True))
        at = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
        left = tuple((n + 2 * p - d * (k - 1) - 1) % s for n, k, s, p, d in axes)
        x, w, y = (batch, channels, *size), (kernels, channels // groups, *kernel), (batch, kernels, *at)
        rows.append(Row("conv", (x, w), how))
        rows.append(Row("conv_transpose", (y, w), {**how, "output_padding": left}))
        rows.append(Row("conv_weight", (y, x), {**how, "kernel": kernel}))
    return rows


def pools() -> list[Row]:
    """Return each function of images and windows, for each kernel."""
    rows = []
    for image, kernel, stride, padding in [
        ((3, 2, 6, 4), (2, 2), (2, 2), (0, 0)),
        ((2, 3, 7, 5), (2, 2), (2, 2), (0, 0)),  # the last row and column are in no window
        ((1, 2, 7, 6), (3, 2), (2, 1), (1, 1)),
        ((2, 1, 5, 9), (3, 3), (3, 3), (2, 1)),
        ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
        ((3, 2, 7), (3,), (2,), (1,)),
        ((4, 6), (2,), (2,), (0,)),
        ((2, 9), (2,), (3,), (0,)),  # some pixels are in no window
        ((3, 1, 4, 5), (1, 1), (2, 2), (0, 0)),
        ((2, 4, 4), (2, 2), (2, 2), (1, 0)),
        ((2, 4, 4), (2, 2), (2, 2), (0, 1)),
        ((2, 3, 6), (1, 5), (1, 2), (0, 2)),
    ]:
        how = {"kernel": kernel, "stride": stride, "padding": padding}
        front, size = image[: -len(kernel)], image[-len(kernel) :]
        axes = zip(size, kernel, stride, padding, strict=True)
        windows = (*front, *((n + 2 * p - k) // s + 1 for n, k, s, p in axes))
        rows.append(Row("max_pool", (image,), how))
        rows.append(Row("max_spread", (windows, image), how))
        rows.append(Row("max_collect", (image, image), how))
        for whole in (True, False):
            mean = {**how, "count_include_pad": whole}
            rows.append(Row("avg_pool", (image,), mean))
            rows.append(Row("avg_spread", (windows,), {**mean, "size": size}))
    return rows


def arguments(row: Row, rng: np.random.Generator, dtype: Any) -> list[np.ndarray]:
    """Return arrays of integers, some of them tied, and the maxima of the windows for functions that need them."""
    arrays = [rng.integers(-4, 5, shape).astype(dtype) for shape in row.shapes]
    return [*arrays, largest(row, arrays[-1])] if row.name in ("max_spread", "max_collect") else arrays


def largest(row: Row, x: np.ndarray) -> np.ndarray:
    return REGISTRY["max_pool"].forward(x, **row.given)


def agrees(row: Row, arrays: list[np.ndarray]) -> None:
    """Compare with what the primitive does; sums of whole numbers have no rounding, and quotients one."""
    primitive = REGISTRY[row.name]
    (found,) = run(lambda *a: primitive(*a, **row.given), *arrays)
    wanted = primitive.forward(*arrays, **row.given)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    slack = 0 if row.name.startswith(("conv", "max_pool")) else 8 * np.finfo(wanted.dtype).eps
    np.testing.assert_allclose(found, wanted, rtol=slack, atol=slack)


@pytest.mark.parametrize(
    ("row", "block", "kind"),
    [
        (row, block, kind)
        for row, block in [*product(convolutions(), [2**17, 300, 1]), *product(pools(), [2**17])]
        for kind in kinds(row.name)
    ],  # a block: rows of positions at a time, all or few
    ids=str,
)
def test_an_operation_on_images_is_the_primitive(
    row: Row, block: int, kind: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_images, "LITTLE", 0 if "several" in kind else 2**16)
    monkeypatch.setattr(of_images, "BLOCK", block)
    agrees(row, arguments(row, rng, np.dtype(kind[:7])))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [row for row in pools() if row.name.startswith("max")], ids=str)
def test_pixels_that_are_no_number_are_pooled_as_they_are(row: Row, value: float, rng: np.random.Generator) -> None:
    arrays = [rng.integers(-4, 5, shape).astype(np.float32) for shape in row.shapes]
    arrays[-1][rng.random(arrays[-1].shape) < 0.5] = value
    if row.name != "max_pool":
        arrays.append(largest(row, arrays[-1]))
    agrees(row, arrays)


def test_images_that_do_not_fit_run_as_they_are(rng: np.random.Generator) -> None:
    how = {"stride": (1, 1, 1), "padding": (0, 0, 0), "dilation": (1, 1, 1), "groups": 1}
    conv = lambda x, w: REGISTRY["conv"](x, w, **how)
    x, w = rng.normal(size=(2, 2, 3, 3, 3)), rng.normal(size=(2, 2, 2, 2, 2))
    np.testing.assert_array_equal(run(conv, x, w, native=False)[0], conv(x, w))  # three axes
    how = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
    x, w = rng.normal(size=(2, 2, 9)), rng.normal(size=(2, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(run(conv, x, w, native=False)[0], conv(x, w))  # two dtypes
    np.testing.assert_array_equal(run(conv, x[:0], w.astype(float), native=False)[0], conv(x[:0], w))  # no sample
    pool = lambda x: REGISTRY["max_pool"](x, kernel=(2,), stride=(1,), padding=(0,))
    cubes = lambda x: REGISTRY["max_pool"](x, kernel=(2, 2, 2), stride=(2, 2, 2), padding=(0, 0, 0))
    solid = rng.integers(-4, 5, (3, 4, 4, 4)).astype(float)
    np.testing.assert_array_equal(run(cubes, solid, native=False)[0], cubes(solid))
    whole = rng.integers(-4, 5, (3, 4))
    np.testing.assert_array_equal(run(pool, whole, native=False)[0], pool(whole))


def test_every_function_of_images_has_rows() -> None:
    assert {row.name for row in [*convolutions(), *pools()]} == set(of_images.ROWS) <= set(TABLE)


def test_a_step_of_convolutions_is_the_eager_one(rng: np.random.Generator) -> None:
    from tinygrad_nn import value_and_grad
    from tinygrad_nn.ops.convolution import conv
    from tinygrad_nn.ops.pooling import avg_pool, max_pool

    def step(w: Any, x: Any) -> Any:
        def loss(w: Any) -> Any:
            y = max_pool(np.tanh(conv(x, w[0], padding=1)), 2)
            return (avg_pool(conv(y.transpose(0, 1, 3, 2), w[1], stride=2, groups=2), 2, stride=1) ** 2).sum()

        return value_and_grad(loss)(w)

    w, x = [rng.normal(size=(4, 3, 3, 3)), rng.normal(size=(2, 2, 2, 2))], rng.normal(size=(5, 3, 12, 10))
    f = compile(step, backend="numba")
    value, (dw, dv) = f(w, x)
    wanted, (dw_eager, dv_eager) = step(w, x)
    np.testing.assert_allclose(value, wanted, rtol=1e-13)
    np.testing.assert_allclose(dw, dw_eager, rtol=0, atol=1e-13 * np.abs(dw_eager).max())
    np.testing.assert_allclose(dv, dv_eager, rtol=0, atol=1e-13 * np.abs(dv_eager).max())
    assert sorted(set(natives(f.plan(w, x)))) == sorted(set(of_images.ROWS) - {"max_collect"})


# -- Recurrent layers


def recurrences() -> list[Row]:
    """Return each recurrent layer with several sizes, also 1, and sizes that are not multiples of tiles and blocks."""
    rows = []
    for times, batch, n in [(5, 7, 3), (3, 9, 40), (1, 2, 5), (4, 1, 1), (6, 4, 16)]:
        state, plain = (batch, n), ((times, batch, n), (n, n), (batch, n))
        rows += [
            Row("rnn_states", plain, {}),
            Row("rnn_states", plain, {"activation": "relu"}),
            Row("lstm_states", ((times, batch, 4 * n), (4 * n, n), state, state), {}),
            Row("gru_states", ((times, batch, 3 * n), (3 * n, n), (3 * n,), state), {}),
        ]
    return rows


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    slack = 50 * np.finfo(wanted.dtype).eps
    np.testing.assert_allclose(found, wanted, rtol=slack, atol=slack * max(1, np.abs(wanted).max()))


def walked(row: Row, *arrays: Any) -> Any:
    """Return the gradients of the sum of the states times the last array."""
    from tinygrad_nn import value_and_grad

    *inputs, g = arrays
    return value_and_grad(lambda inputs: (REGISTRY[row.name](*inputs, **row.given) * g).sum())(inputs)[1]


@pytest.mark.parametrize(
    ("row", "kind"), [(row, kind) for row in recurrences() for kind in kinds(row.name)], ids=str
)
def test_a_recurrent_layer_is_the_primitive(
    row: Row, kind: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_recurrent, "PARALLEL", 0 if "several" in kind else 2**60)
    dtype = np.dtype(kind[:7])
    primitive = REGISTRY[row.name]
    arrays = [rng.normal(size=shape).astype(dtype) / max(1, shape[-1]) ** 0.5 for shape in row.shapes]
    (found,) = run(lambda *a: primitive(*a, **row.given), *arrays)
    made = primitive.forward(*arrays, **row.given)
    wanted, saved = made if isinstance(made, tuple) else (made, {})
    close(found, wanted)
    g = rng.normal(size=wanted.shape).astype(dtype)
    f = compile(lambda *a: walked(row, *a), backend="numba")
    gradients = f(*arrays, g)
    assert set(natives(f.plan(*arrays, g))) >= {row.name, f"{row.name}_back"}
    rule: Any = primitive.jointly
    for a, b in zip(gradients, rule(g, wanted, *arrays, **saved, **row.given), strict=True):
        close(a, b)


@pytest.mark.parametrize("name", [name for name in of_recurrent.ROWS if not name.endswith("_back")])
def test_states_that_are_no_number_stay_so(name: str, rng: np.random.Generator) -> None:
    row = next(row for row in recurrences() if row.name == name)
    arrays = [rng.normal(size=shape) for shape in row.shapes]
    arrays[0][1, 2, 0], arrays[0][0, 0, 1], arrays[0][0, 1, 2] = np.nan, np.inf, -np.inf
    (found,) = run(lambda *a: REGISTRY[name](*a), *arrays)
    made = REGISTRY[name].forward(*arrays)
    np.testing.assert_allclose(found, made[0] if isinstance(made, tuple) else made, rtol=1e-12, atol=1e-12)


def test_layers_that_do_not_fit_run_as_they_are(rng: np.random.Generator) -> None:
    z, w, h = rng.normal(size=(4, 3, 8)), rng.normal(size=(8, 2)), rng.normal(size=(3, 2))
    lstm: Any = REGISTRY["lstm_states"]
    for arrays in ((z, w, h, h.astype(np.float32)), (z, w, h, h[:1])):  # two dtypes; one cell for all samples
        np.testing.assert_array_equal(run(lstm, *arrays, native=False)[0], lstm(*arrays))


def test_every_recurrent_function_has_rows() -> None:
    names = {row.name for row in recurrences()}
    assert names | {f"{name}_back" for name in names} == set(of_recurrent.ROWS) <= set(TABLE)


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "RNN"])
def test_a_step_of_a_recurrent_layer_is_the_eager_one(layer: str, rng: np.random.Generator) -> None:
    from tinygrad_nn import nn, value_and_grad

    made = getattr(nn, layer)(3, 5)
    x = rng.normal(size=(6, 4, 3))
    p = {name: np.array(value) for name, value in made.state_dict().items()}

    def loss(p: Any, x: Any) -> Any:
        for name, value in p.items():
            setattr(made, name, value)
        return (made(x)[0][-1] ** 2).sum()

    step = value_and_grad(loss)
    f = compile(step, backend="numba")
    (value, grads), (wanted, eager) = f(p, x), step(p, x)
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    for name in p:
        np.testing.assert_allclose(grads[name], eager[name], rtol=0, atol=1e-12 * np.abs(eager[name]).max())
    name = f"{layer.lower()}_states"
    assert {name, f"{name}_back"} <= set(natives(f.plan(p, x)))


# -- Functions of one number


def ulps(found: np.ndarray, wanted: np.ndarray) -> Any:
    """Return the largest error, in units of the last digit of what it should be; what is infinite must be."""
    with np.errstate(over="ignore"):
        right = wanted.astype(found.dtype)
    finite = np.isfinite(right)
    assert np.array_equal(found[~finite], right[~finite], equal_nan=True)
    unit = np.spacing(np.abs(right[finite])).astype(wanted.dtype)
    return (np.abs(found[finite].astype(wanted.dtype) - wanted[finite]) / unit).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid"])
def test_a_function_of_one_number_is_right_to_a_few_last_digits(name: str, dtype: Any) -> None:
    from tinygrad_nn.compiled.numba.native import mathematics
    from tinygrad_nn.compiled.numba.native.build import kernel

    f = getattr(mathematics, name)

    @kernel()
    def each(x: Any, out: Any) -> None:
        for i in range(len(x)):
            out[i] = f(x[i])

    kind = np.finfo(dtype)
    small = np.geomspace(kind.smallest_subnormal, 1, 3001)
    ends = [0.0, np.inf, np.nan, kind.max, kind.tiny, 103.9, 104.1, 745.1, 745.2]
    half = np.concatenate([small, np.linspace(0, 120, 30001), np.linspace(0, 800, 30001), ends])
    x = np.concatenate([half, -half]).astype(dtype)
    out = np.empty_like(x)
    each(x, out)
    wide = x.astype(np.float64 if dtype == np.float32 else np.longdouble)
    with np.errstate(all="ignore"):
        e = np.exp(-np.abs(wide))
        wanted = {"exp": np.exp(wide), "tanh": np.tanh(wide), "sigmoid": np.where(wide >= 0, 1, e) / (1 + e)}[name]
    precise = np.finfo(wide.dtype).eps < kind.eps / 16  # NumPy's own functions are right to a last digit or two
    assert ulps(out, wanted) < (3 if precise else 6)


# -- Matrix products


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("donate", [(), (0,)], ids=["kept", "donated"])
@pytest.mark.parametrize(("n", "k", "m"), [(7, 4, 3), (3, 4, 9)], ids=["parts are rows", "parts are columns"])
def test_products_and_moves_of_a_weight_are_the_eager_ones(
    n: int, k: int, m: int, donate: tuple[int, ...], dtype: Any, rng: np.random.Generator, monkeypatch: Any
) -> None:
    from tinygrad_nn.compiled.numba.native import matrix_products

    monkeypatch.setattr(matrix_products, "PRODUCT", 0)
    monkeypatch.setattr(matrix_products, "PARALLEL", 0)

    def step(w: Any, a: Any, b: Any, a_t: Any, b_t: Any) -> Any:
        return w - 0.5 * (a @ b), a_t.T @ b, a @ b_t.T, a_t.T @ b_t.T

    shapes = [(n, m), (n, k), (k, m), (k, n), (m, k)]
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    f = compile(step, backend="numba", donate=donate)
    ops = [op.name for op in f.plan(*[x.copy() for x in arrays]).program.ops if op.kind == "native"]
    assert sorted(ops) == ["product"] * 3 + ["update"]
    for _ in range(2):
        for found, wanted in zip(f(*[x.copy() for x in arrays]), step(*arrays), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=32 * np.finfo(dtype).eps)


# -- Loops of kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_long_extremum_is_that_of_numpy_wherever_nan_is(dtype: Any, rng: np.random.Generator) -> None:
    f = compile(lambda x: (np.max(x * 2, axis=1), np.min(x * 2), np.max(-x[0, :1024])), backend="numba")
    for place in (None, 0, 63, 64, 1023, 1024, 1029, 1030, 2059):
        x = rng.normal(size=(2, 1030)).astype(dtype)
        if place is not None:
            x.reshape(-1)[place] = np.nan
        for found, wanted in zip(f(x), (np.max(x * 2, axis=1), np.min(x * 2), np.max(-x[0, :1024])), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_inner_products_are_added_up_over_the_parts(rng: np.random.Generator, monkeypatch: Any) -> None:
    from tinygrad_nn.compiled.numba import loops

    monkeypatch.setattr(loops, "LARGE", -1)
    x, y = rng.normal(size=(2, 8, 5))
    f = compile(lambda x, y: np.vdot(x * y, y) + 0 * x, backend="numba")
    np.testing.assert_allclose(f(x, y), np.full(x.shape, np.vdot(x * y, y)), rtol=1e-13)


@pytest.mark.parametrize(
    ("old", "new"), [((4, 6), (2, 12)), ((24,), (2, 3, 4)), ((2, 3, 4), (6, 4)), ((6, 4), (2, 3, 4))]
)
def test_entries_keep_their_order_in_another_shape(old: Any, new: Any, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=old), rng.normal(size=new)
    f = compile(lambda x, y: (2 * x).T.T.reshape(new) * y + y, backend="numba")
    np.testing.assert_allclose(f(x, y), 2 * x.reshape(new) * y + y, rtol=1e-14)


def test_no_constant_of_a_series_stands_twice() -> None:
    """A number of more than four digits is the constant of a series; text counts, as kernels are text."""
    digits = r"\b\d+\.\d{4,}(?:e-?\d+)?|\b\d\.\d{4,}e-?\d+"
    found = Counter(x for path in COMPILED.rglob("*.py") for x in re.findall(digits, path.read_text(encoding="utf-8")))
    assert found
    assert [x for x, times in found.items() if times > 1] == []
