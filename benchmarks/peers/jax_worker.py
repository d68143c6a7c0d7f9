"""JAX as it is: jit, lax.scan over the epoch, each step's masks drawn inside it by jax.random.
It must not know the other contestants."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from peers.jax_networks import prediction, training, wait
from peers.protocol import Peer, Task, allowed_cores
from peers.startup import imports
from workloads import Outputs, operations
from workloads.networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Network, Prediction, Training


def draw(key: jax.Array, network: Network, steps: int) -> jax.Array:
    """A key per step."""
    return jax.random.split(key, steps)


def keep(key: jax.Array, layer: int, rate: float, shape: tuple[int, int]) -> jax.Array:
    return jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - rate, shape)


def dense(workload: operations.Dense) -> Task:
    x, w, b, dy = map(jnp.asarray, workload.arrays())

    def forward(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
        return x @ w + b

    @jax.jit
    def both(
        x: jax.Array, w: jax.Array, b: jax.Array, dy: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        y, backward = jax.vjp(forward, x, w, b)
        return y, backward(dy)

    compiled = jax.jit(forward)

    def check() -> Outputs:
        if not workload.backward:
            return {"y": np.asarray(compiled(x, w, b))}
        y, gradients = both(x, w, b, dy)
        return {"y": np.asarray(y)} | dict(zip(("dx", "dw", "db"), map(np.asarray, gradients)))

    run = partial(both, x, w, b, dy) if workload.backward else partial(compiled, x, w, b)
    return Task(check, run, finish=wait)


def dropout(workload: operations.Dropout) -> Task:
    x, key = jnp.asarray(workload.array()), jax.random.key(1)

    @jax.jit
    def compiled(x: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key, now = jax.random.split(key)
        kept = jax.random.bernoulli(now, 1 - operations.RATE, x.shape)
        return jnp.where(kept, x / (1 - operations.RATE), 0), key

    def run() -> jax.Array:
        nonlocal key
        y, key = compiled(x, key)
        return y

    return Task(lambda: {"first": np.asarray(run()), "second": np.asarray(run())}, run, finish=wait)


@partial(jax.jit, donate_argnums=(0, 2, 3, 4))
def update_step(
    w: jax.Array, g: jax.Array, m: jax.Array, v: jax.Array, t: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]:
    """Elastic net + AdamW; w, m, v and t are written in place. Returns them, with the penalty first."""
    penalty = operations.L1 * jnp.abs(w).sum() + operations.L2 * jnp.square(w).sum()
    g = g + operations.L1 * jnp.sign(w) + 2 * operations.L2 * w
    t = t + 1
    rate = LEARNING_RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    m = BETA_1 * m + (1 - BETA_1) * g
    v = BETA_2 * v + (1 - BETA_2) * g * g
    w = (1 - LEARNING_RATE * operations.WEIGHT_DECAY) * w - rate * m / (jnp.sqrt(v) + EPSILON)
    return penalty, w, m, v, t


def update(workload: operations.Update) -> Task:
    w, g, m, v = map(jnp.array, workload.arrays())
    t = jnp.zeros((), jnp.int32)

    def run() -> jax.Array:
        nonlocal w, m, v, t
        penalty, w, m, v, t = update_step(w, g, m, v, t)
        return penalty

    def check() -> Outputs:
        penalties = [float(run()) for _ in range(operations.UPDATE_CHECK_STEPS)]
        return {"penalty": np.array(penalties), "w": np.asarray(w)}

    return Task(check, run, finish=lambda _: wait((w, m, v)))


PEER = Peer(
    title="JAX jit, scan over the epoch",
    modules=("jax", "jaxlib"),
    threads=allowed_cores,  # XLA sizes its pool by this and NPROC; it has no getter
    makers={
        Training: partial(training, draw=draw, keep=keep),
        Prediction: prediction,
        operations.Dense: dense,
        operations.Dropout: dropout,
        operations.Update: update,
    }
    | imports("jax.numpy"),
)
