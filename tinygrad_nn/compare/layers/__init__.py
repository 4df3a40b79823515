"""The comparison for a list of layers, whose right equations are known, so that a wrong one can be recognised.

`comparison` computes the rows and runs the experiments: the user's backward on batches and models of other sizes.
`suspects` has the classic mistakes, each as the equation that it would compute. `explain` searches for the fewest
mistakes that give the user's numbers, from the last layer to the first; `parameter_gradients` explains dW and db by
delta, and `used_delta` recovers the delta that the user's code must have had. `fit` tests whether an equation gives
these numbers; `findings` are the mistakes found, and `verdict` turns them into diagnoses. `equations` has the right
equations, `lines` finds the wrong line, `notes` says what a batch hides.
"""
