"""``torch.autograd``: Function with a hand-written backward, gradients of a result, and gradient checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import transforms
from ..backward import ancestors, detect_anomaly
from ..common.printable import counted
from ..common.spelling import no_attribute, numpy_hint
from ..custom import custom_vjp
from ..gradcheck import assert_gradients, check_gradients
from ..node import no_grad, recording
from ..tensor import Tensor, raw
from .constructors import constant

__all__ = [
    "Context", "Function", "Variable", "backward", "detect_anomaly", "functional", "grad", "gradcheck",
    "gradgradcheck", "no_grad",
]  # fmt: skip
_ELSEWHERE = {
    "function": "Write def backward without @once_differentiable: it is differentiated only where that is asked for.",
    "profiler": "Write tinygrad_nn.profile(step).",
}  # fmt: skip


def __getattr__(name: str) -> object:
    raise no_attribute("torch.autograd", name, __all__, _ELSEWHERE)


def Variable(data: Any, requires_grad: bool = False) -> Any:
    """Return a leaf with the data of a Tensor, with gradients if asked for: PyTorch before 0.4 had two types."""
    return constant(data).detach().requires_grad_(requires_grad)


class Names(SimpleNamespace):
    """A namespace, such as ``torch.linalg``, whose error for an unknown name says what to write instead."""

    def __init__(self, _called: str, **names: Any) -> None:
        super().__init__(_called=_called, **names)

    __name__ = property(lambda self: self._called)  # for the error of an import line

    def __getattr__(self, name: str) -> Any:
        if name[0] == "_":
            raise AttributeError(name)
        elsewhere = {each: f"Write tinygrad_nn.{each}, with functions of arrays." for each in ("vjp", "jvp", "hvp")}
        if hint := numpy_hint(name):
            elsewhere[name] = hint
        raise no_attribute(self._called, name, vars(self), elsewhere)


class Context:
    """Passes saved Tensors, and any attribute that is set on it, from `Function.forward` to `Function.backward`."""

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self._now: Callable[[Any], Any] = lambda saved: saved

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep Tensors for `backward`."""
        self._saved = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Accept results without a gradient, as PyTorch does; `backward` gets zeros for them."""

    def set_materialize_grads(self, value: bool) -> None:
        """Accept any value, as PyTorch does; `backward` gets zeros for a result that is not used."""

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The saved Tensors; inputs and results have their graph if `backward` itself is differentiated."""
        return tuple(self._now(t) for t in self._saved)


