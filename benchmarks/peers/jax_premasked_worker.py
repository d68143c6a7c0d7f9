"""JAX in its strongest form: an epoch's masks drawn in one vectorized call a layer before the scan, inside the timing.
It must not know the other contestants, but for the code it shares with JAX as it is."""

from __future__ import annotations

import jax

from peers.jax_networks import training
from peers.protocol import Peer, Task, Unfit, allowed_cores
from workloads.networks import Network, Training


def draw(key: jax.Array, network: Network, steps: int) -> dict[int, jax.Array]:
    """The masks (steps, batch, units) of each layer with dropout, by its place."""
    return {
        i: jax.random.bernoulli(
            jax.random.fold_in(key, i), 1 - layer.rate, (steps, network.batch_size, layer.units)
        )
        for i, layer in enumerate(network.layers)
        if layer.rate
    }


def keep(masks: dict[int, jax.Array], layer: int, rate: float, shape: tuple[int, int]) -> jax.Array:
    return masks[layer]


def train(workload: Training) -> Task:
    if not any(layer.rate for layer in workload.network.layers):
        raise Unfit("no dropout, so this would be JAX as it is")
    return training(workload, draw=draw, keep=keep)


PEER = Peer(
    title="JAX jit, scan, the epoch's masks drawn before it",
    modules=("jax", "jaxlib"),
    threads=allowed_cores,
    makers={Training: train},
)
