"""A variational autoencoder of pictures of one blob each."""

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F
from weights import initial

torch.set_default_dtype(torch.float64)

rng = np.random.default_rng(3)
centres = rng.uniform(1, 6, size=(32, 2))
grid = np.arange(8)
distance = (grid[None, :, None] - centres[:, :1, None]) ** 2 + (grid[None, None, :] - centres[:, 1:, None]) ** 2
data = torch.from_numpy(np.exp(-distance / 3))


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(64, 24)
        self.fc21 = nn.Linear(24, 2)
        self.fc22 = nn.Linear(24, 2)
        self.fc3 = nn.Linear(2, 24)
        self.fc4 = nn.Linear(24, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.from_numpy(rng.normal(size=std.shape))
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


model = VAE()
model.load_state_dict(initial(torch, model, seed=3))
optimizer = optim.Adam(model.parameters(), lr=1e-2)

losses = []
for step in range(50):
    optimizer.zero_grad()
    recon_batch, mu, logvar = model(data)
    loss = loss_function(recon_batch, data, mu, logvar) / len(data)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
