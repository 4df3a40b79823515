"""Control flow that depends on values: `scan`, `cond` and `while_loop`, on nests of arrays.

Called by themselves they are the loops and branches that they look like, and their operations are recorded one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isqrt
from typing import Any

import numpy as np

from .node import recording, thread
from .printable import printable
from .tensor import Tensor, raw
from .tree import Tree, children, containers, flatten

NUMBERS = (int, float, complex, bool)
CONDITION = "while_loop: what cond_fun returns"
LONG = 16  # from so many rows on, these are taken from blocks


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Tree, xs: Tree = None, length: int | None = None,
    reverse: bool = False,
) -> tuple[Tree, Tree]:  # fmt: skip
    r"""Run a function along the first axis of arrays with a carry, and stack what it gives on the way.

    .. math:: (c_{t+1},\ y_t) = f(c_t,\ x_t)

    Args:
        f: takes the carry and a row of each array of `xs`; it returns the next carry and y, a nest of arrays or None.
        init: the first carry, a nest of arrays. Each further one has its containers, shapes and dtypes; a Python number
            takes the dtype that f gives it.
        xs: a nest of arrays of shapes ``(length, ...)``, or None, which f is then given.
        length: the number of steps; needed without `xs` only.
        reverse: whether the last row comes first; the y of a row stands in its place all the same.

    Returns:
        ``(carry, ys)``: the last carry, and every y stacked to ``(length, ...)``.

    Raises:
        TypeError: f returns no pair, or another kind of carry or y than before.
        ValueError: `xs` have several lengths, or `length` is missing or another.

    Example:
        >>> carry, ys = scan(lambda c, x: (0.5 * c + x, c), 0.0, np.array([1.0, 2.0, 3.0]))
        >>> print(carry, ys)
        4.25 [0.  1.  2.5]
    """
    leaves, row = flatten_or_none(xs)
    count = steps(leaves, length)
    if thread.mode.traces and thread.mode.level is None:
        return thread.mode.scan(f, init, leaves, row, count, reverse)  # type: ignore[attr-defined, no-any-return]
    of = [_rows(x) for x in leaves]
    order = range(count - 1, -1, -1) if reverse else range(count)
    one = row([x[order[0]] if count else np.zeros(x.shape[1:], raw(x).dtype) for x in leaves])
    carry, kinds = typed(lambda carry: f(carry, one), init), None
    found: list[list[Any]] = []
    short = order[: thread.mode.rows]
    for t in short:
        new, y = pair(f(carry, row([part(t) for part in of])))
        carry = next_carry(carry, new, "scan: f")
        kinds = arrays(y) if kinds is None else next_y(kinds, y)
        found.append(flatten_or_none(kinds)[0])
    if count:
        rebuild = flatten_or_none(kinds)[1]
        ys = [np.stack(parts) for parts in zip(*(found[::-1] if reverse else found), strict=True)]
        return carry, rebuild(ys if len(short) == count else [_whole(y, count, reverse) for y in ys])
    with recording(False), np.errstate(all="ignore"):  # which tells the shapes, and is no part of the answer
        empty, rebuild = flatten_or_none(arrays(pair(f(carry, one))[1]))
    return carry, rebuild([np.zeros((0, *y.shape), raw(y).dtype) for y in empty])


def _whole(y: Any, count: int, reverse: bool) -> Any:
    """Return the y of some rows with zeros for the others."""
    zeros = np.zeros((count - len(y), *y.shape[1:]), raw(y).dtype)
    return np.concatenate([zeros, y] if reverse else [y, zeros])


def typed(step: Callable[[Any], Any], init: Tree, who: str = "scan: f") -> Tree:
    """Return the first carry with its Python numbers in the dtypes that a step gives them."""
    leaves, rebuild = flatten_or_none(init)
    if not any(type(x) in NUMBERS for x in leaves):
        return init
    with recording(False), np.errstate(all="ignore"):
        new = flatten_or_none(next_carry(init, pair(step(init))[0], who))[0]
    return rebuild([raw(y).dtype.type(x) if type(x) in NUMBERS else x for x, y in zip(leaves, new, strict=True)])


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Tree) -> Tree:
    r"""Return what one of two functions gives: the first where a value is true, the second where it is false.

    .. math:: \text{true\_fn}(x) \text{ if } p \text{ else } \text{false\_fn}(x)

    Only the one that is chosen runs, so that neither needs to be defined where the other one is. In a compiled function
    it is chosen anew in every call.

    Args:
        pred: one truth value or number: an array of no axes.
        true_fn: takes the operands and returns a nest of arrays.
        false_fn: the same; in a compiled function both return the same containers, shapes and dtypes.
        *operands: nests of arrays.

    Returns:
        What the chosen function returns.

    Raises:
        TypeError: `pred` has axes, or one of the functions cannot be called.

    Example:
        >>> from tinygrad_nn import grad
        >>> root = lambda x: cond(x > 0, np.sqrt, lambda x: 0 * x, x)
        >>> print(grad(root)(4.0), grad(root)(-4.0))
        0.25 0.0
    """
    for function in (true_fn, false_fn):
        called(function, "cond", "cond(pred, true_fn, false_fn, *operands)")
    one_value(pred, "cond: pred")
    if _mapped(pred):
        one, other = arrays(true_fn(*operands)), arrays(false_fn(*operands))
        return _where(pred, one, _same(one, other, "cond: false_fn", "the result", "both"))
    if isinstance(pred, Tensor) and thread.mode.traces and thread.mode.level is None:
        return thread.mode.cond(pred, true_fn, false_fn, operands)  # type: ignore[attr-defined]
    if isinstance(pred, Tensor) and thread.mode.traces:
        return _cond_of_all(thread.mode.level, pred, (true_fn, false_fn), operands)
    return true_fn(*operands) if bool(raw(pred)) else false_fn(*operands)


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Tree) -> Tree:
    r"""Run a function on its own result as long as a condition holds.

    .. math:: c_{t+1} = \text{body\_fun}(c_t) \quad \text{while} \quad \text{cond\_fun}(c_t)

    Gradients flow back through as many steps as there were.

    Args:
        cond_fun: takes the carry and returns one truth value or number.
        body_fun: takes the carry and returns the next, of the same containers, shapes and dtypes. A Python number takes
            the dtype that it is given.
        init_val: the first carry, a nest of arrays.

    Returns:
        The first carry for which the condition does not hold.

    Raises:
        TypeError: `body_fun` returns another kind of carry, or `cond_fun` more than one value.

    Example:
        >>> from tinygrad_nn import grad
        >>> halved = lambda x: while_loop(lambda c: c > 1, lambda c: c / 2, x)
        >>> print(halved(5.0), grad(halved)(5.0))
        0.625 0.125
    """
    for function in (cond_fun, body_fun):
        called(function, "while_loop", "while_loop(cond_fun, body_fun, init_val)")
    if thread.mode.traces and thread.mode.level is None:
        return thread.mode.while_loop(cond_fun, body_fun, init_val)  # type: ignore[attr-defined]
    carry = init_val
    arrays(carry)  # raises where it holds something else
    while True:
        pred = one_value(cond_fun(carry), CONDITION)
        if thread.mode.traces and isinstance(pred, Tensor):
            return _of_all_samples(thread.mode.level, cond_fun, body_fun, carry)
        if not _holds(pred):
            break
        thread.mode.spend()
        new = next_carry(carry, body_fun(carry), "while_loop: body_fun")
        carry = _where(pred, new, carry) if _mapped(pred) else new
    return arrays(carry)


# -- Inside vmap, where a value differs from sample to sample


def _mapped(pred: Any) -> bool:
    """Tell whether a truth value differs from sample to sample."""
    return thread.mode.level is not None and hasattr(pred, "level")


def _holds(pred: Any) -> bool:
    """Tell whether a condition holds for any sample."""
    while _mapped(pred):
        pred = pred.full
    return bool(np.any(raw(pred))) if np.ndim(raw(pred)) else bool(raw(pred))


def _of_all_samples(
    level: Any, cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Tree
) -> Tree:
    """Run a loop of one sample as a loop of all of them, outside of their vmap, until it ends for the last one."""
    leaves, rebuild = flatten_or_none(typed(lambda carry: (body_fun(carry), None), init_val, "while_loop: body_fun"))

    def sample(full: Sequence[Any]) -> Tree:
        return rebuild([level.wrap(x) for x in full])

    def goes_on(full: Sequence[Any]) -> Any:
        with level.again():
            pred = one_value(cond_fun(sample(full)), CONDITION)
        return np.any(level.full(pred))

    def step(full: Sequence[Any]) -> list[Any]:
        with level.again():
            carry = sample(full)
            new = next_carry(carry, body_fun(carry), "while_loop: body_fun")
            found = flatten_or_none(_where(cond_fun(carry), new, carry))[0]
        return [level.full(x) for x in found]

    with level.left():
        found = while_loop(goes_on, step, [level.full(entered(x)) for x in leaves])
    return sample(found)


def _where(pred: Any, new: Tree, old: Tree) -> Tree:
    """Return for each sample the leaves of one of two nests."""
    parts, rebuild = flatten_or_none(new)
    return rebuild([np.where(pred, x, y) for x, y in zip(parts, flatten_or_none(old)[0], strict=True)])


def _cond_of_all(level: Any, pred: Any, branches: Sequence[Any], operands: Tree) -> Tree:
    """Return what one of two functions gives, in a trace, for all samples of a vmap, which choose alike."""
    leaves, again = flatten_or_none(arrays(operands))
    rebuild: Any = None

    def of_all(f: Callable[..., Any]) -> Callable[[Any], Any]:
        def run(full: Any) -> Any:
            nonlocal rebuild
            with level.again():
                found, rebuild = flatten_or_none(arrays(f(*again([level.wrap(x) for x in full]))))
            return [level.full(x) for x in found]

        return run

    with level.left():
        found = cond(pred, *map(of_all, branches), [level.full(x) for x in leaves])
    return rebuild([level.wrap(x) for x in found])


# -- What is asked of arguments and results


def flatten_or_none(tree: Tree) -> tuple[list[Any], Callable[[Sequence[Any]], Tree]]:
    """Return what `flatten` does; None is no leaf, also where nothing is around it."""
    return ([], lambda new: None) if tree is None else flatten(tree)


def called(function: Any, name: str, call: str) -> None:
    """Raise if an argument that must be a function is none."""
    if not callable(function):
        raise TypeError(f"{name} got {type(function).__name__} in place of a function; it is called as {call}.")


def one_value(pred: Any, what: str) -> Any:
    """Return a truth value; raise if it has axes, or is none."""
    if not isinstance(pred, (Tensor, np.ndarray, np.generic, *NUMBERS)) or np.ndim(raw(pred)):
        kind = described(pred)
        raise TypeError(f"{what} must be one truth value; it is {kind}. Of an array take np.any(...) or np.all(...).")
    return pred


def steps(leaves: Sequence[Any], length: int | None) -> int:
    """Return how many steps a scan has."""
    for x in leaves:
        if not isinstance(x, (Tensor, np.ndarray)) or not x.ndim:
            raise ValueError(
                f"scan: xs holds {described(x)}, which has no axis to go along. Every array of xs has the shape "
                "(length, ...): write np.array([...]) of numbers; what is the same in every step f closes over."
            )
    lengths = list(dict.fromkeys(x.shape[0] for x in leaves))
    if length is not None and (length < 0):
        raise ValueError(f"scan: length={length!r}; it is a whole number of steps, 0 or more.")
    if length is None and not lengths:
        raise ValueError("scan: without xs it needs length=, the number of steps.")
    if len(lengths) > 1 or (length is not None and lengths and lengths != [length]):
        told = f", and length={length}" if length is not None else ""
        found = " and ".join(map(str, lengths))
        raise ValueError(f"scan: the arrays of xs have {found} rows{told}; it goes along all of them at once.")
    return int(length if length is not None else lengths[0])


def pair(returned: Any) -> tuple[Any, Any]:
    """Return the carry and y that a step returned."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise TypeError(
            f"scan: f returned {described(returned)}; it returns a pair, (carry, y), where y may be None "
            "if there is nothing to stack."
        )
    return returned[0], returned[1]


