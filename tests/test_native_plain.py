"""The functions of the package `native` do what the primitives do, run as the Python that they are written in.

Test_native and test_native_attention run them compiled, which takes longer and hides their lines.
"""

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")

import test_native
import test_native_attention
from test_native import Row, close, largest, ulps, walked

from tests.plain_native import plain, space
from tinygrad_nn import compile
from tinygrad_nn.compiled.numba import fuse
from tinygrad_nn.compiled.numba.native import (
    build,
    choose,
    matrix_products,
    of_attention,
    of_images,
    of_norms,
    of_recurrent,
    of_stacks,
    row,
)
from tinygrad_nn.primitive import REGISTRY

DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]


@pytest.fixture(autouse=True)
def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse, "fuse", lambda program, **_: choose(program))
    monkeypatch.setattr(row.Native, "compiled", lambda self: plain(self.module, self.function))


@pytest.fixture(params=["float64, one part", "float32, three parts"])
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    few = "one" in request.param
    monkeypatch.setattr(build, "THREADS", 1 if few else 3)
    for module in (of_attention, of_norms, of_recurrent, of_stacks, matrix_products):
        monkeypatch.setattr(module, "PARALLEL", 2**60 if few else 0)
    monkeypatch.setattr(of_images, "LITTLE", 2**60 if few else 0)
    for module in (of_stacks, matrix_products):
        monkeypatch.setattr(module, "PRODUCT", 0)
    monkeypatch.setitem(space("norms"), "RUN", 1024 if few else 4)
    return np.dtype(request.param[:7])


IMAGES = [*((row, "float64, one part", 2**17) for row in [*test_native.convolutions(), *test_native.pools()]),
          *((row, "float32, three parts", 300) for row in [*test_native.convolutions(), *test_native.pools()]),
          *((row, "float32, three parts", 1) for row in test_native.convolutions())]  # fmt: skip


@pytest.mark.parametrize(("row", "dtype", "block"), IMAGES, ids=str, indirect=["dtype"])
def test_images(row: Row, dtype: Any, block: int, rng: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_images, "BLOCK", block)
    test_native.agrees(row, test_native.arguments(row, rng, dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [row for row in test_native.pools() if row.name.startswith("max")], ids=str)
def test_pixels_that_are_no_number(row: Row, value: float, dtype: Any, rng: Any) -> None:
    arrays = [rng.integers(-4, 5, shape).astype(dtype) for shape in row.shapes]
    arrays[-1][rng.random(arrays[-1].shape) < 0.5] = value
    if row.name != "max_pool":
        arrays.append(largest(row, arrays[-1]))
    with np.errstate(invalid="ignore"):
        test_native.agrees(row, arrays)


@pytest.mark.parametrize("row", test_native.recurrences(), ids=str)
def test_recurrent_layers(row: Row, dtype: Any, rng: Any) -> None:
    primitive = REGISTRY[row.name]
    arrays = [rng.normal(size=shape).astype(dtype) / max(1, shape[-1]) ** 0.5 for shape in row.shapes]
    (found,) = test_native.run(lambda *a: primitive(*a, **row.given), *arrays)
    made = primitive.forward(*arrays, **row.given)
    wanted, saved = made if isinstance(made, tuple) else (made, {})
    close(found, wanted)
    g = rng.normal(size=wanted.shape).astype(dtype)
    f = compile(lambda *a: walked(row, *a), backend="numba")
    gradients = f(*arrays, g)
    assert set(test_native.natives(f.plan(*arrays, g))) >= {row.name, f"{row.name}_back"}
    rule: Any = primitive.jointly
    for a, b in zip(gradients, rule(g, wanted, *arrays, **saved, **row.given), strict=True):
        close(a, b)


ROWS = [*test_native_attention.ATTENTION, *test_native_attention.NORMS]


@pytest.mark.parametrize("row", [row for row in ROWS if math.prod(row.args[0]) < 1000], ids=repr)
def test_attention_and_norms(row: Any, dtype: Any, rng: Any) -> None:
    found = test_native_attention.agrees(row, test_native_attention.arguments(row, rng, dtype), rng)
    assert set(found) == {row.name, f"{row.name}_back"}


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_query_may_look_at_few_keys_or_none(number: float, dtype: Any, rng: Any) -> None:
    test_native_attention.test_a_query_may_look_at_few_keys_or_none(number, dtype, rng)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_far_from_zero_have_their_variance(dtype: Any, rng: Any) -> None:
    test_native_attention.test_rows_far_from_zero_have_their_variance(dtype.type, rng)


@pytest.mark.parametrize("name", test_native_attention.STACKS)
def test_stacks(name: str, dtype: Any, rng: Any) -> None:
    *shapes, function = test_native_attention.STACKS[name]
    a, b = (rng.integers(-4, 5, shape).astype(dtype) for shape in shapes)
    f = compile(function, backend="numba")
    f(a, b)
    found, wanted = f(a, b), function(a, b)
    assert "native" in [op.kind for op in f.plan(a, b).program.ops]
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("donate", [(), (0,)], ids=["kept", "donated"])
@pytest.mark.parametrize(("n", "k", "m"), [(7, 4, 3), (3, 4, 9), (5, 2, 5), (2, 1, 1), (1, 3, 2)])
def test_products(n: int, k: int, m: int, donate: tuple[int, ...], dtype: Any, rng: Any) -> None:
    def step(w: Any, a: Any, b: Any, a_t: Any, b_t: Any) -> Any:
        return w - 0.5 * (a @ b), a_t.T @ b, a @ b_t.T, a_t.T @ b_t.T

    arrays = [rng.normal(size=shape).astype(dtype) for shape in [(n, m), (n, k), (k, m), (k, n), (m, k)]]
    f = compile(step, backend="numba", donate=donate)
    ops = [op.name for op in f.plan(*[x.copy() for x in arrays]).program.ops if op.kind == "native"]
    assert sorted(ops) == ["product"] * 3 + ["update"]
    for _ in range(2):
        for found, wanted in zip(f(*[x.copy() for x in arrays]), step(*arrays), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=32 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "exp8", "tanh8"])
