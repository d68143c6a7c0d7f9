"""The cases several test files visit: optimizers with their options, penalties, odd sizes.

It must not know the native module or expected values.
"""

from __future__ import annotations

import numpy as np

import reference_update as rule
from reference import Spec
from reference_update import optimizer_spec

OPTIMIZERS: dict[str, Spec] = {
    "sgd": optimizer_spec("sgd", learning_rate=0.1),
    "momentum": optimizer_spec("sgd", learning_rate=0.1, momentum=0.9),
    "nesterov": optimizer_spec("sgd", learning_rate=0.1, momentum=0.9, nesterov=True),
    "sgd_weight_decay": optimizer_spec("sgd", learning_rate=0.1, momentum=0.5, weight_decay=0.1),
    "adam": optimizer_spec("adam", learning_rate=0.01),
    "adam_betas": optimizer_spec("adam", learning_rate=0.01, beta_1=0.5, beta_2=0.9, epsilon=1e-3),
    "amsgrad": optimizer_spec("adam", learning_rate=0.01, beta_2=0.9, amsgrad=True),
    "adamw": optimizer_spec("adam", learning_rate=0.01, weight_decay=0.3),
    "rmsprop": optimizer_spec("rmsprop", learning_rate=0.01),
    "rmsprop_momentum": optimizer_spec("rmsprop", learning_rate=0.01, momentum=0.8, rho=0.7),
    "rmsprop_centered": optimizer_spec("rmsprop", learning_rate=0.01, centered=True, epsilon=1e-3),
    "rmsprop_both": optimizer_spec("rmsprop", learning_rate=0.01, momentum=0.8, centered=True, epsilon=1e-3),
    "adagrad": optimizer_spec("adagrad", learning_rate=0.1),
    "adagrad_zero": optimizer_spec("adagrad", learning_rate=0.1, initial_accumulator_value=0.0),
    "clipvalue": optimizer_spec("adam", learning_rate=0.01, clipvalue=0.5),
    "clipnorm": optimizer_spec("sgd", learning_rate=0.1, momentum=0.9, clipnorm=0.7),
    "clipnorm_idle": optimizer_spec("sgd", learning_rate=0.1, clipnorm=1e6),
}
PENALTIES: dict[str, Spec] = {
    "none": rule.NO_PENALTY,
    "l2": {"l1": 0.0, "l2": 0.05, "proximal": True},
    "proximal": {"l1": 0.2, "l2": 0.05, "proximal": True},
    "subgradient": {"l1": 0.2, "l2": 0.05, "proximal": False},
}


def start(spec: Spec, n: int, dtype: str) -> tuple[np.ndarray, list[np.ndarray]]:
    w = np.random.default_rng(n).normal(size=n).astype(dtype)
    return w, [s.astype(dtype) for s in rule.initial_slots(spec, w)]


def odd_sizes(seed: int = 0) -> list[tuple[int, int, int]]:
    """68 triples (batch, inputs, units) in which each dimension takes every value 0..67 exactly once."""
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(68).tolist() for _ in range(3)]
    return list(zip(*columns, strict=True))
