"""A learning rate that warms up, follows a cosine, and is cut when the loss no longer falls."""

import numpy as np
import torch
import torch.nn as nn
from torch.optim import lr_scheduler
from weights import initial

torch.set_default_dtype(torch.float64)

rng = np.random.default_rng(12)
x = torch.tensor(rng.normal(size=(50, 4)))
y = torch.tensor(np.abs(rng.normal(size=(50, 1))))

model = nn.Sequential(nn.Linear(4, 10), nn.SiLU(), nn.Linear(10, 1), nn.Softplus())
model.load_state_dict(initial(torch, model, seed=12))
criterion = nn.HuberLoss(delta=0.5)

losses, rates = [], []

optimizer = torch.optim.SGD(model.parameters(), lr=0.4, momentum=0.5)
warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=5)
cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
scheduler = lr_scheduler.SequentialLR(optimizer, schedulers=[warmup, cosine], milestones=[5])
for epoch in range(20):
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    scheduler.step()
    losses.append(loss.item())
    rates.append(scheduler.get_last_lr()[0])

optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
scheduler = lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
for epoch in range(15):
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    scheduler.step()
    losses.append(loss.item())
    rates.append(optimizer.param_groups[0]["lr"])

optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.3, patience=1)
for epoch in range(15):
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    scheduler.step(loss.item())
    losses.append(loss.item())
    rates.append(optimizer.param_groups[0]["lr"])
