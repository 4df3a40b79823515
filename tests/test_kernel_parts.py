"""What kernels are written with: where an entry lies, as text; what calls become; boxes and places of arrays.

The index that loops write is that of the same entry, of every view of an array.
"""

from itertools import product
from typing import Any

import numpy as np
import pytest
from test_rolled_loops import program

import tinygrad_nn as tg
from tinygrad_nn import compile, grad
from tinygrad_nn.compiled.numba import calls, fuse, indices, scalars
from tinygrad_nn.compiled.numba.lengths import Length
from tinygrad_nn.compiled.program.values import Op, Program, Value
from tinygrad_nn.compiled.trace.operations import frozen, full_index, thawed

X = np.arange(120).reshape(4, 5, 6)
ALL = slice(None)


def names_of(shape: tuple[int, ...], sums: bool = False) -> list[str]:
    """Return the index variables of the axes of a shape; 0 for axes of one entry."""
    return ["0" if n == 1 else f"i{k} + 0" if sums else f"i{k}" for k, n in enumerate(shape)]


def every(shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the values of the index variables for all entries of an array at once."""
    return {f"i{k}": places for k, places in enumerate(np.indices(shape))}


def check(view: np.ndarray, x: np.ndarray, texts: list[str]) -> None:
    """Check that the texts, evaluated, index in `x` the entry (i0, i1, ...) of the view."""
    assert len(texts) == x.ndim
    found = np.broadcast_to(x[tuple(eval(text, every(view.shape)) for text in texts)], view.shape)
    np.testing.assert_array_equal(found, view, err_msg=str(texts))


PARTS: list[Any] = [
    (1,), (-1,), (ALL, 2), (..., 3), (..., -2), (2, ..., 1), (slice(1, 3),), (slice(None, None, 2),),
    (slice(None, None, -1),), (slice(-2, None),), (slice(3, 0, -2), slice(1, None, 3)), (None, 1), (1, None, ALL, None),
    (..., None), (None, ..., slice(2, 4)), (ALL, slice(4, 5)), (slice(1, 2), 0, slice(None, None, -1)), (...,), (),
]  # fmt: skip


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_an_entry_of_a_part(parts: Any, sums: bool) -> None:
    view = X[parts]
    check(view, X, indices.slice_index(frozen(parts), X.shape, names_of(view.shape, sums)))


@pytest.mark.parametrize(
    ("parts", "shape", "index", "texts"),
    [
        ((slice(1, None, 2), 3), (6, 5), ["i"], ["(1 + 2 * i)", "3"]),
        ((slice(2, None),), (6, 5), ["i", "j"], ["(2 + i)", "j"]),
        ((slice(None, None, -1),), (6,), ["i"], ["(5 + -1 * i)"]),
        ((slice(None, None, 3),), (6,), ["i + 1"], ["3 * (i + 1)"]),
        ((slice(2, 3),), (6,), ["0"], ["2"]),
        ((slice(0, 1),), (6,), ["0"], ["0"]),
        ((-1,), (Length(40),), [], ["(rows + -1)"]),
        ((3,), (Length(40),), [], ["3"]),
        ((slice(None, None, -1),), (Length(40),), ["i"], ["((rows + -1) + -1 * i)"]),
        ((slice(-2, None),), (Length(40),), ["i"], ["((rows + -2) + i)"]),
    ],
)  # fmt: skip
def test_how_an_entry_of_a_part_is_written(parts: Any, shape: Any, index: Any, texts: list[str]) -> None:
    assert indices.slice_index(frozen(parts), shape, index) == texts


@pytest.mark.parametrize(
    ("shape", "wide"), [((4, 1), (4, 5)), ((5,), (4, 5)), ((1,), (4, 5)), ((), (4, 5)), ((4, 1, 6), (2, 4, 5, 6))]
)
def test_an_entry_of_an_array_that_is_broadcast(shape: tuple[int, ...], wide: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    check(np.broadcast_to(x, wide), x, indices.broadcast_index(shape, names_of(wide)))


SHAPES = [(24, 5), (4, 6, 5), (2, 12, 5), (120,), (8, 15), (3, 8, 5), (1, 24, 1, 5), (2, 2, 2, 3, 5), (5, 24), (10, 12)]


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_entry_of_an_array_of_another_shape(shape: tuple[int, ...], sums: bool) -> None:
    for source in SHAPES:
        x = np.arange(120).reshape(source)
        check(x.reshape(shape), x, indices.reshape_index(shape, source, names_of(shape, sums)))


def test_axes_that_stay_keep_their_index() -> None:
    assert indices.reshape_index((4, 30), (4, 5, 6), ["i", "j"]) == ["i", "(j // 6)", "j % 6"]
    assert indices.reshape_index((4, 5, 6), (4, 30), ["i", "j", "k"]) == ["i", "(j * 6 + k)"]
    assert indices.reshape_index((1, 4), (4, 1, 1), ["0", "i + 1"]) == ["(i + 1)", "0", "0"]


@pytest.mark.parametrize("start", [0, 7])
@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 1, 6), (1, 5), (6,), (1, 1), ()])
def test_the_place_of_an_entry_in_memory(shape: tuple[int, ...], start: int) -> None:
    for sums in (False, True):
        text = indices.flat_index(shape, names_of(shape, sums), start)
        found = np.broadcast_to(eval(text, every(shape)), shape)
        np.testing.assert_array_equal(found, start + np.arange(np.prod(shape, dtype=int)).reshape(shape))


def test_how_the_place_of_an_entry_is_written() -> None:
    assert indices.flat_index((4, 5), ["i", "j"]) == "j + 5 * i"
    assert indices.flat_index((4, 5), ["i + 1", "j + 1"], 3) == "3 + (j + 1) + 5 * (i + 1)"
    assert indices.flat_index((4, 5), ["2", "3"]) == "3 + 10"
    assert indices.flat_index((4, 5), ["0", "0"]) == "0"
    assert indices.flat_index((4, 5), ["0", "0"], 2) == "2"


def test_an_entry_that_is_read_at_places() -> None:
    places = {0: np.array([[1, 3, 0]]), 1: np.array([[4], [2]])}
    ours: list[Any] = []

    def place(number: int, index: list[str]) -> str:
        ours.append(index)
        shape = places[number].shape
        return f"p{number}[{', '.join('0' if n == 1 else i for n, i in zip(shape, index, strict=True))}]"

    known = {f"p{k}": p for k, p in places.items()}
    turned = X.transpose(0, 2, 1)
    cases: list[tuple[Any, tuple[Any, ...], Any, int]] = [
        (X, (("array", 0), ("array", 1), ALL), X[places[0], places[1]], 0),
        (X, (ALL, ("array", 0), ("array", 1)), X[:, places[0], places[1]], 1),
        (turned, (("array", 0), slice(1, 3), ("array", 1)), turned[places[0], 1:3, places[1]], 0),
        (X, (None, ("array", 0), 2, slice(None, None, -1)), X[None, places[0], 2, ::-1], 1),
        (X, (None, slice(1, 4), ("array", 1), slice(0, 4, 2)), X[None, 1:4, places[1], 0:4:2], 2),
    ]
    for x, parts, view, at in cases:
        ours.clear()
        names = [f"i{k}" for k in range(view.ndim)]
        known_parts = tuple(part if isinstance(part, tuple) else frozen((part,))[0] for part in parts)
        texts = indices.gather_index((known_parts, at, 2), x.shape, names, place)
        assert ours == [names[at : at + 2]] * len(ours)
        index = tuple(eval(text, {**known, **every(view.shape)}) for text in texts)
        np.testing.assert_array_equal(np.broadcast_to(x[index], view.shape), view, err_msg=str(texts))



# -- What calls become


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([], [ALL, ALL, ALL]), ([1], [1, ALL, ALL]), ([None, 1], [None, 1, ALL, ALL]), ([..., 1], [ALL, ALL, 1]),
        ([None, ..., None, 2], [None, ALL, ALL, None, 2]), ([0, ..., 1, 2], [0, 1, 2]),
        ([0, 1, None, 2], [0, 1, None, 2]),
        ([...], [ALL, ALL, ALL]),
    ],
)  # fmt: skip
def test_an_index_has_a_part_for_each_axis(parts: list[Any], whole: list[Any]) -> None:
    assert full_index(parts, 3) == whole


BOXES: list[tuple[Any, ...]] = [
    (0, ALL), (2, ALL), (-1, ALL), (ALL, 1), (slice(0, 2), ALL), (slice(2, 4), ALL), (slice(1, 3), ALL),
    (ALL, slice(3)), (ALL, slice(3, None)), (1, 2), (slice(0, 2), slice(0, 2)), (slice(2, None), slice(1, 3)),
    (slice(-1, None), ALL), (slice(None, None, 2), ALL), (slice(1, None, 2), ALL), (slice(None, None, -1), 4),
    (ALL, ALL), (None, 3, ALL),
]  # fmt: skip


def marked(index: Any) -> Any:
    mask = np.zeros((4, 5), bool)
    mask[tuple(part for part in index if part is not None)] = True
    return mask


def test_boxes_that_have_no_entry_in_common() -> None:
    for a, b in product(BOXES, BOXES):
        apart = not (marked(a) & marked(b)).any()
        steps = any(isinstance(part, slice) and part.step is not None for part in (*a, *b))
        found = calls._disjoint(frozen(a), frozen(b), (4, 5))
        assert found == apart or (steps and not found), (a, b)
    assert not calls._disjoint(frozen((slice(None, None, 2), ALL)), frozen((1, ALL)), (4, 5)), "steps count as all"
    assert calls._disjoint(frozen((slice(None, None, 2), 1)), frozen((1, 2)), (4, 5))


def test_the_boxes_outside_of_an_indexed_box() -> None:
    for index in BOXES:
        boxes = calls._boxes_outside(frozen(index), (4, 5))
        mask = np.zeros((4, 5), int)
        for box in boxes:
            mask[tuple(slice(*ends) for ends in box)] += 1
        cut = [part for part in index if part is not None and part != ALL]
        if len(cut) == 1 and (isinstance(cut[0], int) or cut[0].step is None):
            np.testing.assert_array_equal(mask, ~marked(index))
            assert all(end > start for box in boxes for start, end in box)
        else:
            assert boxes == (((0, 4), (0, 5)),)


def test_places_that_count_from_the_end() -> None:
    np.testing.assert_array_equal(calls.from_start(4, 1, np.array([[0, 3], [-1, -4]], np.int8)), [[0, 3], [3, 0]])
    assert calls.from_start(4, 1, np.array([-1], np.int8)).dtype == np.int64
    assert calls.from_start(4, 0, np.zeros(0, int)).shape == (0,)
    for wrong in (4, -5):
        with pytest.raises(IndexError) as told:
            calls.from_start(4, 1, np.array([1, wrong, 9]))
        assert str(told.value) == f"index {wrong} is out of bounds for axis 1 with size 4"


def kinds(f: Any, *args: Any) -> str:
    return " ".join(op.kind for op in calls.replace_calls(program(f, list(args))).ops)


U, V, W, AT = np.ones(3), np.ones((4, 3)), np.ones((2, 4, 3)), np.array([2, 0, -1, 1])
CROSS = " ".join(["slice"] * 6 + ["ufunc"] * 9 + ["join"])
OPENED: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "cross of two vectors": (np.cross, (U, U + 1), CROSS),
    "cross of rows": (np.cross, (V, V + 1), CROSS),
    "cross of a vector and rows": (np.cross, (U, V), CROSS),
    "cross of rows of rows": (np.cross, (W, V), CROSS),
    "cross of pairs": (np.cross, (V[:, :2], V), f"join {CROSS}"),
    "cross along another axis": (lambda a, b: np.cross(a, b, axis=0), (V.T, V.T),
                                 f"transpose transpose {CROSS} transpose"),
    "cross of two dtypes": (np.cross, (V.astype("f4"), V), "call"),
    "cross of whole numbers": (np.cross, (V.astype(int), V.astype(int)), "call"),
    "a stack": (lambda a, b: np.stack([a, b]), (V, V), "join"),
    "a stack along another axis": (lambda a, b: np.stack([a, b], 1), (V, V), "join"),
    "joined": (lambda a, b: np.concatenate([a, b]), (V, V), "join"),
    "joined and flat": (lambda a, b: np.concatenate([a, b], axis=None), (V, V), "call"),
    "matrix and vector": (np.matmul, (V, U), "reshape matmul reshape"),
    "vector and matrix": (np.matmul, (U, V.T), "reshape matmul reshape"),
    "stacks of matrices and a vector": (np.matmul, (W, U), "call"),
    "vectors": (np.matmul, (U, U + 1), "vdot"),
    "matrix and vector of two dtypes": (np.matmul, (V.astype("f4"), U), "call"),
    "a stack of complex numbers": (lambda a, b: np.stack([a, b]), (V + 0j, V + 0j), "call"),
    "a stack of short numbers": (lambda a, b: np.stack([a, b]), (V.astype("f2"), V.astype("f2")), "call"),
    "a stack of whole numbers of 16 bits": (lambda a, b: np.stack([a, b]), (V.astype("i2"), V.astype("i2")), "call"),
    "a stack of whole numbers": (lambda a, b: np.stack([a, b]), (V.astype("i4"), V.astype("i4")), "join"),
    "a stack of nothing": (lambda a, b: np.stack([a, b]), (V[:0], V[:0]), "call"),
    "a stack of another dtype": (
        lambda a, b: np.stack([a, b], dtype="f4", casting="same_kind"), (V, V), "call"),
    "a number beside an array": (lambda a: np.stack([a, 2.0]), (np.array(1.0),), "call"),
    "joined, of another dtype": (
        lambda a, b: np.concatenate([a, b], dtype="f4", casting="same_kind"), (V, V), "call"),
    "vector and stacks of matrices": (np.matmul, (V[:, 0], W), "call"),
    "places that two read": (lambda a, b, i: (a[i], b[i]), (V, V + 1, AT), "call gather gather"),
    "places of another axis": (lambda a, i: a[i][:, i], (V, AT), "call gather call gather"),
    "places of another axis, as long": (lambda a, i: a[i][:, i], (np.ones((4, 4)), AT), "call gather gather"),
    "places in short numbers": (lambda a, b, i: (a[i], b[i]), (V.astype("i2"), V, AT), "call call gather"),
    "places that are known": (lambda a: a[[0, 2]], (V,), "gather"),
    "places where something holds": (lambda a: a[np.array([True, False, True, False])], (V,), "gather"),
    "True after places": (lambda a, i: a[i, True], (V, AT), "call"),
    "True before places": (lambda a, i: a[True, i], (V, AT), "call"),
    "True alone": (lambda a: a[True], (V,), "call"),
    "an array that is True": (lambda a, i: a[i, np.array(True)], (V, AT), "call"),
    "a list of truth values": (lambda a: a[[True, False, True, False]], (V,), "call"),
    "a number and places": (lambda a, i: a[np.int64(2), i], (V, AT[:3] % 3), "call gather"),
    "rows that are set": (lambda a, b: tg.Tensor(a).at[1:3].set(b), (V, V[:2]), "call"),
    "128 rows of 128": (np.matmul, (np.ones((128, 128)), np.ones(128)), "reshape matmul reshape"),
    "129 rows of 128": (np.matmul, (np.ones((129, 128)), np.ones(128)), "call"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPENED)
def test_a_call_becomes_what_kernels_can_do(name: str) -> None:
    f, args, wanted = OPENED[name]
    assert kinds(f, *args) == wanted
    made = program(f, list(args))
    called = [(op.name, op.out) for op in made.ops if op.kind == "call"]
    calls.replace_calls(made)
    for call, out in called:
        op = out.op
        assert op is not None
        assert (op.name, op.outs) == (call, [out]), "it keeps its name and its result"
        assert op.kind == "call" or op.function is (np.vdot if op.kind == "vdot" else None)


def test_cross_products_in_kernels(plain_kernels: None, rng: np.random.Generator) -> None:
    pytest.importorskip("numba")
    f = lambda a, b: np.cross(a, b) * 2.0 + 1.0
    for first, second in (((3,), (3,)), ((4, 3), (3,)), ((2, 4, 3), (4, 3))):
        a, b = rng.normal(size=first), rng.normal(size=second)
        np.testing.assert_array_equal(compile(f, backend="numba")(a, b), f(a, b))


def test_what_crosses_pieces_of_straight_code_lies_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(scalars, "PIECE", 4)


    def chain(x: Any, n: int) -> Any:
        for _ in range(n):
            x = x * 0.5 + 1.0
        return x

    made = fuse.fuse(program(lambda x, y: chain(x * y, 12) + chain(y, 12) * x, [np.array(0.5), np.array(0.25)]))
    (kernel,) = [op.function for op in made.ops if isinstance(op.function, scalars.Straight)]
    assert [len(piece) for piece in kernel.pieces[:-1]] == [4] * (len(kernel.pieces) - 1)
    piece = {op.out: k for k, some in enumerate(kernel.pieces) for op in some}
    crossing = {x for op in piece if op.op for x in op.op.values if x in piece and piece[x] != piece[op]}
    assert set(kernel.scratch) == crossing
    (pool,) = {pool for pool, _ in kernel.scratch.values()}
    assert pool.shape == (len(crossing),)
    assert sorted(place for _, place in kernel.scratch.values()) == list(range(len(crossing)))
    assert kernel.outs == [made.outputs[0], pool]


def single(number: int, kind: str) -> Value:
    return Value(number, "made", (), np.dtype(kind))


def test_more_than_a_few_numbers_of_one_dtype_come_in_one_array() -> None:
    few = [single(k, "f8") for k in range(scalars.FEW)]
    assert scalars._gathered(few) == ([], {}, [])
    many, flags = [*few, single(99, "f8")], [single(k, "b1") for k in range(scalars.FEW + 3)]
    (pool, other), places, (first, second) = scalars._gathered([*many, *flags, single(5, "f4")])
    assert [(x.kind, x.shape, x.dtype.str, x.op) for x in (pool, other)] == [
        ("made", (len(many),), "<f8", first), ("made", (len(flags),), "|b1", second)
    ]  # fmt: skip
    assert places == {**{x: (pool, k) for k, x in enumerate(many)}, **{x: (other, k) for k, x in enumerate(flags)}}
    assert [(op.kind, op.name, op.args, op.attrs, op.outs) for op in (first, second)] == [
        ("call", "gather", many, (), [pool]), ("call", "gather", flags, (), [other])
    ]  # fmt: skip
    packed = first.function(*range(len(many)))
    assert (packed.dtype, packed.tolist()) == (np.dtype(float), list(range(len(many))))


def test_many_results_are_parts_of_one_array() -> None:
    n = scalars.FEW + 1
    made = fuse.fuse(program(lambda x: [x * k + 1.0 for k in range(2, n + 2)], [np.array(0.5)]))
    (kernel,) = [op.function for op in made.ops if isinstance(op.function, scalars.Straight)]
    (pool,) = kernel.outs
    assert [kernel.scratch[x] for x in made.outputs] == [(pool, k) for k in range(n)]
    assert [(op.kind, op.name, op.function, op.args, op.attrs, op.outs) for op in kernel.after] == [
        ("slice", "getitem", None, [pool], ((k,),), [x]) for k, x in enumerate(made.outputs)
    ]  # fmt: skip
    assert all(x.op is op for op, x in zip(kernel.after, made.outputs, strict=True))
    assert kernel.length() == 2 * n


@pytest.mark.parametrize("count", range(2, 10))
def test_every_operation_lies_in_a_piece(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "PIECE", 4)

    def f(x: Any) -> Any:
        for k in range(count):
            x = x * 0.5 if k % 2 else x + 1.0
        return x

    made = program(f, [np.array(0.5)])
    work = list(made.ops)
    kernel = scalars.Straight(work, [made.outputs[0]])
    assert [op for piece in kernel.pieces for op in piece] == work
    assert [len(piece) for piece in kernel.pieces] == [*[4] * (count // 4), *[count % 4] * (count % 4 > 0)]
    assert kernel.length() == count


P = np.array([0, 2, 1, -1, 3, 0, 2])  # of a length that nothing else has
INDICES: list[Any] = [
    (P,), (None, P), (P, None, P), (ALL, P, 2), (2, ALL, P), (1, P), (ALL, P, P), (..., P), (None, ALL, P),
    (P, slice(1, 3), None), (ALL, P, None, 1), (None, None, P, P, 1), (P[:, None], ALL, P[:1]), (0, ..., None, P),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=lambda index: " ".join("P" if x is P else str(x) for x in index))
def test_where_the_axes_of_an_index_of_arrays_stand(index: Any) -> None:
    given = tuple(calls._constant(part) if isinstance(part, np.ndarray) else part for part in index)
    found = calls.CallReplacer(Program([], [], [])).parsed(given, X.shape)
    assert found is not None
    (parts, at, axes), arrays = found
    selected = X[index].shape
    assert selected.index(7) == at
    assert axes == max(part.ndim for part in index if isinstance(part, np.ndarray))
    filled = [arrays[part[1] - 1].data if isinstance(part, tuple) and part[0] == "array" else part for part in parts]
    np.testing.assert_array_equal(X[thawed(tuple(filled))], X[index])
    assert all((array.data >= 0).all() for array in arrays)
    assert calls._selected_shape((parts, at, axes), arrays, X.shape) == selected


def boxed(x: Value, shape: tuple[int, ...], *boxes: Any, more: tuple[Value, ...] = ()) -> Value:
    """Return a Value: an array of zeros in which the arguments are put into boxes."""
    out = Value(0, "made", shape, np.result_type(x.dtype, *(y.dtype for y in more)))
    out.op = Op("join", "put", None, [x, *more], (tuple(map(frozen, boxes)), (((0, shape[0]), (0, shape[1])),)), [out])
    return out


def computed(ops: list[Op], known: dict[Value, Any]) -> dict[Value, Any]:
    """Run operations that add, multiply and join."""
    for op in ops:
        args = [known[x] if isinstance(x, Value) else x for x in op.args]
        if op.kind == "join":
            whole = np.full(op.out.shape, np.nan)
            for box in op.attrs[1]:
                whole[tuple(slice(*ends) for ends in box)] = 0.0
            for x, box in zip(args, op.attrs[0], strict=True):
                whole[thawed(box)] = x
            known[op.out] = whole.astype(op.out.dtype)
        else:
            known[op.out] = op.function(*args)
    return known


HIGH, LOW, LEFT = (slice(0, 2), ALL), (slice(2, 4), ALL), (ALL, slice(0, 2))
ROW, RIGHT = (slice(3, 4), ALL), (ALL, slice(3, 5))
# the boxes of two arrays of zeros, and the operations that their sum becomes
SUMS: dict[str, tuple[Any, Any, str]] = {
    "of one box": ([HIGH], [HIGH], "add join"),
    "of all that there is": ([HIGH], [LOW], "add add join"),
    "of two boxes": ([HIGH], [ROW], "add add join"),
    "of boxes side by side": ([LEFT], [RIGHT], "add add join"),
    "of boxes that meet": ([HIGH], [LEFT], "join join add"),
    "of three boxes": ([LEFT, RIGHT], [(ALL, 2)], "add add add join"),
    "of twice the same two": ([LEFT, RIGHT], [LEFT, RIGHT], "join join add"),
}  # fmt: skip


@pytest.mark.parametrize("name", SUMS)
def test_a_sum_of_zeros_with_something_in_them_is_one_array(name: str) -> None:
    left, right, wanted = SUMS[name]
    known: dict[Value, Any] = {}

    def given(box: Any) -> Value:
        x = np.random.default_rng(len(known)).choice([-0.0, 0.0, 1.5, -2.0], marked(box)[box].shape)
        value = Value(-1 - len(known), "input", x.shape, x.dtype)
        known[value] = np.full_like(x, 1.5) if box == (ALL, 2) else x
        return value

    a, b = (boxed(given(some[0]), (4, 5), *some, more=tuple(map(given, some[1:]))) for some in (left, right))
    total = Value(3, "made", (4, 5), np.dtype(float))
    total.op = Op("ufunc", "add", np.add, [a, b], (), [total])
    before = [a.op, b.op, total.op]
    sums = computed(before, dict(known))[total]
    ops = calls.replace_calls(Program(before, list(known), [total])).ops
    assert " ".join(op.name for op in ops).replace("put", "join") == wanted
    found = computed(ops, known)[total]
    np.testing.assert_array_equal(found, sums)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(sums))
    assert len({out.number for op in ops for out in op.outs}) >= wanted.count("add")
    assert ops[-1].out is total
    assert total.op is ops[-1]


X4, X5 = Value(-1, "input", (2, 5), np.dtype("f4")), Value(-2, "input", (2, 5), np.dtype(float))
WHOLE, ONE = Value(-3, "input", (2, 5), np.dtype(int)), Value(-4, "input", (5,), np.dtype(float))
NO_SUMS: dict[str, tuple[Any, Any, Any]] = {  # two arrays, and the function
    "a product": (lambda: boxed(X5, (4, 5), HIGH), lambda: boxed(X5, (4, 5), LOW), np.multiply),
    "whole numbers": (lambda: boxed(WHOLE, (4, 5), HIGH), lambda: boxed(WHOLE, (4, 5), LOW), np.add),
    "two dtypes": (lambda: boxed(X4, (4, 5), HIGH), lambda: boxed(X5, (4, 5), LOW), np.add),
    "two shapes": (lambda: boxed(ONE, (1, 5), (0, ALL)), lambda: boxed(X5, (4, 5), LOW), np.add),
    "what is no array of zeros": (lambda: X5, lambda: boxed(X5, (2, 5), HIGH), np.add),
}


@pytest.mark.parametrize("name", NO_SUMS)
def test_other_sums_stay(name: str) -> None:
    left, right, function = NO_SUMS[name]
    a, b = left(), right()
    out = Value(3, "made", np.broadcast_shapes(a.shape, b.shape), np.result_type(a.dtype, b.dtype))
    out.op = Op("ufunc", "f", function, [a, b], (), [out])
    before = [x.op for x in (a, b, out) if x.op]
    assert calls.replace_calls(Program(before, [], [out])).ops == before


def test_an_array_of_zeros_that_something_else_reads_is_made() -> None:
    a, b = boxed(X5, (4, 5), HIGH), boxed(X5, (4, 5), LOW)
    out = Value(3, "made", (4, 5), np.dtype(float))
    out.op = Op("ufunc", "add", np.add, [a, b], (), [out])
    before = [a.op, b.op, out.op]
    assert calls.replace_calls(Program(before, [], [out, a])).ops == before


def test_zeros_that_are_added_once_are_not_added_again() -> None:
    of_rows = grad(lambda a: np.sin(a[:1]).sum() + np.cos(a[1:2]).sum() + np.exp(a[2:3]).sum())
    ops = calls.replace_calls(program(of_rows, [V])).ops
    assert [op.args[1] for op in ops if op.function is np.add] == [0.0] * 3
    (joined,) = [op for op in ops if op.kind == "join"]
    assert len(joined.args) == len(joined.attrs[0]) == 3


def test_the_gradient_of_a_new_axis_is_a_view() -> None:
    assert kinds(grad(lambda a: (np.sin(a[None]) * W[:1]).sum()), V).split()[-1] == "reshape"
