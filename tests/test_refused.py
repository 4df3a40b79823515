"""Each NumPy function that takes no Tensor says what to write instead, or that it has no derivative; that code runs."""

import io
import re
import sys
from typing import Any

import numpy as np
import numpy.polynomial  # its functions are known to NumPy's list only when it is imported
import numpy.strings  # and so are these
import pytest
from numpy.testing import overrides

import tinygrad_nn
from tinygrad_nn import Tensor
from tinygrad_nn.ops import plain, refused
from tinygrad_nn.primitive import OVERRIDES, no_rule, numpy_name

HANDLED = {numpy_name(f) for f in OVERRIDES}
OF_CONSTANTS = {numpy_name(f) for f in plain.OF_CONSTANTS}
FUNCTIONS = sorted(overrides.get_overridable_numpy_array_functions(), key=numpy_name)
UFUNCS = sorted(overrides.get_overridable_numpy_ufuncs(), key=lambda u: u.__name__)
METHODS = ("reduce", "accumulate", "outer", "reduceat", "at")
COUNTS = {"np.bincount", "np.histogram", "np.histogram2d", "np.histogramdd"}  # of numbers with a graph
REFUSED = [
    *(f for f in [*FUNCTIONS, *UFUNCS] if numpy_name(f) not in HANDLED or numpy_name(f) in OF_CONSTANTS | COUNTS),
    *((u, m) for u in UFUNCS for m in METHODS if (u, m) not in OVERRIDES),
]
GENERIC = "declare a rule"
ATTRIBUTES = [n for n in dir(np.ndarray) if n[0] != "_" and not hasattr(Tensor(np.ones((2, 3))), n)]


def names() -> dict[str, Any]:
    """What the code in a line may use."""
    return {
        "np": np, "tinygrad_nn": tinygrad_nn, "file": io.BytesIO(), "k": Tensor([[0, 2, 3], [1, 1, 2]])[0],
        "t": Tensor([[0.2, 0.9, 0.4], [0.7, 0.1, 0.5]]), "v": Tensor([0.5, 0.25, 0.75]), "w": Tensor([0.3, 0.75, 0.9]),
    }  # fmt: skip


def code_in(line: str) -> list[str]:
    return re.findall("`([^`]+)`", line)


def run(line: str) -> list[Any]:
    with np.errstate(all="ignore"):
        return [eval(f"({code})", names()) for code in code_in(line)]


def test_every_function_that_numpy_lets_us_answer_has_a_rule_or_a_line() -> None:
    lines = {}
    for function in REFUSED:
        lines[numpy_name(function)] = text = str(no_rule(function))
        assert GENERIC not in text, numpy_name(function)
    own = [lines[n] for n in lines if not re.search(r"\.(reduce|accumulate|outer|reduceat|at)$", n)]
    told = [text.split("graph. ")[1] for text in own]
    general = {refused.TEXT, refused.DATES, refused.RECORDS}
    kept = [line for line in told if line not in general]
    assert len(kept) == len(set(kept))  # each has its own


@pytest.mark.parametrize("function", REFUSED, ids=numpy_name)
def test_what_a_line_advises_runs(function: Any) -> None:
    line = refused.advice(function, numpy_name(function))
    assert line is not None
    results = run(line)
    plainly = "no derivative" in line or "plain value" in line or "whole numbers" in line
    assert plainly or not results or any(isinstance(r, Tensor) and r.requires_grad for r in results), line


def test_no_line_is_of_a_function_that_is_not_refused() -> None:
    named = {numpy_name(f) for f in REFUSED}
    assert set(refused.FUNCTIONS) <= named
    assert set(refused.METHODS_OF_ARRAYS) == set(ATTRIBUTES)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_what_arrays_have_and_tensors_have_not_says_what_to_write(name: str) -> None:
    with pytest.raises(AttributeError, match=f"a Tensor has no attribute '{name}'. ") as caught:
        getattr(Tensor(np.ones((2, 3))), name)
    assert "t.data.view" not in str(caught.value)
    run(refused.METHODS_OF_ARRAYS[name])


def test_advised_replacements_compute_the_same() -> None:
    given = {key: value.data if isinstance(value, Tensor) else value for key, value in names().items()}
    t, v, w = given["t"], given["v"], given["w"]
    for name, wanted in {
        "np.bincount": np.bincount(given["k"], v), "np.sort_complex": np.sort_complex(v),
        "np.polynomial.polynomial.polyval2d": numpy.polynomial.polynomial.polyval2d(v, w, t),
        "np.polynomial.polynomial.polygrid2d": numpy.polynomial.polynomial.polygrid2d(v, w, t),
    }.items():  # fmt: skip
        found = [r for r in run(refused.FUNCTIONS[name]) if isinstance(r, Tensor)][-1].data
        np.testing.assert_allclose(found, wanted, rtol=1e-12, err_msg=name)


def test_scipy_functions_are_called_by_their_name() -> None:
    special = pytest.importorskip("scipy.special")
    v, w = (names()[key] for key in "vw")
    with pytest.raises(TypeError, match=r"^scipy\.special\.agm has.*special\.agm\(t\.data, t\.data\).*numpy=scipy"):
        special.agm(v, w)


def test_no_name_is_guessed_from_its_spelling() -> None:
    for function in (np.histogram, np.require):
        assert "nearest" not in str(no_rule(function))
    assert "hstack" not in str(no_rule(np.histogram))
    assert "numpy._core.umath" in sys.modules  # where refused.py looks for the functions of text
