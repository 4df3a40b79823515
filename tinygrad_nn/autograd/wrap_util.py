"""Turn an operator on functions of one argument, such as `grad`, into one on functions of several arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..common.printable import counted
from .util import subvals


def unary_to_nary(unary_operator: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``operator(fun, argnum=0)``, which applies ``unary_operator(fun, x)`` to the numbered argument(s) of fun.

    Example:
        >>> value_at = unary_to_nary(lambda fun, x: fun(x + 1))
        >>> value_at(lambda a, b: 10 * a + b, 1)(2, 3)
        24
    """

    def nary_operator(fun: Callable[..., Any], argnum: Any = 0, *options: Any, **more: Any) -> Callable[..., Any]:
        if type(argnum) not in (int, tuple, list):
            raise TypeError(f"argnum must be the number of an argument, or a tuple of such numbers; it got {argnum!r}.")
        single = isinstance(argnum, int)

        def nary(*args: Any, **kwargs: Any) -> Any:
            needed = max([argnum] if single else argnum, default=-1)
            if needed >= len(args):
                raise TypeError(
                    f"argnum={argnum}, but {get_name(fun)} was called with {counted(len(args), 'argument')} by "
                    "position. Pass the differentiated arguments by position."
                )

            def unary(x: Any) -> Any:
                return fun(*subvals(args, [(argnum, x)] if single else zip(argnum, x, strict=True)), **kwargs)

            unary.__name__ = get_name(fun)
            return unary_operator(unary, args[argnum] if single else tuple(args[i] for i in argnum), *options, **more)

        nary.__name__ = f"{get_name(unary_operator)}_of_{get_name(fun)}_wrt_argnum_{argnum}"
        nary.__doc__ = f"{get_name(unary_operator)} of {get_name(fun)} with respect to argument number {argnum}."
        return nary

    nary_operator.__name__, nary_operator.__doc__ = get_name(unary_operator), unary_operator.__doc__
    return nary_operator


def get_name(f: Any) -> str:
    """Return the name of a function."""
    return getattr(f, "__name__", "[unknown name]")
