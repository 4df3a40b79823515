"""Python loops in compiled functions: found in the trace, rolled up, and the same to the last bit."""

import warnings
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_nn as tg
from tinygrad_nn import compile, grad, value_and_grad
from tinygrad_nn.compiled.check import run_operations
from tinygrad_nn.compiled.program import rolled as rolling
from tinygrad_nn.compiled.program.control import Loop
from tinygrad_nn.compiled.program.periods import Run, find_runs
from tinygrad_nn.compiled.program.rolled import roll_loops
from tinygrad_nn.compiled.program.rows import stack_row_gradients
from tinygrad_nn.compiled.program.simplify import simplify
from tinygrad_nn.compiled.program.values import VIEWS, Op, Program
from tinygrad_nn.compiled.trace.call import canonical, trace
from tinygrad_nn.tree import flatten

T = 36


@pytest.fixture(autouse=True)
def short_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops of few operations are rolled too, which keeps the tests quick."""
    monkeypatch.setattr(rolling, "LEAST", 96)


def numbers(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).normal(size=shape) * 0.3


def rnn(W: Any, U: Any, x: Any) -> Any:
    h = np.zeros(W.shape[0], W.dtype)
    for t in range(len(x)):
        h = np.tanh(W @ h + U @ x[t])
    return (h * h).sum()


def lstm(W: Any, U: Any, b: Any, x: Any) -> Any:
    n = W.shape[1]
    h = c = np.zeros(n, W.dtype)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    for t in range(len(x)):
        z = W @ h + U @ x[t] + b
        i, f, g, o = z[:n], z[n : 2 * n], z[2 * n : 3 * n], z[3 * n :]
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return (h * h).sum()


def runge_kutta(y: Any, k: Any, dt: Any, steps: int = T) -> Any:
    slope = lambda t, y: np.sin(k * y + t)
    for i in range(steps):
        t = i * dt
        a = slope(t, y)
        b = slope(t + dt / 2, y + dt / 2 * a)
        c = slope(t + dt / 2, y + dt / 2 * b)
        y = y + dt / 6 * (a + 4 * b + c)
    return (y * y).sum()


def clock(y: Any, k: Any, dt: Any, steps: int = T) -> Any:
    t = 0.0
    for _ in range(steps):
        y, t = y + dt * np.sin(k * y + t), t + dt
    return (y * y).sum()


def two_steps_back(y: Any, k: Any, steps: int = T) -> Any:
    before = y
    for _ in range(steps):
        before, y = y, np.tanh(k * y) - 0.3 * before
    return (y * y).sum()


def stacked(x: Any, w: Any) -> Any:
    h, states = np.zeros(x.shape[1], x.dtype), []
    for t in range(len(x)):
        h = np.tanh(h * w + x[t])
        states.append(h)
    return (np.stack(states, 1) ** 2 * np.arange(1, len(x) + 1, dtype=x.dtype)).sum()


def losses(x: Any, w: Any, wanted: Any) -> Any:
    h, found = np.zeros(x.shape[1], x.dtype), []
    for t in range(len(x)):
        h = np.tanh(h * w + x[t])
        found.append(((h - wanted[t]) ** 2).sum())
    return sum(found) / len(x)


def in_the_middle(x: Any, w: Any) -> Any:
    h = np.exp(x).sum(0)
    for t in range(len(x)):
        h = np.cos(h * w) + x[t]
    return np.log(1 + h * h).sum()


def one_after_the_other(x: Any, w: Any) -> Any:
    h = np.zeros(x.shape[1], x.dtype)
    for t in range(len(x)):
        h = np.tanh(h * w + x[t])
    for _ in range(len(x)):
        h = np.sin(h + w) * 0.9
    return (h * h).sum()


def columns(W: Any, x: Any) -> Any:
    h = np.zeros(W.shape[0], W.dtype)
    for t in range(x.shape[1]):
        h = np.tanh(W @ h + x[:, -1 - t])
    return h.sum()


def shuffled(x: Any, w: Any) -> Any:
    h = x[0]
    for t in range(len(x)):
        h = np.tanh(h * w) + x[5 * t % len(x)]
    return h.sum()


def constants(x: Any, w: Any) -> Any:
    more = np.random.default_rng(1).normal(size=x.shape).astype(x.dtype)
    h = x[0]
    for t in range(len(x)):
        h = np.tanh(h * w) + more[t] * (t + 1)
    return h.sum()


def one_step_differs(x: Any, w: Any) -> Any:
    h = x[0]
    for t in range(len(x)):
        h = np.tanh(h * w) + (0.5 if t == 11 else 0.25)
    return h.sum()


def three_steps_back(x: Any, w: Any) -> Any:
    states = [x[0]]
    for t in range(len(x)):
        states.append(np.tanh(states[-1] * w) + x[t] * states[max(-3, -len(states))])
    return states[-1].sum()


def overlapping(x: Any, w: Any) -> Any:
    h = x[:2]
    for t in range(len(x) - 2):
        h = np.tanh(np.sin(np.cos(h * w)) + w) * w + x[t : t + 2]
    return h.sum()


def of_squares(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the gradient of the squared length of the gradient: a second order."""
    return grad(lambda *args: (grad(f)(*args) ** 2).sum())


