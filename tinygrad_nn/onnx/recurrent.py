"""The recurrent ONNX operators RNN, LSTM and GRU, in one or two directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..ops.activations import elu, softsign
from ..ops.neural import leaky_relu, relu, sigmoid
from ..ops.special import softplus
from ..tensor import raw
from .attributes import Function, Node

# name -> function of x, alpha and beta, and the defaults of alpha and beta; None if it does not have that number
ACTIVATIONS: dict[str, tuple[Function, float | None, float | None]] = {
    "Relu": (lambda x, a, b: relu(x), None, None), "Tanh": (lambda x, a, b: np.tanh(x), None, None),
    "Sigmoid": (lambda x, a, b: sigmoid(x), None, None), "Softsign": (lambda x, a, b: softsign(x), None, None),
    "Softplus": (lambda x, a, b: softplus(x), None, None), "Affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "LeakyRelu": (lambda x, a, b: leaky_relu(x, alpha=a), 0.01, None),
    "ThresholdedRelu": (lambda x, a, b: np.where(raw(x) > a, x, 0.0 * x), 1.0, None),
    "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0), "Elu": (lambda x, a, b: elu(x, alpha=a), 1.0, None),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0.0, 1.0), 0.2, 0.5),
}  # fmt: skip


class _Cell(NamedTuple):
    """What a step of one direction uses: R, the bias of the state, the peepholes, and the activations in order."""

    R: Any
    bias: Any
    peepholes: Any
    activations: list[Function]


Step = Callable[[Any, list[Any], _Cell], list[Any]]


def _activations(node: Node, usual: list[str], directions: int) -> list[Function]:
    """Return the activations of all directions, each with its alpha and beta, on an input that is clipped if asked."""
    names = getattr(node, "activations", usual * directions)[: len(usual) * directions]
    if len(names) != len(usual) * directions or set(names) - set(ACTIVATIONS):
        raise NotImplementedError(
            f"the attribute activations={names} is not supported; {len(usual)} for each direction are, of "
            f"{', '.join(sorted(ACTIVATIONS))}"
        )
    alphas, betas = list(getattr(node, "activation_alpha", [])), list(getattr(node, "activation_beta", []))
    clip, found = getattr(node, "clip", None), []
    for k, name in enumerate(names):
        function, a, b = ACTIVATIONS[name]
        if name in ("Affine", "ScaledTanh") and not (alphas and betas):
            raise NotImplementedError(f"the activation {name} is not supported without activation_alpha and _beta")
        a = alphas.pop(0) if alphas and a is not None else a  # used up in order by the activations that have one
        b = betas.pop(0) if betas and b is not None else b
        # the state that an LSTM outputs, through its third activation, is not clipped; nor does onnxruntime
        found.append(_activation(function, a, b, None if k % len(usual) == 2 else clip))
    if alphas or betas:
        raise NotImplementedError(
            f"activation_alpha or activation_beta with more numbers than the activations {names} use is not supported"
        )
    return found


def _activation(function: Function, a: float | None, b: float | None, clip: float | None) -> Function:
    return lambda x: function(x if clip is None else np.clip(x, -clip, clip), a, b)


def _recurrent(
    node: Node, step: Step, x: Any, W: Any, R: Any, B: Any, lens: Any, first: list[Any], usual: list[str],
    separate_biases: bool = False, peepholes: Any = None,
) -> Any:  # fmt: skip
    """Run a recurrent operator in each direction; with `separate_biases` (GRU) the recurrent bias is not added here."""
    batch_first = bool(getattr(node, "layout", 0))
    if batch_first:
        x, first = np.swapaxes(x, 0, 1), [s if s is None else np.swapaxes(s, 0, 1) for s in first]
    count, width = np.shape(W)[:2]
    functions = _activations(node, usual, count)
    time, rows, n = np.shape(x)[0], np.shape(x)[1], np.shape(R)[-1]
    if getattr(node, "hidden_size", n) != n:
        raise ValueError(f"the attribute hidden_size={node.hidden_size} is not that of the weights, {n}")
    inside = None if lens is None else np.arange(time)[:, None, None] < np.asarray(raw(lens))[:, None]
    every, last = [], []
    for d in range(count):
        back = getattr(node, "direction", "forward") == "reverse" or d == 1
        zero = np.zeros(width, raw(W).dtype)
        of_x, of_h = (zero, zero) if B is None else (B[d][:width], B[d][width:])
        z = np.matmul(x, W[d].T) + (of_x if separate_biases else of_x + of_h)
        states = [np.zeros((rows, n), raw(W).dtype) if s is None else s[d] for s in first]
        cell = _Cell(R[d], of_h, None if peepholes is None else peepholes[d],
                     functions[d * len(usual) : (d + 1) * len(usual)])  # fmt: skip
        seen = []
        for t in reversed(range(time)) if back else range(time):
            new = step(z[t], states, cell)
            if inside is not None:  # a sequence that has ended, or in reverse not begun, keeps its states
                new = [np.where(inside[t], after, before) for after, before in zip(new, states, strict=True)]
            states = new
            seen.append(states[0] if inside is None else np.where(inside[t], states[0], 0.0 * states[0]))
        every.append(np.stack(seen[::-1] if back else seen))
        last.append(states)
    if batch_first:
        turned = np.transpose(np.stack(every), (2, 1, 0, 3))  # (batch, time, directions, n)
        return (turned, *(np.stack(list(s), axis=1) for s in zip(*last, strict=True)))
    return (np.stack(every, axis=1), *(np.stack(list(s)) for s in zip(*last, strict=True)))


def _lstm(node: Node, x: Any, W: Any, R: Any, B: Any = None, lens: Any = None, h: Any = None, c: Any = None,
          peepholes: Any = None) -> Any:  # fmt: skip
    n = np.shape(R)[-1]
    coupled = bool(getattr(node, "input_forget", 0))

    def step(z: Any, states: list[Any], cell: _Cell) -> list[Any]:
        a = z + np.matmul(states[0], cell.R.T)
        gate, inner, outer = cell.activations
        i, o, f, u = (a[:, k * n : (k + 1) * n] for k in range(4))
        if cell.peepholes is not None:
            i, f = i + cell.peepholes[:n] * states[1], f + cell.peepholes[2 * n :] * states[1]
        kept = gate(i)
        c = (1 - kept if coupled else gate(f)) * states[1] + kept * inner(u)
        if cell.peepholes is not None:
            o = o + cell.peepholes[n : 2 * n] * c
        return [gate(o) * outer(c), c]

    return _recurrent(node, step, x, W, R, B, lens, [h, c], ["Sigmoid", "Tanh", "Tanh"], peepholes=peepholes)


def _gru(node: Node, x: Any, W: Any, R: Any, B: Any = None, lens: Any = None, h: Any = None) -> Any:
    n = np.shape(R)[-1]
    after = bool(getattr(node, "linear_before_reset", 0))

    def step(z: Any, states: list[Any], cell: _Cell) -> list[Any]:
        h, R, b = states[0], cell.R, cell.bias
        gate, inner = cell.activations
        of_h = np.matmul(h, R[: 2 * n].T) + b[: 2 * n]
        u, r = gate(z[:, :n] + of_h[:, :n]), gate(z[:, n : 2 * n] + of_h[:, n:])
        kept = r * (np.matmul(h, R[2 * n :].T) + b[2 * n :]) if after else np.matmul(r * h, R[2 * n :].T) + b[2 * n :]
        new = inner(z[:, 2 * n :] + kept)
        return [(1 - u) * new + u * h]

    return _recurrent(node, step, x, W, R, B, lens, [h], ["Sigmoid", "Tanh"], separate_biases=True)


def _rnn(node: Node, x: Any, W: Any, R: Any, B: Any = None, lens: Any = None, h: Any = None) -> Any:
    def step(z: Any, states: list[Any], cell: _Cell) -> list[Any]:
        return [cell.activations[0](z + np.matmul(states[0], cell.R.T))]

    return _recurrent(node, step, x, W, R, B, lens, [h], ["Tanh"])


RECURRENT: dict[str, Function] = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}
