"""Compiled functions do what the functions do: every row of the table of cases, training steps, and what is refused.

The NumPy replay is compared to the last bit, except where an array that does not lie in order is summed: there, and in
machine code, sums may be in another order, and the slack is that of so many roundings.
"""

import copy
import functools
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from test_primitives import ROWS, arguments, generator, moving, same_bits, with_constants

import tinygrad_nn as tg
from tests.machine_code import EVERY
from tinygrad_nn import compile, optim
from tinygrad_nn.compiled.numba import small_products
from tinygrad_nn.compiled.program.memory import place_intervals
from tinygrad_nn.tree import flatten

ROOT = Path(__file__).resolve().parents[1]
EPS = np.finfo(np.float64).eps

try:
    import numba  # noqa: F401

    BACKENDS = ["numpy", "numba"]
except ImportError:
    BACKENDS = ["numpy"]

each_backend = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Put compiled kernels into a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_NN_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield


def arrays_of(result: Any) -> list[np.ndarray]:
    return [np.asarray(x.data if isinstance(x, tg.Tensor) else x) for x in flatten(result)[0]]


def agree(found: Any, wanted: Any, roundings: float = 0) -> None:
    """Same containers, dtypes and shapes; same numbers, up to so many roundings of the largest entry."""
    left, right = arrays_of(found), arrays_of(wanted)
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if same_bits(a, b):
            continue
        if roundings and b.dtype.kind in "fc":
            size = np.abs(b[np.isfinite(b)]).max(initial=0)
            np.testing.assert_allclose(a, b, rtol=0, atol=roundings * np.finfo(b.dtype).eps * size)
        else:
            np.testing.assert_array_equal(a, b)


def compiled(function: Callable[..., Any], *args: Any, backend: str = "numpy", **options: Any) -> Any:
    """Compile and call twice; the function must not have been run as it is."""
    f = compile(function, backend=backend, **options)
    first = f(*args)
    agree(f(*args), first)
    f.plan(*args)  # raises if there is none
    return first


# -- Every primitive, forward and backward


def forward_and_gradient(case: Any) -> Callable[..., Any]:
    """A row of the table as a function of arrays: its result, and the gradient of a random combination of that."""
    arrays = arguments(case)
    f = with_constants(case, arrays)
    moved = [arrays[i] for i in moving(case, arrays)]
    rng = generator(case.name)
    shapes = [np.asarray(tg.tensor.raw(x)) for x in flatten(f(*map(tg.Tensor, moved)))[0]]
    cotangents = [rng.uniform(0.5, 1.5, a.shape).astype(a.dtype) if a.dtype.kind == "f" else None for a in shapes]

    def total(*moved: Any) -> Any:
        return sum((out * c).sum() for out, c in zip(flatten(f(*moved))[0], cotangents, strict=True) if c is not None)

    def both(*moved: Any) -> Any:
        if not moved or all(c is None for c in cotangents):
            return f(*moved)
        return f(*moved), tg.value_and_grad(total, argnums=tuple(range(len(moved))))(*moved)

    return both


def in_other_memory(x: Any, attempt: int) -> Any:
    """Return the same entries where an array is part of another, lies backwards, or column by column."""
    if not isinstance(x, np.ndarray) or not x.ndim:
        return x
    if attempt == 1:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    return np.asfortranarray(x) if x.ndim > 1 else x[::-1].copy()[::-1]


class Row(NamedTuple):
    """A row of the table as a function, with arguments at three points in memory of three kinds, and its results."""

    both: Callable[..., Any]
    points: list[list[Any]]
    wanted: list[Any]


@functools.cache
def row_of(place: int) -> Row | None:
    """Return a row by its place in the table, made once for all backends; None if it takes Tensors, not arrays."""
    case = ROWS[place]
    both, moved = forward_and_gradient(case), moving(case, arguments(case))
    points = [[given[i] for i in moved] for given in (arguments(case, attempt=k) for k in range(3))]
    if case.name not in ("power.reduce", "arctan2.reduce"):  # NumPy's own are wrong column by column
        points = [[in_other_memory(x, k) if k else x for x in point] for k, point in enumerate(points)]
    try:
        return Row(both, points, [both(*point) for point in points])
    except (AttributeError, TypeError):
        return None


PLACES = {id(case): place for place, case in enumerate(ROWS)}


