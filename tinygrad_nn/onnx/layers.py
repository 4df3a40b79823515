"""Translate the primitives of layers to ONNX operators: convolution, pooling, norms, attention, recurrence.

Each rule takes the writer and the same operation from all traces (see `rows`), and returns the name of its result.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

from ..compiled.program.values import Op, argument_shape
from .writer import Writer, call_arguments, reshape, result_shape, scalar_constant, shape_of

Ops = tuple[Op, ...]


def _windows(meta: dict[str, Any]) -> dict[str, Any]:
    padding = list(meta["padding"][0])
    return {"strides": list(meta["stride"][0]), "pads": padding + padding}


def _conv(w: Writer, ops: Ops) -> str:
    """Write a convolution or, if it has an output padding, a transposed one."""
    (x, kernel), meta = call_arguments(ops)
    attrs = _windows(meta) | {"dilations": list(meta["dilation"][0]), "group": meta["groups"][0]}
    if "output_padding" not in meta:
        return str(w.op("Conv", w.arg(x), w.arg(kernel), **attrs))
    return str(w.op("ConvTranspose", w.arg(x), w.arg(kernel), output_padding=list(meta["output_padding"][0]), **attrs))


def _max_pool(w: Writer, ops: Ops) -> str:
    (x, *_), meta = call_arguments(ops)
    return str(w.op("MaxPool", w.arg(x), kernel_shape=list(meta["kernel"][0]), **_windows(meta)))


def _avg_pool(w: Writer, ops: Ops) -> str:
    (x, *_), meta = call_arguments(ops)
    attrs = _windows(meta)
    attrs["count_include_pad"] = int(meta["count_include_pad"][0])
    return str(w.op("AveragePool", w.arg(x), kernel_shape=list(meta["kernel"][0]), **attrs))


def _standardize(w: Writer, ops: Ops) -> str:
    (x, weight, bias), meta = call_arguments(ops)
    dtype = ops[0].out.dtype
    x = w.arg(x, dtype)
    axes = w.ints(meta["axis"][0])
    off = w.op("Sub", x, w.op("ReduceMean", x, axes, keepdims=1))
    var = w.op("ReduceMean", w.op("Mul", off, off), axes, keepdims=1)
    out = w.op("Div", off, w.op("Sqrt", w.op("Add", var, scalar_constant(w, meta["eps"][0], dtype))))
    return str(w.op("Add", w.op("Mul", out, w.arg(weight, dtype)), w.arg(bias, dtype)))


def _rms_norm(w: Writer, ops: Ops) -> str:
    (x, weight), meta = call_arguments(ops)
    dtype = ops[0].out.dtype
    x = w.arg(x, dtype)
    square = w.op("ReduceMean", w.op("Mul", x, x), w.ints(meta["axis"][0]), keepdims=1)
    out = w.op("Div", x, w.op("Sqrt", w.op("Add", square, scalar_constant(w, meta["eps"][0], dtype))))
    return str(w.op("Mul", out, w.arg(weight, dtype)))


def _split_heads(w: Writer, x: str, shape: tuple[Any, ...], heads: int) -> str:
    """Write a reshape of (..., time, heads * d) to (..., heads, time, d)."""
    x = reshape(w, x, (*shape[:-1], heads, shape[-1] // heads))
    n = len(shape) + 1
    return str(w.op("Transpose", x, perm=[*range(n - 3), n - 2, n - 3, n - 1]))


def _attend(w: Writer, parts: list[str], mask: Any, keep: Any, ops: Ops, d: int) -> str:
    q, k, v = parts
    dtype, shape = ops[0].out.dtype, result_shape(ops)
    n = len(shape) + 1
    flip = [*range(n - 2), n - 1, n - 2]
    scores = w.op("MatMul", w.op("Mul", q, scalar_constant(w, 1 / sqrt(d), dtype)), w.op("Transpose", k, perm=flip))
    if len(argument_shape(mask[0])):
        scores = w.op("Add", scores, w.arg(mask, dtype))
    last = w.ints([-1])
    most = w.op("ReduceMax", scores, last, keepdims=1)
    most = w.op("Where", w.op("IsInf", most), scalar_constant(w, 0.0, dtype), most)
    e = w.op("Exp", w.op("Sub", scores, most))
    total = w.op("ReduceSum", e, last, keepdims=1)
    none = w.op("Equal", total, scalar_constant(w, 0.0, dtype))
    a = w.op("Div", e, w.op("Where", none, scalar_constant(w, 1.0, dtype), total))
    if len(argument_shape(keep[0])):
        a = w.op("Mul", a, w.arg(keep, dtype))
    out = w.op("Transpose", w.op("MatMul", a, v), perm=[*range(n - 3), n - 2, n - 3, n - 1])
    return reshape(w, out, shape)


def _attention(w: Writer, ops: Ops) -> str:
    (q, k, v, mask, keep), meta = call_arguments(ops)
    heads, dtype = meta["heads"][0], ops[0].out.dtype
    parts = [_split_heads(w, w.arg(x, dtype), shape_of(x), heads) for x in (q, k, v)]
    return _attend(w, parts, mask, keep, ops, argument_shape(q[0])[-1] // heads)


def _self_attention(w: Writer, ops: Ops) -> str:
    (qkv, mask, keep), meta = call_arguments(ops)
    heads, dtype = meta["heads"][0], ops[0].out.dtype
    shape = shape_of(qkv)
    width = shape[-1] // 3
    each = w.op("Split", w.arg(qkv, dtype), w.ints([width] * 3), outs=3, axis=-1)
    parts = [_split_heads(w, x, (*shape[:-1], width), heads) for x in each]
    return _attend(w, parts, mask, keep, ops, width // heads)


def scan(w: Writer, z: str, states: list[str], step: Callable[..., list[str]], dtype: Any) -> tuple[list[str], str]:
    """Write a Scan over the times of z; return the last states, and the first of the states at all times.

    `step` is called with the writer of the loop body, the states and z at one time; it returns the new states.
    """

    def body(inner: Writer, *names: str) -> list[str]:
        new = step(inner, list(names[:-1]), names[-1])
        return [*new, str(inner.op("Identity", new[0]))]

    names = [*(f"state{k}" for k in range(len(states))), "z"]
    graph = w.inside(body, names, dtype)
    *last, every = w.op("Scan", *states, z, outs=len(states) + 1, body=graph, num_scan_inputs=1)
    return last, every


def _product(w: Writer, h: str, W: str) -> str:
    return str(w.op("MatMul", h, W))


def _rnn(w: Writer, ops: Ops) -> str:
    (z, W, h), meta = call_arguments(ops)
    dtype = ops[0].out.dtype
    turned = w.op("Transpose", w.arg(W, dtype), perm=[1, 0])
    kind = {"tanh": "Tanh", "relu": "Relu"}[meta.get("activation", ("tanh",))[0]]

    def step(inner: Writer, states: list[str], z_t: str) -> list[str]:
        return [inner.op(kind, inner.op("Add", z_t, _product(inner, states[0], turned)))]

    return scan(w, w.arg(z, dtype), [w.arg(h, dtype)], step, dtype)[1]


def _lstm(w: Writer, ops: Ops) -> str:
    (z, W, h, c), _ = call_arguments(ops)
    dtype, n = ops[0].out.dtype, argument_shape(W[0])[1]
    turned = w.op("Transpose", w.arg(W, dtype), perm=[1, 0])

    def step(inner: Writer, states: list[str], z_t: str) -> list[str]:
        a = inner.op("Add", z_t, _product(inner, states[0], turned))
        i, f, u, o = inner.op("Split", a, inner.ints([n] * 4), outs=4, axis=-1)
        kept = inner.op("Mul", inner.op("Sigmoid", f), states[1])
        c = inner.op("Add", kept, inner.op("Mul", inner.op("Sigmoid", i), inner.op("Tanh", u)))
        return [inner.op("Mul", inner.op("Sigmoid", o), inner.op("Tanh", c)), c]

    last, every = scan(w, w.arg(z, dtype), [w.arg(h, dtype), w.arg(c, dtype)], step, dtype)
    return str(w.op("Concat", every, w.op("Unsqueeze", last[1], w.ints([0])), axis=0))


def _gru(w: Writer, ops: Ops) -> str:
    (z, W, b, h), _ = call_arguments(ops)
    dtype, n = ops[0].out.dtype, argument_shape(W[0])[1]
    turned, bias = w.op("Transpose", w.arg(W, dtype), perm=[1, 0]), w.arg(b, dtype)

    def step(inner: Writer, states: list[str], z_t: str) -> list[str]:
        of_h = inner.op("Add", _product(inner, states[0], turned), bias)
        rh, uh, q = inner.op("Split", of_h, inner.ints([n] * 3), outs=3, axis=-1)
        rz, uz, nz = inner.op("Split", z_t, inner.ints([n] * 3), outs=3, axis=-1)
        r, u = inner.op("Sigmoid", inner.op("Add", rz, rh)), inner.op("Sigmoid", inner.op("Add", uz, uh))
        new = inner.op("Tanh", inner.op("Add", nz, inner.op("Mul", r, q)))
        return [inner.op("Add", new, inner.op("Mul", u, inner.op("Sub", states[0], new)))]

    return scan(w, w.arg(z, dtype), [w.arg(h, dtype)], step, dtype)[1]


LAYERS: dict[str, Callable[[Writer, Ops], str]] = {
    "conv": _conv, "conv_transpose": _conv, "max_pool": _max_pool, "avg_pool": _avg_pool,
    "standardize": _standardize, "rms_norm": _rms_norm, "attention": _attention, "self_attention": _self_attention,
    "rnn_states": _rnn, "lstm_states": _lstm, "gru_states": _gru,
}  # fmt: skip
