"""The check of a new plan: run plan and function on other values in other memory, and compare, within rounding.

How large rounding errors may be is measured. The recorded operations are run one by one, and the inputs of each get
noise in their last digits, as large as the rounding error of that operation. The difference between plan and function
may be a fixed multiple (`ROUNDINGS`) of the difference that this noise makes. So the bound grows with the length of
sums and with how strongly later operations amplify errors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import local
from typing import Any

import numpy as np

from ..common.printable import counted
from ..node import switched
from ..primitive import AtEqualValues
from ..tensor import Tensor, raw
from ..tree import flatten
from .numba.expressions import COSTLY
from .numpy.replay import Mismatch
from .program.memory import view_of
from .program.values import VIEWS, Op, Program, Value
from .trace.call import NUMBERS, array_or_scalar, as_array, canonical
from .trace.nodes import TraceEnded, Untraceable

STEPS, ROWS = 10_000, 24  # steps of while loops before an attempt is given up; rows of a scan that are run
TILE, OTHER_TILE = 65_521, 65_519  # periods of the random numbers in large arrays; primes, so they do not coincide
SAME = 4  # the number of the attempt that changes no value
RUNS = 24  # the most runs with noise; a sign that depends on rounding flips in only some of them
ROUNDINGS = 32  # allowed error: this many eps times the largest entry, or this many times the effect of the noise
ROUNDED = COSTLY | {
    np.add, np.subtract, np.multiply, np.divide, np.square, np.sqrt, np.reciprocal, np.float_power, np.remainder,
    np.fmod, np.hypot, np.logaddexp, np.logaddexp2, np.tan, np.arcsin, np.arccos, np.arctan2, np.arcsinh, np.arccosh,
    np.arctanh, np.cbrt, np.sinc, np.deg2rad, np.rad2deg, np.degrees, np.radians, np.floor_divide,
}  # fmt: skip
now = local()  # per thread: `now.checking` is True while a check runs the function


def run_operations(program: Program, leaves: Sequence[Any], noise: np.random.Generator | None = None) -> list[Any]:
    """Run the operations one by one with NumPy, with noise if given, and return the leaves of the result."""
    values: dict[Value, Any] = {}

    def of(arg: Any) -> Any:
        if not isinstance(arg, Value):
            return arg
        if arg.kind == "made":
            return values[arg]
        return arg.data if arg.kind == "constant" else leaves[arg.slot]

    for op in program.ops:
        args = [of(arg) for arg in op.args]
        results = _run_operation(op, args)
        if noise is not None and (terms := _rounded(op, args, results)):
            results = _run_operation(op, [_noisy(x, terms, noise) for x in args])
        values.update(zip(op.outs, results, strict=True))
    return [of(x) for x in program.outputs]


def _run_operation(op: Op, args: list[Any]) -> tuple[Any, ...]:
    """Run one operation on arrays, and return its results."""
    if op.kind in ("call", "draw"):
        made = op.function(*args)
        made = made if len(op.outs) > 1 else (made,)
        return tuple(x if out.weak else as_array(x, out.dtype) for x, out in zip(made, op.outs, strict=True))
    if op.kind in VIEWS:
        return (view_of(op, np.asarray(args[0])),)
    if op.kind == "number":
        return (op.function(*args),)
    if op.kind == "where":
        return (np.broadcast_to(np.where(*args), op.out.shape).astype(op.out.dtype, copy=False),)
    if op.kind == "cast":
        return (np.asarray(args[0]).astype(op.out.dtype),)
    if op.kind == "reduce":
        axes, keep, dtype = op.attrs
        return (np.asarray(op.function.reduce(args[0], axis=axes, keepdims=keep, dtype=dtype)).astype(op.out.dtype),)
    return (np.asarray(op.function(*args)),)


def _rounded(op: Op, args: list[Any], results: tuple[Any, ...]) -> int:
    """Return how many rounded terms an entry of the result is made of; 0 if the operation is exact."""
    if all(np.asarray(x).dtype.kind not in "fc" for x in results):
        return 0
    if op.kind == "ufunc":
        return int(op.function in ROUNDED)
    if op.kind == "number":
        return 1
    if op.kind in ("matmul", "vdot"):
        return int(args[0].shape[-1]) if op.kind == "matmul" else int(args[0].size)
    if op.kind == "reduce":
        return int(args[0].size // max(op.out.size, 1)) if op.function in (np.add, np.multiply) else 0
    if op.kind == "call":
        given = [x.ravel() for x in map(np.asarray, args) if x.dtype.kind in "fc"]
        if not given or all(np.isin(x, np.concatenate([*given, [0, 1]])).all() for x in results):
            return 0  # each entry of the result is an entry of an argument, 0 or 1, so nothing was rounded
        return max(x.size for x in given)
    return 0


def _noisy(x: Any, terms: int, noise: np.random.Generator) -> Any:
    """Return an array with relative errors as large as a sum of `terms` numbers has, in any order of summation.

    One part of the error has random signs and grows with the square root of `terms`. The other part has one sign for
    all entries, as in sums of similar numbers: `ROUNDINGS` times its size is the bound n eps / 2 of a sum
    (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2002, 4.2).
    """
    a = np.asarray(x)
    if a.dtype.kind not in "fc" or type(x) in NUMBERS:
        return x
    eps = np.finfo(a.dtype).eps
    signs = noise.random(a.shape, np.float32) * np.float32(2) - np.float32(1)
    alike = noise.choice([-1.0, 1.0]) * terms / (2 * ROUNDINGS) if terms > 1 else 0.0
    return np.asarray(a + a * (eps * (signs * terms**0.5 + alike)).astype(a.real.dtype))


def difference(actual: Any, wanted: Any, run: Callable[[bool], Sequence[Any]]) -> str | None:
    """Return a text that says where two results differ by more than rounding, or None if they do not.

    Args:
        actual, wanted: nests of arrays and numbers.
        run: called as ``run(noisy)``; runs the operations one by one and returns the leaves of the result.
    """
    left, right = ([array_or_scalar(x) for x in flatten(nest)[0]] for nest in (actual, wanted))
    if len(left) != len(right):
        return f"it returns {counted(len(left), 'array')} instead of {len(right)}"
    slack: list[Any] = [None] * len(right)
    exact: Sequence[Any] = ()
    for count in range(RUNS + 1):
        wrong = {
            k: text
            for k, (a, b) in enumerate(zip(left, right, strict=True))
            if (text := _leaf_difference(a, b, slack[k]))
        }
        if not wrong:
            return None
        if count == RUNS or any(not isinstance(right[k], (np.ndarray, np.generic, float, complex)) for k in wrong):
            break
        exact = exact or run(False)
        noisy = run(True)
        for k in wrong:
            slack[k] = _largest_distance(slack[k], noisy[k], exact[k])
    return next(iter(wrong.values()))


def _largest_distance(slack: Any, noisy: Any, exact: Any) -> Any:
    """Return, for each entry, the largest distance so far between a run with noise and the run without."""
    a, b = np.asarray(array_or_scalar(noisy)), np.asarray(array_or_scalar(exact))
    if a.shape != b.shape:
        return slack
    with np.errstate(all="ignore"):
        apart = np.where((a == b) | ((a != a) & (b != b)), 0.0, np.inf)
        if b.dtype.kind in "fc":
            apart = np.where(np.isfinite(b) & np.isfinite(a), np.abs(a - b), apart)
    return apart if slack is None else np.maximum(slack, apart)


def _leaf_difference(a: Any, b: Any, slack: Any) -> str | None:
    """Return a text that says how leaf `a` differs from the wanted leaf `b`, or None; `slack` is what noise changes."""
    counted = type(b) in (int, bool) and isinstance(a, np.generic)  # a branch of a plan returns NumPy scalars
    if not (counted or isinstance(b, (np.ndarray, np.generic, float, complex))):
        same = a is b or (type(a) is type(b) and bool(a == b))
        return None if same else f"{a!r:.40} instead of {b!r:.40}"
    a, b = np.asarray(a), np.asarray(b)
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return f"{a.dtype}{list(a.shape)} instead of {b.dtype}{list(b.shape)}"
    with np.errstate(all="ignore"):
        if slack is None and b.dtype.kind == "f" and b.size > TILE:
            usual = ROUNDINGS * np.finfo(b.dtype).eps * np.abs(b).max()
            if usual < np.inf and np.abs(a - b).max() <= usual:  # the fast way, in two passes; any NaN fails it
                return None
        same = (a == b) | ((a != a) & (b != b))
        if b.dtype.kind in "fc":
            finite = np.isfinite(b)
            size = np.abs(b[finite]).max(initial=0)
            bound = ROUNDINGS * np.finfo(b.dtype).eps * size
            if slack is not None:  # the median, since noise may have missed an entry that it could change
                bound = bound + ROUNDINGS * np.maximum(slack, np.median(slack[finite]) if finite.any() else 0)
            same |= finite & (np.abs(a - b) <= bound)
        if slack is not None:
            same |= slack == np.inf
    if same.all():
        return None
    at = np.unravel_index(int(np.argmin(same)), same.shape)
    place = f" at {[int(k) for k in at]}" if at else ""
    return f"{a[at]:.9g} instead of {b[at]:.9g}{place} of {b.dtype}{list(b.shape)}"


# -- Other arguments of the same kind


def other_arguments(leaves: Sequence[Any], fixed: frozenset[int], plain: frozenset[int], attempt: int) -> list[Any]:
    """Return arguments of the same shapes and dtypes with other values, in memory of another layout.

    Args:
        leaves: the leaves of the arguments.
        fixed: places of leaves whose value is kept, since the plan depends on it.
        plain: places of arrays that stay contiguous, since the plan writes into them.
        attempt: 0 changes all values and their signs; 1 keeps signs; 2 also keeps integers; 3 only rolls arrays along
            their first axis; 4 changes no value.
    """
    rng = np.random.default_rng(attempt)
    changed = []
    for slot, x in enumerate(leaves):
        if slot in fixed or isinstance(x, np.random.Generator):
            changed.append(x)
        elif type(x) in NUMBERS:
            if attempt > 2 or (attempt == 2 and type(x) is int):
                changed.append(x)
            else:
                changed.append(x + 1 if type(x) is int else x * (1 + 0.1 * rng.random()))
        elif isinstance(x, (np.ndarray, np.generic, Tensor)):
            data = np.asarray(raw(x))
            new = _other_values(data, attempt, rng)
            if new is data:
                new = np.array(data)
            if isinstance(x, np.generic):
                changed.append(new[()])
                continue
            new = new if slot in plain else in_other_layout(new, slot)
            changed.append(Tensor(new, x.node is not None, x.name) if isinstance(x, Tensor) else new)
        else:
            changed.append(x)
    return changed


def _other_values(x: Any, attempt: int, rng: np.random.Generator) -> Any:
    """Return an array with other values, or the array itself if this attempt does not change its dtype."""
    if attempt == SAME or x.dtype.kind not in "fciub":
        return x
    if attempt == 3:
        return np.roll(x, 1, axis=0) if x.ndim else x
    if x.dtype.kind in "fc":
        if not x.any():
            return _drawn(x, lambda shape, root: (0.1 * rng.random(shape)) ** root).astype(x.dtype)

        def factors(shape: Any, root: float) -> Any:
            signs = np.ones(shape)
            if attempt == 0 and x.ndim:
                signs = rng.choice([-1.0, 1.0], shape)
                signs.flat[0] = 1 if shape == OTHER_TILE else -1  # so that the first entry changes its sign
            return (1 + 0.1 * rng.random(shape)) ** root * signs

        return (x * _drawn(x, factors)).astype(x.dtype, copy=False)
    if x.ndim == 0 and x.dtype.kind in "iu" and attempt < 2:
        return (x + 1).astype(x.dtype)
    return np.roll(x, 1)


def _drawn(x: Any, draw: Callable[[Any, float], Any]) -> Any:
    """Return random numbers for the entries of an array.

    For a large array these are products of two repeated tiles of coprime lengths, so that their period is very long.

    Args:
        draw: called as ``draw(shape, exponent)``: exponent 1, or 0.5 for each of two factors.
    """
    if x.size <= TILE:
        return draw(x.shape, 1.0)
    one, other = (np.resize(draw(n, 0.5).astype(x.real.dtype), x.shape) for n in (TILE, OTHER_TILE))
    one *= other
    return one


def in_other_layout(x: Any, kind: int) -> Any:
    """Return the same entries in memory of another layout: a part of a larger array, reversed, or in Fortran order.

    Example:
        >>> in_other_layout(np.arange(3.0), 2).strides
        (-8,)
    """
    if x.ndim == 0:
        return np.full(3, x)[1, ...]
    if kind % 4 == 0:
        return np.concatenate([x[:1], x, x[:1]])[1:-1] if len(x) else x
    if kind % 4 == 1:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if kind % 4 == 2:
        return x[::-1].copy()[::-1]
    return np.asfortranarray(x)


def check_is_running() -> bool:
    """Tell whether this thread runs a function for a check; compiled functions inside it then run uncompiled."""
    return getattr(now, "checking", False)


class Trial:
    """The check of one new plan.

    Args:
        function: the function that was compiled.
        plan: the plan made from it.
        program: the traced operations.
        rebuild: puts leaves into ``(args, kwargs)``.
        draws: resets the random generators among the arguments.
    """

    def __init__(self, function: Any, plan: Any, program: Program, rebuild: Any, draws: Any) -> None:
        self.function, self.plan, self.program, self.rebuild, self.draws = function, plan, program, rebuild, draws
        at = ":".join(map(str, program.augmented))
        self.also = f", or that {at} writes into an array that has two names" if at else ""

    def on_others(self, leaves: Sequence[Any], fixed: frozenset[int], traced: Any) -> None:
        """Run function and plan on other arguments of the same kind, and compare the results.

        Arguments for which the function raises, or has more NaN and infinities in its result than in the trace, are
        replaced by the next attempt.

        Raises:
            Untraceable: the results differ.
        """
        strange = _count_non_finite(traced)
        for attempt in range(SAME + 1):
            make = partial(other_arguments, leaves, fixed, self.plan.donated, attempt)
            rows = ROWS if attempt < SAME else None
            try:
                with switched("steps", STEPS if attempt < SAME else None), switched("rows", rows):
                    wanted = self._eager(make())
            except TraceEnded as error:  # every further call would raise it too
                raise Untraceable("it keeps an array for its next call, which a plan would not see.") from error
            except Exception:  # the function refuses such values, or takes Tensors only
                continue
            if attempt == SAME or _count_non_finite(wanted) <= strange:
                steps = 2 * STEPS if attempt < SAME else None
                with suppress(AtEqualValues), switched("steps", steps), switched("rows", rows):
                    return self.judge(self._replayed(make()), wanted, make)

    def judge(self, actual: Any, wanted: Any, make: Callable[[], Sequence[Any]]) -> None:
        """Compare the plan's result with the function's; `make` returns their arguments once more.

        Raises:
            Untraceable: they differ by more than rounding.
        """
        noise, given = np.random.default_rng(0), []  # type: ignore[var-annotated]

        def run(noisy: bool) -> list[Any]:
            self.draws.rewind()
            given[:] = given or [canonical(x) for x in make()]  # made when first needed, since it seldom is
            return run_operations(self.program, given, noise if noisy else None)

        apart = partial(_quietly, lambda a, b: difference(a, b, run))
        text = apart(actual, wanted)
        if text is None:
            return
        try:
            steady = apart(self._eager(make()), wanted) is None
        except Exception:  # the function runs only on traced Tensors, so it cannot be compared with itself
            steady = True
        if not steady:
            raise Untraceable("its second run gave different numbers: it depends on something besides its arguments.")
        raise Untraceable(DEFECT.format(text=text, also=self.also))

    def _eager(self, leaves: Sequence[Any]) -> Any:
        self.draws.rewind()
        args, kwargs = self.rebuild(list(leaves))
        found, refill = flatten(_quietly(self.function, *args, **kwargs))
        return refill([x.copy() if isinstance(x, np.ndarray) else x for x in map(array_or_scalar, found)])

    def _replayed(self, leaves: Sequence[Any]) -> Any:
        """Return the plan's result after all its buffers were filled with NaN."""
        from .plan import MISS

        self.draws.rewind()
        self.plan.poison()
        args, kwargs = self.rebuild(list(leaves))
        try:
            found = _quietly(self.plan.enter, args, kwargs)
            return _quietly(self.plan.run, *map(canonical, leaves)) if found is MISS else found
        except Mismatch as error:
            raise Untraceable(str(error)) from error


DEFECT = (
    "the check of the compiled function gave {text}, which is not rounding. That is a bug in the compiler, or the "
    "function checks the type of an argument, such as np.ndarray or float: while it is traced, an argument is a Tensor"
    "{also}. If it is a bug, please report it with this function."
)


def _count_non_finite(result: Any) -> int:
    """Return how many numbers in a nest are NaN or infinite."""
    leaves = [np.asarray(x) for x in flatten(result)[0] if isinstance(x, (np.ndarray, np.generic, float, complex))]
    return sum(int(np.sum(~np.isfinite(x))) for x in leaves if x.dtype.kind in "fc")


def _quietly(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function as part of a check: without warnings, and with compiled functions inside it uncompiled."""
    before, now.checking = check_is_running(), True
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(*args, **kwargs)
    finally:
        now.checking = before
