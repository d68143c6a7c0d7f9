"""What is measured: networks, batches, data and initial weights, the same for every contestant.

It must not know any framework, nor how anything is timed.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LEARNING_RATE, BETA_1, BETA_2, EPSILON, WEIGHT_DECAY = 1e-3, 0.9, 0.999, 1e-7, 0.01
CHECK_STEPS = 20


@dataclass(frozen=True)
class Layer:
    """A dense layer, its kernel's penalty and the dropout after it; relu, but for the last, which suits the loss."""

    units: int
    l1: float = 0.0
    l2: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True)
class Row:
    """A training step. loss: "binary", "classes" or "squares"; optimizer: "sgd", "adam" or "adamw"."""

    name: str
    title: str
    features: int
    layers: tuple[Layer, ...]
    batch_size: int
    steps: int  # of an epoch: so many batches of data lie on the GPU
    loss: str = "squares"
    optimizer: str = "adam"
    accuracy: bool = False  # whether it is counted too; for "binary"
    precisions: tuple[str, ...] = ("exact", "fast", "bf16")
    bytes_per_parameter: int = 0  # of memory traffic that a step needs at least, where that is its limit

    @property
    def rows(self) -> int:
        return self.batch_size * self.steps

    def without_dropout(self) -> Row:
        return replace(self, layers=tuple(replace(layer, rate=0.0) for layer in self.layers))

    @property
    def kernels(self) -> list[tuple[int, int]]:
        widths = [self.features, *(layer.units for layer in self.layers)]
        return list(itertools.pairwise(widths))

    @property
    def flops(self) -> float:
        """Of a step's matrix products: forward, weight gradients, and input gradients but for the first layer."""
        products = [2.0 * self.batch_size * inputs * units for inputs, units in self.kernels]
        return 3 * sum(products) - products[0]

    @property
    def parameters(self) -> int:
        return sum((inputs + 1) * units for inputs, units in self.kernels)

    def data(self) -> tuple[Array, Array]:
        """x (rows, features) standard normal; y (rows, outputs) float32, or (rows, 1) classes, of a linear teacher."""
        return _data(self.rows, self.features, self.layers[-1].units, self.loss)

    def weights(self) -> list[tuple[Array, Array]]:
        """(kernel (in, out), bias) of each layer: Glorot uniform kernels (Glorot and Bengio 2010), zero biases."""
        return _weights(tuple(self.kernels))


@functools.lru_cache(maxsize=1)  # all contestants of a row read the same arrays
def _data(rows: int, features: int, outputs: int, loss: str) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((rows, features), dtype=np.float32)
    seen = x[:, : min(32, features)]  # of the teacher, so that wide data is made soon
    teacher = rng.standard_normal((seen.shape[1], outputs), dtype=np.float32)
    score = seen @ teacher / np.float32(np.sqrt(seen.shape[1]))
    if loss == "classes":
        return x, score.argmax(axis=1)[:, None].astype(np.float32)
    return x, (score > 0).astype(np.float32) if loss == "binary" else score


@functools.lru_cache(maxsize=1)
def _weights(kernels: tuple[tuple[int, int], ...]) -> list[tuple[Array, Array]]:
    rng, made = np.random.default_rng(2), []
    for inputs, units in kernels:
        limit = np.float32(np.sqrt(6.0 / (inputs + units)))
        kernel = (rng.random((inputs, units), dtype=np.float32) * 2 - 1) * limit
        made.append((kernel, np.zeros(units, np.float32)))
    return made


_WIDE = (Layer(512, l1=1e-5, rate=0.2), Layer(512, l1=1e-5, rate=0.2), Layer(10))
_SEED = (Layer(64, l1=1e-3, rate=0.5), Layer(64, l2=1e-3, rate=0.3), Layer(1))
_ELASTIC = {"l1": 1e-6, "l2": 1e-6}
# A network's update: forward reads w, backward writes dW, AdamW reads dW, w, m, v and writes w, m, v.
_UPDATE: dict[str, Any] = {"optimizer": "adamw", "precisions": ("exact",), "bytes_per_parameter": 36}

ROWS = {
    row.name: row
    for row in (
        Row("seed", "30-64-64-1, batch 256, dropout, L1 and L2, Adam", 30, _SEED, 256, 256, "binary"),
        Row("seed-accuracy", "the same with its accuracy", 30, _SEED, 256, 256, "binary", accuracy=True),
        Row("wide-128", "784-512-512-10, batch 128, dropout, L1, Adam", 784, _WIDE, 128, 256, "classes"),
        Row("wide-65536", "the same, batch 65536", 784, _WIDE, 65536, 3, "classes"),
        Row("layers", "512-512-512-1, batch 65536, dropout 0.5, SGD", 512,
            (Layer(512, rate=0.5), Layer(512, rate=0.5), Layer(1)), 65536, 3, optimizer="sgd"),
        Row("products", "8192-8192, batch 8192, SGD: x w and x' dz", 8192, (Layer(8192),), 8192, 2,
            optimizer="sgd"),
        Row("update-0.7M", "784-512-512-10, batch 1, elastic net, AdamW", 784,
            (Layer(512, **_ELASTIC), Layer(512, **_ELASTIC), Layer(10, **_ELASTIC)), 1, 256, **_UPDATE),
        Row("update-105M", "10240-10240, batch 1, elastic net, AdamW", 10240,
            (Layer(10240, **_ELASTIC),), 1, 32, **_UPDATE),
    )
}  # fmt: skip
