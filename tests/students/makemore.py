"""The exercise of 26 gradients by hand: inputs, and for each of its lines at least four mistakes."""

import sys
from typing import Any

import numpy as np

from tests.students.judge import Array, Call, Case, Mistake, Module

N, BLOCK, LETTERS, EMB, HIDDEN = 12, 3, 7, 4, 6


def inputs(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    n, letters, hidden = N + seed % 5, LETTERS + seed % 3, HIDDEN + seed % 4
    return {
        "C": rng.normal(size=(letters, EMB)),
        "W1": rng.normal(size=(BLOCK * EMB, hidden)) * 0.5,
        "b1": rng.normal(size=hidden) * 0.1,
        "W2": rng.normal(size=(hidden, letters)) * 0.5,
        "b2": rng.normal(size=letters) * 0.1,
        "bngain": rng.normal(size=(1, hidden)) * 0.1 + 1.0,
        "bnbias": rng.normal(size=(1, hidden)) * 0.1,
        "Xb": rng.integers(0, letters, size=(n, BLOCK)),
        "Yb": rng.integers(0, letters, size=n),
    }


def call(module: Module, seed: int) -> Call:
    given = inputs(seed)
    arrays = {name: a for name, a in given.items() if a.dtype == np.float64}
    return Call(
        arguments=(module.forward, module.backward, given),
        arrays=arrays,
        value=lambda: module.forward(**given),
        gradients=lambda g: dict(zip(arrays, by_name(module.forward, module.backward, given), strict=True)),
    )


def by_name(forward: Any, backward: Any, given: dict[str, Any]) -> tuple[Array, ...]:
    """Run backward with the locals of forward, found by the names of its parameters."""
    kept: dict[str, Array] = {}

    def tracer(frame: object, event: str, arg: object) -> object:
        if getattr(frame, "f_code", None) is forward.__code__ and event == "return":
            kept.update(frame.f_locals)
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        forward(**given)
    finally:
        sys.settrace(before)
    code = backward.__code__
    return backward(*(kept[name] for name in code.co_varnames[: code.co_argcount]))


LOOP = """\
    for k in range(Xb.shape[0]):
        for j in range(Xb.shape[1]):
            ix = Xb[k, j]
            dC[ix] += demb[k, j]
"""
STEPS: dict[str, list[tuple[str, str, str]]] = {
    "dlogprobs": [
        ("Yb] = -1.0 / n", "Yb] = 1.0 / n", "sign"),
        ("Yb] = -1.0 / n", "Yb] = -1.0", "factor"),
        ("dlogprobs[np.arange(n), Yb] =", "dlogprobs[:, Yb] =", "index"),
        ("np.zeros_like(logprobs)", "np.ones_like(logprobs)", "index"),
        ("Yb] = -1.0 / n", "Yb] = -1.0 / logprobs.size", "factor"),
        ("dlogprobs = np.zeros_like(logprobs)\n    dlogprobs[np.arange(n), Yb] = -1.0 / n",
         "dlogprobs = -np.ones_like(logprobs) / n", "index"),
    ],
    "dprobs": [
        ("dlogprobs / probs", "dlogprobs * probs", "operand"),
        ("dlogprobs / probs", "1 / probs", "no cotangent"),
        ("dlogprobs / probs", "dlogprobs", "no derivative"),
        ("dlogprobs / probs", "dlogprobs / logprobs", "operand"),
        ("dlogprobs / probs", "-dlogprobs / probs", "sign"),
        ("dlogprobs / probs", "dlogprobs / probs**2", "power"),
    ],
    "dcounts_sum_inv": [
        ("(dprobs * counts).sum(axis=1, keepdims=True)", "dprobs * counts", "no sum"),
        ("(dprobs * counts).sum(axis=1, keepdims=True)", "(dprobs * counts).sum(axis=0, keepdims=True)", "axis"),
        ("(dprobs * counts).sum(axis=1, keepdims=True)", "-(dprobs * counts).sum(axis=1, keepdims=True)", "sign"),
        ("(dprobs * counts).sum(axis=1, keepdims=True)", "(dprobs * probs).sum(axis=1, keepdims=True)", "operand"),
        ("(dprobs * counts).sum(axis=1, keepdims=True)", "dprobs.sum(axis=1, keepdims=True)", "no derivative"),
        ("(dprobs * counts).sum(axis=1, keepdims=True)", "(dprobs * counts).mean(axis=1, keepdims=True)", "factor"),
    ],
    "dcounts_sum": [
        ("dcounts_sum_inv * -(counts_sum**-2)", "dcounts_sum_inv * counts_sum**-2", "sign"),
        ("dcounts_sum_inv * -(counts_sum**-2)", "dcounts_sum_inv * -(counts_sum**-1)", "power"),
        ("dcounts_sum_inv * -(counts_sum**-2)", "-(counts_sum**-2)", "no cotangent"),
        ("dcounts_sum_inv * -(counts_sum**-2)", "dcounts_sum_inv * -2 * counts_sum**-2", "factor"),
        ("dcounts_sum_inv * -(counts_sum**-2)", "dcounts_sum_inv * -(counts_sum_inv**-2)", "operand"),
        ("dcounts_sum_inv * -(counts_sum**-2)", "dcounts_sum_inv * -(counts_sum**-3)", "power"),
    ],
    "dcounts": [
        ("dcounts = dprobs * counts_sum_inv", "dcounts = dprobs * counts_sum", "operand"),
        ("dcounts = dprobs * counts_sum_inv", "dcounts = dprobs", "no derivative"),
        ("dcounts += np.ones_like(counts) * dcounts_sum", "dcounts = np.ones_like(counts) * dcounts_sum",
         "overwritten"),
        ("    dcounts += np.ones_like(counts) * dcounts_sum\n", "", "no term"),
        ("dcounts += np.ones_like(counts) * dcounts_sum", "dcounts += counts * dcounts_sum", "extra factor"),
        ("dcounts += np.ones_like(counts) * dcounts_sum", "dcounts -= np.ones_like(counts) * dcounts_sum", "sign"),
    ],
    "dnorm_logits": [
        ("dcounts * counts\n", "dcounts\n", "no derivative"),
        ("dcounts * counts\n", "dcounts * norm_logits\n", "operand"),
        ("dcounts * counts\n", "dcounts * probs\n", "operand"),
        ("dcounts * counts\n", "dcounts / counts\n", "operand"),
        ("dcounts * counts\n", "dcounts * np.exp(counts)\n", "operand"),
        ("dcounts * counts\n", "dprobs * counts\n", "operand"),
    ],
    "dlogit_maxes": [
        ("-dnorm_logits.sum(axis=1, keepdims=True)", "-dnorm_logits", "no sum"),
        ("-dnorm_logits.sum(axis=1, keepdims=True)", "-dnorm_logits.sum(axis=0, keepdims=True)", "axis"),
        ("-dnorm_logits.sum(axis=1, keepdims=True)", "-dcounts.sum(axis=1, keepdims=True)", "operand"),
        ("-dnorm_logits.sum(axis=1, keepdims=True)", "-dnorm_logits.max(axis=1, keepdims=True)", "operand"),
        ("-dnorm_logits.sum(axis=1, keepdims=True)", "-(dnorm_logits * logits).sum(axis=1, keepdims=True)",
         "extra factor"),
    ],
    "dlogits": [
        ("dlogits += np.eye(logits.shape[1])[logits.argmax(axis=1)] * dlogit_maxes",
         "dlogits = np.eye(logits.shape[1])[logits.argmax(axis=1)] * dlogit_maxes", "overwritten"),
        ("dnorm_logits.copy()", "dcounts.copy()", "operand"),
        ("dnorm_logits.copy()", "-dnorm_logits", "sign"),
        ("dnorm_logits.copy()", "dnorm_logits * logits", "extra factor"),
        ("[logits.argmax(axis=1)] * dlogit_maxes", "[logits.argmax(axis=1)]", "no cotangent"),
        ("dnorm_logits.copy()", "dnorm_logits / n", "factor"),
    ],
    "dh": [
        ("dlogits @ W2.T", "dlogits.sum(axis=1, keepdims=True) @ W2.T.sum(axis=0, keepdims=True)", "operand"),
        ("dlogits @ W2.T", "logits @ W2.T", "operand"),
        ("dlogits @ W2.T", "-dlogits @ W2.T", "sign"),
        ("dlogits @ W2.T", "dlogits @ W2.T / n", "factor"),
        ("dlogits @ W2.T", "dnorm_logits * counts @ W2.T", "extra factor"),
        ("dlogits @ W2.T", "(dlogits @ W2.T) * (1 - h**2)", "extra factor"),
    ],
    "dW2": [
        ("h.T @ dlogits", "(h.T @ dlogits).T", "transpose"),
        ("h.T @ dlogits", "h.T @ dlogits / n", "factor"),
        ("h.T @ dlogits", "h.T @ logits", "operand"),
        ("h.T @ dlogits", "hprebn.T @ dlogits", "operand"),
        ("h.T @ dlogits", "dlogits.T @ h", "transpose"),
        ("h.T @ dlogits", "-h.T @ dlogits", "sign"),
        ("h.T @ dlogits", "h.T @ probs", "operand"),
    ],
    "db2": [
        ("db2 = dlogits.sum(axis=0)", "db2 = dlogits", "no sum"),
        ("db2 = dlogits.sum(axis=0)", "db2 = dlogits.sum(axis=1)", "axis"),
        ("db2 = dlogits.sum(axis=0)", "db2 = dlogits.mean(axis=0)", "factor"),
        ("db2 = dlogits.sum(axis=0)", "db2 = dlogits.sum()", "axis"),
        ("db2 = dlogits.sum(axis=0)", "db2 = logits.sum(axis=0)", "operand"),
        ("db2 = dlogits.sum(axis=0)", "db2 = dlogits[-1]", "last only"),
    ],
    "dhpreact": [
        ("(1.0 - h**2) * dh", "dh", "no derivative"),
        ("(1.0 - h**2) * dh", "(1.0 - h) * dh", "derivative at"),
        ("(1.0 - h**2) * dh", "h * (1.0 - h) * dh", "derivative at"),
        ("(1.0 - h**2) * dh", "(1.0 - np.tanh(h)**2) * dh", "derivative at"),
        ("(1.0 - h**2) * dh", "(1.0 + h**2) * dh", "sign"),
        ("(1.0 - h**2) * dh", "1.0 - h**2", "no cotangent"),
        ("(1.0 - h**2) * dh", "(1.0 - hprebn**2) * dh", "derivative at"),
    ],
    "dbngain": [
        ("(bnraw * dhpreact).sum(axis=0, keepdims=True)", "dhpreact.sum(axis=0, keepdims=True)", "no derivative"),
        ("(bnraw * dhpreact).sum(axis=0, keepdims=True)", "bnraw * dhpreact", "no sum"),
        ("(bnraw * dhpreact).sum(axis=0, keepdims=True)", "(hprebn * dhpreact).sum(axis=0, keepdims=True)", "operand"),
        ("(bnraw * dhpreact).sum(axis=0, keepdims=True)", "(bnraw * dhpreact).mean(axis=0, keepdims=True)", "factor"),
        ("(bnraw * dhpreact).sum(axis=0, keepdims=True)", "(bndiff * dhpreact).sum(axis=0, keepdims=True)", "operand"),
        ("(bnraw * dhpreact).sum(axis=0, keepdims=True)", "(bnraw * dhpreact).sum(axis=1, keepdims=True)", "axis"),
    ],
    "dbnbias": [
        ("dbnbias = dhpreact.sum(axis=0, keepdims=True)", "dbnbias = dhpreact", "no sum"),
        ("dbnbias = dhpreact.sum(axis=0, keepdims=True)", "dbnbias = dhpreact.sum(axis=1, keepdims=True)", "axis"),
        ("dbnbias = dhpreact.sum(axis=0, keepdims=True)", "dbnbias = dhpreact.mean(axis=0, keepdims=True)", "factor"),
        ("dbnbias = dhpreact.sum(axis=0, keepdims=True)", "dbnbias = (bngain * dhpreact).sum(axis=0, keepdims=True)",
         "extra factor"),
        ("dbnbias = dhpreact.sum(axis=0, keepdims=True)", "dbnbias = dh.sum(axis=0, keepdims=True)", "operand"),
        ("dbnbias = dhpreact.sum(axis=0, keepdims=True)", "dbnbias = -dhpreact.sum(axis=0, keepdims=True)", "sign"),
    ],
    "dbnraw": [
        ("dbnraw = bngain * dhpreact", "dbnraw = dhpreact", "no derivative"),
        ("dbnraw = bngain * dhpreact", "dbnraw = bngain * dh", "operand"),
        ("dbnraw = bngain * dhpreact", "dbnraw = bnraw * dhpreact", "operand"),
        ("dbnraw = bngain * dhpreact", "dbnraw = dhpreact / bngain", "power"),
        ("dbnraw = bngain * dhpreact", "dbnraw = dbngain * dhpreact", "operand"),
        ("dbnraw = bngain * dhpreact", "dbnraw = bngain * dhpreact * bnvar_inv", "extra factor"),
    ],
    "dbnvar_inv": [
        ("(bndiff * dbnraw).sum(axis=0, keepdims=True)", "bndiff * dbnraw", "no sum"),
        ("(bndiff * dbnraw).sum(axis=0, keepdims=True)", "dbnraw.sum(axis=0, keepdims=True)", "no derivative"),
        ("(bndiff * dbnraw).sum(axis=0, keepdims=True)", "(hprebn * dbnraw).sum(axis=0, keepdims=True)", "operand"),
        ("(bndiff * dbnraw).sum(axis=0, keepdims=True)", "(bndiff * dbnraw).mean(axis=0, keepdims=True)", "factor"),
        ("(bndiff * dbnraw).sum(axis=0, keepdims=True)", "(bndiff * dhpreact).sum(axis=0, keepdims=True)", "operand"),
        ("(bndiff * dbnraw).sum(axis=0, keepdims=True)", "(bnraw * dbnraw).sum(axis=0, keepdims=True)", "operand"),
    ],
    "dbnvar": [
        ("-0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv", "0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv", "sign"),
        ("-0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv", "-0.5 * (bnvar + 1e-5) ** -0.5 * dbnvar_inv", "power"),
        ("-0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv", "(bnvar + 1e-5) ** -1.5 * dbnvar_inv", "factor"),
        ("-0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv", "-0.5 * (bnvar + 1e-5) ** -1.5", "no cotangent"),
        ("-0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv", "-0.5 * bnvar_inv**2 * dbnvar_inv", "power"),
        ("-0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv", "-0.5 * (bnvar_inv + 1e-5) ** -1.5 * dbnvar_inv", "operand"),
        ("-0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv", "-0.5 * (bnvar + 1e-5) ** 1.5 * dbnvar_inv", "power"),
    ],
    "dbndiff2": [
        ("1.0 / (n - 1) * np.ones_like(bndiff) * dbnvar", "1.0 / n * np.ones_like(bndiff) * dbnvar", "ddof"),
        ("1.0 / (n - 1) * np.ones_like(bndiff) * dbnvar", "np.ones_like(bndiff) * dbnvar", "factor"),
        ("1.0 / (n - 1) * np.ones_like(bndiff) * dbnvar", "1.0 / (n - 1) * bndiff * dbnvar", "extra factor"),
        ("1.0 / (n - 1) * np.ones_like(bndiff) * dbnvar", "1.0 / (n - 1) * np.ones_like(bndiff)", "no cotangent"),
        ("1.0 / (n - 1) * np.ones_like(bndiff) * dbnvar", "1.0 / n - 1 * np.ones_like(bndiff) * dbnvar", "operand"),
    ],
    "dbndiff": [
        ("dbndiff = bnvar_inv * dbnraw", "dbndiff = dbnraw", "no derivative"),
        ("dbndiff = bnvar_inv * dbnraw", "dbndiff = bnvar * dbnraw", "operand"),
        ("dbndiff += 2 * bndiff * dbndiff2", "dbndiff = 2 * bndiff * dbndiff2", "overwritten"),
        ("    dbndiff += 2 * bndiff * dbndiff2\n", "", "no term"),
        ("dbndiff += 2 * bndiff * dbndiff2", "dbndiff += bndiff * dbndiff2", "factor"),
        ("dbndiff += 2 * bndiff * dbndiff2", "dbndiff += 2 * bndiff2 * dbndiff2", "power"),
        ("dbndiff += 2 * bndiff * dbndiff2", "dbndiff += 2 * dbndiff2", "no derivative"),
    ],
    "dbnmeani": [
        ("-dbndiff.sum(axis=0, keepdims=True)", "-dbndiff", "no sum"),
        ("-dbndiff.sum(axis=0, keepdims=True)", "dbndiff.sum(axis=0, keepdims=True)", "sign"),
        ("-dbndiff.sum(axis=0, keepdims=True)", "-dbndiff.sum(axis=1, keepdims=True)", "axis"),
        ("-dbndiff.sum(axis=0, keepdims=True)", "-dbnraw.sum(axis=0, keepdims=True)", "operand"),
        ("-dbndiff.sum(axis=0, keepdims=True)", "-dbndiff.sum()", "axis"),
        ("-dbndiff.sum(axis=0, keepdims=True)", "-dbndiff.mean(axis=1, keepdims=True)", "axis"),
    ],
    "dhprebn": [
        ("dhprebn += 1.0 / n * (np.ones_like(hprebn) * dbnmeani)",
         "dhprebn = 1.0 / n * (np.ones_like(hprebn) * dbnmeani)",
         "overwritten"),
        ("dhprebn += 1.0 / n * (np.ones_like(hprebn) * dbnmeani)", "dhprebn += np.ones_like(hprebn) * dbnmeani",
         "factor"),
        ("dhprebn = dbndiff.copy()", "dhprebn = dbnraw.copy()", "operand"),
        ("dhprebn += 1.0 / n * (np.ones_like(hprebn) * dbnmeani)",
         "dhprebn += 1.0 / (n - 1) * (np.ones_like(hprebn) * dbnmeani)", "ddof"),
        ("dhprebn = dbndiff.copy()", "dhprebn = dbndiff * bnvar_inv", "extra factor"),
        ("dhprebn += 1.0 / n * (np.ones_like(hprebn) * dbnmeani)",
         "dhprebn -= 1.0 / n * (np.ones_like(hprebn) * dbnmeani)",
         "sign"),
    ],
    "dembcat": [
        ("dhprebn @ W1.T", "(dhprebn @ W1.T) * embcat", "extra factor"),
        ("dhprebn @ W1.T", "hprebn @ W1.T", "operand"),
        ("dhprebn @ W1.T", "dhpreact @ W1.T", "operand"),
        ("dhprebn @ W1.T", "dbndiff @ W1.T", "operand"),
        ("dhprebn @ W1.T", "-dhprebn @ W1.T", "sign"),
        ("dhprebn @ W1.T", "dhprebn @ W1.T / n", "factor"),
    ],
    "dW1": [
        ("embcat.T @ dhprebn", "dhprebn.T @ embcat", "transpose"),
        ("embcat.T @ dhprebn", "embcat.T @ dhpreact", "operand"),
        ("embcat.T @ dhprebn", "embcat.T @ dhprebn / n", "factor"),
        ("embcat.T @ dhprebn", "dembcat.T @ dhprebn", "operand"),
        ("embcat.T @ dhprebn", "embcat.T @ dh", "operand"),
        ("embcat.T @ dhprebn", "embcat.T @ hprebn", "operand"),
    ],
    "db1": [
        ("db1 = dhprebn.sum(axis=0)", "db1 = dhprebn", "no sum"),
        ("db1 = dhprebn.sum(axis=0)", "db1 = dhpreact.sum(axis=0)", "operand"),
        ("db1 = dhprebn.sum(axis=0)", "db1 = dhprebn.sum(axis=1)", "axis"),
        ("db1 = dhprebn.sum(axis=0)", "db1 = dbndiff.sum(axis=0)", "operand"),
        ("db1 = dhprebn.sum(axis=0)", "db1 = dh.sum(axis=0)", "operand"),
        ("db1 = dhprebn.sum(axis=0)", "db1 = dhprebn[0]", "last only"),
    ],
    "demb": [
        ("dembcat.reshape(emb.shape)", "dembcat.T.reshape(emb.shape)", "order"),
        ("dembcat.reshape(emb.shape)", "dembcat.reshape(emb.shape, order='F')", "order"),
        ("dembcat.reshape(emb.shape)", "embcat.reshape(emb.shape)", "operand"),
        ("dembcat.reshape(emb.shape)", "dembcat", "no reshape"),
        ("dembcat.reshape(emb.shape)", "dembcat.reshape(emb.shape)[:, ::-1]", "order"),
        ("dembcat.reshape(emb.shape)", "dembcat.reshape(emb.shape) * emb", "extra factor"),
    ],
    "dC": [
        ("dC[ix] += demb[k, j]", "dC[ix] = demb[k, j]", "rows"),
        (LOOP, "    dC[Xb] += demb\n", "rows"),
        (LOOP, "    dC[Xb] = demb\n", "rows"),
        ("dC[ix] += demb[k, j]", "dC[ix] += emb[k, j]", "operand"),
        ("dC[ix] += demb[k, j]", "dC[ix] += demb[k, 0]", "index"),
        ("for j in range(Xb.shape[1])", "for j in range(Xb.shape[1] - 1)", "index"),
        ("for k in range(Xb.shape[0])", "for k in range(1, Xb.shape[0])", "index"),
        ("np.zeros_like(C)", "np.ones_like(C)", "extra term"),
    ],
}  # fmt: skip

CASES = [
    Case(
        family="makemore", name=step, work="makemore", edited="backward", call=call, way="compare_steps",
        mistakes=tuple(Mistake(*row, step=step) for row in rows),
    )
    for step, rows in STEPS.items()
]  # fmt: skip
