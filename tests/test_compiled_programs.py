"""Realistic programs, compiled: the same results for other values, lengths, dtypes and memory, call after call."""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_nn import (
    compile,
    cond,
    grad,
    hessian,
    jacobian,
    jvp,
    logsumexp,
    scan,
    value_and_grad,
    vjp,
    vmap,
    while_loop,
)
from tinygrad_nn.compiled.program import rolled as rolling
from tinygrad_nn.tensor import Tensor
from tinygrad_nn.tree import flatten

T = 24


@pytest.fixture(autouse=True)
def short_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops of few operations are rolled too, which keeps the tests quick."""
    monkeypatch.setattr(rolling, "LEAST", 24)


class Pair(NamedTuple):
    first: Any
    second: Any


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape) * 0.4


def leaves(nest: Any) -> list[Any]:
    return [x.data if isinstance(x, Tensor) else x for x in flatten(nest)[0]] if nest is not None else []


def same(found: Any, wanted: Any) -> None:
    """Two nests have the same arrays to the last bit."""
    left, right = leaves(found), leaves(wanted)
    assert len(left) == len(right)
    for a, b in zip(map(np.asarray, left), map(np.asarray, right), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def close(found: Any, wanted: Any) -> None:
    """Two nests have the same arrays, up to rounding in numbers with a point."""
    for a, b in zip(map(np.asarray, leaves(found)), map(np.asarray, leaves(wanted)), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        size = np.abs(b).max(initial=0) if b.dtype.kind in "fc" else 0
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * np.finfo(b.dtype).eps * size if size else 0)


def rows() -> list[tuple[Any, ...]]:
    """Calls with arrays of rows: other lengths, dtypes and memory."""
    x = numbers(T, 3)
    shown = numbers(T, 3, seed=1)
    shown.setflags(write=False)
    return [
        (x,), (numbers(5, 3),), (numbers(1, 3),), (numbers(2, 3),), (x.astype(np.float32),), (x[::-1],),
        (numbers(T, 6)[:, ::2],), (np.asfortranarray(x),), (shown,), (np.broadcast_to(x[0], x.shape),), (-x,),
    ]  # fmt: skip


# -- Loops of Python


def after_next(x: Any) -> Any:
    total = x[0] * 0
    for t in range(len(x) - 1):
        total = total + np.tanh(x[t] * x[t + 1])
    return total


def from_both_ends(x: Any) -> Any:
    total = x[0] * 0
    for t in range(len(x)):
        total = np.sin(total) + x[t] * x[len(x) - 1 - t]
    return total


def every_other(x: Any) -> Any:
    total = x[0] * 0
    for t in range(len(x) // 2):
        total = total * 0.5 + x[2 * t]
    return total


def stacked(x: Any) -> Any:
    h, path = x[0] * 0, []
    for t in range(len(x)):
        h = np.tanh(h + x[t])
        path.append(h)
    return np.stack(path, axis=1), np.concatenate(path[::-1]), h


def even_and_odd(x: Any) -> Any:
    h = x[0] * 0
    for t in range(len(x)):
        h = h + x[t] if t % 2 == 0 else h * 0.5 - x[t] ** 2
    return h


def first_and_last_differ(x: Any) -> Any:
    h = x[0]
    for t in range(1, len(x)):
        h = np.sin(h) + x[t] if t < len(x) - 1 else h * x[t]
    return h


def constants_anew(x: Any) -> Any:
    h = np.zeros(3)
    for t in range(len(x)):
        h = h * np.ones(3) * 0.5 + np.arange(3) * t * x[t]
    return h


def swapped(x: Any) -> Any:
    a, b, c = x[0], x[-1], x[0] * 2
    for t in range(len(x)):
        a, b, c = b, c, np.tanh(a + x[t] * c)
    return a, b, c


def both_ways(x: Any) -> Any:
    def along(order: Any) -> list[Any]:
        h, path = x[0] * 0, []
        for t in order:
            h = np.tanh(0.5 * h + x[t])
            path.append(h)
        return path

    forth, back = along(range(len(x))), along(reversed(range(len(x))))
    return np.stack([np.concatenate(pair) for pair in zip(forth, back[::-1], strict=True)])


def loop_in_a_loop(x: Any) -> Any:
    total = x[0] * 0
    for i in range(min(len(x), 9)):
        inner = x[0] * 0
        for j in range(min(len(x), 9)):
            inner = inner + x[i] * np.cos(x[j])
        total = np.tanh(total + inner)
    return total


def whole_numbers(x: Any) -> Any:
    count, small = np.zeros(3, int), np.ones(3, np.int8)
    for t in range(len(x)):
        count = (count * 3 + (x[t] > 0)) % 17
        small = small * np.int8(3) + (x[t] > 0).astype(np.int8)
    return count, small


def complex_state(x: Any) -> Any:
    z = x[0] * 0j
    for t in range(len(x)):
        z = z * np.exp(0.3j) + x[t]
    return z.real, z.imag


def descent(x: Any) -> Any:
    w = x[0] * 0 + 0.1
    for t in range(len(x)):
        w = w - 0.1 * grad(lambda w, t=t: ((w * x[t]).sum() - 1) ** 2)(w)
    return w


def vmap_in_a_loop(x: Any) -> Any:
    h = x[0] * 0
    for t in range(len(x)):
        h = vmap(lambda a, b: np.sin(a) + b * a)(h, x[t])
    return h


def clock(x: Any) -> Any:
    h, time = x[0] * 0, 0.0
    for t in range(len(x)):
        h, time = h + np.sin(time * x[t]), time + 0.1
    return h, time


def thomas(x: Any) -> Any:
    c, d = [-0.25], [x[0, 0] / 4]
    for t in range(1, len(x)):
        below = 4.0 + c[-1]
        c.append(-1 / below)
        d.append((x[t, 0] + d[-1]) / below)
    y = [d[-1]]
    for t in range(len(x) - 2, -1, -1):
        y.append(d[t] - c[t] * y[-1])
    return np.stack(y[::-1])


def added_in_place(x: Any) -> Any:
    h = x[0] * 0
    for t in range(len(x)):
        h *= 0.5
        h += x[t]
    return h


# -- Loops and branches that depend on values


def mixed_state(x: Any) -> Any:
    def step(state: Any, row: Any) -> Any:
        h, n, odd = state["h"], state["n"], state["odd"]
        return {"h": np.tanh(h + row), "n": n + 1, "odd": odd ^ (row.sum() > 0)}, (n, odd)

    return scan(step, {"h": np.zeros(3, x.dtype), "n": np.int32(0), "odd": np.bool_(False)}, x)


def branches_in_a_scan(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        return cond(row[0] > 0, lambda c: c + row, lambda c: c * 0.5, c), c

    return scan(step, np.zeros(3, x.dtype), x)


def while_in_a_scan(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        return while_loop(lambda d: (d * d).sum() > 0.5, lambda d: d * 0.7, c + row), c

    return scan(step, np.zeros(3, x.dtype), x, reverse=True)


def scan_in_a_loop(x: Any) -> Any:
    c = np.zeros(3, x.dtype)
    for _ in range(3):
        c, path = scan(lambda c, row: (np.tanh(c + row), c), c, x)
    return c, path


def no_turn(x: Any) -> Any:
    stays = while_loop(lambda c: c.sum() > 1e9, lambda c: c * 2, x)
    return stays, scan(lambda c, _: (np.sin(c), c), x[0], length=0)


def whole_condition(x: Any) -> Any:
    return while_loop(lambda c: c[1], lambda c: (c[0] * 1.1 + x[0], c[1] - 1), (x[0] * 1, 5))[0]


def counted(x: Any) -> Any:
    keep, other = lambda d: {"a": d["a"] + 1, "n": d["n"]}, lambda d: {"a": d["a"] * 2, "n": d["n"] + 1}
    return cond(x[0, 0] > 0, keep, other, {"a": x, "n": 3})


LOOPS = [
    after_next, from_both_ends, every_other, stacked, even_and_odd, first_and_last_differ, constants_anew, swapped,
    both_ways, loop_in_a_loop, whole_numbers, complex_state, descent, vmap_in_a_loop, clock, thomas, added_in_place,
    mixed_state, branches_in_a_scan, while_in_a_scan, scan_in_a_loop, no_turn, whole_condition, counted,
]  # fmt: skip


def ordered(call: tuple[Any, ...]) -> bool:
    return all(x.flags.c_contiguous for x in call)


@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_loops_give_what_the_function_gives_for_other_lengths_dtypes_and_memory(f: Callable[..., Any]) -> None:
    quick, kept = compile(f, backend="numpy"), []
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="compiled (?!.*was traced)")
        for call in [*rows(), *rows()[:2]]:
            found = quick(*call)
            (same if ordered(call) else close)(found, f(*call))
            kept.append((leaves(found), [np.copy(x) for x in leaves(found)]))
    for found, copies in kept:
        same(found, copies)


NUMBA_LOOPS = [from_both_ends, stacked, even_and_odd, constants_anew, both_ways, clock, mixed_state, branches_in_a_scan]


@pytest.mark.slow
@pytest.mark.parametrize("f", NUMBA_LOOPS, ids=lambda f: f.__name__)
def test_loops_of_machine_code_give_what_the_function_gives_up_to_rounding(f: Callable[..., Any]) -> None:
    pytest.importorskip("numba")
    pulled = lambda x: sum(np.sin(part).sum() for part in flatten(f(x))[0] if part.dtype.kind == "f")
    wanted = value_and_grad(pulled) if f is not clock else f
    quick = compile(wanted, backend="numba")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="compiled (?!.*was traced)")
        for call in [*rows()[:7], *rows()[:1]]:
            close(quick(*call), wanted(*call))


def carried_times_row(x: Any) -> Any:
    return scan(lambda c, row: (c * 0.5 + row, c @ row), np.ones((3, 3), x.dtype), x)


@pytest.mark.slow
def test_what_a_step_returns_of_a_product_is_written() -> None:
    pytest.importorskip("numba")
    quick = compile(carried_times_row, backend="numba")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in (numbers(12, 3), numbers(2, 3), numbers(12, 3, seed=1)[::-1]):
            close(quick(call), carried_times_row(call))


# -- Whose arrays

RESULTS: dict[str, Callable[[Any, Any], Any]] = {
    "a copy": lambda a, b: a.copy(),
    "a times one": lambda a, b: (a * 1.0, a / 1, +a, a**1),
    "a turned twice": lambda a, b: np.negative(-a),
    "the same dtype": lambda a, b: (a.astype(a.dtype), b.astype(float)),
    "two copies": lambda a, b: (np.copy(a), np.copy(a)),
    "equal results": lambda a, b: (a * b, a * b, {"again": a * b}),
    "flattened": lambda a, b: [a.flatten(), np.tile(b, 1), np.repeat(a, 1)],
    "zero taken": lambda a, b: (a - 0.0, b * 1, (a + b) * 1),
    "the argument and its copy": lambda a, b: (a, a * 1, b),
}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", RESULTS)
def test_results_share_memory_as_those_of_the_function_do(name: str, backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    f, quick = RESULTS[name], compile(RESULTS[name], backend=backend)
    for seed in range(3):
        given = numbers(3, seed=seed), numbers(3, seed=seed + 9)
        found, wanted = leaves(quick(*given)), leaves(f(*given))
        same(found, wanted)
        every, other = [*given, *found], [*given, *wanted]
        shared = lambda arrays: [[np.shares_memory(x, y) for x in arrays] for y in arrays]
        assert shared(every) == shared(other)


SHAPES: dict[str, Callable[[Any, Any], Any]] = {
    "the argument": lambda a, b: a,
    "twice": lambda a, b: (a, [a], {"a": a, "b": b}),
    "one sum in many places": lambda a, b: (lambda y: (y, [y], {"y": y}))(a + b),
    "nothing": lambda a, b: (None, (), {}, [None, a * 2]),
    "named": lambda a, b: Pair(a + b, Pair(b, None)),
    "constants": lambda a, b: (3, "s", True, None, 2.5, np.arange(3)),
    "keys of all kinds": lambda a, b: {0: a, (1, 2): a * b, "x": {None: b * 2}},
    "views of a result": lambda a, b: (lambda y: (y, y[1:], y[::-1], y.reshape(3, 1)))(a + b),
    "questions": lambda a, b: (np.shape(a), np.ndim(b), str(np.result_type(a, b))),
    "true and false": lambda a, b: (a > b, np.any(a > 0), ~(a > 0), np.count_nonzero(a > 0)),
    "extremes": lambda a, b: (a.max(), b.argmin(), np.maximum(a, b), np.sort(a)),
    "powers": lambda a, b: (a**2, a**2.0, 2**b, b**0, np.sqrt(abs(a))),
}


@pytest.mark.parametrize("name", SHAPES)
def test_results_have_their_containers_and_stay_as_they_are(name: str) -> None:
    f, quick, kept = SHAPES[name], compile(SHAPES[name], backend="numpy"), []
    calls = [(numbers(3, seed=k), numbers(3, seed=k + 5)) for k in range(3)]
    for call in [*calls, (calls[0][0].astype(np.float32), calls[0][1][::-1]), calls[0]]:
        found, wanted = quick(*call), f(*call)
        assert type(found) is type(wanted)
        assert str(found) == str(wanted)
        same(found, wanted)
        kept.append((leaves(found), [np.copy(x) for x in leaves(found)]))
    for found, copies in kept:
        same(found, copies)


def test_a_scalar_argument_is_returned_as_a_scalar() -> None:
    for x in (np.float64(2), np.float32(3), np.int64(4)):
        assert type(compile(lambda x: (x, x + x), backend="numpy")(x)[0]) is type(x)


# -- What writes into arrays


@pytest.mark.parametrize(("f", "shape"), [
    (lambda a: a.__imul__(2), (3,)), (lambda a: a[1:].__iadd__(1), (3,)),
    (lambda a: (lambda b: b.__isub__(1))(a.reshape(3, 1)), (3,)),
    (lambda a: a.__iadd__(1), ()), (lambda a: a[...].__imul__(2), ()), (lambda a: a.T.__isub__(1), ()),
    (lambda a: a[..., 1].__iadd__(1), (3,)), (lambda a: a.reshape(()).__iadd__(1), (1,)),
])  # fmt: skip
def test_an_in_place_operator_on_an_argument_warns(f: Callable[..., Any], shape: tuple[int, ...]) -> None:
    ours, theirs = np.ones(shape), np.ones(shape)
    quick = compile(f, backend="numpy")
    with pytest.warns(RuntimeWarning, match="= writes into an argument"):
        same(quick(ours), f(theirs))
    same(quick(ours), f(theirs))
    same(ours, theirs)


@pytest.mark.parametrize("x", [np.arange(1.0, 4.0), np.array(2.0), np.float64(3), 4.0])
def test_an_operator_gives_a_number_another_name(x: Any) -> None:
    def f(x: Any) -> Any:
        first = x[0] if np.ndim(x) else x * 1
        first += 1
        return first, x

    quick = compile(f, backend="numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(quick(x), f(x))


def test_an_array_keeps_its_dtype_where_an_operator_writes_into_it() -> None:
    def single(a: Any) -> Any:
        b = a.astype(np.float32)
        b += 0.1 * a
        return b

    def whole(a: Any) -> Any:
        b = a.astype(int)
        b += 0.5
        return b

    x = numbers(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(compile(single, backend="numpy")(x), single(x))
    with pytest.raises(TypeError, match="same_kind"):
        compile(whole, backend="numpy")(x)


def test_writing_into_an_array_with_two_names_warns_with_the_line() -> None:
    def two_names(a: Any) -> Any:
        b = c = a * 2
        b += 1
        return c

    with pytest.warns(RuntimeWarning, match=r"test_compiled_programs.py:\d+ writes into an array that has two names"):
        same(compile(two_names, backend="numpy")(numbers(3)), two_names(numbers(3)))


def test_keeping_an_array_for_the_next_call_warns() -> None:
    memory: dict[str, Any] = {}

    def remembers(a: Any) -> Any:
        memory.setdefault("first", a * 2)
        return memory["first"] + a

    with (
        pytest.warns(RuntimeWarning, match="keeps an array for its next call"),
        pytest.raises(TypeError, match="belongs to a compiled call that has ended"),
    ):
        compile(remembers, backend="numpy")(numbers(3))


# -- Truth values


@pytest.mark.parametrize("f", [
    lambda a, b: a.conj(), lambda a, b: np.log(a.conj() + 1) * b,
    lambda a, b: a[[0, 1, 1]] * b, lambda a, b: a.take([2, 0, 1]) + b,
])  # fmt: skip
def test_boolean_results_stay_boolean_and_can_select(f: Callable[..., Any]) -> None:
    quick = compile(f, backend="numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(3):
            given = numbers(3, seed=seed) > 0, numbers(3, seed=seed + 3)
            same(quick(*given), f(*given))


# -- Dtypes in one kernel

MIXED: dict[str, tuple[Callable[[Any, Any], Any], str, str]] = {
    "products of bytes overflow": (lambda a, b: 1 / (a * a + 1) + b, "u1", "f8"),
    "sums of bytes overflow": (lambda a, b: (a * 3 - 1) * b + a, "u1", "f4"),
    "products of small numbers overflow": (lambda a, b: a * a * np.int32(77_777) * 0.5 + b, "i4", "f8"),
    "a negative byte": (lambda a, b: -a * 0.5 + np.where(b > 0, -a, a), "u1", "f8"),
    "a sum of small numbers": (lambda a, b: (a * 21_000_000).sum(dtype=np.int32) * 0.5 + b, "i4", "f8"),
    "a stack of small and single": (lambda a, b: np.stack([a, b]) * 2, "i1", "f4"),
    "large and signed joined": (lambda a, b: np.concatenate([a, b]), "u8", "i8"),
    "truth among numbers": (lambda a, b: np.where(a, b, 1) * 2 + a, "?", "f4"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXED)
def test_kernels_compute_in_the_dtypes_that_numpy_has(name: str) -> None:
    pytest.importorskip("numba")
    f, one, other = MIXED[name]
    rng, quick = np.random.default_rng(0), compile(f, backend="numba")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            given = rng.integers(0, 2 if one == "?" else 120, 6).astype(one), (4 * rng.normal(size=6)).astype(other)
            close(quick(*given), f(*given))


# A function, and values for which it is finite only in the order in which it is written.
EXTREME: dict[str, tuple[Callable[..., Any], str, tuple[float, ...]]] = {
    "a small factor of a quotient": (lambda x, y, z: x / y * z, "f4", (1e-20, 1e-20, 1e-26)),
    "a large factor of a quotient": (lambda x, y, z: x / y * z, "f4", (1e20, 1e20, 1e26)),
    "a constant factor of a quotient": (lambda x, y: x / y * 1e30, "f4", (1e12, 1e13)),
    "a quotient of a constant": (lambda x: 1e200 / x * 1e200, "f8", (1e200,)),
    "two constant factors": (lambda x: x * 1e200 * 1e200, "f8", (1e-100,)),
    "a factor twice": (lambda x, y: x * y * x, "f8", (1e200, 1e-200)),
    "the gradient of a length": (lambda x, g: grad(lambda x: (np.hypot(x, 1e-20) * g).sum())(x), "f4", (1e-20, 1e-25)),
    "exp too large for its dtype": (lambda x: np.isinf(np.exp(x)), "f4", (100.0,)),
    "products of exp": (lambda x, y: np.exp(x) * np.exp(y), "f4", (90.0, -90.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTREME)
def test_kernels_multiply_in_the_order_and_precision_of_the_function(name: str) -> None:
    pytest.importorskip("numba")
    f, dtype, values = EXTREME[name]
    quick = compile(f, backend="numba")
    with np.errstate(all="ignore"):
        for given in ([np.full(8, 1.5, dtype) for _ in values], [np.full(8, value, dtype) for value in values]):
            # A few operations, each rounded once more or less: a few last digits.
            np.testing.assert_allclose(quick(*given), f(*given), rtol=16 * np.finfo(dtype).eps, atol=0)


def _doubled(x: Any) -> Any:
    x *= 2.0
    x += np.arange(3.0)
    return x


def test_an_operator_gives_a_tensor_another_name_and_writes_nowhere() -> None:
    """What is differentiated or mapped is a Tensor, as in the function that is not compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in (grad(lambda x: (_doubled(x) ** 2).sum()), vmap(_doubled), grad(lambda x: vmap(_doubled)(x).sum())):
            quick = compile(f, backend="numpy")
            for shift in (0.0, 1.0, 2.0):
                x = np.arange(6.0).reshape(2, 3) + shift
                kept = x.copy()
                np.testing.assert_array_equal(quick(x), f(kept.copy()))
                np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize(
    ("dtype", "other"),
    [(float, np.ones((2, 3))), (int, np.ones(3)), (int, 0.5), ("f4", np.ones((2, 3))), ("f4", np.ones(3) + 1j)],
)  # fmt: skip
def test_what_an_array_cannot_take_in_place_is_numpys_error(dtype: Any, other: Any) -> None:
    def f(a: Any, b: Any) -> Any:
        c = a * 2
        c += b
        return c

    a = np.arange(3).astype(dtype)
    with pytest.raises((ValueError, TypeError)) as wanted:
        f(a, other)
    with pytest.raises(type(wanted.value)) as found:
        compile(f, backend="numpy")(a, other)
    assert str(found.value).partition(" (")[0] == str(wanted.value).partition(" (")[0]


