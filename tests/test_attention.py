"""Attention and the transformer block: masks, dropout, weights, against the equations derived by hand.

Values and gradients of PyTorch are in test_layers.py, the primitives in tests/cases/attention.py.
"""

from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, manual
from tinygrad_nn.backward import ancestors
from tinygrad_nn.gradcheck import check_gradients
from tinygrad_nn.nn import MultiHeadAttention, TransformerBlock, functional
from tinygrad_nn.ops.attention import attention, join_heads, self_attention, split_heads, weights
from tinygrad_nn.transforms import pullback

Array = Any
RNG = np.random.default_rng
SAME = 1e-12  # some hundred roundings of numbers near one


def close(found: Array, wanted: Array, tolerance: float = SAME) -> None:
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


# -- The equations derived by hand


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_the_one_derived_by_hand(masked: bool) -> None:
    rng = RNG(0)
    q, k, v, g = (rng.normal(size=shape) for shape in ((2, 4, 6), (2, 4, 6), (2, 4, 10), (2, 4, 10)))
    seen = np.tri(4, dtype=bool) if masked else None
    mask = np.where(seen, 0.0, -np.inf) if masked else 0.0
    split = [split_heads(x, 2) for x in (q, k, v)]  # (batch, heads, time, ...)
    by_hand = manual.attention(*split, seen)
    leaves = [Tensor(x) for x in (q, k, v)]
    out = attention(*leaves, mask, 1.0, heads=2)
    close(split_heads(out.data, 2), by_hand.y)
    found = pullback(out, leaves, g)
    for a, b in zip(found, manual.attention_backward(split_heads(g, 2), *split, by_hand.a), strict=False):
        close(split_heads(a, 2), b)


def test_the_two_primitives_agree_with_each_other_and_with_the_weights() -> None:
    rng = RNG(1)
    qkv, mask = rng.normal(size=(2, 5, 12)), np.where(np.tri(5, dtype=bool), 0.0, -np.inf)
    keep = (rng.random((2, 2, 5, 5)) > 0.3) / 0.7
    q, k, v = np.split(qkv, 3, axis=-1)
    together = self_attention(qkv, mask, keep, heads=2)
    close(together, attention(q, k, v, mask, keep, heads=2))
    looks = weights(split_heads(q, 2), split_heads(k, 2), mask)
    close(looks.sum(axis=-1), np.ones((2, 2, 5)))
    close(split_heads(together, 2), (looks * keep) @ split_heads(v, 2))


# -- Masks


def layer(**options: Any) -> MultiHeadAttention:
    return MultiHeadAttention(8, 2, batch_first=True, rng=0, **options)


def test_masked_positions_get_no_gradient() -> None:
    rng = RNG(2)
    x = Tensor(rng.normal(size=(1, 5, 8)))
    layer()(x, causal=True)[0, 2].sum().backward()
    assert x.grad[0, :3].all()
    assert not x.grad[0, 3:].any()
    x = Tensor(x.data)
    layer()(x, key_padding_mask=np.array([[False, True, False, False, True]]))[0, 0].sum().backward()
    assert [bool(row.any()) for row in x.grad[0]] == [True, False, True, True, False]


def test_masks_of_booleans_and_of_floats_are_the_same_and_add_up() -> None:
    rng = RNG(3)
    x, later = rng.normal(size=(2, 4, 8)), ~np.tri(4, dtype=bool)
    padding = np.array([[False, False, False, True], [False, True, False, False]])
    wanted = layer()(x, causal=True, key_padding_mask=padding).data
    floats = np.where(later, -np.inf, 0.0)
    close(layer()(x, attn_mask=later, key_padding_mask=padding).data, wanted)
    close(layer()(x, attn_mask=floats, key_padding_mask=np.where(padding, -np.inf, 0.0)).data, wanted)
    each = np.broadcast_to(later, (2, 4, 4)) | padding[:, None]
    close(layer()(x, attn_mask=np.repeat(each, 2, axis=0)).data, wanted)  # one for each sample and head
    out, looks = layer()(x, causal=True, key_padding_mask=padding, need_weights=True)
    close(out.data, wanted)
    assert not looks.data[np.broadcast_to(each, looks.shape)].any()
    close(looks.data.sum(axis=-1), np.ones((2, 4)))


def test_a_fully_masked_query_gives_zeros_and_no_gradient() -> None:
    x = Tensor(RNG(4).normal(size=(2, 3, 8)))
    padding = np.array([[True, True, True], [False, False, True]])
    for need in (False, True):
        x.grad = None
        out = layer()(x, key_padding_mask=padding, need_weights=need)
        out = out[0] if need else out
        out.sum().backward()
        assert not out.data[0].any()  # the bias of the output starts at zero
        assert not x.grad[0].any()
        assert np.isfinite(x.grad).all()


