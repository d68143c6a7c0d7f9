"""fastreg: a session whose data and weights lie on the GPU; an epoch is one native call.

It must not know the other contestants.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
from rows import BETA_1, BETA_2, EPSILON, LEARNING_RATE, WEIGHT_DECAY, Row

from fastreg import _core

LAST = {"binary": "sigmoid", "classes": "softmax", "squares": "linear"}
LOSS = {
    "binary": "binary_crossentropy",
    "classes": "sparse_categorical_crossentropy",
    "squares": "mean_squared_error",
}


def session(row: Row, precision: str, device: str, proximal: bool) -> _core.Session:
    layers = []
    for number, layer in enumerate(row.layers):
        activation = LAST[row.loss] if number == len(row.layers) - 1 else "relu"
        penalty = {"l1": layer.l1, "l2": layer.l2, "proximal": proximal}
        layers.append(
            {"kind": "dense", "units": layer.units, "activation": activation, "kernel_penalty": penalty}
        )
        if layer.rate:
            layers.append({"kind": "dropout", "rate": layer.rate, "seed": 3, "stream": number + 1})
    made = _core.Session(layers, row.features, "float32", 1, device, precision)
    made.set_weights(list(chain.from_iterable(row.weights())))
    adam = {"kind": "adam", "beta_1": BETA_1, "beta_2": BETA_2, "epsilon": EPSILON}
    optimizer = {"kind": "sgd"} if row.optimizer == "sgd" else adam
    decay = WEIGHT_DECAY if row.optimizer == "adamw" else 0.0
    metrics = [{"kind": "binary_accuracy", "threshold": 0.5}] if row.accuracy else []
    made.compile(
        {"kind": LOSS[row.loss]}, optimizer | {"learning_rate": LEARNING_RATE, "weight_decay": decay}, metrics
    )
    return made


class Subject:
    """One network in training, by the default proximal step."""

    def __init__(self, row: Row, precision: str, device: str) -> None:
        self.row, (self.x, self.y) = row, row.data()
        self.session, self.fresh = session(row, precision, device, proximal=True), True

    def epoch(self) -> float:
        """A shuffled epoch; the mean of its losses. The data is copied to the GPU before the first alone."""
        self.session.begin_epoch(self.x, self.y, None, self.row.batch_size, True, self.fresh)
        self.fresh = False
        totals = self.session.run_steps(-1)
        return float(totals["loss"]) / totals["rows"]


def losses(row: Row, precision: str, device: str, steps: int) -> np.ndarray:
    """Of the first steps, in the order of the rows, without dropout and with the subgradient of L1."""
    row, (x, y), sums = row.without_dropout(), row.data(), [0.0]
    made = session(row, precision, device, proximal=False)
    while len(sums) <= steps:
        made.begin_epoch(x, y, None, row.batch_size, False, len(sums) == 1)
        before, totals = sums[-1], {"finished": False}
        while not totals["finished"]:
            totals = made.run_steps(1)
            sums.append(before + totals["loss"])
    return np.diff(sums)[:steps] / row.batch_size
