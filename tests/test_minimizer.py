"""`Minimizer`, for hand-written loops: groups, frozen parameters, schedules, closures, states that resume exactly."""

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, optim
from tinygrad_nn.nn import Layer
from tinygrad_nn.optim import OPTIMIZERS, Cosine, Minimizer, Plateau, adam, clip_by_norm, lbfgs, sgd

EVERY = [*OPTIMIZERS, "lbfgs"]
WOLFE = lbfgs(max_iter=2, line_search="strong_wolfe")


def problem(dtype: Any = np.float64) -> tuple[list[Tensor], Callable[[], Tensor]]:
    """Parameters of several shapes, and a smooth loss of all of them."""
    draw = np.random.default_rng(7)
    x = draw.normal(size=(6, 3)).astype(dtype)
    shapes = {"W": (2, 3), "b": (2,), "s": ()}
    W, b, s = parameters = [Tensor(np.asarray(draw.normal(size=shapes[name]), dtype), name=name) for name in shapes]
    return parameters, lambda: (np.tanh(x @ W.T + b) * s - 0.5).var() + 0.1 * (s - 2) ** 2 + 0.05 * (W * W).sum()


def values(parameters: list[Tensor]) -> list[Any]:
    return [t.data.tolist() for t in parameters]


def through_json(saved: Any) -> Any:
    """A saved state as a file would bring it back: numbers as text, arrays as their bytes."""

    def apart(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return {"dtype": x.dtype.str, "shape": x.shape, "bytes": x.tobytes().hex()}
        if isinstance(x, dict):
            return {key: apart(value) for key, value in x.items()}
        return [apart(value) for value in x] if isinstance(x, list) else x

    def together(x: Any) -> Any:
        if isinstance(x, dict) and "bytes" in x:
            return np.frombuffer(bytes.fromhex(x["bytes"]), x["dtype"]).reshape(x["shape"])
        if isinstance(x, dict):
            return {key: together(value) for key, value in x.items()}
        return [together(value) for value in x] if isinstance(x, list) else x

    return together(json.loads(json.dumps(apart(saved), allow_nan=False)))


# ---- a step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_that_of_the_rule(name: str) -> None:
    parameters, loss = problem()
    rule = OPTIMIZERS[name]()
    minimizer, twins = Minimizer(parameters, name, 0.05), [t.data for t in parameters]
    states = [rule.init(w) for w in twins]
    for _ in range(3):
        minimizer.zero_grad()
        loss().backward()
        minimizer.step()
        for k, t in enumerate(parameters):
            step, states[k] = rule.update(t.grad, states[k], 0.05, twins[k])
            twins[k] = twins[k] - step
            np.testing.assert_array_equal(t.data, twins[k])
    assert minimizer.steps == 3


@pytest.mark.parametrize("name", EVERY)
def test_float32_stays_float32(name: str) -> None:
    parameters, loss = problem(np.float32)
    minimizer = Minimizer(parameters, name)
    first = minimizer.step(loss)
    for _ in range(5):
        last = minimizer.step(loss)
    assert last < first
    assert {t.dtype for t in parameters} == {np.dtype(np.float32)}
    arrays = [x for group in minimizer.groups for state in group.states for x in state if isinstance(x, np.ndarray)]
    assert {x.dtype for x in arrays} <= {np.dtype(np.float32)}
    assert type(last) is float


def test_the_learning_rate_is_by_default_that_of_the_optimizer() -> None:
    w = Tensor([1.0])
    rates = dict.fromkeys(EVERY, 1e-3) | {"nadam": 2e-3, "adamax": 2e-3, "adagrad": 1e-2, "rmsprop": 1e-2}
    rates |= {"adadelta": 1.0, "lbfgs": 1.0, "lion": 1e-4}
    for name in EVERY:
        assert Minimizer([w], name).learning_rates == [rates[name]]


def test_an_older_graph_keeps_the_old_array() -> None:
    w = Tensor([1.0, 2.0])
    y, before = (w * w).sum(), w.data
    minimizer = Minimizer([w], "sgd", 0.1)
    minimizer.step([np.array([1.0, 1.0])])
    np.testing.assert_array_equal(before, [1.0, 2.0])
    np.testing.assert_array_equal(w.data, [0.9, 1.9])
    assert w.node.out is w.data
    y.backward()
    np.testing.assert_array_equal(w.grad, [2.0, 4.0])


def test_parameters_without_a_gradient_keep_their_value_and_state() -> None:
    parameters, loss = problem()
    _, b, s = parameters
    minimizer = Minimizer(parameters, "adam", 0.1)
    node, b.node = b.node, None  # frozen
    loss().backward()
    s.grad = None
    before = values(parameters)
    minimizer.step()
    assert [was != now for was, now in zip(before, values(parameters), strict=True)] == [True, False, False]
    assert [state[-1] for state in minimizer.groups[0].states] == [1, 0, 0]
    minimizer.zero_grad()
    b.node = node
    loss().backward()
    minimizer.step()
    assert [state[-1] for state in minimizer.groups[0].states] == [2, 1, 1]


def test_gradients_may_be_given_and_clipped() -> None:
    parameters, loss = problem()
    minimizer = Minimizer(parameters, "sgd", 1.0)
    loss().backward()
    clipped, norm = clip_by_norm([t.grad for t in parameters], 1e-3)
    before = [t.data for t in parameters]
    minimizer.step(clipped)
    moved = np.concatenate([(old - t.data).ravel() for old, t in zip(before, parameters, strict=True)])
    # the eps of 1e-6 beside a norm of about 1
    assert norm > 0.1
    assert np.linalg.norm(moved) == pytest.approx(1e-3, rel=1e-5)
    minimizer.step([None, np.ones(2), None])
    assert parameters[0].data is not before[0]


def test_a_closure_may_walk_back_itself_as_in_pytorch() -> None:
    (a, loss_a), (b, loss_b) = problem(), problem()
    one, two = Minimizer(a, WOLFE), Minimizer(b, WOLFE)

    def closure() -> Tensor:
        two.zero_grad()
        loss = loss_b()
        loss.backward()
        return loss

    for _ in range(3):
        assert one.step(loss_a) == two.step(closure)
    assert values(a) == values(b)


def test_layers_are_trained_by_a_users_loop(rng: np.random.Generator) -> None:
    model = [Layer(2, 8, "tanh", rng=0), Layer(8, 1, rng=1)]
    x = rng.normal(size=(64, 2))
    y = x[:, :1] * x[:, 1:]
    minimizer = Minimizer([w for layer in model for w in (layer.W, layer.b)], "adam", 0.02)
    losses = [minimizer.step(lambda: ((model[1](model[0](x)) - y) ** 2).mean()) for _ in range(400)]
    assert losses[-1] < 0.05 * losses[0]


# ---- groups


@pytest.mark.parametrize("count", [1, 2])
def test_a_parameter_that_joins_a_group_later_is_not_left_out_silently(count: int) -> None:
    w, late = [Tensor([1.0]) for _ in range(count)], Tensor([2.0])
    minimizer = Minimizer([{"parameters": [t]} for t in w], "sgd", 0.1)
    minimizer.groups[-1].parameters.append(late)
    with pytest.raises(ValueError, match="the parameters of a group have changed; create a new Minimizer for them"):
        minimizer.step(lambda: sum([*w[1:], late], w[0]).sum())
    assert [t.data.tolist() for t in [*w, late]] == [*[[1.0]] * count, [2.0]]


def test_groups_have_rates_hyper_parameters_and_optimizers_of_their_own() -> None:
    parameters, _ = problem()
    W, b, s = parameters
    minimizer = Minimizer(
        [{"parameters": [W], "weight_decay": 0.5}, {"parameters": b, "learning_rate": 0.2},
         {"parameters": [s], "optimizer": "sgd", "learning_rate": 0.3, "mu": 0.5}],
        "adamw", 0.1,
    )  # fmt: skip
    rules = [repr(group.rule) for group in minimizer.groups]
    assert rules == [
        "adamw(beta1=0.9, beta2=0.999, eps=1e-08, weight_decay=0.5)",
        "adamw(beta1=0.9, beta2=0.999, eps=1e-08, weight_decay=0.01)",
        "sgd(mu=0.5)",
    ]
    assert minimizer.learning_rates == [0.1, 0.2, 0.3]
    before = [t.data for t in parameters]
    minimizer.step([np.zeros((2, 3)), np.ones(2), np.ones(())])
    np.testing.assert_allclose(W.data, before[0] * (1 - 0.1 * 0.5), rtol=1e-15)
    np.testing.assert_allclose(b.data, before[1] * (1 - 0.2 * 0.01) - 0.2, rtol=1e-6)
    np.testing.assert_allclose(s.data, before[2] - 0.3, rtol=1e-15)
    assert [id(t) for t in minimizer.parameters] == [id(t) for t in parameters]


def test_a_group_without_a_rate_has_that_of_its_optimizer() -> None:
    W, b, _ = problem()[0]
    minimizer = Minimizer([{"parameters": [W]}, {"parameters": [b], "optimizer": "adadelta"}], "rmsprop")
    assert minimizer.learning_rates == [0.01, 1.0]


# ---- schedules


def test_a_schedule_counts_steps_and_scales_every_group() -> None:
    W, b, _ = problem()[0]
    groups = [{"parameters": [W]}, {"parameters": [b], "learning_rate": 1.0}]
    minimizer = Minimizer(groups, "sgd", 0.1, Cosine(4))
    seen = []
    for _ in range(5):
        before = b.data
        seen.append(minimizer.learning_rates)
        minimizer.step([None, np.ones(2)])
        np.testing.assert_allclose(before - b.data, seen[-1][1], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(seen, np.outer([1, 0.5 + 8**-0.5, 0.5, 0.5 - 8**-0.5, 0], [0.1, 1.0]), atol=1e-15)


def test_a_plateau_follows_the_observed_metrics() -> None:
    minimizer = Minimizer([Tensor([1.0])], "sgd", 0.1, Plateau(patience=0, factor=0.5))
    seen = []
    for metric in (3.0, 2.0, 2.5, 2.5, 1.0):
        minimizer.observe(metric)
        seen.append(*minimizer.learning_rates)
    assert seen == [0.1, 0.1, 0.05, 0.025, 0.025]
    with pytest.raises(TypeError, match="observe: only a Plateau follows a metric"):
        Minimizer([Tensor([1.0])]).observe(1.0)


def test_a_function_serves_as_a_schedule() -> None:
    minimizer = Minimizer([Tensor([1.0])], "sgd", 0.1, lambda t, base: base / (1 + t))
    minimizer.step([np.ones(1)])
    assert minimizer.learning_rates == [0.05]
    assert minimizer.state_dict()["schedule"] is None


# ---- L-BFGS


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_finds_the_bottom_of_a_bowl_to_the_last_digits(line_search: str | None, rng: np.random.Generator) -> None:
    A = rng.normal(size=(5, 5))
    A, c, w = A @ A.T + np.eye(5), rng.normal(size=5), Tensor(np.zeros(5))
    minimizer = Minimizer([w], lbfgs(max_iter=50, line_search=line_search, tolerance_change=0))
    minimizer.step(lambda: 0.5 * (w @ (A @ w)) - c @ w)
    np.testing.assert_allclose(w.data, np.linalg.solve(A, c), atol=1e-6)


def test_lbfgs_minimises_rosenbrocks_valley() -> None:
    w = Tensor([-1.2, 1.0])
    minimizer = Minimizer([w], lbfgs(line_search="strong_wolfe", tolerance_change=0))
    for _ in range(4):
        minimizer.step(lambda: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2)
    np.testing.assert_allclose(w.data, 1.0, atol=1e-6)


def test_the_first_direction_of_lbfgs_is_the_gradient_but_not_longer_than_one() -> None:
    for start, first in [([0.1, -0.2], [0.08, -0.16]), ([3.0, 5.0], [3 - 0.1 * 6 / 16, 5 - 0.1 * 10 / 16])]:
        w = Tensor(start)
        Minimizer([w], lbfgs(max_iter=1), 0.1).step(lambda w=w: (w * w).sum())
        np.testing.assert_allclose(w.data, first, rtol=1e-14)


@pytest.mark.parametrize(("start", "rate"), [(0.0, 1.0), (1.0, 0.0)])
def test_at_the_bottom_or_with_a_rate_of_zero_lbfgs_stays(start: float, rate: float) -> None:
    w = Tensor(np.full(3, start))
    minimizer = Minimizer([w], WOLFE, rate)
    assert minimizer.step(lambda: (w * w).sum()) == 3 * start
    assert w.data.tolist() == [start] * 3


@pytest.mark.parametrize("wall", [np.inf, np.nan])
def test_a_line_search_comes_back_from_where_the_loss_is_not_finite(wall: float) -> None:
    w = Tensor([0.5])
    minimizer = Minimizer([w], lbfgs(line_search="strong_wolfe"), 100.0)

    def loss() -> Tensor:  # there is no loss beyond 2
        return (w - 1.0) ** 2 @ np.ones(1) + (0.0 if w.data[0] < 2 else wall)

    minimizer.step(loss)
    np.testing.assert_allclose(w.data, 1.0, atol=1e-6)


@pytest.mark.parametrize("most", [3, 7])
def test_a_line_search_down_a_slope_without_end_is_bounded(most: int) -> None:
    from tinygrad_nn.optim.quasi_newton import _Line, _Point, _strong_wolfe

    along = _Line(lambda w: (-float(w[0]), np.array([-1.0])), np.zeros(1), np.ones(1))
    found = _strong_wolfe(along, 1.0, _Point(0.0, 0.0, np.array([-1.0]), -1.0), 1e-9, most)
    assert along.evaluations == most + 1
    assert math.isfinite(found.loss)


@pytest.mark.parametrize(
    ("loss", "slope", "stays"),
    [(-1.5e-4, 0.5, True), (-0.5e-4, 0.5, False), (-0.4, 0.85, True), (-0.4, 0.95, False), (-0.6, -0.85, True),
     (-0.98, -0.95, False)],
)  # fmt: skip
def test_the_first_step_is_taken_if_it_is_low_and_flat_enough(loss: float, slope: float, stays: bool) -> None:
    from tinygrad_nn.optim.quasi_newton import _Line, _Point, _strong_wolfe

    a, b = slope - 1 - 2 * loss, 2 + 3 * loss - slope  # the cubic with slope -1 at 0, and these at 1
    cubic = lambda w: (float(a * w[0] ** 3 + b * w[0] ** 2 - w[0]), 3 * a * w**2 + 2 * b * w - 1)
    found = _strong_wolfe(_Line(cubic, np.zeros(1), np.ones(1)), 1.0, _Point(0.0, 0.0, -np.ones(1), -1.0), 1e-9, 20)
    assert (found.t == 1) is stays
    assert found.loss <= -1e-4 * found.t, "Armijo"
    assert abs(found.slope) <= 0.9, "Wolfe"


def test_where_the_closure_fails_the_parameters_are_as_they_were() -> None:
    parameters, loss = problem()
    minimizer, calls = Minimizer(parameters, WOLFE), []

    def closure() -> Tensor:
        calls.append(1)
        if len(calls) == 2:  # in the midst of a line search
            raise RuntimeError("out of data")
        return loss()

    minimizer.step(loss)
    before, state = values(parameters), minimizer.groups[0].states[0]
    with pytest.raises(RuntimeError, match="out of data"):
        minimizer.step(closure)
    assert values(parameters) == before
    assert minimizer.groups[0].states[0] is state
    assert minimizer.steps == 1


# ---- the state


def make(name: str, parameters: list[Tensor]) -> Minimizer:
    W, b, s = parameters
    if name == "lbfgs":
        return Minimizer(parameters, WOLFE, schedule=optim.Exponential(0.99))
    groups = [{"parameters": [W, s], "weight_decay": 0.1}, {"parameters": [b], "learning_rate": 0.03}]
    return Minimizer(groups, name, 0.05, Cosine(30))


@pytest.mark.parametrize("name", EVERY)
def test_a_run_resumes_bit_for_bit(name: str) -> None:
    parameters, loss = problem()
    minimizer = make(name, parameters)
    for _ in range(7):
        minimizer.step(loss)
    saved = through_json(minimizer.state_dict())
    twins, twin_loss = problem()
    for t, twin in zip(parameters, twins, strict=True):
        twin.data = twin.node.out = t.data.copy()
    other = make(name, twins)
    other.load_state_dict(saved)
    for _ in range(7):
        assert minimizer.step(loss) == other.step(twin_loss)
    assert values(parameters) == values(twins)
    again = other.state_dict()
    np.testing.assert_equal(again, minimizer.state_dict())


def test_the_first_part_that_a_saved_state_lacks_is_named() -> None:
    minimizer = make("adam", problem()[0])
    saved = minimizer.state_dict()
    for k, key in enumerate(("steps", "schedule", "plateau", "groups")):
        some = dict(list(saved.items())[:k])
        with pytest.raises(ValueError, match=f"no '{key}' in what was given"):
            minimizer.load_state_dict(some)
    for key in ("optimizer", "hyper", "parameters", "learning_rate", "states"):
        group = {name: value for name, value in saved["groups"][0].items() if name != key}
        with pytest.raises(ValueError, match=f"no '{key}' in group 1"):
            minimizer.load_state_dict({**saved, "groups": [group, *saved["groups"][1:]]})


def test_a_plateau_and_a_changed_learning_rate_resume() -> None:
    def start() -> Minimizer:
        return Minimizer([Tensor([1.0])], "sgd", 0.1, Plateau(patience=1))

    one, two = start(), start()
    one.groups[0].learning_rate = 0.4
    for metric in (1.0, 2.0, 2.0):
        one.observe(metric)
    two.load_state_dict(through_json(one.state_dict()))
    assert one.learning_rates == two.learning_rates == [pytest.approx(0.04)]
    assert two.plateau == one.plateau


def test_a_saved_state_is_a_copy() -> None:
    parameters, loss = problem()
    minimizer = Minimizer(parameters, "momentum", 0.1)
    minimizer.step(loss)
    saved = minimizer.state_dict()
    minimizer.load_state_dict(saved)
    for state in saved["groups"][0]["states"]:
        state[0][...] = 7.0
    assert not any((state[0] == 7.0).any() for state in minimizer.groups[0].states)


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[], dict[str, Any]]:
    def saved() -> dict[str, Any]:
        state = make("adam", problem()[0]).state_dict()
        change(state)
        return state

    return saved


def other_shape() -> dict[str, Any]:
    W, b, s = Tensor(np.ones((2, 4)), name="W"), *problem()[0][1:]
    return make("adam", [W, b, s]).state_dict()


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (other_shape, r"the shape of W in group 1 is \[2, 3\] here and \[2, 4\] in the saved state.* nothing was changed"),
    (lambda: make("adam", problem(np.float32)[0]).state_dict(), "the dtype of W in group 1 is float64 here and"),
    (lambda: make("adamw", problem()[0]).state_dict(), "the optimizer of group 1 is adam here and adamw in the saved"),
    (lambda: make("lbfgs", problem()[0]).state_dict(), "the schedule is"),
    (lambda: Minimizer(problem()[0], "adam", schedule=Cosine(30)).state_dict(), "the number of groups is 2 here and 1"),
    (lambda: make("adam", problem()[0]).state_dict()["groups"], "no 'steps' in what was given"),
    (lambda: None, "no 'steps' in what was given; pass what Minimizer.state_dict returned"),
    (changed(lambda s: s["groups"][0]["hyper"].update(beta1=0.5)), "beta1 of the adam of group 1 is 0.9 here and 0.5"),
    (changed(lambda s: s["groups"][1].pop("hyper")), "no 'hyper' in group 2; pass what Minimizer.state_dict returned"),
    (changed(lambda s: s.update(plateau=[None, 0, 0, 0])), "whether there is a plateau is False here and True in the"),
    (changed(lambda s: s["groups"][0]["states"].pop()), "the number of states of group 1 is 2 here and 1"),
    (changed(lambda s: s["groups"][0]["states"][1].pop()), "the length of the state of s in group 1 is 3 here and 2"),
    (changed(lambda s: s["groups"][1]["states"][0].__setitem__(0, np.ones(5))),
     r"the shape of an array in the state of b in group 2 is \(2,\) here and \(5,\)"),
    (changed(lambda s: s["groups"][1]["states"][0].__setitem__(2, np.ones(5))),
     "the kind of a number in the state of b in group 2"),
    *[(changed(lambda s, bad=bad: s.update(steps=bad)), f"load_state_dict: {said}.* returned. Nothing was changed")
      for bad, said in (("x", "invalid literal"), (None, r"int\(\) argument"), (math.inf, "cannot convert"))],
    (changed(lambda s: s.update(steps=-1)), "whether steps are at least 0 is True here and False in the saved state"),
    (changed(lambda s: s.update(groups=None)), "load_state_dict: object of type 'NoneType' has no len"),
    (changed(lambda s: s["groups"][0].update(parameters=[3, 4])), "load_state_dict: .*; pass what Minimizer.state"),
    *[(changed(lambda s, bad=bad: s["groups"][1].update(learning_rate=bad)), "whether learning rates are finite")
      for bad in (-0.1, math.nan, math.inf)],
]  # fmt: skip


