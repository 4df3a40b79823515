"""Primitive and `declare`: one row of the table of derivatives, with forward, VJP rules, and the TeX of both.

There is one VJP rule per array argument, with the signature ``(g, out, *inputs, **metadata)``. A rule uses only
declared functions and operators, and may ignore broadcasting: the caller sums its result to the shape of the argument.
So the same rule runs on ndarrays (first order), on Tensors (any order) and on any type with NumPy's protocols.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, ClassVar

import numpy as np

from .common.masked import unmasked

Array = Any  # an ndarray, or anything that behaves like one: a rule need not know which
Rule = tuple[Callable[..., Any], str]

REGISTRY: dict[str, Primitive] = {}
RESERVED: set[str] = set()  # the names of rows in modules that are not loaded yet
OVERRIDES: dict[Any, Callable[..., Any]] = {}  # NumPy function, or (ufunc, method) -> what runs in its place
FINDERS: list[Callable[[Any], Callable[..., Any] | None]] = []  # called in turn if OVERRIDES lacks a function or name
METHODS: dict[str, Callable[..., Any]] = {}  # methods of a Tensor that are neither a primitive nor np.name(t, ...)
ADVISORS: list[Callable[[Any, str], str | None]] = []  # (function without a rule, its name) -> what to write instead
ATTRIBUTES: dict[str, str] = {}  # attribute that ndarrays have and Tensors lack -> what to write instead
NO_METADATA: dict[str, Any] = {}
_PYTORCH = {"dim": "axis", "keepdim": "keepdims"}
try:
    np.negative(0.0, out=...)
    _FILLS = True  # with out=... a ufunc returns a 0-d array instead of a scalar
except TypeError:  # before NumPy 2.3
    _FILLS = False
SHORT, FEW = 8, 256  # NumPy is slow at summing along a short last axis of a large array
_KNOWN = frozenset({np.ndarray, float, int, bool, complex})  # types that need neither conversion nor a funnel


class NamedAxes(TypeError):
    """Raised if an argument is an array with named axes (an xarray), which may itself hold a Tensor as its data."""


class AtEqualValues(Exception):
    """Raised by a compiled gradient if a factorisation has equal eigenvalues or singular values; see degenerate.py."""


class Ties:
    """How the result of a factorisation is not unique when eigenvalues (or singular values) are equal.

    The functions take the result ``out`` of the factorisation and its argument ``x``, stacks of matrices.

    Attributes:
        have_equal: whether each matrix has equal values, up to rounding.
        uses_vectors: takes a cotangent in place of ``out``; whether it is nonzero for any eigen- or singular vector.
        parted: a direction, shaped like ``out``, along which equal values become different.
        rotated: another valid result, with the vectors of equal values mixed by a unitary matrix.
        size: the largest absolute value of each matrix's values, 1 if all are 0.
        refused: passed to a rule as ``unknown=`` while tracing; it raises `AtEqualValues`.
        reason: what a NaN in the gradient means, in words.
        met: whether equal values have occurred in this process.
    """

    met: ClassVar[bool] = False

    def __init__(  # no dataclass: importing that module would take a good part of the import time
        self,
        have_equal: Callable[[Array, Array], Array],
        uses_vectors: Callable[[Array, Array], bool],
        parted: Callable[[Array, Array], Array],
        rotated: Callable[[Array, Array], Array],
        size: Callable[[Array, Array], Array],
        refused: Primitive,
        reason: str,
    ) -> None:
        self.have_equal, self.uses_vectors, self.parted, self.rotated = have_equal, uses_vectors, parted, rotated
        self.size, self.refused, self.reason = size, refused, reason


class Primitive:
    r"""A function with a forward and hand-written VJP rules: one row of the table of derivatives.

    Made by `declare`. Calling it runs the forward; if an argument is a Tensor the call is recorded in its graph.

    Attributes:
        name: the key in `REGISTRY` and the label in drawings.
        forward: the function on plain arrays.
        tex: the TeX of ``out`` in terms of ``x, y, ...``.
        vjps: one rule per array argument, ``None`` for an argument that is not differentiable.
        jointly: instead of `vjps`, one rule that returns the gradients of all arguments, however many there are.
        rule_tex: the TeX of each rule, in terms of ``g``, ``out`` and the arguments.
        saves: intermediate results that the forward passes to the rules by keyword, each with a declared function of
            the inputs that computes it again if the rule itself is differentiated.
        domain: an interval per array argument in which the function is smooth (for checks and the docs).
        kinks: what the derivative is defined to be where it does not exist, in words.
        ties: for a factorisation only, see `Ties`; its rule then takes ``along=``, the derivative of the cotangent in
            a direction that makes equal values different, if that is known.
        linear: the arguments in which the forward is linear while the others are fixed: their positions, or ``"each"``;
            ``"together"`` if it is linear in all of them at once. Forward mode then runs the forward on tangents.
        entrywise: whether each entry of the result depends only on the same entry of each argument, once these are
            broadcast. Forward mode then runs the rules on tangents.
        fills: whether the forward is a ufunc that with ``out=...`` returns a 0-d array instead of a scalar.
        adds: ``adds(g, out, total, *others, **metadata)`` adds the gradient of the first argument, the only one with a
            rule, to an array of its shape, in place, and returns that, or ``None`` if the rule must do it.
        special: whether `ties` or `adds` is set.

    Example:
        >>> import tinygrad_nn
        >>> tinygrad_nn.primitive.REGISTRY["sin"].tex
        '\\sin x'
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        vjps: Sequence[Rule | None],
        tex: str,
        *,
        jointly: Rule | None = None,
        saves: Mapping[str, Callable[..., Any]] | None = None,
        domain: Sequence[tuple[float, float]] | None = None,
        kinks: str | None = None,
        numpy: Sequence[Any] = (),
        ties: Ties | None = None,
        linear: Sequence[int] | str = (),
        entrywise: bool | None = None,
    ) -> None:
        self.name = self.__name__ = name
        self.forward = forward
        self.tex = tex
        self.vjps = tuple(rule and rule[0] for rule in vjps)
        self.jointly = jointly and jointly[0]
        self.rule_tex = (jointly[1],) if jointly else tuple(rule and rule[1] for rule in vjps)
        self.arity = len(vjps)
        self.saves = dict(saves or {})
        self.domain = tuple(domain or ())
        self.kinks = kinks
        self.ties, self.special = ties, ties is not None
        self.adds: Callable[..., Any] | None = None
        self.linear = linear
        ufunc = isinstance(forward, np.ufunc) and forward.signature is None
        self.entrywise = ufunc if entrywise is None else entrywise
        self.fills = _FILLS and isinstance(forward, np.ufunc) and forward.nin < 3 and forward.nout == 1
        self.numpy = tuple(numpy)
        self.composed: dict[str, Callable[..., Any]] = {}  # option -> function to run if its value requires gradients
        self.__doc__ = forward.__doc__
        if not isinstance(forward, np.ufunc):
            self.__wrapped__ = forward  # inspect.signature looks there

    @cached_property  # reading every signature at import would take a good part of the import time
    def parameters(self) -> tuple[inspect.Parameter, ...]:
        """The parameters of the forward, arrays first; empty for a ufunc or a C function without a signature."""
        if isinstance(self.forward, np.ufunc):
            return ()
        try:
            return tuple(inspect.signature(self.forward).parameters.values())
        except ValueError:
            return ()

    @cached_property
    def metadata(self) -> tuple[str, ...]:
        """The names of the metadata, in order."""
        return tuple(p.name for p in self._options)

    @cached_property
    def options(self) -> frozenset[str]:
        """The names of the metadata."""
        return frozenset(self.metadata)

    @cached_property
    def positional(self) -> int:
        """How many arguments may be given by position."""
        return self.arity + sum(p.kind is not p.KEYWORD_ONLY for p in self._options)

    @property
    def _options(self) -> list[inspect.Parameter]:
        return [p for p in self.parameters if p.kind is not p.VAR_POSITIONAL][self.arity :]

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> Any:
        """Copy and pickle the primitive by its name in `REGISTRY`."""
        return registered, (self.name,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the forward on plain arrays; if an argument is a Tensor, call its funnel, which records the operation."""
        if not kwargs and len(args) == self.arity:
            arrays, metadata = args, NO_METADATA
        else:
            arrays, metadata = self.bind(args, kwargs)
        of_option = None  # the funnel of an option that is, or contains, a Tensor of a trace or a vmap
        for name, value in metadata.items() if metadata else ():
            if (kind := type(value)) in _KNOWN:
                continue
            if hasattr(kind, "_funnel"):
                if value.requires_grad and name in self.composed:
                    return self.composed[name](*arrays, **metadata)
                value = value._array_for_option(f"{self.name}(..., {name}=)")
                metadata = {**metadata, name: value}
            for part in value if type(value) is tuple else (value,):
                of_option = of_option or getattr(type(part), "_funnel", None)
        for array in arrays:
            if type(array) not in _KNOWN:
                funnel = getattr(type(array), "_funnel", None)
                if funnel is not None:
                    return funnel(self, arrays, metadata)
                if isinstance(array, (list, tuple)) and not self.jointly:
                    given = [as_constant(a, self) if isinstance(a, (list, tuple)) else a for a in arrays]
                    return self(*given, **metadata)
        if of_option is not None:
            return of_option(self, arrays, metadata)
        try:
            out = self.forward(*arrays, **metadata)
        except (TypeError, AttributeError):
            for array in sorted(arrays, key=lambda array: array is None):  # None may be an option that is left out
                as_constant(array, self)  # raises, and says what is no array of numbers
            raise
        return out[0] if self.saves else out

    def evaluate(self, args: Iterable[Any], metadata: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        """Return the result of the forward on plain arrays, without what it saves for the rules."""
        out = self.forward(*args, **metadata)
        return np.asarray(out[0] if self.saves else out)

    def call_meta(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Return the metadata of a Node as the operation was called with them: without what the forward saved."""
        return {key: value for key, value in metadata.items() if key not in self.saves} if self.saves else metadata

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Split a call's arguments into the arrays, in order, and the metadata, by name."""
        if self.jointly:
            arrays, metadata = args, kwargs
        elif len(args) == self.arity and self.options.issuperset(kwargs):
            return args, kwargs or NO_METADATA
        else:
            arrays, metadata = self._bind_by_name(args, dict(kwargs))
        unknown = [name for name in metadata if name not in self.metadata]
        if unknown:
            metadata = numpy_options(metadata, self.metadata)
            unknown = [name for name in metadata if name not in self.metadata]
        if unknown:
            from .common.spelling import did_you_mean

            takes, hint = ", ".join(self.metadata) or "no keyword at all", did_you_mean(unknown[0], self.metadata)
            raise TypeError(f"{self.name} of a Tensor does not take {unknown[0]}=; it takes {takes}.{hint}")
        axes = metadata.get("axis")  # several are a list in PyTorch and a tuple in NumPy
        return arrays, {**metadata, "axis": tuple(axes)} if isinstance(axes, list) else metadata

    def _bind_by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if len(args) > self.positional:
            raise TypeError(f"{self.name} takes at most {self.positional} arguments by position; it got {len(args)}.")
        if kwargs.get("out", self) is None:
            del kwargs["out"]
        if len(args) < self.arity:  # arrays given by keyword
            for parameter in self.parameters[len(args) : self.arity]:
                if parameter.name not in kwargs:
                    raise TypeError(f"{self.name} needs the argument {parameter.name!r}.")
                args = (*args, kwargs.pop(parameter.name))
        if len(args) < self.arity:
            raise TypeError(f"{self.name} needs {self.arity} arrays; it got {len(args)}.")
        return args[: self.arity], dict(**dict(zip(self.metadata, args[self.arity :], strict=False)), **kwargs)


def numpy_options(options: dict[str, Any], known: Iterable[str] = ("axis", "keepdims")) -> dict[str, Any]:
    """Rename PyTorch's dim and keepdim to NumPy's axis and keepdims, if those are in `known` and not given already."""
    names = {theirs: ours for theirs, ours in _PYTORCH.items() if ours in known and ours not in options}
    return {names.get(name, name): value for name, value in options.items()}


def registered(name: str) -> Primitive:
    """Return the primitive of this name."""
    if name not in REGISTRY:
        find_replacement(name)  # loads the module that contains its row
    return REGISTRY[name]


# Stands for a number that is not known. It keeps zeros and turns any other entry, and every derivative, into NaN.
NOT_KNOWN = (lambda g, out, x: undetermined(g), r"\text{NaN}")
undetermined: Primitive = Primitive("undetermined", lambda x: np.where(x == 0, x, np.nan), [NOT_KNOWN], "x")


def declare(
    forward: Callable[..., Any],
    tex: str,
    *rules: Rule | None,
    name: str | None = None,
    numpy: Any = (),
    jointly: Rule | None = None,
    saves: Mapping[str, Callable[..., Any]] | None = None,
    domain: Sequence[tuple[float, float]] | None = None,
    kinks: str | None = None,
    ties: Ties | None = None,
    linear: Sequence[int] | str = (),
    entrywise: bool | None = None,
) -> Primitive:
    r"""Declare a primitive: its forward, its equation, and one VJP rule per array argument.

    .. math:: \bar x = \left(\partial out / \partial x\right)^T g

    Args:
        forward: a function of arrays, then metadata by keyword; it returns a new array, or ``(array, saved)`` with a
            dict of intermediate results if `saves` names them. A NumPy ufunc serves as it is.
        tex: the TeX of the result, with ``x, y, ...`` for the arguments.
        *rules: per array argument ``(vjp, tex)`` or ``None``. ``vjp(g, out, *inputs, **metadata)`` takes the cotangent
            ``g`` (shape of ``out``) to the argument's gradient, before broadcasting is undone.
        name: by default the name of `forward` without leading underscores.
        numpy: the NumPy function, or functions, that this one stands in for when called on a Tensor.
        jointly: instead of `rules`, for a forward over ``*arrays``: one rule that returns all their gradients.
        saves: name -> function of ``(*inputs, **metadata)``, for each intermediate that the forward hands to the rules.
        domain: for each array argument an interval in which the function is smooth; the default is (-2, 2).
        kinks: what the derivative is defined to be where it does not exist, in words.
        ties: for a factorisation only: how its result is not unique at equal values, see `Ties`.
        linear: the arguments in which `forward` is linear while the others are fixed: their positions, or ``"each"``;
            ``"together"`` if it is linear in all of them at once. Optional; it makes forward mode faster.
        entrywise: whether each entry of the result depends only on the same entry of each argument, as for a ufunc.
            Optional; it makes forward mode faster.

    Returns:
        The primitive, which is also in `REGISTRY`, a method of Tensor, and subject to the table-driven tests.

    Raises:
        ValueError: the name is taken, there is no rule, or the TeX is empty.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import Tensor, declare
        >>> cube = declare(lambda x: x**3, r"x^3", (lambda g, out, x: g * 3 * x**2, r"3 x^2 g"), name="cube")
        >>> t = Tensor(2.0)
        >>> cube(t).backward(); print(t.grad)
        12.0
    """
    name = name or getattr(forward, "__name__", "").lstrip("_")
    replaced = tuple(numpy) if isinstance(numpy, (tuple, list)) else (numpy,)
    for function in replaced:
        if not callable(function):
            raise TypeError(f"{name}: numpy= takes a function such as np.sin, not {function!r}.")
        if function in OVERRIDES:
            raise ValueError(
                f"{numpy_name(function)} has a rule already, so {name} would never run in its place; leave out numpy= "
                "and call the primitive itself, or use custom_vjp."
            )
    if isinstance(forward, np.ufunc):
        replaced = (forward, *replaced)
    if not name.isidentifier():
        raise ValueError(f"a primitive needs a name; {name!r} is not one. Pass name='...' to declare.")
    if name in REGISTRY or name in RESERVED:
        raise ValueError(f"a primitive named {name!r} is declared already; choose another name.")
    if not rules and jointly is None:
        raise ValueError(f"{name} has no rule; pass (vjp, tex) per array argument, or None if it has no gradient.")
    if not all([tex, *(rule[1] for rule in (*rules, jointly) if rule)]):
        raise ValueError(f"{name} has a rule without an equation; write its TeX beside it.")
    primitive = Primitive(
        name, forward, rules, tex,
        jointly=jointly, saves=saves, domain=domain, kinks=kinks, numpy=replaced, ties=ties,
        linear=linear, entrywise=entrywise,
    )  # fmt: skip
    REGISTRY[name] = primitive
    for function in replaced:
        OVERRIDES.setdefault(function, primitive)
    return primitive


def sum_to(g: Array, shape: tuple[int, ...], by: Primitive | None = None) -> Array:
    """Sum a gradient over the axes along which an argument of this shape was broadcast; errors name the primitive `by`.

    Example:
        >>> import numpy as np
        >>> sum_to(np.ones((5, 3)), (1, 3))
        array([[5., 5., 5.]])
    """
    extra, given = g.ndim - len(shape), g.shape
    if extra > 0:
        g = g.sum(axis=0 if extra == 1 else tuple(range(extra)))
    if g.shape == shape:
        return g
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape, strict=True)):
        whose = "a VJP rule" if by is None else f"the VJP rule of {by.name}"
        raise ValueError(f"{whose} returned a gradient of shape {given} for an argument of shape {shape}.")
    axes = tuple([i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1])
    short = axes == (g.ndim - 1,) and g.shape[-1] < SHORT and g.size > FEW
    if short and type(g) is np.ndarray and g.dtype.char in "fd":
        total = 0.0 + g[..., 0]  # the same result to the last bit as g.sum, up to ten times as fast
        for k in range(1, g.shape[-1]):
            total += g[..., k]
        return total[..., None]
    return g.sum(axis=axes, keepdims=True)


