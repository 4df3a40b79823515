"""Writes a program as straight-line Python source: one NumPy call for each operation, with a buffer as its ``out``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..numba.expressions import ufunc_dtypes
from ..numba.machine import Machine
from ..program.arguments import Names
from ..program.memory import Memory, view_of, whole_index
from ..program.values import VIEWS, Arg, Op, Program, Value, users_of
from ..trace.call import as_array

Array = np.ndarray[Any, Any]


def _reference_counts() -> tuple[int, int]:
    """Return `sys.getrefcount` of an object that only a list refers to: with and without a local name for it."""
    pool = [object()]
    one = pool[0]
    named = sys.getrefcount(one)
    del one
    return named, sys.getrefcount(pool[0])


NAMED, LISTED = _reference_counts()
POISON = False  # for tests: whether buffers and outputs are filled with NaN in every run
ROW, LARGE = 32, 32_768  # maximum and minimum get a number as a row from this row length and result size in bytes on
SMALL = 2048  # an output of at most so many bytes is allocated anew: faster than a search of the pool
SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=", "and_": "&", "or_": "|", "xor": "^",
}  # fmt: skip


class Writer:
    """Writes the source lines of a program, and collects the objects that they refer to.

    Every value has an expression: ``i3`` is an argument, ``t7`` an array that is kept between calls, ``o9`` an output
    of this call, ``n4`` a Python number, ``r2`` a new array or scalar, ``w5`` a view made in this call.
    """

    def __init__(self, program: Program, names: Names, donated: frozenset[int] = frozenset()) -> None:
        self.program, self.names, self.donated = program, names, donated
        self.machine = Machine()
        self.lines: list[str] = []
        self.parallel = False  # whether it runs functions that use all cores
        self.code: dict[Value, str] = {}
        self.arrays: dict[Any, Array] = {}
        self.standing: dict[Value, Array] = {}  # value -> its array, if that is the same memory in every call
        made = {x for x in program.outputs if isinstance(x, Value) and x.kind == "made"}
        # An argument that is returned unchanged must not be overwritten, even if it is donated.
        returned = {x for x in program.outputs if isinstance(x, Value)}
        given = [v for v in program.inputs if v.slot in donated and isinstance(v.dtype, np.dtype) and v not in returned]
        self.memory = Memory(program.ops, made, given)
        stored = [out for op in program.ops if Memory.stored(op) for out in op.outs]
        self.returned = {v for v in stored if v in made and v not in self.memory.owner}
        self.buffers = self.memory.allocate()
        if POISON:
            self.lines.append(f"{names(self.memory.whole, 'whole')}.fill(255)")
        # If the program is a single kernel, the kernel checks the arrays' shapes, which is faster than in Python.
        arrays = {v for v in program.inputs if isinstance(v.dtype, np.dtype)}
        first = program.ops[0] if len(program.ops) == 1 else None
        self.checked = first is not None and first.kind == "kernel" and arrays <= set(first.args)
        for value in program.inputs:
            self.code[value] = f"i{value.slot}"

    def source(self) -> list[str]:
        """Write all operations, and return the lines, without the return statement."""
        for value in sorted(self.returned, key=lambda v: v.number):
            self.output(value)
        for op in self.program.ops:
            self.write(op)
        return self.lines

    def output(self, value: Value) -> None:
        """Append the line that gets an array for an output: a new one, or an earlier one that nobody refers to."""
        o = self.code[value] = f"o{value.number}"
        if value in self.memory.onto:
            self.code[value] = f"i{self.memory.onto[value].slot}"
            return
        shape, dtype = self.names(value.shape), self.names(value.dtype)
        if not value.shape:  # a scalar read from this array is returned, so the array can be kept
            self.stand(value, np.empty((), value.dtype))
        elif value.nbytes <= SMALL:
            self.lines.append(f"{o} = empty({shape}, {dtype})")
        else:
            pool = self.names(Pool(value.shape, value.dtype), "pool")
            self.lines += [f"{o} = {pool}[0]", f"if refs({o}) > {NAMED}: {o} = {pool}.fresh()"]
        if POISON and value.shape:
            self.lines.append(f"{o}.view('u1').fill(255)")

    def of(self, arg: Arg) -> str:
        """Return the expression of an argument of an operation."""
        if not isinstance(arg, Value):
            return self.names(arg) if not _is_literal(arg) else repr(arg)
        if arg not in self.code and arg.kind == "constant":
            self.stand(arg, arg.data if arg.data.flags.carray else np.array(arg.data, order="C"))
        return self.code[arg]

    def stand(self, value: Value, array: Array) -> str:
        """Give a value an array that is the same in every call, and return its expression."""
        self.standing[value] = array
        self.code[value] = self.names(array, "t")
        return self.code[value]

    def buffer(self, value: Value) -> str:
        """Return the expression of the array that an operation writes its result into."""
        value = self.memory.target.get(value, value)
        if value in self.code:
            return self.code[value]
        place = self.memory.place[value]
        array = self.arrays.get((place, value.dtype, value.shape))
        if array is None:
            array = self.buffers[place][: value.nbytes].view(value.dtype).reshape(value.shape)
            # The same array gets the same name: so a kernel's compiler sees if the kernel overwrites an argument.
            self.arrays[place, value.dtype, value.shape] = array
        return self.stand(value, array)

    def write(self, op: Op) -> None:
        """Append the lines of one operation."""
        if op.kind in VIEWS and op.out in self.memory.owner:
            return self.make_view(op)
        args = [self.of(arg) for arg in op.args]
        if op.kind == "number":
            text = _number_code(op, args, self.names)
            if op.name == "pow" and op.out.dtype is int and any(one.kind == "kernel" for one in self.program.ops):
                text = (
                    f"{self.names(integer_power, 'f')}({text})"  # raises for a fraction, which a kernel would truncate
                )
            return self.add(f"n{op.out.number}", op.out, text)
        if op.kind == "scalar":
            return self.add(f"r{op.out.number}", op.out, _scalar(op, args))
        if op.kind == "kernel":
            return self.launch(op)
        if op.kind == "native":
            return self.run_native(op)
        if op.kind in ("call", "draw"):
            f = self.names(op.function, "f")
            if op.out.weak:
                return self.add(f"n{op.out.number}", op.out, f"{f}({', '.join(args)})")
            owned = [
                self.names(owned_copy(op.name, made.shape, made.dtype, self.memory.whole, not self.donated), "own")
                for made in op.outs
            ]
            if len(op.outs) == 1:
                return self.add(f"r{op.out.number}", op.out, f"{owned[0]}({f}({', '.join(args)}))")
            self.code.update({made: f"r{made.number}" for made in op.outs})
            results = [self.code[made] for made in op.outs]
            self.lines.append(f"{', '.join(results)} = {f}({', '.join(args)})")
            self.lines += [f"{r} = {o}({r})" for r, o in zip(results, owned, strict=True)]
            return None
        out = self.code[op.out] = self.buffer(op.out)
        self.lines.append(getattr(self, f"write_{op.kind}")(op, args, out))
        return None

    def launch(self, op: Op) -> None:
        """Append the call of a kernel."""
        for out in op.outs:
            self.code[out] = self.buffer(out)
        codes = {v: self.of(v) for v in [*op.values, *op.outs]}
        # Arguments may share memory, so if one is overwritten, the kernel must not assume that arrays do not alias.
        no_alias = not any(self.memory.target.get(out, out) in self.memory.onto for out in op.outs)
        name, given = self.machine.add(op.function, codes, self.checked, no_alias)
        self.parallel |= self.machine.parallel
        call = f"{name}({', '.join(given)})"
        self.lines.append(f"if not {call}: return miss" if self.checked else call)

    def run_native(self, op: Op) -> None:
        """Append the call of a function from the package `native`."""
        from ..numba.native.row import contiguous

        self.parallel = True
        for out in op.outs:
            self.code[out] = self.buffer(out)
        args = [
            self.of(x) if not isinstance(x, Value) or contiguous(x) else f"in_order({self.of(x)})"
            for x in op.args
        ]
        more = [self.names(x) if not _is_literal(x) else repr(x) for x in op.extra]
        outs = [self.code[out] for out in op.outs]
        self.lines.append(f"{self.names(op.function.compiled(), 'p')}({', '.join([*args, *outs, *more])})")

    def add(self, name: str, value: Value, expression: str) -> None:
        """Append an assignment."""
        self.code[value] = name
        self.lines.append(f"{name} = {expression}")

    def make_view(self, op: Op) -> None:
        """Make a view: now, if its array is the same in every call, else append the line that makes it."""
        x = op.args[0]
        self.of(x)
        if x in self.standing:
            self.stand(op.out, view_of(op, self.standing[x]))
            return
        a = self.code[x]
        if op.kind == "transpose" and op.attrs[0] == (1, 0):
            code = f"{a}.T"
        elif op.kind in ("transpose", "reshape"):
            code = f"{a}.{op.kind}({self.names(op.attrs[0])})"
        elif op.kind == "broadcast":
            code = f"broadcast_to({a}, {self.names(op.attrs[0])})"
        else:
            from ..trace.operations import thawed

            code = f"{a}[{self.names(whole_index(thawed(op.attrs[0])))}]"
        self.add(f"w{op.out.number}", op.out, code)

    def write_ufunc(self, op: Op, args: list[str], out: str) -> str:
        """Return the line for an elementwise operation."""
        kinds = ufunc_dtypes(op.function, op.args) if any(not isinstance(arg, Value) for arg in op.args) else ()
        for place, arg in enumerate(op.args):
            # NumPy is faster with an array without axes than with a number. A uint8 == -1 is False, and -1 is no uint8.
            if not isinstance(arg, Value) and _can_hold(arg, kinds[place]):
                args[place] = self.names(_number_array(op, arg, kinds[place]), "c")
        out = f"out={out}" if op.function in (np.maximum, np.minimum) else out
        return f"{self.names(op.function, 'f')}({', '.join([*args, out])})"

    def write_where(self, op: Op, args: list[str], out: str) -> str:
        """Return the line for `np.where`: copy the third argument, then the second where the condition holds."""
        condition = op.args[0]
        known = not isinstance(condition, Value) or condition.dtype == bool
        holds = args[0] if known else f"{args[0]} != 0"  # copyto accepts only a boolean condition
        first = "" if args[2] == out or self._share_memory(op.args[2], op.out) else f"copyto({out}, {args[2]}); "
        return f"{first}copyto({out}, {args[1]}, 'same_kind', {holds})"

    def _share_memory(self, a: Arg, b: Value) -> bool:
        place = self.memory.place
        return isinstance(a, Value) and a in place and b in place and place[a] == place[b]

    def write_cast(self, op: Op, args: list[str], out: str) -> str:
        """Return the line for a change of dtype."""
        return f"copyto({out}, {args[0]}, 'unsafe')"

    def write_reshape(self, op: Op, args: list[str], out: str) -> str:
        """Return the line for a reshape that copies, of an array that is not contiguous."""
        return f"copyto({out}, {args[0]}.reshape({self.names(op.out.shape)}))"

    def write_reduce(self, op: Op, args: list[str], out: str) -> str:
        """Return the line for a reduction."""
        axes, keep, dtype = op.attrs
        ndim = len(op.args[0].shape)
        axis = "None" if len(axes) == ndim else repr(axes[0]) if len(axes) == 1 else repr(axes)
        kind = self.names(op.out.dtype) if dtype or op.args[0].dtype != op.out.dtype else "None"
        return f"{self.names(op.function.reduce, 'f')}({args[0]}, {axis}, {kind}, {out}, {keep})"

    def write_matmul(self, op: Op, args: list[str], out: str) -> str:
        """Return the line for a matrix product."""
        return f"{self.names(op.function, 'f')}({args[0]}, {args[1]}, {out})"

    def write_vdot(self, op: Op, args: list[str], out: str) -> str:
        """Return the line for an inner product."""
        return f"{out}[()] = vdot({args[0]}, {args[1]})"


def _is_literal(x: Any) -> bool:
    return type(x) in (int, bool) or (type(x) is float and x == x and abs(x) != float("inf"))


def _number_code(op: Op, args: list[str], names: Names) -> str:
    symbol = SYMBOLS.get(op.name)
    if symbol:
        return f"{args[0]} {symbol} {args[1]}"
    return f"{names(op.function, 'f')}({', '.join(args)})"


def _can_hold(number: Any, dtype: Any) -> bool:
    """Tell whether a dtype can hold a number."""
    whole = type(number) is int and dtype.kind in "iu"
    return not whole or bool(np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)


def _number_array(op: Op, number: Any, dtype: Any) -> Array:
    """Return a number as an array; a row of it for `maximum` and `minimum`, which are slow with a single number."""
    length = op.out.shape[-1] if op.function in (np.maximum, np.minimum) and op.out.shape else 0
    return np.full(length, number, dtype) if length >= ROW and op.out.nbytes >= LARGE else np.asarray(number, dtype)


ON_SCALARS = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/"}


def scalars(program: Program) -> Program:
    """Return the program with arithmetic on 0-d arrays as ``scalar`` operations, if nothing else needs an array.

    NumPy scalars are faster than arrays without axes, and need no buffer.
    """
    returned = {x for x in program.outputs if isinstance(x, Value)}
    users = users_of(program.ops)
    for op in reversed(program.ops):
        single = all(a.kind == "made" and not a.shape for a in op.values)
        last = all(user.kind == "scalar" for user in users.get(op.out, [])) and (op.out in users or op.out in returned)
        if last and (op.kind == "vdot" or (op.kind == "ufunc" and op.function in ON_SCALARS and single)):
            op.kind = "scalar"
    return program


def _scalar(op: Op, args: list[str]) -> str:
    """Return the expression of a ``scalar`` operation; arguments that are 0-d arrays are read with ``[()]``."""
    if op.function is np.vdot:
        return f"vdot({args[0]}, {args[1]})"
    read = [
        f"{code}[()]" if isinstance(arg, Value) and not arg.weak and arg.op and arg.op.kind != "scalar" else code
        for arg, code in zip(op.args, args, strict=True)
    ]
    return f"{read[0]} {ON_SCALARS[op.function]} {read[1]}"


class Pool(list[Array]):
    """The arrays of one output; one is used for a later call when nobody else refers to it or to a view of it."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__([np.empty(shape, dtype)])

    def fresh(self) -> Array:
        """Return an array of the pool that nobody else refers to, or a new one, and move it to the front."""
        for place in range(1, len(self)):
            if sys.getrefcount(self[place]) <= LISTED:
                self.insert(0, self.pop(place))
                return self[0]
        self.insert(0, np.empty_like(self[0]))
        del self[2:]
        return self[0]


