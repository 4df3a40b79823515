"""Mistakes at recurrent layers, in the way back through time, the cell, the gates, or the gradient of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..paths import Array, Traced
from .mistake import Mistake, Site, Wrong, finds


class _Variant(NamedTuple):
    """A way back through time: the right one by default, and a wrong one if a field has another value."""

    carried: bool = True  # whether the gradient of the state is carried to the time step before
    cell: bool = True  # whether the gradient of the cell is carried to the time step before
    slope: bool = True  # whether the derivative of the activation is applied
    steps: slice = slice(None)  # the time steps that contribute to the gradient of the weights
    after: bool = False  # whether the gradient of the weights takes the state after each step, not the one before
    transposed: bool = False  # whether the recurrent weights are transposed
    direct: bool = True  # gru: whether the part of the state that is kept gets its gradient


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _states(out: Array, first: Array, way: _Variant) -> Array:
    return out if way.after else np.concatenate([first[None], out[:-1]])


def _rnn(s: Site, way: _Variant, at: Any = None) -> list[Any]:
    z, W, h = s.args
    relu = s.meta.get("activation", "tanh") != "tanh"
    value = s.out if at is None else at(s)
    slope = np.sign(value) if relu else 1 - value * value
    back: Any = 0
    dz = np.empty_like(s.out)
    for t in reversed(range(len(z))):
        delta = (s.g[t] + back) * (slope[t] if way.slope else 1)
        dz[t] = delta
        back = delta @ (W.T if way.transposed else W) * way.carried
    part = way.steps
    dW = _rows(dz[part]).T @ _rows(_states(s.out, h, way)[part])
    return [dz, dW, back if way.carried else dz[0] @ W]


TIME: list[tuple[str, str, _Variant]] = [
    ("not_carried_back", ("The gradient is not passed back to the previous time step: each step has only the gradient "
                          "of its own result."), _Variant(carried=False)),
    ("last_step_only", ("Only the last step contributes to the gradient of the weights; the contributions of all steps "
                        "should be added."),
     _Variant(steps=slice(-1, None))),
    ("last_step_only", ("Only the first step contributes to the gradient of the weights; the contributions of all "
                        "steps should be added."),
     _Variant(steps=slice(0, 1))),
    ("last_step_only", "The first step contributes nothing to the gradient of the weights.",
     _Variant(steps=slice(1, None))),
    ("wrong_value", "The gradient of the weights uses the state after each step; it should use the state before it.",
     _Variant(after=True)),
]  # fmt: skip


@finds("rnn_states")
def plain(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield the gradients of a plain recurrent network with one mistake each."""
    for kind, text, way in TIME:
        yield Mistake(kind, text, lambda s, w=way: _rnn(s, w))
    yield Mistake("missing_activation_derivative", "The derivative of the activation is missing in every step.",
                  lambda s: _rnn(s, _Variant(slope=False)))  # fmt: skip
    yield Mistake("transpose", "The recurrent weights are transposed in the backward pass.",
                  lambda s: _rnn(s, _Variant(transposed=True)))  # fmt: skip
    yield Mistake("activation_derivative_at_wrong_value", "The derivative of tanh is written for its output, but its "
                  "input was put into it, in every step.", lambda s: _rnn(s, _Variant(), _weighted))  # fmt: skip


def _weighted(s: Site) -> Any:
    z, W, h = s.args
    return z + np.concatenate([h[None], s.out[:-1]]) @ W.T


def _lstm(s: Site, way: _Variant, edit: Any = None) -> list[Any]:
    z, W, h, first_cell = s.args
    i, f, u, o, c, tanh_c = np.split(s.meta["cells"], 6, axis=-1)
    before = np.concatenate([first_cell[None], c[:-1]])
    # the factors by which dc and dh are multiplied to give the gradients of the inputs of the gates
    p = {"i": u * i * (1 - i), "f": before * f * (1 - f), "u": i * (1 - u * u), "o": tanh_c * o * (1 - o),
         "through": o * (1 - tanh_c * tanh_c), "keep": f}  # fmt: skip
    p |= {} if edit is None else edit(i, f, u, o, c, tanh_c, before)
    back: Any = 0
    dc = s.g[-1]
    dz = np.empty_like(z)
    for t in reversed(range(len(z))):
        dh = s.g[t] + back
        dc = dc + dh * p["through"][t]
        dz[t] = np.concatenate([dc * p["i"][t], dc * p["f"][t], dc * p["u"][t], dh * p["o"][t]], axis=-1)
        back, dc = dz[t] @ W * way.carried, dc * p["keep"][t] * way.cell
    dW = _rows(dz[way.steps]).T @ _rows(_states(s.out[:-1], h, way)[way.steps])
    return [dz, dW, back if way.carried else dz[0] @ W, dc]


