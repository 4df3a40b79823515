"""Functions that register VJP and JVP rules, vector spaces of arrays and containers, `make_vjp` and `make_jvp`.

For complex inputs, a gradient is ∂L/∂Re - i ∂L/∂Im here, as in autograd, so the derivative of a holomorphic
function is the one of calculus. `tinygrad_nn.grad` returns its conjugate, as PyTorch does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np

from ..tensor import Tensor, raw
from ..transforms import jvp, vjp
from ..tree import flatten
from .tracer import (
    ENDED,
    JVPS,
    LINEAR,
    VJPS,
    Box,
    Cotangent,
    VSpace,
    conj,
    getval,
    is_live,
    isbox,
    notrace_primitive,
    placeholder,
    primitive,
    vspace,
    without_ended_graph,
    wrap_in_box,
)

Maker = Callable[..., Any]
primitive_vjps, primitive_jvps = VJPS, JVPS


# -- Rules


def defvjp_argnums(fun: Callable[..., Any], vjpmaker: Maker) -> None:
    """Give a primitive one VJP rule for all arguments: ``vjpmaker(argnums, ans, args, kwargs)(g)`` returns a list."""
    VJPS[fun] = vjpmaker


def defvjp_argnum(fun: Callable[..., Any], vjpmaker: Maker) -> None:
    """Give a primitive one VJP rule for any argument: ``vjpmaker(argnum, ans, args, kwargs)(g)`` is its gradient."""

    def makers(argnums: Iterable[int], *call: Any) -> Callable[[Any], Any]:
        rules = [vjpmaker(argnum, *call) for argnum in argnums]
        return lambda g: [rule(g) for rule in rules]

    VJPS[fun] = makers


def defvjp(fun: Callable[..., Any], *vjpmakers: Maker | None, argnums: Iterable[int] | None = None) -> None:
    """Give a primitive one VJP rule per argument.

    Args:
        fun: a function that `primitive` returned.
        *vjpmakers: ``maker(ans, *args, **kwargs)(g)`` returns the gradient of its argument; ``None`` if that is 0.
        argnums: the argument numbers that the makers are for; by default 0, 1, 2, ...

    Raises:
        TypeError: a maker is neither a function nor ``None``.
        NotImplementedError: (when gradients are taken) an argument has no rule.
    """
    by_number = dict(zip(count() if argnums is None else argnums, vjpmakers, strict=False))
    _callable_or_none(by_number, fun, "VJP")

    def makers(argnums: Iterable[int], ans: Any, args: Any, kwargs: Any) -> Callable[[Any], Any]:
        rules = [_rule(by_number, n, fun)(ans, *args, **kwargs) for n in argnums]
        return lambda g: [rule(g) for rule in rules]

    VJPS[fun] = makers


def _callable_or_none(rules: dict[int, Any], fun: Any, rule_kind: str) -> None:
    for rule in rules.values():
        if rule is not None and not callable(rule) and rule != "same":
            raise TypeError(f"a {rule_kind} rule of {_name(fun)} is {rule!r}; give a function, or None if it is 0.")


def _rule(by_number: dict[int, Maker | None], number: int, fun: Any) -> Maker:
    if number not in by_number:
        raise NotImplementedError(
            f"VJP of {_name(fun)} wrt argnum {number} not defined. Give defvjp a maker for it, or None if the result "
            "does not depend on it."
        )
    return by_number[number] or (lambda ans, *args, **kwargs: lambda g: None)


def _name(fun: Any) -> str:
    return getattr(fun, "__name__", "a primitive")


def defjvp_argnums(fun: Callable[..., Any], jvpmaker: Maker) -> None:
    """Give a primitive one JVP rule: ``jvpmaker(argnums, tangents, ans, args, kwargs)`` returns the tangent."""
    JVPS[fun] = jvpmaker


def defjvp_argnum(fun: Callable[..., Any], jvpmaker: Maker) -> None:
    """Give a primitive one JVP rule for any one argument: ``jvpmaker(argnum, tangent, ans, args, kwargs)``."""
    JVPS[fun] = lambda argnums, tangents, ans, args, kwargs: _total(
        jvpmaker(n, v, ans, args, kwargs) for n, v in zip(argnums, tangents, strict=True)
    )


def defjvp(fun: Callable[..., Any], *jvpfuns: Any, argnums: Iterable[int] | None = None) -> None:
    """Give a primitive one JVP rule per argument.

    Args:
        fun: a function that `primitive` returned.
        *jvpfuns: ``rule(tangent, ans, *args, **kwargs)`` returns the tangent of the result; ``"same"`` if fun is
            linear in the argument, ``None`` if the result does not depend on it.
        argnums: the argument numbers that the rules are for; by default 0, 1, 2, ...

    Raises:
        TypeError: a rule is not a function, ``"same"`` or ``None``.
    """
    by_number = dict(zip(count() if argnums is None else argnums, jvpfuns, strict=False))
    _callable_or_none(by_number, fun, "JVP")

    def jvp_of_argument(number: int, v: Any, ans: Any, args: Any, kwargs: Any) -> Any:
        rule = by_number.get(number)
        if rule == "same":
            return fun(*args[:number], v, *args[number + 1 :], **kwargs)
        return 0 * ans if rule is None else rule(v, ans, *args, **kwargs)

    defjvp_argnum(fun, jvp_of_argument)
    LINEAR[fun] = lambda number: by_number.get(number) == "same"


def def_linear(fun: Callable[..., Any]) -> None:
    """Give a primitive that is linear in each argument its JVP rules."""
    defjvp_argnum(fun, lambda n, v, ans, args, kwargs: fun(*args[:n], v, *args[n + 1 :], **kwargs))
    LINEAR[fun] = lambda number: True


def _total(tangents: Iterable[Any]) -> Any:
    total: Any = None
    for tangent in tangents:
        total = tangent if total is None else total + tangent
    return total


# -- Vector spaces of arrays and containers


class ArrayVSpace(VSpace):
    """The vector space of all arrays of one shape and dtype; a complex entry counts as two real dimensions."""

    def __init__(self, value: Any) -> None:
        value = np.asarray(value)
        self.shape, self.dtype = value.shape, value.dtype if value.dtype.kind in "fc" else np.dtype(float)

    @property
    def iscomplex(self) -> bool:  # type: ignore[override]
        """Whether the entries are complex."""
        return self.dtype.kind == "c"

    @property
    def size(self) -> int:
        """The number of real numbers in a vector."""
        return int(np.prod(self.shape)) * (1 + self.iscomplex)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def zeros(self) -> Any:
        """Return zeros."""
        return np.zeros(self.shape, self.dtype)

    def ones(self) -> Any:
        """Return ones, with an imaginary part of 1 if complex."""
        return np.full(self.shape, 1 + 1j if self.iscomplex else 1, self.dtype)

    def standard_basis(self) -> Iterator[Any]:
        """Yield for each entry the array that is 1 there and 0 elsewhere, then the one with 1j, if complex."""
        for index in np.ndindex(*self.shape):
            for unit in (1, 1j) if self.iscomplex else (1,):
                vector = self.zeros()
                vector[index] = unit
                yield vector

    def randn(self) -> Any:
        """Return standard normal numbers from NumPy's global generator."""
        draw = np.asarray(np.random.randn(*self.shape))  # noqa: NPY002 - programs for autograd seed the global generator
        if self.iscomplex:
            draw = draw + 1j * np.random.randn(*self.shape)  # noqa: NPY002
        return draw.astype(self.dtype)

    def _inner_prod(self, x: Any, y: Any) -> Any:
        return np.real(np.vdot(x, y)) if self.iscomplex else np.dot(np.ravel(x), np.ravel(y))

    def _covector(self, x: Any) -> Any:
        return np.conj(x) if self.iscomplex else x


