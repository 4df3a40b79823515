"""The effect of each compiler pass on small programs: what is removed, where values are stored, what is fused.

A program is shown as ``t3 = add(t1, a)``, one operation after the other, and then what is returned. For each condition
of a pass there is a program that meets all conditions, and one that fails only this condition.
"""

from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compile
from tinygrad_nn.common.columns import truncate
from tinygrad_nn.compiled.code import Code
from tinygrad_nn.compiled.numba import fuse, loops, machine
from tinygrad_nn.compiled.numpy.replay import Writer
from tinygrad_nn.compiled.program import simplify
from tinygrad_nn.compiled.program.arguments import Names
from tinygrad_nn.compiled.program.memory import view_of
from tinygrad_nn.compiled.program.values import Op, Program, Value
from tinygrad_nn.compiled.trace.call import trace
from tinygrad_nn.graph.summary import bytes_text
from tinygrad_nn.primitive import Primitive
from tinygrad_nn.tensor import apply, stored_array
from tinygrad_nn.tree import flatten

GIVEN: dict[str, Any] = {
    "v": np.arange(4.0) + 1, "x": np.arange(12.0).reshape(3, 4) + 1, "i": np.arange(4), "z": np.arange(4) + 1j,
    "f": np.arange(4, dtype="f4"), "one": np.arange(1.0, 4)[:, None], "b": np.array([[True], [False], [True]]),
    "cube": np.ones((2, 3, 4)), "s": np.arange(9.0).reshape(3, 3) / 8, "n": 2.5, "k": 3, "r": np.random.default_rng(0),
    "row": np.ones((1, 4)), "long": np.ones((3, 70), "f4"), "far": np.ones((2, 1030)),
    "w": np.ones((10, 12)), "u": np.ones((12, 10)), "zero": np.ones(()),
}  # fmt: skip


def function(text: str, given: str) -> tuple[Any, list[Any]]:
    """Return an expression as a function of a and b, and arguments of the kinds named."""
    arguments = [GIVEN[name] for name in given.split(",")[0].split()]
    return eval(f"lambda {', '.join('ab'[: len(arguments)])}: {text}", {"np": np}), arguments


def program(text: str, given: str) -> Program:
    f, arguments = function(text, given)
    leaves, rebuild = flatten([arguments, {}])
    return simplify.simplify(trace(f, leaves, rebuild, frozenset())[0])


def name(x: Any) -> str:
    if not isinstance(x, Value):
        return repr(x)
    if x.kind == "constant":
        return str(x.data.item()) if x.data.ndim == 0 else f"c{list(x.shape)}"
    return "ab"[x.slot] if x.kind == "input" else f"t{x.number}"


def line(op: Op) -> str:
    how = list(op.attrs[0]) if op.kind in ("transpose", "reshape", "broadcast", "reduce") else ""
    return f"{', '.join(map(name, op.outs))} = {op.name}{how}({', '.join(map(name, op.args))})"


def rows(table: dict[str, dict[str, str]]) -> Any:
    return pytest.mark.parametrize(
        ("text", "given", "wanted"), [(text, given, wanted) for given in table for text, wanted in table[given].items()]
    )


# -- Made smaller: what goes, what becomes something simpler, what waits and what does not

