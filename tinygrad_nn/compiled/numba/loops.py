"""Writes the loops of a kernel as lines of plain Python, which numba compiles.

Each stored array gets a nest of loops ``for i0 in range(n0): for i1 in range(n1): ...``, inside which one entry is
computed. Three things make the loops faster: arrays with the same number of rows share the loop over ``i0``; adjacent
axes become one loop over all their entries if nothing needs the separate indices; and large loops are cut into parts,
one for each thread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..program.values import VIEWS, Arg, Op, Value
from .expressions import BITS, COSTLY, ELEMENTWISE, NARROW, SCALAR, WIDENED, cast, code_of, literal, ufunc_dtypes
from .indices import broadcast_index, flat_index, gather_index, reshape_index, slice_index, unsigned
from .lengths import NOTHING, Lengths, near_batch_length
from .small_products import product
from .sums import product_of_vectors, reduction

LARGE = 2**19  # scalar operations in a loop from which on several threads share it
DEEP = 4  # the most nested loops, and the most axes of an array; more take long to compile
ALONE = re.compile(r"\b[ijz]_\d")  # the index of a single axis among several that are one loop
AXES = 2  # if loops over adjacent axes are merged, arrays with more axes than this are flattened


@dataclass
class ParallelLoop:
    """A loop over rows of which each thread runs a part.

    Attributes:
        rows: the number of rows.
        body: the lines inside the loop, indented once.
        sums: for each sum over rows, which every thread computes for its own part: name, dtype code, and length, 0 for
            a single number.
        after: the lines after the loop, which combine the sums of all parts.
    """

    rows: int
    body: list[str]
    sums: list[tuple[str, str, int]]
    after: list[str]


class ArrayAccess(NamedTuple):
    """How the loops make an array: which entries are read, which are written, and whether lines surround the loop."""

    reads: list[tuple[Value, list[str]]]
    entries: list[list[str]]
    surrounded: bool


class Loops:
    """Writes the loops of a kernel, line by line."""

    def __init__(
        self, producers: dict[Value, Op], stored: Sequence[Value], scratch: dict[Value, tuple[Value, int]],
        names: dict[Value, str], threads: int = 1, lengths: Lengths = NOTHING, axes: int = DEEP,
    ) -> None:  # fmt: skip
        self.axes, self.few = axes, False  # most axes of arrays not flattened; whether adjacent axes became one loop
        self.producers, self.names, self.scratch = producers, names, scratch
        self.threads, self.lengths = threads, lengths
        self.bounds: dict[str, int] = {}  # the text of a loop's first line -> its number of iterations
        self.inline = {v for v in producers if v not in stored and producers[v].kind not in VIEWS}
        self.lines: list[str] = []
        self.before: list[str] = []  # lines before the loop over rows, and lines after it
        self.after: list[str] = []
        self.reads: list[tuple[Value, list[str]]] = []
        self.sums: list[tuple[str, str, int]] | None = None  # while writing a `ParallelLoop`, its sums; else None
        self.count = 0
        self.known: dict[Value, ArrayAccess] = {}
        self.rows: dict[Value, str] = {}  # arrays that hold one row at a time -> name if the row is a single number
        self.deep: tuple[tuple[str, ...], tuple[int, ...]] = (), ()  # index and lengths of several axes in one loop
        self.first: tuple[int, int] | None = None  # the axis from which on axes are merged, and the number of axes
        self.joined: list[tuple[list[tuple[int, str]], str]] = []  # (length, index) of merged axes, and their loop
        self.outside = 0  # the depth of the loops over the axes that a sum keeps

    def all(self, values: Sequence[Value]) -> list[str | ParallelLoop]:
        """Return the lines that make all arrays; loops over the same rows become one, a large one a `ParallelLoop`."""
        result: list[str | ParallelLoop] = []
        blocks = self._blocks(values)
        self.rows = self._passing(blocks)
        for block in blocks:
            rows = self._rows(block)
            if rows:
                result.append(self._part(block, rows))
                continue
            before: list[str] = []
            body: list[str] = []
            after: list[str] = []
            for value in block:
                lines = self._written(value)
                before += self.before
                body += lines[1:] if body else lines
                after += self.after
            result += [*before, *body, *after]
        return result

    def _written(self, value: Value) -> list[str]:
        """Return the lines that make an array, in as few loops as its reads and writes allow.

        A compiler makes faster code of one long loop than of short nested loops. So first all axes but the outer ones
        are merged to one loop, and if an index of a single axis is needed, fewer and fewer.
        """
        op, count, sums = self.producers[value], self.count, len(self.sums or ())
        axes = len(loop_shape(op)) if op.kind in (*ELEMENTWISE, "vdot") or op.function is np.add else 0
        for first in (*range(1, axes - 1), None):
            self.first = None if first is None else (first, axes)
            self._write(value, op)
            if first is None or not ALONE.search("\n".join([*self.before, *self.lines, *self.after])):
                break
            self.count = count
            del (self.sums or [])[sums:]
        self.few = self.few or bool(self.joined)
        self.known[value] = ArrayAccess(self.reads, self.entries, bool(self.before or self.after))
        return self.lines

    def _write(self, value: Value, op: Op) -> None:
        self.before, self.lines, self.after, self.reads, self.deep, self.joined = [], [], [], [], ((), ()), []
        self.value = value
        self.entries: list[list[str]] = []
        getattr(self, f"_{op.kind}", self._elementwise)(op)
        if self.deep[0]:
            self.lines[1:1] = self._parts(self.lines[1:])

    def _blocks(self, values: Sequence[Value]) -> list[list[Value]]:
        """Return groups of arrays that can share one loop over rows: none reads a row that is not made yet."""
        blocks: list[list[Value]] = []
        header = ""
        written: dict[Any, bool] = {}  # array -> whether its row is complete at the end of each iteration
        crossed: set[Any] = set()  # arrays of which rows other than the current one are read
        for value in values:
            first, me = self._written(value)[0], self._array(value)
            across = {self._array(v) for v, index in self.reads if index[:1] != ["i0"]}
            all_read = {self._array(v) for v, _ in self.reads}
            apart = me in crossed or any(a in written and (a in across or not written[a]) for a in all_read)
            if not header or first != header or apart:
                blocks.append([])
                written, crossed = {}, set()
                header = first if first.startswith("for i0") else ""
            blocks[-1].append(value)
            written[me] = not (self.after or self.before)
            crossed |= across
        return blocks

    def _passing(self, blocks: list[list[Value]]) -> dict[Value, str]:
        """Return the arrays that need memory for one row only, since only the loop that makes a row reads it.

        If such a row is a single number, the array becomes a local variable, whose name is returned with it.
        """
        home = {value: number for number, block in enumerate(blocks) for value in block}
        found: dict[Value, str] = {}
        for value, number in home.items():
            entries, made_in_passing = self.known[value].entries, not self.known[value].surrounded
            if value in self.scratch and value.shape[:1] > (1,) and made_in_passing:
                users = [(user, index) for user in home for x, index in self.known[user].reads if x is value]
                if all(index[:1] == ["i0"] for index in entries) and all(
                    home[user] == number and index[:1] == ["i0"] for user, index in users
                ):
                    found[value] = "" if value.size > value.shape[0] else f"y{len(found)}"
        return found

    def _rows(self, block: list[Value]) -> int:
        """Return the number of rows of a block's loop if the loop is worth several threads, else 0."""
        first = self._written(block[0])[0]
        if self.threads < 2 or not first.startswith("for i0") or any(self.producers[v].kind == "matmul" for v in block):
            return 0
        work, todo = 0, list(block)
        while todo:
            value = todo.pop()
            op = self.producers[value]
            work += prod(loop_shape(op)) * (16 if op.function in COSTLY else 1)
            todo += {x for x in op.values if x in self.inline}  # a set, since the only user may read a value twice
        rows = self.bounds[first]
        return rows if work > LARGE and rows >= self.threads else 0

    def _part(self, block: list[Value], rows: int) -> ParallelLoop:
        """Return the loop of a block as a `ParallelLoop`."""
        self.sums = []
        body: list[str] = []
        after: list[str] = []
        for value in block:
            body += self._written(value)[1:]
            after += self.after
        part, self.sums = ParallelLoop(rows, body, self.sums, after), None
        return part

    def _array(self, value: Value) -> Any:
        """Return a key for the array of a value, equal for values in the same memory."""
        return value if value in self.scratch else self.names[value]

    # -- loops

    def open(
        self, shape: Sequence[int], letter: str = "i", lead: Sequence[str] = (), depth: int = 0, cut: int = 0
    ) -> tuple[list[str], int]:  # fmt: skip
        """Append loops over a shape; return the index of the current entry, and the depth of lines inside the loops.

        With `lead`, the indices of the first axes, only the other axes get loops. Loops over axes before `cut` are
        never merged with loops over axes after it.
        """
        if self.first is not None:
            return self._open_merged(shape, letter, cut)
        index = list(lead)
        if not lead and letter == "i" and sum(n > 1 for n in shape) > DEEP:
            index, depth = self._head(shape[: len(shape) - 2])
        for axis, n in enumerate(shape[len(index) :], len(index)):
            if n == 1:
                index.append("0")
                continue
            self._over(depth, f"{letter}{axis}", n)
            index.append(f"{letter}{axis}")
            depth += 1
        return index, depth

    def _open_merged(self, shape: Sequence[int], letter: str, cut: int) -> tuple[list[str], int]:
        """Append loops over a shape with all axes from `first` on merged; return index and depth, as `open` does.

        A merged axis still gets an index, such as ``i_2``. If no line contains such an index at the end, because
        `offset` could replace them all by the merged loop's index, the axes did not need separate loops.
        """
        first, axes = self.first or (0, 0)
        start = max(0, len(shape) - axes + first)
        index, depth, self.outside = [], 0, 0
        for lo, hi in pairwise(sorted({*range(start + 1), max(start, cut), len(shape)})):
            long = [axis for axis in range(lo, hi) if shape[axis] > 1]
            names = [f"{letter}{axis}" if len(long) < 2 else f"{letter}_{axis}" for axis in long]
            if long:
                loop = f"{letter}{long[0]}"
                self._over(depth, loop, prod(shape[axis] for axis in long))
                depth += 1
            if len(long) > 1:
                self.joined.append(([(shape[axis], name) for axis, name in zip(long, names, strict=True)], loop))
            index += [names[long.index(axis)] if axis in long else "0" for axis in range(lo, hi)]
            self.outside = depth if hi <= cut else self.outside
        return index, depth

    def offset(self, shape: Sequence[int], index: Sequence[str], start: int = 0) -> str:
        """Return the expression of an entry's place in a flat array, with merged axes by their loop's index."""
        pairs = [(n, i) for n, i in zip(shape, index, strict=True) if n > 1]
        for these, loop in self.joined:
            for k in range(len(pairs) - len(these) + 1):
                if pairs[k : k + len(these)] == these:
                    pairs[k : k + len(these)] = [(prod(n for n, _ in these), loop)]
                    break
        return flat_index([n for n, _ in pairs], [i for _, i in pairs], start)

    def _head(self, shape: Sequence[int]) -> tuple[list[str], int]:
        """Append one loop over several axes, since deep nests compile slowly; return index and depth."""
        if len(shape) == 1:
            self._over(0, "i0", shape[0])
            return ["i0"], 1
        self._over(0, "i0", prod(shape))
        index = [f"k{axis}" if n > 1 else "0" for axis, n in enumerate(shape)]
        self.deep = tuple(index), tuple(shape)
        return index, 1

    def _parts(self, lines: Sequence[str]) -> list[str]:
        """Return the lines that compute the index of each single axis of such a loop, if other lines use it."""
        axes, text = self.deep[1], "\n".join(lines)
        needed = set(re.findall(r"\b[kr]\d+\b", text))
        found = []
        for axis, n in enumerate(axes):
            before = f"i0 // {prod(axes[axis + 1 :])}" if axis < len(axes) - 1 else "i0"
            if f"k{axis}" in needed:
                found.append(f"    k{axis} = {before} % {n}" if axis else f"    k{axis} = {before}")
            if f"r{axis}" in needed:
                found.append(f"    r{axis} = {before}")
        return found

    def _shared(self, out: Value, covered: Sequence[int]) -> tuple[list[str], int]:
        """Append the loop over the first axes of a result, if all arguments cover these axes as a whole."""
        lead = min(covered)
        if sum(n > 1 for n in out.shape) <= DEEP:
            lead = min(lead, 1)
        return self._head(out.shape[:lead]) if lead and prod(out.shape[:lead]) > 1 else ([], 0)

    def _over(self, depth: int, name: str, n: int) -> None:
        """Append the first line of a loop."""
        text = f"for {name} in range({n}):"
        self.bounds[text] = n
        self.line(depth, text)

    def line(self, depth: int, text: str) -> None:
        """Append a line at a depth."""
        self.lines.append("    " * depth + text)

    def _elementwise(self, op: Op) -> None:
        index, depth = self.open(op.out.shape)
        value = self._expression(op, index, depth, {})
        self.line(depth, f"{self.place(op.out, index)} = {value}")

    def _join(self, op: Op) -> None:
        """Append loops that write zeros into some boxes (slices) of an array, and the arguments into others."""
        out, (boxes, zeros) = op.out, op.attrs
        lead, start = self._shared(out, [untouched_axes(box) for box in boxes])
        for box in zeros:
            shape = [near_batch_length(b - a, n) for (a, b), n in zip(box, out.shape, strict=True)]
            index, depth = self.open(shape, "z", lead, start)
            at = slice_index([slice(*ends) for ends in box], out.shape, index)
            self.line(depth, f"{self.place(out, at)} = {literal(0, code_of(out.dtype))}")
        for x, box in zip(op.args, boxes, strict=True):
            index, depth = self.open(x.shape, "i" if lead else "j", lead, start)
            text = self.read(x, index, depth, {}, code_of(out.dtype))
            self.line(depth, f"{self.place(out, slice_index(box, out.shape, index))} = {text}")

    def _scatter(self, op: Op) -> None:
        """Append loops that fill an array with zeros, and then add the argument's entries to it at given places."""
        x, out, code = op.args[0], op.out, code_of(op.out.dtype)
        lead, start = self._shared(out, [min(untouched_axes(op.attrs[0]), op.attrs[1])])
        zero, depth = self.open(out.shape, "z", lead, start)
        self.line(depth, f"{self.place(out, zero)} = {literal(0, code)}")
        index, depth = self.open(x.shape, "i" if lead else "j", lead, start)
        text = self.read(x, index, depth, {}, code)
        self.line(depth, f"{self.place(out, self._picked(op, out.shape, index, depth))} += {text}")

    def _picked(self, op: Op, shape: tuple[int, ...], index: list[str], depth: int) -> list[str]:
        """Return the index in an array of an entry that a gather or scatter selects."""

        def place(number: int, index: list[str]) -> str:
            where = op.args[number]
            return self.read(where, broadcast_index(where.shape, index), depth, {}, code_of(where.dtype))

        return gather_index(op.attrs, shape, index, place)

    def _reduce(self, op: Op) -> None:
        reduction(self, op)

    def _vdot(self, op: Op) -> None:
        product_of_vectors(self, op)

    def _matmul(self, op: Op) -> None:
        product(self, op)

    # -- values

    def place(self, value: Value, index: Sequence[str]) -> str:
        """Return the expression of an entry of a stored value, such as ``a3[i0, i1]``."""
        if value is self.value:
            self.entries.append(list(index))
        pool, start = self.scratch.get(value, (value, 0))
        if value in self.rows:
            shape, part = value.shape[1:], f"{prod(value.shape[1:])} * p + " if self.sums is not None else ""
            return self.rows[value] or f"{self.names[pool]}[{unsigned(part + self.offset(shape, index[1:], start))}]"
        if pool is value and len(value.shape) <= self.axes:
            return f"{self.names[value]}[{', '.join(map(unsigned, index)) or '()'}]"
        names, axes = self.deep
        shape, same = value.shape, 0
        while same < min(len(names), len(shape)) and (index[same], shape[same]) == (names[same], axes[same]):
            same += 1
        if same > 1:
            first = "i0" if same == len(axes) else f"r{same - 1}"
            index, shape = [first, *index[same:]], (prod(shape[:same]), *shape[same:])
        return f"{self.names[pool]}[{unsigned(self.offset(shape, index, start))}]"

    def index(self, value: Value, index: list[str]) -> tuple[Value, list[str]]:
        """Return the base of a view, and the index in the base of an entry of the view."""
        while value.op is not None and value.op.kind in VIEWS:
            op, source = value.op, value.op.args[0]
            if op.kind == "transpose":
                moved = [""] * len(index)
                for axis, i in zip(op.attrs[0], index, strict=True):
                    moved[axis] = i
                index = moved
            elif op.kind == "broadcast":
                index = broadcast_index(source.shape, index)
            elif op.kind == "slice":
                index = slice_index(op.attrs[0], source.shape, index)
            else:
                index = reshape_index(value.shape, source.shape, index)
            value = source
        return value, index

    def read(self, arg: Arg, index: list[str], depth: int, expressions: dict[Value, str], want: str) -> str:
        """Return the expression of an entry of an argument in dtype `want`, after the lines that it needs."""
        if not isinstance(arg, Value):
            return literal(arg, want)
        if arg.weak:
            return cast(self.names[arg], None, want)
        if arg in self.inline:
            if arg not in expressions:
                text = self._expression(self.producers[arg], index, depth, expressions)
                expressions[arg] = f"x{self.count}"
                self.count += 1
                self.line(depth, f"{expressions[arg]} = {text}")
            return cast(expressions[arg], code_of(arg.dtype), want)
        value, inner = self.index(arg, index)
        self.reads.append((value, inner))
        return cast(self.place(value, inner), code_of(value.dtype), want)

    def _expression(self, op: Op, index: list[str], depth: int, expressions: dict[Value, str]) -> str:
        """Return the expression of an entry of an elementwise operation, after appending the lines that it needs."""
        kinds = [code_of(k) for k in ufunc_dtypes(op.function, op.args)] if op.kind == "ufunc" else []
        result = code_of(op.out.dtype)
        if op.kind == "gather":
            x = op.args[0]
            return self.read(x, self._picked(op, x.shape, index, depth), depth, {}, result)
        if op.kind == "where":
            kinds = ["b1", result, result, result]
        if op.kind == "cast":
            kinds = [code_of(op.args[0].dtype), result]
        texts = []
        for arg, kind in zip(op.args, kinds, strict=False):
            shape = arg.shape if isinstance(arg, Value) else ()
            count = self._count(op, arg)
            texts.append(
                f"{kind}({count})" if count else self.read(arg, broadcast_index(shape, index), depth, expressions, kind)
            )
        if op.kind == "where":
            return f"{texts[1]} if {texts[0]} else {texts[2]}"
        if op.kind == "cast":
            return cast(texts[0], kinds[0], result)
        pattern = SCALAR.get(op.function) or BITS[op.function]
        if any(pattern.count(f"{{{k}}}") > 1 for k in range(len(texts))):
            texts = [self._named(text, depth) for text in texts]
        text = pattern.format(*texts, one=literal(1, kinds[0]))
        exact = kinds[-1] == result and result not in NARROW and (result == "f8" or op.function not in WIDENED)
        return cast(f"({text})", kinds[-1] if exact else None, result)

    def _count(self, op: Op, arg: Arg) -> str | None:
        """Return the text of a number that depends on the length of the batch, as in a mean; None for other numbers."""
        by = op.function in (np.multiply, np.divide, np.subtract) and type(arg) in (int, float)
        return self.lengths.number(arg) if by else None

    def _named(self, text: str, depth: int) -> str:
        """Return a name for an expression that is used more than once, after the line that assigns it."""
        if text.isidentifier() or text.replace(".", "").isdigit():
            return text
        name = f"x{self.count}"
        self.count += 1
        self.line(depth, f"{name} = {text}")
        return name


def untouched_axes(box: Sequence[Any]) -> int:
    """Return how many of the first axes an index takes as a whole."""
    return next((k for k, part in enumerate(box) if part != ("slice", None, None, None)), len(box))


def loop_shape(op: Op) -> tuple[int, ...]:
    """Return the shape that an operation loops over."""
    return op.args[0].shape if op.kind in ("reduce", "vdot", "scatter") else op.out.shape
