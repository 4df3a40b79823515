"""The evaluations of GradBench: objectives and derivatives on tinygrad_nn, its protocol, and the same by hand in C++.

`python -m tests.benchmarks.gradbench` measures them, `python -m tests.benchmarks.gradbench.adapter` speaks
the protocol.
"""
