"""Rules are closed: their source is walked, helpers included, for anything that would not run on a Tensor or a tracer.

Every value in a rule has one of three levels, found by following the source:

- STATIC: shapes, axes, dtypes, metadata, Python numbers made of them. It may be branched on and used in any way.
- PLAIN: ndarrays that hang on the values but carry no derivative (comparisons, argsort, masks). Any NumPy function
  takes them, but no branch may depend on them.
- ARRAY: the cotangent, the result and the inputs, and what is computed from them: an ndarray in first order, a Tensor
  in higher ones. Only declared functions, operators, and methods and attributes that a Tensor has; nothing is written
  in place, nothing is branched on, nothing is turned into a number or an ndarray.

One kind of branch on values is let through: a shortcut that is only taken for plain arrays, by a helper that returns
False unless ``type(a) is np.ndarray``; and one on a Python number, behind ``type(y) in (int, float)``.
"""

import ast
import builtins
import inspect
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_nn
from tinygrad_nn import Tensor
from tinygrad_nn.ops import plain
from tinygrad_nn.primitive import METHODS, OVERRIDES, REGISTRY, Primitive

STATIC, PLAIN, ARRAY = 0, 1, 2
PACKAGE = f"{Path(tinygrad_nn.__file__).parent}{os.sep}"
ASKS_STATIC = {"shape", "ndim", "size", "dtype", "flags", "strides", "itemsize"}
STATIC_FUNCTIONS = {
    len, type, isinstance, hasattr, np.ndim, np.shape, np.size, np.iscomplexobj, np.isrealobj, np.result_type,
    np.finfo, np.can_cast, np.broadcast_shapes, plain.is_tensor,
}  # fmt: skip
# On an ARRAY: they unroll, join or hand on, and never look at a value.
TRANSPARENT = {zip, enumerate, reversed, list, tuple, dict, iter, next, sum, abs, map, slice}
CONVERSIONS = {float, int, complex, bool, np.asarray, np.array, np.asanyarray, np.ascontiguousarray, min, max, sorted}
MADE_ANEW = {"zeros", "ones", "empty", "full"}  # in which float64 would slip in; zeros_like and the like keep the dtype
WRITERS = {"fill", "put", "sort", "partition", "resize", "setflags", "itemset", "setfield", "byteswap"}


@cache
def functions_of(path: str) -> list[ast.AST]:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]


