"""Loops and branches that depend on values: `scan`, `cond` and `while_loop`, for arrays and nested containers of them.

Outside `compile` and `vmap` they run as ordinary Python loops and branches, and each operation is recorded. Inside,
where the values are not known, they are handed to the trace, or run for all samples at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isqrt
from typing import Any

import numpy as np

from ..common.printable import printable
from ..node import recording, thread
from ..tensor import Tensor, raw
from ..tree import Tree, children, containers, flatten

NUMBERS = (int, float, complex, bool)
CONDITION = "while_loop: what cond_fun returns"
LONG = 16  # arrays with at least this many rows are read in blocks, see `_row_reader`


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Tree, xs: Tree = None, length: int | None = None,
    reverse: bool = False,
) -> tuple[Tree, Tree]:  # fmt: skip
    r"""Call a function for each row of arrays, passing a carry from call to call, and stack its outputs.

    .. math:: (c_{t+1},\ y_t) = f(c_t,\ x_t)

    Args:
        f: takes the carry and a row of each array of `xs`; it returns the next carry and y, a nest of arrays or None.
        init: the first carry, a nest of arrays. All later carries have its containers, shapes and dtypes; a Python
            number takes the dtype that f returns in its place.
        xs: a nest of arrays of shapes ``(length, ...)``, or None, which is then passed to f in each step.
        length: the number of steps; needed only without `xs`.
        reverse: whether to go from the last row to the first; ``ys[t]`` belongs to ``xs[t]`` in either case.

    Returns:
        ``(carry, ys)``: the last carry, and every y stacked to ``(length, ...)``.

    Raises:
        TypeError: f does not return a pair, or returns a carry or y of other containers, shapes or dtypes than before.
        ValueError: the arrays of `xs` have different lengths, or `length` is missing or differs from theirs.

    Example:
        >>> carry, ys = scan(lambda c, x: (0.5 * c + x, c), 0.0, np.array([1.0, 2.0, 3.0]))
        >>> print(carry, ys)
        4.25 [0.  1.  2.5]
    """
    leaves, row = flatten_or_none(xs)
    count = step_count(leaves, length)
    if thread.mode.traces and thread.mode.level is None:
        return thread.mode.scan(f, init, leaves, row, count, reverse)  # type: ignore[attr-defined, no-any-return]
    of = [_row_reader(x) for x in leaves]
    order = range(count - 1, -1, -1) if reverse else range(count)
    one = row([x[order[0]] if count else np.zeros(x.shape[1:], raw(x).dtype) for x in leaves])
    carry, kinds = typed_carry(lambda carry: f(carry, one), init), None
    found: list[list[Any]] = []
    short = order[: thread.mode.rows]
    for t in short:
        new, y = pair(f(carry, row([part(t) for part in of])))
        carry = next_carry(carry, new, "scan: f")
        kinds = as_scalars(y) if kinds is None else next_y(kinds, y)
        found.append(flatten_or_none(kinds)[0])
    if count:
        rebuild = flatten_or_none(kinds)[1]
        ys = [np.stack(parts) for parts in zip(*(found[::-1] if reverse else found), strict=True)]
        return carry, rebuild(ys if len(short) == count else [_pad_rows(y, count, reverse) for y in ys])
    with recording(False), np.errstate(all="ignore"):  # this call of f only tells the shapes of y
        empty, rebuild = flatten_or_none(as_scalars(pair(f(carry, one))[1]))
    return carry, rebuild([np.zeros((0, *y.shape), raw(y).dtype) for y in empty])


def _pad_rows(y: Any, count: int, reverse: bool) -> Any:
    """Return the y of the rows that ran, padded to `count` rows with zeros for the rows that did not run."""
    zeros = np.zeros((count - len(y), *y.shape[1:]), raw(y).dtype)
    return np.concatenate([zeros, y] if reverse else [y, zeros])


def typed_carry(step: Callable[[Any], Any], init: Tree, function_name: str = "scan: f") -> Tree:
    """Return the first carry with each Python number converted to the dtype that a step returns in its place."""
    leaves, rebuild = flatten_or_none(init)
    if not any(type(x) in NUMBERS for x in leaves):
        return init
    with recording(False), np.errstate(all="ignore"):
        new = flatten_or_none(next_carry(init, pair(step(init))[0], function_name))[0]
    return rebuild([raw(y).dtype.type(x) if type(x) in NUMBERS else x for x, y in zip(leaves, new, strict=True)])


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Tree) -> Tree:
    r"""Return the result of one of two functions: the first if a condition is true, the second if it is false.

    .. math:: \text{true\_fn}(x) \text{ if } p \text{ else } \text{false\_fn}(x)

    Only the chosen function runs, so neither has to be defined for operands of the other. In a compiled function the
    choice is made anew in every call. If `pred` differs by sample of a vmap, both run, and each sample takes its own.

    Args:
        pred: one truth value or number, or an array without axes.
        true_fn: takes the operands and returns a nest of arrays.
        false_fn: likewise; in a compiled function both return the same containers, shapes and dtypes.
        *operands: nests of arrays.

    Returns:
        The result of the chosen function.

    Raises:
        TypeError: `pred` has axes, or one of the functions is not callable.

    Example:
        >>> from tinygrad_nn import grad
        >>> root = lambda x: cond(x > 0, np.sqrt, lambda x: 0 * x, x)
        >>> print(grad(root)(4.0), grad(root)(-4.0))
        0.25 0.0
    """
    for function in (true_fn, false_fn):
        check_callable(function, "cond", "cond(pred, true_fn, false_fn, *operands)")
    one_value(pred, "cond: pred")
    if _mapped(pred):
        one, other = as_scalars(true_fn(*operands)), as_scalars(false_fn(*operands))
        return _where(pred, one, _check_same(one, other, "cond: false_fn", "the result", "both"))
    if isinstance(pred, Tensor) and thread.mode.traces and thread.mode.level is None:
        return thread.mode.cond(pred, true_fn, false_fn, operands)  # type: ignore[attr-defined]
    if isinstance(pred, Tensor) and thread.mode.traces:
        return _cond_of_all(thread.mode.level, pred, (true_fn, false_fn), operands)
    return true_fn(*operands) if bool(raw(pred)) else false_fn(*operands)


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Tree) -> Tree:
    r"""Apply a function to its own result as long as a condition holds.

    .. math:: c_{t+1} = \text{body\_fun}(c_t) \quad \text{while} \quad \text{cond\_fun}(c_t)

    Gradients flow back through all the steps that ran.

    Args:
        cond_fun: takes the carry and returns one truth value or number.
        body_fun: takes the carry and returns the next, with the same containers, shapes and dtypes. A Python number in
            `init_val` takes the dtype that body_fun returns in its place.
        init_val: the first carry, a nest of arrays.

    Returns:
        The first carry for which the condition does not hold.

    Raises:
        TypeError: `body_fun` returns a carry of other containers, shapes or dtypes, or `cond_fun` more than one value.

    Example:
        >>> from tinygrad_nn import grad
        >>> halved = lambda x: while_loop(lambda c: c > 1, lambda c: c / 2, x)
        >>> print(halved(5.0), grad(halved)(5.0))
        0.625 0.125
    """
    for function in (cond_fun, body_fun):
        check_callable(function, "while_loop", "while_loop(cond_fun, body_fun, init_val)")
    if thread.mode.traces and thread.mode.level is None:
        return thread.mode.while_loop(cond_fun, body_fun, init_val)  # type: ignore[attr-defined]
    carry = init_val
    as_scalars(carry)  # raises if it holds anything but arrays and numbers
    while True:
        pred = one_value(cond_fun(carry), CONDITION)
        if thread.mode.traces and isinstance(pred, Tensor):
            return _of_all_samples(thread.mode.level, cond_fun, body_fun, carry)
        if not _holds(pred):
            break
        thread.mode.spend()
        new = next_carry(carry, body_fun(carry), "while_loop: body_fun")
        carry = _where(pred, new, carry) if _mapped(pred) else new
    return as_scalars(carry)


# -- Inside vmap, where values differ from sample to sample


def _mapped(pred: Any) -> bool:
    """Tell whether a condition differs from sample to sample of a vmap."""
    return thread.mode.level is not None and hasattr(pred, "level")


def _holds(pred: Any) -> bool:
    """Tell whether a condition holds; inside vmap, whether it holds for any sample."""
    while _mapped(pred):
        pred = pred.full
    return bool(np.any(raw(pred))) if np.ndim(raw(pred)) else bool(raw(pred))


def _of_all_samples(
    level: Any, cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Tree
) -> Tree:
    """Run a traced loop inside vmap as one loop over whole batches, outside the vmap, until every sample has ended."""
    leaves, rebuild = flatten_or_none(
        typed_carry(lambda carry: (body_fun(carry), None), init_val, "while_loop: body_fun")
    )

    def sample(full: Sequence[Any]) -> Tree:
        return rebuild([level.wrap(x) for x in full])

    def goes_on(full: Sequence[Any]) -> Any:
        with level.reentered():
            pred = one_value(cond_fun(sample(full)), CONDITION)
        return np.any(level.full(pred))

    def step(full: Sequence[Any]) -> list[Any]:
        with level.reentered():
            carry = sample(full)
            new = next_carry(carry, body_fun(carry), "while_loop: body_fun")
            found = flatten_or_none(_where(cond_fun(carry), new, carry))[0]
        return [level.full(x) for x in found]

    with level.outside_level():
        found = while_loop(goes_on, step, [level.full(checked_leaf(x)) for x in leaves])
    return sample(found)


def _where(pred: Any, new: Tree, old: Tree) -> Tree:
    """Return a nest whose leaves are, sample by sample, those of `new` if `pred` is true, else those of `old`."""
    parts, rebuild = flatten_or_none(new)
    return rebuild([np.where(pred, x, y) for x, y in zip(parts, flatten_or_none(old)[0], strict=True)])


def _cond_of_all(level: Any, pred: Any, branches: Sequence[Any], operands: Tree) -> Tree:
    """Return the result of `cond` inside a vmap and a trace, for a traced `pred` that is the same for all samples."""
    leaves, again = flatten_or_none(as_scalars(operands))
    rebuild: Any = None

    def of_all(f: Callable[..., Any]) -> Callable[[Any], Any]:
        def run(full: Any) -> Any:
            nonlocal rebuild
            with level.reentered():
                found, rebuild = flatten_or_none(as_scalars(f(*again([level.wrap(x) for x in full]))))
            return [level.full(x) for x in found]

        return run

    with level.outside_level():
        found = cond(pred, *map(of_all, branches), [level.full(x) for x in leaves])
    return rebuild([level.wrap(x) for x in found])


# -- Checks of arguments and results


def flatten_or_none(tree: Tree) -> tuple[list[Any], Callable[[Sequence[Any]], Tree]]:
    """Flatten a nest as `flatten` does, but treat a lone None as a nest without leaves."""
    return ([], lambda new: None) if tree is None else flatten(tree)


def check_callable(function: Any, name: str, call: str) -> None:
    """Raise TypeError if an argument that must be a function is not callable."""
    if not callable(function):
        raise TypeError(f"{name} got {type(function).__name__} in place of a function; it is called as {call}.")


def one_value(pred: Any, name: str) -> Any:
    """Return a truth value; raise TypeError if it has axes or is not a number."""
    if not isinstance(pred, (Tensor, np.ndarray, np.generic, *NUMBERS)) or np.ndim(raw(pred)):
        kind = nest_text(pred)
        raise TypeError(
            f"{name} must be a single truth value; it is {kind}. For an array use np.any(...) or np.all(...)."
        )
    return pred


def step_count(leaves: Sequence[Any], length: int | None) -> int:
    """Return the number of steps of a scan; raise ValueError if the lengths of `xs` and `length` disagree."""
    for x in leaves:
        if not isinstance(x, (Tensor, np.ndarray)) or not x.ndim:
            raise ValueError(
                f"scan: xs holds {nest_text(x)}, which has no axis to scan along. Every array of xs needs the shape "
                "(length, ...): write np.array([...]) for numbers; f can close over what is the same in every step."
            )
    lengths = list(dict.fromkeys(x.shape[0] for x in leaves))
    if length is not None and (length < 0):
        raise ValueError(f"scan: length={length!r}; it must be a whole number of steps, 0 or more.")
    if length is None and not lengths:
        raise ValueError("scan: without xs it needs length=, the number of steps.")
    if len(lengths) > 1 or (length is not None and lengths and lengths != [length]):
        told = f", and length={length}" if length is not None else ""
        found = " and ".join(map(str, lengths))
        raise ValueError(f"scan: the arrays of xs have {found} rows{told}; all lengths must be equal.")
    return int(length if length is not None else lengths[0])


def pair(returned: Any) -> tuple[Any, Any]:
    """Return the carry and y that a step returned; raise TypeError if it did not return a pair."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise TypeError(
            f"scan: f returned {nest_text(returned)}; it must return a pair, (carry, y), where y may be None if there "
            "is nothing to stack."
        )
    return returned[0], returned[1]


