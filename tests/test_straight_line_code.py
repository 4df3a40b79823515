"""Straight code: thousands of operations on single numbers as machine code without loops, in pieces.

Arithmetic gives NumPy's bits; exponentials and their like may differ in the last digits.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_passes import name, program

import tinygrad_nn as tg
from tinygrad_nn import compile
from tinygrad_nn.compiled.numba import fuse, scalars
from tinygrad_nn.compiled.numba.expressions import BITS, COSTLY, SCALAR
from tinygrad_nn.compiled.numba.scalars import Straight
from tinygrad_nn.compiled.program.values import VIEWS, Op

pytest.importorskip("numba")
F4, F8 = np.float32, np.float64
ULPS = 8  # of functions that NumPy and the library of C compute each in its own way
STRANGE = [0.0, -0.0, 1.0, -1.5, 0.3, 3e-310, -3e-310, 1e300, -1e300, 88.0, 710.0, np.inf, -np.inf, np.nan]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_NN_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield


def groups(f: Any, *args: Any) -> list[Straight]:
    """Return the straight kernels of a plan."""
    kernels = [op.function for op in f.plan(*args).program.ops if op.kind == "kernel"]
    return [kernel for kernel in kernels if isinstance(kernel, Straight)]


def bits(x: Any) -> Any:
    """Return shape, dtype and bits of a result, to compare; all NaNs count as equal."""
    x = np.asarray(x)
    return x.shape, x.dtype, np.where(x == x, x, 0).tobytes(), (x == x).tobytes()


# -- Every operation that straight code has

BOTH = [u for u in (*SCALAR, *BITS) if u.nin == 2]
ONE = [u for u in (*SCALAR, *BITS) if u.nin == 1]


def every(x: Any, y: Any, m: Any, n: Any, u: Any, v: Any) -> dict[str, Any]:
    """Return each ufunc of floats, of whole numbers and of truth values, and what else straight code does."""
    found = {}
    for f in ONE:
        for of, a in (("x", x), ("m", m), ("u", u)):
            found[f"{f.__name__} {of}"] = _tried(f, a)
    for f in BOTH:
        for of, a, b in (("x", x, y), ("m", m, n), ("u", u, v)):
            found[f"{f.__name__} {of}"] = _tried(f, a, b)
    for k in (0.5, -0.5, 2.0, 3.0):
        found[f"to the {k}"], found[f"of {k}"] = x**k, np.power(k, y)
    found["where"], found["where whole"] = np.where(u, x, y), np.where(u, m, 3)
    for to in ("f4", "f8", "b1"):
        found[f"x to {to}"], found[f"m to {to}"], found[f"u to {to}"] = x.astype(to), m.astype(to), u.astype(to)
    found["m to i4"], found["u to i8"], found["m to u1"] = m.astype("i4"), u.astype("i8"), m.astype("u1")
    found["negative to i8"], found["negative to u1"] = (m - 100).astype("i8"), (m - 100).astype("u1")
    return {key: value for key, value in found.items() if value is not None}


def _tried(f: Any, *args: Any) -> Any:
    if f in COSTLY and args[0].dtype.kind != "f":
        return None
    try:
        return f(*args)
    except TypeError:
        return None


@pytest.mark.parametrize("dtypes", [(F8, np.int64), (F4, np.int32)], ids=["double", "single"])
def test_each_operation_gives_what_numpy_gives(dtypes: tuple[Any, Any]) -> None:
    real, whole = dtypes
    f, plain = (compile(every, backend=backend) for backend in ("numba", "numpy"))
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        for round in range(24):
            x, y = (real(rng.choice(STRANGE) if round % 3 else rng.normal()) for _ in "xy")
            m, n = (whole(rng.integers(-5, 99)) for _ in "mn")
            args = [x, y, m, n, np.bool_(rng.random() < 0.5), np.bool_(rng.random() < 0.5)]
            args = [np.asarray(a) for a in args]
            found = f(*args)
            for key, b in plain(*args).items():
                a = found[key]
                if key.split()[0] in {u.__name__ for u in COSTLY} | {"to", "of"} and np.isfinite(b):
                    assert np.asarray(a).dtype == b.dtype
                    assert abs(a - b) <= ULPS * np.spacing(abs(b)), (key, x, y, a, b)
                else:
                    assert bits(a) == bits(b), (key, args, a, b)
    assert groups(f, *args)


def test_fractions_become_whole_numbers_and_bytes() -> None:
    def f(x: Any, y: Any) -> Any:
        return (x * y).astype("u1"), (x + y).astype("u1"), (x - y).astype("i4"), (x * y).astype("f4").astype("u1")

    quick = compile(f, backend="numba")
    for x, y in [(20.5, 10.2), (0.7, 0.2), (100.0, 2.559), (254.9, 1.0)]:
        args = np.asarray(x), np.asarray(y)
        assert [(a.dtype, int(a)) for a in quick(*args)] == [(b.dtype, int(b)) for b in f(*args)]
    assert groups(quick, *args)


# -- Random programs, cut into pieces

STEPS: list[Callable[..., Any]] = [
    lambda x, y, z: x + y, lambda x, y, z: x - 0.25 * y, lambda x, y, z: x * y, lambda x, y, z: x / (z * z + 1),
    lambda x, y, z: np.where(x > y, x, z), lambda x, y, z: np.maximum(x, y), lambda x, y, z: np.minimum(x, z),
    lambda x, y, z: np.abs(x) - y, lambda x, y, z: np.sqrt(x * x + 0.5), lambda x, y, z: 1 / (x * x + 2),
    lambda x, y, z: np.clip(x, -0.75, y), lambda x, y, z: -x, lambda x, y, z: np.sign(x) * y,
    lambda x, y, z: x.astype(F4) * y, lambda x, y, z: x.reshape((1,))[0] + z, lambda x, y, z: np.where(x != x, y, x),
    lambda x, y, z: np.logical_and(x > 0, y < z) * x, lambda x, y, z: np.floor(x) * 0.5 + z,
]  # fmt: skip


def random(seed: int, length: int) -> Callable[..., Any]:
    """Return a program of so many steps of a scalar, a number, a vector and a single; it returns some of its values."""
    rng = np.random.default_rng(seed)
    chosen = [(STEPS[rng.integers(len(STEPS))], *rng.integers(1, 12, 3), rng.random() < 0.1) for _ in range(length)]

    def run(x: Any, y: Any, v: Any, s: Any) -> Any:
        pool = [x, x * y, v[0], v[-1], s * v[1], s]
        for f, a, b, c, far in chosen:
            z = pool[a % len(pool)] if far else pool[-int(c) % len(pool)]
            pool.append(f(pool[-int(a) % len(pool)], pool[-int(b) % len(pool)], z) * 0.5)
        return pool[-1] + pool[-2], pool[len(pool) // 2], pool[len(pool) // 3] * x

    return run


def given(seed: int, strange: bool = False) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    x, y, s = rng.normal(size=3)
    v = rng.normal(size=4)
    if strange:
        v[rng.integers(4)], x = rng.choice(STRANGE, 2)
    return np.asarray(x), float(y), v, F4(s)


def total(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: sum(f(*args))


@pytest.mark.parametrize("seed", range(2))
def test_pieces_of_random_programs_give_the_bits_of_numpy(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "PIECE", 9)
    f = random(seed, 90)
    plain = compile(f, backend="numba")
    both = tg.value_and_grad(total(f))
    slope, wanted_slope = (compile(both, backend=backend) for backend in ("numba", "numpy"))
    with np.errstate(all="ignore"):
        for call in range(4):
            args = given(call, strange=call > 1)
            for found, wanted in zip(plain(*args), f(*args), strict=True):
                assert bits(found) == bits(wanted)
            assert [bits(x) for x in slope(*args)] == [bits(x) for x in wanted_slope(*args)]
    assert max(len(kernel.pieces) for kernel in groups(plain, *args)) > 3
    assert groups(slope, *args)


def wave(x: Any, y: Any, rounds: int = 60) -> Any:
    z = x
    for k in range(rounds):
        z = np.sin(1.01 * z) + 0.1 * y * np.exp(-z * z) if k % 5 else np.tanh(z) * x
    return z


@pytest.mark.parametrize("dtype", [F8, F4])
def test_long_programs_and_their_second_derivative(dtype: Any) -> None:
    """Some thousand operations; how a change of the last digits grows along them is seen in the other dtype."""
    slope = tg.grad(tg.grad(wave))
    f = compile(slope)  # which is numba by itself: a line takes a hundredth of one with a loop
    for x in (0.3, 0.7, -0.2):
        args = np.asarray(dtype(x)), np.asarray(dtype(0.5))
        found, wanted, exact = f(*args), slope(*args), slope(*(a.astype(F8) * (1 + 1e-12) for a in args))
        slack = abs(exact - wanted) if dtype is F4 else abs(exact - wanted) / 1e3
        assert found.dtype == dtype
        assert abs(found - wanted) <= 16 * (slack + np.spacing(abs(wanted)))
    (kernel,) = groups(f, *args)
    assert len(kernel.pieces) > 4


def test_a_scan_runs_straight_code_in_each_step() -> None:
    def step(carry: Any, x: Any) -> Any:
        y = carry
        for _ in range(40):
            y = 0.5 * y + x / (y * y + 1)
        return y, y * x

    def end(w: Any, xs: Any) -> Any:
        last, ys = tg.scan(step, w, xs)
        return last + ys.sum()

    f = compile(tg.value_and_grad(end, argnums=(0, 1)), backend="numba")
    for seed in range(3):
        rng = np.random.default_rng(seed)
        args = rng.normal(), rng.normal(size=5)
        (a, (da, dxs)), (b, (db, dys)) = f(*args), tg.value_and_grad(end, argnums=(0, 1))(*args)
        np.testing.assert_allclose([a, da, *dxs], [b, db, *dys], rtol=1e-13, atol=1e-13)
    (plan,) = f.plans.values()
    bodies = [op.function for body in plan.code.bodies for op in body.code.program.ops if op.kind == "kernel"]
    assert sum(isinstance(kernel, Straight) for kernel in bodies) >= 2


# -- Which operations it takes


def kinds(f: Callable[..., Any], *args: Any) -> str:
    """Return the kinds of what a plan runs, in order: straight kernels, kernels of loops, and others."""
    ops = [op for op in compile(f, backend="numba").plan(*args).program.ops if op.kind not in VIEWS]
    return " ".join("straight" if isinstance(op.function, Straight) else op.kind for op in ops)


def chain(x: Any, n: int) -> Any:
    for _ in range(n):
        x = x * 0.5 + 1.0
    return x


V = np.arange(4.0)


@pytest.mark.parametrize(
    ("f", "args", "wanted"),
    [
        (lambda x: chain(x, 3), (F8(1.0),), "straight"),
        (lambda x: chain(x[2], 3) * x[0], (V,), "straight"),
        (lambda x: chain(x, 3), (V,), "kernel"),
        (lambda x: x * chain(x.sum(), 3), (V,), "kernel"),  # too few to be worth a call
        (lambda x: x * chain((x * x).sum(), scalars.MANY), (V,), "kernel straight ufunc"),
        (lambda x, y: (chain(y, scalars.MANY), np.sin(x) * 2), (V, F8(1.0)), "straight kernel"),
        (lambda x: chain(chain(chain(x.sum(), 40) * x, 1).sum(), 40), (V,), "kernel straight kernel straight"),
        (lambda x, y: x * chain(y, 20) * chain(x.sum(), 20), (V, F8(1.0)), "kernel"),  # two stages, each too short
        (lambda x: chain(np.linalg.det(x.reshape(2, 2)), 40), (V,), "call straight"),
    ],
)
def test_stages(f: Any, args: Any, wanted: str) -> None:
    assert kinds(f, *args) == wanted


def kernel(text: str, given: str) -> tuple[Op, Straight]:
    (op,) = [op for op in fuse.fuse(program(text, given)).ops if op.kind not in VIEWS]
    return op, op.function


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ("(a + b + 1, a * b)", ["", "ab"]),  # the first is there before the second has read both
        ("(a * 2 + 1) * b", ["ab"]),
        ("(a * 2 + b, np.sin(b) + 1)", ["a", "ab"]),
    ],
)
def test_results_overwrite_arguments_that_are_read_for_the_last_time(text: str, over: list[str]) -> None:
    op, made = kernel(text, "zero zero")
    outs = [v for v in made.outs if v.number > 0]
    assert ["".join(sorted(name(x) for x in op.args if made.over(x, out))) for out in outs] == over
    assert not made.over(op.args[0], op.args[1]), "which is not made here"


def test_a_donated_array_of_one_number_is_written_over() -> None:
    def step(w: Any, x: Any) -> Any:
        return w - 0.1 * chain(w, 5) * x

    f = compile(step, backend="numba", donate=(0,))
    w = np.array([0.5])
    for x in (1.0, 2.0, 3.0):
        wanted = step(w.copy(), x)
        found = f(w, x)
        assert found is w
        assert bits(w) == bits(wanted)


def test_constants_stand_in_the_lines() -> None:
    table = np.array([0.1, -0.0, np.inf, 3.0])

    def terms(x: Any) -> Any:
        return [*(x * table[k] + F8(k) for k in range(4)), np.power(F8(-0.5), x) + 1]

    f = compile(terms, backend="numba")
    (made,) = groups(f, np.asarray(2.0))
    assert len(made.args) == 1
    with np.errstate(all="ignore"):
        for x in (2.0, -0.0):
            assert [bits(y) for y in f(np.asarray(x))] == [bits(y) for y in terms(F8(x))]


def test_many_numbers_come_and_leave_in_one_array_of_each_dtype() -> None:
    def f(given: dict[str, Any]) -> Any:
        y = given["f8"][0] * 0.5
        for a, b, c, d, e in zip(*given.values(), strict=True):
            y = np.where(e, a * b + c, y * a) + d * 0.25
        halves = [c * np.float32(0.5) + y for c in given["f4"]]
        wholes, flags = [d * 2 + 1 for d in given["i8"]], [~e for e in given["b1"]]
        return y, halves, [b * b + 1.0 for b in given["f8"]], wholes, flags

    def given(seed: int) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        n = scalars.FEW + 3
        x, a, c, d, e = (rng.normal(size=n), rng.normal(size=n), rng.normal(size=n).astype(F4),
                         rng.integers(-9, 9, n), rng.random(n) < 0.5)  # fmt: skip
        return {"weak": x.tolist(), "f8": [*map(F8, a)], "f4": [*map(np.asarray, c)], "i8": list(d), "b1": list(e)}

    quick = compile(f, backend="numba")
    for seed in range(3):
        args = given(seed)
        for found, wanted in zip(tg.tree.flatten(quick(args))[0], tg.tree.flatten(f(args))[0], strict=True):
            assert bits(found) == bits(wanted)
    (made,) = groups(quick, args)
    assert {x.dtype.name: x.size // len(args["b1"]) for x in made.args} == {
        "float64": 2, "float32": 1, "int64": 1, "bool": 1,
    }  # fmt: skip
    assert len(made.args) == 4
    both = [compile(tg.grad(lambda p: sum(f({**args, "f8": p})[1])), backend=b) for b in ("numba", "numpy")]
    assert [bits(x) for x in both[0](args["f8"])] == [bits(x) for x in both[1](args["f8"])]