SMALLER: dict[str, dict[str, str]] = {
    "v": {
        "a * 1.0": "a",
        "1.0 * a": "a",
        "a / 1": "a",
        "1 / a": "t1 = divide(1, a); t1",
        "a**1": "a",
        "1.0**a": "t1 = power(a); t1",
        "a - 0.0": "a",
        "0.0 - a": "t1 = subtract(0.0, a); t1",
        "a + -0.0": "a",
        "-0.0 + a": "a",
        "a + 0.0": "t1 = add(a, 0.0); t1",
        "a - -0.0": "t1 = subtract(a, -0.0); t1",
        "a * 2.0": "t1 = multiply(a, 2.0); t1",
        "a * np.ones(4)": "a",
        "a * np.ones(1)": "a",
        "a * np.array(1.0)": "a",
        "np.array(-0.0) + a": "a",
        "a * np.array(2.0)": "t1 = multiply(a, 2.0); t1",
        "a[:0] * np.ones(0)": "t1 = getitem(a); t2 = multiply(t1, c[0]); t2",
        "a * np.ones((3, 4))": "t1 = multiply(a, c[3, 4]); t1",
        "np.ones((3, 4)) * a": "t1 = multiply(c[3, 4], a); t1",
        "a - np.array([0.0, -0.0, 0.0, 0.0])": "t1 = subtract(a, c[4]); t1",
        "a - np.array([0.0, 1.0, 0.0, 0.0])": "t1 = subtract(a, c[4]); t1",
        "a * np.ones((1, 4))": "t1 = multiply(a, c[1, 4]); t1",
        "+a": "a",
        "-(-a)": "a",
        "-a": "t1 = negative(a); t1",
        "-np.sin(a)": "t1 = sin(a); t2 = negative(t1); t2",
        "np.sin(-a)": "t1 = negative(a); t2 = sin(t1); t2",
        "np.exp(a.astype(float))": "t1 = exp(a); t1",
        "np.exp(a.astype('f4'))": "t1 = cast(a); t2 = exp(t1); t2",
        "np.exp(a.astype('f4').astype('f8'))": "t1 = cast(a); t2 = cast(t1); t3 = exp(t2); t3",
        "np.exp(a[None])": "t1 = getitem(a); t2 = exp(t1); t2",
        "np.exp(np.broadcast_to(a, (4,)))": "t1 = exp(a); t1",
        "np.exp(np.broadcast_to(a, (3, 4)))": "t1 = broadcast[3, 4](a); t2 = exp(t1); t2",
        "np.cumsum(np.broadcast_to(np.broadcast_to(a, (3, 4)), (2, 3, 4)), 0)":
            "t1 = broadcast[2, 3, 4](a); t2 = cumsum(t1); t2",
        "a + np.zeros(4)": "t1 = add(a, 0.0); t1",
        "a + np.full((3, 4), 2.0)": "t1 = add(a, c[3, 4]); t1",
        "a + np.array([0.0, -0.0, 0.0, 0.0])": "t1 = add(a, c[4]); t1",
        "a + np.full(4, np.nan)": "t1 = add(a, c[4]); t1",
        "np.cumsum(a + 0.0) + np.cumsum(np.full(4, 2.0) * a)":
            "t1 = add(a, 0.0); t2 = cumsum(t1); t3 = multiply(2.0, a); t4 = cumsum(t3); t5 = add(t2, t4); t5",
        "np.where(a > 2, a, np.full(4, 7.0))": "t1 = greater(a, 2); t2 = where(t1, a, 7.0); t2",
        "np.where(np.full(4, True), a, 0.0)": "t1 = where(True, a, 0.0); t1",
        "np.full(4, 2.0) * np.broadcast_to(a[0], (4,))":
            "t1 = getitem(a); t2 = broadcast[4](t1); t3 = multiply(2.0, t2); t3",
        "np.sin(a) + np.sin(a)": "t1 = sin(a); t2 = add(t1, t1); t2",
        "a * 3.0 + a * 3.0": "t1 = multiply(a, 3.0); t2 = add(t1, t1); t2",
        "a * 3 + a * 3.0": "t1 = multiply(a, 3); t2 = multiply(a, 3.0); t3 = add(t1, t2); t3",
        "a * 3.0 + a * np.float64(3.0)": "t1 = multiply(a, 3.0); t2 = multiply(a, 3.0); t3 = add(t1, t2); t3",
        "a * np.array([3.0]) + a * np.array([3.0])": "t1 = multiply(a, c[1]); t2 = add(t1, t1); t2",
        "a * np.array([3.0]) + a * np.array([[3.0]])":
            "t1 = multiply(a, c[1]); t2 = multiply(a, c[1, 1]); t3 = add(t1, t2); t3",
        "a * np.array([3.0]) + a * np.array([3], 'f4')":
            "t1 = multiply(a, c[1]); t2 = multiply(a, c[1]); t3 = add(t1, t2); t3",
        "np.cumsum(a) * np.cumsum(a)": "t1 = cumsum(a); t2 = multiply(t1, t1); t2",
        "a.max() - a.max()": "t1 = max[0](a); t2 = subtract(t1, t1); t2",
        "a.max() - a.min()": "t1 = max[0](a); t2 = min[0](a); t3 = subtract(t1, t2); t3",
        "np.maximum(a, 0.0) - np.minimum(a, 0.0)":
            "t1 = maximum(a, 0.0); t2 = minimum(a, 0.0); t3 = subtract(t1, t2); t3",
        "(np.sin(a), a * 2)[1]": "t1 = multiply(a, 2); t1",
        "(a, a)": "a, a",
        "a + np.sin(np.ones(1) * 2)": "t1 = add(a, c[1]); t1",
    },
    "x": {
        "a * 1.0": "a",
        "np.exp(a.reshape(3, 4))": "t1 = exp(a); t1",
        "np.exp(a.reshape(2, 6).reshape(4, 3))": "t1 = reshape[4, 3](a); t2 = exp(t1); t2",
        "np.exp(a.T.reshape(12))": "t1 = transpose[1, 0](a); t2 = reshape[12](t1); t3 = exp(t2); t3",
        "np.exp(a).reshape(12)": "t1 = exp(a); t2 = reshape[12](t1); t2",
        "np.exp(a.transpose(0, 1))": "t1 = exp(a); t1",
        "np.cumsum(a.T.T)": "t1 = cumsum(a); t1",
        "np.exp(a[:][...][:, :])": "t1 = exp(a); t1",
        "np.exp(a[::-1])": "t1 = getitem(a); t2 = exp(t1); t2",
        "np.exp(a[:, ::-1])": "t1 = getitem(a); t2 = exp(t1); t2",
        "np.exp(a[1:])": "t1 = getitem(a); t2 = exp(t1); t2",
        "a + a[0]": "t1 = getitem(a); t2 = add(a, t1); t2",
        "a + np.broadcast_to(a[0], (3, 4))": "t1 = getitem(a); t2 = add(a, t1); t2",
        "a[0] + np.broadcast_to(a[0], (3, 4))": "t1 = getitem(a); t2 = broadcast[3, 4](t1); t3 = add(t1, t2); t3",
        "np.where(a > 0, np.broadcast_to(a[0], (3, 4)), a)":
            "t1 = getitem(a); t2 = greater(a, 0); t3 = where(t2, t1, a); t3",
        "a.sum(0).sum() + a.sum(1).sum()":
            "t1 = sum[0](a); t2 = sum[0](t1); t3 = sum[1](a); t4 = sum[0](t3); t5 = add(t2, t4); t5",
        "a.sum(1, keepdims=True).sum(1)": "t1 = sum[1](a); t2 = reshape[3](t1); t2",
        "a.max(1, keepdims=True).max(1)": "t1 = max[1](a); t2 = reshape[3](t1); t2",
        "a.max(1, keepdims=True).sum(1)": "t1 = max[1](a); t2 = sum[1](t1); t2",
        "a.sum(1, keepdims=True).max(1)": "t1 = sum[1](a); t2 = reshape[3](t1); t2",
        "np.sin(a.sum(1, keepdims=True)).sum(1)": "t1 = sum[1](a); t2 = sin(t1); t3 = sum[1](t2); t3",
        "np.cumsum(a, 0) * np.cumsum(a, 1)": "t1 = cumsum(a); t2 = cumsum(a); t3 = multiply(t1, t2); t3",
        "a + np.full((3, 4), 2.0)": "t1 = add(a, 2.0); t1",
        "a + np.full((3, 1), 2.0)": "t1 = add(a, 2.0); t1",
        "a.reshape(12) + np.full((2, 12), 2.0)": "t1 = reshape[12](a); t2 = add(t1, c[2, 12]); t2",
    },
    "i": {
        "a * 1": "a",
        "a + 0": "a",
        "0 + a": "a",
        "a - 0": "a",
        "a * 1.0": "t1 = multiply(a, 1.0); t1",
        "a**1": "a",
        "a // 1": "t1 = floor_divide(a, 1); t1",
        "a[:, None].sum(1)": "t1 = getitem(a); t2 = reshape[4](t1); t2",
        "a[:, None].max(1)": "t1 = getitem(a); t2 = reshape[4](t1); t2",
    },
    "z": {
        "a * 1": "t1 = multiply(a, 1); t1",
        "a - 0.0": "t1 = subtract(a, 0.0); t1",
        "-(-a)": "a",
        "a[:, None].prod(1)": "t1 = getitem(a); t2 = prod[1](t1); t2",
        "a[:, None].sum(1)": "t1 = getitem(a); t2 = sum[1](t1); t2",
        "a + np.full(4, 1 + 2j)": "t1 = add(a, (1+2j)); t1",
        "a + np.array([complex(1.0, 0.0), complex(1.0, -0.0), 1, 1])": "t1 = add(a, c[4]); t1",
    },
    "f": {
        "a * 1.0": "a",
        "a * np.ones(4)": "t1 = multiply(a, 1.0); t1",
        "a * np.ones(4, 'f4')": "a",
        "a[:, None].sum(1, dtype=float)": "t1 = getitem(a); t2 = sum[1](t1); t2",
        "a[:, None].max(1)": "t1 = getitem(a); t2 = reshape[4](t1); t2",
    },
    "one": {
        "a.sum(1)": "t1 = sum[1](a); t1",
        "a.max(1)": "t1 = reshape[3](a); t1",
        "a.max(1, keepdims=True)": "a",
        "a.min((0, 1))": "t1 = min[0, 1](a); t1",
        "a.prod(1)": "t1 = reshape[3](a); t1",
        "a.max(0)": "t1 = max[0](a); t1",
    },
    "b": {
        "a.sum(1)": "t1 = sum[1](a); t1",
    },
    "cube": {
        "np.cumsum(a.transpose(1, 2, 0).transpose(1, 0, 2), 0)": "t1 = transpose[2, 1, 0](a); t2 = cumsum(t1); t2",
        "np.cumsum(a.swapaxes(0, 2), 0)": "t1 = transpose[2, 1, 0](a); t2 = cumsum(t1); t2",
        "np.cumsum(np.transpose(a), 0)": "t1 = transpose[2, 1, 0](a); t2 = cumsum(t1); t2",
    },
    "n": {  # a number of Python's takes part in another dtype than the array that NumPy makes of it
        "np.multiply(1.0, a)": "t1 = multiply(1.0, a); t1",
        "np.multiply(a, 1.0)": "t1 = multiply(a, 1.0); t1",
        "np.add(-0.0, a)": "t1 = add(-0.0, a); t1",
        "np.subtract(a, 0.0)": "t1 = subtract(a, 0.0); t1",
        "np.reshape(a, (1,))": "t1 = array(a); t2 = reshape[1](t1); t2",
    },
    "f n": {
        "a * np.multiply(1.0, b)": "t1 = multiply(1.0, b); t2 = multiply(a, t1); t2",
        "a * np.multiply(b, 1.0)": "t1 = multiply(b, 1.0); t2 = multiply(a, t1); t2",
    },
    "v n": {
        "a * (b + 1.0) * (b * 2)":
            "t1 = add(b, 1.0); t2 = mul(b, 2); t3 = multiply(a, t1); t4 = multiply(t3, t2); t4",
        "a * (b + 1.0) * (b + 1.0)": "t1 = add(b, 1.0); t2 = multiply(a, t1); t3 = multiply(t2, t1); t3",
        "(a, b)": "a, b",
        "a * (b * 1.0)": "t1 = mul(b, 1.0); t2 = multiply(a, t1); t2",
    },
    "v r": {
        "(a * b.random(4), b.random(2))[0]": "t1 = random(b); t2 = multiply(a, t1); t3 = random(b); t2",
        "a * b.random(4) * b.random(4)":
            "t1 = random(b); t2 = multiply(a, t1); t3 = random(b); t4 = multiply(t2, t3); t4",
    },
    "s s": {
        "(a - 0.1 * (a.T @ b), np.tanh(a @ b).sum())":
            "t1 = transpose[1, 0](a); t2 = matmul(t1, b); t3 = multiply(0.1, t2); t4 = matmul(a, b); "
            "t5 = subtract(a, t3); t6 = tanh(t4); t7 = sum[0, 1](t6); t5, t7",
        "(a * 0.9 - 0.1 * (a.T @ b), np.tanh(a @ b).sum())":
            "t1 = transpose[1, 0](a); t2 = matmul(t1, b); t3 = multiply(0.1, t2); t4 = matmul(a, b); "
            "t5 = multiply(a, 0.9); t6 = subtract(t5, t3); t7 = tanh(t4); t8 = sum[0, 1](t7); t6, t8",
        "(lambda t: (np.cumsum(np.cos(t)), t.sum(0), (t * t).sum(1).sum()))(np.exp(a @ b))":
            "t1 = matmul(a, b); t2 = exp(t1); t3 = sum[0](t2); t4 = cos(t2); t5 = cumsum(t4); "
            "t6 = multiply(t2, t2); t7 = sum[1](t6); t8 = sum[0](t7); t5, t3, t8",
        "(lambda g: (a - g * 2, np.cumsum(a) + np.cumsum(g)))(a @ b)":
            "t1 = matmul(a, b); t2 = cumsum(a); t3 = cumsum(t1); t4 = multiply(t1, 2); t5 = subtract(a, t4); "
            "t6 = add(t2, t3); t5, t6",
        "(lambda d: (np.cumsum(b), np.cumsum(b * 2, 0) * d))(a * a)":
            "t1 = cumsum(b); t2 = multiply(b, 2); t3 = cumsum(t2); t4 = multiply(a, a); t5 = multiply(t3, t4); "
            "t1, t5",
        "(lambda d: (np.cumsum(b), d.sum(), np.cumsum(b * 2, 0) * d))(a * a)":
            "t1 = multiply(a, a); t2 = sum[0, 1](t1); t3 = cumsum(b); t4 = multiply(b, 2); t5 = cumsum(t4); "
            "t6 = multiply(t5, t1); t3, t2, t6",
        "(a * 0.9, np.cumsum(a @ a), np.cumsum(b))":
            "t1 = matmul(a, a); t2 = multiply(a, 0.9); t3 = cumsum(t1); t4 = cumsum(b); t2, t3, t4",
        "(np.cumsum(a), a.max(0), a + 1)": "t1 = cumsum(a); t2 = max[0](a); t3 = add(a, 1); t1, t2, t3",
        "(a.astype('f4'), np.cumsum(a), np.where(a > b, a, b))":
            "t1 = cumsum(a); t2 = cast(a); t3 = greater(a, b); t4 = where(t3, a, b); t2, t1, t4",
        "(lambda d: (np.cumsum(b), b - d.astype('f4'), a @ b))(a * a)":
            "t1 = cumsum(b); t2 = matmul(a, b); t3 = multiply(a, a); t4 = cast(t3); t5 = subtract(b, t4); "
            "t1, t5, t2",
        "(lambda d: (np.cumsum(b), b - d, d + a @ b))(np.cumsum(a * a, 0))":
            "t1 = multiply(a, a); t2 = cumsum(t1); t3 = cumsum(b); t4 = matmul(a, b); t5 = subtract(b, t2); "
            "t6 = add(t2, t4); t3, t5, t6",
    },
}  # fmt: skip