def test_a_mask_that_is_added_can_be_learned() -> None:
    x, bias = RNG(5).normal(size=(2, 3, 8)), Tensor(np.zeros((3, 3)))
    layer()(x, attn_mask=bias)[..., 0].sum().backward()
    assert bias.grad.shape == (3, 3)
    close(bias.grad.sum(axis=-1), np.zeros(3))  # a softmax does not see a constant added to a row


def test_large_scores_stay_finite() -> None:
    for dtype in (np.float32, np.float64):
        x = Tensor((1e3 * RNG(6).normal(size=(1, 4, 8))).astype(dtype))
        out = MultiHeadAttention(8, 2, batch_first=True, rng=0, dtype=dtype)(x, causal=True)
        out.sum().backward()
        assert np.isfinite(out.data).all()
        assert np.isfinite(x.grad).all()


# -- Layouts, sequences of other lengths, one step


def test_batch_first_only_swaps_axes() -> None:
    x, other = RNG(7).normal(size=(2, 4, 8)), MultiHeadAttention(8, 2, rng=0)
    close(other(x.swapaxes(0, 1), causal=True).data.swapaxes(0, 1), layer()(x, causal=True).data)


def test_the_layer_itself_and_as_three_sequences_is_the_same() -> None:
    x = RNG(8).normal(size=(2, 4, 8))
    close(layer()(x).data, layer()(x, x.copy(), x.copy()).data)
    close(layer()(x, x[:, :1]).data, np.broadcast_to(layer()(x, x[:, :1]).data[:, :1], x.shape))  # one key for all


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (3, 1), (0, 2)])
def test_shapes_at_the_edges(batch: int, time: int) -> None:
    x = Tensor(np.ones((batch, time, 8)))
    block = TransformerBlock(8, 2, 16, dropout=0.0, batch_first=True, causal=True, rng=0)
    out = block(x)
    out.sum().backward()
    assert out.shape == x.grad.shape == x.shape


def test_attention_is_few_operations() -> None:
    out = layer()(Tensor(np.ones((2, 4, 8))), causal=True)
    assert [node.primitive.name for node in ancestors([out.node]) if node.primitive] == [
        "affine", "self_attention", "affine"
    ]  # fmt: skip


# -- Dropout


def test_dropout_is_fresh_in_training_only_and_keeps_the_mean() -> None:
    x = RNG(9).normal(size=(3, 5, 8))
    dropping = layer(dropout=0.4)
    first = dropping(x).data
    assert not np.allclose(first, dropping(x).data)
    close(dropping.eval()(x).data, layer()(x).data)
    dropping.train().seed(1)
    once, again = dropping(x).data, dropping.seed(1)(x).data
    assert np.array_equal(once, again)
    _, looks = dropping(np.ones((200, 5, 8)), need_weights=True)
    assert looks.data.mean() == pytest.approx(1 / 5, rel=0.03)
    assert set(np.unique(looks.data.round(6))) <= {0.0, round(1 / 6, 6), round(1 / 3, 6)}


def test_a_block_drops_in_training_only() -> None:
    x = RNG(10).normal(size=(5, 2, 8))
    for first in (False, True):
        block = TransformerBlock(8, 2, 16, dropout=0.5, norm_first=first, rng=0)
        assert not np.allclose(block(x).data, block(x).data)
        block.eval()
        assert np.array_equal(block(x).data, block(x).data)
        same = TransformerBlock(8, 2, 16, dropout=0.0, norm_first=first, rng=0)
        assert np.array_equal(block(x).data, same(x).data)


def test_a_causal_block_cannot_see_the_future() -> None:
    rng = RNG(11)
    block = TransformerBlock(8, 2, 16, 0.0, "gelu", norm_first=True, causal=True, batch_first=True, rng=0)
    x = rng.normal(size=(1, 6, 8))
    changed = np.concatenate([x[:, :4], rng.normal(size=(1, 2, 8))], axis=1)
    close(block(x).data[:, :4], block(changed).data[:, :4])
    assert not np.allclose(block(x).data[:, 4:], block(changed).data[:, 4:])


def test_a_function_may_be_the_activation() -> None:
    x = RNG(12).normal(size=(3, 2, 8))
    block = TransformerBlock(8, 2, 16, 0.0, np.sin, rng=0)
    assert not np.allclose(block(x).data, TransformerBlock(8, 2, 16, 0.0, rng=0)(x).data)


def test_initial_weights_are_those_of_pytorch() -> None:
    state = MultiHeadAttention(64, 2, rng=0).state_dict()
    for name, limit in (("in_proj_weight", (6 / 256) ** 0.5), ("out_proj.weight", 1 / 8)):
        assert 0.95 * limit < np.abs(state[name]).max() <= limit
        assert state[name].var() == pytest.approx(limit**2 / 3, rel=0.05)
    assert not state["in_proj_bias"].any()
    assert not state["out_proj.bias"].any()


