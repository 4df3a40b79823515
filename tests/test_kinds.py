"""Mistakes of many families are found, named and located; the right backward passes cause no alarm."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.kinds import FAMILIES
from tinygrad_nn import compare_gradients
from tinygrad_nn.compare import KINDS

ROWS = [(family, *row) for family, (*_, rows) in FAMILIES.items() for row in rows]


def manual(backward: Any, bug: str) -> Any:
    """The backward with a mistake, with the parameters that it takes without."""
    made = partial(backward, bug=bug)
    names = [p for p in inspect.signature(backward).parameters.values() if p.name != "bug"]
    made.__signature__ = inspect.Signature(names)
    return made


@pytest.mark.parametrize(("family", "bug", "kinds", "where"), ROWS, ids=[f"{f}, {b}" for f, b, *_ in ROWS])
def test_a_mistake_is_named_where_it_is(family: str, bug: str, kinds: str, where: str) -> None:
    f, inputs, backward, _ = FAMILIES[family]
    report = compare_gradients(f, inputs(np.random.default_rng(0)), manual=manual(backward, bug))
    assert not report.ok
    assert set(report.kinds) <= set(kinds.split()), str(report)
    assert set(kinds.split()) <= set(KINDS)
    assert any(part in report.first_wrong for part in where.split("|")), report.first_wrong


@pytest.mark.parametrize("family", FAMILIES)
def test_a_right_backward_has_no_alarm(family: str) -> None:
    f, inputs, backward, _ = FAMILIES[family]
    for seed in range(5):
        report = compare_gradients(f, inputs(np.random.default_rng(seed)), manual=manual(backward, ""), rng=seed)
        assert report.ok, str(report)
        assert not report.diagnoses
