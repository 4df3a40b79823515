"""Compare gradients computed by three roads (written by hand, by the graph, numerical) and explain why they differ."""

from .diagnosis import KINDS, Diagnosis, Difference, Row
from .gradients import assert_gradients_match, compare_gradients
from .report import ComparisonReport
from .roads import Parameter, RoadsReport, compare_roads
from .steps.comparison import compare_steps
from .steps.step import Step

__all__ = [
    "KINDS", "ComparisonReport", "Diagnosis", "Difference", "Parameter", "RoadsReport", "Row", "Step",
    "assert_gradients_match", "compare_gradients", "compare_roads", "compare_steps",
]  # fmt: skip
