"""The compiler: a function of arrays runs once while its operations are recorded, and is then replayed without Tensors.

1. `trace` calls the function once on special Tensors and records each operation: the result is a `Program`, a list.
2. `program` simplifies that list and assigns each result a buffer that is allocated once and reused in every call.
3. `numpy` writes the list as a Python function of plain NumPy calls; `numba` first fuses operations into machine code.
4. `check` runs the new plan and the function on other values and compares the results before the plan is used.

`function` has the public `compile`, `plan` holds the generated code for one kind of arguments, `step` builds compiled
training steps.
"""

from .function import Compiled, compile
from .step import functional, training_step

__all__ = ["Compiled", "compile", "functional", "training_step"]
