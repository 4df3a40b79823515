"""Code that would turn a Tensor into plain numbers: the error names the edit for this line, and the edit works."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.interpolate
import scipy.linalg
import scipy.signal
import scipy.special
import scipy.stats

from tinygrad_nn import Tensor, array, compile, grad
from tinygrad_nn.autograd import scipy as own
from tinygrad_nn.common.lost_graph import SCIPY

RNG = np.random.default_rng(0)
K = np.array([2.0, 3.0])
rng = np.random.default_rng(1)


def told(f: Callable[..., Any], t: Any = K) -> str:
    """Return what the error says, with that of its cause: NumPy replaces the error of a single number."""
    with pytest.raises((TypeError, ValueError)) as caught:
        f(Tensor(t))
    return f"{caught.value} {caught.value.__cause__}"


def assembled(k: Any) -> Any:
    K = np.zeros((3, 3))
    for i in range(2):
        K[i : i + 2, i : i + 2] += k[i] * np.ones((2, 2))
    return K


def assembled_as_told(k: Any) -> Any:
    K = np.zeros((3, 3))
    K = Tensor(K)
    for i in range(2):
        K = K.at[i:i + 2, i:i + 2].add(k[i] * np.ones((2, 2)))  # fmt: skip
    return K


def test_adding_to_parts_of_an_array_in_a_loop_says_what_works_at_once() -> None:
    text = told(assembled)
    assert "`K = Tensor(K)` once, before the loop, and in place of this line" in text
    assert "`K = K.at[i:i + 2, i:i + 2].add(k[i] * np.ones((2, 2)))`" in text
    np.testing.assert_array_equal(assembled_as_told(Tensor(K)).data, assembled(K))
    slope = grad(lambda k: (assembled_as_told(k) ** 2).sum())
    np.testing.assert_allclose(slope(K), [2 * (3 * 2 + 5), 2 * (3 * 3 + 5)])
    np.testing.assert_allclose(compile(slope)(K), slope(K))


def set_slice(out: Any, t: Any) -> None:
    out[1:3] = t


def set_number(out: Any, t: Any) -> None:
    for i in range(2):
        out[i] = t[i] * 2


def set_number_of_many_lines(out: Any, t: Any) -> None:
    if True: out[0] = max(  # noqa: E701
            t[0], t[1])  # fmt: skip


def subtracted(out: Any, t: Any) -> None:
    out[1:3] -= t


def multiplied(out: Any, t: Any) -> None:
    out[1:3] *= t + 1


def divided(out: Any, t: Any) -> None:
    out[1:3] /= t


def raised(out: Any, t: Any) -> None:
    out[1:3] **= t


def attribute(out: Any, t: Any) -> None:
    class Box:
        inner = out

    box = Box()
    box.inner[1, ...] = t[0]


@pytest.mark.parametrize(
    ("write", "edit"),
    [
        (set_slice, "out = out.at[1:3].set(t)"),
        (set_number, "out = out.at[i].set(t[i] * 2)"),
        (set_number_of_many_lines, "out = out.at[0].set(max(t[0], t[1]))"),
        (subtracted, "out = out.at[1:3].add(-(t))"),
        (multiplied, "out = out.at[1:3].multiply(t + 1)"),
        (divided, "out = out.at[1:3].multiply(1 / (t))"),
        (raised, "out = out.at[1:3].set(out[1:3] ** t)"),
        (attribute, "box.inner = box.inner.at[1, ...].set(t[0])"),
    ],
)
def test_a_write_into_an_array_is_told_with_its_own_names(write: Callable[..., None], edit: str) -> None:
    name = edit.partition(" ")[0]
    assert f"Write `{name} = Tensor({name})` once, before the loop, and in place of this line `{edit}`" in told(
        lambda t: write(np.ones(4), t)
    )
    if name == "out":  # the edit does what the line does with plain numbers
        wanted = np.ones(4)
        i = 1
        if write is set_number:
            wanted[1] = 6.0
        else:
            write(wanted, K)
        place = {"out": Tensor(np.ones(4)), "t": Tensor(K), "i": i, "Tensor": Tensor}
        exec(edit, place)
        np.testing.assert_allclose(place["out"].data, wanted)
        assert place["out"].requires_grad


def test_making_a_tensor_of_a_tensor_in_a_loop_says_where_it_belongs() -> None:
    assert "`t = Tensor(t)` belongs before the loop, and in it is `t = t.at[i].set(value)`" in told(Tensor)


CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "asarray": (lambda t: np.asarray(t), "Leave np.asarray out: write `t`"),
    "array": (lambda t: np.array(t + 1, dtype=float), "Leave np.array out: write `t + 1`"),
    "list": (lambda t: np.array([t[0], t[1]]), "write tinygrad_nn.array([...]) or np.stack([...]) in place of np.arr"),
    "named list": (lambda t, parts=[1.0]: np.array([*parts, t[0]]), "tinygrad_nn.array([...])"),
    "dot": (lambda t: np.ones((2, 2)).dot(t), "write x @ t: `np.ones((2, 2)) @ t`"),
    "vectorize": (lambda t: np.vectorize(abs)(t), "np.vectorize(f)(t) write tinygrad_nn.vectorize(f)(t)"),
    "normal": (lambda t: rng.normal(t), "`t + rng.normal(size=t.shape)`"),
    "normal of a module": (lambda t: np.random.normal(t), "`t + np.random.normal(size=t.shape)`"),  # noqa: NPY002
    "uniform": (lambda t: rng.uniform(0, t), "`low + (high - low) * rng.uniform(size=t.shape)`"),
    "poisson": (lambda t: rng.poisson(t), "A draw has no gradient"),
    "expm": (lambda t: scipy.linalg.expm(t), "write `from tinygrad_nn.autograd.scipy import linalg`"),
    "norm": (lambda t: scipy.linalg.norm(t), "norm for Tensors is in tinygrad_nn.autograd.scipy.linalg"),
    "logm": (lambda t: scipy.linalg.logm(t), "scipy.linalg.logm takes plain arrays, and has no derivative here"),
    "logpdf": (lambda t: scipy.stats.norm.logpdf(t), "norm for Tensors is in tinygrad_nn.autograd.scipy.stats"),
    "gamma": (lambda t: scipy.stats.gamma.cdf(1.0, t), "gamma for Tensors is in tinygrad_nn.autograd.scipy.stats"),
    "convolve": (lambda t: scipy.signal.convolve(t, t), "convolve for Tensors is in tinygrad_nn.autograd.scipy.signal"),
    "logsumexp": (lambda t: scipy.special.logsumexp(t), "is in tinygrad_nn.autograd.scipy.special"),
    "interpolation": (lambda t: scipy.interpolate.CubicSpline(t, t), "scipy.interpolate.CubicSpline takes plain"),
    "another": (lambda t: np.full(2, t), "np.full(shape, t, like=t)"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_needs_an_array_is_told_with_its_edit(name: str) -> None:
    f, edit = CALLS[name]
    x = np.array([[2.0, 0.5], [0.5, 3.0]]) if name in ("expm", "logm") else K
    text = told(f, x)
    assert edit in text
    assert text.index(edit) < text.index("t.data is the bare array, through which no gradient flows")


def test_the_edits_of_calls_work() -> None:
    np.testing.assert_allclose(grad(lambda t: (t + rng.normal(size=t.shape)).sum())(K), [1, 1])
    np.testing.assert_allclose(grad(lambda t: (0 + (t - 0) * rng.uniform(size=t.shape)).sum())(K) > 0, [True, True])
    np.testing.assert_allclose(grad(lambda t: (array([t[0], t[1]]) ** 2).sum())(K), 2 * K)


MATRIX = np.array([[2.0, 0.3], [0.3, 1.0]])
ARGUMENTS = {
    "solve": 2, "solve_triangular": 2, "solve_sylvester": 3, "convolve": 2,
    "solve_banded": lambda f, t: f((0, 1), t, np.ones(2)), "cho_solve": lambda f, t: f((t, True), np.ones(2)),
    "odeint": lambda f, t: f(lambda y, s: -y, t[0], np.array([0.0, 1.0])),
}  # fmt: skip


@pytest.mark.parametrize(("module", "name"), [(m, n) for m in SCIPY if m != "stats" for n in sorted(SCIPY[m])])
def test_the_functions_that_errors_name_take_tensors(module: str, name: str) -> None:
    function, given = getattr(getattr(own, module), name), ARGUMENTS.get(name, 1)
    t = Tensor(MATRIX)
    out = given(function, t) if callable(given) else function(*[t] * given)
    parts = out if isinstance(out, (tuple, list)) else [out]
    assert any(isinstance(part, Tensor) and part.requires_grad for part in parts)


@pytest.mark.parametrize("law", sorted(SCIPY["stats"]))
def test_the_distributions_that_errors_name_are_there(law: str) -> None:
    assert hasattr(getattr(own.stats, law), "logpmf" if law == "poisson" else "logpdf")
    assert hasattr(scipy.stats, law)


def test_without_the_source_the_error_names_all_edits() -> None:
    place: dict[str, Any] = {"np": np}
    exec("def f(t):\n    out = np.zeros(2)\n    out[:] = t\ndef g(t):\n    return np.asarray(t)", place)
    for name in "fg":
        assert "out = Tensor(out) once, before the loop, and in it out = out.at[i].set(t)" in told(place[name])
    exec("def f(t):\n    out = np.zeros(2)\n    out[:] += t", place)
    assert "write `array = array + tensor`" in told(place["f"])
    exec("def f(t):\n    out = np.zeros(2)\n    out[0] = t[0]", place)
    assert "`out = Tensor(out)` once, before the loop, and in it `out = out.at[i].set(t)`" in told(place["f"])
