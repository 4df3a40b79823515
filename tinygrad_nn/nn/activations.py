"""The activations by name: what a layer does with its weighted input, as one declared primitive each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..ops.elementwise import tanh
from ..ops.neural import leaky_relu, relu, sigmoid, softmax

PRIMITIVES = {
    "sigmoid":    sigmoid,
    "softmax":    softmax,
    "tanh":       tanh,
    "linear":     None,
    "relu":       relu,
    "leaky_relu": leaky_relu,
}  # fmt: skip
_SLOPE = 0.01


class Activation(NamedTuple):
    """A parsed name: the canonical text, the primitive (``None`` for linear) and its metadata."""

    name: str
    primitive: Any
    meta: dict[str, Any]

    def __call__(self, z: Any) -> Any:
        """Apply it to an array or a Tensor ``(batch, n_out)``."""
        return z if self.primitive is None else self.primitive(z, **self.meta)

    @property
    def slope(self) -> float | None:
        """The slope below zero of a rectifier, ``None`` for the others: what He's initialisation asks."""
        if self.primitive is relu:
            return 0.0
        return self.meta.get("alpha", _SLOPE) if self.primitive is leaky_relu else None


def activation(name: str | Callable[..., Any]) -> Activation:
    r"""Look up an activation by name, in any letter case, or by a function that has such a name.

    .. math:: a = f(z)

    Args:
        name: ``'sigmoid'``, ``'softmax'``, ``'tanh'``, ``'linear'``, ``'relu'``, ``'leaky_relu'`` (slope 0.01 below
            zero) or, with another slope, ``'leaky_relu(0.2)'``; or ``tinygrad_nn.relu``, ``np.tanh`` and the like.

    Returns:
        The activation, a function of arrays and Tensors.

    Raises:
        ValueError: there is no such activation.
        TypeError: neither a name nor a function with one.

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
    if head == "leaky_relu" and bracket and inside.endswith(")"):
        try:
            alpha = float(inside[:-1].removeprefix("alpha="))
        except ValueError:
            alpha = float("nan")
        if abs(alpha) < float("inf"):
            return Activation(f"leaky_relu({alpha:g})" if float(f"{alpha:g}") == alpha else f"leaky_relu({alpha!r})",
                              leaky_relu, {"alpha": alpha})
    from difflib import get_close_matches

    near = get_close_matches(key, PRIMITIVES, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"unknown activation {text!r}; known are {', '.join(PRIMITIVES)}, and leaky_relu with its slope, as in "
        f"'leaky_relu(0.2)'.{hint}"
    )
