"""The calling conventions of user code: what a forward returns beside its result, what a backward takes and returns.

`read` recognizes the convention from signatures and results and returns a `Code`, through which all are run alike:
`cached` for ``out, cache = forward(x)`` with ``backward(dout, cache)``; `value_with_gradients` for
``loss, grads = f(...)``; `context` for classes with ``ctx`` or with a node; `objects` for objects with forward,
backward and parameters.
`returned` assigns the results of a backward to the inputs, `samples` tells whether samples are rows or columns, and
`reasons` says why a forward cannot run on Tensors.
"""
