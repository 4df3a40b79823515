"""From kernels to callable functions: writes each kernel's complete source, which numba compiles or loads from disk."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import takewhile
from typing import Any

import numpy as np

from ..program.values import Value
from .cache import kept_for_types
from .expressions import NAMES, code_of
from .kernels import Kernel
from .lengths import NAME
from .loops import ParallelLoop
from .native.row import APART, available
from .scalars import Straight

EXACT = "nogil=True, error_model='numpy'"
# A product may be added without rounding it first. Only `plus` adds in another order: LLVM would also change the order
# of products, and (x / y) * z = 1e-26 would be 0 as (x * z) / y for x = y = 1e-20 and z = 1e-26 of float32.
OPTIONS = f"{EXACT}, fastmath={{'contract'}}"

LOOP = re.compile(r"( *)(for \w+ in range\()(\d+)\):")  # a loop with a constant bound
MANY = 64  # a loop of so many entries gains nothing if the loop around it is unrolled
KNOWN = 1024  # the most compiled kernels that are kept in memory
PER_LINE = 100  # lines of straight-line code that take as long to compile as one line of loops


class Machine:
    """The kernels of a plan: their sources are collected first, and compiled together.

    Args:
        rows: whether arrays without axes are passed as vectors of one entry.
    """

    def __init__(self, rows: bool = False) -> None:
        self.rows = rows
        self.functions: dict[str, str] = {}  # source text -> name of the function
        self.parallel = False  # whether a kernel runs on several threads

    def add(
        self, kernel: Kernel | Straight, codes: dict[Value, str], checks: bool, no_alias: bool
    ) -> tuple[str, list[str]]:  # fmt: skip
        """Add a kernel; return the name of its function, and the expressions to pass when it is called.

        Args:
            kernel: the kernel.
            codes: the expression of each of its arguments and results in the calling code.
            checks: whether it first compares the shapes of its arguments, and returns False if they are wrong.
            no_alias: whether no array that it writes shares memory with another, unless their expressions are equal.
        """
        values = [*kernel.args, *kernel.outs]
        parameters: dict[str, tuple[str, str]] = {}
        for value in values:
            parameters.setdefault(codes[value], (f"a{len(parameters)}", _type(value, self.rows)))
        names = {value: parameters[codes[value]][0] for value in values}
        if isinstance(kernel, Kernel) and kernel.batch is not None:
            parameters[repr(int(kernel.batch))] = NAME, "i8"
        types = ", ".join(kind for _, kind in parameters.values())
        given = list(parameters)
        own = [name for name, _ in parameters.values()]
        source = kernel.source(names, self.threads())
        flat = dict.fromkeys(names[value] for value in values if len(value.shape) > kernel.axes)
        lines, parts = [], ""
        for item in source:
            if isinstance(item, str):
                lines.append(item)
            else:
                name = f"{{name}}_{parts.count('kept_as')}"
                kinds = [f"{kind[:2]}[::1]" if name in flat else kind for name, kind in parameters.values()]
                parts += self._part(item, name, own, kinds, f"{OPTIONS}, {no_alias=}")
                lines += self._run(item, name, own)
        lines = [*(f"{name} = {name}.reshape(-1)" for name in flat), *without_unrolling(lines, parameters.values())]
        if checks:
            arrays = [v for v in kernel.args if not v.weak and v.shape]
            shapes = " or ".join(f"{names[v]}.shape != {_shape(kernel, v)}" for v in arrays)
            lines = [f"if {shapes}: return False" if shapes else "pass", *lines, "return True"]
        body = "\n".join(f"    {line}" for line in lines)
        for value in values if self.rows else ():
            body = body if value.shape else re.sub(rf"\b{names[value]}\[\(\)\]", f"{names[value]}[0]", body)
        text = f"({', '.join(name for name, _ in parameters.values())}):\n{body}\n"
        options = EXACT if isinstance(kernel, Straight) else f"{OPTIONS}, {no_alias=}"
        whole = f'{parts}@kept_as("{"b1" if checks else "void"}({types})", {options})\n'
        name = self.functions.setdefault(f"{whole}def {{name}}{text}", f"j{len(self.functions)}")
        self.parallel |= bool(parts)
        return name, given

    @staticmethod
    def threads() -> int:
        """Return the number of threads that share a large loop."""
        if not available():
            return 1
        from .native.build import THREADS

        return THREADS

    def _part(self, part: ParallelLoop, name: str, arguments: list[str], kinds: list[str], options: str) -> str:
        """Return the source of the function that runs one thread's part of a loop."""
        types = ", ".join([*kinds, *[f"{kind}[:, ::1]" for _, kind, _ in part.sums], "i8", "i8"])
        lines = [f"s{q} = {f'{q}[p]' if size else f'{kind}(0)'}" for q, kind, size in part.sums]
        lines.append(f"for i0 in range(p * {part.rows} // parts, (p + 1) * {part.rows} // parts):")
        lines += [*part.body, *[f"{q}[p, 0] = s{q}" for q, _, size in part.sums if not size]]
        lines = without_unrolling(lines, zip(arguments, kinds, strict=True))
        body = "\n".join(f"    {line}" for line in lines)
        for a in arguments if self.rows else ():
            body = re.sub(rf"\b{a}\[\(\)\]", f"{a}[0]", body)
        names = ", ".join([*arguments, *[q for q, _, _ in part.sums], "p", "parts"])
        made = f'@kept_as("void({types})", {options})\ndef {name}({names}):\n{body}\n\n'
        return f"{made}{name}_run = spreading({name})\n\n"

    def _run(self, part: ParallelLoop, name: str, arguments: list[str]) -> list[str]:
        """Return the lines that make every thread run its part, and then combine the parts."""
        threads = self.threads()
        sums = [f"{q} = np.zeros(({threads}, {size + APART}), {kind})" for q, kind, size in part.sums]
        given = ", ".join([*arguments, *[q for q, _, _ in part.sums]])
        return [*sums, f"{name}_run(({given},), {threads})", *part.after]

    def size(self) -> tuple[int, int]:
        """Return the number of kernels and of their lines; lines without loops count less, as they compile faster."""
        lines = sum(text.count("\n") + text.count("\\n") // PER_LINE for text in self.functions)
        return len(self.functions), lines

    def compiled(self) -> dict[str, Any]:
        """Compile all kernels, and return the functions by name."""
        return {name: kernel_function(whole) for whole, name in self.functions.items()}


def without_unrolling(lines: list[str], parameters: Iterable[tuple[str, str]]) -> list[str]:
    """Return the lines of a function, changed so that LLVM does not unroll loops around long loops: that takes seconds.

    LLVM unrolls loops with constant bounds only. So a variable that is always 0, computed from an array's length, is
    added to the bound.
    """
    array = next((name for name, kind in parameters if kind.endswith("::1]")), None)
    found = [_roll_line(line, lines[k + 1 :]) if array else line for k, line in enumerate(lines)]
    return [f"zero = len({array}) >> 62", *found] if found != lines else found


def _roll_line(line: str, after: list[str]) -> str:
    loop = LOOP.match(line)
    inside = takewhile(lambda other: loop and other.startswith(f"{loop[1]} "), after)
    long = any(inner and int(inner[3]) >= MANY for inner in map(LOOP.match, inside))
    return LOOP.sub(r"\1\2\3 + zero):", line) if long else line


def _shape(kernel: Kernel | Straight, value: Value) -> str:
    shape = kernel.shapes.get(value, value.shape) if isinstance(kernel, Kernel) else value.shape
    return f"({''.join(f'{n}, ' for n in shape)})"


def _type(value: Value, rows: bool) -> str:
    if value.weak:
        return "i8" if value.dtype is int else "f8"
    kind, ndim = code_of(value.dtype), len(value.shape) or int(rows)
    return f"{kind}[{', '.join([':'] * (ndim - 1) + ['::1'])}]" if ndim else f"Array({kind}, 0, 'C')"


@cache
def _straight() -> Any:
    """Return the numba intrinsic `straight`, which a kernel's source calls with straight-line code as a string."""
    from numba import types
    from numba.extending import intrinsic

    def straight(typing: Any, code: Any, arrays: Any) -> Any:
        """Run lines on the arrays and numbers a0, a1, ..."""

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            from .assembly import emit

            given = [builder.extract_value(values[1], k) for k in range(len(arrays))]
            emit(context, builder, code.literal_value, arrays.types, given)
            return context.get_dummy_value()

        return types.none(code, arrays), generate

    return intrinsic(prefer_literal=True)(straight)


@cache
def _plus() -> Any:
    """Return the numba intrinsic `plus`, which a kernel's source calls to add a number to a sum of many."""
    from numba.extending import intrinsic

    def plus(typing: Any, total: Any, x: Any) -> Any:
        """Add x to a total; LLVM may compute several totals side by side, and add those at the end."""

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            more = context.cast(builder, values[1], x, total)
            return builder.fadd(values[0], more, flags=("reassoc", "contract"))

        return total(total, x), generate

    return intrinsic(plus)


@cache
def kernel_names() -> dict[str, Any]:
    """Return the global names that all kernel sources may use."""
    from .native.mathematics import exp8, tanh8
    from .native.spread import spreading

    dtypes = {name: np.dtype(name).type for name in (*NAMES, "u8") if name != "b1"}
    functions = {
        "spreading": spreading,
        "kept_as": kept_for_types,
        "exp8": exp8,
        "tanh8": tanh8,
        "straight": _straight(),
        "plus": _plus(),
    }
    return {"__name__": __name__, **dtypes, "np": np, "b1": np.bool_, **functions}


@lru_cache(maxsize=KNOWN)
def kernel_function(source: str) -> Any:
    """Compile a kernel's source and return the function, which all plans with this kernel share."""
    return load_source(source.replace("{name}", "kernel"))["kernel"]


def load_source(text: str) -> dict[str, Any]:
    """Execute a source of kernels, and return its names."""
    space = dict(kernel_names())
    exec(compile(text, "<kernels>", "exec"), space)
    return space
