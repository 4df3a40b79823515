"""Read the source of the user's function as a syntax tree, and compile the function again from an edited tree."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import linecache
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np

from ...common.closures import closed_over
from ..one_line import on_one_line
from .running import MARK, copy_value
from .trees import TICK, statements

SHORT = 8  # most statements of a function that is tried in place of another
DEPTH = 4  # levels of helper functions that are read

# Calls, attributes, modules and statements with effects outside the function: such code is not run again.
CALLS = frozenset({
    "open", "input", "exec", "eval", "compile", "exit", "quit", "breakpoint", "globals", "locals", "vars", "super",
    "__import__", "setattr", "delattr",
})  # fmt: skip
ATTRIBUTES = frozenset({
    "save", "savez", "savez_compressed", "savetxt", "tofile", "load", "loadtxt", "genfromtxt", "fromfile", "memmap",
    "write", "writelines", "savefig", "dump", "to_csv", "write_text", "write_bytes", "unlink", "mkdir", "rmdir",
    "rename", "system", "popen", "send", "urlopen", "set_trace",
})  # fmt: skip
MODULES = frozenset({
    "os", "sys", "io", "subprocess", "shutil", "socket", "pathlib", "pickle", "requests", "urllib", "http", "logging",
    "threading", "multiprocessing", "ctypes", "tempfile", "sqlite3", "wandb", "matplotlib", "signal", "importlib",
    "builtins", "torch", "tensorflow", "jax", "time",
})  # fmt: skip
OTHER = (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)


class Source(NamedTuple):
    """A function whose source was found.

    It has its tree, the lines of its file, the plain `function`, `wrap` to put another function in its place in a
    method or partial, the `helpers` of user code that it calls, and the signature of the function.
    """

    name: str
    tree: ast.FunctionDef
    lines: tuple[str, ...]
    function: Any
    wrap: Callable[[Any], Any]
    helpers: dict[str, Source]
    signature: inspect.Signature

    def words(self, node: ast.AST) -> str:
        """Return the user's own text of a syntax node, on one line."""
        if not getattr(node, "end_lineno", 0):
            return on_one_line(ast.unparse(node))
        place: Any = node  # `ast.get_source_segment` would split the whole file again
        rows = [row.encode() for row in self.lines[place.lineno - 1 : place.end_lineno]]
        end = sum(map(len, rows[:-1])) + place.end_col_offset
        return on_one_line(b"".join(rows)[place.col_offset : end].decode())

    @property
    def numpy(self) -> dict[str, Any]:
        """NumPy by the names that it has in the module of the function."""
        return {name: value for name, value in self.function.__globals__.items() if value is np}

    @property
    def statements(self) -> list[ast.stmt]:
        """The statements of the function, without its docstring."""
        body = self.tree.body
        first = body[0] if body else None
        has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        return body[1:] if has_docstring else body

    @property
    def all_statements(self) -> list[ast.stmt]:
        """Its statements and those nested in them."""
        return [stmt for stmt, *_ in statements(self.statements)]

    def placed(self, body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, Any, str, int]]:
        """Yield the statements of the function, or of a part of its body, with their places in its tree."""
        for stmt, parent, field, index in statements(body):
            if isinstance(parent, ast.Module):
                yield stmt, self.tree, "body", self.tree.body.index(stmt)
            else:
                yield stmt, parent, field, index


def read_source(function: Any, depth: int = 0) -> Source | None:
    """Return the source of a function; None if it is not found, or if it may not be run again."""
    source = parsed_source(function) if depth <= DEPTH else None
    if source is None or _forbidden(source.tree, source.function):
        return None
    tree, plain_function, helpers = source.tree, source.function, source.helpers
    for name, value in referenced(names_in(tree), plain_function):
        if isinstance(value, types.FunctionType) and value is not plain_function and not _is_library_code(value):
            inner = read_source(value, depth + 1)
            if inner is not None:
                helpers[name] = inner
            elif _has_rejected_source(value):
                return None
    with_ticks(tree)
    return source


def alike(source: Source) -> Iterator[tuple[str, Source]]:
    """Yield the sources of the short functions of a module that take as many arguments as one that a function calls."""
    helpers = [helper.function for helper in source.helpers.values()]
    counts = {helper.__code__.co_argcount for helper in helpers}
    for name, value in source.function.__globals__.items() if counts else ():
        if (isinstance(value, types.FunctionType) and value.__code__.co_argcount in counts and value not in helpers
                and value is not source.function and not _is_library_code(value)):  # fmt: skip
            other = read_source(value)
            if other is not None and _is_formula(other.tree):
                yield name, other


