"""Parts that accept user code unchanged: signatures, caches, the arrays of objects, samples in rows or columns."""

import functools
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests import courses as c
from tinygrad_nn import Tensor
from tinygrad_nn.compare.conventions import objects
from tinygrad_nn.compare.conventions.cached import ReturnLayout, _find_layout, _has_unnamed_cache
from tinygrad_nn.compare.conventions.code import results, same_draws
from tinygrad_nn.compare.conventions.context import Context, is_function_class, is_operation
from tinygrad_nn.compare.conventions.samples import layout, with_samples
from tinygrad_nn.compare.conventions.signatures import (
    describe_value,
    is_cache,
    names_for_gradient,
    parameters,
    returned_names,
)
from tinygrad_nn.compare.conventions.value_with_gradients import besides_value, value_position
from tinygrad_nn.compare.diagnosis import Diagnosis
from tinygrad_nn.compare.function.calling import inputs_in_order, make_inputs

Array = Any
V, M = np.ones(3), np.ones((2, 3))


# ---- Signatures


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("dW", ("W", "dW")), ("grad_b", ("b", "grad_b")), ("b_grad", ("b", "b_grad")), ("grads_b", ("b", "grads_b")),
        ("d_x", ("x", "d_x")), ("gradx", ("x", "gradx")), ("nabla_w", ("w", "nabla_w")),
        ("x_gradient", ("x", "x_gradient")), ("x_diff", ("x", "x_diff")),
        ("x.grad", ("x", "x.grad")), ("x_bar", ("x", "x_bar")), ("xgrad", ("x", "xgrad")), ("d", ("d",)),
        ("grad", ("grad",)),
        ("W", ("W",)), ("grad_", ("_", "grad_")), ("dprev_h", ("prev_h", "dprev_h")),
    ],
)  # fmt: skip
def test_what_a_name_says_that_a_gradient_is_of(name: str, found: tuple[str, ...]) -> None:
    assert names_for_gradient(name) == found


def test_names_of_caches() -> None:
    assert [n for n in ("cache", "Ctx", "linear_cache", "conv_caches", "x", "cached", "saved_values",
    "mem") if is_cache(n)] == [
        "cache", "Ctx", "linear_cache", "conv_caches", "saved_values",
    ]  # fmt: skip


def returns(dW: Any, m: int, hs: Any) -> Any:
    return -dW / m, hs[-1]


def calls(dW: Any) -> Any:
    return returns(dW, 2, {})


def beside(dW: Any) -> Any:
    return 1.0, returns(dW, 2, {})


def assigns(dW: Any) -> Any:
    grads = returns(dW, 2, {})
    return 1.0, grads


def renames(dW: Any) -> Any:
    grads = returns(dW, 2, {})
    kept = grads
    grads = kept
    return 1.0, grads


def test_the_names_in_the_last_return_of_a_function() -> None:
    def f(x: Any, self: Any = None, flag: bool = False) -> Any:
        def inner() -> Any:
            return 1, 2

        if flag:
            return x, inner
        y = inner()
        return y, self.z, x + 1

    assert returned_names(f, 3) == ["y", "z", ""]
    assert returned_names(f, 2) == ["x", "inner"]
    assert returned_names(f, 1) == [""]
    assert returned_names(np.exp, 2) == ["", ""]

    @functools.wraps(f)
    def wrapper(*args: Any) -> Any:
        return f(*args)

    assert returned_names(wrapper, 3) == ["y", "z", ""]
    assert returned_names(calls, 2) == ["dW", "hs"]
    for other in (beside, assigns, renames):
        assert returned_names(other, 2, 1) == ["dW", "hs"]
    assert [p.name for p in parameters(lambda a, *b, k=1, **d: 0)] == ["a", "k"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(M, "an array of shape (2, 3) and dtype float64"), ((1, 2), "a tuple of 2"), ([1], "a list of 1"),
    (None, "nothing"),
     (3.0, "a float"), ({}, "a dict")],
)  # fmt: skip
def test_what_a_value_is_in_words(value: Any, text: str) -> None:
    assert describe_value(value) == text


# ---- A value beside its gradients


