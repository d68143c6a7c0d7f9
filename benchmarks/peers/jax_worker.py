"""JAX: one jit-compiled epoch, lax.scan over shuffled batches, dropout by jax.random inside, Adam written out.
It must not know the other contestants."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from peers import protocol
from workloads import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Workload, arrays, initial_weights

Params = list[tuple[jax.Array, jax.Array]]
State = tuple[Params, Params, Params, jax.Array]  # parameters, first and second moments, step


def loss_fn(
    params: Params, x: jax.Array, y: jax.Array, key: jax.Array | None, workload: Workload
) -> jax.Array:
    """Mean cross-entropy + penalties; dropout when a key is given."""
    for i, (layer, (kernel, bias)) in enumerate(zip(workload.layers, params)):
        x = x @ kernel + bias
        if i < len(params) - 1:
            x = jax.nn.relu(x)
        if layer.rate and key is not None:
            keep = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - layer.rate, x.shape)
            x = jnp.where(keep, x / (1 - layer.rate), 0)
    if workload.binary:
        z = x[:, 0]
        loss = jnp.mean(jax.nn.softplus(z) - z * y)
    else:
        loss = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1))
    for layer, (kernel, _) in zip(workload.layers, params):
        if layer.l1:
            loss += layer.l1 * jnp.abs(kernel).sum()
        if layer.l2:
            loss += layer.l2 * jnp.square(kernel).sum()
    return loss


def step(
    state: State, batch: tuple[jax.Array, jax.Array, jax.Array | None], workload: Workload
) -> tuple[State, jax.Array]:
    """One Adam update (Kingma and Ba 2015, the form before section 2.1's end, as in Keras) and the loss before it."""
    params, m, v, t = state
    loss, grads = jax.value_and_grad(loss_fn)(params, *batch, workload)
    t = t + 1
    rate = LEARNING_RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, grads)
    v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, v, grads)
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON), params, m, v)
    return (params, m, v, t), loss


@partial(jax.jit, static_argnames="workload", donate_argnames="state")
def train_epoch(
    state: State, x: jax.Array, y: jax.Array, rows: jax.Array, key: jax.Array, workload: Workload
) -> tuple[State, jax.Array]:
    """One epoch over x and y in the order of rows; returns the mean loss."""
    batch = (workload.steps, workload.batch_size)
    batches = x[rows].reshape(*batch, -1), y[rows].reshape(batch), jax.random.split(key, workload.steps)
    state, losses = jax.lax.scan(partial(step, workload=workload), state, batches)
    return state, losses.mean()


def start(workload: Workload) -> tuple[State, jax.Array, jax.Array]:
    """Fresh state and the data."""
    x, y = arrays(workload)
    params = jax.tree.map(jnp.asarray, initial_weights(workload))
    state = (
        params,
        jax.tree.map(jnp.zeros_like, params),
        jax.tree.map(jnp.zeros_like, params),
        jnp.zeros((), jnp.int32),
    )
    return state, jnp.asarray(x), jnp.asarray(y, jnp.float32 if workload.binary else jnp.int32)


class JaxWorker:
    def describe(self) -> dict[str, Any]:
        return {
            "title": "JAX jit, scan over the epoch",
            "versions": {"jax": jax.__version__},
            "threads": len(os.sched_getaffinity(0)),  # XLA sizes its pool by this and NPROC; it has no getter
        }

    def check(self, workload: Workload, steps: int) -> list[float]:
        state, x, y = start(workload)
        losses = []
        update = jax.jit(partial(step, workload=workload))
        for i in range(steps):
            rows = slice(i * workload.batch_size, (i + 1) * workload.batch_size)
            state, loss = update(state, (x[rows], y[rows], None))
            losses.append(float(loss))
        return losses

    def prepare(self, workload: Workload) -> Callable[[], float]:
        state, x, y = start(workload)
        rng = np.random.default_rng(3)

        def epoch() -> float:
            nonlocal state
            key = jax.random.key(rng.integers(2**31))
            state, loss = train_epoch(state, x, y, rng.permutation(workload.rows), key, workload)
            jax.block_until_ready(state)
            return float(loss)

        return epoch


if __name__ == "__main__":
    protocol.serve(JaxWorker())