def _is_formula(tree: ast.AST) -> bool:
    """Tell whether a function has a few lines without a loop."""
    nodes = [*ast.walk(tree)]
    return sum(isinstance(n, ast.stmt) for n in nodes) <= SHORT and not any(
        isinstance(n, (ast.For, ast.While, ast.comprehension)) for n in nodes)  # fmt: skip


def parsed_source(function: Any) -> Source | None:
    """Return the source of a function without that of its helpers, to be read and not to be run; None if not found."""
    plain_function, wrap = _unwrap_function(function)
    if plain_function is None:
        return None
    code = plain_function.__code__
    found = _find(code, tuple(linecache.getlines(code.co_filename, plain_function.__globals__)))
    if found is None:
        return None
    signature = inspect.signature(plain_function)
    return Source(plain_function.__name__, _as_function(found[0]), found[1], plain_function, wrap, {}, signature)


def _is_library_code(f: types.FunctionType) -> bool:
    """Tell whether a function belongs to a library, in which no mistake is searched."""
    root = (f.__module__ or "").split(".")[0]
    return root in ("numpy", "scipy", "tinygrad_nn", "math", "functools", "itertools", "copy")


def _unwrap_function(function: Any) -> tuple[types.FunctionType | None, Callable[[Any], Any]]:
    """Return the plain function inside a method, partial or callable object, and how to wrap another one like it."""
    if isinstance(function, functools.partial):
        inner, wrap = _unwrap_function(function.func)
        args, named = function.args, function.keywords
        return inner, lambda new: functools.partial(wrap(new), *args, **named)
    if isinstance(function, types.MethodType):
        owner = function.__self__
        inner, _ = _unwrap_function(function.__func__)
        return inner, lambda new: types.MethodType(new, copy_value(owner, {}))
    if not isinstance(function, types.FunctionType):
        method = getattr(type(function), "__call__", None)  # noqa: B004 - what it calls is wanted
        if isinstance(method, types.FunctionType) and not isinstance(function, type):
            return method, lambda new: types.MethodType(new, copy_value(function, {}))
        return None, lambda new: new
    inner = inspect.unwrap(function)
    return (inner if isinstance(inner, types.FunctionType) else None), lambda new: new


@lru_cache(maxsize=8)
def _functions(lines: tuple[str, ...]) -> list[ast.FunctionDef | ast.Lambda] | None:
    """Return the trees of all functions and lambdas of a file, None if its lines are no Python code."""
    try:
        module = ast.parse(textwrap.dedent("".join(lines)))
    except (SyntaxError, ValueError, RecursionError):
        return None
    return [node for node in ast.walk(module) if isinstance(node, (ast.FunctionDef, ast.Lambda))]


def _find(code: types.CodeType, lines: tuple[str, ...]) -> tuple[ast.FunctionDef | ast.Lambda, tuple[str, ...]] | None:
    """Return the syntax tree of a code object and its source lines.

    A function is found by its line, name and parameters, a lambda by its line, parameters and columns.
    """
    functions = _functions(lines) if lines else None
    if lines and functions is None:  # a text page with code in it, or a cell with a notebook command
        lines = block_at(lines, code.co_firstlineno)
        functions = _functions(lines)
    if functions is None:
        return None
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    lambdas = []
    for node in functions:
        if isinstance(node, ast.Lambda):
            if code.co_name == "<lambda>" and node.lineno == code.co_firstlineno:
                lambdas.append(node)
        elif node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno and _arguments(node.args) == arguments:
                return node, lines
    lambdas = [node for node in lambdas if _arguments(node.args) == arguments]
    if len(lambdas) > 1:
        places = {p for p in code.co_positions() if None not in p}
        lambdas = [
            node for node in lambdas
            if (node.body.lineno, node.body.end_lineno, node.body.col_offset, node.body.end_col_offset) in places
        ]  # fmt: skip
    return (lambdas[0], lines) if len(lambdas) == 1 else None


