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
from tinygrad_nn import Tensor, grad, hessian, hvp, jacobian, jvp, nn, value_and_grad, vjp, vmap
from tinygrad_nn.nn import functional as F
from tinygrad_nn.tensor import raw
from tinygrad_nn.transforms.batching.mapped import level_of
from tinygrad_nn.transforms.batching.rules import ALONG
from tinygrad_nn.tree import flatten

N = 3
EPS = np.finfo(float).eps
REFUSED = {  # what a sample alone can do and samples together cannot: another shape for other values, or int(t)
    "getitem[(3,4)] a comparison": "a boolean index",
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


@pytest.mark.parametrize("transform", [
    grad, value_and_grad, jacobian, tg.hessian, tg.elementwise_grad,
    lambda f: lambda x: tg.jvp(f, (x,), (x,)),
    lambda f: lambda x: tg.hvp(f, (x,), x),
    lambda f: lambda x: tg.vjp(f, x)[1](1.0),
])  # fmt: skip
@pytest.mark.parametrize("f", [
    np.argmax, lambda x: (x > 2).sum(), lambda x: np.isnan(x).any(), lambda x: np.sign(x).sum(),
    lambda x: tg.stop_gradient(x).sum(), lambda x: 3.0,
])  # fmt: skip
def test_results_without_a_derivative_have_the_derivative_zero(transform: Any, f: Any) -> None:
    X = np.array([[1.0, 2.0], [4.0, 3.0]])
    found, _ = tg.tree.flatten(vmap(transform(f))(X))
    each = zip(*[tg.tree.flatten(transform(f)(x))[0] for x in X], strict=True)
    for a, b in zip(found, each, strict=True):
        np.testing.assert_array_equal(a, np.stack(b))
    nested = grad(lambda X: sum(np.sum(part) for part in tg.tree.flatten(vmap(transform(f))(X))[0]) * 1.0)(X)
    np.testing.assert_array_equal(nested, grad(lambda X: sum(
        np.sum(part) for x in X for part in tg.tree.flatten(transform(f)(x))[0]) * 1.0)(X))  # fmt: skip


def test_axes_of_a_dict_belong_to_its_arrays_by_key() -> None:
    d = {"a": np.arange(2.0), "b": np.arange(6.0).reshape(3, 2)}
    found = vmap(lambda d: {"u": d["a"] * d["b"], "v": d["a"]}, ({"b": 1, "a": 0},), {"v": 0, "u": 1})(d)
    np.testing.assert_array_equal(found["u"], d["a"] * d["b"])
    np.testing.assert_array_equal(found["v"], d["a"])
    np.testing.assert_array_equal(vmap(np.sum, np.int64(1))(d["b"]), d["b"].sum(axis=0))


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
    """Results of a chain of matrices, with operations that have JVP rules and others that are transposed."""
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
    from tinygrad_nn.transforms import jacobians

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


# -- Layers, compiled functions


def mlp(p: Any, x: Any, y: Any) -> Any:
    hidden = tg.relu(tg.affine(x, p["W"], p["b"]))
    return tg.softmax_crossentropy(tg.affine(hidden, p["V"], p["c"]), y)


def cnn(p: Any, x: Any, y: Any) -> Any:
    seen = F.max_pool2d(tg.relu(F.conv2d(x[None], p["K"], p["k"], padding=1)), 2)
    return tg.softmax_crossentropy(tg.affine(seen.reshape(1, -1), p["V"], p["c"]), y[None])


def attending(p: Any, x: Any, y: Any) -> Any:
    qkv = tg.affine(F.layer_norm(x, (4,), p["g"], p["b"]), p["W"], p["w"])
    seen = F.scaled_dot_product_attention(*np.split(qkv, 3, axis=-1))
    return ((tg.affine(seen.mean(axis=0), p["V"], p["c"]) - y) ** 2).sum()


def remembering(p: Any, x: Any, y: Any) -> Any:
    h = c = np.zeros(3)
    for t in range(x.shape[0]):
        i, f, u, o = np.split(tg.affine(x[t], p["W"], p["b"]) + p["U"] @ h, 4)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * np.tanh(u)
        h = tg.sigmoid(o) * np.tanh(c)
    return ((p["V"] @ h - y) ** 2).sum()


NETWORKS = {
    "mlp": (mlp, {"W": (6, 4), "b": (6,), "V": (3, 6), "c": (3,)}, (4,)),
    "cnn": (cnn, {"K": (2, 1, 3, 3), "k": (2,), "V": (3, 8), "c": (3,)}, (1, 4, 4)),
    "attention": (attending, {"g": (4,), "b": (4,), "W": (12, 4), "w": (12,), "V": (3, 4), "c": (3,)}, (5, 4)),
    "lstm": (remembering, {"W": (12, 2), "b": (12,), "U": (12, 3), "V": (3, 3)}, (4, 2)),
}


def network(name: str, seed: int) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    loss, shapes, shape = NETWORKS[name]
    rng = np.random.default_rng(seed)
    params = {key: 0.5 * rng.standard_normal(s) for key, s in shapes.items()}
    return loss, params, rng.standard_normal((N, *shape)), np.eye(3)[rng.integers(0, 3, N)]


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_each_sample_of_networks(name: str) -> None:
    loss, params, X, Y = network(name, 0)
    found = vmap(grad(loss), in_axes=(None, 0, 0))(params, X, Y)
    for key in params:
        close(found[key], np.stack([grad(loss)(params, x, y)[key] for x, y in zip(X, Y, strict=True)]))


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["mlp", "attention"])
def test_compiled_gradients_of_each_sample(name: str, backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    eager = vmap(grad(NETWORKS[name][0]), in_axes=(None, 0, 0))
    quick = tg.compile(eager, backend=backend)
    for seed in range(3):
        _, params, X, Y = network(name, seed)
        found, wanted = quick(params, X, Y), eager(params, X, Y)
        for key in params:
            close(found[key], wanted[key])
    assert quick.traces == 1


def test_compiled_jacobians_and_maps_inside_compiled_functions() -> None:
    def plain(x: Any) -> Any:
        return jacobian(rotated)(x)["points"], vmap(hessian(lambda y: (y * y[0] * x).sum()))(x[:, None] * x)

    step = tg.compile(plain)
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(3)
        for found, wanted in zip(step(x), plain(x), strict=True):
            close(found, wanted)
    inner = tg.compile(lambda x: np.sin(x).sum())
    close(vmap(inner)(np.eye(3)), np.sin(np.eye(3)).sum(axis=1))


@pytest.mark.parametrize("model", [
    lambda: (nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), (3,)),
    lambda: (nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()), (2, 1, 8, 8)),
    lambda: (nn.LSTM(3, 4), (5, 2, 3)), lambda: (nn.GRU(3, 4), (5, 2, 3)), lambda: (nn.RNN(3, 4), (5, 2, 3)),
    lambda: (nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), (2, 5, 4)), lambda: (nn.BatchNorm1d(3).eval(), (6, 3)),
    lambda: (nn.GroupNorm(2, 4), (2, 4, 3)), lambda: (nn.RMSNorm(4), (2, 4)),
])  # fmt: skip
def test_layers_are_those_of_each_sample(model: Any) -> None:
    layer, shape = model()
    X = np.random.default_rng(1).standard_normal((N, *shape))
    found = flatten(vmap(layer)(X))[0]
    for leaf, *wanted in zip(found, *(flatten(layer(Tensor(x, False)))[0] for x in X), strict=True):
        close(leaf, np.stack([raw(x) for x in wanted]))
    assert all(leaf.requires_grad for leaf in found)  # the parameters are outside


