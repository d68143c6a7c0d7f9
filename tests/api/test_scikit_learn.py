"""Where `fit` of a linear Sequential ends: the lasso and the elastic net that scikit-learn finds, zeros included.
It must not use the oracle: scikit-learn's coordinate descent shares nothing with training by gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso

from fastreg import losses, optimizers
from fastreg.callbacks import LearningRateScheduler
from fastreg.layers import Dense
from fastreg.models import Sequential
from fastreg.regularizers import L1L2

ROWS, INPUTS, ALPHA = 80, 20, 0.1
# Epochs of one full batch, and whether the rate falls by 10 after each fifth of them, so that steps of Adam settle.
OPTIMIZERS: dict[str, tuple[Any, int, bool]] = {
    "sgd": (lambda: optimizers.SGD(0.1), 3000, False),
    "momentum": (lambda: optimizers.SGD(0.02, momentum=0.9), 2000, False),
    "adam": (lambda: optimizers.Adam(0.05, beta_2=0.99), 3000, True),
    "adagrad": (lambda: optimizers.Adagrad(0.3), 10000, False),
}


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Correlated inputs, five of twenty matter, and an intercept."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, INPUTS)) + 0.5 * rng.normal(size=(ROWS, 1))
    truth = np.zeros(INPUTS)
    truth[[0, 3, 7, 11, 16]] = [1.5, -1.0, 0.7, -2.0, 0.4]
    return x, x @ truth + 2.0 + 0.3 * rng.normal(size=ROWS)


def fit(name: str, l1: float, l2: float, by_loss: bool = False) -> tuple[np.ndarray, float]:
    """Kernel and bias of min mean((x w + b - y)^2) + l1 |w|_1 + l2 |w|^2, by the layer's penalty or the loss's."""
    optimizer, epochs, falls = OPTIMIZERS[name]
    model = Sequential(
        [Dense(1, kernel_regularizer=None if by_loss else L1L2(l1, l2))], seed=0, dtype="float64"
    )
    model.compile(optimizer(), losses.ElasticNet("mse", l1, l2) if by_loss else "mse")
    schedule = LearningRateScheduler(
        lambda epoch, rate: rate * 0.1 if epoch and epoch % (epochs // 5) == 0 else rate
    )
    model.fit(*problem(), batch_size=ROWS, epochs=epochs, verbose=0, callbacks=[schedule] if falls else [])
    kernel, bias = model.get_weights()
    return kernel[:, 0], float(bias[0])


def assert_same_solution(found: tuple[np.ndarray, float], expected: Any) -> None:
    w, b = found
    assert 3 < (expected.coef_ == 0).sum() < INPUTS
    assert np.array_equal(w == 0, expected.coef_ == 0)
    np.testing.assert_allclose(w, expected.coef_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(b, expected.intercept_, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_lasso_of_scikit_learn_is_found(name: str) -> None:
    """It minimises |X w + b - y|^2 / 2n + alpha |w|_1: half of our objective with l1 = 2 alpha."""
    expected = Lasso(alpha=ALPHA, tol=1e-14, max_iter=100_000).fit(*problem())
    assert_same_solution(fit(name, 2 * ALPHA, 0.0), expected)


@pytest.mark.parametrize("by_loss", [False, True], ids=["of_the_layer", "of_the_loss"])
def test_the_elastic_net_of_scikit_learn_is_found(by_loss: bool) -> None:
    """Its penalty is alpha (r |w|_1 + (1 - r) / 2 |w|^2), so l1 = 2 alpha r and l2 = alpha (1 - r)."""
    expected = ElasticNet(alpha=ALPHA, l1_ratio=0.6, tol=1e-14, max_iter=100_000).fit(*problem())
    assert_same_solution(fit("momentum", 1.2 * ALPHA, 0.4 * ALPHA, by_loss), expected)
