"""Training and prediction: networks, shapes, data and initial weights, the same for every contestant.
It must not know any framework, nor how anything is timed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from workloads.base import Array, Outputs, Workload, duration

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7  # Adam, everywhere
PREDICT_ROWS = 4000  # at a time, for who leaves that to the caller: the hidden layers stay in cache
CHECK_STEPS = 20  # or the steps of an epoch, if these are fewer


@dataclass(frozen=True)
class Layer:
    """A dense layer, its kernel penalty ``l1 * sum|w| + l2 * sum(w^2)`` and the dropout that follows it.

    The last layer's activation belongs to the loss; the others are relu.
    """

    units: int
    l1: float = 0.0
    l2: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True)
class Network:
    """A network and how it is trained: Adam, shuffled each epoch, mean loss of a batch.

    loss: "binary" (one sigmoid unit, cross-entropy), "classes" (softmax, sparse cross-entropy), "squares" (linear,
    mean squared error).
    """

    name: str
    title: str
    features: int
    layers: tuple[Layer, ...]
    batch_size: int
    loss: str
    weight_decay: float = 0.0

    def without_dropout(self) -> Network:
        """The same with every rate 0."""
        return replace(self, layers=tuple(replace(layer, rate=0.0) for layer in self.layers))

    def plain(self) -> Network:
        """The same without dropout, penalties and weight decay."""
        return replace(self, layers=tuple(Layer(layer.units) for layer in self.layers), weight_decay=0.0)


@dataclass(frozen=True, kw_only=True)
class Training(Workload):
    """One epoch. The speed is that of a step."""

    network: Network
    rows: int  # a multiple of the batch size

    limits: ClassVar[dict[str, float]] = {
        "losses": 1e-4,  # penalties in them, no dropout
        "losses without regularizers": 1e-4,
    }

    @property
    def steps(self) -> int:
        return self.rows // self.network.batch_size

    def batches(self) -> list[slice]:
        """The rows of the steps that are checked."""
        size = self.network.batch_size
        return [slice(i * size, (i + 1) * size) for i in range(min(CHECK_STEPS, self.steps))]

    def differences(self, outputs: Outputs, subject: Outputs) -> dict[str, float]:
        """Each loss relative to the subject's of the same step; the worst."""
        return {
            name: float(np.max(np.abs(losses - subject[name]) / np.abs(subject[name])))
            for name, losses in outputs.items()
        }

    def speed(self, seconds: float) -> str:
        return duration(seconds / self.steps) + " a step"


@dataclass(frozen=True, kw_only=True)
class Prediction(Workload):
    """The outputs (rows, units) of a network, without dropout."""

    network: Network
    rows: int

    limits: ClassVar[dict[str, float]] = {"outputs": 1e-5}


def data(network: Network, rows: int) -> tuple[Array, Array]:
    """x (rows, features) standard normal; y (rows,) what a noisy linear teacher says.

    "binary": float32, 0 or 1. "classes": int64. "squares": float32, the teacher's score.
    """
    rng = np.random.default_rng(1)
    x = rng.standard_normal((rows, network.features), dtype=np.float32)
    teacher = rng.standard_normal((network.features, network.layers[-1].units))
    score = x @ teacher / np.sqrt(network.features)
    score += 0.3 * rng.standard_normal(score.shape)
    if network.loss == "classes":
        return x, score.argmax(axis=1)
    return x, (score[:, 0] > 0 if network.loss == "binary" else score[:, 0]).astype(np.float32)


def initial_weights(network: Network) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(kernel (in, out), bias (out,)) of each layer: Glorot uniform kernels (Glorot and Bengio 2010), zero biases."""
    rng = np.random.default_rng(2)
    weights, fan_in = [], network.features
    for layer in network.layers:
        limit = np.sqrt(6.0 / (fan_in + layer.units))
        kernel = rng.uniform(-limit, limit, (fan_in, layer.units)).astype(np.float32)
        weights.append((kernel, np.zeros(layer.units, np.float32)))
        fan_in = layer.units
    return weights