@rows(SMALLER)
def test_a_program_is_made_smaller(text: str, given: str, wanted: str) -> None:
    found = program(text, given)
    assert "; ".join([*map(line, found.ops), ", ".join(map(name, found.outputs))]) == wanted


def test_arrays_in_metadata_that_differ_from_call_to_call_are_seen_inside_a_primitive() -> None:
    forward = lambda x, parts, scale: x * (parts[1] / parts[1].sum()) * scale
    weighted = Primitive("weighted", forward, (), "f(x)")
    f = lambda x, w: apply(weighted, (x,), {"parts": [np.ones(4), stored_array(w)], "scale": 2.0})
    leaves, rebuild = flatten([[GIVEN["v"], GIVEN["v"] + 1], {}])
    found = simplify.simplify(trace(f, leaves, rebuild, frozenset())[0])
    wanted = "t1 = sum[0](b); t2 = divide(b, t1); t3 = multiply(a, t2); t4 = multiply(t3, 2.0)"
    assert "; ".join(map(line, found.ops)) == wanted


def test_long_programs_stay_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    text, early = "(a - a * 2, np.cumsum(a))", ["cumsum", "multiply", "subtract"]
    assert [op.name for op in program(text, "v").ops] == early
    monkeypatch.setattr(simplify, "MANY", 3)
    assert [op.name for op in program(text, "v").ops] == early
    monkeypatch.setattr(simplify, "MANY", 2)
    assert [op.name for op in program(text, "v").ops] == ["multiply", "subtract", "cumsum"]


# -- From calls to the few kinds of operations


