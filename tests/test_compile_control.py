"""`scan`, `cond` and `while_loop` in compiled functions: they decide anew in every call, and so do their gradients."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tests.test_control_flow import CASES, close, leaves_of, moving
from tinygrad_nn import Tensor, compile, cond, grad, hessian, jacobian, jvp, scan, value_and_grad, vjp, while_loop
from tinygrad_nn.compiled.check import other_arguments
from tinygrad_nn.compiled.program import control
from tinygrad_nn.tree import flatten

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def compiles_or_fails() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def with_second(f: Callable[..., Any], places: tuple[int, ...]) -> Callable[..., Any]:
    """Return the function that gives value, gradients and the second derivatives in its first float argument."""
    first = places[0]

    def all_of_it(*args: Any) -> Any:
        of_first = lambda x: f(*args[:first], x, *args[first + 1 :])
        return value_and_grad(f, places)(*args), hessian(of_first)(args[first])

    return all_of_it


FAST = ("reversed scan", "while and cond of integers", "while until small", "while of no steps", "cond")


@pytest.mark.parametrize("name", CASES)
def test_numpy_gives_what_the_python_loop_gives_for_other_ways_and_lengths(name: str) -> None:
    ours, python, args, other = CASES[name]
    transform = with_second if name in FAST or name == "scan of states" else value_and_grad
    quick, wanted = (transform(f, moving(args)) for f in (ours, python))
    quick = compile(quick, backend="numpy")
    for given in (args, other, args):
        close(quick(*given), wanted(*given))
    assert len(quick.plans) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_numba_gives_what_the_python_loop_gives_for_other_ways_and_lengths(name: str) -> None:
    pytest.importorskip("numba")
    ours, python, args, other = CASES[name]
    quick, wanted = compile(value_and_grad(ours, moving(args)), backend="numba"), value_and_grad(python, moving(args))
    for given in (args, other, args):
        close(quick(*given), wanted(*given))
    assert quick.backend == "numba"
    assert len(quick.plans) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["while until small", "reversed scan"])
def test_numba_gives_second_derivatives(name: str) -> None:
    pytest.importorskip("numba")
    ours, python, args, other = CASES[name]
    quick, wanted = compile(with_second(ours, moving(args)), backend="numba"), with_second(python, moving(args))
    for given in (args, other):
        close(quick(*given), wanted(*given))


def lstm(p: Any, xs: Any) -> Any:
    def step(state: Any, x: Any) -> Any:
        h, c = state
        z = np.concatenate([h, x]) @ p["W"] + p["b"]
        c = tg.sigmoid(z[4:8]) * c + tg.sigmoid(z[:4]) * np.tanh(z[12:])
        h = tg.sigmoid(z[8:12]) * np.tanh(c)
        return (h, c), h

    return scan(step, (np.zeros(4), np.zeros(4)), xs)[1]


def descent(eta: Any, w: Any, x: Any) -> Any:
    """Steps of descent, to be differentiated in their size."""
    loss = lambda w: ((w * x - 1) ** 2).sum()
    return loss(scan(lambda w, _: (w - eta * grad(loss)(w), None), w, length=5)[0])


def classified(eta: Any, w: Any, x: Any, y: Any) -> Any:
    step = lambda w, _: (w - eta * grad(lambda w: tg.softmax_crossentropy(x @ w, y))(w), None)
    return scan(step, w, length=3)[0].sum()


def entropy(w: Any, xs: Any, ys: Any) -> Any:
    return scan(lambda c, b: (c + tg.softmax_crossentropy(b[0] @ w, b[1]), None), 0.0, (xs, ys))[0]


def backward_inside(w: Any, xs: Any) -> Any:
    t = Tensor(w)
    scan(lambda c, x: (c * t + x, None), 0.0, xs)[0].backward()
    return t.grad


def tripled(x: Any) -> Any:
    return while_loop(lambda c: c[1] < 3, lambda c: (np.sin(c[0] * x), c[1] + 1), (x, 0))[0]


def unchanged(x: Any, w: Any) -> Any:
    (a, b), ys = scan(lambda c, x: ((w, c[1]), c[0]), (w, x), x)
    return (a * 2).sum() + (b * 3).sum() + ys.sum()


newton = tg.custom_vjp(  # loops and gradients inside functions with rules of their own
    lambda a: while_loop(lambda x: x * x > 1.000001 * a, lambda x: (x + a / x) / 2, a + 1),
    lambda g, out, a: g / out / 2,
)
doubled = tg.custom_jvp(lambda x: scan(lambda c, r: (c + r * x, None), x, np.ones(1))[0], lambda v, out, x: 2 * v)
cubed = tg.custom_vjp(lambda x: grad(lambda y: (y**4).sum() / 4)(x), lambda g, out, x: 3 * x * x * g)

A = lambda *shape: RNG.normal(size=shape)
ONE = np.array(0.7)
ONE_HOT = np.eye(4)[RNG.integers(0, 4, (5, 2))]
SETTING = {"i": np.array([0, 1, 1, 3]), "v": A(4)}
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "numbers": (
        value_and_grad(lambda x, k: scan(lambda c, _: (c * x, c + k), x, length=4)[1].sum(), (0, 1)),
        (0.5, 2.0),
    ),
    "a loop with a rule": (value_and_grad(lambda a: newton(a) * a), (ONE,)),
    "a scan with a rule": (value_and_grad(lambda x: (doubled(x) ** 2).sum()), (A(3),)),
    "a gradient with a rule": (value_and_grad(lambda x: (cubed(x) * x).sum()), (A(3),)),
    "a whole number": (lambda n: while_loop(lambda c: c < n, lambda c: c * 2 + 1, 0), (20,)),
    "no rows": (value_and_grad(lambda w, xs: scan(lambda c, x: (c * w + x, c), w, xs)[0], (0, 1)), (ONE, np.zeros(0))),
    "no y": (lambda w, xs: scan(lambda c, x: (c * w + x.sum(), (x * w, 1)), w, xs), (ONE, np.zeros((0, 3)))),
    "constants": (
        grad(lambda w: scan(lambda c, _: (np.tanh(c @ np.eye(3) * w + 1.5), None), np.ones(3), length=3)[0].sum()),
        (ONE,),
    ),
    "an LSTM": (
        value_and_grad(lambda p, xs, y: ((lstm(p, xs) - y) ** 2).sum()),
        ({"W": A(7, 16), "b": A(16)}, A(10, 3), A(10, 4)),
    ),
    "crossentropy": (value_and_grad(entropy), (A(3, 4), A(5, 2, 3), ONE_HOT)),
    "descent": (value_and_grad(descent, (0, 1)), (np.array(0.05), A(3), A(3))),
    "descent of crossentropy": (
        value_and_grad(classified, (0, 1)),
        (np.array(0.05), A(3, 2), A(4, 3), np.eye(2)[[0, 1, 1, 0]]),
    ),
    "backward inside": (backward_inside, (ONE, A(5))),
    "jacobian": (jacobian(lambda x: scan(lambda c, x: (c * x, c + x), x[0], x)[1]), (A(4),)),
    "jvp": (
        lambda x, v: jvp(lambda x: scan(lambda c, x: (c * x, np.sin(c) + x), x[0], x)[1], (x,), (v,)),
        (A(4), A(4)),
    ),
    "jvp of while": (lambda x, v: jvp(tripled, (x,), (v,)), (A(4), A(4))),
    "vjp": (lambda x, v: vjp(lambda x: scan(lambda c, x: (c * x, np.sin(c) + x), x[0], x)[1], x)[1](v), (A(4), A(4))),
    "complex": (
        grad(lambda z, xs: np.abs(scan(lambda c, x: (c * z + x, c * 1j), z, xs)[1]).sum(), (0, 1)),
        (np.array(0.3 + 0.4j), A(4) + 1j * A(4)),
    ),
    "complex and real": (
        grad(
            lambda z, xs: (lambda c: np.abs(c[0]) + c[1])(
                scan(lambda c, x: ((c[0] * z + x, np.abs(c[0]) * x + c[1]), None), (z, 0.5), xs)[0]
            ),
            (0, 1),
        ),
        (np.array(0.3 + 0.4j), A(4)),
    ),
    "third derivatives": (grad(grad(grad(tripled))), (np.array(0.9),)),
    "an index that is handed on": (
        value_and_grad(lambda w: scan(lambda i, _: ((i * 3 + 1) % 5, w[i] * w[i]), 0, length=7)[1].sum()),
        (A(5),),
    ),
    "an entry that is set": (
        value_and_grad(
            lambda w, xs: scan(lambda c, x: (c.at[x["i"]].set(c[x["i"]] * w + x["v"]), None), np.zeros(4) * w, xs)[
                0
            ].sum()
        ),
        (ONE, SETTING),
    ),
    "whole numbers": (lambda xs: scan(lambda c, x: (c + x, c % 3 == 0), 0, xs), (np.arange(6),)),
    "nothing": (
        lambda x: (while_loop(lambda c: False, lambda c: c, ()), scan(lambda c, y: (None, y * 2), None, x)),
        (A(3),),
    ),
    "the same twice": (lambda x: scan(lambda c, x: ((c[0] + x, c[0] + x), None), (0.0, 0.0), x)[0], (A(3),)),
    "what does not change": (lambda x, w: scan(lambda c, x: ((w, c[1]), c[0]), (w, x), x), (A(3), A(3))),
    "its gradient": (grad(unchanged, (0, 1)), (A(3), A(3))),
    "numbers of branches": (lambda x: cond(x > 0, lambda: 1.0, lambda: 2.0), (ONE,)),
    "trees of branches": (
        grad(
            lambda x: (lambda r: r["a"][0].sum() * r["b"])(
                cond(x.sum() > 0, lambda x: {"a": [x * 2], "b": x[0]}, lambda x: {"a": [x], "b": x[1] * x[0]}, x)
            )
        ),
        (A(3),),
    ),
    "a carry that lies by columns": (
        value_and_grad(
            lambda x, w: (
                while_loop(lambda c: c[1] < 3, lambda c: (np.sin(c[0]) * w + c[0], c[1] + 1), (x.T, 0))[0]
            ).sum(),
            (0, 1),
        ),
        (A(3, 2), A(2, 3)),
    ),
    "no step": (grad(lambda x: while_loop(lambda c: c > 1, lambda c: c * 0.7 * x, x)), (np.array(0.5),)),
    "relu": (
        grad(
            lambda w, xs: scan(lambda c, x: (tg.relu(w @ c + x), np.where(c > 0, c, -c)), np.ones(3), xs)[1].sum(),
            (0, 1),
        ),
        (A(3, 3), A(5, 3)),
    ),
    "what runs as it is": (
        grad(lambda s: scan(lambda c, _: (np.linalg.cholesky(c @ c.T + np.eye(3)), None), s, length=3)[0].sum()),
        (A(3, 3),),
    ),
    "a result of a carry twice": (
        lambda w, xs: (lambda c, ys: (c * 2, c * 2, ys * 3, -ys))(*scan(lambda c, x: (np.tanh(c * w + x), c), w, xs)),
        (A(2), A(5, 2)),
    ),
    "a carry that stays, and a sum of two gradients of one slice": (
        lambda w, xs: scan(
            lambda c, x: (c, np.exp(grad(lambda v: (v[:2] * np.cos(x)).sum() + (v[:2] * np.sin(x)).sum())(c))), w, xs
        ),
        (A(3), A(5, 2)),
    ),
}
ON_NUMBA = ("numbers", "an LSTM", "descent", "complex", "an index that is handed on", "no rows", "what does not change")


def again(args: tuple[Any, ...]) -> tuple[Any, ...]:
    leaves, rebuild = flatten(list(args))
    return tuple(rebuild(other_arguments(leaves, frozenset(), frozenset(), 1)))


def same(quick: Any, f: Callable[..., Any], args: tuple[Any, ...], rtol: float = 1e-11) -> None:
    for given in (args, again(args), args):
        found, wanted = quick(*given), f(*given)
        close(found, flatten(wanted)[1]([tg.tensor.raw(x) for x in flatten(wanted)[0]]), rtol)
        for x, y in zip(flatten(found)[0], flatten(wanted)[0], strict=True):
            assert np.asarray(x).dtype == np.asarray(tg.tensor.raw(y)).dtype
    assert not any(isinstance(plan, str) for plan in quick.plans.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_give_the_same(name: str) -> None:
    f, args = FUNCTIONS[name]
    same(compile(f, backend="numpy"), f, args)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_NUMBA)
def test_functions_give_the_same_with_numba(name: str) -> None:
    pytest.importorskip("numba")
    f, args = FUNCTIONS[name]
    same(compile(f, backend="numba"), f, args)


def test_float32_stays_float32() -> None:
    f = value_and_grad(lambda w, xs: scan(lambda c, x: (c * w + x, np.sin(c)), 0.0, xs)[1].sum(), (0, 1))
    same(compile(f, backend="numpy"), f, (np.full((), 0.5, np.float32), A(6).astype(np.float32)), 1e-5)


def test_samples_of_vmap_go_their_own_ways() -> None:
    f = tg.vmap(
        grad(lambda x: cond(x.sum() > 0, lambda x: (scan(lambda c, x: (c * x, c), 1.0, x)[1]).sum(), np.max, x))
    )
    same(compile(f, backend="numpy"), f, (A(4, 3),))


def _counted(a: Any, n: Any) -> Any:
    return while_loop(lambda c: c[1] < n, lambda c: (np.sin(c[0]) * a.sum() + c[0], c[1] + 1), (a, 0))[0]


def _root(a: Any) -> Any:
    going = lambda c: c["off"] > 1e-6
    step = lambda c: {"x": (c["x"] + a / c["x"]) / 2, "off": np.abs(c["x"] * c["x"] - a)}
    return while_loop(going, step, {"x": 1.0, "off": np.inf})["x"]


def _until(a: Any, x: Any) -> Any:
    return scan(lambda c, x: (while_loop(lambda d: d < x, lambda d: d * a + 1, c), c), a, x)[0]


TIMES = np.array([1, 4, 2])
SAMPLES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "a number": (
        tg.vmap(lambda a: while_loop(lambda c: c < 10, lambda c: c * a + 1, a)), (np.array([1.5, 2.0, 30.0]),),
    ),
    "arrays": (tg.vmap(_counted), (A(3, 2), TIMES)),
    "one count": (tg.vmap(_counted, in_axes=(0, None)), (A(3, 2), np.array(4))),
    "a constant count": (tg.vmap(lambda a: _counted(a, 3)), (A(3, 2),)),
    "the gradient of each": (tg.vmap(grad(lambda a, n: _counted(a, n).sum())), (A(3, 2), TIMES)),
    "the gradient of all": (grad(lambda a, n: tg.vmap(_counted)(a, n).sum()), (A(3, 2), TIMES)),
    "samples of samples": (tg.vmap(tg.vmap(_counted)), (A(2, 3, 2), np.array([TIMES, 5 - TIMES]))),
    "one of two shared": (tg.vmap(tg.vmap(_counted, in_axes=(None, 0))), (A(2, 2), np.array([TIMES, 5 - TIMES]))),
    "the gradient of samples of samples": (
        grad(lambda a, n: tg.vmap(tg.vmap(_counted))(a, n).sum()), (A(2, 3, 2), np.array([TIMES, 5 - TIMES])),
    ),
    "second derivatives": (
        grad(lambda a, n: (grad(lambda a: tg.vmap(_counted)(a, n).sum())(a) ** 2).sum()), (A(3, 2), TIMES),
    ),
    "numbers": (tg.vmap(value_and_grad(_root)), (np.array([4.0, 9.0, 2.0]),)),
    "inside a scan": (tg.vmap(_until), (np.abs(A(3)) + 1, 5 * np.abs(A(3, 2)))),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_a_loop_inside_vmap_ends_for_each_sample_when_it_ends(name: str) -> None:
    f, args = SAMPLES[name]
    quick = compile(f, backend="numpy")
    rows = [x[::-1].copy() if x.ndim else x for x in args]
    for given in (args, rows):
        close(quick(*given), f(*given), 1e-11)
    assert not any(isinstance(plan, str) for plan in quick.plans.values())


@pytest.mark.parametrize("length", [1, 2, 5, 17])
@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_zeros_have_the_signs_that_the_loop_gives_them(length: int, reverse: bool, backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba")

    def f(w: Any, x: Any) -> Any:
        carry, ys = scan(lambda c, r: (np.sin(r) * -c * w, r * c), np.zeros(3), x, reverse=reverse)
        return (carry - ys * 0).sum() + ys.sum()

    slopes = grad(f, (0, 1))
    for given in (A(3), A(length, 3)), (np.zeros(3), A(length, 3)), (-A(3), -np.abs(A(length, 3))):
        for found, wanted in zip(compile(slopes, backend=backend)(*given), slopes(*given), strict=True):
            np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))


def test_results_share_no_memory_with_arguments_or_each_other() -> None:
    f = compile(lambda x, w: scan(lambda c, x: ((w, c[1] + 0), None), (w, x), length=2)[0], backend="numpy")
    x, w = np.ones(3), np.zeros(3)
    first, second = f(x, w), f(x, w)
    arrays = [x, w, *leaves_of(first), *leaves_of(second)]
    assert not any(np.may_share_memory(a, b) for k, a in enumerate(arrays) for b in arrays[:k])


def test_the_code_does_not_grow_with_the_steps() -> None:
    f = value_and_grad(lambda w, xs: (scan(lambda c, x: (np.tanh(w * c + x), c), np.zeros(2), xs)[1] ** 2).sum())
    plans = [compile(f, backend="numpy").plan(A(2), A(length, 2)) for length in (3, 3000)]
    assert len(plans[0].program.ops) == len(plans[1].program.ops)
    lines = [[len(body.code.lines) for body in plan.code.bodies] for plan in plans]
    assert lines[0] == lines[1]


def test_a_check_on_other_values_ends_where_the_loop_would_not() -> None:
    root = lambda a: while_loop(lambda x: np.abs(x * x - a[0]) > 1e-9, lambda x: (x + a[0] / x) / 2, 1.0)
    quick = compile(root, backend="numpy")  # of negative numbers the steps go on for ever
    close([quick(np.array([2.0])), quick(np.array([7.0]))], [2**0.5, 7**0.5], 1e-9)


def test_a_tape_is_kept_only_for_a_way_back() -> None:
    f = lambda w, xs: scan(lambda c, x: (c * w + x, None), w, xs)[0]
    args = np.array(0.5), A(4)
    kept = [
        op.function.tapes
        for g in (f, grad(f)) for op in compile(g, backend="numpy").plan(*args).program.ops if op.name == "scan"
    ]  # fmt: skip
    assert kept == [False, True]


class Kept:
    """A place where a function stores a value from inside a loop."""

    value: Any = None


def leaking(x: Any) -> Any:
    def step(c: Any, _: Any) -> Any:
        Kept.value = c * 2
        return c + x, None

    return scan(step, x, length=3)[0] + Kept.value


UNTRACED: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "draws": (
        lambda x, rng: scan(lambda c, _: (c + rng.normal(), None), x, length=3)[0],
        (ONE, np.random.default_rng(0)),
        "Draw the numbers before it, and pass them as rows of xs",
    ),
    "branches of two kinds": (
        lambda x: cond(x > 0, lambda x: x, lambda x: (x, x), x),
        (ONE,),
        r"true_fn returns float64\[\] and false_fn \(float64\[\], float64\[\]\)",
    ),
    "a branch on a value": (
        lambda x: scan(lambda c, _: (c + 1 if c > 0 else c, None), x, length=3)[0],
        (ONE,),
        "the truth value of a Tensor",
    ),
    "what is kept outside": (leaking, (ONE,), "a value from inside a loop or a branch is used outside of it"),
}


@pytest.mark.parametrize("name", UNTRACED)
def test_what_cannot_be_compiled_runs_as_it_is(name: str) -> None:
    f, args, reason = UNTRACED[name]
    copy = [np.random.default_rng(0) if isinstance(x, np.random.Generator) else x for x in args]
    with pytest.warns(RuntimeWarning, match=reason):
        found = compile(f, backend="numpy")(*args)
    close(found, f(*copy))


def test_compiled_calls_raise_the_same_errors() -> None:
    with pytest.raises(TypeError, match="put values that grow from step to step into y"):
        compile(lambda x: scan(lambda c, _: (np.append(c, 1.0), None), x, length=2)[0], backend="numpy")(np.ones(2))
    with pytest.raises(TypeError, match=r"For an array use np\.any"):
        compile(lambda x: cond(x > 0, np.sin, np.cos, x), backend="numpy")(np.ones(2))
    with pytest.raises(TypeError, match="what cond_fun returns must be a single truth value"):
        compile(lambda x: while_loop(lambda c: c > 5, np.sin, x), backend="numpy")(np.ones(2))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_check_looks_at_the_first_steps_of_a_long_scan(reverse: bool) -> None:
    steps: list[int] = []
    f = value_and_grad(lambda w, xs: (scan(step, w, xs, reverse=reverse)[1] * np.arange(100)).sum(), (0, 1))

    def step(c: Any, x: Any) -> Any:
        steps.append(1)
        return np.tanh(c * w + x) + c * x, c * x

    w = np.array(0.3)
    quick = compile(f, backend="numpy")
    args = w, A(100)
    quick(*args)
    assert len(steps) < 100, "the function itself ran for some steps only"
    same(quick, f, args)


def test_numbers_are_drawn_after_loops_and_branches() -> None:
    def noisy(x: Any, rng: Any) -> Any:
        nested = scan(lambda c, _: (scan(lambda d, _: (d * x, None), c, length=2)[0], None), x, length=2)[0]
        return nested * cond(x > 0, np.sin, np.cos, x) + rng.random()

    quick = compile(noisy, backend="numpy")
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    for x in (ONE, -ONE):
        close(quick(x, ours), noisy(x, theirs))


def test_two_results_of_a_body_are_two_arrays() -> None:
    x, given = np.ones(2), np.zeros(2)
    first, second, third = control._copy_shared([x, x, given], [given])
    assert first is x
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(third, given)


# -- All steps as one function


@pytest.mark.parametrize("name", CASES)
def test_kernels_give_what_the_python_loop_gives(name: str, plain_kernels: None) -> None:
    ours, python, args, other = CASES[name]
    quick, wanted = compile(value_and_grad(ours, moving(args)), backend="numba"), value_and_grad(python, moving(args))
    for given in (args, other, args):
        close(quick(*given), wanted(*given))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_give_the_same_as_kernels(name: str, plain_kernels: None) -> None:
    f, args = FUNCTIONS[name]
    same(compile(f, backend="numba"), f, args)


def swaps(w: Any, xs: Any) -> Any:
    """Carries that are passed on unchanged, twice, as a view, as a row, as a closed-over value, and as a constant."""

    def step(c: Any, x: Any) -> Any:
        a, b, m, n, t = c
        return (b, b, np.sin(m.T) * w, n + (x > 0).sum(), x[0] * t), (a, m[0], x, w, n, 1.0)

    carry, ys = scan(step, (w, 2 * w, np.outer(w, w), np.array(3), w[0]), xs, reverse=True)
    return sum((y * y).sum() for y in [*carry, *ys])


def picked(w: Any, xs: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        y = np.concatenate([c[[1, 1, 0]], x[:1]]) @ np.stack([w, x, c, c * x])
        return np.tanh(y), y[0]

    carry, ys = scan(step, w, xs)
    return (carry * carry).sum() + (ys * np.arange(len(ys))).sum()


STEPPED: dict[str, Callable[..., Any]] = {
    "all kinds of carries": swaps,
    "indexing, joins and products": picked,
    "an integral without rows": lambda w, xs: scan(lambda c, _: (c + 0.1 * np.sin(c) * w, None), w, length=len(xs))[
        0
    ].sum(),
    "rows without a carry": lambda w, xs: scan(lambda c, x: (c, np.exp(w * x)), None, xs)[1].sum(),
}


@pytest.mark.parametrize("length", [0, 1, 4, 27])
@pytest.mark.parametrize("name", STEPPED)
def test_all_steps_are_one_function_forward_and_back(name: str, length: int, plain_kernels: None) -> None:
    f = STEPPED[name]
    slopes = (lambda w: value_and_grad(lambda w: f(w, A(length, 3)))(w)) if name[:2] == "an" else None
    slopes = slopes or value_and_grad(f, (0, 1))
    for dtype, rtol in ((np.float64, 1e-12), (np.float32, 4096 * np.finfo(np.float32).eps)):
        arrays = [0.5 * A(3).astype(dtype), A(length, 3).astype(dtype)][: 1 if name[:2] == "an" else 2]
        quick = compile(slopes, backend="numba")
        for sign in (1, -1, 1):
            given = [sign * x for x in arrays]
            close(quick(*given), slopes(*given), rtol)
        (plan,) = quick.plans.values()
        assert [body.at_once for body in plan.code.bodies] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all kinds of carries", "indexing, joins and products"])
def test_all_steps_compile_to_machine_code(name: str) -> None:
    pytest.importorskip("numba")
    slopes = value_and_grad(STEPPED[name], (0, 1))
    quick = compile(slopes, backend="numba")
    for given in ((0.5 * A(3), A(7, 3)), (A(3), A(7, 3))):
        close(quick(*given), slopes(*given))
    (plan,) = quick.plans.values()
    assert [body.at_once for body in plan.code.bodies] == [True, True]


sorted_back = tg.custom_vjp(lambda x: np.sin(x), lambda g, out, x: np.sort(g) * np.cos(x))
ONE_WAY: dict[str, tuple[Callable[..., Any], list[bool]]] = {  # whether all steps are one function, forward and back
    "forward": (
        lambda w, u, c, x: ((sorted_back(c[0] * w) + x, c[1] + c[2] * x[0], c[2] + 1), c[0] * c[1]),
        [True, False],
    ),
    "back": (
        lambda w, u, c, x: ((np.arcsin(np.sin(c[0] * w) * u) + x, c[1] + c[2] * x[0], c[2] + 1), c[0] * c[1]),
        [False, True],
    ),
    "neither": (
        lambda w, u, c, x: ((np.sort(c[0] * w) + x, c[1] + c[2] * x[0], c[2] + 1), c[0] * c[1]),
        [False, False],
    ),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("way", ONE_WAY)
def test_a_way_back_reads_the_steps_however_they_were_kept(way: str, reverse: bool, plain_kernels: None) -> None:
    step, at_once = ONE_WAY[way]

    def f(w: Any, xs: Any) -> Any:
        u = np.cos(w) / 2
        (a, b, n), ys = scan(lambda c, x: step(w, u, c, x), (2 * w, w[0], 0), xs, reverse=reverse)
        return (a * w).sum() + b * n + (ys * np.arange(1.0, 4)).sum()

    slopes = value_and_grad(f, (0, 1))
    for length in (0, 1, 5):
        quick = compile(slopes, backend="numba")
        same(quick, slopes, (A(3), A(length, 3)))
        (plan,) = quick.plans.values()
        assert [body.at_once for body in plan.code.bodies] == at_once


def _branches(x: Any) -> Any:
    h = np.zeros(3)
    for t in range(2):
        h = cond(x[t, 0] > 0, lambda h: np.sin(h) + x[t], lambda h: h * 0.5, h)  # noqa: B023 - what is tested
    return np.sin(h).sum()


def _turns(x: Any) -> Any:
    h = np.zeros(3)
    for t in range(2):
        more = partial(lambda row, h: h + row() ** 2 + 0.1, lambda: x[t])  # noqa: B023
        h = while_loop(lambda h: h.sum() < 2 * (t + 1), more, h)  # noqa: B023
    return np.sin(h).sum()


def _steps(x: Any) -> Any:
    h = np.zeros(3)
    for t in range(2):
        def step(c: Any, row: Any) -> Any:
            return np.sin(c * (t + 1)) + row, None  # noqa: B023

        h = scan(step, h, x * (t + 1))[0]
    return np.sin(h).sum()


def _grows(x: Any) -> Any:
    h, factors, rows = np.zeros(3), [], {}
    for t in range(3):
        factors.append(t + 1.0)
        rows["last"] = x[t % 2]
        h = scan(lambda c, r: (np.sin(c * factors[-1]) + r * rows["last"], None), h, x)[0]
    return h.sum()


def _shrinks(x: Any) -> Any:
    h, factors = np.zeros(3), [1.0, 2.0, 3.0]
    while factors:
        h = scan(lambda c, r: (np.tanh(c * factors.pop()) + r, None), h, x[:1])[0]
    return h.sum()


class Cell:
    """A layer whose attributes change while a function runs."""

    def __init__(self) -> None:
        self.factor = 1.0

    def __call__(self, c: Any, row: Any) -> Any:
        return np.tanh(c * self.factor) + row, None


def _set_anew(x: Any) -> Any:
    h, cell, other = np.zeros(3), Cell(), Cell()
    for t in range(3):
        cell.factor, other.factor = t + 1.0, x[t % 2]
        h = scan(cell.__call__, h, x)[0]
        h = scan(cell, h, x)[0]
        h = cond(h.sum() > 0, lambda h: h * other.factor, lambda h: np.sin(h), h)
    assert cell.factor == 3.0
    return np.sin(h).sum()


def _inside_of_others(x: Any) -> Any:
    held: dict[str, Any] = {"factors": [1.0, x[0]]}
    h = np.zeros(3)
    for t in range(3):
        held["factors"][:] = [t + 1.0, x[t % 2]]
        h = scan(lambda c, r: (np.tanh(c * held["factors"][0]) * held["factors"][1] + r, None), h, x)[0]
    return np.sin(h).sum()


def _again_and_again(x: Any) -> Any:
    def rest(n: int, h: Any) -> Any:
        return rest(n - 1, cond(h.sum() > 0, lambda h: np.sin(h) * n, lambda h: h - x[n % 2] * n, h)) if n else h

    return rest(3, x[0]).sum()


@pytest.mark.parametrize(
    ("f", "order"),
    [
        (_branches, 1), (_branches, 2), (_turns, 1), (_steps, 1), (_steps, 2), (_grows, 1), (_set_anew, 1),
        (_inside_of_others, 1), (_inside_of_others, 2), (_again_and_again, 1), (_again_and_again, 2), (_shrinks, 1),
    ],
)  # fmt: skip
def test_closed_over_values_are_unchanged_in_the_backward_pass(f: Any, order: int) -> None:
    wanted = grad(f) if order == 1 else grad(lambda x: (grad(f)(x) ** 2).sum())
    quick = compile(wanted, backend="numpy")
    rng = np.random.default_rng(3)
    for _ in range(6):
        x = rng.normal(size=(2, 3))
        np.testing.assert_allclose(quick(x), wanted(x), rtol=1e-12, atol=1e-12)
    assert not any(isinstance(plan, str) for plan in quick.plans.values())


ONES = np.ones(3)
CLOSING = {  # bodies that close over what is differentiated
    "while, carry": lambda x: while_loop(lambda c: np.sum(c) < 50, lambda c: c * (1 + x * x) + 1, x * 1.0).sum(),
    "while, no carry": lambda x: np.sum(while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, c[1] * np.sin(x) + x / 9),
                                                   (0, ONES))[1] ** 2),
    "while, condition": lambda x: while_loop(lambda c: np.sum(c) < 50 * np.sum(x), lambda c: c * (1 + x * x),
                                             ONES).sum(),
    "while, matrix": lambda x: np.sum(while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, c[1] @ np.outer(x, x)),
                                                 (0, ONES))[1] ** 2),
    "scan": lambda x: np.sum(scan(lambda c, r: (c * np.sin(x) + r * x, c * c), ONES, np.ones((4, 3)))[1] ** 2),
    "cond in scan": lambda x: np.sum(scan(
        lambda c, r: (cond(np.sum(c) > 3, lambda: c * x, lambda: c + x * x), c * c), x * 2, np.ones((4, 3)))[1] ** 2),
}  # fmt: skip


def norm_of_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: np.sum(grad(f)(x) ** 2)


HIGHER: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {  # the cotangents are computed from it, too
    "of the gradient's norm": lambda f: grad(norm_of_gradient(f)),
    "third order": lambda f: grad(norm_of_gradient(norm_of_gradient(f))),
    "along itself": lambda f: lambda x: jvp(lambda y: grad(f)(y) * y, (x,), (x * 2,)),
    "by itself": lambda f: grad(lambda x: np.sum(vjp(grad(f), x)[1](x)[0])),
}


@pytest.mark.parametrize("way", HIGHER)
@pytest.mark.parametrize("name", CLOSING)
def test_higher_orders_of_bodies_that_close_over_differentiated_values(name: str, way: str) -> None:
    f = HIGHER[way](CLOSING[name])
    quick = compile(f, backend="numpy")
    for x in (np.array([0.7, 0.4, 0.9]), np.array([0.3, 1.1, 0.5])):
        close(quick(x), f(x), 1e-10)
    assert len(quick.plans) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["while, carry", "while, no carry", "cond in scan"])
def test_numba_gives_higher_orders_of_such_bodies(name: str) -> None:
    pytest.importorskip("numba")
    f = grad(norm_of_gradient(CLOSING[name]))
    quick = compile(f, backend="numba")
    for x in (np.array([0.7, 0.4, 0.9]), np.array([0.3, 1.1, 0.5])):
        close(quick(x), f(x), 1e-10)
    assert quick.backend == "numba"