def source_of(function: Any) -> ast.FunctionDef | ast.Lambda:
    """The syntax of a function or lambda, found by where its instructions stand."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    spots = [(line, column) for line, _, column, _ in code.co_positions() if line and column is not None]
    spots = [spot for spot in spots if spot != (code.co_firstlineno, 0)] or spots
    fitting = []
    for node in functions_of(code.co_filename):
        arguments = node.args
        own = tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))
        start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        if own == names and all(start <= spot <= end for spot in spots):
            fitting.append(node)
    return min(fitting, key=lambda node: (node.end_lineno - node.lineno, node.end_col_offset - node.col_offset))


def resolve(function: Any, name: str) -> Any:
    """What a free name of a function stands for, or KeyError."""
    if name in function.__code__.co_freevars:
        return inspect.getclosurevars(function).nonlocals[name]
    if name in function.__globals__:
        return function.__globals__[name]
    return vars(builtins)[name]


class Walk:
    """The walk through one function, with a level for each name; it collects what is wrong and the level returned."""

    def __init__(self, function: Any, levels: dict[str, int], seen: dict[Any, Any], is_rule: bool = True) -> None:
        self.function, self.seen, self.wrong, self.result = function, seen, [], STATIC
        self.levels, self.numbers = dict(levels), set()
        self.parameters = set(levels) if is_rule else set()  # a helper may write into what its caller made
        node = source_of(function)
        self.where = f"{Path(function.__code__.co_filename).name}:"
        if isinstance(node, ast.Lambda):
            self.result = self.level(node.body)
        else:
            for _ in range(2):  # a loop may raise the level of a name used above
                self.wrong.clear()
                for statement in node.body:
                    self.statement(statement)

    def complain(self, node: ast.AST, text: str) -> None:
        line = f"{self.where}{node.lineno}: {text}: {ast.unparse(node)[:80]}"
        if line not in self.wrong:
            self.wrong.append(line)

    # -- statements

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Return):
            self.result = max(self.result, self.level(node.value) if node.value else STATIC)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            level = self.level(node.value) if node.value else STATIC
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self.assign(target, level, node.value)
        elif isinstance(node, ast.AugAssign):
            if self.level(node.target) == ARRAY:
                self.complain(node, "writes in place")
            self.assign(node.target, max(self.level(node.target), self.level(node.value)))
        elif isinstance(node, ast.If | ast.While):
            self.branch(node.test)
            for child in (*(node.body if self.may_be(node.test) else ()), *node.orelse):
                self.statement(child)
            if isinstance(node.body[-1], ast.Return):  # what follows is only reached by plain arrays
                self.levels.update(dict.fromkeys(is_no_ndarray(node.test), PLAIN))
        elif isinstance(node, ast.For):
            self.assign(node.target, self.level(node.iter), node.iter)
            for child in (*node.body, *node.orelse):
                self.statement(child)
        elif isinstance(node, ast.With):
            for item in node.items:
                self.level(item.context_expr)
            for child in node.body:
                self.statement(child)
        elif isinstance(node, ast.Expr):
            self.level(node.value)
        elif isinstance(node, ast.FunctionDef):
            self.levels[node.name] = STATIC
        elif isinstance(node, ast.Raise):
            pass
        elif not isinstance(node, ast.Pass | ast.Continue | ast.Break):
            self.complain(node, "has no place in a rule")

    def assign(self, target: ast.expr, level: int, value: ast.expr | None = None) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            parts = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            own = [self.level(part) for part in parts] if len(parts) == len(target.elts) else [level] * len(target.elts)
            for part, part_level in zip(target.elts, own, strict=True):
                self.assign(part, part_level)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, level)
        elif isinstance(target, ast.Name):
            self.levels[target.id] = max(level, self.levels.get(target.id, STATIC))
        else:
            owner = target.value
            if ARRAY in (level, self.level(owner)) or (isinstance(owner, ast.Name) and owner.id in self.parameters):
                self.complain(target, "writes in place")

    def branch(self, test: ast.expr) -> None:
        if isinstance(test, ast.BoolOp):
            known = set(self.numbers)
            for part in test.values:
                self.branch(part)
                if isinstance(test.op, ast.And):
                    self.numbers |= is_number(part)
            self.numbers = known
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self.branch(test.operand)
        elif not self.is_shortcut(test) and self.level(test) != STATIC:
            self.complain(test, "branches on a value")

    def may_be(self, test: ast.expr) -> bool:
        """Whether a test may be true: an array is not None."""
        match test:
            case ast.Compare(left=left, ops=[ast.Is()], comparators=[ast.Constant(value=None)]):
                return self.level(left) == STATIC
        return True

    def is_shortcut(self, test: ast.expr) -> bool:
        """Whether the test is a helper that is False unless its arguments are plain ndarrays."""
        if not (isinstance(test, ast.Call) and isinstance(test.func, ast.Name)):
            return False
        helper = self.object(test.func)
        return inspect.isfunction(helper) and guards_ndarrays(source_of(helper))

    # -- expressions

    def object(self, node: ast.expr) -> Any:
        """The object that a name or dotted name from outside the function stands for, or None."""
        if isinstance(node, ast.Name) and node.id not in self.levels:
            try:
                return resolve(self.function, node.id)
            except KeyError:
                return None
        if isinstance(node, ast.Attribute):
            owner = self.object(node.value)
            return None if owner is None else getattr(owner, node.attr, None)
        if isinstance(node, ast.Subscript) and self.object(node.value) is REGISTRY:
            return REGISTRY[node.slice.value if isinstance(node.slice, ast.Constant) else "add"]  # one is like another
        return None

    def level(self, node: ast.expr) -> int:
        method = getattr(self, f"level_{type(node).__name__}", None)
        if method is not None:
            return method(node)
        children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return max(map(self.level, children), default=STATIC)

    def level_Name(self, node: ast.Name) -> int:
        return STATIC if node.id in self.numbers else self.levels.get(node.id, STATIC)

    def level_Attribute(self, node: ast.Attribute) -> int:
        level = self.level(node.value)
        if level == STATIC or node.attr in ASKS_STATIC:
            return STATIC
        if level == ARRAY and node.attr == "data":
            self.complain(node, "drops the graph")
        elif level == ARRAY and not hasattr(Tensor(1.0), node.attr):
            self.complain(node, f"a Tensor has no {node.attr}")
        return level

    def level_Compare(self, node: ast.Compare) -> int:
        level = max(self.level(part) for part in (node.left, *node.comparators))
        if all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            return STATIC
        if level != STATIC and len(node.ops) > 1:
            self.complain(node, "a chained comparison branches on a value")
        return min(level, PLAIN)

    def level_BoolOp(self, node: ast.BoolOp) -> int:
        self.branch(node)
        return STATIC

    def level_IfExp(self, node: ast.IfExp) -> int:
        self.branch(node.test)
        return max(self.level(node.body) if self.may_be(node.test) else STATIC, self.level(node.orelse))

    def level_UnaryOp(self, node: ast.UnaryOp) -> int:
        if isinstance(node.op, ast.Not):
            self.branch(node.operand)
            return STATIC
        return self.level(node.operand)

    def level_NamedExpr(self, node: ast.NamedExpr) -> int:
        level = self.level(node.value)
        self.assign(node.target, level)
        return level

    def level_Subscript(self, node: ast.Subscript) -> int:
        return max(self.level(node.value), min(self.level(node.slice), PLAIN))

    def level_Lambda(self, node: ast.Lambda) -> int:
        before = dict(self.levels)
        self.levels.update({a.arg: STATIC for a in node.args.args})
        level = self.level(node.body)
        self.levels = before
        return level

    def _comprehension(self, node: Any) -> int:
        before = dict(self.levels)
        for part in node.generators:
            self.assign(part.target, self.level(part.iter), None)
            if isinstance(part.iter, ast.Call) and self.object(part.iter.func) in (zip, enumerate):
                self.pairwise(part.target, part.iter)
            for test in part.ifs:
                self.branch(test)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        level = max(self.level(part) for part in parts)
        self.levels = before
        return level

    level_ListComp = level_SetComp = level_GeneratorExp = level_DictComp = _comprehension

    def pairwise(self, target: ast.expr, call: ast.Call) -> None:
        """Give each target of a zip or enumerate the level of its own source."""
        sources = call.args if self.object(call.func) is zip else [None, *call.args]
        if isinstance(target, ast.Tuple) and len(target.elts) == len(sources):
            for part, source in zip(target.elts, sources, strict=True):
                if isinstance(part, ast.Name):
                    self.levels[part.id] = STATIC if source is None else self.level(source)

    def level_Call(self, node: ast.Call) -> int:
        positional = [self.level(a.value if isinstance(a, ast.Starred) else a) for a in node.args]
        by_name = {k.arg: self.level(k.value) for k in node.keywords}
        level = max([*positional, *by_name.values()], default=STATIC)
        called = self.object(node.func)
        if "out" in by_name and by_name["out"] != STATIC:
            self.complain(node, "writes in place through out=")
        if called is None:
            return self.call_method(node, level)
        if isinstance(called, Primitive):
            return level
        if called in STATIC_FUNCTIONS:
            return STATIC
        if called in (plain.as_arrays, tinygrad_nn.stop_gradient):
            return min(level, PLAIN)
        if inspect.isfunction(called) and called.__code__.co_filename.startswith(PACKAGE):
            return self.call_helper(called, node, positional, by_name, level)
        if getattr(called, "__name__", "") in MADE_ANEW and getattr(np, called.__name__, None) is called:
            if "dtype" not in by_name and len(node.args) < 2:
                self.complain(node, "makes a float64 array, whatever the dtype of the inputs")
            return level
        if level == STATIC or called in TRANSPARENT:
            return level
        if called in (any, all):
            for argument in node.args:
                self.branch(argument)
            return STATIC
        return self.call_outside(called, node, level)

    def call_method(self, node: ast.Call, level: int) -> int:
        if not isinstance(node.func, ast.Attribute):
            return max(level, self.level(node.func))
        owner = self.level(node.func.value)
        if owner == ARRAY and node.func.attr in WRITERS:
            self.complain(node, "writes in place")
        own = self.level(node.func)  # complains about what a Tensor does not have
        return max(own, level if owner != STATIC else min(level, own) if level == STATIC else level)

    def call_outside(self, called: Any, node: ast.Call, level: int) -> int:
        own = getattr(called, "__self__", called)  # np.add of np.add.at
        key = (own, called.__name__) if type(own) is np.ufunc and own is not called else called
        handler = OVERRIDES.get(key) if getattr(key, "__hash__", None) else None
        is_numpy = type(own) is np.ufunc or str(getattr(own, "__module__", "")).startswith("numpy")
        if called in CONVERSIONS and not (handler and level == PLAIN):
            if level == ARRAY:
                self.complain(node, "turns an array into something that has no graph")
            return level
        if level == PLAIN:
            return PLAIN
        if handler is None:
            self.complain(node, "is not declared" if is_numpy else "may look at values")
        elif getattr(handler, "__module__", None) == plain.__name__:
            return PLAIN
        return level

    def call_helper(
        self, helper: Any, node: ast.Call, positional: list[int], by_name: dict[str, int], level: int
    ) -> int:
        code = inspect.unwrap(helper).__code__
        names = list(code.co_varnames[: code.co_argcount])
        levels = dict.fromkeys(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount], STATIC)
        for i, (own, argument) in enumerate(zip(positional, node.args, strict=True)):
            for name in names[i:] if isinstance(argument, ast.Starred) else names[i : i + 1]:
                levels[name] = own
        levels.update({name: own for name, own in by_name.items() if name in levels})
        # Options handed on as **options keep a level each, under names like options[where].
        splat = next((ast.unparse(k.value) for k in node.keywords if k.arg is None), None)
        handed = {k[len(splat) + 1 : -1]: v for k, v in self.levels.items() if splat and k.startswith(f"{splat}[")}
        if splat is not None:
            given = {*names[: len(node.args)], *by_name}
            levels.update({name: handed.get(name, by_name[None]) for name in levels if name not in given})
        rest = code.co_varnames[len(levels) :]
        options = {k: v for k, v in {**handed, **by_name}.items() if k is not None and k not in levels}
        if code.co_flags & inspect.CO_VARARGS:
            levels[rest[0]] = max(positional[len(names) :] or positional[-1:], default=STATIC)
            rest = rest[1:]
        if code.co_flags & inspect.CO_VARKEYWORDS:
            levels[rest[0]] = by_name.get(None, STATIC)
            levels.update({f"{rest[0]}[{name}]": own for name, own in options.items()})
        if getattr(helper, "__module__", None) == plain.__name__:
            return PLAIN
        found, wrong = walk(inspect.unwrap(helper), levels, self.seen)
        self.wrong += [line for line in wrong if line not in self.wrong]
        return found


def is_number(test: ast.expr) -> set[str]:
    """The names that a test proves to be Python numbers: `type(y) in (int, float)`, `isinstance(y, int)`."""
    text = ast.unparse(test)
    if text.startswith(("type(", "isinstance(")) and not any(word in text for word in ("ndarray", "Tensor", " not ")):
        call = next(part for part in ast.walk(test) if isinstance(part, ast.Call))
        return {call.args[0].id} if isinstance(call.args[0], ast.Name) else set()
    return set()


def is_no_ndarray(test: ast.expr) -> set[str]:
    """The names that a test finds not to be ndarrays: `type(g) is not np.ndarray or ...`."""
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or) else [test]
    texts = [ast.unparse(part) for part in parts]
    ends = "type(", ") is not np.ndarray"
    return {text[len(ends[0]) : -len(ends[1])] for text in texts if text.startswith(ends[0]) and text.endswith(ends[1])}


def guards_ndarrays(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.BoolOp) and isinstance(part.op, ast.And)
        and ast.unparse(part.values[0]).startswith("type(") and ast.unparse(part.values[0]).endswith("is np.ndarray")
        for part in ast.walk(node)
    )  # fmt: skip


def walk(function: Any, levels: dict[str, int], seen: dict[Any, Any]) -> tuple[int, list[str]]:
    """The level of what a function returns, and what is wrong in it and in what it calls."""
    key = (function.__code__, tuple(sorted(levels.items())))
    if key not in seen:
        is_rule = not seen
        seen[key] = (ARRAY, [])  # of a recursion
        found = Walk(function, levels, seen, is_rule)
        seen[key] = (found.result, found.wrong)
    return seen[key]


def rule_levels(rule: Any, primitive: Primitive) -> dict[str, int]:
    """The levels of a rule's parameters: arrays first, then metadata, of which the saved results are arrays too."""
    code = rule.__code__
    arrays = code.co_argcount if primitive.jointly else 2 + primitive.arity
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults = len(rule.__defaults__ or ())
    levels = {
        name: ARRAY if i < min(arrays, code.co_argcount - defaults) or name in primitive.saves else STATIC
        for i, name in enumerate(names)
    }
    levels |= {name: STATIC for name in names if name in primitive.metadata and name not in primitive.saves}
    if code.co_flags & inspect.CO_VARARGS:
        levels[code.co_varnames[len(names)]] = ARRAY
    if code.co_flags & inspect.CO_VARKEYWORDS:
        levels[code.co_varnames[len(names) + bool(code.co_flags & inspect.CO_VARARGS)]] = STATIC
    return levels