LOWERED: dict[str, dict[str, str]] = {
    "x": {
        "np.power(a, 2)": "t1 = ufunc square(a); t1",
        "a**0.5": "t1 = ufunc sqrt(a); t1",
        "a**-1": "t1 = ufunc reciprocal(a); t1",
        "a**3": "t1 = ufunc power(a, 3); t1",
        "a**2.0": "t1 = ufunc square(a); t1",
        "2.0**a": "t1 = call power(a); t1",
        "np.sum(a, 0, initial=1.0)": "t1 = call sum(a); t1",
        "np.sum(a, 0, where=np.ones((3, 4), bool))": "t1 = call sum(a, c[3, 4]); t1",
        "np.sum(a, -1)": "t1 = reduce[keepdims False, dtype None] sum[1](a); t1",
        "np.sum(a, (0, -1))": "t1 = reduce[keepdims False, dtype None] sum[0, 1](a); t1",
        "np.sum(a, axis=())": "t1 = reduce[keepdims False, dtype None] sum[](a); t1",
        "np.max(a, initial=3)": "t1 = call max(a); t1",
        "np.mean(a, 0)": "t1 = reduce[keepdims False, dtype None] sum[0](a); t2 = ufunc divide(t1, 3); t2",
        "a.sum(0, keepdims=True)": "t1 = reduce[keepdims True, dtype None] sum[0](a); t1",
        "a.sum(0, dtype='f4')": "t1 = reduce[keepdims False, dtype <f4] sum[0](a); t1",
        "np.swapaxes(a, 0, -1)": "t1 = transpose transpose[1, 0](a); t1",
        "np.transpose(a, (-1, 0))": "t1 = transpose transpose[1, 0](a); t1",
        "np.reshape(a, 12, order='F')": "t1 = call reshape(a); t1",
        "a[1, :]": "t1 = slice[1, ('slice', None, None, None)] getitem(a); t1",
        "a[True]": "t1 = call getitem(a); t1",
        "a[np.int64(1)]": "t1 = call getitem(a); t1",
        "a[[0, 1]]": "t1 = call getitem(a); t1",
        "a[..., None]": "t1 = slice[Ellipsis, None] getitem(a); t1",
        "np.dot(a, a.T)": "t1 = transpose transpose[1, 0](a); t2 = matmul dot(a, t1); t2",
        "np.dot(a, a[0])": "t1 = slice[0] getitem(a); t2 = call dot(a, t1); t2",
        "np.dot(a, 2.0)": "t1 = call dot(a); t1",
        "np.vdot(a, a)": "t1 = vdot vdot(a, a); t1",
        "np.vdot(a, a.T)": "t1 = transpose transpose[1, 0](a); t2 = call vdot(a, t1); t2",
        "np.matmul(a, a[0])": "t1 = slice[0] getitem(a); t2 = call matmul(a, t1); t2",
        "np.copy(a)": "a",
        "np.clip(a, 0, 1)": "t1 = call clip(a); t1",
        "np.var(a, 0)": "t1 = call var(a); t1",
        "np.logaddexp(a, 1)": "t1 = ufunc logaddexp(a, 1); t1",
        "np.concatenate([a, a])": "t1 = call concatenate(a, a); t1",
        "np.outer(a[0], a[1])":
            "t1 = slice[0] getitem(a); t2 = slice[1] getitem(a); t3 = reshape reshape[4, 1](t1); "
            "t4 = ufunc multiply(t3, t2); t4",
        "np.einsum('ij,kj', a, a)": "t1 = call einsum(a, a); t1",
        "a.astype('i4')": "t1 = cast cast(a); t1",
        "a.astype(bool)": "t1 = cast cast(a); t1",
        "np.where(a > 1, 1.0, 0.0)": "t1 = ufunc greater(a, 1); t2 = where where(t1, 1.0, 0.0); t2",
        "np.add.reduce(a)": "t1 = reduce[keepdims False, dtype None] sum[0](a); t1",
        "np.frexp(a)": "t1 = call mantissa(a); t2 = call exponent(a); t1, t2",
        "np.modf(a)[0]": "t1 = call fraction(a); t1",
        "np.sin(a, dtype='f8')": "t1 = ufunc sin(a); t1",
        "np.linalg.norm(a)": "t1 = call vector_norm(a); t1",
        "np.argmax(a)": "t1 = call argmax(a); t1",
        "np.argsort(a, 0)": "t1 = call argsort(a); t1",
        "np.count_nonzero(a > 3)": "t1 = ufunc greater(a, 3); t2 = call count_nonzero(t1); t2",
        "a.shape[0] * a": "t1 = ufunc multiply(3, a); t1",
        "np.zeros_like(a) + a": "t1 = ufunc add(0.0, a); t1",
        "np.squeeze(a[None])": "a",
        "np.expand_dims(a, 0)": "t1 = call expand_dims(a); t1",
        "np.ravel(a)": "t1 = reshape reshape[12](a); t1",
        "np.broadcast_to(a, (2, 3, 4)).sum(0)":
            "t1 = broadcast broadcast[2, 3, 4](a); t2 = reduce[keepdims False, dtype None] sum[0](t1); t2",
        "a.T.sum(1)": "t1 = transpose transpose[1, 0](a); t2 = reduce[keepdims False, dtype None] sum[1](t1); t2",
        "abs(a)": "t1 = ufunc absolute(a); t1",
        "a == a": "t1 = ufunc equal(a, a); t1",
        "a[a.argmax() // 4]": "t1 = call argmax(a); t2 = ufunc floor_divide(t1, 4); t3 = call getitem(a, t2); t3",
    },
    "i": {
        "np.vdot(a, a)": "t1 = call vdot(a, a); t1",
        "a % 2": "t1 = ufunc remainder(a, 2); t1",
        "~a": "t1 = ufunc invert(a); t1",
        "a**2": "t1 = ufunc square(a); t1",
        "np.sqrt(a)": "t1 = ufunc sqrt(a); t1",
        "np.sum(a > 1)": "t1 = ufunc greater(a, 1); t2 = reduce[keepdims False, dtype None] sum[0](t1); t2",
    },
    "z": {
        "np.vdot(a, a)": "t1 = call vdot(a, a); t1",
        "abs(a)": "t1 = ufunc absolute(a); t1",
        "a.real": "t1 = call real(a); t1",
        "a.conj()": "t1 = ufunc conjugate(a); t1",
        "a @ a": "t1 = call matmul(a, a); t1",
    },
    "v n": {
        "a**b": "t1 = ufunc power(a, b); t1",
        "a * -b": "t1 = number neg(b); t2 = ufunc multiply(a, t1); t2",
        "a + abs(b)": "t1 = number abs(b); t2 = ufunc add(a, t1); t2",
        "np.power(b, a)": "t1 = ufunc power(b, a); t1",
        "b ** 2 * a": "t1 = number pow(b, 2); t2 = ufunc multiply(t1, a); t2",
        "np.where(a > b, a, b)": "t1 = ufunc less(b, a); t2 = where where(t1, a, b); t2",
        "a[0] * b": "t1 = slice[0] getitem(a); t2 = ufunc multiply(t1, b); t2",
        "(b > 1) * a": "t1 = number gt(b, 1); t2 = ufunc multiply(t1, a); t2",
        "divmod(b, 2)[0] * a": "t1 = number floordiv(b, 2); t2 = ufunc multiply(t1, a); t2",
        "a * round(b, 1)": "t1 = number round(b, 1); t2 = ufunc multiply(a, t1); t2",
        "a + b // 2": "t1 = number floordiv(b, 2); t2 = ufunc add(a, t1); t2",
        "a + b % 2": "t1 = number mod(b, 2); t2 = ufunc add(a, t1); t2",
        "2 ** b * a": "t1 = number pow(2, b); t2 = ufunc multiply(t1, a); t2",
        "(b - 1) * a": "t1 = number sub(b, 1); t2 = ufunc multiply(t1, a); t2",
        "(1 - b) * a": "t1 = number sub(1, b); t2 = ufunc multiply(t1, a); t2",
    },
    "v i": {
        "a[b]": "t1 = call getitem(a, b); t1",
        "np.take(a, b)": "t1 = call getitem(a, b); t1",
        "a[b, None]": "t1 = call getitem(a, b); t1",
        "np.take(a, b, mode='clip')": "t1 = call clip(b); t2 = call getitem(a, t1); t2",
        "np.where(b > 1, a, 0)": "t1 = ufunc greater(b, 1); t2 = where where(t1, a, 0); t2",
        "np.choose(b, [a, a, a, a])":
            "t1 = call choose(b); t2 = call stack(a, a, a, a); t3 = call broadcast_to(t1); "
            "t4 = slice[None] getitem(t3); t5 = call getitem(t2, t4, c[1, 4]); t6 = slice[0] getitem(t5); t6",
        "np.take_along_axis(a, b, 0)": "t1 = call getitem(a, b); t1",
    },
}  # fmt: skip


def kind(op: Op) -> str:
    left, _, right = line(op).partition(" = ")
    how = str(list(op.attrs[0])) if op.kind == "slice" else ""
    if op.kind == "reduce":
        how = f"[keepdims {op.attrs[1]}, dtype {op.attrs[2]}]"
    return f"{left} = {op.kind}{how} {right}"


@rows(LOWERED)
def test_a_call_becomes_operations_of_few_kinds(text: str, given: str, wanted: str) -> None:
    found = program(text, given)
    assert "; ".join([*map(kind, found.ops), ", ".join(map(name, found.outputs))]) == wanted


# -- Where each value lies


