"""The right equations in TeX, with their numbers in the docs, and the choice of the one that corrects a mistake.

Numbers (B..) stand in `docs/backprop.md`, numbers (F..) in `docs/backprop_layers.md`.
"""

from __future__ import annotations

from ..experiment import Experiment

EQUATIONS = {
    "B6": r"\frac{\partial E}{\partial z} = g \odot a \odot (1 - a) = g \odot a \odot \sigma(-z)",
    "B8": r"\frac{\partial E}{\partial z_k} = \sum_i J_{ik}  g_i = a_k  \Big( g_k - \sum_i g_i  a_i \Big)",
    "B10": r"\frac{\partial E}{\partial z} = g \odot (1 - a^2) = g \odot 4  \sigma(2z) \odot \sigma(-2z)",
    "B12": r"\frac{\partial E}{\partial z} = g",
    "B14": r"\frac{\partial E}{\partial z} = g \odot [z > 0]",
    "B16": r"\frac{\partial E}{\partial z} = g \text{ if } z > 0 \text{ else } \alpha g",
    "F2": r"\frac{\partial E}{\partial z} = g \text{ if } z > 0 \text{ else } g  \alpha e^z",
    "F4": r"\frac{\partial E}{\partial z} = \lambda  \text{(F2)}",
    "F6": r"\frac{\partial E}{\partial z} = \text{(F2) with } \alpha = 1, \text{ at } z / \alpha",
    "F10": r"\frac{\partial E}{\partial z} = g \odot (\Phi(z) + z \varphi(z))",
    "F14": r"\frac{\partial E}{\partial z} = g \odot \sigma(2u) \odot (1 + 2 z  \sigma(-2u)  u')",
    "F16": r"\frac{\partial E}{\partial z} = g \odot (\sigma(z) + a  \sigma(-z))",
    "F20": r"\frac{\partial E}{\partial z} = g \odot (t + 4 (1 + e)  z  d)",
    "F22": r"\frac{\partial E}{\partial z} = g \odot \sigma(\beta z)",
    "F24": r"\frac{\partial E}{\partial z} = \frac{g}{(1 + \lvert z \rvert)^2}",
    "F26": r"\frac{\partial E}{\partial z} = g \odot [l < z < h]",
    "F28": r"\frac{\partial E}{\partial z} = \tfrac16  g \odot [-3 < z < 3]",
    "F30": r"\frac{\partial E}{\partial z} = g \odot \tfrac{2z + 3}{6} \text{ if } -3 < z < 3, "
           r"\text{ else } g \odot [z > 0]",
    "B18": r"\frac{\partial L}{\partial \hat y} = \frac1N  \text{sign}(\hat y - y), \qquad \text{sign}(0) = 0",
    "B20": r"\frac{\partial L}{\partial \hat y} = \frac2N  (\hat y - y)",
    "B22": r"\frac{\partial L}{\partial \hat y} = \frac{1}{2L} \cdot \frac2N  (\hat y - y) = \frac{\hat y - y}{N L}",
    "B24": r"\frac{\partial L}{\partial \hat y} = \frac1N \Big( \frac{1 - y}{1 - \hat y} - \frac{y}{\hat y} \Big), "
           r"\qquad \frac00 = 0",
    "B26": r"\frac{\partial L}{\partial \hat y} = -\frac1N  \frac{y}{\hat y}, \qquad \frac00 = 0",
    "B27": r"\delta^K = J_{f^K}^T  \frac{\partial L}{\partial \hat y}",
    "B31": r"\delta_k = \frac1N \Big( p_k \Big( \sum_i y_i - y_k \Big) - y_k  q_k \Big)",
    "B33": r"\delta = \frac1N \big( (1 - y)  \sigma(z) - y  \sigma(-z) \big)",
    "B35": r"\delta = -\frac1N  y  \sigma(-z)",
    "B40": r"\delta_k = \text{(B31)} + \frac1N  u_k",
    "B41": r"g^k = \frac{\partial E}{\partial a^k} = \delta^{k+1}  W^{k+1}",
    "B42": r"\frac{\partial E}{\partial f(z^k)} = m^k \odot g^k",
    "B43": r"\delta^k = J_{f^k}^T  ( m^k \odot g^k )",
    "B44": r"\frac{\partial E}{\partial W^k} = (\delta^k)^T a^{k-1} + \Omega'(W^k)",
    "B45": r"\frac{\partial E}{\partial b^k} = \sum_n \delta^k_n",
    "B47": r"\Omega' = \lambda  \text{sign}(W), \qquad \text{sign}(0) = 0",
    "B49": r"\Omega' = \lambda W",
    "B51": r"\Omega' = r \lambda  \text{sign}(W) + (1 - r) \lambda W",
}  # fmt: skip

ACTIVATION = {
    "sigmoid": "B6", "softmax": "B8", "tanh": "B10", "linear": "B12", "relu": "B14", "leaky_relu": "B16",
    "elu": "F2", "selu": "F4", "celu": "F6", "gelu": "F10", "gelu(tanh)": "F14", "silu": "F16", "mish": "F20",
    "softplus": "F22", "softsign": "F24", "hard_tanh": "F26", "hard_sigmoid": "F28", "hard_swish": "F30",
}  # fmt: skip
LOSS = {"mae": "B18", "mse": "B20", "rmse": "B22", "binarycrossentropy": "B24", "crossentropy": "B26"}
FUSED = {
    ("crossentropy", "softmax"): "B31", ("binarycrossentropy", "sigmoid"): "B33", ("crossentropy", "sigmoid"): "B35",
    ("binarycrossentropy", "softmax"): "B40",
}  # fmt: skip
PENALTY = {"l1": "B47", "l2": "B49", "elasticnet": "B51", "none": "B44"}
OF_ACTIVATION = (
    "missing_activation_derivative", "activation_derivative_at_wrong_value", "softmax_diagonal_only", "kink",
)  # fmt: skip


def right_equation(case: Experiment, k: int, part: str, kind: str) -> tuple[str, str]:
    """Return the number and the TeX of the right equation for a mistake in delta, W or b of layer k."""
    name = case.names[k] if case.names[k] in ACTIVATION else case.names[k].partition("(")[0]
    last = k == len(case.W) - 1
    if part == "b":
        key = "B45"
    elif part == "W":
        key = PENALTY[case.solver.regularization.method] if kind.endswith("penalty") else "B44"
    elif last:
        key = FUSED.get((case.solver.loss, name), "B27")
        if kind in OF_ACTIVATION and key == "B27":
            key = ACTIVATION[name]
        elif kind == "wrong_loss_gradient" and key == "B27":
            key = LOSS[case.solver.loss]
    elif kind in OF_ACTIVATION:
        key = ACTIVATION[name]
    elif kind.startswith("dropout"):
        key = "B42"
    else:
        key = "B41" if kind == "transpose" else "B43"
    return f"({key})", EQUATIONS[key]