def rules() -> Iterator[Any]:
    for primitive in REGISTRY.values():
        for slot, rule in enumerate([primitive.jointly] if primitive.jointly else primitive.vjps):
            if rule is not None and not isinstance(rule, Primitive):
                yield pytest.param(primitive, rule, id=f"{primitive.name}-{slot}")
        for name, again in primitive.saves.items():
            if not isinstance(again, Primitive):
                yield pytest.param(primitive, again, id=f"{primitive.name}-{name}")


@pytest.mark.parametrize(("primitive", "rule"), list(rules()))
def test_a_rule_is_closed(primitive: Primitive, rule: Any) -> None:
    rule = inspect.unwrap(rule)
    levels = rule_levels(rule, primitive)
    if rule in primitive.saves.values():  # a function of the inputs alone
        levels = {name: ARRAY if i < primitive.arity else STATIC for i, name in enumerate(levels)}
    _, wrong = walk(rule, levels, {})
    assert not wrong, "\n".join(wrong)


# The walk, walked over rules that are bad, and over some that are good.


def numbers_of(g: Any, out: Any, x: Any) -> Any:
    return g * float(x)


def _by_value(x: Any) -> Any:
    if x.sum() > 0:
        return x
    return -x


def _shape_only(x: Any, axis: Any) -> Any:
    if axis is None and x.ndim > 1:
        return x.reshape(-1)
    return x


