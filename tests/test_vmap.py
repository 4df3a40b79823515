"""vmap: every row against a loop over the samples, values and gradients; transforms inside and outside; refusals."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from cases import CASES
from cases.case import Case
from test_primitives import arguments, generator, moving

import tinygrad_nn as tg
from tinygrad_nn import Tensor, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp, vmap
from tinygrad_nn.tensor import raw
from tinygrad_nn.tree import flatten

N = 3
EPS = np.finfo(float).eps
REFUSED = {  # what a sample alone can do and samples together cannot: another shape for other values, or int(t)
    "getitem[(3,4)] a comparison": "an index of true and false",
    "intersect1d[(3,),(2,)]": "different shapes",
    "intersect1d[(4,),(2,)] known to differ": "different shapes",
    "setdiff1d[(3,),(2,)]": "different shapes",
    "setdiff1d[(4,),(2,)] known to differ": "different shapes",
    "setxor1d[(3,),(2,)]": "different shapes",
    "setxor1d[(4,),(2,)] known to differ": "different shapes",
}
ASKS = "linalg.lstsq"  # whose cases say int(rank)
BY_LAYOUT = {"reshape[(2,3,4)] A of F"}  # order="A" asks how a sample lies in memory, which is not as it is alone


def stacks(case: Case, subset: Sequence[int]) -> tuple[list[np.ndarray], Callable[[int], list[np.ndarray]]]:
    """The arguments of all samples, of which those in the subset differ, and the function that gives those of one."""
    rows = [arguments(case, attempt=k) for k in range(N)]
    full = [np.stack([row[i] for row in rows]) if i in subset else x for i, x in enumerate(rows[0])]
    return full, lambda b: [x[b] if i in subset else x for i, x in enumerate(full)]


def close(found: Any, wanted: Any) -> None:
    found, wanted = np.asarray(raw(found)), np.asarray(raw(wanted))
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    size = np.abs(wanted)[np.isfinite(wanted)].max(initial=0.0) if wanted.dtype.kind in "fc" else 0
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e3 * EPS * size)  # sums of up to a hundred terms


def with_gradients(case: Case, slots: Sequence[int]) -> Callable[..., Any]:
    """The results of a case and what a random cotangent is taken back to, as a function of all its arrays."""

    def f(*arrays: Any) -> Any:
        def call(*moved: Any) -> Any:
            given = list(arrays)
            for i, x in zip(slots, moved, strict=True):
                given[i] = x
            return [out for out in flatten(case.call(*given))[0] if raw(out).dtype.kind in "fc"]

        value, pull = vjp(call, *(arrays[i] for i in slots))
        rng = generator(case.name)
        return value, pull([rng.uniform(0.5, 1.5, np.shape(out)).astype(out.dtype) for out in value])

    return f


def agrees_with_a_loop(case: Case, subset: Sequence[int]) -> None:
    full, one = stacks(case, subset)
    axes = tuple(0 if i in subset else None for i in range(len(full)))
    try:
        values = [flatten(case.call(*(Tensor(x, False) for x in one(b))))[0] for b in range(N)]
    except (TypeError, ValueError, AttributeError, IndexError):
        assert len(subset) < len(full)  # NumPy does not tell us of a Tensor there, see test_orders
        return
    if str(case) in REFUSED:
        shapes = {tuple(np.shape(raw(x)) for x in value) for value in values}
        if len(shapes) > 1 or "index" in REFUSED[str(case)]:
            with pytest.raises((TypeError, ValueError), match=REFUSED[str(case)]):
                vmap(case.call, axes)(*(Tensor(x, False) for x in full))
            return
    if case.name == ASKS and case.note == "" and 0 in subset:
        with pytest.raises(TypeError, match=r"int\(t\) inside vmap"):
            vmap(case.call, axes)(*(Tensor(x, False) for x in full))
        return
    found = flatten(vmap(case.call, axes)(*(Tensor(x, False) for x in full)))[0]
    for leaf, *wanted in zip(found, *values, strict=True):
        close(leaf, np.stack([np.asarray(raw(x)) for x in wanted]))
    slots = moving(case, one(0))
    if not slots or case.order == 0 or (case.name == ASKS and case.note == ""):
        return
    f = with_gradients(case, slots)
    try:
        gradients = [flatten(f(*one(b)))[0] for b in range(N)]
    except (TypeError, ValueError, AttributeError):
        return  # of what has no gradient in one of the arrays
    found = flatten(vmap(f, axes)(*full))[0]
    for leaf, *wanted in zip(found, *gradients, strict=True):
        close(leaf, np.stack([np.asarray(raw(x)) for x in wanted]))


def subsets(case: Case) -> list[tuple[int, ...]]:
    slots = range(len(case.shapes))
    return [c for k in range(len(slots), 0, -1) for c in itertools.combinations(slots, k)]


ROWS = [case for case in CASES if str(case) not in BY_LAYOUT]
FIRST = list({case.name: case for case in reversed(ROWS)}.values())[::-1]


def family(name: str) -> int:
    return sum(map(ord, name)) % 12


@pytest.mark.parametrize("part", range(12))
def test_a_row_is_that_of_each_sample(part: int) -> None:
    for case in FIRST:
        if family(case.name) == part:
            agrees_with_a_loop(case, tuple(range(len(case.shapes))))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(12))
def test_a_row_is_that_of_each_sample_whatever_is_mapped(part: int) -> None:
    turn: dict[str, int] = {}
    for case in ROWS:
        if family(case.name) == part:
            chosen = subsets(case)
            turn[case.name] = turn.get(case.name, -1) + 1
            agrees_with_a_loop(case, chosen[turn[case.name] % len(chosen)])


# -- Transforms inside and outside


def losses() -> tuple[Callable[..., Any], Any, np.ndarray, np.ndarray]:
    """The loss of a small network on one sample, its parameters, and samples."""
    rng = np.random.default_rng(3)
    params = {"W": rng.standard_normal((5, 3)), "b": rng.standard_normal(5), "v": rng.standard_normal((2, 5))}

    def loss(params: Any, x: Any, y: Any) -> Any:
        hidden = np.tanh(params["W"] @ x + params["b"])
        return ((params["v"] @ hidden - y) ** 2).sum()

    return loss, params, rng.standard_normal((4, 3)), rng.standard_normal((4, 2))


def test_gradients_of_each_sample() -> None:
    loss, params, X, Y = losses()
    values, found = vmap(value_and_grad(loss), in_axes=(None, 0, 0))(params, X, Y)
    for b, (x, y) in enumerate(zip(X, Y, strict=True)):
        value, wanted = value_and_grad(loss)(params, x, y)
        close(values[b], value)
        for name in params:
            close(found[name][b], wanted[name])


@pytest.mark.parametrize("transform", [
    lambda f: grad(f), lambda f: hessian(f), lambda f: jacobian(grad(f)),
    lambda f: grad(lambda x: (grad(f)(x) ** 2).sum()),
    lambda f: lambda x: jvp(f, (x,), (np.cos(x),)), lambda f: lambda x: vjp(f, x)[1](2.0),
    lambda f: lambda x: hvp(f, (x,), np.sin(x)), lambda f: value_and_grad(f),
    lambda f: jacobian(lambda x: np.stack([x[0] * x, np.sin(x)])), lambda f: jacobian(lambda x: np.outer(x, x)),
    lambda f: lambda x: jvp(grad(f), (x,), (np.ones(3),))[1],
])  # fmt: skip
def test_transforms_inside(transform: Any) -> None:
    loss, params, X, Y = losses()
    g = transform(lambda x: loss(params, x, Y[0]))
    found = flatten(vmap(g)(X))[0]
    for leaf, *wanted in zip(found, *(flatten(g(x))[0] for x in X), strict=True):
        close(leaf, np.stack(wanted))
        assert type(leaf) is np.ndarray


def test_transforms_outside() -> None:
    loss, params, X, Y = losses()
    of_all = lambda p: vmap(loss, in_axes=(None, 0, 0))(p, X, Y).sum()
    by_loop = lambda p: sum(loss(p, x, y) for x, y in zip(X, Y, strict=True))
    for name in params:
        close(grad(of_all)(params)[name], grad(by_loop)(params)[name])
    direction = {name: np.cos(w) for name, w in params.items()}
    close(jvp(of_all, (params,), (direction,))[1], jvp(by_loop, (params,), (direction,))[1])
    gradients = lambda W: vmap(grad(loss), (None, 0, 0))({**params, "W": W}, X, Y)["W"]
    squares = grad(lambda W: (gradients(W) ** 2).sum())(params["W"])  # through the gradients of each sample

    def by_samples(W: Any) -> Any:
        found = [grad(loss)({**params, "W": W}, x, y)["W"] for x, y in zip(X, Y, strict=True)]
        return sum((g**2).sum() for g in found)

    close(squares, grad(by_samples)(params["W"]))
    w = {name: Tensor(x) for name, x in params.items()}
    of_all(w).backward()
    close(w["W"].grad, grad(by_loop)(params)["W"])


def test_vmaps_nest() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    kernel = lambda a, b: np.exp(-((a - b) ** 2).sum())
    gram = vmap(vmap(kernel, (None, 0)), (0, None))
    wanted = np.array([[kernel(a, b) for b in B] for a in A])
    close(gram(A, B), wanted)
    slopes = vmap(vmap(grad(kernel), (None, 0)), (0, None))(A, B)
    close(slopes, np.array([[grad(kernel)(a, b) for b in B] for a in A]))
    outer = vmap(lambda a: grad(lambda a: vmap(lambda b: kernel(a, b))(B).sum())(a))(A)
    close(outer, slopes.sum(axis=1))

    def rows(a: Any) -> Any:  # the pull of one vmap inside another, with a cotangent that differs in both
        _, pull = vjp(lambda a: np.sin(a) * a[0], a)
        return vmap(lambda c: pull(c * a)[0])(np.eye(3))

    close(vmap(rows)(A), np.array([jacobian(lambda a: np.sin(a) * a[0])(a) * a[:, None] for a in A]))


def test_a_jacobian_is_the_pull_of_all_cotangents() -> None:
    _, params, X, _ = losses()
    f = lambda x: np.tanh(params["W"] @ x) * x[0]
    _, pull = vjp(f, X[0])
    close(vmap(pull)(np.eye(5))[0], jacobian(f)(X[0]))


# -- Jacobians take all directions in one walk


def rotated(t: Any) -> Any:
    """Something of a chain of matrices, with everything that forward mode does by itself and what it transposes."""
    c, s = np.cos(t), np.sin(t)
    turns = [np.stack([np.stack([c[k], -s[k]]), np.stack([s[k], c[k]])]) for k in range(3)]
    whole = turns[0] @ turns[1] @ turns[2]
    points = np.einsum("ij,pj->pi", whole, np.arange(10.0).reshape(5, 2)) + t[:2]
    return {"points": points, "soft": tg.softmax(np.cumsum(t)), "norm": np.linalg.norm(points), "det": t[0] * 2}


@pytest.mark.parametrize("f", [
    rotated, lambda t: np.sort(t) * np.prod(t), lambda t: np.linalg.inv(np.outer(t, t) + np.eye(3)),
    lambda t: np.linalg.eigh(np.outer(t, t) + np.diag(np.arange(3.0)))[1], lambda t: np.max(t * t[:, None], axis=0),
    lambda t: tg.nn.functional.layer_norm(np.outer(t, t), (3,)), lambda t: np.convolve(t, t)[:2],
    lambda t: t[[2, 0, 0]],
    lambda t: np.concatenate([np.where(t > 0, t, t * t), [1.0]]), lambda t: np.ones(4), lambda t: t[:0],
    lambda t: tg.custom_jvp(np.sin, lambda v, out, x: v * np.cos(x))(np.outer(t, t)),
])  # fmt: skip
@pytest.mark.parametrize("at_once", [2**26, 200, 1], ids=["all", "some", "one"])
def test_a_jacobian_is_a_walk_a_direction(f: Any, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_nn import jacobians

    monkeypatch.setattr(jacobians, "AT_ONCE", at_once)
    t = np.array([0.4, -0.9, 1.3])
    found = flatten(jacobian(f)(t))[0]
    columns = [flatten(jvp(f, (t,), (unit,))[1])[0] for unit in np.eye(3)]
    for leaf, *wanted in zip(found, *columns, strict=True):
        close(leaf, np.stack(wanted, axis=-1))

    def one_by_one(t: Any) -> Any:
        columns = [flatten(jvp(f, (t,), (unit,))[1])[0] for unit in np.eye(3)]
        return sum((np.sum(np.sin(x)) for column in columns for x in column), 0 * t.sum())

    found = grad(lambda t: sum((np.sum(np.sin(x)) for x in flatten(jacobian(f)(t))[0]), 0 * t.sum()))(t)
    np.testing.assert_allclose(found, grad(one_by_one)(t), rtol=1e-10, atol=1e-10)  # the same sums in another order
    samples, first = np.stack([t, t[::-1], 2 * t]), lambda t: flatten(jacobian(f)(t))[0][0]
    close(vmap(first)(samples), np.stack([first(t) for t in samples]))


def test_directions_of_what_samples_share_run_the_function_once() -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(np.shape(x))
        return np.tanh(np.outer(x, x)).sum(axis=0)

    x, V = np.array([0.3, -0.4]), np.array([[1.0, 2.0], [0.5, 0.0], [-1.0, 3.0]])
    found = vmap(lambda v: jvp(f, (x,), (v,))[1])(V)
    assert runs == [(2,)]
    close(found, np.stack([jvp(f, (x,), (v,))[1] for v in V]))
    products = vmap(lambda v: jvp(grad(lambda x: f(x).sum()), (x,), (v,))[1])(V)
    close(products, V @ hessian(lambda x: f(x).sum())(x))
    scaled = vmap(lambda v: grad(lambda x: (f(x) * v).sum())(x))(V)  # which closes over what differs
    close(scaled, V @ jacobian(f)(x))
