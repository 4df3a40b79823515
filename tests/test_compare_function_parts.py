"""How `compare` calls user functions, why a function has no graph, and how objects are accepted."""

import random
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compare_gradients
from tinygrad_nn.compare.conventions import context, objects, reasons
from tinygrad_nn.compare.conventions.cached import read_cached
from tinygrad_nn.compare.conventions.code import same_draws
from tinygrad_nn.compare.conventions.context import read_function_class, read_operation
from tinygrad_nn.compare.conventions.recognize import is_code, recognize_code
from tinygrad_nn.compare.conventions.samples import layout, with_samples
from tinygrad_nn.compare.conventions.value_with_gradients import read_value_and_gradients
from tinygrad_nn.compare.diagnosis import Diagnosis
from tinygrad_nn.compare.function import calling
from tinygrad_nn.compare.function.calling import arrange, call_function, call_manual, inputs_in_order, make_inputs
from tinygrad_nn.compare.function.possible_backwards import Batch, possible_backwards

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(8)
V, M = np.array([1.0, 2.0, 3.0]), np.array([[1.0, 2.0], [3.0, 4.0]])


# -- Inputs of a function


def two(a: Any, b: Any) -> Any:
    return a, b


def told_of(f: Any, inputs: Any) -> tuple[list[str], bool, list[str], list[int], list[int]]:
    found = arrange(f, inputs)
    return found.names, found.by_name, found.labels, found.float_indices, found.owner


def test_inputs_have_the_names_of_parameters_or_of_keys() -> None:
    assert told_of(two, (V, M)) == (["a", "b"], False, ["a", "b"], [0, 1], [0, 1])
    assert told_of(two, {"b": V, "a": 3}) == (["b", "a"], True, ["b", "a"], [0], [0, 1])
    assert told_of(lambda p: p, {"W": V, "k": [M, 2]}) == (
        ["p"], False, ["p['W']", "p['k'][0]", "p['k'][1]"], [0, 1], [0, 0, 0])  # fmt: skip
    assert told_of(two, [[V, None, M], M]) == (["a", "b"], False, ["a[0]", "a[2]", "b"], [0, 1, 2], [0, 0, 1])
    assert told_of(lambda *parts: parts, (V, M)) == (["input 0", "input 1"], False, ["input 0", "input 1"], [0, 1],
                                                     [0, 1])  # fmt: skip
    assert told_of(lambda first, *rest: 0, (V, M))[0] == ["input 0", "input 1"]
    assert told_of(lambda a, b=3, *, c=4: 0, (V,))[0] == ["a"]
    assert told_of(lambda a: 0, (V,))[:3] == (["a"], False, ["a"])
    assert told_of(max, (V, M))[0] == ["input 0", "input 1"]  # no signature is known
    assert told_of(max, {"a": V})[:2] == (["input 0"], False)


@pytest.mark.parametrize(
    ("f", "inputs", "came"),
    [(two, (V,), r"two\(a: Any, b: Any\) -> Any does not take 1 input"), (two, V, "does not take one input"),
     (two, {"a": V, "c": V}, "does not take a, c"), (two, [V, V, V], "does not take 3 inputs")],
)  # fmt: skip
def test_inputs_that_a_function_does_not_take(f: Any, inputs: Any, came: str) -> None:
    with pytest.raises(TypeError, match=came):
        arrange(f, inputs)


def test_other_leaves_are_put_into_the_containers_of_the_inputs() -> None:
    found = make_inputs(["p", "n", "x"], [{"W": M, "k": 2}, 5, [V, np.arange(2)]])
    assert found.labels == ["p['W']", "p['k']", "n", "x[0]", "x[1]"]
    assert (found.float_indices, found.owner) == ([0, 3], [0, 0, 1, 2, 2])
    p, n, x = found.with_leaves([2 * M, 3 * V])
    assert (p["W"].tolist(), p["k"], n, x[0].tolist(), x[1].tolist()) == ((2 * M).tolist(), 2, 5, [3, 6, 9], [0, 1])
    x[1][0] = 7
    assert found.with_leaves([M, V])[2][1].tolist() == [0, 1]  # each call has arrays of its own
    assert found.leaves[0] is not M
    assert call_function(lambda p, n, x: n * x[0], found, [M, V]).tolist() == [5, 10, 15]
    by_name = make_inputs(["b", "a"], [V, 2.0], by_name=True)
    assert call_function(lambda a, b: a - b, by_name, [V, np.array(10.0)]).tolist() == [9, 8, 7]


def test_inputs_in_the_order_of_parameters() -> None:
    def forward(ctx: Any, a: Any, b: Any = 3, *rest: Any) -> None: ...

    def told(inputs: Any, skip: int = 1) -> tuple[list[str], list[Any]]:
        found = inputs_in_order(forward, inputs, skip)
        return found.names, found.values

    assert told((1.0, 2)) == (["a", "b"], [1.0, 2])
    assert told([1.0]) == (["a"], [1.0])
    assert told(1.0) == (["a"], [1.0])
    assert told({"b": 2.0, "a": 1.0}) == (["a", "b"], [1.0, 2.0])
    assert told({"q": 2.0}) == (["a"], [{"q": 2.0}])
    assert told((1.0, 2, 3, 4)) == (["a", "b", "input 2", "input 3"], [1.0, 2, 3, 4])
    assert told((1.0, 2), 0) == (["ctx", "a"], [1.0, 2])
    with pytest.raises(TypeError, match=r"the inputs do not fit forward\(a, b, rest\): missing a required argument"):
        told(())


