"""The gradient of a primitive as a linear function of its cotangent, whose transpose is the primitive's JVP rule.

Forward mode is computed by two backward walks. The second walk differentiates the first one with respect to its
cotangent only. If a primitive has a JVP rule, the second walk uses that, so the VJP rule need not be differentiable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..node import recording
from ..primitive import Primitive
from ..tensor import Tensor, apply, raw
from ..transforms import new_input, pullback


def record_vjp(
    name: str,
    vjp: Callable[..., Any],
    jvp: Callable[..., Any],
    run: Callable[..., Tensor],
    conj: Callable[[Any], Any],
    g: Any,
    arrays: Sequence[Any],
) -> Any:
    """Compute ``vjp(g, out, *arrays)`` and record it as one operation on the cotangent and the arrays.

    Args:
        name: the name of the primitive.
        vjp: its VJP rule for one argument, ``vjp(g, out, *arrays)``.
        jvp: its JVP rule for the same argument, ``jvp(v, *arrays)`` with a direction v.
        run: the primitive itself, ``run(*arrays)``, for Tensors.
        conj: a function that conjugates complex gradients and returns real ones unchanged.
        g: the cotangent.
        arrays: the arguments of the primitive that are differentiated.
    """

    def forward(g: Any, *arrays: Any) -> Any:
        return raw(vjp(g, raw(run(*arrays)), *arrays))

    def of_array(k: int) -> Callable[..., Any]:
        def rule(c: Any, out: Any, g: Any, *arrays: Any) -> Any:
            with recording(True):
                inputs = [new_input(x) for x in arrays]
                found = vjp(g, run(*inputs), *inputs)
            return conj(pullback(found, inputs, conj(c))[k]) if isinstance(found, Tensor) else None

        return rule

    rules = [(lambda c, out, g, *arrays: jvp(c, *arrays), "J c"), *((of_array(k), "c") for k in range(len(arrays)))]
    operation = Primitive(f"gradient_of_{name}", forward, rules, rf"\operatorname{{{name}}}^T g")
    return apply(operation, (g, *arrays))
