"""The three roads to a gradient, side by side: written by hand, by the graph, numerical; and why they differ."""

from .diagnosis import KINDS, Diagnosis, Difference, Row
from .gradients import assert_gradients_match, compare_gradients
from .report import ComparisonReport
from .roads import Parameter, RoadsReport, compare_roads

__all__ = [
    "KINDS", "ComparisonReport", "Diagnosis", "Difference", "Parameter", "RoadsReport", "Row", "assert_gradients_match",
    "compare_gradients", "compare_roads",
]  # fmt: skip
