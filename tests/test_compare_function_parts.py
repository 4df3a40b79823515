"""How other people's functions are called, why one has no graph, and how objects are taken."""

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compare.conventions import objects, reasons
from tinygrad_nn.compare.conventions.code import same_draws
from tinygrad_nn.compare.function import calling
from tinygrad_nn.compare.function.calling import arrange, call_function, call_manual, in_order, lay_out

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(8)
V, M = np.array([1.0, 2.0, 3.0]), np.array([[1.0, 2.0], [3.0, 4.0]])


# -- Inputs of a function


def two(a: Any, b: Any) -> Any:
    return a, b


def told_of(f: Any, inputs: Any) -> tuple[list[str], bool, list[str], list[int], list[int]]:
    found = arrange(f, inputs)
    return found.names, found.by_name, found.labels, found.moving, found.owner


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
    [(two, (V,), r"two\(a: Any, b: Any\) -> Any does not take 1 inputs"), (two, V, "does not take one input"),
     (two, {"a": V, "c": V}, "does not take a, c"), (two, [V, V, V], "does not take 3 inputs")],
)  # fmt: skip
def test_inputs_that_a_function_does_not_take(f: Any, inputs: Any, came: str) -> None:
    with pytest.raises(TypeError, match=came):
        arrange(f, inputs)


def test_other_leaves_are_put_into_the_containers_of_the_inputs() -> None:
    found = lay_out(["p", "n", "x"], [{"W": M, "k": 2}, 5, [V, np.arange(2)]])
    assert found.labels == ["p['W']", "p['k']", "n", "x[0]", "x[1]"]
    assert (found.moving, found.owner) == ([0, 3], [0, 0, 1, 2, 2])
    p, n, x = found.with_leaves([2 * M, 3 * V])
    assert (p["W"].tolist(), p["k"], n, x[0].tolist(), x[1].tolist()) == ((2 * M).tolist(), 2, 5, [3, 6, 9], [0, 1])
    x[1][0] = 7
    assert found.with_leaves([M, V])[2][1].tolist() == [0, 1]  # each call has arrays of its own
    assert found.leaves[0] is not M
    assert call_function(lambda p, n, x: n * x[0], found, [M, V]).tolist() == [5, 10, 15]
    by_name = lay_out(["b", "a"], [V, 2.0], by_name=True)
    assert call_function(lambda a, b: a - b, by_name, [V, np.array(10.0)]).tolist() == [9, 8, 7]


def test_inputs_in_the_order_of_parameters() -> None:
    def forward(ctx: Any, a: Any, b: Any = 3, *rest: Any) -> None: ...

    def told(inputs: Any, skip: int = 1) -> tuple[list[str], list[Any]]:
        found = in_order(forward, inputs, skip)
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
    inputs = lay_out(["x", "g"], [V, V])
    assert not calling.takes_cotangent(lambda x, g: 0, inputs)
    assert calling.takes_cotangent(lambda x, g, dout: 0, inputs)
    assert not calling.takes_cotangent(V, inputs)
    assert not calling.takes_cotangent(max, inputs)
    assert calling.parameter_named_out(lambda out: 0, inputs)
    assert not calling.parameter_named_out(lambda x: 0, inputs)
    assert not calling.parameter_named_out(lambda out: 0, lay_out(["out"], [V]))
    assert not calling.parameter_named_out(max, inputs)


def called(manual: Any, names: tuple[str, ...] = ("a", "b"), by_name: bool = False) -> Any:
    inputs = lay_out(list(names), [float(k + 1) for k in range(len(names))], by_name)
    return call_manual(manual, inputs, [10.0 * (k + 1) for k in range(len(names))], "OUT", "G")


