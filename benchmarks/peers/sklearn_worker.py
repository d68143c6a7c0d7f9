"""scikit-learn's MLPClassifier and MLPRegressor: Adam and L2 only, so less work than the others do.
It must not know the other contestants."""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from peers.numpy_worker import threads
from peers.protocol import Peer, Task
from peers.startup import imports
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


def build(network: Network, x: Array, y: Array) -> MLPClassifier | MLPRegressor:
    """A model with the shared initial weights that knows the classes of y.

    It divides its penalty, alpha / 2 * sum(w^2) over all kernels, by the rows of the batch. The regressor's loss
    is half the mean square; with half the epsilon, Adam does not see the difference.
    """
    regression = network.loss == "squares"
    kind = MLPRegressor if regression else MLPClassifier
    model = kind(
        hidden_layer_sizes=tuple(layer.units for layer in network.layers[:-1]),
        activation="relu",
        solver="adam",
        alpha=2 * network.batch_size * max(layer.l2 for layer in network.layers),
        batch_size=network.batch_size,
        learning_rate_init=LEARNING_RATE,
        beta_1=BETA_1,
        beta_2=BETA_2,
        epsilon=EPSILON / 2 if regression else EPSILON,
        random_state=0,
    )
    size = network.batch_size
    first = {} if regression else {"classes": np.unique(y)}
    model.partial_fit(x[:size], y[:size], **first)  # makes the arrays
    for (kernel, bias), w, b in zip(initial_weights(network), model.coefs_, model.intercepts_, strict=True):
        w[...], b[...] = kernel, bias
    del model._optimizer  # moments of zero again
    return model


def training(workload: Training) -> Task:
    """partial_fit is one shuffled epoch."""
    network = workload.network
    x, y = data(network, workload.rows)
    model = build(network, x, y)

    def check() -> Outputs:
        plain = build(network.plain(), x, y)
        losses = [plain.partial_fit(x[rows], y[rows]).loss_ for rows in workload.batches()]
        factor = 2 if network.loss == "squares" else 1
        return {"losses without regularizers": factor * np.array(losses)}

    return Task(check, run=lambda: model.partial_fit(x, y), finish=lambda fitted: float(fitted.loss_))


def prediction(workload: Prediction) -> Task:
    network = workload.network
    x, y = data(network, workload.rows)
    model = build(network, x, y)

    def check() -> Outputs:
        if network.loss == "squares":
            return {"outputs": model.predict(x)[:, None]}
        probabilities = model.predict_proba(x)
        return {"outputs": probabilities[:, 1:] if network.loss == "binary" else probabilities}

    predict = model.predict if network.loss == "squares" else model.predict_proba
    parts = np.split(x, range(PREDICT_ROWS, len(x), PREDICT_ROWS))
    return Task(check, run=lambda: np.concatenate([predict(part) for part in parts]))


PEER = Peer(
    title="scikit-learn MLP: no dropout, no L1, L2 of one factor, no weight decay",
    modules=("sklearn",),
    threads=threads,
    makers={Training: training, Prediction: prediction} | imports("sklearn.neural_network"),
)
