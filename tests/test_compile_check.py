"""A compiled plan does not depend on the arguments of its first call, neither on their values nor on their memory."""

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fuzz_compiled import outcomes
from test_compile import BACKENDS, agree, cache, each_backend  # noqa: F401 - the cache of kernels is a fixture

import tinygrad_nn as tg
from tinygrad_nn import Settings, Solver, compile, fit, nn, value_and_grad, vmap
from tinygrad_nn.compiled import check, functional
from tinygrad_nn.ops.embedding import embedding

ROWS = np.array([[0, 2], [1, 1], [2, 0]])  # of it arguments are views
TABLE = np.arange(6.0).reshape(3, 2) ** 2
LINE = np.array([0.5, -1.0, 2.0, 0.25])


def _doubled(part: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda a: part(a * 2)


def _entries(A: Any) -> Any:
    B = np.exp(A)
    return np.stack([B[0, 0] * B[1, 1] - B[0, 1] * B[1, 0], B[1, 0]])


SQUARE = np.array([[0.1, -0.2], [0.3, 0.5]])
SAME: dict[str, tuple[Callable[..., Any], list[tuple[Any, ...]]]] = {
    "an entry where a condition holds": (
        lambda x: np.where(x > 0, np.sin(x)[0] * np.ones(2), 0), [(-np.ones(2),), (np.ones(2),)]),
    "an entry of a buffer": (_doubled(lambda u: np.sin(u) + u[0]), [(LINE,), (LINE[::-1],), (LINE + 1,)]),
    "entries stacked": (_doubled(lambda u: np.stack([u[0], u[1]])), [(LINE,), (LINE[::-1],)]),
    "an entry set": (lambda a: (tg.Tensor(a) * 2).at[0].set((a * 3)[1]), [(LINE,), (LINE[::-1],)]),
    "determinant by entries": (_entries, [(SQUARE,), (SQUARE.T,), (SQUARE - 1,)]),
    "an entry of an argument": (lambda a: a[1] * a + a[-1], [(LINE,), (LINE[::-1],)]),
    "chosen by numbers": (
        lambda x, i: np.where(i, x, -x) + np.where(x, 2.0, x) + np.where(2, x, 1.0),
        [(LINE, np.array([0, 1, 2, 0])), (LINE[::-1], np.array([-1, 0, 0, 1]))]),
    "rows of a table": (lambda W, x: embedding(W, x) * 1.0, [(TABLE, x) for x in ROWS]),
    "rows taken": (lambda W, x: np.take(W, x, axis=0) * 1.0, [(TABLE, x) for x in ROWS]),
    "rows taken, clipped": (lambda W, x: np.take(W, x, axis=0, mode="clip") * 1.0, [(TABLE, 2 * x) for x in ROWS]),
    "rows by a column": (lambda W, x: W[x] * 1.0, [(TABLE, ROWS[:, 0]), (TABLE, ROWS[:, 1])]),
    "of a constant along an axis": (
        lambda i: np.take_along_axis(TABLE, i, 1) * 1.0, [(ROWS[:, :1] % 2,), (1 - ROWS[:, :1] % 2,)]),
    "chosen": (lambda i: np.choose(i, [LINE[:2], LINE[2:], LINE[1:3]]) * 1.0, [(x,) for x in ROWS]),
    "interpolated": (lambda x: np.interp(x, [-1.0, 0.0, 3.0], [0.0, 2.0, 1.0]), [(LINE,), (LINE[::-1],)]),
    "the same array twice": (lambda a, b: a * 2 - b, [(LINE, LINE), (LINE, LINE[::-1]), (LINE[::-1], LINE)]),
    "accumulated": (
        lambda x, z: (np.power.accumulate(x * x + 1.5).sum(), np.sin(z)), [(LINE, LINE), (LINE / 2, LINE)]),
    "vdot of two shapes": (np.vdot, [(TABLE, TABLE.T), (TABLE + 1, TABLE.T), (TABLE, np.sin(TABLE).T)]),
    "pinv": (np.linalg.pinv, [(SQUARE,), (np.ones((2, 2)),), (SQUARE.T,)]),
    "questions": (
        lambda x: (len(x) * x, x * np.count_nonzero(x > 0), np.array_equal(x, LINE) * x, np.argsort(x), round(x[0], 1)),
        [(LINE,), (LINE[::-1],), (-LINE,)]),
    "a number": (lambda c: np.isscalar(c) * c, [(0.5,), (1.5,)]),
    "real if close, of real numbers": (lambda x: np.real_if_close(x * x) - x, [(LINE,), (LINE[::-1],)]),
    "real if close, with a tolerance": (lambda x: np.real_if_close(x, 50) - np.sin(x), [(LINE,), (LINE[::-1],)]),
    "data": (lambda x: (tg.Tensor(x) * 2).data * x, [(LINE,), (LINE[::-1],)]),
    "rank": (np.linalg.matrix_rank, [(np.ones((2, 2)),), (np.eye(2),), (np.zeros((2, 2)),)]),
}  # fmt: skip


@each_backend
@pytest.mark.parametrize("name", SAME)
def test_no_value_and_no_memory_of_the_first_call_stays(name: str, backend: str) -> None:
    function, calls = SAME[name]
    f = compile(function, backend=backend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one says that it was not compiled
        for call in [*calls, *calls[::-1]]:
            agree(f(*call), function(*call), 64)


@pytest.mark.parametrize(
    ("function", "calls", "why"),
    [
        (np.linalg.eigvals, [np.eye(2), np.array([[0.0, 1.0], [-1.0, 0.0]])], "real or complex"),
        (np.real_if_close, [np.ones(2) + 0j, np.ones(2) + 1j], "real or complex"),
        (lambda x: np.real_if_close(a=x, tol=50), [np.ones(2) + 1j, np.ones(2) + 0j], "real or complex"),
        (lambda i: np.repeat(LINE[:2], i) * 1.0, [np.array([1, 2]), np.array([3, 1])], "turned into a plain array"),
        (lambda i: np.take(TABLE, i) * 1.0, list(ROWS), "turned into a plain array"),
        (lambda x: np.where(x > 0)[0], [LINE, -LINE], "no fixed shape"),
        (lambda x: np.compress(x > 0, x), [LINE, np.abs(LINE)], r"entries that np\.\w+ returns depends on the"),
        (lambda x: np.repeat(x, (x > 0).astype(int)), [LINE, -LINE], "tolist"),
        (lambda x: np.delete(x, np.argmax(x)), [LINE, -LINE], r"entries that np\.\w+ returns depends on the"),
        (lambda x: np.insert(x, np.argmax(x), 1.0), [LINE, -LINE], r"entries that np\.\w+ returns depends on the"),
        (lambda x: x[: np.argmax(x)], [LINE, -LINE], "an index depends on a value"),
        (lambda x: x[: int(np.sum(x > 0))], [LINE, -LINE], r"int\(t\) depends on a value"),
        (lambda x: np.argwhere(x > 0), [LINE, -LINE], r"entries that np\.\w+ returns depends on the"),
        (lambda x: np.bincount((x * 4 + 9).astype(int)), [LINE, -LINE], "Counts have no derivative"),
        (lambda x: np.histogram(x, 3)[0], [LINE, -LINE], "Counts and edges do not move"),
        (lambda x: x * isinstance(x, np.ndarray), [LINE, -LINE], "checks the type of an argument"),
        (lambda x: np.linalg.cond(np.outer(x, x)), [LINE, -LINE], "truth value of a Tensor"),
        (lambda x: np.emath.sqrt(x), [np.abs(LINE), LINE], "depends on a value"),
        (lambda x: np.reshape(x, 6, order="A"), [TABLE, np.asfortranarray(TABLE)], "in memory"),
    ],
)  # fmt: skip
def test_functions_with_results_of_varying_shape_run_uncompiled(function: Any, calls: Any, why: str) -> None:
    f = compile(function, backend="numpy")
    with pytest.warns(RuntimeWarning, match=rf"test_compile_check\.py.*{why}"):
        found = [f(x) for x in calls]
    agree(found, [function(x) for x in calls])


def test_fit_over_slices_of_one_array_learns_from_each() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.integers(0, 6, (12, 4)), rng.integers(0, 6, (12, 4))
    losses = []
    for compiled in (False, "numpy"):
        model = nn.Sequential(nn.Embedding(6, 4, rng=1), nn.Linear(4, 6, rng=2))
        batches = [(X[k], Y[k]) for k in range(12)]  # each a view
        solver = Solver(lambda out, y: nn.losses.cross_entropy(out.reshape(-1, 6), y.reshape(-1)), "sgd", 0.5)
        history = fit(model, batches, solver=solver, settings=Settings(2, 1), compile=compiled)
        losses.append(history.loss)
    agree(losses[1], losses[0], 64)


@each_backend
@pytest.mark.parametrize("layer", [True, False])
@pytest.mark.parametrize("dtype", ["i1", "i4", "i8", "u1", "u8"])
def test_a_word_that_is_not_there_is_refused_by_a_compiled_call_too(dtype: str, layer: bool, backend: str) -> None:
    table = nn.Embedding(200, 3, rng=0)

    def loss(weight: Any, x: Any) -> Any:
        if not layer:
            return (nn.functional.embedding(x, weight) ** 2).sum()
        return functional(lambda x: (table(x) ** 2).sum(), [table.weight], [table])([weight], [], x)[0]

    f, weight = compile(value_and_grad(loss), backend=backend), table.weight.data
    there = np.array([[1, 2], [120, 1]], dtype)
    for x in (there, there.T.copy()):
        agree(f(weight, x), value_and_grad(loss)(weight, x))
    assert f.plans, "it is compiled"
    words = {"i1": (-1, -3, -128), "u1": (200, 255), "u8": (200, 2**63, 2**64 - 1)}.get(dtype, (-1, -201, 200))
    for word in words:
        with pytest.raises(ValueError, match=f"the words 0 to 199; .* holds {word}"):
            f(weight, np.array([[1, word], [120, 1]], dtype))


@pytest.mark.parametrize("layer", [True, False])
@pytest.mark.parametrize("run", [lambda f: f, lambda f: compile(f, backend="numpy")], ids=["eager", "compiled"])
def test_a_word_that_is_not_there_is_refused_in_one_sample_of_many(run: Any, layer: bool) -> None:
    """All samples share one table, but no other sample's row is looked up or gets a gradient."""
    table, weight = nn.Embedding(4, 1, rng=0), np.arange(1.0, 5.0).reshape(4, 1)

    def loss(weight: Any, x: Any) -> Any:
        if not layer:
            return nn.functional.embedding(x, weight).sum()
        return functional(lambda x: table(x).sum(), [table.weight], [table])([weight], [], x)[0]

    f = run(vmap(value_and_grad(loss), (None, 0)))
    value, g = f(weight, np.array([[0, 1], [2, 3]]))
    assert (value.tolist(), g[..., 0].tolist()) == ([3, 7], [[1, 1, 0, 0], [0, 0, 1, 1]])
    for word in (-1, -128, 4, 100):
        with pytest.raises(ValueError, match=f"the words 0 to 3; .* holds {word}"):
            f(weight, np.array([[word, 1], [2, 3]]))


# -- The check


@each_backend
def test_a_planted_compiler_bug_is_detected_and_harmless(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """The planted defect: views of single entries become copies, made before anything is written."""
    from tinygrad_nn.compiled.program import memory

    monkeypatch.setattr(memory, "whole_index", lambda index: index)
    function = lambda x: np.where(x > 0, np.sin(x)[0] * np.ones(2), 0)
    f = compile(function, backend="numpy")
    with pytest.warns(RuntimeWarning, match="a bug in the compiler"):
        found = [f(x) for x in (-np.ones(2), np.ones(2))]
    agree(found, [function(x) for x in (-np.ones(2), np.ones(2))])


def test_what_counts_besides_the_arguments_is_no_defect() -> None:
    state = [1.0]

    def f(x: Any) -> Any:
        state[0] *= 2
        return x * state[0]

    with pytest.warns(RuntimeWarning, match="it depends on something besides its arguments"):
        compile(f, backend="numpy")(LINE)


def _planted(size: float) -> Callable[[Any], Any]:
    """A function whose compiled form is wrong by so much, relatively, in one entry."""
    once = []

    def f(x: Any) -> Any:
        once.append(x)
        wrong = np.zeros(len(x))
        wrong[2] = size if len(once) == 1 else 0.0  # the trace
        return np.exp(x @ x.T).sum(axis=0) * (1 + wrong), np.sin(x)

    return f


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_wrong_entry_is_enough_and_rounding_is_not(dtype: Any) -> None:
    x = np.random.default_rng(0).normal(size=(300, 40)).astype(dtype) / 4
    eps = np.finfo(dtype).eps
    for size, right in ((1e4, False), (1.0, True)):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            compile(_planted(size * eps), backend="numpy")(x)
        assert (not told) is right, size


STEEP: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {  # rounding is far above the last digit of the result
    "cancelled": (lambda x: ((x + 1e8) - 1e8).sum() + (x * 1e9).sum() - x.sum() * 1e9, (np.linspace(0, 1, 999),)),
    "gradient that is nothing but rounding, by its own size": (
        lambda w, x: np.sign(tg.grad(lambda w: ((x - x.mean(axis=0) + w - w) ** 2).sum())(w)),
        (LINE, np.outer(LINE, LINE))),
    "an inverse that is nearly none": (np.linalg.inv, (np.vander(np.linspace(0, 1, 9)),)),
}  # fmt: skip


@each_backend
@pytest.mark.parametrize("name", STEEP)
def test_rounding_is_no_defect(name: str, backend: str) -> None:
    function, args = STEEP[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile(function, backend=backend)(*args)


def test_other_arguments_have_other_values_and_other_memory() -> None:
    leaves = [np.arange(6.0).reshape(2, 3), np.array([True, False]), np.arange(3), TABLE, 2, 0.5, "mean", np.float32(2)]
    new = check.other_arguments(leaves, frozenset(), frozenset(), 0)
    for a, b in zip(leaves, new, strict=True):
        assert type(a) is type(b)
        assert isinstance(a, str) or np.any(a != b)
        if isinstance(a, np.ndarray):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert [x.flags.c_contiguous for x in new if isinstance(x, np.ndarray)] == [True, False, False, False]
    assert new[0].base is not None
    same = check.other_arguments(leaves, frozenset(), frozenset(), check.SAME)
    agree(same, leaves)


@pytest.mark.parametrize(
    ("attempt", "whole", "real"), [(0, 3, True), (1, 3, True), (2, 2, True), (3, 2, False), (4, 2, False)]
)
def test_plain_numbers_change_as_much_as_an_attempt_says(attempt: int, whole: int, real: bool) -> None:
    new = check.other_arguments([2, 0.5, 2, 0.5], frozenset({2, 3}), frozenset(), attempt)
    assert new[0] == whole
    assert 0.5 < new[1] <= 0.55 if real else new[1] == 0.5, "so little that a plan stays inside a domain"
    assert new[2:] == [2, 0.5], "what the plan depends on stays"


# -- The proof


def _overlapping(patch: pytest.MonkeyPatch) -> None:
    from tinygrad_nn.compiled.program import memory

    patch.setattr(memory, "place_intervals", lambda spans, sizes: ([0] * len(sizes), max(sizes, default=0)))


def _copied_views(patch: pytest.MonkeyPatch) -> None:
    from tinygrad_nn.compiled.program import memory

    patch.setattr(memory, "whole_index", lambda index: index)


def _written_over(patch: pytest.MonkeyPatch) -> None:
    from tinygrad_nn.compiled.program import memory

    patch.setattr(memory.Memory, "_over", lambda self, op, number, x, out: True)


@pytest.mark.parametrize("fault", [_overlapping, _copied_views, _written_over])
def test_verification_finds_reads_of_missing_values(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    def f(w: Any, x: Any) -> Any:
        a, b = np.sin(x), np.cos(x)
        c = np.cumsum(a * b) + a.T  # neither can lie where the other does
        return np.outer(w, c) @ x + w[0], w - c[0] * b[::-1]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile(f, backend="numpy", donate=(0,))(LINE.copy(), LINE)
    fault(monkeypatch)
    with pytest.warns(RuntimeWarning, match="(where it is not|over what it reads).*a bug in the compiler"):
        agree(compile(f, backend="numpy", donate=(0,))(LINE.copy(), LINE), f(LINE, LINE), 64)


@each_backend
def test_nothing_shows_of_buffers_full_of_nan(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    from tinygrad_nn.compiled.numpy import replay

    monkeypatch.setattr(replay, "POISON", True)
    for function, calls in SAME.values():
        f = compile(function, backend=backend)
        for call in calls * 2:
            agree(f(*call), function(*call), 64)
    assert "fill(255)" in f.plan(*calls[0]).source


# -- Results of calls that run without compilation


def test_a_result_of_another_shape_than_in_the_trace_runs_uncompiled() -> None:
    odd = tg.declare(lambda x: x[: 1 + (x[0] < 9)] * 2, "odd", (lambda g, out, x: x * 0, "0"), name="odd_rows")
    try:
        f = compile(lambda x: odd(x) + 1, backend="numpy")
        agree(f(LINE), 2 * LINE[:2] + 1)
        with pytest.warns(RuntimeWarning, match=r"float64\[1\] for these values.*without compilation") as told:
            agree([f(LINE + 9), f(LINE), f(LINE + 9)], [2 * LINE[:1] + 19, 2 * LINE[:2] + 1, 2 * LINE[:1] + 19])
        assert len(told) == 1
        f = compile(lambda x: odd(x) + 1, backend="numpy", donate=(0,))
        f(LINE.copy())
        with pytest.raises(RuntimeError, match="Call the function itself"):
            f(LINE + 9)
        with pytest.warns(RuntimeWarning, match=r"odd_rows gave float64\[1\] for these values") as told:
            compile(lambda x: odd(8.9 - x), backend="numpy")(LINE)  # the check finds it out
        assert "defect" not in str(told[0].message)
    finally:
        tg.primitive.REGISTRY.pop("odd_rows")


@each_backend
def test_what_a_call_gives_lies_in_no_buffer_that_is_written_again(backend: str) -> None:
    def f(w: Any, x: Any) -> Any:
        u = np.sin(x)
        part = np.lib.stride_tricks.sliding_window_view(u, 2)  # a view
        later = [np.cos(u * k) for k in range(1, 6)]  # where u may lie
        return part * 2, sum(later), w - part.sum()

    g = compile(f, backend=backend, donate=(0,))
    for x in (LINE, LINE + 1, LINE[::-1]):
        agree(g(LINE.copy(), x), f(LINE, x), 64)


# -- Programs at random: python -m tests.fuzz_compiled tries many


@pytest.mark.parametrize(("backend", "count"), [("numpy", 60), pytest.param("numba", 4, marks=pytest.mark.slow)])
def test_random_programs_are_right_or_say_why_they_are_not_compiled(backend: str, count: int) -> None:
    if backend not in BACKENDS:
        pytest.skip("needs numba: pip install 'tinygrad-nn[jit]'")
    found = list(outcomes(count, 7_000_000, backend))
    assert [str(o.program) for o in found if not o.right] == []
    reasons = [o.reason for o in found if o.reason]
    true = "number of entries|real or complex|float\\(t\\)|np.unique has|a factorisation are equal"
    assert [reason for reason in reasons if not re.search(true, reason)] == []
    assert len(reasons) < count // 4


@pytest.mark.parametrize(("terms", "units"), [(1, 1.02), (64, 9.0), (10_000, 256.25)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_noise_of_a_sum_grows_with_its_terms(terms: int, units: float, dtype: Any) -> None:
    x = np.ones(5000, dtype)
    error = np.abs(check._noisy(x, terms, np.random.default_rng(0)) - 1) / np.finfo(dtype).eps
    assert 0.9 * units <= error.max() <= units + 1  # one unit of rounding in the last place
