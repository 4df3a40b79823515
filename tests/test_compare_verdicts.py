"""From explanations of layers to a verdict: which findings are confirmed, and the sentences about them."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.compare.experiment as experiment_module
import tinygrad_nn.compare.layers.verdict as verdict_module
from tests.test_compare_layer_parts import TWICE, data_of, seen_of, spoiled
from tinygrad_nn.compare.diagnosis import Diagnosis
from tinygrad_nn.compare.experiment import Answer
from tinygrad_nn.compare.factors import Factor
from tinygrad_nn.compare.layers.explain import State
from tinygrad_nn.compare.layers.findings import Finding
from tinygrad_nn.compare.layers.fit import Witness
from tinygrad_nn.compare.layers.verdict import (
    NOTHING,
    SINGLE,
    _cheapest,
    _confirmed_findings,
    _convention_diagnosis,
    _diagnosis,
    _evidence,
    _explained,
    _explained_deltas,
    _hidden_mistakes,
    _is_loss_doubled,
    _is_right,
    _is_rounding,
    _merged,
    _overwritten_names,
    _shown_findings,
    _unsteady_diagnosis,
    _user_batch_deltas,
    _wrong_part_text,
    diagnose,
)
from tinygrad_nn.compare.numerical.noise import bounds

Array = np.ndarray[Any, Any]


def verdict_of(seen: list[Witness], *found: Finding, **more: Any) -> Any:
    made = {"user_batch": seen[0], "witnesses": seen, "varied": [], "state": State((), found, 0.0), "hidden": False,
            "repeated_answers": [seen[0].case.answer] * 2, "delta": [None, None]}  # fmt: skip
    return SimpleNamespace(**{**made, **more})


def row(name: str, **more: Any) -> Any:
    given = {"ok": False, "odd": "manual", "note": "", "worst": (0, 0), "manual": 2.0, "graph": 1.0, "numerical": 1.0,
             "role": "parameter", "wrong": 1.0, "max_rel": 1e-7}  # fmt: skip
    return SimpleNamespace(name=name, **{**given, **more})


def single(got: float, right: float, bound: float, *shapes: tuple[int, ...]) -> Any:
    """A verdict on dW and db with the same number in every entry, and with a rounding bound."""
    W, b = (np.full(shape, np.float32(got), float) for shape in shapes)
    case: Any = SimpleNamespace(answer=SimpleNamespace(dW=[W], db=[b]),
                                right=SimpleNamespace(dW=[np.full_like(W, right)], db=[np.full_like(b, right)]))
    noise: Any = SimpleNamespace(dW=[np.full_like(W, bound)], db=[np.full_like(b, bound)])
    return SimpleNamespace(user_batch=Witness(case, noise))


@pytest.mark.parametrize("bound", [1e-3, 1.0, 40.0])
def test_errors_of_float32_are_held_against_the_bound_of_each_entry(bound: float) -> None:
    rows = [row("layer 1 W"), row("layer 1 b")]
    for share, rounded in ((3.9, True), (-3.9, True), (4.1, False), (-4.1, False)):
        right = float(np.float32(1.5)) - share * SINGLE * bound
        assert _is_rounding(rows, single(1.5, right, bound, (2, 3), (2,))) is rounded
        assert _is_rounding(rows[:1], single(1.5, right, bound, (2, 3), (2,))) is rounded
        assert _is_rounding(rows[1:], single(1.5, right, bound, (2, 3), (4,))) is rounded


@pytest.mark.parametrize(
    ("size", "share", "rounded"),
    [(4, 0.75, False), (4, 1.0, True), (16, 0.25, False), (16, 0.3125, True), (20, 0.3, False), (10, 0.3, False),
     (10, 0.4, True), (2, 1.0, False)],
)  # fmt: skip
def test_rounding_is_in_more_than_three_entries_and_in_more_than_three_of_ten(
    size: int, share: float, rounded: bool
) -> None:
    verdict = single(1.5, 1.5 + SINGLE, 1.0, (1, size), (size,))
    for name in ("layer 1 W", "layer 1 b"):
        assert _is_rounding([row(name, wrong=share)], verdict) is rounded
    both = [row("layer 1 W", wrong=share), row("layer 1 b", wrong=share)]
    assert _is_rounding(both, verdict) is (2 * share * size > 3 and share > 0.3)
    assert _is_rounding([row("layer 1 W", wrong=share), row("layer 1 b", wrong=0.0)], verdict) is (
        share * size > 0.6 * size and share * size > 3
    )


def test_rounding_is_looked_for_in_the_layer_that_a_row_names() -> None:
    one, two = single(1.5, 1.5, 1.0, (2, 3), (4,)).user_batch, single(1.5, 9.0, 1.0, (2, 3), (4,)).user_batch
    answer, right = (SimpleNamespace(dW=[*a.dW, *b.dW], db=[*a.db, *b.db]) for a, b in (
        (one.case.answer, two.case.answer), (one.case.right, two.case.right)))  # fmt: skip
    noise: Any = SimpleNamespace(dW=one.noise.dW * 2, db=one.noise.db * 2)
    case: Any = SimpleNamespace(answer=answer, right=right)
    verdict: Any = SimpleNamespace(user_batch=Witness(case, noise))
    for part in "Wb":
        assert _is_rounding([row(f"layer 1 {part}")], verdict)
        assert not _is_rounding([row(f"layer 2 {part}")], verdict)


def mean_of(factor: Any, loss: Any = None, method: str = "l2") -> list[Witness]:
    """Answers for a loss with another mean: the loss and the gradient, without penalties, times a factor."""
    seen = [Witness(w.case, bounds(w.case)) for w in seen_of(method)]
    for w in seen:
        case, s = w.case, factor(w)
        plain = float(case.right.loss) - w.penalty
        told = s * plain + w.penalty if loss is None else loss(w, s, plain)
        dW = [s * data_of(w, k) + case.penalty(k) for k in (0, 1)]
        case.answer = Answer(told, dW, [s * g for g in case.right.db], None)
    return seen


BY_N = Finding(1, "delta", "scale", "", Factor("N", 4.0))


@pytest.mark.parametrize(
    ("loss", "agrees"),
    [
        (None, True), (lambda w, s, plain: s * plain, True), (lambda w, s, plain: s * (plain + w.penalty), False),
        (lambda w, s, plain: plain + w.penalty, False), (lambda w, s, plain: s * plain * (1 + 0.9e-4), True),
        (lambda w, s, plain: s * plain * (1 - 0.9e-4), True), (lambda w, s, plain: s * plain * (1 + 1.2e-4), False),
        (lambda w, s, plain: plain if w.case.rows == 6 else s * plain, False),
    ],
)  # fmt: skip
def test_loss_and_gradient_times_one_factor_are_a_convention(loss: Any, agrees: bool) -> None:
    seen = mean_of(lambda w: w.case.rows, loss)
    found = _convention_diagnosis(verdict_of(seen), [BY_N])
    assert (found is not None) is agrees
    if found is not None:
        case = seen[0].case
        assert found == Diagnosis(
            "convention", "loss",
            "Loss and gradient, without the penalty, are both N (the number of samples) times ours: this code takes a "
            "different mean (it may sum where ours divides by N). Its gradient is right for its loss. With the same "
            "learning rate, its steps are longer or shorter by that factor.",
            (f"the code's loss is {case.answer.loss:.7g}, ours {float(case.right.loss):.7g}",), factor="N",
        )  # fmt: skip


def test_findings_that_are_no_other_kind_of_mean() -> None:
    seen = mean_of(lambda w: w.case.rows)
    for found in (
        [], [BY_N, BY_N], [replace(BY_N, kind="sign")], [replace(BY_N, layer=0)], [replace(BY_N, part="W")],
        [replace(BY_N, part="b")], [replace(BY_N, factor=None)], [replace(BY_N, factor=Factor("N", 4.1))],
    ):  # fmt: skip
        assert _convention_diagnosis(verdict_of(seen), found) is None
    assert _convention_diagnosis(SimpleNamespace(user_batch=seen[0], witnesses=[]), [BY_N]) is None
    bare = [Witness(w.case, None) for w in seen]
    assert _convention_diagnosis(verdict_of(bare), [BY_N]) is None
    plain = mean_of(lambda w: w.case.rows, method="none")
    found_ = _convention_diagnosis(verdict_of(plain), [BY_N])
    assert found_ is not None
    assert found_.text.startswith("Loss and gradient are both N (the number of samples) times ours: ")
    for w in plain:
        w.case.right = w.case.right._replace(db=[0 * g for g in w.case.right.db])
    assert _convention_diagnosis(verdict_of(plain), [BY_N]) is None  # there is no ratio


RIGHT3 = np.array([[1.0, 2.0, 4.0], [8.0, -1.0, 0.5]])
WITH = " (The right value here follows from the delta of this layer, with the mistakes above in it.)"
ABOVE = " (The right value here follows from the delta above, with the mistakes in it.)"


def said(got: Any, f: Finding, noise: float | None = None, dtype: Any = np.float64) -> str:
    """The sentence about a wrong dW or db; RIGHT3, or its first row, is the right one."""
    W = RIGHT3 if f.part == "b" or got is None else np.asarray(got)
    b = RIGHT3[0] if f.part != "b" or got is None else np.asarray(got)
    right = SimpleNamespace(dW=[RIGHT3], db=[RIGHT3[0]], delta=[RIGHT3])
    case: Any = SimpleNamespace(
        answer=SimpleNamespace(dW=[W], db=[b]), right=right, is_user_batch=True, dtype=np.dtype(dtype)
    )
    W3, b3 = (None if noise is None else [np.full_like(x, noise)] for x in (RIGHT3, RIGHT3[0]))
    each: Any = None if noise is None else SimpleNamespace(dW=W3, db=b3, delta=W3)
    return _wrong_part_text(verdict_of([Witness(case, each)]), f)  # type: ignore[arg-type]


def moved(by: float, at: tuple[int, ...] = (1, 0), right: Array = RIGHT3) -> Array:
    new = right.copy()
    new[at] += by
    return new


OF_W, OF_B, OF_DELTA = (Finding(0, part, "unknown", "delta is wrong, and so on.") for part in ("W", "b", "delta"))


def test_the_sentence_about_an_unexplained_array() -> None:
    one = "Entry [{}] of {} is wrong, the other {} are right: it is {}, and should be {} (ratio {})."
    assert said(moved(1.0), OF_W) == one.format("1, 0", "dW", 5, 9, 8, 1.125)
    assert said(moved(2.0, (2,), RIGHT3[0]), OF_B) == one.format("2", "db", 2, 6, 4, 1.5)
    assert said(RIGHT3.T, OF_W) == "dW has shape (3, 2), but should have (2, 3)."
    assert said(RIGHT3[0, :2], OF_B) == "db has shape (2,), but should have (3,)."
    assert said(None, OF_DELTA) == "delta is wrong in other batches, and no known mistake explains it."
    told = replace(OF_DELTA, user_array=moved(1.0))
    assert said(None, told) == "delta is wrong in other batches, and no known mistake explains it."
    told = replace(told, right_array=RIGHT3)
    assert said(None, told) == one.format("1, 0", "delta", 5, 9, 8, 1.125)
    elsewhere = replace(told, text="In a random batch of 3 rows: delta is wrong, and so on.")
    assert said(None, elsewhere) == "In a random batch of 3 rows: " + one.format("1, 0", "delta", 5, 9, 8, 1.125)
    both = moved(1.0) + moved(0.9e-8 * 8, (0, 0), 0 * RIGHT3)
    assert "Entry [1, 0] of delta" in said(None, replace(elsewhere, user_array=both))
    both = moved(1.0) + moved(1.1e-8 * 8, (0, 0), 0 * RIGHT3)
    assert "Column 0 of delta" in said(None, replace(elsewhere, user_array=both))


def test_the_expected_array_may_be_computed_from_a_wrong_delta() -> None:
    wanted = 2 * RIGHT3
    got = moved(1.0, right=wanted)
    told = "Entry [1, 0] of {} is wrong, the other 5 are right: it is 17, and should be 16 (ratio 1.0625)."
    assert said(got, replace(OF_W, right_array=wanted)) == told.format("dW") + WITH
    assert said(None, replace(OF_DELTA, user_array=got, right_array=wanted)) == told.format("delta") + ABOVE
    assert said(moved(1.0), replace(OF_W, right_array=RIGHT3 * (1 + 0.9e-8))).endswith("(ratio 1.125).")
    assert said(moved(1.0), replace(OF_W, right_array=RIGHT3 * (1 + 1.1e-8))).endswith(WITH)


@pytest.mark.parametrize(
    ("by", "noise", "dtype", "also"),
    [
        (0.9e-10 * 8, None, "f8", False), (1.1e-10 * 8, None, "f8", True), (0.9e-10 * 8, 0.0, "f8", False),
        (1.1e-10 * 8, 0.0, "f8", True), (1e-4, 100.0, "f8", True), (0.9e-4, 1e-4 / 8 / 2.0**-52, "f8", False),
        (1.1e-4, 1e-4 / 8 / 2.0**-52, "f8", True), (0.9e-4, 1e-4 / 8 / 2.0**-23, "f4", False),
        (1.1e-4, 1e-4 / 8 / 2.0**-23, "f4", True),
    ],
)  # fmt: skip
def test_an_entry_is_wrong_where_it_is_off_by_more_than_rounding(
    by: float, noise: float | None, dtype: str, also: bool
) -> None:
    """One entry is off by 1, and another by a little."""
    for part, f in (("W", OF_W), ("b", OF_B)):
        right = RIGHT3 if part == "W" else RIGHT3[0]
        small = by if part == "W" else by / 2  # of the largest entry, which is 8 and 4
        if noise:
            small = by
        got = moved(1.0, (0,) * right.ndim, right) + moved(small, (-1,) * right.ndim, 0 * right)
        text = said(got, f, noise, dtype)
        assert text.startswith("Entries" if also else "Entry"), text


def test_if_all_differences_are_rounding_the_largest_is_reported() -> None:
    assert said(moved(1e-12) + moved(1e-11, (0, 1), 0 * RIGHT3), OF_W).startswith("Entry [0, 1] of dW is wrong")


def test_a_finding_as_a_diagnosis() -> None:
    seen = seen_of()
    kink = Finding(0, "W", "kink", "At a kink.", evidence=("seen",))
    assert _diagnosis(verdict_of(seen, kink), kink) == Diagnosis("kink", "layer 1 W", "At a kink.", ("seen",))
    bare = replace(kink, evidence=())
    assert _diagnosis(verdict_of(seen, bare), bare).equation  # of one that was found by its equation
    by = Finding(1, "W and b", "scale", "dW and db are twice.", Factor("2", 2.0), alternatives=("transpose",))
    found = _diagnosis(verdict_of(seen, by), by)
    assert (found.where, found.text, found.factor, found.alternatives, found.number) == (
        "layer 2 W and b", "dW and db are twice.", "2", ("transpose",), "(B44)")  # fmt: skip
    sign = replace(by, kind="sign", factor=Factor("-1", -1.0), alternatives=())
    found = _diagnosis(verdict_of(seen, sign), sign)
    assert (found.factor, found.alternatives) == ("", ())
    twice = Finding(0, "W", "extra_penalty", TWICE)
    found = _diagnosis(verdict_of(seen, twice), twice)
    assert (found.alternatives, found.number) == (("wrong_penalty",), "(B49)")
    other = replace(twice, alternatives=("scale",))
    assert _diagnosis(verdict_of(seen, other), other).alternatives == ("scale",)
    for part, number in (("W", "(B44)"), ("b", "(B45)"), ("delta", "(B43)")):
        f = Finding(0, part, "scale", "x")
        assert _diagnosis(verdict_of(seen, f), f).number == number
    for w in seen:
        w.case.answer.dW[0] = moved(1.0, (0, 0), w.case.right.dW[0])
    f = Finding(0, "W", "unknown", "dW is wrong, and no known mistake explains it.")
    assert _diagnosis(verdict_of(seen, f), f).text.startswith("Entry [0, 0] of dW is wrong, the other 11 are right")
    f = replace(f, text="The derivative of relu is used, but the activation is tanh.")
    assert _diagnosis(verdict_of(seen, f), f).text == f.text


FIRST = "this explains dW and db of the layer up to rounding in {}; the right equation does not"
OF_4 = FIRST.format("the batch of 4 rows")
THERE = "found with random weights and data; in the batch that was given something else hides it"
HERE = "in the batch that was given it does not show; with other weights and data it does"
SMALL = "found in small networks of the same activations, with random weights and data"


@pytest.mark.parametrize(
    ("f", "seen", "more", "evidence"),
    [
        (BY_N, (4, 6), {}, (FIRST.format("2 batches with 4, 6 rows"), "the factor is 4 in the first of them")),
        (BY_N, (4,), {}, (OF_4, "the factor is 4 in the first of them")),
        (replace(BY_N, factor=Factor("1/N", 1 / 3)), (4,), {},
         (OF_4, "the factor is 0.3333333 in the first of them")),
        (replace(BY_N, factor=Factor("-1", -1.0), evidence=("more",)), (4,), {},
         ("more", OF_4)),
        (replace(BY_N, factor=Factor("0", 0.0)), (4,), {}, (OF_4,)),
        (replace(BY_N, factor=None), (4,), {"hidden": True}, (OF_4, HERE)),
        (replace(BY_N, factor=None), (4,), {"other": True}, (OF_4, THERE)),
        (replace(BY_N, factor=None), (4,), {"other": True, "hidden": True}, (OF_4, HERE)),
        (replace(BY_N, factor=None), (4,), {"other": True, "large": True}, (OF_4, SMALL)),
        (replace(BY_N, factor=None), (4,), {"large": True}, (OF_4, SMALL)),
        (Finding(1, "W", "unknown", ""), (4,), {"other": True}, ()),
        (Finding(1, "W", "unknown", ""), (4,), {"large": True}, ()),
        (Finding(1, "W", "unknown", "", Factor("2", 2.0)), (4,), {}, ("the factor is 2 in the first of them",)),
    ],
)  # fmt: skip
def test_the_evidence_of_a_finding(f: Finding, seen: Any, more: Any, evidence: tuple[str, ...]) -> None:
    witnesses: Any = [SimpleNamespace(case=SimpleNamespace(rows=n, is_large=bool(more.get("large")))) for n in seen]
    other: Any = SimpleNamespace(case=SimpleNamespace(rows=9, is_large=bool(more.get("large"))))
    given = other if more.get("other") else witnesses[0]
    state = State((), (f,), 0.0)
    verdict: Any = SimpleNamespace(witnesses=witnesses, user_batch=given, state=state, hidden=bool(more.get("hidden")))
    assert _evidence(verdict, f) == evidence


@pytest.mark.parametrize(
    ("found", "known"),
    [
        ([], "abc"), ([Finding(1, "W", "scale", "")], "abc"), ([Finding(1, "W", "unknown", "")], "abc"),
        ([Finding(1, "W", "unknown", ""), Finding(1, "b", "unknown", "")], "c"),
        ([Finding(2, "W", "unknown", ""), Finding(2, "b", "unknown", "")], ""),
        ([Finding(0, "W", "unknown", ""), Finding(0, "b", "unknown", "")], "bc"),
        ([Finding(0, "W", "unknown", ""), Finding(1, "b", "unknown", "")], "abc"),
        ([Finding(1, "delta", "unknown", ""), Finding(1, "b", "unknown", "")], "c"),
        ([Finding(1, "delta", "unknown", "", evidence=("read",)), Finding(1, "b", "unknown", "")], "c"),
        ([Finding(1, "delta", "unknown", "", evidence=("read",)), Finding(1, "delta", "unknown", "", evidence=("a",))],
         "abc"),
    ],
)  # fmt: skip
def test_deltas_below_an_unexplained_layer_are_unknown(found: list[Finding], known: str) -> None:
    deltas: Any = list("abc")
    made = _explained_deltas(deltas, State((), tuple(found), 0.0))
    assert "".join(d for d in made if d is not None) == known  # type: ignore[misc]
    assert len(made) == 3
    assert deltas == list("abc")


def test_an_answer_is_right_within_rounding_also_in_a_returned_delta() -> None:
    for told in (False, True):
        for noise in (False, True):
            (w,) = seen_of(rows=(4,), told=told)
            w = Witness(w.case, bounds(w.case) if noise else None)
            assert _is_right(w)
            for arrays in (w.case.answer.dW, w.case.answer.db, *([w.case.answer.delta] if told else [])):
                for k in (0, 1):
                    before = arrays[k]  # type: ignore[index]
                    arrays[k] = before * (1 + 0.9e-8)  # type: ignore[index]
                    assert _is_right(w)
                    arrays[k] = before * (1 + 1.2e-8)  # type: ignore[index]
                    assert not _is_right(w)
                    arrays[k] = before  # type: ignore[index]
    (w,) = seen_of(rows=(4,))
    huge = bounds(w.case)
    huge.dW[0][...] = 1e-3 / 8 / 2.0**-52
    w.case.answer.dW[0] = w.case.answer.dW[0] + 0.9e-3
    assert _is_right(Witness(w.case, huge))
    assert not _is_right(w)


@pytest.mark.parametrize(("twice", "off", "doubled"), [
    (True, 0.9e-6, True), (True, -0.9e-6, True), (True, 1.2e-6, False), (True, -1.2e-6, False), (False, 0.0, False),
])  # fmt: skip
def test_a_loss_that_holds_the_penalty_twice(twice: bool, off: float, doubled: bool) -> None:
    (w,) = seen_of(rows=(4,))
    told = (float(w.case.right.loss) + twice * w.penalty) * (1 + off)
    w.case.answer = replace(w.case.answer, loss=told)
    assert _is_loss_doubled(w) is doubled
    (bare,) = seen_of("none", rows=(4,))
    assert not _is_loss_doubled(bare)


def test_the_deltas_of_an_explanation_in_the_batch_that_was_given() -> None:
    seen = seen_of()
    deltas: Any = (("a1", "b1"), ("a0", "b0"))
    state = State((), (), 0.0, deltas)
    assert _user_batch_deltas(seen[0], seen, state) == ["a0", "a1"]
    assert _user_batch_deltas(seen[1], seen, state) == ["b0", "b1"]


def test_findings_that_the_batch_bears_out() -> None:
    seen = spoiled(lambda c, d: 3 * d)
    deltas = tuple(tuple(s * w.case.right.delta[k] for w in seen) for k, s in ((1, 1.0), (0, 3.0)))
    delta, weights = Finding(0, "delta", "scale", ""), Finding(0, "W", "scale", "")
    state = State((), (delta, weights, Finding(1, "W", "scale", "")), 0.0, deltas)
    for w in seen:
        assert _shown_findings(w, seen, state) == (delta,)


def test_the_explanation_that_assumes_least(monkeypatch: pytest.MonkeyPatch) -> None:
    given, one, two = seen_of(rows=(4, 5, 6))
    found: dict[int, State] = {}
    blamed: dict[int, int] = {}
    asked: list[int] = []

    def explain_(seen: Any, doubled: bool) -> State:
        asked.append(len(seen))
        return found[len(seen)]

    monkeypatch.setattr(verdict_module, "explain", explain_)
    monkeypatch.setattr(
        verdict_module, "_shown_findings", lambda g, seen, state: state.findings[: blamed.get(len(seen), 9)]
    )
    tries = [[given, one, two], [given, one], [given]]
    f, unknown = Finding(0, "W", "scale", ""), Finding(0, "W", "unknown", "")

    def chosen(right: bool = False, tries: Any = tries, **costs: Any) -> tuple[int, list[int]]:
        asked.clear()
        blamed.clear()
        for key, (cost, what, kept) in costs.items():
            found[int(key[1:])] = State((), tuple(what), cost)
            blamed[int(key[1:])] = kept
        best = _cheapest(given, tries, right, False)
        assert best is not None
        return len(best[1]), list(asked)

    assert chosen(n3=(1.0, [f], 1), n2=(0.0, [], 0), n1=(0.0, [], 0)) == (3, [3])  # nothing is left to explain
    assert chosen(n3=(4.0, [unknown], 1), n2=(1.0, [f], 1), n1=(0.0, [], 0)) == (2, [3, 2])
    assert chosen(n3=(4.0, [unknown], 1), n2=(3.45, [unknown], 1), n1=(9.0, [unknown], 1)) == (3, [3, 2, 1])
    assert chosen(n3=(4.0, [unknown], 1), n2=(3.35, [unknown], 1), n1=(9.0, [unknown], 1)) == (2, [3, 2, 1])
    assert chosen(n3=(9.0, [unknown], 1), n2=(9.0, [unknown], 1), n1=(8.35, [unknown], 1)) == (3, [3, 2, 1])
    assert chosen(n3=(9.0, [unknown], 1), n2=(9.0, [unknown], 1), n1=(8.25, [unknown], 1)) == (1, [3, 2, 1])
    assert chosen(n3=(1.0, [f], 0), n2=(2.3, [f], 1), n1=(9.0, [f], 1)) == (2, [3, 2])  # one that is right costs 2
    assert chosen(n3=(1.0, [f], 0), n2=(2.5, [f], 1), n1=(9.0, [f], 1)) == (3, [3, 2])
    assert chosen(True, n3=(1.0, [f], 0), n2=(0.0, [f], 1), n1=(0.0, [f], 1)) == (3, [3])
    assert chosen(tries=[[one, two], [given]], n2=(1.0, [f], 0), n1=(0.5, [], 0)) == (2, [2, 1])
    assert chosen(tries=[[given, one], [given, one], [given]], n2=(4.0, [unknown], 1), n1=(1.0, [f], 1)) == (1, [2, 1])
    assert _cheapest(given, [[], []], False, False) is None


def test_a_mistake_behind_a_right_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    given, near = seen_of(rows=(1, 4))
    f, unknown = Finding(0, "W", "scale", ""), Finding(0, "W", "unknown", "")
    unsummed = State((), (Finding(0, "b", "broadcast_not_summed", ""),), 1.0)
    state, nothing = State((), (f,), 1.0), State((), (), 0.0)
    sure = {"state": state}
    monkeypatch.setattr(verdict_module, "explain", lambda seen, doubled: sure["state"])
    assert _hidden_mistakes(given, [near], unsummed, [given], False) == (state, [near], True)
    assert _hidden_mistakes(given, [], state, [given], False) == (NOTHING, [], False)
    for none in (nothing, State((), (f, unknown), 1.0)):
        sure["state"] = none
        assert _hidden_mistakes(given, [near], state, [given], False) == (NOTHING, [], False)
    given.case.answer = replace(given.case.answer, kept_axes=("layer 1 b has shape (1, 4)",))
    assert _hidden_mistakes(given, [near], unsummed, [given], False) == (unsummed, [given], True)
    assert _hidden_mistakes(given, [near], state, [given], False) == (NOTHING, [], False)
    (several,) = seen_of(rows=(2,))
    several.case.answer = replace(several.case.answer, kept_axes=("layer 1 b has shape (1, 4)",))
    assert _hidden_mistakes(several, [near], unsummed, [several], False) == (NOTHING, [], False)


def test_non_finite_answers_are_not_explained() -> None:
    seen = seen_of(told=True)
    seen[0].case.answer.dW[1][0, 0] = np.inf
    again: Any = [seen[1].case.answer] * 2
    found = diagnose(seen[0], seen[1:], [], [], repeated_answers=again)
    assert (found.user_batch, found.witnesses, found.varied, found.state, found.hidden, found.delta) == (
        seen[0], [], seen[1:], NOTHING, False, [None, None])  # fmt: skip
    assert found.repeated_answers is again


def test_the_explanation_and_its_deltas() -> None:
    seen = spoiled(lambda c, d: 3 * d)
    found = diagnose(seen[0], seen[1:], [], [], repeated_answers=[])
    assert [(f.layer, f.part, f.kind, f.times) for f in found.state.findings] == [(0, "delta", "scale", "3")]
    assert (found.witnesses, found.varied, found.hidden) == (seen, seen[1:], False)
    for d, s, right in zip(found.delta, (3.0, 1.0), seen[0].case.right.delta, strict=True):
        np.testing.assert_allclose(d, s * right, rtol=1e-12)  # type: ignore[arg-type]
    right = seen_of()
    found = diagnose(right[0], right[1:], [], [], repeated_answers=[])
    assert (found.state.findings, found.hidden) == ((), False)
    told = seen_of(told=True)
    told[0].case.answer.delta[0] *= 2  # type: ignore[index]
    found = diagnose(told[0], told[1:], [], [], repeated_answers=[])
    for d, mine in zip(found.delta, told[0].case.answer.delta or [], strict=True):
        assert d is mine


def test_what_small_networks_show_of_a_large_one_is_looked_for_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spoiled(lambda c, d: 3 * d)
    monkeypatch.setattr(experiment_module, "LARGE", 0)
    found = diagnose(seen[0], seen[1:], [], [], repeated_answers=[])
    assert [(f.layer, f.part, f.times) for f in found.state.findings] == [(0, "delta", "3")]
    assert found.witnesses == seen
    for d, s, right in zip(found.delta, (3.0, 1.0), seen[0].case.right.delta, strict=True):
        np.testing.assert_allclose(d, s * right, rtol=1e-12)  # type: ignore[arg-type]
    right_ = seen_of()
    found = diagnose(right_[0], right_[1:], [], [], repeated_answers=[])
    assert (found.state.findings, found.witnesses, found.hidden) == ((), right_[1:], False)
    for d, right in zip(found.delta, right_[0].case.right.delta, strict=True):
        np.testing.assert_array_equal(d, right)  # type: ignore[arg-type]


def test_findings_that_rows_show() -> None:
    seen = seen_of()
    one, two = Finding(0, "W", "scale", ""), Finding(1, "delta", "scale", "")
    three = Finding(1, "b", "unknown", "")
    every = [row("layer 1 W"), row("layer 2 b")]
    assert _confirmed_findings(verdict_of(seen, one, two, three), every) == [two, three, one]
    assert _confirmed_findings(verdict_of(seen, one, two, three), every[:1]) == [one]
    assert _confirmed_findings(verdict_of(seen, one, two, three), [row("layer 1 W", ok=True), every[1]]) == [two, three]
    assert _confirmed_findings(verdict_of(seen, one, two, three, hidden=True), []) == [two, three, one]
    wrote = replace(seen[0].case.answer, overwritten=("layer 2 W",))
    seen[0].case.answer = wrote
    above = Finding(0, "delta", "scale", "")
    assert _confirmed_findings(verdict_of(seen, above, one, two), every) == [
        two,
        one,
    ]  # made of weights that were overwritten
    assert _confirmed_findings(verdict_of(seen, above, hidden=True), every) == [above]
    seen[0].case.answer = replace(wrote, overwritten=("layer 1 W",))
    assert _confirmed_findings(verdict_of(seen, above, one, two), every) == [two, above, one]
    seen[0].case.answer.db[0][0] = np.nan
    assert _confirmed_findings(verdict_of(seen, one, two, three), every) == [two, one]


def test_the_diagnosis_of_an_explained_wrong_row() -> None:
    seen = spoiled(lambda c, d: 3 * d)
    f = Finding(0, "delta", "scale", "delta is 3 times the right one.", Factor("3", 3.0))
    wrong = [row("layer 1 W"), row("layer 1 b")]
    verdict = verdict_of(seen, f)
    (d,), blamed, settled = _explained(verdict, wrong, wrong, [f], 0.0)
    assert (d.kind, d.where, d.factor, blamed, settled) == ("scale", "layer 1 delta", "3", [f], False)
    assert _explained(verdict, [], [], [f], 0.0) == ([], [], False)
    (d,), blamed, settled = _explained(verdict_of(seen, f, hidden=True), [], [], [f], 0.0)
    assert (blamed, settled) == ([f], False)
    delta = row("layer 1 delta", role="intermediate")
    assert _explained(verdict, [delta], [], [f], 0.0)[1] == []  # nobody told it
    told = seen_of(told=True)
    assert _explained(verdict_of(told, f), [delta], [], [f], 0.0)[1] == [f]
    assert _explained(verdict_of(told, f), [row("layer 1 delta", ok=True)], [], [f], 0.0)[1] == []
    assert _explained(verdict_of(told, f), [row("layer 1 z")], [], [f], 0.0)[1] == []
    mean = mean_of(lambda w: w.case.rows)
    (d,), blamed, settled = _explained(verdict_of(mean), wrong, wrong, [BY_N], 0.0)
    assert (d.kind, blamed, settled) == ("convention", [], True)


def test_differing_calls_are_reported_with_the_names_of_their_arrays() -> None:
    for dropout, advice in (
        (0.0, "Pass the random numbers in, or fix their seed."),
        (0.5, "With dropout, use data_cache.masks, which the forward pass drew, and draw none yourself."),
    ):
        for k, part in ((0, "W"), (1, "W"), (0, "b"), (1, "b")):
            (w,) = seen_of(rows=(4,), dropout=dropout)
            answers = [w.case.answer]
            for n in (1, 2):
                dW, db = [g.copy() for g in w.case.right.dW], [g.copy() for g in w.case.right.db]
                (dW if part == "W" else db)[k][0] += np.cos(n)
                answers.append(replace(w.case.answer, dW=dW, db=db))
            found = _unsteady_diagnosis(verdict_of([w], repeated_answers=answers[1:]))
            assert found is not None
            assert (found.kind, found.where) == ("nondeterministic", f"layer {k + 1} {part}")
            assert found.text.endswith(advice)
    (w,) = seen_of(rows=(4,))
    assert _unsteady_diagnosis(verdict_of([w])) is None


def test_overwritten_arrays_are_listed_from_the_loss_backwards() -> None:
    (w,) = seen_of(rows=(4,))
    names = ("data_cache.x", "layer 2 W", "data_cache.a[0]", "data_out", "data_cache.z[1]")
    w.case.answer = replace(w.case.answer, overwritten=names)
    assert _overwritten_names(verdict_of([w])) == [
        "layer 2 W",
        "data_out",
        "data_cache.z[1]",
        "data_cache.x",
        "data_cache.a[0]",
    ]


def test_the_same_factor_of_W_and_b_is_reported_once() -> None:
    found = [Finding(0, "W", "scale", "dW is 3 times the right one.", Factor("3", 3.0)),
             Finding(0, "b", "scale", "db is 3 times the right one.", Factor("3", 3.0000000000000004))]  # fmt: skip
    (f,) = _merged(found)
    assert (f.part, f.text) == ("W and b", "dW and db are 3 times the right ones.")
    assert len(_merged([found[0], replace(found[1], factor=Factor("2", 2.0))])) == 2
    assert len(_merged([found[0], replace(found[1], factor=None)])) == 2
