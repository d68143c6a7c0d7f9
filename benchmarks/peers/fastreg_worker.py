"""fastreg as its users call it: one whole `fit(epochs=1)`, its Python included.
It must not know the other contestants."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

import fastreg
from fastreg import L1L2, Adam, Dense, Dropout, Sequential, _core
from peers import protocol
from workloads import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Workload, arrays, initial_weights


def build(workload: Workload, dropout: bool, method: str) -> Sequential:
    """The compiled model with the shared initial weights."""
    model = Sequential(seed=1)
    for i, layer in enumerate(workload.layers):
        last = "sigmoid" if workload.binary else "softmax"
        activation = "relu" if i < len(workload.layers) - 1 else last
        regularizer = L1L2(layer.l1, layer.l2, method=method) if layer.l1 or layer.l2 else None
        model.add(Dense(layer.units, activation=activation, kernel_regularizer=regularizer))
        if layer.rate and dropout:
            model.add(Dropout(layer.rate))
    model.compile(
        optimizer=Adam(learning_rate=LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON),
        loss="binary_crossentropy" if workload.binary else "sparse_categorical_crossentropy",
    )
    model.build((None, workload.features))
    model.set_weights(list(chain.from_iterable(initial_weights(workload))))
    return model


def data(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """x, and y as float32 for the binary loss."""
    x, y = arrays(workload)
    return x, y.astype(np.float32) if workload.binary else y


class FastregWorker:
    def describe(self) -> dict[str, Any]:
        info = _core.build_info()
        return {
            "title": f"fastreg ({info['isa']})",
            "versions": {"fastreg": fastreg.__version__, "numpy": np.__version__},
            "threads": info["num_threads"],
        }

    def check(self, workload: Workload, steps: int) -> list[float]:
        model = build(workload, dropout=False, method="subgradient")
        x, y = data(workload)
        size = workload.batch_size
        losses = []
        for first in range(0, steps * size, size):
            rows = slice(first, first + size)  # one batch, so the epoch's loss is this step's
            history = model.fit(x[rows], y[rows], batch_size=size, shuffle=False, verbose=0)
            losses.append(history.history["loss"][0])
        return losses

    def prepare(self, workload: Workload) -> Callable[[], float]:
        model = build(workload, dropout=True, method="proximal")
        x, y = data(workload)
        return lambda: model.fit(x, y, batch_size=workload.batch_size, epochs=1, verbose=0).history["loss"][0]


if __name__ == "__main__":
    protocol.serve(FastregWorker())