@pytest.mark.parametrize(
    ("value", "place", "rest"),
    [
        ((1.0, M), 0, M), ((M, 1.0), 1, M), ((1.0, M, V), 0, (M, V)), ((M, V, 1.0), 2, (M, V)),
        ((1.0, {"W": M}), 0, {"W": M}),
        ((np.array([[2.0]]), [M]), 0, [M]), ((1.0, 2.0), 0, 2.0), ((Tensor(1.0), M), 0, M),
        (({"W": M}, 3.0), 1, {"W": M}),
        ((1.0, 2.0, M), 0, (2.0, M)),
    ],
)  # fmt: skip
def test_the_position_of_the_value_among_returned_results(value: Any, place: int, rest: Any) -> None:
    assert value_position(value) == place
    found = besides_value(value, place)
    assert found is rest or (len(found) == len(rest) and all(a is b for a, b in zip(found, rest, strict=True)))


@pytest.mark.parametrize("value", [1.0, (1.0,), (M, V), (3, V), ("a", V), (1.0, 2.0, 3.0, V)[1:1], M])
def test_what_holds_no_loss_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"this one returned"):
        value_position(value)


# ---- A cache


def test_the_results_and_the_cache_of_a_forward() -> None:
    assert ReturnLayout(1, [""], []).split((M, "c")) == ([M], "c")
    assert ReturnLayout(1, [""], []).split((M, "c", "d")) == ([M], ("c", "d"))
    assert ReturnLayout(2, [""], []).split([M, V, "c"]) == ([M, V], "c")
    passed = [("AL", "result", 1), ("memory", "cache", 0)]
    assert ReturnLayout(1, ["cost", "AL", "caches"], passed).split((M, V, "c")) == ([M], "c")
    assert ReturnLayout(1, ["cost", "AL", "caches"], [("caches", "cache", 0)]).split((M, V, "c")) == ([M], "c")


@pytest.mark.parametrize(
    ("manual", "names", "unlike"),
    [
        (lambda dout, saved: 0, ["x", "w"], True), (lambda dout, saved: 0, ["x"], False),
        (lambda x, g: 0, ["x", "w"], False),
        (lambda g, stuff: 0, ["x", "w"], True), (lambda q, stuff: 0, ["x", "w"], False),
        (lambda dout: 0, ["x", "w"], False),
        (lambda dout, saved, k=1: 0, ["x", "w"], True), (lambda dout, saved, more: 0, ["x", "w"], False),
    ],
)  # fmt: skip
def test_a_backward_of_two_parameters_that_no_input_has(manual: Any, names: list[str], unlike: bool) -> None:
    assert _has_unnamed_cache(manual, make_inputs(names, [V] * len(names))) is unlike


def _out_al(x: Any, w: Any) -> Any:
    AL, caches = x * w, (x, w)
    return AL, caches


def _two(x: Any, w: Any) -> Any:
    h, s, cache = x * w, x + w, (x, w)
    return h, s, cache


def _named(x: Any, w: Any) -> Any:
    h, AL, caches = x * w, x + w, (x, w)
    return h, AL, caches


def _loss(x: Any, w: Any) -> Any:
    cost, AL, caches = (x * w).sum(), x * w, (x, w)
    return cost, AL, caches


@pytest.mark.parametrize(
    ("f", "manual", "results", "slots"),
    [
        (_out_al, lambda dout, cache: 0, 1, [("dout", "g", 0), ("cache", "cache", 0)]),
        (_out_al, lambda cache, dAL: 0, 1, [("cache", "cache", 0), ("dAL", "g", 0)]),
        (_out_al, lambda x, dout, saved: 0, 1, [("x", "input", 0), ("dout", "g", 0), ("saved", "cache", 0)]),
        (_out_al, lambda dout, stuff: 0, 1, [("dout", "g", 0), ("stuff", "cache", 0)]),
        (_out_al, lambda dout, cache, eps=1e-5: 0, 1, [("dout", "g", 0), ("cache", "cache", 0)]),
        (_out_al, lambda cache, g=None: 0, 1, [("cache", "cache", 0), ("g", "g", 0)]),
        (_two, lambda dh, ds, cache: 0, 2, [("dh", "g", 0), ("ds", "g", 1), ("cache", "cache", 0)]),
        (_loss, lambda AL, w, caches: 0, 1, [("AL", "result", 1), ("w", "input", 0), ("caches", "cache", 0)]),
        (_named, lambda dh, AL, caches: 0, 1, [("dh", "g", 0), ("AL", "result", 1), ("caches", "cache", 0)]),
        (_loss, lambda caches: 0, 1, [("caches", "cache", 0)]),
    ],
)  # fmt: skip
def test_what_each_parameter_of_a_backward_takes(f: Any, manual: Any, results: int, slots: Any) -> None:
    found = _find_layout(f, manual, make_inputs(["x", "w"], [V, V]), f(V, V))
    assert (found.results, found.slots) == (results, slots)
    assert found.names == returned_names(f, len(f(V, V)))


