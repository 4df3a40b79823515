"""Chapters written from scratch as functions and as objects, and typical mistakes in them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.students.judge import VALUE, Array, Case, Mistake, Module
from tests.students.ways import two_functions, with_object

Rng = np.random.Generator


def sizes(rng: Rng) -> tuple[int, int, int]:
    return int(rng.integers(3, 8)), int(rng.integers(2, 6)), int(rng.integers(2, 5))


def draws(**shapes: str) -> Callable[[Rng], dict[str, Any]]:
    """Normal arrays of shapes in letters n, d, h, t, k (classes); ``y:`` whole numbers below the last letter."""

    def draw(rng: Rng) -> dict[str, Any]:
        n, d, h = sizes(rng)
        size = {"n": n, "d": d, "h": h, "t": int(rng.integers(2, 4)), "k": 3, "1": 1, "i": 5, "q": 2, "s": 3, "c": 2,
                "j": 6}
        found: dict[str, Any] = {}
        for name, shape in shapes.items():
            if shape.startswith(":"):
                found[name] = rng.integers(0, size[shape[-1]], size=tuple(size[c] for c in shape[1:-1]))
            else:
                found[name] = rng.normal(size=tuple(size[c] for c in shape)) * (0.6 if name[0] == "W" else 1)
        return found

    return draw


def also(draw: Callable[[Rng], dict[str, Any]], **more: Any) -> Callable[[Rng], dict[str, Any]]:
    return lambda rng: draw(rng) | more


def chapter(forward: str, backward: str, draw: Any, given: str, *rows: tuple[Any, ...]) -> Case:
    return Case("d2l", backward, "d2l_scratch", backward, two_functions(forward, backward, draw, given),
                tuple(Mistake(*row) for row in rows))  # fmt: skip


def book(
    name: str,
    arrays: Callable[[Rng], dict[str, Any]],
    draw: Any,
    names: str,
    *rows: tuple[Any, ...],
    given: str = "x",
    edited: str = "",
    settings: dict[str, Any] | None = None,
    by_name: bool = False,
) -> Case:
    """An object made from arrays; its gradients in ``grads``, or in ``dW`` beside ``W``."""

    def make(module: Module, rng: Rng) -> Any:
        return getattr(module, name)(*arrays(rng).values(), **(settings or {}))

    def params(layer: Any) -> dict[str, Array]:
        if by_name:
            return {n: getattr(layer, n) for n in names.split()}
        return dict(zip(names.split(), getattr(layer, "params", []), strict=True))

    def grads(layer: Any) -> dict[str, Array]:
        if by_name:
            return {n: getattr(layer, f"d{n}") for n in names.split()}
        return dict(zip(names.split(), getattr(layer, "grads", []), strict=True))

    return Case("scratch objects", name, "scratch_layers", edited or f"{name}.backward",
                with_object(make, draw, params, grads, given), tuple(Mistake(*row) for row in rows))  # fmt: skip


def nothing(rng: Rng) -> dict[str, Any]:
    return {}


def lstm_inputs(rng: Rng) -> dict[str, Any]:
    n, d, h = sizes(rng)
    return {"inputs": rng.normal(size=(int(rng.integers(2, 4)), n, d)), "H": rng.normal(size=(n, h)),
            "C": rng.normal(size=(n, h)),
            "W_x": rng.normal(size=(d, 4 * h)) * 0.6, "W_h": rng.normal(size=(h, 4 * h)) * 0.6,
            "b": rng.normal(size=4 * h)}  # fmt: skip


def image(rng: Rng) -> dict[str, Any]:
    return {"X": rng.normal(size=(int(rng.integers(3, 6)), 5)), "K": rng.normal(size=(2, int(rng.integers(2, 4))))}


def images(rng: Rng) -> dict[str, Any]:
    c = int(rng.integers(2, 4))
    return {"X": rng.normal(size=(3, c, 2, int(rng.integers(2, 4)))) * 2 + 1,
            "gamma": rng.normal(size=(1, c, 1, 1)) + 2,
            "beta": rng.normal(size=(1, c, 1, 1))}  # fmt: skip


PARTS = "[dI * I * (1 - I), dF * F * (1 - F), dO * O * (1 - O), dC_tilde * (1 - C_tilde**2)]"

CASES = [
    chapter("linreg_loss", "linreg_grad", draws(X="nd", w="d1", b="1", y="n"), "w b",
            ("X.T @ error / len(X)", "X.T @ error", "factor"),
            ("error.sum(axis=0) / len(X)", "error.sum(axis=0)", "factor"),
            ("X.T @ error / len(X)", "2 * X.T @ error / len(X)", "factor"),
            ("error = y_hat - y.reshape(y_hat.shape)", "error = y.reshape(y_hat.shape) - y_hat", "sign"),
            ("error = y_hat - y.reshape(y_hat.shape)", "error = y_hat - y", "axis", {"shape", "broadcast"}),
            ("error.sum(axis=0) / len(X)", "error / len(X)", "no sum"),
            ("X.T @ error / len(X)", "X.T @ y_hat / len(X)", "operand"),
            ("X.T @ error / len(X)", "X.T @ np.sign(error) / len(X)", "loss"),
            ("X.T @ error / len(X)", "X.T @ error / X.size", "factor")),
    chapter("softmax_regression_loss", "softmax_regression_grad", draws(X="nd", W="dk", b="k", y=":nk"), "W b",
            ("(y_hat - one_hot) / len(y)", "y_hat - one_hot", "factor"),
            ("(y_hat - one_hot) / len(y)", "(one_hot - y_hat) / len(y)", "sign"),
            ("(y_hat - one_hot) / len(y)", "y_hat * (1 - y_hat) * (y_hat - one_hot) / len(y)", "softmax"),
            ("(y_hat - one_hot) / len(y)", "-one_hot / y_hat / len(y)", "no derivative", {"wrong_loss_gradient"}),
            ("db = dO.sum(axis=0)", "db = dO.sum(axis=1)", "axis"),
            ("db = dO.sum(axis=0)", "db = dO", "no sum"),
            ("dW = X.T @ dO", "dW = dO.T @ X", "transpose"),
            ("dW = X.T @ dO", "dW = X.T @ y_hat / len(y)", "operand"),
            ("one_hot[range(len(y)), y] = 1", "one_hot[:, y] = 1", "index", {"wrong_loss_gradient"}),
            ("(y_hat - one_hot) / len(y)", "(y_hat - one_hot) / y_hat.size", "factor")),
    chapter("mlp_loss", "mlp_grad", also(draws(X="nd", W1="dh", b1="h", W2="hk", b2="k", y=":nk"), lambd=0.4),
            "W1 b1 W2 b2",
            ("    dO = dO / len(y)\n", "", "factor"),
            ("    dO[range(len(y)), y] -= 1\n", "", "no term", {"wrong_loss_gradient"}),
            ("H.T @ dO + lambd * W2", "H.T @ dO", "penalty"),
            ("H.T @ dO + lambd * W2", "H.T @ dO + 2 * lambd * W2", "penalty"),
            ("X.T @ dZ + lambd * W1", "X.T @ dZ + lambd * np.abs(W1)", "penalty"),
            ("X.T @ dZ + lambd * W1", "lambd * W1", "overwritten", {"cotangent_ignored"}),
            ("dZ = dH * (Z > 0)", "dZ = dH", "no derivative"),
            ("dZ = dH * (Z > 0)", "dZ = dH * (dH > 0)", "derivative at"),
            ("dZ = dH * (Z > 0)", "dZ = dH * H", "derivative at"),
            ("dH = dO @ W2.T", "dH = -dO @ W2.T", "sign"),
            ("db1 = dZ.sum(axis=0)", "db1 = dZ.mean(axis=0)", "factor"),
            ("db2 = dO.sum(axis=0)", "db2 = dO.sum(axis=0) + lambd * b2", "penalty"),
            ("dW2 = H.T @ dO", "dW2 = Z.T @ dO", "operand"),
            ("db1 = dZ.sum(axis=0)", "db1 = dH.sum(axis=0)", "no derivative")),
    chapter("corr2d", "corr2d_backward", image, "X K",
            ("K[::-1, ::-1]", "K", "order", {"kernel_not_flipped"}),
            ("dK = corr2d(X, g)", "dK = corr2d(X, g)[::-1, ::-1]", "order", {"kernel_flipped"}),
            ("K[::-1, ::-1]", "K[::-1, :]", "order"),
            ("K[::-1, ::-1]", "K.T[::-1, ::-1].reshape(K.shape)", "order", {"transpose"}),
            ("dX = corr2d(padded, K[::-1, ::-1])", "dX = X * K.sum()", "no cotangent"),
            ("dK = corr2d(X, g)", "dK = corr2d(X, g) / g.size", "factor"),
            ("dK = corr2d(X, g)", "dK = corr2d(X, np.ones_like(g))", "no cotangent"),
            ("corr2d(padded, K[::-1, ::-1])", "corr2d(np.pad(g, ((0, 2 * h - 2), (0, 2 * w - 2))), K[::-1, ::-1])",
             "index")),
    chapter("pool2d_avg", "pool2d_avg_backward",
            lambda rng: {"X": rng.normal(size=(int(rng.integers(3, 6)), 4)), "p": 2}, "X",
            ("g[i, j] / (p * p)", "g[i, j]", "factor"),
            ("g[i, j] / (p * p)", "g[i, j] / p", "factor"),
            ("+= g[i, j]", "= g[i, j]", "overwritten"),
            ("dX[i : i + p, j : j + p] +=", "dX[i, j] +=", "index"),
            ("g[i, j] / (p * p)", "1 / (p * p)", "no cotangent"),
            ("range(g.shape[0])", "range(g.shape[0] - 1)", "index"),
            ("g[i, j] / (p * p)", "g[i, j] * X[i : i + p, j : j + p] / (p * p)", "extra factor")),
    chapter("batch_norm", "batch_norm_backward", images, "X gamma beta",
            ("m = X.shape[0] * X.shape[2] * X.shape[3]", "m = X.shape[0]", "factor"),
            ("dX_hat = g * gamma", "dX_hat = g", "no derivative"),
            (" + dmean / m", "", "no term"),
            (" + dvar * 2 * centered / m", "", "no term"),
            ("dvar * 2 * centered / m", "dvar * centered / m", "factor"),
            ("inv_std**3", "inv_std", "power"),
            ("-0.5 * inv_std**3", "0.5 * inv_std**3", "sign"),
            ("dmean = -(dX_hat * inv_std)", "dmean = (dX_hat * inv_std)", "sign"),
            ("dbeta = g.sum(axis=(0, 2, 3), keepdims=True)", "dbeta = g.sum(axis=0, keepdims=True)", "no sum"),
            ("(g * X_hat).sum(axis=(0, 2, 3), keepdims=True)", "(g * X).sum(axis=(0, 2, 3), keepdims=True)", "operand"),
            ("(g * X_hat).sum(axis=(0, 2, 3), keepdims=True)", "(g * X_hat).mean(axis=(0, 2, 3), keepdims=True)",
             "factor"),
            ("dvar = (dX_hat * centered * -0.5 * inv_std**3).sum(axis=(0, 2, 3), keepdims=True)",
             "dvar = dX_hat * centered * -0.5 * inv_std**3", "no sum"),
            ("dX_hat * inv_std + dvar", "dX_hat / var + dvar", "power")),
    chapter("rnn", "rnn_bptt", draws(inputs="tnd", state="nh", W_xh="dh", W_hh="hh", b_h="h"), "state W_xh W_hh b_h",
            ("dh = g[t] + dstate", "dh = g[t]", "no term"),
            ("dh = g[t] + dstate", "dh = g[-1] + dstate", "index"),
            ("1 - states[t + 1] ** 2", "1 - states[t] ** 2", "derivative at"),
            ("states[t].T @ dz", "states[t + 1].T @ dz", "operand"),
            ("dW_hh +=", "dW_hh =", "overwritten"),
            ("dW_xh +=", "dW_xh =", "overwritten"),
            ("db_h += dz.sum(axis=0)", "db_h = dz.sum(axis=0)", "overwritten"),
            ("dstate = dz @ W_hh.T", "dstate = dz @ W_hh", "transpose"),
            ("dstate = dz @ W_hh.T", "dstate = dh @ W_hh.T", "no derivative"),
            ("dstate = dz @ W_hh.T", "dstate += dz @ W_hh.T", "extra term"),
            ("dz = dh * (1 - states[t + 1] ** 2)", "dz = dh", "no derivative"),
            ("reversed(range(len(inputs)))", "range(len(inputs))", "order")),
    chapter("gru", "gru_bptt", draws(inputs="tnd", H="nh", W_xz="dh", W_hz="hh", b_z="h", W_xr="dh", W_hr="hh", b_r="h",
                                     W_xh="dh", W_hh="hh", b_h="h"), "H W_xz W_hz b_z W_xr W_hr b_r W_xh W_hh b_h",
            ("dZ = dH * (H - H_tilde)", "dZ = dH * (H_tilde - H)", "sign"),
            ("dZ = dH * (H - H_tilde)", "dZ = dH * H", "no term"),
            ("dH_tilde = dH * (1 - Z)", "dH_tilde = dH * Z", "operand"),
            ("dR = dRH * H", "dR = dRH * R", "operand"),
            ("dH * Z + dRH * R", "dH * Z + dRH", "no derivative"),
            ("dH * Z + dRH * R", "dRH * R", "no term"),
            (" + da_r @ W_hr.T", "", "no term"),
            ("dW_hh += (R * H).T @ da_h", "dW_hh += H.T @ da_h", "operand"),
            ("da_r = dR * R * (1 - R)", "da_r = dR * R", "no derivative"),
            ("da_h = dH_tilde * (1 - H_tilde**2)", "da_h = dH_tilde * H_tilde * (1 - H_tilde)", "derivative at"),
            ("db_z += da_z.sum(axis=0)", "db_z = da_z.sum(axis=0)", "overwritten"),
            ("dH = g[t] + dnext", "dH = g[t]", "no term")),
    chapter("lstm", "lstm_bptt", lstm_inputs, "H C W_x W_h b",
            ("dC_next + dH * O * (1 - np.tanh(C_new) ** 2)", "dH * O * (1 - np.tanh(C_new) ** 2)", "no term"),
            ("dC_next + dH * O * (1 - np.tanh(C_new) ** 2)", "dC_next + dH * O", "no derivative"),
            ("(1 - np.tanh(C_new) ** 2)", "(1 - C_new**2)", "derivative at"),
            ("dO = dH * np.tanh(C_new)", "dO = dH * C_new", "no derivative", VALUE),
            ("dF = dC * C\n", "dF = dC * C_new\n", "operand"),
            ("dI = dC * C_tilde", "dI = dC * C", "operand"),
            ("dC_next = dC * F", "dC_next = dC", "no derivative"),
            ("dC_next = dC * F", "dC_next = dC * I", "operand"),
            ("[dI * I * (1 - I), dF * F * (1 - F)", "[dF * F * (1 - F), dI * I * (1 - I)", "order"),
            ("dH = g[t] + dH_next", "dH = g[t]", "no term"),
            ("dW_h += H.T @ dA", "dW_h = H.T @ dA", "overwritten"),
            ("dH_next = dA @ W_h.T", "dH_next = dH * O", "operand"),
            ("dC_tilde * (1 - C_tilde**2)]", "dC_tilde * C_tilde * (1 - C_tilde)]", "derivative at"),
            ("db += dA.sum(axis=0)", "db += dA[0]", "last only")),
    chapter("attention", "attention_backward", draws(Q="nd", K="id", V="ih"), "Q K V",
            ("dQ = dS @ K / np.sqrt(d)", "dQ = dS @ K", "factor"),
            ("dK = dS.T @ Q / np.sqrt(d)", "dK = dS.T @ Q / d", "factor"),
            ("A * (dA - (dA * A).sum(axis=1, keepdims=True))", "A * (1 - A) * dA", "softmax"),
            ("A * (dA - (dA * A).sum(axis=1, keepdims=True))", "dA", "no derivative"),
            ("(dA * A).sum(axis=1, keepdims=True)", "(dA * A).sum(axis=0, keepdims=True)", "axis"),
            ("A * (dA - (dA * A).sum(axis=1, keepdims=True))", "A * dA", "no term",
             {"softmax_diagonal_only", "missing_activation_derivative"}),
            ("dV = A.T @ g", "dV = A.T @ A @ V", "no cotangent"),
            ("dK = dS.T @ Q", "dK = dS.T @ dQ", "operand"),
            ("dV = A.T @ g", "dV = (A * A).T @ g", "extra factor")),
]  # fmt: skip


def matched(size: str, **arrays: str) -> tuple[Any, Any]:
    """Draws for the arrays of an object, and for its input."""
    both = {"n": 5, "d": 3, "h": 4, "k": 3, "v": 6}

    def make(rng: Rng) -> dict[str, Any]:
        return {n: rng.normal(size=tuple(both[c] for c in s)) * 0.7 for n, s in arrays.items()}

    def draw(rng: Rng) -> dict[str, Any]:
        n = int(rng.integers(3, 8))
        return {"x": rng.normal(size=(n, *(both[c] for c in size))) + 0.3}

    return make, draw


def norms(rng: Rng) -> dict[str, Any]:
    return {"gamma": rng.normal(size=4) + 2, "beta": rng.normal(size=4)}


def kernels(rng: Rng) -> dict[str, Any]:
    return {"W": rng.normal(size=(3, 2, 2, 3)), "b": rng.normal(size=3)}


def drawn(width: int) -> Any:
    return lambda rng: {"x": rng.normal(size=(int(rng.integers(3, 8)), width)) * 1.5 + 0.5}


def labelled(rng: Rng) -> dict[str, Any]:
    n = int(rng.integers(3, 8))
    return {"x": rng.normal(size=(n, 3)), "t": rng.integers(0, 3, size=n)}


OBJECTS = [
    book("Affine", *matched("d", W="dh", b="h"), "W b",
         ("dW = np.dot(self.x.T, dout)", "dW = np.dot(self.x.T, dout) / len(dout)", "factor"),
         ("db = np.sum(dout, axis=0)", "db = np.mean(dout, axis=0)", "factor"),
         ("db = np.sum(dout, axis=0)", "db = np.sum(dout)", "axis"),
         ("self.grads[0][...] = dW", "self.grads[0][...] = dW + W", "extra term", {"extra_penalty"}),
         ("db = np.sum(dout, axis=0)", "db = dout[0]", "last only"),
         ("dx = np.dot(dout, W.T)", "dx = -np.dot(dout, W.T)", "sign"),
         ("        self.grads[1][...] = db\n", "", "no term", {"cotangent_ignored", "scale"})),
    book("Sigmoid", nothing, drawn(3), "",
         ("dout * (1.0 - self.out) * self.out", "dout * (1.0 - self.out)", "no derivative",
          {"activation_derivative_at_wrong_value"}),
         ("dout * (1.0 - self.out) * self.out", "dout * self.out", "no derivative",
          {"activation_derivative_at_wrong_value"}),
         ("dout * (1.0 - self.out) * self.out", "(1.0 - self.out) * self.out", "no cotangent"),
         ("(1.0 - self.out) * self.out", "(1.0 - dout) * dout", "operand"),
         ("(1.0 - self.out) * self.out", "(1.0 + self.out) * self.out", "sign"),
         ("(1.0 - self.out) * self.out", "(1.0 - self.out**2)", "derivative at")),
    book("Relu", nothing, drawn(4), "",
         ("dx[self.mask] = 0", "dx[~self.mask] = 0", "derivative at", {"sign"}),
         ("        dx[self.mask] = 0\n", "", "no derivative"),
         ("dx[self.mask] = 0", "dx[dx <= 0] = 0", "derivative at"),
         ("dx[self.mask] = 0", "dx[self.mask] = 1", "derivative at"),
         ("dx = dout.copy()", "dx = np.ones_like(dout)", "no cotangent"),
         ("dx[self.mask] = 0", "dx[self.mask] *= -1", "derivative at", {"sign"})),
    book("Softmax", nothing, drawn(4), "",
         ("        dx -= self.out * sumdx\n", "", "no term",
          {"softmax_diagonal_only", "missing_activation_derivative"}),
         ("dx -= self.out * sumdx", "dx -= sumdx", "no derivative"),
         ("axis=1, keepdims=True", "axis=0, keepdims=True", "axis"),
         ("dx -= self.out * sumdx", "dx += self.out * sumdx", "sign"),
         ("dx -= self.out * sumdx", "dx -= self.out * dx", "softmax"),
         ("sumdx = np.sum(dx, axis=1, keepdims=True)", "sumdx = np.mean(dx, axis=1, keepdims=True)", "factor"),
         ("dx = self.out * dout", "dx = dout.copy()", "no derivative")),
    book("SoftmaxWithLoss", nothing, labelled, "",
         ("        dx = dx / batch_size\n", "", "factor"),
         ("        dx[np.arange(batch_size), self.t] -= 1\n", "", "no term", {"wrong_loss_gradient"}),
         ("-= 1", "+= 1", "sign"),
         ("        dx *= dout\n", "        dx *= dx\n", "operand"),
         ("dx[np.arange(batch_size), self.t] -= 1", "dx[:, self.t] -= 1", "index"),
         ("dx = dx / batch_size", "dx = dx / dx.shape[1]", "factor"),
         ("dx = dx / batch_size", "dx = -dx / batch_size", "sign")),
    book("BatchNormalization", norms, drawn(4), "gamma beta",
         ("dxn = self.gamma * dout", "dxn = dout", "no derivative"),
         ("dstd = -np.sum", "dstd = np.sum", "sign"),
         ("(self.std * self.std)", "self.std", "power"),
         ("dvar = 0.5 * dstd / self.std", "dvar = dstd / self.std", "factor"),
         ("dvar = 0.5 * dstd / self.std", "dvar = 0.5 * dstd * self.std", "power"),
         ("dxc += (2.0", "dxc = (2.0", "overwritten"),
         ("        dxc += (2.0 / self.batch_size) * self.xc * dvar\n", "", "no term"),
         ("dx = dxc - dmu / self.batch_size", "dx = dxc - dmu", "factor"),
         ("dx = dxc - dmu / self.batch_size", "dx = dxc", "no term"),
         ("dx = dxc - dmu / self.batch_size", "dx = dxc + dmu / self.batch_size", "sign"),
         ("np.sum(self.xn * dout, axis=0)", "np.sum(self.xc * dout, axis=0)", "operand"),
         ("dxc = dxn / self.std", "dxc = dxn * self.std", "power"),
         by_name=True),
    book("Embedding", lambda rng: {"W": rng.normal(size=(4, 3))}, lambda rng: {"idx": rng.integers(0, 4, size=6)}, "W",
         ("np.add.at(dW, self.idx, dout)", "dW[self.idx] += dout", "rows"),
         ("np.add.at(dW, self.idx, dout)", "dW[self.idx] = dout", "rows"),
         ("np.add.at(dW, self.idx, dout)", "np.add.at(dW, self.idx, dout / len(dout))", "factor"),
         ("np.add.at(dW, self.idx, dout)", "np.add.at(dW, self.idx[::-1], dout)", "index"),
         ("np.add.at(dW, self.idx, dout)", "np.add.at(dW, self.idx[1:], dout[1:])", "index"),
         ("dW[...] = 0", "dW[...] = 1", "extra term"),
         given="idx"),
    book("RNN", lambda rng: {"Wx": rng.normal(size=(3, 4)), "Wh": rng.normal(size=(4, 4)), "b": rng.normal(size=4)},
         lambda rng: {"x": rng.normal(size=(5, 3)), "h_prev": rng.normal(size=(5, 4))}, "Wx Wh b",
         ("dt = dh_next * (1 - h_next**2)", "dt = dh_next", "no derivative"),
         ("dt = dh_next * (1 - h_next**2)", "dt = dh_next * (1 - h_prev**2)", "derivative at"),
         ("dWh = np.dot(h_prev.T, dt)", "dWh = np.dot(h_next.T, dt)", "operand"),
         ("dh_prev = np.dot(dt, Wh.T)", "dh_prev = np.dot(dt, Wh)", "transpose"),
         ("dWx = np.dot(x.T, dt)", "dWx = np.dot(x.T, dh_next)", "no derivative"),
         ("db = np.sum(dt, axis=0)", "db = np.mean(dt, axis=0)", "factor"),
         ("dWh = np.dot(h_prev.T, dt)", "dWh = np.dot(dt.T, h_prev)", "transpose"),
         given="x h_prev"),
    book("TwoLayerNet",
         lambda rng: {"W1": rng.normal(size=(3, 5)), "b1": rng.normal(size=5), "W2": rng.normal(size=(5, 3)),
                                     "b2": rng.normal(size=3)}, labelled, "W1 b1 W2 b2",
         ("dout = self.loss_layer.backward(dout)", "dout = self.loss_layer.y - np.eye(3)[self.loss_layer.t]", "factor"),
         ("dout = self.loss_layer.backward(dout)", "dout = self.loss_layer.y / len(self.loss_layer.y)", "no term",
          {"wrong_loss_gradient"}),
         ("dout = self.loss_layer.backward(dout)", "dout = -self.loss_layer.backward(dout)", "sign"),
         ("            dout = layer.backward(dout)\n",
          "            dout = dout * 1.0 if isinstance(layer, Sigmoid) else layer.backward(dout)\n", "no derivative"),
         ("for layer in reversed(self.layers):", "for layer in reversed(self.layers[1:]):", "index",
          {"cotangent_ignored", "missing_activation_derivative", "detached"}),
         ("        return dout\n", "        self.grads[0] *= 2\n        return dout\n", "factor")),
    *(
        book("Convolution", kernels, lambda rng: {"x": rng.normal(size=(2, 2, 4 + int(rng.integers(0, 2)) * 2, 5))},
             "W b",
             ("self.db = np.sum(dout, axis=0)", "self.db = np.mean(dout, axis=0)", "factor"),
             ("np.dot(self.col.T, dout).transpose(1, 0).reshape(FN, C, FH, FW)",
              "np.dot(self.col.T, dout).reshape(FN, C, FH, FW)",
              "order", {"transpose"}),
             ("dout.transpose(0, 2, 3, 1).reshape(-1, FN)", "dout.reshape(-1, FN)", "order", {"transpose"}),
             ("np.dot(dout, self.col_W.T)", "np.dot(dout, self.col_W.T[:, ::-1])", "order"),
             ("self.dW = np.dot(self.col.T, dout)", "self.dW = -np.dot(self.col.T, dout)", "sign"),
             ("np.dot(dout, self.col_W.T)", "np.dot(dout, self.col_W.T) / len(dout)", "factor"),
             ("np.dot(self.col.T, dout).transpose(1, 0).reshape(FN, C, FH, FW)",
              "np.dot(self.col.T, dout).transpose(1, 0).reshape(FN, C, FH, FW)[:, :, ::-1, ::-1]", "order"),
             settings={"stride": stride, "pad": pad}, by_name=True)
        for stride, pad in ((1, 0), (1, 1), (2, 1))
    ),
]  # fmt: skip

CASES += OBJECTS
