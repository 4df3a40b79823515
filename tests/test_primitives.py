"""The table of cases, row by row: values, gradients of two orders, dtypes, layouts, broadcasting; nothing left out.

Every derivative is compared along random directions under random cotangents with a numerical one, which
tests/test_gradcheck.py shows to reject a rule that is a thousandth wrong.
"""

import inspect
import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from cases import CASES
from cases.case import Case

from tinygrad_nn import Tensor, no_grad
from tinygrad_nn.backward import ancestors
from tinygrad_nn.gradcheck import check_gradients
from tinygrad_nn.ops import plain
from tinygrad_nn.primitive import OVERRIDES, REGISTRY, Primitive
from tinygrad_nn.transforms import pullback
from tinygrad_nn.tree import flatten

OWN_SIGNATURE = {"reshape", "transpose", "put"}  # whose methods, as those of an ndarray, take other arguments
ATTEMPTS = 20
MARGIN = 0.05  # of an interval, left out at either end


# -- Arguments


def generator(what: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(str(what).encode()))


def interval(case: Case, slot: int) -> tuple[float, float]:
    domain = case.domain
    if not isinstance(domain[0], tuple):
        return domain
    return domain[slot]


def apart(low: float, high: float, size: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers in an interval, in random order, well apart from each other and, if it has a zero inside, from that."""
    grid = np.linspace(low, high, size + size % 2)[:size] if size > 1 else np.full(size, low + 0.7 * (high - low))
    gap = (high - low) / max(size, 2)
    return rng.permutation(grid + rng.uniform(-0.2, 0.2, size) * gap * (np.abs(grid) < max(-low, high) - gap))


def arguments(case: Case, imaginary: bool = False, attempt: int = 0) -> list[np.ndarray]:
    """Draw the arrays of a case; equal each time, others in another attempt."""
    rng = generator(f"{case} {attempt}")
    given = [np.array(shape) if isinstance(shape, np.ndarray) else None for shape in case.shapes]
    sizes = [0 if array is not None else math.prod(shape) for array, shape in zip(given, case.shapes, strict=True)]
    bounds = []
    for slot in range(len(given)):
        low, high = interval(case, slot)
        bounds.append((low + MARGIN * (high - low), high - MARGIN * (high - low)))
    if case.distinct and len(set(bounds)) == 1:
        entries = np.split(apart(*bounds[0], sum(sizes), rng), np.cumsum(sizes)[:-1])
    elif case.distinct:
        entries = [apart(*ends, size, rng) for ends, size in zip(bounds, sizes, strict=True)]
    else:
        entries = [rng.uniform(*ends, size) for ends, size in zip(bounds, sizes, strict=True)]
    arrays = [
        flat.reshape(shape) if array is None else array
        for array, flat, shape in zip(given, entries, case.shapes, strict=True)
    ]
    if imaginary:
        arrays = [np.asarray(a + 1j * rng.uniform(0.2, 0.8, a.shape)) if a.dtype.kind == "f" else a for a in arrays]
    for array in arrays:
        array.flags.writeable = False  # so that a forward or a rule that writes into an argument raises
    return arrays


def moving(case: Case, arrays: Sequence[np.ndarray]) -> list[int]:
    """Which arrays have a gradient."""
    wanted = case.differentiable or (True,) * len(arrays)
    return [i for i, array in enumerate(arrays) if wanted[i] and array.dtype.kind in "fc"]


def with_constants(case: Case, arrays: Sequence[np.ndarray]) -> Callable[..., Any]:
    """The call as a function of the arrays that have a gradient."""

    def f(*moved: Any) -> Any:
        full = list(arrays)
        for i, x in zip(moving(case, arrays), moved, strict=True):
            full[i] = x
        return case.call(*full)

    return f


def gradients(case: Case, arrays: Sequence[np.ndarray], cotangents: Sequence[Any] | None = None) -> tuple[list, list]:
    """The results on Tensors, and the gradients of the sum of cotangent times result."""
    tensors = [Tensor(arrays[i]) for i in moving(case, arrays)]
    outs = [out for out in flatten(with_constants(case, arrays)(*tensors))[0] if isinstance(out, Tensor)]
    if cotangents is None:
        rng = generator(case.name)
        cotangents = [rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1, 1], out.shape) for out in outs]
    totals: list[Any] = [np.zeros_like(t.data) for t in tensors]
    for out, c in zip(outs, cotangents, strict=True):
        if out.dtype.kind in "fc":
            cotangent = np.asarray(c, dtype=out.dtype)
            cotangent.flags.writeable = False
            found = pullback(out, tensors, cotangent)
            for t, g in zip(tensors, found, strict=True):
                assert type(g) is np.ndarray, "a gradient of arrays is an array"
                assert (g.shape, g.dtype) == (t.shape, t.dtype), "a gradient has the shape and dtype of its argument"
            totals = [a + b for a, b in zip(totals, found, strict=True)]
    return outs, totals


def same_bits(found: Any, wanted: Any) -> bool:
    """Whether two arrays are equal to the last bit, as most are; NumPy's own comparison takes twenty times as long."""
    arrays = type(found) is type(wanted) is np.ndarray
    return arrays and (found.dtype, found.shape) == (wanted.dtype, wanted.shape) and found.tobytes() == wanted.tobytes()


def close(found: Any, wanted: Any, rtol: float = 1e-12) -> None:
    if same_bits(found, wanted):
        return
    size = np.abs(wanted)[np.isfinite(wanted)].max(initial=0.0)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * size)


