"""`scan`, `cond` and `while_loop` against the loops and branches of Python that they stand for."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import cond, grad, hessian, jacobian, jvp, scan, while_loop
from tinygrad_nn.gradcheck import check_gradients
from tinygrad_nn.transforms import control_flow

RNG = np.random.default_rng(0)


class Case(NamedTuple):
    """A function with control flow, the same in Python's own, arguments, and others that take another way."""

    ours: Callable[..., Any]
    python: Callable[..., Any]
    args: tuple[Any, ...]
    others: tuple[Any, ...]


class State(NamedTuple):
    h: Any
    count: Any


def states(W: Any, h: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = np.tanh(W @ h + x)
        return h, {"square": h * h, "first": h[0]}

    h, ys = scan(step, h, xs)
    return (h * h).sum() + np.sin(ys["square"]).sum() + (ys["first"] * np.arange(len(xs))).sum()


def states_python(W: Any, h: Any, xs: Any) -> Any:
    total = 0.0
    for t in range(len(xs)):
        h = np.tanh(W @ h + xs[t])
        total = total + np.sin(h * h).sum() + h[0] * t
    return total + (h * h).sum()


def backwards(w: Any, xs: Any) -> Any:
    carry, ys = scan(lambda c, x: ((c[0] * w + x["a"], c[1] + x["k"]), c[0] * c[1]), (0.0, 0), xs, reverse=True)
    return carry[0] * carry[1] + (ys * np.arange(len(ys))).sum()


def backwards_python(w: Any, xs: Any) -> Any:
    c, k, total = 0.0, 0, 0.0
    for t in range(len(xs["a"]) - 1, -1, -1):
        total = total + c * k * t
        c, k = c * w + xs["a"][t], k + xs["k"][t]
    return c * k + total


def collatz(x: Any, n: Any) -> Any:
    """A product of one factor for each step of a sequence whose length nobody knows."""

    def step(c: State) -> State:
        even = c.count % 2 == 0
        count = cond(even, lambda k: k // 2, lambda k: 3 * k + 1, c.count)
        return State(c.h * cond(even, np.sin, lambda x: x + 1.5, x), count)

    return while_loop(lambda c: c.count > 1, step, State(x, n)).h


def collatz_python(x: Any, n: Any) -> Any:
    h = x
    while n > 1:
        h, n = h * (np.sin(x) if n % 2 == 0 else x + 1.5), n // 2 if n % 2 == 0 else 3 * n + 1
    return h


def newton(a: Any, x: Any) -> Any:
    """The steps of Newton's method for a square root, until they are small."""
    step = lambda c: {"x": (c["x"] + a / c["x"]) / 2, "old": c["x"]}
    return while_loop(lambda c: np.abs(c["x"] - c["old"]) > 1e-3, step, {"x": x, "old": x + 1})["x"]


def newton_python(a: Any, x: Any) -> Any:
    old = x + 1
    while np.abs(x - old) > 1e-3:
        x, old = (x + a / x) / 2, x
    return x


def pieces(x: Any, w: Any) -> Any:
    return cond(x.sum() > 0, lambda x: (x * w).sum(), lambda x: (x * x).prod() + 1.0, x)


def pieces_python(x: Any, w: Any) -> Any:
    return (x * w).sum() if x.sum() > 0 else (x * x).prod() + 1.0


def clipped(xs: Any, limit: Any) -> Any:
    """A scan whose steps choose, within a branch."""

    def run(xs: Any) -> Any:
        step = lambda c, x: (cond(c > limit, lambda c: c / 2, lambda c: c + x * x, c), c)
        carry, ys = scan(step, limit / 3, xs)
        return carry + (ys * ys).sum()

    return cond(xs[0] > 0, run, lambda xs: -run(xs[::-1]), xs)


def clipped_python(xs: Any, limit: Any) -> Any:
    sign, xs = (1.0, xs) if xs[0] > 0 else (-1.0, xs[::-1])
    c, total = limit / 3, 0.0
    for x in xs:
        total = total + c * c
        c = c / 2 if c > limit else c + x * x
    return sign * (c + total)


def integral(theta: Any, x: Any) -> Any:
    """A scan within a while loop: steps of an equation of motion until it is where it should be."""

    def pass_of_four(c: Any) -> Any:
        return scan(lambda c, _: ((c[0] + 0.1 * c[1], c[1] - 0.1 * theta * np.sin(c[0])), None), c, length=4)[0]

    x, v = while_loop(lambda c: c[0] > 0.1, pass_of_four, (x, 0.0 * x))
    return x * x + v


def integral_python(theta: Any, x: Any) -> Any:
    v = 0.0 * x
    while x > 0.1:
        for _ in range(4):
            x, v = x + 0.1 * v, v - 0.1 * theta * np.sin(x)
    return x * x + v


W = RNG.normal(size=(3, 3)) * 0.5
ROWS = {"a": np.array([0.5, -1.0, 2.0]), "k": np.array([1, 2, 4])}
CASES = {
    "scan of states": Case(states, states_python, (W, np.ones(3), RNG.normal(size=(5, 3))),
                           (-W, np.zeros(3), RNG.normal(size=(5, 3)))),
    "scan of twenty rows": Case(states, states_python, (W, np.ones(3), RNG.normal(size=(20, 3))),
                                (W.T, np.ones(3), RNG.normal(size=(20, 3)))),
    "reversed scan": Case(backwards, backwards_python, (np.array(0.9), ROWS), (np.array(-0.3), ROWS)),
    "while and cond of integers": Case(collatz, collatz_python, (np.array(0.7), np.array(6)),
                                       (np.array(-0.4), np.array(7))),
    "while until small": Case(newton, newton_python, (np.array(2.0), np.array(1.5)), (np.array(300.0), np.array(1.0))),
    "while of no steps": Case(newton, newton_python, (np.array(2.0), np.array(1e9)), (np.array(2.0), np.array(1.5))),
    "cond": Case(pieces, pieces_python, (np.array([1.0, 2.0]), np.array([3.0, 4.0])),
                 (np.array([1.0, -2.0]), np.array([3.0, 4.0]))),
    "scan in cond": Case(clipped, clipped_python, (np.array([1.0, -0.5, 2.0, 1.5]), np.array(1.2)),
                         (np.array([-1.0, 2.0, 0.5, 0.6]), np.array(0.4))),
    "scan in while": Case(integral, integral_python, (np.array(2.0), np.array(1.0)), (np.array(0.7), np.array(2.0))),
}  # fmt: skip


def moving(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the places of the arguments that are made of floats."""
    return tuple(k for k, x in enumerate(args) if isinstance(x, np.ndarray) and x.dtype.kind == "f")


def leaves_of(tree: Any) -> list[Any]:
    return [np.asarray(x) for x in tg.tree.flatten(tree)[0]]


def close(a: Any, b: Any, rtol: float = 1e-12) -> None:
    """Compare to some thousand roundings: sums are in another order."""
    for x, y in zip(leaves_of(a), leaves_of(b), strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * max(1.0, np.abs(y).max(initial=0)))


@pytest.mark.parametrize("name", CASES)
def test_values_gradients_and_second_derivatives_are_those_of_the_loop(name: str) -> None:
    ours, python, args, others = CASES[name]
    for given in (args, others):
        close(ours(*given), python(*given))
        places = moving(given)
        close(grad(ours, places)(*given), grad(python, places)(*given))
        second = lambda f: hessian(lambda x: f(*given[: places[0]], x, *given[places[0] + 1 :]))  # noqa: B023
        close(second(ours)(given[places[0]]), second(python)(given[places[0]]))


@pytest.mark.parametrize("name", [name for name in CASES if name != "scan of twenty rows"])
def test_gradients_are_those_of_differences(name: str) -> None:
    ours, _, args, _ = CASES[name]
    if moving(args) == tuple(range(len(args))):
        assert check_gradients(ours, *args, order=2).ok


BATCHES: dict[str, Callable[..., Any]] = {
    "scan": lambda x: scan(lambda c, x: (c * 0.5 + x, np.sin(c)), 0.0, x)[1].sum(),
    "while_loop": lambda x: while_loop(lambda c: (c * c).sum() < 10, lambda c: c * 2, x).sum(),
    "cond": lambda x: cond(x.sum() > 0, lambda x: (x * x).sum(), lambda x: -x[0], x),
}


@pytest.mark.parametrize("name", BATCHES)
def test_samples_of_vmap_go_their_own_ways(name: str) -> None:
    f, x = BATCHES[name], np.array([[1.0, 0.5, 2.0], [0.1, -0.3, 0.1], [3.0, -4.0, 0.5]])
    for g in (f, grad(f)):
        close(tg.vmap(g)(x), np.stack([g(row) for row in x]))
    pairs = np.stack([x, -x])
    close(tg.vmap(tg.vmap(f))(pairs), np.stack([[f(row) for row in rows] for rows in pairs]))


def test_forward_mode_and_jacobians_go_through() -> None:
    f = lambda x: scan(lambda c, x: (c * x, c + x), x[0], x)[1]
    x = np.array([1.0, 2.0, 3.0])
    wanted = np.array([[2.0, 0, 0], [2, 1, 0], [4, 1, 1]])  # of 2 x0, x0² + x1, x0² x1 + x2
    close(jacobian(f)(x), wanted)
    close(jvp(f, (x,), (np.array([1.0, 10.0, 100.0]),))[1], wanted @ [1.0, 10.0, 100.0])


def test_float32_stays_float32() -> None:
    xs = np.ones(3, np.float32)
    carry, ys = scan(lambda c, x: (c + x, c * 2), 0.0, xs)
    assert (carry.dtype, ys.dtype) == (np.float32, np.float32)
    assert grad(lambda x: scan(lambda c, x: (c * x, None), 1.0, x)[0])(xs).dtype == np.float32
    assert while_loop(lambda c: c < 3, lambda c: c + xs[0], 0.0).dtype == np.float32


def test_a_number_takes_the_dtype_that_it_is_given() -> None:
    assert scan(lambda c, x: (c + x, None), 0, np.ones(2))[0] == 2.0
    assert scan(lambda c, _: (c + 1, c), 0, length=3)[1].tolist() == [0, 1, 2]
    carry, _ = scan(lambda c, x: (c + x, None), 0, np.ones(0, np.float32))
    assert (carry, carry.dtype) == (0, np.float32)


def test_scans_of_no_rows() -> None:
    carry, ys = scan(lambda c, x: (c + x["a"].sum(), {"y": x["a"] * c, "n": (1, None)}), 2.0, {"a": np.ones((0, 3))})
    assert (carry, ys["y"].shape, ys["n"][0].shape) == (2.0, (0, 3), (0,))
    assert ys["n"][1] is None
    assert ys["n"][0].dtype == np.int_
    f = lambda c, xs: scan(lambda c, x: (np.log(c) * x, c), c, xs)[0]
    assert grad(f, (0, 1))(2.0, np.ones(0)) == (1.0, pytest.approx(np.ones(0)))


def test_only_the_branch_that_is_chosen_runs() -> None:
    ran: list[str] = []
    assert cond(np.array(True), lambda: ran.append("true"), lambda: ran.append("false")) is None
    assert cond(np.float64(0), lambda x: x, lambda x: -x, {"a": 1.0}["a"]) == -1.0
    assert ran == ["true"]
    assert grad(lambda x: cond(x > 0, np.sqrt, lambda x: 0 * x, x))(-4.0) == 0  # np.where gives NaN


def test_the_carry_of_a_loop_may_be_empty() -> None:
    assert scan(lambda c, x: (None, x * 2), None, np.ones(2))[1].tolist() == [2, 2]
    assert while_loop(lambda c: False, lambda c: c, ()) == ()


def grown(c: Any, x: Any) -> Any:
    return np.append(c, x), None


REFUSED = {
    "no length": (lambda: scan(lambda c, x: (c, x), 0.0), ValueError, "without xs it needs length="),
    "another length": (lambda: scan(lambda c, x: (c, x), 0.0, np.ones(3), 4), ValueError, "have 3 rows, and length=4"),
    "two lengths": (lambda: scan(lambda c, x: (c, x), 0.0, (np.ones(3), np.ones(2))), ValueError, "3 and 2 rows"),
    "less than none": (lambda: scan(lambda c, x: (c, x), 0.0, length=-1), ValueError, "length=-1; it must be a whole"),
    "numbers for rows": (lambda: scan(lambda c, x: (c, x), 0.0, [1.0]), ValueError, "write np.array"),
    "no pair": (lambda: scan(lambda c, x: c, 0.0, np.ones(3)), TypeError, r"it must return a pair, \(carry, y\)"),
    "three": (lambda: scan(lambda c, x: (c, x, x), 0.0, np.ones(3)), TypeError, r"it must return a pair, \(carry, y\)"),
    "a list of one": (lambda: scan(lambda c, x: [c], 0.0, np.ones(3)), TypeError,
                      r"it must return a pair, \(carry, y\)"),
    "an array of two": (lambda: scan(lambda c, x: np.ones(2), 0.0, np.ones(3)), TypeError,
                        r"it must return a pair, \("),
    "a growing carry": (lambda: scan(grown, np.ones(1), np.ones(3)), TypeError,
                        r"float64\[2\] for the carry, which was float64\[1\].*put values that grow from step to step"),
    "another dtype": (lambda: scan(lambda c, x: ({"a": c["a"] + x}, None), {"a": np.float32(0)}, np.ones(3)), TypeError,
                      r"float64\[\] for the carry\['a'\], which was float32\[\] before. Write .astype\('float32'\)"),
    "other containers": (lambda: while_loop(lambda c: c[0] < 1, lambda c: [*c, 1], [0]), TypeError,
                         r"returned \[int64\[\], int64\[\]\] for the carry, which was \[a Python int\] before"),
    "another y": (lambda: scan(lambda c, x: (c + 1, np.ones(2) if c < 2 else 1.0), 0, np.ones(3)), TypeError,
                  r"returned float64\[\] for y, which was float64\[2\] before"),
    "a text": (lambda: while_loop(lambda c: True, lambda c: c, "a"), TypeError, "of numbers; it got a Python str"),
    "several conditions": (lambda: while_loop(lambda c: c > 0, lambda c: c, np.ones(2)), TypeError,
                           (r"what cond_fun returns must be a single truth value; it is bool\[2\]. For an "
                            r"array use np.any")),
    "several choices": (lambda: cond(np.ones(2) > 0, np.sin, np.cos, 1.0), TypeError,
                        r"pred must be a single truth value"),
    "no choice": (lambda: cond(None, np.sin, np.cos, 1.0), TypeError, r"pred must be a single truth value; it is None"),
    "no function": (lambda: cond(True, 1.0, np.cos, 1.0), TypeError, r"got float .* cond\(pred, true_fn, false_fn"),
    "no condition": (lambda: while_loop(np.array(True), np.sin, 1.0), TypeError, r"while_loop\(cond_fun, body_fun"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_loops_raise(name: str) -> None:
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


def test_rows_that_are_not_run_are_zeros() -> None:
    y = np.arange(1.0, 7).reshape(2, 3)
    zeros = np.zeros((3, 3))
    assert np.array_equal(control_flow._pad_rows(y, 5, False), np.concatenate([y, zeros]))
    assert np.array_equal(control_flow._pad_rows(y, 5, True), np.concatenate([zeros, y]))


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (None, "None"), (2, "a Python int"), (np.float32(2), "float32[]"),
        (tg.Tensor(np.ones((2, 3))), "float64[2, 3]"),
        ([1.0, None], "[a Python float, None]"), ((), "()"), ((True,), "(a Python bool)"), ({}, "{}"),
        ({"a": np.ones(2), 3: [1]}, "{'a': float64[2], 3: [a Python int]}"),
        (State(1, np.ones(1)), "(a Python int, float64[1])"),
        ([1] * 6, f"[{', '.join(['a Python int'] * 6)}]"), ([1] * 7, f"[{', '.join(['a Python int'] * 6)}, ...]"),
    ],
)  # fmt: skip
def test_a_nest_in_a_few_words(tree: Any, said: str) -> None:
    assert control_flow.nest_text(tree) == said


def test_a_choice_by_a_constant_is_made_once_in_a_compiled_function() -> None:
    def f(x: Any) -> Any:
        return cond(True, np.sin, lambda x: x[:1], x) + cond(np.array(0.0), lambda x: x[:1], np.cos, x)

    fast = tg.compile(f, backend="numpy")
    for x in (np.array([1.0, 2.0]), np.array([-1.0, 0.5])):
        close(fast(x), np.sin(x) + np.cos(x))
