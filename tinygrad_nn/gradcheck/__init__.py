"""Numerical derivatives, and checks of gradients against them, for functions and primitives, to any order.

Numerical derivatives use no rule, only values of the function at points along a line, always in float64: central
differences for a sequence of steps, extrapolated to step zero, with an estimate of their own error. If the function is
analytic and accepts complex numbers, one complex step gives the derivative to full precision.
"""

from .check import Check, GradientReport, assert_gradients, check_gradients, check_primitive
from .numerical import Estimate, derivative, numerical_gradient

__all__ = [
    "Check", "Estimate", "GradientReport", "assert_gradients", "check_gradients", "check_primitive", "derivative",
    "numerical_gradient",
]  # fmt: skip