def test_which_parameters_of_a_backward_are_none_of_the_inputs() -> None:
    inputs = make_inputs(["x", "g"], [V, V])
    assert not calling.takes_any(lambda x, g: 0, calling.COTANGENTS, inputs)
    assert calling.takes_any(lambda x, g, dout: 0, calling.COTANGENTS, inputs)
    assert not calling.takes_any(V, calling.COTANGENTS, inputs)
    assert not calling.takes_any(max, calling.COTANGENTS, inputs)
    assert calling.takes_any(lambda out: 0, calling.OUT, inputs)
    assert not calling.takes_any(lambda x: 0, calling.OUT, inputs)
    assert not calling.takes_any(lambda out: 0, calling.OUT, make_inputs(["out"], [V]))
    assert not calling.takes_any(max, calling.OUT, inputs)


def called(manual: Any, names: tuple[str, ...] = ("a", "b"), by_name: bool = False) -> Any:
    inputs = make_inputs(list(names), [float(k + 1) for k in range(len(names))], by_name)
    return call_manual(manual, inputs, [10.0 * (k + 1) for k in range(len(names))], "OUT", "G")


def test_a_backward_is_called_by_the_names_of_its_parameters() -> None:
    assert called(V) is V
    assert called(lambda a, b, g: (a, b, g)) == (10.0, 20.0, "G")
    assert called(lambda g, q, r: (g, q, r)) == ("G", 10.0, 20.0)
    assert called(lambda b, a: (b, a)) == (10.0, 20.0)  # in their order
    assert called(lambda b, a: (b, a), by_name=True) == (20.0, 10.0)
    assert called(lambda b, out, v, a: (b, out, v, a), by_name=True) == (20.0, "OUT", "G", 10.0)
    assert called(lambda *all: all) == (10.0, 20.0)
    assert called(lambda b, g: (b, g)) == (20.0, "G")  # only some of them, by name
    with pytest.raises(ZeroDivisionError) as told:
        called(lambda a, P: 1 / 0)
    assert told.value.__notes__ == [
        ("compare_gradients: manual(a, P) was called with the inputs a, b. If P are values of the forward, return them "
         "there beside the loss: `return loss, P`.")
    ]  # fmt: skip
    assert called(lambda a, b, c=7: c) == 7
    assert called(lambda a, out="own", b=3: (a, out, b)) == (10.0, 20.0, 3)
    assert called(lambda a, b, /, g: (a, b, g)) == (10.0, 20.0, "G")
    assert called(lambda a, b, **more: more) == {}
    assert called(lambda g, b: (g, b), ("g", "b")) == (10.0, 20.0)
    assert called(lambda out, b: (out, b), ("out", "b")) == (10.0, 20.0)
    with pytest.raises(TypeError, match=r"a parameter 'c' and there is no input for it. It is called with a, b in"):
        called(lambda a, b, c: 0)


# -- Why there is no graph


def raised(f: Any, *args: Any) -> Any:
    with pytest.raises(Exception) as told:  # noqa: PT011
        f(*args)
    return told.value


def several_lines(x: Any) -> Any:
    y = 1
    return (
        y
        + x["a"]
        / "b"
    )  # fmt: skip


def one_line(x: Any) -> Any:
    y = 1
    return y + (x["a"] / "b")


def test_the_expression_that_raised() -> None:
    first = several_lines.__code__.co_firstlineno
    error = raised(several_lines, {"a": 1})
    assert reasons._expression(error.__traceback__.tb_next) == (first + 4, "")
    assert reasons._own_frame(error.__traceback__) == (several_lines.__code__, first + 4, "")
    first = one_line.__code__.co_firstlineno
    error = raised(one_line, {"a": 1})
    assert reasons._expression(error.__traceback__.tb_next) == (first + 2, 'x["a"] / "b"')
    error = raised(one_line, {})
    assert reasons._own_frame(error.__traceback__) == (one_line.__code__, first + 2, 'x["a"]')
    unknown: Any = SimpleNamespace(tb_frame=SimpleNamespace(f_code=one_line.__code__), tb_lasti=10**6, tb_lineno=77)
    assert reasons._expression(unknown) == (77, "")
    assert reasons._own_frame(None) is None


def by_numpy(x: Any) -> Any:
    return np.linalg.inv(x)


def nested(x: Any) -> Any:
    for part in x:
        if part:
            part / "b"
    return sorted(x, key=lambda v: v / "c")


