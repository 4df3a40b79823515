"""Running a function once to see what it does: the trace.

A function of arrays is called with Tensors that write down what is done with them (`tensors`). They hold real arrays,
so shapes and dtypes are those of an ordinary run, but a question about a value (`if x > 0`) is refused, with the line
that asked: the answer would be that of this one call. Each operation ends in the funnel of the engine, as always; the
thread's mode is a `Recorder` (`recorder`), which sees the new Node and notes one or several plain operations for it
(`operations`). Gradients inside the function need nothing of their own: their rules run on the same Tensors. The result
is a `Program`, a list of operations. What could make it wrong without a sign is watched: random numbers (`draws`) and
state that the function moves on (`hidden`).
"""
