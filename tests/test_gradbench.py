"""The evaluations of GradBench: derivatives against finite differences and C++ by hand, and the protocol.

No time is judged.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as nn
from tests.benchmarks.gradbench import __main__ as command
from tests.benchmarks.gradbench import by_hand, checkout, inputs, objectives, ours, peers, programs, taped, variants
from tests.benchmarks.gradbench.adapter import answers
from tests.benchmarks.gradbench.evaluations import EVALUATIONS
from tests.benchmarks.gradbench.programs import numbers

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


@pytest.mark.parametrize(("name", "primal", "derivative"), PAIRS)
def test_gradients_agree_with_differences(name: str, primal: str, derivative: str) -> None:
    problem = EVALUATIONS[name].read(inputs.SMALL[name](), objectives)
    f = problem.number or problem.objective
    found = ours.task(name, derivative, inputs.SMALL[name](), "eager").run()
    assert len(found) == problem.wanted
    for k, gradient in enumerate(found):
        before, argument, after = problem.arguments[:k], problem.arguments[k], problem.arguments[k + 1 :]
        want = differences(lambda x, before=before, after=after: f(*before, x, *after), argument)
        np.testing.assert_allclose(gradient, want.reshape(argument.shape), rtol=NEAR, atol=NEAR)


def differences(f: Any, x: Any) -> Any:
    """The Jacobian of f at x by central differences, a column an entry of x."""
    columns = []
    for index in np.ndindex(x.shape):
        ends = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved[index] += step
            ends.append(numbers(f(moved)))
        columns.append((ends[0] - ends[1]) / (2 * STEP))
    return np.stack(columns, axis=1)


def test_the_sparse_jacobian_of_bundle_adjustment_is_the_whole_one() -> None:
    problem = EVALUATIONS["ba"].read(inputs.SMALL["ba"](), objectives)
    rng = np.random.default_rng(1)
    problem = problem._replace(arguments=tuple(x + 0.1 * rng.normal(size=x.shape) for x in problem.arguments))
    blocks = ours.KINDS["blocks"](problem)(*problem.arguments)
    assert problem.finish
    found = problem.finish(blocks)
    (n, _), (m, _), (p,) = (x.shape for x in problem.arguments[:3])
    dense = np.zeros((3 * p, 11 * n + 3 * m + p))
    row = np.repeat(np.arange(3 * p), np.diff(found["rows"]))
    np.add.at(dense, (row, found["cols"]), found["vals"])
    sizes = np.cumsum([x.size for x in problem.arguments[:3]])

    def whole(v: Any) -> Any:
        parts = np.split(v, sizes)[:3]
        wanted = (part.reshape(x.shape) for part, x in zip(parts, problem.arguments, strict=False))
        return problem.objective(*wanted, problem.arguments[3])

    want = differences(whole, np.concatenate([x.ravel() for x in problem.arguments[:3]]))
    np.testing.assert_allclose(dense, want, rtol=NEAR, atol=NEAR * np.abs(want).max())
    assert (want != 0).sum() <= len(found["vals"]) == 31 * p


def test_a_camera_that_does_not_turn_has_derivatives() -> None:
    given = {**inputs.SMALL["ba"](), "cam": [0.0] * 6 + [400.0, 5.0, -8.0, 0.09, 0.003]}
    problem = EVALUATIONS["ba"].read(given, objectives)
    blocks, _ = ours.KINDS["blocks"](problem)(*problem.arguments)
    one = [x[:1] for x in problem.arguments]
    want = differences(lambda cam: problem.number and problem.number(cam, *one[1:]), one[0])
    np.testing.assert_allclose(blocks[0, :, :11], want, rtol=NEAR, atol=NEAR * np.abs(want).max())


@pytest.mark.parametrize("inside", [True, False])
def test_the_columns_of_hand_tracking_are_those_of_the_whole_jacobian(inside: bool) -> None:
    given = inputs.ht(9, 7, 5, inside=inside)
    problem = EVALUATIONS["ht"].read(given, objectives)
    found = ours.task("ht", "jacobian", given, "eager").run()
    *shift, theta = problem.arguments[: problem.wanted]
    rest = problem.arguments[problem.wanted :]
    assert found.shape == (15, 28 if inside else 26)
    want = differences(lambda theta: problem.objective(*shift, theta, *rest), theta)
    np.testing.assert_allclose(found[:, -26:], want, rtol=NEAR, atol=NEAR)
    if inside:  # of each point its own two columns among those of all points
        whole = differences(lambda us: problem.objective(*shift, theta, us, rest[1]), rest[0])
        own = np.concatenate([whole[3 * k : 3 * k + 3, 2 * k : 2 * k + 2] for k in range(5)])
        np.testing.assert_allclose(found[:, :2], own, rtol=NEAR, atol=NEAR)
        assert np.count_nonzero(whole) == np.count_nonzero(own)


def test_newtons_step_of_clusters_leads_to_their_means() -> None:
    given = inputs.SMALL["kmeans"]()
    points, centroids = np.array(given["points"]), np.array(given["centroids"])
    nearest = np.argmin(((points[:, None] - centroids) ** 2).sum(axis=2), axis=1)
    means = [points[nearest == k].mean(axis=0) for k in range(len(centroids))]
    (step,) = ours.task("kmeans", "dir", given, "eager").run()
    np.testing.assert_allclose(centroids - step, means, EXACT, EXACT)


@pytest.mark.parametrize("outer", [ours.forward, ours.reverse])
@pytest.mark.parametrize("inner", [ours.forward, ours.reverse])
def test_derivatives_nest_in_both_modes(outer: Any, inner: Any) -> None:
    def landed(w: Any) -> Any:
        return objectives.landing(w, inner)

    at = np.array([0.3])
    slope = outer(landed)(at)
    np.testing.assert_allclose(slope, differences(landed, at)[0], rtol=NEAR, atol=NEAR)


@pytest.mark.slow
def test_the_saddle_is_found() -> None:
    np.testing.assert_allclose(ours.task("saddle", "rr", {"start": [1.0, 1.0]}, "eager").run(), 0, atol=1e-5)


@pytest.mark.parametrize("name", by_hand.CALLS)
@pytest.mark.skipif(by_hand.compiler() is None, reason="needs a C++ compiler")
def test_all_functions_equal_those_by_hand(name: str) -> None:
    for function in EVALUATIONS[name].functions:
        given = inputs.SMALL[name]()
        want = numbers(by_hand.task(name, function, given).run())
        np.testing.assert_allclose(numbers(ours.task(name, function, given, "eager").run()), want, EXACT, EXACT)


@pytest.mark.parametrize("library", taped.OPTIONS)
@pytest.mark.parametrize("name", taped.SIZES)
@pytest.mark.skipif(by_hand.compiler() is None, reason="needs a C++ compiler")
def test_tapes_of_cpp_compute_the_same(name: str, library: str) -> None:
    try:
        by_hand.library("taped", *taped.OPTIONS[library])
    except FileNotFoundError as error:
        assert re.search("taped.cpp was not built: .*(adolc|cppad)", str(error)), error  # noqa: PT017
        return  # the benchmark names it as not there
    given = inputs.SMALL[name]()
    for function, kind in EVALUATIONS[name].functions.items():
        if kind == "gradient" or name != "ode":
            want = numbers(ours.task(name, function, given, "eager").run())
            np.testing.assert_allclose(numbers(taped.task(library, name, function, given).run()), want, EXACT, EXACT)


@pytest.mark.parametrize("name", [name for name in EVALUATIONS if name not in ("particle", "saddle")])  # they branch
def test_replayed_results_equal_eager_ones(name: str) -> None:
    for function in EVALUATIONS[name].functions:
        eager, replayed = (ours.task(name, function, inputs.SMALL[name](), mode).run() for mode in ("eager", "replay"))
        np.testing.assert_allclose(numbers(replayed), numbers(eager), EXACT, EXACT)


@pytest.mark.parametrize("name", programs.SCANNED)
def test_loops_by_scan_compute_the_same(name: str) -> None:
    given = inputs.SMALL[name]()
    problem = EVALUATIONS[name].read(given, variants.objectives_on(np, **variants.scanned(np, nn.scan)))
    for function, kind in EVALUATIONS[name].functions.items():
        want = numbers(ours.task(name, function, given, "eager").run())
        found = ours.KINDS[kind](problem)(*problem.arguments)
        np.testing.assert_allclose(numbers(found), want, EXACT, EXACT)


@pytest.mark.parametrize("library", peers.LIBRARIES)
def test_other_libraries_compute_the_same(library: str) -> None:
    if find_spec(peers.PACKAGES[library]) is None:
        return  # the benchmark names it as not installed
    peer = peers.LIBRARIES[library]()
    for name, evaluation in EVALUATIONS.items():
        for function, kind in evaluation.functions.items():
            run = peer.run(kind, evaluation.read(inputs.SMALL[name](), peer.on))
            if run is not None:
                want = numbers(ours.task(name, function, inputs.SMALL[name](), "eager").run())
                np.testing.assert_allclose(numbers(run()), want, EXACT, EXACT, err_msg=f"{name} {function}")


def test_objectives_can_be_given_another_numpy() -> None:
    calls = []

    class Loud:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(np, name)

    other = variants.objectives_on(Loud(), recurrent="other")
    assert other.logsumexp(np.zeros(2)) == pytest.approx(np.log(2))
    assert {"max", "log", "sum", "exp"} <= set(calls)
    assert other.recurrent == "other"
    assert callable(objectives.recurrent)
    assert objectives.np is np


def said(*messages: Any, mode: str = "eager") -> list[dict[str, Any]]:
    lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    return [json.loads(answer) for answer in answers(lines, mode)]


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
        ({"kind": "evaluate", "module": "lse", "function": "primal", "input": [1.0]}, r"must be an object; it is \[1"),
        ({"kind": "evaluate", "module": "lse", "function": "primal", "input": None}, "must be an object; it is null"),
        ({"kind": "evaluate", "module": "lse", "function": "primal", "input": {"x": None}}, "not finite"),
        ({"kind": "evaluate", "module": "lse", "function": "primal", "input": {"x": [1.0], "min_runs": "3"}},
         'min_runs is "3"; it must be a finite number'),
        ({"kind": "evaluate", "module": "lse", "function": "primal", "input": {"x": [1.0], "min_seconds": None}},
         "min_seconds is null; it must be a finite number"),
        ({"kind": "evaluate", "module": "lse", "function": "primal", "input": {"x": [1.0], "min_seconds": 1e999}},
         "min_seconds is Infinity; it must be a finite number"),
        ({"kind": "evaluate", "module": "hello", "function": "square", "input": 1e200}, "not finite"),
    ],
)  # fmt: skip
def test_a_failing_message_gets_an_error_and_the_session_continues(message: dict[str, Any], why: str) -> None:
    with np.errstate(over="ignore"):
        failed, after = said({"id": 5, **message}, {"id": 6, "kind": "define", "module": "hello"})
    assert (failed["id"], failed["success"]) == (5, False)
    assert re.search(why, failed["error"]), failed["error"]
    assert after == {"id": 6, "success": True}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "one line of JSON; this is none"),
        ("[" * 100_000, "one line of JSON; this is none"),
        ('{"id": ' + 5000 * "9" + "}", "one line of JSON; this is none"),
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


PRINTS = """
from tests.benchmarks.gradbench import adapter, objectives
real = objectives.logsumexp
def logsumexp(x):
    import os
    print("printed")
    os.system("echo written by another program")
    return real(x)
