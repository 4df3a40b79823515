"""The mistakes that the search tries at each operation: where, with which words, and with which numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tg
from tests.compare_parts import graph_of
from tinygrad_nn.compare.mistakes import elementwise, images, products, uses_of, why_lost
from tinygrad_nn.compare.mistakes.missing_edges import ADDED, DETACHED, cut, kept_alone
from tinygrad_nn.compare.mistakes.mistake import (
    FAR,
    FURTHER,
    RARE,
    Mistake,
    Site,
    begin_sentence,
    mistakes_at,
    value_name,
)
from tinygrad_nn.compare.paths import Traced, gradients
from tinygrad_nn.graph.walk import rule_results

Array = Any
F = Callable[..., Any]


def values(*shape: int, seed: int = 0) -> Array:
    """Numbers between 0.5 and 2, all different."""
    return np.random.default_rng([seed, *shape]).uniform(0.5, 2.0, shape)


class Place(NamedTuple):
    """An operation of a graph, with the gradient that arrives there."""

    graph: Traced
    place: int
    site: Site
    found: list[Mistake]

    def one(self, text: str, slot: int | None = 0) -> Mistake:
        """The only mistake of a sentence that begins so."""
        (found,) = [m for m in self.found if m.text.startswith(text) and m.slot == slot]
        return found

    def made(self, text: str, slot: int | None = 0) -> Array:
        return self.one(text, slot).wrong(self.site)


def graph(f: F, *arrays: Array) -> Traced:
    return graph_of(f, *arrays)(list(arrays)).trace


def at(f: F, *arrays: Array, name: str, which: int = 0, g: Array = None) -> Place:
    """Return the operation of that name, of several the one nearest the loss, with the mistakes there."""
    trace = graph(f, *arrays)
    place = [k for k, n in enumerate(trace.signature) if n == name][which]
    arrived: dict[int, Array] = {}
    gradients(trace, cotangents=arrived)
    g = arrived[place] if g is None else g
    site = Site(trace, place, g, rule_results(trace.operations[place], g))
    return Place(trace, place, site, list(mistakes_at(trace, place)))


def texts(found: list[Mistake], *starts: str) -> list[str]:
    return [m.text for m in found if m.text.startswith(starts)]


# ---- Values nearby


def chain(x: Any, y: Any) -> Any:
    for k in range(50):
        x = np.sin(x) if k % 2 else np.cos(x)
    return x * y


def test_values_of_the_same_shape_are_looked_for_from_the_nearest() -> None:
    trace = graph(chain, values(3), values(3, seed=1))
    found = list(elementwise.values_like(trace, 20, (3,), 7))
    assert [v.key for v in found] == [1, -1, 2, -2, 3, -3, 4, "input 0", "input 1"]
    assert [v.name for v in found] == [value_name(trace.operations[20 + v.key]) for v in found[:7]] + ["x", "y"]
    site = Site(trace, 20, np.ones(3), [])
    for v in found[:7]:
        assert v.of(site) is trace.operations[20 + v.key].out
    assert found[7].of(site) is trace.inputs[0].out
    assert found[8].of(site) is trace.inputs[1].out
    assert [v.key for v in elementwise.values_like(trace, 20, (3,), 0)] == ["input 0", "input 1"]
    assert [v.key for v in elementwise.values_like(trace, 20, (3,))][:-2] == [k for n in range(1, 6) for k in (n, -n)]
    assert list(elementwise.values_like(trace, 20, (1,))) == []
    assert [v.key for v in elementwise.values_like(trace, 0, (3,), 3)][:3] == [1, 2, 3]
    assert [v.key for v in elementwise.values_like(trace, 50, (3,), 3)][:3] == [-1, -2, -3]


def test_values_far_away_are_left_out() -> None:
    def f(x: Any, y: Any) -> Any:
        for _ in range(60):
            x = np.sin(x)
        return (x * y).sum()

    trace = graph(f, values(3), values(3, seed=1))
    found = [v.key for v in elementwise.values_like(trace, 0, (3,), 100)][:-2]
    assert found == list(range(1, 4 * elementwise.NEAR))
    many = graph(lambda *xs: sum(xs), *(values(2, seed=k) for k in range(26)))
    assert [v.key for v in elementwise.values_like(many, 0, (2,), 1)][1:] == [f"input {j}" for j in range(24)]
    few = graph(lambda x: np.sin(np.cos(x)), values(2))
    assert [v.key for v in elementwise.values_like(few, 0, (2,))] == [1, "input 0"]


@pytest.mark.parametrize(
    ("shape", "into", "fits"),
    [((), (2,), True), ((2,), (3, 2), True), ((3, 1), (3, 2), True), ((1, 3, 2), (3, 2), False), ((3,), (3, 2), False),
     ((2, 2), (2,), False), ((1,), (), False), ((2,), (2,), True), ((1, 1), (3, 2), True), ((2, 1), (3, 2), False)],
)  # fmt: skip
def test_what_an_array_can_be_multiplied_by(shape: Any, into: Any, fits: bool) -> None:
    assert products._can_broadcast(shape, into) is fits


def test_a_gradient_may_be_multiplied_or_divided_once_too_often() -> None:
    trace = graph(chain, values(3), values(3, seed=1))
    near = list(products._nearby(trace, 20, (3,)))
    assert [v.key for v in near] == [*range(-6, 7), "input 0", "input 1"]
    assert [v.key for v in products._nearby(trace, 2, (3,))][:-2] == [*range(-2, 7)]
    assert [v.key for v in products._nearby(trace, 49, (3,))][:-2] == [*range(-6, 2)]
    assert list(products._nearby(trace, 20, ())) == []
    site = Site(trace, 20, np.ones(3), [np.full(3, 3.0)])
    assert [v.of(site) is trace.operations[20 + v.key].out for v in near[:-2]] == [True] * 13
    assert [v.of(site) is leaf.out for v, leaf in zip(near[-2:], trace.inputs, strict=True)] == [True] * 2
    for m in products.repeated_factors(trace, 20):
        step, power = m.key
        other = trace.operations[20 + step].out if isinstance(step, int) else trace.inputs[int(step[-1])].out
        word = {1: "multiplied", -1: "divided"}[power]
        assert m.text.startswith(f"The gradient is {word} by ")
        assert (m.kind, m.slot, m.cost) == ("wrong_derivative", 0, FURTHER)
        np.testing.assert_allclose(m.wrong(site), 3 * other**power, rtol=1e-14)
    assert sum(1 for _ in products.repeated_factors(trace, 20)) == 2 * len(near)


# ---- Products

A, B, S = values(2, 3, 4), values(2, 4, 3), values(2, 3, 3)


def test_factors_of_products_of_stacks_of_matrices() -> None:
    p = at(lambda x, y: x @ y, S, values(2, 3, 3, seed=1), name="matmul")
    x, y, g = *p.site.args, p.site.g
    turned = "One factor of the product is transposed in the backward pass."
    np.testing.assert_allclose(p.made(turned, 0), g @ y, rtol=1e-13)
    np.testing.assert_allclose(p.made(turned, 1), x @ g, rtol=1e-13)
    np.testing.assert_allclose(p.made("The gradient of a factor is transposed.", 1),
                               (x.swapaxes(1, 2) @ g).swapaxes(1, 2), rtol=1e-13)  # fmt: skip
    assert texts(p.found, "Only the last row", "Only the first row") == []
    np.testing.assert_allclose(p.made("x is used instead of the right factor.", 0), g @ x.swapaxes(1, 2), rtol=1e-13)
    np.testing.assert_allclose(p.made("y is used instead of the right factor.", 1), y.swapaxes(1, 2) @ g, rtol=1e-13)
    wide = at(lambda x, y: x @ y, A, B, name="matmul")
    assert texts(wide.found, turned, "The gradient of a factor") == []
    tall = at(lambda x, y: x @ y, values(4, 2, 3), values(4, 3, 3), name="matmul")
    assert [m.slot for m in tall.found if m.text == turned] == [0]
    assert [m.slot for m in tall.found if m.text == "The gradient of a factor is transposed."] == [1]
    left = at(lambda x, y: x @ y, values(4, 3, 3), values(4, 3, 2), name="matmul")
    assert [m.slot for m in left.found if m.text == turned] == [1]
    assert texts(left.found, "The gradient of a factor") == []


def test_single_rows_of_a_product() -> None:
    p = at(lambda x, y: x @ y, values(3, 2), values(2, 4), name="matmul")
    x, g = p.site.args[0], p.site.g
    for word, row in (("last", 2), ("first", 0)):
        text = f"Only the {word} row of the product contributes to the gradient; all rows should be added."
        np.testing.assert_allclose(p.made(text, 1), x[row][:, None] * g[row][None], rtol=1e-14)
    one = at(lambda x, y: x @ y, values(1, 2), values(2, 4), name="matmul")
    assert texts(one.found, "Only the last row", "Only the first row") == []
    vector = at(lambda x, y: x @ y, values(2), values(2, 4), name="matmul")
    assert texts(vector.found, "Only the last row", "Only the first row") == []
    into = at(lambda x, y: x @ y, values(3, 2), values(2), name="matmul")
    assert {m.slot for m in into.found if "is used instead of the right factor" in m.text} == {1}


def test_factors_of_a_product() -> None:
    mask = np.array([0.0, 2.0, 2.0])
    p = at(lambda x: np.sin(x) * mask, values(3), name="multiply")
    slot = 0 if p.site.node.parents[0] is not None else 1
    g, x = p.site.g, p.site.args[slot]
    assert [(m.kind, m.text, m.cost) for m in p.found if m.cost < FAR] == [
        ("dropout_mask_missing", "The mask of the product is missing in the backward pass.", 1.0),
        ("wrong_value", "The gradient is divided by the other factor of a product; it should be multiplied by it.",
                        RARE),
        ("wrong_value", "The other factor of a product is squared in the backward pass.", RARE),
        ("wrong_value", ("The gradient of a factor of a product is multiplied by that factor; it should be multiplied "
                         "by the other one."), 1.0),
        ("wrong_value", "The product itself is used instead of its other factor in the backward pass.", RARE),
        ("dropout_scale_missing", "The mask is applied without its scale in the backward pass.", 1.0),
    ]  # fmt: skip
    np.testing.assert_allclose(p.made("The mask of the product", slot), g)
    np.testing.assert_allclose(p.made("The other factor of a product is squared", slot), g * mask**2)
    np.testing.assert_allclose(p.made("The gradient of a factor of a product is multiplied", slot), g * x)
    np.testing.assert_allclose(p.made("The product itself", slot), g * x * mask)
    np.testing.assert_allclose(p.made("The mask is applied", slot), g * (mask > 0))
    np.testing.assert_allclose(p.made("x is used instead of the other factor", slot), g * p.graph.inputs[0].out)
    two = at(lambda x, y: x * y, values(3), values(3, seed=1), name="multiply")
    for slot in (0, 1):
        x, y, g = two.site.args[slot], two.site.args[1 - slot], two.site.g
        np.testing.assert_allclose(two.made("The gradient is divided by the other", slot), g / y)
        np.testing.assert_allclose(two.made("The other factor of a product is missing", slot), g)
    assert texts(at(lambda x: 3 * x, values(3), name="multiply").found, "The other", "The mask", "The gradient of a "
                 "factor") == []
    number = at(lambda x, y: x * y, values(3), values(), name="multiply")
    assert [m.slot for m in number.found if m.text.startswith("The gradient of a factor")] == [0]
    assert [m.slot for m in number.found if m.text.startswith("The other factor of a product is missing")] == [0, 1]


@pytest.mark.parametrize(
    ("x", "is_mask"),
    [([0, 1.0], True), ([0, 0.0], False), ([0, 1, 2.0], False), ([1, 2.0], False), ([0.0], False), (0.0, False),
     ([[0, 2], [2, 0]], True), ([-1.0, 0], False)],
)  # fmt: skip
def test_a_mask_is_zero_or_one_other_number(x: Any, is_mask: bool) -> None:
    assert bool(products._is_mask(np.array(x))) is is_mask


# ---- Sums


def test_mistakes_in_summing_a_broadcast() -> None:
    p = at(lambda x, b: x + b, values(2, 3, 4), values(3, 1), name="add")
    g = p.site.g
    said = [(m.kind, m.text, m.is_unsummed) for m in p.found if m.kind != "wrong_derivative"]
    assert said == [
        ("broadcast_not_summed", ("A value that was broadcast is used in many places, so its gradient is the sum over "
                                  "them. That sum is missing."), True),
        *(("wrong_axis_sum", f"A broadcast was summed back over axis {k} only, the wrong one.", False)
          for k in range(3)),
        ("wrong_axis_sum", "A broadcast was summed back over all axes.", False),
        *(("overwritten_not_accumulated", (f"Only the {which} of the rows that a value was broadcast to contributes to "
                                           "the gradient; all rows should be "
                                           "added."), False) for which in ("last", "first")),
        ("scale", "A broadcast was averaged in the backward pass; it should be summed.", False),
    ]  # fmt: skip
    np.testing.assert_allclose(p.made("A broadcast was averaged", 1), g.mean(axis=(0, 2))[:, None])
    np.testing.assert_allclose(p.made("A broadcast was summed back over all", 1), np.full((3, 1), g.sum()))
    assert np.isnan(p.made("A broadcast was summed back over axis 1", 1)).all()
    row = at(lambda x, b: x * b, values(3, 3), values(3), name="multiply")
    x, g = row.site.args[0], row.site.g
    np.testing.assert_allclose(row.made("A broadcast was summed back over axis 1", 1), (g * x).sum(axis=1))
    assert texts(row.found, "A broadcast was summed back over axis 0") == []
    np.testing.assert_allclose(row.made("Only the last of the rows that a value", 1), (g * x)[2])
    np.testing.assert_allclose(row.made("Only the first of the rows that a value", 1), (g * x)[0])
    np.testing.assert_allclose(row.made("A broadcast was averaged", 1), (g * x).mean(axis=0))
    assert row.one("A broadcast was averaged", 1).cost == 1.45


@pytest.mark.parametrize(
    ("shapes", "slots"),
    [(((2, 3), (3,)), [1]), (((2, 3), (2, 3)), []), (((2, 3), ()), [1]), (((3,), (2, 3)), [0]),
     (((2, 1), (1, 3)), [0, 1]), (((1, 3), (3,)), [])],
)  # fmt: skip
def test_which_arguments_were_broadcast(shapes: Any, slots: list[int]) -> None:
    p = at(lambda x, y: x + y, *(values(*shape) for shape in shapes), name="add")
    assert [m.slot for m in p.found if m.kind == "broadcast_not_summed"] == slots
    alone = [m.slot for m in p.found if m.text.startswith("A broadcast was summed back over all")]
    assert alone == [k for k in slots if np.prod(shapes[k]) > 1]


def test_mistakes_in_gradients_of_means_and_sums() -> None:
    x = values(2, 3, 4)
    p = at(lambda x: x.mean(axis=(0, 2)), x, name="mean")
    g = p.site.g[None, :, None] * np.ones_like(x)
    for text, wanted in (
        ("The gradient of a mean is not divided by the number of its entries.", g),
        ("The gradient of a mean is divided by the length of another axis.", g / 3),
        ("Only the last of the entries of a mean", g / 8 * (np.arange(2) == 1)[:, None, None]),
        ("Only the first of the entries of a mean", g / 8 * (np.arange(2) == 0)[:, None, None]),
    ):  # fmt: skip
        np.testing.assert_allclose(p.made(text), wanted, rtol=1e-14)
    p = at(lambda x: x.sum(axis=-1), x, name="sum")
    g = p.site.g[..., None] * np.ones_like(x)
    np.testing.assert_allclose(p.made("The gradient of a sum is divided by the number"), g / 4)
    np.testing.assert_allclose(p.made("Only the last of the entries of a sum"), g * (np.arange(4) == 3))
    assert texts(p.found, "The gradient of a sum is spread", "The gradient of a mean") == []
    p = at(lambda x: x.sum(axis=1), values(3, 3), name="sum")
    np.testing.assert_allclose(p.made("The gradient of a sum is spread along the wrong axis."),
                               p.site.g[None] * np.ones((3, 3)))  # fmt: skip
    for f, shape in ((lambda x: x.sum(axis=1), (3, 2)), (lambda x: x.sum(), (3, 3)), (lambda x: x.sum(axis=0), (3,))):
        assert texts(at(f, values(*shape), name="sum").found, "The gradient of a sum is spread") == []
    square = at(lambda x: x.mean(axis=0), values(3, 3), name="mean")
    assert texts(square.found, "The gradient of a mean is divided by the length") == []
    assert texts(at(lambda x: x.mean(), values(3, 2), name="mean").found, "The gradient of a mean is divided") == []


def test_mistakes_in_gradients_of_variances() -> None:
    x = values(2, 3, 4)
    for name, f in (("var", np.var), ("std", np.std)):
        p = at(lambda x, f=f: f(x, axis=(0, 2), ddof=1), x, name=name)
        out = f(x, axis=(0, 2), ddof=1)[None, :, None]
        g = p.site.g[None, :, None] * (1.0 if name == "var" else 0.5 / out)
        centred = x - x.mean(axis=(0, 2), keepdims=True)
        right = g * 2 / 7 * centred
        np.testing.assert_allclose(p.site.slots[0], right, rtol=1e-12)
        what = "variance" if name == "var" else "standard deviation"
        for text, wanted in (
            (f"In the gradient of the {what}, x is used instead", g * 2 / 7 * x),
            (f"The gradient of the {what} is divided by n;", right * 7 / 8),
            (f"The gradient of the {what} is divided by n - 1;", right),
            (f"The gradient of the {what} is not divided by the number", right * 7),
            (f"The gradient of the {what} is divided by the length of another axis.", right * 7 / 3),
        ):
            np.testing.assert_allclose(p.made(text), wanted, rtol=1e-12)
    for text, wanted in (
        ("The gradient of the standard deviation is not divided by it.", right * out),
        ("The gradient of the standard deviation is divided by the variance.", right / out),
        ("The gradient of the standard deviation is multiplied by it.", right * out**2),
    ):
        np.testing.assert_allclose(p.made(text), wanted, rtol=1e-12)
    one = at(lambda x: np.var(x, axis=1), values(3, 1), name="var")
    np.testing.assert_allclose(one.made("The gradient of the variance is divided by n - 1;"), one.site.slots[0])
    assert texts(at(lambda x: np.var(x), values(3), name="var").found, "The gradient of the variance is divided by the "
                 "length") == []  # fmt: skip


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_gradient_of_an_extreme_goes_elsewhere(name: str, axis: int) -> None:
    x = np.array([[1.0, -5.0, 2.0, 2.0], [3.0, 2.5, -4.0, 1.0], [-6.0, 0.5, 2.0, -1.0]])
    p = at(lambda x: getattr(x, name)(axis=axis), x, name=name)
    g = np.expand_dims(p.site.g, axis) * np.ones_like(x)
    won = x == getattr(x, name)(axis=axis, keepdims=True)
    n = x.shape[axis]
    places = np.indices(x.shape)[axis]

    def only(index: Array) -> Array:
        return g * (places == np.expand_dims(index, axis))

    least, most = x.argmin(axis), x.argmax(axis)
    for text, wanted in (
        (f"The gradient of {name} goes to all entries; it", g), (f"The gradient of {name} is divided among", g / n),
        ("Each of several equal entries", g * won), (f"The gradient of {name} is multiplied", p.site.slots[0] * x),
        (f"The gradient of {name} goes to all entries but", g * ~won),
        (f"The gradient of {name} goes to the opposite", only(least if name == "max" else most)),
        (f"The gradient of {name} always goes to the first entry.", g * (places == 0)),
        (f"The gradient of {name} goes to the entry of the largest absolute value", only(np.abs(x).argmax(axis))),
        ("The whole gradient goes to the first of several", only(most if name == "max" else least)),
    ):  # fmt: skip
        np.testing.assert_allclose(p.made(text), wanted, rtol=1e-14)


def test_the_gradient_of_an_extreme_of_all_entries_goes_elsewhere() -> None:
    x = np.array([[1.0, -5.0, 2.0], [3.0, 3.0, -4.0]])
    p = at(lambda x: x.max(), x, name="max")
    for text, index in (
        ("The gradient of max goes to the opposite", (0, 1)), ("The gradient of max always goes to the first", (0, 0)),
        ("The gradient of max goes to the entry of the largest absolute value", (0, 1)), ("The whole gradient goes",
                                                                                          (1, 0)),
    ):  # fmt: skip
        wanted = np.zeros((2, 3))
        wanted[index] = float(p.site.g)
        np.testing.assert_array_equal(p.made(text), wanted)
    two = at(lambda x: x.max(axis=(0, 1)), x, name="max")
    assert np.isnan(two.made("The gradient of max always goes")).all()


def test_gradients_of_a_norm() -> None:
    x = values(2, 3)
    p = at(lambda x: np.linalg.vector_norm(x, axis=1), x, name="vector_norm")
    g, norm = p.site.g[:, None] * np.ones((2, 3)), np.sqrt((x * x).sum(axis=1, keepdims=True))
    for text, kind, wanted in (
        ("The gradient of a norm is not divided by the norm.", "missing_factor", g * x),
        ("The gradient of a norm is divided by the square of the norm.", "wrong_derivative", g * x / norm**2),
        ("The gradient of a norm is multiplied by the norm.", "wrong_derivative", g * x * norm),
        ("The gradient of a norm is the sign of x", "wrong_derivative", g),
        ("The gradient of a norm is passed to all entries;", "missing_factor", g),
    ):
        assert p.one(text).kind == kind
        np.testing.assert_allclose(p.made(text), wanted, rtol=1e-13)
    p = at(lambda x: np.linalg.vector_norm(x, ord=1, axis=0), x, name="vector_norm")
    np.testing.assert_allclose(p.made("The gradient of the norm is x;"), p.site.g[None] * x)


# ---- Labels


def test_labels_of_probabilities_change_other_entries() -> None:
    """The gradient of a cross-entropy is p minus one entry of each sample: others are taken for it."""
    z, labels = values(3, 4), np.array([2, 0, 0])
    picked = np.zeros((3, 4))
    picked[np.arange(3), labels] = -0.25
    columns, rows = np.array([1.0, 0, 1, 0]), np.array([1.0, 0, 1])[:, None]
    p = at(lambda x: tg.log_softmax(x), z, name="log_softmax", g=picked)
    soft = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p.made("The columns of all labels"), soft / 4 - columns / 4, rtol=1e-13)
    np.testing.assert_allclose(p.made("The labels are used as row numbers"), soft / 4 - rows / 4, rtol=1e-13)
    for g in (np.ones((3, 4)), picked * (np.arange(3) > 0)[:, None], picked[0]):
        dense = at(lambda x: tg.log_softmax(x), z, name="log_softmax", g=np.broadcast_to(g, (3, 4)))
        if (g[0] != 0).sum() != 1 or g.ndim == 1:
            continue
        with pytest.raises(ValueError, match="no labels"):
            dense.made("The columns of all labels")
    weight = np.array([[0, 0, 0.5, 0], [2.0, 0, 0, 0], [1.0, 0, 0, 0]])
    p = at(lambda x: tg.softmax(x), z, name="softmax", g=weight)
    inner = (soft * weight).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p.made("The columns of all labels"), inner * columns - soft * inner, rtol=1e-13)
    np.testing.assert_allclose(p.made("The labels are used as row numbers"), inner * rows - soft * inner, rtol=1e-13)
    y = np.eye(4)[labels]
    p = at(lambda x: tg.softmax_crossentropy(x, y), z, name="softmax_crossentropy")
    scale = float(p.site.g) / 3
    np.testing.assert_allclose(p.made("The columns of all labels"), (soft - columns) * scale, rtol=1e-13)
    np.testing.assert_allclose(p.made("The labels are used as row numbers"), (soft - rows) * scale, rtol=1e-13)


# ---- Cuts


def lost(f: F, *arrays: Array, name: str, which: int = 0, slot: int | None = None) -> tuple[str, str]:
    trace = graph(f, *arrays)
    place = [k for k, n in enumerate(trace.signature) if n == name][which]
    return why_lost(trace, place, slot, uses_of(trace))


OVERWRITTEN = ("overwritten_not_accumulated", ("The contribution through this operation is missing: it was overwritten "
                                               f"or forgotten. {ADDED}"))  # fmt: skip
STOPPED = "detached", DETACHED
HALF = "product_rule_half", "A value is multiplied by itself, and one half of the product rule is missing."
AROUND = ("residual_forgotten", ("The residual branch is forgotten: a sum passes its gradient to both of its "
                                 "terms."))  # fmt: skip


def constant(what: str, of: str) -> tuple[str, str]:
    return "statistic_as_constant", (f"The gradient does not go back through the {what}: its dependence on {of} is "
                                     "ignored, as if it were a constant.")  # fmt: skip


@pytest.mark.parametrize(
    ("f", "shapes", "name", "slot", "said"),
    [
        (lambda x: x - x.mean(), [(3,)], "mean", None, constant("mean", "x")),
        (lambda x: x - x.mean(), [(3,)], "mean", 0, constant("mean", "x")),
        (lambda x: x - x.mean(axis=0), [(3, 2)], "subtract", 1, constant("mean", "x")),
        (lambda x: x / np.sqrt(x.var() + 1), [(3,)], "sqrt", None, constant("variance", "x")),
        (lambda x: x / np.sqrt(x.var() + 1), [(3,)], "divide", 1, constant("variance", "x")),
        (lambda x: x / np.linalg.vector_norm(x), [(3,)], "vector_norm", 0, constant("norm", "x")),
        (lambda x: np.exp(x - x.max()), [(3,)], "max", 0, constant("maximum", "x")),
        (lambda x: np.sin(x) - np.sin(x).mean(), [(3,)], "mean", 0, constant("mean", "x")),
        (lambda x: (lambda e: e / e.sum())(np.exp(x)), [(3,)], "sum", 0, constant("sum", "the result of exp")),
        (lambda x: x - np.abs(x).min(), [(3,)], "min", 0, constant("minimum", "x")),
        (lambda x: x - np.sin(x.mean()), [(3,)], "sin", 0, OVERWRITTEN),
        (lambda x, y: x - (x.mean() + y.sum()), [(3,), (2,)], "add", None, STOPPED),
        (lambda x: x.mean() * 2, [(3,)], "mean", 0, STOPPED), (lambda x: x.mean() + x, [(1,)], "mean", 0, OVERWRITTEN),
        (lambda x: x * x, [(3,)], "multiply", 0, HALF), (lambda x: x * x, [(3,)], "multiply", 1, HALF),
        (lambda x: x * x, [(3,)], "multiply", None, OVERWRITTEN), (lambda x: x @ x, [(3, 3)], "matmul", 0, HALF),
        (lambda x: x + x, [(3,)], "add", 0, OVERWRITTEN), (lambda x, y: x + x * y, [(3,), (3,)], "add", 0, AROUND),
        (lambda x, y: x + x * y, [(3,), (3,)], "add", 1, STOPPED),
        (lambda x, y: x * y + x, [(3,), (3,)], "add", 1, AROUND),
        (lambda x: x + np.sin(x), [(3,)], "add", 0, OVERWRITTEN), (lambda x, y: x + y, [(3,), (3,)], "add", 0, STOPPED),
        (lambda x: np.sin(x), [(3,)], "sin", 0, STOPPED), (lambda x: np.sin(x), [(3,)], "sin", None, STOPPED),
        (lambda x: np.exp(np.sin(x)) * x, [(3,)], "exp", 0, OVERWRITTEN),
        (lambda x: np.exp(np.sin(x)) * x, [(3,)], "exp", None, OVERWRITTEN),
        (lambda x, y: np.exp(np.sin(x * y)) + y, [(3,), (3,)], "exp", 0, STOPPED),
        (lambda x, y: x * y + np.sin(x), [(3,), (3,)], "multiply", None, OVERWRITTEN),
        (lambda x, y: x * y + np.sin(x), [(3,), (3,)], "multiply", 1, STOPPED),
    ],
)  # fmt: skip
def test_why_a_gradient_does_not_come_through(f: F, shapes: Any, name: str, slot: int | None, said: Any) -> None:
    arrays = [values(*shape, seed=k) for k, shape in enumerate(shapes)]
    assert lost(f, *arrays, name=name, slot=slot) == said


def test_uses_of_a_value_that_are_forgotten_together() -> None:
    def f(x: Any, w: Any) -> Any:
        for _ in range(4):
            x = x @ w
        return x

    trace = graph(f, values(2, 3), values(3, 3))
    uses = uses_of(trace)
    w = trace.inputs[1]
    assert uses[w] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    found = list(kept_alone(trace, uses))
    last = "last_step_only", ("y is used 4 times, but its gradient is that of the last use only; the contributions of "
                              "all uses should be added.")  # fmt: skip
    first = (last[0], last[1].replace("last use", "first use"))
    one = ("overwritten_not_accumulated", ("One of the 4 contributions to the gradient of y is kept and the others are "
                                           "overwritten; they should be added."))  # fmt: skip
    without = [("overwritten_not_accumulated", (f"The {which} of the 4 uses of y contributes nothing to the gradient; "
                                                "the contributions of all uses should be "
                                                "added.")) for which in ("first", "last")]  # fmt: skip
    places = [(k, 1) for k in range(4)]
    assert found == [
        (*last, places[1:], 1.0), (*one, [places[0], *places[2:]], 1.0), (*one, [*places[:2], places[3]], 1.0),
        (*first, places[:3], 1.0), (*without[0], places[3:], RARE), (*without[1], places[:1], RARE),
    ]  # fmt: skip
    mixed = graph(lambda x: np.sin(x) + np.exp(x) * x, values(3))
    found = list(kept_alone(mixed, uses_of(mixed)))
    assert [(kind, len(edges), cost) for kind, _, edges, cost in found] == [("overwritten_not_accumulated", 2, 1.0)] * 3
    assert list(kept_alone(trace, {w: places[:2]})) == []
    many = graph(lambda x: sum(np.sin(x) for _ in range(61)), values(2))
    found = list(kept_alone(many, uses_of(many)))
    assert [len(edges) for *_, edges, _ in found] == [60, 60, 1, 1]
    sixty = graph(lambda x: sum(np.sin(x) for _ in range(60)), values(2))
    assert len(list(kept_alone(sixty, uses_of(sixty)))) == 62


def test_a_cut_is_any_factor_of_one_argument_or_of_all() -> None:
    one, every = cut(1), cut(None)
    assert (one.kind, one.text, one.slot, one.linear) == ("scale", "", 1, True)
    assert (every.kind, every.text, every.slot, every.linear) == ("scale", "", None, True)
    p = at(lambda x, y: x * y, values(3), values(3), name="multiply")
    assert one.at(p.site) == [p.site.slots[0], None]
    assert every.at(p.site) == [None, None]


def test_what_a_value_is_called() -> None:
    trace = graph(lambda x: np.sin(x), values(3))
    assert [value_name(trace.inputs[0]), value_name(trace.operations[0])] == ["x", "the result of sin"]
    plain = graph(lambda *xs: sum(xs), *(values(2) for _ in range(7)))
    assert value_name(plain.inputs[6]) == "the input"
    assert [begin_sentence(t) for t in ("the input is", "what is", "x is", "theta is")] == [
        "The input is", "What is", "x is", "theta is"]  # fmt: skip


# ---- Pixels


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (2, 5), (4, 2)])
def test_an_array_is_cut_or_filled_with_zeros(rows: int, columns: int) -> None:
    x = values(3, 3)
    found = images._crop_or_pad(x, (rows, columns))
    wanted = np.zeros((rows, columns))
    for i in range(min(3, rows)):
        for j in range(min(3, columns)):
            wanted[i, j] = x[i, j]
    np.testing.assert_array_equal(found, wanted)
