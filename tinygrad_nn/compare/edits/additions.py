"""Generate the edits that add something to an expression: a transpose, a sum, a factor, a term, a function."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping
from itertools import product, takewhile
from typing import Any

import numpy as np

from .scope import Scope, can_broadcast, is_array, is_integer
from .trees import Spot, attribute, call, constant, first_factor, minus, name, number, over, plus, power, times


class Additions:
    """Generates the edits that add something to an expression, each with its cost."""

    is_cheap = False  # whether those with any value in scope, which cost 1.2 or more, are left out

    def __init__(self, scope: Scope, numpy: str | None) -> None:
        """`numpy` is the user's name for NumPy."""
        self.scope, self.numpy = scope, numpy

    def np(self, function: str, *args: ast.expr, **named: Any) -> ast.expr | None:
        """Return a call of a NumPy function; None if the code has no name for NumPy."""
        return None if self.numpy is None else call(attribute(name(self.numpy), function), *args, **named)

    def sum(self, node: ast.expr, **named: Any) -> ast.Call:
        """Return a sum as a user would write it: ``x.sum()`` for a simple expression, else ``np.sum(...)``."""
        simple = self.numpy is None or isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Subscript))
        keywords = [ast.keyword("keepdims", ast.Constant(True))] if named.pop("keepdims", False) else []
        made = call(attribute(node, "sum"), **named) if simple else call(
            attribute(name(str(self.numpy)), "sum"), node, **named)  # fmt: skip
        made.keywords += keywords
        return made

    def added(self, node: ast.expr, value: Any, spot: Spot) -> Iterator[tuple[float, ast.AST | None]]:
        """Yield the expressions that add something to an expression with a value."""
        inside = type(getattr(spot.parent, "op", None)) if isinstance(spot.parent, ast.BinOp) else None
        ndim = value.ndim
        index = isinstance(spot.parent, (ast.Subscript, ast.Slice)) and spot.field != "value"
        asked = isinstance(spot.parent, ast.Attribute) and spot.parent.attr in ("shape", "size")
        if index or asked or value.dtype.kind == "b":
            if value.dtype.kind == "b":
                yield 1.2, ast.UnaryOp(ast.Invert(), node)
            return
        yield from self._transposed(node, ndim)
        if ndim == 1 and inside is not ast.MatMult and self._is_beside_matrix(spot):  # (N,) and (N, 1)
            yield 1.1, ast.Subscript(node, ast.Tuple([ast.Slice(), ast.Constant(None)], ast.Load()), ast.Load())
        if ndim:
            yield from () if getattr(spot.parent, "attr", "") == "shape" else self._summed(node, ndim)
        yield 1.15, power(node, 2)
        yield 1.25, self.np("sqrt", node)
        yield 1.3, minus(number(1), node)
        yield 1.3, minus(number(1), power(node, 2))
        yield 1.35, over(number(1), node)
        yield 1.35, times(node, minus(number(1), node))
        for k, function in enumerate(("sign", "abs", "cos", "sin", "exp", "log", "tanh")):
            yield 1.35 + 0.02 * k, self.np(function, node)
        if inside not in (ast.Mult, ast.Div):
            yield from self._with_factor(node, value.shape, spot)
        if self.is_cheap:
            return
        if inside not in (ast.Add, ast.Sub):
            yield from self._with_term(node, value.shape)
        if isinstance(node, ast.BinOp) and ndim:
            yield from self._with_like_term(node, inside)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and ndim:
            for p, g in ((node.left, node.right), (node.right, node.left)):
                yield 1.7, times(p, minus(g, self.sum(node, axis=-1, keepdims=True)))

    def _is_beside_matrix(self, spot: Spot) -> bool:
        parent = spot.parent
        return isinstance(parent, ast.BinOp) and np.ndim(
            self.scope.value(parent.right if spot.field == "left" else parent.left)) == 2  # fmt: skip

    def _with_factor(
        self, node: ast.expr, shape: tuple[int, ...], spot: Spot
    ) -> Iterator[tuple[float, ast.AST | None]]:
        """Yield the expression with another sign, and times or over a number or a value in scope."""
        operator = spot.parent.op if isinstance(spot.parent, ast.BinOp) else None
        other = isinstance(operator, (ast.Add, ast.Sub)) and spot.field == "right"  # the other operator says the same
        signs = (getattr(part, "op", None) for part in (first_factor(node), spot.parent))
        if not other and not any(isinstance(sign, ast.USub) for sign in signs):
            yield 1.0, ast.UnaryOp(ast.USub(), node)
        yield 1.1, times(number(2), node)
        yield 1.12, over(node, number(2))
        yield from self._by_sizes(node)
        for atom in () if self.is_cheap else self.scope.atoms:
            far = 0.3 * (isinstance(atom.node, ast.Name) and atom.node.id in self.scope.extra)
            if is_array(atom.value) or isinstance(atom.value, float):
                if not can_broadcast(atom.shape, shape):
                    if shape and can_broadcast(shape, atom.shape):
                        yield 1.4 + far, times(node, atom.node)
                    continue
                yield from ((cost + far, new) for cost, new in self._by(node, atom.node, np.asarray(atom.value)))

    def _with_other_slope(self, node: ast.BinOp) -> Iterator[tuple[float, ast.AST]]:
        """Yield a product with the derivative of another activation in place of one or two factors that look so."""
        rest = [g for g, slope in ((node.left, node.right), (node.right, node.left)) if _is_slope(slope)]
        if _is_slope(node.right) and isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Mult):
            rest.append(node.left.left)  # of g * a * (1 - a)
        shape = np.shape(self.scope.value(node)) if rest else ()
        atoms = [atom for atom in self.scope.atoms if shape and atom.shape == shape and is_array(atom.value)]
        for atom in atoms:
            is_item = isinstance(atom.node, ast.Subscript) and isinstance(constant(atom.node.slice), int)
            if np.asarray(atom.value).dtype.kind == "f" and not is_item:  # an item belongs to one round of a loop
                far = 0.3 * (isinstance(atom.node, ast.Name) and atom.node.id in self.scope.extra)
                others = [g for g in rest if ast.unparse(first_factor(g)) != ast.unparse(atom.node)]
                yield from ((1.45 + far, new) for g in others for new in _times_slopes(g, atom.node))

    def _with_term(self, node: ast.expr, shape: tuple[int, ...]) -> Iterator[tuple[float, ast.AST]]:
        """Yield the expression plus or minus a value in scope, and minus its mean."""
        for atom in self.scope.atoms:
            if is_array(atom.value) and can_broadcast(atom.shape, shape):
                far = 0.1 * (atom.shape != shape)
                yield 1.4 + far, plus(node, atom.node)
                yield 1.45 + far, minus(node, atom.node)
                yield 1.6 + far, minus(atom.node, node)
        for axis in range(len(shape)):
            mean = call(attribute(node, "mean"), axis=axis)
            mean.keywords.append(ast.keyword("keepdims", ast.Constant(True)))
            yield 1.5, minus(node, mean)

    def _with_like_term(self, node: ast.BinOp, inside: Any) -> Iterator[tuple[float, ast.AST]]:
        """Yield a sum with one more term, and a product, with other names alike: ``dv @ Wv.T`` for ``dk @ Wk.T``."""
        terms = _terms(node)
        if inside is not ast.Add:
            known = {ast.unparse(term) for term in terms}
            yield from ((1.3, plus(node, new)) for term in terms for new in self._renamed(term)
                        if ast.unparse(new) not in known)  # fmt: skip
        if len(terms) == 1:
            yield from ((1.25, new) for new in self._renamed(node))

    def _renamed(self, node: ast.expr) -> list[ast.expr]:
        """Return an expression with several of its names changed in the same way, as k to v in dk and Wk."""
        arrays = {atom.node.id for atom in self.scope.atoms if isinstance(atom.node, ast.Name) and is_array(atom.value)}
        read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & arrays
        mappings = set()
        for a, b in product(sorted(read), sorted(arrays - read)) if len(read) > 1 else ():
            start = _same_letters(a, b)
            end = _same_letters(a[start:][::-1], b[start:][::-1])
            old, new = a[start : len(a) - end], b[start : len(b) - end]
            changed = tuple((n, n.replace(old, new)) for n in sorted(read) if old and new and n.replace(old, new) != n)
            if len(changed) > 1 and all(other in arrays for _, other in changed):
                mappings.add(changed)
        return [_with_names(node, dict(changed)) for changed in sorted(mappings)]

    def _transposed(self, node: ast.expr, ndim: int) -> Iterator[tuple[float, ast.AST]]:
        if ndim == 2:
            yield 1.05, attribute(node, "T")
            yield 1.5, ast.Subscript(node, ast.Tuple([ast.Slice(None, None, number(-1))] * 2, ast.Load()), ast.Load())
        elif ndim > 2:
            for order in ((0, 2, 3, 1), (0, 3, 1, 2)) if ndim == 4 else ():  # channels last, and back
                yield 1.15, call(attribute(node, "transpose"), *map(number, order))
            yield 1.1, call(attribute(node, "swapaxes"), number(-1), number(-2))
            tail = [ast.Slice(None, None, number(-1)), ast.Slice(None, None, number(-1))]
            yield 1.5, ast.Subscript(node, ast.Tuple([ast.Constant(...), *tail], ast.Load()), ast.Load())

    def _summed(self, node: ast.expr, ndim: int) -> Iterator[tuple[float, ast.AST]]:
        every: list[Any] = [*range(ndim)]
        if ndim > 2:
            every += [tuple(a for a in range(ndim) if a != b) for b in range(ndim)]
            every += [tuple(range(k)) for k in range(2, ndim)] + [tuple(range(k, ndim)) for k in range(1, ndim - 1)]
        for axis in dict.fromkeys(every):
            yield 1.05, self.sum(node, axis=axis)
            yield 1.15, self.sum(node, axis=axis, keepdims=True)
        yield 1.1, self.sum(node)

    def _by_sizes(self, node: ast.expr) -> Iterator[tuple[float, ast.AST | None]]:
        """Yield the expression divided or multiplied by a size that is in scope."""
        for size in self.sizes():
            far = 0.13 * (not isinstance(size, ast.Name))  # a length without a name may be equal by chance
            yield 1.1 + far, over(node, size)
            yield 1.15 + 2 * far, times(node, size)
            root = self.np("sqrt", size)
            if root is not None:
                yield 1.3 + far, over(node, root)

    def sizes(self) -> list[ast.expr]:
        """Return the sizes in scope: integers, and those lengths of arrays that no integer name holds."""
        sizes = [atom.node for atom in self.scope.atoms if is_integer(atom.value) and atom.value > 1]
        known_sizes = {self.scope.value(size) for size in sizes}
        for atom in self.scope.atoms:
            for k, length in enumerate(atom.shape):
                if length > 1 and length not in known_sizes:
                    known_sizes.add(length)
                    axis = ast.Subscript(attribute(atom.node, "shape"), number(k), ast.Load())
                    sizes.append(axis if k else call(name("len"), atom.node))
        return sizes

    def _by(self, node: ast.expr, other: ast.expr, value: Any) -> Iterator[tuple[float, ast.AST | None]]:
        """Yield the expression times a value in scope, over it, or times a derivative written with it, as 1 - h**2."""
        yield 1.2, times(node, other)
        if value.dtype.kind == "b":
            yield 1.3, times(node, ast.UnaryOp(ast.Invert(), other))
            return
        yield 1.25, over(node, other)
        if value.dtype.kind in "iu":
            return
        if not value.ndim and 0 < value < 1:  # the scale of inverted dropout
            yield 1.35, over(node, minus(number(1), other))
        yield from ((1.3, new) for new in _times_slopes(node, other))
        yield 1.35, times(node, minus(number(1), other))
        yield 1.35, times(node, power(other, 2))
        yield 1.35, over(node, power(other, 2))
        yield 1.4, times(times(number(2), node), other)
        for function in ("cos", "exp", "sign", "sqrt"):
            made = self.np(function, other)
            if made is not None:
                yield 1.4, times(node, made)
        tanh = self.np("tanh", other)
        if tanh is not None:
            yield 1.4, times(node, minus(number(1), power(tanh, 2)))


def _terms(node: ast.expr) -> list[ast.expr]:
    """Return the terms of a sum; a list with the expression itself if it is none."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_terms(node.left), *_terms(node.right)]
    return [node]


def _same_letters(a: str, b: str) -> int:
    """Return the number of letters with which both texts begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _with_names(node: ast.expr, names: Mapping[str, str]) -> ast.expr:
    """Return an expression with other names."""
    new = copy.deepcopy(node)
    for part in ast.walk(new):
        if isinstance(part, ast.Name):
            part.id = names.get(part.id, part.id)
    return new


def _is_slope(node: ast.AST) -> bool:
    """Tell whether an expression looks like the derivative of an activation: a comparison, 1 - a**2, or a * (1 - a)."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return any(isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub) for part in (node.left, node.right))
    return isinstance(node, ast.Compare) or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub))


def _times_slopes(node: ast.expr, other: ast.expr) -> list[ast.expr]:
    """Return an expression times the derivatives of a rectifier, of tanh and of a sigmoid, written with its value."""
    return [
        times(node, ast.Compare(other, [ast.Gt()], [number(0)])),
        times(node, minus(number(1), power(other, 2))),
        times(times(node, other), minus(number(1), other)),
    ]
