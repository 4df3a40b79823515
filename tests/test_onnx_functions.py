"""Functions of NumPy as ONNX files with a free number of rows: onnxruntime computes what NumPy computes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_nn.pytorch as torch
from tinygrad_nn import Tensor, io, nn, special
from tinygrad_nn.nn import functional as F

onnxruntime.set_default_logger_severity(3)
EPS = float(np.finfo(np.float32).eps)
EDGES = np.array([[0.0, -0.0, 1.0, -1.0], [np.inf, -np.inf, np.nan, 0.5], [2.5, -2.5, 1e-20, 3.0]], np.float32)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def runner(f: Callable[[Any], Any], example: np.ndarray, **options: Any) -> Callable[[np.ndarray], Any]:
    """The function that onnxruntime runs."""
    session = onnxruntime.InferenceSession(io.save_onnx(f, example, **options).SerializeToString())
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def require_same(
    f: Callable[[Any], Any], *inputs: np.ndarray, roundings: int = 16, signs: bool = True, **options: Any
) -> None:
    """Require that the file of a function computes its values, for other numbers of rows than the example's too."""
    run = runner(f, inputs[0], **options)
    for x in inputs:
        with np.errstate(all="ignore"):
            wanted = f(Tensor(x))
        wanted, found = np.asarray(wanted.data if isinstance(wanted, Tensor) else wanted), run(x)
        assert found.shape == wanted.shape
        size = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=1)) if wanted.dtype.kind == "f" else 1.0
        np.testing.assert_allclose(found, wanted, rtol=roundings * EPS, atol=roundings * EPS * size)
        if signs and wanted.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(found[wanted == 0]), np.signbit(wanted[wanted == 0]))


POSITIVE = np.abs(numbers(3, 4)) + np.float32(0.1)
SHARES = POSITIVE / (1 + POSITIVE)
ENTRYWISE: dict[str, Callable[[Any], Any]] = {
    "2**x": lambda x: 2**x, "round": np.round, "round 1": lambda x: np.round(x, 1), "fmod": lambda x: np.fmod(x, 0.75),
    "nan_to_num": np.nan_to_num, "nan_to_num of its own": lambda x: np.nan_to_num(x, nan=1.0, posinf=2.0, neginf=3.0),
    "deg2rad": np.deg2rad, "rad2deg": np.rad2deg, "sinc": np.sinc, "signbit": np.signbit,
    "heaviside": lambda x: np.heaviside(x, 0.5), "copysign": lambda x: np.copysign(3.0, x),
    "copysign of x": lambda x: np.copysign(x, -2.0), "fmax": lambda x: np.fmax(x, 0.25),
    "fmin": lambda x: np.fmin(x, x[:, ::-1]), "ldexp": lambda x: np.ldexp(x, 3),
    "logaddexp2": lambda x: np.logaddexp2(x, 1.0),
    "arctan2": lambda x: np.arctan2(x, x[:, ::-1]), "arctan2 of y": lambda x: np.arctan2(x, -2.0),
    "arctan2 of x": lambda x: np.arctan2(-1.0, x), "arctan2 of zero": lambda x: np.arctan2(0.0, x),
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRYWISE)
def test_functions_of_entries_at_zeros_infinities_and_nan(name: str) -> None:
    require_same(ENTRYWISE[name], EDGES, EDGES[:1], numbers(5, 4))


