"""Two functions with hand-written derivatives: one smooth, checked by gradcheck, and one that is only estimated."""

import numpy as np
import torch
import torch.nn as nn
from torch.autograd import Function, gradcheck
from weights import initial

torch.set_default_dtype(torch.float64)


class LegendrePolynomial3(Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


class RoundTo(Function):
    @staticmethod
    def forward(ctx, input, step):
        ctx.step = step
        ctx.save_for_backward(input)
        return torch.round(input / step) * step

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * (input.abs() < 10 * ctx.step), None


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 8)
        self.outer = nn.Linear(8, 1)

    def forward(self, x):
        hidden = LegendrePolynomial3.apply(torch.tanh(self.inner(x)))
        return self.outer(RoundTo.apply(hidden, 0.05))


rng = np.random.default_rng(10)
x = torch.tensor(rng.uniform(-1, 1, size=(30, 2)))
y = torch.sin(3 * x[:, :1]) * x[:, 1:]

probe = torch.tensor(rng.normal(size=(4, 3)), requires_grad=True)
assert gradcheck(LegendrePolynomial3.apply, (probe,), eps=1e-6, atol=1e-4)

model = Net()
model.load_state_dict(initial(torch, model, seed=10))
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)

losses = []
for t in range(50):
    y_pred = model(x)
    loss = (y_pred - y).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