def check_row(case: Any, backend: str, roundings: float) -> bool:
    """Compare at three points, and at the first again; return whether there is a plan."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = row_of(PLACES[id(case)])
        if row is None:
            return True
        f = compile(row.both, backend=backend)
        found = [f(*point) for point in (*row.points, row.points[0])]
    for a, b in zip(found, (*row.wanted, row.wanted[0]), strict=True):
        agree(a, b, roundings)
    return not any(isinstance(plan, str) for plan in f.plans.values())


VALUES_DECIDE = {  # a value decides there what is computed, or how many entries there are
    "average", "bincount", "cov", "emath.arccos", "emath.arcsin", "emath.arctanh", "emath.log", "emath.log10",
    "emath.log2", "emath.logn", "emath.power", "emath.sqrt", "extract", "geomspace", "getitem", "intersect1d",
    "linalg.cond", "linalg.eig", "linalg.eigvals", "linalg.lstsq", "linalg.svd", "nanpercentile", "nanquantile",
    "percentile", "piecewise", "poly", "poly1d", "polydiv", "polyfit", "polymul", "quantile", "real_if_close",
    "reshape", "roots", "setdiff1d", "setxor1d", "trim_zeros", "union1d", "unique", "unique_all", "unique_counts",
    "unique_inverse", "unique_values", "where",
    *(f"linalg.pinv {cutoff}" for cutoff in ("rank 1", "rank 1 of 2", "rcond", "rtol")),  # which values are left out
}  # fmt: skip


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if k % 8 else ()) for k, case in enumerate(ROWS)], ids=str
)
def test_every_primitive_compiles_to_the_same_numbers(case: Any) -> None:
    equal = "equal" in case.note  # with equal eigenvalues the function runs without compilation
    decided = bool({case.name, f"{case.name} {case.note}"} & VALUES_DECIDE)
    assert check_row(case, "numpy", 64) or decided or equal


@pytest.mark.skipif("numba" not in BACKENDS, reason="needs numba: pip install 'tinygrad-nn[jit]'")
@pytest.mark.slow
@pytest.mark.parametrize("case", ROWS, ids=str)
def test_every_primitive_is_written_as_kernels_that_give_the_same_numbers(case: Any, plain_kernels: None) -> None:
    check_row(case, "numba", 4096)


@pytest.mark.skipif("numba" not in BACKENDS, reason="needs numba: pip install 'tinygrad-nn[jit]'")
@pytest.mark.slow
@pytest.mark.parametrize("case", ROWS[5 % EVERY :: EVERY], ids=str)
def test_primitives_compile_to_machine_code(case: Any) -> None:
    check_row(case, "numba", 4096)


# -- Training steps


class Net(NamedTuple):
    """Parameters of a network of two layers: a named tuple is a container like any other."""

    W: list[Any]
    b: list[Any]


def network(dtype: str = "float64") -> tuple[Net, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    W = [rng.normal(size=shape).astype(dtype) for shape in ((12, 5), (3, 12))]
    b = [rng.normal(size=n).astype(dtype) for n in (12, 3)]
    x = rng.normal(size=(8, 5)).astype(dtype)
    y = np.eye(3, dtype=dtype)[rng.integers(0, 3, 8)]
    return Net(W, b), x, y


def loss_of(net: Net, x: Any, y: Any, activation: Any = tg.relu) -> Any:
    hidden = activation(tg.affine(x, net.W[0], net.b[0]))
    return tg.softmax_crossentropy(tg.affine(hidden, net.W[1], net.b[1]), y) + 1e-3 * (net.W[0] ** 2).sum()


def step_with(rule: optim.Optimizer) -> Callable[..., Any]:
    """A step over parameters, state, batch and learning rate."""

    def step(net: Net, state: list[Any], x: Any, y: Any, rate: Any) -> Any:
        value, g = tg.value_and_grad(loss_of)(net, x, y)
        leaves, rebuild = flatten(net)
        moved = [rule.update(d, s, rate, w) for d, s, w in zip(flatten(g)[0], state, leaves, strict=True)]
        return rebuild([w - m[0] for w, m in zip(leaves, moved, strict=True)]), [m[1] for m in moved], value

    return step


RULES = {name: make for name, make in optim.OPTIMIZERS.items() if name not in ("muon", "lbfgs")}


def train(step: Callable[..., Any], rule: optim.Optimizer, dtype: str, steps: int = 6) -> Any:
    net, x, y = network(dtype)
    state = [rule.init(w) for w in flatten(net)[0]]
    for k in range(steps):
        net, state, value = step(net, state, x, y, 0.01 / (k + 1))
    return net, state, value


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", RULES)
def test_training_steps_of_every_optimizer_give_the_same_bits(name: str, dtype: str) -> None:
    rule = RULES[name]()
    step = step_with(rule)
    compiled_step = compile(step, backend="numpy", donate=(0, 1))
    agree(train(compiled_step, rule, dtype), train(step, rule, dtype))
    assert len(compiled_step.plans) == 1, "the learning rate and the number of the step are arguments like others"


@pytest.mark.slow
@pytest.mark.skipif("numba" not in BACKENDS, reason="needs numba: pip install 'tinygrad-nn[jit]'")
@pytest.mark.parametrize("donate", [(), (0, 1)], ids=["kept", "donated"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_training_steps_in_machine_code_agree_up_to_rounding(name: str, dtype: str, donate: tuple[int, ...]) -> None:
    rule = RULES[name]()
    step = step_with(rule)
    # Six steps, each sums of at most 60 products: some thousand roundings, of which most cancel.
    agree(train(compile(step, backend="numba", donate=donate), rule, dtype), train(step, rule, dtype), 2000)


@each_backend
def test_backward_inside_a_step(backend: str) -> None:
    def step(w: Any, x: Any) -> Any:
        W = tg.Tensor(w)
        loss = (np.tanh(x @ W) ** 2).mean()
        loss.backward()
        with tg.no_grad():
            moved = W.data - 0.1 * W.grad
        return moved, loss

    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(4, 3)), rng.normal(size=(7, 4))
    agree(compiled(step, w, x, backend=backend), step(w, x), 0 if backend == "numpy" else 64)


@each_backend
def test_derivatives_of_higher_order(backend: str) -> None:
    f = tg.hessian(lambda v: (np.sin(v) * v**3).sum())
    v = np.linspace(0.1, 1.0, 5)
    agree(compiled(f, v, backend=backend), f(v), 0 if backend == "numpy" else 64)
    for power in (1, 2):  # through what the forward saved, alone and together with what has a graph
        y = np.full((1, 5), 0.2)
        entropy = tg.hessian(lambda v, power=power, y=y: tg.softmax_crossentropy(v.reshape(1, -1), y) ** power)
        agree(compiled(entropy, v, backend=backend), entropy(v), 16 if backend == "numpy" else 64)
    product = lambda v, d: tg.hvp(lambda v: (np.exp(v) * v[::-1]).sum(), (v,), d)
    agree(compiled(product, v, v + 1, backend=backend), product(v, v + 1), 0 if backend == "numpy" else 64)


def test_no_gradient_flows_through_detached_values() -> None:
    def f(w: Any) -> Any:
        loss = lambda w: (w * tg.stop_gradient(w * w)).sum() + (w.detach() * 2).sum()
        return tg.grad(loss)(w)

    w = np.array([1.0, 2.0])
    agree(compiled(f, w), w * w)


def test_checkpoint_and_custom_rules() -> None:
    through = tg.custom_vjp(np.round, lambda g, out, x: g)
    f = lambda w: tg.value_and_grad(lambda w: (tg.checkpoint(lambda x: np.sin(x) * x)(w) * through(w)).sum())(w)
    w = np.array([0.4, 1.6, 2.2])
    agree(compiled(f, w), f(w))


def test_integer_labels_and_masks_of_each_call_are_used() -> None:
    def f(W: Any, labels: Any, scores: Any) -> Any:
        chosen = lambda W: (np.where(scores > 0, W[labels], 0) ** 2).sum() + np.argmax(scores) * W.mean()
        return tg.value_and_grad(chosen)(W)

    rng = np.random.default_rng(0)
    W = rng.normal(size=(6, 4))
    g = compile(f, backend="numpy")
    for _ in range(4):
        labels, scores = rng.integers(0, 6, 5), rng.normal(size=(5, 4))
        agree(g(W, labels, scores), f(W, labels, scores))
    assert len(g.plans) == 1


# -- What is fresh in each call


@each_backend
def test_random_numbers_are_those_of_the_eager_run(backend: str) -> None:
    def drop(w: Any, rng: np.random.Generator) -> Any:
        rng.random(3)  # not used, but drawn
        mask = rng.random(w.shape) < 0.5
        noise = rng.normal(0.0, 2.0, size=w.shape)
        return tg.value_and_grad(lambda w: (np.where(mask, w, 0) * noise).sum())(w), rng.integers(0, 9, 3)

    w, ours, theirs = np.ones((30, 4)), np.random.default_rng(7), np.random.default_rng(7)
    f = compile(drop, backend=backend)
    seen = []
    for _ in range(4):
        found = f(w, ours)
        agree(found, drop(w, theirs), 0 if backend == "numpy" else 64)
        seen.append(found[0][1].tobytes())
    assert len(set(seen)) == 4, "each call draws anew"


def test_results_are_not_overwritten_by_later_calls() -> None:
    f = compile(lambda x: (x * 2, (x * 3)[1:], x.T, x), backend="numpy")
    kept = [f(np.full((100, 100), float(k))) for k in range(6)]
    views = [f(np.full((100, 100), float(k)))[0][50] for k in range(6)]
    for k, (double, part, turned, same) in enumerate(kept):
        assert (double == 2 * k).all()
        assert (part == 3 * k).all()
        assert (turned == k).all()
        assert (same == k).all()
        assert (views[k] == 2 * k).all(), "a view of a result keeps it from being used again"
    first = f(np.ones((100, 100)))
    first[0][:] = 5.0
    assert (f(np.ones((100, 100)))[0] == 2.0).all()


def test_donated_arguments_are_written_over_and_others_never() -> None:
    step = lambda w, g: w - 0.1 * g
    w, g = np.ones(1000), np.ones(1000)
    kept = compile(step, backend="numpy")
    kept(w, g)
    agree(kept(w, g), np.full(1000, 0.9))
    assert (w == 1).all()
    f = compile(step, backend="numpy", donate=(0,))
    f(w.copy(), g)
    out = f(w, g)
    assert out is w
    assert (w == 0.9).all()
    assert (g == 1).all()


def test_donating_one_array_twice_is_refused() -> None:
    f = compile(lambda w, v: (w + 1, v + 1), backend="numpy", donate=("w", 1))
    w = np.ones(3)
    with pytest.raises(ValueError, match="also elsewhere in the arguments"):
        f(w, w)


def test_equal_eigenvalues_of_a_donated_argument_raise() -> None:
    gradient = tg.grad(lambda a: (np.linalg.eigh(a)[1][0] ** 3).sum())  # depends on the vectors, not on their span
    f = compile(lambda a: a - gradient(a), backend="numpy", donate=(0,))
    apart = np.diag([1.0, 2.0])
    np.testing.assert_allclose(f(apart.copy()), apart - gradient(apart))
    with pytest.raises(RuntimeError, match=r"values of a factorisation are equal.*or compile it without donate=\."):
        f(np.eye(2))


def test_a_donated_weight_is_read_before_it_is_written() -> None:
    def step(w: Any, x: Any) -> Any:
        new = w - 0.1  # made first, though w is needed afterwards
        return new, x @ w, w.T @ x

    def last(w: Any, x: Any) -> Any:
        return x @ w, w.T @ x, w - 0.1 * (x @ w)

    def other_rows(w: Any, x: Any) -> Any:
        return x @ w, w[:5] @ x, w - 0.1 * (x @ w)

    def all_rows(w: Any, x: Any) -> Any:
        return (w + x) @ (w + x), w - 0.1

    w, x = np.arange(256.0).reshape(16, 16), np.ones((16, 16))
    for backend in BACKENDS:
        for function in (step, last, other_rows, all_rows):
            f = compile(function, backend=backend, donate=(0,))
            f(w.copy(), x)
            agree(f(w.copy(), x), function(w, x), 64)


# -- Shapes, dtypes, layouts, kinds of arguments


def test_new_shapes_and_dtypes_are_traced_and_old_ones_remembered() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(x.shape)
        return (x * x).sum(axis=0)

    g = compile(f, backend="numpy")
    for x in (np.ones((2, 3)), np.ones((4, 3)), np.ones((2, 3), "f4"), np.ones((2, 3)), np.ones((4, 3))):
        agree(g(x), (x * x).sum(axis=0))
    assert len(calls) == 2 * len(g.plans) == 6, "each is traced once, and checked against the function once"


@each_backend
def test_any_layout_and_byte_order_will_do(backend: str) -> None:
    f = lambda x: np.exp(x) + x[::-1]
    g = compile(f, backend=backend)
    x = np.arange(12.0).reshape(3, 4) / 10
    frozen = x.copy()
    frozen.flags.writeable = False
    for given in (x, np.asfortranarray(x), x[::-1], np.repeat(x, 2, 1)[:, ::2], x.astype(">f8"), frozen, x):
        agree(g(given), f(np.array(given, "f8")), 0 if backend == "numpy" else 4)
    assert len(g.plans) <= 2


def test_a_new_flag_or_name_is_traced_again() -> None:
    def f(x: Any, training: bool, how: str = "a", options: Any = None) -> Any:
        return x * 2 if training and how == "a" and options is None else x

    g = compile(f, backend="numpy")
    x = np.ones(3)
    for args in ((x, True), (x, False), (x, True, "b"), (x, True, "a", {"k": [None]}), (x, True)):
        agree(g(*args), f(*args))
    agree(g(x, training=True, how="b"), x)


def test_numbers_are_arguments_unless_they_decide() -> None:
    def f(x: Any, n: int, rate: float) -> Any:
        for _ in range(n):
            x = x * rate
        return x, n + 1

    g = compile(f, backend="numpy")
    x = np.ones(3, "f4")
    for n, rate in ((2, 0.5), (2, 0.25), (3, 0.5)):
        agree(g(x, n, rate), f(x, n, rate))
    assert len(g.plans) == 2, "one for each n, whatever the rate"


@pytest.mark.parametrize(
    "function",
    [
        np.copy, np.mean, np.ravel, np.sum, np.prod, np.max, np.std, np.median, np.round, np.squeeze, np.atleast_1d,
        np.cumsum, np.argmax, np.any, np.ptp, np.real, np.imag, np.nan_to_num, np.average, np.ones_like, np.array,
        lambda n: np.reshape(n, (1, 1)), lambda n: np.broadcast_to(n, (4,)), lambda n: np.expand_dims(n, 0),
        lambda n: np.repeat(n, 4), lambda n: np.tile(n, 4), lambda n: np.full(4, n), lambda n: np.clip(n, 0, 1),
        lambda n: np.quantile(n, 0.5), lambda n: np.where(n > 1, n, 2.0), lambda n: np.outer(n, np.ones(4)),
        lambda n: np.outer(np.ones(4), n)[:, 0], lambda n: np.kron(n, np.ones(4)), lambda n: np.add.outer(n, n),
        lambda n: round(n, 1), lambda n: round(n), lambda n: np.linalg.norm(np.ones(4), n), lambda n: n.real,
        lambda n: np.linalg.norm(np.eye(4), round(n)), lambda n: 2.0 if n == "fro" or n is None or n == None else n,  # noqa: E711
        lambda n: n.is_integer() * 1.0,
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_functions_of_a_number_that_is_an_argument(function: Callable[..., Any], dtype: str) -> None:
    f = lambda n, x: function(n) * x
    g, x = compile(f, backend="numpy"), np.ones(4, dtype)
    for n in (1.96, 2.0, 1.23):
        agree(g(n, x), f(n, x))
    assert not any(isinstance(plan, str) for plan in g.plans.values())


@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
@pytest.mark.parametrize("keepdims", [True, False])
def test_what_overflows_without_a_warning_does_so_compiled(axis: Any, keepdims: bool) -> None:
    f = compile(lambda x: np.ptp(x, axis, keepdims=keepdims), backend="numpy")
    for low in (-100, -120, 3):
        x = np.array([[100, 5], [low, 100]], np.int8)
        agree(f(x), np.ptp(x, axis, keepdims=keepdims))


def test_too_many_traces_warn_once() -> None:
    f = compile(lambda x: x + 1, backend="numpy")
    with pytest.warns(RuntimeWarning, match=r"traced 8 times.*\(8,\)") as told:
        [f(np.ones(n)) for n in range(1, 12)]
    assert len(told) == 1


# -- What cannot be traced


def test_a_branch_on_a_value_warns_with_its_line_and_runs_uncompiled() -> None:
    def f(x: Any) -> Any:
        if x.sum() > 0:
            return x
        return -x

    g = compile(f, backend="numpy")
    line = f.__code__.co_firstlineno + 1
    with pytest.warns(RuntimeWarning, match=rf"test_compile\.py:{line}: the truth value of a Tensor") as told:
        found = [g(np.full(2, sign)) for sign in (1.0, -1.0, 1.0)]
    agree(found, [np.ones(2)] * 3)
    assert len(told) == 1
    with pytest.raises(RuntimeError, match="there is no plan"):
        g.plan(np.ones(2))


OUTSIDE = np.random.default_rng(5)
FROZEN = tg.Tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x * float(x.sum()), r"float\(t\)"),
        (lambda x: x * x.sum().item(), r"t\.item\(\)"),
        (lambda x: x * np.asarray(x), "turned into a plain array"),
        (lambda x: x[x > 0].sum(), "a different number of entries"),
        (lambda x: np.unique(x), "no fixed shape"),
        (lambda x: x * OUTSIDE.random(2), "draws from a random generator"),
        (lambda x: x * np.random.rand(2), "draws from np.random itself"),  # noqa: NPY002
        (lambda x: FROZEN * x, "requires gradients and is not among the arguments"),
        (lambda x: np.add(x, 1, out=x), "out="),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_untraceable_functions_warn_and_run_uncompiled(function: Callable[..., Any], why: str) -> None:
    x = np.array([1.0, 2.0])
    f = compile(function, backend="numpy")
    with pytest.warns(RuntimeWarning, match=why):
        found = f(x.copy())
    if "draws" in why:
        assert (f(x) != found).any(), "fresh numbers each time"
    else:
        agree(found, function(x.copy()))


def test_an_error_of_the_function_is_its_own() -> None:
    f = compile(lambda x: x @ np.ones((5, 2)), backend="numpy")
    with pytest.raises(ValueError, match="matmul"):
        f(np.ones((2, 3)))


def test_a_tensor_kept_from_a_trace_says_so() -> None:
    kept = []

    def f(x: Any) -> Any:
        kept.append(x * 2)
        return x

    compile(f, backend="numpy")(np.ones(2))
    with pytest.raises(TypeError, match="belongs to a compiled call that has ended"):
        kept[0] + 1


def test_inside_a_graph_or_another_trace_it_takes_part() -> None:
    square = compile(lambda x: x * x, backend="numpy")
    square(np.ones(3))
    agree(tg.grad(lambda x: square(x).sum())(np.arange(3.0)), 2 * np.arange(3.0))
    agree(compiled(lambda x: tg.grad(lambda x: square(x).sum())(x), np.arange(3.0)), 2 * np.arange(3.0))


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="known are auto, numpy, numba"):
        compile(np.sin, backend="cuda")


# -- Samples of vmap

LIMITS, SAMPLES = np.array([0.2, 0.5, 0.8]), np.random.default_rng(0).random((4, 3))
FROM_OUTSIDE: dict[str, Callable[[Any, Any], Any]] = {
    "&": lambda a, y: np.where((a > 0.3) & (y > 0.5), y, 0.0),
    "|": lambda a, y: ((a > 0.3) | (y > 0.5)) * y,
    "^": lambda a, y: ((a > 0.3) ^ ~(y > 0.5)) * y,
    "<": lambda a, y: (a < y) * y,
    "==": lambda a, y: ((a > 0.3) == (y > 0.5)) * y,
    "logical_and": lambda a, y: np.where(np.logical_and(a > 0.3, y > 0.5), y, 0.0),
    "isclose": lambda a, y: np.isclose(a, y, rtol=0.5) * y,
    "searchsorted": lambda a, y: np.searchsorted(a, y) * y,
    "a number": lambda a, y: np.where(a[0] < y, y, 0.0),
    "samples of samples": lambda a, y: tg.vmap(lambda z: ((a < y) & (a >= z)) * z)(y),
}


@each_backend
@pytest.mark.parametrize("name", FROM_OUTSIDE)
def test_what_all_samples_share_is_compared_with_each(name: str, backend: str) -> None:
    f = tg.vmap(FROM_OUTSIDE[name], (None, 0))
    agree(compiled(f, LIMITS, SAMPLES, backend=backend), f(LIMITS, SAMPLES))


OF_FACTORS: dict[str, Callable[[Any], Any]] = {
    "eigvalsh": lambda x: np.sin(np.linalg.eigvalsh(x + x.T)).sum(),
    "eigh": lambda x: np.sin(np.linalg.eigh(x + x.T)[1] ** 2).sum(),
    "singular values": lambda x: np.sin(np.linalg.svd(x, compute_uv=False)).sum(),
    "svd": lambda x: np.sin(np.linalg.svd(x)[0] ** 2).sum(),
    "nuclear norm": lambda x: np.sin(np.linalg.norm(x, "nuc")),
}


@pytest.mark.parametrize(("name", "backend"), [*[(name, "numpy") for name in OF_FACTORS], ("eigvalsh", BACKENDS[-1])])
def test_a_hessian_through_a_factorisation_is_compiled(name: str, backend: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 3))
    agree(compiled(hessian := tg.hessian(OF_FACTORS[name]), x, backend=backend), hessian(x), 1000)


# -- Rewriting and memory


def names(f: Callable[..., Any], *args: Any) -> list[str]:
    return [op.name for op in compile(f, backend="numpy").plan(*args).program.ops]


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: x * 1 - 0, ["copy"]),  # of the argument, which the result is not
        (lambda x: x * 1 + -0.0, ["copy"]),
        (lambda x: x * 1 + 0, ["add"]),  # which makes 0.0 of -0.0
        (lambda x: x / 1 - 0.0, ["copy"]),
        (lambda x: np.negative(np.negative(x)), ["copy"]),
        (lambda x: x.T.T.reshape(3, 4).reshape(4, 3).T.T.reshape(3, 4), ["copy"]),
        (lambda x: (np.exp(x) + np.exp(x), x * 7)[0], ["exp", "add"]),
        (lambda x: x + np.broadcast_to(x[:1], (3, 4)), ["getitem", "add"]),
        (lambda x: x.sum(axis=1, keepdims=True).sum(axis=1, keepdims=True), ["sum"]),
        (lambda x: x + np.ones(4) * 3, ["add"]),
        (lambda x: x.T @ x, ["transpose", "matmul"]),
    ],
)
def test_rewriting(function: Callable[..., Any], left: list[str]) -> None:
    assert names(function, np.arange(12.0).reshape(3, 4)) == left


def test_buffers_are_used_again() -> None:
    def f(x: Any) -> Any:
        for _ in range(50):
            x = np.sin(x) * x
        return x.sum()

    plan = compile(f, backend="numpy").plan(np.ones(1000))
    assert plan.writer.memory.bytes <= 3 * 8000


def test_what_can_wait_waits_and_sums_do_not() -> None:
    rule = optim.adam()
    net, x, y = network()
    state = [rule.init(w) for w in flatten(net)[0]]
    ops = compile(step_with(rule), backend="numpy").plan(net, state, x, y, 0.1).program.ops
    place = {out: k for k, op in enumerate(ops) for out in op.outs}
    sums = [op for op in ops if op.kind == "reduce" and op.args[0].kind == "made"]
    assert len(sums) >= 4
    assert all(place[op.out] - place[op.args[0]] <= 2 for op in sums), "an array is summed while it is in the cache"
    decayed = [op for op in ops if op.kind == "ufunc" and op.values and all(v.kind == "input" for v in op.values)]
    firsts = [min(k for k, user in enumerate(ops) if op.out in user.values) for op in decayed]
    assert len(decayed) >= 8
    assert all(first - place[op.out] <= 2 for op, first in zip(decayed, firsts, strict=True))


def test_calls_allocate_only_their_results() -> None:
    import tracemalloc

    step = step_with(optim.adam())
    net, x, y = network()
    state = [optim.adam().init(w) for w in flatten(net)[0]]
    f = compile(step, backend="numpy", donate=(0, 1))
    for _ in range(3):
        net, state, _ = f(net, state, x, y, 0.1)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(50):
        net, state, _ = f(net, state, x, y, 0.1)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2000


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)][: len(BACKENDS)])
@pytest.mark.parametrize("donate", [(), (0, 1)], ids=["kept", "donated"])
def test_what_lives_after_the_first_call_are_buffers_constants_and_results(
    backend: str, donate: tuple[int, ...]
) -> None:
    """The arrays of the trace and of its verification are freed, without waiting for the garbage collector."""
    import gc
    import tracemalloc

    rng = np.random.default_rng(0)
    rule, chosen = optim.adam(), np.arange(0, 60, 2)
    weights = [rng.normal(size=shape) for shape in ((100, 60), (30, 100))]
    state, (x, y) = [rule.init(w) for w in weights], rng.normal(size=(2, 40, 60))

    def loss(W: Any, x: Any, y: Any) -> Any:  # an index and the running sum stay calls
        z = tg.relu(x @ W[0].T) @ W[1].T
        largest = z[np.arange(40), np.argmax(z, axis=1)]
        return ((z - y[:, chosen]) ** 2).mean() + (np.cumsum(z, axis=0) ** 2).mean() - largest.mean()

    def step(W: Any, state: Any, x: Any, y: Any) -> Any:
        value, g = tg.value_and_grad(loss)(W, x, y)
        moved = [rule.update(d, s, 0.1, w) for d, s, w in zip(g, state, W, strict=True)]
        return Net([w - m[0] for w, m in zip(W, moved, strict=True)], []), [m[1] for m in moved], value

    if backend == "numba":  # what compiles kernels is slow where memory is traced; then they are found in the cache
        compile(step, backend=backend, donate=donate)(*copy.deepcopy((weights, state)), x, y)
    f = compile(step, backend=backend, donate=donate)
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        result = f(weights, state, x, y)
        tables = [tracemalloc.Filter(False, place) for place in ("*/numba/*", "<kernels>")]
        arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
        seen = tracemalloc.take_snapshot().filter_traces([arrays]).filter_traces(tables)
        alive = sum(trace.size for trace in seen.traces)
    finally:
        tracemalloc.stop()
        gc.enable()
    plan = f.plan(weights, state, x, y)
    assert plan.donated or not donate
    constants = {v for op in plan.program.ops for v in op.values if v.kind == "constant"}
    returned = sum(a.nbytes for a in arrays_of(result))
    given = sum(a.nbytes for a in arrays_of((weights, state, x, y)))
    slack = 6000  # rows of constants, single numbers, beginnings of cache lines
    assert alive <= plan.writer.memory.bytes + sum(v.data.nbytes for v in constants) + returned + slack
    assert returned > given / 2 > 10 * slack, "an array of the trace would be seen"


def test_outer_products_of_rows_are_added_up_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, outer = [], small_products._outer

    def spy(loops: Any, op: Any, n: int, k: int, m: int, kind: str) -> None:
        seen.append((n, m))
        outer(loops, op, n, k, m, kind)

    monkeypatch.setattr(small_products, "_outer", spy)
    sizes = [(1, 9), (2, 3), (10, 2), (9, 10)]
    rng = np.random.default_rng(0)
    a, b = ([rng.normal(size=(7, n)) for n in part] for part in zip(*sizes, strict=True))
    f = lambda a, b: [np.exp(x).T @ np.sin(y) for x, y in zip(a, b, strict=True)]
    g = compile(f, backend="numba")
    for _ in range(2):
        for ours, wanted in zip(g(a, b), f(a, b), strict=True):
            np.testing.assert_allclose(ours, wanted, rtol=1e-13, atol=1e-13)
    assert set(seen) >= set(sizes)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("given", [
    True, 0, 1.5, np.nan, np.array(2.0), [True, False, True], [0.0, 2.0, np.nan], [0, 1, 2],
], ids=str)  # fmt: skip
def test_a_choice_by_any_condition_is_one_operation(given: Any, backend: str) -> None:
    condition = np.array(given) if isinstance(given, list) else given
    a, b = np.arange(3.0), np.arange(3.0) + 10
    closed = compile(lambda a, b: np.where(condition, a * 2, b) + 1, backend=backend)
    passed = compile(lambda c, a, b: np.where(c, a * 2, b) + np.where(c * 1, a, 3.0), backend=backend)
    for _ in range(2):
        np.testing.assert_array_equal(closed(a, b), np.where(condition, a * 2, b) + 1)
        np.testing.assert_array_equal(passed(condition, a, b), np.where(condition, 3 * a, b + 3))
    for plan in (closed.plan(a, b), passed.plan(condition, a, b)):
        kinds = {inner.kind for op in plan.program.ops for inner in getattr(op.function, "ops", [op])}
        assert "where" in kinds
        assert "call" not in kinds


def test_buffers_that_are_needed_at_once_share_no_memory() -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 5, 60):
        births = rng.integers(0, 100, count)
        spans = [(int(a), int(a + b)) for a, b in zip(births, rng.integers(0, 30, count), strict=True)]
        sizes = [int(n) for n in rng.integers(0, 3, count) * rng.integers(1, 1000, count)]
        starts, total = place_intervals(spans, sizes)
        assert total <= sum(-(-size // 64) * 64 for size in sizes)
        for k in range(count):
            assert starts[k] % 64 == 0
            assert starts[k] + sizes[k] <= total
            for j in range(k):
                in_time = spans[k][0] <= spans[j][1] and spans[j][0] <= spans[k][1]
                in_space = starts[k] < starts[j] + sizes[j] and starts[j] < starts[k] + sizes[k]
                assert not (in_time and in_space)
    assert place_intervals([(0, 1), (0, 5), (3, 5)], [640, 320, 64]) == ([0, 640, 0], 960), "a gap is used"
    spans = [(0, 1), (2, 3)] * 10
    assert place_intervals(spans, [640] * 20)[1] == 6400, "what is over leaves its memory to the next"


@pytest.mark.parametrize("donate", [(), (0, 1, 2)], ids=["kept", "donated"])
@pytest.mark.parametrize("seed", range(12))
def test_random_steps_give_the_same_bits(seed: int, donate: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    xs = [rng.normal(0, 0.1, [(6, 5), (7, 3), (130, 64), (2, 2)][seed % 4]) for _ in range(3)]
    step = random_step(seed)
    compiled_step = compile(step, backend="numpy", donate=donate)
    ours = theirs = xs
    for _ in range(4):
        found, wanted = compiled_step(*(x.copy() for x in ours)), step(*theirs)
        ours, theirs = found[1], wanted[1]
        agree((found[0], [x.copy() for x in ours]), wanted)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(3,), (40, 5), (300, 64), (7, 50, 33)], ids=str)
def test_limits_and_signs_keep_zeros_and_nans(shape: tuple[int, ...], dtype: str) -> None:
    """For large arrays, number arguments of `maximum` become rows, and `sign` gets its own array."""

    def f(x: Any) -> Any:
        low, high = np.maximum(x, 0.0), np.minimum(0.5, x)
        return low, high, np.sign(low * 1.0), np.maximum(-0.0, x), np.sign(x - 1.0) * x

    x = np.random.default_rng(0).choice([0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -2.0, 1e-40], shape).astype(dtype)
    g = compile(f, backend="numpy")
    for _ in range(2):
        for a, b in zip(g(x), f(x), strict=True):
            assert a.tobytes() == b.tobytes()
    assert "copyto" not in g.plan(x).source
    signs = [op for op in g.plan(x).program.ops if op.function is np.sign]
    code = g.plan(x).writer.code
    assert signs
    assert all(code[op.out] != code[op.args[0]] for op in signs), "over its argument it takes ten times as long"


def test_the_first_call_is_the_first_step_and_a_look_at_the_plan_is_none() -> None:
    calls = []

    def f(w: Any, rng: np.random.Generator) -> Any:
        calls.append(1)
        return w + rng.normal(size=w.shape)

    w, ours, theirs = np.zeros(500), np.random.default_rng(3), np.random.default_rng(3)
    g = compile(f, backend="numpy", donate=(0,))
    g.plan(w, ours)
    assert (w == 0).all()
    agree(g(w.copy(), ours), f(w, theirs))
    h = compile(f, backend="numpy", donate=(0,))
    first = h(w, ours)
    agree(first, f(np.zeros(500), theirs))
    wanted = f(first, theirs)
    assert h(first, ours) is first
    agree(first, wanted)
    assert first is w, "what is donated is written over in the first call too"


# -- Seeing it, and the cache


@each_backend
def test_a_plan_prints_at_80_columns_and_is_a_graph(backend: str) -> None:
    step = step_with(optim.adam())
    net, x, y = network()
    state = [optim.adam().init(w) for w in flatten(net)[0]]
    plan = compile(step, backend=backend, donate=(0, 1)).plan(net, state, x, y, 0.1)
    text = str(plan)
    assert max(map(len, text.splitlines())) <= 80
    assert "softmax" not in text, "what is inside a primitive is seen"
    for word in ("plan for", "bytes", "argument 0", "dot(", "returns"):
        assert word in text
    view = plan.graph()
    operations = {node.operation for node in view if node.operation}
    assert {"dot", "maximum", "sqrt"} <= operations
    if backend == "numba":
        assert "kernel" in text
        assert any(node.scope and node.scope.startswith("kernel") for node in view)


SECOND = """
    import numpy as np, tinygrad_nn as tg
    f = tg.compile(lambda x: np.tanh(x) * x, backend="numba")
    print(f(np.ones((3, 2))).sum())