def test_a_reason_names_the_line_and_what_it_does() -> None:
    first = by_numpy.__code__.co_firstlineno
    found = reasons.why_disconnected(raised(by_numpy, np.zeros((2, 2))), by_numpy)
    what = "raises LinAlgError (Singular matrix) there: return np.linalg.inv(x)"
    assert found == reasons.Reason(f"line {first + 1} {what}")
    assert found.sentence == f"numerical only: the forward cannot run on Tensors, since {found.text}"
    first = nested.__code__.co_firstlineno
    assert reasons.why_disconnected(raised(nested, [1]), nested).text == (
        f"line {first + 3} raises TypeError (unsupported operand type(s) for /: 'int' and 'str') there: part / 'b'")
    text = reasons.why_disconnected(raised(nested, [0]), nested).text
    assert text.startswith(f"line {first + 4} raises TypeError (")
    assert text.endswith("there: return sorted(x, key=lambda v: v / 'c')")
    assert reasons.why_disconnected(ValueError("a. b\nc"), by_numpy).text == "by_numpy raised ValueError: a"
    assert reasons.why_disconnected(ValueError(), 3).text == "it raised ValueError: ValueError"


def test_the_text_of_a_statement_leaves_out_its_body() -> None:
    code, first = nested.__code__, nested.__code__.co_firstlineno
    assert [reasons._statement(code, first + k) for k in range(5)] == [
        "def nested(x: Any) -> Any:", "for part in x:", "if part:", "part / 'b'",
        "return sorted(x, key=lambda v: v / 'c')"]  # fmt: skip
    lines = several_lines.__code__
    assert [reasons._statement(lines, lines.co_firstlineno + k) for k in (2, 4, 6)] == ["return y + x['a'] / 'b'"] * 3
    assert reasons._statement(lines, lines.co_firstlineno + 8) == ""
    assert reasons._statement(compile("1", "nowhere", "exec"), 1) == ""


def test_a_statement_in_short() -> None:
    assert reasons._shorten("out[i] = x = y") == "out[i] = ..."
    assert reasons._shorten("out = x[i]") == "out = x[i]"
    assert reasons._shorten("a " * 29 + "ab") == "a " * 29 + "ab"  # 60 characters
    assert reasons._shorten("a " * 29 + "abc") == "a " * 27 + "a ..."
    assert reasons.disconnected("x, w").text == (
        "it runs on them but leaves the graph: the result depends on x, w, but not through the graph (.data, .item(), "
        "or an array made of the numbers)")  # fmt: skip


# -- Objects


class Doubled:
    """Its two methods have names of their own."""

    def __init__(self) -> None:
        self.W = M.copy()

    def run(self, x: Any) -> Any:
        self.x = x
        return x @ self.W

    def walk(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        return dout @ self.W.T

    def rate(self, dout: Any, lr: float) -> Any:
        dx = dout @ self.W.T
        self.W = self.W - lr * (self.x.T @ dout)
        return dx


class Updated(Doubled):
    forward = Doubled.run
    backward = Doubled.rate


def test_two_methods_of_an_object_that_are_named_by_the_person() -> None:
    x, g = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))
    obj = Doubled()
    code = objects.read_object(obj.run, x, "walk")
    assert code.notes == ("Treated as an object with run and walk. Its parameters: W; their gradients: dW.",)
    assert (code.name, code.inputs.names, code.takes_cotangents, code.allows_missing) == (
        "Doubled",
        ["x", "W"],
        True,
        True,
    )
    np.testing.assert_allclose(code.forward([x, 2 * M]), x @ (2 * M))
    found = code.back(code.inputs, [x, 2 * M], g)
    np.testing.assert_allclose(found["x"], g @ (2 * M).T)
    np.testing.assert_allclose(found["W"], x.T @ g)
    code = objects.read_object(Updated(), x)
    (note,) = code.notes
    assert note == ("Treated as an object with forward and backward. Its parameters: W; their gradients: what the "
                    "backward subtracts, over the learning rate.")  # fmt: skip
    found = code.back(code.inputs, [x, 2 * M], g)
    np.testing.assert_allclose(found["W"], x.T @ g, rtol=1e-12)
    np.testing.assert_allclose(found["x"], g @ (2 * M).T, rtol=1e-12)


class Lossy:
    """A loss, and gradients of its parameters beside it."""

    def __init__(self) -> None:
        self.params, self.other = {"W": M.copy(), "b": V.copy()}, 3

    def loss(self, x: Any) -> Any:
        z = x @ self.params["W"]
        return (z * z).sum(), {"W": 2 * x.T @ z}


def test_an_object_that_returns_gradients_beside_its_loss() -> None:
    x = RNG.normal(size=(3, 2))
    code = objects.read_object(Lossy(), x)
    (note,) = code.notes
    assert note == ("Treated as an object with loss, which returns gradients along with its value. Its parameters: "
                    "params['W']; their gradients: returned as W. No gradient of params['b'] was found after the "
                    "backward.")  # fmt: skip
    assert code.inputs.names == ["x", "params['W']"]
    assert not code.takes_cotangents
    np.testing.assert_allclose(code.forward([x, M]), ((x @ M) ** 2).sum())
    np.testing.assert_allclose(code.back(code.inputs, [x, 2 * M], None)["params['W']"], 4 * x.T @ x @ M)
    assert objects.has_parameters(Lossy().loss, x)
    assert not objects.has_parameters(Doubled().run, x)  # it returns no gradients
    assert not objects.has_parameters(Lossy().loss, (x, x))