def test_an_in_place_sum_takes_the_dtype_of_the_added_value() -> None:
    def f(a: Any, b: Any) -> Any:
        s = a.sum()
        s += b
        return s

    quick = compile(f, backend="numpy")
    for shift in (0.1, 0.2, 0.3):
        a, b = np.arange(3, dtype="f4"), np.float64(shift)
        assert (quick(a, b), quick(a, b).dtype) == (f(a, b), np.float64)


def _halved(r: Any) -> Any:
    return while_loop(lambda c: (c * c).sum() > 0.05, lambda c: c * 0.6 * np.cos(c), r)


def _counted(r: Any, k: Any) -> Any:
    start = (0, r)
    return while_loop(lambda s: (s[0] < 5) & (s[1].sum() < k), lambda s: (s[0] + 1, s[1] * 1.3 + np.exp(r)), start)


def _alike(r: Any, k: Any) -> Any:
    return cond(k > 0.5, lambda r: {"a": np.sin(r), "b": 1.0}, lambda r: {"a": r * k, "b": 2.0}, r)["a"]


SAMPLES: dict[str, Callable[[Any, Any], Any]] = {
    "a loop": lambda x, k: vmap(_halved)(x),
    "a loop over several": lambda x, k: vmap(lambda r: _counted(r, k))(x),
    "a loop in a loop of samples": lambda x, k: vmap(vmap(lambda e: _counted(e, k)[1]))(x),
    "a gradient around": lambda x, k: grad(lambda x: (vmap(lambda r: _counted(r, k)[1])(x) ** 2).sum())(x),
    "a gradient of each": lambda x, k: vmap(value_and_grad(lambda r: _counted(r, k)[1].sum()))(x),
    "second derivatives of each": lambda x, k: vmap(hessian(lambda r: (_halved(r) ** 2).sum()))(x),
    "one branch for all": lambda x, k: vmap(lambda r: _alike(r, k))(x),
    "a gradient of one branch": lambda x, k: grad(lambda x, k: vmap(lambda r: _alike(r, k))(x).sum(), (0, 1))(x, k),
    "in a scan": lambda x, k: scan(lambda c, r: (vmap(lambda e: _halved(e))(c + r), c), np.zeros(3), x),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_go_through_loops_and_branches_at_once(name: str) -> None:
    x = numbers(4, 3) * 3
    agrees(SAMPLES[name], (x, 2.0), (-x, 0.3), (x * 0, 1.0), (numbers(2, 3, seed=1), 5.0))


# -- Decisions that depend on values are made in every call: metadata of an operation, and what its rules do with it

PLACES, MASKS = [np.array([0, 1, 2]), np.array([2, 2, 2]), np.array([1, 0, 1])], [np.arange(3) < 2, np.arange(3) > 1]
DECIDED: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "a constant Tensor is indexed": (lambda x, i: Tensor(np.eye(3), False)[i] @ x, PLACES),
    "constants are put": (lambda x, i: Tensor(np.eye(3), False).at[i].set(np.arange(3.0)) + x, PLACES),
    "rows are added": (lambda x, i: Tensor(np.zeros(3), False).at[i].add(x), PLACES),
    "ones are added": (lambda x, i: Tensor(np.zeros(3), False).at[i].add(1.0) * x, PLACES),
    "the last wins": (grad(lambda x, i: (x.at[i].set(x**2) ** 2).sum()), PLACES),
    "the last wins twice": (hessian(lambda x, i: (x.at[i].set(x**2) ** 2).sum()), PLACES),
    "the last wins forward": (lambda x, i: jvp(lambda x: x.at[i].set(x**2), (x,), (x,)), PLACES),
    "the last wins in each": (lambda x, i: jacobian(lambda x: x.at[i].set(x**2))(x), PLACES),
    "in samples": (lambda x, i: vmap(grad(lambda r: (r.at[i].set(r * x) ** 2).sum()))(np.outer(x, x)), PLACES),
    "one of them": (grad(lambda x, i: (x.at[i[0]].multiply(x[1]) ** 2).sum()), PLACES),
    "a mean where": (grad(lambda x, m: np.mean(x, where=m) ** 2), MASKS),
    "a spread where": (grad(lambda x, m: np.std(x, where=m | (np.arange(3) == 0)) + np.var(x, where=m)), MASKS),
    "the largest where": (grad(lambda x, m: np.max(x, where=m, initial=-9.0) ** 2), MASKS),
    "a product where": (grad(lambda x, m: np.prod(x, where=m) ** 2), MASKS),
}


