"""The shared networks in Keras's words, which fastreg speaks too: activations, losses, Adam's settings.
It must not know which of them listens."""

from __future__ import annotations

from workloads.networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Layer, Network

LOSS = {
    "binary": "binary_crossentropy",
    "classes": "sparse_categorical_crossentropy",
    "squares": "mean_squared_error",
}
ADAM = {"learning_rate": LEARNING_RATE, "beta_1": BETA_1, "beta_2": BETA_2, "epsilon": EPSILON}
_LAST = {"binary": "sigmoid", "classes": "softmax", "squares": "linear"}


def activation_of(network: Network, layer: Layer) -> str:
    return _LAST[network.loss] if layer is network.layers[-1] else "relu"
