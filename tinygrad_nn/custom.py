"""Functions with a custom derivative: hand-written rules, `stop_gradient`, and `checkpoint`, which saves memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from typing import Any

import numpy as np

from .backward import ancestors
from .common.printable import counted
from .node import Node, alone, recording, thread
from .ops.linalg import as_array, conj
from .primitive import Primitive
from .tensor import Tensor, apply, raw, stored_array, wrap
from .transforms import new_input, pullback
from .transforms.batching import level_of
from .tree import Tree, children, described, flatten


def stop_gradient(tree: Tree) -> Tree:
    """Return the same values as constants: no gradient flows through them.

    Args:
        tree: a Tensor, an array, or containers of them.

    Returns:
        The same containers with every Tensor detached.

    Example:
        >>> from tinygrad_nn import grad
        >>> float(grad(lambda x: x * stop_gradient(x))(3.0))
        3.0
    """
    leaves, rebuild = flatten(tree)
    return rebuild([x.detach() if isinstance(x, Tensor) else x for x in leaves])


def _check_rule(rule: Any, name: str, call: str) -> None:
    """Raise if a rule is missing, as in the form of jax, where it is given later."""
    if not callable(rule):
        got = "no rule" if rule is None else f"{rule!r:.60} of type {type(rule).__name__} as its rule"
        raise TypeError(
            f"custom_{name} takes a function and its rule; it got {got}. Write f = custom_{name}(f, rule) with "
            f"rule({call}, out, *arguments), instead of @custom_{name} and f.def{name}."
        )


def custom_vjp(f: Callable[..., Any], rule: Any = None) -> Callable[..., Any]:
    r"""Return f with a hand-written VJP rule in place of those of its operations.

    .. math:: (\bar x, \bar y, \dots) = rule(\overline{out}, out, x, y, \dots)

    Args:
        f: a function of arrays, by position, and metadata, by keyword, returning an array. Arguments and results may
            be containers of arrays (dict, list, tuple, dataclass), of any shapes. It is called with plain arrays.
        rule: ``rule(g, out, *arguments, **metadata)`` returns the gradient of the argument if there is one argument,
            else a tuple with one gradient per argument, each in the containers of its argument; ``None`` stands for no
            gradient. `g` has the containers of the result, with zeros where no gradient arrived. For complex numbers
            g and the gradients follow `grad` and `vjp`, ∂L/∂Re + i ∂L/∂Im, so that the rule of ``A @ x`` is
            ``A.conj().T @ g``. A rule of NumPy functions and operators only can be differentiated, to any order.

    Returns:
        A function of the same arguments; a graph records a call of it as one operation. Given plain arrays it returns
        plain arrays.

    Raises:
        TypeError: f or the rule closes over a Tensor that is not among the arguments, whose gradient would be lost.
        ValueError: (when gradients are taken) the gradients have other containers than the arguments, or an imaginary
            part although all arguments and g are real.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import grad
        >>> round_through = custom_vjp(np.round, lambda g, out, x: g)  # the straight-through estimator
        >>> float(grad(lambda x: round_through(x) * x)(2.6))
        5.6
    """
    _check_rule(rule, "vjp", "g")

    def gradients(g: Any, out: Any, args: list[Any], metadata: dict[str, Any]) -> list[Any]:
        found = rule(g, out, *args, **metadata)
        if len(args) == 1 and not _is_tuple_of_one(found, args[0]):
            found = (found,)
        if not isinstance(found, (tuple, list)) or len(found) != len(args):
            count = len(found) if isinstance(found, (tuple, list)) else 1
            raise ValueError(
                f"the rule of {_name(f)} returned {counted(count, 'gradient')} for {len(args)} arguments; "
                "return a tuple with one per argument, None if it has none."
            )
        leaves = [r for k, arg in enumerate(args) for r in _leaves_of(arg, found[k], f, f"argument {k}")]
        _require_real(leaves, flatten(args)[0], flatten(g)[0], _name(f))
        return leaves

    return _operation(f, gradients)


def _require_real(gradients: list[Any], args: list[Any], g: list[Any], name: str) -> None:
    """Raise if a gradient has an imaginary part, to half of its digits, although all arguments and g are real.

    If g or an argument is complex, only the real part of the gradient of a real argument counts. A trace has no values.
    """
    if thread.mode.traces or any(_numeric(x) and np.result_type(x).kind == "c" for x in (*args, *g)):
        return
    for r in gradients:
        if not _numeric(r) or np.result_type(r).kind != "c":
            continue
        parts = np.asarray(_plain_array(r))
        if np.any(np.abs(parts.imag) > np.sqrt(np.finfo(parts.dtype).eps) * np.max(np.abs(parts), initial=0)):
            raise ValueError(
                f"the rule of {name} returned a complex gradient, though the arguments and g are real; its imaginary "
                "part would be lost. Return a real gradient; if only the real part of this one is meant, np.real of it."
            )


def custom_jvp(f: Callable[..., Any], rule: Any = None) -> Callable[..., Any]:
    r"""Return f with a hand-written JVP rule (a derivative along a direction) in place of those of its operations.

    .. math:: \dot{out} = rule(\dot x, out, x, \dots)

    The rule is linear in the directions, so that reverse mode can use its transpose.

    Args:
        f: as for `custom_vjp`.
        rule: ``rule(v, out, *arguments, **metadata)`` returns the derivative of the result along v, in the containers
            of the result. v is the direction of the argument if there is one argument, else a tuple with a direction
            per argument. The rule consists of NumPy functions and operators, and is linear in v.

    Returns:
        A function of the same arguments; a graph records a call of it as one operation.

    Raises:
        ValueError: (when gradients are taken) the derivative has other containers or shapes than the result, or is not
            linear in v. Linearity is checked once, with the first gradient that is not zero.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import grad, jvp
        >>> log1pexp = custom_jvp(lambda x: np.log(1 + np.exp(x)), lambda v, out, x: v * (1 - np.exp(-out)))
        >>> float(grad(log1pexp)(0.0)), float(grad(grad(log1pexp))(0.0)), float(jvp(log1pexp, (0.0,), (2.0,))[1])
        (0.5, 0.25, 1.0)
    """
    _check_rule(rule, "jvp", "v")
    known_as_linear = False

    def gradients(g: Any, out: Any, args: list[Any], metadata: dict[str, Any]) -> list[Any]:
        nonlocal known_as_linear
        leaves, rebuild = flatten(args)
        moving = [k for k, x in enumerate(leaves) if _numeric(x) and np.result_type(x).kind in "fc"]
        zeros = [np.zeros_like(stored_array(x)) if _numeric(x) else None for x in leaves]

        def tangents_along(v: dict[int, Any], out: Any, args: Any) -> list[Any]:
            directions = rebuild([v.get(k, zero) for k, zero in enumerate(zeros)])
            moved = rule(directions[0] if len(args) == 1 else tuple(directions), out, *args, **metadata)
            return _leaves_of(out, moved, f, "the result")

        total: list[Any] = [None] * len(leaves)
        with recording(True):
            inputs = {k: new_input(zeros[k]) for k in moving}
            for made, c, value in zip(tangents_along(inputs, out, args), flatten(g)[0], flatten(out)[0], strict=True):
                if not isinstance(made, Tensor) or made.node is None:
                    continue  # its derivative does not depend on the directions
                if made.shape != np.shape(value):
                    raise ValueError(
                        f"the rule of {_name(f)} returned a derivative of shape {made.shape} for a result of shape "
                        f"{np.shape(value)}; it needs the shape of the result."
                    )
                for k, r in zip(moving, pullback(made, [inputs[k] for k in moving], c), strict=True):
                    total[k] = r if total[k] is None else total[k] + r
        if not known_as_linear:
            plain = partial(tangents_along, out=_numbers(out), args=_numbers(args))
            known_as_linear = _require_linear(plain, {k: zeros[k] for k in moving}, flatten(g)[0], total, _name(f))
        return total

    return _operation(f, gradients)


def _plain_array(x: Any) -> Any:
    """Return the bare array of a Tensor, inside vmap that of the first sample; return anything else unchanged."""
    while level_of(x) is not None:
        x = x.full[0]
    return stored_array(x)


def _numbers(tree: Tree) -> Tree:
    """Return a nest with the bare array in place of each Tensor."""
    leaves, rebuild = flatten(tree)
    return rebuild([_plain_array(x) for x in leaves])


def _require_linear(
    tangents_along: Callable[[dict[int, Any]], list[Any]], zeros: dict[int, Any], g: list[Any], gradients: list[Any],
    name: str,
) -> bool:
    """Raise if the gradients, which are the rule's derivatives at the direction zero, do not belong to its values.

    If the rule is linear, then ``<g, rule(v)> == <gradients, v>`` for every direction v; v and -v tell abs from linear
    too. A difference quotient is linear to less than 1 % and gives the right gradient, v * v is wrong by half or more.
    Return false if there was nothing to compare, since g is zero.
    """
    rng, settled = np.random.default_rng(0), False
    random = {k: rng.uniform(0.5, 1.5, zero.shape).astype(zero.dtype) for k, zero in zeros.items()}
    for v in (random, {k: -x for k, x in random.items()}):
        found = [(_plain_array(c), _plain_array(x)) for c, x in zip(g, tangents_along(v), strict=True) if x is not None]
        wanted = [(_plain_array(gradients[k]), x) for k, x in v.items() if gradients[k] is not None]
        terms = [[np.real(np.conj(a) * b).astype(float) for a, b in pairs] for pairs in (found, wanted)]
        sums = [sum(float(np.sum(x)) for x in side) for side in terms]
        sizes = [sum(float(np.sum(np.abs(x))) for x in side) for side in terms]
        if np.isfinite(sizes[0]) and not abs(sums[0] - sums[1]) <= 0.01 * sum(sizes):
            raise ValueError(
                f"the rule of {name} is not linear in its direction v, so it has no gradient: twice the v must give "
                "twice the derivative, and v = 0 the derivative 0. Use v only as a factor, as in v * np.cos(x), and "
                "return a sum of such terms. If the rule is meant to give the gradient from g, use custom_vjp."
            )
        settled = settled or sum(sizes) > 0
    return settled


def _is_tuple_of_one(result: Any, arg: Any) -> bool:
    """Tell whether the rule of a function with one argument returned ``(gradient,)`` instead of the gradient itself."""
    if not isinstance(result, (tuple, list)) or len(result) != 1:
        return False
    parts = children(arg)
    return parts is None or set(parts) != {0} or _has_containers_of(arg, result[0])


def _has_containers_of(tree: Any, result: Any) -> bool:
    """Tell whether a rule's result has the containers of a nest, possibly with ``None`` in place of some."""
    parts, found = children(tree), children(result)
    if parts is None or result is None:
        return True
    if found is None or set(found) != set(parts):
        return False
    return all(_has_containers_of(part, found[k]) for k, part in parts.items())


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", "custom").strip("<>")


