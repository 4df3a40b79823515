"""Parts of a verdict on layers: the layer to blame, merging of findings, and findings from numbers alone."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.compare.layers.verdict as verdict_module
from tinygrad_nn.compare.diagnosis import Diagnosis, Row
from tinygrad_nn.compare.layers.findings import Finding
from tinygrad_nn.compare.layers.verdict import (
    SPAN,
    _affected_rows,
    _evidence,
    _filter_kinks,
    _first_wrong,
    _kept_axes,
    _layer_of,
    _merged,
    _row_sentence,
    _true_of_all_calls,
    _unexplained_diagnoses,
)


def row(name: str, **more: Any) -> Any:
    given = {"ok": False, "odd": "manual", "note": "", "worst": (1, 2), "manual": 2.0, "graph": 1.0, "numerical": 1.5}
    return SimpleNamespace(name=name, **{**given, **more})


KINK, SCALE = Finding(1, "W", "kink", "a"), Finding(2, "delta", "scale", "b")


def test_slopes_at_kinks_are_conventions_where_the_sides_span_the_gradients_and_nowhere_else() -> None:
    wrong = [row("layer 1 b"), row("layer 3 W"), row("layer 3 b"), row("layer 2 W")]
    assert _filter_kinks([KINK, SCALE], wrong, at_kink=False) == [SCALE]
    assert _filter_kinks([SCALE, KINK], wrong, at_kink=True) == [KINK]
    found = _filter_kinks([SCALE], wrong, at_kink=True)
    assert [(f.layer, f.part, f.kind, f.evidence) for f in found] == [
        (2, "b", "kink", (SPAN,)), (2, "W", "kink", (SPAN,)), (1, "W", "kink", (SPAN,)), (0, "b", "kink", (SPAN,)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "layer"),
    [("layer 1 W", 0), ("layer 12 b", 11), ("data_cache.a[2]", 2), ("data_cache.z[0]", 0), ("data_cache.x", 0),
     ("data_cache.y", 3)],
)  # fmt: skip
def test_the_layer_that_an_array_belongs_to(name: str, layer: int) -> None:
    assert _layer_of(name, 4) == layer


def test_the_rows_of_which_one_is_wrong_where_a_finding_shows() -> None:
    assert _affected_rows(Finding(1, "W", "scale", ""), has_delta=False) == ["layer 2 W"]
    assert _affected_rows(Finding(0, "delta", "scale", ""), has_delta=False) == ["layer 1 W", "layer 1 b"]
    assert _affected_rows(Finding(0, "delta", "scale", ""), has_delta=True) == [
        "layer 1 W",
        "layer 1 b",
        "layer 1 delta",
    ]


def test_equal_findings_for_W_and_b_are_merged() -> None:
    one, two = Finding(0, "W", "scale", "dW is twice the right one."), Finding(0, "b", "scale",
    "db is twice the right one.")
    (both,) = _merged([one, two])
    assert (both.part, both.text) == ("W and b", "dW and db are twice the right ones.")
    other = Finding(0, "b", "scale", "db lacks the 1/N.")
    (both,) = _merged([one, other])
    assert both.text == "dW is twice the right one. db lacks the 1/N."
    for left, right in (
        (one, Finding(1, "b", "scale", two.text)), (one, Finding(0, "b", "sign", two.text)),
        (one, Finding(0, "delta", "scale", two.text)), (Finding(0, "delta", "scale", one.text), two),
        (Finding(0, "W", "unknown", one.text), Finding(0, "b", "unknown", two.text)),
    ):  # fmt: skip
        assert _merged([left, right]) == [left, right]
    assert _merged([SCALE, one, two]) == [SCALE, Finding(0, "W and b", "scale", "dW and db are twice the right ones.")]


@pytest.mark.parametrize(
    ("found", "written", "diagnoses", "first"),
    [
        ([SCALE, Finding(0, "W", "sign", "")], [], [], "layer 3"),
        ([KINK, Finding(0, "W", "sign", "")], [], [], "layer 1"),
        ([Finding(0, "W", "sign", "")], ["layer 2 W", "layer 4 W"], [], "layer 2"),
        ([], ["data_cache.a[3]"], [], "layer 4"),
        ([SCALE], ["layer 2 W"], [], "layer 3"), ([KINK], [], [], None),
        ([], [], [Diagnosis("kink", "layer 1 W", ""), Diagnosis("scale", "layer 2 W and b", "")], "layer 2"),
        ([], [], [Diagnosis("scale", "loss", "")], "loss"), ([], [], [Diagnosis("convention", "loss", "")], None),
    ],
)  # fmt: skip
def test_the_layer_nearest_the_loss_that_is_to_blame(found: Any, written: Any, diagnoses: Any, first: Any) -> None:
    verdict: Any = SimpleNamespace(user_batch=SimpleNamespace(case=SimpleNamespace(W=[0] * 4)))
    assert _first_wrong(verdict, found, written, diagnoses) == first


def test_what_holds_although_numbers_change_with_each_call() -> None:
    moving = Diagnosis("nondeterministic", "dW", "")
    stale, wrote = Diagnosis("dropout_mask_stale", "layer 1", ""), Diagnosis("inplace_overwrite", "x", "")
    scale = Diagnosis("scale", "layer 1", "")
    assert _true_of_all_calls([scale, stale, wrote], moving) == [wrote, stale]
    assert _true_of_all_calls([scale, wrote], moving) == [wrote, moving]
    adding = Diagnosis("accumulated_over_calls", "dW", "")
    assert _true_of_all_calls([scale, stale], adding) == [adding]


def test_a_kept_axis_is_a_convention_of_the_batch_that_was_given() -> None:
    kept = "layer 2 b has shape (1, 3)"
    verdict: Any = SimpleNamespace(hidden=False,
    user_batch=SimpleNamespace(case=SimpleNamespace(answer=SimpleNamespace(kept_axes=[kept]))))
    (found,) = _kept_axes(verdict)
    assert (found.kind, found.where) == ("convention", "layer 2 b")
    assert found.text.startswith(f"The gradient of {kept}: the numbers are those of the graph")
    verdict.hidden = True
    assert _kept_axes(verdict) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"odd": "graph"}, "a rule of this library is wrong"),
        ({"odd": "numerical"}, "a kink or a jump may be very near"),
        ({"note": "3 of 4 not finite"}, "3 of 4 not finite: NaN and infinity come from 0/0"),
        ({"note": "has shape (2,), but should have (3,)"},
        "The gradient has shape (2,), but should have (3,); it needs the shape"),
        ({}, ""), ({"odd": ""}, ""),
    ],
)  # fmt: skip
def test_the_properties_of_a_row(more: dict[str, Any], said: str) -> None:
    found = _row_sentence(row("layer 1 W", **more))
    assert said in found
    assert bool(said) == bool(found)


def test_a_wrong_array_without_a_finding_gets_its_own_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    right = SimpleNamespace(dW=[np.ones((2, 2))] * 3, db=[np.ones(2)] * 3, delta=[np.ones((4, 2))] * 3)
    layers = SimpleNamespace(kept_axes=[], overwritten=[])
    case: Any = SimpleNamespace(answer=layers, right=right, W=[np.ones((2, 2))] * 3, is_large=False)
    verdict: Any = SimpleNamespace(user_batch=SimpleNamespace(case=case, noise=None))
    rows = [row(f"layer {k} {part}", odd="numerical") for k in (1, 2, 3) for part in "Wb"]

    monkeypatch.setattr(verdict_module, "right_equation", lambda case, k, part, kind: ("B1", f"{k} {part}"))

    def told(*found: Finding) -> list[str]:
        extra = _unexplained_diagnoses(verdict, rows, found)
        for d in extra:
            _, number, part = d.where.split()
            assert (d.kind, d.number, d.equation) == ("unknown", "B1", f"{int(number) - 1} {part}")
            assert d.evidence == ("entry [1, 2]: manual 2, graph 1, numerical 1.5",)
        return [d.where for d in extra]

    every = [r.name for r in rows]
    assert told() == every
    assert told(Finding(1, "W", "scale", "")) == [n for n in every if n != "layer 2 W"]
    assert told(Finding(1, "b", "scale", "")) == [n for n in every if n != "layer 2 b"]
    assert told(Finding(1, "delta", "scale", "")) == ["layer 3 W", "layer 3 b"]
    assert told(Finding(2, "delta", "scale", "")) == []
    rows[0].note = "1 of 4 not finite"
    assert told(Finding(2, "delta", "scale", "")) == ["layer 1 W"]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ((), "this explains dW and db of the layer up to rounding in the batch of 7 rows; the right equation does not"),
        ((Finding(1, "W", "unknown", ""),), "this explains db of the layer up to rounding in the batch of 7 rows"),
        ((Finding(0, "W", "unknown", ""),), "this explains dW and db of the layer"),
    ],
)
def test_a_finding_explains_no_array_of_its_layer_that_is_left_unexplained(others: Any, said: str) -> None:
    one = Finding(1, "b", "overwritten_not_accumulated", "")
    witness = SimpleNamespace(case=SimpleNamespace(rows=7, is_large=False))
    state = SimpleNamespace(findings=(one, *others))
    verdict: Any = SimpleNamespace(witnesses=[witness], user_batch=witness, hidden=False, state=state)
    assert _evidence(verdict, one)[0].startswith(said)
    both = SimpleNamespace(findings=(one, Finding(1, "W", "unknown", ""), Finding(1, "b", "unknown", "")))
    assert _evidence(SimpleNamespace(**{**vars(verdict), "state": both}), one) == ()  # type: ignore[arg-type]


def test_a_row_has_the_columns_that_are_read_here() -> None:
    assert {"ok", "odd", "note", "worst", "manual", "graph", "numerical", "name"} <= set(Row.__dataclass_fields__)
