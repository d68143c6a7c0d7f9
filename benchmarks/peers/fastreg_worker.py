"""fastreg as its users call it: `fit`, `predict` and `fastreg.ops`, their Python included.
It must not know the other contestants."""

from __future__ import annotations

from hashlib import sha256
from itertools import chain
from pathlib import Path

import numpy as np

import fastreg
from fastreg import L1L2, Adam, AdamW, Dense, Sequential, _core, ops
from peers.keras_words import ADAM, LOSS, activation_of
from peers.protocol import Peer, Task
from peers.startup import imports
from workloads import Array, Outputs, operations
from workloads.networks import Network, Prediction, Training, data, initial_weights


def build(network: Network, method: str = "proximal") -> Sequential:
    """The compiled model with the shared initial weights."""
    model = Sequential(seed=1)
    for layer in network.layers:
        activation = activation_of(network, layer)
        regularizer = L1L2(layer.l1, layer.l2, method=method) if layer.l1 or layer.l2 else None
        model.add(Dense(layer.units, activation=activation, kernel_regularizer=regularizer))
        if layer.rate:
            model.add(fastreg.Dropout(layer.rate))
    decay = network.weight_decay
    model.compile(
        optimizer=AdamW(weight_decay=decay, **ADAM) if decay else Adam(**ADAM), loss=LOSS[network.loss]
    )
    model.build((None, network.features))
    model.set_weights(list(chain.from_iterable(initial_weights(network))))
    return model


def losses(workload: Training, network: Network) -> Array:
    """The loss of each of the first steps, with the L1 subgradient; a fit on one batch is one step."""
    model, (x, y) = build(network, method="subgradient"), data(network, workload.rows)
    size = network.batch_size
    fits = (
        model.fit(x[rows], y[rows], batch_size=size, shuffle=False, verbose=0) for rows in workload.batches()
    )
    return np.array([fit.history["loss"][0] for fit in fits])


def training(workload: Training) -> Task:
    network = workload.network
    model, (x, y) = build(network), data(network, workload.rows)

    def check() -> Outputs:
        return {
            "losses": losses(workload, network.without_dropout()),
            "losses without regularizers": losses(workload, network.plain()),
        }

    def run() -> float:
        return model.fit(x, y, batch_size=network.batch_size, epochs=1, verbose=0).history["loss"][0]

    return Task(check, run, finish=lambda loss: loss)


def prediction(workload: Prediction) -> Task:
    model, (x, _) = build(workload.network), data(workload.network, workload.rows)
    return Task(
        check=lambda: {"outputs": model.predict(x, verbose=0)}, run=lambda: model.predict(x, verbose=0)
    )


def dense(workload: operations.Dense) -> Task:
    x, w, b, dy = workload.arrays()
    y, dx, dw, db = np.empty_like(dy), np.empty_like(x), np.empty_like(w), np.empty_like(b)

    def forward() -> None:
        ops.dense_forward(x, w, b, out=y)

    def both() -> None:
        ops.dense_forward(x, w, b, out=y)
        ops.dense_backward(dy, x, w, y, dx=dx, dw=dw, db=db)

    run = both if workload.backward else forward

    def check() -> Outputs:
        run()
        return {"y": y} | ({"dx": dx, "dw": dw, "db": db} if workload.backward else {})

    return Task(check, run)


def dropout(workload: operations.Dropout) -> Task:
    x = workload.array()
    y, step = np.empty_like(x), 0

    def run() -> Array:
        nonlocal step
        step += 1
        return ops.dropout(x, operations.RATE, seed=1, step=step, out=y)

    return Task(check=lambda: {"first": run().copy(), "second": run().copy()}, run=run)


def update(workload: operations.Update) -> Task:
    w, g, m, v = workload.arrays()
    step = 0

    def steps(penalized: bool, method: str = "subgradient") -> tuple[Array, list[float]]:
        """The weights after the steps that are checked, and the penalties before each."""
        w, g, m, v = workload.arrays()
        factors = {"l1": operations.L1, "l2": operations.L2} if penalized else {}
        decay = operations.WEIGHT_DECAY
        numbers = range(1, operations.UPDATE_CHECK_STEPS + 1)
        return w, [
            ops.adam_update(w, g, m, v, t, weight_decay=decay, method=method, **factors) for t in numbers
        ]

    def check() -> Outputs:
        after, penalties = steps(penalized=True)
        return {
            "w": after,
            "penalty": np.array(penalties),
            "w without penalty": steps(penalized=False)[0],
        }

    def run() -> None:
        nonlocal step
        step += 1
        ops.adam_update(
            w, g, m, v, step, weight_decay=operations.WEIGHT_DECAY, l1=operations.L1, l2=operations.L2
        )

    return Task(check, run)


LIBRARY = Path(fastreg.get_library_dir()) / "libfastreg.so"
PEER = Peer(
    title=f"fastreg ({_core.build_info()['isa']}, library {sha256(LIBRARY.read_bytes()).hexdigest()[:8]})",
    modules=("fastreg",),
    threads=lambda: _core.build_info()["num_threads"],
    makers={
        Training: training,
        Prediction: prediction,
        operations.Dense: dense,
        operations.Dropout: dropout,
        operations.Update: update,
    }
    | imports("fastreg"),
)