def _numeric(x: Any) -> bool:
    """Tell whether an argument is an array or a number; others, such as strings and functions, are passed through."""
    return isinstance(x, (Tensor, np.ndarray, np.generic, int, float, complex))


def _operation(
    f: Callable[..., Any], gradients: Callable[[Any, Any, list[Any], dict[str, Any]], list[Any]]
) -> Callable[..., Any]:
    """Return f, a function of nested containers, as one operation; several results are packed into one array.

    `gradients(g, out, args, metadata)` returns a gradient, or None, for each leaf of the arguments.
    """
    name = _name(f)

    def call(*args: Any, **metadata: Any) -> Any:
        leaves, rebuild = flatten(list(args))
        arrays = [k for k, x in enumerate(leaves) if _numeric(x)]
        results = Results()

        def filled(values: Any) -> list[Any]:
            new = list(leaves)
            for k, x in zip(arrays, values, strict=True):
                new[k] = x
            return rebuild(new)  # type: ignore[no-any-return]

        def forward(*given: Any, **metadata: Any) -> Any:
            if any(isinstance(x, Tensor) for x in given):  # those of a trace are Tensors
                return results.packed(f(*filled(given), **metadata))
            made = _of_arrays(f, filled(given), metadata)
            _require_arrays(made, f"the function {_name(f)}")
            return results.packed(made)

        def joint(g: Any, out: Any, *given: Any, **metadata: Any) -> list[Any]:
            found = gradients(results.parted(conj(g)), results.parted(out), filled(given), metadata)
            if not isinstance(g, Tensor):
                _require_arrays(found, f"the rule of {_name(f)}")
            return [None if found[k] is None else conj(as_array(found[k])) for k in arrays]

        primitive = Primitive(name, forward, (), rf"\operatorname{{{name}}}(x)", jointly=(joint, "rule(g)"))
        out = apply(primitive, tuple(leaves[k] for k in arrays), metadata)
        if out.node is None and not any(isinstance(x, Tensor) for x in leaves):
            return results.parted(stored_array(out))  # given plain arrays, plain arrays are returned
        return results.parted(out)

    return wraps(f)(call)