PLACES: dict[str, dict[str, str]] = {
    "v v, a donated": {
        "a - 0.1 * b": "t1 multiply: buffer 0; t2 subtract: over a; 32 bytes",
        "(a - 0.1 * b, b * 2)": "t1 multiply: buffer 0; t2 subtract: over a; t3 multiply: output; 32 bytes",
        "(a - 1, b * 2)": "t1 subtract: over a; t2 multiply: output; 0 bytes",
        "(b * 2, a - 1)": "t1 multiply: output; t2 subtract: over a; 0 bytes",
        "a[0] * b": "t1 getitem: view of a; t2 multiply: output; 0 bytes",
        "(a > 0) * b": "t1 greater: buffer 0; t2 multiply: over a; 4 bytes",
        "np.where(a > 0, b, a)": "t1 greater: buffer 0; t2 where: over a; 4 bytes",
        "np.where(a > 0, a, b)": "t1 greater: buffer 0; t2 where: output; 4 bytes",
        "np.sign(a)": "t1 sign: output; 0 bytes",
        "np.sign(np.exp(a))": "t1 exp: buffer 0; t2 sign: over a; 32 bytes",
        "np.cumsum(a)": "t1 cumsum: output; 0 bytes",
        "np.cumsum(a) * 2": "t1 cumsum: new; t2 multiply: over a; 0 bytes",
        "(a * 2)[::-1]": "t1 multiply: buffer 0; t2 getitem: strided view of t1; 32 bytes",
        "(a * 2)[1:]": "t1 multiply: buffer 0; t2 getitem: view of t1; 32 bytes",
        "np.sin(np.cos(np.exp(a)))": "t1 exp: in t3; t2 cos: in t3; t3 sin: over a; 0 bytes",
        "np.sin(a) * np.cos(a) + 1": "t1 sin: buffer 0; t2 cos: in t4; t3 multiply: in t4; t4 add: over a; 32 bytes",
        "(lambda t: (t, np.sin(t) * 2))(np.exp(a))": "t1 exp: over a; t2 sin: in t3; t3 multiply: output; 0 bytes",
        "(lambda t: (t[0:2].sum(), np.sin(t) * 2))(np.exp(a))":
            "t1 exp: buffer 0; t2 getitem: view of t1; t3 sum: output; t4 sin: in t5; t5 multiply: over a; "
            "32 bytes",
        "(lambda t: (np.sin(t) * 2, t.sum()))(np.exp(a))":
            "t1 exp: in t4; t2 sum: output; t3 sin: in t4; t4 multiply: over a; 0 bytes",
        "(lambda t: (np.sin(t) * 2, np.cumsum(t)))(np.exp(a))":
            "t1 exp: in t4; t2 cumsum: output; t3 sin: in t4; t4 multiply: over a; 0 bytes",
        "np.where(np.sin(a) > 0, np.cos(a), np.exp(a))":
            "t1 sin: buffer 0; t2 greater: buffer 1; t3 cos: buffer 2; t4 exp: in t5; t5 where: over a; 68 bytes",
        "np.sin(np.exp(a)).sum()": "t1 exp: buffer 0; t2 sin: buffer 0; t3 sum: output; 32 bytes",
        "(np.sin(np.exp(a)) * np.exp(2 * a)).sum()":
            "t1 exp: buffer 0; t2 sin: buffer 0; t3 multiply: buffer 1; t4 exp: buffer 1; t5 multiply: buffer 0; "
            "t6 sum: output; 96 bytes",
        "a - np.exp(b * 2)": "t1 multiply: buffer 0; t2 exp: buffer 0; t3 subtract: over a; 32 bytes",
        "(lambda t: a * t - t)(np.exp(b))": "t1 exp: buffer 0; t2 multiply: in t3; t3 subtract: over a; 32 bytes",
        "(lambda t: t * t)(np.exp(b))": "t1 exp: in t2; t2 multiply: over a; 0 bytes",
        "(lambda t: np.vdot(t * t, t))(np.exp(b))":
            "t1 exp: buffer 0; t2 multiply: buffer 1; t3 vdot: output; 96 bytes",
        "(lambda t: (t[1:], np.sin(t).sum(), np.cos(t * 2).sum()))(np.exp(a))":
            "t1 exp: buffer 0; t2 getitem: view of t1; t3 sin: buffer 1; t4 sum: output; t5 multiply: buffer 2; "
            "t6 cos: buffer 2; t7 sum: output; 96 bytes",
        "(lambda t: t + t[::-1])(np.exp(a))":
            "t1 exp: buffer 0; t2 getitem: strided view of t1; t3 add: over a; 32 bytes",
        "(lambda t: (t * 2 + t[::-1]).sum())(np.exp(a))":
            "t1 exp: buffer 0; t2 multiply: buffer 1; t3 getitem: strided view of t1; t4 add: buffer 1; "
            "t5 sum: output; 96 bytes",
        "np.exp(a).astype('f4') * 2": "t1 exp: buffer 0; t2 cast: in t3; t3 multiply: output; 32 bytes",
        "np.exp(a[:1]) * b": "t1 getitem: view of a; t2 exp: buffer 0; t3 multiply: over a; 8 bytes",
        "np.exp(b) - a": "t1 exp: buffer 0; t2 subtract: over a; 32 bytes",
        "(lambda t: (np.sin(t), np.cos(t)))(a * b)": "t1 multiply: in t3; t2 sin: over a; t3 cos: output; 0 bytes",
        "(a.sum(), a * 2)": "t1 sum: output; t2 multiply: over a; 0 bytes",
        "(a, a * 2)": "t1 multiply: output; 0 bytes",
    },
    "s s, a donated": {
        "(a - 1, a @ b)": "t1 matmul: output; t2 subtract: over a; 0 bytes",
        "a @ b": "t1 matmul: output; 0 bytes",
        "a + a.T": "t1 transpose: strided view of a; t2 add: output; 0 bytes",
        "a - b.T": "t1 transpose: strided view of b; t2 subtract: over a; 0 bytes",
        "(np.exp(a) @ b) * 2": "t1 exp: buffer 0; t2 matmul: in t3; t3 multiply: over a; 72 bytes",
        "np.exp(a).T * 2": "t1 exp: buffer 0; t2 transpose: strided view of t1; t3 multiply: over a; 72 bytes",
        "np.exp(a.T) * 2": "t1 transpose: strided view of a; t2 exp: buffer 0; t3 multiply: over a; 72 bytes",
        "(a * 2, b.T)": "t1 transpose: strided view of b; t2 multiply: over a; 0 bytes",
    },
    "x": {
        "np.cumsum(np.exp(a).T.reshape(12)) * 2":
            "t1 exp: buffer 0; t2 transpose: strided view of t1; t3 reshape: buffer 1; t4 cumsum: new; "
            "t5 multiply: output; 224 bytes",
        "np.cumsum(np.exp(a[:1]).T.reshape(4))":
            "t1 getitem: view of a; t2 exp: buffer 0; t3 transpose: view of t2; t4 reshape: view of t2; "
            "t5 cumsum: output; 32 bytes",
        "(lambda t: np.cumsum(t[1:].reshape(8)) + np.cumsum(t[0])[0])(np.exp(a))":
            "t1 exp: buffer 0; t2 getitem: view of t1; t3 reshape: view of t1; t4 cumsum: new; "
            "t5 getitem: view of t1; t6 cumsum: new; t7 getitem: view of t6; t8 add: output; 96 bytes",
        "np.cumsum(np.exp(a)[::2].reshape(8))":
            "t1 exp: buffer 0; t2 getitem: strided view of t1; t3 reshape: buffer 1; t4 cumsum: output; 192 bytes",
        "np.cumsum(np.exp(a)[0:2:1].reshape(8))":
            "t1 exp: buffer 0; t2 getitem: view of t1; t3 reshape: view of t1; t4 cumsum: output; 96 bytes",
        "np.cumsum(np.exp(a)[:, 1:].reshape(9))":
            "t1 exp: buffer 0; t2 getitem: strided view of t1; t3 reshape: buffer 1; t4 cumsum: output; 200 bytes",
        "np.cumsum(np.exp(a)[None].reshape(12))":
            "t1 exp: buffer 0; t2 getitem: view of t1; t3 reshape: view of t1; t4 cumsum: output; 96 bytes",
        "np.cumsum(np.exp(a)[1, ...].reshape(2, 2))":
            "t1 exp: buffer 0; t2 getitem: view of t1; t3 reshape: view of t1; t4 cumsum: output; 96 bytes",
        "np.cumsum(np.exp(a)[..., 1:].reshape(9))":
            "t1 exp: buffer 0; t2 getitem: strided view of t1; t3 reshape: buffer 1; t4 cumsum: output; 200 bytes",
        "np.cumsum(np.exp(a)[1:, :].reshape(8))":
            "t1 exp: buffer 0; t2 getitem: view of t1; t3 reshape: view of t1; t4 cumsum: output; 96 bytes",
        "np.cumsum(np.exp(a).T[1:].reshape(9))":
            "t1 exp: buffer 0; t2 transpose: strided view of t1; t3 getitem: strided view of t1; "
            "t4 reshape: buffer 1; t5 cumsum: output; 200 bytes",
        "np.cumsum(np.exp(a)[:, 1].reshape(3, 1))":
            "t1 exp: buffer 0; t2 getitem: strided view of t1; t3 reshape: buffer 1; t4 cumsum: output; 152 bytes",
        "np.cumsum(np.exp(a)[1:2, 1:].reshape(3, 1))":
            "t1 exp: buffer 0; t2 getitem: strided view of t1; t3 reshape: buffer 1; t4 cumsum: output; 152 bytes",
        "np.cumsum(np.exp(a)[1:].T.reshape(2, 4))":
            "t1 exp: buffer 0; t2 getitem: view of t1; t3 transpose: strided view of t1; t4 reshape: buffer 1; "
            "t5 cumsum: output; 192 bytes",
    },
    "v": {
        "np.cumsum(np.broadcast_to(np.exp(a), (3, 4)).reshape(12))":
            "t1 exp: buffer 0; t2 broadcast: strided view of t1; t3 reshape: buffer 1; t4 cumsum: output; "
            "160 bytes",
    },
    "x v, a donated": {
        "np.exp(b) * a": "t1 exp: buffer 0; t2 multiply: over a; 32 bytes",
        "np.exp(a.sum(0)) * b": "t1 sum: in t3; t2 exp: in t3; t3 multiply: output; 0 bytes",
        "(a.sum(0), a * b)": "t1 sum: output; t2 multiply: over a; 0 bytes",
    },
    "f v, a donated": {
        "(a * b, np.exp(b))": "t1 multiply: output; t2 exp: output; 0 bytes",
        "a * 2": "t1 multiply: over a; 0 bytes",
        "(a * 2).astype(float) * b": "t1 multiply: buffer 0; t2 cast: in t3; t3 multiply: output; 16 bytes",
        "a * 2 + a": "t1 multiply: buffer 0; t2 add: over a; 16 bytes",
        "np.exp(a.astype(float)) + b": "t1 cast: in t3; t2 exp: in t3; t3 add: output; 0 bytes",
    },
    "v v, a and b donated": {
        "(a - 0.1 * b, b * 2)": "t1 multiply: buffer 0; t2 subtract: over a; t3 multiply: over b; 32 bytes",
        "(a - 1, b * 2)": "t1 subtract: over a; t2 multiply: over b; 0 bytes",
        "(b * 2, a - 1)": "t1 multiply: over b; t2 subtract: over a; 0 bytes",
        "(a, a * 2)": "t1 multiply: over b; 0 bytes",
        "(a * 2, a * 3)": "t1 multiply: over b; t2 multiply: over a; 0 bytes",
        "(a * 2, b, a * 3)": "t1 multiply: output; t2 multiply: over a; 0 bytes",
        "np.sign(a)": "t1 sign: over b; 0 bytes",
        "np.where(a > 0, a, b)": "t1 greater: buffer 0; t2 where: over b; 4 bytes",
    },
}  # fmt: skip


