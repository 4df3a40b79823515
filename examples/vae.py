"""A variational autoencoder on the 8x8 digits: it learns to generate digits from eight numbers, or from noise.

The encoder computes mean and log variance of a latent point, and the decoder an image from a sample of it. The loss is
the negative evidence lower bound (Kingma & Welling, Auto-encoding variational Bayes, 2014, equation 10).
Run it with `python examples/vae.py`; it writes its digits to `vae.png`.
"""

import numpy as np

from tinygrad_nn import Module, Predict, Settings, Solver, fit, load_digits, sigmoid
from tinygrad_nn.nn import Linear, Sequential, relu


class VAE(Module):
    """Images in; logits of images, mean and log variance of the latent points out, in one array."""

    def __init__(self, hidden: int, latent: int, rng: np.random.Generator):
        self.encoder = Sequential(Linear(64, hidden, rng=rng), relu, Linear(hidden, 2 * latent, rng=rng))
        self.decoder = Sequential(Linear(latent, hidden, rng=rng), relu, Linear(hidden, 64, rng=rng))
        self.latent, self.rng = latent, rng

    def forward(self, x):
        both = self.encoder(x)
        mean, log_var = both[:, : self.latent], both[:, self.latent :]  # (batch, latent) each
        noise = self.rng.normal(size=mean.shape) if self.training else 0.0
        return np.concatenate([self.decoder(mean + np.exp(log_var / 2) * noise), mean, log_var], axis=1)


def evidence(output, x):
    """Return minus the evidence lower bound, in nats an image."""
    latent = (output.shape[1] - 64) // 2
    z, mean, log_var = output[:, :64], output[:, 64 : 64 + latent], output[:, 64 + latent :]
    drawn = (np.logaddexp(0, z) - x * z).sum()
    apart = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum()  # KL divergence from the standard normal
    return (drawn + apart) / len(x)


def main(
    epochs: int = 60, hidden: int = 128, latent: int = 8, rows: int | None = None, seed: int = 0
) -> tuple[float, float]:
    """Train it, draw digits, and return the bound of the first and the last epoch on images it has not seen."""
    rng = np.random.default_rng(seed)
    x = (load_digits().x / 16)[:rows]
    order = rng.permutation(len(x))
    train, test = x[order[: -len(x) // 5]], x[order[-len(x) // 5 :]]
    model = VAE(hidden, latent, rng)
    history = fit(model, train, train, test, test, solver=Solver(evidence, "adam", 2e-3), settings=Settings(epochs, 64),
                  rng=rng)  # fmt: skip
    print(f"nats an image: {history.val_loss[0]:.2f} after one epoch, {history.val_loss[-1]:.2f} after {epochs}")
    again = sigmoid(Predict(model, test[:8])[:, :64])
    noise = sigmoid(Predict(model.decoder, rng.normal(size=(8, latent))))
    draw([test[:8], again, noise], ["test images", "encoded and decoded", "from noise"], "vae.png")
    return history.val_loss[0], history.val_loss[-1]


def draw(rows: list[np.ndarray], titles: list[str], path: str) -> None:
    """Draw rows of images below each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.25 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), 8)
    for line, images, title in zip(axes, rows, titles, strict=True):
        for ax, image in zip(line, images, strict=True):
            ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        line[0].set_title(title, loc="left", fontsize=10)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
