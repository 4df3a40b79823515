"""Every layer and every example runs compiled, with both backends, as it does without."""

import runpy
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.make_convolution import numbers
from reference.make_layers import ROWS, Row, given
from test_layers import made, run

import tinygrad_nn as tg
from tinygrad_nn.compiled import compile, functional
from tinygrad_nn.tree import flatten

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
EPS = np.finfo(float).eps
backends = pytest.mark.parametrize("backend", ["numpy", "numba"])


def with_backend(backend: str, request: pytest.FixtureRequest) -> str:
    """Run numba's kernels as plain Python, since compiling all of them would take an hour."""
    if backend == "numba":
        pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")
        request.getfixturevalue("plain_kernels")
    return backend


def close(found: Any, wanted: Any, roundings: float) -> None:
    for a, b in zip(flatten(found)[0], flatten(wanted)[0], strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        slack = roundings * np.finfo(b.dtype).eps if b.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=0, atol=slack * max(1, np.abs(b).max(initial=0)))  # of terms of order 1


def step_of(row: Row) -> tuple[Any, list[Any], list[Any]]:
    """Return a layer as a function of its parameters, its statistics and its inputs, with these."""
    layer = made(row)
    owners = {id(buffer): (module, name) for module in layer.modules() for name, buffer in vars(module).items()}
    places = [owners[id(buffer)] for _, buffer in layer.named_buffers()]
    parameters = [p for _, p in layer.named_parameters()]
    names = list(given(row))

    def total(*inputs: Any) -> Any:
        outs = run(row, layer, dict(zip(names, inputs, strict=True)))
        return sum((out * numbers(out.shape, 101 + k)).sum() for k, out in enumerate(outs))

    pure = functional(total, parameters, list(layer.modules()), places)
    floats = [x for x in given(row).values() if x.dtype.kind == "f"]

    def step(values: Any, kept: Any, *inputs: Any) -> Any:
        moved = (0, *(2 + k for k, x in enumerate(inputs) if x.dtype.kind == "f")) if parameters or floats else ()
        return tg.value_and_grad(pure, argnums=moved, has_aux=True)(values, kept, *inputs)

    return step, [p.data for p in parameters], [np.asarray(getattr(owner, name)) for owner, name in places]


@backends
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.ours} {row.call}")
def test_every_layer_runs_compiled(row: Row, backend: str, request: pytest.FixtureRequest) -> None:
    step, values, kept = step_of(row)
    f = compile(step, backend=with_backend(backend, request))
    inputs = list(given(row).values())
    for k in range(3):  # other values, and in other memory from the second call on
        ours = [x * (1 + 0.1 * k) if x.dtype.kind == "f" else np.roll(x, k) for x in inputs]
        ours = [np.repeat(x, 2, axis=-1)[..., ::2] if k == 1 else np.asfortranarray(x) if k else x for x in ours]
        weights = [w * (1 + 0.1 * k) for w in values]
        close(f(weights, kept, *ours), step(weights, kept, *ours), 4096)
    assert not any(isinstance(plan, str) for plan in f.plans.values())


SMALL: dict[str, dict[str, Any]] = {
    "digits_cnn": {"epochs": 4, "channels": 2, "rows": 48},
    "language_models": {"epochs": 2, "width": 4, "time": 5, "rows": 64},
    "newton": {"rows": 9},
    "ode": {"epochs": 3, "points": 6},
    "own_layer": {"epochs": 2},
    "residual_table": {"rows": 120, "epochs": 2, "width": 4},
    "vae": {"epochs": 1, "hidden": 4, "latent": 2, "rows": 70},
}


@pytest.mark.slow
@backends
@pytest.mark.parametrize("name", [*SMALL, "language_models transformer"])
def test_every_example_runs_compiled(
    name: str, backend: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, _, kind = name.partition(" ")
    main = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    how = SMALL[name] | ({"kind": kind or "lstm"} if name == "language_models" else {})
    wanted = main(**how)
    space = main.__globals__
    backend = with_backend(backend, request)
    if "fit" in space:
        space["fit"] = partial(space["fit"], compile=backend)
    else:
        for name in ("grad", "hessian"):
            space[name] = lambda f, of=space[name]: compile(of(f), backend=backend)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="compiled")
        found = main(**how)
    close(found, wanted, 2**33)  # many steps, and Adam's are whole where a gradient is rounding: half of the digits
