"""Forward mode: the JVP rule of each row against the transpose of the whole backward walk."""

import itertools
from typing import Any

import numpy as np
import pytest
from cases.case import Case
from test_primitives import ROWS, arguments, generator, moving

import tinygrad_nn as tg
from tinygrad_nn import Tensor, grad, jacobian, jvp, vjp
from tinygrad_nn.primitive import REGISTRY, Primitive
from tinygrad_nn.transforms import new_input
from tinygrad_nn.transforms.forward_mode import path, push
from tinygrad_nn.tree import flatten

EPS = np.finfo(float).eps


def by_two_walks(f: Any, arrays: Any, directions: Any) -> list[Any]:
    """The directional derivative, as the transpose of `vjp`, which is linear in its cotangent."""
    value, pull = vjp(f, *arrays)
    outs, rebuild = flatten(value)
    rng = np.random.default_rng(5)
    cotangents = [rng.uniform(0.5, 1.5, np.shape(out)).astype(np.asarray(out).dtype) for out in outs]
    _, back = vjp(lambda *cs: pull(rebuild(list(cs))), *cotangents)
    return [tg.tensor.raw(g) for g in back(tuple(directions))]


def floats(value: Any) -> bool:
    return all(np.asarray(tg.tensor.raw(out)).dtype.kind in "fc" for out in flatten(value)[0])


@pytest.mark.parametrize("case", [case for case in ROWS if case.order == 2], ids=str)
def test_tangents_are_the_transpose_of_cotangents(case: Case) -> None:
    arrays = arguments(case)
    slots = moving(case, arrays)
    rng = generator(case)
    for subset in [slots, *([(i,) for i in slots] if len(slots) > 1 else [])]:

        def f(*moved: Any, subset: Any = subset) -> Any:
            given = list(arrays)
            for i, x in zip(subset, moved, strict=True):
                given[i] = x
            return case.call(*given)

        points = [arrays[i] for i in subset]
        directions = [rng.standard_normal(x.shape).astype(x.dtype) for x in points]
        try:
            value, found = jvp(f, points, directions)
        except (TypeError, ValueError, AttributeError):
            assert len(subset) < len(slots)  # NumPy does not tell us of a Tensor there, see test_orders
            continue
        if not floats(value):
            continue
        for mine, theirs in zip(flatten(found)[0], by_two_walks(f, points, directions), strict=True):
            size = np.abs(theirs)[np.isfinite(theirs)].max(initial=0.0)
            assert (mine.shape, mine.dtype, type(mine)) == (theirs.shape, theirs.dtype, np.ndarray)
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e3 * EPS * size)  # sums of up to a hundred terms


@pytest.mark.parametrize("read", [lambda x: np.reshape(x, -1, order="A"), lambda x: x.reshape(-1, order="A")])
def test_a_tangent_is_read_in_the_order_of_its_argument(read: Any) -> None:
    v = np.arange(6.0).reshape(2, 3)
    x = np.asfortranarray(v + 1)  # "A" reads x by columns, and would read v by rows
    np.testing.assert_array_equal(jvp(read, (x,), (v,))[1], read(np.asfortranarray(v)))


def test_most_rows_need_no_walk_back() -> None:
    rows = {name for name, row in REGISTRY.items() if row.linear or row.entrywise}
    assert {"add", "exp", "where", "relu", "matmul", "einsum", "getitem", "sum", "concatenate"} <= rows
    assert not rows & {"max", "softmax", "det", "sort", "prod", "cumprod", "affine"}


def wrongly(name: str, **said: Any) -> Primitive:
    """A row with wrong statements about its tangents."""
    return Primitive(name, lambda x: x * x[::-1], ((lambda g, out, x: g * x[::-1] + (g * x)[::-1], "."),), ".", **said)


@pytest.mark.parametrize("said", [{"linear": (0,)}, {"linear": "each"}, {"linear": "together"}, {"entrywise": True}])
def test_a_row_that_lies_gives_other_tangents(said: dict[str, Any]) -> None:
    x, v = np.array([1.0, 2.0, 4.0]), np.array([1.0, 0.0, 0.5])
    right = v * x[::-1] + x * v[::-1]
    np.testing.assert_array_equal(jvp(wrongly("honest"), (x,), (v,))[1], right)
    assert not np.allclose(jvp(wrongly("lying", **said), (x,), (v,))[1], right)


def test_a_row_may_be_linear_in_one_argument_alone() -> None:
    of_x = lambda g, out, x, y: g * y[::-1] ** 2, "."
    of_y = lambda g, out, x, y: (g * 2 * x * y[::-1])[::-1], "."
    row = Primitive("scaled", lambda x, y: x * y[::-1] ** 2, (of_x, of_y), ".", linear=(0,))
    x, y, v, w = np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([0.5, -1.0]), np.array([2.0, 7.0])
    wanted = v * y[::-1] ** 2 + 2 * x * y[::-1] * w[::-1]
    np.testing.assert_allclose(jvp(row, (x, y), (v, w))[1], wanted, rtol=4 * EPS)


