"""Attention, normalisation and stacks of products, compiled once for all plans, do what the primitives do."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")

from tests.machine_code import KINDS, kinds
from tinygrad_nn import compile, value_and_grad
from tinygrad_nn.compiled.numba.native import TABLE, of_attention, of_norms, of_stacks
from tinygrad_nn.ops.attention import attention, self_attention
from tinygrad_nn.ops.normalisation import rms_norm, standardize

Shape = tuple[int, ...]


class Row(NamedTuple):
    """A primitive, the shapes of its arguments, or numbers, and its metadata."""

    primitive: Callable[..., Any]
    args: tuple[Any, ...]
    given: dict[str, Any]

    @property
    def name(self) -> str:
        return getattr(self.primitive, "name", "matmul")

    def __repr__(self) -> str:
        return f"{self.name} {self.args} {self.given}"


def row(primitive: Callable[..., Any], *args: Any, **given: Any) -> Row:
    return Row(primitive, args, given)


ATTENTION = [
    row(attention, (2, 5, 6), (2, 7, 6), (2, 7, 4), 0.0, 1.0, heads=2),
    row(attention, (5, 3), (7, 3), (7, 2), (5, 7), 1.0),
    row(attention, (1, 1), (1, 1), (1, 1), 0.0, 1.0),
    row(attention, (2, 3, 4, 6), (2, 3, 5, 6), (2, 3, 5, 6), (2, 3, 1, 1, 5), (2, 3, 3, 4, 5), heads=3),
    row(attention, (3, 4, 8), (3, 9, 8), (3, 9, 8), (3, 1, 4, 9), (1, 2, 1, 9), heads=2),
    row(attention, (3, 4, 8), (3, 9, 8), (3, 9, 8), (2, 4, 1), (4, 1), heads=2),
    row(self_attention, (3, 5, 18), 0.0, 1.0, heads=2),
    row(self_attention, (5, 9), (5, 5), 1.0, heads=3),
    row(self_attention, (2, 17, 24), (17, 17), (2, 4, 17, 17), heads=4),
    row(self_attention, (1, 1, 3), 0.0, (1,)),
    row(self_attention, (2, 3, 4, 12), (1, 1, 1, 4, 4), 1.0, heads=2),
    row(attention, (3, 4, 8), (3, 9, 8), (3, 9, 8), (2, 4, 9), (3, 2, 1, 9), heads=2),
    row(attention, (3, 4, 8), (3, 9, 8), (3, 9, 8), (3, 2, 1, 9), (2, 4, 9), heads=2),
]
NORMS = [
    row(standardize, (3, 5, 7), (7,), (7,), axis=(-1,)),
    row(standardize, (3, 5, 7), (7,), 0.0, axis=(2,), eps=0.1),
    row(standardize, (3, 5, 7), 1.0, 0.0, axis=(1, 2)),
    row(standardize, (2, 3, 4, 5), (3, 4, 5), (3, 4, 5), axis=(1, 2, 3)),
    row(standardize, (4, 3, 2, 5), (3, 2, 1), (3, 2, 1), axis=(2, 3)),
    row(standardize, (4, 3, 2, 5), (3, 1, 1), (3, 1, 1), axis=(2, 3)),
    row(standardize, (4, 3, 6), (3, 6), (3, 6), axis=(2,)),
    row(standardize, (4, 3, 6), (4, 3, 1), (4, 3, 1), axis=(2,)),
    row(standardize, (2, 3, 1200), (1200,), (1200,), axis=(2,)),
    row(standardize, (2, 3, 1200), (3, 1), (3, 1), axis=(2,)),
    row(standardize, (3, 5, 7), (3, 1, 1), (3, 1, 1), axis=(1, 2)),
    row(standardize, (1, 2), (2,), (2,), axis=(1,), eps=1.0),
    row(standardize, (6,), (6,), (6,), axis=(0,)),
    row(rms_norm, (3, 5, 7), (7,), axis=(-1,), eps=1e-5),
    row(rms_norm, (2, 3, 4, 5), (4, 5), axis=(2, 3), eps=0.0),
    row(rms_norm, (4, 9), 1.0, axis=(1,), eps=0.1),
    row(rms_norm, (4, 2100), (2100,), axis=(1,), eps=0.1),
    row(standardize, (3, 5), (5,), (5,), axis=(1,)),
]
LEFT = [  # what no function of ours does
    row(attention, (2, 2, 5, 6), (2, 2, 7, 6), (2, 2, 7, 4), (2, 1, 1, 5, 7), 1.0),
    row(attention, (5, 6), (2, 7, 6), (2, 7, 4), 0.0, 1.0),
    row(standardize, (3, 5, 7), (7,), (7,), axis=(0,)),
    row(standardize, (3, 5, 7), (5, 1), (5, 1), axis=(0, 2)),
    row(standardize, (3, 5, 7), (1, 7), (7,), axis=(2,)),
    row(standardize, (3, 5, 7), 1.0, (7,), axis=(2,)),
    row(standardize, (3, 4, 5), (1, 5), 0.0, axis=(1, 2)),
]


STACKS: dict[str, tuple[Shape, Shape, Callable[[Any, Any], Any]]] = {
    "both in order": ((3, 5, 7), (3, 7, 4), lambda a, b: a @ b),
    "two axes, one repeated": ((2, 3, 5, 7), (3, 7, 4), lambda a, b: a @ b),
    "one matrix on the right": ((2, 3, 5, 7), (7, 4), lambda a, b: a @ b),
    "one matrix on the left": ((5, 7), (2, 3, 7, 4), lambda a, b: a @ b),
    "both repeated": ((2, 1, 5, 7), (1, 3, 7, 4), lambda a, b: a @ b),
    "both transposed": ((3, 7, 5), (3, 4, 7), lambda a, b: a.swapaxes(1, 2) @ b.swapaxes(1, 2)),
    "one matrix, transposed": ((3, 5, 7), (4, 7), lambda a, b: a @ b.T),
    "transposed, times one matrix": ((3, 7, 5), (7, 4), lambda a, b: a.swapaxes(1, 2) @ b),
    "heads": (
        (2, 5, 12), (2, 6, 12),
        lambda a, b: a.reshape(2, 5, 3, 4).swapaxes(1, 2) @ b.reshape(2, 6, 3, 4).transpose(0, 2, 3, 1),
    ),
    "parts of an array": ((3, 5, 9), (2, 8, 4), lambda a, b: a[1:, :, 1:8] @ b[:, 1:]),
    "from behind": ((3, 5, 7), (3, 7, 4), lambda a, b: a[::-1] @ b[:, :, :3]),
    "rows and columns of one": ((4, 1, 7), (4, 7, 1), lambda a, b: a @ b),
    "sums of one": ((4, 5, 1), (4, 1, 6), lambda a, b: a @ b),
    "every second row": ((3, 10, 7), (3, 7, 4), lambda a, b: a[:, ::2] @ b),
    "of one number": ((1, 1, 1), (1, 1, 1), lambda a, b: a @ b),
}  # fmt: skip


def arguments(row: Row, rng: np.random.Generator, dtype: Any) -> list[Any]:
    return [rng.normal(size=x).astype(dtype) if isinstance(x, tuple) else x for x in row.args]


def step(row: Row, cotangent: np.ndarray) -> Callable[..., Any]:
    """Return a function of the arguments that are arrays: results, and gradients for a cotangent."""
    numbers = {place: x for place, x in enumerate(row.args) if not isinstance(x, tuple)}

    def run(*arrays: Any) -> Any:
        def loss(arrays: Any) -> Any:
            left = iter(arrays)
            args = [numbers[k] if k in numbers else next(left) for k in range(len(row.args))]
            return (row.primitive(*args, **row.given) * cotangent).sum()

        left = iter(arrays)
        args = [numbers[k] if k in numbers else next(left) for k in range(len(row.args))]
        return row.primitive(*args, **row.given), value_and_grad(loss)(list(arrays))[1]

    return run


def agrees(row: Row, args: list[Any], rng: np.random.Generator) -> list[str]:
    """Compare with the eager run, and return the operations that functions of ours do."""
    arrays = [x for x in args if isinstance(x, np.ndarray)]
    out = row.primitive(*args, **row.given)
    eager = step(row, rng.normal(size=out.shape).astype(out.dtype))
    f = compile(eager, backend="numba")
    f(*arrays)
    found, wanted = f(*arrays), eager(*arrays)
    slack = 64 * np.finfo(out.dtype).eps
    for a, b in zip([found[0], *found[1]], [wanted[0], *wanted[1]], strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=slack, atol=slack * (1 + np.nanmax(np.abs(b))))
    return [op.name for op in f.plan(*arrays).program.ops if op.kind == "native"]


@pytest.fixture(params=KINDS)
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    for module in (of_attention, of_norms, of_stacks) if "several" in request.param else ():
        monkeypatch.setattr(module, "PARALLEL", 0)
    return np.dtype(request.param[:7])


@pytest.mark.parametrize(
    ("row", "dtype"), [(row, kind) for row in (*ATTENTION, *NORMS) for kind in kinds(row.name)],
    ids=repr, indirect=["dtype"],
)  # fmt: skip
def test_a_primitive_and_its_rule_are_the_eager_ones(row: Row, dtype: Any, rng: np.random.Generator) -> None:
    assert set(agrees(row, arguments(row, rng, dtype), rng)) == {row.name, f"{row.name}_back"}


@pytest.mark.parametrize("row", LEFT, ids=repr)
def test_what_does_not_fit_runs_as_it_is(row: Row, rng: np.random.Generator) -> None:
    assert agrees(row, arguments(row, rng, np.float64), rng) == []


@pytest.mark.parametrize("row", [ATTENTION[0], ATTENTION[6], NORMS[0], NORMS[12]], ids=repr)
def test_two_dtypes_run_as_they_are(row: Row, rng: np.random.Generator) -> None:
    args = arguments(row, rng, np.float64)
    args[0] = args[0].astype(np.float32)
    if row is ATTENTION[6]:
        args[1] = rng.normal(size=(5, 5))
    assert agrees(row._replace(args=tuple(np.shape(x) or x for x in args)), args, rng) == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_query_may_look_at_few_keys_or_none(number: float, dtype: Any, rng: np.random.Generator) -> None:
    row = ATTENTION[8]
    x, mask, keep = arguments(row, rng, dtype)
    mask = np.where(np.tri(17, dtype=bool), 0, -np.inf).astype(dtype)
    mask[3] = -np.inf
    mask[5, 2] = number
    f, given = lambda x: self_attention(x, mask, keep, heads=4), step(row, np.ones((2, 17, 8), dtype))
    with np.errstate(invalid="ignore"):
        wanted = f(x), *given(x, mask, keep)[1]
        found = compile(f, backend="numba")(x), *compile(given, backend="numba")(x, mask, keep)[1]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * np.finfo(dtype).eps)
    assert (found[0][:, 3] == 0).all()


def test_rows_of_one_number_have_mean_and_variance(rng: np.random.Generator) -> None:
    x = np.array([[1e4, 1e4 + 1, 1e4 + 2], [3.0, 3.0, 3.0], [np.inf, 0, 0], [np.nan, 0, 0]], np.float32)
    f = lambda x: standardize(x, 1.0, 0.0, axis=(1,))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(compile(f, backend="numba")(x), f(x), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_far_from_zero_have_their_variance(dtype: Any, rng: np.random.Generator) -> None:
    far = 1e4 if dtype == np.float32 else 1e8  # where neighbouring numbers are 0.001 or 1.5e-8 apart
    x = (far + rng.normal(size=(2, 50))).astype(dtype)
    wide = x.astype(np.longdouble) - far
    wanted = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    found = compile(lambda x: standardize(x, 1.0, 0.0, axis=(1,)), backend="numba")(x)
    np.testing.assert_allclose(found, wanted.astype(dtype), rtol=0, atol=4 * np.spacing(dtype(far)))


@pytest.mark.parametrize("name", STACKS)
def test_stacks_of_matrices(name: str, dtype: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_stacks, "PRODUCT", 0)
    *shapes, function = STACKS[name]
    a, b = (rng.integers(-4, 5, shape).astype(dtype) for shape in shapes)
    f = compile(function, backend="numba")
    f(a, b)
    found, wanted = f(a, b), function(a, b)
    assert (found.dtype, [op.kind for op in f.plan(a, b).program.ops if op.name == "matmul"]) == (dtype, ["native"])
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "function", [lambda a, b: a[:, :, ::2] @ b, lambda a, b: a[:, ::-1, :2] @ b, lambda a, b: a[:1, :1, :2] @ b]
)
def test_stacks_that_do_not_fit(
    function: Callable[..., Any], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_stacks, "PRODUCT", 10)
    a, b = rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 2, 1))
    f = compile(function, backend="numba")
    np.testing.assert_allclose(f(a, b), function(a, b), rtol=1e-14)
    assert "native" not in [op.kind for op in f.plan(a, b).program.ops]


def test_every_function_here_has_rows() -> None:
    names = {row.name for row in [*ATTENTION, *NORMS]}
    assert {*names, *(f"{name}_back" for name in names)} == {*of_attention.ROWS, *of_norms.ROWS} <= set(TABLE)
