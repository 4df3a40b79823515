"""Declaring a primitive: a few lines in one place give forward, gradients, method, NumPy dispatch and checks."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

import tinygrad_nn as tg
from tinygrad_nn import Tensor, declare
from tinygrad_nn.common.display import shape_hint
from tinygrad_nn.gradcheck import check_gradients, check_primitive
from tinygrad_nn.graph import GraphView
from tinygrad_nn.primitive import OVERRIDES, REGISTRY, Primitive, numpy_name, sum_to

X = np.array([[0.5, 1.5, 2.5], [3.5, 0.25, 1.25]])


@pytest.fixture(autouse=True)
def _undo() -> Iterator[None]:
    """Whatever a test declares is gone after it."""
    tables = REGISTRY, OVERRIDES
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


def _gaussian(x: Any, width: float = 1.0) -> Any:
    """Return exp(-x² / width²)."""
    return np.exp(-(x**2) / width**2)


def gaussian() -> Primitive:
    return declare(
        _gaussian, r"e^{-x^2 / w^2}",
        (lambda g, out, x, width=1.0: g * out * (-2 / width**2) * x, r"-\frac{2x}{w^2} g \, out"),
        domain=[(-1, 1)],
    )  # fmt: skip


def test_a_row_is_all_there_is_to_write() -> None:
    p = gaussian()
    assert "parameters" not in vars(p)  # its signature is read when it is asked for: the import declares hundreds
    assert REGISTRY["gaussian"] is p
    assert (p.name, p.__name__, p.arity, p.metadata) == ("gaussian", "gaussian", 1, ("width",))
    assert (p.tex, p.rule_tex) == (r"e^{-x^2 / w^2}", (r"-\frac{2x}{w^2} g \, out",))
    assert p.__doc__ == "Return exp(-x² / width²)."
    assert repr(p) == "<primitive gaussian>"
    assert list(inspect.signature(p).parameters) == ["x", "width"]
    assert check_primitive("gaussian", order=4).ok
    assert check_primitive("gaussian", (4,), width=0.7).ok


def test_each_part_of_a_row_is_kept() -> None:
    rule = (lambda g, out, x: g, "g")
    whole = {"domain": [(0, 1)], "kinks": "none", "ties": REGISTRY["eigh_rows"].ties,
             "saves": {"half": np.sqrt}}  # fmt: skip
    p = declare(np.sort, "x", rule, name="whole", **whole)
    assert (p.domain, p.kinks, p.ties, p.saves) == (((0, 1),), "none", whole["ties"], whole["saves"])
    assert (p.forward, p.numpy, p.vjps, p.jointly) == (np.sort, (), (rule[0],), None)
    q = declare(lambda x: x, "x", jointly=rule, name="joint", numpy=np.datetime_as_string)
    assert (q.domain, q.kinks, q.ties, q.saves) == ((), None, None, {})
    assert (q.numpy, q.vjps, q.jointly, q.rule_tex) == ((np.datetime_as_string,), (), rule[0], ("g",))
    assert declare(special.itstruve0, "x", None).numpy == (special.itstruve0,)


def test_a_forward_may_be_without_a_signature() -> None:
    p = declare(max, r"\max_i x_i", None, name="largest")
    assert (p.parameters, p.metadata, p.positional) == ((), (), 1)
    t = p(Tensor([1.0, 3.0, 2.0]))
    assert t.item() == 3
    assert [node.operation for node in GraphView(t)] == [None, "largest"]


def test_it_is_a_function_of_arrays_and_tensors_and_a_method() -> None:
    p = gaussian()
    t = Tensor(X)
    assert type(p(X)) is np.ndarray
    for out in (p(t, width=2.0), p(t, 2.0), t.gaussian(2.0), t.gaussian(width=2.0), p(x=t, width=2.0)):
        assert out.node.primitive is p
        assert out.node.meta == {"width": 2.0}
        np.testing.assert_array_equal(out.data, p(X, 2.0))
    assert "gaussian" in dir(t)


def test_it_differentiates_to_any_order_under_every_transform() -> None:
    p = gaussian()
    third = tg.grad(tg.grad(tg.grad(lambda x: p(x))))(0.3)
    assert third == pytest.approx(np.exp(-0.09) * (12 * 0.3 - 8 * 0.3**3))
    assert tg.elementwise_grad(p)(X).shape == X.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_engine_undoes_broadcasting_and_keeps_the_dtype(dtype: type) -> None:
    weigh = declare(
        lambda x, y: np.asarray(x * y, dtype=np.result_type(x, y)), "x y",
        (lambda g, out, x, y: g * y, "g y"), (lambda g, out, x, y: g * x * np.float64(1), "g x"), name="weigh",
    )  # fmt: skip
    x, y = Tensor(X.astype(dtype)), Tensor(np.ones((4, 1, 1), dtype))
    weigh(x, y).sum().backward()
    assert (x.grad.shape, y.grad.shape) == ((2, 3), (4, 1, 1))
    assert x.grad.dtype == y.grad.dtype == dtype
    np.testing.assert_allclose(y.grad, np.full((4, 1, 1), X.sum()), rtol=1e-6)


def test_a_numpy_function_is_taken_over() -> None:
    with pytest.raises(TypeError, match=r"scipy\.special\.itstruve0 has no derivative rule"):
        special.itstruve0(Tensor(X))
    p = declare(special.itstruve0, r"\varepsilon(x)", None)
    assert OVERRIDES[special.itstruve0] is p
    assert special.itstruve0(Tensor(X)).node.primitive is p
    with pytest.raises(TypeError, match=r"np\.datetime_as_string has no derivative rule"):
        np.datetime_as_string(Tensor(X))
    declare(lambda a: np.zeros_like(a), "x", None, name="dated", numpy=(np.datetime_as_string,))
    assert isinstance(np.datetime_as_string(Tensor(X)), Tensor)


def test_no_rule_means_a_gradient_of_zero() -> None:
    steps = declare(lambda x: np.floor(x), "x", None, name="steps")
    np.testing.assert_array_equal(tg.grad(lambda x: (steps(x) + 0 * x).sum())(X), 0 * X)
    np.testing.assert_array_equal(tg.grad(lambda x: steps(x).sum())(X), 0 * X)
    left = declare(lambda x, y: x + 0 * y, "x", (lambda g, out, x, y: g, "g"), None, name="left")
    x, y = Tensor(X), Tensor(X)
    left(x, y).sum().backward()
    np.testing.assert_array_equal(x.grad, np.ones_like(X))
    np.testing.assert_array_equal(y.grad, np.zeros_like(X))


def test_any_number_of_arrays_share_one_rule() -> None:
    total = declare(
        lambda *arrays, scale=1.0: sum(arrays) * scale, r"s \sum x_i", name="total",
        jointly=(lambda g, out, *arrays, scale=1.0: [g * scale for _ in arrays], r"s g"),
    )  # fmt: skip
    assert total.metadata == ("scale",)
    x, y = Tensor(X), Tensor(X[0])
    out = total(x, X, y, 2.0, scale=3.0)
    np.testing.assert_array_equal(out.data, 3 * (X + X + X[0] + 2.0))
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 3.0))
    np.testing.assert_array_equal(y.grad, np.full(3, 6.0))
    assert check_gradients(lambda a, b: total(a, b, a), X, X, order=2).ok


def test_what_the_forward_saves_reaches_the_rules_and_is_differentiated_too() -> None:
    calls = []

    def _length(x: Any) -> Any:
        calls.append(1)
        squares = np.sum(x * x)
        return np.sqrt(squares), {"squares": squares}

    p = declare(
        _length, r"\lVert x \rVert", (lambda g, out, x, squares: g * x / squares**0.5, r"\frac{g x}{out}"),
        saves={"squares": lambda x: (x * x).sum()},
    )  # fmt: skip
    assert p(X) == pytest.approx(np.linalg.norm(X))
    assert len(calls) == 1
    x = Tensor(X)
    out = p(x)
    assert out.node.meta["squares"] == np.sum(X * X)
    out.backward()
    np.testing.assert_allclose(x.grad, X / np.linalg.norm(X))
    assert check_gradients(p, X, order=3).ok


def test_metadata_reaches_the_rule_by_name_only() -> None:
    seen: list[dict[str, Any]] = []

    def vjp(g: Any, out: Any, x: Any, **metadata: Any) -> Any:
        seen.append(metadata)
        return g

    shift = declare(lambda x, by=0.0, *, sign=1: x + sign * by, "x + b", (vjp, "g"), name="shift")
    shift(Tensor(1.0)).backward()
    shift(Tensor(1.0), 2.0, sign=-1).backward()
    assert seen == [{}, {"by": 2.0, "sign": -1}]
    with pytest.raises(TypeError, match=r"shift takes at most 2 arguments by position; it got 3"):
        shift(Tensor(1.0), 2.0, 3.0)


OK: Any = (lambda g, out, x: g, "g")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: declare(np.exp, "e^x", OK), r"a primitive named 'exp' is declared already; choose another name"),
        (lambda: declare(lambda x: x, "x", OK), r"a primitive needs a name; '<lambda>' is not one\. Pass name="),
        (lambda: declare(lambda x: x, "x", OK, name="two words"), r"'two words' is not one"),
        (lambda: declare(lambda x: x, "x", name="bare"), r"bare has no rule; pass \(vjp, tex\) per array argument"),
        (lambda: declare(lambda x: x, "", OK, name="mute"), r"mute has a rule without an equation"),
        (lambda: declare(lambda x: x, "x", (lambda g, out, x: g, ""), name="mute"), r"mute has a rule without an eq"),
        (lambda: declare(lambda *x: x[0], "x", jointly=(lambda g, out, *x: [g], ""), name="mute"), r"without an"),
    ],
)
def test_an_incomplete_row_is_refused_and_leaves_nothing_behind(act: Callable[[], Any], message: str) -> None:
    before = dict(REGISTRY), dict(OVERRIDES)
    with pytest.raises(ValueError, match=message):
        act()
    assert before == (REGISTRY, OVERRIDES)


def test_a_wrong_call_raises_with_the_accepted_arguments() -> None:
    p = gaussian()
    for act, message in [
        (lambda: p(Tensor(X), widht=1), r"gaussian of a Tensor does not take widht=; it takes width"),
        (lambda: p(), r"gaussian needs the argument 'x'"),
        (lambda: p(width=1), r"gaussian needs the argument 'x'"),
        (lambda: Tensor(X).sum(0, axis=0), r"got multiple values for keyword argument 'axis'"),
        (lambda: p(Tensor(X), 1, 2), r"gaussian takes at most 2 arguments by position; it got 3"),
        (lambda: REGISTRY["exp"](Tensor(X), base=2), r"exp of a Tensor does not take base=; it takes no keyw"),
    ]:
        with pytest.raises(TypeError, match=message):
            act()


OWN_FILE = """
import numpy as np
from tinygrad_nn import Tensor, declare, grad
from tinygrad_nn.gradcheck import check_primitive

