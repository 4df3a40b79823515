"""Forward and backward passes with many naming habits, and typical mistakes in their lines."""

from typing import Any

import numpy as np

from tests.students import makemore
from tests.students.judge import Array, Call, Case, Mistake, Module

Rng = np.random.Generator


def normal(rng: Rng, **shapes: tuple[int, ...]) -> dict[str, Any]:
    return {name: rng.normal(size=shape) * (0.6 if name[0] == "W" else 1) for name, shape in shapes.items()}


def sizes(rng: Rng) -> tuple[int, int, int, int]:
    n, d, h, k = (int(rng.integers(low, low + 4)) for low in (4, 2, 3, 2))
    return n, d, h, k


def fused(rng: Rng) -> dict[str, Any]:
    given = makemore.inputs(int(rng.integers(1000)))
    del given["b1"]
    return given


def mlp(rng: Rng) -> dict[str, Any]:
    n, d, h, k = sizes(rng)
    return normal(rng, X=(n, d), W1=(d, h), b1=(h,), W2=(h, k), b2=(k,), Y=(n, k))


def rnn(rng: Rng) -> dict[str, Any]:
    n, d, h, k = sizes(rng)
    return normal(rng, xs=(3, n, d), h0=(n, h), Wx=(d, h), Wh=(h, h), Wy=(h, k), ys=(3, n, k))


def attention(rng: Rng) -> dict[str, Any]:
    n, d, h, k = sizes(rng)
    return normal(rng, X=(n, d), Wq=(d, h), Wk=(d, h), Wv=(d, k), Y=(n, k))


def norm(rng: Rng) -> dict[str, Any]:
    n, _, h, k = sizes(rng)
    return normal(rng, x=(n, h), gamma=(h,), beta=(h,), W=(h, k + 1)) | {"y": rng.integers(0, k + 1, size=n)}


def case(name: str, draw: Any, given: str, **steps: list[tuple[Any, ...]]) -> Case:
    def call(module: Module, seed: int) -> Call:
        inputs = draw(np.random.default_rng(seed))
        forward, backward = getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")

        def gradients(g: Array) -> dict[str, Array]:
            if name == "mlp":
                return dict(backward(forward(**inputs)[1]))
            return dict(zip(given.split(), makemore.by_name(forward, backward, inputs), strict=True))

        def value() -> Array:
            out = forward(**inputs)
            return out[0] if isinstance(out, tuple) else out

        return Call((forward, backward, inputs), {n: inputs[n] for n in given.split()}, value, gradients)

    mistakes = tuple(Mistake(row[0], row[1], row[2], frozenset(*row[3:]), step) for step,
                     rows in steps.items() for row in rows)
    return Case("steps", name, "steps", f"{name}_backward", call, mistakes, way="compare_steps")


