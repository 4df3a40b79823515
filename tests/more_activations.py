"""The activations beyond the first six, and the kinks of each; used by the tests of the graph and of `manual`."""

FURTHER = [
    "elu", "elu(0.5)", "selu", "celu", "celu(2)", "gelu", "gelu(tanh)", "silu", "mish", "softplus", "softplus(2)",
    "softsign", "hard_tanh", "hard_tanh(-2,0.6)", "hard_sigmoid", "hard_swish",
]  # fmt: skip
KINKS_AT: dict[str, list[float]] = {  # where a first or second derivative jumps
    "relu": [0], "leaky_relu": [0], "elu": [0], "selu": [0], "celu": [0], "softsign": [0], "hard_tanh": [-1, 1],
    "hard_tanh(-2,0.6)": [-2, 0.6], "hard_sigmoid": [-3, 3], "hard_swish": [-3, 3],
}  # fmt: skip


def kinks_of(name: str) -> list[float]:
    return KINKS_AT.get(name, KINKS_AT.get(name.partition("(")[0], []))
