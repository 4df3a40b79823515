"""Layers and classifiers with caches, and typical mistakes in them."""

from typing import Any

import numpy as np

from tests.students.judge import Array, Call, Case, Mistake, Module
from tests.students.ways import with_cache, with_loss

Rng = np.random.Generator


def sizes(rng: Rng) -> tuple[int, int, int]:
    return int(rng.integers(3, 8)), int(rng.integers(3, 7)), int(rng.integers(2, 6))


def affine(rng: Rng) -> dict[str, Any]:
    n, d, m = sizes(rng)
    return {"x": rng.normal(size=(n, d, 2)), "w": rng.normal(size=(2 * d, m)), "b": rng.normal(size=m)}


def scores(rng: Rng) -> dict[str, Any]:
    n, c, _ = sizes(rng)
    return {"x": rng.normal(size=(n, c)), "y": rng.integers(0, c, size=n)}


def classifier(rng: Rng) -> dict[str, Any]:
    n, d, c = sizes(rng)
    c += 1
    return {"W": rng.normal(size=(d, c)), "X": rng.normal(size=(n, d)), "y": rng.integers(0, c, size=n),
            "reg": float(rng.uniform(0.1, 1.0))}  # fmt: skip


def norm(parameter: str, **settings: Any) -> Any:
    def draw(rng: Rng) -> dict[str, Any]:
        n, d, _ = sizes(rng)
        x = rng.normal(size=(n + 1, d + 1)) * 2 + 1
        return {"x": x, "gamma": rng.normal(size=d + 1) + 2, "beta": rng.normal(size=d + 1), parameter: dict(settings)}

    return draw


def dropout(rng: Rng) -> dict[str, Any]:
    n, d, _ = sizes(rng)
    settings = {"mode": "train", "p": 0.6, "seed": int(rng.integers(1000))}
    return {"x": rng.normal(size=(n + 3, d + 2)), "dropout_param": settings}


def convolution(stride: int, pad: int) -> Any:
    def draw(rng: Rng) -> dict[str, Any]:
        n, c, f, k = 2, int(rng.integers(1, 4)), int(rng.integers(2, 4)), int(rng.integers(2, 4))
        side = k + stride * int(rng.integers(1, 3)) - 2 * pad + (2 * pad if k < 2 * pad + 1 else 0)
        side += stride * 2 * pad
        return {"x": rng.normal(size=(n, c, side, side + stride)), "w": rng.normal(size=(f, c, k, k)),
                "b": rng.normal(size=f), "conv_param": {"stride": stride, "pad": pad}}  # fmt: skip

    return draw


def pool(stride: int) -> Any:
    def draw(rng: Rng) -> dict[str, Any]:
        n, c, side = int(rng.integers(1, 4)), int(rng.integers(1, 4)), 2 + stride * int(rng.integers(1, 3))
        return {"x": rng.normal(size=(n, c, side, side)),
                "pool_param": {"pool_height": 2, "pool_width": 2, "stride": stride}}  # fmt: skip

    return draw


def spatial(rng: Rng) -> dict[str, Any]:
    n, c, side = int(rng.integers(2, 4)), int(rng.integers(2, 4)), int(rng.integers(2, 4))
    return {"x": rng.normal(size=(n, c, side, side)) * 2 + 1, "gamma": rng.normal(size=c) + 2,
            "beta": rng.normal(size=c),
            "bn_param": {"mode": "train"}}  # fmt: skip


def group(rng: Rng) -> dict[str, Any]:
    n, g, side = int(rng.integers(2, 4)), int(rng.integers(2, 4)), int(rng.integers(2, 4))
    c = 2 * g
    return {"x": rng.normal(size=(n, c, side, side)) * 2 + 1, "gamma": rng.normal(size=(1, c, 1, 1)) + 2,
            "beta": rng.normal(size=(1, c, 1, 1)), "G": g, "gn_param": {"eps": 1e-5}}  # fmt: skip


