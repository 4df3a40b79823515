"""Parts of the engine tested separately: error messages of loops, rows, user-defined rules, seeds and checks."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import special

import tinygrad_nn as tg
from tinygrad_nn import Tensor, custom_jvp, custom_vjp, grad, jacobian, primitive, scan, vmap
from tinygrad_nn.backward import ancestors
from tinygrad_nn.node import thread
from tinygrad_nn.primitive import REGISTRY, Primitive
from tinygrad_nn.tensor import raw
from tinygrad_nn.transforms import control_flow, jacobians, new_input
from tinygrad_nn.transforms.forward_mode import path, push

# -- Loops and branches


@dataclass
class Both:
    one: Any
    other: Any


NUMBER = "a Python float"
KEYS = "dicts with their keys in the same order."
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "other containers of a scan": (
        lambda: scan(lambda c, x: ([c], x), 0.0, np.ones(3)),
        (f"scan: f returned [float64[]] for the carry, which was {NUMBER} before. "
        f"Return the containers of init, {KEYS}"),
    ),
    "other containers of y": (
        lambda: scan(lambda c, x: (c + 1, [x] if c > 0 else x), 0.0, np.ones(3)),
        f"scan: f returned [float64[]] for y, which was float64[] before. Return the containers of every step, {KEYS}",
    ),
    "other containers of a while loop": (
        lambda: tg.while_loop(lambda c: True, lambda c: [c], 1.0),
        (f"while_loop: body_fun returned [float64[]] for the carry, which was {NUMBER} before. "
        f"Return the containers of init_val, {KEYS}"),
    ),
    "another dtype of a while loop": (
        lambda: tg.while_loop(lambda c: True, lambda c: {"a": (c["a"][0] * 1.5,)}, {"a": (np.int64(1),)}),
        ("while_loop: body_fun returned float64[] for the carry['a'][0], which was int64[] before. "
        "Write .astype('int64') in the function, or begin with float64."),
    ),
    "another shape of y": (
        lambda: scan(lambda c, x: (c + 1, np.ones(2) if c > 0 else x), 0.0, np.ones(3)),
        "scan: f returned float64[2] for y, which was float64[] before. Keep its shape.",
    ),
    "another dtype of y": (
        lambda: scan(lambda c, x: (c + 1, x if c > 0 else np.float32(1)), 0.0, np.ones(3)),
        ("scan: f returned float64[] for y, which was float32[] before. "
        "Write .astype('float32') in the function, or begin with float64."),
    ),
    "no pair": (
        lambda: scan(lambda c, x: [c], 0.0, np.ones(3)),
        (f"scan: f returned [{NUMBER}]; it must return a pair, (carry, y), where y may be None if there is nothing to "
        "stack."),
    ),
    "no array": (
        lambda: scan(lambda c, x: (c, x), 0.0, {"a": np.float64(1)}),
        ("scan: xs holds float64[], which has no axis to scan along. Every array of xs needs the shape (length, ...): "
        "write np.array([...]) for numbers; f can close over what is the same in every step."),
    ),
    "other rows": (
        lambda: scan(lambda c, x: (c, x), 0.0, (np.ones(3), np.ones(2)), 2),
        "scan: the arrays of xs have 3 and 2 rows, and length=2; all lengths must be equal.",
    ),
    "other rows without a length": (
        lambda: scan(lambda c, x: (c, x), 0.0, (np.ones(3), np.ones(2))),
        "scan: the arrays of xs have 3 and 2 rows; all lengths must be equal.",
    ),
    "no length": (
        lambda: scan(lambda c, x: (c, x), 0.0), "scan: without xs it needs length=, the number of steps.",
    ),
    "an array without axes": (
        lambda: scan(lambda c, x: (c, x), 0.0, np.array(1.0)),
        ("scan: xs holds float64[], which has no axis to scan along. Every array of xs needs the shape (length, ...): "
        "write np.array([...]) for numbers; f can close over what is the same in every step."),
    ),
    "a text before the first step": (
        lambda: tg.while_loop(lambda c: c > 0, lambda c: c, "a"),
        "a loop carries arrays of numbers; it got a Python str.",
    ),
    "branches of two shapes": (
        lambda: vmap(lambda x: tg.cond(x > 0, np.sin, lambda x: np.stack([x, x]), x))(np.ones(3)),
        "cond: false_fn returned float64[2] for the result, which was float64[] before. Keep its shape.",
    ),
    "branches of two containers": (
        lambda: vmap(lambda x: tg.cond(x > 0, lambda x: [x], np.sin, x))(np.ones(3)),
        ("cond: false_fn returned float64[] for the result, which was [float64[]] before. "
        f"Return the containers of both, {KEYS}"),
    ),
    "no branch": (
        lambda: tg.cond(True, np.sin, 1.0, 2.0),
        "cond got float in place of a function; it is called as cond(pred, true_fn, false_fn, *operands).",
    ),
    "no body": (
        lambda: tg.while_loop(np.sin, None, 2.0),
        "while_loop got NoneType in place of a function; it is called as while_loop(cond_fun, body_fun, init_val).",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_the_errors_of_loops_have_their_full_text(name: str) -> None:
    call, text = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(text)}$"):
        call()


def test_the_path_of_a_leaf_consists_of_keys_and_fields() -> None:
    tree = {"a": [1.0, {3: 2.0}], "b": Both(3.0, None)}
    assert [path for path, _ in control_flow._named(tree, "y")] == ["y['a'][0]", "y['a'][1][3]", "y['b'].one"]
    assert list(control_flow._named(None, "y")) == []


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_a_scan_takes_its_rows_or_its_length_as_steps(length: int) -> None:
    def step(c: Any, x: Any) -> Any:
        return c * 2 + (0.0 if x is None else x), c

    told, both = scan(step, 1.0, length=length), scan(step, 1.0, np.ones(length), length)
    assert [told[0], *told[1]] == [2.0**k for k in (length, *range(length))]
    assert [both[0], *both[1]] == [2.0 ** (k + 1) - 1 for k in (length, *range(length))]
    kept = scan(lambda c, x: (c * x, c), Tensor(1.0), np.ones(length))[1]
    assert not length or kept.node.primitive.name == "stack"


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_beyond_those_that_are_allowed_are_zeros(reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread.mode, "rows", 2)
    carry, ys = scan(lambda c, x: (c + x, c * 10 + x), 0.0, np.arange(1.0, 5), reverse=reverse)
    assert carry == (7.0 if reverse else 3.0)
    assert ys.tolist() == ([0.0, 0.0, 43.0, 4.0] if reverse else [1.0, 12.0, 0.0, 0.0])


@pytest.mark.parametrize("allowed", [2, 3])
def test_a_while_loop_goes_no_further_than_is_allowed(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread.mode, "steps", allowed)
    run = lambda: tg.while_loop(lambda c: c < 3, lambda c: c + 1, 0.0)
    if allowed == 3:
        assert run() == 3
        return
    with pytest.raises(RuntimeError, match=r"a while loop ran for more steps than allowed\."):
        run()


def test_rows_are_taken_from_blocks_where_there_are_many_and_a_gradient() -> None:
    many = np.ones((control_flow.LONG, 2))
    few = Tensor(many[1:])
    for x in (many, Tensor(many, False), few):
        assert control_flow._row_reader(x) == x.__getitem__
    wide = Tensor(many)
    row = control_flow._row_reader(wide)
    blocks = [ancestors([row(t).node])[1] for t in range(len(many))]
    assert len(set(blocks)) == 4


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 30])
def test_every_row_of_a_tensor_is_that_row(length: int) -> None:
    x = Tensor(np.arange(2.0 * length).reshape(length, 2))
    row = control_flow._row_reader(x)
    for order in (range(length), reversed(range(length))):
        assert all(np.array_equal(row(t).data, x.data[t]) for t in order)


# -- User-defined rules


def test_a_text_among_the_arguments_is_no_number_even_if_it_names_a_kind_of_numbers() -> None:
    scaled = custom_jvp(lambda x, kind: np.asarray(3 * x), lambda v, out, x, kind: 3 * v[0])
    assert grad(lambda x: scaled(x, "float64") ** 2)(2.0) == 36.0


OTHER, LEFT = "the rule of own returned", "with None for parts without one."
COUNT = f"{OTHER} {{}} for 2 arguments; return a tuple with one per argument, None if it has none."


def own(x: Any, y: Any) -> Any:
    return {"a": x * y[0]}


@pytest.mark.parametrize(
    ("make", "given", "text"),
    [
        (custom_vjp, 2.0, COUNT.format("1 gradient")),
        (custom_vjp, (2.0,), COUNT.format("1 gradient")),
        (custom_vjp, [1.0, 2.0, 3.0], COUNT.format("3 gradients")),
        (custom_jvp, 2.0, f"{OTHER} float for the result, a dict with a; return the same containers, {LEFT}"),
    ],
)  # fmt: skip
def test_a_rule_that_returns_the_wrong_structure_raises(make: Any, given: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        grad(lambda x: make(own, lambda *_: given)(x, [3.0])["a"])(2.0)


def test_a_rule_may_return_none_for_a_container() -> None:
    product = custom_vjp(own, lambda g, out, x, y: (g["a"] * y[0], None))
    gx, gy = grad(lambda x, y: product(x, y)["a"], (0, 1))(2.0, [3.0])
    assert (gx, gy) == (3.0, [0.0])
    alone = custom_vjp(lambda p: p[0]["a"] * 2, lambda g, out, p: ([None],))
    assert grad(alone)([{"a": 1.0}]) == [{"a": 0.0}]


def test_results_of_complex_and_of_real_numbers_keep_their_kinds() -> None:
    both = custom_vjp(lambda z: (z * 1j, np.abs(z) ** 2), lambda g, out, z: -1j * g[0] + 2 * z * g[1])
    turned, size = both(Tensor(1.0 + 2j))
    assert (turned.item(), size.item(), turned.dtype, size.dtype) == (-2 + 1j, pytest.approx(5), complex, float)
    gradient = grad(lambda z: np.real(both(z)[0] * 3) + both(z)[1])(1.0 + 2j)
    assert gradient == pytest.approx(-3j + 2 * (1 + 2j))  # of -3 y + x² + y²


def test_a_users_function_is_named_in_equations() -> None:
    row = custom_vjp(own, lambda g, out, x, y: (g, None))(Tensor(1.0), [2.0])["a"]
    made = [node.primitive for node in ancestors([row.node]) if node.primitive and node.primitive.name == "own"]
    (kept,) = [n.primitive for n in ancestors([tg.checkpoint(np.sin)(Tensor(1.0)).node]) if n.primitive]
    assert [(p.tex, p.vjps, p.rule_tex) for p in (*made, kept)] == [
        (r"\operatorname{own}(x)", (), ("rule(g)",)), ("f(x)", (), ("J^T g",)),
    ]  # fmt: skip


# -- Forward mode and Jacobians


def test_an_input_keeps_its_given_tangent_even_if_it_depends_on_another_input() -> None:
    x = new_input(np.array(2.0))
    y = x * 3.0
    out = y * y
    through = path([out.node], [x.node, y.node])
    assert [node.primitive.name for node in through] == ["multiply"]
    moved = push(through, {x.node: np.array(1.0), y.node: np.array(0.5)})
    assert (moved[out.node], moved[y.node]) == (6.0, 0.5)
    assert path([out.node], []) == []


@pytest.mark.parametrize(("some", "walks"), [(0, 5), (1, 5), (2, 3), (3, 2), (5, 1), (9, 1)])
def test_as_many_directions_go_at_once_as_memory_allows(
    some: int, walks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    A, B, ran = np.arange(15.0).reshape(3, 5), np.arange(10.0).reshape(5, 2), []
    monkeypatch.setattr(jacobians, "AT_ONCE", 12 * some)

    def f(unit: Any) -> list[Any]:
        ran.append(unit.shape)
        return [np.dot(A, unit), np.dot(unit, B)]

    of_a, of_b = jacobians._all_at_once(f, 5, np.dtype(float), 12)
    assert ran == [(5,)] * walks
    assert np.array_equal(raw(of_a), A.T)
    assert np.array_equal(raw(of_b), B)


def test_derivatives_of_several_matrices_stand_along_a_last_axis_and_of_one_as_they_are() -> None:
    x, y = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    f = lambda x, y: np.stack([x * y, y, x])
    by_x, by_y = jacobian(f, (0, 1))(x, y)
    assert by_x.shape == (3, 2, 2)
    assert np.array_equal(jacobian(f, (0, 1), stack=True)(x, y), np.stack([by_x, by_y], axis=-1))
    assert np.array_equal(jacobian(f, 0, stack=True)(x, y), by_x)


# -- Rows


@pytest.mark.parametrize(
    ("forward", "fills", "entrywise"),
    [
        (np.sin, True, True), (np.multiply, True, True), (np.matmul, True, False), (np.modf, False, True),
        (special.betainc, False, True), (np.sort, False, False),
    ],
)  # fmt: skip
def test_what_a_row_is_by_its_forward(forward: Any, fills: bool, entrywise: bool) -> None:
    row = Primitive("row", forward, (), "x")
    assert (row.fills, row.entrywise) == (fills and primitive._FILLS, entrywise)
    assert Primitive("row", forward, (), "x", entrywise=not entrywise).entrywise is not entrywise
    assert not hasattr(row, "__wrapped__") if isinstance(forward, np.ufunc) else row.__wrapped__ is forward


def test_an_unknown_option_raises_with_the_nearest() -> None:
    said = r"^cumsum of a Tensor does not take axs=; it takes axis.* Did you mean 'axis'\?$"
    with pytest.raises(TypeError, match=said):
        REGISTRY["cumsum"](Tensor([1.0]), axs=0)


@pytest.mark.parametrize(
    ("function", "args", "options", "wanted"),
    [
        (np.max, (), {"a": 1, "axis": 0}, ((1,), {"axis": 0})), (np.max, (1, 0), {}, ((1, 0), {})),
        (np.max, (1, 0, None, True), {}, ((1, 0), {"out": None, "keepdims": True})),
        (np.max, (1, 0, None), {"keepdims": 2}, ((1, 0), {"out": None, "keepdims": 2})),
        (np.max, (), {"x": 1}, ((), {"x": 1})), (np.max, (1,), {"a": 2}, ((1,), {"a": 2})),
        (np.max, (1, 0, None), {"a": 2}, ((1, 0), {"out": None, "a": 2})),
        (np.sum, (1, 0, None), {}, ((1, 0, None), {})), (max, (), {"a": 1}, ((), {"a": 1})),
        (max, (1, 2, 3), {}, ((1, 2, 3), {})),
    ],
)  # fmt: skip
def test_arguments_reach_the_replacement_of_a_function(function: Any, args: Any, options: Any, wanted: Any) -> None:
    before = dict(options)
    assert primitive.call_function(function, lambda *a, **k: (a, k), args, options) == wanted
    assert options == before


def test_the_keywords_of_ufuncs() -> None:
    def given(*args: Any, **options: Any) -> Any:
        return args, options

    call = lambda *args, **options: primitive.call_ufunc(given, args, options)
    x = np.array([1.5, 2.5])
    (one, number, listed), rest = call(x, 2.0, [1, 2], dtype=np.float32, order="K", subok=True, where=True, other=3)
    assert (one.dtype, number, listed.dtype, rest) == (np.float32, 2.0, np.float32, {"other": 3})
    assert call(x, casting="unsafe") == ((x,), {})
    assert call(x, dtype=None)[0][0] is x
    assert call(x, dtype=int, casting="unsafe")[0][0].tolist() == [1, 2]
    with pytest.raises(TypeError, match="Cannot cast"):
        call(x, dtype=int)
    text = ("np.given(..., where=mask) leaves the other entries undefined, so they have no derivative. Give their "
            "values: np.where(mask, np.given(...), other).")  # fmt: skip
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        call(x, where=x > 2)


@pytest.mark.parametrize(
    ("text", "shapes", "wanted"),
    [
        ("no", [(2,)], "no"), ("no", [(2,), (3,)], "no (row of arrays of shapes (2,) and (3,))"),
        ("(2,) and (3,)", [(2,), (3,)], "(2,) and (3,)"),
        ("(2,) alone ", [(2,), (3,)], "(2,) alone (row of arrays of shapes (2,) and (3,))"),
    ],
)  # fmt: skip
def test_the_shapes_are_added_to_an_error_once(text: str, shapes: Any, wanted: str) -> None:
    error = ValueError(text)
    primitive.add_shapes(error, Primitive("row", np.add, (), "x"), [np.ones(shape) for shape in shapes])
    assert str(error) == wanted


@pytest.mark.parametrize(
    ("function", "written", "declared"),
    [
        (np.add, "np.add(t.data, t.data)", ", numpy=np.add"), (np.sum, "np.sum(t.data)", ", numpy=np.sum"),
        ((np.add, "reduceat"), "np.add.reduceat(t.data, t.data)", ""),
    ],
)  # fmt: skip
def test_a_function_without_a_rule_raises_with_the_replacement(
    function: Any, written: str, declared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primitive, "ADVISORS", [])
    assert str(primitive.no_rule(function)).endswith(
        f"For a plain value write {written}; to differentiate it, declare a rule: tinygrad_nn.declare(forward, tex, "
        f"(vjp, tex){declared})."
    )
    monkeypatch.setattr(primitive, "ADVISORS", [lambda f, name: None, lambda f, name: f"Instead of {name} write y."])
    assert str(primitive.no_rule(np.sin)).endswith("lose the graph. Instead of np.sin write y.")


def test_replacements_are_looked_up_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert primitive.find_replacement(np.sin) is REGISTRY["sin"]
    monkeypatch.setattr(primitive, "FINDERS", [lambda f: None, lambda f: "second", lambda f: "third"])
    assert primitive.find_replacement("unknown") == "second"
    monkeypatch.setattr(primitive, "FINDERS", [])
    assert primitive.find_replacement("unknown") is None


def test_an_array_of_another_library_that_is_no_array_with_named_axes_is_taken() -> None:
    class Named(np.ndarray):
        dims = ("x",)

    plain = np.ones(2).view(type("Plain", (np.ndarray,), {}))
    assert primitive.as_constant(plain, REGISTRY["add"]).tolist() == [1.0, 1.0]
    assert primitive.as_constant([1, 2], REGISTRY["add"]).tolist() == [1, 2]
    assert primitive.as_constant(type("Listed", (list,), {"dims": 1})([1, 2]), REGISTRY["add"]).tolist() == [1, 2]
    with pytest.raises(primitive.NamedAxes, match=r"^add of a Tensor and a Named: write it as an operator, t \* a\.$"):
        primitive.as_constant(np.ones(2).view(Named), REGISTRY["add"])


@pytest.mark.parametrize(
    ("options", "known", "wanted"),
    [
        ({"dim": 1, "keepdim": True}, ("axis", "keepdims"), {"axis": 1, "keepdims": True}),
        ({"dim": 1, "axis": 0}, ("axis",), {"dim": 1, "axis": 0}), ({"dim": 1}, ("p",), {"dim": 1}),
    ],
)  # fmt: skip
def test_names_of_pytorch_are_those_of_numpy_where_these_are_known(options: Any, known: Any, wanted: Any) -> None:
    assert primitive.numpy_options(options, known) == wanted


def test_a_declared_row_has_the_given_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primitive, "REGISTRY", {})
    monkeypatch.setattr(primitive, "RESERVED", {"taken"})
    rule = (lambda g, out, x: g, "g")
    row = primitive.declare(lambda x: x * 1, "x", rule, name="row", linear=(0,), entrywise=True)
    assert (row.linear, row.entrywise) == ((0,), True)
    with pytest.raises(ValueError, match="a primitive named 'taken' is declared already"):
        primitive.declare(lambda x: x, "x", rule, name="taken")


def test_small_parts_of_rows() -> None:
    assert REGISTRY["sum"](Tensor([1.0, 2.0]), out=None).item() == 3.0
    assert np.array_equal(primitive.undetermined(np.array([0.0, 1.0])), [0.0, np.nan], equal_nan=True)
    with pytest.raises(ValueError, match=r"returned a gradient of shape \(3,\) for an argument of shape \(2, 3\)"):
        primitive.sum_to(np.ones(3), (2, 3))