def entered(x: Any) -> Any:
    """Return a leaf as an array, a NumPy scalar or a Tensor."""
    if isinstance(x, (Tensor, np.ndarray, np.generic)):
        return x
    array = np.asarray(x)
    if array.dtype.kind not in "fciub":
        raise TypeError(f"a loop hands on arrays of numbers, and got {described(x)}.")
    return array[()]


def arrays(tree: Tree) -> Tree:
    """Return a nest with its numbers as NumPy scalars."""
    leaves, rebuild = flatten_or_none(tree)
    return rebuild([entered(x) for x in leaves])


def next_carry(before: Tree, after: Tree, who: str) -> Tree:
    """Return a carry as the next step gets it; raise if it is of another kind than the one before."""
    return _same(before, arrays(after), who, "the carry", "init" if who.startswith("scan") else "init_val")


def next_y(before: Tree, after: Tree) -> Tree:
    """Return the y of a step; raise if it is of another kind than that of the step before."""
    return _same(before, arrays(after), "scan: f", "y", "every step")


def _same(before: Tree, after: Tree, who: str, what: str, like: str) -> Tree:
    if containers(before) != containers(after):
        raise TypeError(
            f"{who} returned {described(after)} for {what}, which was {described(before)} before. Return the "
            f"containers of {like}, dicts with their keys in the same order."
        )
    for (path, x), (_, y) in zip(_named(before, what), _named(after, what), strict=True):
        if y.shape == np.shape(raw(x)) and (type(x) in NUMBERS or y.dtype == x.dtype):
            continue
        if y.shape == np.shape(raw(x)):
            mend = f"Write .astype({x.dtype.name!r}) in the function, or begin with {y.dtype}"
        else:
            mend = "Keep its shape" + (": what grows from step to step goes into y" if what == "the carry" else "")
        raise TypeError(f"{who} returned {described(y)} for {path}, which was {described(x)} before. {mend}.")
    return after