def leapfrog(q: Any, p: Any, eps: Any, steps: int = T) -> Any:
    force = grad(lambda q: (np.cos(q) + q * q / 2).sum())
    p = p - eps / 2 * force(q)
    for _ in range(steps):
        q = q + eps * p
        p = p - eps * force(q)
    return q + eps * p, -p


def of_all(f: Callable[..., Any], count: int) -> Callable[..., Any]:
    return value_and_grad(f, argnums=tuple(range(count)))


# name -> function, its arguments for T steps, and the loops that are found in it
LOOPS: dict[str, tuple[Callable[..., Any], Callable[[int], list[Any]], int]] = {
    "rnn": (of_all(rnn, 3), lambda n: [numbers(4, 4), numbers(4, 2), numbers(n, 2)], 2),
    "rnn, forward only": (rnn, lambda n: [numbers(4, 4), numbers(4, 2), numbers(n, 2)], 1),
    "rnn, second order": (of_squares(rnn), lambda n: [numbers(4, 4), numbers(4, 2), numbers(n, 2)], 4),
    "lstm": (of_all(lstm, 4), lambda n: [numbers(12, 3), numbers(12, 2), numbers(12), numbers(n, 2)], 2),
    "stacked": (of_all(stacked, 2), lambda n: [numbers(n, 3), numbers(3)], 2),
    "losses": (of_all(losses, 3), lambda n: [numbers(n, 3), numbers(3), numbers(n, 3)], 2),
    "in the middle": (of_all(in_the_middle, 2), lambda n: [numbers(n, 3), numbers(3)], 2),
    "two loops": (of_all(one_after_the_other, 2), lambda n: [numbers(n, 3), numbers(3)], 4),
    "columns": (of_all(columns, 2), lambda n: [numbers(3, 3), numbers(3, n)], 2),
    "shuffled rows": (of_all(shuffled, 2), lambda n: [numbers(n, 3), numbers(3)], 2),
    "constants": (of_all(constants, 2), lambda n: [numbers(n, 3), numbers(3)], 2),
    "one step differs": (of_all(one_step_differs, 2), lambda n: [numbers(n, 3), numbers(3)], 2),
    "three steps back": (of_all(three_steps_back, 2), lambda n: [numbers(n, 3), numbers(3)], 2),
    "overlapping windows": (overlapping, lambda n: [numbers(n, 3), numbers(3)], 1),
}
# the same with a number of steps that is not the length of an argument
OF_STEPS: dict[str, tuple[Callable[[int], Callable[..., Any]], list[Any], int]] = {
    "runge-kutta": (lambda n: of_all(lambda y, k, dt: runge_kutta(y, k, dt, n), 2), [numbers(3), numbers(3), 0.1], 2),
    "clock": (lambda n: of_all(lambda y, k, dt: clock(y, k, dt, n), 2), [numbers(3), numbers(3), 0.1], 2),
    "two steps back": (lambda n: of_all(lambda y, k: two_steps_back(y, k, n), 2), [numbers(3), numbers(3)], 2),
    "leapfrog": (lambda n: lambda q, p, eps: leapfrog(q, p, eps, n), [numbers(3), numbers(3), 0.1], 1),
}


