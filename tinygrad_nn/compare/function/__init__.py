"""The comparison for any function: nothing is known of it but its graph, so the mistake is searched for in the graph.

`calling` runs the user's code; `comparison` computes the rows; `operations` tries each known mistake at each operation
of the graph, and reports the mistake whose walk back gives the user's gradients.
"""