def _named(tree: Tree, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a nest with the way to each."""
    parts = None if tree is None else children(tree)
    if parts is None:
        yield from () if tree is None else ((name, tree),)
        return
    for key, part in parts.items():
        attribute = isinstance(key, str) and not isinstance(tree, dict)
        yield from _named(part, f"{name}.{key}" if attribute else f"{name}[{printable(repr(key))}]")


def described(tree: Tree) -> str:
    """Return containers, shapes and dtypes of a nest in a few words."""
    parts = None if tree is None else children(tree)
    if parts is not None:
        inner = [
            f"{printable(repr(k))}: {described(x)}" if isinstance(tree, dict) else described(x)
            for k, x in list(parts.items())[:6]
        ]
        text = ", ".join([*inner, *(["..."] if len(parts) > 6 else [])])
        return f"{{{text}}}" if isinstance(tree, dict) else f"[{text}]" if type(tree) is list else f"({text})"
    if isinstance(tree, (Tensor, np.ndarray, np.generic)):
        return f"{raw(tree).dtype}{list(tree.shape)}"
    return "None" if tree is None else f"a Python {type(tree).__name__}"


def _rows(x: Any) -> Callable[[int], Any]:
    """Return the function that takes a row of an array.

    The gradient of a row is an array of the shape of all rows, so that those of a Tensor are taken from blocks.
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
