"""An LSTM of two layers foretells the next value of a wave."""

import numpy as np
import torch
import torch.nn as nn
from weights import initial

torch.set_default_dtype(torch.float64)

rng = np.random.default_rng(4)
phase = rng.uniform(0, 2 * np.pi, size=(16, 1))
wave = np.sin(0.5 * np.arange(13) + phase)[:, :, np.newaxis]
inputs, targets = torch.tensor(wave[:, :-1]), torch.tensor(wave[:, 1:])


class Forecaster(nn.Module):
    def __init__(self, hidden_size=10, num_layers=2):
        super().__init__()
        self.num_layers, self.hidden_size = num_layers, hidden_size
        self.lstm = nn.LSTM(input_size=1, hidden_size=hidden_size, num_layers=num_layers, batch_first=True)
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, x):
        h0 = torch.zeros(self.num_layers, x.shape[0], self.hidden_size)
        c0 = torch.zeros(self.num_layers, x.shape[0], self.hidden_size)
        out, (hn, cn) = self.lstm(x, (h0, c0))
        return self.head(out)


model = Forecaster()
model.load_state_dict(initial(torch, model, seed=4))
loss_fn = nn.MSELoss()
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.005, alpha=0.95)

losses = []
for t in range(50):
    prediction = model(inputs)
    loss = loss_fn(prediction, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
