"""The small faults that can be planted: each is a piece of a source file and the piece that replaces it.

What cannot change a result is not drawn, and counted: `commutes`, the arguments of a function that takes them in any
order, such as `max` or `x.swapaxes`, exchanged, or the two sides of a difference of which only the size is looked at,
as in `abs(a - b)` and `(a - b)**2`; `guard`, another number in the place of one below 1e-200, which only keeps a
division or a logarithm from zero; `quiet`, what `np.errstate` is told, which is only whether NumPy warns; `edge`, `<`
in place of `<=` where a bound is a number below 1e-3, or times one, as in `abs(a) < 1e-6 * b`: only rounding tells;
`free`, -2 in place of the -1 of `reshape(-1, n)`, since NumPy finds the length for any negative number.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import CodeType
from typing import NamedTuple

ROOMS = {
    "engine": (
        "tensor.py", "node.py", "leaves.py", "primitive.py", "backward.py", "degenerate.py", "custom.py", "implicit.py",
        "symmetric.py", "tree.py", "transforms",
    ),
    "autograd": ("autograd",),
    "ops": ("ops",),
    "manual": ("manual",),
    "nn": ("nn",),
    "optim": ("optim",),
    "data": ("data", "files", "io.py", "metrics.py"),
    "solver": ("solver",),
    "compare": ("compare",),
    "compiled": ("compiled",),
    "graph": ("graph", "gradcheck"),
}  # fmt: skip
SHOWN = {"__repr__", "__str__", "__format__", "__dir__"}  # functions that only show
ASKED = {"isinstance", "issubclass", "getattr", "setattr", "hasattr", "cast", "print"}  # whose arguments stay in order
COMMUTATIVE = {"max", "min", "maximum", "minimum", "fmax", "fmin", "array_equal", "shares_memory", "logaddexp"}
OF_LIBRARIES = {"add", "multiply", "hypot", "equal", "not_equal", "logical_and", "logical_or", "logical_xor", "gcd",
                "lcm", "result_type", "promote_types", "broadcast_shapes"}  # fmt: skip  # of np and math: they commute
SIZES = {"abs", "absolute", "fabs", "square"}  # of a difference, whichever is taken from the other
GUARD = 1e-200
SMALL = 1e-3
NOT_DRAWN = {"commutes", "guard", "quiet", "edge", "free"}
AXES = {"axis", "axes", "dim"}
TOLD = {"strict", "stacklevel", "doc", "name", "kinds", "tex"}  # keywords that only say or check something
SIGNS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+")}
ORDERED = {ast.Sub: "-", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**", ast.FloorDiv: "//", ast.Mod: "%"}
ORDERS = {ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")}


class Fault(NamedTuple):
    """A piece of a file, in bytes, and what takes its place; `first` to `last` are the lines of its expression."""

    room: str
    path: str
    function: str
    entry: int  # the first line of the innermost function or lambda
    line: int
    first: int
    last: int
    kind: str
    start: int
    end: int
    before: str
    after: str

    def planted(self, source: bytes) -> bytes:
        """Return the file with the fault."""
        return source[: self.start] + self.after.encode() + source[self.end :]

    def __str__(self) -> str:
        short = [re.sub(r"\s+", " ", text) for text in (self.before, self.after)]
        return f"{self.path}:{self.line} {self.function}: {short[0]}  ->  {short[1]}  [{self.kind}]"


def files(root: Path, room: str) -> list[Path]:
    """Return the source files of a room."""
    places = [place for name in ROOMS[room] if (place := root / "tinygrad_nn" / name).exists()]
    return sorted(path for place in places for path in (place.rglob("*.py") if place.is_dir() else [place]))


def faults(root: Path, room: str) -> list[Fault]:
    """Return every fault that can be planted in a room, whether or not it changes the bytecode."""
    return [fault for path in files(root, room) for fault in of_file(path, room, path.relative_to(root).as_posix())]


def not_drawn(root: Path, room: str) -> int:
    """Return how many more of a room are left out, since they cannot change a result."""
    return sum(f.kind in NOT_DRAWN for path in files(root, room) for f in _Finder(path.read_bytes(), room, "").faults())


def of_file(path: Path, room: str, name: str) -> list[Fault]:
    """Return every fault of a file."""
    return [fault for fault in _Finder(path.read_bytes(), room, name).faults() if fault.kind not in NOT_DRAWN]


def same(a: CodeType, b: CodeType) -> bool:
    """Whether two pieces of bytecode do the same, wherever they stand in a file."""
    if (a.co_code, a.co_names, a.co_varnames, a.co_freevars) != (b.co_code, b.co_names, b.co_varnames, b.co_freevars):
        return False
    pairs = list(zip(a.co_consts, b.co_consts, strict=False))
    return len(a.co_consts) == len(b.co_consts) and all(
        same(p, q) if isinstance(p, CodeType) and isinstance(q, CodeType) else repr(p) == repr(q) for p, q in pairs
    )


class _Finder:
    """Walks the functions of a file."""

    def __init__(self, source: bytes, room: str, path: str) -> None:
        self.source, self.room, self.path = source, room, path
        self.tree = ast.parse(source)
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self.starts = starts
        nodes = list(ast.walk(self.tree))
        self.sizes = {id(part) for node in nodes for part in _only_sizes(node)}
        self.quiet = {id(part) for node in nodes if isinstance(node, ast.Call) and _called(node) == "errstate"
                      for part in node.keywords}  # fmt: skip
        self.free = {id(part.operand) for node in nodes if isinstance(node, ast.Call) and _called(node) == "reshape"
                     for arg in node.args for part in (arg.elts if isinstance(arg, ast.Tuple) else [arg])
                     if isinstance(part, ast.UnaryOp) and _integer(part) == -1}  # fmt: skip

    def faults(self) -> Iterator[Fault]:
        yield from self._visit(self.tree, "", 0, (0, 0))

    def _visit(self, node: ast.AST, function: str, entry: int, lines: tuple[int, int]) -> Iterator[Fault]:
        """Go through a tree; `entry` is 0 outside of functions."""
        if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)) or _tells(node):
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.name in SHOWN or node.name.startswith("_repr"):
                return
            entry = min(node.lineno, *[d.lineno for d in node.decorator_list], node.lineno)
            function = f"{function}.{node.name}" if function else node.name
            for part in node.body:
                yield from self._visit(part, function, entry, lines)
            return
        if isinstance(node, ast.Lambda):
            entry = node.lineno
            function = function or "lambda"
            lines = (node.body.lineno, node.body.end_lineno or node.body.lineno)
            yield from self._visit(node.body, function, entry, lines)
            return
        if isinstance(node, ast.ClassDef):
            function = f"{function}.{node.name}" if function else node.name
            for part in node.body:
                yield from self._visit(part, function, entry, lines)
            return
        if isinstance(node, ast.stmt):
            head = getattr(node, "test", None) or getattr(node, "iter", None)
            last = (head.end_lineno if head is not None else None if hasattr(node, "body") else node.end_lineno)
            lines = (node.lineno, last or node.lineno)
        if entry:
            for kind, start, end, after in self._of(node):
                before = self.source[start:end].decode()
                line = self.source.count(b"\n", 0, start) + 1
                yield Fault(self.room, self.path, function, entry, line, *lines, kind, start, end, before, after)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "type_comment"):
                continue
            if isinstance(node, ast.Call) and _called(node) == "cast" and field == "args":
                value = value[1:]
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST) and not (isinstance(part, ast.keyword) and part.arg in TOLD):
                    yield from self._visit(part, function, entry, lines)

    def _place(self, node: ast.AST) -> tuple[int, int]:
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.AST) -> str:
        start, end = self._place(node)
        return self.source[start:end].decode()

    def _operator(self, left: ast.AST, right: ast.AST, old: str, new: str) -> tuple[int, int, str] | None:
        """Return the place of an operator between two operands, and what is put there."""
        start, end = self._place(left)[1], self._place(right)[0]
        between = self.source[start:end].decode()
        if between.count(old) != 1 or "#" in between:
            return None
        at = start + len(between[: between.index(old)].encode())
        return at, at + len(old), new

    def _of(self, node: ast.AST) -> Iterator[tuple[str, int, int, str]]:
        """Return kind, start, end and new text of each fault of one node."""
        place = self._place(node) if hasattr(node, "lineno") else (0, 0)
        if isinstance(node, ast.BinOp):
            left, right = self._text(node.left), self._text(node.right)
            if type(node.op) in SIGNS and (found := self._operator(node.left, node.right, *SIGNS[type(node.op)])):
                yield "sign", *found
            if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div)) and not _is_text(node):
                yield "dropped term", *place, f"({left})"
                yield "dropped term", *place, f"(-({right}))" if isinstance(node.op, ast.Sub) else f"({right})"
            if type(node.op) in ORDERED and left != right and not _is_text(node):
                kind = "commutes" if id(node) in self.sizes else "swapped arguments"
                yield kind, *place, f"(({right}) {ORDERED[type(node.op)]} ({left}))"
        elif isinstance(node, ast.AugAssign):
            if type(node.op) in SIGNS and (found := self._operator(node.target, node.value, *SIGNS[type(node.op)])):
                yield "sign", *found
            yield "dropped term", *place, "pass"
        elif isinstance(node, ast.BoolOp):
            for k in range(len(node.values)):
                rest = [f"({self._text(value)})" for j, value in enumerate(node.values) if j != k]
                yield "dropped term", *place, f"({(' and ' if isinstance(node.op, ast.And) else ' or ').join(rest)})"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
            yield "sign", *place, f"({self._text(node.operand)})"
        elif isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for k, op in enumerate(node.ops):
                if type(op) in ORDERS and (found := self._operator(*operands[k : k + 2], *ORDERS[type(op)])):
                    yield "edge" if any(map(_is_bound, operands[k : k + 2])) else "off by one", *found
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and not _tells(node.value):
            yield "dropped term", *place, "pass"
        elif isinstance(node, ast.keyword):
            if node.arg in AXES and (value := _integer(node.value)) is not None:
                other = {-1: 0, 0: -1}.get(value, value + 1 if value < 0 else value - 1)
                yield "axis", *self._place(node.value), str(other)
            elif node.arg is not None:
                yield "quiet" if id(node) in self.quiet else "dropped term", *place, "**{}"
        elif isinstance(node, ast.Call):
            yield from self._of_call(node)
        elif isinstance(node, ast.Constant):
            yield from self._of_constant(node, place)

    def _of_call(self, node: ast.Call) -> Iterator[tuple[str, int, int, str]]:
        name = _called(node)
        plain = [arg for arg in node.args if not isinstance(arg, ast.Starred)]
        if len(plain) == len(node.args) and len(plain) > 1 and name not in ASKED:
            for a, b in pairwise(plain):
                if ast.dump(a) != ast.dump(b):
                    (start, middle), (resume, end) = self._place(a), self._place(b)
                    between = self.source[middle:resume].decode()
                    kind = "commutes" if _commutes(node) else "swapped arguments"
                    yield kind, start, end, f"{self._text(b)}{between}{self._text(a)}"
        if name == "range" and node.args and not isinstance(node.args[-1], ast.Constant):
            last = node.args[1] if len(node.args) > 1 else node.args[0]
            if not isinstance(last, ast.Starred):
                yield "off by one", *self._place(last), f"({self._text(last)}) - 1"
        if name == "len":
            yield "off by one", *self._place(node), f"({self._text(node)} - 1)"

    def _of_constant(self, node: ast.Constant, place: tuple[int, int]) -> Iterator[tuple[str, int, int, str]]:
        value = node.value
        if isinstance(value, bool):
            yield "constant", *place, str(not value)
        elif isinstance(value, int):
            yield "free" if id(node) in self.free else "off by one", *place, str(value + 1)
            if value > 1:
                yield "off by one", *place, str(value - 1)
        elif isinstance(value, float):
            yield "guard" if 0 < value < GUARD else "constant", *place, repr(2 * value if value else 1.0)


def _called(node: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _commutes(node: ast.Call) -> bool:
    """Whether a function takes its arguments in any order."""
    library = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id
    name = _called(node)
    if name == "swapaxes" and len(node.args) == 2:  # x.swapaxes(a, b)
        return True
    return name in COMMUTATIVE or (
        (library in ("np", "math") and name in OF_LIBRARIES) or (library == "math" and name == "isclose")
    )


def _is_bound(node: ast.AST) -> bool:
    """Whether an expression is a small number, or something times one."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _is_bound(node.left) or _is_bound(node.right)
    return isinstance(node, ast.Constant) and type(node.value) is float and 0 < node.value < SMALL


def _only_sizes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the difference of which a node takes only the size."""
    part: ast.AST | None = None
    if isinstance(node, ast.Call) and _called(node) in SIZES and node.args:
        part = node.args[0]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and _integer(node.right) in (2, 4):
        part = node.left
    if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub):
        yield part


def _tells(node: ast.AST) -> bool:
    """Whether a call makes an error or a warning, whose words are not to be changed."""
    return isinstance(node, ast.Call) and (
        _called(node) in ("warn", "warn_explicit", "TypeVar") or _called(node).endswith(("Error", "Warning"))
    )


def _is_text(node: ast.BinOp) -> bool:
    """Whether a sum or product is one of texts."""
    return any(isinstance(n, ast.JoinedStr) or (isinstance(n, ast.Constant) and isinstance(n.value, (str, bytes)))
               for n in (node.left, node.right))  # fmt: skip


def _integer(node: ast.AST) -> int | None:
    """Return the number that is written here, if it is one."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if type(value) is int else None
