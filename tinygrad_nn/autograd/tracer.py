"""The classes of values that are being differentiated, and `primitive`, which records a function as one operation.

The names are autograd's. A number or an array is traced as a `Tensor`, a value of a user-defined type as an instance
of the `Box` subclass registered for it. Containers are not wrapped: a dict of parameters stays a dict of Tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np

from ..backward import ancestors
from ..custom import Results
from ..node import recording
from ..primitive import Primitive
from ..tensor import Tensor, apply, raw
from ..transforms import new_input, pullback
from ..tree import flatten
from .transposed import record_vjp

VJPS: dict[Any, Callable[..., Any]] = {}  # function -> (argnums, ans, args, kwargs) -> (g -> gradients)
JVPS: dict[Any, Callable[..., Any]] = {}  # function -> (argnums, tangents, ans, args, kwargs) -> tangent
LINEAR: dict[Any, Callable[[int], bool]] = {}  # function -> (argnum -> is it linear in that argument)


ENDED: WeakSet[Any] = WeakSet()  # input nodes of functions that returned: Tensors of these only are constant


class Box:
    """A value of a user-defined type that is being differentiated; subclass and register it, as in autograd.

    Example:
        >>> class Polynomial: ...
        >>> class PolynomialBox(Box, Polynomial): ...
        >>> PolynomialBox.register(Polynomial)
    """

    type_mappings: ClassVar[dict[type, type[Box]]] = {}
    _value: Any
    _handle: Tensor

    def __str__(self) -> str:
        return f"{type(self).__name__} of {self._value}"

    @classmethod
    def register(cls, value_type: type) -> None:
        """Trace values of the given type as instances of this class."""
        Box.type_mappings[value_type] = cls


def wrap_in_box(value: Any, handle: Tensor) -> Any:
    """Wrap a value of a registered type in its Box; the Tensor `handle` represents the value in the graph."""
    kind = Box.type_mappings[type(value)]
    box = kind.__new__(kind)
    box._value, box._handle = value, handle
    return box


def placeholder() -> Any:
    """Return the 0-d array that represents a value of a user-defined type in the graph."""
    return np.zeros(())


class Cotangent:
    """A cotangent in a user-defined vector space, with the few array attributes that the backward walk reads."""

    __array_ufunc__ = None  # NumPy then returns NotImplemented, so array + cotangent calls __radd__
    shape: ClassVar[tuple[int, ...]] = ()
    dtype: ClassVar[Any] = np.dtype(float)

    def __init__(self, space: Any, value: Any) -> None:
        self.space, self.value = space, value

    def __add__(self, other: Any) -> Cotangent:
        return Cotangent(self.space, self.space.add(self.value, other.value)) if isinstance(other, Cotangent) else self

    __radd__ = __add__  # an operand that is no Cotangent is the zero of a rule that returned None


def isbox(x: Any) -> bool:
    """Tell whether a value is traced, that is, a Tensor or a Box."""
    return isinstance(x, (Tensor, Box))


def getval(x: Any) -> Any:
    """Return a value without its graph, also inside lists, tuples and dicts; a 0-d Tensor becomes a scalar."""
    if isinstance(x, Box):
        return x._value
    if isinstance(x, Tensor):
        return x.data[()]
    if isinstance(x, (list, tuple, dict)):
        leaves, rebuild = flatten(x)
        if any(isbox(leaf) for leaf in leaves):
            return rebuild([getval(leaf) for leaf in leaves])
    return x


def without_ended_graph(x: Any) -> Any:
    """Return a Tensor as its array if all inputs that it depends on are in `ENDED`; other values unchanged."""
    if isinstance(x, Tensor):
        over = x.node is None or all(node in ENDED for node in ancestors((x.node,)) if node.primitive is None)
        return getval(x) if over else x
    return x


def is_live(x: Any) -> bool:
    """Tell whether a gradient may flow through a value or, if it is a container, through one of its leaves."""
    if isinstance(x, Tensor):
        return x.node is not None
    return isinstance(x, Box) or (isinstance(x, (list, tuple, dict)) and any(is_live(leaf) for leaf in flatten(x)[0]))


def primitive(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f as one operation of the graph, which runs on plain arrays; give it rules with `defvjp` or `defjvp`.

    Args:
        f: a function of arrays, containers of arrays, values of registered types, and anything else, returning an
            array, a container of arrays or a value of a registered type. Keyword arguments are not differentiated.

    Returns:
        A function of the same arguments.

    Example:
        >>> from tinygrad_nn.autograd import grad
        >>> from tinygrad_nn.autograd.extend import defvjp
        >>> cube = primitive(lambda x: x**3)
        >>> defvjp(cube, lambda ans, x: lambda g: g * 3 * x**2)
        >>> float(grad(cube)(2.0))
        12.0
    """

    @wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        argnums = tuple(k for k, x in enumerate(args) if is_live(x))
        if not argnums:
            return f(*map(getval, args), **kwargs)
        return _record_call(call, f, argnums, args, kwargs)

    call.fun = f  # type: ignore[attr-defined]
    return call