def _plain_only(a: Any) -> bool:
    return type(a) is np.ndarray and bool((a > 0).all())


def _any_kind(a: Any) -> bool:
    return bool((a > 0).all())


def in_place(g: Any, out: Any, x: Any) -> Any:
    y = g * x
    y[0] = 0
    return y


def augmented(g: Any, out: Any, x: Any) -> Any:
    g *= x
    return g


def looping(g: Any, out: Any, x: Any) -> Any:
    y = x
    while np.abs(y).max() > 1:
        y = y / 2
    return g * y


def hidden(g: Any, out: Any, x: Any) -> Any:
    y = g
    for _ in range(3):
        y = y * _by_value(x)
    return y


def written_into(g: Any, out: Any, x: Any) -> Any:
    y = np.zeros(x.shape, dtype=x.dtype)
    y[0] = g
    return y


def tried(g: Any, out: Any, x: Any) -> Any:
    try:
        return g / x
    except ZeroDivisionError:
        return g


def mask_written(g: Any, out: Any, x: Any) -> Any:
    mask = np.zeros(x.shape, dtype=bool)
    mask[np.argmax(x)] = True
    return np.where(mask, g, 0)


BAD: list[tuple[Callable[..., Any], str]] = [
    (numbers_of, "turns an array into something that has no graph"),
    (in_place, "writes in place"),
    (augmented, "writes in place"),
    (looping, "branches on a value"),
    (hidden, "branches on a value"),
    (tried, "has no place in a rule"),
    (written_into, "writes in place"),
    (lambda g, out, x: g if x > 0 else -g, "branches on a value"),
    (lambda g, out, x: g * (x > 0 and 1), "branches on a value"),
    (lambda g, out, x: g * (not x), "branches on a value"),
    (lambda g, out, x: g * (0 < x < 1), "a chained comparison branches on a value"),
    (lambda g, out, x: [v for v in x if v > 0], "branches on a value"),
    (lambda g, out, x: g * np.asarray(x), "turns an array into something that has no graph"),
    (lambda g, out, x: g * np.array([x, x]), "turns an array into something that has no graph"),
    (lambda g, out, x: g * max(x, 0), "turns an array into something that has no graph"),
    (lambda g, out, x: g * np.zeros(x.shape), "makes a float64 array"),
    (lambda g, out, x: g * np.ones(3), "makes a float64 array"),
    (lambda g, out, x: g * np.sort_complex(x), "is not declared"),
    (lambda g, out, x: np.add.at(g, 0, x), "is not declared"),
    (lambda g, out, x: np.gcd.reduceat(g, [0]), "is not declared"),
    (lambda g, out, x: np.lib.stride_tricks.as_strided(g), "is not declared"),
    (lambda g, out, x: np.multiply(g, x, out=g), "writes in place through out="),
    (lambda g, out, x: g * x.data, "drops the graph"),
    (lambda g, out, x: g * x.tobytes(), "a Tensor has no tobytes"),
    (lambda g, out, x: g.sort(), "writes in place"),
    (lambda g, out, x: g if _any_kind(x) else 2 * g, "branches on a value"),
    (lambda g, out, x: g if np.argmax(x) == 0 else 2 * g, "branches on a value"),
    (lambda g, out, x: g if type(x) is float or x > 0 else 2 * g, "branches on a value"),
    (lambda g, out, x: g * inspect.signature(x), "may look at values"),
]

