"""A trace that is refused names the line of user code; random numbers that a trace cannot see are detected."""

import builtins
import functools
import inspect
import os
import re
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import compile
from tinygrad_nn.compiled.trace import side_effects
from tinygrad_nn.compiled.trace.nodes import Untraceable
from tinygrad_nn.compiled.trace.side_effects import HiddenGenerators

TABLE = [0.5, 1.5, 2.5]


def line_of(function: Any, part: str) -> int:
    lines, start = inspect.getsourcelines(function)
    return start + next(k for k, text in enumerate(lines) if part in text and not text.strip().startswith("def"))


def indexed(x: Any) -> Any:
    picked = TABLE[np.argmax(x)]
    x = x * 2
    return picked * x


def branched(x: Any) -> Any:
    x = x * 2
    if x[0] > 1:
        x = x + 1
    return x


def wrong(x: Any) -> Any:
    if isinstance(x, tg.Tensor):
        raise KeyError("not a Tensor")
    return x * 2


@pytest.mark.parametrize(
    ("function", "part", "why"),
    [(indexed, "TABLE[", "an index depends on a value"),
     (branched, "if x[0]", "truth value of a Tensor"),
     (wrong, "raise KeyError", "KeyError")],
)  # fmt: skip
def test_the_reported_line_is_the_users(function: Any, part: str, why: str) -> None:
    f, x = compile(function, backend="numpy"), np.array([1.0, 3.0])
    with pytest.warns(RuntimeWarning, match=why) as told:
        np.testing.assert_array_equal(f(x), function(x))
    assert len(told) == 1
    assert f"{__file__}:{line_of(function, part)}: " in str(told[0].message)


def seeded() -> np.random.Generator:
    return np.random.default_rng(0)


def shuffled(x: Any, rng: Any) -> Any:
    y = np.arange(2.0)
    rng.shuffle(y)
    return x * y


def given_data(t: Any) -> Any:
    t.data = np.zeros(2)
    return t * 2


def given_a_gradient(t: Any) -> Any:
    t.grad = np.ones(2)
    return t * 2


def written(x: Any) -> Any:
    (mask := tg.Tensor(np.ones(2), requires_grad=False))[0] = 0.0
    return x * mask


def written_by_an_operator(x: Any) -> Any:
    mask = other = tg.Tensor(np.ones(2), requires_grad=False)
    mask += 1
    return x * other


def printed(x: Any, n: float) -> Any:
    return x * n if f"{n:.1f}" else x


FACTOR = tg.Tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("function", "args", "why"),
    [
        (shuffled, (seeded,), "rng.shuffle writes into an array; use rng.permutation."),
        (lambda x, rng: x * rng.spawn(1)[0].random(), (seeded,), "rng.spawn inside a compiled call."),
        (lambda x, rng: x * len(rng.bytes(3)), (seeded,), "rng.bytes gives no array."),
        (written, (), "t[index] = x, or t += x, writes into a Tensor."),
        (written_by_an_operator, (), "t[index] = x, or t += x, writes into a Tensor."),
        (lambda x: x * FACTOR, (), "it uses a Tensor that requires gradients and is not among the arguments"),
        (lambda x: tg.grad(lambda v: (v * FACTOR).sum())(x), (), "it uses a Tensor that requires gradients and is not"),
        (lambda x: x * 2 if x.flags.c_contiguous else x, (), "the order of its entries in memory decides what is"),
        (lambda x: np.ravel(x, "K"), (), "the order of its entries in memory decides what is"),
        (lambda x: x.reshape(-1, order="A"), (), "the order of its entries in memory decides what is"),
        (lambda x: x * len(np.array2string(x)), (), "np.array2string depends on a value"),
        (lambda x: x * len(np.packbits(x > 1)), (), "the number of entries that np.packbits returns depends on the"),
        (lambda x: x * (np.savetxt(os.devnull, x) is None), (), "np.savetxt has no rule here, so it cannot be traced."),
        (printed, (lambda: 2.0,), "printing a number depends on a value"),
    ],
)  # fmt: skip
def test_a_warning_names_the_untraceable_call(function: Any, args: tuple[Any, ...], why: str) -> None:
    f, x = compile(function, backend="numpy"), np.array([1.0, 3.0])
    with pytest.warns(RuntimeWarning, match=f": {re.escape(why)}.*It runs without compilation"):
        found = f(x, *(make() for make in args))
    np.testing.assert_array_equal(found, tg.tensor.raw(function(x, *(make() for make in args))))


@pytest.mark.parametrize(
    ("function", "why"),
    [(given_data, "t.data = ... changes an argument; return the new value instead."),
     (given_a_gradient, "t.grad = ... changes an argument; return the gradient instead.")],
)  # fmt: skip
def test_writing_into_an_argument_is_refused(function: Any, why: str) -> None:
    f = compile(function, backend="numpy")
    with pytest.warns(RuntimeWarning), pytest.raises(RuntimeError, match=re.escape(why)):
        f.plan(tg.Tensor([1.0, 3.0], requires_grad=False))


def test_eig_of_real_matrices_warns_in_a_trace() -> None:
    f, x = compile(lambda x: np.linalg.eig(x)[0] * 1.0, backend="numpy"), np.array([[0.0, 1.0], [-1.0, 0.0]])
    with pytest.warns(RuntimeWarning, match=r"np\.linalg\.eig of real numbers returns real or complex ones"):
        np.testing.assert_allclose(f(x), np.linalg.eigvals(x))
    fast = compile(lambda x: np.linalg.eig(x)[0] * 1.0, backend="numpy")
    np.testing.assert_allclose(fast(x + 0j), np.linalg.eigvals(x))
    assert not any(isinstance(plan, str) for plan in fast.plans.values())