objectives.logsumexp = logsumexp
adapter.main([])
"""


def served(lines: str, *command: str) -> Any:
    return subprocess.run(
        [sys.executable, *(command or ("-m", "tests.benchmarks.gradbench.adapter"))], input=lines, text=True,
        capture_output=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip


def test_standard_output_has_answers_alone() -> None:
    asked = {"id": 1, "kind": "evaluate", "module": "lse", "function": "primal", "input": {"x": [0.0]}}
    found = served(json.dumps(asked) + "\n", "-c", PRINTS)
    (answer,) = found.stdout.splitlines()
    assert json.loads(answer)["output"] == 0
    assert found.stderr.splitlines() == ["printed", "written by another program"]
    wrong = served('{"id": 1, "kind": "start"}\nnonsense\n')
    assert [json.loads(line)["id"] for line in wrong.stdout.splitlines()] == [1]
    assert wrong.returncode == 1
    assert re.fullmatch("a message is one line of JSON; this is none, .*: nonsense\n", wrong.stderr)


def test_the_server_ends_quietly_if_its_output_is_closed() -> None:
    line = [sys.executable, "-m", "tests.benchmarks.gradbench.adapter"]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[1],
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        process.stdout.close()
        process.stdin.write('{"id": 1, "kind": "start"}\n')
        process.stdin.flush()
        assert process.stderr
        assert process.stderr.read() == ""
        assert process.wait() == 0


def test_an_uncompilable_function_runs_as_often_as_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []

    def branching(x: Any) -> Any:
        if not isinstance(x, nn.Tensor):
            runs.append(x)
        return x.sum() if x[0] > 0 else -x.sum()

    message = {"id": 1, "kind": "evaluate", "module": "lse", "function": "primal", "input": {"x": [1.0, 2.0]}}
    (compiled,) = said(message, mode="replay")
    assert [timing["name"] for timing in compiled["timings"]] == ["compile", "evaluate"]
    monkeypatch.setattr(objectives, "logsumexp", branching)
    with pytest.warns(RuntimeWarning, match="depends on a value"):
        (eager,) = said(message, mode="replay")
    assert eager["output"] == 3
    assert [timing["name"] for timing in eager["timings"]] == ["evaluate"]
    assert len(runs) == 1


CHECKOUT = {
    "__init__": "",
    "cpp": "",
    "evals/lse/run": """
