"""The workloads: networks, shapes, data and initial weights, the same for every contestant.
It must not know any framework, nor how anything is timed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7  # Adam, everywhere

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A dense layer, its kernel penalty ``l1 * sum|w| + l2 * sum(w^2)`` and the dropout that follows it.

    The last layer's activation belongs to the loss: sigmoid for one unit, softmax for more.
    """

    units: int
    l1: float = 0.0
    l2: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True)
class Workload:
    """A network and its training: relu between layers, Adam, shuffled each epoch, mean cross-entropy loss."""

    name: str
    title: str
    rows: int
    features: int
    layers: tuple[Layer, ...]
    batch_size: int
    unit: str  # of a step's time: "us" or "ms"

    @property
    def binary(self) -> bool:
        """One sigmoid unit and binary cross-entropy; else softmax and sparse categorical cross-entropy."""
        return self.layers[-1].units == 1

    @property
    def steps(self) -> int:
        """Steps in an epoch; rows are a multiple of the batch size."""
        return self.rows // self.batch_size


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            name="seed",
            title="30-64-64-1, L1(1e-3), L2(1e-3), dropout .5/.3, batch 32",
            rows=16_000,
            features=30,
            layers=(Layer(64, l1=1e-3, rate=0.5), Layer(64, l2=1e-3, rate=0.3), Layer(1)),
            batch_size=32,
            unit="us",
        ),
        Workload(
            name="wide",
            title="784-512-512-10, L1L2(1e-5, 1e-5), dropout .2/.5, batch 128",
            rows=12_800,
            features=784,
            layers=(
                Layer(512, l1=1e-5, l2=1e-5, rate=0.2),
                Layer(512, l1=1e-5, l2=1e-5, rate=0.5),
                Layer(10, l1=1e-5, l2=1e-5),
            ),
            batch_size=128,
            unit="ms",
        ),
    )
}


def arrays(workload: Workload) -> tuple[Array, NDArray[np.int64]]:
    """x (rows, features) standard normal; y (rows,) the class a noisy linear teacher gives, 0 or 1 if binary."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((workload.rows, workload.features), dtype=np.float32)
    teacher = rng.standard_normal((workload.features, workload.layers[-1].units))
    score = x @ teacher / np.sqrt(workload.features)
    score += 0.3 * rng.standard_normal(score.shape)
    y = score[:, 0] > 0 if workload.binary else score.argmax(axis=1)
    return x, y.astype(np.int64)


def initial_weights(workload: Workload) -> list[tuple[Array, Array]]:
    """(kernel (in, out), bias (out,)) of each layer: Glorot uniform kernels (Glorot and Bengio 2010), zero biases."""
    rng = np.random.default_rng(2)
    weights, fan_in = [], workload.features
    for layer in workload.layers:
        limit = np.sqrt(6.0 / (fan_in + layer.units))
        kernel = rng.uniform(-limit, limit, (fan_in, layer.units)).astype(np.float32)
        weights.append((kernel, np.zeros(layer.units, np.float32)))
        fan_in = layer.units
    return weights
