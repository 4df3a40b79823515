"""Readable equations: Unicode in terminals, and tanh' and sigmoid' in their textbook form."""

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, compare_gradients, sigmoid
from tinygrad_nn.compare.layers.equations import EQUATIONS
from tinygrad_nn.graph import GraphView
from tinygrad_nn.graph.equations import equation_tree, replace_letters, result_letter, unicode_line, unicode_math
from tinygrad_nn.graph.supported import load
from tinygrad_nn.primitive import REGISTRY
from tinygrad_nn.viz import draw

LINES = {
    r"x \, W^T + b": "x Wᵀ + b",
    r"\frac{2}{N} (\hat y - y)": "2/N (ŷ − y)",
    r"\frac{1}{2L}": "1/(2L)",
    r"\frac{g}{x (1 - x)}": "g/(x(1 − x))",
    r"\frac{a + b}{c + d}": "(a + b)/(c + d)",
    r"\frac{g}{2 \sqrt{x}}": "g/(2√x)",
    r"-g \frac{\partial I / \partial x}{\partial I / \partial z}": "−g (∂I/∂x)/(∂I/∂z)",
    r"\delta^k = J_{f^k}^T ( m^k \odot g^k )": "δᵏ = J_(fᵏ)ᵀ(mᵏ ⊙ gᵏ)",
    r"y_i = \max_{j \le i} x_j": "yᵢ = max_(j ≤ i) xⱼ",
    r"x_{[i]} := \max(x_{[i]}, y)": "x[i] := max(x[i], y)",
    r"g \, y \, x^{y-1}": "g y xʸ⁻¹",
    r"e^{-|x|} \operatorname{erf} x": "e^(−|x|) erf x",
    r"\frac{1}{n - \mathrm{ddof}}": "1/(n − ddof)",
    r"x \text{ if } c \text{ else } y": "x if c else y",
    r"g \, [x > y] + \tfrac{g}{2} [x = y]": "g [x > y] + g/2 [x = y]",
    r"\left( \textstyle\sum_i |x_i|^p \right)^{1/p}": "(Σᵢ|xᵢ|ᵖ)^(1/p)",
    r"\bar W = \textstyle\sum_n g_n x_n^T": "W\u0304 = Σₙ gₙ xₙᵀ",
    r"\left( no TeX": r"\left( no TeX",
}


@pytest.mark.parametrize("tex", LINES)
def test_tex_is_one_line_of_unicode(tex: str) -> None:
    assert unicode_math(tex) == LINES[tex]


def test_no_tex_is_left_in_any_equation() -> None:
    load()
    texts = [tex for primitive in REGISTRY.values() for tex in (primitive.tex, *primitive.rule_tex) if tex]
    for tex in (*texts, *EQUATIONS.values()):
        shown = unicode_math(tex)
        assert not re.search(r"\\|[_^]\{|  |\$", shown), (tex, shown)
        depth = 0
        for letter in shown:
            depth += (letter == "(") - (letter == ")")
            assert depth >= 0, shown
        assert depth == 0, shown


@pytest.mark.parametrize(("function", "rule"), [(np.tanh, "g (1 − out²)"), (sigmoid, "g out (1 − out)")])
def test_slopes_are_those_of_textbooks(function: Any, rule: str) -> None:
    assert unicode_math(str(GraphView(function(Tensor([1.0])))[1].rules[0])) == rule


def test_a_report_and_a_diagnosis_are_free_of_tex() -> None:
    x = np.linspace(-1, 1, 4)
    report = compare_gradients(lambda x: np.tanh(x).sum(), x, manual=lambda x: np.ones(4))
    assert "tanh" in str(report)
    assert "\\" not in str(report)
    assert "right: tanh g (1 − out²)" in str(report)
    assert "\\" not in str(report.diagnoses[0])
    assert report.diagnoses[0].formula == "tanh g (1 − out²)"


def test_a_drawing_says_equations_in_unicode() -> None:
    x = Tensor([1.0, 2.0], name="x")
    about = {item.title: item.about for item in draw(np.tanh(x / 2)).picture.items}
    assert "equation a₃ = tanh v₂ · ā₃ is the gradient of a₃ · gradient of v₂: ā₃ (1 − a₃²)" in about["tanh"]
    assert "equation v₂ = x/2 · v̄₂ is the gradient of v₂ · gradient of x: v̄₂/2 · value" in about["÷"]


def test_an_operand_that_is_there_twice_has_a_gradient_for_each_place() -> None:
    x = Tensor([1.0, 2.0], name="x")
    (about,) = [item.about for item in draw(x * x).picture.items if item.title == "×"]
    assert "gradient of x as operand 0: v̄₁ x · gradient of x as operand 1: v̄₁ x · value" in about


def test_letters_give_way_to_names() -> None:
    names = {letter: ["mi", {}, name] for letter, name in {"x": "h", "W": "W1", "b": "bias"}.items()}
    assert unicode_line(replace_letters(equation_tree(r"x \, W^T + b"), names)) == "h W1ᵀ + bias"
    assert (
        unicode_line(replace_letters(equation_tree(r"\frac{g}{n - \mathrm{bx}}"), names)) == "g/(n − bx)"
    )  # a word is no letter
    assert result_letter(r"y_{oi} = \sum w_{ocu}", ("x", "w")) == "y"
    assert result_letter(r"x = 1", ("x",)) == ""