def _of_arrays(f: Callable[..., Any], args: list[Any], metadata: dict[str, Any]) -> Any:
    """Return f of plain arrays; in a trace, where loops and `grad` make Tensors, it runs outside of the trace."""
    if thread.mode.traces:
        with suppress(TypeError), alone():  # it raises if f uses a Tensor of the trace
            return f(*args, **metadata)
    return f(*args, **metadata)


def _require_arrays(result: Any, name: str) -> None:
    """Raise for a Tensor that is made of plain arrays by a function or rule: it closes over a Tensor."""
    if any(isinstance(x, Tensor) and (x.node is not None or level_of(x) is not None) for x in flatten(result)[0]):
        raise TypeError(
            f"{name} is called with plain arrays and returned a Tensor, so it closes over one, whose gradient would be "
            "lost. Make that Tensor an argument, or close over its array, t.data."
        )


class Results:
    """Packs the results of a function into one array, since an operation has one result, and unpacks them again.

    A result that is a single array is left unchanged; the arrays of a nest are flattened and concatenated. An integer
    of 64 bits is packed as its upper and its lower half, since a float64 beside it has only 53 bits.
    """

    def __init__(self) -> None:
        self.rebuild: Callable[[Any], Any] | None = None
        self.kinds: list[tuple[tuple[int, ...], Any]] = []

    def packed(self, results: Any) -> Any:
        """Return all leaves as one array, and remember their containers, shapes and dtypes for `parted`."""
        leaves, rebuild = flatten(results)
        if len(leaves) == 1 and leaves[0] is results:
            return results
        arrays = [as_array(x) for x in leaves]
        self.rebuild, self.kinds = rebuild, [(x.shape, x.dtype) for x in arrays]
        rows = [part for x in arrays for part in (_halves(x.ravel()) if _is_long(x.dtype) else [x.ravel()])]
        return np.concatenate(rows) if rows else np.array([])

    def parted(self, packed: Any) -> Any:
        """Return the nest that the function returned, cut from one packed array; integer parts become constants."""
        if self.rebuild is None:
            return packed
        parts, start = [], 0
        for shape, dtype in self.kinds:
            size, rows = math.prod(shape), []
            for _ in range(1 + _is_long(dtype)):
                row = packed[start : start + size]
                rows.append((np.real(row) if dtype.kind != "c" == packed.dtype.kind else row).astype(dtype))
                start += size
            part = rows[0] if len(rows) == 1 else (rows[0] << 32) | rows[1]
            parts.append(part.reshape(shape))
        return self.rebuild(parts)

    def packed_tangents(self, tangents: Any) -> Any:
        """Return the tangents of all results as one array that fits `packed`; an integer has the tangent 0."""
        if self.rebuild is None:
            return tangents
        parts = zip(flatten(tangents)[0], self.kinds, strict=True)
        rows = [x if dtype.kind in "fc" else np.zeros((1 + _is_long(dtype), *shape)) for x, (shape, dtype) in parts]
        return np.concatenate([np.ravel(x) for x in rows])


