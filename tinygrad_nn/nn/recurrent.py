"""Recurrent layers: the plain RNN, the LSTM and the GRU, with several layers and both directions, and their cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arguments import as_generator
from ..ops.neural import affine
from ..ops.recurrent import gru_states, lstm_states, rnn_states
from ..tensor import Tensor, raw
from .dropout import dropout_mask
from .keywords import pytorch_names
from .linear import as_input, check_count, parameter
from .module import Module

if TYPE_CHECKING:
    from .init import Rng

_PYTORCH = {"input_size": "n_in", "hidden_size": "n_hidden", "num_layers": "layers"}
_FIXED = {"proj_size": (0, "put a Linear after the layer")}
_SEQUENCE = "{layer!r} takes {axes}, with at least one time step; x has shape {shape}.{hint}"
_STATE = "{layer!r} starts from a {name} of shape {need} (layers times directions, batch, n_hidden); it got {got}."
_CELL_STATE = "{cell!r} starts from a state {name} of shape {need} (batch, n_hidden); it got {got}."
_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@pytorch_names(_FIXED, "proj_size device dtype", **_PYTORCH)
class Recurrent(Module):
    """Base of the three recurrent layers; use `RNN`, `LSTM` or `GRU`.

    Args:
        n_in, n_hidden: numbers of columns of the input and of the state.
        layers: number of layers; each takes the states of the one before as its input.
        bias: whether there are biases.
        batch_first: whether sequences are ``(batch, time, n)`` rather than ``(time, batch, n)``, as in PyTorch.
        dropout: the share of the states between layers that is set to zero in training.
        bidirectional: whether each layer has a second one that runs from the last time to the first.
        rng: a Generator or a seed, for initial weights and dropout; ``None`` draws different ones each time.
        dtype: of the parameters, ``float`` or ``np.float32``.

    Attributes:
        weight_ih_l0, weight_hh_l0: ``(gates * n_hidden, n_in)`` and ``(gates * n_hidden, n_hidden)``; ``_l1`` and so
            on for further layers, ``_l0_reverse`` for the reverse direction.
        bias_ih_l0, bias_hh_l0: ``(gates * n_hidden,)``; both are added, as in PyTorch.

    Raises:
        ValueError: from a call, if x or the state has another shape.
    """

    gates = 1
    state_names: tuple[str, ...] = ("h_0",)

    def __init__(
        self, n_in: int, n_hidden: int, layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, *, rng: Rng = None, dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        self.n_in, self.n_hidden = check_count(name, "n_in", n_in), check_count(name, "n_hidden", n_hidden)
        self.layers, self.batch_first, self.dropout = (
            check_count(name, "layers", layers),
            bool(batch_first),
            float(dropout),
        )
        if not 0 <= dropout < 1:
            raise ValueError(f"{name}: dropout={dropout!r}; the dropped share must be at least 0 and below 1.")
        self.rng = as_generator(rng)
        self.bidirectional = bool(bidirectional)
        self._ends, self._dtype = ("", "_reverse") if bidirectional else ("",), np.dtype(dtype)
        limit, rows = self.n_hidden**-0.5, self.gates * self.n_hidden
        for layer in range(self.layers):
            columns = self.n_hidden * len(self._ends) if layer else self.n_in
            for end in self._ends:
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, columns), "weight_hh": (rows, self.n_hidden)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                for kind, shape in shapes.items():
                    setattr(self, f"{kind}_l{layer}{end}", parameter(self.rng.uniform(-limit, limit, shape), dtype))

    def forward(self, x: Any, state: Any = None) -> tuple[Tensor, Any]:
        """Return the states of the last layer at all times, and the final states of all layers.

        Args:
            x: ``(time, batch, n_in)``, or ``(batch, time, n_in)`` if `batch_first`.
            state: the initial state, ``(layers * directions, batch, n_hidden)``, for an LSTM a pair (h, c) of these; by
                default zero.

        Returns:
            ``(time, batch, directions * n_hidden)``, or batch first as x; and the final state, in the form of `state`.
        """
        x = as_input(x, self._dtype)
        if x.ndim != 3 or x.shape[2] != self.n_in or x.shape[1 if self.batch_first else 0] == 0:
            axes = f"(batch, time, {self.n_in})" if self.batch_first else f"(time, batch, {self.n_in})"
            hint = f" One sequence alone is x[{'None' if self.batch_first else ':, None'}]." if x.ndim == 2 else ""
            raise ValueError(_SEQUENCE.format(layer=self, axes=axes, shape=x.shape, hint=hint))
        x = x.swapaxes(0, 1) if self.batch_first else x
        starts, ends = self._starts(state, x.shape[1], x.dtype), list[tuple[Any, ...]]()
        for layer in range(self.layers):
            if layer and self.training and self.dropout:
                x = x * dropout_mask(self.rng, self.dropout, x.shape, x)
            outs = []
            for end in self._ends:
                p = {kind: getattr(self, f"{kind}_l{layer}{end}", None) for kind in _KINDS}
                out, last = self._run(x[::-1] if end else x, p, starts[len(ends)])
                outs.append(out[::-1] if end else out)
                ends.append(last)
            x = outs[0] if len(outs) == 1 else np.concatenate(outs, axis=-1)
        finals = tuple(np.stack(parts) for parts in zip(*ends, strict=True))
        return x.swapaxes(0, 1) if self.batch_first else x, finals if len(finals) > 1 else finals[0]

    def _run(self, x: Any, p: dict[str, Any], start: Any) -> tuple[Any, tuple[Any, ...]]:
        """Return one layer's states in one direction, (time, batch, n_hidden), and the final state, (h,) or (h, c)."""
        raise NotImplementedError

    def _starts(self, state: Any, batch: int, dtype: Any) -> list[tuple[Any, ...]]:
        """Return the initial state of each layer and direction, each as (h,) or (h, c)."""
        each = self.layers * len(self._ends)
        need = (each, batch, self.n_hidden)
        if state is None:
            zero = np.zeros(need[1:], dtype)
            return [(zero,) * len(self.state_names)] * each
        parts = (state,) if len(self.state_names) == 1 else state
        if not isinstance(parts, (tuple, list)) or len(parts) != len(self.state_names):
            raise ValueError(f"{self!r} starts from a pair ({', '.join(self.state_names)}); it got {_came(parts)}.")
        parts = [as_input(part, dtype) for part in parts]
        for name, part in zip(self.state_names, parts, strict=True):
            if part.shape != need:
                raise ValueError(_STATE.format(layer=self, name=name, need=need, got=part.shape))
        return [tuple(part[i] for part in parts) for i in range(each)]

    def about(self) -> str:
        """Return the widths, and the options that differ from their defaults."""
        options = (
            f", layers={self.layers}" * (self.layers > 1) + ", bias=False" * (not hasattr(self, "bias_ih_l0"))
            + ", batch_first=True" * self.batch_first + f", dropout={self.dropout:g}" * (self.dropout > 0)
            + ", bidirectional=True" * (len(self._ends) > 1)
        )  # fmt: skip
        return f"{self.n_in}, {self.n_hidden}{options}"