class ContainerVSpace(VSpace):
    """The vector space of one structure of nested lists, tuples or dicts; each leaf has its own space."""

    def __init__(self, value: Any) -> None:
        leaves, self._rebuild = flatten(value)
        self.spaces = [vspace(leaf) for leaf in leaves]
        self.shape = self._rebuild(self.spaces)

    @property
    def size(self) -> int:
        """The number of real numbers in all leaves together."""
        return sum(space.size for space in self.spaces)

    def _map_spaces(self, method: str, *vectors: Any) -> list[Any]:
        parts = [flatten(vector)[0] for vector in vectors]
        return [getattr(space, method)(*leaves) for space, *leaves in zip(self.spaces, *parts, strict=True)]

    def zeros(self) -> Any:
        """Return the container structure filled with zeros."""
        return self._rebuild(self._map_spaces("zeros"))

    def ones(self) -> Any:
        """Return the container structure filled with ones."""
        return self._rebuild(self._map_spaces("ones"))

    def randn(self) -> Any:
        """Return the container structure filled with standard normal numbers."""
        return self._rebuild(self._map_spaces("randn"))

    def standard_basis(self) -> Iterator[Any]:
        """Yield the basis vectors of each leaf's space, with zeros in all other leaves."""
        for k, space in enumerate(self.spaces):
            for vector in space.standard_basis():
                parts = self._map_spaces("zeros")
                parts[k] = vector
                yield self._rebuild(parts)

    def _add(self, x: Any, y: Any) -> Any:
        return self._rebuild(self._map_spaces("_add", x, y))

    def _scalar_mul(self, x: Any, a: Any) -> Any:
        return self._rebuild([space._scalar_mul(v, a) for space, v in zip(self.spaces, flatten(x)[0], strict=True)])

    def _inner_prod(self, x: Any, y: Any) -> Any:
        return sum(self._map_spaces("_inner_prod", x, y))

    def _covector(self, x: Any) -> Any:
        return self._rebuild(self._map_spaces("_covector", x))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ContainerVSpace) and self.shape == other.shape

    __hash__ = None


