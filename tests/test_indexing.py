"""Indexing, updates, joins and shapes beyond what the table of cases shows: duplicates, kinks, errors, odd layouts."""

import operator
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_nn as tg
from tinygrad_nn import Tensor, grad, nn
from tinygrad_nn.compiled.trace.tensors import ShapePlaceholder
from tinygrad_nn.ops.plain import OF_CONSTANTS, WRITERS, delegate_methods
from tinygrad_nn.primitive import REGISTRY
from tinygrad_nn.tensor import stored_array
from tinygrad_nn.transforms.batching.mapped import SamplePlaceholder

# -- The adjoint of indexing, on any index


@st.composite
def shapes_and_indices(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
    basic = hnp.basic_indices(shape, allow_newaxis=True)
    rows = hnp.integer_array_indices(shape[:1], result_shape=hnp.array_shapes(max_dims=2, max_side=4))
    single = rows.map(lambda index: index[0])
    full = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4))
    masks = hnp.arrays(bool, shape)
    columns = full.map(lambda index: (Ellipsis, index[-1]))
    one = st.integers(0, shape[0] - 1).map(lambda i: np.arange(shape[0]) == i)
    both = st.tuples(one, hnp.arrays(bool, shape[1:2])) if len(shape) > 1 else one
    return shape, draw(st.one_of(basic, single, full, masks, columns, both))


