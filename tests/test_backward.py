"""The backward walk: accumulation, freeing, hooks, depth, diamonds, memory, and anomaly detection."""

import gc
import inspect
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, detect_anomaly
from tinygrad_nn.backward import ancestors, walk

X = np.array([0.5, 1.5, 2.5])
LINE = Tensor([0.1, 0.2, 0.3])


# -- Gradients arrive at leaves


def test_gradients_arrive_at_every_leaf_and_at_leaves_only() -> None:
    x, w, c = Tensor(X), Tensor(2 * X), Tensor(X, requires_grad=False)
    y = x * w + c
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * X)
    np.testing.assert_array_equal(w.grad, X)
    assert c.grad is None
    with pytest.warns(tg.GradientWarning, match="made by add, so it is not a leaf"):
        assert y.grad is None
    assert type(x.grad) is np.ndarray


def test_backward_accumulates_until_grad_is_set_to_none() -> None:
    x = Tensor(X)
    (x * x).sum().backward()
    first = x.grad
    (3 * x).sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * X + 3)
    np.testing.assert_array_equal(first, 2 * X)  # the array handed out before is left alone
    x.grad = None
    (3 * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [3, 3, 3])
    x.grad = [1, 2, 3]
    assert x.grad.dtype == np.float64
    (3 * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [4, 5, 6])


def test_a_leaf_used_many_times_collects_every_use() -> None:
    x = Tensor(X)
    (x * x * x + np.sin(x) - x / 2 + x[0] + x[::-1] * X).sum().backward()
    np.testing.assert_allclose(x.grad, 3 * X**2 + np.cos(X) - 0.5 + [3, 0, 0] + X[::-1])


def test_backward_of_a_leaf_is_its_cotangent() -> None:
    x = Tensor(2.0)
    x.backward()
    assert x.grad == 1.0
    x.backward(3.0)
    assert x.grad == 4.0
    y = Tensor(X)
    seed = X.copy()
    y.backward(seed)
    seed[:] = 0
    np.testing.assert_array_equal(y.grad, X)


@pytest.mark.parametrize("gradient", [[1.0, 10.0, 100.0], np.array([1, 10, 100]), Tensor([1.0, 10.0, 100.0])])
def test_a_cotangent_may_be_given_as_list_array_or_tensor(gradient: Any) -> None:
    x = Tensor(X.astype(np.float32))
    (x * x).backward(gradient)
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, 2 * X * [1, 10, 100])


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_a_cotangent_has_the_dtype_of_the_result_from_the_start(dtype: Any) -> None:
    x, seen = Tensor(X.astype(dtype), requires_grad=True), []
    y = x * x
    y.register_hook(lambda g: seen.append(g.dtype))
    y.backward([1, 10, 100])
    assert seen == [np.dtype(dtype)]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_number_of_any_shape_needs_no_cotangent(shape: tuple[int, ...]) -> None:
    x = Tensor(np.full(shape, 3.0))
    (x * x).backward()
    assert x.grad.shape == shape
    assert x.grad.item() == 6.0


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda x: (x * x).backward(), ValueError, r"of shape \(3,\) needs a gradient.*t\.sum\(\)\.backward\(\)"),
        (lambda x: x.sum().backward(X), ValueError, r"the gradient has shape \(3,\); the Tensor has shape \(\)"),
        (lambda x: (x * 1).backward(1.0), ValueError, r"the gradient has shape \(\); the Tensor has shape \(3,\)"),
        (lambda x: Tensor(3).backward(), RuntimeError, r"backward\(\) on a constant: Tensor\(3\).*Tensor\(\[1\.0\]\)"),
        (lambda x: (x.detach() * 2).sum().backward(), RuntimeError, r"detached Tensors and results under no_grad"),
    ],
)
def test_backward_with_invalid_arguments_raises(act: Callable[[Tensor], Any], error: Any, message: str) -> None:
    x = Tensor(X)
    with pytest.raises(error, match=message):
        act(x)
    assert x.grad is None


