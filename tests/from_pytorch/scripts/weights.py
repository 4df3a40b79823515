"""The weights that the scripts start from: drawn by NumPy, so that they are the same whatever runs the script."""

import numpy as np


def initial(torch, model, seed):
    """Return a state for `model.load_state_dict`: weights by their fan-in, biases near 0, scales near 1."""
    rng = np.random.default_rng(seed)
    drawn, state = {}, {}
    for name, value in model.state_dict().items():
        shape = tuple(value.shape)
        if "num_batches" in name:
            state[name] = value
            continue
        if name.endswith("decoder.weight"):
            state[name] = drawn["encoder.weight"]  # a tied weight is one weight
            continue
        if len(shape) >= 2:
            array = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        elif name.endswith(("bias", "mean")):
            array = 0.1 * rng.normal(size=shape)
        else:
            array = 1 + 0.1 * rng.random(size=shape)
        state[name] = drawn[name] = torch.tensor(array)
    return state
