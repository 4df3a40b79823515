"""A stop_gradient that stops nothing."""

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return ((x - x.mean(axis=0)) ** 2).mean(axis=0)


def backward(x: Array, g: Array) -> Array:
    mean = x.mean(axis=0)  # as a constant
    return 2 * (x - mean) * g / len(x)


EXHIBIT = Exhibit(
    title="A stop_gradient that changes nothing",
    project="tensorflow/tensorflow",
    number="pull 19609",
    said="In the variance the mean is inside a stop_gradient. It took some time to see that this has no effect on the "
         "gradient; a comment should say so.",
    fact="As a function of its centre, the variance is smallest at the mean, so its derivative with respect to the "
         "mean is zero.",
    equation=r"\frac{\partial}{\partial \mu} \sum_i (x_i - \mu)^2 = 0",
    forward=forward, backward=backward,
    inputs=normal((6, 3)),
)  # fmt: skip
