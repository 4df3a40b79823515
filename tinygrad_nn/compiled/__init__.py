"""The compiler: a function of arrays runs once while its operations are recorded, and is then replayed without Tensors.

1. `trace` calls the function once on special Tensors and records each operation: the result is a `Program`, a list.
2. `program` simplifies that list and assigns each result a buffer that is allocated once and reused in every call.
3. `numpy` writes the list as a Python function of plain NumPy calls; `numba` first fuses operations into kernels.
4. `check` runs the new plan and the function on other values and compares the results before the plan is used.

The words: a value is the name of an array in a program; an operation (`Op`) makes values from values; a kernel is a
group of operations that becomes one function of machine code; a plan is the finished code, with its buffers, for one
kind of arguments. The kind of arguments is their shapes, dtypes and fixed values such as flags. Each kind is traced
separately.

The modules here: `function` has the public `compile`, `plan` and `code` make a plan from a program, `step` builds
compiled training steps.
"""

from .function import Compiled, compile
from .step import functional, training_step

__all__ = ["Compiled", "compile", "functional", "training_step"]
