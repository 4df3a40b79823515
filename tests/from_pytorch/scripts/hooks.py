"""Hooks: activations are watched, an input is changed on its way in, gradients are changed on their way back."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from weights import initial

torch.set_default_dtype(torch.float64)

rng = np.random.default_rng(13)
x = torch.tensor(rng.normal(loc=3.0, size=(30, 5)))
y = torch.tensor(rng.integers(0, 4, size=30))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 12)
        self.second = nn.Linear(12, 4)

    def forward(self, x):
        return self.second(F.leaky_relu(self.first(x), 0.1))


model = Classifier()
model.load_state_dict(initial(torch, model, seed=13))

activations, means, arriving = {}, [], []


def watch(name):
    def hook(module, input, output):
        activations[name] = output.detach()

    return hook


def centre(module, args):
    (points,) = args
    return (points - points.mean(dim=0, keepdim=True),)


handles = [
    model.first.register_forward_hook(watch("first")),
    model.second.register_forward_hook(watch("second")),
    model.first.register_forward_pre_hook(centre),
    model.second.weight.register_hook(lambda grad: 0.5 * grad),
]
optimizer = torch.optim.Adam(model.parameters(), lr=0.03)

losses = []
for step in range(50):
    if step == 40:
        for handle in handles:
            handle.remove()
    optimizer.zero_grad()
    out = model(x)
    out.retain_grad()
    loss = F.cross_entropy(out, y, label_smoothing=0.1)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    means.append(activations["first"].mean().item())
    arriving.append(float(abs(out.grad).sum()))