# -- Rows that the table need not spell out: elementwise primitives tell all by themselves


def is_elementwise(primitive: Primitive) -> bool:
    """Try whether each entry of the result comes from the corresponding entries of the arguments alone."""
    if primitive.jointly or not 1 <= primitive.arity <= 3:
        return False
    if not isinstance(primitive.forward, np.ufunc):
        parameters = list(inspect.signature(primitive.forward).parameters.values())
        if any(p.default is p.empty for p in parameters[primitive.arity :]):
            return False
    elif primitive.forward.signature is not None:
        return False
    arrays = drawn(primitive, ((2, 3),) * primitive.arity)
    try:
        whole = np.asarray(primitive(*arrays))
        single = [primitive(*parts) for parts in zip(*(a.ravel() for a in arrays), strict=True)]
        column = np.asarray(primitive(*(a[:, :1] for a in arrays)))
    except (ValueError, TypeError, IndexError):
        return False
    same = np.shape(whole) == (2, 3) and np.array_equal(whole, np.reshape(single, (2, 3)), equal_nan=True)
    return bool(same and np.array_equal(whole[:, :1], column, equal_nan=True))


def drawn(primitive: Primitive, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    return arguments(row(primitive, shapes))


def row(primitive: Primitive, shapes: Sequence[tuple[int, ...]], note: str = "") -> Case:
    domain = primitive.domain or ((-2.0, 2.0),)
    return Case(
        primitive.name,
        primitive,
        tuple(shapes),
        tuple(domain[min(i, len(domain) - 1)] for i in range(len(shapes))),
        distinct=True,
        order=2 if any(primitive.vjps) else 0,
        differentiable=tuple(rule is not None for rule in primitive.vjps),
        note=note,
    )


ELEMENTWISE = sorted((p for p in REGISTRY.values() if is_elementwise(p)), key=lambda p: p.name)
NAMED = {case.name for case in CASES} | {case.name.split(".")[-1] for case in CASES}
ROWS = CASES + [row(p, ((2, 3),) * p.arity, "automatic") for p in ELEMENTWISE if p.name not in NAMED]
each_row = pytest.mark.parametrize("case", ROWS, ids=str)
each_elementwise = pytest.mark.parametrize("primitive", ELEMENTWISE, ids=lambda p: p.name)


# -- What every row must hold


@each_row
def test_value_shape_and_dtype_are_those_of_numpy(case: Case) -> None:
    arrays = arguments(case)
    before = [array.copy() for array in arrays]
    wanted = flatten((case.reference or case.call)(*arrays))[0]
    for tensors in ([Tensor(a) for a in arrays], [Tensor(a, requires_grad=False) for a in arrays]):
        found = flatten(case.call(*tensors))[0]
        assert len(found) == len(wanted)
        floats = [a for a, b in zip(found, wanted, strict=True) if np.asarray(b).dtype.kind in "fc"]
        assert not floats or any(isinstance(a, Tensor) for a in floats), "arrays in place of Tensors"
        for a, b in zip(found, wanted, strict=True):
            plain = np.asarray(b)
            data = a.data if isinstance(a, Tensor) else np.asarray(a)
            assert type(data) is np.ndarray
            assert (data.shape, data.dtype) == (plain.shape, plain.dtype)
            close(data, plain)
    assert all(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in zip(arrays, before, strict=True))


@each_row
def test_gradients_are_the_numerical_ones(case: Case) -> None:
    _check(case, imaginary=False)


@pytest.mark.parametrize("case", [c for c in ROWS if c.complex], ids=str)
def test_gradients_with_respect_to_complex_arguments_are_the_numerical_ones(case: Case) -> None:
    arrays = arguments(case, imaginary=True)
    found, wanted = flatten(case.call(*map(Tensor, arrays)))[0], flatten((case.reference or case.call)(*arrays))[0]
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype) == (np.shape(b), np.asarray(b).dtype)
        close(a.data, b)
    _check(case, imaginary=True)


