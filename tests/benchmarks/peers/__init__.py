"""The same steps in other libraries: torch_, jax_, mygrad_, autograd_.

`python -m tests.benchmarks.peers.torch_ STEP [PROGRAM]` prints the microseconds of repeated timings as JSON. A peer
needs its library, and nothing of this project besides `steps.py` and `tasks.py`, which hold the data.
"""