class Mismatch(Exception):
    """Raised if a result has another shape or dtype than in the trace."""


def integer_power(x: Any) -> Any:
    """Return a power of integers unchanged if it is an integer, as it was in the trace.

    Raises:
        Varied: it is a fraction, since the exponent is negative.
    """
    if type(x) is not int:
        raise Mismatch(f"a power of whole numbers is {x} for these values, and was a whole number when it was traced.")
    return x


def owned_copy(name: str, shape: tuple[int, ...], dtype: Any, arena: Array, lent: bool) -> Callable[[Any], Array]:
    """Return a function that checks a result of a ``call``, and makes it an array that the plan will not overwrite.

    The array is C-contiguous. A result that is a view of the plan's buffers is copied.

    Args:
        name: of the called function.
        shape, dtype: of its result in the trace; another one raises `Mismatch`.
        arena: the array that holds the plan's buffers.
        lent: whether the result may share memory with an argument.
    """

    def owned(x: Any) -> Array:
        if type(x) is not np.ndarray:
            x = np.asarray(x)
        if x.shape != shape or (x.dtype is not dtype and x.dtype != dtype):
            raise Mismatch(
                f"{name} gave {x.dtype}{list(x.shape)} for these values, and {dtype}{list(shape)} when it was traced."
            )
        base = x.base
        if base is not None and (base is arena or not lent or type(base) is not np.ndarray or base.base is not None):
            return x.copy()  # type: ignore[no-any-return]
        return x if x.flags.carray else as_array(x, dtype)

    return owned


GLOBALS: dict[str, Any] = {
    "empty": np.empty, "asarray": np.asarray, "copyto": np.copyto, "vdot": np.vdot, "broadcast_to": np.broadcast_to,
    "ndarray": np.ndarray, "in_order": np.ascontiguousarray, "refs": sys.getrefcount,
}  # fmt: skip


def results(program: Program, writer: Any, names: Names) -> list[str]:
    """Return an expression for each leaf of the result; views, and arrays that the plan overwrites, are copied."""
    codes = []
    for x in program.outputs:
        if not isinstance(x, Value):
            codes.append(names(x))
        elif (x.kind == "made" and x.weak) or (x.op is not None and x.op.kind == "scalar"):
            codes.append(writer.of(x))
        elif not x.shape and x.kind == "made":
            codes.append(f"{writer.of(x)}[()]")
        elif x.kind == "input" or x in writer.returned or (x.op is not None and x.op.kind == "draw"):
            codes.append(writer.of(x))
        elif x.op is not None and x.op.kind == "call":
            codes.append(f"{writer.of(x)}.copy() if {writer.of(x)}.base is not None else {writer.of(x)}")
        else:
            codes.append(f"{writer.of(x)}.copy()")
    return codes
