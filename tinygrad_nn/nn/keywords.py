"""Keyword arguments of constructors: PyTorch's names as aliases of ours, and an error for an unknown name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, Signature, signature
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from ..common.arguments import check_flag
from ..common.printable import counted
from ..common.spelling import did_you_mean

Class = TypeVar("Class", bound=type)
_DEVICES = (None, "cpu")
OLD_REDUCTION = {  # PyTorch's options before it had reduction=, which still have their places among the arguments
    "size_average": (None, "write reduction='mean', or reduction='sum' for size_average=False"),
    "reduce":       (None, "write reduction='none' for reduce=False"),
}  # fmt: skip
RECOMPUTED = {"recompute_scale_factor": ((None, False), "give size=, from which the distance of the pixels follows")}
ACTIVATION = " An activation is a part of its own: nn.Sequential(nn.{}(...), nn.ReLU())."


def pytorch_names(
    fixed: Mapping[str, tuple[Any, str]] | None = None, then: str = "", /, **names: str
) -> Callable[[Class], Class]:
    """Return a class decorator: the constructor accepts PyTorch's keywords as well, and they become properties.

    So ``Linear(in_features=3)`` is ``Linear(n_in=3)``, and ``layer.in_features`` is ``layer.n_in``.

    Args:
        fixed: PyTorch's option -> the only value that is supported here (``...`` for any), and advice for the error
            message.
        then: the options that PyTorch also takes by position, in their order, after the positional arguments here.
        **names: PyTorch's option -> the name of the option here.

    Returns:
        The decorator.

    Raises:
        TypeError: from the constructor, for an unknown option, or one that is given under both names.
        NotImplementedError: from the constructor, for an unsupported value of a fixed option.

    Example:
        >>> @pytorch_names(in_features="n_in")
        ... class Layer:
        ...     def __init__(self, n_in): self.n_in = n_in
        >>> Layer(in_features=3).in_features
        3
    """
    one = {"inplace": (..., ""), "device": (_DEVICES, "arrays are NumPy's and stay in main memory"), **(fixed or {})}

    def extend(cls: Class) -> Class:
        init = cls.__init__  # type: ignore[misc]
        known = list(signature(init).parameters.values())[1:]
        check = scalar_check(known)

        @wraps(init)
        def __init__(self: Any, *args: Any, **options: Any) -> None:
            name = type(self).__name__
            args, options = by_position(name, args, options, known, then.split())
            options = translate_options(name, options, names, one, known, len(args))
            check(name, args, options)
            init(self, *args, **options)

        cls.__init__ = __init__  # type: ignore[misc]
        for theirs, ours in names.items():
            setattr(cls, theirs, property(attrgetter(ours), doc=f"PyTorch's name of {ours}."))
        return cls

    return extend


def scalar_check(known: list[Parameter]) -> Callable[[str, tuple[Any, ...], Mapping[str, Any]], None]:
    """Return a check of a call's arguments: flags and numbers are of the type of their default.

    An option that takes words as well, such as padding="same", is annotated so, or as Any. Numbers that may be left out
    have the default None, and are known by their annotation.
    """
    places = [(k, p, str(p.annotation)) for k, p in enumerate(known)]
    scalars = [(k, p.name, p.default, type(p.default) is int or "None" in kind, type(p.default) is int or "int" in kind)
               for k, p, kind in places
               if isinstance(p.default, (bool, float)) or kind in ("int | None", "float | None")
               or (isinstance(p.default, int) and kind != "Any" and "str" not in kind)]  # fmt: skip

    def check(call: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        for k, name, default, optional, whole in scalars:
            value = args[k] if k < len(args) else options.get(name, default)
            if value is default:
                continue
            if isinstance(default, bool):
                activation = name == "bias" and (callable(value) or isinstance(value, str))
                check_flag(call, name, value, ACTIVATION.format(call) * activation)
            elif (value is None and not optional) or isinstance(value, (str, dict)):
                what = f"{name}={value!r:.60} is of type {type(value).__name__}"
                usual = "or None" if default is None else f"e.g. {name}={default}"
                raise TypeError(f"{call}: {what}; it needs a {'whole ' * whole}number, {usual}.")

    return check


def by_position(
    call: str, args: tuple[Any, ...], options: dict[str, Any], known: list[Parameter], then: Sequence[str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a call's arguments and options, where arguments after those of `known` become the options `then`."""
    if any(p.kind is Parameter.VAR_POSITIONAL for p in known):
        return args, options
    names = [p.name for p in known if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
    more = args[len(names) :]
    if len(more) > len(then):
        raise TypeError(
            f"{call} takes at most {counted(len(names) + len(then), 'argument')} by position"
            f"{': ' * bool(names or then)}{', '.join([*names, *then])}; it got {len(args)}."
        )
    given = dict(zip(then, more, strict=False))
    if twice := [name for name in given if name in options]:
        raise TypeError(f"{call}: {twice[0]} is given twice, by position and by name.")
    return args[: len(names)], {**given, **options}


def translate_options(
    call: str, options: dict[str, Any], names: Mapping[str, str], fixed: Mapping[str, tuple[Any, str]],
    parameters: list[Parameter], positions: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Return the options of a call under the names that they have here; raise for unknown and repeated ones."""
    here = {p.name: p for p in parameters}
    anything = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
    translated: dict[str, Any] = {}
    for name, value in options.items():
        ours = names.get(name, name)
        if ours in translated or ours in list(here)[:positions]:
            raise TypeError(f"{call}: {ours} is given twice{f', once as {name}' if name != ours else ''}.")
        if ours in here and here[ours].kind is not Parameter.VAR_KEYWORD:
            if not (ours == "dtype" and value is None):  # PyTorch's None means the default dtype
                translated[ours] = value
        elif name in fixed:
            _check_fixed(call, name, value, *fixed[name])
        elif anything:
            translated[ours] = value
        else:
            takes = [p.name for p in parameters]
            theirs = [each for each in names if each not in takes]
            also = f", or {', '.join(theirs)}" if theirs else ""
            hint = did_you_mean(name, [*takes, *theirs])
            raise TypeError(f"{call} has no option {name!r}.{hint} It takes {', '.join(takes) or 'none'}{also}.")
    return translated


def bind_arguments(
    call: str, signature: Signature, names: Mapping[str, str], options: dict[str, Any]
) -> dict[str, Any]:
    """Return all options of a call by our names, defaults included; `names` are the accepted aliases."""
    fixed = {"inplace": (..., ""), **OLD_REDUCTION} if "reduction" in signature.parameters else {"inplace": (..., "")}
    values = signature.bind(**translate_options(call, options, names, fixed, list(signature.parameters.values())))
    values.apply_defaults()
    return values.arguments


def _check_fixed(call: str, name: str, value: Any, only: Any, instead: str) -> None:
    """Raise if an option of PyTorch has a value that is not supported here."""
    allowed = only if isinstance(only, tuple) else (only,)
    text = str(value) if name == "device" and value is not None else value
    if only is ... or any(np.array_equal(text, each) for each in allowed):
        return
    raise NotImplementedError(f"{call}: {name}={value!r:.60} is not supported; {instead}.")
