"""Runs a primitive on all samples: by the batching rule of its family, else once for each sample, stacking results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...node import thread
from ...ops.selection import mask_of
from ...primitive import REGISTRY, Primitive, add_shapes, as_constant
from ...tensor import Tensor, stored_array
from ...tree import flatten
from . import layers as _layers  # noqa: F401 - fills the table of rules
from .families import PLAIN, RULES, Call, aligned, entrywise, run, shifted
from .mapped import OVER, Level, Mapped, level_of, mapped_behind, mapped_in

# Functions along an axis, which can be run for all samples along the next axis -> the default of `axis`, where None
# means the flattened array or all axes.
ALONG: dict[Any, Any] = {
    np.argmax: None, np.argmin: None, np.nanargmax: None, np.nanargmin: None, np.argsort: -1, np.any: None,
    np.all: None, np.count_nonzero: None,
}  # fmt: skip
NONE = (
    "{name} inside vmap over no samples: the shape of its result is only known after running it on one. Skip the call "
    "for an empty batch."
)
RAGGED = (
    "{name} inside vmap gives arrays of different shapes in different samples, {shapes}, which cannot be stacked. Use "
    "an operation that keeps the shape, such as np.where(mask, x, 0) in place of x[mask]."
)


def apply_to_all(primitive: Primitive, args: Sequence[Any], meta: dict[str, Any]) -> Tensor:
    """Run a primitive on all samples of the innermost vmap for which an argument or option is Mapped."""
    options: Sequence[Mapped] = mapped_in(meta.values()) if meta else ()
    level = _require_open(level_of(*args, *options))
    full: list[Any] = []
    mapped: list[bool] = []
    for x in args:
        if type(x) is Mapped and x.level is level:
            full.append(x.full)
            mapped.append(True)
        else:
            known = type(x) in PLAIN or isinstance(x, (Tensor, np.ndarray))
            full.append(x if known else as_constant(x, primitive))
            mapped.append(False)
    rule: Any = None
    if REGISTRY.get(primitive.name) is primitive:
        rule = RULES.get(primitive.name) or (entrywise if primitive.entrywise else None)
    if rule is not None and options and not rule.takes_options and any(x.level is level for x in options):
        rule = None
    mode = thread.mode
    before, mode.level = mode.level, level.beyond(mode.level)
    try:
        out = NotImplemented if rule is None else rule(Call(primitive, full, mapped, meta, level))
        if out is NotImplemented:
            out = for_each_sample(level, primitive, args, meta)
    except ValueError:
        _raise_for_one_sample(primitive, args, meta)
        raise
    finally:
        mode.level = before
    return level.wrap(out)


def _require_open(level: Level | None) -> Level:
    if level is None or not level.open:
        raise TypeError(OVER)
    return level


def _raise_for_one_sample(primitive: Primitive, args: Sequence[Any], meta: dict[str, Any]) -> None:
    """Raise the primitive's error for the shapes of one sample, if it refuses these too."""
    try:
        with np.errstate(all="ignore"):
            primitive.forward(*map(stored_array, args), **meta)
    except ValueError as same:
        add_shapes(same, primitive, [stored_array(x) for x in args])
        raise same from None
    except Exception:  # the forward cannot compute with placeholder arrays
        return


