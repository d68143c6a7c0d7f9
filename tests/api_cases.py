"""What the tests of tests/api share: one small classifier with everything in it, and its data.

It must not know what is tested.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastreg.layers import Dense, Dropout
from fastreg.models import Sequential

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def classifier(**arguments: Any) -> Sequential:
    net = [Dense(8, activation="relu"), Dropout(0.2), Dense(1, activation="sigmoid")]
    model = Sequential(net, **{"seed": 1, **arguments})
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def same_weights(a: Sequential, b: Sequential) -> bool:
    return all(np.array_equal(u, v) for u, v in zip(a.get_weights(), b.get_weights(), strict=True))