def test_layers_draw_for_each_sample_what_a_loop_draws() -> None:
    X = np.random.default_rng(1).standard_normal((N, 2, 5, 4))
    for make, count in ((lambda: nn.Dropout(0.5, rng=3), 1),
                        (lambda: nn.LSTM(4, 4, num_layers=2, dropout=0.5, rng=3), 1),
                        (lambda: nn.MultiheadAttention(4, 2, dropout=0.5, rng=3), 3)):  # fmt: skip
        layer, again = make().train(), make().train()
        wanted = [raw(flatten(layer(*[Tensor(x, False)] * count))[0][0]) for x in X]
        found = vmap(lambda x, layer=again, count=count: flatten(layer(*[x] * count))[0][0])(X)
        close(found, np.stack(wanted))
        assert not np.allclose(wanted[0], wanted[1])


# -- Arguments, and what is refused


def test_axes_of_arguments_and_results() -> None:
    A, b = np.arange(12.0).reshape(3, 4), np.arange(3.0)
    close(vmap(lambda x: x * 2, in_axes=1, out_axes=1)(A), A * 2)
    close(vmap(lambda x, y: x + y, in_axes=(-1, None))(A, b), A.T + b)
    found = vmap(lambda d, *, scale: {"sum": d["x"].sum() * scale, "same": 1.0}, in_axes=({"x": 1, "y": None},))(
        {"x": A, "y": b}, scale=np.arange(4.0))  # fmt: skip
    close(found["sum"], A.sum(axis=0) * np.arange(4.0))
    close(found["same"], np.ones(4))
    close(vmap(lambda x: (x, b), out_axes=(0, None))(A)[1], b)
    seen = []

    def f(x: Any, flag: bool) -> Any:
        seen.append((x.shape, x.ndim, len(x), x.size, np.shape(x), flag, x.dtype))
        return x.astype(np.float32) if flag else x

    assert vmap(f, in_axes=(0, None))(A, True).dtype == np.float32
    assert seen == [((4,), 1, 4, 4, (4,), True, np.float64)]
    same = vmap(lambda x: x)(A)
    assert same is not A
    assert not np.may_share_memory(same, A)
    assert isinstance(vmap(lambda x: x)(Tensor(A)), Tensor)
    ids = vmap(lambda i: A[:, 0] * 0 + i)(np.arange(2))
    close(ids, np.array([[0.0] * 3, [1.0] * 3]))
    table = Tensor(A, False)
    close(vmap(lambda i: table[i], in_axes=0)(np.array([2, 0])), A[[2, 0]])
    close(vmap(lambda i: np.take(table, i, axis=1))(np.array([[0, 1], [3, 3]])), A.T[[[0, 1], [3, 3]]].swapaxes(1, 2))
    close(vmap(lambda x, i: x.at[i].add(1.0))(A, np.array([0, 3, 1])), A + np.eye(4)[[0, 3, 1]])
    assert vmap(np.sin)(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: vmap(lambda x: x if x > 0 else -x)(np.ones(3)), TypeError, r"np.where\(x > 0, a, b\)"),
    (lambda: vmap(lambda x: float(x))(np.ones(3)), TypeError, "float.* inside vmap needs a value"),
    (lambda: vmap(lambda x: x.item())(np.ones(3)), TypeError, "inside vmap needs a value"),
    (lambda: vmap(lambda x: x.tolist())(np.ones(3)), TypeError, "inside vmap needs a value"),
    (lambda: vmap(lambda x: x[x > 0])(np.ones((3, 2))), TypeError, r"np.where\(mask, x, 0\)"),
    (lambda: vmap(lambda x: np.asarray(x))(np.ones(3)), TypeError, "no plain array"),
    (lambda: vmap(lambda x: (x * x).backward())(Tensor(np.ones(3))), TypeError, r"vmap\(grad\(f\)\)"),
    (lambda: vmap(lambda x: x.register_hook(print))(np.ones(3)), TypeError, "hook"),
    (lambda: vmap(lambda x: "text")(np.ones(3)), TypeError, "returned a str"),
    (lambda: vmap(lambda x, y: x)(np.ones(3), np.ones(4)), ValueError, "3 along axis 0 .* and 4 along axis 0"),
    (lambda: vmap(lambda x: x, in_axes=None)(np.ones(3)), ValueError, "found none"),
    (lambda: vmap(lambda x: x, in_axes=(0, 0))(np.ones(3)), ValueError, "2 entries"),
    (lambda: vmap(lambda x, y: x * y)(np.ones(3), 2.0), ValueError, "2.0 is one number"),
    (lambda: vmap(lambda x: x, in_axes=2)(np.ones(3)), ValueError, "axis 2 is out of bounds"),
    (lambda: vmap(lambda d: d, in_axes=({"x": 0},))({"y": np.ones(3)}), ValueError, "a dict with x .* a dict with y"),
    (lambda: vmap(lambda x: x, out_axes=None)(np.ones(3)), ValueError, "depends on a mapped argument"),
    (lambda: vmap(np.sin, out_axes=(0, 0))(np.ones(3)), ValueError, r"^out_axes of vmap\(sin\) has a tuple with"),
    (lambda: vmap(np.sin, in_axes=({"x": 0},))(np.ones(3)), ValueError, r"^in_axes of vmap\(sin\) has a dict with"),
    (lambda: vmap(lambda x: x + np.ones(4))(np.ones((3, 5))), ValueError, r"\(5,\).*\(4,\)"),
    (lambda: vmap(lambda x: x @ np.ones(4))(np.ones((3, 5))), ValueError, r"\(5,\).*\(4,\)"),
    (lambda: vmap(lambda x: np.convolve(x, x))(np.ones((0, 5))), ValueError, "over no samples"),
])  # fmt: skip
def test_refused(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_a_sample_used_after_vmap_raises() -> None:
    kept: list[Any] = []
    vmap(lambda x: kept.append(x) or x)(np.ones(3))
    with pytest.raises(TypeError, match="a vmap call that has ended"):
        kept[0] * 2
    assert repr(kept[0]) == "<one of 3 samples, float64[]>"


def test_pytorch_calls_it_so_too() -> None:
    import tinygrad_nn.pytorch as torch

    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = torch.vmap(torch.func.grad(lambda x: (x**3).sum()))(x)
    assert isinstance(found, Tensor)
    close(found, 3 * x.data**2)
    close(torch.func.vmap(lambda x: x.sum(), in_dims=1)(x), x.data.sum(axis=0))
    with pytest.raises(ValueError, match="randomness"):
        torch.vmap(torch.sin, randomness="same")


def test_queries_of_all_entries_are_answered_per_sample() -> None:
    x = np.random.default_rng(2).normal(size=(4, 2, 3))
    for question in (np.argmax, np.argmin, np.argsort):
        axis = {"axis": None} if question is np.argsort else {}
        asked = vmap(lambda x, q=question, a=axis: x.reshape(-1)[q(x, **a)])(x)
        assert np.array_equal(asked, [one.reshape(-1)[question(one, **axis)] for one in x])


@pytest.mark.parametrize("reduce", [np.sum, np.prod, np.max, np.min, np.nansum])
def test_a_number_is_reduced_along_no_axis_or_the_one_that_numpy_grants_it(reduce: Any) -> None:
    x = np.array([1.0, -2.0, 3.0])
    for axis in (None, 0, -1, ()):
        found = vmap(lambda x, axis=axis: reduce(x, axis=axis))(Tensor(x))
        assert np.array_equal(found.data, [reduce(one, axis=axis) for one in x]), axis
    for axis in (1, -2):
        with pytest.raises(ValueError, match="out of bounds"):
            vmap(lambda x, axis=axis: reduce(x, axis=axis))(Tensor(x))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4)])