def test_a_rule_that_returns_a_wrong_shape_is_named() -> None:
    wrong = tg.custom_vjp(lambda x: x * 2, lambda g, out, x: g[:2])
    with pytest.raises(ValueError, match=r"returned a gradient of shape \(2,\) for an argument of shape \(3,\)"):
        wrong(Tensor(X)).sum().backward()


# -- Gradients own their memory


def leaves_of_all_kinds() -> tuple[list[Tensor], Tensor]:
    leaves = [Tensor(X.copy()) for _ in range(8)]
    a, b, c, d, e, f, g, h = leaves
    y = (a + b) + (c - d) + np.broadcast_to(e[:1], (3,)) + np.concatenate([f[1:], f[:1]]) + g.reshape(1, 3)[0] + h.T
    return leaves, y


@pytest.mark.parametrize("retain_grads", [False, True])
def test_gradients_share_memory_with_nothing(retain_grads: bool) -> None:
    leaves, y = leaves_of_all_kinds()
    seed = np.ones(3)
    nodes = ancestors([y.node])
    y.backward(seed, retain_graph=True, retain_grads=retain_grads)
    grads = [node.grad for node in nodes if node.grad is not None]
    assert len(grads) == (len(nodes) if retain_grads else len(leaves))
    others = [seed, *(node.out for node in nodes)]
    for i, grad in enumerate(grads):
        assert grad.flags.writeable
        assert not any(np.shares_memory(grad, other) for other in grads[:i] + others)


def test_gradients_do_not_share_memory_with_what_a_hook_returned() -> None:
    x, buffer = Tensor(X.copy()), np.ones(3)
    x.register_hook(lambda g: buffer)
    (x * x).sum().backward()
    assert not np.shares_memory(x.grad, buffer)


def test_gradients_of_views_and_constants_leave_the_data_alone() -> None:
    data = X.copy()
    data.flags.writeable = False
    x = Tensor(data)
    (x[::2] * X[::2] + x.reshape(3, 1)[1:, 0].sum()).sum().backward()
    x.grad += 1
    np.testing.assert_array_equal(data, X)


# -- Freeing and keeping the graph


def test_a_second_walk_says_that_the_graph_was_freed() -> None:
    x = Tensor(X)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"freed by an earlier backward\(\).*backward\(retain_graph=True\)"):
        y.backward()
    np.testing.assert_array_equal(x.grad, 2 * X)


def test_a_walk_into_a_part_that_was_freed_says_so_and_changes_nothing() -> None:
    x = Tensor(X)
    shared = np.exp(x)
    a, b = (shared * 2).sum(), (shared * 3).sum()
    a.backward()
    before = x.grad
    with pytest.raises(RuntimeError, match="was freed"):
        b.backward()
    with pytest.raises(RuntimeError, match="was freed"):
        (shared + 1).sum().backward()
    assert x.grad is before


def test_retain_graph_allows_another_walk() -> None:
    x = Tensor(X)
    y = (x * x).sum()
    for times in (1, 2, 3):
        y.backward(retain_graph=True)
        np.testing.assert_array_equal(x.grad, 2 * X * times)
    y.backward()
    with pytest.raises(RuntimeError, match="was freed"):
        y.backward()


def test_a_freed_graph_keeps_no_arrays() -> None:
    x = Tensor(X)
    hidden = np.exp(x * 2)
    held = weakref.ref(hidden.data)
    y = (hidden * hidden).sum()
    del hidden
    assert held() is not None
    y.backward()
    assert held() is None
    assert y.item() > 0


def test_retain_grads_keeps_the_gradients_of_everything_on_the_way() -> None:
    x = Tensor(X)
    y = x * 3
    z = np.sin(y)
    total = z.sum()
    total.backward(retain_grads=True)
    assert total.grad == 1.0
    np.testing.assert_array_equal(z.grad, [1, 1, 1])
    np.testing.assert_allclose(y.grad, np.cos(3 * X))
    np.testing.assert_allclose(x.grad, 3 * np.cos(3 * X))
    again = np.sin(y.detach() + x)
    again.sum().backward()
    with pytest.warns(tg.GradientWarning, match="made by sin, so it is not a leaf"):
        assert again.grad is None