def notrace_primitive(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f as a function of plain values, through which no gradient flows."""

    @wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        return f(*map(getval, args), **kwargs)

    return call


def _record_call(
    call: Callable[..., Any], f: Callable[..., Any], argnums: tuple[int, ...], args: Any, kwargs: dict[str, Any]
) -> Any:
    """Run f on plain values and record it as one node; the backward walk uses the rules registered for `call`."""
    parts = [flatten(x) for x in args]
    leaves = [leaf for found, _ in parts for leaf in found]
    places = [k for k, leaf in enumerate(leaves) if is_live(leaf)]
    results, value, name = Results(), None, getattr(f, "__name__", "custom").strip("<>")

    def filled(values: Any) -> list[Any]:
        new = iter(_replace_leaves(leaves, places, values))
        return [rebuild([next(new) for _ in found]) for found, rebuild in parts]

    def forward(*given: Any) -> Any:
        nonlocal value
        value = f(*filled(given), **kwargs)
        return placeholder() if type(value) in Box.type_mappings else results.packed(_check_result(value, f))

    def backward(g: Any, out: Any, *given: Any) -> list[Any]:
        arguments = filled(given)
        mine = type(value) in Box.type_mappings
        if isinstance(out, Tensor) and (mine or any(isinstance(leaves[k], Box) for k in places)):
            raise NotImplementedError(f"{name} has a value of a custom type, which can be differentiated only once.")
        ans = value if mine else results.parted(out)
        g = (g.value if isinstance(g, Cotangent) else vspace(value).zeros()) if mine else results.parted(g)
        found = gradients_by_rule(call, argnums, g, ans, arguments, kwargs)
        by_leaf: list[Any] = []
        for k, (flat, _) in enumerate(parts):
            by_leaf += _leaf_gradients(found[k], len(flat)) if k in found else [None] * len(flat)
        return [_check_gradient(by_leaf[k], leaves[k], call) for k in places]

    def tangent_along(n: int, v: Any, *given: Any) -> Any:
        v, *given = map(without_ended_graph, (v, *given))  # type: ignore[assignment]
        tangents = JVPS[call]((n,), (v,), results.parted(raw(run(*given))), filled(given), kwargs)
        return results.packed_tangents(tangents)

    def rule(g: Any, out: Any, *given: Any) -> list[Any]:
        if not (both and isinstance(g, Tensor) and g.node is not None):
            return backward(g, out, *given)
        return [
            record_vjp(
                name, lambda g, out, *xs, i=i: backward(g, out, *xs)[i], partial(tangent_along, n), run, conj, g, given
            )
            for i, n in enumerate(argnums)
        ]

    def run(*given: Any) -> Tensor:
        return apply(operation, given)

    both = call in VJPS and call in JVPS and all(isinstance(args[n], Tensor) for n in argnums)
    operation = Primitive(name, forward, (), rf"\operatorname{{{name}}}(x)", jointly=(rule, "rule(g)"))
    out = apply(operation, tuple(_handle(leaves[k]) for k in places))
    return wrap_in_box(value, out) if type(value) in Box.type_mappings else results.parted(out)


def _handle(leaf: Any) -> Tensor:
    return leaf._handle if isinstance(leaf, Box) else leaf


def _replace_leaves(leaves: list[Any], places: list[int], replacements: Any) -> list[Any]:
    """Return all leaves as plain values, but those at `places` replaced by arrays or Tensors, except Boxes."""
    new = [getval(leaf) for leaf in leaves]
    for k, x in zip(places, replacements, strict=True):
        if not isinstance(leaves[k], Box):
            new[k] = x if isinstance(x, Tensor) else x[()]
    return new


def _check_result(value: Any, f: Callable[..., Any]) -> Any:
    """Return the result of a primitive unchanged, after checking that all its leaves are numbers or arrays.

    Raises:
        TypeError: a leaf is something else.
    """
    for leaf in flatten(value)[0]:
        if isbox(leaf) or np.asarray(leaf).dtype.kind not in "fciub":
            name, kind = getattr(f, "__name__", "the function"), type(leaf).__name__
            raise TypeError(
                f"the primitive {name} returned a {kind}, and gradients flow only through numbers. Return arrays, or "
                f"register the type: a subclass of Box with .register({kind}), and a VSpace with .register({kind})."
            )
    return value


def _leaf_gradients(gradient: Any, count: int) -> list[Any]:
    """Return the gradient of an argument as one gradient per leaf, ``None`` for each if there is none."""
    if gradient is None:
        return [None] * count
    return [gradient] if count == 1 and not isinstance(gradient, (list, tuple, dict)) else flatten(gradient)[0]


def _check_gradient(gradient: Any, leaf: Any, call: Callable[..., Any]) -> Any:
    """Check the gradient that a rule returned for a leaf, and return it in the form that the backward walk accepts.

    Raises:
        ValueError: it is not numeric, or its shape and the leaf's do not broadcast to one of the two.
    """
    if gradient is None:
        return None
    if isinstance(leaf, Box):
        return Cotangent(vspace(leaf), gradient)
    gradient = gradient if isinstance(gradient, Tensor) else np.asarray(gradient)
    try:
        shape: Any = np.broadcast_shapes(gradient.shape, leaf.shape)
    except ValueError:
        shape = None
    if gradient.dtype.kind not in "fciub" or shape not in (gradient.shape, leaf.shape):
        what = f"shape {gradient.shape}" if gradient.dtype.kind in "fciub" else f"dtype {gradient.dtype}"
        raise ValueError(
            f"the rule of {getattr(call, '__name__', 'a primitive')} returned a gradient of {what} for an argument of "
            f"shape {leaf.shape}. Return the shape of the argument, or one that it is broadcast to, as "
            f"numpy.numpy_vjps.unbroadcast_f does."
        )
    return np.broadcast_to(gradient, shape) if shape != gradient.shape else gradient


def gradients_by_rule(
    call: Callable[..., Any], argnums: tuple[int, ...], g: Any, ans: Any, args: list[Any], kwargs: dict[str, Any]
) -> dict[int, Any]:
    """Return the gradients by argument number, from the function's VJP rules or else from its JVP rules, transposed.

    Raises:
        NotImplementedError: the function has neither.
    """
    if call in VJPS:
        return dict(zip(argnums, VJPS[call](argnums, ans, args, kwargs)(g), strict=False))
    if call not in JVPS:
        name = getattr(call, "__name__", "a primitive")
        raise NotImplementedError(
            f"VJP of {name} wrt argnums {argnums} not defined. Write defvjp({name}, lambda ans, x: lambda g: ...), one "
            "maker per argument."
        )
    linear = set(filter(LINEAR[call], argnums)) if call in LINEAR else set()
    found = {n: _transpose_linear(call, n, g, args, kwargs) for n in linear}
    curved = tuple(n for n in argnums if n not in linear)
    with recording(True):
        inputs = [new_input(np.zeros_like(raw(args[n]))) for n in curved]
        moved = JVPS[call](curved, inputs, ans, args, kwargs) if curved else None
    if isinstance(moved, Tensor) and moved.node is not None:
        found |= dict(zip(curved, map(conj, pullback(moved, inputs, conj(g))), strict=True))
    return found


def _transpose_linear(call: Callable[..., Any], n: int, g: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return the gradient of an argument in which a function is linear, by one call per entry of the argument."""
    shape = np.shape(raw(args[n]))
    basis = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.reshape(np.stack([np.sum(g * call(*args[:n], e, *args[n + 1 :], **kwargs)) for e in basis]), shape)


def conj(g: Any) -> Any:
    """Return the conjugate of a complex gradient, which converts between PyTorch's convention and autograd's."""
    if isinstance(g, Cotangent):
        return g
    return np.conj(g) if np.result_type(raw(g)).kind == "c" else g


# -- Vector spaces


class VSpace:
    """The vector space of a value: zeros, ones, a basis, sums, products. Subclass it for a type of your own.

    Args:
        value: any value of the space.

    Example:
        >>> import numpy as np
        >>> vspace(np.ones((2, 3))).zeros().shape
        (2, 3)
    """

    mappings: ClassVar[dict[type, Callable[[Any], VSpace]]] = {}
    iscomplex = False
    add: Callable[..., Any]
    mut_add: Callable[..., Any]
    scalar_mul: Callable[..., Any]
    inner_prod: Callable[..., Any]
    covector: Callable[..., Any]

    def __init__(self, value: Any) -> None:
        pass

    def zeros(self) -> Any:
        """Return the zero vector."""
        raise NotImplementedError(f"{type(self).__name__} has no zeros().")

    def ones(self) -> Any:
        """Return the sum of the basis vectors."""
        raise NotImplementedError(f"{type(self).__name__} has no ones().")

    def standard_basis(self) -> Any:
        """Yield the basis vectors, one after the other."""
        raise NotImplementedError(f"{type(self).__name__} has no standard_basis().")

    def randn(self) -> Any:
        """Return a random vector."""
        raise NotImplementedError(f"{type(self).__name__} has no randn().")

    def _add(self, x: Any, y: Any) -> Any:
        return x + y

    def _mut_add(self, x: Any, y: Any) -> Any:
        return self._add(x, y)

    def _scalar_mul(self, x: Any, a: Any) -> Any:
        return x * a

    def _inner_prod(self, x: Any, y: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no _inner_prod(x, y).")

    def _covector(self, x: Any) -> Any:
        return x

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}_{self.__dict__}"

    @classmethod
    def register(cls, value_type: type, vspace_maker: Callable[[Any], VSpace] | None = None) -> None:
        """Make this class (or the function `vspace_maker`) the vector space of values of the given type."""
        VSpace.mappings[value_type] = vspace_maker or cls


def vspace(value: Any) -> Any:
    """Return the vector space of a value.

    Raises:
        TypeError: no vector space is registered for its type.
    """
    value = getval(value)
    for kind in type(value).__mro__:
        if kind in VSpace.mappings:
            return VSpace.mappings[kind](value)
    name = type(value).__name__
    raise TypeError(
        f"a {name} has no vector space: {value!r:.60}. Pass floats, arrays of floats, or containers of them; a "
        f"type of your own needs a subclass of VSpace with .register({name})."
    )


for operation in ("add", "mut_add", "scalar_mul", "inner_prod", "covector"):

    def _of_space(name: str = f"_{operation}") -> Callable[..., Any]:
        def run(self: Any, *vectors: Any) -> Any:
            return getattr(self, name)(*vectors)

        run.__name__ = name[1:]
        return primitive(run)

    setattr(VSpace, operation, _of_space())


# -- Custom graphs


class Node:
    """Base class for the nodes of a custom graph; `trace` makes one instance of the subclass per operation."""

    def __init__(
        self, value: Any, fun: Any, args: Any, kwargs: Any, parent_argnums: tuple[int, ...], parents: tuple[Any, ...]
    ) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no __init__.")

    def initialize_root(self, *args: Any, **kwargs: Any) -> None:
        """Initialize the node of an input."""

    @classmethod
    def new_root(cls, *args: Any, **kwargs: Any) -> Node:
        """Return the node of an input."""
        root = cls.__new__(cls)
        root.initialize_root(*args, **kwargs)
        return root


def trace(start_node: Node, fun: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """Run a function and make a Node for each operation, in order; return the result and the last Node (or None).

    Args:
        start_node: the Node of the input; the other Nodes are of the same class.
        fun: a function of one array.
        x: the input; integers become floats.
    """
    with recording(True):
        start = new_input(np.asarray(x, float) if np.asarray(x).dtype.kind in "iub" else x)
        out = fun(start)
    if not isinstance(out, Tensor) or out.node is None or start.node is None:
        return getval(out), None
    new_nodes: dict[Any, Any] = {start.node: start_node}
    for node in reversed(ancestors((out.node,), start.node.index)):
        if node is not start.node and node.primitive is not None:
            argnums = tuple(k for k, parent in enumerate(node.parents or ()) if parent in new_nodes)
            parents = tuple(new_nodes[(node.parents or ())[k]] for k in argnums)
            args = tuple(arg[()] if isinstance(arg, np.ndarray) else arg for arg in node.args or ())
            new_nodes[node] = type(start_node)(node.out[()], node.primitive, args, node.meta, argnums, parents)
    return getval(out), new_nodes[out.node]
