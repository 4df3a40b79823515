"""The comparison of every step: each gradient of a backward as a person writes it, beside that of the graph.

`statements` reads the person's lines; `tracing` writes down what each name is bound to as they run; `names` finds the
intermediate that a gradient belongs to; `running` runs both passes; `tape` walks back with the person's gradients in
the place of the right ones; `by_numbers` does so without a graph, by running the forward again; `explain` says why a
step is wrong; `comparison` puts it together; `listing` shows it.
"""
