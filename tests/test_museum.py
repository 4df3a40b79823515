"""The museum of mistakes: wrong backward passes are found, those that only look wrong pass, the page is up to date."""

import difflib
import importlib.util
import inspect
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.museum import EXHIBITS, RIGHT, WRONG, report
from examples.museum.__main__ import main
from examples.museum.exhibit import Exhibit
from tinygrad_nn.compare.budget import time_limit
from tinygrad_nn.compare.diagnosis import KINDS

ROOT = Path(__file__).resolve().parents[1]
NAMED = 36  # of the wrong ones, at least


@pytest.fixture(autouse=True, scope="module")
def reports_like_those_of_the_page() -> Generator[None]:
    report.cache_clear()  # others may have asked in less time
    with time_limit(40.0):
        yield
    report.cache_clear()


def gradients(backward: Any, inputs: Any, g: Any) -> tuple[Any, ...]:
    found = backward(*[a.copy() for a in inputs], g)
    return found if isinstance(found, tuple) else (found,)


def slopes(exhibit: Exhibit, inputs: Any, g: Any, k: int, v: Any) -> float:
    """The derivative of (g * forward).sum() in argument k along v, by central differences, to 1e-9 or so."""
    up, down = ([a + (h * v if i == k else 0) for i, a in enumerate(inputs)] for h in (1e-5, -1e-5))
    return float((g * (np.asarray(exhibit.forward(*up)) - np.asarray(exhibit.forward(*down)))).sum() / 2e-5)


@pytest.mark.parametrize("name", EXHIBITS)
def test_right_exhibits_agree_with_central_differences_and_wrong_ones_do_not(name: str) -> None:
    exhibit, rng = EXHIBITS[name], np.random.default_rng(3)
    inputs = exhibit.inputs(0)
    g = rng.normal(size=np.shape(exhibit.forward(*inputs)))
    right = gradients(exhibit.right or exhibit.backward, inputs, g)
    wrong = gradients(exhibit.backward, inputs, g)
    off = 0.0
    for k, a in enumerate(inputs):
        v = rng.normal(size=a.shape)
        slope = slopes(exhibit, inputs, g, k, v)
        assert np.shape(right[k]) == a.shape
        np.testing.assert_allclose((right[k] * v).sum(), slope, rtol=1e-6, atol=1e-7)
        off = max(off, abs((wrong[k] * v).sum() - slope) if np.shape(wrong[k]) == a.shape else 1.0)
    assert (off > 1e-5) == (name in WRONG)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_is_refused(name: str) -> None:
    assert not report(name).ok, str(report(name))
    assert [d for d in report(name).diagnoses if not d.harmless], str(report(name))


@pytest.mark.parametrize("name", WRONG)
def test_as_it_should_have_been_it_is_right(name: str) -> None:
    for seed in range(2):
        found = WRONG[name].compare(seed, right=True)
        assert found.ok, str(found)
        assert not found.diagnoses, str(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WRONG][::3])
def test_a_wrong_one_is_refused_at_another_point(name: str) -> None:
    assert not WRONG[name].compare(1).ok


@pytest.mark.parametrize("name", RIGHT)
def test_of_those_that_only_look_wrong_nothing_is_said(name: str) -> None:
    for seed in range(5):
        found = RIGHT[name].compare(seed)
        assert found.ok, str(found)
        assert not found.diagnoses, str(found)


def wrong_lines(exhibit: Exhibit) -> set[int]:
    """The lines of its file that belong changed."""
    (was, first), (now, _) = (inspect.getsourcelines(f) for f in (exhibit.backward, exhibit.right) if f is not None)
    changes = difflib.SequenceMatcher(None, was[1:], now[1:], autojunk=False).get_opcodes()
    return {first + 1 + k for tag, i, j, _, _ in changes if tag != "equal" for k in range(i, max(j, i + 1))}


def named(name: str) -> bool:
    """By a kind that fits, or by a change of a wrong line that makes it right."""
    found = [d for d in report(name).diagnoses if not d.harmless]
    texts = [f"{d.text} {' '.join(d.evidence)}" for d in found]
    return any({d.kind, *d.alternatives} & {*WRONG[name].kinds} for d in found) or any(
        re.search(r"Line \d+[^:]*: (?:write|remove) ", text)
        and {int(n) for n in re.findall(r"\b[Ll]ine (\d+)", text)} & wrong_lines(WRONG[name])
        for text in texts
    )


@pytest.mark.slow
def test_many_are_named() -> None:
    unnamed = [name for name in WRONG if not named(name)]
    assert len(WRONG) - len(unnamed) >= NAMED, unnamed


def test_there_are_enough_and_each_says_where_it_was_reported() -> None:
    assert len(WRONG) >= 20
    assert len(RIGHT) >= 4
    for exhibit in EXHIBITS.values():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", exhibit.project)
        assert re.fullmatch(r"(issue|pull) \d+", exhibit.number)
        assert all(len(text) > 10 for text in (exhibit.said, exhibit.fact))
    for of in ([e.title for e in EXHIBITS.values()], [e.link for e in EXHIBITS.values()]):
        assert len(set(of)) == len(of)


def test_numbers_of_the_reports_come_out() -> None:
    z, ones = np.array([[0.1, 0.9]]), np.ones((1, 2))
    exhibit = EXHIBITS["mlpack_2360"]
    np.testing.assert_allclose(exhibit.forward(z), [[-1.1711, -0.3711]], atol=1e-4)
    np.testing.assert_allclose(exhibit.backward(z, ones), [[1.31003, 1.68997]], atol=1e-5)
    np.testing.assert_allclose(exhibit.right(z, ones), [[0.3799, -0.3799]], atol=1e-4)
    exhibit = EXHIBITS["stat453_5"]
    assert abs(exhibit.backward(*exhibit.inputs(0), np.ones(()))[2]).max() < 1e-14
    exhibit = EXHIBITS["pytorch_63314"]
    x, w, g = np.array([[[-1.9954, -0.3385]]]), np.array([[[-0.7767]]]), np.array([[[1.5, 0, 0.7]]])
    np.testing.assert_allclose(exhibit.backward(x, w, g)[0], [[[-1.1650, 0]]], atol=1e-4)
    exhibit = EXHIBITS["pytorch_107007"]
    assert not exhibit.backward(np.arange(1.0, 5), np.ones(4)).any()


@pytest.mark.slow
def test_the_program_prints_all_or_the_report_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    said = capsys.readouterr().out
    assert all(name in said for name in EXHIBITS)
    assert "called right" not in said
    assert "called wrong" not in said
    main(["knet_288"])
    said = capsys.readouterr().out
    assert "https://github.com/denizyuret/Knet.jl/issues/288" in said
    assert "The gradient is WRONG" in said


@pytest.mark.slow
def test_the_page_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("make_museum", ROOT / "docs" / "make_museum.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def masked(text: str) -> str:  # another processor may round otherwise
        return re.sub(r"-?\d+\.\d+(e[+-]?\d+)?", "#", text)

    page = (ROOT / "docs" / "museum.md").read_text(encoding="utf-8")
    assert masked(page) == masked(module.page()), "run python docs/make_museum.py"


def test_the_kinds_that_are_expected_are_known() -> None:
    assert {kind for exhibit in WRONG.values() for kind in exhibit.kinds} <= set(KINDS)
