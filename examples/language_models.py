"""Two small language models of characters, on fourteen sonnets of Shakespeare: an LSTM and a transformer.

Each model reads a piece of text and predicts the next character at every position. A model that knows only how often
each character occurs needs 3.1 nats a character.
Run both with `python examples/language_models.py`; add `lstm` or `transformer` to run one of them.
"""

import sys

import numpy as np

from tinygrad_nn import Module, Settings, Solver, fit, load_sonnets, optim
from tinygrad_nn.nn import LSTM, Embedding, LayerNorm, Linear, Sequential, TransformerBlock
from tinygrad_nn.nn.losses import cross_entropy

F32 = np.float32


class Recurrent(Module):
    """Characters (batch, time) in, logits (batch, time, alphabet) out, by an LSTM."""

    def __init__(self, alphabet: int, width: int, rng: np.random.Generator):
        self.embedding = Embedding(alphabet, width, rng=rng, dtype=F32)
        self.lstm = LSTM(width, width, batch_first=True, rng=rng, dtype=F32)
        self.head = Linear(width, alphabet, rng=rng, dtype=F32)

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0])


class Transformer(Module):
    """The same by causal attention: every position attends to itself and to earlier positions."""

    def __init__(self, alphabet: int, width: int, rng: np.random.Generator, time: int, blocks: int = 2):
        self.embedding = Embedding(alphabet, width, rng=rng, dtype=F32)
        self.places = Embedding(time, width, rng=rng, dtype=F32)
        self.blocks = Sequential(*(
            TransformerBlock(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True, causal=True, rng=rng,
                             dtype=F32)
            for _ in range(blocks)
        ))  # fmt: skip
        self.norm, self.head = LayerNorm(width, dtype=F32), Linear(width, alphabet, rng=rng, dtype=F32)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.embedding(x) + self.places(np.arange(x.shape[1])))))


def loss(logits, y):
    """Return the loss in nats a character."""
    return cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))


def write(model: Module, text, start: str, length: int, time: int, rng: np.random.Generator) -> str:
    """Continue a text with a model, one character at a time."""
    codes = [text.alphabet.index(character) for character in start]
    model.eval()
    for _ in range(length):
        logits = np.asarray(model(np.array([codes[-time:]])).data[0, -1], dtype=float) / 0.7
        p = np.exp(logits - logits.max())
        codes.append(int(rng.choice(len(p), p=p / p.sum())))
    return text.spell(codes)


def main(kind: str, epochs: int = 30, width: int = 96, time: int = 48, rows: int | None = None, seed: int = 0) -> float:
    """Train a model, print text that it writes, and return the nats a character on text it has not seen."""
    rng, text = np.random.default_rng(seed), load_sonnets()
    cut = int(0.9 * len(text.codes))
    pieces = [np.lib.stride_tricks.sliding_window_view(part, time + 1) for part in (text.codes[:cut], text.codes[cut:])]
    train, test = pieces[0][:: 4][:rows], pieces[1][::time]
    sizes = {"lstm": {}, "transformer": {"time": time}}[kind]
    model = {"lstm": Recurrent, "transformer": Transformer}[kind](len(text.alphabet), width, rng, **sizes)
    updates = epochs * -(-len(train) // 32)
    history = fit(
        model, train[:, :-1], train[:, 1:], test[:, :-1], test[:, 1:],
        solver=Solver(loss, "adamw", 3e-3, schedule=optim.OneCycle(updates), schedule_by="step", clip_norm=1.0),
        settings=Settings(epochs, 32), rng=rng, metrics={},
    )  # fmt: skip
    best = min(history.val_loss)
    print(f"{kind}: {history.loss[-1]:.2f} nats a character on the text, at best {best:.2f} on the part held back")
    print(write(model, text, "When ", 160, time, rng))
    return best


if __name__ == "__main__":
    for kind in sys.argv[1:] or ("lstm", "transformer"):
        main(kind)