# Wrong factors in place of those of `_lstm`, as functions of (i, f, u, o, c, tanh c, c before).
GATES: list[tuple[str, str, Any]] = [
    ("wrong_gate", "The gates i and f are exchanged in the backward pass.",
     lambda i, f, u, o, c, t, b: {"i": u * f * (1 - f), "f": b * i * (1 - i)}),
    ("wrong_gate", "The gradients of the gates i and f are exchanged.",
     lambda i, f, u, o, c, t, b: {"i": b * f * (1 - f), "f": u * i * (1 - i)}),
    ("wrong_gate", "The gradient of the cell is passed back through i; it should be passed back through f.",
     lambda i, f, u, o, c, t, b: {"keep": i}),
    ("wrong_gate", "The gradient of the cell is passed back through o; it should be passed back through f.",
     lambda i, f, u, o, c, t, b: {"keep": o}),
    ("missing_factor", "The gradient of the cell is passed back without the gate f.",
     lambda i, f, u, o, c, t, b: {"keep": np.ones_like(f)}),
    ("missing_factor", "The gate o is missing between the state and the cell.",
     lambda i, f, u, o, c, t, b: {"through": 1 - t * t}),
    ("missing_activation_derivative", "The derivative of tanh between the state and the cell is missing.",
     lambda i, f, u, o, c, t, b: {"through": o}),
    ("activation_derivative_at_wrong_value", ("The derivative of tanh between state and cell is 1 - c²; it should be 1 "
                                              "- tanh(c)²."), lambda i, f, u, o, c, t, b: {"through": o * (1 - c * c)}),
    ("wrong_value", "The gradient of the gate f uses the cell after the step; it should use the cell before it.",
     lambda i, f, u, o, c, t, b: {"f": c * f * (1 - f)}),
    ("wrong_value", "The gradient of the gate o uses the cell; it should use the tanh of the cell.",
     lambda i, f, u, o, c, t, b: {"o": c * o * (1 - o)}),
    ("missing_activation_derivative", "The derivative of the sigmoid of the gate i is missing.",
     lambda i, f, u, o, c, t, b: {"i": u}),
    ("missing_activation_derivative", "The derivative of the sigmoid of the gate f is missing.",
     lambda i, f, u, o, c, t, b: {"f": b}),
    ("missing_activation_derivative", "The derivative of the sigmoid of the gate o is missing.",
     lambda i, f, u, o, c, t, b: {"o": t}),
    ("missing_activation_derivative", "The derivative of the tanh of the candidate is missing.",
     lambda i, f, u, o, c, t, b: {"u": i}),
    ("missing_activation_derivative", "The derivatives of all gates are missing.",
     lambda i, f, u, o, c, t, b: {"i": u, "f": b, "u": i, "o": t}),
    ("activation_derivative_at_wrong_value", "The candidate is differentiated as a sigmoid; it is a tanh.",
     lambda i, f, u, o, c, t, b: {"u": i * u * (1 - u)}),
    ("missing_factor", "The candidate is missing in the gradient of the gate i.",
     lambda i, f, u, o, c, t, b: {"i": i * (1 - i)}),
    ("missing_factor", "The previous cell is missing in the gradient of the gate f.",
     lambda i, f, u, o, c, t, b: {"f": f * (1 - f)}),
    ("missing_factor", "The gate i is missing in the gradient of the candidate.",
     lambda i, f, u, o, c, t, b: {"u": 1 - u * u}),
    ("missing_factor", "tanh of the cell is missing in the gradient of the gate o.",
     lambda i, f, u, o, c, t, b: {"o": o * (1 - o)}),
    ("not_carried_back", "The gradient of the state does not reach the cell.",
     lambda i, f, u, o, c, t, b: {"through": np.zeros_like(o)}),
    ("detached", "The gate f gets no gradient.", lambda i, f, u, o, c, t, b: {"f": np.zeros_like(f)}),
    ("detached", "The gate i gets no gradient.", lambda i, f, u, o, c, t, b: {"i": np.zeros_like(f)}),
    ("detached", "The gate o gets no gradient.", lambda i, f, u, o, c, t, b: {"o": np.zeros_like(f)}),
    ("detached", "The candidate gets no gradient.", lambda i, f, u, o, c, t, b: {"u": np.zeros_like(f)}),
]  # fmt: skip


