"""Functions with a context and operators with a node, and typical mistakes in them."""

from typing import Any

import numpy as np

from tests.students.judge import Case, Mistake
from tests.students.ways import with_context, with_node

Rng = np.random.Generator


def shape(rng: Rng, least: int = 2) -> tuple[int, int]:
    return int(rng.integers(least, 6)), int(rng.integers(least, 6))


def one(rng: Rng) -> dict[str, Any]:
    return {"t1": rng.normal(size=shape(rng))}


def positive(rng: Rng) -> dict[str, Any]:
    return {"t1": rng.uniform(0.3, 3, size=shape(rng))}


def two(a: str, b: str) -> Any:
    def draw(rng: Rng) -> dict[str, Any]:
        size = shape(rng)
        return {a: rng.uniform(0.5, 3, size=size), b: rng.uniform(0.5, 3, size=size)}

    return draw


def reduced(rng: Rng) -> dict[str, Any]:
    n, m = shape(rng)
    return {"t1": rng.normal(size=(n, m + 2, 2)), "dim": int(rng.integers(0, 2))}


def permuted(rng: Rng) -> dict[str, Any]:
    return {"t1": rng.normal(size=(2, 3, 4)), "order": (1, 2, 0) if rng.random() < 0.5 else (2, 0, 1)}


def viewed(rng: Rng) -> dict[str, Any]:
    n, m = shape(rng)
    return {"t1": rng.normal(size=(n, 2 * m)), "shape": (2 * n, m)}


def product(rng: Rng) -> dict[str, Any]:
    n, m = shape(rng)
    k = n + m
    return {"t1": rng.normal(size=(n, k)), "t2": rng.normal(size=(k, m))}


def batched(rng: Rng) -> dict[str, Any]:
    n, m = shape(rng)
    return {"a": rng.normal(size=(3, n, n + m)), "b": rng.normal(size=(n + m, m))}


def named(name: str, draw: Any) -> Any:
    return lambda rng: {name: next(iter(draw(rng).values()))}


def function(name: str, draw: Any, *rows: tuple[Any, ...]) -> Case:
    return Case("minitorch", name, "minitorch_functions", f"{name}.backward", with_context(name, draw),
                tuple(Mistake(*row) for row in rows))  # fmt: skip


def op(name: str, draw: Any, settings: tuple[Any, ...], *rows: tuple[Any, ...], title: str = "") -> Case:
    return Case("needle", title or name, "needle_ops", f"{name}.gradient", with_node(name, draw, lambda: settings),
                tuple(Mistake(*row) for row in rows))  # fmt: skip