def test_retained_gradients_of_a_second_walk_replace_those_of_the_first() -> None:
    x = Tensor(X)
    y = x * 3
    total = (y * y).sum()
    total.backward(retain_graph=True, retain_grads=True)
    total.backward(retain_grads=True)
    np.testing.assert_array_equal(y.grad, 6 * X)
    np.testing.assert_array_equal(x.grad, 2 * 18 * X)


def test_functional_gradients_never_accumulate() -> None:
    x = Tensor(X)
    w = Tensor(X)
    tg.grad(lambda v: (v * w).sum())(x)
    tg.grad(lambda v: (v * v).sum())(X)
    assert x.grad is None
    assert w.grad is None


def test_a_walk_stops_at_the_nodes_that_are_wanted() -> None:
    x = Tensor(X)
    y = x * 2
    z = (y * y).sum()
    found = walk(z.node, np.ones(()), wanted=frozenset([y.node]))
    np.testing.assert_array_equal(found[y.node], 4 * X)
    assert x.grad is None


def test_a_walk_never_goes_past_the_oldest_node_that_is_wanted() -> None:
    x = Tensor(X)
    old = np.exp(x)
    old.sum().backward()  # which frees what is before it
    np.testing.assert_array_equal(tg.tensor.raw(tg.grad(lambda v: (v * old * v).sum())(X)), 2 * X * old.data)
    seen: list[Any] = []
    x.register_hook(seen.append)
    fresh = np.exp(x)
    fresh.register_hook(seen.append)
    tg.grad(lambda v: (v * fresh).sum())(X)
    assert seen == []


# -- Hooks


def test_hooks_run_in_order_once_each_on_the_complete_gradient() -> None:
    x = Tensor(X)
    y = x * 2
    seen: list[tuple[str, Any]] = []
    for name, t in (("x1", x), ("y", y), ("x2", x)):
        t.register_hook(lambda g, name=name: seen.append((name, g)))
    (y * y + y).sum().backward()
    assert [name for name, _ in seen] == ["y", "x1", "x2"]
    np.testing.assert_array_equal(seen[0][1], 4 * X * 2 / 2 + 1)  # both uses of y are in it
    np.testing.assert_array_equal(seen[1][1], 2 * (4 * X + 1))
    assert all(type(g) is np.ndarray for _, g in seen)


def test_what_a_hook_returns_replaces_the_gradient_for_all_that_follows() -> None:
    x = Tensor(X)
    y = x * 2
    y.register_hook(lambda g: np.clip(g, -1, 1))
    x.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: None)
    (100 * y).sum().backward(retain_grads=True)
    np.testing.assert_array_equal(y.grad, [1, 1, 1])
    np.testing.assert_array_equal(x.grad, [20, 20, 20])


def test_a_hook_cannot_change_the_dtype() -> None:
    x = Tensor(X.astype(np.float32))
    x.register_hook(lambda g: g.astype(np.float64) * 2)
    (x * 1).sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [2, 2, 2])


def test_a_removed_hook_runs_no_more_and_may_be_removed_twice() -> None:
    x = Tensor(X)
    seen: list[int] = []
    remove = x.register_hook(lambda g: seen.append(1))
    x.register_hook(lambda g: seen.append(2))
    (x * 1).sum().backward()
    remove()
    remove()
    (x * 1).sum().backward()
    assert seen == [1, 2, 2]


def test_a_hook_may_remove_itself() -> None:
    x = Tensor(X)
    seen: list[int] = []

    def hook(g: Any) -> None:
        seen.append(1)
        remove()

    remove = x.register_hook(hook)
    x.register_hook(lambda g: seen.append(2))
    for _ in range(2):
        (x * 1).sum().backward()
    assert seen == [1, 2, 2]


def test_a_hook_that_returns_another_shape_is_refused() -> None:
    x = Tensor(X)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(ValueError, match=r"a hook returned a gradient of shape \(\) in place of one of \(3,\)"):
        (x * 2).sum().backward()