swish = declare(lambda x: x / (1 + np.exp(-x)), r"x \\\\sigma(x)",
    (lambda g, out, x: g * (out + (1 - out) / (1 + np.exp(-x))), r"g (out + \\\\sigma(x) (1 - out))"), name="swish")

print(check_primitive("swish", order=3).ok, float(grad(swish)(0.0)), Tensor(0.0).swish().item())
"""


def test_a_person_declares_one_in_a_file_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN_FILE)
    root = Path(tg.__file__).parents[1]
    command, env = [sys.executable, path], {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split() == ["True", "0.5", "0.0"]


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((), 24.0), ((4,), [6.0] * 4), ((3, 1), [[8.0]] * 3), ((1, 1, 1), [[[24.0]]]), ((2, 3, 4), None)],
)
def test_sum_to_undoes_broadcasting(shape: tuple[int, ...], wanted: Any) -> None:
    g = np.ones((2, 3, 4))
    summed = sum_to(g, shape)
    assert summed.shape == shape
    np.testing.assert_array_equal(summed, g if wanted is None else wanted)


@pytest.mark.parametrize("dtype", list("fdeFD"))
@pytest.mark.parametrize("n", range(2, 10))
@pytest.mark.parametrize("lead", [(0,), (50,), (300,), (30, 40), (2000, 1)])
def test_sum_to_along_short_rows_has_the_bits_of_numpy(lead: tuple[int, ...], n: int, dtype: str, rng: Any) -> None:
    for entry in (None, 0.0, -0.0, np.nan, np.inf):
        g = rng.normal(size=(*lead, n)).astype(dtype)
        if entry is not None:
            g.flat[:: 1 if entry == 0 else 7] = entry
        for given in (g, np.asfortranarray(g), g[::-1], np.broadcast_to(g[..., :1], g.shape)):
            with np.errstate(all="ignore"):
                made, wanted = sum_to(given, (*lead, 1)), given.sum(axis=-1, keepdims=True)
            assert (made.dtype, made.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_array_equal(made, wanted)
            known = ~np.isnan(wanted)
            np.testing.assert_array_equal(np.signbit(made.real)[known], np.signbit(wanted.real)[known])


@pytest.mark.parametrize("shape", [(2,), (3, 4, 5), (2, 2, 3, 4)])
def test_sum_to_refuses_shapes_that_do_not_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"returned a gradient of shape \(2, 3, 4\) for an argument of shape"):
        sum_to(np.ones((2, 3, 4)), shape)


def test_a_numpy_function_that_has_a_rule_cannot_be_given_another_in_silence() -> None:
    rule = (lambda g, out, x: 2 * g, "2 g")
    with pytest.raises(ValueError, match=r"np\.sin has a rule already, so twice_sin would never run"):
        declare(lambda x: 2 * x, "2 x", rule, name="twice_sin", numpy=np.sin)
    with pytest.raises(TypeError, match=r"numpy= takes a function such as np\.sin, not 'np\.sin'"):
        declare(lambda x: 2 * x, "2 x", rule, name="twice_sin", numpy="np.sin")
    assert "twice_sin" not in REGISTRY


FIRST, SECOND = ". The first fits transposed: x.{} @ w", ". The second fits transposed: x @ w.{}"
ROWS = ". One number for each row of the {} is {}[:, None]"


@pytest.mark.parametrize(
    ("name", "shapes", "edit"),
    [
        ("matmul", [(2, 3), (4, 3)], SECOND.format("T")), ("matmul", [(5, 2, 3), (5, 4, 3)], SECOND.format("mT")),
        ("dot", [(3,), (4, 3)], SECOND.format("T")), ("matmul", [(3, 2), (3, 4)], FIRST.format("T")),
        ("matmul", [(5, 3, 2), (3,)], FIRST.format("mT")), ("matmul", [(3,), (4, 5)], ""), ("matmul", [(3,), (4,)], ""),
        ("matmul", [(2, 3), (4,)], ""), ("matmul", [(3, 2), (2, 3)], ""), ("matmul", [(), (3,)], ""),
        ("matmul", [(3,)], ""),
        ("add", [(3, 2), (3,)], ROWS.format("first", "y")), ("multiply", [(3,), (3, 2)], ROWS.format("second", "x")),
        ("add", [(3, 2), (4,)], ""), ("add", [(4,), (3, 2)], ""), ("add", [(3,), (4,)], ""), ("add", [(3, 2),
        (3, 4)], ""),
        ("add", [(3,), (3,)], ""), ("add", [(3, 4), (4,)], ""), ("add", [(4,), (3, 4)], ""), ("add", [(), (3,)], ""),
        ("add", [(3, 4, 2), (3,)], ". One number for each row of the first is y[:, None, None]"),
        ("add", [(3,), (3, 4, 2, 5)], ". One number for each row of the second is x[:, None, None, None]"),
        ("matmul", [(5, 3, 2), (5, 3, 4)], FIRST.format("mT")), ("matmul", [(3,), (5, 4, 3)], SECOND.format("mT")),
        ("matmul", [(3, 2), (3,)], FIRST.format("T")), ("matmul", [(1, 2, 3), (5, 4, 3)], SECOND.format("mT")),
        ("matmul", [(5, 2, 3), (1, 4, 3)], SECOND.format("mT")), ("matmul", [(6, 1, 2, 3), (5, 4, 3)],
        SECOND.format("mT")), ("matmul", [(5, 2, 3), (7, 4, 3)], ""), ("matmul", [(5, 3, 2), (7, 3, 4)], ""),
        ("matmul", [(5, 1, 2, 3), (7, 6, 4, 3)], ""), ("matmul", [(5, 2, 3), (7, 3, 4)], ""),
        ("matmul", [(3, 3), (4, 3)], SECOND.format("T")), ("matmul", [(3, 2), (3, 3)], FIRST.format("T")),
        ("concatenate", [(3, 2), (3,)], ""), ("concatenate", [(3,), (3, 2)], ""), ("add", [(3, 2), (3,), (3,)], ""),
    ],
)  # fmt: skip
def test_what_would_fit_in_another_form(name: str, shapes: list[tuple[int, ...]], edit: str) -> None:
    assert shape_hint(name, shapes) == edit
    if edit:  # what it tells to write is taken
        x, w = map(np.ones, shapes)
        written = eval(edit.replace(" is ", ": ").split(": ", 1)[1], {"x": x, "w": w, "y": w})
        assert "@" in edit or np.broadcast_shapes(written.shape, max(shapes, key=len)) == max(shapes, key=len)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (np.sum, "np.sum"), (np.linalg.norm, "np.linalg.norm"), (np.fft.fft, "np.fft.fft"), (np.sin, "np.sin"),
        (np.emath.sqrt, "np.emath.sqrt"), (special.erf, "scipy.special.erf"), ((np.add, "reduce"), "np.add.reduce"),
        (np.strings.str_len, "np.strings.str_len"),
        (np.polynomial.polynomial.polyval, "np.polynomial.polynomial.polyval"),
        (np.lib.stride_tricks.sliding_window_view, "np.lib.stride_tricks.sliding_window_view"),
        (np.frompyfunc(abs, 1, 1), "abs (vectorized)"), (type("builtin", (), {"__module__": None}), "np.builtin"),
    ],
)  # fmt: skip
def test_the_name_by_which_a_function_is_called(function: Any, name: str) -> None:
    assert numpy_name(function) == name