def checked_leaf(x: Any) -> Any:
    """Return a leaf as an array, a NumPy scalar or a Tensor; raise TypeError if it is not made of numbers."""
    if isinstance(x, (Tensor, np.ndarray, np.generic)):
        return x
    array = np.asarray(x)
    if array.dtype.kind not in "fciub":
        raise TypeError(f"a loop carries arrays of numbers; it got {nest_text(x)}.")
    return array[()]


def as_scalars(tree: Tree) -> Tree:
    """Return a nest with its Python numbers converted to NumPy scalars."""
    leaves, rebuild = flatten_or_none(tree)
    return rebuild([checked_leaf(x) for x in leaves])


def next_carry(before: Tree, after: Tree, function_name: str) -> Tree:
    """Return the carry for the next step; raise if its containers, shapes or dtypes differ from those before."""
    like = "init" if function_name.startswith("scan") else "init_val"
    return _check_same(before, as_scalars(after), function_name, "the carry", like)


def next_y(before: Tree, after: Tree) -> Tree:
    """Return the y of a step; raise if its containers, shapes or dtypes differ from those of the step before."""
    return _check_same(before, as_scalars(after), "scan: f", "y", "every step")


def _check_same(before: Tree, after: Tree, function_name: str, part: str, like: str) -> Tree:
    if containers(before) != containers(after):
        raise TypeError(
            f"{function_name} returned {nest_text(after)} for {part}, which was {nest_text(before)} before. Return the "
            f"containers of {like}, dicts with their keys in the same order."
        )
    for (path, x), (_, y) in zip(_named(before, part), _named(after, part), strict=True):
        if y.shape == np.shape(raw(x)) and (type(x) in NUMBERS or y.dtype == x.dtype):
            continue
        if y.shape == np.shape(raw(x)):
            mend = f"Write .astype({x.dtype.name!r}) in the function, or begin with {y.dtype}"
        else:
            mend = "Keep its shape" + (": put values that grow from step to step into y" if part == "the carry" else "")
        raise TypeError(f"{function_name} returned {nest_text(y)} for {path}, which was {nest_text(x)} before. {mend}.")
    return after


