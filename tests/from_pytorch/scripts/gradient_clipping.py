"""A plain recurrent network, whose gradients are clipped: first by their norm, then entry by entry."""

import numpy as np
import torch
import torch.nn as nn
from weights import initial

torch.set_default_dtype(torch.float64)

rng = np.random.default_rng(11)
bits = rng.integers(0, 2, size=(20, 9, 1))
sequences = torch.tensor(bits, dtype=torch.float64)
parity = torch.tensor(bits.sum(axis=1) % 2, dtype=torch.float64)


class Parity(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(input_size=1, hidden_size=8, nonlinearity="tanh", batch_first=True)
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        out, hn = self.rnn(x)
        return self.fc(out[:, -1, :])


model = Parity()
model.load_state_dict(initial(torch, model, seed=11))
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

losses, norms = [], []
for step in range(50):
    optimizer.zero_grad()
    loss = criterion(model(sequences), parity)
    loss.backward()
    if step < 30:
        total_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.1)
        norms.append(float(total_norm))
    else:
        torch.nn.utils.clip_grad_value_(model.parameters(), clip_value=0.01)
    optimizer.step()
    losses.append(loss.item())

assert max(norms) > 0.1
