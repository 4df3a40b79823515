"""Transforms that differentiate functions: `grad`, `value_and_grad`, `vjp`, `jvp`, `hvp` and `elementwise_grad`.

Arguments of the function may be arrays, numbers, or nested dicts, lists, tuples, named tuples and dataclasses of them.
For plain arrays the results are plain arrays. If an argument, or something the function closes over, is itself being
differentiated, the results are Tensors with a graph, so that transforms nest to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from ..backward import ancestors, walk
from ..common.masked import unmasked
from ..common.printable import printable
from ..node import Node, recording, thread
from ..primitive import Ties, declare
from ..tensor import Tensor, apply, leaf, raw, stored_array, wrap
from ..tree import Tree, as_list, described, flatten, leaves_like, not_floats, slot
from .batching import level_of
from .forward_mode import generic_cotangent, path, push

_INPUT = {"input": True}
alias = declare(lambda x: x, "x", (lambda g, out, x: g, "g"), name="alias", linear=(0,))


def new_input(value: Any, f: Callable[..., Any] | None = None, trees: Sequence[Tree] = ()) -> Tensor:
    """Return a leaf of the arguments `trees` of f as a new input Tensor to differentiate by, also inside vmap."""
    if (level := thread.mode.level) is not None:
        return level.outside(lambda xs: [new_input(x, f, trees) for x in xs], [value])[0]  # type: ignore[no-any-return]
    if isinstance(value, Tensor):
        if value.node is not None and thread.mode.grad:
            return apply(alias, (value,))
        data = value.data
    else:
        data = np.asarray(unmasked(value))
    if data.dtype.kind not in "fc":
        raise not_floats(value, data.dtype, trees, "the argument" if f is None else f"an argument of {_name(f)}")
    tensor = leaf(data)
    tensor.node.notes = _INPUT  # type: ignore[union-attr]
    return tensor


def _has_outside_graph(root: Node | None, inputs: frozenset[Node]) -> bool:
    """Tell whether a result or its inputs depend on Nodes older than the inputs, or whether a trace is running.

    If so, an enclosing transform or a trace needs the graph, and the results of a transform must be Tensors.
    """
    if thread.mode.traces:
        return True
    oldest = -1
    for node in inputs:
        if node.p:
            return True
        oldest = node.index if oldest < 0 or node.index < oldest else oldest
    if root is None or oldest < 0:
        return False
    stack, seen = [root], {root}
    while stack:
        node = stack.pop()
        for parent in (node.p, node.q) if node.arity else node.p or ():  # node.p is None if the graph was freed
            if parent is not None and parent not in seen:
                if parent.index < oldest:
                    return True
                seen.add(parent)
                stack.append(parent)
    return False


def pullback(out: Tensor, inputs: Sequence[Tensor], cotangent: Any) -> list[Any]:
    """Return the gradients of a result with respect to the inputs; zeros for inputs that it does not depend on.

    They are Tensors if the cotangent is one or an enclosing transform needs their graph, else ndarrays.
    """
    if (level := level_of(*inputs)) is not None:  # samples of a vmap are independent, so one walk serves them all
        run = lambda o, xs, c: pullback(_as_tensor(o[0]), xs, c[0])  # noqa: E731
        return level.outside(run, [out], inputs, [cotangent])  # type: ignore[no-any-return]
    nodes = frozenset([t.node for t in inputs if t.node is not None])
    gradient_of: dict[Node, Any] = {}
    live = _wants_graph(cotangent) or _has_outside_graph(out.node, nodes)
    directions = level_of(cotangent)
    if directions is not None and out.node is not None and _has_ties(out.node, nodes):
        return directions.one_by_one(lambda c: pullback(out, inputs, c), cotangent)
    if out.node is not None and directions is not None:
        with recording(live):
            found = walk(out.node, cotangent.astype(out.dtype), wanted=nodes, differentiable=True)
        gradient_of = found if live else {node: _without_graph(g) for node, g in found.items()}
    elif out.node is not None and not live:
        found = walk(out.node, np.asarray(unmasked(cotangent), dtype=out.dtype), wanted=nodes)
        gradient_of = {node: np.array(g) for node, g in found.items()}
    elif out.node is not None:
        seed = cotangent if isinstance(cotangent, Tensor) else wrap(np.asarray(cotangent, out.dtype), None)
        seed = seed if seed.dtype == out.dtype else seed.astype(out.dtype)
        with recording(True):
            gradient_of = walk(out.node, seed, wanted=nodes, differentiable=True)
    gradients = []
    for t in inputs:
        none = np.zeros_like(stored_array(t)) if t.node is None or t.node not in gradient_of else None
        gradients.append(gradient_of[t.node] if none is None else wrap(none, None) if live else none)  # type: ignore[index]
    return gradients


def _as_tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else wrap(x, None)


def _has_ties(root: Node, inputs: frozenset[Node]) -> bool:
    """Tell whether a factorisation in the graph has equal eigenvalues or singular values.

    Its gradient is then not linear in the cotangent, so each direction needs a walk of its own.
    """
    if not Ties.met or thread.mode.traces:
        return False
    oldest = min((node.index for node in inputs), default=0)
    found = (node for node in ancestors((root,), oldest) if node.primitive is not None and node.primitive.ties)
    return any(node.primitive.ties.have_equal(node.out, node.args[0]).any() for node in found)  # type: ignore[union-attr, index]


def result_of(f: Callable[..., Any], value: Any) -> Tensor:
    """Return a function's result as a Tensor; arrays and numbers become constants, whose derivative is zero.

    Raises:
        TypeError: the result is not made of numbers.
    """
    if isinstance(value, Tensor):
        return value
    numbers = isinstance(value, (np.ndarray, np.generic, int, float, complex))
    if not numbers or np.asarray(value).dtype.kind not in "fciub":
        what = "None" if value is None else f"a {type(value).__name__}"
        raise TypeError(f"{_name(f)} returned {what}, which has no derivative; return a Tensor, an array or a number.")
    return wrap(value, None)


def _pair(f: Callable[..., Any], value: Any) -> Any:
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return value
    got = f"{_name(f)} returned {described(value)}"
    raise TypeError(f"with has_aux=True f returns a pair; {got}. Return (number, aux), or leave has_aux out.")


def _name(f: Callable[..., Any]) -> str:
    return printable(getattr(f, "__name__", type(f).__name__))


class Call:
    """One call of a function with the differentiated arguments replaced by new input Tensors: `inputs` and `value`."""

    def __init__(self, f: Callable[..., Any], argnums: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.single = isinstance(argnums, (int, np.integer, str))
        if not self.single and not hasattr(argnums, "__iter__"):
            raise TypeError(f"argnums={argnums!r}; give the position or name of an argument, or a tuple of them.")
        slots = [slot(f, argnum, args, kwargs) for argnum in ([argnums] if self.single else argnums)]
        if len(slots) > 1 and len(set(slots)) < len(slots):
            raise ValueError(f"argnums={argnums!r} names an argument of {_name(f)} twice; it has only one gradient.")
        given, named = list(args), dict(kwargs)
        places: list[Any] = [(named if isinstance(key, str) else given, key) for key in slots]
        nests = [where[key] for where, key in places]
        self.nested = not self.single or nests[0] is None  # one argument needs no list around it, unless it is None
        leaves, self.rebuild = flatten(nests if self.nested else nests[0])
        level = thread.mode.level
        # Inside vmap: if no argument differs by sample, run f once outside it; if the result differs after all, because
        # f closes over a mapped array, run f again inside.
        shared = level is not None and not any(level.has(x) for x in flatten([given, named])[0])
        for once in (True, False) if shared else (False,):
            if once:
                with level.outside_level(), recording(thread.mode.grad):
                    self.inputs = [new_input(x, f, nests) for x in leaves]
            else:
                self.inputs = [new_input(x, f, nests) for x in leaves]
            entered = self.rebuild(self.inputs)
            for (where, key), x in zip(places, entered if self.nested else [entered], strict=True):
                where[key] = x
            if thread.mode.grad:
                self.value = f(*given, **named)
            else:
                with recording(True):
                    self.value = f(*given, **named)
            if level is None or not any(level.has(x) for x in flatten(self.value)[0]):
                break

    def arrange(self, gradients: list[Any]) -> Tree:
        """Return gradients of the inputs in the containers of the arguments, a tuple for several arguments."""
        trees = self.rebuild(gradients)
        return trees if not self.nested else trees[0] if self.single else tuple(trees)


def value_and_grad(
    f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    r"""Return the function that computes f and its gradient together.

    .. math:: x \mapsto \left(f(x),\ \nabla f(x)\right)

    Args:
        f: returns one number (a Tensor of size 1), or with `has_aux` a pair ``(number, anything else)``. If the number
            does not depend on an argument, that gradient is zero.
        argnums: the position or name of the argument to differentiate, or several.
        has_aux: whether f returns such a pair.

    Returns:
        A function of the same arguments returning ``(value, gradient)``, or ``((value, aux), gradient)``; the gradient
        has the containers, shapes and dtypes of the argument, and is a tuple if `argnums` has several.

    Raises:
        TypeError: an argument is not floating-point, or f does not return a real number.
        ValueError: f returns more than one number, or there is no such argument.

    Example:
        >>> value, gradient = value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
        >>> print(value, gradient)
        5.0 [2. 4.]
    """

    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        call = Call(f, argnums, args, kwargs)
        value, aux = _pair(f, call.value) if has_aux else (call.value, None)
        out = result_of(f, value)
        if out.data.size != 1:
            raise ValueError(
                f"{_name(f)} returned an array of shape {out.shape}; a gradient needs one number. Take its sum or "
                "mean, or use jacobian, or elementwise_grad where an entry depends on its own input only."
            )
        if out.data.dtype.kind == "c":
            raise TypeError(
                f"{_name(f)} returned a complex number; a gradient needs a real one. Take np.real of it, or use "
                "jacobian for the complex derivative of a holomorphic function."
            )
        number = type(out) is Tensor and not out.data.ndim  # for these np.array takes a fifth of the time of ones_like
        one = np.array(1, out.data.dtype) if number else np.ones_like(out.data)
        gradients = pullback(out, call.inputs, one)
        outside = any([isinstance(g, Tensor) for g in gradients] + [bool(t.node and t.node.p) for t in call.inputs])
        if thread.mode.level is not None and level_of(*call.inputs) is not None:
            shown = _as_result(out, call.inputs)
        else:
            shown = out if outside else out.data.copy()[()]  # a copy, since arrays in a graph are read-only
        if not has_aux:
            return shown, call.arrange(gradients)
        return (shown, _without_tensors(aux, call.inputs)), call.arrange(gradients)

    return wraps(f)(value_and_gradient)


def grad(
    f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    r"""Return the function that computes the gradient of f.

    .. math:: x \mapsto \nabla f(x)

    Args:
        f: returns one number (a Tensor of size 1), or with `has_aux` a pair ``(number, anything else)``.
        argnums: the position or name of the argument to differentiate, or several.
        has_aux: whether f returns such a pair; the result is then ``(gradient, aux)``.

    Returns:
        A function of the same arguments; see `value_and_grad`, whose errors it shares.

    Example:
        >>> cube = lambda x: x**3
        >>> float(grad(cube)(2.0)), float(grad(grad(cube))(2.0)), float(grad(grad(grad(cube)))(2.0))
        (12.0, 12.0, 6.0)
    """
    both = value_and_grad(f, argnums, has_aux=has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return wraps(f)(gradient)


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], Tree]]:
    r"""Return the value of f, and the function that maps a cotangent of the value to gradients of the arguments.

    .. math:: v \mapsto J^T v

    Args:
        f: a function of arrays, or containers of arrays, returning an array or containers of arrays.
        *args: its arguments, all of which are differentiated.

    Returns:
        ``(value, pull)``; ``pull(cotangent)`` takes a cotangent with the containers and shapes of the value and returns
        a tuple with a gradient per argument. It may be called any number of times.

    Raises:
        TypeError: an argument is not floating-point, or f does not return numbers.
        ValueError: (from ``pull``) the cotangent has another shape than the value.

    Example:
        >>> value, pull = vjp(lambda x, y: x * y, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
        >>> print(value, *pull(np.array([1.0, 10.0])))
        [3. 8.] [ 3. 40.] [ 1. 20.]
    """
    call = Call(f, range(len(args)), args, {})
    outs, rebuild = flatten(call.value)
    outs = [result_of(f, out) for out in outs]

    def pull(cotangent: Tree) -> Tree:
        cotangents = leaves_like(call.value, cotangent, f"the cotangent of {_name(f)}", "its value")
        shapes = [np.shape(raw(c)) for c in cotangents]
        if shapes != [out.shape for out in outs]:
            raise ValueError(
                f"the cotangent of {_name(f)} needs the shape of its value, {[o.shape for o in outs]}; it has {shapes}."
            )
        total: list[Any] = []
        for out, c in zip(outs, cotangents, strict=True):
            found = pullback(out, call.inputs, c)
            total = found if not total else [a + b for a, b in zip(total, found, strict=True)]
        return call.arrange(total)

    return rebuild([_as_result(out, call.inputs) for out in outs]), pull


def _as_result(out: Tensor, inputs: Sequence[Tensor]) -> Any:
    """Return a value as a Tensor if an enclosing transform needs its graph, else as an ndarray."""
    if (level := level_of(*inputs)) is not None:
        return level.outside(lambda o, xs: [_as_result(_as_tensor(o[0]), xs)], [out], inputs)[0]
    return out if _has_outside_graph(out.node, frozenset(t.node for t in inputs if t.node)) else stored_array(out)


def _without_tensors(tree: Tree, inputs: Sequence[Tensor]) -> Tree:
    """Return a nest of anything with arrays in place of its Tensors, except those that an enclosing transform needs."""
    leaves, rebuild = flatten(tree)
    if not any(isinstance(x, Tensor) for x in leaves):
        return tree
    return rebuild([_as_copied_result(x, inputs) if isinstance(x, Tensor) else x for x in leaves])


def _as_copied_result(out: Tensor, inputs: Sequence[Tensor]) -> Any:
    """Return what `_as_result` returns; an array is a copy, since the arrays of a graph are read-only."""
    x = _as_result(out, inputs)
    return x if isinstance(x, Tensor) else x.copy()


def jvp(f: Callable[..., Any], args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    r"""Return the value of f and its derivative along a direction (forward mode).

    .. math:: J v

    The function runs once; then the tangents are propagated through its operations from the arguments to the result.

    Args:
        f: a function of arrays, or containers of arrays, returning an array or containers of arrays.
        args: its arguments.
        tangents: a direction: one tangent per argument, with the argument's containers and shapes.

    Returns:
        ``(value, derivative)``, both in the containers that f returns.

    Raises:
        TypeError: as for `vjp`.
        ValueError: the tangents have other shapes than the arguments.

    Source:
        R. E. Wengert, A simple automatic derivative evaluation program, CACM 7 (1964).

    Example:
        >>> jvp(np.sin, (np.array(0.0),), (np.array(2.0),))
        (array(0.), array(2.))
    """
    primals = flatten(as_list("jvp", "args", args))[0]
    directions = leaves_like(list(args), as_list("jvp", "tangents", tangents), "tangents", "args")
    shapes = [np.shape(raw(x)) for x in primals], [np.shape(raw(v)) for v in directions]
    if shapes[0] != shapes[1]:
        raise ValueError(f"the tangents need the shapes of the arguments, {shapes[0]}; they have {shapes[1]}.")
    call = Call(f, range(len(args)), tuple(args), {})
    outs, rebuild = flatten(call.value)
    outs = [result_of(f, out) for out in outs]
    derivatives = pushforward(outs, call.inputs)(directions)
    return rebuild([_as_copied_result(out, call.inputs) for out in outs]), rebuild(derivatives)


def pushforward(outs: Sequence[Tensor], inputs: Sequence[Tensor]) -> Callable[[Sequence[Any]], list[Any]]:
    """Return the function that maps tangents of the inputs to tangents of the results.

    It returns Tensors if a tangent is one or an enclosing transform needs their graph, else ndarrays.
    """
    if (level := level_of(*inputs)) is not None:
        run = lambda os, xs, vs: pushforward([_as_tensor(o) for o in os], xs)(vs)  # noqa: E731
        return lambda vs: level.outside(run, outs, inputs, vs)
    nodes = frozenset(t.node for t in inputs if t.node is not None)
    roots = [out.node for out in outs if out.node is not None]
    through = path(roots, nodes)
    outside = any(_has_outside_graph(root, nodes) for root in roots)

    def pushed(directions: Sequence[Any]) -> list[Any]:
        live = outside or any(_wants_graph(v) for v in directions)
        tangents = {}
        for t, v in zip(inputs, directions, strict=True):
            if t.node is None:
                continue
            v = v.astype(t.dtype) if isinstance(v, Tensor) else np.asarray(unmasked(v), t.dtype)
            tangents[t.node] = wrap(v, None) if live and not isinstance(v, Tensor) else v
        if through is None:
            found = [_by_two_walks(out, inputs, directions) for out in outs]
        else:
            moved = push(through, tangents, differentiable=live)
            found = [_zeros(out, inputs) if (v := moved.get(out.node)) is None else v for out in outs]  # type: ignore[arg-type]
        if live:
            return [v if isinstance(v, Tensor) else wrap(v, None) for v in found]
        return [_without_graph(v) for v in found]

    return pushed


def _without_graph(v: Any) -> Any:
    """Return a value without its graph: an array, or inside vmap a mapped Tensor over a plain array."""
    level = level_of(v)
    return np.array(raw(v)) if level is None else level.wrap(_without_graph(v.full))


def _wants_graph(v: Any) -> bool:
    """Tell whether a direction asks for results with a graph: a Tensor does, unless it is mapped and constant."""
    return isinstance(v, Tensor) and (v.node is not None or level_of(v) is None)


def _zeros(out: Tensor, inputs: Sequence[Tensor]) -> Any:
    """Return the zero derivative of a result that depends on no input; integer results take the dtype of the inputs."""
    floats = np.result_type(*(t.dtype for t in inputs)) if inputs else np.dtype(float)
    return np.zeros(out.shape, out.dtype if out.dtype.kind in "fc" else floats)


def _by_two_walks(out: Tensor, inputs: Sequence[Tensor], directions: Sequence[Any]) -> Any:
    """Return the derivative along directions by transposing the whole walk back: a walk back through its graph."""
    dummy = leaf(generic_cotangent(stored_array(out)))
    derivative: Any = _zeros(out, inputs)
    for row, v in zip(pullback(out, inputs, dummy), directions, strict=True):
        if isinstance(row, Tensor) and row.node is not None:
            derivative = derivative + pullback(row, [dummy], v)[0]
    return derivative


def hvp(f: Callable[..., Any], args: Sequence[Any] | None = None, direction: Tree = None) -> Tree:
    r"""Return the product of the Hessian with a vector, at a few times the cost of f; the Hessian is never formed.

    .. math:: H v = \nabla_x \left( \nabla f(x)^T v \right)

    Args:
        f: returns one number.
        args: its arguments; the Hessian is taken with respect to the first.
        direction: the vector that the Hessian is multiplied with, shaped like the first argument.

    Returns:
        The product, shaped like the first argument: the derivative of ``grad(f)`` along the direction. With f alone,
        ``hvp(f)`` returns a function ``(x, direction, *args)`` of such products, as SciPy takes it for ``hessp``.

    Source:
        B. Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6 (1994).

    Example:
        >>> hvp(lambda x: (x**3).sum(), (np.array([1.0, 2.0]),), np.array([1.0, 10.0]))
        array([  6., 120.])
    """
    if args is None:
        return wraps(f)(lambda x, direction, *rest: hvp(f, (x, *rest), direction))
    if not as_list("hvp", "args", args):
        raise ValueError("hvp takes the Hessian with respect to the first argument; args is empty.")
    directions = leaves_like(args[0], direction, "the direction", "the first argument")
    shapes = [np.shape(raw(x)) for x in flatten(args[0])[0]], [np.shape(raw(v)) for v in directions]
    if shapes[0] != shapes[1]:
        raise ValueError(f"the direction needs the shapes of the first argument, {shapes[0]}; it has {shapes[1]}.")

    @wraps(f)
    def slope(x: Tree) -> Any:
        pairs = zip(flatten(grad(f)(x, *args[1:]))[0], directions, strict=True)
        parts = (np.real(np.conj(g) * v) if g.dtype.kind == "c" else g * v for g, v in pairs)
        return sum((x.sum() for x in parts), Tensor(0.0, False))

    return grad(slope)(args[0])


def elementwise_grad(f: Callable[..., Any], argnums: int | str = 0) -> Callable[..., Any]:
    r"""Return the derivative of a function whose result entries each depend only on the same entry of the argument.

    .. math:: f'(x)_i = \partial f(x)_i / \partial x_i

    Args:
        f: acts entry by entry.
        argnums: the position or name of the argument to differentiate.

    Returns:
        A function of the same arguments returning the derivative, of the argument's shape.

    Example:
        >>> print(elementwise_grad(np.tanh)(np.array([0.0, 1.0])).round(4))
        [1.   0.42]
    """

    def total(*args: Any, **kwargs: Any) -> Any:
        return result_of(f, f(*args, **kwargs)).sum()

    return grad(wraps(f)(total), argnums)
