"""The comparison for a list of layers, whose right equations are known, so that a wrong one can be recognised.

`comparison` makes the rows and the experiments. `suspects` are the classic mistakes, each as the equation that it
would compute; `explain` searches for the fewest that give the person's numbers, `fit` says when they do, and `verdict`
puts it into words.
"""