GOOD: list[Callable[..., Any]] = [
    mask_written,
    lambda g, out, x: g * np.cos(x) @ x.T / (1 + out * out),
    lambda g, out, x: np.where((x > 0) & ~np.isnan(x), g, 0),
    lambda g, out, x: g.sum(axis=tuple(range(x.ndim - 1)), keepdims=True) if x.ndim > 1 else g,
    lambda g, out, x: np.add.reduce(g * x, axis=0, keepdims=True),
    lambda g, out, x: REGISTRY["put"](g, index=0, shape=x.shape),
    lambda g, out, x: _shape_only(g, None) * (1 / max(x.shape)),
    lambda g, out, x: g * x if type(x) in (int, float) and x >= 1 else g * np.sin(x),
    lambda g, out, x: g if _plain_only(x) else g * 1.0,
    lambda g, out, x: [g[i] for i in range(len(x))],
    lambda g, out, x: np.take_along_axis(g, np.argsort(np.argsort(x, axis=-1), axis=-1), axis=-1),
    lambda g, out, x: g * np.arange(x.shape[0]) * np.zeros_like(x) + np.finfo(x.dtype).eps,
    lambda g, out, x: np.concatenate([part for part in (g, x) if part.ndim == 1]),
    lambda g, out, x: g.conj() if np.iscomplexobj(x) else g,
]


def _examined(rule: Any) -> list[str]:
    return Walk(rule, {"g": ARRAY, "out": ARRAY, "x": ARRAY}, {}).wrong


@pytest.fixture(autouse=True)
def _helpers_here_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers of this file are walked like those of the package."""
    if PACKAGE not in __file__:
        monkeypatch.setattr(f"{__name__}.PACKAGE", f"{Path(__file__).parents[1]}{os.sep}")


@pytest.mark.parametrize(("rule", "message"), BAD, ids=lambda part: part if isinstance(part, str) else "")
def test_a_bad_rule_is_reported(rule: Any, message: str) -> None:
    assert any(message in line for line in _examined(rule)), _examined(rule)


@pytest.mark.parametrize("rule", GOOD)
def test_a_good_rule_is_not(rule: Any) -> None:
    assert _examined(rule) == []


def test_the_source_of_each_lambda_in_a_table_is_found() -> None:
    add, where = REGISTRY["multiply"], REGISTRY["where"]
    assert [ast.unparse(source_of(rule).body) for rule in add.vjps] == ["g * y", "g * x"]
    assert "c" in ast.unparse(source_of(where.vjps[1]))
    assert METHODS is not None
