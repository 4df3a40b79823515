"""A case: one call of one function, with where its inputs are drawn from and what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Interval = tuple[float, float]


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        name: of the primitive or NumPy function, as it stands in the docs.
        call: the call, a function of the arrays alone: ``lambda x: np.sum(x, axis=0)``. It runs on ndarrays (which is
            the reference, unless `reference` is given) and on Tensors.
        shapes: one shape per array, or an array where the values matter.
        domain: an interval for all arrays, or one per array; entries are drawn from it, away from its ends.
        reference: the same on ndarrays, for functions that NumPy does not have.
        order: up to which order derivatives are checked numerically.
        distinct: draw entries well apart from each other and from zero (max, sort, abs: kinks at ties and zero).
        complex: also check with complex inputs.
        analytic: whether the forward accepts complex inputs analytically, so that a complex step may referee.
        differentiable: per array, whether it has a gradient; by default all.
    """

    name: str
    call: Callable[..., Any]
    shapes: tuple[Any, ...]
    domain: Interval | tuple[Interval, ...] = (-2.0, 2.0)
    reference: Callable[..., Any] | None = None
    order: int = 2
    distinct: bool = False
    complex: bool = False
    analytic: bool = False
    differentiable: tuple[bool, ...] | None = None
    note: str = field(default="", compare=False)

    def __str__(self) -> str:
        shapes = ",".join(str(getattr(s, "shape", s)).replace(" ", "") for s in self.shapes)
        return f"{self.name}[{shapes}]{self.note and ' ' + self.note}"
