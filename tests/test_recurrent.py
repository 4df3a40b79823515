"""Recurrent layers: several, in both directions, from a state, with dropout; against the equations derived by hand.

Values and gradients of PyTorch are in test_layers.py, the primitives in tests/cases/recurrent.py.
"""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, compile, grad, manual, nn, vmap
from tinygrad_nn.backward import ancestors
from tinygrad_nn.nn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from tinygrad_nn.pytorch.derivatives import functional_call

Array = Any
KINDS = [RNN, LSTM, GRU]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
RNG = np.random.default_rng
SAME = 1e-12  # some hundred roundings of numbers near one


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=SAME, atol=SAME)


def parts(state: Any) -> list[Tensor]:
    return list(state) if isinstance(state, tuple) else [state]


def drawn(kind: type, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    states = [rng.normal(size=shape) for _ in kind.state_names]
    return tuple(states) if len(states) > 1 else states[0]


# -- The equations derived by hand


def test_an_lstm_is_the_one_derived_by_hand() -> None:
    rng = RNG(0)
    x, h0, c0 = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 4)), rng.normal(size=(2, 4))
    g, g_c = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 4))
    layer = LSTM(3, 4, batch_first=True, rng=1)
    W_x, W_h, b = layer.weight_ih_l0.data, layer.weight_hh_l0.data, layer.bias_ih_l0.data + layer.bias_hh_l0.data
    by_hand = manual.lstm(x, h0, c0, W_x, W_h, b)
    leaves = [Tensor(x), Tensor(h0[None]), Tensor(c0[None])]
    out, (h, c) = layer(leaves[0], (leaves[1], leaves[2]))
    close(out.data, by_hand.h)
    close(h.data[0], by_hand.h[:, -1])
    close(c.data[0], by_hand.c[:, -1])
    ((out * g).sum() + (c[0] * g_c).sum()).backward()
    wanted = manual.lstm_backward(g, x, h0, c0, W_x, W_h, *by_hand, g_c=g_c)
    found = [leaves[0].grad, leaves[1].grad[0], leaves[2].grad[0], layer.weight_ih_l0.grad, layer.weight_hh_l0.grad,
             layer.bias_ih_l0.grad]  # fmt: skip
    for a, b in zip(found, wanted, strict=False):
        close(a, b)


def test_an_rnn_is_the_one_derived_by_hand() -> None:
    rng = RNG(0)
    x, h0, g = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 4)), rng.normal(size=(2, 5, 4))
    layer = RNN(3, 4, batch_first=True, rng=1)
    W_x, W_h, b = layer.weight_ih_l0.data, layer.weight_hh_l0.data, layer.bias_ih_l0.data + layer.bias_hh_l0.data
    by_hand = manual.rnn(x, h0, W_x, W_h, b)
    leaves = [Tensor(x), Tensor(h0[None])]
    out, _ = layer(*leaves)
    close(out.data, by_hand.h)
    out.backward(g)
    wanted = manual.rnn_backward(g, x, h0, W_x, W_h, *by_hand)
    found = [leaves[0].grad, leaves[1].grad[0], layer.weight_ih_l0.grad, layer.weight_hh_l0.grad, layer.bias_hh_l0.grad]
    for a, b in zip(found, wanted, strict=False):
        close(a, b)


# -- Layers, directions, layouts


@each_kind
def test_a_sequence_may_be_split_anywhere(kind: type) -> None:
    x, layer = RNG(0).normal(size=(7, 2, 3)), kind(3, 4, 2, rng=1)
    whole, last = layer(x)
    first, state = layer(x[:3])
    second, end = layer(x[3:], state)
    close(np.concatenate([first.data, second.data]), whole.data)
    for a, b in zip(parts(end), parts(last), strict=True):
        close(a.data, b.data)


@each_kind
def test_both_directions_are_two_layers_of_which_one_reads_backwards(kind: type) -> None:
    x, both = RNG(0).normal(size=(5, 2, 3)), kind(3, 4, bidirectional=True, rng=1)
    state = both.state_dict()
    forth, back = kind(3, 4), kind(3, 4)
    forth.load_state_dict({name: a for name, a in state.items() if not name.endswith("_reverse")})
    back.load_state_dict({name.removesuffix("_reverse"): a for name, a in state.items() if name.endswith("_reverse")})
    out, last = both(x)
    close(out.data, np.concatenate([forth(x)[0].data, back(x[::-1])[0].data[::-1]], axis=-1))
    for a, b, c in zip(parts(last), parts(forth(x)[1]), parts(back(x[::-1])[1]), strict=True):
        close(a.data, np.concatenate([b.data, c.data]))