@pytest.mark.parametrize(("saved", "message"), REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_a_state_of_something_else_is_refused_and_changes_nothing(saved: Callable[[], Any], message: str) -> None:
    parameters, loss = problem()
    minimizer = make("adam", parameters)
    minimizer.step(loss)
    before = copy.deepcopy(minimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        minimizer.load_state_dict(saved())
    np.testing.assert_equal(minimizer.state_dict(), before)


# ---- invalid arguments

w = Tensor([1.0, 2.0], name="w")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Minimizer([]), "Minimizer: there are no parameters; pass a list of Tensors"),
        (lambda: Minimizer(w), r"Minimizer: put the Tensor into a list, Minimizer\(\[it\], ...\)"),
        (lambda: Minimizer({"parameters": [w]}), "Minimizer: put the dict into a list"),
        (lambda: Minimizer([w, w]), "Minimizer: the parameter 'w' appears twice"),
        (lambda: Minimizer([{"parameters": [w]}, {"parameters": [w]}]), "the parameter 'w' appears twice"),
        (lambda: Minimizer([{"parameters": []}]), "Minimizer: a group has no parameters; leave it out"),
        (lambda: Minimizer([{"weights": [w]}]), "a group has no 'parameters', only 'weights'"),
        (lambda: Minimizer([{"parameters": [w]}, w]), "is not a group"),
        (lambda: Minimizer([{"parameters": [w]}, 3]), "Minimizer: 3 is not a group; each is a dict"),
        (lambda: Minimizer([{"parameters": [w]}, "parameters"]),
         "Minimizer: .parameters. is not a group; each is a dict"),
        (lambda: Minimizer([np.ones(2)]), "is not a parameter; it needs a Tensor of floats"),
        (lambda: Minimizer([Tensor([1, 2])]), "is not a parameter"),
        (lambda: Minimizer([w * 2]), "is not a parameter"),
        (lambda: Minimizer([w], "adm"), "unknown optimizer 'adm'; known are sgd"),
        (lambda: Minimizer([w], adam), "<function adam at .* is of type function; it needs a name, e.g. 'adam'"),
        (lambda: Minimizer([w], "sgd", -0.1), "learning_rate=-0.1; it must be a finite number of at least 0"),
        (lambda: Minimizer([w], "sgd", "fast"), "learning_rate='fast'"),
        (lambda: Minimizer([w], "sgd", float("inf")), "learning_rate=inf; it must be a finite number of at least 0"),
        (lambda: Minimizer([w], "sgd", 0.1, 0.5), "schedule=0.5 cannot be called; pass e.g. optim.Cosine"),
        (lambda: Minimizer([{"parameters": [w], "mu": 1.5}]), "sgd: mu=1.5"),
        (lambda: Minimizer([{"parameters": [w], "beta1": 0.5}]), "sgd has no hyper-parameter 'beta1'; it has mu"),
        (lambda: Minimizer([{"parameters": [w], "max_iter": 3}], "lbfgs"), r"write lbfgs\(max_iter=...\) instead"),
        (lambda: Minimizer([{"parameters": [w]}, {"parameters": [Tensor(1.0)]}], "lbfgs"), "as one group; there are 2"),
        (lambda: Minimizer([w], "lbfgs").step(), r"pass a function, step\(lambda: loss\(x\)\)"),
        (lambda: Minimizer([w]).step([np.ones(2), None]), "step: 2 gradients for 1 parameters"),
        (lambda: Minimizer([w]).step([np.ones(3)]),
         r"step: the gradient of 'w' has shape \(3,\); the parameter has \(2,\)"),
        (lambda: Minimizer([{"parameters": [w], "optimizer": sgd}]), "optimizer=<function sgd"),
    ],
)
def test_unsuitable_arguments_raise(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()
