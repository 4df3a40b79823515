"""Count the work of an operation, from its name and its arrays: bytes read and written, and arithmetic.

Each array counts once, by the memory behind it, however often it is read; a broadcast axis needs no memory of its own.
Making a view reads and writes nothing. For matrix products and the like, multiplications and additions are counted.
Operations that only move entries count no arithmetic, and all others count one per entry of the largest array.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import log2, prod
from typing import Any

import numpy as np

Arrays = Sequence[Any]

ABOUT = frozenset({"shape", "ndim", "dtype", "size"})  # attributes of an array that are known without reading it
MOVING = frozenset({
    "reshape", "transpose", "swapaxes", "broadcast_to", "roll", "copy", "cast", "concatenate", "stack", "getitem",
    "put", "at_set", "rearrange", "alias", "real", "imag", "embedding", "window",
})  # fmt: skip
PICKING = frozenset({"getitem", "embedding"})  # they read only those entries of their first argument that they return
# Rules that pass an argument on only for its shape: positions in (g, out, *arguments) that they really read.
LOOKED_AT = {("mean", 0): [0], ("conv", 0): [0, 3], ("conv_transpose", 1): [0, 2], ("conv_weight", 1): [0, 2]}


def new_arrays(args: Iterable[Any], out: Any) -> list[Any]:
    """Return the new arrays of a result, without those that are arguments or views of arguments."""
    given = arrays_in(args)
    return [a for a in _without_repeats(arrays_in([out])) if not any(_share_memory(a, b) for b in given)]


def nbytes(arrays: Iterable[Any]) -> int:
    """Return the bytes of arrays."""
    return sum(map(_memory, arrays))


def bytes_read(name: str, args: Iterable[Any], meta: dict[str, Any], new: Arrays) -> int:
    """Return how many bytes a forward reads; 0 if it made no new arrays."""
    if not new:
        return 0
    given = [*args, *meta.values()]
    return nbytes(_without_repeats(arrays_in([*new, *given[1:]] if name in PICKING else given)))


def rule_bytes_read(rule: Any, name: str, slot: int, arguments: Arrays, meta: dict[str, Any], new: Arrays) -> int:
    """Return how many bytes a rule reads: of its arguments, only those whose values its code uses count."""
    if not new:
        return 0
    looked_at = LOOKED_AT.get((name, slot)) or arguments_read(rule, len(arguments))
    if name == "einsum":  # the cotangent and the other factors
        looked_at = [0, *(k for k in range(2, len(arguments)) if k != slot + 2)]
    saved = [value for key, value in meta.items() if _reads_option(rule, key)]
    return nbytes(_without_repeats(arrays_in([*(arguments[k] for k in looked_at), *saved])))


def flops(name: str, args: Arrays, meta: dict[str, Any], out: Any, new: Arrays) -> int:
    """Return the additions and multiplications of a forward; one of complex numbers counts as one."""
    count = COUNTED.get(name)
    if count is not None:
        return int(count(args, meta, out))
    return 0 if name in MOVING or not new else _largest_size(args, new)


def flops_back(name: str, slot: int, arguments: Arrays, meta: dict[str, Any], new: Arrays) -> int:
    """Return the additions and multiplications of a rule; ``slot`` is -1 for a rule of all arguments at once."""
    g, out, *args = arguments
    if not new:
        return 0
    if name == "einsum" and slot >= 0:
        return _einsum_back(slot, args, meta)
    if name == "affine" and slot == 2:
        return int(np.size(g))
    count = COUNTED_BACK.get(name) or COUNTED.get(name)
    if count is not None:
        return int(count(args, meta, out))
    return 0 if name in MOVING else _largest_size([g], new)


def _largest_size(arguments: Iterable[Any], new: Arrays) -> int:
    """Return the number of entries of the largest array."""
    return int(max(_memory(a) // a.itemsize for a in (*arrays_in(arguments), *new)))


# -- Products


def _product(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    x, y = args[:2]
    if not np.ndim(x) or not np.ndim(y):
        return int(np.size(out))
    return 2 * int(np.size(out)) * int(np.shape(x)[-1])


def _affine(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    return _product(args, meta, out) + int(np.size(out))


def _einsum(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    inputs, output = meta["subscripts"].split("->")
    return _contraction(inputs.split(","), output, [np.shape(a) for a in args], meta.get("optimize", False))


def _einsum_back(slot: int, args: Arrays, meta: dict[str, Any]) -> int:
    """Return the arithmetic of one gradient: an einsum in which the cotangent replaces the argument."""
    inputs, output = meta["subscripts"].split("->")
    terms = inputs.split(",")
    lengths = _lengths(terms, [np.shape(a) for a in args])
    parts = [output, *(term for k, term in enumerate(terms) if k != slot)]
    known = "".join(dict.fromkeys("".join(parts)))
    wanted = "".join(letter for letter in dict.fromkeys(terms[slot]) if letter in known)
    shapes = [tuple(lengths[letter] for letter in part) for part in parts]
    return _contraction(parts, wanted, shapes, meta.get("optimize", False) or len(terms) > 2)


def _lengths(terms: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, n in zip(term, shape, strict=True):
            lengths[letter] = max(n, lengths.get(letter, n)) if n else 0
    return lengths


def _contraction(terms: list[str], output: str, shapes: list[tuple[int, ...]], optimize: Any) -> int:
    """Return the arithmetic of an einsum, computed all at once or in the order that NumPy chooses with `optimize`."""
    lengths = _lengths(terms, shapes)
    if not optimize or len(terms) < 3:
        return _at_once(terms, output, lengths)
    dummies = [np.broadcast_to(np.zeros(()), shape) for shape in shapes]
    path = np.einsum_path(f"{','.join(terms)}->{output}", *dummies, optimize=optimize)[0][1:]
    total, left = 0, list(terms)
    for step in path:
        taken = [left[k] for k in step]
        left = [term for k, term in enumerate(left) if k not in step]
        kept = set(output).union(*left)
        made = "".join(letter for letter in dict.fromkeys("".join(taken)) if letter in kept)
        total += _at_once(taken, made if left else output, lengths)
        left.append(made)
    return total


def _at_once(terms: Sequence[str], output: str, lengths: dict[str, int]) -> int:
    letters = set("".join(terms))
    summed = bool(letters - set(output))
    return prod(lengths[letter] for letter in letters) * (len(terms) - 1 + summed)


def _conv(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    return int(2 * np.size(out) * prod(np.shape(args[1])[1:]))


def _conv_transpose(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    return int(2 * np.size(args[0]) * prod(np.shape(args[1])[1:]))


def _conv_weight(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    return int(2 * np.size(args[0]) * prod(np.shape(out)[1:]))


def _attention(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    """Count two products, queries with keys and weights with values, and one operation per score."""
    q, k, v = args[:3]
    pairs = np.shape(q)[-2] * np.shape(k)[-2] * prod(np.shape(q)[:-2])
    return int(2 * pairs * (np.shape(q)[-1] + np.shape(v)[-1]) + pairs * meta.get("heads", 1))


def _self_attention(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    *batch, time, width = np.shape(args[0])
    pairs = time * time * prod(batch)
    return int(2 * pairs * 2 * (width // 3) + pairs * meta.get("heads", 1))


def _twice(count: Callable[..., int]) -> Callable[..., int]:
    """Return twice a count: a rule of all arguments computes one product for each of the two factors."""
    return lambda args, meta, out: 2 * count(args, meta, out)


def _recurrent(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    """Count a product of each state with the weights, and one addition per entry of the weighted input."""
    time, batch, width = np.shape(args[0])
    return int(time * batch * (2 * width * np.shape(args[1])[-1] + width))


def _cubic(factor: float) -> Callable[..., int]:
    """Return a function that counts ``factor`` n³ for a factorisation of n × n matrices."""

    def count(args: Arrays, meta: dict[str, Any], out: Any) -> int:
        *batch, _, n = np.shape(args[0])
        return int(factor * n**3 * prod(batch))

    return count


def _factorization(times: float) -> Callable[..., int]:
    """Return a function that counts ``times`` the arithmetic of a QR factorisation of m × n matrices.

    It is the first step of all others: a singular value decomposition takes two of them to reach a bidiagonal matrix.
    """

    def count(args: Arrays, meta: dict[str, Any], out: Any) -> int:
        *batch, m, n = np.shape(args[0])
        k = min(m, n)
        return int(times * (2 * m * n * k - 2 / 3 * k**3) * prod(batch))

    return count


def _solve(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    n = np.shape(args[0])[-1]
    return int(_cubic(2 / 3)(args, meta, out) + 2 * n * np.size(out))


def _fourier(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    n = max(np.size(args[0]), np.size(out))
    axis = meta.get("axis", -1)
    length = max(np.shape(out)[axis] if isinstance(axis, int) and np.ndim(out) else 1, 2)
    return int(5 * n * log2(length))


def _convolve(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    return 2 * int(np.size(args[0])) * int(np.size(args[1]))


def _polynomial(args: Arrays, meta: dict[str, Any], out: Any) -> int:
    return 2 * int(np.size(args[1])) * len(args[0])


COUNTED: dict[str, Callable[[Arrays, dict[str, Any], Any], int]] = {
    "matmul": _product, "dot": _product, "vecdot": lambda args, meta, out: 2 * int(max(map(np.size, args))),
    "vdot": lambda args, meta, out: 2 * int(np.size(args[0])), "affine": _affine, "einsum": _einsum,
    "conv": _conv, "conv_transpose": _conv_transpose, "conv_weight": _conv_weight,
    "attention": _attention, "self_attention": _self_attention,
    "rnn_states": _recurrent, "lstm_states": _recurrent, "gru_states": _recurrent,
    "cholesky": _cubic(1 / 3), "inv": _cubic(2), "det": _cubic(2 / 3), "slogdet_rows": _cubic(2 / 3),
    "qr_rows": _factorization(1), "eigh_rows": _factorization(1), "eig_rows": _factorization(2.5),
    "svd_rows": _factorization(2), "pinv": _factorization(2), "lstsq": _factorization(2),
    "solve": _solve, "fft": _fourier, "ifft": _fourier, "rfft": _fourier, "irfft": _fourier,
    "convolve": _convolve, "correlate": _convolve, "polyval": _polynomial,
}  # fmt: skip
COUNTED_BACK = {
    "affine": _product, "attention": _twice(_attention), "self_attention": _twice(_self_attention),
    "rnn_states": _twice(_recurrent), "lstm_states": _twice(_recurrent), "gru_states": _twice(_recurrent),
}  # fmt: skip


# -- Arrays, and the arguments that a rule reads


def arrays_in(values: Iterable[Any]) -> list[Any]:
    """Return the arrays among values, and those in dicts, lists and tuples of them."""
    found: list[Any] = []
    stack = list(values)[::-1]
    while stack:
        value = stack.pop()
        if isinstance(value, np.ndarray):
            found.append(value)
        elif isinstance(value, dict):
            stack += list(value.values())[::-1]
        elif isinstance(value, (list, tuple)):
            stack += value[::-1]
        elif isinstance(value, np.generic):
            found.append(np.asarray(value))
    return found


def _without_repeats(arrays: Iterable[Any]) -> list[Any]:
    """Return arrays without those that use the same memory as an earlier one."""
    unique: dict[Any, Any] = {}
    for a in arrays:
        unique.setdefault((a.__array_interface__["data"][0], a.nbytes, a.dtype) if a.base is not None else id(a), a)
    return list(unique.values())


def _memory(a: Any) -> int:
    """Return the bytes of memory behind an array; an axis of stride 0 (broadcast) counts as length 1."""
    return int(prod(n for n, step in zip(a.shape, a.strides, strict=True) if step or not n) * a.itemsize)


def _share_memory(a: Any, b: Any) -> bool:
    return a is b or (a.base is not None and np.may_share_memory(a, b)) or (b.base is a and b.base is not None)


@lru_cache(maxsize=4096)
def _variables_read(code: Any) -> frozenset[str]:
    """Return the variables whose values a code object reads, without those of which it reads only shape or dtype."""
    steps = [s for s in dis.get_instructions(code) if s.opname != "PUSH_NULL"]  # by Python 3.13 between two of interest
    found: set[str] = set()
    for k, step in enumerate(steps):
        if not step.opname.startswith(("LOAD_FAST", "LOAD_DEREF", "LOAD_CLOSURE")):
            continue
        names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        after, before = steps[k + 1].argval if k + 1 < len(steps) else None, steps[k - 1].argval if k else None
        asked = after in ABOUT or before in ABOUT
        found.update(names[:-1] if asked else names)
    return frozenset(found)


def _reads_option(rule: Any, option: str) -> bool:
    """Return whether a rule reads a keyword argument; a rule with ``**options`` is assumed to read all."""
    code = getattr(rule, "__code__", None)
    return code is None or bool(code.co_flags & 0x08) or option in _variables_read(code)  # the flag of **options


def arguments_read(rule: Any, count: int) -> list[int]:
    """Return the positions of the arguments that a rule reads; those that it takes by ``*args`` all count as read.

    Example:
        >>> arguments_read(lambda g, out, x, y: g * y.reshape(x.shape), 4)
        [0, 3]
    """
    code = getattr(rule, "__code__", None)
    if code is None:
        return list(range(count))
    loaded, names = _variables_read(code), code.co_varnames[: code.co_argcount]
    rest = range(len(names), count)
    return [*(k for k, name in enumerate(names[:count]) if name in loaded), *rest]
