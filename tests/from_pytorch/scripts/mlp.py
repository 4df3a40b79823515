"""A perceptron with two hidden layers learns which of three spirals a point lies on."""

import numpy as np
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from weights import initial

torch.set_default_dtype(torch.float64)

rng = np.random.default_rng(0)
labels = np.arange(90) % 3
angle = np.linspace(0, 4, 90) + 2 * np.pi / 3 * labels
radius = np.linspace(0.1, 1, 90)
points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) + 0.02 * rng.normal(size=(90, 2))

dataset = TensorDataset(torch.tensor(points), torch.tensor(labels))
loader = DataLoader(dataset, batch_size=20, shuffle=False)


class MLP(nn.Module):
    def __init__(self, in_features, hidden, num_classes):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(in_features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.net(x)


model = MLP(in_features=2, hidden=16, num_classes=3)
model.load_state_dict(initial(torch, model, seed=0))
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.3, momentum=0.9, weight_decay=1e-4)

losses = []
for epoch in range(10):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

model.eval()
with torch.no_grad():
    predicted = model(torch.tensor(points)).argmax(dim=1)
    accuracy = (predicted == torch.tensor(labels)).sum().item() / len(labels)