class Kept:
    """What it returns is left in an attribute."""

    def forward(self, x: Any) -> None:
        self.out = 2 * x

    def backward(self, scale: float = 1.0) -> Any:
        return 2 * np.ones(3) * scale


def test_a_result_that_is_left_in_an_attribute() -> None:
    code = objects.read_object(Kept, V)
    assert code.forward([V]).tolist() == [2, 4, 6]
    (note,) = code.notes
    assert note == "Treated as an object with forward and backward. No array of its own has a gradient afterwards."
    assert code.takes_cotangents  # its result is an array, so the default is a cotangent


def test_the_same_draws_are_made_each_time_and_those_outside_go_on() -> None:
    random.seed(3)
    first = random.random()
    random.seed(3)
    with same_draws():
        inside = random.random()
    assert random.random() == first != inside
    with same_draws():
        assert random.random() == inside
    np.random.seed(3)  # noqa: NPY002
    whole = np.random.rand(3).tolist()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    found = [np.random.rand()]  # noqa: NPY002
    for _ in range(2):
        with same_draws():
            inside = np.random.rand()  # noqa: NPY002
        found.append(np.random.rand())  # noqa: NPY002
    assert found == whole
    with same_draws():
        assert np.random.rand() == inside  # noqa: NPY002


def test_a_comparison_leaves_the_global_generators_as_they_were() -> None:
    def dropped(x: Any) -> Any:
        mask = np.random.randn(*x.shape) + random.random()  # noqa: NPY002
        cache = (mask,)
        return x * mask, cache

    np.random.seed(5)  # noqa: NPY002
    np.random.randn()  # noqa: NPY002 - NumPy makes two normal numbers at once, and keeps the second back
    before, python = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    assert before["has_gauss"] == 1
    report = compare_gradients(dropped, V, manual=lambda dout, cache: dout * cache[0])
    assert report.ok, str(report)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert (after["has_gauss"], after["gauss"]) == (1, before["gauss"])
    np.testing.assert_array_equal(after["state"]["key"], before["state"]["key"])
    assert after["state"]["pos"] == before["state"]["pos"]
    assert random.getstate() == python


# -- Conventions


def kept(x: Any, w: Any) -> Any:
    out, cache = x * w, (x, w)
    return out, cache


def two_kept(x: Any, w: Any) -> Any:
    return x * w, float(x.sum()), x, w


def note_of(code: Any) -> str:
    (note,) = code.notes
    return str(note)


def test_a_forward_with_a_cache_and_its_backward() -> None:
    inputs = make_inputs(["x", "w"], [V, 2 * V])
    back = lambda dout, cache: (dout * cache[1], dout * cache[0])
    code = read_cached(kept, inputs, back)
    assert code is not None
    assert note_of(code) == "Treated as a forward that returns its result and a cache, and a backward(dout, cache)."
    assert (code.name, code.takes_cotangents, code.source, code.backward) == ("kept", True, kept, back)
    assert code.forward([V, 3 * V]).tolist() == (3 * V * V).tolist()
    np.testing.assert_array_equal(code.back(inputs, [V, 3 * V], V), [3 * V * V, V * V])
    two = lambda d_out, dsum, cache, w, eps=1: [d_out * w + dsum * isinstance(dsum, float), cache[0] * d_out]
    code = read_cached(two_kept, inputs, two)
    assert code is not None
    assert note_of(code) == (
        "Treated as a forward that returns its results and a cache, and a backward(d_out, dsum, cache, w).")
    assert [np.asarray(out).tolist() for out in code.forward([V, 3 * V])] == [(3 * V * V).tolist(), 6.0]
    np.testing.assert_array_equal(code.back(inputs, [V, 3 * V], [V, np.array(7.0)]), [3 * V * V + 7, V * V])
    loss = lambda x, w: ((x * w).sum(), x * w, (x, w))
    only = lambda caches: (caches[1], caches[0])
    code = read_cached(loss, inputs, only)
    assert code is not None
    assert (code.takes_cotangents, note_of(code)) == (
        False, "Treated as a forward that returns its result and a cache, and a backward(caches).")
    assert read_cached(kept, inputs, V) is None
    assert read_cached(lambda x, w: x * w, inputs, lambda x, w, g: 0) is None
    assert read_cached(lambda x, w: x * w, inputs, lambda dout, kept: 0) is None  # it returns nothing to keep
    assert read_cached(kept, inputs, lambda dout, kept: 0) is not None
    assert read_cached(kept, inputs, lambda dz, kept: 0) is not None
    assert read_cached(kept, inputs, lambda q, kept: 0) is None
    assert read_cached(kept, inputs, lambda x, w, g: 0) is None
    assert read_cached(kept, make_inputs(["x", "cache"], [V, V]), lambda x, cache: 0) is None
    with pytest.raises(TypeError, match=r"takes a cache \(dout, cache\), but the function returned an array of shape"):
        read_cached(lambda x, w: x * w, inputs, lambda dout, cache: 0)
    with pytest.raises(TypeError, match=r"but the function returned a tuple of 1. It must return"):
        read_cached(lambda x, w: (x * w,), inputs, lambda dout, cache: 0)


