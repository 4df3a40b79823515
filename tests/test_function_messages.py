"""Messages about a wrong gradient of a function, before and after the search: by its shape, its kind, its factor."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.test_array_run import look_of
from tinygrad_nn.compare.diagnosis import Diagnosis
from tinygrad_nn.compare.factors import Factor
from tinygrad_nn.compare.function.error_origin import ErrorOrigin
from tinygrad_nn.compare.function.gradient_data import GradientData
from tinygrad_nn.compare.function.operations import (
    SINGLE,
    _direct_diagnosis,
    _factor_text,
    _find_joint_diagnosis,
    _scale_diagnosis,
    _shape_diagnosis,
    _unexplained_diagnosis,
    _with_origin,
    only_shape_diagnosis,
)
from tinygrad_nn.compare.mistakes import is_computed_from

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(7)
X, W, B = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=3)


def net(x: Any, w: Any, b: Any) -> Any:
    return (np.tanh(x @ w + b) * np.arange(1.0, 16.0).reshape(5, 3)).sum()


def look(change: Any = None, rounding: float = 1e-12, single: bool = False) -> GradientData:
    made = look_of(net, X, W, B)
    mine = list(made.right_gradients) if change is None else change(*made.right_gradients)
    mine = [np.asarray(m, np.float32).astype(float) if single else np.asarray(m) for m in mine]
    bads = [np.abs(m - g) > rounding if m.shape == g.shape else np.ones(g.shape, bool)
            for m, g in zip(mine, made.right_gradients, strict=True)]  # fmt: skip
    inputs: Any = SimpleNamespace(labels=["x", "w", "b"], float_indices=[0, 1, 2], leaves=[X, W, B])
    return made._replace(
        user_gradients=mine,
        wrong_masks=bads,
        inputs=inputs,
        rounding=[np.full(g.shape, rounding) for g in made.right_gradients],
    )


def row(**more: Any) -> Any:
    given = {"ok": False, "odd": "manual", "note": "", "worst": (1, 2), "manual": 2.0, "graph": 1.0, "numerical": 1.5}
    return SimpleNamespace(**{**given, **more})


ENTRY = "entry [1, 2]: manual 2, graph 1, numerical 1.5"


# -- By its shape


def shaped(change: Any, i: int) -> tuple[str, str] | None:
    found = _shape_diagnosis(look(change), i)
    return found and (found.kind, found.text[:45])


def test_a_gradient_of_another_shape() -> None:
    assert shaped(None, 0) is None
    assert shaped(lambda dx, dw, db: (dx.T, dw, db), 0) == (
        "transpose", "The gradient is transposed: it needs the shap")  # fmt: skip
    assert shaped(lambda dx, dw, db: (1.1 * dx.T, dw, db), 0) is None
    assert shaped(lambda dx, dw, db: (dx[None], dw, db), 0) == (
        "convention", "The numbers are right, but the shape is (1, 5")  # fmt: skip
    assert shaped(lambda dx, dw, db: (dx.ravel(), dw, db), 0) == (
        "wrong_shape", "The numbers are right, but the shape is (15,)")  # fmt: skip
    assert shaped(lambda dx, dw, db: (dx.ravel() + 1e-9, dw, db), 0) is None
    d = RNG.normal(size=(5, 3))
    lone = look()
    each = (1 - np.tanh(X @ W + B) ** 2) * np.arange(1.0, 16.0).reshape(5, 3)
    each = each * (lone.right_gradients[2].sum() / each.sum())
    assert shaped(lambda dx, dw, db: (dx, dw, each), 2) == (
        "broadcast_not_summed", "The input was broadcast, so it is used in man")  # fmt: skip
    assert shaped(lambda dx, dw, db: (dx, dw, each.sum(axis=1)), 2) == (
        "wrong_axis_sum", "The gradient was summed over axis 1, the wron")  # fmt: skip
    assert shaped(lambda dx, dw, db: (dx, dw, each.sum(axis=1)[:, None]), 2) is not None
    assert shaped(lambda dx, dw, db: (dx, dw, d), 2) is None
    assert shaped(lambda dx, dw, db: (dx, dw, d[:2]), 2) is None


@pytest.mark.parametrize(
    ("got", "shape", "kind"),
    [((1, 3), (3,), "convention"), ((3,), (1, 3), "convention"), ((3, 1), (3,), "wrong_shape"),
     ((6,), (2, 3), "wrong_shape"), ((1, 1, 3), (3,), "convention"), ((3,), (3, 1), "wrong_shape")],
)  # fmt: skip
def test_another_shape_that_is_harmless(got: Any, shape: Any, kind: str) -> None:
    found = only_shape_diagnosis("b", got, shape)
    assert (found.kind, found.where) == (kind, "b")
    assert f"the shape is {got} and should be {shape}" in found.text
    assert (f".reshape({shape})" in found.text) is (kind == "wrong_shape")


# -- By its kind


def kind(
    change: Any, i: int, in_hull: bool = False, single: bool = False, rounding: float = 1e-12, **of_row: Any
) -> Any:
    found = _direct_diagnosis(look(change, rounding, single), i, row(**of_row), in_hull)
    return found and (found.kind, found.text[:40])


def test_what_needs_no_operation() -> None:
    off = lambda dx, dw, db: (dx + 1.0, dw, db)
    assert kind(off, 0) is None
    assert kind(lambda dx, dw, db: (dx[:2], dw, db), 0, note="has shape (2, 3)") == (
        "unknown", "The gradient has shape (2, 3); it needs ")  # fmt: skip
    assert kind(off, 0, in_hull=True) == ("kink", "Manual and graph differ only at a kink o")
    assert kind(lambda dx, dw, db: (dx * np.nan, dw, db), 0, note="15 of 15 not finite") == (
        "unknown", "15 of 15 not finite: NaN and infinity co")  # fmt: skip
    assert kind(None, 0) == ("unknown", "Manual and graph agree, but the numerica")
    assert kind(off, 0, odd="graph") == ("unknown", "Here manual and numerical agree and the ")
    assert kind(lambda dx, dw, db: (dx, dw.T, db), 1) == ("transpose", "The gradient is transposed.")
    assert kind(lambda dx, dw, db: (dx, 1.01 * dw.T, db), 1) is None
    assert kind(lambda dx, dw, db: (dx, dw, db), 0, single=True) == (
        "rounding", "The gradient was computed in float32 and")  # fmt: skip
    assert kind(lambda dx, dw, db: (dx * (1 + 1e-7), dw, db), 0) is None  # in other numbers it is no rounding
    assert kind(lambda dx, dw, db: (dx, dw, db), 2, single=True) is None  # three entries: nothing is reported
    far = lambda dx, dw, db: (dx + 20 * SINGLE * (np.abs(dx) + 0.05 * np.abs(dx).max()), dw, db)
    assert kind(far, 0, single=True) is None
    few = lambda dx, dw, db: (np.where(np.arange(15).reshape(5, 3) < 4, dx + 3e-7 * np.abs(dx).max(), dx), dw, db)
    assert kind(few, 0, rounding=1e-7, single=True) is None


def test_the_conjugate_of_a_complex_gradient() -> None:
    made = look()
    g = made.right_gradients[0] + 1j * RNG.normal(size=(5, 3))
    both = made._replace(
        right_gradients=[g, *made.right_gradients[1:]],
        user_gradients=[g.conj(), *made.user_gradients[1:]],
        wrong_masks=[np.ones((5, 3), bool)] * 3,
    )
    found = _direct_diagnosis(both, 0, row(), False)
    assert found is not None
    assert found.kind == "convention"
    assert (
        _direct_diagnosis(both._replace(user_gradients=[g.conj() + 1e-9, *made.user_gradients[1:]]), 0, row(), False)
        is None
    )


# -- What nothing explains


def unknown(change: Any, i: int) -> tuple[str, str, tuple[str, ...]]:
    found = _unexplained_diagnosis(look(change), i, row())
    return found.kind, found.text, found.evidence


def test_a_penalty_that_the_function_has_not() -> None:
    assert unknown(lambda dx, dw, db: (dx, dw + 0.25 * W, db), 1) == (
        "extra_penalty", ("It is the right gradient plus 1/4 w, like the gradient of a penalty that is not in "
                          "the function."),
        (ENTRY,))  # fmt: skip
    assert unknown(lambda dx, dw, db: (dx, dw - 3 * np.sign(W), db), 1)[:2] == (
        "missing_penalty",
        ("It is the right gradient minus 3 sign(w), like the gradient of a penalty that is missing or "
         "too small."))  # fmt: skip
    few = unknown(lambda dx, dw, db: (dx, dw, db - 3 * np.sign(B)), 2)  # three signs agree with anything by chance
    assert few[0] == "unknown"
    made = look(lambda dx, dw, db: (dx, dw, db - 3 * np.sign(B)))
    for step, kind in ((3, "missing_penalty"), (2, "unknown")):
        *others, db = made.right_gradients
        probe = [*others, db - step * np.sign(B)], made.trace, made.right_gradients
        assert _unexplained_diagnosis(made._replace(probes=[probe]), 2, row()).kind == kind
    some = [np.ones(2)] * 3, made.trace, [np.zeros(2)] * 3  # a probe where some entries are known only
    assert _unexplained_diagnosis(made._replace(probes=[some]), 2, row()).kind == "unknown"
    near = 0.25 * W + 1e-6 * RNG.normal(size=W.shape)
    assert unknown(lambda dx, dw, db: (dx, dw + near, db), 1)[0] == "unknown"
    kind, text, _ = unknown(lambda dx, dw, db: (dx, 2 * dw, db), 1)
    assert (kind, text) == (
        "unknown", "Every entry of the gradient of w is wrong. Each entry is 2 times the right one.")  # fmt: skip
    assert unknown(lambda dx, dw, db: (dx, dw + 0.25j * W, db), 1)[0] == "unknown"


def test_only_the_first_diagnosis_names_the_origin_of_the_error() -> None:
    made = look()
    one, two = Diagnosis("unknown", "x", "A."), Diagnosis("unknown", "w", "B.")
    begun = [ErrorOrigin("begins here."), ErrorOrigin("")]
    assert _with_origin(made, one, [0, 1], begun).text == "A. begins here."
    assert _with_origin(made, two, [0, 1], begun) is two
    assert _with_origin(made, two, [0, 1], begun[:1]) is two
    assert _with_origin(made, two, [1], begun).text == "B. begins here."
    sign = Diagnosis("sign", "x", "A.")
    assert _with_origin(made, sign, [0], begun) is sign
    assert _with_origin(made, one, [], []) is one


# -- Factors


def test_the_factor_that_explains_some_inputs() -> None:
    def joint(change: Any, wrong: list[int]) -> Any:
        return _find_joint_diagnosis(look(change), wrong, [])

    both = joint(lambda dx, dw, db: (-dx, -dw, -db), [0, 1, 2])
    assert (both.kind, both.text) == ("sign", "The gradient has the wrong sign from here on.")
    assert both.where.startswith("sum")
    some = joint(lambda dx, dw, db: (-dx, -dw, db), [0, 1])
    assert (some.kind, some.where, some.text) == ("sign", "x, w", "The gradient has the wrong sign.")
    zero = joint(lambda dx, dw, db: (0 * dx, 0 * dw, 0 * db), [0, 1, 2])
    assert (zero.kind, zero.where, zero.factor) == ("scale", "x, w, b", "0")
    three = joint(lambda dx, dw, db: (dx, 3 * dw, db), [1])
    assert (three.kind, three.where) == ("scale", "w")
    assert three.text.startswith("The gradient is 3 ")
    assert three.text.endswith(" times the right one.")
    assert joint(lambda dx, dw, db: (dx, np.sin(dw), db), [1]) is None
    assert joint(None, [1]) is None


def test_factors_in_words() -> None:
    made = look()
    many = Factor("5", 5.0, ("N",))
    assert _factor_text(made, many) == "5 (here the same as N, the number of rows of x)"
    for labels, leaves, name in ((["x", "w", "b"], [B, X, W], "w"), (["w", "X"], [W, X], "X")):
        inputs: Any = SimpleNamespace(labels=labels, leaves=leaves)  # X may be a constant, too
        assert _factor_text(made._replace(inputs=inputs), many).endswith(f"N, the number of rows of {name})")
    root = Factor("2.23607", 5**0.5, ("sqrt(N)",))
    assert _factor_text(made, root) == "2.23607 (here the same as sqrt(N), where N is the number of rows of x)"
    on = _scale_diagnosis(made, "x", Factor("2", 2.0), "e", "tanh")
    assert (on.kind, on.text, on.factor, on.where) == (
        "scale", "The gradient is 2 times the right one from here on.", "2", "x")  # fmt: skip
    assert (
        _scale_diagnosis(made, "x", Factor("2", 2.0), "e", "tanh", False).text
        == "The gradient is 2 times the right one."
    )
    assert _scale_diagnosis(made, "x", Factor("0", 0.0), "e", "tanh").factor == "0"
    probed = made._replace(probes=[(made.user_gradients, made.trace, made.right_gradients)] * 2)
    assert (
        _scale_diagnosis(probed, "x", Factor("-1", -1.0), "", "")
        .evidence[0]
        .endswith("to rounding, and at 2 other points")
    )
    assert _scale_diagnosis(made, "x", Factor("-1", -1.0), "", "").evidence[0].endswith("to rounding")


def test_what_an_operation_is_made_of() -> None:
    made = look()
    last = made.trace.operations[0]
    assert [is_computed_from(last, n) for n in made.trace.inputs] == [True] * 3
    matmul = next(n for n in made.trace.operations if n.primitive and n.primitive.name == "matmul")
    assert [is_computed_from(matmul, n) for n in made.trace.inputs] == [True, True, False]
    assert not is_computed_from(made.trace.inputs[0], last)
    assert replace(Diagnosis("sign", "x", "A."), text="B.").text == "B."
