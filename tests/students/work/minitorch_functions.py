"""Functions with forward(ctx, ...) and backward(ctx, grad_output), on NumPy arrays."""

import numpy as np


class Function:
    pass


class Neg(Function):
    @staticmethod
    def forward(ctx, t1):
        return -t1

    @staticmethod
    def backward(ctx, grad_output):
        return -grad_output


class Inv(Function):
    @staticmethod
    def forward(ctx, t1):
        ctx.save_for_backward(t1)
        return 1.0 / t1

    @staticmethod
    def backward(ctx, grad_output):
        (t1,) = ctx.saved_values
        return -grad_output / t1**2


class Add(Function):
    @staticmethod
    def forward(ctx, t1, t2):
        return t1 + t2

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output, grad_output


class Mul(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, grad_output):
        a, b = ctx.saved_values
        return grad_output * b, grad_output * a


class Div(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a / b

    @staticmethod
    def backward(ctx, grad_output):
        a, b = ctx.saved_values
        grad_a = grad_output / b
        grad_b = -grad_output * a / b**2
        return grad_a, grad_b


class Sigmoid(Function):
    @staticmethod
    def forward(ctx, t1):
        out = 1.0 / (1.0 + np.exp(-t1))
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, grad_output):
        (sigma,) = ctx.saved_values
        return grad_output * sigma * (1.0 - sigma)


class ReLU(Function):
    @staticmethod
    def forward(ctx, t1):
        ctx.save_for_backward(t1)
        return np.maximum(t1, 0.0)

    @staticmethod
    def backward(ctx, grad_output):
        (t1,) = ctx.saved_values
        return grad_output * (t1 > 0)


class Log(Function):
    @staticmethod
    def forward(ctx, t1):
        ctx.save_for_backward(t1)
        return np.log(t1)

    @staticmethod
    def backward(ctx, grad_output):
        (t1,) = ctx.saved_values
        return grad_output / t1


class Exp(Function):
    @staticmethod
    def forward(ctx, t1):
        out = np.exp(t1)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, grad_output):
        (out,) = ctx.saved_values
        return grad_output * out


class Tanh(Function):
    @staticmethod
    def forward(ctx, t1):
        out = np.tanh(t1)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, grad_output):
        (out,) = ctx.saved_values
        return grad_output * (1.0 - out**2)


class Sum(Function):
    @staticmethod
    def forward(ctx, t1, dim):
        ctx.save_for_backward(t1.shape, dim)
        return t1.sum(axis=int(dim), keepdims=True)

    @staticmethod
    def backward(ctx, grad_output):
        shape, dim = ctx.saved_values
        return np.ones(shape) * grad_output, 0.0


class Mean(Function):
    @staticmethod
    def forward(ctx, t1, dim):
        ctx.save_for_backward(t1.shape, int(dim))
        return t1.mean(axis=int(dim))

    @staticmethod
    def backward(ctx, grad_output):
        shape, dim = ctx.saved_values
        grad = np.expand_dims(grad_output, dim) / shape[dim]
        return np.broadcast_to(grad, shape), 0.0


class Permute(Function):
    @staticmethod
    def forward(ctx, t1, order):
        ctx.save_for_backward(order)
        return np.transpose(t1, [int(i) for i in order])

    @staticmethod
    def backward(ctx, grad_output):
        (order,) = ctx.saved_values
        inverse = np.argsort(order)
        return np.transpose(grad_output, inverse), 0.0


class View(Function):
    @staticmethod
    def forward(ctx, t1, shape):
        ctx.save_for_backward(t1.shape)
        return t1.reshape(tuple(int(s) for s in shape))

    @staticmethod
    def backward(ctx, grad_output):
        (original,) = ctx.saved_values
        return grad_output.reshape(original), 0.0


class MatMul(Function):
    @staticmethod
    def forward(ctx, t1, t2):
        ctx.save_for_backward(t1, t2)
        return t1 @ t2

    @staticmethod
    def backward(ctx, grad_output):
        t1, t2 = ctx.saved_values
        grad_1 = grad_output @ np.swapaxes(t2, -1, -2)
        grad_2 = np.swapaxes(t1, -1, -2) @ grad_output
        return grad_1, grad_2
