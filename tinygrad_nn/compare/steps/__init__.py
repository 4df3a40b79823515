"""`compare_steps`: compare each gradient variable of a hand-written backward (dW, dz, ...) with that of the graph.

`statements` parses the user's source lines; `tracing` records what each name is bound to as they run; `names` finds
the forward value that a gradient belongs to; `running` runs both passes; `tape` walks the graph back with the user's
gradients substituted for the right ones; `by_numbers` does the same without a graph, by running the forward again;
`explain` says why a step is wrong; `comparison` puts it together; `listing` shows it.
"""