"""


@pytest.mark.slow
@pytest.mark.skipif("numba" not in BACKENDS, reason="needs numba: pip install 'tinygrad-nn[jit]'")
def test_kernels_are_kept_between_processes_and_work_without_a_folder(tmp_path: Path) -> None:
    results = []
    for folder in (str(tmp_path), str(tmp_path), "", str(tmp_path / "file" / "below")):
        (tmp_path / "file").write_text("in the way")
        env = {**os.environ, "TINYGRAD_NN_CACHE": folder, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "default" if "below" in folder else "error", "-c", textwrap.dedent(SECOND)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        results.append(done.stdout)
    assert len(set(results)) == 1
    assert len(list(tmp_path.iterdir())) == 1 + 1, "the second process finds what the first compiled"


# -- Loops of kernels on several threads


def random_step(seed: int) -> Callable[..., Any]:
    """Return a step of operations that are entry by entry, along rows, across rows, and products."""
    rng = np.random.default_rng(seed)
    kinds, places = rng.integers(0, 10, 10), rng.integers(0, 100, (10, 2))

    def loss(*xs: Any) -> Any:
        values = list(xs)
        for kind, (i, j) in zip(kinds, places, strict=True):
            a, b = values[i % len(values)], values[j % len(values)]
            values.append([
                lambda a, b: a + b, lambda a, b: a * b, lambda a, b: np.maximum(a, 0),
                lambda a, b: (a * a).sum(axis=0, keepdims=True) + b, lambda a, b: a - b.mean(axis=1, keepdims=True),
                lambda a, b: a / (1 + b * b), lambda a, b: np.where(a > b, a, b * 0.5),
                lambda a, b: (a @ b.T) @ b * 0.1, lambda a, b: a.sum() * b,
                lambda a, b: a.max(axis=1, keepdims=True) * b,
            ][kind](a, b))  # fmt: skip
        return sum((v * v).mean() for v in values[-3:])

    def step(*xs: Any) -> Any:
        value, g = tg.value_and_grad(loss, argnums=(0, 1, 2))(*xs)
        return value, [x - 0.01 * d for x, d in zip(xs, g, strict=True)]

    return step


@pytest.mark.slow
@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs numba")
@pytest.mark.parametrize("seed", range(2))
def test_loops_that_threads_share(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loop over rows is parted: rows of the parts, sums over rows and over all, what is read across rows."""
    from tinygrad_nn.compiled.numba import loops

    monkeypatch.setattr(loops, "LARGE", -1)
    rng = np.random.default_rng(seed)
    xs = [rng.normal(size=[(6, 5), (7, 3), (4, 8), (2, 2)][seed % 4]) for _ in range(3)]
    step = random_step(seed)
    compiled = compile(step, backend="numba")
    for _ in range(2):
        agree(compiled(*xs), step(*xs), roundings=1000)
    assert "cores.take()" in compiled.plan(*xs).source


