"""What every test gets: a generator of its own, fixed examples in CI, no window, and no way to skip in CI."""

import os
import shutil
import zlib
from collections.abc import Generator
from typing import Any

import hypothesis
import numpy as np
import pytest

# programs that need other frameworks; what they found is recorded, and the tests read that
collect_ignore_glob = ["reference/make_*.py", "benchmarks/peers/*.py"]

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

os.environ["MPLBACKEND"] = "Agg"

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Generator seeded by the name of the test: the same numbers each run, others in the next test."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def browser() -> Generator[Any]:
    """A real Chromium without a window; where there is none, tests that need it are skipped, and fail in CI."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium on the PATH: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[test]'")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """A test that is skipped in CI is run nowhere, so there it counts as failed."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and CI must run every test. It said: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


# Sweeps that are only worth their time before a change lands; `pytest -m "not slow"` leaves them out.
SWEEPS = {
    "test_explore": (),  # all of it: its pages are opened in a browser
    "test_live_browser": (),
    "test_compare": ("test_a_mistake_is_named", "test_right_gradients_raise_no_alarm"),
    "test_cli": ("test_a_write_that_fails_leaves_the_run_before_it", "test_options_work_together"),
    "test_solver_gradients": ("test_three_roads_meet",),
    "test_primitives": (
        "test_gradients_with_respect_to_complex_arguments_are_the_numerical_ones",
        "test_layout_in_memory_does_not_matter",
        "test_float32_in_gives_float32_out_and_back",
    ),
    "test_manual": (
        "test_gradient_along_a_random_direction_is_the_numerical_one",
        "test_float32_stays_float32_and_is_close_to_float64",
    ),
    "test_random_graphs": ("test_gradients_of_programs_of_hundreds_of_operations", "test_gradients_of_random_programs"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = SWEEPS.get(item.path.stem)
        if names is not None and (not names or getattr(item, "originalname", None) in names):
            item.add_marker(pytest.mark.slow)
