"""Where training with the optimizers ends: exact zeros, and the solution that scikit-learn and the optimality
conditions give. It must not use the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import ElasticNetAdam, ElasticNetAdamW, ElasticNetSGD  # noqa: E402

ROWS, INPUTS, ALPHA = 80, 20, 0.1


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Correlated inputs, five of twenty matter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, INPUTS)) + 0.5 * rng.normal(size=(ROWS, 1))
    truth = np.zeros(INPUTS)
    truth[[0, 3, 7, 11, 16]] = [1.5, -1.0, 0.7, -2.0, 0.4]
    return x, x @ truth + 0.3 * rng.normal(size=ROWS)


def fit(cls: Any, steps: int, stages: int = 1, **settings: Any) -> np.ndarray:
    """min_w |X w - y|^2 / 2n + penalty, full batches; lr falls by 10 from stage to stage."""
    x, y = (torch.from_numpy(array) for array in problem())
    w = torch.nn.Parameter(torch.full((INPUTS,), 0.1, dtype=torch.float64))
    optimizer = cls([w], **settings)
    for _ in range(stages):
        for _ in range(steps):
            optimizer.zero_grad()
            ((x @ w - y).square().mean() / 2).backward()
            optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.1
    return w.detach().numpy()


def violation(w: np.ndarray, l1: float, l2: float) -> float:
    """Largest distance of 0 from the subdifferential."""
    x, y = problem()
    slope = x.T @ (x @ w - y) / ROWS + 2 * l2 * w
    off = np.where(w != 0, np.abs(slope + l1 * np.sign(w)), np.maximum(np.abs(slope) - l1, 0))
    return float(off.max())


ADAM: dict[str, Any] = {"lr": 0.05, "betas": (0.9, 0.99), "steps": 500, "stages": 5}
FITS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (ElasticNetSGD, {"lr": 0.2, "steps": 1500}),
    "momentum": (ElasticNetSGD, {"lr": 0.05, "momentum": 0.9, "steps": 1000}),
    "adam": (ElasticNetAdam, ADAM),
    "adamw": (ElasticNetAdamW, ADAM | {"weight_decay": 0.0}),
}


@pytest.mark.parametrize("name", FITS)
def test_the_lasso_of_scikit_learn_is_found(name: str) -> None:
    cls, settings = FITS[name]
    expected = Lasso(alpha=ALPHA, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(*problem()).coef_
    w = fit(cls, l1=ALPHA, **settings)
    assert 3 < (expected == 0).sum() < INPUTS
    assert np.array_equal(w == 0, expected == 0)
    np.testing.assert_allclose(w, expected, rtol=0, atol=1e-8)
    assert violation(w, ALPHA, 0.0) < 1e-9
    subgradient = fit(cls, l1=ALPHA, method="subgradient", **settings)
    assert not (subgradient == 0).any()


def test_the_elastic_net_of_scikit_learn_is_found() -> None:
    """Its alpha (r |w|_1 + (1 - r) / 2 |w|^2) in our convention: l1 = alpha r, l2 = alpha (1 - r) / 2."""
    x, y = problem()
    model = ElasticNet(alpha=ALPHA, l1_ratio=0.6, fit_intercept=False, tol=1e-14, max_iter=100_000)
    expected = model.fit(x, y).coef_
    l1, l2 = 0.6 * ALPHA, 0.2 * ALPHA
    w = fit(ElasticNetSGD, steps=1500, lr=0.2, l1=l1, l2=l2)
    np.testing.assert_allclose(w, expected, rtol=0, atol=1e-8)
    assert np.array_equal(w == 0, expected == 0)
    assert violation(w, l1, l2) < 1e-9