def _check(case: Case, imaginary: bool) -> None:
    for attempt in range(ATTEMPTS):  # of two arguments of a maximum, one may happen to be the smaller everywhere
        arrays = arguments(case, imaginary, attempt)
        before = [array.copy() for array in arrays]
        outs, found = gradients(case, arrays)
        points = [arrays[i] for i in moving(case, arrays)]
        if case.order == 0 or not any(out.size for out in outs) or not any(x.size for x in points):
            assert not any(np.any(g) for g in found)  # a zero gradient, or nothing to differentiate
            return
        report = check_gradients(
            with_constants(case, arrays), *points, order=case.order, rng=generator(case), directions=1, entries=0,
            complex_step=True if case.analytic and not imaginary else None,
        )  # fmt: skip
        assert all(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in zip(arrays, before, strict=True))
        if not report.unseen and not report.blind:
            break
    assert report.ok, str(report)
    assert not report.unseen, str(report)


@each_row
def test_float32_in_gives_float32_out_and_back(case: Case) -> None:
    single = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arguments(case)]
    double = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in single]
    wanted = flatten((case.reference or case.call)(*single))[0]
    found = flatten(case.call(*map(Tensor, single)))[0]
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == np.asarray(b).dtype
    outs, _ = gradients(case, single)
    cotangents = [generator(case).uniform(0.5, 1.5, out.shape) for out in outs]
    for a, b in zip(gradients(case, single, cotangents)[1], gradients(case, double, cotangents)[1], strict=True):
        assert a.dtype == np.float32
        close(a, b.astype(np.float32), rtol=2e-3)


def layouts(x: np.ndarray) -> Iterator[np.ndarray]:
    """The same numbers, laid out in memory in other ways."""
    yield np.asfortranarray(x) if x.ndim else x
    if x.ndim:
        yield np.ascontiguousarray(x[::-1])[::-1]
        yield np.repeat(x, 2, axis=-1)[..., ::2]


@each_row
def test_layout_in_memory_does_not_matter(case: Case) -> None:
    arrays = arguments(case)
    outs, wanted = gradients(case, arrays)
    for variant in zip(*(itertools.cycle(list(layouts(a))) for a in arrays), range(3), strict=False):
        laid_out = [*variant[:-1]]
        for a in laid_out:
            a.flags.writeable = False
        others, found = gradients(case, laid_out)
        for a, b in zip([o.data for o in others] + found, [o.data for o in outs] + wanted, strict=True):
            close(a, b, rtol=1e-9)


@each_row
def test_methods_and_numpy_functions_make_the_same_node(case: Case) -> None:
    arrays = arguments(case)
    tensors = [Tensor(a) for a in arrays]
    out = case.call(*tensors)
    if not isinstance(out, Tensor) or out.is_leaf or any(p and p.parents for p in out.node.parents):
        return  # made of no operation, or of several
    primitive, meta = out.node.primitive, {k: v for k, v in out.node.meta.items() if k in out.node.primitive.metadata}
    inputs = [t for p in out.node.parents for t in tensors if t.node is p]
    if primitive.jointly or len(inputs) != primitive.arity or primitive.name in OWN_SIGNATURE:
        return
    attribute = getattr(inputs[0], primitive.name)
    forms = [attribute if callable(attribute) else lambda: attribute]
    functions = [f for f in primitive.numpy if OVERRIDES[f] is primitive]
    for form in [lambda *rest, _f=f, **meta: _f(inputs[0], *rest, **meta) for f in functions] + forms:
        again = form(*inputs[1:], **meta)
        assert again.node.primitive is primitive
        assert [p is q for p, q in zip(again.node.parents, out.node.parents, strict=True)] == [True] * len(inputs)
        np.testing.assert_array_equal(again.data, out.data)


# -- Broadcasting, for every elementwise primitive

SHAPES: list[tuple[int, ...]] = [(), (3,), (1, 3), (4, 1, 3), (0, 3)]


def value_of(primitive: Primitive, args: list[Any]) -> np.ndarray:
    made = primitive.forward(*args)
    return np.asarray(made[0] if primitive.saves else made)