def test_a_forward_that_draws_gives_its_backward_the_same_numbers() -> None:
    drawn: list[float] = []

    def dropped(x: Any, w: Any) -> Any:
        drawn.append(np.random.random())  # noqa: NPY002
        return x * w * drawn[-1], (x, w)

    inputs = make_inputs(["x", "w"], [V, V])
    code = read_cached(dropped, inputs, lambda dout, cache: cache)
    assert code is not None
    code.forward([V, V])
    code.back(inputs, [V, V], V)
    assert drawn == [drawn[0]] * 3
    drawn.clear()
    beside = read_value_and_gradients(lambda x, w: (dropped(x, w)[0].sum(), w, x), inputs)
    beside.forward([V, V])
    beside.back(inputs, [V, V], None)
    assert drawn == [drawn[0]] * 3


def loss_first(x: Any, w: Any) -> Any:
    loss, dx, dw = (x * w).sum(), w, x
    return loss, dx, dw


def loss_last(x: Any, w: Any) -> Any:
    return {"x": w, "w": x}, (x * w).sum()


def test_a_function_that_returns_gradients_with_its_value_is_noted() -> None:
    inputs = make_inputs(["x", "w"], [V, 2 * V])
    first, last = read_value_and_gradients(loss_first, inputs), read_value_and_gradients(loss_last, inputs)
    assert note_of(first) == "Treated as a function that returns its gradients (dx, dw) along with its value."
    assert note_of(last) == "Treated as a function that returns its gradients along with its value."
    assert (first.names, last.names) == (("dx", "dw"), ("",))
    assert (first.name, first.takes_cotangents, first.allows_missing, first.source) == (
        "loss_first",
        False,
        True,
        loss_first,
    )
    for code in (first, last):
        assert code.forward([V, V]) == 14.0
    np.testing.assert_array_equal(first.back(inputs, [V, 3 * V], None), [3 * V, V])
    assert last.back(inputs, [V, 3 * V], None)["x"].tolist() == (3 * V).tolist()


class Product:
    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        ctx.needs = ctx.needs_input_grad
        return a * b

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        a, b = ctx.saved_tensors
        Product.needed = ctx.needs
        return d * b, d * a

    needed: Any = None


class Apart:
    @staticmethod
    def forward(a: Any, b: Any) -> Any:
        return a * b, a

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.kept = (*inputs, *output)

    @staticmethod
    def backward(ctx: Any, d: Any, e: Any) -> Any:
        _, b, _, same = ctx.kept
        return d * b + e, d * same


class Bare(Product):
    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        ctx.save_for_backward(a)
        return a * a

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return 2.0 * np.asarray(ctx.saved_values) * np.ones(3)[: np.size(ctx.saved_values)] * d if isinstance(
            ctx.saved_values, np.ndarray) else "no"  # fmt: skip


class Times:
    def compute(self, a: Any, b: Any) -> Any:
        return a * b

    def gradient(self, g: Any, node: Any) -> Any:
        a, b = node.inputs
        return g * b, g * a


def test_classes_with_a_context_or_a_node() -> None:
    code = read_function_class(Product, (V, 2.0))
    assert note_of(code) == "Treated as a class with forward(ctx, a, b) and backward(ctx, ...)."
    assert (code.name, code.inputs.names, code.takes_cotangents, code.allows_missing) == (
        "Product",
        ["a", "b"],
        True,
        True,
    )
    a, b = code.back(code.inputs, [V, np.array(3.0)], V)
    assert (a.tolist(), b.tolist(), Product.needed) == ((3 * V).tolist(), (V * V).tolist(), (True, True))
    code = read_function_class(Product(), (V, 2))
    code.back(code.inputs, [V], V)
    assert Product.needed == (True, False)
    code = read_function_class(Apart, (V, 2 * V))
    assert code.inputs.names == ["a", "b"]
    a, b = code.back(code.inputs, [V, 3 * V], [V, M[0, 0] * V])
    assert (a.tolist(), b.tolist()) == ((3 * V * V + V).tolist(), (V * V).tolist())
    assert [out.tolist() for out in code.forward([V, V])] == [(V * V).tolist(), V.tolist()]
    code = read_function_class(Bare, V)
    assert note_of(code) == ("Treated as a class with forward(ctx, a) and backward(ctx, ...). One saved value is given "
                             "back without a tuple around it.")  # fmt: skip
    assert code.back(code.inputs, [V], np.ones(3)).tolist() == (2 * V).tolist()
    code = read_operation(Times, (V, 2 * V))
    assert note_of(code) == "Treated as an operation with compute and gradient(out_grad, node)."
    assert (code.name, code.takes_cotangents, code.allows_missing) == ("Times", True, True)
    a, b = code.back(code.inputs, [V, 3 * V], V)
    assert (a.tolist(), b.tolist()) == ((3 * V * V).tolist(), (V * V).tolist())
    assert code.forward([np.array(2.0), np.array(3.0)]) == 6.0

    class Picked:
        def compute(self, a: Any, index: Any, n: int) -> Any:
            return n * a[index]

        def gradient(self, g: Any, node: Any) -> Any:
            a, index, n = node.inputs
            found = np.zeros(a.realize_cached_data().shape)
            np.add.at(found, index.realize_cached_data(), n * g.numpy())
            return found

    code = read_operation(Picked(), (V, np.array([0, 2, 0]), 3))
    assert code.back(code.inputs, [V], V).tolist() == [3 * (1 + 3), 0, 3 * 2]


