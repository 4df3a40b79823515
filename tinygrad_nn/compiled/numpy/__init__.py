"""The replay by NumPy: the program as one straight function of NumPy calls that write into the standing buffers.

No Tensor, no graph, no decision is left: a line such as ``multiply(b3, a0, out=b4)`` for each operation. What it saves
is everything that Python does around the calls.
"""