CASES = [
    function("Neg", one,
             ("-grad_output", "grad_output", "sign"),
             ("-grad_output", "-1.0 + 0 * grad_output", "no cotangent"),
             ("-grad_output", "0.0 * grad_output", "no cotangent", {"scale"}),
             ("-grad_output", "-grad_output.sum(axis=0)", "extra sum"),
             ("-grad_output", "-grad_output / len(grad_output)", "factor"),
             ("-grad_output", "-2 * grad_output", "factor")),
    function("Inv", positive,
             ("-grad_output / t1**2", "grad_output / t1**2", "sign"),
             ("-grad_output / t1**2", "-grad_output / t1", "power"),
             ("-grad_output / t1**2", "-1.0 / t1**2", "no cotangent"),
             ("-grad_output / t1**2", "-grad_output * t1**2", "power"),
             ("-grad_output / t1**2", "-grad_output / t1**3", "power"),
             ("-grad_output / t1**2", "grad_output * np.log(t1)", "operand"),
             ("-grad_output / t1**2", "-grad_output", "no derivative")),
    function("Add", two("t1", "t2"),
             ("return grad_output, grad_output", "return grad_output, -grad_output", "sign"),
             ("return grad_output, grad_output", "return grad_output, 2 * grad_output", "factor"),
             ("return grad_output, grad_output", "return grad_output, 0 * grad_output", "no term",
              {"scale", "cotangent_ignored"}),
             ("return grad_output, grad_output", "return grad_output / 2, grad_output / 2", "factor"),
             ("return grad_output, grad_output", "return np.ones_like(grad_output), grad_output", "no cotangent"),
             ("return grad_output, grad_output", "return grad_output.sum(axis=0), grad_output", "extra sum")),
    function("Mul", two("a", "b"),
             ("grad_output * b, grad_output * a", "grad_output * a, grad_output * b", "operand", {"transpose"}),
             ("grad_output * b, grad_output * a", "b, a", "no cotangent"),
             ("grad_output * b, grad_output * a", "grad_output * b, grad_output * b", "operand"),
             ("grad_output * b, grad_output * a", "grad_output, grad_output", "no derivative"),
             ("grad_output * b, grad_output * a", "grad_output * b, grad_output + a", "operand"),
             ("grad_output * b, grad_output * a", "grad_output * a * b, grad_output * a * b", "extra factor"),
             ("grad_output * b, grad_output * a", "grad_output * b, grad_output / a", "power")),
    function("Div", two("a", "b"),
             ("-grad_output * a / b**2", "grad_output * a / b**2", "sign"),
             ("-grad_output * a / b**2", "-grad_output * a / b", "power"),
             ("-grad_output * a / b**2", "-grad_output / b**2", "no derivative"),
             ("grad_a = grad_output / b", "grad_a = grad_output * b", "power"),
             ("grad_a = grad_output / b", "grad_a = grad_output", "no derivative"),
             ("-grad_output * a / b**2", "-grad_output * b / a**2", "operand"),
             ("grad_a = grad_output / b", "grad_a = grad_output / a", "operand")),
    function("Sigmoid", one,
             ("grad_output * sigma * (1.0 - sigma)", "grad_output * sigma", "no derivative",
              {"activation_derivative_at_wrong_value"}),
             ("grad_output * sigma * (1.0 - sigma)", "grad_output * (1.0 - sigma)", "no derivative",
              {"activation_derivative_at_wrong_value"}),
             ("grad_output * sigma * (1.0 - sigma)", "sigma * (1.0 - sigma)", "no cotangent"),
             ("grad_output * sigma * (1.0 - sigma)", "grad_output * (1.0 - sigma**2)", "derivative at"),
             ("grad_output * sigma * (1.0 - sigma)", "grad_output * sigma * (sigma - 1.0)", "sign"),
             ("(sigma,) = ctx.saved_values", "sigma = 1 / (1 + np.exp(-ctx.saved_values[0]))", "derivative at"),
             ("grad_output * sigma * (1.0 - sigma)", "grad_output", "no derivative")),
    function("ReLU", one,
             ("grad_output * (t1 > 0)", "grad_output", "no derivative"),
             ("grad_output * (t1 > 0)", "grad_output * (grad_output > 0)", "derivative at"),
             ("grad_output * (t1 > 0)", "grad_output * t1 * (t1 > 0)", "derivative at",
              {"missing_activation_derivative"}),
             ("grad_output * (t1 > 0)", "1.0 * (t1 > 0)", "no cotangent"),
             ("grad_output * (t1 > 0)", "grad_output * (t1 < 0)", "derivative at", {"sign"}),
             ("grad_output * (t1 > 0)", "np.where(t1 > 0, grad_output, -grad_output)", "derivative at", {"sign"})),
    function("Log", positive,
             ("grad_output / t1", "grad_output * t1", "power"),
             ("grad_output / t1", "1.0 / t1", "no cotangent"),
             ("grad_output / t1", "grad_output", "no derivative"),
             ("grad_output / t1", "grad_output / t1**2", "power"),
             ("grad_output / t1", "grad_output / np.log(t1)", "derivative at"),
             ("grad_output / t1", "-grad_output / t1", "sign")),
    function("Exp", one,
             ("grad_output * out", "grad_output", "no derivative"),
             ("grad_output * out", "grad_output * np.exp(out)", "derivative at"),
             ("grad_output * out", "out", "no cotangent"),
             ("grad_output * out", "grad_output * np.log(out)", "derivative at"),
             ("grad_output * out", "np.exp(grad_output)", "operand"),
             ("grad_output * out", "grad_output + out", "operand")),
    function("Tanh", one,
             ("(1.0 - out**2)", "(1.0 - out)", "derivative at"),
             ("(1.0 - out**2)", "out * (1.0 - out)", "derivative at"),
             ("(1.0 - out**2)", "(1.0 - np.tanh(out) ** 2)", "derivative at"),
             ("grad_output * (1.0 - out**2)", "1.0 - out**2", "no cotangent"),
             ("grad_output * (1.0 - out**2)", "grad_output", "no derivative"),
             ("(1.0 - out**2)", "(out**2 - 1.0)", "sign")),
    function("Sum", reduced,
             ("np.ones(shape) * grad_output, 0.0", "grad_output, 0.0", "no broadcast"),
             ("np.ones(shape) * grad_output, 0.0", "np.ones(shape), 0.0", "no cotangent"),
             ("np.ones(shape) * grad_output, 0.0", "np.ones(shape) * grad_output / shape[int(dim)], 0.0", "factor"),
             ("np.ones(shape) * grad_output, 0.0", "np.ones(shape) * grad_output.sum(), 0.0", "axis"),
             ("np.ones(shape) * grad_output, 0.0",
              "np.ones(shape) * grad_output.mean(axis=1 - int(dim), keepdims=True), 0.0", "axis"),
             ("np.ones(shape) * grad_output, 0.0", "np.ones(shape) * grad_output * shape[int(dim)], 0.0", "factor")),
    function("Mean", reduced,
             (" / shape[dim]", "", "factor"),
             (" / shape[dim]", " / np.prod(shape)", "factor"),
             (" / shape[dim]", " / shape[1 - dim]", "factor"),
             (" / shape[dim]", " * shape[dim]", "factor"),
             ("np.broadcast_to(grad, shape)", "np.broadcast_to(grad.mean(), shape)", "axis"),
             ("np.expand_dims(grad_output, dim)", "np.ones(shape)", "no cotangent")),
    function("Permute", permuted,
             ("np.transpose(grad_output, inverse)", "np.transpose(grad_output, order)", "transpose"),
             ("np.transpose(grad_output, inverse)", "np.transpose(grad_output)", "transpose"),
             ("np.transpose(grad_output, inverse)", "grad_output", "transpose"),
             ("np.transpose(grad_output, inverse)", "grad_output.reshape([grad_output.shape[i] for i in inverse])",
              "order",
              {"transpose"}),
             ("np.argsort(order)", "order[::-1]", "transpose"),
             ("np.transpose(grad_output, inverse)", "-np.transpose(grad_output, inverse)", "sign")),
    function("View", viewed,
             ("grad_output.reshape(original)", "grad_output", "no reshape"),
             ("grad_output.reshape(original)", "grad_output.T.reshape(original)", "order", {"transpose"}),
             ("grad_output.reshape(original)", "grad_output.reshape(original, order='F')", "order", {"transpose"}),
             ("grad_output.reshape(original)", "np.ones(original)", "no cotangent"),
             ("grad_output.reshape(original)", "np.resize(grad_output[0], original)", "index"),
             ("grad_output.reshape(original)", "grad_output.reshape(original) / 2", "factor")),
    function("MatMul", product,
             ("grad_output @ np.swapaxes(t2, -1, -2)", "(grad_output @ np.swapaxes(t2, -1, -2)).T", "transpose"),
             ("np.swapaxes(t1, -1, -2) @ grad_output", "(np.swapaxes(t1, -1, -2) @ grad_output).T", "transpose"),
             ("np.swapaxes(t1, -1, -2) @ grad_output", "np.swapaxes(t1, -1, -2) @ np.ones_like(grad_output)",
              "no cotangent"),
             ("np.swapaxes(t1, -1, -2) @ grad_output", "np.swapaxes(t1, -1, -2) @ grad_output / len(t1)", "factor"),
             ("return grad_1, grad_2", "return grad_2, grad_1", "order", {"transpose"}),
             ("return grad_1, grad_2", "return grad_1, -grad_2", "sign"),
             ("grad_output @ np.swapaxes(t2, -1, -2)", "np.ones_like(grad_output) @ np.swapaxes(t2, -1, -2)",
              "no cotangent")),
    op("EWiseMul", two("a", "b"), (),
       ("out_grad * rhs, out_grad * lhs", "out_grad * lhs, out_grad * rhs", "operand"),
       ("out_grad * rhs, out_grad * lhs", "rhs, lhs", "no cotangent"),
       ("out_grad * rhs, out_grad * lhs", "out_grad * rhs, out_grad", "no derivative"),
       ("out_grad * rhs, out_grad * lhs", "out_grad * rhs, out_grad * rhs", "operand"),
       ("out_grad * rhs, out_grad * lhs", "out_grad * rhs, -out_grad * lhs", "sign"),
       ("out_grad * rhs, out_grad * lhs", "out_grad * rhs, out_grad * lhs**2", "power")),
    op("EWiseDiv", two("a", "b"), (),
       ("-out_grad * lhs / rhs**2", "out_grad * lhs / rhs**2", "sign"),
       ("-out_grad * lhs / rhs**2", "-out_grad * lhs / rhs", "power"),
       ("-out_grad * lhs / rhs**2", "-lhs / rhs**2", "no cotangent"),
       ("-out_grad * lhs / rhs**2", "-out_grad / rhs**2", "no derivative"),
       ("return out_grad / rhs,", "return out_grad,", "no derivative"),
       ("-out_grad * lhs / rhs**2", "-out_grad * rhs / lhs**2", "operand")),
    op("PowerScalar", named("a", positive), (3,),
       ("out_grad * self.scalar * a ** (self.scalar - 1)", "out_grad * a ** (self.scalar - 1)", "factor"),
       ("out_grad * self.scalar * a ** (self.scalar - 1)", "out_grad * self.scalar * a**self.scalar", "power"),
       ("out_grad * self.scalar * a ** (self.scalar - 1)", "self.scalar * a ** (self.scalar - 1)", "no cotangent"),
       ("out_grad * self.scalar * a ** (self.scalar - 1)", "out_grad * (self.scalar - 1) * a ** (self.scalar - 1)",
        "factor"),
       ("out_grad * self.scalar * a ** (self.scalar - 1)", "out_grad * self.scalar * a", "power"),
       ("out_grad * self.scalar * a ** (self.scalar - 1)", "out_grad * self.scalar * out_grad ** (self.scalar - 1)",
        "operand"),
       ("out_grad * self.scalar * a ** (self.scalar - 1)", "out_grad * self.scalar", "no derivative")),
    op("DivScalar", named("a", one), (2.5,),
       ("out_grad / self.scalar", "out_grad", "factor"),
       ("out_grad / self.scalar", "out_grad * self.scalar", "factor"),
       ("out_grad / self.scalar", "-out_grad / self.scalar**2", "factor", {"sign"}),
       ("out_grad / self.scalar", "np.ones_like(out_grad) / self.scalar", "no cotangent"),
       ("out_grad / self.scalar", "node.inputs[0] / self.scalar", "no cotangent"),
       ("out_grad / self.scalar", "-out_grad / self.scalar", "sign")),
    op("Transpose", lambda rng: {"a": rng.normal(size=(2, 3, 4))}, ((0, 2),),
       ("return np.swapaxes(out_grad, self.axes[0], self.axes[1])", "return np.transpose(out_grad, (1, 0, 2))",
        "transpose"),
       ("return np.swapaxes(out_grad, self.axes[0], self.axes[1])", "return out_grad", "transpose"),
       ("return np.swapaxes(out_grad, self.axes[0], self.axes[1])", "return out_grad.reshape(node.inputs[0].shape)",
        "order",
        {"transpose"}),
       ("return np.swapaxes(out_grad, self.axes[0], self.axes[1])",
        "return np.ones_like(np.swapaxes(out_grad, self.axes[0], self.axes[1]))", "no cotangent"),
       ("return np.swapaxes(out_grad, self.axes[0], self.axes[1])", "return np.swapaxes(out_grad, -1, -2)",
        "transpose"),
       ("return np.swapaxes(out_grad, self.axes[0], self.axes[1])",
        "return -np.swapaxes(out_grad, self.axes[0], self.axes[1])", "sign")),
    op("Reshape", lambda rng: {"a": rng.normal(size=(4, 6))}, ((8, 3),),
       ("np.reshape(out_grad, node.inputs[0].shape)", "np.reshape(out_grad, self.shape)", "no reshape"),
       ("np.reshape(out_grad, node.inputs[0].shape)", "np.reshape(out_grad, node.inputs[0].shape, order='F')",
        "order", {"transpose"}),
       ("np.reshape(out_grad, node.inputs[0].shape)", "np.reshape(out_grad.T, node.inputs[0].shape)", "order",
        {"transpose"}),
       ("np.reshape(out_grad, node.inputs[0].shape)", "np.reshape(out_grad, node.inputs[0].shape).T", "transpose"),
       ("np.reshape(out_grad, node.inputs[0].shape)", "np.ones(node.inputs[0].shape)", "no cotangent"),
       ("np.reshape(out_grad, node.inputs[0].shape)", "np.reshape(out_grad, node.inputs[0].shape) * node.inputs[0]",
        "extra factor")),
    op("BroadcastTo", lambda rng: {"a": rng.normal(size=(3, 1))}, ((2, 3, 4),),
       ("np.reshape(np.sum(out_grad, axis=axes), shape)", "out_grad", "no sum"),
       ("np.sum(out_grad, axis=axes)", "np.mean(out_grad, axis=axes)", "factor"),
       ("np.reshape(np.sum(out_grad, axis=axes), shape)", "np.sum(out_grad, axis=0)", "no sum"),
       ("np.reshape(np.sum(out_grad, axis=axes), shape)", "np.sum(out_grad, axis=axes)", "no keepdims"),
       ("np.sum(out_grad, axis=axes)", "np.max(out_grad, axis=axes)", "operand"),
       ("np.reshape(np.sum(out_grad, axis=axes), shape)", "np.sum(out_grad) * np.ones(shape)", "axis"),
       ("np.reshape(np.sum(out_grad, axis=axes), shape)", "np.reshape(out_grad[0, :, 0], shape)", "last only")),
    op("Summation", lambda rng: {"a": rng.normal(size=(2, 3, 4))}, ((1,),),
       ("np.broadcast_to(np.reshape(out_grad, shape), node.inputs[0].shape)", "np.reshape(out_grad, shape)",
        "no broadcast"),
       ("np.broadcast_to(np.reshape(out_grad, shape), node.inputs[0].shape)", "np.ones(node.inputs[0].shape)",
        "no cotangent"),
       ("np.broadcast_to(np.reshape(out_grad, shape), node.inputs[0].shape)",
        "np.broadcast_to(np.reshape(out_grad, shape), node.inputs[0].shape) / node.inputs[0].shape[1]", "factor"),
       ("np.broadcast_to(np.reshape(out_grad, shape), node.inputs[0].shape)",
        "np.broadcast_to(np.reshape(out_grad, shape), node.inputs[0].shape) * node.inputs[0]", "extra factor"),
       ("np.broadcast_to(np.reshape(out_grad, shape), node.inputs[0].shape)", "out_grad", "no broadcast"),
       ("np.broadcast_to(np.reshape(out_grad, shape), node.inputs[0].shape)",
        "np.broadcast_to(out_grad.mean(), node.inputs[0].shape)", "axis")),
    op("MatMul", batched, (),
       ("axis=tuple(range(grad_b.ndim - b.ndim))", "axis=1", "axis"),
       ("grad_b = np.sum(grad_b, axis=tuple(range(grad_b.ndim - b.ndim)))", "grad_b = grad_b[0]", "last only"),
       ("grad_b = np.sum(grad_b,", "grad_b = np.mean(grad_b,", "factor"),
       ("grad_b = np.swapaxes(a, -1, -2) @ out_grad", "grad_b = -np.swapaxes(a, -1, -2) @ out_grad", "sign"),
       ("grad_b = np.sum(grad_b, axis=tuple(range(grad_b.ndim - b.ndim)))", "grad_b = grad_b * 1.0", "no sum"),
       ("return grad_a, grad_b", "return np.sum(grad_a, axis=0), grad_b", "extra sum"),
       ("return grad_a, grad_b", "return grad_a, grad_b.T", "transpose"),
       title="MatMul over a batch"),
    op("ReLU", named("a", one), (),
       ("out_grad * mask", "mask * 1.0", "no cotangent"),
       ("out_grad * mask", "out_grad", "no derivative"),
       ("node.inputs[0] > 0", "out_grad > 0", "derivative at"),
       ("node.inputs[0] > 0", "node.inputs[0] < 0", "derivative at", {"sign"}),
       ("node.inputs[0] > 0", "node.inputs[0] > node.inputs[0].mean()", "derivative at"),
       ("out_grad * mask", "out_grad * self.compute(node.inputs[0])", "derivative at",
        {"missing_activation_derivative"})),
    op("LogSumExp", lambda rng: {"Z": rng.normal(size=(3, 4))}, ((1,),),
       ("return g * p", "return p", "no cotangent"),
       ("return g * p", "return g * e", "no derivative"),
       ("return g * p", "return g * p * (1 - p)", "softmax", {"extra_factor"}),
       ("p = e / np.sum(e, axis=self.axes, keepdims=True)", "p = e / np.sum(e)", "axis", {"softmax_axis"}),
       ("p = e / np.sum(e, axis=self.axes, keepdims=True)", "p = e / np.sum(e, axis=0, keepdims=True)", "axis"),
       ("return g * p", "return g * np.exp(Z)", "no derivative")),
    op("LogSoftmax", lambda rng: {"Z": rng.normal(size=(3, 4))}, (),
       (" - softmax * np.sum(out_grad, axis=1, keepdims=True)", "", "no term", {"missing_activation_derivative"}),
       ("np.sum(out_grad, axis=1, keepdims=True)", "np.sum(out_grad, axis=0, keepdims=True)", "axis"),
       ("np.sum(out_grad, axis=1, keepdims=True)", "out_grad", "no sum", {"softmax_diagonal_only", "wrong_derivative"}),
       ("- softmax * np.sum(out_grad", "+ softmax * np.sum(out_grad", "sign"),
       ("e / np.sum(e, axis=1, keepdims=True)", "e / np.sum(e, axis=0, keepdims=True)", "axis"),
       ("np.sum(out_grad, axis=1, keepdims=True)", "np.sum(out_grad * softmax, axis=1, keepdims=True)", "extra factor",
        {"wrong_loss_gradient", "missing_activation_derivative"}),
       ("np.sum(out_grad, axis=1, keepdims=True)", "np.sum(out_grad)", "axis")),
]  # fmt: skip
