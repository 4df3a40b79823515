"""The in-place form of an optimizer's rule, derived from the rule: the same operations in the same order, fewer arrays.

A rule is written once, as a pure function of arrays. Here it is called once with symbols in place of the arrays, which
write down what is done with them. From that list a function is made which does the same, but writes the result of an
operation over an array that is not read any more. So each number is the same to the last bit.
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
    "pow": pow,  # np.power lacks the square and the root that x**2 and x**0.5 are
}  # fmt: skip
SIGNS = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.greater: ">"}  # of plain numbers


class NotElementwise(TypeError):
    """A rule that asks for more than arithmetic, entry by entry; it has no in-place form."""


class Symbol:
    """A value of a rule while it is written down: an array of the parameter's shape, or a number."""

    def __init__(self, program: list[Symbol], function: Any, args: tuple[Any, ...], array: bool) -> None:
        self.program, self.function, self.args, self.array = program, function, args, array
        self.name = f"x{len(program)}"
        program.append(self)

    @classmethod
    def given(cls, program: list[Symbol], name: str, array: bool) -> Symbol:
        """Return the symbol of an argument of the rule."""
        symbol = cls(program, None, (), array)
        symbol.name = name
        return symbol

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Symbol:
        if method != "__call__" or options:
            raise NotElementwise(f"{ufunc.__name__} with options")
        return written(self.program, ufunc, args)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Symbol:
        if function is not np.where:  # which takes no options
            raise NotElementwise(function.__name__)
        return written(self.program, function, args)

    def __gt__(self, other: Any) -> Symbol:
        return written(self.program, np.greater, (self, other))

    def __abs__(self) -> Symbol:
        return written(self.program, np.abs if self.array else abs, (self,))

    def __bool__(self) -> bool:
        raise NotElementwise("a decision that depends on a value")


def written(program: list[Symbol], function: Any, args: tuple[Any, ...]) -> Symbol:
    """Write an operation down and return the symbol of its result."""
    return Symbol(program, function, args, any(isinstance(x, Symbol) and x.array for x in args))


def _operator(function: Any) -> tuple[Callable[..., Symbol], Callable[..., Symbol]]:
    def forward(self: Symbol, other: Any) -> Symbol:
        return written(self.program, function, (self, other))

    def reflected(self: Symbol, other: Any) -> Symbol:
        return written(self.program, function, (other, self))

    return forward, reflected


for _name, _function in OPERATORS.items():
    for _prefix, _method in zip(("__", "__r"), _operator(_function), strict=True):
        setattr(Symbol, f"{_prefix}{_name}__", _method)


def in_place(
    init: Callable[[Array], OptimizerState], update: Callable[..., tuple[Array, OptimizerState]]
) -> Into | None:
    """Return ``into(g, state, eta, w, spare) -> (w - step, state)``, or ``None`` for a rule that is not elementwise.

    Args:
        init, update: as an `Optimizer` has them.

    Returns:
        A function that computes what ``w - update(g, state, eta, w)[0]`` does, to the last bit. It writes into arrays
        that it made itself and, once g has been read for the last time, into `spare`, which may be g or ``None``. Its
        attribute ``scales`` tells whether eta only multiplies arrays, and so may be an array () of their dtype.

    Example:
        >>> from tinygrad_nn.optim import momentum
        >>> rule = momentum(0.5)
        >>> into = in_place(rule.init, rule.update)
        >>> w = np.array([1.0])
        >>> into(np.array([2.0]), rule.init(w), 0.1, w, None)
        (array([0.8]), (array([2.]),))
    """
    program: list[Symbol] = []
    g, w = Symbol.given(program, "g", True), Symbol.given(program, "w", True)
    eta = Symbol.given(program, "eta", False)
    start = init(np.zeros(1))
    kept = [Symbol.given(program, f"s{k}", isinstance(x, np.ndarray)) for k, x in enumerate(start)]
    given = len(program)
    try:
        step, state = update(g, tuple(kept), eta, w)
        result = w - step
    except (TypeError, AttributeError):  # it asks for shapes, or for more than arithmetic
        return None
    constants: dict[str, Any] = {}
    lines = _lines(program[given:], g, w, set(kept), [result, *state], constants)
    returned = "".join(f"{_shown(x, constants)}, " for x in state)
    source = "\n    ".join([
        "def into(g, state, eta, w, spare):",
        f"({''.join(f'{s.name}, ' for s in kept)}) = state",
        "del state",  # what nobody else holds of it is freed as soon as it was read for the last time
        *lines,
        f"return {result.name}, ({returned})",
    ])
    exec(compile(source, f"<in place: {getattr(update, '__qualname__', 'a rule')}>", "exec"), constants)
    into: Any = constants["into"]
    uses = [s for s in program if any(x is eta for x in s.args)]
    into.scales = bool(uses) and all(s.array and s.function is np.multiply for s in uses)
    return into  # type: ignore[no-any-return]


def _lines(
    operations: list[Symbol], g: Symbol, w: Symbol, kept: set[Symbol], results: list[Any], constants: dict[str, Any]
) -> list[str]:
    """Return the program as lines of Python: an operation writes over what is not read after it."""
    last = {x: place for place, s in enumerate(operations) for x in s.args if isinstance(x, Symbol)}
    last |= {x: len(operations) for x in results if isinstance(x, Symbol)}
    lines: list[str] = []
    free: list[str] = []  # arrays that were made here and are not read any more
    spared = False
    for place, s in enumerate(operations):
        args = [_shown(x, constants) for x in s.args]
        if not s.array and s.function in SIGNS:
            lines.append(f"{s.name} = {f' {SIGNS[s.function]} '.join(args)}")
            continue
        dead = [x for x in dict.fromkeys(s.args) if isinstance(x, Symbol) and x.array and last[x] == place]
        into = isinstance(s.function, np.ufunc) and s.array and s.function is not np.greater
        out = "out={}".format if s.function in (np.maximum, np.minimum) else str  # by place is faster; these forbid it
        mine = [x.name for x in dead if x not in kept | {g, w} and x.function is not np.greater]
        if into and (mine or free):
            args.append(out(mine.pop() if mine else free.pop()))
        elif into and not spared and last.get(g, -1) <= place:
            args.append(out("spare"))
            spared = True
        lines.append(f"{s.name} = {_named(s.function, constants)}({', '.join(args)})")
        free += mine
        if gone := [x.name for x in dead if x in kept]:
            lines.append(f"del {', '.join(gone)}")
    return lines


def _named(function: Any, constants: dict[str, Any]) -> str:
    constants[function.__name__] = function
    return str(function.__name__)


def _shown(x: Any, constants: dict[str, Any]) -> str:
    if isinstance(x, Symbol):
        return x.name
    name = f"c{len(constants)}"
    constants[name] = x
    return name
