"""Every row of the table with each subset of its arguments as Tensors, the others constants of any form: two orders.

The derivatives of a call of which every argument is a Tensor are compared with numerical ones in test_primitives.py;
those of a subset must be the same numbers, whatever the constants beside it are, and forward over reverse must agree
with reverse over reverse.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from cases.case import Case
from test_primitives import ROWS, arguments, close, generator, moving, same_bits

from tinygrad_nn import Tensor, grad, jvp
from tinygrad_nn.tree import flatten

# Of these arguments NumPy does not tell us, or the call is a method of the argument: alone they are no Tensors' call.
UNSEEN = {
    ("select", (2,)), ("piecewise", (1,)), ("choose", (1,)), ("pad", (1,)),
    *((f"{nan}{name}", (1,)) for nan in ("", "nan") for name in ("sum", "prod", "max", "min")),
    *((f"{name}.reduce", (1,)) for name in ("add", "multiply", "maximum", "minimum", "logaddexp", "hypot")),
    ("polyint", (1,)), ("at_set", (1,)), ("at_add", (1,)), ("at_multiply", (1,)), ("at_min", (1,)), ("at_max", (1,)),
}  # fmt: skip
SETS = {"union1d", "intersect1d", "setdiff1d", "setxor1d"}  # of numbers that are rounded fewer differ
# Whole numbers are the ends of an interval of probabilities, where these quantiles are infinite or their slope is.
ENDS = {
    ("stdtrit", 1), ("chdtri", 1), ("gdtrix", 2), ("fdtri", 2), ("gammaincinv", 1), ("gammainccinv", 1),
    ("betaincinv", 2), ("betainccinv", 2),
}  # fmt: skip
TWICE = [case for case in ROWS if case.order == 2]
SEVERAL = [case for case in TWICE if len(case.shapes) > 1]


def agree(found: Any, wanted: Any, terms: Any) -> None:
    """Compare second derivatives to 1e-10 of their size or of that of the terms whose difference they are."""
    if same_bits(found, wanted):
        return
    size = max(np.abs(a)[np.isfinite(a)].max(initial=0.0) for a in (wanted, terms))
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10 * size)


class Sweep:
    """The derivatives of one row under a fixed random cotangent, along a fixed random direction."""

    def __init__(self, case: Case) -> None:
        self.case, self.arrays = case, arguments(case)
        self.moving = moving(case, self.arrays)
        rng = generator(case)
        self.direction = {i: rng.standard_normal(self.arrays[i].shape) for i in self.moving}
        outs = flatten(case.call(*map(Tensor, self.arrays)))[0]
        self.cotangents = [rng.uniform(0.5, 1.5, np.shape(out)) for out in outs]

    def subsets(self) -> Iterator[tuple[int, ...]]:
        """All subsets of the arguments that have a gradient, the whole first."""
        for n in range(len(self.moving), 0, -1):
            yield from itertools.combinations(self.moving, n)

    def of(self, subset: tuple[int, ...], constants: Sequence[Any]) -> Callable[..., Any]:
        """The call as a function of a subset of its arguments that returns one number."""

        def f(*moved: Any) -> Any:
            given = list(constants)
            for i, x in zip(subset, moved, strict=True):
                given[i] = x
            total = Tensor(0.0, requires_grad=False)
            for out, c in zip(flatten(self.case.call(*given))[0], self.cotangents, strict=True):
                if isinstance(out, Tensor) and out.dtype.kind in "fc":
                    total = total + (np.real(out) * c).sum()
                    total = total + (0.7 * c * np.imag(out)).sum() if out.dtype.kind == "c" else total
            return total

        return f

    def slope(self, f: Callable[..., Any], subset: tuple[int, ...], within: tuple[int, ...]) -> Callable[..., Any]:
        """The derivative of f along the direction of a subset of its arguments."""

        def along(*moved: Any) -> Any:
            found = dict(zip(within, grad(f, range(len(within)))(*moved), strict=True))
            return sum(((found[i] * self.direction[i]).sum() for i in subset), Tensor(0.0, requires_grad=False))

        return along

    def first(self, subset: tuple[int, ...], constants: Sequence[Any]) -> tuple[Any, ...]:
        return grad(self.of(subset, constants), range(len(subset)))(*(self.arrays[i] for i in subset))

    def second(self, subset: tuple[int, ...], within: tuple[int, ...], constants: Sequence[Any]) -> tuple[Any, ...]:
        """The Hessian with respect to the arguments within, times the direction of a subset of them."""
        f = self.slope(self.of(within, constants), subset, within)
        return grad(f, range(len(within)))(*(self.arrays[i] for i in within))


@pytest.mark.parametrize("case", TWICE, ids=str)
def test_each_subset_of_the_arguments_has_the_derivatives_of_the_whole(case: Case) -> None:
    sweep = Sweep(case)
    whole = tuple(sweep.moving)
    for subset in sweep.subsets():
        if (case.name, subset) in UNSEEN:
            continue
        again, twice = sweep.first(subset, sweep.arrays), sweep.second(subset, subset, sweep.arrays)
        if subset == whole:
            first = dict(zip(whole, again, strict=True))
        of_whole = twice if subset == whole else sweep.second(subset, whole, sweep.arrays)
        second = dict(zip(whole, of_whole, strict=True))
        for i, g, h in zip(subset, again, twice, strict=True):
            assert type(g) is type(h) is np.ndarray
            assert (g.shape, g.dtype, h.dtype) == (sweep.arrays[i].shape, sweep.arrays[i].dtype, g.dtype)
            close(g, first[i], rtol=1e-10)
            agree(h, second[i], g)
        f = sweep.of(subset, sweep.arrays)
        points, direction = [sweep.arrays[i] for i in subset], [sweep.direction[i] for i in subset]
        _, forward = jvp(lambda *xs, f=f: grad(f, range(len(xs)))(*xs), points, direction)
        for g, h, d in zip(again, twice, forward, strict=True):
            agree(d, h, g)


@pytest.mark.parametrize("case", [case for case in TWICE if case.name in {name for name, _ in UNSEEN}], ids=str)
def test_a_tensor_that_numpy_does_not_tell_us_of_raises_or_is_differentiated(case: Case) -> None:
    sweep = Sweep(case)
    whole = tuple(sweep.moving)
    for subset in sweep.subsets():
        if (case.name, subset) in UNSEEN and subset != whole:
            try:
                found = sweep.first(subset, sweep.arrays)
            except (TypeError, ValueError, AttributeError):
                continue
            for i, g in zip(subset, found, strict=True):
                close(g, sweep.first(whole, sweep.arrays)[whole.index(i)])


def forms(x: np.ndarray) -> list[Any]:
    """The same numbers in other forms that NumPy accepts; an empty list would lose the shape."""
    lists = [x.tolist(), tuple(x.tolist())] if x.ndim and x.size else []
    return [*lists, *([] if x.ndim else [x.item(), x[()]]), Tensor(x, requires_grad=False)]


@pytest.mark.parametrize("case", SEVERAL, ids=str)
def test_constants_may_be_lists_numbers_scalars_and_constant_tensors(case: Case) -> None:
    sweep = Sweep(case)
    for subset in sweep.subsets():
        others = [i for i in range(len(sweep.arrays)) if i not in subset]
        if not others or (case.name, subset) in UNSEEN:
            continue
        first, second = sweep.first(subset, sweep.arrays), sweep.second(subset, subset, sweep.arrays)
        for i in others:
            for value in forms(sweep.arrays[i]):
                given = [*sweep.arrays[:i], value, *sweep.arrays[i + 1 :]]
                try:
                    case.call(*given)
                except Exception:
                    continue  # NumPy, or the row itself, takes no such form
                for g, wanted in zip(sweep.first(subset, given), first, strict=True):
                    close(g, wanted, rtol=1e-10)
                for h, wanted, g in zip(sweep.second(subset, subset, given), second, first, strict=True):
                    agree(h, wanted, g)


@pytest.mark.parametrize("case", SEVERAL, ids=str)
def test_constants_may_be_integers(case: Case) -> None:
    sweep = Sweep(case)
    for subset in sweep.subsets():
        for i in {*range(len(sweep.arrays))} - {*subset}:
            whole = np.asarray(np.rint(sweep.arrays[i]), dtype=int)
            whole[whole == 0] = 1
            if (case.name, subset) in UNSEEN or case.name in SETS or (case.name, i) in ENDS:
                continue
            if sweep.arrays[i].dtype != float:
                continue
            floats = [*sweep.arrays[:i], whole.astype(float), *sweep.arrays[i + 1 :]]
            wanted: tuple[Any, Any] | None = None
            for value in [whole, *forms(whole)[:-1]]:
                given = [*sweep.arrays[:i], value, *sweep.arrays[i + 1 :]]
                try:
                    kinds = [[np.result_type(x) for x in flatten(case.call(*a))[0]] for a in (given, floats)]
                except Exception:
                    continue  # NumPy, or the row itself, takes no such numbers
                if kinds[0] != kinds[1]:
                    continue  # the result is integers too: what is put into integers is cut off
                first, second = wanted = wanted or (sweep.first(subset, floats), sweep.second(subset, subset, floats))
                for g, f in zip(sweep.first(subset, given), first, strict=True):
                    close(g, f, rtol=1e-10)
                for g, f, terms in zip(sweep.second(subset, subset, given), second, first, strict=True):
                    agree(g, f, terms)
