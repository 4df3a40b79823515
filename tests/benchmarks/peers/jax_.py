"""JAX: steps by jax.jit; a chain by jax.grad alone, since what is compiled is no chain any more."""

from __future__ import annotations

from typing import Any

from .. import steps, tasks
from ..worker import Program, Step, serve


def cnn(p: Any, x: Any) -> Any:
    from jax import lax, nn

    for name in ("0", "3"):
        z = lax.conv_general_dilated(x, p[f"{name}.weight"], (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))
        a = nn.relu(z + p[f"{name}.bias"][:, None, None])
        x = lax.reduce_window(a, -float("inf"), lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return x.reshape(len(x), -1) @ p["7.weight"].T + p["7.bias"]


def lstm(p: Any, x: Any) -> Any:
    import jax.numpy as jnp
    from jax import lax, nn

    def cell(state: Any, z: Any) -> Any:
        h, c = state
        i, f, u, o = jnp.split(z + h @ p["lstm.weight_hh_l0"].T, 4, axis=1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(u)
        return (nn.sigmoid(o) * jnp.tanh(c), c), None

    z = x @ p["lstm.weight_ih_l0"].T + (p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"])
    zero = jnp.zeros((x.shape[1], 128), x.dtype)
    (h, _), _ = lax.scan(cell, (zero, zero), z)
    return h @ p["head.weight"].T + p["head.bias"]


def norm(x: Any, w: Any, b: Any) -> Any:
    from jax import lax

    centred = x - x.mean(axis=-1, keepdims=True)
    return centred * lax.rsqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5) * w + b


def transformer(p: Any, x: Any) -> Any:
    from jax import nn

    batch, times, n = x.shape
    qkv = x @ p["self_attn.in_proj_weight"].T + p["self_attn.in_proj_bias"]
    q, k, v = qkv.reshape(batch, times, 3, tasks.HEADS, -1).transpose(2, 0, 3, 1, 4)
    a = nn.softmax(q @ k.swapaxes(2, 3) * (n // tasks.HEADS) ** -0.5)
    o = (a @ v).swapaxes(1, 2).reshape(x.shape)
    x = x + o @ p["self_attn.out_proj.weight"].T + p["self_attn.out_proj.bias"]
    x = norm(x, p["norm1.weight"], p["norm1.bias"])
    h = nn.relu(x @ p["linear1.weight"].T + p["linear1.bias"])
    return norm(x + h @ p["linear2.weight"].T + p["linear2.bias"], p["norm2.weight"], p["norm2.bias"])


NETWORKS = {"cnn": cnn, "lstm": lstm, "transformer": transformer}


def make(step: str) -> Step | None:
    import jax
    import jax.numpy as jnp

    if step in steps.TASKS:
        return steps.jax_jit(steps.TASKS[step])
    jax.config.update("jax_enable_x64", True)
    if step == "scalar":
        run = jax.jit(jax.grad(lambda x: tasks.scalar(jnp.sin, x)))
        return lambda: run(0.5).block_until_ready()
    if (length := tasks.chained(step)) is not None:

        def chain(y: Any) -> Any:
            for _ in range(length):
                y = y + 1.0
            return y

        return lambda: float(jax.grad(chain)(1.0))
    network = NETWORKS[step]
    p, x, y = jax.tree.map(jnp.asarray, tasks.data(step))

    def loss(p: Any) -> Any:
        out = network(p, x)
        if step == "transformer":
            return ((out - y) ** 2).mean()
        return -(y * jax.nn.log_softmax(out)).sum() / len(y)

    @jax.jit
    def descend(p: Any) -> Any:
        value, g = jax.value_and_grad(loss)(p)
        return {key: p[key] - steps.RATE * g[key] for key in p}, value

    def one() -> Any:
        nonlocal p
        p, value = descend(p)
        return value.block_until_ready()

    return one


PROGRAMS = {"jax.jit": Program(make, ("jax",)), "jax.grad": Program(make, ("jax",))}

if __name__ == "__main__":
    serve(PROGRAMS)