@pytest.mark.parametrize(
    ("f", "manual", "text"),
    [
        (_two, lambda dh, cache: 0, "returned 2 results and a cache, but manual.* takes the gradient of 1"),
        (_out_al, lambda dh, ds, cache: 0, "manual takes 2 gradients"),
        (_out_al, lambda caches: 0, r"an array of shape \(3,\)"),
        (lambda x, w: ("a", x), lambda dh, cache: 0, "value 0 that the forward returned is a str"),
    ],
)  # fmt: skip
def test_a_backward_that_does_not_fit_its_forward_raises(f: Any, manual: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        _find_layout(f, manual, make_inputs(["x", "w"], [V, V]), f(V, V))


def test_the_results_that_are_made_of_floats_and_the_same_draws() -> None:
    t = Tensor(V)
    assert [id(x) for x in results((t, [M, 3], "b"))] == [id(t), id(M)]
    assert results({"a": 1.5, "b": 2}) == [1.5]
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    after = np.random.rand(), random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    drawn = []
    for _ in range(2):
        with same_draws():
            drawn.append((np.random.rand(), random.random()))  # noqa: NPY002
    assert drawn[0] == drawn[1] != after
    assert (np.random.rand(), random.random()) == after  # noqa: NPY002


# ---- Classes with a context


def test_what_a_context_keeps() -> None:
    one = Context([True, False])
    assert one.needs_input_grad == (True, False)
    one.save_for_backward(1)
    assert one.saved_values == one.saved_tensors == (1,)
    bare = Context(unwrap_single=True)
    bare.save_for_backward(1)
    assert bare.saved_values == 1
    bare.save_for_backward(1, 2)
    assert bare.saved_values == (1, 2)
    one.mark_dirty(1)


@pytest.mark.parametrize(
    ("f", "function", "operation"),
    [(c.Mul, True, False), (c.LinearFunction, True, False), (c.Exp, True, False), (c.EWiseMul, False, True),
     (c.EWiseMul(), False, True), (c.Affine, False, False), (c.Relu(), False, False), (len, False, False)],
)  # fmt: skip
def test_classes_are_distinguished_from_objects(f: Any, function: bool, operation: bool) -> None:
    assert (is_function_class(f), is_operation(f)) == (function, operation)


# ---- Objects


class Slotted:
    __slots__ = ("W", "none")

    def __init__(self) -> None:
        self.W = V


def test_the_arrays_of_an_object_the_shortest_paths_first() -> None:
    x, y, z = np.ones(2), np.ones(3), np.ones(4, np.float32)
    own = SimpleNamespace(
        params={"W": x, "b": y}, layers=[SimpleNamespace(W=x, z=z), Slotted()], n=3, name="a", whole=np.arange(3),
        f=len,
        rng=np.random.default_rng(0), again=x,
    )  # fmt: skip
    own.me = own
    found = dict(objects._arrays(own, (), set()))
    assert [objects._label(path) for path in found] == ["again", "params['b']", "layers[0].z", "layers[1].W"]
    assert [objects._value_at(own, path) is value for path, value in found.items()] == [True] * 4
    deep: Any = x
    for _ in range(objects.DEPTH + 1):
        deep = [deep]
    assert len(dict(objects._arrays(deep, (), set()))) == 1
    assert not dict(objects._arrays([deep], (), set()))
    assert objects._parts({".a": 1}) == [(".a", 1)]
    assert objects._value_at({".a": x}, (".a",)) is x
    assert objects._parts(Slotted()) == [(".W", V)]
    assert all(objects._parts(v) == [] for v in (1, 1.5, "a", b"a", len, np, objects._parts, np.float64(1), int))


@pytest.mark.parametrize(
    ("path", "gradient"),
    [((".dW",), True), ((".W",), False), ((".grads", "W"), True), ((".params", "W"), False), ((".params", "dW"), True),
     ((".layers", 0, ".W_grad"), True), ((".d",), False), ((0,), False), ((".gradient", 0), True)],
)  # fmt: skip
def test_which_paths_lead_to_gradients(path: Any, gradient: bool) -> None:
    assert objects._is_gradient(path) is gradient


@pytest.mark.parametrize(
    ("own", "path", "place"),
    [
        ({"W": V, "dW": V}, (".W",), (".dW",)), ({"W": V, "W_grad": V}, (".W",), (".W_grad",)),
        ({"W": V, "dw": V}, (".W",), (".dw",)),
        ({"_W": V, "_dW": V}, ("._W",), ("._dW",)), ({"data": V, "grad": V}, (".data",), (".grad",)),
        ({"value": V, "gradient": V}, (".value",), (".gradient",)), ({"W": V, "grad": V}, (".W",), None),
        ({"W": V, "dW": None}, (".W",), None), ({"W": V, "dW": "no"}, (".W",), None),
        ({"W": V, "db": V}, (".W",), None),
        ({"params": {"W": V}, "grads": {"W": V}}, (".params", "W"), (".grads", "W")),
        ({"params": {"W": V}, "grads": {"dW": V}}, (".params", "W"), (".grads", "dW")),
        ({"params": [V, M], "grads": [V, M]}, (".params", 1), (".grads", 1)),
        ({"params": [V, M], "grads": [V]}, (".params", 1), None),
        ({"params": {"W": V, "dW": V}, "grads": {}}, (".params", "W"), (".params", "dW")),
        ({"other": {"W": V}, "grads": {"W": V}}, (".other", "W"), None),
    ],
)  # fmt: skip
def test_where_an_object_holds_the_gradient_of_one_of_its_arrays(own: dict[str, Any], path: Any, place: Any) -> None:
    if path[0] not in (f".{k}" for k in own):
        own = {**own, path[0][1:]: V}
    assert objects._gradient_path(SimpleNamespace(**own), path) == place


def test_gradients_that_the_backward_returned_by_name() -> None:
    assert objects._in_returned({"dW": V}, (".params", "W")) == (objects.RETURNED, "dW")
    assert objects._in_returned({"W": V}, (".W",)) == (objects.RETURNED, "W")
    assert objects._in_returned({"db": V}, (".W",)) is None
    assert objects._in_returned((V,), (".W",)) is None


def forward(x: Any, t: Any) -> Any:
    return x * t


@pytest.mark.parametrize(
    ("returned", "own", "found"),
    [
        ({"x": V, "q": V}, {}, ["x"]), ((V, M), {}, ["x", "t"]), ((V,), {}, ["x"]), ((V, None), {}, ["x"]),
        (V, {}, ["x"]),
        (None, {"dx": V}, ["x"]), (None, {"dinputs": V}, ["x"]), (None, {"dX": V, "dt": M}, ["x", "t"]),
        (None, {"dq": V}, []),
        (None, {"x": V}, []), (None, {"dx": "no"}, []),
    ],
)  # fmt: skip
def test_the_gradients_of_the_arguments_of_the_forward(returned: Any, own: dict[str, Any], found: list[str]) -> None:
    data = inputs_in_order(forward, (V, M))
    assert list(objects._input_gradients(returned, SimpleNamespace(**own), ["x", "t"], data)) == found


def test_methods_of_objects_and_cotangents_of_ones() -> None:
    class Net:
        def loss(self) -> None: ...

    assert objects.methods(c.Affine) == ("forward", "backward")
    assert objects.methods(c.Net) == ("loss", "gradient")
    assert objects.methods(Net()) == ("loss", "")
    assert objects.methods(Net().loss) == ("loss", "")
    assert [objects.methods(f) for f in (len, np, [1], (1,), {}, 3)] == [None] * 6
    ones = objects._ones((M, [V, 2.0]))
    assert (type(ones), type(ones[1]), ones[0].shape, ones[1][1].shape) == (tuple, list, (2, 3), ())
    assert objects._value_or_none(SimpleNamespace(a=[1]), (".a", 3)) is None
    assert objects._value_or_none(SimpleNamespace(a=[1]), (".b",)) is None
    assert objects._value_or_none(SimpleNamespace(a=[1]), (".a", 0)) == 1


# ---- Rows and columns

A46, A64, W34, W43 = np.ones((4, 6)), np.ones((6, 4)), np.ones((3, 4)), np.ones((4, 3))


@pytest.mark.parametrize(
    ("given", "axis", "number", "biases", "text"),
    [
        ({"A": A46, "W": W34, "b": np.ones((3, 1))}, 1, 6, ("b",),
        "samples are columns here (W (3, 4), A (4, 6), b (3, 1))"),
        ({"x": A64, "W": W43, "b": V}, 0, 6, ("b",), "samples are rows here (W (4, 3), x (6, 4), b (3,))"),
        ({"x": A64, "weights": W43, "b1": np.ones((1, 3))}, 0, 6, ("b1",),
        "samples are rows here (weights (4, 3), x (6, 4), b1 (1, 3))"),
        ({"x": A64, "p['W1']": W43, "p['b1']": V}, 0, 6, ("p['b1']",),
        "samples are rows here (p['W1'] (4, 3), x (6, 4), p['b1'] (3,))"),
        ({"A": A46, "W": W34}, 1, 6, (), "samples are columns here (W (3, 4), A (4, 6))"),
        ({"A": A64, "W": W43}, 0, 6, (), "samples are rows here (W (4, 3), A (6, 4))"),
        ({"A": A46, "W_2": W34, "b": V}, 1, 6, (), "samples are columns here (W_2 (3, 4), A (4, 6))"),
    ],
)  # fmt: skip
def test_samples_are_rows_or_columns(given: Any, axis: int, number: int, biases: Any, text: str) -> None:
    found = layout(list(given), list(given.values()))
    assert found is not None
    assert (found.axis, found.number, found.biases, found.sentence) == (axis, number, biases, text)


@pytest.mark.parametrize("given", [{"x": A64, "V": W43, "b": V}, {"W": W43, "b": V}, {"x": np.ones((4, 4)),
"W": np.ones((4, 4))},
                                   {"x": np.ones((2, 5)), "W": W43}])  # fmt: skip
def test_where_shapes_do_not_tell_nothing_is_said(given: Any) -> None:
    assert layout(list(given), list(given.values())) is None


def test_diagnoses_mention_the_layout_of_samples() -> None:
    columns = layout(["A", "W", "b"], [A46, W34, np.ones((3, 1))])
    rows = layout(["x", "W", "b"], [A64, W43, V])

    def said(samples: Any, kind: str, where: str, factor: str = "") -> str:
        (found,) = with_samples([Diagnosis(kind, where, "", ("e",), factor=factor)], samples)
        assert found.evidence[0] == "e"
        return "; ".join(found.evidence[1:])

    assert said(None, "wrong_axis_sum", "b") == ""
    assert said(columns, "wrong_axis_sum", "b").endswith(": db is summed over axis 1, .sum(axis=1, keepdims=True)")
    assert said(rows, "broadcast_not_summed", "b").endswith(": db is summed over axis 0, .sum(axis=0)")
    assert said(rows, "wrong_shape", "c").endswith(": the gradient of a bias is summed over axis 0, .sum(axis=0)")
    assert said(rows, "scale", "W", "6").endswith(", and 6 is their number")
    assert said(rows, "scale", "W", "1/6").endswith(", and 1/6 is 1 over their number")
    assert said(rows, "scale", "W", "2") == said(rows, "sign", "W", "6") == ""
    assert said(rows, "scale", "W", "1/N") == rows.sentence
    assert said(rows, "scale", "W", "lambda") == ""
    two = layout(["x", "W", "b"], [np.ones((2, 4)), W43, V])
    assert said(two, "scale", "W", "2") == ""