def as_constant(arg: Any, primitive: Primitive) -> Any:
    """Convert a constant argument, such as a list, to an array; raise if it holds Tensors or anything but numbers."""
    if hasattr(type(arg), "__array_ufunc__") and hasattr(type(arg), "dims"):
        raise NamedAxes(f"{primitive.name} of a Tensor and a {type(arg).__name__}: write it as an operator, t * a.")
    if isinstance(arg, int):
        return int(arg)  # a Python number, whose type does not change that of an array
    array = np.asarray(unmasked(arg))
    if array.dtype.kind in "OUS":
        mixed = " Numbers and Tensors mixed in a list become one Tensor with np.stack([...]) or np.concatenate([...])."
        told = f"{primitive.name} got a {type(arg).__name__} that is not an array of numbers: {arg!r:.60}."
        raise TypeError(told + mixed * isinstance(arg, (list, tuple)))
    return array


def call_ufunc(handler: Callable[..., Any], inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a ufunc's replacement with the ufunc's keywords; ``dtype=`` casts the arguments, ``where=`` is refused."""
    if kwargs.get("where", True) is not True:
        name = handler.__name__.lstrip("_")
        raise TypeError(
            f"np.{name}(..., where=mask) leaves the other entries undefined, so they have no derivative. Give their "
            f"values: np.where(mask, np.{name}(...), other)."
        )
    options = {key: value for key, value in kwargs.items() if key not in ("where", "order", "subok")}
    if "dtype" in options or "casting" in options:
        dtype, casting = options.pop("dtype", None), options.pop("casting", "same_kind")
        if dtype is not None:
            inputs = tuple(
                x if isinstance(x, (int, float, complex)) else
                (x if hasattr(x, "astype") else np.asarray(x)).astype(dtype, casting=casting)
                for x in inputs
            )  # fmt: skip
    return handler(*inputs, **options)


def call_function(function: Any, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a NumPy function's replacement, with arguments that were given by position or by keyword.

    Replacements call the first argument x and have no positional out, so ``np.sum(a=t)`` and
    ``np.max(t, 0, None, True)`` are rearranged first.
    """
    if not args or len(args) > 2:
        names = _positional(function)
        if not args and names and names[0] in kwargs:
            kwargs = dict(kwargs)
            args = (kwargs.pop(names[0]),)
        if "out" in names[: len(args)]:
            out = names.index("out")
            kwargs = {**dict(zip(names[out:], args[out:], strict=False)), **kwargs}
            args = args[:out]
    return handler(*args, **kwargs)


@cache
def _positional(function: Any) -> list[str]:
    """Return the names of the arguments that a NumPy function accepts by position or by keyword."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, without a signature
        return []
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def numpy_name(function: Any) -> str:
    """Return the name under which users call a NumPy function, a NumPy or SciPy ufunc, or a ufunc's method."""
    if isinstance(function, tuple):
        return f"{numpy_name(function[0])}.{function[1]}"
    name = function.__name__
    if isinstance(function, np.ufunc):
        for module, place in (("numpy", "np"), ("numpy.strings", "np.strings"), ("scipy.special", "scipy.special")):
            if getattr(sys.modules.get(module), name, None) is function:
                return f"{place}.{name}"
        return f"np.{name}" if hasattr(np, "_core") and hasattr(np._core.umath, name) else name
    module = (getattr(function, "__module__", None) or "numpy").replace("lib.scimath", "emath")
    inner = ("numpy.linalg", "numpy.fft", "numpy.lib", "numpy.emath", "numpy.strings", "numpy.polynomial")
    place = module.replace("numpy", "np", 1) if module.startswith(inner) else "np"
    return f"{place.replace('._stride_tricks_impl', '.stride_tricks')}.{name}"


def find_replacement(function: Any) -> Callable[..., Any] | None:
    """Return the replacement of a NumPy function or of another library's ufunc for Tensors; None if there is none.

    Given a name instead, load the module that declares the primitive of that name, and return the primitive.
    """
    return OVERRIDES.get(function) or next(filter(None, (find(function) for find in FINDERS)), None)


def no_rule(function: Any) -> TypeError:
    """Return the error for a function without a derivative rule: it says why, and what to write instead."""
    name = numpy_name(function)
    lines = [line for line in (advise(function, name) for advise in ADVISORS) if line]
    if not lines:
        ufunc, method = function if isinstance(function, tuple) else (function, "")
        declared = f", numpy={name}" if not method else ""
        given = ", ".join(["t.data"] * getattr(ufunc, "nin", 1))
        plain = f"For a plain value write {name}({given}); to differentiate it, declare a rule:"
        lines = [f"{plain} tinygrad_nn.declare(forward, tex, (vjp, tex){declared})."]
    return TypeError(f"{name} has no derivative rule here, so its result would silently lose the graph. {lines[0]}")


def add_shapes(error: ValueError, primitive: Primitive, raw: list[Any]) -> None:
    """Add the shapes of the arguments, and a hint, to NumPy's error message if they are missing from it."""
    from .common.display import shape_hint

    shapes = [np.shape(arg) for arg in raw]
    text = str(error)
    if len(raw) > 1 and not all(str(shape) in text for shape in shapes):
        met = f"{primitive.name} of arrays of shapes {' and '.join(map(str, shapes))}"
        error.args = (f"{text.rstrip()} ({met}){shape_hint(primitive.name, shapes)}",)