@finds("lstm_states")
def lstm(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield the gradients of an LSTM with one mistake each."""
    for kind, text, way in TIME:
        yield Mistake(kind, text, lambda s, w=way: _lstm(s, w))
    yield Mistake("not_carried_back", "The gradient of the cell is not passed back to the previous time step.",
                  lambda s: _lstm(s, _Variant(cell=False)))  # fmt: skip
    yield Mistake("not_carried_back", "The gradients of state and cell are not passed back to the previous time step.",
                  lambda s: _lstm(s, _Variant(cell=False, carried=False)))  # fmt: skip
    for kind, text, edit in GATES:
        yield Mistake(kind, text, lambda s, e=edit: _lstm(s, _Variant(), e))


def _gru(s: Site, way: _Variant, edit: Any = None) -> list[Any]:
    z, W, _, h = s.args
    r, u, n, q = np.split(s.meta["cells"], 4, axis=-1)
    before = np.concatenate([h[None], s.out[:-1]])
    p = {"n": (1 - u) * (1 - n * n), "u": (before - n) * u * (1 - u), "keep": u}
    p |= {} if edit is None else edit(r, u, n, q, before)
    p.setdefault("r", p["n"] * q * r * (1 - r))
    p.setdefault("q", p["n"] * r)
    back: Any = 0
    dz, of_h = np.empty_like(z), np.empty_like(z)
    for t in reversed(range(len(z))):
        dh = s.g[t] + back
        dr, du, dn, dq = (dh * p[key][t] for key in ("r", "u", "n", "q"))
        dz[t], of_h[t] = np.concatenate([dr, du, dn], axis=-1), np.concatenate([dr, du, dq], axis=-1)
        back = (dh * p["keep"][t] * way.direct + of_h[t] @ W) * (way.carried or t == 0)
    part, states = way.steps, s.out if way.after else before
    return [dz, _rows(of_h[part]).T @ _rows(states[part]), _rows(of_h).sum(axis=0), back]


# Wrong factors in place of those of `_gru`, as functions of (r, u, n, q, h before).
UNITS: list[tuple[str, str, Any]] = [
    ("wrong_gate", "The gates u and 1 - u are exchanged in the backward pass.",
     lambda r, u, n, q, b: {"n": u * (1 - n * n), "keep": 1 - u}),
    ("wrong_gate", "The gradient of the state is passed back through 1 - u; it should be passed back through u.",
     lambda r, u, n, q, b: {"keep": 1 - u}),
    ("wrong_gate", "The candidate gets its gradient through u; it should get it through 1 - u.",
     lambda r, u, n, q, b: {"n": u * (1 - n * n)}),
    ("missing_factor", "The candidate gets its gradient without 1 - u.", lambda r, u, n, q, b: {"n": 1 - n * n}),
    ("missing_activation_derivative", "The derivative of the tanh of the candidate is missing.",
     lambda r, u, n, q, b: {"n": 1 - u}),
    ("missing_activation_derivative", "The derivative of the sigmoid of the gate u is missing.",
     lambda r, u, n, q, b: {"u": b - n}),
    ("missing_activation_derivative", "The derivative of the sigmoid of the gate r is missing.",
     lambda r, u, n, q, b: {"r": (1 - u) * (1 - n * n) * q}),
    ("missing_factor", "The gate r is missing in the gradient of the state.",
     lambda r, u, n, q, b: {"q": (1 - u) * (1 - n * n)}),
    ("product_rule_half", "In the gradient of the gate u, the candidate is missing: it is (h - n) u (1 - u).",
     lambda r, u, n, q, b: {"u": b * u * (1 - u)}),
    ("product_rule_half", "In the gradient of the gate u, the previous state is missing: it is (h - n) u (1 - u).",
     lambda r, u, n, q, b: {"u": -n * u * (1 - u)}),
    ("sign", "The gradient of the gate u has the wrong sign.", lambda r, u, n, q, b: {"u": (n - b) * u * (1 - u)}),
    ("wrong_value", ("The gradient of the gate r uses the state; it should use the product of the state and the "
                     "weights."),
     lambda r, u, n, q, b: {"r": (1 - u) * (1 - n * n) * b * r * (1 - r)}),
    ("detached", "The gate r gets no gradient.", lambda r, u, n, q, b: {"r": np.zeros_like(r)}),
    ("detached", "The gate u gets no gradient.", lambda r, u, n, q, b: {"u": np.zeros_like(r)}),
    ("activation_derivative_at_wrong_value", "The candidate is differentiated as a sigmoid; it is a tanh.",
     lambda r, u, n, q, b: {"n": (1 - u) * n * (1 - n)}),
]  # fmt: skip


@finds("gru_states")
def gru(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield the gradients of a gated recurrent unit with one mistake each."""
    for kind, text, way in TIME:
        yield Mistake(kind, text, lambda s, w=way: _gru(s, w))
    yield Mistake("residual_forgotten", "The part of the previous state that is kept, u h, gets no gradient.",
                  lambda s: _gru(s, _Variant(direct=False)))  # fmt: skip
    for kind, text, edit in UNITS:
        wrong: Wrong = lambda s, e=edit: _gru(s, _Variant(), e)  # noqa: E731
        yield Mistake(kind, text, wrong)