def for_each_sample(level: Level, row: Primitive, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Run a primitive once for each sample, and return the stacked results."""
    if level.n == 0:
        raise ValueError(NONE.format(name=row.name))
    samples = range(level.n)
    return stack_samples(row.name, [
        run(row, sample_arguments(level, b, list(args)), sample_arguments(level, b, options, True)) for b in samples
    ])  # fmt: skip


def stack_samples(name: str, results: Sequence[Any]) -> Any:
    """Return the results of all samples stacked to one array or Tensor."""
    shapes = list(dict.fromkeys(np.shape(x) for x in results))
    if len(shapes) > 1:
        raise ValueError(RAGGED.format(name=name, shapes=" and ".join(map(str, shapes[:2]))))
    if any(isinstance(x, Tensor) for x in results):
        return REGISTRY["stack"](*results, axis=0)
    return np.stack([np.asarray(x) for x in results])


def sample_arguments(level: Level, b: int, tree: Any, option: bool = False) -> Any:
    """Return arguments with Mapped Tensors replaced by their entries for sample `b`; options become plain arrays."""
    if isinstance(tree, dict):
        return {key: sample_arguments(level, b, x, option) for key, x in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [sample_arguments(level, b, x, option) for x in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    x = mapped_behind(tree)
    if not level.has(x):
        return tree
    part = x.full[(b, ...)]
    return part._array_for_index() if option and isinstance(part, Tensor) else part


def vectorized_or_each(
    function: Callable[..., Any], run: Callable[..., Any] | None, first: tuple[Any, ...], args: Any, options: Any
) -> Any:
    """Call a function that is composed of primitives; if it reads values, or fails, call it once for each sample."""
    try:
        return _all_mapped_behind(function(*args, **options) if run is None else run(*first, args, options))
    except Exception as error:
        args, options = _all_mapped_behind(list(args)), _all_mapped_behind(options)
        level = _require_open(level_of(*mapped_in((args, options))))
        try:
            with level.outside_level():
                found = _call_each_sample(level, function, args, options)
            if not any(level.has(x.full) for x in mapped_in((found,))):
                return found
        except Exception:
            if function is not np.piecewise:
                raise
        if function is np.piecewise:
            return _piecewise(*args, **options)
        raise error  # a function among the arguments uses Mapped Tensors from outside


def _call_each_sample(level: Level, function: Callable[..., Any], args: Any, options: Any) -> Any:
    """Call a function once for each sample, and return the results, which may be nests, stacked as Mapped Tensors."""
    name = getattr(function, "__name__", "a function").lstrip("_")
    if level.n == 0:
        raise ValueError(NONE.format(name=name))
    calls = [sample_arguments(level, b, (args, options)) for b in range(level.n)]
    results = [flatten(_all_mapped_behind(function(*mine, **named))) for mine, named in calls]
    if len({len(found) for found, _ in results}) > 1:
        raise ValueError(RAGGED.format(name=name, shapes="and different numbers of arrays"))
    parts = zip(*(found for found, _ in results), strict=True)
    return results[0][1]([level.wrap(stack_samples(name, part)) for part in parts])


def _piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **options: Any) -> Any:
    """Return np.piecewise: every function is called with all of x, and np.where selects from the results."""
    inside = max(map(np.ndim, condlist), default=0) + 1 if isinstance(condlist, (list, tuple)) else np.ndim(condlist)
    listed = inside > min(np.ndim(x), 1)  # whether there is a list of conditions; for an array, a list of bools is one
    conditions = [
        mapped_behind(c) if hasattr(c, "shape") else np.asarray(c) for c in (condlist if listed else [condlist])
    ]
    parts = [f(x, *args, **options) if callable(f) else f for f in funclist]
    out: Any = parts.pop() if len(parts) == len(conditions) + 1 else 0
    if len(parts) != len(conditions):
        raise ValueError(f"np.piecewise got {len(funclist)} functions for {len(conditions)} conditions.")
    for condition, part in zip(conditions, parts, strict=True):
        out = np.where(mask_of(condition, np.shape(x)), part, out)
    return out.astype(x.dtype)


def run_plain_entrywise(ufunc: np.ufunc, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """Run a ufunc without a gradient, such as np.isnan, on all samples at once."""
    level = _require_open(level_of(*inputs, *mapped_in(options.values())))
    if mapped_in(options.values()):
        return run_plain(ufunc, inputs, options)
    full, mapped = [x.full if level.has(x) else x for x in inputs], [level.has(x) for x in inputs]
    with level.outside_level():
        try:
            return level.wrap(ufunc(*aligned(full, mapped), **options))
        except ValueError as error:
            raise ValueError(f"np.{ufunc.__name__} of arrays of shapes {[np.shape(x) for x in inputs]}") from error


def run_plain(function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Run a function without a gradient, such as np.argsort: along the next axis if possible, else for each sample."""
    args, options = _all_mapped_behind(list(args)), _all_mapped_behind(options)
    known = mapped_in((args, options))
    level = _require_open(level_of(*known))
    with level.outside_level():
        if len(known) == 1 and args and known[0] is args[0] and function in ALONG and len(args) < 3:
            found = _run_along_axis(function, list(args), dict(options), level)
            if found is not None:
                return level.wrap(found)
        return _call_each_sample(level, function, _detached(args), _detached(options))


def _run_along_axis(function: Any, args: list[Any], options: dict[str, Any], level: Level) -> Any:
    """Run a function along one axis, or over all entries, for all samples along the next axis; None if impossible."""
    axis = args[1] if len(args) > 1 else options.pop("axis", ALONG[function])
    x = args[0].full
    if x.ndim == 1 or (axis is None and options):
        return None
    if axis is None:
        return function(x.reshape(level.n, math.prod(x.shape[1:])), axis=1)
    axes = shifted(axis, x.ndim - 1)
    return function(x, axis=axes[0] if len(axes) == 1 else axes, **options)


def _all_mapped_behind(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _all_mapped_behind(x) for key, x in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)([_all_mapped_behind(x) for x in tree])
    return mapped_behind(tree)


def _detached(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _detached(x) for key, x in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)([_detached(x) for x in tree])
    return tree.detach() if isinstance(tree, Tensor) else tree


Mapped.run, Mapped.answer = staticmethod(apply_to_all), staticmethod(run_plain)
Mapped.answer_entrywise, Mapped.attempt = staticmethod(run_plain_entrywise), staticmethod(vectorized_or_each)