def test_a_backward_returns_a_gradient_for_each_argument_or_each_floating_input() -> None:
    inputs = make_inputs(["a", "n", "b"], [V, 3, {"W": M, "c": V}])
    assert context._checked_gradients((1, 2, 3), inputs, "backward") == (1, 2, 3)
    assert context._checked_gradients([1, 2], inputs, "backward") == [1, 2]
    for found, what in (((1,), "a tuple of 1"), ((1,) * 4, "a tuple of 4"), (V, "an array of"), (None, "nothing")):
        with pytest.raises(TypeError, match=f"backward returned {what}.*gradient for each of a, n, b, in one tuple"):
            context._checked_gradients(found, inputs, "backward")
    one = make_inputs(["a"], [V])
    assert context._checked_gradients(V, one, "backward") is V
    assert [type(x) for x in context._to_numpy_scalars([np.array(2.0), V, 3, np.ones((1,))])] == [
        np.float64, np.ndarray, int, np.ndarray]  # fmt: skip


def test_which_convention_is_taken() -> None:
    def note(f: Any, given: Any, manual: Any = None) -> str:
        return " ".join(recognize_code(f, given, manual).notes)

    obj = Doubled()
    x = RNG.normal(size=(3, 2))
    assert note(obj.run, x, obj.walk).startswith("Treated as an object with run and walk.")
    assert note(Updated(), x).startswith("Treated as an object with forward and backward.")
    updated = Updated()
    assert note(updated, x, updated.backward).startswith("Treated as an object with forward and backward.")
    assert note(Lossy().loss, x).startswith("Treated as an object with loss, which returns")
    assert note(Lossy(), x).startswith("Treated as an object with loss, which returns")
    assert note(Times, (V, V)) == "Treated as an operation with compute and gradient(out_grad, node)."
    times = Times()
    assert note(times, (V, V), times.gradient) == "Treated as an operation with compute and gradient(out_grad, node)."
    assert note(Product, (V, V)).startswith("Treated as a class with forward(ctx, a, b)")
    assert note(Product, (V, V), Product.backward).startswith("Treated as a class with forward(ctx, a, b)")
    assert note(loss_first, (V, V)).startswith("Treated as a function that returns its gradients (dx, dw)")
    assert note(kept, (V, V), lambda dout, cache: 0).startswith("Treated as a forward that returns its result and a")
    assert note(lambda x: x, V, lambda x, g: g) == ""
    assert [is_code(f) for f in (Times, obj, Updated, obj.run, len, Product)] == [True, False, True, False, False, True]
    other = recognize_code(updated, x, lambda x, g: 2 * g)  # another backward, of the forward alone
    assert other.notes == ()
    assert other.forward([x]).tolist() == (x @ updated.W).tolist()
    plain = recognize_code(lambda x, w: x * w, (V, M[0, 0] * V), lambda x, w, out, g: (out, g))
    assert [np.asarray(p).tolist() for p in plain.back(plain.inputs, [V, 3 * V], "g")[:1]] == [(3 * V * V).tolist()]
    several = recognize_code(lambda x: (x, 2 * x), V, lambda x, out: out)
    assert [p.tolist() for p in several.back(several.inputs, [V], None)] == [V.tolist(), (2 * V).tolist()]
    assert recognize_code(lambda x: x * 2, V, lambda x: 2.0).takes_cotangents is False


# -- How an object is run


def object_of(backward: Any, forward: Any = lambda self, x, t=None: x * 2, **held: Any) -> Any:
    cls = type("Own", (), {"forward": forward, **({"backward": backward} if backward else {})})
    made: Any = cls()
    vars(made).update(held)
    return made


def taken(backward: Any, forward: Any = lambda self, x, t=None: x * 2, name: str = "backward") -> bool:
    obj = object_of(backward, forward)
    return objects._takes_cotangent(
        obj, objects.ObjectLayout("forward", name, {}, {}), inputs_in_order(obj.forward, (V,))
    )


def test_whether_a_backward_is_given_a_cotangent() -> None:
    loss = lambda self, x: (x * x).sum()
    assert taken(lambda self, dout: 0)
    assert taken(lambda self, dout: 0, loss)
    assert taken(lambda self, dout=1: 0)
    assert not taken(lambda self, dout=1: 0, loss)
    assert not taken(lambda self: 0)
    assert not taken(lambda self, x: 0)
    assert not taken(lambda self, lr, eta=0.1: 0)
    assert taken(lambda self, lr, dout, eta=0.1: 0)
    assert not taken(None, name="")