def case(name: str, n: int) -> tuple[Callable[..., Any], list[Any], int]:
    if name in LOOPS:
        f, arguments, loops = LOOPS[name]
        return f, arguments(n), loops
    make, arguments_of_all, loops = OF_STEPS[name]
    return make(n), arguments_of_all, loops


def typed(args: list[Any], dtype: Any) -> list[Any]:
    return [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in args]


def program(f: Callable[..., Any], args: list[Any]) -> Program:
    leaves, rebuild = flatten([args, {}])
    return simplify(trace(f, [canonical(x, keep=True) for x in leaves], rebuild, frozenset())[0])


def run(made: Program, args: list[Any]) -> list[bytes]:
    found = run_operations(made, [canonical(x) for x in flatten([args, {}])[0]])
    return [np.asarray(x).tobytes() + np.asarray(x).dtype.str.encode() for x in found]


def loops_of(made: Program) -> list[Loop]:
    return [op.function for op in made.ops if isinstance(op.function, Loop)]


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", [*LOOPS, *OF_STEPS])
def test_a_loop_is_found_and_gives_the_same_bits(name: str, dtype: str) -> None:
    f, args, count = case(name, T)
    args = typed(args, dtype)
    made = program(f, args)
    wanted = run(made, args)
    short = roll_loops(made)
    assert len(loops_of(short)) == count
    assert run(short, args) == wanted


ROWS_OF = {
    "every second row": lambda x: sum(np.tanh(x[2 * t]).sum() for t in range(T)),
    "all but the ends": lambda x: sum(np.tanh(x[t]).sum() for t in range(1, T - 1)),
    "before two terms of the whole": lambda x: sum(np.tanh(x[t]).sum() for t in range(T)) + (
        (x * x).sum() + np.sin(x).sum()
    ),
    "after two terms of the whole": lambda x: (x * x).sum() + np.sin(x).sum() + sum(
        np.tanh(x[t]).sum() for t in range(T)
    ),
    "rows of -0.0": lambda x: sum((np.exp(x[t]) * -0.0).sum() for t in range(T)),
}  # fmt: skip


@pytest.mark.parametrize("f", ROWS_OF.values(), ids=ROWS_OF.keys())
def test_rows_of_a_gradient_lie_where_they_were_taken(f: Any) -> None:
    args = [numbers(2 * T, 3)]
    made = program(grad(f), args)
    wanted = run(made, args)
    spread_out = Program(stack_row_gradients(made.ops, made.outputs), made.inputs, made.outputs)
    assert run(spread_out, args) == wanted
    assert run(roll_loops(program(grad(f), args)), args) == wanted


@pytest.mark.parametrize(
    "name", [name for name in [*LOOPS, *OF_STEPS] if name not in ("shuffled rows", "one step differs")]
)
def test_the_size_of_a_rolled_program_is_independent_of_the_steps(name: str) -> None:
    sizes = []
    for n in (T, 3 * T):
        f, args, _ = case(name, n)
        made = roll_loops(program(f, args))
        bodies = [loop.step.program for loop in loops_of(made)]
        sizes.append([len(made.ops), *(len(body.ops) for body in bodies)])
    assert sizes[0] == sizes[1]


def same(f: Callable[..., Any], *args: Any) -> Program:
    """Return the program with its loops rolled, which gives the same bits."""
    made = program(f, list(args))
    wanted = run(made, list(args))
    short = roll_loops(made)
    assert run(short, list(args)) == wanted
    return short


def test_loops_in_loops() -> None:
    def nested(x: Any, w: Any) -> Any:
        h = x
        for _ in range(9):
            for _ in range(60):
                h = np.sin(h * w)
            h = h + x
        return (h * h).sum()

    (loop,) = loops_of(same(nested, numbers(3), numbers(3)))
    assert len(loop.order) == 9
    (inner,) = loops_of(roll_loops(loop.step.program))
    assert len(inner.order) == 60


