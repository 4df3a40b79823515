"""The arguments of `nn.functional`: lists become arrays, other keywords are translated, and what is wrong is named."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from inspect import signature
from typing import Any

from .keywords import scalar_check, translate_options
from .linear import as_array

_WORDS = {"axis": "dim", "x": "input", "logits": "input", "prediction": "input", "alpha": "negative_slope",
          "approximation": "approximate", "W": "weight", "b": "bias", "kernel": "kernel_size"}  # fmt: skip
_THIRD = {  # options that PyTorch also takes by position, after the first two arguments
    **dict.fromkeys(["cross_entropy", "nll_loss", "binary_cross_entropy"], ("weight",)),
    "binary_cross_entropy_with_logits": ("weight",), "huber_loss": ("reduction", "delta"),
}  # fmt: skip
_ARRAYS = ("input", "x", "x1", "x2", "weight", "query", "key", "value")  # arguments without a default that are arrays


def checked_function(name: str, function: Any, fixed: Mapping[str, tuple[Any, str]]) -> Any:
    """Return the function, which then also takes lists, our and NumPy's keywords, and reports what is wrong.

    Args:
        name: its name in `nn.functional`; fixed: options of PyTorch with a single value, see `pytorch_names`.
    """
    third, fixed = _THIRD.get(name, ()), {"inplace": (..., ""), **fixed}
    known = list(signature(function).parameters.values())
    words = {"input": known[0].name}  # losses call this argument `prediction` or `logits`
    words |= {ours: theirs for ours, theirs in _WORDS.items() if any(p.name == theirs for p in known)}
    arrays = [(k, p.name) for k, p in enumerate(known) if p.default is p.empty and p.name in _ARRAYS]
    check = scalar_check(known)

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if third and 2 < len(args) <= 2 + len(third):
            options, args = dict(zip(third, args[2:], strict=False), **options), args[:2]
        if options:
            options = translate_options(function.__name__, options, words, fixed, known, len(args))
        for k, word in arrays:
            if k < len(args) and not hasattr(args[k], "dtype"):
                args = (*args[:k], _as_array(name, word, args[k]), *args[k + 1 :])
            elif word in options and not hasattr(options[word], "dtype"):
                options = {**options, word: _as_array(name, word, options[word])}
        check(name, args, options)
        return function(*args, **options)

    return call


def _as_array(call: str, name: str, value: Any) -> Any:
    try:
        return as_array(value, name)
    except TypeError as error:
        raise TypeError(f"{call}: {error}") from None