def _bias(p: dict[str, Any]) -> Any:
    """Return the sum of the two biases, or 0."""
    return 0.0 if p["bias_ih"] is None else p["bias_ih"] + p["bias_hh"]


@pytorch_names(_FIXED, "bias batch_first dropout bidirectional device dtype", **_PYTORCH)
class RNN(Recurrent):
    r"""A plain recurrent network.

    .. math:: h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})

    Args:
        n_in, n_hidden, layers, bias, batch_first, dropout, bidirectional, rng, dtype: see `Recurrent`.
        nonlinearity: ``'tanh'`` or ``'relu'``.

    Source: Elman, Finding structure in time (1990); names, layout and initial weights of PyTorch.

    Example:
        >>> out, last = RNN(3, 5, layers=2, rng=0)(np.ones((7, 4, 3)))
        >>> out.shape, last.shape
        ((7, 4, 5), (2, 4, 5))
    """

    def __init__(self, n_in: int, n_hidden: int, layers: int = 1, nonlinearity: str = "tanh", **options: Any) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity={nonlinearity!r}; known are 'tanh' and 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__(n_in, n_hidden, layers, **options)

    def _run(self, x: Any, p: dict[str, Any], start: Any) -> tuple[Any, tuple[Any, ...]]:
        z = affine(x, p["weight_ih"], _bias(p))
        h = rnn_states(z, p["weight_hh"], *start, activation=self.nonlinearity)
        return h, (h[-1],)


class LSTM(Recurrent):
    r"""A long short-term memory.

    .. math:: c_t = f_t \odot c_{t-1} + i_t \odot g_t, \qquad h_t = o_t \odot \tanh c_t

    The gates i, f, o are sigmoids, and the candidate g is a tanh, of ``W_ih x_t + b_ih + W_hh h + b_hh``; the rows
    of the weights are in the order i, f, g, o. The final state is a pair (h, c).

    Args:
        n_in, n_hidden, layers, bias, batch_first, dropout, bidirectional, rng, dtype: see `Recurrent`.

    Source: Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins, Learning to forget (2000); names, layout and
    initial weights of PyTorch.

    Example:
        >>> out, (h, c) = LSTM(3, 5, bidirectional=True, batch_first=True, rng=0)(np.ones((4, 7, 3)))
        >>> out.shape, h.shape, c.shape
        ((4, 7, 10), (2, 4, 5), (2, 4, 5))
    """

    gates = 4
    state_names = ("h_0", "c_0")

    def _run(self, x: Any, p: dict[str, Any], start: Any) -> tuple[Any, tuple[Any, ...]]:
        states = lstm_states(affine(x, p["weight_ih"], _bias(p)), p["weight_hh"], *start)  # (time + 1, batch, n)
        return states[:-1], (states[-2], states[-1])


