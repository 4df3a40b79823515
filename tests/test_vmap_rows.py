"""vmap: the rule of each family of rows at its edge cases, for all choices of what differs between samples.

Each call is held against a loop over the samples. A rule runs one row, or a few, for all samples together, so that the
graph has the same length for two samples as for five; the calls of `ALONE` are run for each sample.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from test_vmap import close

from tinygrad_nn import Tensor, grad, vjp, vmap
from tinygrad_nn.backward import ancestors
from tinygrad_nn.primitive import REGISTRY
from tinygrad_nn.tensor import raw

N = 5  # no shape below has such an axis, so that an axis of the samples is taken for no other

Shapes = tuple[Any, ...]  # and numbers that are what they are
AXES: list[Any] = [None, 0, 1, 2, -1, -2, -3, (0, 2), (1,), (-1, 0), (2, -2), ()]


def calls() -> Iterator[tuple[str, Shapes, dict[str, Any]]]:
    """Yield name, shapes of one sample and options."""
    for name in ("sum", "max"):
        for axis, keepdims in itertools.product(AXES, (False, True)):
            yield name, ((3, 4, 2),), {"axis": axis, "keepdims": keepdims}
        for axis, keepdims in itertools.product((None, 0, -1, (0,)), (False, True)):
            yield name, ((3,),), {"axis": axis, "keepdims": keepdims}
        yield name, ((2, 3),), {"axis": 0, "where": np.array([[True, False, True], [False, False, True]]),
                                "initial": -1.0}  # fmt: skip
    for axis in (None, 0, -1, ()):
        yield "sum", ((),), {"axis": axis}
    yield "sum", ((),), {"keepdims": True}
    yield "sum", ((),), {"where": np.array(False)}
    yield "std", ((3, 2),), {"axis": 1, "ddof": 1}
    yield "logsumexp", ((3, 2),), {"axis": 0}
    for name in ("softmax", "log_softmax"):
        for shape, axes in (((), (-1, 0)), ((3,), (0, -1)), ((3, 4), (0, 1, -1, -2, (0, 1), (-2,))),
                            ((2, 3, 4), (1, (0, -1)))):  # fmt: skip
            for axis in axes:
                yield name, (shape,), {"axis": axis}
            yield name, (shape,), {}
    for name in ("cumsum", "cumprod"):
        for axis in (None, 0, 1, -1, -2):
            yield name, ((3, 4),), {"axis": axis}
        yield name, ((3, 4, 2),), {}
        yield name, ((),), {}
        yield name, ((),), {"axis": 0}
        yield name, ((3,),), {}
    for name in ("cummax", "cummin", "logcumsumexp", "sorted", "diff", "fft", "ifft", "rfft", "irfft", "glu", "unwrap"):
        yield name, ((2, 4),), {}
        for axis in (0, 1, -1, -2):
            yield name, ((2, 4),), {"axis": axis}
    yield "partitioned", ((2, 4),), {"kth": 1, "axis": 1}
    yield "ranked", ((2, 4),), {"ranks": (3, 1)}
    yield "diff", ((4,),), {"n": 2}
    for axis in (0, 1, -1, -2):
        yield "window", ((3, 4),), {"n": 2, "axis": axis}
    for axis in (0, 1):
        yield "overlap_add", ((3, 4, 2),), {"axis": axis}
    for shape, new in (((3, 4), (2, -1)), ((3, 4), 12), ((3, 4), -1), ((3, 4), (4, 3)), ((), (1, 1)), ((1,), ()),
                       ((0, 3), (3, 0)), ((2,), (2, 1))):  # fmt: skip
        yield "reshape", (shape,), {"shape": new}
    yield "reshape", ((3, 4),), {"shape": (2, 6), "order": "C"}
    yield "reshape", ((3, 4),), {"shape": (2, 6), "order": "F"}
    for shape, order in (((3, 4, 2), (2, 0, 1)), ((3, 4, 2), (-2, 0, -1)), ((3, 4, 2), None), ((3,), 0), ((3,), None),
                         ((), None), ((3, 4), (0, 1))):  # fmt: skip
        yield "transpose", (shape,), {"axes": order}
    yield "transpose", ((3, 4, 2),), {}
    for one, other in ((0, 1), (2, 0), (-1, 0), (-3, -2), (1, 1)):
        yield "swapaxes", ((3, 4, 2),), {"axis1": one, "axis2": other}
    yield "trace", ((3, 4),), {}
    yield "trace", ((3, 4),), {"offset": 1}
    yield "trace", ((3, 4, 2),), {}
    yield "trace", ((3, 4, 2),), {"axis1": 2}
    yield "trace", ((3, 4, 2),), {"axis2": 2}
    yield "trace", ((3, 4, 2),), {"axis1": -1, "axis2": -2, "offset": -1}
    for shape, new in (((), 3), ((), (2, 3)), ((3,), (2, 3)), ((1, 3), (4, 3)), ((3,), (3,)), ((2, 1), (4, 2, 3)),
                       ((), ())):  # fmt: skip
        yield "broadcast_to", (shape,), {"shape": new}
    for shape, shift, axis in (((3,), 1, None), ((3, 4), 5, None), ((3, 4), (1, 2), None), ((3, 4), 1, 0),
                               ((3, 4), -1, 1), ((3, 4), 1, -2), ((3, 4, 2), (1, 2), (0, -2)), ((3, 4), 2, (0, 1)),
                               ((3, 4), (1, 2), 1)):  # fmt: skip
        yield "roll", (shape,), {"shift": shift, "axis": axis}
    yield "roll", ((3, 4),), {"shift": 2}
    for shape in ((), (3,), (3, 4)):
        for axis in range(-len(shape) - 1, len(shape) + 1):
            yield "stack", (shape, shape), {"axis": axis}
        yield "stack", (shape, shape), {}
        yield "stack", (shape,), {"axis": -1}
        for axis in range(-len(shape), len(shape)):
            yield "concatenate", (shape, shape), {"axis": axis}
    yield "concatenate", ((2, 3), (4, 3), (1, 3)), {}
    yield "concatenate", ((2, 3), (4,)), {"axis": None}
    yield "round", ((),), {"decimals": 1}
    yield "concatenate", ((2, 3),), {"axis": -1}
    for a, b in (((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((3, 3), (3, 3)), ((4, 2, 3), (3,)),
                 ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)), ((4, 2, 3), (4, 3, 2)), ((3,), (4, 3, 2)),
                 ((4, 1, 2, 3), (6, 3, 2)), ((2, 0), (0, 3)), ((0,), (0,))):  # fmt: skip
        yield "matmul", (a, b), {}
        if a != (4, 1, 2, 3):
            yield "dot", (a, b), {}
    for a, b in (((), ()), ((), (3,)), ((2, 3), ()), ((4, 1, 2, 3), (6, 3, 2)), ((3,), (2, 4, 3, 6))):
        yield "dot", (a, b), {}
    for a, b in (((3, 2), (4, 2)), ((2, 3, 2), (4, 2)), ((3, 2), (2, 1, 2))):
        yield "distances", (a, b), {}
    for subscripts, shapes in (
        ("ij,jk->ik", ((2, 3), (3, 4))), ("ij->ji", ((2, 3),)), ("i,i->", ((3,), (3,))), ("A,B->BA", ((2,), (3,))),
        ("ab,bc,cd->da", ((2, 3), (3, 4), (4, 2))), ("ii->i", ((3, 3),)), (",i->i", ((), (3,))),
    ):  # fmt: skip
        yield "einsum", shapes, {"subscripts": subscripts}
    yield "einsum", ((2, 3), (3, 4), (4, 2)), {"subscripts": "ab,bc,cd->da", "optimize": True}
    for a, b in (((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (3, 2)), ((6,), (2, 3)), ((), ())):
        yield "vdot", (a, b), {}
    for name in ("vecdot", "cross"):
        for a, b in (((3,), (3,)), ((2, 3), (3,)), ((3,), (2, 3)), ((4, 1, 3), (2, 3))):
            yield name, (a, b), {}
    for a, b in (((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3, 4)), ((3, 3), (2, 3, 4)), ((2, 3, 3), (3,))):
        yield "solve", (a, b), {}
    for name in ("inv", "det"):
        yield name, ((2, 3, 3),), {}
    for shapes in (((3,), ()), ((2, 3), (3,)), ((3,), (2, 3)), ((), (2, 1, 3))):
        yield "power", shapes, {}
    # layers
    for x in ((3,), (2, 3), (4, 2, 3)):
        yield "affine", (x, (6, 3), (6,)), {}
    for shape in ((3,), (2, 3), (1, 3), (4, 2, 3)):
        yield "softmax_crossentropy", (shape, shape), {}
        yield "sigmoid_crossentropy", (shape, shape), {}
    one = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
    half = {"groups": 2, "stride": (2,), "padding": (1,)}
    for x, w, how in (((2, 3, 6), (4, 3, 3), {}), ((2, 4, 7), (6, 2, 2), half), ((1, 1, 4), (1, 1, 2), {})):
        yield "conv", (x, w), {**one, **how}
        yield "conv_transpose", (x, (x[1], *w[1:])), {**one, **how, "output_padding": (0,)}
        options = {**one, **how}
        size = (x[2] + 2 * options["padding"][0] - w[2]) // options["stride"][0] + 1
        yield "conv_weight", ((x[0], w[0], size), x), {**options, "kernel": w[2:]}
    pool = {"kernel": (2,), "stride": (2,), "padding": (0,)}
    mean = {**pool, "count_include_pad": True}
    for before in ((), (3,), (2, 3)):
        yield "max_pool", ((*before, 4),), pool
        yield "avg_pool", ((*before, 4),), mean
        yield "avg_spread", ((*before, 2),), {**mean, "size": (4,)}
        yield "max_spread", ((*before, 2), (*before, 4), (*before, 2)), pool
        yield "max_collect", ((*before, 4), (*before, 4), (*before, 2)), pool
    for x, axis in (((4, 3), -1), ((4, 3), (0, 1)), ((2, 4, 3), 1), ((2, 4, 3), (-1, -2)), ((3,), 0), ((4, 3), (0,)),
                    ((2, 4, 3), (0, 2))):  # fmt: skip
        for w in ((), x[-1:], (*[1] * (len(x) - 1), x[-1])):
            yield "standardize", (x, w, w), {"axis": axis}
            yield "rms_norm", (x, w), {"axis": axis, "eps": 1e-3}
    yield "standardize", ((4, 3), (2, 1, 3), (3,)), {"axis": -1}
    yield "rms_norm", ((4, 3), (2, 1, 3)), {"axis": -1, "eps": 1e-3}
    for q, k, v, mask in (((3, 2), (4, 2), (4, 3), ()), ((3, 2), (4, 2), (4, 3), (3, 4)),
                          ((6, 3, 2), (6, 4, 2), (6, 4, 2), (3, 4)), ((6, 3, 2), (4, 2), (4, 2), ()),
                          ((3, 2), (6, 4, 2), (6, 4, 2), (4,))):  # fmt: skip
        yield "attention", (q, k, v, mask or 0.0, 1.0), {}
        yield "attention", (q, k, v, mask or 0.0, mask or (3, 4)), {}
    yield "attention", ((6, 3, 4), (6, 4, 4), (6, 4, 2), (6, 2, 3, 4), (2, 3, 4)), {"heads": 2}
    for v, mask, keep in (((6, 4, 2), 0.0, 1.0), ((6, 1, 4, 2), (6, 1, 1, 3, 4), (5, 1, 1, 1, 3, 4))):
        yield "attention", ((3, 4), (4, 4), v, mask, keep), {}
    yield "self_attention", ((6, 3, 12), (6, 2, 3, 3), 1.0), {"heads": 2}
    yield "self_attention", ((3, 6), (3, 3), (1, 3)), {}
    yield "rnn_states", ((4, 3, 2), (2, 2), (3, 2)), {}
    yield "lstm_states", ((4, 3, 8), (8, 2), (3, 2), (3, 2)), {}
    yield "gru_states", ((4, 3, 6), (6, 2), (6,), (3, 2)), {}


def alone(name: str, shapes: Shapes, options: dict[str, Any], subset: tuple[int, ...]) -> bool:
    """Tell whether a call is run for each sample."""
    rank = len(shapes[0])
    if name in ("max_pool", "avg_pool", "avg_spread", "max_spread", "max_collect"):
        return rank == len(options["kernel"])
    if name in ("standardize", "rms_norm"):
        return 0 not in subset or any(len(shape) > rank for shape in shapes)
    if name in ("rnn_states", "lstm_states", "gru_states"):
        return 1 in subset or (name == "gru_states" and 2 in subset)
    return (name == "sum" and not rank and "where" in options) or (
        name in ("cumsum", "cumprod") and not rank and "axis" in options) or options.get("order") == "F"  # fmt: skip


def length(found: Any) -> int:
    """How many operations a result was made by."""
    return len(ancestors([found.node]))


ROWS = list(calls())


@pytest.mark.parametrize("name", list(dict.fromkeys(name for name, _, _ in ROWS)))
def test_a_row_whatever_differs_from_sample_to_sample(name: str) -> None:
    row, rng = REGISTRY[name], np.random.default_rng(0)
    low = 0.5 if name == "power" else -2.0
    for _, shapes, options in (call for call in ROWS if call[0] == name):
        slots = [i for i, shape in enumerate(shapes) if isinstance(shape, tuple)]
        for subset in (c for k in range(1, len(slots) + 1) for c in itertools.combinations(slots, k)):
            full: list[Any] = [
                rng.uniform(low, 2.0, (N, *shape) if i in subset else shape) if i in slots else shape
                for i, shape in enumerate(shapes)
            ]

            if name in ("max_spread", "max_collect"):  # the largest of each window is one of its two pixels
                full[1:] = map(np.sign, full[1:])
                full[1][..., 1::2] = -full[1][..., ::2]

            def f(*moved: Any, full: Any = full, slots: Any = slots, options: Any = options) -> Any:
                given = dict(enumerate(full)) | dict(zip(slots, moved, strict=True))
                return row(*given.values(), **options)

            axes = tuple(0 if i in subset else None for i in slots)
            found = vmap(f, axes)(*(Tensor(full[i]) for i in slots))
            close(found, np.stack([f(*(full[i][b] if i in subset else full[i] for i in slots)) for b in range(N)]))
            few = vmap(f, axes)(*(Tensor(full[i][:2] if i in subset else full[i]) for i in slots))
            assert (length(found) > length(few)) == alone(name, shapes, options, subset), (shapes, subset, options)


@pytest.mark.parametrize(
    ("name", "shapes", "options"),
    [
        ("matmul", ((3,), ()), {}), ("matmul", ((2, 3), (2, 3)), {}), ("matmul", ((3,), (2,)), {}),
        ("matmul", ((4, 2, 3), (4, 2, 3)), {}), ("dot", ((3,), (2,)), {}), ("dot", ((2, 3), (2, 3)), {}),
        ("dot", ((2, 1), (4, 3, 2)), {}), ("vdot", ((3,), (2, 3)), {}), ("vdot", ((1,), (3,)), {}),
        ("vecdot", ((3,), ()), {}), ("vecdot", ((), (3,)), {}), ("vecdot", ((1,), ()), {}), ("vecdot", ((), (1,)), {}),
        ("cross", ((), (3,)), {}),
        ("transpose", ((3, 4),), {"axes": (0,)}), ("transpose", ((3, 4),), {"axes": (0, 1, 1)}),
        ("affine", ((2,), (6, 3), (6,)), {}), ("affine", ((3,), (6, 3), (4,)), {}),
        ("affine", ((3,), (2, 6, 3), (6,)), {}), ("affine", ((3,), (6, 3), (2, 6)), {}),
        ("sigmoid_crossentropy", ((3,), (2,)), {}), ("sigmoid_crossentropy", ((2, 3), (3,)), {}),
        ("attention", ((2,), (4, 2), (4, 3), (), ()), {}), ("attention", ((3, 2), (2,), (4, 3), (), ()), {}),
        ("attention", ((3, 2), (4, 2), (4,), (), ()), {}),
        ("softmax_crossentropy", ((3,), (2,)), {}), ("softmax_crossentropy", ((2, 3), (3,)), {}),
        ("sum", ((3, 4),), {"axis": 2}), ("sum", ((3,),), {"axis": 1}), ("sum", ((),), {"axis": 1}),
        ("reshape", ((3, 4),), {"shape": (5, -1)}), ("broadcast_to", ((2, 3),), {"shape": (3,)}),
        ("swapaxes", ((3,),), {"axis1": 0, "axis2": 1}), ("roll", ((3,),), {"shift": 1, "axis": 1}),
        ("cumsum", ((3,),), {"axis": 1}), ("softmax", ((3,),), {"axis": 1}), ("stack", ((3,), (2,)), {}),
        ("concatenate", ((3, 2), (4, 3)), {}), ("concatenate", ((), ()), {}), ("solve", ((3, 3), (2,)), {}),
        ("add", ((2, 3), (2,)), {}),
    ],
)  # fmt: skip
def test_what_one_sample_refuses_all_refuse(name: str, shapes: Any, options: Any) -> None:
    row, arrays = REGISTRY[name], [np.ones((N, *shape)) for shape in shapes]
    with pytest.raises(ValueError, match=r"\w") as one:  # each says something of its own
        row(*(Tensor(x[0]) for x in arrays), **options)
    for subset in (c for k in range(1, len(shapes) + 1) for c in itertools.combinations(range(len(shapes)), k)):
        axes = tuple(0 if i in subset else None for i in range(len(shapes)))
        given = [Tensor(x if i in subset else x[0]) for i, x in enumerate(arrays)]
        with pytest.raises(type(one.value)) as all_of_them:
            vmap(lambda *xs: row(*xs, **options), axes)(*given)
        assert str(all_of_them.value) == str(one.value), subset


@pytest.mark.parametrize("padding", [{}, {"padding_idx": 1}], ids=["", "padding"])
def test_words_are_looked_up_in_a_table_that_is_shared_or_of_each_sample(padding: dict[str, Any]) -> None:
    rng, row = np.random.default_rng(4), REGISTRY["embedding"]
    W = rng.normal(size=(N, 4, 3))
    for shape in ((), (2,), (2, 3)):
        ids, w = rng.integers(0, 4, (N, *shape)), rng.normal(size=(N, *shape, 3))
        loss = lambda W, ids, w: (row(W, ids, **padding) * w).sum()
        for tables, words in (((0, W), (0, ids)), ((None, W[0]), (0, ids)), ((0, W), (None, ids[0]))):
            axes, given = (tables[0], words[0]), (tables[1], words[1])
            each = [(x if a == 0 else [x] * N) for a, x in zip(axes, given, strict=True)]
            close(vmap(lambda W, ids: row(W, ids, **padding), axes)(Tensor(given[0]), given[1]),
                  np.stack([row(*one, **padding) for one in zip(*each, strict=True)]))  # fmt: skip
            wanted = np.zeros((N, 4, 3))
            for b in range(N):
                np.add.at(wanted[b], each[1][b], w[b])
            wanted[:, padding.get("padding_idx", 4) :][:, :1] = 0
            close(vmap(grad(loss), (*axes, 0))(*given, w), wanted)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("affine", ((3,), (3,), (6,))), ("affine", ((3,), (6, 3), ())), ("affine", ((3,), (6, 3), (1,))),
        ("affine", ((2, 3), (6, 3), (2, 6))), ("sigmoid_crossentropy", ((), ())),
    ],
)  # fmt: skip
def test_a_layer_of_a_shape_of_its_own_is_that_of_each_sample(name: str, shapes: Any) -> None:
    row, full = REGISTRY[name], [np.random.default_rng(5).normal(size=(N, *shape)) for shape in shapes]
    for axes in itertools.product((0, None), repeat=len(shapes)):
        if any(axis == 0 for axis in axes):
            one = [lambda b, x=x, axis=axis: x[b if axis == 0 else 0] for x, axis in zip(full, axes, strict=True)]
            given = [Tensor(x if axis == 0 else x[0]) for x, axis in zip(full, axes, strict=True)]
            close(vmap(row, axes)(*given), np.stack([row(*(x(b) for x in one)) for b in range(N)]))


def test_a_layer_of_no_samples() -> None:
    for axes in itertools.product((0, None), repeat=3):
        shapes = [((0, *shape) if axis == 0 else shape) for axis, shape in zip(axes, ((3,), (6, 3), (6,)), strict=True)]
        if any(axis == 0 for axis in axes):
            assert vmap(REGISTRY["affine"], axes)(*map(np.ones, shapes)).shape == (0, 6)


@pytest.mark.parametrize("words", [(3,), (3, 2)])
@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 2, 3)])
def test_a_table_of_numbers_or_of_matrices_is_that_of_each_sample(
    shape: tuple[int, ...], words: tuple[int, ...]
) -> None:
    W, ids = np.random.default_rng(4).normal(size=(N, *shape)), np.random.default_rng(5).integers(0, 4, (N, *words))
    close(vmap(REGISTRY["embedding"])(Tensor(W), ids), np.stack([w[i] for w, i in zip(W, ids, strict=True)]))
    for given in (ids, ids - 4, ids.astype("i1"), ids.astype("u8")):  # np.take counts from the end, too
        close(vmap(REGISTRY["embedding"])(Tensor(W), given), np.stack([w[i] for w, i in zip(W, ids, strict=True)]))
    for number in (4, -5, 10**9, -(10**9)):
        with pytest.raises(IndexError, match="out of bounds"):
            vmap(REGISTRY["embedding"])(Tensor(W), np.full_like(ids, number))


# -- Indices: of one sample, with arrays that all share and arrays of each

R, J = np.array([2, 0, 1]), np.array([1, 1, 3])
MASK = np.array([True, False, True])
STATIC: list[Any] = [
    1, -1, np.int64(2), slice(None), slice(2, None, -1), ..., None, (), (1, 2), (..., 1), (1, ...), (slice(1, 3), 0),
    (None, 1), (slice(None), None, 2), (0, ..., None), R, [0, 2], (R, J), (R, slice(None), 1), (slice(None), J),
    (slice(None), J, [1, 0, 0]), (slice(None), J[:, None], [1, 0]), (slice(None), 1, J % 2), (1, slice(None), J % 2),
    (J % 3, slice(None), R % 2), (J % 3, None, 1), (..., R % 2), (R, ..., 0), (0, ..., R % 2), (None, R, None, J),
    MASK, (MASK, 1), (MASK, slice(None), 0), (MASK, slice(None), R[:2] % 2), (slice(None), np.array([True] * 4)),
    (slice(None), J, 0), (slice(None), 0, R % 2), R[:, None], (R[:, None], J), (slice(None), R[None, :] % 2),
    np.zeros(0, int), (slice(None), np.zeros(0, int)), np.array(2), (np.array(2), 1), (np.array(1), slice(None), R % 2),
    np.ones((3, 4), bool), (np.ones((3, 4), bool), 1), np.array([True, False, False]), (1, 2, 1), (1, 2, 1, ...), True,
    np.array(True), np.array(False), (..., True), (..., False), (True, 1), (0, slice(None), True), (True, R),
    (0, slice(None), np.array(True)), (..., np.array(False)), (1, slice(None), np.array(True), R % 2),
    (R[:, None], slice(None), np.array([[0, 1]])),
]  # fmt: skip


@pytest.mark.parametrize("shared", [False, True], ids=["own arrays", "one array"])
def test_an_index_that_all_samples_share(shared: bool) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 4, 2) if shared else (N, 3, 4, 2))
    for index in STATIC:
        parts = [x[index]] * N if shared else [one[index] for one in x]
        w = rng.normal(size=(N, *parts[0].shape))
        if shared:
            found = vmap(lambda w, x, i=index: x[i] * w, (0, None))(w, Tensor(x))
            close(found, np.stack([part * one for part, one in zip(parts, w, strict=True)]))
        else:
            found = vmap(lambda x, i=index: x[i])(Tensor(x))
            close(found, np.stack(parts))
            parted = index if isinstance(index, tuple) else (index,)
            assert length(found) <= 3 or any(np.ndim(p) == 0 and np.array(p).dtype == bool for p in parted), index
        _, pull = vjp(lambda x, i=index: x[i], x if shared else x[0])
        back = vmap(lambda w: pull(w)[0])(w)  # noqa: B023 - from what lies outside
        slopes = vmap(grad(lambda x, w, i=index: (x[i] * w).sum()), (None if shared else 0, 0))(x, w)
        wanted = np.zeros((N, 3, 4, 2))
        for b in range(N):
            np.add.at(wanted[b], index, w[b])
        close(slopes, wanted)
        close(back, wanted)


UPDATES = ("set", "add", "multiply", "min", "max")


@pytest.mark.parametrize("update", UPDATES)
def test_an_update_at_an_index_that_all_samples_share(update: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(N, 3, 4, 2))
    put = lambda x, y, i: getattr(x.at[i], update)(y)
    for index in STATIC:
        shape = x[0][index].shape
        for given in dict.fromkeys((shape, shape[-1:], shape[1:], (), (1, *shape))):
            y = rng.normal(size=(N, *given))
            close(
                vmap(lambda x, y, i=index: put(x, y, i))(Tensor(x), Tensor(y)),
                np.stack([raw(put(Tensor(a), b, index)) for a, b in zip(x, y, strict=True)]),
            )
            close(
                vmap(lambda x, y, i=index: put(x, y, i), (0, None))(Tensor(x), Tensor(y[0])),
                np.stack([raw(put(Tensor(a), y[0], index)) for a in x]),
            )
            close(
                vmap(lambda x, y, i=index: put(x, y, i), (None, 0))(Tensor(x[0]), Tensor(y)),
                np.stack([raw(put(Tensor(x[0]), b, index)) for b in y]),
            )


MOVING: list[Any] = [
    lambda i, j, m: i[0], lambda i, j, m: i, lambda i, j, m: (i[0], j[1]), lambda i, j, m: (i, j),
    lambda i, j, m: (i, 1), lambda i, j, m: (i[:, None], j), lambda i, j, m: (i, j[0]), lambda i, j, m: (i[0], j),
    lambda i, j, m: (1, j), lambda i, j, m: (i, slice(1, 3)), lambda i, j, m: (slice(None), j),
    lambda i, j, m: (slice(1, None), j, 0), lambda i, j, m: (slice(None), j, m),
    lambda i, j, m: (slice(None), j[0], m), lambda i, j, m: (slice(None), None, j),
    lambda i, j, m: (i, slice(None), m), lambda i, j, m: (i, None, j), lambda i, j, m: (..., m),
    lambda i, j, m: (i, ...), lambda i, j, m: (..., j, m), lambda i, j, m: (None, i),
    lambda i, j, m: (slice(None), slice(None), m), lambda i, j, m: (slice(None), slice(None), m[0]),
    lambda i, j, m: (slice(None), j, np.array([0, 1])), lambda i, j, m: (np.array([0, 2]), j),
    lambda i, j, m: (i, slice(None), np.array([0, 1])), lambda i, j, m: (i, j, m), lambda i, j, m: (i[0], j[0], m[0]),
    lambda i, j, m: (i, np.array([[1], [2]])), lambda i, j, m: (slice(None), j, 1), lambda i, j, m: (MASK, j),
    lambda i, j, m: (i, np.array([True, True, False, False])),
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(MOVING)))
def test_an_index_of_each_sample(place: int) -> None:
    rng, where = np.random.default_rng(3), MOVING[place]
    x, (i, j, m) = rng.normal(size=(N, 3, 4, 2)), (rng.integers(0, n, (N, 2)) for n in (3, 4, 2))
    each = list(zip(x, i, j, m, strict=True))
    found = vmap(lambda x, i, j, m: x[where(i, j, m)])(Tensor(x), i, j, m)
    close(found, np.stack([x[where(i, j, m)] for x, i, j, m in each]))
    close(vmap(lambda x, i, j, m: x[where(i, j, m)])(Tensor(x), *map(Tensor, (i, j, m))), found.data)
    shared = vmap(lambda x, i, j, m: x[where(i, j, m)], (None, 0, 0, 0))(Tensor(x[0]), i, j, m)
    close(shared, np.stack([x[0][where(i, j, m)] for _, i, j, m in each]))
    y = rng.normal(size=found.shape)
    slope = grad(lambda x, y, i, j, m: (x[where(i, j, m)] * y).sum())
    wanted = np.zeros(x.shape)
    for b, (_, *index) in enumerate(each):
        np.add.at(wanted[b], where(*index), y[b])
    close(vmap(slope)(x, y, i, j, m), wanted)
    put_back = lambda y, i, j, m: REGISTRY["put"](y, index=where(i, j, m), shape=(3, 4, 2))
    close(vmap(put_back)(Tensor(y), i, j, m), wanted)
    for update in UPDATES:
        put = lambda x, y, i, j, m, update=update: getattr(x.at[where(i, j, m)], update)(y)
        for y in (found.data + 1, rng.normal(size=N), rng.normal(size=(N, *found.shape[2:]))):
            close(
                vmap(put)(Tensor(x), Tensor(y), i, j, m),
                np.stack([raw(put(Tensor(x), Tensor(y), *index)) for (x, *index), y in zip(each, y, strict=True)]),
            )
            close(
                vmap(put, (None, 0, 0, 0, 0))(Tensor(x[0]), Tensor(y), i, j, m),
                np.stack([raw(put(Tensor(x[0]), Tensor(y), *index)) for (_, *index), y in zip(each, y, strict=True)]),
            )
            close(
                vmap(put, (0, None, 0, 0, 0))(Tensor(x), Tensor(y[0]), i, j, m),
                np.stack([raw(put(Tensor(x), Tensor(y[0]), *index)) for x, *index in each]),
            )
