"""Benchmarks: what the engine costs, measured against NumPy in the same run. `python -m tests.benchmarks`."""