def _named(tree: Tree, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a nest, each with the expression that reaches it, such as ``the carry['h'][0]``."""
    parts = None if tree is None else children(tree)
    if parts is None:
        yield from () if tree is None else ((name, tree),)
        return
    for key, part in parts.items():
        attribute = isinstance(key, str) and not isinstance(tree, dict)
        yield from _named(part, f"{name}.{key}" if attribute else f"{name}[{printable(repr(key))}]")


def nest_text(tree: Tree) -> str:
    """Return a short text with the containers, shapes and dtypes of a nest."""
    parts = None if tree is None else children(tree)
    if parts is not None:
        inner = [
            f"{printable(repr(k))}: {nest_text(x)}" if isinstance(tree, dict) else nest_text(x)
            for k, x in list(parts.items())[:6]
        ]
        text = ", ".join([*inner, *(["..."] if len(parts) > 6 else [])])
        return f"{{{text}}}" if isinstance(tree, dict) else f"[{text}]" if type(tree) is list else f"({text})"
    if isinstance(tree, (Tensor, np.ndarray, np.generic)):
        return f"{raw(tree).dtype}{list(tree.shape)}"
    return "None" if tree is None else f"a Python {type(tree).__name__}"


def _row_reader(x: Any) -> Callable[[int], Any]:
    """Return a function from t to row t of an array.

    The gradient of ``x[t]`` has the shape of x, so n rows would cost n arrays of n rows. The rows of a long Tensor are
    therefore taken from blocks of √n rows.
    """
    if not isinstance(x, Tensor) or not x.requires_grad or len(x) < LONG:
        return x.__getitem__  # type: ignore[no-any-return]
    width = isqrt(len(x))
    blocks: dict[int, Any] = {}

    def row(t: int) -> Any:
        k, place = divmod(t, width)
        if k not in blocks:
            blocks[k] = x[k * width : (k + 1) * width]
        return blocks[k][place]

    return row