def test_functions_of_one_number(name: str, dtype: Any) -> None:
    if name[-1] == "8" and dtype == np.float32:
        return
    f = plain("mathematics", name if name[-1] == "8" else f"_{name}{dtype.itemsize}")
    kind = np.finfo(dtype)
    ends = [0.0, np.inf, np.nan, kind.max, kind.tiny, 87.3, 88.7, 88.8, 103.9, 104.1, 708.3, 709.7, 709.8, 745.1, 745.2]
    small = np.geomspace(kind.smallest_subnormal, 1, 31)
    half = np.concatenate([small, np.linspace(0, 4, 301), np.linspace(0, 120, 301), np.linspace(0, 800, 301), ends])
    x = np.concatenate([half, -half]).astype(dtype)
    wide = x.astype(np.float64 if dtype == np.float32 else np.longdouble)
    with np.errstate(all="ignore"):
        found = np.array([f(value) for value in x], dtype)
        e = np.exp(-np.abs(wide))
        wanted = {"exp": np.exp(wide), "exp8": np.exp(wide), "tanh": np.tanh(wide), "tanh8": np.tanh(wide),
                  "sigmoid": np.where(wide >= 0, 1, e) / (1 + e)}[name]  # fmt: skip
    precise = np.finfo(wide.dtype).eps < kind.eps / 16  # NumPy's own functions are right to a last digit or two
    assert ulps(found, wanted) < (3 if precise else 6)
    if name.startswith("tanh"):
        far = x[np.abs(x) > (10 if dtype == np.float32 else 20)]
        np.testing.assert_array_equal([f(value) for value in far], np.sign(far))
    if name == "tanh8":
        assert np.signbit(f(-0.0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(("rows", "k", "n"), [(1, 1, 1), (3, 2, 7), (4, 5, 31), (9, 3, 32), (6, 2, 45), (8, 4, 70)])
def test_products_with_a_packed_matrix(rows: int, k: int, n: int, flipped: bool, dtype: Any, rng: Any) -> None:
    from tinygrad_nn.compiled.numba.native import packed

    wide = packed.VECTOR * packed.VECTORS // dtype.itemsize
    room = -(-n // wide) * wide
    a, b = rng.integers(-4, 5, (rows, k)).astype(dtype), rng.integers(-4, 5, (k, n)).astype(dtype)
    made = np.full((k, room), np.nan, dtype)
    plain(packed, "pack_matrix")(np.ascontiguousarray(b.T) if flipped else b, flipped, made)
    for lo, hi in ((0, rows), (1, rows), (0, rows - 1), (rows // 2, rows // 2)):
        out = np.full((rows, room), -99, dtype)
        plain(packed, "multiply_packed")(a, made, out, lo, hi)
        np.testing.assert_array_equal(out[lo:hi, :n], (a @ b)[lo:hi])
        np.testing.assert_array_equal(out[lo:hi, n:], 0)
        assert (out[:lo] == -99).all()
        assert (out[max(lo, hi) :] == -99).all()