def test_random_draws_stay_where_they_are() -> None:
    def walk(x: Any, rng: np.random.Generator) -> Any:
        for _ in range(40):
            x = np.tanh(x) * 0.9 + rng.normal(size=3) * 0.1
        return x

    assert not loops_of(roll_loops(program(walk, [numbers(3), np.random.default_rng(0)])))


def test_few_operations_stay_as_they_are() -> None:
    short = program(of_all(rnn, 2), [numbers(3, 3), numbers(3, 2), numbers(4, 2)])
    assert roll_loops(short) is short


def test_a_loop_is_rolled_if_it_saves_enough_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = program(of_all(rnn, 2), [numbers(3, 3), numbers(3, 2), numbers(20, 2)])
    before, after = (sum(op.kind not in VIEWS for op in some.ops) for some in (whole, roll_loops(whole)))
    saved = before - after
    monkeypatch.setattr(rolling, "LEAST", saved)
    assert roll_loops(whole) is not whole
    monkeypatch.setattr(rolling, "LEAST", saved + 1)
    assert roll_loops(whole) is whole


def test_single_numbers_stay_straight_code_up_to_some_thousand() -> None:
    def chain(x: Any, steps: int) -> Any:
        for _ in range(steps):
            x = np.sin(x * 1.01) + 0.1
        return x

    x = np.asarray(0.5)
    assert not loops_of(roll_loops(program(lambda x: chain(x, 300), [x])))
    assert loops_of(same(lambda x: chain(x, 1500), x))


def test_every_value_of_a_loop_may_be_returned() -> None:
    def all_of_it(x: Any) -> Any:
        states = [x]
        for _ in range(40):
            states.append(np.sin(states[-1]) * 0.9 + x)
        return states[::3], states[-1], states[17] + states[4]

    assert loops_of(same(all_of_it, numbers(4)))


def test_a_row_of_a_step_before_and_rows_of_rows() -> None:
    def both(x: Any, w: Any) -> Any:
        h = w
        for t in range(1, len(x)):
            h = np.tanh(h * x[t, 1]) + x[t - 1, ::2] * x[t][None, 0]
        return h

    assert loops_of(same(both, numbers(40, 4, 3), numbers(3)))


def test_a_number_or_an_index_that_is_an_argument() -> None:
    def f(x: Any, eps: float, k: Any) -> Any:
        for t in range(40):
            x = np.where(x > eps, x * eps, np.sin(x[k]) * (t * eps))
        return x

    assert loops_of(same(f, numbers(4), 0.3, np.array([1, 0, 3, 2])))


DONE: dict[str, Callable[..., Any]] = {
    "sin": lambda p, q, row, before, c: np.sin(p),
    "add": lambda p, q, row, before, c: 0.5 * (p + q),
    "multiply": lambda p, q, row, before, c: p * q,
    "where": lambda p, q, row, before, c: np.where(p > 0, p, q),
    "row": lambda p, q, row, before, c: p + row,
    "back": lambda p, q, row, before, c: p - 0.1 * before,
    "constant": lambda p, q, row, before, c: p * c,
    "sum": lambda p, q, row, before, c: p.sum() * 0.1,
}


