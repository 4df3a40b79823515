"""Operators with compute(...) and gradient(out_grad, node), on NumPy arrays."""

import numpy as np


class TensorOp:
    def __call__(self, *args):
        return self.compute(*args)


class EWiseMul(TensorOp):
    def compute(self, a, b):
        return a * b

    def gradient(self, out_grad, node):
        lhs, rhs = node.inputs
        return out_grad * rhs, out_grad * lhs


class EWiseDiv(TensorOp):
    def compute(self, a, b):
        return a / b

    def gradient(self, out_grad, node):
        lhs, rhs = node.inputs
        return out_grad / rhs, -out_grad * lhs / rhs**2


class PowerScalar(TensorOp):
    def __init__(self, scalar):
        self.scalar = scalar

    def compute(self, a):
        return a**self.scalar

    def gradient(self, out_grad, node):
        a = node.inputs[0]
        return out_grad * self.scalar * a ** (self.scalar - 1)


class DivScalar(TensorOp):
    def __init__(self, scalar):
        self.scalar = scalar

    def compute(self, a):
        return a / self.scalar

    def gradient(self, out_grad, node):
        return out_grad / self.scalar


class Transpose(TensorOp):
    def __init__(self, axes=None):
        self.axes = axes

    def compute(self, a):
        if self.axes is None:
            return np.swapaxes(a, -1, -2)
        return np.swapaxes(a, self.axes[0], self.axes[1])

    def gradient(self, out_grad, node):
        if self.axes is None:
            return np.swapaxes(out_grad, -1, -2)
        return np.swapaxes(out_grad, self.axes[0], self.axes[1])


class Reshape(TensorOp):
    def __init__(self, shape):
        self.shape = shape

    def compute(self, a):
        return np.reshape(a, self.shape)

    def gradient(self, out_grad, node):
        return np.reshape(out_grad, node.inputs[0].shape)


class BroadcastTo(TensorOp):
    def __init__(self, shape):
        self.shape = shape

    def compute(self, a):
        return np.broadcast_to(a, self.shape)

    def gradient(self, out_grad, node):
        shape = node.inputs[0].shape
        padded = (1,) * (len(self.shape) - len(shape)) + tuple(shape)
        axes = tuple(i for i, (s, t) in enumerate(zip(padded, self.shape)) if s != t)
        return np.reshape(np.sum(out_grad, axis=axes), shape)


class Summation(TensorOp):
    def __init__(self, axes=None):
        self.axes = axes

    def compute(self, a):
        return np.sum(a, axis=self.axes)

    def gradient(self, out_grad, node):
        shape = list(node.inputs[0].shape)
        axes = range(len(shape)) if self.axes is None else self.axes
        for axis in axes:
            shape[axis] = 1
        return np.broadcast_to(np.reshape(out_grad, shape), node.inputs[0].shape)


class MatMul(TensorOp):
    def compute(self, a, b):
        return a @ b

    def gradient(self, out_grad, node):
        a, b = node.inputs
        grad_a = out_grad @ np.swapaxes(b, -1, -2)
        grad_b = np.swapaxes(a, -1, -2) @ out_grad
        if grad_a.ndim > a.ndim:
            grad_a = np.sum(grad_a, axis=tuple(range(grad_a.ndim - a.ndim)))
        if grad_b.ndim > b.ndim:
            grad_b = np.sum(grad_b, axis=tuple(range(grad_b.ndim - b.ndim)))
        return grad_a, grad_b


class ReLU(TensorOp):
    def compute(self, a):
        return np.maximum(a, 0)

    def gradient(self, out_grad, node):
        mask = node.inputs[0] > 0
        return out_grad * mask


class LogSumExp(TensorOp):
    def __init__(self, axes=None):
        self.axes = axes

    def compute(self, Z):
        m = np.max(Z, axis=self.axes, keepdims=True)
        return np.log(np.sum(np.exp(Z - m), axis=self.axes)) + np.max(Z, axis=self.axes)

    def gradient(self, out_grad, node):
        Z = node.inputs[0]
        e = np.exp(Z - np.max(Z, axis=self.axes, keepdims=True))
        p = e / np.sum(e, axis=self.axes, keepdims=True)
        g = np.expand_dims(out_grad, self.axes)
        return g * p


class LogSoftmax(TensorOp):
    def compute(self, Z):
        z = Z - np.max(Z, axis=1, keepdims=True)
        return z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))

    def gradient(self, out_grad, node):
        Z = node.inputs[0]
        e = np.exp(Z - np.max(Z, axis=1, keepdims=True))
        softmax = e / np.sum(e, axis=1, keepdims=True)
        return out_grad - softmax * np.sum(out_grad, axis=1, keepdims=True)