def block_at(lines: tuple[str, ...], first: int) -> tuple[str, ...]:
    """Return the lines of the function that begins at line `first`, after blank lines that keep its line numbers."""
    try:
        block = "".join(inspect.getblock(list(lines[first - 1 :])))
    except (SyntaxError, IndexError, TokenError):
        return ()
    return (*["\n"] * (first - 1), *textwrap.dedent(block).splitlines(keepends=True))


def _arguments(args: ast.arguments) -> tuple[str, ...]:
    return tuple(a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs))


def _as_function(node: ast.FunctionDef | ast.Lambda) -> ast.FunctionDef:
    """Return a copy of a tree for editing, without decorators and annotations; a lambda becomes a function."""
    if isinstance(node, ast.Lambda):
        body = copy.deepcopy(node.body)
        result: Any = ast.copy_location(ast.Return(body), body)
        new_function: Any = ast.FunctionDef("lambda_", copy.deepcopy(node.args), [result], [])
        new_function.type_params = []
        new_function = ast.fix_missing_locations(ast.copy_location(new_function, node))
    else:
        new_function = copy.deepcopy(node)
    new_function.decorator_list, new_function.returns = [], None
    for arg in ast.walk(new_function.args):
        if isinstance(arg, ast.arg):
            arg.annotation = None
    # defaults were evaluated when the user's function was defined; `compile_tree` sets them
    nothing = ast.copy_location(ast.Constant(None), node)
    new_function.args.defaults = [nothing for _ in new_function.args.defaults]
    new_function.args.kw_defaults = [d and nothing for d in new_function.args.kw_defaults]
    return new_function  # type: ignore[no-any-return]


def names_in(tree: ast.AST) -> list[str]:
    """Return the names in a tree, each once, in order."""
    return list(dict.fromkeys(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)))


def referenced(names: Iterable[str], function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield those of the names that a function takes from its closure or its module, with their values."""
    closure, code = closed_over(function), function.__code__
    own_names = {*code.co_freevars, *code.co_varnames, *code.co_cellvars}  # also if the module has the same name
    for name in names:
        if name in closure:
            yield name, closure[name]
        elif name in function.__globals__ and name not in own_names:
            yield name, function.__globals__[name]


def _forbidden(tree: ast.FunctionDef, function: types.FunctionType) -> bool:
    """Tell whether running a function again could have effects outside it, or whether it cannot be compiled again."""
    outside = dict(referenced(names_in(tree), function))
    for node in ast.walk(tree):
        if isinstance(node, OTHER):
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [getattr(node, "module", None) or alias.name for alias in node.names]
            if any(name.split(".")[0] not in ("numpy", "math", "scipy") for name in names):
                return True
        if isinstance(node, ast.With) and not all("errstate" in ast.unparse(i.context_expr) for i in node.items):
            return True
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in CALLS:
                return True
            if isinstance(called, ast.Attribute) and called.attr in ATTRIBUTES:
                return True
        value = outside.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(value, types.ModuleType) and value.__name__.split(".")[0] in MODULES:
            return True
    return False


def _has_rejected_source(function: types.FunctionType) -> bool:
    """Tell whether the source of a helper that `read_source` rejected exists, so that running it could have effects."""
    lines = tuple(linecache.getlines(function.__code__.co_filename, function.__globals__))
    return _find(function.__code__, lines) is not None


def with_ticks(tree: ast.AST) -> None:
    """Insert a call of `__tick__` into each loop, so that an endless loop can be stopped."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.For, ast.While)):
            call = ast.Expr(ast.Call(ast.Name(TICK, ast.Load()), [], []))
            node.body.insert(0, ast.fix_missing_locations(ast.copy_location(call, node)))


def mark_ticks(source: Source) -> str:
    """Return the file name under which a function is compiled."""
    return f"{MARK}{source.name}>"


def compile_tree(source: Source) -> types.CodeType:
    """Compile the present tree into code that defines the function."""
    return compile(ast.Module([source.tree], []), mark_ticks(source), "exec")


def define(source: Source, code: types.CodeType, env: dict[str, Any]) -> types.FunctionType:
    """Run the code of a source; return its function, with the globals `env` and the defaults of the user's function."""
    exec(code, env)
    function: types.FunctionType = env[source.tree.name]
    function.__defaults__, function.__kwdefaults__ = source.function.__defaults__, source.function.__kwdefaults__
    function.__signature__ = source.signature  # type: ignore[attr-defined]
    return function