def rnn_step(rng: Rng) -> dict[str, Any]:
    n, d, h = sizes(rng)
    return {"x": rng.normal(size=(n, d)), "prev_h": rng.normal(size=(n, h)), "Wx": rng.normal(size=(d, h)) * 0.5,
            "Wh": rng.normal(size=(h, h)) * 0.5, "b": rng.normal(size=h)}  # fmt: skip


def rnn(rng: Rng) -> dict[str, Any]:
    n, d, h = sizes(rng)
    return {"x": rng.normal(size=(n, int(rng.integers(2, 5)), d)), "h0": rng.normal(size=(n, h)),
            "Wx": rng.normal(size=(d, h)) * 0.5, "Wh": rng.normal(size=(h,
                                                                        h)) * 0.5, "b": rng.normal(size=h)}  # fmt: skip


def embedding(rng: Rng) -> dict[str, Any]:
    n, t, d = sizes(rng)
    return {"x": rng.integers(0, 4, size=(n, t)), "W": rng.normal(size=(4, d))}


def lstm_step(rng: Rng) -> dict[str, Any]:
    n, d, h = sizes(rng)
    return {"x": rng.normal(size=(n, d)), "prev_h": rng.normal(size=(n, h)), "prev_c": rng.normal(size=(n, h)),
            "Wx": rng.normal(size=(d, 4 * h)) * 0.5, "Wh": rng.normal(size=(h, 4 * h)) * 0.5,
            "b": rng.normal(size=4 * h)}  # fmt: skip


def lstm_call(module: Module, seed: int) -> Call:
    inputs = lstm_step(np.random.default_rng(seed))
    f, b = module.lstm_step_forward, module.lstm_step_backward

    def gradients(g: Array) -> dict[str, Array]:
        dh, dc = np.split(g, 2, axis=1)
        return dict(zip(inputs, b(dh, dc, f(*inputs.values())[2]), strict=True))

    return Call((f, tuple(inputs.values())), inputs, lambda: np.hstack(f(*inputs.values())[:2]), gradients, b)


def net_call(module: Module, seed: int) -> Call:
    rng = np.random.default_rng(seed)
    net = module.TwoLayerNet(seed=seed)
    X, y = rng.normal(size=(7, 8)), rng.integers(0, 4, size=7)
    return Call((net, (X, y)), net.params, lambda: net.loss(X, y)[0], lambda g: net.loss(X, y)[1])


def two_layers(rng: Rng) -> dict[str, Any]:
    n, d, h = sizes(rng)
    h, c, n = h + 2, 4, n + 2
    return {"W1": rng.normal(size=(d, h)), "b1": rng.normal(size=h), "W2": rng.normal(size=(h, c)),
            "b2": rng.normal(size=c),
            "X": rng.normal(size=(n, d)), "y": rng.integers(0, c, size=n), "reg": 0.3}  # fmt: skip


def layer(name: str, draw: Any, given: str, *rows: tuple[Any, ...], backward: str = "", title: str = "") -> Case:
    backward = backward or f"{name}_backward"
    forward = f"{name}_forward"
    if name.endswith("naive"):
        forward, backward = name.replace("_naive", "_forward_naive"), name.replace("_naive", "_backward_naive")
    return Case(
        family="cs231n layers", name=title or backward, work="cs231n_layers", edited=backward,
        call=with_cache(forward, backward, draw, given), mistakes=tuple(Mistake(*row) for row in rows),
    )  # fmt: skip


def loss(name: str, draw: Any, given: str, *rows: tuple[Any, ...], work: str = "cs231n_classifiers") -> Case:
    return Case(
        family="cs231n losses", name=name, work=work, edited=name, call=with_loss(name, draw, given),
        mistakes=tuple(Mistake(*row) for row in rows),
    )  # fmt: skip


X_SUM = "np.sum(dout * x_hat, axis=0)"

