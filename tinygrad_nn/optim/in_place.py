"""In-place forms of optimizer rules, derived automatically: the same operations in the same order, with fewer arrays.

A rule is written once, as a pure function of arrays. Here it is called once with symbols in place of the arrays, which
record the operations. From this list a Python function is generated that does the same, but writes the result of an
operation into an array that is not needed any more. The results are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
OptimizerState = tuple[Any, ...]  # as in `rule`, which imports this module
Into = Callable[[Array, OptimizerState, Any, Array, Array | None], tuple[Array, OptimizerState]]

OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide,
    "pow": pow,  # np.power does not become np.square or np.sqrt, as x**2 and x**0.5 do
}  # fmt: skip
SIGNS = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.greater: ">"}  # for plain numbers


class NotElementwise(TypeError):
    """Raised if a rule uses more than elementwise arithmetic; such a rule has no in-place form."""


class Symbol:
    """A value of a rule while it is recorded: an array of the parameter's shape, or a number."""

    def __init__(self, program: list[Symbol], function: Any, args: tuple[Any, ...], array: bool) -> None:
        self.program, self.function, self.args, self.array = program, function, args, array
        self.name = f"x{len(program)}"
        program.append(self)

    @classmethod
    def argument(cls, program: list[Symbol], name: str, array: bool) -> Symbol:
        """Return the symbol of an argument of the rule."""
        symbol = cls(program, None, (), array)
        symbol.name = name
        return symbol

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Symbol:
        if method != "__call__" or options:
            raise NotElementwise(f"{ufunc.__name__} with options")
        return write_operation(self.program, ufunc, args)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Symbol:
        if function is not np.where:  # np.where has no options
            raise NotElementwise(function.__name__)
        return write_operation(self.program, function, args)

    def __gt__(self, other: Any) -> Symbol:
        return write_operation(self.program, np.greater, (self, other))

    def __abs__(self) -> Symbol:
        return write_operation(self.program, np.abs if self.array else abs, (self,))

    def __bool__(self) -> bool:
        raise NotElementwise("a decision that depends on a value")


def write_operation(program: list[Symbol], function: Any, args: tuple[Any, ...]) -> Symbol:
    """Record an operation, and return the symbol of its result."""
    return Symbol(program, function, args, any(isinstance(x, Symbol) and x.array for x in args))


def _operator_methods(function: Any) -> tuple[Callable[..., Symbol], Callable[..., Symbol]]:
    def forward(self: Symbol, other: Any) -> Symbol:
        return write_operation(self.program, function, (self, other))

    def reflected(self: Symbol, other: Any) -> Symbol:
        return write_operation(self.program, function, (other, self))

    return forward, reflected


for _name, _function in OPERATORS.items():
    for _prefix, _method in zip(("__", "__r"), _operator_methods(_function), strict=True):
        setattr(Symbol, f"{_prefix}{_name}__", _method)


def in_place(
    init: Callable[[Array], OptimizerState], update: Callable[..., tuple[Array, OptimizerState]]
) -> Into | None:
    """Return ``into(g, state, eta, w, spare) -> (w - step, state)``, or ``None`` for a rule that is not elementwise.

    Args:
        init, update: the functions of an `Optimizer`.

    Returns:
        A function that computes the same as ``w - update(g, state, eta, w)[0]``, to the last bit. It writes into arrays
        that it made itself and, after g was read for the last time, into `spare`, which may be g or ``None``. Its
        attribute ``scales`` is True if eta only multiplies arrays; eta may then be a 0-d array of their dtype.

    Example:
        >>> from tinygrad_nn.optim import momentum
        >>> rule = momentum(0.5)
        >>> into = in_place(rule.init, rule.update)
        >>> w = np.array([1.0])
        >>> into(np.array([2.0]), rule.init(w), 0.1, w, None)
        (array([0.8]), (array([2.]),))
    """
    program: list[Symbol] = []
    g, w = Symbol.argument(program, "g", True), Symbol.argument(program, "w", True)
    eta = Symbol.argument(program, "eta", False)
    start = init(np.zeros(1))
    kept = [Symbol.argument(program, f"s{k}", isinstance(x, np.ndarray)) for k, x in enumerate(start)]
    given = len(program)
    try:
        step, state = update(g, tuple(kept), eta, w)
        result = w - step
    except (TypeError, AttributeError):  # it uses shapes, or more than arithmetic
        return None
    constants: dict[str, Any] = {}
    lines = _lines(program[given:], g, w, set(kept), [result, *state], constants)
    returned = "".join(f"{_operand_name(x, constants)}, " for x in state)
    source = "\n    ".join([
        "def into(g, state, eta, w, spare):",
        f"({''.join(f'{s.name}, ' for s in kept)}) = state",
        "del state",  # so that old state arrays are freed after they are read, unless referenced elsewhere
        *lines,
        f"return {result.name}, ({returned})",
    ])
    exec(compile(source, f"<in place: {getattr(update, '__qualname__', 'a rule')}>", "exec"), constants)
    into: Any = constants["into"]
    uses = [s for s in program if any(x is eta for x in s.args)]
    into.scales = bool(uses) and all(s.array and s.function is np.multiply for s in uses)
    return into  # type: ignore[no-any-return]


def _lines(
    operations: list[Symbol], g: Symbol, w: Symbol, state: set[Symbol], results: list[Any], constants: dict[str, Any]
) -> list[str]:
    """Return the program as lines of Python; results are written into arrays that are not read afterwards."""
    last = {x: place for place, s in enumerate(operations) for x in s.args if isinstance(x, Symbol)}
    last |= {x: len(operations) for x in results if isinstance(x, Symbol)}
    lines: list[str] = []
    free: list[str] = []  # arrays that were made here and are not read any more
    spared = False
    for place, s in enumerate(operations):
        args = [_operand_name(x, constants) for x in s.args]
        if not s.array and s.function in SIGNS:
            lines.append(f"{s.name} = {f' {SIGNS[s.function]} '.join(args)}")
            continue
        dead = [x for x in dict.fromkeys(s.args) if isinstance(x, Symbol) and x.array and last[x] == place]
        into = isinstance(s.function, np.ufunc) and s.array and s.function is not np.greater
        out = "out={}".format if s.function in (np.maximum, np.minimum) else str  # positional is faster if allowed
        mine = [x.name for x in dead if x not in state | {g, w} and x.function is not np.greater]
        if into and (mine or free):
            args.append(out(mine.pop() if mine else free.pop()))
        elif into and not spared and last.get(g, -1) <= place:
            args.append(out("spare"))
            spared = True
        lines.append(f"{s.name} = {_function_name(s.function, constants)}({', '.join(args)})")
        free += mine
        if gone := [x.name for x in dead if x in state]:
            lines.append(f"del {', '.join(gone)}")
    return lines


def _function_name(function: Any, constants: dict[str, Any]) -> str:
    constants[function.__name__] = function
    return str(function.__name__)


def _operand_name(x: Any, constants: dict[str, Any]) -> str:
    if isinstance(x, Symbol):
        return x.name
    name = f"c{len(constants)}"
    constants[name] = x
    return name
