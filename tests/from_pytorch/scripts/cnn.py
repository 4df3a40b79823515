"""A convolutional network tells bars that lie from bars that stand and from blank noise."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from weights import initial

torch.set_default_dtype(torch.float64)

rng = np.random.default_rng(1)
images = 0.3 * rng.normal(size=(24, 1, 12, 12))
kinds = np.arange(24) % 3
for image, kind, place in zip(images, kinds, rng.integers(1, 11, size=24)):
    if kind == 0:
        image[0, place, :] += 1
    elif kind == 1:
        image[0, :, place] += 1

x = torch.from_numpy(images)
y = torch.from_numpy(kinds).long()


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(in_channels=1, out_channels=4, kernel_size=3, padding=1)
        self.norm1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, kernel_size=3, stride=1)
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.fc1 = nn.Linear(8 * 2 * 2, 16)
        self.fc2 = nn.Linear(16, 3)

    def forward(self, x):
        x = self.pool(F.relu(self.norm1(self.conv1(x))))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        return self.fc2(x)


net = Net()
net.load_state_dict(initial(torch, net, seed=1))
optimizer = optim.Adam(net.parameters(), lr=0.01)

losses = []
for step in range(50):
    optimizer.zero_grad()
    logits = net(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
