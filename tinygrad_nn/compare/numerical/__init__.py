"""The numerical road: derivatives from function values alone, their accuracy, and what is right at a kink.

`referee` implements the forward pass of a list of layers a third time, with `activations`, also for complex
numbers; `full_gradients` differentiates a function that has no graph. `noise` bounds the rounding error of a right
gradient, so that no tolerance is a guess; `precision` measures it instead. At a kink there is no derivative, only a
different limit of the gradient on each side: `sides` computes these limits, `kinks` finds the operations that have the
kinks, and `subgradients` tells whether a gradient is a mean of the limits (`nearest` computes the nearest such mean).
"""