@each_elementwise
def test_every_pair_of_shapes_broadcasts_forward_and_back(primitive: Primitive) -> None:
    for shapes in itertools.product(SHAPES, repeat=min(primitive.arity, 2)):
        case = row(primitive, (*shapes, *((3,),) * (primitive.arity - 2)))
        arrays = arguments(case)
        out = primitive(*map(Tensor, arrays))
        wanted = value_of(primitive, arrays)
        assert (out.shape, out.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_array_equal(out.data, wanted)
        if primitive.arity == 1 or (0, 3) in shapes or case.order == 0:
            gradients(case, arrays)  # shapes and dtypes
        else:
            report = check_gradients(
                with_constants(case, arrays), *(arrays[i] for i in moving(case, arrays)),
                rng=generator(case), directions=1, entries=0,
            )  # fmt: skip
            assert report.ok, f"{shapes}: {report}"


@each_elementwise
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_python_numbers_and_arrays_mix_with_tensors(primitive: Primitive, dtype: type) -> None:
    arrays = [a.astype(dtype) for a in drawn(primitive, ((3,),) * primitive.arity)]
    for kept in range(primitive.arity):
        number = [a if i == kept else float(a[0]) for i, a in enumerate(arrays)]
        for mixed in (number, arrays):
            t = Tensor(arrays[kept])
            out = primitive(*(t if i == kept else x for i, x in enumerate(mixed)))
            wanted = value_of(primitive, mixed)
            assert (out.shape, out.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_array_equal(out.data, wanted)
            (found,) = pullback(out, [t], np.ones_like(out.data))
            assert (found.shape, found.dtype) == (t.shape, t.dtype)


@each_elementwise
def test_constants_are_not_recorded(primitive: Primitive) -> None:
    arrays = drawn(primitive, ((3,),) * primitive.arity)
    assert primitive(*(Tensor(a, requires_grad=False) for a in arrays)).node is None
    assert isinstance(np.asarray(primitive(*arrays)), np.ndarray)
    with no_grad():
        assert primitive(*map(Tensor, arrays)).node is None


# -- Nothing is left out


def full_name(function: Any) -> str:
    """The name under which NumPy's docs list a function: add, linalg.norm, fft.fft."""
    if isinstance(function, tuple):
        return f"{function[0].__name__}.{function[1]}"
    module = (getattr(function, "__module__", None) or "numpy").removeprefix("numpy").removeprefix(".")
    return f"{module}.{function.__name__}".removeprefix(".")


def missing_rows(primitives: Sequence[Primitive], overrides: dict[Any, Any], rows: Sequence[Case]) -> list[str]:
    """What is declared and has no row: primitives that no row runs, NumPy functions that no row names."""
    run: set[str] = set()
    named = {case.name for case in rows} | {case.name.split(".")[-1] for case in rows}
    for case in rows:
        outs = flatten(case.call(*map(Tensor, arguments(case))))[0]
        for out in outs:
            if isinstance(out, Tensor) and out.node is not None:
                run |= {node.primitive.name for node in ancestors([out.node]) if node.primitive is not None}
    wrong = [f"primitive {p.name}" for p in primitives if p.name not in run | named]
    for function, handler in overrides.items():
        if isinstance(handler, Primitive) or getattr(handler, "__module__", None) == plain.__name__:
            continue  # a primitive, counted above; a question, which has no derivative
        if not {full_name(function), full_name(function).split(".")[-1]} & named:
            wrong.append(f"NumPy function {full_name(function)}")
    return wrong


def test_every_declared_primitive_and_numpy_function_has_a_row() -> None:
    assert not missing_rows(list(REGISTRY.values()), OVERRIDES, ROWS)


def test_the_search_for_missing_rows_finds_them() -> None:
    ghost = Primitive("ghost", lambda x: x, [(lambda g, out, x: g, "g")], "x")
    wrong = missing_rows([ghost, REGISTRY["exp"]], {np.polyval: lambda x: x}, [c for c in ROWS if c.name == "exp"])
    assert wrong == ["primitive ghost", "NumPy function polyval"]


@pytest.mark.parametrize("primitive", REGISTRY.values(), ids=lambda p: p.name)
def test_every_primitive_and_every_rule_has_tex_with_balanced_braces(primitive: Primitive) -> None:
    rules = [primitive.jointly] if primitive.jointly else primitive.vjps
    assert len(rules) == len(primitive.rule_tex)
    for rule, tex in zip(rules, primitive.rule_tex, strict=True):
        assert (rule is None) == (tex is None)
    for tex in [primitive.tex, *filter(None, primitive.rule_tex)]:
        assert tex.strip()
        assert tex.count("{") == tex.count("}")