def test_a_constant_that_depends_on_an_argument_is_not_frozen() -> None:
    table = np.arange(5.0)
    reads = {
        "asarray": lambda x: np.asarray(x.detach()) * x,
        "index of an array": lambda x: table[np.argmax(x)] * x,
        "write": lambda x: _written(x.detach()) * x,
    }
    for name, f in reads.items():
        fast = tg.compile(f, backend="numpy")
        for x in (np.array([1.0, 3.0]), np.array([4.0, 2.0])):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                np.testing.assert_array_equal(fast(tg.Tensor(x)).data, f(tg.Tensor(x)).data, err_msg=name)


def _written(x: Any) -> np.ndarray:
    out = np.zeros(2)
    out[:] = x
    return out


def test_at_equal_eigenvalues_a_compiled_gradient_runs_uncompiled() -> None:
    def exponential(x: Any) -> Any:
        w, V = np.linalg.eigh(x)
        return ((V * np.exp(w)) @ V.T * np.array([[1.0, 2], [3, 4]])).sum()

    fast = tg.compile(tg.grad(exponential), backend="numpy")
    apart = np.array([[1.0, 0.5], [0.5, 3]])
    fast(apart)
    for x in (np.eye(2), apart, 0 * apart):
        np.testing.assert_allclose(fast(x), tg.grad(exponential)(x), rtol=1e-13)
    fast.plan(apart)  # which is there all the same
    wide = tg.compile(tg.grad(lambda x: (tg.symmetric_exp(x) * x).sum()), backend="numpy")
    for x in (apart, np.eye(2)):
        np.testing.assert_allclose(wide(x), tg.grad(lambda x: (tg.symmetric_exp(x) * x).sum())(x), rtol=1e-13)
    wide.plan(apart)
