"""The numba backend: operations are fused into loops, written as Python source, which numba compiles to machine code.

NumPy computes ``exp(x * w + b)`` in three passes over memory, one for each operation. A fused kernel does all three for
one entry while it is in a register, so that memory is read and written only once. Its source is roughly:

    for i0 in range(1000):
        a3[i0] = exp8(a0[i0] * a1[i0] + a2[i0])

- `calls` turns calls such as indexing, stacking and concatenation into operations that kernels can do.
- `fuse` groups the operations between two that are better called by themselves (a matrix product, a sort).
- `kernels` decides which values of a group are stored in arrays; the others exist only as numbers inside a loop.
- `loops` writes the loops: `expressions` has the formula of each operation for one number, `indices` says where an
  entry of a view lies; `sums`, `extrema` and `small_products` write the loops that are not elementwise.
- `lengths` finds the axes of the batch, whose length a kernel takes as an argument.
- `scalars` writes operations on single numbers without loops, and `assembly` passes such code to LLVM directly.
- `steps` makes one function of all steps of a loop.
- `machine` has numba compile the sources. `cache` keeps machine code on disk, under a key that is a digest of what a
  function computes (`fingerprint`). `compilers` compiles in several processes.
- `native` has functions written by hand: matrix products, also fused with a parameter update, convolution, pooling,
  normalization, recurrent layers and attention.
"""
