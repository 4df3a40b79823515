"""What every test gets: a generator of its own, fixed examples in CI, no window, and no way to skip in CI."""

import os
import zlib
from collections.abc import Generator

import hypothesis
import numpy as np
import pytest

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

os.environ["MPLBACKEND"] = "Agg"

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Generator seeded by the name of the test: the same numbers each run, others in the next test."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


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
