"""What the tests of the native module's gate share: small sessions, their data, and how messages are compared.

It must not hold tests.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from fastreg import _core

DENSE: dict[str, Any] = {"kind": "dense", "units": 2}
DROPOUT: dict[str, Any] = {"kind": "dropout", "rate": 0.5, "seed": 1, "stream": 1}
LAYERS: list[dict[str, Any]] = [
    {"kind": "dense", "units": 4, "activation": "relu"},
    DROPOUT,
    {"kind": "dense", "units": 2, "use_bias": False},
]
LOSS: dict[str, Any] = {"kind": "mean_squared_error"}
ADAM: dict[str, Any] = {"kind": "adam", "learning_rate": 0.001}


def session(
    layers: Any = LAYERS, input_units: Any = 3, dtype: Any = "float32", seed: Any = 7
) -> _core.Session:
    made = _core.Session(layers, input_units, dtype, seed)
    made.compile(LOSS, ADAM, [{"kind": "loss", "loss": LOSS}])
    return made


def data(rows: int = 8, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 3)).astype(dtype), rng.normal(size=(rows, 2)).astype(dtype)


def raises(kind: type[Exception], *words: str) -> Any:
    """Expects an error whose message holds all words in this order."""
    return pytest.raises(kind, match="(?s)" + ".*".join(re.escape(word) for word in words))