for kind in (float, complex, int, np.ndarray, np.number):
    ArrayVSpace.register(kind)
for container in (list, tuple, dict):
    ContainerVSpace.register(container)

_linear: Any = (None, lambda ans, *args: lambda g: g, lambda ans, *args: lambda g: g)
defvjp(VSpace.add, *_linear)
defvjp(VSpace.mut_add, *_linear)
defvjp(VSpace.covector, None, lambda ans, space, x: space.covector)
defvjp(
    VSpace.scalar_mul,
    None,
    lambda ans, space, x, a: lambda g: space.covector(space.scalar_mul(space.covector(g), a)),
    lambda ans, space, x, a: lambda g: space.inner_prod(g, space.covector(x)),
)
defvjp(
    VSpace.inner_prod,
    None,
    lambda ans, space, x, y: lambda g: space.covector(space.scalar_mul(y, g)),
    lambda ans, space, x, y: lambda g: space.covector(space.scalar_mul(x, g)),
)


# -- Through a function, backward and forward


def _differentiable_leaf(leaf: Any) -> Any:
    """Return the array or Tensor to differentiate for a leaf: integers become floats, Box types a placeholder."""
    if isinstance(leaf, Box):
        raise NotImplementedError(f"a {type(leaf).__name__} can be differentiated only once.")
    if type(leaf) in Box.type_mappings:
        return placeholder()
    if isinstance(leaf, Tensor):
        return leaf if leaf.dtype.kind in "fc" else leaf.astype(float)
    array = np.asarray(leaf)
    return array if array.dtype.kind in "fc" else array.astype(float)


def _is_differentiable(leaf: Any) -> bool:
    """Tell whether a leaf of an argument can be differentiated; a string or a function cannot."""
    return isbox(leaf) or type(leaf) in Box.type_mappings or np.asarray(leaf).dtype.kind in "fciub"


