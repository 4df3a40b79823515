"""The parameters of a differential equation, fitted by gradients through a Runge-Kutta integrator written by hand.

The data are the angles of a damped pendulum at some times, with noise. The graph contains every step of the integrator,
so it gives the gradients of the error with respect to frequency, damping and first angle.
Run it with `python examples/ode.py`.
"""

import numpy as np

from tinygrad_nn import Settings, Solver, fit

TRUE = {"frequency": 2.0, "damping": 0.3, "angle": 1.2}


def pendulum(state, params):
    """Return the time derivative of angle and speed: the equation of motion."""
    angle, speed = state
    return np.stack([speed, -(params["frequency"] ** 2) * np.sin(angle) - params["damping"] * speed])


def trajectory(params, times):
    """Return the angle at all times, by the classical Runge-Kutta method of fourth order (Kutta 1901)."""
    state, angles, h = np.stack([params["angle"], 0.0 * params["angle"]]), [params["angle"]], times[1] - times[0]
    for _ in times[1:]:
        k1 = pendulum(state, params)
        k2 = pendulum(state + h / 2 * k1, params)
        k3 = pendulum(state + h / 2 * k2, params)
        k4 = pendulum(state + h * k3, params)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        angles.append(state[0])
    return np.stack(angles)


def main(epochs: int = 150, points: int = 60, seed: int = 0) -> dict[str, float]:
    """Fit the parameters, print them beside the true ones, and return them."""
    rng = np.random.default_rng(seed)
    times = np.linspace(0, 6, points)
    seen = trajectory({name: np.array(value) for name, value in TRUE.items()}, times) + rng.normal(0, 0.02, points)

    def loss(params, times, seen):
        return ((trajectory(params, times[0]) - seen[0]) ** 2).mean()

    params = {"frequency": np.array(1.7), "damping": np.array(0.1), "angle": np.array(1.0)}
    history = fit(
        loss, times[None], seen[None], params=params, solver=Solver(optimizer="adam", learning_rate=0.02),
        settings=Settings(epochs, 1), rng=0,
    )  # fmt: skip
    print(f"mean squared error {history.loss[0]:.4f} -> {history.loss[-1]:.6f} (noise alone: {0.02**2:.6f})")
    for name, value in TRUE.items():
        print(f"{name:<10} found {params[name]:.3f}, true {value}")
    return {name: float(value) for name, value in params.items()}


if __name__ == "__main__":
    main()
