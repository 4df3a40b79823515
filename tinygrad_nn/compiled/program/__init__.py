"""The second stage of the compiler: the recorded program is simplified, and its values get places in memory.

A program is a list of operations (`Op`) on values (`Value`), for example ``v1 = multiply(v0, v0); v2 = sum(v1)``. A
value is the name of an array: it has a shape and a dtype, but other entries in every call (`values`).

- `simplify` makes the list shorter without changing a bit of the results: equal operations are computed once,
  operations like ``x * 1`` and operations that no result depends on are dropped.
- `memory` gives each value a buffer. Buffers are allocated once, not in every call. When a value has been read for the
  last time, its buffer is reused for a later value.
- `verify` proves for each plan that no value is read before it was written, or after it was overwritten.
- `rolled` (with `periods` and `rows`), for numba, finds unrolled Python loops in the list and turns each into one loop
  operation.
- `control` has the operations that run other programs: loops and branches.
- `arguments` generates the code that takes the arguments of a call apart and builds the result.
- `show` prints a program as a table and draws it as a graph.
"""