def test_a_sum_that_starts_elsewhere_is_affine() -> None:
    x, v = np.arange(3.0), np.ones(3)
    assert jvp(lambda t: np.sum(t, initial=7.0), (x,), (v,)) == (10.0, 3.0)


def test_jvp_runs_the_function_once_and_walks_only_the_path_to_the_result() -> None:
    runs, x, y = [], new_input(np.array(2.0)), new_input(np.array(3.0))

    def f(t: Any) -> Any:
        runs.append(t)
        return [t * t, np.sin(t), 4.0]

    assert jvp(f, (2.0,), (1.0,)) == ([4.0, np.sin(2.0), 4.0], [4.0, np.cos(2.0), 0.0])
    assert len(runs) == 1
    a, b = np.exp(x) * 2, np.exp(y) * 3
    out = a + b
    assert [node.primitive.name for node in path([out.node], [x.node])] == ["exp", "multiply", "add"]
    moved = push(path([out.node], [x.node]), {x.node: np.array(1.0)})
    assert b.node not in moved
    np.testing.assert_allclose(moved[out.node], 2 * np.exp(2.0), rtol=4 * EPS)


@pytest.mark.parametrize("sizes", list(itertools.product((1, 2, 3), (1, 3, 5))), ids=str)
def test_jacobians_of_few_inputs_and_of_few_results_are_the_same(sizes: tuple[int, int], rng: Any) -> None:
    n, m = sizes
    W, x, y = rng.standard_normal((m, n)), rng.standard_normal(n), rng.standard_normal((2, 1))

    def f(x: Any, y: Any) -> Any:
        a = np.tanh(np.dot(W, x))
        return {"rows": a * y, "top": np.max(np.cumprod(a)), "whole": 3}

    found = jacobian(f, (0, 1))(x, y)
    a = np.tanh(W @ x)
    slopes = (1 - a * a)[:, None] * W
    np.testing.assert_allclose(found["rows"][0], y[..., None] * slopes, rtol=1e-14, atol=1e-15)
    wanted = np.zeros((2, m, 2, 1))
    wanted[[0, 1], :, [0, 1], 0] = a
    np.testing.assert_allclose(found["rows"][1], wanted, rtol=1e-14)
    np.testing.assert_allclose(found["top"][0], grad(lambda x: f(x, y)["top"])(x), rtol=1e-13)
    assert found["top"][1].shape == found["whole"][1].shape == (2, 1)
    assert not found["top"][1].any()
    assert not found["whole"][0].any()


@pytest.mark.parametrize(("inputs", "results"), [(1, 2), (2, 3), (3, 3), (3, 2), (2, 1), (1, 1)])
def test_a_jacobian_takes_the_fewer_walks(inputs: int, results: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_nn.transforms import derivatives, jacobians

    walks = {"forward": 0, "back": 0}
    push, pull = derivatives.push, jacobians.pullback

    def pushed(*args: Any, **options: Any) -> Any:
        walks["forward"] += 1
        return push(*args, **options)

    def pulled(*args: Any) -> Any:
        walks["back"] += 1
        return pull(*args)

    monkeypatch.setattr(derivatives, "push", pushed)
    monkeypatch.setattr(jacobians, "pullback", pulled)
    W = np.arange(1.0, 1 + inputs * results).reshape(results, inputs)
    np.testing.assert_array_equal(jacobian(lambda x: np.dot(W, x))(np.ones(inputs)), W)
    assert walks == ({"forward": 1, "back": 0} if inputs < results else {"forward": 0, "back": 1})


def test_the_jacobian_of_few_inputs_is_differentiable_again() -> None:
    def f(x: Any) -> Any:
        return np.stack([x[0] * x[1], x[0] ** 3, np.sin(x[1]), x[0] / x[1]])

    x = np.array([0.7, 1.3])
    second = jacobian(jacobian(f))(x)
    assert second.shape == (4, 2, 2)
    np.testing.assert_allclose(second[1], [[6 * 0.7, 0], [0, 0]], rtol=1e-14)
    np.testing.assert_allclose(second[3], [[0, -1 / 1.69], [-1 / 1.69, 2 * 0.7 / 1.3**3]], rtol=1e-14)
    assert grad(lambda t: jacobian(f)(t)[1, 0])(x)[0] == pytest.approx(6 * 0.7, rel=4 * EPS)


def test_an_argument_without_entries_and_float32() -> None:
    empty, x = np.zeros((0,)), np.array([1.0, 2.0], np.float32)
    found = jacobian(lambda e, x: np.concatenate([x, x * x, np.sum(e) + x]), (0, 1))(empty, x)
    assert found[0].shape == (6, 0)
    assert jacobian(lambda x: np.concatenate([x, x * x]))(x).dtype == np.float32
    derivative = jvp(lambda t: t.softmax() * Tensor(x), (x,), (x,))[1]
    assert derivative.dtype == np.float32
    assert jvp(lambda x: x + np.ones(2), (x,), (x,))[1].dtype == np.float64
    assert jvp(lambda _: x, (np.ones(2),), (np.ones(2),))[1].dtype == np.float32
    assert vjp(lambda x: x, x)[1](Tensor(np.ones(2)))[0].dtype == np.float32
