"""The three roads to a gradient, side by side: written by hand, by the graph, numerical."""

from .roads import Difference, Parameter, RoadsReport, compare_roads

__all__ = ["Difference", "Parameter", "RoadsReport", "compare_roads"]