@pytest.mark.parametrize("question", [*ALONG], ids=lambda f: f.__name__)
def test_queries_along_an_axis_are_answered_per_sample(question: Any, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).integers(-1, 2, size=(4, *shape)).astype(float)
    counts = question in (np.any, np.all, np.count_nonzero)
    axes = [*range(-len(shape), len(shape)), *((0, 1),) * (counts and len(shape) > 1)]
    options: list[dict[str, Any]] = [{}, *({"axis": axis} for axis in axes)]
    if question is not np.argsort:
        options += [{"axis": axis, "keepdims": True} for axis in (None, *axes)]
    for given in options if shape else options[:1]:
        asked = vmap(lambda x, given=given: 1 * question(x, **given))(x)
        assert np.array_equal(asked, np.stack([1 * question(one, **given) for one in x])), given


@pytest.mark.parametrize(
    "look",
    [
        lambda x, i, j: x[:, i], lambda x, i, j: x[:, :, i], lambda x, i, j: x[:, i[:, None] * 0 + j],
        lambda x, i, j: x[:, i, j], lambda x, i, j: x[i, :, j], lambda x, i, j: x[..., i[0]],
        lambda x, i, j: x[:, i, None], lambda x, i, j: x[:, i, None, j], lambda x, i, j: x[:, i[0], None, j[0]],
    ],
)  # fmt: skip
@pytest.mark.parametrize("shared", [False, True], ids=["own arrays", "one array"])
def test_each_sample_looks_up_at_its_own_places(look: Any, shared: bool) -> None:
    rng = np.random.default_rng(4)
    x, (i, j) = rng.normal(size=(3, 3, 3) if shared else (4, 3, 3, 3)), rng.integers(0, 3, (2, 4, 2))
    found = vmap(look, (None if shared else 0, 0, 0))(Tensor(x), i, j)
    own = [x] * 4 if shared else list(x)
    assert np.array_equal(raw(found), [look(*sample) for sample in zip(own, i, j, strict=True)])
    slopes = vmap(grad(lambda x, i, j: (look(x, i, j) ** 2).sum()), (None if shared else 0, 0, 0))(x, i, j)
    assert np.allclose(slopes, [grad(lambda x, i, j: (look(x, i, j) ** 2).sum())(*sample)
                                for sample in zip(own, i, j, strict=True)], rtol=1e-15)  # fmt: skip


def test_a_dot_product_of_all_entries_takes_what_all_samples_share() -> None:
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=(4, 2, 3)), rng.normal(size=(2, 3))
    wanted = np.tensordot(x, w, 2)
    assert np.allclose(vmap(np.vdot, (0, None))(x, w), wanted, rtol=1e-14)
    assert np.allclose(vmap(np.vdot, (None, 0))(w, x), wanted, rtol=1e-14)


def test_the_innermost_of_several_levels_is_found_in_any_order() -> None:
    found: list[bool] = []

    def inner(x: Any, y: Any) -> Any:
        found.extend(level_of(*values) is y.level for values in itertools.permutations((x, y, 1.0)))
        return x * y

    vmap(lambda x: vmap(lambda y: inner(x, y))(np.ones(2)))(np.ones(3))
    assert found == [True] * 6
    assert level_of(1.0, np.ones(2)) is None