# -- What is refused


@pytest.mark.parametrize(("shapes", "options", "message"), [
    (((2, 4, 7),), {}, r"query needs shape \(batch, time, 8\); it has \(2, 4, 7\)"),
    (((4, 8),), {}, r"query needs shape \(batch, time, 8\); it has \(4, 8\)"),
    (((2, 4, 8), (3, 4, 8)), {}, r"the same batch; query has shape \(2, 4, 8\), key \(3, 4, 8\)"),
    (((2, 4, 8), (2, 3, 8), (2, 5, 8)), {}, r"the same times.*value \(2, 5, 8\)"),
    (((2, 4, 8),), {"attn_mask": np.ones((4, 3), bool)},
     r"attn_mask needs shape \(4, 4\) or \(4, 4, 4\); it has \(4, 3\)"),
    (((2, 4, 8),), {"key_padding_mask": np.ones((4, 2), bool)},
     r"key_padding_mask needs shape \(2, 4\); it has \(4, 2\)"),
    (((2, 4, 8),), {"attn_mask": np.ones((4, 4), int)}, r"attn_mask must be of booleans.*it holds int64"),
])  # fmt: skip
def test_wrong_shapes_are_refused(shapes: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"in MultiHeadAttention: MultiHeadAttention.*{message}"):
        layer()(*(np.ones(shape) for shape in shapes), **options)


def test_a_wrong_shape_inside_a_block_names_the_part() -> None:
    block = TransformerBlock(8, 2, 16, rng=0)
    with pytest.raises(ValueError, match=r"in TransformerBlock\.self_attn: .*\(3, 2, 7\)"):
        block(np.ones((3, 2, 7)))
    with pytest.raises(ValueError, match="8 columns cannot be divided into 3 heads"):
        TransformerBlock(8, 3, 16)
    with pytest.raises(ValueError, match=r"dropout=1\.5"):
        MultiHeadAttention(8, 2, 1.5)


@pytest.mark.parametrize(
    ("query", "key", "value", "mask"),
    [
        ((2, 3, 4), (2, 5, 4), (7, 2, 5, 4), ()), ((2, 3, 4), (2, 5, 4), (7, 1, 5, 4), (2, 3, 5)),
        ((3, 4), (5, 4), (2, 5, 4), ()), ((7, 2, 3, 4), (2, 5, 4), (5, 4), ()),
        ((1, 3, 4), (5, 4), (2, 5, 4), (2, 2, 3, 5)), ((2, 3, 4), (2, 5, 4), (7, 2, 5, 4), (7, 1, 2, 3, 5)),
    ],
)  # fmt: skip
def test_axes_in_front_broadcast(query: Any, key: Any, value: Any, mask: Any) -> None:
    rng = RNG(0)
    arrays = [rng.normal(size=shape) for shape in (query, key, value)]
    added = rng.normal(size=mask) if mask else 0.0
    assert check_gradients(lambda *x: attention(*x, added, 1.0, heads=2), *arrays, entries=0).ok
    found = attention(*arrays, added, 1.0, heads=2)
    looks = weights(split_heads(arrays[0], 2), split_heads(arrays[1], 2), added)
    np.testing.assert_allclose(found, join_heads(looks @ split_heads(arrays[2], 2)), rtol=SAME, atol=SAME)
    if mask:
        assert check_gradients(lambda m: attention(*arrays, m, 1.0, heads=2), added, entries=0).ok


def test_values_may_have_more_axes_in_front() -> None:
    q, k, v = (RNG(0).normal(size=shape) for shape in ((2, 3, 4), (2, 5, 4), (7, 2, 5, 6)))
    found = functional.scaled_dot_product_attention(q, k, v)
    wanted = np.stack([functional.scaled_dot_product_attention(q, k, row) for row in v])
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3, 4), (2, 5, 4), (3, 5, 6)), r"key \(2, 5, 4\), value \(3, 5, 6\); the axes in front of"),
        (((3, 3, 4), (2, 5, 4), (2, 5, 6)), r"need to broadcast: .* Write x\[:, None\] to add an axis of length 1"),
        (((2, 3, 4), (2, 5, 4), (2, 4, 6)), r"value needs 5 rows, one for each key. Write value.swapaxes\(-1, -2\) if"),
        (((2, 3, 4), (2, 5, 3), (2, 5, 6)), r"key needs 4 columns, as many as query. Write key.swapaxes"),
        (((4,), (5, 4), (5, 6)), r"need two axes or more, \(..., rows, columns\). Write x\[None\] for one row"),
        (((2, 3, 4), (2, 5, 4), (2, 5, 6), (4, 5)), r"attn_mask \(4, 5\); attn_mask needs to broadcast to .* 3, 5\)"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_raise(shapes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        functional.scaled_dot_product_attention(*map(np.ones, shapes))