CASES = [
    layer("affine", affine, "x w b",
          ("dout.dot(w.T)", "dout.dot(w.T / N)", "factor"),
          ("db = np.sum(dout, axis=0)", "db = dout", "no sum"),
          ("db = np.sum(dout, axis=0)", "db = np.mean(dout, axis=0)", "factor"),
          ("db = np.sum(dout, axis=0)", "db = np.sum(dout)", "axis"),
          ("dw = x.reshape(N, -1).T.dot(dout)", "dw = dout.T.dot(x.reshape(N, -1))", "transpose"),
          ("dw = x.reshape(N, -1).T.dot(dout)", "dw = x.reshape(N, -1).T.dot(dout) / N", "factor"),
          (".reshape(x.shape)", "", "no reshape"),
          ("dw = x.reshape(N, -1).T.dot(dout)", "dw = dx.reshape(N, -1).T.dot(dout)", "operand"),
          ("dw = x.reshape(N, -1).T.dot(dout)", "dw = x.reshape(-1, N).dot(dout)", "order"),
          ("dout.dot(w.T).reshape(x.shape)", "dout.dot(w.T).reshape(x.shape, order='F')", "order")),
    layer("relu", lambda rng: {"x": rng.normal(size=(5, 6))}, "x",
          ("dout * (x > 0)", "dout", "no derivative"),
          ("dout * (x > 0)", "dout * (dout > 0)", "derivative at"),
          ("dout * (x > 0)", "np.maximum(0, dout)", "derivative at"),
          ("dout * (x > 0)", "dout * (x < 0)", "derivative at", {"sign"}),
          ("dout * (x > 0)", "(x > 0).astype(float)", "no cotangent"),
          ("dout * (x > 0)", "dout * np.maximum(0, x)", "derivative at"),
          ("dout * (x > 0)", "dout * (x > 1)", "derivative at")),
    layer("affine_relu", affine, "x w b",
          ("da = relu_backward(dout, relu_cache)", "da = dout", "no derivative"),
          ("da = relu_backward(dout, relu_cache)", "da = relu_backward(dout, dout)", "derivative at"),
          ("affine_backward(da, fc_cache)", "affine_backward(dout, fc_cache)", "no derivative"),
          ("return dx, dw, db", "return da.dot(fc_cache[1].T), dw, db", "no reshape"),
          ("return dx, dw, db", "return dx, dw, da", "no sum"),
          ("return dx, dw, db", "return dx, dw / len(dx), db", "factor"),
          ("return dx, dw, db", "return dx, dw, dout.sum(axis=0)", "no derivative")),
    layer("batchnorm", norm("bn_param", mode="train"), "x gamma beta",
          ("dbeta = np.sum(dout, axis=0)", "dbeta = dout", "no sum"),
          ("dbeta = np.sum(dout, axis=0)", "dbeta = np.mean(dout, axis=0)", "factor"),
          (X_SUM, "np.sum(dout * xmu, axis=0)", "operand"),
          (X_SUM, "np.sum(dout, axis=0)", "no derivative"),
          (X_SUM, "dout * x_hat", "no sum"),
          (X_SUM, "np.sum(dout * x_hat)", "axis"),
          ("dx_hat = dout * gamma", "dx_hat = dout", "no derivative"),
          ("divar = np.sum(dx_hat * xmu, axis=0)", "divar = dx_hat * xmu", "no sum"),
          ("divar = np.sum(dx_hat * xmu, axis=0)", "divar = np.sum(dx_hat * x_hat, axis=0)", "operand"),
          ("dxmu1 = dx_hat * ivar", "dxmu1 = dx_hat * std", "operand"),
          ("dxmu1 = dx_hat * ivar", "dxmu1 = dx_hat / var", "power"),
          ("-1.0 / (std**2) * divar", "1.0 / (std**2) * divar", "sign"),
          ("-1.0 / (std**2) * divar", "-1.0 / std * divar", "power"),
          ("0.5 / np.sqrt(var + eps) * dstd", "1 / np.sqrt(var + eps) * dstd", "factor"),
          ("0.5 / np.sqrt(var + eps) * dstd", "0.5 * np.sqrt(var + eps) * dstd", "power"),
          ("np.ones((N, D)) / N * dvar", "np.ones((N, D)) * dvar", "factor"),
          ("np.ones((N, D)) / N * dvar", "np.ones((N, D)) / (N - 1) * dvar", "ddof"),
          ("2 * xmu * dsq", "xmu * dsq", "factor"),
          ("dmu = -np.sum(dxmu1 + dxmu2, axis=0)", "dmu = np.sum(dxmu1 + dxmu2, axis=0)", "sign"),
          ("dx2 = np.ones((N, D)) / N * dmu", "dx2 = np.ones((N, D)) * dmu", "factor"),
          ("dx = dx1 + dx2", "dx = dx1", "no term"),
          ("dx = dx1 + dx2", "dx = dxmu1 + dx2", "no term"),
          ("dx = dx1 + dx2", "dx = dxmu2 + dx2", "no term"),
          ("dx1 = dxmu1 + dxmu2", "dx1 = dxmu1", "no term")),
    layer("batchnorm", norm("bn_param", mode="train"), "x gamma beta",
          ("gamma * ivar / N *", "ivar / N *", "no derivative"),
          ("gamma * ivar / N *", "gamma * ivar *", "factor"),
          ("(N * dout - dbeta", "(dout - dbeta", "factor"),
          ("- dbeta - x_hat", "- x_hat", "no term"),
          (" - x_hat * dgamma", "", "no term"),
          (" - x_hat * dgamma", " - xmu * dgamma", "operand"),
          (" - x_hat * dgamma", " + x_hat * dgamma", "sign"),
          ("gamma * ivar / N *", "gamma * std / N *", "power"),
          ("gamma * ivar / N *", "gamma / (var + eps) / N *", "power"),
          ("np.sum(x_hat * dout, axis=0)", "np.sum(x_hat * dout)", "axis"),
          backward="batchnorm_backward_alt"),
    layer("layernorm", norm("ln_param", eps=1e-5), "x gamma beta",
          ("dbeta = dout.sum(axis=0)", "dbeta = dout.sum(axis=1)", "axis"),
          ("dgamma = np.sum(dout * x_norm, axis=0)", "dgamma = np.sum(dout * x_norm, axis=1)", "axis"),
          ("dx_norm = dout * gamma", "dx_norm = dout", "no derivative"),
          ("D = dout.shape[1]", "D = dout.shape[0]", "axis", {"scale"}),
          ("np.sum(dx_norm, axis=1, keepdims=True) / D", "np.sum(dx_norm, axis=0, keepdims=True) / D", "axis"),
          ("np.sum(dx_norm * x_norm, axis=1, keepdims=True)", "np.sum(dx_norm * x_norm, axis=0)", "axis"),
          ("    dx -= x_norm * np.sum(dx_norm * x_norm, axis=1, keepdims=True) / D\n", "", "no term"),
          ("dx_norm - np.sum(dx_norm, axis=1, keepdims=True) / D", "dx_norm", "no term"),
          ("dx /= std", "dx /= std**2", "power"),
          ("dx -= x_norm", "dx += x_norm", "sign"),
          ("    dx /= std\n", "", "no derivative")),
    layer("dropout", dropout, "x",
          ("dx = dout * mask", "dx = dout", "mask"),
          ("dx = dout * mask", "dx = dout * (mask > 0)", "mask scale"),
          ("dx = dout * mask", "dx = dout * mask * dropout_param['p']", "mask scale"),
          ("dx = dout * mask", "dx = dout * (np.random.rand(*dout.shape) < dropout_param['p']) / dropout_param['p']",
           "mask",
           {"dropout_mask_stale", "nondeterministic"}),
          ("dx = dout * mask", "dx = mask", "no cotangent"),
          ("dx = dout * mask", "dx = dout * (1 - mask)", "mask"),
          ("dx = dout * mask", "dx = dout * mask / dropout_param['p']", "mask scale")),
    *(
        layer("conv_naive", convolution(stride, pad), "x w b",
              ("dout[n, f, i, j] * x_pad[n, :, hs : hs + HH, ws : ws + WW]",
               "dout[n, f, i, j] * x_pad[n, :, i : i + HH, j : j + WW]" if stride > 1
               else "dout[n, f, i, j] * x_pad[n, :, hs : hs + HH, ws : ws + WW][:, ::-1, ::-1]", "index"),
              ("+= dout[n, f, i, j] * w[f]", "= dout[n, f, i, j] * w[f]", "overwritten"),
              ("+= dout[n, f, i, j] * w[f]", "+= dout[n, f, i, j] * w[f, :, ::-1, ::-1]", "order"),
              ("db[f] += dout[n, f].sum()", "db[f] = dout[n, f].sum()", "overwritten"),
              ("db[f] += dout[n, f].sum()", "db[f] += dout[n, f].mean()", "factor"),
              ("dw[f] += dout[n, f, i, j]", "dw[f] = dout[n, f, i, j]", "overwritten"),
              ("dx_pad[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]]", "dx_pad", "no reshape")
              if pad else ("dw[f] += dout[n, f, i, j]", "dw[f] -= dout[n, f, i, j]", "sign"),
              ("dx_pad[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]]",
               "dx_pad[:, :, : x.shape[2], : x.shape[3]]", "index")
              if pad else ("+= dout[n, f, i, j] * w[f]", "+= w[f]", "no cotangent"),
              ("for i in range(H_out)", "for i in range(H_out - 1)", "index", {"overwritten_not_accumulated"}),
              ("db[f] += dout[n, f].sum()", "db[f] += dout[n, f, 0, 0]", "last only"),
              ("range(N)", "range(N - 1)", "index", {"overwritten_not_accumulated"}),
              title=f"conv_backward_naive, stride {stride}, pad {pad}")
        for stride, pad in ((1, 0), (1, 1), (2, 1))
    ),
    *(
        layer("max_pool_naive", pool(stride), "x",
              ("mask * dout[n, c, i, j]", "dout[n, c, i, j]", "no derivative"),
              ("mask = window == np.max(window)", "mask = window > 0", "derivative at"),
              ("mask = window == np.max(window)", "mask = window == np.min(window)", "operand"),
              ("mask * dout[n, c, i, j]", "dout[n, c, i, j] / (ph * pw)", "operand"),
              ("mask * dout[n, c, i, j]", "mask", "no cotangent"),
              ("mask * dout[n, c, i, j]", "mask * window * dout[n, c, i, j]", "extra factor"),
              ("hs, ws = i * stride, j * stride", "hs, ws = i * stride, i * stride", "index"),
              *([("+= mask", "= mask", "overwritten")] if stride < 2 else
                [("hs, ws = i * stride, j * stride", "hs, ws = i, j", "index")]),
              title=f"max_pool_backward_naive, stride {stride}")
        for stride in (1, 2)
    ),
    layer("spatial_batchnorm", spatial, "x gamma beta",
          (".reshape(N, H, W, C).transpose(0, 3, 1, 2)", ".reshape(N, C, H, W)", "order"),
          ("dout.transpose(0, 2, 3, 1).reshape(-1, C)", "dout.reshape(-1, C)", "order"),
          ("return dx, dgamma, dbeta", "return dx, dgamma / (N * H * W), dbeta", "factor"),
          ("return dx, dgamma, dbeta", "return dx, dbeta, dgamma", "order"),
          ("return dx, dgamma, dbeta", "return dx / N, dgamma, dbeta", "factor"),
          ("return dx, dgamma, dbeta", "return dx, dgamma, dout.sum(axis=(0, 2))", "axis"),
          ("return dx, dgamma, dbeta", "return dx, dgamma, dbeta / N", "factor")),
    layer("spatial_groupnorm", group, "x gamma beta",
          ("M = C // G * H * W", "M = H * W", "factor"),
          ("M = C // G * H * W", "M = C * H * W", "factor"),
          ("(dout * gamma).reshape", "dout.reshape", "no derivative"),
          ("dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)", "dbeta = dout.sum(axis=(0, 2, 3))", "no keepdims"),
          ("dgamma = np.sum(dout * x_norm, axis=(0, 2, 3), keepdims=True)",
           "dgamma = np.sum(dout * x_norm, axis=(2, 3), keepdims=True)", "axis"),
          ("mean_d = dxn.sum(axis=(2, 3, 4), keepdims=True) / M", "mean_d = dxn.sum(axis=(3, 4), keepdims=True) / M",
           "axis"),
          (" - xn * mean_dx", "", "no term"),
          ("- mean_d - xn", "- xn", "no term"),
          (") / std", ")", "no derivative"),
          ("xn * mean_dx) / std", "xn * mean_dx) * std", "power")),
    layer("rnn_step", rnn_step, "x prev_h Wx Wh b",
          ("dnext_h * (1 - next_h**2)", "dnext_h", "no derivative"),
          ("dnext_h * (1 - next_h**2)", "dnext_h * (1 - np.tanh(next_h) ** 2)", "derivative at"),
          ("dnext_h * (1 - next_h**2)", "dnext_h * next_h * (1 - next_h)", "derivative at"),
          ("dprev_h = da.dot(Wh.T)", "dprev_h = da.dot(Wh)", "transpose"),
          ("dWh = prev_h.T.dot(da)", "dWh = next_h.T.dot(da)", "operand"),
          ("dWh = prev_h.T.dot(da)", "dWh = prev_h.T.dot(dnext_h)", "no derivative"),
          ("db = da.sum(axis=0)", "db = dnext_h.sum(axis=0)", "no derivative"),
          ("db = da.sum(axis=0)", "db = da", "no sum"),
          ("dWx = x.T.dot(da)", "dWx = da.T.dot(x)", "transpose")),
    layer("rnn", rnn, "x h0 Wx Wh b",
          ("dh[:, t, :] + dprev_h", "dh[:, t, :]", "no term"),
          ("dWx += dWx_t", "dWx = dWx_t", "overwritten"),
          ("dWh += dWh_t", "dWh = dWh_t", "overwritten"),
          ("db += db_t", "db = db_t", "overwritten"),
          ("dh[:, t, :] + dprev_h", "dprev_h", "no term", {"scale"}),
          ("for t in reversed(range(T))", "for t in range(T)", "order"),
          ("for t in reversed(range(T))", "for t in reversed(range(1, T))", "index"),
          ("dh[:, t, :] + dprev_h", "dh[:, -1, :] + dprev_h", "index"),
          ("dh0 = dprev_h", "dh0 = np.zeros_like(dprev_h)", "no term", {"scale"}),
          ("dh0 = dprev_h", "dh0 = dcurrent", "operand"),
          ("dWx += dWx_t", "dWx += dWx_t / T", "factor")),
    layer("word_embedding", embedding, "W",
          ("np.add.at(dW, x, dout)", "dW[x] += dout", "rows"),
          ("np.add.at(dW, x, dout)", "dW[x] = dout", "rows"),
          ("np.add.at(dW, x, dout)", "np.add.at(dW, x[:, ::-1], dout)", "index"),
          ("np.add.at(dW, x, dout)", "np.add.at(dW, x, dout / len(x))", "factor"),
          ("np.add.at(dW, x, dout)", "np.add.at(dW, x[:, -1], dout[:, -1])", "last only"),
          ("np.add.at(dW, x, dout)", "np.add.at(dW, x, W[x])", "no cotangent")),
    Case("cs231n layers", "lstm_step_backward", "cs231n_layers", "lstm_step_backward", lstm_call,
         tuple(Mistake(*row) for row in (
        ("do = dnext_h * tanh_c", "do = dnext_h * g", "operand"),
        ("dnext_c + dnext_h * o * (1 - tanh_c**2)", "dnext_h * o * (1 - tanh_c**2)", "no term"),
        ("dnext_c + dnext_h * o * (1 - tanh_c**2)", "dnext_c", "no term"),
        ("dnext_c + dnext_h * o * (1 - tanh_c**2)", "dnext_c + dnext_h * o", "no derivative"),
        ("dprev_c = dc * f", "dprev_c = dc", "no derivative"),
        ("df = dc * prev_c", "df = dc * g", "operand"),
        ("di = dc * g", "di = dc * prev_c", "operand"),
        ("dag = dg * (1 - g**2)", "dag = dg * g * (1 - g)", "derivative at"),
        ("np.hstack((dai, daf, dao, dag))", "np.hstack((dai, daf, dag, dao))", "order"),
        ("np.hstack((dai, daf, dao, dag))", "np.hstack((di, df, do, dg))", "no derivative"),
        ("dWh = prev_h.T @ da", "dWh = dprev_h.T @ da", "operand"),
        ("dai = di * i * (1 - i)", "dai = di", "no derivative")))),
    loss("svm_loss", scores, "x",
         ("    dx /= N\n", "", "factor"),
         ("dx[np.arange(N), y] -= num_pos", "dx[np.arange(N), y] -= 1", "factor"),
         ("    dx[np.arange(N), y] -= num_pos\n", "", "no term"),
         ("dx[np.arange(N), y] -= num_pos", "dx[np.arange(N), y] += num_pos", "sign"),
         ("dx[margins > 0] = 1", "dx[margins > 0] = margins[margins > 0]", "loss"),
         ("dx[margins > 0] = 1", "dx[x > 0] = 1", "derivative at"),
         work="cs231n_layers"),
    loss("softmax_loss", scores, "x",
         ("    dx /= N\n", "", "factor"),
         ("    dx[np.arange(N), y] -= 1\n", "", "no term", {"wrong_loss_gradient"}),
         ("dx = probs.copy()", "dx = shifted.copy()", "operand"),
         ("dx[np.arange(N), y] -= 1", "dx[:, y] -= 1", "index"),
         ("dx[np.arange(N), y] -= 1", "dx[np.arange(N), y] += 1", "sign"),
         ("dx /= N", "dx /= x.size", "factor"),
         ("dx = probs.copy()", "dx = np.exp(shifted)", "no derivative"),
         ("dx /= N", "dx /= -N", "sign"),
         work="cs231n_layers"),
    loss("svm_loss_naive", classifier, "W",
         ("    dW /= num_train\n", "", "factor"),
         ("    dW += 2 * reg * W\n", "", "penalty"),
         ("dW += 2 * reg * W", "dW += reg * W", "penalty"),
         ("                dW[:, y[i]] -= X[i]\n", "", "no term"),
         ("dW[:, y[i]] -= X[i]", "dW[:, y[i]] += X[i]", "sign"),
         ("dW[:, j] += X[i]", "dW[:, j] = X[i]", "overwritten"),
         ("dW += 2 * reg * W", "dW += 2 * reg * np.abs(W)", "penalty"),
         ("dW /= num_train\n    loss += reg * np.sum(W * W)\n    dW += 2 * reg * W",
          "loss += reg * np.sum(W * W)\n    dW += 2 * reg * W\n    dW /= num_train", "penalty")),
    loss("svm_loss_vectorized", classifier, "W",
         ("X.T.dot(coeff) / N", "X.T.dot(coeff)", "factor"),
         ("    coeff[np.arange(N), y] = -coeff.sum(axis=1)\n", "", "no term"),
         ("= -coeff.sum(axis=1)", "= coeff.sum(axis=1)", "sign"),
         ("= -coeff.sum(axis=1)", "= -1", "factor"),
         ("(margins > 0).astype(float)", "margins.copy()", "loss"),
         ("dW += 2 * reg * W", "dW = 2 * reg * W", "overwritten", {"penalty_in_place"}),
         ("    dW += 2 * reg * W\n", "", "penalty"),
         ("dW += 2 * reg * W", "dW += reg * W", "penalty")),
    loss("softmax_loss_naive", classifier, "W",
         ("(p[j] - (j == y[i])) * X[i]", "p[j] * X[i]", "no term"),
         ("(p[j] - (j == y[i])) * X[i]", "(p[j] + (j == y[i])) * X[i]", "sign"),
         ("dW[:, j] +=", "dW[:, j] =", "overwritten"),
         ("dW = dW / N + 2 * reg * W", "dW = dW + 2 * reg * W", "factor"),
         ("dW = dW / N + 2 * reg * W", "dW = (dW + 2 * reg * W) / N", "penalty"),
         ("dW = dW / N + 2 * reg * W", "dW = dW / N + reg * W", "penalty"),
         ("(p[j] - (j == y[i])) * X[i]", "(p[j] - 1) * X[i]", "index"),
         ("dW = dW / N + 2 * reg * W", "dW = dW / N", "penalty")),
    loss("softmax_loss_vectorized", classifier, "W",
         ("X.T @ ds / N", "X.T @ ds", "factor"),
         ("X.T @ ds / N", "X.T @ p / N", "operand"),
         ("    ds[np.arange(N), y] -= 1\n", "", "no term"),
         ("    dW += 2 * reg * W\n", "", "penalty"),
         ("dW += 2 * reg * W", "dW += 2 * reg * np.sum(W)", "penalty"),
         ("dW += 2 * reg * W", "dW += 2 * reg", "penalty"),
         ("dW += 2 * reg * W", "dW -= 2 * reg * W", "penalty", {"sign"}),
         ("X.T @ ds / N", "X.T @ ds / W.shape[1]", "factor")),
    loss("two_layer_loss", two_layers, "W1 b1 W2 b2",
         ("    dscores /= N\n", "", "factor"),
         ("    dhidden[hidden <= 0] = 0\n", "", "no derivative"),
         ("dhidden[hidden <= 0] = 0", "dhidden[dhidden <= 0] = 0", "derivative at"),
         ("hidden.T.dot(dscores) + 2 * reg * W2", "hidden.T.dot(dscores) + reg * W2", "penalty"),
         ("X.T.dot(dhidden) + 2 * reg * W1", "X.T.dot(dhidden)", "penalty"),
         ("X.T.dot(dhidden) + 2 * reg * W1", "X.T.dot(dhidden) + 2 * reg * W2.sum()", "penalty"),
         ("np.sum(dscores, axis=0)", "np.sum(dscores)", "axis"),
         ("np.sum(dhidden, axis=0)", "dhidden", "no sum"),
         ("np.sum(dhidden, axis=0)", "np.mean(dhidden, axis=0)", "factor"),
         ("    dscores[range(N), y] -= 1\n", "", "no term")),
    Case("cs231n losses", "TwoLayerNet", "cs231n_classifiers", "TwoLayerNet.loss", net_call,
         tuple(Mistake(*row) for row in (
        ("        dscores /= N\n", "", "factor"),
        ("        dh *= h > 0\n", "", "no derivative"),
        ("h.T @ dscores + self.reg * W2", "h.T @ dscores + 2 * self.reg * W2", "penalty"),
        ("X.T @ dh + self.reg * W1", "X.T @ dh + self.reg", "penalty"),
        ("dh *= h > 0", "dh *= h", "derivative at"),
        ("h.T @ dscores + self.reg * W2", "np.maximum(0, X @ W1).T @ dscores + self.reg * W2", "operand"),
        ("dscores.sum(axis=0)", "dscores", "no sum"),
        ("dh.sum(axis=0)", "dh.sum(axis=1)", "axis")))),
]  # fmt: skip
