"""Operations that select, join and rearrange entries: each option does what it does in NumPy, gradients included."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor
from tinygrad_nn.ops import joining
from tinygrad_nn.primitive import OVERRIDES

A = np.arange(1.0, 7.0).reshape(2, 3)
B = np.arange(1.0, 25.0).reshape(2, 3, 4)
V = np.array([3.0, -1.0, 2.0])

# Functions that are linear in x, so that their gradient is exact in the values of unit vectors.
LINEAR: list[tuple[str, Any, Callable[[Any], Any]]] = [
    ("reshape F", A, lambda x: np.reshape(x, (3, 2), order="F")),
    ("reshape A of a transpose", A, lambda x: np.reshape(x.T, (2, 3), order="A")),
    ("reshape A of rows", A, lambda x: np.reshape(x, (3, 2), order="A")),
    ("reshape A of every other row", B, lambda x: np.reshape(x[:, ::2], (4, 4), order="A")),
    ("reshape A of a row", A, lambda x: np.reshape(x.reshape(-1), (3, 2), order="A")),
    ("transpose by axes", B, lambda x: np.transpose(x, (1, 2, 0))),
    ("transpose from the end", B, lambda x: np.transpose(x, (-2, -1, 0))),
    ("swapaxes", B, lambda x: np.swapaxes(x, 0, -1)),
    ("roll flat", A, lambda x: np.roll(x, 2)),
    ("roll an axis", A, lambda x: np.roll(x, 1, 1)),
    ("roll two axes", B, lambda x: np.roll(x, (1, 3), (1, 2))),
    ("ravel F", A, lambda x: np.ravel(x, "F")),
    ("ravel K of a transpose", B, lambda x: np.ravel(np.transpose(x, (2, 0, 1)), "K")),
    ("ravel A of a transpose", A, lambda x: np.ravel(x.T, "A")),
    ("expand_dims", A, lambda x: np.expand_dims(x, (0, 2))),
    ("squeeze", A, lambda x: np.squeeze(x[:, None, :, None], axis=3)),
    ("atleast_3d", A, lambda x: np.atleast_3d(x)),
    ("atleast_1d of two", V, lambda x: np.concatenate(np.atleast_1d(x, x[0]))),
    ("moveaxis", B, lambda x: np.moveaxis(x, 0, -1)),
    ("rollaxis", B, lambda x: np.rollaxis(x, 2, 1)),
    ("matrix_transpose", B, lambda x: np.matrix_transpose(x)),
    ("flip all", A, lambda x: np.flip(x)),
    ("flip the last axis", B, lambda x: np.flip(x, -1)),
    ("flip two axes", B, lambda x: np.flip(x, (0, 2))),
    ("fliplr", A, lambda x: np.fliplr(x)),
    ("flipud", A, lambda x: np.flipud(x)),
    *[(f"rot90 {k}", A, lambda x, k=k: np.rot90(x, k)) for k in (-1, 0, 1, 2, 3, 5)],
    ("rot90 of other axes", B, lambda x: np.rot90(x, 1, (2, 0))),
    ("broadcast_arrays", A, lambda x: np.broadcast_arrays(x, np.zeros((4, 1, 1)))[0]),
    ("meshgrid xy", V, lambda x: np.stack(np.meshgrid(x, x[:2]))),
    ("meshgrid ij", V, lambda x: np.stack(np.meshgrid(x, x[:2], indexing="ij"))),
    ("meshgrid sparse", V, lambda x: np.meshgrid(x, x[:2], sparse=True)[1]),
    ("tile a number of times", A, lambda x: np.tile(x, 2)),
    ("tile by axes", A, lambda x: np.tile(x, (3, 2))),
    ("tile to more axes", A, lambda x: np.tile(x, (2, 1, 2))),
    ("tile fewer axes", B, lambda x: np.tile(x, (2, 3))),
    ("repeat flat", A, lambda x: np.repeat(x, 2)),
    ("repeat the last axis", B, lambda x: np.repeat(x, 3, -1)),
    ("repeat each its own number", A, lambda x: np.repeat(x, [2, 0, 1], 1)),
    ("repeat not at all", A, lambda x: np.repeat(x, 0, 1)),
    ("full_like", V, lambda x: np.full_like(x * np.ones((2, 1)), x)),
    ("full_like of a shape", V, lambda x: np.full_like(0 * x, x, shape=(4, 3))),
    ("full", V, lambda x: OVERRIDES[np.full]((2, 3), x)),
    ("linspace", V, lambda x: np.linspace(x[0], x[1], 5)),
    ("linspace without its end", V, lambda x: np.linspace(x, 2 * x[::-1], 4, endpoint=False)),
    ("linspace along the last axis", V, lambda x: np.linspace(x, 2 * x[::-1], 5, axis=-1)),
    ("the step of linspace", V, lambda x: np.linspace(x[0], x[1], 5, retstep=True)[1]),
    ("the step of linspace without its end", V, lambda x: np.linspace(x[0], x[1], 4, False, True)[1]),
    ("the step of two", V, lambda x: np.linspace(x[0], x[1], 2, retstep=True)[1]),
    *[(f"tril {k}", A, lambda x, k=k: np.tril(x, k)) for k in (-1, 0, 1)],
    *[(f"triu {k}", A, lambda x, k=k: np.triu(x, k)) for k in (-1, 0, 1)],
    ("tril of many", B, lambda x: np.tril(x)),
    ("tril of a row", V, lambda x: np.tril(x)),
    *[(f"diagonal {k}", A, lambda x, k=k: np.diagonal(x, k)) for k in (-1, 0, 2)],
    ("diagonal of other axes", B, lambda x: np.diagonal(x, 1, 2, 0)),
    *[(f"diag {k}", V, lambda x, k=k: np.diag(x, k)) for k in (-2, 0, 1)],
    ("diag of a matrix", A, lambda x: np.diag(x, 1)),
    ("diagflat", A, lambda x: np.diagflat(x, -1)),
    ("concatenate flat", A, lambda x: np.concatenate((x, 2 * x[:1], np.ones(2)), axis=None)),
    ("concatenate from the end", B, lambda x: np.concatenate((x, 3 * x[..., :1]), axis=-1)),
    ("concatenate the middle", B, lambda x: np.concatenate((2 * x[:, 1:], x), axis=1)),
    ("stack first", A, lambda x: np.stack((x, 2 * x))),
    ("stack in the middle", A, lambda x: np.stack((x, 2 * x), axis=1)),
    ("stack last", A, lambda x: np.stack((x, 2 * x), axis=-1)),
    ("vstack", V, lambda x: np.vstack((x, 2 * x))),
    ("hstack of rows", V, lambda x: np.hstack((x, 2 * x[:2]))),
    ("hstack of matrices", A, lambda x: np.hstack((x, 2 * x[:, :2]))),
    ("dstack", A, lambda x: np.dstack((x, 2 * x))),
    ("column_stack", A, lambda x: np.column_stack((x[:, 0], 2 * x))),
    ("block", A, lambda x: np.block([[x, 2 * x[:, :1]], [np.ones(3), x[:1, :1]]])),
    ("block of one row", A, lambda x: np.block([x, 3 * x])),
    ("append flat", A, lambda x: np.append(x, 2 * x[0])),
    ("append to an axis", A, lambda x: np.append(x, 2 * x[:, :1], axis=1)),
    ("insert flat", A, lambda x: np.insert(x, 2, 2 * x[0, 1])),
    ("insert a column", A, lambda x: np.insert(x, [1], 2 * x[:, :1], axis=1)),
    ("array_split", A, lambda x: np.array_split(x, 2, axis=1)[1]),
    ("split by places", A, lambda x: np.split(x, [1, 1, 2], axis=1)[2]),
    ("split of nothing", A, lambda x: np.split(x, [1, 1, 2], axis=1)[1]),
    ("hsplit of a row", V, lambda x: np.hsplit(x, 3)[1]),
    ("hsplit", A, lambda x: np.hsplit(x, 3)[1]),
    ("vsplit", A, lambda x: np.vsplit(x, 2)[1]),
    ("dsplit", B, lambda x: np.dsplit(x, 2)[1]),
    ("unstack", B, lambda x: np.unstack(x, axis=1)[2]),
    ("apply_along_axis", B, lambda x: np.apply_along_axis(lambda r: r[:2] * 2, 1, x)),
    ("apply_along_axis to a number", B, lambda x: np.apply_along_axis(np.sum, -1, x)),
    ("apply_over_axes", B, lambda x: np.apply_over_axes(np.sum, x, (0, -1))),
    ("where", A, lambda x: np.where(np.array([True, False, True]), x, 3 * x)),
    ("select", A, lambda x: np.select([A < 3, A < 5], [x, 2 * x], 7.0)),
    ("piecewise", V, lambda x: np.piecewise(x, [V > 0, V > 2.5], [lambda v: 2 * v, 5.0, lambda v: 3 * v])),
    ("piecewise of one condition", V, lambda x: np.piecewise(x, V > 0, [lambda v: 2 * v, lambda v: 3 * v])),
    ("piecewise by rows", A, lambda x: np.piecewise(x, [np.array([True, False])], [lambda v: 2 * v])),
    ("take flat", A, lambda x: np.take(x, [5, 0, 0])),
    ("take along an axis", A, lambda x: np.take(x, [2, 0, 2], axis=1)),
    ("take nothing", A, lambda x: np.take(x, [], axis=1)),
    ("take clipped", A, lambda x: np.take(x, [-3, 9, 1], axis=1, mode="clip")),
    ("take wrapped", A, lambda x: np.take(x, [-4, 7, 1], axis=1, mode="wrap")),
    ("take_along_axis", A, lambda x: np.take_along_axis(x, np.array([[2, 0], [1, 1]]), axis=1)),
    ("take_along_axis of columns", A, lambda x: np.take_along_axis(x, np.array([[1, 0, 1]]), axis=0)),
    ("take_along_axis flat", A, lambda x: np.take_along_axis(x, np.array([4, 1]), axis=None)),
    ("choose", A, lambda x: np.choose(np.array([[1, 0, 1]]), [x, 2 * x])),
    ("choose wrapped", A, lambda x: np.choose(np.array([3, 0, -1]), [x, 2 * x], mode="wrap")),
    ("compress", A, lambda x: np.compress([True, False, True], x, axis=1)),
    ("compress flat", A, lambda x: np.compress([False, True, False, True], x)),
    ("the method compress", A, lambda x: x.compress([False, True], 0)),
    ("extract", A, lambda x: np.extract(A > 2, x)),
    ("delete", A, lambda x: np.delete(x, 1, axis=1)),
    ("delete flat", A, lambda x: np.delete(x, [0, 4])),
    ("resize to more", A, lambda x: np.resize(x, (3, 5))),
    ("resize to fewer", A, lambda x: np.resize(x, (2, 2))),
    ("rows chosen twice", A, lambda x: x[np.array([1, 0, 1])]),
    ("rows chosen from the end", A, lambda x: x[np.array([-1, 0, -1])]),
    ("columns chosen twice", B, lambda x: x[:, np.array([0, 2, 2])]),
    ("many entries chosen twice", B, lambda x: x[:, np.arange(60) % 3]),
    ("entries by two indices", A, lambda x: x[np.array([0, 1, 0]), np.array([2, 2, 2])]),
    ("nan_to_num", np.array([1.0, np.nan, -np.inf]), lambda x: np.nan_to_num(x, nan=2.0, neginf=-5.0)),
    ("interp in the values", V, lambda x: np.interp(np.array([-1.0, 0.5, 1.0, 1.75, 2.0, 3.0]), [0.0, 1.0, 2.0], x)),
    ("interp with given ends", V, lambda x: np.interp(np.array([-1.0, 0.5, 3.0]), [0.0, 1.0, 2.0], x, 7.0, 8.0)),
    ("interp with a period", V, lambda x: np.interp(np.array([-1.0, 0.5, 3.5]), [0.0, 1.0, 2.0], x, period=-3.0)),
    ("interp of one knot", V[:1], lambda x: np.interp(np.array([-1.0, 0.5]), [0.5], x)),
]  # fmt: skip


@pytest.mark.parametrize(("x", "f"), [case[1:] for case in LINEAR], ids=[case[0] for case in LINEAR])
def test_entries_go_where_numpy_puts_them_and_gradients_come_back(x: Any, f: Callable[[Any], Any]) -> None:
    t = Tensor(x)
    found, wanted = f(t), np.asarray(f(x))
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found.data, wanted, rtol=1e-14, atol=1e-15)
    w = 1.0 + np.arange(wanted.size).reshape(wanted.shape)
    (found * w).sum().backward()
    finite = np.isfinite(x)
    zero = np.sum(w * f(np.where(finite, 0.0, x)))
    units = [np.where(finite, e.reshape(x.shape), x) for e in np.eye(x.size)]
    slopes = np.array([np.sum(w * f(e)) - zero for e in units]).reshape(x.shape)
    np.testing.assert_allclose(np.zeros_like(x) if t.grad is None else t.grad, slopes * finite, atol=1e-12)


@pytest.mark.parametrize(("f", "x", "y", "gx", "gy"), [
    (np.maximum, [1, 2, 3, np.nan], [2, 2, 2, 1], [0, 5, 10, 10], [10, 5, 0, 10]),
    (np.minimum, [1, 2, 3, np.nan], [2, 2, 2, 1], [10, 5, 0, 10], [0, 5, 10, 10]),
    (np.fmax, [1, 2, 3, np.nan, 1, np.nan], [2, 2, 2, 1, np.nan, np.nan], [0, 5, 10, 0, 10, 5], [10, 5, 0, 10, 0, 5]),
    (np.fmin, [1, 2, 3, np.nan, 1, np.nan], [2, 2, 2, 1, np.nan, np.nan], [10, 5, 0, 0, 10, 5], [0, 5, 10, 10, 0, 5]),
    (np.heaviside, [-1, 0, 1], [7, 7, 7], [0, 0, 0], [0, 10, 0]),
    (np.remainder, [7, -7, 7], [3, 3, -3], [10, 10, 10], [-20, 30, 30]),
    (np.fmod, [7, -7, 7], [3, 3, -3], [10, 10, 10], [-20, 20, 20]),
    (lambda x, y: np.clip(x, y, 2.0), [1, 3, 0, 2], [0, 0, 1, 3], [10, 0, 0, 0], [0, 0, 10, 0]),
    (lambda x, y: np.clip(x, 1.0, y), [1.5, 3, 0, 2, 1], [2, 2, 2, 0.5, 2], [10, 0, 0, 0, 0], [0, 10, 0, 10, 0]),
], ids=["maximum", "minimum", "fmax", "fmin", "heaviside", "remainder", "fmod", "low", "high"])  # fmt: skip
def test_who_loses_has_no_slope_and_a_tie_gives_half(f: Any, x: Any, y: Any, gx: Any, gy: Any) -> None:
    a, b = Tensor(np.array(x, float)), Tensor(np.array(y, float))
    out = f(a, b)
    np.testing.assert_array_equal(out.data, f(a.data, b.data))
    out.backward(np.full(len(x), 10.0))
    for t, wanted in ((a, gx), (b, gy)):
        np.testing.assert_array_equal(np.zeros(len(x)) if t.grad is None else t.grad, np.array(wanted, float))


@pytest.mark.parametrize(("x", "low", "high", "wanted"), [
    (np.array([1, 5, 9]), None, 6, [1, 5, 6]), (np.array([1, 5, 9]), 2, None, [2, 5, 9]),
    (np.array([-3.0, 1.0]), None, 0.5, [-3.0, 0.5]), (np.array([-3.0, 1.0]), -1.0, None, [-1.0, 1.0]),
    (np.array([True, False]), None, True, [True, False]), (np.array([True, False]), False, None, [True, False]),
])  # fmt: skip
def test_a_bound_of_none_has_no_effect(x: Any, low: Any, high: Any, wanted: Any) -> None:
    for found in (np.clip(Tensor(x), low, high), np.clip(Tensor(x), min=low, max=high)):
        assert found.dtype == x.dtype
        np.testing.assert_array_equal(found.data, wanted)


@pytest.mark.parametrize("to", [np.float32, np.int64, np.complex64])
def test_a_tensor_is_cast_as_far_as_the_casting_allows(to: Any) -> None:
    x = Tensor(V)
    assert x.astype(to).dtype == np.astype(x, to).dtype == to
    if to != np.complex64:
        with pytest.raises(TypeError, match="safe"):
            x.astype(np.float32, casting="safe")
    np.testing.assert_array_equal(x.astype(to).data, V.astype(to))
    assert (x.astype(to).node is None) == (to is np.int64)


def test_a_clipped_tensor_has_the_requested_dtype() -> None:
    assert np.clip(Tensor(V), 0, 1, dtype=np.float32).dtype == np.float32


def test_mantissas_and_fractions_have_slopes() -> None:
    x = Tensor([3.0, 0.0, -0.75, np.inf])
    np.frexp(x)[0].backward(np.full(4, 8.0))
    np.testing.assert_array_equal(x.grad, [2.0, 8.0, 8.0, 8.0])
    y = Tensor([2.5, -1.25])
    part, whole = np.modf(y)
    np.testing.assert_array_equal([part.data, whole.data], [[0.5, -0.25], [2, -1]])
    assert whole.dtype == np.modf(Tensor(np.array([3, 4])))[1].dtype == np.float64


X3 = Tensor(np.ones((2, 3)))
SAID: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: np.clip(X3, 0, 1, where=True), TypeError,
     "np.clip of a Tensor takes bounds and dtype= only, not where=."),
    (lambda: np.clip(X3, 0, 1, max=2), ValueError,
     "np.clip takes its bounds as a_min, a_max or as min=, max=, not both."),
    (lambda: np.select([A < 1], [X3, X3]), ValueError,
     "np.select needs as many choices as conditions, and at least one; it got 1 conditions and 2 choices."),
    (lambda: np.select([A], [X3]), TypeError, "np.select needs conditions of dtype bool; one has float64."),
    (lambda: np.piecewise(X3, [A.T > 1], [1.0]), IndexError,
     "np.piecewise needs conditions of the shape of x, (2, 3); one has (3, 2)."),
    (lambda: np.piecewise(X3, [A > 1, A > 2], [1.0]), ValueError,
     "np.piecewise of 2 conditions needs that many functions, or one more for the rest; it got 1."),
    (lambda: np.interp(X3, [0.0, 1.0], [1.0, 2.0], period=0), ValueError, "np.interp needs a period other than 0."),
    (lambda: np.interp(X3, [0.0, 1.0], [1.0]), ValueError,
     "np.interp needs as many values as knots, and some; it got (1,) and (2,)."),
    (lambda: np.geomspace(X3, 0, 3), ValueError, "np.geomspace needs numbers other than 0 as its ends;"),
    (lambda: np.apply_over_axes(lambda a, axis: a[0, 0], X3, 0), ValueError,
     "np.apply_over_axes needs a function that keeps the axes or removes one; from shape (2, 3) it made (1,)."),
    (lambda: joining.array([X3, X3[0]]), ValueError,
     "tinygrad_nn.array needs parts of one shape in each list; part 0 has shape (2, 3), part 1 has (3,)."),
    (lambda: joining.vectorize(abs)(np.zeros((0, 2))), ValueError,
     "vectorize needs arrays with entries; it got shapes [(0, 2)]."),
    (lambda: X3.at[0].set("a"), TypeError, "t.at[...] got array('a', dtype='<U1'), of dtype <U1."),
    (lambda: X3.at[0].set(1j), TypeError,
     "dtype float64 without changing it. Convert the Tensor first: t.astype('complex128').at[index].set(value)."),
    (lambda: X3.at[0].set(np.ones(2)), ValueError,
     "entries of shape (3,), and the value has shape (2,). Give one number, or an array that broadcasts to (3,)."),
    (lambda: X3.at[np.array([0.5])].add(1.0), IndexError, "arrays used as indices must be of integer"),
    (lambda: X3.at[0].add(np.ones((2, 3))), ValueError, "names entries of shape (3,), and the value has shape (2, 3)."),
    (lambda: X3.at[0].put(1), AttributeError, "t.at[index] has set, add, multiply, min and max, but no 'put'."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), SAID, ids=[str(k) for k in range(len(SAID))])
def test_what_does_not_fit_is_named_with_its_shape(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


@pytest.mark.parametrize("value", [5.0, [[1.0, 2.0, 3.0]], [[[1.0, 2.0, 3.0]]], [[[[4.0]]]], [4.0]], ids=str)
@pytest.mark.parametrize("index", [0, (slice(None), 1), (np.array([1, 0]),), ..., (slice(1), 1)], ids=str)
def test_leading_axes_of_one_are_left_out_as_in_an_assignment(index: Any, value: Any) -> None:
    wanted, value = A.copy(), np.array(value)
    try:
        wanted[index] = value
    except ValueError:
        with pytest.raises(ValueError, match="names entries of shape"):
            Tensor(A).at[index].set(value)
        return
    v = Tensor(value)
    found = Tensor(A).at[index].set(v)
    np.testing.assert_array_equal(found.data, wanted)
    found.sum().backward()
    assert (v.grad.shape, v.grad.sum()) == (value.shape, np.size(A[index]))


@pytest.mark.parametrize("join", [np.concatenate, np.concat, np.stack, np.vstack, np.hstack])
def test_a_joined_tensor_has_the_requested_dtype(join: Any) -> None:
    x = Tensor(A)
    out = join((x, A), dtype=np.float32, casting="same_kind")
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out.data, join((A, A)))
    for kind, options in ((TypeError, {"dtype": int, "casting": "unsafe"}), (TypeError, {"dtype": np.float32,
                          "casting": "safe"}), (TypeError, {"casting": "no"})):  # fmt: skip
        with pytest.raises(kind):
            join((x, A.astype(np.float32)), **options)
    if join in (np.concatenate, np.stack):
        with pytest.raises(TypeError, match="out"):
            join((x, A), out=np.zeros(3))


@pytest.mark.parametrize("call", [
    lambda out: np.take(X3, 0, out=out), lambda out: np.choose(np.array([0]), [X3], out=out),
    lambda out: np.compress([True], X3, out=out), lambda out: X3.compress([True], None, out),
    lambda out: np.clip(X3, 0, 1, out=out),
], ids=["take", "choose", "compress", "method", "clip"])  # fmt: skip
def test_given_arrays_are_not_modified(call: Any) -> None:
    with pytest.raises(TypeError, match="out="):
        call(np.zeros(3))


@pytest.mark.parametrize("call", [
    lambda x: np.fliplr(x), lambda x: np.flipud(x[0]), lambda x: np.rot90(x), lambda x: np.diag(x[0]),
    lambda x: np.hsplit(x[0], 1), lambda x: np.vsplit(x, 1), lambda x: np.dsplit(x, 1), lambda x: np.flip(x, 3),
    lambda x: np.rot90(np.expand_dims(x, 0), 1, (0, 0)), lambda x: np.rot90(np.expand_dims(x, 0), 1, (0, 2)),
], ids=["fliplr", "flipud", "rot90", "diag", "hsplit", "vsplit", "dsplit", "flip", "one axis", "no axis"])  # fmt: skip
def test_too_few_axes_are_complained_of_as_in_numpy(call: Any) -> None:
    with pytest.raises((ValueError, IndexError)) as wanted:
        call(V)
    with pytest.raises(type(wanted.value), match=re.escape(str(wanted.value))):
        call(Tensor(V))


@pytest.mark.parametrize("k", [-4, 0, 4])
def test_a_whole_turn_makes_another_tensor(k: int) -> None:
    x = Tensor(A)
    assert np.rot90(x, k) is not x


@pytest.mark.parametrize(("f", "dtype"), [
    (lambda x: np.full_like(x, x, np.float32), "f4"), (lambda x: np.full_like(Tensor(V.astype("f4")), x), "f4"),
    (lambda x: OVERRIDES[np.full](3, x, np.float32), "f4"), (lambda x: np.geomspace(x, 9, 3, dtype="f4"), "f4"),
    (lambda x: np.linspace(x, 9, 3, dtype=np.float32), "f4"), (lambda x: np.linspace(x, 9, 3, dtype=int), "i8"),
    (lambda x: np.logspace(x, 9, 3, dtype=np.float32), "f4"), (lambda x: np.full_like(x, 7, int), "i8"),
    (lambda x: joining.array([x, 2 * x], np.float32), "f4"), (lambda x: joining.array([[1, 2, 3], x]), "f8"),
    (lambda x: np.insert(x, 1, 5), "f8"), (lambda x: np.tril(x.astype(np.float32)), "f4"),
])  # fmt: skip
def test_a_result_has_the_requested_dtype(f: Any, dtype: Any) -> None:
    assert f(Tensor(np.abs(V))).dtype == dtype


@pytest.mark.parametrize("f", [
    lambda x: np.logspace(x, 2, 4, base=3.0), lambda x: np.logspace(x, 2, 4, endpoint=False, axis=-1),
    lambda x: np.logspace(x[:, None], 2.0, 4, base=np.array([2.0, 3.0]), axis=1),
    lambda x: np.logspace(0, x, 3, base=x),
    lambda x: np.geomspace(x, 10.0, 4), lambda x: np.geomspace(x, 10.0 * x, 4, endpoint=False, axis=1),
    lambda x: np.geomspace(-x, -10.0, 1), lambda x: np.geomspace(x, 5.0, 0), lambda x: np.geomspace(x, 5.0, 2),
    lambda x: np.geomspace(1.0, x, 3), lambda x: np.linspace(x, 5.0, 1), lambda x: np.linspace(x, 5.0, 0),
    lambda x: np.linspace(-x, 5.5, 4, dtype=int),
])  # fmt: skip
def test_spaced_numbers_are_those_of_numpy(f: Any) -> None:
    found, wanted = f(Tensor(np.abs(V))), f(np.abs(V))
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found.data, wanted, rtol=1e-13)


def test_a_function_of_numbers_goes_over_entries() -> None:
    both = joining.vectorize(lambda x, y, scale=1.0: (x * y * scale, x + y), excluded={"scale"})
    x, y = Tensor(A), Tensor(V)
    product, total = both(x, y, scale=2.0)
    np.testing.assert_array_equal(product.data, 2 * A * V)
    np.testing.assert_array_equal(total.data, A + V)
    product.sum().backward()
    np.testing.assert_array_equal(y.grad, 2 * A.sum(axis=0))
    kept = joining.vectorize(lambda x, table: x * table[1], excluded=(1,))(x, [3.0, 4.0])
    np.testing.assert_array_equal(kept.data, 4 * A)
    with pytest.raises(ValueError, match=r"vectorize needs arrays with entries; it got shapes \[\]\."):
        joining.vectorize(abs)()


@pytest.mark.parametrize(("ndmin", "shape"), [(0, (2, 3)), (2, (2, 3)), (4, (1, 1, 2, 3))])
def test_an_array_of_tensors_has_at_least_ndmin_axes(ndmin: int, shape: tuple[int, ...]) -> None:
    assert OVERRIDES[np.array]([Tensor(V), V], ndmin=ndmin).shape == shape


@pytest.mark.parametrize("index", [
    0, -1, [0, 0], np.array([1, 1]), np.array([1, -1]), np.array([[0, 1], [1, 1]]), np.array([1, 1], np.uint8), ...,
    (slice(None), 2), (slice(None), [0, 2, 2]), A > 2, np.array([True, False]), ([0, 0], [1, 1]), (None, 1),
], ids=str)  # fmt: skip
@pytest.mark.parametrize(("name", "how"), [
    ("add", np.add), ("multiply", np.multiply), ("min", np.minimum), ("max", np.maximum), ("set", None),
])  # fmt: skip
def test_an_update_counts_equal_indices_as_numpy_does(name: str, how: Any, index: Any) -> None:
    wanted, v, y = A.copy(), Tensor(2.5), Tensor(A)
    if how is None:
        wanted[index] = 2.5
    else:
        how.at(wanted, index, 2.5)
    found = getattr(y.at[index], name)(v)
    np.testing.assert_array_equal(found.data, wanted)
    w = 1.0 + np.arange(6.0).reshape(2, 3)
    (found * w).sum().backward()
    times = np.zeros_like(A)
    np.add.at(times, index, 1)
    slopes = {
        "add": (np.ones_like(A), times), "multiply": (2.5**times, A * times * 2.5 ** np.maximum(times - 1, 0)),
        "set": (times == 0, times > 0), "min": (wanted == A, wanted != A), "max": (wanted == A, wanted != A),
    }[name]  # fmt: skip
    np.testing.assert_allclose(y.grad, slopes[0] * w, rtol=1e-14)
    np.testing.assert_allclose(v.grad, (slopes[1] * w).sum(), rtol=1e-14)


@pytest.mark.parametrize("shape", [(40,), (4, 5), (40, 5)])
def test_many_equal_indices_add_up(shape: tuple[int, ...]) -> None:
    x, (i, *_) = np.zeros(shape), np.divmod(np.arange(100), 25)
    for index in (i, (i,), (i, *[i] * (len(shape) - 1)), (*[slice(None)] * (len(shape) - 1), i)):
        wanted = x.copy()
        np.add.at(wanted, index, 1.5)
        np.testing.assert_array_equal(Tensor(x).at[index].add(1.5).data, wanted)
