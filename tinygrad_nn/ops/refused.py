"""Advice for error messages: what to write instead of the NumPy functions and methods that take no Tensor.

Code is in backticks. It uses a Tensor t of shape (2, 3), vectors v and w of length 3, an integer Tensor k, and a file.
A test runs all of this code, and checks that each function of NumPy has a rule or an entry here.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..primitive import ADVISORS, ATTRIBUTES

PLAIN = "For a plain value write `{name}({args})`."
COUNTS = "Counts and edges do not move with the numbers, so there is no derivative. " + PLAIN
BITS = "It works on the bits of whole numbers, which have no derivative. " + PLAIN
TEXT = "It works on text, and a Tensor holds numbers."
DATES = "It works on dates, and a Tensor holds numbers."
RECORDS = "It works on records with named fields; keep a dict of Tensors, {\"name\": t}, which grad takes as it is."
READS = "It reads plain numbers; make them a leaf: tinygrad_nn.Tensor({name}(...))."
FIXED = "The number of entries has no derivative; scale a fixed array: `{code}`."

FUNCTIONS: dict[str, str] = {
    # statistics
    "np.histogram": COUNTS.format(name="np.histogram", args="t.data") + " A smooth one is "
                    "`np.exp(-((v[:, None] - np.arange(4)) ** 2)).sum(axis=0)`.",
    "np.histogram2d": COUNTS.format(name="np.histogram2d", args="v.data, w.data"),
    "np.histogramdd": COUNTS.format(name="np.histogramdd", args="t.data"),
    "np.histogram_bin_edges": COUNTS.format(name="np.histogram_bin_edges", args="t.data"),
    "np.bincount": "Counts have no derivative: `np.bincount(k.data)`. Weights do: `np.bincount(k, v)`.",
    "np.sort_complex": "Write `np.sort(v) + 0j`.",
    # polynomials in two variables
    "np.polynomial.polynomial.polyval2d": "Write `tinygrad_nn.polynomial.polyval2d(v, w, t)`.",
    "np.polynomial.polynomial.polygrid2d": "Write `tinygrad_nn.polynomial.polygrid2d(v, w, t)`.",
    # ranges
    "np.arange": FIXED.format(code="v[0] + v[1] * np.arange(5)"),
    "np.zeros": "Its shape is made of whole numbers: `np.zeros(t.shape)`.",
    "np.ones": "Its shape is made of whole numbers: `np.ones(t.shape)`.",
    "np.empty": "Its shape is made of whole numbers: `np.empty(t.shape)`.",
    "np.eye": FIXED.format(code="v[0] * np.eye(3)"),
    "np.identity": FIXED.format(code="v[0] * np.identity(3)"),
    "np.tri": FIXED.format(code="v[0] * np.tri(3)"),
    "np.fromfunction": "Call the function on indices: `v[0] * np.arange(3)`.",
    "np.require": "A graph does not record the layout in memory; for another dtype write `t.astype(np.float32)`.",
    # bits of whole numbers
    **{f"np.{name}": BITS.format(name=f"np.{name}", args="k.data.astype(np.uint8)") for name in (
        "packbits", "unpackbits")},
    # dates
    **{f"np.{name}": DATES for name in (
        "busday_count", "busday_offset", "is_busday", "datetime_as_string", "isnat")},
    # files
    "np.save": "Save the plain values: `np.save(file, t.data)`; weights with tinygrad_nn.io.save_weights.",
    "np.savez": "Save the plain values: `np.savez(file, t=t.data)`; weights with tinygrad_nn.io.save_weights.",
    "np.savez_compressed": "Save the plain values: `np.savez_compressed(file, t=t.data)`.",
    "np.savetxt": "Save the plain values: `np.savetxt(file, t.data)`.",
    **{f"np.{name}": READS.format(name=f"np.{name}") for name in (
        "frombuffer", "fromfile", "fromiter", "fromstring", "genfromtxt", "loadtxt")},
}  # fmt: skip
if hasattr(np.polynomial.polynomial, "polyvalnd"):  # NumPy 2.5
    FUNCTIONS["np.polynomial.polynomial.polyvalnd"] = "Write `tinygrad_nn.polynomial.polyval2d(v, w, t)`, or polyval3d."

COMPARISONS = {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal}
MEMORY = "which lies in memory and is no part of a graph: use `t.data.{name}`."
METHODS_OF_ARRAYS: dict[str, str] = {
    "getfield": "It reads part of the bits of each entry, which has no derivative; `t.astype(np.float32)` converts.",
    "flat": "Write `t.ravel()`, and instead of t.flat[i] `t.ravel()[3]`.",
    "tobytes": "Bytes have no derivative: `t.data.tobytes()`.",
    "tofile": "Save the plain values: `np.save(file, t.data)`.",
    "dump": "It pickles; save the plain values: `np.save(file, t.data)`.",
    "dumps": "It pickles; save the plain values: `np.save(file, t.data)`.",
    "setflags": "A Tensor is never written into, so it needs no flags.",
    **{name: f"It is a property of the array, {MEMORY.format(name=name)}" for name in (
        "base", "ctypes", "flags", "itemsize", "nbytes", "strides")},
}  # fmt: skip


def _method_advice(ufunc: Any, method: str, name: str) -> str:
    """Return the advice for a method of a ufunc."""
    if method == "at":
        return "It writes into an array; instead of np.add.at write `t.at[0].add(1.0)`."
    if ufunc.nin != 2 or ufunc.nout != 1 or ufunc.signature is not None:
        return f"NumPy has {method} only for functions of two numbers that return one."
    if ufunc is np.ldexp:
        return "Its exponents are whole numbers and its results are not, so that it cannot be repeated. Use products."
    if ufunc in COMPARISONS and method != "outer":
        args = "k.data > 0, [0, 1]" if method == "reduceat" else "k.data > 0"
        return f"NumPy has it only for truth values, which have no derivative: `{name}.{method}({args})`."
    args = "k.data, k.data" if method == "outer" else "k.data, [0, 1]" if method == "reduceat" else "k.data"
    return f"It has no derivative. For a plain value write `{name}.{method}({args})`."


def advice(function: Any, name: str) -> str | None:
    """Return the advice for a NumPy function, or a ufunc's method, that has no rule; None for other functions."""
    if isinstance(function, tuple):
        own, _, method = name.rpartition(".")
        if own.startswith("np.") and not _is_string_function(function[0]):
            return _method_advice(function[0], method, own)
        return TEXT if _is_string_function(function[0]) else None
    if name.startswith("np.lib.recfunctions."):
        return RECORDS
    if name == "np._ones_like":
        return "It has no derivative: `np.ones_like(t)`."
    if name.startswith("np.strings.") or _is_string_function(function):
        return TEXT
    return FUNCTIONS.get(name)


def _is_string_function(function: Any) -> bool:
    """Tell whether a function is one of the ufuncs behind np.strings."""
    strings = sys.modules.get("numpy._core.umath")
    name = getattr(function, "__name__", "")
    known = isinstance(function, np.ufunc) and getattr(strings, name, None) is function
    return known and getattr(np, name, None) is not function


ADVISORS.append(advice)
ATTRIBUTES.update(METHODS_OF_ARRAYS)
