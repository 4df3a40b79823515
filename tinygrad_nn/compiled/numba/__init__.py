"""The replay by machine code: loops written as Python source, compiled by numba.

Between two calls that are worth their own (a matrix product, a sort) lie many operations entry by entry. `fuse` puts
them into one group; `kernels` and `loops` write the group as loops over the entries, each entry computed from first to
last while it is in a register, so that memory is read and written once; `expressions` says what each operation is for
one number, `indices` where an entry of a view lies, `lengths` which lengths are the batch's. Of operations on single
numbers `straight` makes code without loops, which `assembly` hands to LLVM. `machine` lets numba compile the loops, or
finds them compiled on disk (`cache`), known by what they compute (`fingerprint`). `native` holds loops that are written
once by hand: products with what is around them, convolution, recurrence, attention.
"""
