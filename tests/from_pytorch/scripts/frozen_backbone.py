"""Transfer learning: a backbone that is kept as it is, a head that learns, then the last block as well."""

import copy

import numpy as np
import torch
import torch.nn as nn
from weights import initial

torch.set_default_dtype(torch.float64)

rng = np.random.default_rng(8)
features = torch.tensor(rng.normal(size=(40, 6)))
target = torch.tensor(rng.normal(size=(40, 2)))

backbone = nn.Sequential(
    nn.Linear(6, 12),
    nn.BatchNorm1d(12),
    nn.ReLU(),
    nn.Linear(12, 12),
    nn.ELU(),
)
head = nn.Linear(12, 2)
backbone.load_state_dict(initial(torch, backbone, seed=8))
head.load_state_dict(initial(torch, head, seed=9))

for param in backbone.parameters():
    param.requires_grad = False
backbone.eval()
before = copy.deepcopy(backbone.state_dict())

model = nn.Sequential(backbone, head)
criterion = nn.SmoothL1Loss()
optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=0.02)

losses = []
for step in range(25):
    optimizer.zero_grad()
    loss = criterion(model(features), target)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())
assert backbone[0].weight.grad is None

for param in backbone[3].parameters():
    param.requires_grad_(True)
optimizer = torch.optim.SGD(
    [
        {"params": head.parameters()},
        {"params": backbone[3].parameters(), "lr": 0.02},
    ],
    lr=0.1,
    momentum=0.8,
)
for step in range(25):
    optimizer.zero_grad()
    loss = criterion(model(features), target)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
