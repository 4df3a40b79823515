"""The comparison for a list of layers, whose right equations are known, so that a wrong one can be recognised.

`comparison` computes the rows and runs the experiments. `suspects` has the classic mistakes, each as the equation that
it would compute. `explain` searches for the fewest mistakes that give the user's numbers, `fit` tests whether they do,
and `verdict` turns them into diagnoses.
"""