def marking_ended(fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap fun so that, when it returns, the nodes of its input go into `ENDED`: their differentiation is over."""

    def call(x: Any) -> Any:
        try:
            return fun(x)
        finally:
            found = (t._handle if isinstance(t, Box) else t for t in flatten(x)[0])
            ENDED.update(t.node for t in found if isinstance(t, Tensor) and t.node is not None)

    call.__name__ = "the function"  # as errors call it
    return call


class _Unary:
    """A function of one argument (maybe a container), called with the list of that argument's differentiable leaves."""

    def __init__(self, fun: Callable[[Any], Any], x: Any) -> None:
        self.fun = fun
        self.leaves, self.rebuild = flatten(x)
        self.places = [k for k, leaf in enumerate(self.leaves) if _is_differentiable(leaf)]
        self.inputs = [_differentiable_leaf(self.leaves[k]) for k in self.places]

    def __call__(self, inputs: list[Any]) -> Any:
        filled = list(self.leaves)
        for k, x in zip(self.places, inputs, strict=True):
            filled[k] = wrap_in_box(filled[k], x) if type(filled[k]) in Box.type_mappings else x
        value = marking_ended(self.fun)(self.rebuild(filled))
        if not is_live(value):
            warnings.warn("Output seems independent of input.", stacklevel=5)
        return value

    def arranged(self, gradients: list[Any]) -> Any:
        """Return gradients, one per differentiable leaf, in the structure of the argument, with None elsewhere."""
        filled: list[Any] = [None] * len(self.leaves)
        for k, g in zip(self.places, gradients, strict=True):
            if type(self.leaves[k]) in Box.type_mappings:
                found = g.item()  # a Cotangent in an object array; or zeros if no gradient arrived
                filled[k] = found.value if isinstance(found, Cotangent) else vspace(self.leaves[k]).zeros()
            else:
                filled[k] = _as_scalar(conj(g))
        return self.rebuild(filled)


def _as_scalar(x: Any) -> Any:
    """Return a 0-d array as a scalar; return a Tensor as its array if no input that it depends on is still live."""
    return without_ended_graph(x) if isinstance(x, Tensor) else x[()]


def plain_result(value: Any) -> Any:
    """Return a result with its arrays copied, 0-d arrays as scalars, and finished Tensors as arrays."""
    leaves, rebuild = flatten(value)
    return rebuild([_as_scalar(x if isinstance(x, Tensor) else np.array(x)) for x in leaves])


def make_vjp(fun: Callable[[Any], Any], x: Any) -> tuple[Callable[[Any], Any], Any]:
    """Return the function from a cotangent of ``fun(x)`` to the gradient with respect to x, and ``fun(x)``.

    Args:
        fun: a function of one argument, which may be a container.
        x: the argument at which to differentiate; integers become floats.
    """
    unary = _Unary(fun, x)
    value, pull = vjp(unary, unary.inputs)
    leaves, rebuild = flatten(value)

    def back(g: Any) -> Any:
        parts = [conj(_broadcast_like(part, leaf)) for part, leaf in zip(flatten(g)[0], leaves, strict=True)]
        return unary.arranged(pull(rebuild(parts))[0])

    return back, plain_result(value)


def _broadcast_like(g: Any, value: Any) -> Any:
    """Return a scalar cotangent (or tangent) broadcast to the shape of the value; others unchanged."""
    shape = np.shape(raw(value))
    return np.broadcast_to(g, shape) if np.ndim(raw(g)) == 0 and shape else g


def make_jvp(fun: Callable[[Any], Any], x: Any) -> Callable[[Any], tuple[Any, Any]]:
    """Return the function from a direction v to the pair of ``fun(x)`` and its derivative along v."""

    def value_and_derivative(v: Any) -> tuple[Any, Any]:
        unary = _Unary(fun, x)
        directions = flatten(v)[0]
        tangents = [_broadcast_like(directions[k], t) for k, t in zip(unary.places, unary.inputs, strict=True)]
        value, derivative = jvp(unary, (unary.inputs,), (tangents,))
        return plain_result(value), plain_result(derivative)

    return value_and_derivative


__all__ = [
    "ArrayVSpace",
    "Box",
    "ContainerVSpace",
    "VSpace",
    "def_linear",
    "defjvp",
    "defjvp_argnum",
    "defjvp_argnums",
    "defvjp",
    "defvjp_argnum",
    "defvjp_argnums",
    "getval",
    "isbox",
    "make_jvp",
    "make_vjp",
    "notrace_primitive",
    "primitive",
    "primitive_jvps",
    "primitive_vjps",
    "vspace",
]
