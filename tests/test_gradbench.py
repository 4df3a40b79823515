"""The evaluations of GradBench: derivatives against finite differences and C++ by hand, and the protocol.

No time is judged.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.gradbench import __main__ as command
from tests.benchmarks.gradbench import by_hand, inputs, objectives, ours
from tests.benchmarks.gradbench.adapter import answers
from tests.benchmarks.gradbench.evaluations import EVALUATIONS

EXACT = 1e-9  # two ways to compute the same in float64, with sums of some thousand numbers in another order
# Central differences of step h err by h² f‴/6 from the curve and by 1e-16 f/h from rounding: with h = 1e-5 about 1e-10
# of each, of numbers up to some hundred.
STEP, NEAR = 1e-5, 1e-6
PAIRS = [
    (name, primal, derivative)
    for name, evaluation in EVALUATIONS.items()
    for primal, kind in evaluation.functions.items()
    if kind == "objective"
    for derivative, other in evaluation.functions.items()
    if other == "gradient"
]


def numbers(result: Any) -> Any:
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return np.concatenate([np.ravel(np.asarray(part, float)) for part in parts])


@pytest.mark.parametrize(("name", "primal", "derivative"), PAIRS)
def test_gradients_agree_with_differences(name: str, primal: str, derivative: str) -> None:
    problem = EVALUATIONS[name].read(inputs.SMALL[name](), objectives)
    f = problem.number or problem.objective
    found = ours.task(name, derivative, inputs.SMALL[name](), "eager").run()
    assert len(found) == problem.wanted
    for k, gradient in enumerate(found):
        argument = problem.arguments[k]
        assert gradient.shape == argument.shape
        want = np.empty_like(argument)
        for index in np.ndindex(argument.shape):
            ends = []
            for step in (STEP, -STEP):
                moved = argument.copy()
                moved[index] += step
                ends.append(f(*problem.arguments[:k], moved, *problem.arguments[k + 1 :]))
            want[index] = (ends[0] - ends[1]) / (2 * STEP)
        np.testing.assert_allclose(gradient, want, rtol=NEAR, atol=NEAR)


@pytest.mark.parametrize("name", by_hand.CALLS)
@pytest.mark.skipif(by_hand.compiler() is None, reason="needs a C++ compiler")
def test_all_functions_equal_those_by_hand(name: str) -> None:
    for function in EVALUATIONS[name].functions:
        given = inputs.SMALL[name]()
        want = numbers(by_hand.task(name, function, given).run())
        np.testing.assert_allclose(numbers(ours.task(name, function, given, "eager").run()), want, EXACT, EXACT)


@pytest.mark.parametrize("name", [name for name in EVALUATIONS if name not in ("particle", "saddle")])
def test_what_is_replayed_is_what_is_eager(name: str) -> None:
    for function in EVALUATIONS[name].functions:
        eager, replayed = (ours.task(name, function, inputs.SMALL[name](), mode).run() for mode in ("eager", "replay"))
        np.testing.assert_allclose(numbers(replayed), numbers(eager), EXACT, EXACT)


def said(*messages: Any) -> list[dict[str, Any]]:
    lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    return [json.loads(answer) for answer in answers(lines)]


def asked(module: str, function: str, given: Any) -> dict[str, Any]:
    return said({"id": 7, "kind": "evaluate", "module": module, "function": function, "input": given})[0]


def test_a_session_is_answered_message_by_message() -> None:
    started, defined, squared, doubled, noted = said(
        {"id": 0, "kind": "start", "eval": "hello"},
        {"id": 1, "kind": "define", "module": "hello"},
        {"id": 2, "kind": "evaluate", "module": "hello", "function": "square", "input": 3.0},
        {"id": 3, "kind": "evaluate", "module": "hello", "function": "double", "input": 9},
        {"id": 4, "kind": "analysis", "of": 3, "valid": True},
    )
    assert started == {"id": 0, "tool": "tinygrad_nn", "config": {"mode": "eager"}}
    assert defined == {"id": 1, "success": True}
    assert (squared["success"], squared["output"], doubled["output"]) == (True, 9.0, 18.0)
    assert squared["timings"][0]["name"] == "evaluate"
    assert squared["timings"][0]["nanoseconds"] > 0
    assert noted == {"id": 4}


def test_answers_come_before_the_next_message_is_read() -> None:
    sent = []

    def lines() -> Iterator[str]:
        for number in range(3):
            sent.append(number)
            yield json.dumps({"id": number, "kind": "start"})

    for number, answer in enumerate(answers(lines())):
        assert json.loads(answer)["id"] == number
        assert sent[-1] == number


def test_a_function_runs_as_often_and_as_long_as_its_input_says() -> None:
    often = asked("lse", "primal", {"x": [0.0, 0.0], "min_runs": 5, "min_seconds": 0})
    assert [timing["name"] for timing in often["timings"]] == ["evaluate"] * 5
    assert often["output"] == pytest.approx(np.log(2))
    long = asked("lse", "primal", {"x": [0.0, 0.0], "min_runs": 1, "min_seconds": 0.01})
    assert sum(timing["nanoseconds"] for timing in long["timings"]) >= 0.01e9


@pytest.mark.parametrize("name", EVALUATIONS)
def test_outputs_are_made_of_lists_and_numbers_of_the_argument(name: str) -> None:
    for function in EVALUATIONS[name].functions:
        answer = asked(name, function, inputs.SMALL[name]())
        assert answer["success"], answer
    assert asked("gmm", "jacobian", inputs.SMALL["gmm"]())["output"].keys() == {"alpha", "mu", "q", "l"}


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"kind": "define", "module": "nothing"}, r'module is "nothing"; known are hello'),
        ({"kind": "define"}, "module is null; known are hello"),
        ({"kind": "evaluate", "module": "lse", "function": "g", "input": {}}, 'function is "g"; known are primal'),
        ({"kind": "evaluate", "module": ["lse"], "function": "primal", "input": {}}, r'module is \["lse"\]; known'),
        ({"kind": "evaluate", "module": "lse", "function": "primal"}, 'needs "input"'),
        ({"kind": "evaluate", "module": "lse", "function": "primal", "input": {"y": [1.0]}}, "lse needs x; it has y"),
        ({"kind": "evaluate", "module": "lse", "function": "primal", "input": {"x": ["a"]}}, "ValueError"),
        ({"kind": "evaluate", "module": "lse", "function": "primal", "input": [1.0]}, "TypeError"),
        ({"kind": "evaluate", "module": "hello", "function": "square", "input": 1e200}, "not finite"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_and_the_session_goes_on(message: dict[str, Any], why: str) -> None:
    with np.errstate(over="ignore"):
        failed, after = said({"id": 5, **message}, {"id": 6, "kind": "define", "module": "hello"})
    assert (failed["id"], failed["success"]) == (5, False)
    assert re.search(why, failed["error"]), failed["error"]
    assert after == {"id": 6, "success": True}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "one line of JSON; this is none"),
        ("[1]", r"a message is an object .* this is \[1\]"),
        ('{"kind": "start"}', "it has no id"),
        ('{"id": "a", "kind": "start"}', 'id is "a"'),
        ('{"id": 1}', "it has no kind"),
        ('{"id": true, "kind": "start"}', "id is true"),
    ],
)
def test_a_line_that_is_no_message_ends_the_session(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        said(line)


def test_the_command_prints_a_row_for_each_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ALL", ("eager", "torch"))
    command.main(["hello", "--turns", "2", "--seconds", "0.001"])
    text = capsys.readouterr().out
    assert re.search(r"^eager +[\d.]+ +[\d.]+ ", text, flags=re.MULTILINE), text
    assert re.search(r"^torch +", text, flags=re.MULTILINE), text
    assert "do not compute the same" not in text
    with pytest.raises(SystemExit):
        command.main(["nothing"])
    assert "unknown evaluation nothing; known are hello" in capsys.readouterr().err