class GRU(Recurrent):
    r"""A gated recurrent unit.

    .. math:: h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}, \qquad
              n_t = \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn}))

    The gates r and z are sigmoids; the rows of the weights are in the order r, z, n.

    Args:
        n_in, n_hidden, layers, bias, batch_first, dropout, bidirectional, rng, dtype: see `Recurrent`.

    Source: Cho et al., Learning phrase representations using RNN encoder-decoder (2014); names, layout, initial weights
    and the place of the reset gate, after the matrix product, are those of PyTorch.

    Example:
        >>> out, last = GRU(3, 5, rng=0)(np.ones((7, 4, 3)))
        >>> bool((out.data[-1] == last.data[0]).all())
        True
    """

    gates = 3

    def _run(self, x: Any, p: dict[str, Any], start: Any) -> tuple[Any, tuple[Any, ...]]:
        b_ih, b_hh = (0.0 if p[kind] is None else p[kind] for kind in ("bias_ih", "bias_hh"))
        h = gru_states(affine(x, p["weight_ih"], b_ih), p["weight_hh"], b_hh, *start)
        return h, (h[-1],)


def _came(state: Any) -> str:
    """Return what was given as a state, for an error message."""
    if isinstance(state, (tuple, list)):
        return f"a {type(state).__name__} of {len(state)}"
    return f"an array of shape {np.shape(raw(state))}" if hasattr(state, "shape") else f"{state!r:.60}"


@pytorch_names(None, "device dtype", input_size="n_in", hidden_size="n_hidden")
class _Cell(Module):
    """Base of the cells: one step of a recurrent layer; the layer has the equations, the cell the parameters."""

    kind: type[Recurrent] = RNN
    weight_ih: Tensor
    bias_ih: Tensor | None

    def __init__(
        self, n_in: int, n_hidden: int, bias: bool = True, *, rng: Rng = None, dtype: Any = np.float64
    ) -> None:
        self._make(n_in, n_hidden, bias=bias, rng=rng, dtype=dtype)

    def _make(self, n_in: int, n_hidden: int, **options: Any) -> None:
        self._layer = self.kind(n_in, n_hidden, **options)
        self.n_in, self.n_hidden = self._layer.n_in, self._layer.n_hidden
        for name in _KINDS:  # out of the layer, so that a parameter put into the cell is the one that is used
            setattr(self, name, vars(self._layer).pop(f"{name}_l0", None))

    def forward(self, x: Any, state: Any = None) -> Any:
        """Return the next state, ``(batch, n_hidden)``; for an LSTM the pair (h, c).

        Args:
            x: ``(batch, n_in)``.
            state: the current state, in the form of the result; by default zero.
        """
        x = as_input(x, self.weight_ih.dtype)
        if x.ndim != 2 or x.shape[1] != self.n_in:
            hint = " One sample alone is x[None]." * (x.shape == (self.n_in,))
            raise ValueError(f"{self!r} takes (batch, {self.n_in}), one time step; x has shape {x.shape}.{hint}")
        names = self._layer.state_names
        if state is None:
            parts = [np.zeros((x.shape[0], self.n_hidden), x.dtype)] * len(names)
        elif len(names) > 1 and not (isinstance(state, (tuple, list)) and len(state) == len(names)):
            raise ValueError(f"{self!r} starts from a pair (h, c); it got {_came(state)}.")
        else:
            parts = [as_input(part, x.dtype) for part in (state if len(names) > 1 else (state,))]
        for name, part in zip(names, parts, strict=True):
            if part.shape != (need := (x.shape[0], self.n_hidden)):
                raise ValueError(_CELL_STATE.format(cell=self, name=name[0], need=need, got=part.shape))
        _, last = self._layer._run(x[None], {kind: getattr(self, kind) for kind in _KINDS}, tuple(parts))
        return last if len(names) > 1 else last[0]

    def about(self) -> str:
        """Return the widths."""
        return f"{self.n_in}, {self.n_hidden}" + ", bias=False" * (self.bias_ih is None)


@pytorch_names(None, "device dtype", input_size="n_in", hidden_size="n_hidden")
class RNNCell(_Cell):
    """One step of an `RNN`: takes an input and a state and returns the next state.

    Args:
        n_in, n_hidden, bias, rng, dtype: see `Recurrent`.
        nonlinearity: ``'tanh'`` or ``'relu'``.

    Example:
        >>> RNNCell(3, 5, rng=0)(np.ones((4, 3))).shape
        (4, 5)
    """

    def __init__(
        self, n_in: int, n_hidden: int, bias: bool = True, nonlinearity: str = "tanh", *, rng: Rng = None,
        dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        self._make(n_in, n_hidden, bias=bias, nonlinearity=nonlinearity, rng=rng, dtype=dtype)


class LSTMCell(_Cell):
    """One step of an `LSTM`: takes an input and a pair (h, c) and returns the next pair; arguments as in `RNNCell`.

    Example:
        >>> h, c = LSTMCell(3, 5, rng=0)(np.ones((4, 3)))
        >>> h.shape, c.shape
        ((4, 5), (4, 5))
    """

    kind = LSTM


class GRUCell(_Cell):
    """One step of a `GRU`: takes an input and a state and returns the next state; arguments as in `RNNCell`.

    Example:
        >>> GRUCell(3, 5, rng=0)(np.ones((4, 3))).shape
        (4, 5)
    """

    kind = GRU
