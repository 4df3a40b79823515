"""A generator learns to imitate points on a ring, against a discriminator that learns to tell them apart."""

import numpy as np
import torch
import torch.nn as nn
from weights import initial

torch.set_default_dtype(torch.float64)

rng = np.random.default_rng(5)
latent_dim, batch_size = 3, 32


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(latent_dim, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(inplace=True),
            nn.Linear(16, 2),
        )

    def forward(self, z):
        return self.model(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(2, 16),
            nn.LeakyReLU(0.2),
            nn.Linear(16, 1),
            nn.Sigmoid(),
        )

    def forward(self, point):
        return self.model(point)


generator, discriminator = Generator(), Discriminator()
generator.load_state_dict(initial(torch, generator, seed=5))
discriminator.load_state_dict(initial(torch, discriminator, seed=6))
adversarial_loss = nn.BCELoss()
optimizer_G = torch.optim.Adam(generator.parameters(), lr=0.01, betas=(0.5, 0.999))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=0.01, betas=(0.5, 0.999))

valid = torch.ones(batch_size, 1)
fake = torch.zeros(batch_size, 1)

losses = []
for i in range(25):
    angle = rng.uniform(0, 2 * np.pi, size=batch_size)
    real = torch.tensor(np.stack([np.cos(angle), np.sin(angle)], axis=1))

    optimizer_G.zero_grad()
    z = torch.tensor(rng.normal(size=(batch_size, latent_dim)))
    generated = generator(z)
    g_loss = adversarial_loss(discriminator(generated), valid)
    g_loss.backward()
    optimizer_G.step()

    optimizer_D.zero_grad()
    real_loss = adversarial_loss(discriminator(real), valid)
    fake_loss = adversarial_loss(discriminator(generated.detach()), fake)
    d_loss = (real_loss + fake_loss) / 2
    d_loss.backward()
    optimizer_D.step()
    losses += [g_loss.item(), d_loss.item()]
