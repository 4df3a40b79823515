"""Layers: recurrent nets, convolution, pooling, norms, attention."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_nn as tg
from tests.students.operations import Array, but, normal, operation
from tinygrad_nn.ops.convolution import conv, conv_transpose
from tinygrad_nn.ops.pooling import avg_pool, max_pool


def sig(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


# -- Recurrent nets


def rnn(x: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    h, hs = np.zeros((x.shape[1], Wh.shape[0])), []
    for t in range(len(x)):
        h = np.tanh(x[t] @ Wx + h @ Wh + b)
        hs.append(h)
    return np.stack(hs)


@operation("recurrent", rnn, normal((5, 3, 2), (2, 4), (4, 4), (4,), scale=0.7),
    state_not_carried=but("dh = g[t] + dh_next", "dh = g[t]", "not_carried_back detached last_step_only",
        "tanh|add|stack|h"),
    last_step_of_dWh_only=but("dWh += ", "dWh = ", "last_step_only overwritten_not_accumulated", "matmul|Wh"),
    first_step_of_db_only=but("db += ", "db = ", "last_step_only overwritten_not_accumulated", "add|b"),
    tanh_derivative_missing=but("dz = dh * (1 - h[t + 1] ** 2)", "dz = dh",
        "missing_activation_derivative missing_factor", "tanh"),
    tanh_derivative_of_the_state_before=but("(1 - h[t + 1] ** 2)", "(1 - h[t] ** 2)",
        "activation_derivative_at_wrong_value wrong_value", "tanh"),
    Wh_not_transposed=but("dh_next = dz @ Wh.T", "dh_next = dz @ Wh", "transpose", "matmul|Wh"),
    state_after_for_before=but("h[t].T @ dz", "h[t + 1].T @ dz", "wrong_layer_input wrong_value", "matmul|Wh"),
    loop_forwards=but("reversed(range(len(x)))", "range(len(x))", "wrong_order not_carried_back", "."),
    db_is_a_mean=but("dz.sum(axis=0)", "dz.mean(axis=0)", "scale", "add|b"),
)  # fmt: skip
def rnn_backward(x: Array, Wx: Array, Wh: Array, b: Array, g: Array) -> Any:
    h = np.zeros((len(x) + 1, x.shape[1], len(b)))
    for t in range(len(x)):
        h[t + 1] = np.tanh(x[t] @ Wx + h[t] @ Wh + b)
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh_next = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        dh = g[t] + dh_next
        dz = dh * (1 - h[t + 1] ** 2)
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += h[t].T @ dz
        db += dz.sum(axis=0)
        dh_next = dz @ Wh.T
    return dx, dWx, dWh, db


def lstm(x: Array, W: Array, U: Array, b: Array) -> Array:
    n = U.shape[0]
    h = c = np.zeros((x.shape[1], n))
    hs = []
    for t in range(len(x)):
        z = x[t] @ W + h @ U + b
        i, f, o = tg.sigmoid(z[:, :n]), tg.sigmoid(z[:, n : 2 * n]), tg.sigmoid(z[:, 2 * n : 3 * n])
        u = np.tanh(z[:, 3 * n :])
        c = f * c + i * u
        h = o * np.tanh(c)
        hs.append(h)
    return np.stack(hs)


@operation("recurrent", lstm, normal((4, 3, 2), (2, 12), (3, 12), (12,), scale=0.7),
    cell_not_carried=but("dc = dc_next + dh * o * (1 - np.tanh(c[t + 1]) ** 2)",
        "dc = dh * o * (1 - np.tanh(c[t + 1]) ** 2)", "not_carried_back detached last_step_only", "."),
    state_not_carried=but("dh = g[t] + dh_next", "dh = g[t]", "not_carried_back detached last_step_only", "."),
    forget_gate_missing_on_the_way_back=but("dc_next = dc * f", "dc_next = dc",
        "missing_factor product_rule_half wrong_gate", "multiply|f"),
    input_gate_for_forget_gate=but("dc_next = dc * f", "dc_next = dc * i", "wrong_gate wrong_value", "multiply|f"),
    cell_before_for_the_candidate=but("di = dc * u", "di = dc * c[t]", "wrong_gate wrong_value product_rule_half",
        "multiply|sigmoid|i"),
    cell_after_for_cell_before=but("df = dc * c[t]", "df = dc * c[t + 1]", "wrong_value wrong_gate wrong_layer_input",
        "multiply|sigmoid|f"),
    tanh_of_the_cell_not_differentiated=but("dh * o * (1 - np.tanh(c[t + 1]) ** 2)", "dh * o",
        "missing_activation_derivative missing_factor", "tanh"),
    tanh_of_the_cell_missing_from_do=but("do = dh * np.tanh(c[t + 1])", "do = dh * c[t + 1]",
        "wrong_value missing_factor wrong_gate", "multiply|o|tanh"),
    output_gate_without_its_slope=but("do * o * (1 - o)", "do", "missing_activation_derivative missing_factor",
        "sigmoid"),
    candidate_with_the_slope_of_a_sigmoid=but("du * (1 - u**2)", "du * u * (1 - u)",
        "wrong_derivative activation_derivative_at_wrong_value wrong_gate", "tanh"),
    gates_in_another_order=but("dz_i, dz_f, dz_o, dz_u]", "dz_f, dz_i, dz_o, dz_u]", "wrong_order wrong_gate",
        "getitem|sigmoid|concat"),
)  # fmt: skip
def lstm_backward(x: Array, W: Array, U: Array, b: Array, g: Array) -> Any:
    n, T = len(U), len(x)
    h, c, gates = np.zeros((T + 1, x.shape[1], n)), np.zeros((T + 1, x.shape[1], n)), []
    for t in range(T):
        z = x[t] @ W + h[t] @ U + b
        i, f, o, u = sig(z[:, :n]), sig(z[:, n : 2 * n]), sig(z[:, 2 * n : 3 * n]), np.tanh(z[:, 3 * n :])
        gates.append((i, f, o, u))
        c[t + 1] = f * c[t] + i * u
        h[t + 1] = o * np.tanh(c[t + 1])
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    dh_next, dc_next = np.zeros_like(h[0]), np.zeros_like(c[0])
    for t in reversed(range(T)):
        i, f, o, u = gates[t]
        dh = g[t] + dh_next
        do = dh * np.tanh(c[t + 1])
        dc = dc_next + dh * o * (1 - np.tanh(c[t + 1]) ** 2)
        di = dc * u
        df = dc * c[t]
        du = dc * i
        dc_next = dc * f
        dz_i, dz_f = di * i * (1 - i), df * f * (1 - f)
        dz_o = do * o * (1 - o)
        dz_u = du * (1 - u**2)
        dz = np.concatenate([dz_i, dz_f, dz_o, dz_u], axis=1)
        dx[t] = dz @ W.T
        dW += x[t].T @ dz
        dU += h[t].T @ dz
        db += dz.sum(axis=0)
        dh_next = dz @ U.T
    return dx, dW, dU, db


def gru(x: Array, h: Array, W: Array, U: Array, Wn: Array, Un: Array) -> Array:
    n = h.shape[1]
    for t in range(len(x)):
        z = tg.sigmoid(x[t] @ W + h @ U)
        r, u = z[:, :n], z[:, n:]
        h = (1 - u) * np.tanh(x[t] @ Wn + (r * h) @ Un) + u * h
    return h


@operation("recurrent", gru, normal((4, 3, 2), (3, 3), (2, 6), (3, 6), (2, 3), (3, 3), scale=0.7),
    sign_of_the_update_gate=but("du = dh * (h0 - n)", "du = dh * (n - h0)", "sign", "subtract|multiply|u"),
    one_minus_u_is_u=but("dn = dh * (1 - u)", "dn = dh * u", "wrong_gate wrong_value", "multiply|tanh|subtract"),
    direct_road_forgotten=but("dh = dh * u + drh * r + dz @ U.T", "dh = drh * r + dz @ U.T",
        "residual_forgotten overwritten_not_accumulated not_carried_back", "multiply|add|h"),
    reset_gate_forgotten=but("drh * r + dz", "drh + dz", "missing_factor product_rule_half wrong_gate", "multiply|r"),
    reset_gate_missing_in_dUn=but("dUn += (r * h0).T @ da", "dUn += h0.T @ da",
        "missing_factor wrong_layer_input wrong_gate wrong_value", "matmul|Un"),
    gates_in_another_order=but("np.concatenate([dr * r * (1 - r), du * u * (1 - u)], axis=1)",
        "np.concatenate([du * u * (1 - u), dr * r * (1 - r)], axis=1)", "wrong_order wrong_gate",
        "getitem|sigmoid|concat"),
)  # fmt: skip
def gru_backward(x: Array, h: Array, W: Array, U: Array, Wn: Array, Un: Array, g: Array) -> Any:
    steps = []
    for t in range(len(x)):
        r, u = np.split(sig(x[t] @ W + h @ U), 2, axis=1)
        n = np.tanh(x[t] @ Wn + (r * h) @ Un)
        steps.append((h, r, u, n))
        h = (1 - u) * n + u * h
    dx, dW, dU, dWn, dUn = (np.zeros_like(a) for a in (x, W, U, Wn, Un))
    dh = g
    for t in reversed(range(len(x))):
        h0, r, u, n = steps[t]
        dn = dh * (1 - u)
        du = dh * (h0 - n)
        da = dn * (1 - n**2)
        drh = da @ Un.T
        dr = drh * h0
        dz = np.concatenate([dr * r * (1 - r), du * u * (1 - u)], axis=1)
        dx[t] = da @ Wn.T + dz @ W.T
        dW += x[t].T @ dz
        dU += h0.T @ dz
        dWn += x[t].T @ da
        dUn += (r * h0).T @ da
        dh = dh * u + drh * r + dz @ U.T
    return dx, dh, dW, dU, dWn, dUn


# -- Convolution and pooling


def conv2d(x: Array, w: Array, b: Array) -> Array:
    return conv(x, w, stride=2, padding=1) + b[:, None, None]


@operation("convolution", conv2d, normal((2, 3, 6, 6), (4, 3, 3, 3), (4,)),
    kernel_flipped_in_dx=but("w[:, :, i, j])", "w[:, :, 2 - i, 2 - j])", "flipped_kernel", "conv"),
    kernel_flipped_in_dw=but("dw[:, :, i, j] =", "dw[:, :, 2 - i, 2 - j] =", "flipped_kernel", "conv"),
    padding_left_on=but("return dx[:, :, 1:-1, 1:-1]", "return dx[:, :, :-2, :-2]", "wrong_padding", "conv|pad"),
    taps_overwritten=but("dx[:, :, i : i + 6 : 2, j : j + 6 : 2] += np",
        "dx[:, :, i : i + 6 : 2, j : j + 6 : 2] = np", "overwritten_not_accumulated last_step_only", "conv"),
    bias_not_summed_over_the_batch=but("g.sum(axis=(0, 2, 3))", "g[0].sum(axis=(1, 2))",
        "broadcast_not_summed wrong_axis_sum last_step_only", "add|b"),
    bias_is_a_mean_over_pixels=but("g.sum(axis=(0, 2, 3))", "g.sum(axis=0).mean(axis=(1, 2))", "scale", "add|b"),
    dw_of_the_input_without_padding=but("p[:, :, i : i + 6 : 2, j : j + 6 : 2])",
        "q[:, :, i : i + 6 : 2, j : j + 6 : 2])", "wrong_padding", "conv"),
    kernel_rows_and_columns_exchanged=but("w[:, :, i, j])", "w[:, :, j, i])", "transpose flipped_kernel", "conv"),
)  # fmt: skip
def conv2d_backward(x: Array, w: Array, b: Array, g: Array) -> Any:
    p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    q = np.pad(x, ((0, 0), (0, 0), (0, 2), (0, 2)))
    dx, dw = np.zeros_like(q), np.zeros_like(w)
    for i in range(3):
        for j in range(3):
            dx[:, :, i : i + 6 : 2, j : j + 6 : 2] += np.einsum("noyx,oc->ncyx", g, w[:, :, i, j])
            dw[:, :, i, j] = np.einsum("noyx,ncyx->oc", g, p[:, :, i : i + 6 : 2, j : j + 6 : 2])
    return dx[:, :, 1:-1, 1:-1], dw, g.sum(axis=(0, 2, 3))


def conv1d(x: Array, w: Array) -> Array:
    return conv(x, w)


@operation("convolution", conv1d, normal((2, 2, 8), (3, 2, 3)),
    kernel_flipped_in_dx=but("w[:, :, k])", "w[:, :, 2 - k])", "flipped_kernel", "conv"),
    one_sample_of_dw_only=but('dw[:, :, k] = np.einsum("noy,ncy->oc", g, ',
        'dw[:, :, k] = np.einsum("oy,cy->oc", g[-1], ',
        "last_step_only overwritten_not_accumulated broadcast_not_summed", "conv",
        ("x[:, :, k : k + 6])", "x[-1, :, k : k + 6])")),
    shifted_by_one=but("dx[:, :, k : k + 6] +=", "dx[:, :, 2 - k : 8 - k] +=",
        "flipped_kernel wrong_padding wrong_index", "conv"),
)  # fmt: skip
def conv1d_backward(x: Array, w: Array, g: Array) -> Any:
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for k in range(3):
        dx[:, :, k : k + 6] += np.einsum("noy,oc->ncy", g, w[:, :, k])
        dw[:, :, k] = np.einsum("noy,ncy->oc", g, x[:, :, k : k + 6])
    return dx, dw


def upconv(x: Array, w: Array) -> Array:
    return conv_transpose(x, w, stride=2)


@operation("convolution", upconv, normal((2, 3, 4), (3, 2, 3)),
    kernel_flipped_in_dx=but("w[:, :, k])", "w[:, :, 2 - k])", "flipped_kernel", "conv"),
    stride_forgotten=but('dx += np.einsum("ncy,oc->noy", g[:, :, k : k + 7 : 2],',
        'dx += np.einsum("ncy,oc->noy", g[:, :, k : k + 4],', "wrong_stride", "conv"),
    kernel_flipped_in_dw=but("dw[:, :, k] =", "dw[:, :, 2 - k] =", "flipped_kernel", "conv"),
)  # fmt: skip
def upconv_backward(x: Array, w: Array, g: Array) -> Any:
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for k in range(3):
        dx += np.einsum("ncy,oc->noy", g[:, :, k : k + 7 : 2], w[:, :, k])
        dw[:, :, k] = np.einsum("noy,ncy->oc", x, g[:, :, k : k + 7 : 2])
    return dx, dw


@operation("pooling", lambda x: max_pool(x, 2), normal((2, 3, 6, 6)),
    gradient_to_every_entry=but("* best", "* np.ones_like(best)", "mask_missing", "max_pool|pooled_max|max"),
    mean_of_the_window=but("* best", "* np.full(best.shape, 1 / 4)", "mask_missing wrong_derivative",
        "max_pool|pooled_max|max"),
    the_first_of_each_window=but("best = windows == windows.max(axis=(3, 5), keepdims=True)",
        "best = np.zeros_like(windows); best[:, :, :, 0, :, 0] = 1", "wrong_index ties", "max_pool|pooled_max|max"),
    the_smallest=but("windows.max(", "windows.min(", "wrong_index wrong_derivative sign", "max_pool|pooled_max|max"),
    rows_and_columns_of_the_window_exchanged=but("return dx.reshape(x.shape)",
        "return dx.swapaxes(3, 5).reshape(x.shape)", "wrong_index transpose wrong_order", "max_pool|pooled_max|max"),
    multiplied_by_the_value=but("* best", "* best * windows", "wrong_value wrong_derivative missing_factor",
        "max_pool|pooled_max|max"),
)  # fmt: skip
def max_pool2d_backward(x: Array, g: Array) -> Any:
    windows = x.reshape(2, 3, 3, 2, 3, 2)
    best = windows == windows.max(axis=(3, 5), keepdims=True)
    dx = g[:, :, :, None, :, None] * best
    return dx.reshape(x.shape)


@operation("pooling", lambda x: avg_pool(x, 3, stride=1), normal((2, 2, 5, 5)),
    not_divided_by_the_window=but("g / 9", "g", "scale", "avg"),
    divided_by_its_side=but("g / 9", "g / 3", "scale", "avg"),
    overlaps_overwritten=but("j : j + 3] += g", "j : j + 3] = g", "overwritten_not_accumulated last_step_only", "avg"),
)  # fmt: skip
def avg_pool2d_backward(x: Array, g: Array) -> Any:
    dx = np.zeros_like(x)
    for i in range(3):
        for j in range(3):
            dx[:, :, i : i + 3, j : j + 3] += g / 9
    return dx


# -- Norms


def batch_norm(x: Array, gamma: Array, beta: Array) -> Array:
    mu, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mu) / np.sqrt(var + 1e-5) + beta


@operation("norms", batch_norm, normal((7, 4), (4,), (4,)),
    gamma_forgotten=but("dxhat = g * gamma", "dxhat = g", "missing_factor product_rule_half",
        "multiply|gamma|standard"),
    mean_taken_as_constant=but("- dxhat.sum(axis=0) / n", "", "statistic_as_constant detached", "mean|subtract"),
    variance_taken_as_constant=but("- xhat * (dxhat * xhat).sum(axis=0) / n", "", "statistic_as_constant detached",
        "var|sqrt|divide"),
    both_taken_as_constants=but("(dxhat - dxhat.sum(axis=0) / n - xhat * (dxhat * xhat).sum(axis=0) / n) / std",
        "dxhat / std", "statistic_as_constant detached", "mean|var|subtract|sqrt|divide"),
    variance_for_its_root=but("sum(axis=0) / n) / std", "sum(axis=0) / n) / std**2",
        "wrong_derivative missing_factor missing_activation_derivative wrong_value", "sqrt|divide"),
    unbiased_variance=but("np.sqrt(x.var(axis=0) + 1e-5)", "np.sqrt(x.var(axis=0, ddof=1) + 1e-5)", "wrong_ddof",
        "var"),
    x_for_its_normalised_form=but("(g * xhat).sum(axis=0), g", "(g * x).sum(axis=0), g",
        "wrong_layer_input wrong_value", "multiply|gamma|standard"),
    eps_outside_the_root=but("np.sqrt(x.var(axis=0) + 1e-5)", "(np.sqrt(x.var(axis=0)) + 1e-2)", "wrong_epsilon",
        "sqrt|add|divide"),
    statistics_of_each_sample=but("dxhat.sum(axis=0) / n - ", "dxhat.sum(axis=1, keepdims=True) / n - ",
        "wrong_axis wrong_axis_sum", "mean|subtract"),
    mean_without_n=but("- dxhat.sum(axis=0) / n", "- dxhat.sum(axis=0)", "scale", "mean"),
)  # fmt: skip
def batch_norm_backward(x: Array, gamma: Array, beta: Array, g: Array) -> Any:
    n, std = len(x), np.sqrt(x.var(axis=0) + 1e-5)
    xhat = (x - x.mean(axis=0)) / std
    dxhat = g * gamma
    dx = (dxhat - dxhat.sum(axis=0) / n - xhat * (dxhat * xhat).sum(axis=0) / n) / std
    return dx, (g * xhat).sum(axis=0), g.sum(axis=0)


def layer_norm(x: Array, gamma: Array, beta: Array) -> Array:
    c = x - x.mean(axis=-1, keepdims=True)
    return c / np.sqrt((c * c).mean(axis=-1, keepdims=True) + 1e-5) * gamma + beta


@operation("norms", layer_norm, normal((5, 6), (6,), (6,)),
    statistics_over_the_batch=but("d.mean(axis=-1, keepdims=True) - ", "d.mean(axis=0, keepdims=True) - ",
        "wrong_axis wrong_axis_sum", "mean|subtract"),
    gamma_forgotten=but("d = g * gamma", "d = g", "missing_factor product_rule_half", "multiply|gamma"),
    variance_taken_as_constant=but(" - xhat * (d * xhat).mean(axis=-1, keepdims=True)", "",
        "statistic_as_constant detached", "mean|sqrt|divide|multiply"),
    gamma_kept_as_a_batch=but("(g * xhat).sum(axis=0), g", "g * xhat, g", "broadcast_not_summed", "multiply|gamma"),
    beta_over_the_features=but("g.sum(axis=0)", "g.sum(axis=-1)", "wrong_axis_sum wrong_axis", "add|beta"),
)  # fmt: skip
def layer_norm_backward(x: Array, gamma: Array, beta: Array, g: Array) -> Any:
    std = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    xhat = (x - x.mean(axis=-1, keepdims=True)) / std
    d = g * gamma
    dx = (d - d.mean(axis=-1, keepdims=True) - xhat * (d * xhat).mean(axis=-1, keepdims=True)) / std
    return dx, (g * xhat).sum(axis=0), g.sum(axis=0)


def group_norm(x: Array, gamma: Array) -> Array:
    parts = x.reshape(2, 2, -1)  # 4 channels in 2 groups
    centred = parts - parts.mean(axis=2, keepdims=True)
    normal = centred / np.sqrt(parts.var(axis=2, keepdims=True) + 1e-5)
    return normal.reshape(x.shape) * gamma[:, None]


@operation("norms", group_norm, normal((2, 4, 5), (4,)),
    statistics_of_each_channel=but("d = (g * gamma[:, None]).reshape(2, 2, 10)",
        "d = (g * gamma[:, None]).reshape(2, 4, 5)", "wrong_axis", "mean|var|reshape|subtract",
        ("normal = x.reshape(2, 2, 10)", "normal = x.reshape(2, 4, 5)")),
    mean_taken_as_constant=but("d - d.mean(axis=2, keepdims=True) -", "d -", "statistic_as_constant detached",
        "mean|subtract"),
    gamma_not_summed_over_the_batch=but(".sum(axis=(0, 2))", "[0].sum(axis=1)",
        "broadcast_not_summed wrong_axis_sum last_step_only", "multiply|gamma"),
)  # fmt: skip
def group_norm_backward(x: Array, gamma: Array, g: Array) -> Any:
    d = (g * gamma[:, None]).reshape(2, 2, 10)
    normal = x.reshape(2, 2, 10)
    std = np.sqrt(normal.var(axis=2, keepdims=True) + 1e-5)
    normal = (normal - normal.mean(axis=2, keepdims=True)) / std
    dx = (d - d.mean(axis=2, keepdims=True) - normal * (d * normal).mean(axis=2, keepdims=True)) / std
    return dx.reshape(x.shape), (g * normal.reshape(x.shape)).sum(axis=(0, 2))


def instance_norm(x: Array) -> Array:
    return (x - x.mean(axis=(2, 3), keepdims=True)) / np.sqrt(x.var(axis=(2, 3), keepdims=True) + 1e-5)


@operation("norms", instance_norm, normal((2, 3, 4, 4)),
    over_the_batch_as_well=but("g.mean(axis=(2, 3), keepdims=True)", "g.mean(axis=(0, 2, 3), keepdims=True)",
        "wrong_axis wrong_axis_sum", "mean|subtract"),
    one_axis_only=but("(g * xhat).mean(axis=(2, 3), keepdims=True)", "(g * xhat).mean(axis=3, keepdims=True)",
        "wrong_axis wrong_axis_sum", "mean|var|divide|sqrt"),
)  # fmt: skip
def instance_norm_backward(x: Array, g: Array) -> Any:
    std = np.sqrt(x.var(axis=(2, 3), keepdims=True) + 1e-5)
    xhat = (x - x.mean(axis=(2, 3), keepdims=True)) / std
    return (g - g.mean(axis=(2, 3), keepdims=True) - xhat * (g * xhat).mean(axis=(2, 3), keepdims=True)) / std


def rms_norm(x: Array, w: Array) -> Array:
    return w * x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)


@operation("norms", rms_norm, normal((4, 6), (6,)),
    root_taken_as_constant=but(" - x * (d * x).mean(axis=-1, keepdims=True) / r**3", "",
        "statistic_as_constant detached product_rule_half", "sqrt|divide|mean"),
    square_for_the_cube=but("/ r**3", "/ r**2", "wrong_derivative missing_factor wrong_value", "sqrt|divide|power"),
    sum_for_mean=but("(d * x).mean(axis=-1, keepdims=True)", "(d * x).sum(axis=-1, keepdims=True)", "scale",
        "mean|sqrt"),
)  # fmt: skip
def rms_norm_backward(x: Array, w: Array, g: Array) -> Any:
    r = np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)
    d = g * w
    dx = d / r - x * (d * x).mean(axis=-1, keepdims=True) / r**3
    return dx, (g * x / r).sum(axis=0)


# -- Attention


def attention(q: Array, k: Array, v: Array) -> Array:
    return tg.softmax(q @ np.swapaxes(k, 1, 2) / np.sqrt(q.shape[-1])) @ v


@operation("attention", attention, normal((2, 4, 3), (2, 5, 3), (2, 5, 2)),
    root_of_d_forgotten=but("ds / np.sqrt(3)", "ds", "scale", "divide|softmax|q|k"),
    divided_by_d=but("ds / np.sqrt(3)", "ds / 3", "scale", "divide|softmax|q|k"),
    diagonal_of_softmax_only=but("(da - (da * a).sum(axis=-1, keepdims=True))", "da * (1 - a)",
        "softmax_diagonal_only", "softmax"),
    softmax_over_the_queries=but("(da * a).sum(axis=-1, keepdims=True)", "(da * a).sum(axis=1, keepdims=True)",
        "wrong_axis wrong_axis_sum", "softmax"),
    softmax_not_differentiated=but("ds = a * (da - (da * a).sum(axis=-1, keepdims=True))", "ds = da",
        "missing_activation_derivative", "softmax"),
    scores_for_weights_in_dv=but("a.swapaxes(1, 2) @ g", "s.swapaxes(1, 2) @ g", "wrong_layer_input wrong_value",
        "matmul|v"),
    queries_for_keys=but("dk = ds.swapaxes(1, 2) @ q", "dk = ds.swapaxes(1, 2) @ q[::-1]",
        "wrong_order wrong_index wrong_value wrong_layer_input", "matmul|k"),
    sum_over_the_batch_in_dv=but("dv = a.swapaxes(1, 2) @ g",
        "dv = np.broadcast_to((a.swapaxes(1, 2) @ g).mean(axis=0), v.shape)", "wrong_axis_sum wrong_axis",
        "matmul|v"),
)  # fmt: skip
def attention_backward(q: Array, k: Array, v: Array, g: Array) -> Any:
    s = q @ k.swapaxes(1, 2) / np.sqrt(3)
    a = np.exp(s) / np.exp(s).sum(axis=-1, keepdims=True)
    dv = a.swapaxes(1, 2) @ g
    da = g @ v.swapaxes(1, 2)
    ds = a * (da - (da * a).sum(axis=-1, keepdims=True))
    ds = ds / np.sqrt(3)
    dq = ds @ k
    dk = ds.swapaxes(1, 2) @ q
    return dq, dk, dv


FUTURE = np.triu(np.ones((4, 4), bool), 1)


def causal(x: Array, Wq: Array, Wk: Array, Wv: Array) -> Array:
    scores = np.where(FUTURE, -1e9, (x @ Wq) @ (x @ Wk).T / 2)
    return tg.softmax(scores) @ (x @ Wv)


@operation("attention", causal, normal((4, 4), (4, 4), (4, 4), (4, 4), scale=0.7),
    mask_forgotten=but("s = np.where(FUTURE, -1e9, q @ k.T / 2)", "s = q @ k.T / 2", "mask_missing wrong_value",
        "where|softmax"),
    values_branch_forgotten_in_dx=but(" + dv @ Wv.T", "", "residual_forgotten overwritten_not_accumulated", "matmul|x"),
    keys_branch_overwritten=but("dx = dq @ Wq.T + dk @ Wk.T", "dx = dk @ Wk.T",
        "overwritten_not_accumulated residual_forgotten", "matmul|x"),
    keys_not_transposed=but("dk = ds.T @ q", "dk = ds @ q", "transpose", "matmul|transpose"),
)  # fmt: skip
def causal_backward(x: Array, Wq: Array, Wk: Array, Wv: Array, g: Array) -> Any:
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    s = np.where(FUTURE, -1e9, q @ k.T / 2)
    e = np.exp(s - s.max(axis=1, keepdims=True))
    a = e / e.sum(axis=1, keepdims=True)
    dv = a.T @ g
    da = g @ v.T
    ds = a * (da - (da * a).sum(axis=1, keepdims=True)) / 2
    dq = ds @ k
    dk = ds.T @ q
    dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
    return dx, x.T @ dq, x.T @ dk, x.T @ dv
