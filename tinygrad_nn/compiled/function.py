"""`compile`: trace a function once for each kind of arguments (shapes, dtypes, flags), then run the plan made of it."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import update_wrapper
from threading import RLock
from typing import Any, overload

import numpy as np

from ..common.call_site import calling_line, raising_line
from ..common.forks import building, renewed_after_fork
from ..common.lost_graph import LOOP
from ..common.printable import printable
from ..node import thread
from ..primitive import AtEqualValues
from ..tensor import Tensor
from ..tree import containers, flatten
from . import check
from .collector import without_collector
from .numba.forked import Forked
from .numpy.replay import Mismatch
from .plan import MISS, Plan, SharedArgument
from .program import arguments as nest
from .program import verify
from .program.simplify import copy_shared_results, simplify
from .trace.call import array_or_scalar, canonical, refuse_argument, trace
from .trace.nodes import SecondOrder, Untraceable
from .trace.recorder import Recorder
from .trace.side_effects import GeneratorStates, HiddenGenerators, restoring_generators

BACKENDS = ("auto", "numpy", "numba")
OFTEN = 8  # a function that is traced this many times gets a warning
PLANS = 16  # the default number of plans that a function keeps


@overload
def compile(
    function: Callable[..., Any], *, backend: str = ..., donate: Sequence[int | str] = ..., maxsize: int | None = ...
) -> Compiled: ...
@overload
def compile(
    function: None = None, *, backend: str = ..., donate: Sequence[int | str] = ..., maxsize: int | None = ...
) -> Callable[[Callable[..., Any]], Compiled]: ...
def compile(
    function: Callable[..., Any] | None = None, *, backend: str = "auto", donate: Sequence[int | str] = (),
    maxsize: int | None = PLANS,
) -> Any:  # fmt: skip
    r"""Return a function that computes the same results as `function` and runs faster.

    The first call with arguments of given shapes and dtypes runs the function once and records every operation:
    forward, backward and update together. The recorded list is simplified, its results get buffers that are kept
    between calls, and it becomes straight-line Python code, which every further call runs. Arrays, numbers and random
    generators among the arguments may differ from call to call. Everything else, such as flags, strings and variables
    that the function closes over, is fixed when it is traced; a call with another flag or string is traced anew.

    Args:
        function: takes arrays and numbers, and nested dicts, lists, tuples and dataclasses of them. It returns a
            nest of the same kinds and has no other effect. `grad`, `value_and_grad` and ``t.backward()`` may be used
            inside. Without it a decorator with these options is returned, ``@compile(backend="numpy")``.
        backend: ``"numpy"`` replays NumPy calls, for real numbers to the same last bit where NumPy's own order of
            summation is kept;
            ``"numba"`` fuses them into machine code, equal up to rounding; ``"auto"`` is numba if it is installed
            and the plan has few kernels.
        donate: positions or names of arguments whose arrays the call may overwrite with its results. A training loop
            then updates parameters in place, and needs one set of arrays instead of two.
        maxsize: how many plans, with their buffers, are kept: one for each kind of arguments (shapes, dtypes, flags).
            The least recently used plan is dropped first. ``None`` keeps all.

    Returns:
        A `Compiled`, called like the function. It returns plain arrays, which the caller owns: the memory of a result
        is reused only when nobody refers to it any more.

    Raises:
        TypeError: what is given is not a function, or `donate` is not a tuple.
        ValueError: the backend is unknown, the function has no argument that `donate` gives, or `maxsize` is not a
            positive integer.
        ImportError: numba was asked for and is not installed.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import compile, value_and_grad
        >>> step = compile(lambda w, x: w - 0.1 * value_and_grad(lambda w: ((w * x) ** 2).sum())(w)[1], backend="numpy")
        >>> step(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
        array([0.8, 0.4])
    """
    if function is None:
        return lambda function: compile(function, backend=backend, donate=donate, maxsize=maxsize)
    if not callable(function):
        raise TypeError(
            f"compile takes a function; it got {function!r:.60} of type {type(function).__name__}. Write "
            "compile(step)(w, x), with the function itself."
        )
    donate = _checked_donate(function, donate)
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r}; known are {', '.join(BACKENDS)}.")
    if maxsize is not None and (type(maxsize) is not int or maxsize < 1):
        raise ValueError(f"maxsize={maxsize!r}; it must be a positive integer, or None to keep every plan.")
    automatic = backend == "auto"
    if backend != "numpy":
        try:
            with building:
                import numba  # noqa: F401
        except ImportError:
            if backend == "numba":
                raise ImportError("backend='numba' needs numba: pip install 'tinygrad-nn[jit]'.") from None
            backend = "numpy"
        else:
            backend = "numba"
    return Compiled(function, backend, tuple(donate), automatic, maxsize)


def _checked_donate(function: Any, donate: Any) -> tuple[int | str, ...]:
    """Return the positions and names of the donated arguments; raise if the function cannot have such arguments."""
    if isinstance(donate, (int, str)):
        raise TypeError(f"donate={donate!r}; it needs a tuple of positions or names, donate=({donate!r},).")
    given = tuple(donate)
    if not given:
        return given
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a function without a signature
        return given
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values()):
        return given
    for key in given:
        if (key not in parameters) if isinstance(key, str) else not 0 <= key < len(parameters):
            raise ValueError(
                f"donate={given}: {key!r} is no argument of the function; it has {', '.join(parameters) or 'none'}. "
                "Give names, or positions counted from 0."
            )
    return given


class BackendError(Exception):
    """Wraps an error of the compiler or backend, not of the function, while a plan was made or first run."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


def no_plan(args: Any, kwargs: Any) -> Any:
    """Return ``MISS``: stands in for a plan's `enter` while no plan is current."""
    return MISS


class Compiled:
    """A function that runs as a plan; made by `compile`.

    Attributes:
        function: the function that was compiled.
        backend: ``"numpy"`` or ``"numba"``.
        varies: whether later calls may have batches of other lengths.
        plans: for each kind of call its `Plan`, or as text the reason why there is none; the most recently used last.
    """

    def __init__(
        self, function: Callable[..., Any], backend: str, donate: tuple[int | str, ...], automatic: bool = False,
        maxsize: int | None = PLANS,
    ) -> None:  # fmt: skip
        self.function, self.backend, self.donate, self.automatic = function, backend, donate, automatic
        self.maxsize, self.varies = maxsize, False
        self.plans: dict[Any, Plan | str] = {}
        self.traces = 0
        self._fixed: dict[Any, frozenset[int]] = {}
        self._last: Callable[..., Any] = no_plan
        self._lock = renewed_after_fork(RLock())
        self._warned = False
        update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the plan for these arguments; trace the function first if there is none."""
        if thread.mode.level is not None:
            return self.function(*args, **kwargs)  # inside vmap: the arguments stand for one sample of a batch
        with self._lock:
            try:
                try:
                    result = self._last(args, kwargs)
                except Exception as error:
                    return self._instead(error, args, kwargs)
                return self._first(args, kwargs) if result is MISS else result
            except AtEqualValues as error:
                if self.donate:
                    raise RuntimeError(
                        f"{self}: {error} The donated arguments may be overwritten already. Call the function itself "
                        "for such arguments, or compile it without donate=."
                    ) from error
                return bare_tree(self.function(*args, **kwargs))
            except Mismatch as error:
                return self._varied(str(error), args, kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Compiled:
        """Return the compiled function, which is not bound to an object: raise for a method.

        Raises:
            TypeError: the function is a method. The arrays in its object would be constants of the plan.
        """
        names = getattr(getattr(self.function, "__code__", None), "co_varnames", ())
        if instance is not None and names[:1] == ("self",):
            name = self.function.__name__
            raise TypeError(
                f"compile: {name} is a method, and a compiled function does not notice that an attribute of self has "
                f"changed. Compile it for one object, in __init__: self.{name} = tinygrad_nn.compile(self.{name}), and "
                "pass what changes as an argument; or compile a function of the parameters."
            )
        return self

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """Return the plan for these arguments, which prints as a table.

        Raises:
            RuntimeError: the function could not be traced; the message says where.
        """
        with self._lock:
            draws = GeneratorStates(flatten([args, kwargs])[0])
            plan, _ = self._plan_for(args, kwargs, keep=False)
            draws.rewind()
        if isinstance(plan, str):
            raise RuntimeError(f"there is no plan: {plan}")
        return plan

    def _first(self, args: Any, kwargs: Any) -> Any:
        # The result of a call that the last used plan does not fit: find or make its plan, and run that.
        leaves = flatten([args, kwargs])[0]
        graph = any(isinstance(x, Tensor) and x.node is not None for x in leaves)
        if graph or isinstance(thread.mode, Recorder) or check.check_is_running():
            return self.function(*args, **kwargs)  # an argument has a graph, or another trace or a check runs this
        plan, result = self._plan_for(args, kwargs)
        if isinstance(plan, str):
            return bare_tree(self.function(*args, **kwargs))
        if result is MISS:
            given = [canonical(x) for x in leaves]
            plan.refuse_shared(given)
            self._last = plan.enter
            try:
                result = plan.run(*given)
            except Exception as error:
                return self._instead(error, args, kwargs)
        self._last = plan.enter
        return result

    def _instead(self, error: Exception, args: Any, kwargs: Any) -> Any:
        """Return the result of the function itself after its plan raised; drop the plan unless the function raises."""
        if isinstance(error, (AtEqualValues, Mismatch)):
            raise error
        key, plan = next((k, p) for k, p in self.plans.items() if isinstance(p, Plan) and p.enter is self._last)
        if plan.spends and not isinstance(error, Forked):
            leaves = flatten([args, kwargs])[0]
            if any(isinstance(leaves[k], np.ndarray) and not leaves[k].flags.writeable for k in plan.donated):
                raise ValueError(
                    "an array in a donated argument is read-only. Pass a copy of it, or leave it out of `donate`."
                ) from error
            raise error  # the plan may already have drawn random numbers, or overwritten arguments
        result = bare_tree(self.function(*args, **kwargs))
        if isinstance(error, np.linalg.LinAlgError):
            return result  # the function catches this error itself; for other matrices the plan still works
        self._replace(plan.backend, key, error)
        return result

    def _replace(self, backend: str, key: Any, error: Exception) -> None:
        """Replace a backend that failed: numba by NumPy, NumPy by the uncompiled function; and warn."""
        why = printable(f"compiling with {backend} failed ({type(error).__name__}: {str(error) or 'no text'})."[:1000])
        self._last = no_plan
        if backend == "numba":
            self._say(f"{why} It runs with NumPy.")
            self.backend = "numpy"
            for other in [k for k, p in self.plans.items() if isinstance(p, Plan) and p.backend == backend]:
                del self.plans[other]
        else:
            self._say(f"{why} It runs without compilation.")
            self.plans[key] = why

    def _varied(self, text: str, args: Any, kwargs: Any) -> Any:
        """Run this kind of call uncompiled from now on, since a result has another shape or dtype than in the trace.

        Raises:
            RuntimeError: the plan may have written into donated arguments, or drawn from generators among them.
        """
        leaves = flatten([args, kwargs])[0]
        if self.donate or any(isinstance(x, np.random.Generator) for x in leaves):
            raise RuntimeError(f"compiled {self}: {text} Call the function itself for such arguments.")
        kind = containers((args, kwargs))
        fixed = self._fixed.get(kind, frozenset())
        self.plans[kind, tuple(nest.leaf_key(x, slot in fixed) for slot, x in enumerate(leaves))] = text
        self._last = no_plan
        self._say(f"{text} It runs without compilation.")
        return bare_tree(self.function(*args, **kwargs))

    def _plan_for(self, args: Any, kwargs: Any, keep: bool = True) -> tuple[Plan | str, Any]:
        """Return the plan for these arguments (or text: why there is none), and its result if it was made just now."""
        result: Any = MISS
        leaves, rebuild = flatten([args, kwargs])
        kind = containers((args, kwargs))
        while True:
            fixed = self._fixed.get(kind, frozenset())
            key = kind, tuple(nest.leaf_key(x, slot in fixed) for slot, x in enumerate(leaves))
            if key not in self.plans:
                try:
                    with without_collector():
                        self.plans[key], result = self._make(leaves, rebuild, (args, kwargs), fixed, keep)
                except Untraceable as error:
                    if set(error.slots) - fixed:
                        self._fixed[kind] = fixed | set(error.slots)
                        continue
                    self.plans[key] = str(error)
                    self._say(f"{error} It runs without compilation.")
                except BackendError as error:
                    again = self.backend == "numba"
                    self._replace(self.backend, key, error.cause)
                    if again:
                        continue
                self._count()
                self._limit()
            found = self.plans[key] = self.plans.pop(key)
            return found, result

    def _limit(self) -> None:
        """Drop the least recently used plans beyond `maxsize`."""
        while self.maxsize is not None and len(self.plans) > self.maxsize:
            del self.plans[next(iter(self.plans))]
            self._last = no_plan
        kinds = {kind for kind, _ in self.plans}
        for kind in [kind for kind in self._fixed if kind not in kinds]:
            del self._fixed[kind]

    def _make(self, leaves: Any, rebuild: Any, call: Any, fixed: frozenset[int], keep: bool) -> tuple[Plan, Any]:
        # Trace the function, make its plan, check the plan, and return it with the result of its first run.
        for x in leaves:
            refuse_argument(x)
        given = [canonical(x, keep=True) for x in leaves]
        hidden = HiddenGenerators(self.function, given)
        with restoring_generators(given) as draws:
            try:
                program, result = trace(self.function, given, rebuild, fixed)
            except SecondOrder:
                draws.rewind()
                program, result = trace(self.function, given, rebuild, fixed, recompute_saved=True)
            except Untraceable:
                raise
            except Exception as error:  # if the function raises on plain arrays too, its own error is raised here
                bare_tree(self.function(*rebuild(given)[0], **rebuild(given)[1]))
                why = f"{type(error).__name__}: {error}"
                if isinstance(error.__cause__, Untraceable):  # NumPy asked a Tensor for its number
                    why += f" Instead of out[i] = t write {LOOP}; or np.stack([...])."
                raise Untraceable(printable(why), at=raising_line(error)) from error
            hidden.check()
            try:
                program = copy_shared_results(simplify(program))
                with building:
                    plan = Plan(program, result, leaves, call, fixed, self)
                for writer in plan.code.all_writers():
                    verify.check_memory(writer)
                trial = check.Trial(self.function, plan, program, rebuild, draws)
                trial.on_others(given, fixed, result)
                draws.rewind()
                again = plan.first(given, keep, lambda found, were: trial.judge(found, result, lambda: were))
            except (Untraceable, SharedArgument, AtEqualValues, Mismatch):
                raise
            except Exception as error:
                raise BackendError(error) from error
        return plan, again

    def _count(self) -> None:
        self.traces += 1
        if self.traces >= OFTEN and not self._warned:
            self._warned = True
            shapes = [", ".join(map(str, key[1])) for key in list(self.plans)[-3:]]
            self._say(
                f"was traced {self.traces} times, for arguments such as {'; then '.join(shapes)}. Each new shape, "
                "dtype or flag is traced again: pad batches to one size, and pass values that change as arrays or "
                "numbers."
            )

    def _say(self, text: str) -> None:
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        file, line = calling_line()
        warnings.warn_explicit(f"compiled {printable(name)}: {printable(text)}", RuntimeWarning, file, line)

    def __reduce__(self) -> Any:
        # A copy has no plans and makes its own. A decorated function is found by its name, as functions are.
        name = getattr(self.function, "__qualname__", "")
        found: Any = sys.modules.get(getattr(self.function, "__module__", None) or "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name
        return Compiled, (self.function, self.backend, self.donate, self.automatic, self.maxsize)

    def __repr__(self) -> str:
        name = printable(getattr(self.function, "__qualname__", self.function))
        return f"<compiled {name} with {self.backend}>"


def bare_tree(result: Any) -> Any:
    """Return a result with its Tensors replaced by plain arrays."""
    leaves, rebuild = flatten(result)
    return rebuild([array_or_scalar(x) for x in leaves])