def place(writer: Writer, op: Op, out: Value) -> str:
    memory = writer.memory
    if out in memory.owner:
        return f"{'strided ' if out in memory.strided else ''}view of {name(memory.owner[out])}"
    if out in memory.onto:
        return f"over {name(memory.onto[out])}"
    if out in memory.target:
        return f"in {name(memory.target[out])}"
    if out in memory.place:
        return f"buffer {memory.place[out]}"
    return "output" if out in writer.program.outputs else "new"


@rows(PLACES)
def test_every_value_has_a_place(text: str, given: str, wanted: str) -> None:
    donated = {"a donated": {0}, "a and b donated": {0, 1}}.get(given.partition(", ")[2], set())
    writer = Writer(program(text, given), Names(), frozenset(donated))
    found = [f"{name(out)} {op.name}: {place(writer, op, out)}" for op in writer.program.ops for out in op.outs]
    assert "; ".join([*found, f"{writer.memory.bytes} bytes"]) == wanted


VIEWED = {
    "in order": [
        "a[1:]",
        "a[:1]",
        "a[1]",
        "a[-1]",
        "a[None]",
        "a[...]",
        "a[1:3, ...]",
        "a[1:, :]",
        "a[1:, None]",
        "a[1::1]",
        "a[1][1]",
        "a.T.T",
        "a.reshape(6, 10)",
        "a.reshape(60)[2:]",
        "a[1:].reshape(45)",
        "a[1:].reshape(9, 5)[1]",
    ],
    "strided": [
        "a[::2]",
        "a[::-1]",
        "a[..., 1:]",
        "a[:, 1]",
        "a[None, 1:]",
        "a[1, :2]",
        "a[:1, :1]",
        "a[1:, ::2]",
        "a[1:, :, 0]",
        "a[1][:, 1]",
        "a[:, 1][1]",
        "a[::2][1:]",
        "a.T",
        "a.T[1]",
        "a[1].T",
        "a[:, 1].T",
        "a.transpose(0, 2, 1)",
        "a[:1].transpose(1, 0, 2)",
        "a[1].reshape(5, 3).T",
        "a[0, 0][::2]",
        "a[:, :, 0][0]",
        "a[0, 0]",
        "a[1, ..., 0]",
        "a[0, 0][2:]",
        "a[:1, 0, 0].T",
        "np.broadcast_to(a[0], (2, 3, 5))",
        "np.broadcast_to(a, (2, 4, 3, 5))[1:]",
        "np.broadcast_to(a[0, 0, :1], 5)",
    ],
    "a copy": ["a.T.reshape(60)", "a[:, 1].reshape(20)", "np.broadcast_to(a[0], (2, 3, 5)).reshape(30)"],
}


@pytest.mark.parametrize(("how", "text"), [(how, text) for how in VIEWED for text in VIEWED[how]])
def test_where_a_view_looks_and_whether_its_entries_lie_in_order(how: str, text: str) -> None:
    """What is said to lie in order does; not all that does is said to, which costs a copy at most."""
    a = np.arange(60.0).reshape(4, 3, 5)
    leaves, rebuild = flatten([[a], {}])
    made = simplify.simplify(
        trace(eval(f"lambda a: np.cumsum({text}, 0)", {"np": np}), leaves, rebuild, frozenset())[0]
    )
    memory, lie = Writer(made, Names(), frozenset()).memory, {made.inputs[0]: a}
    for op in made.ops[:-1]:
        out = op.out
        lie[out] = view_of(op, lie[op.args[0]])
        assert out in memory.strided or lie[out].flags.c_contiguous
        if memory.root(out) is not out:
            assert np.shares_memory(lie[out], lie[memory.root(out)])
    last = made.ops[-1].args[0]
    assert how == (
        "strided" if last in memory.strided else "a copy" if last.op and last not in memory.owner else "in order"
    )
    np.testing.assert_array_equal(lie[last], eval(text, {"a": a, "np": np}))


# -- What becomes one kernel: its arguments, and what it stores; * is memory of its own