SQUARES, SERIES, VECTORS = numbers(2, 4, 4), numbers(2, 5, 4), numbers(3, 6)
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "logit": (special.logit, SHARES),
    "squeeze": (lambda x: np.squeeze(x[:, :1], 1), VECTORS),
    "expand_dims": (lambda x: np.expand_dims(x, (0, 2)), VECTORS),
    "unsqueeze and expand": (lambda x: x.unsqueeze(1).expand(-1, 3, -1), VECTORS),
    "logsumexp": (lambda x: special.logsumexp(x, axis=1), VECTORS),
    "sort": (lambda x: np.sort(x, axis=1), VECTORS),
    "sort of rows": (lambda x: np.sort(x, axis=0), VECTORS),
    "argsort": (lambda x: np.argsort(x, axis=1, kind="stable"), np.round(VECTORS)),
    "argsort of booleans": (lambda x: np.argsort(x > 0, axis=1, kind="stable"), VECTORS),
    "torch.sort": (lambda x: torch.sort(x, 1, descending=True).values, VECTORS),
    "topk": (lambda x: torch.topk(x, 2, 1).values, VECTORS),
    "median": (lambda x: np.median(x, axis=1), VECTORS),
    "quantile": (lambda x: np.quantile(x, 0.3, axis=1), VECTORS),
    "searchsorted": (lambda x: np.searchsorted(np.array([-1.0, 0.0, 0.5], np.float32), x), np.round(VECTORS)),
    "searchsorted, right": (lambda x: np.searchsorted(np.array([-1.0, 0.0]), x, "right"), np.round(VECTORS)),
    "interp": (lambda x: np.interp(x, [-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]), VECTORS),
    "roll": (lambda x: np.roll(x, 2, axis=1), VECTORS), "roll back": (lambda x: np.roll(x, -7, axis=1), VECTORS),
    "roll of two axes": (lambda x: np.roll(x, (1, 2), axis=(0, 1)), VECTORS),
    "roll by nothing": (lambda x: np.roll(x, 6, axis=1), VECTORS),
    "diff": (lambda x: np.diff(x, axis=1), VECTORS), "diff of rows": (lambda x: np.diff(x, axis=0), numbers(4, 2)),
    "diff twice": (lambda x: np.diff(x, 2, axis=1, prepend=0.0), VECTORS),
    "window": (lambda x: np.lib.stride_tricks.sliding_window_view(x, 3, axis=1), VECTORS),
    "windows of times": (lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1), SERIES),
    **{f"rot90 {k}": (lambda x, k=k: np.rot90(x, k, axes=(1, 2)), SQUARES) for k in range(-1, 4)},
    "trace": (lambda x: np.trace(x, axis1=1, axis2=2), SQUARES),
    "trace above": (lambda x: np.trace(x, 1, 2, 1), numbers(2, 3, 4)),
    "diagonal": (lambda x: np.diagonal(x, axis1=1, axis2=2), SQUARES),
    "cross": (lambda x: np.cross(x[:, :3], x[:, 3:]), VECTORS),
    "det": (np.linalg.det, SQUARES),
    **{f"norm {p}": (lambda x, p=p: np.linalg.norm(x, p, axis=1), VECTORS)
       for p in (1, 2, 3, 0.5, np.inf, -np.inf, 0)},
    "norm of all": (lambda x: np.linalg.norm(x) + 0 * x[0], VECTORS),
    "cumprod": (lambda x: np.cumprod(x, axis=1), SERIES),
    "any": (lambda x: np.any(x > 1, axis=1), VECTORS), "all": (lambda x: np.all(x > -1, axis=0), VECTORS),
    "any of numbers": (lambda x: np.any(x, axis=1, keepdims=True), np.maximum(VECTORS, 0)),
    "count_nonzero": (lambda x: np.count_nonzero(x > 0, axis=1), VECTORS),
    **{f.__name__: (lambda x, f=f: f(x, axis=1), np.where(VECTORS > 1, np.nan, VECTORS))
       for f in (np.nansum, np.nanmean, np.nanmax, np.nanmin)},
    "argmax of all": (lambda x: np.argmax(x) + 0 * np.argmax(x, 1), VECTORS),
    "mean of rows": (lambda x: x - x.mean(axis=0), VECTORS), "mean of all": (lambda x: x - x.mean(), SERIES),
    "torch.var of rows": (lambda x: torch.var(x, 0), numbers(4, 3)),
    "causal attention": (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), SERIES),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_with_a_free_number_of_rows(name: str) -> None:
    f, x = FUNCTIONS[name]
    require_same(f, x, np.concatenate([x[:1] / 2, x, x[::-1]]), np.concatenate([x, x]), roundings=64, signs=False)


AXES = st.one_of(
    st.builds(slice, st.sampled_from([None, 0, 1, -2]), st.sampled_from([None, 3, -1]), st.sampled_from([None, 1, 2])),
    st.integers(-3, 2), st.lists(st.integers(-3, 2), min_size=2, max_size=2),
    st.lists(st.integers(0, 2), min_size=1, max_size=1).map(lambda x: np.array([x])),
    st.tuples(*[st.booleans()] * 3).filter(lambda mask: sum(mask) == 2).map(np.array), st.none(),
)  # fmt: skip
INDICES = st.tuples(st.sampled_from([slice(None), slice(None, None, -1), slice(1, None), Ellipsis]),
                    st.lists(AXES, max_size=3)).map(lambda parts: (parts[0], *parts[1]))  # fmt: skip


