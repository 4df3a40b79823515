"""The numerical road: derivatives from function values alone, their accuracy, and what is right at a kink.

`referee` implements the forward pass of a list of layers a third time, also for complex numbers. `noise` bounds the
rounding error of a right gradient, so that no tolerance is a guess. At a kink there is no derivative, only a different
limit of the gradient on each side: `sides` computes these limits, `kinks` finds the operations that have the kinks, and
`subgradients` tells whether a gradient is a mean of the limits.
"""
