"""The comparison for any function: nothing is known of it but its graph, so the mistake is looked for in there.

`calling` runs a person's code and takes apart what it returns; `comparison` makes the rows; `operations` walks back
once for each operation and each mistake, and names the walk that gives the person's numbers.
"""
