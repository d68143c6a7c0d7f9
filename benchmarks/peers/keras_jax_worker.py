"""Keras on JAX, tuned: compiled, several steps to an execution.
It must not know the other contestants, but for the code it shares with Keras on TensorFlow."""

from __future__ import annotations

import os
from functools import partial

os.environ["KERAS_BACKEND"] = "jax"

from peers.keras_networks import prediction, training
from peers.protocol import Peer, allowed_cores
from peers.startup import imports
from workloads.networks import Prediction, Training

STEPS = 128  # the fastest of 1, 8, 32, 128, 512 on both nets

PEER = Peer(
    title=f"Keras on JAX, jit_compile, steps_per_execution={STEPS}",
    modules=("keras", "jax", "jaxlib"),
    threads=allowed_cores,  # XLA sizes its pool by this and NPROC; it has no getter
    makers={
        Training: partial(training, steps_per_execution=STEPS, jit_compile=True),
        Prediction: prediction,
    }
    | imports("keras"),
)
