"""The suites: what to install, where the tests come from, how to run them, what is left out and why."""

from dataclasses import dataclass

PARAMETRIC = (
    "(Parametric or Piecewise or LogNormal or LogLogistic or Weibull or GeneralizedGamma or Exponential or AFT or "
    "CustomRegression or MixtureCure) and not CoxPH"
)


@dataclass(frozen=True)
class Suite:
    """One project's tests.

    Attributes:
        package: the name and version to install.
        tests: the folder of its source that is copied and run in.
        command: arguments for pytest; none where each file of the folder is a program that is run.
        git: where the source is, for those whose source distribution has no tests.
        besides: packages that the tests need.
        without: what is left out, and why.
    """

    package: str
    tests: str
    command: tuple[str, ...] = ()
    git: str = ""
    besides: tuple[str, ...] = ()
    without: str = ""


SUITES = {
    "pymanopt": Suite(
        "pymanopt==2.2.1", "tests",
        ("--noconftest", "-p", "shim", ".", "--ignore", "test_examples.py", "--ignore", "test_problem.py",
         *(x for name in ("jax", "pytorch", "tensorflow") for x in ("--ignore", f"backends/test_{name}.py"))),
        without="the files that import PyTorch, TensorFlow or JAX",
    ),
    "lifelines": Suite(
        "lifelines==0.30.3", "lifelines/tests", ("-p", "shim", "test_estimation.py", "-k", PARAMETRIC),
        besides=("flaky", "jinja2"), without="the classes of tests that do not differentiate",
    ),
    "autograd-gamma": Suite(
        "autograd-gamma==0.5.0", "tests", ("-p", "shim", "."), "https://github.com/CamDavidsonPilon/autograd-gamma",
    ),
    "ceviche": Suite("ceviche==0.1.3", "tests", ("-p", "shim", "."), "https://github.com/fancompute/ceviche"),
    "autograd": Suite("autograd==1.9.1", "tests", ("-p", "shim", ".")),
    "examples": Suite("autograd==1.9.1", "examples", without="the network: digits are drawn at random"),
}  # fmt: skip
