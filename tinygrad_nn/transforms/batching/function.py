"""`vmap`: turns a function of one sample into a function of all samples of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ...common.masked import unmasked
from ...common.printable import counted, printable
from ...tensor import Tensor, wrap
from ...tree import Tree, children, described, flatten
from .mapped import Level, mapped_behind


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    r"""Return a function that applies f to each sample of a batch, to all of them in one run.

    .. math:: (x_1, \dots, x_n) \mapsto (f(x_1), \dots, f(x_n))

    Args:
        f: a function of arrays, or containers of arrays, returning an array or containers of arrays. It sees Tensors
            of the shape of one sample. Which operations it runs must not depend on their values: use np.where in place
            of `if`.
        in_axes: the axis along which an argument has its samples; None for an argument that all samples share. Either
            one number for all arguments, or a tuple with an entry for each positional argument. Such an entry is one
            number for all arrays of a container, or a container of numbers like the argument. Keyword arguments are
            mapped along their first axis.
        out_axes: likewise, the axis along which the results have their samples; None for a result that is the same for
            all samples.

    Returns:
        A function of the same arguments. Given arrays it returns arrays, given Tensors it returns Tensors with their
        graph. Arguments that are not arrays, such as a flag, a module or a random generator, are passed on unchanged.

    Raises:
        ValueError: nothing is mapped, or the arguments have different numbers of samples.
        TypeError: f reads a value, or returns something that is not an array.

    Example:
        >>> from tinygrad_nn import grad
        >>> loss = lambda w, x, y: (w @ x - y) ** 2
        >>> w, X, y = np.array([1.0, 2.0]), np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([0.0, 1.0])
        >>> vmap(grad(loss), in_axes=(None, 0, 0))(w, X, y)
        array([[2., 0.],
               [4., 4.]])
    """
    if not callable(f):
        raise TypeError(f"vmap takes a function of one sample; it got {f!r:.60} of type {type(f).__name__}.")
    name = printable(getattr(f, "__name__", type(f).__name__))

    def of_all(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, (tuple, list)) and len(in_axes) != len(args):
            raise ValueError(
                f"in_axes={in_axes} has {counted(len(in_axes), 'entry')}, and {name} was called with "
                f"{counted(len(args), 'argument')} by position; give one for each, None for an argument "
                "that all samples share."
            )
        leaves, rebuild = flatten([list(args), kwargs])
        each = list(in_axes) if isinstance(in_axes, (tuple, list)) else [in_axes] * len(args)
        axes = _per_leaf([each, 0], [list(args), kwargs], "in_axes", name)
        sizes: dict[int, str] = {}
        for place, (x, axis) in enumerate(zip(leaves, axes, strict=True)):
            if not _can_map(x) or axis is None:
                axes[place] = None
                continue
            if np.ndim(x) == 0:
                raise ValueError(
                    f"vmap of {name}: {x!r:.40} is one number and has no axis of samples. If all samples share it, "
                    "write None for it in in_axes, or bind it: lambda x: f(x, number)."
                )
            axes[place] = axis = normalize_axis_index(axis, np.ndim(x), f"in_axes of vmap({name})")
            sizes.setdefault(np.shape(x)[axis], f"{np.shape(x)[axis]} along axis {axis} of shape {np.shape(x)}")
        if len(sizes) != 1:
            found = " and ".join(sizes.values()) or f"none, with in_axes={in_axes}"
            raise ValueError(
                f"vmap of {name} needs the same number of samples in all mapped arguments; it found {found}. "
                "in_axes gives the axis of the samples in each argument, None if it is not mapped."
            )
        with Level(next(iter(sizes))).entered() as level:
            given = [x if axis is None else level.wrap(_first(x, axis)) for x, axis in zip(leaves, axes, strict=True)]
            mine, named = rebuild(given)
            value = f(*mine, **named)
        results, refill = flatten(value)
        places = _per_leaf(out_axes, value, "out_axes", name)
        tensors = any(isinstance(x, Tensor) for x in leaves)
        lent = [x for x in leaves if isinstance(x, np.ndarray)]
        return refill([
            _as_result(x, axis, level, name, tensors, lent) for x, axis in zip(results, places, strict=True)
        ])  # fmt: skip

    return wraps(f)(of_all)


def _can_map(x: Any) -> bool:
    return isinstance(x, (Tensor, np.ndarray, np.generic)) or (type(x) in (int, float, complex))


def _first(x: Any, axis: int) -> Any:
    return unmasked(x) if axis == 0 else np.moveaxis(unmasked(x), axis, 0)


def _per_leaf(axes: Any, tree: Tree, argument: str, name: str) -> list[Any]:
    """Return the axis for each leaf of a tree; one number or None in `axes` counts for all leaves of a container."""
    if axes is None or isinstance(axes, (int, np.integer)):
        return [axes for _ in flatten(tree)[0]]
    parts, found = children(tree), children(axes)
    if parts is None or found is None or set(parts) != set(found):
        raise ValueError(
            f"{argument} of vmap({name}) has {described(axes)} where there is {described(tree)}; give one integer or "
            "None for all of it, or the same containers."
        )
    pairs = [(found[key], part) for key, part in parts.items() if part is not None]
    return [axis for axes_of_part, part in pairs for axis in _per_leaf(axes_of_part, part, argument, name)]


def _as_result(x: Any, axis: int | None, level: Level, name: str, tensors: bool, lent: Sequence[Any]) -> Any:
    """Return a result with the samples along `axis`: an array, unless Tensors were given or it has a graph."""
    x = mapped_behind(x)
    if not level.has(x):
        if x is None:
            return None
        if not _can_map(x) and not isinstance(x, bool):
            raise TypeError(f"{name} returned a {type(x).__name__} inside vmap; it needs to return arrays.")
        if axis is None:
            return x
        full: Any = np.broadcast_to(x, (level.n, *np.shape(x)))
        full = full if isinstance(full, Tensor) else np.array(full)
    elif axis is None:
        raise ValueError(
            f"out_axes=None means that {name} returns the same for all samples, but this result depends on a mapped "
            "argument. Give the axis of the samples, such as 0."
        )
    else:
        full = x.full
    if axis:
        full = np.moveaxis(full, 0, normalize_axis_index(axis, np.ndim(full), f"out_axes of vmap({name})"))
    if isinstance(full, Tensor):
        return full if full.node is not None or tensors or hasattr(full, "level") else full.data
    if tensors:
        return wrap(np.asarray(full), None)
    return full if full.base is None and not any(full is given for given in lent) else np.array(full)
