"""Arrays: indexing, joins, losses, reductions, branches, selection, arithmetic, broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_nn as tg
from tests.students.operations import Array, but, normal, operation


def sig(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


# -- Indexing and joins

IDS = np.array([[0, 2, 2], [4, 2, 0]])


@operation("indexing", lambda C: C[IDS], normal((6, 3)),
    repeated_rows_added_once=but("np.add.at(dC, IDS, g)", "dC[IDS] += g", "overwritten_not_accumulated", "getitem"),
    repeated_rows_overwritten=but("np.add.at(dC, IDS, g)", "dC[IDS] = g", "overwritten_not_accumulated", "getitem"),
    subtracted=but("np.add.at", "np.subtract.at", "sign", "getitem"),
    index_off_by_one=but("np.add.at(dC, IDS, g)", "np.add.at(dC, IDS + 1, g)", "wrong_index", "getitem"),
    divided_by_the_count=but("return dC", "return dC / np.maximum(np.bincount(IDS.ravel(), minlength=6), 1)[:, None]",
        "scale wrong_index overwritten_not_accumulated", "getitem"),
)  # fmt: skip
def embedding_backward(C: Array, g: Array) -> Any:
    dC = np.zeros_like(C)
    np.add.at(dC, IDS, g)
    return dC


def looked_up(C: Array, W: Array) -> Array:
    return np.tanh(C[IDS].reshape(2, 9) @ W)


@operation("indexing", looked_up, normal((6, 3), (9, 4), scale=0.5),
    repeated_rows_added_once=but("np.add.at(dC, IDS, demb)", "dC[IDS] += demb", "overwritten_not_accumulated",
        "getitem|C"),
    tanh_forgotten=but("g * (1 - np.tanh(emb @ W) ** 2)", "g", "missing_activation_derivative missing_factor", "tanh"),
    another_order_of_the_reshape=but('reshape(2, 3, 3)', 'reshape(2, 3, 3).swapaxes(1, 2)',
        "wrong_order transpose wrong_index", "reshape"),
)  # fmt: skip
def looked_up_backward(C: Array, W: Array, g: Array) -> Any:
    emb = C[IDS].reshape(2, 9)
    dz = g * (1 - np.tanh(emb @ W) ** 2)
    demb = (dz @ W.T).reshape(2, 3, 3)
    dC = np.zeros_like(C)
    np.add.at(dC, IDS, demb)
    return dC, emb.T @ dz


PLACES = np.array([[1, 0, 1], [3, 3, 2]])


@operation("indexing", lambda x: np.take_along_axis(x, PLACES, axis=1), normal((2, 4)),
    gathered_for_scattered=but("np.add.at(dx, (rows, PLACES), g)",
        "dx[:, :3] = np.take_along_axis(g, PLACES % 3, axis=1)", "wrong_index", "take|getitem"),
    repeated_places_overwritten=but("np.add.at(dx, (rows, PLACES), g)", "dx[rows, PLACES] = g",
        "overwritten_not_accumulated", "take|getitem"),
)  # fmt: skip
def gather_backward(x: Array, g: Array) -> Any:
    rows = np.arange(2)[:, None]
    dx = np.zeros_like(x)
    np.add.at(dx, (rows, PLACES), g)
    return dx


ORDER = np.array([3, 0, 4, 1, 2])


@operation("indexing", lambda x: x[ORDER] ** 3, normal((5, 2)),
    permuted_forwards=but("dx[ORDER] = d", "dx = d[ORDER]", "wrong_index wrong_order", "getitem"),
    not_permuted=but("dx[ORDER] = d", "dx = d", "wrong_index wrong_order", "getitem"),
)  # fmt: skip
def permuted_backward(x: Array, g: Array) -> Any:
    d = 3 * x[ORDER] ** 2 * g
    dx = np.zeros_like(x)
    dx[ORDER] = d
    return dx


@operation("indexing", lambda x, y: tg.Tensor(np.zeros(5)).at[SLOTS].add(x) * y if isinstance(x, tg.Tensor)
           else np.bincount(SLOTS, x, 5) * y, normal((7,), (5,)),
    cotangent_of_the_wrong_slots=but("(g * y)[SLOTS]", "(g * y)[np.sort(SLOTS)]", "wrong_index wrong_order",
        "at|getitem"),
    y_forgotten=but("(g * y)[SLOTS]", "g[SLOTS]", "missing_factor product_rule_half", "multiply"),
)  # fmt: skip
def scattered_backward(x: Array, y: Array, g: Array) -> Any:
    return (g * y)[SLOTS], g * np.bincount(SLOTS, x, 5)


SLOTS = np.array([2, 0, 2, 4, 1, 1, 2])


@operation("joins", lambda a, b, c: np.concatenate([a, b, c], axis=1) ** 2, normal((3, 2), (3, 2), (3, 2)),
    parts_in_another_order=but("da, db, dc = np", "db, da, dc = np", "wrong_order", "concat"),
    cut_along_the_wrong_axis=but("np.split(d, [2, 4], axis=1)", "np.split(d, 3, axis=0)", "wrong_axis wrong_order",
        "concat"),
    last_part_forgotten=but("return da, db, dc", "return da, db, np.zeros_like(c)",
        "detached wrong_order overwritten_not_accumulated residual_forgotten", "concat|c"),
    the_same_part_twice=but("return da, db, dc", "return da, da, dc", "wrong_order wrong_index wrong_value",
        "concat|b"),
)  # fmt: skip
def concatenated_backward(a: Array, b: Array, c: Array, g: Array) -> Any:
    d = 2 * np.concatenate([a, b, c], axis=1) * g
    da, db, dc = np.split(d, [2, 4], axis=1)
    return da, db, dc


@operation("joins", lambda a, b: np.sin(np.stack([a, b], axis=1)), normal((4, 4), (4, 4)),
    taken_apart_along_the_wrong_axis=but("d[:, 0], d[:, 1]", "d[:, :, 0], d[:, :, 1]", "wrong_axis wrong_order",
        "stack",
        ("d = g * np.cos(np.stack([a, b], axis=1))", "d = np.repeat(g * np.cos(np.stack([a, b], axis=1)), 2, axis=1)")),
    parts_exchanged=but("d[:, 0], d[:, 1]", "d[:, 1], d[:, 0]", "wrong_order", "stack"),
)  # fmt: skip
def stacked_backward(a: Array, b: Array, g: Array) -> Any:
    d = g * np.cos(np.stack([a, b], axis=1))
    return d[:, 0], d[:, 1]


def halves(x: Array) -> Array:
    a, b = np.split(x, 2, axis=1)
    return a * tg.sigmoid(b)


@operation("joins", halves, normal((3, 8)),
    halves_exchanged=but("[da, db]", "[db, da]", "wrong_order wrong_gate", "split|getitem"),
    product_s_half_forgotten=but("db = g * a * s", "db = g * s", "product_rule_half missing_factor", "multiply"),
    slope_of_the_gate_forgotten=but("* s * (1 - s)", "", "missing_activation_derivative missing_factor", "sigmoid"),
)  # fmt: skip
def halves_backward(x: Array, g: Array) -> Any:
    a, b = x[:, :4], x[:, 4:]
    s = sig(b)
    da = g * s
    db = g * a * s * (1 - s)
    return np.concatenate([da, db], axis=1)


# -- Softmax and losses

LABELS = np.array([2, 0, 1, 2, 2])


@operation("softmax", lambda z: tg.softmax(z), normal((5, 4)),
    summed_over_the_batch=but("sum(axis=1, keepdims=True))", "sum(axis=0, keepdims=True))",
        "wrong_axis wrong_axis_sum", "softmax"),
    diagonal_only=but("p * (g - (g * p).sum(axis=1, keepdims=True))", "g * p * (1 - p)", "softmax_diagonal_only",
        "softmax"),
    diagonal_forgotten=but("p * (g - (g * p).sum(axis=1, keepdims=True))", "-p * (g * p).sum(axis=1, keepdims=True)",
        "wrong_derivative overwritten_not_accumulated product_rule_half", "softmax"),
    mean_for_sum_over_classes=but("(g * p).sum(axis=1, keepdims=True)", "(g * p).mean(axis=1, keepdims=True)",
        "scale wrong_derivative", "softmax"),
    sign_of_the_sum=but("(g - (g * p)", "(g + (g * p)", "sign wrong_derivative", "softmax"),
    p_forgotten_in_the_sum=but("(g * p).sum(", "g.sum(", "missing_factor wrong_derivative wrong_value", "softmax"),
)  # fmt: skip
def softmax_backward(z: Array, g: Array) -> Any:
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p * (g - (g * p).sum(axis=1, keepdims=True))


@operation("softmax", lambda z: tg.log_softmax(z), normal((5, 4)),
    sum_of_g_forgotten=but("p * g.sum(axis=1, keepdims=True)", "p",
        "missing_factor cotangent_ignored wrong_derivative", "log_softmax"),
    g_inside=but("p * g.sum(axis=1, keepdims=True)", "p * g",
        "broadcast_not_summed wrong_derivative softmax_diagonal_only wrong_axis_sum", "log_softmax"),
    over_the_batch=but("p * g.sum(axis=1, keepdims=True)", "p * g.sum(axis=0, keepdims=True)",
        "wrong_axis wrong_axis_sum", "log_softmax"),
    logarithm_forgotten=but("p * g.sum(axis=1, keepdims=True)", "p * (g * p).sum(axis=1, keepdims=True)",
        "wrong_derivative missing_factor wrong_value", "log_softmax"),
)  # fmt: skip
def log_softmax_backward(z: Array, g: Array) -> Any:
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return g - p * g.sum(axis=1, keepdims=True)


def cross_entropy(x: Array, W: Array, b: Array) -> Array:
    return -tg.log_softmax(x @ W + b)[np.arange(5), LABELS].mean()


@operation("losses", cross_entropy, normal((5, 4), (4, 3), (3,)),
    not_divided_by_n=but("* g / 5", "* g", "scale", "mean|x|W|b"),
    divided_by_n_twice=but("x.T @ dz", "x.T @ dz / 5", "scale", "matmul|W"),
    one_not_subtracted=but("p[np.arange(5), LABELS] -= 1", "p[np.arange(5), LABELS] -= 0",
        "wrong_loss_gradient overwritten_not_accumulated wrong_derivative", "softmax|getitem"),
    sign_turned=but("dz = p", "dz = -p", "sign", "negative|softmax"),
    one_subtracted_everywhere=but("p[np.arange(5), LABELS] -= 1", "p[:, LABELS] -= 1",
        "wrong_index wrong_loss_gradient", "getitem|softmax"),
    probability_of_the_label_only=but("dz = p", "dz = np.where(p < 0, p, 0)",
        "mask_missing wrong_loss_gradient wrong_index overwritten_not_accumulated wrong_derivative",
        "softmax|getitem"),
    bias_a_mean=but("dz.sum(axis=0)", "dz.mean(axis=0)", "scale", "add|b"),
)  # fmt: skip
def cross_entropy_backward(x: Array, W: Array, b: Array, g: Array) -> Any:
    z = x @ W + b
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    p[np.arange(5), LABELS] -= 1
    dz = p * g / 5
    return dz @ W.T, x.T @ dz, dz.sum(axis=0)


TARGET = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])


def binary_cross_entropy(z: Array) -> Array:
    p = tg.sigmoid(z)
    return -(TARGET * np.log(p) + (1 - TARGET) * np.log(1 - p)).mean()


@operation("losses", binary_cross_entropy, normal((4, 2)),
    slope_of_the_sigmoid_twice=but("(p - TARGET)", "(p - TARGET) * p * (1 - p)",
        "wrong_loss_gradient wrong_derivative missing_factor", "sigmoid"),
    slope_of_the_sigmoid_missing=but("(p - TARGET)", "(p - TARGET) / (p * (1 - p))",
        "missing_activation_derivative missing_factor", "sigmoid"),
    divided_by_the_batch_only=but("g / 8", "g / 4", "scale", "mean"),
    second_half_forgotten=but("(p - TARGET)", "TARGET * (p - TARGET)",
        "overwritten_not_accumulated residual_forgotten wrong_loss_gradient", "log|multiply|subtract|add"),
)  # fmt: skip
def binary_cross_entropy_backward(z: Array, g: Array) -> Any:
    p = sig(z)
    return (p - TARGET) * g / 8


MARGIN_LABELS = np.array([0, 2, 1, 3, 2, 0])


def hinge(x: Array, W: Array) -> Array:
    scores = x @ W
    margins = np.maximum(scores - scores[np.arange(6), MARGIN_LABELS][:, None] + 1, 0)
    return margins.sum() / 6 + 0.05 * (W * W).sum()


@operation("losses", hinge, normal((6, 5), (5, 4)),
    count_of_the_margins_forgotten=but("-over.sum(axis=1) + 1", "0",
        "overwritten_not_accumulated wrong_loss_gradient wrong_index detached", "getitem|maximum|subtract"),
    penalty_forgotten=but(" + 0.1 * g * W", "", "missing_penalty", "W|sum|multiply"),
    half_of_the_penalty=but(" + 0.1 * g * W", " + 0.05 * g * W", "wrong_penalty scale", "W|sum|multiply"),
    mask_forgotten=but("over = (margins > 0) * 1.0", "over = np.ones_like(margins)",
        "mask_missing missing_activation_derivative", "maximum"),
)  # fmt: skip
def hinge_backward(x: Array, W: Array, g: Array) -> Any:
    scores = x @ W
    margins = np.maximum(scores - scores[np.arange(6), MARGIN_LABELS][:, None] + 1, 0)
    over = (margins > 0) * 1.0
    over[np.arange(6), MARGIN_LABELS] = -over.sum(axis=1) + 1
    dscores = over * g / 6
    return dscores @ W.T, x.T @ dscores + 0.1 * g * W


# -- Reductions


@operation("reductions", lambda x: np.sin(x.mean(axis=1)), normal((4, 5)),
    not_divided=but("/ 5", "/ 1", "scale", "mean"),
    divided_by_the_other_axis=but("/ 5", "/ 4", "scale", "mean"),
    divided_by_all=but("/ 5", "/ 20", "scale", "mean"),
    cosine_of_each_entry=but("np.cos(x.mean(axis=1))[:, None]", "np.cos(x)",
        "activation_derivative_at_wrong_value wrong_value", "sin"),
)  # fmt: skip
def mean_backward(x: Array, g: Array) -> Any:
    return np.cos(x.mean(axis=1))[:, None] * g[:, None] / 5 * np.ones_like(x)


@operation("reductions", lambda x: x.var(axis=0), normal((6, 3)),
    mean_not_subtracted=but("(x - x.mean(axis=0))", "x", "wrong_value wrong_layer_input statistic_as_constant", "var"),
    divided_by_n_minus_1=but("/ 6", "/ 5", "wrong_ddof scale", "var"),
    two_forgotten=but("2 * ", "", "scale", "var"),
)  # fmt: skip
def var_backward(x: Array, g: Array) -> Any:
    return 2 * (x - x.mean(axis=0)) * g / 6


@operation("reductions", lambda x: x.std(axis=0, ddof=1), normal((6, 3)),
    root_forgotten=but("/ x.std(axis=0, ddof=1)", "* 2",
        "wrong_derivative missing_activation_derivative missing_factor", "std"),
    ddof_forgotten=but("(x - x.mean(axis=0)) / 5", "(x - x.mean(axis=0)) / 6", "wrong_ddof scale", "std"),
    the_mean_of_the_wrong_axis=but("(x - x.mean(axis=0))", "(x - x.mean(axis=1, keepdims=True))", "wrong_axis", "std"),
)  # fmt: skip
def std_backward(x: Array, g: Array) -> Any:
    return g * (x - x.mean(axis=0)) / 5 / x.std(axis=0, ddof=1)


@operation("reductions", lambda x: x.max(axis=1) ** 2, normal((4, 5)),
    everywhere=but("* (x == m)", "* np.ones_like(x)", "mask_missing", "max"),
    of_the_columns=but("(x == m)", "(x == x.max(axis=0))", "wrong_axis wrong_index", "max"),
    square_forgotten=but("2 * m * g[:, None]", "g[:, None]",
        "missing_activation_derivative missing_factor wrong_derivative", "power|square"),
)  # fmt: skip
def max_backward(x: Array, g: Array) -> Any:
    m = x.max(axis=1, keepdims=True)
    return 2 * m * g[:, None] * (x == m)


@operation("reductions", lambda x: np.linalg.norm(x, axis=1), normal((4, 3)),
    norm_not_divided=but("/ np.linalg.norm(x, axis=1, keepdims=True)", "", "missing_factor wrong_derivative", "norm"),
    squared_norm=but("x / np.linalg.norm(x, axis=1, keepdims=True)", "2 * x", "wrong_derivative missing_factor",
        "norm"),
    divided_by_the_square=but("/ np.linalg.norm(x, axis=1, keepdims=True)", "/ (x * x).sum(axis=1, keepdims=True)",
        "wrong_derivative missing_factor", "norm"),
    norm_of_all=but("np.linalg.norm(x, axis=1, keepdims=True)", "np.linalg.norm(x)", "wrong_axis", "norm"),
)  # fmt: skip
def norm_backward(x: Array, g: Array) -> Any:
    return g[:, None] * x / np.linalg.norm(x, axis=1, keepdims=True)


# -- Branches, shared weights


def residual(x: Array, W: Array, V: Array) -> Array:
    return x + np.maximum(x @ W, 0) @ V


@operation("branches", residual, normal((4, 3), (3, 5), (5, 3)),
    shortcut_forgotten=but("dx = g + dz @ W.T", "dx = dz @ W.T", "residual_forgotten overwritten_not_accumulated",
        "add|x"),
    branch_forgotten=but("dx = g + dz @ W.T", "dx = g", "residual_forgotten overwritten_not_accumulated detached",
        "add|matmul|x"),
    relu_masked_by_the_cotangent=but("dh * (z > 0)", "dh * (dh > 0)",
        "activation_derivative_at_wrong_value wrong_value mask_missing", "maximum"),
    shortcut_twice=but("dx = g + dz @ W.T", "dx = 2 * g + dz @ W.T", "scale", "add|x"),
)  # fmt: skip
def residual_backward(x: Array, W: Array, V: Array, g: Array) -> Any:
    z = x @ W
    h = np.maximum(z, 0)
    dh = g @ V.T
    dz = dh * (z > 0)
    dx = g + dz @ W.T
    return dx, x.T @ dz, h.T @ g


def tied(x: Array, W: Array) -> Array:
    return np.tanh(x @ W) @ W.T


@operation("branches", tied, normal((4, 3), (3, 5), scale=0.7),
    counted_once_encoder=but("dW = x.T @ dz + g.T @ h", "dW = x.T @ dz", "overwritten_not_accumulated", "matmul|W"),
    counted_once_decoder=but("dW = x.T @ dz + g.T @ h", "dW = g.T @ h", "overwritten_not_accumulated", "matmul|W"),
    mean_of_both=but("dW = x.T @ dz + g.T @ h", "dW = (x.T @ dz + g.T @ h) / 2", "scale", "matmul|W"),
    tanh_forgotten=but("dz = g @ W * (1 - h**2)", "dz = g @ W", "missing_activation_derivative missing_factor", "tanh"),
)  # fmt: skip
def tied_backward(x: Array, W: Array, g: Array) -> Any:
    h = np.tanh(x @ W)
    dz = g @ W * (1 - h**2)
    dW = x.T @ dz + g.T @ h
    return dz @ W.T, dW


def siamese(x: Array, y: Array, W: Array) -> Array:
    return ((np.tanh(x @ W) - np.tanh(y @ W)) ** 2).sum(axis=1)


@operation("branches", siamese, normal((4, 3), (4, 3), (3, 2), scale=0.7),
    sign_of_the_second_tower=but("dy = -d * (1 - b**2)", "dy = d * (1 - b**2)", "sign", "subtract|tanh|y"),
    second_tower_detached=but("x.T @ dx + y.T @ dy", "x.T @ dx", "overwritten_not_accumulated detached", "matmul|W"),
    slope_of_the_first_in_the_second=but("-d * (1 - b**2)", "-d * (1 - a**2)",
        "activation_derivative_at_wrong_value wrong_value", "tanh"),
)  # fmt: skip
def siamese_backward(x: Array, y: Array, W: Array, g: Array) -> Any:
    a, b = np.tanh(x @ W), np.tanh(y @ W)
    d = 2 * (a - b) * g[:, None]
    dx = d * (1 - a**2)
    dy = -d * (1 - b**2)
    return dx @ W.T, dy @ W.T, x.T @ dx + y.T @ dy


# -- Dropout, clipping, selection

KEEP = (np.random.default_rng(3).random((4, 5)) < 0.7) / 0.7
OTHER = (np.random.default_rng(4).random((4, 5)) < 0.7) / 0.7


def dropped(x: Array, W: Array) -> Array:
    return (np.maximum(x @ W, 0) * KEEP).sum(axis=1)


@operation("dropout", dropped, normal((4, 3), (3, 5)),
    mask_forgotten=but("g[:, None] * KEEP", "g[:, None]", "dropout_mask_missing missing_factor mask_missing",
        "multiply"),
    scale_forgotten=but("* KEEP", "* (KEEP > 0)", "dropout_scale_missing scale", "multiply"),
    another_mask=but("* KEEP", "* OTHER", "dropout_mask_stale wrong_value", "multiply"),
    mask_inverted=but("* KEEP", "* (KEEP == 0) / 0.7", "dropout_mask_stale wrong_value mask_missing", "multiply"),
    mask_applied_twice=but("* KEEP", "* KEEP * KEEP", "scale missing_factor wrong_value", "multiply"),
)  # fmt: skip
def dropped_backward(x: Array, W: Array, g: Array) -> Any:
    z = x @ W
    dz = g[:, None] * KEEP * (z > 0)
    return dz @ W.T, x.T @ dz


@operation("selection", lambda x: np.clip(x, -0.5, 1) ** 2, normal((4, 5)),
    clipped_region_not_masked=but("* ((x > -0.5) & (x < 1))", "", "mask_missing missing_activation_derivative", "clip"),
    one_side_only=but("((x > -0.5) & (x < 1))", "(x < 1)", "mask_missing", "clip"),
    region_inverted=but("((x > -0.5) & (x < 1))", "((x < -0.5) | (x > 1))",
        "mask_missing wrong_value activation_derivative_at_wrong_value", "clip"),
    gradient_clipped_instead=but("g * ((x > -0.5) & (x < 1))", "np.clip(g, -0.5, 1)",
        "mask_missing wrong_value activation_derivative_at_wrong_value wrong_derivative", "clip"),
)  # fmt: skip
def clipped_backward(x: Array, g: Array) -> Any:
    return 2 * np.clip(x, -0.5, 1) * g * ((x > -0.5) & (x < 1))


@operation("selection", lambda x, y: np.where(x > 0, x * y, y**2), normal((4, 5), (4, 5)),
    condition_inverted_in_dx=but("dx = np.where(x > 0, g * y, 0)", "dx = np.where(x > 0, 0, g * y)",
        "mask_missing wrong_value wrong_index", "where"),
    condition_of_the_cotangent=but("dx = np.where(x > 0,", "dx = np.where(g > 0,", "mask_missing wrong_value",
        "where"),
    condition_forgotten=but("dx = np.where(x > 0, g * y, 0)", "dx = g * y",
        "mask_missing missing_activation_derivative", "where"),
    one_branch_of_dy=but("np.where(x > 0, g * x, 2 * g * y)", "np.where(x > 0, g * x, 0)",
        "overwritten_not_accumulated detached", "where|power|y"),
)  # fmt: skip
def where_backward(x: Array, y: Array, g: Array) -> Any:
    dx = np.where(x > 0, g * y, 0)
    return dx, np.where(x > 0, g * x, 2 * g * y)


@operation("selection", lambda W: 0.3 * np.abs(W).sum() + (W**2).sum(), normal((3, 4)),
    absolute_value_for_the_sign=but("np.sign(W)", "np.abs(W)",
        "wrong_derivative missing_activation_derivative activation_derivative_at_wrong_value wrong_value", "abs"),
    sign_missing=but("0.3 * np.sign(W)", "0.3", "missing_activation_derivative missing_factor wrong_derivative", "abs"),
    sign_of_the_square=but("0.3 * np.sign(W)", "0.3 * W",
        "wrong_derivative wrong_penalty missing_activation_derivative wrong_value", "abs"),
)  # fmt: skip
def absolute_backward(W: Array, g: Array) -> Any:
    return g * (0.3 * np.sign(W) + 2 * W)


@operation("selection", lambda x, y: np.maximum(x, y) * y, normal((4, 5), (4, 5)),
    both_sides_get_it=but("dx = m * (x > y)", "dx = m", "mask_missing missing_activation_derivative", "maximum"),
    wrong_side=but("dx = m * (x > y)", "dx = m * (x < y)",
        "wrong_order wrong_value mask_missing activation_derivative_at_wrong_value", "maximum"),
    only_the_product_road_in_dy=but("m * (x <= y) + g * np.maximum(x, y)", "g * np.maximum(x, y)",
        "overwritten_not_accumulated product_rule_half detached", "maximum|y"),
)  # fmt: skip
def maximum_backward(x: Array, y: Array, g: Array) -> Any:
    m = g * y
    dx = m * (x > y)
    return dx, m * (x <= y) + g * np.maximum(x, y)


# -- Arithmetic and broadcasting


@operation("arithmetic", lambda x, y: np.sin(x) * np.exp(y), normal((3, 4), (3, 4)),
    product_rule_s_other_factor_forgotten=but("g * np.cos(x) * np.exp(y)", "g * np.cos(x)",
        "missing_factor product_rule_half", "multiply"),
    own_factor_for_the_other=but("g * np.sin(x) * np.exp(y)", "g * np.exp(y) * np.exp(y)",
        "wrong_value product_rule_half wrong_derivative", "multiply"),
    sine_for_cosine=but("np.cos(x)", "np.sin(x)",
        "wrong_derivative missing_activation_derivative activation_derivative_at_wrong_value", "sin"),
    exponential_of_x=but("np.sin(x) * np.exp(y)", "np.sin(x) * np.exp(x)",
        "wrong_value activation_derivative_at_wrong_value", "exp"),
)  # fmt: skip
def product_backward(x: Array, y: Array, g: Array) -> Any:
    return g * np.cos(x) * np.exp(y), g * np.sin(x) * np.exp(y)


@operation("arithmetic", lambda x, y: (x / y).sum(axis=1), lambda r: (r.normal(size=(3, 4)), r.uniform(1, 2, (3, 4))),
    sign_in_dy=but("-g[:, None] * x / y**2", "g[:, None] * x / y**2", "sign", "divide"),
    square_forgotten=but("x / y**2", "x / y", "missing_factor wrong_derivative", "divide"),
    numerator_forgotten=but("-g[:, None] * x / y**2", "-g[:, None] / y**2",
        "missing_factor product_rule_half wrong_derivative", "divide"),
    times_for_divided=but("g[:, None] / y,", "g[:, None] * y,", "wrong_derivative missing_factor wrong_value",
        "divide"),
)  # fmt: skip
def quotient_backward(x: Array, y: Array, g: Array) -> Any:
    return g[:, None] / y, -g[:, None] * x / y**2


@operation("arithmetic", lambda x, p: x**p, lambda r: (r.uniform(0.5, 2, (3, 4)), r.uniform(1, 3, (4,))),
    exponent_not_lowered=but("g * p * x ** (p - 1)", "g * p * x**p", "wrong_derivative missing_factor", "power"),
    factor_of_the_power_forgotten=but("g * p * x ** (p - 1)", "g * x ** (p - 1)", "missing_factor wrong_derivative",
        "power"),
    logarithm_forgotten=but("g * x**p * np.log(x)", "g * x**p", "missing_factor wrong_derivative", "power"),
    exponent_not_summed=but("(g * x**p * np.log(x)).sum(axis=0)", "g * x**p * np.log(x)", "broadcast_not_summed",
        "power|p"),
)  # fmt: skip
def power_backward(x: Array, p: Array, g: Array) -> Any:
    return g * p * x ** (p - 1), (g * x**p * np.log(x)).sum(axis=0)


@operation("broadcasting", lambda x, a, b: np.tanh(x * a + b[:, None]), normal((5, 5), (5,), (5,)),
    column_summed_as_a_row=but("dz.sum(axis=1)", "dz.sum(axis=0)", "wrong_axis_sum wrong_axis", "add|b"),
    row_summed_as_a_column=but("(dz * x).sum(axis=0)", "(dz * x).sum(axis=1)", "wrong_axis_sum wrong_axis",
        "multiply|a"),
    not_summed=but("(dz * x).sum(axis=0)", "dz * x", "broadcast_not_summed", "multiply|a"),
    a_mean=but("dz.sum(axis=1)", "dz.mean(axis=1)", "scale", "add|b"),
    summed_too_much=but("dz.sum(axis=1)", "np.full(5, dz.sum())", "wrong_axis_sum", "add|b"),
    the_first_row_only=but("(dz * x).sum(axis=0)", "(dz * x)[0]",
        "broadcast_not_summed last_step_only wrong_axis_sum overwritten_not_accumulated", "multiply|a"),
)  # fmt: skip
def broadcast_backward(x: Array, a: Array, b: Array, g: Array) -> Any:
    dz = g * (1 - np.tanh(x * a + b[:, None]) ** 2)
    return dz * a, (dz * x).sum(axis=0), dz.sum(axis=1)


@operation("broadcasting", lambda A, B: np.einsum("bij,jk->bik", A, B), normal((2, 3, 3), (3, 3)),
    batch_not_summed=but('np.einsum("bij,bik->jk", A, g)', 'np.einsum("bij,bik->bjk", A, g)', "broadcast_not_summed",
        "einsum|B"),
    not_transposed=but('np.einsum("bik,jk->bij", g, B)', 'np.einsum("bik,kj->bij", g, B)', "transpose", "einsum|A"),
    result_transposed=but('"bij,bik->jk"', '"bij,bik->kj"', "transpose", "einsum|B"),
    last_sample_only=but('np.einsum("bij,bik->jk", A, g)', "A[-1].T @ g[-1]",
        "last_step_only broadcast_not_summed overwritten_not_accumulated", "einsum|B"),
)  # fmt: skip
def batched_backward(A: Array, B: Array, g: Array) -> Any:
    return np.einsum("bik,jk->bij", g, B), np.einsum("bij,bik->jk", A, g)


@operation("broadcasting", lambda x, t: (x - t * np.ones((4, 3))) ** 2, normal((4, 3), ()),
    scalar_not_summed=but("-(2 * d * g).sum()", "-(2 * d * g).sum(axis=0)", "broadcast_not_summed",
        "subtract|multiply|t"),
    scalar_sign=but("-(2 * d * g).sum()", "(2 * d * g).sum()", "sign", "subtract|t"),
    scalar_mean=but("-(2 * d * g).sum()", "-(2 * d * g).mean()", "scale", "subtract|multiply|t"),
)  # fmt: skip
def scalar_backward(x: Array, t: Array, g: Array) -> Any:
    d = x - t
    return 2 * d * g, -(2 * d * g).sum()


@operation("broadcasting", lambda x: np.cumsum(np.exp(x), axis=1), normal((3, 5)),
    summed_forwards=but("np.cumsum(g[:, ::-1], axis=1)[:, ::-1]", "np.cumsum(g, axis=1)",
        "wrong_order wrong_derivative", "cumsum"),
    not_summed=but("np.cumsum(g[:, ::-1], axis=1)[:, ::-1]", "g", "missing_activation_derivative wrong_derivative",
        "cumsum"),
    over_the_other_axis=but("np.cumsum(g[:, ::-1], axis=1)[:, ::-1]", "np.cumsum(g[::-1], axis=0)[::-1]",
        "wrong_axis", "cumsum"),
)  # fmt: skip
def cumulated_backward(x: Array, g: Array) -> Any:
    return np.exp(x) * np.cumsum(g[:, ::-1], axis=1)[:, ::-1]