def _is_long(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu" and dtype.itemsize == 8


def _halves(x: Any) -> list[Any]:
    return [x >> 32, x & (2**32 - 1)]


def _leaves_of(tree: Any, result: Any, f: Callable[..., Any], name: str) -> list[Any]:
    """Return the leaves of a rule's result for the nest `tree`; a ``None`` counts for all leaves of its container.

    Raises:
        ValueError: the result has other containers than `tree`.
    """
    parts = children(tree)
    if parts is None:
        return [result]
    if result is None:
        return [None for leaf in flatten(tree)[0]]
    found = children(result)
    if found is None or set(found) != set(parts):
        raise ValueError(
            f"the rule of {_name(f)} returned {type(result).__name__} for {name}, a {type(tree).__name__} with "
            f"{', '.join(map(str, parts))}; return the same containers, with None for parts without one."
        )
    return [leaf for key, part in parts.items() if part is not None for leaf in _leaves_of(part, found[key], f, name)]


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f with its intermediate results recomputed during backward instead of kept in memory.

    Only the arguments and the result of f stay in memory; in return, f runs once more.

    Args:
        f: a function of arrays (containers of them, and anything else) returning an array, or containers of arrays.
            Every call with the same arguments must compute the same, so random numbers are passed in, not drawn inside.
            Tensors that it closes over get their gradients too.

    Returns:
        A function of the same arguments.

    Raises:
        TypeError: f returns something other than arrays and numbers.

    Source:
        A. Griewank and A. Walther, Algorithm 799: revolve, ACM TOMS 26 (2000).

    Example:
        >>> from tinygrad_nn import grad
        >>> float(grad(lambda x: checkpoint(lambda y: (y * y).sum())(x))(3.0))
        6.0
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, rebuild = flatten([list(args), kwargs])
        level = thread.mode.level
        if level is not None and any(level.has(x) for x in leaves):
            return of_all(level, leaves, rebuild)
        places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.node is not None]
        results = Results()

        def run(inputs: Any) -> Any:
            filled = list(leaves)
            for place, tensor in zip(places, inputs, strict=True):
                filled[place] = tensor
            again, named = rebuild(filled)
            return f(*again, **named)

        oldest: int = new_input(0.0).node.index  # type: ignore[union-attr]
        inputs = [new_input(leaves[i]) for i in places]
        with recording(True):
            tree = run(inputs)
            found, again_with = flatten(tree)
            for x in found:
                if not _numeric(x):
                    raise TypeError(
                        f"checkpoint needs a function returning arrays; {_name(f)} returned {described(x)}. Leave it "
                        "out, or return it from a function around the checkpoint."
                    )
            if level is not None and any(level.has(x) for x in found):
                return of_all(level, leaves, rebuild)  # f closes over a value that differs by sample
            out = results.packed(_floats(tree))
        if not isinstance(out, Tensor) or out.node is None:
            return tree
        captured = [wrap(node.out, node) for node in _captured(out.node, oldest)]
        data, alone = stored_array(out), found[0] is tree
        others = [None if _is_float(x) else x for x in found]  # integers have no gradient and keep all their digits
        del out, tree, found, x

        def rule(g: Any, out: Any, *arrays: Any) -> list[Any]:
            entered = [new_input(x) for x in arrays[: len(places)]]
            with recording(True):
                result = results.packed(_floats(run(entered)))
                found = pullback(result, [*entered, *captured], conj(g))
            return [conj(x if isinstance(g, Tensor) else raw(x)) for x in found]

        primitive = Primitive("checkpoint", lambda *arrays: data, (), "f(x)", jointly=(rule, "J^T g"))
        made = results.parted(apply(primitive, (*(leaves[i] for i in places), *captured)))
        if alone:
            return made
        parts = iter(made)
        return again_with([next(parts) if x is None else x for x in others])

    def of_all(level: Any, leaves: list[Any], rebuild: Callable[[Any], Any]) -> Any:
        """Inside vmap: make one operation of the function of all samples, which runs f inside the vmap again."""
        mapped = [i for i, x in enumerate(leaves) if level.has(x)]

        def all_samples(full: list[Any]) -> Any:
            filled = list(leaves)
            for i, x in zip(mapped, full, strict=True):
                filled[i] = level.wrap(x)
            with level.reentered():
                args, kwargs = rebuild(filled)
                found, again = flatten(f(*args, **kwargs))
            return again([level.full(x) if _numeric(x) else x for x in found])

        with level.outside_level():
            found, again = flatten(checkpoint(wraps(f)(all_samples))([leaves[i].full for i in mapped]))
            return again([level.wrap(x) for x in found])

    return wraps(f)(call)


def _is_float(x: Any) -> bool:
    return (x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype).kind in "fc"


def _floats(tree: Tree) -> Any:
    """Return the arrays of floats of a nest as a list; a single array is returned as it is."""
    leaves, _ = flatten(tree)
    return tree if len(leaves) == 1 and leaves[0] is tree else [x for x in leaves if _is_float(x)]


def _captured(root: Node, oldest: int) -> list[Node]:
    """Return the Nodes that a function closed over: those older than `oldest` that its result depends on directly."""
    found = (p for node in ancestors((root,), oldest) for p in (node, *node.parents))  # type: ignore[misc]
    return list(dict.fromkeys(p for p in found if p is not None and p.index < oldest))
