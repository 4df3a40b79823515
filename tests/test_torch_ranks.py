"""PyTorch's names for entries by rank, for NumPy's functions, and for parts and windows, by NumPy and by definition."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.pytorch as torch
from tinygrad_nn import Tensor, assert_gradients
from tinygrad_nn.ops.pytorch_ranks import RENAMED
from tinygrad_nn.tensor import raw

rng = np.random.default_rng(0)
X, Y, SHARES = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.uniform(-0.9, 0.9, (3, 4))
HOLES = np.where(X > 0.9, np.nan, X)
WHOLE, SMALL = rng.integers(0, 9, (3, 4)), rng.integers(1, 5, (3, 4))
SQUARE, CUBE = rng.normal(size=(3, 3)), rng.normal(size=(2, 3, 4))
INPUTS: dict[str, tuple[Any, ...]] = {  # where (X, Y) or X alone do not do
    **dict.fromkeys(["acos", "asin", "atanh"], (SHARES,)), "acosh": (2 + SHARES,),
    "float_power": (1.5 + SHARES, Y), "ger": (X[0], Y[1]), "moveaxis": (X, 0, 1), "swapdims": (X, 0, 1),
    "rot90": (X,), "corrcoef": (X,),
    **dict.fromkeys(["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift"],
                    (WHOLE, SMALL)), "bitwise_not": (WHOLE,),
}  # fmt: skip
OF_TWO = {"atan2", "copysign", "fmod", "greater", "greater_equal", "inner", "kron", "less", "less_equal", "not_equal",
          "true_divide"}  # fmt: skip


@pytest.mark.parametrize("word", RENAMED.split())
def test_a_method_and_a_function_of_numpy_under_its_other_name(word: str) -> None:
    name, _, numpys = word.partition("=")
    x, *more = INPUTS.get(name, (X, Y) if name in OF_TWO else (X,))
    wanted = getattr(np, numpys or name)(x, *more)
    np.testing.assert_array_equal(raw(getattr(Tensor(x), name)(*more)), wanted)
    np.testing.assert_array_equal(raw(getattr(torch, name)(x, *more)), wanted)


def by_line(f: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.array([f(line) for line in x])


def most(line: np.ndarray) -> float:
    values, counts = np.unique(line, return_counts=True)
    return float(values[np.argmax(counts)])


HALF = np.round(X)
ROWS: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {  # a function of torch, its input, and what it is
    "kthvalue": (lambda x: torch.kthvalue(x, 2).values, X, np.sort(X)[:, 1]),
    "kthvalue of columns": (lambda x: x.kthvalue(3, 0, True).values, X, np.sort(X, 0)[2:]),
    "median": (torch.median, X, np.sort(X.ravel())[5]), "median of rows": (lambda x: x.median(1).values, X,
                                                                           np.sort(X)[:, 1]),
    "median of columns": (lambda x: torch.median(x, dim=0, keepdim=True).values, X, np.sort(X, 0)[1:2]),
    "median with NaN": (lambda x: torch.median(x, 1).values, HOLES,
                        np.where(np.isnan(HOLES).any(1), np.nan, np.sort(HOLES)[:, 1])),
    "nanmedian": (lambda x: torch.nanmedian(x, 1).values, HOLES,
                  by_line(lambda row: np.sort(row)[(np.sum(~np.isnan(row)) - 1) // 2])(HOLES)),
    "nanmedian of NaN": (lambda x: torch.nanmedian(x, 1).values, np.full((2, 2), np.nan), [np.nan] * 2),
    "mode": (lambda x: torch.mode(x, 1).values, HALF, by_line(most)(HALF)),
    "mode of columns": (lambda x: x.mode(0, True).values, HALF, by_line(most)(HALF.T)[None]),
    "msort": (torch.msort, X, np.sort(X, 0)),
    "quantile": (lambda x: torch.quantile(x, 0.3, 1), X, np.quantile(X, 0.3, 1)),
    "quantiles": (lambda x: x.quantile(torch.tensor([0.25, 0.5]), dim=0, keepdim=True), X,
                  np.quantile(X, [0.25, 0.5], 0, keepdims=True)),
    "quantile below": (lambda x: torch.quantile(x, 0.4, interpolation="lower"), X, np.sort(X.ravel())[4]),
    "nanquantile": (lambda x: torch.nanquantile(x, 0.3), HOLES, np.nanquantile(HOLES, 0.3)),
    "logcumsumexp": (lambda x: torch.logcumsumexp(x, 1), X, np.log(np.cumsum(np.exp(X), 1))),
    "take": (lambda x: torch.take(x, torch.tensor([0, 5, 11])), X, X.ravel()[[0, 5, 11]]),
    "addmv": (lambda x: torch.addmv(x[:, 0], x, Y[0], beta=0.5, alpha=2), X, 0.5 * X[:, 0] + 2 * X @ Y[0]),
    "addr": (lambda x: x.addr(x[:, 0], Y[0]), X, X + np.outer(X[:, 0], Y[0])),
    "addbmm": (lambda x: torch.addbmm(x[0], CUBE[:, :, :3], x, beta=3), CUBE,
               3 * CUBE[0] + (CUBE[:, :, :3] @ CUBE).sum(0)),
    "adjoint": (torch.adjoint, CUBE, np.swapaxes(CUBE, 1, 2)),
    "matrix_power": (lambda x: x.matrix_power(3), SQUARE, SQUARE @ SQUARE @ SQUARE),
    "slogdet": (lambda x: x.slogdet()[1], SQUARE, np.linalg.slogdet(SQUARE)[1]),
    "pinverse": (torch.pinverse, X, np.linalg.pinv(X)),
    "svd": (lambda x: torch.svd(x)[0] @ torch.diag(torch.svd(x)[1]) @ torch.svd(x)[2].mT, X, X),
    "qr": (lambda x: torch.qr(x)[0] @ x.qr()[1], X.T, X.T),
    "gradient": (lambda x: torch.gradient(x, spacing=2.0, dim=1)[0], X, np.gradient(X, 2.0, axis=1)),
    "gradient at places": (lambda x: torch.gradient(x[0], spacing=(torch.tensor([0.0, 1.0, 3.0, 4.0]),))[0], X,
                           np.gradient(X[0], [0.0, 1.0, 3.0, 4.0])),
    "lstsq": (lambda x: torch.linalg.lstsq(x.mT, Y.T).solution, X, np.linalg.lstsq(X.T, Y.T)[0]),
    "linalg.diagonal": (lambda x: torch.linalg.diagonal(x, offset=1), CUBE, np.diagonal(CUBE, 1, 1, 2)),
    "linalg.cross": (lambda x: torch.linalg.cross(x, 2 * x + 1, dim=0), SQUARE,
                     np.cross(SQUARE, SQUARE * 2 + 1, axis=0)),
    "linalg.vecdot": (lambda x: torch.linalg.vecdot(x, x, dim=0), X, (X * X).sum(0)),
    "linalg.svdvals": (torch.linalg.svdvals, X, np.linalg.svdvals(X)),
    "linalg.cond": (torch.linalg.cond, SQUARE, np.linalg.cond(SQUARE)),
    "linalg.tensorsolve": (lambda x: torch.linalg.tensorsolve(x, Y[:, 0]), SQUARE, np.linalg.solve(SQUARE, Y[:, 0])),
    "of layers": (lambda x: torch.layer_norm(torch.celu(x), (4,)), X, None),
    **{f"tensor_split {k}": (lambda x, k=k: torch.tensor_split(x, 3, 1)[k], X, np.array_split(X, 3, 1)[k])
       for k in range(3)},
    "splits": (lambda x: torch.hsplit(x, 2)[1] + x.hsplit([2])[0], X, X[:, 2:] + X[:, :2]),
    "vsplit": (lambda x: x.vsplit([2])[0], X, X[:2]), "dsplit": (lambda x: torch.dsplit(x, 2)[1], CUBE, CUBE[..., 2:]),
    **{f"tensor_split by {word}": (lambda x, word=word: x.tensor_split(dim=1, **{word: [1, 3]})[1], X, X[:, 1:3])
       for word in ("indices_or_sections", "indices", "tensor_indices_or_sections")},
    "tensor_split by sections": (lambda x: x.tensor_split(sections=2, dim=1)[1], X, X[:, 2:]),
    "hsplit of several": (lambda x: x.hsplit(1, 3)[1], X, X[:, 1:3]),
    "split_with_sizes": (lambda x: x.split_with_sizes([1, 3], 1)[1], X, X[:, 1:]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_values_and_gradients(name: str) -> None:
    f, x, wanted = ROWS[name]
    found = f(torch.tensor(x))
    assert isinstance(found, torch.Tensor)
    if wanted is not None:
        np.testing.assert_allclose(found.data, wanted, rtol=1e-12, atol=1e-13)
    if name not in ("mode", "mode of columns") and "NaN" not in name and not np.isnan(x).any():
        assert_gradients(f, x)


def test_parts_without_a_number_or_indices_are_refused() -> None:
    x = torch.tensor(X)
    for call, got in ((x.hsplit, 0), (x.tensor_split, 0), (lambda: x.vsplit(2, sections=2), 2)):
        with pytest.raises(TypeError, match=rf"one of the two; got {got}\. Write t\.\w+\(2\) or t\.\w+\(\[1, 3\]\)\."):
            call()


def test_indices_of_ranks() -> None:
    x = torch.tensor([[3, 1, 2, 2], [1, 1, 5, 0]])
    assert torch.median(x, 1).indices.tolist() == [2, 0]
    assert torch.kthvalue(x, 4).indices.tolist() == [0, 2]
    assert torch.mode(x, 1).indices.tolist() == [3, 1]  # the last of the equal entries
    assert x.double().median(dim=1).indices.dtype == np.int64
    holes = torch.tensor([[1.0, np.nan, 0.0]])
    assert (torch.median(holes, 1).indices.tolist(), torch.nanmedian(holes, 1).indices.tolist()) == ([1], [2])


def test_the_gradient_goes_to_the_entry_of_the_median() -> None:
    x = torch.tensor([[3.0, 1.0, 2.0, 4.0]], requires_grad=True)
    torch.median(x).backward()
    np.testing.assert_array_equal(x.grad, [[0, 0, 1, 0]])


def test_counts_types_and_windows() -> None:
    x = torch.tensor(X)
    np.testing.assert_array_equal(torch.histc(x, 4, -2, 2).data, np.histogram(X, 4, (-2, 2))[0])
    np.testing.assert_array_equal(x.histc(3).data, np.histogram(X, 3)[0])
    np.testing.assert_array_equal(torch.gcd(WHOLE, SMALL).data, np.gcd(WHOLE, SMALL))
    assert torch.is_floating_point(x)
    assert not x.is_complex()
    assert (x.short().dtype, x.half().dtype) == (np.int16, np.float16)
    assert (x.element_size(), x.stride(), x.mT.stride(), x.stride(0)) == (8, (4, 1), (1, 4), 4)
    assert x.isclose(x + 1e-9).all()
    assert torch.argwhere(torch.tensor([0.0, 2.0])).tolist() == [[1]]
    np.testing.assert_array_equal(torch.linalg.matrix_rank(np.ones((2, 3, 3))).data, [1, 1])
    np.testing.assert_array_equal(torch.linalg.vander(torch.tensor([2.0, 3.0]), N=3).data, [[1, 2, 4], [1, 3, 9]])
    for n in (4, 5):
        for make, numpys in ((torch.hann_window, np.hanning), (torch.hamming_window, np.hamming),
                             (torch.blackman_window, np.blackman), (torch.bartlett_window, np.bartlett)):  # fmt: skip
            np.testing.assert_allclose(make(n, periodic=False).data, numpys(n), atol=1e-15)
            np.testing.assert_allclose(make(n).data, numpys(n + 1)[:-1], atol=1e-15)
            assert make(1).tolist() == [1.0]
    np.testing.assert_allclose(torch.hamming_window(4, True, 0.6, 0.4, dtype=torch.float32).data, [0.2, 0.6, 1, 0.6])
