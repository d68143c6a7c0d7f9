"""The cases that several tests of fastreg.torch visit: optimizers beside the oracle's words for them, and tensors.

It must not hold tests. Only tests that have made sure of PyTorch import it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fastreg.torch import ElasticNetAdam, ElasticNetAdamW, ElasticNetSGD
from reference import Spec
from reference_update import optimizer_spec

# Arguments of ours, and the oracle's words for them.
CASES: dict[str, tuple[Any, dict[str, Any], Spec]] = {
    "sgd": (ElasticNetSGD, {"lr": 0.1}, optimizer_spec("sgd", learning_rate=0.1)),
    "momentum": (
        ElasticNetSGD, {"lr": 0.1, "momentum": 0.9}, optimizer_spec("sgd", learning_rate=0.1, momentum=0.9)
    ),
    "nesterov": (
        ElasticNetSGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        optimizer_spec("sgd", learning_rate=0.1, momentum=0.9, nesterov=True),
    ),
    "adam": (
        ElasticNetAdam,
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3},
        optimizer_spec("adam", learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3),
    ),
    "amsgrad": (
        ElasticNetAdam,
        {"lr": 0.01, "betas": (0.9, 0.9), "amsgrad": True},
        optimizer_spec("adam", learning_rate=0.01, beta_2=0.9, epsilon=1e-8, amsgrad=True),
    ),
    "adamw": (
        ElasticNetAdamW,
        {"lr": 0.01, "weight_decay": 0.3},
        optimizer_spec("adam", learning_rate=0.01, epsilon=1e-8, weight_decay=0.3),
    ),
}  # fmt: skip


def parameter(*shape: int, seed: int = 0, dtype: Any = torch.float64) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype))


def noise(shape: Any, t: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng([seed, t]).normal(size=tuple(shape)))