CASES = [
    case("fused", fused, "C W1 W2 b2 bngain bnbias",
         dlogits=[("    dlogits /= n\n", "", "factor"), ("    dlogits[np.arange(n), Yb] -= 1\n", "", "no term"),
                  ("dlogits[np.arange(n), Yb] -= 1", "dlogits[:, Yb] -= 1", "index")],
         dhprebn=[("- n / (n - 1) * bnraw", "- bnraw", "ddof"),
                  ("bngain * bnvar_inv / n", "bnvar_inv / n", "no derivative"),
                  (" - n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0)", "", "no term"),
                  ("n * dhpreact - dhpreact.sum(0)", "n * dhpreact", "no term"),
                  ("bngain * bnvar_inv / n", "bngain * bnvar_inv", "factor")],
         dC=[("np.add.at(dC, Xb, demb)", "dC[Xb] += demb", "rows"),
             ("np.add.at(dC, Xb, demb)", "np.add.at(dC, Xb, emb)", "operand")]),
    case("mlp", mlp, "W1 b1 W2 b2",
         grad_diff=[("2 * diff / len(X)", "2 * diff", "factor"), ("2 * diff / len(X)", "diff / len(X)", "factor"),
                    ("2 * diff / len(X)", "2 * np.abs(diff) / len(X)", "operand")],
         grad_z2=[("grad_z2 = grad_diff", "grad_z2 = grad_diff * (1 - diff)", "extra factor"),
                  ("grad_z2 = grad_diff", "grad_z2 = -grad_diff", "sign")],
         grad_z1=[("grad_a1 * a1 * (1 - a1)", "grad_a1 * (1 - a1)", "no derivative",
                   {"activation_derivative_at_wrong_value"}),
                  ("grad_a1 * a1 * (1 - a1)", "grad_a1", "no derivative"),
                  ("grad_a1 * a1 * (1 - a1)", "grad_a1 * (1 - a1**2)", "derivative at")],
         grad_W1=[("X.T @ grad_z1", "X.T @ grad_a1", "operand", {"missing_activation_derivative"}),
                  ("X.T @ grad_z1", "X.T @ grad_z1 + W1", "extra term")],
         grad_b1=[("grad_z1.sum(axis=0)", "grad_z1", "no sum"),
                  ("grad_z1.sum(axis=0)", "grad_z1.mean(axis=0)", "factor")]),
    case("rnn", rnn, "h0 Wx Wh Wy",
         dy=[("2 * (outs[t] - ys[t])", "outs[t] - ys[t]", "factor"),
             ("2 * (outs[t] - ys[t])", "2 * (ys[t] - outs[t])", "sign"),
             ("2 * (outs[t] - ys[t])", "2 * (outs[t] - ys[-1])", "index")],
         dh=[("dy @ Wy.T + dnext", "dy @ Wy.T", "no term"), ("dy @ Wy.T + dnext", "dy @ Wy.T - dnext", "sign")],
         dWy=[("dWy += hs[t + 1].T @ dy", "dWy = hs[t + 1].T @ dy", "overwritten"),
              ("dWy += hs[t + 1].T @ dy", "dWy += hs[t].T @ dy", "index", {"wrong_value"})],
         dWh=[("dWh += hs[t].T @ draw", "dWh += hs[t + 1].T @ draw", "index", {"wrong_value"}),
              ("dWh += hs[t].T @ draw", "dWh += hs[t].T @ dh", "operand", {"missing_activation_derivative"})],
         dWx=[("dWx += xs[t].T @ draw", "dWx = xs[t].T @ draw", "overwritten"),
              ("dWx += xs[t].T @ draw", "dWx += xs[0].T @ draw", "index", {"wrong_value"})]),
    case("attention", attention, "X Wq Wk Wv",
         d_o=[("d_o = o - Y", "d_o = 2 * (o - Y)", "factor"), ("d_o = o - Y", "d_o = Y - o", "sign")],
         d_v=[("p.T @ d_o", "p @ d_o", "transpose"), ("p.T @ d_o", "p.T @ o", "operand")],
         d_scores=[("p * (d_p - (d_p * p).sum(axis=1, keepdims=True))", "p * d_p", "no term",
                    {"softmax_diagonal_only", "statistic_as_constant"}),
                   ("p * (d_p - (d_p * p).sum(axis=1, keepdims=True))", "p * (1 - p) * d_p", "softmax"),
                   ("(d_p * p).sum(axis=1, keepdims=True)", "(d_p * p).sum(axis=0, keepdims=True)", "axis")],
         d_q=[("d_scores @ k / np.sqrt(d)", "d_scores @ k", "factor"),
              ("d_scores @ k / np.sqrt(d)", "d_scores @ q / np.sqrt(d)", "operand")],
         d_k=[("d_scores.T @ q", "d_scores @ q", "transpose"),
              ("d_scores.T @ q / np.sqrt(d)", "d_scores.T @ q / d", "factor")],
         d_Wv=[("X.T @ d_v", "(X.T @ d_v).T", "transpose"), ("X.T @ d_v", "X.T @ d_o", "operand")],
         d_X=[(" + d_v @ Wv.T", "", "no term"), ("d_q @ Wq.T + d_k @ Wk.T", "d_q @ Wq.T + d_q @ Wk.T", "operand")]),
    case("norm", norm, "x gamma beta W",
         z_grad=[("    z_grad /= N\n", "", "factor"), ("z_grad = np.exp(logp)", "z_grad = logp.copy()", "operand")],
         gamma_grad=[("(out_grad * xhat).sum(axis=0)", "(out_grad * xc).sum(axis=0)", "operand"),
                     ("(out_grad * xhat).sum(axis=0)", "(out_grad * xhat).sum(axis=-1)", "axis")],
         xhat_grad=[("out_grad * gamma", "out_grad", "no derivative"),
                    ("out_grad * gamma", "out_grad / gamma", "power")],
         std_grad=[("xc / std**2", "xc / std", "power"), ("-(xhat_grad * xc", "(xhat_grad * xc", "sign"),
                   (".sum(axis=-1, keepdims=True)\n    var", "\n    var", "no sum"),
                   ("(xhat_grad * xc / std**2)", "(xhat_grad * x / std**2)", "operand")],
         var_grad=[("std_grad / (2 * std)", "std_grad / std", "factor"),
                   ("std_grad / (2 * std)", "std_grad * std / 2", "power")],
         xc_grad=[("xhat_grad / std + ", "", "no term"), ("2 * xc / D * var_grad", "2 * xc * var_grad", "factor"),
                  (" + 2 * xc / D * var_grad", "", "no term")],
         mu_grad=[("-xc_grad.sum(axis=-1, keepdims=True)", "xc_grad.sum(axis=-1, keepdims=True)", "sign"),
                  ("-xc_grad.sum(axis=-1, keepdims=True)", "-xhat_grad.sum(axis=-1, keepdims=True)", "operand")],
         x_grad=[("res_grad + xc_grad", "xc_grad", "no term"), (" + mu_grad / D", "", "no term"),
                 ("mu_grad / D", "mu_grad / N", "factor")]),
]  # fmt: skip
