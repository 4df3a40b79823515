"""What every test gets: a generator of its own, fixed examples in CI, no window, and no way to skip in CI."""

import os
import shutil
import sys
import zlib
from collections.abc import Generator
from typing import Any

import hypothesis
import numpy as np
import pytest

from tinygrad_nn.compare.budget import patience

# programs that need other frameworks; what they found is recorded, and the tests read that
collect_ignore_glob = [
    "reference/make_*.py", "benchmarks/peers/*.py", "from_pytorch/scripts/*.py", "from_pytorch/record.py",
]  # fmt: skip

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(autouse=True, scope="session")
def searches_take_time() -> Generator[None]:
    """What a search finds does not hang on how fast the machine is."""
    with patience(5.0):
        yield

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Generator seeded by the name of the test: the same numbers each run, others in the next test."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def pytest_runtest_teardown() -> None:
    """Figures that a test leaves open would count in the tests after it, and more than twenty are a warning."""
    plots = sys.modules.get("matplotlib.pyplot")
    if plots is not None:
        plots.close("all")


@pytest.fixture
def plain_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels run as the Python that they are written in, without numba; what is done by `native` is left to NumPy."""
    from tinygrad_nn.compiled.numba import fuse, machine

    space: dict[str, Any] = {"np": np, "prange": range, "exp8": np.exp, "kept_as": lambda *_, **__: lambda f: f}
    kinds = {"f4": np.float32, "f8": np.float64, "i4": np.int32, "i8": np.int64, "b1": np.bool_, "u1": np.uint8}

    def straight(code: str, arrays: Any) -> None:
        flat = {f"a{k}": x.reshape(-1) if isinstance(x, np.ndarray) else x for k, x in enumerate(arrays)}
        exec(code, {**space, **kinds, **flat})

    monkeypatch.setattr(machine, "head", lambda: {**space, **kinds, "straight": straight})
    monkeypatch.setattr(fuse, "available", lambda: False)
    monkeypatch.setattr(machine, "available", lambda: False)


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
    "test_play_browser": (),
    "test_recording_page": (),
    "test_model_explorer": ("test_model_explorer_opens_it",),
    "test_report": (),  # each test trains and draws
    "test_messy_tables": (),
    "test_onnx": (),  # each model runs in two programs
    "test_polynomial": (),
    "test_from_pytorch": (),  # scripts and calls, against records
    "test_nn_as_in_pytorch": (),
    "test_autograd_door": (),
    "test_scipy_solvers": (),
    "test_scipy_array_api": (),
    "test_lines": (),  # each looks for a change of the source
    "test_sklearn": (),
    "test_frames": (),
    "test_loops": (),
    "test_images": (),
    "test_cli_drawings": ("test_explore_writes_the_page_the_animation_or_both", "test_what_is_wrong_is_said_in_a_line"),
    "test_backward": (
        "test_a_long_chain_goes_forward_back_and_away_without_recursion_or_collector",
        "test_training_leaves_nothing_behind_for_the_collector",
    ),
    "test_benchmarks": (),
    "test_native": (),  # their functions are compiled first
    "test_native_attention": (),
    "test_compile": (
        "test_every_primitive_compiles_to_the_same_numbers", "test_derivatives_of_higher_order",
        "test_a_plan_prints_at_80_columns_and_is_a_graph", "test_a_donated_weight_is_read_before_it_is_written",
        "test_backward_inside_a_step", "test_outer_products_of_rows_are_added_up_at_any_size",
        "test_what_lives_after_the_first_call_are_buffers_constants_and_results",
    ),
    "test_compare": (
        "test_a_mistake_is_named", "test_right_gradients_raise_no_alarm", "test_the_example_names_twelve_mistakes",
        "test_the_page_forbids_scripts_and_a_browser_shows_all_of_it",
    ),
    "test_cli": (
        "test_a_write_that_fails_leaves_the_run_before_it", "test_options_work_together",
        "test_the_same_seed_gives_the_same_bits_and_another_seed_others", "test_train_refuses",
        "test_train_is_main_jl", "test_many_classes_fit_80_columns", "test_a_table_of_classes_goes_there_and_back",
    ),
    "test_docs": ("test_python_blocks_print_what_the_page_shows",),
    "test_fit_models": ("test_a_run_that_was_interrupted_ends_as_one_that_was_not",),
    "test_graph": ("test_a_chain_of_100000_does_not_recurse",),
    "test_house": (
        "test_a_skip_fails_in_ci_only", "test_module_is_short_documented_and_free_of_forbidden_code",
        "test_no_modules_import_each_other_in_a_circle", "test_no_room_uses_private_names_of_another",
    ),
    **dict.fromkeys((
        "test_kinks", "test_trace", "test_compile_check", "test_compile_limits", "test_code_cache", "test_rewrites",
        "test_compare_parts", "test_compare_record", "test_compile_sweep", "test_diagnosis", "test_hostile_names",
        "test_conventions", "test_kinds", "test_source", "test_steps", "test_operations", "test_museum",
        "test_students", "test_compare_function", "test_compare_numbers",
    ), ()),
    "test_io": ("test_what_would_be_refused_is_not_written", "test_every_changed_bit_is_refused"),
    "test_layers": ("test_gradients_of_two_orders_are_the_numerical_ones",),
    "test_metrics": ("test_losses_are_their_definitions",),
    "test_manual": (
        "test_cross_entropies_are_exact_for_any_z", "test_each_entry_of_the_gradient_is_the_numerical_one",
        "test_gradient_along_a_random_direction_is_the_numerical_one",
        "test_gradients_with_one_more_activation_are_the_numerical_ones",
        "test_float32_stays_float32_and_is_close_to_float64",
    ),
    "test_manual_layers": ("test_an_equation_that_is_a_thousandth_off_is_rejected",),
    "test_optim": ("test_it_minimises_a_bowl",),
    "test_primitives": (
        "test_gradients_with_respect_to_complex_arguments_are_the_numerical_ones",
        "test_layout_in_memory_does_not_matter",
        "test_float32_in_gives_float32_out_and_back",
    ),
    "test_random_graphs": (
        "test_gradients_of_programs_of_hundreds_of_operations", "test_gradients_of_random_programs",
        "test_second_derivatives_of_random_programs",
    ),
    "test_roads": ("test_right_gradients_of_the_iris_data_as_it_is_agree",),
    "test_solver_fit": ("test_iris_is_learnt_on_average_over_twenty_seeds",),
    "test_solver_gradients": ("test_three_roads_meet", "test_three_roads_meet_with_one_more_activation",
                              "test_three_roads_meet_in_every_entry"),
    "test_tasks": (),
    "test_viz": (
        "test_a_long_chain_and_deep_scopes_do_not_recurse", "test_figures_are_saved_whole_and_the_same_each_time",
        "test_counts_fit_their_cells_and_names_their_columns",
    ),
    "test_viz_training": ("test_a_network_is_saved",),
    "test_known": ("test_where_a_row_is_smooth_at_ties_and_zeros_the_rules_have_its_derivatives",),
    "test_models_hard": (
        "test_every_changed_bit_of_a_small_checkpoint_is_refused", "test_every_optimizer_goes_on_bit_for_bit",
    ),
    "test_degenerate": ("test_second_derivatives_of_functions_of_eigenvalues",),
    "test_viz_models": ("test_names_come_from_a_model_or_from_the_models_among_the_variables",),
}  # fmt: skip


# Of the longest tables only one row in so many stays in the quick part.
SAMPLED = {
    "test_value_shape_and_dtype_are_those_of_numpy": 12,
    "test_methods_and_numpy_functions_make_the_same_node": 12,
    "test_gradients_are_the_numerical_ones": 12,
    "test_forward_and_objective_are_what_the_definitions_say": 8,
    "test_what_a_line_advises_runs": 8,
    "test_a_move_is_the_update_bit_for_bit": 8,
    "test_no_other_training_goes_on_with_a_checkpoint": 4,
    "test_values_and_gradients_are_those_of_the_graph": 3,
    "test_float32_stays_float32_and_nothing_given_is_changed": 3,
    "test_each_subset_of_the_arguments_has_the_derivatives_of_the_whole": 12,
    "test_a_tensor_that_numpy_does_not_tell_us_of_raises_or_is_differentiated": 12,
    "test_constants_may_be_lists_numbers_scalars_and_constant_tensors": 12,
    "test_constants_may_be_integers": 12,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if " at 0x" in item.name:  # processes that share the tests would not agree about its name
            raise pytest.UsageError(f"{item.nodeid}: give its parameters ids; an address is another in each process.")
        name = getattr(item, "originalname", None)
        names = SWEEPS.get(item.path.stem)
        sampled = name in SAMPLED and zlib.crc32(item.name.encode()) % SAMPLED[name]
        if sampled or (names is not None and (not names or name in names)):
            item.add_marker(pytest.mark.slow)