def agrees(f: Callable[..., Any], *calls: tuple[Any, ...], backend: str = "numpy") -> None:
    """A compiled function gives the same in each call, and nothing is told."""
    quick = compile(f, backend=backend)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="compiled (?!.*was traced)")
        for call in calls:
            close(quick(*call), f(*call))


@pytest.mark.parametrize("name", DECIDED)
def test_what_an_index_or_a_mask_decides_is_decided_in_each_call(name: str) -> None:
    f, parts = DECIDED[name]
    agrees(f, *[(numbers(3, seed=k) + 1, part) for k, part in enumerate([*parts, parts[0]])])


def test_multiplying_at_equal_indices_warns() -> None:
    f = grad(lambda x, y, i: (x.at[i].multiply(y) ** 2).sum(), (0, 1))
    quick, x, y = compile(f, backend="numpy"), numbers(3), numbers(3, seed=1)
    with pytest.warns(RuntimeWarning, match="turned into a plain array"):
        same(quick(x, y, PLACES[0]), f(x, y, PLACES[0]))
    for i in PLACES[1:]:
        same(quick(x, y, i), f(x, y, i))


SLOPES: dict[str, Callable[[Any], Any]] = {
    "a Hessian": lambda x: hessian(lambda w: ((x @ w - 1) ** 2).sum() + (w * w).sum())(np.zeros(3)),
    "a Jacobian": lambda x: jacobian(lambda w: (x @ w - 1) ** 2)(np.ones(3)),
    "of no argument": lambda x: hessian(lambda w: (w**3).sum())(np.ones(3)) @ x[0],
    "a direction": lambda x: jvp(lambda w: (x @ w - 1) ** 2, (np.ones(3),), (np.ones(3),)),
    "a cotangent": lambda x: vjp(lambda w: (x @ w - 1) ** 2, np.ones(3))[1](np.ones(len(x))),
    "a step of Newton": lambda x: np.linalg.solve(
        hessian(lambda w: ((x @ w - 1) ** 2).sum() + (w * w).sum())(np.zeros(3)), x[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOPES)
def test_derivatives_at_constants_depend_on_arguments(name: str) -> None:
    agrees(SLOPES[name], (numbers(4, 3),), (numbers(4, 3, seed=1),), (numbers(2, 3),))


# -- Numbers of Python

def _scaled(x: Any, a: Any) -> Any:
    return cond(a > 0.5, lambda a: a * x, lambda a: a + x, a), cond(a > 0.5, lambda: 2.0, lambda: 3.0) * x


NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "a gradient": lambda x, a: value_and_grad(lambda x, a: (a * x).sum(), (0, 1))(x, a),
    "a Tensor": lambda x, a: Tensor(a, False) * x,
    "a direction": lambda x, a: jvp(lambda a: a * x, (a,), (1.0,)),
    "a cotangent": lambda x, a: vjp(lambda a: a * x, a)[1](x),
    "a shape": lambda x, a: (np.reshape(a, (1,)) * x, np.broadcast_to(a, 3) * x, np.ravel(a) * x, np.transpose(a) * x),
    "a sum": lambda x, a: (np.mean(a) * x, np.max(a) * x, np.std(a) * x),
    "parts": lambda x, a: (np.append(x, a), np.tile(a, 3) * x, np.outer(x, a)),
    "rounded": lambda x, a: round(a, 1) * x,
    "branches": _scaled,
    "choices": lambda x, a: cond(a > 0.5, lambda a, b: (a * b, b), lambda a, b: (b - a, a), a, 2.0)[1] * x,
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_gives_way_to_a_dtype_where_it_does_so_in_the_function(name: str) -> None:
    for dtype in ("f4", "f8"):
        x = numbers(3).astype(dtype)
        agrees(NUMBERS[name], (x, 0.3), (x, 0.7), (-x, 0.3))


def test_a_carry_keeps_its_dtype_also_beside_a_number() -> None:
    def grows(A: Any, b: Any) -> Any:
        return while_loop(lambda s: s[1] < 3, lambda s: (s[0] + A @ s[0], s[1] + 1), (b, 0))[0]

    A, b = numbers(3, 3), numbers(3).astype(np.float32)
    with pytest.raises(TypeError, match="which was float32"):
        grows(A, b)
    with pytest.raises(TypeError, match="which was float32"):
        compile(grows, backend="numpy")(A, b)


# -- Random numbers

DRAWN: dict[str, tuple[Any, ...]] = {
    "pareto": (3.0,), "power": (2.0,), "vonmises": (0.0, 1.0), "wald": (1.0, 2.0), "zipf": (2.0,), "f": (2.0, 3.0),
    "hypergeometric": (5, 5, 3), "logseries": (0.5,), "negative_binomial": (3, 0.5), "noncentral_chisquare": (2.0, 1.0),
    "noncentral_f": (2.0, 3.0, 1.0), "multivariate_hypergeometric": ([3, 4, 5], 4), "permutation": (4,),
    "permuted": ([1.0, 2.0, 3.0],), "choice": ([1.0, 2.0, 3.0],), "random": (), "integers": (9,), "normal": (),
}  # fmt: skip


def drawn(f: Callable[..., Any], *calls: tuple[Any, ...]) -> None:
    """A compiled function draws what the function draws, and leaves the generator where that does."""
    quick = compile(f, backend="numpy")
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in calls:
            same(quick(ours, *call), f(theirs, *call))
            assert ours.bit_generator.state == theirs.bit_generator.state


@pytest.mark.parametrize("name", DRAWN)
def test_numbers_of_every_kind_are_drawn_in_each_call(name: str) -> None:
    x = numbers(3).astype(np.float32)
    drawn(lambda rng, x: (getattr(rng, name)(*DRAWN[name]) * x[0], getattr(rng, name)(*DRAWN[name])), (x,), (x,), (-x,))


def test_every_draw_of_numpy_is_known() -> None:
    from tinygrad_nn.compiled.trace.draws import OTHERS, Drawing

    names = [name for name in dir(np.random.Generator) if name[0] != "_"]
    theirs = [name for name in names if getattr(Drawing, name) is getattr(np.random.Generator, name)]
    assert theirs == ["bit_generator"]
    assert set(names) >= OTHERS


@pytest.mark.parametrize("f", [
    lambda rng, x, s: (rng.normal(x, s), rng.uniform(-s, s, 3), rng.normal(loc=x, scale=s, size=(2, 3))),
    lambda rng, x, s: (rng.choice(x), rng.choice(x, 2, False), rng.choice(3, p=abs(x) / abs(x).sum())),
    lambda rng, x, s: (rng.permutation(x), rng.permuted(x), rng.binomial(3, abs(np.tanh(x))), rng.poisson(abs(x))),
    lambda rng, x, s: np.where(rng.random() < s, x, -x) * rng.random(),
])  # fmt: skip
def test_parameters_of_draws_may_depend_on_arguments(f: Callable[..., Any]) -> None:
    x = numbers(3).astype(np.float32)
    drawn(f, (x, 0.3), (-x, 0.7), (2 * x, 0.3))


def test_how_much_is_drawn_is_fixed() -> None:
    drawn(lambda rng, n: (rng.normal(size=n), rng.random((n, 2)), rng.permutation(n)), (3,), (4,), (3,))


@pytest.mark.parametrize(("f", "told"), [
    (lambda rng, x: rng.random(out=np.zeros(3)) + x, "out=. writes into an array"),
    (lambda rng, x: x + np.frombuffer(rng.bytes(3), np.uint8), "gives no array"),
    (lambda rng, x: rng.normal(size=x.astype(int)), "size= of rng.normal"),
])  # fmt: skip
def test_draws_that_cannot_be_recorded_warn(f: Callable[..., Any], told: str) -> None:
    with pytest.warns(RuntimeWarning, match=told):
        found = compile(f, backend="numpy")(np.random.default_rng(0), np.arange(3.0))
    same(found, f(np.random.default_rng(0), np.arange(3.0)))


def test_gradients_do_not_flow_through_a_draw() -> None:
    quick = compile(lambda rng, x: grad(lambda x: (x * rng.normal(x, 1)).sum())(x), backend="numpy")
    with pytest.warns(RuntimeWarning, match="Draw from t.detach"), pytest.raises(TypeError, match="drop its graph"):
        quick(np.random.default_rng(0), np.arange(3.0))


def test_equal_results_that_are_no_views_are_two_arrays() -> None:
    one, other = compile(lambda x: (np.repeat(x, 2, axis=0), np.tile(x, (2, 1))), backend="numpy")(numbers(1, 3))
    same(one, other)
    assert not np.shares_memory(one, other)


# -- Programs of single numbers with numba


def warped(x: Any, y: Any) -> Any:
    before = [0.0] + [1e9] * len(y)
    for i in range(len(x)):
        row = [1e9]
        for j in range(len(y)):
            row.append((x[i] - y[j]) ** 2 + np.minimum(np.minimum(before[j + 1], row[j]), before[j]))
        before = row
    return before[-1]


def middles(x: Any) -> Any:
    found = [x[0]]
    for t in range(1, len(x) - 1):
        least, most = np.minimum(x[t - 1], x[t]), np.maximum(x[t - 1], x[t])
        found.append(np.maximum(least, np.minimum(most, x[t + 1])))
    return np.sin(np.stack(found)).sum()


@pytest.mark.slow
def test_an_empty_batch_leaves_numba_at_work() -> None:
    pytest.importorskip("numba")
    f = value_and_grad(lambda x: np.sin(logsumexp(x, axis=1)).sum())
    agrees(f, (numbers(4, 3),), (np.zeros((0, 3)),), (numbers(2, 3),), backend="numba")


@pytest.mark.slow
@pytest.mark.parametrize(("f", "more"), [(warped, (numbers(7, seed=9),)), (middles, ())])
def test_loops_of_many_single_numbers(f: Callable[..., Any], more: tuple[Any, ...]) -> None:
    pytest.importorskip("numba")
    calls = [(numbers(9 + 15 * (f is middles), seed=k), *more) for k in range(3)]
    agrees(value_and_grad(f, tuple(range(1 + len(more)))), *calls, backend="numba")


# -- Sums of many numbers


LONG = [(4096,), (5000,), (262_144,), (512, 512), (20_000, 3), (3, 20_000), (64, 64, 64), (30, 30, 30, 30),
        (7, 8, 9, 10, 11)]  # fmt: skip
SUMMED: dict[str, Callable[..., Any]] = {
    "all": lambda x: np.sum(np.sqrt(x) * x), "mean": lambda x: (x * x).mean(),
    "last": lambda x: np.sum(np.sqrt(x) * x, axis=-1), "first": lambda x: np.sum(np.sqrt(x) * x, axis=0),
    "product": lambda x: np.vdot(x, np.sqrt(x)), "gradient": grad(lambda x: np.sum(np.sqrt(x) * x) ** 2),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SUMMED)
@pytest.mark.parametrize("shape", LONG, ids=str)
def test_sums_of_many_numbers_that_are_alike(shape: tuple[int, ...], name: str) -> None:
    pytest.importorskip("numba")
    f, x = SUMMED[name], np.full(shape, 0.3)  # whose rounding errors have one sign, in one order or another
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, wanted = compile(f, backend="numba")(x), f(x)
    bound = x.size * np.finfo(float).eps / 2
    np.testing.assert_allclose(found, wanted, rtol=bound, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(262_144,), (512, 512), (87_381, 3), (64, 64, 64)], ids=str)
def test_a_sum_is_one_of_sums_so_that_errors_grow_with_the_rows_only(shape: tuple[int, ...]) -> None:
    pytest.importorskip("numba")
    x = np.full(shape, 0.3)
    found = compile(lambda x: np.sum(x * x * 1.1), backend="numba")(x)
    right = math.fsum((x * x * 1.1).ravel().tolist())
    assert abs(found - right) <= 2048 * np.finfo(float).eps * right  # of two sums one after the other of 1024 at most
