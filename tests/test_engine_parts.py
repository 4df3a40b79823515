"""Parts of the engine by themselves: what loops refuse in full words, rows, rules of one's own, seeds and checks."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, control_flow, custom_jvp, grad, primitive, scan
from tinygrad_nn.primitive import REGISTRY

# -- Loops and branches


@dataclass
class Both:
    one: Any
    other: Any


NUMBER = "a Python float"
KEYS = "dicts with their keys in the same order."
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "other containers of a scan": (
        lambda: scan(lambda c, x: ([c], x), 0.0, np.ones(3)),
        (f"scan: f returned [float64[]] for the carry, which was {NUMBER} before. "
        f"Return the containers of init, {KEYS}"),
    ),
    "other containers of y": (
        lambda: scan(lambda c, x: (c + 1, [x] if c > 0 else x), 0.0, np.ones(3)),
        f"scan: f returned [float64[]] for y, which was float64[] before. Return the containers of every step, {KEYS}",
    ),
    "other containers of a while loop": (
        lambda: tg.while_loop(lambda c: True, lambda c: [c], 1.0),
        (f"while_loop: body_fun returned [float64[]] for the carry, which was {NUMBER} before. "
        f"Return the containers of init_val, {KEYS}"),
    ),
    "another dtype of a while loop": (
        lambda: tg.while_loop(lambda c: True, lambda c: {"a": (c["a"][0] * 1.5,)}, {"a": (np.int64(1),)}),
        ("while_loop: body_fun returned float64[] for the carry['a'][0], which was int64[] before. "
        "Write .astype('int64') in the function, or begin with float64."),
    ),
    "another shape of y": (
        lambda: scan(lambda c, x: (c + 1, np.ones(2) if c > 0 else x), 0.0, np.ones(3)),
        "scan: f returned float64[2] for y, which was float64[] before. Keep its shape.",
    ),
    "another dtype of y": (
        lambda: scan(lambda c, x: (c + 1, x if c > 0 else np.float32(1)), 0.0, np.ones(3)),
        ("scan: f returned float64[] for y, which was float32[] before. "
        "Write .astype('float32') in the function, or begin with float64."),
    ),
    "no pair": (
        lambda: scan(lambda c, x: [c], 0.0, np.ones(3)),
        (f"scan: f returned [{NUMBER}]; it returns a pair, (carry, y), where y may be None "
        "if there is nothing to stack."),
    ),
    "no array": (
        lambda: scan(lambda c, x: (c, x), 0.0, {"a": np.float64(1)}),
        ("scan: xs holds float64[], which has no axis to go along. Every array of xs has the shape (length, ...): "
        "write np.array([...]) of numbers; what is the same in every step f closes over."),
    ),
    "other rows": (
        lambda: scan(lambda c, x: (c, x), 0.0, (np.ones(3), np.ones(2)), 2),
        "scan: the arrays of xs have 3 and 2 rows, and length=2; it goes along all of them at once.",
    ),
    "other rows without a length": (
        lambda: scan(lambda c, x: (c, x), 0.0, (np.ones(3), np.ones(2))),
        "scan: the arrays of xs have 3 and 2 rows; it goes along all of them at once.",
    ),
    "no length": (
        lambda: scan(lambda c, x: (c, x), 0.0), "scan: without xs it needs length=, the number of steps.",
    ),
    "no branch": (
        lambda: tg.cond(True, np.sin, 1.0, 2.0),
        "cond got float in place of a function; it is called as cond(pred, true_fn, false_fn, *operands).",
    ),
    "no body": (
        lambda: tg.while_loop(np.sin, None, 2.0),
        "while_loop got NoneType in place of a function; it is called as while_loop(cond_fun, body_fun, init_val).",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_loop_refuses_is_told_in_full(name: str) -> None:
    call, text = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(text)}$"):
        call()


def test_the_way_to_a_leaf_is_told_by_keys_and_fields() -> None:
    tree = {"a": [1.0, {3: 2.0}], "b": Both(3.0, None)}
    assert [path for path, _ in control_flow._named(tree, "y")] == ["y['a'][0]", "y['a'][1][3]", "y['b'].one"]
    assert list(control_flow._named(None, "y")) == []


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 30])
def test_every_row_of_a_tensor_is_that_row(length: int) -> None:
    x = Tensor(np.arange(2.0 * length).reshape(length, 2))
    row = control_flow._rows(x)
    for order in (range(length), reversed(range(length))):
        assert all(np.array_equal(row(t).data, x.data[t]) for t in order)


# -- Rules of one's own


def test_a_text_among_the_arguments_is_no_number_even_if_it_names_a_kind_of_numbers() -> None:
    scaled = custom_jvp(lambda x, kind: np.asarray(3 * x), lambda v, out, x, kind: 3 * v[0])
    assert grad(lambda x: scaled(x, "float64") ** 2)(2.0) == 36.0


# -- Rows


@pytest.mark.skipif(not primitive._FILLS, reason="a ufunc of this NumPy returns single numbers")
def test_a_row_of_one_result_and_at_most_two_arguments_fills() -> None:
    assert REGISTRY["sin"].fills
    assert REGISTRY["multiply"].fills
    assert not REGISTRY["sum"].fills