KERNELS: dict[str, dict[str, str]] = {
    "v v": {
        "a + b": "t1 = add(a, b)",
        "a * b + 1": "(a b) -> t2",
        "np.sin(a) * 2 + np.cos(b)": "(a b) -> t4",
        "a * b / b.sum()": "(b a) -> *t1 t3",
        "(a * b, a * b + 1)": "(a b) -> t1 t2",
        "(a * 2).sum() + (b * 2).max()": "(a b) -> *t2 *t4 t5",
        "np.cumsum(a * 2 + b) * 2 + b": "(a b) -> t2; t3 = cumsum(t2); (t3 b) -> t5",
        "np.cumsum(a * b + 1) * (b * 3 + a)": "(a b) -> t4; t5 = cumsum(t4); (b a t5) -> t6",
        "(lambda t: (np.cumsum(t), t))(a * b + 1)": "(a b) -> t2; t3 = cumsum(t2)",
        "(lambda t: np.cumsum(t) * (t + b * a))(a * b + 1)": "(a b) -> t2 t5; t3 = cumsum(t2); t6 = multiply(t3, t5)",
        "(lambda s: np.cumsum(np.cumsum(a)) * (a * s + s))(b.sum() * 2)":
            "t3 = cumsum(a); t6 = cumsum(t3); (b a t6) -> *t1 *t2 t7",
        "(lambda t: np.cumsum(np.cumsum(a + 1) + b) * (b * 2 + 3))(0)":
            "t1 = add(a, 1); t2 = cumsum(t1); t3 = add(t2, b); t6 = cumsum(t3); (b t6) -> t7",
        "np.cumsum(a.reshape(2, 2) * 2 + 1, 0).T * 2 + 1": "(a) -> t3; t4 = cumsum(t3); (t4) -> t7",
        "(np.cumsum(a) * 2 + 1).reshape(2, 2)": "t1 = cumsum(a); (t1) -> t3; t4 = reshape[2, 2](t3)",
        "np.cumsum((a * 2 + b)[::-1]) + 1": "(a b) -> t2; t3 = getitem(t2); t4 = cumsum(t3); t5 = add(t4, 1)",
        "(lambda t: (t.reshape(2, 2), t.sum()))(a * b + b)": "(a b) -> t2 t3; t4 = reshape[2, 2](t2)",
        "np.where(a > b, a, b) + 1": "(a b) -> t3",
        "a.astype('f4')": "t1 = cast(a)",
        "a @ b + 1": "(a b) -> *t1 t2",
        "np.vdot(a, b)": "t1 = vdot(a, b)",
        "np.vdot(a, b) * a": "(a b) -> *t1 t2",
        "np.arctan2(a, b) + a * b": "t1 = arctan2(a, b); (a b t1) -> t3",
        "(a > b).sum() + (a == b)": "(a b) -> *t2 t4",
        "np.sign(a) + np.floor(b)": "(a b) -> t3",
        "np.bitwise_and(a > 1, b > 1) + (a > 2)": "(a b) -> t3 t4; t5 = add(t3, t4)",
        "(a * 2)[None] + b[:, None]": "(a b) -> *t1 t4",
        "np.exp(a)": "t1 = exp(a)",
        "np.exp(np.full((3, 4), 1.0) * a)": "t1 = multiply(c[3, 4], a); t2 = exp(t1)",
        "np.abs(np.full((3, 4), 1.0) * a) + 1": "(c[3, 4] a) -> t3",
        "a[0:0] * 2 + 1": "t1 = getitem(a); t2 = multiply(t1, 2); t3 = add(t2, 1)",
        "(a * 2).max() + 1": "(a) -> *t2 t3",
        "(a > 1).max()": "t1 = greater(a, 1); t2 = max[0](t1)",
        "a.prod() * 2 + b": "t1 = prod[0](a); (t1 b) -> *t2 t3",
        "a // b + a * b": "t1 = floor_divide(a, b); (a b t1) -> t3",
    },
    "s s": {
        "a @ b": "t1 = matmul(a, b)",
        "a @ b + 1": "t1 = matmul(a, b); t2 = add(t1, 1)",
        "np.exp(a @ b)": "t1 = matmul(a, b); t2 = exp(t1)",
        "np.tanh(a @ b) @ b": "t1 = matmul(a, b); t2 = tanh(t1); t3 = matmul(t2, b)",
        "(a @ b) @ a": "t1 = matmul(a, b); t2 = matmul(t1, a)",
        "np.exp(a * 2)": "t1 = multiply(a, 2); t2 = exp(t1)",
        "a.T @ b + b.T": "t1 = transpose[1, 0](a); t2 = matmul(t1, b); t3 = transpose[1, 0](b); t4 = add(t2, t3)",
        "(a @ b)[:2] @ b + 1": "t1 = matmul(a, b); (t1 b) -> *t3 t4",
        "(a * 2).T @ (b * 2)": "(a b) -> t1 t3; t2 = transpose[1, 0](t1); t4 = matmul(t2, t3)",
    },
    "x x": {
        "a.T @ b": "t1 = transpose[1, 0](a); t2 = matmul(t1, b)",
        "a @ b.T": "t1 = transpose[1, 0](b); t2 = matmul(a, t1)",
        "(a + 1) @ b.T + 1": "t1 = add(a, 1); t2 = transpose[1, 0](b); t3 = matmul(t1, t2); t4 = add(t3, 1)",
        "np.sin(a) + np.abs(b)": "t1 = sin(a); (b t1) -> t3",
        "(np.sin(a) + 1).sum(1)": "t1 = sin(a); (t1) -> t3",
        "(a * b).sum(1, keepdims=True) * a": "(a b) -> *t2 t3",
        "a.mean(0) + b": "(a b) -> *t1 *t2 t3",
        "(lambda d: np.cumsum((a - b.max()), 0) + d * 2 + d)(a * b + 1)":
            "(b a) -> *t1 t2; t6 = cumsum(t2); (a b t6) -> *t4 t8",
    },
    "f v": {
        "a * b": "t1 = multiply(a, b)",
        "a * 2 + a": "(a) -> t2",
        "(a * 2).sum()": "(a) -> t2",
        "a.astype(float) + b": "(a b) -> t2",
        "(lambda t: (t.sum(), (t * b).sum()))(a * 2)": "(a b) -> *t1 t2 t4",
    },
    "i v": {
        "a * b": "t1 = multiply(a, b)",
        "a + 1": "t1 = add(a, 1)",
        "(a * 2).max()": "t1 = multiply(a, 2); t2 = max[0](t1)",
        "(a * 2).sum()": "(a) -> t2",
        "a ** 2 * b": "(a b) -> t2",
        "a & 3": "t1 = bitwise_and(a, 3)",
        "np.sqrt(a) * b": "(a b) -> t2",
        "np.minimum(a, 2) * b": "(a b) -> t2",
        "np.exp(a)": "t1 = exp(a)",
    },
}  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits, so that a product of 27 multiplications, or 9 sines, get a call of their own."""
    monkeypatch.setattr(fuse, "available", lambda: False)
    monkeypatch.setattr(fuse, "PRODUCT", 24)
    monkeypatch.setattr(fuse, "VECTOR", 8)


def kernels(ops: list[Op]) -> str:
    found = []
    for op in ops:
        if op.kind == "kernel":
            stored = [("*" if v in op.function.scratch else "") + name(v) for v in op.function.stored]
            found.append(f"({' '.join(map(name, op.args))}) -> {' '.join(stored)}")
        else:
            found.append(line(op))
    return "; ".join(found)


@rows(KERNELS)
def test_operations_become_kernels(text: str, given: str, wanted: str, small: None) -> None:
    assert kernels(fuse.fuse(program(text, given)).ops) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("np.sin(a) * 2 + np.cos(b)", "over a; 0 bytes"), ("(np.sin(a) * 2 + b, a)", "output; 0 bytes")],
)
def test_a_kernel_writes_over_an_argument_that_is_given_away(text: str, wanted: str, small: None) -> None:
    writer = Writer(fuse.fuse(program(text, "v v")), Names(), frozenset({0}))
    (op,) = [op for op in writer.program.ops if op.kind == "kernel"]
    (out,) = op.outs
    assert f"{place(writer, op, out)}; {writer.memory.bytes} bytes" == wanted


@pytest.mark.parametrize(
    ("text", "work"),
    [
        ("np.sqrt(a) * b", 2 * 120), ("a * b * b", 2 * 120),
        ("(lambda f: f(f(f(f(a * b)))))(lambda t: t * t)", 5 * 120),
        ("(lambda t: (t + 1) * (t - b))(a * b)", 4 * 120), ("(a * b).sum(1)", 120 + 120),
    ],
)  # fmt: skip
def test_work_that_is_read_often_is_counted_once(
    text: str, work: int, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (op,) = [op for op in fuse.fuse(program(text, "w w")).ops if op.kind == "kernel"]
    names = {value: name(value) for value in (*op.args, *op.outs)}
    for limit, parted in ((work, 0), (work - 1, 10)):
        monkeypatch.setattr(loops, "LARGE", limit)
        (*_, last) = op.function.source(names, 10)
        assert getattr(last, "rows", 0) == parted
        assert not any(isinstance(one, loops.ParallelLoop) for one in op.function.source(names, 11))


@pytest.mark.parametrize("threads", [1, 3])
def test_kernels_compute_what_numpy_does(
    threads: int, plain_kernels: None, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")
    if threads > 1:
        monkeypatch.setattr(loops, "LARGE", -1)
        monkeypatch.setattr(machine.Machine, "threads", staticmethod(lambda: threads))
    for given in KERNELS:
        functions, arguments = [function(text, given)[0] for text in KERNELS[given]], function("a", given + " v")[1]
        together = lambda a, b, functions=functions: [f(a, b) for f in functions]
        fast = compile(together, backend="numba")
        for k in range(2):
            moved = [x + x.dtype.type(k) for x in arguments[:2]]
            with np.errstate(all="ignore"):
                found, right = fast(*moved), together(*moved)
            for a, b in zip(flatten(found)[0], flatten(right)[0], strict=True):
                slack = 64 * np.finfo(np.asarray(b).dtype).eps if np.asarray(b).dtype.kind == "f" else 0
                np.testing.assert_allclose(a, b, rtol=slack, atol=slack)


# -- As it is shown


def shown(w: Any, x: Any, n: Any) -> Any:
    t = np.exp(x) @ w.T
    mean, wide = x.mean(), np.broadcast_to(t.sum(0), (2, 3))
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2)) * 1.0
    chosen = np.where(x > 2, 0.5, 3) * np.ones(4) * 1.5
    return w - n * (t.T @ x) * 0.1234567, np.cumsum(wide, axis=1), chosen, mean, windows


TABLES = {
    "numpy": """\