def test_a_missing_attribute_may_be_queried() -> None:
    f, x = compile(lambda x: x * getattr(x, "scale", 2.0), backend="numpy"), np.ones(3)
    np.testing.assert_array_equal(f(x), [2, 2, 2])
    f.plan(x)  # raises if there is none


def test_a_known_source_line_is_named() -> None:
    assert str(Untraceable("why", at=("file", 7))) == "file:7: why"
    assert str(Untraceable("why")).startswith(f"{__file__}:")
    assert Untraceable("why", [3, 1]).slots == (3, 1)


# -- Random generators that a function reaches


class Holder:
    """Something with a generator in it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.parts = {"inner": [rng]}

    def draw(self, x: Any) -> Any:
        return x * self.parts["inner"][0].random()

    def __call__(self, x: Any) -> Any:
        return self.draw(x)


class Slots:
    """What has no dictionary, and raises where it is looked at."""

    __slots__ = ("rng",)

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError


GENERATOR = np.random.default_rng(0)


def of_global(x: Any) -> Any:
    return x * GENERATOR.random()


def named(x: Any, rng: np.random.Generator) -> Any:
    return x * rng.random()


def reaching(rng: np.random.Generator) -> dict[str, Any]:
    holder, cell = Holder(rng), [rng]
    return {
        "closure": lambda x: x * rng.random(), "closure in a list": lambda x: x * cell[0].random(),
        "method": holder.draw, "object": holder, "default": lambda x, rng=rng: x * rng.random(),
        "keyword": lambda x, *, rng=rng: x * rng.random(), "partial": functools.partial(named, rng=rng),
        "partial by place": functools.partial(lambda rng, x: x * rng.random(), rng),
        "wrapped": functools.wraps(named)(lambda x: holder(x)),
    }  # fmt: skip


@pytest.mark.parametrize("way", reaching(GENERATOR))
def test_a_generator_that_is_reached_is_found_and_set_back(way: str) -> None:
    rng = np.random.default_rng(7)
    function = reaching(rng)[way]
    assert HiddenGenerators(function).generators == [rng]
    f, state = compile(function, backend="numpy"), rng.bit_generator.state
    found = HiddenGenerators(function)
    rng.random(3)
    with pytest.raises(Untraceable, match="not among its arguments"):
        found.check()
    assert rng.bit_generator.state == state
    with pytest.warns(RuntimeWarning, match="draws from a random generator that is not among"):
        seen = [f(1.0) for _ in range(3)]
    rng.bit_generator.state = state
    assert seen == [function(1.0) for _ in range(3)], "as if it had not been traced"


def test_generators_elsewhere_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    given = np.random.Generator(rng.bit_generator)
    assert HiddenGenerators(of_global).generators == [GENERATOR]
    assert HiddenGenerators(lambda x: x * rng.random(), [given]).generators == [], "its draws are recorded"
    assert HiddenGenerators(lambda x: x * Slots.__name__).generators == []
    empty = types.FunctionType((lambda: later).__code__, {})  # noqa: F821
    assert HiddenGenerators(empty).generators == []
    many = [[] for _ in range(50)]
    function = lambda x: (x, many, rng)
    assert HiddenGenerators(function).generators == [rng]
    monkeypatch.setattr(side_effects, "MANY", 2)
    assert HiddenGenerators(lambda x: (x, many)).generators == []
    HiddenGenerators(function).check()


def test_numpys_own_state_is_set_back() -> None:
    found = HiddenGenerators(np.sin)
    first = np.random.mtrand._rand.random()
    with pytest.raises(Untraceable, match=r"draws from np\.random itself"):
        found.check()
    found.check()
    assert np.random.mtrand._rand.random() == first


# -- backward() inside a trace


def twice(w: Any) -> Any:
    W = tg.Tensor(w)
    (W * W).sum().backward()
    first = W.grad * 1.0
    (3.0 * W).sum().backward()
    kept = W * 2.0
    (kept * kept).sum().backward(retain_grads=True)
    total = W.grad * 1.0
    W.grad = None
    (W * W).backward(np.ones(2))
    return first, total, kept.grad, W.grad


def test_gradients_add_up_until_they_are_cleared() -> None:
    f, w = compile(twice, backend="numpy"), np.array([1.0, -2.0])
    for x in (w, w + 1):
        found = f(x)
        for a, b in zip(found, (2 * x, 2 * x + 3 + 8 * x, 4 * x, 2 * x), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
        for a, b in zip(found, twice(x), strict=True):
            np.testing.assert_array_equal(a, np.asarray(b.data if isinstance(b, tg.Tensor) else b))
    assert not any(isinstance(plan, str) for plan in f.plans.values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(lambda W: W.detach().backward(), "constant"), (lambda W: (W * W).backward(), "needs a gradient of that shape"),
     (lambda W: (W.detach() * 2).sum().backward(), "constant")],
)  # fmt: skip
def test_what_backward_refuses_it_refuses_in_a_trace(wrong: Any, message: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=message):
        compile(lambda w: wrong(tg.Tensor(w)), backend="numpy")(np.ones(2))


def test_a_folder_whose_name_begins_like_the_package_is_user_code() -> None:
    file = f"{Path(tg.__file__).parent}_homework/mine.py"
    space: dict[str, Any] = {}
    exec(builtins.compile("def f(x):\n    return x if x.sum() > 0 else -x\n", file, "exec"), space)
    with pytest.warns(RuntimeWarning, match=re.escape(f"{file}:2: ")):
        compile(space["f"], backend="numpy")(np.ones(2))