class Function:
    r"""A function with a hand-written derivative, in PyTorch's form: two static methods, and ``apply``.

    .. math:: (\bar x, \bar y, \dots) = backward(\overline{out})

    ``forward(ctx, *inputs)`` computes from Tensors without a graph, ``backward(ctx, grad_output)`` returns the gradient
    of each input, ``None`` if there is none. If backward uses functions of Tensors, it can itself be differentiated.

    Raises:
        ValueError: (when gradients are computed) backward did not return one gradient per input of forward.

    Example:
        >>> class Cube(Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x**3
        ...     @staticmethod
        ...     def backward(ctx, grad_output):
        ...         (x,) = ctx.saved_tensors
        ...         return grad_output * 3 * x**2
        >>> x = Tensor([1.0, 2.0])
        >>> Cube.apply(x).sum().backward()
        >>> x.grad
        array([ 3., 12.])
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        """Compute the result; every subclass writes its own."""
        raise NotImplementedError("write @staticmethod def forward(ctx, x): ... in your Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient of each input; every subclass writes its own."""
        raise NotImplementedError("write @staticmethod def backward(ctx, grad_output): ... in your Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what `backward` needs; a subclass that writes it has a forward without ctx."""
        raise NotImplementedError("write @staticmethod def setup_context(ctx, inputs, output): ... in your Function.")

    def __call__(self, *inputs: Any) -> Any:
        """Raise, since a Function is not created."""
        name = type(self).__name__
        raise TypeError(f"a Function is called by its class: write {name}.apply(x) instead of {name}()(x).")

    @classmethod
    def apply(cls, *inputs: Any) -> Any:
        """Call the function, and record it as one operation with `backward` as its rule."""
        ctx = Context()
        ctx.needs_input_grad = tuple(isinstance(x, Tensor) and x.requires_grad for x in inputs)
        forward_tensors: list[Any] = []  # inputs and results of forward, in the order of the rule's arrays and results

        def forward(*arrays: Any) -> Any:
            given = [constant(a) if isinstance(x, Tensor) else x for a, x in zip(arrays, inputs, strict=True)]
            if cls.setup_context is Function.setup_context:
                out = cls.forward(ctx, *given)
            else:
                out = cls.forward(*given)
                cls.setup_context(ctx, tuple(given), out)
            forward_tensors[:] = (*given, *_as_tuple(out))
            return tuple(map(raw, out)) if isinstance(out, (list, tuple)) else raw(out)

        def rule(g: Any, out: Any, *arrays: Any) -> Any:
            now = {id(t): constant(a) for t, a in zip(forward_tensors, (*arrays, *_as_tuple(out)), strict=True)
                   if isinstance(t, Tensor)}  # fmt: skip
            ctx._now = lambda t: now.get(id(t), t)
            arriving = _as_tuple(g)
            found = _as_tuple(cls.backward(ctx, *map(constant, arriving)))
            if not any(part is not None for part in found[len(inputs) :]):
                found = found[: len(inputs)]  # those of inputs that were left out, as PyTorch allows
            if len(found) != len(inputs):
                raise ValueError(
                    f"{cls.__name__}.backward returned {counted(len(found), 'gradient')} for the {len(inputs)} "
                    "inputs of forward; return one for each, None if it has none."
                )
            live = any(isinstance(part, Tensor) for part in arriving)  # the gradient is being differentiated
            bare = found if live else tuple(map(raw, found))
            return bare[0] if len(inputs) == 1 else bare

        forward.__name__ = cls.__name__
        return custom_vjp(forward, rule)(*inputs)


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (list, tuple)) else (x,)


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    *, only_inputs: bool = True, allow_unused: bool = False, materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Return the gradients of a result with respect to Tensors, without touching their ``.grad``.

    Args:
        outputs: a Tensor, of one entry unless grad_outputs is given; or several, whose gradients are summed.
        inputs: a Tensor, or several.
        grad_outputs: the gradient of the result, of its shape; or one for each result.
        retain_graph, only_inputs: have no effect: no graph is freed here, and no other Tensor gets a gradient.
        create_graph: whether the gradients can be differentiated again; if not, they are constants.
        allow_unused: whether an input on which no result depends gets ``None``; otherwise it gets zeros, where PyTorch
            raises an error.
        materialize_grads: whether it gets zeros also with allow_unused=True.

    Raises:
        ValueError: the result has several entries and there is no grad_outputs.
        RuntimeError: an input is a constant.

    Example:
        >>> x = Tensor([1.0, 2.0])
        >>> (first,) = grad((x**3).sum(), x, create_graph=True)
        >>> grad(first.sum(), x)[0].data
        array([ 6., 12.])
    """
    if isinstance(outputs, (tuple, list)):
        given = [None] * len(outputs) if grad_outputs is None else grad_outputs
        each = (grad(out, inputs, g, None, create_graph, allow_unused=allow_unused, materialize_grads=materialize_grads)
                for out, g in zip(outputs, given, strict=True))  # fmt: skip
        used = ([part for part in parts if part is not None] for parts in zip(*each, strict=True))
        return tuple(sum(parts[1:], parts[0]) if parts else None for parts in used)
    if grad_outputs is None and outputs.size != 1:
        raise ValueError(f"grad: the result has shape {outputs.shape}; take its sum or mean, or pass grad_outputs.")
    several: Sequence[Tensor] = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not all(getattr(t, "requires_grad", False) for t in several):
        raise RuntimeError(
            "grad: an input is a constant, so nothing was recorded for it. Write x = torch.tensor(data, "
            "requires_grad=True), or x.requires_grad_() before the result is computed."
        )
    g = np.ones_like(outputs.data) if grad_outputs is None else grad_outputs
    g = constant(g) if create_graph else raw(g)
    with recording(create_graph):
        found = map(constant, transforms.pullback(outputs, several, g))
    made = tuple(found) if create_graph else tuple(t.detach() for t in found)
    if not allow_unused or materialize_grads:
        return made
    reached = set(ancestors([] if outputs.node is None else [outputs.node]))
    return tuple(g if t.node in reached else None for g, t in zip(made, several, strict=True))


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None) -> None:
    """Add the gradients of one or several results to the ``.grad`` of the leaves, in one walk.

    Args:
        tensors: a Tensor, or several.
        grad_tensors: the gradient of each, of its shape; ``None`` for results of one entry.
        retain_graph: whether the graph can be walked again.
    """
    given = grad_tensors if isinstance(grad_tensors, (tuple, list)) else [grad_tensors] * len(_as_tuple(tensors))
    parts = [t if g is None else (t * raw(g)).sum() for t, g in zip(_as_tuple(tensors), given, strict=True)]
    sum(part.reshape(()) for part in parts).backward(retain_graph=bool(retain_graph))


def gradcheck(func: Any, inputs: Any, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, **options: Any) -> bool:  # fmt: skip
    """Compare the gradients of a function with numerical ones, by `check_gradients`; eps, atol and rtol are ignored.

    Raises:
        AssertionError: they differ, and raise_exception is true.
    """
    return _check_derivatives(func, inputs, 1, raise_exception)


def gradgradcheck(func: Any, inputs: Any, raise_exception: bool = True, **options: Any) -> bool:
    """Compare first and second derivatives with numerical ones, as `gradcheck` does for the first."""
    return _check_derivatives(func, inputs, 2, raise_exception)


def _check_derivatives(func: Any, inputs: Any, order: int, raise_exception: bool) -> bool:
    bare = [x.data if isinstance(x, Tensor) and x.requires_grad else x for x in _as_tuple(inputs)]
    if raise_exception:
        assert_gradients(func, *bare, order=order)
    return raise_exception or bool(check_gradients(func, *bare, order=order).ok)


def in_tensors(found: Any) -> Any:
    """Return arrays as Tensors, also in dicts, lists and tuples; other values are unchanged."""
    if isinstance(found, dict):
        return {key: in_tensors(part) for key, part in found.items()}
    if isinstance(found, (list, tuple)):
        return tuple(map(in_tensors, found))
    return constant(found) if isinstance(found, (np.ndarray, np.generic, float, complex)) else found


def in_torch_form(of: Callable[..., Any]) -> Callable[..., Any]:
    """Return `grad`, `jacobian` or `hessian` in the form of ``torch.func``: the function it makes returns Tensors."""

    def make(func: Any, argnums: Any = 0, has_aux: bool = False, *, chunk_size: int | None = None) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            function = WithoutAux(func, has_aux, kwargs)
            found = in_tensors(of(function, argnums=argnums)(*args))
            return (found, function.aux) if has_aux else found

        return call

    return make


class WithoutAux:
    """A function with some options given, which keeps the second of its results, `aux`, if it returns two."""

    def __init__(self, func: Callable[..., Any], has_aux: bool, options: Mapping[str, Any]) -> None:
        self.func, self.has_aux, self.options = func, has_aux, options
        self.__name__ = getattr(func, "__name__", type(func).__name__)
        self.aux: Any = None

    def __call__(self, *args: Any) -> Any:
        found = self.func(*args, **self.options)
        if not self.has_aux:
            return found
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise TypeError(f"has_aux=True needs a function that returns (value, aux); it returned {found!r:.60}.")
        self.aux = without_graph(found[1])
        return found[0]


def without_graph(value: Any) -> Any:
    """Return a value with its Tensors detached, also in dicts, lists and tuples."""
    if isinstance(value, dict):
        return {key: without_graph(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(without_graph, value))
    return value.detach() if isinstance(value, Tensor) else value


def every_second_derivative(func: Any, argnums: Any = 0) -> Callable[..., Any]:
    """Return the function that computes the Hessian of each entry of the result, which may have several."""

    def call(*args: Any) -> Any:
        if np.ndim(raw(func(*args))) == 0:
            return transforms.hessian(func, argnums)(*args)
        return transforms.jacobian(transforms.jacobian(func, argnums), argnums)(*args)

    return call


def _functional_form(of: Callable[..., Any]) -> Callable[..., Any]:
    """Return `jacobian` or `hessian` in the form of ``torch.autograd.functional``: called with function and inputs."""

    def call(func: Any, inputs: Any, **options: Any) -> Any:
        several = isinstance(inputs, (tuple, list))
        return in_torch_form(of)(func, tuple(range(len(inputs))) if several else 0)(*_as_tuple(inputs))

    return call


def _product(of: Callable[..., Any]) -> Callable[..., Any]:
    """Return a product with a derivative in the form of ``torch.autograd.functional``: (value, product)."""

    def call(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
        several = isinstance(inputs, (tuple, list))
        value, found = of(func, _as_tuple(inputs), None if v is None else tuple(map(raw, _as_tuple(v))))
        return in_tensors((value, found if several or of is _jvp else found[0]))

    return call


def _vjp(func: Any, inputs: tuple[Any, ...], v: Any) -> Any:
    value, pull = transforms.vjp(func, *inputs)
    return value, pull(np.ones_like(raw(value)) if v is None else v[0])


def _jvp(func: Any, inputs: tuple[Any, ...], v: Any) -> Any:
    return transforms.jvp(func, inputs, [np.ones_like(raw(x)) for x in inputs] if v is None else v)


def _hvp(func: Any, inputs: tuple[Any, ...], v: Any) -> Any:
    v = tuple(np.ones_like(raw(x)) for x in inputs) if v is None else v
    return func(*inputs), transforms.hvp(lambda several: func(*several), (inputs,), v)


functional = Names(
    "torch.autograd.functional",
    jacobian=_functional_form(transforms.jacobian), hessian=_functional_form(transforms.hessian),
    vjp=_product(_vjp), jvp=_product(_jvp), hvp=_product(_hvp), vhp=_product(_hvp),
)  # fmt: skip
