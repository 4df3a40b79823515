"""Rows for the losses with options, with references that follow the definitions row by row."""

import numpy as np

from tinygrad_nn.nn import losses

from .case import Case

LABELS = np.array([2, 0, 1, 1, -100])
KNOWN = np.array([2, 0, 1, 1, 0])
WEIGHT = np.array([0.5, 2.0, 1.25])
SIGNS = np.array([[1, -1, 1], [1, 1, -1], [-1, 1, 1], [-1, -1, 1], [1, -1, -1]])
YES = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]])
SHAPE = (5, 3)


def _log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _reduced(values, reduction="mean"):
    values = np.asarray(values)
    return {"mean": np.mean, "sum": np.sum, "none": lambda v: v}[reduction](values)


def _cross_entropy(z, reduction="mean"):
    """Of LABELS, weighted, smoothed by 0.2, without the last row."""
    w = WEIGHT.astype(z.dtype)
    ln_p = _log_softmax(z)
    y = 0.8 * np.eye(3, dtype=z.dtype)[KNOWN] + z.dtype.type(0.2 / 3)
    values = -(y * w * ln_p).sum(axis=-1) * (LABELS >= 0)
    return values.sum() / w[LABELS[:-1]].sum() if reduction == "mean" else _reduced(values, reduction)


def _focal(z, gamma):
    p = np.exp(_log_softmax(z))[np.arange(5), KNOWN]
    return -((1 - p) ** z.dtype.type(gamma) * np.log(p)).mean()


def _binary_focal(z, gamma):
    p = np.where(YES == 1, _sigmoid(z), _sigmoid(-z))
    return -(np.where(YES == 1, z.dtype.type(0.25), z.dtype.type(0.75)) * (1 - p) ** gamma * np.log(p)).mean()


def _huber(e, d):
    return np.where(abs(e) < d, e * e / 2, d * (abs(e) - d / 2)).mean()


def _multi_margin(x, p):
    own = x[np.arange(5), KNOWN][:, None]
    return (np.maximum(0, 1 - own + x) ** p * (np.arange(3) != KNOWN[:, None])).sum(axis=-1).mean() / x.dtype.type(3)


def _cosine(a, b):
    cos = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return np.where(SIGNS[:, 0] == 1, 1 - cos, np.maximum(0, cos + 0.5)).mean()


def _triplet(a, b, c, p, swap):
    def distance(u, v):
        return (abs(u - v + 1e-6) ** p).sum(axis=-1) ** (1 / p)

    far = np.minimum(distance(a, c), distance(b, c)) if swap else distance(a, c)
    return np.maximum(0, 1 + distance(a, b) - far).mean()


