"""The gradient of a primitive as a linear function of its cotangent, whose transpose is the primitive's JVP rule.

Forward mode is two walks back. The second one differentiates the first with respect to the cotangent alone; where a
primitive has a JVP rule it is asked for that, so that the VJP rule need not be differentiable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..node import recording
from ..primitive import Primitive
from ..tensor import Tensor, apply, raw
from ..transforms import enter, pullback


def transposed(
    name: str,
    vjp: Callable[..., Any],
    jvp: Callable[..., Any],
    run: Callable[..., Tensor],
    conj: Callable[[Any], Any],
    g: Any,
    arrays: Sequence[Any],
) -> Any:
    """Return ``vjp(g, out, *arrays)`` as an operation on the cotangent and the arrays.

    Args:
        name: of the primitive.
        vjp: its rule for one argument, ``vjp(g, out, *arrays)``.
        jvp: its rule forward, ``jvp(v, *arrays)`` for a direction of that argument.
        run: the primitive itself, ``run(*arrays)``, of Tensors.
        conj: the conjugate of what is complex.
        g: the cotangent.
        arrays: the arguments that are differentiated.
    """

    def forward(g: Any, *arrays: Any) -> Any:
        return raw(vjp(g, raw(run(*arrays)), *arrays))

    def of_array(k: int) -> Callable[..., Any]:
        def rule(c: Any, out: Any, g: Any, *arrays: Any) -> Any:
            with recording(True):
                inputs = [enter(x) for x in arrays]
                found = vjp(g, run(*inputs), *inputs)
            return conj(pullback(found, inputs, conj(c))[k]) if isinstance(found, Tensor) else None

        return rule

    rules = [(lambda c, out, g, *arrays: jvp(c, *arrays), "J c"), *((of_array(k), "c") for k in range(len(arrays)))]
    operation = Primitive(f"gradient_of_{name}", forward, rules, rf"\operatorname{{{name}}}^T g")
    return apply(operation, (g, *arrays))
