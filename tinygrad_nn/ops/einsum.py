"""Einstein sums: one primitive over any number of operands, whose gradients are Einstein sums again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..primitive import OVERRIDES, Array, declare
from .plain import as_arrays, checked_dtype, refuse_out

# fmt: off
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # in the order of the axes of an implicit output


def _subscripts_and_arrays(operands: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """Return subscripts and arrays, from either of NumPy's two forms of calling einsum."""
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), list(operands[1:])
    pairs, rest = operands[: len(operands) // 2 * 2], operands[len(operands) // 2 * 2 :]
    terms = ",".join(_spell(axes) for axes in pairs[1::2])
    return (f"{terms}->{_spell(rest[0])}" if rest else terms), list(pairs[::2])


def _spell(axes: Any) -> str:
    return "".join("..." if i is Ellipsis else LETTERS[i] for i in axes)


def _explicit(subscripts: str, ndims: list[int]) -> str:
    """Return subscripts in which the axes of an ellipsis have letters and the output is written out."""
    inputs, arrow, output = subscripts.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum {subscripts!r} names {len(terms)} operands; it got {len(ndims)}.")
    hidden = [ndim - len(term.replace("...", "")) for term, ndim in zip(terms, ndims, strict=True)]
    for term, ndim, rest in zip(terms, ndims, hidden, strict=True):
        if rest < 0 or (rest > 0 and "..." not in term):
            raise ValueError(f"einsum names the axes {term!r} for an operand that has {ndim}.")
    free = [letter for letter in LETTERS if letter not in subscripts]
    most = max(hidden)
    spare = "".join(free[:most])
    if not arrow:
        seen = inputs.replace(",", "").replace(".", "")
        output = "..." + "".join(sorted(letter for letter in set(seen) if seen.count(letter) == 1))
    elif most and "..." not in output:
        raise ValueError(f"einsum {subscripts!r} needs the ellipsis in its output too.")
    terms = [term.replace("...", spare[most - rest :]) for term, rest in zip(terms, hidden, strict=True)]
    return f"{','.join(terms)}->{output.replace('...', spare)}"


def _run(*operands: Any, out: Any = None, optimize: Any = False, **options: Any) -> Any:
    refuse_out("einsum", out)
    subscripts, arrays = _subscripts_and_arrays(operands)
    return einsum(*arrays, subscripts=_explicit(subscripts, [np.ndim(a) for a in arrays]), optimize=optimize, **options)


OVERRIDES[np.einsum] = _run


def _einsum(
    *arrays: Array, subscripts: str, optimize: Any = False, dtype: Any = None, order: Any = "K", casting: Any = "safe"
) -> Array:
    dtype = checked_dtype(dtype, *arrays)
    return np.einsum(subscripts, *arrays, optimize=optimize, dtype=dtype, order=order, casting=casting)


BY_BLAS = 100_000  # from so many multiplications on, searching for a matrix product costs less time than it saves


def _products(terms: list[str], arrays: list[Array]) -> int:
    """Return the number of products that a sum over all letters at once adds up."""
    lengths: dict[str, int] = {}
    for term, a in zip(terms, arrays, strict=True):
        lengths.update(zip(term, np.shape(a), strict=True))
    return prod(lengths.values())


class _OnDemand(Sequence[Any]):
    """A sequence of gradients, each computed when it is indexed, since the walk never asks for those of constants."""

    def __init__(self, length: int, compute: Callable[[int], Any]) -> None:
        self.length, self.compute = length, compute

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, slot: Any) -> Any:
        if not 0 <= slot < self.length:
            raise IndexError(slot)
        return self.compute(slot)


def _einsum_vjp(
    g: Array, out: Array, *arrays: Array, subscripts: str, optimize: Any = False, **_: Any
) -> Sequence[Array]:
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    # A given contraction path fits the forward only. From three operands on, contracting pairs beats all at once.
    optimize = optimize if isinstance(optimize, (bool, str)) and len(terms) < 3 else True

    def gradient(slot: int) -> Array:
        x = arrays[slot]
        parts = [output, *(term for i, term in enumerate(terms) if i != slot)]
        factors = [g, *(a for i, a in enumerate(arrays) if i != slot)]
        wanted = ""
        for axis, letter in enumerate(terms[slot]):
            if letter in wanted:  # a repeated letter reads a diagonal, so the gradient is nonzero on the diagonal only
                fresh = next(c for c in LETTERS if c not in subscripts + wanted)
                parts.append(letter + fresh)
                factors.append(np.eye(x.shape[axis], dtype=x.dtype))
                letter = fresh
            wanted += letter
        known = "".join(parts)
        found = "".join(letter for letter in wanted if letter in known)
        how = optimize or (prod(np.size(a) for a in factors) > BY_BLAS and _products(parts, factors) > BY_BLAS)
        r = np.einsum(f"{','.join(parts)}->{found}", *factors, optimize=how)
        lengths = iter(r.shape)  # along axes that only x has, which were just summed, the gradient is repeated
        shape = [next(lengths) if letter in known else 1 for letter in wanted]
        full = [max(n, m) if m else 0 for n, m in zip(shape, x.shape, strict=True)]
        r = r if shape == list(r.shape) else r.reshape(shape)
        return r if shape == full else np.broadcast_to(r, tuple(full))

    return _OnDemand(len(arrays), gradient)

einsum = declare(
    _einsum, r"\textstyle\sum_{k} x_{1} \cdots x_{n}",
    jointly=(_einsum_vjp, r"\textstyle\sum_{k} g \, x_{1} \cdots \widehat{x_{i}} \cdots x_{n}"), linear="each",
)  # fmt: skip

# fmt: on

OVERRIDES[np.einsum_path] = lambda *operands, **options: np.einsum_path(*as_arrays(operands), **options)
