"""The table of what can be differentiated, and the page and the record that are made from it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tinygrad_nn import supported
from tinygrad_nn.primitive import OVERRIDES, REGISTRY, numpy_name

ROOT = Path(__file__).resolve().parents[1]

# every NumPy function that the project promises, by the rooms of the rule tables
PROMISED = """
    absolute add angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt clip conjugate copysign cos cosh
    deg2rad degrees divide exp exp2 expm1 fabs float_power fmax fmin fmod heaviside hypot i0 imag interp ldexp log
    log10 log1p log2 logaddexp logaddexp2 maximum minimum modf multiply nan_to_num negative positive power rad2deg
    radians real real_if_close reciprocal remainder select piecewise sign sin sinc sinh sqrt square subtract tan
    tanh trunc unwrap where floor ceil rint floor_divide sum mean prod max min var std median quantile percentile
    average ptp nansum nanmean nanprod nanmax nanmin nanvar nanstd nanmedian trapezoid add.reduce add.accumulate
    add.outer multiply.reduce multiply.accumulate multiply.outer cumsum cumprod cumulative_sum cumulative_prod
    diff ediff1d gradient sort partition argsort argmax convolve correlate polyval vander
    lib.stride_tricks.sliding_window_view dot vdot vecdot matvec vecmat inner outer matmul tensordot einsum kron
    cross trace linalg.norm linalg.vector_norm linalg.matrix_norm linalg.inv linalg.pinv linalg.det linalg.slogdet
    linalg.solve linalg.lstsq linalg.cholesky linalg.qr linalg.svd linalg.svdvals linalg.eig linalg.eigvals
    linalg.eigh linalg.eigvalsh linalg.matrix_power linalg.multi_dot linalg.cond linalg.tensorinv
    linalg.tensorsolve reshape ravel transpose permute_dims matrix_transpose swapaxes moveaxis rollaxis
    expand_dims squeeze broadcast_to broadcast_arrays atleast_1d atleast_2d atleast_3d concatenate stack unstack
    vstack hstack dstack column_stack block append insert delete split array_split hsplit vsplit dsplit tile
    repeat pad roll rot90 flip fliplr flipud diag diagonal diagflat tril triu full full_like linspace meshgrid
    copy astype resize apply_along_axis take take_along_axis choose compress extract fft.fft fft.ifft fft.rfft
    fft.irfft fft.hfft fft.ihfft fft.fft2 fft.ifft2 fft.rfft2 fft.irfft2 fft.fftn fft.ifftn fft.rfftn fft.irfftn
    fft.fftshift fft.ifftshift cov corrcoef nancumsum nancumprod logspace geomspace polyfit polyadd polysub polymul
    polydiv polyder polyint poly roots add.reduceat multiply.reduceat maximum.reduceat apply_over_axes bincount
    histogram histogram2d histogramdd frexp nextafter spacing trim_zeros unique unique_values unique_counts
    unique_inverse unique_all union1d intersect1d setdiff1d setxor1d bitwise_and bitwise_or bitwise_xor invert
    left_shift right_shift bitwise_count gcd lcm emath.sqrt emath.log emath.log2 emath.log10 emath.logn emath.power
    emath.arccos emath.arcsin emath.arctanh
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def make_rules() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_rules", ROOT / "docs" / "make_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_function_is_there_and_has_a_case(name: str) -> None:
    rows = supported(f"np.{name}")
    assert rows
    assert rows[0].forms > 0 or rows[0].kind == "plain"


def test_the_page_and_the_record_are_fresh(make_rules: ModuleType) -> None:
    record = make_rules.RECORD.read_text("utf-8")
    for path, text in make_rules.texts().items():
        assert path.read_text("utf-8") == text, f"{path.name} is stale: run python docs/make_rules.py"
    assert make_rules.RECORD.read_text("utf-8") == record, "the record is stale: run python docs/make_rules.py"


def test_every_primitive_has_a_row_with_its_equation() -> None:
    rows = {name for row in supported() if row.kind == "primitive" for name in row.primitives}
    assert rows == set(REGISTRY)
    for row in supported():
        if row.kind == "primitive":
            assert row.tex
            assert len(row.rules) == max(1, len(REGISTRY[row.primitives[0]].vjps))


def test_every_override_has_a_row() -> None:
    functions = {row.function for row in supported() if row.function.startswith("np.")}
    assert functions == {numpy_name(f) for f in OVERRIDES}  # np.clip is the name of a function and of a ufunc


def test_rows_are_read_in_a_terminal() -> None:
    assert str(supported("np.tanh")).splitlines()[:2] == ["np.tanh: tanh x", "  gradient: g (1 − out²)"]
    for row in supported():
        assert "\\" not in str(row), "TeX"
        assert max(map(len, str(row).splitlines())) <= 80



def test_rows_by_name() -> None:
    assert supported("np.linalg.norm")[0].kind == "composition"
    assert "vector_norm" in supported("linalg.norm")[0].primitives
    assert supported("np.floor")[0].orders == "zero"
    assert supported("np.argmax")[0].kind == "plain"
    assert supported("np.abs") == supported("absolute")
    assert supported("softmax")[0].function == "tinygrad_nn.softmax"
    assert "half" in supported("np.maximum")[0].conventions
    assert supported("np.fft.fft")[0].dtypes.endswith("complex128")
    with pytest.raises(ValueError, match=r"np\.require has no derivative rule.*t\.astype\(np\.float32\)"):
        supported("np.require")
    with pytest.raises(ValueError, match=r"similar names are .*np\.linalg\.norm"):
        supported("np.linalg.nrm")