@each_kind
def test_batch_first_only_swaps_axes(kind: type) -> None:
    x, rng = RNG(0).normal(size=(5, 2, 3)), RNG(3)
    plain = kind(3, 4, 2, bidirectional=True, rng=1)
    swapped = kind(3, 4, 2, bidirectional=True, batch_first=True, rng=1)
    start = drawn(kind, (4, 2, 4), rng)
    (a, ends_a), (b, ends_b) = plain(x, start), swapped(x.swapaxes(0, 1), start)
    close(a.data, b.data.swapaxes(0, 1))
    for one, other in zip(parts(ends_a), parts(ends_b), strict=True):
        close(one.data, other.data)


@each_kind
def test_shapes_at_the_edges(kind: type) -> None:
    for time, batch, n_in, n in ((1, 1, 1, 1), (1, 3, 2, 4), (4, 0, 2, 3)):
        layer, x = kind(n_in, n, 2, bidirectional=True, rng=0), Tensor(np.ones((time, batch, n_in)))
        out, last = layer(x)
        assert out.shape == (time, batch, 2 * n)
        assert all(part.shape == (4, batch, n) for part in parts(last))
        out.sum().backward()
        assert x.grad.shape == x.shape


@each_kind
def test_a_long_sequence_is_a_handful_of_operations(kind: type) -> None:
    layer = kind(3, 4, rng=0)
    counts = [len(ancestors([layer(np.ones((time, 2, 3)))[0].node])) for time in (3, 300)]
    assert counts[0] == counts[1] < 12


@each_kind
def test_a_long_sequence_stays_finite_whatever_the_input(kind: type) -> None:
    layer = kind(2, 3, rng=0)
    for dtype in (np.float32, np.float64):
        x = Tensor(np.full((50, 2, 2), 1e4, dtype) * np.array([1, -1], dtype))
        out, _ = kind(2, 3, rng=0, dtype=dtype)(x)
        out.sum().backward()
        assert np.isfinite(out.data).all()
        assert np.isfinite(x.grad).all()
    assert layer.weight_ih_l0.grad is None


# -- Dropout


@each_kind
def test_dropout_is_fresh_between_layers_in_training_only(kind: type) -> None:
    x, layer = RNG(0).normal(size=(4, 2, 3)), kind(3, 50, 2, dropout=0.5, rng=1)
    plain = kind(3, 50, 2, rng=1)
    first, second = layer(x)[0].data, layer(x)[0].data
    assert not np.allclose(first, second)
    assert not np.allclose(first, plain(x)[0].data)
    assert np.array_equal(layer.eval()(x)[0].data, plain(x)[0].data)
    layer.train().seed(5)
    again = layer(x)[0].data
    assert np.array_equal(layer.seed(5)(x)[0].data, again)
    one = kind(3, 4, dropout=0.5, rng=1)  # nothing to stand between
    assert np.array_equal(one(x)[0].data, one(x)[0].data)


# -- The cells: one step of a layer, with parameters of their own

CELLS = {RNN: RNNCell, LSTM: LSTMCell, GRU: GRUCell}
INPUT, STATE = RNG(1).normal(size=(2, 3)), RNG(2).normal(size=(2, 2, 4))


def weights_of(kind: type, seed: int) -> dict[str, Array]:
    return {name: p.data for name, p in CELLS[kind](3, 4, rng=seed).named_parameters()}


def step_of_layer(kind: type, weights: dict[str, Array]) -> Array:
    """The next state, of an LSTM both parts in one array, by a layer with these parameters."""
    layer = kind(3, 4, rng=0)
    layer.load_state_dict({f"{name}_l0": w for name, w in weights.items()})
    states = [s[None] for s in STATE[: len(kind.state_names)]]
    _, last = layer(INPUT[None], tuple(states) if len(states) > 1 else states[0])
    return np.concatenate([part.data[0] for part in parts(last)])


def step_of_cell(cell: Any, weights: Any = None) -> Any:
    state = tuple(STATE) if isinstance(cell, LSTMCell) else STATE[0]
    new = cell(INPUT, state) if weights is None else functional_call(cell, weights, (INPUT, state))
    return np.concatenate(parts(new))