@given(shapes_and_indices())
def test_put_is_the_adjoint_of_indexing(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    selected = np.asarray(x[index])
    g = np.cos(np.arange(selected.size)).reshape(selected.shape)
    found = REGISTRY["put"](g, index=index, shape=shape)
    wanted = np.zeros(shape)
    np.add.at(wanted, index, g)
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    assert np.isclose(np.vdot(x, found), np.vdot(selected, g))
    added = Tensor(x).at[index].add(g)
    np.testing.assert_allclose(added.data, x + wanted, atol=1e-13)


@pytest.mark.parametrize("shape", [(7,), (7, 40), (7, 40, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128, np.int64, bool])
def test_scattering_many_rows_is_that_of_numpy(shape: tuple[int, ...], dtype: type, rng: np.random.Generator) -> None:
    rows = rng.integers(-7, 7, 50).astype(np.int8)
    g = rng.integers(0, 2, (50, *shape[1:])).astype(dtype)
    wanted = np.zeros(shape, dtype)
    np.add.at(wanted, rows, g)
    found = REGISTRY["put"](g, index=rows, shape=shape)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@st.composite
def sums_of_parts(draw: st.DrawFn) -> tuple[np.ndarray, list[tuple[Any, np.ndarray]]]:
    """Return an array, and indices with coefficients, many of them zeros of either sign; None is the whole array."""
    shape, _ = draw(shapes_and_indices())
    entries = st.sampled_from([-0.0, 0.0, -0.0, 1.5, -2.0, 1e-3])
    dtype = draw(st.sampled_from(["f4", "f8", "c8", "c16"]))
    x = np.ones(shape, dtype)
    indices = draw(st.lists(
        st.one_of(hnp.basic_indices(shape), hnp.arrays(bool, shape), st.none(),
                  hnp.integer_array_indices(shape[:1], result_shape=st.just((3,))).map(lambda index: index[0])),
        min_size=2, max_size=7,
    ))  # fmt: skip
    return x, [(i, draw(hnp.arrays(dtype, np.shape(x if i is None else x[i]), elements=entries))) for i in indices]


ALL, ZEROS = slice(None), np.array([-0.0, -0.0])


@given(sums_of_parts())
@example((np.ones(2), [(slice(1), np.ones(1)), (ALL, ZEROS), (ALL, ZEROS)]))  # -0.0 and -0.0, then 0.0 in one entry
@example((np.ones(2), [(ALL, ZEROS), (ALL, ZEROS), (ALL, ZEROS)]))
def test_parts_of_one_array_add_up_to_the_same_bits_in_place(case: tuple[Any, list[tuple[Any, Any]]]) -> None:
    x, parts = case

    def gradient() -> bytes:
        t = Tensor(x)
        total = sum(((t if index is None else t[index]) * c).sum() for index, c in parts)
        total.backward(np.ones((), x.dtype))
        assert t.grad is not None
        return t.grad.tobytes()

    in_place = gradient()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(REGISTRY["getitem"], "special", False)
        assert gradient() == in_place


@pytest.mark.parametrize("read", [lambda x, t: x[t], lambda x, t: x[:, t], lambda x, t: x[..., t, 1:]])
def test_a_loop_over_rows_makes_zeros_for_two_of_them_only(
    read: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, calls = rng.normal(size=(9, 9, 9)), []
    (rule,) = REGISTRY["getitem"].vjps

    def counted(*given: Any, **meta: Any) -> Any:
        calls.append(meta)
        return rule(*given, **meta)

    monkeypatch.setattr(REGISTRY["getitem"], "vjps", (counted,))
    g = grad(lambda x: sum((np.sin(read(x, t)) * t).sum() for t in range(9)))(x)
    assert len(calls) == 2
    expected = np.zeros_like(x)
    for t in range(9):
        read(expected, t)[...] += t * np.cos(read(x, t))
    np.testing.assert_allclose(g, expected, rtol=1e-15)


LOOKUPS = {  # number -> rows of a table of 40
    "array": lambda W, ids: W[ids],
    "list": lambda W, ids: W[ids.tolist()],
    "unsigned": lambda W, ids: W[ids.astype("u1")],
    "one axis more": lambda W, ids: W[ids[:, None]],
    "from the end": lambda W, ids: W[ids - 40],
    "both ends": lambda W, ids: W[np.concatenate([ids - 40, ids])],
    "embedding": lambda W, ids: nn.functional.embedding(ids, W),
    "padding": lambda W, ids: nn.functional.embedding(ids, W, padding_idx=3),
    "one number": lambda W, ids: W[int(ids[0])],
    "two axes": lambda W, ids: W[ids, 1],
    "many": lambda W, ids: W[np.tile(ids, 9)],
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("lookup", list(LOOKUPS.values()), ids=list(LOOKUPS))
def test_rows_that_are_looked_up_again_and_again_add_up_to_the_same_bits(
    lookup: Any, dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    W = rng.normal(size=(40, 3)).astype(dtype)
    numbers = [np.array(rng.choice(ids, size=5)) for ids in ([1, 2, 3], [3, 39], [7], [0, 1, 2, 3, 4, 5, 6, 39])]
    slopes = [rng.choice([-0.0, 0.0, 1.0, 0.1, -1e-3], size=lookup(W, ids).shape).astype(dtype) for ids in numbers]
    made: list[Any] = []

    def gradient() -> Any:
        t = Tensor(W)
        sum((lookup(t, ids) * c).sum() for ids, c in zip(numbers, slopes, strict=True)).backward()
        return t.grad

    for name in ("getitem", "embedding"):
        (rule, *rest) = REGISTRY[name].vjps
        counted = [lambda *given, rule=rule, **meta: (made.append(1), rule(*given, **meta))[1], *rest]
        monkeypatch.setattr(REGISTRY[name], "vjps", tuple(counted))
    in_place, count = gradient(), len(made)
    assert count == (4 if lookup in (LOOKUPS["two axes"], LOOKUPS["many"]) else 2)
    for name in ("getitem", "embedding"):
        monkeypatch.setattr(REGISTRY[name], "special", False)
    assert gradient().tobytes() == in_place.tobytes()
    assert len(made) == count + 4


def test_parts_of_a_user_s_gradient_are_not_added_into_it(rng: np.random.Generator) -> None:
    x, seed, seen = Tensor(rng.normal(size=4)), np.ones(4), []
    y = x * 2.0
    y.register_hook(lambda g: seen.append(g.copy()))
    z = np.concatenate([y[:1], y[1:2], y[2:]]) + y
    z.backward(seed)
    np.testing.assert_array_equal(seed, np.ones(4))
    np.testing.assert_array_equal(seen[0], [2.0] * 4)
    np.testing.assert_array_equal(x.grad, [4.0] * 4)


def test_a_tensor_is_an_index_and_constant() -> None:
    x, i = Tensor([1.0, 2.0, 3.0]), Tensor([2, 0, 2])
    (x[i] * np.array([1.0, 10.0, 100.0])).sum().backward()
    np.testing.assert_array_equal(x.grad, [10, 0, 101])
    np.testing.assert_array_equal(x[Tensor(1) :].data, [2, 3])
    np.testing.assert_array_equal(x[[Tensor(1), 2]].data, [2, 3])
    np.testing.assert_array_equal(x.at[i].add(1.0).data, [2, 2, 5])
    with pytest.raises(IndexError):
        x[Tensor([1.0])]


def test_a_list_used_as_index_may_change_afterwards() -> None:
    x, index = Tensor([1.0, 2.0, 3.0]), [0, 0]
    y = x[index].sum()
    index[:] = [2, 2]
    y.backward()
    np.testing.assert_array_equal(x.grad, [2, 0, 0])


# -- Updates


def test_of_equal_indices_set_keeps_the_last_and_its_gradient() -> None:
    x, y = Tensor([1.0, 2.0, 3.0]), Tensor([10.0, 20.0, 30.0])
    out = x.at[[0, 2, 0]].set(y)
    np.testing.assert_array_equal(out.data, [30, 2, 20])
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 1, 0])
    np.testing.assert_array_equal(y.grad, [0, 1, 1])
    np.testing.assert_array_equal(x.data, [1, 2, 3])


@pytest.mark.parametrize(
    ("factors", "slopes"),
    [
        ((0.0, 3.0), (12.0, 0.0)),
        ((0.0, 0.0), (0.0, 0.0)),
        ((2.0, 3.0, 5.0), (60.0, 40.0, 24.0)),
        ((2.0, 0.0, 5.0, 7.0), (0.0, 280.0, 0.0, 0.0)),
        ((2.0, 3.0, 5.0, 7.0), (420.0, 280.0, 168.0, 120.0)),
    ],
)
def test_each_factor_of_a_product_has_the_others_for_its_slope(
    factors: tuple[float, ...], slopes: tuple[float, ...]
) -> None:
    x, y = Tensor([4.0, 1.0]), Tensor(factors)
    x.at[[0] * len(factors)].multiply(y).sum().backward()
    np.testing.assert_array_equal(y.grad, slopes)
    np.testing.assert_array_equal(x.grad, [np.prod(factors), 1])


@pytest.mark.parametrize("update", ["min", "max"])
def test_ties_of_min_and_max_share_evenly(update: str) -> None:
    x, y = Tensor([5.0, 1.0]), Tensor([5.0, 5.0, 1.0])
    getattr(x.at[[0, 0, 1]], update)(y).sum().backward()
    np.testing.assert_allclose(x.grad, [1 / 3, 1 / 2])
    np.testing.assert_allclose(y.grad, [1 / 3, 1 / 3, 1 / 2])


def test_an_update_that_would_round_is_refused() -> None:
    counts = Tensor(np.array([1, 2]))
    for y in (0.5, Tensor(0.5), np.array([0.5])):
        with pytest.raises(TypeError, match=r"t\.astype\('float64'\)\.at"):
            counts.at[0].set(y)
        with pytest.raises(TypeError):
            counts.at[0].add(y)
    assert counts.at[0].set(7).data.tolist() == [7, 2]


def test_an_update_by_text_raises() -> None:
    message = r"got array\('abc', dtype='<U3'\), of dtype <U3\. A Tensor holds numbers: give a number"
    for update in ("set", "add", "max"):
        with pytest.raises(TypeError, match=message):
            getattr(Tensor(np.zeros(3)).at[0], update)("abc")


def test_updates_keep_float32() -> None:
    x = Tensor(np.ones(3, np.float32))
    for name in ("set", "add", "multiply", "min", "max"):
        y = Tensor(np.full(2, 2.0))
        out = getattr(x.at[[0, 0]], name)(y)
        assert out.dtype == np.float32
        out.backward(np.ones(3))
        assert x.grad.dtype == np.float32
        assert y.grad.dtype == np.float64


def test_without_an_index_the_whole_tensor_is_updated() -> None:
    assert Tensor([1.0, 2.0]).at.add(1.0).data.tolist() == [2, 3]


def test_writing_into_a_tensor_raises_with_the_remedy() -> None:
    t, a = Tensor([1.0, 2.0]), np.zeros(2)
    for call in (
        lambda: np.copyto(a, t), lambda: np.put(a, [0], t[:1]), lambda: np.place(a, a == 0, t),
        lambda: np.putmask(t, t > 1, 0), lambda: np.put_along_axis(a, np.array([0]), t[:1], 0),
        lambda: np.fill_diagonal(np.zeros((2, 2)), t), lambda: t.fill(0), lambda: t.put([0], 1),
        lambda: a.__setitem__(slice(2), t),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"t\.at|t\.data"):
            call()
    with pytest.raises(TypeError, match=r"np\.sort\(t"):
        t.sort()
    with pytest.raises(TypeError, match=r"np\.resize\(t"):
        t.resize(4)
    for call in (
        lambda: np.take(t, [0], out=a), lambda: np.concatenate([t, t], out=np.zeros(4)), lambda: t.take([0], out=a),
        lambda: np.stack([t, t], out=np.zeros((2, 2))), lambda: np.compress([1, 0], t, out=a),
        lambda: np.choose([0], [t, t], out=a),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="Remove out="):
            call()
    assert len(WRITERS) == 6


# -- Questions


def test_questions_about_values_are_answered_for_constants_only() -> None:
    t, c = Tensor([2.0, 1.0, 2.0]), Tensor([2.0, 1.0, 2.0], requires_grad=False)
    assert np.unique(c).tolist() == [1, 2]
    assert np.zeros(2, like=c).tolist() == [0, 0]
    for call in (lambda: np.histogram_bin_edges(t), lambda: np.histogram(t)):
        with pytest.raises(TypeError, match=r"lose the graph.*`np.*\.data"):
            call()
    assert np.histogram_bin_edges in OF_CONSTANTS
    assert t.argmax() == 0
    assert t.argsort().tolist() == [1, 0, 2]
    assert [a.tolist() for a in t.nonzero()] == [[0, 1, 2]]
    assert t.searchsorted(5.0) == 3
    assert np.tril_indices_from(Tensor(np.ones((2, 2))))[0].tolist() == [0, 1, 1]


# -- Arrays of Tensors


def test_numpy_does_not_hand_on_every_function_and_says_what_to_write() -> None:
    t = Tensor(1.0)
    for call in (
        lambda: np.array([t, t]), lambda: np.asarray([t, 1]), lambda: np.r_[t, t], lambda: np.c_[t[None], t[None]],
        lambda: np.full(2, t), lambda: np.array(t),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"tinygrad_nn\.array"):
            call()
    with pytest.raises(TypeError, match=r"t\.at|np\.full"):
        np.full(2, t, dtype=float)
    with pytest.raises(TypeError, match=r"t\.at"):
        np.full_like(np.ones(2), t)


def test_array_follows_numpy_in_shape_and_keeps_float32() -> None:
    t = Tensor(np.float32(2))
    made = tg.array([[t, 1], (2.5, t * t)])
    assert (made.shape, made.dtype) == ((2, 2), np.float32)
    assert tg.array([t, np.float64(1)]).dtype == np.float64
    assert tg.array([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert type(tg.array([1, 2])) is np.ndarray
    assert tg.array([t, 1], dtype=int).node is None
    assert tg.array([]).shape == (0,)
    with pytest.raises(ValueError, match=r"part 0 has shape \(\), part 1 has \(2,\)"):
        tg.array([t, [t, t]])
    with pytest.raises(ValueError, match="part 0"):
        tg.array([[t, t], [t]])


def test_array_of_a_second_derivative() -> None:
    f = lambda x: tg.array([x * x, [1, 2], x[::-1]])[0].sum()
    np.testing.assert_allclose(grad(lambda x: grad(f)(x).sum())(np.array([1.0, 2.0])), [2, 2])


# -- Shapes


@pytest.mark.parametrize("order", ["A", "K", "C", "F"])
def test_reading_orders_follow_the_memory(order: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 4))
    for a in (x, np.asfortranarray(x), x.transpose(1, 0, 2), x[:, ::-1], x.transpose(2, 0, 1)[::-1]):
        t, w = Tensor(a), rng.normal(size=x.size)
        for out, wanted in [(np.ravel(t, order), np.ravel(a, order)), (t.flatten(order), a.flatten(order))]:
            np.testing.assert_array_equal(out.data, wanted)
            numbers = np.arange(x.size).reshape(a.shape, order="C")
            np.copyto(laid_out := np.empty_like(a, dtype=int), numbers)
            if laid_out.strides == a.strides:
                t.grad = None
                out.backward(w)
                np.testing.assert_array_equal(np.ravel(t.grad)[np.ravel(laid_out, order)], w)
        if order != "K":
            t.grad = None
            out = t.reshape(6, 4, order=order)
            np.testing.assert_array_equal(out.data, a.reshape(6, 4, order=order))
            out.backward(out.data)
            np.testing.assert_array_equal(t.grad, a)


def test_integers_and_booleans_stay_constant_on_the_way() -> None:
    t = Tensor([1.5, 2.5])
    assert t.astype(int).node is None
    assert t.astype(np.float32).node is not None
    assert np.flip(Tensor([1, 2])).data.tolist() == [2, 1]
    assert np.pad(Tensor([1, 2]), 1, "mean").data.tolist() == np.pad([1, 2], 1, "mean").tolist()
    assert np.pad(Tensor([1, 5]), 2, "linear_ramp").data.tolist() == np.pad([1, 5], 2, "linear_ramp").tolist()


def test_moving_infinities_and_nan_around_is_exact() -> None:
    x = np.array([[np.inf, 1.0], [np.nan, -np.inf]])
    for f in (
        lambda a: np.tril(a), lambda a: np.pad(a, 1), lambda a: np.pad(a, 2, "reflect"), lambda a: np.diag(np.diag(a)),
        lambda a: np.insert(a, 1, 0.0, axis=1), lambda a: np.tile(a, 2),
        lambda a: np.pad(a[:, 1:], ((3, 0), (0, 0)), "reflect", reflect_type="odd"),
    ):  # fmt: skip
        np.testing.assert_array_equal(f(Tensor(x)).data, f(x))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: np.pad(t, 1, lambda *args: None), NotImplementedError, "no function as mode"),
        (lambda t: np.pad(t, 1, "nowhere"), ValueError, "not supported"),
        (lambda t: np.pad(t, 1, "edge", constant_values=1), ValueError, "unsupported keyword"),
        (lambda t: np.pad(t, -1), ValueError, "negative"),
        (lambda t: np.pad(t, 1.5), TypeError, "integral"),
        (lambda t: np.pad(t[:0], 1, "edge"), ValueError, "empty axis 0"),
        (lambda t: np.pad(t, 1, "maximum", stat_length=0), ValueError, "stat_length of 0"),
        (lambda t: np.flip(t, 2), np.exceptions.AxisError, "axis 2"),
        (lambda t: np.fliplr(t[0]), ValueError, "2-d"),
        (lambda t: np.flipud(t[0, 0]), ValueError, "1-d"),
        (lambda t: np.rot90(t, axes=(0, 0)), ValueError, "Axes"),
        (lambda t: np.moveaxis(t, 0, 5), np.exceptions.AxisError, "axis 5"),
        (lambda t: np.matrix_transpose(t[0]), ValueError, "at least 2-dimensional"),
        (lambda t: np.squeeze(t, 0), ValueError, "not equal to one"),
        (lambda t: np.split(t, 4), ValueError, "equal division"),
        (lambda t: np.hsplit(t[0, 0], 1), ValueError, "1 or more dimensions"),
        (lambda t: np.dsplit(t, 1), ValueError, "3 or more dimensions"),
        (lambda t: np.diag(t[None]), ValueError, "1- or 2-d"),
        (lambda t: np.take(t, [1.0]), TypeError, "Cannot cast"),
        (lambda t: np.take(t, 9), IndexError, "out of bounds"),
        (lambda t: np.take_along_axis(t, np.zeros((1, 1)), 0), IndexError, "integer"),
        (lambda t: np.take_along_axis(t, np.array([0]), 0), ValueError, "dimension"),
        (lambda t: np.choose([2], [t, t]), ValueError, "invalid entry"),
        (lambda t: np.block([[t], t]), ValueError, "depths are mismatched"),
        (lambda t: np.repeat(t, [1, 2], axis=1), ValueError, "broadcast"),
        (lambda t: np.linspace(t, t, -1), ValueError, "non-negative"),
        (lambda t: np.apply_along_axis(np.sum, 0, t[:, :0]), ValueError, "iteration dimensions"),
        (lambda t: np.concatenate([t, t], axis=2), np.exceptions.AxisError, "axis 2"),
        (lambda t: np.broadcast_to(t, (2, 2)), ValueError, "broadcast"),
        (lambda t: np.delete(t, 9, axis=0), IndexError, "out of bounds"),
        (lambda t: np.sort_complex(t), TypeError, "no derivative rule"),
    ],
)
def test_errors_are_those_of_numpy(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(Tensor(np.ones((2, 3))))


def test_apply_along_axis_gives_the_function_tensors_and_takes_numbers() -> None:
    x = Tensor(np.arange(1.0, 7).reshape(2, 3))
    np.apply_along_axis(lambda row: [row[0] * row[1], 1.0], 1, x).sum().backward()
    np.testing.assert_array_equal(x.grad, [[2, 1, 0], [5, 4, 0]])


def test_every_array_method_that_reads_is_a_tensor_method() -> None:
    t = Tensor(np.arange(6.0).reshape(2, 3))
    for name, args in {
        "ravel": (), "flatten": (), "transpose": (), "swapaxes": (0, 1), "squeeze": (), "repeat": (2, 1),
        "take": ([0, 1],), "diagonal": (), "copy": (), "astype": (np.float32,), "compress": ([True], 0),
        "reshape": (3, 2), "argmin": (),
        "all": (), "any": (), "tolist": (), "item": (4,),
    }.items():  # fmt: skip
        found = getattr(t, name)(*args)
        np.testing.assert_array_equal(getattr(found, "data", found), getattr(t.data, name)(*args))
    for name in ("T", "mT"):
        np.testing.assert_array_equal(getattr(t, name).data, getattr(t.data, name))


SQUARE, COUNT = np.array([[3.0, 1.0], [2.0, 4.0]]), np.array(3)
READ: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "argmax": (SQUARE, ()), "argmin": (SQUARE, ()), "argsort": (SQUARE, ()), "argpartition": (SQUARE, (1,)),
    "searchsorted": (SQUARE[1], (3.0,)), "take": (SQUARE, ([1, 2],)), "compress": (SQUARE, ([False, True],)),
    "dot": (SQUARE, (SQUARE,)), "astype": (SQUARE, (int,)), "trace": (SQUARE, ()), "cumsum": (SQUARE, ()),
    "cumprod": (SQUARE, ()), "round": (SQUARE / 3, (1,)), "copy": (SQUARE, ()), "diagonal": (SQUARE, ()),
    "repeat": (SQUARE, (2,)), "choose": (np.array([1, 0]), ([5.0, 6.0],)), "nonzero": (SQUARE, ()),
    "tolist": (SQUARE, ()), "item": (COUNT, ()), "__bool__": (COUNT, ()), "__float__": (COUNT, ()),
    "__int__": (COUNT, ()), "__index__": (COUNT, ()), "__complex__": (COUNT, ()), "__array__": (SQUARE, ()),
    "__iter__": (SQUARE[0], ()),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_placeholder_delegates_value_methods_to_its_tensor(name: str) -> None:
    class StandsIn(np.ndarray):
        """An array of zeros."""

    array, args = READ[name]
    delegate_methods(StandsIn, lambda _: Tensor(array))
    wanted, found = (getattr(x, name)(*args) for x in (array, np.zeros_like(array).view(StandsIn)))
    wanted, found = (list(x) if name == "__iter__" else x for x in (wanted, found))
    np.testing.assert_array_equal(stored_array(found), wanted)
    assert name in vars(ShapePlaceholder)
    assert name in vars(SamplePlaceholder)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("divide", "t.at[index].multiply(1 / value)"), ("subtract", "t.at[index].add(-value)"), ("get", "t[index]"),
        ("apply", "t.at[index].set(f(t[index]))"), ("maximum", "t.at[index].max(value)"), ("fill", "but no 'fill'."),
    ],
)  # fmt: skip
def test_an_update_that_there_is_not_says_what_to_write(name: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(instead)):
        getattr(Tensor(np.ones(2)).at[0], name)


