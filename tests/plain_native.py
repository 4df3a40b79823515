"""Run the functions of `compiled.numba.native` as plain Python, without numba's compilation.

NumPy replaces what numba adds: BLAS, the block of a packed product, and threads, whose parts run one after the other.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinygrad_nn.compiled.numba.native import blocked, build, packed, products

Array = np.ndarray[Any, Any]
HERE = "tinygrad_nn.compiled.numba.native."
_spaces: dict[str, dict[str, Any]] = {}


def plain(module: ModuleType | str, name: str) -> Any:
    """Return a function of a module as Python."""
    return space(module)[name]


def space(module: ModuleType | str) -> dict[str, Any]:
    """Return the names of a module, with each compiled function as Python."""
    if isinstance(module, str):
        module = importlib.import_module(HERE + module)
    if module.__name__ not in _spaces:
        names = _spaces[module.__name__] = dict(vars(module))
        if module is products:
            names |= {"_gemm": _gemm, "_address_of": lambda x: x}
        elif module is packed:
            names |= {"block": _block(packed.ROWS), "_row": _block(1), "_transpose_square": _transpose_square}
            names |= {"_line": _line}
        elif module is blocked:
            names["block"] = space(packed)["block"]
            names["multiplied"] = lambda *args: names["multiply"](*args) is None
        for key, value in list(names.items()):
            body = getattr(value, "body", value)
            function = getattr(body, "py_func", body)
            where = getattr(function, "__module__", None) or ""
            if not isinstance(function, FunctionType) or not where.startswith(HERE) or where == build.__name__:
                continue
            home = importlib.import_module(where)
            if home is module:
                made: Any = FunctionType(function.__code__, names, key, function.__defaults__, function.__closure__)
                names[key] = made if body is value else _parted(made)
            else:
                names[key] = space(home)[function.__name__]
    return _spaces[module.__name__]


def _parted(body: Callable[..., Any]) -> Callable[..., None]:
    def run(*args: Any) -> None:
        *given, parts = args
        for p in reversed(range(parts)):  # in any order
            body(*given, p, parts)

    return run


def _gemm(
    kind: int, a_flipped: int, b_flipped: int, m: int, n: int, k: int,
    alpha: Any, a: Any, lda: int, b: Any, ldb: int, beta: Any, c: Any, ldc: int,
) -> None:  # fmt: skip
    """Write c = alpha a b + beta c as BLAS does, by columns."""
    a, b, c = a._arr, b._arr, c._arr
    assert {a.dtype, b.dtype, c.dtype} == {np.dtype({115: "f4", 100: "f8"}[kind])}
    left = _columns(a, k, m, lda).T if a_flipped == 116 else _columns(a, m, k, lda)
    right = _columns(b, n, k, ldb).T if b_flipped == 116 else _columns(b, k, n, ldb)
    out = _columns(c, m, n, ldc)
    out[...] = alpha * (left @ right) + (beta * out if beta else 0)


def _columns(x: Array, rows: int, columns: int, apart: int) -> Array:
    """Return a view as a matrix whose columns start `apart` entries apart, within the bounds of the array."""
    assert not columns or not rows or (columns - 1) * apart + rows <= x.size
    return as_strided(x, (rows, columns), (x.itemsize, apart * x.itemsize))


def _block(rows: int) -> Callable[..., None]:
    def block(
        a: Array, a_0: int, of_row: int, of_column: int, b: Array, b_0: int, k: int,
        c: Array, c_0: int, ldc: int, alpha: Any, add: bool,
    ) -> None:  # fmt: skip
        wide = packed.VECTOR * packed.VECTORS // a.itemsize
        tile = b[b_0 : b_0 + k * wide].reshape(k, wide)
        with np.errstate(all="ignore"):  # an edge of c has entries that are never set and never used
            for r in range(rows):
                row = c[c_0 + r * ldc :][:wide]
                row[:] = (row if add else 0) + a.dtype.type(alpha) * (a[a_0 + r * of_row :: of_column][:k] @ tile)

    return block


def _transpose_square(a: Array, a_0: int, lda: int, out: Array, out_0: int, ldo: int) -> None:
    lanes = packed.VECTOR // a.itemsize
    for r in range(lanes):
        out[out_0 + r :: ldo][:lanes] = a[a_0 + r * lda :][:lanes]


def _line(a: Array, a_0: int, out: Array, out_0: int) -> None:
    lanes = packed.VECTOR // a.itemsize
    out[out_0 :][:lanes] = a[a_0:][:lanes]
