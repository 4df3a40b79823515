"""The road that trusts no rule: derivatives from values alone, how exact they can be, and what holds at a kink.

The `referee` states the forward pass of a list of layers a third time, in numbers that may be complex. `noise` bounds
what rounding does to a gradient that is right, so that no tolerance is a guess. Where the function has a kink there is
no derivative: `kinks` finds them, `sides` looks from each of them, `subgradients` asks what a mean of these can be.
"""