@pytest.mark.parametrize("update", [
    np.subtract, np.divide, np.power, np.maximum, np.minimum,
    operator.sub, operator.mul, operator.truediv, operator.pow,
])  # fmt: skip
def test_what_to_write_for_an_update_that_there_is_not_does_it(update: Any) -> None:
    x, value = np.array([3.0, 5.0, 7.0]), np.array([2.0, 8.0])
    name = {"truediv": "div"}.get(update.__name__, update.__name__)
    with pytest.raises(AttributeError) as error:
        getattr(Tensor(x).at[0], name)
    edit = str(error.value).partition("Write ")[2][:-1]
    wanted = x.copy()
    wanted[[2, 0]] = update(x[[2, 0]], value)
    found = eval(edit, {"t": Tensor(x), "index": [2, 0], "value": value})
    np.testing.assert_allclose(found.data, wanted, rtol=1e-15)


@pytest.mark.parametrize("name", ["set", "add", "multiply", "min", "max"])
def test_an_update_of_another_shape_raises_with_both_shapes(name: str) -> None:
    for index, place, n in ((0, "(3,)", 4), ((0, 1), "()", 4), (slice(None), "(2, 3)", 4), (slice(None), "(2, 3)", 2)):
        said = re.escape(f"names entries of shape {place}, and the value has shape ({n},)")
        with pytest.raises(ValueError, match=said):
            getattr(Tensor(np.ones((2, 3))).at[index], name)(np.ones(n))
