"""How other people's code is called: what a forward returns beside its result, what a backward takes and returns.

`read` tells the convention by signature and result, and returns a `Code`, which runs all of them alike:
`cached` is ``(out, cache)`` and ``backward(dout, cache)``; `beside` is ``loss, grads = f(...)``; `context` are classes
with ``ctx`` or with a node; `objects` have forward, backward and parameters. `returned` takes apart what a backward
gives, `samples` tells rows from columns, `reasons` says why a forward cannot run on Tensors.
"""
