"""CasADi: the objectives as expressions of its matrices, which have two axes, and run by its virtual machine.

Of `ba` the expression is that of one observation, and the function is mapped over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from types import SimpleNamespace
from typing import Any

import numpy as np

from .evaluations import Problem


class Objectives(SimpleNamespace):
    """The objectives that are written for CasADi."""

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError("it has no such step")  # the table leaves CasADi out of this evaluation


def objectives(ca: Any) -> Objectives:
    """Return the objectives as expressions, by the names that they have in NumPy."""

    def logsumexp(x: Any) -> Any:
        top = ca.mmax(x)
        return top + ca.log(ca.sum1(ca.exp(x - top)))

    def least_squares(x: Any, n: int) -> Any:
        t = np.linspace(-1, 1, n)
        powers = ca.DM(np.vander(t, x.shape[0], increasing=True))
        return 0.5 * ca.sumsqr(ca.DM(np.sign(t)) - powers @ x)

    def mixture(alpha: Any, mu: Any, q: Any, l: Any, x: Any, m: int, gamma: float) -> Any:  # noqa: E741 - as GradBench names it
        (N, D), K = x.shape, alpha.shape[0]
        df, place = D + m + 1, np.cumsum([0, *range(D - 1, 0, -1)]).tolist()
        betas, squares = [], ca.sumsqr(l)
        for k in range(K):
            diagonal = ca.exp(q[k, :]).T
            columns = [ca.vertcat(diagonal[j], l[k, place[j] : place[j] + D - 1 - j].T) for j in range(D)]
            Q = ca.MX(ca.Sparsity.lower(D), ca.vertcat(*columns))
            z = (x - ca.repmat(mu[k, :], N, 1)) @ Q.T
            betas.append(alpha[k] - 0.5 * ca.sum2(z**2) + ca.sum2(q[k, :]))
            squares += ca.sumsqr(diagonal)
        top = reduce(ca.fmax, betas)
        likelihood = ca.sum1(top + ca.log(sum(ca.exp(beta - top) for beta in betas)))
        likelihood -= N * (0.5 * D * math.log(2 * math.pi) + logsumexp(alpha))
        gammas = D * (D - 1) / 4 * math.log(math.pi) + sum(math.lgamma(0.5 * (df - j)) for j in range(D))
        constant = K * (df * D * math.log(gamma / math.sqrt(2)) - gammas)
        return likelihood + constant - 0.5 * gamma**2 * squares + m * ca.sum1(ca.sum2(q))

    def recurrent(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
        layers, b = main.shape[0] // 2, extra.shape[1]
        now, then = ca.SX.sym("now", b), ca.SX.sym("then", b)
        weights, others = ca.SX.sym("w", 4 * b, 2 * layers), ca.SX.sym("e", b, 3)
        carry = ca.SX.sym("c", b, 2 * layers)
        x, carried = now * others[:, 0], ca.horzsplit(carry)
        for k in range(layers):
            w, bias = (ca.vertsplit(weights[:, 2 * k + c], b) for c in (0, 1))
            hidden, cell = carried[2 * k], carried[2 * k + 1]
            forget, ingate = sigmoid(x * w[0] + bias[0]), sigmoid(hidden * w[1] + bias[1])
            outgate, change = sigmoid(x * w[2] + bias[2]), ca.tanh(hidden * w[3] + bias[3])
            carried[2 * k + 1] = cell = cell * forget + ingate * change
            carried[2 * k] = x = outgate * ca.tanh(cell)
        y = x * others[:, 1] + others[:, 2]
        loss = ca.dot(then, y - ca.log(2 + ca.sum1(ca.exp(y))))
        step = ca.Function("step", [carry, now, then, weights, others], [ca.horzcat(*carried), loss])
        times = sequence.shape[0] - 1
        every = step.mapaccum(times)
        first, second = ca.DM(sequence[:-1, :]).T, ca.DM(sequence[1:, :]).T
        losses = every(ca.DM(state).T, first, second, ca.repmat(main.T, 1, times), ca.repmat(extra.T, 1, times))[1]
        return -ca.sum2(losses) / (times * b)

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + ca.exp(-x))

    def runge_kutta(x: Any, s: int) -> Any:
        def slope(y: Any) -> Any:
            return x * ca.vertcat(1, y[:-1])

        h, y = 2 / s, ca.MX(ca.DM.zeros(x.shape[0]))
        for _ in range(s):
            k1 = slope(y)
            k2 = slope(y + h / 2 * k1)
            k3 = slope(y + h / 2 * k2)
            k4 = slope(y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y

    def determinant(A: Any) -> Any:
        entries = ca.SX.sym("A", *A.shape)
        return ca.Function("det", [entries], [expanded(entries)])(A)

    def expanded(A: Any) -> Any:
        n = A.shape[0]
        if n == 1:
            return A[0, 0]
        others = [[k for k in range(n) if k != j] for j in range(n)]
        return sum((-1) ** j * A[0, j] * expanded(A[1:, others[j]]) for j in range(n))

    def clustering(centroids: Any, points: Any) -> Any:
        (k, _), n = centroids.shape, points.shape[0]
        norms, own = ca.DM(np.sum(np.asarray(points) ** 2, axis=1)), ca.sum2(centroids**2)
        squares = ca.repmat(norms, 1, k) - 2 * ca.DM(points) @ centroids.T + ca.repmat(own.T, n, 1)
        return ca.sum1(reduce(ca.fmin, ca.horzsplit(squares)))

    def rotated(r: Any, x: Any) -> Any:
        squared = ca.sumsqr(r)
        still = squared == 0
        angle = ca.sqrt(ca.if_else(still, 1, squared))
        axis = r / angle
        cos, sin = ca.cos(angle), ca.sin(angle)
        turned = x * cos + ca.cross(axis, x) * sin + axis * (ca.dot(axis, x) * (1 - cos))
        return ca.if_else(still, x + ca.cross(r, x), turned)

    def reprojection(cam: Any, x: Any, w: Any, feat: Any) -> Any:
        """The error of one observation."""
        seen = rotated(cam[:3], x - cam[3:6])
        flat = seen[:2] / seen[2]
        r2 = ca.sumsqr(flat)
        return w * (flat * (1 + cam[9] * r2 + cam[10] * r2**2) * cam[6] + cam[7:9] - feat)

    return Objectives(
        square=lambda x: x * x, logsumexp=logsumexp, least_squares=least_squares, mixture=mixture, recurrent=recurrent,
        runge_kutta=runge_kutta, determinant=determinant, clustering=clustering, reprojection=reprojection,
        weight_error=lambda w: 1 - w**2,
    )  # fmt: skip


class CasADi:
    """CasADi; each evaluation is one function, of all variables in one column."""

    def __init__(self) -> None:
        import casadi

        self.ca, self.on = casadi, objectives(casadi)

    def run(self, kind: str, problem: Problem) -> Callable[[], Any] | None:
        """Return a call that does one kind of derivative of a problem, None where there is no such kind."""
        if problem.rows:
            return self._mapped(kind, problem)
        if kind not in ("objective", "gradient", "direction"):
            return None
        ca, wanted = self.ca, problem.arguments[: problem.wanted]
        variables = ca.MX.sym("variables", sum(x.size for x in wanted))
        ends = np.cumsum([0, *(x.size for x in wanted)]).tolist()
        given = [self._like(variables[a:b], x.shape) for a, b, x in zip(ends, ends[1:], wanted, strict=False)]
        f = problem.objective if kind == "objective" else problem.number or problem.objective
        found = f(*given, *problem.arguments[problem.wanted :])
        if kind != "objective":
            found = ca.gradient(found, variables)
        if kind == "direction":
            found = found / ca.jtimes(found, variables, ca.DM.ones(variables.shape[0]))
        step, outs = self._step([variables], [found], [np.concatenate([x.ravel() for x in wanted])])

        def run() -> Any:
            step()
            return tuple(outs)

        return run

    def _mapped(self, kind: str, problem: Problem) -> Callable[[], Any] | None:
        assert problem.number
        assert problem.alone
        assert problem.finish
        ca, p = self.ca, len(problem.arguments[-1])
        sizes = [int(np.prod(x.shape[1:])) for x in problem.arguments]
        one = [ca.SX.sym(f"x{k}", size) for k, size in enumerate(sizes)]
        error, alone = problem.number(*one), problem.alone(one[problem.wanted - 1])
        if kind == "objective":
            found = [error, alone]
        else:
            wanted = ca.vertcat(*one[: problem.wanted])
            found = [ca.jacobian(error, wanted).T, ca.gradient(alone, one[problem.wanted - 1])]
        every = ca.Function("one", one, [ca.densify(x) for x in found]).map(p)
        rows = (*problem.rows, *(None for _ in problem.arguments[problem.wanted :]))
        taken = [np.empty((p, size)) for size in sizes]
        step, outs = self._called(every, taken)

        def run() -> Any:
            for x, own, into in zip(problem.arguments, rows, taken, strict=True):
                into[:] = np.reshape(x if own is None else x[own], into.shape)
            step()
            return tuple(outs) if kind == "objective" else problem.finish(tuple(outs))  # type: ignore[misc] - all have one

        return run

    def _like(self, column: Any, shape: tuple[int, ...]) -> Any:
        """Return a column as a matrix; its entries lie row by row, where CasADi's own lie column by column."""
        return column if len(shape) < 2 else self.ca.reshape(column, *reversed(shape)).T

    def _step(self, inputs: Any, found: Any, arrays: Any) -> Any:
        return self._called(self.ca.Function("step", inputs, [self.ca.densify(x) for x in found]), arrays)

    @staticmethod
    def _called(function: Any, arrays: Any) -> Any:
        """Return a call of a function on arrays where they lie, and the arrays it writes."""
        buffer, call = function.buffer()
        outs = [np.empty(function.nnz_out(k)) for k in range(function.n_out())]
        flat = [x.reshape(-1) for x in arrays]
        for k, x in enumerate(flat):
            buffer.set_arg(k, memoryview(x))
        for k, x in enumerate(outs):
            buffer.set_res(k, memoryview(x))

        def run(keep: Any = (buffer, flat)) -> None:
            call()

        return run, outs
