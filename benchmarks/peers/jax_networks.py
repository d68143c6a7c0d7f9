"""Training and prediction in JAX: one jit-compiled epoch, lax.scan over shuffled batches, Adam written out.
It must not know when dropout's masks are drawn: a `Masks` function says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from peers.protocol import Task
from workloads import Array, Outputs
from workloads.networks import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    PREDICT_ROWS,
    Network,
    Prediction,
    Training,
    data,
    initial_weights,
)

Params = list[tuple[jax.Array, jax.Array]]
State = tuple[Params, Params, Params, jax.Array]  # parameters, first and second moments, step
Noise = Any  # of a step: a key, or a mask (batch, units) per layer with dropout
Keep = Callable[[Noise, int, float, tuple[int, int]], jax.Array]  # noise, layer, rate, shape -> kept elements
Draw = Callable[[jax.Array, Network, int], Any]  # key, network, steps -> the noise of all steps, stacked


def wait(result: Any) -> None:
    """Until the last call is done; those before it are done by then, for CPU calls run in order."""
    jax.block_until_ready(result)


def hidden_and_last(params: Params, x: jax.Array, network: Network, noise: Noise, keep: Keep) -> jax.Array:
    """The last layer's linear result (batch, units)."""
    for i, (layer, (kernel, bias)) in enumerate(zip(network.layers, params)):
        x = x @ kernel + bias
        if i < len(params) - 1:
            x = jax.nn.relu(x)
        if layer.rate:
            x = jnp.where(keep(noise, i, layer.rate, x.shape), x / (1 - layer.rate), 0)
    return x


def objective(
    params: Params, x: jax.Array, y: jax.Array, noise: Noise, network: Network, keep: Keep
) -> jax.Array:
    """Mean loss + penalties."""
    z = hidden_and_last(params, x, network, noise, keep)
    if network.loss == "binary":
        loss = jnp.mean(jax.nn.softplus(z[:, 0]) - z[:, 0] * y)
    elif network.loss == "classes":
        loss = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1))
    else:
        loss = jnp.mean(jnp.square(z[:, 0] - y))
    for layer, (kernel, _) in zip(network.layers, params):
        if layer.l1:
            loss += layer.l1 * jnp.abs(kernel).sum()
        if layer.l2:
            loss += layer.l2 * jnp.square(kernel).sum()
    return loss


def step(
    state: State, batch: tuple[jax.Array, jax.Array, Noise], network: Network, keep: Keep
) -> tuple[State, jax.Array]:
    """One Adam update (Kingma and Ba 2015, the form before section 2.1's end, as in Keras) and the loss before it."""
    params, m, v, t = state
    loss, grads = jax.value_and_grad(objective)(params, *batch, network, keep)
    t = t + 1
    rate = LEARNING_RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    shrink = 1 - LEARNING_RATE * network.weight_decay
    m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, grads)
    v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, v, grads)
    params = jax.tree.map(lambda p, m, v: shrink * p - rate * m / (jnp.sqrt(v) + EPSILON), params, m, v)
    return (params, m, v, t), loss


@partial(jax.jit, static_argnames=("network", "draw", "keep"), donate_argnames="state")
def train_epoch(
    state: State,
    x: jax.Array,
    y: jax.Array,
    rows: jax.Array,
    key: jax.Array,
    network: Network,
    draw: Draw,
    keep: Keep,
) -> tuple[State, jax.Array]:
    """One epoch over x and y in the order of rows; returns the mean loss."""
    steps = len(x) // network.batch_size
    batch = (steps, network.batch_size)
    batches = x[rows].reshape(*batch, -1), y[rows].reshape(batch), draw(key, network, steps)
    state, losses = jax.lax.scan(partial(step, network=network, keep=keep), state, batches)
    return state, losses.mean()


def start(network: Network, rows: int) -> tuple[State, jax.Array, jax.Array]:
    """Fresh state and the data."""
    x, y = data(network, rows)
    params = jax.tree.map(jnp.asarray, initial_weights(network))
    moments = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
    y = y.astype(np.int32) if network.loss == "classes" else y
    return (params, *moments, jnp.zeros((), jnp.int32)), jnp.asarray(x), jnp.asarray(y)


def losses(workload: Training, network: Network, keep: Keep) -> Array:
    """The loss of each of the first steps, without dropout."""
    state, x, y = start(network, workload.rows)
    update = jax.jit(partial(step, network=network, keep=keep))
    result = []
    for rows in workload.batches():
        state, loss = update(state, (x[rows], y[rows], None))
        result.append(float(loss))
    return np.array(result)


def training(workload: Training, draw: Draw, keep: Keep) -> Task:
    network = workload.network
    state, x, y = start(network, workload.rows)
    rng = np.random.default_rng(3)

    def check() -> Outputs:
        return {"losses": losses(workload, network.without_dropout(), keep)}

    def run() -> jax.Array:
        nonlocal state
        key = jax.random.key(rng.integers(2**31))
        order = rng.permutation(workload.rows)
        state, loss = train_epoch(state, x, y, order, key, network=network, draw=draw, keep=keep)
        return loss

    def finish(loss: jax.Array) -> float:
        jax.block_until_ready(state)
        return float(loss)

    return Task(check, run, finish)


def prediction(workload: Prediction) -> Task:
    network = workload.network.without_dropout()
    (params, *_), x, _ = start(network, workload.rows)
    last = {"binary": jax.nn.sigmoid, "classes": jax.nn.softmax, "squares": lambda z: z}[network.loss]

    @jax.jit
    def forward(params: Params, x: jax.Array) -> jax.Array:
        parts = x.reshape(-1, PREDICT_ROWS, network.features)
        y = jax.lax.map(
            lambda part: last(hidden_and_last(params, part, network, None, lambda *_: jnp.array(True))), parts
        )
        return y.reshape(workload.rows, -1)

    def run() -> jax.Array:
        return forward(params, x)

    return Task(lambda: {"outputs": np.asarray(run())}, run, finish=wait)
