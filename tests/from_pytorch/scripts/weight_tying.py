"""A language model whose output layer is its embedding: one matrix, used twice."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from weights import initial

torch.set_default_dtype(torch.float64)

words = "one two three four five six seven eight nine ten".split()
rng = np.random.default_rng(7)
tokens = torch.tensor(np.cumsum(rng.integers(1, 3, size=121)) % len(words))


class TiedModel(nn.Module):
    def __init__(self, vocab_size, embed_dim):
        super().__init__()
        self.encoder = nn.Embedding(num_embeddings=vocab_size, embedding_dim=embed_dim)
        self.hidden = nn.Linear(2 * embed_dim, embed_dim)
        self.decoder = nn.Linear(embed_dim, vocab_size)
        self.decoder.weight = self.encoder.weight
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, pairs):
        embedded = self.encoder(pairs).flatten(start_dim=1)
        return self.decoder(self.scale * torch.tanh(self.hidden(embedded)))


model = TiedModel(len(words), 6)
model.load_state_dict(initial(torch, model, seed=7))
assert model.decoder.weight is model.encoder.weight
assert len(list(model.parameters())) == 5
optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, nesterov=True)

pairs = torch.stack([tokens[:-2], tokens[1:-1]], dim=1)
following = tokens[2:]

losses = []
for step in range(50):
    log_probs = F.log_softmax(model(pairs), dim=1)
    loss = F.nll_loss(log_probs, following)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
