"""Twelve hand-written backward passes with one classic mistake each, and the diagnosis of each.

Run it with `python examples/find_the_bug.py`. Read a mistake, guess its effect, then read the diagnosis.
"""

import textwrap

import numpy as np

from tinygrad_nn import BackProp, Layer, Regularization, Solver, compare_gradients

rng = np.random.default_rng(0)
model = [Layer(4, 6, "tanh", rng=rng), Layer(6, 6, "sigmoid", rng=rng), Layer(6, 3, "softmax", rng=rng)]
x, y = rng.normal(size=(8, 4)), np.eye(3)[rng.integers(0, 3, 8)]
solver = Solver("crossentropy", regularization=Regularization("l2", lam=0.1, dropout=0.3))


def mine(mistake):
    """Return a backward pass that follows the equations, except in the line below the name of the mistake."""

    def backward(model, data_cache, data_out, *, solver):
        inputs, z, a, masks = data_cache
        lam, N, K = solver.regularization.lam, len(data_out), len(model)
        f = [np.tanh(z[0]), 1 / (1 + np.exp(-z[1])), a[2]]  # before the mask
        slope = [1 - f[0] ** 2, f[1] * (1 - f[1])]
        if mistake == "the derivative of the sigmoid at a instead of z":
            slope[1] = 1 / (1 + np.exp(-f[1])) * (1 - 1 / (1 + np.exp(-f[1])))

        delta = (a[2] - data_out) / N
        if mistake == "no division by N":
            delta = a[2] - data_out
        if mistake == "y - a instead of a - y":
            delta = (data_out - a[2]) / N
        if mistake == "the delta of mse":
            g = 2 * (a[2] - data_out) / N
            delta = a[2] * (g - (g * a[2]).sum(axis=1, keepdims=True))

        dW, db = [None] * K, [None] * K
        for k in (2, 1, 0):
            into = a[k - 1] if k else inputs
            if mistake == "z instead of a in dW of layer 3" and k == 2:
                into = z[1]
            dW[k] = delta.T @ into + lam * model[k].W.data
            db[k] = delta.sum(axis=0)
            if mistake == "no penalty" and k == 0:
                dW[k] = delta.T @ into
            if mistake == "a penalty on the biases" and k == 2:
                db[k] = delta.sum(axis=0) + lam * model[k].b.data
            if mistake == "db not summed" and k == 1:
                db[k] = delta
            if mistake == "only the last sample" and k == 1:
                dW[k], db[k] = np.outer(delta[-1], into[-1]) + lam * model[k].W.data, delta[-1]
            if k:
                g = masks[k - 1] * (delta @ model[k].W.data)
                if mistake == "no dropout mask in layer 1" and k == 1:
                    g = delta @ model[k].W.data
                if mistake == "W transposed" and k == 1:
                    g = masks[0] * (delta @ model[k].W.data.T)
                delta = g * slope[k - 1]
                if mistake == "no derivative of tanh" and k == 1:
                    delta = g
        return BackProp(model, data_cache, data_out, solver=solver).loss, dW, db

    return backward


MISTAKES = [
    "no division by N", "y - a instead of a - y", "the delta of mse", "no derivative of tanh",
    "the derivative of the sigmoid at a instead of z", "W transposed", "z instead of a in dW of layer 3",
    "db not summed", "only the last sample", "no penalty", "a penalty on the biases", "no dropout mask in layer 1",
]  # fmt: skip

report = compare_gradients(model, x, y, solver=solver, manual=mine("none at all"))
print("without a mistake:", report.verdict)
for number, mistake in enumerate(MISTAKES, 1):
    report = compare_gradients(model, x, y, solver=solver, manual=mine(mistake))
    print(f"\n{number}. {mistake}")
    for diagnosis in report.diagnoses:
        answer = f"{diagnosis.where}: {diagnosis.kind}. {diagnosis.text}"
        print(textwrap.fill(answer, 100, initial_indent="   ", subsequent_indent="   "))