plan for numpy: 18 operations, 6 buffers, 312 B
      operation                        result                  bytes kept in
    1 exp(i1)                          float64[5, 4]           160 B buffer 0
    2 transpose(i0)                    float64[4, 3]                 view
    3 matmul(1, 2)                     float64[5, 3]           120 B buffer 1
    4 sum(3)                           float64[3]               24 B buffer 2
    5 sum(i1)                          float64[]                 8 B buffer 3
    6 divide(5, 20)                    float64[]                 8 B output
    7 broadcast(4)                     float64[2, 3]                 view
    8 window(i1)                       float64[4, 4, 2]        256 B new
    9 window(8)                        float64[4, 3, 2, 2]     384 B output
   10 transpose(3)                     float64[3, 5]                 view
   11 matmul(10, i1)                   float64[3, 4]            96 B buffer 4
   12 greater(i1, 2)                   bool[5, 4]               20 B buffer 5
   13 where(12, 0.5, 3)                float64[5, 4]           160 B output
   14 multiply(13, 1.5)                float64[5, 4]           160 B output
   15 multiply(i2, 11)                 float64[3, 4]            96 B buffer 4
   16 multiply(15, 0.1235)             float64[3, 4]            96 B buffer 4
   17 subtract(i0, 16)                 float64[3, 4]            96 B argument 0
   18 cumsum(7)                        float64[2, 3]            48 B output
      returns 17, 18, 14, 6, 9
""",
    "numba": """\
plan for numba: 19 operations in 1 kernel, 2 buffers, 408 B
      operation                        result                  bytes kept in
    8 window(i1)                       float64[4, 4, 2]        256 B new
    9 window(8)                        float64[4, 3, 2, 2]     384 B output
      kernel of 12
    1 | exp(i1)                        float64[5, 4]           160 B buffer 1
    2 | transpose(i0)                  float64[4, 3]                 view
    3 | matmul(1, 2)                   float64[5, 3]           120 B buffer 1
    4 | sum(3)                         float64[3]               24 B buffer 0
    5 | sum(i1)                        float64[]                 8 B buffer 1
    6 | divide(5, 20)                  float64[]                 8 B output
    7 | broadcast(4)                   float64[2, 3]                 view
   10 | transpose(3)                   float64[3, 5]                 view
   11 | matmul(10, i1)                 float64[3, 4]            96 B buffer 1
   12 | greater(i1, 2)                 bool[5, 4]                    in passing
   13 | where(12, 0.5, 3)              float64[5, 4]                 in passing
   14 | multiply(13, 1.5)              float64[5, 4]           160 B output
   15 | multiply(i2, 11)               float64[3, 4]                 in passing
   16 | multiply(15, 0.1235)           float64[3, 4]                 in passing
   17 | subtract(i0, 16)               float64[3, 4]            96 B output
    7 broadcast(4)                     float64[2, 3]                 view
   18 cumsum(7)                        float64[2, 3]            48 B output
      returns 17, 18, 14, 6, 9
""",
}


def plan(backend: str, donate: tuple[int, ...] = ()) -> Any:
    w, x = np.ones((3, 4)), np.arange(20.0).reshape(5, 4)
    return compile(shown, backend=backend, donate=donate).plan(w, x, 2)


@pytest.mark.parametrize("backend", TABLES)
def test_a_plan_is_a_table(backend: str, plain_kernels: None) -> None:
    if backend == "numba":
        pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")
    assert str(plan(backend, (0,) if backend == "numpy" else ())) + "\n" == TABLES[backend]


@pytest.mark.parametrize("text", ["np.tanh(a) * b", "np.cumsum(np.tanh(a) * b) * 2.0 + np.sin(b)"])
def test_code_is_large_beyond_a_number_of_kernels_or_lines(text: str) -> None:
    pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")
    code = Code(program(text, "v v"), "numba")
    kernels, lines = code.writer.machine.size()
    assert kernels > 0
    assert lines > 0
    sizes = [(kernels, lines), (kernels - 1, lines), (kernels, lines - 1), (kernels + 1, lines + 1), (0, 0)]
    assert [code.large(*size) for size in sizes] == [False, True, True, False, True]


def test_long_texts_are_truncated() -> None:
    assert [truncate(text, 5, "...") for text in ("abcd", "abcde", "abcdef")] == ["abcd", "abcde", "ab..."]
    amounts = [bytes_text(n) for n in (0, 999, 1000, 999_499, 999_500, 1_000_000, 10**9, 5 * 10**12)]
    assert amounts == ["0 B", "999 B", "1 kB", "999 kB", "1 MB", "1 MB", "1 GB", "5 TB"]
    long = compile(lambda x: [x * k for k in range(2, 30)], backend="numpy").plan(np.ones(2))
    assert max(map(len, str(long).splitlines())) == 80


def test_a_plan_is_a_graph(plain_kernels: None) -> None:
    pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")
    view = plan("numba").graph()
    found = []
    for node in view:
        read = [view[edge.source] for edge in view.edges if edge.target == node.number]
        if node.operation:
            text = ", ".join(other.operation or other.name or str(other.shape) for other in read)
            found.append(f"{node.scope}: {node.operation}({text}) {node.shape}")
    assert found == GRAPH


GRAPH = [
    "None: window(argument 1) (4, 4, 2)",
    "None: window(window) (4, 3, 2, 2)",
    "kernel 2: exp(argument 1) (5, 4)",
    "kernel 2: transpose(argument 0) (4, 3)",
    "kernel 2: matmul(exp, transpose) (5, 3)",
    "kernel 2: sum(matmul) (3,)",
    "kernel 2: sum(argument 1) ()",
    "kernel 2: divide(sum, ()) ()",
    "kernel 2: transpose(matmul) (3, 5)",
    "kernel 2: matmul(transpose, argument 1) (3, 4)",
    "kernel 2: greater(argument 1, ()) (5, 4)",
    "kernel 2: where(greater, (), ()) (5, 4)",
    "kernel 2: multiply(where, ()) (5, 4)",
    "kernel 2: multiply(argument 2, matmul) (3, 4)",
    "kernel 2: multiply(multiply, ()) (3, 4)",
    "kernel 2: subtract(argument 0, multiply) (3, 4)",
    "None: broadcast(sum) (2, 3)",
    "None: cumsum(broadcast) (2, 3)",
]