import json, sys
from gradbench import cpp
def ask(number, **message):
    print(json.dumps({"id": number, **message}), flush=True)
    return json.loads(sys.stdin.readline())
given, wrong = {"x": [0.0, 1.0]}, "--wrong" in sys.argv
ask(0, kind="start", eval="lse")
ask(1, kind="define", module="lse")
for number, function in ((2, "primal"), (4, "gradient")):
    got = ask(number, kind="evaluate", module="lse", function=function, input=given)["output"]
    want = cpp.evaluate(tool="manual", module="lse", function=function, input=given)["output"]
    same = (got if isinstance(got, float) else got[0]) - (want if isinstance(want, float) else want[0])
    ask(number + 1, kind="analysis", of=number, valid=abs(same) < 1e-12 and not wrong, error="off")
""",
}


@pytest.mark.skipif(by_hand.compiler() is None, reason="needs a C++ compiler")
def test_a_checkout_judges_the_adapter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in CHECKOUT.items():
        path = tmp_path / "python" / "gradbench" / "gradbench" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    before = sorted(tmp_path.rglob("*"))
    assert checkout.check(tmp_path, ["lse"], "eager", []) == 0
    assert re.match(r"lse +valid +2 of 2 answers, by hand", capsys.readouterr().out)
    assert checkout.check(tmp_path, ["lse"], "eager", ["--wrong"]) == 1
    assert re.match(r"lse +NOT VALID +0 of 2 answers.*primal: off; gradient: off", capsys.readouterr().out)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written into it
    assert checkout.check(tmp_path, ["ode"], "eager") == 1
    assert "did not judge gradient, primal" in capsys.readouterr().out
    assert checkout.check(tmp_path / "python", ["lse"], "eager") == 1
    assert "is no checkout of GradBench" in capsys.readouterr().out
    monkeypatch.setattr(checkout, "PEERS", str(tmp_path / "python3"))
    assert checkout.check(tmp_path, ["lse"], "eager", []) == 1
    assert "set TINYGRAD_NN_PEERS to the Python that runs the evaluations" in capsys.readouterr().out


def test_the_command_prints_a_row_for_each_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ALL", ("eager", "torch", "C++ by hand"))
    command.main(["hello", "--turns", "2", "--seconds", "0.001"])
    text = capsys.readouterr().out
    assert re.search(r"^eager +[\d.]+ +[\d.]+ ", text, flags=re.MULTILINE), text
    assert re.search(r"^torch +", text, flags=re.MULTILINE), text
    assert "do not compute the same" not in text
    assert "C++ by hand" not in text  # it has no such evaluation
    with pytest.raises(SystemExit):
        command.main(["nothing"])
    assert "unknown evaluation nothing; known are hello" in capsys.readouterr().err
