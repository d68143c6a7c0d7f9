"""Small networks and data for the session tests: layer dicts, initial weights, targets that suit a loss.

It must not train anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from checks import session_device
from fastreg import _core
from reference import Spec, activation

SUBGRADIENT: Spec = {"l1": 0.02, "l2": 0.03, "proximal": False}
PROXIMAL: Spec = {"l1": 0.02, "l2": 0.03, "proximal": True}


def dense(units: int, kind: str = "linear", **options: Any) -> Spec:
    return {"kind": "dense", "units": units, "activation": kind, "alpha": 0.3} | options


def dropout(rate: float, stream: int, seed: int = 11, **options: Any) -> Spec:
    return {"kind": "dropout", "rate": rate, "seed": seed, "stream": stream} | options


def weights_for(layers: list[Spec], inputs: int, dtype: str = "float64", seed: int = 0) -> list[np.ndarray]:
    """Normal weights away from 0, so that |w| has a slope everywhere."""
    rng, weights = np.random.default_rng(seed), []

    def draw(*shape: int) -> np.ndarray:
        w = rng.normal(size=shape) / np.sqrt(shape[0])
        return (w + 0.05 * np.sign(w)).astype(dtype)

    for layer in layers:
        if layer["kind"] == "dense":
            weights.append(draw(inputs, layer["units"]))
            if layer.get("use_bias", True):
                weights.append(draw(layer["units"]))
            inputs = layer["units"]
    return weights


def data_for(loss: Spec, rows: int, inputs: int, outputs: int, dtype: str = "float64", seed: int = 1) -> Any:
    """(x, y): y is a noisy function of x, in the form the loss expects."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs))
    score = x @ rng.normal(size=(inputs, outputs)) + 0.3 * rng.normal(size=(rows, outputs))
    kind = loss["kind"]
    if kind == "binary_crossentropy":
        y = (score > 0).astype(float)
    elif kind == "categorical_crossentropy":
        y = activation(2 * score, "softmax")
    elif kind == "sparse_categorical_crossentropy":
        y = score.argmax(axis=1)[:, None].astype(float)
    elif kind == "hinge":
        y = np.where(score > 0, 1.0, -1.0)
    elif kind == "mean_squared_logarithmic_error":
        y = np.exp(score)
    elif kind == "poisson":
        y = rng.poisson(np.exp(np.clip(score, -2, 2))).astype(float)
    else:
        y = score
    return x.astype(dtype), y.astype(dtype)


def last_activation(loss: Spec) -> str:
    """The activation whose range suits the loss."""
    if loss["from_logits"]:
        return "linear"
    if loss["kind"].endswith("categorical_crossentropy"):
        return "softmax"
    positive = ("poisson", "mean_squared_logarithmic_error")
    return {"binary_crossentropy": "sigmoid"}.get(
        loss["kind"], "softplus" if loss["kind"] in positive else "linear"
    )


def session(
    layers: list[Spec], weights: list[np.ndarray], loss: Spec, optimizer: Spec, *, inputs: int,
    seed: int = 0, metrics: list[Spec] | None = None, dtype: str = "float64",
) -> Any:  # fmt: skip
    """A compiled `_core.Session` with these weights."""
    s = _core.Session(layers, inputs, dtype, seed, session_device())
    s.set_weights(weights)
    s.compile(loss, optimizer, metrics or [])
    return s


def train_epoch(s: Any, x: Any, y: Any, batch_size: int, shuffle: bool, sample_weight: Any = None) -> Spec:
    s.begin_epoch(x, y, sample_weight, batch_size, shuffle)
    totals: Spec = s.run_steps(-1)
    assert totals["finished"]
    assert totals["rows"] == len(x)
    return totals