@st.composite
def bodies(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    return draw(
        st.lists(st.tuples(st.sampled_from(sorted(DONE)), st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=8)
    )


def of_body(body: list[tuple[str, int, int]], odd: int) -> Callable[..., Any]:
    def f(x: Any, w: Any) -> Any:
        states = [w]
        for t in range(32):
            values = [states[-1], w]
            for name, a, b in body:
                p, q = values[a % len(values)], values[b % len(values)]
                before = states[-1 - min(a, len(states) - 1)]
                values.append(DONE[name](p, q, x[t], before, (t + 1) / 40 if b % 2 else 0.5))
            states.append(np.tanh(values[-1] * (0.7 if t == odd else 0.9)) * np.ones(3))
        return (states[-1] * states[odd % 20]).sum()

    return value_and_grad(f, argnums=(0, 1))


@settings(max_examples=12)
@given(bodies(), st.integers(-1, 40))
def test_random_bodies_give_the_same_bits(body: list[tuple[str, int, int]], odd: int) -> None:
    same(of_body(body, odd), numbers(32, 3), numbers(3))


@pytest.mark.parametrize("name", ["rnn", "lstm", "clock", "shuffled rows"])
def test_kernels_give_what_the_function_gives(name: str, plain_kernels: None) -> None:
    pytest.importorskip("numba")
    f, args, count = case(name, T)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        quick = compile(f, backend="numba")
        close(quick(*args), f(*args))
    plan = quick.plan(*args)
    assert [body.at_once for body in plan.code.bodies] == [True] * count


def test_a_donated_argument_that_a_loop_starts_from(plain_kernels: None) -> None:
    pytest.importorskip("numba")

    def descent(w: Any, x: Any) -> Any:
        for t in range(T):
            w = w - 0.1 * grad(lambda w, t=t: ((x[t] @ w) ** 2).sum())(w)
        return w

    quick, w, x = compile(descent, backend="numba", donate=(0,)), numbers(3), numbers(T, 5, 3)
    for _ in range(3):
        wanted = descent(w, x)
        w = quick(w.copy(), x)
        close(w, wanted)
    assert [op.name for op in quick.plan(w, x).program.ops].count("loop") == 1


def test_forward_mode_and_second_derivatives() -> None:
    along = lambda y, k: tg.jvp(lambda y: runge_kutta(y, k, 0.1), (y,), (k,))
    assert len(loops_of(same(along, numbers(3), numbers(3)))) == 2
    curved = lambda y, k: tg.hessian(lambda y: runge_kutta(y, k, 0.1))(y)
    assert len(loops_of(same(curved, numbers(2), numbers(2)))) == 4


def test_numbers_that_grow_with_the_steps_and_leave_the_loop() -> None:
    def f(y: Any, dt: float) -> Any:
        t, times = 0.0, []
        for _ in range(T):
            y, t = y + dt * np.sin(y + t), t + dt
            times.append(t)
        return y, t, times[5], y * t

    assert loops_of(same(f, numbers(3).astype("f4"), 0.1))


@pytest.mark.parametrize("kind", ["i8", "?", "c16"])
def test_loops_of_other_numbers(kind: str) -> None:
    def f(x: Any) -> Any:
        for t in range(40):
            if kind == "i8":
                x = np.maximum((x * 3 + t) % 17, 2)
            elif kind == "?":
                x = np.logical_xor(x, np.sin(1.0 * x + t) > 0) | (x > t)
            else:
                x = x * x * 0.5 + 0.1j * np.exp(1j * x)
        return x

    assert loops_of(same(f, (numbers(4) * 5).astype(kind)))


def close(found: Any, wanted: Any) -> None:
    for a, b in zip(flatten(found)[0], flatten(wanted)[0], strict=True):
        b = np.asarray(b.data if isinstance(b, tg.Tensor) else b)
        atol = 256 * np.finfo(b.dtype).eps * max(np.abs(b).max(), 1)  # roundings of so many operations on a way
        np.testing.assert_allclose(np.asarray(a), b, rtol=0, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_numba_compiles_a_step_once(dtype: str) -> None:
    pytest.importorskip("numba")
    f, args, _ = case("rnn", 300)
    args = typed(args, dtype)
    quick = compile(f, backend="numba")
    close(quick(*args), f(*args))
    plan = quick.plan(*args)
    short = compile(f, backend="numba").plan(*typed(case("rnn", 50)[1], dtype))
    assert quick.backend == "numba"
    assert len(plan.program.ops) == len(short.program.ops)
    sizes = [[writer.machine.size() for writer in code.all_writers()] for code in (plan.code, short.code)]
    assert sizes[0] == sizes[1]


def test_runs_of_a_pattern() -> None:
    ops = [Op("ufunc", name, name, []) for name in "xy" + "abcab" * 9 + "zz" + "pq" * 8]
    assert find_runs(ops, 8) == [Run(2, 47, 5), Run(49, 65, 2)]
