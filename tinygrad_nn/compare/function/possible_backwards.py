"""Call a changed function in the place of the user's backward, in each calling convention, to test the change."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ...common.call_site import PACKAGE, is_of_library
from ..conventions.code import Code, results, same_draws
from ..conventions.recognize import recognize_code
from ..conventions.value_with_gradients import besides_value, value_position
from ..edits.running import copy_value, tracing_calls
from .calling import Inputs, call_function

Array = np.ndarray[Any, Any]

MOST = 6  # the most functions called by one backward whose lines are searched


class Batch(NamedTuple):
    """The code at some inputs: its results, the right gradients, their error bounds, and masks of entries to ignore."""

    code: Code
    leaves: list[Array]
    g: Any
    outs: list[Array]
    right_gradients: list[Array]
    error: list[Array]
    ignored: list[Array]

    def copy_arguments(self) -> tuple[Inputs, list[Array], Any]:
        """Return copies of inputs, leaves and cotangents, which a changed backward may write into."""
        memo: dict[int, Any] = {}
        inputs = self.code.inputs._replace(leaves=copy_value(self.code.inputs.leaves, memo))
        return inputs, [x.copy() for x in self.leaves], copy_value(self.g, memo)


class PossibleBackward(NamedTuple):
    """A function whose lines are searched for the mistake.

    `call` calls a changed function in its place; `finish` returns from its result the function's results (or None) and
    the gradients; `stores_gradients` says that gradients are stored elsewhere, so that the return value alone does not
    show them.
    """

    target: Any
    call: Callable[[Any, Batch], Any]
    finish: Callable[[Any], tuple[list[Array] | None, Any]]
    stores_gradients: bool


def possible_backwards(code: Code, f: Any, user_inputs: Any, manual: Any, first: Batch) -> Iterator[PossibleBackward]:
    """Yield the functions in which the mistake may be: the backward, or for objects the methods that it calls."""
    if callable(manual) and (code.backward is manual or code.backward == manual) and not isinstance(manual, type):

        def call(new: Any, batch: Batch) -> Any:
            return recognize_code(f, user_inputs, new).back(*batch.copy_arguments())

        yield PossibleBackward(manual, call, lambda value: (None, value), False)
    elif manual is None and code.backward is None and isinstance(f, types.FunctionType):

        def call_with_same_draws(new: Any, batch: Batch) -> Any:
            with same_draws():
                return call_function(new, *batch.copy_arguments()[:2])

        def split_result(value: Any) -> tuple[list[Array], Any]:
            place = value_position(value)
            return [np.asarray(value[place])], besides_value(value, place)

        yield PossibleBackward(f, call_with_same_draws, split_result, False)
    else:
        for owner, name, target in _called_methods(lambda: code.back(*first.copy_arguments()))[:MOST]:

            def call_replaced(new: Any, batch: Batch, owner: Any = owner, name: str = name) -> Any:
                with _replacing(owner, name, new):
                    inputs, leaves, _ = batch.copy_arguments()
                    outs = [np.asarray(out) for out in results(batch.code.run(inputs, leaves))]
                    return outs, batch.code.back(*batch.copy_arguments())

            yield PossibleBackward(target, call_replaced, lambda value: value, True)


@contextmanager
def _replacing(owner: Any, name: str, new: Any) -> Iterator[None]:
    """Replace a function of a class or a module inside the ``with``."""
    old = inspect.getattr_static(owner, name) if isinstance(owner, type) else vars(owner)[name]
    wrapped = type(old)(new) if isinstance(old, (staticmethod, classmethod)) else new
    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, old)


def _called_methods(run: Callable[[], Any]) -> list[tuple[Any, str, Any]]:
    """Return the user's methods that the last call of user code ran, in order, each as (class, name, function)."""
    calls: list[tuple[types.FrameType, types.CodeType, Any]] = []

    def enter(frame: types.FrameType, event: str, arg: Any) -> None:
        if _is_own(frame):
            back = frame.f_back
            while back is not None and not _is_own(back) and not back.f_code.co_filename.startswith(PACKAGE):
                back = back.f_back
            if back is None or not _is_own(back):  # called by this package: a forward, or the backward
                calls.clear()
            names = frame.f_code.co_varnames[: min(1, frame.f_code.co_argcount)]
            calls.append((frame, frame.f_code, frame.f_locals.get(names[0]) if names else None))

    with tracing_calls(enter):
        run()
    methods: list[tuple[Any, str, Any]] = []
    for frame, code, owner in calls:
        place = _defining_class(frame, code, owner)
        if place is not None and place[2] not in [f[2] for f in methods]:
            methods.append(place)
    return methods


def _is_own(frame: types.FrameType) -> bool:
    """Tell whether a frame runs user code."""
    return not frame.f_code.co_name.startswith("<") and not is_of_library(frame.f_code.co_filename)


def _defining_class(frame: types.FrameType, code: types.CodeType, owner: Any) -> tuple[Any, str, Any] | None:
    """Return the class that defines a function, its name there, and the function; None if no class does."""
    classes = (owner if isinstance(owner, type) else type(owner)).__mro__[:-1] if owner is not None else ()
    others = [v for v in frame.f_globals.values() if isinstance(v, type)]
    for cls in (*classes, *others):
        for name, value in vars(cls).items():
            function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            if isinstance(function, types.FunctionType) and function.__code__ is code:
                return cls, name, function
    return None
