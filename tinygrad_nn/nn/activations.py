"""The activations by name, each a primitive with its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..common.spelling import did_you_mean
from ..ops.activations import celu, elu, gelu, hard_sigmoid, hard_swish, hard_tanh, mish, selu, silu, softsign
from ..ops.elementwise import tanh
from ..ops.neural import leaky_relu, relu, sigmoid, softmax
from ..ops.special import softplus

PRIMITIVES: dict[str, Any] = {
    "sigmoid":      sigmoid,
    "softmax":      softmax,
    "tanh":         tanh,
    "linear":       None,
    "relu":         relu,
    "leaky_relu":   leaky_relu,
    "elu":          elu,
    "selu":         selu,
    "celu":         celu,
    "gelu":         gelu,
    "silu":         silu,
    "mish":         mish,
    "softplus":     softplus,
    "softsign":     softsign,
    "hard_tanh":    hard_tanh,
    "hard_sigmoid": hard_sigmoid,
    "hard_swish":   hard_swish,
}  # fmt: skip
OPTIONS = {  # the options that a name may have in parentheses
    "leaky_relu": ("alpha",),
    "elu":        ("alpha",),
    "celu":       ("alpha",),
    "gelu":       ("approximate",),
    "softplus":   ("beta",),
    "hard_tanh":  ("low", "high"),
}  # fmt: skip
_EXAMPLES = "'leaky_relu(0.2)', 'elu(0.5)', 'celu(2)', 'gelu(tanh)', 'softplus(2)' and 'hard_tanh(-2, 2)'"
_SLOPE = 0.01


class Activation(NamedTuple):
    """A callable activation: its canonical name, the primitive (``None`` for linear) and the primitive's options."""

    name: str
    primitive: Any
    meta: dict[str, Any]

    def __call__(self, z: Any) -> Any:
        """Apply the activation to an array or a Tensor ``(batch, n_out)``."""
        return z if self.primitive is None else self.primitive(z, **self.meta)

    @property
    def slope(self) -> float | None:
        """The slope below zero of a rectifier, as He's initialisation needs it; ``None`` for other activations.

        For selu it is 1, so that He's variance becomes LeCun's 1/n_in, for which the fixed point of selu is derived
        (Klambauer et al., 2017). The smooth rectifiers (elu, gelu, silu, ...) return ``None`` and use Xavier's.
        """
        if self.primitive is relu:
            return 0.0
        if self.primitive is selu:
            return 1.0
        return self.meta.get("alpha", _SLOPE) if self.primitive is leaky_relu else None


def activation(name: str | Callable[..., Any]) -> Activation:
    r"""Look up an activation by name, in any letter case, or by a function that has such a name.

    .. math:: a = f(z)

    Args:
        name: a key of `PRIMITIVES`, possibly with its numbers in parentheses: ``'relu'``, ``'leaky_relu(0.2)'``,
            ``'elu(0.5)'``, ``'gelu(tanh)'``, ``'hard_tanh(-2, 2)'``; or a function such as ``tinygrad_nn.relu`` or
            ``np.tanh``.

    Returns:
        The activation, a function of arrays and Tensors.

    Raises:
        ValueError: an unknown activation, or one of its numbers is out of range.
        TypeError: neither a name nor a function with a name.

    Example:
        >>> activation("ReLU").name, activation("leaky_relu(0.20)").name
        ('relu', 'leaky_relu(0.2)')
    """
    text = name if isinstance(name, str) else getattr(name, "__name__", None)
    if not isinstance(text, str):
        raise TypeError(
            f"an activation is a name such as 'relu' or a function with such a name; this is {name!r:.60} of type "
            f"{type(name).__name__}. Known: {', '.join(PRIMITIVES)}."
        )
    key = "".join(text.lower().split())
    if key in PRIMITIVES:
        return Activation(key, PRIMITIVES[key], {})
    head, bracket, inside = key.partition("(")
    if head in OPTIONS and bracket and inside.endswith(")"):
        meta = _options(head, inside[:-1].split(","))
        if meta is not None:
            PRIMITIVES[head](0.0, **meta)  # raises if a number is out of range
            return Activation(f"{head}({','.join(map(_number_text, meta.values()))})", PRIMITIVES[head], meta)
    hint = did_you_mean(head, PRIMITIVES)
    if head in ("prelu", "glu", "log_softmax"):
        hint = f" {head} is a function to call on the result of a linear layer: tinygrad_nn.{head}."
    raise ValueError(
        f"unknown activation {text!r}; known are {', '.join(PRIMITIVES)}, and with their numbers {_EXAMPLES}.{hint}"
    )


def _options(name: str, parts: list[str]) -> dict[str, Any] | None:
    """Return the options in the parentheses of a name, or ``None`` if they cannot be parsed."""
    if len(parts) != len(OPTIONS[name]):
        return None
    meta: dict[str, Any] = {}
    for option, part in zip(OPTIONS[name], parts, strict=True):
        value = part.removeprefix(f"{option}=")
        if option == "approximate":
            meta[option] = value
            continue
        try:
            meta[option] = float(value)
        except ValueError:
            return None
        if not abs(meta[option]) < float("inf"):
            return None
    return meta


def _number_text(value: float | str) -> str:
    """Return the shortest text from which the number can be read back exactly."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
