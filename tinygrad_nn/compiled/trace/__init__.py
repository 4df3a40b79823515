"""The first stage of the compiler: run the function once and record every operation. That record is the trace.

For example, tracing ``lambda x: (x * x).sum()`` gives the list ``v1 = multiply(v0, v0); v2 = sum(v1)``. Such a list, a
`Program`, can be simplified and run again on other arrays without the function and without Tensors.

`call` runs the function with arguments replaced by `Traced` Tensors (`tensors`). These hold real arrays, so that shapes
and dtypes are those of an ordinary run. Python code that asks for a value (``if x > 0``) raises `Untraceable` with the
line of user code, because the answer may differ in another call. Each operation goes through the engine's funnel as
always. While tracing, the thread's mode is a `Recorder` (`recorder`): it sees each new Node and appends one or several
simple NumPy operations for it (`operations`). Gradients inside the function need no extra code: their rules run on
traced Tensors too. `control` records `scan`, `while_loop` and `cond`, whose bodies become programs of their own.

Two things would make a record wrong without an error. Draws of random numbers must be operations (`draws`), and
generators that are not among the arguments must not be drawn from (`side_effects`).
"""