def _losses():
    both = (SHAPE, SHAPE)
    probability = ((-2.0, 2.0), (0.05, 0.95))
    options = {"weight": WEIGHT, "label_smoothing": 0.2}
    for reduction in ("mean", "sum", "none"):
        yield Case(
            "cross_entropy", lambda z, r=reduction: losses.cross_entropy(z, LABELS, **options, reduction=r), (SHAPE,),
            reference=lambda z, r=reduction: _cross_entropy(z, r), note=reduction,
        )  # fmt: skip
        yield Case(
            "binary_cross_entropy_with_logits",
            lambda z, y, r=reduction: losses.binary_cross_entropy_with_logits(z, y, pos_weight=WEIGHT, reduction=r),
            both, probability, note=reduction,
            reference=lambda z, y, r=reduction: _reduced(
                -(y * WEIGHT.astype(z.dtype) * np.log(_sigmoid(z)) + (1 - y) * np.log(1 - _sigmoid(z))), r
            ),
        )  # fmt: skip
        yield Case(
            "mse_loss", lambda x, y, r=reduction: losses.mse_loss(x, y, reduction=r), both, note=reduction,
            reference=lambda x, y, r=reduction: _reduced((x - y) ** 2, r),
        )  # fmt: skip
    yield Case(
        "cross_entropy", lambda z, y: losses.cross_entropy(z, y), both, probability, note="probabilities",
        reference=lambda z, y: -(y * _log_softmax(z)).sum(axis=-1).mean(),
    )  # fmt: skip
    yield Case(
        "cross_entropy", lambda z: losses.cross_entropy(z, KNOWN.reshape(5, 1)[:, [0, 0]], axis=1), ((5, 3, 2),),
        reference=lambda z: -np.mean([_log_softmax(z[n, :, i])[KNOWN[n]] for n in range(5) for i in range(2)]).astype(
            z.dtype
        ), note="axis 1",
    )  # fmt: skip
    yield Case(
        "nll", lambda x: losses.nll(x, KNOWN), (SHAPE,), reference=lambda x: -x[np.arange(5), KNOWN].mean()
    )
    for gamma in (0.0, 0.5, 2.0):
        yield Case(
            "focal", lambda z, g=gamma: losses.focal(z, KNOWN, gamma=g), (SHAPE,),
            reference=lambda z, g=gamma: _focal(z, g), note=f"gamma {gamma}",
        )  # fmt: skip
        yield Case(
            "binary_focal", lambda z, g=gamma: losses.binary_focal(z, YES, gamma=g), (SHAPE,),
            reference=lambda z, g=gamma: _binary_focal(z, g), note=f"gamma {gamma}",
        )  # fmt: skip
    yield Case("l1_loss", lambda x, y: losses.l1_loss(x, y), both, distinct=True,
               reference=lambda x, y: abs(x - y).mean())  # fmt: skip
    yield Case("huber", lambda x, y: losses.huber(x, y, delta=0.7), both, distinct=True,
               reference=lambda x, y: _huber(x - y, 0.7))  # fmt: skip
    yield Case("smooth_l1", lambda x, y: losses.smooth_l1(x, y, beta=0.7), both, distinct=True,
               reference=lambda x, y: _huber(x - y, 0.7) / x.dtype.type(0.7))  # fmt: skip
    yield Case(
        "kl_divergence", lambda x, y: losses.kl_divergence(x, y, reduction="batchmean"), both, probability,
        reference=lambda x, y: (y * (np.log(y) - x)).sum() / 5,
    )  # fmt: skip
    yield Case(
        "kl_divergence", lambda x, y: losses.kl_divergence(x, y, log_target=True), both, note="log target",
        reference=lambda x, y: (np.exp(y) * (y - x)).mean(),
    )  # fmt: skip
    yield Case(
        "gaussian_nll", lambda m, y, v: losses.gaussian_nll(m, y, v, full=True), (SHAPE, SHAPE, (5, 1)),
        ((-2.0, 2.0), (-2.0, 2.0), (0.3, 2.0)),
        reference=lambda m, y, v: (np.log(2 * np.pi * v) / 2 + (m - y) ** 2 / v / 2).mean(),
    )  # fmt: skip
    yield Case(
        "poisson_nll", lambda x, y: losses.poisson_nll(x, y, full=True), both, ((-1.0, 1.0), (1.1, 4.0)),
        reference=lambda x, y: (np.exp(x) - y * x + y * np.log(y) - y + np.log(2 * np.pi * y) / 2).mean(),
    )  # fmt: skip
    yield Case(
        "poisson_nll", lambda x, y: losses.poisson_nll(x, y, log_input=False), both, (0.2, 3.0), note="rates",
        reference=lambda x, y: (x - y * np.log(x + 1e-8)).mean(),
    )  # fmt: skip
    yield Case("hinge", lambda x: losses.hinge(x, SIGNS), (SHAPE,), distinct=True,
               reference=lambda x: np.maximum(0, 1 - SIGNS * x).mean(dtype=x.dtype).astype(x.dtype))  # fmt: skip
    yield Case("squared_hinge", lambda x: losses.squared_hinge(x, SIGNS), (SHAPE,), distinct=True,
               reference=lambda x: (np.maximum(0, 1 - SIGNS * x) ** 2).mean(dtype=x.dtype))  # fmt: skip
    for p in (1, 2):
        yield Case(
            "multi_margin", lambda x, p=p: losses.multi_margin(x, KNOWN, p=p), (SHAPE,), distinct=True,
            reference=lambda x, p=p: _multi_margin(x, p), note=f"p {p}",
        )  # fmt: skip
    yield Case(
        "cosine_embedding", lambda a, b: losses.cosine_embedding(a, b, SIGNS[:, 0], margin=-0.5), both,
        (0.3, 2.0), reference=_cosine, note="1e-12 is below the rounding",
    )  # fmt: skip
    for p, swap in ((1.0, False), (2.0, True), (3.0, False)):
        yield Case(
            "triplet_margin", lambda a, b, c, p=p, s=swap: losses.triplet_margin(a, b, c, p=p, swap=s),
            (SHAPE, SHAPE, SHAPE), distinct=True, reference=lambda a, b, c, p=p, s=swap: _triplet(a, b, c, p, s),
            note=f"p {p}" + " swapped" * swap,
        )  # fmt: skip


CASES = [*_losses()]