def run_back(backward: Any, takes: bool = True, g: Any = "G") -> Any:
    obj = object_of(backward)
    return objects._backward(obj, objects.ObjectLayout("forward", "backward", {}, {}), {"x": 1, "g": 2}, g, takes)


def test_what_the_parameters_of_a_method_are_given() -> None:
    assert run_back(lambda self, dout, x: (dout, x)) == ("G", 1)
    assert run_back(lambda self, g: g) == "G"  # a cotangent, not the input of that name
    assert run_back(lambda self, lr, dout, step_size=3: (lr, dout, step_size)) == (2.0**20, "G", 2.0**20)
    assert run_back(lambda self, dout, more=5: (dout, more)) == ("G", 5)
    assert run_back(lambda self, dout="own": dout, takes=False) == "own"
    assert run_back(lambda self, dout="own": dout, g=None) == "own"
    with pytest.raises(TypeError, match=r"Own.backward has a parameter 'more', .* of forward by .* \(x, g\). Give"):
        run_back(lambda self, dout, more: 0)
    with pytest.raises(TypeError, match="has a parameter 'dout'"):
        run_back(lambda self, dout: 0, takes=False)


def way_of(obj: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    candidates = dict(objects._arrays(obj, (), set()))
    found = objects._find_parameters(
        obj, objects.ObjectLayout("forward", "backward", {}, {}), inputs_in_order(obj.forward, (V,)), candidates
    )
    return found.parameters, found.gradients


def test_which_arrays_of_an_object_have_a_gradient() -> None:
    def kept(self: Any, x: Any) -> Any:
        self.x, self.still = x, self.still
        return x * self.w

    def sets(self: Any, dout: Any) -> None:
        self.dw = dout * self.x

    def steps(self: Any, dout: Any, lr: float) -> None:
        self.w = self.w - lr * dout * self.x
        self.m *= 2

    def adds(self: Any, dout: Any, lr: float) -> None:
        self.dw = dout * self.x
        self.w -= lr * self.dw

    given = {"w": V.copy(), "x": M.copy(), "m": M.copy(), "still": V.copy(), "dm": 0 * M}
    assert way_of(object_of(sets, kept, **given)) == (
        {"w": (".w",), "m": (".m",)}, {"w": (".dw",), "m": (".dm",)})  # x is another array after the forward
    assert way_of(object_of(steps, kept, **given)) == (
        {"w": (".w",), "m": (".m",)}, {"w": (), "m": (".dm",)})  # fmt: skip
    del given["dm"]
    assert way_of(object_of(steps, kept, **given)) == ({"w": (".w",), "m": (".m",)}, {"w": (), "m": ()})
    assert way_of(object_of(adds, kept, **given)) == ({"w": (".w",)}, {"w": (".dw",)})
    assert way_of(object_of(lambda self, dout: {"dw": V, "dm": M}, kept, **given))[1] == {
        "w": ("returned", "dw"), "m": ("returned", "dm")}  # fmt: skip


def test_a_copy_of_an_object_with_other_parameters() -> None:
    shared = V.copy()
    obj = object_of(None, w=shared, again=[shared], other=M)
    candidates = dict(objects._arrays(obj, (), set()))
    twin = objects._copy_with_parameters(
        obj, candidates, objects.ObjectLayout("forward", "", {"w": (".w",)}, {}), [7 * V]
    )
    assert twin.w.tolist() == twin.again[0].tolist() == (7 * V).tolist()
    assert obj.w is shared
    assert twin.other is not M
    arrays = {(".params", "a"): V, (".params", "b"): M, (".w",): 2 * V, (".theta", 0): V}
    way = objects.ObjectLayout("", "", {"params['a']": (".params", "a")}, {})
    assert objects._without_gradient(arrays, way) == ["params['b']"]
    with pytest.raises(TypeError, match=r"Own.forward returned nothing, and set none of output, out, outputs, loss"):
        objects._forward(
            object_of(None, lambda self, x: None), objects.ObjectLayout("forward", "backward", {}, {}), [V]
        )


# -- Other functions in the place of a backward


class Cell:
    def __init__(self, k: float) -> None:
        self.k = k

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.k * x * x

    def backward(self, dout: Any) -> Any:
        return self.slope(dout) * Cell.twice(self.x)

    def slope(self, dout: Any) -> Any:
        return self.k * dout

    @staticmethod
    def twice(x: Any) -> Any:
        return 2 * x


def batch_of(code: Any, leaves: list[Array]) -> Batch:
    outs = code.arrays(leaves)
    return Batch(code, leaves, np.ones(outs[0].shape), outs, [], [], [])


def test_roads_to_the_functions_in_which_a_mistake_may_be() -> None:
    cell = Cell(3.0)
    code = recognize_code(cell, V, None)
    batch = batch_of(code, [V.copy()])
    tracing = sys.gettrace()
    found = list(possible_backwards(code, cell, V, None, batch))
    assert sys.gettrace() is tracing
    assert [road.target for road in found] == [Cell.backward, Cell.slope, Cell.twice]
    assert [road.stores_gradients for road in found] == [True] * 3
    before = {name: vars(Cell)[name] for name in ("backward", "slope", "twice")}
    for road, new, grads in zip(found, (lambda self, dout: 5 * dout, lambda self, dout: dout, lambda x: x),
                                ([5, 5, 5], 2 * V, 3 * V), strict=True):  # fmt: skip
        outs, returned = road.finish(road.call(new, batch))
        assert [out.tolist() for out in outs or []] == [(3 * V * V).tolist()]
        assert np.asarray(code.with_pairing(returned).gradients_from(returned)[0]).tolist() == list(grads)
    assert {name: vars(Cell)[name] for name in before} == before

    def f(x: Any, w: Any) -> Any:
        return x * w

    back = lambda x, w, g: (g * w, g * x)
    code = recognize_code(f, (V, 2 * V), back)
    batch = batch_of(code, [V.copy(), 2 * V])
    (road,) = possible_backwards(code, f, (V, 2 * V), back, batch)
    assert (road.target, road.stores_gradients, road.finish("value")) == (back, False, (None, "value"))
    np.testing.assert_array_equal(road.call(lambda x, w, g: (7 * g * w, x), batch), [14 * V, V])
    assert [road.target for road in possible_backwards(code, f, (V, V), lambda x, w, g: 0, batch)] == []
    code = recognize_code(loss_last, (V, 2 * V), None)
    batch = batch_of(code, [V.copy(), 2 * V])
    (road,) = possible_backwards(code, loss_last, (V, 2 * V), None, batch)
    outs, grads = road.finish(road.call(lambda x, w: ({"x": 9 * w}, x.sum()), batch))
    assert ([float(out) for out in outs or []], road.target, road.stores_gradients) == ([6.0], loss_last, False)
    assert grads["x"].tolist() == (18 * V).tolist()


def test_a_changed_backward_gets_copies_of_its_arguments() -> None:
    code = recognize_code(lambda x, n, g: x, (V, [1, M], V), lambda x, n, g: 0)
    batch = Batch(code, [V, M, V], {"a": V}, [], [], [], [])
    inputs, leaves, g = batch.copy_arguments()
    for one, two in zip((*leaves, g["a"]), (V, M, V, V), strict=True):
        assert one is not two
        np.testing.assert_array_equal(one, two)
    assert all(a is not b for a, b in zip(inputs.leaves, code.inputs.leaves, strict=True) if isinstance(a, np.ndarray))
    assert inputs.labels == code.inputs.labels


# -- Rows and columns


def test_what_shapes_tell_of_samples_at_their_bounds() -> None:
    def told(**shapes: tuple[int, ...]) -> tuple[int, int, tuple[str, ...]] | None:
        found = layout(list(shapes), [np.ones(shape) for shape in shapes.values()])
        return found and (found.axis, found.number, found.biases)

    assert told(W1=(3, 4), b1=(3, 1), W2=(5, 3), b2=(5, 1)) is None  # neither are samples
    assert told(batch=(6, 4), W=(4, 3), b=(3,)) == (0, 6, ("b",))
    assert told(x=(1, 4), W=(4, 3), b=(3,)) == (0, 1, ())
    assert told(x=(2, 4), W=(4, 3), b=(3,)) == (0, 2, ("b",))
    assert told(x=(6, 4), W=(4, 1), b=(1, 1)) == (0, 6, ())
    assert told(x=(6, 4), W=(4, 1), b=(1,)) == (0, 6, ("b",))
    assert told(x=(6, 4), W=(4, 2), b=(1, 2)) == (0, 6, ("b",))
    assert told(A=(4, 6), W=(1, 4), b=(1, 1)) == (1, 6, ("b",))
    assert told(x=(6, 4), W=(4, 3), b=(3,), b2=(2, 2, 2), beta=(1, 5), b0=(), c=(3,)) == (0, 6, ("b", "beta"))
    assert told(x=(4, 4), W=(4, 4), b=(4, 1)) == (1, 4, ("b",))
    assert told(x=(4, 4), W=(4, 4), b=(1, 4)) == (0, 4, ("b",))
    assert told(x=(6, 4, 1), W=(4, 3), b=(3,)) is None

    def said(number: int, factor: str) -> int:
        scaled = Diagnosis("scale", "W", "", factor=factor)
        (found,) = with_samples([scaled], layout(["x", "W", "b"], [np.ones((number, 4)), np.ones((4, 3)), V]))
        return len(found.evidence)

    assert [said(3, "3"), said(3, "1/3"), said(3, "4"), said(2, "2"), said(2, "1/2")] == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("names", "operation"),
    [(("compute", "gradient"), True), (("compute",), False), (("gradient",), False), (("forward", "gradient"), False)],
)
def test_an_operation_has_both_of_its_methods(names: tuple[str, ...], operation: bool) -> None:
    made = type("Own", (), dict.fromkeys(names, lambda self, x: x))
    assert context.is_operation(made) is context.is_operation(made()) is operation
    assert not context.is_operation(type("Own", (), {"compute": 1, "gradient": 2}))