def test_hooks_see_tensors_where_the_gradient_is_itself_differentiated() -> None:
    kinds = []

    def f(x: Any) -> Any:
        y = x * x
        y.register_hook(lambda g: (kinds.append(type(g)), g * 2)[1])
        return (y * x).sum()

    first = tg.grad(f)(2.0)
    assert first == 4 + 2 * 8  # of x³ = y x: y, and 2x times x, doubled
    second = tg.grad(lambda x: tg.grad(f)(x))(2.0)
    assert second == 2 * 4 + 16  # the walk outside passes y too, and doubles there as well
    assert kinds == [np.ndarray, Tensor, np.ndarray]


# -- Depth, diamonds, memory


@pytest.mark.parametrize("step", [lambda y: y + y, lambda y: y * 1.0 + y, lambda y: np.add(y, y)])
def test_a_diamond_of_2_to_the_60_paths_is_instant(step: Callable[[Tensor], Tensor]) -> None:
    start = time.perf_counter()
    x = y = Tensor(1.0)
    for _ in range(60):
        y = step(y)
    y.backward(retain_graph=True)
    assert x.grad == 2.0**60
    (g,) = [tg.grad(lambda v: _doubled(v, 60))(1.0)]
    assert g == 2.0**60
    assert time.perf_counter() - start < 1


def _doubled(y: Any, times: int) -> Any:
    for _ in range(times):
        y = y + y
    return y


def test_nodes_are_walked_once_each() -> None:
    x = y = Tensor(1.0)
    for _ in range(30):
        y = y + y
    assert len(ancestors([y.node])) == 31
    indices = [node.index for node in ancestors([y.node, x.node])]
    assert indices == sorted(indices, reverse=True)


