"""Products in blocks: every size of block, edge and part, compiled and as Python, against longer numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")

from tests.plain_native import plain, space
from tinygrad_nn import affine, compile, relu, value_and_grad
from tinygrad_nn.compiled.numba import compilers
from tinygrad_nn.compiled.numba.native import (
    blocked,
    build,
    matrix_products,
    of_attention,
    of_images,
    of_recurrent,
    of_stacks,
    products,
    row,
)
from tinygrad_nn.compiled.program.values import Op, Program, Value

Array = np.ndarray[Any, Any]
DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]
FLIPS = [(False, False), (False, True), (True, False), (True, True)]
SIZES = [
    (1, 1, 1), (8, 32, 16), (16, 64, 32), (7, 31, 5), (9, 33, 17), (24, 16, 40), (40, 96, 64), (63, 65, 66),
    (129, 20, 13), (20, 1040, 13), (20, 13, 257), (140, 1030, 515), (300, 40, 520),
]  # fmt: skip


def precise_product(a: Array, b: Array) -> Array:
    """The product in long doubles: exact of the leading digits, and the small rest, both by NumPy's product.

    In long doubles NumPy's product takes a hundred times as long.
    """
    first = [np.rint(x * 2.0**18) / 2.0**18 for x in (a, b)]  # sums of their products have at most 53 bits
    assert first[0].shape[1] * np.abs(first[0]).max() * np.abs(first[1]).max() < 2.0 ** (53 - 36)
    rest = first[0] @ (b - first[1]) + (a - first[0]) @ b
    return (first[0] @ first[1]).astype(np.longdouble) + rest


class Case:
    """Two matrices with small whole numbers or not, c with a margin around it, and what is to be there."""

    def __init__(
        self, sizes: tuple[int, int, int], flips: tuple[bool, bool], dtype: Any, rng: Any, whole: bool = False
    ) -> None:
        (m, n, k), (self.a_flipped, self.b_flipped) = sizes, flips
        self.m, self.n, self.k, self.ldc = m, n, k, n + 3
        a, b = (rng.integers(-4, 5, s) if whole else rng.normal(size=s) for s in ((m, k), (k, n)))
        self.a, self.b = a.astype(dtype), b.astype(dtype)
        self.c = np.full(m * self.ldc + 5, -99, dtype)
        self.old = rng.integers(-9, 9, (m, n)).astype(dtype)
        self.inside[:] = self.old

    @property
    def inside(self) -> Array:
        return self.c[: self.m * self.ldc].reshape(self.m, self.ldc)[:, : self.n]

    def run(self, multiply: Any, alpha: Any, add: bool) -> None:
        a, b = (
            np.ascontiguousarray(x.T if flipped else x)
            for x, flipped in ((self.a, self.a_flipped), (self.b, self.b_flipped))
        )
        given = self.a_flipped, self.b_flipped, self.m, self.n, self.k, self.c.dtype.type(alpha)
        multiply(*given, a.reshape(-1), a.shape[1], b.reshape(-1), b.shape[1], add, self.c, self.ldc)

    def check(self, alpha: float, add: bool) -> None:
        """Each entry is a sum of k products, then scaled and added: each step rounds by half an ulp at most."""
        a, b, eps = self.a.astype(np.float64), self.b.astype(np.float64), np.finfo(self.c.dtype).eps
        alpha = float(self.c.dtype.type(alpha))
        wanted = alpha * precise_product(a, b) + (self.old if add else 0)
        room = (self.k + 2) * eps * (abs(alpha) * (np.abs(a) @ np.abs(b)) + np.abs(self.old))
        assert (np.abs(self.inside - wanted) <= room).all()
        self.inside[:] = -99
        assert (self.c == -99).all(), "it wrote outside of c"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("sizes", SIZES)
def test_products_in_blocks(sizes: Any, flips: Any, dtype: Any, rng: Any) -> None:
    for alpha, add in ((1.0, False), (0.3, False), (-0.5, True), (3.0, True)):
        case = Case(sizes, flips, dtype, rng)
        if not add:
            case.inside[:] = np.nan  # which is not read
        case.run(blocked.multiply, alpha, add)
        case.check(alpha, add)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("blocks", [(2, 32, 16), (5, 64, 32), (16, 96, 48)])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (17, 70, 9), (33, 33, 16), (50, 100, 7), (16, 32, 4)])
def test_every_edge_of_a_block_as_python(
    sizes: Any, blocks: Any, flips: Any, dtype: Any, rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, length in zip(("DEEP", "BROAD", "HIGH"), blocks, strict=True):
        monkeypatch.setitem(space(blocked), name, length)
    for alpha, add in ((1.0, False), (0.25, False), (-0.5, True)):
        case = Case(sizes, flips, dtype, rng, whole=True)
        case.run(plain(blocked, "multiply"), alpha, add)
        np.testing.assert_array_equal(case.inside, alpha * (case.a @ case.b) + (case.old if add else 0))
        case.check(alpha, add)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nan_and_infinity_stay_in_their_rows_and_columns(dtype: Any, rng: Any) -> None:
    case = Case((70, 50, 30), (False, False), dtype, rng)
    case.a[3, 4], case.b[7, 9], case.a[60, 1] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        wanted = case.a @ case.b
    case.run(blocked.multiply, 1.0, False)
    np.testing.assert_array_equal(np.isnan(case.inside), np.isnan(wanted))
    np.testing.assert_array_equal(np.isinf(case.inside), np.isinf(wanted))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize(("m", "n", "k"), [(120, 160, 140), (333, 96, 64), (64, 401, 100)])
def test_parts_change_no_bit(m: int, n: int, k: int, flips: Any, dtype: Any, rng: Any) -> None:
    blocked.ready(dtype)
    case = Case((m, n, k), flips, dtype, rng)
    a, b = (
        np.ascontiguousarray(x.T if flipped else x) for x, flipped in zip((case.a, case.b), flips, strict=True)
    )
    made = []
    build.CORES.take()
    try:
        for parts in (1, 2, 3, 7):
            out = np.full((m, n), np.nan, dtype)
            products.product(a, b, out, *flips, parts)
            moved = case.old.copy()
            products.update(a, b, case.old, 0.3, moved, *flips, parts)  # which rounds
            made.append((out, moved))
    finally:
        build.CORES.give()
    exact = case.a.astype(np.longdouble) @ case.b.astype(np.longdouble)
    room = (k + 2) * np.finfo(dtype).eps * (np.abs(case.a) @ np.abs(case.b) + np.abs(case.old))
    for out, moved in made:
        assert (np.abs(out - exact) <= room).all()
        assert (np.abs(moved - (case.old - dtype.type(0.3) * exact)) <= room).all()
        if blocked.AHEAD:
            np.testing.assert_array_equal(out, made[0][0])
            np.testing.assert_array_equal(moved, made[0][1])


def test_parts_are_whole_blocks_and_miss_nothing() -> None:
    for n in range(60):
        for parts in range(1, 9):
            bounds = [products.part.py_func(n, p, parts) for p in range(parts)]
            assert bounds[0][0] == 0
            assert bounds[-1][1] == n
            assert all(a[1] == b[0] and (a[1] % blocked.ROWS == 0 or a[1] == n) for a, b in pairwise(bounds))


def test_which_products_are_done_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    suits = plain(blocked, "suits")
    monkeypatch.setitem(space(blocked), "AHEAD", True)
    wide = blocked.VECTORS * blocked.VECTOR // 4
    assert suits(128, 256, 784, 4)
    assert suits(16, 4 * wide, 2000, 4)
    assert not suits(100, 100, 100, 4), "not more than a million"
    assert not suits(15, 4 * wide, 20000, 4), "few rows"
    assert not suits(20000, 4 * wide, 15, 4), "a short sum"
    assert not suits(20000, 15, 20000, 8), "few columns, for which `work` says that there is nothing to compile"
    assert not suits(20000, wide // 2, 2000, 4), "half of each tile would be empty"
    monkeypatch.setitem(space(blocked), "AHEAD", False)
    assert not suits(128, 256, 784, 4), "narrow registers"


def test_without_an_address_blas_multiplies(rng: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = rng.normal(size=(128, 130)), rng.normal(size=(130, 140))
    blocked.ready(a.dtype)
    address = blocked.ADDRESSES["d"].value
    out = np.empty((128, 140))
    try:
        blocked.ADDRESSES["d"].value = 0
        products.product(a, b, out, False, False, 1)
    finally:
        blocked.ADDRESSES["d"].value = address
    np.testing.assert_allclose(out, a @ b, rtol=0, atol=132 * np.finfo(float).eps * (np.abs(a) @ np.abs(b)).max())


def test_an_address_is_there_where_registers_are_wide() -> None:
    for dtype in DTYPES:
        blocked.ready(dtype)
        address = blocked.ADDRESSES[dtype.char].value
        assert (address != 0) is blocked.AHEAD
        compilers.prepare({"product": dtype.char})
        assert blocked.ADDRESSES[dtype.char].value == address


def test_parts_that_fail_are_not_left_out(rng: Any) -> None:
    """What a part has no memory for is no result, but an error."""

    def fails(a: Array, p: int, parts: int) -> None:
        if p == parts - 1:
            np.empty(1 << 58)
        a[p] = 1

    parted = build.Parted(fails)
    build.CORES.take()
    try:
        for parts in (1, 2, 5):
            with pytest.raises(MemoryError):
                parted(np.zeros(5), parts)
    finally:
        build.CORES.give()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_stacks_and_weights_of_recurrent_layers_are_made_as_the_whole(dtype: Any, rng: Any) -> None:
    """In parts of less than a million multiplications, too, bits are those of one part."""
    from tinygrad_nn.compiled.numba.native import recurrent, stacks

    blocked.ready(dtype)
    a, b = rng.normal(size=(1, 64, 400)).astype(dtype), rng.normal(size=(1, 400, 64)).astype(dtype)
    h, states, dz = (rng.normal(size=s).astype(dtype) for s in ((100, 64), (3, 100, 64), (3, 100, 192)))
    made = []
    build.CORES.take()
    try:
        for parts in (1, 2, 3):
            out = np.empty((1, 64, 64), dtype)
            how = np.array([64, 64, 400, 0, 400, 0, 0, 64, 0, parts])
            stacks.stack(a, b, out, np.array([[1, 0, 0]]), how, parts)
            dw, db = np.empty((192, 64), dtype), np.empty(192, dtype)
            recurrent._weights(dz, h, states, dw, db, parts)
            made.append((out, dw))
    finally:
        build.CORES.give()
    room = 402 * np.finfo(dtype).eps * (np.abs(a) @ np.abs(b)).max()
    np.testing.assert_allclose(made[0][0], a @ b, rtol=0, atol=room)
    if blocked.AHEAD:
        for out, dw in made[1:]:
            np.testing.assert_array_equal(out, made[0][0])
            np.testing.assert_array_equal(dw, made[0][1])


def _op(name: str, shapes: list[tuple[int, ...]], out: tuple[int, ...], **given: Any) -> Op:
    args = [Value(-1, "input", shape, np.dtype("f"), slot=k) for k, shape in enumerate(shapes)]
    op = Op("call", name, None, [*args], call_meta=given)
    op.outs = [Value(-1, "made", out, np.dtype("f"), op=op)]
    return op


def test_the_work_of_an_operation_is_that_of_its_largest_product() -> None:
    given = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    conv = _op("conv", [(8, 16, 14, 14), (32, 16, 3, 3)], (8, 32, 14, 14), **given)
    assert of_images.ROWS["conv"].work(conv) == 32 * 144 * 196
    few = _op("conv", [(8, 16, 14, 14), (8, 16, 3, 3)], (8, 8, 14, 14), **given)
    assert of_images.ROWS["conv"].work(few) == 0, "fewer kernels than rows that are worth it"
    product = _op("product", [(30, 40), (40, 50)], (30, 50))
    assert matrix_products.PRODUCT_OF.work(product) == 30 * 40 * 50
    assert matrix_products.UPDATE.work(_op("update", [(40, 30), (50, 40)], (30, 50))) == 30 * 40 * 50
    assert matrix_products.PRODUCT_OF.work(_op("product", [(30, 40), (40, 10)], (30, 10))) == 0
    z, w, h = (7, 5, 12), (12, 3), (5, 3)
    assert of_recurrent.ROWS["lstm_states"].work(_op("lstm_states", [z, w, h, h], (7, 5, 3))) == 0
    back = _op("lstm_states_back", [(7, 5, 3), (7, 5, 3), z, w, h, h, (7, 5, 18)], z)
    assert of_recurrent.ROWS["lstm_states_back"].work(back) == 7 * 5 * 12 * 3
    stack = _op("matmul", [(6, 20, 30), (6, 30, 40)], (6, 20, 40))
    stack.kind = "matmul"
    assert of_stacks.STACK.work(stack) == 20 * 30 * 40
    heads = _op("attention", [(4, 9, 8), (4, 11, 8), (4, 11, 8)], (4, 9, 8), heads=2, numbers={3: 0, 4: 1})
    assert of_attention.ROWS["attention"].work(heads) == 9 * 11 * 4


def test_a_plan_has_it_compiled_before_it_runs(rng: Any) -> None:
    """Also one that needs a single function, and never one of small products."""
    cell = blocked.ADDRESSES["f"]
    address, cell.value = cell.value, 0
    a = rng.normal(size=(120, 120)).astype("f")
    try:
        compile(lambda a: a[:90, :90] @ a[:90, :90], backend="numba")(a)
        assert cell.value == 0
        compile(lambda a: a @ a, backend="numba")(a)
        assert (cell.value != 0) is blocked.AHEAD
    finally:
        cell.value = cell.value or address


def test_only_large_products_have_it_compiled() -> None:
    from tinygrad_nn.compiled.numba.native import choose, dtypes_of_products

    def program(n: int) -> Program:
        a, b = (Value(-1, "input", (n, n), np.dtype("f"), slot=k) for k in range(2))
        op = Op("matmul", "matmul", None, [a, b])
        op.outs = [Value(-1, "made", (n, n), np.dtype("f"), op=op)]
        return Program([op], [a, b], [op.out])

    assert dtypes_of_products(choose(program(100)).ops) == []
    large = choose(program(101)).ops
    assert dtypes_of_products(large) == [np.dtype("f")]
    assert {"product": "f"} in compilers.compile_jobs([], large)
    assert row.SMALL == 100**3


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_network_with_large_products(dtype: Any, rng: Any) -> None:
    """Its gradients are those of the function that is not compiled; weights moved in place included."""
    parameters = [rng.normal(size=s).astype(dtype) for s in ((130, 120), (130,), (140, 130), (140,))]
    x, y = rng.normal(size=(150, 120)).astype(dtype), rng.normal(size=(150, 140)).astype(dtype)

    def loss(w: Any, x: Any, y: Any) -> Any:
        return ((affine(relu(affine(x, w[0], w[1])), w[2], w[3]) - y) ** 2).mean()

    def step(w: Any, x: Any, y: Any) -> Any:
        value, g = value_and_grad(loss)(w, x, y)
        return [p - 0.1 * d for p, d in zip(w, g, strict=True)], value

    made, wanted = compile(step, backend="numba")(parameters, x, y), step(parameters, x, y)
    for p, q, old in zip(made[0], wanted[0], parameters, strict=True):
        assert np.abs(p - q).max() <= 300 * np.finfo(dtype).eps * np.abs(old).max()
    assert abs(made[1] - wanted[1]) <= 300 * np.finfo(dtype).eps * abs(wanted[1])