def test_a_backward_is_called_by_the_names_of_its_parameters() -> None:
    assert called(V) is V
    assert called(lambda a, b, g: (a, b, g)) == (10.0, 20.0, "G")
    assert called(lambda g, q, r: (g, q, r)) == ("G", 10.0, 20.0)
    assert called(lambda b, a: (b, a)) == (10.0, 20.0)  # in their order
    assert called(lambda b, a: (b, a), by_name=True) == (20.0, 10.0)
    assert called(lambda b, out, v, a: (b, out, v, a), by_name=True) == (20.0, "OUT", "G", 10.0)
    assert called(lambda *all: all) == (10.0, 20.0)
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
    found = reasons.why(raised(by_numpy, np.zeros((2, 2))), by_numpy)
    what = "raises LinAlgError (Singular matrix) there: return np.linalg.inv(x)"
    assert found == reasons.Reason(f"line {first + 1} {what}")
    assert found.sentence == f"numerical only: the forward cannot run on Tensors, since {found.text}"
    first = nested.__code__.co_firstlineno
    assert reasons.why(raised(nested, [1]), nested).text == (
        f"line {first + 3} raises TypeError (unsupported operand type(s) for /: 'int' and 'str') there: part / 'b'")
    text = reasons.why(raised(nested, [0]), nested).text
    assert text.startswith(f"line {first + 4} raises TypeError (")
    assert text.endswith("there: return sorted(x, key=lambda v: v / 'c')")
    assert reasons.why(ValueError("a. b\nc"), by_numpy).text == "by_numpy raised ValueError: a"
    assert reasons.why(ValueError(), 3).text == "it raised ValueError: ValueError"


def test_a_statement_without_what_is_nested_in_it() -> None:
    code, first = nested.__code__, nested.__code__.co_firstlineno
    assert [reasons._statement(code, first + k) for k in range(5)] == [
        "def nested(x: Any) -> Any:", "for part in x:", "if part:", "part / 'b'",
        "return sorted(x, key=lambda v: v / 'c')"]  # fmt: skip
    lines = several_lines.__code__
    assert [reasons._statement(lines, lines.co_firstlineno + k) for k in (2, 4, 6)] == ["return y + x['a'] / 'b'"] * 3
    assert reasons._statement(lines, lines.co_firstlineno + 8) == ""
    assert reasons._statement(compile("1", "nowhere", "exec"), 1) == ""


def test_a_statement_in_short() -> None:
    assert reasons._short("out[i] = x = y") == "out[i] = ..."
    assert reasons._short("out = x[i]") == "out = x[i]"
    assert reasons._short("a " * 29 + "ab") == "a " * 29 + "ab"  # 60 characters
    assert reasons._short("a " * 29 + "abc") == "a " * 27 + "a ..."
    assert reasons.left("x, w").text == (
        "it runs on them and leaves the graph: the result depends on x, w, and the graph has no way from there (.data, "
        ".item(), or an array made of the numbers)")  # fmt: skip


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
    assert code.notes == ("Taken as an object with run and walk. Its parameters: W; their gradients: dW.",)
    assert (code.name, code.inputs.names, code.takes, code.some) == ("Doubled", ["x", "W"], True, True)
    np.testing.assert_allclose(code.forward([x, 2 * M]), x @ (2 * M))
    found = code.back(code.inputs, [x, 2 * M], g)
    np.testing.assert_allclose(found["x"], g @ (2 * M).T)
    np.testing.assert_allclose(found["W"], x.T @ g)
    code = objects.read_object(Updated(), x)
    (note,) = code.notes
    assert note == ("Taken as an object with forward and backward. Its parameters: W; their gradients: what the "
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
    assert note == ("Taken as an object with loss, which returns gradients beside its value. Its parameters: "
                    "params['W']; their gradients: returned as W. No gradient of params['b'] was found after the "
                    "backward.")  # fmt: skip
    assert code.inputs.names == ["x", "params['W']"]
    assert not code.takes
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
    assert note == "Taken as an object with forward and backward. No array of its own has a gradient afterwards."
    assert code.takes  # its result is an array, so the default is a cotangent


def test_the_same_draws_are_made_each_time_and_those_outside_go_on() -> None:
    random.seed(3)
    first = random.random()
    random.seed(3)
    with same_draws():
        inside = random.random()
    assert random.random() == first != inside
    with same_draws():
        assert random.random() == inside
