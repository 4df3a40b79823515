"""Numerical derivatives, and checks of gradients against them: of a function, of a primitive, of any order.

The referee knows no rule. It moves the arguments along a line and looks at the results, in float64 always: central
differences over a sweep of steps, extrapolated to step zero, with an estimate of their own error. Where the function
takes complex numbers analytically, one complex step gives the derivative to full precision.
"""

from .check import Check, GradientReport, assert_gradients, check_gradients, check_primitive
from .numerical import Estimate, derivative, numerical_gradient

__all__ = [
    "Check", "Estimate", "GradientReport", "assert_gradients", "check_gradients", "check_primitive", "derivative",
    "numerical_gradient",
]  # fmt: skip