@each_kind
def test_a_cell_computes_with_the_parameters_that_it_has_now(kind: type) -> None:
    cell, first, second = CELLS[kind](3, 4, rng=0), weights_of(kind, 1), weights_of(kind, 2)
    cell.load_state_dict(first)
    close(step_of_cell(cell).data, step_of_layer(kind, first))
    close(step_of_cell(cell, second).data, step_of_layer(kind, second))
    close(step_of_cell(cell).data, step_of_layer(kind, first))  # the call above changed nothing
    for name, w in second.items():
        setattr(cell, name, nn.Parameter(w))
    close(step_of_cell(cell).data, step_of_layer(kind, second))
    step_of_cell(cell).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in cell.parameters())


@each_kind
def test_a_cell_holds_no_parameter_that_was_replaced(kind: type) -> None:
    cell = CELLS[kind](3, 4, rng=0)
    before = weakref.ref(cell.weight_ih)
    cell.weight_ih = nn.Parameter(cell.weight_ih.data)
    gc.collect()
    assert before() is None


@each_kind
def test_the_parameters_of_a_cell_may_be_arguments(kind: type) -> None:
    cell, first, second = CELLS[kind](3, 4, rng=0), weights_of(kind, 1), weights_of(kind, 2)
    both = {name: np.stack([first[name], second[name]]) for name in first}
    states = vmap(lambda w: step_of_cell(cell, w))(both)
    close(states, np.stack([step_of_layer(kind, first), step_of_layer(kind, second)]))
    slopes = grad(lambda w: (step_of_cell(cell, w) ** 2).sum())
    cell.load_state_dict(second)
    (step_of_cell(cell) ** 2).sum().backward()
    quick = compile(slopes, backend="numpy")
    quick.plan(first)  # raises if there is none
    for name, g in quick(second).items():
        close(g, dict(cell.named_parameters())[name].grad)
        close(g, slopes(second)[name])


# -- What is refused


@pytest.mark.parametrize(("layer", "x", "state", "message"), [
    (LSTM(3, 4), np.ones((5, 2, 4)), None,
     r"LSTM\(3, 4\) takes \(time, batch, 3\), with at least one time step; x has shape \(5, 2, 4\)"),
    (GRU(3, 4), np.ones((5, 3)), None, r"x has shape \(5, 3\). One sequence alone is x\[:, None\]"),
    (GRU(3, 4, batch_first=True), np.ones((5, 3)), None, r"takes \(batch, time, 3\).*One sequence alone is x\[None\]"),
    (RNN(3, 4), np.ones((0, 2, 3)), None, r"at least one time step; x has shape \(0, 2, 3\)"),
    (RNN(3, 4, 2), np.ones((5, 2, 3)), np.ones((1, 2, 4)), r"h_0 of shape \(2, 2, 4\).*it got \(1, 2, 4\)"),
    (LSTM(3, 4), np.ones((5, 2, 3)), np.ones((1, 2, 4)), r"starts from a pair \(h_0, c_0\)"),
    (LSTM(3, 4), np.ones((5, 2, 3)), (np.ones((1, 2, 4)), np.ones((1, 2, 3))),
     r"c_0 of shape \(1, 2, 4\).*\(1, 2, 3\)"),
    (GRUCell(3, 4), np.ones((2, 3)), np.ones((1, 4)),
     r"GRUCell\(3, 4\) starts from a state h of shape \(2, 4\) \(batch, n_hidden\); it got \(1, 4\)"),
    (LSTMCell(3, 4), np.ones((2, 3)), (np.ones((2, 4)), np.ones((2, 3))),
     r"a state c of shape \(2, 4\).*\(2, 3\)"),
])  # fmt: skip
def test_wrong_shapes_are_refused(layer: Any, x: Array, state: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"in {type(layer).__name__}[^:]*: .*{message}"):
        layer(x, state)


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="known are 'tanh' and 'relu'"):
        RNN(3, 4, nonlinearity="sigmoid")
    with pytest.raises(ValueError, match=r"dropout=1\.0; the dropped share"):
        LSTM(3, 4, dropout=1.0)
    with pytest.raises(ValueError, match="layers=0"):
        GRU(3, 4, 0)