def usable(index: Any) -> bool:
    try:
        return 0 not in np.zeros((4, 3, 3, 3))[index].shape
    except IndexError:
        return False


@given(INDICES.filter(usable))
def test_any_index_of_constants(index: Any) -> None:
    require_same(lambda x: x[index], numbers(4, 3, 3, 3), numbers(6, 3, 3, 3, seed=1), roundings=0)


PARTS: dict[str, Any] = {
    "a number": np.s_[:, 1], "numbers": np.s_[:, 1, -1], "a slice": np.s_[:, 1:3], "steps": np.s_[:, ::2, 1],
    "two slices": np.s_[:, 1:, :2], "an ellipsis": np.s_[..., 1:], "a list": np.s_[:, [2, 0]],
    "lists": np.s_[:, [2, 0], [1, 1]], "a list and a number": np.s_[:, [2, 0], 1],
    "lists apart": np.s_[:, [2, 0], :, [0, 1]], "a mask": np.s_[:, np.array([True, False, True])],
    "a mask of two axes": np.s_[:, np.eye(3, dtype=bool)],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["set", "add", "multiply", "min", "max"])
@pytest.mark.parametrize("name", PARTS)
def test_updates_of_a_part(name: str, kind: str) -> None:
    index, shape = PARTS[name], np.zeros((1, 3, 3, 3))[PARTS[name]].shape[1:]
    for value in (0.25, numbers(*shape, seed=2)):
        require_same(lambda x, v=value: getattr(x.at[index], kind)(v), numbers(4, 3, 3, 3), numbers(2, 3, 3, 3),
                     roundings=1)  # fmt: skip


def test_an_entry_that_is_added_to_twice() -> None:
    require_same(lambda x: x.at[:, [1, 1, 0]].add(2.0), VECTORS, roundings=2)


class Causal(nn.Module):
    """A mask from the number of times, before a layer and places."""

    def __init__(self) -> None:
        self.block = nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True, rng=0)
        self.places = nn.Embedding(16, 4, rng=0)

    def forward(self, x: Any) -> Any:
        n = x.shape[1]
        return self.block(x + self.places(np.arange(n)), src_mask=np.triu(np.full((n, n), -np.inf), 1))


@pytest.mark.parametrize("make", [
    Causal, lambda: lambda x: np.where(np.tri(x.shape[1], dtype=bool), x @ x.mT, 0),
    lambda: lambda x: np.where(np.tri(x.shape[1], k=-1, dtype=bool), x @ x.mT, 0),
    lambda: lambda x: np.where(np.triu(np.ones((x.shape[1], x.shape[1]), bool)), x @ x.mT, 0),
    lambda: lambda x: x @ x.mT * np.tri(x.shape[1]),
    lambda: lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
])  # fmt: skip
def test_a_causal_mask_grows_with_the_number_of_times(make: Callable[[], Any]) -> None:
    model = make()
    if isinstance(model, nn.Module):
        model.eval()
    require_same(model, SERIES, SERIES[:, :3], np.concatenate([SERIES, SERIES], 1), axis=1, roundings=256, signs=False)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a mean over all pairs": (lambda x: (x[:, None] * x).reshape(-1, 4).mean(axis=0), "not by the same number"),
    "a mask that is computed": (lambda x: x[x[:, 0] > 0], "boolean index"),
    "an entry that is set twice": (lambda x: x.at[:, [1, 1]].set(numbers(2)), "set an entry twice"),
    "a part of the rows": (lambda x: x.at[1:].set(0.0), "changes a part of the rows"),
    "the moved rows": (lambda x: np.roll(x, 3, axis=0), "moves the rows by 3"),
    "a mask of the rows": (lambda x: x[np.arange(len(x)) % 2 == 0], "mask that has other entries|one more row"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_hangs_on_the_rows_in_another_way_raises(name: str) -> None:
    f, said = REFUSED[name]
    with pytest.raises(ValueError, match=f"^save_onnx: .*{said}"):
        io.save_onnx(f, numbers(3, 4))


def test_pairs_of_rows_have_an_axis_without_a_name() -> None:
    f: Callable[[Any], Any] = lambda x: (x[:, None] * x).reshape(-1, 4)
    require_same(f, numbers(3, 4), numbers(5, 4))
    (out,) = io.save_onnx(f, numbers(3, 4)).graph.output
    assert [d.dim_value or d.dim_param for d in out.type.tensor_type.shape.dim] == ["", 4]
