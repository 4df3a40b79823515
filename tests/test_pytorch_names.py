"""The namespace of PyTorch's names beyond its functions: Functions, gradients, batches, states, dtypes, random ones."""

import copy
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_nn.pytorch as torch
from tinygrad_nn import assert_gradients, nn
from tinygrad_nn.pytorch import distributions
from tinygrad_nn.pytorch.autograd import Function, grad, gradcheck, gradgradcheck
from tinygrad_nn.pytorch.data import DataLoader, Dataset, TensorDataset, random_split


class Exp(Function):
    """Its backward uses the result that was saved."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(result := torch.exp(x))
        return result

    @staticmethod
    def backward(ctx, grad_output):
        (result,) = ctx.saved_tensors
        return grad_output * result


class Scaled(Function):
    """Two Tensors and an option; two results."""

    @staticmethod
    def forward(ctx, x, y, factor):
        ctx.save_for_backward(x, y)
        ctx.factor = factor
        return factor * x * y, x + y

    @staticmethod
    def backward(ctx, product, total):
        x, y = ctx.saved_tensors
        return product * ctx.factor * y + total, product * ctx.factor * x + total, None


class Both(Function):
    """Its backward uses one of two results."""

    @staticmethod
    def forward(ctx, x):
        results = torch.exp(x), torch.exp(-x)
        ctx.save_for_backward(*results)
        return results

    @staticmethod
    def backward(ctx, up, down):
        results = ctx.saved_tensors
        return up * results[0] - down * results[1]


class Wrong(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * 3.001 * x**2


X, Y = np.array([0.3, -1.2, 0.8]), np.array([1.5, 0.2, -0.7])


def test_a_function_has_the_derivatives_that_its_backward_says_of_both_orders():
    x, y = torch.tensor(X, requires_grad=True), torch.tensor(Y, requires_grad=True)
    assert gradcheck(Exp.apply, (x,))
    assert gradgradcheck(Exp.apply, (x,))
    assert gradcheck(lambda x, y: Scaled.apply(x, y, 3.0)[0], (x, y))
    assert gradgradcheck(lambda x, y: Scaled.apply(x, y, 3.0), (x, y))
    assert gradgradcheck(Both.apply, (x,))
    product, total = Scaled.apply(x, y, 3.0)
    (product.sum() + 2 * total.sum()).backward()
    np.testing.assert_allclose(x.grad, 3 * Y + 2)
    np.testing.assert_allclose(y.grad, 3 * X + 2)


def test_two_calls_of_a_function_keep_what_each_of_them_saved():
    x = torch.tensor(X, requires_grad=True)
    (Exp.apply(x) * Exp.apply(2 * x)).sum().backward()
    np.testing.assert_allclose(x.grad, 3 * np.exp(3 * X))


def test_gradcheck_finds_a_backward_that_is_wrong_by_a_thousandth():
    x = torch.tensor(X, requires_grad=True)
    with pytest.raises(AssertionError):
        gradcheck(Wrong.apply, (x,))
    assert not gradcheck(Wrong.apply, (x,), raise_exception=False)


def test_a_backward_that_omits_an_input_raises():
    class Forgets(Scaled):
        @staticmethod
        def backward(ctx, product, total):
            return product, total

    x = torch.tensor(X, requires_grad=True)
    product, _ = Forgets.apply(x, x, 2.0)
    with pytest.raises(ValueError, match=r"Forgets\.backward returned 2 gradients for the 3 inputs.*None"):
        product.sum().backward()


class Affine(Function):
    """Its third input has a default, so that backward returns a gradient for an input that was left out."""

    @staticmethod
    def forward(ctx, x, weight, bias=None):
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return x * weight + (bias if ctx.biased else 0.0)

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output * weight, grad_output * x, grad_output if ctx.biased else None


def test_a_backward_may_return_none_for_an_input_that_was_left_out():
    x, y = torch.tensor(X, requires_grad=True), torch.tensor(Y, requires_grad=True)
    Affine.apply(x, y).sum().backward()
    np.testing.assert_array_equal(x.grad, Y)
    np.testing.assert_array_equal(y.grad, X)
    assert gradcheck(Affine.apply, (x, y, torch.tensor(X + Y, requires_grad=True)))

    class Extra(Affine):
        @staticmethod
        def backward(ctx, grad_output):
            return grad_output, grad_output, grad_output

    with pytest.raises(ValueError, match=r"Extra\.backward returned 3 gradients for the 2 inputs"):
        Extra.apply(x, y).sum().backward()


def test_a_generator_is_made_without_arguments_and_seeded():
    made = torch.Generator(device="cpu").manual_seed(42)
    again = copy.deepcopy(made)
    assert isinstance(again, torch.Generator)
    first = torch.rand(3, generator=made).tolist()
    assert first == torch.rand(3, generator=again).tolist() == np.random.default_rng(42).random(3).tolist()
    assert torch.rand(3, generator=made.manual_seed(42)).tolist() == first
    assert torch.manual_seed(42).random(3).tolist() == first
    parts = [random_split(range(10), [7, 3], generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert parts[0][1].indices == parts[1][1].indices


def test_a_script_asks_for_devices_and_finds_the_cpu():
    name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.cuda.manual_seed_all(0)
    assert (torch.accelerator.is_available(), torch.accelerator.device_count()) == (False, 0)
    assert torch.accelerator.current_accelerator() is None
    assert torch.device(name).type == "cpu"
    assert torch.ones(2, 3).shape == torch.Size([2, 3])
    assert isinstance(torch.float32, torch.dtype)


def test_a_function_without_its_methods_says_what_to_write():
    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError, match="def forward"):
        Empty.apply(torch.ones(2, requires_grad=True))


def test_an_input_that_needs_no_gradient_is_known_to_backward():
    seen = []

    class Asks(Scaled):
        @staticmethod
        def backward(ctx, product, total):
            seen.append(ctx.needs_input_grad)
            return Scaled.backward(ctx, product, total)

    x = torch.tensor(X, requires_grad=True)
    Asks.apply(x, torch.tensor(Y), 2.0)[1].sum().backward()
    assert seen == [(True, False, False)]


def test_gradients_of_a_result_are_returned_and_left_nowhere():
    x, y = torch.tensor(X, requires_grad=True), torch.tensor(Y, requires_grad=True)
    out = (x**3 * y).sum()
    first, other = grad(out, (x, y), create_graph=True)
    np.testing.assert_allclose(other.data, X**3)
    np.testing.assert_allclose(grad(first.sum(), x)[0].data, 6 * X * Y)
    assert x.grad is None
    assert y.grad is None
    assert not grad((x * y).sum(), x)[0].requires_grad
    np.testing.assert_allclose(grad(x * y, x, grad_outputs=torch.tensor(X))[0].data, X * Y)
    with pytest.raises(ValueError, match=r"shape \(3,\).*sum or mean.*grad_outputs"):
        grad(x * y, x)


def test_gradients_are_constants_unless_their_graph_is_asked_for():
    w, v = torch.tensor([0.5, -0.3], requires_grad=True), torch.tensor([2.0, 1.0], requires_grad=True)
    inner = 2 * w  # computed from another Tensor, as the fast weights of meta-learning are
    for out, x, slope in (((inner**2).sum(), inner, 2 * inner), ((w**2 * v).sum(), w, 2 * w * v)):
        (found,) = grad(out, x)
        np.testing.assert_allclose(found, slope.data, rtol=1e-15)
        assert not found.requires_grad
        assert grad(out, x, create_graph=True)[0].requires_grad


def test_gradients_with_respect_to_a_constant_raise():
    w, c = torch.ones(2, requires_grad=True), torch.ones(2)
    with pytest.raises(RuntimeError, match=r"an input is a constant.*Write x = torch\.tensor\(data, requ"):
        grad((w * c).sum(), [w, c])


def test_gradients_of_several_results_are_summed():
    x, y = torch.tensor(X, requires_grad=True), torch.tensor(Y, requires_grad=True)
    shared = x * y
    results = [shared.sum(), shared * x]
    (found,) = grad(results, x, [None, torch.tensor(X)], create_graph=True)
    np.testing.assert_allclose(found.data, Y + 2 * X * X * Y)
    np.testing.assert_allclose(grad(found.sum(), y)[0].data, 1 + 2 * X * X)
    torch.autograd.backward(results, [None, torch.tensor(X)])
    np.testing.assert_allclose(x.grad, Y + 2 * X * X * Y)
    np.testing.assert_allclose(y.grad, X + X**3)
    torch.autograd.backward((x * x).sum())
    np.testing.assert_allclose(x.grad, Y + 2 * X * X * Y + 2 * X)


class Apart(Function):
    """It saves in setup_context, so that its forward has no ctx; its second result has no gradient."""

    @staticmethod
    def forward(x, factor):
        return x**2 * factor, x > 0

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.factor = inputs
        ctx.save_for_backward(x)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, grad_output, _):
        (x,) = ctx.saved_tensors
        return grad_output * 2 * x * ctx.factor, None


def test_a_function_may_save_in_setup_context():
    x = torch.tensor(X, requires_grad=True)
    square, positive = Apart.apply(x, 3.0)
    square.sum().backward()
    np.testing.assert_allclose(x.grad, 6 * X)
    assert np.asarray(positive.data).tolist() == (X > 0).tolist()
    assert gradgradcheck(lambda x: Apart.apply(x, 3.0)[0], (x,))


class Squares(Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        return {"x": np.array([index, index**2]), "name": f"n{index}"}, float(index)


def test_batches_of_a_dataset_keep_its_containers():
    batches = list(DataLoader(Squares(), batch_size=3))
    assert [len(y) for _, y in batches] == [3, 3, 1]
    assert batches[0][0]["x"].tolist() == [[0, 0], [1, 1], [2, 4]]
    assert batches[2][0]["name"] == ["n6"]
    assert len(list(DataLoader(Squares(), batch_size=3, drop_last=True))) == 2
    assert next(iter(DataLoader(Squares(), batch_size=2, collate_fn=len))) == 2


def test_shuffled_batches_hold_each_row_once_and_follow_their_generator():
    dataset = TensorDataset(torch.arange(10), 2 * torch.arange(10))

    def orders(seed: int) -> list[list[int]]:
        loader = DataLoader(dataset, batch_size=4, shuffle=True, generator=np.random.default_rng(seed))
        return [[i for x, y in loader for i in x.tolist()] for _ in range(2)]

    first, second = orders(0)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert orders(0) == [first, second] != orders(1)
    assert all((y.data == 2 * x.data).all() for x, y in DataLoader(dataset, 4, True))


def test_a_random_split_parts_the_samples():
    parts = random_split(Squares(), [5, 2], generator=np.random.default_rng(0))
    assert sorted(int(y) for part in parts for _, y in (part[i] for i in range(len(part)))) == list(range(7))
    assert [len(part) for part in random_split(Squares(), [0.5, 0.3, 0.2])] == [4, 2, 1]
    with pytest.raises(ValueError, match="sum to 6; the dataset has 7"):
        random_split(Squares(), [4, 2])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TensorDataset(torch.ones(3), torch.ones(4)), "3, 4 rows"),
        (lambda: DataLoader(Squares(), batch_size=0), "at least 1"),
        (lambda: DataLoader(Squares(), sampler=[1]), "sampler: not supported"),
        (lambda: DataLoader(Squares(), batch_size=None), "iterate over the dataset itself"),
        (lambda: next(iter(DataLoader([np.ones(2), np.ones(3)], 2))), "have the shapes (2,) and (3,); each needs the"),
        (lambda: next(iter(DataLoader([1.0, None], 2))), "a sample holds None of type NoneType"),
        (lambda: torch.utils.data.ConcatDataset, "Write a Dataset whose __getitem__ looks into one dataset after"),
        (lambda: torch.utils.data.WeightedRandomSampler, "and write Subset(dataset, numbers)."),
        (lambda: torch.autograd.Variabel, "did you mean 'Variable'?"),
        (lambda: torch.func.hvp, "Write tinygrad_nn.hvp, with functions of arrays."),
        (lambda: torch.func.functional_call(nn.Linear(2, 1), {"w": X}, X), "has no 'w'. It has weight, bias."),
        (lambda: torch.func.jacrew, "did you mean 'jacrev'?"),
        (lambda: torch.linalg.outer, "no attribute 'outer'. NumPy's functions take Tensors: np.o"),
        (lambda: torch.div(torch.ones(2), 2.0, rounding_mode="up"), "known are None, 'floor' and 'trunc'."),
        (lambda: torch.ones(2).div(2.0, rounding_mode="up"), "known are None, 'floor' and 'trunc'."),
        (lambda: torch.topk(torch.ones(2), 1, out=torch.ones(2)), "torch.topk: out= is not supported. Write y"),
        (lambda: torch.exp(torch.ones(2), out=torch.ones(2)), "torch.exp: out= is not supported. Write y"),
        (lambda: torch.cov(torch.ones(2, 2), 0), "torch.cov takes by position: input; it got 2 arguments."),
        (lambda: torch.sum(torch.ones(2), 0, axis=0), "torch.sum: dim is given twice."),
        (lambda: torch.cumsum(torch.ones(2)), "torch.cumsum needs dim. Its arguments are (input, dim, *, dtype=None)."),
        (lambda: torch.searchsorted(torch.ones(2, 3), torch.ones(4)), "need values of shape (2, n); they have (4,)."),
        (lambda: torch.searchsorted(torch.ones(3), 1.0, right=True, side="left"), "are opposites. Leave one out."),
        (lambda: Exp()(torch.ones(2)), "write Exp.apply(x) instead of Exp()(x)."),
        (lambda: Dataset()[0], "__getitem__"),
        (lambda: len(Dataset()), "__len__"),
        (lambda: torch.device("cuda"), "Write 'cpu'"),
        (lambda: torch.zeros(2, device="cuda:0"), "Write 'cpu'"),
        (lambda: torch.zeros(2, layout="strided"), "layout: not known"),
        (lambda: torch.set_default_dtype(torch.float32), "dtype=float32"),
        (lambda: torch.unsqueze(torch.ones(2), 0), "did you mean 'unsqueeze'"),
        (lambda: torch.distributions.Gamma, "Write the formula of its density, and draw with torch.randn"),
        (lambda: distributions.Categorical(), "needs either probs= or logits="),
        (lambda: distributions.MultivariateNormal(np.zeros(2)), "needs either covariance_matrix= or scale_tril="),
        (lambda: distributions.kl_divergence(distributions.Normal(0, 1), distributions.Categorical([1.0])),
         "kl_divergence of Normal and Categorical: it needs two Normal or two Categorical."),
        (lambda: torch.multinomial(torch.ones(2), 3), "one above 0 in each row for each sample"),
        (lambda: torch.multinomial(torch.tensor([1.0, 0.0]), 2), "one above 0 in each row for each sample"),
        (lambda: torch.multinomial(torch.tensor([0.0, 0.0]), 1, True), "with replacement=True at least one; got"),
        (lambda: torch.multinomial(torch.tensor([2.0, -1.0]), 1), "finite and at least 0"),
        (lambda: torch.multinomial(torch.tensor([2.0, np.inf]), 1), "finite and at least 0"),
        (lambda: torch.multinomial(torch.ones(2, 2, 2), 1), "needs one or two axes of weights"),
        (lambda: torch.compile(torch.exp), "Write tinygrad_nn.compile(step)"),
        (lambda: torch.nanstd(torch.ones(2)), "NumPy's functions take Tensors: np.nanstd."),
        (lambda: torch.eigh(torch.ones(2, 2)), "NumPy's functions take Tensors: np.linalg.eigh."),
        (lambda: torch.mps.empty_cache(), "there is no device to choose"),
        (lambda: torch.ones(3).kthvalue(4), "kthvalue: k=4; axis -1 of shape (3,) has 3 entries. Write a k from"),
        (lambda: torch.svd(torch.ones(2, 2), compute_uv=False), "Write torch.linalg.svdvals(A)."),
        (lambda: torch.ones(2).max(axis=0).indices, "or torch.max(t, 1) and torch.sort(t)."),
        (lambda: torch.ones(2, requires_grad=True).scatter_(0, [0], 1.0), "Write t.at[index].set(values)"),
        (lambda: torch.ones(2).scatter_reduce(0, torch.tensor([0]), torch.ones(1), "max"), "known are 'sum', 'mean'"),
        (lambda: torch.randn_like(torch.tensor([1, 2])), "torch.randn draws floats; the dtype is int64."),
        (lambda: torch.rand(2, dtype=torch.int64), "torch.rand draws floats; the dtype is int64."),
        (lambda: torch.zeros(2).long().normal_(), "t.normal_ fills floats; t has dtype int64."),
        (lambda: torch.ones(2, 3).squeeze(1), "axis 1 of shape (2, 3) is not of length 1. To leave such an axis, as"),
        (lambda: torch.ones(2).max(torch.zeros(2)), "Entry by entry it is np.maximum(t, other)."),
        (lambda: torch.ones(2).min(np.zeros(2)), "Entry by entry it is np.minimum(t, other)."),
        (lambda: torch.ones(2, requires_grad=True).clamp_(0, 1), "or change a leaf inside `with no_grad():`."),
        (lambda: distributions.Normal(torch.zeros(2), torch.tensor([1.0, -1.0])), "Normal: scale[1] is -1.0; it must"),
        (lambda: distributions.Normal(0.0, np.nan), "Normal: scale is nan; it must be above 0"),
        (lambda: distributions.Categorical([-0.1, 0.5]), "Categorical: probs[0] is -0.1; it must be 0 or more"),
        (lambda: torch.utils.tensorboard, "torch.utils has no attribute 'tensorboard'"),
        (lambda: torch.ones(2).scatter(0, torch.tensor([0]), 1.0, reduce="multiply"), "known are None and 'add'"),
        (lambda: torch.linalg.solve_triangular(torch.eye(2), torch.eye(2), upper=True, unitriangular=True),
         "write ones on the diagonal"),
        (lambda: torch.ones(2).percentile(), "NumPy's functions take Tensors: np.percentile."),
        (lambda: torch.save({"model": object()}, "state.pt"), "state_dict"),
        (lambda: torch.save({}, io.BytesIO()), "is no path. Write torch.save(state, 'state.pt')."),
        (lambda: torch.load(io.BytesIO()), "is no path. Write torch.load('state.pt')."),
    ],
)
def test_missing_names_raise_with_the_replacement(make: Any, says: str):
    with pytest.raises((ValueError, TypeError, AttributeError, NotImplementedError), match=re.escape(says)):
        make()


SQUARE = np.array([[2.0, 0.3, -0.5], [0.1, 1.5, 0.4], [-0.2, 0.6, 1.1]])
K = np.array([[0, 2, 1, 1], [2, 0, 0, 1]])
LIKE: dict[str, tuple[Any, Any]] = {  # functions of PyTorch that NumPy lacks, and what they are
    "addcdiv": (lambda x: torch.addcdiv(x, x, x + 5, value=-2), lambda x: x - 2 * x / (x + 5)),
    "addcmul": (lambda x: x.addcmul(x, 2 * x, value=0.5), lambda x: x + x * x),
    "addmm": (lambda x: torch.addmm(x, x, SQUARE, beta=0.5, alpha=2), lambda x: 0.5 * x + 2 * x @ SQUARE),
    "baddbmm": (lambda x: torch.baddbmm(x, x[None], SQUARE[None]), lambda x: (x + x @ SQUARE)[None]),
    "add, sub": (lambda x: x.add(x, alpha=3).sub(1, alpha=2), lambda x: 4 * x - 2),
    "amax, amin": (lambda x: x.amax(dim=1, keepdim=True) * x.amin(0), lambda x: x.max(1, keepdims=True) * x.min(0)),
    "block_diag": (lambda x: torch.block_diag(x, x[0, :2]), lambda x: np.block(
        [[x, np.zeros((4, 2))], [np.zeros((1, 3)), x[:1, :2]]])),
    "cartesian_prod": (lambda x: torch.cartesian_prod(x[0], x[1]), lambda x: np.array(
        [[a, b] for a in x[0] for b in x[1]])),
    "cdist": (lambda x: torch.cdist(x, 2 * x[:2], p=3.0), lambda x: np.array(
        [[(np.abs(a - 2 * b) ** 3).sum() ** (1 / 3) for b in x[:2]] for a in x])),
    "cholesky_solve": (lambda x: torch.cholesky_solve(x[:3], torch.tensor(np.tril(SQUARE))),
                       lambda x: np.linalg.solve(np.tril(SQUARE) @ np.tril(SQUARE).T, x[:3])),
    "cholesky_solve, upper": (lambda x: torch.cholesky_solve(x[:3], np.triu(SQUARE), upper=True),
                              lambda x: np.linalg.solve(np.triu(SQUARE).T @ np.triu(SQUARE), x[:3])),
    "clamp_max, clamp_min": (lambda x: x.clamp_min(-0.5).clamp_max(0.8), lambda x: np.clip(x, -0.5, 0.8)),
    "complex": (lambda x: torch.complex(x, 2 * x).abs(), lambda x: np.sqrt(5) * np.abs(x)),
    "diag_embed": (lambda x: torch.diag_embed(x), lambda x: np.stack([np.diag(row) for row in x])),
    "diagonal": (lambda x: x[None].diagonal(dim1=1, dim2=2), lambda x: np.diagonal(x)[None]),
    "dist": (lambda x: torch.dist(x[0], x[1], p=1), lambda x: np.abs(x[0] - x[1]).sum()),
    "flip": (lambda x: x.flip(0, 1), lambda x: x[::-1, ::-1]),
    "frac": (lambda x: torch.frac(3 * x), lambda x: 3 * x - np.trunc(3 * x)),
    "index_add": (lambda x: x.index_add(0, torch.tensor([2, 0, 2]), x[:3], alpha=2), lambda x: x + 2 * np.stack(
        [x[1], 0 * x[1], x[0] + x[2], 0 * x[1]])),
    "index_copy": (lambda x: torch.index_copy(x, 1, torch.tensor([2]), x[:, :1]), lambda x: x[:, [0, 1, 0]]),
    "index_fill": (lambda x: x.index_fill(-1, torch.tensor([0, 2]), 7.0), lambda x: np.where([1, 0, 1], 7, x)),
    "inverse": (lambda x: torch.inverse(x[:3] + SQUARE), lambda x: np.linalg.inv(x[:3] + SQUARE)),
    "lerp": (lambda x: torch.lerp(x, x**2, 0.25), lambda x: 0.75 * x + 0.25 * x**2),
    "logdet": (lambda x: torch.logdet(SQUARE + 0.1 * x[:3]), lambda x: np.log(np.linalg.det(SQUARE + 0.1 * x[:3]))),
    "movedim": (lambda x: x[None].movedim(0, -1), lambda x: x[:, :, None]),
    "narrow": (lambda x: torch.narrow(x, -1, 1, 2), lambda x: x[:, 1:3]),
    "polar": (lambda x: torch.polar(x, 2 * x).real, lambda x: x * np.cos(2 * x)),
    "scatter": (lambda x: x.scatter(1, torch.tensor(K.T[:, :1]), x[:, 1:] * 2), lambda x: np.where(
        np.arange(3) == K.T[:, :1], 2 * x[:, 1:2], x)),
    "scatter of a number": (lambda x: x.scatter(0, K[:1, :3], value=4.0), lambda x: np.where(
        np.arange(4)[:, None] == K[0, :3], 4, x)),
    "scatter_add": (lambda x: torch.zeros(4, 3).scatter_add(0, torch.tensor(K[:, :3]), x), lambda x: np.array(
        [[x[0, 0], x[1, 1], x[1, 2]], [0, 0, x[0, 2]], [x[1, 0], x[0, 1], 0], [0, 0, 0]])),
    "scatter_add of equal indices": (lambda x: torch.ones(1, 3).scatter_add(0, torch.zeros(4, 3).long(), x),
                                     lambda x: 1 + x.sum(axis=0, keepdims=True)),
    "cummax": (lambda x: torch.cummax(x, 0).values, np.maximum.accumulate),
    "cummin": (lambda x: x.cummin(dim=1)[0], lambda x: np.minimum.accumulate(x, 1)),
    "scatter_reduce, sum": (lambda x: x.scatter_reduce(0, torch.tensor(K[:, :3]), x[2:], "sum"), lambda x: x + np.array(
        [[x[2, 0], x[3, 1], x[3, 2]], [0, 0, x[2, 2]], [x[3, 0], x[2, 1], 0], [0, 0, 0]])),
    "scatter_reduce, mean": (lambda x: torch.scatter_reduce(x, 0, torch.zeros(2, 3).long(), x[2:], reduce="mean"),
                             lambda x: np.stack([(x[0] + x[2] + x[3]) / 3, x[1], x[2], x[3]])),
    "scatter_reduce, prod": (lambda x: x.scatter_reduce(0, torch.zeros(2, 3).long(), x[2:], "prod"),
                             lambda x: np.stack([x[0] * x[2] * x[3], x[1], x[2], x[3]])),
    "scatter_reduce, amax": (lambda x: x.scatter_reduce(0, torch.zeros(2, 3).long(), x[2:], "amax", include_self=False),
                             lambda x: np.stack([np.maximum(x[2], x[3]), x[1], x[2], x[3]])),
    "scatter_reduce, amin": (lambda x: x.scatter_reduce(-1, torch.zeros(4, 2).long(), x[:, 1:], "amin"),
                             lambda x: np.stack([x.min(axis=1), x[:, 1], x[:, 2]], 1)),
    "where": (lambda x: x.where(x > 0, 3 * x), lambda x: np.where(x > 0, x, 3 * x)),
    "select": (lambda x: x.select(1, -1), lambda x: x[:, -1]),
    "solve_triangular": (lambda x: torch.linalg.solve_triangular(torch.tensor(SQUARE), x[:3], upper=True),
                         lambda x: np.linalg.solve(np.triu(SQUARE), x[:3])),
    "solve_triangular from the right": (lambda x: torch.linalg.solve_triangular(SQUARE, x, upper=False, left=False),
                                        lambda x: x @ np.linalg.inv(np.tril(SQUARE))),
    "tile": (lambda x: x.tile(2, 1), lambda x: np.tile(x, (2, 1))),
    "trapz": (lambda x: torch.trapz(x, dx=0.5, dim=1), lambda x: np.trapezoid(x, dx=0.5, axis=1)),
    "tril_indices": (lambda x: x[tuple(torch.tril_indices(3, 3, -1))], lambda x: np.array([x[1, 0], x[2, 0], x[2, 1]])),
    "triu_indices": (lambda x: x[tuple(torch.triu_indices(2, 3, 1))], lambda x: np.array([x[0, 1], x[0, 2], x[1, 2]])),
    "unbind": (lambda x: torch.unbind(x, 1)[2], lambda x: x[:, 2]),
    "unflatten": (lambda x: x.unflatten(0, (2, 2)), lambda x: x.reshape(2, 2, 3)),
    "unfold": (lambda x: x.unfold(0, 3, 1), lambda x: np.stack([x[:3].T, x[1:].T])),
    "unfold by steps": (lambda x: x.unfold(-1, 1, 2), lambda x: np.stack([x[:, :1], x[:, 2:]], 1)),
}  # fmt: skip
POINT = np.random.default_rng(5).normal(size=(4, 3))


@pytest.mark.parametrize("name", LIKE)
def test_functions_that_numpy_lacks_have_two_orders_of_derivatives(name: str):
    call, formula = LIKE[name]
    np.testing.assert_allclose(call(torch.tensor(POINT)).numpy(), formula(POINT), rtol=1e-12, atol=1e-15)
    assert_gradients(call, POINT, order=2)


ANSWERS: dict[str, tuple[Any, Any]] = {  # calls without a derivative
    "bincount": (lambda: torch.bincount(torch.tensor([0, 2, 2])), [1, 0, 2]),
    "bucketize": (lambda: torch.bucketize(torch.tensor([1.0, 1.5]), torch.tensor([0.0, 1.0])), [1, 2]),
    "searchsorted": (lambda: torch.searchsorted(torch.tensor([0.0, 1.0]), torch.tensor([1.0]), right=True), [2]),
    "topk": (lambda: torch.tensor([[1.0, 3.0, 2.0]]).topk(2).indices.squeeze(0).detach(), [1, 2]),
    "max": (lambda: torch.tensor([[1.0, 3.0]]).max(dim=1).indices.eq(torch.tensor([1])), [True]),
    "one_hot": (lambda: nn.functional.one_hot(torch.tensor([1]), 2).double() / 2, [[0.0, 0.5]]),
    "argsort": (lambda: torch.tensor([[1.0, 3.0, 2.0]]).argsort(descending=True).squeeze(dim=0), [1, 2, 0]),
    "squeeze": (lambda: torch.ones(1, 2, 1).squeeze(dim=1).squeeze(dim=(0, 1)).shape, (2, 1)),
    "byte": (lambda: torch.tensor([1.5]).pin_memory().byte(), [1]),
    "is_contiguous": (lambda: [torch.ones(2, 3).is_contiguous(), torch.ones(2, 3).t().is_contiguous()], [True, False]),
    "device": (lambda: torch.ones(2, device=torch.ones(1).device).device.type, "cpu"),
    "equal": (lambda: torch.ones(2).equal(torch.ones(2)), True),
    "allclose": (lambda: torch.ones(2).allclose(torch.ones(2) + 1e-9), True),
    "logical_not": (lambda: torch.tensor([True, False]).logical_not(), [False, True]),
    "empty_like": (lambda: torch.empty_like(torch.ones(2)).fill_(3), [3.0, 3.0]),
    "clone": (lambda: torch.clone(torch.ones(2)).zero_(), [0.0, 0.0]),
    "cummax": (lambda: torch.tensor([[1.0, 5.0, 5.0, 2.0, np.nan, 7.0]]).cummax(1).indices, [[0, 1, 2, 2, 4, 4]]),
    "cummin": (lambda: torch.cummin(torch.tensor([3.0, 1.0, 2.0]), dim=0).indices, [0, 1, 1]),
    "div, trunc": (lambda: torch.div(torch.tensor([7, -7, 7, -7, 6, -1]), torch.tensor([2, 2, -2, -2, 3, 2]),
                                     rounding_mode="trunc"), [3, -3, -3, 3, 2, 0]),
    "div, exact": (lambda: torch.div(torch.tensor([2**62 + 1]), 1, rounding_mode="trunc"), [2**62 + 1]),
    "div, index": (lambda: torch.arange(9)[torch.div(torch.tensor([7]), 2, rounding_mode="trunc")], [3]),
    "div of floats, trunc": (lambda: torch.div(torch.tensor([-7.0]), 2, rounding_mode="trunc"), [-3.0]),
    "scatter_reduce of the others": (lambda: [[torch.tensor([1.0, 2.0, 3.0]).scatter_reduce(
        0, torch.tensor([0, 0, 1]), torch.tensor([2.0, 5.0, 4.0]), reduce=how, include_self=False).tolist()
        for how in ("sum", "mean", "prod", "amax", "amin")]],
        [[[7, 4, 3], [3.5, 4, 3], [10, 4, 3], [5, 4, 3], [2, 4, 3]]]),
    "scatter_reduce of integers": (lambda: torch.tensor([9, 9]).scatter_reduce(
        0, torch.tensor([0, 0]), torch.tensor([2, 5]), "amax", include_self=False), [5, 9]),
    "size=": (lambda: [torch.rand(size=(2, 3)).shape, torch.ones(size=[2, 3]).shape,
                       torch.randint(high=5, size=(2, 3)).shape], [(2, 3)] * 3),
    "nonzero of a comparison": (lambda: (torch.tensor([1, 2, 1]) == 1).nonzero(as_tuple=True)[0], [0, 2]),
    "nonzero of a comparison in rows": (lambda: (torch.tensor([1, 2, 1]) == 1).nonzero(as_tuple=False), [[0], [2]]),
    "nonzero of a comparison as in NumPy": (lambda: (torch.tensor([1, 2, 1]) == 1).nonzero(), [[0, 2]]),
    "Tensor of lengths": (lambda: torch.Tensor(5, 1).shape, (5, 1)),
    "fill_diagonal_": (lambda: torch.zeros(2, 3).fill_diagonal_(1.0), [[1, 0, 0], [0, 1, 0]]),
    "threshold": (lambda: nn.functional.threshold(torch.tensor([1.0, -1.0, 0.0]), 0.0, 9.0), [1.0, 9.0, 9.0]),
    "is_grad_enabled": (lambda: torch.is_grad_enabled(), True),
    "broadcast_tensors": (lambda: torch.broadcast_tensors(torch.ones(2, 1), torch.ones(3))[0].shape, (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_without_a_derivative(name: str):
    call, expected = ANSWERS[name]
    np.testing.assert_array_equal(np.asarray(call()), expected)


@pytest.mark.parametrize("copied", [
    lambda x: x.T.contiguous(), lambda x: x.flip(0), lambda x: torch.flip(x, [1]), lambda x: x.clone(), torch.clone,
])  # fmt: skip
def test_what_pytorch_copies_can_be_written_into(copied: Any):
    x = torch.tensor(POINT)
    copied(x).zero_()
    np.testing.assert_array_equal(x.data, POINT)


@pytest.mark.parametrize("view", [
    lambda x: x.narrow(0, 1, 2), lambda x: x.select(1, 0), lambda x: x.unflatten(0, (2, 2))[1],
    lambda x: x.unbind(1)[2], lambda x: x.view(-1)[3:5], lambda x: x.t()[1], lambda x: x.chunk(2)[1],
    lambda x: x.contiguous()[0],
])  # fmt: skip
def test_writing_into_a_view_changes_the_whole(view: Any):
    x, places = torch.tensor(POINT), torch.arange(12).reshape(4, 3)
    expected = np.where(np.isin(places.data, view(places).data), 7.0, POINT)
    view(x).fill_(7.0)
    np.testing.assert_array_equal(x.data, expected)


def test_a_state_comes_back_as_it_was(tmp_path: Path):
    rest = {"losses": [0.5, 0.25], "epoch": 3, "name": None, 7: True}
    path = torch.save({"model": {"w": torch.tensor(X), "n": np.int64(3)}, **rest}, tmp_path / "state.pt")
    found = torch.load(path, map_location="cpu")
    np.testing.assert_array_equal(found["model"]["w"], X)
    assert found["model"]["n"] == 3
    assert {key: found[key] for key in rest} == rest
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="changed after it was written"):
        torch.load(path)


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"])  # as zip, and before 1.6
def test_a_file_that_pytorch_saved_is_loaded_into_a_model(start: bytes, tmp_path: Path):
    path = tmp_path / "model.pt"
    path.write_bytes(start + b"content")
    edit = f"To load a state_dict into a model, write tinygrad_nn.io.load_weights({str(path)!r}, model)"
    with pytest.raises(ValueError, match=re.escape(f"was written by PyTorch's torch.save. {edit}")):
        torch.load(path)


def test_random_numbers_follow_the_seed_or_a_generator():
    def drawn() -> list[Any]:
        numbers = [torch.rand(2), torch.randn(2, 3), torch.normal(0.0, 1.0, (2,)), torch.rand_like(torch.ones(3))]
        whole = [torch.randint(0, 9, (4,)), torch.randint(9, (2, 2)), torch.randperm(5)]
        return [t.tolist() for t in (*numbers, *whole, torch.bernoulli(torch.full((8,), 0.5)),
                                     torch.multinomial(torch.ones(9), 5))]

    torch.manual_seed(0)
    first = drawn()
    assert drawn() != first
    torch.manual_seed(0)
    assert drawn() == first
    own = [torch.randn(3, generator=np.random.default_rng(1)).tolist() for _ in range(2)]
    assert own[0] == own[1]


@pytest.mark.parametrize(
    ("made", "mean", "variance"),
    [
        (distributions.Normal(np.array([1.0, -2.0]), 0.5), [1.0, -2.0], [0.25, 0.25]),
        (distributions.Categorical(np.array([[1.0, 3.0], [1.0, 0.0]])), [0.75, 0.0], [0.1875, 0.0]),
        (distributions.MultivariateNormal(np.array([1.0, -2.0]), np.array([[1.0, 0.5], [0.5, 2.0]])), [1, -2], [1, 2]),
    ],
)
def test_samples_have_the_moments_of_their_distribution(made: Any, mean: Any, variance: Any):
    torch.manual_seed(0)
    assert made.sample().shape == (2,)
    assert not made.sample().requires_grad
    drawn = made.sample((40, 500)).data
    assert drawn.shape == (40, 500, 2)
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), mean, rtol=0, atol=5 * np.sqrt(2 / 20_000))  # 5 deviations
    np.testing.assert_allclose(drawn.var(axis=(0, 1)), variance, rtol=5 * np.sqrt(2 / 20_000), atol=0.02)


def test_distributions_of_integers_draw_floats():
    torch.manual_seed(0)
    normal = distributions.Normal(0, 1)
    deviation = normal.sample((10_000,)).double().std().item()
    assert abs(deviation - 1) < 5 / np.sqrt(20_000)  # five standard deviations
    vectors = distributions.MultivariateNormal(torch.tensor([0, 0]), torch.eye(2).long())
    assert np.unique(vectors.sample((50,)).data).size == 100
    assert distributions.Categorical(torch.tensor([1, 3])).probs.tolist() == [0.25, 0.75]
    assert distributions.Categorical(logits=torch.tensor([0, 0])).entropy().item() == pytest.approx(np.log(2))


def test_what_distributions_tell_of_themselves():
    normal = distributions.Normal(torch.zeros(2, 3), 2.0)
    assert (normal.batch_shape, normal.event_shape) == ((2, 3), ())
    assert normal.mode is normal.loc
    np.testing.assert_allclose(distributions.Normal(1.0, 2.0).cdf(torch.tensor([1.0, 3.0, -79.0])).data,
                               [0.5, 0.8413447460685429, 3.0953587719586676e-350], rtol=1e-14)  # fmt: skip
    assert_gradients(lambda x, m, s: distributions.Normal(m, s).cdf(x), np.array([0.3, -1.0]), 0.5, 1.5, order=2)
    covariance = np.array([[1.0, 0.5], [0.5, 2.0]])
    vectors = distributions.MultivariateNormal(np.zeros((4, 2)), covariance)
    assert (vectors.batch_shape, vectors.event_shape) == ((4,), (2,))
    np.testing.assert_allclose(vectors.covariance_matrix.data, covariance, rtol=1e-15)
    np.testing.assert_allclose(vectors.variance.data, [1.0, 2.0], rtol=1e-15)
    classes = distributions.Categorical(torch.tensor([[0.2, 0.8], [0.6, 0.4]]))
    assert (classes.batch_shape, classes.event_shape, classes.mode.tolist()) == ((2,), (), [1, 0])


def test_gradients_of_unused_inputs_are_zeros_or_none():
    w, u = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)

    def found(outputs: Any, **options: Any) -> list[Any]:
        return [None if g is None else g.tolist() for g in torch.autograd.grad(outputs, [w, u], **options)]

    assert found((w * 2).sum()) == [[2.0, 2.0], [0.0, 0.0]]
    assert found((w * 2).sum(), allow_unused=True) == [[2.0, 2.0], None]
    assert found((w * 2).sum(), allow_unused=True, materialize_grads=True) == [[2.0, 2.0], [0.0, 0.0]]
    assert found([(w * 2).sum(), (w * 3).sum()], allow_unused=True) == [[5.0, 5.0], None]
    assert found([(w * 2).sum(), (u * 3).sum()], allow_unused=True) == [[2.0, 2.0], [3.0, 3.0]]
    assert found(torch.ones(()), allow_unused=True) == [None, None]


def test_results_are_added_in_place_to_what_nothing_else_uses():
    message = torch.ones(3, 2, requires_grad=True)
    idx = torch.tensor([0, 1, 0])
    for fill in (lambda t: t.index_add_(0, idx, 2 * message),
                 lambda t: t.scatter_add_(0, idx[:, None].expand(-1, 2), 2 * message)):  # fmt: skip
        message.grad, out = None, torch.zeros(2, 2)
        assert fill(out) is out
        np.testing.assert_array_equal(out.data, [[4, 4], [2, 2]])
        (out * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
        np.testing.assert_array_equal(message.grad, 2 * np.array([[1, 2], [3, 4], [1, 2]]))
    message.grad, out = None, torch.zeros(3, 2, dtype=torch.float32)
    out.add_(message).mul_(message).sub_(1)
    assert out.dtype == np.float32
    out.sum().backward()
    np.testing.assert_array_equal(message.grad, np.full((3, 2), 2.0))
    out = torch.zeros(3, 2)
    row = out[0]
    with pytest.raises(TypeError, match="is used elsewhere, by a view or in a graph"):
        out.add_(message)
    np.testing.assert_array_equal(row.data, np.zeros(2))
    out = torch.zeros(3, 2)
    product = out * message
    with pytest.raises(TypeError, match="is used elsewhere, by a view or in a graph"):
        out.add_(message)
    assert product.shape == (3, 2)


def test_constants_are_filled_with_random_numbers():
    torch.manual_seed(0)
    first = [torch.empty(4).uniform_(-1, 1), torch.empty(4).normal_(3.0, std=0.01), torch.empty(4).exponential_(2.0),
             torch.empty(99).bernoulli_(0.3)]  # fmt: skip
    torch.manual_seed(0)
    assert torch.empty(4).uniform_(-1, 1).equal(first[0])
    assert (first[0].data.min() < 0, bool((abs(first[1] - 3) < 0.1).all()), bool((first[2] > 0).all())) == (True,) * 3
    assert sorted(set(first[3].tolist())) == [0.0, 1.0]
    leaf = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        assert leaf.uniform_(5, 6) is leaf
    assert leaf.requires_grad
    assert bool((leaf.detach() >= 5).all())


def test_the_type_makes_constants_of_floats():
    class Model(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(2, 1)
            self.mean = torch.Tensor([0.5, 0.5])

    assert [name for name, _ in Model().named_parameters()] == ["fc.weight", "fc.bias"]
    made = torch.Tensor([1, 2])
    assert (made.dtype, made.requires_grad, made.tolist()) == (np.float64, False, [1.0, 2.0])
    assert torch.Tensor(np.ones((2, 2), np.float32)).dtype == np.float64
    assert (torch.Tensor(3).shape, torch.Tensor().shape) == ((3,), (0,))
    assert isinstance(nn.Parameter(made), torch.Tensor)
    assert not isinstance(np.ones(2), torch.Tensor)
    assert issubclass(type(made), torch.Tensor)
    given: torch.Tensor | None = made
    assert given is made


def test_distances_of_vectors_as_modules():
    x, y = torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([[1.0, 1.0], [2.0, 4.0]])
    np.testing.assert_allclose(nn.CosineSimilarity()(x, y).data, [0.5**0.5, 1.0], rtol=1e-15)
    np.testing.assert_allclose(torch.cosine_similarity(x, y, dim=0).data,
                               nn.CosineSimilarity(dim=0)(x, y).data, rtol=1e-15)  # fmt: skip
    np.testing.assert_allclose(nn.PairwiseDistance(p=1, keepdim=True)(x, y).data, [[1.0], [3.0]], atol=4e-6)
    np.testing.assert_array_equal(torch.pairwise_distance(x, y).data, nn.PairwiseDistance()(x, y).data)
    assert repr(nn.CosineSimilarity(dim=0)) == "CosineSimilarity(dim=0)"


def test_a_checkpoint_of_a_call_has_its_gradients():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    torch.utils.checkpoint.checkpoint(lambda a, b: torch.exp(a) * b, x, 3.0, use_reentrant=False).sum().backward()
    np.testing.assert_allclose(x.grad, 3 * np.exp([1.0, 2.0]), rtol=1e-15)


def test_a_sample_passes_gradients_to_its_distribution_only_if_asked():
    loc, scale = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    made = distributions.Normal(loc, scale)
    assert not made.sample().requires_grad
    noise = made.rsample()
    noise.sum().backward()
    np.testing.assert_array_equal(loc.grad, np.ones(3))
    np.testing.assert_array_equal(scale.grad, noise.data)


def test_constructors_have_the_dtypes_of_pytorch_but_for_floats():
    assert torch.tensor([1, 2]).dtype == torch.int64
    assert torch.tensor([1, 2], dtype=torch.float32).dtype == np.float32
    assert torch.ones(2).dtype == torch.get_default_dtype() == np.float64  # PyTorch's default is float32
    assert torch.zeros(2, dtype=torch.long).dtype == np.int64
    assert torch.zeros_like(torch.ones(2, dtype=torch.float)).dtype == np.float32
    assert not torch.ones(2).requires_grad
    assert torch.ones(2, requires_grad=True).requires_grad
    array = np.ones(2)
    assert torch.from_numpy(array).data is array
    assert torch.tensor(array).data is not array


def test_multinomial_draws_in_proportion_to_the_weights():
    torch.manual_seed(1)
    weights, n = torch.tensor([[0.0, 1.0, 3.0, 0.0, 4.0], [2.0, 2.0, 0.0, 1.0, 0.0]]), 20_000
    p = weights.data / weights.data.sum(axis=1, keepdims=True)
    found = torch.multinomial(weights, n, replacement=True)
    assert found.shape == (2, n)
    assert found.dtype == torch.int64
    for row, expected in zip(found.data, p, strict=True):
        error = np.bincount(row, minlength=5) / n - expected
        assert np.all(np.abs(error) <= 5 * np.sqrt(expected * (1 - expected) / n))  # five standard deviations
    pairs = np.zeros((5, 5))
    for _ in range(n // 10):
        pairs[tuple(torch.multinomial(weights[0], num_samples=2).data)] += 10 / n
    expected = p[0, :, None] * p[0] / (1 - p[0, :, None]) * (1 - np.eye(5))  # the second is drawn from the others
    assert np.all(np.abs(pairs - expected) <= 5 * np.sqrt(expected * (1 - expected) * 10 / n))
    assert sorted(torch.multinomial(torch.ones(4), 4).tolist()) == [0, 1, 2, 3]
    assert torch.multinomial(weights, 1).shape == (2, 1)
    at_the_start = SimpleNamespace(random=np.zeros)  # a draw of 0, which is where a first weight of 0 ends
    assert torch.multinomial(weights, 2, replacement=True, generator=at_the_start).tolist() == [[1, 1], [0, 0]]


def test_with_dim_indices_are_tensors_and_count_the_right_answers():
    x = torch.tensor([[1.0, 3.0, 2.0], [4.0, 0.0, 5.0], [7.0, 6.0, 6.5]], requires_grad=True)
    labels = torch.tensor([1, 0, 0])
    prediction = x.argmax(dim=1, keepdim=True)
    assert prediction.eq(labels.view_as(prediction)).sum().item() == 2
    assert (x.argmax(dim=1) == labels).mean() == pytest.approx(2 / 3)
    for found, wanted in ((x.argmax(dim=1), [1, 2, 0]), (x.argmin(dim=0), [0, 1, 0]), (x[0].argmax(dim=-1), 1),
                          (x.argsort(dim=1)[1], [1, 0, 2])):  # fmt: skip
        assert isinstance(found, torch.Tensor)
        assert found.cpu().numpy().tolist() == wanted
        assert not found.requires_grad
        np.testing.assert_array_equal(np.arange(9.0)[found], np.arange(9.0)[wanted])
    assert isinstance(x.argmax(1), np.ndarray)
    assert isinstance(x.argsort(axis=1), np.ndarray)


def test_blocks_record_or_do_not():
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        assert not torch.is_grad_enabled()
        assert not (2 * x).requires_grad
        with torch.enable_grad():
            assert (2 * x).requires_grad
    with torch.set_grad_enabled(False):
        assert not (2 * x).requires_grad

    @torch.no_grad()
    def doubled(x: Any) -> Any:
        return 2 * x

    assert not doubled(x).requires_grad


def test_an_in_built_name_of_python_is_itself_inside_the_module():
    names = vars(torch)
    assert "max" not in names  # they are given when asked for, and hide nothing here
    assert torch.max(torch.tensor([1.0, 3.0])).item() == 3


@pytest.mark.parametrize(
    ("size", "lengths"), [(3, [3, 3, 1]), ([2, 4, 1], [2, 4, 1]), ([7], [7]), ((1, 0, 6), [1, 0, 6])]
)
def test_a_tensor_is_split_into_parts_of_one_size_or_of_the_sizes_given(size, lengths):
    parts = torch.tensor(np.arange(7.0)).split(size)
    assert [len(part) for part in parts] == lengths
    assert np.concatenate(parts).data.tolist() == list(range(7))


ROW = np.array([0, 2, 1, 2])


@pytest.mark.parametrize(
    ("array", "down"),
    [
        (ROW.astype(np.uint8), [1, 3, 2, 0]),
        (ROW > 0, [1, 2, 3, 0]),
        (np.array([-128, 5, 127, 5], np.int8), [2, 1, 3, 0]),
        (np.array([1.0, np.nan, 2.0, 1.0]), [1, 2, 0, 3]),
        (np.array([[3.0, 1.0, 2.0], [5.0, 5.0, 4.0]]), [[0, 2, 1], [0, 1, 2]]),
    ],
)
def test_the_largest_come_first_for_every_dtype(array: Any, down: Any):
    found = torch.sort(torch.tensor(array), descending=True)
    assert found.indices.tolist() == torch.argsort(torch.tensor(array), descending=True).tolist() == down
    np.testing.assert_array_equal(found.values.data, np.take_along_axis(array, np.array(down), -1))
    first = torch.topk(torch.tensor(array), 2)
    assert first.indices.tolist() == np.array(down)[..., :2].tolist()
    assert torch.tensor(array).topk(1, largest=False).values.dtype == array.dtype


S3 = np.cos(np.arange(9.0)).reshape(3, 3)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda t: torch.cross(t, t + 1), np.cross(S3, S3 + 1, axis=0)),
        (lambda t: torch.cross(t, t + 1, dim=1), np.cross(S3, S3 + 1)),
        (lambda t: torch.cross(t[:, :2], t[:, 1:]), np.cross(S3[:, :2], S3[:, 1:], axis=0)),
        (lambda t: torch.squeeze(t[None], 0), S3),
        (lambda t: torch.squeeze(t, 0), S3),
        (lambda t: torch.squeeze(t[None, :, None], (0, 1)), S3[:, None]),
        (lambda t: torch.squeeze(t[None, :, None]), S3),
        (lambda t: torch.add(t, t, alpha=2), 3 * S3),
        (lambda t: torch.sub(t, t, alpha=3), -2 * S3),
        (lambda t: torch.div(t, 0.3, rounding_mode="floor"), np.floor(S3 / 0.3)),
        (lambda t: torch.div(t, 0.3, rounding_mode="trunc"), np.trunc(S3 / 0.3)),
        (lambda t: torch.tensordot(t, t, dims=([1], [0])), S3 @ S3),
        (lambda t: torch.nonzero(t > 0), np.argwhere(S3 > 0)),
        (lambda t: torch.stack(torch.nonzero(t > 0, as_tuple=True)), np.stack(np.nonzero(S3 > 0))),
    ],
)
def test_a_function_has_the_options_of_pytorch(call: Any, expected: Any):
    found = call(torch.tensor(S3, requires_grad=True))
    np.testing.assert_allclose(found.data, expected, rtol=1e-14)


@pytest.mark.parametrize(
    "line",
    [
        "from tinygrad_nn.pytorch.autograd.functional import hessian, jacobian",
        "from tinygrad_nn.pytorch.distributions import Categorical, Normal",
        "from tinygrad_nn.pytorch.fft import rfft",
        "from tinygrad_nn.pytorch.func import functional_call, grad, vmap",
        "from tinygrad_nn.pytorch.nn.utils.rnn import pad_sequence",
        "from tinygrad_nn.pytorch.linalg import solve",
        "from tinygrad_nn.pytorch.utils.data import DataLoader",
        "import tinygrad_nn.pytorch.nn.functional as F; from tinygrad_nn.nn import functional; assert F is functional",
        "import tinygrad_nn.pytorch.optim as o; from tinygrad_nn import optim; assert o is optim",
        "from tinygrad_nn.pytorch.optim.lr_scheduler import StepLR",
        "from tinygrad_nn.pytorch.nn import Linear; from tinygrad_nn import nn; assert Linear is nn.Linear",
    ],
)
def test_namespaces_can_be_imported_from(line: str):
    exec(line, {})


V = np.array([0.5, -1.0, 2.0])


def test_products_with_derivatives():
    f, x = (lambda t: (t**3).sum() * t[0]), POINT[0]
    h = np.asarray(torch.autograd.functional.hessian(f, torch.tensor(x)))
    g = np.asarray(torch.autograd.functional.jacobian(f, torch.tensor(x)))
    for name, product in [("hvp", h @ V), ("vhp", V @ h), ("jvp", g @ V)]:
        value, found = getattr(torch.autograd.functional, name)(f, torch.tensor(x), torch.tensor(V))
        np.testing.assert_allclose(value.numpy(), (x**3).sum() * x[0], rtol=1e-14)
        np.testing.assert_allclose(found.numpy(), product, rtol=1e-12)
    np.testing.assert_allclose(torch.autograd.functional.vjp(f, torch.tensor(x))[1].numpy(), g, rtol=1e-14)
    np.testing.assert_allclose(torch.autograd.functional.hvp(f, torch.tensor(x))[1].numpy(), h.sum(axis=1), rtol=1e-12)
    _, (da, db) = torch.autograd.functional.vjp(lambda a, b: a * b, (torch.tensor(x), torch.tensor(V)), torch.tensor(x))
    np.testing.assert_allclose([da.numpy(), db.numpy()], [x * V, x * x], rtol=1e-14)
    _, (ha, hb) = torch.autograd.functional.hvp(lambda a, b: (a * a * b).sum(), (x, V), (V, x))
    np.testing.assert_allclose([ha.numpy(), hb.numpy()], [2 * V * V + 2 * x * x, 2 * x * V], rtol=1e-14)
    value, pull = torch.func.vjp(torch.sin, torch.tensor(x))
    np.testing.assert_allclose(pull(torch.tensor(V))[0].numpy(), np.cos(x) * V, rtol=1e-14)
    np.testing.assert_allclose(torch.func.jvp(torch.sin, (x,), (V,))[1].numpy(), np.cos(x) * V, rtol=1e-14)
    found = torch.func.grad_and_value(f)(torch.tensor(x))
    np.testing.assert_allclose(found[0].numpy(), g, rtol=1e-14)
    assert found[1].item() == value_of(f, x)


def value_of(f: Any, x: Any) -> float:
    return f(torch.tensor(x)).item()


class Tied(nn.Module):
    """Weights in a list, in a submodule, and twice; and a buffer."""

    def __init__(self) -> None:
        self.first = nn.Linear(3, 3, rng=0)
        self.again = self.first
        self.scales = [nn.Parameter(np.ones(3)), nn.Parameter(2 * np.ones(3))]
        self.more = ({"offset": nn.Parameter(np.zeros(3))},)
        self.register_buffer("shift", np.zeros(3))

    def forward(self, x: Any, power: int = 1) -> Any:
        h = torch.tanh(self.first(x) * self.scales[0])
        return (self.again(h) * self.scales[1] + self.shift + self.more[0]["offset"]) ** power


def test_a_module_is_a_function_of_its_parameters():
    model, x = Tied(), torch.tensor(POINT)
    before = dict(vars(model))
    new = {name: 1.5 * value + 0.1 for name, value in model.state_dict().items()}
    twin = Tied()
    twin.load_state_dict(new)
    found = torch.func.functional_call(model, new, (x,), {"power": 2})
    np.testing.assert_allclose(np.asarray(found), twin(x, power=2).data, rtol=1e-14)
    names = [name for name, _ in model.named_parameters()]
    loss = lambda part: torch.func.functional_call(model, ({**new, **part}, {}), x).pow(2).sum()
    gradients = torch.func.grad(loss)({name: torch.tensor(new[name]) for name in names})
    twin(x).pow(2).sum().backward()
    for name, p in twin.named_parameters():
        np.testing.assert_allclose(gradients[name].numpy(), p.grad, rtol=1e-12)
    line = nn.Linear(3, 1, rng=0)
    each = torch.func.grad(lambda weights, x: torch.func.functional_call(line, weights, x).sum())
    several = torch.vmap(each, in_dims=(None, 0))({"weight": torch.ones(1, 3)}, x)["weight"]
    np.testing.assert_allclose(several.numpy()[:, 0], POINT, rtol=1e-14)
    with pytest.raises(ValueError, match="takes 3 columns"):
        torch.func.functional_call(model, new, torch.ones(2, 2))
    assert all(vars(model)[name] is value for name, value in before.items())
    assert [t.data[0] for t in model.scales] == [1.0, 2.0]


def test_an_import_line_of_an_unknown_name_says_from_where():
    with pytest.raises(ImportError, match=r"cannot import name 'jacrew' from 'torch\.func'"):
        exec("from tinygrad_nn.pytorch.func import jacrew", {})


def test_distributions_keep_shapes_and_dtypes_and_probabilities_of_0() -> None:
    single = np.ones(3, np.float32)
    assert distributions.Normal(single, single).sample((2,)).dtype == np.float32
    vectors = distributions.MultivariateNormal(np.zeros((3, 2)), np.eye(2))
    assert vectors.entropy().shape == (3,)
    masked = distributions.Categorical(logits=np.array([0.0, -np.inf]))
    assert masked.entropy().item() == 0
    sure, even = (distributions.Categorical(probs=np.array(p)) for p in ([0.0, 1.0], [1, 1]))
    assert distributions.kl_divergence(even, sure).item() == np.inf
    assert abs(distributions.kl_divergence(sure, even).item() - np.log(2)) < 1e-12
    assert abs(distributions.Categorical(probs=np.array([1, 1, 2])).log_prob(2).item() - np.log(0.5)) < 1e-12
    assert torch.tensor([torch.tensor(np.float32(1)), torch.tensor(np.array([2], np.float32))]).dtype == np.float32
    for wrong in ("a", 2.5, 0):
        with pytest.raises((TypeError, ValueError), match="upscale_factor"):
            torch.nn.PixelShuffle(wrong)
