"""Hypotheses about mistakes in convolution, pooling, indexing, joining and reordering, number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.test_compare_mistake_parts import at, texts, values
from tinygrad_nn.ops.convolution import conv
from tinygrad_nn.ops.pooling import avg_pool, max_pool

Array = Any

# ---- Images


def walked_back(g: Array, w: Array, shape: Any, step: int, off: int, last: bool = False) -> Array:
    """Return what each window gives to the image, for each position in turn; what falls outside is lost."""
    made = np.zeros(shape)
    for n, o, i, j in np.ndindex(*g.shape):
        if last and o:
            continue  # of all kernels at once
        for c, a, b in np.ndindex(*w.shape[1:]):
            y, x = i * step + a - off, j * step + b - off
            if 0 <= y < shape[2] and 0 <= x < shape[3]:
                if last:
                    made[n, c, y, x] = g[n, :, i, j] @ w[:, c, a, b]
                else:
                    made[n, c, y, x] += g[n, o, i, j] * w[o, c, a, b]
    return made


def of_kernel(g: Array, x: Array, shape: Any, step: int, off: int) -> Array:
    made = np.zeros(shape)
    for n, o, i, j in np.ndindex(*g.shape):
        for c, a, b in np.ndindex(*shape[1:]):
            y, k = i * step + a - off, j * step + b - off
            if 0 <= y < x.shape[2] and 0 <= k < x.shape[3]:
                made[o, c, a, b] += g[n, o, i, j] * x[n, c, y, k]
    return made


@pytest.mark.parametrize(("step", "off"), [(1, 0), (1, 1), (2, 0), (2, 1)])
def test_a_convolution_is_walked_back_otherwise(step: int, off: int) -> None:
    x, w = values(2, 2, 5, 5), values(2, 2, 3, 3) - 1
    p = at(lambda x, w: conv(x, w, stride=step, padding=off), x, w, name="conv")
    g = p.site.g
    np.testing.assert_allclose(p.site.slots[0], walked_back(g, w, x.shape, step, off), rtol=1e-12)
    dw = of_kernel(g, x, w.shape, step, off)
    np.testing.assert_allclose(p.site.slots[1], dw, rtol=1e-12)
    of_image: dict[str, Array] = {
        "In the gradient of the image, the kernel is flipped": walked_back(g, w[:, :, ::-1, ::-1], x.shape, step, off),
        "The channels of the kernel are exchanged": walked_back(g, w.swapaxes(0, 1), x.shape, step, off),
        "The kernel is transposed in the gradient": walked_back(g, w.swapaxes(2, 3), x.shape, step, off),
        "Where windows overlap the last one": walked_back(g, w, x.shape, step, off, last=True),
        "Only the last kernel contributes to the gradient of the "
        "image": walked_back(g * np.array([0, 1])[:, None, None], w, x.shape, step, off),
        "Only the first kernel contributes to the gradient of the "
        "image": walked_back(g * np.array([1, 0])[:, None, None], w, x.shape, step, off),
    }
    if off:
        of_image["The padding is forgotten in the gradient of the image"] = walked_back(g, w, x.shape, step, 0)
    if step > 1:
        of_image["The stride is forgotten in the gradient of the image"] = walked_back(g, w, x.shape, 1, off)
    for text, wanted in of_image.items():
        np.testing.assert_allclose(p.made(text), wanted, rtol=1e-12, atol=1e-13, err_msg=text)
    corner = np.zeros(g.shape[2:])
    corner[-1, -1] = 1
    n = np.array([0, 1])
    for text, wanted in (
        ("The gradient of the kernel is flipped.", dw[:, :, ::-1, ::-1]),
        ("The gradient of the kernel is averaged", dw / g[0, 0].size),
        ("The gradient of the kernel is transposed.", dw.swapaxes(2, 3)),
        ("Only the last sample contributes", of_kernel(g * n[:, None, None, None], x, w.shape, step, off)),
        ("Only the first sample contributes", of_kernel(g * (1 - n)[:, None, None, None], x, w.shape, step, off)),
        ("Only the last position contributes", of_kernel(g * corner, x, w.shape, step, off)),
        ("Only the first position contributes", of_kernel(g * corner[::-1, ::-1], x, w.shape, step, off)),
        ("Only the last kernel contributes to the gradient of the kernel",
         of_kernel(g * n[:, None, None], x, w.shape, step, off)),
        ("Only the first kernel contributes to the gradient of the kernel",
         of_kernel(g * (1 - n)[:, None, None], x, w.shape, step, off)),
    ):  # fmt: skip
        np.testing.assert_allclose(p.made(text, 1), wanted, rtol=1e-12, atol=1e-13, err_msg=text)
    if off == 0:
        assert texts(p.found, "The padding") == []
    if step == 1:
        assert texts(p.found, "The stride") == []


def test_which_mistakes_a_convolution_has_room_for() -> None:
    one = at(lambda x, w: conv(x, w), values(1, 3, 4, 5), values(1, 3, 2, 3), name="conv")
    assert texts(one.found, "Only the last sample", "Only the first sample", "Only the last kernel", "The channels",
                                                                                                     "The kernel is t",
                 "The gradient of the kernel is t") == []  # fmt: skip
    assert len(texts(one.found, "Only the last position", "Only the first position", "Where windows", "In the gradient "
                     "of the image, ")) == 4


@pytest.mark.parametrize(("size", "step", "off"), [(2, 2, 0), (2, 1, 0), (3, 2, 1)])
def test_pooling_is_walked_back_otherwise(size: int, step: int, off: int) -> None:
    x = np.random.default_rng(5).integers(-3, 4, (1, 2, 5, 5)).astype(float)
    x[0, 0, :3, :3] = 3.0  # equal ones

    def shared(g: Array, share: Any, last: bool = False) -> Array:
        wide = np.full((1, 2, 5 + 2 * off, 5 + 2 * off), -np.inf)
        wide[:, :, off : off + 5, off : off + 5] = x
        made = np.zeros_like(wide)
        for n, c, i, j in np.ndindex(*g.shape):
            at_ = np.s_[n, c, i * step : i * step + size, j * step : j * step + size]
            part = share(wide[at_]) * g[n, c, i, j]
            made[at_] = part if last else made[at_] + part
        return made[:, :, off : off + 5, off : off + 5]

    def only(flat: int, window: Array) -> Array:
        return (np.arange(window.size) == flat).reshape(window.shape) * 1.0

    p = at(lambda x: max_pool(x, size, stride=step, padding=off), x, name="max_pool")
    for text, share in (
        ("The gradient goes to all pixels of a window;", lambda w: np.ones(w.shape)),
        ("The gradient is divided among all", lambda w: np.full(w.shape, 1 / w.size)),
        ("Each of several equal pixels", lambda w: w == w.max()),
        ("The whole gradient goes to the first of", lambda w: only(int(w.argmax()), w)),
        ("The whole gradient goes to the last of", lambda w: only(int(np.flatnonzero(w == w.max())[-1]), w)),
        ("The gradient goes to the first pixel", lambda w: only(0, w)),
        ("The gradient goes to the last pixel", lambda w: only(w.size - 1, w)),
        ("The gradient goes to the smallest pixel", lambda w: only(int(np.where(w > -9, w, 99.0).argmin()), w)),
        ("The gradient is multiplied by the largest", lambda w: (w == w.max()) * w.max()),
        ("The gradient goes to all pixels but", lambda w: w != w.max()),
    ):  # fmt: skip
        np.testing.assert_allclose(p.made(text), shared(p.site.g, share), rtol=1e-13, err_msg=text)
    assert len(texts(p.found, "Where windows overlap the last one")) == 6
    over = [m for m in p.found if m.text.startswith("Where windows overlap")]
    np.testing.assert_allclose(over[2].wrong(p.site), shared(p.site.g, lambda w: w == w.max(), last=True))
    mean = at(lambda x: avg_pool(x, size, stride=step), np.abs(x), name="avg_pool")
    off = 0
    np.testing.assert_allclose(mean.made("The gradient of the mean of a window"), mean.site.slots[0] * size**2)
    x = np.abs(x)
    np.testing.assert_allclose(mean.made("Where windows overlap"), shared(
        mean.site.g, lambda w: np.full(w.shape, 1 / w.size), last=True))  # fmt: skip
    np.testing.assert_allclose(mean.made("The gradient goes to the largest"),
                               shared(mean.site.g, lambda w: w == w.max()))  # fmt: skip


# ---- What is picked and joined


@pytest.mark.parametrize(("axis", "shapes"), [(0, ((2, 3), (1, 3))), (1, ((2, 1), (2, 3))), (-1, ((2, 1), (2, 3)))])
def test_parts_of_another_size_are_cut_off_in_reverse(axis: int, shapes: Any) -> None:
    p = at(lambda x, y: np.concatenate((x, y), axis), *(values(*shape) for shape in shapes), name="concatenate")
    plain = at(lambda x, y: np.concatenate((x, y)), values(2, 3), values(1, 3), name="concatenate")
    for place, at_ in ((p, axis), (plain, 0)):
        one, two = place.made("The joined parts are taken", None)
        first = place.site.args[1].shape[at_]
        np.testing.assert_array_equal(two, np.split(place.site.g, [first], at_)[0])
        np.testing.assert_array_equal(one, np.split(place.site.g, [first], at_)[1])
        assert texts(place.found, "One of the joined parts") == []


def test_parts_of_one_size_get_the_gradients_of_others() -> None:
    p = at(lambda x, y, z: np.stack((x, y, z)), *(values(2, seed=k) for k in range(3)), name="stack")
    g = p.site.g
    made = [m.at(p.site) for m in p.found if m.text.startswith("The joined parts are taken")]
    orders = [(1, 0, 2), (2, 1, 0), (0, 2, 1), (2, 1, 0)]
    assert [[list(part) for part in parts] for parts in made] == [[list(g[k]) for k in order] for order in orders]
    others = [(m.slot, list(m.wrong(p.site))) for m in p.found if m.text.startswith("One of the joined parts")]
    assert others == [(i, list(g[j])) for i in range(3) for j in range(3) if j != i]


def test_rows_that_are_picked_get_other_gradients() -> None:
    x, index = values(4, 2), np.array([2, 0, 2])
    p = at(lambda x: x[index], x, name="getitem")
    g = p.site.g

    def rows(*which: Any) -> Array:
        made = np.zeros((4, 2))
        for row, part in which:
            made[row] = part
        return made

    right = rows((2, g[0] + g[2]), (0, g[1]))
    for text, wanted in (
        ("Rows that were picked several times are overwritten", rows((0, g[1]), (2, g[2]))),
        ("Only the first use of rows that were picked", rows((0, g[1]), (2, g[0]))),
        ("The gradients of rows that were picked several times are averaged", rows((0, g[1]), (2, (g[0] + g[2]) / 2))),
        ("The gradient of picked entries is spread", np.full((4, 2), g.mean())),
        ("The gradient of picked rows is put back in reversed", rows((0, g[1]), (2, g[0] + g[2]))),
        ("The gradient of picked rows is put into the first rows", rows(*enumerate(g))),
        ("The gradient of picked rows is put into the last rows", rows(*enumerate(g, 1))),
        ("The gradient of picked entries is put 1 place too far along axis 0.", np.roll(right, 1, 0)),
        ("The gradient of picked entries is put 1 place too early along axis 0.", np.roll(right, -1, 0)),
        ("The gradient of picked entries is put 1 place too far along axis 1.", right[:, ::-1]),
    ):
        np.testing.assert_allclose(p.made(text), wanted, rtol=1e-14, err_msg=text)
    order = np.array([1, 3, 0, 2])
    p = at(lambda x: x[order], x, name="getitem")
    np.testing.assert_allclose(p.made("The gradient is picked by the index once more"), p.site.g[order])
    for where in ("first", "last"):  # all rows, in another order
        np.testing.assert_allclose(p.made(f"The gradient of picked rows is put into the {where} rows"), p.site.g)
    assert texts(p.found, "Rows that were picked", "Only the first use of rows", "The gradients of rows") == []
    np.testing.assert_allclose(p.made("The gradient of picked rows is put back in reversed"),
                               rows(*zip(order, p.site.g[::-1], strict=True)))  # fmt: skip
    part = at(lambda x: x[1:3, 0], x, name="getitem")
    assert texts(part.found, "The gradient is picked", "The gradient of picked rows is put into") == []
    assert texts(at(lambda x: x[1], x, name="getitem").found, "The gradient is picked by") == []


def test_a_mistake_sets_the_gradient_to_0_at_the_picked_entries() -> None:
    x, index = values(3, 4), np.arange(3)

    def f(x: Any) -> Any:
        y = np.sin(x)
        return y.sum() + y[index, index].sum()

    p = at(f, x, name="sin")
    g = p.site.g.copy()
    g[index, index] = 0
    (found,) = p.made("The gradient of the result of sin is set to 0", None)
    np.testing.assert_allclose(found, g * np.cos(x))
    assert texts(at(lambda x: np.sin(x)[index, index], x, name="sin").found, "The gradient of the result") == []
    assert texts(at(lambda x: (lambda y: y.sum() + y[0].sum())(np.sin(x)), x, name="sin").found, "The gradient of the "
                 "result") == []  # fmt: skip


def test_mistakes_undo_a_reordering_in_another_way() -> None:
    x = values(2, 3, 4)
    p = at(lambda x: x.transpose(1, 2, 0), x, name="transpose")
    np.testing.assert_array_equal(p.made("The gradient is reshaped; to undo"), p.site.g.reshape(2, 3, 4))
    np.testing.assert_array_equal(p.made("The axes are permuted a second time"), p.site.g.transpose(1, 2, 0))
    p = at(lambda x: x.reshape(4, 6), x, name="reshape")
    np.testing.assert_array_equal(p.made("The gradient is reshaped in another"), p.site.g.reshape(2, 3, 4, order="F"))
    assert texts(at(lambda x: x.T, values(2, 3), name="transpose").found, "The axes are permuted") == []
    p = at(lambda x: np.cumsum(x, 1), x, name="cumsum")
    np.testing.assert_allclose(p.made("The gradient of a running sum is summed from"), np.cumsum(p.site.g, 1))
    np.testing.assert_allclose(p.made("The gradient of a running sum is not"), p.site.g)
    p = at(lambda x: np.cumsum(x), x, name="cumsum")
    np.testing.assert_allclose(p.made("The gradient of a running sum is summed from"),
                               np.cumsum(p.site.g).reshape(2, 3, 4))  # fmt: skip
    p = at(lambda x: np.roll(x, 1, 2), x, name="roll")
    np.testing.assert_allclose(p.made("The gradient of a roll is rolled in"), np.roll(p.site.g, 1, 2))
    np.testing.assert_allclose(p.made("The gradient of a roll is not"), p.site.g)
