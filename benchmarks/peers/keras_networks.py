"""Keras 3 as its users write it: Sequential, compile, fit, predict.
It must not know its backend, which the worker names before it imports this."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import keras
import numpy as np

from peers.keras_words import ADAM, LOSS, activation_of
from peers.protocol import Task
from workloads import Array, Outputs
from workloads.networks import PREDICT_ROWS, Network, Prediction, Training, data, initial_weights


def build(network: Network, **compiling: Any) -> keras.Sequential:
    """The compiled model with the shared initial weights."""
    model = keras.Sequential([keras.Input((network.features,))])
    for layer in network.layers:
        activation = activation_of(network, layer)
        regularizer = keras.regularizers.L1L2(layer.l1, layer.l2) if layer.l1 or layer.l2 else None
        model.add(keras.layers.Dense(layer.units, activation=activation, kernel_regularizer=regularizer))
        if layer.rate:
            model.add(keras.layers.Dropout(layer.rate))
    decay = network.weight_decay
    optimizer = keras.optimizers.AdamW(weight_decay=decay, **ADAM) if decay else keras.optimizers.Adam(**ADAM)
    model.compile(optimizer=optimizer, loss=LOSS[network.loss], **compiling)
    model.set_weights(list(chain.from_iterable(initial_weights(network))))
    return model


def losses(workload: Training, network: Network) -> Array:
    """The loss of each of the first steps."""
    model, (x, y) = build(network), data(network, workload.rows)
    result = []
    for rows in workload.batches():
        model.reset_metrics()  # else the loss is the mean so far
        result.append(float(np.asarray(model.train_on_batch(x[rows], y[rows]))))
    return np.array(result)


def training(workload: Training, steps_per_execution: int = 1, **compiling: Any) -> Task:
    """`steps_per_execution`, but no more than an epoch has."""
    network = workload.network
    model = build(network, steps_per_execution=min(steps_per_execution, workload.steps), **compiling)
    x, y = data(network, workload.rows)
    fit = partial(model.fit, x, y, batch_size=network.batch_size, epochs=1, verbose=0)
    return Task(
        check=lambda: {"losses": losses(workload, network.without_dropout())},
        run=lambda: fit().history["loss"][0],
        finish=lambda loss: loss,
    )


def prediction(workload: Prediction) -> Task:
    model, x = build(workload.network), data(workload.network, workload.rows)[0]

    def run() -> Array:
        return model.predict(x, batch_size=PREDICT_ROWS, verbose=0)

    def check() -> Outputs:
        return {"outputs": run()}

    return Task(check, run)
