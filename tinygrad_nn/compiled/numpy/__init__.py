"""The NumPy backend: the program is written as one Python function with a NumPy call for each operation.

For example, the program ``v1 = multiply(v0, v0); v2 = sum(v1, axis=0)`` becomes

    o2 = empty(k0, k1)          # a new array for the result, of shape k0 and dtype k1
    f3(i0, i0, t2)              # np.multiply; t2 is a buffer that is allocated once for all calls
    f4(t2, 0, None, o2, False)  # np.add.reduce

The function contains no Tensors, no graph and no decisions. It does the same arithmetic as the original function, and
saves the Python code that ran around the NumPy calls and the allocation of intermediate arrays. `replay` writes it.
"""