def _chain(n: int) -> tuple[Tensor, Tensor]:
    x = y = Tensor(1.0)
    for _ in range(n):
        y = y + 1e-6
    return x, y


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    ("n", "walked"),
    [
        (20_000, "backward"), (20_000, "retained"), (20_000, "never"),
        # a recursion in C would overflow a stack of 8 MB here: a call takes more than 40 bytes
        pytest.param(200_000, "backward", marks=pytest.mark.slow),
        pytest.param(200_000, "never", marks=pytest.mark.slow),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("no_collector")
def test_a_long_chain_goes_forward_back_and_away_without_recursion_or_collector(n: int, walked: str) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)  # well under n
    try:
        x, y = _chain(n)
        links = [weakref.ref(node) for node in ancestors([y.node])[:: n // 10]]
        assert len(links) >= 10
        if walked != "never":
            y.backward(retain_graph=walked == "retained")
            assert x.grad == 1.0
        del x, y
        assert [link() for link in links] == [None] * len(links)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("no_collector")
def test_training_leaves_nothing_behind_for_the_collector() -> None:
    w = Tensor(np.eye(3))

    def step() -> None:
        loss = (np.tanh(w @ X) ** 2).sum()
        loss.backward()
        w.grad = None
        tg.grad(lambda v: (np.tanh(v @ X) ** 2).sum())(np.eye(3))
        tg.grad(lambda v: (tg.grad(lambda u: (u**3).sum())(v) ** 2).sum())(X)

    step()
    gc.collect()
    count = len(gc.get_objects())
    for _ in range(50):
        step()
    assert len(gc.get_objects()) - count < 50
    assert gc.collect() < 50


@pytest.mark.parametrize(
    "step",
    [lambda y: np.sin(y), lambda y: y + 1.0, lambda y: 0.5 * y, lambda y: y * X, lambda y: y - LINE],
    ids=["one", "number", "number first", "array", "two"],
)
@pytest.mark.usefixtures("no_collector")
def test_a_recorded_operation_is_one_object_to_the_collector(step: Callable[[Any], Any]) -> None:
    y = step(Tensor(X))
    before = len(gc.get_objects())
    for _ in range(300):
        y = step(y)
    assert len(gc.get_objects()) - before < 330


def test_a_long_chain_that_comes_again_wakes_the_collector_seldom() -> None:
    """Nodes that `backward` freed are reused, so no new objects are made that would trigger the garbage collector."""
    _chain(20_000)[1].backward()
    gc.collect()
    woken: list[str] = []
    gc.callbacks.append(heard := lambda phase, _: woken.append(phase))
    try:
        x, y = _chain(20_000)
        y.backward()
    finally:
        gc.callbacks.remove(heard)
    assert x.grad == 1.0
    assert woken.count("start") < 20, "20,000 containers would wake it 28 times"


def test_a_node_that_somebody_holds_does_not_serve_again() -> None:
    x = y = Tensor(1.0)
    kept, watched = [], []
    for k in range(10_000):
        y = y * 1.0001
        if k in (10, 5_000):
            kept.append(y)
        if k in (20, 6_000):
            watched.append(weakref.ref(y.node))
        if k == 30:
            y.register_hook(lambda g: None)
    y.backward()
    assert x.grad == pytest.approx(1.0001**10_000)
    held = [t.node for t in kept]
    _, again = _chain(10_000)
    assert not set(held) & set(ancestors([again.node]))
    assert [link() for link in watched] == [None, None]
    for t in kept:
        assert (t.node.primitive.name, t.node.args, t.node.parents) == ("multiply", None, None)
        with pytest.raises(RuntimeError, match="freed"):
            t.backward()


def test_a_node_dies_with_its_last_tensor() -> None:
    x = Tensor(X)
    y = x * 2
    link = weakref.ref(y.node)
    gc.disable()
    try:
        del y
        assert link() is None
    finally:
        gc.enable()


# -- Second order through the same walk


def test_the_gradient_of_a_gradient_goes_through_every_kind_of_node() -> None:
    def f(x: Any) -> Any:
        y = np.concatenate([x[1:], np.sin(x[:1])]) * x
        return (y.reshape(3, 1) @ y[None]).sum() / (1 + np.max(y))

    hessian = np.stack([tg.grad(lambda v, i=i: tg.grad(f)(v)[i])(X) for i in range(3)])
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    h = 1e-5
    for i, e in enumerate(np.eye(3)):
        numerical = (tg.grad(f)(X + h * e) - tg.grad(f)(X - h * e)) / (2 * h)
        np.testing.assert_allclose(hessian[i], numerical, rtol=1e-6, atol=1e-8)


# -- Anomaly detection


def here() -> str:
    """File and line of the caller."""
    frame = inspect.currentframe().f_back
    return f"{__file__}:{frame.f_lineno}"


def error_of(act: Callable[[], Any], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


def test_a_nan_born_in_a_forward_is_named_with_its_line() -> None:
    x = Tensor([1.0, -1.0], name="speed")
    lines = []

    def act() -> None:
        with detect_anomaly():
            y = x * 2
            lines.append(here()); np.log(y)  # noqa: E702 - one line, so that its number is known

    text = error_of(act, FloatingPointError)
    assert text.startswith("log made nan of finite numbers at entry (1,), in log(array float64[2])")
    assert f"at {lines[0]}: " in text
    assert "np.log(y)" in text


def test_an_infinity_born_in_a_forward_is_named() -> None:
    def act() -> None:
        with detect_anomaly():
            np.exp(Tensor([[0.0, 1e4]], name="score"))

    text = error_of(act, FloatingPointError)
    assert text.startswith("exp made inf of finite numbers at entry (0, 1), in exp(score float64[1, 2]) at ")
    assert __file__ in text


def test_a_nan_born_in_a_rule_is_named_with_the_line_of_its_forward() -> None:
    x = Tensor([0.0, 4.0], name="area")
    lines = []

    def act() -> None:
        with detect_anomaly():
            lines.append(here()); y = np.sqrt(x)  # noqa: E702
            y.sum().backward()

    text = error_of(act, FloatingPointError)
    assert text.startswith("the rule of argument 0 made inf of finite numbers at entry (0,), in the gradient of sqrt(")
    assert f"at {lines[0]}: " in text


def test_a_constant_that_holds_nan_is_blamed_itself() -> None:
    def act() -> None:
        with detect_anomaly():
            Tensor(X) * np.array([1.0, np.nan, 2.0])

    assert "the constant in argument 1 of multiply(array float64[3], array float64[3]) at" in error_of(
        act, FloatingPointError
    )


ENDLESS = tg.custom_vjp(lambda x: x * 2, lambda g, out, x: g * np.inf)
CHOSEN = "Two eigenvalues are equal to rounding, and the result depends on which of the possible vectors NumPy chose "


@pytest.mark.parametrize(
    ("f", "blamed", "why"),
    [
        (lambda x: ENDLESS(x), "lambda(", ""), (lambda x: np.sqrt(ENDLESS(x)), "lambda(", ""),
        (lambda x: np.sin(ENDLESS(x)) * x, "lambda(", ""),
        (lambda x: np.sqrt(x - 0.5), "sqrt(", ""),  # whose kinks say nothing of NaN
        (lambda x: np.linalg.eigh(np.diag(x * 0 + 1))[1], "eigh_rows(", CHOSEN),
        (lambda x: np.linalg.qr(x[0] * np.ones((3, 3)))[1], "qr_rows(", "It is NaN where a column that depends"),
    ],
)  # fmt: skip
def test_anomaly_detection_names_the_failing_rule_and_cause(f: Any, blamed: str, why: str) -> None:
    def act() -> None:
        with detect_anomaly():
            f(Tensor(X)).sum().backward()

    text = error_of(act, FloatingPointError)
    assert f"in the gradient of {blamed}" in text
    assert why in text
    assert bool(why) == ("It is" in text or "Two" in text)


def test_a_graph_that_was_freed_is_called_so_and_not_written_into() -> None:
    with detect_anomaly():
        y = np.exp(Tensor(X)).sum()
        y.backward()
        with pytest.raises(RuntimeError, match="was freed"):
            y.backward()


def test_an_infinity_put_in_on_purpose_is_let_through() -> None:
    with detect_anomaly():
        chosen = np.where(np.array(["yes", ""]), Tensor([np.inf, 0.0]), 1.0)  # an argument that is no number
        y = np.maximum(Tensor(X), -np.inf)
        tg.logsumexp(Tensor([-np.inf, 0.0])).backward()
    assert np.isfinite(y.data).all()
    assert chosen.data.tolist() == [np.inf, 1.0]


@pytest.mark.parametrize("victim", ["argument", "constant", "result"])
def test_an_array_written_into_between_forward_and_backward_is_reported(victim: str) -> None:
    x, c = Tensor(X.copy(), name="x"), X.copy()

    def act() -> None:
        with detect_anomaly():
            y = np.exp(x) * c
            y.data.setflags(write=True)  # by itself NumPy refuses
            {"argument": x.data, "constant": c, "result": y.data}[victim][0] = 7.0
            y.sum().backward()

    text = error_of(act, RuntimeError)
    assert "was written into between forward and backward" in text
    assert ("exp(x " if victim == "argument" else "(array float64[3]") in text
    assert f"at {__file__}:" in text


def test_outside_the_block_nothing_is_checked_also_after_an_error() -> None:
    with pytest.raises(FloatingPointError), detect_anomaly():
        np.exp(Tensor(1e4))
    with np.errstate(all="ignore"):
        assert np.isinf(np.exp(Tensor(1e4)).data)
        with detect_anomaly():
            pass
        assert np.exp(Tensor(1e4)).node.notes is None


def test_a_sound_computation_passes_in_both_orders() -> None:
    with detect_anomaly():
        w = Tensor(np.eye(3))
        (np.tanh(w @ X) ** 2).sum().backward()
        tg.grad(lambda x: tg.grad(lambda y: (y**3).sum())(x).sum())(X)
    np.testing.assert_allclose(np.diag(w.grad), 2 * np.tanh(X) * (1 - np.tanh(X) ** 2) * X)


def test_constants_are_not_checked_since_no_gradient_meets_them() -> None:
    with detect_anomaly(), np.errstate(all="ignore"):
        assert np.isnan(np.log(Tensor(-1.0, requires_grad=False)).data)
