"""The tasks in examples/ run, at a small size, and do what they say; docs/examples.md tells their full results."""

import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *arguments: Any, **options: Any) -> Any:
    return example(name).main(*arguments, **options)


def test_thirty_lines_are_thirty_lines_and_tell_the_moons_apart() -> None:
    source = (ROOT / "examples" / "thirty_lines.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) == 30
    assert re.findall(r"^from tinygrad_nn.*", source, flags=re.MULTILINE) == ["from tinygrad_nn import Tensor"]
    assert run("thirty_lines", 300) > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["joblib", "dask", "ray"])
def test_a_sweep_finds_the_same_on_each_pool(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = example("sweep")
    monkeypatch.setattr(sweep, "RATES", (0.01, 0.1))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    if pool == "ray":  # too large to install for a test: what the example calls of it, in this process
        there: list[str] = []
        ray: Any = ModuleType("ray")
        ray.init = lambda **options: there.append("started")
        ray.remote = lambda function: SimpleNamespace(remote=function)
        ray.get, ray.shutdown = list, lambda: there.append("stopped")
        monkeypatch.setitem(sys.modules, "ray", ray)
    losses = sweep.main(pool, None, 2)
    np.testing.assert_allclose(losses, [sweep.score(rate, width, 2) for rate in sweep.RATES for width in sweep.WIDTHS])
    assert pool != "ray" or there == ["started", "stopped"]


@pytest.mark.parametrize(("pool", "module"), [("joblib", "joblib"), ("dask", "dask.distributed"), ("ray", "ray")])
def test_a_sweep_says_what_its_pool_needs(pool: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit, match=rf"This pool needs: pip install '?{pool}"):
        run("sweep", pool)


def test_newton_finds_where_the_slope_of_the_evidence_is_zero() -> None:
    (_, _, noise), size = run("newton", 40)
    assert size < 1e-8
    assert 0.05 < noise < 0.2


def test_the_parameters_of_the_pendulum_are_found_through_the_integrator() -> None:
    found = run("ode", 120, 25)
    true = example("ode").TRUE
    assert all(abs(found[name] - value) < 0.1 for name, value in true.items())


def test_a_users_right_rule_passes_and_a_wrong_one_does_not() -> None:
    good, bad, accuracy = run("own_layer", 15)
    assert good
    assert not bad
    assert accuracy > 0.9


def test_the_residual_network_beats_the_straight_line() -> None:
    r2, straight = run("residual_table", 1500, 15, 32)
    assert r2 > straight > 0.6


def test_the_autoencoder_learns_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, last = run("vae", 8, 32, 4, 600)
    assert last < first
    assert (tmp_path / "vae.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_convolutional_network_reads_digits() -> None:
    assert run("digits_cnn", 8, 8) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_a_language_model_learns_more_than_how_often_characters_occur(kind: str) -> None:
    assert run("language_models", kind, 6, 32, 24, 600) < 3.1


def test_how_often_characters_occur_is_worth_what_the_example_says() -> None:
    from tinygrad_nn import load_sonnets

    p = np.bincount(load_sonnets().codes) / 8642
    assert math.isclose(-(p * np.log(p)).sum(), 3.1, abs_tol=0.06)


def test_every_example_is_on_the_page() -> None:
    page = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    assert [name for name in EXAMPLES if f"examples/{name}.py" not in page] == []
